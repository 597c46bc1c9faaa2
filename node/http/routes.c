/* Which path is answered how, and by whom it may be asked; what went wrong as problem details. */
#include "client/client_text.h"
#include "node/http/call.h"
#include "node/http/request.h"
#include "node/server.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Problem details (RFC 9457) -------------------------------------------------------------- */

unsigned fm_http_status(enum fm_status status)
{
    switch (status) {
    case FM_OK:
        return 200;
    case FM_MALFORMED:
    case FM_INVALID:
    case FM_UNSUPPORTED:
    case FM_USAGE:
        return 400;
    case FM_REFUSED:
        return 403;
    case FM_NOTFOUND:
        return 404;
    case FM_CONFLICT:
        return 409;
    case FM_LIMIT:
        return 422;
    case FM_UNAVAILABLE:
    case FM_FORGED:
        return 502;
    case FM_BUSY:
    case FM_NOMEM:
    case FM_CANCELLED:
        return 503;
    case FM_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

void fm_http_status_name(enum fm_status status, struct fm_buf *out)
{
    static const char *const names[] = {
#define X(name, number, text, exit_code) [number] = #name,
        FM_STATUS_MAP(X)
#undef X
    };

    for (const char *c = names[status]; *c != '\0'; c++)
        fm_buf_put_u8(out, (uint8_t)tolower((unsigned char)*c));
}

static void put_problem(struct fm_http_call *call, unsigned http_status, struct fm_span code,
                        const char *detail)
{
    fm_buf_clear(&call->out);
    fm_buf_put_str(&call->out, "{\"type\":\"about:blank\",\"code\":");
    fm_json_string(&call->out, code);
    fm_buf_printf(&call->out, ",\"status\":%u,\"detail\":", http_status);
    fm_json_string(&call->out, fm_span_str(detail));
    fm_buf_put_str(&call->out, "}\n");
    call->status = http_status;
    call->type = "application/problem+json";
}

void fm_http_problem(struct fm_http_call *call, unsigned http_status, const char *code,
                     const char *detail)
{
    put_problem(call, http_status, fm_span_str(code), detail);
}

void fm_http_fail(struct fm_http_call *call, enum fm_status status, const struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf name = FM_BUF_INIT(0);

    fm_http_status_name(status, &name);
    put_problem(call, fm_http_status(status), fm_buf_span(&name),
                err != NULL && err->text[0] != '\0' ? err->text : fm_status_text(status));
    call->is_retry_fine = status == FM_BUSY;
}

/* ---- Health ---------------------------------------------------------------------------------- */

static void get_health(struct fm_http_call *call)
{
    fm_buf_put_str(&call->out, "{\"status\":\"ok\"}\n");
}

/* All parts are there before this listener is, and it ends before they do: while anybody can ask,
 * what is left to say is whether the node has a place among others. */
static void get_ready(struct fm_http_call *call)
{
    struct fm_server *server = call->server;

    if (!fm_membership_has_joined(server->membership)) {
        fm_http_problem(call, 503, "unavailable", "no seed of this node has answered yet");
        call->is_retry_fine = true;
        return;
    }
    fm_buf_put_str(&call->out, "{\"status\":\"ready\",\"node\":");
    fm_json_string(&call->out, fm_span_str(server->identity->node.name));
    fm_buf_put_str(&call->out, ",\"mesh\":");
    fm_json_string(&call->out, fm_span_str(server->identity->charter.name));
    fm_buf_put_str(&call->out, "}\n");
}

/* ---- Routes ---------------------------------------------------------------------------------- */

/* `*` stands for one part of the path. */
static const struct route {
    const char *method;
    const char *path;
    bool wants_token;
    void (*answer)(struct fm_http_call *call);
} routes[] = {
    {"GET", "/healthz", false, get_health},
    {"GET", "/readyz", false, get_ready},
    {"GET", "/metrics", false, fm_http_get_metrics},
    {"GET", "/openapi.yaml", false, fm_http_get_openapi},
    {"POST", "/v1/query", true, fm_http_post_query},
    {"GET", "/v1/products", true, fm_http_get_products},
    {"GET", "/v1/products/*/*", true, fm_http_get_product},
    {"GET", "/v1/nodes", true, fm_http_get_nodes},
};

static bool matches(const char *pattern, const char *path, struct fm_span parts[2])
{
    uint32_t count = 0;

    while (*pattern != '\0') {
        if (*pattern != '*') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t len = strcspn(path, "/");
        if (len == 0)
            return false;
        parts[count++] = fm_span(path, len);
        pattern++;
        path += len;
    }
    return *path == '\0';
}

static bool log_in(struct fm_http_call *call)
{
    struct fm_error err = {0};
    struct fm_span token;

    call->is_denied = true;
    if (!fm_http_bearer(call->authorization, &token)) {
        fm_http_problem(call, 401, "refused",
                        "this takes a token: Authorization: Bearer, and what folkmoot token says");
        return false;
    }
    enum fm_status status = fm_login_new(call->server, token, &call->login, &err);
    if (status != FM_OK) {
        fm_log(&call->server->log, FM_LOG_INFO, "http login", "status", fm_status_text(status),
               "reason", err.text, NULL);
        fm_http_problem(call, 401, "refused",
                        "the token is not valid: make one for this node with folkmoot token");
        return false;
    }
    call->is_denied = false;
    return true;
}

void fm_http_answer(struct fm_http_call *call)
{
    bool is_head = strcmp(call->method, "HEAD") == 0; /* As GET; the body is left out behind us. */
    const char *method = is_head ? "GET" : call->method;

    call->status = 200;
    call->type = "application/json";
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        if (!matches(route->path, call->path, call->parts))
            continue;
        if (strcmp(route->method, method) != 0) {
            call->allow = route->method[0] == 'G' ? "GET, HEAD" : route->method;
            fm_http_problem(call, 405, "unsupported", "this path is not asked that way");
        } else if (!route->wants_token || log_in(call)) {
            route->answer(call);
        }
        return;
    }
    fm_http_problem(call, 404, "notfound", "there is no such path: see docs/http.md");
}
