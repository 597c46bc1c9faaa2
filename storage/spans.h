/* The headers of a segment's facts where they are many: a value of its own, compressed, read only
 * when it is asked for (docs/storage.md, "Segment").
 * Errors: FM_CORRUPT for bytes that fail their checksum or do not have the layout. */
#ifndef FM_STORAGE_SPANS_H
#define FM_STORAGE_SPANS_H

#include "storage/compress.h"
#include "storage/keys.h"

#define SPANS_BYTES_MAX (64u << 20) /* A header has at most some 200 bytes. */

FM_MUST_USE enum fm_status spans_encode(struct compressor *compressor,
                                        const struct segment_span *spans, uint32_t count,
                                        struct fm_buf *out);
/* The spans of a segment of so many rows; free them with free(). */
FM_MUST_USE enum fm_status spans_decode(struct fm_span bytes, uint32_t rows,
                                        struct segment_span **out, uint32_t *out_count);

#endif
