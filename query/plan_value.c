/* Constants of the engine's plan as canonical bytes (core/types.h). */
#include "query/plan_read.h"

#include <math.h>
#include <string.h>

#define NAN_FLOAT 0x7fc00000u
#define NAN_DOUBLE UINT64_C(0x7ff8000000000000)
#define SIGN_BIT (UINT64_C(1) << 63)

/* A 128-bit two's complement number: a plain integer, or {upper, lower}. */
static bool read_wide(const json_t *value, uint64_t *upper, uint64_t *lower)
{
    int64_t number = 0;

    if (tree_json_int(value, INT64_MIN, INT64_MAX, &number)) {
        *lower = (uint64_t)number;
        *upper = number < 0 ? UINT64_MAX : 0;
        return true;
    }
    if (tree_json_uint(value, lower)) {
        *upper = 0;
        return true;
    }
    if (!tree_json_int(json_object_get(value, "upper"), INT64_MIN, INT64_MAX, &number) ||
        !tree_json_uint(json_object_get(value, "lower"), lower))
        return false;
    *upper = (uint64_t)number;
    return true;
}

static void put_wide(struct fm_buf *out, uint64_t upper, uint64_t lower)
{
    fm_buf_put_u64(out, lower);
    fm_buf_put_u64(out, upper);
}

/* Signed integers of `width` bytes, and dates and times that are such. */
static bool put_signed(const json_t *value, uint32_t width, struct fm_buf *out)
{
    int64_t max = width == 8 ? INT64_MAX : (INT64_C(1) << (8 * width - 1)) - 1;
    int64_t number = 0;
    uint8_t bytes[8];

    if (!tree_json_int(value, -max - 1, max, &number))
        return false;
    fm_store64(bytes, (uint64_t)number);
    fm_buf_put(out, bytes, width);
    return true;
}

static bool put_unsigned(const json_t *value, uint32_t width, struct fm_buf *out)
{
    uint64_t max = width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
    uint64_t upper = 0;
    uint64_t number = 0;
    uint8_t bytes[8];

    if (!read_wide(value, &upper, &number) || upper != 0 || number > max)
        return false;
    fm_store64(bytes, number);
    fm_buf_put(out, bytes, width);
    return true;
}

static bool put_real(const json_t *value, bool single, struct fm_buf *out)
{
    double number = 0;
    uint32_t bits32 = NAN_FLOAT;
    uint64_t bits64 = NAN_DOUBLE;

    if (!tree_json_real(value, &number))
        return false;
    float narrow = (float)number;
    if (single && !isnan(number) && (double)narrow != number)
        return false;
    if (!isnan(number)) {
        memcpy(&bits32, &narrow, sizeof bits32);
        memcpy(&bits64, &number, sizeof bits64);
    }
    if (single)
        fm_buf_put_u32(out, bits32);
    else
        fm_buf_put_u64(out, bits64);
    return true;
}

static bool put_text(const json_t *value, struct fm_buf *out)
{
    if (!json_is_string(value))
        return false;
    fm_buf_put_uvarint(out, json_string_length(value));
    fm_buf_put(out, json_string_value(value), json_string_length(value));
    return true;
}

/* The engine writes a blob as printable ASCII with \xHH for the rest. */
static bool put_blob(const json_t *value, struct fm_buf *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_SQL_BYTES_MAX);

    for (size_t i = 0; text != NULL && i < len; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (text[i] == '\\') {
            char hex[3] = {0};
            if (len - i < 4 || text[i + 1] != 'x')
                return false;
            memcpy(hex, text + i + 2, 2);
            if (fm_unhex(hex, &byte, 1) != FM_OK)
                return false;
            i += 3;
        } else if (byte < ' ' || byte > '~') {
            return false;
        }
        fm_buf_put_u8(&bytes, byte);
    }
    if (text == NULL || fm_buf_status(&bytes) != FM_OK)
        return false;
    fm_buf_put_uvarint(out, bytes.len);
    fm_buf_put_span(out, fm_buf_span(&bytes));
    return true;
}

