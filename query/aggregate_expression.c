/* Expressions above the SELECT made: columns of the table below become its keys. */
#include "query/aggregate_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum fm_status aggregate_init(struct aggregate *a, const struct names *names, uint64_t leaves,
                              uint32_t leaf)
{
    *a = (struct aggregate){.names = names, .leaves = leaves, .leaf = leaf};
    a->alias = aggregate_is_joined(a) ? JOINED_ALIAS : names->leaves[leaf].alias;
    a->from = json_array();
    a->loose = json_array();
    a->keys = json_array();
    a->partials = json_array();
    a->where = json_array();
    a->grouped = json_array();
    return a->from != NULL && a->loose != NULL && a->keys != NULL && a->partials != NULL &&
                   a->where != NULL && a->grouped != NULL
               ? FM_OK
               : FM_NOMEM;
}

void aggregate_deinit(struct aggregate *a)
{
    json_decref(a->keys);
    json_decref(a->partials);
    json_decref(a->where);
    json_decref(a->from);
    json_decref(a->loose);
    json_decref(a->grouped);
    *a = (struct aggregate){0};
}

/* ---- What an expression reads ---------------------------------------------------------------- */

struct reading {
    const struct aggregate *a;
    bool own;
    bool other; /* Also: what is not on the list below. */
};

static bool is_plain(const json_t *node)
{
    static const char *const classes[] = {"CONSTANT",    "CAST",    "COMPARISON",
                                          "CONJUNCTION", "BETWEEN", "CASE"};
    static const char *const operators[] = {"OPERATOR_NOT",         "OPERATOR_IS_NULL",
                                            "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE",
                                            "COMPARE_IN",           "COMPARE_NOT_IN"};
    const char *name = tree_json_text(node, "class");

    for (size_t i = 0; name != NULL && i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(classes[i], name) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (tree_json_is(node, "class", "OPERATOR") && tree_json_is(node, "type", operators[i]))
            return true;
    }
    return tree_json_is(node, "class", "FUNCTION") &&
           total_is_scalar(tree_json_text(node, "function_name")) &&
           json_is_null(json_object_get(node, "filter")) &&
           !json_is_true(json_object_get(node, "distinct"));
}

static enum fm_status read_node(void *context, const struct tree_place *place)
{
    struct reading *reading = context;
    json_t *node = tree_place_get(place);

    if (tree_json_is(node, "class", "COLUMN_REF")) {
        struct names_found found = names_find(reading->a->names, node, reading->a->clause);
        bool own = aggregate_has(reading->a, &found);
        reading->own = reading->own || own;
        reading->other = reading->other || !own;
        return FM_OK;
    }
    if (!is_plain(node))
        reading->other = true;
    return reading->other ? FM_OK : tree_each_child(node, read_node, reading);
}

bool aggregate_is_own(const struct aggregate *a, const json_t *node)
{
    json_t *copy = json_pack("[O]", node);
    struct tree_place place = {copy, NULL, 0};
    struct reading reading = {a, false, false};

    enum fm_status status = copy != NULL ? read_node(&reading, &place) : FM_NOMEM;
    json_decref(copy);
    return status == FM_OK && reading.own && !reading.other;
}

static enum fm_status qualify(void *context, const struct tree_place *place)
{
    const struct aggregate *a = context;
    json_t *node = tree_place_get(place);

    if (!tree_json_is(node, "class", "COLUMN_REF"))
        return tree_each_child(node, qualify, context);
    struct names_found found = names_find(a->names, node, a->clause);
    return tree_place_put(place, tree_build_column(a->names->leaves[found.leaf].alias,
                                                   names_field(a->names, &found)->name));
}

json_t *aggregate_inner(const struct aggregate *a, const json_t *node)
{
    json_t *list = json_pack("[o]", json_deep_copy(node));
    struct tree_place place = {list, NULL, 0};
    json_t *inner = NULL;

    if (list != NULL && qualify((void *)(uintptr_t)a, &place) == FM_OK)
        inner = tree_build_named(json_incref(json_array_get(list, 0)), "");
    json_decref(list);
    return inner;
}

/* ---- The columns between --------------------------------------------------------------------- */

/* Add `inner` to `list` as `name`, unless it is there. */
static json_t *between(const struct aggregate *a, json_t *list, json_t *inner, const char *name)
{
    if (inner == NULL)
        return NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        json_t *bare = tree_build_named(json_incref(item), "");
        bool same = bare != NULL && tree_same(bare, inner);
        json_decref(bare);
        if (same) {
            json_decref(inner);
            return tree_build_column(a->alias, tree_json_text(item, "alias"));
        }
    }
    json_t *item = tree_build_named(inner, name);
    if (item == NULL || json_array_append_new(list, item) != 0)
        return NULL;
    return tree_build_column(a->alias, name);
}

