#include "node/pg/server.h"

#include "core/assert.h"
#include "node/address.h"
#include "node/login.h"
#include "node/pg/session.h"
#include "node/server.h"
#include "node/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (16u << 10)

enum phase { PHASE_STARTUP = 1, PHASE_TLS = 2, PHASE_MESSAGES = 3 };

struct connection {
    struct fm_pg_server *pg;
    uint32_t slot;
    struct fm_stream *stream;
    enum phase phase;
    bool is_near; /* Loopback: a password may come without TLS. */
    struct fm_buf in;
    size_t taken; /* Of `in`, handled. */
    struct fm_pg_backend backend;
    struct fm_pg_session *session;
    struct fm_login *login;
    uint32_t secret;
    /* Guarded by pg->lock: */
    bool is_busy;   /* A thread has it. */
    bool is_logged; /* As its session. */
    fm_ms due;      /* When the login, or a message that began, must be whole. */
};

struct fm_pg_server {
    struct fm_server *server;
    struct fm_tls *tls;
    int listener, poller, stopper;
    uint16_t port;
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    uint32_t count;
    struct connection *connections[FM_PG_CONNECTIONS_MAX];
    uint32_t thread_count;
    uint32_t waiting; /* Threads, for something to do. */
    pthread_t threads[FM_PG_THREADS];
};

static void lock(struct fm_pg_server *pg)
{
    fm_assert(pthread_mutex_lock(&pg->lock) == 0);
}

static void unlock(struct fm_pg_server *pg)
{
    fm_assert(pthread_mutex_unlock(&pg->lock) == 0);
}

/* ---- What a session needs of the node -------------------------------------------------------- */

static enum fm_status on_login(void *context, const char *user, struct fm_span password,
                               struct fm_error *err)
{
    struct connection *connection = context;
    struct fm_pg_server *pg = connection->pg;
    FM_AUTO(fm_login_freep) struct fm_login *login = NULL;

    enum fm_status status = fm_login_new(pg->server, password, &login, err);
    if (status == FM_OK && strcmp(login->token.principal.name, user) != 0)
        status = fm_fail(err, FM_REFUSED, "the token is of another principal");
    fm_log(&pg->server->log, FM_LOG_INFO, "postgres login", "user", user, "status",
           fm_status_text(status), "reason", status == FM_OK ? "" : err->text, NULL);
    if (status != FM_OK)
        return fm_fail(err, FM_REFUSED,
                       "password authentication failed for user \"%s\": the password is a token, "
                       "made by folkmoot token for this node",
                       user);
    connection->login = FM_TAKE(login);
    return FM_OK;
}

static enum fm_status on_open(void *context, const struct fm_request_id *id,
                              const struct fm_query_body *body, uint32_t limit_ms, void **query,
                              const struct fm_columns **columns, struct fm_error *err)
{
    struct connection *connection = context;
    struct fm_login_ask ask = {.body = *body, .limit_ms = limit_ms, .is_postgres = true};
    struct fm_login_query *opened = NULL;

    fm_random(ask.trace, sizeof ask.trace);
    enum fm_status status = fm_login_query(connection->login, id, &ask, &opened, err);
    if (status != FM_OK)
        return status;
    *query = opened;
    *columns = fm_login_query_columns(opened);
    return FM_OK;
}

static enum fm_status on_next(void *context, void *query, const struct fm_batch **batch,
                              struct fm_error *err)
{
    (void)context;
    return fm_login_query_next(query, batch, err);
}

static enum fm_status on_missing(void *context, void *query, uint32_t *count, struct fm_buf *parts,
                                 struct fm_error *err)
{
    (void)context;
    return fm_login_query_missing(query, count, parts, err);
}

static void on_close(void *context, void *query)
{
    (void)context;
    fm_login_query_free(query);
}

static void on_cancel(void *context, const struct fm_request_id *id)
{
    struct connection *connection = context;

    fm_login_cancel(connection->login, id);
}

