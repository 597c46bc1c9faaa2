/* Which rows of a run hold the least and the greatest value, in SQL order (predicate.h).
 * Threads: none of its own. */
#ifndef FM_STORAGE_EXTREMES_H
#define FM_STORAGE_EXTREMES_H

#include "storage/keys.h"

struct extremes {
    bool found; /* False: no value, or a type without bounds (nested, interval). */
    uint32_t min_row;
    uint32_t max_row;
};

/* Over rows [first, first + count) of a vector whose dictionary, if any, is inside the batch. */
void extremes_find(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                   uint32_t first, uint32_t count, struct extremes *out);

/* The bounds of such a run, cut to BOUNDS_BYTES_MAX. */
FM_MUST_USE enum fm_status bounds_find(const struct fm_batch *batch,
                                       const struct fm_vector_entry *vector,
                                       const struct fm_type *type, uint32_t first, uint32_t count,
                                       struct fm_buf *scratch, struct bounds *out);

/* NULLs among rows [first, first + count). */
uint32_t nulls_count(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     uint32_t first, uint32_t count);

#endif
