/* SQL that wants all memory or all time (research: the list of worker.md section 4). Each ends as a
 * status within its deadline, the host stays, and the next worker answers. */
#include "query/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define DEADLINE_MS 2000
#define END_MS                                                                                     \
    (DEADLINE_MS + 500 + 15000) /* Interrupt, SIGKILL half a second later; a busy machine. */

struct fixture {
    struct fm_engine *engine;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)150 << 20, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

static enum fm_status run_in(struct fixture *f, struct fm_worker *worker, const char *sql)
{
    struct fm_columns columns = {0};
    struct fm_buf batch = FM_BUF_INIT(0);

    f->err.text[0] = '\0';
    enum fm_status status = fm_worker_run(worker, fm_span_str(sql), NULL, &columns, &f->err);
    while (status == FM_OK) {
        fm_buf_clear(&batch);
        status = fm_worker_next(worker, &batch, &f->err);
    }
    fm_buf_free(&batch);
    fm_columns_deinit(&columns);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status run_for(struct fixture *f, const char *sql, fm_ms ms)
{
    struct fm_worker *worker = NULL;

    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + ms, &worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    fm_ms start = fm_now_ms();
    enum fm_status status = run_in(f, worker, sql);
    fm_ms took = fm_now_ms() - start;
    fm_worker_free(worker);
    print_message("%5lld ms %-30s %.60s\n", (long long)took, fm_status_text(status), sql);
    assert_in_range(took, 0, END_MS);
    return status;
}

static enum fm_status run(struct fixture *f, const char *sql)
{
    return run_for(f, sql, DEADLINE_MS);
}

static void memory_bombs(void **state)
{
    struct fixture *f = *state;
    static const char *const bombs[] = {
        "SELECT length(repeat('x', 1000000000))",
        "SELECT len(range(1000000000))",
        "SELECT list_reduce(range(100000000), lambda x, y: x + y)",
        "SELECT printf('%999999999d', 1)",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT length(string_agg(i::VARCHAR || repeat('z', 100), ',')) FROM range(100000000) t(i)",
        "SELECT len(list(i)) FROM range(100000000) t(i)",
        "SELECT * FROM (SELECT i, i * 7 % 1000003 AS k FROM range(100000000) t(i) ORDER BY k, i) "
        "LIMIT 1 OFFSET 50000000",
        "SELECT count(*) FROM (SELECT i % 90000000 AS k, count(*) FROM range(100000000) t(i) GROUP "
        "BY k)",
        "WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM t WHERE length(s) < "
        "4000000000) SELECT max(length(s)) FROM t",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        enum fm_status status = run(f, bombs[i]);
        /* Under sanitizers, which lift the limit on memory, time may end it instead. */
        if (status != FM_LIMIT && status != FM_TIMEOUT && status != FM_INVALID)
            fail_msg("%s: %s: %s", bombs[i], fm_status_text(status), f->err.text);
        assert_true(f->err.text[0] != '\0');
    }
    assert_int_equal(run_for(f, "SELECT 1", 60000), FM_OK);
}

static void time_bombs(void **state)
{
    struct fixture *f = *state;
    static const char *const bombs[] = {
        "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE (i * 7 + j) % 11 = 3",
        ("WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i % 7 + 1 FROM t) SELECT count(*) FROM "
         "t"),
        "SELECT sum(i) FROM generate_series(1, 9223372036854775806) t(i) WHERE i % 3 = hash(i) % 3",
        "SELECT levenshtein(repeat('ab', 100000), repeat('cd', 100000))",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        enum fm_status status = run(f, bombs[i]);
        if (status != FM_TIMEOUT)
            fail_msg("%s: %s: %s", bombs[i], fm_status_text(status), f->err.text);
    }
    assert_int_equal(run_for(f, "SELECT 1", 60000), FM_OK);
}

static char *repeated(const char *before, const char *piece, size_t count, const char *after)
{
    struct fm_buf text = FM_BUF_INIT(0);
    fm_buf_put_str(&text, before);
    for (size_t i = 0; i < count; i++)
        fm_buf_put_str(&text, piece);
    fm_buf_put_str(&text, after);
    fm_buf_put_u8(&text, 0);
    assert_int_equal(fm_buf_status(&text), FM_OK);
    return (char *)text.data;
}

/* Deep and long texts: parsed or refused, by the same worker that then answers. */
static void parser_bombs(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *before;
        const char *piece;
        size_t count;
        const char *after;
    } bombs[] = {
        {"SELECT ", "(", 10000, "1"},
        {"SELECT ", "abs(", 5000, "1"},
        {"SELECT 1", " + 1", 20000, ""},
        {"SELECT ", "[", 3000, "1"},
        {"SELECT 1 WHERE 1 IN (0", ", 1", 20000, ")"},
        {"SELECT ", "NOT ", 20000, "true"},
        {"SELECT * FROM ", "(SELECT * FROM ", 2000, "x"},
        {"SELECT 1 ", "UNION ALL SELECT 1 ", 5000, ""},
        {"SELECT '", "x", 1000000, "'"},
    };
    struct fm_worker *worker = NULL;

    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &worker, &f->err), FM_OK);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct fm_buf tree = FM_BUF_INIT(0);
        char *sql = repeated(bombs[i].before, bombs[i].piece, bombs[i].count, bombs[i].after);
        fm_ms start = fm_now_ms();
        enum fm_status status = fm_worker_parse(worker, fm_span_str(sql), &tree, &f->err);
        print_message("%5lld ms %-30s %.40s... %.60s\n", (long long)(fm_now_ms() - start),
                      fm_status_text(status), sql, status == FM_OK ? "" : f->err.text);
        if (status != FM_OK && status != FM_INVALID && status != FM_LIMIT)
            fail_msg("%.40s: %s: %s", sql, fm_status_text(status), f->err.text);
        if (status == FM_LIMIT && run_in(f, worker, "SELECT 1") != FM_OK) {
            fm_worker_free(worker); /* Its death is a normal outcome too. */
            assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &worker, &f->err),
                             FM_OK);
        }
        fm_buf_free(&tree);
        free(sql);
    }
    assert_int_equal(run_in(f, worker, "SELECT 1"), FM_OK);
    char *huge = repeated("SELECT '", "0123456789", 120000, "'");
    struct fm_buf tree = FM_BUF_INIT(0);
    assert_int_equal(fm_worker_parse(worker, fm_span_str(huge), &tree, &f->err), FM_LIMIT);
    fm_buf_free(&tree);
    free(huge);
    fm_worker_free(worker);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(memory_bombs), TEST(time_bombs), TEST(parser_bombs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
