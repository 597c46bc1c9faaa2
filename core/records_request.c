#include "core/records.h"

#include "core/assert.h"
#include "core/records_common.h"

const char *fm_method_text(enum fm_method method)
{
    switch (method) {
#define X(name, number, version, is_signed)                                                        \
    case FM_METHOD_##name:                                                                         \
        return #name;
        FM_METHOD_MAP(X)
#undef X
    }
    return "unknown method";
}

bool fm_method_known(uint32_t number, bool *is_signed)
{
    switch (number) {
#define X(name, id, version, with_signature)                                                       \
    case id:                                                                                       \
        *is_signed = (with_signature) != 0;                                                        \
        return true;
        FM_METHOD_MAP(X)
#undef X
    default:
        return false;
    }
}

void fm_request_encode(struct fm_buf *out, const struct fm_request *request)
{
    fm_pack_map(out, request->token.len != 0 ? 9 : 8);
    fm_pack_key_uint(out, 0, request->kind);
    fm_pack_key_bin(out, 1, request->id.bytes, sizeof request->id.bytes);
    fm_pack_key_bin(out, 2, request->audience.bytes, sizeof request->audience.bytes);
    fm_pack_key_hash(out, 3, &request->session);
    fm_pack_key_int(out, 4, request->time);
    fm_pack_key_uint(out, 5, request->limit_ms);
    fm_pack_key_bin(out, 6, request->trace, sizeof request->trace);
    fm_pack_key_span(out, 7, request->body);
    if (request->token.len != 0)
        fm_pack_key_text(out, 8, request->token);
}

enum fm_status fm_request_decode(struct fm_span body, struct fm_request *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_request request = {0};
    uint32_t kind = 0;
    bool is_signed = false;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(9));
    fm_read_u32(&reader, 0, UINT32_MAX, &kind);
    fm_read_exact(&reader, 1, request.id.bytes, sizeof request.id.bytes);
    fm_read_exact(&reader, 2, request.audience.bytes, sizeof request.audience.bytes);
    fm_read_hash(&reader, 3, &request.session);
    fm_read_time(&reader, 4, &request.time);
    fm_read_choice(&reader, 5, 1, FM_QUERY_MS_MAX, &request.limit_ms);
    fm_read_exact(&reader, 6, request.trace, sizeof request.trace);
    fm_read_bin(&reader, 7, FM_ENVELOPE_BYTES_MAX, &request.body);
    if (fm_read_has(&reader, 8)) {
        fm_read_str(&reader, 8, FM_TOKEN_BYTES_MAX, &request.token);
        fm_reader_demand(&reader, request.token.len != 0);
    }
    if (reader.status != FM_OK)
        return reader.status;
    if (!fm_method_known(kind, &is_signed))
        return FM_UNSUPPORTED;
    if (!is_signed)
        return FM_MALFORMED;
    request.kind = (enum fm_method)kind;
    *out = request;
    return FM_OK;
}

/* ---- Body of a query ------------------------------------------------------------------------- */

const char *fm_rule_text(unsigned bit)
{
    switch (bit) {
#define X(name, number, word)                                                                      \
    case number:                                                                                   \
        return word;
        FM_RULE_MAP(X)
#undef X
    default:
        return NULL;
    }
}

static bool rule_find(struct fm_span word, uint64_t *mask)
{
#define X(name, number, text)                                                                      \
    if (fm_span_equal(word, fm_span_str(text))) {                                                  \
        *mask |= UINT64_C(1) << (number);                                                          \
        return true;                                                                               \
    }
    FM_RULE_MAP(X)
#undef X
    return false;
}

enum fm_status fm_rules_parse(struct fm_span words, uint64_t *mask, struct fm_error *err)
{
    uint64_t found = 0;

    for (size_t from = 0; from <= words.len;) {
        size_t to = from;
        while (to < words.len && words.data[to] != ',')
            to++;
        struct fm_span word = fm_span(words.data + from, to - from);
        if (!rule_find(word, &found))
            return fm_fail(err, FM_INVALID,
                           "there is no rule \"%.*s\"; rules are"
#define X(name, number, text) " " text
                           FM_RULE_MAP(X),
#undef X
                           word.len > 32 ? 32 : (int)word.len, (const char *)word.data);
        from = to + 1;
    }
    *mask = found;
    return FM_OK;
}

static bool query_body_is_valid(const struct fm_query_body *body)
{
    return !body->allows_partial_aggregates || body->on_unavailable == FM_UNAVAILABLE_SKIP;
}

void fm_query_body_encode(struct fm_buf *out, const struct fm_query_body *body)
{
    bool skips = body->on_unavailable != FM_UNAVAILABLE_FAIL;

    fm_assert(body->head_count <= FM_QUERY_TABLES_MAX);
    fm_assert(query_body_is_valid(body));
    fm_pack_map(out, 1u + (body->rules_off != 0) + skips + body->allows_partial_aggregates +
                         (body->head_count != 0) + body->with_fragments);
    fm_pack_key_text(out, 0, body->sql);
    if (body->rules_off != 0)
        fm_pack_key_uint(out, 1, body->rules_off);
    if (skips)
        fm_pack_key_uint(out, 2, body->on_unavailable);
    if (body->allows_partial_aggregates)
        fm_pack_key_bool(out, 3, true);
    if (body->head_count != 0) {
        fm_pack_uint(out, 4);
        fm_pack_array(out, body->head_count);
    }
    for (uint32_t i = 0; i < body->head_count; i++)
        fm_pack_bin_span(out, body->heads[i]);
    if (body->with_fragments)
        fm_pack_key_bool(out, 5, true);
}

static void read_heads(struct fm_reader *reader, struct fm_query_body *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 4, 1, FM_QUERY_TABLES_MAX, &out->head_count);

    for (uint32_t i = 0; i < out->head_count; i++)
        fm_reader_note(reader,
                       fm_value_bin(fm_value_at(array, i), FM_NOTE_BYTES_MAX, &out->heads[i]));
}

enum fm_status fm_query_body_decode(struct fm_span bytes, struct fm_query_body *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_query_body body = {0};
    uint32_t unavailable = FM_UNAVAILABLE_FAIL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(6));
    fm_read_str(&reader, 0, FM_SQL_BYTES_MAX, &body.sql);
    if (fm_read_has(&reader, 1))
        fm_read_u64(&reader, 1, UINT64_MAX, &body.rules_off);
    if (fm_read_has(&reader, 2))
        fm_read_choice(&reader, 2, FM_UNAVAILABLE_FAIL, FM_UNAVAILABLE_SKIP, &unavailable);
    if (fm_read_has(&reader, 3))
        fm_read_bool(&reader, 3, &body.allows_partial_aggregates);
    if (fm_read_has(&reader, 4))
        read_heads(&reader, &body);
    if (fm_read_has(&reader, 5))
        fm_read_bool(&reader, 5, &body.with_fragments);
    body.on_unavailable = (enum fm_on_unavailable)unavailable;
    fm_reader_demand(&reader, query_body_is_valid(&body));
    if (reader.status == FM_OK)
        *out = body;
    return reader.status;
}
