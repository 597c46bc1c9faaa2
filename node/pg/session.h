/* A session of a PostgreSQL client: what each message does, and what it answers. It reads no socket
 * and no clock: messages come in whole, answers go to a buffer that the backend sends.
 *
 *   startup -> password -> ready -> Query | Parse, Bind, Describe, Execute, Close, Sync ... -> end
 *
 * There are no transactions that write; BEGIN, COMMIT and the like keep the state that clients rely
 * on: after an error inside a block, statements are refused until it ends.
 *
 * Threads: one at a time, except fm_pg_session_cancel(). Ownership: the backend outlives it. */
#ifndef FM_NODE_PG_SESSION_H
#define FM_NODE_PG_SESSION_H

#include "core/records.h"
#include "node/pg/wire.h"

/* What a session needs of the node (node/pg/backend.c; tests bring their own). */
struct fm_pg_backend {
    void *context;
    /* Check user and password (a token); FM_REFUSED and the like: they are told no more than that
     * it failed. */
    enum fm_status (*login)(void *context, const char *user, struct fm_span password,
                            struct fm_error *err);
    /* Begin a query; the columns are borrowed until it is closed. */
    enum fm_status (*open)(void *context, const struct fm_request_id *id,
                           const struct fm_query_body *body, uint32_t limit_ms, void **query,
                           const struct fm_columns **columns, struct fm_error *err);
    /* FM_NOTFOUND at the end. Borrowed until the next call. */
    enum fm_status (*next)(void *context, void *query, const struct fm_batch **batch,
                           struct fm_error *err);
    /* After the end: how many parts of the answer are missing, and of each a text with a NUL behind
     * it to `parts`: domain, node, state, reason. */
    enum fm_status (*missing)(void *context, void *query, uint32_t *count, struct fm_buf *parts,
                              struct fm_error *err);
    void (*close)(void *context, void *query);
    void (*cancel)(void *context, const struct fm_request_id *id); /* Any thread. */
    /* Send all of `out` and empty it. FM_IO: the client has gone. */
    enum fm_status (*send)(void *context, struct fm_buf *out);
    void (*random)(void *context, void *out, size_t len);
};

struct fm_pg_session;

/* `process` and `secret` are the session's key for cancelling. */
FM_MUST_USE enum fm_status fm_pg_session_new(const struct fm_pg_backend *backend, uint32_t process,
                                             uint32_t secret, struct fm_pg_session **out);
void fm_pg_session_free(struct fm_pg_session *session);
FM_DEFINE_FREEP(fm_pg_session_freep, struct fm_pg_session, fm_pg_session_free)

/* The startup packet of a session (FM_PG_STARTUP). Like the next: not FM_OK: an error was put out,
 * the connection is to be closed. */
FM_MUST_USE enum fm_status fm_pg_session_start(struct fm_pg_session *session,
                                               const struct fm_pg_startup *startup);
FM_MUST_USE enum fm_status fm_pg_session_message(struct fm_pg_session *session,
                                                 enum fm_pg_frontend type, struct fm_span body);
/* Refuse what came in place of a message, and end. */
void fm_pg_session_refuse(struct fm_pg_session *session, enum fm_status status,
                          const struct fm_error *err);

bool fm_pg_session_is_logged_in(const struct fm_pg_session *session);
/* Is it between statements, with nothing open? Then a connection may rest. */
bool fm_pg_session_is_idle(const struct fm_pg_session *session);
/* What was put out and is not sent. */
struct fm_buf *fm_pg_session_out(struct fm_pg_session *session);
/* End the statement that runs now. Any thread. */
void fm_pg_session_cancel(struct fm_pg_session *session);

#endif
