/* Backups of a store while threads append to it and hot rows are sealed: each is a prefix of what
 * the store holds in the end, nothing acknowledged before is missing, nothing in it was not synced,
 * and it restores. */
#include "storage/backup.h"
#include "storage/checkpoint.h"
#include "tests/support/store_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITERS 4
#define ROUNDS 3
#define ROUNDS_LONG 100
#define ROWS_LARGE 2500u
#define PATH_BYTES (STORE_DIR_MAX + 64u)

struct fixture {
    char dir[STORE_DIR_MAX];
    char copy[PATH_BYTES];    /* The checkpoint. */
    char backups[PATH_BYTES]; /* Backups of it. */
    char back[PATH_BYTES];    /* A store restored from one. */
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[ROWS_LARGE];
    atomic_bool stop;
    atomic_int failures;
    atomic_uint_fast64_t acknowledged; /* The largest size of the log. */
    struct fm_check_table table;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_store_options options;

    assert_non_null(f);
    store_dir_make(f->dir);
    (void)snprintf(f->copy, sizeof f->copy, "%s/" FM_CHECKPOINT_FOLDER, f->dir); /* Fit. */
    (void)snprintf(f->backups, sizeof f->backups, "%s.backups", f->dir);
    (void)snprintf(f->back, sizeof f->back, "%s.back", f->dir);
    options = store_options(f->dir);
    options.seal_in_background = true;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    f->schema = rows_schema(ROWS_KEYED);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (uint64_t i = 0; i < ROWS_LARGE; i++)
        f->rows[i] = row_make(i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static uint64_t size_of(struct fm_store *store)
{
    struct fm_table_info info = rows_info(store);

    fm_schema_free(info.schema);
    return info.size;
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* ---- Writers --------------------------------------------------------------------------------- */

struct writer {
    struct fixture *f;
    unsigned number;
};

/* No assertions: they work in the test's own thread only. */
static void *write_rows(void *argument)
{
    const struct writer *w = argument;
    struct fixture *f = w->f;

    for (unsigned i = 0; !atomic_load(&f->stop); i++) {
        struct fm_append_options options = {0};
        struct fm_appended out = {0};
        struct fm_error err = {0};
        size_t count = (i + w->number) % 40 == 7 ? ROWS_LARGE : 1 + (i * 7 + w->number) % 60;
        uint_fast64_t before = atomic_load(&f->acknowledged);

        if (rows_append_with(f->store, f->schema, f->rows, count, &options, &out, &err) != FM_OK) {
            (void)fprintf(stderr, "append: %s\n", err.text);
            atomic_fetch_add(&f->failures, 1);
            return NULL;
        }
        while (before < out.size &&
               !atomic_compare_exchange_weak(&f->acknowledged, &before, out.size))
            continue;
    }
    return NULL;
}

/* ---- Backups --------------------------------------------------------------------------------- */

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    (void)fprintf(stderr, "%s: %s\n", finding->part, finding->text);
}

/* Keeps the table in the fixture; a head is a note of any form here. */
static enum fm_status take_head(void *context, const struct fm_check_table *table,
                                struct fm_buf *note, struct fm_error *err)
{
    struct fixture *f = context;

    (void)err;
    f->table = *table;
    fm_buf_put(note, &table->root, sizeof table->root);
    return FM_OK;
}

static enum fm_status verify_head(void *context, const struct fm_check_table *table,
                                  struct fm_span note, struct fm_error *err)
{
    const struct fixture *f = context;

    (void)err;
    return table->size == f->table.size && fm_hash_equal(&table->root, &f->table.root) &&
                   fm_span_equal(note, fm_span(&table->root, sizeof table->root))
               ? FM_OK
               : FM_FORGED;
}

static void back_up(struct fixture *f, struct fm_backup_result *out)
{
    struct fm_backup_options options = {
        .dir = f->copy,
        .folder = f->backups,
        .context = f,
        .finding = print_finding,
        .sign = take_head,
    };

    if (fm_store_backup(&options, out, &f->err) != FM_OK)
        fail_msg("backup: %s", f->err.text);
    assert_int_equal(out->table_count, 1);
    assert_true(f->table.is_whole);
}

static void restore(struct fixture *f, const struct fm_backup_result *backup)
{
    struct fm_restore_options options = {.from = f->backups,
                                         .dir = f->back,
                                         .context = f,
                                         .finding = print_finding,
                                         .verify = verify_head};
    struct fm_restore_result result = {0};

    if (fm_store_restore(&options, &result, &f->err) != FM_OK)
        fail_msg("restore: %s", f->err.text);
    assert_int_equal(result.commit, backup->commit);
    assert_int_equal(result.facts, f->table.size);
    store_remove(f->back);
}

/* The live store's log begins with what the backup has. */
static void expect_prefix(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;
    struct fm_table_info info;
    struct fm_proof proof;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_snapshot_table(snapshot, "tests", "rows", &info), FM_OK);
    assert_true(f->table.size <= info.size);
    assert_int_equal(fm_snapshot_consistency(snapshot, "tests", "rows", f->table.size, info.size,
                                             &proof, &f->err),
                     FM_OK);
    assert_int_equal(
        fm_proof_check_consistency(&proof, f->table.size, &f->table.root, info.size, &info.root),
        FM_OK);
    fm_schema_free(info.schema);
    fm_snapshot_free(snapshot);
}

static void look_once(struct fixture *f)
{
    uint64_t before = atomic_load(&f->acknowledged), synced;
    struct fm_checkpoint checkpoint;
    struct fm_backup_result result;

    if (fm_store_checkpoint(f->store, &checkpoint, &f->err) != FM_OK)
        fail_msg("checkpoint: %s", f->err.text);
    synced = size_of(f->store);
    back_up(f, &result);
    assert_int_equal(result.commit, checkpoint.commit);
    assert_true(f->table.size >= before && f->table.size <= synced);
    if (fm_store_drop_checkpoint(f->store, &f->err) != FM_OK)
        fail_msg("drop: %s", f->err.text);
    assert_int_equal(access(f->copy, F_OK), -1);
    expect_prefix(f);
    restore(f, &result);
}

static void backups_beside_appends(void **state)
{
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    unsigned rounds = getenv("FM_LONG") != NULL ? ROUNDS_LONG : ROUNDS;
    uint64_t last = 0;

    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, &writers[i]), 0);
    }
    for (unsigned i = 0; i < rounds; i++) {
        look_once(f);
        assert_true(f->table.size >= last);
        last = f->table.size;
    }
    atomic_store(&f->stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&f->failures), 0);
    expect_prefix(f);
    assert_true(size_of(f->store) > ROWS_LARGE);
    assert_int_equal(size_of(f->store), atomic_load(&f->acknowledged));
    reopen(f); /* Appends met no harm either. */
    expect_prefix(f);
}

