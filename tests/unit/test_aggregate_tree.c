/* Names, total expressions and the rewriting below joins, on trees that DuckDB parses here: what a
 * reference means, what may be computed early, and what is made of a statement. */
#include "query/aggregate.h"
#include "query/names.h"
#include "query/total.h"
#include "query/tree_build.h"

#include <duckdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct fixture {
    duckdb_database database;
    duckdb_connection connection;
    struct tree tree;
    struct fm_plan_table tables[FM_QUERY_TABLES_MAX];
    struct names names;
};

/* sales.item of owner 1, shop.place and shop.kind of owner 2. */
static const char *const columns[][3][2] = {
    {{"k", "varchar"}, {"m", "int16"}, {"x", "double"}},
    {{"k", "varchar"}, {"g", "varchar"}, {"st", "struct(a int32)"}},
    {{"g", "varchar"}, {"label", "varchar"}, {"day", "date"}},
};
static const char *const names_of_tables[] = {"item", "place", "kind"};

static void set_table(struct fm_plan_table *table, const char *name)
{
    size_t which = 0;

    while (strcmp(names_of_tables[which], name) != 0)
        assert_true(++which < COUNT(names_of_tables));
    table->owner.bytes[0] = which == 0 ? 1 : 2;
    table->rows = which == 0 ? 1000000 : 900;
    table->schema = calloc(1, sizeof *table->schema);
    assert_non_null(table->schema);
    table->schema->fields = calloc(3, sizeof *table->schema->fields);
    assert_non_null(table->schema->fields);
    for (uint32_t i = 0; i < 3; i++) {
        struct fm_field *field = &table->schema->fields[table->schema->field_count++];
        field->id = i + 1;
        (void)snprintf(field->name, sizeof field->name, "%s", columns[which][i][0]);
        assert_int_equal(fm_type_parse(fm_span_str(columns[which][i][1]), &field->type, NULL),
                         FM_OK);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(duckdb_open(NULL, &f->database), DuckDBSuccess);
    assert_int_equal(duckdb_connect(f->database, &f->connection), DuckDBSuccess);
    *state = f;
    return 0;
}

static void forget(struct fixture *f)
{
    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++)
        fm_schema_free(f->tables[i].schema);
    memset(f->tables, 0, sizeof f->tables);
    tree_deinit(&f->tree);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    forget(f);
    duckdb_disconnect(&f->connection);
    duckdb_close(&f->database);
    free(f);
    return 0;
}

/* The first value of `function`('text'). */
static char *call(struct fixture *f, const char *function, const char *text)
{
    struct fm_buf sql = FM_BUF_INIT(0);
    duckdb_result result;

    fm_buf_printf(&sql, "SELECT %s('", function);
    for (const char *c = text; *c != '\0'; c++)
        fm_buf_printf(&sql, *c == '\'' ? "%c'" : "%c", *c);
    fm_buf_put_str(&sql, "')");
    fm_buf_put_u8(&sql, 0);
    if (duckdb_query(f->connection, (const char *)sql.data, &result) != DuckDBSuccess)
        fail_msg("%s: %s", text, duckdb_result_error(&result));
    char *value = duckdb_value_varchar(&result, 0, 0);
    assert_non_null(value);
    duckdb_destroy_result(&result);
    fm_buf_free(&sql);
    return value;
}

/* Read a statement; its outermost node. */
static json_t *read_statement(struct fixture *f, const char *sql)
{
    struct fm_error err = {0};

    forget(f);
    char *json = call(f, "json_serialize_sql", sql);
    if (tree_read(&f->tree, fm_span_str(sql), fm_span_str(json), &err) != FM_OK)
        fail_msg("%s: %s", sql, err.text);
    duckdb_free(json);
    for (uint32_t i = 0; i < f->tree.table_count; i++)
        set_table(&f->tables[i], f->tree.tables[i].name);
    return json_object_get(json_array_get(tree_json_array(f->tree.root, "statements"), 0), "node");
}

static json_t *first_item(const json_t *node)
{
    return json_array_get(tree_json_array(node, "select_list"), 0);
}

/* ---- Names ---- */

struct name_case {
    const char *sql; /* The first item is looked for. */
    enum names_clause clause;
    const char *expected; /* "leaf.column", "leaf.?", or a kind. */
};

#define JOIN "FROM sales.item i JOIN shop.place p ON i.k = p.k"

