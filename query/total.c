#include "query/total.h"

#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(list[i], name) == 0)
            return true;
    }
    return false;
}

/* test_aggregate_rows looks them up in the engine's own list. */
static const char *const scalars[] = {
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "||",
    "^",
    "&",
    "|",
    "<<",
    ">>",
    "~~",
    "!~~",
    "~~*",
    "!~~*",
    "~~~",
    "like_escape",
    "not_like_escape",
    "ilike_escape",
    "not_ilike_escape",
    "abs",
    "ceil",
    "ceiling",
    "floor",
    "round",
    "trunc",
    "sqrt",
    "exp",
    "ln",
    "log",
    "log10",
    "log2",
    "pow",
    "power",
    "sign",
    "mod",
    "greatest",
    "least",
    "lower",
    "upper",
    "lcase",
    "ucase",
    "length",
    "len",
    "strlen",
    "trim",
    "ltrim",
    "rtrim",
    "substring",
    "substr",
    "left",
    "right",
    "replace",
    "concat",
    "concat_ws",
    "starts_with",
    "ends_with",
    "suffix",
    "prefix",
    "contains",
    "position",
    "instr",
    "strpos",
    "reverse",
    "lpad",
    "rpad",
    "nullif",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "quarter",
    "week",
    "weekofyear",
    "dayofweek",
    "dayofmonth",
    "dayofyear",
    "weekday",
    "isodow",
    "isoyear",
    "yearweek",
    "decade",
    "century",
    "millennium",
    "epoch",
    "date_part",
    "datepart",
    "date_trunc",
    "datetrunc",
    "date_diff",
    "datediff",
    "dayname",
    "monthname",
    "last_day",
    "make_date",
    "strftime",
    "regexp_matches",
    "regexp_replace",
    "regexp_extract",
    "md5",
};

bool total_is_scalar(const char *function)
{
    return function != NULL && is_listed(scalars, COUNT(scalars), function);
}

enum total_shape total_shape_of_type(const struct fm_type *type)
{
    switch (type->kind) {
    case FM_KIND_BOOLEAN:
        return TOTAL_BOOLEAN;
    case FM_KIND_INT8:
    case FM_KIND_INT16:
    case FM_KIND_INT32:
    case FM_KIND_INT64:
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
        return TOTAL_INTEGER;
    case FM_KIND_DECIMAL:
        return type->precision <= 18 ? TOTAL_DECIMAL : TOTAL_NUMBER;
    case FM_KIND_HUGEINT:
        return TOTAL_NUMBER;
    case FM_KIND_FLOAT:
    case FM_KIND_DOUBLE:
        return TOTAL_REAL; /* 0 and -0 are equal. */
    case FM_KIND_VARCHAR:
        return TOTAL_TEXT;
    case FM_KIND_DATE:
        return TOTAL_DATE;
    case FM_KIND_TIMESTAMP:
        return TOTAL_TIMESTAMP;
    case FM_KIND_BLOB:
    case FM_KIND_TIME:
    case FM_KIND_TIMESTAMPTZ:
    case FM_KIND_UUID:
    case FM_KIND_ENUM:
        return TOTAL_OTHER;
    default:
        return TOTAL_OPAQUE; /* A month is as long as 30 days, and lists may hold such. */
    }
}

bool total_is_key(enum total_shape shape)
{
    return shape != TOTAL_NOT && shape != TOTAL_NULL && shape != TOTAL_REAL &&
           shape != TOTAL_OPAQUE;
}

bool total_is_number(enum total_shape shape)
{
    return shape == TOTAL_INTEGER || shape == TOTAL_DECIMAL || shape == TOTAL_REAL ||
           shape == TOTAL_NUMBER;
}

static enum total_shape shape_of_id(const char *id)
{
    static const char *const integers[] = {"TINYINT",  "SMALLINT",  "INTEGER",  "BIGINT",
                                           "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"};

