/* How loans end: cancelled, out of time, killed, full; and that nothing stays behind. */
#include "query/engine.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define ENDLESS                                                                                    \
    "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE (i * 7 + j) % 11 = 3"

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
};

static void open_engine(struct fixture *f, uint32_t spare)
{
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)256 << 20, .spare = spare};
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    open_engine(f, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

static void lend(struct fixture *f, fm_ms ms)
{
    fm_worker_free(f->worker);
    f->worker = NULL;
    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + ms, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

/* Run to the end; rows seen so far in `rows`. */
static enum fm_status run(struct fixture *f, const char *sql, uint64_t rows_max, uint64_t *rows)
{
    struct fm_columns columns = {0};
    struct fm_buf batch = FM_BUF_INIT(0);
    struct fm_run_options options = {.rows_max = rows_max};

    *rows = 0;
    enum fm_status status = fm_worker_run(f->worker, fm_span_str(sql), &options, &columns, &f->err);
    while (status == FM_OK) {
        fm_buf_clear(&batch);
        status = fm_worker_next(f->worker, &batch, &f->err);
        if (status == FM_OK)
            *rows += fm_load32(batch.data + 8);
    }
    fm_buf_free(&batch);
    fm_columns_deinit(&columns);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static void assert_works(struct fixture *f)
{
    uint64_t rows = 0;
    lend(f, 60000);
    enum fm_status status = run(f, "SELECT 1", 0, &rows);
    if (status != FM_OK)
        fail_msg("%s: %s", fm_status_text(status), f->err.text);
    assert_int_equal(rows, 1);
}

static void a_deadline_ends_a_query(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    lend(f, 300);
    fm_ms start = fm_now_ms();
    assert_int_equal(run(f, ENDLESS, 0, &rows), FM_TIMEOUT);
    assert_in_range(fm_now_ms() - start, 200, 20000);
    assert_int_equal(run(f, "SELECT 1", 0, &rows), FM_TIMEOUT); /* The loan is over. */
    struct fm_worker *late = NULL;
    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms(), &late, &f->err), FM_TIMEOUT);
    assert_works(f);
}

/* levenshtein() does not look at the interrupt: only SIGKILL ends it. */
static void a_deaf_query_is_killed(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    lend(f, 300);
    fm_ms start = fm_now_ms();
    assert_int_equal(
        run(f, "SELECT levenshtein(repeat('ab', 100000), repeat('cd', 100000))", 0, &rows),
        FM_TIMEOUT);
    assert_in_range(fm_now_ms() - start, 200, 20000);
    assert_works(f);
}

static void *cancel_soon(void *argument)
{
    usleep(200000);
    fm_worker_cancel(argument);
    return NULL;
}

static void another_thread_cancels(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    uint64_t rows = 0;

    lend(f, 60000);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, f->worker), 0);
    fm_ms start = fm_now_ms();
    assert_int_equal(run(f, ENDLESS, 0, &rows), FM_CANCELLED);
    assert_in_range(fm_now_ms() - start, 100, 20000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(run(f, "SELECT 1", 0, &rows), FM_CANCELLED);
    /* Before anything was asked. */
    lend(f, 60000);
    fm_worker_cancel(f->worker);
    assert_int_equal(run(f, ENDLESS, 0, &rows), FM_CANCELLED);
    assert_works(f);
}

static void *kill_soon(void *argument)
{
    usleep(200000);
    (void)kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

static void a_killed_worker_is_an_error(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    uint64_t rows = 0;

    lend(f, 60000);
    pid_t pid = fm_worker_pid(f->worker);
    assert_true(pid > 0);
    assert_int_equal(pthread_create(&thread, NULL, kill_soon, &pid), 0);
    assert_int_equal(run(f, ENDLESS, 0, &rows), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "killed"));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_works(f);
}

static pid_t parent_of(pid_t pid)
{
    char path[64], line[256];
    int parent = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (parent == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "PPid: %d", &parent);
    (void)fclose(file);
    return parent;
}

/* The first process dies: its workers go with it, the next lend starts another. */
static void the_first_process_is_replaced(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    lend(f, 60000);
    pid_t zygote = parent_of(fm_worker_pid(f->worker));
    assert_int_equal(kill(zygote, SIGKILL), 0);
    usleep(100000);
    assert_int_not_equal(run(f, "SELECT 1", 0, &rows), FM_OK);
    assert_works(f);
    assert_int_not_equal(parent_of(fm_worker_pid(f->worker)), zygote);
}

