#include "query/worker/sandbox.h"
#include "query/worker/scan.h"
#include "query/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What each worker would otherwise do first: code paths that make threads, load tables (time zones,
 * collations) or fill caches. Failures do not matter here: they come again in a worker's query. */
static const char *const warm_up[] = {
    "SET TimeZone = 'UTC'",
    "SELECT i % 7 AS k, count(*), avg(i), max(i::VARCHAR), count(DISTINCT i) "
    "FROM range(5000) t(i) GROUP BY k ORDER BY 2 DESC, 1 LIMIT 3",
    "SELECT i, row_number() OVER (PARTITION BY i % 3 ORDER BY i DESC) FROM range(3000) t(i) "
    "ORDER BY i % 10, i",
    "SELECT count(*) FROM range(5000) a(i) JOIN range(3000) b(j) ON i = j LEFT JOIN range(10) c(k) "
    "ON k = j",
    "SELECT TIMESTAMPTZ '2001-01-31 10:00:00+00' + INTERVAL 1 MONTH, "
    "strftime(now(), '%Y-%m-%d %H'), date_trunc('month', now())",
    "SELECT regexp_replace('abc', 'b+', 'x'), 'abc' LIKE '%b%', lower('ÄB'), uuid(), random(), "
    "1.5::DECIMAL(18, 3) * 2, [1, 2], {'a': 1}, map([1], [2]), md5('a')",
    "SELECT json_serialize_plan('SELECT a.i FROM range(3) a(i) JOIN range(4) b(i) USING (i) "
    "WHERE a.i > 1', optimize := true), json_extract('{\"a\": [1]}', '$.a[0]')",
    "SELECT json_deserialize_sql(json_serialize_sql('SELECT 1 + x FROM t WHERE y ORDER BY z'))",
    "SELECT 'a'::ENUM ('a', 'b') = 'a', TRY_CAST('12' AS INTEGER), TRY_CAST('x' AS DATE)",
};

static enum fm_status open_database(struct worker *worker, struct fm_error *err)
{
    duckdb_config config = NULL;
    char *text = NULL;

    if (duckdb_create_config(&config) != DuckDBSuccess)
        return fm_fail(err, FM_NOMEM, "open DuckDB: out of memory");
    /* One thread: a process with more cannot be forked safely. */
    bool ok = duckdb_set_config(config, "threads", "1") == DuckDBSuccess &&
              duckdb_set_config(config, "autoinstall_known_extensions", "false") == DuckDBSuccess &&
              duckdb_set_config(config, "autoload_known_extensions", "false") == DuckDBSuccess &&
              duckdb_set_config(config, "allow_community_extensions", "false") == DuckDBSuccess &&
              duckdb_set_config(config, "temp_directory", "") == DuckDBSuccess &&
              duckdb_open_ext(NULL, &worker->database, config, &text) == DuckDBSuccess &&
              duckdb_connect(worker->database, &worker->connection) == DuckDBSuccess;
    duckdb_destroy_config(&config);
    enum fm_status status = FM_OK;
    if (!ok)
        status = fm_fail(err, FM_IO, "open DuckDB: %s", text != NULL ? text : "refused");
    duckdb_free(text);
    return status;
}

static void warm(struct worker *worker)
{
    for (size_t i = 0; i < sizeof warm_up / sizeof *warm_up; i++) {
        duckdb_result result;
        (void)duckdb_query(worker->connection, warm_up[i], &result); /* See warm_up. */
        duckdb_destroy_result(&result);
    }
}

/* In the child: keep three descriptors of the host's, close all others. */
static bool adopt(struct worker *worker, const int passed[3])
{
    int high[3];

    for (int i = 0; i < 3; i++) {
        high[i] = fcntl(passed[i], F_DUPFD, 16);
        if (high[i] < 0)
            return false;
    }
    void *memory = mmap(NULL, CHANNEL_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, high[2], 0);
    if (memory == MAP_FAILED || dup2(high[0], WORKER_CONTROL_FD) < 0 ||
        dup2(high[1], WORKER_SCAN_FD) < 0 || close_range(WORKER_SCAN_FD + 1, ~0u, 0) != 0)
        return false;
    worker->memory = memory;
    channel_reader_init(&worker->control, WORKER_CONTROL_FD);
    channel_reader_init(&worker->scan, WORKER_SCAN_FD);
    return true;
}

