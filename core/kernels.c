#include "core/kernels.h"

/* -O2 of GCC leaves such loops as they stand; these few are worth more. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* Whole words of the selection are the usual case on both ends: nothing, everything. In between,
 * writing each row and moving on by its bit beats jumping unless few bits are set. */
#define DENSE_BITS 12

#define DEFINE_GATHER(name, type)                                                                  \
    static size_t name(uint8_t *to, const uint8_t *from, const uint64_t *selection, size_t count)  \
    {                                                                                              \
        size_t done = 0;                                                                           \
        for (size_t row = 0; row < count; row += 64) {                                             \
            size_t here = count - row < 64 ? count - row : 64;                                     \
            uint64_t bits = selection[row / 64] & fm_bits_mask(here);                              \
            const uint8_t *at = from + row * sizeof(type);                                         \
            if (bits == UINT64_MAX) {                                                              \
                memcpy(to + done * sizeof(type), at, 64 * sizeof(type));                           \
                done += 64;                                                                        \
            } else if (here == 64 && __builtin_popcountll(bits) > DENSE_BITS) {                    \
                for (size_t i = 0; i < 64; i++) {                                                  \
                    memcpy(to + done * sizeof(type), at + i * sizeof(type), sizeof(type));         \
                    done += (bits >> i) & 1u;                                                      \
                }                                                                                  \
            } else {                                                                               \
                for (; bits != 0; bits &= bits - 1) {                                              \
                    size_t i = (size_t)__builtin_ctzll(bits);                                      \
                    memcpy(to + done * sizeof(type), at + i * sizeof(type), sizeof(type));         \
                    done++;                                                                        \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        return done;                                                                               \
    }
DEFINE_GATHER(gather_1, uint8_t)
DEFINE_GATHER(gather_2, uint16_t)
DEFINE_GATHER(gather_4, uint32_t)
DEFINE_GATHER(gather_8, uint64_t)
DEFINE_GATHER(gather_16, fm_u128)

size_t fm_gather(uint8_t *to, const uint8_t *from, uint32_t width, const uint64_t *selection,
                 size_t count)
{
    if (selection == NULL) {
        if (count > 0)
            memcpy(to, from, count * width);
        return count;
    }
    switch (width) {
    case 1:
        return gather_1(to, from, selection, count);
    case 2:
        return gather_2(to, from, selection, count);
    case 4:
        return gather_4(to, from, selection, count);
    case 8:
        return gather_8(to, from, selection, count);
    default:
        fm_assert(width == 16);
        return gather_16(to, from, selection, count);
    }
}

void fm_fill_nulls(uint8_t *values, uint32_t width, const uint8_t *validity, size_t first,
                   size_t rows, const void *value)
{
    for (size_t row = 0; row < rows; row += 64) {
        size_t here = rows - row < 64 ? rows - row : 64;
        uint64_t nulls = ~fm_bits_load(validity, first + row, here) & fm_bits_mask(here);
        for (; nulls != 0; nulls &= nulls - 1) {
            size_t i = row + (size_t)__builtin_ctzll(nulls);
            memcpy(values + i * width, value, width);
        }
    }
}

#define DEFINE_WIDEN(name, type, wide)                                                             \
    static void name(uint64_t *to, const uint8_t *from, size_t count)                              \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            type value;                                                                            \
            memcpy(&value, from + i * sizeof value, sizeof value);                                 \
            to[i] = (uint64_t)(wide)value;                                                         \
        }                                                                                          \
    }
DEFINE_WIDEN(widen_u8, uint8_t, uint64_t)
DEFINE_WIDEN(widen_u16, uint16_t, uint64_t)
DEFINE_WIDEN(widen_u32, uint32_t, uint64_t)
DEFINE_WIDEN(widen_i8, int8_t, int64_t)
DEFINE_WIDEN(widen_i16, int16_t, int64_t)
DEFINE_WIDEN(widen_i32, int32_t, int64_t)

void fm_widen(uint64_t *to, const uint8_t *from, uint32_t width, bool is_unsigned, size_t count)
{
    if (width == 1)
        (is_unsigned ? widen_u8 : widen_i8)(to, from, count);
    else if (width == 2)
        (is_unsigned ? widen_u16 : widen_i16)(to, from, count);
    else if (width == 4)
        (is_unsigned ? widen_u32 : widen_i32)(to, from, count);
    else if (count > 0)
        memcpy(to, from, count * sizeof *to);
}

#define DEFINE_NARROW(name, type)                                                                  \
    static void name(uint8_t *to, const uint64_t *from, size_t count)                              \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            type value = (type)from[i];                                                            \
            memcpy(to + i * sizeof value, &value, sizeof value);                                   \
        }                                                                                          \
    }
