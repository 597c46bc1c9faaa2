/* Where a derived table comes from: one owner, or the owners of a UNION ALL. */
#include "query/carve.h"

#include <stdlib.h>
#include <string.h>

static bool is_bare(const json_t *node)
{
    const json_t *ctes = json_object_get(json_object_get(node, "cte_map"), "map");

    return json_array_size(tree_json_array(node, "modifiers")) == 0 && json_array_size(ctes) == 0;
}

/* Without grouping, DISTINCT or LIMIT: what has them is small already. */
static bool is_plain_select(const json_t *node)
{
    return tree_json_is(node, "type", "SELECT_NODE") && is_bare(node) &&
           json_array_size(tree_json_array(node, "group_expressions")) == 0 &&
           tree_json_is(node, "aggregate_handling", "STANDARD_HANDLING") &&
           json_is_null(json_object_get(node, "having"));
}

/* The largest parts that have one owner each. */
static bool add_parts(const struct planner *planner, json_t *node, struct aggregate_parts *out)
{
    if (planner_is_one_owner(planner, planner_tables_under(planner, node))) {
        if (out->count == FM_QUERY_TABLES_MAX)
            return false;
        out->nodes[out->count++] = node;
        return true;
    }
    return plan_is_union_all(node) && is_bare(node) &&
           add_parts(planner, json_object_get(node, "left"), out) &&
           add_parts(planner, json_object_get(node, "right"), out);
}

/* AS name(a, b): the first columns are called so. */
static bool rename_columns(const json_t *from, struct fm_columns *columns)
{
    const json_t *names = tree_json_array(from, "column_name_alias");

    for (uint32_t i = 0; i < columns->count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        size_t len = strlen(name != NULL ? name : columns->items[i].name);
        if (len == 0 || len > FM_NAME_MAX)
            return false;
        if (name != NULL)
            memcpy(columns->items[i].name, name, len + 1); /* Longer names are not kept above. */
    }
    return json_array_size(names) <= columns->count;
}

/* ---- Figures --------------------------------------------------------------------------------- */

/* The only table that a part reads as it is. */
static const struct fm_plan_table *table_of(const struct planner *planner, const json_t *part)
{
    const json_t *from = json_object_get(part, "from_table");

    for (uint32_t i = 0; i < planner->tree->table_count; i++) {
        if (from != NULL && planner->tree->tables[i].node == from)
            return &planner->plan->tables[i];
    }
    return NULL;
}

/* The column of the table that column `i` of the part is, NULL for anything else. */
static const struct fm_field *field_of(const struct fm_plan_table *table, const json_t *part,
                                       uint32_t i)
{
    const json_t *items = tree_json_array(part, "select_list");
    bool star = tree_json_is(json_array_get(items, 0), "class", "STAR");
    const json_t *item = json_array_get(items, i);
    const json_t *names = tree_json_array(item, "column_names");
    const char *name = json_string_value(json_array_get(names, json_array_size(names) - 1));
    uint32_t field = i;

    if (star && json_array_size(items) == 1 && i < table->schema->field_count)
        return &table->schema->fields[i];
    if (star || name == NULL || !tree_json_is(item, "class", "COLUMN_REF") ||
        fm_schema_find(table->schema, fm_span_str(name), &field) != FM_OK)
        return NULL;
    return &table->schema->fields[field];
}

/* Values that the column has in all parts at most, 0: not known. */
static uint64_t distinct_of(const struct planner *planner, const struct aggregate_parts *parts,
                            uint32_t i)
{
    uint64_t sum = 0;

    for (uint32_t p = 0; p < parts->count; p++) {
        const struct fm_plan_table *table = table_of(planner, parts->nodes[p]);
        const struct fm_field *field = table != NULL ? field_of(table, parts->nodes[p], i) : NULL;
        const struct fm_column_figures *figures =
            field != NULL && table->statistics != NULL
                ? fm_statistics_column(table->statistics, field->id)
                : NULL;
        if (figures == NULL || figures->distinct == 0)
            return 0;
        sum += figures->distinct;
    }
    return sum;
}

static enum fm_status add_figures(const struct planner *planner, struct aggregate_parts *parts)
{
    struct fm_plan_table *whole = &parts->table;
    uint64_t rows = 0;

    for (uint32_t p = 0; p < parts->count; p++) {
        const struct fm_plan_table *table = table_of(planner, parts->nodes[p]);
        if (table == NULL || table->rows == 0)
            return FM_OK;
        rows += table->rows;
    }
    whole->rows = rows;
    whole->statistics = calloc(1, sizeof *whole->statistics);
    if (whole->statistics == NULL)
        return FM_NOMEM;
    whole->statistics->rows = rows;
    whole->statistics->columns =
        calloc(whole->schema->field_count, sizeof(struct fm_column_figures));
    if (whole->statistics->columns == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < whole->schema->field_count; i++)
        whole->statistics->columns[whole->statistics->column_count++] = (struct fm_column_figures){
            .field_id = whole->schema->fields[i].id, .distinct = distinct_of(planner, parts, i)};
    return FM_OK;
}

enum fm_status plan_parts_of(void *context, json_t *from, struct aggregate_parts *out)
{
    struct planner *planner = context;
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    json_t *node = json_object_get(json_object_get(from, "subquery"), "node");

    if (!json_is_null(json_object_get(from, "sample")) || !add_parts(planner, node, out) ||
        (out->count == 1 && !plan_is_union_all(node) && !is_plain_select(node)))
        return FM_NOTFOUND;
    enum fm_status status = plan_describe_union(planner, node, &columns);
    if (status == FM_OK && !rename_columns(from, &columns))
        return FM_NOTFOUND;
    if (status == FM_OK)
        status = plan_make_schema(&columns, false, &out->table.schema);
    if (status != FM_OK)
        return status;
    const struct planner *p = planner;
    uint32_t first = (uint32_t)__builtin_ctzll(planner_tables_under(p, out->nodes[0]));
    out->table.owner = p->plan->tables[first].owner;
    status = add_figures(p, out);
    if (status != FM_OK)
        fm_plan_table_deinit(&out->table);
    return status;
}
