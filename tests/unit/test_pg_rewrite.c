/* Statements that ask PostgreSQL's catalog, as the planner gets them. */
#include "node/pg/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void rewrite(const char *text, struct fm_buf *out)
{
    struct fm_pg_settings settings;
    struct fm_buf exact = FM_BUF_INIT(0); /* So that reading past its end is noticed. */

    assert_int_equal(fm_pg_settings_init(&settings), FM_OK);
    const struct pg_rewrite_facts facts = {
        .user = "o'ann", .database = "mesh", .process = 7, .settings = &settings};
    fm_buf_put(&exact, text, strlen(text));
    assert_int_equal(pg_rewrite(fm_buf_span(&exact), &facts, out), FM_OK);
    fm_buf_put_u8(out, 0);
    assert_int_equal(fm_buf_status(out), FM_OK);
    fm_buf_free(&exact);
    fm_pg_settings_deinit(&settings);
}

static void must_give(const char *text, const char *expected)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);

    rewrite(text, &out);
    assert_string_equal((const char *)out.data, expected);
}

static void must_stay(const char *text)
{
    must_give(text, text);
}

static void ordinary_statements_stay(void **state)
{
    (void)state;
    must_stay("");
    must_stay("SELECT a.indkey, b::text, CAST(c AS name), 'current_user' FROM flights.delays -- x");
    must_stay("SELECT a[1], f(x, (y)), x LIKE 'b', x ~~ 'c' FROM pgx.t WHERE reloptions = 1");
    must_stay("SELECT \"version\"(");
    must_stay("SELECT x COLLATE nocase");
}

static void words_of_postgres_are_rewritten(void **state)
{
    (void)state;
    must_give("SELECT current_user, 1", "SELECT 'o''ann', 1");
    must_give("SELECT pg_catalog.pg_backend_pid() + 1 FROM pg_class c, pg_am",
              "SELECT 7 + 1 FROM pg_catalog.pg_class c, pg_catalog.pg_am");
    must_give("SELECT current_database()", "SELECT 'mesh' AS current_database");
    must_give("SELECT current_setting('standard_conforming_strings') || 'x'", "SELECT 'on' || 'x'");
    must_give("x OPERATOR(pg_catalog.=) 'a' COLLATE pg_catalog.default, y", "x = 'a' , y");
    must_give("x !~ '^pg_'", "x !~ ('(?s:.*)(?:' || '^pg_' || ')(?s:.*)')");
    must_give("SELECT pg_catalog.pg_table_is_visible(f(a, b)) AS x",
              "SELECT ((f(a, b)) IS NOT NULL) AS x");
    must_give("SELECT f(c.oid)::pg_catalog.oid, pg_x FROM pg_am",
              "SELECT CAST((f(c.oid)) AS BIGINT), pg_x FROM pg_catalog.pg_am");
    must_give("SELECT pg_x, '12'::regclass", "SELECT pg_x, CAST('12' AS BIGINT)");
    must_give("SELECT c.reloptions AS reloptions, i.indkey FROM pg_class c",
              "SELECT CAST(NULL AS VARCHAR[]) AS reloptions, "
              "CAST(string_split(i.indkey, ' ') AS BIGINT[]) FROM pg_catalog.pg_class c");
    must_give("SELECT pg_x, CAST(a + 1 AS pg_catalog.text)",
              "SELECT pg_x, CAST((a + 1) AS VARCHAR)");
}

/* Whatever is sent: no more than an error of the engine. */
static void broken_statements_are_passed_on(void **state)
{
    static const char *const texts[] = {
        "~ 'x'",
        "::",
        "pg_x::",
        "pg_x::pg_catalog",
        "pg_x::pg_catalog.",
        "pg_x, format_type( ::regclass)",
        "pg_x, format_type(a, ::regclass, ",
        "pg_x CAST(x AS ::regclass)",
        "pg_x CAST(AS regclass)",
        "pg_x CAST(regclass",
        "OPERATOR(pg_catalog",
        "OPERATOR(pg_catalog.",
        "OPERATOR(pg_catalog.~",
        "x OPERATOR(pg_catalog.~) 'a",
        "x COLLATE",
        "x COLLATE pg_catalog.",
        "pg_catalog.",
        ")))]]]::regclass pg_x",
        "pg_x ]::regclass",
        "version(]]])",
        "current_setting()",
        "current_setting(')",
        "quote_ident(quote_ident(a)::regclass::regtype::regclass)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
        rewrite(texts[i], &out);
    }
}

static void deep_statements_stay(void **state)
{
    char text[600];

    (void)state;
    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    must_stay(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_statements_stay),
        cmocka_unit_test(words_of_postgres_are_rewritten),
        cmocka_unit_test(broken_statements_are_passed_on),
        cmocka_unit_test(deep_statements_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
