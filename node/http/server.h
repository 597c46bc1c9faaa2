/* The listener for HTTP clients (docs/http.md): libmicrohttpd, which speaks HTTP, its bounds, and
 * the calls that it brings.
 *
 * On a loopback address it speaks plain HTTP, on any other one TLS only: a token never comes
 * unsealed from another machine.
 *
 * Threads: one that accepts and one for each connection, FM_HTTP_CONNECTIONS_MAX of them; so what
 * is answered may wait for other nodes. Bounded: connections, in all and of an address; bytes of
 * headers and of a body; the time of a request that has begun, and that nothing moves. */
#ifndef FM_NODE_HTTP_SERVER_H
#define FM_NODE_HTTP_SERVER_H

#include "core/status.h"
#include "core/time.h"

#include <stdint.h>

struct fm_server;
struct fm_http_server;

/* Listen on `address`; serve from now on. `certificate` and `key` are PEM files, read once and
 * only where the address is not loopback. FM_CONFLICT: the port is in use. */
FM_MUST_USE enum fm_status fm_http_server_open(struct fm_server *server, const char *address,
                                               const char *certificate, const char *key,
                                               struct fm_http_server **out, struct fm_error *err);
uint16_t fm_http_server_port(const struct fm_http_server *http);
uint32_t fm_http_server_connections(struct fm_http_server *http);
/* End queries whose client has gone; drop connections whose request takes too long. Some times a
 * second. NULL is fine. */
void fm_http_server_reap(struct fm_http_server *http, fm_ms now);
/* Stop listening, end all queries and threads. NULL is fine. */
void fm_http_server_close(struct fm_http_server *http);

#endif
