/* A child appends by a known schedule and acknowledges over a pipe; the parent kills it at random
 * moments, a dozen times, with FM_LONG=1 thousands. Every acknowledged fact is there once, no other
 * is half there, roots match, and doctor is content. */
#include "storage/check.h"
#include "tests/support/proof_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 12
#define ROUNDS_LONG 1000
#define ROWS_A_STORE 250000u /* Then a new one. */
#define ROWS_MAX 400000u

/* What the child tells after each commit. */
struct ack {
    uint64_t size;
    struct fm_hash root;
};

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_schema *schema;
    struct row *rows;
    struct ack last;
    struct random random;
};

static unsigned rounds(void)
{
    return getenv("FM_LONG") != NULL ? ROUNDS_LONG : ROUNDS;
}

static void make_store(const struct fixture *f)
{
    struct fm_store *store = store_open_good(f->dir);
    struct fm_error err;

    assert_int_equal(fm_store_define(store, f->schema, 1, &err), FM_OK);
    fm_store_close(store);
}

static int setup_with(void **state, unsigned flags)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(flags);
    f->rows = calloc(ROWS_MAX, sizeof *f->rows);
    assert_non_null(f->rows);
    for (uint64_t i = 0; i < ROWS_MAX; i++) {
        f->rows[i] = row_make(i);
        if ((flags & ROWS_KEYED) != 0)
            f->rows[i].id = (int64_t)(i * 7919 % 5000);
    }
    f->random.state = 20;
    make_store(f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_keyed(void **state)
{
    return setup_with(state, ROWS_KEYED);
}

static int setup_clustered(void **state)
{
    return setup_with(state, ROWS_CLUSTERED);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_schema_free(f->schema);
    free(f->rows);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* Rows of the append that begins with fact `size`: small and large in turn, the same in every
 * life. */
static size_t rows_at(uint64_t size)
{
    uint64_t mixed = (size + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    return mixed % 4 == 0 ? 2100 + mixed % 9000 : 1 + mixed % 50;
}

/* Hot rows become segments, and these larger ones, all the time. */
static void *seal_for_ever(void *store)
{
    for (;;) {
        enum fm_status status = fm_store_seal(store, "tests", "rows", NULL, NULL);

        if (status != FM_OK && status != FM_BUSY)
            _exit(5);
        status = fm_store_merge(store, "tests", "rows", NULL, NULL);
        if (status != FM_OK && status != FM_BUSY)
            _exit(6);
    }
}

static void start_sealing(struct fm_store *store)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, seal_for_ever, store) != 0)
        _exit(4);
}

/* The child: never returns. Its appends carry the size as the producer's sequence. */
static void append_for_ever(const struct fixture *f, int pipe_fd)
{
    struct fm_store_options open = store_options(f->dir);
    struct fm_store *store = NULL;
    struct fm_table_info info;
    uint64_t size;

    open.seal_in_background = true; /* Whatever else is done in the background, too. */
    if (fm_store_open(&open, &store, NULL) != FM_OK)
        _exit(6);
    info = rows_info(store);
    size = info.size;
    start_sealing(store);
    for (;;) {
        size_t count = rows_at(size);
        struct fm_append_options options = {.has_producer = true,
                                            .producer_sequence = size + 1,
                                            .has_expected = true,
                                            .expected_size = size};
        struct fm_appended appended;
        struct fm_error err;
        struct ack ack;

        if (size + count > ROWS_MAX)
            _exit(0);
        if (rows_append_with(store, f->schema, f->rows + size, count, &options, &appended, &err) !=
            FM_OK)
            _exit(2);
        ack = (struct ack){.size = appended.size, .root = appended.root};
        if (write(pipe_fd, &ack, sizeof ack) != (ssize_t)sizeof ack)
            _exit(3);
        size = appended.size;
    }
}

/* One life of the child, of random length. */
static void live_and_die(struct fixture *f)
{
    struct ack ack;
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
    while (read(ends[0], &ack, sizeof ack) == (ssize_t)sizeof ack)
        f->last = ack;
    (void)close(ends[0]);
}

