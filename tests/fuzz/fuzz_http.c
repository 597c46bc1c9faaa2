/* What an HTTP client may send that this program decodes itself: three headers (Accept,
 * Content-Type, traceparent), each ended by a line feed, then the body. */
#include "core/assert.h"
#include "core/limits.h"
#include "node/http/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the library hands it over: up to a NUL. */
static char *take_header(struct fm_cursor *in)
{
    size_t left = fm_cursor_left(in);
    const uint8_t *end = left == 0 ? NULL : memchr(in->at, '\n', left);
    size_t len = end == NULL ? left : (size_t)(end - in->at);
    char *text = fm_strdup_span(fm_span(in->at, len));

    in->at += end == NULL ? len : len + 1;
    return text;
}

static void check_query(const struct fm_http_query *query)
{
    fm_assert(query->body.sql.len != 0);
    fm_assert(query->body.sql.len <= FM_SQL_BYTES_MAX);
    fm_assert(fm_utf8_valid(query->body.sql));
    fm_assert(query->limit_ms <= FM_QUERY_MS_MAX);
    if (query->body.allows_partial_aggregates)
        fm_assert(query->body.on_unavailable == FM_UNAVAILABLE_SKIP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_cursor in = fm_cursor(fm_span(data, size));
    FM_AUTO(fm_mem_freep) char *accept = take_header(&in);
    FM_AUTO(fm_mem_freep) char *type = take_header(&in);
    FM_AUTO(fm_mem_freep) char *parent = take_header(&in);
    FM_AUTO(fm_http_query_deinit) struct fm_http_query query = {0};
    enum fm_http_format format = 0;
    struct fm_error err = {0};
    struct fm_span token;
    uint8_t trace[16] = {0}, zero[16] = {0};

    fm_assert(accept != NULL && type != NULL && parent != NULL);
    if (fm_http_accept(accept, &format, &err) == FM_OK)
        fm_assert(format >= FM_HTTP_JSON && format <= FM_HTTP_CSV);
    if (fm_http_traceparent(parent, trace))
        fm_assert(memcmp(trace, zero, sizeof trace) != 0);
    if (fm_http_bearer(accept, &token))
        fm_assert(token.len != 0);
    if (fm_http_query_read(type, fm_span(in.at, fm_cursor_left(&in)), &query, &err) == FM_OK)
        check_query(&query);
    return 0;
}
