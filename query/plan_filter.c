/* From the expressions of a LOGICAL_FILTER to predicates. DuckDB 1.5.6 turns a short IN list into ORs
 * and a longer one into a MARK join with a list of values, whose mark column the filter then asks. */
#include "query/plan_read.h"

#include <stdlib.h>
#include <string.h>

struct term {
    uint32_t slot;
    struct fm_predicate predicate;
};

/* A column under an expression: a field of a scan, or the mark of an IN list. */
struct column {
    struct plan_scan scan;
    uint32_t field;
    bool widened;         /* Cast to a wider type that holds all its values. */
    const json_t *values; /* Of a mark: the rows of the list. */
};

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

static bool is_list_join(const json_t *op)
{
    const json_t *list = child_of(op, 1);

    return is_type(op, "LOGICAL_COMPARISON_JOIN") && tree_json_is(op, "join_type", "MARK") &&
           json_array_size(tree_json_array(op, "conditions")) == 1 &&
           is_type(list, "LOGICAL_CHUNK_GET") &&
           json_array_size(tree_json_array(list, "chunk_types")) == 1;
}

static bool find_column(const struct plan_reader *reader, const json_t *op, uint64_t index,
                        struct column *out);

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

/* The column that an expression over `input` stands for, bare or cast without loss. */
static bool column_of(const struct plan_reader *reader, const json_t *input,
                      const json_t *expression, struct column *out)
{
    bool widened = false;
    uint64_t index = 0;

    if (is_class(expression, "BOUND_CAST")) {
        const json_t *child = json_object_get(expression, "child");
        if (!json_is_false(json_object_get(expression, "try_cast")) ||
            !is_exact_cast(type_id(child), type_id(expression)))
            return false;
        expression = child;
        widened = true;
    }
    if (!is_class(expression, "BOUND_REF") ||
        !tree_json_uint(json_object_get(expression, "index"), &index) ||
        !find_column(reader, input, index, out))
        return false;
    out->widened = out->widened || widened;
    return out->values == NULL || !widened;
}

static bool find_mark(const struct plan_reader *reader, const json_t *join, struct column *out)
{
    const json_t *condition = json_array_get(tree_json_array(join, "conditions"), 0);
    const json_t *list = json_object_get(child_of(join, 1), "collection");
    const json_t *values = tree_json_array(list, "values");
    const json_t *right = json_object_get(condition, "right");

    if (!tree_json_is(condition, "comparison", "COMPARE_EQUAL") || json_array_size(values) != 1 ||
        !is_class(right, "BOUND_REF") ||
        !column_of(reader, child_of(join, 0), json_object_get(condition, "left"), out) ||
        out->values != NULL)
        return false;
    out->values = json_array_get(values, 0);
    return json_is_array(out->values);
}

/* Follow an output column down to a scan. Only operators are passed that neither add nor repeat
 * rows: then a filter above them may as well stand on the scan. */
static bool find_column(const struct plan_reader *reader, const json_t *op, uint64_t index,
                        struct column *out)
{
    if (is_type(op, "LOGICAL_GET")) {
        out->scan.get = op;
        return plan_scan_slot(reader, op, &out->scan.slot) &&
               plan_scan_field(reader, &out->scan, index, &out->field);
    }
    if (is_type(op, "LOGICAL_FILTER"))
        return map_index(op, "projection_map", &index) &&
               find_column(reader, child_of(op, 0), index, out);
    if (!is_list_join(op))
        return false;
    size_t width = width_of(op);
    if (width > 0 && index == width - 1)
        return find_mark(reader, op, out);
    return map_index(op, "left_projection_map", &index) &&
           find_column(reader, child_of(op, 0), index, out);
}

static void free_values(struct fm_predicate *predicate)
{
    for (uint32_t i = 0; i < predicate->value_count; i++)
        fm_buf_free(&predicate->values[i]);
    free(predicate->values);
    predicate->values = NULL;
    predicate->value_count = 0;
}

static const struct fm_field *field_of(const struct plan_reader *reader,
                                       const struct column *column)
{
    return &reader->plan->tables[column->scan.slot].schema->fields[column->field];
}

