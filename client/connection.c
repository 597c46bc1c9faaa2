#include "client/connection.h"

#include "core/assert.h"
#include "core/session.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define CALLS_MAX 512u /* At once on one connection; fewer than FM_REPLAY_WINDOW. */
_Static_assert(CALLS_MAX < FM_REPLAY_WINDOW, "calls arrive in any order");

struct fm_connection {
    const struct fm_identity *identity;
    nng_socket socket;
    bool socket_open;
    struct fm_session *session;
    uint8_t session_id[16];
    struct fm_node_cert node;
    struct fm_buf node_cert;
    atomic_bool linked; /* A pipe is there. */
    atomic_bool broken;
    pthread_mutex_t lock; /* Guards `waiting`, and that nothing starts on a broken link. */
    nng_aio *waiting[CALLS_MAX];
};

/* ---- nng ------------------------------------------------------------------------------------ */

/* On nng's threads. When the link goes, calls that wait for an answer cannot get one any more. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct fm_connection *connection = context;

    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_POST) {
        atomic_store(&connection->linked, true);
        return;
    }
    if (!atomic_load(&connection->linked))
        return;
    (void)pthread_mutex_lock(&connection->lock); /* Cannot fail: a plain mutex. */
    atomic_store(&connection->broken, true);
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        if (connection->waiting[i] != NULL)
            nng_aio_abort(connection->waiting[i], NNG_ECONNRESET);
    (void)pthread_mutex_unlock(&connection->lock);
}

static enum fm_status nng_failed(int code, struct fm_error *err, const char *what)
{
    switch (code) {
    case NNG_ENOMEM:
        return fm_fail(err, FM_NOMEM, "%s", what);
    case NNG_ETIMEDOUT:
        return fm_fail(err, FM_TIMEOUT, "%s: no answer before the deadline", what);
    case NNG_EADDRINVAL:
        return fm_fail(err, FM_INVALID, "%s: the address is not host:port", what);
    case NNG_EMSGSIZE:
        return fm_fail(err, FM_MALFORMED, "%s: the message is too large", what);
    case NNG_ECANCELED:
        return fm_fail(err, FM_CANCELLED, "%s: the query was cancelled", what);
    default:
        return fm_fail(err, FM_UNAVAILABLE, "%s: %s", what, nng_strerror(code));
    }
}

static bool add_waiting(struct fm_connection *connection, nng_aio *aio, uint32_t *slot)
{
    bool added = false;
    (void)pthread_mutex_lock(&connection->lock);
    for (uint32_t i = 0; i < CALLS_MAX && !added; i++) {
        if (connection->waiting[i] != NULL)
            continue;
        connection->waiting[i] = aio;
        *slot = i;
        added = true;
    }
    (void)pthread_mutex_unlock(&connection->lock);
    return added;
}

static void remove_waiting(struct fm_connection *connection, uint32_t slot)
{
    (void)pthread_mutex_lock(&connection->lock);
    connection->waiting[slot] = NULL;
    (void)pthread_mutex_unlock(&connection->lock);
}

static nng_duration left(fm_ms deadline)
{
    fm_ms now = fm_now_ms();
    if (deadline <= now)
        return 1;
    return deadline - now > FM_QUERY_MS_MAX ? (nng_duration)FM_QUERY_MS_MAX
                                            : (nng_duration)(deadline - now);
}

struct exchange { /* One request and its answer, whatever happens in between. */
    struct fm_connection *connection;
    nng_ctx context;
    bool context_open;
    nng_aio *aio;
    struct fm_stop *stop;
    struct fm_stop_hook hook;
    bool stopped; /* Guarded by the connection's lock, as what has begun with `aio`. */
};

/* Begin to send or to receive; what has begun is aborted when the link goes, so that nobody waits
 * for an answer that cannot come, and when it is to stop. nng would send over its next link, which
 * is in no session. */
static int run_step(struct exchange *exchange, fm_ms deadline, void (*step)(nng_ctx, nng_aio *))
{
    struct fm_connection *connection = exchange->connection;

    nng_aio_set_timeout(exchange->aio, left(deadline));
    (void)pthread_mutex_lock(&connection->lock);
    bool broken = atomic_load(&connection->broken), stopped = exchange->stopped;
    if (!broken && !stopped)
        step(exchange->context, exchange->aio);
    (void)pthread_mutex_unlock(&connection->lock);
    if (stopped)
        return NNG_ECANCELED;
    if (broken)
        return NNG_ECONNRESET;
    nng_aio_wait(exchange->aio);
    return nng_aio_result(exchange->aio);
}

