#include "tests/support/mesh_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ROWS_MAX 3000u

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

static void make_mesh(struct pair *f)
{
    char role[64], team[64];

    f->mesh = live_mesh_new();
    for (uint32_t i = 0; i < PAIR_NODES; i++) {
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
    for (uint32_t i = 0; i < PAIR_NODES; i++)
        f->nodes[i] = open_node(f->mesh, &f->mesh->nodes[i], "reader");
}

struct pair *pair_new(void)
{
    struct pair *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->oracle = oracle_new();
    make_mesh(f);
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "CREATE SCHEMA %s", world_domains[i]);
        oracle_do(f->oracle, sql);
    }
    return f;
}

void pair_free(struct pair *f)
{
    if (f == NULL)
        return;
    for (uint32_t i = 0; i < PAIR_NODES; i++)
        folkmoot_close(f->nodes[i]);
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++)
        folkmoot_close(f->teams[i]);
    oracle_free(f->oracle);
    live_mesh_free(f->mesh);
    free(f);
}

/* ---- A world ---- */

static void send_rows(void *context, struct fm_span batch)
{
    struct folkmoot_append *append = context;

    assert_int_equal(folkmoot_append_batch(append, batch.data, batch.len), FOLKMOOT_OK);
}

static void append_facts(struct pair *f, const struct world_table *table, uint32_t number)
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
static void await_tables(struct pair *f, const struct world *world)
{
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        const struct world_table *table = &world->tables[t];
        uint32_t size = table->append_count > 0 ? table->sizes[table->append_count - 1] : 0;
        char sql[128], expected[32];
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s.\"%s$facts\"",
                       world_domains[table->domain], table->name);
        (void)snprintf(expected, sizeof expected, "%u", size);
        for (uint32_t i = 0; i < PAIR_NODES; i++) {
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

static void publish(struct pair *f, const struct world *world, uint32_t domain)
{
    FM_AUTO(fm_buf_free) struct fm_buf contract = FM_BUF_INIT(0);
    char path[LIVE_PATH_MAX], team[64];

    world_contract(world, domain, &contract);
    (void)snprintf(team, sizeof team, "%s-team", world_domains[domain]);
    live_path(f->mesh, "contract.yaml", path);
    assert_int_equal(fm_file_write(path, fm_buf_span(&contract), 0600, NULL), FM_OK);
    free(live_output(f->mesh, team, &f->mesh->nodes[domain],
                     (const char *const[]){"product", "apply", path, NULL}));
}

void pair_load(struct pair *f, const struct world *world, uint64_t seed)
{
    for (uint32_t i = 0; i < WORLD_DOMAINS; i++)
        publish(f, world, i);
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
        world_sql(world, seed, t, &sql);
        fm_buf_put_u8(&sql, 0);
        oracle_do(f->oracle, (const char *)sql.data);
        for (uint32_t a = 0; a < world->tables[t].append_count; a++)
            append_facts(f, &world->tables[t], a);
    }
    await_tables(f, world);
}

/* ---- Statements ---- */

/* Both fail, or both have the same rows. What fails over a row may do so in a row that the other
 * way of running it never computes, so that alone is only counted. */
static bool agree(struct pair *f, struct answer *expected, struct answer *is, bool ordered,
                  char why[256])
{
    if (is->kind == ANSWER_BROKEN) {
        (void)snprintf(why, 256, "the mesh failed");
        return false;
    }
    if (is->kind == ANSWER_HEAVY) { /* Large products; what the engine makes of them is not ours. */
        f->counts[ANSWER_HEAVY]++;
        return true;
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

bool pair_agrees(struct pair *f, const struct pair_question *question, struct fm_buf *report)
{
    const char *without = question->without;
    struct answer expected, is;
    char why[256] = "";

    if (without != NULL && without[0] == '\0')
        without = NULL;
    oracle_ask(f->oracle, question->oracle, ROWS_MAX, &expected);
    f->counts[expected.kind]++;
    if (expected.kind == ANSWER_LONG || expected.kind == ANSWER_UNABLE ||
        expected.kind == ANSWER_HEAVY || expected.kind == ANSWER_BROKEN) {
        answer_deinit(&expected);
        return true;
    }
    mesh_ask(f->nodes[question->node], question->mesh, without, ROWS_MAX, &is);
    bool same = agree(f, &expected, &is, question->ordered, why);
    if (!same && report != NULL) {
        fm_buf_printf(report, "%s\nat node %u, rules left out: %s; %s\nDuckDB:\n", question->mesh,
                      question->node, without == NULL ? "none" : without, why);
        answer_print(&expected, 20, report);
        fm_buf_printf(report, "mesh:\n");
        answer_print(&is, 20, report);
    }
    answer_deinit(&expected);
    answer_deinit(&is);
    return same;
}
