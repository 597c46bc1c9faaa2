#include "core/subject.h"

#include "core/assert.h"
#include "core/keys.h"

#include <sodium.h>

#define SEAL_LABEL "folkmoot/v1 subject seal"
#define SALT_LABEL "folkmoot/v1 subject salt"
#define ID_LABEL "folkmoot/v1 subject"
#define COMMITMENT_LABEL "folkmoot/v1 commitment" /* Of core/leaf.h. */
#define HMAC_BLOCK 64u
#define NUMBER_MAX 40u /* Digits and sign of 128 bits. */
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_Static_assert(NONCE_BYTES <= FM_HASH_BYTES, "a commitment is long enough for a nonce");
_Static_assert(FM_SEALED_EXTRA_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the tag");

/* ---- Names ----------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 u128;

static void put_number(struct fm_buf *out, u128 magnitude, bool is_negative)
{
    char digits[NUMBER_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + (int)(magnitude % 10));
        magnitude /= 10;
    } while (magnitude > 0);
    if (is_negative)
        digits[--at] = '-';
    fm_buf_put(out, digits + at, sizeof digits - at);
}

static void put_integer(struct fm_buf *out, const struct fm_type *type, const uint8_t *value)
{
    bool is_signed = type->kind <= FM_KIND_INT64 || type->kind == FM_KIND_HUGEINT;
    uint32_t width = fm_type_width(type);
    u128 bits = 0;

    memcpy(&bits, value, width);
    if (is_signed && (value[width - 1] & 0x80) != 0) {
        if (width < sizeof bits)
            bits |= ~(u128)0 << (8 * width);
        put_number(out, ~bits + 1, true);
    } else {
        put_number(out, bits, false);
    }
}

static void put_uuid(struct fm_buf *out, const uint8_t *value)
{
    static const uint8_t ends[] = {4, 6, 8, 10, 16};
    char hex[2 * 16 + 1];
    uint8_t from = 0;

    for (size_t i = 0; i < sizeof ends; from = ends[i++]) {
        fm_hex(value + from, (size_t)(ends[i] - from), hex);
        fm_buf_put_str(out, hex);
        if (ends[i] < 16)
            fm_buf_put_u8(out, '-');
    }
}

enum fm_status fm_subject_text(const struct fm_type *type, const struct fm_batch *batch,
                               const struct fm_vector_entry *vector,
                               const struct fm_dictionary *dictionary, uint32_t row,
                               struct fm_buf *out)
{
    uint8_t value[16];

    fm_assert(!fm_vector_is_null(batch, vector, row));
    if (type->kind == FM_KIND_VARCHAR) {
        fm_buf_put_span(out, fm_vector_bytes(batch, vector, dictionary, row));
        return fm_buf_status(out);
    }
    fm_vector_fixed(batch, vector, row, value);
    if (type->kind == FM_KIND_UUID) {
        put_uuid(out, value);
    } else {
        fm_assert(type->kind >= FM_KIND_INT8 && type->kind <= FM_KIND_HUGEINT);
        put_integer(out, type, value);
    }
    return fm_buf_status(out);
}

void fm_subject_id(struct fm_hash *out, const char *domain, struct fm_span text)
{
    fm_sha256(out,
              (const struct fm_span[]){
                  {(const uint8_t *)ID_LABEL, sizeof ID_LABEL}, /* With its NUL. */
                  {(const uint8_t *)domain, strlen(domain) + 1},
                  text,
              },
              3);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* HMAC-SHA-256 (RFC 2104) of some spans; `count` <= 3. */
static void hmac(struct fm_hash *out, const uint8_t key[32], const struct fm_span *spans,
                 size_t count)
{
    uint8_t pad[HMAC_BLOCK];
    struct fm_span all[4];
    struct fm_hash inner;

    fm_assert(count <= 3);
    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < 32; i++)
        pad[i] ^= key[i];
    all[0] = fm_span(pad, sizeof pad);
    for (size_t i = 0; i < count; i++)
        all[i + 1] = spans[i];
    fm_sha256(&inner, all, count + 1);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    fm_sha256(out, (const struct fm_span[]){{pad, sizeof pad}, {inner.bytes, sizeof inner.bytes}},
              2);
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(&inner, sizeof inner);
}

