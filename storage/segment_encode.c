#include "storage/segment.h"

#include "core/assert.h"
#include "storage/column_layout.h"
#include "storage/crc.h"
#include "storage/extremes.h"
#include "storage/pack.h"

#include <stdlib.h>

struct column_encoder {
    struct compressor *compressor;
    struct fm_buf raw;    /* One block before compression. */
    struct fm_buf blocks; /* All stored blocks. */
    struct fm_buf bounds;
    struct fm_buf aux; /* As stored. */
    struct fm_buf scratch;
    struct column_block_entry entries[SEGMENT_BLOCKS_MAX];
};

enum fm_status column_encoder_new(struct column_encoder **out)
{
    FM_AUTO(column_encoder_freep) struct column_encoder *encoder = calloc(1, sizeof *encoder);
    enum fm_status status;

    if (encoder == NULL)
        return FM_NOMEM;
    status = compressor_new(&encoder->compressor);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(encoder);
    return FM_OK;
}

void column_encoder_free(struct column_encoder *encoder)
{
    if (encoder == NULL)
        return;
    compressor_free(encoder->compressor);
    fm_buf_free(&encoder->raw);
    fm_buf_free(&encoder->blocks);
    fm_buf_free(&encoder->bounds);
    fm_buf_free(&encoder->aux);
    fm_buf_free(&encoder->scratch);
    free(encoder);
}

/* What is being encoded. */
struct source {
    const struct fm_batch *batch;
    uint32_t column;
    const struct fm_vector_entry *vector;
    const struct fm_type *type;
    bool is_nested;
};

static enum fm_status raw_nested(struct column_encoder *encoder, const struct source *source,
                                 uint32_t first, uint32_t count)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    struct fm_batch_builder_options options = {
        .types = &source->type, .column_count = 1, .encode = true};
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    if (status == FM_OK)
        status =
            fm_batch_put_rows(builder, 0, source->batch, source->column, NULL, first, count, NULL);
    return status == FM_OK ? fm_batch_builder_finish(builder, 0, &encoder->raw) : status;
}

static void raw_texts(struct column_encoder *encoder, const struct source *source, uint32_t first,
                      uint32_t count)
{
    const uint8_t *offsets = source->batch->bytes + source->vector->data_at + (size_t)first * 4;
    uint32_t from = fm_load32(offsets);
    uint32_t to = fm_load32(offsets + (size_t)count * 4);

    for (uint32_t i = 0; i <= count; i++)
        fm_buf_put_u32(&encoder->raw, fm_load32(offsets + (size_t)i * 4) - from);
    fm_buf_put(&encoder->raw, source->batch->bytes + source->vector->aux_at + from, to - from);
}

/* One block's raw bytes: validity where there are nulls, then values or codes. */
static enum fm_status raw_block(struct column_encoder *encoder, const struct source *source,
                                uint32_t first, uint32_t count, uint32_t nulls)
{
    const struct fm_vector_entry *vector = source->vector;
    uint32_t width = vector->code_width;

    fm_buf_clear(&encoder->raw);
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return FM_OK;
    if (source->is_nested)
        return raw_nested(encoder, source, first, count);
    fm_assert(first % 64 == 0);
    if (nulls > 0)
        fm_buf_put(&encoder->raw, source->batch->bytes + vector->validity_at + first / 8,
                   (count + 63) / 64 * 8);
    if (vector->encoding == FM_ENC_PLAIN)
        width = fm_type_width(source->type);
    if (vector->encoding == FM_ENC_PLAIN && fm_type_is_bytes(source->type))
        raw_texts(encoder, source, first, count);
    else if (vector->encoding != FM_ENC_CONSTANT)
        fm_buf_put(&encoder->raw, source->batch->bytes + vector->data_at + (size_t)first * width,
                   (size_t)count * width);
    return fm_buf_status(&encoder->raw);
}

