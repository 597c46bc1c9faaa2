/* Which rows of a segment count: bits by stored row, kept in the arena beside the decoded columns,
 * so that a worker can leave the others out by itself.
 * Threads: none of its own. */
#ifndef FM_STORAGE_SELECTION_H
#define FM_STORAGE_SELECTION_H

#include "storage/reading.h"

/* Rows of the segment that are shown. */
uint32_t selection_count(const struct segment_value *segment, const struct visible *visible);

/* Words of 64 bits for all rows of the segment, bit 1 = shown. FM_LIMIT: no room in the arena. */
FM_MUST_USE enum fm_status selection_load(const struct table_state *state,
                                          const struct rocks_snapshot *snapshot,
                                          const struct segment_value *segment,
                                          const struct visible *visible, struct arena_pin *out,
                                          struct fm_error *err);

#endif