DEFINE_NARROW(narrow_u8, uint8_t)
DEFINE_NARROW(narrow_u16, uint16_t)
DEFINE_NARROW(narrow_u32, uint32_t)

void fm_narrow(uint8_t *to, uint32_t width, const uint64_t *from, size_t count)
{
    if (width == 1)
        narrow_u8(to, from, count);
    else if (width == 2)
        narrow_u16(to, from, count);
    else if (width == 4)
        narrow_u32(to, from, count);
    else if (count > 0)
        memcpy(to, from, count * sizeof *from);
}

#define DEFINE_BOUNDS(name, type, wide)                                                            \
    static void name(const uint8_t *values, size_t count, uint64_t *min, uint64_t *max)            \
    {                                                                                              \
        type low, high;                                                                            \
        memcpy(&low, values, sizeof low);                                                          \
        high = low;                                                                                \
        for (size_t i = 1; i < count; i++) {                                                       \
            type value;                                                                            \
            memcpy(&value, values + i * sizeof value, sizeof value);                               \
            low = value < low ? value : low;                                                       \
            high = value > high ? value : high;                                                    \
        }                                                                                          \
        *min = (uint64_t)(wide)low;                                                                \
        *max = (uint64_t)(wide)high;                                                               \
    }
DEFINE_BOUNDS(bounds_u8, uint8_t, uint64_t)
DEFINE_BOUNDS(bounds_u16, uint16_t, uint64_t)
DEFINE_BOUNDS(bounds_u32, uint32_t, uint64_t)
DEFINE_BOUNDS(bounds_u64, uint64_t, uint64_t)
DEFINE_BOUNDS(bounds_i8, int8_t, int64_t)
DEFINE_BOUNDS(bounds_i16, int16_t, int64_t)
DEFINE_BOUNDS(bounds_i32, int32_t, int64_t)
DEFINE_BOUNDS(bounds_i64, int64_t, int64_t)

void fm_integer_bounds(const uint8_t *values, uint32_t width, bool is_unsigned, size_t count,
                       uint64_t *min_key, uint64_t *max_key)
{
    fm_assert(count > 0);
    if (width == 1)
        (is_unsigned ? bounds_u8 : bounds_i8)(values, count, min_key, max_key);
    else if (width == 2)
        (is_unsigned ? bounds_u16 : bounds_i16)(values, count, min_key, max_key);
    else if (width == 4)
        (is_unsigned ? bounds_u32 : bounds_i32)(values, count, min_key, max_key);
    else
        (is_unsigned ? bounds_u64 : bounds_i64)(values, count, min_key, max_key);
    *min_key = fm_integer_key(*min_key, is_unsigned);
    *max_key = fm_integer_key(*max_key, is_unsigned);
}

#define DEFINE_CODES_MAX(name, type)                                                               \
    static uint32_t name(const uint8_t *codes, size_t rows)                                        \
    {                                                                                              \
        type max = 0;                                                                              \
        for (size_t i = 0; i < rows; i++) {                                                        \
            type code;                                                                             \
            memcpy(&code, codes + i * sizeof code, sizeof code);                                   \
            max = code > max ? code : max;                                                         \
        }                                                                                          \
        return max;                                                                                \
    }
DEFINE_CODES_MAX(codes_max_u8, uint8_t)
DEFINE_CODES_MAX(codes_max_u16, uint16_t)
DEFINE_CODES_MAX(codes_max_u32, uint32_t)

