#include "node/transport.h"

#include "core/assert.h"
#include "core/session.h"
#include "node/server.h"

#include <errno.h>
#include <malloc.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HANDSHAKES_MAX 64u
#define REPLY_BYTES_MAX (FM_PAYLOAD_BYTES_MAX - 64u) /* Room for what stands around a body. */
#define OUT_BYTES_KEPT (64u << 10)                   /* By a thread that waits for the next call; */
#define OUT_MS_KEPT 1000                             /* more only so long. */

/* A session's way: HELLO (IKpsk2: admitted) -> FINISH (admitted, confirmed) -> calls (confirmed).
 * A HELLO of IKpsk2 may be a replay, whose sender cannot use the session: until a sealed frame
 * opened it counts as a handshake. */
struct session {
    uint8_t id[16];
    struct fm_handshake *handshake; /* WELCOME was sent, FINISH is awaited. */
    bool admitted;                  /* What follows from `session` on is set, for good. */
    bool confirmed;                 /* The caller has shown that it has the keys. */
    fm_ms since;
    fm_ms used;
    uint32_t references; /* Calls in progress. */
    uint32_t pipe;       /* Used last. */
    fm_ms cut_at;        /* When that one went; 0: it is there. */
    bool orphaned;       /* What it asked for was ended. */
    bool doomed;         /* To be freed when the last call ends. */
    struct fm_session *session;
    struct fm_caller caller;
    struct fm_buf cert;
};

struct pipe {
    uint32_t id; /* 0: free. */
    uint64_t address[2];
    fm_ms since;
    bool known; /* A session was used over it. */
};

struct fm_transport {
    struct fm_server *server;
    nng_socket socket;
    bool socket_open;
    uint16_t port;
    int wake;             /* Eventfd. */
    bool closed_some;     /* Silent pipes, at the last reaping: the reaper's. */
    pthread_mutex_t lock; /* Guards `sessions`, their fields up to `doomed`, and `pipes`. */
    struct session *sessions[FM_SESSIONS_MAX];
    struct pipe pipes[FM_PIPES_MAX];
    pthread_t threads[FM_RPC_THREADS];
    uint32_t thread_count;
};

/* ---- Sessions -------------------------------------------------------------------------------- */

static void session_free(struct session *session)
{
    if (session == NULL)
        return;
    fm_handshake_free(session->handshake);
    fm_session_free(session->session);
    fm_buf_free(&session->cert);
    free(session);
}

static void lock(struct fm_transport *transport)
{
    fm_assert(pthread_mutex_lock(&transport->lock) == 0);
}

static void unlock(struct fm_transport *transport)
{
    fm_assert(pthread_mutex_unlock(&transport->lock) == 0);
}

/* Find by id and hold a reference; NULL when unknown. */
static struct session *session_get(struct fm_transport *transport, const uint8_t id[16],
                                   bool *admitted)
{
    struct session *found = NULL;

    lock(transport);
    for (uint32_t i = 0; i < FM_SESSIONS_MAX && found == NULL; i++)
        if (transport->sessions[i] != NULL && !transport->sessions[i]->doomed &&
            memcmp(transport->sessions[i]->id, id, 16) == 0)
            found = transport->sessions[i];
    if (found != NULL) {
        found->references++;
        found->used = fm_now_ms();
        *admitted = found->admitted;
    }
    unlock(transport);
    return found;
}

/* Take it out of its slot when nobody uses it; the caller holds the lock and frees what it gets. */
static struct session *take_out(struct fm_transport *transport, uint32_t i)
{
    struct session *session = transport->sessions[i];

    session->doomed = true;
    if (session->references != 0)
        return NULL;
    transport->sessions[i] = NULL;
    return session;
}

static void session_put(struct fm_transport *transport, struct session *session)
{
    struct session *ended = NULL;

    lock(transport);
    fm_assert(session->references > 0);
    session->references--;
    if (session->doomed && session->references == 0)
        for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++)
            if (transport->sessions[i] == session)
                ended = take_out(transport, i);
    unlock(transport);
    session_free(ended);
}

