/* The header of a fact's leaf, as strict msgpack (core/leaf.h). */
#include "core/leaf.h"

#include "core/assert.h"
#include "core/codec.h"
#include "core/reader.h"

void fm_fact_header_encode(struct fm_buf *out, const struct fm_fact_header *header)
{
    fm_assert(header->causation_len <= sizeof header->causation);
    uint32_t pairs = 6u + header->has_event_time + 1u * header->has_producer + header->has_trace +
                     (header->causation_len > 0) + header->has_superseded;
    fm_pack_map(out, pairs);
    fm_pack_key_uint(out, 0, FM_LEAF_VERSION);
    fm_pack_key_uint(out, 1, header->schema_version);
    fm_pack_key_uint(out, 2, header->sequence);
    fm_pack_key_int(out, 3, header->recorded_at);
    if (header->has_event_time)
        fm_pack_key_int(out, 4, header->event_time);
    fm_pack_key_uint(out, 5, (uint64_t)header->operation);
    if (header->has_producer)
        fm_pack_key_bin(out, 6, header->producer_id, sizeof header->producer_id);
    fm_pack_key_uint(out, 7, header->producer_sequence);
    if (header->has_trace)
        fm_pack_key_bin(out, 8, header->trace_id, sizeof header->trace_id);
    if (header->causation_len > 0)
        fm_pack_key_bin(out, 9, header->causation, header->causation_len);
    if (header->has_superseded)
        fm_pack_key_uint(out, 10, header->superseded);
}

static enum fm_status decode_causation(const struct fm_value *value, struct fm_fact_header *out)
{
    struct fm_span bin;
    if (value == NULL)
        return FM_OK;
    enum fm_status status = fm_value_bin(value, sizeof out->causation, &bin);
    if (status != FM_OK)
        return status;
    if (bin.len == 0)
        return FM_MALFORMED; /* None is written as none. */
    out->causation_len = (uint8_t)bin.len;
    memcpy(out->causation, bin.data, bin.len);
    return FM_OK;
}

static enum fm_status decode_optional(const struct fm_value *map, struct fm_fact_header *out)
{
    enum fm_status status = FM_OK;
    out->has_event_time = fm_map_get(map, 4) != NULL;
    out->has_producer = fm_map_get(map, 6) != NULL;
    out->has_trace = fm_map_get(map, 8) != NULL;
    out->has_superseded = fm_map_get(map, 10) != NULL;
    if (out->has_event_time)
        status = fm_value_int(fm_map_get(map, 4), &out->event_time);
    if (status == FM_OK && out->has_producer)
        status = fm_value_bin_exact(fm_map_get(map, 6), out->producer_id, sizeof out->producer_id);
    if (status == FM_OK && out->has_trace)
        status = fm_value_bin_exact(fm_map_get(map, 8), out->trace_id, sizeof out->trace_id);
    if (status == FM_OK)
        status = decode_causation(fm_map_get(map, 9), out);
    if (status == FM_OK && out->has_superseded)
        status = fm_value_uint(fm_map_get(map, 10), UINT64_MAX, &out->superseded);
    return status;
}

static enum fm_status decode_map(const struct fm_value *map, struct fm_fact_header *out)
{
    uint32_t version = 0, operation = 0;
    enum fm_status status = fm_map_check(map, FM_KEYS(11));
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 0), UINT32_MAX, &version);
    if (status == FM_OK && version != FM_LEAF_VERSION)
        return FM_UNSUPPORTED;
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 1), UINT32_MAX, &out->schema_version);
    if (status == FM_OK)
        status = fm_value_uint(fm_map_get(map, 2), UINT64_MAX, &out->sequence);
    if (status == FM_OK)
        status = fm_value_int(fm_map_get(map, 3), &out->recorded_at);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 5), FM_CORRECT, &operation);
    if (status == FM_OK)
        status = fm_value_uint(fm_map_get(map, 7), UINT64_MAX, &out->producer_sequence);
    if (status == FM_OK)
        status = decode_optional(map, out);
    out->operation = (enum fm_operation)operation;
    if (status != FM_OK)
        return status;
    if (operation == 0 || (operation == FM_ASSERT && out->has_superseded) ||
        (operation == FM_CORRECT && !out->has_superseded))
        return FM_MALFORMED;
    return status;
}

enum fm_status fm_fact_header_decode(struct fm_cursor *cursor, struct fm_fact_header *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_fact_header header = {0};
    size_t len;
    enum fm_status status = fm_doc_measure(fm_span(cursor->at, fm_cursor_left(cursor)), &len);
    if (status == FM_OK)
        status = fm_doc_parse(fm_span(cursor->at, len), &doc);
    if (status == FM_OK)
        status = decode_map(fm_doc_root(doc), &header);
    if (status != FM_OK)
        return status;
    cursor->at += len;
    *out = header;
    return FM_OK;
}
