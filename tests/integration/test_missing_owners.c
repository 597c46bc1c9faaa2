/* Owners that are not there: strict by default; where the asker allows it, rows of the others, and
 * what is missing named and signed; never other rows than the whole answer's unless that was
 * allowed by name. */
#include "include/folkmoot.h"
#include "tests/support/live_mesh.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BOTH "SELECT id FROM alpha.items UNION ALL SELECT id FROM beta.items"

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha; /* 30 rows. */
    struct live_node *beta;  /* 90,000 rows. */
    struct live_node *gamma; /* Owns nothing and is asked. */
    struct live_result result;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->mesh = live_mesh_new();
    f->alpha = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_start(f->mesh, f->beta);
    f->gamma = live_make_node(f->mesh, "gamma");
    live_start(f->mesh, f->gamma);
    live_publish(f->mesh, f->alpha, 30);
    live_publish(f->mesh, f->beta, 90000);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->gamma, 3, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

static int forget(void **state)
{
    struct fixture *f = *state;

    live_result_deinit(&f->result);
    return 0;
}

static const char *out(const struct fixture *f)
{
    return f->result.out.data == NULL ? "" : (const char *)f->result.out.data;
}

static const char *err(const struct fixture *f)
{
    return f->result.err.data == NULL ? "" : (const char *)f->result.err.data;
}

static int ask(struct fixture *f, const char *sql, const char *first, const char *second,
               const char *third)
{
    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query", sql, "--format", "csv", "--timeout", "20", first,
                                   second, third, NULL},
             &f->result);
    return f->result.exit_code;
}

static int ask_skipping(struct fixture *f, const char *sql)
{
    return ask(f, sql, "--on-unavailable", "skip", NULL);
}

static uint32_t lines(const char *text)
{
    uint32_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in: %.500s", part, text);
}

/* With all owners there the wish changes nothing. */
static void nothing_is_missing_when_all_are_there(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask_skipping(f, BOTH), 0);
    assert_int_equal(lines(out(f)), 1 + 30 + 90000);
    assert_string_equal(err(f), "");
    assert_int_equal(ask_skipping(f, "SELECT count(*) FROM (" BOTH ")"), 0);
    expect(out(f), "90030");
}

/* ---- Beta dies while its rows come ---- */

struct reading {
    struct folkmoot *handle;
    struct folkmoot_result *result;
    uint64_t rows;
};

static void begin(struct fixture *f, struct reading *reading, const char *sql, int skip,
                  const char *save)
{
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot_options options = {
        .node = f->gamma->address,
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
static void expect_states(struct fixture *f, const char *states)
{
    char *text =
        live_output(f->mesh, "reader", f->gamma,
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
    struct fixture *f = *state;
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
    expect(text, "\"complete\":false");
    expect(text, "\"state\":\"cut off\"");
    free(text);
    expect_states(f, "state\ncut off\n");
}

/* ---- Beta is not there ---- */

static void by_default_the_query_fails_by_name(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, BOTH, NULL, NULL, NULL), 69);
    expect(err(f), "domain beta on node beta");
    assert_int_equal(ask(f, BOTH, "--on-unavailable", "fail", NULL), 69);
    expect_states(f, "state\nstopped\nunreachable\n");
}

static void rows_of_the_others_come_and_the_rest_is_named(void **state)
{
    struct fixture *f = *state;
    char saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];

    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query", BOTH, "--on-unavailable", "skip", "--format", "csv",
                                   "--save", live_path(f->mesh, "saved", saved), NULL},
             &f->result);
    assert_int_equal(f->result.exit_code, 0);
    assert_int_equal(lines(out(f)), 1 + 30);
    expect(err(f), "INCOMPLETE: domain beta on node beta (");
    expect(err(f), "): unreachable: ");
    expect_states(f, "state\ncomplete\nunreachable\n");
    char *text =
        live_output(f->mesh, NULL, NULL,
                    (const char *const[]){"verify", saved, "--charter",
                                          live_path(f->mesh, "reader/charter", charter), NULL});
    expect(text, "INCOMPLETE: domain beta on node beta");
    expect(text, "verified");
    free(text);
}

