/* Pseudo-random values of any type in canonical form, in shapes that reach each encoding.
 * The same seed gives the same values. */
#ifndef FM_TESTS_SUPPORT_RANDOM_VALUE_H
#define FM_TESTS_SUPPORT_RANDOM_VALUE_H

#include "core/types.h"

struct random {
    uint64_t state; /* Not 0. */
};

uint64_t random_next(struct random *r);
/* 0 .. bound - 1. */
uint32_t random_below(struct random *r, uint32_t bound);

enum random_shape {
    SHAPE_ANY,      /* All bits. */
    SHAPE_SAME,     /* One value. */
    SHAPE_FEW,      /* 200 small ones. */
    SHAPE_STEPS,    /* Far from zero, a multiple of 60 apart. */
    SHAPE_NEGATIVE, /* 70000 below zero. */
    SHAPE_EXTREMES, /* The least and the greatest int64. */
    SHAPE_MINUTES,  /* Microseconds of some weeks, whole minutes. */
    SHAPE_UNSIGNED, /* 0 and the greatest uint64. */
    SHAPES,
};

/* Append one value. */
void random_value(struct random *r, const struct fm_type *type, enum random_shape shape,
                  struct fm_buf *out);

/* One text form of each kind, and some nested ones. */
#define RANDOM_TYPES 31u
extern const char *const random_types[RANDOM_TYPES];

#endif
