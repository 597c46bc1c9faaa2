#include "query/engine_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64u
#define THREADS_DEFAULT_MAX 4u
#define SPARE_MAX 8u
#define LOANS_MAX 64u
#define MEMORY_BYTES_DEFAULT ((size_t)512 << 20)
#define READY_MS_MAX 30000
#define RETRY_MS 1000

/* `folkmoot-worker` beside the executable that runs, else where an installation has it. */
static char *default_path(void)
{
    static const char beside[] = "folkmoot-worker", installed[] = "../lib/folkmoot/folkmoot-worker";
    char self[4096];

    ssize_t len = readlink("/proc/self/exe", self, sizeof self - sizeof installed);
    if (len <= 0)
        return NULL;
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return NULL;
    memcpy(slash + 1, beside, sizeof beside);
    if (access(self, X_OK) != 0)
        memcpy(slash + 1, installed, sizeof installed);
    return strdup(self);
}

static uint32_t default_threads(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (online < 1)
        return 1;
    return online > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX : (uint32_t)online;
}

static enum fm_status choose(struct fm_engine *engine, const struct fm_engine_options *options,
                             struct fm_error *err)
{
    if (options->threads > THREADS_MAX || options->spare > SPARE_MAX)
        return fm_fail(err, FM_INVALID, "engine: at most %u threads and %u spare workers",
                       THREADS_MAX, SPARE_MAX);
    engine->spare_wanted = options->spare;
    engine->warm_ms = options->warm_ms != 0 ? options->warm_ms : FM_WORKERS_WARM_MS;
    engine->hello.threads = options->threads != 0 ? options->threads : default_threads();
    engine->hello.memory_bytes =
        options->memory_bytes != 0 ? options->memory_bytes : MEMORY_BYTES_DEFAULT;
    if (options->spill_dir != NULL && options->spill_bytes != 0) {
        if (strlen(options->spill_dir) >= sizeof engine->hello.spill_dir)
            return fm_fail(err, FM_LIMIT, "engine: the path of the folder to spill to is too long");
        memcpy(engine->hello.spill_dir, options->spill_dir, strlen(options->spill_dir) + 1);
        engine->hello.spill_bytes = options->spill_bytes;
    }
    engine->path = options->worker_path != NULL ? strdup(options->worker_path) : default_path();
    return engine->path == NULL ? fm_fail(err, FM_NOTFOUND, "the worker program's place is unknown")
                                : FM_OK;
}

/* ---- The zygote, which may have to be started again ------------------------------------------ */

enum fm_status engine_fork(struct fm_engine *engine, const int descriptors[3],
                           struct fm_worker *worker, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&engine->zygote_lock);
    for (int attempt = 0; attempt < 2; attempt++) {
        status = FM_OK;
        if (engine->zygote.pid == 0)
            status = zygote_start(&engine->zygote, engine->path, &engine->hello, err);
        if (status != FM_OK)
            break;
        status = zygote_fork(&engine->zygote, descriptors, &worker->pid, err);
        if (status == FM_OK || status == FM_UNAVAILABLE)
            break;
        zygote_stop(&engine->zygote); /* It died; a new one gets the second attempt. */
    }
    if (status == FM_OK) {
        worker->generation = engine->zygote.generation;
        /* Its number is its own until it is reaped, which only engine_reap() does. */
        worker->pidfd = (int)syscall(SYS_pidfd_open, worker->pid, 0);
        if (worker->pidfd < 0)
            status = fm_fail_errno(err, FM_UNAVAILABLE, errno, "watch a worker process");
    }
    (void)pthread_mutex_unlock(&engine->zygote_lock);
    return status;
}

int engine_reap(struct fm_engine *engine, uint64_t generation, pid_t pid)
{
    int wait_status = -1;

    (void)pthread_mutex_lock(&engine->zygote_lock);
    if (engine->zygote.pid != 0 && engine->zygote.generation == generation &&
        zygote_wait(&engine->zygote, pid, &wait_status) != FM_OK) {
        wait_status = -1;
        zygote_stop(&engine->zygote);
    }
    (void)pthread_mutex_unlock(&engine->zygote_lock);
    return wait_status;
}

