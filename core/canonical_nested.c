/* Canonical values of any type, nested ones too: out of batches, and checked on the way in.
 * Recursion goes over types, whose depth was checked when they were made. */
#include "core/canonical.h"

/* What stays the same on the way down. */
struct writer {
    const struct fm_batch *batch;
    struct fm_buf *out;
    size_t start; /* Of the whole value in `out`. */
};

static enum fm_status write_value(const struct writer *w, const struct fm_vector_entry *vector,
                                  const struct fm_type *type, uint32_t row);

static enum fm_status write_scalar(const struct writer *w, const struct fm_vector_entry *vector,
                                   const struct fm_type *type,
                                   const struct fm_dictionary *dictionary, uint32_t row)
{
    if (fm_type_is_bytes(type)) {
        struct fm_span text = fm_vector_bytes(w->batch, vector, dictionary, row);
        fm_buf_put_uvarint(w->out, text.len);
        fm_buf_put_span(w->out, text);
    } else {
        uint8_t value[FM_CANONICAL_FIXED_MAX], bytes[FM_CANONICAL_FIXED_MAX];
        fm_vector_fixed(w->batch, vector, row, value);
        fm_buf_put(w->out, bytes, fm_canonical_from_fixed(type, value, bytes));
    }
    return fm_buf_status(w->out);
}

/* 0, or 1 and the value. */
static enum fm_status write_optional(const struct writer *w, const struct fm_vector_entry *vector,
                                     const struct fm_type *type, uint32_t row)
{
    bool is_null = fm_vector_is_null(w->batch, vector, row);
    fm_buf_put_u8(w->out, is_null ? 0 : 1);
    if (w->out->len - w->start > FM_VALUE_BYTES_MAX)
        return FM_LIMIT;
    return is_null ? fm_buf_status(w->out) : write_value(w, vector, type, row);
}

static const struct fm_vector_entry *child_of(const struct writer *w,
                                              const struct fm_vector_entry *vector, uint32_t i)
{
    fm_assert(i < vector->child_count);
    return &w->batch->vectors[vector->first_child + i];
}

static void row_range(const struct writer *w, const struct fm_vector_entry *vector, uint32_t row,
                      uint32_t *from, uint32_t *to)
{
    const uint8_t *offsets = w->batch->bytes + vector->data_at;
    *from = fm_load32(offsets + (size_t)row * 4);
    *to = fm_load32(offsets + (size_t)row * 4 + 4);
}

static enum fm_status write_list(const struct writer *w, const struct fm_vector_entry *vector,
                                 const struct fm_type *type, uint32_t row)
{
    uint32_t from, to;
    row_range(w, vector, row, &from, &to);
    fm_buf_put_uvarint(w->out, to - from);
    enum fm_status status = fm_buf_status(w->out);
    for (uint32_t i = from; status == FM_OK && i < to; i++)
        status = write_optional(w, child_of(w, vector, 0), &type->children[0], i);
    return status;
}

struct map_entry {
    uint32_t at; /* From the first entry. */
    uint32_t key_len;
    uint32_t len;
};

static struct fm_span entry_key(const uint8_t *entries, const struct map_entry *entry)
{
    return fm_span(entries + entry->at, entry->key_len);
}

static int compare_entries(const void *a, const void *b, void *entries)
{
    return fm_bytes_compare(entry_key(entries, a), entry_key(entries, b));
}

/* Write a map's entries as they come and tell where each is. */
static enum fm_status write_entries(const struct writer *w, const struct fm_vector_entry *entries,
                                    const struct fm_type *type, uint32_t from,
                                    struct map_entry *list, uint32_t count)
{
    size_t start = w->out->len;
    const struct fm_vector_entry *keys = child_of(w, entries, 0), *values = child_of(w, entries, 1);
    for (uint32_t i = 0; i < count; i++) {
        list[i].at = (uint32_t)(w->out->len - start);
        if (fm_vector_is_null(w->batch, keys, from + i))
            return FM_MALFORMED;
        enum fm_status status = write_value(w, keys, &type->children[0], from + i);
        if (status != FM_OK)
            return status;
        list[i].key_len = (uint32_t)(w->out->len - start) - list[i].at;
        status = write_optional(w, values, &type->children[1], from + i);
        if (status != FM_OK)
            return status;
        list[i].len = (uint32_t)(w->out->len - start) - list[i].at;
    }
    return FM_OK;
}

/* Bring the entries behind `start` into the order of their keys. */
static enum fm_status sort_entries(struct fm_buf *out, size_t start, struct map_entry *list,
                                   uint32_t count)
{
    size_t len = out->len - start;
    bool sorted = true;
    for (uint32_t i = 1; i < count; i++)
        sorted = sorted && compare_entries(&list[i - 1], &list[i], out->data + start) < 0;
    if (sorted)
        return FM_OK;
    FM_AUTO(fm_mem_freep) uint8_t *copy = malloc(len);
    if (copy == NULL)
        return FM_NOMEM;
    memcpy(copy, out->data + start, len);
    qsort_r(list, count, sizeof *list, compare_entries, copy);
    uint8_t *to = out->data + start;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && compare_entries(&list[i - 1], &list[i], copy) == 0)
            return FM_MALFORMED; /* A key twice. */
        memcpy(to, copy + list[i].at, list[i].len);
        to += list[i].len;
    }
    fm_assert(to == out->data + out->len);
    return FM_OK;
}

