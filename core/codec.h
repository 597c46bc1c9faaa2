/* msgpack in the strict profile of design.md section 6, over msgpack-c: shortest integers, map keys
 * that are non-negative integers in rising order without repeats, no floats, no ext, no trailing
 * bytes, strings that are UTF-8. A pre-scan bounds counts and depth before the library allocates.
 * Map keys below 32 are critical: fm_map_check() refuses unknown ones; from 32 up they may be
 * ignored.
 * Ownership: a document owns a copy of nothing but its tree; the bytes must outlive it. */
#ifndef FM_CORE_CODEC_H
#define FM_CORE_CODEC_H

#include "core/bytes.h"

/* Writing: appends to a (sticky) buffer. Map keys must be packed in rising order by the caller. */
void fm_pack_map(struct fm_buf *buf, uint32_t pairs);
void fm_pack_array(struct fm_buf *buf, uint32_t items);
void fm_pack_uint(struct fm_buf *buf, uint64_t value);
void fm_pack_int(struct fm_buf *buf, int64_t value);
void fm_pack_bool(struct fm_buf *buf, bool value);
void fm_pack_nil(struct fm_buf *buf);
void fm_pack_bin(struct fm_buf *buf, const void *data, size_t len);
void fm_pack_bin_span(struct fm_buf *buf, struct fm_span span);
void fm_pack_str(struct fm_buf *buf, const char *text);
void fm_pack_str_span(struct fm_buf *buf, struct fm_span span);
/* key then value, for maps */
void fm_pack_key_uint(struct fm_buf *buf, unsigned key, uint64_t value);
void fm_pack_key_int(struct fm_buf *buf, unsigned key, int64_t value);
void fm_pack_key_bool(struct fm_buf *buf, unsigned key, bool value);
void fm_pack_key_bin(struct fm_buf *buf, unsigned key, const void *data, size_t len);
void fm_pack_key_str(struct fm_buf *buf, unsigned key, const char *text);

/* Reading. */
struct fm_doc;   /* Opaque: a parsed document. */
struct fm_value; /* Opaque: one value of it, valid while the document lives. */

/* FM_MALFORMED: not the profile. FM_LIMIT: past FM_DOC_* of limits.h. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_doc_parse(struct fm_span bytes, struct fm_doc **out);
void fm_doc_free(struct fm_doc *doc);
FM_DEFINE_FREEP(fm_doc_freep, struct fm_doc, fm_doc_free)
/* Length of the one value of the profile that `bytes` begin with, where more may follow it: checks
 * all that fm_doc_parse() does and allocates nothing. */
FM_MUST_USE enum fm_status fm_doc_measure(struct fm_span bytes, size_t *len);
const struct fm_value *fm_doc_root(const struct fm_doc *doc);

/* All give FM_MALFORMED when `value` is NULL, of another kind, or out of the bounds given; so a
 * missing key and a wrong one fail alike. */
FM_MUST_USE enum fm_status fm_value_uint(const struct fm_value *value, uint64_t max, uint64_t *out);
FM_MUST_USE enum fm_status fm_value_u32(const struct fm_value *value, uint32_t max, uint32_t *out);
FM_MUST_USE enum fm_status fm_value_int(const struct fm_value *value, int64_t *out);
FM_MUST_USE enum fm_status fm_value_bool(const struct fm_value *value, bool *out);
FM_MUST_USE enum fm_status fm_value_str(const struct fm_value *value, size_t max,
                                        struct fm_span *out);
/* Into a char array of `size` bytes with a NUL; a NUL inside the text is refused. */
FM_MUST_USE enum fm_status fm_value_text(const struct fm_value *value, char *out, size_t size);
FM_MUST_USE enum fm_status fm_value_bin(const struct fm_value *value, size_t max,
                                        struct fm_span *out);
FM_MUST_USE enum fm_status fm_value_bin_exact(const struct fm_value *value, void *out, size_t len);
FM_MUST_USE enum fm_status fm_value_array(const struct fm_value *value, uint32_t max,
                                          uint32_t *count);
bool fm_value_is_nil(const struct fm_value *value);
/* Item i of an array; i below its count is asserted. */
const struct fm_value *fm_value_at(const struct fm_value *array, uint32_t i);
/* The value at `key`, NULL when absent or when `map` is no map. */
const struct fm_value *fm_map_get(const struct fm_value *map, unsigned key);
/* FM_MALFORMED unless `map` is a map whose keys below 32 are all in `known` (bit k: key k). */
FM_MUST_USE enum fm_status fm_map_check(const struct fm_value *map, uint32_t known);

#endif
