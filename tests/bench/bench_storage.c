/* The store's figures beside DuckDB, RocksDB and Parquet, in one run: runs alternate, medians are
 * printed, the last line is one JSON object. Started by scripts/bench.
 *
 *   bench_storage FLIGHTS.parquet WORK_DIR COMMIT ROWS_LARGE [PART]
 *
 * PART: `flights`, `latest`, `lookup`, `writers`, `memory` or `wide`; all, if there is none.
 * ROWS_LARGE (a multiple of 3,000,000) is for `memory` and `open`. The program starts itself as a
 * child for what is killed or whose memory is counted:
 *
 *   bench_storage --load STORE FILE     load, say so; on a byte scan, say so; wait to be killed
 *   bench_storage --open STORE          print the ms until the store serves a row */
#include "tests/support/bench_process.h"
#include "tests/support/bench_report.h"
#include "tests/support/bench_store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define LOAD_RUNS 5u
#define SCAN_RUNS 21u
#define OPEN_RUNS 5u
#define WRITE_RUNS 3u
#define LOOKUP_RUNS 7u
#define LOOKUPS 50000u
#define LOOKUP_ROW_BYTES 32u /* As long as the row's values. */
#define WRITE_SECONDS 2.0
#define WRITERS 64u
#define WRITER_TABLES 8u
#define FLIGHTS_ROWS UINT64_C(3000000)
#define SMALL_ROWS UINT64_C(300000)
#define WIDE_ROWS 100000u
#define WIDE_COLUMNS 100u
#define FIRST_APPENDS 64u /* After the large one, so that RocksDB's log holds something. */
#define RESULTS_MAX 24u

#define FLIGHTS_SQL                                                                                \
    "date::TIMESTAMP AS date, delay::INTEGER AS delay, distance::INTEGER AS distance, origin, "    \
    "destination"
#define Q1                                                                                         \
    "SELECT origin, count(*) AS n, avg(delay) AS d FROM %s GROUP BY origin ORDER BY n DESC, "      \
    "origin LIMIT 10"
#define SELECTIVE                                                                                  \
    "SELECT date, delay, distance, origin, destination FROM %s WHERE origin = 'SEA' AND delay > "  \
    "120"

static const struct bench_field flights_fields[] = {{"!date", "timestamp"},
                                                    {"!delay", "int32"},
                                                    {"!distance", "int32"},
                                                    {"!^origin", "varchar"},
                                                    {"!destination", "varchar"}};
static const struct bench_field keyed_fields[] = {
    {"!#id", "int64"},      {"!date", "timestamp"}, {"!delay", "int32"},
    {"!distance", "int32"}, {"!origin", "varchar"}, {"!destination", "varchar"}};

struct bench {
    const char *self;
    const char *flights; /* The Parquet file. */
    const char *work;
    const char *commit;
    uint64_t rows_large;
    struct fm_engine *engine;
    struct fm_schema *schema; /* Of the flights. */
    struct fm_schema *keyed;
    uint32_t result_count;
    struct bench_result results[RESULTS_MAX];
};

static void add(struct bench *bench, const struct bench_result *result)
{
    if (bench->result_count == RESULTS_MAX)
        bench_die("too many results");
    bench->results[bench->result_count++] = *result;
    bench_print_row(result);
}

__attribute__((format(printf, 3, 4))) static const char *path_of(const struct bench *bench,
                                                                 char out[PATH_BYTES],
                                                                 const char *format, ...)
{
    char name[64];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(name, sizeof name, format, arguments); /* Short names. */
    va_end(arguments);
    if (snprintf(out, PATH_BYTES, "%s/%s", bench->work, name) >= PATH_BYTES)
        bench_die("%s: too long", bench->work);
    return out;
}

static void remove_path(const char *path)
{
    bench_shell("rm -rf -- '%s'", path);
}

/* ---- bulk_append, disk_bytes ----------------------------------------------------------------- */