/* The slot least recently used among sessions that no call uses. UINT32_MAX: none. */
static uint32_t oldest_slot(const struct fm_transport *transport, bool handshakes_only)
{
    uint32_t oldest = UINT32_MAX;

    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++) {
        const struct session *session = transport->sessions[i];
        if (session == NULL || session->references != 0 || (handshakes_only && session->confirmed))
            continue;
        if (oldest == UINT32_MAX || session->used < transport->sessions[oldest]->used)
            oldest = i;
    }
    return oldest;
}

/* FM_BUSY when every slot is in use. Handshakes push out handshakes only, beyond their bound:
 * strangers can begin any number of them, and must not end what others have. */
static enum fm_status session_add(struct fm_transport *transport, struct session *session)
{
    struct session *evicted = NULL;
    uint32_t handshakes = 0, slot = UINT32_MAX;

    lock(transport);
    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++) {
        if (transport->sessions[i] == NULL)
            slot = i;
        else if (!transport->sessions[i]->confirmed)
            handshakes++;
    }
    if (handshakes >= HANDSHAKES_MAX || slot == UINT32_MAX) {
        slot = oldest_slot(transport, handshakes >= HANDSHAKES_MAX);
        if (slot != UINT32_MAX)
            evicted = take_out(transport, slot);
    }
    if (slot != UINT32_MAX)
        transport->sessions[slot] = session;
    unlock(transport);
    session_free(evicted);
    return slot == UINT32_MAX ? FM_BUSY : FM_OK;
}

/* The caller holds the lock. */
static bool has_pipe(const struct fm_transport *transport, uint32_t id)
{
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++)
        if (transport->pipes[i].id == id)
            return true;
    return false;
}

/* It is used, over this pipe now, which may have gone since the message came. */
static void session_confirm(struct fm_transport *transport, struct session *session, nng_pipe pipe)
{
    lock(transport);
    session->admitted = true;
    session->confirmed = true;
    session->pipe = (uint32_t)nng_pipe_id(pipe);
    session->orphaned = false;
    session->cut_at = has_pipe(transport, session->pipe) ? 0 : fm_now_ms();
    unlock(transport);
}

static void session_doom(struct fm_transport *transport, struct session *session)
{
    lock(transport);
    session->doomed = true;
    unlock(transport);
}

/* ---- Handshake ------------------------------------------------------------------------------- */

static enum fm_status admit(struct fm_transport *transport, struct session *session,
                            const struct fm_handshake *handshake, struct fm_error *err)
{
    const struct fm_charter *charter = &transport->server->identity->charter;
    enum fm_payload_kind kind;
    struct fm_span cert = fm_handshake_peer_cert(handshake, &kind);
    const struct fm_public_key *named;
    enum fm_status status;

    session->caller.kind = kind;
    if (kind == FM_PAYLOAD_NODE) {
        status =
            fm_node_cert_open(charter, cert, fm_seconds(fm_now_us()), &session->caller.node, err);
        named = &session->caller.node.session_key;
    } else {
        status = fm_principal_cert_open(charter, cert, fm_seconds(fm_now_us()),
                                        &session->caller.principal, err);
        named = &session->caller.principal.session_key;
    }
    if (status != FM_OK)
        return status;
    if (!fm_public_key_equal(named, fm_handshake_peer_key(handshake)))
        return fm_fail(err, FM_FORGED, "the certificate is for another session key");
    session->cert.max = FM_ENVELOPE_BYTES_MAX;
    fm_buf_put_span(&session->cert, cert);
    status = fm_buf_status(&session->cert);
    if (status == FM_OK)
        status = fm_handshake_session(handshake, fm_now_ms(), &session->session);
    if (status != FM_OK)
        return status;
    session->caller.cert = fm_buf_span(&session->cert);
    session->caller.session = fm_session_hash(session->session);
    return FM_OK;
}