void engine_last_words(struct fm_engine *engine, char *out, size_t size)
{
    off_t end = 0;
    ssize_t bytes = 0;

    out[0] = '\0';
    (void)pthread_mutex_lock(&engine->zygote_lock);
    if (engine->zygote.errors >= 0) {
        end = lseek(engine->zygote.errors, 0, SEEK_END);
        off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
        bytes = pread(engine->zygote.errors, out, size - 1, from);
    }
    (void)pthread_mutex_unlock(&engine->zygote_lock);
    while (bytes > 0 && out[bytes - 1] == '\n')
        bytes--;
    out[bytes > 0 ? bytes : 0] = '\0';
    char *line = strrchr(out, '\n');
    if (line != NULL)
        memmove(out, line + 1, strlen(line + 1) + 1);
}

/* ---- Spares ---------------------------------------------------------------------------------- */

/* The oldest: one that was killed while it waited must not lie below fresh ones for ever. */
static struct fm_worker *pop_spare(struct fm_engine *engine)
{
    struct fm_worker **last = &engine->spares;

    if (*last == NULL)
        return NULL;
    while ((*last)->next != NULL)
        last = &(*last)->next;
    struct fm_worker *worker = FM_TAKE(*last);
    engine->spare_count--;
    (void)pthread_cond_broadcast(&engine->changed);
    return worker;
}

/* For a change, or until then. */
static void wait_until(struct fm_engine *engine, fm_ms then)
{
    struct timespec until = {.tv_sec = (time_t)(then / 1000), .tv_nsec = then % 1000 * 1000000};

    if (then == FM_MS_NEVER)
        (void)pthread_cond_wait(&engine->changed, &engine->lock);
    else
        (void)pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
}

/* Ends workers that nobody wanted again and forks others ahead of need. What goes wrong here goes
 * wrong again, and is told, in a lend. */
