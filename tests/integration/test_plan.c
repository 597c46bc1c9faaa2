/* The planner with a real worker: what a statement becomes, and what its errors say. */
#include "query/plan.h"
#include "query/tree_json.h"
#include "tests/support/plan_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 120000

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = WORKER, .threads = 1, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK ||
        fm_worker_lend(f->engine, NULL, fm_now_ms() + LONG_MS, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

static enum fm_status make(struct fixture *f, struct fm_span sql, struct fm_plan *out)
{
    /* What a scan answers by itself is planned like all else here: test_lookup.c has the rest. */
    const struct fm_plan_options options = {.rules_off = UINT64_C(1) << FM_RULE_LOOKUP};

    f->err.text[0] = '\0';
    return fm_plan_make(f->worker, sql, &catalog_for_plans, &options, out, &f->err);
}

static enum fm_status plan(struct fixture *f, const char *sql, struct fm_plan *out)
{
    return make(f, fm_span_str(sql), out);
}

struct expectation {
    const char *sql;
    const char *plan; /* As catalog_describe() gives it. */
};

/* The owner plans what it was sent, and must come to the same plan. */
static void expect_same_at_owner(struct fixture *f, const struct fm_plan *made, const char *wanted)
{
    struct fm_plan again = {0};
    struct fm_buf text = FM_BUF_INIT(0);

    if (make(f, fm_buf_span(&made->shipped), &again) != FM_OK)
        fail_msg("%.*s: %s", (int)made->shipped.len, (const char *)made->shipped.data, f->err.text);
    catalog_describe(&again, &text);
    assert_string_equal((const char *)text.data, wanted);
    assert_true(fm_span_equal(fm_buf_span(&again.sql), fm_buf_span(&made->sql)));
    assert_true(fm_span_equal(fm_buf_span(&again.shipped), fm_buf_span(&made->shipped)));
    fm_buf_free(&text);
    fm_plan_deinit(&again);
}

static void expect_plans(struct fixture *f, const struct expectation *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fm_plan made = {0};
        struct fm_buf text = FM_BUF_INIT(0);
        if (plan(f, list[i].sql, &made) != FM_OK)
            fail_msg("%s: %s", list[i].sql, f->err.text);
        catalog_describe(&made, &text);
        if (strcmp((const char *)text.data, list[i].plan) != 0)
            fail_msg("%s:\n  is     %s\n  wanted %s", list[i].sql, (const char *)text.data,
                     list[i].plan);
        if (made.kind == FM_PLAN_SHIP)
            expect_same_at_owner(f, &made, list[i].plan);
        fm_buf_free(&text);
        fm_plan_deinit(&made);
    }
}

#define EXPECT(f, list) expect_plans(f, list, sizeof(list) / sizeof((list)[0]))

/* One owner: shipped whole; several: merged; none: merged too. */
static void work_goes_to_the_owner(void **state)
{
    static const struct expectation list[] = {
        {"SELECT 1", "merge streams"},
        {"SELECT id FROM flights.delays", "ship streams flights.delays(id)[]{}"},
        {"SELECT a.id FROM flights.delays a, flights.carrier b WHERE a.origin = b.hub",
         "ship flights.delays(id,origin)[]{origin} flights.carrier(hub)[]{hub}"},
        {"SELECT id FROM flights.delays JOIN airports.airport ON origin = iata",
         "merge flights.delays(id,origin)[]{origin} airports.airport(iata)[]{iata}"},
        {"SELECT count(*) FROM range(10) r(i)", "merge"},
        {"SELECT id FROM Flights.Delays ORDER BY id", "ship flights.delays(id)[]{}"},
        {"SELECT count(*) FROM flights.delays WHERE false", "ship flights.delays(delay)[]{}"},
    };
    EXPECT(*state, list);
}

/* A table of the asked node's own goes nowhere, with nothing: neither whole, nor a part, nor
 * grouped, nor as a lookup, though its node owns other tables of the statement. */
