#include "gossip/rumours.h"

#include "core/assert.h"
#include "core/limits.h"

#include <stdlib.h>

_Static_assert(3 * 17 <= RUMOURS_SENDS_MAX && FM_MEMBERS_MAX < (1u << 17),
               "all sends have a bucket");

enum fm_status rumours_init(struct rumours *rumours, uint32_t capacity)
{
    fm_assert(capacity > 0);
    fm_assert(capacity < RUMOURS_NONE);
    *rumours = (struct rumours){.capacity = capacity};
    for (uint32_t i = 0; i < RUMOURS_SENDS_MAX; i++) {
        rumours->first[i] = RUMOURS_NONE;
        rumours->last[i] = RUMOURS_NONE;
    }
    rumours->links = calloc(capacity, sizeof *rumours->links);
    return rumours->links != NULL ? FM_OK : FM_NOMEM;
}

void rumours_deinit(struct rumours *rumours)
{
    free(rumours->links);
    *rumours = (struct rumours){0};
}

void rumours_drop(struct rumours *rumours, uint32_t slot)
{
    fm_assert(slot < rumours->capacity);
    struct rumour_link *link = &rumours->links[slot];

    if (!link->queued)
        return;
    fm_assert(rumours->count > 0);
    if (link->previous != RUMOURS_NONE)
        rumours->links[link->previous].next = link->next;
    else
        rumours->first[link->sends] = link->next;
    if (link->next != RUMOURS_NONE)
        rumours->links[link->next].previous = link->previous;
    else
        rumours->last[link->sends] = link->previous;
    link->queued = false;
    rumours->count--;
}

void rumours_push(struct rumours *rumours, uint32_t slot, uint32_t sends)
{
    fm_assert(slot < rumours->capacity);
    fm_assert(sends < RUMOURS_SENDS_MAX);
    rumours_drop(rumours, slot);
    struct rumour_link *link = &rumours->links[slot];
    *link = (struct rumour_link){.next = RUMOURS_NONE,
                                 .previous = rumours->last[sends],
                                 .sends = (uint8_t)sends,
                                 .queued = true};
    if (link->previous != RUMOURS_NONE)
        rumours->links[link->previous].next = slot;
    else
        rumours->first[sends] = slot;
    rumours->last[sends] = slot;
    rumours->count++;
}

void rumours_sent(struct rumours *rumours, uint32_t slot, uint32_t limit)
{
    fm_assert(rumours_has(rumours, slot));
    fm_assert(limit <= RUMOURS_SENDS_MAX);
    uint32_t sends = rumours->links[slot].sends + 1u;
    if (sends >= limit)
        rumours_drop(rumours, slot);
    else
        rumours_push(rumours, slot, sends);
}

void rumours_heard(struct rumours *rumours, uint32_t slot, uint32_t limit)
{
    fm_assert(slot < rumours->capacity);
    if (rumours->links[slot].queued)
        rumours_sent(rumours, slot, limit);
}

static uint32_t first_from(const struct rumours *rumours, uint32_t sends)
{
    fm_assert(sends <= RUMOURS_SENDS_MAX);
    for (; sends < RUMOURS_SENDS_MAX; sends++) {
        if (rumours->first[sends] != RUMOURS_NONE)
            return rumours->first[sends];
    }
    return RUMOURS_NONE;
}

uint32_t rumours_first(const struct rumours *rumours)
{
    fm_assert(rumours->links != NULL);
    return rumours->count > 0 ? first_from(rumours, 0) : RUMOURS_NONE;
}

uint32_t rumours_next(const struct rumours *rumours, uint32_t slot)
{
    fm_assert(rumours_has(rumours, slot));
    const struct rumour_link *link = &rumours->links[slot];
    return link->next != RUMOURS_NONE ? link->next : first_from(rumours, link->sends + 1u);
}

bool rumours_has(const struct rumours *rumours, uint32_t slot)
{
    fm_assert(slot < rumours->capacity);
    return rumours->links[slot].queued;
}

void rumours_heard_all(struct rumours *rumours, uint32_t most, uint32_t limit)
{
    uint32_t slots[RUMOURS_HEARD_MAX];
    uint32_t count = 0;

    fm_assert(most <= RUMOURS_HEARD_MAX);
    for (uint32_t slot = rumours_first(rumours); slot != RUMOURS_NONE && count < most;
         slot = rumours_next(rumours, slot))
        slots[count++] = slot;
    for (uint32_t i = 0; i < count; i++)
        rumours_sent(rumours, slots[i], limit);
    fm_assert(count <= most);
}
