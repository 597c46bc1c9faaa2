/* The order of a segment's rows where it is not that of their sequences: a clustered table's rows
 * are sorted by its clustering key within each segment. A column value of its own (segment.h),
 * uint32 without NULLs, has for each row its sequence less the segment's first: a permutation,
 * which is checked whenever it is read.
 * Threads: none of its own. Errors: FM_CORRUPT when it is damaged, missing or no permutation. */
#ifndef FM_STORAGE_ORDER_H
#define FM_STORAGE_ORDER_H

#include "storage/reading.h"

/* Encode for storing: `offsets[row]` is the row's sequence less the segment's first. */
FM_MUST_USE enum fm_status order_encode(struct column_encoder *encoder, const uint32_t *offsets,
                                        uint32_t rows, struct fm_buf *out);
/* The other way, into an array for so many rows. */
FM_MUST_USE enum fm_status order_decode(struct fm_span value, uint32_t rows, uint32_t *offsets);
/* Are they 0, 1, 2 ...? Such an order is not stored. */
bool order_is_plain(const uint32_t *offsets, uint32_t rows);

/* Both ways, as far as they were asked for. In the arena where it has room. */
struct unit_order {
    struct loaded offsets;
    struct loaded rows;
};
/* Make unit_sequence() work for this unit; nothing is read for one in sequence order. `order`,
 * zeroed or closed before, must stay as long as the unit is used. */
FM_MUST_USE enum fm_status unit_open_offsets(const struct table_state *state,
                                             const struct rocks_snapshot *snapshot,
                                             struct unit *unit, struct unit_order *order,
                                             struct fm_error *err);
/* Make unit_row() work. */
FM_MUST_USE enum fm_status unit_open_rows(const struct table_state *state,
                                          const struct rocks_snapshot *snapshot, struct unit *unit,
                                          struct unit_order *order, struct fm_error *err);
void unit_order_close(struct unit_order *order); /* Zeroed is fine. */

/* Bits of the rows of a unit that are shown. Bits behind the last row are 0. unit_sequence() must
 * work. */
#define UNIT_WORDS_MAX (FM_SEGMENT_ROWS / 64)
void unit_select(const struct unit *unit, const struct visible *visible,
                 uint64_t selection[UNIT_WORDS_MAX]);

#endif