json_t *aggregate_key(struct aggregate *a, json_t *inner)
{
    const json_t *parts = tree_json_array(inner, "column_names");
    char name[FM_NAME_MAX + 1];

    if (parts != NULL && !aggregate_is_joined(a))
        (void)snprintf(name, sizeof name, "%s", json_string_value(json_array_get(parts, 1)));
    else
        (void)snprintf(name, sizeof name, "fm_k%zu", json_array_size(a->keys)); /* Fits. */
    return between(a, a->keys, inner, name);
}

json_t *aggregate_partial(struct aggregate *a, json_t *inner)
{
    char name[32];

    (void)snprintf(name, sizeof name, "fm_p%zu", json_array_size(a->partials)); /* Fits. */
    return between(a, a->partials, inner, name);
}

/* ---- Rewriting ------------------------------------------------------------------------------- */

/* Put `made` in the place of `node`, under its name. */
static enum fm_status replace(const struct tree_place *place, const json_t *node, json_t *made)
{
    const char *alias = tree_json_text(node, "alias");

    if (made == NULL)
        return FM_NOMEM;
    return tree_place_put(place, tree_build_named(made, alias != NULL ? alias : ""));
}

static enum fm_status rewrite_column(struct aggregate *a, const struct tree_place *place,
                                     json_t *node)
{
    struct names_found found = names_find(a->names, node, a->clause);

    if (found.kind == NAMES_UNKNOWN || (found.kind == NAMES_ALIAS && a->inside))
        return AGGREGATE_LEAVE;
    if (!aggregate_has(a, &found))
        return FM_OK;
    if (!total_is_key(total_shape_of_type(&names_field(a->names, &found)->type)))
        return AGGREGATE_LEAVE;
    return replace(place, node, aggregate_key(a, aggregate_inner(a, node)));
}

/* An expression over the table alone becomes a key as a whole: where it is one that groups, and
 * below grouping wherever it can be computed on any row. */
static bool is_whole_key(const struct aggregate *a, const json_t *node, json_t **inner)
{
    *inner = NULL;
    if ((!a->before_groups && json_array_size(a->grouped) == 0) || !aggregate_is_own(a, node))
        return false;
    if (a->before_groups) {
        if (!total_is_key(total_shape(a->names, a->leaves, node)))
            return false;
        *inner = aggregate_inner(a, node);
        return true;
    }
    json_t *made = aggregate_inner(a, node);
    for (size_t i = 0; made != NULL && i < json_array_size(a->grouped); i++) {
        if (tree_same(made, json_array_get(a->grouped, i))) {
            *inner = made;
            return true;
        }
    }
    json_decref(made);
    return made == NULL;
}

static enum fm_status rewrite_child(void *context, const struct tree_place *place)
{
    return aggregate_rewrite(context, place);
}

/* A query inside may ask whatever does not touch the table; its operand stands here. Not inside an
 * aggregate, of which several may be made. */
static enum fm_status rewrite_subquery(struct aggregate *a, json_t *node)
{
    bool reaches = a->inside;

    for (uint32_t i = 0; i < a->names->leaf_count; i++) {
        if ((a->leaves >> i & 1u) != 0)
            reaches = reaches || names_may_reach(a->names, i, json_object_get(node, "subquery"));
    }
    if (reaches)
        return AGGREGATE_LEAVE;
    return tree_each_child(node, rewrite_child, a);
}

enum fm_status aggregate_rewrite(struct aggregate *a, const struct tree_place *place)
{
    json_t *node = tree_place_get(place);
    enum names_clause clause = a->clause;
    json_t *inner = NULL;

    if (tree_json_is(node, "class", "COLUMN_REF"))
        return rewrite_column(a, place, node);
    if (clause == NAMES_IN_ORDER)
        a->clause = NAMES_IN_GROUPS; /* No longer a whole item. */
    enum fm_status status = AGGREGATE_LEAVE;
    if (is_whole_key(a, node, &inner))
        status = inner != NULL ? replace(place, node, aggregate_key(a, inner)) : FM_NOMEM;
    else if (tree_json_is(node, "class", "FUNCTION") &&
             aggregate_is_known(tree_json_text(node, "function_name")))
        status = a->may_aggregate && !a->inside ? aggregate_decompose(a, place) : AGGREGATE_LEAVE;
    else if (tree_json_is(node, "class", "SUBQUERY"))
        status = rewrite_subquery(a, node);
    else if (is_plain(node))
        status = tree_each_child(node, rewrite_child, a);
    a->clause = clause;
    return status;
}

enum fm_status aggregate_rewrite_at(struct aggregate *a, json_t *object, const char *key)
{
    struct tree_place place = {object, key, 0};
    const json_t *node = json_object_get(object, key);

    return node == NULL || json_is_null(node) ? FM_OK : aggregate_rewrite(a, &place);
}
