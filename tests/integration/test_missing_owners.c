/* Owners that are not there: strict by default; where the asker allows it, rows of the others, and
 * what is missing named and signed; never other rows than the whole answer's unless that was
 * allowed by name. */
#include "core/limits.h"
#include "core/time.h"
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define DEATH_MS 60000
#define BOTH "SELECT id FROM alpha.items UNION ALL SELECT id FROM beta.items"

/* Alpha has 30 rows, beta 90,000; gamma is asked. */
static int setup(void **state)
{
    struct live_owners *f = live_owners_new(3, NULL);

    live_publish(f->mesh, f->alpha, 30);
    live_publish(f->mesh, f->beta, 90000);
    live_owners_ready(f, 2);
    *state = f;
    return 0;
}

static int ask(struct live_owners *f, const char *sql, const char *first, const char *second,
               const char *third)
{
    return live_owners_run(f, (const char *const[]){"query", sql, "--format", "csv", "--timeout",
                                                    "20", first, second, third, NULL});
}

static int ask_skipping(struct live_owners *f, const char *sql)
{
    return ask(f, sql, "--on-unavailable", "skip", NULL);
}

/* With all owners there the wish changes nothing. */
static void nothing_is_missing_when_all_are_there(void **state)
{
    struct live_owners *f = *state;

    assert_int_equal(ask_skipping(f, BOTH), 0);
    assert_int_equal(live_count(live_owners_out(f), "\n"), 1 + 30 + 90000);
    assert_string_equal(live_owners_err(f), "");
    assert_int_equal(ask_skipping(f, "SELECT count(*) FROM (" BOTH ")"), 0);
    live_assert_says(live_owners_out(f), "90030");
}

/* ---- Beta dies while its rows come ---- */

struct reading {
    struct folkmoot *handle;
    struct folkmoot_result *result;
    uint64_t rows;
};

