/* Answers that are pulled batch by batch: queries by clients, fragments by asking nodes. A cursor
 * keeps the last FM_FETCH_WINDOW batches, so that a fetch whose reply was lost can be repeated; it
 * hashes what it hands out into a tree. What makes its batches ends at its deadline; it is dropped
 * FM_CURSOR_LEASE_MS after the last fetch, sooner once its end was fetched, when room is needed or
 * when the session that used it last is said to be orphaned: its asker has gone.
 * Threads: any; each cursor is produced by one thread at a time. */
#ifndef FM_NODE_CURSOR_H
#define FM_NODE_CURSOR_H

#include "core/hash.h"
#include "core/records.h"
#include "core/time.h"
#include "node/opening.h"

struct fm_cursors;
struct fm_server_cursor;

struct fm_cursor_totals {
    uint64_t rows;
    uint64_t bytes;
    uint64_t batches;
    struct fm_hash root;
    bool stopped; /* Ended by the one who asks, before the last row. */
};

/* What makes the batches. `next` appends one batch (FMB1 bytes) to an empty buffer, FM_NOTFOUND at
 * the end; `leaf` (may be NULL) tells the batch's leaf hash where it was made on its way here, else
 * NULL; `finish` appends the end (bundle or receipt); `cancel` may be called from any thread,
 * while `next` runs; `free` ends it. */
struct fm_producer {
    void *context;
    enum fm_status (*next)(void *context, struct fm_buf *batch, struct fm_error *err);
    const struct fm_hash *(*leaf)(void *context);
    enum fm_status (*finish)(void *context, const struct fm_cursor_totals *totals,
                             struct fm_buf *end, struct fm_error *err);
    void (*cancel)(void *context);
    void (*free)(void *context);
};

struct fm_cursor_options {
    enum fm_cursor_kind kind;
    struct fm_request_id query;
    uint32_t number;             /* Of the fragment; 0 for queries. */
    struct fm_public_key caller; /* Only who opened it may fetch. */
    const uint8_t *session;      /* Its hash, 32 bytes; NULL: the same process. Copied. */
    fm_ms deadline;
    struct fm_producer producer;
    struct fm_span opened; /* The reply to its opening, given again to a repeated one; copied. */
    struct fm_hash ticket; /* Fragments: a repeated opening must bring the same one. */
    bool is_held;          /* Its user is in this process and cancels it at last: no lease. */
};

FM_MUST_USE enum fm_status fm_cursors_new(struct fm_cursors **out);
void fm_cursors_free(struct fm_cursors *cursors);
FM_DEFINE_FREEP(fm_cursors_freep, struct fm_cursors, fm_cursors_free)

/* Those that are being opened; a cancel, the end of their session and of the node end them too. */
struct fm_openings *fm_cursors_openings(struct fm_cursors *cursors);

/* The reply of an earlier opening, appended to `opened`: FM_NOTFOUND when there is none,
 * FM_CONFLICT when its ticket or caller differ, FM_BUSY when enough calls wait for it already. */
FM_MUST_USE enum fm_status fm_cursor_repeated(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                              const struct fm_request_id *query, uint32_t number,
                                              const struct fm_public_key *caller,
                                              const struct fm_hash *ticket, struct fm_buf *opened);

/* Take the producer over (also on failure). FM_UNAVAILABLE: the node stops; FM_CONFLICT: the id is
 * in use; FM_BUSY: no room. */
FM_MUST_USE enum fm_status fm_cursor_open(struct fm_cursors *cursors,
                                          const struct fm_cursor_options *options,
                                          struct fm_error *err);

/* The same, and make the first batch and the end: those that are small (FM_OPENED_BYTES_MAX) and
 * fit a reply of `reply_max` bytes go into it beside `opened`. The reply is appended to `reply` and
 * kept for repeats; it must be empty, and options->opened is not looked at. A failure on the way is
 * told to who fetches. A repeat meanwhile waits. */
FM_MUST_USE enum fm_status fm_cursor_open_first(struct fm_cursors *cursors,
                                                const struct fm_cursor_options *options,
                                                const struct fm_opened *opened, size_t reply_max,
                                                struct fm_buf *reply, struct fm_error *err);

#define FM_FETCH_STOP UINT64_MAX /* As a batch number: end here with what was handed out. */

/* One part of a batch, or of the end, encoded as a fm_part into `reply`. At most `part_max` bytes.
 * FM_BUSY: several calls fetch from this cursor already; each of them holds a thread. */
FM_MUST_USE enum fm_status fm_cursor_fetch(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                           const struct fm_fetch *fetch,
                                           const struct fm_public_key *caller,
                                           const uint8_t *session, size_t part_max,
                                           struct fm_buf *reply, struct fm_error *err);
/* The whole batch or end at once, for a feed in the same process. */
FM_MUST_USE enum fm_status fm_cursor_take(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                          const struct fm_fetch *fetch,
                                          const struct fm_public_key *caller,
                                          enum fm_part_kind *part, struct fm_buf *out,
                                          struct fm_error *err);
/* Unknown ones are fine: cancel may come twice. */
void fm_cursor_cancel(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                      const struct fm_request_id *query, uint32_t number,
                      const struct fm_public_key *caller);
/* The same without dropping it: its producer stops, whoever fetches is told. */
void fm_cursor_interrupt(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                         const struct fm_request_id *query, uint32_t number,
                         const struct fm_public_key *caller);
/* Cancel what this session opened or used last. */
void fm_cursors_orphan(struct fm_cursors *cursors, const uint8_t *session);
/* End what is past its deadline or lease. Called some times a second. */
void fm_cursors_reap(struct fm_cursors *cursors, fm_ms now);
/* Cancel all and let none begin any more: the node stops. */
void fm_cursors_stop(struct fm_cursors *cursors);

#endif
