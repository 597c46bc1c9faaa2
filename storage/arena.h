/* Decoded columns in memory files (memfd), to be handed to another process by descriptor and
 * offset. Space is given out front to back and never twice: a file is dropped as a whole, when
 * nothing pins it and space is needed, so that whoever still maps it sees no other content. Files
 * are sealed: who receives a descriptor can neither write nor resize.
 * Threads: an arena may be shared. Ownership: pins must be released before arena_free(). */
#ifndef FM_STORAGE_ARENA_H
#define FM_STORAGE_ARENA_H

#include "core/bytes.h"

#define ARENA_FILE_BYTES (UINT64_C(64) << 20)

struct arena;

struct arena_key {
    uint32_t table;
    uint32_t field_id; /* ARENA_SELECTION: which rows of the segment count. */
    uint64_t segment;
    uint64_t generation; /* Of the dictionary that codes refer to; 0: none. A selection: stamps, */
    uint64_t more[2];    /* these too. A field: 0, or ARENA_BOUNDS for those of its blocks. */
};
#define ARENA_SELECTION UINT32_MAX /* No fields have these ids. */
#define ARENA_BOUNDS 1u
#define ARENA_ORDER (UINT32_MAX - 1) /* Of rows (order.h); generation: which way. */

/* A column in the arena; its file stays while the pin is held. */
struct arena_pin {
    void *file; /* NULL: no pin. */
    int fd;
    uint64_t file_bytes;
    uint64_t offset;
    struct fm_span bytes; /* 8-byte aligned. */
};

/* At most `bytes` of memory files at a time, at least one file. */
FM_MUST_USE enum fm_status arena_new(uint64_t bytes, struct arena **out);
void arena_free(struct arena *arena);
FM_DEFINE_FREEP(arena_freep, struct arena, arena_free)

/* FM_NOTFOUND: not there. */
FM_MUST_USE enum fm_status arena_find(struct arena *arena, const struct arena_key *key,
                                      struct arena_pin *out);
/* Copy `bytes` in under `key`. FM_LIMIT: everything is pinned, or it is larger than a file. */
FM_MUST_USE enum fm_status arena_add(struct arena *arena, const struct arena_key *key,
                                     struct fm_span bytes, struct arena_pin *out);
void arena_unpin(struct arena *arena, struct arena_pin *pin); /* A zeroed pin is fine. */
/* A number that this arena gave nobody before, never 0. */
uint64_t arena_stamp(struct arena *arena);
/* Bytes of memory files held now (tests, statistics). */
uint64_t arena_bytes(struct arena *arena);

#endif
