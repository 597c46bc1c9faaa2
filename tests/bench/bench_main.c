/* The five queries of the demo through the mesh, beside DuckDB's own checkpointed file (warm, 2
 * threads; of load order and clustering order the faster). Runs alternate; medians are printed, the
 * last line is one JSON object (scripts/bench --help gives its form). Started by scripts/bench.
 *
 *   bench_main NODE IDENTITY DATA_DIR WORK_DIR COMMIT QUERY.sql... */
#include "include/folkmoot.h"

#include <duckdb.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 11
#define ORDERS 2 /* Load order, clustering order. */
#define QUERIES_MAX 16

struct yardstick {
    duckdb_database database;
    duckdb_connection connection;
};

static const char *const aims[QUERIES_MAX] = {"<= 3", "<= 3", NULL, NULL, NULL};
static const double aim_limits[QUERIES_MAX] = {3, 3};

static double now_ms(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        abort();
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void duck(struct yardstick *yardstick, const char *sql)
{
    duckdb_result result;

    if (duckdb_query(yardstick->connection, sql, &result) != DuckDBSuccess) {
        (void)fprintf(stderr, "bench: %s\n", duckdb_result_error(&result));
        exit(1);
    }
    duckdb_destroy_result(&result);
}

static void open_yardstick(struct yardstick *yardstick, const char *path)
{
    char *error = NULL;

    if (duckdb_open_ext(path, &yardstick->database, NULL, &error) != DuckDBSuccess ||
        duckdb_connect(yardstick->database, &yardstick->connection) != DuckDBSuccess) {
        (void)fprintf(stderr, "bench: %s\n", error != NULL ? error : path);
        exit(1);
    }
    duck(yardstick, "SET threads = 2");
}

static void close_yardstick(struct yardstick *yardstick)
{
    duckdb_disconnect(&yardstick->connection);
    duckdb_close(&yardstick->database);
}

static void make_yardstick(struct yardstick *yardstick, const char *data, const char *work,
                           const char *order)
{
    char path[4096], sql[16384];

    (void)snprintf(path, sizeof path, "%s/%s.duckdb", work, order[0] == '\0' ? "load" : "cluster");
    open_yardstick(yardstick, path);
    (void)snprintf(
        sql, sizeof sql,
        "CREATE SCHEMA flights; CREATE SCHEMA airports; CREATE SCHEMA weather;"
        "CREATE TABLE flights.delays AS SELECT date::TIMESTAMP AS date, delay::INTEGER AS delay,"
        " distance::INTEGER AS distance, origin, destination"
        " FROM read_parquet('%s/flights-3m.parquet') %s;"
        "CREATE TABLE airports.airport AS SELECT * REPLACE (latitude::DOUBLE AS latitude,"
        " longitude::DOUBLE AS longitude)"
        " FROM read_csv('%s/airports.csv', header = true, all_varchar = true);"
        "CREATE TABLE weather.daily AS SELECT * REPLACE (date::DATE AS date)"
        " FROM read_csv('%s/weather.csv', header = true, all_varchar = true);"
        "CHECKPOINT",
        data, order, data, data);
    duck(yardstick, sql);
    close_yardstick(yardstick);
    open_yardstick(yardstick, path);
}

static double time_duck(struct yardstick *yardstick, const char *sql)
{
    double start = now_ms();
    duck(yardstick, sql);
    return now_ms() - start;
}

static double time_mesh(struct folkmoot *mesh, const char *sql)
{
    struct folkmoot_result *result;
    enum folkmoot_status status;
    double start = now_ms();

    if (folkmoot_query(mesh, sql, strlen(sql), NULL, &result) != FOLKMOOT_OK) {
        (void)fprintf(stderr, "bench: %s\n", folkmoot_error(mesh));
        exit(1);
    }
    do {
        status = folkmoot_result_next(result);
    } while (status == FOLKMOOT_OK && folkmoot_result_rows(result) != 0);
    if (status != FOLKMOOT_OK) {
        (void)fprintf(stderr, "bench: %s\n", folkmoot_error(mesh));
        exit(1);
    }
    folkmoot_result_free(result);
    return now_ms() - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[RUNS])
{
    qsort(values, RUNS, sizeof values[0], compare);
    return values[RUNS / 2];
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 16);

    if (file == NULL || text == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(text, 1, (1 << 16) - 1, file);
    text[len] = '\0';
    (void)fclose(file); /* Read only. */
    return text;
}

struct outcome {
    double mesh;
    double beside[ORDERS];
};

static struct outcome measure(struct folkmoot *mesh, struct yardstick yardsticks[ORDERS],
                              const char *sql)
{
    double mesh_ms[RUNS], duck_ms[ORDERS][RUNS];
    struct outcome outcome;

    for (int run = -1; run < RUNS; run++) { /* The first one warms up. */
        int at = run < 0 ? 0 : run;
        mesh_ms[at] = time_mesh(mesh, sql);
        for (int order = 0; order < ORDERS; order++)
            duck_ms[order][at] = time_duck(&yardsticks[order], sql);
    }
    outcome.mesh = median(mesh_ms);
    for (int order = 0; order < ORDERS; order++)
        outcome.beside[order] = median(duck_ms[order]);
    return outcome;
}

static void print_json(const struct outcome *outcomes, int count, const char *commit)
{
    printf("{\"bench\": \"main\", \"commit\": \"%s\", \"results\": [", commit);
    for (int i = 0; i < count; i++) {
        const struct outcome *outcome = &outcomes[i];
        int faster = outcome->beside[1] < outcome->beside[0];
        double ratio = outcome->mesh / outcome->beside[faster];
        printf("%s{\"name\": \"demo_%d\", \"value\": %.2f, \"unit\": \"ms\", \"better\": "
               "\"lower\", \"beside\": \"duckdb file, warm, 2 threads, %s\", "
               "\"beside_value\": %.2f, \"ratio\": %.2f",
               i == 0 ? "" : ", ", i + 1, outcome->mesh, faster ? "clustering order" : "load order",
               outcome->beside[faster], ratio);
        if (aims[i] != NULL)
            printf(", \"aim\": \"%s\", \"aim_on\": \"ratio\", \"met\": %s", aims[i],
                   ratio <= aim_limits[i] ? "true" : "false");
        printf("}");
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    struct yardstick yardsticks[ORDERS];
    struct outcome outcomes[QUERIES_MAX];
    char error[FOLKMOOT_ERROR_MAX];
    struct folkmoot *mesh;

    if (argc < 7 || argc - 6 > QUERIES_MAX) {
        (void)fputs("usage: bench_main NODE IDENTITY DATA_DIR WORK_DIR COMMIT QUERY.sql...\n",
                    stderr);
        return 64;
    }
    struct folkmoot_options options = {.node = argv[1], .identity = argv[2]};
    if (folkmoot_open(&options, &mesh, error) != FOLKMOOT_OK) {
        (void)fprintf(stderr, "bench: %s\n", error);
        return 1;
    }
    make_yardstick(&yardsticks[0], argv[3], argv[4], "");
    make_yardstick(&yardsticks[1], argv[3], argv[4], "ORDER BY origin");
    printf("median of %d runs, ms     mesh   duckdb load   duckdb cluster   ratio\n", RUNS);
    for (int i = 0; i < argc - 6; i++) {
        char *sql = read_file(argv[6 + i]);
        outcomes[i] = measure(mesh, yardsticks, sql);
        free(sql);
        int faster = outcomes[i].beside[1] < outcomes[i].beside[0];
        printf("demo_%d               %9.2f     %9.2f        %9.2f  %6.2f\n", i + 1,
               outcomes[i].mesh, outcomes[i].beside[0], outcomes[i].beside[1],
               outcomes[i].mesh / outcomes[i].beside[faster]);
    }
    for (int order = 0; order < ORDERS; order++)
        close_yardstick(&yardsticks[order]);
    folkmoot_close(mesh);
    print_json(outcomes, argc - 6, argv[5]);
    return 0;
}
