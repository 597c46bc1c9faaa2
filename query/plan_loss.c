/* What becomes of the answer when rows of a slot are missing: only fewer rows, each of them one of
 * the whole answer's, or other rows. Read off the optimised plan: from a scan up to the root every
 * operator has to pass on a part of its rows when it gets a part. What is not known to do so is
 * taken for one that does not. */
#include "query/plan_read.h"

#include <string.h>

#define CTES_MAX 128u

struct below {
    uint64_t slots;  /* Read below. */
    uint64_t needed; /* Those of them whose missing rows change others. */
};

struct cte {
    uint64_t index;
    struct below below;
};

struct walk {
    const struct plan_reader *reader;
    uint32_t cte_count;
    struct cte ctes[CTES_MAX];
};

static bool is_type(const json_t *op, const char *type)
{
    return tree_json_is(op, "type", type);
}

static void need(const struct walk *walk, struct below *below, uint64_t slots, const char *what)
{
    struct fm_plan *plan = walk->reader->plan;

    for (uint32_t i = 0; i < plan->table_count; i++) {
        if ((slots >> i & 1u) != 0 && plan->tables[i].needed_by == NULL)
            plan->tables[i].needed_by = what;
    }
    below->needed |= slots;
}

static bool is_one_of(const char *type, const char *const *types, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(type, types[i]) == 0)
            return true;
    }
    return false;
}

/* With fewer rows below come fewer rows, and nothing else. */
static bool passes_on(const char *type)
{
    static const char *const types[] = {
        "LOGICAL_GET",           "LOGICAL_FILTER",
        "LOGICAL_PROJECTION",    "LOGICAL_ORDER_BY",
        "LOGICAL_CROSS_PRODUCT", "LOGICAL_UNION",
        "LOGICAL_INTERSECT",     "LOGICAL_UNNEST",
        "LOGICAL_DUMMY_SCAN",    "LOGICAL_EXPRESSION_GET",
        "LOGICAL_EMPTY_RESULT",  "LOGICAL_CHUNK_GET",
        "LOGICAL_DELIM_GET",     "LOGICAL_MATERIALIZED_CTE",
    };

    return is_one_of(type, types, sizeof types / sizeof types[0]);
}

/* Above an ORDER BY the rows that LIMIT takes are others when some are missing; without one any
 * rows are right. */
static const char *limit_needs(const json_t *op)
{
    const json_t *input = json_array_get(tree_json_array(op, "children"), 0);
    const json_t *limit = json_object_get(op, "limit_val");

    if (!tree_json_is(limit, "type", "CONSTANT_VALUE") && !tree_json_is(limit, "type", "UNSET"))
        return "LIMIT with a percentage or an expression";
    while (is_type(input, "LOGICAL_PROJECTION"))
        input = json_array_get(tree_json_array(input, "children"), 0);
    return is_type(input, "LOGICAL_ORDER_BY") ? "LIMIT with ORDER BY" : NULL;
}

static bool is_join(const char *type)
{
    static const char *const types[] = {"LOGICAL_COMPARISON_JOIN", "LOGICAL_ANY_JOIN",
                                        "LOGICAL_DELIM_JOIN"};

    return is_one_of(type, types, sizeof types / sizeof types[0]);
}

struct join {
    const char *type;
    bool left; /* Missing rows of this side change others. */
    bool right;
    const char *what;
};

static void read_join(const struct walk *walk, const json_t *op, const struct below sides[2],
                      struct below *out)
{
    static const struct join joins[] = {
        {"INNER", false, false, NULL},
        {"SEMI", false, false, NULL},
        {"RIGHT_SEMI", false, false, NULL},
        {"LEFT", false, true, "an outer join"},
        {"RIGHT", true, false, "an outer join"},
        {"OUTER", true, true, "an outer join"},
        {"FULL", true, true, "an outer join"},
        {"ANTI", false, true, "NOT EXISTS, NOT IN or an anti join"},
        {"RIGHT_ANTI", true, false, "NOT EXISTS, NOT IN or an anti join"},
        {"MARK", false, true, "NOT IN, or IN or EXISTS as a value"},
        {"SINGLE", false, true, "a scalar subquery"},
    };
    const char *type = tree_json_text(op, "join_type");

