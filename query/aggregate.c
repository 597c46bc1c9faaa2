#include "query/aggregate_internal.h"

#include "core/assert.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROWS_MIN 1000u /* Fewer are sent as they are. */

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* ---- Which nodes, which tables --------------------------------------------------------------- */

static bool one_group_set(const json_t *node)
{
    const json_t *sets = tree_json_array(node, "group_sets");
    size_t groups = json_array_size(tree_json_array(node, "group_expressions"));

    if (json_array_size(sets) == 0)
        return groups == 0;
    return json_array_size(sets) == 1 && json_array_size(json_array_get(sets, 0)) == groups;
}

static bool is_distinct(const json_t *node)
{
    const json_t *modifiers = tree_json_array(node, "modifiers");

    for (size_t i = 0; i < json_array_size(modifiers); i++) {
        if (tree_json_is(json_array_get(modifiers, i), "type", "DISTINCT_MODIFIER"))
            return true;
    }
    return false;
}

static bool modifiers_suit(const json_t *node)
{
    const json_t *modifiers = tree_json_array(node, "modifiers");

    for (size_t i = 0; i < json_array_size(modifiers); i++) {
        const json_t *modifier = json_array_get(modifiers, i);
        bool on = json_array_size(tree_json_array(modifier, "distinct_on_targets")) > 0;
        if (on || tree_json_is(modifier, "type", "LIMIT_PERCENT_MODIFIER"))
            return false;
    }
    return true;
}

static bool suits(const json_t *node)
{
    bool forced = tree_json_is(node, "aggregate_handling", "FORCE_AGGREGATES");
    const json_t *from = json_object_get(node, "from_table");

    return tree_json_is(node, "type", "SELECT_NODE") &&
           (forced || tree_json_is(node, "aggregate_handling", "STANDARD_HANDLING")) &&
           (tree_json_is(from, "type", "JOIN") || tree_json_is(from, "type", "SUBQUERY")) &&
           is_empty(json_object_get(node, "qualify")) &&
           is_empty(json_object_get(node, "sample")) && one_group_set(node) && modifiers_suit(node);
}

/* Something that another owner has, or a WITH query may read. */
static bool reads_others(const struct tree *tree, const struct fm_plan_table *tables,
                         const struct fm_plan_table *table, const json_t *part)
{
    const char *key = NULL;
    json_t *member = NULL;

    if (tree_json_is(part, "type", "BASE_TABLE")) {
        for (uint32_t i = 0; i < tree->table_count; i++) {
            if (tree->tables[i].node == part)
                return !fm_plan_one_owner(&tables[i], table);
        }
        return true;
    }
    for (size_t i = 0; i < json_array_size(part); i++) {
        if (reads_others(tree, tables, table, json_array_get(part, i)))
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)part, key, member)
    {
        if (reads_others(tree, tables, table, member))
            return true;
    }
    return false;
}

/* May go below, alone or with others. */
static bool may_go(const struct names *names, uint32_t leaf)
{
    const struct names_leaf *at = &names->leaves[leaf];

    if (at->relation == NULL || !at->kept || !at->closed)
        return false;
    const struct fm_plan_table *table = at->relation;
    if (table->is_own)
        return false;
    for (uint32_t i = 0; i < table->schema->field_count; i++) {
        if (strncasecmp(table->schema->fields[i].name, "fm_", 3) == 0)
            return false;
    }
    for (uint32_t i = 0; i < names->leaf_count; i++) {
        const struct names_leaf *other = &names->leaves[i];
        if (i != leaf && strcasecmp(other->alias, at->alias) == 0)
            return false;
        if (other->table == NAMES_NO_TABLE && names_may_reach(names, leaf, other->node))
            return false; /* A lateral join. */
    }
    return true;
}

static bool is_candidate(const struct names *names, uint32_t leaf)
{
    const struct fm_plan_table *table = names->leaves[leaf].relation;

    return may_go(names, leaf) && (table->rows == 0 || table->rows >= ROWS_MIN) &&
           reads_others(names->tree, names->tables, table, names->node);
}

/* The leaves that a condition reads, 0 when that is not known. */
struct links {
    const struct names *names;
    uint64_t read;
    bool in_doubt;
};

