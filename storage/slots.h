/* The outside slots: file `slots` in the data folder, beside RocksDB's. Two checksummed records of
 * 512 bytes (keys.h), written in turn and synced after the log's sync and before an
 * acknowledgement, say how far the store had come. RocksDB opens without complaint after a flipped
 * bit or a lost log file, with less than it had: compare with these. A write that is cut short hits
 * one slot; the other still holds the commit before.
 * Threads: one at a time. */
#ifndef FM_STORAGE_SLOTS_H
#define FM_STORAGE_SLOTS_H

#include "storage/keys.h"

struct slots;

/* Make the file, durably, with number 0 in both slots. FM_IO. */
FM_MUST_USE enum fm_status slots_create(int dir, const struct format_value *identity,
                                        struct fm_error *err);
/* `out_value` is the later slot that is whole. FM_NOTFOUND: no such file. FM_CORRUPT: neither slot
 * is whole. FM_UNSUPPORTED: a newer format. FM_IO. */
FM_MUST_USE enum fm_status slots_open(int dir, struct slots **out, struct slot_value *out_value,
                                      struct fm_error *err);
/* Both slots as they are, for those who check a folder: `out[i]` counts where `whole[i]`. */
#define SLOT_COUNT 2u
FM_MUST_USE enum fm_status slots_look(int dir, struct slot_value out[SLOT_COUNT],
                                      bool whole[SLOT_COUNT], struct fm_error *err);
void slots_close(struct slots *slots); /* NULL is fine. */
FM_DEFINE_FREEP(slots_closep, struct slots, slots_close)

/* Overwrite the older slot and sync. After FM_IO it is unknown which slots hold what. */
FM_MUST_USE enum fm_status slots_write(struct slots *slots, const struct slot_value *value,
                                       struct fm_error *err);

#endif
