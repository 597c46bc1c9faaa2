#include "storage/compress.h"

#include "core/assert.h"
#include "core/limits.h"
#include "storage/pack.h"

#include <lz4.h>
#include <zstd.h>

#include <stdlib.h>

#define COMPRESS_BYTES_MIN 64u
#define ZSTD_LEVEL 1

struct compressor {
    ZSTD_CCtx *zstd;
    struct fm_buf lz4_out;
    struct fm_buf zstd_out;
    struct fm_buf differences;
};

enum fm_status compressor_new(struct compressor **out)
{
    struct compressor *compressor = calloc(1, sizeof *compressor);

    if (compressor == NULL)
        return FM_NOMEM;
    compressor->zstd = ZSTD_createCCtx();
    if (compressor->zstd == NULL) {
        free(compressor);
        return FM_NOMEM;
    }
    *out = compressor;
    return FM_OK;
}

void compressor_free(struct compressor *compressor)
{
    if (compressor == NULL)
        return;
    (void)ZSTD_freeCCtx(compressor->zstd); /* Always 0. */
    fm_buf_free(&compressor->lz4_out);
    fm_buf_free(&compressor->zstd_out);
    fm_buf_free(&compressor->differences);
    free(compressor);
}

/* Size in `out`, 0 when it did not fit or does not pay. */
static size_t try_lz4(struct compressor *compressor, struct fm_span raw)
{
    int bound = LZ4_compressBound((int)raw.len);
    int size;

    fm_buf_clear(&compressor->lz4_out);
    if (fm_buf_extend(&compressor->lz4_out, (size_t)bound) == NULL)
        return 0;
    size = LZ4_compress_default((const char *)raw.data, (char *)compressor->lz4_out.data,
                                (int)raw.len, bound);
    return size > 0 && (size_t)size <= raw.len - raw.len / 8 ? (size_t)size : 0;
}

static size_t try_zstd(struct compressor *compressor, struct fm_span raw, size_t below)
{
    size_t size;

    fm_buf_clear(&compressor->zstd_out);
    if (fm_buf_extend(&compressor->zstd_out, ZSTD_compressBound(raw.len)) == NULL)
        return 0;
    size = ZSTD_compressCCtx(compressor->zstd, compressor->zstd_out.data, compressor->zstd_out.len,
                             raw.data, raw.len, ZSTD_LEVEL);
    return !ZSTD_isError(size) && size < below ? size : 0;
}

enum fm_status compress_block(struct compressor *compressor, struct fm_span raw, struct fm_buf *out,
                              enum compression *method)
{
    size_t lz4_size;
    size_t zstd_size;

    *method = COMPRESSION_NONE;
    if (raw.len < COMPRESS_BYTES_MIN || raw.len > LZ4_MAX_INPUT_SIZE) {
        fm_buf_put_span(out, raw);
        return fm_buf_status(out);
    }
    lz4_size = try_lz4(compressor, raw);
    /* zstd reads at a quarter of LZ4's speed: only for a quarter less. */
    zstd_size = try_zstd(compressor, raw, (lz4_size != 0 ? lz4_size : raw.len) / 4 * 3);
    if (zstd_size != 0) {
        *method = COMPRESSION_ZSTD;
        fm_buf_put(out, compressor->zstd_out.data, zstd_size);
    } else if (lz4_size != 0) {
        *method = COMPRESSION_LZ4;
        fm_buf_put(out, compressor->lz4_out.data, lz4_size);
    } else {
        fm_buf_put_span(out, raw);
    }
    return fm_buf_status(out);
}

#define DIFFERENCES_HEADER_BYTES 8u

/* Differences by zstd in place of what is in `out` from `from` on, where that is a quarter less. */
static enum fm_status try_differences(struct compressor *compressor, struct fm_span raw,
                                      uint32_t count, uint8_t width, struct fm_buf *out,
                                      size_t from, enum compression *method)
{
    struct fm_buf *buf = &compressor->differences;
    size_t stored = out->len - from, size;

    fm_buf_clear(buf);
    fm_buf_put_span(buf, raw);
    if (fm_buf_status(buf) != FM_OK)
        return fm_buf_status(buf);
    pack_differences(buf->data + raw.len - (size_t)count * width, count, width);
    if (stored / 4 * 3 <= DIFFERENCES_HEADER_BYTES)
        return FM_OK;
    size = try_zstd(compressor, fm_buf_span(buf), stored / 4 * 3 - DIFFERENCES_HEADER_BYTES);
    if (size == 0)
        return FM_OK;
    out->len = from;
    fm_buf_put_u8(out, width);
    fm_buf_put(out, (const uint8_t[3]){0}, 3);
    fm_buf_put_u32(out, count);
    fm_buf_put(out, compressor->zstd_out.data, size);
    *method = COMPRESSION_DIFFERENCES;
    return fm_buf_status(out);
}

