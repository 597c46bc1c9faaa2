/* The builder's face: columns made from types, puts that are all or nothing, the finished bytes. */
#include "core/batch_build.h"

/* ---- Making -------------------------------------------------------------------------------- */

static void init_buffers(struct fm_column *column)
{
    struct fm_buf *const buffers[] = {
        &column->validity,     &column->data,        &column->offsets,       &column->text,
        &column->runs,         &column->table.text,  &column->table.offsets, &column->table.hashes,
        &column->source_texts, &column->source_codes};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        *buffers[i] = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
}

static uint32_t vectors_below(const struct fm_type *type)
{
    return type->kind == FM_KIND_MAP ? 1 : type->child_count;
}

static enum fm_status init_column(struct fm_column *column, const struct fm_type *type,
                                  const struct fm_column *parent);

/* The struct between a map and its key and value. */
static enum fm_status init_entries(struct fm_column *column, const struct fm_type *map,
                                   const struct fm_column *parent)
{
    init_buffers(column);
    column->kind = FM_KIND_STRUCT;
    column->encode = parent->encode;
    column->below_list = true;
    column->store = FM_STORE_NESTED;
    column->children = calloc(2, sizeof *column->children);
    if (column->children == NULL)
        return FM_NOMEM;
    column->child_count = 2;
    enum fm_status status = init_column(&column->children[0], &map->children[0], column);
    return status == FM_OK ? init_column(&column->children[1], &map->children[1], column) : status;
}

static enum fm_status init_column(struct fm_column *column, const struct fm_type *type,
                                  const struct fm_column *parent)
{
    init_buffers(column);
    column->type = type;
    column->kind = type->kind;
    column->precision = type->precision;
    column->scale = type->scale;
    column->width = fm_type_width(type);
    column->is_unsigned = fm_kind_is_unsigned(type->kind);
    if (parent != NULL) {
        column->encode = parent->encode;
        column->below_list = parent->below_list || parent->kind == FM_KIND_LIST;
    }
    column->store = fm_column_first_store(column);
    enum fm_status status = fm_enum_index_init(&column->labels, type);
    uint32_t count = vectors_below(type);
    if (status != FM_OK || count == 0)
        return status;
    column->children = calloc(count, sizeof *column->children);
    if (column->children == NULL)
        return FM_NOMEM;
    column->child_count = count;
    if (type->kind == FM_KIND_MAP)
        return init_entries(&column->children[0], type, column);
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = init_column(&column->children[i], &type->children[i], column);
    return status;
}

static uint32_t count_vectors(const struct fm_column *column)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < column->child_count; i++)
        count += count_vectors(&column->children[i]);
    return count;
}

/* The directory's order: a queue that is never emptied. */
static enum fm_status order_columns(struct fm_batch_builder *builder)
{
    uint32_t next = builder->column_count;
    for (uint32_t i = 0; i < builder->column_count; i++)
        builder->vector_count += count_vectors(&builder->columns[i]);
    if (builder->vector_count > FM_VECTORS_MAX)
        return FM_LIMIT;
    builder->order = calloc(builder->vector_count, sizeof(struct fm_column *));
    builder->first_child = calloc(builder->vector_count, sizeof *builder->first_child);
    if (builder->order == NULL || builder->first_child == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < builder->column_count; i++)
        builder->order[i] = &builder->columns[i];
    for (uint32_t i = 0; i < builder->vector_count; i++) {
        struct fm_column *column = builder->order[i];
        builder->first_child[i] = (uint16_t)(column->child_count > 0 ? next : 0);
        for (uint32_t j = 0; j < column->child_count; j++)
            builder->order[next++] = &column->children[j];
    }
    fm_assert(next == builder->vector_count);
    return FM_OK;
}

static size_t frame_bytes(const struct fm_batch_builder *builder)
{
    return FM_BATCH_HEADER_BYTES + builder->vector_count * sizeof(struct fm_vector_entry);
}

static size_t count_bytes(const struct fm_batch_builder *builder)
{
    size_t bytes = frame_bytes(builder);
    for (uint32_t i = 0; i < builder->column_count; i++)
        bytes += fm_column_bound(&builder->columns[i]);
    return bytes;
}