static uint32_t count_entries(const char *path)
{
    uint32_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static uint32_t count_children(pid_t pid)
{
    char path[64];
    int child = 0;
    uint32_t count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0; /* Kernels without CONFIG_PROC_CHILDREN. */
    while (fscanf(file, "%d", &child) == 1)
        count++;
    (void)fclose(file);
    return count;
}

static void nothing_stays_behind(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    fm_engine_free(f->engine);
    f->engine = NULL;
    uint32_t before_all = count_entries("/proc/self/fd");
    open_engine(f, 0);
    lend(f, 60000);
    pid_t zygote = parent_of(fm_worker_pid(f->worker));
    fm_worker_free(f->worker);
    f->worker = NULL;
    uint32_t before = count_entries("/proc/self/fd");
    fm_ms start = fm_now_ms();
    for (int i = 0; i < 100; i++) {
        lend(f, 60000);
        assert_int_equal(run(f, "SELECT 1", 0, &rows), FM_OK);
        fm_worker_free(f->worker);
        f->worker = NULL;
    }
    print_message("100 loans without spares: %.1f ms each\n", (double)(fm_now_ms() - start) / 100);
    assert_int_equal(count_entries("/proc/self/fd"), before);
    assert_int_equal(count_children(zygote), 0);
    fm_engine_free(f->engine);
    f->engine = NULL;
    assert_int_equal(count_entries("/proc/self/fd"), before_all);
}

static void results_of_all_sizes(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    lend(f, 60000);
    assert_int_equal(run(f, "SELECT 1 WHERE false", 0, &rows), FM_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(run(f, "SELECT i, i::VARCHAR FROM range(1000000) t(i)", 0, &rows), FM_OK);
    assert_int_equal(rows, 1000000);
    /* Rows of 3 KB, then of 200 KB, then one of 10 MB, then one that is too large. */
    assert_int_equal(run(f, "SELECT repeat('x', 3000) FROM range(3000) t(i)", 0, &rows), FM_OK);
    assert_int_equal(rows, 3000);
    assert_int_equal(run(f, "SELECT repeat('x', 200000) FROM range(50) t(i)", 0, &rows), FM_OK);
    assert_int_equal(rows, 50);
    assert_int_equal(run(f, "SELECT repeat('x', 10000000)", 0, &rows), FM_OK);
    assert_int_equal(rows, 1);
    assert_int_equal(run(f, "SELECT repeat('x', 17000000)", 0, &rows), FM_LIMIT);
    assert_int_equal(run(f, "SELECT 1", 0, &rows), FM_OK);
    /* The caller's own bound. */
    assert_int_equal(run(f, "SELECT * FROM range(1000000)", 5000, &rows), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "5000"));
}

static void a_result_must_be_read_first(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};
    struct fm_buf text = FM_BUF_INIT(0);
    uint64_t rows = 0;

    lend(f, 60000);
    assert_int_equal(fm_worker_run(f->worker, fm_span_str("SELECT * FROM range(1000000)"), NULL,
                                   &columns, &f->err),
                     FM_OK);
    assert_int_equal(fm_worker_parse(f->worker, fm_span_str("SELECT 1"), &text, &f->err),
                     FM_INVALID);
    fm_columns_deinit(&columns);
    fm_buf_free(&text);
    /* Freed in the middle of a result. */
    assert_works(f);
    assert_int_equal(run(f, "SELECT a, b.c.d FROM", 0, &rows), FM_INVALID);
    assert_int_equal(run(f, "SELECT 1; SELECT 2", 0, &rows), FM_INVALID);
    assert_int_equal(run(f, "SELECT ?", 0, &rows), FM_INVALID);
    assert_int_equal(run(f, "SELECT 'x'::INTEGER", 0, &rows), FM_INVALID);
    assert_int_equal(run(f, "SELECT 1", 0, &rows), FM_OK);
}

/* ---- Warm workers ---------------------------------------------------------------------------- */

static const struct fm_hash anna = {.bytes = {1}}, berta = {.bytes = {1, 1}};

