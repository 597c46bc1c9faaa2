/* How a program reads results: several in turn over one handle, not to their ends, slowly. A result
 * asks for its next batch before it is wanted, which must cost nobody rows nor bounds. */
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define ROWS 600000u /* 20 MB and more: far above what a node may hold of an answer. */
#define HELD_MIB 10u
#define SETTLE_MS 1500 /* Enough to send it all, were there nothing to hold it back. */

#define ALL "SELECT id, text FROM alpha.items"
#define MADE "SELECT id + 1 AS id, text || '.' AS text FROM alpha.items" /* By a worker. */

static int setup(void **state)
{
    struct live_owners *f = live_owners_new(2, NULL);

    live_publish(f->mesh, f->alpha, ROWS);
    live_owners_ready(f, 1);
    *state = f;
    return 0;
}

static void must(struct live_owners *f, enum folkmoot_status status)
{
    if (status != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(f->handle));
}

static struct folkmoot_result *ask(struct live_owners *f, const char *sql)
{
    struct folkmoot_result *result = NULL;

    must(f, folkmoot_query(f->handle, sql, strlen(sql), NULL, &result));
    return result;
}

/* Rows of the next batch; 0 at the end, which is verified. */
static uint64_t next(struct live_owners *f, struct folkmoot_result *result)
{
    must(f, folkmoot_result_next(result));
    return folkmoot_result_rows(result);
}

static uint64_t read_rest(struct live_owners *f, struct folkmoot_result *result)
{
    uint64_t rows = 0, more;

    while ((more = next(f, result)) != 0)
        rows += more;
    return rows;
}

static void results_of_one_handle_are_read_in_turn(void **state)
{
    struct live_owners *f = *state;
    struct folkmoot_result *results[3] = {ask(f, ALL), ask(f, MADE),
                                          ask(f, ALL " WHERE id < 100000")};
    uint64_t rows[3] = {0}, more = 1;

    while (more != 0) {
        more = 0;
        for (uint32_t i = 0; i < 3; i++) {
            uint64_t here = next(f, results[i]);
            rows[i] += here;
            more += here;
        }
    }
    for (uint32_t i = 0; i < 3; i++)
        folkmoot_result_free(results[i]);
    assert_int_equal(rows[0], ROWS);
    assert_int_equal(rows[1], ROWS);
    assert_int_equal(rows[2], 100000);
}

static void results_may_be_left_at_any_batch(void **state)
{
    struct live_owners *f = *state;

    for (uint32_t batches = 0; batches < 4; batches++) {
        struct folkmoot_result *other = ask(f, "SELECT count(*) AS n FROM alpha.items");
        struct folkmoot_result *result = ask(f, batches % 2 == 0 ? ALL : MADE);
        for (uint32_t i = 0; i < batches; i++)
            assert_true(next(f, result) > 0);
        folkmoot_result_free(result);
        assert_int_equal(read_rest(f, other), 1);
        folkmoot_result_free(other);
    }
}

/* A statement of which one batch was read, then nothing, then the rest. */
static void leave_unread(struct live_owners *f, const char *sql)
{
    static const struct timespec pause = {.tv_sec = SETTLE_MS / 1000,
                                          .tv_nsec = SETTLE_MS % 1000 * 1000000};
    struct folkmoot_result *result = ask(f, sql);

    assert_int_equal(read_rest(f, result), ROWS); /* All is in the caches now. */
    folkmoot_result_free(result);
    struct live_usage owner = live_usage(f->alpha->pid), asked = live_usage(f->asked->pid);
    result = ask(f, sql);
    uint64_t rows = next(f, result);
    assert_in_range(rows, 1, ROWS / 10);
    (void)nanosleep(&pause, NULL); /* Nothing can be waited for: nothing is to happen. */
    struct live_usage owner_now = live_usage(f->alpha->pid), asked_now = live_usage(f->asked->pid);
    live_assert_growth(&owner, &owner_now, HELD_MIB);
    live_assert_growth(&asked, &asked_now, HELD_MIB);
    assert_int_equal(rows + read_rest(f, result), ROWS);
    folkmoot_result_free(result);
}

static void unread_results_hold_both_nodes_back(void **state)
{
    leave_unread(*state, ALL);
    leave_unread(*state, MADE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_of_one_handle_are_read_in_turn),
        cmocka_unit_test(results_may_be_left_at_any_batch),
        cmocka_unit_test(unread_results_hold_both_nodes_back),
    };

    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
