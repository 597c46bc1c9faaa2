#include "query/carve.h"

#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

uint64_t planner_tables_under(const struct planner *planner, const json_t *node)
{
    uint64_t found = 0;
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(node)) {
        for (uint32_t t = 0; t < planner->tree->table_count; t++)
            if (planner->tree->tables[t].node == node)
                return UINT64_C(1) << t;
        json_object_foreach((json_t *)(uintptr_t)node, key, value) found |=
            planner_tables_under(planner, value);
    } else if (json_is_array(node)) {
        json_array_foreach(node, i, value) found |= planner_tables_under(planner, value);
    }
    return found;
}

bool planner_is_one_owner(const struct planner *planner, uint64_t tables)
{
    const struct fm_plan_table *first = NULL;

    for (uint32_t t = 0; t < planner->tree->table_count; t++) {
        const struct fm_plan_table *table = &planner->plan->tables[t];
        if ((tables >> t & 1u) == 0)
            continue;
        if (table->sql.len != 0)
            return false;
        if (first == NULL)
            first = table;
        if (!fm_plan_one_owner(first, table))
            return false;
    }
    return first != NULL;
}

/* ---- The part as a statement ----------------------------------------------------------------- */

/* A copy of `json` that shares its scalars; with fm_scan(n) in place of table n. */
static json_t *copy_with_scans(const struct tree *tree, json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json)) {
        for (uint32_t t = 0; t < tree->table_count; t++)
            if (tree->tables[t].node == json)
                return tree_scan_of(tree, t);
        json_t *copy = json_object();
        json_object_foreach(
            json, key, value) if (json_object_set_new(copy, key, copy_with_scans(tree, value)) != 0)
        {
            json_decref(copy);
            return NULL;
        }
        return copy;
    }
    if (json_is_array(json)) {
        json_t *copy = json_array();
        json_array_foreach(
            json, i, value) if (json_array_append_new(copy, copy_with_scans(tree, value)) != 0)
        {
            json_decref(copy);
            return NULL;
        }
        return copy;
    }
    return json_incref(json);
}

/* Takes `node`, a new reference. */
static enum fm_status print_statement(struct planner *planner, json_t *node, struct fm_buf *out)
{
    FM_AUTO(tree_json_freep)
    json_t *statement = json_pack("{s:b,s:[{s:o,s:[]}]}", "error", 0, "statements", "node", node,
                                  "named_param_map");
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);

    if (statement == NULL)
        return FM_NOMEM;
    enum fm_status status = tree_json_print(statement, &json);
    if (status == FM_OK)
        status = fm_worker_unparse(planner->worker, fm_buf_span(&json), out, planner->err);
    return status;
}

/* ---- Its slot -------------------------------------------------------------------------------- */

/* Names that can be written once: no two are equal without regard to case. */
static bool names_differ(const struct fm_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        if (strlen(columns->items[i].name) > FM_NAME_MAX)
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (strcasecmp(columns->items[i].name, columns->items[k].name) == 0)
                return false;
    }
    return true;
}

enum fm_status plan_make_schema(const struct fm_columns *columns, bool names_made,
                                struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = calloc(1, sizeof *schema);

    if (schema == NULL)
        return FM_NOMEM;
    schema->version = 1;
    schema->fields = calloc(columns->count, sizeof *schema->fields);
    if (schema->fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < columns->count; i++) {
        struct fm_field *field = &schema->fields[i];
        field->id = i + 1;
        if (names_made)
            (void)snprintf(field->name, sizeof field->name, "c%u", i); /* Fits. */
        else
            (void)snprintf(field->name, sizeof field->name, "%.*s", (int)FM_NAME_MAX,
                           columns->items[i].name); /* Not longer: names_differ(). */
        schema->field_count = i + 1;
        enum fm_status status = fm_type_copy(&columns->items[i].type, &field->type);
        if (status != FM_OK)
            return status;
    }
    *out = FM_TAKE(schema);
    return FM_OK;
}

static bool has_ref(const struct fm_plan_table *slot, const struct fm_plan_table *table)
{
    for (uint32_t i = 0; i < slot->ref_count; i++)
        if (strcmp(slot->refs[i].domain, table->domain) == 0 &&
            strcmp(slot->refs[i].table, table->table) == 0)
            return true;
    return false;
}

static enum fm_status add_refs(const struct planner *planner, uint64_t tables,
                               struct fm_plan_table *slot)
{
    slot->refs = calloc(planner->tree->table_count, sizeof *slot->refs);
    if (slot->refs == NULL)
        return FM_NOMEM;
    for (uint32_t t = 0; t < planner->tree->table_count; t++) {
        const struct fm_plan_table *table = &planner->plan->tables[t];
        if ((tables >> t & 1u) == 0 || has_ref(slot, table))
            continue;
        struct fm_table_ref *ref = &slot->refs[slot->ref_count++];
        memcpy(ref->domain, table->domain, sizeof ref->domain);
        memcpy(ref->table, table->table, sizeof ref->table);
        fm_schema_hash(table->schema, ref->schema.bytes);
        ref->at = table->at;
    }
    return FM_OK;
}

