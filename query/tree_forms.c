#include "query/tree_forms.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define EXPRESSION                                                                                 \
    {"class", TREE_PLAIN}, {"type", TREE_PLAIN}, {"alias", TREE_PLAIN},                            \
    {                                                                                              \
        "query_location", TREE_PLAIN                                                               \
    }

static const struct tree_form expressions[] = {
    {"BETWEEN",
     {EXPRESSION, {"input", TREE_OPERAND}, {"lower", TREE_OPERAND}, {"upper", TREE_OPERAND}}},
    {"CASE", {EXPRESSION, {"case_checks", TREE_CASES}, {"else_expr", TREE_EXPR}}},
    {"CAST",
     {EXPRESSION, {"child", TREE_EXPR}, {"cast_type", TREE_TYPE}, {"try_cast", TREE_PLAIN}}},
    {"COLLATE", {EXPRESSION, {"child", TREE_EXPR}, {"collation", TREE_PLAIN}}},
    {"COLUMN_REF", {EXPRESSION, {"column_names", TREE_NAMES}}},
    {"COMPARISON", {EXPRESSION, {"left", TREE_OPERAND}, {"right", TREE_OPERAND}}},
    {"CONJUNCTION", {EXPRESSION, {"children", TREE_EXPRS}}},
    {"CONSTANT", {EXPRESSION, {"value", TREE_OPAQUE}}},
    {"FUNCTION",
     {EXPRESSION,
      {"function_name", TREE_PLAIN},
      {"schema", TREE_PLAIN},
      {"catalog", TREE_PLAIN},
      {"children", TREE_OPERANDS},
      {"filter", TREE_EXPR},
      {"order_bys", TREE_ORDER},
      {"distinct", TREE_PLAIN},
      {"is_operator", TREE_PLAIN},
      {"export_state", TREE_PLAIN}}},
    {"LAMBDA", {EXPRESSION, {"lhs", TREE_EXPR}, {"expr", TREE_EXPR}}},
    {"OPERATOR", {EXPRESSION, {"children", TREE_OPERANDS}}},
    {"POSITIONAL_REFERENCE", {EXPRESSION, {"index", TREE_PLAIN}}},
    {"STAR",
     {EXPRESSION,
      {"relation_name", TREE_PLAIN},
      {"exclude_list", TREE_NAMES},
      {"replace_list", TREE_PAIRS},
      {"columns", TREE_PLAIN},
      {"expr", TREE_EXPR},
      {"qualified_exclude_list", TREE_OPAQUE},
      {"rename_list", TREE_OPAQUE}}},
    {"SUBQUERY",
     {EXPRESSION,
      {"subquery_type", TREE_PLAIN},
      {"comparison_type", TREE_PLAIN},
      {"child", TREE_OPERAND},
      {"subquery", TREE_QUERY}}},
    {"WINDOW",
     {EXPRESSION,
      {"function_name", TREE_PLAIN},
      {"schema", TREE_PLAIN},
      {"catalog", TREE_PLAIN},
      {"children", TREE_EXPRS},
      {"partitions", TREE_EXPRS},
      {"orders", TREE_WINDOW_ORDERS},
      {"start", TREE_PLAIN},
      {"end", TREE_PLAIN},
      {"start_expr", TREE_EXPR},
      {"end_expr", TREE_EXPR},
      {"offset_expr", TREE_EXPR},
      {"default_expr", TREE_EXPR},
      {"filter_expr", TREE_EXPR},
      {"ignore_nulls", TREE_PLAIN},
      {"exclude_clause", TREE_PLAIN},
      {"distinct", TREE_PLAIN},
      {"arg_orders", TREE_WINDOW_ORDERS}}},
};

static const struct tree_form nodes[] = {
    /* CTEs come first: what follows may name them. */
    {"SELECT_NODE",
     {{"type", TREE_PLAIN},
      {"cte_map", TREE_CTES},
      {"from_table", TREE_FROM},
      {"select_list", TREE_ITEMS},
      {"where_clause", TREE_EXPR},
      {"group_expressions", TREE_PLAINS},
      {"group_sets", TREE_OPAQUE},
      {"aggregate_handling", TREE_PLAIN},
      {"having", TREE_EXPR},
      {"sample", TREE_ABSENT},
      {"qualify", TREE_EXPR},
      {"modifiers", TREE_MODIFIERS}}},
    {"SET_OPERATION_NODE",
     {{"type", TREE_PLAIN},
      {"cte_map", TREE_CTES},
      {"setop_type", TREE_PLAIN},
      {"setop_all", TREE_PLAIN},
      {"left", TREE_NODE},
      {"right", TREE_NODE_RIGHT},
      {"modifiers", TREE_MODIFIERS}}},
};

