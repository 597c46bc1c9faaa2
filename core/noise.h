/* Noise handshakes (noiseprotocol.org, revision 34) with 25519, ChaChaPoly and BLAKE2b, from
 * libsodium's primitives: patterns XX, IKpsk2, XXpsk0. A state machine without I/O; checked with
 * the published vectors of cacophony and snow (tests/vectors/noise.txt).
 * Threads: one per handshake. */
#ifndef FM_CORE_NOISE_H
#define FM_CORE_NOISE_H

#include "core/keys.h"

enum fm_noise_pattern {
    FM_NOISE_XX = 1,     /* Principals' programs. */
    FM_NOISE_IKPSK2 = 2, /* Between nodes. */
    FM_NOISE_XXPSK0 = 3, /* A joining node that knows only a seed's address. */
};

struct fm_noise;

struct fm_noise_options {
    enum fm_noise_pattern pattern;
    bool initiator;
    struct fm_span prologue;          /* Hashed in; both sides must give the same. */
    const struct fm_key *key;         /* Own static session key; borrowed. */
    const struct fm_public_key *peer; /* Responder's key: only IKpsk2's initiator. */
    const uint8_t *psk;               /* 32 bytes for the psk patterns; copied. */
    const uint8_t *ephemeral;         /* 32 secret bytes, only in tests of vectors. */
};

FM_MUST_USE enum fm_status fm_noise_new(const struct fm_noise_options *options,
                                        struct fm_noise **out);
void fm_noise_free(struct fm_noise *noise); /* Wipes. */
FM_DEFINE_FREEP(fm_noise_freep, struct fm_noise, fm_noise_free)

/* Next message of this side, with a payload, appended to `out`; and reading the other side's.
 * FM_FORGED: it does not decrypt; the handshake is then over. Calling out of turn is asserted. */
FM_MUST_USE enum fm_status fm_noise_write(struct fm_noise *noise, struct fm_span payload,
                                          struct fm_buf *out);
FM_MUST_USE enum fm_status fm_noise_read(struct fm_noise *noise, struct fm_span message,
                                         struct fm_buf *payload);
bool fm_noise_is_finished(const struct fm_noise *noise);
bool fm_noise_my_turn(const struct fm_noise *noise);
/* The other side's static key once it is known; NULL before. */
const struct fm_public_key *fm_noise_peer(const struct fm_noise *noise);

/* What a finished handshake leaves; only session.c and tests ask. A second time is asserted: two
 * users of one key would repeat nonces. Wipe it. */
struct fm_noise_keys {
    uint8_t send[32];
    uint8_t receive[32];
    uint8_t hash[64]; /* Of the whole handshake: unique for it, not secret. */
};
void fm_noise_split(struct fm_noise *noise, struct fm_noise_keys *out);

#endif
