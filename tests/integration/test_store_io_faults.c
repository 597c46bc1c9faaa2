/* The n-th write or sync of an operation fails, for n = 0, 1, 2, ... until the operation succeeds,
 * in each way a disk fails. Whatever was acknowledged is there after the next opening, the append
 * under way is there as a whole or not at all, and a store that goes on after a fault keeps what it
 * acknowledges. A child does the work: RocksDB as packaged ends the process after some failed
 * writes; nothing else may end it. */
#include "storage/check.h"
#include "storage/checkpoint.h"
#include "tests/support/fail_io.h"
#include "tests/support/store_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CALLS_MAX 2000

enum operation { OPEN, SMALL, LARGE, RECORD, SEAL, MERGE, CHECKPOINT };

struct fixture {
    char base[STORE_DIR_MAX];
    char trial[STORE_DIR_MAX + 8];
    unsigned aborts;
    unsigned trials;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->base);
    (void)snprintf(f->trial, sizeof f->trial, "%s.trial", f->base);
    history_make(f->base);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_dir_remove(f->base);
    free(f);
    return 0;
}

/* ---- The child ------------------------------------------------------------------------------- */

static enum fm_status operate(struct fm_store *store, enum operation operation)
{
    struct fm_checkpoint checkpoint;
    struct fm_error err = {0};
    enum fm_status status;

    switch (operation) {
    case SMALL:
        return history_append(store, HISTORY_SMALL, NULL, NULL, &err);
    case LARGE:
        return history_append(store, HISTORY_LARGE, NULL, NULL, &err);
    case RECORD:
        return fm_store_put_record(store, fm_span_str("more"), fm_span_str("value"), &err);
    case SEAL:
        return fm_store_seal(store, "tests", "rows", NULL, &err);
    case MERGE: /* Of what was there and what is sealed now. */
        status = fm_store_seal(store, "tests", "rows", NULL, &err);
        return status == FM_OK ? fm_store_merge(store, "tests", "rows", NULL, &err) : status;
    case CHECKPOINT:
        return fm_store_checkpoint(store, &checkpoint, &err);
    default:
        return FM_OK;
    }
}

/* Says: did the fault happen, the operation's status, that of one more append. */
static int child(const char *dir, enum operation operation, enum fail_io_kind kind, size_t count)
{
    struct fm_store_options options = store_options(dir);
    struct fm_store *store = NULL;
    struct fm_error err = {0};
    enum fm_status last = FM_UNAVAILABLE;

    if (fm_core_init(&err) != FM_OK)
        return 1;
    if (operation == OPEN)
        fail_io_after(kind, count);
    enum fm_status status = fm_store_open(&options, &store, &err);
    if (operation != OPEN) {
        if (status != FM_OK)
            return 1;
        fail_io_after(kind, count);
        status = operate(store, operation);
    }
    bool hit = fail_io_stop();
    if (store != NULL)
        last = history_append(store, HISTORY_LAST, NULL, NULL, &err);
    printf("%d %d %d\n", hit + fail_io_hit_here(), (int)status, (int)last);
    (void)fflush(stdout); /* The parent notices when nothing comes. */
    if (count % 2 == 0)
        fm_store_close(store);
    _exit(0); /* Every other one does not get to close. */
}

/* ---- The parent ------------------------------------------------------------------------------ */

struct outcome {
    bool said; /* The child lived to say what follows. */
    bool hit;
    bool hit_here; /* Not only in a compaction or the like. */
    enum fm_status status;
    enum fm_status last;
};

static struct outcome run(struct fixture *f, enum operation operation, enum fail_io_kind kind,
                          size_t count)
{
    char numbers[3][24], output[4096];
    const char *arguments[] = {"--child", f->trial, numbers[0], numbers[1], numbers[2], NULL};
    int said[3] = {0};

    (void)snprintf(numbers[0], sizeof numbers[0], "%d", (int)operation);
    (void)snprintf(numbers[1], sizeof numbers[1], "%d", (int)kind);
    (void)snprintf(numbers[2], sizeof numbers[2], "%zu", count);
    store_copy(f->base, f->trial);
    int status = history_run_child(arguments, output, sizeof output);
    /* A thread of RocksDB's that is about to end the process may have spoken before. */
    const char *assertion = strstr(output, "failed.\n");
    const char *line = assertion != NULL ? strchr(assertion, '\n') : output;
    struct outcome outcome = {.said = sscanf(line, "%d %d %d", &said[0], &said[1], &said[2]) == 3,
                              .hit = said[0] != 0,
                              .hit_here = said[0] == 2,
                              .status = (enum fm_status)said[1],
                              .last = (enum fm_status)said[2]};
    if (history_rocksdb_aborted(status, output))
        f->aborts++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !outcome.said)
        fail_msg("operation %d, fault %d, call %zu: wait status %d: %s", (int)operation, (int)kind,
                 count, status, output);
    f->trials++;
    return outcome;
}

static bool has_record(struct fm_store *store)
{
    struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = fm_store_get_record(store, fm_span_str("more"), &value);

    fm_buf_free(&value);
    assert_true(status == FM_OK || status == FM_NOTFOUND);
    return status == FM_OK;
}

