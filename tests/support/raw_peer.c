#include "tests/support/raw_peer.h"

#include "core/limits.h"
#include "core/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Protocol numbers of nng: REQ 0x30, REP 0x31, big endian. */
static const uint8_t sp_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
static const uint8_t sp_rep[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
static const uint8_t request_id[4] = {0x80, 0, 0, 1}; /* The high bit ends REQ's trace of hops. */

int raw_dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void raw_bytes(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len != 0) {
        ssize_t put = send(fd, at, len, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return;
        at += put;
        len -= (size_t)put;
    }
}

/* All of `len` bytes within `ms`. */
static enum raw_result read_all(int fd, void *out, size_t len, fm_ms ms)
{
    fm_ms end = fm_now_ms() + ms;
    uint8_t *at = out;

    while (len != 0) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        fm_ms left = end - fm_now_ms();
        if (left <= 0 || poll(&poll_fd, 1, (int)left) == 0)
            return RAW_SILENT;
        ssize_t got = recv(fd, at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return RAW_CLOSED;
        at += got;
        len -= (size_t)got;
    }
    return RAW_MESSAGE;
}

bool raw_greet(int fd)
{
    uint8_t answer[8];

    raw_bytes(fd, sp_req, sizeof sp_req);
    return read_all(fd, answer, sizeof answer, RAW_ANSWER_MS) == RAW_MESSAGE &&
           memcmp(answer, sp_rep, sizeof answer) == 0;
}

int raw_open(uint16_t port)
{
    int fd = raw_dial(port);

    assert_true(fd >= 0);
    if (!raw_greet(fd)) {
        (void)close(fd);
        fail_msg("no greeting on port %u", port);
    }
    return fd;
}

void raw_length(int fd, uint64_t length)
{
    uint8_t bytes[8];

    fm_store64_be(bytes, length);
    raw_bytes(fd, bytes, sizeof bytes);
}

void raw_send(int fd, struct fm_span message)
{
    raw_length(fd, message.len + sizeof request_id);
    raw_bytes(fd, request_id, sizeof request_id);
    raw_bytes(fd, message.data, message.len);
}

enum raw_result raw_receive(int fd, fm_ms ms, struct fm_buf *out)
{
    uint8_t head[12];
    enum raw_result result = read_all(fd, head, sizeof head, ms);

    fm_buf_clear(out);
    if (result != RAW_MESSAGE)
        return result;
    uint64_t length = fm_load64_be(head);
    assert_in_range(length, 4, FM_MESSAGE_BYTES_MAX + 4);
    assert_memory_equal(head + 8, request_id, sizeof request_id);
    size_t len = (size_t)length - 4;
    uint8_t *at = fm_buf_extend(out, len);
    return len == 0 ? RAW_MESSAGE : read_all(fd, at, len, ms);
}

enum raw_result raw_wait_closed(int fd, fm_ms ms)
{
    fm_ms end = fm_now_ms() + ms;
    enum raw_result result = RAW_MESSAGE;
    uint8_t byte;

    while (result == RAW_MESSAGE)
        result = read_all(fd, &byte, 1, end - fm_now_ms());
    return result;
}

enum raw_result raw_exchange(int fd, struct fm_span message, struct fm_buf *out)
{
    raw_send(fd, message);
    return raw_receive(fd, RAW_ANSWER_MS, out);
}

/* ---- Sessions -------------------------------------------------------------------------------- */

static enum fm_status said(struct raw_session *session, enum fm_status status, struct fm_span text)
{
    session->status = status;
    (void)snprintf(session->text, sizeof session->text, "%.*s", (int)text.len,
                   text.data != NULL ? (const char *)text.data : "");
    return status;
}

/* A refusal in clear, or a sealed reply. */
static enum fm_status read_answer(struct raw_session *session, struct fm_span bytes)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_error err = {0};
    enum fm_status why = FM_INTERNAL;
    struct fm_frame frame;
    struct fm_reply reply;

    assert_int_equal(fm_frame_decode(bytes, &frame), FM_OK);
    if (frame.kind == FM_FRAME_REFUSED) {
        assert_int_equal(fm_frame_refusal(&frame, &why, &err), FM_REFUSED);
        return said(session, why, fm_span_str(err.text));
    }
    assert_int_equal(frame.kind, FM_FRAME_SEALED);
    assert_non_null(session->session);
    assert_int_equal(fm_frame_open(session->session, &frame, bytes, fm_now_ms(), &plain), FM_OK);
    assert_int_equal(fm_reply_decode(fm_buf_span(&plain), &reply), FM_OK);
    fm_buf_clear(&session->body);
    if (reply.status == FM_OK)
        fm_buf_put_span(&session->body, reply.body);
    return said(session, reply.status, reply.error);
}

