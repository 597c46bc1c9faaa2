/* fm_scan(n): the table function over the slots that the host declared. Mapped segments are read
 * where they lie by all of DuckDB's threads; a slot with a source pulls batches over the scan
 * socket. */
#ifndef FM_QUERY_WORKER_SCAN_H
#define FM_QUERY_WORKER_SCAN_H

#include "query/worker/decode.h"
#include "query/worker/worker.h"

struct scan_slot {
    struct channel_slot def;
    duckdb_logical_type *types; /* One per column. */
    struct decoder *decoders;   /* The same. */
    uint32_t *supplied_at;      /* Column to position in `def.supplied`, UINT32_MAX: none. */
    const uint8_t **arenas;     /* Mapped, def.arena_count of them. */
    bool source_taken;          /* By a scan of the run at hand. Under scan_lock. */
};

/* Register the function on the zygote's connection. */
FM_MUST_USE enum fm_status scan_register(struct worker *worker, struct fm_error *err);

/* Replace all slots by those of a SLOTS frame, then take the ARENA frames from the control socket.
 * On failure there are no slots. */
FM_MUST_USE enum fm_status scan_set_slots(struct worker *worker, struct fm_error *err);

/* Before a statement runs: forget failures, and which sources were read. */
void scan_start(struct worker *worker, bool single_thread);

/* Keep the first failure of a scan: DuckDB's own text of it comes second hand. Any thread. */
void scan_keep_failure(struct worker *worker, enum fm_status status, const char *text);

/* pull.c: rows of a source. */
struct pulled {
    struct fm_span bytes;
    int ring; /* SCAN slot to give back, or -1: `bytes` is a mapping of its own. */
};
/* Ask the host for the next batch of slot `slot`. FM_NOTFOUND: no more rows. Any thread. */
FM_MUST_USE enum fm_status pull_batch(struct worker *worker, uint32_t slot, struct pulled *out,
                                      struct fm_error *err);
void pull_release(struct worker *worker, struct pulled *pulled);

#endif
