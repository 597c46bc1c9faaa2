/* Which joins of the engine's plan are equalities of columns of two slots, and which side's rows
 * may be left out where the other side has no partner for them.
 *
 * A side may be reduced when rows without a partner vanish in the join, and when everything between
 * the scan and the join treats a row by itself as far as the column goes: leaving rows out below is
 * then the same as leaving them out right before the join, where they vanish anyway. The join's
 * rows stay as they are whatever the other slots hold, so reductions may follow one another, and
 * the engine is free to run the statement by another plan than the one read here. */
#include "query/plan_read.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 100000u /* Operators looked at for one plan: some milliseconds. */

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

/* X(join's type, columns of left and right in its output, rows of left and right without a partner
 * vanish, leaving out rows of left and right below is leaving them out above) */
#define JOIN_MAP(X)                                                                                \
    X("INNER", true, true, true, true, true, true)                                                 \
    X("LEFT", true, true, false, true, true, false)                                                \
    X("RIGHT", true, true, true, false, false, true)                                               \
    X("SINGLE", true, true, false, false, true, false)                                             \
    X("MARK", true, false, false, false, true, false) /* Shows the mark behind. */                 \
    X("SEMI", true, false, true, true, true, false)                                                \
    X("ANTI", true, false, false, true, true, false)                                               \
    X("RIGHT_SEMI", false, true, true, true, false, true)                                          \
    X("RIGHT_ANTI", false, true, true, false, false, true)

struct join_kind {
    const char *name;
    bool shows[2];
    bool drops[2];
    bool commutes[2];
};

static const struct join_kind *join_kind_of(const json_t *op)
{
    static const struct join_kind kinds[] = {
#define X(name, left, right, drops_left, drops_right, commutes_left, commutes_right)               \
    {name, {left, right}, {drops_left, drops_right}, {commutes_left, commutes_right}},
        JOIN_MAP(X)
#undef X
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (tree_json_is(op, "join_type", kinds[i].name))
            return &kinds[i];
    }
    return NULL;
}

/* A plan of many joins is looked at as far as is worth the time. */
static bool take_step(uint32_t *steps)
{
    return *steps < STEPS_MAX && ++*steps != 0;
}

/* ---- From an output column down to a scan ---------------------------------------------------- */

static size_t width_of(const json_t *op, uint32_t *steps);

/* Columns that a join takes from one of its sides. */
static size_t side_width(const json_t *op, size_t side, uint32_t *steps)
{
    const char *key = side == 0 ? "left_projection_map" : "right_projection_map";
    size_t mapped = json_array_size(tree_json_array(op, key));

    return mapped > 0 ? mapped : width_of(child_of(op, side), steps);
}

/* Number of columns an operator lets out, 0 when not known. */
static size_t width_of(const json_t *op, uint32_t *steps)
{
    if (!take_step(steps))
        return 0;
    if (is_type(op, "LOGICAL_GET")) {
        size_t projected = json_array_size(tree_json_array(op, "projection_ids"));
        return projected > 0 ? projected : json_array_size(tree_json_array(op, "column_indexes"));
    }
    if (is_type(op, "LOGICAL_FILTER")) {
        size_t mapped = json_array_size(tree_json_array(op, "projection_map"));
        return mapped > 0 ? mapped : width_of(child_of(op, 0), steps);
    }
    if (is_type(op, "LOGICAL_PROJECTION"))
        return json_array_size(tree_json_array(op, "expressions"));
    if (is_type(op, "LOGICAL_COMPARISON_JOIN")) {
        const struct join_kind *kind = join_kind_of(op);
        size_t left = kind != NULL && kind->shows[0] ? side_width(op, 0, steps) : 0;
        size_t right = kind != NULL && kind->shows[1] ? side_width(op, 1, steps) : 0;
        if (kind == NULL || (kind->shows[0] && left == 0) || (kind->shows[1] && right == 0))
            return 0;
        return left + right + (tree_json_is(op, "join_type", "MARK") ? 1u : 0u);
    }
    return 0;
}

static bool map_index(const json_t *op, const char *key, uint64_t *index)
{
    const json_t *map = tree_json_array(op, key);

    return json_array_size(map) == 0 || tree_json_uint(json_array_get(map, *index), index);
}

static bool bare_column(const json_t *expression, uint64_t *index)
{
    return is_class(expression, "BOUND_REF") &&
           tree_json_uint(json_object_get(expression, "index"), index);
}

/* Which side of a join an output column is from; false where rows of that side may not be left
 * out. */
static bool enter_join(const json_t *op, const json_t **next, uint64_t *index, uint32_t *steps)
{
    const struct join_kind *kind = join_kind_of(op);
    size_t side = 0;

    if (kind == NULL)
        return false;
    if (kind->shows[0]) {
        size_t left = side_width(op, 0, steps);
        if (left == 0 || (*index >= left && !kind->shows[1]))
            return false;
        side = *index >= left ? 1 : 0;
        *index -= side == 1 ? left : 0;
    } else {
        side = 1;
    }
    *next = child_of(op, side);
    return kind->commutes[side] &&
           map_index(op, side == 0 ? "left_projection_map" : "right_projection_map", index);
}

