/* What clients send, decoded: pure functions over bytes that anybody may have made up (fuzzed).
 * Threads: any. */
#ifndef FM_NODE_HTTP_REQUEST_H
#define FM_NODE_HTTP_REQUEST_H

#include "core/records.h"

enum fm_http_format { FM_HTTP_JSON = 1, FM_HTTP_NDJSON = 2, FM_HTTP_CSV = 3 };

/* The format that an Accept header (RFC 9110, 12.5.1) likes best; NULL: JSON. FM_UNSUPPORTED. */
FM_MUST_USE enum fm_status fm_http_accept(const char *accept, enum fm_http_format *out,
                                          struct fm_error *err);

struct fm_http_query {
    struct fm_buf sql; /* Owned; `body` views it. */
    struct fm_query_body body;
    uint32_t limit_ms; /* 0: the node's. */
};

/* The body of POST /v1/query: JSON by its type, else SQL as it is (text/plain; no type at all is
 * an error). `out` is all zero. FM_UNSUPPORTED: neither; FM_INVALID: says what was expected. */
FM_MUST_USE enum fm_status fm_http_query_read(const char *content_type, struct fm_span body,
                                              struct fm_http_query *out, struct fm_error *err);
void fm_http_query_deinit(struct fm_http_query *query);

/* "Bearer TOKEN". False: something else. */
bool fm_http_bearer(const char *authorization, struct fm_span *token);

/* W3C Trace Context: the trace id of a traceparent. False: none, or not a valid one. */
bool fm_http_traceparent(const char *text, uint8_t trace[16]);

#endif
