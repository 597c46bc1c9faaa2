/* Rows as a table, CSV, NDJSON and JSON. */
#include "node/cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct fm_output_column columns[] = {{"name", false}, {"n", true}, {"name", false}};

struct fixture {
    FILE *stream;
    char *text;
    size_t len;
    struct fm_output *output;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->stream = tmpfile();
    *state = f;
    return f->stream == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_output_free(f->output);
    (void)fclose(f->stream);
    free(f->text);
    free(f);
    return 0;
}

static void begin(struct fixture *f, enum fm_output_format format)
{
    assert_int_equal(fm_output_new(f->stream, format, columns, 3, &f->output), FM_OK);
}

static void row(struct fixture *f, const char *a, const char *n, const char *b)
{
    fm_output_text(f->output, a);
    fm_output_text(f->output, n);
    fm_output_text(f->output, b);
}

static void must_be(struct fixture *f, const char *expected)
{
    assert_int_equal(fm_output_finish(f->output), FM_OK);
    f->len = (size_t)ftell(f->stream);
    f->text = calloc(1, f->len + 1);
    assert_non_null(f->text);
    rewind(f->stream);
    assert_int_equal(fread(f->text, 1, f->len, f->stream), f->len);
    assert_string_equal(f->text, expected);
}

static void table_is_aligned_and_safe(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_TABLE);
    row(f, "\xc3\xa9t\xc3\xa9", "1", "x");
    row(f, "a\x1b[2Jb\n", "1234", NULL);
    row(f, "\xe6\x97\xa5", NULL,
        "\xe2\x80\xae"
        "evil");
    must_be(f, " name        | n    | name\n"
               "-------------+------+------------\n"
               " \xc3\xa9t\xc3\xa9         |    1 | x\n"
               " a\\x1b[2Jb\\n | 1234 | NULL\n"
               " \xe6\x97\xa5          | NULL | \\u202eevil\n");
}

static void empty_table_has_a_header(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_TABLE);
    must_be(f, " name | n | name\n------+---+------\n");
}

/* More rows than are held: the first ones give the widths, all come out. */
static void long_table_streams(void **state)
{
    struct fixture *f = *state;
    unsigned lines = 0;

    begin(f, FM_OUTPUT_TABLE);
    for (unsigned i = 0; i < FM_OUTPUT_ROWS_HELD; i++)
        row(f, "a", "1", "b");
    row(f, "wider than any before", "123456", "b");
    assert_int_equal(fm_output_finish(f->output), FM_OK);
    rewind(f->stream);
    for (int c = fgetc(f->stream); c != EOF; c = fgetc(f->stream))
        lines += c == '\n';
    assert_int_equal(lines, FM_OUTPUT_ROWS_HELD + 3);
}

static void csv_quotes_what_needs_it(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_CSV);
    row(f, "a,b", "1", NULL);
    row(f, "say \"x\"", NULL, "");
    row(f, "two\nlines", "2", "plain");
    must_be(f, "name,n,name\n\"a,b\",1,\n\"say \"\"x\"\"\",,\"\"\n\"two\nlines\",2,plain\n");
}

static void ndjson_has_an_object_a_line(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_NDJSON);
    row(f, "a\n\"", "1", NULL);
    fm_output_cell(f->output, "{\"k\":1}", 7, true);
    fm_output_text(f->output, NULL);
    fm_output_text(f->output, "\xff");
    must_be(f, "{\"name\":\"a\\n\\\"\",\"n\":1,\"name_2\":null}\n"
               "{\"name\":{\"k\":1},\"n\":null,\"name_2\":\"\xef\xbf\xbd\"}\n");
}

static void json_is_one_array(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_JSON);
    row(f, "a", "1", "b");
    row(f, "c", "2", "d");
    must_be(f, "[\n{\"name\":\"a\",\"n\":1,\"name_2\":\"b\"},\n"
               "{\"name\":\"c\",\"n\":2,\"name_2\":\"d\"}\n]\n");
}

static void json_without_rows_is_an_empty_array(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_OUTPUT_JSON);
    must_be(f, "[]\n");
}

static void failed_stream_is_told(void **state)
{
    struct fixture *f = *state;
    FILE *full = fopen("/dev/full", "w");

    if (full == NULL)
        skip();
    assert_int_equal(fm_output_new(full, FM_OUTPUT_CSV, columns, 3, &f->output), FM_OK);
    row(f, "a", "1", "b");
    assert_int_equal(fm_output_finish(f->output), FM_IO);
    (void)fclose(full);
}

static void formats_have_names(void **state)
{
    struct fixture *f = *state;
    enum fm_output_format format = FM_OUTPUT_TABLE;

    assert_int_equal(fm_output_choose("ndjson", f->stream, &format, NULL), FM_OK);
    assert_int_equal(format, FM_OUTPUT_NDJSON);
    assert_int_equal(fm_output_choose(NULL, f->stream, &format, NULL), FM_OK);
    assert_int_equal(format, FM_OUTPUT_CSV);
    assert_int_equal(fm_output_choose("xml", f->stream, &format, NULL), FM_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(table_is_aligned_and_safe),
        TEST(empty_table_has_a_header),
        TEST(long_table_streams),
        TEST(csv_quotes_what_needs_it),
        TEST(ndjson_has_an_object_a_line),
        TEST(json_is_one_array),
        TEST(json_without_rows_is_an_empty_array),
        TEST(failed_stream_is_told),
        TEST(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
