/* Values in the formats of PostgreSQL 15; what is expected here was printed by a server of it. */
#include "node/pg/value.h"

#include "node/pg/parameter.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A batch of one row and column, made from canonical bytes. */
struct one {
    struct fm_type type;
    struct fm_buf canonical;
    struct fm_buf bytes;
    struct fm_batch batch;
    struct fm_buf out;
};

static void one_begin(struct one *one, const char *type)
{
    memset(one, 0, sizeof *one);
    assert_int_equal(fm_type_parse(fm_span_str(type), &one->type, NULL), FM_OK);
}

static void one_make(struct one *one)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    const struct fm_type *types[] = {&one->type};
    struct fm_batch_builder_options options = {.types = types, .column_count = 1};
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&one->canonical));

    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_canonical(builder, 0, &cursor), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &one->bytes), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&one->bytes), types, 1, NULL, &one->batch), FM_OK);
}

/* In that format, behind its length. */
static struct fm_span one_put(struct one *one, enum fm_pg_format format)
{
    fm_buf_clear(&one->out);
    assert_int_equal(fm_pg_put_value(&one->out, format, &one->batch, &one->batch.vectors[0],
                                     &one->type, NULL, 0),
                     FM_OK);
    assert_int_equal(fm_pg_get32(one->out.data), one->out.len - 4);
    return fm_span(one->out.data + 4, one->out.len - 4);
}

static void one_end(struct one *one)
{
    fm_type_deinit(&one->type);
    fm_buf_free(&one->canonical);
    fm_buf_free(&one->bytes);
    fm_buf_free(&one->out);
}

/* The value whose canonical bytes are in `one`: its text, and its binary form in hexadecimal. */
static void must_be(struct one *one, const char *text, const char *binary)
{
    uint8_t bytes[128];
    size_t len = strlen(binary) / 2;

    one_make(one);
    struct fm_span got = one_put(one, FM_PG_TEXT);
    if (!fm_span_equal(got, fm_span_str(text)))
        fail_msg("'%.*s', not '%s'", (int)got.len, (const char *)got.data, text);
    assert_true(len <= sizeof bytes);
    assert_int_equal(fm_unhex(binary, bytes, len), FM_OK);
    got = one_put(one, FM_PG_BINARY);
    if (!fm_span_equal(got, fm_span(bytes, len))) {
        char hex[257];
        fm_hex(got.data, got.len < 128 ? got.len : 128, hex);
        fail_msg("%s: %s, not %s", text, hex, binary);
    }
    one_end(one);
}

static void of_u64(const char *type, uint64_t value, const char *text, const char *binary)
{
    struct one one;

    one_begin(&one, type);
    uint8_t bytes[8];
    fm_store64(bytes, value);
    fm_buf_put(&one.canonical, bytes, fm_type_width(&one.type));
    must_be(&one, text, binary);
}

static void integers(void **state)
{
    (void)state;
    of_u64("boolean", 1, "t", "01");
    of_u64("boolean", 0, "f", "00");
    of_u64("int8", (uint64_t)-128, "-128", "ff80");
    of_u64("uint8", 255, "255", "00ff");
    of_u64("int16", (uint64_t)INT16_MIN, "-32768", "8000");
    of_u64("uint16", 65535, "65535", "0000ffff");
    of_u64("int32", (uint64_t)INT32_MIN, "-2147483648", "80000000");
    of_u64("uint32", UINT32_MAX, "4294967295", "00000000ffffffff");
    of_u64("int64", (uint64_t)INT64_MIN, "-9223372036854775808", "8000000000000000");
    of_u64("int64", 0, "0", "0000000000000000");
    of_u64("uint64", UINT64_MAX, "18446744073709551615", "000500040000000007341a5802e103bb064f");
}

static void of_double(double value, const char *text)
{
    uint64_t bits = 0;
    char hex[17];

    memcpy(&bits, &value, sizeof bits);
    uint64_t swapped = __builtin_bswap64(bits);
    fm_hex(&swapped, 8, hex);
    of_u64("double", bits, text, hex);
}

static void of_float(float value, const char *text)
{
    uint32_t bits = 0;
    char hex[9];

    memcpy(&bits, &value, sizeof bits);
    uint32_t swapped = __builtin_bswap32(bits);
    fm_hex(&swapped, 4, hex);
    of_u64("float", bits, text, hex);
}

static void floats(void **state)
{
    (void)state;
    of_double(0.1, "0.1");
    of_double(1.0 / 3, "0.3333333333333333");
    of_double(-0.0, "-0");
    of_double(100000, "100000");
    of_double(123456789012345, "123456789012345");
    of_double(1e15, "1e+15");
    of_double(1234567890123456, "1.234567890123456e+15");
    of_double(0.0001, "0.0001");
    of_double(0.00001, "1e-05");
    of_double(0.00012345, "0.00012345");
    of_double(DBL_MAX, "1.7976931348623157e+308");
    of_double(5e-324, "5e-324");
    of_double(NAN, "NaN");
    of_double(-INFINITY, "-Infinity");
    of_float(0.1F, "0.1");
    of_float(16777216, "1.6777216e+07");
    of_float(123456, "123456");
    of_float(1000000, "1e+06");
    of_float(1.0F / 3, "0.33333334");
}