/* `slot` is zeroed; on failure the caller frees what it holds by fm_plan_table_deinit(). */
static enum fm_status make_slot(const struct planner *planner, uint64_t tables,
                                const struct fm_columns *columns, enum fm_plan_rule rule,
                                struct fm_plan_table *slot)
{
    uint32_t first = (uint32_t)__builtin_ctzll(tables);
    const struct fm_plan_table *table = &planner->plan->tables[first];

    memcpy(slot->domain, table->domain, sizeof slot->domain);
    memcpy(slot->table, table->table, sizeof slot->table);
    slot->owner = table->owner;
    slot->rule = rule;
    slot->names_made = !names_differ(columns);
    enum fm_status status = plan_make_schema(columns, slot->names_made, &slot->schema);
    return status == FM_OK ? add_refs(planner, tables, slot) : status;
}

/* The slot in place of its first table; the others are gone. */
static void put_slot(struct planner *planner, uint64_t tables, struct fm_plan_table *slot,
                     json_t *from)
{
    uint32_t first = (uint32_t)__builtin_ctzll(tables);

    if (tables == UINT64_C(1) << first)
        slot->statistics = FM_TAKE(planner->plan->tables[first].statistics);
    for (uint32_t t = first; t < planner->tree->table_count; t++) {
        if ((tables >> t & 1u) == 0)
            continue;
        fm_plan_table_deinit(&planner->plan->tables[t]);
        planner->tree->tables[t] = (struct tree_table){.node = NULL};
    }
    planner->plan->tables[first] = *slot;
    *slot = (struct fm_plan_table){0};
    planner->tree->tables[first] =
        (struct tree_table){.node = from, .alias = "fm_part", .has_alias = true};
}

/* ---- The SELECT in its place ----------------------------------------------------------------- */

static json_t *column_ref(const char *name, const char *alias)
{
    return json_pack("{s:s,s:s,s:s,s:[s]}", "class", "COLUMN_REF", "type", "COLUMN_REF", "alias",
                     alias, "column_names", name);
}

/* SELECT c0 AS "name 0", .. FROM a table that the caller points to the slot. */
static json_t *select_of(const struct fm_schema *schema, const struct fm_columns *columns)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < columns->count; i++)
        if (json_array_append_new(
                list, column_ref(schema->fields[i].name, columns->items[i].name)) != 0) {
            json_decref(list);
            return NULL;
        }
    return json_pack("{s:s,s:[],s:{s:[]},s:o,s:{s:[]},s:n,s:[],s:[],s:s,s:n,s:n,s:n}", "type",
                     "SELECT_NODE", "modifiers", "cte_map", "map", "select_list", list,
                     "from_table", "column_name_alias", "where_clause", "group_expressions",
                     "group_sets", "aggregate_handling", "STANDARD_HANDLING", "having", "sample",
                     "qualify");
}

/* Names that came cut or empty would not be the part's own. */
static bool names_are_whole(const struct fm_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        size_t len = strlen(columns->items[i].name);
        if (len == 0 || len + 4 >= sizeof columns->items[i].name)
            return false;
    }
    return true;
}

/* The old content of `node` is kept: names of tables point into it. */
static enum fm_status replace(struct tree *tree, json_t *node, const struct fm_schema *schema,
                              const struct fm_columns *columns, json_t **from)
{
    FM_AUTO(tree_json_freep) json_t *made = select_of(schema, columns);

    if (made == NULL || json_array_append_new(tree->kept, json_copy(node)) != 0 ||
        json_object_clear(node) != 0 || json_object_update(node, made) != 0)
        return FM_NOMEM;
    *from = json_object_get(node, "from_table");
    return FM_OK;
}

/* ---- Types that are not known yet ------------------------------------------------------------ */

/* A NULL, or a list or map of nothing, where it can come to be a column. */
static bool has_untyped(const json_t *json)
{
    static const char *const conditions[] = {"where_clause", "having", "qualify", "condition",
                                             "modifiers"};
    const char *key;
    json_t *value;
    size_t i;

    if (tree_json_is(json, "class", "CONSTANT"))
        return json_is_true(json_object_get(json_object_get(json, "value"), "is_null"));
    if (tree_json_is(json, "class", "FUNCTION") &&
        json_array_size(json_object_get(json, "children")) == 0 &&
        !tree_json_is(json, "function_name", "count_star"))
        return true;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        bool is_condition = false;
        for (i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
            is_condition |= strcmp(key, conditions[i]) == 0;
        if (!is_condition && has_untyped(value))
            return true;
    }
    json_array_foreach(json, i, value)
    {
        if (has_untyped(value))
            return true;
    }
    return false;
}