/* One durable load into a new store; its time in ms. */
static double load_once(struct bench *bench, const char *dir, const struct fm_schema *schema,
                        const char *file)
{
    struct fm_store *store = bench_store_new(dir, schema);
    struct fm_worker *worker = bench_lend(bench->engine);
    double start = bench_now_ms();

    bench_load(store, worker, schema, file);
    double took = bench_now_ms() - start;
    fm_worker_free(worker);
    fm_store_close(store);
    return took;
}

static double duck_load_once(const char *file, const char *path, const char *columns)
{
    struct bench_duck duck;

    remove_path(path);
    bench_duck_open(&duck, path);
    double start = bench_now_ms();
    bench_duck_run(&duck, NULL, "CREATE TABLE t AS SELECT %s FROM read_parquet('%s'); CHECKPOINT",
                   columns, file);
    double took = bench_now_ms() - start;
    bench_duck_close(&duck);
    return took;
}

static void measure_append(struct bench *bench, const char *name, const struct fm_schema *schema,
                           const char *file, const char *columns, bool table_only)
{
    double ours[LOAD_RUNS], theirs[LOAD_RUNS];
    char dir[PATH_BYTES], path[PATH_BYTES];

    (void)path_of(bench, dir, "append");
    (void)path_of(bench, path, "append.duckdb");
    for (uint32_t run = 0; run < LOAD_RUNS; run++) {
        remove_path(dir);
        ours[run] = load_once(bench, dir, schema, file);
        theirs[run] = duck_load_once(file, path, columns);
    }
    struct bench_result result = {.name = name,
                                  .value = bench_median(ours, LOAD_RUNS),
                                  .unit = "ms",
                                  .beside = "duckdb CREATE TABLE AS + CHECKPOINT, 2 threads",
                                  .beside_value = bench_median(theirs, LOAD_RUNS),
                                  .aim = 2.5,
                                  .table_only = table_only};
    add(bench, &result);
}

/* Of the store that measure_append() left; its log is flushed by opening it once more. */
static void measure_disk(struct bench *bench, const char *name, const char *file,
                         const char *columns, const char *order, bool table_only)
{
    char dir[PATH_BYTES], path[PATH_BYTES], parquet[PATH_BYTES];
    struct bench_duck duck;

    (void)path_of(bench, dir, "append");
    (void)path_of(bench, path, "disk.duckdb");
    (void)path_of(bench, parquet, "disk.parquet");
    remove_path(path);
    bench_duck_open(&duck, path);
    bench_duck_run(&duck, NULL,
                   "COPY (SELECT %s FROM read_parquet('%s', file_row_number = %s) %s) TO '%s' "
                   "(FORMAT parquet, COMPRESSION zstd)",
                   columns, file, order[0] != '\0' ? "true" : "false", order, parquet);
    bench_duck_close(&duck);
    fm_store_close(bench_store_open(dir));
    struct bench_result result = {.name = name,
                                  .value = (double)bench_disk_bytes(dir) / (1 << 20),
                                  .unit = "MiB",
                                  .beside = "zstd parquet file of the same row order",
                                  .beside_value = (double)bench_disk_bytes(parquet) / (1 << 20),
                                  .aim = 1.6,
                                  .table_only = table_only};
    add(bench, &result);
}

/* ---- scan, selective_scan, latest_scan ------------------------------------------------------- */

static double time_duck(struct bench_duck *duck, const char *format, size_t *rows)
{
    char sql[1024];
    double start = bench_now_ms();

    (void)snprintf(sql, sizeof sql, format, "t"); /* One of the formats above. */
    bench_duck_run(duck, rows, "%s", sql);
    return bench_now_ms() - start;
}

