#include "storage/segment.h"

#include "core/assert.h"
#include "storage/column_layout.h"
#include "storage/crc.h"

#include <stdlib.h>

/* ---- Header ---------------------------------------------------------------------------------- */

static bool header_holds(const struct column_header *header, const struct fm_type *type,
                         size_t value_len)
{
    uint32_t blocks = (header->rows + FM_BLOCK_ROWS - 1) / FM_BLOCK_ROWS;

    if (header->magic != COLUMN_MAGIC || header->rows == 0 || header->rows > FM_SEGMENT_ROWS ||
        header->block_count != blocks || header->null_count > header->rows)
        return false;
    if (header->header_bytes > value_len || header->header_bytes % 8 != 0 ||
        header->bounds_bytes > header->header_bytes ||
        header->aux_stored_bytes > header->header_bytes ||
        header->aux_bytes > SEGMENT_COLUMN_BYTES_MAX)
        return false;
    if (header->header_bytes <
        column_header_bytes(blocks, header->bounds_bytes, header->aux_stored_bytes))
        return false;
    if (header->kind != (uint8_t)type->kind || header->precision != type->precision ||
        header->scale != type->scale)
        return false;
    if ((header->flags & ~FM_VECTOR_ALL_NULL) != 0)
        return false;
    if ((header->encoding == SEGMENT_ENC_NESTED) != fm_type_is_nested(type))
        return false;
    switch (header->encoding) {
    case FM_ENC_PLAIN:
    case FM_ENC_CONSTANT:
    case SEGMENT_ENC_NESTED:
        return header->code_width == 0;
    case FM_ENC_DICTIONARY:
    case FM_ENC_FOR:
        return header->code_width == 1 || header->code_width == 2 || header->code_width == 4;
    default:
        return false;
    }
}

/* Bytes of the values of `rows` rows where their size is known beforehand. */
static uint32_t data_bytes(const struct column *column, uint32_t rows)
{
    if (column->encoding == FM_ENC_PLAIN)
        return rows * fm_type_width(column->type);
    return rows * column->code_width;
}

static bool is_text_plain(const struct column *column)
{
    return column->encoding == FM_ENC_PLAIN && fm_type_is_bytes(column->type);
}

static uint32_t validity_bytes(uint32_t rows)
{
    return (rows + 63) / 64 * 8;
}

static bool block_holds(const struct column *column, uint32_t index)
{
    const struct column_block *block = &column->blocks[index];
    uint32_t rows = column_block_rows(column, index);
    uint32_t validity = block->null_count > 0 ? validity_bytes(rows) : 0;

    if (block->null_count > rows || block->bounds_at > column->bounds.len)
        return false;
    if (column->all_null)
        return block->raw_bytes == 0 && block->null_count == rows;
    if (column->encoding == SEGMENT_ENC_NESTED)
        return block->raw_bytes >= FM_BATCH_HEADER_BYTES;
    if (is_text_plain(column))
        return block->raw_bytes >= validity + (rows + 1) * 4;
    return block->raw_bytes == validity + data_bytes(column, rows);
}

static enum fm_status open_blocks(struct column *column, const uint8_t *directory)
{
    uint64_t raw_sum = 0;
    uint64_t null_sum = 0;

    column->blocks = calloc(column->block_count, sizeof *column->blocks);
    if (column->blocks == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < column->block_count; i++) {
        struct column_block *block = &column->blocks[i];
        struct column_block_entry entry;

        memcpy(&entry, directory + i * sizeof entry, sizeof entry);
        if (entry.offset > column->value.len ||
            entry.stored_bytes > column->value.len - entry.offset)
            return FM_CORRUPT;
        *block = (struct column_block){
            .stored = fm_span(column->value.data + entry.offset, entry.stored_bytes),
            .raw_bytes = entry.raw_bytes,
            .crc = entry.crc,
            .null_count = entry.null_count,
            .compression = entry.compression,
            .bounds_at = entry.bounds_at,
        };
        raw_sum += entry.raw_bytes;
        null_sum += entry.null_count;
        if (!block_holds(column, i))
            return FM_CORRUPT;
    }
    return raw_sum <= SEGMENT_COLUMN_BYTES_MAX && null_sum == column->null_count ? FM_OK
                                                                                 : FM_CORRUPT;
}

