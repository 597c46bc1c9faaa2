/* How DuckDB lays out what the C API leaves to its users: strings, validity bits, uuids. */
#ifndef FM_QUERY_WORKER_VECTORS_H
#define FM_QUERY_WORKER_VECTORS_H

#include "core/bytes.h"

#include <duckdb.h>

#define DUCK_INLINE_BYTES 12u

/* duckdb_string_t with its two forms spelled out: up to 12 bytes inside, else a prefix and a
 * pointer. */
struct duck_string {
    uint32_t bytes;
    char prefix[4];
    union {
        char rest[8];
        const char *pointer;
    } tail;
};
_Static_assert(sizeof(struct duck_string) == sizeof(duckdb_string_t), "one layout");

/* The text stays where it is when it is long. Unused bytes must be zero: DuckDB compares them. */
static inline void duck_string_set(struct duck_string *out, struct fm_span text)
{
    struct duck_string made = {.bytes = (uint32_t)text.len};

    if (text.len <= DUCK_INLINE_BYTES) {
        char room[DUCK_INLINE_BYTES] = {0};
        if (text.len > 0)
            memcpy(room, text.data, text.len);
        memcpy(made.prefix, room, 4);
        memcpy(made.tail.rest, room + 4, 8);
    } else {
        memcpy(made.prefix, text.data, 4);
        made.tail.pointer = (const char *)text.data;
    }
    *out = made;
}

static inline struct fm_span duck_string_span(const duckdb_string_t *text)
{
    uint32_t len = text->value.inlined.length;
    return len <= DUCK_INLINE_BYTES ? fm_span(text->value.inlined.inlined, len)
                                    : fm_span(text->value.pointer.ptr, len);
}

static inline bool bits_get(const void *words, uint64_t at)
{
    return ((fm_load64((const uint8_t *)words + at / 64 * 8) >> (at % 64)) & 1u) != 0;
}

static inline void bits_set(uint64_t *words, uint64_t at, bool value)
{
    uint64_t mask = UINT64_C(1) << (at % 64);
    words[at / 64] = value ? words[at / 64] | mask : words[at / 64] & ~mask;
}

static inline void bits_fill(uint64_t *words, uint64_t at, uint64_t count, bool value)
{
    for (; count > 0 && at % 64 != 0; at++, count--)
        bits_set(words, at, value);
    for (; count >= 64; at += 64, count -= 64)
        words[at / 64] = value ? ~UINT64_C(0) : 0;
    for (; count > 0; at++, count--)
        bits_set(words, at, value);
}

/* Copy bits; whole words where both sides are aligned alike, which is the usual case. */
static inline void bits_copy(uint64_t *to, uint64_t at, const void *from, uint64_t first,
                             uint64_t count)
{
    if (at % 64 == 0 && first % 64 == 0) {
        memcpy(to + at / 64, (const uint8_t *)from + first / 64 * 8, count / 64 * 8);
        uint64_t whole = count / 64 * 64;
        at += whole;
        first += whole;
        count -= whole;
    }
    for (; count > 0; at++, first++, count--)
        bits_set(to, at, bits_get(from, first));
}

/* DuckDB keeps a uuid as a hugeint with its highest bit turned, so that it sorts as a signed
 * number; ours are 16 bytes in the order of the text. In place is fine. */
static inline void uuid_to_duck(const uint8_t in[16], uint8_t *out)
{
    uint64_t upper = fm_load64_be(in) ^ (UINT64_C(1) << 63), lower = fm_load64_be(in + 8);
    fm_store64(out, lower);
    fm_store64(out + 8, upper);
}

static inline void uuid_from_duck(const uint8_t *in, uint8_t out[16])
{
    uint64_t lower = fm_load64(in), upper = fm_load64(in + 8) ^ (UINT64_C(1) << 63);
    fm_store64_be(out, upper);
    fm_store64_be(out + 8, lower);
}

#endif
