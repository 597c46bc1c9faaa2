/* Compression of one block, where it pays: LZ4, or zstd where that is much smaller still.
 * Threads: one thread per compressor. */
#ifndef FM_STORAGE_COMPRESS_H
#define FM_STORAGE_COMPRESS_H

#include "core/bytes.h"

/* Numbers on disk, never reused. */
enum compression { COMPRESSION_NONE = 0, COMPRESSION_LZ4 = 1, COMPRESSION_ZSTD = 2 };

struct compressor;

FM_MUST_USE enum fm_status compressor_new(struct compressor **out);
void compressor_free(struct compressor *compressor);
FM_DEFINE_FREEP(compressor_freep, struct compressor, compressor_free)

/* Append `raw` to `out`, compressed or as it is. */
FM_MUST_USE enum fm_status compress_block(struct compressor *compressor, struct fm_span raw,
                                          struct fm_buf *out, enum compression *method);
/* A zeroed struct is ready; what it needs is made when first needed. */
struct decompressor {
    void *zstd;
};
void decompressor_deinit(struct decompressor *decompressor);

/* Exactly `raw_bytes` bytes must come out. FM_CORRUPT, FM_NOMEM. */
FM_MUST_USE enum fm_status decompress_block(struct decompressor *decompressor, uint8_t method,
                                            struct fm_span stored, uint8_t *out, size_t raw_bytes);

#endif
