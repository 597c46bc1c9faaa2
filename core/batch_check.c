/* The contents of a vector's sections, which may come from a hostile peer: after these checks the
 * accessors can read every row without a further look. */
#include "core/batch_view.h"

fm_u128 fm_decimal_max(uint32_t precision)
{
    fm_u128 value = 1;
    for (uint32_t i = 0; i < precision; i++)
        value *= 10;
    return value - 1;
}

static bool booleans_valid(const uint8_t *values, size_t rows)
{
    return fm_codes_max(values, 1, rows) <= 1;
}

static bool decimals_valid(uint32_t precision, uint32_t width, const uint8_t *values, size_t rows)
{
    fm_u128 max = fm_decimal_max(precision);
    bool valid = true;
    if (width == 16) {
        for (size_t i = 0; i < rows; i++) {
            fm_i128 value = fm_load128(values + i * 16);
            valid &= value <= (fm_i128)max && value >= -(fm_i128)max;
        }
        return valid;
    }
    int64_t bound = (int64_t)max;
    for (size_t i = 0; i < rows; i++) {
        int64_t value = (int64_t)fm_load_integer(values + i * width, width, false);
        valid &= value <= bound && value >= -bound;
    }
    return valid;
}

bool fm_fixed_values_valid(const struct fm_type *type, const uint8_t *values, size_t rows)
{
    if (type->kind == FM_KIND_BOOLEAN)
        return booleans_valid(values, rows);
    if (type->kind == FM_KIND_DECIMAL)
        return decimals_valid(type->precision, fm_type_width(type), values, rows);
    return true;
}

static enum fm_status check_validity(const struct fm_batch *batch,
                                     const struct fm_vector_entry *vector)
{
    if (vector->validity_at == 0)
        return FM_OK;
    const uint8_t *words = batch->bytes + vector->validity_at;
    size_t valid_count = fm_bits_count(words, 0, vector->rows);
    if (valid_count + vector->null_count != vector->rows)
        return FM_MALFORMED;
    size_t last = vector->rows % 64;
    if (last != 0 && fm_load64(words + (size_t)(vector->rows / 64) * 8) >> last != 0)
        return FM_MALFORMED;
    return FM_OK;
}

/* base + code * step for every code that occurs lies within the kind's range. */
static enum fm_status check_for(const struct fm_batch *batch, const struct fm_vector_entry *vector)
{
    struct fm_type type = fm_entry_type(vector);
    uint32_t bits = 8 * fm_type_width(&type);
    bool is_unsigned = fm_kind_is_unsigned(type.kind);
    fm_i128 one = 1, low = is_unsigned ? 0 : -(one << (bits - 1));
    fm_i128 high = (one << (is_unsigned ? bits : bits - 1)) - 1;
    if (type.kind == FM_KIND_DECIMAL) {
        high = (fm_i128)fm_decimal_max(type.precision);
        low = -high;
    }
    fm_i128 base = is_unsigned ? (fm_i128)(uint64_t)vector->base : (fm_i128)vector->base;
    uint32_t max = fm_codes_max(batch->bytes + vector->data_at, vector->code_width, vector->rows);
    fm_i128 last = base + (fm_i128)vector->step * max;
    return base >= low && last <= high ? FM_OK : FM_MALFORMED;
}

/* Offsets begin with 0 and never fall; `*last` is the last one. */
static enum fm_status check_offsets(const struct fm_batch *batch,
                                    const struct fm_vector_entry *vector, uint32_t value_max,
                                    uint32_t *last)
{
    const uint8_t *offsets = batch->bytes + vector->data_at;
    uint32_t before = fm_load32(offsets);
    bool good = before == 0;
    for (size_t i = 1; i <= vector->rows; i++) {
        uint32_t offset = fm_load32(offsets + i * 4);
        good &= offset >= before && offset - before <= value_max;
        before = offset;
    }
    *last = before;
    return good ? FM_OK : FM_MALFORMED;
}

static bool kind_is_text(uint8_t kind)
{
    return kind == FM_KIND_VARCHAR || kind == FM_KIND_JSON || kind == FM_KIND_ENUM;
}

/* All texts are UTF-8 when the whole is and none begins inside a character. */
static bool texts_valid(const struct fm_batch *batch, const struct fm_vector_entry *vector)
{
    const uint8_t *text = batch->bytes + vector->aux_at;
    const uint8_t *offsets = batch->bytes + vector->data_at;
    if (!fm_utf8_valid(fm_span(text, vector->aux_bytes)))
        return false;
    bool good = true;
    for (size_t i = 0; i < vector->rows; i++) {
        uint32_t offset = fm_load32(offsets + i * 4);
        if (offset < vector->aux_bytes)
            good &= (text[offset] & 0xc0u) != 0x80u;
    }
    return good;
}

