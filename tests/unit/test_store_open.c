/* Opening: whose folder it is, and that a store which holds less than was acknowledged is refused,
 * not served. */
#include "tests/support/store_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 4000u

struct fixture {
    char dir[STORE_DIR_MAX];
    char copy[STORE_DIR_MAX + 8];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[ROWS];
    struct row_list read;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    (void)snprintf(f->copy, sizeof f->copy, "%s.copy", f->dir);
    f->schema = rows_schema(0);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (uint32_t i = 0; i < ROWS; i++)
        f->rows[i] = row_make(i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    row_list_free(&f->read);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void close_store(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = NULL;
}

static enum fm_status try_open(struct fixture *f)
{
    struct fm_store_options options = store_options(f->dir);

    assert_null(f->store);
    f->err = (struct fm_error){0};
    return fm_store_open(&options, &f->store, &f->err);
}

static void assert_text(const struct fixture *f, const char *part)
{
    if (strstr(f->err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, f->err.text);
}

static void path_of(const struct fixture *f, const char *name, char out[2 * STORE_DIR_MAX])
{
    assert_true(snprintf(out, 2 * STORE_DIR_MAX, "%s/%s", f->dir, name) < 2 * (int)STORE_DIR_MAX);
}

/* The first file of a kind in RocksDB's folder that has any content; false when there is none. */
static bool find_file(const struct fixture *f, const char *suffix, char out[2 * STORE_DIR_MAX])
{
    char folder[2 * STORE_DIR_MAX];
    struct dirent *entry;
    bool found = false;
    off_t best = 0;
    DIR *listing;

    path_of(f, "store", folder);
    listing = opendir(folder);
    assert_non_null(listing);
    while ((entry = readdir(listing)) != NULL) {
        size_t len = strlen(entry->d_name);
        char name[2 * STORE_DIR_MAX];
        struct stat status;

        if (len < strlen(suffix) || strcmp(entry->d_name + len - strlen(suffix), suffix) != 0)
            continue;
        assert_true(snprintf(name, sizeof name, "%s/%.64s", folder, entry->d_name) <
                    (int)sizeof name);
        assert_int_equal(stat(name, &status), 0);
        if (status.st_size > best) {
            best = status.st_size;
            memcpy(out, name, sizeof name);
            found = true;
        }
    }
    (void)closedir(listing);
    return found;
}

static void flip_bit(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static off_t size_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

/* The folder was not touched by the refusal: put right, it opens with everything. */
static void assert_opens_with(struct fixture *f, size_t count)
{
    if (try_open(f) != FM_OK)
        fail_msg("does not open: %s", f->err.text);
    row_list_free(&f->read);
    rows_read(f->store, &f->read);
    assert_int_equal(f->read.count, count);
    rows_assert_equal(f->read.rows, f->rows, count);
}

/* ---- Whose folder ---------------------------------------------------------------------------- */

static void test_second_opening_is_busy(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_store *second = NULL;

    assert_int_equal(fm_store_open(&options, &second, &f->err), FM_BUSY);
    assert_null(second);
    close_store(f);
    assert_int_equal(try_open(f), FM_OK);
}

static void test_foreign_folders(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_store *store = NULL;
    char path[2 * STORE_DIR_MAX];
    int fd;

    close_store(f);
    options.mesh.bytes[0] = 0x99;
    assert_int_equal(fm_store_open(&options, &store, &f->err), FM_CONFLICT);
    assert_text(f, "belongs to mesh 1111");
    assert_text(f, "not to mesh 9911");
    options = store_options(f->dir);
    options.node.bytes[0] = 0x99;
    assert_int_equal(fm_store_open(&options, &store, &f->err), FM_CONFLICT);
    assert_text(f, "belongs to node 2222");
    path_of(f, "thesis.txt", path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(try_open(f), FM_CONFLICT);
    assert_text(f, "thesis.txt");
    store_remove(path);
    assert_opens_with(f, 0);
    options.dir = "/proc/version";
    assert_int_equal(fm_store_open(&options, &store, &f->err), FM_CONFLICT);
    options.dir = "/nowhere/at/all";
    assert_int_equal(fm_store_open(&options, &store, &f->err), FM_IO);
}

static void test_folder_is_private(void **state)
{
    struct fixture *f = *state;
    struct stat status;

    assert_int_equal(stat(f->dir, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void append_some(struct fixture *f)
{
    for (size_t i = 0; i < 10; i++)
        rows_append(f->store, f->schema, f->rows + i, 1, NULL);
}

static void test_lost_slots(void **state)
{
    struct fixture *f = *state;
    char path[2 * STORE_DIR_MAX], kept[2 * STORE_DIR_MAX];

    append_some(f);
    close_store(f);
    path_of(f, "slots", path);
    (void)snprintf(kept, sizeof kept, "%s.slots", f->dir);
    store_copy(path, kept);
    store_remove(path);
    assert_int_equal(try_open(f), FM_CORRUPT);
    assert_text(f, "`slots`");
    assert_text(f, "backup");
    store_copy(kept, path);
    assert_opens_with(f, 10);
}

/* One slot may be damaged, by a torn write or a flipped bit: the other one is enough. Not both. */
static void test_damaged_slots(void **state)
{
    struct fixture *f = *state;
    char path[2 * STORE_DIR_MAX];

    append_some(f);
    path_of(f, "slots", path);
    for (off_t slot = 0; slot < 2; slot++) {
        for (off_t at = 0; at < 512; at += 73) {
            close_store(f);
            flip_bit(path, slot * 512 + at);
            assert_opens_with(f, 10);
            close_store(f);
            flip_bit(path, slot * 512 + at);
            assert_opens_with(f, 10);
        }
    }
    close_store(f);
    flip_bit(path, 100);
    flip_bit(path, 900);
    assert_int_equal(try_open(f), FM_CORRUPT);
    flip_bit(path, 100);
    assert_int_equal(truncate(path, 512), 0);
    assert_opens_with(f, 10); /* The second was cut off, the first is whole. */
    rows_append(f->store, f->schema, f->rows + 10, 1, NULL);
    rows_append(f->store, f->schema, f->rows + 11, 1, NULL);
    close_store(f);
    assert_int_equal(size_of(path), 1024);
    flip_bit(path, 3);
    assert_opens_with(f, 12);
}

/* The slots of another folder with the same ids promise another history. */
static void test_swapped_slots(void **state)
{
    struct fixture *f = *state;
    char path[2 * STORE_DIR_MAX], other[2 * STORE_DIR_MAX];
    struct fm_store *store;

    append_some(f);
    close_store(f);
    store = store_open_good(f->copy);
    assert_int_equal(fm_store_define(store, f->schema, 1, &f->err), FM_OK);
    for (size_t i = 0; i < 5; i++)
        rows_append(store, f->schema, f->rows + i, 1, NULL);
    fm_store_close(store);
    path_of(f, "slots", path);
    (void)snprintf(other, sizeof other, "%s/slots", f->copy);
    store_remove(path);
    store_copy(other, path);
    assert_int_equal(try_open(f), FM_CORRUPT);
    assert_text(f, "another history");
}

/* ---- Less than was acknowledged -------------------------------------------------------------- */

/* RocksDB's folder of yesterday beside today's slots. */
static void test_rolled_back_store(void **state)
{
    struct fixture *f = *state;
    char path[2 * STORE_DIR_MAX], today[2 * STORE_DIR_MAX];

    append_some(f);
    close_store(f);
    path_of(f, "store", path);
    store_copy(path, f->copy);
    assert_opens_with(f, 10);
    rows_append(f->store, f->schema, f->rows + 10, 1, NULL);
    close_store(f);
    (void)snprintf(today, sizeof today, "%s.today", f->dir);
    store_copy(path, today);
    store_remove(path);
    store_copy(f->copy, path);
    assert_int_equal(try_open(f), FM_CORRUPT);
    assert_text(f, "ends at commit 11, but commit 12 was acknowledged");
    assert_text(f, "backup");
    store_remove(path);
    assert_int_equal(try_open(f), FM_CORRUPT); /* No folder at all. */
    store_copy(today, path);
    assert_opens_with(f, 11);
}

/* A whole folder of yesterday is a store like any other: only peers can tell (their heads). */
static void test_rolled_back_folder_opens(void **state)
{
    struct fixture *f = *state;

    append_some(f);
    close_store(f);
    store_copy(f->dir, f->copy);
    assert_opens_with(f, 10);
    rows_append(f->store, f->schema, f->rows + 10, 1, NULL);
    close_store(f);
    store_remove(f->dir);
    store_copy(f->copy, f->dir);
    assert_opens_with(f, 10);
}

/* The log lost, cut anywhere or with a flipped bit: refused, or nothing is missing. */
static void test_damaged_log(void **state)
{
    struct fixture *f = *state;
    char log[2 * STORE_DIR_MAX];
    size_t refused = 0;
    off_t size;

    append_some(f);
    close_store(f);
    store_copy(f->dir, f->copy);
    assert_true(find_file(f, ".log", log));
    size = size_of(log);
    for (int round = 0; round < 25; round++) {
        if (round == 0)
            store_remove(log);
        else if (round < 13)
            assert_int_equal(truncate(log, size * (round - 1) / 12), 0);
        else
            flip_bit(log, size * (round - 13) / 12);
        if (try_open(f) == FM_OK) {
            row_list_free(&f->read);
            rows_read(f->store, &f->read);
            assert_int_equal(f->read.count, 10);
            rows_assert_equal(f->read.rows, f->rows, 10);
        } else {
            refused++;
            assert_text(f, "backup");
            if (round > 0) { /* What is left of the log is still there. */
                assert_int_equal(size_of(log), round < 13 ? size * (round - 1) / 12 : size);
            }
        }
        close_store(f);
        store_remove(f->dir);
        store_copy(f->copy, f->dir);
    }
    assert_true(refused >= 20);
    assert_opens_with(f, 10);
}

/* A flipped bit in a table or blob file: the opening or the scan fails; a scan that succeeds gives
 * every row. */
static void test_damaged_tables_and_blobs(void **state)
{
    struct fixture *f = *state;
    static const char *const kinds[] = {".sst", ".blob"};
    size_t found = 0;

    rows_append(f->store, f->schema, f->rows, 100, NULL);
    rows_append(f->store, f->schema, f->rows + 100, ROWS - 100, NULL);
    close_store(f);
    assert_opens_with(f, ROWS); /* An opening moves the log into files. */
    close_store(f);
    assert_opens_with(f, ROWS);
    close_store(f);
    store_copy(f->dir, f->copy);
    for (int round = 0; round < 40; round++) {
        char path[2 * STORE_DIR_MAX];
        struct fm_snapshot *snapshot = NULL;
        enum fm_status status;

        assert_true(find_file(f, kinds[round % 2], path));
        flip_bit(path, size_of(path) * (round / 2) / 20);
        status = try_open(f);
        if (status == FM_OK) {
            row_list_free(&f->read);
            assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
            status = rows_scan(snapshot, NULL, &f->read, &f->err);
            fm_snapshot_free(snapshot);
        }
        if (status == FM_OK) {
            assert_int_equal(f->read.count, ROWS);
            rows_assert_equal(f->read.rows, f->rows, ROWS);
        } else {
            assert_int_equal(status, FM_CORRUPT);
            found++;
        }
        close_store(f);
        store_remove(f->dir);
        store_copy(f->copy, f->dir);
    }
    assert_true(found >= 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_second_opening_is_busy),
        TEST(test_foreign_folders),
        TEST(test_folder_is_private),
        TEST(test_lost_slots),
        TEST(test_damaged_slots),
        TEST(test_swapped_slots),
        TEST(test_rolled_back_store),
        TEST(test_rolled_back_folder_opens),
        TEST(test_damaged_log),
        TEST(test_damaged_tables_and_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
