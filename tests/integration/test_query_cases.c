/* Statements by hand over tables of three owners, of the forms that a planner gets wrong: the same
 * table twice, names that collide after rewriting, columns called like slots, windows, recursion,
 * AT on each table by itself, no rows, as many tables as there may be. The answer is that of one
 * DuckDB, with all rules of the planner and without any. */
#include "query/plan.h"
#include "tests/support/mesh_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* Tables of world_make_types(): k, c0 (int32), c1 (int64), c2 (varchar), c12 (double), c17 (date)
 * and the others; the first two of few rows, the third of many. */
#define A "alpha.w0_t0"
#define B "beta.w0_t3"
#define G "gamma.w0_t6"
#define EMPTY "beta.w0_t4"

static const char *const statements[] = {
    /* The same table again. */
    "SELECT x.k, y.k FROM " B " x, " B " y WHERE x.c0 = y.c0 AND x.k < y.k",
    "SELECT x.k, y.k, a.k FROM " B " x JOIN " B " y ON x.k = y.c0 JOIN " A " a ON a.k = x.k",
    "SELECT count(*) FROM " B " x JOIN " B " y USING (k) JOIN " A " USING (k)",
    "SELECT k FROM " B " WHERE k IN (SELECT c0 FROM " B " WHERE c1 IN (SELECT k FROM " A "))",
    "SELECT sum(n) FROM (SELECT count(*) n FROM " A " UNION ALL SELECT count(*) FROM " A
    " UNION ALL SELECT count(*) FROM " B ") q",
    /* Correlated. */
    "SELECT k, (SELECT count(*) FROM " B " b WHERE b.c0 = a.c0) AS n FROM " A " a",
    "SELECT k, (SELECT sum(b.c0) FROM " B " b WHERE b.c1 > a.c1) FROM " A " a",
    "SELECT k FROM " A " a WHERE NOT EXISTS (SELECT 1 FROM " B
    " b WHERE b.c0 = a.c0 AND b.k <> a.k)",
    "SELECT k FROM " A " a WHERE c0 > ALL (SELECT b.c0 FROM " B " b WHERE b.k = a.k)",
    "SELECT k FROM " A " a WHERE c0 NOT IN (SELECT b.c0 FROM " B " b WHERE b.c2 = a.c2)",
    "SELECT k, (SELECT (SELECT max(g.k) FROM " G " g WHERE g.k < b.k AND g.c0 = a.c0) FROM " B
    " b WHERE b.k = a.k) FROM " A " a",
    "SELECT a.k, q.n FROM " A " a, LATERAL (SELECT count(*) AS n FROM " B " b WHERE b.c2 = a.c2) q",
    "SELECT a.k, q.* FROM " A " a LEFT JOIN LATERAL (SELECT b.k AS bk, b.c2 FROM " B
    " b WHERE b.k > a.k ORDER BY b.k LIMIT 2) q ON true",
    /* Windows. */
    "SELECT a.k, row_number() OVER (ORDER BY a.k), lag(a.k) OVER (ORDER BY a.k) FROM " A
    " a JOIN " B " b USING (k)",
    "SELECT k, sum(c0) OVER (PARTITION BY c2 ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
    "FROM (SELECT k, c0, c2 FROM " A " UNION ALL SELECT k + 100, c0, c2 FROM " B ") q",
    "SELECT k, rank() OVER w FROM " A " WINDOW w AS (PARTITION BY c0 ORDER BY c1, k) QUALIFY "
    "rank() OVER w < 3",
    "SELECT * FROM (SELECT k, first_value(k) OVER (PARTITION BY c0 ORDER BY k) f FROM " B
    ") q JOIN " A " USING (k)",
    /* Recursive and other CTEs. */
    "WITH RECURSIVE r(n) AS (SELECT min(k) FROM " A " UNION ALL SELECT n + 1 FROM r JOIN " B
    " b ON b.k = r.n + 1) SELECT * FROM r",
    "WITH RECURSIVE r AS (SELECT k, c0 FROM " A " WHERE k = 1 UNION SELECT b.k, b.c0 FROM r JOIN " B
    " b ON b.k = r.c0) SELECT * FROM r",
    "WITH r AS (SELECT k FROM " A "), s AS (SELECT k FROM r JOIN " B " USING (k)) SELECT s.k, r.k "
    "FROM s FULL JOIN r USING (k)",
    "WITH w0_t0 AS (SELECT 42 AS k) SELECT x.k, y.k FROM w0_t0 x, " A " y WHERE y.k < 3",
    "WITH fm_part AS (SELECT k FROM " A
    ") SELECT fm_part.k FROM fm_part JOIN (SELECT k, count(*) c "
    "FROM " B " GROUP BY k) q USING (k)",
    "WITH a AS (SELECT k FROM " A
    " GROUP BY k) SELECT (WITH a AS (SELECT 7 AS k) SELECT k FROM a), "
    "k FROM a WHERE EXISTS (SELECT 1 FROM " B " b WHERE b.k = a.k)",
    /* Names. */
    "SELECT fm_scan.k FROM " A " AS fm_scan JOIN " B " AS \"fm_scan(0)\" USING (k)",
    "SELECT \"fm_part\".k, \"FM_PART 2\".c2 FROM " A
    " \"fm_part\" JOIN (SELECT k, max(c2) c2 FROM " B " GROUP BY k) \"FM_PART 2\" USING (k)",
    "SELECT c0.c1, c1.c0 FROM " A " AS c0 JOIN " B " AS c1 ON c0.c0 = c1.c1",
    "SELECT q.c0, q.c1 FROM (SELECT c1 AS c0, c0 AS c1 FROM " A " GROUP BY c0, c1) q JOIN " B
    " b ON b.k = q.c0",
    "SELECT \"a\"\"b\".\"x y\" FROM (SELECT k AS \"x y\", count(*) FROM " A
    " GROUP BY k) \"a\"\"b\" "
    "JOIN " B " ON k = \"x y\"",
    "SELECT a.k, a.k, b.k, a.k + 1, count(*) FROM " A " a JOIN " B " b USING (k) GROUP BY a.k, b.k",
    "SELECT k, c0, sum(c1), count(*), max(c2) FILTER (WHERE c0 > 1), k + c0 FROM " A
    " GROUP BY k, c0",
    "SELECT * FROM " A " a JOIN " B " b USING (k)",
    "SELECT a.*, b.k FROM " A " a NATURAL JOIN " B " b",
    "SELECT * EXCLUDE (c0) REPLACE (k * 2 AS k) FROM (SELECT k, c0, c1 FROM " A
    ") x JOIN (SELECT k, "
    "c2 FROM " B ") y USING (k)",
    "SELECT COLUMNS('c[01]$') FROM " A " JOIN (SELECT k FROM " B ") q USING (k)",
    "SELECT q.x, q.x_1 FROM (SELECT a.k AS x, b.k AS x FROM " A " a, " B " b WHERE a.k = b.k) q(x, "
    "x_1)",
    "SELECT alpha.w0_t0.k, beta.w0_t3.k FROM alpha.w0_t0 JOIN beta.w0_t3 ON alpha.w0_t0.k = "
    "w0_t3.k",
    "SELECT (SELECT 1), (SELECT k FROM " A " WHERE k = 2), EXISTS (SELECT 1 FROM " B ")",
    /* USING and joins side by side. */
    "SELECT k FROM " A " FULL JOIN " B " USING (k) FULL JOIN (SELECT k FROM " G " WHERE k < 9) g "
    "USING (k)",
    "SELECT k, x.k, y.k FROM " A " x LEFT JOIN " B " y USING (k) WHERE y.k IS NULL",
    "SELECT x.k FROM " A " x SEMI JOIN " B " y USING (k, c0)",
    "SELECT x.k FROM " A " x ANTI JOIN " G " y ON x.c0 = y.c0 AND y.k > 10",
    "SELECT x.k, y.k FROM " A " x CROSS JOIN " B " y FULL JOIN " EMPTY " z ON x.k = z.k",
    "SELECT x.k, y.k FROM " A " x ASOF JOIN " B " y ON x.c0 >= y.k",
    "SELECT x.k FROM " A " x POSITIONAL JOIN (SELECT 1) y WHERE false",
    /* Order, limits, nothing. */
    "SELECT k AS a, c0 AS b FROM " A " ORDER BY 2 DESC, 1 LIMIT 4",
    "SELECT a.k AS z, b.c2 FROM " A " a JOIN " B " b USING (k) ORDER BY z DESC LIMIT 3 OFFSET 1",
    "SELECT k FROM " A " LIMIT 0",
    "SELECT a.k FROM " A " a JOIN " B " b USING (k) LIMIT 0",
    "SELECT * FROM " EMPTY " x FULL JOIN (SELECT k FROM " EMPTY ") y USING (k)",
    "SELECT count(*), sum(k), max(c2), avg(c0), list(k) FROM " EMPTY,
    "SELECT count(*), sum(x.k), count(y.k) FROM " EMPTY " x RIGHT JOIN " A " y USING (k)",
    "SELECT c2, count(*) FROM " EMPTY " JOIN " A " USING (c2) GROUP BY c2",
    "SELECT k FROM " A " WHERE k > 5 AND k < 3 UNION ALL SELECT k FROM " B " WHERE false",
    "SELECT k FROM (SELECT k FROM " A " ORDER BY k LIMIT 3) x UNION ALL (SELECT k FROM " B
    " ORDER BY k DESC LIMIT 2)",
    "SELECT count(*) FROM (SELECT 1 FROM " A " LIMIT 7) x, (SELECT 1 FROM " B " LIMIT 3) y",
    /* Aggregates over joins. */
    "SELECT a.c2, count(*), sum(g.c0), avg(g.c0), min(g.c17), max(g.c1) FROM " G " g JOIN " A
    " a ON g.k = a.k GROUP BY a.c2",
    "SELECT a.c2, count(g.c0), count(DISTINCT g.c0), sum(g.c12) FROM " G " g JOIN " A
    " a ON g.c0 = a.k GROUP BY a.c2",
    "SELECT a.c2, b.c2, count(*) FROM " G " g JOIN " A " a ON g.c0 = a.k JOIN " B
    " b ON g.c1 = b.k GROUP BY a.c2, b.c2 HAVING count(*) > 1",
    "SELECT a.c2, sum(g.c0 + a.c0), sum(a.c0) FROM " G " g LEFT JOIN " A
    " a ON g.c0 = a.k GROUP BY "
    "ROLLUP (a.c2)",
    "SELECT sum(g.c0), count(*) FROM " G " g JOIN " EMPTY " e ON g.k = e.k",
    "SELECT g.c2, count(*) FILTER (WHERE a.k IS NULL) FROM " G " g LEFT JOIN " A
    " a ON g.k = a.k GROUP BY 1",
    "SELECT max(g.k) FROM " G " g WHERE g.c0 IN (SELECT a.c0 FROM " A " a WHERE a.k < 5)",
    "SELECT g.k, g.c2 FROM " G " g JOIN " A " a ON g.k = a.k WHERE a.c2 = 'a' AND g.c0 > 1",
    "SELECT g.k FROM " G " g JOIN " A " a ON g.c2 = a.c2 WHERE a.k = 1 AND g.k < 4",
    /* Arithmetic that fails at every place. */
    "SELECT sum(x.c0 * 2147483647 * 2147483647 * y.k) FROM " A " x JOIN " B " y USING (k)",
    "SELECT sum(n) FROM (SELECT 60000000000000000000000000000000000000::DECIMAL(38, 0) AS n FROM " A
    " LIMIT 2)",
    "SELECT CAST(c2 AS INTEGER) FROM " A " JOIN (SELECT k FROM " B ") q USING (k)",
};

