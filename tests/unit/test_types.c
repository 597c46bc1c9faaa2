/* Types: text both ways, the names of other systems, the binary form, canonical values. */
#include "core/types.h"

#include "core/limits.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/random_value.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- Helpers ---- */

static struct fm_type parse(const char *text)
{
    struct fm_type type = {0};
    struct fm_error err = {0};
    if (fm_type_parse(fm_span_str(text), &type, &err) != FM_OK)
        fail_msg("%s: %s", text, err.text);
    return type;
}

static void assert_prints(const char *text, const char *want)
{
    struct fm_type type = parse(text);
    struct fm_buf buf = {0};
    fm_type_print(&buf, &type);
    fm_buf_put_u8(&buf, 0);
    assert_string_equal((char *)buf.data, want);
    fm_buf_free(&buf);
    fm_type_deinit(&type);
}

static void assert_refused(const char *text, enum fm_status want, const char *why)
{
    struct fm_type type;
    struct fm_error err = {0};
    enum fm_status status = fm_type_parse(fm_span_str(text), &type, &err);
    if (status != want || strstr(err.text, why) == NULL)
        fail_msg("%s: %d, %s", text, (int)status, err.text);
}

static enum fm_status decode_hex(const char *hex, struct fm_type *out)
{
    uint8_t bytes[64];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof bytes);
    assert_int_equal(fm_unhex(hex, bytes, len), FM_OK);
    struct fm_cursor cursor = fm_cursor(fm_span(bytes, len));
    return fm_type_decode(&cursor, out);
}

/* ---- Text ---- */

static void every_type_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < RANDOM_TYPES; i++) {
        struct fm_type type = parse(random_types[i]), again, copy;
        struct fm_buf text = {0}, bytes = {0};
        fm_type_print(&text, &type);
        assert_int_equal(fm_type_parse(fm_buf_span(&text), &again, NULL), FM_OK);
        assert_true(fm_type_equal(&type, &again));
        assert_int_equal(fm_type_copy(&type, &copy), FM_OK);
        assert_true(fm_type_equal(&type, &copy));
        fm_type_deinit(&again);
        fm_type_encode(&bytes, &type);
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
        assert_int_equal(fm_type_decode(&cursor, &again), FM_OK);
        assert_int_equal(fm_cursor_left(&cursor), 0);
        assert_true(fm_type_equal(&type, &again));
        assert_int_equal(fm_type_check(&again, NULL, NULL), FM_OK);
        for (size_t len = 0; len < bytes.len; len++) {
            struct fm_type cut;
            cursor = fm_cursor(fm_span(bytes.data, len));
            assert_int_not_equal(fm_type_decode(&cursor, &cut), FM_OK);
            assert_int_equal(fm_cursor_left(&cursor), len);
        }
        fm_type_deinit(&again);
        fm_type_deinit(&copy);
        fm_type_deinit(&type);
        fm_buf_free(&text);
        fm_buf_free(&bytes);
    }
}

static void text_has_one_form(void **state)
{
    (void)state;
    assert_prints(" DECIMAL ( 10 , 2 ) ", "decimal(10,2)");
    assert_prints("decimal(7)", "decimal(7,0)");
    assert_prints("decimal", "decimal(18,3)");
    assert_prints("STRUCT(a INTEGER, \"b c\" VARCHAR, \"x\"\"y\" int8)",
                  "struct(a int32, \"b c\" varchar, \"x\"\"y\" int8)");
    assert_prints("struct(\"plain\" int8, \"1st\" int8)", "struct(plain int8, \"1st\" int8)");
    assert_prints("struct(list int32, int8 varchar)", "struct(list int32, int8 varchar)");
    assert_prints("MAP(VARCHAR, BIGINT[])", "map(varchar, list(int64))");
    assert_prints("ENUM('a', 'it''s', '')", "enum('a','it''s','')");
    assert_prints("integer[][]", "list(list(int32))");
    assert_prints("list(decimal(3,1))[]", "list(list(decimal(3,1)))");
}

