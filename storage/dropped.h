/* Hashes of facts that retention dropped: enough for proofs about the facts that are kept, and for
 * consistency proofs between sizes that the table had. Subtrees of TILES_LEAVES facts and more are
 * kept as always (subtrees.h). Below that level a block of TILES_LEAVES facts has *tiles*: perfect
 * subtrees side by side, as large as they can be without the end of an append, or of what was
 * dropped, inside of one. A block that is one tile has none: its hash is that of the kept subtree.
 * Threads: plain data. */
#ifndef FM_STORAGE_DROPPED_H
#define FM_STORAGE_DROPPED_H

#include "storage/internal.h"

/* The tiles of block number `block`; none (count 0) where there is no such value. */
FM_MUST_USE enum fm_status dropped_tiles(const struct table_state *state,
                                         const struct rocks_snapshot *snapshot, uint64_t block,
                                         struct tiles *out, struct fm_error *err);
/* Hash over the 2^level leaves of a block from number `first` of it on. FM_NOTFOUND: those leaves
 * are not side by side under whole tiles. */
FM_MUST_USE enum fm_status tiles_node(const struct tiles *tiles, unsigned level, uint32_t first,
                                      struct fm_hash *out);

/* Of one block, where ends of appends are and which tiles that makes. */
struct tiling {
    uint32_t end;              /* Leaves of the block that are dropped. */
    bool is_end[TILES_LEAVES]; /* Nothing before leaf i and from it on in one tile. */
    struct tiles before;       /* Of the leaves dropped earlier. */
    const uint8_t *hashes;     /* Of the leaves from number before.leaves on, 32 bytes each. */
    struct tiles out;
};
/* Fill `out`, from the rest. */
void tiling_make(struct tiling *tiling);

/* The tree over the first `state->dropped` leaves, from what is kept of them. `each` is told of
 * subtrees as by fm_tree_append_each(). FM_NOTFOUND: a hash is missing. FM_CORRUPT: tiles are not
 * those of their subtree. */
FM_MUST_USE enum fm_status dropped_tree(const struct table_state *state, struct fm_tree *out,
                                        void (*each)(void *context, unsigned level, uint64_t index,
                                                     const struct fm_hash *hash),
                                        void *context, struct fm_error *err);

/* FM_NOTFOUND: what was asked for is dropped, in words. */
FM_MUST_USE enum fm_status fail_dropped(const struct table_state *state, struct fm_error *err);

#endif
