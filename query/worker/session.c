#include "query/worker/files.h"
#include "query/worker/ingest.h"
#include "query/worker/sandbox.h"
#include "query/worker/scan.h"
#include "query/worker/stream.h"
#include "query/worker/worker.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WATCHER_STACK_BYTES (256u << 10)

enum fm_status worker_sql(struct worker *worker, const char *sql, struct fm_error *err)
{
    duckdb_result result;
    enum fm_status status = FM_OK;

    if (duckdb_query(worker->connection, sql, &result) != DuckDBSuccess)
        status = worker_duck_error(worker, duckdb_result_error(&result), err);
    duckdb_destroy_result(&result);
    return status;
}

void worker_send(struct worker *worker, enum channel_kind kind, uint32_t number,
                 struct fm_span payload)
{
    (void)worker;
    if (channel_send(WORKER_CONTROL_FD, kind, number, payload, -1, FM_MS_NEVER) != FM_OK)
        _exit(0); /* The host is gone. */
}

void worker_send_error(struct worker *worker, enum fm_status status, const struct fm_error *err)
{
    const char *text = err->text[0] != '\0' ? err->text : fm_status_text(status);
    worker_send(worker, CHANNEL_ERROR, (uint32_t)status, fm_span_str(text));
}

static void take_frame(struct worker *worker)
{
    enum fm_status status = FM_BUSY;

    while (status == FM_BUSY) /* A signal came between. */
        status = channel_reader_wait(&worker->control, FM_MS_NEVER);
    if (status != FM_OK)
        _exit(status == FM_NOTFOUND ? 0 : 71);
}

static bool book_release(struct worker *worker)
{
    if (worker->control.frame.kind != CHANNEL_RELEASE)
        return false;
    if (worker->control.frame.number < CHANNEL_SLOT_COUNT)
        worker->results_free |= 1u << worker->control.frame.number;
    return true;
}

void worker_next_frame(struct worker *worker)
{
    do
        take_frame(worker);
    while (book_release(worker));
}

