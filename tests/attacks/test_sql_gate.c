/* Hostile and unwelcome SQL: files, settings, other statements, the engine's own tables, in every
 * place where an expression or a table may stand. Each is refused in words; the worker lives on. */
#include "query/plan.h"
#include "tests/support/plan_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 300000

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
    unsigned tried;
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

static void check_alive(struct fixture *f)
{
    struct fm_plan plan = {0};

    if (fm_plan_make(f->worker, fm_span_str("SELECT id FROM flights.delays WHERE id > 3"),
                     &catalog_for_plans, NULL, &plan, &f->err) != FM_OK)
        fail_msg("the worker is gone: %s", f->err.text);
    assert_int_equal(plan.tables[0].predicates.count, 1);
    fm_plan_deinit(&plan);
}

static void refuse(struct fixture *f, const char *sql)
{
    struct fm_plan plan = {0};

    f->err.text[0] = '\0';
    enum fm_status status =
        fm_plan_make(f->worker, fm_span_str(sql), &catalog_for_plans, NULL, &plan, &f->err);
    if (status != FM_INVALID && status != FM_NOTFOUND && status != FM_LIMIT)
        fail_msg("%.300s: %s: %s", sql, fm_status_text(status), f->err.text);
    if (strlen(f->err.text) < 8 ||
        (strcasestr(sql, "fm_scan") == NULL && strstr(f->err.text, "fm_scan") != NULL))
        fail_msg("%.300s: unclear: %s", sql, f->err.text);
    if (++f->tried % 50 == 0)
        check_alive(f);
}

static void refuse_all(struct fixture *f, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        refuse(f, list[i]);
    check_alive(f);
}

#define REFUSE(f, list) refuse_all(f, list, sizeof(list) / sizeof((list)[0]))

/* Each part in each place: `places` holds one %s. */
static void refuse_in_places(struct fixture *f, const char *const *parts, size_t part_count,
                             const char *const *places, size_t place_count)
{
    char sql[600];

    for (size_t i = 0; i < part_count; i++) {
        for (size_t k = 0; k < place_count; k++) {
            const char *at = strstr(places[k], "%s");
            assert_non_null(at);
            (void)snprintf(sql, sizeof sql, "%.*s%s%s", (int)(at - places[k]), places[k], parts[i],
                           at + 2);
            refuse(f, sql);
        }
    }
    check_alive(f);
}

#define REFUSE_IN_PLACES(f, parts, places)                                                         \
    refuse_in_places(f, parts, sizeof(parts) / sizeof((parts)[0]), places,                         \
                     sizeof(places) / sizeof((places)[0]))

