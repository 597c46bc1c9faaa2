/* The walk along the forms of tree_forms.c. It recurses over a tree whose depth jansson bounded. */
#include "query/tree_forms.h"

#include <string.h>
#include <strings.h>

static bool is_scalar(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_string(value) ||
           json_is_boolean(value) || json_is_number(value) || tree_json_raw(value) != NULL;
}

/* Names must survive as C strings. */
static bool is_name(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

static enum fm_status malformed(struct tree *tree, const json_t *object, const char *key)
{
    return tree_fail(tree, object, FM_INVALID, "a part of the statement is not understood (%s)",
                     key);
}

/* Data only: no object in it may be an expression, and its keys are plain words. */
static bool is_opaque(const json_t *value)
{
    const char *key = NULL;
    json_t *member = NULL;

    if (is_scalar(value))
        return true;
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!is_opaque(json_array_get(value, i)))
                return false;
        }
        return true;
    }
    if (json_object_get(value, "class") != NULL || json_object_get(value, "node") != NULL)
        return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (key[strspn(key, "abcdefghijklmnopqrstuvwxyz_")] != '\0' || !is_opaque(member))
            return false;
    }
    return true;
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static enum fm_status walk_names(struct tree *tree, const json_t *object,
                                 const struct tree_key *key, const json_t *value)
{
    if (!json_is_array(value))
        return malformed(tree, object, key->name);
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!is_name(json_array_get(value, i)))
            return malformed(tree, object, key->name);
    }
    if (key->kind == TREE_ALIASES && json_array_size(value) > 0)
        tree->uses.off = true; /* Columns go on by position under other names. */
    return FM_OK;
}

/* Types that compare with an ENUM as they do with text: tried each with DuckDB 1.5.6. JSON, which
 * comes under its name only, does not. */
static enum fm_status walk_type(struct tree *tree, const json_t *object, const json_t *value)
{
    static const char *const ids[] = {"BOOLEAN",  "TINYINT",   "SMALLINT",
                                      "INTEGER",  "BIGINT",    "HUGEINT",
                                      "UTINYINT", "USMALLINT", "UINTEGER",
                                      "UBIGINT",  "FLOAT",     "DOUBLE",
                                      "DECIMAL",  "VARCHAR",   "BLOB",
                                      "DATE",     "TIME",      "UUID",
                                      "INTERVAL", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"};

    if (!is_opaque(value))
        return malformed(tree, object, "cast_type");
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (tree_json_is(value, "id", ids[i]))
            return FM_OK;
    }
    tree->uses.off = true;
    return FM_OK;
}

