/* Appends of several tables at once, with an expected version, and answered before their sync: all
 * of it or nothing, for readers, for repeats and after the power is cut. */
#include "storage/internal.h"
#include "tests/support/fail_io.h"
#include "tests/support/store_support.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TABLES 3u
#define CUTS 15
#define GROUPS_EACH 25u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schemas[TABLES]; /* tests.t0 and tests.t1; another.t0. */
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    for (uint32_t i = 0; i < TABLES; i++) {
        f->schemas[i] = rows_schema(i == 1 ? ROWS_KEYED : 0);
        (void)snprintf(f->schemas[i]->table, sizeof f->schemas[i]->table, "t%u", i % 2);
    }
    (void)snprintf(f->schemas[2]->domain, sizeof f->schemas[2]->domain, "another");
    for (uint32_t i = 0; i < TABLES; i++)
        assert_int_equal(fm_store_define(f->store, f->schemas[i], 1, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)fail_io_stop();
    fm_store_close(f->store);
    for (uint32_t i = 0; i < TABLES; i++)
        fm_schema_free(f->schemas[i]);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static enum fm_status begin(struct fixture *f, uint32_t table,
                            const struct fm_append_options *asked, struct fm_append **out,
                            bool *done, struct fm_appended *first)
{
    struct fm_append_options options = *asked;

    options.domain = f->schemas[table]->domain;
    options.table = f->schemas[table]->table;
    options.schema_version = 1;
    return fm_append_begin(f->store, &options, out, done, first, &f->err);
}

/* An open append with rows from `from` on. */
static struct fm_append *with_rows(struct fixture *f, uint32_t table,
                                   const struct fm_append_options *options, uint64_t from,
                                   uint32_t count)
{
    struct fm_append *append = NULL;
    struct fm_appended first;
    bool done = true;

    if (begin(f, table, options, &append, &done, &first) != FM_OK)
        fail_msg("begin: %s", f->err.text);
    assert_false(done);
    for (uint32_t at = 0; at < count; at += 5000) {
        struct fm_buf bytes = FM_BUF_INIT(0);
        struct fm_batch batch;
        struct row rows[5000];
        uint32_t here = count - at < 5000 ? count - at : 5000;

        for (uint32_t i = 0; i < here; i++)
            rows[i] = row_make(from + at + i);
        rows_batch(f->schemas[table], rows, here, true, &bytes);
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        assert_int_equal(fm_append_rows(append, &batch, &f->err), FM_OK);
        fm_buf_free(&bytes);
    }
    return append;
}

static uint64_t size_of(struct fm_store *store, struct fixture *f, uint32_t table)
{
    struct fm_table_info info = {0};

    assert_int_equal(
        fm_store_table(store, f->schemas[table]->domain, f->schemas[table]->table, &info), FM_OK);
    fm_schema_free(info.schema);
    return info.size;
}

static void assert_sizes(struct fixture *f, uint64_t first, uint64_t second)
{
    assert_int_equal(size_of(f->store, f, 0), first);
    assert_int_equal(size_of(f->store, f, 1), second);
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

static const struct fm_append_options plain;

/* Small ones, a large one with a small one, an empty one: in the caller's order. */
static void test_tables_come_together(void **state)
{
    struct fixture *f = *state;
    struct fm_appended out[2];
    struct fm_append *appends[2] = {with_rows(f, 1, &plain, 0, 10), with_rows(f, 0, &plain, 0, 3)};

    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_OK);
    assert_null(appends[0]);
    assert_null(appends[1]);
    assert_int_equal(out[0].rows, 10);
    assert_int_equal(out[1].size, 3);
    assert_int_equal(out[1].durability, FM_DURABLE_FSYNC);
    assert_sizes(f, 3, 10);
    appends[0] = with_rows(f, 0, &plain, 3, 130000);
    appends[1] = with_rows(f, 1, &plain, 10, 20);
    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_OK);
    assert_int_equal(out[0].first_sequence, 3);
    assert_int_equal(out[1].first_sequence, 10);
    assert_sizes(f, 130003, 30);
    appends[0] = with_rows(f, 0, &plain, 0, 0);
    appends[1] = with_rows(f, 1, &plain, 30, 1);
    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_OK);
    assert_int_equal(out[0].rows, 0);
    assert_int_equal(out[0].size, 130003);
    assert_int_equal(out[1].size, 31);
    reopen(f);
    assert_sizes(f, 130003, 31);
}

