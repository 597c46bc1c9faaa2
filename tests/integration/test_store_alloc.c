/* The n-th allocation of our own code fails, for n = 0, 1, 2, ... until the operation succeeds:
 * appends small and large, sealing, opening, scans and mappings of a store just opened. Nothing
 * crashes, what fails says so, nothing is stored by half or twice, and the store goes on. RocksDB's
 * own allocations succeed: its C++ does not survive without them. */
#include "tests/support/fail_alloc.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL_ROWS 30u
#define LARGE_ROWS 3000u
#define ROWS_MAX 60000u
#define IDS 2000u
#define ALLOCATIONS_MAX 20000u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    uint64_t producer_sequence;
    size_t count;
    struct row rows[ROWS_MAX];
    struct fm_error err;
};

static enum fm_status open_store(struct fixture *f)
{
    struct fm_store_options options = store_options(f->dir);

    options.arena_bytes = 64u << 20; /* So that decoded columns are kept. */
    return fm_store_open(&options, &f->store, &f->err);
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = NULL;
    if (open_store(f) != FM_OK)
        fail_msg("the store does not open: %s", f->err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(ROWS_KEYED | ROWS_SECRET);
    assert_int_equal(open_store(f), FM_OK);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)fail_alloc_stop(); /* A failed test may have left it armed. */
    fm_store_close(f->store);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* The latest row of each id, in order. */
static void check_rows(struct fixture *f)
{
    uint32_t latest[IDS];
    struct row_list read;
    size_t at = 0;

    rows_read(f->store, &read);
    for (size_t i = 0; i < f->count; i++)
        latest[f->rows[i].id] = (uint32_t)i;
    for (size_t i = 0; i < f->count; i++) {
        if (latest[f->rows[i].id] != i)
            continue;
        assert_true(at < read.count);
        rows_assert_equal(&read.rows[at++], &f->rows[i], 1);
    }
    assert_int_equal(at, read.count);
    row_list_free(&read);
}

/* ---- Appends --------------------------------------------------------------------------------- */

static enum fm_status append(struct fixture *f, const struct fm_batch *batch,
                             struct fm_appended *out)
{
    struct fm_append_options options = {.domain = "tests",
                                        .table = "rows",
                                        .schema_version = 1,
                                        .has_producer = true,
                                        .producer_sequence = f->producer_sequence};
    struct fm_append *append = NULL;
    bool done = false;
    enum fm_status status = fm_append_begin(f->store, &options, &append, &done, out, &f->err);

    if (status != FM_OK || done)
        return status;
    status = fm_append_rows(append, batch, &f->err);
    if (status == FM_OK)
        return fm_append_commit(append, out, &f->err);
    fm_append_abort(append);
    return status;
}

/* One append, tried until it succeeds with ever later failures; how many there were. */
static size_t append_until_stored(struct fixture *f, uint32_t rows)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended appended;
    struct fm_batch batch;
    size_t tries = 0;

