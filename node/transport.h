/* The listening side: nng REP on TCP, handshakes, sessions, dispatch to the handlers of node/rpc/.
 * Bounded from the first byte: message size, pipes in all and per address, handshakes in
 * progress (FM_HANDSHAKE_MS_MAX), sessions.
 * Threads: FM_RPC_THREADS of its own, each with one nng context; handlers run on them. */
#ifndef FM_NODE_TRANSPORT_H
#define FM_NODE_TRANSPORT_H

#include "core/status.h"
#include "core/time.h"

#include <stdint.h>

struct fm_server;
struct fm_transport;

/* Listen on server->config.listen. FM_CONFLICT: the port is busy; FM_INVALID: no such address. */
FM_MUST_USE enum fm_status fm_transport_open(struct fm_server *server, struct fm_transport **out,
                                             struct fm_error *err);
/* Serve, once every other part of the server is there. */
FM_MUST_USE enum fm_status fm_transport_start(struct fm_transport *transport, struct fm_error *err);
/* The port in use (config may say 0: any free one). */
uint16_t fm_transport_port(const struct fm_transport *transport);
/* A descriptor that can be read when a link with sessions has gone. */
int fm_transport_wake(const struct fm_transport *transport);
/* End what was asked for in sessions whose link went FM_ORPHAN_MS ago and did not come back. Gives
 * the time of the next one that is due, FM_MS_NEVER when there is none. */
fm_ms fm_transport_end_orphans(struct fm_transport *transport, fm_ms now);
struct fm_transport_counts {
    uint32_t sessions; /* Also those of handshakes. */
    uint32_t pipes;
};
void fm_transport_counts(struct fm_transport *transport, struct fm_transport_counts *out);
/* Close pipes and handshakes that took too long, sessions too old. Called about once a second. */
void fm_transport_reap(struct fm_transport *transport, fm_ms now);
/* Stop listening, end the threads (handlers in progress finish or fail), free. */
void fm_transport_close(struct fm_transport *transport);

#endif
