#include "query/worker/decode.h"

#include "query/worker/vectors.h"

#include <stddef.h>

static uint32_t enum_width(duckdb_logical_type duck)
{
    if (duckdb_get_type_id(duck) != DUCKDB_TYPE_ENUM)
        return 0;
    switch ((int)duckdb_enum_internal_type(duck)) {
    case DUCKDB_TYPE_UTINYINT:
        return 1;
    case DUCKDB_TYPE_USMALLINT:
        return 2;
    default:
        return 4;
    }
}

static int compare_spans(struct fm_span a, struct fm_span b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least == 0 ? 0 : memcmp(a.data, b.data, least);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_labels(const void *left, const void *right, void *labels)
{
    char *const *text = labels;
    return compare_spans(fm_span_str(text[*(const uint32_t *)left]),
                         fm_span_str(text[*(const uint32_t *)right]));
}

static enum fm_status index_labels(struct decoder *decoder)
{
    decoder->labels = calloc(decoder->type->label_count + 1u, sizeof *decoder->labels);
    if (decoder->labels == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < decoder->type->label_count; i++)
        decoder->labels[i] = i;
    qsort_r(decoder->labels, decoder->type->label_count, sizeof *decoder->labels, compare_labels,
            decoder->type->labels);
    return FM_OK;
}

/* The dictionary lives as long as the decoder, so long texts may point into it. */
static enum fm_status index_texts(struct decoder *decoder)
{
    const struct fm_dictionary *dictionary = decoder->dictionary;

    decoder->texts = calloc(dictionary->count, sizeof *decoder->texts);
    if (decoder->texts == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < dictionary->count; i++)
        duck_string_set(&decoder->texts[i], fm_dictionary_at(dictionary, i));
    return FM_OK;
}

static duckdb_logical_type child_type(const struct fm_type *type, duckdb_logical_type duck,
                                      uint32_t i)
{
    if (type->kind == FM_KIND_LIST)
        return duckdb_list_type_child_type(duck);
    if (type->kind == FM_KIND_MAP)
        return i == 0 ? duckdb_map_type_key_type(duck) : duckdb_map_type_value_type(duck);
    return duckdb_struct_type_child_type(duck, i);
}

enum fm_status decoder_init(struct decoder *out, const struct fm_type *type,
                            const struct fm_dictionary *dictionary, duckdb_logical_type duck)
{
    *out = (struct decoder){.type = type, .enum_width = enum_width(duck)};
    if (dictionary != NULL && dictionary->count > 0)
        out->dictionary = dictionary;
    if (type->kind == FM_KIND_ENUM)
        return index_labels(out);
    if (out->dictionary != NULL && out->enum_width == 0)
        return index_texts(out);
    if (!fm_type_is_nested(type))
        return FM_OK;
    out->children = calloc(type->child_count, sizeof *out->children);
    if (out->children == NULL)
        return FM_NOMEM;
    out->child_count = type->child_count;
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; i < type->child_count && status == FM_OK; i++) {
        duckdb_logical_type child = child_type(type, duck, i);
        status = decoder_init(&out->children[i], &type->children[i], NULL, child);
        duckdb_destroy_logical_type(&child);
    }
    return status;
}

void decoder_deinit(struct decoder *decoder)
{
    for (uint32_t i = 0; i < decoder->child_count; i++)
        decoder_deinit(&decoder->children[i]);
    free(decoder->children);
    free(decoder->labels);
    free(decoder->texts);
    *decoder = (struct decoder){0};
}

/* The rows at hand. */
struct rows {
    const struct fm_batch *batch;
    const struct fm_vector_entry *entry;
    uint32_t first;
    uint32_t count;
    bool borrow;
    duckdb_vector vector;
    idx_t at;
};

static bool row_is_null(const struct rows *rows, uint32_t i)
{
    return fm_vector_is_null(rows->batch, rows->entry, rows->first + i);
}

static void set_validity(const struct rows *rows)
{
    bool all_null = (rows->entry->flags & FM_VECTOR_ALL_NULL) != 0;

    if (rows->entry->validity_at == 0 && !all_null)
        return; /* A fresh vector is all valid. */
    duckdb_vector_ensure_validity_writable(rows->vector);
    uint64_t *to = duckdb_vector_get_validity(rows->vector);
    if (all_null)
        bits_fill(to, rows->at, rows->count, false);
    else
        bits_copy(to, rows->at, rows->batch->bytes + rows->entry->validity_at, rows->first,
                  rows->count);
}

