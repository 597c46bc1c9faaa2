/* From an expression above a scan to the field it stands for. DuckDB 1.5.6 turns an IN list of more
 * than four values into a MARK join with a list, whose mark column a filter then asks for. */
#include "query/plan_read.h"

#include <string.h>

static bool is_type(const json_t *object, const char *type)
{
    return tree_json_is(object, "type", type);
}

static bool is_class(const json_t *expression, const char *name)
{
    return tree_json_is(expression, "expression_class", name);
}

static const json_t *child_of(const json_t *op, size_t i)
{
    return json_array_get(tree_json_array(op, "children"), i);
}

/* `index` of an operator's output, through the list of columns it lets out, if it has one. */
static bool map_index(const json_t *op, const char *key, uint64_t *index)
{
    const json_t *map = tree_json_array(op, key);

    return json_array_size(map) == 0 || tree_json_uint(json_array_get(map, *index), index);
}

/* Number of columns an operator lets out, 0 when not known. */
static size_t width_of(const json_t *op)
{
    if (is_type(op, "LOGICAL_GET")) {
        size_t projected = json_array_size(tree_json_array(op, "projection_ids"));
        return projected > 0 ? projected : json_array_size(tree_json_array(op, "column_indexes"));
    }
    if (is_type(op, "LOGICAL_FILTER")) {
        size_t mapped = json_array_size(tree_json_array(op, "projection_map"));
        return mapped > 0 ? mapped : width_of(child_of(op, 0));
    }
    if (is_type(op, "LOGICAL_COMPARISON_JOIN")) { /* MARK: the left columns and the mark. */
        size_t mapped = json_array_size(tree_json_array(op, "left_projection_map"));
        size_t left = mapped > 0 ? mapped : width_of(child_of(op, 0));
        return left > 0 ? left + 1 : 0;
    }
    return 0;
}

bool plan_is_list_join(const json_t *op)
{
    const json_t *list = child_of(op, 1);

    return is_type(op, "LOGICAL_COMPARISON_JOIN") && tree_json_is(op, "join_type", "MARK") &&
           json_array_size(tree_json_array(op, "conditions")) == 1 &&
           is_type(list, "LOGICAL_CHUNK_GET") &&
           json_array_size(tree_json_array(list, "chunk_types")) == 1;
}

static bool find_column(const struct plan_reader *reader, const json_t *op, uint64_t index,
                        struct plan_column *out);

#define HUGEINT_RANK 8

/* Integer types by width, for casts that keep every value. */
static int integer_rank(const char *id)
{
    static const char *const ids[] = {"UTINYINT", "TINYINT", "USMALLINT", "SMALLINT", "UINTEGER",
                                      "INTEGER",  "UBIGINT", "BIGINT",    "HUGEINT"};

    for (size_t i = 0; id != NULL && i < sizeof ids / sizeof ids[0]; i++) {
        if (strcmp(id, ids[i]) == 0)
            return (int)i;
    }
    return -1;
}

/* Unsigned ranks are even: a wider signed type holds them, and wider unsigned ones. */
static bool is_exact_cast(const char *from, const char *to)
{
    int a = integer_rank(from);
    int b = integer_rank(to);

    if (a >= 0 && b >= 0)
        return a / 2 < b / 2 && (a % 2 == 0 || b % 2 == 1 || b == HUGEINT_RANK);
    return from != NULL && to != NULL && strcmp(from, "ENUM") == 0 && strcmp(to, "VARCHAR") == 0;
}

static const char *type_id(const json_t *expression)
{
    return tree_json_text(json_object_get(expression, "return_type"), "id");
}

bool plan_cast_is_exact(const json_t *cast)
{
    return json_is_false(json_object_get(cast, "try_cast")) &&
           is_exact_cast(type_id(json_object_get(cast, "child")), type_id(cast));
}

bool plan_column_of(const struct plan_reader *reader, const json_t *input, const json_t *expression,
                    struct plan_column *out)
{
    bool widened = false;
    uint64_t index = 0;

    if (is_class(expression, "BOUND_CAST")) {
        if (!plan_cast_is_exact(expression))
            return false;
        expression = json_object_get(expression, "child");
        widened = true;
    }
    if (!is_class(expression, "BOUND_REF") ||
        !tree_json_uint(json_object_get(expression, "index"), &index) ||
        !find_column(reader, input, index, out))
        return false;
    out->widened = out->widened || widened;
    return out->values == NULL || !widened;
}

static bool find_mark(const struct plan_reader *reader, const json_t *join, struct plan_column *out)
{
    const json_t *condition = json_array_get(tree_json_array(join, "conditions"), 0);
    const json_t *list = json_object_get(child_of(join, 1), "collection");
    const json_t *values = tree_json_array(list, "values");
    const json_t *right = json_object_get(condition, "right");

    if (!tree_json_is(condition, "comparison", "COMPARE_EQUAL") || json_array_size(values) != 1 ||
        !is_class(right, "BOUND_REF") ||
        !plan_column_of(reader, child_of(join, 0), json_object_get(condition, "left"), out) ||
        out->values != NULL)
        return false;
    out->values = json_array_get(values, 0);
    return json_is_array(out->values);
}

/* Follow an output column down to a scan. */
static bool find_column(const struct plan_reader *reader, const json_t *op, uint64_t index,
                        struct plan_column *out)
{
    if (is_type(op, "LOGICAL_GET")) {
        out->scan.get = op;
        return plan_scan_slot(reader, op, &out->scan.slot) &&
               plan_scan_field(reader, &out->scan, index, &out->field);
    }
    if (is_type(op, "LOGICAL_FILTER"))
        return map_index(op, "projection_map", &index) &&
               find_column(reader, child_of(op, 0), index, out);
    if (!plan_is_list_join(op))
        return false;
    size_t width = width_of(op);
    if (width > 0 && index == width - 1)
        return find_mark(reader, op, out);
    return map_index(op, "left_projection_map", &index) &&
           find_column(reader, child_of(op, 0), index, out);
}
