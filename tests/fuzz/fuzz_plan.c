/* Arbitrary JSON as a syntax tree and as an optimised plan: answers, never crashes. A tree that
 * passes is rewritten and printed, its unnamed parts as statements too; a plan that passes is
 * printed. The same as the plan of a saved answer, and as the tree of its merge. The first byte
 * picks. */
#include "query/plan_read.h"
#include "query/replay.h"
#include "query/tree.h"
#include "tests/support/plan_catalog.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_nameless(const struct tree *tree)
{
    json_t *items = json_array();
    struct fm_buf out = FM_BUF_INIT(0);

    if (items == NULL || tree_nameless(tree, items) != FM_OK)
        abort();
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *statement = tree_select_of(json_array_get(items, i));
        if (statement == NULL || tree_json_print(statement, &out) != FM_OK)
            abort();
        json_decref(statement);
    }
    json_decref(items);
    fm_buf_free(&out);
}

static void fuzz_tree(struct fm_span json)
{
    struct tree *tree = calloc(1, sizeof *tree);
    struct fm_error err = {0};
    struct fm_buf out = FM_BUF_INIT(0);

    if (tree == NULL)
        abort();
    if (tree_read(tree, fm_span_str("SELECT 1"), json, &err) == FM_OK) {
        print_nameless(tree);
        if (tree_shorten(tree) != FM_OK || tree_point(tree, 0) != FM_OK ||
            tree_point(tree, UINT64_MAX) != FM_OK || tree_json_print(tree->root, &out) != FM_OK)
            abort();
    } else if (err.text[0] == '\0') {
        abort(); /* A refusal without a reason. */
    }
    tree_deinit(tree);
    free(tree);
    fm_buf_free(&out);
}

static void fuzz_plan(struct fm_span json)
{
    struct fm_plan plan = {.kind = FM_PLAN_MERGE, .table_count = 2};
    struct fm_error err = {0};
    struct fm_buf out = FM_BUF_INIT(0);
    uint64_t shared = 0;

    plan.tables = calloc(2, sizeof *plan.tables);
    if (plan.tables == NULL)
        abort();
    plan.tables[0].schema = catalog_schema(catalog_find("flights", "delays"));
    plan.tables[1].schema = catalog_schema(catalog_find("demo", "types"));
    if (plan_read(&plan, json, &shared, &err) == FM_OK) {
        for (uint32_t i = 0; i < plan.table_count; i++) {
            if (plan.tables[i].field_count == 0)
                abort();
        }
        fm_plan_print(&plan, true, &out);
        if (fm_buf_status(&out) != FM_OK)
            abort();
    }
    fm_plan_deinit(&plan);
    fm_buf_free(&out);
}

/* The plan of a saved answer, and the statement in it as a tree of a merge. */
static void fuzz_replay(struct fm_span json)
{
    struct fm_replay replay = {0};
    struct fm_error err = {0};

    if (fm_replay_read(json, &replay, &err) == FM_OK) {
        for (uint32_t i = 0; i < replay.slot_count; i++)
            if (replay.slots[i].supplied_count == 0 ||
                replay.slots[i].supplied[replay.slots[i].supplied_count - 1] >=
                    replay.slots[i].columns.count)
                abort();
    } else if (err.text[0] == '\0') {
        abort();
    }
    fm_replay_deinit(&replay);
}

static void fuzz_merge(struct fm_span json)
{
    struct tree *tree = calloc(1, sizeof *tree);
    struct fm_error err = {0};

    if (tree == NULL)
        abort();
    if (tree_read_merge(tree, 2, fm_span_str("SELECT 1"), json, &err) == FM_OK
            ? tree->table_count != 0
            : err.text[0] == '\0')
        abort();
    tree_deinit(tree);
    free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct fm_span json = fm_span(data + 1, size - 1);
    static void (*const what[])(struct fm_span) = {fuzz_tree, fuzz_plan, fuzz_replay, fuzz_merge};
    what[data[0] % 4](json);
    return 0;
}