/* Room for `count` values in a new predicate. */
static bool reserve(const struct plan_reader *reader, const struct column *column,
                    enum fm_operator op, size_t count, struct fm_predicate *out)
{
    *out = (struct fm_predicate){.field_id = field_of(reader, column)->id, .op = op};
    if (count > FM_PREDICATE_VALUES_MAX)
        return false;
    if (count > 0) {
        out->values = calloc(count, sizeof *out->values);
        if (out->values == NULL)
            return false; /* A term less; memory will be missed elsewhere. */
    }
    return true;
}

static bool add_value(const struct plan_reader *reader, const struct column *column,
                      const json_t *value, struct fm_predicate *out)
{
    struct fm_buf bytes = FM_BUF_INIT(FM_SQL_BYTES_MAX);

    if (!plan_value(value, &field_of(reader, column)->type, column->widened, &bytes) ||
        fm_buf_status(&bytes) != FM_OK) {
        fm_buf_free(&bytes);
        return false;
    }
    out->values[out->value_count++] = bytes;
    return true;
}

/* Append the term to its slot; it is dropped when there are enough already. */
static enum fm_status keep(struct plan_reader *reader, const struct column *column,
                           struct fm_predicate *predicate)
{
    struct fm_predicate_list *list = &reader->plan->tables[column->scan.slot].predicates;

    if (list->count == FM_PREDICATES_MAX) {
        free_values(predicate);
        return FM_OK;
    }
    struct fm_predicate *terms = realloc(list->terms, (list->count + 1u) * sizeof *terms);
    if (terms == NULL) {
        free_values(predicate);
        return FM_NOMEM;
    }
    list->terms = terms;
    list->terms[list->count++] = *predicate;
    return FM_OK;
}

/* Declared order decides between values of an ENUM, text order between texts. */
static bool is_allowed(const struct fm_field *field, enum fm_operator op)
{
    bool unordered = op == FM_OP_EQ || op == FM_OP_NE || op == FM_OP_IN;

    return field->type.kind != FM_KIND_ENUM || unordered || op == FM_OP_IS_NULL ||
           op == FM_OP_IS_NOT_NULL;
}

static enum fm_status add_simple(struct plan_reader *reader, const struct column *column,
                                 enum fm_operator op, const json_t *value)
{
    struct fm_predicate predicate = {0};

    if (column->values != NULL || !is_allowed(field_of(reader, column), op))
        return FM_OK;
    if (!reserve(reader, column, op, value != NULL ? 1 : 0, &predicate) ||
        (value != NULL && !add_value(reader, column, value, &predicate))) {
        free_values(&predicate);
        return FM_OK;
    }
    return keep(reader, column, &predicate);
}

/* IN over the values of an array; a null among them never matches. */
static enum fm_status add_list(struct plan_reader *reader, const struct column *column,
                               const json_t *values)
{
    struct fm_predicate predicate = {0};
    bool fine = reserve(reader, column, FM_OP_IN, json_array_size(values), &predicate);

    for (size_t i = 0; fine && i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        if (!json_is_true(json_object_get(value, "is_null")))
            fine = add_value(reader, column, value, &predicate);
    }
    if (!fine || predicate.value_count == 0) {
        free_values(&predicate);
        return FM_OK;
    }
    return keep(reader, column, &predicate);
}

static const json_t *constant_of(const json_t *expression)
{
    return is_class(expression, "BOUND_CONSTANT") ? json_object_get(expression, "value") : NULL;
}

static bool operator_of(const char *type, bool mirrored, enum fm_operator *out)
{
    static const struct {
        const char *type;
        enum fm_operator op;
        enum fm_operator mirrored;
    } table[] = {
        {"COMPARE_EQUAL", FM_OP_EQ, FM_OP_EQ},
        {"COMPARE_NOT_DISTINCT_FROM", FM_OP_EQ, FM_OP_EQ},
        {"COMPARE_NOTEQUAL", FM_OP_NE, FM_OP_NE},
        {"COMPARE_LESSTHAN", FM_OP_LT, FM_OP_GT},
        {"COMPARE_LESSTHANOREQUALTO", FM_OP_LE, FM_OP_GE},
        {"COMPARE_GREATERTHAN", FM_OP_GT, FM_OP_LT},
        {"COMPARE_GREATERTHANOREQUALTO", FM_OP_GE, FM_OP_LE},
    };

    for (size_t i = 0; type != NULL && i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(type, table[i].type) == 0) {
            *out = mirrored ? table[i].mirrored : table[i].op;
            return true;
        }
    }
    return false;
}

