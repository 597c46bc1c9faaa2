/* Figures about tables and the store, against what was appended. */
#include "storage/internal.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define LARGE_ROWS 5000u
#define SMALL_ROWS 40u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[LARGE_ROWS];
    struct fm_table_statistics table;
    struct fm_store_usage usage;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(ROWS_KEYED);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (uint32_t i = 0; i < LARGE_ROWS; i++)
        f->rows[i] = row_make(i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_table_statistics_deinit(&f->table);
    fm_store_close(f->store);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void look(struct fixture *f)
{
    fm_table_statistics_deinit(&f->table);
    assert_int_equal(fm_store_statistics(f->store, "tests", "rows", &f->table, &f->err), FM_OK);
    assert_int_equal(fm_store_usage(f->store, &f->usage, &f->err), FM_OK);
}

static void append(struct fixture *f, size_t first, size_t count)
{
    struct fm_appended appended;

    rows_append(f->store, f->schema, f->rows + first, count, &appended);
}

/* Bytes of the leaves of facts [first, end), by asking for each. */
static uint64_t leaf_bytes(struct fixture *f, uint64_t first, uint64_t end)
{
    FM_AUTO(fm_snapshot_freep) struct fm_snapshot *snapshot = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf leaf = FM_BUF_INIT(0);

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (uint64_t i = first; i < end; i++)
        assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "rows", i, &leaf, &f->err), FM_OK);
    return leaf.len;
}

static void an_empty_table_has_nothing(void **state)
{
    struct fixture *f = *state;

    look(f);
    assert_int_equal(f->table.column_count, f->schema->field_count);
    assert_int_equal(f->table.facts, 0);
    assert_int_equal(f->table.rows_latest, 0);
    assert_int_equal(f->table.hot_bytes, 0);
    assert_int_equal(f->table.segment_bytes, 0);
    assert_int_equal(f->table.tree_bytes, 0);
    assert_int_equal(f->usage.appended_bytes, 0);
    assert_true(f->usage.accepts_appends);
    assert_int_equal(fm_store_statistics(f->store, "tests", "none", &f->table, &f->err),
                     FM_NOTFOUND);
}

/* A segment, some hot rows that supersede others, sealing, a restart. */
static void figures_follow_the_history(void **state)
{
    struct fixture *f = *state;
    uint64_t columns = 0, hot_bytes;

    append(f, 0, LARGE_ROWS);
    append(f, 0, SMALL_ROWS); /* The same keys again. */
    look(f);
    assert_int_equal(f->table.facts, LARGE_ROWS + SMALL_ROWS);
    assert_int_equal(f->table.rows_latest, LARGE_ROWS);
    assert_int_equal(f->table.hot_rows, SMALL_ROWS);
    assert_int_equal(f->table.segment_count, 1);
    assert_int_equal(f->table.appended_facts, LARGE_ROWS + SMALL_ROWS);
    assert_int_equal(f->table.appended_bytes, leaf_bytes(f, 0, LARGE_ROWS + SMALL_ROWS));
    assert_int_equal(f->usage.appended_bytes, f->table.appended_bytes);
    assert_true(f->table.superseded_bytes > 0);
    assert_int_equal(f->table.tree_bytes, (LARGE_ROWS / 256 + LARGE_ROWS / 4096) * 36);
    for (uint32_t i = 0; i < f->table.column_count; i++) {
        assert_int_equal(f->table.columns[i].field_id, f->schema->fields[i].id);
        assert_true(f->table.columns[i].bytes > 0);
        columns += f->table.columns[i].bytes;
    }
    assert_int_equal(columns, f->table.segment_bytes);
    hot_bytes = f->table.hot_bytes;
    assert_in_range(hot_bytes, SMALL_ROWS * 4, SMALL_ROWS * 200);

    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
    look(f);
    assert_int_equal(f->table.hot_bytes, hot_bytes);
    assert_int_equal(f->table.segment_bytes, columns);
    assert_int_equal(f->table.appended_facts, 0); /* By another process. */
    assert_int_equal(f->usage.appended_bytes, 0);

    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    look(f);
    assert_int_equal(f->table.hot_rows, 0);
    assert_int_equal(f->table.hot_bytes, 0);
    assert_int_equal(f->table.segment_count, 2);
    assert_true(f->table.segment_bytes > columns);
}

/* The log has every byte at least once; a flush writes what is in memory to files. */
static void what_is_written_is_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t segment_bytes;

    append(f, 0, LARGE_ROWS);
    look(f);
    segment_bytes = f->table.segment_bytes;
    assert_in_range(f->usage.log_bytes, segment_bytes, 4 * f->usage.appended_bytes);
    append(f, 0, LARGE_ROWS);
    look(f);
    assert_true(f->usage.log_bytes > segment_bytes + f->table.segment_bytes / 2);
    assert_int_equal(f->usage.flush_bytes, 0);
    assert_int_equal(rocks_flush(f->store->rocks, &f->err), FM_OK);
    look(f);
    assert_true(f->usage.flush_bytes >= f->table.segment_bytes);
    assert_true(f->usage.file_bytes >= f->table.segment_bytes);
    assert_true(f->table.index_bytes > 0);
}

/* Below the limit appends and seals are refused, and say why; reads and proofs go on. */
static void a_full_disk_is_told(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct row_list read = {0};
    struct fm_append_options how = {.domain = "tests", .table = "rows", .schema_version = 1};
    struct fm_appended appended;

    append(f, 0, SMALL_ROWS);
    look(f);
    assert_true(f->usage.accepts_appends);
    fm_store_close(f->store);
    f->store = NULL;
    options.free_bytes_min = UINT64_MAX;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    look(f);
    assert_false(f->usage.accepts_appends);
    assert_true(f->usage.free_bytes < f->usage.free_bytes_min);
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows, SMALL_ROWS, &how, &appended, &f->err),
        FM_LIMIT);
    assert_non_null(strstr(f->err.text, "free space"));
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows, LARGE_ROWS, &how, &appended, &f->err),
        FM_LIMIT);
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_LIMIT);
    rows_read(f->store, &read);
    assert_int_equal(read.count, SMALL_ROWS);
    assert_true(leaf_bytes(f, 0, SMALL_ROWS) > 0);
    row_list_free(&read);
}

static void a_store_for_reading_takes_none(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);

    append(f, 0, SMALL_ROWS);
    fm_store_close(f->store);
    f->store = NULL;
    options.read_only = true;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    look(f);
    assert_false(f->usage.accepts_appends);
    assert_int_equal(f->usage.log_bytes, 0);
    assert_int_equal(f->table.facts, SMALL_ROWS);
    assert_true(f->table.hot_bytes > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_table_has_nothing),     TEST(figures_follow_the_history),
        TEST(what_is_written_is_counted),     TEST(a_full_disk_is_told),
        TEST(a_store_for_reading_takes_none),
    };
#undef TEST

    if (fm_core_init(NULL) != FM_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