static enum fm_status on_hello(struct fm_transport *transport, struct fm_span bytes,
                               struct fm_buf *out, struct fm_error *err)
{
    const struct fm_identity *identity = transport->server->identity;
    struct session *session = calloc(1, sizeof *session);
    struct fm_handshake_options options = {
        .initiator = false,
        .session_key = identity->session_key,
        .gossip_key = identity->gossip_key,
        .cert_kind = FM_PAYLOAD_NODE,
        .cert = fm_buf_span(&identity->cert_bytes),
    };

    if (session == NULL)
        return fm_fail(err, FM_NOMEM, "no memory for a session");
    fm_random(session->id, sizeof session->id);
    memcpy(options.session_id, session->id, sizeof session->id);
    session->since = session->used = fm_now_ms();
    enum fm_status status = fm_handshake_new(&options, &session->handshake);
    if (status == FM_OK)
        status = fm_handshake_step(session->handshake, bytes, out, err);
    if (status == FM_OK && fm_handshake_is_finished(session->handshake)) {
        status = admit(transport, session, session->handshake, err);
        session->admitted = status == FM_OK; /* Nobody else knows of it yet. */
        fm_handshake_free(FM_TAKE(session->handshake));
    }
    if (status == FM_OK)
        status = session_add(transport, session);
    if (status != FM_OK)
        session_free(session);
    return status;
}

