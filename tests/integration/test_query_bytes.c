/* A mesh moves almost nothing: a table of queries, asked at a node that owns none of their tables,
 * with the most rows and bytes that owners may send for each. What they sent is taken from the
 * verified answer's receipts; the answer itself must be DuckDB's. */
#include "tests/support/bench_answer.h"
#include "tests/support/live_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STATISTICS_MS 20000 /* They travel by gossip; plans rest on them. */

#define FLIGHTS                                                                                    \
    "SELECT date::TIMESTAMP AS date, delay::INTEGER AS delay, distance::INTEGER AS distance, "     \
    "origin, destination FROM read_parquet('" FM_DATA_DIR "/flights-3m.parquet') "                 \
    "WHERE file_row_number % 50 = 0"
#define FLIGHT_ROWS 60000u
#define AIRPORTS "read_csv('" FM_DATA_DIR "/airports.csv', header = true, all_varchar = true)"

struct named {
    const char *name;
    const char *sql;
    uint64_t rows_max; /* Of all fragments. */
    uint64_t bytes_max;
};

/* 60,000 flights from 224 airports, 3,376 airports in all. */
static const struct named queries[] = {
    {"Q1, grouped and cut at the owner",
     "SELECT origin, count(*) AS n, avg(delay) AS d FROM flights.delays GROUP BY origin ORDER BY n "
     "DESC, origin LIMIT 10",
     10, 1 << 10},
    {"Q2, aggregated below the join",
     "SELECT a.state, count(*) AS n, avg(f.delay) AS d FROM flights.delays f JOIN "
     "airports.airport a ON f.origin = a.iata GROUP BY a.state ORDER BY a.state",
     3700, 36 << 10},
    {"Q3, conditions at the owner",
     "SELECT date, delay, distance, origin, destination FROM flights.delays WHERE origin = 'SEA' "
     "AND delay > 120",
     30, 2 << 10},
    {"Q4, one row by its key", "SELECT * FROM airports.airport WHERE iata = 'SEA'", 1, 1 << 10},
    {"Q5, all rows", "SELECT * FROM flights.delays", FLIGHT_ROWS, FLIGHT_ROWS * 12},
    {"Q6, grouped below two joins",
     "SELECT o.state AS os, d.state AS ds, count(*) AS n, avg(f.delay) AS dl FROM flights.delays f "
     "JOIN airports.airport o ON f.origin = o.iata JOIN airports.airport d ON f.destination = "
     "d.iata GROUP BY o.state, d.state ORDER BY n DESC, os, ds LIMIT 20",
     10200, 192 << 10},
    {"Q7, distinct below an intersection",
     "SELECT DISTINCT origin FROM flights.delays INTERSECT SELECT iata FROM airports.airport", 3700,
     48 << 10},
    {"Q8, the small side's keys reduce the big side",
     "SELECT f.date, f.delay, f.origin, f.destination, a.city FROM flights.delays f JOIN "
     "airports.airport a ON f.origin = a.iata WHERE a.city = 'Seattle' AND f.delay > 120",
     40, 4 << 10},
    {"the worst few of a join, at the owner of the many",
     "SELECT f.date, f.delay, f.distance, f.origin, f.destination, a.city FROM flights.delays f "
     "LEFT JOIN airports.airport a ON f.origin = a.iata AND a.state = 'WA' ORDER BY f.delay DESC, "
     "a.city, f.date, f.distance, f.destination, f.origin LIMIT 10",
     80, 5 << 10},
    {"a count of all", "SELECT count(*) AS n FROM flights.delays", 1, 512},
    {"an aggregate over a condition",
     "SELECT min(date) AS a, max(date) AS b, sum(distance)::BIGINT AS s FROM flights.delays WHERE "
     "delay "
     "BETWEEN 10 AND 20 AND destination LIKE 'S%'",
     1, 512},
    {"the first few", "SELECT origin, delay FROM flights.delays LIMIT 0", 0, 512},
    {"the worst few, in order",
     "SELECT date, delay, origin FROM flights.delays ORDER BY delay DESC, date, origin LIMIT 5", 5,
     1 << 10},
    {"one table twice, in one owner",
     "SELECT count(*) AS n FROM airports.airport a JOIN airports.airport b ON a.city = b.city "
     "WHERE "
     "a.iata < b.iata",
     1, 512},
    {"a window inside one owner",
     "SELECT origin, n FROM (SELECT origin, n, row_number() OVER (ORDER BY n DESC, origin) AS "
     "place "
     "FROM (SELECT origin, count(*) AS n FROM flights.delays GROUP BY origin)) WHERE place <= 3",
     3, 512},
    {"parts of two owners that each group",
     "WITH busy AS (SELECT origin, count(*) AS n FROM flights.delays GROUP BY origin HAVING "
     "count(*) > 1500), states AS (SELECT state, count(*) AS airports FROM airports.airport GROUP "
     "BY state) SELECT (SELECT sum(n)::BIGINT FROM busy) AS flights, (SELECT "
     "max(airports) FROM states) AS most",
     99, 4 << 10},
    {"counts of two owners side by side",
     "SELECT 'flights' AS what, count(*) AS n FROM flights.delays UNION ALL SELECT 'airports', "
     "count(*) FROM airports.airport",
     2, 1 << 10},
};

