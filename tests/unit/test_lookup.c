/* Rows looked up by their primary key are those of a scan of the latest state, whatever the history
 * is and wherever they are; nothing superseded is ever given out. */
#include "storage/row_cache.h"
#include "tests/support/store_support.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDS 4000u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct random random;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_schema_free(f->schema);
    fm_store_close(f->store);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void define(struct fixture *f, unsigned flags)
{
    fm_schema_free(f->schema);
    f->schema = rows_schema(flags);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

static struct fm_snapshot *snapshot_of(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    return snapshot;
}

static void append_random(struct fixture *f, size_t count)
{
    struct row *rows = calloc(count, sizeof *rows);

    assert_non_null(rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_random(&f->random, IDS);
    rows_append(f->store, f->schema, rows, count, NULL);
    free(rows);
}

/* Each id gives the row that the scan has for it, or none; sequences rise as the scan's rows do
 * unless segments are sorted. */
static void check_snapshot(struct fixture *f, struct fm_snapshot *snapshot)
{
    struct row_list scanned;
    struct row row;
    uint64_t sequence, before = 0;
    size_t found = 0;

    assert_int_equal(rows_scan(snapshot, NULL, &scanned, &f->err), FM_OK);
    for (size_t i = 0; i < scanned.count; i++) {
        if (row_get(snapshot, scanned.rows[i].id, &row, &sequence, &f->err) != FM_OK)
            fail_msg("row %zu of the scan is not found: %s", i, f->err.text);
        rows_assert_equal(&row, &scanned.rows[i], 1);
        if (i > 0 && f->schema->cluster_count == 0)
            assert_true(sequence > before);
        before = sequence;
    }
    for (int64_t id = -1; id <= (int64_t)IDS; id++) {
        enum fm_status status = row_get(snapshot, id, &row, &sequence, &f->err);

        if (status == FM_OK)
            assert_int_equal(row.id, id);
        else
            assert_int_equal(status, FM_NOTFOUND);
        found += status == FM_OK;
    }
    assert_int_equal(found, scanned.count);
    row_list_free(&scanned);
}

static void run_history(struct fixture *f, unsigned flags)
{
    static const size_t sizes[] = {1, 40, 700, 2048, 2049, 7000};
    struct fm_snapshot *old = NULL;

    define(f, flags);
    for (unsigned step = 0; step < 14; step++) {
        struct fm_snapshot *now;

        append_random(f, sizes[random_below(&f->random, 6)]);
        if (random_below(&f->random, 4) == 0)
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        now = snapshot_of(f);
        check_snapshot(f, now);
        if (old != NULL && step % 5 == 4) {
            check_snapshot(f, old);
            fm_snapshot_free(old);
            old = NULL;
        }
        if (old == NULL)
            old = now;
        else
            fm_snapshot_free(now);
        if (step == 6) {
            fm_snapshot_free(old);
            old = NULL;
            reopen(f);
        }
    }
    fm_snapshot_free(old);
}

static void test_lookups_equal_a_scan(void **state)
{
    struct fixture *f = *state;

    f->random.state = 3;
    run_history(f, ROWS_KEYED);
}

static void test_lookups_equal_a_scan_clustered(void **state)
{
    struct fixture *f = *state;

    f->random.state = 4;
    run_history(f, ROWS_KEYED | ROWS_CLUSTERED | ROWS_SECRET);
}

/* A field that a row's schema version did not have is NULL. */
static void test_rows_of_an_older_schema(void **state)
{
    struct fixture *f = *state;
    struct row rows[3000];
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_snapshot *snapshot;

    define(f, ROWS_KEYED);
    for (unsigned i = 0; i < 3000; i++)
        rows[i] = row_make(i);
    rows_append(f->store, f->schema, rows, 2900, NULL);
    rows_append(f->store, f->schema, rows + 2900, 50, NULL);
    define(f, ROWS_KEYED | ROWS_V2);
    rows_append(f->store, f->schema, rows + 2950, 50, NULL);
    snapshot = snapshot_of(f);
    for (uint64_t id = 0; id < 3000; id++) {
        struct fm_batch batch;
        int64_t found = -1;
        uint8_t key[8];

        fm_store64(key, id);
        fm_buf_clear(&bytes);
        assert_int_equal(
            fm_snapshot_get(snapshot, "tests", "rows", fm_span(key, 8), &bytes, &f->err), FM_OK);
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        assert_int_equal(batch.column_count, 5);
        assert_int_equal(fm_vector_is_null(&batch, &batch.vectors[0], 0), id < 2950);
        fm_vector_fixed(&batch, &batch.vectors[1], 0, &found);
        assert_int_equal(found, id);
        assert_int_equal(batch.first_row, id);
    }
    fm_buf_free(&bytes);
    fm_snapshot_free(snapshot);
}

static enum fm_status get(struct fixture *f, const char *table, const void *key, size_t len)
{
    struct fm_snapshot *snapshot = snapshot_of(f);
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status =
        fm_snapshot_get(snapshot, "tests", table, fm_span(key, len), &bytes, &f->err);

    if (status != FM_OK)
        assert_int_equal(bytes.len, 0);
    fm_buf_free(&bytes);
    fm_snapshot_free(snapshot);
    return status;
}

static void test_what_cannot_be_looked_up(void **state)
{
    struct fixture *f = *state;
    static const uint8_t key[9] = {3};
    struct row row = row_make(3);

    assert_int_equal(get(f, "rows", key, 8), FM_INVALID);
    define(f, ROWS_KEYED);
    assert_int_equal(get(f, "rows", key, 8), FM_NOTFOUND);
    rows_append(f->store, f->schema, &row, 1, NULL);
    assert_int_equal(get(f, "rows", key, 8), FM_OK);
    assert_int_equal(get(f, "rows", key, 7), FM_INVALID);
    assert_non_null(strstr(f->err.text, "no value for `id`"));
    assert_int_equal(get(f, "rows", key, 9), FM_INVALID);
    assert_non_null(strstr(f->err.text, "1 bytes too many"));
    assert_int_equal(get(f, "others", key, 8), FM_INVALID);
}

static void test_a_table_without_a_key(void **state)
{
    struct fixture *f = *state;
    static const uint8_t key[8] = {0};

    define(f, 0);
    assert_int_equal(get(f, "rows", key, 8), FM_INVALID);
    assert_non_null(strstr(f->err.text, "no primary key"));
}

/* An index that names another key's row is damage, not an answer. */
static void test_a_wrong_index_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct row rows[2] = {row_make(1), row_make(2)};
    static const uint8_t canonical[8] = {1};
    struct index_value entry = {.sequence = 1, .previous = INDEX_NONE};
    struct key key = key_index(1, fm_span(canonical, 8));
    struct rocks_batch *batch = NULL;
    uint8_t bytes[16];

    define(f, ROWS_KEYED);
    rows_append(f->store, f->schema, rows, 2, NULL);
    assert_int_equal(get(f, "rows", canonical, 8), FM_OK);
    index_encode(bytes, &entry);
    assert_int_equal(rocks_batch_new(f->store->rocks, &batch), FM_OK);
    rocks_batch_put(batch, ROCKS_KEYS, key_span(&key), fm_span(bytes, 16));
    assert_int_equal(rocks_write(f->store->rocks, batch, true, &f->err), FM_OK);
    rocks_batch_free(batch);
    reopen(f);
    assert_int_equal(get(f, "rows", canonical, 8), FM_CORRUPT);
    assert_non_null(strstr(f->err.text, "fact 1 is damaged"));
}

/* ---- The cache ------------------------------------------------------------------------------- */

static struct row_run *make_run(uint32_t block, size_t bytes)
{
    struct row_run_key key = {.table = 1, .block = block, .unit = 7};
    struct row_run *run = NULL;

    assert_int_equal(row_run_new(&key, 1, &run), FM_OK);
    assert_non_null(fm_buf_extend(&run->loaded[0].bytes, bytes));
    run->first = block;
    return run;
}

static bool has(struct row_cache *cache, uint32_t block)
{
    struct row_run_key key = {.table = 1, .block = block, .unit = 7};
    struct row_run *run = row_cache_find(cache, &key);
    bool found = run != NULL;

    if (found)
        assert_int_equal(run->first, block);
    row_run_release(run);
    return found;
}

/* Of more than the cache holds the last used stay, and who holds a run keeps it. */
static void test_the_cache_is_bounded(void **state)
{
    struct row_cache *cache = NULL;
    struct row_run *held = make_run(0, 1000);

    (void)state;
    assert_int_equal(row_cache_new(16384, &cache), FM_OK);
    row_cache_add(cache, held);
    for (uint32_t i = 1; i < 100; i++) {
        struct row_run *run = make_run(i, 1000);

        row_cache_add(cache, run);
        row_run_release(run);
        assert_true(has(cache, i));
        assert_true(row_cache_bytes(cache) <= 16384);
        if (i == 5)
            assert_true(has(cache, 1));
        if (i < 60)
            assert_true(has(cache, 0)); /* Used again and again. */
    }
    assert_false(has(cache, 0));
    assert_false(has(cache, 70));
    assert_int_equal(held->loaded[0].bytes.len, 1000);
    row_run_release(held);
    held = make_run(200, 8000);
    row_cache_add(cache, held); /* So large that it would drive everything else out. */
    assert_false(has(cache, 200));
    row_run_release(held);
    row_cache_free(cache);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lookups_equal_a_scan),
        TEST(test_lookups_equal_a_scan_clustered),
        TEST(test_rows_of_an_older_schema),
        TEST(test_what_cannot_be_looked_up),
        TEST(test_a_table_without_a_key),
        TEST(test_a_wrong_index_is_noticed),
        cmocka_unit_test(test_the_cache_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
