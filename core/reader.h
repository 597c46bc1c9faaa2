/* Reads the fields of one strict msgpack map, for the decoders of signed records and messages.
 * Like a buffer it is sticky: the first failure is kept, later reads do nothing, and the caller
 * looks at `status` once at the end. Until then outputs may hold anything they held before.
 * Ownership: borrows the document. Threads: one thread per reader. */
#ifndef FM_CORE_READER_H
#define FM_CORE_READER_H

#include "core/codec.h"

struct fm_reader {
    const struct fm_value *map;
    enum fm_status status;
};

/* Bit of a key in the set of known ones. */
#define FM_KEY(key) (UINT32_C(1) << (key))
/* Keys 0..count-1. */
#define FM_KEYS(count) (FM_KEY(count) - 1u)

/* Starts failed (FM_MALFORMED) unless `map` is a map whose critical keys are all in `known`. */
struct fm_reader fm_reader(const struct fm_value *map, uint32_t known);

/* Keep `status` if it is the first failure. */
void fm_reader_note(struct fm_reader *reader, enum fm_status status);
/* FM_MALFORMED unless `holds`. */
void fm_reader_demand(struct fm_reader *reader, bool holds);

bool fm_read_has(const struct fm_reader *reader, unsigned key);
void fm_read_u64(struct fm_reader *reader, unsigned key, uint64_t max, uint64_t *out);
void fm_read_u32(struct fm_reader *reader, unsigned key, uint32_t max, uint32_t *out);
/* A number of a closed list: min..max. */
void fm_read_choice(struct fm_reader *reader, unsigned key, uint32_t min, uint32_t max,
                    uint32_t *out);
/* A time since 1970, in whatever unit: never negative. */
void fm_read_time(struct fm_reader *reader, unsigned key, int64_t *out);
void fm_read_bool(struct fm_reader *reader, unsigned key, bool *out);
void fm_read_exact(struct fm_reader *reader, unsigned key, void *out, size_t len);
void fm_read_bin(struct fm_reader *reader, unsigned key, size_t max, struct fm_span *out);
void fm_read_str(struct fm_reader *reader, unsigned key, size_t max, struct fm_span *out);
void fm_read_text(struct fm_reader *reader, unsigned key, char *out, size_t size);
/* A domain's or a table's name, into FM_NAME_MAX + 1 bytes. */
void fm_read_domain(struct fm_reader *reader, unsigned key, char *out);
void fm_read_table(struct fm_reader *reader, unsigned key, char *out);

/* An array of min..max items. NULL, with a count of 0, on failure. */
const struct fm_value *fm_read_array(struct fm_reader *reader, unsigned key, uint32_t min,
                                     uint32_t max, uint32_t *count);
/* Item `i` of `array`, an array of exactly `items` items itself. NULL on failure. */
const struct fm_value *fm_read_tuple(struct fm_reader *reader, const struct fm_value *array,
                                     uint32_t i, uint32_t items);

#endif
