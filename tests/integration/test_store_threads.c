/* Writers of several tables and of the same one, readers, mappings and records beside each
 * other. */
#include "tests/support/store_support.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ROWS 2500u
#define APPENDS 25

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schemas[2];
    struct row rows[ROWS];
    atomic_int writing;
    atomic_int failures;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_error err;

    assert_non_null(f);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    for (int i = 0; i < 2; i++) {
        f->schemas[i] = rows_schema(i == 0 ? ROWS_KEYED : 0);
        (void)snprintf(f->schemas[i]->table, sizeof f->schemas[i]->table,
                       i == 0 ? "rows" : "others");
        assert_int_equal(fm_store_define(f->store, f->schemas[i], 1, &err), FM_OK);
    }
    for (uint64_t i = 0; i < ROWS; i++)
        f->rows[i] = row_make(i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schemas[0]);
    fm_schema_free(f->schemas[1]);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* Threads do not use cmocka's assertions: those only work in the thread that runs the test. */
static void expect(struct fixture *f, bool good)
{
    if (!good)
        atomic_fetch_add(&f->failures, 1);
}

struct writer {
    struct fixture *f;
    int table;
    int number;
};

static void *write_rows(void *argument)
{
    struct writer *w = argument;
    struct fixture *f = w->f;

    for (int i = 0; i < APPENDS; i++) {
        struct fm_append_options options = {.has_producer = true,
                                            .producer_id = {(uint8_t)w->number},
                                            .producer_sequence = (uint64_t)i};
        size_t count = i % 5 == 4 ? ROWS : 10u + (unsigned)i;
        struct fm_appended appended;
        struct fm_error err;
        uint8_t key[2] = {(uint8_t)w->number, (uint8_t)i};

        expect(f, rows_append_with(f->store, f->schemas[w->table], f->rows, count, &options,
                                   &appended, &err) == FM_OK);
        expect(f, appended.rows == count && appended.first_sequence + count == appended.size);
        expect(f, fm_store_put_record(f->store, fm_span(key, 2), fm_span(key, 2), &err) == FM_OK);
    }
    atomic_fetch_sub(&f->writing, 1);
    return NULL;
}

/* Rows of one column of a scan. */
static uint64_t count_rows(struct fm_scan *scan, struct fixture *f)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_error err;
    uint64_t rows = 0;
    enum fm_status status;

    while ((status = fm_scan_next(scan, &bytes, &err)) == FM_OK) {
        rows += fm_load32(bytes.data + 8);
        fm_buf_clear(&bytes);
    }
    expect(f, status == FM_NOTFOUND);
    fm_buf_free(&bytes);
    return rows;
}

/* Proofs of some fact and some size, against the root that the snapshot states. */
static void prove_once(struct fixture *f, struct fm_snapshot *snapshot, const char *table,
                       const struct fm_table_info *info, uint64_t number)
{
    uint64_t sequence = info->size == 0 ? 0 : number * 7919 % info->size;
    struct fm_buf leaf = FM_BUF_INIT(0);
    struct fm_proof proof;
    struct fm_hash hash;
    struct fm_error err;

    if (info->size == 0)
        return;
    expect(f, fm_snapshot_leaf(snapshot, "tests", table, sequence, &leaf, &err) == FM_OK);
    fm_leaf_hash(&hash, fm_buf_span(&leaf));
    fm_buf_free(&leaf);
    expect(f, fm_snapshot_inclusion(snapshot, "tests", table, sequence, info->size, &proof, &err) ==
                  FM_OK);
    expect(f, fm_proof_check_inclusion(&proof, &hash, sequence, info->size, &info->root) == FM_OK);
    expect(f, fm_snapshot_consistency(snapshot, "tests", table, sequence, info->size, &proof,
                                      &err) == FM_OK);
}

