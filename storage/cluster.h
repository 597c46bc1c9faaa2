/* The order of rows within one append: by the schema's clustering fields (NULL last, text by its
 * bytes, NaN greatest), then as they came. Batches hold the schema's fields in order, without
 * outside dictionaries.
 * Threads: none of its own. */
#ifndef FM_STORAGE_CLUSTER_H
#define FM_STORAGE_CLUSTER_H

#include "core/batch.h"
#include "core/schema.h"

/* Are the rows in order, and none before row `tail_row` of `tail` (NULL: nothing came before)? True
 * for a schema without clustering fields. */
bool cluster_in_order(const struct fm_schema *schema, const struct fm_batch *batch,
                      const struct fm_batch *tail, uint32_t tail_row);

struct cluster_row {
    uint64_t prefix; /* Orders most rows by itself. */
    uint32_t batch;
    uint32_t row;
};

/* All rows of `count` batches in order, malloc'ed. */
FM_MUST_USE enum fm_status cluster_sort(const struct fm_schema *schema,
                                        const struct fm_batch *batches, uint32_t count,
                                        struct cluster_row **out, size_t *out_count);

#endif