/* DuckDB keeps a uuid as a hugeint whose sign bit is turned, so that it sorts. */
static bool put_uuid(const json_t *value, struct fm_buf *out)
{
    uint64_t upper = 0;
    uint64_t lower = 0;
    uint8_t bytes[16];

    if (!read_wide(value, &upper, &lower))
        return false;
    fm_store64_be(bytes, upper ^ SIGN_BIT);
    fm_store64_be(bytes + 8, lower);
    fm_buf_put(out, bytes, sizeof bytes);
    return true;
}

static bool put_boolean(const json_t *value, struct fm_buf *out)
{
    if (!json_is_boolean(value))
        return false;
    fm_buf_put_u8(out, json_is_true(value) ? 1 : 0);
    return true;
}

static bool put_hugeint(const json_t *value, struct fm_buf *out)
{
    uint64_t upper = 0;
    uint64_t lower = 0;

    if (!read_wide(value, &upper, &lower))
        return false;
    put_wide(out, upper, lower);
    return true;
}

static bool is_same_decimal(const json_t *type_info, const struct fm_type *type)
{
    int64_t width = 0;
    int64_t scale = 0;

    return tree_json_int(json_object_get(type_info, "width"), 0, 38, &width) &&
           tree_json_int(json_object_get(type_info, "scale"), 0, 38, &scale) &&
           width == type->precision && scale == type->scale;
}

static bool is_integer_id(const char *id)
{
    static const char *const ids[] = {"TINYINT",   "SMALLINT", "INTEGER", "BIGINT", "UTINYINT",
                                      "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"};

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (strcmp(id, ids[i]) == 0)
            return true;
    }
    return false;
}

/* What the engine calls a kind; NULL for integers and for kinds without predicates. */
static const char *id_of(enum fm_kind kind)
{
    switch ((int)kind) {
    case FM_KIND_BOOLEAN:
        return "BOOLEAN";
    case FM_KIND_FLOAT:
        return "FLOAT";
    case FM_KIND_DOUBLE:
        return "DOUBLE";
    case FM_KIND_DECIMAL:
        return "DECIMAL";
    case FM_KIND_VARCHAR:
    case FM_KIND_ENUM:
        return "VARCHAR";
    case FM_KIND_BLOB:
        return "BLOB";
    case FM_KIND_DATE:
        return "DATE";
    case FM_KIND_TIME:
        return "TIME";
    case FM_KIND_TIMESTAMP:
        return "TIMESTAMP";
    case FM_KIND_TIMESTAMPTZ:
        return "TIMESTAMP WITH TIME ZONE";
    case FM_KIND_UUID:
        return "UUID";
    default:
        return NULL;
    }
}

static bool is_integer_kind(enum fm_kind kind)
{
    return kind >= FM_KIND_INT8 && kind <= FM_KIND_HUGEINT;
}

bool plan_value(const json_t *value, const struct fm_type *type, bool widened, struct fm_buf *out)
{
    const json_t *inner = json_object_get(value, "value");
    const json_t *described = json_object_get(value, "type");
    const char *id = tree_json_text(described, "id");
    bool integer = is_integer_kind(type->kind);

    if (id == NULL || inner == NULL || !json_is_false(json_object_get(value, "is_null")))
        return false;
    if (integer ? !is_integer_id(id) : id_of(type->kind) == NULL || strcmp(id, id_of(type->kind)))
        return false;
    if (widened && !integer && type->kind != FM_KIND_ENUM)
        return false;
    if (type->kind == FM_KIND_DECIMAL)
        return is_same_decimal(json_object_get(described, "type_info"), type) &&
               put_hugeint(inner, out);
    switch ((int)type->kind) {
    case FM_KIND_BOOLEAN:
        return put_boolean(inner, out);
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
        return put_unsigned(inner, fm_type_width(type), out);
    case FM_KIND_HUGEINT:
        return put_hugeint(inner, out);
    case FM_KIND_FLOAT:
    case FM_KIND_DOUBLE:
        return put_real(inner, type->kind == FM_KIND_FLOAT, out);
    case FM_KIND_VARCHAR:
    case FM_KIND_ENUM:
        return put_text(inner, out);
    case FM_KIND_BLOB:
        return put_blob(inner, out);
    case FM_KIND_UUID:
        return put_uuid(inner, out);
    default: /* Signed integers, date, time, timestamps. */
        return put_signed(inner, fm_type_width(type), out);
    }
}
