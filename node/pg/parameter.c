#include "node/pg/parameter.h"

#include "client/client_text.h"
#include "node/pg/value.h"

#include <ctype.h>
#include <stdio.h>

#define OID_UNKNOWN 705u
#define OID_OID 26u
#define OID_NAME 19u
#define OID_BPCHAR 1042u
#define OID_VARCHAR 1043u
#define OID_JSONB 3802u
#define EPOCH_DAYS 10957 /* PostgreSQL counts from 2000-01-01, we from 1970-01-01. */
#define EPOCH_US (EPOCH_DAYS * INT64_C(86400000000))

/* How a type is written in SQL; NULL: as text. */
static const char *name_of(uint32_t oid)
{
    switch (oid) {
    case FM_PG_OID_BOOL:
        return "BOOLEAN";
    case FM_PG_OID_INT2:
        return "SMALLINT";
    case FM_PG_OID_INT4:
        return "INTEGER";
    case FM_PG_OID_INT8:
        return "BIGINT";
    case OID_OID:
        return "UINTEGER";
    case FM_PG_OID_NUMERIC:
        return "DECIMAL(38, 0)"; /* Without a point. */
    case FM_PG_OID_FLOAT4:
        return "REAL";
    case FM_PG_OID_FLOAT8:
        return "DOUBLE";
    case FM_PG_OID_DATE:
        return "DATE";
    case FM_PG_OID_TIME:
        return "TIME";
    case FM_PG_OID_TIMESTAMP:
        return "TIMESTAMP";
    case FM_PG_OID_TIMESTAMPTZ:
        return "TIMESTAMPTZ";
    case FM_PG_OID_INTERVAL:
        return "INTERVAL";
    case FM_PG_OID_UUID:
        return "UUID";
    default:
        return NULL;
    }
}

static void put_text(struct fm_buf *out, struct fm_span text)
{
    fm_buf_put_u8(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            fm_buf_put_u8(out, '\'');
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, '\'');
}

static enum fm_status no_value(const char *type, struct fm_span text, struct fm_error *err)
{
    return fm_fail(err, FM_INVALID, "invalid input syntax for type %s: \"%.*s\"", type,
                   (int)(text.len < 64 ? text.len : 64), (const char *)text.data);
}

/* Digits with a sign, a point and an exponent where `is_integer` does not forbid them. */
static bool is_number(struct fm_span text, bool is_integer)
{
    size_t i = text.len != 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0, digits = 0;

    for (; i < text.len && isdigit(text.data[i]); i++)
        digits++;
    if (is_integer)
        return digits != 0 && i == text.len;
    if (i < text.len && text.data[i] == '.')
        for (i++; i < text.len && isdigit(text.data[i]); i++)
            digits++;
    return digits != 0 && i == text.len;
}

/* \x and hexadecimal digits, as the blob literal of the engine. */
static enum fm_status put_bytea_text(struct fm_buf *out, struct fm_span text, struct fm_error *err)
{
    if (text.len % 2 != 0 || text.len < 2 || memcmp(text.data, "\\x", 2) != 0)
        return no_value("bytea", text, err);
    fm_buf_put_str(out, "CAST('");
    for (size_t i = 2; i < text.len; i += 2) {
        if (!isxdigit(text.data[i]) || !isxdigit(text.data[i + 1]))
            return no_value("bytea", text, err);
        fm_buf_printf(out, "\\x%.2s", (const char *)text.data + i);
    }
    fm_buf_put_str(out, "' AS BLOB)");
    return FM_OK;
}