static enum fm_status note_link(void *context, const struct tree_place *place)
{
    struct links *links = context;
    json_t *node = tree_place_get(place);

    if (!tree_json_is(node, "class", "COLUMN_REF")) {
        links->in_doubt = links->in_doubt || tree_json_is(node, "class", "SUBQUERY");
        return tree_each_child(node, note_link, context);
    }
    struct names_found found = names_find(links->names, node, NAMES_IN_ROWS);
    links->in_doubt = links->in_doubt || found.kind != NAMES_COLUMN;
    links->read |= found.kind == NAMES_COLUMN ? UINT64_C(1) << found.leaf : 0;
    return FM_OK;
}

/* Add the leaves of `among` that an equality of `condition` ties to those in `tied`. */
static void tie(const struct names *names, json_t *condition, uint64_t among, uint64_t *tied)
{
    const json_t *list = tree_json_array(condition, "children");
    struct links links = {names, 0, false};

    if (tree_json_is(condition, "type", "CONJUNCTION_AND")) {
        for (size_t i = 0; i < json_array_size(list); i++)
            tie(names, json_array_get(list, i), among, tied);
        return;
    }
    if (!tree_json_is(condition, "type", "COMPARE_EQUAL") ||
        tree_each_child(condition, note_link, &links) != FM_OK || links.in_doubt)
        return;
    if ((links.read & ~among) == 0 && (links.read & *tied) != 0)
        *tied |= links.read;
}

static void tie_in_joins(const struct names *names, json_t *from, uint64_t among, uint64_t *tied)
{
    if (!tree_json_is(from, "type", "JOIN"))
        return;
    tie_in_joins(names, json_object_get(from, "left"), among, tied);
    tie_in_joins(names, json_object_get(from, "right"), among, tied);
    if (tree_json_is(from, "join_type", "INNER"))
        tie(names, json_object_get(from, "condition"), among, tied);
}

static bool has_using(const json_t *from)
{
    return tree_json_is(from, "type", "JOIN") &&
           (json_array_size(tree_json_array(from, "using_columns")) > 0 ||
            has_using(json_object_get(from, "left")) || has_using(json_object_get(from, "right")));
}

/* The table with those of its owner that equalities tie to it, in one region of inner joins: they
 * can be joined below. */
static uint64_t tied_to(const struct names *names, uint32_t leaf)
{
    json_t *from = json_object_get(names->node, "from_table");
    const struct names_leaf *at = &names->leaves[leaf];
    const struct fm_plan_table *table = at->relation;
    uint64_t among = 0;
    uint64_t tied = UINT64_C(1) << leaf;

    _Static_assert(NAMES_LEAVES_MAX <= 64, "a mask holds all leaves");
    for (uint32_t i = 0; i < names->leaf_count; i++) {
        if (at->table == NAMES_NO_TABLE || strcasecmp(names->leaves[i].alias, JOINED_ALIAS) == 0)
            return tied;
        if (names->leaves[i].table != NAMES_NO_TABLE && may_go(names, i) &&
            names->leaves[i].region == at->region &&
            fm_plan_one_owner(names->leaves[i].relation, table))
            among |= UINT64_C(1) << i;
    }
    for (uint64_t before = 0; before != tied && !has_using(from);) {
        before = tied;
        tie_in_joins(names, from, among, &tied);
        tie(names, json_object_get(names->node, "where_clause"), among, &tied);
    }
    return tied;
}

/* ---- ON and WHERE ---------------------------------------------------------------------------- */

/* Conditions on the table alone go below; `rest` gets what stays, itself and not a copy: there may
 * be tables in it. */
static enum fm_status split(struct aggregate *a, json_t *condition, json_t *rest)
{
    enum fm_status status = FM_OK;

    if (tree_json_is(condition, "type", "CONJUNCTION_AND")) {
        const json_t *list = tree_json_array(condition, "children");
        for (size_t i = 0; status == FM_OK && i < json_array_size(list); i++)
            status = split(a, json_array_get(list, i), rest);
        return status;
    }
    bool below = aggregate_is_own(a, condition);
    json_t *one = below ? aggregate_inner(a, condition) : json_incref(condition);
    return json_array_append_new(below ? a->where : rest, one) == 0 ? FM_OK : FM_NOMEM;
}