static void names_of_postgresql_and_duckdb_are_known(void **state)
{
    static const char *const pairs[][2] = {
        {"bool", "boolean"},
        {"tinyint", "int8"},
        {"smallint", "int16"},
        {"int2", "int16"},
        {"integer", "int32"},
        {"INT", "int32"},
        {"int4", "int32"},
        {"bigint", "int64"},
        {"int8", "int8"}, /* Ours: PostgreSQL's is 8 bytes wide. */
        {"utinyint", "uint8"},
        {"usmallint", "uint16"},
        {"uinteger", "uint32"},
        {"ubigint", "uint64"},
        {"int128", "hugeint"},
        {"real", "float"},
        {"float4", "float"},
        {"float8", "double"},
        {"double precision", "double"},
        {"numeric(10,2)", "decimal(10,2)"},
        {"text", "varchar"},
        {"varchar(20)", "varchar"},
        {"character varying", "varchar"},
        {"character varying(20)", "varchar"},
        {"character(3)", "varchar"},
        {"char", "varchar"},
        {"bytea", "blob"},
        {"time without time zone", "time"},
        {"time(6)", "time"},
        {"datetime", "timestamp"},
        {"timestamp without time zone", "timestamp"},
        {"timestamp(3)", "timestamp"},
        {"timestamp with time zone", "timestamptz"},
        {"timestamp(6) with time zone", "timestamptz"},
        {"timestamptz(6)", "timestamptz"},
        {"jsonb", "json"},
        {"row(a int4)", "struct(a int32)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_prints(pairs[i][0], pairs[i][1]);
}

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    assert_refused("", FM_MALFORMED, "position 1");
    assert_refused("int33", FM_MALFORMED, "position 1: expected the name of a type");
    assert_refused("int32 x", FM_MALFORMED, "position 7: expected the end");
    assert_refused("decimal(39,0)", FM_MALFORMED, "position 9");
    assert_refused("decimal(0)", FM_MALFORMED, "precision");
    assert_refused("decimal(4,5)", FM_MALFORMED, "position 11");
    assert_refused("decimal(99999999999999999999)", FM_MALFORMED, "position 9");
    assert_refused("decimal(4,2", FM_MALFORMED, "')'");
    assert_refused("list", FM_MALFORMED, "'('");
    assert_refused("list()", FM_MALFORMED, "name of a type");
    assert_refused("map(int32)", FM_MALFORMED, "','");
    assert_refused("struct()", FM_MALFORMED, "field's name");
    assert_refused("struct(a)", FM_MALFORMED, "name of a type");
    assert_refused("struct(a int8,)", FM_MALFORMED, "field's name");
    assert_refused("struct(a int8, A int8)", FM_MALFORMED, "twice");
    assert_refused("struct(\"\" int8)", FM_MALFORMED, "name");
    assert_refused("enum()", FM_MALFORMED, "single quotes");
    assert_refused("enum(a)", FM_MALFORMED, "single quotes");
    assert_refused("enum('a','a')", FM_MALFORMED, "twice");
    assert_refused("enum('a", FM_MALFORMED, "closing quote");
    assert_refused("struct(a 'x", FM_MALFORMED, "closing quote");
    assert_refused("int32[3]", FM_MALFORMED, "no fixed size");
    assert_refused("timestamp with", FM_MALFORMED, "time");
    assert_refused("time with time zone", FM_MALFORMED, "the end");
    assert_refused("\xff", FM_MALFORMED, "position 1");
    assert_refused("enum('\xff')", FM_MALFORMED, "UTF-8");
}

/* ---- Bounds ---- */

static char *repeated(const char *front, const char *middle, const char *back, size_t count)
{
    size_t len = (strlen(front) + strlen(back)) * count + strlen(middle);
    char *text = malloc(len + 1), *at = text;
    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, front);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, back);
    return text;
}

static void depth_is_bounded(void **state)
{
    struct fm_type type;
    (void)state;
    for (size_t depth = FM_TYPE_DEPTH_MAX; depth <= 100000; depth = depth == 8 ? 9 : 100000) {
        char *lists = repeated("list(", "int8", ")", depth);
        char *arrays = repeated("", "int8", "[]", depth);
        enum fm_status want = depth <= FM_TYPE_DEPTH_MAX ? FM_OK : FM_LIMIT;
        assert_int_equal(fm_type_parse(fm_span_str(lists), &type, NULL), want);
        if (want == FM_OK)
            fm_type_deinit(&type);
        assert_int_equal(fm_type_parse(fm_span_str(arrays), &type, NULL), want);
        if (want == FM_OK)
            fm_type_deinit(&type);
        free(lists);
        free(arrays);
        if (depth == 100000)
            break;
    }
    assert_int_equal(
        fm_type_parse(fm_span_str("list(list(list(list(int8[][][][]))))"), &type, NULL), FM_OK);
    fm_type_deinit(&type);
    assert_refused("list(list(list(list(int8[][][][][]))))", FM_LIMIT, "deeper");

    uint8_t bytes[FM_TYPE_DEPTH_MAX + 2];
    memset(bytes, FM_KIND_LIST, sizeof bytes);
    bytes[FM_TYPE_DEPTH_MAX] = FM_KIND_INT8;
    struct fm_cursor cursor = fm_cursor(fm_span(bytes, FM_TYPE_DEPTH_MAX + 1));
    assert_int_equal(fm_type_decode(&cursor, &type), FM_OK);
    fm_type_deinit(&type);
    bytes[FM_TYPE_DEPTH_MAX] = FM_KIND_LIST;
    bytes[FM_TYPE_DEPTH_MAX + 1] = FM_KIND_INT8;
    cursor = fm_cursor(fm_span(bytes, sizeof bytes));
    assert_int_equal(fm_type_decode(&cursor, &type), FM_LIMIT);
}

