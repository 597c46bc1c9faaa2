#include "tests/support/bench_queries.h"

#include <stdarg.h>
#include <stdio.h>

const struct bench_named_query bench_queries[BENCH_QUERIES] = {
    {"Q1",
     "SELECT origin, count(*) AS n, avg(delay) AS d FROM flights.delays GROUP BY origin ORDER BY n "
     "DESC, origin LIMIT 10",
     1.5, false, false},
    {"Q2",
     "SELECT a.state, count(*) AS n, avg(f.delay) AS d FROM flights.delays f JOIN "
     "airports.airport a ON f.origin = a.iata GROUP BY a.state ORDER BY a.state",
     0.6, false, false},
    {"Q3",
     "SELECT date, delay, distance, origin, destination FROM flights.delays WHERE origin = 'SEA' "
     "AND delay > 120",
     4, true, false},
    {"Q4", "SELECT * FROM airports.airport WHERE iata = 'SEA'", 2.5, false, false},
    {"Q5", "SELECT * FROM flights.delays", 2.5, false, true},
    {"Q6",
     "SELECT o.state AS os, d.state AS ds, count(*) AS n, avg(f.delay) AS dl FROM flights.delays f "
     "JOIN airports.airport o ON f.origin = o.iata JOIN airports.airport d ON f.destination = "
     "d.iata GROUP BY o.state, d.state ORDER BY n DESC, os, ds LIMIT 20",
     0.7, false, false},
    {"Q7", "SELECT DISTINCT origin FROM flights.delays INTERSECT SELECT iata FROM airports.airport",
     2, false, false},
    {"Q8",
     "SELECT f.date, f.delay, f.origin, f.destination, a.city FROM flights.delays f JOIN "
     "airports.airport a ON f.origin = a.iata WHERE a.city = 'Seattle' AND f.delay > 120",
     4, true, false},
};

static const char *const file_names[BENCH_ORDERS] = {"load", "cluster"};
static const char *const orders[BENCH_ORDERS] = {"", "ORDER BY origin"};

const char *bench_order_text(uint32_t order)
{
    return order == BENCH_SORTED ? "duckdb file, warm, 2 threads, clustering order"
                                 : "duckdb file, warm, 2 threads, load order";
}

struct folkmoot *bench_connect(const struct bench_run *run)
{
    struct folkmoot_options options = {.node = run->node, .identity = run->identity};
    char error[FOLKMOOT_ERROR_MAX];
    struct folkmoot *mesh;

    if (folkmoot_open(&options, &mesh, error) != FOLKMOOT_OK)
        bench_die("%s", error);
    return mesh;
}

static void open_duck(struct bench_run *run, uint32_t order)
{
    struct bench_duck *duck = &run->ducks[order];
    char path[4096];

    if (snprintf(path, sizeof path, "%s/%s.duckdb", run->work, file_names[order]) >=
        (int)sizeof path)
        bench_die("%s: too long", run->work);
    bench_duck_open(duck, path);
    bench_duck_run(
        duck, NULL,
        "CREATE SCHEMA flights; CREATE SCHEMA airports;"
        "CREATE TABLE flights.delays AS SELECT date::TIMESTAMP AS date, delay::INTEGER AS delay,"
        " distance::INTEGER AS distance, origin, destination"
        " FROM read_parquet('%s/flights-3m.parquet') %s;"
        "CREATE TABLE airports.airport AS SELECT * REPLACE (latitude::DOUBLE AS latitude,"
        " longitude::DOUBLE AS longitude)"
        " FROM read_csv('%s/airports.csv', header = true, all_varchar = true);"
        "CHECKPOINT",
        run->data, orders[order], run->data);
    bench_duck_close(duck);
    bench_duck_open(duck, path);
}

void bench_open_ducks(struct bench_run *run)
{
    for (uint32_t order = 0; order < BENCH_ORDERS && !run->has_ducks; order++)
        open_duck(run, order);
    run->has_ducks = true;
}

void bench_close_ducks(struct bench_run *run)
{
    for (uint32_t order = 0; order < BENCH_ORDERS && run->has_ducks; order++)
        bench_duck_close(&run->ducks[order]);
    run->has_ducks = false;
}

void bench_keep(struct bench_run *run, const struct bench_result *result, const char *format, ...)
{
    va_list arguments;

    if (run->result_count == BENCH_RESULTS_MAX)
        bench_die("too many results");
    char *name = run->names[run->result_count];
    va_start(arguments, format);
    int len = vsnprintf(name, BENCH_NAME_BYTES, format, arguments);
    va_end(arguments);
    if (len < 0 || len >= (int)BENCH_NAME_BYTES)
        bench_die("a result's name is too long");
    run->results[run->result_count] = *result;
    run->results[run->result_count].name = name;
    bench_print_row(&run->results[run->result_count++]);
}
