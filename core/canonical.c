/* Canonical values of scalars: one form each, both ways, and their order. */
#include "core/canonical.h"

#include "core/predicate.h"

#include <math.h>

int fm_bytes_compare(struct fm_span a, struct fm_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* ---- To canonical bytes -------------------------------------------------------------------- */

uint32_t fm_canonical_width(const struct fm_type *type)
{
    return type->kind == FM_KIND_DECIMAL ? 16 : fm_type_width(type);
}

static fm_i128 load_decimal(const struct fm_type *type, const void *value)
{
    uint32_t width = fm_type_width(type);
    if (width == 16)
        return fm_load128(value);
    return (int64_t)fm_load_integer(value, width, false);
}

#define FLOAT_NAN UINT32_C(0x7fc00000)
#define DOUBLE_NAN UINT64_C(0x7ff8000000000000)

uint32_t fm_canonical_from_fixed(const struct fm_type *type, const void *value, uint8_t *out)
{
    uint32_t width = fm_type_width(type);
    if (type->kind == FM_KIND_DECIMAL) {
        fm_i128 wide = load_decimal(type, value);
        memcpy(out, &wide, sizeof wide);
        return sizeof wide;
    }
    memcpy(out, value, width);
    if (type->kind == FM_KIND_FLOAT) {
        float number;
        memcpy(&number, value, sizeof number);
        if (isnan(number))
            fm_store32(out, FLOAT_NAN);
    } else if (type->kind == FM_KIND_DOUBLE) {
        double number;
        memcpy(&number, value, sizeof number);
        if (isnan(number))
            fm_store64(out, DOUBLE_NAN);
    }
    return width;
}

/* ---- From canonical bytes ------------------------------------------------------------------ */

enum fm_status fm_canonical_take_bytes(struct fm_cursor *cursor, struct fm_span *out)
{
    uint64_t len;
    struct fm_cursor at = *cursor;
    enum fm_status status = fm_take_uvarint(&at, &len);
    if (status != FM_OK)
        return status;
    if (len > FM_VALUE_BYTES_MAX)
        return FM_MALFORMED;
    status = fm_take_bytes(&at, (size_t)len, out);
    if (status == FM_OK)
        *cursor = at;
    return status;
}

enum fm_status fm_canonical_take_flag(struct fm_cursor *cursor, bool *out)
{
    uint8_t flag;
    enum fm_status status = fm_take_u8(cursor, &flag);
    if (status != FM_OK)
        return status;
    *out = flag != 0;
    return flag <= 1 ? FM_OK : FM_MALFORMED;
}

enum fm_status fm_canonical_take_count(struct fm_cursor *cursor, uint32_t *out)
{
    uint64_t count;
    enum fm_status status = fm_take_uvarint(cursor, &count);
    if (status != FM_OK)
        return status;
    if (count > fm_cursor_left(cursor) || count > FM_VALUE_BYTES_MAX)
        return FM_MALFORMED;
    *out = (uint32_t)count;
    return FM_OK;
}

static enum fm_status decimal_from_canonical(const struct fm_type *type, const uint8_t *bytes,
                                             void *out)
{
    fm_i128 value = fm_load128(bytes), max = (fm_i128)fm_decimal_max(type->precision);
    if (value > max || value < -max)
        return FM_MALFORMED;
    memcpy(out, &value, fm_type_width(type)); /* Little endian: its low bytes. */
    return FM_OK;
}

static bool float_is_canonical(const struct fm_type *type, const uint8_t *bytes)
{
    if (type->kind == FM_KIND_FLOAT) {
        float number;
        memcpy(&number, bytes, sizeof number);
        return !isnan(number) || fm_load32(bytes) == FLOAT_NAN;
    }
    double number;
    memcpy(&number, bytes, sizeof number);
    return !isnan(number) || fm_load64(bytes) == DOUBLE_NAN;
}

static enum fm_status fixed_from_canonical(const struct fm_type *type, const uint8_t *bytes,
                                           void *out)
{
    switch (type->kind) {
    case FM_KIND_DECIMAL:
        return decimal_from_canonical(type, bytes, out);
    case FM_KIND_BOOLEAN:
        if (bytes[0] > 1)
            return FM_MALFORMED;
        break;
    case FM_KIND_FLOAT:
    case FM_KIND_DOUBLE:
        if (!float_is_canonical(type, bytes))
            return FM_MALFORMED;
        break;
    default:
        break;
    }
    memcpy(out, bytes, fm_type_width(type));
    return FM_OK;
}

enum fm_status fm_canonical_take_scalar(const struct fm_type *type, struct fm_cursor *cursor,
                                        void *fixed, struct fm_span *bytes)
{
    struct fm_span span;
    fm_assert(!fm_type_is_nested(type));
    if (fm_type_is_bytes(type)) {
        enum fm_status status = fm_canonical_take_bytes(cursor, bytes);
        if (status != FM_OK)
            return status;
        return type->kind == FM_KIND_BLOB || fm_utf8_valid(*bytes) ? FM_OK : FM_MALFORMED;
    }
    enum fm_status status = fm_take_bytes(cursor, fm_canonical_width(type), &span);
    return status == FM_OK ? fixed_from_canonical(type, span.data, fixed) : status;
}

/* ---- Order --------------------------------------------------------------------------------- */

int64_t fm_double_key(double value)
{
    int64_t bits;
    value += 0.0; /* -0 + 0 is 0. */
    if (isnan(value))
        return INT64_MAX;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 63) & INT64_MAX); /* Negative numbers count downwards. */
}

