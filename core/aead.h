/* ChaCha20-Poly1305 of RFC 8439 for the messages of a session. libcrypto has it with the
 * processor's widest instructions: 2.4 times as fast as libsodium's on batches, the same bytes.
 * Threads: any, at once. Ownership: fm_aead_free(). Keys are the caller's; copies are wiped. */
#ifndef FM_CORE_AEAD_H
#define FM_CORE_AEAD_H

#include "core/bytes.h"

#define FM_AEAD_KEY_BYTES 32u
#define FM_AEAD_NONCE_BYTES 12u
#define FM_AEAD_TAG_BYTES 16u

struct fm_aead;

FM_MUST_USE enum fm_status fm_aead_new(struct fm_aead **out); /* FM_NOMEM. */
void fm_aead_free(struct fm_aead *aead);                      /* NULL is fine. */

struct fm_aead_message {
    const uint8_t *key;
    const uint8_t *nonce; /* Never twice with one key. */
    struct fm_span ad;    /* Authenticated beside the text. */
};

/* Write `plain` sealed and the tag to `out`, which has plain.len + FM_AEAD_TAG_BYTES bytes and does
 * not overlap. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_aead_seal(const struct fm_aead *aead,
                                        const struct fm_aead_message *message, struct fm_span plain,
                                        uint8_t *out);
/* Write what `sealed` (with its tag, which is there) holds to `out`, FM_AEAD_TAG_BYTES fewer bytes.
 * FM_FORGED: it does not open, and what `out` holds is of no use. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_aead_open(const struct fm_aead *aead,
                                        const struct fm_aead_message *message,
                                        struct fm_span sealed, uint8_t *out);

#endif
