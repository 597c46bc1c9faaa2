/* Random statements over random tables of three owners, asked at each of four nodes (one owns
 * nothing), say what one DuckDB with all the tables says: the same rows, names and types of
 * columns, or both refuse. Each is asked twice, with all rules of the planner and without some of
 * them. Some hundreds; with FM_LONG=1 tens of thousands.
 *
 * FM_SEED replays a run, FM_WORLD and FM_QUERY beside it one statement of it, FM_QUERIES sets how
 * many are asked. A statement that fails is made smaller before it is shown, unless FM_NO_REDUCE is
 * set. FM_SQL asks a statement of one's own in the world FM_WORLD, FM_SHOW shows all. */
#include "include/folkmoot.h"
#include "query/plan.h"
#include "tests/support/live_mesh.h"
#include "tests/support/oracle.h"
#include "tests/support/random_query.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NODES 4u
#define WORLDS 2u
#define WORLDS_LONG 12u
#define QUERIES 180u
#define QUERIES_LONG 30000u
#define ROWS_MAX 3000u
#define REDUCTIONS 400u
#define FAILURES_MAX 20u

struct fixture {
    struct live_mesh *mesh;
    struct folkmoot *nodes[NODES];
    struct folkmoot *teams[WORLD_DOMAINS];
    struct oracle *oracle;
    uint64_t seed;
    uint32_t number; /* Of the world. */
    struct world world;
    struct folkmoot *asked; /* The node of the statement at hand, */
    char without[128];      /* and the rules that its second run leaves out. */
    uint32_t counts[ANSWER_BROKEN + 1];
    uint32_t one_sided; /* Failed over rows that the other did not look at. */
    uint32_t failures;
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- The mesh ---- */

static struct folkmoot *open_node(const struct live_mesh *mesh, const struct live_node *node,
                                  const char *principal)
{
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot *handle = NULL;
    struct folkmoot_options options = {.node = node->address,
                                       .identity = live_path(mesh, principal, path)};

    if (folkmoot_open(&options, &handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
    return handle;
}

static void make_mesh(struct fixture *f)
{
    char role[64], team[64];

    f->mesh = live_mesh_new();
    for (uint32_t i = 0; i < NODES; i++) {
        struct live_node *node =
            live_make_node(f->mesh, i < WORLD_DOMAINS ? world_domains[i] : "nobody");
        live_start(f->mesh, node);
    }
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++) {
        (void)snprintf(role, sizeof role, "owner:%s", world_domains[i]);
        (void)snprintf(team, sizeof team, "%s-team", world_domains[i]);
        live_make_principal(f->mesh, team, (const char *const[]){"reader", role, NULL});
        f->teams[i] = open_node(f->mesh, &f->mesh->nodes[i], team);
    }
    for (uint32_t i = 0; i < NODES; i++)
        f->nodes[i] = open_node(f->mesh, &f->mesh->nodes[i], "reader");
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->seed = setting("FM_SEED", 20011);
    f->oracle = oracle_new();
    make_mesh(f);
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "CREATE SCHEMA %s", world_domains[i]);
        oracle_do(f->oracle, sql);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < NODES; i++)
        folkmoot_close(f->nodes[i]);
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++)
        folkmoot_close(f->teams[i]);
    oracle_free(f->oracle);
    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

/* ---- A world ---- */

static void send_rows(void *context, struct fm_span batch)
{
    struct folkmoot_append *append = context;

    assert_int_equal(folkmoot_append_batch(append, batch.data, batch.len), FOLKMOOT_OK);
}

static void append_facts(struct fixture *f, const struct world_table *table, uint32_t number)
{
    struct folkmoot *team = f->teams[table->domain];
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
    struct folkmoot_append *append = NULL;
    struct folkmoot_ack ack;
    char name[96];

    fm_buf_printf(&sql,
                  "SELECT * EXCLUDE (_seq, _op, _supersedes)%s FROM hist.%s_%s WHERE _seq >= "
                  "%u AND _seq < %u ORDER BY _seq",
                  table->has_operations[number] ? ", _op, _supersedes" : "",
                  world_domains[table->domain], table->name,
                  number > 0 ? table->sizes[number - 1] : 0, table->sizes[number]);
    fm_buf_put_u8(&sql, 0);
    (void)snprintf(name, sizeof name, "%s.%s", world_domains[table->domain], table->name);
    if (folkmoot_append_begin(team, name, NULL, &append) != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(team));
    oracle_batches(f->oracle, (const char *)sql.data, send_rows, append);
    if (folkmoot_append_commit(append, &ack) != FOLKMOOT_OK)
        fail_msg("append to %s: %s", name, folkmoot_error(team));
    folkmoot_append_free(append);
}

/* Every node must have what was appended last. */
static void await_tables(struct fixture *f)
{
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        const struct world_table *table = &f->world.tables[t];
        uint32_t size = table->append_count > 0 ? table->sizes[table->append_count - 1] : 0;
        char sql[128], expected[32];
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s.\"%s$facts\"",
                       world_domains[table->domain], table->name);
        (void)snprintf(expected, sizeof expected, "%u", size);
        for (uint32_t i = 0; i < NODES; i++) {
            fm_ms end = fm_now_ms() + 20000;
            bool there = false;
            while (!there) {
                struct answer answer;
                mesh_ask(f->nodes[i], sql, NULL, 1, &answer);
                there = answer.rows == 1 && strcmp(answer.cells[0], expected) == 0;
                if (!there && fm_now_ms() > end)
                    fail_msg("node %u has no %s of %s rows: %s", i, sql, expected, answer.error);
                answer_deinit(&answer);
            }
        }
    }
}