static void stop_exchange(void *context)
{
    struct exchange *exchange = context;
    struct fm_connection *connection = exchange->connection;

    (void)pthread_mutex_lock(&connection->lock); /* Cannot fail: a plain mutex. */
    exchange->stopped = true;
    nng_aio_abort(exchange->aio, NNG_ECANCELED);
    (void)pthread_mutex_unlock(&connection->lock);
}

static void exchange_end(struct exchange *exchange)
{
    fm_stop_unhook(exchange->stop, &exchange->hook);
    if (exchange->context_open)
        (void)nng_ctx_close(exchange->context); /* Only fails when it is closed already. */
    if (exchange->aio != NULL)
        nng_aio_free(exchange->aio);
}

/* Send `frame` and wait for the answer's bytes; `answer` NULL: only send. */
static enum fm_status exchange_frames(struct fm_connection *connection, struct fm_span frame,
                                      fm_ms deadline, struct fm_stop *stop, struct fm_buf *answer,
                                      struct fm_error *err)
{
    FM_AUTO(exchange_end) struct exchange exchange = {.connection = connection};
    nng_msg *message = NULL;
    uint32_t slot = 0;

    int code = nng_ctx_open(&exchange.context, connection->socket);
    if (code != 0)
        return nng_failed(code, err, "open a request");
    exchange.context_open = true;
    code = nng_aio_alloc(&exchange.aio, NULL, NULL);
    if (code == 0)
        code = nng_msg_alloc(&message, frame.len);
    if (code != 0)
        return nng_failed(code, err, "send a request");
    memcpy(nng_msg_body(message), frame.data, frame.len);
    if (!add_waiting(connection, exchange.aio, &slot)) {
        nng_msg_free(message);
        return fm_fail(err, FM_BUSY, "more than %u calls on one connection", CALLS_MAX);
    }
    nng_aio_set_msg(exchange.aio, message);
    exchange.stop = stop;
    fm_stop_hook(stop, &exchange.hook, stop_exchange, &exchange);
    code = run_step(&exchange, deadline, nng_ctx_send);
    if (code != 0)
        nng_msg_free(nng_aio_get_msg(exchange.aio)); /* Not sent: still ours. */
    else if (answer != NULL)
        code = run_step(&exchange, deadline, nng_ctx_recv);
    remove_waiting(connection, slot);
    if (code != 0)
        return nng_failed(code, err, answer != NULL ? "wait for the answer" : "send");
    if (answer == NULL)
        return FM_OK;
    message = nng_aio_get_msg(exchange.aio);
    fm_buf_put(answer, nng_msg_body(message), nng_msg_len(message));
    nng_msg_free(message);
    return fm_buf_status(answer);
}

static enum fm_status dial(struct fm_connection *connection, const char *address,
                           struct fm_error *err)
{
    char url[512];
    nng_dialer dialer;

    if (snprintf(url, sizeof url, "tcp://%s", address) >= (int)sizeof url)
        return fm_fail(err, FM_INVALID, "address %.100s... is too long", address);
    int code = nng_req0_open(&connection->socket);
    if (code != 0)
        return nng_failed(code, err, "open a socket");
    connection->socket_open = true;
    /* -1: any other value resends at once when a pipe closes, in a session that is gone. */
    code = nng_socket_set_ms(connection->socket, NNG_OPT_REQ_RESENDTIME, -1);
    if (code == 0)
        code = nng_socket_set_size(connection->socket, NNG_OPT_RECVMAXSZ, FM_MESSAGE_BYTES_MAX);
    if (code == 0)
        code = nng_socket_set_ms(connection->socket, NNG_OPT_RECONNMINT, 100);
    if (code == 0)
        code = nng_socket_set_ms(connection->socket, NNG_OPT_RECONNMAXT, 500);
    if (code == 0)
        code = nng_pipe_notify(connection->socket, NNG_PIPE_EV_ADD_POST, on_pipe, connection);
    if (code == 0)
        code = nng_pipe_notify(connection->socket, NNG_PIPE_EV_REM_POST, on_pipe, connection);
    if (code == 0)
        code = nng_dialer_create(&dialer, connection->socket, url);
    if (code == 0)
        code = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    if (code != 0)
        return nng_failed(code, err, address);
    return FM_OK;
}