int32_t fm_float_key(float value)
{
    int32_t bits;
    value += 0.0f;
    if (isnan(value))
        return INT32_MAX;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 31) & INT32_MAX);
}

static fm_i128 interval_key(const uint8_t *value)
{
    int64_t months = (int32_t)fm_load32(value), days = (int32_t)fm_load32(value + 4);
    return (fm_i128)(months * 30 + days) * INT64_C(86400000000) + (int64_t)fm_load64(value + 8);
}

static fm_i128 uuid_key(const uint8_t *value)
{
    fm_u128 bits = (fm_u128)fm_load64_be(value) << 64 | fm_load64_be(value + 8);
    return (fm_i128)(bits ^ ((fm_u128)1 << 127));
}

fm_i128 fm_fixed_key(const struct fm_type *type, const void *value)
{
    double wide;
    float narrow;
    switch (type->kind) {
    case FM_KIND_DOUBLE:
        memcpy(&wide, value, sizeof wide);
        return fm_double_key(wide);
    case FM_KIND_FLOAT:
        memcpy(&narrow, value, sizeof narrow);
        return fm_float_key(narrow);
    case FM_KIND_INTERVAL:
        return interval_key(value);
    case FM_KIND_UUID:
        return uuid_key(value);
    case FM_KIND_HUGEINT:
        return fm_load128(value);
    case FM_KIND_DECIMAL:
        return load_decimal(type, value);
    default:
        break;
    }
    bool is_unsigned = fm_kind_is_unsigned(type->kind) || type->kind == FM_KIND_BOOLEAN;
    uint64_t bits = fm_load_integer(value, fm_type_width(type), is_unsigned);
    return is_unsigned ? (fm_i128)bits : (fm_i128)(int64_t)bits;
}

/* Enums are ordered as they are declared; texts that are none come last. */
static uint32_t enum_rank(const struct fm_type *type, struct fm_span text)
{
    for (uint32_t i = 0; i < type->label_count; i++)
        if (fm_span_equal(fm_span_str(type->labels[i]), text))
            return i;
    return type->label_count;
}

int fm_canonical_compare(const struct fm_type *type, struct fm_span a, struct fm_span b)
{
    uint8_t x[FM_CANONICAL_FIXED_MAX], y[FM_CANONICAL_FIXED_MAX];
    struct fm_span text_a = a, text_b = b;
    struct fm_cursor at_a = fm_cursor(a), at_b = fm_cursor(b);
    bool good = fm_canonical_take_scalar(type, &at_a, x, &text_a) == FM_OK &&
                fm_canonical_take_scalar(type, &at_b, y, &text_b) == FM_OK;
    if (!good)
        return fm_bytes_compare(a, b); /* Not canonical: any order that is one will do. */
    if (type->kind == FM_KIND_ENUM) {
        uint32_t rank_a = enum_rank(type, text_a), rank_b = enum_rank(type, text_b);
        if (rank_a != rank_b)
            return rank_a < rank_b ? -1 : 1;
    }
    if (fm_type_is_bytes(type))
        return fm_bytes_compare(text_a, text_b);
    fm_i128 key_a = fm_fixed_key(type, x), key_b = fm_fixed_key(type, y);
    return (key_a > key_b) - (key_a < key_b);
}