enum fm_status worker_await_release(struct worker *worker)
{
    while (worker->results_free == 0) {
        take_frame(worker);
        if (!book_release(worker))
            return FM_MALFORMED; /* The host never commands while it reads a result. */
    }
    return FM_OK;
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* Raises DuckDB's interrupt for as long as the host asks for it: one that comes before a statement
 * began would be forgotten. */
static void *watch(void *argument)
{
    struct worker *worker = argument;
    struct channel_page *page = (struct channel_page *)(void *)worker->memory;
    static const struct timespec pause = {.tv_nsec = 5000000};

    for (;;) {
        if (atomic_load(&page->interrupt) == 0) {
            (void)syscall(SYS_futex, &page->interrupt, FUTEX_WAIT, 0, NULL, NULL, 0);
            continue;
        }
        duckdb_interrupt(worker->connection);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static enum fm_status start_watcher(struct worker *worker, struct fm_error *err)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (pthread_attr_init(&attributes) != 0)
        return fm_fail(err, FM_NOMEM, "start the watcher");
    int failed = pthread_attr_setstacksize(&attributes, WATCHER_STACK_BYTES);
    if (failed == 0)
        failed = pthread_create(&thread, &attributes, watch, worker);
    (void)pthread_attr_destroy(&attributes); /* Cannot fail on Linux. */
    return failed == 0 ? FM_OK : fm_fail_errno(err, FM_IO, failed, "start the watcher");
}

/* What does not depend on the first command. */
static enum fm_status prepare(struct worker *worker, struct fm_error *err)
{
    static const char *const settings[] = {
        "SET integer_division = true", /* PostgreSQL's answers (design.md section 4). */
        "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
        "SET enable_progress_bar = false",
        "SET enable_external_file_cache = false",
    };
    char sized[128];
    enum fm_status status = FM_OK;

    if (worker->options.spill_bytes != 0 && !files_open_spill(worker->options.spill_dir))
        return fm_fail_errno(err, FM_IO, errno, "open files to spill to in %s",
                             worker->options.spill_dir);
    for (size_t i = 0; i < sizeof settings / sizeof *settings && status == FM_OK; i++)
        status = worker_sql(worker, settings[i], err);
    (void)snprintf(sized, sizeof sized, "SET memory_limit = '%lluB'",
                   (unsigned long long)worker->options.memory_bytes);
    if (status == FM_OK)
        status = worker_sql(worker, sized, err);
    (void)snprintf(sized, sizeof sized, "SET threads = %u", worker->options.threads);
    if (status == FM_OK)
        status = worker_sql(worker, sized, err);
    if (status == FM_OK)
        status = start_watcher(worker, err);
    if (status == FM_OK)
        status = sandbox_limit(worker->options.memory_bytes, worker->options.spill_bytes, err);
    return status;
}

/* The local file system stays: it is all that spilling goes through, and has no other files. */
static enum fm_status set_spill(struct worker *worker, struct fm_error *err)
{
    char sized[128];

    (void)snprintf(sized, sizeof sized, "SET max_temp_directory_size = '%lluB'",
                   (unsigned long long)worker->options.spill_bytes);
    enum fm_status status = worker_sql(worker, "SET temp_directory = '" FILES_SPILL "'", err);
    return status == FM_OK ? worker_sql(worker, sized, err) : status;
}

/* The first command tells what the worker is for; nothing from outside was looked at before. */
static enum fm_status lock(struct worker *worker, bool ingest, int input, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    worker->locked = true;
    if (ingest)
        status = worker_sql(worker, "SET allowed_paths = ['" FILES_INPUT "']", err);
    else
        status = worker_sql(worker, "SET preserve_insertion_order = false", err);
    if (status == FM_OK && !ingest)
        status = worker->options.spill_bytes != 0
                     ? set_spill(worker, err)
                     : worker_sql(worker, "SET disabled_filesystems = 'LocalFileSystem'", err);
    if (status == FM_OK)
        status = worker_sql(worker, "SET enable_external_access = false", err);
    if (status == FM_OK)
        status = worker_sql(worker, "SET allowed_configs = ['disabled_optimizers']", err);
    if (status == FM_OK)
        status = worker_sql(worker, "SET lock_configuration = true", err);
    worker->input = input;
    files_close(input);
    if (status == FM_OK)
        status = sandbox_enter(worker->sandbox,
                               ingest                             ? SANDBOX_READS
                               : worker->options.spill_bytes != 0 ? SANDBOX_SPILLS
                                                                  : SANDBOX_QUERY,
                               err);
    return status;
}

/* ---- Commands -------------------------------------------------------------------------------- */

/* DuckDB's JSON of a statement that did not parse or bind. */
static bool is_error_json(const struct fm_buf *json)
{
    static const char start[] = "{\"error\":true";
    return json->len > sizeof start && memcmp(json->data, start, sizeof start - 1) == 0;
}

static enum fm_status error_from_json(struct worker *worker, const struct fm_buf *json,
                                      struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(FM_SQL_BYTES_MAX);
    static const char sql[] =
        "SELECT concat(upper((j ->> 'error_type')[1]), (j ->> 'error_type')[2:], ' Error: ', "
        "j ->> 'error_message', ' (at character ' || ((j ->> 'position')::BIGINT + 1) || ')') "
        "FROM (SELECT $1::JSON AS j)";

    enum fm_status status = worker_text(worker, sql, fm_buf_span(json), &text, err);
    if (status != FM_OK)
        return status;
    fm_buf_put_u8(&text, 0);
    if (fm_buf_status(&text) != FM_OK)
        return fm_buf_status(&text);
    return worker_duck_error(worker, (const char *)text.data, err);
}

/* DuckDB 1.5.6 fails to print some plans ("inequal types"): it looks at the columns of filters,
 * joins and aggregates with the types that they had before some were taken out again. Once more
 * without the steps that do so, which change nothing about what is read. */
static enum fm_status plan_whole(struct worker *worker, const char *sql, struct fm_buf *out,
                                 struct fm_error *err)
{
    static const char steps[] =
        "SET disabled_optimizers = 'column_lifetime,common_aggregate,duplicate_groups'";
    enum fm_status status = worker_sql(worker, steps, err);

    if (status != FM_OK)
        return status;
    fm_buf_clear(out);
    status = worker_text(worker, sql, fm_buf_span(&worker->control.payload), out, err);
    enum fm_status reset = worker_sql(worker, "SET disabled_optimizers = ''", err);
    return status == FM_OK ? reset : status;
}

static bool is_inequal(const struct fm_buf *json)
{
    static const char words[] = ": inequal ";
    return memmem(json->data, json->len, words, sizeof words - 1) != NULL;
}

static enum fm_status answer_text(struct worker *worker, const char *sql, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX);

    enum fm_status status =
        worker_text(worker, sql, fm_buf_span(&worker->control.payload), &out, err);
    if (status == FM_OK && worker->control.frame.kind == CHANNEL_PLAN && is_error_json(&out) &&
        is_inequal(&out))
        status = plan_whole(worker, sql, &out, err);
    if (status == FM_OK && is_error_json(&out))
        status = error_from_json(worker, &out, err);
    if (status == FM_OK)
        worker_send(worker, CHANNEL_TEXT, 0, fm_buf_span(&out));
    return status;
}

/* A copy of the payload with a NUL behind it: DuckDB takes SQL as a C string. */
static enum fm_status run(struct worker *worker, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) char *sql = NULL;
    struct fm_span text = fm_buf_span(&worker->control.payload);

    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        return fm_fail(err, FM_INVALID, "the statement holds a NUL character");
    sql = fm_strdup_span(text);
    if (sql == NULL)
        return FM_NOMEM;
    scan_start(worker, (worker->control.frame.number & CHANNEL_RUN_SINGLE_THREAD) != 0);
    return stream_run(worker, sql, (worker->control.frame.number & CHANNEL_RUN_DESCRIBE) != 0, err);
}

