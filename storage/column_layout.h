/* The fixed parts of a stored column value, for segment.c and segment_encode.c only. */
#ifndef FM_STORAGE_COLUMN_LAYOUT_H
#define FM_STORAGE_COLUMN_LAYOUT_H

#include "core/predicate.h"

#include <stdint.h>

#define COLUMN_MAGIC 0x31434d46u /* "FMC1" */

/* Then: block_count entries, bounds, stored aux, zeros up to 4 below a multiple of 8, and the
 * CRC-32C of all that; then the blocks. */
struct column_header {
    uint32_t magic;
    uint32_t header_bytes; /* With everything before the first block. */
    uint32_t rows;
    uint32_t block_count;
    uint8_t kind;
    uint8_t encoding;
    uint8_t code_width;
    uint8_t flags; /* FM_VECTOR_ALL_NULL. */
    uint8_t precision;
    uint8_t scale;
    uint8_t aux_compression;
    uint8_t reserved;
    uint32_t null_count;
    uint32_t bounds_bytes;
    uint32_t aux_bytes; /* Dictionary as in a batch, or the constant. */
    uint32_t aux_stored_bytes;
    int64_t base;
    int64_t step;
};
_Static_assert(sizeof(struct column_header) == 56, "the header is 56 bytes");
_Static_assert(offsetof(struct column_header, base) == 40, "without gaps");

struct column_block_entry {
    uint64_t offset; /* From the value's first byte. */
    uint32_t stored_bytes;
    uint32_t raw_bytes;
    uint32_t crc; /* CRC-32C of the stored bytes. */
    uint32_t null_count;
    uint32_t bounds_at; /* In the bounds. */
    uint8_t compression;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct column_block_entry) == 32, "a directory entry is 32 bytes");
_Static_assert(offsetof(struct column_block_entry, compression) == 28, "without gaps");

static inline uint64_t column_header_bytes(uint64_t block_count, uint64_t bounds_bytes,
                                           uint64_t aux_stored_bytes)
{
    uint64_t content = sizeof(struct column_header) +
                       block_count * sizeof(struct column_block_entry) + bounds_bytes +
                       aux_stored_bytes;
    return (content + 4 + 7) & ~UINT64_C(7);
}

#endif