static void what_is_the_asked_nodes_own_stays_there(void **state)
{
    static const struct expectation list[] = {
        {"SELECT node FROM mesh.nodes", "merge streams mesh.nodes(node)[]{node}"},
        {"SELECT count(*) FROM mesh.nodes a, mesh.nodes b WHERE a.ms = b.ms",
         "merge mesh.nodes(ms)[]{} mesh.nodes(ms)[]{}"},
        {"SELECT c.code, n.ms FROM flights.carrier c JOIN mesh.nodes n USING (hub)",
         "merge flights.carrier(code,hub)[]{code,hub} mesh.nodes(hub,ms)[]{hub}"},
        {"SELECT origin, count(*) FROM flights.delays JOIN mesh.nodes ON origin = hub GROUP BY 1",
         "merge flights.delays<aggregate: SELECT delays.origin AS origin, count_star() AS fm_p0 "
         "FROM flights.delays GROUP BY delays.origin>(origin,fm_p0)[]{} mesh.nodes(hub)[]{hub}"},
        {"SELECT hub, sum(ms) FROM mesh.nodes JOIN airports.airport ON hub = iata GROUP BY 1",
         "merge mesh.nodes(hub,ms)[]{hub} airports.airport<aggregate: SELECT airport.iata AS iata, "
         "count_star() AS fm_p0 FROM airports.airport GROUP BY airport.iata>(iata,fm_p0)[]{}"},
        {"SELECT hub FROM (SELECT hub, count(*) FROM mesh.nodes GROUP BY hub) JOIN flights.carrier "
         "USING (hub)",
         "merge mesh.nodes(hub)[]{hub} flights.carrier(hub)[]{hub}"},
    };
    struct fixture *f = *state;
    struct fm_plan made = {0};

    EXPECT(f, list);
    assert_int_equal(fm_plan_make(f->worker, fm_span_str("SELECT node FROM mesh.nodes"),
                                  &catalog_for_plans, NULL, &made, &f->err),
                     FM_OK);
    assert_int_equal(made.kind, FM_PLAN_MERGE);
    assert_true(made.tables[0].is_own);
    assert_string_equal(fm_plan_rule_text(&made, 0), "own");
    fm_plan_deinit(&made);
    assert_int_equal(plan(f, "SELECT node FROM mesh.nodes AS n AT (VERSION => 3)", &made),
                     FM_INVALID);
    assert_non_null(strstr(f->err.text, "mesh.nodes has no past"));
}

static void columns_and_names_are_found(void **state)
{
    static const struct expectation list[] = {
        {"SELECT flights.delays.origin FROM flights.delays",
         "ship streams flights.delays(origin)[]{origin}"},
        {"SELECT delays.ORIGIN, d.hub FROM flights.delays, flights.carrier d",
         "ship flights.delays(origin)[]{origin} flights.carrier(hub)[]{hub}"},
        {"SELECT f.b FROM flights.delays f(a, b) WHERE f.a > 3",
         "ship streams flights.delays(id,delay)[id > 3]{}"},
        {"WITH delays AS (SELECT 1 AS id) SELECT id FROM delays", "merge streams"},
        {"WITH c AS (SELECT id FROM flights.delays) SELECT * FROM (SELECT * FROM c) q",
         "ship streams flights.delays(id)[]{}"},
        {"SELECT id FROM flights.delays WHERE EXISTS (SELECT 1 FROM airports.airport WHERE iata = "
         "flights.delays.origin)",
         "merge flights.delays(id,origin)[]{origin} airports.airport(iata)[iata IS NOT "
         "NULL]{iata}"},
        {"SELECT * FROM flights.carrier UNION ALL SELECT iata, city FROM airports.airport",
         "merge flights.carrier(code,hub)[]{code,hub} airports.airport(iata,city)[]{iata,city}"},
        {"SELECT a.origin FROM flights.delays a JOIN flights.delays b USING (id)",
         "ship flights.delays(id,origin)[]{origin} flights.delays(id)[]{}"},
    };
    EXPECT(*state, list);
}

static void predicates_reach_the_scan(void **state)
{
    static const struct expectation list[] = {
        {"SELECT id FROM flights.delays WHERE delay > 120 AND 'SEA' = origin",
         "ship streams flights.delays(id,delay,origin)[delay > 120; origin = 'SEA']{origin}"},
        {"SELECT id FROM flights.delays WHERE 3 < delay AND id <> 7",
         "ship streams flights.delays(id,delay)[delay > 3; id <> 7]{}"},
        {"SELECT id FROM flights.delays WHERE delay BETWEEN 3 AND 5",
         "ship streams flights.delays(id,delay)[delay >= 3; delay <= 5]{}"},
        {"SELECT id FROM flights.delays WHERE origin IN ('SEA', 'JFK')",
         "ship streams flights.delays(id,origin)[origin IN ('SEA', 'JFK')]{origin}"},
        {"SELECT id FROM flights.delays WHERE id IN (1,2,3,4,5,6,NULL)",
         "ship flights.delays(id)[id IN (1, 2, 3, 4, 5, 6)]{}"},
        {"SELECT id FROM flights.delays WHERE id IN (1,2,3,4,5,6) AND delay > 3 AND id NOT IN "
         "(7,8,9,10,11)",
         "ship flights.delays(id,delay)[id IN (1, 2, 3, 4, 5, 6); delay > 3]{}"},
        {"SELECT id FROM flights.delays WHERE origin LIKE 'S%' AND note IS NULL AND date IS NOT "
         "NULL",
         "ship streams flights.delays(id,origin,note,date)[date IS NOT NULL; note IS NULL; origin "
         "starts with 'S']{note}"},
        {"SELECT id FROM flights.delays WHERE starts_with(origin, 'S')",
         "ship streams flights.delays(id,origin)[origin starts with 'S']{}"},
        {"SELECT id FROM flights.delays WHERE delay = 1 OR delay = 2",
         "ship streams flights.delays(id,delay)[delay IN (1, 2)]{}"},
        {"SELECT id FROM flights.delays WHERE delay NOT IN (7, 8) AND origin NOT IN ('SEA')",
         "ship streams flights.delays(id,delay,origin)[delay <> 7; delay <> 8; origin <> "
         "'SEA']{origin}"},
        {"SELECT a.id FROM flights.delays a LEFT JOIN airports.airport b ON origin = iata AND "
         "state = 'WA' WHERE a.delay > 3",
         "merge flights.delays(id,delay,origin)[delay > 3]{origin} "
         "airports.airport(iata,state)[state = 'WA']{iata,state}"},
        {"WITH c AS (SELECT * FROM flights.delays) SELECT id FROM c WHERE delay > 3",
         "ship streams flights.delays(id,delay)[delay > 3]{}"},
    };
    EXPECT(*state, list);
}

