/* A segment under construction, from hot rows (seal.c) or from smaller segments (merge.c), and the
 * one commit that puts it in their place. Before that commit nothing is written.
 * Threads: one per object. */
#ifndef FM_STORAGE_SEALED_H
#define FM_STORAGE_SEALED_H

#include "storage/cluster.h"
#include "storage/internal.h"
#include "storage/segment.h"

#define SEALED_BYTES_MAX (24u << 20) /* A segment with larger values has fewer rows. */

/* One thread at a time makes segments of a table's rows. It works on what readers had when it
 * began. */
struct sealing {
    struct table *table;
    struct table_state *state;
    struct store_view *view;
    bool nothing_to_merge; /* To be remembered for this state's segments (merge.c). */
};
/* FM_NOTFOUND: no such table. FM_BUSY: another thread is at it. */
FM_MUST_USE enum fm_status sealing_begin(struct fm_store *store, const char *domain,
                                         const char *name, struct sealing *out,
                                         struct fm_error *err);
void sealing_end(struct sealing *sealing); /* Zeroed is fine. */

struct sealed;

/* An empty segment of the table's rows from `first_sequence` on. */
FM_MUST_USE enum fm_status sealed_new(struct table *table, const struct fm_schema *schema,
                                      uint64_t first_sequence, struct sealed **out);
void sealed_free(struct sealed *sealed);
FM_DEFINE_FREEP(sealed_freep, struct sealed, sealed_free)

/* The headers of the next rows, in sequence order. */
FM_MUST_USE enum fm_status sealed_add_spans(struct sealed *sealed, const struct segment_span *spans,
                                            uint32_t count);
uint32_t sealed_rows(const struct sealed *sealed); /* Of the spans. */

/* A column of all rows. */
FM_MUST_USE enum fm_status sealed_set_column(struct sealed *sealed, uint32_t position,
                                             const struct fm_batch *batch, uint32_t column);
/* The same, put together: row i is the row `rows[i].row` of `sources[rows[i].batch]`. FM_LIMIT: the
 * values are too large for one segment. */
struct sealed_source {
    const struct fm_batch *batch;
    uint32_t column;
};
FM_MUST_USE enum fm_status sealed_gather_column(struct sealed *sealed, uint32_t position,
                                                const struct sealed_source *sources,
                                                const struct cluster_row *rows);
/* By row, its sequence less the first: stored unless that is 0, 1, 2 ... */
FM_MUST_USE enum fm_status sealed_set_order(struct sealed *sealed, const uint32_t *offsets);

/* Once there are spans and all columns: write the segment, and what `replace` changes in the state
 * and adds to the batch, with the table's append lock, and sync. `replace` puts the segment into
 * `next`, which has it when FM_OK is returned. The segment is used up whatever the outcome.
 * FM_BUSY: an append has the table. FM_LIMIT: no free space. */
struct sealed_commit {
    struct commit_what what;
    enum fm_status (*replace)(void *context, struct segment_value *segment,
                              struct table_state *next, struct rocks_batch *batch,
                              struct fm_error *err);
    void *context;
};
FM_MUST_USE enum fm_status sealed_write(struct sealed *sealed, const struct sealed_commit *commit,
                                        struct fm_error *err);

#endif