static enum fm_status init_builder(struct fm_batch_builder *builder,
                                   const struct fm_batch_builder_options *options)
{
    uint32_t count = options->column_count;
    builder->types = calloc(count, sizeof *builder->types);
    builder->columns = calloc(count, sizeof *builder->columns);
    if (builder->types == NULL || builder->columns == NULL)
        return FM_NOMEM;
    builder->column_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_column *column = &builder->columns[i];
        enum fm_status status = fm_type_copy(options->types[i], &builder->types[i]);
        if (status != FM_OK)
            return status;
        column->encode = options->encode;
        if (options->dictionaries != NULL && fm_type_is_bytes(&builder->types[i]))
            column->outside = options->dictionaries[i];
        if (column->outside != NULL)
            column->code_width = column->outside->count <= 256 ? 1 : 2;
        status = init_column(column, &builder->types[i], NULL);
        if (status != FM_OK)
            return status;
    }
    return order_columns(builder);
}

enum fm_status fm_batch_builder_new(const struct fm_batch_builder_options *options,
                                    struct fm_batch_builder **out)
{
    if (options->column_count == 0)
        return FM_INVALID;
    if (options->column_count > FM_COLUMNS_MAX)
        return FM_LIMIT;
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL)
        return FM_NOMEM;
    enum fm_status status = init_builder(builder, options);
    if (status != FM_OK)
        return status;
    builder->bytes = count_bytes(builder);
    *out = FM_TAKE(builder);
    return FM_OK;
}

void fm_batch_builder_free(struct fm_batch_builder *builder)
{
    if (builder == NULL)
        return;
    for (uint32_t i = 0; i < builder->column_count; i++) {
        fm_column_deinit(&builder->columns[i]);
        fm_type_deinit(&builder->types[i]);
    }
    free(builder->columns);
    free(builder->types);
    free(builder->order);
    free(builder->first_child);
    free(builder);
}

/* ---- Putting ------------------------------------------------------------------------------- */

struct put {
    struct fm_batch_builder *builder;
    struct fm_column *column;
    uint32_t rows;
    size_t bytes;
};

static struct put begin_put(struct fm_batch_builder *builder, uint32_t column)
{
    fm_assert(column < builder->column_count);
    struct fm_column *target = &builder->columns[column];
    return (struct put){builder, target, target->rows, fm_column_bound(target)};
}

/* Keep what was put, or cut the column back to what it was. */
static enum fm_status end_put(const struct put *put, enum fm_status status)
{
    size_t others = put->builder->bytes - put->bytes;
    if (status == FM_OK && (put->column->rows > FM_BATCH_ROWS_MAX ||
                            fm_column_bound(put->column) > FM_BATCH_BYTES_MAX - others))
        status = FM_LIMIT;
    if (status != FM_OK)
        fm_column_truncate(put->column, put->rows);
    put->builder->bytes = others + fm_column_bound(put->column);
    return status;
}

enum fm_status fm_batch_put_null(struct fm_batch_builder *builder, uint32_t column)
{
    struct put put = begin_put(builder, column);
    return end_put(&put, fm_column_put_null(put.column));
}

enum fm_status fm_batch_put_fixed(struct fm_batch_builder *builder, uint32_t column,
                                  const void *value)
{
    return fm_batch_put_fixed_many(builder, column, value, NULL, 1);
}

enum fm_status fm_batch_put_fixed_many(struct fm_batch_builder *builder, uint32_t column,
                                       const void *values, const uint64_t *validity, uint32_t count)
{
    struct put put = begin_put(builder, column);
    if (put.column->width == 0)
        return FM_INVALID;
    if (count > FM_BATCH_ROWS_MAX)
        return FM_LIMIT;
    return end_put(&put, fm_fixed_put(put.column, values, validity, count));
}

enum fm_status fm_batch_put_bytes(struct fm_batch_builder *builder, uint32_t column,
                                  struct fm_span value)
{
    struct put put = begin_put(builder, column);
    if (!fm_type_is_bytes(put.column->type))
        return FM_INVALID;
    return end_put(&put, fm_text_put(put.column, value));
}

enum fm_status fm_batch_put_canonical(struct fm_batch_builder *builder, uint32_t column,
                                      struct fm_cursor *value)
{
    struct put put = begin_put(builder, column);
    struct fm_cursor at = *value;
    enum fm_status status = fm_column_put_canonical(put.column, &at);
    if (status == FM_INVALID && put.column->outside == NULL)
        status = FM_MALFORMED; /* A text that its enum does not have. */
    if (status == FM_OK && (size_t)(at.at - value->at) > FM_VALUE_BYTES_MAX + 8)
        status = FM_LIMIT;
    status = end_put(&put, status);
    if (status == FM_OK)
        *value = at;
    return status;
}

