/* The batches of a feed as the merge reads them, of which the first ones may be read ahead of it:
 * keys of theirs reduce other fragments (FM_RULE_REDUCE). A view's (node/views.h) are all here.
 * Ownership: embedded, fm_kept_deinit(); the feed is the query's. Threads: one at a time. */
#ifndef FM_NODE_KEPT_H
#define FM_NODE_KEPT_H

#include "node/feed.h"

struct fm_kept {
    struct fm_feed *feed; /* NULL until it is opened, and of a view. */
    bool is_whole;        /* All batches were read ahead, and the receipt holds. */
    uint64_t rows;        /* Of those read ahead. */
    size_t bytes;
    uint32_t count;
    uint32_t next; /* To be read by the merge. */
    struct fm_buf *batches;
};

/* Read all batches, but no more than about FM_REDUCE_KEEP_BYTES_MAX: `is_whole` tells. Errors as
 * fm_feed_next(). */
FM_MUST_USE enum fm_status fm_kept_read_ahead(struct fm_kept *kept, struct fm_error *err);

/* Take a batch over as the next one; it is empty then. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_kept_add(struct fm_kept *kept, struct fm_buf *batch);

/* As fm_feed_next(), with a struct fm_kept: those read ahead first. */
enum fm_status fm_kept_next(void *context, struct fm_buf *batch, struct fm_error *err);

void fm_kept_deinit(struct fm_kept *kept); /* Zeroed is fine. */

#endif