static const struct name_case name_cases[] = {
    {"SELECT m " JOIN, NAMES_IN_ROWS, "i.m"},
    {"SELECT M " JOIN, NAMES_IN_ROWS, "i.m"},
    {"SELECT \"M\" " JOIN, NAMES_IN_ROWS, "i.m"},
    {"SELECT I.M " JOIN, NAMES_IN_ROWS, "i.m"},
    {"SELECT k " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT k FROM sales.item i JOIN shop.place p USING (k)", NAMES_IN_ROWS, "merged"},
    {"SELECT i.k FROM sales.item i JOIN shop.place p USING (k)", NAMES_IN_ROWS, "i.k"},
    {"SELECT sales.item.m FROM sales.item, shop.place p", NAMES_IN_ROWS, "item.m"},
    {"SELECT sales.item.m " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT item.m FROM sales.item, shop.place p", NAMES_IN_ROWS, "item.m"},
    {"SELECT item.m " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT nothing " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT i.nothing " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT i " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT st.a " JOIN, NAMES_IN_ROWS, "unknown"},
    {"SELECT p.st " JOIN, NAMES_IN_ROWS, "p.st"},
    {"SELECT i.m FROM sales.item i(a, m) JOIN shop.place p ON true", NAMES_IN_ROWS, "i.?"},
    {"SELECT m FROM sales.item i(a, m) JOIN shop.place p ON true", NAMES_IN_ROWS, "unknown"},
    {"SELECT d.q FROM sales.item i JOIN (SELECT g AS q FROM shop.place) d ON true", NAMES_IN_ROWS,
     "d.?"},
    {"SELECT q FROM sales.item i JOIN (SELECT g AS q FROM shop.place) d ON true", NAMES_IN_ROWS,
     "d.?"},
    {"SELECT m FROM sales.item i JOIN (SELECT * FROM shop.place) d ON true", NAMES_IN_ROWS,
     "unknown"},
    {"SELECT m FROM sales.item i JOIN (SELECT g AS m FROM shop.place) d ON true", NAMES_IN_ROWS,
     "unknown"},
    {"SELECT i.m FROM sales.item i JOIN shop.place i ON true", NAMES_IN_ROWS, "unknown"},
    {"SELECT n, 1 AS n " JOIN, NAMES_IN_ROWS, "alias"},
    {"SELECT m, 1 AS m " JOIN, NAMES_IN_ROWS, "i.m"},
    {"SELECT m, 1 AS m " JOIN, NAMES_IN_GROUPS, "unknown"},
    {"SELECT m, 1 AS m " JOIN, NAMES_IN_ORDER, "alias"},
    {"SELECT x, i.m " JOIN, NAMES_IN_ORDER, "alias"},
    {"SELECT i, 1 AS i " JOIN, NAMES_IN_ROWS, "unknown"},
};

static void print_found(const struct fixture *f, const struct names_found *found, char out[200])
{
    static const char *const kinds[] = {
        [NAMES_UNKNOWN] = "unknown", [NAMES_ALIAS] = "alias", [NAMES_MERGED] = "merged"};
    const struct fm_field *field =
        found->kind == NAMES_COLUMN ? names_field(&f->names, found) : NULL;

    if (found->kind != NAMES_COLUMN)
        (void)snprintf(out, 200, "%s", kinds[found->kind]);
    else
        (void)snprintf(out, 200, "%.60s.%s", f->names.leaves[found->leaf].alias,
                       field != NULL ? field->name : "?");
}

static void names_are_found(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        json_t *node = read_statement(f, c->sql);
        char text[200];
        assert_true(names_read(&f->names, &f->tree, f->tables, node));
        struct names_found found = names_find(&f->names, first_item(node), c->clause);
        print_found(f, &found, text);
        if (strcmp(text, c->expected) != 0)
            fail_msg("%s: wanted %s, is %s", c->sql, c->expected, text);
    }
}

/* Which parts of a statement may look at the first table. */
static void reaching_is_seen(void **state)
{
    static const struct {
        const char *subquery;
        bool reaches;
    } list[] = {
        {"SELECT 1", false},
        {"SELECT g FROM shop.place", false},
        {"SELECT g FROM shop.place q WHERE q.k = 'x'", false},
        {"SELECT g FROM shop.place q WHERE q.k = p.k", false},
        {"SELECT g FROM shop.place q WHERE q.k = i.k", true},
        {"SELECT g FROM shop.place q WHERE q.k = I.K", true},
        {"SELECT k FROM shop.place", false},
        {"SELECT m FROM shop.place", true},
        {"SELECT max(m) FROM sales.item", false},
        {"SELECT 1 FROM shop.place i WHERE i.k = 'x'", false},
        {"SELECT g FROM shop.place WHERE g IN (SELECT label FROM shop.kind WHERE day > m)", true},
        {"SELECT m FROM (SELECT * FROM sales.item) z", true}, /* Doubt. */
        {"SELECT * FROM shop.place", false},
        {"SELECT count(*) FROM range(m)", true},
    };
    struct fixture *f = *state;
    char sql[400];

    for (size_t i = 0; i < COUNT(list); i++) {
        (void)snprintf(sql, sizeof sql, "SELECT (%s) AS s " JOIN, list[i].subquery);
        json_t *node = read_statement(f, sql);
        assert_true(names_read(&f->names, &f->tree, f->tables, node));
        json_t *subquery = json_object_get(first_item(node), "subquery");
        assert_non_null(subquery);
        if (names_may_reach(&f->names, 0, subquery) != list[i].reaches)
            fail_msg("%s", list[i].subquery);
    }
}

/* ---- Total expressions ---- */

static void total_expressions_have_shapes(void **state)
{
    static const struct {
        const char *expression;
        enum total_shape shape;
    } list[] = {
        {"m", TOTAL_INTEGER},
        {"x", TOTAL_REAL},
        {"k", TOTAL_TEXT},
        {"p.k", TOTAL_NOT},
        {"m + 1", TOTAL_NOT},
        {"x + 1", TOTAL_REAL},
        {"x * x - m", TOTAL_REAL},
        {"x / x", TOTAL_NOT},
        {"m > 1 AND k = 'a'", TOTAL_BOOLEAN},
        {"m > 1 AND k", TOTAL_NOT},
        {"k > 1", TOTAL_NOT},
        {"m > '1'", TOTAL_NOT},
        {"m BETWEEN 1 AND 2.5", TOTAL_BOOLEAN},
        {"m IN (1, 2, NULL)", TOTAL_BOOLEAN},
        {"m IN (1, 'x')", TOTAL_NOT},
        {"m IS NULL OR NOT (x < 1)", TOTAL_BOOLEAN},
        {"CASE WHEN m > 1 THEN 1 ELSE 0 END", TOTAL_INTEGER},
        {"CASE WHEN m > 1 THEN m END", TOTAL_INTEGER},
        {"CASE WHEN m > 1 THEN 'a' ELSE 0 END", TOTAL_NOT},
        {"coalesce(k, 'none')", TOTAL_TEXT},
        {"lower(k) || 'x'", TOTAL_TEXT},
        {"length(k)", TOTAL_INTEGER},
        {"lower(m)", TOTAL_NOT},
        {"k LIKE 'a%'", TOTAL_BOOLEAN},
        {"CAST(m AS DOUBLE)", TOTAL_REAL},
        {"CAST(k AS INTEGER)", TOTAL_NOT},
        {"CAST('2001-01-01' AS DATE)", TOTAL_DATE},
        {"random()", TOTAL_NOT},
        {"(SELECT 1)", TOTAL_NOT},
        {"sum(m)", TOTAL_NOT},
    };
    struct fixture *f = *state;
    char sql[200];

    for (size_t i = 0; i < COUNT(list); i++) {
        (void)snprintf(sql, sizeof sql, "SELECT %s FROM sales.item JOIN shop.place p ON true",
                       list[i].expression);
        json_t *node = read_statement(f, sql);
        assert_true(names_read(&f->names, &f->tree, f->tables, node));
        /* `k` alone would be of two tables. */
        f->names.leaf_count = strncmp(list[i].expression, "p.", 2) == 0 ? 2 : 1;
        enum total_shape shape = total_shape(&f->names, 1, first_item(node));
        if (shape != list[i].shape)
            fail_msg("%s: %d", list[i].expression, shape);
    }
    assert_false(total_is_key(TOTAL_REAL));
    assert_false(total_is_key(TOTAL_OPAQUE));
    assert_true(total_is_key(TOTAL_TEXT));
}

/* ---- The rewriting ---- */

static enum fm_status name_of(void *context, const json_t *expression, struct fm_buf *out)
{
    (void)context;
    (void)expression;
    fm_buf_put_str(out, "its name");
    return FM_OK;
}

struct rewriting {
    const char *sql;
    const char *expected; /* NULL: as it was. */
};

static const struct rewriting rewritings[] = {
    {"SELECT p.g, count(*) AS n, avg(i.m) AS d " JOIN " GROUP BY p.g ORDER BY p.g",
     "SELECT p.g, CAST(COALESCE(sum(i.fm_p0), 0) AS BIGINT) AS n, (CAST(sum(i.fm_p2) AS DOUBLE) / "
     "CAST(sum(i.fm_p1) AS DOUBLE)) AS d FROM (SELECT i.k AS k, count_star() AS fm_p0, count(i.m) "
     "AS fm_p1, sum(i.m) AS fm_p2 FROM sales.item AS i GROUP BY i.k) AS i INNER JOIN shop.place AS "
     "p ON ((i.k = p.k)) GROUP BY p.g ORDER BY p.g"},
    {"SELECT max(m), min(p.g) " JOIN " AND m > 1 WHERE x < 2 AND i.m > p.st.a",
     NULL}, /* p.st.a: is it of a table p, or of a schema p? */
    {"SELECT max(m), min(p.g) " JOIN " AND m > 1 WHERE x < 2 AND p.g > i.k",
     "SELECT max(i.fm_p0) AS \"its name\", min(p.g) FROM (SELECT i.k AS k, max(i.m) AS fm_p0 FROM "
     "sales.item AS i WHERE ((i.m > 1) AND (i.x < 2)) GROUP BY i.k) AS i INNER JOIN shop.place AS "
     "p ON ((i.k = p.k)) WHERE (p.g > i.k)"},
    {"SELECT count(*) AS n FROM sales.item, shop.place",
     "SELECT CAST(COALESCE(sum(item.fm_p0), 0) AS BIGINT) AS n FROM (SELECT count_star() AS fm_p0 "
     "FROM sales.item HAVING (count_star() > 0)) AS item , shop.place"},
    {"SELECT sum(i.m) " JOIN " GROUP BY i.x", NULL},
    {"SELECT g, label FROM shop.place JOIN shop.kind USING (g)", NULL},
};

static void statements_are_rewritten(void **state)
{
    struct fixture *f = *state;
    struct aggregate_options options = {.name_of = name_of};
    struct aggregate_made made[FM_QUERY_TABLES_MAX];

    for (size_t i = 0; i < COUNT(rewritings); i++) {
        const struct rewriting *r = &rewritings[i];
        struct fm_buf json = FM_BUF_INIT(0);
        uint32_t count = 0;
        (void)read_statement(f, r->sql);
        json_t *before = json_deep_copy(f->tree.root);
        assert_int_equal(aggregate_push(&f->tree, f->tables, &options, made, &count), FM_OK);
        assert_int_equal(count, r->expected != NULL ? 1 : 0);
        if (r->expected == NULL && !tree_same(before, f->tree.root))
            fail_msg("changed: %s", r->sql);
        assert_int_equal(tree_json_print(f->tree.root, &json), FM_OK);
        fm_buf_put_u8(&json, 0);
        char *sql = call(f, "json_deserialize_sql", (const char *)json.data);
        if (r->expected != NULL && strcmp(sql, r->expected) != 0)
            fail_msg("%s\nwanted %s\nis     %s", r->sql, r->expected, sql);
        for (uint32_t m = 0; m < count; m++) {
            assert_true(tree_json_is(made[m].node, "type", "SELECT_NODE"));
            assert_ptr_equal(f->tree.tables[0].node, json_object_get(made[m].node, "from_table"));
            assert_true(made[m].rows > 0 && made[m].rows <= 1000);
        }
        duckdb_free(sql);
        json_decref(before);
        fm_buf_free(&json);
    }
}

static void figures_decide(void **state)
{
    struct fixture *f = *state;
    struct aggregate_options options = {.name_of = name_of};
    struct aggregate_made made[FM_QUERY_TABLES_MAX];
    struct fm_column_figures figures[] = {{.field_id = 1}, {.field_id = 2, .distinct = 99}};
    struct fm_statistics statistics = {.column_count = 2, .columns = figures};
    uint32_t count = 0;

    for (unsigned few = 0; few < 2; few++) {
        figures[0].distinct = few != 0 ? 200 : 300000;
        (void)read_statement(f, "SELECT p.g, count(*) AS n " JOIN " GROUP BY p.g");
        f->tables[0].statistics = &statistics;
        assert_int_equal(aggregate_push(&f->tree, f->tables, &options, made, &count), FM_OK);
        assert_int_equal(count, few);
    }
    assert_int_equal(made[0].rows, 201);
    (void)read_statement(f, "SELECT p.g, i.m, count(*) AS n " JOIN " GROUP BY ALL");
    f->tables[0].statistics = &statistics;
    assert_int_equal(aggregate_push(&f->tree, f->tables, &options, made, &count), FM_OK);
    assert_int_equal(count, 1);
    assert_int_equal(made[0].rows, 2010); /* 201 times the root of 100. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(reaching_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(total_expressions_have_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_are_rewritten, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_decide, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