/* ---- Handshake ------------------------------------------------------------------------------- */

static enum fm_status accept_peer(struct fm_connection *connection,
                                  const struct fm_handshake *handshake,
                                  const struct fm_node_cert *expected, struct fm_error *err)
{
    enum fm_payload_kind kind;
    struct fm_span cert = fm_handshake_peer_cert(handshake, &kind);

    if (kind != FM_PAYLOAD_NODE)
        return fm_fail(err, FM_FORGED, "the other side is not a node");
    enum fm_status status = fm_node_cert_open(&connection->identity->charter, cert,
                                              fm_seconds(fm_now_us()), &connection->node, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "certificate of the node");
    if (!fm_public_key_equal(&connection->node.session_key, fm_handshake_peer_key(handshake)))
        return fm_fail(err, FM_FORGED, "the node's certificate is for another session key");
    if (expected != NULL &&
        memcmp(&expected->node, &connection->node.node, sizeof expected->node) != 0)
        return fm_fail(err, FM_FORGED, "another node (%s) answers there", connection->node.name);
    fm_buf_put_span(&connection->node_cert, cert);
    return fm_buf_status(&connection->node_cert);
}

/* `answer` is left with the answer to FINISH, empty when the pattern has none. */
static enum fm_status run_handshake(struct fm_connection *connection,
                                    struct fm_handshake *handshake,
                                    const struct fm_connect_options *options, struct fm_buf *answer,
                                    struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf frame = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    enum fm_status status = fm_handshake_start(handshake, &frame);

    if (status != FM_OK)
        return fm_fail(err, status, "begin a handshake: %s", fm_status_text(status));
    while (status == FM_OK && frame.len != 0) {
        fm_buf_clear(answer);
        status = exchange_frames(connection, fm_buf_span(&frame), options->deadline, options->stop,
                                 answer, err);
        if (status != FM_OK || fm_handshake_is_finished(handshake))
            return status;
        fm_buf_clear(&frame);
        status = fm_handshake_step(handshake, fm_buf_span(answer), &frame, err);
    }
    fm_buf_clear(answer);
    return status;
}

static enum fm_status read_reply(struct fm_connection *connection, struct fm_span frame_bytes,
                                 struct fm_buf *plain, struct fm_reply *reply, struct fm_error *err)
{
    struct fm_frame frame;
    enum fm_status status = fm_frame_decode(frame_bytes, &frame);

    if (status != FM_OK)
        return fm_fail(err, status, "the answer is not a frame");
    if (frame.kind == FM_FRAME_REFUSED) {
        atomic_store(&connection->broken, true); /* The node does not know the session any more. */
        return fm_frame_refusal(&frame, NULL, err);
    }
    if (frame.kind != FM_FRAME_SEALED ||
        memcmp(frame.session, connection->session_id, sizeof frame.session) != 0)
        return fm_fail(err, FM_MALFORMED, "the answer belongs to another session");
    status = fm_frame_open(connection->session, &frame, frame_bytes, fm_now_ms(), plain);
    if (status == FM_OK)
        status = fm_reply_decode(fm_buf_span(plain), reply);
    if (status != FM_OK)
        return fm_fail(err, status, "the answer does not open: %s", fm_status_text(status));
    return FM_OK;
}

/* After FINISH the responder says whether it admits us: sealed, or refused in clear. */
static enum fm_status read_admission(struct fm_connection *connection, const struct fm_buf *answer,
                                     struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_reply reply;

    if (answer->len == 0)
        return FM_OK;
    enum fm_status status = read_reply(connection, fm_buf_span(answer), &plain, &reply, err);
    if (status == FM_OK && reply.status != FM_OK)
        status = fm_fail(err, reply.status, "%.*s", (int)reply.error.len,
                         (const char *)reply.error.data);
    return status;
}

