/* Random statements over random tables of three owners, asked at each of four nodes (one owns
 * nothing), say what one DuckDB with all the tables says: the same rows, names and types of
 * columns, or both refuse. Each is asked twice, with all rules of the planner and without some of
 * them. Some hundreds; with FM_LONG=1 tens of thousands.
 *
 * FM_SEED replays a run, FM_WORLD and FM_QUERY beside it one statement of it, FM_QUERIES sets how
 * many are asked. A statement that fails is made smaller before it is shown, unless FM_NO_REDUCE is
 * set. FM_SQL asks a statement of one's own in the world FM_WORLD, FM_SHOW shows all. */
#include "query/plan.h"
#include "tests/support/mesh_pair.h"
#include "tests/support/random_query.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define WORLDS 2u
#define WORLDS_LONG 12u
#define QUERIES 180u
#define QUERIES_LONG 30000u
#define REDUCTIONS 400u
#define FAILURES_MAX 20u

struct fixture {
    struct pair *pair;
    uint64_t seed;
    struct world world;
    uint32_t node;     /* Where the statement at hand is asked, */
    char without[128]; /* and the rules that its second run leaves out. */
    uint32_t failures;
    uint32_t rule_uses[64]; /* Statements with a fragment of the rule, of those explained. */
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->seed = setting("FM_SEED", 20011);
    f->pair = pair_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pair_free(f->pair);
    free(f);
    return 0;
}

static bool holds(struct fixture *f, const struct random_query *query, struct fm_buf *report)
{
    struct pair_question question = {.mesh = (const char *)query->mesh.data,
                                     .oracle = (const char *)query->oracle.data,
                                     .ordered = query->is_ordered,
                                     .node = f->node};

    bool same = pair_agrees(f->pair, &question, report);
    question.without = f->without;
    return same && (f->without[0] == '\0' || pair_agrees(f->pair, &question, report));
}

static bool still_fails(void *context, struct choices *choices)
{
    struct fixture *f = context;
    struct random_query query;

    random_query_make(choices, &f->world, &query);
    bool same = holds(f, &query, NULL);
    random_query_deinit(&query);
    return !same;
}

static void show_tables(struct fixture *f, const struct random_query *query, struct fm_buf *out)
{
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        const struct world_table *table = &f->world.tables[t];
        if (strstr((const char *)query->mesh.data, table->name) == NULL)
            continue;
        fm_buf_printf(out, "%s.%s, %u facts:", world_domains[table->domain], table->name,
                      table->append_count > 0 ? table->sizes[table->append_count - 1] : 0);
        for (uint32_t i = 0; i < table->column_count; i++)
            fm_buf_printf(out, " \"%s\" %s%s,", table->columns[i].name,
                          world_type_text(table->columns[i].type),
                          table->columns[i].is_key ? " key" : "");
        fm_buf_put_str(out, "\n");
    }
}

static void report_failure(struct fixture *f, struct choices *choices, uint32_t number)
{
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    struct random_query query;

    if (getenv("FM_NO_REDUCE") == NULL)
        choices_reduce(choices, REDUCTIONS, still_fails, f);
    choices_again(choices);
    random_query_make(choices, &f->world, &query);
    fm_buf_printf(&report, "FM_SEED=%" PRIu64 " FM_WORLD=%u FM_QUERY=%u test_query_random\n",
                  f->seed, f->world.number, number);
    show_tables(f, &query, &report);
    bool same = holds(f, &query, &report);
    if (same)
        fm_buf_printf(&report, "this time both agree\n");
    fm_buf_put_u8(&report, 0);
    (void)fprintf(stderr, "---- %s", (const char *)report.data);
    random_query_deinit(&query);
    f->failures++;
}

/* All rules of the planner, or about half of them. */
static void choose_rules(struct fixture *f, struct choices *choices)
{
    bool all = chance(choices, 1, 2);
    size_t len = 0;

    f->without[0] = '\0';
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *word = fm_rule_text(bit);
        if (word == NULL || bit == FM_RULE_SCAN || (!all && chance(choices, 1, 2)))
            continue;
        len += (size_t)snprintf(f->without + len, sizeof f->without - len, "%s%s",
                                len > 0 ? "," : "", word);
        assert_true(len < sizeof f->without);
    }
}

