/* LIMIT of a LEFT JOIN on its left table too: each row of that gives one row or more, so the first
 * n rows of all are made of its first n, under the same ORDER BY where that asks for its columns
 * only. Conditions must be on it alone, since others would drop some of the n. Rows that are equal
 * in the order may be any, as without. RIGHT JOIN is the same from the other side. */
#include "query/carve.h"
#include "query/total.h"
#include "query/tree_build.h"

#include <stdlib.h>
#include <strings.h>

/* Worth an engine at the owner. */
#define SAVED_MIN 4u

struct limiting {
    const struct planner *planner;
    struct names names; /* Large. */
    uint32_t leaf;      /* The table that every join preserves. */
    json_t *orders;     /* Owned: over its columns. */
    int64_t rows;
};

/* One row of each, and nothing that asks for others. */
static bool is_by_row(const json_t *json)
{
    static const char *const others[] = {"WINDOW", "SUBQUERY", "LAMBDA", "COLLATE"};
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    for (i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (tree_json_is(json, "class", others[i]))
            return false;
    }
    if (tree_json_is(json, "class", "FUNCTION") &&
        !total_is_scalar(tree_json_text(json, "function_name")))
        return false;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (!is_by_row(value))
            return false;
    }
    json_array_foreach(json, i, value)
    {
        if (!is_by_row(value))
            return false;
    }
    return true;
}

static bool suits(const json_t *node)
{
    return tree_json_is(node, "type", "SELECT_NODE") &&
           tree_json_is(json_object_get(node, "from_table"), "type", "JOIN") &&
           tree_json_is(node, "aggregate_handling", "STANDARD_HANDLING") &&
           json_array_size(tree_json_array(node, "group_expressions")) == 0 &&
           json_is_null(json_object_get(node, "having")) &&
           json_is_null(json_object_get(node, "qualify")) &&
           json_is_null(json_object_get(node, "sample")) &&
           is_by_row(tree_json_array(node, "select_list"));
}

/* The side of the joins from which no row is lost; NULL: there is none. */
static json_t *preserved(json_t *from)
{
    while (from != NULL && tree_json_is(from, "type", "JOIN")) {
        bool left = tree_json_is(from, "join_type", "LEFT");
        if (!tree_json_is(from, "ref_type", "REGULAR") ||
            (!left && !tree_json_is(from, "join_type", "RIGHT")))
            return NULL;
        from = json_object_get(from, left ? "left" : "right");
    }
    return from;
}

/* The table, where it may be read otherwise and has more rows than are asked for. */
static bool find_leaf(struct limiting *limiting, const json_t *node)
{
    const json_t *at = preserved(json_object_get(node, "from_table"));
    const struct names *names = &limiting->names;

    for (uint32_t i = 0; at != NULL && i < names->leaf_count; i++) {
        const struct names_leaf *leaf = &names->leaves[i];
        if (leaf->node != at)
            continue;
        limiting->leaf = i;
        return leaf->relation != NULL && leaf->closed && !leaf->relation->is_own &&
               leaf->relation->sql.len == 0 && json_is_null(json_object_get(at, "sample")) &&
               (leaf->relation->rows == 0 ||
                leaf->relation->rows / SAVED_MIN >= (uint64_t)limiting->rows);
    }
    return false;
}

static const struct fm_field *field_of(const struct limiting *limiting, const json_t *expression,
                                       enum names_clause clause)
{
    struct names_found found = names_find(&limiting->names, expression, clause);

    return found.kind == NAMES_COLUMN && found.leaf == limiting->leaf
               ? names_field(&limiting->names, &found)
               : NULL;
}

/* Reads the table's columns and nothing else. */
static bool is_own(const struct limiting *limiting, const json_t *json)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (tree_json_is(json, "class", "COLUMN_REF"))
        return field_of(limiting, json, NAMES_IN_ROWS) != NULL;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (!is_own(limiting, value))
            return false;
    }
    json_array_foreach(json, i, value)
    {
        if (!is_own(limiting, value))
            return false;
    }
    return true;
}

