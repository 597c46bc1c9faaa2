/* Which blocks of a segment no query with some predicates needs to read, by the bounds that its
 * columns keep of each block. Bounds are kept in the arena once they were read.
 * Threads: none of its own. */
#ifndef FM_STORAGE_BLOCKS_H
#define FM_STORAGE_BLOCKS_H

#include "storage/reading.h"

/* Bits of all blocks of so many rows. */
uint64_t blocks_all(uint32_t rows);

/* Bit b of `*out`: no row of block b can satisfy all terms. */
FM_MUST_USE enum fm_status blocks_ruled_out(const struct table_state *state,
                                            const struct rocks_snapshot *snapshot,
                                            const struct segment_value *segment,
                                            const struct fm_schema *schema,
                                            const struct fm_predicate_list *predicates,
                                            uint64_t *out, struct fm_error *err);

#endif