/* A query over the store beside the same over DuckDB's file; the answers have as many rows. */
static void measure_scan(struct bench *bench, struct fm_store *store, const char *name,
                         const char *format, const char *order, double aim)
{
    double ours[SCAN_RUNS], theirs[SCAN_RUNS];
    char path[PATH_BYTES], sql[1024];
    struct bench_query query;
    struct bench_duck duck;
    uint64_t rows = 0;
    size_t duck_rows = 0;

    (void)path_of(bench, path, "scan.duckdb");
    remove_path(path);
    bench_duck_open(&duck, path);
    bench_duck_run(&duck, NULL,
                   "CREATE TABLE t AS SELECT " FLIGHTS_SQL
                   " FROM read_parquet('%s') %s; CHECKPOINT",
                   bench->flights, order);
    bench_duck_close(&duck);
    bench_duck_open(&duck, path);
    (void)snprintf(sql, sizeof sql, format, "bench.flights");
    bench_query_open(&query, store, bench->engine, bench->schema, sql);
    for (int run = -2; run < (int)SCAN_RUNS; run++) { /* The first ones warm up. */
        ours[run < 0 ? 0 : run] = bench_query_run(&query, &rows);
        theirs[run < 0 ? 0 : run] = time_duck(&duck, format, &duck_rows);
        if (rows != duck_rows)
            bench_die("%s: %" PRIu64 " rows, duckdb %zu", sql, rows, duck_rows);
    }
    bench_query_close(&query);
    bench_duck_close(&duck);
    struct bench_result result = {.name = name,
                                  .value = bench_median(ours, SCAN_RUNS),
                                  .unit = "ms",
                                  .beside = order[0] == '\0'
                                                ? "duckdb file, load order, warm, 2 threads"
                                                : "duckdb file, same order, warm, 2 threads",
                                  .beside_value = bench_median(theirs, SCAN_RUNS),
                                  .aim = aim};
    add(bench, &result);
}

/* Of DuckDB's load order and clustering order the faster one counts; both are shown. */
static void measure_scans(struct bench *bench)
{
    char dir[PATH_BYTES];
    struct fm_store *store = bench_store_open(path_of(bench, dir, "append"));
    uint32_t first = bench->result_count;

    measure_scan(bench, store, "scan", Q1, "", 1.2);
    measure_scan(bench, store, "scan", Q1, "ORDER BY origin", 1.2);
    uint32_t slower = bench->results[first].beside_value < bench->results[first + 1].beside_value;
    bench->results[first + slower].table_only = true;
    measure_scan(bench, store, "selective_scan", SELECTIVE, "ORDER BY origin", 1.5);
    fm_store_close(store);
}

/* Flights with a number as primary key, and every tenth of them once more. */
static void write_keyed(struct bench *bench, const char *all, const char *tenth)
{
    char path[PATH_BYTES];
    struct bench_duck duck;

    bench_duck_open(&duck, path_of(bench, path, "keyed.duckdb"));
    bench_duck_run(&duck, NULL,
                   "CREATE TABLE t AS SELECT row_number() OVER () AS id, " FLIGHTS_SQL
                   " FROM read_parquet('%s'); COPY t TO '%s' (FORMAT parquet);"
                   "COPY (FROM t WHERE id %% 10 = 3) TO '%s' (FORMAT parquet)",
                   bench->flights, all, tenth);
    bench_duck_close(&duck);
    remove_path(path);
}

