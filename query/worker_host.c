#include "query/engine_internal.h"

#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_AFTER_MS 500
#define EXIT_MS_MAX 2000

/* ---- Birth and death ------------------------------------------------------------------------- */

static enum fm_status make_memory(struct fm_worker *worker, int *out, struct fm_error *err)
{
    int fd = memfd_create("folkmoot-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    /* The size is sealed: a worker that cut the file could end the host with SIGBUS. */
    if (fd < 0 || ftruncate(fd, (off_t)CHANNEL_MEMORY_BYTES) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        int error = errno;
        close_fd(&fd);
        return fm_fail_errno(err, FM_UNAVAILABLE, error, "memory shared with a worker");
    }
    *out = fd;
    void *memory = mmap(NULL, CHANNEL_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return fm_fail_errno(err, FM_NOMEM, errno, "memory shared with a worker");
    worker->memory = memory;
    return FM_OK;
}

/* Sockets, memory, process. */
static enum fm_status connect_worker(struct fm_worker *worker, struct fm_error *err)
{
    FM_AUTO(close_fd) int control = -1;
    FM_AUTO(close_fd) int scan = -1;
    FM_AUTO(close_fd) int memory = -1;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fm_fail_errno(err, FM_UNAVAILABLE, errno, "a worker's socket");
    channel_reader_init(&worker->control, pair[0]);
    control = pair[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fm_fail_errno(err, FM_UNAVAILABLE, errno, "a worker's socket");
    channel_reader_init(&worker->scan, pair[0]);
    scan = pair[1];
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake < 0)
        return fm_fail_errno(err, FM_UNAVAILABLE, errno, "a worker's wake-up");
    enum fm_status status = make_memory(worker, &memory, err);
    if (status != FM_OK)
        return status;
    return engine_fork(worker->engine, (int[3]){control, scan, memory}, worker, err);
}

enum fm_status worker_new(struct fm_engine *engine, fm_ms deadline, struct fm_worker **out,
                          struct fm_error *err)
{
    struct fm_worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return FM_NOMEM;
    worker->engine = engine;
    worker->pidfd = worker->wake = -1;
    worker->deadline = deadline;
    worker->kill_at = FM_MS_NEVER;
    worker->scans_free = (1u << CHANNEL_SLOT_COUNT) - 1;
    worker->scan_batch = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    channel_reader_init(&worker->control, -1);
    channel_reader_init(&worker->scan, -1);
    enum fm_status status = connect_worker(worker, err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    if (status == FM_OK && worker->control.frame.kind != CHANNEL_READY)
        status = worker_broken(worker, "a greeting", err);
    if (status != FM_OK) {
        worker_end(worker);
        return status;
    }
    *out = worker;
    return FM_OK;
}

bool worker_is_alive(const struct fm_worker *worker)
{
    struct pollfd polled = {.fd = worker->pidfd, .events = POLLIN};
    return poll(&polled, 1, 0) == 0;
}

/* Kill unless it ended by itself, and reap. The wait status, or -1. */
static int kill_and_reap(struct fm_worker *worker)
{
    struct pollfd polled = {.fd = worker->pidfd, .events = POLLIN};

    if (worker->pidfd < 0)
        return -1;
    (void)syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0); /* Gone is as good. */
    int ended = 0;
    do
        ended = poll(&polled, 1, EXIT_MS_MAX);
    while (ended < 0 && errno == EINTR);
    int wait_status =
        ended == 1 ? engine_reap(worker->engine, worker->generation, worker->pid) : -1;
    close_fd(&worker->pidfd);
    return wait_status;
}

static void forget_expectations(struct fm_worker *worker)
{
    fm_columns_deinit(&worker->columns);
    free(worker->types);
    free(worker->dictionaries);
    worker->types = NULL;
    worker->dictionaries = NULL;
}

void worker_forget(struct fm_worker *worker)
{
    forget_expectations(worker);
    fm_buf_free(&worker->scan_batch);
    worker->scan_batch = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
}

void worker_end(struct fm_worker *worker)
{
    (void)kill_and_reap(worker);
    close_fd(&worker->control.fd);
    close_fd(&worker->scan.fd);
    channel_reader_deinit(&worker->control);
    channel_reader_deinit(&worker->scan);
    close_fd(&worker->wake);
    if (worker->memory != NULL)
        (void)munmap(worker->memory, CHANNEL_MEMORY_BYTES);
    forget_expectations(worker);
    fm_buf_free(&worker->scan_batch);
    free(worker->sources);
    free(worker);
}

/* ---- Why a worker is of no more use ---------------------------------------------------------- */

static enum fm_status end_with(struct fm_worker *worker, enum fm_status status)
{
    worker->ended = status;
    worker->state = WORKER_FINISHED;
    return status;
}

enum fm_status worker_broken(struct fm_worker *worker, const char *what, struct fm_error *err)
{
    (void)kill_and_reap(worker);
    return fm_fail(err, end_with(worker, FM_INTERNAL),
                   "a worker sent %s that cannot be; it was ended", what);
}

/* Its control socket is closed: find out how it died. */
static enum fm_status explain_death(struct fm_worker *worker, struct fm_error *err)
{
    unsigned long long mib = worker->engine->hello.memory_bytes >> 20;
    struct pollfd polled = {.fd = worker->pidfd, .events = POLLIN};
    char words[256];

    worker->is_lost = true;
    (void)poll(&polled, 1, EXIT_MS_MAX); /* The socket closes a little before the process ends. */
    int status = kill_and_reap(worker);
    if (status != -1 && WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        if (number == SIGSYS)
            return fm_fail(err, end_with(worker, FM_REFUSED),
                           "the query asked the system for something that workers may not do");
        if (number == SIGKILL)
            return fm_fail(
                err, end_with(worker, FM_LIMIT),
                "the query's worker was killed, as the system does when memory is short");
        return fm_fail(err, end_with(worker, FM_LIMIT),
                       "the query ended its worker (signal %d), most likely because it needed more "
                       "memory than the worker's %llu MiB",
                       number, mib);
    }
    engine_last_words(worker->engine, words, sizeof words);
    if (status == -1) /* Nobody is left who could tell how. */
        return fm_fail(err, end_with(worker, FM_LIMIT),
                       "the engine's first process ended, and the query's worker with it, as the "
                       "system does when memory is short; try again%s%s",
                       words[0] != '\0' ? ": " : "", words);
    return fm_fail(err, end_with(worker, FM_INTERNAL), "the query's worker ended (status %d)%s%s",
                   status, words[0] != '\0' ? ": " : "", words);
}

bool fm_worker_is_lost(const struct fm_worker *worker)
{
    return worker->is_lost;
}

/* ---- Deadline and cancel --------------------------------------------------------------------- */

void fm_worker_cancel(struct fm_worker *worker)
{
    uint64_t one = 1;

    atomic_store(&worker->cancelled, true);
    /* Full means that it was called very often: the host wakes all the same. */
    ssize_t written = write(worker->wake, &one, sizeof one);
    (void)written;
}

static enum fm_status stop_reason(const struct fm_worker *worker)
{
    if (atomic_load(&worker->cancelled))
        return FM_CANCELLED;
    return fm_now_ms() >= worker->deadline ? FM_TIMEOUT : FM_OK;
}

static void interrupt(struct fm_worker *worker)
{
    struct channel_page *page = (struct channel_page *)(void *)worker->memory;

    worker->kill_at = fm_now_ms() + KILL_AFTER_MS;
    atomic_store(&page->interrupt, 1);
    (void)syscall(SYS_futex, &page->interrupt, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static enum fm_status stopped(struct fm_worker *worker, enum fm_status reason, struct fm_error *err)
{
    if (reason == FM_TIMEOUT && worker->source_status != FM_OK) { /* It says whom it waited for. */
        if (err != NULL)
            *err = worker->source_error;
        return end_with(worker, worker->source_status);
    }
    worker->is_lost = reason == FM_TIMEOUT;
    return fm_fail(err, end_with(worker, reason), "%s",
                   reason == FM_CANCELLED ? "the query was cancelled"
                                          : "the query took longer than its deadline allows");
}

/* Interrupt when it is time to, kill when that did not help. FM_OK: go on waiting. */
static enum fm_status check_time(struct fm_worker *worker, struct fm_error *err)
{
    enum fm_status reason = stop_reason(worker);

    if (reason == FM_OK)
        return FM_OK;
    if (worker->kill_at == FM_MS_NEVER) {
        interrupt(worker);
        return FM_OK;
    }
    if (fm_now_ms() < worker->kill_at)
        return FM_OK;
    (void)kill_and_reap(worker);
    return stopped(worker, reason, err);
}

static int wait_ms(const struct fm_worker *worker)
{
    fm_ms until = worker->kill_at != FM_MS_NEVER ? worker->kill_at : worker->deadline;
    if (until == FM_MS_NEVER)
        return -1;
    fm_ms left = until - fm_now_ms();
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Wait until a socket has something, the caller cancels, or time is up. */
static void wait_for_news(struct fm_worker *worker)
{
    bool interrupted = worker->kill_at != FM_MS_NEVER;
    struct pollfd polled[3] = {{.fd = worker->control.fd, .events = POLLIN},
                               {.fd = worker->scan.fd, .events = POLLIN},
                               {.fd = interrupted ? -1 : worker->wake, .events = POLLIN}};
    /* Errors show again in the next step. */
    (void)poll(polled, 3, wait_ms(worker));
}

/* ---- Commands and answers -------------------------------------------------------------------- */

enum fm_status worker_check_idle(struct fm_worker *worker, struct fm_error *err)
{
    if (worker->ended != FM_OK)
        return fm_fail(err, worker->ended, "the worker has ended: %s",
                       fm_status_text(worker->ended));
    if (worker->state != WORKER_IDLE)
        return fm_fail(err, FM_INVALID, "the worker is still busy with a result");
    return FM_OK;
}

enum fm_status worker_command(struct fm_worker *worker, enum channel_kind kind, uint32_t number,
                              struct fm_span payload, int passed, struct fm_error *err)
{
    enum fm_status status =
        channel_send(worker->control.fd, kind, number, payload, passed, worker->deadline);

    if (status == FM_NOTFOUND)
        return explain_death(worker, err);
    if (status != FM_OK)
        worker->is_spoiled = true;
    if (status == FM_TIMEOUT) {
        (void)kill_and_reap(worker); /* It got half a frame. */
        return stopped(worker, FM_TIMEOUT, err);
    }
    if (status != FM_OK)
        return fm_fail(err, status, "talk to a worker: %s", fm_status_text(status));
    return FM_OK;
}

static enum fm_status read_error(struct fm_worker *worker, struct fm_error *err)
{
    worker->state = WORKER_IDLE;
    worker->is_spoiled = true;
    if (worker->source_status != FM_OK) {
        if (err != NULL)
            *err = worker->source_error;
        enum fm_status status = worker->source_status;
        worker->source_status = FM_OK;
        return status;
    }
    return channel_error_decode(&worker->control.frame, fm_buf_span(&worker->control.payload), err);
}

/* One look at both sockets. FM_BUSY: nothing complete. */
static enum fm_status look(struct fm_worker *worker, struct fm_error *err)
{
    enum fm_status status = channel_reader_step(&worker->control);

    if (status == FM_NOTFOUND)
        return explain_death(worker, err);
    if (status == FM_OK && worker->kill_at != FM_MS_NEVER)
        return stopped(worker, stop_reason(worker), err); /* Whatever it says: too late. */
    if (status == FM_OK)
        return worker->control.frame.kind == CHANNEL_ERROR ? read_error(worker, err) : FM_OK;
    if (status != FM_BUSY)
        return worker_broken(worker, "a frame", err);
    status = channel_reader_step(&worker->scan);
    if (status == FM_OK)
        status = worker_serve_pull(worker);
    else if (status == FM_NOTFOUND)
        status = FM_BUSY; /* The control socket tells more. */
    if (status == FM_OK || status == FM_BUSY)
        return status == FM_OK ? FM_NOTFOUND : FM_BUSY;
    return worker_broken(worker, "a request for rows", err);
}

enum fm_status worker_answer(struct fm_worker *worker, struct fm_error *err)
{
    for (;;) {
        enum fm_status status = look(worker, err);
        if (status == FM_NOTFOUND)
            continue; /* A source was served. */
        if (status != FM_BUSY)
            return status;
        status = check_time(worker, err);
        if (status != FM_OK)
            return status;
        wait_for_news(worker);
    }
}

/* Command and the one text that answers it. */
static enum fm_status exchange_text(struct fm_worker *worker, enum channel_kind kind,
                                    struct fm_span text, struct fm_buf *out, struct fm_error *err)
{
    enum fm_status status = worker_check_idle(worker, err);
    if (status == FM_OK)
        status = worker_command(worker, kind, 0, text, -1, err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    if (status != FM_OK)
        return status;
    if (worker->control.frame.kind != CHANNEL_TEXT ||
        !fm_utf8_valid(fm_buf_span(&worker->control.payload)))
        return worker_broken(worker, "an answer", err);
    fm_buf_put_span(out, fm_buf_span(&worker->control.payload));
    return fm_buf_status(out);
}

static enum fm_status check_sql(struct fm_span sql, struct fm_error *err)
{
    if (sql.len > FM_ENGINE_SQL_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the statement has %zu bytes, at most %u are possible",
                       sql.len, FM_ENGINE_SQL_BYTES_MAX);
    return FM_OK;
}

enum fm_status fm_worker_parse(struct fm_worker *worker, struct fm_span sql, struct fm_buf *tree,
                               struct fm_error *err)
{
    enum fm_status status = check_sql(sql, err);
    return status == FM_OK ? exchange_text(worker, CHANNEL_PARSE, sql, tree, err) : status;
}

enum fm_status fm_worker_unparse(struct fm_worker *worker, struct fm_span tree, struct fm_buf *sql,
                                 struct fm_error *err)
{
    return exchange_text(worker, CHANNEL_UNPARSE, tree, sql, err);
}

enum fm_status fm_worker_plan(struct fm_worker *worker, struct fm_span sql, struct fm_buf *plan,
                              struct fm_error *err)
{
    return exchange_text(worker, CHANNEL_PLAN, sql, plan, err);
}

/* ---- Results --------------------------------------------------------------------------------- */

enum fm_status worker_expect(struct fm_worker *worker, struct fm_columns *columns)
{
    forget_expectations(worker);
    worker->columns = *columns;
    *columns = (struct fm_columns){0};
    worker->types = calloc(worker->columns.count + 1u, sizeof *worker->types);
    worker->dictionaries = calloc(worker->columns.count + 1u, sizeof *worker->dictionaries);
    if (worker->types == NULL || worker->dictionaries == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < worker->columns.count; i++) {
        const struct fm_column *column = &worker->columns.items[i];
        worker->types[i] = &column->type;
        worker->dictionaries[i] = column->dictionary.count > 0 ? &column->dictionary : NULL;
    }
    worker->rows = 0;
    return FM_OK;
}

/* Columns as the worker names them, for its batches (`expected`) and for the caller. */
static enum fm_status take_columns(struct fm_worker *worker, struct fm_columns *expected,
                                   struct fm_columns *columns, struct fm_error *err)
{
    if (worker->control.frame.kind != CHANNEL_COLUMNS)
        return worker_broken(worker, "an answer", err);
    struct fm_cursor first = fm_cursor(fm_buf_span(&worker->control.payload)), second = first;
    enum fm_status status = channel_columns_decode(&first, expected);
    if (status != FM_OK || fm_cursor_left(&first) != 0 || expected->count == 0)
        return worker_broken(worker, "columns", err);
    return channel_columns_decode(&second, columns);
}

enum fm_status fm_worker_describe(struct fm_worker *worker, struct fm_span sql,
                                  struct fm_columns *columns, struct fm_error *err)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns unused = {0};

    enum fm_status status = worker_check_idle(worker, err);
    if (status == FM_OK)
        status = worker_command(worker, CHANNEL_RUN, CHANNEL_RUN_DESCRIBE, sql, -1, err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    return status == FM_OK ? take_columns(worker, &unused, columns, err) : status;
}

enum fm_status fm_worker_run(struct fm_worker *worker, struct fm_span sql,
                             const struct fm_run_options *options, struct fm_columns *columns,
                             struct fm_error *err)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns kept = {0};

    enum fm_status status = worker_check_idle(worker, err);
    if (status != FM_OK)
        return status;
    worker->source_status = FM_OK;
    uint32_t flags = options != NULL && options->single_thread ? CHANNEL_RUN_SINGLE_THREAD : 0;
    status = worker_command(worker, CHANNEL_RUN, flags, sql, -1, err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    if (status == FM_OK)
        status = take_columns(worker, &kept, columns, err);
    if (status == FM_OK)
        status = worker_expect(worker, &kept);
    if (status != FM_OK) {
        worker->is_spoiled = true; /* It may be at work on the result. */
        return status;
    }
    worker->rows_max = options != NULL ? options->rows_max : 0;
    worker->state = WORKER_STREAMING;
    return FM_OK;
}

/* Copy a batch out of a RESULT slot and give the slot back. */
static enum fm_status copy_slot(struct fm_worker *worker, struct fm_buf *batch,
                                struct fm_error *err)
{
    uint32_t slot = worker->control.frame.number;

    if (slot >= CHANNEL_SLOT_COUNT || worker->control.payload.len != 4)
        return worker_broken(worker, "a batch", err);
    uint32_t bytes = fm_load32(worker->control.payload.data);
    if (bytes > CHANNEL_SLOT_BYTES)
        return worker_broken(worker, "a batch", err);
    fm_buf_put(batch, channel_result_slot(worker->memory, slot), bytes);
    return worker_command(worker, CHANNEL_RELEASE, slot, fm_span(NULL, 0), -1, err);
}

static enum fm_status check_batch(struct fm_worker *worker, const struct fm_buf *batch,
                                  struct fm_error *err)
{
    struct fm_batch view;

    enum fm_status status = fm_buf_status(batch);
    if (status != FM_OK)
        return fm_fail(err, status, "a batch of the result: %s", fm_status_text(status));
    status = fm_batch_view(fm_buf_span(batch), worker->types, worker->columns.count,
                           worker->dictionaries, &view);
    if (status == FM_NOMEM)
        return status;
    if (status != FM_OK || view.rows == 0)
        return worker_broken(worker, "a batch", err);
    worker->rows += view.rows;
    if (worker->rows_max == 0 || worker->rows <= worker->rows_max)
        return FM_OK;
    return fm_fail(err, end_with(worker, FM_LIMIT), "the result has more than %llu rows",
                   (unsigned long long)worker->rows_max);
}

enum fm_status worker_take_batch(struct fm_worker *worker, struct fm_buf *batch,
                                 struct fm_error *err)
{
    if (worker->ended != FM_OK)
        return fm_fail(err, worker->ended, "the worker has ended: %s",
                       fm_status_text(worker->ended));
    if (worker->state != WORKER_STREAMING)
        return FM_NOTFOUND;
    enum fm_status status = worker_answer(worker, err);
    if (status != FM_OK)
        return status;
    switch ((int)worker->control.frame.kind) {
    case CHANNEL_END:
        worker->state = WORKER_IDLE;
        return FM_NOTFOUND;
    case CHANNEL_BATCH:
        status = copy_slot(worker, batch, err);
        break;
    case CHANNEL_INLINE:
        fm_buf_put_span(batch, fm_buf_span(&worker->control.payload));
        break;
    default:
        return worker_broken(worker, "an answer", err);
    }
    if (status != FM_OK)
        return status;
    status = check_batch(worker, batch, err);
    if (status != FM_OK) {
        worker->is_spoiled = true;
        fm_buf_clear(batch);
    }
    return status;
}

enum fm_status fm_worker_next(struct fm_worker *worker, struct fm_buf *batch, struct fm_error *err)
{
    fm_assert(batch->len == 0);
    return worker_take_batch(worker, batch, err);
}
