/* Stored column values of a hostile writer: the first byte chooses the type, or that it is the
 * order of a segment's rows; the rest is the value. Checksums are put right first, as such a writer
 * would. What opens and decodes is read in full. */
#include "storage/segment.h"

#include "core/assert.h"
#include "storage/column_layout.h"
#include "storage/crc.h"
#include "storage/order.h"
#include "tests/support/storage_examples.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORDER 8u

static const char *const types[] = {
    "int16",       "timestamp",     "varchar", "double",
    "list(int32)", "decimal(38,4)", "boolean", "enum('a','b')",
};

static void repair(uint8_t *value, size_t size)
{
    struct column_header header;

    if (size < sizeof header)
        return;
    memcpy(&header, value, sizeof header);
    for (uint32_t i = 0; i < header.block_count; i++) {
        size_t at = sizeof header + i * sizeof(struct column_block_entry);
        struct column_block_entry entry;

        if (size < at || size - at < sizeof entry)
            break;
        memcpy(&entry, value + at, sizeof entry);
        if (entry.offset <= size && entry.stored_bytes <= size - entry.offset)
            entry.crc = crc_of(fm_span(value + entry.offset, entry.stored_bytes));
        memcpy(value + at, &entry, sizeof entry);
    }
    if (header.header_bytes >= 4 && header.header_bytes <= size)
        fm_store32(value + header.header_bytes - 4,
                   crc_of(fm_span(value, header.header_bytes - 4)));
}

static void read_rows(const struct fm_batch *batch, const struct fm_type *type)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);

    for (uint32_t row = 0; row < batch->rows; row++) {
        if (fm_vector_is_null(batch, batch->vectors, row))
            continue;
        fm_buf_clear(&value);
        fm_assert(fm_vector_canonical(batch, batch->vectors, type, NULL, row, &value) == FM_OK);
    }
}

static void decode(struct column *column, uint32_t first, uint32_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(1u << 24);
    struct bounds bounds;
    struct fm_batch batch;

    if (column_block_bounds(column, first, &bounds) != FM_OK ||
        column_decode(column, first, count, NULL, &out) != FM_OK)
        return;
    fm_assert(fm_batch_view(fm_buf_span(&out), &column->type, 1, NULL, &batch) == FM_OK);
    read_rows(&batch, column->type);
}

/* What decodes is a permutation: it can be turned round. */
static void read_order(struct fm_span value)
{
    struct column_header header;
    uint32_t *offsets;

    if (value.len < sizeof header)
        return;
    memcpy(&header, value.data, sizeof header);
    if (header.rows == 0 || header.rows > FM_SEGMENT_ROWS)
        return;
    offsets = calloc(header.rows, 2 * sizeof *offsets);
    fm_assert(offsets != NULL);
    if (order_decode(value, header.rows, offsets) == FM_OK) {
        uint32_t *places = offsets + header.rows;

        for (uint32_t row = 0; row < header.rows; row++)
            places[offsets[row]] = row + 1;
        for (uint32_t i = 0; i < header.rows; i++)
            fm_assert(places[i] > 0);
    }
    free(offsets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_type type = {0};
    struct column column;
    uint8_t *value;

    if (size < 1)
        return 0;
    value = malloc(size);
    fm_assert(value != NULL);
    memcpy(value, data + 1, size - 1);
    repair(value, size - 1);
    if (data[0] == ORDER) {
        read_order(fm_span(value, size - 1));
        free(value);
        return 0;
    }
    fm_assert(fm_type_parse(fm_span_str(types[data[0] % 8]), &type, NULL) == FM_OK);
    if (column_open(fm_span(value, size - 1), &type, &column) == FM_OK) {
        decode(&column, 0, column.block_count);
        decode(&column, column.block_count - 1, 1);
        column_deinit(&column);
    }
    fm_type_deinit(&type);
    free(value);
    return 0;
}
