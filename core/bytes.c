#include "core/bytes.h"

#include "core/assert.h"
#include "core/limits.h"

#include <stdarg.h>
#include <stdio.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-endian loads assume this");

void fm_buf_free(struct fm_buf *buf)
{
    free(buf->data);
    *buf = FM_BUF_INIT(buf->max);
}

void fm_buf_clear(struct fm_buf *buf)
{
    buf->len = 0;
    buf->status = FM_OK;
}

enum fm_status fm_buf_status(const struct fm_buf *buf)
{
    return buf->status;
}

struct fm_span fm_buf_span(const struct fm_buf *buf)
{
    return fm_span(buf->data, buf->len);
}

static bool grow(struct fm_buf *buf, size_t len)
{
    size_t max = buf->max != 0 ? buf->max : FM_BUF_BYTES_MAX;
    if (buf->status != FM_OK)
        return false;
    if (len > max || buf->len > max - len) {
        buf->status = FM_LIMIT;
        return false;
    }
    size_t need = buf->len + len;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap < 64 ? 64 : buf->cap * 2;
    if (cap < need)
        cap = need;
    if (cap > max)
        cap = max;
    uint8_t *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->status = FM_NOMEM;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

uint8_t *fm_buf_extend(struct fm_buf *buf, size_t len)
{
    if (!grow(buf, len == 0 ? 1 : len))
        return NULL;
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    fm_assert(buf->len <= buf->cap);
    return at;
}

void fm_buf_put(struct fm_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    uint8_t *at = fm_buf_extend(buf, len);
    if (at != NULL)
        memcpy(at, data, len);
}

void fm_buf_put_span(struct fm_buf *buf, struct fm_span span)
{
    fm_buf_put(buf, span.data, span.len);
}

void fm_buf_put_str(struct fm_buf *buf, const char *text)
{
    fm_buf_put(buf, text, strlen(text));
}

void fm_buf_printf(struct fm_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->status = FM_INTERNAL;
        return;
    }
    /* vsnprintf wants room for its NUL; the length gives it back. */
    uint8_t *at = fm_buf_extend(buf, (size_t)len + 1);
    if (at == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf((char *)at, (size_t)len + 1, format, args);
    va_end(args);
    buf->len--;
}

void fm_buf_put_u8(struct fm_buf *buf, uint8_t value)
{
    fm_buf_put(buf, &value, sizeof value);
}

void fm_buf_put_u16(struct fm_buf *buf, uint16_t value)
{
    fm_buf_put(buf, &value, sizeof value);
}

void fm_buf_put_u32(struct fm_buf *buf, uint32_t value)
{
    fm_buf_put(buf, &value, sizeof value);
}

void fm_buf_put_u64(struct fm_buf *buf, uint64_t value)
{
    fm_buf_put(buf, &value, sizeof value);
}

void fm_buf_put_uvarint(struct fm_buf *buf, uint64_t value)
{
    uint8_t bytes[10];
    size_t len = 0;
    while (value >= 0x80) {
        bytes[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (uint8_t)value;
    fm_buf_put(buf, bytes, len);
}

void fm_buf_align(struct fm_buf *buf, size_t alignment)
{
    fm_assert(alignment != 0 && (alignment & (alignment - 1)) == 0);
    size_t pad = (alignment - (buf->len & (alignment - 1))) & (alignment - 1);
    if (pad == 0)
        return;
    uint8_t *at = fm_buf_extend(buf, pad);
    if (at != NULL)
        memset(at, 0, pad);
}

enum fm_status fm_take_bytes(struct fm_cursor *cursor, size_t len, struct fm_span *out)
{
    if (fm_cursor_left(cursor) < len)
        return FM_MALFORMED;
    *out = fm_span(cursor->at, len);
    cursor->at += len;
    return FM_OK;
}

static enum fm_status take_fixed(struct fm_cursor *cursor, void *out, size_t len)
{
    if (fm_cursor_left(cursor) < len)
        return FM_MALFORMED;
    memcpy(out, cursor->at, len);
    cursor->at += len;
    return FM_OK;
}

enum fm_status fm_take_u8(struct fm_cursor *cursor, uint8_t *out)
{
    return take_fixed(cursor, out, sizeof *out);
}

enum fm_status fm_take_u16(struct fm_cursor *cursor, uint16_t *out)
{
    return take_fixed(cursor, out, sizeof *out);
}

enum fm_status fm_take_u32(struct fm_cursor *cursor, uint32_t *out)
{
    return take_fixed(cursor, out, sizeof *out);
}

enum fm_status fm_take_u64(struct fm_cursor *cursor, uint64_t *out)
{
    return take_fixed(cursor, out, sizeof *out);
}

enum fm_status fm_take_uvarint(struct fm_cursor *cursor, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *at = cursor->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == cursor->end)
            return FM_MALFORMED;
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return FM_MALFORMED;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) != 0)
            continue;
        if (byte == 0 && shift != 0)
            return FM_MALFORMED; /* A shorter form exists. */
        cursor->at = at;
        *out = value;
        return FM_OK;
    }
    return FM_MALFORMED;
}

void fm_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum fm_status fm_unhex(const char *text, void *out, size_t len)
{
    uint8_t *bytes = out;
    if (strlen(text) != 2 * len)
        return FM_MALFORMED;
    for (size_t i = 0; i < len; i++)
        if (nibble(text[2 * i]) < 0 || nibble(text[2 * i + 1]) < 0)
            return FM_MALFORMED;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return FM_OK;
}

char *fm_strdup_span(struct fm_span span)
{
    char *text = malloc(span.len + 1);
    if (text == NULL)
        return NULL;
    if (span.len != 0)
        memcpy(text, span.data, span.len);
    text[span.len] = '\0';
    return text;
}

/* Length of the sequence at `s` (1..4), 0 when ill-formed; table 3-7 of the Unicode Standard. */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (left < len)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

bool fm_utf8_valid(struct fm_span span)
{
    size_t i = 0;
    while (i < span.len) {
        if (span.len - i >= 8 && (fm_load64(span.data + i) & 0x8080808080808080u) == 0) {
            i += 8;
            continue;
        }
        size_t len = utf8_sequence(span.data + i, span.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}
