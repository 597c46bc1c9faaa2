/* Turns at a table: one append (or sealing, or definition) has a table to itself, others wait in
 * line. A thread that has its turn may run the commits of small appends behind it as well: going to
 * sleep and being woken costs more than such a commit.
 * Threads: any. A turn belongs to the thread that takes it, and stays where it is until then. */
#ifndef FM_STORAGE_TURN_H
#define FM_STORAGE_TURN_H

#include "storage/internal.h"

enum turn_state { TURN_WAITS, TURN_OURS, TURN_RAN };

struct table_turn {
    struct table_turn *link;
    sem_t told; /* Its thread sleeps here. */
    atomic_int state;
    /* May be called by another thread with the turn, and then ends with turn_tell(), or with the
     * telling of its commit (commit_write()). NULL: only its own thread can do it. */
    void (*run)(struct table_turn *turn);
};

/* Wait for the turn. FM_OK: turn_is_ours(), or another thread ran it. FM_BUSY after
 * STORE_APPEND_WAIT_MS, but not once another thread has begun to run it. */
FM_MUST_USE enum fm_status turn_take(struct table *table, struct table_turn *turn,
                                     void (*run)(struct table_turn *turn), struct fm_error *err);
bool turn_is_ours(const struct table_turn *turn);
/* Run what waits directly behind ours, and can be run: some of it. */
void turn_run_others(struct table *table);
/* Of a turn that another thread ran. */
void turn_tell(struct table_turn *turn);
/* The table is the next one's. */
void turn_end(struct table *table);
void turn_deinit(struct table_turn *turn);

/* sem_wait() until it succeeds. */
void turn_sleep(sem_t *told);

#endif