/* The answer is a sealed empty reply: the caller is admitted. */
static enum fm_status on_finish(struct fm_transport *transport, struct session *session,
                                struct fm_span bytes, nng_pipe pipe, struct fm_buf *out,
                                struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(256);

    lock(transport); /* One FINISH per handshake, whoever else sends one. */
    struct fm_handshake *handshake = FM_TAKE(session->handshake);
    unlock(transport);
    if (handshake == NULL)
        return fm_fail(err, FM_MALFORMED, "no handshake is under way in this session");
    enum fm_status status = fm_handshake_step(handshake, bytes, out, err);
    if (status == FM_OK && !fm_handshake_is_finished(handshake))
        status = fm_fail(err, FM_MALFORMED, "the handshake is not complete");
    if (status == FM_OK)
        status = admit(transport, session, handshake, err);
    fm_handshake_free(handshake);
    if (status != FM_OK) {
        session_doom(transport, session);
        return status;
    }
    session_confirm(transport, session, pipe);
    fm_reply_encode(&plain, &(struct fm_reply){.status = FM_OK});
    return fm_frame_seal(session->session, session->id, fm_now_ms(), fm_buf_span(&plain), out);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* The text of a failure as UTF-8: what was cut, or came from an engine, may end in half a character
 * or hold what is none. */
static struct fm_span error_text(enum fm_status status, const struct fm_error *failure)
{
    struct fm_span text = fm_span_str(failure->text);

    while (text.len != 0 && !fm_utf8_valid(text))
        text.len--;
    return text.len != 0 ? text : fm_span_str(fm_status_text(status));
}

static enum fm_status run_call(struct fm_transport *transport, struct session *session,
                               struct fm_span plain, struct fm_buf *body, struct fm_error *failure)
{
    struct fm_call call;
    enum fm_status status = fm_call_decode(plain, &call);

    if (status != FM_OK)
        return fm_fail(failure, status, "the call: %s", fm_status_text(status));
    status = fm_methods_call(transport->server, &session->caller, &call, body, failure);
    if (status == FM_OK)
        status = fm_buf_status(body);
    if (status == FM_OK && body->len > REPLY_BYTES_MAX)
        status = fm_fail(failure, FM_LIMIT, "the answer is larger than a message");
    if (status != FM_OK)
        fm_log(&transport->server->log, FM_LOG_DEBUG, "call failed", "method",
               fm_method_text(call.method), "status", fm_status_text(status), "reason",
               failure->text, NULL);
    return status;
}

static void pipe_known(struct fm_transport *transport, nng_pipe pipe);

/* The session's link went while a call began something. */
static void end_if_orphaned(struct fm_transport *transport, const struct session *session)
{
    lock(transport);
    bool orphaned = session->orphaned;
    unlock(transport);
    if (orphaned)
        fm_cursors_orphan(transport->server->cursors, fm_session_hash(session->session));
}

/* A frame that opens is answered sealed, whatever it asks for. */
static enum fm_status on_sealed(struct fm_transport *transport, struct session *session,
                                const struct fm_frame *frame, struct fm_span bytes, nng_pipe pipe,
                                struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_error failure = {0};

    enum fm_status status = fm_frame_open(session->session, frame, bytes, fm_now_ms(), &plain);
    if (status != FM_OK)
        return fm_fail(err, status, "the call does not open: %s", fm_status_text(status));
    session_confirm(transport, session, pipe);
    pipe_known(transport, pipe); /* Before the call, which may take its time. */
    status = run_call(transport, session, fm_buf_span(&plain), &body, &failure);
    end_if_orphaned(transport, session);
    struct fm_reply reply = {.status = status, .body = fm_buf_span(&body)};
    if (status != FM_OK)
        reply.error = error_text(status, &failure);
    fm_reply_encode(&answer, &reply);
    status = fm_buf_status(&answer);
    if (status == FM_OK)
        status =
            fm_frame_seal(session->session, session->id, fm_now_ms(), fm_buf_span(&answer), out);
    return status;
}

static enum fm_status on_session_frame(struct fm_transport *transport, const struct fm_frame *frame,
                                       struct fm_span bytes, nng_pipe pipe, struct fm_buf *out,
                                       struct fm_error *err)
{
    bool admitted = false;
    struct session *session = session_get(transport, frame->session, &admitted);
    enum fm_status status;

    if (session == NULL)
        return fm_fail(err, FM_NOTFOUND, "no such session here (any more)");
    if (frame->kind == FM_FRAME_FINISH) {
        status = on_finish(transport, session, bytes, pipe, out, err);
        if (status == FM_OK)
            pipe_known(transport, pipe);
    } else if (admitted) {
        status = on_sealed(transport, session, frame, bytes, pipe, out, err);
    } else {
        status = fm_fail(err, FM_MALFORMED, "the handshake is not complete");
    }
    session_put(transport, session);
    return status;
}

static void on_frame(struct fm_transport *transport, struct fm_span bytes, nng_pipe pipe,
                     struct fm_buf *out)
{
    struct fm_error err = {0};
    struct fm_frame frame = {0};
    enum fm_status status = fm_frame_decode(bytes, &frame);

    if (status == FM_OK && frame.kind == FM_FRAME_HELLO)
        status = on_hello(transport, bytes, out, &err);
    else if (status == FM_OK && (frame.kind == FM_FRAME_FINISH || frame.kind == FM_FRAME_SEALED))
        status = on_session_frame(transport, &frame, bytes, pipe, out, &err);
    else if (status == FM_OK)
        status = fm_fail(&err, FM_MALFORMED, "this frame is not for a listener");
    if (status == FM_OK)
        return;
    bool has_refusal = out->len != 0 && out->data[0] == FM_FRAME_REFUSED;
    if (!has_refusal) {
        fm_buf_clear(out);
        fm_frame_refuse(out, frame.session, status, err.text);
    }
    fm_log(&transport->server->log, FM_LOG_DEBUG, "frame refused", "reason",
           err.text[0] != '\0' ? err.text : fm_status_text(status), NULL);
}

/* ---- Pipes ----------------------------------------------------------------------------------- */

static void pipe_address(nng_pipe pipe, uint64_t out[2])
{
    nng_sockaddr address;

    memset(out, 0, 2 * sizeof out[0]);
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) != 0)
        return;
    if (address.s_family == NNG_AF_INET)
        out[0] = address.s_in.sa_addr;
    else if (address.s_family == NNG_AF_INET6)
        memcpy(out, address.s_in6.sa_addr, 16);
}