static void *keep(void *argument)
{
    struct fm_engine *engine = argument;

    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->closing) {
        fm_ms next = FM_MS_NEVER;
        struct fm_worker *worker = warm_pop_idle(engine, fm_now_ms(), &next);
        if (worker == NULL && engine->spare_count >= engine->spare_wanted) {
            wait_until(engine, next);
            continue;
        }
        (void)pthread_mutex_unlock(&engine->lock);
        if (worker != NULL) {
            worker_end(worker);
            (void)pthread_mutex_lock(&engine->lock);
            continue;
        }
        enum fm_status status = worker_new(engine, fm_now_ms() + READY_MS_MAX, &worker, NULL);
        (void)pthread_mutex_lock(&engine->lock);
        if (status != FM_OK) {
            if (!engine->closing)
                wait_until(engine, fm_now_ms() + RETRY_MS);
            continue;
        }
        worker->next = engine->spares;
        engine->spares = worker;
        engine->spare_count++;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static enum fm_status init_locks(struct fm_engine *engine, struct fm_error *err)
{
    pthread_condattr_t monotonic;
    int failed = pthread_condattr_init(&monotonic);

    if (failed == 0)
        failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(&engine->changed, &monotonic);
    if (failed == 0)
        failed = pthread_mutex_init(&engine->lock, NULL);
    if (failed == 0)
        failed = pthread_mutex_init(&engine->zygote_lock, NULL);
    return failed == 0 ? FM_OK : fm_fail_errno(err, FM_NOMEM, failed, "engine: locks");
}

enum fm_status fm_engine_open(const struct fm_engine_options *options, struct fm_engine **out,
                              struct fm_error *err)
{
    FM_AUTO(fm_engine_freep) struct fm_engine *engine = calloc(1, sizeof *engine);

    if (engine == NULL)
        return FM_NOMEM;
    engine->zygote = (struct zygote){.fd = -1, .errors = -1};
    channel_reader_init(&engine->zygote.reader, -1);
    enum fm_status status = init_locks(engine, err);
    if (status == FM_OK)
        status = choose(engine, options, err);
    if (status == FM_OK)
        status = zygote_start(&engine->zygote, engine->path, &engine->hello, err);
    if (status != FM_OK)
        return status;
    int failed = pthread_create(&engine->keeper, NULL, keep, engine);
    if (failed != 0)
        return fm_fail_errno(err, FM_IO, failed, "engine: thread");
    engine->has_keeper = true;
    *out = FM_TAKE(engine);
    return FM_OK;
}

void fm_engine_free(struct fm_engine *engine)
{
    if (engine == NULL)
        return;
    (void)pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    (void)pthread_cond_broadcast(&engine->changed);
    (void)pthread_mutex_unlock(&engine->lock);
    if (engine->has_keeper)
        (void)pthread_join(engine->keeper, NULL);
    for (struct fm_worker *worker = pop_spare(engine); worker != NULL; worker = pop_spare(engine))
        worker_end(worker);
    fm_ms next = 0;
    for (struct fm_worker *worker = warm_pop_idle(engine, FM_MS_NEVER, &next); worker != NULL;
         worker = warm_pop_idle(engine, FM_MS_NEVER, &next))
        worker_end(worker);
    zygote_stop(&engine->zygote);
    (void)pthread_cond_destroy(&engine->changed);
    (void)pthread_mutex_destroy(&engine->lock);
    (void)pthread_mutex_destroy(&engine->zygote_lock);
    free(engine->path);
    free(engine);
}

/* ---- Loans ----------------------------------------------------------------------------------- */

/* `ready`: a warm one of `whom`, else a spare one, else NULL. */
static enum fm_status count_loan(struct fm_engine *engine, const struct fm_hash *whom,
                                 struct fm_worker **ready, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&engine->lock);
    if (engine->loan_count >= LOANS_MAX)
        status = fm_fail(err, FM_BUSY, "%u workers are in use", LOANS_MAX);
    else
        engine->loan_count++;
    if (status == FM_OK && whom != NULL)
        *ready = warm_take(engine, whom);
    if (status == FM_OK && *ready == NULL)
        *ready = pop_spare(engine);
    (void)pthread_mutex_unlock(&engine->lock);
    return status;
}

static void end_loan(struct fm_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->loan_count--;
    (void)pthread_mutex_unlock(&engine->lock);
}

enum fm_status fm_worker_lend(struct fm_engine *engine, const struct fm_hash *whom, fm_ms deadline,
                              struct fm_worker **out, struct fm_error *err)
{
    struct fm_worker *worker = NULL;
    fm_ms now = fm_now_ms();

    if (deadline <= now)
        return fm_fail(err, FM_TIMEOUT, "%s", fm_status_text(FM_TIMEOUT));
    enum fm_status status = count_loan(engine, whom, &worker, err);
    if (status != FM_OK)
        return status;
    if (worker != NULL && !worker_is_alive(worker)) {
        worker_end(worker); /* Killed while it waited. */
        worker = NULL;
    }
    if (worker == NULL) {
        fm_ms ready = deadline - now > READY_MS_MAX ? now + READY_MS_MAX : deadline;
        status = worker_new(engine, ready, &worker, err);
    }
    if (status != FM_OK) {
        end_loan(engine);
        return status;
    }
    worker->deadline = deadline;
    if (whom != NULL && !worker->is_keyed) {
        worker->is_keyed = true;
        worker->key = *whom;
        worker->data_bytes = worker_data_bytes(worker);
    }
    *out = worker;
    return FM_OK;
}

void fm_worker_free(struct fm_worker *worker)
{
    if (worker == NULL)
        return;
    struct fm_engine *engine = worker->engine;
    if (!warm_keep(worker))
        worker_end(worker);
    end_loan(engine);
}

int fm_worker_pid(const struct fm_worker *worker)
{
    return (int)worker->pid;
}