    if (is_listed(integers, COUNT(integers), id))
        return TOTAL_INTEGER;
    if (strcmp(id, "BOOLEAN") == 0)
        return TOTAL_BOOLEAN;
    if (strcmp(id, "DECIMAL") == 0)
        return TOTAL_DECIMAL;
    if (strcmp(id, "FLOAT") == 0 || strcmp(id, "DOUBLE") == 0)
        return TOTAL_REAL;
    if (strcmp(id, "VARCHAR") == 0)
        return TOTAL_TEXT;
    if (strcmp(id, "DATE") == 0)
        return TOTAL_DATE;
    if (strcmp(id, "TIMESTAMP") == 0)
        return TOTAL_TIMESTAMP;
    return strcmp(id, "NULL") == 0 ? TOTAL_NULL : TOTAL_NOT;
}

static bool is_constant(const json_t *node)
{
    return tree_json_is(node, "class", "CONSTANT");
}

static enum total_shape constant_shape(const json_t *node)
{
    const json_t *type = json_object_get(json_object_get(node, "value"), "type");
    const char *id = tree_json_text(type, "id");
    int64_t width = 0;

    if (id == NULL)
        return TOTAL_NOT;
    enum total_shape shape = shape_of_id(id);
    if (shape == TOTAL_DECIMAL &&
        (!tree_json_int(json_object_get(json_object_get(type, "type_info"), "width"), 1, 18,
                        &width)))
        return TOTAL_NOT;
    return shape;
}

/* What a cast of a constant gives is known when the statement is bound, as is its failure. */
static enum total_shape cast_shape(const struct names *names, uint64_t leaves, const json_t *node)
{
    const json_t *child = json_object_get(node, "child");
    const char *id = tree_json_text(json_object_get(node, "cast_type"), "id");
    enum total_shape to = id != NULL ? shape_of_id(id) : TOTAL_NOT;

    if (to == TOTAL_DECIMAL || to == TOTAL_NOT || to == TOTAL_NULL)
        return TOTAL_NOT;
    if (is_constant(child))
        return to;
    enum total_shape from = total_shape(names, leaves, child);
    if (to == TOTAL_REAL && strcmp(id, "DOUBLE") == 0)
        return from == TOTAL_INTEGER || from == TOTAL_DECIMAL ? TOTAL_REAL : TOTAL_NOT;
    if (to == TOTAL_TEXT)
        return from == TOTAL_TEXT || from == TOTAL_INTEGER || from == TOTAL_DATE ||
                       from == TOTAL_BOOLEAN
                   ? TOTAL_TEXT
                   : TOTAL_NOT;
    if (to == TOTAL_DATE && from == TOTAL_TIMESTAMP)
        return TOTAL_DATE;
    return to == from && (to == TOTAL_DATE || to == TOTAL_BOOLEAN || to == TOTAL_TIMESTAMP)
               ? to
               : TOTAL_NOT;
}

/* Comparing casts one side to the other's type: without loss here, or of a constant. */
static bool comparable(const json_t *a, enum total_shape left, const json_t *b,
                       enum total_shape right)
{
    if (left == TOTAL_NOT || right == TOTAL_NOT || left == TOTAL_OPAQUE || right == TOTAL_OPAQUE)
        return false;
    if (left == TOTAL_NULL || right == TOTAL_NULL || (left == right && left < TOTAL_NUMBER))
        return true;
    if (total_is_number(left) && total_is_number(right))
        return left != TOTAL_NUMBER && right != TOTAL_NUMBER;
    return (is_constant(a) && left == TOTAL_TEXT && !total_is_number(right)) ||
           (is_constant(b) && right == TOTAL_TEXT && !total_is_number(left));
}

static bool all_comparable(const struct names *names, uint64_t leaves, const json_t *first,
                           const json_t *list, size_t from)
{
    enum total_shape shape = total_shape(names, leaves, first);

    for (size_t i = from; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!comparable(first, shape, item, total_shape(names, leaves, item)))
            return false;
    }
    return true;
}