/* What cannot be said exactly is left out: DuckDB filters again anyway. */
static void doubtful_predicates_stay_behind(void **state)
{
    static const struct expectation list[] = {
        {"SELECT id FROM flights.delays WHERE delay > 1.5 AND id + 1 = 3 OR delay = 3",
         "ship streams flights.delays(id,delay)[]{}"},
        {"SELECT id FROM flights.delays WHERE delay::VARCHAR = '3' AND origin LIKE '%A'",
         "ship streams flights.delays(id,delay,origin)[]{}"},
        {"SELECT id FROM flights.delays WHERE id = 1 OR id IN (4, 5) OR 7 = id",
         "ship streams flights.delays(id)[]{}"},
        {"SELECT id FROM flights.delays WHERE origin = ANY (['SEA', 'JFK'])",
         "ship flights.delays(id,origin)[]{origin}"},
        {"SELECT id FROM flights.delays WHERE delay < 3 OR delay > 7",
         "ship streams flights.delays(id,delay)[]{}"},
        {"SELECT id FROM flights.delays WHERE origin NOT LIKE 'S%' AND note LIKE '_x%'",
         "ship streams flights.delays(id,origin,note)[]{}"},
        {"SELECT id FROM flights.delays WHERE delay > 100000",
         "ship streams flights.delays(id,delay)[]{}"},
        {"SELECT id FROM flights.delays WHERE date < current_date AND delay > 3",
         "ship streams flights.delays(id,delay,date)[]{}"},
        {"SELECT id FROM flights.delays WHERE origin COLLATE NOCASE = 'sea'",
         "ship streams flights.delays(id,origin)[]{}"},
        {"SELECT id FROM (SELECT * FROM flights.delays LIMIT 3) q WHERE delay > 3",
         "ship streams flights.delays(id,delay)[]{}"},
        {"SELECT id FROM flights.delays WHERE delay > (SELECT avg(latitude) FROM "
         "airports.airport)",
         "merge flights.delays(id,delay)[]{} airports.airport<subquery: SELECT avg(latitude) FROM "
         "airports.airport>(avg(latitude))[]{}"},
    };
    EXPECT(*state, list);
}

