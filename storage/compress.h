/* Compression of one block, where it pays: LZ4, or zstd where that is much smaller still; numbers
 * packed to fewer bits (pack.h), or their differences by zstd where those repeat.
 * Threads: one thread per compressor. */
#ifndef FM_STORAGE_COMPRESS_H
#define FM_STORAGE_COMPRESS_H

#include "core/bytes.h"

/* Numbers on disk, never reused. */
enum compression {
    COMPRESSION_NONE = 0,
    COMPRESSION_LZ4 = 1,
    COMPRESSION_ZSTD = 2,
    COMPRESSION_PACKED = 3,      /* Only of numbers. */
    COMPRESSION_DIFFERENCES = 4, /* The same: u8 width, 3 zeros, u32 count, zstd frame. */
};

struct compressor;

FM_MUST_USE enum fm_status compressor_new(struct compressor **out);
void compressor_free(struct compressor *compressor);
FM_DEFINE_FREEP(compressor_freep, struct compressor, compressor_free)

/* Append `raw` to `out`, compressed or as it is. */
FM_MUST_USE enum fm_status compress_block(struct compressor *compressor, struct fm_span raw,
                                          struct fm_buf *out, enum compression *method);
/* The same of `raw` whose last `count` * `width` bytes are numbers; count <= FM_BLOCK_ROWS. */
FM_MUST_USE enum fm_status compress_numbers(struct compressor *compressor, struct fm_span raw,
                                            uint32_t count, uint8_t width, struct fm_buf *out,
                                            enum compression *method);
/* A zeroed struct is ready; what it needs is made when first needed. */
struct decompressor {
    void *zstd;
};
void decompressor_deinit(struct decompressor *decompressor);

/* Exactly `raw_bytes` bytes must come out. FM_CORRUPT, FM_NOMEM. */
FM_MUST_USE enum fm_status decompress_block(struct decompressor *decompressor, uint8_t method,
                                            struct fm_span stored, uint8_t *out, size_t raw_bytes);

#endif
