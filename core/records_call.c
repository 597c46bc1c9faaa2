/* Messages inside a session: calls, replies, and the fetching of batches in parts. */
#include "core/records.h"

#include "core/assert.h"
#include "core/records_common.h"

void fm_call_encode(struct fm_buf *out, const struct fm_call *call)
{
    fm_pack_map(out, 3);
    fm_pack_key_uint(out, 0, call->method);
    fm_pack_key_bin(out, 1, call->id.bytes, sizeof call->id.bytes);
    fm_pack_key_span(out, 2, call->body);
}

/* FM_UNSUPPORTED: well formed, but a method of a later release. */
enum fm_status fm_call_decode(struct fm_span bytes, struct fm_call *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_call call = {0};
    uint32_t method = 0;
    bool is_signed = false;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_u32(&reader, 0, UINT32_MAX, &method);
    fm_read_exact(&reader, 1, call.id.bytes, sizeof call.id.bytes);
    fm_read_bin(&reader, 2, FM_DOC_BYTES_MAX, &call.body);
    if (reader.status != FM_OK)
        return reader.status;
    if (!fm_method_known(method, &is_signed))
        return FM_UNSUPPORTED;
    call.method = (enum fm_method)method;
    *out = call;
    return FM_OK;
}

void fm_reply_encode(struct fm_buf *out, const struct fm_reply *reply)
{
    fm_pack_map(out, 2);
    fm_pack_key_uint(out, 0, reply->status);
    if (reply->status == FM_OK)
        fm_pack_key_span(out, 2, reply->body);
    else
        fm_pack_key_text(out, 1, reply->error);
}

enum fm_status fm_reply_decode(struct fm_span bytes, struct fm_reply *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_reply reply = {0};
    uint32_t number = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_u32(&reader, 0, UINT32_MAX, &number);
    if (number == FM_OK) {
        fm_read_bin(&reader, 2, FM_DOC_BYTES_MAX, &reply.body);
        fm_reader_demand(&reader, !fm_read_has(&reader, 1));
    } else {
        fm_read_str(&reader, 1, FM_ERROR_TEXT_MAX - 1, &reply.error);
        fm_reader_demand(&reader, !fm_read_has(&reader, 2));
    }
    if (reader.status != FM_OK)
        return reader.status;
    reply.status = fm_status_from_wire(number);
    *out = reply;
    return FM_OK;
}

void fm_fetch_encode(struct fm_buf *out, const struct fm_fetch *fetch)
{
    fm_pack_map(out, 4);
    fm_pack_key_bin(out, 0, fetch->query.bytes, sizeof fetch->query.bytes);
    fm_pack_key_uint(out, 1, fetch->number);
    fm_pack_key_uint(out, 2, fetch->batch);
    fm_pack_key_uint(out, 3, fetch->offset);
}

enum fm_status fm_fetch_decode(struct fm_span bytes, struct fm_fetch *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_fetch fetch = {0};

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(4));
    fm_read_exact(&reader, 0, fetch.query.bytes, sizeof fetch.query.bytes);
    fm_read_u32(&reader, 1, UINT32_MAX, &fetch.number);
    fm_read_u64(&reader, 2, UINT64_MAX, &fetch.batch);
    fm_read_u64(&reader, 3, FM_BATCH_BYTES_MAX, &fetch.offset);
    if (reader.status == FM_OK)
        *out = fetch;
    return reader.status;
}

void fm_opened_encode(struct fm_buf *out, const struct fm_opened *opened)
{
    fm_pack_map(out, 1u + (opened->has_rows ? 1u : 0u) + (opened->first.len != 0 ? 1u : 0u) +
                         (opened->end.len != 0 ? 1u : 0u));
    fm_pack_key_span(out, 0, opened->columns);
    if (opened->has_rows)
        fm_pack_key_uint(out, 1, opened->rows);
    if (opened->first.len != 0)
        fm_pack_key_span(out, 2, opened->first);
    if (opened->end.len != 0)
        fm_pack_key_span(out, 3, opened->end);
}

enum fm_status fm_opened_decode(struct fm_span bytes, struct fm_opened *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_opened opened = {0};

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(4));
    fm_read_bin(&reader, 0, FM_PAYLOAD_BYTES_MAX, &opened.columns);
    opened.has_rows = fm_read_has(&reader, 1);
    if (opened.has_rows)
        fm_read_u64(&reader, 1, UINT64_MAX, &opened.rows);
    if (fm_read_has(&reader, 2)) {
        fm_read_bin(&reader, 2, FM_OPENED_BYTES_MAX, &opened.first);
        fm_reader_demand(&reader, opened.first.len != 0);
    }
    if (fm_read_has(&reader, 3)) {
        fm_read_bin(&reader, 3, FM_OPENED_BYTES_MAX, &opened.end);
        fm_reader_demand(&reader, opened.end.len != 0);
    }
    if (reader.status != FM_OK)
        return reader.status;
    *out = opened;
    return FM_OK;
}

void fm_part_encode(struct fm_buf *out, const struct fm_part *part)
{
    fm_assert(part->bytes.len <= part->total);
    fm_pack_map(out, 3);
    fm_pack_key_uint(out, 0, part->kind);
    fm_pack_key_uint(out, 1, part->total);
    fm_pack_key_span(out, 2, part->bytes);
}

enum fm_status fm_part_decode(struct fm_span bytes, struct fm_part *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_part part = {0};
    uint32_t kind = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_choice(&reader, 0, FM_PART_BATCH, FM_PART_END, &kind);
    fm_read_u64(&reader, 1, FM_BATCH_BYTES_MAX, &part.total);
    fm_read_bin(&reader, 2, FM_PAYLOAD_BYTES_MAX, &part.bytes);
    fm_reader_demand(&reader, part.bytes.len <= part.total);
    if (reader.status != FM_OK)
        return reader.status;
    part.kind = (enum fm_part_kind)kind;
    *out = part;
    return FM_OK;
}