static void test_groups_that_are_none(void **state)
{
    struct fixture *f = *state;
    struct fm_append *appends[FM_APPEND_TABLES_MAX + 1];
    struct fm_appended out[FM_APPEND_TABLES_MAX + 1];

    appends[0] = with_rows(f, 0, &plain, 0, 3);
    appends[1] = with_rows(f, 0, &plain, 0, 3);
    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "tests.t0 is named twice"));
    appends[0] = with_rows(f, 0, &plain, 0, 3);
    appends[1] = with_rows(f, 2, &plain, 0, 3);
    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "not of tests and of another"));
    for (uint32_t i = 0; i <= FM_APPEND_TABLES_MAX; i++)
        appends[i] = with_rows(f, 0, &plain, 0, 1);
    assert_int_equal(fm_append_commit_many(appends, FM_APPEND_TABLES_MAX + 1, out, &f->err),
                     FM_LIMIT);
    assert_sizes(f, 0, 0);
}

/* A table that may not be appended to keeps the others back, also one that was staged. */
static void test_one_refusal_refuses_all(void **state)
{
    struct fixture *f = *state;
    const struct fm_append_options expected = {.has_expected = true};
    struct fm_append *late = with_rows(f, 1, &expected, 0, 5);
    struct fm_append *appends[2] = {with_rows(f, 1, &plain, 0, 1), NULL};
    struct fm_appended out[2];

    assert_int_equal(fm_append_commit_many(appends, 1, out, &f->err), FM_OK);
    appends[0] = with_rows(f, 0, &plain, 0, 130000);
    appends[1] = late;
    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_CONFLICT);
    assert_string_equal(f->err.text, "tests.t1 has 1 facts, not the 0 expected");
    assert_sizes(f, 0, 1);
    appends[0] = with_rows(f, 0, &plain, 0, 4);
    assert_int_equal(fm_append_commit_many(appends, 1, out, &f->err), FM_OK);
    reopen(f);
    assert_sizes(f, 4, 1);
}

/* Both began with the right version; the one that ends later has lost. */
static void test_expected_versions_at_the_end(void **state)
{
    struct fixture *f = *state;
    const struct fm_append_options expected = {.has_expected = true};
    const struct fm_append_options any = {0};
    struct fm_append *first = with_rows(f, 0, &expected, 0, 7);
    struct fm_append *second = with_rows(f, 0, &expected, 7, 5);
    struct fm_appended out;

    assert_int_equal(fm_append_commit(first, &out, &f->err), FM_OK);
    assert_int_equal(fm_append_commit(second, &out, &f->err), FM_CONFLICT);
    assert_string_equal(f->err.text, "tests.t0 has 7 facts, not the 0 expected");
    second = with_rows(f, 0, &any, 7, 5);
    assert_int_equal(fm_append_commit(second, &out, &f->err), FM_OK);
    assert_int_equal(out.first_sequence, 7);
}

/* Told when the append begins. */
static void test_expected_versions(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options expected = {.has_expected = true, .expected_size = 7};
    struct fm_append *append = NULL;
    struct fm_appended out;
    bool done = false;

    assert_int_equal(begin(f, 0, &expected, &append, &done, &out), FM_CONFLICT);
    assert_string_equal(f->err.text, "tests.t0 has 0 facts, not the 7 expected");
    assert_null(append);
    expected = (struct fm_append_options){
        .has_expected = true, .has_producer = true, .producer_sequence = 1};
    append = with_rows(f, 0, &expected, 0, 7);
    assert_int_equal(fm_append_commit(append, &out, &f->err), FM_OK);
    /* A repeat is found before its expectation is looked at. */
    assert_int_equal(begin(f, 0, &expected, &append, &done, &out), FM_OK);
    assert_true(done);
    assert_int_equal(out.size, 7);
}