#define FROM                                                                                       \
    {"type", TREE_PLAIN}, {"alias", TREE_PLAIN}, {"sample", TREE_ABSENT},                          \
    {                                                                                              \
        "query_location", TREE_PLAIN                                                               \
    }

static const struct tree_form froms[] = {
    {"BASE_TABLE",
     {FROM,
      {"schema_name", TREE_PLAIN},
      {"table_name", TREE_PLAIN},
      {"catalog_name", TREE_PLAIN},
      {"column_name_alias", TREE_ALIASES},
      {"at_clause", TREE_LATER}}},
    {"EMPTY", {FROM}},
    {"EXPRESSION_LIST",
     {FROM,
      {"expected_names", TREE_NAMES},
      {"expected_types", TREE_OPAQUE},
      {"values", TREE_ROWS}}},
    {"JOIN",
     {FROM,
      {"left", TREE_FROM},
      {"right", TREE_FROM},
      {"condition", TREE_EXPR},
      {"join_type", TREE_PLAIN},
      {"ref_type", TREE_PLAIN},
      {"using_columns", TREE_NAMES},
      {"delim_flipped", TREE_PLAIN},
      {"duplicate_eliminated_columns", TREE_ABSENT}}},
    {"PIVOT",
     {FROM,
      {"source", TREE_FROM},
      {"aggregates", TREE_EXPRS},
      {"unpivot_names", TREE_NAMES},
      {"pivots", TREE_PIVOTS},
      {"groups", TREE_NAMES},
      {"column_name_alias", TREE_ALIASES},
      {"include_nulls", TREE_PLAIN}}},
    {"SUBQUERY", {FROM, {"subquery", TREE_QUERY}, {"column_name_alias", TREE_ALIASES}}},
    {"TABLE_FUNCTION",
     {FROM,
      {"function", TREE_CALL},
      {"column_name_alias", TREE_NAMES},
      {"with_ordinality", TREE_PLAIN}}},
};

static const struct tree_form modifiers[] = {
    {"ORDER_MODIFIER", {{"type", TREE_PLAIN}, {"orders", TREE_ORDERS}}},
    {"LIMIT_MODIFIER", {{"type", TREE_PLAIN}, {"limit", TREE_EXPR}, {"offset", TREE_EXPR}}},
    {"LIMIT_PERCENT_MODIFIER", {{"type", TREE_PLAIN}, {"limit", TREE_EXPR}, {"offset", TREE_EXPR}}},
    {"DISTINCT_MODIFIER", {{"type", TREE_PLAIN}, {"distinct_on_targets", TREE_PLAINS}}},
};

static const struct {
    const char *name;
    const char *words;
} refused[] = {
    {"SHOW_REF", "DESCRIBE, SHOW or SUMMARIZE"},
    {"PARAMETER", "a parameter ($1, ?)"},
    {"DEFAULT", "DEFAULT"},
    {"sample", "TABLESAMPLE or USING SAMPLE"},
    {"key_targets", "USING KEY"},
};

static const struct tree_form *find(const struct tree_form *forms, size_t count, const char *name)
{
    for (size_t i = 0; name != NULL && i < count; i++) {
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    }
    return NULL;
}

const struct tree_form *tree_form_of_expression(const char *name)
{
    return find(expressions, COUNT(expressions), name);
}

const struct tree_form *tree_form_of_node(const char *name)
{
    return find(nodes, COUNT(nodes), name);
}

const struct tree_form *tree_form_of_from(const char *name)
{
    return find(froms, COUNT(froms), name);
}

const struct tree_form *tree_form_of_modifier(const char *name)
{
    return find(modifiers, COUNT(modifiers), name);
}

const char *tree_form_words(const char *name)
{
    for (size_t i = 0; name != NULL && i < COUNT(refused); i++) {
        if (strcmp(refused[i].name, name) == 0)
            return refused[i].words;
    }
    return name != NULL ? name : "this part of the statement";
}