static int by_id(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    return left->id < right->id ? -1 : left->id > right->id;
}

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    if (finding->severity == FM_CHECK_DAMAGE)
        (void)fprintf(stderr, "%s: %s\n", finding->part, finding->text);
}

static void examine(const struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir, .finding = print_finding};
    struct fm_check_result result = {0};
    struct fm_error err = {0};

    if (fm_store_check(&options, &result, &err) != FM_OK)
        fail_msg("doctor: %s", err.text);
    assert_int_equal(result.damage_count, 0);
}

static void check_rows(const struct fixture *f, struct fm_store *store, uint64_t size)
{
    struct row_list read = {0};
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err;
    size_t at = 0;

    assert_int_equal(fm_snapshot_open(store, &snapshot, &err), FM_OK);
    if (rows_scan(snapshot, NULL, &read, &err) != FM_OK)
        fail_msg("scan: %s", err.text);
    fm_snapshot_free(snapshot);
    if (f->schema->cluster_count > 0 && read.count > 0)
        qsort(read.rows, read.count, sizeof *read.rows, by_id);
    if (f->schema->key_count == 0) {
        assert_int_equal(read.count, size);
        rows_assert_equal(read.rows, f->rows, (size_t)size);
    } else {
        /* Ids come again every 5000 rows: the last 5000 are the latest. */
        uint64_t from = size < 5000 ? 0 : size - 5000;

        assert_int_equal(read.count, size - from);
        for (uint64_t i = from; i < size; i++)
            rows_assert_equal(&read.rows[at++], &f->rows[i], 1);
    }
    row_list_free(&read);
}

/* What was acknowledged is the beginning of what is there, and facts of both are in it. */
static void check_proofs(struct fixture *f, struct fm_store *store, const struct head *head)
{
    struct head last = {.size = f->last.size, .root = f->last.root};
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err;

    assert_int_equal(fm_snapshot_open(store, &snapshot, &err), FM_OK);
    if (last.size > 0)
        proof_check_heads(snapshot, &last, head);
    for (int i = 0; head->size > 0 && i < 10; i++)
        proof_check_fact(snapshot, random_next(&f->random) % head->size, head);
    if (head->size > 0)
        proof_check_fact(snapshot, head->size - 1, head);
    fm_snapshot_free(snapshot);
}

/* After a death: everything acknowledged, and beyond it at most the one append that was under way,
 * whole. The acknowledged root is that of the same prefix: the append under way is repeated, and
 * its answer is the same whether it was stored or not. */
static void check_survivor(struct fixture *f)
{
    struct fm_store *store = store_open_good(f->dir);
    struct fm_table_info info = rows_info(store);
    struct fm_append_options options = {.has_producer = true};
    struct fm_appended again;
    struct fm_error err;

    assert_true(info.size >= f->last.size);
    if (info.size != f->last.size)
        assert_int_equal(info.size, f->last.size + rows_at(f->last.size));
    else if (f->last.size > 0)
        assert_true(fm_hash_equal(&info.root, &f->last.root));
    check_rows(f, store, info.size);
    check_proofs(f, store, &(struct head){.size = info.size, .root = info.root});
    /* A retry of the append that ends there gets its acknowledgement, not a second copy. */
    if (info.size > 0) {
        uint64_t began = 0;

        while (began + rows_at(began) < info.size)
            began += rows_at(began);
        options.producer_sequence = began + 1;
        assert_int_equal(rows_append_with(store, f->schema, f->rows + began, rows_at(began),
                                          &options, &again, &err),
                         FM_OK);
        assert_int_equal(again.size, info.size);
        assert_true(fm_hash_equal(&again.root, &info.root));
    }
    f->last = (struct ack){.size = info.size, .root = info.root};
    fm_schema_free(info.schema);
    fm_store_close(store);
    proof_check_kept(f->dir, info.size);
}

