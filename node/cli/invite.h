/* How a node is admitted: its request and the mesh's invite (docs/wire.md, "Admission").
 *   request   envelope NODE_REQUEST, mesh id zeros, signed by the key it names: {0 node id, 1
 *             signing key, 2 session key, 3 log key, 4 name}
 *   invite    {0 charter, 1 certificate, 2 gossip key sealed to the session key, 3 array of seeds}
 * Ownership: decoded structs borrow spans. Threads: pure functions. */
#ifndef FM_NODE_CLI_INVITE_H
#define FM_NODE_CLI_INVITE_H

#include "core/cert.h"

struct fm_node_request {
    struct fm_node_id node;
    struct fm_public_key sign_key;
    struct fm_public_key session_key;
    struct fm_public_key log_key;
    char name[FM_NAME_MAX + 1];
};

FM_MUST_USE enum fm_status fm_node_request_seal(const struct fm_node_request *request,
                                                struct fm_key *sign_key, struct fm_buf *out);
/* FM_FORGED: not signed by the key it names. FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_node_request_open(struct fm_span bytes, struct fm_node_request *out);

struct fm_invite {
    struct fm_span charter;
    struct fm_span cert;
    struct fm_span gossip;
    uint32_t seed_count;
    struct fm_span seeds[FM_SEEDS_MAX];
};

void fm_invite_encode(struct fm_buf *out, const struct fm_invite *invite);
FM_MUST_USE enum fm_status fm_invite_decode(struct fm_span bytes, struct fm_invite *out);

#endif