static enum fm_status check_plain_bytes(const struct fm_batch *batch,
                                        const struct fm_vector_entry *vector)
{
    uint32_t last;
    enum fm_status status = check_offsets(batch, vector, FM_VALUE_BYTES_MAX, &last);
    if (status != FM_OK)
        return status;
    if (last != vector->aux_bytes)
        return FM_MALFORMED;
    return !kind_is_text(vector->kind) || texts_valid(batch, vector) ? FM_OK : FM_MALFORMED;
}

static enum fm_status check_codes(const struct fm_batch *batch,
                                  const struct fm_vector_entry *vector,
                                  const struct fm_dictionary *outside)
{
    struct fm_dictionary dictionary;
    if ((vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0) {
        if (outside == NULL)
            return FM_MALFORMED;
        dictionary = *outside;
    } else {
        struct fm_span aux = fm_span(batch->bytes + vector->aux_at, vector->aux_bytes);
        enum fm_status status = fm_dictionary_check(aux, kind_is_text(vector->kind), &dictionary);
        if (status != FM_OK)
            return status;
    }
    uint32_t max = fm_codes_max(batch->bytes + vector->data_at, vector->code_width, vector->rows);
    return max < dictionary.count ? FM_OK : FM_MALFORMED;
}

static enum fm_status check_plain(const struct fm_batch *batch,
                                  const struct fm_vector_entry *vector)
{
    struct fm_type type = fm_entry_type(vector);
    uint32_t last;
    if (type.kind == FM_KIND_STRUCT)
        return FM_OK;
    if (fm_type_is_bytes(&type))
        return check_plain_bytes(batch, vector);
    if (!fm_type_is_nested(&type))
        return fm_fixed_values_valid(&type, batch->bytes + vector->data_at, vector->rows)
                   ? FM_OK
                   : FM_MALFORMED;
    enum fm_status status = check_offsets(batch, vector, UINT32_MAX, &last);
    if (status != FM_OK)
        return status;
    return last == batch->vectors[vector->first_child].rows ? FM_OK : FM_MALFORMED;
}

static enum fm_status check_constant(const struct fm_batch *batch,
                                     const struct fm_vector_entry *vector)
{
    struct fm_type type = fm_entry_type(vector);
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return FM_OK;
    if (!fm_type_is_bytes(&type))
        return fm_fixed_values_valid(&type, batch->bytes + vector->data_at, 1) ? FM_OK
                                                                               : FM_MALFORMED;
    if (vector->aux_bytes > FM_VALUE_BYTES_MAX)
        return FM_MALFORMED;
    struct fm_span value = fm_span(batch->bytes + vector->aux_at, vector->aux_bytes);
    return !kind_is_text(vector->kind) || fm_utf8_valid(value) ? FM_OK : FM_MALFORMED;
}

/* Texts of an enum are among its values; each entry of a dictionary is looked up once. An outside
 * dictionary is the business of who agreed on it. */
static enum fm_status check_enum(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                                 const struct fm_type *type)
{
    FM_AUTO(fm_enum_index_deinit) struct fm_enum_index index = {0};
    uint32_t label;
    if ((vector->flags & (FM_VECTOR_DICT_OUTSIDE | FM_VECTOR_ALL_NULL)) != 0)
        return FM_OK;
    enum fm_status status = fm_enum_index_init(&index, type);
    if (status != FM_OK)
        return status;
    if (vector->encoding == FM_ENC_DICTIONARY) {
        struct fm_dictionary dictionary = fm_vector_dictionary(batch, vector, NULL);
        for (uint32_t i = 0; i < dictionary.count; i++)
            if (fm_enum_index_find(&index, fm_dictionary_at(&dictionary, i), &label) != FM_OK)
                return FM_MALFORMED;
        return FM_OK;
    }
    uint32_t rows = vector->encoding == FM_ENC_CONSTANT ? 1 : vector->rows;
    for (uint32_t i = 0; i < rows; i++) {
        if (vector->encoding == FM_ENC_PLAIN && fm_vector_is_null(batch, vector, i))
            continue;
        if (fm_enum_index_find(&index, fm_vector_bytes(batch, vector, NULL, i), &label) != FM_OK)
            return FM_MALFORMED;
    }
    return FM_OK;
}

enum fm_status fm_vector_check(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               const struct fm_vector_note *note,
                               const struct fm_dictionary *outside)
{
    enum fm_status status = check_validity(batch, vector);
    if (status != FM_OK)
        return status;
    switch (vector->encoding) {
    case FM_ENC_PLAIN:
        status = check_plain(batch, vector);
        break;
    case FM_ENC_CONSTANT:
        status = check_constant(batch, vector);
        break;
    case FM_ENC_DICTIONARY:
        status = check_codes(batch, vector, outside);
        break;
    default:
        fm_assert(vector->encoding == FM_ENC_FOR);
        status = check_for(batch, vector);
    }
    if (status == FM_OK && vector->kind == FM_KIND_ENUM && note->type != NULL)
        status = check_enum(batch, vector, note->type);
    return status;
}
