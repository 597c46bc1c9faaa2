/* Random SELECTs over the tables of a world (random_schema.h), in two texts that mean the same: for
 * the mesh, and for the DuckDB that holds all of it, where a table of the past is one of its own.
 * What SQL leaves open is not asked: no LIMIT without a total order, no window over ties, no first
 * of several. Everything is decided by choices, so a statement can be made again and reduced.
 * Threads: one. */
#ifndef FM_TESTS_SUPPORT_RANDOM_QUERY_H
#define FM_TESTS_SUPPORT_RANDOM_QUERY_H

#include "tests/support/choices.h"
#include "tests/support/random_schema.h"

struct random_query {
    struct fm_buf mesh;
    struct fm_buf oracle;
    bool is_ordered; /* Rows have one order. */
};

/* Both texts end with a NUL. */
void random_query_make(struct choices *choices, const struct world *world,
                       struct random_query *out);
void random_query_deinit(struct random_query *query);

#endif
