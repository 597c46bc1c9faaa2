/* A copy of a store that is in use, to make a backup of (backup.h): in the folder `checkpoint` of
 * the data folder, hard links to RocksDB's files and a copy of the rest of its log, with slots of
 * its own. It is a data folder by itself, holds every commit up to its own last one, and nothing
 * that was not synced in the store: heads may be signed for it.
 *
 * Who uses it locks it as every data folder is locked. One at a time: it stays until it is dropped,
 * which happens by itself, by the next checkpoint, by fm_store_tidy_checkpoint() and as the store
 * is opened, when nobody has had it locked for a minute.
 * Threads: as the store; appends, readers and sealing go on meanwhile. */
#ifndef FM_STORAGE_CHECKPOINT_H
#define FM_STORAGE_CHECKPOINT_H

#include "storage/store.h"

#define FM_CHECKPOINT_FOLDER "checkpoint"

struct fm_checkpoint {
    uint64_t commit; /* The last that is in it. */
    struct fm_hash digest;
};

/* Make it. FM_BUSY: there is one that somebody uses, or is about to. FM_LIMIT: no free space.
 * FM_IO, also after a failed sync. Nothing is left behind after a failure. */
FM_MUST_USE enum fm_status fm_store_checkpoint(struct fm_store *store, struct fm_checkpoint *out,
                                               struct fm_error *err);
/* Remove it; fine if there is none. FM_BUSY: it is in use. */
FM_MUST_USE enum fm_status fm_store_drop_checkpoint(struct fm_store *store, struct fm_error *err);
/* Remove it if it was forgotten. */
void fm_store_tidy_checkpoint(struct fm_store *store);

#endif
