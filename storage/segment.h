/* The stored value of one column of one segment (docs/storage.md, "Column value"): a header with
 * the encoding, a directory of blocks and a dictionary, then blocks of FM_BLOCK_ROWS rows, each
 * decodable by itself. The codes and values in a block are in the form of core/batch.h, so a column
 * decodes into a one-column batch by putting its blocks one behind the other.
 * Threads: an encoder or a column by one thread; the bytes behind a column must not change.
 * Errors:  everything read from stored bytes is checked: FM_CORRUPT. */
#ifndef FM_STORAGE_SEGMENT_H
#define FM_STORAGE_SEGMENT_H

#include "core/batch.h"
#include "core/limits.h"
#include "storage/compress.h"
#include "storage/keys.h"

/* Encodings of column values: those of core/batch.h and, for list, struct and map: */
#define SEGMENT_ENC_NESTED 16u /* Each block is a one-column batch. */

#define SEGMENT_BLOCKS_MAX (FM_SEGMENT_ROWS / FM_BLOCK_ROWS)
#define SEGMENT_COLUMN_BYTES_MAX FM_BATCH_BYTES_MAX /* Decoded. */

struct column_encoder;
FM_MUST_USE enum fm_status column_encoder_new(struct column_encoder **out);
void column_encoder_free(struct column_encoder *encoder);
FM_DEFINE_FREEP(column_encoder_freep, struct column_encoder, column_encoder_free)

/* Append the stored value of one top-level column of `batch` (no outside dictionary) to `out`, and
 * say in `field` what a segment's record keeps of it (all but the id). */
FM_MUST_USE enum fm_status column_encode(struct column_encoder *encoder,
                                         const struct fm_batch *batch, uint32_t column,
                                         const struct fm_type *type, struct fm_buf *out,
                                         struct segment_field *field);

struct column_block {
    struct fm_span stored;
    uint32_t raw_bytes;
    uint32_t crc;
    uint32_t null_count;
    uint8_t compression;
    uint32_t bounds_at;
};

struct column {
    struct fm_span value; /* Borrowed. */
    const struct fm_type *type;
    uint32_t rows;
    uint32_t block_count;
    uint32_t null_count;
    uint8_t encoding;
    uint8_t code_width;
    bool all_null;
    int64_t base;
    int64_t step;
    struct fm_span bounds;
    uint8_t *aux; /* Owned: dictionary, or constant. 4-byte aligned. */
    uint32_t aux_bytes;
    struct fm_dictionary dictionary; /* Encoding DICTIONARY: views `aux`. Else count 0. */
    struct column_block *blocks;     /* Owned. */
    struct decompressor decompressor;
};

/* Check a stored value's header and layout. `value` and `type` must stay. */
FM_MUST_USE enum fm_status column_open(struct fm_span value, const struct fm_type *type,
                                       struct column *out);
void column_deinit(struct column *column); /* A zeroed column is fine. */

uint32_t column_block_rows(const struct column *column, uint32_t block);
FM_MUST_USE enum fm_status column_block_bounds(const struct column *column, uint32_t block,
                                               struct bounds *out);

/* From a column's own texts to codes of a dictionary outside. */
struct column_remap {
    const struct fm_dictionary *dictionary;
    uint8_t code_width;    /* 1 or 2. */
    const uint32_t *codes; /* By the column's own code (one for a constant). */
};

/* Decode blocks [first, first + count) into a one-column batch, appended to an empty buffer and
 * checked like a stranger's. With `remap` (not NULL) texts become codes of its dictionary. */
FM_MUST_USE enum fm_status column_decode(struct column *column, uint32_t first, uint32_t count,
                                         const struct column_remap *remap, struct fm_buf *out);

/* Widen `bounds` so that they hold `more` too; unknown if either is. */
void bounds_merge(struct bounds *bounds, const struct bounds *more, const struct fm_type *type);

#endif