/* column op constant, either way round. */
static bool read_comparison(const struct plan_reader *reader, const json_t *input,
                            const json_t *expression, struct column *column, enum fm_operator *op,
                            const json_t **value)
{
    const json_t *left = json_object_get(expression, "left");
    const json_t *right = json_object_get(expression, "right");
    bool mirrored = constant_of(left) != NULL;

    *column = (struct column){0};
    *value = constant_of(mirrored ? left : right);
    return is_class(expression, "BOUND_COMPARISON") && *value != NULL &&
           operator_of(tree_json_text(expression, "type"), mirrored, op) &&
           column_of(reader, input, mirrored ? right : left, column) && column->values == NULL;
}

static enum fm_status take_comparison(struct plan_reader *reader, const json_t *input,
                                      const json_t *expression)
{
    struct column column = {0};
    enum fm_operator op = FM_OP_EQ;
    const json_t *value = NULL;

    if (!read_comparison(reader, input, expression, &column, &op, &value))
        return FM_OK;
    return add_simple(reader, &column, op, value);
}

static enum fm_status take_between(struct plan_reader *reader, const json_t *input,
                                   const json_t *expression)
{
    const json_t *lower = constant_of(json_object_get(expression, "lower"));
    const json_t *upper = constant_of(json_object_get(expression, "upper"));
    bool from = json_is_true(json_object_get(expression, "lower_inclusive"));
    bool to = json_is_true(json_object_get(expression, "upper_inclusive"));
    struct column column = {0};
    enum fm_status status = FM_OK;

    if (!column_of(reader, input, json_object_get(expression, "input"), &column))
        return FM_OK;
    if (lower != NULL)
        status = add_simple(reader, &column, from ? FM_OP_GE : FM_OP_GT, lower);
    if (status == FM_OK && upper != NULL)
        status = add_simple(reader, &column, to ? FM_OP_LE : FM_OP_LT, upper);
    return status;
}

/* a = 1 OR a = 2 OR ..: an IN list. */
static enum fm_status take_or(struct plan_reader *reader, const json_t *input,
                              const json_t *expression)
{
    FM_AUTO(tree_json_freep) json_t *values = json_array();
    const json_t *children = tree_json_array(expression, "children");
    struct column first = {0};

    for (size_t i = 0; i < json_array_size(children); i++) {
        struct column column = {0};
        enum fm_operator op = FM_OP_EQ;
        const json_t *value = NULL;
        if (!read_comparison(reader, input, json_array_get(children, i), &column, &op, &value) ||
            op != FM_OP_EQ)
            return FM_OK;
        if (i == 0)
            first = column;
        if (column.scan.get != first.scan.get || column.field != first.field ||
            column.widened != first.widened)
            return FM_OK;
        if (json_array_append(values, (json_t *)(uintptr_t)value) != 0)
            return FM_NOMEM;
    }
    return json_array_size(values) > 0 ? add_list(reader, &first, values) : FM_OK;
}

static enum fm_status take_in(struct plan_reader *reader, const json_t *input,
                              const json_t *expression)
{
    FM_AUTO(tree_json_freep) json_t *values = json_array();
    const json_t *children = tree_json_array(expression, "children");
    struct column column = {0};

    if (!column_of(reader, input, json_array_get(children, 0), &column) || column.values != NULL)
        return FM_OK;
    for (size_t i = 1; i < json_array_size(children); i++) {
        const json_t *value = constant_of(json_array_get(children, i));
        if (value == NULL)
            return FM_OK;
        if (json_array_append(values, (json_t *)(uintptr_t)value) != 0)
            return FM_NOMEM;
    }
    return add_list(reader, &column, values);
}