/* The only item that is called so; NULL: none, or several. */
static const json_t *item_called(const struct limiting *limiting, const char *name)
{
    const json_t *items = tree_json_array(limiting->names.node, "select_list");
    const json_t *found = NULL;

    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *parts = tree_json_array(item, "column_names");
        const char *called = tree_json_text(item, "alias");
        if (called == NULL || called[0] == '\0')
            called = json_string_value(json_array_get(parts, json_array_size(parts) - 1));
        if (called == NULL || strcasecmp(called, name) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = item;
    }
    return found;
}

/* ORDER BY column, or the name of an item that is one. */
static const struct fm_field *ordering_field(const struct limiting *limiting,
                                             const json_t *expression)
{
    const json_t *parts = tree_json_array(expression, "column_names");

    if (!tree_json_is(expression, "class", "COLUMN_REF"))
        return NULL;
    if (names_find(&limiting->names, expression, NAMES_IN_ORDER).kind != NAMES_ALIAS)
        return field_of(limiting, expression, NAMES_IN_ORDER);
    expression = item_called(limiting, json_string_value(json_array_get(parts, 0)));
    return expression != NULL && tree_json_is(expression, "class", "COLUMN_REF")
               ? field_of(limiting, expression, NAMES_IN_ROWS)
               : NULL;
}

/* False when some of it is not the table's. */
static bool read_order(struct limiting *limiting, const json_t *modifier)
{
    const json_t *orders = tree_json_array(modifier, "orders");
    const char *alias = limiting->names.leaves[limiting->leaf].alias;

    limiting->orders = json_array();
    for (size_t i = 0; i < json_array_size(orders); i++) {
        const json_t *order = json_array_get(orders, i);
        const struct fm_field *field =
            ordering_field(limiting, json_object_get(order, "expression"));
        json_t *copy = field != NULL ? json_copy((json_t *)(uintptr_t)order) : NULL;
        if (copy == NULL ||
            json_object_set_new(copy, "expression", tree_build_column(alias, field->name)) != 0 ||
            json_array_append(limiting->orders, copy) != 0) {
            json_decref(copy);
            return false;
        }
        json_decref(copy);
    }
    return limiting->orders != NULL;
}

static json_t *star(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:[],s:[],s:b,s:n,s:[],s:[]}", "class", "STAR", "type",
                     "STAR", "alias", "", "relation_name", "", "exclude_list", "replace_list",
                     "columns", 0, "expr", "qualified_exclude_list", "rename_list");
}

/* FROM t becomes FROM (SELECT * FROM t WHERE .. ORDER BY .. LIMIT n) AS t. */
static enum fm_status put_limit(const struct limiting *limiting, struct tree *tree, json_t *where)
{
    const struct names_leaf *leaf = &limiting->names.leaves[limiting->leaf];
    FM_AUTO(tree_json_freep) json_t *base = json_copy(leaf->node);
    json_t *modifiers = plan_make_limit(limiting->rows, limiting->orders);
    json_t *select = tree_build_select(json_pack("[o]", star()), json_incref(base),
                                       json_deep_copy(where), json_array(), json_null());
    if (json_object_set_new(select, "modifiers", modifiers) != 0) {
        json_decref(select);
        return FM_NOMEM;
    }
    FM_AUTO(tree_json_freep) json_t *derived = tree_build_derived(select, leaf->alias);
    if (derived == NULL || json_array_append(tree->kept, base) != 0 ||
        json_object_clear(leaf->node) != 0 || json_object_update(leaf->node, derived) != 0)
        return FM_NOMEM;
    tree->tables[leaf->table].node = base;
    return FM_OK;
}

enum fm_status plan_limit_joins(struct planner *planner, json_t *node)
{
    struct limiting *limiting = NULL;
    const json_t *order = NULL;
    enum fm_status status = FM_OK;
    int64_t rows = 0;

    if (!suits(node) || !plan_limit_of(node, &rows, &order))
        return FM_OK;
    limiting = calloc(1, sizeof *limiting);
    if (limiting == NULL)
        return FM_NOMEM;
    limiting->planner = planner;
    limiting->rows = rows;
    json_t *where = json_object_get(node, "where_clause");
    if (names_read(&limiting->names, planner->tree, planner->plan->tables, node) &&
        find_leaf(limiting, node) && is_by_row(where) && is_own(limiting, where) &&
        (order == NULL || read_order(limiting, order)))
        status = put_limit(limiting, planner->tree, where);
    json_decref(limiting->orders);
    free(limiting);
    return status;
}
