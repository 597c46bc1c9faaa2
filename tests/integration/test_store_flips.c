/* One bit of one file of a data folder is flipped, at many places over all files. The opening or a
 * read says so, or nothing changed: the same rows, states, roots and records, by scans, mappings
 * and in the past. FM_SEED chooses the places; FM_LONG=1 takes twenty times as many. */
#include "tests/support/store_history.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES_MAX 64u
#define PLACES 14u /* Of each file, in the short form; the first and last byte are among them. */
#define PATH_BYTES (3 * STORE_DIR_MAX)

struct fixture {
    char base[STORE_DIR_MAX];
    char trial[STORE_DIR_MAX + 8];
    uint64_t seed;
    struct random random;
    struct fm_hash root;
    struct row_list expected;
    uint32_t file_count;
    char files[FILES_MAX][STORE_DIR_MAX]; /* Within the folder. */
    unsigned found_opening;
    unsigned found_reading;
    unsigned harmless;
};

/* ---- A folder with files of every kind ------------------------------------------------------- */

static void append(struct fm_store *store, unsigned number)
{
    struct fm_error err = {0};

    if (history_append(store, number, NULL, NULL, &err) != FM_OK)
        fail_msg("append %u: %s", number, err.text);
}

static void list(struct fixture *f, const char *inside)
{
    char path[PATH_BYTES];
    struct dirent *entry;

    (void)snprintf(path, sizeof path, "%s%s", f->base, inside); /* Fits. */
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        char file[PATH_BYTES + 300];
        struct stat status;

        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        assert_int_equal(lstat(file, &status), 0);
        if (!S_ISREG(status.st_mode) || status.st_size == 0)
            continue;
        assert_true(f->file_count < FILES_MAX);
        (void)snprintf(f->files[f->file_count++], STORE_DIR_MAX, "%s/%.60s", inside, entry->d_name);
    }
    (void)closedir(directory); /* Read only. */
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *seed = getenv("FM_SEED");
    char reserve[PATH_BYTES];
    struct fm_table_info info;

    assert_non_null(f);
    f->seed = seed != NULL ? strtoull(seed, NULL, 10) : 7;
    f->random.state = f->seed;
    store_dir_make(f->base);
    (void)snprintf(f->trial, sizeof f->trial, "%s.trial", f->base);
    history_make(f->base);
    struct fm_store *store = store_open_good(f->base); /* Moves the log into files. */
    append(store, HISTORY_SMALL);
    fm_store_close(store);
    store = store_open_good(f->base);
    append(store, HISTORY_LARGE); /* In the log, like what follows. */
    append(store, HISTORY_LAST);
    info = rows_info(store);
    f->root = info.root;
    rows_read(store, &f->expected);
    fm_schema_free(info.schema);
    fm_store_close(store);
    (void)snprintf(reserve, sizeof reserve, "%s/reserve", f->base); /* Fits. */
    assert_int_equal(unlink(reserve), 0);
    list(f, "");
    list(f, "/store");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    row_list_free(&f->expected);
    store_dir_remove(f->base);
    free(f);
    return 0;
}

/* ---- One flip -------------------------------------------------------------------------------- */

static void flip(const char *path, off_t at, unsigned bit)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static enum fm_status read_scan(struct fixture *f, struct fm_snapshot *snapshot,
                                struct fm_error *err)
{
    struct row_list read;
    enum fm_status status = rows_scan(snapshot, NULL, &read, err);

    if (status == FM_OK) {
        assert_int_equal(read.count, f->expected.count);
        rows_assert_equal(read.rows, f->expected.rows, read.count);
    }
    row_list_free(&read);
    return status;
}

/* The whole past, row by row: what no scan of the latest state shows. */
static enum fm_status read_past(struct fm_snapshot *snapshot, struct fm_error *err)
{
    size_t count;
    struct row *first = history_rows(0, &count);
    struct fm_scan_options options = {.at = {FM_AT_VERSION, (int64_t)count}};
    struct row_list read;
    enum fm_status status = rows_scan(snapshot, &options, &read, err);

    if (status == FM_OK) {
        assert_int_equal(read.count, count);
        rows_assert_equal(read.rows, first, count);
    }
    row_list_free(&read);
    free(first);
    return status;
}

static enum fm_status read_record(struct fm_store *store)
{
    struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = fm_store_get_record(store, fm_span_str("key"), &value);

    if (status == FM_OK)
        assert_true(fm_span_equal(fm_buf_span(&value), fm_span_str("value")));
    assert_int_not_equal(status, FM_NOTFOUND);
    fm_buf_free(&value);
    return status;
}