/* Which rules the statement is planned by: what is compared must be what was made for. */
static void count_rules(struct fixture *f, const struct random_query *query)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
    struct answer plan;
    bool used[64] = {false};

    fm_buf_printf(&sql, "EXPLAIN %s", (const char *)query->mesh.data);
    fm_buf_put_u8(&sql, 0);
    mesh_ask(f->pair->nodes[f->node], (const char *)sql.data, NULL, 1000, &plan);
    for (size_t i = 0; i < (size_t)plan.rows * plan.column_count; i++) {
        for (unsigned bit = 0; bit < 64 && plan.cells[i] != NULL; bit++) {
            const char *word = fm_rule_text(bit);
            used[bit] |= word != NULL && strcmp(plan.cells[i], word) == 0;
        }
    }
    for (unsigned bit = 0; bit < 64; bit++)
        f->rule_uses[bit] += used[bit];
    answer_deinit(&plan);
}

static void ask_one(struct fixture *f, struct choices *choices, uint32_t number)
{
    struct random_query query;

    choices_begin(choices, f->seed * 1000003 + f->world.number * 100000007ull + number);
    f->node = number % PAIR_NODES;
    choose_rules(f, choices);
    choices_begin(choices, choices->random.state);
    random_query_make(choices, &f->world, &query);
    if (getenv("FM_SHOW") != NULL)
        (void)fprintf(stderr, "%u: %s\n", number, (const char *)query.mesh.data);
    bool same = holds(f, &query, NULL);
    if (number % 2 == 0)
        count_rules(f, &query);
    random_query_deinit(&query);
    if (!same)
        report_failure(f, choices, number);
}

static void ask_text(struct fixture *f, const char *sql)
{
    FM_AUTO(fm_buf_free) struct fm_buf report = FM_BUF_INIT(0);
    struct random_query query = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};

    fm_buf_put(&query.mesh, sql, strlen(sql) + 1);
    fm_buf_put(&query.oracle, sql, strlen(sql) + 1);
    f->node = PAIR_NOBODY;
    if (!holds(f, &query, &report))
        f->failures++;
    fm_buf_put_u8(&report, 0);
    (void)fprintf(stderr, "%s", (const char *)report.data);
    random_query_deinit(&query);
}

static void ask_many(struct fixture *f, uint32_t queries)
{
    uint32_t only = (uint32_t)setting("FM_QUERY", UINT32_MAX);
    struct choices *choices = calloc(1, sizeof *choices);

    assert_non_null(choices);
    for (uint32_t i = 0; i < queries && f->failures < FAILURES_MAX; i++) {
        if (only == UINT32_MAX || i == only)
            ask_one(f, choices, i);
    }
    free(choices);
}

static void answers_are_those_of_one_database(void **state)
{
    struct fixture *f = *state;
    bool is_long = getenv("FM_LONG") != NULL;
    uint32_t worlds = is_long ? WORLDS_LONG : WORLDS;
    uint32_t queries = (uint32_t)setting("FM_QUERIES", is_long ? QUERIES_LONG : QUERIES) / worlds;
    uint32_t only_world = (uint32_t)setting("FM_WORLD", UINT32_MAX);

    print_message("FM_SEED=%" PRIu64 "\n", f->seed);
    for (uint32_t w = 0; w < worlds || w == only_world; w++) {
        if (only_world != UINT32_MAX && w != only_world)
            continue;
        world_make(&f->world, f->seed, w);
        pair_load(f->pair, &f->world, f->seed);
        if (getenv("FM_SQL") != NULL)
            ask_text(f, getenv("FM_SQL"));
        else
            ask_many(f, queries);
    }
    print_message("%u answers, %u refused, %u failed over rows, %u too long, %u too heavy; %u "
                  "failed on one side\n",
                  f->pair->counts[ANSWER_ROWS], f->pair->counts[ANSWER_REFUSED],
                  f->pair->counts[ANSWER_FAILED], f->pair->counts[ANSWER_LONG],
                  f->pair->counts[ANSWER_HEAVY], f->pair->one_sided);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (fm_rule_text(bit) != NULL)
            print_message("%s %u\n", fm_rule_text(bit), f->rule_uses[bit]);
    }
    assert_int_equal(f->failures, 0);
    assert_true(f->pair->counts[ANSWER_HEAVY] <= 1 + f->pair->counts[ANSWER_ROWS] / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_those_of_one_database, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