    assert_true(f->count + rows <= ROWS_MAX);
    for (uint32_t i = 0; i < rows; i++) {
        f->rows[f->count + i] = row_make(f->count + i);
        f->rows[f->count + i].id = (int64_t)((f->count + i) * 7 % IDS);
    }
    rows_batch(f->schema, f->rows + f->count, rows, true, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    f->producer_sequence++;
    for (;; tries++) {
        assert_true(tries < ALLOCATIONS_MAX);
        fail_alloc_ours_after(tries);
        enum fm_status status = append(f, &batch, &appended);
        bool hit = fail_alloc_stop();
        if (status == FM_OK)
            break;
        assert_true(hit);
        if (status == FM_IO) /* Unknown whether it is stored: the next opening tells. */
            reopen(f);
        else
            assert_int_equal(status, FM_NOMEM);
        if (tries % 64 == 0)
            check_rows(f);
    }
    f->count += rows;
    assert_int_equal(appended.size, f->count);
    assert_int_equal(appended.rows, rows);
    fm_buf_free(&bytes);
    return tries;
}

static void sweep_appends(struct fixture *f, uint32_t rows)
{
    size_t tries = 0;

    if (!fail_alloc_available())
        skip();
    for (int i = 0; i < 3; i++) /* Into an empty table; beside others; over what others hold. */
        tries += append_until_stored(f, rows);
    check_rows(f);
    reopen(f);
    check_rows(f);
    print_message("%zu failures\n", tries);
    assert_true(tries > 20);
}

static void test_small_append(void **state)
{
    sweep_appends(*state, SMALL_ROWS);
}

static void test_large_append(void **state)
{
    sweep_appends(*state, LARGE_ROWS);
}

/* ---- Sealing --------------------------------------------------------------------------------- */

static uint64_t hot_rows(struct fixture *f)
{
    struct fm_table_info info = rows_info(f->store);

    fm_schema_free(info.schema);
    return info.hot_rows;
}

static void append_hot(struct fixture *f)
{
    assert_true(f->count + SMALL_ROWS <= ROWS_MAX);
    for (uint32_t i = 0; i < SMALL_ROWS; i++) {
        f->rows[f->count + i] = row_make(f->count + i);
        f->rows[f->count + i].id = (int64_t)((f->count + i) * 7 % IDS);
    }
    rows_append(f->store, f->schema, f->rows + f->count, SMALL_ROWS, NULL);
    f->count += SMALL_ROWS;
}

static void test_sealing(void **state)
{
    struct fixture *f = *state;
    size_t tries = 0;
    bool hit = true;

    if (!fail_alloc_available())
        skip();
    for (; hit; tries++) {
        uint64_t hot = hot_rows(f), rows = 0;

        assert_true(tries < ALLOCATIONS_MAX);
        for (; hot < 6 * SMALL_ROWS; hot += SMALL_ROWS)
            append_hot(f);
        fail_alloc_ours_after(tries);
        enum fm_status status = fm_store_seal(f->store, "tests", "rows", &rows, &f->err);
        hit = fail_alloc_stop();
        if (status == FM_OK)
            assert_int_equal(rows, hot);
        else if (status == FM_IO) /* Unknown whether it is stored: the next opening tells. */
            reopen(f);
        else if (status != FM_NOMEM)
            fail_msg("failure %zu: %s: %s", tries, fm_status_text(status), f->err.text);
        assert_true(status == FM_OK || hit);
        check_rows(f);
    }
    assert_int_equal(hot_rows(f), 0);
    reopen(f);
    check_rows(f);
    print_message("%zu failures\n", tries - 1);
    assert_true(tries > 20);
}

static uint64_t segments(struct fixture *f)
{
    struct fm_table_info info = {0};

    assert_int_equal(fm_store_table(f->store, "tests", "rows", &info), FM_OK);
    fm_schema_free(info.schema);
    return info.segment_count;
}

/* An empty store, so that what is merged does not grow with each try. */
static void start_over(struct fixture *f)
{
    fm_store_close(FM_TAKE(f->store));
    store_dir_remove(f->dir);
    store_dir_make(f->dir);
    f->count = 0;
    assert_int_equal(open_store(f), FM_OK);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
}

static void test_merging(void **state)
{
    struct fixture *f = *state;
    size_t tries = 0;
    bool hit = true;

    if (!fail_alloc_available())
        skip();
    for (; hit; tries++) {
        assert_true(tries < ALLOCATIONS_MAX);
        if (segments(f) < 3)
            start_over(f);
        while (segments(f) < 3) {
            for (int i = 0; i < 6; i++)
                append_hot(f);
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        }
        fail_alloc_ours_after(tries);
        enum fm_status status = fm_store_merge(f->store, "tests", "rows", NULL, &f->err);
        hit = fail_alloc_stop();
        if (status == FM_OK)
            assert_int_equal(segments(f), 1);
        else if (status == FM_IO) /* Unknown whether it is stored: the next opening tells. */
            reopen(f);
        else if (status != FM_NOMEM)
            fail_msg("failure %zu: %s: %s", tries, fm_status_text(status), f->err.text);
        assert_true(status == FM_OK || hit);
        check_rows(f);
    }
    reopen(f);
    check_rows(f);
    print_message("%zu failures\n", tries - 1);
    assert_true(tries > 20);
}

/* ---- Opening and reading --------------------------------------------------------------------- */

static void fill(struct fixture *f)
{
    static const uint32_t counts[] = {LARGE_ROWS, SMALL_ROWS, LARGE_ROWS, SMALL_ROWS};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (uint32_t row = 0; row < counts[i]; row++) {
            f->rows[f->count + row] = row_make(f->count + row);
            f->rows[f->count + row].id = (int64_t)((f->count + row) * 3 % IDS);
        }
        rows_append(f->store, f->schema, f->rows + f->count, counts[i], NULL);
        f->count += counts[i];
    }
}

