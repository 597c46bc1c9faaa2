#include "query/replay.h"

#include "core/assert.h"
#include "query/tree.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- The plan ------------------------------------------------------------------------------- */

void fm_replay_deinit(struct fm_replay *replay)
{
    for (uint32_t i = 0; replay->slots != NULL && i < replay->slot_count; i++) {
        fm_columns_deinit(&replay->slots[i].columns);
        free(replay->slots[i].supplied);
    }
    free(replay->slots);
    fm_buf_free(&replay->sql);
    *replay = (struct fm_replay){0};
}

static enum fm_status malformed(struct fm_error *err, const char *what)
{
    return fm_fail(err, FM_MALFORMED, "the answer's plan: %s", what);
}

static enum fm_status read_column(const json_t *item, struct fm_column *out, struct fm_error *err)
{
    const json_t *name = json_array_get(item, 0);
    const json_t *type = json_array_get(item, 1);

    if (json_array_size(item) != 2 || !json_is_string(name) || !json_is_string(type) ||
        json_string_length(name) >= sizeof out->name ||
        strlen(json_string_value(name)) != json_string_length(name))
        return malformed(err, "a column of a slot has no name and type");
    enum fm_status status =
        fm_type_parse(fm_span(json_string_value(type), json_string_length(type)), &out->type, err);
    if (status != FM_OK)
        return status == FM_NOMEM ? status : malformed(err, "a column of a slot has no type");
    memcpy(out->name, json_string_value(name), json_string_length(name) + 1);
    out->as_text = true; /* ENUMs make a merge faster and its rows no others. */
    return FM_OK;
}

static enum fm_status read_columns(const json_t *list, struct fm_columns *out, struct fm_error *err)
{
    size_t count = json_array_size(list);

    if (count == 0 || count > FM_COLUMNS_MAX)
        return malformed(err, "a slot has no columns; was the query asked with fragments?");
    out->items = calloc(count, sizeof *out->items);
    if (out->items == NULL)
        return fm_fail(err, FM_NOMEM, "read a plan");
    for (size_t i = 0; i < count; i++) {
        enum fm_status status = read_column(json_array_get(list, i), &out->items[i], err);
        if (status != FM_OK)
            return status;
        out->count++;
    }
    return FM_OK;
}

static enum fm_status read_supplied(const json_t *list, struct fm_replay_slot *slot,
                                    struct fm_error *err)
{
    size_t count = json_array_size(list);
    int64_t at = 0;

    if (count == 0 || count > slot->columns.count)
        return malformed(err, "a slot is supplied with no columns");
    slot->supplied = calloc(count, sizeof *slot->supplied);
    if (slot->supplied == NULL)
        return fm_fail(err, FM_NOMEM, "read a plan");
    for (size_t i = 0; i < count; i++) {
        /* Rising, so each once. */
        if (!tree_json_int(json_array_get(list, i), i == 0 ? 0 : at + 1,
                           (int64_t)slot->columns.count - 1, &at))
            return malformed(err, "a slot is supplied with columns that it does not have");
        slot->supplied[i] = (uint32_t)at;
    }
    slot->supplied_count = (uint32_t)count;
    return FM_OK;
}

static enum fm_status read_merge(const json_t *root, struct fm_replay *out, struct fm_error *err)
{
    const json_t *fragments = tree_json_array(root, "fragments");
    const char *sql = tree_json_text(root, "sql");
    enum fm_status status = FM_OK;

    if (fragments == NULL || json_array_size(fragments) > FM_QUERY_TABLES_MAX || sql == NULL)
        return malformed(err, "it has no fragments or no statement");
    out->slots = calloc(json_array_size(fragments) + 1, sizeof *out->slots);
    if (out->slots == NULL)
        return fm_fail(err, FM_NOMEM, "read a plan");
    out->streams = json_is_true(json_object_get(root, "streams"));
    for (size_t i = 0; i < json_array_size(fragments) && status == FM_OK; i++) {
        const json_t *fragment = json_array_get(fragments, i);
        struct fm_replay_slot *slot = &out->slots[out->slot_count++];
        status = read_columns(tree_json_array(fragment, "slot"), &slot->columns, err);
        if (status == FM_OK)
            status = read_supplied(tree_json_array(fragment, "supplied"), slot, err);
    }
    if (status != FM_OK)
        return status;
    fm_buf_put_str(&out->sql, sql);
    return fm_buf_status(&out->sql) == FM_OK ? FM_OK : malformed(err, "its statement is too long");
}

enum fm_status fm_replay_read(struct fm_span plan, struct fm_replay *out, struct fm_error *err)
{
    FM_AUTO(tree_json_freep) json_t *root = NULL;
    struct fm_replay replay = {.sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX)};

    enum fm_status status = tree_json_load(plan, &root, err);
    if (status != FM_OK)
        return status;
    replay.is_merge = tree_json_is(root, "kind", "merge");
    if (replay.is_merge)
        status = read_merge(root, &replay, err);
    else if (!tree_json_is(root, "kind", "ship") && !tree_json_is(root, "kind", "lookup"))
        status = malformed(err, "its kind is not known");
    if (status == FM_OK)
        *out = replay;
    else
        fm_replay_deinit(&replay);
    return status;
}