static enum fm_status rewrite_all(struct aggregate *a, json_t *list)
{
    enum fm_status status = FM_OK;

    for (size_t i = 0; status == FM_OK && i < json_array_size(list); i++) {
        struct tree_place place = {list, NULL, i};
        status = aggregate_rewrite(a, &place);
    }
    return status;
}

static enum fm_status split_at(struct aggregate *a, json_t *object, const char *key)
{
    FM_AUTO(tree_json_freep) json_t *rest = json_array();
    json_t *condition = json_object_get(object, key);

    if (rest == NULL)
        return FM_NOMEM;
    if (is_empty(condition))
        return FM_OK;
    enum fm_status status = split(a, condition, rest);
    if (status == FM_OK)
        status = rewrite_all(a, rest);
    if (status == FM_OK && json_object_set_new(object, key, tree_build_all(FM_TAKE(rest))) != 0)
        status = FM_NOMEM;
    return status;
}

static enum fm_status keep_using(struct aggregate *a, const json_t *join)
{
    const json_t *columns = tree_json_array(join, "using_columns");
    const struct fm_schema *schema = aggregate_largest(a)->schema;

    fm_assert(json_array_size(columns) == 0 || !aggregate_is_joined(a));
    for (size_t i = 0; i < json_array_size(columns); i++) {
        uint32_t field = 0;
        struct fm_span name = fm_span_str(json_string_value(json_array_get(columns, i)));
        if (fm_schema_find(schema, name, &field) != FM_OK)
            continue;
        if (!total_is_key(total_shape_of_type(&schema->fields[field].type)))
            return AGGREGATE_LEAVE;
        json_t *key = aggregate_key(a, tree_build_column(a->alias, schema->fields[field].name));
        json_decref(key);
        if (key == NULL)
            return FM_NOMEM;
    }
    return FM_OK;
}

/* What became of a part of FROM. */
struct part {
    bool below; /* A leaf in it goes below, */
    bool gone;  /* and nothing of it stays here. */
};

/* The conditions of a join that is gone here: those on what goes below go there, the rest to
 * WHERE; all joins around are inner ones. */
static enum fm_status loosen(struct aggregate *a, json_t *condition)
{
    if (is_empty(condition))
        return FM_OK;
    return json_array_append(a->loose, condition) == 0 ? FM_OK : FM_NOMEM;
}

static enum fm_status rewrite_condition(struct aggregate *a, json_t *join, bool below)
{
    bool was_empty = is_empty(json_object_get(join, "condition"));

    if (!below || !tree_json_is(join, "join_type", "INNER"))
        return aggregate_rewrite_at(a, join, "condition");
    enum fm_status status = split_at(a, join, "condition");
    if (status == FM_OK && !was_empty && is_empty(json_object_get(join, "condition")) &&
        json_object_set_new(join, "ref_type", json_string("CROSS")) != 0)
        return FM_NOMEM;
    return status;
}

/* `seen` counts leaves as names_read() does. The largest leaf that goes below stays where it is,
 * to become what is made; the others go from here. */
static enum fm_status rewrite_from(struct aggregate *a, json_t *parent, const char *key,
                                   uint32_t *seen, struct part *out)
{
    json_t *from = json_object_get(parent, key);
    struct part left = {false, false};
    struct part right = {false, false};

    *out = (struct part){false, false};
    if (tree_json_is(from, "type", "EMPTY"))
        return FM_OK;
    if (!tree_json_is(from, "type", "JOIN")) {
        uint32_t leaf = (*seen)++;
        out->below = (a->leaves >> leaf & 1u) != 0;
        out->gone = out->below && leaf != a->leaf;
        return out->gone && json_array_append(a->from, from) != 0 ? FM_NOMEM : FM_OK;
    }
    enum fm_status status = rewrite_from(a, from, "left", seen, &left);
    if (status == FM_OK)
        status = rewrite_from(a, from, "right", seen, &right);
    *out = (struct part){left.below || right.below, left.gone && right.gone};
    if (status == FM_OK && out->below)
        status = keep_using(a, from);
    if (status != FM_OK)
        return status;
    if (!left.gone && !right.gone)
        return rewrite_condition(a, from, out->below);
    status = loosen(a, json_object_get(from, "condition"));
    if (status == FM_OK && !out->gone &&
        json_object_set(parent, key, json_object_get(from, left.gone ? "right" : "left")) != 0)
        status = FM_NOMEM;
    return status;
}

