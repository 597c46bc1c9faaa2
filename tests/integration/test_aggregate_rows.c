/* Aggregating below joins keeps the answer: plans made with that rule and nothing else, with the
 * slots' own statements written out in place of fm_scan(n), must give what the statement itself
 * gives in DuckDB, in names, types and rows: over random data with NULLs, doubles, no rows at all,
 * and statements put together at random. FM_SEED replays one seed. */
#include "query/plan.h"
#include "query/total.h"
#include "tests/support/random_value.h"

#include <duckdb.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 120000
#define STATEMENTS 400u
#define STATEMENTS_LONG 20000u
#define STATEMENTS_PER_DATA 20u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ONLY_AGGREGATE (~(UINT64_C(1) << FM_RULE_AGGREGATE))

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
    duckdb_database database;
    duckdb_connection connection;
    struct random random;
};

/* ---- The catalog ---- */

static const struct table {
    const char *domain;
    const char *name;
    uint8_t owner;
    uint64_t rows;              /* As the owner says. */
    const char *columns[16][3]; /* Name, type, DuckDB's type. */
} tables[] = {
    {"sales",
     "item",
     1,
     1000000,
     {{"k", "varchar", "VARCHAR"},
      {"n", "int32", "INTEGER"},
      {"m", "int16", "SMALLINT"},
      {"c", "varchar", "VARCHAR"},
      {"u", "int64", "BIGINT"},
      {"x", "double", "DOUBLE"},
      {"p", "decimal(9,2)", "DECIMAL(9,2)"},
      {"b", "boolean", "BOOLEAN"},
      {"d", "date", "DATE"},
      {"s", "timestamp", "TIMESTAMP"},
      {"e", "enum('lo','mid','hi')", "ENUM('lo','mid','hi')"},
      {"f", "float", "FLOAT"}}},
    {"shop",
     "place",
     2,
     900,
     {{"k", "varchar", "VARCHAR"},
      {"n", "int32", "INTEGER"},
      {"g", "varchar", "VARCHAR"},
      {"w", "int32", "INTEGER"},
      {"v", "decimal(6,2)", "DECIMAL(6,2)"},
      {"y", "double", "DOUBLE"}}},
    {"geo",
     "zone",
     3,
     50,
     {{"g", "varchar", "VARCHAR"}, {"z", "varchar", "VARCHAR"}, {"q", "int16", "SMALLINT"}}},
    {"sales",
     "order",
     1,
     500000,
     {{"id", "int64", "BIGINT"}, {"k", "varchar", "VARCHAR"}, {"cents", "int32", "INTEGER"}}},
};

static const struct table *find_table(const char *domain, const char *name)
{
    for (size_t i = 0; i < COUNT(tables); i++) {
        if (strcmp(tables[i].domain, domain) == 0 && strcmp(tables[i].name, name) == 0)
            return &tables[i];
    }
    return NULL;
}

static enum fm_status resolve(void *context, const char *domain, const char *name,
                              struct fm_schema **out, struct fm_node_id *owner, uint64_t *rows)
{
    const struct table *table = find_table(domain, name);
    struct fm_schema *schema = calloc(1, sizeof *schema);

    (void)context;
    assert_non_null(schema);
    if (table == NULL) {
        free(schema);
        return FM_NOTFOUND;
    }
    schema->version = 1;
    schema->fields = calloc(COUNT(table->columns), sizeof *schema->fields);
    assert_non_null(schema->fields);
    for (uint32_t i = 0; table->columns[i][0] != NULL; i++) {
        struct fm_field *field = &schema->fields[schema->field_count++];
        field->id = 100 + i;
        (void)snprintf(field->name, sizeof field->name, "%s", table->columns[i][0]);
        assert_int_equal(fm_type_parse(fm_span_str(table->columns[i][1]), &field->type, NULL),
                         FM_OK);
        if (strcmp(field->name, "id") == 0) {
            field->required = true;
            schema->key_count = 1;
            schema->key[0] = (uint16_t)i;
        }
    }
    memset(owner, 0, sizeof *owner);
    owner->bytes[0] = table->owner;
    *rows = table->rows;
    *out = schema;
    return FM_OK;
}

static const struct fm_catalog catalog = {.context = NULL, .resolve = resolve};

/* ---- DuckDB ---- */

