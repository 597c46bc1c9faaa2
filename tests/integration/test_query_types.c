/* A column of each type, nested ones with NULLs, along each way that values can take through a
 * mesh: shipped, looked up, read by a scan into a merge, brought by a part that an owner ran,
 * compared and grouped across owners, sent as keys, and no rows at all. The answer is that of one
 * DuckDB. */
#include "tests/support/mesh_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define A "alpha.w0_t0"
#define B "beta.w0_t3"
#define G "gamma.w0_t6" /* Many rows. */

/* $: the column. */
static const char *const ways[] = {
    "SELECT k, $ FROM " A,
    "SELECT k, $, typeof($) FROM " A " WHERE k = 3",
    "SELECT k, $ FROM " A " WHERE k = -1",
    "SELECT k, $ FROM " G " WHERE $ IS NULL",
    "SELECT a.$, b.$ FROM " A " a JOIN " B " b USING (k)",
    "SELECT a.k, a.$, b.$ FROM " A " a FULL JOIN " B " b ON a.k = b.k AND a.k < 6",
    "SELECT a.$, g.k FROM " A " a JOIN " G " g ON a.$ = g.$ WHERE a.k < 2",
    "SELECT g.$ FROM " G " g WHERE g.$ IN (SELECT a.$ FROM " A " a WHERE a.k BETWEEN 2 AND 4)",
    "SELECT q.$, q.n, b.k FROM (SELECT $, count(*) AS n FROM " G " GROUP BY $) q, " B
    " b WHERE b.k < 3",
    "SELECT g.$, count(*), min(a.$), count(a.$) FROM " G " g JOIN " A
    " a ON g.k = a.k GROUP BY g.$",
    "SELECT $ FROM " A " INTERSECT SELECT $ FROM " G,
    "SELECT $ FROM " G " EXCEPT SELECT $ FROM " B,
    "SELECT $ FROM " A " UNION ALL SELECT $ FROM " B,
    "SELECT b.k, (SELECT max(a.$) FROM " A " a WHERE a.k <= b.k) FROM " B " b",
    "SELECT a.$, b.$ FROM (SELECT * FROM " A " WHERE k = -1) a FULL JOIN (SELECT * FROM " B
    " WHERE k = -1) b ON a.k = b.k",
    "SELECT list(a.$ ORDER BY a.k) FROM " A " a JOIN " B " b USING (k)",
    "SELECT {'v': a.$, 'l': [b.$, NULL]} FROM " A " a LEFT JOIN " B " b USING (k)",
    "SELECT CAST(a.$ AS VARCHAR) FROM " A " a JOIN " B " b USING (k)",
    "SELECT $ FROM " A " ORDER BY $ DESC, k LIMIT 5",
    "SELECT DISTINCT $ FROM alpha.w0_t1",
};
#define WAYS (sizeof ways / sizeof ways[0])

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct pair *pair = pair_new();

    assert_non_null(world);
    world_make_types(world, 0);
    pair_load(pair, world, 7);
    free(world);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

static void put_way(const char *way, uint32_t type, struct fm_buf *out)
{
    fm_buf_clear(out);
    for (const char *at = way; *at != '\0'; at++) {
        if (*at == '$')
            fm_buf_printf(out, "c%u", type);
        else
            fm_buf_put_u8(out, (uint8_t)*at);
    }
    fm_buf_put_u8(out, 0);
}

static void every_type_takes_every_way(void **state)
{
    struct pair *pair = *state;
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    uint32_t failures = 0;
    uint32_t step = getenv("FM_LONG") != NULL ? 1 : 7;

    /* Shorter runs take every seventh pair: each way and each type is among them. */
    for (uint32_t i = 0; i < WAYS * WORLD_TYPES; i += step) {
        put_way(ways[i % WAYS], i / WAYS, &sql);
        struct pair_question question = {.mesh = (const char *)sql.data,
                                         .oracle = (const char *)sql.data,
                                         .node = i % PAIR_NODES};
        if (!pair_agrees(pair, &question, &report)) {
            fm_buf_printf(&report, "-- %s\n", world_type_text(i / WAYS));
            failures++;
        }
    }
    fm_buf_put_u8(&report, 0); /* cmocka cuts long texts. */
    (void)fputs((const char *)report.data, stderr);
    if (failures > 0)
        fail_msg("%u statements", failures);
    /* Most have rows to compare. */
    assert_true(pair->counts[ANSWER_ROWS] > 8 * pair->counts[ANSWER_REFUSED]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_takes_every_way, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