/* WHERE, with the conditions of joins that are gone. */
static enum fm_status rewrite_where(struct aggregate *a, json_t *node)
{
    json_t *where = json_incref(json_object_get(node, "where_clause"));
    json_t *all = tree_build_and(tree_build_all(json_copy(a->loose)), where);

    if (json_object_set_new(node, "where_clause", all) != 0)
        return FM_NOMEM;
    return split_at(a, node, "where_clause");
}

/* ---- Groups, items, order -------------------------------------------------------------------- */

/* The expression that an item of GROUP BY means: itself, or the item that it names. */
static const json_t *group_of(const struct aggregate *a, const json_t *expression)
{
    const json_t *items = tree_json_array(a->names->node, "select_list");
    const json_t *value = json_object_get(expression, "value");
    const json_t *parts = tree_json_array(expression, "column_names");
    int64_t position = 0;

    if (tree_json_is(expression, "class", "CONSTANT") &&
        tree_json_int(json_object_get(value, "value"), 1, (int64_t)json_array_size(items),
                      &position))
        return json_array_get(items, (size_t)position - 1);
    if (parts != NULL && json_array_size(parts) == 1 &&
        names_find(a->names, expression, NAMES_IN_ROWS).kind == NAMES_ALIAS)
        return names_item(a->names, json_string_value(json_array_get(parts, 0)));
    return expression;
}

static enum fm_status add_grouped(struct aggregate *a, const json_t *expression)
{
    if (expression == NULL || tree_json_is(expression, "class", "COLUMN_REF") ||
        !aggregate_is_own(a, expression) ||
        !total_is_key(total_shape(a->names, a->leaves, expression)))
        return FM_OK;
    return json_array_append_new(a->grouped, aggregate_inner(a, expression)) == 0 ? FM_OK
                                                                                  : FM_NOMEM;
}

/* GROUP BY ALL groups by the items without aggregates; one with them is not the table's own. */
static enum fm_status find_grouped(struct aggregate *a)
{
    const json_t *node = a->names->node;
    const json_t *groups = tree_json_array(node, "group_expressions");
    const json_t *items = tree_json_array(node, "select_list");
    bool all = tree_json_is(node, "aggregate_handling", "FORCE_AGGREGATES");
    enum fm_status status = FM_OK;

    for (size_t i = 0; status == FM_OK && i < json_array_size(groups); i++)
        status = add_grouped(a, group_of(a, json_array_get(groups, i)));
    for (size_t i = 0; all && status == FM_OK && i < json_array_size(items); i++)
        status = add_grouped(a, json_array_get(items, i));
    return status;
}

/* A column is called as in its table. */
static enum fm_status name_before(const struct aggregate *a,
                                  const struct aggregate_options *options, const json_t *item,
                                  struct fm_buf *out)
{
    if (!tree_json_is(item, "class", "COLUMN_REF"))
        return options->name_of(options->context, item, out);
    struct names_found found = names_find(a->names, item, NAMES_IN_ROWS);
    const struct fm_field *field = names_field(a->names, &found);
    fm_assert(field != NULL);
    fm_buf_put_str(out, field->name);
    return fm_buf_status(out);
}

/* An item that has no name is called by its text: as it was. */
static enum fm_status name_item(const struct aggregate *a, const struct aggregate_options *options,
                                const json_t *before, const struct tree_place *place)
{
    FM_AUTO(fm_buf_free) struct fm_buf name = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);
    json_t *item = tree_place_get(place);

    bool is_column = tree_json_is(before, "class", "COLUMN_REF") && !aggregate_is_joined(a);
    if (options == NULL || is_column || !tree_json_is(before, "alias", "") ||
        tree_same(before, item))
        return FM_OK;
    enum fm_status status = name_before(a, options, before, &name);
    if (status != FM_OK)
        return status;
    return json_object_set_new(item, "alias", json_stringn((const char *)name.data, name.len)) == 0
               ? FM_OK
               : FM_NOMEM;
}

