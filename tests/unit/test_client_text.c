/* Values as text: PostgreSQL's forms, and JSON that any reader takes. */
#include "client/client_text.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct fm_buf value; /* Canonical bytes. */
    struct fm_buf text;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_buf_free(&f->value);
    fm_buf_free(&f->text);
    free(f);
    return 0;
}

/* The value in f->value, of the type of that text, must print as `plain` and `json`. */
static void must_print(struct fixture *f, const char *type_text, const char *plain,
                       const char *json)
{
    struct fm_type type = {0};

    assert_int_equal(fm_type_parse(fm_span_str(type_text), &type, NULL), FM_OK);
    for (int style = FM_TEXT_PLAIN; style <= FM_TEXT_JSON; style++) {
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&f->value));
        fm_buf_clear(&f->text);
        assert_int_equal(fm_text_canonical(&f->text, (enum fm_text_style)style, &type, &cursor),
                         FM_OK);
        assert_int_equal(fm_cursor_left(&cursor), 0);
        fm_buf_put_u8(&f->text, 0);
        assert_int_equal(fm_buf_status(&f->text), FM_OK);
        assert_string_equal((const char *)f->text.data, style == FM_TEXT_PLAIN ? plain : json);
    }
    fm_type_deinit(&type);
    fm_buf_clear(&f->value);
}

static void print_u64(struct fixture *f, const char *type, uint64_t value, const char *plain,
                      const char *json)
{
    fm_buf_put_u64(&f->value, value);
    must_print(f, type, plain, json);
}

static void print_u32(struct fixture *f, const char *type, uint32_t value, const char *plain,
                      const char *json)
{
    fm_buf_put_u32(&f->value, value);
    must_print(f, type, plain, json);
}

static void print_text(struct fixture *f, const char *type, const char *text, const char *plain,
                       const char *json)
{
    fm_buf_put_uvarint(&f->value, strlen(text));
    fm_buf_put_str(&f->value, text);
    must_print(f, type, plain, json);
}

static void integers(void **state)
{
    struct fixture *f = *state;
    const uint64_t exact = UINT64_C(1) << 53;

    fm_buf_put_u8(&f->value, 0x80);
    must_print(f, "int8", "-128", "-128");
    fm_buf_put_u8(&f->value, 0xff);
    must_print(f, "uint8", "255", "255");
    fm_buf_put_u16(&f->value, 0x8000);
    must_print(f, "int16", "-32768", "-32768");
    print_u32(f, "int32", 0x80000000u, "-2147483648", "-2147483648");
    print_u64(f, "int64", exact, "9007199254740992", "9007199254740992");
    print_u64(f, "int64", exact + 1, "9007199254740993", "\"9007199254740993\"");
    print_u64(f, "int64", UINT64_C(1) << 63, "-9223372036854775808", "\"-9223372036854775808\"");
    print_u64(f, "uint64", UINT64_MAX, "18446744073709551615", "\"18446744073709551615\"");
    fm_buf_put_u64(&f->value, 0);
    print_u64(f, "hugeint", UINT64_C(1) << 63, "-170141183460469231731687303715884105728",
              "\"-170141183460469231731687303715884105728\"");
}

static void decimals(void **state)
{
    struct fixture *f = *state;

    fm_buf_put_u64(&f->value, 5);
    print_u64(f, "decimal(5,2)", 0, "0.05", "0.05");
    fm_buf_put_u64(&f->value, (uint64_t)-12345);
    print_u64(f, "decimal(5,2)", UINT64_MAX, "-123.45", "-123.45");
    fm_buf_put_u64(&f->value, 7);
    print_u64(f, "decimal(18,0)", 0, "7", "\"7\"");
    fm_buf_put_u64(&f->value, 0);
    print_u64(f, "decimal(3,3)", 0, "0.000", "0.000");
}

static void floats(void **state)
{
    static const struct {
        double value;
        const char *plain, *json;
    } cases[] = {
        {0.1, "0.1", "0.1"},
        {1.0 / 3, "0.3333333333333333", "0.3333333333333333"},
        {-0.0, "-0", "-0"},
        {1e20, "1e+20", "1e+20"},
        {5e-324, "5e-324", "5e-324"},
        {(double)NAN, "NaN", "\"NaN\""},
        {-HUGE_VAL, "-Infinity", "\"-Infinity\""},
    };
    struct fixture *f = *state;
    float narrow = 0.1f;
    uint32_t bits = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t wide = 0;
        memcpy(&wide, &cases[i].value, sizeof wide);
        print_u64(f, "double", wide, cases[i].plain, cases[i].json);
    }
    memcpy(&bits, &narrow, sizeof bits);
    print_u32(f, "float", bits, "0.1", "0.1");
}

static void dates_and_times(void **state)
{
    struct fixture *f = *state;
    const int64_t day = INT64_C(86400000000);

    print_u32(f, "date", 11323, "2001-01-01", "\"2001-01-01\"");
    print_u32(f, "date", (uint32_t)-719163, "0001-12-31 BC", "\"0001-12-31 BC\"");
    print_u32(f, "date", INT_MAX, "infinity", "\"infinity\"");
    print_u64(f, "time", 3723000001, "01:02:03.000001", "\"01:02:03.000001\"");
    print_u64(f, "timestamp", (uint64_t)(11323 * day + 300000000), "2001-01-01 00:05:00",
              "\"2001-01-01T00:05:00\"");
    print_u64(f, "timestamp", (uint64_t)-1, "1969-12-31 23:59:59.999999",
              "\"1969-12-31T23:59:59.999999\"");
    print_u64(f, "timestamptz", 500000, "1970-01-01 00:00:00.5+00",
              "\"1970-01-01T00:00:00.5+00:00\"");
    fm_buf_put_u32(&f->value, (uint32_t)-1);
    fm_buf_put_u32(&f->value, 3);
    print_u64(f, "interval", (uint64_t)-3600000000, "-1 mons +3 days -01:00:00",
              "\"-1 mons +3 days -01:00:00\"");
    fm_buf_put_u32(&f->value, 14);
    fm_buf_put_u32(&f->value, 0);
    print_u64(f, "interval", 0, "1 year 2 mons", "\"1 year 2 mons\"");
    fm_buf_put_u64(&f->value, 0);
    print_u64(f, "interval", 0, "00:00:00", "\"00:00:00\"");
}

