#include "query/plan_read.h"

#include <stdlib.h>
#include <string.h>

static bool is_type(const json_t *op, const char *type)
{
    return tree_json_is(op, "type", type);
}

bool plan_scan_slot(const struct plan_reader *reader, const json_t *get, uint32_t *slot)
{
    const json_t *parameters = tree_json_array(get, "parameters");
    int64_t value = 0;

    if (!is_type(get, "LOGICAL_GET") || !tree_json_is(get, "name", "fm_scan") ||
        json_array_size(parameters) != 1 || reader->plan->table_count == 0)
        return false;
    if (!tree_json_int(json_object_get(json_array_get(parameters, 0), "value"), 0,
                       (int64_t)reader->plan->table_count - 1, &value))
        return false;
    *slot = (uint32_t)value;
    return true;
}

bool plan_scan_field(const struct plan_reader *reader, const struct plan_scan *scan, uint64_t index,
                     uint32_t *field)
{
    const json_t *columns = tree_json_array(scan->get, "column_indexes");
    const json_t *projection = tree_json_array(scan->get, "projection_ids");
    const struct fm_schema *schema = reader->plan->tables[scan->slot].schema;
    uint64_t column = index;
    uint64_t position = 0;

    if (json_array_size(projection) > 0 &&
        !tree_json_uint(json_array_get(projection, index), &column))
        return false;
    if (!tree_json_uint(json_object_get(json_array_get(columns, column), "index"), &position) ||
        position >= schema->field_count)
        return false;
    *field = (uint32_t)position;
    return true;
}

static enum fm_status read_scan(struct plan_reader *reader, const json_t *get, bool repeated)
{
    const json_t *columns = tree_json_array(get, "column_indexes");
    uint32_t slot = 0;

    if (!plan_scan_slot(reader, get, &slot) || columns == NULL)
        return fm_fail(reader->err, FM_INTERNAL, "a scan in the engine's plan is not understood");
    const struct fm_schema *schema = reader->plan->tables[slot].schema;
    for (size_t i = 0; i < json_array_size(columns); i++) {
        uint64_t position = 0;
        const json_t *index = json_object_get(json_array_get(columns, i), "index");
        /* Positions past the schema are columns that the engine makes itself. */
        if (tree_json_uint(index, &position) && position < schema->field_count)
            reader->wanted[slot][position] = true;
    }
    if (reader->scan_counts[slot]++ > 0 || repeated)
        reader->shared |= UINT64_C(1) << slot;
    return FM_OK;
}

/* The second gate: whatever the tree looked like, nothing but slots and generated rows is read. */
static enum fm_status read_get(struct plan_reader *reader, const json_t *get, bool repeated)
{
    static const char *const harmless[] = {"range", "generate_series", "unnest"};
    const char *name = tree_json_text(get, "name");

    if (name == NULL)
        return fm_fail(reader->err, FM_INTERNAL, "a scan in the engine's plan has no name");
    if (strcmp(name, "fm_scan") == 0)
        return read_scan(reader, get, repeated);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (strcmp(name, harmless[i]) == 0)
            return FM_OK;
    }
    return fm_fail(reader->err, FM_INVALID, "the statement reads %.100s, which is not supported",
                   name);
}

static bool is_streaming(const json_t *op)
{
    static const char *const types[] = {
        "LOGICAL_GET",        "LOGICAL_FILTER",         "LOGICAL_PROJECTION",   "LOGICAL_LIMIT",
        "LOGICAL_DUMMY_SCAN", "LOGICAL_EXPRESSION_GET", "LOGICAL_EMPTY_RESULT",
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (is_type(op, types[i]))
            return true;
    }
    return false;
}

/* `repeated`: inside the right side of a recursion, which runs again and again. */
static enum fm_status read_operator(struct plan_reader *reader, const json_t *op, bool repeated)
{
    const json_t *children = tree_json_array(op, "children");
    enum fm_status status = FM_OK;

