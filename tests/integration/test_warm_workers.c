/* Workers that stay warm, through real nodes: the next query of the same principal gets them, at an
 * owner through the same asking node; nobody else does. Seen by the processes: whoever gets no warm
 * one takes a spare, and another spare is forked for it. */
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS_MAX 64u
#define FORKED_MS 20000
#define QUIET_MS 300 /* What was forked without need would be there. */
#define SHIPPED "SELECT count(DISTINCT text) FROM alpha.items"
#define MERGED                                                                                     \
    "SELECT count(DISTINCT x.text) FROM alpha.items x JOIN beta.items y ON x.id % 7 = y.id"

struct workers {
    pid_t pids[WORKERS_MAX];
    uint32_t count;
};

/* Those of a node, without the first process. */
static struct workers workers_of(const struct live_node *node)
{
    struct workers found = {.count = 0};
    pid_t pids[WORKERS_MAX];
    uint32_t count = live_children(node->pid, pids, WORKERS_MAX);

    for (uint32_t i = 0; i < count && i < WORKERS_MAX; i++)
        if (live_parent(pids[i]) != node->pid)
            found.pids[found.count++] = pids[i];
    return found;
}

static bool has(const struct workers *workers, pid_t pid)
{
    for (uint32_t i = 0; i < workers->count; i++)
        if (workers->pids[i] == pid)
            return true;
    return false;
}

/* Workers that were not there before; one that was there and ended fails the test. */
static uint32_t count_new(const struct workers *before, const struct workers *now)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < before->count; i++)
        if (!has(now, before->pids[i]))
            fail_msg("worker %d has ended", (int)before->pids[i]);
    for (uint32_t i = 0; i < now->count; i++)
        count += has(before, now->pids[i]) ? 0 : 1;
    return count;
}

static void prepare(struct live_mesh *mesh, struct live_node *node)
{
    live_configure(mesh, node->name, "workers_warm_ms: 600000\n");
}

static int setup(void **state)
{
    struct live_owners *owners = live_owners_new(3, prepare);

    live_publish(owners->mesh, owners->alpha, 500);
    live_publish(owners->mesh, owners->beta, 10);
    live_make_principal(owners->mesh, "other", (const char *const[]){"reader", NULL});
    live_owners_ready(owners, 2);
    live_wait(owners->mesh, "reader", owners->beta, 3, 2);
    *state = owners;
    return 0;
}

/* The query's own worker at `node` is warm: how many others were forked for it? */
static uint32_t forked_by(struct live_owners *owners, const char *principal,
                          const struct live_node *asked, const char *sql,
                          const struct live_node *node)
{
    struct workers before = workers_of(node), now = before;
    fm_ms end = fm_now_ms() + FORKED_MS, quiet = 0;

    free(live_output(owners->mesh, principal, asked,
                     (const char *const[]){"query", sql, "--format", "csv", NULL}));
    while (fm_now_ms() < end && (quiet == 0 || fm_now_ms() < quiet)) {
        struct workers next = workers_of(node);
        if (quiet == 0 || next.count != now.count)
            quiet = fm_now_ms() + QUIET_MS;
        now = next;
        usleep(20000);
    }
    return count_new(&before, &now);
}

static void an_owner_keeps_them_for_principal_and_asking_node(void **state)
{
    struct live_owners *owners = *state;
    const struct live_node *alpha = owners->alpha, *gamma = owners->asked;

    assert_int_equal(forked_by(owners, "reader", gamma, SHIPPED, alpha), 1);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(forked_by(owners, "reader", gamma, SHIPPED, alpha), 0);
    assert_int_equal(forked_by(owners, "other", gamma, SHIPPED, alpha), 1);
    assert_int_equal(forked_by(owners, "reader", owners->beta, SHIPPED, alpha), 1);
    assert_int_equal(forked_by(owners, "other", owners->beta, SHIPPED, alpha), 1);
    /* All of them are kept. */
    assert_int_equal(forked_by(owners, "reader", gamma, SHIPPED, alpha), 0);
    assert_int_equal(forked_by(owners, "other", gamma, SHIPPED, alpha), 0);
    assert_int_equal(forked_by(owners, "reader", owners->beta, SHIPPED, alpha), 0);
}

static void the_asked_node_keeps_them_for_its_principal(void **state)
{
    struct live_owners *owners = *state;
    const struct live_node *gamma = owners->asked;

    (void)forked_by(owners, "reader", gamma, MERGED, gamma); /* Statements before had one, too. */
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(forked_by(owners, "reader", gamma, MERGED, gamma), 0);
    /* A statement that was not planned before: planning and merge are one loan. */
    assert_int_equal(forked_by(owners, "reader", gamma, MERGED " WHERE x.id > 3", gamma), 0);
    (void)forked_by(owners, "other", gamma, MERGED, gamma);
    assert_int_equal(forked_by(owners, "reader", gamma, MERGED, gamma), 0);
    assert_int_equal(forked_by(owners, "other", gamma, MERGED, gamma), 0);
}

/* What one left in a session would be seen by the next: statements that could are refused. */
static void nothing_is_left_for_the_next(void **state)
{
    static const char *const texts[] = {
        "SET threads = 1",
        "CREATE TEMP TABLE left_behind AS SELECT 1",
        "SELECT setseed(0.5) FROM alpha.items",
        "PREPARE p AS SELECT 1",
    };
    struct live_owners *owners = *state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (live_owners_run(owners, (const char *const[]){"query", texts[i], NULL}) == 0)
            fail_msg("%s is answered", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_keeps_them_for_principal_and_asking_node),
        cmocka_unit_test(the_asked_node_keeps_them_for_its_principal),
        cmocka_unit_test(nothing_is_left_for_the_next),
    };
    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
