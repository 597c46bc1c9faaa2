/* PASETO version 4, purpose public: a JSON message signed with Ed25519, as text that fits a
 * password or an HTTP header (paseto-spec, docs/01-Protocol-Versions/Version4.md, "Sign" and
 * "Verify"; Common.md, "Authentication Padding"):
 *   "v4.public." || base64url(message || signature) [ || "." || base64url(footer) ]
 * The signature also covers an implicit assertion that is not in the text. What the message says is
 * core/token.h's.
 * Ownership: a token read borrows the buffer that it was decoded to. */
#ifndef FM_CORE_PASETO_H
#define FM_CORE_PASETO_H

#include "core/keys.h"

#define FM_PASETO_HEADER "v4.public."

struct fm_paseto {
    struct fm_span message;
    struct fm_span footer;
    uint8_t signature[64];
};

/* Append the token's text. `footer` and `implicit` may be empty. */
void fm_paseto_sign(const struct fm_key *key, struct fm_span message, struct fm_span footer,
                    struct fm_span implicit, struct fm_buf *out);

/* Take the text apart into an empty buffer; nothing is verified, so that a footer can name the key.
 * FM_INVALID: another version or purpose; FM_MALFORMED: not base64url without padding, too short;
 * FM_LIMIT: past FM_TOKEN_BYTES_MAX. */
FM_MUST_USE enum fm_status fm_paseto_read(struct fm_span text, struct fm_buf *decoded,
                                          struct fm_paseto *out);

/* FM_FORGED unless `key` signed it, with this implicit assertion. */
FM_MUST_USE enum fm_status fm_paseto_verify(const struct fm_paseto *token,
                                            const struct fm_public_key *key,
                                            struct fm_span implicit);

#endif