struct fixture {
    struct live_mesh *mesh;
    struct live_node *airports;
    struct live_node *asked;
    struct folkmoot *handle;
    struct bench_duck duck;
};

static void make_files(struct fixture *f, char flights[LIVE_PATH_MAX])
{
    char database[LIVE_PATH_MAX];

    (void)live_path(f->mesh, "flights.parquet", flights);
    bench_duck_open(&f->duck, live_path(f->mesh, "all.duckdb", database));
    bench_duck_run(&f->duck, NULL,
                   "CREATE SCHEMA flights; CREATE SCHEMA airports;"
                   "CREATE TABLE flights.delays AS %s;"
                   "CREATE TABLE airports.airport AS SELECT * REPLACE (latitude::DOUBLE AS "
                   "latitude, longitude::DOUBLE AS longitude) FROM %s;"
                   "COPY flights.delays TO '%s' (FORMAT parquet)",
                   FLIGHTS, AIRPORTS, flights);
}

static struct live_node *publish(struct fixture *f, const char *domain, const char *table,
                                 const char *rows)
{
    struct live_node *node = live_make_node(f->mesh, domain);
    char team[64], role[64], contract[512];

    (void)snprintf(team, sizeof team, "%s-team", domain);
    (void)snprintf(role, sizeof role, "owner:%s", domain);
    (void)snprintf(contract, sizeof contract, "%s/examples/contracts/%s.odcs.yaml", FM_SOURCE_DIR,
                   domain);
    live_start(f->mesh, node);
    live_make_principal(f->mesh, team, (const char *const[]){"reader", role, NULL});
    free(live_output(f->mesh, team, node,
                     (const char *const[]){"product", "apply", contract, NULL}));
    free(live_output(f->mesh, team, node, (const char *const[]){"append", table, rows, NULL}));
    return node;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char flights[LIVE_PATH_MAX], identity[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->mesh = live_mesh_new();
    make_files(f, flights);
    (void)publish(f, "flights", "flights.delays", flights);
    f->airports = publish(f, "airports", "airports.airport", FM_DATA_DIR "/airports.csv");
    f->asked = live_make_node(f->mesh, "weather");
    live_start(f->mesh, f->asked);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->asked, 3, 2);
    struct folkmoot_options options = {.node = f->asked->address,
                                       .identity = live_path(f->mesh, "reader", identity)};
    if (folkmoot_open(&options, &f->handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    folkmoot_close(f->handle);
    bench_duck_close(&f->duck);
    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

static bool is_within(const struct named *query, const struct bench_moved *moved)
{
    return moved->rows <= query->rows_max && moved->bytes <= query->bytes_max;
}

/* Each query gives DuckDB's rows, and its owners send no more than the table above allows. Whether
 * a rule pays depends also on the way to the owners as it was measured, and a plan is kept for its
 * text: each time it is asked in another one. */
static void owners_send_no_more_than_they_must(void **state)
{
    struct fixture *f = *state;
    fm_ms deadline = fm_now_ms() + STATISTICS_MS;
    uint32_t failed = 0, round = 0;
    char again[1024];

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        const struct named *query = &queries[i];
        struct bench_answer ours, theirs;
        struct bench_moved moved;

        bench_answer_duck(f->duck.connection, query->sql, false, true, &theirs);
        bench_answer_mesh(f->handle, query->sql, NULL, true, &ours, &moved);
        while (!is_within(query, &moved) && fm_now_ms() < deadline) {
            (void)usleep(200000); /* Shorter is as good. */
            (void)snprintf(again, sizeof again, "%s /* %u */", query->sql, ++round);
            bench_answer_mesh(f->handle, again, NULL, true, &ours, &moved);
        }
        print_message("%-48s %llu fragments, %llu rows, %llu bytes%s\n", query->name,
                      (unsigned long long)moved.fragments, (unsigned long long)moved.rows,
                      (unsigned long long)moved.bytes,
                      is_within(query, &moved) ? "" : "  TOO MUCH");
        assert_int_equal(ours.rows, theirs.rows);
        if (ours.checksum != theirs.checksum)
            fail_msg("%s: other rows than DuckDB's", query->name);
        failed += !is_within(query, &moved);
    }
    assert_int_equal(failed, 0);
}

/* A text that is pushed now. */
static void find_pushed(const struct fixture *f, char *sql, size_t size)
{
    fm_ms deadline = fm_now_ms() + STATISTICS_MS;

    for (uint32_t round = 0;; round++) {
        char explain[1024];
        (void)snprintf(sql, size, "%s /* %u */",
                       "SELECT f.date, f.delay, f.distance, f.origin, f.destination, a.city FROM "
                       "flights.delays f LEFT JOIN airports.airport a ON f.origin = a.iata AND "
                       "a.state = 'WA' ORDER BY f.delay DESC, a.city, f.date, f.distance, "
                       "f.destination, f.origin LIMIT 7",
                       round);
        (void)snprintf(explain, sizeof explain, "EXPLAIN %s", sql);
        FM_AUTO(fm_mem_freep)
        char *plan = live_output(f->mesh, "reader", f->asked,
                                 (const char *const[]){"query", explain, "--format", "json", NULL});
        if (strstr(plan, "\"rule\":\"push\"") == NULL && fm_now_ms() < deadline) {
            (void)usleep(200000); /* Shorter is as good. */
            continue;
        }
        live_assert_says(plan, "\"rule\":\"push\"");
        live_assert_says(plan, " /* given airports.airport of fm_scan(1) */");
        return;
    }
}

static void a_pushed_answer_is_merged_again(void **state)
{
    struct fixture *f = *state;
    char sql[1024], saved[LIVE_PATH_MAX], charter[LIVE_PATH_MAX];

    find_pushed(f, sql, sizeof sql);
    (void)live_path(f->mesh, "pushed", saved);
    free(live_output(f->mesh, "reader", f->asked,
                     (const char *const[]){"query", sql, "--format", "csv", "--save", saved,
                                           "--with-fragments", NULL}));
    (void)live_path(f->mesh, "reader/charter", charter);
    FM_AUTO(fm_mem_freep)
    char *again =
        live_output(f->mesh, NULL, NULL,
                    (const char *const[]){"verify", saved, "--charter", charter, "--replay", NULL});
    live_assert_says(again, "the merge of 2 fragments gives these 7 rows");
}

/* Which rows are missing must be known for each owner's own. */
static void what_may_be_missing_is_not_pushed(void **state)
{
    struct folkmoot_query_options skip = {.skip_unavailable = 1};
    struct fixture *f = *state;
    struct bench_answer ours, theirs;
    struct bench_moved moved;
    char sql[1024];

    find_pushed(f, sql, sizeof sql);
    bench_answer_duck(f->duck.connection, sql, false, true, &theirs);
    bench_answer_mesh(f->handle, sql, &skip, true, &ours, &moved);
    assert_int_equal(ours.rows, theirs.rows);
    assert_int_equal(ours.checksum, theirs.checksum);
    assert_true(moved.rows >= FLIGHT_ROWS);
}

/* The small side is 300 times as large as its statistics say, and more than goes along with a
 * statement: it is planned again without, and the answer is right. */
static void a_small_side_may_have_grown(void **state)
{
    static const char sql[] =
        "SELECT f.date, f.delay, f.distance, f.origin, f.destination, a.city FROM flights.delays f "
        "LEFT JOIN airports.airport a ON f.origin = a.iata AND a.state = 'WA' ORDER BY f.delay "
        "DESC, a.city, f.date, f.distance, f.destination, f.origin LIMIT 20";
    struct fixture *f = *state;
    struct bench_answer ours, theirs;
    struct bench_moved moved;
    char rows[LIVE_PATH_MAX];

    (void)live_path(f->mesh, "grown.csv", rows);
    bench_duck_run(
        &f->duck, NULL,
        "CREATE TABLE grown AS SELECT * REPLACE ('x' || i AS iata, md5(i::VARCHAR) AS "
        "city, 'WA' AS state) FROM (SELECT * FROM airports.airport LIMIT 1), range(20000) "
        "r(i); ALTER TABLE grown DROP i; INSERT INTO airports.airport FROM grown; COPY "
        "grown TO '%s' (FORMAT csv, HEADER)",
        rows);
    free(live_output(f->mesh, "airports-team", f->airports,
                     (const char *const[]){"append", "airports.airport", rows, NULL}));
    bench_answer_duck(f->duck.connection, sql, false, true, &theirs);
    bench_answer_mesh(f->handle, sql, NULL, true, &ours, &moved);
    assert_int_equal(ours.rows, theirs.rows);
    assert_int_equal(ours.checksum, theirs.checksum);
    assert_true(moved.rows >= FLIGHT_ROWS); /* All were merged. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_send_no_more_than_they_must),
        cmocka_unit_test(a_pushed_answer_is_merged_again),
        cmocka_unit_test(what_may_be_missing_is_not_pushed),
        cmocka_unit_test(a_small_side_may_have_grown),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
