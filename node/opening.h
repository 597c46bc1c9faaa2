/* Queries and fragments that are being opened: no cursor is there yet that could be cancelled, but
 * their asker may cancel them or go.
 * Threads: any. Ownership: an opening belongs to who opens and stays where it is from
 * fm_openings_add() to fm_openings_remove(). */
#ifndef FM_NODE_OPENING_H
#define FM_NODE_OPENING_H

#include "core/records.h"
#include "core/stop.h"

#include <pthread.h>

enum fm_cursor_kind { FM_CURSOR_QUERY = 1, FM_CURSOR_FRAGMENT = 2 };

struct fm_opening {
    enum fm_cursor_kind kind;
    struct fm_request_id query;
    uint32_t number; /* Of the fragment; 0 for queries. */
    struct fm_public_key caller;
    const uint8_t *session; /* Its hash, 32 bytes; NULL: the same process. Borrowed. */
    struct fm_stop *stop;   /* Fired when it is to end. Borrowed. */
    uint32_t firing;        /* Guarded by the table's lock, as what follows. */
    struct fm_opening *next;
};

struct fm_openings {
    pthread_mutex_t lock;
    pthread_cond_t fired; /* Nobody is at an opening's stop any more. */
    bool stopping;        /* Each one that comes is ended at once. */
    struct fm_opening *first;
};

/* Which are to end; what is NULL fits all. */
struct fm_openings_match {
    const uint8_t *session;
    const struct fm_public_key *caller; /* With the three that follow. */
    enum fm_cursor_kind kind;
    const struct fm_request_id *query;
    uint32_t number;
};

void fm_openings_init(struct fm_openings *openings);
void fm_openings_deinit(struct fm_openings *openings);
void fm_openings_add(struct fm_openings *openings, struct fm_opening *opening);
void fm_openings_remove(struct fm_openings *openings, struct fm_opening *opening);
/* Fire the stops of those that match. */
void fm_openings_end(struct fm_openings *openings, const struct fm_openings_match *match);
/* Of all, and of those still to come: the node stops. */
void fm_openings_stop(struct fm_openings *openings);

#endif
