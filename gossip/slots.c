#include "gossip/slots.h"

#include "core/assert.h"

#include <stdlib.h>

enum fm_status slots_init(struct slots *slots, uint32_t capacity)
{
    uint32_t cells = 4;

    fm_assert(capacity > 0);
    fm_assert(capacity <= UINT32_MAX / 4);
    while (cells < 2 * capacity)
        cells *= 2;
    *slots = (struct slots){.mask = cells - 1};
    slots->cells = calloc(cells, sizeof *slots->cells);
    if (slots->cells == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < cells; i++)
        slots->cells[i].slot = SLOTS_NONE;
    return FM_OK;
}

void slots_deinit(struct slots *slots)
{
    free(slots->cells);
    *slots = (struct slots){0};
}

uint32_t slots_candidate(const struct slots *slots, uint32_t hash, uint32_t *step)
{
    fm_assert(slots->cells != NULL);
    fm_assert(slots->count <= slots->mask / 2 + 1);
    for (; *step <= slots->mask; (*step)++) {
        const struct slots_cell *cell = &slots->cells[(hash + *step) & slots->mask];
        if (cell->slot == SLOTS_NONE)
            return SLOTS_NONE;
        if (cell->hash == hash) {
            (*step)++;
            return cell->slot;
        }
    }
    return SLOTS_NONE;
}

void slots_add(struct slots *slots, uint32_t hash, uint32_t slot)
{
    uint32_t at = hash & slots->mask;

    fm_assert(slot != SLOTS_NONE);
    fm_assert(slots->count <= slots->mask / 2);
    while (slots->cells[at].slot != SLOTS_NONE)
        at = (at + 1) & slots->mask;
    slots->cells[at] = (struct slots_cell){.hash = hash, .slot = slot};
    slots->count++;
}

/* Knuth, volume 3, 6.4, algorithm R: later cells move up, so that no search ends too early. */
void slots_remove(struct slots *slots, uint32_t hash, uint32_t slot)
{
    uint32_t hole = hash & slots->mask;

    fm_assert(slots->count > 0);
    while (slots->cells[hole].slot != slot) {
        fm_assert(slots->cells[hole].slot != SLOTS_NONE);
        hole = (hole + 1) & slots->mask;
    }
    for (uint32_t at = (hole + 1) & slots->mask; slots->cells[at].slot != SLOTS_NONE;
         at = (at + 1) & slots->mask) {
        uint32_t home = slots->cells[at].hash & slots->mask;
        if (((at - home) & slots->mask) >= ((at - hole) & slots->mask)) {
            slots->cells[hole] = slots->cells[at];
            hole = at;
        }
    }
    slots->cells[hole].slot = SLOTS_NONE;
    slots->count--;
}