/* ---- Incremental ----------------------------------------------------------------------------- */

static void second_backup_copies_little(void **state)
{
    struct fixture *f = *state;
    struct fm_backup_result first, second;
    struct fm_checkpoint checkpoint;

    for (unsigned i = 0; i < 20; i++)
        rows_append(f->store, f->schema, f->rows, ROWS_LARGE, NULL);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_OK);
    back_up(f, &first);
    assert_int_equal(fm_store_drop_checkpoint(f->store, &f->err), FM_OK);
    assert_true(first.linked_count >= 3); /* Links to the store's own files. */
    rows_append(f->store, f->schema, f->rows, 10, NULL);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_OK);
    back_up(f, &second);
    assert_int_equal(fm_store_drop_checkpoint(f->store, &f->err), FM_OK);
    assert_true(second.linked_count > first.linked_count);
    assert_true(second.copied_bytes < second.bytes / 4);
    restore(f, &second);
}

/* ---- One at a time, and none is left --------------------------------------------------------- */

static void checkpoints_are_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct fm_checkpoint checkpoint;
    int lock;

    rows_append(f->store, f->schema, f->rows, 10, NULL);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_OK);
    assert_int_equal(checkpoint.commit, 2);
    /* Whoever made it has not locked it yet. */
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_BUSY);
    fm_store_tidy_checkpoint(f->store);
    lock = open(f->copy, O_RDONLY | O_DIRECTORY);
    assert_true(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0);
    assert_int_equal(fm_store_drop_checkpoint(f->store, &f->err), FM_BUSY);
    reopen(f); /* What is in use stays. */
    assert_int_equal(access(f->copy, F_OK), 0);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_BUSY);
    assert_int_equal(close(lock), 0);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_OK);
    assert_int_equal(checkpoint.commit, 2);
    reopen(f); /* What is not, goes. */
    assert_int_equal(access(f->copy, F_OK), -1);
    assert_int_equal(fm_store_drop_checkpoint(f->store, &f->err), FM_OK);
}

static void an_empty_store_has_checkpoints(void **state)
{
    struct fixture *f = *state;
    struct fm_checkpoint checkpoint;
    struct fm_backup_result result;

    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_OK);
    back_up(f, &result);
    assert_int_equal(f->table.size, 0);
    restore(f, &result);
}

static void refusals_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_checkpoint checkpoint;

    rows_append(f->store, f->schema, f->rows, 10, NULL);
    fm_store_close(f->store);
    options.free_bytes_min = UINT64_MAX / 2;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_LIMIT);
    fm_store_close(f->store);
    options = store_options(f->dir);
    options.read_only = true;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    assert_int_equal(fm_store_checkpoint(f->store, &checkpoint, &f->err), FM_REFUSED);
    assert_int_equal(access(f->copy, F_OK), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(backups_beside_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(second_backup_copies_little, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_are_one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_store_has_checkpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_leave_nothing, setup, teardown),
    };

    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* No power is cut here. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
