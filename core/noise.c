#include "core/noise.h"

#include "core/assert.h"

#include <sodium.h>

#define HASH_BYTES 64u
#define BLOCK_BYTES 128u /* Of BLAKE2b, for HMAC. */
#define TAG_BYTES crypto_aead_chacha20poly1305_ietf_ABYTES
#define MESSAGE_BYTES_MAX 65535u /* Section 3. */
#define MESSAGES_MAX 3u
#define TOKENS_MAX 4u

enum token { TOKEN_NONE, TOKEN_E, TOKEN_S, TOKEN_EE, TOKEN_ES, TOKEN_SE, TOKEN_SS, TOKEN_PSK };

struct pattern {
    const char *name;
    unsigned message_count;
    bool has_psk;
    bool knows_responder; /* Pre-message "<- s". */
    enum token messages[MESSAGES_MAX][TOKENS_MAX];
};

/* Sections 7.5, 9.4 and 18.1. The initiator writes messages 0 and 2. */
static const struct pattern patterns[] = {
    [FM_NOISE_XX] = {"Noise_XX_25519_ChaChaPoly_BLAKE2b",
                     3,
                     false,
                     false,
                     {{TOKEN_E}, {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES}, {TOKEN_S, TOKEN_SE}}},
    [FM_NOISE_IKPSK2] = {"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
                         2,
                         true,
                         true,
                         {{TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS},
                          {TOKEN_E, TOKEN_EE, TOKEN_SE, TOKEN_PSK}}},
    [FM_NOISE_XXPSK0] = {"Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b",
                         3,
                         true,
                         false,
                         {{TOKEN_PSK, TOKEN_E},
                          {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES},
                          {TOKEN_S, TOKEN_SE}}},
};

struct fm_noise {
    const struct pattern *pattern;
    bool initiator;
    bool has_failed;
    bool is_split;
    unsigned next; /* Index of the message to come. */
    const struct fm_key *key;
    struct fm_key *ephemeral;
    struct fm_public_key peer;
    struct fm_public_key peer_ephemeral;
    bool has_peer;
    bool has_key; /* Of the cipher. */
    uint64_t nonce;
    uint8_t cipher_key[32];
    uint8_t chaining_key[HASH_BYTES];
    uint8_t hash[HASH_BYTES];
    uint8_t psk[32];
};

/* RFC 2104 with a key of exactly one hash. */
static void hmac(const uint8_t key[HASH_BYTES], struct fm_span a, struct fm_span b,
                 uint8_t out[HASH_BYTES])
{
    crypto_generichash_state state;
    uint8_t pad[BLOCK_BYTES];
    uint8_t inner[HASH_BYTES];

    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < HASH_BYTES; i++)
        pad[i] ^= key[i];
    (void)crypto_generichash_init(&state, NULL, 0, HASH_BYTES); /* Fails for bad lengths only. */
    (void)crypto_generichash_update(&state, pad, sizeof pad);
    (void)crypto_generichash_update(&state, a.data, a.len);
    (void)crypto_generichash_update(&state, b.data, b.len);
    (void)crypto_generichash_final(&state, inner, sizeof inner);

    for (size_t i = 0; i < BLOCK_BYTES; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    (void)crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    (void)crypto_generichash_update(&state, pad, sizeof pad);
    (void)crypto_generichash_update(&state, inner, sizeof inner);
    (void)crypto_generichash_final(&state, out, HASH_BYTES);
    sodium_memzero(&state, sizeof state);
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(inner, sizeof inner);
}

/* Section 4.3. `out[0]` may be the chaining key itself. */
static void hkdf(const uint8_t chaining_key[HASH_BYTES], struct fm_span input, uint8_t *const out[],
                 size_t count)
{
    uint8_t secret[HASH_BYTES];
    struct fm_span before = fm_span(NULL, 0);

    fm_assert(count == 2 || count == 3);
    hmac(chaining_key, input, fm_span(NULL, 0), secret);
    for (size_t i = 0; i < count; i++) {
        uint8_t number = (uint8_t)(i + 1);
        hmac(secret, before, fm_span(&number, 1), out[i]);
        before = fm_span(out[i], HASH_BYTES);
    }
    sodium_memzero(secret, sizeof secret);
}

