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
#include <time.h>

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
        f->schemas[i] = rows_schema(i == 0 ? ROWS_KEYED | ROWS_CLUSTERED : 0);
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
    rows = mapping_rows(&mapping);
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

/* Hot rows become segments, and these larger ones, all the time. */
static void *seal_rows(void *argument)
{
    struct fixture *f = argument;

    do {
        for (int i = 0; i < 2; i++) {
            const char *table = i == 0 ? "rows" : "others";
            enum fm_status status = fm_store_seal(f->store, "tests", table, NULL, NULL);

            expect(f, status == FM_OK || status == FM_BUSY);
            status = fm_store_merge(f->store, "tests", table, NULL, NULL);
            expect(f, status == FM_OK || status == FM_BUSY);
        }
    } while (atomic_load(&f->writing) > 0);
    return NULL;
}

static void test_writers_and_readers(void **state)
{
    struct fixture *f = *state;
    struct writer writers[3] = {{f, 0, 0}, {f, 1, 1}, {f, 0, 2}};
    pthread_t threads[6];
    uint64_t rows = 0;

    atomic_store(&f->writing, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, &writers[i]), 0);
    for (size_t i = 3; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_rows, f), 0);
    assert_int_equal(pthread_create(&threads[5], NULL, seal_rows, f), 0);
    for (size_t i = 0; i < 6; i++)
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

/* ---- Commits that share a sync --------------------------------------------------------------- */

#define SMALL_WRITERS 64
#define SMALL_APPENDS 12

struct small_writer {
    struct fixture *f;
    int number;
    bool seen[2 * SMALL_WRITERS * SMALL_APPENDS]; /* By sequence: acknowledged to this one. */
};

/* Rows of one, in turn to both tables; keys come again all the time. */
static void *write_small(void *argument)
{
    struct small_writer *w = argument;
    struct fixture *f = w->f;

    for (int i = 0; i < SMALL_APPENDS; i++) {
        struct fm_append_options options = {.has_producer = true,
                                            .producer_id = {(uint8_t)w->number},
                                            .producer_sequence = (uint64_t)i};
        int table = (w->number + i) % 2;
        struct fm_appended appended = {0};
        struct fm_appended again = {0};
        struct fm_table_info info = {0};
        struct fm_error err;

        expect(f, rows_append_with(f->store, f->schemas[table], &f->rows[w->number % 5], 1,
                                   &options, &appended, &err) == FM_OK);
        expect(f, appended.rows == 1 && appended.first_sequence + 1 == appended.size);
        expect(f, fm_store_table(f->store, "tests", f->schemas[table]->table, &info) == FM_OK);
        expect(f, info.size >= appended.size); /* What was acknowledged is there to be read. */
        fm_schema_free(info.schema);
        if (appended.first_sequence < SMALL_WRITERS * SMALL_APPENDS)
            w->seen[2 * appended.first_sequence + (unsigned)table] = true;
        if (i % 4 != 0)
            continue;
        expect(f, rows_append_with(f->store, f->schemas[table], &f->rows[w->number % 5], 1,
                                   &options, &again, &err) == FM_OK);
        expect(f, again.size == appended.size && fm_hash_equal(&again.root, &appended.root));
    }
    return NULL;
}

/* Two threads send the same append of one producer at once: it is stored once, and the second
 * acknowledgement is not given before the first one's sync. */
static void *write_same(void *argument)
{
    struct small_writer *w = argument;
    struct fixture *f = w->f;

    for (int i = 0; i < SMALL_APPENDS; i++) {
        struct fm_append_options options = {
            .has_producer = true, .producer_id = {0xee}, .producer_sequence = 1};
        struct fm_appended appended = {0};
        struct fm_table_info info = {0};
        struct fm_error err;

        options.producer_id[1] = (uint8_t)i;
        expect(f, rows_append_with(f->store, f->schemas[1], f->rows, 1, &options, &appended,
                                   &err) == FM_OK);
        expect(f, fm_store_table(f->store, "tests", "others", &info) == FM_OK);
        expect(f, info.size >= appended.size);
        fm_schema_free(info.schema);
    }
    return NULL;
}

static void *read_small(void *argument)
{
    struct fixture *f = argument;

    while (atomic_load(&f->writing) > 0) {
        look_once(f, "rows", 7);
        look_once(f, "others", 7);
    }
    return NULL;
}