static enum fm_status on_send(void *context, struct fm_buf *out)
{
    struct connection *connection = context;

    enum fm_stream_state state =
        fm_stream_write(connection->stream, fm_buf_span(out), FM_PG_STALL_MS);
    fm_buf_clear(out);
    return state == FM_STREAM_DONE ? FM_OK : FM_IO;
}

static void on_random(void *context, void *out, size_t len)
{
    (void)context;
    fm_random(out, len);
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
    if (connection == NULL)
        return;
    fm_pg_session_free(connection->session);
    fm_login_free(connection->login);
    fm_stream_free(connection->stream);
    if (connection->in.data != NULL)
        fm_wipe(connection->in.data, connection->in.cap); /* A password was in it. */
    fm_buf_free(&connection->in);
    free(connection);
}

static struct connection *connection_new(struct fm_pg_server *pg, int fd, bool is_near)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL) {
        (void)close(fd); /* Nothing to lose. */
        return NULL;
    }
    connection->pg = pg;
    connection->phase = PHASE_STARTUP;
    connection->is_near = is_near;
    connection->in.max = FM_PG_COPY_BYTES_MAX + READ_BYTES + FM_PG_HEADER_BYTES;
    connection->backend = (struct fm_pg_backend){
        .context = connection,
        .login = on_login,
        .open = on_open,
        .next = on_next,
        .missing = on_missing,
        .close = on_close,
        .cancel = on_cancel,
        .send = on_send,
        .random = on_random,
    };
    connection->due = fm_now_ms() + FM_PG_LOGIN_MS;
    if (fm_stream_new(fd, &connection->stream) == FM_OK)
        return connection;
    connection_free(connection);
    return NULL;
}

/* Take it into the table; false: no room. */
static bool insert(struct fm_pg_server *pg, struct connection *connection)
{
    bool is_in = false;

    lock(pg);
    for (uint32_t i = 0; i < FM_PG_CONNECTIONS_MAX && !is_in; i++) {
        if (pg->connections[i] != NULL)
            continue;
        pg->connections[i] = connection;
        connection->slot = i;
        pg->count++;
        is_in = true;
    }
    unlock(pg);
    return is_in;
}

static void remove_and_free(struct connection *connection)
{
    struct fm_pg_server *pg = connection->pg;

    lock(pg);
    pg->connections[connection->slot] = NULL;
    pg->count--;
    unlock(pg);
    connection_free(connection);
}

/* Wait for more of it. The thread gives it up: from here on another may have it. */
static bool rest(struct connection *connection, bool is_new)
{
    struct fm_pg_server *pg = connection->pg;
    bool wants_write = fm_stream_wants_write(connection->stream);
    bool is_logged = connection->session != NULL && fm_pg_session_is_logged_in(connection->session);
    struct epoll_event event = {
        .events = EPOLLONESHOT | EPOLLRDHUP | (wants_write ? EPOLLOUT : EPOLLIN),
        .data.ptr = connection,
    };

    if (connection->taken != 0) {
        fm_wipe(connection->in.data, connection->taken);
        memmove(connection->in.data, connection->in.data + connection->taken,
                connection->in.len - connection->taken);
        connection->in.len -= connection->taken;
        connection->taken = 0;
    }
    if (connection->in.len == 0)
        fm_buf_free(&connection->in); /* At rest it holds as little as can be. */
    lock(pg);
    if (is_logged)
        connection->due = connection->in.len != 0 ? fm_now_ms() + FM_PG_MESSAGE_MS : FM_MS_NEVER;
    connection->is_logged = is_logged;
    connection->is_busy = false;
    unlock(pg);
    return epoll_ctl(pg->poller, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
                     fm_stream_fd(connection->stream), &event) == 0;
}

/* ---- Startup --------------------------------------------------------------------------------- */