static void every_type_has_its_predicate(void **state)
{
    static const struct {
        const char *condition;
        const char *words;
    } list[] = {
        {"c_boolean", "c_boolean = true"},
        {"NOT c_boolean", "c_boolean = false"},
        {"c_int8 >= -128", "c_int8 >= -128"},
        {"c_int16 = 7::BIGINT", "c_int16 = 7"},
        {"c_int32 <= 2147483647", "c_int32 <= 2147483647"},
        {"c_int64 < -9223372036854775807", "c_int64 < -9223372036854775807"},
        {"c_uint8 > 200", "c_uint8 > 200"},
        {"c_uint16 <> 65535", "c_uint16 <> 65535"},
        {"c_uint32 = 4000000000", "c_uint32 = 4000000000"},
        {"c_uint64 = 18446744073709551610", "c_uint64 = 18446744073709551610"},
        {"c_hugeint > -170141183460469231731687303715884105727",
         "c_hugeint > -170141183460469231731687303715884105727"},
        {"c_float = 0.5", "c_float = 0.5"},
        {"c_double < 'Infinity'::DOUBLE", "c_double < 'Infinity'"},
        {"c_double = 'NaN'::DOUBLE", "c_double = 'NaN'"},
        {"c_decimal = -1.5", "c_decimal = -1.50"},
        {"c_wide > 12345678901234567890.5", "c_wide > 12345678901234567890.5000000000"},
        {"c_varchar = 'it''s'", "c_varchar = 'it''s'"},
        {"c_blob = '\\x00\\xFFab'::BLOB", "c_blob = x'00ff6162'"},
        {"c_date > '1969-12-31'", "c_date > 1969-12-31"},
        {"c_time < '10:00:01.5'", "c_time < 10:00:01.500000"},
        {"c_timestamp <= '2020-02-29 23:59:59'", "c_timestamp <= 2020-02-29 23:59:59"},
        {"c_timestamptz = '2020-01-01 00:00:00+02'", "c_timestamptz = 2019-12-31 22:00:00"},
        {"c_uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
         "c_uuid = a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"c_uuid = '00000000-0000-0000-0000-000000000001'",
         "c_uuid = 00000000-0000-0000-0000-000000000001"},
        {"c_enum = 'x'", "c_enum = 'x'"},
        {"c_enum IN ('x', 'q')", "c_enum IN ('x', 'q')"},
        {"c_enum > 'a'", ""},
        {"c_interval > INTERVAL 3 DAY", ""},
        {"c_json = '{}'", ""},
        {"c_list = [1]", ""},
        {"c_struct.a = 3", ""},
        {"c_map['x'] = 3", ""},
        {"c_list IS NULL", "c_list IS NULL"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_plan made = {0};
        struct fm_buf text = FM_BUF_INIT(0);
        char sql[200];
        (void)snprintf(sql, sizeof sql, "SELECT 1 FROM demo.types WHERE %s", list[i].condition);
        if (plan(f, sql, &made) != FM_OK)
            fail_msg("%s: %s", sql, f->err.text);
        catalog_describe(&made, &text);
        const char *words = strchr((const char *)text.data, '[');
        assert_non_null(words);
        size_t len = strlen(list[i].words);
        if (strncmp(words + 1, list[i].words, len) != 0 || words[1 + len] != ']')
            fail_msg("%s: %s", sql, (const char *)text.data);
        fm_buf_free(&text);
        fm_plan_deinit(&made);
    }
}

/* A slot has one reader: what the engine would read twice goes through a shared WITH query. */
static void slots_are_read_once(void **state)
{
    static const char *const list[] = {
        "WITH RECURSIVE r(n) AS (SELECT 'SEA' UNION SELECT destination FROM r JOIN flights.delays "
        "f ON r.n = f.origin) SELECT * FROM r",
        "SELECT * FROM (WITH RECURSIVE r(n) AS (SELECT 'SEA' UNION SELECT destination FROM r JOIN "
        "flights.delays f ON r.n = f.origin) SELECT * FROM r) q",
        "WITH x AS (SELECT 1 AS one), r(n) AS (SELECT 1) SELECT * FROM x, r WHERE n IN (WITH "
        "RECURSIVE q(i) AS (SELECT 1 UNION SELECT id FROM q JOIN flights.delays ON id = i + 1) "
        "SELECT i FROM q)",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_plan made = {0};
        if (plan(f, list[i], &made) != FM_OK)
            fail_msg("%s: %s", list[i], f->err.text);
        assert_non_null(memmem(made.sql.data, made.sql.len,
                               "fm_slot_0 AS MATERIALIZED (SELECT * FROM fm_scan(0))", 52));
        fm_plan_deinit(&made);
    }
}

/* One way of saying it is faster; it is used where both say the same. */
static void distinct_columns_are_grouped(void **state)
{
    static const struct {
        const char *sql;
        bool grouped;
    } list[] = {
        {"SELECT DISTINCT origin FROM flights.delays", true},
        {"SELECT DISTINCT f.origin AS o, id FROM flights.delays f WHERE id > 3 LIMIT 4", true},
        {"SELECT DISTINCT origin AS o FROM flights.delays ORDER BY O DESC LIMIT 4", true},
        {"SELECT DISTINCT origin FROM flights.delays ORDER BY id", false},
        {"SELECT DISTINCT origin FROM flights.delays ORDER BY origin, upper(origin)", false},
        {"SELECT DISTINCT upper(origin) FROM flights.delays", false},
        {"SELECT DISTINCT * FROM flights.delays", false},
        {"SELECT DISTINCT ON (origin) origin FROM flights.delays", false},
        {"SELECT DISTINCT origin FROM flights.delays GROUP BY origin, id", false},
        {"SELECT DISTINCT origin FROM flights.delays QUALIFY row_number() OVER () > 1", false},
        {"SELECT DISTINCT origin FROM flights.delays JOIN airports.airport ON origin = iata",
         false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_plan made = {0};
        if (plan(f, list[i].sql, &made) != FM_OK)
            fail_msg("%s: %s", list[i].sql, f->err.text);
        struct fm_span sql = fm_buf_span(&made.sql), shipped = fm_buf_span(&made.shipped);
        bool grouped = memmem(sql.data, sql.len, "GROUP BY ALL", 12) != NULL;
        if (grouped != list[i].grouped ||
            grouped == (memmem(sql.data, sql.len, "DISTINCT", 8) != NULL))
            fail_msg("%s: runs as %.*s", list[i].sql, (int)sql.len, (const char *)sql.data);
        if (made.kind == FM_PLAN_SHIP) /* The owner decides anew. */
            assert_non_null(memmem(shipped.data, shipped.len, "DISTINCT", 8));
        fm_plan_deinit(&made);
    }
}

static void the_past_is_read_by_at(void **state)
{
    static const struct expectation list[] = {
        {"SELECT id FROM flights.delays AT (VERSION => 7)",
         "ship streams flights.delays@7(id)[]{}"},
        {"SELECT f.id FROM flights.delays f AT (TIMESTAMP => TIMESTAMP '1970-01-02 00:00:01.5')",
         "ship streams flights.delays@86401500000(id)[]{}"},
        {"SELECT id FROM flights.delays AT (TIMESTAMP => '1970-01-01')",
         "ship streams flights.delays@0(id)[]{}"},
        {"SELECT a.id FROM flights.delays a AT (VERSION => 1) JOIN flights.delays b AT (VERSION => "
         "2) USING (id)",
         "ship flights.delays@1(id)[]{} flights.delays@2(id)[]{}"},
    };
    EXPECT(*state, list);
}

static void an_enum_must_not_be_noticed(void **state)
{
    static const struct expectation list[] = {
        {"SELECT origin, count(*) FROM flights.delays GROUP BY origin ORDER BY origin",
         "ship flights.delays(origin)[]{origin}"},
        {"SELECT upper(origin), destination FROM flights.delays",
         "ship streams flights.delays(origin,destination)[]{destination}"},
        {"SELECT origin FROM flights.delays WHERE destination || 'x' = 'ax'",
         "ship streams flights.delays(origin,destination)[]{origin}"},
        {"SELECT hash(x) FROM (SELECT origin AS x FROM flights.delays) q",
         "ship streams flights.delays(origin)[]{}"},
        {"SELECT min(origin), max(destination) FROM flights.delays",
         "ship flights.delays(origin,destination)[]{origin,destination}"},
        {"SELECT d FROM flights.delays d",
         "ship streams flights.delays(id,delay,origin,destination,note,date)[]{}"},
        {"SELECT list(origin) FROM flights.delays", "ship flights.delays(origin)[]{}"},
        {"SELECT origin = to_json(1) FROM flights.delays",
         "ship streams flights.delays(origin)[]{}"},
        {"SELECT max(origin) OVER () FROM flights.delays", "ship flights.delays(origin)[]{}"},
        {"SELECT CASE WHEN origin = 'SEA' THEN 1 END FROM flights.delays",
         "ship streams flights.delays(origin)[]{origin}"},
        {"SELECT coalesce(origin, 'x') FROM flights.delays",
         "ship streams flights.delays(origin)[]{}"},
        {"SELECT COLUMNS('^or.*') FROM flights.delays", "ship streams flights.delays(origin)[]{}"},
        {"SELECT length((SELECT origin FROM flights.delays LIMIT 1))",
         "ship flights.delays(origin)[]{}"},
        {"SELECT origin, id::DECIMAL(9, 2) FROM flights.delays",
         "ship streams flights.delays(id,origin)[]{origin}"},
        {"SELECT origin FROM flights.delays, (SELECT '1'::JSON AS j) q WHERE origin = j",
         "ship flights.delays(origin)[]{}"},
        {"SELECT c_varchar FROM demo.types", "ship streams demo.types(c_varchar)[]{}"},
    };
    EXPECT(*state, list);
}

static void errors_say_what_and_where(void **state)
{
    static const struct {
        const char *sql;
        enum fm_status status;
        const char *part;
    } list[] = {
        {"", FM_INVALID, "empty"},
        {"  -- nothing", FM_INVALID, "empty"},
        {"SELEC 1", FM_INVALID, "syntax error"},
        {"SELECT nope FROM flights.delays", FM_INVALID, "Referenced column \"nope\" not found"},
        {"SELECT d.nope FROM flights.delays d", FM_INVALID, "\"nope\""},
        {"SELECT * FROM delays", FM_NOTFOUND, "tables are written domain.table"},
        {"SELECT * FROM flights.nothing", FM_NOTFOUND,
         "table flights.nothing does not exist or is not visible to you"},
        {"SELECT * FROM nowhere.nothing", FM_NOTFOUND, "nowhere.nothing"},
        {"SELECT * FROM memory.flights.delays", FM_INVALID, "line 1, column 15: "},
        {"SELECT 1,\n  read_text('x')", FM_INVALID, "line 2, column 3: function read_text"},
        {"SELECT '\xc3\xa4\xc3\xa4', getenv('x')", FM_INVALID, "line 1, column 14: "},
        {"SELECT * FROM flights.delays AT (VERSION => 1 + 1)", FM_INVALID, "AT (VERSION"},
        {"SELECT * FROM flights.delays AT (TIMESTAMP => now())", FM_INVALID, "AT (TIMESTAMP"},
        {"SELECT * FROM flights.delays AT (TIMESTAMP => '2026-02-30')", FM_INVALID, "AT (TIME"},
        {"WITH c AS (SELECT 1) SELECT * FROM c AT (VERSION => 1)", FM_INVALID, "AT is for tables"},
        {"SELECT sum(origin) FROM flights.delays", FM_INVALID, "sum(VARCHAR)"},
        {"SELECT 1; SELECT 2", FM_INVALID, "only one statement"},
        {"INSERT INTO flights.delays VALUES (1)", FM_INVALID, "only SELECT"},
        {"SELECT $1", FM_INVALID, "parameters"},
        {"SELECT \xff", FM_INVALID, "UTF-8"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_plan made = {0};
        enum fm_status status = plan(f, list[i].sql, &made);
        if (status != list[i].status || strstr(f->err.text, list[i].part) == NULL)
            fail_msg("%s: %s: %s", list[i].sql, fm_status_text(status), f->err.text);
        if (strstr(f->err.text, "fm_scan") != NULL)
            fail_msg("%s: %s", list[i].sql, f->err.text);
        assert_null(made.tables);
    }
}

static void too_many_tables_are_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_buf sql = FM_BUF_INIT(0);
    struct fm_plan made = {0};

    fm_buf_put_str(&sql, "SELECT 1 FROM flights.delays");
    for (unsigned i = 0; i < FM_QUERY_TABLES_MAX; i++)
        fm_buf_printf(&sql, ", flights.carrier c%u", i);
    assert_int_equal(
        fm_plan_make(f->worker, fm_buf_span(&sql), &catalog_for_plans, NULL, &made, &f->err),
        FM_LIMIT);
    assert_non_null(strstr(f->err.text, "at most 64 tables"));
    fm_buf_free(&sql);
}

static const struct expectation parts[] = {
    {"SELECT DISTINCT origin FROM flights.delays INTERSECT SELECT iata FROM airports.airport",
     "merge flights.delays<subquery: SELECT DISTINCT origin FROM flights.delays>(origin)[]{} "
     "airports.airport<subquery: SELECT DISTINCT iata FROM airports.airport>(iata)[]{}"},
    {"SELECT origin FROM flights.delays UNION ALL SELECT iata FROM airports.airport",
     "merge flights.delays(origin)[]{origin} airports.airport(iata)[]{iata}"},
    {"SELECT a.city, q.n FROM airports.airport a JOIN (SELECT d.origin, count(*) AS n, "
     "max(d.id) FROM flights.delays d JOIN flights.carrier c ON c.hub = d.origin GROUP BY 1) q "
     "ON q.origin = a.iata",
     "merge airports.airport(iata,city)[]{iata,city} flights.delays<subquery: SELECT "
     "\"origin\", \"n\" FROM (SELECT d.origin, count_star() AS n, max(d.id) FROM "
     "flights.delays "
     "AS d INNER JOIN flights.carrier AS c ON ((c.hub = d.origin)) GROUP BY 1) AS fm_part>"
     "(origin,n)[]{}"},
    {"SELECT a.city, q.n FROM airports.airport a JOIN (SELECT origin, count(*) AS n, "
     "max(date) AS d FROM flights.delays GROUP BY 1) q ON q.origin = a.iata WHERE q.n > 2 AND "
     "d < '2001-02-01' AND q.origin IN ('SEA', 'it''s')",
     "merge airports.airport(iata,city)[]{iata,city} flights.delays<subquery: SELECT "
     "\"origin\", \"n\", \"d\" FROM (SELECT origin, count_star() AS n, max(date) AS d FROM "
     "flights.delays GROUP BY 1) AS fm_part WHERE \"n\" > 2 AND \"d\" < DATE '2001-02-01' AND "
     "\"origin\" IN ('SEA', 'it''s')>(origin,n,d)[n > 2; d < 2001-02-01; origin IN ('SEA', "
     "'it''s')]{}"},
    {"SELECT origin, count(*) FROM (SELECT origin FROM flights.delays WHERE id > 3 UNION ALL "
     "SELECT gate FROM airports.delays) GROUP BY 1",
     "merge flights.delays<aggregate: SELECT fm_union.origin AS origin, count_star() AS fm_p0 "
     "FROM (SELECT origin FROM flights.delays WHERE (id > 3)) AS fm_union(origin) GROUP BY "
     "fm_union.origin>(origin,fm_p0)[]{} airports.delays<aggregate: SELECT fm_union.origin AS "
     "origin, count_star() AS fm_p0 FROM (SELECT gate FROM airports.delays) AS "
     "fm_union(origin) GROUP BY fm_union.origin>(origin,fm_p0)[]{}"},
    {"SELECT state, sum(d) FROM (SELECT origin AS o, delay AS d FROM flights.delays) f JOIN "
     "airports.airport ON f.o = iata GROUP BY state",
     "merge flights.delays<aggregate: SELECT f.o AS o, sum(f.d) AS fm_p0 FROM (SELECT origin "
     "AS o, delay AS d FROM flights.delays) AS f(o, d) GROUP BY f.o>(o,fm_p0)[]{} "
     "airports.airport(iata,state)[]{iata,state}"},
    {"SELECT origin, count(*) FROM (SELECT origin FROM flights.delays UNION ALL SELECT gate "
     "FROM airports.delays) GROUP BY CUBE (1)",
     "merge flights.delays(origin)[]{origin} airports.delays(gate)[]{}"},
    {"SELECT DISTINCT ON (delay % 2) origin FROM (SELECT origin, delay FROM flights.delays "
     "UNION "
     "ALL SELECT gate, delay FROM airports.delays) ORDER BY origin",
     "merge flights.delays(delay,origin)[]{origin} airports.delays(delay,gate)[]{}"},
    {"SELECT DISTINCT origin FROM (SELECT origin FROM flights.delays UNION ALL SELECT gate "
     "FROM "
     "airports.delays) LIMIT 50 PERCENT",
     "merge flights.delays(origin)[]{origin} airports.delays(gate)[]{}"},
    {"SELECT origin, count(*) FROM (SELECT id AS origin FROM flights.delays UNION ALL SELECT "
     "delay FROM airports.delays) GROUP BY 1", /* Of other types. */
     "merge flights.delays(id)[]{} airports.delays(delay)[]{}"},
    {"SELECT id, city FROM flights.delays LEFT JOIN airports.airport ON origin = iata WHERE "
     "id > 3 ORDER BY id LIMIT 2 OFFSET 1",
     "merge flights.delays<subquery: SELECT \"id\", \"origin\" FROM (SELECT * FROM "
     "flights.delays WHERE (id > 3) ORDER BY delays.id LIMIT 3) AS fm_part WHERE \"id\" > 3>"
     "(id,origin)[id > 3]{} airports.airport(iata,city)[]{iata,city}"},
    {"SELECT id, city FROM flights.delays LEFT JOIN airports.airport ON origin = iata WHERE "
     "city IS NULL ORDER BY id LIMIT 2",
     "merge flights.delays(id,origin)[]{origin} airports.airport(iata,city)[]{iata,city}"},
    {"SELECT q.b FROM airports.airport a, (SELECT DISTINCT origin AS b, id AS b FROM "
     "flights.delays) q WHERE q.b = a.iata",
     "merge airports.airport(iata)[]{iata} flights.delays<subquery: SELECT \"c0\" FROM (SELECT "
     "DISTINCT origin AS b, id AS b FROM flights.delays) AS fm_part(\"c0\", \"c1\")>(c0)[]{}"},
    {"WITH q AS (SELECT origin FROM flights.delays WHERE id > 3) SELECT city FROM q JOIN "
     "airports.airport ON iata = origin",
     "merge flights.delays(id,origin)[id > 3]{origin} "
     "airports.airport(iata,city)[]{iata,city}"},
    {"SELECT iata, (SELECT count(*) FROM flights.delays WHERE origin = iata) FROM "
     "airports.airport",
     "merge airports.airport(iata)[]{iata} flights.delays(origin)[origin IS NOT NULL]{origin}"},
    {"SELECT id, origin FROM flights.delays WHERE id > 3 UNION ALL SELECT 1, iata FROM "
     "airports.airport ORDER BY id DESC LIMIT 5 OFFSET 2",
     "merge flights.delays<subquery: SELECT id, origin FROM flights.delays WHERE (id > 3) "
     "ORDER "
     "BY 1 DESC LIMIT 7>(id,origin)[]{} airports.airport<subquery: SELECT 1, iata FROM "
     "airports.airport ORDER BY 1 DESC LIMIT 7>(1,iata)[]{}"},
    {"SELECT iata, (SELECT max(date) FROM flights.delays WHERE date < current_date) FROM "
     "airports.airport",
     "merge airports.airport(iata)[]{iata} flights.delays(date)[]{}"},
};

static void parts_go_to_their_owner(void **state)
{
    expect_plans(*state, parts, sizeof parts / sizeof parts[0]);
}

/* One moment for all: conditions with it travel, parts with it go to their owner. */
static void the_clock_is_fixed(void **state)
{
    static const struct expectation cases[] = {
        {"SELECT id, current_date, now() AS n FROM flights.delays WHERE date < current_date",
         "ship streams flights.delays(id,date)[date < 2026-02-03]{}"},
        {"SELECT iata FROM airports.airport, flights.delays WHERE date > today() - 1 AND iata = "
         "origin AND now() > timestamptz '2026-02-03 04:05:06.000006+00'",
         "merge airports.airport(iata)[]{iata} flights.delays(origin,date)[date > 2026-02-02]"
         "{origin}"},
        {"SELECT count(*) FROM airports.airport, flights.delays WHERE now() = timestamptz "
         "'2026-02-03 04:05:06.000007+00' AND localtime = time '04:05:06.000007' AND "
         "localtimestamp = timestamp '2026-02-03 04:05:06.000007' AND today() = date '2026-02-03'",
         "merge airports.airport(iata)[]{iata} flights.delays<aggregate: SELECT count_star() AS "
         "fm_p0 FROM flights.delays HAVING (count_star() > 0)>(fm_p0)[]{}"},
        {"SELECT iata, (SELECT max(id) FROM flights.delays WHERE date < current_date - 7) FROM "
         "airports.airport",
         "merge airports.airport(iata)[]{iata} flights.delays<subquery: SELECT max(id) FROM "
         "flights.delays WHERE (date < (CAST('2026-02-03' AS DATE) - 7))>(max(id))[]{}"},
        {"SELECT iata FROM airports.airport, flights.delays WHERE date < (SELECT max(current_date) "
         "FROM (SELECT DATE '2001-01-01' AS current_date) q) AND date < current_date",
         "merge airports.airport(iata)[]{iata} flights.delays(date)[]{}"},
        {"SELECT id FROM demo.clock WHERE current_date < DATE '2001-01-01'",
         "ship streams demo.clock(id,current_date)[]{}"},
        {"SELECT id FROM flights.delays WHERE age(date) > interval 1 day AND date < today()",
         "ship streams flights.delays(id,date)[]{}"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_plan_options options = {.now_us = INT64_C(1770091506000007)};
        struct fm_plan made = {0};
        struct fm_buf text = FM_BUF_INIT(0);
        if (fm_plan_make(f->worker, fm_span_str(cases[i].sql), &catalog_for_plans, &options, &made,
                         &f->err) != FM_OK)
            fail_msg("%s: %s", cases[i].sql, f->err.text);
        assert_true(made.is_timed);
        catalog_describe(&made, &text);
        if (strcmp((const char *)text.data, cases[i].plan) != 0)
            fail_msg("%s:\n  is     %s\n  wanted %s", cases[i].sql, (const char *)text.data,
                     cases[i].plan);
        fm_buf_free(&text);
        fm_plan_deinit(&made);
    }
}

static void plans_are_printed(void **state)
{
    struct fixture *f = *state;
    struct fm_plan made = {0};
    struct fm_buf text = FM_BUF_INIT(0);

    assert_int_equal(plan(f, "SELECT id FROM flights.delays AT (VERSION => 4) WHERE id > 3", &made),
                     FM_OK);
    fm_plan_print(&made, true, &text);
    fm_buf_put_u8(&text, 0);
    assert_string_equal(
        (const char *)text.data,
        "{\"kind\":\"ship\",\"streams\":true,\"fragments\":[{\"owner\":"
        "\"01000000000000000000000000000000\",\"domain\":\"flights\",\"table\":\"delays\",\"at\":{"
        "\"version\":4},\"rows\":3000000,\"columns\":[\"id\"],\"predicates\":[\"id > 3\"],"
        "\"rule\":\"ship\",\"sql\":"
        "\"SELECT id FROM flights.delays AT (VERSION => 4) WHERE (id > 3)\"}],\"sql\":\"SELECT id "
        "FROM flights.delays AT (VERSION => 4) WHERE (id > 3)\"}");
    fm_buf_free(&text);
    fm_plan_deinit(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(work_goes_to_the_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_the_asked_nodes_own_stays_there, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_and_names_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(predicates_reach_the_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(doubtful_predicates_stay_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(every_type_has_its_predicate, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_are_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(distinct_columns_are_grouped, setup, teardown),
        cmocka_unit_test_setup_teardown(the_past_is_read_by_at, setup, teardown),
        cmocka_unit_test_setup_teardown(an_enum_must_not_be_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_say_what_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_tables_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_go_to_their_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(the_clock_is_fixed, setup, teardown),
        cmocka_unit_test_setup_teardown(plans_are_printed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