static double seconds_now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); /* Cannot fail with this clock. */
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void run_small(struct fixture *f, struct small_writer *writers, bool seal)
{
    pthread_t threads[SMALL_WRITERS + 2];

    atomic_store(&f->writing, 1);
    if (seal)
        assert_int_equal(pthread_create(&threads[SMALL_WRITERS + 1], NULL, seal_rows, f), 0);
    assert_int_equal(pthread_create(&threads[SMALL_WRITERS], NULL, read_small, f), 0);
    for (int i = 0; i < SMALL_WRITERS; i++) {
        writers[i].f = f;
        writers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_small, &writers[i]), 0);
    }
    for (size_t i = 0; i < SMALL_WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&f->writing, 0);
    assert_int_equal(pthread_join(threads[SMALL_WRITERS], NULL), 0);
    if (seal)
        assert_int_equal(pthread_join(threads[SMALL_WRITERS + 1], NULL), 0);
    assert_int_equal(atomic_load(&f->failures), 0);
}

static void check_commits(void **state, bool seal)
{
    struct fixture *f = *state;
    struct small_writer *writers = calloc(SMALL_WRITERS, sizeof *writers);
    unsigned rows = SMALL_WRITERS * SMALL_APPENDS / 2;
    double began = seconds_now();
    struct fm_table_info info;

    assert_non_null(writers);
    run_small(f, writers, seal);
    print_message("%d writers of one row each: %.0f rows/s\n", SMALL_WRITERS,
                  2 * rows / (seconds_now() - began));
    /* Every place in the logs was acknowledged to one writer. */
    for (unsigned at = 0; at < 2 * rows; at++) {
        int owners = 0;

        for (int i = 0; i < SMALL_WRITERS; i++)
            owners += writers[i].seen[at];
        assert_int_equal(owners, 1);
    }
    info = rows_info(f->store);
    assert_int_equal(info.size, rows);
    assert_int_equal(info.rows_latest, 5);
    fm_schema_free(info.schema);
    fm_store_close(f->store); /* The same after an opening. */
    f->store = store_open_good(f->dir);
    info = rows_info(f->store);
    assert_int_equal(info.size, rows);
    assert_int_equal(info.rows_latest, 5);
    fm_schema_free(info.schema);
    free(writers);
}

static void test_commits_share_a_sync(void **state)
{
    check_commits(state, false);
}

static void test_commits_share_a_sync_with_seals(void **state)
{
    check_commits(state, true);
}

/* Without being asked the store keeps its hot rows few. */
static void test_sealed_in_the_background(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_append_options none = {0};
    struct fm_appended appended;
    struct fm_error err;
    double began = seconds_now();
    uint64_t hot_rows = UINT64_MAX;

    fm_store_close(f->store);
    options.seal_in_background = true;
    assert_int_equal(fm_store_open(&options, &f->store, &err), FM_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            rows_append_with(f->store, f->schemas[0], f->rows, 2000, &none, &appended, &err),
            FM_OK);
    while (hot_rows >= 8192 && seconds_now() - began < 60) {
        struct fm_table_info info = rows_info(f->store);

        hot_rows = info.hot_rows;
        assert_int_equal(info.size, 10000);
        assert_int_equal(info.rows_latest, 2000);
        fm_schema_free(info.schema);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* Sooner is fine too. */
    }
    assert_true(hot_rows < 8192);
    look_once(f, "rows", 2500);
    assert_int_equal(atomic_load(&f->failures), 0);
}

/* Nor its segments many: so many seals alone would leave more. */
static void test_merged_in_the_background(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_append_options none = {0};
    struct fm_appended appended;
    struct fm_error err;
    double began = seconds_now();
    uint64_t segments = UINT64_MAX;

    fm_store_close(f->store);
    options.seal_in_background = true;
    assert_int_equal(fm_store_open(&options, &f->store, &err), FM_OK);
    for (int i = 0; i < 16; i++) /* Large ones: a segment each. */
        assert_int_equal(
            rows_append_with(f->store, f->schemas[0], f->rows, ROWS, &none, &appended, &err),
            FM_OK);
    while (segments > 4 && seconds_now() - began < 60) {
        struct fm_table_info info = rows_info(f->store);

        segments = info.segment_count;
        assert_int_equal(info.size, 16 * ROWS);
        assert_int_equal(info.rows_latest, ROWS);
        assert_true(fm_hash_equal(&info.root, &appended.root));
        fm_schema_free(info.schema);
        look_once(f, "rows", 2500);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* Sooner is fine too. */
    }
    assert_true(segments <= 4);
    look_once(f, "rows", 7 * ROWS + 1);
    assert_int_equal(atomic_load(&f->failures), 0);
}

static void test_same_append_twice_at_once(void **state)
{
    struct fixture *f = *state;
    struct small_writer w = {.f = f};
    struct fm_table_info info = {0};
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_same, &w), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&f->failures), 0);
    assert_int_equal(fm_store_table(f->store, "tests", "others", &info), FM_OK);
    assert_int_equal(info.size, SMALL_APPENDS);
    fm_schema_free(info.schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writers_and_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_is_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commits_share_a_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commits_share_a_sync_with_seals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_append_twice_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_in_the_background, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merged_in_the_background, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