static void mix_hash(struct fm_noise *noise, struct fm_span data)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    (void)crypto_generichash_update(&state, noise->hash, HASH_BYTES);
    (void)crypto_generichash_update(&state, data.data, data.len);
    (void)crypto_generichash_final(&state, noise->hash, HASH_BYTES);
}

static void set_cipher_key(struct fm_noise *noise, uint8_t material[HASH_BYTES])
{
    memcpy(noise->cipher_key, material, sizeof noise->cipher_key);
    sodium_memzero(material, HASH_BYTES);
    noise->has_key = true;
    noise->nonce = 0;
}

static void mix_key(struct fm_noise *noise, struct fm_span input)
{
    uint8_t material[HASH_BYTES];

    hkdf(noise->chaining_key, input, (uint8_t *[]){noise->chaining_key, material}, 2);
    set_cipher_key(noise, material);
}

static void mix_psk(struct fm_noise *noise)
{
    uint8_t hash[HASH_BYTES];
    uint8_t material[HASH_BYTES];

    hkdf(noise->chaining_key, fm_span(noise->psk, sizeof noise->psk),
         (uint8_t *[]){noise->chaining_key, hash, material}, 3);
    mix_hash(noise, fm_span(hash, sizeof hash));
    set_cipher_key(noise, material);
    sodium_memzero(hash, sizeof hash);
}

/* A public ephemeral: beside a psk it goes into the key too (section 9.2). */
static void mix_ephemeral(struct fm_noise *noise, const struct fm_public_key *key)
{
    struct fm_span bytes = fm_span(key->bytes, sizeof key->bytes);

    mix_hash(noise, bytes);
    if (noise->pattern->has_psk)
        mix_key(noise, bytes);
}

/* The letters of a token name the initiator's key, then the responder's. */
static enum fm_status mix_agreement(struct fm_noise *noise, enum token token)
{
    bool own_static = token == TOKEN_SS || token == (noise->initiator ? TOKEN_SE : TOKEN_ES);
    bool peer_static = token == TOKEN_SS || token == (noise->initiator ? TOKEN_ES : TOKEN_SE);
    uint8_t secret[32];

    if (peer_static)
        fm_assert(noise->has_peer);
    enum fm_status status =
        fm_key_agree(own_static ? noise->key : noise->ephemeral,
                     peer_static ? &noise->peer : &noise->peer_ephemeral, secret);
    if (status == FM_OK)
        mix_key(noise, fm_span(secret, sizeof secret));
    sodium_memzero(secret, sizeof secret);
    return status;
}

static void make_nonce(uint64_t counter, uint8_t out[12])
{
    memset(out, 0, 4);
    fm_store64(out + 4, counter);
}

static enum fm_status encrypt_and_hash(struct fm_noise *noise, struct fm_span plain,
                                       struct fm_buf *out)
{
    uint8_t nonce[12];
    size_t len = plain.len + (noise->has_key ? TAG_BYTES : 0);
    uint8_t *at = fm_buf_extend(out, len);

    if (at == NULL)
        return fm_buf_status(out);
    if (noise->has_key) {
        make_nonce(noise->nonce++, nonce);
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(at, NULL, plain.data, plain.len,
                                                        noise->hash, HASH_BYTES, NULL, nonce,
                                                        noise->cipher_key); /* Always 0. */
    } else if (plain.len != 0) {
        memcpy(at, plain.data, plain.len);
    }
    mix_hash(noise, fm_span(at, len));
    return FM_OK;
}

static enum fm_status decrypt_and_hash(struct fm_noise *noise, struct fm_span sealed,
                                       struct fm_buf *plain)
{
    uint8_t nonce[12];
    size_t tag = noise->has_key ? TAG_BYTES : 0;

    if (sealed.len < tag)
        return FM_FORGED;
    uint8_t *at = fm_buf_extend(plain, sealed.len - tag);
    if (at == NULL)
        return fm_buf_status(plain);
    if (noise->has_key) {
        make_nonce(noise->nonce++, nonce);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(at, NULL, NULL, sealed.data, sealed.len,
                                                      noise->hash, HASH_BYTES, nonce,
                                                      noise->cipher_key) != 0)
            return FM_FORGED;
    } else if (sealed.len != 0) {
        memcpy(at, sealed.data, sealed.len);
    }
    mix_hash(noise, sealed);
    return FM_OK;
}

