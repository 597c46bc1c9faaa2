/* Random decisions that can be written down, changed and taken again: what a generator made from
 * them is reduced by making them fewer and smaller, without knowing what it makes. 0 is always to
 * mean the simplest.
 * Threads: one. */
#ifndef FM_TESTS_SUPPORT_CHOICES_H
#define FM_TESTS_SUPPORT_CHOICES_H

#include "tests/support/random_value.h"

#define CHOICES_MAX 2000u

struct choices {
    struct random random;
    bool replays; /* Decisions come from `values`, and are 0 behind them. */
    uint32_t count;
    uint32_t at;
    uint32_t values[CHOICES_MAX];
};

/* New decisions from a seed, by any number. */
void choices_begin(struct choices *choices, uint64_t seed);
/* The same once more. */
void choices_again(struct choices *choices);
/* 0 .. bound - 1. Past CHOICES_MAX always 0. */
uint32_t choose(struct choices *choices, uint32_t bound);
/* True about `of` times in `in`. */
bool chance(struct choices *choices, uint32_t of, uint32_t in);

/* Make them simpler while `fails` says that what they lead to still does; at most `tries` calls. */
void choices_reduce(struct choices *choices, uint32_t tries,
                    bool (*fails)(void *context, struct choices *choices), void *context);

#endif