enum fm_status raw_frame(struct raw_session *session, struct fm_span frame)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    enum raw_result result = raw_exchange(session->fd, frame, &answer);

    fm_buf_clear(&session->body);
    if (result != RAW_MESSAGE)
        return said(session, FM_UNAVAILABLE,
                    fm_span_str(result == RAW_CLOSED ? "closed" : "no answer"));
    return read_answer(session, fm_buf_span(&answer));
}

/* Frames to and fro until the handshake is over; the last answer decides. */
static enum fm_status run_handshake(struct raw_session *session, struct fm_handshake *handshake)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct fm_error err = {0};

    assert_int_equal(fm_handshake_start(handshake, &session->hello), FM_OK);
    if (raw_exchange(session->fd, fm_buf_span(&session->hello), &answer) != RAW_MESSAGE)
        return said(session, FM_UNAVAILABLE, fm_span_str("no answer to HELLO"));
    if (answer.data[0] == FM_FRAME_REFUSED)
        return read_answer(session, fm_buf_span(&answer));
    enum fm_status status =
        fm_handshake_step(handshake, fm_buf_span(&answer), &session->finish, &err);
    if (status != FM_OK)
        return said(session, status, fm_span_str(err.text));
    memcpy(session->id, fm_handshake_session_id(handshake), sizeof session->id);
    assert_int_equal(fm_handshake_session(handshake, fm_now_ms(), &session->session), FM_OK);
    if (session->finish.len == 0)
        return said(session, FM_OK, fm_span_str(""));
    status = raw_frame(session, fm_buf_span(&session->finish));
    if (status != FM_OK) {
        fm_session_free(session->session);
        session->session = NULL;
    }
    return status;
}

enum fm_status raw_begin(struct raw_session *session, uint16_t port,
                         const struct raw_identity *identity)
{
    FM_AUTO(fm_handshake_freep) struct fm_handshake *handshake = NULL;
    struct fm_handshake_options options = {
        .pattern = identity->pattern,
        .initiator = true,
        .session_key = identity->session_key,
        .peer = identity->peer,
        .gossip_key = identity->gossip_key,
        .cert_kind = identity->kind,
        .cert = identity->cert,
    };

    *session = (struct raw_session){.fd = raw_open(port), .identity = *identity};
    assert_int_equal(fm_handshake_new(&options, &handshake), FM_OK);
    return run_handshake(session, handshake);
}

void raw_end(struct raw_session *session)
{
    if (session->fd > 0)
        (void)close(session->fd);
    fm_session_free(session->session);
    fm_buf_free(&session->hello);
    fm_buf_free(&session->finish);
    fm_buf_free(&session->sealed);
    fm_buf_free(&session->body);
    *session = (struct raw_session){.fd = -1};
}

enum fm_status raw_call(struct raw_session *session, enum fm_method method, struct fm_span body)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(0);
    struct fm_call call = {.method = method, .body = body};

    fm_random(call.id.bytes, sizeof call.id.bytes);
    fm_call_encode(&plain, &call);
    fm_buf_clear(&session->sealed);
    assert_int_equal(fm_frame_seal(session->session, session->id, fm_now_ms(), fm_buf_span(&plain),
                                   &session->sealed),
                     FM_OK);
    return raw_frame(session, fm_buf_span(&session->sealed));
}

struct fm_request raw_request(const struct raw_session *session, enum fm_method method,
                              struct fm_span body)
{
    struct fm_request request = {
        .kind = method,
        .audience = session->identity.node,
        .time = fm_now_us(),
        .limit_ms = 20000,
        .body = body,
    };

    fm_random(request.id.bytes, sizeof request.id.bytes);
    fm_random(request.trace, sizeof request.trace);
    memcpy(request.session.bytes, fm_session_hash(session->session), FM_HASH_BYTES);
    return request;
}

void raw_sign(const struct raw_session *session, const struct fm_request *request,
              struct fm_key *key, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct fm_key *signer = key != NULL ? key : session->identity.sign_key;

    fm_request_encode(&body, request);
    assert_int_equal(fm_envelope_seal(FM_ENV_REQUEST, &session->identity.mesh, fm_buf_span(&body),
                                      &signer, 1, out),
                     FM_OK);
}

enum fm_status raw_ask(struct raw_session *session, const struct fm_request *request,
                       struct fm_key *key)
{
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(0);

    raw_sign(session, request, key, &envelope);
    return raw_call(session, request->kind, fm_buf_span(&envelope));
}