static struct fm_append_options producer(uint64_t sequence)
{
    return (struct fm_append_options){
        .has_producer = true, .producer_id = {9}, .producer_sequence = sequence};
}

static void assert_same(const struct fm_appended *a, const struct fm_appended *b)
{
    assert_int_equal(a->first_sequence, b->first_sequence);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->size, b->size);
    assert_true(fm_hash_equal(&a->root, &b->root));
    assert_int_equal(a->recorded_at, b->recorded_at);
    assert_int_equal(a->durability, b->durability);
}

/* The whole group again, begun before the first was done: the first answers. A part of it: none. */
static void test_repeats_of_a_group(void **state)
{
    struct fixture *f = *state;
    const struct fm_append_options one = producer(1);
    struct fm_append *first[2] = {with_rows(f, 0, &one, 0, 5), with_rows(f, 1, &one, 0, 6)};
    struct fm_append *again[2] = {with_rows(f, 1, &one, 0, 6), with_rows(f, 0, &one, 0, 5)};
    struct fm_append *part[2] = {with_rows(f, 0, &one, 0, 5), NULL};
    struct fm_appended answers[2], repeated[2];
    const struct fm_append_options two = producer(2);

    assert_int_equal(fm_append_commit_many(first, 2, answers, &f->err), FM_OK);
    assert_int_equal(fm_append_commit_many(again, 2, repeated, &f->err), FM_OK);
    assert_same(&repeated[0], &answers[1]);
    assert_same(&repeated[1], &answers[0]);
    part[1] = with_rows(f, 1, &two, 6, 2);
    assert_int_equal(fm_append_commit_many(part, 2, repeated, &f->err), FM_CONFLICT);
    assert_non_null(strstr(f->err.text, "to tests.t0 was stored before, but that to tests.t1"));
    assert_sizes(f, 5, 6);
}

/* ---- Side by side ---------------------------------------------------------------------------- */

struct writer {
    struct fixture *f;
    uint32_t first; /* The table that is begun first. */
    enum fm_status status;
};

static void *write_groups(void *argument)
{
    struct writer *writer = argument;
    struct fm_error err;

    for (unsigned i = 0; writer->status == FM_OK && i < GROUPS_EACH; i++) {
        struct fm_append *appends[2] = {NULL, NULL};
        struct fm_appended out[2];
        bool done;

        for (uint32_t j = 0; writer->status == FM_OK && j < 2; j++) {
            const struct fm_schema *schema = writer->f->schemas[(writer->first + j) % 2];
            struct fm_append_options options = {.domain = "tests",
                                                .table = schema->table,
                                                .schema_version = 1,
                                                .durability = i % 3 == 0 ? FM_DURABLE_MEMORY
                                                                         : FM_DURABLE_FSYNC};
            struct row row = row_make(i);
            struct fm_buf bytes = FM_BUF_INIT(0);
            struct fm_batch batch;

            rows_batch(schema, &row, 1, false, &bytes);
            writer->status =
                fm_append_begin(writer->f->store, &options, &appends[j], &done, out, &err);
            if (writer->status == FM_OK)
                writer->status = fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch);
            if (writer->status == FM_OK)
                writer->status = fm_append_rows(appends[j], &batch, &err);
            fm_buf_free(&bytes);
        }
        if (writer->status == FM_OK)
            writer->status = fm_append_commit_many(appends, 2, out, &err);
    }
    return NULL;
}

/* Groups that name the tables in either order end, and no snapshot has one table without the
 * other. */
static void test_snapshots_have_whole_groups(void **state)
{
    struct fixture *f = *state;
    struct writer writers[4];
    pthread_t threads[4];
    uint64_t size = 0;

    for (uint32_t i = 0; i < 4; i++) {
        writers[i] = (struct writer){.f = f, .first = i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, write_groups, &writers[i]), 0);
    }
    while (size < 4 * GROUPS_EACH) {
        struct fm_snapshot *snapshot = NULL;
        struct fm_table_info info[2] = {{0}};

        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(fm_snapshot_table(snapshot, "tests", f->schemas[i]->table, &info[i]),
                             FM_OK);
            fm_schema_free(info[i].schema);
        }
        assert_int_equal(info[0].size, info[1].size);
        assert_true(info[0].size >= size);
        size = info[0].size;
        fm_snapshot_free(snapshot);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(writers[i].status, FM_OK);
    }
    reopen(f);
    assert_sizes(f, 4 * GROUPS_EACH, 4 * GROUPS_EACH);
}