static int lend_to(struct fixture *f, const struct fm_hash *whom)
{
    fm_worker_free(FM_TAKE(f->worker));
    if (fm_worker_lend(f->engine, whom, fm_now_ms() + 60000, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    return fm_worker_pid(f->worker);
}

static void run_well(struct fixture *f, const char *sql)
{
    uint64_t rows = 0;
    if (run(f, sql, 0, &rows) != FM_OK)
        fail_msg("%s", f->err.text);
}

static void reopen(struct fixture *f, fm_ms warm_ms)
{
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)256 << 20, .warm_ms = warm_ms};

    fm_engine_free(FM_TAKE(f->engine));
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

static void the_same_principal_gets_its_worker(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};
    struct fm_buf text = FM_BUF_INIT(0);

    int pid = lend_to(f, &anna);
    run_well(f, "SELECT i % 7, count(*) FROM range(100000) t(i) GROUP BY 1");
    assert_int_equal(lend_to(f, &anna), pid);
    assert_int_equal(fm_worker_parse(f->worker, fm_span_str("SELECT 1"), &text, &f->err), FM_OK);
    fm_buf_free(&text);
    assert_int_equal(lend_to(f, &anna), pid);
    assert_int_equal(fm_worker_describe(f->worker, fm_span_str("SELECT 1"), &columns, &f->err),
                     FM_OK);
    fm_columns_deinit(&columns);
    /* Nobody else gets it, nor a loan for nobody, nor is that one's kept. */
    assert_int_not_equal(lend_to(f, &berta), pid);
    run_well(f, "SELECT 1");
    int nobody = lend_to(f, NULL);
    assert_int_not_equal(nobody, pid);
    run_well(f, "SELECT 1");
    assert_int_equal(lend_to(f, &anna), pid);
    /* Two loans at once are two workers. */
    struct fm_worker *first = FM_TAKE(f->worker);
    assert_int_not_equal(lend_to(f, &anna), pid);
    fm_worker_free(first);
}

static void tables_do_not_outlive_a_loan(void **state)
{
    struct fixture *f = *state;
    struct fm_column column = {.name = "a", .type = {.kind = FM_KIND_INT64}};
    struct fm_columns columns = {.items = &column, .count = 1};
    uint32_t supplied = 0;
    struct fm_slot slot = {.columns = &columns, .supplied_count = 1, .supplied = &supplied};
    uint64_t rows = 0;

    int pid = lend_to(f, &anna);
    assert_int_equal(fm_worker_set_slots(f->worker, &slot, 1, &f->err), FM_OK);
    run_well(f, "SELECT count(*) FROM fm_scan(0)");
    assert_int_equal(lend_to(f, &anna), pid);
    assert_int_not_equal(run(f, "SELECT count(*) FROM fm_scan(0)", 0, &rows), FM_OK);
    assert_non_null(strstr(f->err.text, "no such slot"));
}

static void a_worker_of_a_bad_loan_ends(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};
    uint64_t rows = 0;

    int pid = lend_to(f, &anna); /* An error. */
    assert_int_equal(run(f, "SELECT 'x'::INTEGER", 0, &rows), FM_INVALID);
    run_well(f, "SELECT 1");
    int next = lend_to(f, &anna); /* A bound. */
    assert_int_not_equal(next, pid);
    assert_int_equal(run(f, "SELECT * FROM range(100000)", 50, &rows), FM_LIMIT);
    pid = lend_to(f, &anna); /* A cancel that came too late. */
    assert_int_not_equal(next, pid);
    run_well(f, "SELECT 1");
    fm_worker_cancel(f->worker);
    next = lend_to(f, &anna); /* A result that was not read to its end. */
    assert_int_not_equal(next, pid);
    assert_int_equal(fm_worker_run(f->worker, fm_span_str("SELECT * FROM range(1000000)"), NULL,
                                   &columns, &f->err),
                     FM_OK);
    fm_columns_deinit(&columns);
    pid = lend_to(f, &anna); /* A deadline. */
    assert_int_not_equal(next, pid);
    fm_worker_free(FM_TAKE(f->worker));
    assert_int_equal(fm_worker_lend(f->engine, &anna, fm_now_ms() + 200, &f->worker, &f->err),
                     FM_OK);
    assert_int_equal(fm_worker_pid(f->worker), pid); /* With a deadline of its own. */
    assert_int_equal(run(f, ENDLESS, 0, &rows), FM_TIMEOUT);
    next = lend_to(f, &anna); /* Killed while it waits. */
    assert_int_not_equal(next, pid);
    fm_worker_free(FM_TAKE(f->worker));
    assert_int_equal(kill(next, SIGKILL), 0);
    usleep(100000);
    assert_int_not_equal(lend_to(f, &anna), next);
    run_well(f, "SELECT 1");
}

