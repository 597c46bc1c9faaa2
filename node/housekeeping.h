/* What a node does by itself from time to time: it drops facts that are older than the retention of
 * their table (docs/contracts.md, "Retention"), at its start and then hourly. Each minute it
 * removes destroyed keys of data subjects from the store's files where that is still due.
 * Threads: one of its own; start and stop by the same thread. What fails is logged and tried again
 * a minute later; it never ends the node. */
#ifndef FM_NODE_HOUSEKEEPING_H
#define FM_NODE_HOUSEKEEPING_H

#include "node/log.h"
#include "storage/store.h"

struct fm_housekeeping;

/* `store` and `log` are borrowed until the stop. FM_NOMEM: no thread, too. */
FM_MUST_USE enum fm_status fm_housekeeping_start(struct fm_store *store, const struct fm_log *log,
                                                 struct fm_housekeeping **out,
                                                 struct fm_error *err);
/* Ends after the segment at hand, which takes about a second at most. NULL is fine. */
void fm_housekeeping_stop(struct fm_housekeeping *housekeeping);

struct fm_housekeeping_done {
    uint32_t tables;  /* With a retention, */
    uint32_t failed;  /* of which that many could not be done. */
    uint64_t dropped; /* Facts. */
};

/* One round as if it were `now`: drop of each table with a retention what was recorded longer ago
 * than that. Ends early when `*stop` is true. */
void fm_housekeeping_round(struct fm_store *store, const struct fm_log *log, fm_us now,
                           const atomic_bool *stop, struct fm_housekeeping_done *out);

#endif
