/* Index from a key's hash to slots of a table that holds the keys: open addressing with linear
 * probing, at most half full, so that a search ends. Memory is reserved by slots_init(). */
#ifndef FM_GOSSIP_SLOTS_H
#define FM_GOSSIP_SLOTS_H

#include "core/status.h"

#include <stdint.h>

#define SLOTS_NONE UINT32_MAX

struct slots_cell {
    uint32_t hash;
    uint32_t slot; /* SLOTS_NONE: free. */
};

struct slots {
    struct slots_cell *cells;
    uint32_t mask; /* Cells less one; a power of two less one. */
    uint32_t count;
};

FM_MUST_USE enum fm_status slots_init(struct slots *slots, uint32_t capacity);
void slots_deinit(struct slots *slots);
/* A candidate for `hash` whose key the caller compares; SLOTS_NONE when there is no other. Start
 * with `*step` = 0. */
uint32_t slots_candidate(const struct slots *slots, uint32_t hash, uint32_t *step);
void slots_add(struct slots *slots, uint32_t hash, uint32_t slot);
void slots_remove(struct slots *slots, uint32_t hash, uint32_t slot); /* It must be there. */

#endif