/* A checkpoint that was given out is whole; the next opening removes any. */
static void check_checkpoint(const struct fixture *f, const struct outcome *outcome)
{
    char dir[STORE_DIR_MAX + 32];
    struct fm_check_options options = {.dir = dir};
    struct fm_check_result result = {0};
    struct fm_error err = {0};

    (void)snprintf(dir, sizeof dir, "%s/" FM_CHECKPOINT_FOLDER, f->trial); /* Fits. */
    if (outcome->said)
        assert_int_equal(access(dir, F_OK) == 0, outcome->status == FM_OK);
    if (outcome->said && outcome->status == FM_OK) {
        if (fm_store_check(&options, &result, &err) != FM_OK)
            fail_msg("the checkpoint: %s", err.text);
        assert_int_equal(result.damage_count, 0);
        assert_int_equal(result.table_count, 1);
    }
    fm_store_close(store_open_good(f->trial));
    assert_int_equal(access(dir, F_OK), -1);
}

/* What must be there, and what must not. */
static void check(struct fixture *f, enum operation operation, const struct outcome *outcome)
{
    struct fm_store *store = store_open_good(f->trial);
    unsigned present = history_check(store), base = (1u << HISTORY_BASE) - 1;
    unsigned tried = operation == SMALL   ? 1u << HISTORY_SMALL
                     : operation == LARGE ? 1u << HISTORY_LARGE
                                          : 0;
    bool acknowledged = outcome->said && outcome->status == FM_OK;

    assert_int_equal(present & base, base);
    assert_int_equal(present & ~(base | tried | 1u << HISTORY_LAST), 0);
    if (acknowledged)
        assert_int_equal(present & tried, tried);
    if (acknowledged && operation == RECORD)
        assert_true(has_record(store));
    if (outcome->said && outcome->last == FM_OK)
        assert_true((present & 1u << HISTORY_LAST) != 0);
    fm_store_close(store);
    store_remove(f->trial);
}

static void sweep(struct fixture *f, enum operation operation, enum fail_io_kind kind, size_t step)
{
    size_t count = 0;

    for (; count < CALLS_MAX; count += step) {
        struct outcome outcome = run(f, operation, kind, count);

        if (operation == CHECKPOINT)
            check_checkpoint(f, &outcome);
        check(f, operation, &outcome);
        if (outcome.said && !outcome.hit) {
            assert_int_equal(outcome.status, FM_OK);
            assert_int_equal(outcome.last, FM_OK);
            break;
        }
        if (kind == FAIL_IO_SHORT) { /* No fault for who writes in a loop. */
            assert_int_equal(outcome.status, FM_OK);
            assert_int_equal(outcome.last, FM_OK);
        } else if (outcome.said && outcome.hit_here && operation != OPEN &&
                   operation != CHECKPOINT) {
            /* All that their thread writes and syncs matters; what is stored is unknown then. */
            assert_int_not_equal(outcome.status, FM_OK);
        }
    }
    assert_true(count > 0 && count < CALLS_MAX);
}

/* Every call, but under the address sanitizer every third one, unless the long form is wanted. */
static size_t stride(void)
{
#ifdef __SANITIZE_ADDRESS__
    return getenv("FM_LONG") != NULL ? 1 : 3;
#else
    return 1;
#endif
}

static void sweep_all(struct fixture *f, enum operation operation)
{
    for (int kind = 0; kind < FAIL_IO_KINDS; kind++)
        sweep(f, operation, (enum fail_io_kind)kind, stride());
    print_message("%u faults, of which %u ended the process\n", f->trials, f->aborts);
}

static void test_small_append(void **state)
{
    sweep_all(*state, SMALL);
}

static void test_large_append(void **state)
{
    sweep_all(*state, LARGE);
}

static void test_record(void **state)
{
    sweep_all(*state, RECORD);
}

static void test_sealing(void **state)
{
    sweep_all(*state, SEAL);
}

static void test_merging(void **state)
{
    sweep_all(*state, MERGE);
}

static void test_checkpoint(void **state)
{
    struct fixture *f = *state;

    if (getenv("FM_LONG") != NULL) {
        sweep_all(f, CHECKPOINT);
        return;
    }
    sweep(f, CHECKPOINT, FAIL_IO_ERROR, 3);
    sweep(f, CHECKPOINT, FAIL_IO_FULL_ON, 5);
    print_message("%u faults, of which %u ended the process\n", f->trials, f->aborts);
}

static void test_opening(void **state)
{
    struct fixture *f = *state;

    if (getenv("FM_LONG") != NULL) {
        sweep_all(f, OPEN);
        return;
    }
    sweep(f, OPEN, FAIL_IO_ERROR, 4); /* Some of its many calls. */
    sweep(f, OPEN, FAIL_IO_FULL_SHORT, 5);
    print_message("%u faults, of which %u ended the process\n", f->trials, f->aborts);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merging, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_opening, setup, teardown),
    };

    if (argc == 6 && strcmp(argv[1], "--child") == 0)
        return child(argv[2], (enum operation)strtol(argv[3], NULL, 10),
                     (enum fail_io_kind)strtol(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
    /* No power is cut here: memory does for a disk. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* Else on the disk. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