static enum fm_status rewrite_items(struct aggregate *a, const struct aggregate_options *options,
                                    json_t *items)
{
    const json_t *before = tree_json_array(a->names->node, "select_list");
    enum fm_status status = FM_OK;

    for (size_t i = 0; status == FM_OK && i < json_array_size(items); i++) {
        struct tree_place place = {items, NULL, i};
        status = aggregate_rewrite(a, &place);
        if (status == FM_OK)
            status = name_item(a, options, json_array_get(before, i), &place);
    }
    return status;
}

static enum fm_status rewrite_modifier(struct aggregate *a, json_t *modifier)
{
    json_t *orders = tree_json_array(modifier, "orders");
    enum fm_status status = FM_OK;

    a->clause = NAMES_IN_ORDER;
    for (size_t i = 0; status == FM_OK && i < json_array_size(orders); i++) {
        json_t *order = json_array_get(orders, i);
        if (tree_json_is(json_object_get(order, "expression"), "class", "STAR"))
            continue; /* ORDER BY ALL: by the items. */
        status = aggregate_rewrite_at(a, order, "expression");
    }
    a->clause = NAMES_IN_GROUPS;
    if (status == FM_OK)
        status = aggregate_rewrite_at(a, modifier, "limit");
    return status == FM_OK ? aggregate_rewrite_at(a, modifier, "offset") : status;
}

static enum fm_status rewrite_node(struct aggregate *a, const struct aggregate_options *options,
                                   json_t *node)
{
    json_t *modifiers = tree_json_array(node, "modifiers");
    uint32_t seen = 0;
    struct part all = {false, false};

    enum fm_status status = find_grouped(a);
    a->before_groups = true;
    if (status == FM_OK)
        status = rewrite_from(a, node, "from_table", &seen, &all);
    if (status == FM_OK)
        status = rewrite_where(a, node);
    a->before_groups = false;
    if (status == FM_OK)
        status = rewrite_all(a, tree_json_array(node, "group_expressions"));
    a->may_aggregate = true;
    if (status == FM_OK)
        status = rewrite_items(a, options, tree_json_array(node, "select_list"));
    a->clause = NAMES_IN_GROUPS;
    if (status == FM_OK)
        status = aggregate_rewrite_at(a, node, "having");
    for (size_t i = 0; status == FM_OK && i < json_array_size(modifiers); i++)
        status = rewrite_modifier(a, json_array_get(modifiers, i));
    if (status != FM_OK)
        return status;
    fm_assert(all.below && !all.gone);
    bool groups = json_array_size(tree_json_array(node, "group_expressions")) > 0 ||
                  tree_json_is(node, "aggregate_handling", "FORCE_AGGREGATES");
    return a->aggregate_count > 0 || groups || is_distinct(node) ? FM_OK : AGGREGATE_LEAVE;
}

/* ---- The SELECT made ------------------------------------------------------------------------- */

