#include "core/records.h"

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
    fm_pack_map(out, 8);
    fm_pack_key_uint(out, 0, request->kind);
    fm_pack_key_bin(out, 1, request->id.bytes, sizeof request->id.bytes);
    fm_pack_key_bin(out, 2, request->audience.bytes, sizeof request->audience.bytes);
    fm_pack_key_hash(out, 3, &request->session);
    fm_pack_key_int(out, 4, request->time);
    fm_pack_key_uint(out, 5, request->limit_ms);
    fm_pack_key_bin(out, 6, request->trace, sizeof request->trace);
    fm_pack_key_span(out, 7, request->body);
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
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(8));
    fm_read_u32(&reader, 0, UINT32_MAX, &kind);
    fm_read_exact(&reader, 1, request.id.bytes, sizeof request.id.bytes);
    fm_read_exact(&reader, 2, request.audience.bytes, sizeof request.audience.bytes);
    fm_read_hash(&reader, 3, &request.session);
    fm_read_time(&reader, 4, &request.time);
    fm_read_choice(&reader, 5, 1, FM_QUERY_MS_MAX, &request.limit_ms);
    fm_read_exact(&reader, 6, request.trace, sizeof request.trace);
    fm_read_bin(&reader, 7, FM_ENVELOPE_BYTES_MAX, &request.body);
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

void fm_query_body_encode(struct fm_buf *out, const struct fm_query_body *body)
{
    fm_pack_map(out, 1);
    fm_pack_key_text(out, 0, body->sql);
}

enum fm_status fm_query_body_decode(struct fm_span bytes, struct fm_query_body *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_query_body body = {0};

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(1));
    fm_read_str(&reader, 0, FM_SQL_BYTES_MAX, &body.sql);
    if (reader.status == FM_OK)
        *out = body;
    return reader.status;
}