static void texts(void **state)
{
    struct fixture *f = *state;

    print_text(f, "varchar", "a\"b\\\n\x1b\xc3\xa9", "a\"b\\\n\x1b\xc3\xa9",
               "\"a\\\"b\\\\\\n\\u001b\xc3\xa9\"");
    print_text(f, "blob", "\x01\xfe", "\\x01fe", "\"\\\\x01fe\"");
    print_text(f, "json", "{\"a\":[1,2]}", "{\"a\":[1,2]}", "{\"a\":[1,2]}");
    /* What is no JSON, or would break the line, is shown as a text. */
    print_text(f, "json", "1,\"x\":2", "1,\"x\":2", "\"1,\\\"x\\\":2\"");
    print_text(f, "json", "[1,\n2]", "[1,\n2]", "\"[1,\\n2]\"");
    print_text(f, "enum('up','down')", "up", "up", "\"up\"");
    fm_buf_put_u8(&f->value, 1);
    must_print(f, "boolean", "true", "true");
    fm_buf_put(&f->value, "\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01\x02\x03\x04\x05\x06\x07\x08", 16);
    must_print(f, "uuid", "12345678-9abc-def0-0102-030405060708",
               "\"12345678-9abc-def0-0102-030405060708\"");
}

/* A text inside of a list or struct: 1, length, bytes. */
static void put_child(struct fixture *f, const char *text)
{
    fm_buf_put_u8(&f->value, 1);
    fm_buf_put_uvarint(&f->value, strlen(text));
    fm_buf_put_str(&f->value, text);
}

static void nested_values(void **state)
{
    struct fixture *f = *state;

    fm_buf_put_uvarint(&f->value, 5);
    put_child(f, "a");
    fm_buf_put_u8(&f->value, 0);
    put_child(f, "");
    put_child(f, "null");
    put_child(f, "x, \"y\"");
    must_print(f, "list(varchar)", "{a,NULL,\"\",\"null\",\"x, \\\"y\\\"\"}",
               "[\"a\",null,\"\",\"null\",\"x, \\\"y\\\"\"]");
    fm_buf_put_uvarint(&f->value, 2);
    fm_buf_put_u8(&f->value, 1);
    fm_buf_put_uvarint(&f->value, 1);
    fm_buf_put_u8(&f->value, 1);
    fm_buf_put_u8(&f->value, 7);
    fm_buf_put_u8(&f->value, 1);
    fm_buf_put_uvarint(&f->value, 0);
    must_print(f, "list(list(int8))", "{{7},{}}", "[[7],[]]");
    put_child(f, "p q");
    fm_buf_put_u8(&f->value, 0);
    put_child(f, "r");
    must_print(f, "struct(a varchar, b varchar, c varchar)", "(\"p q\",,r)",
               "{\"a\":\"p q\",\"b\":null,\"c\":\"r\"}");
    fm_buf_put_uvarint(&f->value, 1);
    fm_buf_put_uvarint(&f->value, 1);
    fm_buf_put_str(&f->value, "k");
    fm_buf_put_u8(&f->value, 0);
    must_print(f, "map(varchar, int8)", "{\"k\":null}", "{\"k\":null}");
}

static void short_bytes_are_malformed(void **state)
{
    static const char *const types[] = {"int64",          "varchar",         "list(int8)",
                                        "struct(a int8)", "map(int8, int8)", "decimal(9,2)"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct fm_type type = {0};
        assert_int_equal(fm_type_parse(fm_span_str(types[i]), &type, NULL), FM_OK);
        struct fm_cursor cursor = fm_cursor(fm_span("\x01", 1));
        assert_int_equal(fm_text_canonical(&f->text, FM_TEXT_PLAIN, &type, &cursor), FM_MALFORMED);
        fm_type_deinit(&type);
    }
}

static void json_is_recognised(void **state)
{
    static const char *const good[] = {"1",
                                       "-0.5e+10",
                                       "\"a\\u00e9\\n\"",
                                       "[]",
                                       "{}",
                                       "[[],{}]",
                                       "{\"a\": 1, \"b\": [true,false,null]}",
                                       " [ 1 , 2 ] ",
                                       "0",
                                       "1E5",
                                       "{\"a\":{\"b\":[]}}"};
    static const char *const bad[] = {
        "",           "01",          "1 2",    "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{a:1}",
        "\"a",        "\"\\x\"",     "\"\n\"", "[1}",  "]",    "tru",     "--1",      "1.",
        "{\"a\":1,}", "\"\\u12g4\"", "[",      "{",    "\xff", "1e"};
    char deep[70];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!fm_json_valid(fm_span_str(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fm_json_valid(fm_span_str(bad[i])))
            fail_msg("%s is taken", bad[i]);
    memset(deep, '[', sizeof deep);
    assert_false(fm_json_valid(fm_span(deep, sizeof deep)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(integers),
        TEST(decimals),
        TEST(floats),
        TEST(dates_and_times),
        TEST(texts),
        TEST(nested_values),
        TEST(short_bytes_are_malformed),
        TEST(json_is_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
