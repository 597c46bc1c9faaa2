/* Expressions: which functions may be called, which column references name their table in full, and
 * what is learnt about uses (tree_uses.h). */
#include "query/tree_forms.h"

#include <string.h>
#include <strings.h>

static const char *last_part(const json_t *column_ref)
{
    const json_t *names = tree_json_array(column_ref, "column_names");

    return names != NULL && json_array_size(names) > 0
               ? json_string_value(json_array_get(names, json_array_size(names) - 1))
               : NULL;
}

static bool is_class(const json_t *node, const char *name)
{
    return tree_json_is(node, "class", name);
}

/* min(column) and max(column): of the column's type. NULL when `node` is something else. */
static const json_t *column_of_extreme(const json_t *node)
{
    const json_t *children = tree_json_array(node, "children");
    const char *name = tree_json_text(node, "function_name");

    if (!is_class(node, "FUNCTION") || name == NULL || json_array_size(children) != 1 ||
        (strcasecmp(name, "min") != 0 && strcasecmp(name, "max") != 0))
        return NULL;
    const json_t *child = json_array_get(children, 0);
    return is_class(child, "COLUMN_REF") ? child : NULL;
}

static bool is_text_constant(const json_t *node)
{
    const json_t *value = json_object_get(node, "value");
    const json_t *type = json_object_get(value, "type");

    return is_class(node, "CONSTANT") &&
           (tree_json_is(type, "id", "VARCHAR") || tree_json_is(type, "id", "NULL"));
}

/* May stand beside a column in a comparison without its type mattering. */
static bool is_comparable(const json_t *node)
{
    return is_class(node, "COLUMN_REF") || is_text_constant(node) ||
           column_of_extreme(node) != NULL;
}

static bool all_comparable(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is_comparable(json_array_get(list, i)))
            return false;
    }
    return true;
}

static void refuse_all(struct tree *tree, const json_t *column_ref)
{
    const json_t *names = tree_json_array(column_ref, "column_names");

    for (size_t i = 0; i < json_array_size(names); i++)
        tree_uses_refuse(&tree->uses, json_string_value(json_array_get(names, i)));
}

/* `node` is a column reference, or min/max of one, used as `use`. */
static void note_use(struct tree *tree, const json_t *node, const json_t *column, enum tree_use use)
{
    const char *alias = tree_json_text(node, "alias");
    const char *name = last_part(column);
    bool aliased = alias != NULL && alias[0] != '\0';

    if (name != NULL)
        tree_uses_column(&tree->uses, name);
    if (use == TREE_USE_OTHER || name == NULL)
        refuse_all(tree, column);
    else if ((use == TREE_USE_TOP || use == TREE_USE_NESTED) && aliased)
        tree_uses_link(&tree->uses, name, alias);
    else if (use == TREE_USE_NESTED && node != column)
        refuse_all(tree, column); /* Its name is the text of the call. */
}

