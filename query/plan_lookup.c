/* Is the statement no more than a scan of one table: bare columns under their own names, conditions
 * that the predicates say completely, a number of rows? Then the scan's rows are the answer, and no
 * engine has to look at them again.
 *
 * Every operator of the optimised plan must be one of these, from above:
 *   LIMIT with constants | one PROJECTION of bare columns, in any order
 *   FILTER whose terms all became predicates | MARK join with a list, for such a term
 *   GET of fm_scan()
 * What is not understood makes it no lookup: the statement is then run by an engine. */
#include "query/plan_read.h"

#include <stdlib.h>
#include <string.h>

static bool is_type(const json_t *op, const char *type)
{
    return tree_json_is(op, "type", type);
}

static const json_t *child_of(const json_t *op)
{
    return json_array_get(tree_json_array(op, "children"), 0);
}

/* Lower `*limit`, 0 while there is none, to the operator's. An answer without rows needs no owner
 * at all, so that LIMIT 0 is left to the engine. */
static bool take_limit(const json_t *op, uint64_t *limit)
{
    const json_t *count = json_object_get(op, "limit_val");
    const json_t *offset = json_object_get(op, "offset_val");
    uint64_t rows = 0;
    uint64_t skipped = 0;

    if (!tree_json_is(count, "type", "CONSTANT_VALUE") ||
        !tree_json_uint(json_object_get(count, "constant_integer"), &rows) || rows == 0)
        return false;
    if (!tree_json_is(offset, "type", "UNSET") &&
        (!tree_json_is(offset, "type", "CONSTANT_VALUE") ||
         !tree_json_uint(json_object_get(offset, "constant_integer"), &skipped) || skipped != 0))
        return false;
    if (*limit == 0 || rows < *limit)
        *limit = rows;
    return true;
}

/* The scan below filters and lists; NULL: something else is between. */
static const json_t *find_scan(const json_t *op)
{
    while (is_type(op, "LOGICAL_FILTER") || plan_is_list_join(op))
        op = child_of(op);
    return is_type(op, "LOGICAL_GET") ? op : NULL;
}

/* The engine applies no filter and no sample of its own there, and reads columns whole. */
static bool is_plain_scan(const struct plan_reader *reader, const json_t *get)
{
    const json_t *columns = tree_json_array(get, "column_indexes");
    const json_t *filters = tree_json_array(json_object_get(get, "table_filters"), "filters");
    uint32_t slot = 0;

    if (!plan_scan_slot(reader, get, &slot) || slot != 0 || filters == NULL ||
        json_array_size(filters) != 0)
        return false;
    if (!json_is_null(json_object_get(json_object_get(get, "extra_info"), "sample_options")))
        return false;
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *parts = tree_json_array(json_array_get(columns, i), "child_indexes");
        if (parts == NULL || json_array_size(parts) != 0)
            return false;
    }
    return true;
}

/* The fields that the projection lets out, each once and under its own name. */
static bool read_outputs(const struct plan_reader *reader, const json_t *projection,
                         const json_t *input, uint32_t *fields)
{
    const struct fm_schema *schema = reader->plan->tables[0].schema;
    const json_t *expressions = tree_json_array(projection, "expressions");

    for (size_t i = 0; i < json_array_size(expressions); i++) {
        const json_t *expression = json_array_get(expressions, i);
        const char *name = tree_json_text(expression, "alias");
        struct plan_column column = {0};
        if (!tree_json_is(expression, "expression_class", "BOUND_REF") || name == NULL ||
            !plan_column_of(reader, input, expression, &column) || column.values != NULL ||
            column.widened || strcmp(name, schema->fields[column.field].name) != 0)
            return false;
        for (size_t k = 0; k < i; k++) {
            if (fields[k] == column.field)
                return false;
        }
        fields[i] = column.field;
    }
    return true;
}

enum fm_status plan_read_lookup(const struct plan_reader *reader, const json_t *root)
{
    struct fm_plan *plan = reader->plan;
    const json_t *projection = NULL;
    const json_t *op = root;
    uint64_t limit = 0;

    free(plan->lookup.fields);
    plan->lookup = (struct fm_plan_lookup){0};
    if (plan->table_count != 1 || reader->scan_counts[0] != 1 || reader->shared != 0 ||
        reader->is_partial)
        return FM_OK;
    while (is_type(op, "LOGICAL_LIMIT") ||
           (projection == NULL && is_type(op, "LOGICAL_PROJECTION"))) {
        if (is_type(op, "LOGICAL_PROJECTION"))
            projection = op;
        else if (!take_limit(op, &limit))
            return FM_OK;
        op = child_of(op);
    }
    size_t count = json_array_size(tree_json_array(projection, "expressions"));
    const json_t *scan = find_scan(op);
    if (scan == NULL || count == 0 || count > plan->tables[0].schema->field_count ||
        !is_plain_scan(reader, scan))
        return FM_OK;
    FM_AUTO(fm_mem_freep) uint32_t *fields = calloc(count, sizeof *fields);
    if (fields == NULL)
        return FM_NOMEM;
    if (read_outputs(reader, projection, op, fields))
        plan->lookup = (struct fm_plan_lookup){(uint32_t)count, FM_TAKE(fields), limit};
    return FM_OK;
}
