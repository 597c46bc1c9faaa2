/* A node's rounds over its store: what is older than its table's retention goes, nothing else does,
 * and the rest is as before, also in a backup. Rounds are given the time, so that facts get old. */
#include "node/housekeeping.h"

#include "storage/backup.h"
#include "tests/support/proof_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY_US (INT64_C(86400) * 1000000)
#define FIRST 3000u /* Facts of the first append, which are a segment by themselves. */
#define SMALL 20u   /* Of the two behind it, which are hot. */
#define FACTS (FIRST + 2 * SMALL)
#define RETENTION_DAYS 31

static const struct fm_log quiet = {.level = FM_LOG_ERROR, .format = FM_LOG_TEXT};

struct fixture {
    char dir[STORE_DIR_MAX];
    char backups[STORE_DIR_MAX + 16];
    char back[STORE_DIR_MAX + 16];
    struct fm_store *store;
    struct fm_schema *schema; /* With a retention. */
    struct fm_schema *other;  /* Of a second table, without. */
    struct row rows[FACTS];
    struct head heads[3];
    fm_us times[3];
    struct fm_error err;
};

static void append(struct fixture *f, uint32_t which, uint32_t first, uint32_t count)
{
    struct fm_appended appended;

    rows_append(f->store, f->schema, f->rows + first, count, &appended);
    f->heads[which] = (struct head){appended.size, appended.root};
    f->times[which] = appended.recorded_at;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    (void)snprintf(f->backups, sizeof f->backups, "%s.backups", f->dir);
    (void)snprintf(f->back, sizeof f->back, "%s.back", f->dir);
    f->store = store_open_good(f->dir);
    f->schema = rows_schema(ROWS_KEYED);
    f->schema->retention_days = RETENTION_DAYS;
    f->other = rows_schema(0);
    (void)snprintf(f->other->table, sizeof f->other->table, "kept");
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    assert_int_equal(fm_store_define(f->store, f->other, 1, &f->err), FM_OK);
    for (uint32_t i = 0; i < FACTS; i++) {
        f->rows[i] = row_make(i);
        f->rows[i].id = i;
    }
    append(f, 0, 0, FIRST);
    append(f, 1, FIRST, SMALL);
    append(f, 2, FIRST + SMALL, SMALL);
    rows_append(f->store, f->other, f->rows, FACTS, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    fm_schema_free(f->other);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* What a round drops, as it were right after the retention of that append's facts had passed. */
static struct fm_housekeeping_done round_after(struct fixture *f, uint32_t which)
{
    struct fm_housekeeping_done done;

    fm_housekeeping_round(f->store, &quiet, f->times[which] + RETENTION_DAYS * DAY_US + 1, NULL,
                          &done);
    return done;
}

static uint64_t dropped_of(struct fixture *f, const char *table)
{
    struct fm_table_statistics statistics = {0};
    uint64_t dropped;

    assert_int_equal(fm_store_statistics(f->store, "tests", table, &statistics, &f->err), FM_OK);
    assert_int_equal(statistics.facts, FACTS);
    dropped = statistics.dropped_facts;
    fm_table_statistics_deinit(&statistics);
    return dropped;
}

/* The facts from `first` on are read, found by their key, and proved under each head that has them;
 * the ones before are not there. */
static void check_kept(struct fixture *f, uint32_t first)
{
    struct fm_snapshot *snapshot = NULL;
    struct row_list read = {0};
    struct row row;
    uint64_t sequence = 0;

    rows_read(f->store, &read);
    assert_int_equal(read.count, FACTS - first);
    rows_assert_equal(read.rows, f->rows + first, read.count);
    row_list_free(&read);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (uint32_t i = 0; i < FACTS; i += i < FIRST - 2 ? 307 : 1) {
        enum fm_status status = row_get(snapshot, i, &row, &sequence, &f->err);

        if (i < first) {
            assert_int_equal(status, FM_NOTFOUND);
            continue;
        }
        assert_int_equal(status, FM_OK);
        assert_int_equal(sequence, i);
        rows_assert_equal(&row, &f->rows[i], 1);
        for (uint32_t h = 0; h < 3; h++) {
            if (i < f->heads[h].size)
                proof_check_fact(snapshot, i, &f->heads[h]);
        }
    }
    proof_check_heads(snapshot, &f->heads[0], &f->heads[1]);
    proof_check_heads(snapshot, &f->heads[0], &f->heads[2]);
    proof_check_heads(snapshot, &f->heads[1], &f->heads[2]);
    fm_snapshot_free(snapshot);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void young_facts_stay(void **state)
{
    struct fixture *f = *state;
    struct fm_housekeeping_done done;

    fm_housekeeping_round(f->store, &quiet, f->times[0] + RETENTION_DAYS * DAY_US, NULL, &done);
    assert_int_equal(done.tables, 1);
    assert_int_equal(done.failed, 0);
    assert_int_equal(done.dropped, 0);
    check_kept(f, 0);
}

static void old_facts_go_and_the_rest_is_proved(void **state)
{
    struct fixture *f = *state;
    struct fm_housekeeping_done done = round_after(f, 0);

    assert_int_equal(done.tables, 1);
    assert_int_equal(done.failed, 0);
    assert_int_equal(done.dropped, FIRST);
    assert_int_equal(dropped_of(f, "rows"), FIRST);
    assert_int_equal(dropped_of(f, "kept"), 0);
    check_kept(f, FIRST);
    assert_int_equal(round_after(f, 0).dropped, 0);
    assert_int_equal(round_after(f, 2).dropped, 2 * SMALL); /* They were hot. */
    assert_int_equal(dropped_of(f, "kept"), 0);
    check_kept(f, FACTS);
}

/* The retention is that of the schema's latest version. */
static void another_retention_counts_at_once(void **state)
{
    struct fixture *f = *state;

    f->schema->version = 2;
    f->schema->retention_days = 0;
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    assert_int_equal(round_after(f, 2).tables, 0);
    f->schema->version = 3;
    f->schema->retention_days = RETENTION_DAYS + 1;
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    assert_int_equal(round_after(f, 0).dropped, 0);
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
    f->times[0] += DAY_US;
    assert_int_equal(round_after(f, 0).dropped, FIRST);
    check_kept(f, FIRST);
}

static void a_stop_ends_it(void **state)
{
    struct fixture *f = *state;
    atomic_bool stop = true;
    uint64_t dropped = 1;
    struct fm_housekeeping_done done;

    fm_housekeeping_round(f->store, &quiet, INT64_MAX, &stop, &done);
    assert_int_equal(done.tables, 0);
    assert_int_equal(
        fm_store_retain(f->store, "tests", "rows", INT64_MAX, &stop, &dropped, &f->err), FM_OK);
    assert_int_equal(dropped, 0);
    check_kept(f, 0);
}

/* One table that cannot be done is counted, and keeps no other from its turn. */
static void failures_are_counted(void **state)
{
    struct fixture *f = *state;
    struct fm_housekeeping_done done;

    f->other->version = 2;
    f->other->retention_days = RETENTION_DAYS;
    assert_int_equal(fm_store_define(f->store, f->other, 1, &f->err), FM_OK);
    fm_store_close(f->store);
    proof_spoil_kept(f->dir, 8, 3, true); /* Of the first table. */
    f->store = store_open_good(f->dir);
    done = round_after(f, 2);
    assert_int_equal(done.tables, 2);
    assert_int_equal(done.failed, 1);
    assert_int_equal(dropped_of(f, "rows"), 0);
    fm_housekeeping_round(f->store, &quiet, f->times[2] + (RETENTION_DAYS + 1) * DAY_US, NULL,
                          &done);
    assert_int_equal(done.failed, 1);
    assert_int_equal(dropped_of(f, "rows"), 0);
    assert_int_equal(dropped_of(f, "kept"), FACTS);
}

/* A backup of a table that lost its beginning is examined, kept, restored and goes on. */
static void backups_have_what_is_kept(void **state)
{
    struct fixture *f = *state;
    struct fm_backup_options backup = {.dir = f->dir, .folder = f->backups};
    struct fm_restore_options restore = {.from = f->backups, .dir = f->back};
    struct fm_backup_result kept = {0};
    struct fm_restore_result result = {0};

    assert_int_equal(round_after(f, 0).dropped, FIRST);
    fm_store_close(f->store);
    f->store = NULL;
    if (fm_store_backup(&backup, &kept, &f->err) != FM_OK)
        fail_msg("backup: %s", f->err.text);
    if (fm_store_restore(&restore, &result, &f->err) != FM_OK)
        fail_msg("restore: %s", f->err.text);
    f->store = store_open_good(f->back);
    check_kept(f, FIRST);
    assert_int_equal(round_after(f, 2).dropped, 2 * SMALL);
    check_kept(f, FACTS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(young_facts_stay),
        TEST(old_facts_go_and_the_rest_is_proved),
        TEST(another_retention_counts_at_once),
        TEST(a_stop_ends_it),
        TEST(failures_are_counted),
        TEST(backups_have_what_is_kept),
    };
#undef TEST

    if (fm_core_init(NULL) != FM_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