/* A mapping has every row once, in segments or in the rest. */
static enum fm_status read_mapping(const struct fixture *f, struct fm_snapshot *snapshot,
                                   struct fm_error *err)
{
    static const uint32_t fields[] = {0};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 1, .fields = fields};
    struct fm_store_mapping mapping = {0};
    struct fm_buf bytes = FM_BUF_INIT(0);
    uint64_t rows = 0;
    enum fm_status status = fm_snapshot_map(snapshot, &options, &mapping, err);

    if (status != FM_OK)
        return status;
    rows = mapping_rows(&mapping);
    while (status == FM_OK && mapping.rest != NULL) {
        fm_buf_clear(&bytes);
        status = fm_scan_next(mapping.rest, &bytes, err);
        rows += status == FM_OK ? fm_load32(bytes.data + 8) : 0;
    }
    if (status == FM_OK || status == FM_NOTFOUND) {
        assert_int_equal(rows, f->expected.count);
        status = FM_OK;
    }
    fm_buf_free(&bytes);
    fm_store_mapping_deinit(&mapping);
    return status;
}

/* Everything that can be read; the first failure. */
static enum fm_status read_all(struct fixture *f, struct fm_store *store, struct fm_error *err)
{
    struct fm_table_info info = rows_info(store);
    struct fm_snapshot *snapshot = NULL;
    enum fm_status status;

    assert_true(fm_hash_equal(&info.root, &f->root));
    assert_int_equal(info.rows_latest, f->expected.count);
    fm_schema_free(info.schema);
    status = fm_snapshot_open(store, &snapshot, err);
    if (status == FM_OK)
        status = read_scan(f, snapshot, err);
    if (status == FM_OK)
        status = read_past(snapshot, err);
    if (status == FM_OK)
        status = read_mapping(f, snapshot, err);
    if (status == FM_OK)
        status = read_record(store);
    fm_snapshot_free(snapshot);
    return status;
}

static void try_flip(struct fixture *f, const char *file, off_t at, unsigned bit)
{
    struct fm_store_options options = store_options(f->trial);
    struct fm_store *store = NULL;
    struct fm_error err = {0};
    char path[PATH_BYTES];

    options.free_bytes_min = UINT64_MAX / 4; /* No reserve file is made: it takes time. */
    store_copy(f->base, f->trial);
    (void)snprintf(path, sizeof path, "%s%s", f->trial, file); /* Fits. */
    flip(path, at, bit);
    enum fm_status status = fm_store_open(&options, &store, &err);
    if (status != FM_OK) {
        f->found_opening++;
        assert_int_not_equal(status, FM_NOMEM);
        assert_true(err.text[0] != '\0');
    } else if (read_all(f, store, &err) != FM_OK) {
        f->found_reading++;
    } else {
        f->harmless++;
    }
    fm_store_close(store);
    store_remove(f->trial);
}

static void flip_file(struct fixture *f, const char *file, unsigned places)
{
    char path[PATH_BYTES];
    struct stat status;

    (void)snprintf(path, sizeof path, "%s%s", f->base, file); /* Fits. */
    assert_int_equal(stat(path, &status), 0);
    for (unsigned i = 0; i < places; i++) {
        off_t at = i == 0   ? 0
                   : i == 1 ? status.st_size - 1
                            : (off_t)random_below(&f->random, (uint32_t)status.st_size);
        unsigned bit = random_below(&f->random, 8);

        print_message("%s: byte %lld, bit %u\n", file, (long long)at, bit);
        try_flip(f, file, at, bit);
    }
}

static void test_one_bit(void **state)
{
    struct fixture *f = *state;
    unsigned places = getenv("FM_LONG") != NULL ? 20 * PLACES : PLACES;

    print_message("FM_SEED=%" PRIu64 "\n", f->seed);
    for (uint32_t i = 0; i < f->file_count; i++) {
        /* RocksDB's texts for humans: a few places do. */
        bool is_text = strstr(f->files[i], "LOG") != NULL || strstr(f->files[i], "OPTIONS") != NULL;

        flip_file(f, f->files[i], is_text ? places / 4 : places);
    }
    print_message("%u found when opening, %u when reading, %u without effect\n", f->found_opening,
                  f->found_reading, f->harmless);
    assert_true(f->found_opening > 0 && f->found_reading > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_bit, setup, teardown),
    };
    /* No power is cut here: memory does for a disk. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* Else on the disk. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
