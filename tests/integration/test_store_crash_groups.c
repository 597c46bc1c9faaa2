/* A child appends to two tables at once, waiting for the sync or not, and is killed at random
 * moments. There are always whole groups, and every one that was acknowledged: what a process gave
 * to the operating system outlives it. (What a power cut leaves is in unit/test_append_group.) */
#include "storage/check.h"
#include "tests/support/store_support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 10u
#define ROUNDS_LONG 1000u
#define GROUPS_MAX 400u /* Then a new store begins. */

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_schema *schemas[2]; /* tests.rows and, keyed, tests.more. */
    uint64_t groups;              /* Known to be stored. */
    struct random random;
    struct fm_error err;
};

static void make_store(struct fixture *f)
{
    struct fm_store *store = store_open_good(f->dir);

    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(fm_store_define(store, f->schemas[i], 1, &f->err), FM_OK);
    fm_store_close(store);
    f->groups = 0;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schemas[0] = rows_schema(0);
    f->schemas[1] = rows_schema(ROWS_KEYED);
    (void)snprintf(f->schemas[1]->table, sizeof f->schemas[1]->table, "more");
    f->random.state = 31;
    make_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_schema_free(f->schemas[0]);
    fm_schema_free(f->schemas[1]);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* Rows of a group for a table: some are so many that they are staged. */
static uint32_t rows_of(uint64_t group, uint32_t table)
{
    return group % 9 == 4 + table ? 2500 : 1 + (uint32_t)((group + table) % 5);
}

static uint64_t total_of(uint64_t groups, uint32_t table)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < groups; i++)
        total += rows_of(i, table);
    return total;
}

static enum fm_status begin_one(struct fixture *f, struct fm_store *store, uint64_t group,
                                uint32_t table, struct fm_append **out)
{
    struct fm_append_options options = {.domain = "tests",
                                        .table = f->schemas[table]->table,
                                        .schema_version = 1,
                                        .has_expected = true,
                                        .expected_size = total_of(group, table),
                                        .durability =
                                            group % 2 == 0 ? FM_DURABLE_MEMORY : FM_DURABLE_FSYNC};
    struct row rows[2500];
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended first;
    struct fm_batch batch;
    uint32_t count = rows_of(group, table);
    bool done = false;
    enum fm_status status;

    for (uint32_t i = 0; i < count; i++)
        rows[i] = row_make((group * 7 + i) % 3000);
    rows_batch(f->schemas[table], rows, count, true, &bytes);
    status = fm_append_begin(store, &options, out, &done, &first, &f->err);
    if (status == FM_OK)
        status = fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch);
    if (status == FM_OK)
        status = fm_append_rows(*out, &batch, &f->err);
    fm_buf_free(&bytes);
    return status;
}

/* The child: never returns. */
static void append_for_ever(struct fixture *f, int pipe_fd)
{
    struct fm_store *store = store_open_good(f->dir);

    for (uint64_t group = f->groups; group < GROUPS_MAX; group++) {
        struct fm_append *appends[2] = {NULL, NULL};
        struct fm_appended out[2];
        enum fm_status status = begin_one(f, store, group, 0, &appends[0]);
        uint64_t stored = group + 1;

        if (status == FM_OK)
            status = begin_one(f, store, group, 1, &appends[1]);
        if (status == FM_OK)
            status = fm_append_commit_many(appends, 2, out, &f->err);
        if (status != FM_OK)
            _exit(2);
        if (write(pipe_fd, &stored, sizeof stored) != (ssize_t)sizeof stored)
            _exit(3);
    }
    _exit(0);
}

static void live_and_die(struct fixture *f)
{
    uint64_t stored;
    int ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        append_for_ever(f, ends[1]);
    }
    (void)close(ends[1]);
    store_let_work(&f->random, ends[0]);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    while (read(ends[0], &stored, sizeof stored) == (ssize_t)sizeof stored)
        f->groups = stored;
    (void)close(ends[0]);
}

static void check_survivor(struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir};
    struct fm_check_result result = {0};
    struct fm_table_info info[2] = {{0}};
    struct fm_store *store;

    if (fm_store_check(&options, &result, &f->err) != FM_OK)
        fail_msg("doctor: %s", f->err.text);
    assert_int_equal(result.damage_count, 0);
    store = store_open_good(f->dir);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(fm_store_table(store, "tests", f->schemas[i]->table, &info[i]), FM_OK);
        fm_schema_free(info[i].schema);
    }
    if (info[0].size != total_of(f->groups, 0))
        f->groups++; /* Written, and killed before it was told. */
    assert_int_equal(info[0].size, total_of(f->groups, 0));
    assert_int_equal(info[1].size, total_of(f->groups, 1));
    fm_store_close(store);
}

static void test_killed_between_tables(void **state)
{
    struct fixture *f = *state;
    unsigned rounds = getenv("FM_LONG") != NULL ? ROUNDS_LONG : ROUNDS;
    uint64_t survived = 0;

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t before = f->groups;

        live_and_die(f);
        check_survivor(f);
        survived += f->groups - before;
        if (f->groups == GROUPS_MAX) {
            store_remove(f->dir);
            make_store(f);
        }
    }
    print_message("%llu groups survived %u deaths\n", (unsigned long long)survived, rounds);
    assert_true(survived > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_between_tables, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