/* ---- The statement -------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; name != NULL && i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_volatile(const json_t *node)
{
    static const char *const names[] = {
        "random", "uuid",          "gen_random_uuid",    "uuidv4",
        "uuidv7", "sample_random", "reservoir_quantile",
    };

    return tree_json_is(node, "class", "FUNCTION") &&
           is_one_of(tree_json_text(node, "function_name"), names, sizeof names / sizeof names[0]);
}

/* Aggregates that depend on the order of their rows, or of those with equal keys. */
static bool is_ordered_aggregate(const json_t *node)
{
    static const char *const names[] = {
        "first",
        "last",
        "any_value",
        "arbitrary",
        "list",
        "array_agg",
        "string_agg",
        "group_concat",
        "listagg",
        "arg_min",
        "argmin",
        "min_by",
        "arg_max",
        "argmax",
        "max_by",
        "arg_min_null",
        "arg_max_null",
        "mode",
        "approx_quantile",
        "approx_top_k",
        "json_group_array",
        "json_group_object",
        "json_group_structure",
        "map_from_entries",
        "histogram",
        "histogram_exact",
    };

    return tree_json_is(node, "class", "FUNCTION") &&
           is_one_of(tree_json_text(node, "function_name"), names, sizeof names / sizeof names[0]);
}

static bool is_limit(const json_t *node)
{
    return tree_json_is(node, "type", "LIMIT_MODIFIER") ||
           tree_json_is(node, "type", "LIMIT_PERCENT_MODIFIER");
}

static bool is_open(const json_t *node)
{
    if (tree_json_is(node, "class", "WINDOW") || is_ordered_aggregate(node) ||
        tree_json_is(node, "with_ordinality", "WITH_ORDINALITY"))
        return true;
    return tree_json_is(node, "type", "DISTINCT_MODIFIER") &&
           json_array_size(tree_json_array(node, "distinct_on_targets")) != 0;
}

/* Objects that are such ones. The depth was bounded when it was read. */
static unsigned count_of(const json_t *json, bool (*is_such)(const json_t *))
{
    unsigned count = json_is_object(json) && is_such(json) ? 1 : 0;
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json)) {
        json_object_foreach((json_t *)(uintptr_t)json, key, value) count +=
            count_of(value, is_such);
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value) count += count_of(value, is_such);
    }
    return count;
}

static const json_t *top_of(const struct tree *tree)
{
    return json_object_get(json_array_get(tree_json_array(tree->root, "statements"), 0), "node");
}

static const json_t *modifier_of(const struct tree *tree, const char *type)
{
    const json_t *modifiers = tree_json_array(top_of(tree), "modifiers");

    for (size_t i = 0; i < json_array_size(modifiers); i++)
        if (tree_json_is(json_array_get(modifiers, i), "type", type))
            return json_array_get(modifiers, i);
    return NULL;
}

/* ---- ORDER BY of the whole statement --------------------------------------------------------- */

/* The only column of this name. */
static bool find_name(const struct fm_columns *columns, const char *name, uint32_t *out)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < columns->count; i++) {
        if (strcasecmp(columns->items[i].name, name) != 0)
            continue;
        *out = i;
        found++;
    }
    return found == 1;
}

static bool holds_star(const json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (tree_json_is(json_array_get(items, i), "class", "STAR"))
            return true;
    return false;
}