static void warm_workers_are_few(void **state)
{
    struct fixture *f = *state;
    struct fm_worker *loans[FM_WORKERS_WARM_MAX + 2];

    reopen(f, 60000);
    pid_t zygote = parent_of(lend_to(f, NULL));
    fm_worker_free(FM_TAKE(f->worker));
    for (uint32_t i = 0; i < 3; i++) {
        (void)lend_to(f, &anna);
        loans[i] = FM_TAKE(f->worker);
    }
    for (uint32_t i = 0; i < 3; i++)
        fm_worker_free(loans[i]);
    assert_int_equal(count_children(zygote), FM_WORKERS_WARM_KEY_MAX);
    int pid = 0;
    for (uint32_t i = 0; i < FM_WORKERS_WARM_MAX + 2; i++) {
        struct fm_hash whom = {.bytes = {2, (uint8_t)i}};
        pid = lend_to(f, &whom);
        fm_worker_free(FM_TAKE(f->worker));
    }
    assert_int_equal(count_children(zygote), FM_WORKERS_WARM_MAX);
    struct fm_hash last = {.bytes = {2, FM_WORKERS_WARM_MAX + 1}}, first = {.bytes = {2, 0}};
    assert_int_equal(lend_to(f, &last), pid);
    (void)lend_to(f, &first); /* It was ended, and is made anew. */
    assert_int_equal(count_children(zygote), FM_WORKERS_WARM_MAX + 1);
}

static void idle_workers_end(void **state)
{
    struct fixture *f = *state;

    reopen(f, 300);
    pid_t zygote = parent_of(lend_to(f, &anna));
    fm_worker_free(FM_TAKE(f->worker));
    assert_int_equal(count_children(zygote), 1);
    fm_ms until = fm_now_ms() + 20000;
    while (count_children(zygote) > 0 && fm_now_ms() < until)
        usleep(20000);
    assert_int_equal(count_children(zygote), 0);
}

static void *lend_often(void *argument)
{
    struct fixture mine = {.engine = ((struct fixture *)argument)->engine};
    uint64_t rows = 0, good = 0;

    for (int i = 0; i < 10; i++) {
        if (fm_worker_lend(mine.engine, NULL, fm_now_ms() + 60000, &mine.worker, &mine.err) ==
                FM_OK &&
            run(&mine, "SELECT i FROM range(100000) t(i)", 0, &rows) == FM_OK && rows == 100000)
            good++;
        fm_worker_free(mine.worker);
        mine.worker = NULL;
    }
    return good == 10 ? argument : NULL;
}

static void several_threads_lend(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    void *result = NULL;

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, lend_often, f), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
}

static void programs_that_do_not_start(void **state)
{
    struct fixture *f = *state;
    struct fm_engine *engine = NULL;
    struct fm_engine_options options = {.worker_path = "/nonexistent/worker"};

    assert_int_equal(fm_engine_open(&options, &engine, &f->err), FM_NOTFOUND);
    assert_non_null(strstr(f->err.text, "/nonexistent/worker"));
    options.worker_path = "/bin/false";
    assert_int_equal(fm_engine_open(&options, &engine, &f->err), FM_IO);
    options.worker_path = "/bin/sh"; /* Complains of its argument. */
    assert_int_equal(fm_engine_open(&options, &engine, &f->err), FM_IO);
    assert_non_null(strstr(f->err.text, "option"));
    assert_works(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_deadline_ends_a_query),
        TEST(a_deaf_query_is_killed),
        TEST(another_thread_cancels),
        TEST(a_killed_worker_is_an_error),
        TEST(the_first_process_is_replaced),
        TEST(nothing_stays_behind),
        TEST(results_of_all_sizes),
        TEST(a_result_must_be_read_first),
        TEST(several_threads_lend),
        TEST(programs_that_do_not_start),
        TEST(the_same_principal_gets_its_worker),
        TEST(tables_do_not_outlive_a_loan),
        TEST(a_worker_of_a_bad_loan_ends),
        TEST(warm_workers_are_few),
        TEST(idle_workers_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