static void cancel_session(struct fm_pg_server *pg, uint32_t process, uint32_t secret)
{
    lock(pg);
    struct connection *other =
        process >= 1 && process <= FM_PG_CONNECTIONS_MAX ? pg->connections[process - 1] : NULL;
    if (other != NULL && other->session != NULL &&
        fm_secret_equal(&other->secret, &secret, sizeof secret))
        fm_pg_session_cancel(other->session);
    unlock(pg);
}

static bool refuse(struct connection *connection, enum fm_status status, const char *text)
{
    struct fm_error err = {0};

    status = fm_fail(&err, status, "%s", text);
    fm_pg_session_refuse(connection->session, status, &err);
    (void)on_send(connection, fm_pg_session_out(connection->session)); /* It is closed anyhow. */
    return false;
}

static bool start_session(struct connection *connection, const struct fm_pg_startup *startup)
{
    struct fm_pg_session *session = NULL;

    fm_random(&connection->secret, sizeof connection->secret);
    if (fm_pg_session_new(&connection->backend, connection->slot + 1, connection->secret,
                          &session) != FM_OK)
        return false;
    lock(connection->pg); /* A cancel may look for it. */
    connection->session = session;
    unlock(connection->pg);
    if (!connection->is_near && !fm_stream_is_secure(connection->stream))
        return refuse(connection, FM_REFUSED,
                      "a password may come over TLS only: connect with sslmode=require");
    enum fm_status status = fm_pg_session_start(session, startup);
    if (on_send(connection, fm_pg_session_out(session)) != FM_OK || status != FM_OK)
        return false;
    connection->phase = PHASE_MESSAGES;
    return true;
}

/* One startup packet, if it is whole. False: close. */
static bool take_startup(struct connection *connection, bool *moved)
{
    struct fm_span in =
        fm_span(connection->in.data + connection->taken, connection->in.len - connection->taken);
    struct fm_pg_startup startup;
    struct fm_error err = {0};
    uint32_t length = 0;

    *moved = false;
    if (in.len < 4)
        return true;
    if (fm_pg_startup_length(in.data, &length, &err) != FM_OK)
        return false;
    if (in.len < length)
        return true;
    *moved = true;
    enum fm_status status = fm_pg_startup_read(fm_span(in.data, length), &startup, &err);
    if (status != FM_OK)
        return false;
    connection->taken += length;
    switch (startup.kind) {
    case FM_PG_CANCEL:
        cancel_session(connection->pg, startup.process, startup.secret);
        return false;
    case FM_PG_STARTUP:
        return start_session(connection, &startup);
    default:
        break;
    }
    bool is_tls = startup.kind == FM_PG_SSL_REQUEST && connection->pg->tls != NULL &&
                  !fm_stream_is_secure(connection->stream);
    if (is_tls && in.len != length)
        return false; /* Bytes before TLS that would be taken for some of it (CVE-2021-23214). */
    if (is_tls)
        connection->phase = PHASE_TLS;
    return fm_stream_write(connection->stream, fm_span(is_tls ? "S" : "N", 1), FM_PG_STALL_MS) ==
           FM_STREAM_DONE;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static bool take_message(struct connection *connection, bool *moved)
{
    struct fm_span in =
        fm_span(connection->in.data + connection->taken, connection->in.len - connection->taken);
    struct fm_pg_session *session = connection->session;
    enum fm_pg_frontend type = FM_PG_SYNC;
    struct fm_error err = {0};
    uint32_t length = 0;

    *moved = false;
    if (in.len < FM_PG_HEADER_BYTES)
        return true;
    enum fm_status status = fm_pg_message_length(in.data, &type, &length, &err);
    if (status != FM_OK) {
        fm_pg_session_refuse(session, status, &err);
        (void)on_send(connection, fm_pg_session_out(session)); /* It is closed anyhow. */
        return false;
    }
    if (in.len - FM_PG_HEADER_BYTES < length)
        return true;
    *moved = true;
    connection->taken += FM_PG_HEADER_BYTES + length;
    status = fm_pg_session_message(session, type, fm_span(in.data + FM_PG_HEADER_BYTES, length));
    bool is_sent = true;
    if (!fm_pg_session_is_logged_in(session) || status != FM_OK || type == FM_PG_PASSWORD)
        is_sent = on_send(connection, fm_pg_session_out(session)) == FM_OK;
    return status == FM_OK && is_sent;
}

/* Read what is there. False: the other side has gone. */
static bool fill(struct connection *connection, bool *got_some)
{
    uint8_t bytes[READ_BYTES];
    size_t got = 0;

    enum fm_stream_state state = fm_stream_read(connection->stream, bytes, sizeof bytes, &got);
    *got_some = got != 0;
    fm_buf_put(&connection->in, bytes, got);
    fm_wipe(bytes, got);
    return state != FM_STREAM_ENDED && fm_buf_status(&connection->in) == FM_OK;
}

/* All that can be done now. False: close it. */
static bool serve(struct connection *connection)
{
    for (;;) {
        bool moved = false;
        if (connection->phase == PHASE_TLS) {
            enum fm_stream_state state = fm_stream_secure(connection->stream, connection->pg->tls);
            if (state != FM_STREAM_DONE)
                return state == FM_STREAM_WAITS;
            connection->phase = PHASE_STARTUP;
        }
        bool is_fine = connection->phase == PHASE_STARTUP ? take_startup(connection, &moved)
                                                          : take_message(connection, &moved);
        if (is_fine && !moved) /* What is there is no whole message. */
            is_fine = fill(connection, &moved);
        if (!is_fine || !moved)
            return is_fine;
    }
}

/* ---- Listening ------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *from)
{
    struct gossip_address address;

    return fm_address_from_socket(from, &address) && fm_address_is_loopback(&address);
}

static void accept_one(struct fm_pg_server *pg)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int on = 1;

    int fd = accept4(pg->listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* Only slower without. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    struct connection *connection = connection_new(pg, fd, is_loopback(&from));
    if (connection == NULL)
        return;
    connection->is_busy = true;
    if (!insert(pg, connection)) {
        connection_free(connection);
        return;
    }
    if (!rest(connection, true))
        remove_and_free(connection);
}

static void watch_listener(struct fm_pg_server *pg, int op)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = pg};

    (void)epoll_ctl(pg->poller, op, pg->listener, &event); /* Was watched, or just made. */
}