static enum fm_status put_from_text(struct fm_buf *out, uint32_t oid, struct fm_span text,
                                    struct fm_error *err)
{
    if (!fm_utf8_valid(text) || (text.len != 0 && memchr(text.data, 0, text.len) != NULL))
        return fm_fail(err, FM_INVALID, "invalid byte sequence for encoding \"UTF8\"");
    switch (oid) {
    case FM_PG_OID_INT2:
    case FM_PG_OID_INT4:
    case FM_PG_OID_INT8:
    case OID_OID:
        if (!is_number(text, true))
            return no_value("integer", text, err);
        fm_buf_printf(out, "CAST(%.*s AS %s)", (int)text.len, (const char *)text.data,
                      name_of(oid));
        return FM_OK;
    case FM_PG_OID_NUMERIC:
        if (!is_number(text, false))
            return no_value("numeric", text, err);
        if (memchr(text.data, '.', text.len) == NULL)
            break;
        fm_buf_printf(out, "(%.*s)", (int)text.len, (const char *)text.data);
        return FM_OK;
    case FM_PG_OID_BYTEA:
        return put_bytea_text(out, text, err);
    default:
        break;
    }
    const char *name = name_of(oid);
    fm_buf_put_str(out, name != NULL ? "CAST(" : "");
    put_text(out, text);
    if (name != NULL)
        fm_buf_printf(out, " AS %s)", name);
    return FM_OK;
}

/* ---- Binary ---------------------------------------------------------------------------------- */

/* An integer of 1 to 8 bytes; 0 for other lengths. */
static int64_t integer_of(struct fm_span value)
{
    uint64_t bits = 0;

    if (value.len == 0 || value.len > 8)
        return 0;
    for (size_t i = 0; i < value.len; i++)
        bits = bits << 8 | value.data[i];
    unsigned unused = 64 - 8 * (unsigned)value.len;
    return (int64_t)(bits << unused) >> unused;
}

static void print_double(struct fm_buf *out, struct fm_span value)
{
    uint64_t bits = (uint64_t)integer_of(value);
    uint32_t narrow_bits = (uint32_t)bits;
    double wide = 0;
    float narrow = 0;

    memcpy(&wide, &bits, sizeof wide);
    memcpy(&narrow, &narrow_bits, sizeof narrow);
    fm_buf_printf(out, "%.17g", value.len == 4 ? (double)narrow : wide);
}

static void print_moment(struct fm_buf *out, uint32_t oid, struct fm_span value)
{
    int64_t us = integer_of(value);

    if (oid == FM_PG_OID_DATE)
        us = us * INT64_C(86400000000);
    if (oid == FM_PG_OID_TIME)
        us -= EPOCH_US;
    size_t from = out->len;
    fm_text_timestamp(out, us + EPOCH_US, ' ');
    if (fm_buf_status(out) != FM_OK)
        return;
    const uint8_t *space = memchr(out->data + from, ' ', out->len - from);
    if (oid == FM_PG_OID_DATE && space != NULL && out->data[out->len - 1] != 'C')
        out->len = (size_t)(space - out->data);
    if (oid == FM_PG_OID_TIME && space != NULL) {
        size_t skip = (size_t)(space + 1 - out->data) - from;
        memmove(out->data + from, out->data + from + skip, out->len - from - skip);
        out->len -= skip;
    }
    if (oid == FM_PG_OID_TIMESTAMPTZ)
        fm_buf_put_str(out, "+00");
}

/* numeric_recv(): digits to the base 10000. */
static bool print_numeric(struct fm_buf *out, struct fm_span value)
{
    if (value.len < 8)
        return false;
    unsigned count = fm_pg_get16(value.data), scale = fm_pg_get16(value.data + 6);
    int weight = (int16_t)fm_pg_get16(value.data + 2);
    uint16_t sign = fm_pg_get16(value.data + 4);

    if (value.len != 8 + 2 * (size_t)count || (sign != 0 && sign != 0x4000) || scale > 1000 ||
        weight > 1000 || weight < -1000)
        return false;
    fm_buf_put_str(out, sign != 0 ? "-" : "");
    for (int i = weight < 0 ? -1 : 0; i <= weight; i++) {
        bool is_there = i >= 0 && (unsigned)i < count;
        fm_buf_printf(out, i <= 0 ? "%u" : "%04u",
                      is_there ? fm_pg_get16(value.data + 8 + 2 * i) : 0u);
    }
    if (scale == 0)
        return true;
    fm_buf_put_u8(out, '.');
    for (unsigned digit = 0; digit < scale; digit += 4) {
        int i = weight + 1 + (int)digit / 4;
        bool is_there = i >= 0 && (unsigned)i < count;
        char text[8];
        (void)snprintf(text, sizeof text, "%04u",
                       is_there ? fm_pg_get16(value.data + 8 + 2 * i) : 0u);
        fm_buf_put(out, text, scale - digit < 4 ? scale - digit : 4);
    }
    return true;
}