static void measure_latest(struct bench *bench)
{
    char dir[2][PATH_BYTES], all[PATH_BYTES], tenth[PATH_BYTES], sql[1024];
    double times[2][SCAN_RUNS];
    struct fm_store *stores[2];
    struct bench_query queries[2];
    uint64_t rows[2];

    (void)path_of(bench, all, "keyed.parquet");
    (void)path_of(bench, tenth, "tenth.parquet");
    write_keyed(bench, all, tenth);
    (void)snprintf(sql, sizeof sql, Q1, "bench.keyed");
    for (int i = 0; i < 2; i++) {
        (void)load_once(bench, path_of(bench, dir[i], "keyed%d", i), bench->keyed, all);
        stores[i] = bench_store_open(dir[i]);
        if (i == 1) {
            struct fm_worker *worker = bench_lend(bench->engine);
            bench_load(stores[i], worker, bench->keyed, tenth);
            fm_worker_free(worker);
        }
        bench_query_open(&queries[i], stores[i], bench->engine, bench->keyed, sql);
    }
    for (int run = -2; run < (int)SCAN_RUNS; run++)
        for (int i = 0; i < 2; i++)
            times[i][run < 0 ? 0 : run] = bench_query_run(&queries[i], &rows[i]);
    for (int i = 0; i < 2; i++) {
        bench_query_close(&queries[i]);
        fm_store_close(stores[i]);
        remove_path(dir[i]);
    }
    struct bench_result result = {.name = "latest_scan",
                                  .value = bench_median(times[1], SCAN_RUNS),
                                  .unit = "ms",
                                  .beside = "the same scan with none superseded",
                                  .beside_value = bench_median(times[0], SCAN_RUNS),
                                  .aim = 1.3};
    add(bench, &result);
}

/* ---- key_lookup ------------------------------------------------------------------------------ */

/* The rows of a keyed table in a RocksDB of their own, by their key. */
struct bare {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

static void check_rocks(const char *error)
{
    if (error != NULL)
        bench_die("rocksdb: %s", error);
}

static void bare_open(struct bare *bare, const char *dir)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru((size_t)256 << 20); /* As the store's. */
    char value[LOOKUP_ROW_BYTES] = {0};
    char *error = NULL;

    bare->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(bare->options, 1);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(bare->options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache); /* The options keep it. */
    bare->read = rocksdb_readoptions_create();
    bare->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(bare->write, 1);
    bare->db = rocksdb_open(bare->options, dir, &error);
    check_rocks(error);
    for (uint64_t id = 1; id <= FLIGHTS_ROWS; id++) {
        (void)snprintf(value, sizeof value, "%" PRIu64 "SEASFO", id); /* Not all the same. */
        rocksdb_put(bare->db, bare->write, (const char *)&id, sizeof id, value, sizeof value,
                    &error);
        check_rocks(error);
    }
    rocksdb_compact_range(bare->db, NULL, 0, NULL, 0);
}

static void bare_close(struct bare *bare)
{
    rocksdb_close(bare->db);
    rocksdb_readoptions_destroy(bare->read);
    rocksdb_writeoptions_destroy(bare->write);
    rocksdb_options_destroy(bare->options);
}

/* Ids in no order, the same for both. */
static uint64_t next_id(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % FLIGHTS_ROWS + 1;
}

/* us of a lookup. */
static double time_lookups(struct fm_snapshot *snapshot, uint64_t state)
{
    struct fm_buf row = FM_BUF_INIT(0);
    struct fm_error err = {0};
    double start = bench_now_ms();

    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint64_t id = next_id(&state);
        fm_buf_clear(&row);
        if (fm_snapshot_get(snapshot, "bench", "keyed", fm_span(&id, sizeof id), &row, &err) !=
            FM_OK)
            bench_die("no row %" PRIu64 ": %s", id, err.text);
    }
    fm_buf_free(&row);
    return (bench_now_ms() - start) * 1e3 / LOOKUPS;
}

static double time_gets(struct bare *bare, uint64_t state)
{
    char *error = NULL;
    double start = bench_now_ms();

    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint64_t id = next_id(&state);
        size_t len = 0;
        char *value = rocksdb_get(bare->db, bare->read, (const char *)&id, sizeof id, &len, &error);
        check_rocks(error);
        if (len != LOOKUP_ROW_BYTES)
            bench_die("no row %" PRIu64, id);
        rocksdb_free(value);
    }
    return (bench_now_ms() - start) * 1e3 / LOOKUPS;
}

