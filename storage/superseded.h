/* Which rows the latest state does not show: those that are not the latest of their key, those that
 * were taken back or corrected, and those that take back. A bitmap for each window of
 * 2^KEYS_WINDOW_BITS sequences (CRoaring's portable form; keys.h). Windows do not depend on
 * segments, so sealing and merging leave them alone. Versions share the windows that they have in
 * common.
 * Threads: a version is immutable once published and may be shared; an edit is one thread's. */
#ifndef FM_STORAGE_SUPERSEDED_H
#define FM_STORAGE_SUPERSEDED_H

#include "storage/keys.h"

struct superseded;      /* One version; NULL is the empty one. */
struct superseded_edit; /* The next version under construction. */

struct superseded *superseded_retain(struct superseded *version);
void superseded_release(struct superseded *version);
uint64_t superseded_count(const struct superseded *version);
uint64_t superseded_bytes(const struct superseded *version); /* Of its stored windows. */
/* Rows among [first, first + count). */
uint64_t superseded_count_range(const struct superseded *version, uint64_t first, uint64_t count);
bool superseded_has(const struct superseded *version, uint64_t sequence);
/* Clear the bits of `selection` (bit i is sequence first + i) whose row is superseded. */
void superseded_clear(const struct superseded *version, uint64_t first, uint32_t count,
                      uint64_t *selection);
/* A number for what window `index` (sequence >> KEYS_WINDOW_BITS) holds, so that what was made
 * of it can be found again: `fresh`, which nobody has, when it has none yet. 0: it is empty. */
uint64_t superseded_stamp(const struct superseded *version, uint64_t index, uint64_t fresh);
/* Call `each` for every superseded sequence below `end`, rising. */
FM_MUST_USE enum fm_status superseded_each(const struct superseded *version, uint64_t end,
                                           enum fm_status (*each)(void *context, uint64_t sequence),
                                           void *context);

FM_MUST_USE enum fm_status superseded_edit_new(struct superseded *base,
                                               struct superseded_edit **out);
void superseded_edit_free(struct superseded_edit *edit);
FM_DEFINE_FREEP(superseded_edit_freep, struct superseded_edit, superseded_edit_free)
FM_MUST_USE enum fm_status superseded_edit_add(struct superseded_edit *edit, uint64_t sequence);
uint64_t superseded_edit_count(const struct superseded_edit *edit);
bool superseded_edit_has(const struct superseded_edit *edit, uint64_t sequence);
/* Call `each` with the stored value (keys.h: sealed) of every window that changed. */
FM_MUST_USE enum fm_status superseded_edit_each(
    struct superseded_edit *edit,
    enum fm_status (*each)(void *context, uint64_t window, struct fm_span value), void *context);
/* The new version; the edit is empty afterwards and only good for being freed. */
struct superseded *superseded_edit_take(struct superseded_edit *edit);
/* Put a stored window in place, while loading. FM_CORRUPT. */
FM_MUST_USE enum fm_status superseded_edit_load(struct superseded_edit *edit, uint64_t window,
                                                struct fm_span value);

#endif
