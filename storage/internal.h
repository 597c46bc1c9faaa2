/* What the files of the store share. Not for other folders.
 *
 * Life: a store owns its tables until it is closed; a table owns its schemas and segment records as
 * long. What changes with each commit is in an immutable, counted `struct table_state`; readers
 * hold the one they began with.
 * Commits are written one by one and synced in groups (commit.c): a table's `written` state is what
 * the next append builds on, its `state` is synced and what readers get. RocksDB's snapshot that
 * goes with all tables' `state` is the store's `view`.
 * Locks: `lock` guards the registry, each table's `state`, `written`, `schema`, `is_appending` and
 * `turns`, `view` and the flags. `commit_lock` orders commits and is taken before `lock`, never
 * after.
 * Dictionaries (dictionary.h) and the arena (arena.h) have their own locks, taken last. */
#ifndef FM_STORAGE_INTERNAL_H
#define FM_STORAGE_INTERNAL_H

#include "storage/arena.h"
#include "storage/keys.h"
#include "storage/rocks.h"
#include "storage/slots.h"
#include "storage/store.h"
#include "storage/superseded.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define TABLES_MAX 65536u
#define STORE_APPEND_WAIT_MS 5000
#define STORE_RESERVE_BYTES (16u << 20)
/* Commits written and not synced. Either slot, at worst two groups behind the store, must still
 * find its commit's digest. */
#define COMMITS_UNSYNCED_MAX 64u
_Static_assert(2 * COMMITS_UNSYNCED_MAX < KEYS_COMMITS_KEPT, "a slot finds its commit");

/* Segment records in sequence order, each counted by the lists that it is in. States of a table
 * share a list: a state sees the first `segment_count`; the only writer (who has the table's append
 * lock) adds behind that. */
struct segment_list {
    atomic_uint references;
    uint32_t capacity;
    uint32_t count; /* The writer's, and of who ends the list. */
    struct segment_value *items[];
};

struct table_dictionaries; /* dictionary.h */
struct row_cache;          /* row_cache.h */
struct table_turn;         /* turn.h */

struct table {
    struct fm_store *store;
    uint32_t id; /* >= 1, never reused. */
    char domain[FM_NAME_MAX + 1];
    char name[FM_NAME_MAX + 1];
    struct table_value value;
    struct table_state *state;   /* The latest that is synced. */
    struct table_state *written; /* The latest, perhaps not synced yet. */
    bool is_appending;           /* One append has the table to itself. */
    struct table_turn *turns;    /* Who waits for it (turn.h), the first one first. */
    struct table_turn **turns_end;
    bool is_sealing;       /* One thread makes segments of its rows. */
    uint64_t merge_looked; /* Next segment id of a state that had nothing to merge. */
    uint32_t schema_count;
    struct fm_schema **schemas; /* By rising version; the last is the current one. */
    struct fm_schema **stored;  /* What its rows are stored with; the same one but for tables with a
                                   data subject (subject.h). */
    atomic_uint_least64_t appended_facts; /* Since the opening, */
    atomic_uint_least64_t appended_bytes; /* of their leaves. */
    struct table_dictionaries *dictionaries;
};

struct table_state {
    atomic_uint references;
    struct table *table;
    const struct fm_schema *schema;
    uint32_t epoch;
    fm_us recorded_at;
    uint64_t hot_rows;
    uint64_t hot_values; /* That they are in, */
    uint64_t hot_bytes;  /* of so many bytes. */
    uint64_t next_segment;
    uint32_t segment_count;
    uint32_t dropped_segments; /* The first ones, */
    uint64_t dropped;          /* of so many facts: retention keeps the log's end. */
    struct segment_list *segments;
    struct superseded *superseded;
    struct fm_hash root;
    struct fm_tree tree; /* Its size is the table's. */
};

/* RocksDB as it was when a group of commits was synced. */
struct store_view {
    struct fm_store *store;
    atomic_uint references;
    struct rocks_snapshot *rocks;
    uint64_t number;         /* Of the last commit that it has. */
    struct store_view *next; /* Of all that live, under `view_lock`, like this: */
    struct store_view **link;
};

enum commit_fate { COMMIT_WRITTEN, COMMIT_KEPT, COMMIT_LOST };

/* A commit between its write and its sync; stays where it is until commit_wait(). */
struct pending_commit {
    uint64_t number;
    struct table_state *next; /* To be published with the sync; then the one before. May be NULL. */
    struct pending_commit *link;
    sem_t *told;     /* Under commit_lock: where its thread sleeps. NULL: it does not. */
    atomic_int fate; /* Lost: unknown whether it is kept. */
    bool is_left;    /* Nobody waits for it: from malloc(), and the store's. */
};

/* The thread that syncs what was answered before its sync. */
struct late_sync {
    pthread_cond_t wanted; /* With commit_lock. */
    pthread_t thread;
    bool has_thread;
    bool stop;
    uint64_t number; /* The last commit that nobody waits for. */
};