static void struct_of(struct fm_buf *text, struct fm_buf *bytes, uint32_t fields)
{
    fm_buf_put_str(text, "struct(");
    fm_buf_put_u8(bytes, FM_KIND_STRUCT);
    fm_buf_put_uvarint(bytes, fields);
    for (uint32_t i = 0; i < fields; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "f%u", i);
        fm_buf_printf(text, "%s%s int8", i == 0 ? "" : ", ", name);
        fm_buf_put_uvarint(bytes, (uint64_t)len);
        fm_buf_put(bytes, name, (size_t)len);
    }
    fm_buf_put_str(text, ")");
    for (uint32_t i = 0; i < fields; i++)
        fm_buf_put_u8(bytes, FM_KIND_INT8);
}

static void widths_are_bounded(void **state)
{
    static const uint32_t counts[] = {FM_COLUMNS_MAX, FM_COLUMNS_MAX + 1, FM_TYPE_NODES_MAX};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fm_buf text = {0}, bytes = {0};
        struct fm_type type;
        struct_of(&text, &bytes, counts[i]);
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
        enum fm_status parsed = fm_type_parse(fm_buf_span(&text), &type, NULL);
        if (parsed == FM_OK)
            fm_type_deinit(&type);
        enum fm_status decoded = fm_type_decode(&cursor, &type);
        if (decoded == FM_OK)
            fm_type_deinit(&type);
        assert_int_equal(parsed, i == 0 ? FM_OK : i == 1 ? FM_MALFORMED : FM_LIMIT);
        assert_int_equal(decoded, parsed);
        fm_buf_free(&text);
        fm_buf_free(&bytes);
    }
}

static void large_enums_work(void **state)
{
    (void)state;
    for (uint32_t extra = 0; extra < 2; extra++) {
        struct fm_buf text = {0};
        struct fm_type type;
        fm_buf_put_str(&text, "enum(");
        for (uint32_t i = 0; i < FM_ENUM_VALUES_MAX + extra; i++)
            fm_buf_printf(&text, "%s'%u'", i == 0 ? "" : ",", i);
        fm_buf_put_str(&text, ")");
        enum fm_status status = fm_type_parse(fm_buf_span(&text), &type, NULL);
        assert_int_equal(status, extra == 0 ? FM_OK : FM_LIMIT);
        if (status == FM_OK)
            fm_type_deinit(&type);
        fm_buf_free(&text);
    }
}

/* ---- Binary form ---- */

static void malformed_types_are_refused(void **state)
{
    static const char *const wrong[] = {
        "00", /* No kind. */
        "1b",
        "ff",
        "0d0000", /* decimal(0,0) */
        "0d2700", /* decimal(39,0) */
        "0d0405", /* decimal(4,5) */
        "1600",   /* An enum without values. */
        "16020161"
        "0161",         /* One value twice. */
        "160101ff",     /* No UTF-8. */
        "16010100",     /* A zero byte. */
        "1601056162",   /* A length past the end. */
        "16ffffffff7f", /* A count past the end. */
        "16ffffffffffffffffff01",
        "1900",     /* A struct without fields. */
        "19010004", /* A field without a name. */
        "19020161"
        "0141"
        "0404", /* a, A. */
        "19ffff03",
        "18",
        "1a04",
    };
    struct fm_type type;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (decode_hex(wrong[i], &type) != FM_MALFORMED)
            fail_msg("%s was not refused", wrong[i]);
}