static inline uint64_t load_code(const uint8_t *codes, uint8_t width, size_t i)
{
    switch (width) {
    case 1:
        return codes[i];
    case 2:
        return fm_load16(codes + i * 2);
    default:
        return fm_load32(codes + i * 4);
    }
}

/* value = base + code * step, for each pair of widths. Unsigned arithmetic: encoders saw to it that
 * nothing wraps where a row is valid. */
#define DEFINE_FOR(name, value_type, code_type)                                                    \
    static void name(value_type *restrict to, const uint8_t *restrict from, uint32_t count,        \
                     uint64_t base, uint64_t by)                                                   \
    {                                                                                              \
        code_type code;                                                                            \
        if (by == 1) { /* The usual case, and many processors multiply one by one only. */         \
            for (uint32_t i = 0; i < count; i++) {                                                 \
                memcpy(&code, from + (size_t)i * sizeof code, sizeof code);                        \
                to[i] = (value_type)((value_type)base + code);                                     \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (uint32_t i = 0; i < count; i++) {                                                     \
            memcpy(&code, from + (size_t)i * sizeof code, sizeof code);                            \
            to[i] = (value_type)(base + code * by);                                                \
        }                                                                                          \
    }
DEFINE_FOR(for8_1, uint8_t, uint8_t)
DEFINE_FOR(for8_2, uint8_t, uint16_t)
DEFINE_FOR(for8_4, uint8_t, uint32_t)
DEFINE_FOR(for16_1, uint16_t, uint8_t)
DEFINE_FOR(for16_2, uint16_t, uint16_t)
DEFINE_FOR(for16_4, uint16_t, uint32_t)
DEFINE_FOR(for32_1, uint32_t, uint8_t)
DEFINE_FOR(for32_2, uint32_t, uint16_t)
DEFINE_FOR(for32_4, uint32_t, uint32_t)
DEFINE_FOR(for64_1, uint64_t, uint8_t)
DEFINE_FOR(for64_2, uint64_t, uint16_t)
DEFINE_FOR(for64_4, uint64_t, uint32_t)

#define FOR_WIDTH(bits)                                                                            \
    if (entry->code_width == 1)                                                                    \
        for                                                                                        \
            ##bits##_1(to, codes, rows->count, base, by);                                          \
    else if (entry->code_width == 2)                                                               \
        for                                                                                        \
            ##bits##_2(to, codes, rows->count, base, by);                                          \
    else                                                                                           \
        for                                                                                        \
        ##bits##_4(to, codes, rows->count, base, by)

static void decode_for(const struct rows *rows, uint32_t width, void *to)
{
    const struct fm_vector_entry *entry = rows->entry;
    const uint8_t *codes =
        rows->batch->bytes + entry->data_at + (size_t)rows->first * entry->code_width;
    uint64_t base = (uint64_t)entry->base, by = (uint64_t)entry->step;

    if (width == 1) {
        FOR_WIDTH(8);
    } else if (width == 2) {
        FOR_WIDTH(16);
    } else if (width == 4) {
        FOR_WIDTH(32);
    } else {
        FOR_WIDTH(64);
    }
}

static void repeat_value(uint8_t *to, const uint8_t *value, uint32_t width, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(to + (size_t)i * width, value, width);
}

static enum fm_status decode_fixed(const struct decoder *decoder, const struct rows *rows)
{
    const struct fm_vector_entry *entry = rows->entry;
    uint32_t width = fm_type_width(decoder->type);
    uint8_t *to = (uint8_t *)duckdb_vector_get_data(rows->vector) + rows->at * width;
    const uint8_t *data = rows->batch->bytes + entry->data_at;

    if (entry->encoding == FM_ENC_FOR)
        decode_for(rows, width, to);
    else if (entry->encoding == FM_ENC_CONSTANT)
        repeat_value(to, data, width, rows->count);
    else
        memcpy(to, data + (size_t)rows->first * width, (size_t)rows->count * width);
    if (decoder->type->kind == FM_KIND_UUID)
        for (uint32_t i = 0; i < rows->count; i++)
            uuid_to_duck(to + (size_t)i * 16, to + (size_t)i * 16);
    return FM_OK;
}

static void put_text(const struct rows *rows, struct duck_string *to, uint32_t i,
                     struct fm_span text)
{
    if (text.len <= DUCK_INLINE_BYTES || rows->borrow)
        duck_string_set(&to[i], text);
    else
        duckdb_vector_assign_string_element_len(rows->vector, rows->at + i, (const char *)text.data,
                                                text.len);
}

static enum fm_status decode_text(const struct decoder *decoder, const struct rows *rows)
{
    struct duck_string *to = (struct duck_string *)duckdb_vector_get_data(rows->vector) + rows->at;

    for (uint32_t i = 0; i < rows->count; i++) {
        if (row_is_null(rows, i))
            to[i] = (struct duck_string){0};
        else
            put_text(
                rows, to, i,
                fm_vector_bytes(rows->batch, rows->entry, decoder->dictionary, rows->first + i));
    }
    return FM_OK;
}

static enum fm_status decode_outside_text(const struct decoder *decoder, const struct rows *rows)
{
    struct duck_string *to = (struct duck_string *)duckdb_vector_get_data(rows->vector) + rows->at;
    uint8_t width = rows->entry->code_width;
    const uint8_t *codes = rows->batch->bytes + rows->entry->data_at + (size_t)rows->first * width;

    for (uint32_t i = 0; i < rows->count; i++)
        to[i] = decoder->texts[load_code(codes, width, i)];
    return FM_OK;
}

/* Texts by offsets, the usual case of a column without dictionary. */
static enum fm_status decode_plain_text(const struct rows *rows)
{
    struct duck_string *to = (struct duck_string *)duckdb_vector_get_data(rows->vector) + rows->at;
    const uint8_t *offsets = rows->batch->bytes + rows->entry->data_at + (size_t)rows->first * 4;
    const uint8_t *text = rows->batch->bytes + rows->entry->aux_at;
    uint32_t from = fm_load32(offsets);

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t end = fm_load32(offsets + ((size_t)i + 1) * 4);
        put_text(rows, to, i, fm_span(text + from, end - from));
        from = end;
    }
    return FM_OK;
}

static void store_code(uint8_t *to, uint32_t width, size_t i, uint32_t code)
{
    if (width == 1)
        to[i] = (uint8_t)code;
    else if (width == 2)
        fm_store16(to + i * 2, (uint16_t)code);
    else
        fm_store32(to + i * 4, code);
}

static enum fm_status find_label(const struct decoder *decoder, struct fm_span text, uint32_t *out)
{
    uint32_t low = 0, high = decoder->type->label_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order =
            compare_spans(text, fm_span_str(decoder->type->labels[decoder->labels[middle]]));
        if (order == 0) {
            *out = decoder->labels[middle];
            return FM_OK;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return FM_MALFORMED;
}

/* An ENUM whose texts must be looked up one by one: declared enums, and batches whose codes are not
 * those of the column's dictionary. */
static enum fm_status decode_labels(const struct decoder *decoder, const struct rows *rows)
{
    uint32_t width = decoder->enum_width;
    uint8_t *to = (uint8_t *)duckdb_vector_get_data(rows->vector) + rows->at * width;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t code = 0;
        if (!row_is_null(rows, i)) {
            struct fm_span text =
                fm_vector_bytes(rows->batch, rows->entry, decoder->dictionary, rows->first + i);
            enum fm_status status = decoder->labels != NULL
                                        ? find_label(decoder, text, &code)
                                        : fm_dictionary_find(decoder->dictionary, text, &code);
            if (status != FM_OK)
                return FM_MALFORMED;
        }
        store_code(to, width, i, code);
    }
    return FM_OK;
}

static enum fm_status decode_codes(const struct decoder *decoder, const struct rows *rows)
{
    const struct fm_vector_entry *entry = rows->entry;
    uint32_t width = decoder->enum_width;
    uint8_t *to = (uint8_t *)duckdb_vector_get_data(rows->vector) + rows->at * width;
    const uint8_t *codes =
        rows->batch->bytes + entry->data_at + (size_t)rows->first * entry->code_width;

    if (entry->code_width == width) {
        memcpy(to, codes, (size_t)rows->count * width);
        return FM_OK;
    }
    for (uint32_t i = 0; i < rows->count; i++)
        store_code(to, width, i, (uint32_t)load_code(codes, entry->code_width, i));
    return FM_OK;
}

static enum fm_status decode_bytes(const struct decoder *decoder, const struct rows *rows)
{
    const struct fm_vector_entry *entry = rows->entry;

    if ((entry->flags & FM_VECTOR_ALL_NULL) != 0)
        return FM_OK; /* Never read. */
    if (decoder->enum_width == 0 && entry->encoding == FM_ENC_PLAIN)
        return decode_plain_text(rows);
    bool is_outside =
        entry->encoding == FM_ENC_DICTIONARY && (entry->flags & FM_VECTOR_DICT_OUTSIDE) != 0;
    if (is_outside && decoder->dictionary == NULL)
        return FM_MALFORMED;
    if (decoder->enum_width == 0)
        return is_outside ? decode_outside_text(decoder, rows) : decode_text(decoder, rows);
    if (decoder->labels == NULL && is_outside)
        return decode_codes(decoder, rows);
    return decode_labels(decoder, rows);
}

/* list and map: DuckDB holds (offset, length) per row and one growing child. */
static enum fm_status decode_list(const struct decoder *decoder, const struct rows *rows)
{
    const struct fm_vector_entry *child = &rows->batch->vectors[rows->entry->first_child];
    duckdb_list_entry *to = (duckdb_list_entry *)duckdb_vector_get_data(rows->vector) + rows->at;
    const uint8_t *offsets = rows->batch->bytes + rows->entry->data_at + (size_t)rows->first * 4;
    idx_t have = duckdb_list_vector_get_size(rows->vector);
    uint32_t from = fm_load32(offsets);
    uint32_t items = fm_load32(offsets + (size_t)rows->count * 4) - from;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t start = fm_load32(offsets + (size_t)i * 4);
        uint32_t end = fm_load32(offsets + ((size_t)i + 1) * 4);
        to[i] = (duckdb_list_entry){.offset = have + (start - from), .length = end - start};
    }
    if (duckdb_list_vector_reserve(rows->vector, have + items) != DuckDBSuccess ||
        duckdb_list_vector_set_size(rows->vector, have + items) != DuckDBSuccess)
        return FM_NOMEM;
    duckdb_vector inner = duckdb_list_vector_get_child(rows->vector);
    if (decoder->type->kind == FM_KIND_LIST)
        return decode_rows(&decoder->children[0], rows->batch, child, from, items, rows->borrow,
                           inner, have);
    /* A map's child is a struct of key and value; it has no nulls of its own. */
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; i < 2 && status == FM_OK; i++)
        status = decode_rows(&decoder->children[i], rows->batch,
                             &rows->batch->vectors[child->first_child + i], from, items,
                             rows->borrow, duckdb_struct_vector_get_child(inner, i), have);
    return status;
}