struct fm_store {
    char *dir;
    int dir_fd; /* Locked while the store is open. */
    struct fm_mesh_id mesh;
    struct fm_node_id node;
    uint64_t free_bytes_min;
    struct slots *slots;
    struct rocks *rocks;
    struct arena *arena;
    struct row_cache *row_cache;
    pthread_mutex_t define_lock; /* One definition at a time. Taken first. */
    pthread_mutex_t commit_lock;
    pthread_cond_t commit_done; /* Fewer are unsynced. */
    pthread_cond_t group_full;
    struct tip_value tip;           /* Under commit_lock, like these: what was written last, */
    uint64_t synced;                /* what was acknowledged last, */
    struct pending_commit *pending; /* those in between, the oldest first, */
    struct pending_commit **pending_end;
    uint32_t pending_count;     /* of which somebody waits for so many; */
    bool is_syncing;            /* one of their threads syncs for all, */
    bool is_gathering;          /* once a group is full, or time is up: */
    uint32_t group_wanted;      /* so many came at a time before, */
    uint32_t group_patience_us; /* and their syncs took so long; */
    struct late_sync late;      /* a thread of the store does (commit_late.c); */
    struct fm_error failure;    /* why a write or sync failed. */
    pthread_mutex_t lock;
    struct store_view *view;          /* Under lock. */
    pthread_mutex_t view_lock;        /* Taken last. */
    struct store_view *views;         /* Under view_lock. */
    pthread_mutex_t subject_lock;     /* Of the keys of data subjects (subject.h). Taken last. */
    atomic_uint_fast64_t purge_after; /* Commit of the last erasure since the store was opened. */
    atomic_uint_fast64_t erasures;    /* Since the store was opened: keys that were read before may
                                      be gone. */
    pthread_cond_t seal_wanted; /* Of the sealing thread (sealer.c), like these, under lock. */
    pthread_t sealer;
    bool has_sealer;
    bool stop_sealer;
    bool has_locks;
    bool is_checkpointing; /* Under lock: a thread makes or removes the checkpoint; */
    fm_ms checkpoint_at;   /* that thread's: when this process made it, 0: it did not. */
    bool read_only;        /* Set before anybody else sees the store. */
    bool poisoned;         /* Under lock: a sync failed, so what is stored is unknown. */
    uint32_t table_count;
    uint32_t table_capacity;
    struct table **tables;
};

/* ---- state.c --------------------------------------------------------------------------------- */

struct table_state *state_retain(struct table_state *state);
void state_release(struct table_state *state);
FM_DEFINE_FREEP(state_releasep, struct table_state, state_release)
/* The latest state of a table, retained; NULL when there is no such table. */
struct table_state *state_latest(struct fm_store *store, const char *domain, const char *table);
/* A copy to change before it is published: references are the copy's own. */
FM_MUST_USE enum fm_status state_copy(const struct table_state *state, struct table_state **out);
/* Add a segment where it belongs; the state takes it over only when FM_OK is returned. */
FM_MUST_USE enum fm_status state_add_segment(struct table_state *state,
                                             struct segment_value *segment);
/* The same in the place of `count` segments that hold the same facts, the first at `place`. */
FM_MUST_USE enum fm_status state_replace_segments(struct table_state *state, uint32_t place,
                                                  uint32_t count, struct segment_value *segment);
/* Make `state` the table's latest, synced already; takes over the reference. */
void state_publish(struct fm_store *store, struct table_state *state);
/* Rows that a plain scan gives. */
uint64_t state_rows_latest(const struct table_state *state);
void state_to_value(const struct table_state *state, struct state_value *out);
FM_MUST_USE enum fm_status state_info(const struct table_state *state, struct fm_table_info *out);

FM_MUST_USE enum fm_status table_new(struct fm_store *store, uint32_t id,
                                     const struct table_value *value, struct table **out);
void table_free(struct table *table);
FM_DEFINE_FREEP(table_freep, struct table, table_free)
struct table *table_find(struct fm_store *store, const char *domain, const char *name); /* lock. */
/* Takes over the schema. */
FM_MUST_USE enum fm_status table_add_schema(struct table *table, struct fm_schema *schema);
/* The schema of stored rows: for a table with a data subject not that of the contract.
 * FM_CORRUPT: stored rows name a version that is not there. Takes `lock`. */
FM_MUST_USE enum fm_status table_schema(struct table *table, uint32_t version,
                                        const struct fm_schema **out);
/* The contract's, for what table_schema() gives. */
FM_MUST_USE enum fm_status table_contract_schema(struct table *table, uint32_t version,
                                                 const struct fm_schema **out);
bool schema_is_keyed(const struct fm_schema *schema);
/* Position of the field with this id, or -1. */
int64_t schema_position(const struct fm_schema *schema, uint32_t field_id);

/* ---- turn.c ---------------------------------------------------------------------------------- */

