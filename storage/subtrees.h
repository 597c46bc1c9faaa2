/* Hashes of a table's Merkle tree that are kept: those of perfect subtrees of 2^8, 2^12, 2^16 ...
 * leaves, each written with the append that completes it. What lies between and below is computed
 * again, at the bottom from the rows, so that less than half a byte is kept for a fact.
 * Threads: plain data; as the table's appends where a table is changed. */
#ifndef FM_STORAGE_SUBTREES_H
#define FM_STORAGE_SUBTREES_H

#include "storage/internal.h"

#define SUBTREE_LEVEL_MIN 8u
#define SUBTREE_LEVEL_STEP 4u
#define SUBTREE_LEAVES (1u << SUBTREE_LEVEL_MIN) /* Under the lowest that are kept. */

static inline bool subtree_is_kept(unsigned level)
{
    return level >= SUBTREE_LEVEL_MIN && (level - SUBTREE_LEVEL_MIN) % SUBTREE_LEVEL_STEP == 0;
}

/* For fm_tree_append_each(): note in the `struct fm_buf` what is to be kept. */
void subtrees_collect(void *buffer, unsigned level, uint64_t index, const struct fm_hash *hash);
/* Put what was noted into a write batch, and forget it. */
FM_MUST_USE enum fm_status subtrees_put(const struct table *table, struct fm_buf *collected,
                                        struct rocks_batch *batch);
/* Remove all that reach beyond the first `size` leaves. */
void subtrees_undo(const struct table *table, uint64_t size, struct rocks_batch *batch);
/* Bytes of all values that a table of this size has. */
uint64_t subtrees_bytes(uint64_t size);
/* FM_NOTFOUND: not there. FM_CORRUPT. */
FM_MUST_USE enum fm_status subtrees_get(const struct table *table, unsigned level, uint64_t index,
                                        struct fm_hash *out, struct fm_error *err);

#endif
