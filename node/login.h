/* A client of this node's own interfaces (PostgreSQL, HTTP), logged in with a token, and what it
 * asks. It cannot sign: the node makes its requests, shows the token in them and signs them
 * (core/asker.h). From there on they go the way of all requests.
 * Threads: a login is immutable, a query of it is used by one thread at a time, except
 * fm_login_query_cancel(). Ownership: a login outlives its queries. */
#ifndef FM_NODE_LOGIN_H
#define FM_NODE_LOGIN_H

#include "core/records.h"
#include "core/token.h"

struct fm_server;

struct fm_login {
    struct fm_server *server;
    struct fm_buf text;    /* Of the token. */
    struct fm_buf decoded; /* Viewed by `token`. */
    struct fm_token token;
    struct fm_hash session; /* Random: what it asks is bound to it. */
};

/* FM_REFUSED, FM_FORGED, ...: as fm_token_open() and fm_token_check(). */
FM_MUST_USE enum fm_status fm_login_new(struct fm_server *server, struct fm_span token,
                                        struct fm_login **out, struct fm_error *err);
void fm_login_free(struct fm_login *login); /* NULL is fine. */
FM_DEFINE_FREEP(fm_login_freep, struct fm_login, fm_login_free)

struct fm_login_query;

struct fm_login_ask {
    struct fm_query_body body;
    uint32_t limit_ms; /* 0: the node's. */
    bool is_postgres;  /* With the tables of node/pg/catalog.h. */
    uint8_t trace[16];
};

/* Plan it, open its fragments, make the first rows: as long as that takes. `id` is made by the
 * caller, so that another thread can cancel it meanwhile. FM_REFUSED: the token has ended. */
FM_MUST_USE enum fm_status fm_login_query(struct fm_login *login, const struct fm_request_id *id,
                                          const struct fm_login_ask *ask,
                                          struct fm_login_query **out, struct fm_error *err);
/* Cancels what is left of it. */
void fm_login_query_free(struct fm_login_query *query);
FM_DEFINE_FREEP(fm_login_query_freep, struct fm_login_query, fm_login_query_free)

/* Of the result. Borrowed. */
const struct fm_columns *fm_login_query_columns(const struct fm_login_query *query);
/* The next batch, borrowed until the next call; FM_NOTFOUND at the end: then the answer is signed
 * and the bundle there. */
FM_MUST_USE enum fm_status fm_login_query_next(struct fm_login_query *query,
                                               const struct fm_batch **out, struct fm_error *err);
/* After the end. Borrowed. */
struct fm_span fm_login_query_bundle(const struct fm_login_query *query);

/* After the end: how many parts of the answer are missing or not whole; of each a text with a NUL
 * behind it to `parts`: "domain, node (id): state after n rows: reason". */
FM_MUST_USE enum fm_status fm_login_query_missing(const struct fm_login_query *query,
                                                  uint32_t *count, struct fm_buf *parts,
                                                  struct fm_error *err);

/* End the query with this id, wherever it is; unknown ones are fine. Any thread. */
void fm_login_cancel(struct fm_login *login, const struct fm_request_id *id);

#endif
