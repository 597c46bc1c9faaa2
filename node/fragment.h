/* The owner's side of a fragment: check the ticket, run it on one snapshot, sign the receipt. Used
 * by the FRAGMENT_OPEN call and, without a session, by a feed in the same process. */
#ifndef FM_NODE_FRAGMENT_H
#define FM_NODE_FRAGMENT_H

#include "core/records.h"
#include "core/stop.h"
#include "core/time.h"

struct fm_server;

struct fm_fragment_ask {
    struct fm_span ticket;         /* Envelope. */
    struct fm_span principal_cert; /* Envelope. */
    const struct fm_node_cert *asker;
    const uint8_t *session; /* Session hash; NULL in the same process. */
    fm_ms wait_ms;          /* For a place, at most. */
    struct fm_stop *stop;   /* Cuts the opening short; NULL: only a cancel does. */
};

/* Opens a cursor (node/cursor.h) of kind FM_CURSOR_FRAGMENT for (query, number), fetched by the
 * asker's signing key. Appends the reply: map {0 columns (bin), 1 rows (estimate)}. FM_REFUSED,
 * FM_FORGED: the ticket does not hold; FM_NOTFOUND: no such table here; FM_CONFLICT: planned with
 * another schema; FM_BUSY: no place within `wait_ms`. */
FM_MUST_USE enum fm_status fm_fragment_open(struct fm_server *server,
                                            const struct fm_fragment_ask *ask, struct fm_buf *reply,
                                            struct fm_error *err);

#endif
