/* From the expressions of a LOGICAL_FILTER to predicates. */
#include "query/plan_read.h"

#include <stdlib.h>
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

/* The term, or a part of it, is in no predicate: the engine has to look at the rows again. */
static enum fm_status skip(struct plan_reader *reader)
{
    reader->is_partial = true;
    return FM_OK;
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
                                       const struct plan_column *column)
{
    return &reader->plan->tables[column->scan.slot].schema->fields[column->field];
}

/* Room for `count` values in a new predicate. */
static bool reserve(const struct plan_reader *reader, const struct plan_column *column,
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

static bool add_value(const struct plan_reader *reader, const struct plan_column *column,
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
static enum fm_status keep(struct plan_reader *reader, const struct plan_column *column,
                           struct fm_predicate *predicate)
{
    struct fm_predicate_list *list = &reader->plan->tables[column->scan.slot].predicates;

    if (list->count == FM_PREDICATES_MAX) {
        free_values(predicate);
        return skip(reader);
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

static enum fm_status add_simple(struct plan_reader *reader, const struct plan_column *column,
                                 enum fm_operator op, const json_t *value)
{
    struct fm_predicate predicate = {0};

    if (column->values != NULL || !is_allowed(field_of(reader, column), op))
        return skip(reader);
    if (!reserve(reader, column, op, value != NULL ? 1 : 0, &predicate) ||
        (value != NULL && !add_value(reader, column, value, &predicate))) {
        free_values(&predicate);
        return skip(reader);
    }
    return keep(reader, column, &predicate);
}

/* IN over the values of an array; a null among them never matches. */
static enum fm_status add_list(struct plan_reader *reader, const struct plan_column *column,
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
        return skip(reader);
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
                            const json_t *expression, struct plan_column *column,
                            enum fm_operator *op, const json_t **value)
{
    const json_t *left = json_object_get(expression, "left");
    const json_t *right = json_object_get(expression, "right");
    bool mirrored = constant_of(left) != NULL;

    *column = (struct plan_column){0};
    *value = constant_of(mirrored ? left : right);
    return is_class(expression, "BOUND_COMPARISON") && *value != NULL &&
           operator_of(tree_json_text(expression, "type"), mirrored, op) &&
           plan_column_of(reader, input, mirrored ? right : left, column) && column->values == NULL;
}

static enum fm_status take_comparison(struct plan_reader *reader, const json_t *input,
                                      const json_t *expression)
{
    struct plan_column column = {0};
    enum fm_operator op = FM_OP_EQ;
    const json_t *value = NULL;

    if (!read_comparison(reader, input, expression, &column, &op, &value))
        return skip(reader);
    return add_simple(reader, &column, op, value);
}

static enum fm_status take_between(struct plan_reader *reader, const json_t *input,
                                   const json_t *expression)
{
    const json_t *lower = constant_of(json_object_get(expression, "lower"));
    const json_t *upper = constant_of(json_object_get(expression, "upper"));
    bool from = json_is_true(json_object_get(expression, "lower_inclusive"));
    bool to = json_is_true(json_object_get(expression, "upper_inclusive"));
    struct plan_column column = {0};
    enum fm_status status = FM_OK;

    if (lower == NULL || upper == NULL)
        (void)skip(reader); /* The other side may be said all the same. */
    if (!plan_column_of(reader, input, json_object_get(expression, "input"), &column))
        return skip(reader);
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
    struct plan_column first = {0};

    for (size_t i = 0; i < json_array_size(children); i++) {
        struct plan_column column = {0};
        enum fm_operator op = FM_OP_EQ;
        const json_t *child = json_array_get(children, i);
        const json_t *value = NULL;
        if (!read_comparison(reader, input, child, &column, &op, &value) || op != FM_OP_EQ)
            return skip(reader);
        /* It holds for nulls where the value is one. */
        if (!is_type(child, "COMPARE_EQUAL") && json_is_true(json_object_get(value, "is_null")))
            return skip(reader);
        if (i == 0)
            first = column;
        if (column.scan.get != first.scan.get || column.field != first.field ||
            column.widened != first.widened)
            return skip(reader);
        if (json_array_append(values, (json_t *)(uintptr_t)value) != 0)
            return FM_NOMEM;
    }
    return json_array_size(values) > 0 ? add_list(reader, &first, values) : skip(reader);
}

static enum fm_status take_in(struct plan_reader *reader, const json_t *input,
                              const json_t *expression)
{
    FM_AUTO(tree_json_freep) json_t *values = json_array();
    const json_t *children = tree_json_array(expression, "children");
    struct plan_column column = {0};

    if (!plan_column_of(reader, input, json_array_get(children, 0), &column) ||
        column.values != NULL)
        return skip(reader);
    for (size_t i = 1; i < json_array_size(children); i++) {
        const json_t *value = constant_of(json_array_get(children, i));
        if (value == NULL)
            return skip(reader);
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
    struct plan_column column = {0};

    if (json_array_size(children) != 2 || json_string_length(text) == 0 ||
        !plan_column_of(reader, input, json_array_get(children, 0), &column) ||
        field_of(reader, &column)->type.kind != FM_KIND_VARCHAR)
        return skip(reader);
    return add_simple(reader, &column, FM_OP_PREFIX, value);
}

/* A boolean column by itself, NOT of one, or the mark of an IN list. */
static enum fm_status take_boolean(struct plan_reader *reader, const json_t *input,
                                   const json_t *expression, bool truth)
{
    struct plan_column column = {0};

    if (!is_class(expression, "BOUND_REF") || !plan_column_of(reader, input, expression, &column))
        return skip(reader);
    if (column.values != NULL)
        return truth ? add_list(reader, &column, column.values) : skip(reader);
    if (field_of(reader, &column)->type.kind != FM_KIND_BOOLEAN)
        return skip(reader);
    FM_AUTO(tree_json_freep)
    json_t *value = json_pack("{s:{s:s},s:b,s:b}", "type", "id", "BOOLEAN", "is_null", 0, "value",
                              truth ? 1 : 0);
    return value != NULL ? add_simple(reader, &column, FM_OP_EQ, value) : FM_NOMEM;
}

static enum fm_status take_operator(struct plan_reader *reader, const json_t *input,
                                    const json_t *expression)
{
    const json_t *child = child_of(expression, 0);
    struct plan_column column = {0};

    if (is_type(expression, "OPERATOR_NOT"))
        return take_boolean(reader, input, child, false);
    if (is_type(expression, "COMPARE_IN"))
        return take_in(reader, input, expression);
    bool null = is_type(expression, "OPERATOR_IS_NULL");
    if (!null && !is_type(expression, "OPERATOR_IS_NOT_NULL"))
        return skip(reader);
    if (!plan_column_of(reader, input, child, &column))
        return skip(reader);
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
        return skip(reader);
    if (is_type(expression, "CONJUNCTION_OR"))
        return take_or(reader, input, expression);
    if (!is_type(expression, "CONJUNCTION_AND"))
        return skip(reader);
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