static const char *const other_statements[] = {
    "INSERT INTO flights.delays VALUES (1)",
    "INSERT INTO flights.delays SELECT * FROM flights.delays",
    "UPDATE flights.delays SET id = 1",
    "DELETE FROM flights.delays",
    "TRUNCATE flights.delays",
    "MERGE INTO flights.delays USING flights.carrier ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE x(i INTEGER)",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "CREATE SCHEMA x",
    "CREATE SEQUENCE x",
    "CREATE MACRO x(a) AS a + 1",
    "CREATE FUNCTION x(a) AS a + 1",
    "CREATE TYPE x AS ENUM ('a')",
    "CREATE INDEX x ON flights.delays(id)",
    "CREATE SECRET x (TYPE s3)",
    "DROP TABLE flights.delays",
    "DROP SCHEMA flights CASCADE",
    "ALTER TABLE flights.delays ADD COLUMN x INTEGER",
    "COMMENT ON TABLE flights.delays IS 'x'",
    "COPY flights.delays TO '/tmp/x'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY flights.delays FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "ATTACH '/tmp/x.db'",
    "ATTACH ':memory:' AS x",
    "DETACH x",
    "USE x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL httpfs",
    "UPDATE EXTENSIONS",
    "SET threads = 1",
    "SET enable_external_access = true",
    "SET SESSION threads = 1",
    "SET GLOBAL threads = 1",
    "SET VARIABLE x = 1",
    "RESET threads",
    "PRAGMA version",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL range(3)",
    "CALL pragma_version()",
    "CALL duckdb_settings()",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "DEALLOCATE x",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "DESCRIBE flights.delays",
    "DESCRIBE SELECT 1",
    "SUMMARIZE flights.delays",
    "SUMMARIZE SELECT 1",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "SHOW x",
    "SELECT * FROM (DESCRIBE flights.delays)",
    "SELECT * FROM (SUMMARIZE flights.delays)",
    "SELECT * FROM (SHOW TABLES)",
    "FROM (SHOW ALL TABLES)",
    "WITH x AS (DESCRIBE flights.delays) SELECT * FROM x",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE x",
    "SELECT 1;; SELECT 2;",
    "SELECT 1; SET threads = 1",
    ";",
    ";;",
    "   ",
    "-- only a comment",
    "/* another */",
    "WITH x AS (INSERT INTO flights.delays VALUES (1) RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM flights.delays RETURNING *) SELECT * FROM x",
    "SELECT * INTO x FROM flights.delays",
    "SELECT * FROM flights.delays FOR UPDATE",
    "PIVOT flights.delays ON origin USING count(*)",
    ".tables",
    "\\d",
    "SELEKT 1",
    "SELECT",
    "SELECT * FROM",
    "SELECT (((1)",
    "'",
    "\"",
    "SELECT 'x",
    "SELECT \"x",
    "SELECT $$x",
    "SELECT /* x",
    "SELECT ?",
    "SELECT $1",
    "SELECT $name",
    "SELECT * FROM flights.delays WHERE id = ?",
    "SELECT 1 LIMIT ?",
};

static void other_statements_are_refused(void **state)
{
    REFUSE(*state, other_statements);
}

static void names_of_the_engine_are_unknown(void **state)
{
    static const char *const tables[] = {
        "sqlite_master",
        "sqlite_schema",
        "duckdb_settings",
        "duckdb_tables",
        "pg_class",
        "pg_catalog.pg_class",
        "information_schema.tables",
        "information_schema.columns",
        "system.information_schema.tables",
        "main.duckdb_tables",
        "temp.main.x",
        "memory.flights.delays",
        "pragma_database_list",
        "duckdb_secrets",
        "duckdb_logs",
        "'/etc/passwd'",
        "'x.csv'",
        "'x.parquet'",
        "\"x.json\"",
        "'http://localhost/x.parquet'",
        "'/proc/self/environ'",
        "'/dev/fd/3'",
        "flights.'x.csv'",
        "flights.\"../x.parquet\"",
        "fm_slot_0",
        "fm_scan",
        "flights.\"delays$facts\"",
        "mesh.nothing",
        "main.fm_slot_0",
        "\"\".\"delays\"",
        "flights.\"\"",
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\".x",
    };
    static const char *const places[] = {
        "SELECT * FROM %s",
        "FROM %s",
        "TABLE %s",
        "SELECT 1 FROM flights.delays, %s",
        "SELECT (SELECT 1 FROM %s LIMIT 1)",
        "WITH x AS (SELECT * FROM %s) SELECT * FROM x",
        "WITH pg_class AS (SELECT * FROM %s) SELECT 1",
        "SELECT 1 UNION SELECT 1 FROM %s",
        "SELECT * FROM flights.delays WHERE id IN (FROM %s)",
        "SELECT * FROM %s PIVOT (count(*) FOR a IN ('x'))",
    };
    REFUSE_IN_PLACES(*state, tables, places);
}

