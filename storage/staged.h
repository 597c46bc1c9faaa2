/* What an append writes before it commits (segments' column values, hashes of subtrees, entries of
 * the key index) lies beyond the table's state and is marked. An append that never commits, by
 * abort or by a crash, is undone from the mark.
 * Threads: as the table's appends: one at a time. */
#ifndef FM_STORAGE_STAGED_H
#define FM_STORAGE_STAGED_H

#include "storage/internal.h"

/* Write the mark, before anything else is staged. */
FM_MUST_USE enum fm_status staged_begin(struct table *table, const struct table_state *state,
                                        struct fm_error *err);
/* Remove everything staged and the mark. */
FM_MUST_USE enum fm_status staged_undo(struct table *table, const struct table_state *state,
                                       struct fm_error *err);
/* The same at the opening of a store, if there is a mark. */
FM_MUST_USE enum fm_status staged_recover(struct table *table, struct fm_error *err);
/* Remove the mark as part of the append's commit. */
void staged_end(struct table *table, struct rocks_batch *batch);

#endif