static void types_built_by_hand_are_checked(void **state)
{
    struct fm_type type = {.kind = FM_KIND_INT8, .precision = 1}, child = {.kind = FM_KIND_INT8};
    uint32_t nodes = 0;
    (void)state;
    assert_int_equal(fm_type_check(&type, NULL, NULL), FM_MALFORMED);
    type = (struct fm_type){.kind = (enum fm_kind)77};
    assert_int_equal(fm_type_check(&type, NULL, NULL), FM_MALFORMED);
    type = (struct fm_type){.kind = FM_KIND_INT8, .child_count = 1, .children = &child};
    assert_int_equal(fm_type_check(&type, NULL, NULL), FM_MALFORMED);
    type.kind = FM_KIND_LIST;
    assert_int_equal(fm_type_check(&type, &nodes, NULL), FM_OK);
    assert_int_equal(nodes, 2);
    nodes = FM_TYPE_NODES_MAX - 1;
    assert_int_equal(fm_type_check(&type, &nodes, NULL), FM_LIMIT);
}

static void widths_are_those_in_memory(void **state)
{
    static const struct {
        const char *text;
        uint32_t width;
    } rows[] = {{"boolean", 1},       {"int16", 2},          {"hugeint", 16},
                {"interval", 16},     {"uuid", 16},          {"decimal(4,0)", 2},
                {"decimal(5,0)", 4},  {"decimal(9,0)", 4},   {"decimal(10,0)", 8},
                {"decimal(18,0)", 8}, {"decimal(19,0)", 16}, {"varchar", 0},
                {"blob", 0},          {"enum('a')", 0},      {"list(int8)", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fm_type type = parse(rows[i].text);
        assert_int_equal(fm_type_width(&type), rows[i].width);
        fm_type_deinit(&type);
    }
    assert_string_equal(fm_kind_text(FM_KIND_TIMESTAMPTZ), "timestamptz");
    assert_string_equal(fm_kind_text((enum fm_kind)0), "unknown");
}

static void types_differ_where_they_differ(void **state)
{
    static const char *const texts[] = {"int8",
                                        "int16",
                                        "decimal(4,1)",
                                        "decimal(4,2)",
                                        "decimal(5,1)",
                                        "enum('a')",
                                        "enum('b')",
                                        "enum('a','b')",
                                        "list(int8)",
                                        "list(int16)",
                                        "struct(a int8)",
                                        "struct(b int8)",
                                        "struct(a int16)",
                                        "struct(a int8, b int8)",
                                        "map(int8, int8)",
                                        "map(int8, int16)"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++) {
            struct fm_type a = parse(texts[i]), b = parse(texts[j]);
            assert_int_equal(fm_type_equal(&a, &b), i == j);
            fm_type_deinit(&a);
            fm_type_deinit(&b);
        }
}

/* ---- Canonical values ---- */

static enum fm_status take_hex(const char *type_text, const char *hex, size_t *left)
{
    uint8_t bytes[256];
    struct fm_type type = parse(type_text);
    struct fm_span got;
    size_t len = strlen(hex) / 2;
    assert_int_equal(fm_unhex(hex, bytes, len), FM_OK);
    struct fm_cursor cursor = fm_cursor(fm_span(bytes, len));
    enum fm_status status = fm_canonical_take(&type, &cursor, &got);
    *left = fm_cursor_left(&cursor);
    fm_type_deinit(&type);
    return status;
}

/* The vectors: "type-text|name hex", the value that the name says. */
static void canonical_vectors_are_accepted(void **state)
{
    static const struct {
        const char *type;
        const char *name;
    } rows[] = {
        {"boolean", "boolean-true"},
        {"int8", "int8-minus-1"},
        {"int32", "int32-258"},
        {"uint64", "uint64-max"},
        {"hugeint", "hugeint-minus-2"},
        {"float", "float-nan"},
        {"float", "float-1.5"},
        {"double", "double-nan"},
        {"double", "double-minus-zero"},
        {"decimal(4,2)", "decimal-minus-12.34"},
        {"date", "date-2000-01-01"},
        {"time", "time-01:00:00"},
        {"timestamp", "timestamp-2000-01-01"},
        {"interval", "interval-1-month-2-days-3-us"},
        {"uuid", "uuid-00112233"},
        {"varchar", "varchar-a-umlaut"},
        {"blob", "blob-ff"},
        {"enum('no','yes')", "enum-yes"},
        {"json", "json-empty-object"},
        {"list(int16)", "list-1-null-2"},
        {"struct(a int8, b varchar)", "struct-7-null"},
        {"map(varchar, int8)", "map-b-aa"},
    };
    struct vector_file *file = vector_file_open("canonical.txt");
    struct fm_buf bytes = {0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fm_type type = parse(rows[i].type);
        struct fm_span got;
        vector_bytes(file, rows[i].name, &bytes);
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
        if (fm_canonical_take(&type, &cursor, &got) != FM_OK || fm_cursor_left(&cursor) != 0)
            fail_msg("%s is refused", rows[i].name);
        for (size_t len = 0; len < bytes.len; len++) {
            cursor = fm_cursor(fm_span(bytes.data, len));
            assert_int_equal(fm_canonical_take(&type, &cursor, &got), FM_MALFORMED);
            assert_int_equal(fm_cursor_left(&cursor), len);
        }
        fm_type_deinit(&type);
    }
    fm_buf_free(&bytes);
    vector_file_free(file);
}

static void other_forms_of_values_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"boolean", "02"},
        {"float", "0000c0ff"}, /* A negative NaN. */
        {"float", "0100c07f"}, /* One with a payload. */
        {"double", "010000000000f87f"},
        {"decimal(4,2)", "10270000000000000000000000000000"}, /* 100.00 */
        {"decimal(4,2)", "f0d8ffffffffffffffffffffffffffff"},
        {"decimal(38,0)", "0000000000000000000000000000007f"},
        {"varchar", "800061"}, /* A length that is not the shortest. */
        {"varchar", "01ff"},   /* No UTF-8. */
        {"json", "01ff"},
        {"varchar", "ffffffff0f"}, /* A length past the end. */
        {"varchar", "ffffffffffffffffff01"},
        {"enum('no','yes')", "046d6179"},
        {"enum('no','yes')", "00"},
        {"list(int8)", "010201"},     /* A flag that is neither. */
        {"list(int8)", "ffffff7f00"}, /* A count past the end. */
        {"struct(a int8)", "02"},
        {"map(varchar, int8)", "02026161000162"
                               "00"}, /* Keys that fall. */
        {"map(varchar, int8)", "0201620001620"
                               "0"}, /* A key twice. */
        {"map(varchar, int8)", "0101620"
                               "2"},
    };
    size_t left;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (take_hex(rows[i][0], rows[i][1], &left) != FM_MALFORMED)
            fail_msg("%s %s was not refused", rows[i][0], rows[i][1]);
        assert_int_equal(left, strlen(rows[i][1]) / 2);
    }
    assert_int_equal(take_hex("decimal(4,2)", "0f270000000000000000000000000000", &left), FM_OK);
    assert_int_equal(take_hex("blob", "01ff", &left), FM_OK);
    assert_int_equal(take_hex("boolean", "01ff", &left), FM_OK);
    assert_int_equal(left, 1);
}

