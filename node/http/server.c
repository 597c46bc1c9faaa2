#include "node/http/server.h"

#include "core/assert.h"
#include "node/address.h"
#include "node/http/call.h"
#include "node/server.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_BYTES (64u << 10) /* Handed to the library at once. */

struct fm_http_connection {
    struct fm_http_server *http;
    uint32_t slot;
    int fd;
    /* Guarded by http->lock: */
    fm_ms due;              /* When a request that has begun must be whole. */
    struct fm_login *login; /* Of the query that runs; NULL: none does. */
    struct fm_request_id query;
};

struct fm_http_server {
    struct fm_server *server;
    struct MHD_Daemon *daemon;
    int listener; /* Until the library has it. */
    uint16_t port;
    pthread_mutex_t lock; /* Guards what follows. */
    uint32_t count;
    struct fm_http_connection *connections[FM_HTTP_CONNECTIONS_MAX];
};

/* What the library keeps with a request. */
struct exchange {
    struct fm_http_call call;
    struct MHD_Connection *connection;
    size_t sent; /* Of call.out. */
    bool is_too_large;
    bool is_broken; /* Behind what call.out has. */
    bool is_over;
};

static void lock(struct fm_http_server *http)
{
    fm_assert(pthread_mutex_lock(&http->lock) == 0);
}

static void unlock(struct fm_http_server *http)
{
    fm_assert(pthread_mutex_unlock(&http->lock) == 0);
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct fm_http_server *http = context;
    struct fm_http_connection *own = *socket_context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    lock(http);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (own != NULL) {
            http->connections[own->slot] = NULL;
            http->count--;
            free(own);
        }
        *socket_context = NULL;
        unlock(http);
        return;
    }
    for (uint32_t i = 0; i < FM_HTTP_CONNECTIONS_MAX && own == NULL && info != NULL; i++) {
        if (http->connections[i] != NULL)
            continue;
        own = calloc(1, sizeof *own);
        if (own == NULL)
            break;
        *own = (struct fm_http_connection){.http = http, .slot = i, .fd = info->connect_fd};
        own->due = fm_now_ms() + FM_HTTP_REQUEST_MS;
        http->connections[i] = own;
        http->count++;
    }
    *socket_context = own; /* NULL: what it asks is not answered. */
    unlock(http);
}

/* Its request is whole, or the next one may begin. */
static void set_due(struct fm_http_connection *connection, fm_ms due)
{
    lock(connection->http);
    connection->due = due;
    connection->login = NULL;
    unlock(connection->http);
}

void fm_http_runs(struct fm_http_call *call, const struct fm_request_id *id)
{
    struct fm_http_connection *connection = call->connection;

    lock(connection->http);
    connection->login = call->login;
    connection->query = *id;
    unlock(connection->http);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* While others are waited for, nothing moves on this connection, and that is no fault of its. */
static void set_timeout(struct exchange *exchange, bool is_waiting)
{
    (void)MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                    is_waiting ? 0u : (unsigned)FM_HTTP_IDLE_S);
}

static void make_more(struct exchange *exchange)
{
    struct fm_http_call *call = &exchange->call;

    fm_buf_clear(&call->out);
    exchange->sent = 0;
    set_timeout(exchange, true);
    enum fm_status status = call->stream.next(call);
    set_timeout(exchange, false);
    exchange->is_over = status != FM_OK;
    exchange->is_broken = exchange->is_over && status != FM_NOTFOUND;
}

static ssize_t on_send(void *context, uint64_t at, char *to, size_t max)
{
    struct exchange *exchange = context;
    struct fm_buf *out = &exchange->call.out;

    (void)at;
    while (exchange->sent == out->len) {
        if (exchange->is_over)
            return exchange->is_broken ? MHD_CONTENT_READER_END_WITH_ERROR
                                       : MHD_CONTENT_READER_END_OF_STREAM;
        make_more(exchange);
    }
    size_t len = out->len - exchange->sent < max ? out->len - exchange->sent : max;
    memcpy(to, out->data + exchange->sent, len);
    exchange->sent += len;
    return (ssize_t)len;
}