/* A WITH query does not lend its name to what comes before it, nor to itself. */
static void names_of_with_queries_have_scopes(void **state)
{
    static const char *const list[] = {
        "WITH sqlite_master AS (SELECT name FROM sqlite_master) SELECT * FROM sqlite_master",
        "WITH a AS (SELECT * FROM pg_class), pg_class AS (SELECT 1) SELECT * FROM a",
        "SELECT (WITH pg_class AS (SELECT 1) SELECT 1), (SELECT count(*) FROM pg_class)",
        "SELECT * FROM (WITH pg_class AS (SELECT 1) SELECT * FROM pg_class) q, pg_class",
        "WITH RECURSIVE pg_class AS (SELECT oid FROM pg_class UNION SELECT 1) SELECT 1",
        "WITH RECURSIVE pg_class AS (SELECT * FROM pg_class) SELECT * FROM pg_class",
        "(WITH pg_class AS (SELECT 1) SELECT * FROM pg_class) UNION SELECT oid FROM pg_class",
        "WITH x AS (WITH pg_class AS (SELECT 1 AS i) SELECT i FROM pg_class) SELECT * FROM x, "
        "pg_class",
        "WITH pg_class AS (SELECT 1) SELECT * FROM pg_catalog.pg_class",
        "WITH pg_class AS (SELECT 1) SELECT * FROM system.pg_catalog.pg_class",
        "WITH fm_slot_0 AS (SELECT 1) SELECT * FROM flights.delays",
        "WITH FM_SLOT_7 AS (SELECT 1) SELECT * FROM flights.delays",
        "WITH RECURSIVE fm_slot_1 AS (SELECT 1 UNION SELECT 2 FROM fm_slot_1) SELECT 1",
        "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT n FROM recurring.r) SELECT * "
        "FROM r",
        "WITH c AS (SELECT 1) SELECT * FROM c AT (VERSION => 1)",
    };
    REFUSE(*state, list);
}

static void table_functions_are_refused(void **state)
{
    static const char *const calls[] = {
        "read_csv('/etc/passwd')",
        "read_csv_auto('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_blob('/proc/self/environ')",
        "read_json('x.json')",
        "read_json_auto('x.json')",
        "read_ndjson('x')",
        "read_ndjson_objects('x')",
        "read_parquet('x')",
        "parquet_scan('x')",
        "parquet_metadata('x')",
        "parquet_schema('x')",
        "parquet_kv_metadata('x')",
        "read_duckdb('x')",
        "sniff_csv('x')",
        "glob('/*')",
        "query('SELECT 1')",
        "query_table('pg_class')",
        "json_execute_serialized_sql('x')",
        "sql_auto_complete('SEL')",
        "duckdb_settings()",
        "duckdb_tables()",
        "duckdb_functions()",
        "duckdb_secrets()",
        "duckdb_memory()",
        "duckdb_temporary_files()",
        "duckdb_logs()",
        "duckdb_logs_parsed('x')",
        "pragma_version()",
        "pragma_user_agent()",
        "pragma_table_info('x')",
        "which_secret('x', 's3')",
        "pg_timezone_names()",
        "seq_scan('x')",
        "arrow_scan(1, 2, 3)",
        "summary(flights.delays)",
        "repeat(1, 5)",
        "repeat_row(1, num_rows = 5)",
        "test_all_types()",
        "test_vector_types(1)",
        "checkpoint()",
        "force_checkpoint()",
        "enable_logging()",
        "truncate_duckdb_logs()",
        "fm_scan(0)",
        "fm_scan(99)",
        "FM_SCAN(0)",
        "json_each('[1]')",
        "histogram_values('pg_class', oid)",
        "main.read_csv('x')",
        "system.main.duckdb_settings()",
        "no_such_function(1)",
    };
    static const char *const places[] = {
        "SELECT * FROM %s",
        "SELECT 1 WHERE EXISTS (FROM %s)",
        "WITH x AS (FROM %s) SELECT 1",
        "SELECT (SELECT 1 FROM %s LIMIT 1)",
        "SELECT * FROM range(1) r, LATERAL (SELECT * FROM %s) q",
        "SELECT 1 UNION ALL SELECT 1 FROM %s",
        "SELECT id FROM flights.delays LEFT JOIN %s ON true",
        "SELECT 1 ORDER BY (SELECT 1 FROM %s)",
        "SELECT * FROM %s PIVOT (count(*) FOR a IN ('x'))",
        "SELECT ARRAY(SELECT 1 FROM %s)",
    };
    REFUSE_IN_PLACES(*state, calls, places);
}