static void begin(struct live_owners *f, struct reading *reading, const char *sql, int skip,
                  const char *save)
{
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot_options options = {
        .node = f->asked->address,
        .identity = live_path(f->mesh, "reader", path),
        .timeout_ms = 20000,
    };
    struct folkmoot_query_options how = {.skip_unavailable = skip, .save = save};

    *reading = (struct reading){.rows = 0};
    if (folkmoot_open(&options, &reading->handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
    if (folkmoot_query(reading->handle, sql, strlen(sql), &how, &reading->result) != FOLKMOOT_OK ||
        folkmoot_result_next(reading->result) != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(reading->handle));
    reading->rows = folkmoot_result_rows(reading->result);
    assert_true(reading->rows > 0);
}

static enum folkmoot_status read_on(struct reading *reading)
{
    for (;;) {
        enum folkmoot_status status = folkmoot_result_next(reading->result);
        uint32_t rows = folkmoot_result_rows(reading->result);
        if (status != FOLKMOOT_OK || rows == 0)
            return status;
        reading->rows += rows;
    }
}

static void end(struct reading *reading)
{
    folkmoot_result_free(reading->result);
    folkmoot_close(reading->handle);
}

/* The states of the last query's fragments, as the asked node shows them to who asked. */
static void expect_states(struct live_owners *f, const char *states)
{
    char *text =
        live_output(f->mesh, "reader", f->asked,
                    (const char *const[]){
                        "query",
                        "SELECT state FROM mesh.receipts WHERE query = (SELECT arg_max(query, "
                        "time) FROM mesh.receipts) ORDER BY fragment",
                        "--format", "csv", "--no-receipts", NULL});
    assert_string_equal(text, states);
    free(text);
}

/* Rows without end, of which every batch is asked for by the reader. */
#define STREAM "SELECT x.id, y.text FROM beta.items x, beta.items y"

static void what_came_before_the_end_is_kept_and_called_cut_off(void **state)
{
    struct live_owners *f = *state;
    struct folkmoot_answer_info info;
    struct folkmoot_missing_info missing;
    struct reading reading;
    char saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];

    begin(f, &reading, STREAM, 1, live_path(f->mesh, "saved", saved));
    live_kill(f->beta);
    if (read_on(&reading) != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(reading.handle));
    assert_non_null(folkmoot_result_answer(reading.result));
    folkmoot_answer_info(folkmoot_result_answer(reading.result), &info);
    assert_int_equal(info.is_complete, 0);
    assert_int_equal(info.rows, reading.rows);
    assert_int_equal(info.receipt_count, 0);
    assert_int_equal(info.missing_count, 1);
    assert_int_equal(folkmoot_answer_missing(folkmoot_result_answer(reading.result), 0, &missing),
                     FOLKMOOT_OK);
    assert_string_equal(missing.state, "cut off");
    assert_string_equal(missing.domain, "beta");
    assert_string_equal(missing.node_name, "beta");
    assert_int_equal(missing.rows, reading.rows);
    assert_int_equal(folkmoot_answer_missing(folkmoot_result_answer(reading.result), 1, &missing),
                     FOLKMOOT_INVALID);
    end(&reading);
    char *text = live_output(f->mesh, NULL, NULL,
                             (const char *const[]){"verify", saved, "--charter",
                                                   live_path(f->mesh, "reader/charter", charter),
                                                   "--format", "json", NULL});
    live_assert_says(text, "\"complete\":false");
    live_assert_says(text, "\"state\":\"cut off\"");
    free(text);
    expect_states(f, "state\ncut off\n");
}

/* ---- Beta is not there ---- */

/* Until the asked node holds it to be dead: then a port that refuses is believed at once. */
static void await_death(struct live_owners *f, const struct live_node *node)
{
    char seen[128];

    (void)snprintf(seen, sizeof seen, "\n%s,dead\n", node->name);
    fm_ms end = fm_now_ms() + DEATH_MS;
    for (;;) {
        assert_int_equal(
            ask(f, "SELECT node, state FROM mesh.nodes WHERE state = 'dead'", NULL, NULL, NULL), 0);
        if (strstr(live_owners_out(f), seen) != NULL)
            return;
        if (fm_now_ms() > end)
            fail_msg("node %s does not die:\n%s", node->name, live_owners_out(f));
        (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static void by_default_the_query_fails_by_name(void **state)
{
    struct live_owners *f = *state;

    assert_int_equal(ask(f, BOTH, NULL, NULL, NULL), 69); /* It may be starting: takes a while. */
    live_assert_says(live_owners_err(f), "domain beta on node beta");
    await_death(f, f->beta);
    assert_int_equal(ask(f, BOTH, NULL, NULL, NULL), 69);
    live_assert_says(live_owners_err(f), "domain beta on node beta");
    live_assert_says(live_owners_err(f), "nobody listens at");
    assert_int_equal(ask(f, BOTH, "--on-unavailable", "fail", NULL), 69);
    expect_states(f, "state\nstopped\nunreachable\n");
}

static void rows_of_the_others_come_and_the_rest_is_named(void **state)
{
    struct live_owners *f = *state;
    char saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];

    assert_int_equal(
        live_owners_run(f, (const char *const[]){"query", BOTH, "--on-unavailable", "skip",
                                                 "--format", "csv", "--save",
                                                 live_path(f->mesh, "saved", saved), NULL}),
        0);
    assert_int_equal(live_count(live_owners_out(f), "\n"), 1 + 30);
    live_assert_says(live_owners_err(f), "INCOMPLETE: domain beta on node beta (");
    live_assert_says(live_owners_err(f), "): unreachable: ");
    expect_states(f, "state\ncomplete\nunreachable\n");
    char *text =
        live_output(f->mesh, NULL, NULL,
                    (const char *const[]){"verify", saved, "--charter",
                                          live_path(f->mesh, "reader/charter", charter), NULL});
    live_assert_says(text, "INCOMPLETE: domain beta on node beta");
    live_assert_says(text, "verified");
    free(text);
}

/* Statements are asked together: as many as a node merges at once, of which one principal may have
 * half. */
#define TOGETHER FM_QUERIES_MAX

struct statement {
    const char *sql;
    const char *what; /* Why it is refused; NULL: it is not. */
    uint32_t rows;
};

static void check_statement(const struct statement *expected, const struct live_result *result)
{
    const char *out = (const char *)result->out.data;
    const char *err = (const char *)result->err.data;

    if (result->exit_code != (expected->what == NULL ? 0 : 69))
        fail_msg("%s: exit code %d, %s", expected->sql, result->exit_code, err);
    if (expected->what == NULL) {
        if (live_count(out, "\n") != 1 + expected->rows)
            fail_msg("%s: %s", expected->sql, out);
        live_assert_says(err, "INCOMPLETE: domain beta");
    } else {
        assert_string_equal(out, "");
        live_assert_says(err, "would give other rows, not only fewer");
        live_assert_says(err, expected->what);
        live_assert_says(err, "--allow-partial-aggregates");
    }
}

static void check_statements(struct live_owners *f, const struct statement *cases, size_t count)
{
    struct live_process processes[TOGETHER];
    struct live_result result;

    for (size_t from = 0; from < count; from += TOGETHER) {
        size_t here = count - from < TOGETHER ? count - from : TOGETHER;
        for (size_t i = 0; i < here; i++)
            processes[i] = live_cli_begin(
                f->mesh, i % 2 == 0 ? "reader" : "alpha-team", f->asked,
                (const char *const[]){"query", cases[from + i].sql, "--format", "csv", "--timeout",
                                      "20", "--on-unavailable", "skip", NULL});
        for (size_t i = 0; i < here; i++) {
            live_cli_end(&processes[i], &result);
            check_statement(&cases[from + i], &result);
            live_result_deinit(&result);
        }
    }
}

/* Statements whose rows would be others, not only fewer, and what for. */
static void other_rows_are_never_made_unasked(void **state)
{
    static const struct statement cases[] = {
        {"SELECT count(*) FROM (" BOTH ")", "an aggregate", 0},
        {"SELECT a.id, count(*) FROM alpha.items a JOIN beta.items b USING (id) GROUP BY ALL",
         "an aggregate", 0},
        {"SELECT a.id, b.text FROM alpha.items a LEFT JOIN beta.items b USING (id)",
         "an outer join", 0},
        {"SELECT b.id, a.text FROM beta.items b FULL JOIN alpha.items a USING (id)",
         "an outer join", 0},
        {"SELECT id FROM alpha.items WHERE id NOT IN (SELECT id FROM beta.items)", "NOT IN", 0},
        {"SELECT id FROM alpha.items a WHERE NOT EXISTS (FROM beta.items b WHERE b.id = a.id)",
         "NOT EXISTS", 0},
        {"SELECT a.id FROM alpha.items a ANTI JOIN beta.items b USING (id)", "an anti join", 0},
        {"SELECT id FROM alpha.items EXCEPT SELECT id FROM beta.items", "EXCEPT", 0},
        {"SELECT id FROM (" BOTH ") ORDER BY id DESC LIMIT 3", "LIMIT with ORDER BY", 0},
        {"SELECT DISTINCT ON (id % 3) id FROM (" BOTH ") ORDER BY id % 3, id", "DISTINCT ON", 0},
        {"SELECT id, row_number() OVER (ORDER BY id) FROM (" BOTH ")", "a window function", 0},
        {"SELECT id, (SELECT max(id) FROM beta.items) FROM alpha.items", "an aggregate", 0},
        {"SELECT id, id IN (SELECT id FROM beta.items) FROM alpha.items", "IN or EXISTS", 0},
        {"SELECT a.id FROM alpha.items a POSITIONAL JOIN beta.items b", "a positional join", 0},
        {"WITH RECURSIVE r(n) AS (SELECT id FROM alpha.items UNION SELECT b.id FROM r JOIN "
         "beta.items b ON b.id = r.n + 1) SELECT n FROM r",
         "a recursive query", 0},
    };

    check_statements(*state, cases, sizeof cases / sizeof cases[0]);
}

/* Statements that give fewer rows, each one of the whole answer's. */
static void fewer_rows_are_given(void **state)
{
    static const struct statement cases[] = {
        {"SELECT a.id, b.text FROM alpha.items a JOIN beta.items b USING (id)", NULL, 0},
        {"SELECT DISTINCT id % 7 FROM (" BOTH ")", NULL, 7},
        {"SELECT id FROM alpha.items WHERE id < 9 UNION SELECT id FROM beta.items ORDER BY id",
         NULL, 9},
        {"SELECT id FROM (" BOTH ") LIMIT 5", NULL, 5},
        {"SELECT id FROM beta.items EXCEPT SELECT id FROM alpha.items", NULL, 0},
        {"SELECT id FROM alpha.items WHERE id IN (SELECT id FROM beta.items)", NULL, 0},
        {"SELECT id FROM alpha.items INTERSECT SELECT id FROM beta.items", NULL, 0},
        {"SELECT b.id, a.n FROM beta.items b LEFT JOIN (SELECT id, count(*) AS n FROM alpha.items "
         "GROUP BY id) a USING (id)",
         NULL, 0},
        {"SELECT id FROM (" BOTH ") GROUP BY id", NULL, 30},
    };

    check_statements(*state, cases, sizeof cases / sizeof cases[0]);
}

static void by_name_aggregates_are_allowed_too(void **state)
{
    struct live_owners *f = *state;

    assert_int_equal(ask(f, "SELECT count(*) AS n FROM (" BOTH ")", "--on-unavailable", "skip",
                         "--allow-partial-aggregates"),
                     0);
    assert_string_equal(live_owners_out(f), "n\n30\n");
    live_assert_says(live_owners_err(f), "INCOMPLETE: domain beta");
}

/* Beta is there again, but has lost its facts: it answers, and refuses. */
static void an_owner_that_refuses_is_missing_too(void **state)
{
    struct live_owners *f = *state;
    char data[LIVE_PATH_MAX], old[LIVE_PATH_MAX];

    assert_int_equal(
        rename(live_path(f->mesh, "beta/data", data), live_path(f->mesh, "beta/data.old", old)), 0);
    live_start(f->mesh, f->beta);
    live_wait(f->mesh, "reader", f->asked, 3, 2);
    assert_int_equal(ask_skipping(f, BOTH), 0);
    assert_int_equal(live_count(live_owners_out(f), "\n"), 1 + 30);
    live_assert_says(live_owners_err(f), "INCOMPLETE: domain beta on node beta (");
    live_assert_says(live_owners_err(f),
                     "): refused: domain beta on node beta: table beta.items does not exist");
    expect_states(f, "state\ncomplete\nrefused\n");
    assert_int_equal(ask(f, BOTH, NULL, NULL, NULL), 66);
    expect_states(f, "state\nstopped\nrefused\n");
    live_kill(f->beta);
    await_death(f, f->beta);
}

/* What a node did for one is shown to nobody else. */
static void how_it_went_is_shown_to_who_asked(void **state)
{
    struct live_owners *f = *state;

    live_make_principal(f->mesh, "other", (const char *const[]){"reader", NULL});
    char *text =
        live_output(f->mesh, "other", f->asked,
                    (const char *const[]){"query", "SELECT count(*) AS n FROM mesh.receipts",
                                          "--format", "csv", "--no-receipts", NULL});
    assert_string_equal(text, "n\n0\n");
    free(text);
}

/* Where nobody is left there is no answer, not an empty one. */
static void without_any_owner_the_query_fails(void **state)
{
    struct live_owners *f = *state;

    assert_int_equal(ask_skipping(f, "SELECT id FROM beta.items"), 69);
    live_assert_says(live_owners_err(f), "nothing is left without its only owner");
    assert_int_equal(ask_skipping(f, "SELECT count(*) FROM beta.items"), 69);
    live_kill(f->alpha);
    await_death(f, f->alpha);
    assert_int_equal(ask_skipping(f, BOTH), 69);
    live_assert_says(live_owners_err(f), "no owner could be had");
}

/* Only the signed answer tells what is missing. */
static void an_answer_that_nobody_verifies_cannot_be_partial(void **state)
{
    struct live_owners *f = *state;

    assert_int_equal(ask(f, BOTH, "--on-unavailable", "skip", "--no-verify"), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_missing_when_all_are_there),
        cmocka_unit_test(what_came_before_the_end_is_kept_and_called_cut_off),
        cmocka_unit_test(by_default_the_query_fails_by_name),
        cmocka_unit_test(rows_of_the_others_come_and_the_rest_is_named),
        cmocka_unit_test(other_rows_are_never_made_unasked),
        cmocka_unit_test(fewer_rows_are_given),
        cmocka_unit_test(by_name_aggregates_are_allowed_too),
        cmocka_unit_test(an_answer_that_nobody_verifies_cannot_be_partial),
        cmocka_unit_test(how_it_went_is_shown_to_who_asked),
        cmocka_unit_test(an_owner_that_refuses_is_missing_too),
        cmocka_unit_test(without_any_owner_the_query_fails),
    };

    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
