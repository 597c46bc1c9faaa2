/* Numbers of 1, 2, 4 or 8 bytes packed to fewer bits: above the lowest one of the block (frame of
 * reference), by their differences (delta), or as runs of equal ones. docs/storage.md, "Packed
 * numbers", has the layout.
 * Threads: none of its own. Errors: what is unpacked is checked, FM_CORRUPT. */
#ifndef FM_STORAGE_PACK_H
#define FM_STORAGE_PACK_H

#include "core/bytes.h"

enum pack_form { PACK_PLAIN = 0, PACK_DELTA = 1, PACK_RUNS = 2 }; /* On disk, never reused. */

/* How a block would be packed, by the form that gives the fewest bytes. */
struct pack_plan {
    uint8_t width;
    uint8_t form;
    uint8_t bits; /* Of each packed number, 0..64. */
    uint32_t count;
    uint32_t runs;
    uint64_t first;    /* PACK_DELTA: the first number. PACK_RUNS: how many runs. */
    uint64_t base;     /* The lowest number, or difference. */
    uint64_t bytes;    /* Packed, without what stands in front of the numbers. */
    bool steps_repeat; /* There are few differences, though their range may be wide. */
};

bool pack_width_good(uint32_t width);
/* `count` >= 1 numbers. */
void pack_plan(const uint8_t *numbers, uint32_t count, uint8_t width, struct pack_plan *out);
/* Append `front` as it is and the numbers packed. */
void pack_write(const struct pack_plan *plan, struct fm_span front, const uint8_t *numbers,
                struct fm_buf *out);
/* Exactly `raw_bytes` bytes must come out: what stood in front, and the numbers. */
FM_MUST_USE enum fm_status pack_read(struct fm_span stored, uint8_t *out, size_t raw_bytes);

/* Each number becomes its difference to the one before, in its own width, and back. */
void pack_differences(uint8_t *numbers, uint32_t count, uint8_t width);
void pack_sums(uint8_t *numbers, uint32_t count, uint8_t width);

#endif
