/* How a program reads results: several in turn over one handle, not to their ends, slowly. A result
 * asks for its next batch before it is wanted, which must cost nobody rows nor bounds. */
#include "include/folkmoot.h"
#include "tests/support/live_mesh.h"

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

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha; /* The owner. */
    struct live_node *beta;  /* Asked. */
    struct folkmoot *handle;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char error[FOLKMOOT_ERROR_MAX], path[LIVE_PATH_MAX];

    if (f == NULL)
        return -1;
    f->mesh = live_mesh_new();
    f->alpha = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_start(f->mesh, f->beta);
    live_publish(f->mesh, f->alpha, ROWS);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->beta, 2, 1);
    struct folkmoot_options options = {.node = f->beta->address,
                                       .identity = live_path(f->mesh, "reader", path)};
    if (folkmoot_open(&options, &f->handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    folkmoot_close(f->handle);
    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

static void must(struct fixture *f, enum folkmoot_status status)
{
    if (status != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(f->handle));
}

static struct folkmoot_result *ask(struct fixture *f, const char *sql)
{
    struct folkmoot_result *result = NULL;

    must(f, folkmoot_query(f->handle, sql, strlen(sql), NULL, &result));
    return result;
}

/* Rows of the next batch; 0 at the end, which is verified. */
static uint64_t next(struct fixture *f, struct folkmoot_result *result)
{
    must(f, folkmoot_result_next(result));
    return folkmoot_result_rows(result);
}

static uint64_t read_rest(struct fixture *f, struct folkmoot_result *result)
{
    uint64_t rows = 0, more;

    while ((more = next(f, result)) != 0)
        rows += more;
    return rows;
}

static void results_of_one_handle_are_read_in_turn(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;

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
static void leave_unread(struct fixture *f, const char *sql)
{
    static const struct timespec pause = {.tv_sec = SETTLE_MS / 1000,
                                          .tv_nsec = SETTLE_MS % 1000 * 1000000};
    struct folkmoot_result *result = ask(f, sql);

    assert_int_equal(read_rest(f, result), ROWS); /* All is in the caches now. */
    folkmoot_result_free(result);
    struct live_usage owner = live_usage(f->alpha->pid), asked = live_usage(f->beta->pid);
    result = ask(f, sql);
    uint64_t rows = next(f, result);
    assert_in_range(rows, 1, ROWS / 10);
    (void)nanosleep(&pause, NULL); /* Nothing can be waited for: nothing is to happen. */
    struct live_usage owner_now = live_usage(f->alpha->pid), asked_now = live_usage(f->beta->pid);
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

    return cmocka_run_group_tests(tests, setup, teardown);
}