static bool holds_int32(const struct fm_type *type)
{
    for (uint32_t i = 0; i < type->child_count; i++) {
        if (holds_int32(&type->children[i]))
            return true;
    }
    return type->kind == FM_KIND_INT32;
}

/* At its top a statement makes an INTEGER of what has no type; within another such a column would
 * take the type of what it meets. */
static bool types_are_known(const struct fm_columns *columns, const json_t *node)
{
    bool any = false;

    for (uint32_t i = 0; i < columns->count; i++)
        any = any || holds_int32(&columns->items[i].type);
    return !any || !has_untyped(node);
}

/* ---- Carving --------------------------------------------------------------------------------- */

enum fm_status plan_describe_part(struct planner *planner, json_t *node, struct fm_columns *columns)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);

    if (planner->tries++ >= CARVE_TRIES_MAX)
        return FM_NOTFOUND;
    json_t *copy = copy_with_scans(planner->tree, node);
    if (copy == NULL)
        return FM_NOMEM;
    enum fm_status status = print_statement(planner, copy, &sql);
    if (status == FM_OK)
        status = fm_worker_describe(planner->worker, fm_buf_span(&sql), columns, planner->err);
    if (status == FM_INVALID || status == FM_UNSUPPORTED)
        return FM_NOTFOUND;
    if (status == FM_OK && (!names_are_whole(columns) || !types_are_known(columns, node)))
        return FM_NOTFOUND;
    return status;
}

/* The slot's statement is printed already. */
static enum fm_status put_in_place(struct planner *planner, json_t *node, uint64_t tables,
                                   const struct fm_columns *columns, struct fm_plan_table *slot)
{
    json_t *from = NULL;
    enum fm_status status = slot->sql.len > FM_SQL_BYTES_MAX ? FM_NOTFOUND /* For a ticket. */
                                                             : FM_OK;
    if (status == FM_OK)
        status = make_slot(planner, tables, columns, slot->rule, slot);
    if (status == FM_OK)
        status = replace(planner->tree, node, slot->schema, columns, &from);
    if (status == FM_OK)
        put_slot(planner, tables, slot, from);
    return status;
}

enum fm_status plan_carve(struct planner *planner, json_t *node, enum fm_plan_rule rule,
                          bool *carved)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    struct fm_plan_table slot = {.sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX), .rule = rule};
    uint64_t tables = planner_tables_under(planner, node);
    const json_t *order = NULL;
    int64_t limit = 0;

    fm_assert(planner_is_one_owner(planner, tables));
    enum fm_status status = plan_describe_part(planner, node, &columns);
    if (status == FM_OK)
        status = print_statement(planner, json_incref(node), &slot.sql);
    if (plan_limit_of(node, &limit, &order))
        slot.rows = (uint64_t)limit;
    if (status == FM_OK)
        status = put_in_place(planner, node, tables, &columns, &slot);
    *carved = status == FM_OK;
    fm_plan_table_deinit(&slot);
    return status == FM_NOTFOUND ? FM_OK : status;
}

enum fm_status plan_carve_whole(struct planner *planner, struct fm_span sql, uint64_t own,
                                bool *carved)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    json_t *statement = json_array_get(tree_json_array(planner->tree->root, "statements"), 0);
    json_t *node = json_object_get(statement, "node");
    struct fm_plan_table slot = {.sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX), .rule = FM_RULE_PUSH};

    fm_assert(planner_is_one_owner(planner, own));
    enum fm_status status = plan_describe_part(planner, node, &columns);
    fm_buf_put_span(&slot.sql, sql);
    if (status == FM_OK)
        status = fm_buf_status(&slot.sql);
    if (status == FM_OK)
        status = put_in_place(planner, node, own, &columns, &slot);
    *carved = status == FM_OK;
    fm_plan_table_deinit(&slot);
    return status == FM_NOTFOUND ? FM_OK : status;
}

void plan_settle_slots(struct planner *planner)
{
    struct tree *tree = planner->tree;
    struct fm_plan *plan = planner->plan;
    uint32_t count = 0;

    for (uint32_t t = 0; t < tree->table_count; t++) {
        if (tree->tables[t].node == NULL)
            continue;
        if (count != t) {
            tree->tables[count] = tree->tables[t];
            plan->tables[count] = plan->tables[t];
            plan->tables[t] = (struct fm_plan_table){0};
        }
        count++;
    }
    tree->table_count = count;
    plan->table_count = count;
}
