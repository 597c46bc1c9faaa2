#include "node/pg/value.h"

#include "client/client_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define EPOCH_DAYS 10957 /* PostgreSQL counts from 2000-01-01, we from 1970-01-01. */
#define EPOCH_US (EPOCH_DAYS * INT64_C(86400000000))
#define NUMERIC_NEGATIVE 0x4000u

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* A value that is not nested: its canonical bytes (core/types.h), or the bytes of a text. */
struct scalar {
    uint8_t fixed[16];
    struct fm_span bytes;
};

/* ---- Types ----------------------------------------------------------------------------------- */

static uint32_t oid_of(enum fm_kind kind)
{
    static const uint16_t oids[] = {
        [FM_KIND_BOOLEAN] = FM_PG_OID_BOOL,
        [FM_KIND_INT8] = FM_PG_OID_INT2,
        [FM_KIND_INT16] = FM_PG_OID_INT2,
        [FM_KIND_INT32] = FM_PG_OID_INT4,
        [FM_KIND_INT64] = FM_PG_OID_INT8,
        [FM_KIND_UINT8] = FM_PG_OID_INT2,
        [FM_KIND_UINT16] = FM_PG_OID_INT4,
        [FM_KIND_UINT32] = FM_PG_OID_INT8,
        [FM_KIND_UINT64] = FM_PG_OID_NUMERIC,
        [FM_KIND_HUGEINT] = FM_PG_OID_NUMERIC,
        [FM_KIND_FLOAT] = FM_PG_OID_FLOAT4,
        [FM_KIND_DOUBLE] = FM_PG_OID_FLOAT8,
        [FM_KIND_DECIMAL] = FM_PG_OID_NUMERIC,
        [FM_KIND_VARCHAR] = FM_PG_OID_TEXT,
        [FM_KIND_BLOB] = FM_PG_OID_BYTEA,
        [FM_KIND_DATE] = FM_PG_OID_DATE,
        [FM_KIND_TIME] = FM_PG_OID_TIME,
        [FM_KIND_TIMESTAMP] = FM_PG_OID_TIMESTAMP,
        [FM_KIND_TIMESTAMPTZ] = FM_PG_OID_TIMESTAMPTZ,
        [FM_KIND_INTERVAL] = FM_PG_OID_INTERVAL,
        [FM_KIND_UUID] = FM_PG_OID_UUID,
        [FM_KIND_ENUM] = FM_PG_OID_TEXT,
        [FM_KIND_JSON] = FM_PG_OID_JSON,
        [FM_KIND_LIST] = FM_PG_OID_JSON, /* Unless an array. */
        [FM_KIND_STRUCT] = FM_PG_OID_JSON,
        [FM_KIND_MAP] = FM_PG_OID_JSON,
    };

    return oids[kind];
}

static bool is_array(const struct fm_type *type)
{
    return type->kind == FM_KIND_LIST && !fm_type_is_nested(&type->children[0]);
}

static int16_t length_of(uint32_t oid)
{
    switch (oid) {
#define X(name, number, array, length, text)                                                       \
    case number:                                                                                   \
        return length;
        FM_PG_TYPE_MAP(X)
#undef X
    default:
        return -1;
    }
}

static uint32_t array_of(uint32_t oid)
{
    switch (oid) {
#define X(name, number, array, length, text)                                                       \
    case number:                                                                                   \
        return array;
        FM_PG_TYPE_MAP(X)
#undef X
    default:
        return 0;
    }
}

struct fm_pg_type fm_pg_type_of(const struct fm_type *type)
{
    const struct fm_type *scalar = is_array(type) ? &type->children[0] : type;
    struct fm_pg_type out = {.oid = oid_of(scalar->kind), .modifier = -1};

    out.length = length_of(out.oid);
    if (scalar->kind == FM_KIND_DECIMAL)
        out.modifier = (scalar->precision << 16 | scalar->scale) + 4;
    if (is_array(type)) {
        out.element = out.oid;
        out.oid = array_of(out.element);
        out.length = -1;
    }
    return out;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* Any integer or decimal, unscaled. */
static int128 integer_of(enum fm_kind kind, const uint8_t *v)
{
    int128 wide = 0;

    switch (kind) {
    case FM_KIND_INT8:
        return (int8_t)v[0];
    case FM_KIND_INT16:
        return (int16_t)fm_load16(v);
    case FM_KIND_INT32:
        return (int32_t)fm_load32(v);
    case FM_KIND_INT64:
        return (int64_t)fm_load64(v);
    case FM_KIND_UINT8:
        return v[0];
    case FM_KIND_UINT16:
        return fm_load16(v);
    case FM_KIND_UINT32:
        return fm_load32(v);
    case FM_KIND_UINT64:
        return (int128)fm_load64(v);
    default:
        memcpy(&wide, v, sizeof wide);
        return wide;
    }
}

static void put_integer_text(struct fm_buf *out, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0)
        digits[--at] = '-';
    fm_buf_put(out, digits + at, sizeof digits - at);
}

