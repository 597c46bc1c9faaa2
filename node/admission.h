/* Places: how much a node does at once, and who comes next (docs/architecture.md "Admission").
 *
 * Each kind of work has a number of places. One principal has at most three quarters of them, so
 * that others always find some; when one becomes free it goes to the waiting principal that has
 * the fewest, the first come among equals. Who waits is bounded in number, in number per principal
 * and in time. Fragments of one query at this node share a place, so a query never waits here for
 * itself.
 *
 * Threads: any. Ownership: a place belongs to who entered, until fm_place_leave(). */
#ifndef FM_NODE_ADMISSION_H
#define FM_NODE_ADMISSION_H

#include "core/records.h"
#include "core/stop.h"
#include "core/time.h"

struct fm_admission;

enum fm_place_kind {
    FM_PLACE_PLAN,  /* Of a query, while a worker plans it: short. */
    FM_PLACE_MERGE, /* Of a query that a worker here merges. */
    FM_PLACE_PASS,  /* Of a query whose rows are passed on as they come. */
    FM_PLACE_SQL,   /* Of a query's fragments that a worker here runs. */
    FM_PLACE_SCAN,  /* Of a query's fragments that only read. */
    FM_PLACE_KINDS
};

struct fm_admission_options {
    uint32_t places[FM_PLACE_KINDS]; /* 0: the default of limits.h, which is the most. */
    fm_ms wait_ms;                   /* 0: FM_WAIT_MS_MAX, which is the most. */
};

FM_MUST_USE enum fm_status fm_admission_new(const struct fm_admission_options *options,
                                            struct fm_admission **out);
void fm_admission_free(struct fm_admission *admission); /* All places were left. */
FM_DEFINE_FREEP(fm_admission_freep, struct fm_admission, fm_admission_free)

/* Places in use, and who waits for one, of each kind. */
struct fm_admission_counts {
    uint32_t used[FM_PLACE_KINDS];
    uint32_t waiting[FM_PLACE_KINDS];
};
void fm_admission_counts(struct fm_admission *admission, struct fm_admission_counts *out);

struct fm_place { /* All zero: none. */
    struct fm_admission *admission;
    uint32_t holder;
};

struct fm_place_ask {
    enum fm_place_kind kind;
    const struct fm_public_key *principal;
    const struct fm_request_id *query;
    fm_ms wait_ms;        /* At most; cut to the bound of this node. 0: now or not. */
    fm_ms deadline;       /* The query's. */
    struct fm_stop *stop; /* Ends the wait: FM_CANCELLED. */
};

/* FM_BUSY: says what is full and when to try again; FM_TIMEOUT: `deadline` came first. */
FM_MUST_USE enum fm_status fm_place_enter(struct fm_admission *admission,
                                          const struct fm_place_ask *ask, struct fm_place *out,
                                          struct fm_error *err);
/* Go on with another kind of work if there is room at once; else nothing changes. */
FM_MUST_USE bool fm_place_move(struct fm_place *place, enum fm_place_kind kind);
void fm_place_leave(struct fm_place *place); /* None is fine. */

#endif