__extension__ typedef __int128 int128;

static void of_decimal(const char *type, int128 value, const char *text, const char *binary)
{
    struct one one;

    one_begin(&one, type);
    fm_buf_put(&one.canonical, &value, sizeof value);
    must_be(&one, text, binary);
}

static void decimals(void **state)
{
    int128 most = 1;

    (void)state;
    of_decimal("decimal(4,2)", 0, "0.00", "0000000000000002");
    of_decimal("decimal(4,2)", -5, "-0.05", "0001ffff4000000201f4");
    of_decimal("decimal(9,3)", 12345678, "12345.678", "0003000100000003000109291a7c");
    of_decimal("decimal(18,0)", 10000, "10000", "00010001000000000001");
    of_decimal("decimal(10,4)", 1, "0.0001", "0001ffff000000040001");
    of_decimal("decimal(12,8)", 1, "0.00000001", "0001fffe000000080001");
    of_decimal("hugeint", -1, "-1", "00010000400000000001");
    for (int i = 0; i < 38; i++)
        most *= 10;
    most -= 1;
    of_decimal("decimal(38,38)", most, "0.99999999999999999999999999999999999999",
               "000affff00000026270f270f270f270f270f270f270f270f270f26ac");
    of_decimal("decimal(38,0)", most, "99999999999999999999999999999999999999",
               "000a0009000000000063270f270f270f270f270f270f270f270f270f");
}

static void moments(void **state)
{
    struct one one;

    (void)state;
    of_u64("date", 0, "1970-01-01", "ffffd533");
    of_u64("date", 10957, "2000-01-01", "00000000");
    of_u64("date", (uint32_t)INT32_MAX, "infinity", "7fffffff");
    of_u64("date", (uint32_t)-INT32_MAX, "-infinity", "80000000");
    of_u64("time", UINT64_C(86399999999), "23:59:59.999999", "000000141dd75fff");
    of_u64("timestamp", UINT64_C(946684800000000), "2000-01-01 00:00:00", "0000000000000000");
    of_u64("timestamptz", UINT64_C(946684800500000), "2000-01-01 00:00:00.5+00",
           "000000000007a120");
    of_u64("timestamp", INT64_MAX, "infinity", "7fffffffffffffff");
    of_u64("timestamp", (uint64_t)-INT64_MAX, "-infinity", "8000000000000000");
    one_begin(&one, "interval");
    fm_buf_put_u32(&one.canonical, 14);
    fm_buf_put_u32(&one.canonical, (uint32_t)-3);
    fm_buf_put_u64(&one.canonical, UINT64_C(3723000000));
    must_be(&one, "1 year 2 mons -3 days +01:02:03", "00000000dde878c0fffffffd0000000e");
    one_begin(&one, "uuid");
    for (uint8_t i = 0; i < 16; i++)
        fm_buf_put_u8(&one.canonical, (uint8_t)(i * 17));
    must_be(&one, "00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeeff");
}

static void of_bytes(const char *type, const char *value, const char *text, const char *binary)
{
    struct one one;

    one_begin(&one, type);
    fm_buf_put_uvarint(&one.canonical, strlen(value));
    fm_buf_put_str(&one.canonical, value);
    must_be(&one, text, binary);
}

static void texts(void **state)
{
    (void)state;
    of_bytes("varchar", "", "", "");
    of_bytes("varchar", "a'b\\\n", "a'b\\\n", "6127625c0a");
    of_bytes("enum('x','y')", "y", "y", "79");
    of_bytes("json", "{\"a\":1}", "{\"a\":1}", "7b2261223a317d");
    of_bytes("blob", "\x01\xff", "\\x01ff", "01ff");
}

static void arrays(void **state)
{
    struct one one;

    (void)state;
    one_begin(&one, "list(int32)");
    fm_buf_put(&one.canonical, "\x02\x01\x07\x00\x00\x00\x00", 7);
    must_be(&one, "{7,NULL}", "00000001000000010000001700000002000000010000000400000007ffffffff");
    one_begin(&one, "list(varchar)");
    fm_buf_put(&one.canonical,
               "\x03\x01\x00\x01\x04null\x01\x03"
               "a\"b",
               14);
    must_be(&one, "{\"\",\"null\",\"a\\\"b\"}",
            "00000001000000000000001900000003000000010000000000000004"
            "6e756c6c"
            "00000003612262");
    one_begin(&one, "list(boolean)");
    fm_buf_put(&one.canonical, "\x00", 1);
    must_be(&one, "{}", "000000000000000000000010");
    one_begin(&one, "struct(a int32, b varchar)");
    fm_buf_put(&one.canonical, "\x01\x05\x00\x00\x00\x00", 6);
    must_be(&one, "{\"a\":5,\"b\":null}", "7b2261223a352c2262223a6e756c6c7d");
}