static void kill_and_look(struct fixture *f)
{
    uint64_t survived = 0;

    for (unsigned round = 0; round < rounds(); round++) {
        if (f->last.size > ROWS_A_STORE) {
            store_remove(f->dir);
            make_store(f);
            f->last = (struct ack){0};
        }
        live_and_die(f);
        examine(f);
        check_survivor(f);
        survived += f->last.size;
    }
    print_message("%llu facts survived %u deaths\n", (unsigned long long)survived, rounds());
    assert_true(survived > 0);
}

static void test_killed_at_any_moment(void **state)
{
    kill_and_look(*state);
}

static void test_killed_with_keys(void **state)
{
    kill_and_look(*state);
}

static void test_killed_with_clustering(void **state)
{
    kill_and_look(*state);
}

/* ---- Many writers ---------------------------------------------------------------------------- */

#define WRITERS 8

/* What a writer tells: its rows have ids number * ROWS_MAX + 0, 1, ... */
struct writer_ack {
    int64_t writer;
    int64_t row;
};

struct crash_writer {
    const struct fixture *f;
    struct fm_store *store;
    int number;
    int64_t next;
    int pipe_fd;
};

/* The child's thread: rows of one, each its own append; commits share syncs with the others'. */
static void *append_ones(void *argument)
{
    struct crash_writer *w = argument;

    for (;; w->next++) {
        struct row row = row_make((uint64_t)w->next);
        struct fm_append_options options = {0};
        struct writer_ack ack = {w->number, w->next};
        struct fm_appended appended;
        struct fm_error err;

        row.id = w->number * (int64_t)ROWS_MAX + w->next;
        if (rows_append_with(w->store, w->f->schema, &row, 1, &options, &appended, &err) != FM_OK)
            _exit(2);
        if (write(w->pipe_fd, &ack, sizeof ack) != (ssize_t)sizeof ack)
            _exit(3);
    }
}

static void append_together(const struct fixture *f, const int64_t next[WRITERS], int pipe_fd)
{
    struct fm_store *store = store_open_good(f->dir);
    struct crash_writer writers[WRITERS];
    pthread_t threads[WRITERS];

    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct crash_writer){f, store, i, next[i], pipe_fd};
        if (pthread_create(&threads[i], NULL, append_ones, &writers[i]) != 0)
            _exit(4);
    }
    start_sealing(store);
    for (;;)
        (void)pause();
}

/* Of each writer: all that was acknowledged and at most one row more, in order, each once. */
static void check_writers(const struct fixture *f, int64_t next[WRITERS])
{
    struct fm_store *store = store_open_good(f->dir);
    struct row_list read = {0};
    int64_t found[WRITERS] = {0};

    rows_read(store, &read);
    for (size_t i = 0; i < read.count; i++) {
        int64_t writer = read.rows[i].id / ROWS_MAX;

        assert_true(writer >= 0 && writer < WRITERS);
        assert_int_equal(read.rows[i].id % ROWS_MAX, found[writer]++);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_true(found[i] == next[i] || found[i] == next[i] + 1);
        next[i] = found[i];
    }
    row_list_free(&read);
    fm_store_close(store);
}

static void test_killed_with_many_writers(void **state)
{
    struct fixture *f = *state;
    int64_t next[WRITERS] = {0};

    for (unsigned round = 0; round < rounds(); round++) {
        struct writer_ack ack;
        int ends[2];
        pid_t child;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
            append_together(f, next, ends[1]);
        (void)close(ends[1]);
        store_let_work(&f->random, ends[0]);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(ends[0], &ack, sizeof ack) == (ssize_t)sizeof ack)
            next[ack.writer] = ack.row + 1;
        (void)close(ends[0]);
        examine(f);
        check_writers(f, next);
    }
    assert_true(next[0] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_with_keys, setup_keyed, teardown),
        cmocka_unit_test_setup_teardown(test_killed_with_clustering, setup_clustered, teardown),
        cmocka_unit_test_setup_teardown(test_killed_with_many_writers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