/* ---- Memory ---- */

static void each_failed_allocation_is_a_status(void **state)
{
    static const char text[] = "struct(a list(int8), b enum('x','y'), c map(varchar, int8[]))";
    (void)state;
    if (!fail_alloc_available())
        skip();
    for (size_t n = 0, hit = 1; hit != 0; n++) {
        struct fm_type type = {0}, copy = {0}, again = {0};
        struct fm_buf bytes = {0};
        long before = fail_alloc_live();
        fail_alloc_after(n);
        enum fm_status status = fm_type_parse(fm_span(text, sizeof text - 1), &type, NULL);
        if (status == FM_OK)
            status = fm_type_copy(&type, &copy);
        fm_type_encode(&bytes, &type);
        if (status == FM_OK)
            status = fm_buf_status(&bytes);
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
        if (status == FM_OK)
            status = fm_type_decode(&cursor, &again);
        hit = fail_alloc_stop();
        if (hit != 0)
            assert_int_equal(status, FM_NOMEM);
        else
            assert_int_equal(status, FM_OK);
        fm_type_deinit(&type);
        fm_type_deinit(&copy);
        fm_type_deinit(&again);
        fm_buf_free(&bytes);
        assert_int_equal(fail_alloc_live(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_reads_back),
        cmocka_unit_test(text_has_one_form),
        cmocka_unit_test(names_of_postgresql_and_duckdb_are_known),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(widths_are_bounded),
        cmocka_unit_test(large_enums_work),
        cmocka_unit_test(malformed_types_are_refused),
        cmocka_unit_test(types_built_by_hand_are_checked),
        cmocka_unit_test(widths_are_those_in_memory),
        cmocka_unit_test(types_differ_where_they_differ),
        cmocka_unit_test(canonical_vectors_are_accepted),
        cmocka_unit_test(other_forms_of_values_are_refused),
        cmocka_unit_test(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
