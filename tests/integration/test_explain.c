/* EXPLAIN and EXPLAIN ANALYZE through living nodes: what they say, and whom they ask. */
#include "tests/support/live_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JOIN "SELECT a.id, b.text FROM alpha.items a JOIN beta.items b USING (id) WHERE a.id < 7"

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha;
    struct live_node *beta;
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
    live_publish(f->mesh, f->alpha, 50);
    live_publish(f->mesh, f->beta, 5);
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

static const char *ask(struct fixture *f, const char *sql)
{
    char saved[LIVE_PATH_MAX];

    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query", sql, "--format", "ndjson", "--save",
                                   live_path(f->mesh, "saved", saved), NULL},
             &f->result);
    if (f->result.exit_code != 0)
        fail_msg("%s: %s", sql, (const char *)f->result.err.data);
    return (const char *)f->result.out.data;
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no %s in: %s", part, text);
}

static uint32_t count(const char *text, const char *part)
{
    uint32_t found = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        found++;
    return found;
}

/* One row per fragment with owner, rule and work, and one for the merge. */
static void the_plan_is_a_table(void **state)
{
    struct fixture *f = *state;
    const char *text = ask(f, "explain " JOIN);

    assert_int_equal(count(text, "\n"), 3);
    expect(text, "\"fragment\":0,\"domain\":\"alpha\",\"node\":\"alpha\",\"rule\":\"scan\"");
    expect(text, "FROM alpha.items WHERE id < 7");
    expect(text, "\"fragment\":1,\"domain\":\"beta\",\"node\":\"beta\"");
    expect(text, "\"fragment\":null,\"domain\":null,\"node\":\"gamma\",\"rule\":\"merge\"");
    assert_null(strstr(text, "owner_ms"));
}

static void one_owner_gets_all(void **state)
{
    struct fixture *f = *state;
    const char *text = ask(f, "/* how? */ EXPLAIN SELECT count(*) FROM alpha.items");

    assert_int_equal(count(text, "\n"), 1);
    expect(text, "\"rule\":\"ship\",\"work\":\"SELECT count_star() FROM alpha.items\"");
    text = ask(f, "EXPLAIN SELECT text, id FROM alpha.items WHERE id = 3 LIMIT 1");
    expect(text, "\"rule\":\"lookup\",\"work\":\"SELECT text, id FROM alpha.items WHERE id = 3 "
                 "LIMIT 1\"");
}

/* The rows are gone, their counts, receipts and proofs are there. */
static void a_run_is_measured_and_proven(void **state)
{
    struct fixture *f = *state;
    char saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];
    const char *text = ask(f, "EXPLAIN ANALYZE " JOIN);

    assert_int_equal(count(text, "\n"), 3);
    expect(text, "\"rows\":7,");
    expect(text, "\"rule\":\"merge\"");
    assert_int_equal(count(text, "\"owner_ms\":null"), 1); /* Of the merge. */
    assert_int_equal(count(text, "\"merge_ms\":null"), 2); /* Of the fragments. */
    assert_int_equal(count(text, "\"rows\":5,"), 2);       /* Of beta, and of the result. */
    assert_null(strstr(text, "item 3"));
    free(
        live_output(f->mesh, NULL, NULL,
                    (const char *const[]){"verify", live_path(f->mesh, "saved", saved), "--charter",
                                          live_path(f->mesh, "reader/charter", charter), NULL}));
    text = ask(f, "EXPLAIN ANALYZE SELECT * FROM alpha.items WHERE id >= 40");
    assert_int_equal(count(text, "\n"), 1);
    expect(text, "\"rows\":10,");
}

/* A rule that is left out is not used, and the answer is the same. */
static void a_rule_can_be_left_out(void **state)
{
    struct fixture *f = *state;
    struct live_result with = {0}, without = {0};
    const char *sql = "SELECT count(*) AS n FROM alpha.items x JOIN alpha.items y USING (id)";

    live_cli(f->mesh, "reader", f->gamma, (const char *const[]){"query", sql, NULL}, &with);
    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query", sql, "--without", "ship,subquery", NULL}, &without);
    assert_int_equal(with.exit_code, 0);
    assert_int_equal(without.exit_code, 0);
    assert_string_equal((const char *)with.out.data, (const char *)without.out.data);
    live_result_deinit(&with);
    live_result_deinit(&without);
    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query",
                                   "EXPLAIN SELECT count(*) AS n FROM alpha.items x JOIN "
                                   "alpha.items y USING (id)",
                                   "--without", "ship,subquery,aggregate", NULL},
             &without);
    assert_int_equal(without.exit_code, 0);
    expect((const char *)without.out.data, "merge");
    live_result_deinit(&without);
}

/* Nobody who owns anything is there: the plan is the same; running it fails by name. */
static void a_plan_asks_no_owner(void **state)
{
    struct fixture *f = *state;

    live_kill(f->alpha);
    live_kill(f->beta);
    expect(ask(f, "EXPLAIN " JOIN), "\"domain\":\"beta\"");
    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->gamma,
             (const char *const[]){"query", "EXPLAIN ANALYZE " JOIN, NULL}, &f->result);
    assert_int_equal(f->result.exit_code, 69);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_plan_is_a_table, forget),
        cmocka_unit_test_teardown(one_owner_gets_all, forget),
        cmocka_unit_test_teardown(a_run_is_measured_and_proven, forget),
        cmocka_unit_test(a_rule_can_be_left_out),
        cmocka_unit_test_teardown(a_plan_asks_no_owner, forget),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