static enum fm_status open_aux(struct column *column, const struct column_header *header)
{
    const uint8_t *stored = column->value.data + sizeof *header +
                            header->block_count * sizeof(struct column_block_entry) +
                            header->bounds_bytes;
    enum fm_status status;

    if (header->aux_bytes == 0)
        return column->encoding == FM_ENC_DICTIONARY ? FM_CORRUPT : FM_OK;
    column->aux = malloc(header->aux_bytes);
    if (column->aux == NULL)
        return FM_NOMEM;
    column->aux_bytes = header->aux_bytes;
    status =
        decompress_block(&column->decompressor, header->aux_compression,
                         fm_span(stored, header->aux_stored_bytes), column->aux, header->aux_bytes);
    if (status != FM_OK || column->encoding != FM_ENC_DICTIONARY)
        return status;
    status = fm_dictionary_check(fm_span(column->aux, column->aux_bytes),
                                 column->type->kind != FM_KIND_BLOB, &column->dictionary);
    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT;
}

static enum fm_status open_parts(struct column *column)
{
    struct column_header header;
    enum fm_status status;
    uint32_t width;

    if (column->value.len < sizeof header)
        return FM_CORRUPT;
    memcpy(&header, column->value.data, sizeof header);
    if (!header_holds(&header, column->type, column->value.len))
        return FM_CORRUPT;
    if (crc_of(fm_span(column->value.data, header.header_bytes - 4)) !=
        fm_load32(column->value.data + header.header_bytes - 4))
        return FM_CORRUPT;
    column->rows = header.rows;
    column->block_count = header.block_count;
    column->null_count = header.null_count;
    column->encoding = header.encoding;
    column->code_width = header.code_width;
    column->all_null = (header.flags & FM_VECTOR_ALL_NULL) != 0;
    column->base = header.base;
    column->step = header.step;
    column->bounds = fm_span(column->value.data + sizeof header +
                                 header.block_count * sizeof(struct column_block_entry),
                             header.bounds_bytes);
    width = fm_type_width(column->type);
    if (column->encoding == FM_ENC_CONSTANT && !column->all_null && width != 0 &&
        header.aux_bytes != width)
        return FM_CORRUPT;
    if (column->all_null && column->encoding != FM_ENC_CONSTANT)
        return FM_CORRUPT;
    status = open_blocks(column, column->value.data + sizeof header);
    return status == FM_OK ? open_aux(column, &header) : status;
}

enum fm_status column_open(struct fm_span value, const struct fm_type *type, struct column *out)
{
    struct column column = {.value = value, .type = type};
    enum fm_status status = open_parts(&column);

    if (status != FM_OK) {
        column_deinit(&column);
        return status;
    }
    *out = column;
    return FM_OK;
}

void column_deinit(struct column *column)
{
    free(column->aux);
    free(column->blocks);
    decompressor_deinit(&column->decompressor);
    *column = (struct column){0};
}

uint32_t column_block_rows(const struct column *column, uint32_t block)
{
    uint32_t before = block * FM_BLOCK_ROWS;

    fm_assert(block < column->block_count);
    return column->rows - before < FM_BLOCK_ROWS ? column->rows - before : FM_BLOCK_ROWS;
}

enum fm_status column_block_bounds(const struct column *column, uint32_t block, struct bounds *out)
{
    struct fm_span all = column->bounds;
    uint32_t at;
    struct fm_cursor cursor;

    fm_assert(block < column->block_count);
    at = column->blocks[block].bounds_at;
    cursor = fm_cursor(fm_span(all.data + at, all.len - at));
    return bounds_decode(&cursor, out);
}

/* Enums are compared by text here, as extremes.c does: whatever order SQL gives them, bounds that
 * are equal then mean one value. Their lengths take one byte. */
