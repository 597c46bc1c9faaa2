#include "storage/slice.h"

#include "core/assert.h"
#include "core/bits.h"

static uint32_t width_of(const struct fm_vector_entry *vector)
{
    struct fm_type type = {.kind = (enum fm_kind)vector->kind, .precision = vector->precision};

    return fm_type_width(&type);
}

static bool is_bytes(const struct fm_vector_entry *vector)
{
    struct fm_type type = {.kind = (enum fm_kind)vector->kind};

    return fm_type_is_bytes(&type);
}

bool slice_possible(const struct fm_vector_entry *vector)
{
    struct fm_type type = {.kind = (enum fm_kind)vector->kind};

    if (fm_type_is_nested(&type))
        return false;
    return vector->encoding != FM_ENC_DICTIONARY || (vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0;
}

static uint64_t align8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

/* The entry of one column of the slice, its sections laid out from `*at` on. */
static struct fm_vector_entry plan(const struct slice_column *column, uint32_t rows, uint64_t *at)
{
    const struct fm_vector_entry *from = &column->batch->vectors[column->column];
    struct fm_vector_entry entry = *from;
    const uint8_t *data = column->batch->bytes + from->data_at;

    fm_assert(column->first % 64 == 0);
    fm_assert(column->first <= from->rows && rows <= from->rows - column->first);
    entry.rows = rows;
    entry.null_count = 0;
    entry.validity_at = entry.data_at = entry.aux_at = 0;
    if ((from->flags & FM_VECTOR_ALL_NULL) != 0) {
        entry.null_count = rows;
        return entry;
    }
    if (from->validity_at != 0)
        entry.null_count = rows - (uint32_t)fm_bits_count(column->batch->bytes + from->validity_at,
                                                          column->first, rows);
    if (entry.null_count > 0) {
        entry.validity_at = (uint32_t)*at;
        *at += fm_bits_words(rows) * 8;
    }
    if (from->encoding == FM_ENC_PLAIN && is_bytes(from)) {
        entry.data_bytes = (rows + 1) * 4;
        entry.aux_bytes = fm_load32(data + ((size_t)column->first + rows) * 4) -
                          fm_load32(data + (size_t)column->first * 4);
    } else if (from->encoding == FM_ENC_PLAIN) {
        entry.data_bytes = rows * width_of(from);
    } else if (from->encoding != FM_ENC_CONSTANT) {
        entry.data_bytes = rows * from->code_width;
    }
    if (entry.data_bytes > 0) {
        entry.data_at = (uint32_t)*at;
        *at = align8(*at + entry.data_bytes);
    }
    if (entry.aux_bytes > 0) {
        entry.aux_at = (uint32_t)*at;
        *at = align8(*at + entry.aux_bytes);
    }
    return entry;
}

uint64_t slice_bytes(const struct slice_column *columns, uint32_t count, uint32_t rows)
{
    uint64_t at = FM_BATCH_HEADER_BYTES + (uint64_t)count * sizeof(struct fm_vector_entry);

    for (uint32_t i = 0; i < count; i++)
        (void)plan(&columns[i], rows, &at); /* Only where it ends matters here. */
    return at;
}

static void copy_validity(const struct slice_column *column, const struct fm_vector_entry *entry,
                          uint8_t *batch)
{
    const struct fm_vector_entry *from = &column->batch->vectors[column->column];
    size_t words = fm_bits_words(entry->rows);
    uint8_t *to = batch + entry->validity_at;

    memcpy(to, column->batch->bytes + from->validity_at + column->first / 8, words * 8);
    if (entry->rows % 64 != 0) {
        uint8_t *last = to + (words - 1) * 8;

        fm_store64(last, fm_load64(last) & fm_bits_mask(entry->rows % 64));
    }
}

static void copy_texts(const struct slice_column *column, const struct fm_vector_entry *entry,
                       uint8_t *batch)
{
    const struct fm_vector_entry *from = &column->batch->vectors[column->column];
    const uint8_t *offsets = column->batch->bytes + from->data_at + (size_t)column->first * 4;
    uint32_t shift = fm_load32(offsets);

    for (size_t i = 0; i <= entry->rows; i++)
        fm_store32(batch + entry->data_at + i * 4, fm_load32(offsets + i * 4) - shift);
    if (entry->aux_bytes > 0)
        memcpy(batch + entry->aux_at, column->batch->bytes + from->aux_at + shift,
               entry->aux_bytes);
}

static void zero_padding(uint8_t *batch, uint32_t at, uint32_t bytes)
{
    if (bytes % 8 != 0)
        memset(batch + at + bytes, 0, 8 - bytes % 8);
}

static void copy_column(const struct slice_column *column, const struct fm_vector_entry *entry,
                        uint8_t *batch)
{
    const struct fm_vector_entry *from = &column->batch->vectors[column->column];
    const uint8_t *bytes = column->batch->bytes;

    zero_padding(batch, entry->data_at, entry->data_bytes);
    zero_padding(batch, entry->aux_at, entry->aux_bytes);
    if (entry->validity_at != 0)
        copy_validity(column, entry, batch);
    if (from->encoding == FM_ENC_PLAIN && is_bytes(from)) {
        copy_texts(column, entry, batch);
    } else if (from->encoding == FM_ENC_CONSTANT) {
        if (entry->data_bytes > 0)
            memcpy(batch + entry->data_at, bytes + from->data_at, entry->data_bytes);
        if (entry->aux_bytes > 0)
            memcpy(batch + entry->aux_at, bytes + from->aux_at, entry->aux_bytes);
    } else if (entry->data_bytes > 0) {
        size_t width = entry->data_bytes / entry->rows;

        memcpy(batch + entry->data_at, bytes + from->data_at + column->first * width,
               entry->data_bytes);
    }
}

enum fm_status slice_write(const struct slice_column *columns, uint32_t count, uint32_t rows,
                           struct fm_buf *out)
{
    uint64_t total = slice_bytes(columns, count, rows);
    uint64_t at = FM_BATCH_HEADER_BYTES + (uint64_t)count * sizeof(struct fm_vector_entry);
    uint8_t *batch;

    fm_assert(out->len == 0);
    fm_assert(rows > 0);
    if (total > FM_BATCH_BYTES_MAX)
        return FM_LIMIT;
    batch = fm_buf_extend(out, (size_t)total);
    if (batch == NULL)
        return fm_buf_status(out);
    memset(batch, 0, FM_BATCH_HEADER_BYTES);
    fm_store32(batch, FM_BATCH_MAGIC);
    fm_store32(batch + 4, (uint32_t)total);
    fm_store32(batch + 8, rows);
    fm_store16(batch + 12, (uint16_t)count);
    fm_store16(batch + 14, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        struct fm_vector_entry entry = plan(&columns[i], rows, &at);

        memcpy(batch + FM_BATCH_HEADER_BYTES + i * sizeof entry, &entry, sizeof entry);
        copy_column(&columns[i], &entry, batch);
    }
    fm_assert(at == total);
    return FM_OK;
}