static void handle(struct connection *connection)
{
    struct fm_pg_server *pg = connection->pg;

    lock(pg);
    connection->is_busy = true;
    unlock(pg);
    if (!serve(connection) || !rest(connection, false))
        remove_and_free(connection);
}

static void *run(void *context);

/* The last that waits has something to do now: another waits in its place. */
static void add_thread(struct fm_pg_server *pg)
{
    lock(pg);
    if (pg->waiting == 0 && pg->thread_count < FM_PG_THREADS && !atomic_load(&pg->is_stopping) &&
        pthread_create(&pg->threads[pg->thread_count], NULL, run, pg) == 0)
        pg->thread_count++;
    unlock(pg);
}

static void *run(void *context)
{
    struct fm_pg_server *pg = context;
    struct epoll_event event;

    while (!atomic_load(&pg->is_stopping)) {
        lock(pg);
        pg->waiting++;
        unlock(pg);
        int count = epoll_wait(pg->poller, &event, 1, -1);
        lock(pg);
        pg->waiting--;
        unlock(pg);
        if (count != 1 || event.data.ptr == NULL)
            continue; /* Interrupted, or woken to stop. */
        add_thread(pg);
        if (event.data.ptr == pg) {
            accept_one(pg);
            watch_listener(pg, EPOLL_CTL_MOD);
        } else {
            handle(event.data.ptr);
        }
    }
    return NULL;
}

static enum fm_status listen_on(struct fm_pg_server *pg, const char *address, struct fm_error *err)
{
    bool is_near = false; /* TLS is offered in any case. */

    enum fm_status status = fm_address_listen(address, &pg->listener, &pg->port, &is_near, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "PostgreSQL clients");
}

