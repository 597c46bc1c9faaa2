#include "client/client_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DAY_US INT64_C(86400000000)
#define JSON_EXACT (INT64_C(1) << 53) /* Integers up to here survive a reader with doubles. */
#define JSON_DECIMAL_DIGITS 15u

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* ---- Numbers ------------------------------------------------------------------------------- */

/* Digits of `value`, `scale` of them behind the point. */
static void put_int128(struct fm_buf *out, int128 value, unsigned scale)
{
    char digits[48];
    size_t at = sizeof digits;
    uint128 rest = value < 0 ? ~(uint128)value + 1 : (uint128)value;
    unsigned written = 0;

    do {
        if (written == scale && scale != 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
        written++;
    } while (rest != 0 || written <= scale);
    if (value < 0)
        digits[--at] = '-';
    fm_buf_put(out, digits + at, sizeof digits - at);
}

/* The shortest digits that are read back as the same number. */
static void put_double(struct fm_buf *out, enum fm_text_style style, double value, bool is_float)
{
    char text[64];

    if (!isfinite(value)) {
        const char *word = isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
        if (style == FM_TEXT_JSON)
            fm_json_string(out, fm_span_str(word));
        else
            fm_buf_put_str(out, word);
        return;
    }
    /* Only subnormal numbers have fewer exact digits than their type. */
    bool is_normal = is_float ? isnormal((float)value) : isnormal(value);
    for (int digits = !is_normal ? 1 : is_float ? 6 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value); /* At most 24 characters. */
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    fm_buf_put_str(out, text);
}

/* ---- Dates and times ----------------------------------------------------------------------- */

/* Civil date of a day number (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_date(struct fm_buf *out, int64_t days, bool *is_bc)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);

    *is_bc = year <= 0;
    fm_buf_printf(out, "%04lld-%02lld-%02lld", (long long)(year <= 0 ? 1 - year : year),
                  (long long)month, (long long)(doy - (153 * mp + 2) / 5 + 1));
}

/* "04:05:06.5"; `us` is not negative. */
static void put_clock(struct fm_buf *out, uint64_t us)
{
    char fraction[8];
    uint64_t seconds = us / 1000000;

    fm_buf_printf(out, "%02llu:%02llu:%02llu", (unsigned long long)(seconds / 3600),
                  (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
    if (us % 1000000 == 0)
        return;
    (void)snprintf(fraction, sizeof fraction, ".%06u", (unsigned)(us % 1000000));
    size_t len = strlen(fraction);
    while (fraction[len - 1] == '0')
        len--;
    fm_buf_put(out, fraction, len);
}

static void put_timestamp(struct fm_buf *out, int64_t us, char separator, const char *zone)
{
    int64_t days = us / DAY_US - (us % DAY_US < 0);
    bool is_bc = false;

    if (us == INT64_MAX || us == -INT64_MAX) { /* The engine's infinities. */
        fm_buf_put_str(out, us < 0 ? "-infinity" : "infinity");
        return;
    }
    put_date(out, days, &is_bc);
    fm_buf_put_u8(out, (uint8_t)separator);
    put_clock(out, (uint64_t)(us - days * DAY_US));
    fm_buf_put_str(out, zone);
    fm_buf_put_str(out, is_bc ? " BC" : "");
}

void fm_text_timestamp(struct fm_buf *out, int64_t us, char separator)
{
    put_timestamp(out, us, separator, "");
}

/* One part of an interval. A positive part behind a negative one shows its sign. */
static void put_part(struct fm_buf *out, int64_t value, const char *unit, bool *is_first,
                     bool *was_negative)
{
    if (value == 0)
        return;
    fm_buf_printf(out, "%s%s%lld %s%s", *is_first ? "" : " ", *was_negative && value > 0 ? "+" : "",
                  (long long)value, unit, value == 1 ? "" : "s");
    *is_first = false;
    *was_negative = value < 0;
}

static void put_interval(struct fm_buf *out, int32_t months, int32_t days, int64_t us)
{
    bool is_first = true, was_negative = false;

    put_part(out, months / 12, "year", &is_first, &was_negative);
    put_part(out, months % 12, "mon", &is_first, &was_negative);
    put_part(out, days, "day", &is_first, &was_negative);
    if (us == 0 && !is_first)
        return;
    fm_buf_put_str(out, is_first ? "" : " ");
    fm_buf_put_str(out, us < 0 ? "-" : was_negative ? "+" : "");
    put_clock(out, us < 0 ? ~(uint64_t)us + 1 : (uint64_t)us);
}

/* ---- Scalars ------------------------------------------------------------------------------- */

static void put_uuid(struct fm_buf *out, const uint8_t *bytes)
{
    char hex[33];

    fm_hex(bytes, 16, hex);
    fm_buf_printf(out, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static bool put_integer(struct fm_buf *out, enum fm_text_style style, const struct fm_type *type,
                        const uint8_t *v)
{
    int128 value = 0;

    switch (type->kind) {
    case FM_KIND_INT8:
        value = (int8_t)v[0];
        break;
    case FM_KIND_INT16:
        value = (int16_t)fm_load16(v);
        break;
    case FM_KIND_INT32:
        value = (int32_t)fm_load32(v);
        break;
    case FM_KIND_INT64:
        value = (int64_t)fm_load64(v);
        break;
    case FM_KIND_UINT8:
        value = v[0];
        break;
    case FM_KIND_UINT16:
        value = fm_load16(v);
        break;
    case FM_KIND_UINT32:
        value = fm_load32(v);
        break;
    case FM_KIND_UINT64:
        value = (int128)fm_load64(v);
        break;
    case FM_KIND_HUGEINT:
    case FM_KIND_DECIMAL:
        memcpy(&value, v, sizeof value);
        break;
    default:
        return false;
    }
    bool is_decimal = type->kind == FM_KIND_DECIMAL;
    bool is_exact = is_decimal ? type->precision <= JSON_DECIMAL_DIGITS
                               : value <= JSON_EXACT && value >= -JSON_EXACT;
    const char *quote = style == FM_TEXT_JSON && !is_exact ? "\"" : "";
    fm_buf_put_str(out, quote);
    put_int128(out, value, is_decimal ? type->scale : 0);
    fm_buf_put_str(out, quote);
    return true;
}

static void put_time(struct fm_buf *out, enum fm_text_style style, enum fm_kind kind,
                     const uint8_t *v)
{
    bool is_json = style == FM_TEXT_JSON, is_bc = false;
    int32_t day = 0;

    switch (kind) {
    case FM_KIND_DATE:
        day = (int32_t)fm_load32(v);
        if (day == INT32_MAX || day == -INT32_MAX) {
            fm_buf_put_str(out, day < 0 ? "-infinity" : "infinity");
            return;
        }
        put_date(out, day, &is_bc);
        fm_buf_put_str(out, is_bc ? " BC" : "");
        return;
    case FM_KIND_TIME:
        put_clock(out, fm_load64(v));
        return;
    case FM_KIND_TIMESTAMP:
        put_timestamp(out, (int64_t)fm_load64(v), is_json ? 'T' : ' ', "");
        return;
    case FM_KIND_TIMESTAMPTZ:
        put_timestamp(out, (int64_t)fm_load64(v), is_json ? 'T' : ' ', is_json ? "+00:00" : "+00");
        return;
    case FM_KIND_INTERVAL:
        put_interval(out, (int32_t)fm_load32(v), (int32_t)fm_load32(v + 4),
                     (int64_t)fm_load64(v + 8));
        return;
    default:
        put_uuid(out, v);
    }
}

/* `v`: the canonical bytes of a type with a fixed width. */
static void put_fixed(struct fm_buf *out, enum fm_text_style style, const struct fm_type *type,
                      const uint8_t *v)
{
    float narrow = 0;
    double wide = 0;

    switch (type->kind) {
    case FM_KIND_BOOLEAN:
        fm_buf_put_str(out, v[0] != 0 ? "true" : "false");
        return;
    case FM_KIND_FLOAT:
        memcpy(&narrow, v, sizeof narrow);
        put_double(out, style, (double)narrow, true);
        return;
    case FM_KIND_DOUBLE:
        memcpy(&wide, v, sizeof wide);
        put_double(out, style, wide, false);
        return;
    default:
        break;
    }
    if (put_integer(out, style, type, v))
        return;
    fm_buf_put_str(out, style == FM_TEXT_JSON ? "\"" : "");
    put_time(out, style, type->kind, v);
    fm_buf_put_str(out, style == FM_TEXT_JSON ? "\"" : "");
}

static void put_blob(struct fm_buf *out, enum fm_text_style style, struct fm_span bytes)
{
    static const char hex[] = "0123456789abcdef";

    fm_buf_put_str(out, style == FM_TEXT_JSON ? "\"\\\\x" : "\\x");
    uint8_t *room = fm_buf_extend(out, 2 * bytes.len);
    for (size_t i = 0; room != NULL && i < bytes.len; i++) {
        room[2 * i] = (uint8_t)hex[bytes.data[i] >> 4];
        room[2 * i + 1] = (uint8_t)hex[bytes.data[i] & 15];
    }
    fm_buf_put_str(out, style == FM_TEXT_JSON ? "\"" : "");
}

static void put_bytes(struct fm_buf *out, enum fm_text_style style, enum fm_kind kind,
                      struct fm_span bytes)
{
    if (kind == FM_KIND_BLOB)
        put_blob(out, style, bytes);
    else if (style == FM_TEXT_PLAIN || (kind == FM_KIND_JSON && fm_json_valid(bytes)))
        fm_buf_put_span(out, bytes);
    else
        fm_json_string(out, bytes);
}

/* ---- Nested values ------------------------------------------------------------------------- */

/* An element of an array or field of a row as PostgreSQL quotes it. */
static void put_quoted(struct fm_buf *out, struct fm_span text, const char *special)
{
    bool needs = text.len == 0;

    if (text.len == 4 && strncasecmp((const char *)text.data, "null", 4) == 0)
        needs = true;
    for (size_t i = 0; i < text.len && !needs; i++)
        needs = text.data[i] != '\0' && strchr(special, text.data[i]) != NULL;
    if (!needs) {
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

static enum fm_status put_child(struct fm_buf *out, enum fm_text_style style,
                                const struct fm_type *type, struct fm_cursor *value,
                                const char *special, const char *null)
{
    FM_AUTO(fm_buf_free) struct fm_buf inner = FM_BUF_INIT(0);
    uint8_t is_there = 0;

    enum fm_status status = fm_take_u8(value, &is_there);
    if (status != FM_OK || is_there > 1)
        return FM_MALFORMED;
    if (is_there == 0) {
        fm_buf_put_str(out, null);
        return FM_OK;
    }
    /* Lists in lists are arrays of more dimensions: no quotes around them. */
    if (style == FM_TEXT_JSON || special == NULL)
        return fm_text_canonical(out, style, type, value);
    status = fm_text_canonical(&inner, style, type, value);
    if (status == FM_OK)
        status = fm_buf_status(&inner);
    if (status == FM_OK)
        put_quoted(out, fm_buf_span(&inner), special);
    return status;
}

static enum fm_status put_list(struct fm_buf *out, enum fm_text_style style,
                               const struct fm_type *type, struct fm_cursor *value)
{
    const struct fm_type *child = &type->children[0];
    const char *special = child->kind == FM_KIND_LIST ? NULL : "{},\"\\ \t\n\r\v\f";
    bool is_json = style == FM_TEXT_JSON;
    uint64_t count = 0;

    enum fm_status status = fm_take_uvarint(value, &count);
    fm_buf_put_u8(out, is_json ? '[' : '{');
    for (uint64_t i = 0; status == FM_OK && i < count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ",");
        status = put_child(out, style, child, value, special, is_json ? "null" : "NULL");
    }
    fm_buf_put_u8(out, is_json ? ']' : '}');
    return status;
}

static enum fm_status put_struct(struct fm_buf *out, enum fm_text_style style,
                                 const struct fm_type *type, struct fm_cursor *value)
{
    bool is_json = style == FM_TEXT_JSON;
    enum fm_status status = FM_OK;

    fm_buf_put_u8(out, is_json ? '{' : '(');
    for (uint32_t i = 0; status == FM_OK && i < type->child_count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ",");
        if (is_json) {
            fm_json_string(out, fm_span_str(type->labels[i]));
            fm_buf_put_u8(out, ':');
        }
        status = put_child(out, style, &type->children[i], value, "(),\"\\ \t\n\r\v\f",
                           is_json ? "null" : "");
    }
    fm_buf_put_u8(out, is_json ? '}' : ')');
    return status;
}

/* PostgreSQL has no maps: a JSON object in both styles, its keys as text. */
static enum fm_status put_map(struct fm_buf *out, const struct fm_type *type,
                              struct fm_cursor *value)
{
    FM_AUTO(fm_buf_free) struct fm_buf key = FM_BUF_INIT(0);
    uint64_t count = 0;

    enum fm_status status = fm_take_uvarint(value, &count);
    fm_buf_put_u8(out, '{');
    for (uint64_t i = 0; status == FM_OK && i < count; i++) {
        fm_buf_clear(&key);
        fm_buf_put_str(out, i == 0 ? "" : ",");
        status = fm_text_canonical(&key, FM_TEXT_PLAIN, &type->children[0], value);
        if (status == FM_OK)
            status = fm_buf_status(&key);
        if (status != FM_OK)
            return status;
        fm_json_string(out, fm_buf_span(&key));
        fm_buf_put_u8(out, ':');
        status = put_child(out, FM_TEXT_JSON, &type->children[1], value, NULL, "null");
    }
    fm_buf_put_u8(out, '}');
    return status;
}

enum fm_status fm_text_canonical(struct fm_buf *out, enum fm_text_style style,
                                 const struct fm_type *type, struct fm_cursor *value)
{
    struct fm_span bytes = {0};
    uint64_t len = 0;

    if (type->kind == FM_KIND_LIST)
        return put_list(out, style, type, value);
    if (type->kind == FM_KIND_STRUCT)
        return put_struct(out, style, type, value);
    if (type->kind == FM_KIND_MAP)
        return put_map(out, type, value);
    if (fm_type_is_bytes(type)) {
        if (fm_take_uvarint(value, &len) != FM_OK || len > fm_cursor_left(value) ||
            fm_take_bytes(value, (size_t)len, &bytes) != FM_OK)
            return FM_MALFORMED;
        put_bytes(out, style, type->kind, bytes);
        return FM_OK;
    }
    len = type->kind == FM_KIND_DECIMAL ? 16 : fm_type_width(type);
    enum fm_status status = fm_take_bytes(value, (size_t)len, &bytes);
    if (status == FM_OK)
        put_fixed(out, style, type, bytes.data);
    return status;
}

enum fm_status fm_text_value(struct fm_buf *out, enum fm_text_style style,
                             const struct fm_batch *batch, const struct fm_vector_entry *vector,
                             const struct fm_type *type, const struct fm_dictionary *dictionary,
                             uint32_t row)
{
    FM_AUTO(fm_buf_free) struct fm_buf canonical = FM_BUF_INIT(0);
    uint8_t fixed[16] = {0};

    if (fm_type_is_bytes(type)) {
        put_bytes(out, style, type->kind, fm_vector_bytes(batch, vector, dictionary, row));
        return fm_buf_status(out);
    }
    if (!fm_type_is_nested(type)) {
        fm_vector_fixed(batch, vector, row, fixed);
        if (type->kind == FM_KIND_DECIMAL)
            fm_decimal_widen(type, fixed);
        put_fixed(out, style, type, fixed);
        return fm_buf_status(out);
    }
    enum fm_status status = fm_vector_canonical(batch, vector, type, dictionary, row, &canonical);
    if (status == FM_OK)
        status = fm_buf_status(&canonical);
    if (status != FM_OK)
        return status;
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&canonical));
    status = fm_text_canonical(out, style, type, &cursor);
    return status == FM_OK ? fm_buf_status(out) : status;
}

bool fm_type_is_number(const struct fm_type *type)
{
    return (type->kind >= FM_KIND_INT8 && type->kind <= FM_KIND_DECIMAL);
}
