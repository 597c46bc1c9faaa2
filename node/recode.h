/* Columns small enough to be announced in one message. A table's dictionaries may take megabytes:
 * the largest ones are left out of the announcement, and those with more texts than there are rows;
 * batches that carry codes of them are rebuilt with texts of their own.
 * Threads: one. Ownership: the columns and all they view must outlive the object. */
#ifndef FM_NODE_RECODE_H
#define FM_NODE_RECODE_H

#include "core/records.h"

struct fm_recode;

/* Append the columns to announce to `encoded`, at most `bytes_max` bytes; `*out` is NULL when they
 * are announced as they are. `rows`: of all batches, at most; UINT64_MAX where that is not known.
 * FM_LIMIT: too large even without dictionaries. */
FM_MUST_USE enum fm_status fm_recode_columns(const struct fm_columns *columns, uint64_t rows,
                                             size_t bytes_max, struct fm_buf *encoded,
                                             struct fm_recode **out);
/* Rebuild a batch of these columns in place. NULL as `recode`: leave it as it is. */
FM_MUST_USE enum fm_status fm_recode_batch(struct fm_recode *recode, struct fm_buf *batch);
void fm_recode_free(struct fm_recode *recode); /* NULL is fine. */
FM_DEFINE_FREEP(fm_recode_freep, struct fm_recode, fm_recode_free)

#endif
