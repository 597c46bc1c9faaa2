/* The one envelope for everything signed but heads (design.md section 6):
 *   signature = Ed25519("folkmoot/v1\0" || u8 type || mesh id (32) || body)
 * The body is kept as the bytes received: verify, then parse, never serialise again.
 * On the wire (docs/wire.md, "Envelope"): map {0: type, 1: body (bin), 2: array of [public key
 * (bin 32), signature (bin 64)], 1..16 of them}. Signers are distinct and sorted by key.
 * Ownership: an opened envelope borrows the bytes it was opened from. */
#ifndef FM_CORE_ENVELOPE_H
#define FM_CORE_ENVELOPE_H

#include "core/hash.h"
#include "core/keys.h"
#include "core/limits.h"

/* X(NAME, number under the signature (never reused), text) */
#define FM_ENVELOPE_MAP(X)                                                                         \
    X(CHARTER, 1, "charter")                                                                       \
    X(NODE_CERT, 2, "node certificate")                                                            \
    X(PRINCIPAL_CERT, 3, "principal certificate")                                                  \
    X(REVOCATIONS, 4, "revocations")                                                               \
    X(HEARTBEAT, 5, "heartbeat")                                                                   \
    X(MEMBER, 6, "member record")                                                                  \
    X(CONTRACT, 7, "contract")                                                                     \
    X(STATISTICS, 8, "statistics")                                                                 \
    X(POLICY, 9, "policy")                                                                         \
    X(VOTE, 10, "vote")                                                                            \
    X(REQUEST, 11, "request")                                                                      \
    X(TICKET, 12, "ticket")                                                                        \
    X(RECEIPT, 13, "receipt")                                                                      \
    X(ANSWER, 14, "answer")                                                                        \
    X(GOSSIP_KEY, 15, "gossip key")                                                                \
    X(FORK_PROOF, 16, "fork proof")                                                                \
    X(NODE_REQUEST, 17, "node request")

enum fm_envelope_type {
#define X(name, number, text) FM_ENV_##name = number,
    FM_ENVELOPE_MAP(X)
#undef X
};

struct fm_mesh_id {
    uint8_t bytes[32];
};

struct fm_signature {
    struct fm_public_key key;
    uint8_t bytes[64];
};

struct fm_envelope {
    enum fm_envelope_type type;
    struct fm_span body;  /* Borrowed. */
    struct fm_span whole; /* Borrowed: the envelope itself, for passing on as received. */
    uint32_t signature_count;
    struct fm_signature signatures[FM_AUTHORITY_KEYS_MAX];
};

const char *fm_envelope_type_text(enum fm_envelope_type type);

/* Sign `body` with each key (FM_KEY_SIGN, distinct) and append the envelope to `out`. */
FM_MUST_USE enum fm_status fm_envelope_seal(enum fm_envelope_type type,
                                            const struct fm_mesh_id *mesh, struct fm_span body,
                                            struct fm_key *const *keys, size_t key_count,
                                            struct fm_buf *out);

/* Take the outer form apart. Nothing is verified: `body` must not be parsed before
 * fm_envelope_verify() or fm_envelope_count() said so. FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_envelope_open(struct fm_span bytes, struct fm_envelope *out);

/* Exactly one signature, by `key`, of this type, for this mesh. FM_FORGED otherwise. */
FM_MUST_USE enum fm_status fm_envelope_verify(const struct fm_envelope *envelope,
                                              enum fm_envelope_type type,
                                              const struct fm_mesh_id *mesh,
                                              const struct fm_public_key *key);

/* How many distinct keys of `keys` signed it validly. */
uint32_t fm_envelope_count(const struct fm_envelope *envelope, enum fm_envelope_type type,
                           const struct fm_mesh_id *mesh, const struct fm_public_key *keys,
                           size_t key_count);

#endif
