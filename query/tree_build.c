#include "query/tree_build.h"

#include "query/tree_forms.h"

#include <string.h>

json_t *tree_build_column(const char *qualifier, const char *name)
{
    return json_pack("{s:s,s:s,s:s,s:[ss]}", "class", "COLUMN_REF", "type", "COLUMN_REF", "alias",
                     "", "column_names", qualifier, name);
}

json_t *tree_build_integer(int value)
{
    return json_pack("{s:s,s:s,s:s,s:{s:{s:s,s:n},s:b,s:i}}", "class", "CONSTANT", "type",
                     "VALUE_CONSTANT", "alias", "", "value", "type", "id", "INTEGER", "type_info",
                     "is_null", 0, "value", value);
}

static json_t *call(const char *name, json_t *children, json_t *filter, bool is_operator)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:{s:s,s:[]},s:b,s:b,s:b,s:s}", "class",
                     "FUNCTION", "type", "FUNCTION", "alias", "", "function_name", name, "schema",
                     "", "children", children, "filter", filter, "order_bys", "type",
                     "ORDER_MODIFIER", "orders", "distinct", 0, "is_operator", is_operator,
                     "export_state", 0, "catalog", "");
}

json_t *tree_build_call(const char *name, json_t *argument, json_t *filter)
{
    bool none = json_is_null(argument);
    json_t *children = none ? json_array() : json_pack("[o]", argument);

    if (none)
        json_decref(argument);
    return call(name, children, filter, false);
}

json_t *tree_build_arithmetic(const char *name, json_t *left, json_t *right)
{
    return call(name, json_pack("[oo]", left, right), json_null(), true);
}

static json_t *cast(json_t *child, json_t *type)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:b}", "class", "CAST", "type", "OPERATOR_CAST", "alias",
                     "", "child", child, "cast_type", type, "try_cast", 0);
}

json_t *tree_build_cast(json_t *child, const char *type)
{
    return cast(child, json_pack("{s:s,s:n}", "id", type, "type_info"));
}

json_t *tree_build_decimal_cast(json_t *child, int width)
{
    return cast(child, json_pack("{s:s,s:{s:s,s:s,s:n,s:i,s:i}}", "id", "DECIMAL", "type_info",
                                 "type", "DECIMAL_TYPE_INFO", "alias", "", "extension_info",
                                 "width", width, "scale", 0));
}

json_t *tree_build_compare(const char *type, json_t *left, json_t *right)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o}", "class", "COMPARISON", "type", type, "alias", "",
                     "left", left, "right", right);
}

json_t *tree_build_operator(const char *type, json_t *first, json_t *second)
{
    bool one = json_is_null(second);
    json_t *children = one ? json_pack("[o]", first) : json_pack("[oo]", first, second);

    return json_pack("{s:s,s:s,s:s,s:o}", "class", "OPERATOR", "type", type, "alias", "",
                     "children", children);
}

json_t *tree_build_and(json_t *left, json_t *right)
{
    if (json_is_null(left) || json_is_null(right)) {
        bool take_right = json_is_null(left);
        json_decref(take_right ? left : right);
        return take_right ? right : left;
    }
    return json_pack("{s:s,s:s,s:s,s:[oo]}", "class", "CONJUNCTION", "type", "CONJUNCTION_AND",
                     "alias", "", "children", left, right);
}

json_t *tree_build_all(json_t *conditions)
{
    json_t *all = json_null();

    for (size_t i = 0; all != NULL && i < json_array_size(conditions); i++)
        all = tree_build_and(all, json_incref(json_array_get(conditions, i)));
    json_decref(conditions);
    return all;
}

/* One set of all groups, as GROUP BY without anything else gives. */
static json_t *group_sets(const json_t *groups)
{
    json_t *set = json_array();
    int failed = 0;

    if (json_array_size(groups) == 0)
        return set;
    for (size_t i = 0; i < json_array_size(groups); i++)
        failed |= json_array_append_new(set, json_integer((json_int_t)i));
    if (failed != 0) {
        json_decref(set);
        return NULL;
    }
    return json_pack("[o]", set);
}