static void derive(uint8_t out[32], const uint8_t key[32], const char *label, const char *domain,
                   const char *table)
{
    const struct fm_span spans[] = {
        {(const uint8_t *)label, strlen(label) + 1},
        {(const uint8_t *)domain, strlen(domain) + 1},
        {(const uint8_t *)table, strlen(table)},
    };
    struct fm_hash hash;

    hmac(&hash, key, spans, 3);
    memcpy(out, hash.bytes, 32);
    sodium_memzero(&hash, sizeof hash);
}

void fm_subject_keys(struct fm_subject_keys *out, const uint8_t key[FM_SUBJECT_KEY_BYTES],
                     const char *domain, const char *table)
{
    derive(out->seal, key, SEAL_LABEL, domain, table);
    derive(out->salt, key, SALT_LABEL, domain, table);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

struct associated {
    uint8_t sequence[8];
    uint8_t commitment[FM_HASH_BYTES];
};
_Static_assert(sizeof(struct associated) == 8 + FM_HASH_BYTES, "no padding");

static struct associated associate(uint64_t sequence, const uint8_t commitment[FM_HASH_BYTES])
{
    struct associated data;

    fm_store64(data.sequence, sequence);
    memcpy(data.commitment, commitment, FM_HASH_BYTES);
    return data;
}

static void commit(const struct fm_subject_keys *keys, uint64_t sequence, struct fm_span fields,
                   uint8_t out[FM_HASH_BYTES])
{
    uint8_t number[8];
    struct fm_span message = fm_span(number, sizeof number);
    struct fm_hash salt, hash;

    fm_store64(number, sequence);
    hmac(&salt, keys->salt, &message, 1);
    fm_sha256(&hash,
              (const struct fm_span[]){
                  {(const uint8_t *)COMMITMENT_LABEL, sizeof COMMITMENT_LABEL}, /* With its NUL. */
                  {salt.bytes, sizeof salt.bytes},
                  fields,
              },
              3);
    memcpy(out, hash.bytes, FM_HASH_BYTES);
    sodium_memzero(&salt, sizeof salt);
}

void fm_subject_seal(const struct fm_subject_keys *keys, uint64_t sequence, struct fm_span fields,
                     uint8_t commitment[FM_HASH_BYTES], struct fm_buf *sealed)
{
    uint8_t *to = fm_buf_extend(sealed, fields.len + FM_SEALED_EXTRA_BYTES);
    struct associated data;

    commit(keys, sequence, fields, commitment);
    if (to == NULL)
        return;
    data = associate(sequence, commitment);
    /* Cannot fail for lengths that fit a buffer. */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(to, NULL, fields.data, fields.len,
                                                     (const uint8_t *)&data, sizeof data, NULL,
                                                     commitment, keys->seal);
}

enum fm_status fm_subject_open(const struct fm_subject_keys *keys, uint64_t sequence,
                               const uint8_t commitment[FM_HASH_BYTES], struct fm_span sealed,
                               struct fm_buf *fields)
{
    struct associated data = associate(sequence, commitment);
    size_t before = fields->len;
    uint8_t *to;

    if (sealed.len < FM_SEALED_EXTRA_BYTES)
        return FM_CORRUPT;
    to = fm_buf_extend(fields, sealed.len - FM_SEALED_EXTRA_BYTES);
    if (to == NULL)
        return fm_buf_status(fields);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(to, NULL, NULL, sealed.data, sealed.len,
                                                   (const uint8_t *)&data, sizeof data, commitment,
                                                   keys->seal) == 0)
        return FM_OK;
    fields->len = before;
    return FM_CORRUPT;
}