static void pipe_remove(struct fm_transport *transport, uint32_t id)
{
    const uint64_t one = 1;
    bool cut = false;

    lock(transport);
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++)
        if (transport->pipes[i].id == id)
            transport->pipes[i].id = 0;
    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++) {
        struct session *session = transport->sessions[i];
        if (session == NULL || !session->confirmed || session->pipe != id || session->cut_at != 0)
            continue;
        session->cut_at = fm_now_ms();
        cut = true;
    }
    unlock(transport);
    ssize_t written = cut ? write(transport->wake, &one, sizeof one) : 0;
    (void)written; /* Full means that it wakes all the same. */
}

int fm_transport_wake(const struct fm_transport *transport)
{
    return transport->wake;
}

fm_ms fm_transport_end_orphans(struct fm_transport *transport, fm_ms now)
{
    fm_ms next = FM_MS_NEVER;

    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++) {
        uint8_t hash[FM_HASH_BYTES];
        bool due = false;
        lock(transport);
        struct session *session = transport->sessions[i];
        if (session != NULL && session->confirmed && session->cut_at != 0) {
            due = now - session->cut_at >= FM_ORPHAN_MS;
            if (!due && session->cut_at + FM_ORPHAN_MS < next)
                next = session->cut_at + FM_ORPHAN_MS;
        }
        if (due) {
            session->cut_at = 0;
            session->orphaned = true;
            memcpy(hash, fm_session_hash(session->session), sizeof hash);
        }
        unlock(transport);
        if (due)
            fm_cursors_orphan(transport->server->cursors, hash);
    }
    return next;
}

/* Loopback is where all of a laptop's programs come from: it has the whole table. */
static bool has_own_bound(const uint64_t address[2])
{
    bool is_loopback = ((address[0] & 0xff) == 127 && address[1] == 0) ||
                       (address[0] == 0 && address[1] == UINT64_C(1) << 56); /* ::1 */
    return !is_loopback;
}

/* Where there is no room, the pipe that has been silent for the longest time goes, of the same
 * address when its bound is reached: strangers only push out strangers. Gives the id to close: of
 * that one, of the new one (all others are in use), or 0. */
static uint32_t pipe_add(struct fm_transport *transport, uint32_t id, const uint64_t address[2])
{
    struct pipe added = {.id = id, .since = fm_now_ms()}, *free_place = NULL;
    struct pipe *silent = NULL, *silent_same = NULL;
    uint32_t same = 0;

    memcpy(added.address, address, sizeof added.address);
    lock(transport);
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++) {
        struct pipe *other = &transport->pipes[i];
        if (other->id == 0) {
            free_place = other;
            continue;
        }
        bool is_same = memcmp(other->address, address, sizeof other->address) == 0;
        same += is_same;
        if (other->known)
            continue;
        if (silent == NULL || other->since < silent->since)
            silent = other;
        if (is_same && (silent_same == NULL || other->since < silent_same->since))
            silent_same = other;
    }
    struct pipe *place = free_place != NULL ? free_place : silent;
    if (has_own_bound(address) && same >= FM_PIPES_PER_ADDRESS_MAX)
        place = silent_same;
    uint32_t victim = place != NULL ? place->id : id;
    if (place != NULL)
        *place = added;
    unlock(transport);
    return victim;
}

/* On nng's threads. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct fm_transport *transport = context;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    uint64_t address[2];

    if (event != NNG_PIPE_EV_ADD_PRE) {
        pipe_remove(transport, id);
        return;
    }
    pipe_address(pipe, address);
    uint32_t victim = pipe_add(transport, id, address);
    if (victim != 0)
        (void)nng_pipe_close((nng_pipe){.id = victim}); /* It may be closed already. */
}