/* Each query waits a while for the owner that is away: all statements only in long runs. */
static size_t step(void)
{
#ifdef __SANITIZE_ADDRESS__
    return getenv("FM_LONG") != NULL ? 1 : 12;
#else
    return getenv("FM_LONG") != NULL ? 1 : 6;
#endif
}

/* Statements whose rows would be others, not only fewer, and what for. */
static void other_rows_are_never_made_unasked(void **state)
{
    static const struct {
        const char *sql;
        const char *what;
    } cases[] = {
        {"SELECT count(*) FROM (" BOTH ")", "an aggregate"},
        {"SELECT a.id, count(*) FROM alpha.items a JOIN beta.items b USING (id) GROUP BY ALL",
         "an aggregate"},
        {"SELECT a.id, b.text FROM alpha.items a LEFT JOIN beta.items b USING (id)",
         "an outer join"},
        {"SELECT b.id, a.text FROM beta.items b FULL JOIN alpha.items a USING (id)",
         "an outer join"},
        {"SELECT id FROM alpha.items WHERE id NOT IN (SELECT id FROM beta.items)", "NOT IN"},
        {"SELECT id FROM alpha.items a WHERE NOT EXISTS (FROM beta.items b WHERE b.id = a.id)",
         "NOT EXISTS"},
        {"SELECT a.id FROM alpha.items a ANTI JOIN beta.items b USING (id)", "an anti join"},
        {"SELECT id FROM alpha.items EXCEPT SELECT id FROM beta.items", "EXCEPT"},
        {"SELECT id FROM (" BOTH ") ORDER BY id DESC LIMIT 3", "LIMIT with ORDER BY"},
        {"SELECT DISTINCT ON (id % 3) id FROM (" BOTH ") ORDER BY id % 3, id", "DISTINCT ON"},
        {"SELECT id, row_number() OVER (ORDER BY id) FROM (" BOTH ")", "a window function"},
        {"SELECT id, (SELECT max(id) FROM beta.items) FROM alpha.items", "an aggregate"},
        {"SELECT id, id IN (SELECT id FROM beta.items) FROM alpha.items", "IN or EXISTS"},
        {"SELECT a.id FROM alpha.items a POSITIONAL JOIN beta.items b", "a positional join"},
        {"WITH RECURSIVE r(n) AS (SELECT id FROM alpha.items UNION SELECT b.id FROM r JOIN "
         "beta.items b ON b.id = r.n + 1) SELECT n FROM r",
         "a recursive query"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i += step()) {
        if (ask_skipping(f, cases[i].sql) != 69)
            fail_msg("%s: exit code %d, %s", cases[i].sql, f->result.exit_code, err(f));
        assert_string_equal(out(f), "");
        expect(err(f), "would give other rows, not only fewer");
        expect(err(f), cases[i].what);
        expect(err(f), "--allow-partial-aggregates");
    }
}

/* Statements that give fewer rows, each one of the whole answer's. */
static void fewer_rows_are_given(void **state)
{
    static const struct {
        const char *sql;
        uint32_t rows;
    } cases[] = {
        {"SELECT a.id, b.text FROM alpha.items a JOIN beta.items b USING (id)", 0},
        {"SELECT DISTINCT id % 7 FROM (" BOTH ")", 7},
        {"SELECT id FROM alpha.items WHERE id < 9 UNION SELECT id FROM beta.items ORDER BY id", 9},
        {"SELECT id FROM (" BOTH ") LIMIT 5", 5},
        {"SELECT id FROM beta.items EXCEPT SELECT id FROM alpha.items", 0},
        {"SELECT id FROM alpha.items WHERE id IN (SELECT id FROM beta.items)", 0},
        {"SELECT id FROM alpha.items INTERSECT SELECT id FROM beta.items", 0},
        {"SELECT b.id, a.n FROM beta.items b LEFT JOIN (SELECT id, count(*) AS n FROM alpha.items "
         "GROUP BY id) a USING (id)",
         0},
        {"SELECT id FROM (" BOTH ") GROUP BY id", 30},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i += step()) {
        if (ask_skipping(f, cases[i].sql) != 0)
            fail_msg("%s: exit code %d, %s", cases[i].sql, f->result.exit_code, err(f));
        if (lines(out(f)) != 1 + cases[i].rows)
            fail_msg("%s: %s", cases[i].sql, out(f));
        expect(err(f), "INCOMPLETE: domain beta");
    }
}

static void by_name_aggregates_are_allowed_too(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "SELECT count(*) AS n FROM (" BOTH ")", "--on-unavailable", "skip",
                         "--allow-partial-aggregates"),
                     0);
    assert_string_equal(out(f), "n\n30\n");
    expect(err(f), "INCOMPLETE: domain beta");
}

