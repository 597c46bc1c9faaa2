/* Columns without a name, and how the engine would call them. */
#include "query/tree.h"

#include <string.h>

/* Whether tree_shorten() changes the reference. */
static bool is_shortened(const struct tree *tree, const json_t *json)
{
    const json_t *names = tree_json_array(json, "column_names");
    size_t count = json_array_size(names);

    return tree_json_is(json, "class", "COLUMN_REF") &&
           (count >= 3 ||
            (count == 2 && tree_is_shared_name(tree, json_string_value(json_array_get(names, 0)))));
}

/* Something that will be written in another way. */
static bool reads_table(const struct tree *tree, const json_t *json)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (is_shortened(tree, json))
        return true;
    for (uint32_t t = 0; t < tree->table_count; t++) {
        if (tree->tables[t].node == json)
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (reads_table(tree, value))
            return true;
    }
    json_array_foreach(json, i, value)
    {
        if (reads_table(tree, value))
            return true;
    }
    return false;
}

/* Several columns, each with a name of its own. */
static bool holds_star(const json_t *json)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (tree_json_is(json, "class", "STAR"))
        return true;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (strcmp(key, "subquery") != 0 && holds_star(value))
            return true;
    }
    json_array_foreach(json, i, value)
    {
        if (holds_star(value))
            return true;
    }
    return false;
}

static enum fm_status nameless_items(const struct tree *tree, json_t *list, json_t *items)
{
    json_t *item = NULL;
    size_t i = 0;

    json_array_foreach(list, i, item)
    {
        if (tree_json_is(item, "alias", "") && !tree_json_is(item, "class", "COLUMN_REF") &&
            reads_table(tree, item) && !holds_star(item) && json_array_append(items, item) != 0)
            return FM_NOMEM;
    }
    return FM_OK;
}

static enum fm_status find_nameless(const struct tree *tree, json_t *json, json_t *items)
{
    enum fm_status status = FM_OK;
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    json_object_foreach(json, key, value)
    {
        if (status == FM_OK && strcmp(key, "select_list") == 0)
            status = nameless_items(tree, value, items);
        if (status == FM_OK)
            status = find_nameless(tree, value, items);
    }
    json_array_foreach(json, i, value)
    {
        if (status == FM_OK)
            status = find_nameless(tree, value, items);
    }
    return status;
}

enum fm_status tree_nameless(const struct tree *tree, json_t *items)
{
    return find_nameless(tree, tree->root, items);
}

json_t *tree_select_of(json_t *item)
{
    return json_pack("{s:b,s:[{s:{s:s,s:[],s:{s:[]},s:[O],s:{s:s,s:s,s:n},s:n,s:[],s:[],s:s,s:n,"
                     "s:n,s:n},s:[]}]}",
                     "error", 0, "statements", "node", "type", "SELECT_NODE", "modifiers",
                     "cte_map", "map", "select_list", item, "from_table", "type", "EMPTY", "alias",
                     "", "sample", "where_clause", "group_expressions", "group_sets",
                     "aggregate_handling", "STANDARD_HANDLING", "having", "sample", "qualify",
                     "named_param_map");
}