/* An item of the select list that is this very reference. */
static bool find_item(const json_t *items, const json_t *reference, uint32_t *out)
{
    const json_t *names = tree_json_array(reference, "column_names");

    for (size_t i = 0; i < json_array_size(items) && !holds_star(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (!tree_json_is(item, "class", "COLUMN_REF") ||
            !json_equal(tree_json_array(item, "column_names"), names))
            continue;
        *out = (uint32_t)i;
        return true;
    }
    return false;
}

/* Which column of the rows an item of ORDER BY is. A name without a dot is first of all one of
 * theirs. */
static bool find_key(const struct tree *tree, const json_t *expression,
                     const struct fm_columns *columns, uint32_t *out)
{
    const json_t *items = tree_json_array(top_of(tree), "select_list");
    const json_t *names = tree_json_array(expression, "column_names");
    const json_t *value = json_object_get(expression, "value");
    int64_t number = 0;

    if (tree_json_is(expression, "class", "COLUMN_REF"))
        return json_array_size(names) == 1
                   ? find_name(columns, json_string_value(json_array_get(names, 0)), out)
                   : find_item(items, expression, out) && *out < columns->count;
    if (!tree_json_is(expression, "class", "CONSTANT") ||
        !tree_json_int(json_object_get(value, "value"), 1, columns->count, &number))
        return false;
    *out = (uint32_t)number - 1;
    return true;
}

static void find_keys(const struct tree *tree, const struct fm_columns *columns,
                      struct fm_replay_form *form)
{
    const json_t *orders = tree_json_array(modifier_of(tree, "ORDER_MODIFIER"), "orders");
    size_t count = json_array_size(orders);

    form->is_ordered = count > 0 && count <= FM_REPLAY_KEYS_MAX;
    for (size_t i = 0; i < count && form->is_ordered; i++)
        form->is_ordered = find_key(tree, json_object_get(json_array_get(orders, i), "expression"),
                                    columns, &form->keys[i]);
    form->key_count = form->is_ordered ? (uint32_t)count : 0;
}

/* ---- LIMIT of the whole statement ------------------------------------------------------------ */

/* A constant LIMIT without OFFSET. */
static bool find_limit(const struct tree *tree, uint64_t *out)
{
    const json_t *modifier = modifier_of(tree, "LIMIT_MODIFIER");
    const json_t *limit = json_object_get(modifier, "limit");
    const json_t *offset = json_object_get(modifier, "offset");
    int64_t number = 0;

    if (modifier == NULL || (offset != NULL && !json_is_null(offset)) ||
        !tree_json_is(limit, "class", "CONSTANT") ||
        !tree_json_int(json_object_get(json_object_get(limit, "value"), "value"), 0, INT64_MAX - 1,
                       &number))
        return false;
    *out = (uint64_t)number;
    return true;
}

/* By text, as tree_share() puts text in front: printing a tree loses words. */
static bool raise_limit(struct fm_buf *sql, uint64_t limit)
{
    char now[48];

    for (int form = 0; form < 2; form++) {
        int len = snprintf(now, sizeof now, form == 0 ? " LIMIT %llu" : " LIMIT (%llu)",
                           (unsigned long long)limit);
        if (len <= 0 || sql->len < (size_t)len ||
            memcmp(sql->data + sql->len - len, now, (size_t)len) != 0)
            continue;
        sql->len -= (size_t)len;
        fm_buf_printf(sql, form == 0 ? " LIMIT %llu" : " LIMIT (%llu)",
                      (unsigned long long)limit + 1);
        return fm_buf_status(sql) == FM_OK;
    }
    return false;
}

/* ---- The gate -------------------------------------------------------------------------------- */

static enum fm_status read_tree(struct fm_worker *worker, const struct fm_replay *replay,
                                struct tree *tree, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);

    enum fm_status status = fm_worker_parse(worker, fm_buf_span(&replay->sql), &json, err);
    if (status == FM_OK)
        status = tree_read_merge(tree, replay->slot_count, fm_buf_span(&replay->sql),
                                 fm_buf_span(&json), err);
    if (status == FM_OK && (tree->timed || count_of(tree->root, is_volatile) != 0))
        status = fm_fail(err, FM_UNSUPPORTED,
                         "the statement asks for the time of day or for something random: it gives "
                         "other rows each time and cannot be done again");
    return status;
}

/* What is run is what passed: the statement with another LIMIT passes anew. */
static enum fm_status settle_limit(struct fm_worker *worker, struct fm_replay *replay,
                                   struct fm_replay_form *form, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct tree *tree = calloc(1, sizeof *tree);
    uint64_t limit = 0;

    if (tree == NULL)
        return fm_fail(err, FM_NOMEM, "check a plan");
    form->has_limit = raise_limit(&replay->sql, form->limit);
    enum fm_status status = read_tree(worker, replay, tree, err);
    if (status == FM_OK && form->has_limit &&
        (!find_limit(tree, &limit) || limit != form->limit + 1))
        status = fm_fail(err, FM_INTERNAL, "the statement's LIMIT is not where it was found");
    tree_deinit(tree);
    form->is_open = form->is_open || !form->has_limit;
    return status;
}

enum fm_status fm_replay_check(struct fm_worker *worker, struct fm_replay *replay,
                               const struct fm_columns *columns, struct fm_replay_form *form,
                               struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct tree *tree = calloc(1, sizeof *tree);

    fm_assert(replay->is_merge);
    if (tree == NULL)
        return fm_fail(err, FM_NOMEM, "check a plan");
    *form = (struct fm_replay_form){0};
    enum fm_status status = read_tree(worker, replay, tree, err);
    bool is_limited = false;
    if (status == FM_OK) {
        unsigned limits = count_of(tree->root, is_limit);
        find_keys(tree, columns, form);
        is_limited = limits == 1 && form->is_ordered && find_limit(tree, &form->limit);
        form->is_open = count_of(tree->root, is_open) != 0 || (limits != 0 && !is_limited);
    }
    tree_deinit(tree);
    return status == FM_OK && is_limited ? settle_limit(worker, replay, form, err) : status;
}