static bool put_headers(struct MHD_Response *response, const struct fm_http_call *call)
{
    const struct {
        const char *name, *value;
    } headers[] = {
        {"Content-Type", call->type},
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Allow", call->allow},
        {"traceparent", call->trace[0] != '\0' ? call->trace : NULL},
        {"Retry-After", call->is_retry_fine ? "1" : NULL},
        {"WWW-Authenticate", call->is_denied ? "Bearer realm=\"folkmoot\"" : NULL},
    };
    bool is_fine = true;

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (headers[i].value != NULL)
            is_fine =
                MHD_add_response_header(response, headers[i].name, headers[i].value) == MHD_YES &&
                is_fine;
    return is_fine;
}

static enum MHD_Result answer(struct exchange *exchange)
{
    struct fm_http_call *call = &exchange->call;
    bool is_stream = call->stream.context != NULL && call->status == 200;
    struct MHD_Response *response =
        is_stream
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SEND_BYTES, on_send, exchange,
                                                NULL)
            : MHD_create_response_from_buffer(call->out.len, call->out.data, MHD_RESPMEM_MUST_COPY);

    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (put_headers(response, call) && fm_buf_status(&call->out) == FM_OK)
        result = MHD_queue_response(exchange->connection, call->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static struct exchange *exchange_new(struct fm_http_server *http,
                                     struct fm_http_connection *connection,
                                     struct MHD_Connection *from, const char *method,
                                     const char *path)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL)
        return NULL;
    exchange->connection = from;
    exchange->call = (struct fm_http_call){
        .server = http->server,
        .connection = connection,
        .method = method,
        .path = path,
        .accept = header(from, "Accept"),
        .content_type = header(from, "Content-Type"),
        .authorization = header(from, "Authorization"),
        .traceparent = header(from, "traceparent"),
        .body = FM_BUF_INIT(FM_HTTP_BODY_BYTES_MAX),
    };
    return exchange;
}

/* A body that says beforehand that it is too large is not waited for. */
static bool is_announced_too_large(struct MHD_Connection *connection)
{
    const char *length = header(connection, "Content-Length");

    return length != NULL && strtoull(length, NULL, 10) > FM_HTTP_BODY_BYTES_MAX;
}

static enum MHD_Result refuse_large(struct exchange *exchange)
{
    char text[64];

    (void)snprintf(text, sizeof text, "a body has at most %u bytes", FM_HTTP_BODY_BYTES_MAX);
    fm_http_problem(&exchange->call, 413, "limit", text);
    return answer(exchange);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *bytes, size_t *len, void **kept)
{
    struct fm_http_server *http = context;
    struct exchange *exchange = *kept;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    (void)version;
    if (exchange == NULL) {
        if (info == NULL || info->socket_context == NULL)
            return MHD_NO;
        exchange = exchange_new(http, info->socket_context, connection, method, path);
        *kept = exchange;
        if (exchange == NULL)
            return MHD_NO;
        return is_announced_too_large(connection) ? refuse_large(exchange) : MHD_YES;
    }
    if (*len != 0) {
        /* Past its bound it is read and dropped, for as long as a request may take. */
        fm_buf_put(&exchange->call.body, bytes, *len);
        exchange->is_too_large = fm_buf_status(&exchange->call.body) != FM_OK;
        *len = 0;
        return MHD_YES;
    }
    if (exchange->is_too_large)
        return refuse_large(exchange);
    set_due(exchange->call.connection, FM_MS_NEVER);
    set_timeout(exchange, true);
    fm_http_answer(&exchange->call);
    set_timeout(exchange, false);
    return answer(exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **kept,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *kept;

    (void)context;
    (void)connection;
    (void)code;
    if (exchange == NULL)
        return;
    struct fm_http_call *call = &exchange->call;
    set_due(call->connection, fm_now_ms() + 1000 * FM_HTTP_IDLE_S + FM_HTTP_REQUEST_MS);
    if (call->stream.free != NULL)
        call->stream.free(call->stream.context);
    fm_login_free(call->login);
    fm_buf_free(&call->body);
    fm_buf_free(&call->out);
    free(exchange);
    *kept = NULL;
}

/* ---- Listening ------------------------------------------------------------------------------- */

/* The text of a PEM file. */
static enum fm_status read_pem(const char *path, struct fm_buf *out, struct fm_error *err)
{
    enum fm_status status = fm_file_read(path, FM_HTTP_PEM_BYTES_MAX, out, err);

    fm_buf_put_u8(out, 0);
    return status == FM_OK ? fm_buf_status(out) : status;
}

static enum fm_status start(struct fm_http_server *http, const struct fm_buf *certificate,
                            const struct fm_buf *key, struct fm_error *err)
{
    bool is_sealed = certificate->len != 0;
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_POLL | (is_sealed ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem sealed[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, certificate->data},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, key->data},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, http->listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)FM_HTTP_CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)FM_HTTP_CONNECTIONS_PER_ADDRESS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)FM_HTTP_HEADER_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)FM_HTTP_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, is_sealed ? sealed : none,
        MHD_OPTION_END);
    if (http->daemon == NULL)
        return fm_fail(err, FM_IO, "listen for HTTP clients: the library does not start");
    http->listener = -1;
    return FM_OK;
}