/* The vector and all below it are of the column's type. */
static bool vector_matches(const struct fm_column *column, const struct fm_batch *batch,
                           const struct fm_vector_entry *vector)
{
    if (vector->kind != (uint8_t)column->kind || vector->precision != column->precision ||
        vector->scale != column->scale || vector->child_count != column->child_count)
        return false;
    for (uint32_t i = 0; i < column->child_count; i++)
        if (!vector_matches(&column->children[i], batch, &batch->vectors[vector->first_child + i]))
            return false;
    return true;
}

static uint32_t count_selected(const uint64_t *selection, uint32_t count)
{
    return selection == NULL ? count : (uint32_t)fm_bits_count(selection, 0, count);
}

enum fm_status fm_batch_put_rows(struct fm_batch_builder *builder, uint32_t column,
                                 const struct fm_batch *from, uint32_t from_column,
                                 const struct fm_dictionary *from_dictionary, uint32_t first,
                                 uint32_t count, const uint64_t *selection)
{
    struct put put = begin_put(builder, column);
    fm_assert(from_column < from->column_count);
    const struct fm_slice slice = {
        .batch = from,
        .vector = &from->vectors[from_column],
        .dictionary = from_dictionary,
        .first = first,
        .count = count,
        .selection = selection,
        .selected = count_selected(selection, count),
    };
    fm_assert(first <= slice.vector->rows && count <= slice.vector->rows - first);
    if (!vector_matches(put.column, from, slice.vector))
        return FM_INVALID;
    if ((slice.vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0 && from_dictionary == NULL)
        return FM_INVALID;
    if (slice.selected > FM_BATCH_ROWS_MAX - put.rows)
        return FM_LIMIT;
    return end_put(&put, fm_column_put_slice(put.column, &slice));
}

uint32_t fm_batch_builder_rows(const struct fm_batch_builder *builder)
{
    return builder->columns[0].rows;
}

size_t fm_batch_builder_bytes(const struct fm_batch_builder *builder)
{
    return builder->bytes;
}

/* ---- Finishing ----------------------------------------------------------------------------- */

static void write_header(const struct fm_batch_builder *builder, uint64_t first_row, size_t total,
                         uint8_t *at)
{
    fm_store32(at, FM_BATCH_MAGIC);
    fm_store32(at + 4, (uint32_t)total);
    fm_store32(at + 8, builder->columns[0].rows);
    fm_store16(at + 12, (uint16_t)builder->column_count);
    fm_store16(at + 14, (uint16_t)builder->vector_count);
    fm_store64(at + 16, first_row);
    fm_store64(at + 24, 0);
}

static enum fm_status write_batch(struct fm_batch_builder *builder, uint64_t first_row,
                                  struct fm_buf *out)
{
    fm_buf_align(out, 8);
    size_t start = out->len, frame = frame_bytes(builder);
    uint8_t *head = fm_buf_extend(out, frame);
    if (head == NULL)
        return fm_buf_status(out);
    memset(head, 0, frame);
    for (uint32_t i = 0; i < builder->vector_count; i++) {
        struct fm_column *column = builder->order[i];
        struct fm_vector_entry entry = {
            .kind = (uint8_t)column->kind,
            .precision = column->precision,
            .scale = column->scale,
            .first_child = builder->first_child[i],
            .child_count = (uint16_t)column->child_count,
            .rows = column->rows,
            .null_count = column->null_count,
        };
        enum fm_status status = fm_column_emit(column, out, start, &entry);
        if (status != FM_OK)
            return status;
        memcpy(out->data + start + FM_BATCH_HEADER_BYTES + i * sizeof entry, &entry, sizeof entry);
    }
    size_t total = out->len - start;
    if (total > FM_BATCH_BYTES_MAX)
        return FM_LIMIT;
    fm_assert(total % 8 == 0);
    write_header(builder, first_row, total, out->data + start);
    return FM_OK;
}

enum fm_status fm_batch_builder_finish(struct fm_batch_builder *builder, uint64_t first_row,
                                       struct fm_buf *out)
{
    size_t before = out->len;
    for (uint32_t i = 1; i < builder->column_count; i++)
        if (builder->columns[i].rows != builder->columns[0].rows)
            return FM_INVALID;
    enum fm_status status = write_batch(builder, first_row, out);
    if (status != FM_OK) {
        out->len = before;
        return status;
    }
    for (uint32_t i = 0; i < builder->column_count; i++)
        fm_column_clear(&builder->columns[i]);
    builder->bytes = count_bytes(builder);
    return FM_OK;
}