/* numeric_send(): digits to the base 10000, of which `weight` + 1 stand before the point. */
static void put_numeric(struct fm_buf *out, int128 value, unsigned scale)
{
    static const uint16_t tens[] = {1, 10, 100, 1000};
    uint16_t digits[12] = {0}; /* The least first: 39 decimal digits and up to three zeros. */
    unsigned behind = (scale + 3) / 4, at = behind * 4 - scale;
    uint128 rest = value < 0 ? ~(uint128)value + 1 : (uint128)value;

    for (; rest != 0; rest /= 10, at++)
        digits[at / 4] = (uint16_t)(digits[at / 4] + (unsigned)(rest % 10) * tens[at % 4]);
    unsigned count = value == 0 ? 0 : (at + 3) / 4, zeros = 0;
    while (zeros < count && digits[zeros] == 0)
        zeros++;
    fm_pg_put16(out, (uint16_t)(count - zeros));
    fm_pg_put16(out, count == 0 ? 0 : (uint16_t)(count - 1 - behind));
    fm_pg_put16(out, value < 0 ? NUMERIC_NEGATIVE : 0);
    fm_pg_put16(out, (uint16_t)scale);
    for (unsigned i = count; i > zeros; i--)
        fm_pg_put16(out, digits[i - 1]);
}

/* The shortest digits that are read back as the same number; with an exponent where it is below -4
 * or at least the digits that the type always holds (PostgreSQL's float8out, float4out). */
