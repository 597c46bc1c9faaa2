/* Dictionaries of sorted texts, and the lookup of enum values. */
#include "core/batch_internal.h"

void fm_dictionary_encode(struct fm_buf *out, const struct fm_dictionary *dictionary)
{
    fm_assert(dictionary->count <= FM_DICTIONARY_VALUES_MAX);
    fm_buf_put_u32(out, dictionary->count);
    fm_buf_put(out, dictionary->offsets, ((size_t)dictionary->count + 1) * 4);
    fm_buf_put(out, dictionary->text, dictionary->offsets[dictionary->count]);
}

static int compare_spans(struct fm_span a, struct fm_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

enum fm_status fm_dictionary_check(struct fm_span bytes, bool is_text, struct fm_dictionary *out)
{
    if (bytes.len < 12 || (uintptr_t)bytes.data % 4 != 0)
        return FM_MALFORMED;
    uint32_t count = fm_load32(bytes.data);
    if (count == 0 || count > FM_DICTIONARY_VALUES_MAX || bytes.len < 8 + (size_t)count * 4)
        return FM_MALFORMED;
    size_t text_at = 8 + (size_t)count * 4;
    struct fm_dictionary view = {
        .count = count,
        .offsets = (const uint32_t *)(const void *)(bytes.data + 4),
        .text = bytes.data + text_at,
    };
    if (view.offsets[0] != 0 || view.offsets[count] != bytes.len - text_at)
        return FM_MALFORMED;
    for (uint32_t i = 0; i < count; i++)
        if (view.offsets[i] > view.offsets[i + 1] ||
            view.offsets[i + 1] - view.offsets[i] > FM_VALUE_BYTES_MAX)
            return FM_MALFORMED;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_span text = fm_dictionary_at(&view, i);
        if (i > 0 && compare_spans(fm_dictionary_at(&view, i - 1), text) >= 0)
            return FM_MALFORMED;
        if (is_text && !fm_utf8_valid(text))
            return FM_MALFORMED;
    }
    *out = view;
    return FM_OK;
}

enum fm_status fm_dictionary_view(struct fm_span bytes, struct fm_dictionary *out)
{
    return fm_dictionary_check(bytes, true, out);
}

enum fm_status fm_dictionary_find(const struct fm_dictionary *dictionary, struct fm_span text,
                                  uint32_t *out)
{
    uint32_t low = 0, high = dictionary->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_spans(fm_dictionary_at(dictionary, middle), text);
        if (order == 0) {
            *out = middle;
            return FM_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return FM_NOTFOUND;
}

struct fm_dictionary fm_vector_dictionary(const struct fm_batch *batch,
                                          const struct fm_vector_entry *vector,
                                          const struct fm_dictionary *outside)
{
    fm_assert(vector->encoding == FM_ENC_DICTIONARY);
    if ((vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0) {
        fm_assert(outside != NULL);
        return *outside;
    }
    const uint8_t *aux = batch->bytes + vector->aux_at;
    uint32_t count = fm_load32(aux);
    return (struct fm_dictionary){
        .count = count,
        .offsets = (const uint32_t *)(const void *)(aux + 4),
        .text = aux + 8 + (size_t)count * 4,
    };
}

/* ---- Enum values --------------------------------------------------------------------------- */

static int compare_labels(const void *a, const void *b, void *labels)
{
    char *const *text = labels;
    return strcmp(text[*(const uint32_t *)a], text[*(const uint32_t *)b]);
}

enum fm_status fm_enum_index_init(struct fm_enum_index *index, const struct fm_type *type)
{
    *index = (struct fm_enum_index){0};
    if (type->kind != FM_KIND_ENUM)
        return FM_OK;
    uint32_t *sorted = malloc(type->label_count * sizeof *sorted);
    if (sorted == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < type->label_count; i++)
        sorted[i] = i;
    qsort_r(sorted, type->label_count, sizeof *sorted, compare_labels, type->labels);
    *index = (struct fm_enum_index){.type = type, .sorted = sorted};
    return FM_OK;
}

void fm_enum_index_deinit(struct fm_enum_index *index)
{
    free(index->sorted);
    *index = (struct fm_enum_index){0};
}

enum fm_status fm_enum_index_find(const struct fm_enum_index *index, struct fm_span text,
                                  uint32_t *out)
{
    uint32_t low = 0, high = index->type->label_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t label = index->sorted[middle];
        int order = compare_spans(fm_span_str(index->type->labels[label]), text);
        if (order == 0) {
            *out = label;
            return FM_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return FM_NOTFOUND;
}