static void measure_lookup(struct bench *bench)
{
    char dir[PATH_BYTES], plain[PATH_BYTES], all[PATH_BYTES], tenth[PATH_BYTES];
    double ours[LOOKUP_RUNS], theirs[LOOKUP_RUNS];
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err = {0};
    struct bare bare = {0};

    (void)path_of(bench, all, "keyed.parquet");
    (void)path_of(bench, tenth, "tenth.parquet");
    write_keyed(bench, all, tenth);
    remove_path(path_of(bench, dir, "lookup"));
    remove_path(path_of(bench, plain, "lookup.rocks"));
    (void)load_once(bench, dir, bench->keyed, all);
    bare_open(&bare, plain);
    struct fm_store *store = bench_store_open(dir);
    if (fm_snapshot_open(store, &snapshot, &err) != FM_OK)
        bench_die("snapshot: %s", err.text);
    for (int run = -2; run < (int)LOOKUP_RUNS; run++) { /* The first ones warm up. */
        ours[run < 0 ? 0 : run] = time_lookups(snapshot, (uint64_t)(run + 2));
        theirs[run < 0 ? 0 : run] = time_gets(&bare, (uint64_t)(run + 2));
    }
    fm_snapshot_free(snapshot);
    fm_store_close(store);
    bare_close(&bare);
    remove_path(dir);
    remove_path(plain);
    struct bench_result result = {.name = "key_lookup",
                                  .value = bench_median(ours, LOOKUP_RUNS),
                                  .unit = "us",
                                  .beside = "bare rocksdb get of such a row",
                                  .beside_value = bench_median(theirs, LOOKUP_RUNS),
                                  .aim = 8};
    add(bench, &result);
}

/* ---- group_commit ---------------------------------------------------------------------------- */

/* 64 threads that each write one row after the other until the time is up. */
struct writers {
    struct bench *bench;
    struct fm_store *store; /* NULL: RocksDB. */
    rocksdb_t *rocks;
    rocksdb_writeoptions_t *sync;
    uint32_t table_count;
    struct fm_schema *tables[WRITER_TABLES]; /* A row goes to one after the other. */
    atomic_bool stop;
    atomic_uint_fast64_t rows;
};

static void put_rocks(struct writers *writers, uint64_t number)
{
    struct fm_buf row = FM_BUF_INIT(0);
    char key[12] = {0}; /* As long as the store's. */
    char *error = NULL;

    memcpy(key + 4, &number, sizeof number);
    bench_make_row(writers->bench->schema, number, &row);
    rocksdb_put(writers->rocks, writers->sync, key, sizeof key, (const char *)row.data, row.len,
                &error);
    fm_buf_free(&row);
    if (error != NULL)
        bench_die("rocksdb: %s", error);
}

static void *write_rows(void *argument)
{
    struct writers *writers = argument;

    while (!atomic_load(&writers->stop)) {
        uint64_t number = atomic_fetch_add(&writers->rows, 1);
        if (writers->store != NULL)
            bench_append_row(writers->store, writers->tables[number % writers->table_count],
                             number);
        else
            put_rocks(writers, number);
    }
    return NULL;
}

/* Rows a second. */
static double run_writers(struct writers *writers)
{
    pthread_t threads[WRITERS];
    double start = bench_now_ms();

    atomic_store(&writers->stop, false);
    atomic_store(&writers->rows, 0);
    for (uint32_t i = 0; i < WRITERS; i++)
        if (pthread_create(&threads[i], NULL, write_rows, writers) != 0)
            bench_die("no thread");
    (void)usleep((useconds_t)(WRITE_SECONDS * 1e6)); /* About; what passed is measured. */
    atomic_store(&writers->stop, true);
    for (uint32_t i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL); /* Cannot fail: started above. */
    return (double)atomic_load(&writers->rows) / (bench_now_ms() - start) * 1e3;
}