static int compare_bounds(const struct fm_type *type, struct fm_span a, struct fm_span b)
{
    size_t len = (a.len < b.len ? a.len : b.len) - 1;
    int order;

    if (type->kind != FM_KIND_ENUM)
        return fm_canonical_compare(type, a, b);
    order = len == 0 ? 0 : memcmp(a.data + 1, b.data + 1, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

void bounds_merge(struct bounds *bounds, const struct bounds *more, const struct fm_type *type)
{
    if (bounds->min_len == 0 || more->min_len == 0) {
        *bounds = (struct bounds){0};
        return;
    }
    if (compare_bounds(type, fm_span(more->min, more->min_len),
                       fm_span(bounds->min, bounds->min_len)) < 0) {
        bounds->min_len = more->min_len;
        memcpy(bounds->min, more->min, sizeof bounds->min);
        bounds->flags =
            (uint8_t)((bounds->flags & ~BOUNDS_MIN_CUT) | (more->flags & BOUNDS_MIN_CUT));
    }
    if (compare_bounds(type, fm_span(more->max, more->max_len),
                       fm_span(bounds->max, bounds->max_len)) > 0) {
        bounds->max_len = more->max_len;
        memcpy(bounds->max, more->max, sizeof bounds->max);
        bounds->flags =
            (uint8_t)((bounds->flags & ~BOUNDS_MAX_CUT) | (more->flags & BOUNDS_MAX_CUT));
    }
}

/* ---- Blocks to a batch ----------------------------------------------------------------------- */

/* Where the parts of the batch under construction are. */
struct target {
    struct fm_vector_entry entry;
    uint8_t *validity; /* NULL: no nulls. */
    uint8_t *data;
    uint8_t *text;       /* Plain texts. */
    uint32_t text_bytes; /* Filled so far. */
    uint32_t row;        /* Filled so far. */
};

/* One block's raw bytes; borrowed from the value when stored as they are. */
static enum fm_status block_raw(struct column *column, uint32_t index, struct fm_buf *scratch,
                                struct fm_span *out)
{
    const struct column_block *block = &column->blocks[index];
    enum fm_status status;
    uint8_t *raw;

    if (crc_of(block->stored) != block->crc)
        return FM_CORRUPT;
    if (block->compression == COMPRESSION_NONE) {
        *out = block->stored;
        return block->stored.len == block->raw_bytes ? FM_OK : FM_CORRUPT;
    }
    fm_buf_clear(scratch);
    raw = fm_buf_extend(scratch, block->raw_bytes);
    if (raw == NULL)
        return fm_buf_status(scratch);
    status = decompress_block(&column->decompressor, block->compression, block->stored, raw,
                              block->raw_bytes);
    *out = fm_span(raw, block->raw_bytes);
    return status;
}

static void put_validity(struct target *target, const uint8_t *validity, uint32_t rows)
{
    uint8_t *to = target->validity + target->row / 8;

    fm_assert(target->row % 64 == 0);
    if (validity != NULL) {
        memcpy(to, validity, validity_bytes(rows));
        return;
    }
    memset(to, 0xff, rows / 64 * 8);
    if (rows % 64 != 0)
        fm_store64(to + rows / 64 * 8, (UINT64_C(1) << (rows % 64)) - 1);
}

static uint32_t own_code(const uint8_t *codes, uint8_t width, uint32_t row)
{
    if (width == 1)
        return codes[row];
    return width == 2 ? fm_load16(codes + row * 2) : fm_load32(codes + row * 4);
}

static enum fm_status put_remapped(struct target *target, const struct column *column,
                                   const struct column_remap *remap, const uint8_t *codes,
                                   uint32_t rows)
{
    uint32_t count = column->encoding == FM_ENC_CONSTANT ? 1 : column->dictionary.count;
    uint8_t *to = target->data + (size_t)target->row * remap->code_width;

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t code = codes == NULL ? 0 : own_code(codes, column->code_width, i);

        if (code >= count)
            return FM_CORRUPT;
        if (remap->code_width == 1)
            to[i] = (uint8_t)remap->codes[code];
        else
            fm_store16(to + i * 2, (uint16_t)remap->codes[code]);
    }
    return FM_OK;
}

/* Offsets of a block begin with 0: shift them by the text that is there already. */
static enum fm_status put_texts(struct target *target, struct fm_span raw, uint32_t rows)
{
    size_t offsets_bytes = ((size_t)rows + 1) * 4;
    size_t text_bytes = raw.len - offsets_bytes;
    uint8_t *to = target->data + (size_t)target->row * 4;

    if (fm_load32(raw.data) != 0 || fm_load32(raw.data + (size_t)rows * 4) != text_bytes)
        return FM_CORRUPT;
    for (uint32_t i = 0; i <= rows; i++)
        fm_store32(to + (size_t)i * 4, fm_load32(raw.data + (size_t)i * 4) + target->text_bytes);
    if (text_bytes > 0)
        memcpy(target->text + target->text_bytes, raw.data + offsets_bytes, text_bytes);
    target->text_bytes += (uint32_t)text_bytes;
    return FM_OK;
}

static enum fm_status put_block(struct target *target, struct column *column, uint32_t index,
                                const struct column_remap *remap, struct fm_buf *scratch)
{
    uint32_t rows = column_block_rows(column, index);
    const uint8_t *validity = NULL;
    struct fm_span raw = {0};
    enum fm_status status = block_raw(column, index, scratch, &raw);

    if (status != FM_OK)
        return status;
    if (column->blocks[index].null_count > 0) {
        validity = raw.data;
        raw = fm_span(raw.data + validity_bytes(rows), raw.len - validity_bytes(rows));
    }
    if (target->validity != NULL)
        put_validity(target, validity, rows);
    if (remap != NULL)
        status = put_remapped(target, column, remap,
                              column->encoding == FM_ENC_CONSTANT ? NULL : raw.data, rows);
    else if (is_text_plain(column))
        status = put_texts(target, raw, rows);
    else if (raw.len > 0)
        memcpy(target->data + (size_t)target->row * (raw.len / rows), raw.data, raw.len);
    target->row += rows;
    return status;
}

static uint64_t align8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

/* Sizes and places of the sections of the batch of these blocks. */
static uint64_t plan_target(const struct column *column, uint32_t first, uint32_t count,
                            const struct column_remap *remap, struct fm_vector_entry *entry)
{
    uint64_t at = FM_BATCH_HEADER_BYTES + sizeof *entry;
    uint64_t text = 0;
    uint32_t rows = 0;
    uint32_t nulls = 0;

    for (uint32_t i = first; i < first + count; i++) {
        uint32_t block_rows = column_block_rows(column, i);
        uint32_t validity = column->blocks[i].null_count > 0 ? validity_bytes(block_rows) : 0;

        rows += block_rows;
        nulls += column->blocks[i].null_count;
        if (is_text_plain(column))
            text += column->blocks[i].raw_bytes - validity - (block_rows + 1) * 4;
    }
    *entry = (struct fm_vector_entry){
        .kind = (uint8_t)column->type->kind,
        .encoding = column->encoding,
        .code_width = column->code_width,
        .precision = column->type->precision,
        .scale = column->type->scale,
        .rows = rows,
        .null_count = nulls,
        .base = column->base,
        .step = column->step,
    };
    if (column->all_null) {
        entry->flags = FM_VECTOR_ALL_NULL;
        return at;
    }
    if (nulls > 0) {
        entry->validity_at = (uint32_t)at;
        at += validity_bytes(rows);
    }
    if (remap != NULL) {
        entry->encoding = FM_ENC_DICTIONARY;
        entry->code_width = remap->code_width;
        entry->flags = FM_VECTOR_DICT_OUTSIDE;
        entry->data_bytes = rows * remap->code_width;
    } else if (is_text_plain(column)) {
        entry->data_bytes = (rows + 1) * 4;
        entry->aux_bytes = (uint32_t)text;
    } else if (column->encoding == FM_ENC_CONSTANT) {
        bool is_bytes = fm_type_is_bytes(column->type);
        entry->data_bytes = is_bytes ? 0 : column->aux_bytes;
        entry->aux_bytes = is_bytes ? column->aux_bytes : 0;
    } else {
        entry->data_bytes = data_bytes(column, rows);
        entry->aux_bytes = column->encoding == FM_ENC_DICTIONARY ? column->aux_bytes : 0;
    }
    entry->data_at = entry->data_bytes > 0 ? (uint32_t)at : 0;
    at = align8(at + entry->data_bytes);
    entry->aux_at = entry->aux_bytes > 0 ? (uint32_t)at : 0;
    return align8(at + entry->aux_bytes);
}

static void write_header(uint8_t *batch, uint32_t total, const struct fm_vector_entry *entry)
{
    fm_store32(batch, FM_BATCH_MAGIC);
    fm_store32(batch + 4, total);
    fm_store32(batch + 8, entry->rows);
    fm_store16(batch + 12, 1);
    fm_store16(batch + 14, 1);
    memcpy(batch + FM_BATCH_HEADER_BYTES, entry, sizeof *entry);
}

static enum fm_status decode_flat(struct column *column, uint32_t first, uint32_t count,
                                  const struct column_remap *remap, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf scratch = FM_BUF_INIT(SEGMENT_COLUMN_BYTES_MAX);
    struct target target = {0};
    uint64_t total = plan_target(column, first, count, remap, &target.entry);
    enum fm_status status = FM_OK;
    uint8_t *batch;

    if (total > FM_BATCH_BYTES_MAX)
        return FM_CORRUPT;
    batch = fm_buf_extend(out, (size_t)total);
    if (batch == NULL)
        return fm_buf_status(out);
    memset(batch, 0, FM_BATCH_HEADER_BYTES + sizeof target.entry);
    if (target.entry.data_bytes % 8 != 0)
        memset(batch + target.entry.data_at + target.entry.data_bytes, 0,
               8 - target.entry.data_bytes % 8);
    if (target.entry.aux_bytes % 8 != 0)
        memset(batch + target.entry.aux_at + target.entry.aux_bytes, 0,
               8 - target.entry.aux_bytes % 8);
    write_header(batch, (uint32_t)total, &target.entry);
    target.validity = target.entry.validity_at != 0 ? batch + target.entry.validity_at : NULL;
    target.data = batch + target.entry.data_at;
    target.text = batch + target.entry.aux_at;
    for (uint32_t i = first; status == FM_OK && !column->all_null && i < first + count; i++)
        status = put_block(&target, column, i, remap, &scratch);
    if (status != FM_OK || column->all_null || remap != NULL || is_text_plain(column))
        return status;
    if (column->encoding == FM_ENC_CONSTANT && !fm_type_is_bytes(column->type))
        memcpy(target.data, column->aux, column->aux_bytes);
    else if (column->aux_bytes > 0)
        memcpy(target.text, column->aux, column->aux_bytes);
    return FM_OK;
}

static enum fm_status put_nested(struct fm_batch_builder *builder, struct column *column,
                                 uint32_t index, struct fm_buf *scratch)
{
    FM_AUTO(fm_buf_free) struct fm_buf aligned = FM_BUF_INIT(SEGMENT_COLUMN_BYTES_MAX);
    struct fm_span raw = {0};
    struct fm_batch batch;
    enum fm_status status = block_raw(column, index, scratch, &raw);

    if (status != FM_OK)
        return status;
    fm_buf_put_span(&aligned, raw);
    status = fm_buf_status(&aligned);
    if (status != FM_OK)
        return status;
    status = fm_batch_view(fm_buf_span(&aligned), &column->type, 1, NULL, &batch);
    if (status != FM_OK)
        return status == FM_NOMEM ? status : FM_CORRUPT;
    if (batch.rows != column_block_rows(column, index))
        return FM_CORRUPT;
    return fm_batch_put_rows(builder, 0, &batch, 0, NULL, 0, batch.rows, NULL);
}

static enum fm_status decode_nested(struct column *column, uint32_t first, uint32_t count,
                                    struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf scratch = FM_BUF_INIT(SEGMENT_COLUMN_BYTES_MAX);
    struct fm_batch_builder_options options = {.types = &column->type, .column_count = 1};
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    for (uint32_t i = first; status == FM_OK && i < first + count; i++)
        status = put_nested(builder, column, i, &scratch);
    return status == FM_OK ? fm_batch_builder_finish(builder, 0, out) : status;
}

enum fm_status column_decode(struct column *column, uint32_t first, uint32_t count,
                             const struct column_remap *remap, struct fm_buf *out)
{
    const struct fm_dictionary *dictionary = remap != NULL ? remap->dictionary : NULL;
    struct fm_batch batch;
    enum fm_status status;

    fm_assert(count >= 1);
    fm_assert(first < column->block_count && count <= column->block_count - first);
    fm_assert(out->len == 0);
    if (column->encoding == SEGMENT_ENC_NESTED)
        return decode_nested(column, first, count, out);
    status = decode_flat(column, first, count, remap, out);
    if (status != FM_OK)
        return status;
    /* Checksums hold, so this only finds what a faulty or hostile writer left. */
    status = fm_batch_view(fm_buf_span(out), &column->type, 1, &dictionary, &batch);
    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT;
}
