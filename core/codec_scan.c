/* The pre-scan of strict msgpack: one pass without recursion or allocation that holds a peer's
 * bytes against the whole profile before the library sees them. A header of 5 bytes can make the
 * library reserve memory for four thousand million objects; here a count is compared with the bytes
 * that are left first. */
#include "core/codec.h"

#include "core/assert.h"
#include "core/limits.h"

struct frame {
    uint64_t items_left; /* Of a map: keys and values together. */
    uint64_t last_key;
    bool is_map;
    bool has_key; /* `last_key` holds one. */
};

struct scan {
    struct fm_cursor cursor;
    struct frame stack[FM_DOC_DEPTH_MAX];
    uint32_t depth;
    uint32_t object_count;
};

/* What one header says. */
enum token_kind { TOKEN_SCALAR, TOKEN_UINT, TOKEN_STR, TOKEN_BIN, TOKEN_ARRAY, TOKEN_MAP };

struct token {
    enum token_kind kind;
    uint64_t value; /* The integer, the length or the count. */
};

static enum fm_status take_be(struct fm_cursor *cursor, unsigned bytes, uint64_t *out)
{
    struct fm_span span;
    enum fm_status status = fm_take_bytes(cursor, bytes, &span);
    if (status != FM_OK)
        return status;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | span.data[i];
    *out = value;
    return FM_OK;
}

/* A length, count or unsigned integer of `bytes` bytes; `min` is the smallest that needs them. */
static enum fm_status take_long(struct fm_cursor *cursor, enum token_kind kind, unsigned bytes,
                                uint64_t min, struct token *out)
{
    enum fm_status status = take_be(cursor, bytes, &out->value);
    if (status != FM_OK)
        return status;
    out->kind = kind;
    return out->value >= min ? FM_OK : FM_MALFORMED;
}

/* Signed forms hold only negative numbers that no shorter form holds. */
static enum fm_status take_negative(struct fm_cursor *cursor, unsigned bytes, int64_t above,
                                    struct token *out)
{
    uint64_t raw;
    enum fm_status status = take_be(cursor, bytes, &raw);
    if (status != FM_OK)
        return status;
    unsigned shift = 64 - 8 * bytes;
    int64_t value = (int64_t)(raw << shift) >> shift;
    *out = (struct token){.kind = TOKEN_SCALAR};
    return value < above ? FM_OK : FM_MALFORMED;
}

static enum fm_status take_token(struct fm_cursor *cursor, struct token *out)
{
    uint8_t head;
    enum fm_status status = fm_take_u8(cursor, &head);
    if (status != FM_OK)
        return status;
    *out = (struct token){.kind = TOKEN_SCALAR};
    if (head <= 0x7f)
        *out = (struct token){TOKEN_UINT, head};
    else if (head <= 0x8f)
        *out = (struct token){TOKEN_MAP, head & 0x0fu};
    else if (head <= 0x9f)
        *out = (struct token){TOKEN_ARRAY, head & 0x0fu};
    else if (head <= 0xbf)
        *out = (struct token){TOKEN_STR, head & 0x1fu};
    if (head <= 0xbf || head >= 0xe0)
        return FM_OK;
    switch (head) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return FM_OK;
    case 0xc4:
        return take_long(cursor, TOKEN_BIN, 1, 0, out);
    case 0xc5:
        return take_long(cursor, TOKEN_BIN, 2, 1u << 8, out);
    case 0xc6:
        return take_long(cursor, TOKEN_BIN, 4, 1u << 16, out);
    case 0xcc:
        return take_long(cursor, TOKEN_UINT, 1, 1u << 7, out);
    case 0xcd:
        return take_long(cursor, TOKEN_UINT, 2, 1u << 8, out);
    case 0xce:
        return take_long(cursor, TOKEN_UINT, 4, 1u << 16, out);
    case 0xcf:
        return take_long(cursor, TOKEN_UINT, 8, UINT64_C(1) << 32, out);
    case 0xd0:
        return take_negative(cursor, 1, -32, out);
    case 0xd1:
        return take_negative(cursor, 2, INT8_MIN, out);
    case 0xd2:
        return take_negative(cursor, 4, INT16_MIN, out);
    case 0xd3:
        return take_negative(cursor, 8, INT32_MIN, out);
    case 0xd9:
        return take_long(cursor, TOKEN_STR, 1, 1u << 5, out);
    case 0xda:
        return take_long(cursor, TOKEN_STR, 2, 1u << 8, out);
    case 0xdb:
        return take_long(cursor, TOKEN_STR, 4, 1u << 16, out);
    case 0xdc:
        return take_long(cursor, TOKEN_ARRAY, 2, 1u << 4, out);
    case 0xdd:
        return take_long(cursor, TOKEN_ARRAY, 4, 1u << 16, out);
    case 0xde:
        return take_long(cursor, TOKEN_MAP, 2, 1u << 4, out);
    case 0xdf:
        return take_long(cursor, TOKEN_MAP, 4, 1u << 16, out);
    default: /* Floats, ext and the byte that is never used. */
        return FM_MALFORMED;
    }
}