/* Wait until nobody else appends to the table; FM_BUSY after STORE_APPEND_WAIT_MS. */
FM_MUST_USE enum fm_status table_lock_append(struct table *table, struct fm_error *err);
void table_unlock_append(struct table *table);

/* ---- seal.c, merge.c, sealer.c --------------------------------------------------------------- */

/* Merge one run of the table's segments; all that there are, if `eager` (fm_store_merge()). */
FM_MUST_USE enum fm_status merge_table(struct fm_store *store, const char *domain,
                                       const char *table, bool eager, uint64_t *rows,
                                       struct fm_error *err);
/* A thread that seals and merges what wants it. */
FM_MUST_USE enum fm_status sealer_start(struct fm_store *store);
void sealer_stop(struct fm_store *store);
/* So many hot rows, or values, that scans are better off with a segment. */
bool state_wants_seal(const struct table_state *state);
/* Its segments were not looked at yet, or were not all merged. Under lock. */
bool state_wants_merge(const struct table_state *state);

/* ---- store.c -------------------------------------------------------------------------------- */

/* The last commit. FM_NOTFOUND: nothing was ever committed. */
FM_MUST_USE enum fm_status store_read_tip(struct rocks *rocks, struct tip_value *out,
                                          struct fm_error *err);

/* ---- load.c: what an opened RocksDB holds, into memory --------------------------------------- */

FM_MUST_USE enum fm_status store_load(struct fm_store *store, struct fm_error *err);
/* The store owns the table when FM_OK is returned. */
FM_MUST_USE enum fm_status store_add_table(struct fm_store *store, struct table *table);

/* ---- commit.c -------------------------------------------------------------------------------- */

/* Write the batch as the next commit, and sync it, then the slots. After a failure of either the
 * store is poisoned: it is unknown whether the commit is there. */
FM_MUST_USE enum fm_status store_commit(struct fm_store *store, struct rocks_batch *batch,
                                        const struct commit_what *what, struct fm_error *err);
/* The same in two steps. With `next`, its table's append lock is held for the first: taken over
 * when FM_OK is returned, it is what the table's next append builds on at once, and what readers
 * get from the sync on. FM_NOMEM: nothing was written.
 * `pending->told` may be set before: then its thread sleeps there already, is told once, and calls
 * commit_wait(); who writes for it touches `pending` no more once FM_OK is returned. */
FM_MUST_USE enum fm_status commit_write(struct fm_store *store, struct rocks_batch *batch,
                                        const struct commit_what *what, struct table_state *next,
                                        struct pending_commit *pending, struct fm_error *err);
/* `count` commits (1..FM_APPEND_TABLES_MAX) in one batch: all of them or none, and readers get them
 * at one moment. `nexts` as above, each taken over. `pending` is that of the last, which decides
 * for all; NULL: nobody waits, and late_sync_start() was true. */
FM_MUST_USE enum fm_status commit_write_group(struct fm_store *store, struct rocks_batch *batch,
                                              const struct commit_what *whats,
                                              struct table_state *const *nexts, uint32_t count,
                                              struct pending_commit *pending, struct fm_error *err);
FM_MUST_USE enum fm_status commit_wait(struct fm_store *store, struct pending_commit *pending,
                                       struct fm_error *err);
/* At the end: forget what was left and could not be synced. */
void commit_forget(struct fm_store *store);
/* Wait until everything written so far is synced: who is told of it takes it for kept. */
FM_MUST_USE enum fm_status store_settle(struct fm_store *store, struct fm_error *err);

/* ---- commit_late.c: syncs of what nobody waits for ------------------------------------------- */

#define COMMIT_LATE_MS 50 /* What was left is synced so much later, if not with others before. */

/* False: there is no thread to be had, so somebody has to wait. */
bool late_sync_start(struct fm_store *store);
void late_sync_want(struct fm_store *store, uint64_t number); /* Under commit_lock. */
/* Sync what was left, and stop. */
void late_sync_stop(struct fm_store *store);

/* What RocksDB held at the last sync, retained. Readers use nothing newer. */
struct store_view *store_view(struct fm_store *store);
void view_release(struct store_view *view); /* NULL is fine. */
FM_DEFINE_FREEP(view_releasep, struct store_view, view_release)
/* Under commit_lock, or before anybody else sees the store. */
FM_MUST_USE enum fm_status view_new(struct fm_store *store, struct store_view **out);
/* The commit that the oldest view has. */
uint64_t view_oldest(struct fm_store *store);
/* FM_IO when a sync failed before. */
FM_MUST_USE enum fm_status store_usable(struct fm_store *store, struct fm_error *err);
/* From now on every write is refused: what is stored is not known any more. */
void store_poison(struct fm_store *store);
FM_MUST_USE enum fm_status store_free_bytes(const struct fm_store *store, uint64_t *out,
                                            struct fm_error *err);
/* FM_LIMIT when the disk has less free space than the store leaves. */
FM_MUST_USE enum fm_status store_has_space(const struct fm_store *store, struct fm_error *err);

#endif
