/* How each aggregate is put together from partial ones.
 *
 * With n rows behind a row of the SELECT made, f over the table's own columns combines the partial
 * results; f over other columns counts each value n times. A condition (FILTER) on the table alone
 * goes below, the rest stays above. */
#include "query/aggregate_internal.h"

#include <string.h>
#include <strings.h>

enum role {
    ROLE_COUNT, /* count(*) and count(x). */
    ROLE_SUM,
    ROLE_AVERAGE,
    ROLE_SAME,    /* f(f(..), ..), and doubles do not matter. */
    ROLE_PRODUCT, /* The same, but doubles matter. */
};

static const struct function {
    const char *name;
    enum role role;
    bool distinct; /* f(DISTINCT x) asks for the set of values only. */
} functions[] = {
    {"count_star", ROLE_COUNT, false}, {"count", ROLE_COUNT, true},
    {"sum", ROLE_SUM, true},           {"avg", ROLE_AVERAGE, true},
    {"mean", ROLE_AVERAGE, true},      {"min", ROLE_SAME, true},
    {"max", ROLE_SAME, true},          {"bool_and", ROLE_SAME, true},
    {"bool_or", ROLE_SAME, true},      {"bit_and", ROLE_SAME, true},
    {"bit_or", ROLE_SAME, true},       {"bit_xor", ROLE_PRODUCT, false},
};

static const struct function *find(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof functions / sizeof functions[0]; i++) {
        if (strcasecmp(functions[i].name, name) == 0)
            return &functions[i];
    }
    return NULL;
}

bool aggregate_is_known(const char *function)
{
    return find(function) != NULL;
}

struct call {
    const struct function *function;
    json_t *argument; /* Borrowed; NULL for count(*). */
    json_t *below;    /* Owned: the condition that goes below, null for none. */
    json_t *above;    /* Owned: the condition that stays. */
};

/* ---- Conditions ------------------------------------------------------------------------------ */

static bool goes_below(const struct aggregate *a, const json_t *condition)
{
    return aggregate_is_own(a, condition) &&
           total_shape(a->names, a->leaves, condition) == TOTAL_BOOLEAN;
}

static enum fm_status keep_above(struct aggregate *a, struct call *call, const json_t *condition)
{
    json_t *holder = json_pack("{s:o}", "x", json_deep_copy(condition));
    enum fm_status status = holder != NULL ? aggregate_rewrite_at(a, holder, "x") : FM_NOMEM;

    if (status == FM_OK)
        call->above = tree_build_and(call->above, json_incref(json_object_get(holder, "x")));
    json_decref(holder);
    return status == FM_OK && call->above == NULL ? FM_NOMEM : status;
}

static enum fm_status split_filter(struct aggregate *a, struct call *call, const json_t *filter)
{
    enum fm_status status = FM_OK;

    if (json_is_null(filter))
        return FM_OK;
    if (tree_json_is(filter, "type", "CONJUNCTION_AND")) {
        const json_t *list = tree_json_array(filter, "children");
        for (size_t i = 0; status == FM_OK && i < json_array_size(list); i++)
            status = split_filter(a, call, json_array_get(list, i));
        return status;
    }
    if (!goes_below(a, filter))
        return keep_above(a, call, filter);
    call->below = tree_build_and(call->below, aggregate_inner(a, filter));
    return call->below != NULL ? FM_OK : FM_NOMEM;
}