/* All rows of one column. */
static enum fm_status drain(struct fixture *f, struct fm_scan *scan, uint64_t *rows)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status;

    while ((status = fm_scan_next(scan, &bytes, &f->err)) == FM_OK) {
        *rows += fm_load32(bytes.data + 8);
        fm_buf_clear(&bytes);
    }
    fm_buf_free(&bytes);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status scan_once(struct fixture *f, struct fm_snapshot *snapshot, bool past,
                                uint64_t *rows)
{
    static const uint32_t fields[] = {1, 4, 0};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 3, .fields = fields};
    struct fm_scan *scan = NULL;

    if (past)
        options.at = (struct fm_at){FM_AT_VERSION, (int64_t)f->count};
    enum fm_status status = fm_scan_open(snapshot, &options, &scan, &f->err);
    if (status == FM_OK)
        status = drain(f, scan, rows);
    fm_scan_free(scan);
    return status;
}

static enum fm_status map_once(struct fixture *f, struct fm_snapshot *snapshot, uint64_t *rows)
{
    static const uint32_t fields[] = {1, 2};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 2, .fields = fields};
    struct fm_store_mapping mapping = {0};
    enum fm_status status = fm_snapshot_map(snapshot, &options, &mapping, &f->err);

    if (status != FM_OK)
        return status;
    *rows += mapping_rows(&mapping);
    if (mapping.rest != NULL)
        status = drain(f, mapping.rest, rows);
    fm_store_mapping_deinit(&mapping);
    return status;
}

enum reading { OPENING, SCAN, PAST, MAPPING };

static enum fm_status read_once(struct fixture *f, enum reading reading, uint64_t *rows)
{
    struct fm_snapshot *snapshot = NULL;
    enum fm_status status = FM_OK;

    *rows = 0;
    if (reading == OPENING) {
        *rows = IDS; /* Nothing is read. */
        return open_store(f);
    }
    status = fm_snapshot_open(f->store, &snapshot, &f->err);
    if (status == FM_OK)
        status = reading == MAPPING ? map_once(f, snapshot, rows)
                                    : scan_once(f, snapshot, reading == PAST, rows);
    fm_snapshot_free(snapshot);
    return status;
}

/* Each try is on a store just opened, so that nothing is decoded yet. */
static void sweep_reading(struct fixture *f, enum reading reading)
{
    size_t tries = 0;

    if (!fail_alloc_available())
        skip();
    fill(f);
    for (;; tries++) {
        uint64_t rows;

        assert_true(tries < ALLOCATIONS_MAX);
        fm_store_close(f->store);
        f->store = NULL;
        if (reading != OPENING)
            assert_int_equal(open_store(f), FM_OK);
        fail_alloc_ours_after(tries);
        enum fm_status status = read_once(f, reading, &rows);
        bool hit = fail_alloc_stop();
        if (status == FM_OK)
            assert_int_equal(rows, IDS);
        else if (status != FM_NOMEM) /* Damage, for one, would send the user to a backup. */
            fail_msg("failure %zu: %s: %s", tries, fm_status_text(status), f->err.text);
        if (!hit)
            break;
        if (f->store == NULL)
            assert_int_equal(open_store(f), FM_OK);
        check_rows(f); /* What a failure left behind is no harm. */
    }
    print_message("%zu failures\n", tries);
    assert_true(tries > 5);
}

static void test_opening(void **state)
{
    sweep_reading(*state, OPENING);
}

static void test_scan(void **state)
{
    sweep_reading(*state, SCAN);
}

static void test_scan_of_the_past(void **state)
{
    sweep_reading(*state, PAST);
}

static void test_mapping(void **state)
{
    sweep_reading(*state, MAPPING);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_small_append), TEST(test_large_append),     TEST(test_opening),
        TEST(test_scan),         TEST(test_scan_of_the_past), TEST(test_mapping),
        TEST(test_sealing),      TEST(test_merging),
    };

    /* Nothing is cut off here: memory does for a disk. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* Else on the disk. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
