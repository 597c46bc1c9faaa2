/* Lists, structs and maps in a builder. A map's child is a struct of key and value. Recursion goes
 * over types, whose depth was checked. */
#include "core/batch_build.h"
#include "core/canonical.h"

enum fm_status fm_nested_put_null(struct fm_column *column)
{
    enum fm_status status = FM_OK;
    if (column->kind != FM_KIND_STRUCT)
        status = fm_column_put_offset(column, fm_column_offset(column, column->rows));
    for (uint32_t i = 0; column->kind == FM_KIND_STRUCT && i < column->child_count; i++)
        if (status == FM_OK)
            status = fm_column_put_null(&column->children[i]);
    return status == FM_OK ? fm_column_add_rows(column, &(uint64_t){0}, 1) : status;
}

/* ---- Slices -------------------------------------------------------------------------------- */

static enum fm_status put_child_rows(struct fm_column *column, const struct fm_slice *slice,
                                     uint32_t child, uint32_t first, uint32_t count,
                                     const uint64_t *selection, uint32_t selected)
{
    const struct fm_slice part = {
        .batch = slice->batch,
        .vector = &slice->batch->vectors[slice->vector->first_child + child],
        .first = first,
        .count = count,
        .selection = selection,
        .selected = selected,
    };
    return fm_column_put_slice(&column->children[child], &part);
}

static enum fm_status put_list_row(struct fm_column *column, const struct fm_slice *slice,
                                   uint32_t row)
{
    const uint8_t *offsets = slice->batch->bytes + slice->vector->data_at + (size_t)row * 4;
    uint32_t from = fm_load32(offsets), count = fm_load32(offsets + 4) - from;
    enum fm_status status = put_child_rows(column, slice, 0, from, count, NULL, count);
    if (status == FM_OK)
        status = fm_column_put_offset(column, column->children[0].rows);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

static enum fm_status put_struct_row(struct fm_column *column, const struct fm_slice *slice,
                                     uint32_t row)
{
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; status == FM_OK && i < column->child_count; i++)
        status = put_child_rows(column, slice, i, row, 1, NULL, 1);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

/* All rows of lists at once: one stretch of the child, offsets moved. */
static enum fm_status put_whole_lists(struct fm_column *column, const struct fm_slice *slice)
{
    const uint8_t *offsets =
        slice->batch->bytes + slice->vector->data_at + (size_t)slice->first * 4;
    uint32_t from = fm_load32(offsets), base = column->children[0].rows;
    uint32_t count = fm_load32(offsets + (size_t)slice->count * 4) - from;
    enum fm_status status = put_child_rows(column, slice, 0, from, count, NULL, count);
    for (uint32_t i = 1; status == FM_OK && i <= slice->count; i++)
        status = fm_column_put_offset(column, base + fm_load32(offsets + (size_t)i * 4) - from);
    return status == FM_OK ? fm_column_add_rows(column, NULL, slice->count) : status;
}

static enum fm_status put_whole_structs(struct fm_column *column, const struct fm_slice *slice)
{
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; status == FM_OK && i < column->child_count; i++)
        status = put_child_rows(column, slice, i, slice->first, slice->count, slice->selection,
                                slice->selected);
    return status == FM_OK ? fm_column_add_rows(column, NULL, slice->selected) : status;
}

/* What lies below a null is left behind: nobody may have looked at it. */
static enum fm_status put_each(struct fm_column *column, const struct fm_slice *slice)
{
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; status == FM_OK && i < slice->count; i++) {
        uint32_t row = slice->first + i;
        if (slice->selection != NULL && !fm_bits_get(slice->selection, i))
            continue;
        if (fm_vector_is_null(slice->batch, slice->vector, row))
            status = fm_nested_put_null(column);
        else if (column->kind == FM_KIND_STRUCT)
            status = put_struct_row(column, slice, row);
        else
            status = put_list_row(column, slice, row);
    }
    return status;
}

enum fm_status fm_nested_put_slice(struct fm_column *column, const struct fm_slice *slice)
{
    fm_assert(slice->vector->child_count == column->child_count);
    if (slice->vector->null_count > 0)
        return put_each(column, slice);
    if (column->kind == FM_KIND_STRUCT)
        return put_whole_structs(column, slice);
    return slice->selection == NULL ? put_whole_lists(column, slice) : put_each(column, slice);
}

/* ---- Canonical values ---------------------------------------------------------------------- */

static enum fm_status put_optional(struct fm_column *column, struct fm_cursor *cursor)
{
    bool present;
    enum fm_status status = fm_canonical_take_flag(cursor, &present);
    if (status != FM_OK)
        return status;
    return present ? fm_column_put_canonical(column, cursor) : fm_column_put_null(column);
}

static enum fm_status put_scalar(struct fm_column *column, struct fm_cursor *cursor)
{
    uint8_t fixed[FM_CANONICAL_FIXED_MAX];
    struct fm_span bytes;
    enum fm_status status = fm_canonical_take_scalar(column->type, cursor, fixed, &bytes);
    if (status != FM_OK)
        return status;
    return column->width != 0 ? fm_fixed_put(column, fixed, NULL, 1) : fm_text_put(column, bytes);
}

static enum fm_status put_struct(struct fm_column *column, struct fm_cursor *cursor)
{
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; status == FM_OK && i < column->child_count; i++)
        status = put_optional(&column->children[i], cursor);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

static enum fm_status put_list(struct fm_column *column, struct fm_cursor *cursor)
{
    uint32_t count;
    enum fm_status status = fm_canonical_take_count(cursor, &count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = put_optional(&column->children[0], cursor);
    if (status == FM_OK)
        status = fm_column_put_offset(column, column->children[0].rows);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

static enum fm_status put_entry(struct fm_column *entries, struct fm_cursor *cursor,
                                struct fm_span *key)
{
    const uint8_t *start = cursor->at;
    enum fm_status status = fm_column_put_canonical(&entries->children[0], cursor);
    *key = fm_span(start, (size_t)(cursor->at - start));
    if (status == FM_OK)
        status = put_optional(&entries->children[1], cursor);
    return status == FM_OK ? fm_column_add_rows(entries, NULL, 1) : status;
}

static enum fm_status put_map(struct fm_column *column, struct fm_cursor *cursor)
{
    uint32_t count;
    struct fm_span key, before = {0};
    enum fm_status status = fm_canonical_take_count(cursor, &count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++, before = key) {
        status = put_entry(&column->children[0], cursor, &key);
        if (status == FM_OK && i > 0 && fm_bytes_compare(before, key) >= 0)
            return FM_MALFORMED;
    }
    if (status == FM_OK)
        status = fm_column_put_offset(column, column->children[0].rows);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

enum fm_status fm_column_put_canonical(struct fm_column *column, struct fm_cursor *cursor)
{
    switch (column->kind) {
    case FM_KIND_LIST:
        return put_list(column, cursor);
    case FM_KIND_STRUCT:
        return put_struct(column, cursor);
    case FM_KIND_MAP:
        return put_map(column, cursor);
    default:
        return put_scalar(column, cursor);
    }
}
