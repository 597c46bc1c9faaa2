/* Push the small side to the big owner (FM_RULE_PUSH): the owner of the largest table gets the
 * whole statement, and with it the rows of the other owners' tables, which were read first. It
 * sends what the statement makes of them.
 *
 *   SELECT f.date, f.delay, a.city FROM flights.delays f JOIN airports.airport a
 *   ON f.origin = a.iata ORDER BY f.delay DESC LIMIT 10
 *     slot 0  airports: SELECT iata, city FROM airports.airport
 *     slot 1  flights, given slot 0: the statement
 *     merge   SELECT date, delay, city FROM fm_scan(1)
 *
 * It is sound for every statement: the owner runs it over the same rows as the merge would. It pays
 * (by the formula of place.h) where the statement makes few rows, which its form and the owners'
 * statistics must tell, and no other rule leaves few of the big side's. Given are only columns that
 * place_may_give(), and at most FM_GIVEN_BYTES_MAX of them: what is larger than was expected is
 * planned again without this rule.
 *
 * Threads: one per planning. */
#ifndef FM_QUERY_PUSH_H
#define FM_QUERY_PUSH_H

#include "query/carve.h"

/* How many rows the statement makes at most; below 0: not known. The tree as it was asked, with
 * statistics of its tables (query/push_rows.c). */
double push_rows(const struct tree *tree, const struct fm_plan_table *tables);

/* Whether to plan a statement of so many rows once more, whose plan without this rule is `plan`:
 * only where that costs more than twice what the big owner needs to read its tables. */
bool push_may_pay(const struct fm_plan *plan, double rows);

struct push_ask {
    struct fm_span sql; /* The statement, over the names of its tables. */
    double rows;        /* push_rows() */
    double cost_us;     /* Of the plan without this rule. */
};

/* Carve the whole statement, whose slots are known for what they are read for, if that costs
 * clearly less than the plan without. The slots are settled then, and what the merge reads of them
 * is known. */
FM_MUST_USE enum fm_status plan_push(struct planner *planner, const struct push_ask *ask,
                                     bool *pushed);

#endif
