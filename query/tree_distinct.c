/* SELECT DISTINCT a, b as SELECT a, b .. GROUP BY ALL: the same rows, and the engine groups by
 * columns of few values (ENUMs) in a table with a place for each, which it does not for
 * DISTINCT. */
#include "query/tree.h"

#include <strings.h>

static const char *last_name(const json_t *column_ref)
{
    const json_t *names = tree_json_array(column_ref, "column_names");
    size_t count = json_array_size(names);

    return count == 0 ? "" : json_string_value(json_array_get(names, count - 1));
}

/* What the column of the result is called. */
static const char *name_of(const json_t *item)
{
    const char *alias = tree_json_text(item, "alias");

    return alias != NULL && alias[0] != '\0' ? alias : last_name(item);
}

static bool is_column(const json_t *expression)
{
    return tree_json_is(expression, "class", "COLUMN_REF");
}

static bool are_columns(const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        if (!is_column(item))
            return false;
    }
    return json_array_size(items) != 0;
}

static bool is_result_column(const json_t *items, const json_t *expression)
{
    const json_t *item;
    size_t i;

    if (!is_column(expression) || json_array_size(tree_json_array(expression, "column_names")) != 1)
        return false;
    json_array_foreach(items, i, item)
    {
        if (strcasecmp(name_of(item), last_name(expression)) == 0)
            return true;
    }
    return false;
}

/* DISTINCT may be ordered by what it does not select: not a grouped SELECT. */
static bool allows(const json_t *items, const json_t *modifier)
{
    const json_t *order;
    size_t i;

    if (tree_json_is(modifier, "type", "LIMIT_MODIFIER"))
        return true;
    if (!tree_json_is(modifier, "type", "ORDER_MODIFIER"))
        return false;
    json_array_foreach(tree_json_array(modifier, "orders"), i, order)
    {
        if (!is_result_column(items, json_object_get(order, "expression")))
            return false;
    }
    return true;
}

static bool is_plain(const json_t *node)
{
    return tree_json_is(node, "type", "SELECT_NODE") &&
           tree_json_is(node, "aggregate_handling", "STANDARD_HANDLING") &&
           json_array_size(tree_json_array(node, "group_expressions")) == 0 &&
           json_array_size(tree_json_array(node, "group_sets")) == 0 &&
           json_is_null(json_object_get(node, "having")) &&
           json_is_null(json_object_get(node, "qualify"));
}

enum fm_status tree_group_distinct(struct tree *tree)
{
    json_t *statement = json_array_get(tree_json_array(tree->root, "statements"), 0);
    json_t *node = json_object_get(statement, "node");
    json_t *modifiers = tree_json_array(node, "modifiers");
    const json_t *items = tree_json_array(node, "select_list");
    const json_t *first = json_array_get(modifiers, 0);

    if (!is_plain(node) || !are_columns(items) ||
        !tree_json_is(first, "type", "DISTINCT_MODIFIER") ||
        json_array_size(tree_json_array(first, "distinct_on_targets")) != 0)
        return FM_OK;
    for (size_t i = 1; i < json_array_size(modifiers); i++) {
        if (!allows(items, json_array_get(modifiers, i)))
            return FM_OK;
    }
    if (json_object_set_new(node, "aggregate_handling", json_string("FORCE_AGGREGATES")) != 0 ||
        json_array_remove(modifiers, 0) != 0)
        return FM_NOMEM;
    return FM_OK;
}
