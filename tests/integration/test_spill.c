/* Results in between that are larger than a worker's memory: they go to files without names, which
 * are bounded, the worker's alone and gone with it, whoever is killed. */
#include "query/engine.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define MEMORY_MIB 64u
#define SPILL_MIB 1024u

/* Some 200 MB of rows to be sorted, in an order that no generator has. */
#define SORT                                                                                       \
    "SELECT count(*), sum(length(t)) FROM (SELECT hash(i) AS k, 'a text of some length ' || i "    \
    "AS t FROM range(2000000) r(i) ORDER BY k, t OFFSET 1)"
/* Groups that do not fit. */
#define GROUP                                                                                      \
    "SELECT count(*), sum(c) FROM (SELECT hash(i) AS k, 'group ' || i AS t, count(*) AS c FROM "   \
    "range(2000000) r(i) GROUP BY k, t)"

struct fixture {
    struct fm_engine *engine;
    struct fm_error err;
    char dir[64];
};

static void open_engine(struct fixture *f, uint64_t spill_mib)
{
    struct fm_engine_options options = {
        .worker_path = WORKER,
        .threads = 2,
        .memory_bytes = (size_t)MEMORY_MIB << 20,
        .spill_dir = spill_mib != 0 ? f->dir : NULL,
        .spill_bytes = spill_mib << 20,
    };

    fm_engine_free(f->engine);
    f->engine = NULL;
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/folkmoot-spill.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    open_engine(f, SPILL_MIB);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_engine_free(f->engine);
    (void)rmdir(f->dir); /* Empty, or a test has failed. */
    free(f);
    return 0;
}

/* Two numbers of the only row. */
static enum fm_status ask(struct fixture *f, struct fm_worker *worker, const char *sql)
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

static struct fm_worker *lend(struct fixture *f, fm_ms ms)
{
    struct fm_worker *worker = NULL;

    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + ms, &worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    return worker;
}

static void assert_nothing_there(const struct fixture *f)
{
    DIR *folder = opendir(f->dir);

    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        if (entry->d_name[0] != '.')
            fail_msg("%s/%s is there", f->dir, entry->d_name);
    (void)closedir(folder);
}

/* Bytes of the worker's files. */
static uint64_t spilled_bytes(int pid)
{
    char path[64];
    uint64_t bytes = 0;

    for (int fd = 32; fd < 48; fd++) {
        struct stat info;
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            bytes += (uint64_t)info.st_blocks * 512;
    }
    return bytes;
}

/* With the proof that it does not fit: without spilling the same fails and says why. */
static void what_does_not_fit_is_spilled(void **state)
{
    static const char *const texts[] = {SORT, GROUP};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fm_worker *worker = lend(f, 120000);
        fm_ms start = fm_now_ms();
        if (ask(f, worker, texts[i]) != FM_OK)
            fail_msg("%s: %s", texts[i], f->err.text);
        print_message("%lld ms with %u MiB: %.40s...\n", (long long)(fm_now_ms() - start),
                      MEMORY_MIB, texts[i]);
        fm_worker_free(worker);
        assert_nothing_there(f);
    }
    open_engine(f, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct fm_worker *worker = lend(f, 120000);
    assert_int_equal(ask(f, worker, SORT), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "no space to spill to"));
    fm_worker_free(worker);
#endif
}

/* A worker whose files were used ends with its loan; one that only could use them stays warm. */
static void who_spilled_is_not_kept(void **state)
{
    static const char *const texts[] = {"SELECT 1", SORT};
    static const struct fm_hash whom = {.bytes = {1}};
    struct fixture *f = *state;
    int pids[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        struct fm_worker *worker = NULL;
        enum fm_status status =
            fm_worker_lend(f->engine, &whom, fm_now_ms() + 120000, &worker, &f->err);
        if (status != FM_OK)
            fail_msg("%s", f->err.text);
        pids[i] = fm_worker_pid(worker);
        if (i < 2)
            assert_int_equal(ask(f, worker, texts[i]), FM_OK);
        fm_worker_free(worker);
    }
    assert_int_equal(pids[1], pids[0]);
    assert_int_not_equal(pids[2], pids[1]);
}