static double store_rate(struct bench *bench, uint32_t table_count)
{
    char dir[PATH_BYTES], name[24];
    struct writers writers = {.bench = bench, .table_count = table_count};

    remove_path(path_of(bench, dir, "writers"));
    writers.store = bench_store_open(dir);
    for (uint32_t i = 0; i < table_count; i++) {
        (void)snprintf(name, sizeof name, "flights%u", i); /* Fits. */
        writers.tables[i] = bench_schema(name, flights_fields, 5);
        bench_define(writers.store, writers.tables[i]);
    }
    double rate = run_writers(&writers);
    fm_store_close(writers.store);
    for (uint32_t i = 0; i < table_count; i++)
        fm_schema_free(writers.tables[i]);
    return rate;
}

static double rocks_rate(struct bench *bench)
{
    char dir[PATH_BYTES];
    rocksdb_options_t *options = rocksdb_options_create();
    struct writers writers = {.bench = bench, .sync = rocksdb_writeoptions_create()};
    char *error = NULL;

    remove_path(path_of(bench, dir, "rocks"));
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_writeoptions_set_sync(writers.sync, 1);
    writers.rocks = rocksdb_open(options, dir, &error);
    if (error != NULL)
        bench_die("rocksdb: %s", error);
    double rate = run_writers(&writers);
    rocksdb_close(writers.rocks);
    rocksdb_writeoptions_destroy(writers.sync);
    rocksdb_options_destroy(options);
    return rate;
}

static void measure_group_commit(struct bench *bench, const char *name, uint32_t table_count)
{
    double ours[WRITE_RUNS], theirs[WRITE_RUNS];

    for (uint32_t run = 0; run < WRITE_RUNS; run++) {
        ours[run] = store_rate(bench, table_count);
        theirs[run] = rocks_rate(bench);
    }
    struct bench_result result = {.name = name,
                                  .value = bench_median(ours, WRITE_RUNS),
                                  .unit = "rows/s",
                                  .higher_is_better = true,
                                  .beside = "bare rocksdb put with sync, 64 threads",
                                  .beside_value = bench_median(theirs, WRITE_RUNS),
                                  .aim = 0.4,
                                  .table_only = table_count > 1};
    add(bench, &result);
}

static void measure_writers(struct bench *bench)
{
    measure_group_commit(bench, "group_commit", 1);
    measure_group_commit(bench, "group_commit, 8 tables", WRITER_TABLES);
}

/* ---- memory, open ---------------------------------------------------------------------------- */

/* A file of `rows` flights. */
static void write_flights(struct bench *bench, uint64_t rows, const char *file)
{
    char path[PATH_BYTES];
    struct bench_duck duck;

    bench_duck_open(&duck, path_of(bench, path, "flights.duckdb"));
    bench_duck_run(&duck, NULL,
                   "COPY (SELECT f.* FROM read_parquet('%s') f, range(%" PRIu64 ") LIMIT %" PRIu64
                   ") TO '%s' (FORMAT parquet)",
                   bench->flights, (rows + FLIGHTS_ROWS - 1) / FLIGHTS_ROWS, rows, file);
    bench_duck_close(&duck);
    remove_path(path);
}

/* Load in a child, count its memory, kill it. `loading` and `scanning` are peaks in MiB. */
static void load_and_kill(struct bench *bench, const char *dir, const char *file, double *loading,
                          double *scanning)
{
    char *arguments[] = {(char *)bench->self, "--load", (char *)dir, (char *)file, NULL};
    struct bench_child child;
    char line[64];

    remove_path(dir);
    bench_child_start(&child, arguments);
    *loading = bench_child_peak(&child);
    bench_child_read(&child, line);
    if (write(child.to, "s", 1) != 1)
        bench_die("a child does not listen");
    *scanning = bench_child_peak(&child);
    bench_child_read(&child, line);
    bench_child_kill(&child);
}

/* ms until a copy of a killed store serves its first row. */
static double open_once(struct bench *bench, const char *killed)
{
    char dir[PATH_BYTES], line[64];
    char *arguments[] = {(char *)bench->self, "--open", dir, NULL};
    struct bench_child child;

    remove_path(path_of(bench, dir, "opened"));
    bench_shell("cp -a -- '%s' '%s' && sync", killed, dir);
    bench_child_start(&child, arguments);
    bench_child_read(&child, line);
    bench_child_kill(&child);
    remove_path(dir);
    return strtod(line, NULL);
}

