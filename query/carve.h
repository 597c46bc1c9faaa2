/* Carving: a part of a statement whose tables all have one owner is run there, and its rows become
 * a slot of the merge. The part is a query node of the syntax tree (a derived table, a WITH query,
 * a side of a set operation, a subquery); in its place stands a SELECT of the slot's columns under
 * the part's own names.
 *
 * A part that does not stand alone (it is correlated, or reads a WITH query from outside) does not
 * bind by itself and is left as it is. So are statements that still ask an engine's clock
 * after tree_fix_clock(): owners' clocks differ.
 *
 * Threads: one per planning. */
#ifndef FM_QUERY_CARVE_H
#define FM_QUERY_CARVE_H

#include "query/aggregate.h"
#include "query/plan.h"
#include "query/tree.h"

/* What planning works on. While parts are carved, tree->tables[i] and plan->tables[i] go together;
 * those of a carved part but the first have no node, until plan_settle_slots(). The worker knows
 * the slots of the tables as the statement has them. */
struct planner {
    struct fm_worker *worker;
    struct tree *tree;
    struct fm_plan *plan;
    uint64_t rules_off;
    uint32_t tries; /* Parts that were looked at by the worker; at most CARVE_TRIES_MAX. */
    struct fm_error *err;
};

/* A statement is looked at only so deep, and so many parts of it are tried: strangers write it. */
#define CARVE_DEPTH_MAX 32u
#define CARVE_TRIES_MAX 128u

static inline bool planner_may(const struct planner *planner, enum fm_plan_rule rule)
{
    return (planner->rules_off >> rule & 1u) == 0;
}

/* The occurrences of base tables under `node`: bit i for tree->tables[i]. Slots of carved parts
 * count too. */
uint64_t planner_tables_under(const struct planner *planner, const json_t *node);

/* Whether all these tables have one owner, and none is a carved part or the asked node's own. False
 * for no table. */
bool planner_is_one_owner(const struct planner *planner, uint64_t tables);

/* Whether an expression, or one of a list, calls a function that makes one row of many, not
 * counting those in subqueries. */
bool planner_holds_aggregate(json_t *json);

/* Carve the query node `node`, whose tables must have one owner. `*carved` is false, and the tree
 * as before, where it does not stand alone. Pointers into `node` are stale afterwards. Names of the
 * tree must have been shortened (tree_shorten()). */
FM_MUST_USE enum fm_status plan_carve(struct planner *planner, json_t *node, enum fm_plan_rule rule,
                                      bool *carved);

/* Carve the whole statement, which is `sql` with the names of its tables, for the owner of the
 * tables `own`; the others stay slots, which nothing in the tree reads any more. */
FM_MUST_USE enum fm_status plan_carve_whole(struct planner *planner, struct fm_span sql,
                                            uint64_t own, bool *carved);

/* Carve every part for which it pays: those that group, limit, join or combine. Sides of set
 * operations without ALL are made DISTINCT first. */
FM_MUST_USE enum fm_status plan_carve_parts(struct planner *planner);

/* LIMIT and OFFSET of a query node together, where they are constants and nothing but an ORDER BY
 * (NULL: none) stands with them; and the modifiers for them. `orders` may be NULL. */
bool plan_limit_of(const json_t *node, int64_t *rows, const json_t **order);
json_t *plan_make_limit(int64_t rows, json_t *orders);

/* Where `node` is a SELECT with a LIMIT from an outer join, give the LIMIT to the table that the
 * join preserves (query/limit_joins.c). */
FM_MUST_USE enum fm_status plan_limit_joins(struct planner *planner, json_t *node);

/* Where `node` is a UNION ALL with a LIMIT, give its sides the same (query/limit_sides.c). */
FM_MUST_USE enum fm_status plan_limit_sides(struct planner *planner, json_t *node);

/* A schema of these columns, called c0, c1, .. or by their names, which are cut to FM_NAME_MAX. */
FM_MUST_USE enum fm_status plan_make_schema(const struct fm_columns *columns, bool names_made,
                                            struct fm_schema **out);

bool plan_is_union_all(const json_t *node);
/* As plan_describe_part(); also FM_NOTFOUND where a side of a UNION ALL has other types. */
FM_MUST_USE enum fm_status plan_describe_union(struct planner *planner, json_t *node,
                                               struct fm_columns *out);

/* The columns of a part that stands alone; FM_NOTFOUND: it does not. The caller frees them. */
FM_MUST_USE enum fm_status plan_describe_part(struct planner *planner, json_t *node,
                                              struct fm_columns *columns);

/* Let owners group their tables below joins and unions, where that is sound and pays (aggregate.h).
 * Before anything else is carved. */
FM_MUST_USE enum fm_status plan_aggregate(struct planner *planner);
/* For it: where a derived table comes from, with the figures of its columns that the tables behind
 * them have (query/plan_parts.c). */
FM_MUST_USE enum fm_status plan_parts_of(void *planner, json_t *from, struct aggregate_parts *out);

/* After the last carving: close the gaps, so that slot n is tables[n] of both. */
void plan_settle_slots(struct planner *planner);

#endif