#define DEFINE_CODES_MIN(name, type)                                                               \
    static uint32_t name(const uint8_t *codes, size_t rows)                                        \
    {                                                                                              \
        type min = (type)-1;                                                                       \
        for (size_t i = 0; i < rows; i++) {                                                        \
            type code;                                                                             \
            memcpy(&code, codes + i * sizeof code, sizeof code);                                   \
            min = code < min ? code : min;                                                         \
        }                                                                                          \
        return min;                                                                                \
    }
DEFINE_CODES_MIN(codes_min_u8, uint8_t)
DEFINE_CODES_MIN(codes_min_u16, uint16_t)
DEFINE_CODES_MIN(codes_min_u32, uint32_t)

uint32_t fm_codes_max(const uint8_t *codes, uint32_t code_width, size_t rows)
{
    if (code_width == 1)
        return codes_max_u8(codes, rows);
    return code_width == 2 ? codes_max_u16(codes, rows) : codes_max_u32(codes, rows);
}

uint32_t fm_codes_min(const uint8_t *codes, uint32_t code_width, size_t rows)
{
    if (code_width == 1)
        return codes_min_u8(codes, rows);
    return code_width == 2 ? codes_min_u16(codes, rows) : codes_min_u32(codes, rows);
}

/* 64 bytes of 0 and 1 to bits: the product moves bit 0 of each of 8 bytes to the top byte. */
static uint64_t pack_flags(const uint8_t flags[64])
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits |= (fm_load64(flags + i * 8) * UINT64_C(0x0102040810204080) >> 56) << (i * 8);
    return bits;
}

#define DEFINE_MATCH(name, type)                                                                   \
    static uint64_t name(const uint8_t *values, uint64_t low, uint64_t span, size_t count)         \
    {                                                                                              \
        type from = (type)low, reach = (type)span, value;                                          \
        uint8_t flags[64] = {0};                                                                   \
        if (count == 64) {                                                                         \
            for (size_t i = 0; i < 64; i++) {                                                      \
                memcpy(&value, values + i * sizeof value, sizeof value);                           \
                flags[i] = (type)(value - from) <= reach;                                          \
            }                                                                                      \
            return pack_flags(flags);                                                              \
        }                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                       \
            memcpy(&value, values + i * sizeof value, sizeof value);                               \
            flags[i] = (type)(value - from) <= reach;                                              \
        }                                                                                          \
        return pack_flags(flags);                                                                  \
    }
DEFINE_MATCH(match_8, uint8_t)
DEFINE_MATCH(match_16, uint16_t)
DEFINE_MATCH(match_32, uint32_t)
DEFINE_MATCH(match_64, uint64_t)

uint64_t fm_match_range(const uint8_t *values, uint32_t width, uint64_t low, uint64_t span,
                        size_t count)
{
    fm_assert(count <= 64);
    switch (width) {
    case 1:
        return match_8(values, low, span, count);
    case 2:
        return match_16(values, low, span, count);
    case 4:
        return match_32(values, low, span, count);
    default:
        return match_64(values, low, span, count);
    }
}

uint64_t fm_match_table(const uint8_t *codes, uint32_t code_width, const uint8_t *table,
                        size_t count)
{
    uint8_t flags[64] = {0};
    fm_assert(count <= 64);
    if (code_width == 1) {
        for (size_t i = 0; i < count; i++)
            flags[i] = table[codes[i]];
    } else if (code_width == 2) {
        for (size_t i = 0; i < count; i++)
            flags[i] = table[fm_load16(codes + i * 2)];
    } else {
        for (size_t i = 0; i < count; i++)
            flags[i] = table[fm_load32(codes + i * 4)];
    }
    return pack_flags(flags);
}

struct fm_divider fm_divider(uint64_t divisor)
{
    fm_assert(divisor != 0);
    unsigned shift = (unsigned)__builtin_ctzll(divisor);
    uint64_t odd = divisor >> shift, inverse = odd; /* Right in the low 3 bits. */
    for (unsigned i = 0; i < 5; i++)
        inverse *= 2 - odd * inverse; /* Newton: the right bits double. */
    return (struct fm_divider){
        .divisor = divisor, .inverse = inverse, .limit = UINT64_MAX / divisor, .shift = shift};
}

uint64_t fm_gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}
