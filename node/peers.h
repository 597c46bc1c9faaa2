/* Connections to other nodes, kept and shared. A broken or old one is replaced at the next use.
 * Threads: any; a connection is used by several at once. */
#ifndef FM_NODE_PEERS_H
#define FM_NODE_PEERS_H

#include "client/connection.h"

struct fm_peers;
struct fm_peer; /* A reference to a connection; released with fm_peer_release(). */

FM_MUST_USE enum fm_status fm_peers_new(const struct fm_identity *identity, struct fm_peers **out);
void fm_peers_free(struct fm_peers *peers); /* All references must have been released. */
FM_DEFINE_FREEP(fm_peers_freep, struct fm_peers, fm_peers_free)

/* A connection to the node `options->expected`, made if need be as this node's identity. Errors as
 * of fm_connection_open(). */
FM_MUST_USE enum fm_status fm_peer_get(struct fm_peers *peers,
                                       const struct fm_connect_options *options,
                                       struct fm_peer **out, struct fm_error *err);
/* A connection that is there, never made: FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_peer_find(struct fm_peers *peers, const struct fm_node_cert *cert,
                                        const char *address, struct fm_peer **out);
/* To whoever answers at `address`, of which no certificate is known yet; not kept. */
FM_MUST_USE enum fm_status fm_peer_dial(struct fm_peers *peers, const char *address, fm_ms deadline,
                                        struct fm_peer **out, struct fm_error *err);
struct fm_connection *fm_peer_connection(const struct fm_peer *peer);
/* Close what is broken or old and in nobody's use: a broken link is dialled for ever by nng, and
 * the other side would see strangers. Called about once a second. */
void fm_peers_reap(struct fm_peers *peers);
void fm_peer_release(struct fm_peer *peer); /* NULL is fine. */
FM_DEFINE_FREEP(fm_peer_releasep, struct fm_peer, fm_peer_release)

#endif
