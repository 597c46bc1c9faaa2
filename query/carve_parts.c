/* Which parts of a statement are carved: from the outside in, the first that has one owner and for
 * which it pays. */
#include "query/carve.h"

#include <string.h>

static bool is_query(const json_t *json)
{
    static const char *const types[] = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE",
                                        "CTE_NODE"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (tree_json_is(json, "type", types[i]))
            return true;
    return false;
}

/* Functions that make one row of many. Others of the engine's are carved with their GROUP BY. */
static bool is_aggregate(const json_t *expression)
{
    static const char *const names[] = {
        "count_star", "count",   "sum",     "avg",      "min",           "max",
        "any_value",  "bool_or", "stddev",  "bool_and", "median",        "approx_count_distinct",
        "mean",       "mode",    "arg_min", "arg_max",  "quantile",      "quantile_cont",
        "product",    "bit_or",  "bit_and", "variance", "quantile_disc",
    };
    const char *name = tree_json_text(expression, "function_name");

    if (!tree_json_is(expression, "class", "FUNCTION") || name == NULL)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool planner_holds_aggregate(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json)) {
        if (is_aggregate(json))
            return true;
        if (is_query(json))
            return false;
        json_object_foreach(json, key, value) if (planner_holds_aggregate(value)) return true;
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value) if (planner_holds_aggregate(value)) return true;
    }
    return false;
}

/* DISTINCT and LIMIT leave fewer rows; ORDER BY does not. */
static bool is_bounded(const json_t *node)
{
    const json_t *modifiers = tree_json_array(node, "modifiers");
    json_t *modifier;
    size_t i;

    json_array_foreach(modifiers, i,
                       modifier) if (!tree_json_is(modifier, "type", "ORDER_MODIFIER")) return true;
    return false;
}

static bool is_bare_product(const json_t *from)
{
    return tree_json_is(from, "type", "JOIN") && tree_json_is(from, "ref_type", "CROSS");
}

/* A plain read of one table is better off as a scan: no engine at the owner, and conditions from
 * around it travel too. A product is smaller before it is made. */
static bool pays(const struct planner *planner, const json_t *node)
{
    uint64_t tables = planner_tables_under(planner, node);

    if (!tree_json_is(node, "type", "SELECT_NODE"))
        return true;
    if (json_array_size(tree_json_array(node, "group_expressions")) > 0 || is_bounded(node) ||
        planner_holds_aggregate(json_object_get(node, "select_list")))
        return true;
    if ((tables & (tables - 1)) == 0)
        return false;
    return !is_bare_product(json_object_get(node, "from_table")) ||
           !json_is_null(json_object_get(node, "where_clause"));
}

/* `depth` counts query nodes from the outside in. */
static enum fm_status carve_below(struct planner *planner, json_t *json, unsigned depth);

static enum fm_status carve_or_descend(struct planner *planner, json_t *node, unsigned depth)
{
    bool carved = false;

    if (depth > CARVE_DEPTH_MAX)
        return FM_OK;
    if (planner_is_one_owner(planner, planner_tables_under(planner, node)) && pays(planner, node)) {
        enum fm_status status = plan_carve(planner, node, FM_RULE_SUBQUERY, &carved);
        if (status != FM_OK || carved)
            return status;
    }
    return carve_below(planner, node, depth + 1);
}

/* Set operations without ALL drop what is there twice: the side may do it before it is sent. */
static enum fm_status carve_side(struct planner *planner, json_t *side)
{
    json_t *modifiers = tree_json_array(side, "modifiers");

    if (!tree_json_is(side, "type", "SELECT_NODE") || json_array_size(modifiers) != 0 ||
        !planner_is_one_owner(planner, planner_tables_under(planner, side)))
        return FM_OK;
    if (json_array_append_new(modifiers, json_pack("{s:s,s:[]}", "type", "DISTINCT_MODIFIER",
                                                   "distinct_on_targets")) != 0)
        return FM_NOMEM;
    bool carved = false;
    enum fm_status status = plan_carve(planner, side, FM_RULE_SUBQUERY, &carved);
    if (status == FM_OK && !carved)
        (void)json_array_clear(modifiers); /* Cannot fail for an array. */
    return status;
}

static enum fm_status carve_sides(struct planner *planner, const json_t *node)
{
    json_t *left = json_object_get(node, "left");
    json_t *right = json_object_get(node, "right");

    if (!tree_json_is(node, "type", "SET_OPERATION_NODE") ||
        !json_is_false(json_object_get(node, "setop_all")))
        return FM_OK;
    enum fm_status status = carve_side(planner, left);
    return status == FM_OK ? carve_side(planner, right) : status;
}

static enum fm_status carve_below(struct planner *planner, json_t *json, unsigned depth)
{
    const char *key;
    json_t *value;
    size_t i;

    enum fm_status status = plan_limit_sides(planner, json);
    if (status == FM_OK)
        status = plan_limit_joins(planner, json);
    if (status == FM_OK)
        status = carve_sides(planner, json);

    if (json_is_object(json)) {
        json_object_foreach(json, key, value)
        {
            if (status == FM_OK)
                status = is_query(value) ? carve_or_descend(planner, value, depth)
                                         : carve_below(planner, value, depth);
        }
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value)
        {
            if (status == FM_OK)
                status = is_query(value) ? carve_or_descend(planner, value, depth)
                                         : carve_below(planner, value, depth);
        }
    }
    return status;
}

enum fm_status plan_carve_parts(struct planner *planner)
{
    json_t *statement = json_array_get(tree_json_array(planner->tree->root, "statements"), 0);
    json_t *root = json_object_get(statement, "node");

    return carve_below(planner, root, 0);
}
