#include "core/frame.h"

#include "core/assert.h"
#include "core/limits.h"
#include "core/session.h"

/* A certificate with its kind, WELCOME's header and Noise's own bytes fit a Noise message. */
#define CERT_BYTES_MAX (60u << 10)
#define NOISE_BYTES_MAX 65535u
#define NOISE_OVERHEAD_MAX 96u /* XX, message 2: e, s with its tag, tag. */
_Static_assert(FM_FRAME_HEADER_BYTES + 1 + CERT_BYTES_MAX + NOISE_OVERHEAD_MAX <= NOISE_BYTES_MAX,
               "the largest payload must fit");
_Static_assert(FM_FRAME_HEADER_BYTES + NOISE_BYTES_MAX <= FM_MESSAGE_BYTES_MAX, "and a frame");

/*  initiator                              responder
 *    START --start(): HELLO--> WELCOME?     HELLO? --HELLO, WELCOME--> DONE       (IKpsk2)
 *    WELCOME? --WELCOME------> DONE         HELLO? --HELLO, WELCOME--> FINISH?
 *                                           FINISH? --FINISH---------> DONE
 *  and from each but DONE to FAILED. */
enum state { START, WANT_WELCOME, WANT_HELLO, WANT_FINISH, DONE, FAILED, STATE_COUNT };

static const bool transitions[STATE_COUNT][STATE_COUNT] = {
    [START] = {[WANT_WELCOME] = true, [FAILED] = true},
    [WANT_WELCOME] = {[DONE] = true, [FAILED] = true},
    [WANT_HELLO] = {[WANT_FINISH] = true, [DONE] = true, [FAILED] = true},
    [WANT_FINISH] = {[DONE] = true, [FAILED] = true},
};

struct fm_handshake {
    struct fm_handshake_options options; /* `pattern` is the responder's too once HELLO came. */
    enum state state;
    struct fm_noise *noise; /* Responder: from HELLO on. */
    uint8_t session_id[16];
    struct fm_buf peer_payload; /* As decrypted. */
    struct fm_span peer_cert;   /* Into peer_payload. */
    enum fm_payload_kind peer_kind;
};

static void move(struct fm_handshake *handshake, enum state to)
{
    fm_assert(transitions[handshake->state][to]);
    handshake->state = to;
}

static bool needs_psk(enum fm_noise_pattern pattern)
{
    return pattern == FM_NOISE_IKPSK2 || pattern == FM_NOISE_XXPSK0;
}

static enum fm_status make_noise(struct fm_handshake *handshake, struct fm_span prologue)
{
    const struct fm_handshake_options *own = &handshake->options;
    uint8_t psk[32];
    struct fm_noise_options options = {
        .pattern = own->pattern,
        .initiator = own->initiator,
        .prologue = prologue,
        .key = own->session_key,
        .peer = own->peer,
    };

    fm_assert(handshake->noise == NULL);
    if (needs_psk(own->pattern)) {
        fm_key_secret(own->gossip_key, psk);
        options.psk = psk;
    }
    enum fm_status status = fm_noise_new(&options, &handshake->noise);
    fm_wipe(psk, sizeof psk);
    return status;
}

enum fm_status fm_handshake_new(const struct fm_handshake_options *options,
                                struct fm_handshake **out)
{
    fm_assert(options->session_key != NULL);
    fm_assert(options->cert.len != 0);
    if (options->cert.len > CERT_BYTES_MAX)
        return FM_LIMIT;
    if (options->initiator && needs_psk(options->pattern) && options->gossip_key == NULL)
        return FM_INVALID;
    if (options->initiator && options->pattern == FM_NOISE_IKPSK2 && options->peer == NULL)
        return FM_INVALID;
    struct fm_handshake *handshake = calloc(1, sizeof *handshake);
    if (handshake == NULL)
        return FM_NOMEM;
    handshake->options = *options;
    handshake->state = options->initiator ? START : WANT_HELLO;
    handshake->peer_payload = FM_BUF_INIT(NOISE_BYTES_MAX);
    if (!options->initiator)
        memcpy(handshake->session_id, options->session_id, sizeof handshake->session_id);
    *out = handshake;
    return FM_OK;
}

