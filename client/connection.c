#include "client/connection.h"

#include "client/link.h"
#include "core/assert.h"
#include "core/session.h"

#include <stdio.h>

struct fm_connection {
    const struct fm_identity *identity;
    struct fm_link *link;
    struct fm_session *session;
    uint8_t session_id[16];
    struct fm_node_cert node;
    struct fm_buf node_cert;
    char called[96]; /* "node ADDRESS: " before errors of calls; empty: the caller says whom. */
};

/* Send `frame` and wait for the answer's bytes. */
static enum fm_status exchange_frames(struct fm_connection *connection, struct fm_span frame,
                                      fm_ms deadline, struct fm_stop *stop, struct fm_buf *answer,
                                      struct fm_error *err)
{
    FM_AUTO(fm_exchange_freep) struct fm_exchange *exchange = NULL;
    struct fm_span bytes;

    enum fm_status status =
        fm_exchange_begin(connection->link, frame, deadline, stop, &exchange, err);
    if (status == FM_OK)
        status = fm_exchange_wait(exchange, &bytes, err);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(answer, bytes);
    return fm_buf_status(answer);
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
        fm_link_break(connection->link); /* The node does not know the session any more. */
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
    connection->identity = options->identity;
    if (options->expected == NULL)
        (void)snprintf(connection->called, sizeof connection->called,
                       "node %.80s: ", options->address);
    if (bounded.deadline > fm_now_ms() + FM_CONNECT_MS_MAX)
        bounded.deadline = fm_now_ms() + FM_CONNECT_MS_MAX;
    if (bounded.is_held_dead &&
        fm_link_is_refused(options->address, bounded.deadline, bounded.stop))
        return fm_fail(err, FM_UNAVAILABLE, "nobody listens at %s", options->address);
    enum fm_status status = fm_link_open(options->address, &connection->link, err);
    if (status == FM_OK)
        status = handshake(connection, &bounded, err);
    if (status == FM_TIMEOUT && !fm_link_was_made(connection->link))
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
    fm_link_free(connection->link);
    fm_session_free(connection->session);
    fm_buf_free(&connection->node_cert);
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
    return fm_link_is_broken(connection->link) ||
           fm_session_is_old(connection->session, fm_now_ms());
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* Seal a call and send it. */
static enum fm_status call_begin(struct fm_connection *connection, const struct fm_call *call,
                                 fm_ms deadline, struct fm_stop *stop,
                                 struct fm_exchange **exchange, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf frame = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);

    fm_call_encode(&plain, call);
    enum fm_status status = fm_buf_status(&plain);
    if (status == FM_OK && plain.len > FM_PAYLOAD_BYTES_MAX)
        status = FM_LIMIT;
    if (status == FM_OK)
        status = fm_frame_seal(connection->session, connection->session_id, fm_now_ms(),
                               fm_buf_span(&plain), &frame);
    if (status != FM_OK)
        return fm_fail(err, status, "send %s: %s", fm_method_text(call->method),
                       fm_status_text(status));
    status =
        fm_exchange_begin(connection->link, fm_buf_span(&frame), deadline, stop, exchange, err);
    return status == FM_OK
               ? FM_OK
               : fm_wrap(err, status, "%s%s", connection->called, fm_method_text(call->method));
}

/* Wait for the reply and open it into `plain`; `*body` views that. */
static enum fm_status call_end(struct fm_connection *connection, struct fm_exchange *begun,
                               enum fm_method method, struct fm_buf *plain, struct fm_span *body,
                               struct fm_error *err)
{
    FM_AUTO(fm_exchange_freep) struct fm_exchange *exchange = begun;
    struct fm_reply decoded;
    struct fm_span bytes;

    enum fm_status status = fm_exchange_wait(exchange, &bytes, err);
    if (status == FM_OK) {
        status = read_reply(connection, bytes, plain, &decoded, err);
        if (status == FM_REFUSED)
            status = FM_UNAVAILABLE; /* The session is gone; that says nothing about rights. */
    }
    if (status != FM_OK)
        return fm_wrap(err, status, "%s%s", connection->called, fm_method_text(method));
    if (decoded.status != FM_OK)
        return fm_fail(err, decoded.status, "%.*s", (int)decoded.error.len,
                       (const char *)decoded.error.data);
    *body = decoded.body;
    return FM_OK;
}

enum fm_status fm_connection_tell(struct fm_connection *connection, enum fm_method method,
                                  const struct fm_request_id *id, struct fm_span body,
                                  fm_ms deadline, struct fm_error *err)
{
    FM_AUTO(fm_exchange_freep) struct fm_exchange *exchange = NULL;
    struct fm_call call = {.method = method, .id = *id, .body = body};

    return call_begin(connection, &call, deadline, NULL, &exchange, err);
}