/* Functions, with parentheses or without, that the engine folds to the time of planning. */
static bool is_clock(const char *name)
{
    static const char *const names[] = {
        "now",
        "today",
        "ago",
        "age",
        "current_date",
        "current_time",
        "current_timestamp",
        "current_localtime",
        "current_localtimestamp",
        "localtime",
        "localtimestamp",
        "get_current_time",
        "get_current_timestamp",
        "transaction_timestamp",
        "pg_conf_load_time",
        "pg_postmaster_start_time",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static enum fm_status walk_column(struct tree *tree, json_t *node, enum tree_use use)
{
    json_t *names = tree_json_array(node, "column_names");

    if (names == NULL || json_array_size(names) == 0)
        return tree_fail(tree, node, FM_INVALID, "a column reference without a name");
    tree->qualifies |= json_array_size(names) >= 3;
    if (json_array_size(names) == 1 && is_clock(json_string_value(json_array_get(names, 0)))) {
        tree->timed = true;
        tree->clock_left |= !tree_is_clock(node);
    }
    note_use(tree, node, node, use);
    return FM_OK;
}

static enum fm_status check_function(struct tree *tree, const json_t *node)
{
    const char *name = tree_json_text(node, "function_name");
    const char *schema = tree_json_text(node, "schema");
    const char *catalog = tree_json_text(node, "catalog");

    if (name == NULL || schema == NULL || catalog == NULL)
        return tree_fail(tree, node, FM_INVALID, "a function without a name");
    if ((catalog[0] != '\0' && strcasecmp(catalog, "system") != 0) ||
        (schema[0] != '\0' && strcasecmp(schema, "main") != 0 &&
         strcasecmp(schema, "pg_catalog") != 0))
        return tree_fail(tree, node, FM_INVALID, "there are no functions in schema %s", schema);
    const char *why = tree_function_refused(name);
    if (why != NULL)
        return tree_fail(tree, node, FM_INVALID, "function %s is not supported: %s", name, why);
    if (is_clock(name)) {
        tree->timed = true;
        tree->clock_left |= !tree_is_clock(node);
    }
    /* JSON compares with text, but not with an ENUM. */
    if (strncasecmp(name, "json", 4) == 0 || strcasecmp(name, "to_json") == 0 ||
        strcasecmp(name, "->") == 0 || strstr(name, "_json") != NULL)
        tree->uses.off = true;
    return FM_OK;
}

static bool is_counting(const json_t *node)
{
    const char *name = tree_json_text(node, "function_name");

    return name != NULL && (strcasecmp(name, "count") == 0 || strcasecmp(name, "min") == 0 ||
                            strcasecmp(name, "max") == 0);
}

static enum fm_status walk_function(struct tree *tree, json_t *node, const struct tree_form *form,
                                    enum tree_use use)
{
    const json_t *column = column_of_extreme(node);
    bool plain = is_counting(node) && json_array_size(tree_json_array(node, "children")) == 1;

    enum fm_status status = check_function(tree, node);
    if (status != FM_OK)
        return status;
    if (column != NULL)
        note_use(tree, node, column, use);
    return tree_walk_form(tree, node, form, plain ? TREE_USE_PLAIN : TREE_USE_OTHER);
}

/* `*` of a select list keeps names; COLUMNS() and RENAME do not. ORDER BY ALL is a star too. */
static enum fm_status walk_star(struct tree *tree, json_t *node, const struct tree_form *form,
                                enum tree_use use)
{
    bool lists = use == TREE_USE_TOP || use == TREE_USE_NESTED;
    bool columns = json_is_true(json_object_get(node, "columns"));
    bool bare = json_is_null(json_object_get(node, "expr")) &&
                json_array_size(tree_json_array(node, "rename_list")) == 0;

    if (!bare || (!lists && use != TREE_USE_PLAIN) || (lists && columns))
        tree->uses.off = true;
    return tree_walk_form(tree, node, form, TREE_USE_OTHER);
}

/* What `a = ANY (SELECT b ..)` compares stays unseen; a scalar subquery's value may go anywhere. */
static enum fm_status walk_subquery(struct tree *tree, json_t *node, const struct tree_form *form)
{
    bool scalar = tree_json_is(node, "subquery_type", "SCALAR");

    return tree_walk_form(tree, node, form, scalar ? TREE_USE_OTHER : TREE_USE_NESTED);
}

static enum tree_use use_of_operands(const json_t *node, const char *class_name)
{
    bool plain = false;

    if (strcmp(class_name, "COMPARISON") == 0)
        plain = is_comparable(json_object_get(node, "left")) &&
                is_comparable(json_object_get(node, "right"));
    else if (strcmp(class_name, "BETWEEN") == 0)
        plain = is_comparable(json_object_get(node, "input")) &&
                is_comparable(json_object_get(node, "lower")) &&
                is_comparable(json_object_get(node, "upper"));
    else if (tree_json_is(node, "type", "COMPARE_IN") ||
             tree_json_is(node, "type", "COMPARE_NOT_IN") ||
             tree_json_is(node, "type", "OPERATOR_IS_NULL") ||
             tree_json_is(node, "type", "OPERATOR_IS_NOT_NULL"))
        plain = all_comparable(tree_json_array(node, "children"));
    return plain ? TREE_USE_PLAIN : TREE_USE_OTHER;
}

enum fm_status tree_walk_expression(struct tree *tree, json_t *node, enum tree_use use)
{
    const char *name = tree_json_text(node, "class");
    const struct tree_form *form = tree_form_of_expression(name);

    if (form == NULL)
        return tree_fail(tree, node, FM_INVALID, "%s is not supported", tree_form_words(name));
    if (strcmp(name, "FUNCTION") == 0)
        return walk_function(tree, node, form, use);
    if (strcmp(name, "STAR") == 0)
        return walk_star(tree, node, form, use);
    if (strcmp(name, "SUBQUERY") == 0)
        return walk_subquery(tree, node, form);
    if (strcmp(name, "POSITIONAL_REFERENCE") == 0)
        tree->uses.off = true;
    if (strcmp(name, "WINDOW") == 0) {
        enum fm_status status = check_function(tree, node);
        if (status != FM_OK)
            return status;
    }
    enum fm_status status = tree_walk_form(tree, node, form, use_of_operands(node, name));
    if (status == FM_OK && strcmp(name, "COLUMN_REF") == 0)
        status = walk_column(tree, node, use);
    return status;
}
