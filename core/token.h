/* A principal's token: what a client that cannot sign requests shows as its password or bearer
 * (psql, curl, a dashboard). Whoever holds it may ask the nodes that it names, in its principal's
 * name, until it ends; so it goes over TLS, a Unix socket or loopback only.
 *
 * A PASETO v4.public (core/paseto.h) by the principal's signing key:
 *   message   {"jti": id (32 hex digits), "sub": the principal's name, "aud": [node ids (hex)],
 *              "iat", "nbf", "exp": RFC 3339 times in UTC}; other claims are ignored
 *   footer    the principal's certificate (its envelope), so that a node needs no directory
 *   implicit assertion   "folkmoot/v1 token\0" || mesh id: of another mesh it does not verify
 *
 * How long it may live: FM_TOKEN_LIFE_MAX seconds, for principals with the role `service` what the
 * charter allows (at most 90 days); never past its certificate.
 * Ownership: plain structs; `cert` borrows the buffer that the token was decoded to. */
#ifndef FM_CORE_TOKEN_H
#define FM_CORE_TOKEN_H

#include "core/cert.h"
#include "core/cert_cache.h"
#include "core/paseto.h"

struct fm_token_id {
    uint8_t bytes[16];
};

struct fm_token {
    struct fm_token_id id;
    uint32_t node_count; /* 1..FM_TOKEN_NODES_MAX */
    struct fm_node_id nodes[FM_TOKEN_NODES_MAX];
    int64_t issued; /* Seconds since 1970. */
    int64_t not_before;
    int64_t not_after;
    struct fm_principal_cert principal;
    struct fm_span cert; /* Its envelope. */
};

/* Seconds that a token of this principal may live at most. */
int64_t fm_token_life_max(const struct fm_charter *charter,
                          const struct fm_principal_cert *principal);

/* Append the text of a token: `token` with all but `cert`, which is `cert`'s envelope; `key` signs.
 * FM_INVALID: lives longer than it may, past its certificate, names no node or too many. */
FM_MUST_USE enum fm_status fm_token_make(const struct fm_charter *charter,
                                         const struct fm_token *token, struct fm_span cert,
                                         const struct fm_key *key, struct fm_buf *out,
                                         struct fm_error *err);

/* Verify certificate, signature and form, at no particular time; `decoded` is an empty buffer.
 * `certs` may be NULL. FM_FORGED, FM_MALFORMED, FM_INVALID (not such a token), FM_LIMIT, FM_REFUSED
 * (lives longer than it may). Messages never hold the token. */
FM_MUST_USE enum fm_status fm_token_open(const struct fm_charter *charter,
                                         struct fm_cert_cache *certs, struct fm_span text,
                                         struct fm_buf *decoded, struct fm_token *out,
                                         struct fm_error *err);

/* FM_REFUSED unless it is for `node`, and it and its certificate are valid at `now` (seconds), with
 * FM_CLOCK_SKEW_US of tolerance at its beginning only. */
FM_MUST_USE enum fm_status fm_token_check(const struct fm_token *token,
                                          const struct fm_node_id *node, int64_t now,
                                          struct fm_error *err);

#endif