static void pipe_known(struct fm_transport *transport, nng_pipe pipe)
{
    uint32_t id = (uint32_t)nng_pipe_id(pipe);

    lock(transport);
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++)
        if (transport->pipes[i].id == id)
            transport->pipes[i].known = true;
    unlock(transport);
}

void fm_transport_reap(struct fm_transport *transport, fm_ms now)
{
    uint32_t silent[FM_PIPES_MAX], silent_count = 0;

    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++) {
        struct session *ended = NULL;
        lock(transport);
        struct session *session = transport->sessions[i];
        if (session != NULL && now - session->since > (session->confirmed ? FM_SESSION_REJECT_MS
                                                                          : FM_HANDSHAKE_MS_MAX))
            ended = take_out(transport, i);
        unlock(transport);
        session_free(ended);
    }
    lock(transport);
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++)
        if (transport->pipes[i].id != 0 && !transport->pipes[i].known &&
            now - transport->pipes[i].since > FM_HANDSHAKE_MS_MAX)
            silent[silent_count++] = transport->pipes[i].id;
    unlock(transport);
    for (uint32_t i = 0; i < silent_count; i++)
        (void)nng_pipe_close((nng_pipe){.id = silent[i]}); /* It may be gone already. */
    /* By now nng has freed what those of the last time had sent, 160 MiB at worst; the C library
     * would keep it for ever. */
    if (transport->closed_some)
        (void)malloc_trim(0); /* Says whether there was any. */
    transport->closed_some = silent_count != 0;
}

/* ---- Threads --------------------------------------------------------------------------------- */

static int receive(nng_ctx context, nng_aio *aio, nng_duration timeout, nng_msg **message)
{
    nng_aio_set_timeout(aio, timeout);
    nng_ctx_recv(context, aio);
    nng_aio_wait(aio);
    int code = nng_aio_result(aio);
    if (code == 0)
        *message = nng_aio_get_msg(aio);
    return code;
}

static void answer(nng_ctx context, nng_aio *aio, nng_pipe pipe, struct fm_span bytes)
{
    nng_msg *message = NULL;

    if (nng_msg_alloc(&message, bytes.len) != 0)
        return; /* The caller runs into its deadline; there is no memory to say so. */
    memcpy(nng_msg_body(message), bytes.data, bytes.len);
    nng_aio_set_timeout(aio, FM_HANDSHAKE_MS_MAX);
    nng_aio_set_msg(aio, message);
    nng_ctx_send(context, aio);
    nng_aio_wait(aio);
    int code = nng_aio_result(aio);
    if (code != 0)
        nng_msg_free(nng_aio_get_msg(aio)); /* The caller has gone. */
    if (code == NNG_ETIMEDOUT)
        (void)nng_pipe_close(pipe); /* Who asks and does not read holds a thread each time. */
}

static void *serve(void *argument)
{
    struct fm_transport *transport = argument;
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    nng_aio *aio = NULL;
    nng_ctx context;

    if (nng_ctx_open(&context, transport->socket) != 0)
        return NULL;
    if (nng_aio_alloc(&aio, NULL, NULL) != 0)
        return NULL;
    for (;;) {
        nng_msg *message = NULL;
        bool is_large = out.cap > OUT_BYTES_KEPT;
        int code = receive(context, aio, is_large ? OUT_MS_KEPT : NNG_DURATION_INFINITE, &message);
        if (code == NNG_ECLOSED || code == NNG_ECANCELED)
            break;
        if (code == NNG_ETIMEDOUT) /* So many threads would keep 60 MiB. */
            fm_buf_free(&out);
        if (code != 0)
            continue;
        nng_pipe pipe = nng_msg_get_pipe(message);
        fm_buf_clear(&out);
        on_frame(transport, fm_span(nng_msg_body(message), nng_msg_len(message)), pipe, &out);
        nng_msg_free(message);
        if (fm_buf_status(&out) == FM_OK && out.len != 0)
            answer(context, aio, pipe, fm_buf_span(&out));
    }
    nng_aio_free(aio);
    return NULL;
}

