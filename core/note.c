#include "core/note.h"

#include "core/assert.h"
#include "core/schema.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define KEY_ID_BYTES 4u
#define ALGORITHM_ED25519 0x01u
#define SIGNATURE_PREFIX "\xe2\x80\x94 " /* U+2014, space. */
#define SIGNATURE_BYTES (KEY_ID_BYTES + 64u)
#define SIGNATURES_MAX 64u
#define ROOT_BASE64_BYTES sodium_base64_ENCODED_LEN(FM_HASH_BYTES, sodium_base64_VARIANT_ORIGINAL)
#define SIGNATURE_BASE64_BYTES                                                                     \
    sodium_base64_ENCODED_LEN(SIGNATURE_BYTES, sodium_base64_VARIANT_ORIGINAL)

/* ---- Signed notes -------------------------------------------------------------------------- */

static void key_id(const char *name, const struct fm_public_key *key, uint8_t out[KEY_ID_BYTES])
{
    static const uint8_t between[] = {'\n', ALGORITHM_ED25519};
    const struct fm_span spans[] = {fm_span_str(name), fm_span(between, sizeof between),
                                    fm_span(key->bytes, sizeof key->bytes)};
    struct fm_hash hash;

    fm_sha256(&hash, spans, 3);
    memcpy(out, hash.bytes, KEY_ID_BYTES);
}

/* A name has no spaces and no plus sign (c2sp.org/signed-note). */
static bool name_is_valid(struct fm_span name)
{
    if (name.len == 0 || !fm_utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] == 0x7f || name.data[i] == '+')
            return false;
    }
    return true;
}

/* Well-formed UTF-8 whose only control characters are line ends, the last of them at its end. */
static bool text_is_valid(struct fm_span text)
{
    if (text.len == 0 || text.data[text.len - 1] != '\n' || !fm_utf8_valid(text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 && text.data[i] != '\n')
            return false;
    }
    return true;
}

enum fm_status fm_note_seal(struct fm_span text, const char *name, const struct fm_key *key,
                            struct fm_buf *out)
{
    uint8_t signature[SIGNATURE_BYTES];
    char base64[SIGNATURE_BASE64_BYTES];

    if (!text_is_valid(text) || !name_is_valid(fm_span_str(name)) ||
        fm_key_kind(key) != FM_KEY_SIGN)
        return FM_INVALID;
    key_id(name, fm_key_public(key), signature);
    fm_key_sign(key, text, signature + KEY_ID_BYTES);
    (void)sodium_bin2base64(base64, sizeof base64, signature, sizeof signature,
                            sodium_base64_VARIANT_ORIGINAL);
    fm_buf_put_span(out, text);
    fm_buf_put_str(out, "\n" SIGNATURE_PREFIX);
    fm_buf_put_str(out, name);
    fm_buf_put_u8(out, ' ');
    fm_buf_put_str(out, base64);
    fm_buf_put_u8(out, '\n');
    return fm_buf_status(out);
}

/* The line at the cursor without its end; false when there is none that ends. */
static bool take_line(struct fm_cursor *cursor, struct fm_span *out)
{
    size_t left = fm_cursor_left(cursor);
    const uint8_t *end = left > 0 ? memchr(cursor->at, '\n', left) : NULL;

    if (end == NULL)
        return false;
    *out = fm_span(cursor->at, (size_t)(end - cursor->at));
    cursor->at = end + 1;
    return true;
}

static bool starts_with(struct fm_span span, const char *prefix)
{
    size_t len = strlen(prefix);

    return span.len >= len && memcmp(span.data, prefix, len) == 0;
}

static struct fm_span skip(struct fm_span span, size_t len)
{
    fm_assert(len <= span.len);
    return fm_span(span.data + len, span.len - len);
}