void fm_handshake_free(struct fm_handshake *handshake)
{
    if (handshake == NULL)
        return;
    fm_noise_free(handshake->noise);
    fm_buf_free(&handshake->peer_payload);
    free(handshake);
}

/* One Noise message; its payload is `before` and then, if asked for, the own certificate. */
static enum fm_status write_message(struct fm_handshake *handshake, struct fm_span before,
                                    bool with_cert, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf payload = FM_BUF_INIT(NOISE_BYTES_MAX);

    fm_buf_put_span(&payload, before);
    if (with_cert) {
        fm_buf_put_u8(&payload, (uint8_t)handshake->options.cert_kind);
        fm_buf_put_span(&payload, handshake->options.cert);
    }
    enum fm_status status = fm_buf_status(&payload);
    if (status != FM_OK)
        return status;
    return fm_noise_write(handshake->noise, fm_buf_span(&payload), out);
}

static enum fm_status read_message(struct fm_handshake *handshake, struct fm_span message,
                                   struct fm_error *err)
{
    fm_buf_clear(&handshake->peer_payload);
    enum fm_status status = fm_noise_read(handshake->noise, message, &handshake->peer_payload);
    if (status == FM_OK)
        return FM_OK;
    return fm_fail(err, status,
                   "the handshake does not open: another node key or gossip key, or damage");
}

/* The peer's certificate: what is left of its payload. */
static enum fm_status take_cert(struct fm_handshake *handshake, struct fm_cursor *cursor,
                                struct fm_error *err)
{
    uint8_t kind;

    if (fm_take_u8(cursor, &kind) != FM_OK ||
        (kind != FM_PAYLOAD_NODE && kind != FM_PAYLOAD_PRINCIPAL))
        return fm_fail(err, FM_MALFORMED, "the handshake has no certificate");
    size_t len = fm_cursor_left(cursor);
    if (len == 0 || len > CERT_BYTES_MAX)
        return fm_fail(err, FM_MALFORMED, "the handshake's certificate has %zu bytes", len);
    /* Programs never hold the gossip key; and only nodes answer. */
    if (kind != FM_PAYLOAD_NODE &&
        (handshake->options.initiator || needs_psk(handshake->options.pattern)))
        return fm_fail(err, FM_REFUSED, "a node's certificate is needed here");
    handshake->peer_cert = fm_span(cursor->at, len);
    handshake->peer_kind = kind;
    return FM_OK;
}

/* ---- Initiator ---------------------------------------------------------------------------- */

static enum fm_status write_hello(struct fm_handshake *handshake, struct fm_buf *out)
{
    struct fm_frame hello = {
        .kind = FM_FRAME_HELLO,
        .pattern = handshake->options.pattern,
        .version_min = FM_PROTOCOL_VERSION_MIN,
        .version_max = FM_PROTOCOL_VERSION,
    };
    size_t start = out->len;

    fm_frame_encode(out, &hello);
    enum fm_status status = fm_buf_status(out);
    if (status != FM_OK)
        return status;
    status = make_noise(handshake, fm_span(out->data + start, FM_FRAME_HEADER_BYTES));
    if (status != FM_OK)
        return status;
    bool with_cert = hello.pattern == FM_NOISE_IKPSK2;
    return write_message(handshake, fm_span(NULL, 0), with_cert, out);
}

enum fm_status fm_handshake_start(struct fm_handshake *handshake, struct fm_buf *out)
{
    fm_assert(handshake->options.initiator);
    fm_assert(handshake->state == START);
    size_t start = out->len;
    enum fm_status status = write_hello(handshake, out);

    if (status != FM_OK)
        out->len = start;
    move(handshake, status == FM_OK ? WANT_WELCOME : FAILED);
    return status;
}

static enum fm_status write_finish(struct fm_handshake *handshake, struct fm_buf *out)
{
    struct fm_frame finish = {.kind = FM_FRAME_FINISH, .pattern = handshake->options.pattern};

    memcpy(finish.session, handshake->session_id, sizeof finish.session);
    fm_frame_encode(out, &finish);
    return write_message(handshake, fm_span(NULL, 0), true, out);
}

/* The header was in clear; what counts is that the responder repeats it under the keys. Only then
 * is it worth a look: the best version both know, or somebody between cut the range. */