/* Bytes of each value or code, 0 where a block has none of one size. */
static uint32_t number_width(const struct source *source)
{
    const struct fm_vector_entry *vector = source->vector;

    if (source->is_nested || (vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return 0;
    if (vector->encoding == FM_ENC_PLAIN)
        return fm_type_is_bytes(source->type) ? 0 : fm_type_width(source->type);
    return vector->encoding == FM_ENC_CONSTANT ? 0 : vector->code_width;
}

static enum fm_status encode_block(struct column_encoder *encoder, const struct source *source,
                                   uint32_t index, struct segment_field *field)
{
    struct column_block_entry *entry = &encoder->entries[index];
    uint32_t first = index * FM_BLOCK_ROWS;
    uint32_t left = source->vector->rows - first;
    uint32_t count = left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS;
    size_t from = encoder->blocks.len;
    enum compression method = COMPRESSION_NONE;
    struct bounds bounds;
    enum fm_status status;

    *entry = (struct column_block_entry){
        .offset = from, /* Of the first block; the header's size is added later. */
        .null_count = nulls_count(source->batch, source->vector, first, count),
        .bounds_at = (uint32_t)encoder->bounds.len,
    };
    status = bounds_find(source->batch, source->vector, source->type, first, count,
                         &encoder->scratch, &bounds);
    if (status == FM_OK)
        status = raw_block(encoder, source, first, count, entry->null_count);
    if (status == FM_OK && pack_width_good(number_width(source)))
        status = compress_numbers(encoder->compressor, fm_buf_span(&encoder->raw), count,
                                  (uint8_t)number_width(source), &encoder->blocks, &method);
    else if (status == FM_OK)
        status = compress_block(encoder->compressor, fm_buf_span(&encoder->raw), &encoder->blocks,
                                &method);
    if (status != FM_OK)
        return status;
    bounds_encode(&encoder->bounds, &bounds);
    if (field->null_count == first)
        field->bounds = bounds; /* No values before this block. */
    else if (entry->null_count < count)
        bounds_merge(&field->bounds, &bounds, source->type);
    field->null_count += entry->null_count;
    entry->raw_bytes = (uint32_t)encoder->raw.len;
    entry->stored_bytes = (uint32_t)(encoder->blocks.len - from);
    entry->compression = (uint8_t)method;
    entry->crc = crc_of(fm_span(encoder->blocks.data + from, entry->stored_bytes));
    return FM_OK;
}

/* Dictionary, or the value of a constant column. */
static struct fm_span aux_of(const struct source *source)
{
    const struct fm_vector_entry *vector = source->vector;

    if (vector->encoding == FM_ENC_DICTIONARY)
        return fm_span(source->batch->bytes + vector->aux_at, vector->aux_bytes);
    if (vector->encoding != FM_ENC_CONSTANT || (vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return fm_span(NULL, 0);
    if (fm_type_is_bytes(source->type))
        return fm_span(source->batch->bytes + vector->aux_at, vector->aux_bytes);
    return fm_span(source->batch->bytes + vector->data_at, vector->data_bytes);
}

static void put_header(struct column_encoder *encoder, const struct column_header *header,
                       struct fm_buf *out)
{
    size_t from = out->len;
    uint32_t blocks = header->block_count;

    for (uint32_t i = 0; i < blocks; i++)
        encoder->entries[i].offset += header->header_bytes;
    fm_buf_put(out, header, sizeof *header);
    fm_buf_put(out, encoder->entries, blocks * sizeof encoder->entries[0]);
    fm_buf_put_span(out, fm_buf_span(&encoder->bounds));
    fm_buf_put_span(out, fm_buf_span(&encoder->aux));
    while (fm_buf_status(out) == FM_OK && out->len - from < header->header_bytes - 4u)
        fm_buf_put_u8(out, 0);
    value_seal(out, from);
}

enum fm_status column_encode(struct column_encoder *encoder, const struct fm_batch *batch,
                             uint32_t column, const struct fm_type *type, struct fm_buf *out,
                             struct segment_field *field)
{
    const struct fm_vector_entry *vector = &batch->vectors[column];
    struct source source = {batch, column, vector, type, fm_type_is_nested(type)};
    uint32_t blocks = (vector->rows + FM_BLOCK_ROWS - 1) / FM_BLOCK_ROWS;
    struct fm_span aux = aux_of(&source);
    enum compression method = COMPRESSION_NONE;
    size_t from = out->len;
    struct column_header header;
    enum fm_status status;

    fm_assert(vector->rows >= 1 && vector->rows <= FM_SEGMENT_ROWS);
    fm_assert((vector->flags & FM_VECTOR_DICT_OUTSIDE) == 0);
    fm_buf_clear(&encoder->blocks);
    fm_buf_clear(&encoder->bounds);
    fm_buf_clear(&encoder->aux);
    *field = (struct segment_field){.kind = vector->kind};
    for (uint32_t i = 0; i < blocks; i++) {
        status = encode_block(encoder, &source, i, field);
        if (status != FM_OK)
            return status;
    }
    status = compress_block(encoder->compressor, aux, &encoder->aux, &method);
    if (status != FM_OK)
        return status;
    field->encoding = source.is_nested ? SEGMENT_ENC_NESTED : vector->encoding;
    field->code_width = source.is_nested ? 0 : vector->code_width;
    header = (struct column_header){
        .magic = COLUMN_MAGIC,
        .header_bytes =
            (uint32_t)column_header_bytes(blocks, encoder->bounds.len, encoder->aux.len),
        .rows = vector->rows,
        .block_count = blocks,
        .kind = vector->kind,
        .encoding = field->encoding,
        .code_width = field->code_width,
        .flags = vector->flags,
        .precision = vector->precision,
        .scale = vector->scale,
        .aux_compression = (uint8_t)method,
        .null_count = vector->null_count,
        .bounds_bytes = (uint32_t)encoder->bounds.len,
        .aux_bytes = (uint32_t)aux.len,
        .aux_stored_bytes = (uint32_t)encoder->aux.len,
        .base = vector->base,
        .step = vector->step,
    };
    put_header(encoder, &header, out);
    fm_buf_put_span(out, fm_buf_span(&encoder->blocks));
    field->stored_bytes = out->len - from;
    return fm_buf_status(out);
}
