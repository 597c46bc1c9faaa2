/* The data folder: `slots`, `store/` (RocksDB) and `reserve`, a file that can be given up when the
 * disk is full. Threads: one at a time; opening locks the folder against every other opening. */
#ifndef FM_STORAGE_FOLDER_H
#define FM_STORAGE_FOLDER_H

#include "core/bytes.h"

/* Open and lock the folder, made if missing and `make`. FM_NOTFOUND: missing. FM_CONFLICT: it holds
 * something else. FM_BUSY: it is open elsewhere. FM_IO. `*out` is the descriptor that holds the
 * lock. */
FM_MUST_USE enum fm_status folder_open(const char *dir, bool make, int *out, struct fm_error *err);
/* Whether it has a `store` folder. */
bool folder_has_store(int dir);
/* Make the reserve file where there is room for it beyond `free_bytes_min`; give it up where the
 * disk is full, so that the store can be opened. Neither can fail in a way that matters. */
void folder_keep_reserve(int dir, uint64_t bytes, uint64_t free_bytes_min);
void folder_release_reserve(int dir, uint64_t bytes);

#endif