static json_t *shared(json_t *node)
{
    return node != NULL ? json_incref(node) : NULL;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* name(argument) FILTER (below), made below; `argument` is taken. */
static json_t *partial(struct aggregate *a, const struct call *call, const char *name,
                       json_t *argument)
{
    return aggregate_partial(a, tree_build_call(name, argument, shared(call->below)));
}

/* How many rows that pass the condition below stand behind a row. */
static json_t *weight(struct aggregate *a, const struct call *call)
{
    return partial(a, call, "count_star", json_null());
}

/* The condition above for an aggregate over other columns: and some row passes the one below. */
static json_t *weighted_filter(struct aggregate *a, const struct call *call)
{
    if (json_is_null(call->below))
        return shared(call->above);
    return tree_build_and(
        shared(call->above),
        tree_build_compare("COMPARE_GREATERTHAN", weight(a, call), tree_build_integer(0)));
}

/* A count as the engine gives it: BIGINT, 0 of nothing. */
static json_t *as_count(json_t *sum)
{
    return tree_build_cast(tree_build_operator("OPERATOR_COALESCE", sum, tree_build_integer(0)),
                           "BIGINT");
}

static json_t *ratio(json_t *sum, json_t *count)
{
    return tree_build_arithmetic("/", tree_build_cast(sum, "DOUBLE"),
                                 tree_build_cast(count, "DOUBLE"));
}

/* ---- Over the table's own columns ------------------------------------------------------------ */

/* A required column has as many values as there are rows. */
static json_t *count_values(struct aggregate *a, const struct call *call)
{
    if (tree_json_is(call->argument, "class", "COLUMN_REF")) {
        struct names_found found = names_find(a->names, call->argument, a->clause);
        if (names_field(a->names, &found)->required)
            return weight(a, call);
    }
    return partial(a, call, "count", aggregate_inner(a, call->argument));
}

static json_t *combine(struct aggregate *a, const struct call *call)
{
    const char *name = call->function->name;

    if (call->argument == NULL)
        return as_count(tree_build_call("sum", weight(a, call), shared(call->above)));
    if (call->function->role == ROLE_COUNT)
        return as_count(tree_build_call("sum", count_values(a, call), shared(call->above)));
    if (call->function->role == ROLE_AVERAGE)
        return ratio(tree_build_call("sum",
                                     partial(a, call, "sum", aggregate_inner(a, call->argument)),
                                     shared(call->above)),
                     tree_build_call("sum", count_values(a, call), shared(call->above)));
    return tree_build_call(name, partial(a, call, name, aggregate_inner(a, call->argument)),
                           shared(call->above));
}

/* ---- Over other columns ---------------------------------------------------------------------- */

static json_t *not_null(json_t *argument)
{
    return tree_build_operator("OPERATOR_IS_NOT_NULL", argument, json_null());
}

/* argument times weight, in a type that holds it. NULL through `fits` = false where there is
 * none. */
static json_t *scaled(struct aggregate *a, const struct call *call, bool *fits)
{
    struct names_found found = {NAMES_UNKNOWN, 0, 0};
    const struct fm_field *field = NULL;

    if (tree_json_is(call->argument, "class", "COLUMN_REF"))
        found = names_find(a->names, call->argument, a->clause);
    if (found.kind == NAMES_COLUMN && !aggregate_has(a, &found))
        field = names_field(a->names, &found);
    enum total_shape shape = field != NULL ? total_shape_of_type(&field->type) : TOTAL_NOT;
    *fits = true;
    if (shape == TOTAL_INTEGER)
        return tree_build_arithmetic("*", tree_build_cast(shared(call->argument), "HUGEINT"),
                                     weight(a, call));
    if (shape == TOTAL_REAL)
        return tree_build_arithmetic("*", tree_build_cast(shared(call->argument), "DOUBLE"),
                                     weight(a, call));
    if (shape == TOTAL_DECIMAL)
        return tree_build_arithmetic("*", shared(call->argument),
                                     tree_build_decimal_cast(weight(a, call), 18));
    *fits = false;
    return NULL;
}

static enum fm_status weigh(struct aggregate *a, struct call *call, json_t **out)
{
    bool fits = true;
    json_t *product = NULL;

    if (call->function->role == ROLE_PRODUCT)
        return AGGREGATE_LEAVE;
    if (call->function->role == ROLE_SUM || call->function->role == ROLE_AVERAGE)
        product = scaled(a, call, &fits);
    if (!fits)
        return AGGREGATE_LEAVE;
    json_t *count_filter =
        tree_build_and(weighted_filter(a, call), not_null(shared(call->argument)));
    switch (call->function->role) {
    case ROLE_COUNT:
        *out = as_count(tree_build_call("sum", weight(a, call), shared(count_filter)));
        break;
    case ROLE_SUM:
        *out = tree_build_call("sum", product, weighted_filter(a, call));
        break;
    case ROLE_AVERAGE:
        *out = ratio(tree_build_call("sum", product, weighted_filter(a, call)),
                     tree_build_call("sum", weight(a, call), shared(count_filter)));
        break;
    default:
        *out =
            tree_build_call(call->function->name, shared(call->argument), weighted_filter(a, call));
        break;
    }
    json_decref(count_filter);
    return *out != NULL ? FM_OK : FM_NOMEM;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static bool argument_goes_below(const struct aggregate *a, const struct call *call)
{
    const json_t *argument = call->argument;

    if (argument == NULL)
        return true;
    if (!aggregate_is_own(a, argument))
        return false;
    enum total_shape shape = total_shape(a->names, a->leaves, argument);
    if (call->function->role == ROLE_SUM || call->function->role == ROLE_AVERAGE)
        return total_is_number(shape) ||
               (shape == TOTAL_BOOLEAN && call->function->role == ROLE_SUM);
    return shape != TOTAL_NOT;
}

static enum fm_status decompose(struct aggregate *a, struct call *call, json_t *node, json_t **out)
{
    json_t *children = tree_json_array(node, "children");
    struct tree_place place = {children, NULL, 0};
    const json_t *filter = json_object_get(node, "filter");

    enum fm_status status = split_filter(a, call, filter != NULL ? filter : json_null());
    if (status != FM_OK)
        return status;
    if (argument_goes_below(a, call)) {
        *out = combine(a, call);
        return *out != NULL ? FM_OK : FM_NOMEM;
    }
    /* The rewritten argument names other columns as before, so types are looked up after. */
    status = aggregate_rewrite(a, &place);
    call->argument = json_array_get(children, 0);
    return status == FM_OK ? weigh(a, call, out) : status;
}

static enum fm_status rewrite_operand(void *context, const struct tree_place *place)
{
    return aggregate_rewrite(context, place);
}

static enum fm_status call_of(const struct aggregate *a, const json_t *node, struct call *call)
{
    json_t *children = tree_json_array(node, "children");
    const json_t *order = json_object_get(node, "order_bys");
    size_t wanted = 1;

    (void)a;
    call->function = find(tree_json_text(node, "function_name"));
    if (strcmp(call->function->name, "count_star") == 0 ||
        (call->function->role == ROLE_COUNT && json_array_size(children) == 0))
        wanted = 0;
    if (json_array_size(children) != wanted ||
        json_is_true(json_object_get(node, "export_state")) ||
        json_array_size(tree_json_array(order, "orders")) > 0)
        return AGGREGATE_LEAVE;
    call->argument = json_array_get(children, 0);
    return FM_OK;
}

enum fm_status aggregate_decompose(struct aggregate *a, const struct tree_place *place)
{
    json_t *node = tree_place_get(place);
    const char *alias = tree_json_text(node, "alias");
    struct call call = {.below = json_null(), .above = json_null()};
    json_t *made = NULL;

    a->aggregate_count++;
    enum fm_status status = call_of(a, node, &call);
    if (status != FM_OK)
        return status;
    a->inside = true;
    if (json_is_true(json_object_get(node, "distinct"))) {
        /* The same set of values comes up. */
        status = call.function->distinct && call.argument != NULL
                     ? tree_each_child(node, rewrite_operand, a)
                     : AGGREGATE_LEAVE;
        made = NULL;
    } else {
        status = decompose(a, &call, node, &made);
    }
    a->inside = false;
    json_decref(call.below);
    json_decref(call.above);
    if (status != FM_OK || made == NULL)
        return status;
    return tree_place_put(place, tree_build_named(made, alias != NULL ? alias : ""));
}
