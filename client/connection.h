/* A sealed connection to one node over nng REQ/REP (docs/wire.md): handshake, then calls. Used by
 * principals' programs and by nodes among themselves.
 *
 * Threads: calls may run side by side on one connection (each has its own nng context);
 * open and free are the owner's. Units: deadlines are absolute fm_ms.
 * Errors: a failed call leaves the connection usable except where fm_connection_is_broken() says
 * so: then it is freed and a new one opened. Nothing is ever sent twice by this layer. */
#ifndef FM_CLIENT_CONNECTION_H
#define FM_CLIENT_CONNECTION_H

#include "client/identity.h"
#include "core/records.h"
#include "core/stop.h"
#include "core/time.h"

struct fm_connection;

struct fm_connect_options {
    const char *address;                /* "host:port", "[v6]:port". */
    const struct fm_identity *identity; /* Borrowed while the connection lives. */
    /* The node expected, or NULL when only the address is known: then any node of the mesh will
     * do, and errors of calls that get no answer name the address. With it the session is IKpsk2
     * (nodes only) and another node is FM_FORGED. */
    const struct fm_node_cert *expected;
    fm_ms deadline;
    struct fm_stop *stop; /* Cuts it short: FM_CANCELLED. NULL: nothing does. */
    /* It is held to be dead: a port that refuses the connection says the same, at once. Else it
     * may be starting, and is dialled until the deadline. */
    bool is_held_dead;
};

/* FM_UNAVAILABLE: nobody answers there; FM_TIMEOUT; FM_REFUSED: the node will not talk to us (its
 * reason in the text); FM_FORGED: it cannot show a certificate of this mesh. */
FM_MUST_USE enum fm_status fm_connection_open(const struct fm_connect_options *options,
                                              struct fm_connection **out, struct fm_error *err);
void fm_connection_free(struct fm_connection *connection);
FM_DEFINE_FREEP(fm_connection_freep, struct fm_connection, fm_connection_free)

/* The peer's verified certificate, and it as received. */
const struct fm_node_cert *fm_connection_node(const struct fm_connection *connection);
struct fm_span fm_connection_node_cert(const struct fm_connection *connection);
const uint8_t *fm_connection_session_hash(const struct fm_connection *connection); /* 32 bytes. */
/* The link is gone or the session too old: open another one. */
bool fm_connection_is_broken(const struct fm_connection *connection);

/* One call. Status and text are the peer's when it answered; else FM_UNAVAILABLE, FM_TIMEOUT, or
 * FM_CANCELLED once `stop` (may be NULL) fired. The reply's body is appended to `reply` (may be
 * NULL when none is wanted). */
FM_MUST_USE enum fm_status fm_connection_call(struct fm_connection *connection,
                                              enum fm_method method, const struct fm_request_id *id,
                                              struct fm_span body, fm_ms deadline,
                                              struct fm_stop *stop, struct fm_buf *reply,
                                              struct fm_error *err);
/* Send a call and do not wait for its answer: the peer may get it. Waits for room to send until
 * `deadline`. */
FM_MUST_USE enum fm_status fm_connection_tell(struct fm_connection *connection,
                                              enum fm_method method, const struct fm_request_id *id,
                                              struct fm_span body, fm_ms deadline,
                                              struct fm_error *err);

/* A call whose body is a REQUEST envelope signed by the identity's principal: `request` gets kind,
 * audience, session and time filled in; its envelope as sent is appended to `envelope` if not
 * NULL. */
FM_MUST_USE enum fm_status fm_connection_request(struct fm_connection *connection,
                                                 struct fm_request *request, fm_ms deadline,
                                                 struct fm_buf *envelope, struct fm_buf *reply,
                                                 struct fm_error *err);

/* Fetch one whole batch, or the end, in as many parts as it needs (records.h, "Fetch"). Parts are
 * appended to `out`, at most FM_BATCH_BYTES_MAX. `method` is QUERY_FETCH or FRAGMENT_FETCH. */
FM_MUST_USE enum fm_status fm_connection_fetch(struct fm_connection *connection,
                                               enum fm_method method,
                                               const struct fm_request_id *query, uint32_t number,
                                               uint64_t batch, fm_ms deadline, struct fm_stop *stop,
                                               enum fm_part_kind *kind, struct fm_buf *out,
                                               struct fm_error *err);

/* The same in two steps, so that the next batch is on its way while this one is read. The first
 * sends; fm_connection_fetch_end() waits, and ends `fetching` in any case. What was begun is ended
 * before its connection is freed. */
struct fm_fetching;
FM_MUST_USE enum fm_status fm_connection_fetch_begin(
    struct fm_connection *connection, enum fm_method method,
    const struct fm_fetch *wanted, /* With offset 0. */
    fm_ms deadline, struct fm_stop *stop, struct fm_fetching **out, struct fm_error *err);
FM_MUST_USE enum fm_status fm_connection_fetch_end(struct fm_fetching *fetching,
                                                   enum fm_part_kind *kind, struct fm_buf *out,
                                                   struct fm_error *err);
void fm_fetching_free(struct fm_fetching *fetching); /* Give up. NULL is fine. */
FM_DEFINE_FREEP(fm_fetching_freep, struct fm_fetching, fm_fetching_free)

#endif
