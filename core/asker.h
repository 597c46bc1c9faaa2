/* Who asked: a request is signed by its principal; or, for a client that cannot sign, by the node
 * that it was sent to, which then shows the principal's token (core/token.h) in it. The token names
 * that node as one that may ask in the principal's name, so everybody who gets the request as part
 * of a ticket or of an answer's bundle can check it, now or years later.
 * Ownership: the request borrows the envelope's bytes. */
#ifndef FM_CORE_ASKER_H
#define FM_CORE_ASKER_H

#include "core/records.h"
#include "core/token.h"

struct fm_asker {
    const struct fm_charter *charter;
    struct fm_cert_cache *certs; /* May be NULL. */
    const struct fm_principal_cert *principal;
    struct fm_span principal_cert;   /* Its envelope. */
    const struct fm_node_cert *node; /* That was asked. NULL: only the principal may have signed. */
};

/* Verify, then parse. FM_FORGED: signed by neither, or the token does not hold; FM_REFUSED: the
 * token was not for that node, or not valid at the request's time; FM_MALFORMED, FM_UNSUPPORTED. */
FM_MUST_USE enum fm_status fm_asker_open(const struct fm_asker *asker, struct fm_span envelope,
                                         struct fm_request *out, struct fm_error *err);

#endif
