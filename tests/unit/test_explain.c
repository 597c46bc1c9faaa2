/* EXPLAIN before a statement: told from other words, and taken away without moving the rest. */
#include "query/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fm_error error;

static void expect(const char *sql, enum fm_explain explain, const char *rest)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    enum fm_explain found = FM_EXPLAIN_RUN;

    assert_int_equal(fm_explain_read(fm_span_str(sql), &found, &out, &error), FM_OK);
    assert_int_equal(found, explain);
    fm_buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, rest);
}

static void refused(const char *sql, const char *reason)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    enum fm_explain found;

    assert_int_equal(fm_explain_read(fm_span_str(sql), &found, &out, &error), FM_INVALID);
    assert_non_null(strstr(error.text, reason));
}

static void the_words_are_found_in_any_case(void **state)
{
    (void)state;
    expect("EXPLAIN SELECT 1", FM_EXPLAIN_PLAN, "        SELECT 1");
    expect("eXplain Analyze SELECT 1", FM_EXPLAIN_RUN, "                SELECT 1");
    expect("explain analyse\tFROM t", FM_EXPLAIN_RUN, "                FROM t");
}

static void blanks_and_comments_may_stand_before_and_between(void **state)
{
    (void)state;
    expect("-- why\n explain /* a /* b */ c */ analyze--\n select 1", FM_EXPLAIN_RUN,
           "      \n                                    \n select 1");
    expect("explain/**/analyze(select 1)", FM_EXPLAIN_RUN, "                  (select 1)");
    expect("explain ( ( values (1)))", FM_EXPLAIN_PLAN, "        ( ( values (1)))");
}

/* Lines and columns in the engine's messages are those of the text as it was sent. */
static void positions_stay(void **state)
{
    const char *sql = "explain\nanalyze\n  select nonsense";
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    enum fm_explain found;

    (void)state;
    assert_int_equal(fm_explain_read(fm_span_str(sql), &found, &out, &error), FM_OK);
    assert_int_equal(out.len, strlen(sql));
    for (size_t i = 0; i < out.len; i++)
        assert_true(out.data[i] == ' ' || out.data[i] == (uint8_t)sql[i]);
}

static void other_statements_are_left_alone(void **state)
{
    (void)state;
    expect("SELECT 1", FM_EXPLAIN_NONE, "");
    expect("SELECT 'explain'", FM_EXPLAIN_NONE, "");
    expect("explainer", FM_EXPLAIN_NONE, "");
    expect("explain_it", FM_EXPLAIN_NONE, "");
    expect("FROM explain", FM_EXPLAIN_NONE, "");
    expect("/* explain", FM_EXPLAIN_NONE, "");
    expect("", FM_EXPLAIN_NONE, "");
    expect("explain analyzes", FM_EXPLAIN_PLAN, "        analyzes");
}

static void what_is_not_known_is_refused_clearly(void **state)
{
    (void)state;
    refused("explain", "needs a statement");
    refused("explain analyze -- nothing", "needs a statement");
    refused("explain (analyze) select 1", "no options in parentheses");
    refused("explain (format json) select 1", "no options in parentheses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_are_found_in_any_case),
        cmocka_unit_test(blanks_and_comments_may_stand_before_and_between),
        cmocka_unit_test(positions_stay),
        cmocka_unit_test(other_statements_are_left_alone),
        cmocka_unit_test(what_is_not_known_is_refused_clearly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
