/* Which neighbouring segments should become one. In the background that is size-tiered: a merge
 * makes of its inputs one that is at least twice as long as the longest of them, and four times
 * unless nothing more fits, so a fact is rewritten at most log2(FM_SEGMENT_ROWS / rows of its first
 * segment) times: five times from 2,048 rows on, most often twice.
 * Threads: none of its own. */
#ifndef FM_STORAGE_MERGE_PLAN_H
#define FM_STORAGE_MERGE_PLAN_H

#include "storage/keys.h"

#define MERGE_INPUTS_MAX 64u
#define MERGE_BYTES_MAX (24u << 20) /* Of the inputs' column values. */

struct merge_run {
    uint32_t first; /* Index among the segments. */
    uint32_t count; /* >= 2. */
};
/* The first run from index `from` on; false: none. `eager`: whatever fits together, for who asks
 * for it. */
bool merge_plan(struct segment_value *const *segments, uint32_t count, uint32_t from, bool eager,
                struct merge_run *out);

#endif