/* Standard base64 in its one form: `len` bytes, with padding. */
static bool decode_base64(struct fm_span text, uint8_t *out, size_t max, size_t *len)
{
    const char *end = NULL;
    const char *begin = (const char *)text.data;

    /* libsodium 1.0.18 takes 0xaf for '/' (0x2f). */
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] > 0x7f)
            return false;
    }
    if (sodium_base642bin(out, max, begin, text.len, NULL, len, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    return end == begin + text.len;
}

struct signature_line {
    struct fm_span name;
    size_t len; /* Of `bytes`: other algorithms have other lengths, and are not looked into. */
    uint8_t bytes[FM_NOTE_BYTES_MAX / 4 * 3];
};

static enum fm_status parse_signature(struct fm_span line, struct signature_line *out)
{
    if (!starts_with(line, SIGNATURE_PREFIX))
        return FM_MALFORMED;
    line = skip(line, sizeof SIGNATURE_PREFIX - 1);
    const uint8_t *space = line.len > 0 ? memchr(line.data, ' ', line.len) : NULL;
    if (space == NULL)
        return FM_MALFORMED;
    out->name = fm_span(line.data, (size_t)(space - line.data));
    line = skip(line, out->name.len + 1);
    if (!name_is_valid(out->name) ||
        !decode_base64(line, out->bytes, sizeof out->bytes, &out->len) || out->len <= KEY_ID_BYTES)
        return FM_MALFORMED;
    return FM_OK;
}

/* The text ends before the last empty line; signatures follow it. */
static enum fm_status split_note(struct fm_span note, struct fm_span *text,
                                 struct fm_cursor *signatures)
{
    for (size_t i = note.len; i >= 2; i--) {
        if (note.data[i - 1] != '\n' || note.data[i - 2] != '\n')
            continue;
        *text = fm_span(note.data, i - 1);
        *signatures = fm_cursor(skip(note, i));
        return text_is_valid(*text) && fm_cursor_left(signatures) > 0 ? FM_OK : FM_MALFORMED;
    }
    return FM_MALFORMED;
}

enum fm_status fm_note_open(struct fm_span note, const char *name, const struct fm_public_key *key,
                            struct fm_span *out)
{
    struct fm_cursor signatures;
    struct fm_span text;
    struct fm_span line;
    struct signature_line signature;
    uint8_t id[KEY_ID_BYTES];
    bool verified = false;

    enum fm_status status = split_note(note, &text, &signatures);
    if (status != FM_OK)
        return status;
    key_id(name, key, id);
    for (unsigned i = 0; fm_cursor_left(&signatures) > 0; i++) {
        if (i == SIGNATURES_MAX || !take_line(&signatures, &line))
            return FM_MALFORMED;
        status = parse_signature(line, &signature);
        if (status != FM_OK)
            return status;
        if (!fm_span_equal(signature.name, fm_span_str(name)) ||
            memcmp(signature.bytes, id, KEY_ID_BYTES) != 0)
            continue; /* Another's. */
        if (signature.len != SIGNATURE_BYTES ||
            !fm_verify(key, text, signature.bytes + KEY_ID_BYTES))
            return FM_FORGED;
        verified = true;
    }
    if (!verified)
        return FM_FORGED;
    *out = text;
    return FM_OK;
}

/* ---- Origins ------------------------------------------------------------------------------- */

void fm_head_origin(const struct fm_mesh_id *mesh, const char *domain, const char *table,
                    uint32_t epoch, char out[FM_ORIGIN_MAX])
{
    char hex[2 * sizeof mesh->bytes + 1];

    fm_hex(mesh->bytes, sizeof mesh->bytes, hex);
    int len = snprintf(out, FM_ORIGIN_MAX, "folkmoot/%s/%s/%s/%" PRIu32, hex, domain, table, epoch);
    fm_assert(len > 0 && len < (int)FM_ORIGIN_MAX);
}

/* Decimal digits in their one form. */
static enum fm_status parse_decimal(struct fm_span text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0 || (text.len > 1 && text.data[0] == '0'))
        return FM_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return FM_MALFORMED;
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (value > (max - digit) / 10)
            return FM_MALFORMED;
        value = value * 10 + digit;
    }
    *out = value;
    return FM_OK;
}

/* The text up to the next slash, into `out` of `size` bytes with a NUL. */
static bool take_part(struct fm_cursor *cursor, char *out, size_t size)
{
    size_t left = fm_cursor_left(cursor);
    const uint8_t *slash = left > 0 ? memchr(cursor->at, '/', left) : NULL;

    if (slash == NULL || (size_t)(slash - cursor->at) >= size)
        return false;
    size_t len = (size_t)(slash - cursor->at);
    memcpy(out, cursor->at, len);
    out[len] = '\0';
    cursor->at = slash + 1;
    return true;
}