static void the_space_is_bounded(void **state)
{
    struct fixture *f = *state;

    open_engine(f, 16); /* What is spilled may be compressed. */
    struct fm_worker *worker = lend(f, 120000);
    assert_int_equal(ask(f, worker, SORT), FM_LIMIT);
    print_message("%s\n", f->err.text);
    assert_non_null(strstr(f->err.text, "16 MiB of disk"));
    fm_worker_free(worker);
    worker = lend(f, 120000);
    assert_int_equal(ask(f, worker, "SELECT 1"), FM_OK);
    fm_worker_free(worker);
    assert_nothing_there(f);
}

struct run {
    struct fixture *f;
    struct fm_worker *worker;
    enum fm_status status;
};

static void *run_sort(void *argument)
{
    struct run *run = argument;

    run->status = ask(run->f, run->worker, SORT);
    return NULL;
}

/* Killed in the middle: what it had is gone, and the space with it. */
static void a_killed_worker_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct run run = {.f = f, .worker = lend(f, 120000)};
    int pid = fm_worker_pid(run.worker);
    fm_ms end = fm_now_ms() + 60000;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_sort, &run), 0);
    while (spilled_bytes(pid) < 8u << 20 && fm_now_ms() < end)
        usleep(1000);
    uint64_t bytes = spilled_bytes(pid);
    assert_nothing_there(f); /* Not even now: the files have no names. */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("killed with %llu MiB spilled\n", (unsigned long long)(bytes >> 20));
    assert_true(bytes > 0);
    assert_int_equal(run.status, FM_LIMIT);
    fm_worker_free(run.worker);
    assert_nothing_there(f);
}

/* A worker that may spill reaches no other file than before. */
static void spilling_opens_no_other_file(void **state)
{
    static const char *const attempts[] = {
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/fd/32')",
        "COPY (SELECT 1) TO '/tmp/folkmoot-attack.csv'",
        "ATTACH '/tmp/folkmoot-attack.db'",
        "SET temp_directory = '/tmp'",
        "SET max_temp_directory_size = '1TB'",
        "SET allowed_directories = ['/']",
    };
    struct fixture *f = *state;
    struct fm_worker *worker = lend(f, 120000);

    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        enum fm_status status = ask(f, worker, attempts[i]);
        if (status != FM_INVALID && status != FM_REFUSED)
            fail_msg("%s: %s: %s", attempts[i], fm_status_text(status), f->err.text);
    }
    if (ask(f, worker, "SELECT 1") != FM_OK)
        fail_msg("%s", f->err.text);
    /* May pass for a file of the folder, which has none of this name. */
    enum fm_status status = ask(f, worker,
                                "SELECT error(content) FROM "
                                "read_text('/folkmoot/spill/../../etc/passwd')");
    assert_null(strstr(f->err.text, "root"));
    print_message("%s: %s\n", fm_status_text(status), f->err.text);
    assert_int_not_equal(access("/tmp/folkmoot-attack.csv", F_OK), 0);
    fm_worker_free(worker);
}

/* Told at the start, not to the first large query. */
static void a_folder_that_is_none_is_told(void **state)
{
    struct fixture *f = *state;
    struct fm_engine *engine = NULL;
    struct fm_worker *worker = NULL;
    struct fm_engine_options options = {.worker_path = WORKER,
                                        .threads = 1,
                                        .spill_dir = "/nonexistent/spill",
                                        .spill_bytes = 1 << 20};

    enum fm_status status = fm_engine_open(&options, &engine, &f->err);
    if (status == FM_OK)
        status = fm_worker_lend(engine, NULL, fm_now_ms() + 60000, &worker, &f->err);
    assert_int_equal(status, FM_IO);
    assert_non_null(strstr(f->err.text, "/nonexistent/spill"));
    fm_engine_free(engine);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_does_not_fit_is_spilled), TEST(who_spilled_is_not_kept),
        TEST(the_space_is_bounded),         TEST(a_killed_worker_leaves_nothing),
        TEST(spilling_opens_no_other_file), TEST(a_folder_that_is_none_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
