/* Stores that earlier versions wrote open, answer what they answered then, and go on: rows, roots,
 * proofs and as-of answers stay the same below what is appended and after it was sealed. */
#include "storage/check.h"
#include "tests/support/golden_store.h"
#include "tests/support/store_support.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FOLDER FM_SOURCE_DIR "/tests/vectors/store"
#define PATH_BYTES 512u
#define APPEND_SMALL 7u
#define APPEND_LARGE 2500u

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    (void)fprintf(stderr, "%s: %s\n", finding->part, finding->text);
}

static void examine(const char *dir)
{
    struct fm_check_options options = {.dir = dir, .finding = print_finding};
    struct fm_check_result result = {0};
    struct fm_error err = {0};

    if (fm_store_check(&options, &result, &err) != FM_OK)
        fail_msg("%s: %s", dir, err.text);
    assert_int_equal(result.damage_count, 0);
    assert_true(result.table_count > 0);
}

static enum fm_status grow(void *context, const char *domain, const char *table)
{
    struct fm_store *store = context;
    struct fm_table_info before, after;
    struct fm_appended out;
    struct fm_error err = {0};

    assert_int_equal(fm_store_table(store, domain, table, &before), FM_OK);
    golden_append(store, table, APPEND_SMALL, 77, 1000, &out);
    assert_int_equal(out.first_sequence, before.size);
    assert_true(out.recorded_at > before.recorded_at);
    golden_append(store, table, APPEND_LARGE, 78, 1001, &out);
    assert_int_equal(out.size, before.size + APPEND_SMALL + APPEND_LARGE);
    if (fm_store_seal(store, domain, table, NULL, &err) != FM_OK)
        fail_msg("seal %s: %s", table, err.text);
    assert_int_equal(fm_store_table(store, domain, table, &after), FM_OK);
    assert_int_equal(after.hot_rows, 0);
    if (before.schema->key_count == 0)
        assert_int_equal(after.rows_latest, before.rows_latest + APPEND_SMALL + APPEND_LARGE);
    else
        assert_true(after.rows_latest > before.rows_latest && after.rows_latest < after.size);
    fm_schema_free(before.schema);
    fm_schema_free(after.schema);
    return FM_OK;
}

/* As it was left, appended to and sealed, opened again. */
static void look(const char *dir, FILE *lines)
{
    struct fm_store *store;
    uint32_t all, some;

    examine(dir);
    store = golden_open(dir);
    all = golden_check(store, lines, false);
    assert_int_equal(fm_store_each_table(store, grow, store), FM_OK);
    some = golden_check(store, lines, true);
    assert_true(all > some && some >= 100);
    fm_store_close(store);
    examine(dir);
    store = golden_open(dir);
    assert_int_equal(golden_check(store, lines, true), some);
    fm_store_close(store);
    examine(dir);
}

static void check_one(const char *name, int stem)
{
    char dir[STORE_DIR_MAX], command[2 * PATH_BYTES], path[PATH_BYTES];
    FILE *lines;

    store_dir_make(dir);
    (void)snprintf(command, sizeof command,
                   "mkdir '%s' && tar -xzf '" FOLDER "/%.*s.tar.gz' -C '%s'", dir, stem, name,
                   dir); /* A cut one fails. */
    assert_int_equal(system(command), 0);
    (void)snprintf(path, sizeof path, FOLDER "/%s", name); /* The same. */
    lines = fopen(path, "r");
    assert_non_null(lines);
    look(dir, lines);
    assert_int_equal(fclose(lines), 0);
    store_dir_remove(dir);
}

static void earlier_stores_stay_readable(void **state)
{
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    uint32_t count = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot == NULL || strcmp(dot, ".txt") != 0)
            continue;
        print_message("%s\n", entry->d_name);
        check_one(entry->d_name, (int)(dot - entry->d_name));
        count++;
    }
    (void)closedir(folder);
    assert_true(count >= 3); /* None is ever removed. */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(earlier_stores_stay_readable)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