static enum fm_status check_welcome(struct fm_cursor *payload, const struct fm_frame *frame,
                                    struct fm_span whole, struct fm_error *err)
{
    struct fm_span repeated;
    uint16_t best;

    if (fm_take_bytes(payload, FM_FRAME_HEADER_BYTES, &repeated) != FM_OK)
        return fm_fail(err, FM_MALFORMED, "the welcome has no header inside");
    if (!fm_span_equal(repeated, fm_span(whole.data, FM_FRAME_HEADER_BYTES)))
        return fm_fail(err, FM_FORGED, "the welcome was changed on its way");
    if (fm_version_choose(FM_PROTOCOL_VERSION_MIN, frame->version_max, &best) != FM_OK ||
        frame->version_min != best)
        return fm_fail(err, FM_UNSUPPORTED, "the peer chose protocol version %u of at most %u",
                       (unsigned)frame->version_min, (unsigned)frame->version_max);
    return FM_OK;
}

static enum fm_status recv_welcome(struct fm_handshake *handshake, const struct fm_frame *frame,
                                   struct fm_span whole, struct fm_buf *out, struct fm_error *err)
{
    if (frame->kind == FM_FRAME_REFUSED)
        return fm_frame_refusal(frame, NULL, err);
    if (frame->kind != FM_FRAME_WELCOME || frame->pattern != handshake->options.pattern)
        return fm_fail(err, FM_INVALID, "the peer does not answer the handshake with a welcome");
    enum fm_status status = read_message(handshake, frame->rest, err);
    if (status != FM_OK)
        return status;
    struct fm_cursor payload = fm_cursor(fm_buf_span(&handshake->peer_payload));
    status = check_welcome(&payload, frame, whole, err);
    if (status != FM_OK)
        return status;
    status = take_cert(handshake, &payload, err);
    if (status != FM_OK)
        return status;
    memcpy(handshake->session_id, frame->session, sizeof handshake->session_id);
    if (!fm_noise_is_finished(handshake->noise)) {
        status = write_finish(handshake, out);
        if (status != FM_OK)
            return fm_fail(err, status, "no handshake: %s", fm_status_text(status));
    }
    move(handshake, DONE);
    return FM_OK;
}

/* ---- Responder ---------------------------------------------------------------------------- */

static enum fm_status write_welcome(struct fm_handshake *handshake, uint16_t version,
                                    struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf header = FM_BUF_INIT(FM_FRAME_HEADER_BYTES);
    struct fm_frame welcome = {
        .kind = FM_FRAME_WELCOME,
        .pattern = handshake->options.pattern,
        .version_min = version,
        .version_max = FM_PROTOCOL_VERSION,
    };

    memcpy(welcome.session, handshake->session_id, sizeof welcome.session);
    fm_frame_encode(&header, &welcome);
    enum fm_status status = fm_buf_status(&header);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(out, fm_buf_span(&header));
    return write_message(handshake, fm_buf_span(&header), true, out);
}

/* Whether this side can do what HELLO asks for; the pattern is the initiator's choice. */
static enum fm_status accept_hello(struct fm_handshake *handshake, const struct fm_frame *frame,
                                   uint16_t *version, struct fm_error *err)
{
    if (frame->kind != FM_FRAME_HELLO)
        return fm_fail(err, FM_INVALID, "a connection begins with a hello");
    if (fm_version_choose(frame->version_min, frame->version_max, version) != FM_OK)
        return fm_fail(err, FM_UNSUPPORTED, "no common protocol version: %u to %u, here %u to %u",
                       (unsigned)frame->version_min, (unsigned)frame->version_max,
                       FM_PROTOCOL_VERSION_MIN, FM_PROTOCOL_VERSION);
    if (needs_psk(frame->pattern) && handshake->options.gossip_key == NULL)
        return fm_fail(err, FM_UNSUPPORTED, "this side has no gossip key");
    handshake->options.pattern = frame->pattern;
    return FM_OK;
}

static enum fm_status recv_hello(struct fm_handshake *handshake, const struct fm_frame *frame,
                                 struct fm_span whole, struct fm_buf *out, struct fm_error *err)
{
    uint16_t version;
    enum fm_status status = accept_hello(handshake, frame, &version, err);