/* ---- Before the sync ------------------------------------------------------------------------- */

static const struct fm_append_options in_memory = {.durability = FM_DURABLE_MEMORY};

static enum fm_status group_in_memory(struct fixture *f, uint64_t from, struct fm_appended out[2])
{
    struct fm_append *appends[2] = {with_rows(f, 0, &in_memory, from, 5),
                                    with_rows(f, 1, &in_memory, from, 6)};

    return fm_append_commit_many(appends, 2, out, &f->err);
}

/* The answer says so; it is synced by itself, by the next that waits, and by closing. */
static void test_answers_before_the_sync(void **state)
{
    struct fixture *f = *state;
    struct fm_append *mixed[2];
    struct fm_appended out[2];

    assert_int_equal(group_in_memory(f, 0, out), FM_OK);
    assert_int_equal(out[0].durability, FM_DURABLE_MEMORY);
    assert_int_equal(out[1].durability, FM_DURABLE_MEMORY);
    assert_int_equal(out[1].size, 6);
    assert_int_equal(store_settle(f->store, &f->err), FM_OK);
    assert_sizes(f, 5, 6);
    /* More of them than may wait for a sync. */
    for (uint32_t i = 1; i <= COMMITS_UNSYNCED_MAX; i++)
        assert_int_equal(group_in_memory(f, 6 * i, out), FM_OK);
    mixed[0] = with_rows(f, 0, &in_memory, 0, 1);
    mixed[1] = with_rows(f, 1, &plain, 0, 1);
    assert_int_equal(fm_append_commit_many(mixed, 2, out, &f->err), FM_OK);
    assert_int_equal(out[0].durability, FM_DURABLE_FSYNC);
    assert_sizes(f, 5 * 65 + 1, 6 * 65 + 1);
    assert_int_equal(group_in_memory(f, 900, out), FM_OK);
    reopen(f);
    assert_sizes(f, 5 * 66 + 1, 6 * 66 + 1);
}

/* A repeat is answered only once the first is synced, so it promises that. */
static void test_a_repeat_of_what_was_in_memory(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = producer(1);
    struct fm_append *append = NULL;
    struct fm_appended out;
    bool done = false;

    options.durability = FM_DURABLE_MEMORY;
    append = with_rows(f, 0, &options, 0, 5);
    assert_int_equal(fm_append_commit(append, &out, &f->err), FM_OK);
    assert_int_equal(out.durability, FM_DURABLE_MEMORY);
    assert_int_equal(begin(f, 0, &options, &append, &done, &out), FM_OK);
    assert_true(done);
    assert_int_equal(out.durability, FM_DURABLE_FSYNC);
    assert_sizes(f, 5, 0);
}

static char *log_path(const char *dir, char out[2 * STORE_DIR_MAX])
{
    char folder[STORE_DIR_MAX + 8];
    struct dirent *entry;
    DIR *opened;
    long newest = -1;

    (void)snprintf(folder, sizeof folder, "%s/store", dir);
    opened = opendir(folder);
    assert_non_null(opened);
    while ((entry = readdir(opened)) != NULL) {
        long number = strtol(entry->d_name, NULL, 10);

        if (strstr(entry->d_name, ".log") != NULL && number > newest)
            newest = number;
    }
    (void)closedir(opened);
    (void)snprintf(out, 2 * STORE_DIR_MAX, "%s/%06ld.log", folder, newest);
    return out;
}

static off_t log_bytes(const char *dir)
{
    char path[2 * STORE_DIR_MAX];
    struct stat status;

    assert_int_equal(stat(log_path(dir, path), &status), 0);
    return status.st_size;
}

