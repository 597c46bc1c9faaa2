/* What running DuckDB in a worker process costs, beside the same in this process: same settings,
 * same table function, same mapped blocks. Runs alternate; medians are printed, the last line is
 * one JSON object. Started by scripts/bench.
 *
 *   bench_workers FLIGHTS.parquet WORK_DIR COMMIT
 *
 * A worker is warm and kept, as one that serves a principal is. What it costs to tell a worker of a
 * table (columns, dictionaries, offsets, descriptors, mapping) counts as the worker's; this process
 * has mapped the blocks before. */
#include "query/engine_internal.h"
#include "query/worker/scan.h"
#include "tests/support/bench_report.h"
#include "tests/support/bench_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#define RUNS 21u
#define CALLS 31u /* Of a run of the empty query: its median counts. */

#define EMPTY "SELECT 1"
#define Q1                                                                                         \
    "SELECT origin, count(*) AS n, avg(delay) AS d FROM bench.flights GROUP BY origin "            \
    "ORDER BY n DESC, origin LIMIT 10"
#define SUM                                                                                        \
    "SELECT sum(epoch_us(date)), sum(delay), sum(distance), max(origin), max(destination) "        \
    "FROM bench.flights"

static const struct bench_field flights_fields[] = {{"!date", "timestamp"},
                                                    {"!delay", "int32"},
                                                    {"!distance", "int32"},
                                                    {"!^origin", "varchar"},
                                                    {"!destination", "varchar"}};

/* DuckDB with fm_scan() in this process. Tables are declared to it as a host declares them to a
 * worker. */
struct local {
    struct worker worker;
    struct fm_worker host; /* The other end of its sockets. */
    pthread_t thread;
};

struct bench {
    struct local local;
    struct fm_engine *engine;
    struct fm_store *store;
    struct fm_schema *schema;
    uint32_t result_count;
    struct bench_result results[8];
};

static void must(enum fm_status status, const char *what, const struct fm_error *err)
{
    if (status != FM_OK)
        bench_die("%s: %s: %s", what, fm_status_text(status), err->text);
}

static void add(struct bench *bench, const struct bench_result *result)
{
    if (!result->table_only)
        bench->results[bench->result_count++] = *result;
    bench_print_row(result);
}

/* ---- In this process ------------------------------------------------------------------------- */

/* What slots.c asks of a worker's session. */
void worker_next_frame(struct worker *worker)
{
    if (channel_reader_wait(&worker->control, FM_MS_NEVER) != FM_OK)
        bench_die("no frame");
}

static void run_local_sql(struct local *local, const char *sql)
{
    duckdb_result result;

    if (duckdb_query(local->worker.connection, sql, &result) != DuckDBSuccess)
        bench_die("%s: %s", sql, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
}

/* As a worker of this engine (query/worker/session.c). */
static void open_local(struct local *local)
{
    static const char *const settings[] = {
        "SET TimeZone = 'UTC'",
        "SET integer_division = true",
        "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
        "SET enable_progress_bar = false",
        "SET enable_external_file_cache = false",
        "SET temp_directory = ''",
        "SET memory_limit = '512MiB'",
        "SET threads = 2",
        "SET preserve_insertion_order = false",
    };
    int control[2], scan[2];
    struct fm_error err = {0};

    *local = (struct local){
        .worker = {.options = {.threads = 2}},
        .host = {.pidfd = -1, .wake = -1, .deadline = FM_MS_NEVER, .kill_at = FM_MS_NEVER}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scan) != 0 ||
        pthread_mutex_init(&local->worker.scan_lock, NULL) != 0 ||
        duckdb_open(NULL, &local->worker.database) != DuckDBSuccess ||
        duckdb_connect(local->worker.database, &local->worker.connection) != DuckDBSuccess)
        bench_die("cannot open DuckDB");
    channel_reader_init(&local->host.control, control[0]);
    channel_reader_init(&local->worker.control, control[1]);
    channel_reader_init(&local->host.scan, scan[0]);
    channel_reader_init(&local->worker.scan, scan[1]);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        run_local_sql(local, settings[i]);
    must(scan_register(&local->worker, &err), "table function", &err);
}

