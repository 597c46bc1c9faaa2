#include "tests/support/choices.h"

#include "core/assert.h"

#include <stdlib.h>

void choices_begin(struct choices *choices, uint64_t seed)
{
    /* splitmix64: neighbouring seeds give streams that have nothing in common. */
    uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    choices->random.state = z == 0 ? 1 : z;
    choices->replays = false;
    choices->count = 0;
    choices->at = 0;
}

void choices_again(struct choices *choices)
{
    choices->replays = true;
    choices->at = 0;
}

uint32_t choose(struct choices *choices, uint32_t bound)
{
    uint32_t value = 0;

    fm_assert(bound > 0);
    if (choices->replays) {
        if (choices->at < choices->count)
            value = choices->values[choices->at];
        choices->at++;
        return value < bound ? value : bound - 1;
    }
    if (choices->count == CHOICES_MAX)
        return 0;
    value = random_below(&choices->random, bound);
    choices->values[choices->count++] = value;
    return value;
}

bool chance(struct choices *choices, uint32_t of, uint32_t in)
{
    return choose(choices, in) >= in - of;
}

struct reduction {
    struct choices *best;
    struct choices *next;
    uint32_t tries;
    bool (*fails)(void *context, struct choices *choices);
    void *context;
};

static bool try_next(struct reduction *r)
{
    if (r->tries == 0)
        return false;
    r->tries--;
    choices_again(r->next);
    if (!r->fails(r->context, r->next))
        return false;
    *r->best = *r->next;
    /* What was not asked for is not needed. */
    if (r->best->at < r->best->count)
        r->best->count = r->best->at;
    return true;
}

static bool try_without(struct reduction *r, uint32_t first, uint32_t count)
{
    *r->next = *r->best;
    memmove(&r->next->values[first], &r->next->values[first + count],
            (r->next->count - first - count) * sizeof r->next->values[0]);
    r->next->count -= count;
    return try_next(r);
}

static bool try_zeros(struct reduction *r, uint32_t first, uint32_t count)
{
    bool changes = false;

    *r->next = *r->best;
    for (uint32_t i = first; i < first + count; i++) {
        changes = changes || r->next->values[i] != 0;
        r->next->values[i] = 0;
    }
    return changes && try_next(r);
}

void choices_reduce(struct choices *choices, uint32_t tries,
                    bool (*fails)(void *context, struct choices *choices), void *context)
{
    struct reduction r = {choices, malloc(sizeof *choices), tries, fails, context};
    bool better = true;

    fm_assert(r.next != NULL);
    while (better && r.tries > 0) {
        better = false;
        for (uint32_t size = 16; size > 0; size /= 2) {
            for (uint32_t i = 0; i + size <= choices->count; i++) {
                while (i + size <= choices->count && try_without(&r, i, size))
                    better = true;
                if (i + size <= choices->count && try_zeros(&r, i, size))
                    better = true;
            }
        }
    }
    free(r.next);
    choices_again(choices);
}