static enum fm_status open_listener(struct fm_http_server *http, const char *address,
                                    const char *certificate, const char *key, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf cert_pem = FM_BUF_INIT(FM_HTTP_PEM_BYTES_MAX + 1);
    FM_AUTO(fm_buf_free) struct fm_buf key_pem = FM_BUF_INIT(FM_HTTP_PEM_BYTES_MAX + 1);
    bool is_near = false;

    enum fm_status status = fm_address_listen(address, &http->listener, &http->port, &is_near, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "HTTP clients");
    if (!is_near) {
        status = read_pem(certificate, &cert_pem, err);
        if (status == FM_OK)
            status = read_pem(key, &key_pem, err);
    }
    if (status == FM_OK)
        status = start(http, &cert_pem, &key_pem, err);
    if (key_pem.data != NULL)
        fm_wipe(key_pem.data, key_pem.cap);
    return status;
}

enum fm_status fm_http_server_open(struct fm_server *server, const char *address,
                                   const char *certificate, const char *key,
                                   struct fm_http_server **out, struct fm_error *err)
{
    struct fm_http_server *http = calloc(1, sizeof *http);

    if (http == NULL)
        return fm_fail(err, FM_NOMEM, "listen for HTTP clients");
    http->server = server;
    http->listener = -1;
    fm_assert(pthread_mutex_init(&http->lock, NULL) == 0);
    enum fm_status status = open_listener(http, address, certificate, key, err);
    if (status != FM_OK) {
        fm_http_server_close(http);
        return status;
    }
    *out = http;
    return FM_OK;
}

uint16_t fm_http_server_port(const struct fm_http_server *http)
{
    return http->port;
}

uint32_t fm_http_server_connections(struct fm_http_server *http)
{
    lock(http);
    uint32_t count = http->count;
    unlock(http);
    return count;
}

/* ---- Ending ---------------------------------------------------------------------------------- */

static bool has_gone(const struct fm_http_connection *connection)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};

    return poll(&look, 1, 0) == 1 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void fm_http_server_reap(struct fm_http_server *http, fm_ms now)
{
    if (http == NULL)
        return;
    lock(http);
    for (uint32_t i = 0; i < FM_HTTP_CONNECTIONS_MAX; i++) {
        struct fm_http_connection *connection = http->connections[i];
        if (connection == NULL)
            continue;
        if (connection->login != NULL && has_gone(connection))
            fm_login_cancel(connection->login, &connection->query);
        if (now > connection->due)
            (void)shutdown(connection->fd, SHUT_RDWR); /* Its thread ends it. */
    }
    unlock(http);
}

void fm_http_server_close(struct fm_http_server *http)
{
    if (http == NULL)
        return;
    lock(http);
    for (uint32_t i = 0; i < FM_HTTP_CONNECTIONS_MAX; i++) {
        struct fm_http_connection *connection = http->connections[i];
        if (connection != NULL && connection->login != NULL)
            fm_login_cancel(connection->login, &connection->query);
    }
    unlock(http);
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon); /* Waits for all its threads. */
    if (http->listener >= 0)
        (void)close(http->listener); /* Nothing to lose. */
    fm_assert(pthread_mutex_destroy(&http->lock) == 0);
    free(http);
}