enum fm_status fm_head_origin_parse(const char *origin, struct fm_mesh_id *mesh, char *domain,
                                    char *table, uint32_t *epoch)
{
    struct fm_cursor cursor = fm_cursor(fm_span_str(origin));
    char prefix[9];
    char hex[2 * sizeof mesh->bytes + 1];
    char domain_part[FM_NAME_MAX + 1];
    char table_part[FM_NAME_MAX + 1];
    char again[FM_ORIGIN_MAX];
    struct fm_mesh_id id;
    uint64_t number = 0;

    if (!take_part(&cursor, prefix, sizeof prefix) || strcmp(prefix, "folkmoot") != 0 ||
        !take_part(&cursor, hex, sizeof hex) ||
        !take_part(&cursor, domain_part, sizeof domain_part) ||
        !take_part(&cursor, table_part, sizeof table_part))
        return FM_MALFORMED;
    if (fm_unhex(hex, id.bytes, sizeof id.bytes) != FM_OK || !fm_domain_name_valid(domain_part) ||
        !fm_table_name_valid(table_part))
        return FM_MALFORMED;
    if (parse_decimal(fm_span(cursor.at, fm_cursor_left(&cursor)), UINT32_MAX, &number) != FM_OK ||
        number < 1)
        return FM_MALFORMED;
    fm_head_origin(&id, domain_part, table_part, (uint32_t)number, again);
    if (strcmp(again, origin) != 0) /* Hex digits in capitals would be a second form. */
        return FM_MALFORMED;
    *mesh = id;
    memcpy(domain, domain_part, sizeof domain_part);
    memcpy(table, table_part, sizeof table_part);
    *epoch = (uint32_t)number;
    return FM_OK;
}

/* ---- Heads --------------------------------------------------------------------------------- */

enum fm_status fm_head_seal(const struct fm_head *head, const struct fm_key *log_key,
                            struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(FM_NOTE_BYTES_MAX);
    char root[ROOT_BASE64_BYTES];

    if (head->time < 0 || !name_is_valid(fm_span_str(head->origin)))
        return FM_INVALID;
    (void)sodium_bin2base64(root, sizeof root, head->root.bytes, sizeof head->root.bytes,
                            sodium_base64_VARIANT_ORIGINAL);
    fm_buf_printf(&text, "%s\n%" PRIu64 "\n%s\ntime %" PRId64 "\n", head->origin, head->size, root,
                  head->time);
    enum fm_status status = fm_buf_status(&text);
    if (status != FM_OK)
        return status;
    return fm_note_seal(fm_buf_span(&text), head->origin, log_key, out);
}

static enum fm_status parse_head(struct fm_span text, struct fm_head *out)
{
    struct fm_cursor cursor = fm_cursor(text);
    struct fm_span line;
    uint64_t time = 0;
    size_t root_len = 0;

    if (!take_line(&cursor, &line) || !take_line(&cursor, &line) ||
        parse_decimal(line, UINT64_MAX, &out->size) != FM_OK)
        return FM_MALFORMED;
    if (!take_line(&cursor, &line) ||
        !decode_base64(line, out->root.bytes, sizeof out->root.bytes, &root_len) ||
        root_len != sizeof out->root.bytes)
        return FM_MALFORMED;
    if (!take_line(&cursor, &line) || !starts_with(line, "time ") ||
        parse_decimal(skip(line, 5), INT64_MAX, &time) != FM_OK)
        return FM_MALFORMED;
    /* Extension lines of later releases may follow; they are signed, and may not be empty. */
    while (fm_cursor_left(&cursor) > 0) {
        if (!take_line(&cursor, &line) || line.len == 0)
            return FM_MALFORMED;
    }
    out->time = (fm_us)time;
    return FM_OK;
}

enum fm_status fm_head_peek_origin(struct fm_span note, char out[FM_ORIGIN_MAX])
{
    struct fm_cursor cursor = fm_cursor(note);
    struct fm_span line;

    if (note.len > FM_NOTE_BYTES_MAX || !take_line(&cursor, &line) || line.len >= FM_ORIGIN_MAX ||
        !name_is_valid(line))
        return FM_MALFORMED;
    memcpy(out, line.data, line.len);
    out[line.len] = '\0';
    return FM_OK;
}

enum fm_status fm_head_open(struct fm_span note, const struct fm_public_key *log_key,
                            struct fm_head *out)
{
    struct fm_head head = {0};
    struct fm_span text;

    enum fm_status status = fm_head_peek_origin(note, head.origin);
    if (status == FM_OK)
        status = fm_note_open(note, head.origin, log_key, &text);
    if (status == FM_OK)
        status = parse_head(text, &head);
    if (status == FM_OK)
        *out = head;
    return status;
}

enum fm_status fm_head_parse(struct fm_span note, struct fm_head *out)
{
    struct fm_cursor signatures;
    struct fm_head head = {0};
    struct fm_span text;

    enum fm_status status = fm_head_peek_origin(note, head.origin);
    if (status == FM_OK)
        status = split_note(note, &text, &signatures);
    if (status == FM_OK)
        status = parse_head(text, &head);
    if (status == FM_OK)
        *out = head;
    return status;
}
