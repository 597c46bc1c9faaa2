/* Are the rows of an answer the ones that its merge gives? Values must be equal but for
 * floating-point columns, which sums in another order make a little different: those may differ by
 * 1e-9 of the larger one (FLOAT: 1e-6), or by 1e-12 in all.
 * While rows come in the same order nothing is kept of them; from the first difference on they are
 * compared as a set, in memory of at most FM_COMPARE_BYTES_MAX for each side.
 * Threads: one. */
#ifndef FM_NODE_CLI_COMPARE_H
#define FM_NODE_CLI_COMPARE_H

#include "query/replay.h"

struct fm_compare_side {
    const struct fm_columns *columns;
    struct fm_batch_source source;
};

struct fm_compared {
    uint64_t rows;
    bool is_in_order; /* Each row at its place. */
};

/* FM_FORGED: they are not, and `err` says in which row or column. FM_UNSUPPORTED: they differ in
 * what the statement leaves open. FM_LIMIT: too many rows in another order. */
FM_MUST_USE enum fm_status fm_compare_rows(const struct fm_compare_side *answer,
                                           const struct fm_compare_side *merge,
                                           const struct fm_replay_form *form,
                                           struct fm_compared *out, struct fm_error *err);

#endif
