/* The key index of a table: for each primary key where its latest row is.
 * Threads: with the table's append, one at a time. */
#ifndef FM_STORAGE_KEY_INDEX_H
#define FM_STORAGE_KEY_INDEX_H

#include "storage/internal.h"
#include "storage/row_headers.h"

/* The canonical bytes of a row's key fields, appended to `out`. */
FM_MUST_USE enum fm_status key_of_row(const struct fm_schema *schema, const struct fm_batch *batch,
                                      uint32_t row, struct fm_buf *out);

struct key_update {
    struct table *table;
    const struct fm_schema *schema;
    uint64_t base_size; /* Facts before this append. */
    bool skip_lookup;   /* Nothing was stored before this batch. */
    struct superseded_edit *superseded;
};

/* Make the rows, whose headers begin with headers->first, the latest of their keys, one after the
 * other: entries go to `out`, rows that the latest state does not show to `update->superseded`. A
 * row that takes its key's row back is the latest and not shown. FM_CONFLICT: a row takes back what
 * is not there, or names another fact than the latest of its key. */
FM_MUST_USE enum fm_status key_index_update(struct key_update *update,
                                            const struct row_headers *headers,
                                            struct rocks_batch *out, struct fm_error *err);

/* The latest row of a key among the first `size` facts, as of a snapshot; FM_NOTFOUND. */
FM_MUST_USE enum fm_status key_index_find(struct table *table,
                                          const struct rocks_snapshot *snapshot, uint64_t size,
                                          struct fm_span canonical, uint64_t *out,
                                          struct fm_error *err);

#endif