static enum fm_status start(struct fm_pg_server *pg, struct fm_error *err)
{
    struct epoll_event stop = {.events = EPOLLIN, .data.ptr = NULL};

    pg->poller = epoll_create1(EPOLL_CLOEXEC);
    pg->stopper = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pg->poller < 0 || pg->stopper < 0 ||
        epoll_ctl(pg->poller, EPOLL_CTL_ADD, pg->stopper, &stop) != 0)
        return fm_fail_errno(err, FM_IO, errno, "wait for PostgreSQL clients");
    watch_listener(pg, EPOLL_CTL_ADD);
    if (pthread_create(&pg->threads[0], NULL, run, pg) != 0)
        return fm_fail(err, FM_NOMEM, "start a thread");
    pg->thread_count = 1;
    return FM_OK;
}

enum fm_status fm_pg_server_open(struct fm_server *server, struct fm_tls *tls, const char *address,
                                 struct fm_pg_server **out, struct fm_error *err)
{
    struct fm_pg_server *pg = calloc(1, sizeof *pg);

    if (pg == NULL)
        return fm_fail(err, FM_NOMEM, "listen for PostgreSQL clients");
    pg->server = server;
    pg->tls = tls;
    pg->listener = pg->poller = pg->stopper = -1;
    fm_assert(pthread_mutex_init(&pg->lock, NULL) == 0);
    enum fm_status status = listen_on(pg, address, err);
    if (status == FM_OK)
        status = start(pg, err);
    if (status != FM_OK) {
        fm_pg_server_close(pg);
        return status;
    }
    *out = pg;
    return FM_OK;
}

uint16_t fm_pg_server_port(const struct fm_pg_server *pg)
{
    return pg->port;
}

uint32_t fm_pg_server_connections(struct fm_pg_server *pg)
{
    lock(pg);
    uint32_t count = pg->count;
    unlock(pg);
    return count;
}

/* While a statement runs nobody else looks at the socket. */
static bool has_gone(const struct connection *connection)
{
    struct pollfd look = {.fd = fm_stream_fd(connection->stream), .events = POLLRDHUP};

    return poll(&look, 1, 0) == 1 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void fm_pg_server_reap(struct fm_pg_server *pg, fm_ms now)
{
    if (pg == NULL)
        return;
    lock(pg);
    for (uint32_t i = 0; i < FM_PG_CONNECTIONS_MAX; i++) {
        struct connection *connection = pg->connections[i];
        if (connection == NULL)
            continue;
        if (connection->is_busy && has_gone(connection) && connection->session != NULL)
            fm_pg_session_cancel(connection->session);
        if (!connection->is_busy && now > connection->due)
            (void)shutdown(fm_stream_fd(connection->stream), SHUT_RDWR); /* A thread closes it. */
    }
    unlock(pg);
}

void fm_pg_server_close(struct fm_pg_server *pg)
{
    uint64_t one = 1;

    if (pg == NULL)
        return;
    atomic_store(&pg->is_stopping, true);
    if (pg->stopper >= 0 && write(pg->stopper, &one, sizeof one) < 0)
        fm_assert(errno == EAGAIN);
    lock(pg);
    for (uint32_t i = 0; i < FM_PG_CONNECTIONS_MAX; i++) {
        struct connection *connection = pg->connections[i];
        if (connection == NULL)
            continue;
        if (connection->session != NULL)
            fm_pg_session_cancel(connection->session);
        (void)shutdown(fm_stream_fd(connection->stream), SHUT_RDWR);
    }
    unlock(pg);
    for (uint32_t i = 0; i < pg->thread_count; i++)
        fm_assert(pthread_join(pg->threads[i], NULL) == 0);
    for (uint32_t i = 0; i < FM_PG_CONNECTIONS_MAX; i++)
        connection_free(pg->connections[i]);
    const int fds[] = {pg->listener, pg->poller, pg->stopper};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]); /* Nothing to lose. */
    fm_assert(pthread_mutex_destroy(&pg->lock) == 0);
    free(pg);
}