/* In DuckDB the past of a table is one of its own. */
static const char *const of_the_past[][2] = {
    {"SELECT x.k, x.c0 FROM " A " x AT (VERSION => 20)",
     "SELECT x.k, x.c0 FROM alpha.\"w0_t0@20\" x"},
    {"SELECT x.k, y.k, x.c2, y.c2 FROM " A " x AT (VERSION => 20) FULL JOIN " A
     " y ON x.k = y.k AND "
     "x.c2 = y.c2",
     "SELECT x.k, y.k, x.c2, y.c2 FROM alpha.\"w0_t0@20\" x FULL JOIN " A
     " y ON x.k = y.k AND x.c2 = "
     "y.c2"},
    {"SELECT k FROM " A " AT (VERSION => 20) EXCEPT SELECT k FROM " B " AT (VERSION => 30)",
     "SELECT k FROM alpha.\"w0_t0@20\" EXCEPT SELECT k FROM beta.\"w0_t3@30\""},
    {"SELECT count(*), count(g.k) FROM " B " b AT (VERSION => 20) LEFT JOIN " G
     " g AT (VERSION => 7800) ON g.c0 = b.k AND g.k < 9",
     "SELECT count(*), count(g.k) FROM beta.\"w0_t3@20\" b LEFT JOIN gamma.\"w0_t6@7800\" g ON "
     "g.c0 = "
     "b.k AND g.k < 9"},
    {"SELECT (SELECT count(*) FROM " A " AT (VERSION => 20)) AS n, (SELECT count(*) FROM " A
     ") AS m",
     "SELECT (SELECT count(*) FROM alpha.\"w0_t0@20\") AS n, (SELECT count(*) FROM " A ") AS m"},
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct pair *pair = pair_new();

    assert_non_null(world);
    world_make_types(world, 0);
    pair_load(pair, world, 11);
    free(world);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

/* With all rules, and with none but scans. */
static bool holds(struct pair *pair, const char *mesh, const char *oracle, struct fm_buf *report)
{
    struct pair_question question = {
        .mesh = mesh, .oracle = oracle, .ordered = strstr(mesh, " LIMIT 4") != NULL};
    char without[128] = "";

    for (unsigned bit = 0; bit < 64; bit++) {
        const char *word = fm_rule_text(bit);
        size_t len = strlen(without);
        if (word != NULL && bit != FM_RULE_SCAN)
            (void)snprintf(without + len, sizeof without - len, "%s%s", len > 0 ? "," : "", word);
    }
    question.node = (uint32_t)(strlen(mesh) % PAIR_NODES);
    bool same = pair_agrees(pair, &question, report);
    question.without = without;
    return pair_agrees(pair, &question, report) && same;
}

static void statements_by_hand(void **state)
{
    struct pair *pair = *state;
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    uint32_t failures = 0;

    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        failures += !holds(pair, statements[i], statements[i], &report);
    for (size_t i = 0; i < sizeof of_the_past / sizeof of_the_past[0]; i++)
        failures += !holds(pair, of_the_past[i][0], of_the_past[i][1], &report);
    fm_buf_put_u8(&report, 0); /* cmocka cuts long texts. */
    (void)fputs((const char *)report.data, stderr);
    if (failures > 0)
        fail_msg("%u statements", failures);
    assert_int_equal(pair->counts[ANSWER_REFUSED], 0);
    assert_int_equal(pair->counts[ANSWER_UNABLE], 0);
}

/* Of a small table's keys and a big table's rows. */
static const char *const reducible[] = {
    "SELECT g.* FROM " G " g JOIN " A " a ON g.k = a.k WHERE a.c0 = 3",
    "SELECT g.* FROM " G " g WHERE g.c1 IN (SELECT a.k FROM " A " a WHERE a.c0 < 2)",
    "SELECT a.k, g.* FROM " A " a LEFT JOIN " G " g ON g.c0 = a.k WHERE a.k = 2",
    "SELECT a.c2, g.* FROM " G " g RIGHT JOIN " A " a ON g.k = a.k WHERE a.k BETWEEN 3 AND 5",
    "SELECT g.* FROM " A " a JOIN " G " g ON a.k = g.k JOIN " B " b ON b.k = a.k WHERE b.c0 = 1",
    "SELECT g.* FROM " G " g SEMI JOIN " A " a ON g.k = a.k AND a.c0 = 7",
    "SELECT g.k, g.c2 FROM " G " g ANTI JOIN " A " a ON g.k = a.k WHERE g.k < 30",
    "SELECT g.* FROM " G " g JOIN " A " a ON g.k = a.k WHERE a.k = -5",
    "SELECT g.* FROM " G " g JOIN (SELECT max(k) AS k FROM " A ") a ON g.k = a.k",
    "SELECT g.* FROM " G " g JOIN " A " a ON g.k = a.k AND g.c2 = a.c2 WHERE a.c0 IS NULL",
    "SELECT count(*), sum(g.c0), min(g.c2) FROM " G " g JOIN " A " a ON g.k = a.c1 WHERE a.k < 2",
};

static bool is_reduced(struct pair *pair, const char *statement)
{
    char sql[512];
    struct answer plan;
    bool reduced = false;

    (void)snprintf(sql, sizeof sql, "EXPLAIN %s", statement);
    mesh_ask(pair->nodes[PAIR_NOBODY], sql, NULL, 100, &plan);
    for (size_t i = 0; i < (size_t)plan.rows * plan.column_count; i++)
        reduced |= plan.cells[i] != NULL && strcmp(plan.cells[i], "reduce") == 0;
    answer_deinit(&plan);
    return reduced;
}

static void keys_reduce_the_bigger_side(void **state)
{
    struct pair *pair = *state;
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    fm_ms end = fm_now_ms() + 20000;
    uint32_t failures = 0, reduced = 0;

    /* Owners say some seconds later how much there is. */
    while (!is_reduced(pair, reducible[0]) && fm_now_ms() < end)
        (void)usleep(200000);
    for (size_t i = 0; i < sizeof reducible / sizeof reducible[0]; i++) {
        failures += !holds(pair, reducible[i], reducible[i], &report);
        reduced += is_reduced(pair, reducible[i]);
    }
    fm_buf_put_u8(&report, 0);
    (void)fputs((const char *)report.data, stderr);
    print_message("%u reduced\n", reduced);
    assert_int_equal(failures, 0);
    assert_true(reduced > 0);
}

/* As many occurrences of tables as there may be, of all owners; one more is refused. */
static void as_many_tables_as_there_may_be(void **state)
{
    struct pair *pair = *state;
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    static const char *const tables[] = {A, B, EMPTY};
    struct answer answer;

    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++)
        fm_buf_printf(&sql, "%sSELECT %u AS n, k FROM %s WHERE k < 2", i > 0 ? " UNION ALL " : "",
                      i, tables[i % 3]);
    fm_buf_put_u8(&sql, 0);
    const char *text = (const char *)sql.data;
    struct pair_question question = {.mesh = text, .oracle = text, .node = PAIR_NOBODY};
    if (!pair_agrees(pair, &question, &report)) {
        fm_buf_put_u8(&report, 0);
        (void)fputs((const char *)report.data, stderr);
        fail();
    }
    sql.len--;
    fm_buf_put_str(&sql, " UNION ALL SELECT 1, k FROM " A);
    fm_buf_put_u8(&sql, 0);
    mesh_ask(pair->nodes[PAIR_NOBODY], (const char *)sql.data, NULL, 10, &answer);
    assert_int_not_equal(answer.kind, ANSWER_ROWS);
    assert_non_null(strstr(answer.error, "tables"));
    answer_deinit(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_by_hand),
        cmocka_unit_test(keys_reduce_the_bigger_side),
        cmocka_unit_test(as_many_tables_as_there_may_be),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
