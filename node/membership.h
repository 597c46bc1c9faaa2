/* The gossip core at work: UDP socket, sealing, clock, randomness, signed member records, and the
 * fetching of records over sessions.
 * Threads: one for gossip, one for fetching; everything here may be called from any. */
#ifndef FM_NODE_MEMBERSHIP_H
#define FM_NODE_MEMBERSHIP_H

#include "client/catalog.h"
#include "gossip/gossip.h"
#include "node/peers.h"

struct fm_server;
struct fm_membership;

/* Bind the UDP port `port` of the listen address and start gossiping under `advertise`. `*out` is
 * set in any case; after a failure it is closed by the caller too. */
FM_MUST_USE enum fm_status fm_membership_open(struct fm_server *server, uint16_t port,
                                              struct fm_membership **out, struct fm_error *err);
/* Say goodbye, stop, free. */
void fm_membership_close(struct fm_membership *membership);

/* A record this node made or got: gossip it. */
void fm_membership_publish(struct fm_membership *membership, const struct gossip_record *record);

/* A MEMBER envelope learnt over a session. What does not verify is left. */
void fm_membership_learn(struct fm_membership *membership, struct fm_span envelope);
/* Is this version of the record, or a newer one, here already? */
bool fm_membership_has(struct fm_membership *membership, const struct gossip_record *record);
/* Resolve the configured seeds (may block) and contact them. */
void fm_membership_join_seeds(struct fm_membership *membership);
/* "host:port" under which this node is known. */
const char *fm_membership_advertised(const struct fm_membership *membership);

/* Has another node spoken to this one since it started, or is there none that it should ask? */
bool fm_membership_has_joined(struct fm_membership *membership);
void fm_membership_counters(struct fm_membership *membership, struct gossip_counters *out);
/* Where a node is: "host:port". FM_NOTFOUND: not a known member; FM_UNAVAILABLE: known, but it has
 * left the mesh. */
FM_MUST_USE enum fm_status fm_membership_address(struct fm_membership *membership,
                                                 const struct fm_node_id *node, char out[280]);
/* Does gossip hold it to be dead? What answers again is not dead for long. */
bool fm_membership_is_dead(struct fm_membership *membership, const struct fm_node_id *node);
/* To a member and back, as gossip.h says it; -1: not measured, or no member. */
fm_ms fm_membership_round_trip(struct fm_membership *membership, const struct fm_node_id *node);
/* Appends the encoded list of members (client/catalog.h). */
FM_MUST_USE enum fm_status fm_membership_list(struct fm_membership *membership, struct fm_buf *out);
/* MEMBER envelopes of members from place `from` on, at most `max`, packed as bin one after the
 * other; `*put` of them, `*all` in the mesh. */
FM_MUST_USE enum fm_status fm_membership_envelopes(struct fm_membership *membership, uint32_t from,
                                                   uint32_t max, struct fm_buf *out, uint32_t *put,
                                                   uint32_t *all);

#endif
