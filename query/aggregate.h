/* Aggregate before you ship (Yan and Larson, "Eager aggregation and lazy aggregation", 1995): below
 * the joins of a SELECT that groups, its largest table becomes
 *
 *   (SELECT <what joins, groups and conditions need of it>, <partial aggregates>
 *    FROM table WHERE <conditions on it alone> GROUP BY <the former>) AS <its name>
 *
 * and the aggregates above combine the partial ones: count(*) becomes a sum of counts, avg(x) a sum
 * of sums over a sum of counts, min, max and their like stay what they are. An aggregate over
 * another table is weighted with the number of rows behind each group where doubles matter to it.
 * So the table's owner sends groups instead of rows. Other tables of that owner which
 * equalities tie to the largest go below with it, joined there. A derived table that is a UNION ALL
 * of parts with one owner each, with or without joins around it, is grouped in each of its parts.
 *
 * It is sound without any uniqueness, since whatever decides on joining a row is one of the columns
 * grouped by: rows of one group join the same rows, or none. The table may stand anywhere in inner
 * and cross joins, on the preserved side of outer ones and on the left of SEMI and ANTI. Left alone
 * is everything in doubt: windows, ordered aggregates, grouping sets, lateral references, volatile
 * functions, names that names.h does not know, expressions that might fail on a row that joins
 * nothing (total.h).
 *
 * Threads: one per tree. */
#ifndef FM_QUERY_AGGREGATE_H
#define FM_QUERY_AGGREGATE_H

#include "query/plan.h"
#include "query/tree.h"

/* A derived table whose rows are those of several parts together (UNION ALL), or of one. */
struct aggregate_parts {
    struct fm_plan_table table; /* Its columns; rows and figures as far as known; an owner. */
    uint32_t count;
    json_t *nodes[FM_QUERY_TABLES_MAX]; /* Query nodes, borrowed: each stands alone, its tables
                                           have one owner, its columns the types of the whole. */
};

struct aggregate_options {
    /* The name of a column that a select list leaves unnamed, as the engine makes it. */
    void *context;
    enum fm_status (*name_of)(void *context, const json_t *expression, struct fm_buf *out);
    /* What the derived table `from` comes from, into a zeroed object whose table the caller
     * frees. FM_NOTFOUND: it has no such parts. May be NULL. */
    enum fm_status (*parts_of)(void *context, json_t *from, struct aggregate_parts *out);
};

struct aggregate_made {
    json_t *node;  /* A SELECT made, borrowed from the tree; its tables have one owner. */
    uint64_t rows; /* Groups expected. */
};

/* Rewrite every SELECT of `tree` for which it is sound and pays; `made` has room for one per table.
 * `tables` are those of the tree by number. FM_NOMEM, or what name_of() answers. */
FM_MUST_USE enum fm_status aggregate_push(struct tree *tree, const struct fm_plan_table *tables,
                                          const struct aggregate_options *options,
                                          struct aggregate_made *made, uint32_t *made_count);

#endif
