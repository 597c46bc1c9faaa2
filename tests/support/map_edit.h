/* Takes a msgpack map with integer keys apart and puts it together wrongly, to see what a decoder
 * refuses. */
#ifndef FM_TESTS_SUPPORT_MAP_EDIT_H
#define FM_TESTS_SUPPORT_MAP_EDIT_H

#include "core/bytes.h"

/* Number of pairs of a map. */
unsigned map_pairs(struct fm_span map);
/* Is the value of pair `i` true or false? */
bool map_value_is_bool(struct fm_span map, unsigned i);
/* Key of pair `i`. */
unsigned map_key(struct fm_span map, unsigned i);
/* The map without pair `i`, in place of what `out` holds. */
void map_drop(struct fm_span map, unsigned i, struct fm_buf *out);
/* The map with other bytes as the value of pair `i`. */
void map_replace(struct fm_span map, unsigned i, struct fm_span value, struct fm_buf *out);
/* The map with one pair more, {key: nil}, in its place by key. */
void map_add(struct fm_span map, unsigned key, struct fm_buf *out);

#endif
