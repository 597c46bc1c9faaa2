/* Spans, growing buffers, fixed-endian loads and stores, varints, hex.
 * Ownership: a span borrows; a buffer owns its bytes.
 * Errors:    a buffer is sticky: the first failure (FM_NOMEM, or FM_LIMIT past `max`) is kept,
 *            later writes do nothing, and fm_buf_status() tells once at the end. */
#ifndef FM_CORE_BYTES_H
#define FM_CORE_BYTES_H

#include "core/cleanup.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct fm_span {
    const uint8_t *data;
    size_t len;
};

static inline struct fm_span fm_span(const void *data, size_t len)
{
    return (struct fm_span){.data = data, .len = len};
}

static inline struct fm_span fm_span_str(const char *text)
{
    return fm_span(text, strlen(text));
}

static inline bool fm_span_equal(struct fm_span a, struct fm_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct fm_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max; /* 0: FM_BUF_BYTES_MAX of limits.h. */
    enum fm_status status;
};

#define FM_BUF_INIT(max_bytes) ((struct fm_buf){.max = (max_bytes)})

void fm_buf_free(struct fm_buf *buf);  /* Leaves an empty, usable buffer with the same `max`. */
void fm_buf_clear(struct fm_buf *buf); /* Keeps the memory, forgets content and failure. */
FM_MUST_USE enum fm_status fm_buf_status(const struct fm_buf *buf);
struct fm_span fm_buf_span(const struct fm_buf *buf);

/* Room for `len` more bytes, not yet written; NULL on failure (then the buffer is failed). The
 * length grows by `len` at once. */
uint8_t *fm_buf_extend(struct fm_buf *buf, size_t len);
void fm_buf_put(struct fm_buf *buf, const void *data, size_t len);
void fm_buf_put_span(struct fm_buf *buf, struct fm_span span);
void fm_buf_put_str(struct fm_buf *buf, const char *text); /* Without its NUL. */
void fm_buf_printf(struct fm_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fm_buf_put_u8(struct fm_buf *buf, uint8_t value);
void fm_buf_put_u16(struct fm_buf *buf, uint16_t value); /* Little endian, as all below. */
void fm_buf_put_u32(struct fm_buf *buf, uint32_t value);
void fm_buf_put_u64(struct fm_buf *buf, uint64_t value);
void fm_buf_put_uvarint(struct fm_buf *buf, uint64_t value); /* LEB128, shortest form. */
void fm_buf_align(struct fm_buf *buf, size_t alignment);     /* Zero bytes; a power of two. */

static inline uint16_t fm_load16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v; /* Little-endian hosts only: checked in bytes.c. */
}

static inline uint32_t fm_load32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t fm_load64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void fm_store16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void fm_store32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void fm_store64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* Big endian, for keys whose bytes must sort. */
static inline void fm_store64_be(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint64_t fm_load64_be(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

/* A reader over a span. Each take fails with FM_MALFORMED, moving nothing, when too little is
 * left or (uvarint) the form is not the shortest. */
struct fm_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct fm_cursor fm_cursor(struct fm_span span)
{
    /* No offset, not even 0, is added to NULL. */
    return (struct fm_cursor){.at = span.data,
                              .end = span.len != 0 ? span.data + span.len : span.data};
}

static inline size_t fm_cursor_left(const struct fm_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

FM_MUST_USE enum fm_status fm_take_bytes(struct fm_cursor *cursor, size_t len, struct fm_span *out);
FM_MUST_USE enum fm_status fm_take_u8(struct fm_cursor *cursor, uint8_t *out);
FM_MUST_USE enum fm_status fm_take_u16(struct fm_cursor *cursor, uint16_t *out);
FM_MUST_USE enum fm_status fm_take_u32(struct fm_cursor *cursor, uint32_t *out);
FM_MUST_USE enum fm_status fm_take_u64(struct fm_cursor *cursor, uint64_t *out);
FM_MUST_USE enum fm_status fm_take_uvarint(struct fm_cursor *cursor, uint64_t *out);

/* Lower-case hex with a final NUL; `out` has 2 * len + 1 bytes. */
void fm_hex(const void *data, size_t len, char *out);
/* FM_MALFORMED unless `text` is exactly 2 * len hex digits (either case). */
FM_MUST_USE enum fm_status fm_unhex(const char *text, void *out, size_t len);

/* A malloc'ed NUL-terminated copy, NULL when out of memory. */
char *fm_strdup_span(struct fm_span span);
/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool fm_utf8_valid(struct fm_span span);

#endif
