/* What is still worth telling: slots of a table, each with the number of times it was sent, least
 * sent first and among those the oldest. Buckets of doubly linked slots make each step constant
 * time. Memory is reserved by rumours_init(). Threads: one. */
#ifndef FM_GOSSIP_RUMOURS_H
#define FM_GOSSIP_RUMOURS_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define RUMOURS_NONE UINT32_MAX
#define RUMOURS_HEARD_MAX 32u
#define RUMOURS_SENDS_MAX 64u /* 3 * ceil(log2(FM_MEMBERS_MAX + 1)) is 51. */

struct rumour_link {
    uint32_t next;
    uint32_t previous;
    uint8_t sends;
    bool queued;
};

struct rumours {
    struct rumour_link *links; /* By slot. */
    uint32_t capacity;
    uint32_t count;
    uint32_t first[RUMOURS_SENDS_MAX];
    uint32_t last[RUMOURS_SENDS_MAX];
};

FM_MUST_USE enum fm_status rumours_init(struct rumours *rumours, uint32_t capacity);
void rumours_deinit(struct rumours *rumours);
/* Queue a slot as sent `sends` times already; one that is queued moves. */
void rumours_push(struct rumours *rumours, uint32_t slot, uint32_t sends);
void rumours_drop(struct rumours *rumours, uint32_t slot); /* Nothing when not queued. */
/* Count one send; the slot leaves the queue when it was sent `limit` times. */
void rumours_sent(struct rumours *rumours, uint32_t slot, uint32_t limit);
/* The same for one that another node turned out to know already, if it is queued at all: each
 * duplicate heard makes it less worth telling (Demers et al. 1987, section 1.4, feedback). */
void rumours_heard(struct rumours *rumours, uint32_t slot, uint32_t limit);
/* As rumours_heard() for up to `most` slots, those to tell first. */
void rumours_heard_all(struct rumours *rumours, uint32_t most, uint32_t limit);
/* The slot to tell first, or after `slot` in that order; RUMOURS_NONE at the end. */
uint32_t rumours_first(const struct rumours *rumours);
uint32_t rumours_next(const struct rumours *rumours, uint32_t slot);
bool rumours_has(const struct rumours *rumours, uint32_t slot);

#endif
