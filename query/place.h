/* Where work is done, chosen by cost from what owners say of their tables (core/statistics.h).
 *
 *   cost in us = bytes moved / PLACE_BYTES_PER_US + rows merged * PLACE_ROW_US
 *                + rows that an owner's engine reads * PLACE_SCAN_US + round trips * rtt
 *
 * Rows of a slot are estimated from its table's rows and the selectivity of its predicates (1 /
 * distinct values for an equality, the share of the range between least and greatest value for a
 * comparison), bytes from the wanted columns' bytes per row.
 *
 * A reduction of slot `to` by slot `from` (FM_RULE_REDUCE) leaves
 *   min(1, keys of `from` / distinct values of `to`'s column)
 * of the rows of `to`, where that is a part of the statement also of those that the owner reads for
 * it; it costs the wait for `from`: a round trip where `to` would have been asked
 * earlier, and the bytes of `from` and its keys. The one that saves most is taken first, as long as
 * one saves twice what it costs. Without statistics of both tables nothing is reduced.
 *
 * Threads: plain data. */
#ifndef FM_QUERY_PLACE_H
#define FM_QUERY_PLACE_H

#include "query/plan.h"

#define PLACE_BYTES_PER_US 100.0 /* Read, sealed, sent, opened, checked, handed to the engine. */
#define PLACE_ROW_US 0.02        /* Of one row in the merge. */
#define PLACE_SCAN_US 0.003      /* Of one row that an owner groups. */

#define PLACE_JOIN_US 0.01   /* Of one row that it joins with another table. */
#define PLACE_PAYS_TIMES 2.0 /* What costs time first saves so many times that. */

struct place_estimate {
    double rows; /* That the slot brings; below 0: unknown, and so are the bytes. */
    double row_bytes;
};

void place_estimate(const struct fm_plan_table *table, struct place_estimate *out);

/* Distinct values of a field among `rows` rows of a slot's table; never below 1. */
double place_distinct(const struct fm_plan_table *table, uint32_t field, double rows);

/* Whether values of this field may go to another owner: not where the contract says that they are
 * somebody's, nor where the owner tells the mesh nothing of the table. What the columns of a part
 * are made of is not known any more: they may not. */
bool place_may_give(const struct fm_plan_table *table, uint32_t field);

/* What a plan costs at least in us, by what place_choose() expects. */
double place_cost(const struct fm_plan *plan);

/* Fill plan->reductions, and what each slot is expected to bring. FM_NOMEM. */
FM_MUST_USE enum fm_status place_choose(struct fm_plan *plan, uint64_t rules_off);

#endif
