/* How many rows a statement makes, where its form bounds them: LIMIT under ORDER BY, aggregates
 * without groups, GROUP BY and DISTINCT of columns whose values the owners counted. */
#include "query/names.h"
#include "query/push.h"
#include "query/tree_build.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define UNKNOWN (-1.0)

/* Without ORDER BY the merge stops early by itself. */
static double limited(const json_t *node)
{
    const json_t *order = NULL;
    int64_t limit = 0;

    return plan_limit_of(node, &limit, &order) && order != NULL ? (double)limit : UNKNOWN;
}

static bool is_distinct(const json_t *node)
{
    const json_t *modifiers = tree_json_array(node, "modifiers");

    for (size_t i = 0; i < json_array_size(modifiers); i++)
        if (tree_json_is(json_array_get(modifiers, i), "type", "DISTINCT_MODIFIER"))
            return true;
    return false;
}

/* ---- Values of expressions ------------------------------------------------------------------- */

struct values {
    const struct names *names;
    uint64_t fields[FM_QUERY_TABLES_MAX]; /* Of each leaf: those counted, by position. */
    double product;                       /* UNKNOWN: so is a column of it. */
};

static void count_field(struct values *values, const struct names_found *found)
{
    const struct names_leaf *leaf = &values->names->leaves[found->leaf];
    const struct fm_field *field = names_field(values->names, found);
    const struct fm_column_figures *figures = NULL;

    if (field != NULL && values->names->tables[leaf->table].statistics != NULL)
        figures = fm_statistics_column(values->names->tables[leaf->table].statistics, field->id);
    if (figures == NULL || figures->distinct == 0 || found->field >= 64) {
        values->product = UNKNOWN;
        return;
    }
    if ((values->fields[found->leaf] >> found->field & 1u) != 0)
        return;
    values->fields[found->leaf] |= UINT64_C(1) << found->field;
    values->product *= (double)figures->distinct + 1; /* NULL is one more. */
}

/* An expression has at most as many values as its columns together. */
static void count_values(struct values *values, const json_t *node)
{
    const char *key = NULL;
    json_t *member = NULL;
    size_t i = 0;

    if (values->product < 0)
        return;
    if (tree_json_is(node, "class", "COLUMN_REF")) {
        struct names_found found = names_find(values->names, node, NAMES_IN_ROWS);
        if (found.kind == NAMES_COLUMN)
            count_field(values, &found);
        else
            values->product = UNKNOWN;
        return;
    }
    if (tree_json_is(node, "class", "SUBQUERY") || tree_json_is(node, "class", "STAR") ||
        tree_json_is(node, "class", "WINDOW")) {
        values->product = UNKNOWN;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)node, key, member) count_values(values, member);
    json_array_foreach(node, i, member) count_values(values, member);
}

/* A number or an alias stands for an item of the select list. */
static const json_t *group_of(const struct names *names, const json_t *group)
{
    const json_t *items = tree_json_array(names->node, "select_list");
    const json_t *value = json_object_get(group, "value");
    int64_t position = 0;

    if (tree_json_is(group, "class", "CONSTANT") &&
        tree_json_int(json_object_get(value, "value"), 1, (int64_t)json_array_size(items),
                      &position))
        return json_array_get(items, (size_t)position - 1);
    if (tree_json_is(group, "class", "COLUMN_REF") &&
        names_find(names, group, NAMES_IN_ROWS).kind == NAMES_ALIAS) {
        const json_t *parts = tree_json_array(group, "column_names");
        return names_item(names, json_string_value(json_array_get(parts, 0)));
    }
    return group;
}

static double values_of(const struct names *names, const json_t *list)
{
    struct values values = {.names = names, .product = 1};

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *group = group_of(names, json_array_get(list, i));
        if (group == NULL)
            return UNKNOWN;
        count_values(&values, group);
    }
    return values.product;
}

/* ---- The statement --------------------------------------------------------------------------- */

static double least(double a, double b)
{
    if (a < 0 || b < 0)
        return fmax(a, b);
    return fmin(a, b);
}

static double grouped(const struct names *names)
{
    const json_t *groups = tree_json_array(names->node, "group_expressions");
    json_t *items = tree_json_array(names->node, "select_list");
    bool is_standard = tree_json_is(names->node, "aggregate_handling", "STANDARD_HANDLING");
    double rows = UNKNOWN;

    if (is_standard && json_array_size(groups) > 0 &&
        json_array_size(tree_json_array(names->node, "group_sets")) == 1)
        rows = values_of(names, groups);
    else if (is_standard && json_array_size(groups) == 0 && planner_holds_aggregate(items))
        rows = 1;
    return is_distinct(names->node) ? least(rows, values_of(names, items)) : rows;
}

double push_rows(const struct tree *tree, const struct fm_plan_table *tables)
{
    json_t *statement = json_array_get(tree_json_array(tree->root, "statements"), 0);
    json_t *node = json_object_get(statement, "node");
    struct names names;
    double rows = limited(node);

    if (tree_json_is(node, "type", "SELECT_NODE") && names_read(&names, tree, tables, node))
        rows = least(rows, grouped(&names));
    return rows;
}
