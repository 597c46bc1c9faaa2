/* One HTTP request and its answer, between the library that speaks HTTP (server.c) and what answers
 * (routes.c and behind it, which know nothing of that library).
 * Threads: a call belongs to the thread of its connection. Ownership: texts of the request are
 * borrowed for the call; `out` and `stream` are the call's. */
#ifndef FM_NODE_HTTP_CALL_H
#define FM_NODE_HTTP_CALL_H

#include "node/login.h"

struct fm_http_call;
struct fm_http_connection;

/* An answer that is made while it is sent. */
struct fm_http_stream {
    void *context; /* NULL: the answer is `out`. */
    /* Appends some bytes to the empty `out`; FM_NOTFOUND: that was the end. All else breaks the
     * connection off behind what `out` then has, so that nobody takes it for whole. */
    enum fm_status (*next)(struct fm_http_call *call);
    void (*free)(void *context);
};

struct fm_http_call {
    struct fm_server *server;
    struct fm_http_connection *connection;
    /* The request. Headers are NULL where there is none. */
    const char *method;
    const char *path; /* Without its query. */
    const char *accept;
    const char *content_type;
    const char *authorization;
    const char *traceparent;
    struct fm_buf body;
    struct fm_login *login; /* Of routes that want a token. */
    struct fm_span parts[2];
    /* The answer. */
    unsigned status;
    const char *type;   /* Static. */
    const char *allow;  /* Methods, for 405; else NULL. Static. */
    char trace[56];     /* Its traceparent; empty: none. */
    bool is_retry_fine; /* Say when to try again. */
    bool is_denied;     /* Say that it takes a token. */
    struct fm_buf out;
    struct fm_http_stream stream;
};

/* Fill in the answer. */
void fm_http_answer(struct fm_http_call *call);

/* Answer with problem details (RFC 9457); `err` may be NULL. */
void fm_http_fail(struct fm_http_call *call, enum fm_status status, const struct fm_error *err);
/* The same with a status of HTTP's own. */
void fm_http_problem(struct fm_http_call *call, unsigned http_status, const char *code,
                     const char *detail);
/* The HTTP status of a cause. */
unsigned fm_http_status(enum fm_status status);
/* Its name in problem details: "notfound". */
void fm_http_status_name(enum fm_status status, struct fm_buf *out);

/* From here on a client that goes, and the node's end, cancel this query of call->login. */
void fm_http_runs(struct fm_http_call *call, const struct fm_request_id *id);

/* The routes. */
void fm_http_get_metrics(struct fm_http_call *call);
void fm_http_get_openapi(struct fm_http_call *call);
void fm_http_post_query(struct fm_http_call *call);
void fm_http_get_products(struct fm_http_call *call);
void fm_http_get_product(struct fm_http_call *call);
void fm_http_get_nodes(struct fm_http_call *call);

#endif