static enum fm_status take_prefix(struct plan_reader *reader, const json_t *input,
                                  const json_t *expression)
{
    const json_t *children = tree_json_array(expression, "children");
    const json_t *value = constant_of(json_array_get(children, 1));
    const json_t *text = json_object_get(value, "value");
    struct column column = {0};

    if (json_array_size(children) != 2 || json_string_length(text) == 0 ||
        !column_of(reader, input, json_array_get(children, 0), &column) ||
        field_of(reader, &column)->type.kind != FM_KIND_VARCHAR)
        return FM_OK;
    return add_simple(reader, &column, FM_OP_PREFIX, value);
}

/* A boolean column by itself, NOT of one, or the mark of an IN list. */
static enum fm_status take_boolean(struct plan_reader *reader, const json_t *input,
                                   const json_t *expression, bool truth)
{
    struct column column = {0};

    if (!is_class(expression, "BOUND_REF") || !column_of(reader, input, expression, &column))
        return FM_OK;
    if (column.values != NULL)
        return truth ? add_list(reader, &column, column.values) : FM_OK;
    if (field_of(reader, &column)->type.kind != FM_KIND_BOOLEAN)
        return FM_OK;
    FM_AUTO(tree_json_freep)
    json_t *value = json_pack("{s:{s:s},s:b,s:b}", "type", "id", "BOOLEAN", "is_null", 0, "value",
                              truth ? 1 : 0);
    return value != NULL ? add_simple(reader, &column, FM_OP_EQ, value) : FM_NOMEM;
}

static enum fm_status take_operator(struct plan_reader *reader, const json_t *input,
                                    const json_t *expression)
{
    const json_t *child = child_of(expression, 0);
    struct column column = {0};

    if (is_type(expression, "OPERATOR_NOT"))
        return take_boolean(reader, input, child, false);
    if (is_type(expression, "COMPARE_IN"))
        return take_in(reader, input, expression);
    bool null = is_type(expression, "OPERATOR_IS_NULL");
    if (!null && !is_type(expression, "OPERATOR_IS_NOT_NULL"))
        return FM_OK;
    if (!column_of(reader, input, child, &column))
        return FM_OK;
    return add_simple(reader, &column, null ? FM_OP_IS_NULL : FM_OP_IS_NOT_NULL, NULL);
}

/* All terms of a conjunction; what is none is passed over. */
static enum fm_status take(struct plan_reader *reader, const json_t *input,
                           const json_t *expression)
{
    const json_t *children = tree_json_array(expression, "children");
    enum fm_status status = FM_OK;

    if (is_class(expression, "BOUND_COMPARISON"))
        return take_comparison(reader, input, expression);
    if (is_class(expression, "BOUND_BETWEEN"))
        return take_between(reader, input, expression);
    if (is_class(expression, "BOUND_OPERATOR"))
        return take_operator(reader, input, expression);
    if (is_class(expression, "BOUND_REF"))
        return take_boolean(reader, input, expression, true);
    if (is_class(expression, "BOUND_FUNCTION") &&
        (tree_json_is(expression, "name", "prefix") ||
         tree_json_is(expression, "name", "starts_with") || tree_json_is(expression, "name", "^@")))
        return take_prefix(reader, input, expression);
    if (!is_class(expression, "BOUND_CONJUNCTION"))
        return FM_OK;
    if (is_type(expression, "CONJUNCTION_OR"))
        return take_or(reader, input, expression);
    if (!is_type(expression, "CONJUNCTION_AND"))
        return FM_OK;
    for (size_t i = 0; status == FM_OK && i < json_array_size(children); i++)
        status = take(reader, input, json_array_get(children, i));
    return status;
}

enum fm_status plan_read_filter(struct plan_reader *reader, const json_t *filter)
{
    const json_t *expressions = tree_json_array(filter, "expressions");
    enum fm_status status = FM_OK;

    for (size_t i = 0; status == FM_OK && i < json_array_size(expressions); i++)
        status = take(reader, child_of(filter, 0), json_array_get(expressions, i));
    return status;
}
