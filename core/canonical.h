/* Canonical bytes of scalars to and from memory form, and keys that order them. Not for others:
 * they use fm_vector_canonical(), fm_canonical_take() and fm_canonical_compare(). */
#ifndef FM_CORE_CANONICAL_H
#define FM_CORE_CANONICAL_H

#include "core/batch_internal.h"

#define FM_CANONICAL_FIXED_MAX 16u

/* Write the canonical bytes of a fixed-width value in memory form; returns their count, which is
 * fm_canonical_width() of the type. */
uint32_t fm_canonical_from_fixed(const struct fm_type *type, const void *value, uint8_t *out);
/* 16 for each decimal, else the width in memory; 0 for what is stored by offsets. */
uint32_t fm_canonical_width(const struct fm_type *type);

/* Take one scalar: fixed-width values go to `fixed` (16 bytes) in memory form, the others to
 * `bytes`. FM_MALFORMED when it is not the one form. Whether an enum has the text is left open. */
FM_MUST_USE enum fm_status fm_canonical_take_scalar(const struct fm_type *type,
                                                    struct fm_cursor *cursor, void *fixed,
                                                    struct fm_span *bytes);
/* Take the uvarint length and the bytes of a text or blob, unchecked otherwise. */
FM_MUST_USE enum fm_status fm_canonical_take_bytes(struct fm_cursor *cursor, struct fm_span *out);
/* Take the byte before an element: 0 or 1. */
FM_MUST_USE enum fm_status fm_canonical_take_flag(struct fm_cursor *cursor, bool *out);
/* Take a count of elements of at least a byte each. */
FM_MUST_USE enum fm_status fm_canonical_take_count(struct fm_cursor *cursor, uint32_t *out);

/* A number that orders fixed-width values as SQL does: NaN greatest, -0 as 0, intervals by their
 * length with months of 30 days, uuids by their text. */
fm_i128 fm_fixed_key(const struct fm_type *type, const void *value);
/* Order of floats as order of integers. */
int64_t fm_double_key(double value);
int32_t fm_float_key(float value);

/* Order of canonical bytes: memcmp, then length. */
int fm_bytes_compare(struct fm_span a, struct fm_span b);

#endif