static enum fm_status write_token(struct fm_noise *noise, enum token token, struct fm_buf *out)
{
    const struct fm_public_key *key;

    switch (token) {
    case TOKEN_NONE:
        return FM_OK;
    case TOKEN_E:
        key = fm_key_public(noise->ephemeral);
        fm_buf_put(out, key->bytes, sizeof key->bytes);
        mix_ephemeral(noise, key);
        return fm_buf_status(out);
    case TOKEN_S:
        key = fm_key_public(noise->key);
        return encrypt_and_hash(noise, fm_span(key->bytes, sizeof key->bytes), out);
    case TOKEN_PSK:
        mix_psk(noise);
        return FM_OK;
    default:
        return mix_agreement(noise, token);
    }
}

static enum fm_status read_ephemeral(struct fm_noise *noise, struct fm_cursor *cursor)
{
    struct fm_span bytes;

    if (fm_take_bytes(cursor, sizeof noise->peer_ephemeral.bytes, &bytes) != FM_OK)
        return FM_FORGED;
    memcpy(noise->peer_ephemeral.bytes, bytes.data, bytes.len);
    mix_ephemeral(noise, &noise->peer_ephemeral);
    return FM_OK;
}

static enum fm_status read_static(struct fm_noise *noise, struct fm_cursor *cursor)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(sizeof noise->peer.bytes);
    struct fm_span bytes;

    fm_assert(noise->has_key); /* No pattern here sends a static key in clear. */
    if (fm_take_bytes(cursor, sizeof noise->peer.bytes + TAG_BYTES, &bytes) != FM_OK)
        return FM_FORGED;
    enum fm_status status = decrypt_and_hash(noise, bytes, &plain);
    if (status != FM_OK)
        return status;
    memcpy(noise->peer.bytes, plain.data, sizeof noise->peer.bytes);
    noise->has_peer = true;
    return FM_OK;
}

static enum fm_status read_token(struct fm_noise *noise, enum token token, struct fm_cursor *cursor)
{
    switch (token) {
    case TOKEN_NONE:
        return FM_OK;
    case TOKEN_E:
        return read_ephemeral(noise, cursor);
    case TOKEN_S:
        return read_static(noise, cursor);
    case TOKEN_PSK:
        mix_psk(noise);
        return FM_OK;
    default:
        return mix_agreement(noise, token);
    }
}

/* Section 5.3, Initialize(): a name shorter than a hash is filled up with zeros. */
static void begin(struct fm_noise *noise, struct fm_span prologue)
{
    const struct pattern *pattern = noise->pattern;
    size_t name_len = strlen(pattern->name);

    fm_assert(name_len <= HASH_BYTES);
    memset(noise->hash, 0, HASH_BYTES);
    memcpy(noise->hash, pattern->name, name_len);
    memcpy(noise->chaining_key, noise->hash, HASH_BYTES);
    mix_hash(noise, prologue);
    if (pattern->knows_responder) {
        const struct fm_public_key *key =
            noise->initiator ? &noise->peer : fm_key_public(noise->key);
        mix_hash(noise, fm_span(key->bytes, sizeof key->bytes));
    }
}

enum fm_status fm_noise_new(const struct fm_noise_options *options, struct fm_noise **out)
{
    fm_assert(options->pattern >= FM_NOISE_XX && options->pattern <= FM_NOISE_XXPSK0);
    fm_assert(options->key != NULL && fm_key_kind(options->key) == FM_KEY_SESSION);
    FM_AUTO(fm_noise_freep) struct fm_noise *noise = calloc(1, sizeof *noise);
    if (noise == NULL)
        return FM_NOMEM;
    noise->pattern = &patterns[options->pattern];
    noise->initiator = options->initiator;
    noise->key = options->key;
    if (noise->pattern->has_psk) {
        fm_assert(options->psk != NULL);
        memcpy(noise->psk, options->psk, sizeof noise->psk);
    }
    if (noise->pattern->knows_responder && noise->initiator) {
        fm_assert(options->peer != NULL);
        noise->peer = *options->peer;
        noise->has_peer = true;
    }
    enum fm_status status =
        options->ephemeral != NULL
            ? fm_key_from_secret(FM_KEY_SESSION, options->ephemeral, &noise->ephemeral)
            : fm_key_generate(FM_KEY_SESSION, &noise->ephemeral);
    if (status != FM_OK)
        return status;
    begin(noise, options->prologue);
    *out = FM_TAKE(noise);
    return FM_OK;
}