/* The one shape of all, whatever NULLs there are. */
static enum total_shape common(enum total_shape a, enum total_shape b)
{
    if (a == TOTAL_NOT || b == TOTAL_NOT || a == TOTAL_OPAQUE || b == TOTAL_OPAQUE)
        return TOTAL_NOT;
    if (a == TOTAL_NULL || a == b)
        return b == TOTAL_NUMBER || b == TOTAL_OTHER || b == TOTAL_DECIMAL ? TOTAL_NOT : b;
    return b == TOTAL_NULL && a < TOTAL_NUMBER && a != TOTAL_DECIMAL ? a : TOTAL_NOT;
}

static enum total_shape case_shape(const struct names *names, uint64_t leaves, const json_t *node)
{
    const json_t *checks = tree_json_array(node, "case_checks");
    enum total_shape shape = total_shape(names, leaves, json_object_get(node, "else_expr"));

    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        if (total_shape(names, leaves, json_object_get(check, "when_expr")) != TOTAL_BOOLEAN)
            return TOTAL_NOT;
        shape = common(shape, total_shape(names, leaves, json_object_get(check, "then_expr")));
    }
    return shape;
}

static bool all_boolean(const struct names *names, uint64_t leaves, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (total_shape(names, leaves, json_array_get(list, i)) != TOTAL_BOOLEAN)
            return false;
    }
    return true;
}

static enum total_shape operator_shape(const struct names *names, uint64_t leaves,
                                       const json_t *node)
{
    const json_t *list = tree_json_array(node, "children");
    const json_t *first = json_array_get(list, 0);
    const char *type = tree_json_text(node, "type");

    if (type == NULL || first == NULL)
        return TOTAL_NOT;
    if (strcmp(type, "OPERATOR_NOT") == 0)
        return all_boolean(names, leaves, list) ? TOTAL_BOOLEAN : TOTAL_NOT;
    if (strcmp(type, "OPERATOR_IS_NULL") == 0 || strcmp(type, "OPERATOR_IS_NOT_NULL") == 0)
        return total_shape(names, leaves, first) != TOTAL_NOT ? TOTAL_BOOLEAN : TOTAL_NOT;
    if (strcmp(type, "COMPARE_IN") == 0 || strcmp(type, "COMPARE_NOT_IN") == 0)
        return all_comparable(names, leaves, first, list, 1) ? TOTAL_BOOLEAN : TOTAL_NOT;
    if (strcmp(type, "OPERATOR_COALESCE") != 0)
        return TOTAL_NOT;
    enum total_shape shape = total_shape(names, leaves, first);
    for (size_t i = 1; i < json_array_size(list); i++)
        shape = common(shape, total_shape(names, leaves, json_array_get(list, i)));
    return shape;
}

/* A part of a date, or a text function of one argument. */
static enum total_shape unary_shape(const char *name, enum total_shape of)
{
    static const char *const parts[] = {"year",      "month",      "day",       "quarter",
                                        "dayofweek", "dayofmonth", "dayofyear", "isodow"};
    static const char *const names_of[] = {"dayname", "monthname"};
    static const char *const texts[] = {"lower", "upper", "trim", "ltrim", "rtrim"};

    if (of == TOTAL_DATE || of == TOTAL_TIMESTAMP)
        return is_listed(parts, COUNT(parts), name)         ? TOTAL_INTEGER
               : is_listed(names_of, COUNT(names_of), name) ? TOTAL_TEXT
                                                            : TOTAL_NOT;
    if (of != TOTAL_TEXT)
        return TOTAL_NOT;
    if (strcasecmp(name, "length") == 0)
        return TOTAL_INTEGER;
    return is_listed(texts, COUNT(texts), name) ? TOTAL_TEXT : TOTAL_NOT;
}

static enum total_shape binary_shape(const char *name, const json_t *a, enum total_shape left,
                                     enum total_shape right)
{
    static const char *const matches[] = {"~~", "!~~", "~~*", "!~~*", "starts_with", "contains"};
    static const char *const sums[] = {"+", "-", "*"};

