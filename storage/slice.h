/* Batches cut out of decoded columns by copying, without looking at single values: what makes a
 * scan of whole segments cheap.
 * Threads: none of its own. */
#ifndef FM_STORAGE_SLICE_H
#define FM_STORAGE_SLICE_H

#include "core/batch.h"

struct slice_column {
    const struct fm_batch *batch;
    uint32_t column;
    uint32_t first; /* Row of the batch, a multiple of 64. */
};

/* Nested columns and dictionaries inside the batch are not for slicing. */
bool slice_possible(const struct fm_vector_entry *vector);
/* Bytes of a batch of these rows. */
uint64_t slice_bytes(const struct slice_column *columns, uint32_t count, uint32_t rows);
/* Append the batch to an empty buffer. */
FM_MUST_USE enum fm_status slice_write(const struct slice_column *columns, uint32_t count,
                                       uint32_t rows, struct fm_buf *out);

#endif