void fm_noise_free(struct fm_noise *noise)
{
    if (noise == NULL)
        return;
    fm_key_free(noise->ephemeral);
    sodium_memzero(noise, sizeof *noise);
    free(noise);
}

/* A failed handshake stays failed, and forgets whom it was with. */
static enum fm_status fail(struct fm_noise *noise, enum fm_status status)
{
    noise->has_failed = true;
    noise->has_peer = false;
    return status;
}

enum fm_status fm_noise_write(struct fm_noise *noise, struct fm_span payload, struct fm_buf *out)
{
    if (noise->has_failed)
        return FM_FORGED;
    fm_assert(fm_noise_my_turn(noise));
    const enum token *tokens = noise->pattern->messages[noise->next];
    size_t start = out->len;
    enum fm_status status = payload.len <= MESSAGE_BYTES_MAX ? fm_buf_status(out) : FM_LIMIT;

    for (size_t i = 0; i < TOKENS_MAX && status == FM_OK; i++)
        status = write_token(noise, tokens[i], out);
    if (status == FM_OK)
        status = encrypt_and_hash(noise, payload, out);
    if (status == FM_OK && out->len - start > MESSAGE_BYTES_MAX)
        status = FM_LIMIT;
    if (status != FM_OK) {
        out->len = start;
        return fail(noise, status);
    }
    noise->next++;
    return FM_OK;
}

enum fm_status fm_noise_read(struct fm_noise *noise, struct fm_span message, struct fm_buf *payload)
{
    if (noise->has_failed)
        return FM_FORGED;
    fm_assert(!fm_noise_is_finished(noise) && !fm_noise_my_turn(noise));
    const enum token *tokens = noise->pattern->messages[noise->next];
    size_t start = payload->len;
    struct fm_cursor cursor = fm_cursor(message);
    enum fm_status status = message.len <= MESSAGE_BYTES_MAX ? FM_OK : FM_FORGED;

    for (size_t i = 0; i < TOKENS_MAX && status == FM_OK; i++)
        status = read_token(noise, tokens[i], &cursor);
    if (status == FM_OK)
        status = decrypt_and_hash(noise, fm_span(cursor.at, fm_cursor_left(&cursor)), payload);
    if (status != FM_OK) {
        payload->len = start;
        return fail(noise, status);
    }
    noise->next++;
    return FM_OK;
}

bool fm_noise_is_finished(const struct fm_noise *noise)
{
    return !noise->has_failed && noise->next == noise->pattern->message_count;
}

bool fm_noise_my_turn(const struct fm_noise *noise)
{
    return !noise->has_failed && noise->next < noise->pattern->message_count &&
           (noise->next % 2 == 0) == noise->initiator;
}

const struct fm_public_key *fm_noise_peer(const struct fm_noise *noise)
{
    return noise->has_peer ? &noise->peer : NULL;
}

void fm_noise_split(struct fm_noise *noise, struct fm_noise_keys *out)
{
    uint8_t first[HASH_BYTES];
    uint8_t second[HASH_BYTES];

    fm_assert(fm_noise_is_finished(noise));
    fm_assert(!noise->is_split);
    hkdf(noise->chaining_key, fm_span(NULL, 0), (uint8_t *[]){first, second}, 2);
    memcpy(out->send, noise->initiator ? first : second, sizeof out->send);
    memcpy(out->receive, noise->initiator ? second : first, sizeof out->receive);
    memcpy(out->hash, noise->hash, sizeof out->hash);
    noise->is_split = true;
    sodium_memzero(noise->chaining_key, sizeof noise->chaining_key);
    sodium_memzero(noise->cipher_key, sizeof noise->cipher_key);
    sodium_memzero(first, sizeof first);
    sodium_memzero(second, sizeof second);
}