static json_t *without_names(const json_t *list)
{
    json_t *out = json_array();

    for (size_t i = 0; out != NULL && i < json_array_size(list); i++) {
        if (json_array_append_new(
                out, tree_build_named(json_incref(json_array_get(list, i)), "")) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Without keys there is one group, and none of an empty table. */
json_t *aggregate_select(struct aggregate *a, json_t *from)
{
    json_t *having = json_null();

    if (json_array_size(a->keys) == 0) {
        json_t *rows = tree_build_call("count_star", json_null(), json_null());
        having = tree_build_compare("COMPARE_GREATERTHAN", rows, tree_build_integer(0));
        if (json_array_size(a->partials) == 0)
            json_decref(
                aggregate_partial(a, tree_build_call("count_star", json_null(), json_null())));
    }
    json_t *items = json_copy(a->keys);
    if (items == NULL || json_array_extend(items, a->partials) != 0) {
        json_decref(items);
        json_decref(having);
        json_decref(from);
        return NULL;
    }
    return tree_build_select(items, from, tree_build_all(json_incref(a->where)),
                             without_names(a->keys), having);
}

/* The table's node becomes the derived table; the table moves into it. */
static enum fm_status put_below(struct aggregate *a, struct tree *tree, json_t *leaf,
                                struct aggregate_made *made)
{
    uint32_t table = a->names->leaves[a->leaf].table;
    FM_AUTO(tree_json_freep) json_t *base = json_copy(leaf);
    FM_AUTO(tree_json_freep) json_t *derived = NULL;

    json_t *from = base != NULL ? json_incref(base) : NULL;
    for (size_t i = 0; from != NULL && i < json_array_size(a->from); i++)
        from = tree_build_cross_join(from, json_incref(json_array_get(a->from, i)));
    json_t *select = from != NULL ? aggregate_select(a, from) : NULL;
    bool known = false;
    uint64_t rows = aggregate_groups(a, aggregate_largest(a)->rows, &known);
    *made = (struct aggregate_made){select, rows};
    derived = tree_build_derived(select, a->alias);
    if (derived == NULL || json_array_append(tree->kept, base) != 0 ||
        json_object_clear(leaf) != 0 || json_object_update(leaf, derived) != 0)
        return FM_NOMEM;
    tree->tables[table].node = base;
    return FM_OK;
}

/* ---- The walk -------------------------------------------------------------------------------- */

struct push {
    struct aggregate_parts *parts; /* Of the node at hand: `parts_count` derived tables. */
    uint32_t parts_count;
    struct tree *tree;
    const struct fm_plan_table *tables;
    const struct aggregate_options *options;
    struct aggregate_made *made;
    uint32_t made_count;
};

static const struct aggregate_parts *parts_of(const struct push *push,
                                              const struct names_leaf *leaf)
{
    for (uint32_t i = 0; i < push->parts_count; i++) {
        if (&push->parts[i].table == leaf->relation)
            return &push->parts[i];
    }
    return NULL;
}

/* First on a copy, to see whether it goes through; then on the node itself. */
static enum fm_status push_leaves(struct push *push, struct names *names, uint64_t leaves,
                                  uint32_t leaf)
{
    json_t *node = names->node;
    FM_AUTO(tree_json_freep) json_t *before = json_deep_copy(node);
    FM_AUTO(tree_json_freep) json_t *trial = json_deep_copy(node);
    struct aggregate a = {0};

    if (before == NULL || trial == NULL)
        return FM_NOMEM;
    json_t *at = names->leaves[leaf].node;
    names->node = before;
    enum fm_status status = aggregate_init(&a, names, leaves, leaf);
    if (status == FM_OK)
        status = rewrite_node(&a, NULL, trial);
    if (status == FM_OK && !aggregate_pays(&a))
        status = AGGREGATE_LEAVE;
    aggregate_deinit(&a);
    if (status == FM_OK)
        status = aggregate_init(&a, names, leaves, leaf);
    if (status == FM_OK)
        status = rewrite_node(&a, push->options, node);
    const struct aggregate_parts *parts = parts_of(push, &names->leaves[leaf]);
    if (status == FM_OK && parts != NULL)
        status = aggregate_put_parts(&a, push->tree, at, parts, push->made, &push->made_count);
    else if (status == FM_OK)
        status = put_below(&a, push->tree, at, &push->made[push->made_count++]);
    aggregate_deinit(&a);
    names->node = node;
    return status;
}

/* With what its owner can join to it, else alone. */
static enum fm_status push_leaf(struct push *push, struct names *names, uint32_t leaf)
{
    uint64_t alone = UINT64_C(1) << leaf;
    uint64_t tied = tied_to(names, leaf);
    enum fm_status status = AGGREGATE_LEAVE;

    if (tied != alone)
        status = push_leaves(push, names, tied, leaf);
    return status == AGGREGATE_LEAVE ? push_leaves(push, names, alone, leaf) : status;
}

/* The tables with most rows first; unknown numbers are large. */
static enum fm_status push_select(struct push *push, struct names *names)
{
    bool tried[NAMES_LEAVES_MAX] = {false};

    for (uint32_t round = 0; round < names->leaf_count; round++) {
        uint32_t best = NAMES_LEAVES_MAX;
        uint64_t most = 0;
        for (uint32_t i = 0; i < names->leaf_count; i++) {
            const struct fm_plan_table *table = names->leaves[i].relation;
            if (tried[i] || table == NULL)
                continue;
            uint64_t rows = table->rows - 1; /* 0 is the largest. */
            if (best == NAMES_LEAVES_MAX || rows > most) {
                best = i;
                most = rows;
            }
        }
        if (best == NAMES_LEAVES_MAX)
            return FM_OK;
        tried[best] = true;
        enum fm_status status =
            is_candidate(names, best) ? push_leaf(push, names, best) : AGGREGATE_LEAVE;
        if (status != AGGREGATE_LEAVE)
            return status;
    }
    return FM_OK;
}

/* Something that a group could be made of. */
static bool may_group(const json_t *node)
{
    const char *key = NULL;
    json_t *member = NULL;

    if (tree_json_is(node, "class", "FUNCTION") &&
        aggregate_is_known(tree_json_text(node, "function_name")))
        return true;
    for (size_t i = 0; i < json_array_size(node); i++) {
        if (may_group(json_array_get(node, i)))
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)node, key, member)
    {
        if (may_group(member))
            return true;
    }
    return false;
}

static bool groups(const json_t *node)
{
    return json_array_size(tree_json_array(node, "group_expressions")) > 0 ||
           tree_json_is(node, "aggregate_handling", "FORCE_AGGREGATES") || is_distinct(node) ||
           may_group(tree_json_array(node, "select_list"));
}

/* Derived tables that can be grouped where they come from. */
static enum fm_status describe_derived(struct push *push, struct names *names)
{
    enum fm_status status = FM_OK;

    if (push->options->parts_of == NULL || !groups(names->node))
        return FM_OK;
    push->parts = calloc(names->leaf_count > 0 ? names->leaf_count : 1, sizeof *push->parts);
    if (push->parts == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < names->leaf_count && status == FM_OK; i++) {
        struct names_leaf *leaf = &names->leaves[i];
        struct aggregate_parts *parts = &push->parts[push->parts_count];
        if (!tree_json_is(leaf->node, "type", "SUBQUERY"))
            continue;
        status = push->options->parts_of(push->options->context, leaf->node, parts);
        if (status == FM_OK) {
            names_describe(names, i, &parts->table, PARTS_ALIAS);
            push->parts_count++;
        } else if (status == FM_NOTFOUND) {
            status = FM_OK;
        }
    }
    return status;
}

static enum fm_status push_node(struct push *push, json_t *node)
{
    enum fm_status status = FM_OK;

    if (!suits(node))
        return FM_OK;
    struct names *names = malloc(sizeof *names); /* Large, and nodes may be nested deeply. */
    if (names == NULL)
        return FM_NOMEM;
    if (names_read(names, push->tree, push->tables, node))
        status = describe_derived(push, names);
    if (status == FM_OK && names->leaf_count > 0)
        status = push_select(push, names);
    for (uint32_t i = 0; i < push->parts_count; i++)
        fm_plan_table_deinit(&push->parts[i].table);
    free(push->parts);
    push->parts = NULL;
    push->parts_count = 0;
    free(names);
    return status;
}

/* Not inside recursion, which would run what is made once per step. */
static enum fm_status walk(struct push *push, json_t *part)
{
    enum fm_status status = FM_OK;
    const char *key = NULL;
    json_t *member = NULL;

    for (size_t i = 0; status == FM_OK && i < json_array_size(part); i++)
        status = walk(push, json_array_get(part, i));
    if (!json_is_object(part) || tree_json_is(part, "type", "RECURSIVE_CTE_NODE"))
        return status;
    json_object_foreach(part, key, member)
    {
        if (status == FM_OK)
            status = walk(push, member);
    }
    return status == FM_OK ? push_node(push, part) : status;
}

enum fm_status aggregate_push(struct tree *tree, const struct fm_plan_table *tables,
                              const struct aggregate_options *options, struct aggregate_made *made,
                              uint32_t *made_count)
{
    struct push push = {.tree = tree, .tables = tables, .options = options, .made = made};

    fm_assert(options != NULL && options->name_of != NULL);
    *made_count = 0;
    enum fm_status status = walk(&push, tree_json_array(tree->root, "statements"));
    if (status == FM_OK)
        *made_count = push.made_count;
    return status;
}
