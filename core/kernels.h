/* Loops over rows that the speed of scans hangs on. Not for others. No allocation, no failure;
 * pointers need no alignment. */
#ifndef FM_CORE_KERNELS_H
#define FM_CORE_KERNELS_H

#include "core/batch_internal.h"

/* Copy those of `count` values of `width` (1, 2, 4, 8, 16) whose bit in `selection` (NULL: all) is
 * 1, packed, and return how many. `to` has room for one value more than that. */
size_t fm_gather(uint8_t *to, const uint8_t *from, uint32_t width, const uint64_t *selection,
                 size_t count);

/* Set those of `rows` values to the `width` bytes at `value` whose bit in `validity`, from bit
 * `first` on, is 0. */
void fm_fill_nulls(uint8_t *values, uint32_t width, const uint8_t *validity, size_t first,
                   size_t rows, const void *value);

/* Integers of `width` as 64-bit numbers, and back. */
void fm_widen(uint64_t *to, const uint8_t *from, uint32_t width, bool is_unsigned, size_t count);
void fm_narrow(uint8_t *to, uint32_t width, const uint64_t *from, size_t count);

/* Orders integers: values of signed kinds with their sign bit turned. */
static inline uint64_t fm_integer_key(uint64_t value, bool is_unsigned)
{
    return is_unsigned ? value : value ^ (UINT64_C(1) << 63);
}

/* Least and greatest key of `count` (>= 1) integers. */
void fm_integer_bounds(const uint8_t *values, uint32_t width, bool is_unsigned, size_t count,
                       uint64_t *min_key, uint64_t *max_key);

/* Bit i: value i less `low` is at most `span`, in unsigned arithmetic of that width. `count` is 64
 * at most. */
uint64_t fm_match_range(const uint8_t *values, uint32_t width, uint64_t low, uint64_t span,
                        size_t count);
/* Bit i: table[code i] is 1; the table has only 0 and 1. */
uint64_t fm_match_table(const uint8_t *codes, uint32_t code_width, const uint8_t *table,
                        size_t count);

/* Division by a number known to divide: a shift and a product (Hacker's Delight 10-17). */
struct fm_divider {
    uint64_t divisor;
    uint64_t inverse; /* Of the odd part, modulo 2^64. */
    uint64_t limit;   /* Largest quotient. */
    unsigned shift;
};

struct fm_divider fm_divider(uint64_t divisor);
static inline uint64_t fm_divide_exact(const struct fm_divider *d, uint64_t value)
{
    return (value >> d->shift) * d->inverse;
}
static inline bool fm_divides(const struct fm_divider *d, uint64_t value)
{
    uint64_t low = value & fm_bits_mask(d->shift);
    return low == 0 && fm_divide_exact(d, value) <= d->limit;
}
uint64_t fm_gcd(uint64_t a, uint64_t b);

#endif