static const char *const refused_calls[] = {
    "getenv('HOME')",
    "GETENV('HOME')",
    "\"getenv\"('HOME')",
    "main.getenv('HOME')",
    "current_setting('threads')",
    "pg_catalog.current_setting('threads')",
    "getvariable('x')",
    "nextval('s')",
    "currval('s')",
    "write_log('x')",
    "parse_duckdb_log_message('x', 'y')",
    "txid_current()",
    "current_query()",
    "current_query_id()",
    "current_connection_id()",
    "current_transaction_id()",
    "in_search_path('a', 'b')",
    "get_block_size('x')",
    "format_type(1, 2)",
    "stats(1)",
    "vector_type(1)",
    "json_serialize_sql('SELECT 1')",
    "json_deserialize_sql('{}')",
    "json_serialize_plan('SELECT * FROM read_csv(1)')",
    "json_execute_serialized_sql('{}')",
    "sleep_ms(100000)",
    "pg_sleep(100)",
    "setseed(0.5)",
    "read_text('/etc/passwd')",
    "glob('x')",
    "query('SELECT 1')",
    "pg_get_viewdef(1)",
    "pg_get_constraintdef(1)",
    "__internal_compress_string_utinyint('a')",
    "__internal_decompress_string(1)",
    "fm_scan(0)",
    "flights.upper('x')",
    "other.main.upper('x')",
    "no_such_function()",
};

static const char *const call_places[] = {
    "SELECT %s",
    "SELECT id FROM flights.delays WHERE %s IS NULL",
    "SELECT list_transform([1], lambda x: %s)",
    "SELECT list_filter([1], x -> %s IS NULL)",
    "SELECT count(*) FILTER (WHERE %s IS NULL) FROM flights.delays",
    "SELECT row_number() OVER (ORDER BY %s) FROM flights.delays",
    "SELECT sum(id) OVER (ROWS BETWEEN %s PRECEDING AND CURRENT ROW) FROM flights.delays",
    "SELECT 1 LIMIT %s",
    "SELECT CASE WHEN true THEN %s END",
    "SELECT CASE %s WHEN 1 THEN 2 END",
    "SELECT * FROM range(%s)",
    "SELECT * FROM unnest([%s])",
    "VALUES (%s)",
    "SELECT DISTINCT ON (%s) 1",
    "SELECT {'a': %s}",
    "SELECT * REPLACE (%s AS id) FROM flights.delays",
    "SELECT id FROM flights.delays GROUP BY %s, id",
    "SELECT 1 HAVING %s IS NULL",
    "SELECT 1 ORDER BY %s",
    "SELECT * FROM flights.delays a JOIN flights.delays b ON %s = 1",
    "SELECT string_agg(origin, ',' ORDER BY %s) FROM flights.delays",
    "SELECT * FROM flights.delays AT (VERSION => %s)",
    "SELECT COLUMNS(c -> %s IS NULL) FROM flights.delays",
    "SELECT CAST(%s AS VARCHAR) COLLATE NOCASE",
    "SELECT TRY(%s)",
    "SELECT 1 IN (SELECT %s)",
    "SELECT * FROM flights.delays PIVOT (max(%s) FOR origin IN ('x'))",
};

static void functions_are_refused(void **state)
{
    REFUSE_IN_PLACES(*state, refused_calls, call_places);
}

