/* EXPLAIN and EXPLAIN ANALYZE through living nodes: what they say, and whom they ask. */
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JOIN "SELECT a.id, b.text FROM alpha.items a JOIN beta.items b USING (id) WHERE a.id < 7"

static int setup(void **state)
{
    struct live_owners *f = live_owners_new(3, NULL);

    live_publish(f->mesh, f->alpha, 50);
    live_publish(f->mesh, f->beta, 5);
    live_owners_ready(f, 2);
    *state = f;
    return 0;
}

static const char *ask(struct live_owners *f, const char *sql)
{
    char saved[LIVE_PATH_MAX];

    if (live_owners_run(f, (const char *const[]){"query", sql, "--format", "ndjson", "--save",
                                                 live_path(f->mesh, "saved", saved), NULL}) != 0)
        fail_msg("%s: %s", sql, live_owners_err(f));
    return live_owners_out(f);
}

/* One row per fragment with owner, rule and work, and one for the merge. */
static void the_plan_is_a_table(void **state)
{
    struct live_owners *f = *state;
    const char *text = ask(f, "explain " JOIN);

    assert_int_equal(live_count(text, "\n"), 3);
    live_assert_says(text,
                     "\"fragment\":0,\"domain\":\"alpha\",\"node\":\"alpha\",\"rule\":\"scan\"");
    live_assert_says(text, "FROM alpha.items WHERE id < 7");
    live_assert_says(text, "\"fragment\":1,\"domain\":\"beta\",\"node\":\"beta\"");
    live_assert_says(text,
                     "\"fragment\":null,\"domain\":null,\"node\":\"gamma\",\"rule\":\"merge\"");
    assert_null(strstr(text, "owner_ms"));
}

static void one_owner_gets_all(void **state)
{
    struct live_owners *f = *state;
    const char *text = ask(f, "/* how? */ EXPLAIN SELECT count(*) FROM alpha.items");

    assert_int_equal(live_count(text, "\n"), 1);
    live_assert_says(text, "\"rule\":\"ship\",\"work\":\"SELECT count_star() FROM alpha.items\"");
    text = ask(f, "EXPLAIN SELECT text, id FROM alpha.items WHERE id = 3 LIMIT 1");
    live_assert_says(text,
                     "\"rule\":\"lookup\",\"work\":\"SELECT text, id FROM alpha.items WHERE id = 3 "
                     "LIMIT 1\"");
}

/* The rows are gone, their counts, receipts and proofs are there. */
static void a_run_is_measured_and_proven(void **state)
{
    struct live_owners *f = *state;
    char saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];
    const char *text = ask(f, "EXPLAIN ANALYZE " JOIN);

    assert_int_equal(live_count(text, "\n"), 3);
    live_assert_says(text, "\"rows\":7,");
    live_assert_says(text, "\"rule\":\"merge\"");
    assert_int_equal(live_count(text, "\"owner_ms\":null"), 1); /* Of the merge. */
    assert_int_equal(live_count(text, "\"merge_ms\":null"), 2); /* Of the fragments. */
    assert_int_equal(live_count(text, "\"rows\":5,"), 2);       /* Of beta, and of the result. */
    assert_null(strstr(text, "item 3"));
    free(
        live_output(f->mesh, NULL, NULL,
                    (const char *const[]){"verify", live_path(f->mesh, "saved", saved), "--charter",
                                          live_path(f->mesh, "reader/charter", charter), NULL}));
    text = ask(f, "EXPLAIN ANALYZE SELECT * FROM alpha.items WHERE id >= 40");
    assert_int_equal(live_count(text, "\n"), 1);
    live_assert_says(text, "\"rows\":10,");
}

/* A rule that is left out is not used, and the answer is the same. */
static void a_rule_can_be_left_out(void **state)
{
    struct live_owners *f = *state;
    const char *sql = "SELECT count(*) AS n FROM alpha.items x JOIN alpha.items y USING (id)";
    const char *explain =
        "EXPLAIN SELECT count(*) AS n FROM alpha.items x JOIN alpha.items y USING (id)";

    assert_int_equal(live_owners_run(f, (const char *const[]){"query", sql, NULL}), 0);
    FM_AUTO(fm_mem_freep) char *with = strdup(live_owners_out(f));
    assert_non_null(with);
    assert_int_equal(
        live_owners_run(f, (const char *const[]){"query", sql, "--without", "ship,subquery", NULL}),
        0);
    assert_string_equal(with, live_owners_out(f));
    assert_int_equal(live_owners_run(f, (const char *const[]){"query", explain, "--without",
                                                              "ship,subquery,aggregate", NULL}),
                     0);
    live_assert_says(live_owners_out(f), "merge");
}

/* Nobody who owns anything is there: the plan is the same; running it fails by name. */
static void a_plan_asks_no_owner(void **state)
{
    struct live_owners *f = *state;

    live_kill(f->alpha);
    live_kill(f->beta);
    live_assert_says(ask(f, "EXPLAIN " JOIN), "\"domain\":\"beta\"");
    assert_int_equal(
        live_owners_run(f, (const char *const[]){"query", "EXPLAIN ANALYZE " JOIN, NULL}), 69);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_a_table),          cmocka_unit_test(one_owner_gets_all),
        cmocka_unit_test(a_run_is_measured_and_proven), cmocka_unit_test(a_rule_can_be_left_out),
        cmocka_unit_test(a_plan_asks_no_owner),
    };

    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