static void run(struct fixture *f, const char *sql)
{
    duckdb_result result;

    if (duckdb_query(f->connection, sql, &result) != DuckDBSuccess)
        fail_msg("%s: %s", sql, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
}

struct lines {
    char **items;
    size_t count;
};

static void free_lines(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
    *lines = (struct lines){0};
}

static void add_line(struct lines *lines, const struct fm_buf *line)
{
    char **items = realloc(lines->items, (lines->count + 1) * sizeof *items);

    assert_non_null(items);
    lines->items = items;
    lines->items[lines->count] = fm_strdup_span(fm_buf_span(line));
    assert_non_null(lines->items[lines->count++]);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_lines(struct lines *lines)
{
    if (lines->count > 0)
        qsort(lines->items, lines->count, sizeof *lines->items, compare_lines);
}

static void put_value(duckdb_result *result, idx_t column, idx_t row, struct fm_buf *line)
{
    char *text = duckdb_value_varchar(result, column, row);

    /* Sums of doubles may differ in the last bits. */
    if (text != NULL && duckdb_column_type(result, column) == DUCKDB_TYPE_DOUBLE)
        fm_buf_printf(line, "|%.10g", strtod(text, NULL));
    else
        fm_buf_printf(line, "|%s", text != NULL ? text : "NULL");
    duckdb_free(text);
}

/* False with the engine's words in `err` when it fails. */
static bool answer(struct fixture *f, const char *before, const char *sql, struct lines *out,
                   struct fm_error *err)
{
    struct fm_buf text = FM_BUF_INIT(0);
    duckdb_result result;

    fm_buf_printf(&text, "%s%s", before, sql);
    fm_buf_put_u8(&text, 0);
    bool fine = duckdb_query(f->connection, (const char *)text.data, &result) == DuckDBSuccess;
    if (!fine)
        (void)snprintf(err->text, sizeof err->text, "%s", duckdb_result_error(&result));
    idx_t columns = before[0] != '\0' ? 2 : duckdb_column_count(&result); /* Name and type. */
    for (idx_t row = 0; fine && row < duckdb_row_count(&result); row++) {
        struct fm_buf line = FM_BUF_INIT(0);
        for (idx_t column = 0; column < columns; column++)
            put_value(&result, column, row, &line);
        add_line(out, &line);
        fm_buf_free(&line);
    }
    duckdb_destroy_result(&result);
    fm_buf_free(&text);
    return fine;
}

/* ---- Random data ---- */

static const char *const texts[] = {"'a'", "'b'", "'A'", "'c'", "''"};

static void put_random(struct fixture *f, const char *type, struct fm_buf *sql)
{
    uint32_t r = random_below(&f->random, 5);

    if (random_below(&f->random, 6) == 0)
        fm_buf_put_str(sql, "NULL");
    else if (strcmp(type, "VARCHAR") == 0)
        fm_buf_put_str(sql, texts[r]);
    else if (strcmp(type, "DATE") == 0)
        fm_buf_printf(sql, "DATE '200%u-0%u-01'", r % 3, r + 1);
    else if (strcmp(type, "TIMESTAMP") == 0)
        fm_buf_printf(sql, "TIMESTAMP '2001-0%u-0%u 0%u:00:00'", r % 2 + 1, r + 1, r);
    else if (strcmp(type, "BOOLEAN") == 0)
        fm_buf_put_str(sql, r > 2 ? "true" : "false");
    else if (type[0] == 'E')
        fm_buf_put_str(sql, r > 2 ? "'hi'" : r > 1 ? "'lo'" : "'mid'");
    else if (strcmp(type, "BIGINT") == 0 && r == 4)
        fm_buf_put_str(sql, "9223372036854775807");
    else if (strcmp(type, "DOUBLE") == 0 && r == 4)
        fm_buf_put_str(sql, "-0.0");
    else if (type[0] == 'D' || type[0] == 'F')
        fm_buf_printf(sql, "%d.25", (int)r - 2);
    else
        fm_buf_printf(sql, "%d", (int)r - 1);
}

static void fill_table(struct fixture *f, const struct table *table)
{
    uint32_t most = table->owner == 1 ? 40 : 8;
    uint32_t rows = random_below(&f->random, 8) == 0 ? 0 : random_below(&f->random, most);
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_printf(&sql, "DELETE FROM %s.\"%s\"", table->domain, table->name);
    fm_buf_put_u8(&sql, 0);
    run(f, (const char *)sql.data);
    fm_buf_clear(&sql);
    fm_buf_printf(&sql, "INSERT INTO %s.\"%s\"", table->domain, table->name);
    for (uint32_t r = 0; r < rows; r++) {
        fm_buf_put_str(&sql, r > 0 ? ", (" : " VALUES (");
        for (uint32_t c = 0; table->columns[c][0] != NULL; c++) {
            fm_buf_put_str(&sql, c > 0 ? ", " : "");
            if (strcmp(table->columns[c][0], "id") == 0)
                fm_buf_printf(&sql, "%u", r);
            else
                put_random(f, table->columns[c][2], &sql);
        }
        fm_buf_put_str(&sql, ")");
    }
    fm_buf_put_u8(&sql, 0);
    if (rows > 0)
        run(f, (const char *)sql.data);
    fm_buf_free(&sql);
}

static void fill(struct fixture *f)
{
    for (size_t i = 0; i < COUNT(tables); i++)
        fill_table(f, &tables[i]);
}

static void create(struct fixture *f, const struct table *table)
{
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_printf(&sql, "CREATE SCHEMA IF NOT EXISTS %s; CREATE TABLE %s.\"%s\"(", table->domain,
                  table->domain, table->name);
    for (uint32_t c = 0; table->columns[c][0] != NULL; c++)
        fm_buf_printf(&sql, "%s%s %s", c > 0 ? ", " : "", table->columns[c][0],
                      table->columns[c][2]);
    fm_buf_put_str(&sql, ")");
    fm_buf_put_u8(&sql, 0);
    run(f, (const char *)sql.data);
    fm_buf_free(&sql);
}

/* A fresh worker: a loan ends with its deadline. */
static void lend(struct fixture *f)
{
    fm_worker_free(f->worker);
    f->worker = NULL;
    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + LONG_MS, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = WORKER, .threads = 1, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    lend(f);
    assert_int_equal(duckdb_open(NULL, &f->database), DuckDBSuccess);
    assert_int_equal(duckdb_connect(f->database, &f->connection), DuckDBSuccess);
    run(f, "SET integer_division = true");
    run(f, "SET default_null_order = 'nulls_last_on_asc_first_on_desc'");
    run(f, "SET threads = 1");
    for (size_t i = 0; i < COUNT(tables); i++)
        create(f, &tables[i]);
    f->random = (struct random){1};
    fill(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    duckdb_disconnect(&f->connection);
    duckdb_close(&f->database);
    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

/* ---- Plans as plain SQL ---- */

static void put_name(const struct fm_field *field, struct fm_buf *out)
{
    fm_buf_put_str(out, "\"");
    for (const char *c = field->name; *c != '\0'; c++)
        fm_buf_printf(out, *c == '"' ? "%c\"" : "%c", *c);
    fm_buf_put_str(out, "\"");
}

/* What slot n brings, as a derived table. */
static void put_slot(const struct fm_plan_table *slot, struct fm_buf *out)
{
    if (slot->sql.len == 0) {
        fm_buf_printf(out, "(SELECT * FROM %s.\"%s\")", slot->domain, slot->table);
        return;
    }
    fm_buf_put_str(out, "(SELECT * FROM (");
    fm_buf_put_span(out, fm_buf_span(&slot->sql));
    fm_buf_put_str(out, ") AS q(");
    for (uint32_t i = 0; i < slot->schema->field_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        put_name(&slot->schema->fields[i], out);
    }
    fm_buf_put_str(out, "))");
}

static char *expand(const struct fm_plan *plan)
{
    struct fm_buf out = FM_BUF_INIT(0);
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_put_span(&sql, fm_buf_span(&plan->sql));
    fm_buf_put_u8(&sql, 0);
    const char *at = (const char *)sql.data;
    for (const char *scan; (scan = strstr(at, "fm_scan(")) != NULL;) {
        char *end = NULL;
        unsigned long slot = strtoul(scan + 8, &end, 10);
        assert_true(slot < plan->table_count && *end == ')');
        fm_buf_put(&out, at, (size_t)(scan - at));
        put_slot(&plan->tables[slot], &out);
        at = end + 1;
    }
    fm_buf_put_str(&out, at);
    char *text = fm_strdup_span(fm_buf_span(&out));
    assert_non_null(text);
    fm_buf_free(&sql);
    fm_buf_free(&out);
    return text;
}

static void compare(const char *sql, const char *rewritten, struct lines *wanted,
                    struct lines *given)
{
    for (size_t i = 0; i < wanted->count || i < given->count; i++) {
        const char *a = i < wanted->count ? wanted->items[i] : "(none)";
        const char *b = i < given->count ? given->items[i] : "(none)";
        if (strcmp(a, b) != 0)
            fail_msg("%s\n%s\n%zu: wanted %s, is %s", sql, rewritten, i, a, b);
    }
    free_lines(wanted);
    free_lines(given);
}

/* Plan, write out, run, compare. How many tables were grouped at their owners, 0 when the rule was
 * not applied. */
static uint32_t check(struct fixture *f, const char *sql)
{
    struct fm_plan_options options = {.rules_off = ONLY_AGGREGATE};
    struct lines wanted = {0};
    struct lines given = {0};
    struct fm_plan plan = {0};
    uint32_t grouped = 0;

    if (!answer(f, "", sql, &wanted, &f->err))
        fail_msg("%s: %s", sql, f->err.text);
    enum fm_status status =
        fm_plan_make(f->worker, fm_span_str(sql), &catalog, &options, &plan, &f->err);
    if (status != FM_OK)
        fail_msg("%s: %s: %s", sql, fm_status_text(status), f->err.text);
    for (uint32_t i = 0; i < plan.table_count; i++)
        grouped += plan.tables[i].rule == FM_RULE_AGGREGATE ? plan.tables[i].ref_count : 0;
    char *rewritten = expand(&plan);
    if (getenv("FM_SHOW") != NULL)
        printf("%s\n  %s\n", sql, rewritten);
    if (!answer(f, "", rewritten, &given, &f->err))
        fail_msg("%s\n%s\n%s", sql, rewritten, f->err.text);
    sort_lines(&wanted);
    sort_lines(&given);
    compare(sql, rewritten, &wanted, &given);
    if (!answer(f, "DESCRIBE ", sql, &wanted, &f->err) ||
        !answer(f, "DESCRIBE ", rewritten, &given, &f->err))
        fail_msg("%s", f->err.text);
    compare(sql, rewritten, &wanted, &given);
    free(rewritten);
    fm_plan_deinit(&plan);
    return grouped;
}

/* ---- Statements ---- */

#define I "sales.item"
#define P "shop.place"
#define Z "geo.zone"
#define ON_K I " i JOIN " P " p ON i.k = p.k"

static const char *const applied[] = {
    /* Q2 and Q6 in form. */
    "SELECT p.g, count(*) AS n, avg(i.m) AS a FROM " ON_K " GROUP BY p.g ORDER BY p.g",
    "SELECT o.g AS os, d.g AS ds, count(*) AS n, avg(i.m) AS dl FROM " I " i JOIN " P
    " o ON i.k = o.k JOIN " P " d ON i.c = d.k GROUP BY o.g, d.g ORDER BY n DESC, os, ds LIMIT 20",
    /* Names. */
    "SELECT p.g, count(*), avg(i.m), sum(i.n) + 1, min(i.c) || 'x', i.k FROM " ON_K " GROUP BY ALL",
    "SELECT G, C, COUNT(*) FROM " I " JOIN " P " p ON item.k = p.k GROUP BY c, g",
    "SELECT sales.item.c, count(*) FROM " I " JOIN " P " ON sales.item.k = shop.place.k GROUP BY "
    "sales.item.c",
    "SELECT max(i.m) AS m FROM " ON_K " GROUP BY p.g ORDER BY m",
    "SELECT count(*) AS c, c FROM " ON_K " GROUP BY c",
    "SELECT x.\"count_star()\" FROM (SELECT count(*) FROM " ON_K ") x",
    /* Nothing to group by; empty groups. */
    "SELECT count(*), sum(m), avg(x), min(d), count(p.w), sum(p.w) FROM " I " CROSS JOIN " P " p",
    "SELECT p.g, count(*) FROM " I ", " P " p GROUP BY p.g",
    "SELECT count(*) FROM " ON_K " WHERE i.m > 1000",
    "SELECT sum(u), avg(u), min(u) FROM " ON_K,
    /* Weights. */
    "SELECT i.c, sum(p.w), avg(p.w), sum(p.v), avg(p.v), sum(p.y), count(p.y), min(p.y), max(p.w) "
    "FROM " ON_K " GROUP BY i.c",
    "SELECT count(*) FILTER (WHERE i.m > 1 AND p.w > 1), sum(p.w) FILTER (WHERE i.m > 2), min(p.y) "
    "FILTER (WHERE i.c = 'a'), count(i.x) FILTER (WHERE i.k = p.k) FROM " ON_K,
    "SELECT count(DISTINCT i.c), count(DISTINCT p.w), sum(DISTINCT i.m), avg(i.m) FROM " ON_K,
    "SELECT bool_and(i.b), bool_or(i.b), bit_or(i.n), bit_and(i.n), bit_xor(i.n), bool_or(p.w > 1)"
    " FROM " ON_K " GROUP BY p.g",
    "SELECT sum(i.b), sum(i.f), avg(i.f), sum(i.p), avg(i.p), min(i.e), max(i.e), min(i.s) "
    "FROM " ON_K,
    "SELECT sum(CASE WHEN i.m > 1 THEN 1 ELSE 0 END), sum(i.x * 2), sum(i.x * i.m) FROM " ON_K,
    "SELECT sum(i.m) FILTER (WHERE i.d >= '2001-01-01') FROM " ON_K,
    /* Joins. */
    "SELECT p.g, count(*), count(p.k), sum(i.m) FROM " I " i LEFT JOIN " P " p ON i.k = p.k AND "
    "i.n < 2 AND p.w > 0 GROUP BY p.g",
    "SELECT p.g, count(*) FROM " P " p RIGHT JOIN " I " i ON i.k = p.k WHERE i.m < 3 GROUP BY p.g",
    "SELECT i.c, count(*) FROM " I " i SEMI JOIN " P " p ON i.k = p.k GROUP BY i.c",
    "SELECT i.c, count(*) FROM " I " i ANTI JOIN " P " p ON i.k = p.k AND p.w > i.n GROUP BY i.c",
    "SELECT k, count(*), sum(m), min(i.k) FROM " I " i JOIN " P " p USING (k) GROUP BY k",
    "SELECT z.z, count(*), sum(i.m) FROM " ON_K " LEFT JOIN " Z " z USING (g) GROUP BY z.z",
    "SELECT p.w, count(*) FROM " I " i JOIN (SELECT k, max(w) AS w FROM " P " GROUP BY k) p ON "
    "i.k = p.k GROUP BY p.w",
    "SELECT p.w, count(*) FROM " I " i JOIN (SELECT * FROM " P ") p ON i.k = p.k GROUP BY p.w",
    "WITH p AS (SELECT * FROM " P ") SELECT p.w, count(*) FROM " I " i JOIN p ON i.k = p.k GROUP "
    "BY p.w",
    "SELECT p.w, count(*) FROM " I " i JOIN " P " p ON i.n + 1 = p.n AND i.m > 1 GROUP BY p.w",
    "SELECT count(*) FROM " I " i JOIN " P " p ON i.m > 1",
    /* Expressions that group. */
    "SELECT year(i.d) AS y, count(*) FROM " ON_K " GROUP BY year(i.d) ORDER BY y",
    "SELECT year(d), count(*) FROM " ON_K " GROUP BY 1 HAVING year(d) > 2000 ORDER BY year(d)",
    "SELECT year(d) AS yy, month(d) + 1, sum(m) FROM " ON_K
    " WHERE yy > 2000 GROUP BY yy, month(d)",
    "SELECT lower(c) || 'x', p.g, count(*) FROM " ON_K " GROUP BY ALL",
    "SELECT date_trunc('month', i.s), count(*) FROM " ON_K " GROUP BY ALL",
    /* Conditions. */
    "SELECT count(*) FROM " ON_K " WHERE i.n IN (SELECT n FROM " P ") AND i.c <> 'b'",
    "SELECT count(*) FROM " ON_K " WHERE i.m > (SELECT min(w) FROM " P " q WHERE q.k = p.k)",
    "SELECT p.g, sum(i.m) AS ss FROM " ON_K " GROUP BY p.g HAVING count(*) > 1 AND ss > 2",
    "SELECT p.g FROM " ON_K " GROUP BY p.g ORDER BY sum(i.m) DESC NULLS LAST, 1 LIMIT 100",
    "SELECT p.g FROM " ON_K " GROUP BY p.g",
    "SELECT DISTINCT p.g, i.c FROM " ON_K,
    /* Inside others. */
    "SELECT g FROM " Z " UNION ALL SELECT p.g FROM " ON_K " GROUP BY p.g",
    "SELECT z.z, (SELECT sum(i.m) FROM " ON_K ") AS s FROM " Z " z",
    "SELECT q.g, z.z, q.n FROM (SELECT p.g, count(*) AS n FROM " ON_K " GROUP BY p.g) q JOIN " Z
    " z ON q.g = z.g",
};

static void applies_and_agrees(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(applied); i++) {
        for (unsigned round = 0; round < 3; round++) {
            if (check(f, applied[i]) != 1)
                fail_msg("not applied: %s", applied[i]);
            fill(f);
        }
    }
}

#define O "sales.\"order\""

/* Two tables of one owner go below together. */
static const char *const joined[] = {
    "SELECT p.g, i.c, count(*), sum(o.cents), sum(p.w), count(o.id) FROM " O " o JOIN " I
    " i ON o.k = i.k JOIN " P " p ON i.c = p.k GROUP BY ALL",
    "SELECT c, count(*) AS n FROM " I " i JOIN " P " p ON i.c = p.k JOIN " O
    " o ON o.k = i.k AND o.cents > p.w GROUP BY c ORDER BY c, n",
    "SELECT C, p.g, sum(o.cents) + sum(i.m) FROM " O " o, " P " p, " I
    " i WHERE i.k = p.k AND o.k = i.c AND o.id < i.n + 100 AND p.w > 0 GROUP BY i.c, p.g",
    "SELECT p.g, min(o.cents) FROM (" O " o JOIN " I " i ON o.k = i.k) LEFT JOIN " P
    " p ON i.c = p.k AND o.cents > 0 WHERE i.m > 0 GROUP BY p.g HAVING count(*) > 1",
    "SELECT z.z, avg(o.cents) FROM " P " p JOIN " O " o ON o.k = p.k JOIN " Z
    " z ON z.g = p.g JOIN " I " i ON i.k = o.k AND (i.n = p.n OR i.m > z.q) GROUP BY z.z",
    "SELECT x.c FROM (SELECT i.c, max(o.cents) FROM " O " o JOIN " I " i ON o.k = i.k JOIN " P
    " p ON i.c = p.k GROUP BY ALL) x",
};

static void joins_below(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(joined); i++) {
        for (unsigned round = 0; round < 3; round++) {
            if (check(f, joined[i]) != 2)
                fail_msg("not joined: %s", joined[i]);
            fill(f);
        }
    }
}

/* Where it would be wrong, or nobody has shown that it is right. */
static const char *const left_alone[] = {
    "SELECT i.x, count(*) FROM " ON_K " GROUP BY i.x",
    "SELECT p.g, sum(i.m * i.n) FROM " ON_K " GROUP BY p.g",
    "SELECT p.g, sum(i.m * p.w) FROM " ON_K " GROUP BY p.g",
    "SELECT p.g, list(i.m ORDER BY i.m), stddev(i.x) FROM " ON_K " GROUP BY p.g",
    "SELECT p.g, count(*) FROM " P " p LEFT JOIN " I " i ON i.k = p.k GROUP BY p.g",
    "SELECT p.g, count(*) FROM " P " p FULL JOIN " I " i ON i.k = p.k GROUP BY p.g",
    "SELECT count(*) FROM " I " i NATURAL JOIN " P,
    "SELECT p.g, count(*) FROM " ON_K " GROUP BY ROLLUP (p.g)",
    "SELECT p.g, count(*), row_number() OVER (ORDER BY p.g) FROM " ON_K " GROUP BY p.g",
    "SELECT p.g, q.s FROM " P " p, LATERAL (SELECT sum(i.m) AS s FROM " I " i WHERE i.k = p.k) q",
    "SELECT count(*) FROM " I " i, LATERAL (SELECT i.m AS m FROM " P " p WHERE p.k = i.k) q",
    "SELECT count(*) FROM " ON_K " WHERE EXISTS (SELECT 1 FROM " Z " z WHERE z.q = i.m)",
    "SELECT p.g, i.m FROM " ON_K,
    "SELECT i.s, count(*) FROM " ON_K " GROUP BY i.s",
    "SELECT o.id, sum(o.cents) FROM sales.\"order\" o JOIN " P " p ON o.k = p.k GROUP BY o.id",
    "SELECT count(*) FROM " P " p JOIN " Z " z ON p.g = z.g AND z.q < 0 AND p.w = 1 AND z.z = '-'",
    "SELECT z.z, count(*) FROM " Z " z JOIN geo.zone y ON z.g = y.g GROUP BY z.z",
    "SELECT max(i.m) AS u FROM " ON_K " GROUP BY p.g, u HAVING u > 1",
    "SELECT count(*), random() < 2 FROM " ON_K " GROUP BY ALL",
    "SELECT count(DISTINCT i) FROM " ON_K,
    "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < (SELECT count(*) "
    "FROM " ON_K ") AND a < 3) SELECT * FROM r",
};

static void leaves_alone_what_is_in_doubt(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(left_alone); i++) {
        if (check(f, left_alone[i]) != 0)
            fail_msg("applied: %s", left_alone[i]);
    }
}

/* ---- Random statements ---- */

static const char *const froms[] = {
    ON_K,
    P " p JOIN " I " i ON i.k = p.k AND i.m > 0",
    I " i LEFT JOIN " P " p ON i.k = p.k AND i.n < 2",
    P " p RIGHT JOIN " I " i ON i.k = p.k AND p.w > i.n",
    I " i CROSS JOIN " P " p",
    I " i JOIN " P " p USING (k)",
    I " i JOIN (SELECT k, n, g, w, v, y FROM " P " WHERE w > 0) p ON i.k = p.k",
    "(" ON_K ") LEFT JOIN " Z " z ON p.g = z.g AND i.m > z.q",
    Z " z JOIN (" I " i LEFT JOIN " P " p ON i.k = p.k AND i.c = p.g) ON z.g = p.g OR z.q = i.n",
    I " i JOIN " P " p ON lower(i.k) = lower(p.k) AND (i.n = p.n OR i.m < p.w)",
    O " o JOIN " I " i ON o.k = i.k JOIN " P " p ON i.c = p.k AND o.cents >= p.w",
    "(" P " p JOIN " I " i ON i.k = p.k JOIN " O " o ON o.k = i.c) LEFT JOIN " Z " z ON z.q = i.n",
    "(" I " i JOIN " P " p ON i.n = p.n) SEMI JOIN " Z " z ON z.g = p.g AND z.q < i.m",
};
static const char *const groups[] = {"",
                                     "p.g",
                                     "i.c",
                                     "i.c, p.g",
                                     "i.b, p.w",
                                     "i.d",
                                     "i.e",
                                     "year(i.d)",
                                     "upper(i.c), p.g",
                                     "p.w + 1",
                                     "i.m > 1",
                                     "i.k, i.p",
                                     "coalesce(i.c, p.g)"};
static const char *const aggregates[] = {
    "count(*)",
    "count(i.m)",
    "count(p.w)",
    "sum(i.m)",
    "sum(i.n)",
    "sum(i.u)",
    "sum(i.x)",
    "sum(i.p)",
    "avg(i.m)",
    "avg(i.u)",
    "avg(i.x)",
    "avg(i.p)",
    "avg(i.f)",
    "min(i.c)",
    "max(i.d)",
    "min(i.x)",
    "max(i.e)",
    "min(i.s)",
    "sum(p.w)",
    "avg(p.w)",
    "sum(p.v)",
    "avg(p.y)",
    "sum(p.y)",
    "min(p.g)",
    "max(p.y)",
    "bool_and(i.b)",
    "bool_or(p.w > i.n)",
    "bit_or(i.n)",
    "bit_xor(i.m)",
    "count(DISTINCT i.c)",
    "sum(DISTINCT i.n)",
    "max(DISTINCT p.g)",
    "min(i.c || p.g)",
    "count(i.c || p.g)",
    "sum(i.x + i.f)",
    "count(i.n > p.n)",
    "sum(CASE WHEN i.b THEN i.m END)",
    "max(upper(i.c))",
    "sum(i.b)",
    "avg(i.m + 0.5)",
    "1 + count(*)",
    "coalesce(sum(i.m), -1)",
    "count(*) * 2 + sum(p.w)",
};
static const char *const filters[] = {
    "",
    "",
    "",
    " FILTER (WHERE i.m > 1)",
    " FILTER (WHERE p.w > 1)",
    " FILTER (WHERE i.n < p.n AND i.b)",
    " FILTER (WHERE i.c IN ('a', 'b') AND p.g <> 'a')",
    " FILTER (WHERE i.x > 0 OR i.k IS NULL)",
};
static const char *const wheres[] = {
    "",
    "",
    "",
    "i.m > 1",
    "i.c = 'a' AND p.w > 0",
    "i.m > p.n",
    "i.n IN (SELECT q FROM " Z ")",
    "upper(i.c) = 'A' OR p.w > 1",
    "i.b",
    "i.d IS NOT NULL AND i.k <> 'c'",
    "i.p = p.v",
    "year(i.d) = 2001 AND i.u > 0",
    "i.x = p.y",
    "false",
    "i.k = i.c",
};
static const char *const havings[] = {"", "", "", "count(*) > 1", "sum(i.m) > 1", "max(p.w) > 0"};

static const char *pick(struct fixture *f, const char *const *list, size_t count)
{
    return list[random_below(&f->random, (uint32_t)count)];
}

#define PICK(list) pick(f, list, COUNT(list))

static void put_aggregate(struct fixture *f, struct fm_buf *sql)
{
    const char *call = PICK(aggregates);
    /* Only a call alone takes a filter. */
    bool alone = strchr(call, ')') == call + strlen(call) - 1;

    fm_buf_put_str(sql, call);
    fm_buf_put_str(sql, alone ? PICK(filters) : "");
    if (random_below(&f->random, 2) == 0)
        fm_buf_printf(sql, " AS a%u", random_below(&f->random, 1000));
}

static void make_statement(struct fixture *f, struct fm_buf *sql)
{
    const char *from = PICK(froms);
    const char *group = PICK(groups);
    const char *where = PICK(wheres);
    const char *having = PICK(havings);
    uint32_t count = 1 + random_below(&f->random, 4);
    bool all = random_below(&f->random, 3) == 0;

    fm_buf_clear(sql);
    fm_buf_printf(sql, "SELECT %s%s", group, group[0] != '\0' ? ", " : "");
    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(sql, i > 0 ? ", " : "");
        put_aggregate(f, sql);
    }
    fm_buf_printf(sql, " FROM %s", from);
    if (where[0] != '\0')
        fm_buf_printf(sql, " WHERE %s", where);
    if (all)
        fm_buf_put_str(sql, " GROUP BY ALL");
    else if (group[0] != '\0')
        fm_buf_printf(sql, " GROUP BY %s", group);
    if (having[0] != '\0')
        fm_buf_printf(sql, " HAVING %s", having);
    fm_buf_put_u8(sql, 0);
}

