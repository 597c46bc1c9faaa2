/* Predicates in words, for people: a term over canonical bytes that plan_value() wrote. */
#include "query/plan_read.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define US_PER_SECOND INT64_C(1000000)
#define VALUES_SHOWN 16u /* Of an IN list. */
#define US_PER_DAY (INT64_C(86400) * US_PER_SECOND)

static int64_t load_signed(struct fm_span bytes)
{
    uint8_t wide[8];

    memset(wide, bytes.len > 0 && (bytes.data[bytes.len - 1] & 0x80u) != 0 ? 0xff : 0, sizeof wide);
    memcpy(wide, bytes.data, bytes.len < sizeof wide ? bytes.len : sizeof wide);
    return (int64_t)fm_load64(wide);
}

/* A 16-byte number in decimal, `scale` digits behind the point. */
static void put_wide(struct fm_span bytes, unsigned scale, struct fm_buf *out)
{
    char digits[48];
    size_t count = 0;
    uint32_t limbs[4];
    bool negative = (bytes.data[15] & 0x80u) != 0;
    uint64_t carry = negative ? 1 : 0;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t limb = fm_load32(bytes.data + (size_t)4 * i);
        uint64_t sum = (negative ? (uint32_t)~limb : limb) + carry;
        limbs[i] = (uint32_t)sum;
        carry = sum >> 32;
    }
    while (count < 40 && (count <= scale || (limbs[0] | limbs[1] | limbs[2] | limbs[3]) != 0)) {
        uint64_t rest = 0;
        for (unsigned i = 4; i > 0; i--) {
            uint64_t value = (rest << 32) | limbs[i - 1];
            limbs[i - 1] = (uint32_t)(value / 10);
            rest = value % 10;
        }
        digits[count++] = (char)('0' + (int)rest);
    }
    fm_buf_put_str(out, negative ? "-" : "");
    for (size_t i = count; i > 0; i--) {
        fm_buf_put_u8(out, (uint8_t)digits[i - 1]);
        if (scale > 0 && i - 1 == scale)
            fm_buf_put_u8(out, '.');
    }
}

/* Year, month and day of a count of days (Hinnant, "civil_from_days"). */
static void put_date(int64_t days, struct fm_buf *out)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march + (month_from_march < 10 ? 3 : -9);
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

    fm_buf_printf(out, "%04" PRId64 "-%02" PRId64 "-%02" PRId64, year, month,
                  day_of_year - (153 * month_from_march + 2) / 5 + 1);
}

static void put_time(int64_t us, struct fm_buf *out)
{
    int64_t seconds = us / US_PER_SECOND;

    fm_buf_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600, seconds / 60 % 60,
                  seconds % 60);
    if (us % US_PER_SECOND != 0)
        fm_buf_printf(out, ".%06" PRId64, us % US_PER_SECOND);
}

static void put_timestamp(int64_t us, struct fm_buf *out)
{
    int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0 ? 1 : 0);

    put_date(days, out);
    fm_buf_put_u8(out, ' ');
    put_time(us - days * US_PER_DAY, out);
}

static void put_hex(struct fm_span bytes, bool uuid, struct fm_buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (uuid && (i == 4 || i == 6 || i == 8 || i == 10))
            fm_buf_put_u8(out, '-');
        fm_buf_printf(out, "%02x", bytes.data[i]);
    }
}

static void put_quoted(struct fm_span text, struct fm_buf *out)
{
    fm_buf_put_u8(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            fm_buf_put_u8(out, '\'');
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, '\'');
}

static void put_real(double value, struct fm_buf *out)
{
    if (isnan(value))
        fm_buf_put_str(out, "'NaN'");
    else if (isinf(value))
        fm_buf_put_str(out, value < 0 ? "'-Infinity'" : "'Infinity'");
    else
        fm_buf_printf(out, "%.17g", value);
}

static void put_bytes(struct fm_span value, bool blob, struct fm_buf *out)
{
    struct fm_cursor cursor = fm_cursor(value);
    struct fm_span bytes = {0};
    uint64_t len = 0;

    if (fm_take_uvarint(&cursor, &len) != FM_OK || len > fm_cursor_left(&cursor) ||
        fm_take_bytes(&cursor, (size_t)len, &bytes) != FM_OK)
        return;
    if (!blob) {
        put_quoted(bytes, out);
        return;
    }
    fm_buf_put_str(out, "x'");
    put_hex(bytes, false, out);
    fm_buf_put_str(out, "'");
}

void plan_print_value(const struct fm_type *type, struct fm_span value, struct fm_buf *out)
{
    float single = 0;
    double real = 0;

    switch ((int)type->kind) {
    case FM_KIND_BOOLEAN:
        fm_buf_put_str(out, value.data[0] != 0 ? "true" : "false");
        break;
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
        fm_buf_printf(out, "%" PRIu64,
                      value.len == 8
                          ? fm_load64(value.data)
                          : (uint64_t)load_signed(value) & ((UINT64_C(1) << 8 * value.len) - 1));
        break;
    case FM_KIND_HUGEINT:
        put_wide(value, 0, out);
        break;
    case FM_KIND_DECIMAL:
        put_wide(value, type->scale, out);
        break;
    case FM_KIND_FLOAT:
        memcpy(&single, value.data, sizeof single);
        put_real((double)single, out);
        break;
    case FM_KIND_DOUBLE:
        memcpy(&real, value.data, sizeof real);
        put_real(real, out);
        break;
    case FM_KIND_DATE:
        put_date(load_signed(value), out);
        break;
    case FM_KIND_TIME:
        put_time(load_signed(value), out);
        break;
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
        put_timestamp(load_signed(value), out);
        break;
    case FM_KIND_UUID:
        put_hex(value, true, out);
        break;
    case FM_KIND_VARCHAR:
    case FM_KIND_ENUM:
    case FM_KIND_BLOB:
        put_bytes(value, type->kind == FM_KIND_BLOB, out);
        break;
    default:
        fm_buf_printf(out, "%" PRId64, load_signed(value));
        break;
    }
}

static const char *operator_text(enum fm_operator op)
{
    static const char *const texts[] = {
        [FM_OP_EQ] = " = ",
        [FM_OP_NE] = " <> ",
        [FM_OP_LT] = " < ",
        [FM_OP_LE] = " <= ",
        [FM_OP_GT] = " > ",
        [FM_OP_GE] = " >= ",
        [FM_OP_IN] = " IN (",
        [FM_OP_IS_NULL] = " IS NULL",
        [FM_OP_IS_NOT_NULL] = " IS NOT NULL",
        [FM_OP_PREFIX] = " starts with ",
    };

    return texts[op];
}

void plan_print_term(const struct fm_schema *schema, const struct fm_predicate *term,
                     struct fm_buf *out)
{
    const struct fm_field *field = NULL;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (schema->fields[i].id == term->field_id)
            field = &schema->fields[i];
    }
    if (field == NULL)
        return;
    fm_buf_put_str(out, field->name);
    fm_buf_put_str(out, operator_text(term->op));
    for (uint32_t i = 0; i < term->value_count && i < VALUES_SHOWN; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        plan_print_value(&field->type, fm_buf_span(&term->values[i]), out);
    }
    if (term->value_count > VALUES_SHOWN)
        fm_buf_printf(out, ", .. %u values", term->value_count);
    if (term->op == FM_OP_IN)
        fm_buf_put_str(out, ")");
}
