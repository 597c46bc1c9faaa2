/* The listener for PostgreSQL clients (docs/postgresql.md): connections, TLS, sessions, cancel
 * requests.
 *
 * A connection at rest holds no thread: threads wait together for what can be read, take one
 * connection, handle the messages that are whole, and put it back. What a statement sends is
 * written by the thread that runs it; a client that takes nothing for FM_PG_STALL_MS is dropped.
 *
 * Threads: up to FM_PG_THREADS of its own, as many as had something to do at once. Bounded:
 * connections, the time for logging in and for a message that has begun, bytes of a message. */
#ifndef FM_NODE_PG_SERVER_H
#define FM_NODE_PG_SERVER_H

#include "core/status.h"
#include "core/time.h"

#include <stdint.h>

struct fm_server;
struct fm_tls;
struct fm_pg_server;

/* Listen on `address`; serve from now on. FM_CONFLICT: the port is in use. */
FM_MUST_USE enum fm_status fm_pg_server_open(struct fm_server *server, struct fm_tls *tls,
                                             const char *address, struct fm_pg_server **out,
                                             struct fm_error *err);
uint16_t fm_pg_server_port(const struct fm_pg_server *pg);
uint32_t fm_pg_server_connections(struct fm_pg_server *pg);
/* End statements whose client has gone; drop connections that took too long to log in or to finish
 * a message. Some times a second. */
void fm_pg_server_reap(struct fm_pg_server *pg, fm_ms now);
/* Stop listening, end all statements and threads. NULL is fine. */
void fm_pg_server_close(struct fm_pg_server *pg);

#endif
