/* What the fragments of an answer brought to its merge, batch by batch: those of the first
 * fragment, then of the second, in the answer's order. Each is read by its fragment's columns, and
 * each fragment's batches are shown to be those that its owner signed for.
 * Threads: one per object. Ownership: fm_fragments_deinit(); the answer outlives it. */
#ifndef FM_CLIENT_FRAGMENTS_H
#define FM_CLIENT_FRAGMENTS_H

#include "client/client_internal.h"

struct fm_fragments {
    const struct folkmoot_answer *answer;
    uint32_t fragment; /* Of the batch that is next, if its receipt has so many. */
    struct fm_tree tree;
    uint64_t rows;
    uint64_t bytes;
    struct fm_columns columns; /* Of that fragment. */
    struct fm_column_view view;
};

/* Batches of all fragments together, 0 where they were not kept. FM_LIMIT: more than any answer
 * has. */
FM_MUST_USE enum fm_status fm_fragments_count(const struct folkmoot_answer *answer, uint64_t *out,
                                              struct fm_error *err);

/* Before the first batch of an answer that has them. */
void fm_fragments_init(struct fm_fragments *fragments, const struct folkmoot_answer *answer);
void fm_fragments_deinit(struct fm_fragments *fragments); /* A zeroed one is fine. */
/* The next batch, aligned to 8; there must be one. `*fragment`: whose it is, in the answer's order.
 * FM_FORGED: it does not fit its columns, or with it the fragment's batches are not those that were
 * signed. */
FM_MUST_USE enum fm_status fm_fragments_take(struct fm_fragments *fragments, struct fm_span batch,
                                             uint32_t *fragment, struct fm_error *err);

#endif