static void publish(struct fixture *f, uint32_t domain)
{
    FM_AUTO(fm_buf_free) struct fm_buf contract = FM_BUF_INIT(0);
    char path[LIVE_PATH_MAX], team[64];

    world_contract(&f->world, domain, &contract);
    (void)snprintf(team, sizeof team, "%s-team", world_domains[domain]);
    live_path(f->mesh, "contract.yaml", path);
    assert_int_equal(fm_file_write(path, fm_buf_span(&contract), 0600, NULL), FM_OK);
    free(live_output(f->mesh, team, &f->mesh->nodes[domain],
                     (const char *const[]){"product", "apply", path, NULL}));
}

static void load_world(struct fixture *f, uint32_t number)
{
    f->number = number;
    world_make(&f->world, f->seed, number);
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++)
        publish(f, i);
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
        world_sql(&f->world, f->seed, t, &sql);
        fm_buf_put_u8(&sql, 0);
        oracle_do(f->oracle, (const char *)sql.data);
        for (uint32_t a = 0; a < f->world.tables[t].append_count; a++)
            append_facts(f, &f->world.tables[t], a);
    }
    await_tables(f);
}

/* ---- A statement ---- */

/* Both fail, or both have the same rows. What fails over a row may do so in a row that the other
 * way of running it never computes, so that alone is only counted. */
static bool agree(struct fixture *f, struct answer *expected, struct answer *is, bool ordered,
                  char why[256])
{
    if (is->kind == ANSWER_BROKEN || expected->kind == ANSWER_BROKEN) {
        (void)snprintf(why, 256, "%s failed", is->kind == ANSWER_BROKEN ? "the mesh" : "DuckDB");
        return expected->kind == ANSWER_BROKEN; /* Its own bug. */
    }
    if (expected->kind != is->kind) {
        (void)snprintf(why, 256, "one refuses, the other does not");
        if (expected->kind != ANSWER_FAILED && is->kind != ANSWER_FAILED)
            return false;
        f->one_sided++;
        return true;
    }
    return expected->kind != ANSWER_ROWS || answer_equal(expected, is, ordered, why);
}

static bool holds_without(struct fixture *f, const struct random_query *query,
                          struct answer *expected, const char *without, struct fm_buf *report)
{
    struct answer is;
    char why[256] = "";

    mesh_ask(f->asked, (const char *)query->mesh.data, without, ROWS_MAX, &is);
    bool same = agree(f, expected, &is, query->is_ordered, why);
    if (!same && report != NULL) {
        fm_buf_printf(report, "rules left out: %s; %s\nDuckDB:\n",
                      without == NULL ? "none" : without, why);
        answer_print(expected, 20, report);
        fm_buf_printf(report, "mesh:\n");
        answer_print(&is, 20, report);
    }
    answer_deinit(&is);
    return same;
}

static bool holds(struct fixture *f, const struct random_query *query, struct fm_buf *report)
{
    struct answer expected;
    bool same = true;

    oracle_ask(f->oracle, (const char *)query->oracle.data, ROWS_MAX, &expected);
    f->counts[expected.kind]++;
    if (expected.kind != ANSWER_LONG && expected.kind != ANSWER_UNABLE &&
        expected.kind != ANSWER_BROKEN)
        same = holds_without(f, query, &expected, NULL, report) &&
               (f->without[0] == '\0' || holds_without(f, query, &expected, f->without, report));
    answer_deinit(&expected);
    return same;
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
                  f->seed, f->number, number);
    show_tables(f, &query, &report);
    fm_buf_printf(&report, "%s\n", (const char *)query.mesh.data);
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

static void ask_one(struct fixture *f, struct choices *choices, uint32_t number)
{
    struct random_query query;

    choices_begin(choices, f->seed * 1000003 + f->number * 100000007ull + number);
    f->asked = f->nodes[number % NODES];
    choose_rules(f, choices);
    choices_begin(choices, choices->random.state);
    random_query_make(choices, &f->world, &query);
    if (getenv("FM_SHOW") != NULL)
        (void)fprintf(stderr, "%u: %s\n", number, (const char *)query.mesh.data);
    bool same = holds(f, &query, NULL);
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
    f->asked = f->nodes[NODES - 1];
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
        load_world(f, w);
        if (getenv("FM_SQL") != NULL)
            ask_text(f, getenv("FM_SQL"));
        else
            ask_many(f, queries);
    }
    print_message("%u answers, %u refused, %u failed over rows, %u too long; %u failed on one "
                  "side\n",
                  f->counts[ANSWER_ROWS], f->counts[ANSWER_REFUSED], f->counts[ANSWER_FAILED],
                  f->counts[ANSWER_LONG], f->one_sided);
    assert_int_equal(f->failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_those_of_one_database, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
