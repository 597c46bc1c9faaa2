/* LIMIT of a UNION ALL on its sides too: of the first n rows of all, each side has at most n, and
 * under the same ORDER BY they are among its own first n. */
#include "query/carve.h"

#include <strings.h>

#define LIMIT_ROWS_MAX 1000000 /* A larger LIMIT leaves out too little. */

bool plan_is_union_all(const json_t *node)
{
    return tree_json_is(node, "type", "SET_OPERATION_NODE") &&
           tree_json_is(node, "setop_type", "UNION") &&
           json_is_true(json_object_get(node, "setop_all"));
}

/* A whole number, written as one. */
static bool read_constant(const json_t *expression, int64_t min, int64_t max, int64_t *out)
{
    const json_t *value = json_object_get(expression, "value");
    const json_t *type = json_object_get(value, "type");

    return tree_json_is(expression, "class", "CONSTANT") &&
           (tree_json_is(type, "id", "INTEGER") || tree_json_is(type, "id", "BIGINT")) &&
           json_is_false(json_object_get(value, "is_null")) &&
           tree_json_int(json_object_get(value, "value"), min, max, out);
}

static json_t *make_constant(int64_t value)
{
    return json_pack("{s:s,s:s,s:s,s:{s:{s:s,s:n},s:b,s:I}}", "class", "CONSTANT", "type",
                     "VALUE_CONSTANT", "alias", "", "value", "type", "id", "BIGINT", "type_info",
                     "is_null", 0, "value", (json_int_t)value);
}

/* The name of an item that is a column, as far as it is certain. */
static const char *item_name(const json_t *item)
{
    const char *alias = tree_json_text(item, "alias");
    const json_t *names = tree_json_array(item, "column_names");

    if (alias != NULL && alias[0] != '\0')
        return alias;
    return tree_json_is(item, "class", "COLUMN_REF")
               ? json_string_value(json_array_get(names, json_array_size(names) - 1))
               : NULL;
}

/* Names of a set operation are those of its leftmost SELECT. Position from 1, 0: not certain. */
static int64_t position_of(const json_t *node, const json_t *expression)
{
    const json_t *names = tree_json_array(expression, "column_names");
    const char *wanted = json_string_value(json_array_get(names, 0));
    int64_t position = 0;

    while (plan_is_union_all(node))
        node = json_object_get(node, "left");
    const json_t *items = tree_json_array(node, "select_list");
    for (size_t i = 0; i < json_array_size(items); i++)
        if (tree_json_is(json_array_get(items, i), "class", "STAR"))
            return 0;
    if (read_constant(expression, 1, (int64_t)json_array_size(items), &position))
        return position;
    if (!tree_json_is(expression, "class", "COLUMN_REF") || json_array_size(names) != 1)
        return 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *name = item_name(json_array_get(items, i));
        if (name == NULL || strcasecmp(name, wanted) != 0)
            continue;
        if (position != 0)
            return 0;
        position = (int64_t)i + 1;
    }
    return position;
}

/* ORDER BY positions for the sides, NULL where some item is not certain or there is no memory. */
static json_t *orders_by_position(const json_t *node, const json_t *modifier)
{
    const json_t *orders = tree_json_array(modifier, "orders");
    json_t *made = json_array();

    for (size_t i = 0; made != NULL && i < json_array_size(orders); i++) {
        const json_t *order = json_array_get(orders, i);
        int64_t position = position_of(node, json_object_get(order, "expression"));
        json_t *copy = position > 0 ? json_copy((json_t *)(uintptr_t)order) : NULL;
        if (copy == NULL || json_object_set_new(copy, "expression", make_constant(position)) != 0 ||
            json_array_append_new(made, json_incref(copy)) != 0) {
            json_decref(made);
            made = NULL;
        }
        json_decref(copy);
    }
    return made;
}