static enum fm_status write_map(const struct writer *w, const struct fm_vector_entry *vector,
                                const struct fm_type *type, uint32_t row)
{
    uint32_t from, to;
    row_range(w, vector, row, &from, &to);
    uint32_t count = to - from;
    fm_buf_put_uvarint(w->out, count);
    if (count == 0)
        return fm_buf_status(w->out);
    if (count > FM_VALUE_BYTES_MAX)
        return FM_LIMIT;
    FM_AUTO(fm_mem_freep) struct map_entry *list = malloc(count * sizeof *list);
    if (list == NULL)
        return FM_NOMEM;
    size_t start = w->out->len;
    enum fm_status status = write_entries(w, child_of(w, vector, 0), type, from, list, count);
    return status == FM_OK ? sort_entries(w->out, start, list, count) : status;
}

static enum fm_status write_value(const struct writer *w, const struct fm_vector_entry *vector,
                                  const struct fm_type *type, uint32_t row)
{
    enum fm_status status = FM_OK;
    switch (type->kind) {
    case FM_KIND_LIST:
        status = write_list(w, vector, type, row);
        break;
    case FM_KIND_MAP:
        status = write_map(w, vector, type, row);
        break;
    case FM_KIND_STRUCT:
        for (uint32_t i = 0; status == FM_OK && i < type->child_count; i++)
            status = write_optional(w, child_of(w, vector, i), &type->children[i], row);
        break;
    default:
        status = write_scalar(w, vector, type, NULL, row);
    }
    if (status == FM_OK && w->out->len - w->start > FM_VALUE_BYTES_MAX + 8)
        return FM_LIMIT; /* A text's length stands before it. */
    return status;
}

enum fm_status fm_vector_canonical(const struct fm_batch *batch,
                                   const struct fm_vector_entry *vector, const struct fm_type *type,
                                   const struct fm_dictionary *dictionary, uint32_t row,
                                   struct fm_buf *out)
{
    const struct writer w = {.batch = batch, .out = out, .start = out->len};
    fm_assert(vector->kind == (uint8_t)type->kind);
    fm_assert(row < vector->rows && !fm_vector_is_null(batch, vector, row));
    enum fm_status status = fm_type_is_nested(type)
                                ? write_value(&w, vector, type, row)
                                : write_scalar(&w, vector, type, dictionary, row);
    if (status != FM_OK && fm_buf_status(out) == FM_OK)
        out->len = w.start;
    return status;
}

/* ---- The way in ---------------------------------------------------------------------------- */

static enum fm_status take_value(const struct fm_type *type, struct fm_cursor *cursor);

static enum fm_status take_optional(const struct fm_type *type, struct fm_cursor *cursor)
{
    bool present;
    enum fm_status status = fm_canonical_take_flag(cursor, &present);
    return status == FM_OK && present ? take_value(type, cursor) : status;
}

static enum fm_status take_list(const struct fm_type *type, struct fm_cursor *cursor)
{
    uint32_t count;
    enum fm_status status = fm_canonical_take_count(cursor, &count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = take_optional(&type->children[0], cursor);
    return status;
}

static enum fm_status take_map(const struct fm_type *type, struct fm_cursor *cursor)
{
    uint32_t count;
    struct fm_span before = {0};
    enum fm_status status = fm_canonical_take_count(cursor, &count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        const uint8_t *start = cursor->at;
        status = take_value(&type->children[0], cursor);
        struct fm_span key = fm_span(start, (size_t)(cursor->at - start));
        if (status == FM_OK && i > 0 && fm_bytes_compare(before, key) >= 0)
            return FM_MALFORMED;
        before = key;
        if (status == FM_OK)
            status = take_optional(&type->children[1], cursor);
    }
    return status;
}

static bool enum_has(const struct fm_type *type, struct fm_span text)
{
    for (uint32_t i = 0; i < type->label_count; i++)
        if (fm_span_equal(fm_span_str(type->labels[i]), text))
            return true;
    return false;
}

static enum fm_status take_value(const struct fm_type *type, struct fm_cursor *cursor)
{
    uint8_t fixed[FM_CANONICAL_FIXED_MAX];
    struct fm_span bytes;
    enum fm_status status = FM_OK;
    switch (type->kind) {
    case FM_KIND_LIST:
        return take_list(type, cursor);
    case FM_KIND_MAP:
        return take_map(type, cursor);
    case FM_KIND_STRUCT:
        for (uint32_t i = 0; status == FM_OK && i < type->child_count; i++)
            status = take_optional(&type->children[i], cursor);
        return status;
    default:
        status = fm_canonical_take_scalar(type, cursor, fixed, &bytes);
    }
    if (status == FM_OK && type->kind == FM_KIND_ENUM && !enum_has(type, bytes))
        return FM_MALFORMED;
    return status;
}

enum fm_status fm_canonical_take(const struct fm_type *type, struct fm_cursor *cursor,
                                 struct fm_span *out)
{
    struct fm_cursor at = *cursor;
    enum fm_status status = take_value(type, &at);
    if (status != FM_OK)
        return status;
    size_t len = (size_t)(at.at - cursor->at);
    if (len > FM_VALUE_BYTES_MAX + 8)
        return FM_MALFORMED;
    *out = fm_span(cursor->at, len);
    *cursor = at;
    return FM_OK;
}