static enum fm_status set_up(struct fm_transport *transport, struct fm_error *err)
{
    const char *address = transport->server->config.listen;
    nng_listener listener;
    char url[512];
    int port = 0;

    (void)snprintf(url, sizeof url, "tcp://%s", address);
    int code = nng_rep0_open(&transport->socket);
    transport->socket_open = code == 0;
    if (code == 0)
        code = nng_socket_set_size(transport->socket, NNG_OPT_RECVMAXSZ, FM_MESSAGE_BYTES_MAX);
    if (code == 0)
        code = nng_pipe_notify(transport->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, transport);
    if (code == 0)
        code = nng_pipe_notify(transport->socket, NNG_PIPE_EV_REM_POST, on_pipe, transport);
    if (code == 0)
        code = nng_listener_create(&listener, transport->socket, url);
    if (code == 0)
        code = nng_listener_start(listener, 0);
    if (code == NNG_EADDRINUSE)
        return fm_fail(err, FM_CONFLICT,
                       "listen on %s: the port is in use; stop what uses it or choose another "
                       "with --listen",
                       address);
    if (code == 0)
        code = nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
    if (code != 0)
        return fm_fail(err, code == NNG_EADDRINVAL ? FM_INVALID : FM_IO, "listen on %s: %s",
                       address, nng_strerror(code));
    transport->port = (uint16_t)port;
    return FM_OK;
}

enum fm_status fm_transport_open(struct fm_server *server, struct fm_transport **out,
                                 struct fm_error *err)
{
    struct fm_transport *transport = calloc(1, sizeof *transport);

    if (transport == NULL || pthread_mutex_init(&transport->lock, NULL) != 0) {
        free(transport);
        return fm_fail(err, FM_NOMEM, "listen on %s", server->config.listen);
    }
    transport->server = server;
    transport->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (transport->wake < 0) {
        fm_transport_close(transport);
        return fm_fail_errno(err, FM_IO, errno, "listen on %s", server->config.listen);
    }
    enum fm_status status = set_up(transport, err);
    if (status != FM_OK) {
        fm_transport_close(transport);
        return status;
    }
    *out = transport;
    return FM_OK;
}

enum fm_status fm_transport_start(struct fm_transport *transport, struct fm_error *err)
{
    while (transport->thread_count < FM_RPC_THREADS) {
        if (pthread_create(&transport->threads[transport->thread_count], NULL, serve, transport) !=
            0)
            return fm_fail(err, FM_NOMEM, "start a thread");
        transport->thread_count++;
    }
    return FM_OK;
}

uint16_t fm_transport_port(const struct fm_transport *transport)
{
    return transport->port;
}

void fm_transport_close(struct fm_transport *transport)
{
    if (transport == NULL)
        return;
    if (transport->socket_open)
        (void)nng_close(transport->socket); /* Wakes every thread with NNG_ECLOSED. */
    for (uint32_t i = 0; i < transport->thread_count; i++)
        (void)pthread_join(transport->threads[i], NULL); /* Joined once, by its maker. */
    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++)
        session_free(transport->sessions[i]);
    if (transport->wake >= 0)
        (void)close(transport->wake); /* Nothing is lost. */
    (void)pthread_mutex_destroy(&transport->lock);
    free(transport);
}

void fm_transport_counts(struct fm_transport *transport, struct fm_transport_counts *out)
{
    *out = (struct fm_transport_counts){0};
    lock(transport);
    for (uint32_t i = 0; i < FM_SESSIONS_MAX; i++)
        out->sessions += transport->sessions[i] != NULL;
    for (uint32_t i = 0; i < FM_PIPES_MAX; i++)
        out->pipes += transport->pipes[i].id != 0;
    unlock(transport);
}
