#include "storage/spans.h"

#include "core/limits.h"

#include <stdlib.h>

/* ---- As in a segment's record ---------------------------------------------------------------- */

void spans_put(struct fm_buf *out, const struct segment_span *spans, uint32_t count)
{
    fm_buf_put_uvarint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_uvarint(out, spans[i].rows);
        fm_fact_header_encode(out, &spans[i].header);
    }
}

static enum fm_status take_span(struct fm_cursor *cursor, struct segment_span *out)
{
    uint64_t rows = 0;

    if (fm_take_uvarint(cursor, &rows) != FM_OK || rows == 0 || rows > FM_SEGMENT_ROWS)
        return FM_CORRUPT;
    out->rows = (uint32_t)rows;
    enum fm_status status = fm_fact_header_decode(cursor, &out->header);
    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT; /* As hot values do. */
}

enum fm_status spans_take(struct fm_cursor *cursor, uint32_t rows, struct segment_span **out,
                          uint32_t *out_count)
{
    FM_AUTO(fm_mem_freep) struct segment_span *spans = NULL;
    enum fm_status status = FM_OK;
    uint64_t count = 0;
    uint64_t sum = 0;

    if (fm_take_uvarint(cursor, &count) != FM_OK || count == 0 || count > FM_SEGMENT_ROWS ||
        count > fm_cursor_left(cursor))
        return FM_CORRUPT;
    spans = calloc(count, sizeof *spans);
    if (spans == NULL)
        return FM_NOMEM;
    for (uint64_t i = 0; status == FM_OK && i < count; i++) {
        status = take_span(cursor, &spans[i]);
        sum += spans[i].rows;
    }
    if (status == FM_OK && sum != rows)
        status = FM_CORRUPT;
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(spans);
    *out_count = (uint32_t)count;
    return FM_OK;
}

/* ---- A value of their own -------------------------------------------------------------------- */

enum fm_status spans_encode(struct compressor *compressor, const struct segment_span *spans,
                            uint32_t count, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf raw = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf stored = FM_BUF_INIT(0);
    enum compression method = COMPRESSION_NONE;
    size_t from = out->len;
    enum fm_status status;

    spans_put(&raw, spans, count);
    status = fm_buf_status(&raw);
    if (status == FM_OK)
        status = compress_block(compressor, fm_buf_span(&raw), &stored, &method);
    if (status != FM_OK)
        return status;
    fm_buf_put_u8(out, (uint8_t)method);
    fm_buf_put_u32(out, (uint32_t)raw.len);
    fm_buf_put_span(out, fm_buf_span(&stored));
    value_seal(out, from);
    return fm_buf_status(out);
}

enum fm_status spans_decode(struct fm_span bytes, uint32_t rows, struct segment_span **out,
                            uint32_t *out_count)
{
    FM_AUTO(decompressor_deinit) struct decompressor decompressor = {0};
    FM_AUTO(fm_buf_free) struct fm_buf raw = FM_BUF_INIT(SPANS_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct segment_span *spans = NULL;
    struct fm_span content = {0};
    struct fm_cursor cursor;
    uint32_t raw_bytes;
    uint8_t *to;
    enum fm_status status = value_open(bytes, &content);

    if (status != FM_OK || content.len < 5)
        return FM_CORRUPT;
    raw_bytes = fm_load32(content.data + 1);
    if (raw_bytes == 0 || raw_bytes > SPANS_BYTES_MAX)
        return FM_CORRUPT;
    to = fm_buf_extend(&raw, raw_bytes);
    if (to == NULL)
        return fm_buf_status(&raw);
    status = decompress_block(&decompressor, content.data[0],
                              fm_span(content.data + 5, content.len - 5), to, raw_bytes);
    if (status != FM_OK)
        return status;
    cursor = fm_cursor(fm_buf_span(&raw));
    status = spans_take(&cursor, rows, &spans, out_count);
    if (status == FM_OK && fm_cursor_left(&cursor) != 0)
        status = FM_CORRUPT;
    if (status == FM_OK)
        *out = FM_TAKE(spans);
    return status;
}