static void measure_memory_and_open(struct bench *bench)
{
    static const char *const names[2] = {"killed-small", "killed-large"};
    uint64_t rows[2] = {SMALL_ROWS, bench->rows_large};
    double loading = 0, scanning = 0, times[2][OPEN_RUNS];
    char dirs[2][PATH_BYTES], file[PATH_BYTES];

    (void)path_of(bench, file, "rows.parquet");
    for (int i = 0; i < 2; i++) {
        write_flights(bench, rows[i], file);
        load_and_kill(bench, path_of(bench, dirs[i], "%s", names[i]), file, &loading, &scanning);
        printf("%" PRIu64 " flights: peak %.0f MiB loading, %.0f MiB scanning\n", rows[i], loading,
               scanning);
    }
    struct bench_result memory = {.name = "memory",
                                  .value = loading > scanning ? loading : scanning,
                                  .unit = "MiB",
                                  .aim = 512,
                                  .aim_on_value = true};
    add(bench, &memory);
    for (uint32_t run = 0; run < OPEN_RUNS; run++)
        for (int i = 0; i < 2; i++)
            times[i][run] = open_once(bench, dirs[i]);
    struct bench_result result = {.name = "open",
                                  .value = bench_median(times[1], OPEN_RUNS),
                                  .unit = "ms",
                                  .beside = "with 300,000 facts",
                                  .beside_value = bench_median(times[0], OPEN_RUNS),
                                  .aim = 1.5};
    add(bench, &result);
}

/* ---- A wide table ---------------------------------------------------------------------------- */

static void measure_wide(struct bench *bench)
{
    static char names[WIDE_COLUMNS][8];
    static char columns[WIDE_COLUMNS * 96];
    struct bench_field fields[WIDE_COLUMNS];
    char path[PATH_BYTES], file[PATH_BYTES];
    struct bench_duck duck;
    size_t at = 0;

    for (uint32_t i = 0; i < WIDE_COLUMNS; i++) {
        static const char *const types[4] = {"int32", "int64", "double", "varchar"};
        static const char *const values[4] = {"(i * %u %% 1009)::INTEGER", "i * %u",
                                              "(i * %u %% 99991) / 8.0", "'v' || (i * %u %% 4999)"};
        (void)snprintf(names[i], sizeof names[i], "!c%u", i);
        fields[i] = (struct bench_field){.name = names[i], .type = types[i % 4]};
        at += (size_t)snprintf(columns + at, sizeof columns - at, i == 0 ? "" : ", ");
        at += (size_t)snprintf(columns + at, sizeof columns - at, values[i % 4], i + 1);
        at += (size_t)snprintf(columns + at, sizeof columns - at, " AS c%u", i);
    }
    bench_duck_open(&duck, path_of(bench, path, "wide.duckdb"));
    bench_duck_run(&duck, NULL, "COPY (SELECT %s FROM range(%u) r(i)) TO '%s' (FORMAT parquet)",
                   columns, WIDE_ROWS, path_of(bench, file, "wide.parquet"));
    bench_duck_close(&duck);
    struct fm_schema *schema = bench_schema("wide", fields, WIDE_COLUMNS);
    measure_append(bench, "bulk_append, 100 columns", schema, file, "*", true);
    measure_disk(bench, "disk_bytes, 100 columns", file, "*", "", true);
    fm_schema_free(schema);
}

/* ---- Children -------------------------------------------------------------------------------- */