static enum fm_status walk_list(struct tree *tree, const json_t *object, const char *key,
                                json_t *list, enum tree_use use)
{
    if (!json_is_array(list))
        return malformed(tree, object, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum fm_status status = tree_walk_expression(tree, json_array_get(list, i), use);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* Arrays of arrays of expressions, and arrays of objects with expressions under up to two keys. */
static enum fm_status walk_rows(struct tree *tree, const json_t *object, const char *key,
                                json_t *rows)
{
    if (!json_is_array(rows))
        return malformed(tree, object, key);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        enum fm_status status =
            walk_list(tree, object, key, json_array_get(rows, i), TREE_USE_OTHER);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status walk_orders(struct tree *tree, const json_t *object, json_t *orders,
                                  enum tree_use use)
{
    if (!json_is_array(orders))
        return malformed(tree, object, "orders");
    for (size_t i = 0; i < json_array_size(orders); i++) {
        json_t *order = json_array_get(orders, i);
        json_t *expression = json_object_get(order, "expression");
        if (json_object_size(order) != 3 || tree_json_text(order, "type") == NULL ||
            tree_json_text(order, "null_order") == NULL || expression == NULL)
            return malformed(tree, object, "orders");
        enum fm_status status = tree_walk_expression(tree, expression, use);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status walk_pairs(struct tree *tree, const json_t *object,
                                 const struct tree_key *key, json_t *pairs)
{
    bool cases = key->kind == TREE_CASES;

    if (!json_is_array(pairs))
        return malformed(tree, object, key->name);
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        json_t *pair = json_array_get(pairs, i);
        json_t *first = json_object_get(pair, cases ? "when_expr" : "key");
        json_t *second = json_object_get(pair, cases ? "then_expr" : "value");
        if (json_object_size(pair) != 2 || first == NULL || second == NULL ||
            (!cases && !is_name(first)))
            return malformed(tree, object, key->name);
        enum fm_status status = cases ? tree_walk_expression(tree, first, TREE_USE_OTHER) : FM_OK;
        if (status == FM_OK)
            status = tree_walk_expression(tree, second, TREE_USE_OTHER);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status walk_modifiers(struct tree *tree, json_t *modifiers)
{
    if (!json_is_array(modifiers))
        return malformed(tree, NULL, "modifiers");
    for (size_t i = 0; i < json_array_size(modifiers); i++) {
        json_t *modifier = json_array_get(modifiers, i);
        const char *type = tree_json_text(modifier, "type");
        const struct tree_form *form = tree_form_of_modifier(type);
        if (form == NULL)
            return tree_fail(tree, NULL, FM_INVALID, "%s is not supported", tree_form_words(type));
        enum fm_status status = tree_walk_form(tree, modifier, form, TREE_USE_OTHER);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static bool is_pivot_entry(const json_t *entry)
{
    return json_object_size(entry) == 3 && is_opaque(json_object_get(entry, "values")) &&
           is_name(json_object_get(entry, "alias"));
}

static enum fm_status walk_pivot(struct tree *tree, json_t *pivot)
{
    json_t *entries = tree_json_array(pivot, "entries");

    tree->uses.off = true;
    if (json_object_size(pivot) != 4 || entries == NULL ||
        !is_opaque(json_object_get(pivot, "unpivot_names")))
        return malformed(tree, NULL, "pivots");
    if (!tree_json_is(pivot, "pivot_enum", ""))
        return tree_fail(tree, NULL, FM_INVALID, "PIVOT over an ENUM is not supported");
    enum fm_status status = walk_list(tree, NULL, "pivot_expressions",
                                      json_object_get(pivot, "pivot_expressions"), TREE_USE_OTHER);
    for (size_t i = 0; status == FM_OK && i < json_array_size(entries); i++) {
        json_t *entry = json_array_get(entries, i);
        json_t *star = json_object_get(entry, "star_expr");
        if (!is_pivot_entry(entry) || star == NULL)
            return malformed(tree, NULL, "pivots");
        if (!json_is_null(star))
            status = tree_walk_expression(tree, star, TREE_USE_OTHER);
    }
    return status;
}

static enum fm_status walk_pivots(struct tree *tree, const json_t *pivots)
{
    if (!json_is_array(pivots))
        return malformed(tree, NULL, "pivots");
    for (size_t i = 0; i < json_array_size(pivots); i++) {
        enum fm_status status = walk_pivot(tree, json_array_get(pivots, i));
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* WITH: each name is visible in what follows it; a recursive one in its own right side, which
 * walk_recursive() sees to. */
static enum fm_status walk_ctes(struct tree *tree, json_t *map)
{
    json_t *entries = tree_json_array(map, "map");

    if (entries == NULL || json_object_size(map) != 1)
        return malformed(tree, NULL, "cte_map");
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        const json_t *value = json_object_get(entry, "value");
        const json_t *aliases = tree_json_array(value, "aliases");
        const char *name = tree_json_text(entry, "key");
        if (name == NULL || aliases == NULL || json_object_size(entry) != 2 ||
            json_object_size(value) != 4 || tree_json_text(value, "materialized") == NULL)
            return malformed(tree, NULL, "cte_map");
        if (!is_absent(json_object_get(value, "key_targets")))
            return tree_fail(tree, NULL, FM_INVALID, "USING KEY is not supported");
        if (!tree->is_merge && strncasecmp(name, TREE_SLOT_PREFIX, strlen(TREE_SLOT_PREFIX)) == 0)
            return tree_fail(tree, NULL, FM_INVALID, "names that begin with %s are reserved",
                             TREE_SLOT_PREFIX);
        struct tree_key key = {"aliases", TREE_ALIASES};
        enum fm_status status = walk_names(tree, NULL, &key, aliases);
        if (status == FM_OK)
            status = tree_walk_query(tree, json_object_get(value, "query"), TREE_USE_NESTED);
        if (status != FM_OK)
            return status;
        if (tree->cte_count == TREE_CTES_MAX)
            return tree_fail(tree, NULL, FM_LIMIT, "more than %u WITH queries", TREE_CTES_MAX);
        tree->ctes[tree->cte_count++] = name;
    }
    return FM_OK;
}

/* fm_scan(n) of a merge, as tree_scan_of() writes it. */
static bool is_slot(const struct tree *tree, const json_t *function)
{
    const json_t *arguments = tree_json_array(function, "children");
    const json_t *first = json_array_get(arguments, 0);
    const json_t *value = json_object_get(first, "value");
    int64_t slot = 0;

    return tree->is_merge && tree_json_is(function, "function_name", "fm_scan") &&
           tree_json_is(function, "schema", "") && tree_json_is(function, "catalog", "") &&
           json_array_size(arguments) == 1 && tree_json_is(first, "class", "CONSTANT") &&
           tree_json_is(json_object_get(value, "type"), "id", "INTEGER") &&
           tree_json_int(json_object_get(value, "value"), 0, (int64_t)tree->slot_count - 1, &slot);
}

/* range(), generate_series() and unnest() are the table functions of strangers. */
static enum fm_status walk_call(struct tree *tree, json_t *function)
{
    static const char *const allowed[] = {"unnest", "range", "generate_series"};
    const char *name = tree_json_text(function, "function_name");

    if (!tree_json_is(function, "class", "FUNCTION") || name == NULL)
        return malformed(tree, function, "function");
    if (is_slot(tree, function))
        return FM_OK;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (strcasecmp(name, allowed[i]) == 0)
            return tree_walk_expression(tree, function, TREE_USE_OTHER);
    }
    return tree_fail(tree, function, FM_INVALID,
                     "table function %s is not supported; tables are written domain.table", name);
}

static enum fm_status walk_right(struct tree *tree, json_t *node, enum tree_use use)
{
    return tree_walk_node(tree, node, use == TREE_USE_TOP ? use : TREE_USE_OTHER);
}

static enum fm_status walk_expr(struct tree *tree, json_t *value, enum tree_use use)
{
    return json_is_null(value) ? FM_OK : tree_walk_expression(tree, value, use);
}

static enum fm_status walk_order(struct tree *tree, const json_t *object, json_t *value)
{
    if (json_is_null(value))
        return FM_OK;
    if (json_object_size(value) != 2 || !tree_json_is(value, "type", "ORDER_MODIFIER"))
        return malformed(tree, object, "order_bys");
    return walk_orders(tree, object, json_object_get(value, "orders"), TREE_USE_PLAIN);
}

static enum fm_status walk_data(struct tree *tree, const json_t *object, const struct tree_key *key,
                                json_t *value)
{
    bool fine = true;

    switch ((int)key->kind) {
    case TREE_PLAIN:
        fine = is_scalar(value) && (!json_is_string(value) || is_name(value));
        break;
    case TREE_OPAQUE:
        fine = is_opaque(value);
        break;
    case TREE_TYPE:
        return walk_type(tree, object, value);
    case TREE_NAMES:
    case TREE_ALIASES:
        return walk_names(tree, object, key, value);
    case TREE_ABSENT:
        if (!is_absent(value))
            return tree_fail(tree, object, FM_INVALID, "%s is not supported",
                             tree_form_words(key->name));
        break;
    default:
        break;
    }
    return fine ? FM_OK : malformed(tree, object, key->name);
}

static enum fm_status walk_key(struct tree *tree, const json_t *object, const struct tree_key *key,
                               json_t *value, enum tree_use use)
{
    switch ((int)key->kind) {
    case TREE_EXPR:
        return walk_expr(tree, value, TREE_USE_OTHER);
    case TREE_OPERAND:
        return walk_expr(tree, value, use);
    case TREE_EXPRS:
        return walk_list(tree, object, key->name, value, TREE_USE_OTHER);
    case TREE_OPERANDS:
        return walk_list(tree, object, key->name, value, use);
    case TREE_PLAINS:
        return walk_list(tree, object, key->name, value, TREE_USE_PLAIN);
    case TREE_ITEMS:
        return walk_list(tree, object, key->name, value, tree->item_use);
    case TREE_ROWS:
        return walk_rows(tree, object, key->name, value);
    case TREE_CASES:
    case TREE_PAIRS:
        return walk_pairs(tree, object, key, value);
    case TREE_ORDER:
        return walk_order(tree, object, value);
    case TREE_ORDERS:
        return walk_orders(tree, object, value, TREE_USE_PLAIN);
    case TREE_WINDOW_ORDERS:
        return walk_orders(tree, object, value, TREE_USE_OTHER);
    case TREE_MODIFIERS:
        return walk_modifiers(tree, value);
    case TREE_CTES:
        return walk_ctes(tree, value);
    case TREE_NODE:
        return tree_walk_node(tree, value, use);
    case TREE_NODE_RIGHT:
        return walk_right(tree, value, use);
    case TREE_QUERY:
        return tree_walk_query(tree, value, use);
    case TREE_FROM:
        return tree_walk_from(tree, value);
    case TREE_CALL:
        return walk_call(tree, value);
    case TREE_PIVOTS:
        return walk_pivots(tree, value);
    default:
        return walk_data(tree, object, key, value);
    }
}

static const char *unknown_key(const json_t *object, const struct tree_form *form)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct tree_key *key = form->keys;
        while (key->name != NULL && strcmp(key->name, name) != 0)
            key++;
        if (key->name == NULL)
            return name;
    }
    return NULL;
}

enum fm_status tree_walk_form(struct tree *tree, json_t *object, const struct tree_form *form,
                              enum tree_use use)
{
    const char *unknown = unknown_key(object, form);

    if (unknown != NULL)
        return malformed(tree, object, "an unknown key");
    for (const struct tree_key *key = form->keys; key->name != NULL; key++) {
        json_t *value = json_object_get(object, key->name);
        if (value == NULL)
            continue;
        enum fm_status status = walk_key(tree, object, key, value, use);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}