static void put_float_text(struct fm_buf *out, double value, bool is_single)
{
    char text[40];
    int digits = 0;

    if (!isfinite(value)) {
        fm_buf_put_str(out, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    for (digits = 0; digits < 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits, value);
        if (is_single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent >= -4 && exponent < (is_single ? 6 : 15)) {
        int behind = digits > exponent ? digits - exponent : 0;
        (void)snprintf(text, sizeof text, "%.*f", behind, value);
    }
    fm_buf_put_str(out, text);
}

/* ---- Text ------------------------------------------------------------------------------------ */

static enum fm_status put_other_text(struct fm_buf *out, const struct fm_type *type,
                                     const struct scalar *value)
{
    struct fm_cursor cursor = fm_cursor(fm_span(value->fixed, sizeof value->fixed));

    return fm_text_canonical(out, FM_TEXT_PLAIN, type, &cursor);
}

static enum fm_status put_text(struct fm_buf *out, const struct fm_type *type,
                               const struct scalar *value)
{
    float narrow = 0;
    double wide = 0;

    switch (type->kind) {
    case FM_KIND_BOOLEAN:
        fm_buf_put_u8(out, value->fixed[0] != 0 ? 't' : 'f');
        break;
    case FM_KIND_INT8:
    case FM_KIND_INT16:
    case FM_KIND_INT32:
    case FM_KIND_INT64:
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
        put_integer_text(out, (int64_t)integer_of(type->kind, value->fixed));
        break;
    case FM_KIND_FLOAT:
        memcpy(&narrow, value->fixed, sizeof narrow);
        put_float_text(out, (double)narrow, true);
        break;
    case FM_KIND_DOUBLE:
        memcpy(&wide, value->fixed, sizeof wide);
        put_float_text(out, wide, false);
        break;
    case FM_KIND_VARCHAR:
    case FM_KIND_ENUM:
    case FM_KIND_JSON:
        fm_buf_put_span(out, value->bytes);
        break;
    case FM_KIND_BLOB: {
        uint8_t *at = NULL;
        fm_buf_put_str(out, "\\x");
        at = fm_buf_extend(out, 2 * value->bytes.len + 1);
        if (at != NULL) {
            fm_hex(value->bytes.data, value->bytes.len, (char *)at);
            out->len--; /* Its NUL. */
        }
        break;
    }
    default:
        return put_other_text(out, type, value);
    }
    return FM_OK;
}

/* ---- Binary ---------------------------------------------------------------------------------- */

static void put_date(struct fm_buf *out, int32_t days)
{
    if (days == -INT32_MAX)
        days = INT32_MIN; /* -infinity */
    else if (days != INT32_MAX)
        days -= EPOCH_DAYS;
    fm_pg_put32(out, (uint32_t)days);
}

static void put_timestamp(struct fm_buf *out, int64_t us)
{
    if (us == -INT64_MAX)
        us = INT64_MIN;
    else if (us != INT64_MAX && us >= INT64_MIN + EPOCH_US)
        us -= EPOCH_US;
    fm_pg_put64(out, (uint64_t)us);
}

static void put_binary(struct fm_buf *out, const struct fm_type *type, const struct scalar *value)
{
    const uint8_t *v = value->fixed;

    switch (oid_of(type->kind)) {
    case FM_PG_OID_BOOL:
        fm_buf_put_u8(out, v[0] != 0);
        break;
    case FM_PG_OID_INT2:
        fm_pg_put16(out, (uint16_t)integer_of(type->kind, v));
        break;
    case FM_PG_OID_INT4:
        fm_pg_put32(out, (uint32_t)integer_of(type->kind, v));
        break;
    case FM_PG_OID_FLOAT4:
        fm_pg_put32(out, fm_load32(v));
        break;
    case FM_PG_OID_INT8:
        fm_pg_put64(out, (uint64_t)integer_of(type->kind, v));
        break;
    case FM_PG_OID_FLOAT8:
    case FM_PG_OID_TIME:
        fm_pg_put64(out, fm_load64(v));
        break;
    case FM_PG_OID_NUMERIC:
        put_numeric(out, integer_of(type->kind, v),
                    type->kind == FM_KIND_DECIMAL ? type->scale : 0);
        break;
    case FM_PG_OID_DATE:
        put_date(out, (int32_t)fm_load32(v));
        break;
    case FM_PG_OID_TIMESTAMP:
    case FM_PG_OID_TIMESTAMPTZ:
        put_timestamp(out, (int64_t)fm_load64(v));
        break;
    case FM_PG_OID_INTERVAL:
        fm_pg_put64(out, fm_load64(v + 8));
        fm_pg_put32(out, fm_load32(v + 4));
        fm_pg_put32(out, fm_load32(v));
        break;
    case FM_PG_OID_UUID:
        fm_buf_put(out, v, 16);
        break;
    default:
        fm_buf_put_span(out, value->bytes);
    }
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

/* The next element from canonical bytes; false: it is null. */
static enum fm_status take_element(struct fm_cursor *cursor, const struct fm_type *type,
                                   bool *is_there, struct scalar *out)
{
    struct fm_span fixed;
    uint64_t len = 0;
    uint8_t flag = 0;

    enum fm_status status = fm_take_u8(cursor, &flag);
    *is_there = flag == 1;
    if (status != FM_OK || flag == 0)
        return status;
    if (fm_type_is_bytes(type)) {
        status = fm_take_uvarint(cursor, &len);
        if (status == FM_OK && len > fm_cursor_left(cursor))
            status = FM_MALFORMED;
        return status == FM_OK ? fm_take_bytes(cursor, (size_t)len, &out->bytes) : status;
    }
    status =
        fm_take_bytes(cursor, type->kind == FM_KIND_DECIMAL ? 16 : fm_type_width(type), &fixed);
    if (status == FM_OK)
        memcpy(out->fixed, fixed.data, fixed.len);
    return status;
}

static bool needs_quotes(struct fm_span text)
{
    if (text.len == 0 || (text.len == 4 && strncasecmp((const char *)text.data, "null", 4) == 0))
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != '\0' && strchr("{},\"\\ \t\n\r\v\f", text.data[i]) != NULL)
            return true;
    return false;
}

static void put_quoted(struct fm_buf *out, struct fm_span text)
{
    if (!needs_quotes(text)) {
        fm_buf_put_span(out, text);
        return;
    }
    fm_buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\')
            fm_buf_put_u8(out, '\\');
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, '"');
}

static enum fm_status put_array_text(struct fm_buf *out, const struct fm_type *element,
                                     struct fm_cursor *cursor, uint64_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    struct scalar value = {0};
    bool is_there = false;

    fm_buf_put_u8(out, '{');
    for (uint64_t i = 0; i < count; i++) {
        enum fm_status status = take_element(cursor, element, &is_there, &value);
        fm_buf_put_str(out, i == 0 ? "" : ",");
        fm_buf_clear(&text);
        if (status == FM_OK && is_there)
            status = put_text(&text, element, &value);
        if (status == FM_OK)
            status = fm_buf_status(&text);
        if (status != FM_OK)
            return status;
        if (is_there)
            put_quoted(out, fm_buf_span(&text));
        else
            fm_buf_put_str(out, "NULL");
    }
    fm_buf_put_u8(out, '}');
    return FM_OK;
}

/* array_send(): dimensions, whether there are nulls, the element's type, then the one dimension. */
static enum fm_status put_array_binary(struct fm_buf *out, const struct fm_type *element,
                                       struct fm_cursor *cursor, uint64_t count)
{
    struct scalar value = {0};
    bool is_there = false;

    fm_pg_put32(out, count == 0 ? 0 : 1);
    size_t nulls_at = out->len;
    fm_pg_put32(out, 0);
    fm_pg_put32(out, oid_of(element->kind));
    if (count != 0) {
        fm_pg_put32(out, (uint32_t)count);
        fm_pg_put32(out, 1); /* Its lower bound. */
    }
    for (uint64_t i = 0; i < count; i++) {
        enum fm_status status = take_element(cursor, element, &is_there, &value);
        if (status != FM_OK)
            return status;
        fm_pg_put32(out, is_there ? 0 : UINT32_MAX);
        size_t at = out->len;
        if (is_there)
            put_binary(out, element, &value);
        if (fm_buf_status(out) != FM_OK)
            return fm_buf_status(out);
        uint32_t len = __builtin_bswap32(is_there ? (uint32_t)(out->len - at) : UINT32_MAX);
        memcpy(out->data + at - 4, &len, sizeof len);
        if (!is_there)
            out->data[nulls_at + 3] = 1;
    }
    return FM_OK;
}

static enum fm_status put_array(struct fm_buf *out, enum fm_pg_format format,
                                const struct fm_type *type, struct fm_span canonical)
{
    struct fm_cursor cursor = fm_cursor(canonical);
    uint64_t count = 0;

    enum fm_status status = fm_take_uvarint(&cursor, &count);
    if (status == FM_OK && count > INT32_MAX)
        status = FM_LIMIT;
    if (status != FM_OK)
        return status;
    return format == FM_PG_TEXT ? put_array_text(out, &type->children[0], &cursor, count)
                                : put_array_binary(out, &type->children[0], &cursor, count);
}

/* ---- A value of a batch ---------------------------------------------------------------------- */

/* Arrays and what is JSON here. */
static enum fm_status put_nested(struct fm_buf *out, enum fm_pg_format format,
                                 const struct fm_batch *batch, const struct fm_vector_entry *vector,
                                 const struct fm_type *type, const struct fm_dictionary *dictionary,
                                 uint32_t row)
{
    FM_AUTO(fm_buf_free) struct fm_buf canonical = FM_BUF_INIT(0);

    if (!is_array(type))
        return fm_text_value(out, FM_TEXT_JSON, batch, vector, type, dictionary, row);
    enum fm_status status = fm_vector_canonical(batch, vector, type, dictionary, row, &canonical);
    if (status == FM_OK)
        status = fm_buf_status(&canonical);
    return status == FM_OK ? put_array(out, format, type, fm_buf_span(&canonical)) : status;
}

enum fm_status fm_pg_put_value(struct fm_buf *out, enum fm_pg_format format,
                               const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               const struct fm_type *type, const struct fm_dictionary *dictionary,
                               uint32_t row)
{
    struct scalar value = {0};
    enum fm_status status = FM_OK;

    fm_pg_put32(out, 0);
    size_t at = out->len;
    if (fm_type_is_nested(type)) {
        status = put_nested(out, format, batch, vector, type, dictionary, row);
    } else {
        if (fm_type_is_bytes(type))
            value.bytes = fm_vector_bytes(batch, vector, dictionary, row);
        else
            fm_vector_fixed(batch, vector, row, value.fixed);
        if (type->kind == FM_KIND_DECIMAL)
            fm_decimal_widen(type, value.fixed);
        if (format == FM_PG_TEXT)
            status = put_text(out, type, &value);
        else
            put_binary(out, type, &value);
    }
    if (status == FM_OK)
        status = fm_buf_status(out);
    if (status != FM_OK)
        return status;
    uint32_t len = __builtin_bswap32((uint32_t)(out->len - at));
    memcpy(out->data + at - 4, &len, sizeof len);
    return FM_OK;
}