/* What a snapshot says about itself is what it gives, by a scan and by a mapping. */
static void look_once(struct fixture *f, const char *table, int64_t version)
{
    static const uint32_t fields[] = {1, 0};
    struct fm_scan_options options = {
        .domain = "tests", .table = table, .field_count = 2, .fields = fields};
    struct fm_store_mapping mapping = {0};
    struct fm_snapshot *snapshot = NULL;
    struct fm_table_info info = {0};
    struct fm_columns columns = {0};
    struct fm_scan *scan = NULL;
    struct fm_error err;
    uint64_t rows = 0;

    expect(f, fm_snapshot_open(f->store, &snapshot, &err) == FM_OK);
    expect(f, fm_snapshot_table(snapshot, "tests", table, &info) == FM_OK);
    expect(f, fm_snapshot_columns(snapshot, "tests", table, &columns) == FM_OK);
    prove_once(f, snapshot, table, &info, (uint64_t)version);
    expect(f, fm_scan_open(snapshot, &options, &scan, &err) == FM_OK);
    expect(f, count_rows(scan, f) == info.rows_latest);
    fm_scan_free(scan);
    expect(f, fm_snapshot_map(snapshot, &options, &mapping, &err) == FM_OK);
    for (uint32_t i = 0; i < mapping.segment_count; i++)
        rows += mapping.segments[i].rows;
    if (mapping.rest != NULL)
        rows += count_rows(mapping.rest, f);
    expect(f, rows == info.rows_latest);
    fm_store_mapping_deinit(&mapping);
    options.at = (struct fm_at){FM_AT_VERSION, version < (int64_t)info.size ? version : 0};
    expect(f, fm_scan_open(snapshot, &options, &scan, &err) == FM_OK);
    fm_snapshot_free(snapshot); /* The scan goes on without it. */
    rows = count_rows(scan, f);
    expect(f, rows <= (uint64_t)options.at.value);
    fm_scan_free(scan);
    fm_columns_deinit(&columns);
    fm_schema_free(info.schema);
}

static void *read_rows(void *argument)
{
    struct fixture *f = argument;
    int64_t version = 1;

    do {
        look_once(f, "rows", version);
        look_once(f, "others", version);
        version = version * 3 % 10007;
    } while (atomic_load(&f->writing) > 0);
    return NULL;
}

static void test_writers_and_readers(void **state)
{
    struct fixture *f = *state;
    struct writer writers[3] = {{f, 0, 0}, {f, 1, 1}, {f, 0, 2}};
    pthread_t threads[5];
    uint64_t rows = 0;

    atomic_store(&f->writing, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, &writers[i]), 0);
    for (size_t i = 3; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_rows, f), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&f->failures), 0);
    for (int i = 0; i < APPENDS; i++)
        rows += i % 5 == 4 ? ROWS : 10u + (unsigned)i;
    struct fm_table_info info = rows_info(f->store);
    assert_int_equal(info.size, 2 * rows);
    assert_int_equal(info.rows_latest, ROWS);
    fm_schema_free(info.schema);
}

/* Who has staged a large append has the table; another one is told after a while that it is busy,
 * and may go on once the first is gone. */
static void test_table_is_busy(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.domain = "tests", .table = "others", .schema_version = 1};
    struct fm_append_options none = {0};
    struct fm_append *append = NULL;
    struct fm_appended appended;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    struct fm_error err;
    bool done;

    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &appended, &err), FM_OK);
    rows_batch(f->schemas[1], f->rows, ROWS, true, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    /* More than a segment, so that something is staged. */
    for (int i = 0; i < 60; i++)
        assert_int_equal(fm_append_rows(append, &batch, &err), FM_OK);
    assert_int_equal(rows_append_with(f->store, f->schemas[1], f->rows, 1, &none, &appended, &err),
                     FM_BUSY);
    assert_int_equal(rows_append_with(f->store, f->schemas[0], f->rows, 1, &none, &appended, &err),
                     FM_OK);
    fm_append_abort(append);
    assert_int_equal(rows_append_with(f->store, f->schemas[1], f->rows, 1, &none, &appended, &err),
                     FM_OK);
    assert_int_equal(appended.first_sequence, 0);
    fm_buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writers_and_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_is_busy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
