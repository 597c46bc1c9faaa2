/* Log lines: whatever a value holds, it stays one value of one line. */
#include "node/log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_MAX_BYTES 65536

struct fixture {
    int memory; /* Takes the place of stderr while a line is written. */
    int real;
    char line[LINE_MAX_BYTES];
    size_t len;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->memory = memfd_create("log", MFD_CLOEXEC);
    f->real = dup(STDERR_FILENO);
    *state = f;
    return f->memory >= 0 && f->real >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)close(f->memory); /* Nothing to lose. */
    (void)close(f->real);
    free(f);
    return 0;
}

/* One event with one value; what was written is left in f->line. */
static void write_line(struct fixture *f, enum fm_log_format format, const char *value)
{
    const struct fm_log log = {.level = FM_LOG_INFO, .format = format};

    assert_int_equal(ftruncate(f->memory, 0), 0);
    assert_int_equal(lseek(f->memory, 0, SEEK_SET), 0);
    assert_int_equal(dup2(f->memory, STDERR_FILENO), STDERR_FILENO);
    fm_log(&log, FM_LOG_WARN, "refused", "reason", value, "next", "1", NULL);
    assert_int_equal(dup2(f->real, STDERR_FILENO), STDERR_FILENO);
    ssize_t got = pread(f->memory, f->line, sizeof f->line - 1, 0);
    assert_true(got >= 0);
    f->len = (size_t)got;
    f->line[f->len] = '\0';
}

/* What follows "reason=" in a text line, up to the pair behind it. */
static const char *text_value(struct fixture *f, const char *value)
{
    static const char behind[] = " next=1\n";

    write_line(f, FM_LOG_TEXT, value);
    assert_true(f->len > sizeof behind);
    assert_string_equal(f->line + f->len - (sizeof behind - 1), behind);
    f->line[f->len - (sizeof behind - 1)] = '\0';
    char *at = strstr(f->line, "Z level=warn event=refused reason=");
    assert_non_null(at);
    return strchr(strstr(at, "reason="), '=') + 1;
}

/* The value as a JSON reader has it; the caller frees. */
static json_t *json_line(struct fixture *f, const char *value)
{
    json_error_t error;

    write_line(f, FM_LOG_JSON, value);
    json_t *line = json_loadb(f->line, f->len, 0, &error);
    assert_non_null(line);
    assert_int_equal(json_object_size(line), 5);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "refused");
    assert_string_equal(json_string_value(json_object_get(line, "next")), "1");
    assert_non_null(json_object_get(line, "reason"));
    return line;
}

static void check_json(struct fixture *f, const char *value, const char *expected)
{
    json_t *line = json_line(f, value);

    assert_string_equal(json_string_value(json_object_get(line, "reason")), expected);
    json_decref(line);
}

/* Plain values stand bare; all others are quoted, with what could end them escaped. */
static void text_values_are_quoted_where_needed(void **state)
{
    static const struct {
        const char *value;
        const char *shown;
    } rows[] = {
        {"127.0.0.1:7410", "127.0.0.1:7410"},
        {"", "\"\""},
        {NULL, "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"no\"", "\"say \\\"no\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nlevel=info event=forged", "\"line\\nlevel=info event=forged\""},
        {"tab\tcr\r", "\"tab\\u0009cr\\u000d\""},
        {"\x1b[31mred\x7f", "\"\\u001b[31mred\\u007f\""},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
         "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"\xc2\x9b"
         "31m",
         "\"\\u009b31m\""},
        {"cut \xe2\x82", "\"cut \\ufffd\\ufffd\""},
        {"\xff\xc0\xaf", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* A surrogate. */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(text_value(f, rows[i].value), rows[i].shown);
}

/* What is UTF-8 comes back from JSON as it was. */
static void json_values_come_back(void **state)
{
    static const char *const values[] = {
        "",       "plain", "say \"no\"",  "a\\b",         "line\nbreak", "tab\t\r\x01",
        "a,b:{}", "\x7f",  "caf\xc3\xa9", "\xe2\x82\xac", "\xc2\x85",    "</script>",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        check_json(f, values[i], values[i]);
    check_json(f, NULL, "");
    check_json(f, "bad \xff byte", "bad \xef\xbf\xbd byte");
}

/* Every byte, and every pair of a delimiter and a byte: one line, whose only line end is its last
 * byte, without a control that a terminal obeys, and readable as JSON with the same five
 * members. */
static void no_bytes_forge_a_line(void **state)
{
    static const char before[] = "\"\\\n =\xc2\xe2";
    struct fixture *f = *state;

    for (unsigned first = 0; first < sizeof before; first++) {
        for (unsigned byte = 1; byte < 256; byte++) {
            char value[] = {before[first], (char)byte, '\0'};
            const char *used = before[first] == '\0' ? value + 1 : value;
            json_decref(json_line(f, used));
            write_line(f, FM_LOG_TEXT, used);
            assert_ptr_equal(memchr(f->line, '\n', f->len), f->line + f->len - 1);
            for (size_t i = 0; i + 1 < f->len; i++) {
                assert_true((unsigned char)f->line[i] >= 0x20 && f->line[i] != 0x7f);
                if ((unsigned char)f->line[i] == 0xc2)
                    assert_true((unsigned char)f->line[i + 1] >= 0xa0);
            }
            assert_true(fm_utf8_valid(fm_span(f->line, f->len)));
        }
    }
}

/* A long value is cut with a sign of it, between characters, and what follows it is kept. */
static void long_values_are_cut(void **state)
{
    struct fixture *f = *state;
    char value[8001];
    const char *shown;

    for (size_t i = 0; i < 8000; i += 2)
        memcpy(value + i, "\xc3\xa9", 2);
    value[8000] = '\0';
    shown = text_value(f, value);
    assert_true(strlen(shown) > 500 && strlen(shown) < 2000);
    assert_string_equal(shown + strlen(shown) - 4, "...\"");
    assert_true(fm_utf8_valid(fm_span_str(shown)));
    memset(value, 'x', 8000);
    assert_true(strlen(text_value(f, value)) < 2000);
    memset(value, '\x01', 8000); /* Six bytes each when escaped. */
    assert_true(strlen(text_value(f, value)) < 8000);
    json_decref(json_line(f, value));
}

/* What is below the level is not written. */
static void levels_are_kept(void **state)
{
    struct fixture *f = *state;
    const struct fm_log log = {.level = FM_LOG_WARN};

    assert_int_equal(dup2(f->memory, STDERR_FILENO), STDERR_FILENO);
    fm_log(&log, FM_LOG_DEBUG, "debug", NULL);
    fm_log(&log, FM_LOG_INFO, "info", NULL);
    off_t quiet = lseek(f->memory, 0, SEEK_CUR);
    fm_log(&log, FM_LOG_WARN, "warn", NULL);
    fm_log(&log, FM_LOG_ERROR, "error", NULL);
    off_t loud = lseek(f->memory, 0, SEEK_CUR);
    assert_int_equal(dup2(f->real, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(quiet, 0);
    assert_true(loud > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_values_are_quoted_where_needed),
        TEST(json_values_come_back),
        TEST(no_bytes_forge_a_line),
        TEST(long_values_are_cut),
        TEST(levels_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