enum fm_status fm_connection_call(struct fm_connection *connection, enum fm_method method,
                                  const struct fm_request_id *id, struct fm_span body,
                                  fm_ms deadline, struct fm_stop *stop, struct fm_buf *reply,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_exchange *exchange = NULL;
    struct fm_call call = {.method = method, .id = *id, .body = body};
    struct fm_span answer;

    enum fm_status status = call_begin(connection, &call, deadline, stop, &exchange, err);
    if (status == FM_OK)
        status = call_end(connection, exchange, method, &plain, &answer, err);
    if (status != FM_OK || reply == NULL)
        return status;
    fm_buf_put_span(reply, answer);
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

/* ---- Fetching -------------------------------------------------------------------------------- */

struct fm_fetching {
    enum fm_method method;
    struct fm_fetch wanted; /* The part that was asked for. */
    fm_ms deadline;
    struct fm_stop *stop;
    struct fm_connection *connection;
    struct fm_exchange *exchange;
};

void fm_fetching_free(struct fm_fetching *fetching)
{
    if (fetching == NULL)
        return;
    fm_exchange_free(fetching->exchange);
    free(fetching);
}

static enum fm_status ask_part(struct fm_fetching *fetching, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);

    fm_fetch_encode(&body, &fetching->wanted);
    enum fm_status status = fm_buf_status(&body);
    if (status != FM_OK)
        return status;
    struct fm_call call = {
        .method = fetching->method, .id = fetching->wanted.query, .body = fm_buf_span(&body)};
    return call_begin(fetching->connection, &call, fetching->deadline, fetching->stop,
                      &fetching->exchange, err);
}

enum fm_status fm_connection_fetch_begin(struct fm_connection *connection, enum fm_method method,
                                         const struct fm_fetch *wanted, fm_ms deadline,
                                         struct fm_stop *stop, struct fm_fetching **out,
                                         struct fm_error *err)
{
    FM_AUTO(fm_fetching_freep) struct fm_fetching *fetching = calloc(1, sizeof *fetching);

    if (fetching == NULL)
        return FM_NOMEM;
    fetching->connection = connection;
    fetching->method = method;
    fetching->wanted = *wanted;
    fetching->deadline = deadline;
    fetching->stop = stop;
    enum fm_status status = ask_part(fetching, err);
    if (status == FM_OK)
        *out = FM_TAKE(fetching);
    return status;
}

/* A part that does not fit those before it. */
static bool part_fits(const struct fm_part *part, const struct fm_part *before, uint64_t offset)
{
    if (offset != 0 && (part->total != before->total || part->kind != before->kind))
        return false;
    return part->total <= FM_BATCH_BYTES_MAX && part->bytes.len != 0 &&
           part->bytes.len <= part->total - offset;
}

enum fm_status fm_connection_fetch_end(struct fm_fetching *fetching, enum fm_part_kind *kind,
                                       struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_fetching_freep) struct fm_fetching *owned = fetching; /* Ends with this. */
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    unsigned long long batch = fetching->wanted.batch;
    struct fm_part before = {0}, part = {0};
    struct fm_span body;

    (void)owned;
    for (;;) {
        enum fm_status status = call_end(fetching->connection, FM_TAKE(fetching->exchange),
                                         fetching->method, &plain, &body, err);
        if (status != FM_OK)
            return status;
        status = fm_part_decode(body, &part);
        if (status != FM_OK)
            return fm_fail(err, status, "a part of batch %llu does not decode", batch);
        if (!part_fits(&part, &before, fetching->wanted.offset))
            return fm_fail(err, FM_MALFORMED, "batch %llu comes in parts that do not fit", batch);
        fm_buf_put_span(out, part.bytes);
        if (fm_buf_status(out) != FM_OK)
            return fm_fail(err, fm_buf_status(out), "batch %llu is too large", batch);
        fetching->wanted.offset += part.bytes.len;
        if (fetching->wanted.offset == part.total)
            break;
        before = part;
        fm_buf_clear(&plain);
        status = ask_part(fetching, err);
        if (status != FM_OK)
            return status;
    }
    *kind = part.kind;
    return FM_OK;
}

enum fm_status fm_connection_fetch(struct fm_connection *connection, enum fm_method method,
                                   const struct fm_request_id *query, uint32_t number,
                                   uint64_t batch, fm_ms deadline, struct fm_stop *stop,
                                   enum fm_part_kind *kind, struct fm_buf *out,
                                   struct fm_error *err)
{
    const struct fm_fetch wanted = {.query = *query, .number = number, .batch = batch};
    struct fm_fetching *fetching = NULL;

    enum fm_status status =
        fm_connection_fetch_begin(connection, method, &wanted, deadline, stop, &fetching, err);
    return status == FM_OK ? fm_connection_fetch_end(fetching, kind, out, err) : status;
}