/* What a power cut leaves of a log that was not synced is any part of it: nothing of the group or
 * all of it is there then, and what was synced always. No reader has it while no sync succeeds. */
static void test_a_power_cut_takes_whole_groups(void **state)
{
    struct fixture *f = *state;
    struct fm_append *appends[2] = {with_rows(f, 0, &plain, 0, 2), with_rows(f, 1, &plain, 0, 3)};
    struct fm_appended out[2];
    char cut_dir[STORE_DIR_MAX], path[2 * STORE_DIR_MAX];
    off_t synced, written;
    unsigned with = 0, without = 0;

    assert_int_equal(fm_append_commit_many(appends, 2, out, &f->err), FM_OK);
    synced = log_bytes(f->dir);
    (void)pthread_mutex_lock(&f->store->commit_lock);
    f->store->is_syncing = true; /* As if a sync took long. */
    (void)pthread_mutex_unlock(&f->store->commit_lock);
    assert_int_equal(group_in_memory(f, 10, out), FM_OK);
    assert_int_equal(out[0].durability, FM_DURABLE_MEMORY);
    assert_sizes(f, 2, 3);
    written = log_bytes(f->dir);
    assert_true(written > synced);
    (void)snprintf(path, sizeof path, "%s/reserve", f->dir);
    (void)unlink(path); /* Copies are small then. */
    for (unsigned i = 0; i <= CUTS; i++) {
        off_t cut = synced + (written - synced) * i / CUTS;
        struct fm_store *store;
        uint64_t size;

        (void)snprintf(cut_dir, sizeof cut_dir, "%.*s/cut", (int)strlen(f->dir) - 5, f->dir);
        store_copy(f->dir, cut_dir);
        assert_int_equal(truncate(log_path(cut_dir, path), cut), 0);
        store = store_open_good(cut_dir);
        size = size_of(store, f, 0);
        with += size == 7;
        without += size == 2;
        assert_int_equal(size_of(store, f, 1), size == 7 ? 9 : 3);
        fm_store_close(store);
        store_remove(cut_dir);
    }
    assert_int_equal(without, CUTS);
    assert_int_equal(with, 1);
    (void)pthread_mutex_lock(&f->store->commit_lock);
    f->store->is_syncing = false;
    (void)pthread_cond_broadcast(&f->store->commit_done);
    (void)pthread_mutex_unlock(&f->store->commit_lock);
    assert_int_equal(store_settle(f->store, &f->err), FM_OK);
    assert_sizes(f, 7, 9);
}

/* A sync in the background that fails is told to whoever comes next; nobody was shown the rows. */
static void test_a_failed_late_sync(void **state)
{
    struct fixture *f = *state;
    struct fm_append *append = with_rows(f, 0, &in_memory, 0, 5);
    struct fm_appended out;
    bool done;

    (void)pthread_mutex_lock(&f->store->commit_lock);
    f->store->is_syncing = true;
    (void)pthread_mutex_unlock(&f->store->commit_lock);
    assert_int_equal(fm_append_commit(append, &out, &f->err), FM_OK);
    fail_io_after(FAIL_IO_ERROR, 1); /* The log is synced, the slot is not written. */
    (void)pthread_mutex_lock(&f->store->commit_lock);
    f->store->is_syncing = false;
    (void)pthread_cond_broadcast(&f->store->commit_done);
    (void)pthread_mutex_unlock(&f->store->commit_lock);
    assert_int_equal(store_settle(f->store, &f->err), FM_IO);
    assert_true(fail_io_stop());
    assert_sizes(f, 0, 0);
    assert_int_equal(begin(f, 0, &plain, &append, &done, &out), FM_IO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tables_come_together),
        TEST(test_groups_that_are_none),
        TEST(test_one_refusal_refuses_all),
        TEST(test_expected_versions),
        TEST(test_expected_versions_at_the_end),
        TEST(test_repeats_of_a_group),
        TEST(test_snapshots_have_whole_groups),
        TEST(test_answers_before_the_sync),
        TEST(test_a_repeat_of_what_was_in_memory),
        TEST(test_a_power_cut_takes_whole_groups),
        TEST(test_a_failed_late_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
