#include "tests/support/store_history.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define IDS 3000u
#define ARGUMENTS_MAX 8u

/* Two are small, two are large; all sums of them differ. */
static const size_t counts[HISTORY_COUNT] = {300, 5000, 40, 4100, 7};

struct row *history_rows(unsigned number, size_t *count)
{
    struct row *rows = calloc(counts[number], sizeof *rows);

    for (size_t i = 0; rows != NULL && i < counts[number]; i++) {
        rows[i] = row_make(i * 31 + number * 1000);
        rows[i].id = (int64_t)((i * 7 + number * 13) % IDS);
    }
    *count = counts[number];
    return rows;
}

enum fm_status history_append(struct fm_store *store, unsigned number,
                              void (*before_commit)(void *context), void *context,
                              struct fm_error *err)
{
    struct fm_append_options options = {.domain = "tests",
                                        .table = "rows",
                                        .schema_version = 1,
                                        .has_producer = true,
                                        .producer_sequence = number + 1};
    struct fm_schema *schema = rows_schema(ROWS_KEYED);
    struct fm_append *append = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended appended;
    struct fm_batch batch;
    bool done = false;
    size_t count;
    struct row *rows = history_rows(number, &count);
    enum fm_status status = fm_append_begin(store, &options, &append, &done, &appended, err);

    if (status == FM_OK && !done) {
        rows_batch(schema, rows, (uint32_t)count, true, &bytes);
        status = fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch);
        if (status == FM_OK)
            status = fm_append_rows(append, &batch, err);
        if (status == FM_OK && before_commit != NULL)
            before_commit(context);
        if (status == FM_OK)
            status = fm_append_commit(append, &appended, err);
        else
            fm_append_abort(append);
    }
    fm_buf_free(&bytes);
    fm_schema_free(schema);
    free(rows);
    return status;
}

void history_make(const char *dir)
{
    struct fm_store *store = store_open_good(dir);
    struct fm_schema *schema = rows_schema(ROWS_KEYED);
    struct fm_error err = {0};
    char reserve[2 * STORE_DIR_MAX];

    assert_int_equal(fm_store_define(store, schema, 1, &err), FM_OK);
    assert_int_equal(fm_store_put_record(store, fm_span_str("key"), fm_span_str("value"), &err),
                     FM_OK);
    for (unsigned number = 0; number < HISTORY_BASE; number++)
        if (history_append(store, number, NULL, NULL, &err) != FM_OK)
            fail_msg("append %u: %s", number, err.text);
    fm_store_close(store);
    fm_schema_free(schema);
    (void)snprintf(reserve, sizeof reserve, "%s/reserve", dir); /* Fits. */
    (void)unlink(reserve);                                      /* A small disk has none. */
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* The appends whose sizes add up to `size`. */
static unsigned find_appends(uint64_t size)
{
    for (unsigned present = 0; present < 1u << HISTORY_COUNT; present++) {
        uint64_t sum = 0;

        for (unsigned number = 0; number < HISTORY_COUNT; number++)
            sum += (present >> number & 1) != 0 ? counts[number] : 0;
        if (sum == size)
            return present;
    }
    fail_msg("%llu facts are no whole appends", (unsigned long long)size);
    return 0;
}

/* The rows of the appends that are the latest of their keys at the end of `appends`. */
static void expect(unsigned appends, struct row_list *out)
{
    size_t latest[IDS], size = 0;

    *out = (struct row_list){.rows = calloc(10000, sizeof *out->rows)};
    assert_non_null(out->rows);
    for (unsigned number = 0; number < HISTORY_COUNT; number++) {
        size_t count;
        struct row *rows = history_rows(number, &count);

        assert_non_null(rows);
        for (size_t i = 0; (appends >> number & 1) != 0 && i < count; i++) {
            latest[rows[i].id] = size;
            out->rows[size++] = rows[i];
        }
        free(rows);
    }
    for (size_t i = 0; i < size; i++)
        if (latest[out->rows[i].id] == i)
            out->rows[out->count++] = out->rows[i];
}

static void check_record(struct fm_store *store)
{
    struct fm_buf value = FM_BUF_INIT(0);

    assert_int_equal(fm_store_get_record(store, fm_span_str("key"), &value), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&value), fm_span_str("value")));
    fm_buf_free(&value);
}

/* The state when only the first appends were there. */
static void check_scan(struct fm_snapshot *snapshot, unsigned appends, struct fm_at at)
{
    struct fm_scan_options options = {.at = at};
    struct row_list expected, read;
    struct fm_error err = {0};

    expect(appends, &expected);
    if (rows_scan(snapshot, &options, &read, &err) != FM_OK)
        fail_msg("scan: %s", err.text);
    assert_int_equal(read.count, expected.count);
    rows_assert_equal(read.rows, expected.rows, expected.count);
    row_list_free(&read);
    row_list_free(&expected);
}

unsigned history_check(struct fm_store *store)
{
    struct fm_table_info info = rows_info(store);
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err = {0};
    unsigned present = find_appends(info.size), before = 0;
    int64_t size = 0;

    assert_int_equal(fm_snapshot_open(store, &snapshot, &err), FM_OK);
    check_scan(snapshot, present, (struct fm_at){0});
    for (unsigned number = 0; number < HISTORY_COUNT; number++) {
        if ((present >> number & 1) == 0)
            continue;
        before |= 1u << number;
        size += (int64_t)counts[number];
        check_scan(snapshot, before, (struct fm_at){FM_AT_VERSION, size});
    }
    check_record(store);
    fm_snapshot_free(snapshot);
    fm_schema_free(info.schema);
    return present;
}

/* ---- Children -------------------------------------------------------------------------------- */

int history_run_child(const char *const arguments[], char *output, size_t size)
{
    char *copy[ARGUMENTS_MAX] = {(char *)"/proc/self/exe"};
    size_t length = 0;
    int ends[2], status;
    ssize_t got;

    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i + 2 < ARGUMENTS_MAX);
        copy[i + 1] = (char *)arguments[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(ends[1], 1) == 1 && dup2(ends[1], 2) == 2)
            (void)execv(copy[0], copy); /* Comes back only when it failed. */
        _exit(127);
    }
    (void)close(ends[1]);
    while (length + 1 < size && (got = read(ends[0], output + length, size - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
    assert_true(length + 1 < size);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

bool history_rocksdb_aborted(int wait_status, const char *output)
{
    return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGABRT &&
           strstr(output, "rocksdb::") != NULL && strstr(output, "Assertion") != NULL;
}