static void close_local(struct local *local)
{
    duckdb_disconnect(&local->worker.connection);
    duckdb_close(&local->worker.database);
    close_fd(&local->host.control.fd);
    close_fd(&local->host.scan.fd);
    close_fd(&local->worker.control.fd);
    close_fd(&local->worker.scan.fd);
    channel_reader_deinit(&local->host.control);
    channel_reader_deinit(&local->worker.control);
    free(local->host.sources);
    (void)pthread_mutex_destroy(&local->worker.scan_lock); /* Nobody holds it. */
}

static void *take_slots(void *context)
{
    struct local *local = context;
    struct fm_error err = {0};

    worker_next_frame(&local->worker);
    must(scan_set_slots(&local->worker, &err), "slots", &err);
    must(channel_send(local->worker.control.fd, CHANNEL_DONE, 0, fm_span(NULL, 0), -1, FM_MS_NEVER),
         "slots", &err);
    return NULL;
}

static void map_local(struct local *local, struct bench_query *query)
{
    if (pthread_create(&local->thread, NULL, take_slots, local) != 0)
        bench_die("no thread");
    bench_query_hand_over(query, &local->host);
    (void)pthread_join(local->thread, NULL); /* It was made above. */
}

/* Rows of a statement that is prepared, executed and read to its end; only chunks are looked at. */
static uint64_t run_local(struct local *local, const char *sql, bool single_thread)
{
    duckdb_prepared_statement statement = NULL;
    duckdb_pending_result pending = NULL;
    duckdb_result result = {0};
    duckdb_data_chunk chunk;
    uint64_t rows = 0;

    scan_start(&local->worker, single_thread);
    if (duckdb_prepare(local->worker.connection, sql, &statement) != DuckDBSuccess)
        bench_die("%s: %s", sql, duckdb_prepare_error(statement));
    if (duckdb_pending_prepared_streaming(statement, &pending) != DuckDBSuccess)
        bench_die("%s: %s", sql, duckdb_pending_error(pending));
    if (duckdb_execute_pending(pending, &result) != DuckDBSuccess)
        bench_die("%s: %s", sql, duckdb_result_error(&result));
    while ((chunk = duckdb_fetch_chunk(result)) != NULL) {
        rows += duckdb_data_chunk_get_size(chunk);
        duckdb_destroy_data_chunk(&chunk);
    }
    if (duckdb_result_error(&result) != NULL)
        bench_die("%s: %s", sql, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
    return rows;
}

/* ---- Through a worker ------------------------------------------------------------------------ */

static uint64_t run_worker(struct fm_worker *worker, const char *sql)
{
    struct fm_columns columns = {0};
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_error err = {0};
    struct fm_batch batch;
    uint64_t rows = 0;
    enum fm_status status;

    must(fm_worker_run(worker, fm_span_str(sql), NULL, &columns, &err), sql, &err);
    while ((status = fm_worker_next(worker, &bytes, &err)) == FM_OK) {
        must(fm_batch_view_trusted(fm_buf_span(&bytes), &batch), "a batch", &err);
        rows += batch.rows;
        fm_buf_clear(&bytes);
    }
    if (status != FM_NOTFOUND)
        must(status, sql, &err);
    fm_buf_free(&bytes);
    fm_columns_deinit(&columns);
    return rows;
}

static void measure_empty(struct bench *bench)
{
    double ours[RUNS], theirs[RUNS], over[RUNS], calls[2][CALLS];
    struct fm_worker *worker = bench_lend(bench->engine);

    for (int run = -1; run < (int)RUNS; run++) { /* The first one warms up. */
        for (uint32_t i = 0; i < CALLS; i++) {
            double start = bench_now_ms();
            uint64_t rows = run_worker(worker, EMPTY);
            double between = bench_now_ms();
            rows += run_local(&bench->local, EMPTY, false);
            calls[1][i] = (bench_now_ms() - between) * 1e3;
            calls[0][i] = (between - start) * 1e3;
            if (rows != 2)
                bench_die("%s has %" PRIu64 " rows", EMPTY, rows);
        }
        uint32_t at = run < 0 ? 0 : (uint32_t)run;
        ours[at] = bench_median(calls[0], CALLS);
        theirs[at] = bench_median(calls[1], CALLS);
        over[at] = ours[at] - theirs[at];
    }
    fm_worker_free(worker);
    struct bench_result whole = {.name = "select 1 through a worker",
                                 .value = bench_median(ours, RUNS),
                                 .unit = "us",
                                 .beside = "in process",
                                 .beside_value = bench_median(theirs, RUNS),
                                 .table_only = true};
    struct bench_result result = {.name = "empty_latency",
                                  .value = bench_median(over, RUNS),
                                  .unit = "us",
                                  .aim = 150,
                                  .aim_on_value = true};
    add(bench, &whole);
    add(bench, &result);
}

static struct bench_result measure_scan(struct bench *bench, const char *name, const char *sql)
{
    double ours[RUNS], theirs[RUNS];
    struct bench_query query;
    char *text = NULL;

    bench_query_open(&query, bench->store, bench->engine, bench->schema, sql);
    bench_query_map(&query);
    if (query.mapping.rest != NULL)
        bench_die("not all rows are mapped");
    map_local(&bench->local, &query);
    text = fm_strdup_span(fm_buf_span(&query.plan.sql));
    if (text == NULL)
        bench_die("out of memory");
    for (int run = -2; run < (int)RUNS; run++) { /* The first ones warm up. */
        double start = bench_now_ms();
        bench_query_hand_over(&query, query.worker);
        uint64_t rows = bench_query_drain(&query);
        double between = bench_now_ms();
        uint64_t local_rows = run_local(&bench->local, text, query.plan.streams);
        theirs[run < 0 ? 0 : run] = 3e3 / (bench_now_ms() - between);
        ours[run < 0 ? 0 : run] = 3e3 / (between - start);
        if (rows == 0 || rows != local_rows)
            bench_die("%s: %" PRIu64 " rows, in process %" PRIu64, sql, rows, local_rows);
    }
    free(text);
    bench_query_unmap(&query);
    bench_query_close(&query);
    return (struct bench_result){.name = name,
                                 .value = bench_median(ours, RUNS),
                                 .unit = "Mrow/s",
                                 .higher_is_better = true,
                                 .beside = "same scan in one process, 2 threads",
                                 .beside_value = bench_median(theirs, RUNS),
                                 .aim = 0.85};
}

/* Of the two the one with the lower ratio is the result. */
static void measure_scans(struct bench *bench)
{
    struct bench_result q1 = measure_scan(bench, "scan_throughput", Q1);
    struct bench_result sum = measure_scan(bench, "scan_throughput", SUM);

    q1.table_only = q1.value / q1.beside_value > sum.value / sum.beside_value;
    sum.table_only = !q1.table_only;
    printf("Q1, then the sum of all columns; the lower ratio counts\n");
    add(bench, &q1);
    add(bench, &sum);
}

static void load(struct bench *bench, const char *file, const char *work)
{
    char dir[4096];

    if (snprintf(dir, sizeof dir, "%s/store", work) >= (int)sizeof dir)
        bench_die("%s: too long", work);
    bench->schema = bench_schema("flights", flights_fields, 5);
    bench->store = bench_store_new(dir, bench->schema);
    struct fm_worker *worker = bench_lend(bench->engine);
    bench_load(bench->store, worker, bench->schema, file);
    fm_worker_free(worker);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct fm_error err = {0};

    if (argc != 4) {
        (void)fputs("usage: bench_workers FLIGHTS.parquet WORK_DIR COMMIT\n", stderr);
        return 64;
    }
    must(fm_core_init(&err), "start", &err);
    bench.engine = bench_engine();
    open_local(&bench.local);
    load(&bench, argv[1], argv[2]);
    measure_empty(&bench);
    measure_scans(&bench);
    bench_print_json("workers", argv[3], bench.results, bench.result_count);
    close_local(&bench.local);
    fm_store_close(bench.store);
    fm_schema_free(bench.schema);
    fm_engine_free(bench.engine);
    return 0;
}