bool plan_limit_of(const json_t *node, int64_t *rows, const json_t **order)
{
    const json_t *modifiers = tree_json_array(node, "modifiers");
    size_t count = json_array_size(modifiers);
    const json_t *last = json_array_get(modifiers, count - 1);
    const json_t *offset = json_object_get(last, "offset");
    int64_t limit = 0, skipped = 0;

    if (count == 0 || count > 2 || !tree_json_is(last, "type", "LIMIT_MODIFIER") ||
        !read_constant(json_object_get(last, "limit"), 0, LIMIT_ROWS_MAX, &limit) ||
        (!json_is_null(offset) && !read_constant(offset, 0, LIMIT_ROWS_MAX, &skipped)))
        return false;
    *rows = limit + skipped;
    *order = count == 2 ? json_array_get(modifiers, 0) : NULL;
    return *order == NULL || tree_json_is(*order, "type", "ORDER_MODIFIER");
}

json_t *plan_make_limit(int64_t rows, json_t *orders)
{
    json_t *made = json_pack("[{s:s,s:o,s:n}]", "type", "LIMIT_MODIFIER", "limit",
                             make_constant(rows), "offset");

    if (made == NULL || orders == NULL ||
        json_array_insert_new(
            made, 0, json_pack("{s:s,s:O}", "type", "ORDER_MODIFIER", "orders", orders)) == 0)
        return made;
    json_decref(made);
    return NULL;
}

/* The modifiers that the sides get; NULL: none. */
static json_t *side_modifiers(const json_t *node)
{
    const json_t *order = NULL;
    int64_t rows = 0;

    if (!plan_limit_of(node, &rows, &order))
        return NULL;
    FM_AUTO(tree_json_freep)
    json_t *orders = order != NULL ? orders_by_position(node, order) : NULL;
    return order != NULL && orders == NULL ? NULL : plan_make_limit(rows, orders);
}

static enum fm_status limit_side(json_t *side, const json_t *modifiers)
{
    json_t *own = tree_json_array(side, "modifiers");

    if (json_array_size(own) != 0)
        return FM_OK; /* Bounded already, or ordered for a reason of its own. */
    if (plan_is_union_all(side)) {
        enum fm_status status = limit_side(json_object_get(side, "left"), modifiers);
        return status == FM_OK ? limit_side(json_object_get(side, "right"), modifiers) : status;
    }
    if (!tree_json_is(side, "type", "SELECT_NODE"))
        return FM_OK;
    FM_AUTO(tree_json_freep) json_t *copy = json_deep_copy(modifiers);
    return copy != NULL && json_array_extend(own, copy) == 0 ? FM_OK : FM_NOMEM;
}

/* Whether every side's columns have the types of the whole: then they order the same way. */
static enum fm_status types_agree(struct planner *planner, json_t *side,
                                  const struct fm_columns *whole, bool *agree)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};

    if (plan_is_union_all(side)) {
        enum fm_status status = types_agree(planner, json_object_get(side, "left"), whole, agree);
        return status == FM_OK ? types_agree(planner, json_object_get(side, "right"), whole, agree)
                               : status;
    }
    enum fm_status status = plan_describe_part(planner, side, &columns);
    if (status != FM_OK)
        return status;
    if (columns.count != whole->count)
        *agree = false;
    for (uint32_t i = 0; i < columns.count && *agree; i++)
        *agree = fm_type_equal(&columns.items[i].type, &whole->items[i].type);
    return FM_OK;
}

enum fm_status plan_describe_union(struct planner *planner, json_t *node, struct fm_columns *out)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns whole = {0};
    bool agree = true;

    enum fm_status status = plan_describe_part(planner, node, &whole);
    if (status == FM_OK && plan_is_union_all(node))
        status = types_agree(planner, node, &whole, &agree);
    if (status == FM_OK && !agree)
        return FM_NOTFOUND;
    if (status == FM_OK) {
        *out = whole;
        whole = (struct fm_columns){0};
    }
    return status;
}

enum fm_status plan_limit_sides(struct planner *planner, json_t *node)
{
    FM_AUTO(tree_json_freep)
    json_t *modifiers = plan_is_union_all(node) ? side_modifiers(node) : NULL;
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};

    if (modifiers == NULL)
        return FM_OK;
    enum fm_status status = plan_describe_union(planner, node, &columns);
    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status == FM_OK)
        status = limit_side(json_object_get(node, "left"), modifiers);
    return status == FM_OK ? limit_side(json_object_get(node, "right"), modifiers) : status;
}