/* Beta is there again, but has lost its facts: it answers, and refuses. */
static void an_owner_that_refuses_is_missing_too(void **state)
{
    struct fixture *f = *state;
    char data[LIVE_PATH_MAX], old[LIVE_PATH_MAX];

    assert_int_equal(
        rename(live_path(f->mesh, "beta/data", data), live_path(f->mesh, "beta/data.old", old)), 0);
    live_start(f->mesh, f->beta);
    live_wait(f->mesh, "reader", f->gamma, 3, 2);
    assert_int_equal(ask_skipping(f, BOTH), 0);
    assert_int_equal(lines(out(f)), 1 + 30);
    expect(err(f), "INCOMPLETE: domain beta on node beta (");
    expect(err(f), "): refused: domain beta on node beta: table beta.items does not exist");
    expect_states(f, "state\ncomplete\nrefused\n");
    assert_int_equal(ask(f, BOTH, NULL, NULL, NULL), 66);
    expect_states(f, "state\nstopped\nrefused\n");
    live_kill(f->beta);
}

/* What a node did for one is shown to nobody else. */
static void how_it_went_is_shown_to_who_asked(void **state)
{
    struct fixture *f = *state;

    live_make_principal(f->mesh, "other", (const char *const[]){"reader", NULL});
    char *text =
        live_output(f->mesh, "other", f->gamma,
                    (const char *const[]){"query", "SELECT count(*) AS n FROM mesh.receipts",
                                          "--format", "csv", "--no-receipts", NULL});
    assert_string_equal(text, "n\n0\n");
    free(text);
}

/* Where nobody is left there is no answer, not an empty one. */
static void without_any_owner_the_query_fails(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask_skipping(f, "SELECT id FROM beta.items"), 69);
    expect(err(f), "nothing is left without its only owner");
    assert_int_equal(ask_skipping(f, "SELECT count(*) FROM beta.items"), 69);
    live_kill(f->alpha);
    assert_int_equal(ask_skipping(f, BOTH), 69);
    expect(err(f), "no owner could be had");
}

/* Only the signed answer tells what is missing. */
static void an_answer_that_nobody_verifies_cannot_be_partial(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, BOTH, "--on-unavailable", "skip", "--no-verify"), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_missing_when_all_are_there, forget),
        cmocka_unit_test_teardown(what_came_before_the_end_is_kept_and_called_cut_off, forget),
        cmocka_unit_test_teardown(by_default_the_query_fails_by_name, forget),
        cmocka_unit_test_teardown(rows_of_the_others_come_and_the_rest_is_named, forget),
        cmocka_unit_test_teardown(other_rows_are_never_made_unasked, forget),
        cmocka_unit_test_teardown(fewer_rows_are_given, forget),
        cmocka_unit_test_teardown(by_name_aggregates_are_allowed_too, forget),
        cmocka_unit_test_teardown(an_answer_that_nobody_verifies_cannot_be_partial, forget),
        cmocka_unit_test_teardown(how_it_went_is_shown_to_who_asked, forget),
        cmocka_unit_test_teardown(an_owner_that_refuses_is_missing_too, forget),
        cmocka_unit_test_teardown(without_any_owner_the_query_fails, forget),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