    if (status != FM_OK)
        return status;
    status = make_noise(handshake, fm_span(whole.data, FM_FRAME_HEADER_BYTES));
    if (status != FM_OK)
        return fm_fail(err, status, "no handshake: %s", fm_status_text(status));
    status = read_message(handshake, frame->rest, err);
    if (status != FM_OK)
        return status;
    struct fm_cursor payload = fm_cursor(fm_buf_span(&handshake->peer_payload));
    if (frame->pattern == FM_NOISE_IKPSK2)
        status = take_cert(handshake, &payload, err);
    else if (fm_cursor_left(&payload) != 0)
        status = fm_fail(err, FM_MALFORMED, "the hello carries what is not due yet");
    if (status != FM_OK)
        return status;
    status = write_welcome(handshake, version, out);
    if (status != FM_OK)
        return fm_fail(err, status, "no handshake: %s", fm_status_text(status));
    move(handshake, fm_noise_is_finished(handshake->noise) ? DONE : WANT_FINISH);
    return FM_OK;
}

static enum fm_status recv_finish(struct fm_handshake *handshake, const struct fm_frame *frame,
                                  struct fm_error *err)
{
    if (frame->kind != FM_FRAME_FINISH || frame->pattern != handshake->options.pattern)
        return fm_fail(err, FM_INVALID, "the hello is not followed by its finish");
    if (memcmp(frame->session, handshake->session_id, sizeof frame->session) != 0)
        return fm_fail(err, FM_INVALID, "the finish belongs to another session");
    enum fm_status status = read_message(handshake, frame->rest, err);
    if (status != FM_OK)
        return status;
    struct fm_cursor payload = fm_cursor(fm_buf_span(&handshake->peer_payload));
    status = take_cert(handshake, &payload, err);
    if (status != FM_OK)
        return status;
    move(handshake, DONE);
    return FM_OK;
}

/* ---- Both --------------------------------------------------------------------------------- */

static enum fm_status recv(struct fm_handshake *handshake, struct fm_span whole, struct fm_buf *out,
                           struct fm_error *err)
{
    struct fm_frame frame;
    enum fm_status status = fm_frame_decode(whole, &frame);

    if (status != FM_OK)
        return fm_fail(err, status, "the handshake's frame: %s", fm_status_text(status));
    if (handshake->state == WANT_WELCOME)
        return recv_welcome(handshake, &frame, whole, out, err);
    if (handshake->state == WANT_HELLO)
        return recv_hello(handshake, &frame, whole, out, err);
    fm_assert(handshake->state == WANT_FINISH);
    return recv_finish(handshake, &frame, err);
}

enum fm_status fm_handshake_step(struct fm_handshake *handshake, struct fm_span frame,
                                 struct fm_buf *out, struct fm_error *err)
{
    struct fm_error local = {0};
    struct fm_error *reason = err != NULL ? err : &local;
    size_t start = out->len;

    if (handshake->state == DONE || handshake->state == FAILED || handshake->state == START)
        return fm_fail(err, FM_INVALID, "no frame of a handshake is due");
    enum fm_status status = recv(handshake, frame, out, reason);
    if (status == FM_OK)
        return FM_OK;
    move(handshake, FAILED);
    out->len = start;
    if (!handshake->options.initiator)
        fm_frame_refuse(out, handshake->session_id, status, reason->text);
    return status;
}

bool fm_handshake_is_finished(const struct fm_handshake *handshake)
{
    return handshake->state == DONE;
}

struct fm_span fm_handshake_peer_cert(const struct fm_handshake *handshake,
                                      enum fm_payload_kind *kind)
{
    fm_assert(handshake->state == DONE);
    if (kind != NULL)
        *kind = handshake->peer_kind;
    return handshake->peer_cert;
}

const struct fm_public_key *fm_handshake_peer_key(const struct fm_handshake *handshake)
{
    fm_assert(handshake->state == DONE);
    return fm_noise_peer(handshake->noise);
}

const uint8_t *fm_handshake_session_id(const struct fm_handshake *handshake)
{
    return handshake->session_id;
}

enum fm_status fm_handshake_session(const struct fm_handshake *handshake, int64_t now_ms,
                                    struct fm_session **out)
{
    fm_assert(handshake->state == DONE);
    return fm_session_new(handshake->noise, now_ms, out);
}