    if (tree_json_text(op, "type") == NULL)
        return fm_fail(reader->err, FM_INTERNAL, "the engine's plan is not understood");
    if (!is_streaming(op))
        reader->streams = false;
    if (is_type(op, "LOGICAL_GET"))
        status = read_get(reader, op, repeated);
    else if (is_type(op, "LOGICAL_FILTER"))
        status = plan_read_filter(reader, op);
    else if (is_type(op, "LOGICAL_COMPARISON_JOIN"))
        status = plan_read_join(reader, op);
    for (size_t i = 0; status == FM_OK && i < json_array_size(children); i++) {
        bool again = repeated || (is_type(op, "LOGICAL_RECURSIVE_CTE") && i > 0);
        status = read_operator(reader, json_array_get(children, i), again);
    }
    return status;
}

/* What is cheapest to read when only the number of rows counts. */
static uint32_t cheapest_field(const struct fm_schema *schema)
{
    uint32_t best = 0;
    uint32_t best_width = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        uint32_t width = fm_type_width(&schema->fields[i].type);
        if (width > 0 && (best_width == 0 || width < best_width)) {
            best = i;
            best_width = width;
        }
    }
    return best;
}

static enum fm_status set_fields(struct fm_plan_table *table, const bool *wanted)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < table->schema->field_count; i++)
        count += wanted[i] ? 1u : 0u;
    free(table->fields);
    table->field_count = 0;
    table->fields = calloc(count > 0 ? count : 1, sizeof *table->fields);
    if (table->fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < table->schema->field_count; i++) {
        if (wanted[i])
            table->fields[table->field_count++] = i;
    }
    if (count == 0)
        table->fields[table->field_count++] = cheapest_field(table->schema);
    return FM_OK;
}

static enum fm_status read_plan(struct plan_reader *reader, const json_t *root)
{
    const json_t *plans = tree_json_array(root, "plans");
    struct fm_plan *plan = reader->plan;
    const char *message = tree_json_text(root, "error_message");

    if (message != NULL)
        return fm_fail(reader->err, FM_INVALID, "%s", message);
    if (json_array_size(plans) != 1)
        return fm_fail(reader->err, FM_INTERNAL, "the engine made %zu plans of one statement",
                       json_array_size(plans));
    for (uint32_t i = 0; i < plan->table_count; i++) {
        reader->wanted[i] = calloc(plan->tables[i].schema->field_count, sizeof(bool));
        if (reader->wanted[i] == NULL)
            return FM_NOMEM;
        fm_predicate_list_deinit(&plan->tables[i].predicates);
    }
    plan->join_count = 0;
    enum fm_status status = read_operator(reader, json_array_get(plans, 0), false);
    if (status == FM_OK)
        status = plan_read_lookup(reader, json_array_get(plans, 0));
    if (status == FM_OK)
        plan_read_losses(reader, json_array_get(plans, 0));
    for (uint32_t i = 0; status == FM_OK && i < plan->table_count; i++) {
        /* Another scan of the slot need not have the filters of the first. */
        if ((reader->shared >> i & 1u) != 0)
            fm_predicate_list_deinit(&plan->tables[i].predicates);
        status = set_fields(&plan->tables[i], reader->wanted[i]);
    }
    return status;
}

enum fm_status plan_read(struct fm_plan *plan, struct fm_span json, uint64_t *shared,
                         struct fm_error *err)
{
    FM_AUTO(tree_json_freep) json_t *root = NULL;
    struct plan_reader reader = {.plan = plan, .err = err, .streams = true};

    enum fm_status status = tree_json_load(json, &root, err);
    if (status == FM_OK)
        status = read_plan(&reader, root);
    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++)
        free(reader.wanted[i]);
    if (status != FM_OK)
        return status;
    plan->streams = reader.streams;
    *shared = reader.shared;
    return FM_OK;
}
