/* Seeded generator (SplitMix64, Steele, Lea, Flood 2014): the only source of chance in gossip/, so
 * that equal seeds and inputs give equal runs. It keeps no secret. */
#ifndef FM_GOSSIP_RANDOM_H
#define FM_GOSSIP_RANDOM_H

#include "core/assert.h"

#include <stdint.h>

struct gossip_random {
    uint64_t state;
};

static inline uint64_t gossip_random_next(struct gossip_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0..bound-1. The bias of the multiplication is below 2^-32, as bound is below 2^32. */
static inline uint32_t gossip_random_below(struct gossip_random *random, uint32_t bound)
{
    fm_assert(bound > 0);
    uint64_t high = gossip_random_next(random) >> 32;
    return (uint32_t)((high * bound) >> 32);
}

#endif