    if (is_listed(matches, COUNT(matches), name))
        return left == TOTAL_TEXT && right == TOTAL_TEXT ? TOTAL_BOOLEAN : TOTAL_NOT;
    if (strcmp(name, "||") == 0)
        return left == TOTAL_TEXT && right == TOTAL_TEXT ? TOTAL_TEXT : TOTAL_NOT;
    if (strcasecmp(name, "date_trunc") == 0)
        return is_constant(a) && left == TOTAL_TEXT && right == TOTAL_TIMESTAMP ? TOTAL_TIMESTAMP
                                                                                : TOTAL_NOT;
    bool small = total_is_number(left) && left != TOTAL_NUMBER && total_is_number(right) &&
                 right != TOTAL_NUMBER;
    bool real = left == TOTAL_REAL || right == TOTAL_REAL;
    return is_listed(sums, COUNT(sums), name) && small && real ? TOTAL_REAL : TOTAL_NOT;
}

static enum total_shape function_shape(const struct names *names, uint64_t leaves,
                                       const json_t *node)
{
    const json_t *list = tree_json_array(node, "children");
    const char *name = tree_json_text(node, "function_name");
    const json_t *a = json_array_get(list, 0);
    const json_t *b = json_array_get(list, 1);

    if (name == NULL)
        return TOTAL_NOT;
    if (json_array_size(list) == 1)
        return unary_shape(name, total_shape(names, leaves, a));
    if (json_array_size(list) == 2)
        return binary_shape(name, a, total_shape(names, leaves, a), total_shape(names, leaves, b));
    return TOTAL_NOT;
}

static enum total_shape column_shape(const struct names *names, uint64_t leaves, const json_t *node)
{
    struct names_found found = names_find(names, node, NAMES_IN_ROWS);
    const struct fm_field *field = found.kind == NAMES_COLUMN && (leaves >> found.leaf & 1u) != 0
                                       ? names_field(names, &found)
                                       : NULL;

    return field != NULL ? total_shape_of_type(&field->type) : TOTAL_NOT;
}

enum total_shape total_shape(const struct names *names, uint64_t leaves, const json_t *node)
{
    const char *class_name = tree_json_text(node, "class");
    const json_t *left = json_object_get(node, "left");
    const json_t *input = json_object_get(node, "input");
    bool fine = false;

    if (class_name == NULL)
        return TOTAL_NOT;
    if (strcmp(class_name, "COLUMN_REF") == 0)
        return column_shape(names, leaves, node);
    if (strcmp(class_name, "CONSTANT") == 0)
        return constant_shape(node);
    if (strcmp(class_name, "CAST") == 0)
        return cast_shape(names, leaves, node);
    if (strcmp(class_name, "CASE") == 0)
        return case_shape(names, leaves, node);
    if (strcmp(class_name, "OPERATOR") == 0)
        return operator_shape(names, leaves, node);
    if (strcmp(class_name, "FUNCTION") == 0)
        return function_shape(names, leaves, node);
    if (strcmp(class_name, "CONJUNCTION") == 0)
        fine = all_boolean(names, leaves, tree_json_array(node, "children"));
    if (strcmp(class_name, "COMPARISON") == 0) {
        const json_t *right = json_object_get(node, "right");
        fine = comparable(left, total_shape(names, leaves, left), right,
                          total_shape(names, leaves, right));
    }
    if (strcmp(class_name, "BETWEEN") == 0) {
        const json_t *bounds[] = {json_object_get(node, "lower"), json_object_get(node, "upper")};
        enum total_shape shape = total_shape(names, leaves, input);
        fine = true;
        for (size_t i = 0; i < 2; i++)
            fine =
                fine && comparable(input, shape, bounds[i], total_shape(names, leaves, bounds[i]));
    }
    return fine ? TOTAL_BOOLEAN : TOTAL_NOT;
}