static void what_cannot_be_repeated_is_refused(void **state)
{
    static const char *const list[] = {
        "SELECT * FROM flights.delays TABLESAMPLE 10%",
        "SELECT * FROM flights.delays USING SAMPLE 10 ROWS",
        "SELECT * FROM (SELECT 1) q TABLESAMPLE 1 ROWS",
        "SELECT * FROM flights.delays TABLESAMPLE reservoir(1 ROWS) REPEATABLE (3)",
        "SELECT * FROM range(9) TABLESAMPLE 10%",
        "SELECT * FROM flights.delays AT (VERSION => -1)",
        "SELECT * FROM flights.delays AT (VERSION => 1.5)",
        "SELECT * FROM flights.delays AT (VERSION => '1')",
        "SELECT * FROM flights.delays AT (VERSION => NULL)",
        "SELECT * FROM flights.delays AT (VERSION => 99999999999999999999)",
        "SELECT * FROM flights.delays AT (VERSION => (SELECT 1))",
        "SELECT * FROM flights.delays AT (TIMESTAMP => now() - INTERVAL 1 DAY)",
        "SELECT * FROM flights.delays AT (TIMESTAMP => 'yesterday')",
        "SELECT * FROM flights.delays AT (TIMESTAMP => TIMESTAMP '2020-13-01')",
        "SELECT * FROM flights.delays AT (TIMESTAMP => TIMESTAMP '2020-01-01 24:00:00')",
        "SELECT * FROM flights.delays AT (TIMESTAMP => INTERVAL '1 day')",
        "SELECT * FROM flights.delays AT (TIMESTAMP => 5)",
        "SELECT * FROM range(3) AT (VERSION => 1)",
        "SELECT DEFAULT",
    };
    REFUSE(*state, list);
}

static char *repeat(const char *before, const char *part, size_t times, const char *after)
{
    size_t len = strlen(part);
    char *text = malloc(strlen(before) + times * len + strlen(after) + 1);

    assert_non_null(text);
    char *at = stpcpy(text, before);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, part);
    (void)stpcpy(at, after);
    return text;
}

/* Bulk is bounded: whatever the answer is, it comes, and the worker lives. */
static void bulk_is_bounded(void **state)
{
    static const struct {
        const char *before;
        const char *part;
        size_t times;
        const char *after;
        bool refused;
    } list[] = {
        {"SELECT ", "(", 10000, "1", true},
        {"SELECT ", "[", 3000, "", true},
        {"SELECT 1", " + 1", 100000, "", true},
        {"SELECT ", "NOT ", 20000, "true", true},
        {"SELECT ", "- ", 20000, "x", true},
        {"SELECT 1 FROM (", "SELECT * FROM (", 2000, "SELECT 1", true},
        {"", "SELECT 1 UNION ", 5000, "SELECT 1", false},
        {"SELECT '", "x", FM_SQL_BYTES_MAX - 10, "'", false},
        {"SELECT '", "x", FM_SQL_BYTES_MAX, "'", true},
        {"SELECT id FROM flights.delays WHERE id IN (0", ",1", 20000, ")", false},
        {"SELECT 1", ", 1", 20000, "", false},
        {"SELECT 1", ", 1", 340000, "", true},
        {"SELECT 1 FROM flights.delays", ", flights.delays", 100, "", true},
        {"SELECT ", "{'a': ", 1500, "1", true},
        {"WITH a0 AS (SELECT 1)", ", a AS (SELECT 1)", 3000, " SELECT 1", true},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        char *sql = repeat(list[i].before, list[i].part, list[i].times, list[i].after);
        struct fm_plan plan = {0};
        enum fm_status status =
            fm_plan_make(f->worker, fm_span_str(sql), &catalog_for_plans, NULL, &plan, &f->err);
        if (list[i].refused ? status != FM_INVALID && status != FM_LIMIT : status != FM_OK)
            fail_msg("%.60s: %s: %s", sql, fm_status_text(status), f->err.text);
        fm_plan_deinit(&plan);
        free(sql);
        check_alive(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_statements_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_the_engine_are_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_with_queries_have_scopes, setup, teardown),
        cmocka_unit_test_setup_teardown(table_functions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_repeated_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_is_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