static int load_child(const char *dir, const char *file)
{
    struct fm_schema *schema = bench_schema("flights", flights_fields, 5);
    struct fm_engine *engine = bench_engine();
    struct fm_store *store = bench_store_new(dir, schema);
    struct fm_worker *worker = bench_lend(engine);
    struct bench_query query;
    uint64_t rows = 0;
    char byte;

    bench_load(store, worker, schema, file);
    fm_worker_free(worker);
    for (uint64_t i = 0; i < FIRST_APPENDS; i++)
        bench_append_row(store, schema, i);
    (void)puts("loaded");
    (void)fflush(stdout); /* The parent notices when nothing comes. */
    if (read(0, &byte, 1) != 1)
        return 1;
    bench_query_open(&query, store, engine, schema,
                     "SELECT origin, destination, count(*), sum(delay), sum(distance), max(date) "
                     "FROM bench.flights GROUP BY origin, destination");
    for (int run = 0; run < 3; run++)
        (void)bench_query_run(&query, &rows); /* Its time is measured elsewhere. */
    (void)puts("scanned");
    (void)fflush(stdout); /* As above. */
    (void)pause();
    return 0;
}

static int open_child(const char *dir)
{
    static const uint32_t fields[] = {0, 3};
    struct fm_scan_options options = {
        .domain = "bench", .table = "flights", .field_count = 2, .fields = fields, .row_limit = 1};
    struct fm_snapshot *snapshot = NULL;
    struct fm_scan *scan = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_error err = {0};
    double start = bench_now_ms();
    struct fm_store *store = bench_store_open(dir);

    if (fm_snapshot_open(store, &snapshot, &err) != FM_OK ||
        fm_scan_open(snapshot, &options, &scan, &err) != FM_OK ||
        fm_scan_next(scan, &bytes, &err) != FM_OK)
        bench_die("%s", err.text);
    printf("%.3f\n", bench_now_ms() - start);
    (void)fflush(stdout); /* The parent notices when nothing comes. */
    (void)pause();
    return 0;
}

/* ---------------------------------------------------------------------------------------------- */

static void measure_flights(struct bench *bench)
{
    char dir[PATH_BYTES];

    measure_append(bench, "bulk_append", bench->schema, bench->flights, FLIGHTS_SQL, false);
    measure_scans(bench);
    measure_disk(bench, "disk_bytes", bench->flights, FLIGHTS_SQL,
                 "ORDER BY origin, file_row_number", false);
    remove_path(path_of(bench, dir, "append"));
}

static const struct part {
    const char *name;
    void (*measure)(struct bench *bench);
} parts[] = {
    {"flights", measure_flights}, {"latest", measure_latest},          {"lookup", measure_lookup},
    {"writers", measure_writers}, {"memory", measure_memory_and_open}, {"wide", measure_wide},
};

/* `only`: the name of one part; NULL: all. */
static void measure_parts(struct bench *bench, const char *only)
{
    bool found = false;

    printf("%-26s %12s %-6s %12s %8s\n", "median", "folkmoot", "", "beside", "ratio");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (only != NULL && strcmp(only, parts[i].name) != 0)
            continue;
        parts[i].measure(bench);
        found = true;
    }
    if (!found)
        bench_die("there is no part %s", only);
}

int main(int argc, char **argv)
{
    struct bench bench = {.self = argv[0]};

    if (argc == 4 && strcmp(argv[1], "--load") == 0)
        return load_child(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "--open") == 0)
        return open_child(argv[2]);
    if (argc != 5 && argc != 6) {
        (void)fputs("usage: bench_storage FLIGHTS.parquet WORK_DIR COMMIT ROWS_LARGE [PART]\n",
                    stderr);
        return 64;
    }
    bench.flights = argv[1];
    bench.work = argv[2];
    bench.commit = argv[3];
    bench.rows_large = strtoull(argv[4], NULL, 10);
    bench.engine = bench_engine();
    bench.schema = bench_schema("flights", flights_fields, 5);
    bench.keyed = bench_schema("keyed", keyed_fields, 6);
    measure_parts(&bench, argc == 6 ? argv[5] : NULL);
    bench_print_json("storage", bench.commit, bench.results, bench.result_count);
    fm_schema_free(bench.schema);
    fm_schema_free(bench.keyed);
    fm_engine_free(bench.engine);
    return 0;
}