static bool print_uuid(struct fm_buf *out, struct fm_span value)
{
    char hex[33];

    if (value.len != 16)
        return false;
    fm_hex(value.data, value.len, hex);
    fm_buf_put_str(out, hex);
    return true;
}

/* The value's text form; false: no value of its type. */
static bool print_binary(struct fm_buf *out, uint32_t oid, struct fm_span value)
{
    switch (oid) {
    case FM_PG_OID_BOOL:
        fm_buf_put_str(out, value.len == 1 && value.data[0] != 0 ? "true" : "false");
        return value.len == 1;
    case FM_PG_OID_INT2:
    case FM_PG_OID_INT4:
    case FM_PG_OID_INT8:
        fm_buf_printf(out, "%lld", (long long)integer_of(value));
        return value.len == 2 || value.len == 4 || value.len == 8;
    case OID_OID:
        fm_buf_printf(out, "%u", (uint32_t)integer_of(value));
        return value.len == 4;
    case FM_PG_OID_FLOAT4:
    case FM_PG_OID_FLOAT8:
        print_double(out, value);
        return value.len == (oid == FM_PG_OID_FLOAT4 ? 4 : 8);
    case FM_PG_OID_DATE:
    case FM_PG_OID_TIME:
    case FM_PG_OID_TIMESTAMP:
    case FM_PG_OID_TIMESTAMPTZ:
        if (value.len != (oid == FM_PG_OID_DATE ? 4u : 8u))
            return false;
        print_moment(out, oid, value);
        return true;
    case FM_PG_OID_INTERVAL:
        if (value.len != 16)
            return false;
        fm_buf_printf(out, "%d months %d days %lld microseconds", (int)fm_pg_get32(value.data + 12),
                      (int)fm_pg_get32(value.data + 8),
                      (long long)integer_of(fm_span(value.data, 8)));
        return true;
    case FM_PG_OID_NUMERIC:
        return print_numeric(out, value);
    case FM_PG_OID_UUID:
        return print_uuid(out, value);
    default:
        return false;
    }
}

static enum fm_status put_from_binary(struct fm_buf *out, uint32_t oid, struct fm_span value,
                                      struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    switch (oid) {
    case 0:
    case OID_UNKNOWN:
    case OID_NAME:
    case OID_BPCHAR:
    case OID_VARCHAR:
    case FM_PG_OID_TEXT:
    case FM_PG_OID_JSON:
        return put_from_text(out, FM_PG_OID_TEXT, value, err);
    case OID_JSONB: /* A version, then the text. */
        if (value.len == 0 || value.data[0] != 1)
            return fm_fail(err, FM_INVALID, "unsupported jsonb version number");
        return put_from_text(out, FM_PG_OID_TEXT, fm_span(value.data + 1, value.len - 1), err);
    case FM_PG_OID_BYTEA:
        fm_buf_put_str(&text, "\\x");
        for (size_t i = 0; i < value.len; i++)
            fm_buf_printf(&text, "%02x", value.data[i]);
        break;
    default:
        if (!print_binary(&text, oid, value))
            return fm_fail(err, FM_UNSUPPORTED,
                           "a parameter of type %u is not taken in binary format, or is none: "
                           "send it as text",
                           oid);
    }
    enum fm_status status = fm_buf_status(&text);
    return status == FM_OK ? put_from_text(out, oid, fm_buf_span(&text), err) : status;
}

enum fm_status fm_pg_parameter_put(const struct fm_pg_parameter *parameter, struct fm_buf *out,
                                   struct fm_error *err)
{
    enum fm_status status = FM_OK;

    fm_buf_put_u8(out, ' ');
    if (parameter->is_null) {
        const char *name = name_of(parameter->oid);
        if (name != NULL)
            fm_buf_printf(out, "CAST(NULL AS %s)", name);
        else
            fm_buf_put_str(out, "NULL");
    } else if (parameter->format == FM_PG_TEXT) {
        status = put_from_text(out, parameter->oid, parameter->value, err);
    } else {
        status = put_from_binary(out, parameter->oid, parameter->value, err);
    }
    fm_buf_put_u8(out, ' ');
    return status == FM_OK ? fm_buf_status(out) : status;
}