static enum fm_status execute(struct worker *worker, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    switch ((int)worker->control.frame.kind) {
    case CHANNEL_PARSE:
        return answer_text(worker, "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", err);
    case CHANNEL_UNPARSE:
        return answer_text(worker, "SELECT json_deserialize_sql($1::JSON)", err);
    case CHANNEL_PLAN:
        return answer_text(
            worker, "SELECT json_serialize_plan($1::VARCHAR, optimize := true)::VARCHAR", err);
    case CHANNEL_SLOTS:
        status = scan_set_slots(worker, err);
        if (status == FM_OK)
            worker_send(worker, CHANNEL_DONE, files_have_spilled() ? 1 : 0, fm_span(NULL, 0));
        return status;
    case CHANNEL_RUN:
        return run(worker, err);
    case CHANNEL_INGEST:
        return ingest_run(worker, err);
    default:
        return fm_fail(err, FM_MALFORMED, "a command that a worker does not know");
    }
}

static enum fm_status lock_for(struct worker *worker, struct fm_error *err)
{
    int input = -1;

    if (worker->locked)
        return worker->control.frame.kind == CHANNEL_INGEST
                   ? fm_fail(err, FM_INVALID, "this worker was used for something else")
                   : FM_OK;
    bool ingest = worker->control.frame.kind == CHANNEL_INGEST;
    if (ingest) {
        input = worker->control.passed;
        worker->control.passed = -1;
        if (input < 0)
            return fm_fail(err, FM_MALFORMED, "no file came with the command");
    }
    enum fm_status status = lock(worker, ingest, input, err);
    if (status != FM_OK) {
        worker_send_error(worker, status, err);
        _exit(71); /* Never work half locked. */
    }
    return FM_OK;
}

int worker_main(struct worker *worker)
{
    struct fm_error err = {0};

    enum fm_status status = prepare(worker, &err);
    if (status != FM_OK) {
        worker_send_error(worker, status, &err);
        return 71;
    }
    worker_send(worker, CHANNEL_READY, 0, fm_span(NULL, 0));
    for (;;) {
        worker_next_frame(worker);
        err.text[0] = '\0';
        status = lock_for(worker, &err);
        if (status == FM_OK)
            status = execute(worker, &err);
        if (status != FM_OK)
            worker_send_error(worker, status, &err);
    }
}