enum fm_status compress_numbers(struct compressor *compressor, struct fm_span raw, uint32_t count,
                                uint8_t width, struct fm_buf *out, enum compression *method)
{
    size_t front = raw.len - (size_t)count * width, from = out->len;
    struct pack_plan plan;
    enum fm_status status = FM_OK;
    size_t packed;

    fm_assert(raw.len >= (size_t)count * width);
    if (raw.len < COMPRESS_BYTES_MIN || raw.len > LZ4_MAX_INPUT_SIZE)
        return compress_block(compressor, raw, out, method);
    pack_plan(raw.data + front, count, width, &plan);
    packed = (size_t)plan.bytes + front;
    /* So small that nothing else need be tried. */
    bool is_tiny = packed <= raw.len / 16;
    if (!is_tiny)
        status = compress_block(compressor, raw, out, method);
    /* Unpacking is faster than zstd: worth an eighth more. */
    size_t stored = out->len - from;
    if (is_tiny || (status == FM_OK && packed <= stored + stored / 8 && packed < raw.len)) {
        out->len = from;
        *method = COMPRESSION_PACKED;
        pack_write(&plan, fm_span(raw.data, front), raw.data + front, out);
        status = fm_buf_status(out);
    }
    if (status == FM_OK && !is_tiny && plan.steps_repeat)
        status = try_differences(compressor, raw, count, width, out, from, method);
    return status;
}

void decompressor_deinit(struct decompressor *decompressor)
{
    (void)ZSTD_freeDCtx(decompressor->zstd); /* Always 0, NULL is fine. */
    decompressor->zstd = NULL;
}

static enum fm_status decompress_zstd(struct decompressor *decompressor, struct fm_span stored,
                                      uint8_t *out, size_t raw_bytes)
{
    size_t size;

    if (decompressor->zstd == NULL)
        decompressor->zstd = ZSTD_createDCtx();
    if (decompressor->zstd == NULL)
        return FM_NOMEM;
    size = ZSTD_decompressDCtx(decompressor->zstd, out, raw_bytes, stored.data, stored.len);
    return !ZSTD_isError(size) && size == raw_bytes ? FM_OK : FM_CORRUPT;
}

static enum fm_status decompress_differences(struct decompressor *decompressor,
                                             struct fm_span stored, uint8_t *out, size_t raw_bytes)
{
    uint32_t count, width;
    enum fm_status status;

    if (stored.len < DIFFERENCES_HEADER_BYTES)
        return FM_CORRUPT;
    width = fm_load32(stored.data); /* One byte and three zeros. */
    count = fm_load32(stored.data + 4);
    if (!pack_width_good(width) || count == 0 || count > raw_bytes / width)
        return FM_CORRUPT;
    status = decompress_zstd(
        decompressor,
        fm_span(stored.data + DIFFERENCES_HEADER_BYTES, stored.len - DIFFERENCES_HEADER_BYTES), out,
        raw_bytes);
    if (status == FM_OK)
        pack_sums(out + raw_bytes - (size_t)count * width, count, (uint8_t)width);
    return status;
}

enum fm_status decompress_block(struct decompressor *decompressor, uint8_t method,
                                struct fm_span stored, uint8_t *out, size_t raw_bytes)
{
    int size;

    if (stored.len > FM_BUF_BYTES_MAX || raw_bytes > FM_BUF_BYTES_MAX)
        return FM_CORRUPT;
    switch (method) {
    case COMPRESSION_NONE:
        if (stored.len != raw_bytes)
            return FM_CORRUPT;
        if (raw_bytes > 0)
            memcpy(out, stored.data, raw_bytes);
        return FM_OK;
    case COMPRESSION_LZ4:
        size = LZ4_decompress_safe((const char *)stored.data, (char *)out, (int)stored.len,
                                   (int)raw_bytes);
        return size == (int)raw_bytes ? FM_OK : FM_CORRUPT;
    case COMPRESSION_ZSTD:
        return decompress_zstd(decompressor, stored, out, raw_bytes);
    case COMPRESSION_PACKED:
        return pack_read(stored, out, raw_bytes);
    case COMPRESSION_DIFFERENCES:
        return decompress_differences(decompressor, stored, out, raw_bytes);
    default:
        return FM_CORRUPT;
    }
}