static enum fm_status handshake(struct fm_connection *connection,
                                const struct fm_connect_options *options, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_handshake_freep) struct fm_handshake *state = NULL;
    const struct fm_identity *identity = options->identity;
    struct fm_handshake_options setup = {
        .initiator = true,
        .session_key = identity->session_key,
        .cert_kind = identity->kind,
        .cert = fm_buf_span(&identity->cert_bytes),
        .gossip_key = identity->gossip_key,
    };

    if (identity->kind == FM_PAYLOAD_PRINCIPAL) {
        setup.pattern = FM_NOISE_XX;
    } else if (options->expected != NULL) {
        setup.pattern = FM_NOISE_IKPSK2;
        setup.peer = &options->expected->session_key;
    } else {
        setup.pattern = FM_NOISE_XXPSK0;
    }
    enum fm_status status = fm_handshake_new(&setup, &state);
    if (status == FM_OK)
        status = run_handshake(connection, state, options, &answer, err);
    if (status == FM_OK)
        status = accept_peer(connection, state, options->expected, err);
    if (status == FM_OK)
        status = fm_handshake_session(state, fm_now_ms(), &connection->session);
    if (status != FM_OK)
        return status;
    memcpy(connection->session_id, fm_handshake_session_id(state), 16);
    return read_admission(connection, &answer, err);
}

enum fm_status fm_connection_open(const struct fm_connect_options *options,
                                  struct fm_connection **out, struct fm_error *err)
{
    FM_AUTO(fm_connection_freep) struct fm_connection *connection = calloc(1, sizeof *connection);
    struct fm_connect_options bounded = *options;

    if (connection == NULL)
        return fm_fail(err, FM_NOMEM, "connect to %s", options->address);
    if (pthread_mutex_init(&connection->lock, NULL) != 0) {
        free(FM_TAKE(connection));
        return fm_fail(err, FM_NOMEM, "connect to %s", options->address);
    }
    connection->identity = options->identity;
    if (bounded.deadline > fm_now_ms() + FM_CONNECT_MS_MAX)
        bounded.deadline = fm_now_ms() + FM_CONNECT_MS_MAX;
    enum fm_status status = dial(connection, options->address, err);
    if (status == FM_OK)
        status = handshake(connection, &bounded, err);
    if (status == FM_TIMEOUT && !atomic_load(&connection->linked))
        return fm_fail(err, FM_UNAVAILABLE,
                       "nobody answers at %s: is a node running there, and is the address right?",
                       options->address);
    if (status != FM_OK)
        return fm_wrap(err, status, "connect to %s", options->address);
    *out = FM_TAKE(connection);
    return FM_OK;
}

void fm_connection_free(struct fm_connection *connection)
{
    if (connection == NULL)
        return;
    if (connection->socket_open)
        (void)nng_close(connection->socket); /* Ends the callbacks too. */
    fm_session_free(connection->session);
    fm_buf_free(&connection->node_cert);
    (void)pthread_mutex_destroy(&connection->lock);
    free(connection);
}

const struct fm_node_cert *fm_connection_node(const struct fm_connection *connection)
{
    return &connection->node;
}

struct fm_span fm_connection_node_cert(const struct fm_connection *connection)
{
    return fm_buf_span(&connection->node_cert);
}

const uint8_t *fm_connection_session_hash(const struct fm_connection *connection)
{
    return fm_session_hash(connection->session);
}

bool fm_connection_is_broken(const struct fm_connection *connection)
{
    return atomic_load(&connection->broken) || fm_session_is_old(connection->session, fm_now_ms());
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static enum fm_status seal_call(struct fm_connection *connection, enum fm_method method,
                                const struct fm_request_id *id, struct fm_span body,
                                struct fm_buf *frame, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);

    fm_call_encode(&plain, &(struct fm_call){.method = method, .id = *id, .body = body});
    enum fm_status status = fm_buf_status(&plain);
    if (status == FM_OK && plain.len > FM_PAYLOAD_BYTES_MAX)
        status = FM_LIMIT;
    if (status == FM_OK)
        status = fm_frame_seal(connection->session, connection->session_id, fm_now_ms(),
                               fm_buf_span(&plain), frame);
    if (status != FM_OK)
        return fm_fail(err, status, "send %s: %s", fm_method_text(method), fm_status_text(status));
    return FM_OK;
}