    for (size_t i = 0; type != NULL && i < sizeof joins / sizeof joins[0]; i++) {
        if (strcmp(type, joins[i].type) != 0)
            continue;
        if (joins[i].left)
            need(walk, out, sides[0].slots, joins[i].what);
        if (joins[i].right)
            need(walk, out, sides[1].slots, joins[i].what);
        return;
    }
    need(walk, out, out->slots, "a join that needs all rows");
}

/* What makes others of rows that are missing below it; NULL: nothing does. */
static const char *needs_all(const json_t *op, const char *type)
{
    static const struct {
        const char *type;
        const char *what;
    } known[] = {
        {"LOGICAL_AGGREGATE_AND_GROUP_BY", "an aggregate"},
        {"LOGICAL_WINDOW", "a window function"},
        {"LOGICAL_TOP_N", "LIMIT with ORDER BY"},
        {"LOGICAL_RECURSIVE_CTE", "a recursive query"},
        {"LOGICAL_ASOF_JOIN", "an ASOF join"},
        {"LOGICAL_POSITIONAL_JOIN", "a positional join"},
        {"LOGICAL_PIVOT", "a pivot"},
    };

    if (strcmp(type, "LOGICAL_LIMIT") == 0)
        return limit_needs(op);
    if (strcmp(type, "LOGICAL_DISTINCT") == 0)
        return tree_json_is(op, "distinct_type", "DISTINCT") ? NULL : "DISTINCT ON";
    if (strcmp(type, "LOGICAL_AGGREGATE_AND_GROUP_BY") == 0 &&
        json_array_size(tree_json_array(op, "groups")) > 0 &&
        json_array_size(tree_json_array(op, "expressions")) == 0 &&
        json_array_size(tree_json_array(op, "grouping_sets")) <= 1)
        return NULL; /* Only groups: as DISTINCT. */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(type, known[i].type) == 0)
            return known[i].what;
    }
    return passes_on(type) ? NULL : "an operation that needs all rows";
}

static struct below cte_of(const struct walk *walk, const json_t *op)
{
    uint64_t index = 0;

    if (tree_json_uint(json_object_get(op, "cte_index"), &index)) {
        for (uint32_t i = walk->cte_count; i > 0; i--) {
            if (walk->ctes[i - 1].index == index)
                return walk->ctes[i - 1].below;
        }
    }
    return (struct below){0}; /* Of a recursion, which needs all anyway. */
}

static struct below read_operator(struct walk *walk, const json_t *op)
{
    const json_t *children = tree_json_array(op, "children");
    const char *type = tree_json_text(op, "type");
    struct below sides[2] = {{0}};
    struct below out = {0};
    uint32_t slot = 0;

    if (strcmp(type, "LOGICAL_CTE_REF") == 0)
        return cte_of(walk, op);
    if (plan_scan_slot(walk->reader, op, &slot))
        out.slots = UINT64_C(1) << slot;
    for (size_t i = 0; i < json_array_size(children); i++) {
        struct below below = read_operator(walk, json_array_get(children, i));
        sides[i < 2 ? i : 1].slots |= below.slots;
        out.slots |= below.slots;
        out.needed |= below.needed;
        if (i == 0 && strcmp(type, "LOGICAL_MATERIALIZED_CTE") == 0) {
            struct cte cte = {.below = below};
            if (walk->cte_count < CTES_MAX &&
                tree_json_uint(json_object_get(op, "table_index"), &cte.index))
                walk->ctes[walk->cte_count++] = cte;
            else
                need(walk, &out, below.slots, "a WITH query that needs all rows");
        }
    }
    if (is_join(type)) {
        read_join(walk, op, sides, &out);
    } else if (strcmp(type, "LOGICAL_EXCEPT") == 0) {
        need(walk, &out, sides[1].slots, "EXCEPT");
    } else {
        const char *what = needs_all(op, type);
        if (what != NULL)
            need(walk, &out, out.slots, what);
    }
    return out;
}

void plan_read_losses(const struct plan_reader *reader, const json_t *root)
{
    struct walk walk = {.reader = reader};

    for (uint32_t i = 0; i < reader->plan->table_count; i++)
        reader->plan->tables[i].needed_by = NULL;
    (void)read_operator(&walk, root); /* The root's is in the tables. */
}
