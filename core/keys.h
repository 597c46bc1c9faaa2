/* Private keys: Ed25519 for signing, X25519 for sessions, 32 random bytes for the gossip key. They
 * live in sodium_malloc memory and are never printed, logged, passed in argv or to a worker.
 * Key files: mode 0600 (anything wider is refused), one strict msgpack document (docs/wire.md, "Key
 * file"), optionally encrypted under a passphrase with Argon2id and XChaCha20-Poly1305.
 * Threads: immutable once made. fm_core_init() must have run. */
#ifndef FM_CORE_KEYS_H
#define FM_CORE_KEYS_H

#include "core/bytes.h"

enum fm_key_kind { FM_KEY_SIGN = 1, FM_KEY_SESSION = 2, FM_KEY_GOSSIP = 3 };

struct fm_public_key {
    uint8_t bytes[32];
};

struct fm_key; /* Opaque. */

/* sodium_init() and no core dumps of this process (PR_SET_DUMPABLE 0, RLIMIT_CORE 0); call once. */
FM_MUST_USE enum fm_status fm_core_init(struct fm_error *err);

FM_MUST_USE enum fm_status fm_key_generate(enum fm_key_kind kind, struct fm_key **out);
/* From 32 secret bytes (a seed for FM_KEY_SIGN); for tests' vectors and invites. */
FM_MUST_USE enum fm_status fm_key_from_secret(enum fm_key_kind kind, const uint8_t secret[32],
                                              struct fm_key **out);
void fm_key_free(struct fm_key *key); /* Wipes. */
FM_DEFINE_FREEP(fm_key_freep, struct fm_key, fm_key_free)

enum fm_key_kind fm_key_kind(const struct fm_key *key);
/* The public half; for FM_KEY_GOSSIP the key's id: SHA-256("folkmoot/v1 gossip key id\0" ||
 * key). */
const struct fm_public_key *fm_key_public(const struct fm_key *key);
bool fm_public_key_equal(const struct fm_public_key *a, const struct fm_public_key *b);

/* Ed25519 over bytes as they are. */
void fm_key_sign(const struct fm_key *key, struct fm_span message, uint8_t signature[64]);
bool fm_verify(const struct fm_public_key *key, struct fm_span message,
               const uint8_t signature[64]);
/* X25519; FM_FORGED for a point of small order. `out` is a secret: wipe it. */
FM_MUST_USE enum fm_status fm_key_agree(const struct fm_key *key, const struct fm_public_key *peer,
                                        uint8_t out[32]);
/* The raw secret as fm_key_from_secret() takes it: a gossip key is a psk. Wipe the copy. */
void fm_key_secret(const struct fm_key *key, uint8_t out[32]);

/* Seal a small secret to a session key's owner (crypto_box_seal), and open it. */
void fm_box_seal(const struct fm_public_key *to, struct fm_span plain, struct fm_buf *out);
FM_MUST_USE enum fm_status fm_box_open(const struct fm_key *key, struct fm_span sealed,
                                       struct fm_buf *out);

/* Write with mode 0600, O_EXCL (an existing file is FM_CONFLICT), fsync. Several keys may stand in
 * one file. `passphrase` may be NULL: not encrypted. */
FM_MUST_USE enum fm_status fm_keys_save(const char *path, struct fm_key *const *keys, size_t count,
                                        const char *passphrase, struct fm_error *err);
/* FM_REFUSED: readable by group or others, or a wrong passphrase. FM_NOTFOUND, FM_MALFORMED. Gives
 * the first key of each kind asked for; the caller frees them. */
FM_MUST_USE enum fm_status fm_keys_load(const char *path, const char *passphrase,
                                        const enum fm_key_kind *kinds, size_t count,
                                        struct fm_key **out, struct fm_error *err);

/* Random bytes of the operating system. Protocol cores take randomness as an input instead. */
void fm_random(void *out, size_t len);
/* Overwrite a secret. */
void fm_wipe(void *data, size_t len);
/* Are these secrets the same? In a time that depends on `len` alone. */
bool fm_secret_equal(const void *a, const void *b, size_t len);

#endif