static _Noreturn void child(struct worker *worker, const int passed[3], pid_t parent)
{
    /* First of all: a worker never outlives the zygote. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || !adopt(worker, passed))
        _exit(71);
    _exit(worker_main(worker));
}

/* The three frames that follow FORK. */
static enum fm_status take_descriptors(struct channel_reader *reader, int passed[3])
{
    static const enum channel_kind wanted[3] = {CHANNEL_CONTROL, CHANNEL_SCAN, CHANNEL_MEMORY};

    for (int i = 0; i < 3; i++) {
        enum fm_status status = channel_reader_wait(reader, FM_MS_NEVER);
        if (status != FM_OK)
            return status;
        if (reader->frame.kind != wanted[i] || reader->passed < 0)
            return FM_MALFORMED;
        passed[i] = reader->passed;
        reader->passed = -1;
    }
    return FM_OK;
}

static enum fm_status serve_fork(struct worker *worker, struct channel_reader *reader)
{
    int passed[3] = {-1, -1, -1};
    pid_t pid = 0;

    enum fm_status status = take_descriptors(reader, passed);
    if (status == FM_OK) {
        pid_t self = getpid();
        pid = fork();
        if (pid == 0)
            child(worker, passed, self);
    }
    for (int i = 0; i < 3; i++)
        if (passed[i] >= 0)
            (void)close(passed[i]); /* The child has its own. */
    if (status != FM_OK)
        return status;
    return channel_send(reader->fd, CHANNEL_FORKED, pid > 0 ? (uint32_t)pid : 0, fm_span(NULL, 0),
                        -1, FM_MS_NEVER);
}

/* Children stay zombies until the host asks, so that their numbers cannot be reused before. */
static enum fm_status serve_wait(struct channel_reader *reader)
{
    int wait_status = 0;

    while (waitpid((pid_t)reader->frame.number, &wait_status, 0) < 0)
        if (errno != EINTR) {
            wait_status = 0;
            break;
        }
    return channel_send(reader->fd, CHANNEL_EXITED, (uint32_t)wait_status, fm_span(NULL, 0), -1,
                        FM_MS_NEVER);
}

static enum fm_status serve(struct worker *worker, struct channel_reader *reader)
{
    for (;;) {
        enum fm_status status = channel_reader_wait(reader, FM_MS_NEVER);
        if (status == FM_OK && reader->frame.kind == CHANNEL_FORK)
            status = serve_fork(worker, reader);
        else if (status == FM_OK && reader->frame.kind == CHANNEL_WAIT)
            status = serve_wait(reader);
        else if (status == FM_OK)
            status = FM_MALFORMED;
        if (status != FM_OK)
            return status;
    }
}

static enum fm_status start(struct worker *worker, struct channel_reader *reader,
                            struct fm_error *err)
{
    enum fm_status status = channel_reader_wait(reader, FM_MS_NEVER);
    if (status == FM_OK && reader->frame.kind != CHANNEL_HELLO)
        status = FM_MALFORMED;
    if (status == FM_OK)
        status = channel_hello_decode(fm_buf_span(&reader->payload), &worker->options);
    if (status != FM_OK)
        return fm_fail(err, status, "no greeting from the host");
    status = open_database(worker, err);
    if (status == FM_OK)
        status = scan_register(worker, err);
    if (status == FM_OK)
        status = sandbox_new(&worker->sandbox, err);
    if (status != FM_OK)
        return status;
    warm(worker);
    return channel_send(reader->fd, CHANNEL_AWAKE, 0, fm_span(NULL, 0), -1, FM_MS_NEVER);
}

int zygote_main(int fd)
{
    struct worker worker = {.results_free = (1u << CHANNEL_SLOT_COUNT) - 1};
    struct channel_reader reader;
    struct fm_error err = {0};

    /* Descriptors that some library of the host forgot to mark. The zygote ends when its socket
     * does; PR_SET_PDEATHSIG would end it with the host's thread that happened to start it. */
    if (close_range((unsigned)fd + 1, ~0u, 0) != 0)
        return 71;
    (void)pthread_mutex_init(&worker.scan_lock, NULL); /* Cannot fail without attributes. */
    channel_reader_init(&reader, fd);
    enum fm_status status = start(&worker, &reader, &err);
    if (status != FM_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return fm_status_exit_code(status);
    }
    status = serve(&worker, &reader);
    channel_reader_deinit(&reader);
    /* The host went away, which is how a zygote ends; nothing in memory is worth a destructor. */
    _exit(status == FM_NOTFOUND ? 0 : 71);
}