static void types_have_their_modifiers(void **state)
{
    struct one one;

    (void)state;
    one_begin(&one, "decimal(10,2)");
    struct fm_pg_type type = fm_pg_type_of(&one.type);
    assert_int_equal(type.oid, 1700);
    assert_int_equal(type.modifier, (10 << 16 | 2) + 4);
    assert_int_equal(type.length, -1);
    one_end(&one);
    one_begin(&one, "list(int64)");
    type = fm_pg_type_of(&one.type);
    assert_int_equal(type.oid, 1016);
    assert_int_equal(type.element, 20);
    assert_int_equal(type.length, -1);
    one_end(&one);
}

/* ---- The other way: parameters --------------------------------------------------------------- */

static void must_say(uint32_t oid, enum fm_pg_format format, struct fm_span value,
                     const char *expected)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    struct fm_pg_parameter parameter = {.oid = oid, .format = format, .value = value};
    struct fm_error err = {0};

    enum fm_status status = fm_pg_parameter_put(&parameter, &out, &err);
    if (expected == NULL) {
        assert_int_not_equal(status, FM_OK);
        return;
    }
    fm_buf_put_u8(&out, 0);
    if (status != FM_OK)
        fail_msg("%s: %s", expected, err.text);
    assert_string_equal((const char *)out.data, expected);
}

#define TEXT(oid, value, expected) must_say(oid, FM_PG_TEXT, fm_span_str(value), expected)
#define BYTES(oid, value, expected)                                                                \
    must_say(oid, FM_PG_BINARY, fm_span(value, sizeof(value) - 1), expected)

static void parameters_in_text(void **state)
{
    (void)state;
    TEXT(23, "-7", " CAST(-7 AS INTEGER) ");
    TEXT(20, "7; DROP", NULL);
    TEXT(23, "", NULL);
    TEXT(1700, "1.50", " (1.50) ");
    TEXT(1700, "15", " CAST('15' AS DECIMAL(38, 0)) ");
    TEXT(1700, "1.5e3", NULL);
    TEXT(0, "it's", " 'it''s' ");
    TEXT(25, "\xff", NULL);
    must_say(25, FM_PG_TEXT, fm_span("a\0b", 3), NULL);
    TEXT(16, "t", " CAST('t' AS BOOLEAN) ");
    TEXT(1082, "2024-01-02", " CAST('2024-01-02' AS DATE) ");
    TEXT(17, "\\x01fF", " CAST('\\x01\\xfF' AS BLOB) ");
    TEXT(17, "\\x0", NULL);
    TEXT(17, "\\x0g", NULL);
}

static void parameters_in_binary(void **state)
{
    (void)state;
    BYTES(21, "\xff\xfe", " CAST(-2 AS SMALLINT) ");
    BYTES(23, "\x7f\xff\xff\xff", " CAST(2147483647 AS INTEGER) ");
    BYTES(20, "\x80\0\0\0\0\0\0\0", " CAST(-9223372036854775808 AS BIGINT) ");
    BYTES(23, "", NULL);
    BYTES(23, "\0\0\0\0\0\0\0\0\0", NULL);
    BYTES(16, "\1", " CAST('true' AS BOOLEAN) ");
    BYTES(16, "\1\1", NULL);
    BYTES(25, "a'b", " 'a''b' ");
    BYTES(17, "\0\xff", " CAST('\\x00\\xff' AS BLOB) ");
    BYTES(701, "\x3f\xf8\0\0\0\0\0\0", " CAST('1.5' AS DOUBLE) ");
    BYTES(1082, "\0\0\0\1", " CAST('2000-01-02' AS DATE) ");
    BYTES(1114, "\0\0\0\0\0\x0f\x42\x40", " CAST('2000-01-01 00:00:01' AS TIMESTAMP) ");
    BYTES(1083, "\0\0\0\0\0\x0f\x42\x40", " CAST('00:00:01' AS TIME) ");
    BYTES(1700, "\0\3\0\1\0\0\0\3\0\1\x09\x29\x1a\x7c", " (12345.678) ");
    BYTES(1700, "\0\1\xff\xff\x40\0\0\2\1\xf4", " (-0.05) ");
    BYTES(1700, "\0\0\0\0\xc0\0\0\0", NULL); /* NaN */
    BYTES(1700, "\0\x09\0\1\0\0\0\3\0\1", NULL);
    BYTES(2950, "0123456789abcdef", " CAST('30313233343536373839616263646566' AS UUID) ");
    BYTES(3802, "\1{}", " '{}' ");
    BYTES(3802, "\2{}", NULL);
    BYTES(600, "????", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(decimals),
        cmocka_unit_test(moments),
        cmocka_unit_test(texts),
        cmocka_unit_test(arrays),
        cmocka_unit_test(types_have_their_modifiers),
        cmocka_unit_test(parameters_in_text),
        cmocka_unit_test(parameters_in_binary),
    };

    return cmocka_run_group_tests_name("pg_value", tests, NULL, NULL);
}