/* In a map every other value is a key: an unsigned integer above the one before. */
static enum fm_status check_key(struct scan *scan, const struct token *token)
{
    if (scan->depth == 0)
        return FM_OK;
    struct frame *top = &scan->stack[scan->depth - 1];
    if (!top->is_map || top->items_left % 2 != 0)
        return FM_OK;
    if (token->kind != TOKEN_UINT || (top->has_key && token->value <= top->last_key))
        return FM_MALFORMED;
    top->has_key = true;
    top->last_key = token->value;
    return FM_OK;
}

static enum fm_status open_container(struct scan *scan, const struct token *token)
{
    uint64_t items = token->kind == TOKEN_MAP ? token->value * 2 : token->value;
    if (items > fm_cursor_left(&scan->cursor)) /* Each item is one byte at least. */
        return FM_MALFORMED;
    if (scan->depth == FM_DOC_DEPTH_MAX)
        return FM_LIMIT;
    scan->stack[scan->depth++] =
        (struct frame){.items_left = items, .is_map = token->kind == TOKEN_MAP};
    return FM_OK;
}

static enum fm_status take_body(struct scan *scan, const struct token *token)
{
    struct fm_span body;
    if (token->kind == TOKEN_ARRAY || token->kind == TOKEN_MAP)
        return open_container(scan, token);
    if (token->kind != TOKEN_STR && token->kind != TOKEN_BIN)
        return FM_OK;
    enum fm_status status = fm_take_bytes(&scan->cursor, (size_t)token->value, &body);
    if (status != FM_OK)
        return status;
    return token->kind == TOKEN_BIN || fm_utf8_valid(body) ? FM_OK : FM_MALFORMED;
}

static enum fm_status scan_value(struct scan *scan)
{
    struct token token;
    if (++scan->object_count > FM_DOC_OBJECTS_MAX)
        return FM_LIMIT;
    enum fm_status status = take_token(&scan->cursor, &token);
    if (status != FM_OK)
        return status;
    status = check_key(scan, &token);
    if (status != FM_OK)
        return status;
    if (scan->depth > 0)
        scan->stack[scan->depth - 1].items_left--;
    status = take_body(scan, &token);
    while (scan->depth > 0 && scan->stack[scan->depth - 1].items_left == 0)
        scan->depth--;
    return status;
}

enum fm_status fm_doc_measure(struct fm_span bytes, size_t *len)
{
    if (bytes.len == 0)
        return FM_MALFORMED;
    struct scan scan = {.cursor = fm_cursor(bytes)};
    do {
        enum fm_status status = scan_value(&scan);
        if (status != FM_OK)
            return status;
    } while (scan.depth > 0);
    size_t used = bytes.len - fm_cursor_left(&scan.cursor);
    fm_assert(used > 0);
    if (used > FM_DOC_BYTES_MAX)
        return FM_LIMIT;
    *len = used;
    return FM_OK;
}