json_t *tree_build_select(json_t *items, json_t *from, json_t *where, json_t *groups,
                          json_t *having)
{
    json_t *sets = group_sets(groups);

    return json_pack("{s:s,s:[],s:{s:[]},s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:n,s:n}", "type",
                     "SELECT_NODE", "modifiers", "cte_map", "map", "select_list", items,
                     "from_table", from, "where_clause", where, "group_expressions", groups,
                     "group_sets", sets, "aggregate_handling", "STANDARD_HANDLING", "having",
                     having, "sample", "qualify");
}

json_t *tree_build_cross_join(json_t *left, json_t *right)
{
    return json_pack("{s:s,s:s,s:n,s:o,s:o,s:n,s:s,s:s,s:[],s:b,s:[]}", "type", "JOIN", "alias", "",
                     "sample", "left", left, "right", right, "condition", "join_type", "INNER",
                     "ref_type", "CROSS", "using_columns", "delim_flipped", 0,
                     "duplicate_eliminated_columns");
}

json_t *tree_build_derived(json_t *node, const char *alias)
{
    return json_pack("{s:s,s:s,s:n,s:{s:o,s:[]},s:[]}", "type", "SUBQUERY", "alias", alias,
                     "sample", "subquery", "node", node, "named_param_map", "column_name_alias");
}

json_t *tree_build_named(json_t *node, const char *alias)
{
    json_t *copy = json_copy(node);

    json_decref(node);
    if (copy != NULL && json_object_set_new(copy, "alias", json_string(alias)) != 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

json_t *tree_place_get(const struct tree_place *place)
{
    return place->key != NULL ? json_object_get(place->parent, place->key)
                              : json_array_get(place->parent, place->index);
}

enum fm_status tree_place_put(const struct tree_place *place, json_t *node)
{
    int failed = place->key != NULL ? json_object_set_new(place->parent, place->key, node)
                                    : json_array_set_new(place->parent, place->index, node);

    return failed == 0 ? FM_OK : FM_NOMEM;
}

static enum fm_status each_item(json_t *list, const char *key, tree_visit visit, void *context)
{
    enum fm_status status = FM_OK;

    for (size_t i = 0; status == FM_OK && i < json_array_size(list); i++) {
        struct tree_place place = {list, NULL, i};
        if (key != NULL)
            place = (struct tree_place){json_array_get(list, i), key, 0};
        status = visit(context, &place);
    }
    return status;
}

static enum fm_status each_case(json_t *list, tree_visit visit, void *context)
{
    enum fm_status status = each_item(list, "when_expr", visit, context);

    return status == FM_OK ? each_item(list, "then_expr", visit, context) : status;
}

enum fm_status tree_each_child(json_t *node, tree_visit visit, void *context)
{
    const struct tree_form *form = tree_form_of_expression(tree_json_text(node, "class"));
    enum fm_status status = FM_OK;

    for (size_t i = 0; form != NULL && status == FM_OK && form->keys[i].name != NULL; i++) {
        const struct tree_key *key = &form->keys[i];
        json_t *value = json_object_get(node, key->name);
        struct tree_place place = {node, key->name, 0};
        if (value == NULL || json_is_null(value))
            continue;
        if (key->kind == TREE_EXPR || key->kind == TREE_OPERAND)
            status = visit(context, &place);
        else if (key->kind == TREE_EXPRS || key->kind == TREE_OPERANDS)
            status = each_item(value, NULL, visit, context);
        else if (key->kind == TREE_CASES)
            status = each_case(value, visit, context);
        else if (key->kind == TREE_ORDER)
            status = each_item(json_object_get(value, "orders"), "expression", visit, context);
        else if (key->kind == TREE_PAIRS)
            status = each_item(value, "value", visit, context);
    }
    return status;
}

static bool same_members(const json_t *a, const json_t *b)
{
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (strcmp(key, "query_location") != 0 && (other == NULL || !tree_same(value, other)))
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, value)
    {
        if (strcmp(key, "query_location") != 0 && json_object_get(a, key) == NULL)
            return false;
    }
    return true;
}

bool tree_same(const json_t *a, const json_t *b)
{
    if (json_is_object(a) && json_is_object(b))
        return same_members(a, b);
    if (!json_is_array(a) || !json_is_array(b))
        return json_equal(a, b);
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (!tree_same(json_array_get(a, i), json_array_get(b, i)))
            return false;
    }
    return true;
}
