/* What HTTP clients send, decoded: which form of answer, which query, which token, which trace. */
#include "core/limits.h"
#include "node/http/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- Accept ---------------------------------------------------------------------------------- */

static void test_accept_takes_what_is_liked_best(void **state)
{
    static const struct {
        const char *accept;
        enum fm_http_format format; /* 0: none will do. */
    } cases[] = {
        {NULL, FM_HTTP_JSON},
        {"", FM_HTTP_JSON},
        {"*/*", FM_HTTP_JSON},
        {"text/csv", FM_HTTP_CSV},
        {"TEXT/CSV", FM_HTTP_CSV},
        {"text/*", FM_HTTP_CSV},
        {"text/csv; charset=utf-8", FM_HTTP_CSV},
        {"application/x-ndjson, text/csv", FM_HTTP_NDJSON},
        {"application/json;q=0.5, text/csv;q=0.6", FM_HTTP_CSV},
        {"application/json;q=0.123,application/x-ndjson;q=0.124", FM_HTTP_NDJSON},
        {"*/*;q=0.1, text/csv", FM_HTTP_CSV},
        {"*/*, application/json;q=0", FM_HTTP_NDJSON}, /* The closest range counts. */
        {"application/json;q=0, */*", FM_HTTP_NDJSON},
        {"application/*;q=0.2, application/json;q=0.1", FM_HTTP_NDJSON},
        {" , ,text/csv , ", FM_HTTP_CSV},
        {"image/png", 0},
        {"text/csv;q=0", 0},
        {"text/csv;q=x", 0},
        {"application/jsonp", 0},
        {"/", 0},
        {"*", 0},
        {"application/", 0},
        {";;,;", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum fm_http_format format = 0;
        struct fm_error err = {0};
        enum fm_status status = fm_http_accept(cases[i].accept, &format, &err);
        enum fm_status wanted = cases[i].format != 0 ? FM_OK : FM_UNSUPPORTED;
        if (status != wanted || format != cases[i].format)
            fail_msg("%s: format %d", cases[i].accept, format);
    }
}

/* ---- The query ------------------------------------------------------------------------------- */

#define JSON "application/json"
#define TEXT "text/plain"

static void test_a_query_is_read_or_refused(void **state)
{
    static const struct {
        const char *type, *body;
        enum fm_status status;
    } cases[] = {
        {TEXT, "SELECT 1", FM_OK},
        {"text/plain; charset=utf-8", "SELECT 1", FM_OK},
        {"Application/JSON", "{\"sql\":\"SELECT 1\"}", FM_OK},
        {JSON, "{\"sql\":\"SELECT 1\",\"without\":[]}", FM_OK},
        {JSON, "{\"sql\":\"SELECT 1\",\"without\":[\"ship\",\"reduce\"]}", FM_OK},
        {NULL, "SELECT 1", FM_UNSUPPORTED},
        {"", "SELECT 1", FM_UNSUPPORTED},
        {"application/x-www-form-urlencoded", "SELECT 1", FM_UNSUPPORTED},
        {TEXT, "", FM_INVALID},
        {TEXT, "\xff", FM_INVALID},
        {JSON, "", FM_INVALID},
        {JSON, "[]", FM_INVALID},
        {JSON, "{}", FM_INVALID},
        {JSON, "{\"sql\":1}", FM_INVALID},
        {JSON, "{\"sql\":\"\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\\u0000\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\"} x", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"sql\":\"SELECT 2\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"other\":1}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"without\":\"ship\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"without\":[1]}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"without\":[\"nothing\"]}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"on_unavailable\":\"wait\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"on_unavailable\":null}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"allow_partial_aggregates\":1}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"allow_partial_aggregates\":true}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"time_limit_ms\":0}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"time_limit_ms\":-1}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"time_limit_ms\":\"1\"}", FM_INVALID},
        {JSON, "{\"sql\":\"SELECT 1\",\"time_limit_ms\":4294967297}", FM_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_http_query query = {0};
        struct fm_error err = {0};
        enum fm_status status =
            fm_http_query_read(cases[i].type, fm_span_str(cases[i].body), &query, &err);
        if (status != cases[i].status)
            fail_msg("%s: %s (%s)", cases[i].body, fm_status_text(status), err.text);
        if (status == FM_OK)
            assert_true(fm_span_equal(query.body.sql, fm_span_str("SELECT 1")));
        fm_http_query_deinit(&query);
    }
}

static void test_options_of_a_query(void **state)
{
    static const char body[] =
        "{\"sql\":\"SELECT '\\u00e4'\",\"on_unavailable\":\"skip\",\"time_limit_ms\":1500,"
        "\"allow_partial_aggregates\":true,\"without\":[\"ship\"]}";
    struct fm_http_query query = {0};
    struct fm_error err = {0};
    uint64_t ship = 0;

    (void)state;
    assert_int_equal(fm_rules_parse(fm_span_str("ship"), &ship, &err), FM_OK);
    assert_int_equal(fm_http_query_read(JSON, fm_span_str(body), &query, &err), FM_OK);
    assert_true(fm_span_equal(query.body.sql, fm_span_str("SELECT '\xc3\xa4'")));
    assert_int_equal(query.body.on_unavailable, FM_UNAVAILABLE_SKIP);
    assert_true(query.body.allows_partial_aggregates);
    assert_int_equal(query.body.rules_off, ship);
    assert_int_equal(query.limit_ms, 1500);
    fm_http_query_deinit(&query);
}

static void test_a_statement_may_be_as_long_as_anywhere(void **state)
{
    struct fm_http_query query = {0};
    struct fm_error err = {0};
    char *sql = malloc(FM_SQL_BYTES_MAX + 1);

    (void)state;
    assert_non_null(sql);
    memset(sql, 'x', FM_SQL_BYTES_MAX + 1);
    assert_int_equal(fm_http_query_read(TEXT, fm_span(sql, FM_SQL_BYTES_MAX), &query, &err), FM_OK);
    fm_http_query_deinit(&query);
    query = (struct fm_http_query){0};
    assert_int_equal(fm_http_query_read(TEXT, fm_span(sql, FM_SQL_BYTES_MAX + 1), &query, &err),
                     FM_LIMIT);
    fm_http_query_deinit(&query);
    free(sql);
}

/* ---- Headers --------------------------------------------------------------------------------- */

static void test_bearer(void **state)
{
    struct fm_span token;

    (void)state;
    assert_true(fm_http_bearer("Bearer abc", &token));
    assert_true(fm_span_equal(token, fm_span_str("abc")));
    assert_true(fm_http_bearer("bearer  abc ", &token));
    assert_true(fm_span_equal(token, fm_span_str("abc")));
    assert_false(fm_http_bearer(NULL, &token));
    assert_false(fm_http_bearer("", &token));
    assert_false(fm_http_bearer("Bearer", &token));
    assert_false(fm_http_bearer("Bearer ", &token));
    assert_false(fm_http_bearer("Basic abc", &token));
}

/* The examples of W3C Trace Context, 3.2.2, and one fault each. */
static void test_traceparent(void **state)
{
    static const struct {
        const char *text;
        bool is_valid;
    } cases[] = {
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", false},
        {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x", false},
        {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"", false},
        {NULL, false},
    };
    char hex[33];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t trace[16];
        if (fm_http_traceparent(cases[i].text, trace) != cases[i].is_valid)
            fail_msg("%s", cases[i].text);
        if (!cases[i].is_valid)
            continue;
        fm_hex(trace, sizeof trace, hex);
        assert_string_equal(hex, "0af7651916cd43dd8448eb211c80319c");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_takes_what_is_liked_best),
        cmocka_unit_test(test_a_query_is_read_or_refused),
        cmocka_unit_test(test_options_of_a_query),
        cmocka_unit_test(test_a_statement_may_be_as_long_as_anywhere),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_traceparent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