enum fm_status fm_connection_tell(struct fm_connection *connection, enum fm_method method,
                                  const struct fm_request_id *id, struct fm_span body,
                                  fm_ms deadline, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf frame = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);

    enum fm_status status = seal_call(connection, method, id, body, &frame, err);
    if (status == FM_OK)
        status = exchange_frames(connection, fm_buf_span(&frame), deadline, NULL, NULL, err);
    return status;
}

enum fm_status fm_connection_call(struct fm_connection *connection, enum fm_method method,
                                  const struct fm_request_id *id, struct fm_span body,
                                  fm_ms deadline, struct fm_stop *stop, struct fm_buf *reply,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf frame = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_reply decoded;

    enum fm_status status = seal_call(connection, method, id, body, &frame, err);
    if (status != FM_OK)
        return status;
    status = exchange_frames(connection, fm_buf_span(&frame), deadline, stop, &answer, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "%s", fm_method_text(method));
    status = read_reply(connection, fm_buf_span(&answer), &plain, &decoded, err);
    if (status == FM_REFUSED)
        status = FM_UNAVAILABLE; /* The session is gone; that says nothing about rights. */
    if (status != FM_OK)
        return fm_wrap(err, status, "%s", fm_method_text(method));
    if (decoded.status != FM_OK)
        return fm_fail(err, decoded.status, "%.*s", (int)decoded.error.len,
                       (const char *)decoded.error.data);
    if (reply == NULL)
        return FM_OK;
    fm_buf_put_span(reply, decoded.body);
    return fm_buf_status(reply);
}

enum fm_status fm_connection_request(struct fm_connection *connection, struct fm_request *request,
                                     fm_ms deadline, struct fm_buf *envelope, struct fm_buf *reply,
                                     struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf sealed = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    struct fm_key *key = connection->identity->sign_key;

    request->audience = connection->node.node;
    memcpy(request->session.bytes, fm_session_hash(connection->session), FM_HASH_BYTES);
    request->time = fm_now_us();
    if (request->limit_ms == 0)
        request->limit_ms = FM_QUERY_MS_DEFAULT;
    fm_request_encode(&body, request);
    enum fm_status status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_REQUEST, &connection->identity->charter.mesh,
                                  fm_buf_span(&body), &key, 1, &sealed);
    if (status != FM_OK)
        return fm_fail(err, status, "sign %s: %s", fm_method_text(request->kind),
                       fm_status_text(status));
    if (envelope != NULL)
        fm_buf_put_span(envelope, fm_buf_span(&sealed));
    return fm_connection_call(connection, request->kind, &request->id, fm_buf_span(&sealed),
                              deadline, NULL, reply, err);
}

enum fm_status fm_connection_fetch(struct fm_connection *connection, enum fm_method method,
                                   const struct fm_request_id *query, uint32_t number,
                                   uint64_t batch, fm_ms deadline, struct fm_stop *stop,
                                   enum fm_part_kind *kind, struct fm_buf *out,
                                   struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf call = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    size_t start = out->len;
    struct fm_part part = {.total = 1};

    for (uint64_t offset = 0; offset < part.total; offset = out->len - start) {
        uint64_t total = part.total;
        fm_buf_clear(&call);
        fm_buf_clear(&reply);
        fm_fetch_encode(&call,
                        &(struct fm_fetch){
                            .query = *query, .number = number, .batch = batch, .offset = offset});
        enum fm_status status = fm_connection_call(connection, method, query, fm_buf_span(&call),
                                                   deadline, stop, &reply, err);
        if (status != FM_OK)
            return status;
        status = fm_part_decode(fm_buf_span(&reply), &part);
        if (status != FM_OK)
            return fm_fail(err, status, "a part of batch %llu does not decode",
                           (unsigned long long)batch);
        if ((offset != 0 && (part.total != total || part.kind != *kind)) ||
            part.total > FM_BATCH_BYTES_MAX || part.bytes.len == 0 ||
            part.bytes.len > part.total - offset)
            return fm_fail(err, FM_MALFORMED, "batch %llu comes in parts that do not fit",
                           (unsigned long long)batch);
        *kind = part.kind;
        fm_buf_put_span(out, part.bytes);
        if (fm_buf_status(out) != FM_OK)
            return fm_fail(err, fm_buf_status(out), "batch %llu is too large",
                           (unsigned long long)batch);
    }
    return FM_OK;
}
