/* Bitmaps in u64 words, least significant bit first: the validity of vectors, selections of rows.
 * Words are read and written through memcpy, so no alignment is asked for. */
#ifndef FM_CORE_BITS_H
#define FM_CORE_BITS_H

#include "core/bytes.h"

static inline size_t fm_bits_words(size_t bits)
{
    return (bits + 63) / 64;
}

/* The lowest `count` bits; count is 0..64. */
static inline uint64_t fm_bits_mask(size_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline bool fm_bits_get(const void *words, size_t bit)
{
    const uint8_t *bytes = words;
    return (((unsigned)bytes[bit / 8] >> (bit % 8)) & 1u) != 0;
}

/* `count` (1..64) bits from `bit` on; reads no word that holds none of them. */
static inline uint64_t fm_bits_load(const void *words, size_t bit, size_t count)
{
    const uint8_t *bytes = words;
    size_t word = bit / 64, shift = bit % 64;
    uint64_t low = fm_load64(bytes + word * 8) >> shift;
    if (shift != 0 && shift + count > 64)
        low |= fm_load64(bytes + (word + 1) * 8) << (64 - shift);
    return low & fm_bits_mask(count);
}

/* Pack the bits of `value` under `mask` to the low end (Hacker's Delight 7-4, parallel suffix). */
static inline uint64_t fm_bits_compress(uint64_t value, uint64_t mask)
{
    if (mask == UINT64_MAX)
        return value;
    value &= mask;
    uint64_t rest = ~mask << 1;
    for (unsigned i = 0; i < 6; i++) {
        uint64_t parity = rest ^ (rest << 1);
        parity ^= parity << 2;
        parity ^= parity << 4;
        parity ^= parity << 8;
        parity ^= parity << 16;
        parity ^= parity << 32;
        uint64_t move = parity & mask;
        mask = (mask ^ move) | (move >> (1u << i));
        uint64_t moved = value & move;
        value = (value ^ moved) | (moved >> (1u << i));
        rest &= ~parity;
    }
    return value;
}

static inline size_t fm_bits_count(const void *words, size_t bit, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i += 64) {
        size_t here = count - i < 64 ? count - i : 64;
        sum += (size_t)__builtin_popcountll(fm_bits_load(words, bit + i, here));
    }
    return sum;
}

#endif
