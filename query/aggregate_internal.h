/* Between the files of the rewriting: the node at hand, and the SELECT that is made below it. */
#ifndef FM_QUERY_AGGREGATE_INTERNAL_H
#define FM_QUERY_AGGREGATE_INTERNAL_H

#include "query/aggregate.h"
#include "query/total.h"
#include "query/tree_build.h"

/* What a function answers that finds that the node must stay as it is. */
#define AGGREGATE_LEAVE FM_NOTFOUND

#define JOINED_ALIAS "fm_t"    /* What several tables are called above, */
#define PARTS_ALIAS "fm_union" /* and a derived one without a name. */

struct aggregate {
    const struct names *names; /* Of the node before it was changed. */
    uint64_t leaves;           /* What goes below: bit i for leaf i. */
    uint32_t leaf;             /* The largest of them. */
    const char *alias;         /* The name above: that of the table when it is one. */
    enum names_clause clause;  /* Where the expression at hand stands. */
    bool may_aggregate;        /* An aggregate may stand here, */
    bool inside;               /* and this is inside one. */
    bool before_groups;        /* ON and WHERE: any expression over the table may become a key. */
    uint32_t aggregate_count;
    /* Owned arrays. */
    json_t *keys;     /* Of the SELECT made: expressions with their names as aliases. */
    json_t *partials; /* The same. */
    json_t *where;    /* Its conditions. */
    json_t *from;     /* The nodes of the leaves that go below, itself and not copies. */
    json_t *loose;    /* Conditions of joins that are gone above. */
    json_t *grouped;  /* Expressions that the node groups by and that the table alone decides, in
                         the form of aggregate_inner(). */
};

FM_MUST_USE enum fm_status aggregate_init(struct aggregate *a, const struct names *names,
                                          uint64_t leaves, uint32_t leaf);
void aggregate_deinit(struct aggregate *a);

/* Several tables go below as one, joined there. */
static inline bool aggregate_is_joined(const struct aggregate *a)
{
    return (a->leaves & (a->leaves - 1)) != 0;
}

/* A column of what goes below. */
static inline bool aggregate_has(const struct aggregate *a, const struct names_found *found)
{
    return found->kind == NAMES_COLUMN && (a->leaves >> found->leaf & 1u) != 0;
}

/* Reads columns of what goes below, and nothing else. */
bool aggregate_is_own(const struct aggregate *a, const json_t *node);
/* A copy with the table's columns written in the one form; NULL when memory ran out. */
json_t *aggregate_inner(const struct aggregate *a, const json_t *node);

/* The column above for a key of the SELECT made, or for a partial aggregate; equal ones are made
 * once. `inner` is taken; NULL when memory ran out. */
json_t *aggregate_key(struct aggregate *a, json_t *inner);
json_t *aggregate_partial(struct aggregate *a, json_t *inner);

/* SELECT <keys>, <partial aggregates> FROM `from`, which is taken, for what a rewriting found; NULL
 * when memory ran out. */
json_t *aggregate_select(struct aggregate *a, json_t *from);
/* Put such a SELECT over each part of the derived table `from`; `made` gets them, behind the
 * `*count` that are there. */
FM_MUST_USE enum fm_status aggregate_put_parts(struct aggregate *a, struct tree *tree, json_t *from,
                                               const struct aggregate_parts *parts,
                                               struct aggregate_made *made, uint32_t *count);

/* Rewrite the expression at `place` for what is above. */
FM_MUST_USE enum fm_status aggregate_rewrite(struct aggregate *a, const struct tree_place *place);
FM_MUST_USE enum fm_status aggregate_rewrite_at(struct aggregate *a, json_t *object,
                                                const char *key); /* Null is fine. */

/* A call of an aggregate function: rewrite it. AGGREGATE_LEAVE when it does not decompose. */
bool aggregate_is_known(const char *function);
FM_MUST_USE enum fm_status aggregate_decompose(struct aggregate *a, const struct tree_place *place);

/* The table below, the largest where several are joined there. */
const struct fm_plan_table *aggregate_largest(const struct aggregate *a);
/* aggregate_pays.c: how many groups to expect of so many rows (`*known` when the figures of all
 * keys are), and whether that is few enough. */
uint64_t aggregate_groups(const struct aggregate *a, uint64_t rows, bool *known);
bool aggregate_pays(const struct aggregate *a);

#endif