static void random_statements_agree(void **state)
{
    struct fixture *f = *state;
    const char *replay = getenv("FM_SEED");
    const char *is_long = getenv("FM_LONG");
    uint64_t first = replay != NULL ? strtoull(replay, NULL, 10) : 1;
    uint64_t statements = is_long != NULL && is_long[0] != '\0' ? STATEMENTS_LONG : STATEMENTS;
    struct fm_buf sql = FM_BUF_INIT(0);
    uint64_t count = 0;

    for (uint64_t i = 0; i < (replay != NULL ? STATEMENTS_PER_DATA : statements); i++) {
        if (i % STATEMENTS_PER_DATA == 0) {
            f->random = (struct random){first + i / STATEMENTS_PER_DATA};
            fill(f);
            lend(f);
            print_message("FM_SEED=%" PRIu64 "\n", first + i / STATEMENTS_PER_DATA);
        }
        make_statement(f, &sql);
        count += check(f, (const char *)sql.data) > 0;
    }
    if (replay == NULL && count < statements / 2)
        fail_msg("applied to %" PRIu64 " of %" PRIu64, count, statements);
    fm_buf_free(&sql);
}

/* Each function that is taken for a scalar one is that in the engine, and answers the same for the
 * same arguments. */
static void scalars_are_scalar(void **state)
{
    struct fixture *f = *state;
    duckdb_result result;

    assert_int_equal(duckdb_query(f->connection,
                                  "SELECT DISTINCT function_name, function_type || ' ' || "
                                  "coalesce(stability, '') FROM duckdb_functions() WHERE "
                                  "function_name <> 'nullif' AND (function_type NOT IN "
                                  "('scalar', 'table') OR stability = 'VOLATILE')",
                                  &result),
                     DuckDBSuccess);
    assert_true(duckdb_row_count(&result) > 100);
    for (idx_t i = 0; i < duckdb_row_count(&result); i++) {
        char *name = duckdb_value_varchar(&result, 0, i);
        if (total_is_scalar(name))
            fail_msg("%s", name);
        duckdb_free(name);
    }
    duckdb_destroy_result(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(applies_and_agrees, setup, teardown),
        cmocka_unit_test_setup_teardown(joins_below, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_alone_what_is_in_doubt, setup, teardown),
        cmocka_unit_test_setup_teardown(random_statements_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(scalars_are_scalar, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
