/* Where statements of a PostgreSQL client begin and end, and what stands in them. */
#include "node/pg/statement.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Each of them, with a bar between. */
static void must_split(const char *text, const char *expected)
{
    FM_AUTO(fm_buf_free) struct fm_buf joined = FM_BUF_INIT(0);
    struct fm_cursor at = fm_cursor(fm_span_str(text));
    struct fm_span statement;

    while (fm_pg_statement_next(&at, &statement)) {
        fm_buf_put_span(&joined, statement);
        fm_buf_put_u8(&joined, '|');
    }
    fm_buf_put_u8(&joined, 0);
    assert_int_equal(fm_buf_status(&joined), FM_OK);
    assert_string_equal((const char *)joined.data, expected);
}

static void statements_end_at_semicolons_alone(void **state)
{
    (void)state;
    must_split("", "");
    must_split(" ;; \n; -- nothing\n ;/* ; */", "");
    must_split("SELECT 1", "SELECT 1|");
    must_split(" SELECT 1 ; SELECT 2;\n", "SELECT 1|SELECT 2|");
    must_split("SELECT ';';SELECT \";\"", "SELECT ';'|SELECT \";\"|");
    must_split("SELECT 'it''s;';x", "SELECT 'it''s;'|x|");
    must_split("SELECT E'\\';';x", "SELECT E'\\';'|x|");
    must_split("SELECT 'a\\';x", "SELECT 'a\\'|x|"); /* Backslashes are plain. */
    must_split("SELECT $$;$$;x", "SELECT $$;$$|x|");
    must_split("SELECT $a$;$$;$a$;x", "SELECT $a$;$$;$a$|x|");
    must_split("SELECT 1 /* ; /* ; */ ; */ + 2;x", "SELECT 1 /* ; /* ; */ ; */ + 2|x|");
    must_split("SELECT 1 -- ;\n + 2;x", "SELECT 1 -- ;\n + 2|x|");
}

static void what_is_not_closed_is_one_statement(void **state)
{
    (void)state;
    must_split("SELECT 'a; SELECT 2", "SELECT 'a; SELECT 2|");
    must_split("SELECT 1; SELECT \"a; x", "SELECT 1|SELECT \"a; x|");
    must_split("SELECT $q$a; x", "SELECT $q$a; x|");
    must_split("SELECT 1 /* a; x", "SELECT 1 /* a; x|");
    must_split("/* a; x", "/*|");
}

static void kinds_are_told_by_first_words(void **state)
{
    static const struct {
        const char *text;
        enum fm_pg_statement_kind kind;
    } cases[] = {
        {"", FM_PG_EMPTY},
        {"-- x", FM_PG_EMPTY},
        {"select 1", FM_PG_QUERY_STATEMENT},
        {"WITH x AS (SELECT 1) SELECT 1", FM_PG_QUERY_STATEMENT},
        {"/* a */ begin", FM_PG_BEGIN},
        {"Start Transaction read only", FM_PG_BEGIN},
        {"start", FM_PG_QUERY_STATEMENT},
        {"END", FM_PG_COMMIT},
        {"commit work", FM_PG_COMMIT},
        {"rollback", FM_PG_ROLLBACK},
        {"ABORT", FM_PG_ROLLBACK},
        {"rollback to a", FM_PG_ROLLBACK_TO},
        {"rollback work to savepoint a", FM_PG_ROLLBACK_TO},
        {"savepoint a", FM_PG_SAVEPOINT},
        {"release a", FM_PG_RELEASE},
        {"set x = 1", FM_PG_SET},
        {"\"set\" x", FM_PG_QUERY_STATEMENT},
        {"'set'", FM_PG_QUERY_STATEMENT},
        {"settle", FM_PG_QUERY_STATEMENT},
        {"show all", FM_PG_SHOW},
        {"fetch 1 from c", FM_PG_FETCH},
        {"copy t to stdout", FM_PG_COPY},
        {"insert into a.b values (1)", FM_PG_INSERT},
        {"unlisten *", FM_PG_LISTEN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (fm_pg_statement_kind(fm_span_str(cases[i].text)) != cases[i].kind)
            fail_msg("%s: %d", cases[i].text, fm_pg_statement_kind(fm_span_str(cases[i].text)));
}

static void must_fill(const char *text, uint32_t parameters, const char *expected)
{
    const struct fm_span values[] = {fm_span_str("<one>"), fm_span_str("<two>")};
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    struct fm_error err = {0};
    uint32_t count = 0;

    assert_int_equal(fm_pg_statement_parameters(fm_span_str(text), &count, &err), FM_OK);
    assert_int_equal(count, parameters);
    fm_pg_statement_fill(fm_span_str(text), values, 2, &out);
    fm_buf_put_u8(&out, 0);
    assert_int_equal(fm_buf_status(&out), FM_OK);
    assert_string_equal((const char *)out.data, expected);
}

static void parameters_are_filled_in(void **state)
{
    struct fm_error err = {0};
    uint32_t count = 0;

    (void)state;
    must_fill("SELECT 1", 0, "SELECT 1");
    must_fill("SELECT $1", 1, "SELECT <one>");
    must_fill("$2+$1+$2", 2, "<two>+<one>+<two>");
    must_fill("SELECT '$1', \"$1\", $$ $1 $$, E'\\'$1', a$1 -- $1", 0,
              "SELECT '$1', \"$1\", $$ $1 $$, E'\\'$1', a$1 -- $1");
    must_fill("LIMIT $1/* $2 */", 1, "LIMIT <one>/* $2 */");
    assert_int_equal(fm_pg_statement_parameters(fm_span_str("$0"), &count, &err), FM_INVALID);
    assert_int_equal(fm_pg_statement_parameters(fm_span_str("$99999999999"), &count, &err),
                     FM_LIMIT);
    assert_int_equal(fm_pg_statement_parameters(fm_span_str("$4097"), &count, &err), FM_LIMIT);
    assert_int_equal(fm_pg_statement_parameters(fm_span_str("$4096"), &count, &err), FM_OK);
    assert_int_equal(count, FM_PG_PARAMETERS_MAX);
}

static void must_mean(const char *text, const char *expected)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    struct fm_cursor at = fm_cursor(fm_span_str(text));
    struct fm_pg_token token = fm_pg_token_next(&at);

    enum fm_status status = fm_pg_token_value(&token, &out);
    assert_int_equal(status, expected != NULL ? FM_OK : FM_UNSUPPORTED);
    fm_buf_put_u8(&out, 0);
    if (expected != NULL)
        assert_string_equal((const char *)out.data, expected);
}

static void tokens_have_values(void **state)
{
    (void)state;
    must_mean("Name", "name");
    must_mean("\"Na\"\"me\"", "Na\"me");
    must_mean("'it''s'", "it's");
    must_mean("''", "");
    must_mean("12.5", "12.5");
    must_mean("E'x'", NULL);
    must_mean("$$x$$", NULL);
    must_mean("=", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_end_at_semicolons_alone),
        cmocka_unit_test(what_is_not_closed_is_one_statement),
        cmocka_unit_test(kinds_are_told_by_first_words),
        cmocka_unit_test(parameters_are_filled_in),
        cmocka_unit_test(tokens_have_values),
    };

    return cmocka_run_group_tests_name("pg_statement", tests, NULL, NULL);
}