/* One operator down; false where the column is not passed on, or rows not treated one by one. */
static bool descend(const json_t **op, uint64_t *index, uint32_t *steps)
{
    const json_t *at = *op;

    *op = child_of(at, 0);
    if (is_type(at, "LOGICAL_FILTER"))
        return map_index(at, "projection_map", index);
    if (is_type(at, "LOGICAL_PROJECTION"))
        return bare_column(json_array_get(tree_json_array(at, "expressions"), *index), index);
    if (is_type(at, "LOGICAL_DISTINCT"))
        return tree_json_is(at, "distinct_type", "DISTINCT");
    if (is_type(at, "LOGICAL_AGGREGATE_AND_GROUP_BY"))
        return json_array_size(tree_json_array(at, "grouping_sets")) <= 1 &&
               bare_column(json_array_get(tree_json_array(at, "groups"), *index), index);
    return is_type(at, "LOGICAL_COMPARISON_JOIN") && enter_join(at, op, index, steps);
}

struct side {
    uint32_t slot;
    uint32_t field;
};

static bool find_scan(struct plan_reader *reader, const json_t *op, uint64_t index,
                      struct side *out)
{
    while (!is_type(op, "LOGICAL_GET")) {
        if (op == NULL || !take_step(&reader->steps) || !descend(&op, &index, &reader->steps))
            return false;
    }
    struct plan_scan scan = {.get = op};
    if (!plan_scan_slot(reader, op, &scan.slot) ||
        !plan_scan_field(reader, &scan, index, &out->field))
        return false;
    out->slot = scan.slot;
    return true;
}

/* ---- Joins ----------------------------------------------------------------------------------- */

/* The column itself, or cast to a wider integer. */
static bool find_side(struct plan_reader *reader, const json_t *op, const json_t *expression,
                      struct side *out)
{
    uint64_t index = 0;
    bool is_cast = is_class(expression, "BOUND_CAST");

    if (is_cast && !plan_cast_is_exact(expression))
        return false;
    if (is_cast)
        expression = json_object_get(expression, "child");
    return bare_column(expression, &index) && find_scan(reader, op, index, out);
}

static bool is_integer(enum fm_kind kind)
{
    return kind >= FM_KIND_INT8 && kind <= FM_KIND_UINT64;
}

/* Equal in SQL is equal in canonical bytes, but for integers of different widths. */
static bool compares(const struct fm_type *a, const struct fm_type *b)
{
    static const enum fm_kind kinds[] = {FM_KIND_BOOLEAN, FM_KIND_DECIMAL,   FM_KIND_VARCHAR,
                                         FM_KIND_DATE,    FM_KIND_TIMESTAMP, FM_KIND_TIMESTAMPTZ,
                                         FM_KIND_UUID};

    if (is_integer(a->kind) && is_integer(b->kind))
        return true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (a->kind == kinds[i])
            return fm_type_equal(a, b);
    }
    return false;
}

static enum fm_status add_join(struct fm_plan *plan, const struct fm_plan_join *join)
{
    if (plan->join_count == FM_PLAN_JOINS_MAX)
        return FM_OK;
    if (plan->joins == NULL)
        plan->joins = calloc(FM_PLAN_JOINS_MAX, sizeof *plan->joins);
    if (plan->joins == NULL)
        return FM_NOMEM;
    plan->joins[plan->join_count++] = *join;
    return FM_OK;
}

static enum fm_status read_condition(struct plan_reader *reader, const json_t *op,
                                     const struct join_kind *kind, const json_t *condition)
{
    struct side sides[2];
    struct fm_plan_join join = {0};
    const struct fm_field *fields[2];

    if (!tree_json_is(condition, "comparison", "COMPARE_EQUAL") ||
        !find_side(reader, child_of(op, 0), json_object_get(condition, "left"), &sides[0]) ||
        !find_side(reader, child_of(op, 1), json_object_get(condition, "right"), &sides[1]) ||
        sides[0].slot == sides[1].slot)
        return FM_OK;
    for (unsigned i = 0; i < 2; i++) {
        fields[i] = &reader->plan->tables[sides[i].slot].schema->fields[sides[i].field];
        join.slots[i] = sides[i].slot;
        join.fields[i] = sides[i].field;
        join.drops[i] = kind->drops[i];
    }
    if (!compares(&fields[0]->type, &fields[1]->type))
        return FM_OK;
    return add_join(reader->plan, &join);
}

enum fm_status plan_read_join(struct plan_reader *reader, const json_t *join)
{
    const struct join_kind *kind = join_kind_of(join);
    const json_t *conditions = tree_json_array(join, "conditions");
    enum fm_status status = FM_OK;

    if (kind == NULL)
        return FM_OK;
    for (size_t i = 0; status == FM_OK && i < json_array_size(conditions); i++)
        status = read_condition(reader, join, kind, json_array_get(conditions, i));
    return status;
}
