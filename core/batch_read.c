/* Reading single values out of a checked batch. */
#include "core/batch_internal.h"

static void read_for(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     uint32_t row, uint32_t width, void *out)
{
    uint32_t code = fm_load_code(batch->bytes + vector->data_at, vector->code_width, row);
    uint64_t value = (uint64_t)vector->base + (uint64_t)vector->step * code;
    memcpy(out, &value, width); /* Little endian: the low bytes are the narrower integer. */
}

void fm_vector_fixed(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     uint32_t row, void *out)
{
    uint32_t width = fm_entry_width(vector);
    fm_assert(width != 0);
    fm_assert(row < vector->rows);
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        memset(out, 0, width);
    else if (vector->encoding == FM_ENC_FOR)
        read_for(batch, vector, row, width, out);
    else if (vector->encoding == FM_ENC_CONSTANT)
        memcpy(out, batch->bytes + vector->data_at, width);
    else
        memcpy(out, batch->bytes + vector->data_at + (size_t)row * width, width);
}

struct fm_span fm_vector_bytes(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               const struct fm_dictionary *dictionary, uint32_t row)
{
    fm_assert(row < vector->rows);
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return fm_span(batch->bytes, 0);
    if (vector->encoding == FM_ENC_CONSTANT)
        return fm_span(batch->bytes + vector->aux_at, vector->aux_bytes);
    const uint8_t *data = batch->bytes + vector->data_at;
    if (vector->encoding == FM_ENC_DICTIONARY) {
        struct fm_dictionary texts = fm_vector_dictionary(batch, vector, dictionary);
        return fm_dictionary_at(&texts, fm_load_code(data, vector->code_width, row));
    }
    uint32_t from = fm_load32(data + (size_t)row * 4), to = fm_load32(data + (size_t)row * 4 + 4);
    return fm_span(batch->bytes + vector->aux_at + from, to - from);
}
