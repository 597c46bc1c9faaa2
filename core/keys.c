#include "core/keys.h"

#include "core/assert.h"
#include "core/hash.h"

#include <errno.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef __has_feature /* clang's way to say what GCC says with __SANITIZE_ADDRESS__. */
#define __has_feature(name) 0
#endif

struct fm_key {
    enum fm_key_kind kind;
    struct fm_public_key public;
    uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* Ed25519: seed and public key; else 32 bytes. */
};

_Static_assert(crypto_sign_SEEDBYTES == 32, "a signing secret is 32 bytes");
_Static_assert(crypto_box_SECRETKEYBYTES == 32, "a session secret is 32 bytes");

enum fm_status fm_core_init(struct fm_error *err)
{
    const struct rlimit none = {0, 0};

    if (sodium_init() < 0)
        return fm_fail(err, FM_INTERNAL, "libsodium does not start");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return fm_fail_errno(err, FM_INTERNAL, errno, "switch core dumps off");
        /* LeakSanitizer attaches to its own process at exit, which this would forbid. */
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fm_fail_errno(err, FM_INTERNAL, errno, "forbid looking into this process");
#endif
    return FM_OK;
}

static void gossip_key_id(const uint8_t secret[32], struct fm_public_key *out)
{
    static const char label[] = "folkmoot/v1 gossip key id"; /* Hashed with its NUL. */
    const struct fm_span spans[] = {fm_span(label, sizeof label), fm_span(secret, 32)};
    struct fm_hash hash;

    fm_sha256(&hash, spans, 2);
    memcpy(out->bytes, hash.bytes, sizeof out->bytes);
}

enum fm_status fm_key_from_secret(enum fm_key_kind kind, const uint8_t secret[32],
                                  struct fm_key **out)
{
    struct fm_key *key = sodium_malloc(sizeof *key);

    if (key == NULL)
        return FM_NOMEM;
    memset(key, 0, sizeof *key);
    key->kind = kind;
    switch (kind) {
    case FM_KEY_SIGN:
        (void)crypto_sign_seed_keypair(key->public.bytes, key->secret, secret);
        break;
    case FM_KEY_SESSION:
        memcpy(key->secret, secret, 32);
        (void)crypto_scalarmult_base(key->public.bytes, key->secret);
        break;
    case FM_KEY_GOSSIP:
        memcpy(key->secret, secret, 32);
        gossip_key_id(secret, &key->public);
        break;
    default:
        sodium_free(key);
        return FM_INVALID;
    }
    (void)sodium_mprotect_readonly(key); /* An extra guard: not every system has it. */
    *out = key;
    return FM_OK;
}

enum fm_status fm_key_generate(enum fm_key_kind kind, struct fm_key **out)
{
    uint8_t secret[32];

    fm_random(secret, sizeof secret);
    enum fm_status status = fm_key_from_secret(kind, secret, out);
    fm_wipe(secret, sizeof secret);
    return status;
}

void fm_key_free(struct fm_key *key)
{
    sodium_free(key); /* Wipes; NULL is fine. */
}

enum fm_key_kind fm_key_kind(const struct fm_key *key)
{
    return key->kind;
}

const struct fm_public_key *fm_key_public(const struct fm_key *key)
{
    return &key->public;
}

bool fm_public_key_equal(const struct fm_public_key *a, const struct fm_public_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void fm_key_sign(const struct fm_key *key, struct fm_span message, uint8_t signature[64])
{
    fm_assert(key->kind == FM_KEY_SIGN);
    (void)crypto_sign_detached(signature, NULL, message.data, message.len, key->secret);
}

bool fm_verify(const struct fm_public_key *key, struct fm_span message, const uint8_t signature[64])
{
    return crypto_sign_verify_detached(signature, message.data, message.len, key->bytes) == 0;
}

enum fm_status fm_key_agree(const struct fm_key *key, const struct fm_public_key *peer,
                            uint8_t out[32])
{
    uint8_t shared[32];

    fm_assert(key->kind == FM_KEY_SESSION);
    /* libsodium refuses a result of zeros, which is what points of small order give. */
    if (crypto_scalarmult(shared, key->secret, peer->bytes) != 0) {
        fm_wipe(shared, sizeof shared);
        return FM_FORGED;
    }
    memcpy(out, shared, sizeof shared);
    fm_wipe(shared, sizeof shared);
    return FM_OK;
}

void fm_key_secret(const struct fm_key *key, uint8_t out[32])
{
    memcpy(out, key->secret, 32);
}

void fm_box_seal(const struct fm_public_key *to, struct fm_span plain, struct fm_buf *out)
{
    uint8_t *at = fm_buf_extend(out, plain.len + crypto_box_SEALBYTES);

    if (at != NULL && crypto_box_seal(at, plain.data, plain.len, to->bytes) != 0)
        out->status = FM_INVALID; /* `to` is a point of small order: nobody's key. */
}

enum fm_status fm_box_open(const struct fm_key *key, struct fm_span sealed, struct fm_buf *out)
{
    fm_assert(key->kind == FM_KEY_SESSION);
    if (sealed.len < crypto_box_SEALBYTES)
        return FM_MALFORMED;
    size_t before = out->len;
    uint8_t *at = fm_buf_extend(out, sealed.len - crypto_box_SEALBYTES);
    if (at == NULL)
        return fm_buf_status(out);
    if (crypto_box_seal_open(at, sealed.data, sealed.len, key->public.bytes, key->secret) != 0) {
        out->len = before;
        return FM_FORGED;
    }
    return FM_OK;
}

void fm_random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

void fm_wipe(void *data, size_t len)
{
    sodium_memzero(data, len);
}

bool fm_secret_equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}