static enum fm_status decode_struct(const struct decoder *decoder, const struct rows *rows)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < decoder->child_count && status == FM_OK; i++)
        status = decode_rows(&decoder->children[i], rows->batch,
                             &rows->batch->vectors[rows->entry->first_child + i], rows->first,
                             rows->count, rows->borrow,
                             duckdb_struct_vector_get_child(rows->vector, i), rows->at);
    return status;
}

enum fm_status decode_rows(const struct decoder *decoder, const struct fm_batch *batch,
                           const struct fm_vector_entry *entry, uint32_t first, uint32_t count,
                           bool borrow, duckdb_vector vector, idx_t at)
{
    struct rows rows = {batch, entry, first, count, borrow, vector, at};

    if (count == 0)
        return FM_OK;
    set_validity(&rows);
    if ((entry->flags & FM_VECTOR_ALL_NULL) != 0 && decoder->type->kind != FM_KIND_LIST &&
        decoder->type->kind != FM_KIND_MAP && decoder->type->kind != FM_KIND_STRUCT)
        return FM_OK;
    if (decoder->type->kind == FM_KIND_LIST || decoder->type->kind == FM_KIND_MAP)
        return decode_list(decoder, &rows);
    if (decoder->type->kind == FM_KIND_STRUCT)
        return decode_struct(decoder, &rows);
    if (fm_type_is_bytes(decoder->type))
        return decode_bytes(decoder, &rows);
    return decode_fixed(decoder, &rows);
}
