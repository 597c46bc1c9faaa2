/* The handshake machine, and sealed frames behind it: an honest connection, then peers and networks
 * that are not. */
#include "core/frame.h"

#include "core/limits.h"
#include "core/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW_MS 5000
#define STEPS_MAX 3u
#define PATTERN_COUNT 3

static const enum fm_noise_pattern patterns[PATTERN_COUNT] = {FM_NOISE_XX, FM_NOISE_IKPSK2,
                                                              FM_NOISE_XXPSK0};
enum { INITIATOR = 0, RESPONDER = 1 };

struct fixture {
    struct fm_key *keys[2];
    struct fm_key *gossip_keys[2];
    struct fm_handshake_options options[2];
    struct fm_handshake *sides[2];
    struct fm_session *sessions[2];
    struct fm_buf frames[STEPS_MAX]; /* HELLO, WELCOME, FINISH as sent. */
    struct fm_buf out;
    struct fm_buf answer;
    struct fm_error err;
};

static int setup(void **state)
{
    static const uint8_t psk[32] = {42};
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        if (fm_key_generate(FM_KEY_SESSION, &f->keys[i]) != FM_OK ||
            fm_key_from_secret(FM_KEY_GOSSIP, psk, &f->gossip_keys[i]) != FM_OK)
            return -1;
        f->options[i] = (struct fm_handshake_options){
            .initiator = i == INITIATOR,
            .session_key = f->keys[i],
            .gossip_key = f->gossip_keys[i],
            .cert_kind = FM_PAYLOAD_NODE,
            .cert = fm_span_str(i == INITIATOR ? "the initiator's" : "the responder's own"),
        };
        memset(f->options[i].session_id, 0xa0 + (int)i, 16);
    }
    f->options[INITIATOR].peer = fm_key_public(f->keys[RESPONDER]);
    *state = f;
    return 0;
}

static void clear(struct fixture *f)
{
    for (size_t i = 0; i < 2; i++) {
        fm_handshake_free(f->sides[i]);
        f->sides[i] = NULL;
        fm_session_free(f->sessions[i]);
        f->sessions[i] = NULL;
    }
    for (size_t i = 0; i < STEPS_MAX; i++)
        fm_buf_clear(&f->frames[i]);
    fm_buf_clear(&f->out);
    fm_buf_clear(&f->answer);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    clear(f);
    for (size_t i = 0; i < 2; i++) {
        fm_key_free(f->keys[i]);
        fm_key_free(f->gossip_keys[i]);
    }
    for (size_t i = 0; i < STEPS_MAX; i++)
        fm_buf_free(&f->frames[i]);
    fm_buf_free(&f->out);
    fm_buf_free(&f->answer);
    free(f);
    return 0;
}

static void begin(struct fixture *f, enum fm_noise_pattern pattern)
{
    clear(f);
    f->options[INITIATOR].pattern = pattern;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fm_handshake_new(&f->options[i], &f->sides[i]), FM_OK);
    assert_int_equal(fm_handshake_start(f->sides[INITIATOR], &f->frames[0]), FM_OK);
}

static unsigned frame_count(enum fm_noise_pattern pattern)
{
    return pattern == FM_NOISE_IKPSK2 ? 2 : 3;
}

/* Hand over frame `index` to its receiver; the answer becomes the next frame. */
static enum fm_status deliver(struct fixture *f, unsigned index)
{
    struct fm_buf *next = index + 1 < STEPS_MAX ? &f->frames[index + 1] : &f->out;

    fm_buf_clear(next);
    return fm_handshake_step(f->sides[index % 2 == 0 ? RESPONDER : INITIATOR],
                             fm_buf_span(&f->frames[index]), next, &f->err);
}

/* Frames up to and without `index`, all of which must go well. */
static void run_until(struct fixture *f, enum fm_noise_pattern pattern, unsigned index)
{
    begin(f, pattern);
    for (unsigned i = 0; i < index; i++)
        assert_int_equal(deliver(f, i), FM_OK);
}

/* The first frame that is not taken from `index` on; STEPS_MAX when all are. */
static unsigned fails_at(struct fixture *f, enum fm_noise_pattern pattern, unsigned index)
{
    for (unsigned i = index; i < frame_count(pattern); i++)
        if (deliver(f, i) != FM_OK)
            return i;
    return STEPS_MAX;
}

/* The responder refused with `why`, and its frame says so at the initiator. */
static void assert_refused(struct fixture *f, const struct fm_buf *frame, enum fm_status why)
{
    struct fm_frame decoded;
    enum fm_status told;

    assert_int_equal(fm_frame_decode(fm_buf_span(frame), &decoded), FM_OK);
    assert_int_equal(decoded.kind, FM_FRAME_REFUSED);
    assert_int_equal(fm_frame_refusal(&decoded, &told, NULL), FM_REFUSED);
    assert_int_equal(told, why);
    if (fm_handshake_is_finished(f->sides[INITIATOR]))
        return; /* Then the session's user reads it. */
    struct fm_buf none = FM_BUF_INIT(0);
    assert_int_equal(fm_handshake_step(f->sides[INITIATOR], fm_buf_span(frame), &none, &f->err),
                     FM_REFUSED);
    assert_int_equal(none.len, 0);
    assert_non_null(strstr(f->err.text, "the peer refuses: "));
}

/* ---- Honest handshakes -------------------------------------------------------------------- */

static void assert_side_knows_peer(struct fixture *f, size_t side)
{
    enum fm_payload_kind kind;
    struct fm_span cert = fm_handshake_peer_cert(f->sides[side], &kind);

    assert_true(fm_handshake_is_finished(f->sides[side]));
    assert_true(fm_span_equal(cert, f->options[1 - side].cert));
    assert_int_equal(kind, f->options[1 - side].cert_kind);
    assert_true(fm_public_key_equal(fm_handshake_peer_key(f->sides[side]),
                                    fm_key_public(f->keys[1 - side])));
    assert_memory_equal(fm_handshake_session_id(f->sides[side]), f->options[RESPONDER].session_id,
                        16);
}

static void make_sessions(struct fixture *f)
{
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fm_handshake_session(f->sides[i], NOW_MS, &f->sessions[i]), FM_OK);
    assert_memory_equal(fm_session_hash(f->sessions[0]), fm_session_hash(f->sessions[1]), 32);
}

/* `from` seals a text, the other side opens `frame`. */
static void seal(struct fixture *f, size_t from, const char *text)
{
    fm_buf_clear(&f->out);
    assert_int_equal(fm_frame_seal(f->sessions[from], f->options[RESPONDER].session_id, NOW_MS,
                                   fm_span_str(text), &f->out),
                     FM_OK);
}

static enum fm_status open_sealed(struct fixture *f, size_t at, struct fm_span whole)
{
    struct fm_frame frame;
    enum fm_status status = fm_frame_decode(whole, &frame);

    fm_buf_clear(&f->answer);
    if (status != FM_OK)
        return status;
    return fm_frame_open(f->sessions[at], &frame, whole, NOW_MS, &f->answer);
}

static void run_all(struct fixture *f, enum fm_noise_pattern pattern)
{
    run_until(f, pattern, frame_count(pattern));
    assert_int_equal(f->frames[frame_count(pattern) - 1].len != 0, true);
    assert_side_knows_peer(f, INITIATOR);
    assert_side_knows_peer(f, RESPONDER);
}

/* Each pattern ends with both certificates, both keys and one session that carries messages. */
static void patterns_round_trip(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        run_all(f, patterns[p]);
        make_sessions(f);
        for (size_t from = 0; from < 2; from++) {
            seal(f, from, "a call or reply");
            assert_int_equal(open_sealed(f, 1 - from, fm_buf_span(&f->out)), FM_OK);
            assert_true(fm_span_equal(fm_buf_span(&f->answer), fm_span_str("a call or reply")));
        }
    }
}

/* A program without gossip key, against a node with or without one. */
static void programs_use_xx(void **state)
{
    struct fixture *f = *state;

    f->options[INITIATOR].cert_kind = FM_PAYLOAD_PRINCIPAL;
    f->options[INITIATOR].gossip_key = NULL;
    f->options[INITIATOR].peer = NULL;
    run_all(f, FM_NOISE_XX);
    f->options[RESPONDER].gossip_key = NULL;
    run_all(f, FM_NOISE_XX);
}

static void largest_certificates_fit(void **state)
{
    struct fixture *f = *state;
    size_t max = 60u << 10;
    uint8_t *bytes = calloc(1, max + 1);

    assert_non_null(bytes);
    f->options[INITIATOR].cert = f->options[RESPONDER].cert = fm_span(bytes, max);
    for (size_t p = 0; p < PATTERN_COUNT; p++)
        run_all(f, patterns[p]);
    clear(f);
    f->options[INITIATOR].cert.len++;
    assert_int_equal(fm_handshake_new(&f->options[INITIATOR], &f->sides[INITIATOR]), FM_LIMIT);
    free(bytes);
}

/* Certificates are sealed: nobody who listens learns who speaks. */
static void certificates_are_hidden(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        run_all(f, patterns[p]);
        for (unsigned i = 0; i < frame_count(patterns[p]); i++)
            for (size_t side = 0; side < 2; side++)
                assert_null(memmem(f->frames[i].data, f->frames[i].len, f->options[side].cert.data,
                                   f->options[side].cert.len));
    }
}

/* ---- What is refused ---------------------------------------------------------------------- */

static void missing_keys_are_reported(void **state)
{
    struct fixture *f = *state;
    struct fm_handshake_options options = f->options[INITIATOR];

    options.pattern = FM_NOISE_IKPSK2;
    options.peer = NULL;
    assert_int_equal(fm_handshake_new(&options, &f->sides[0]), FM_INVALID);
    options = f->options[INITIATOR];
    options.gossip_key = NULL;
    options.pattern = FM_NOISE_IKPSK2;
    assert_int_equal(fm_handshake_new(&options, &f->sides[0]), FM_INVALID);
    options.pattern = FM_NOISE_XXPSK0;
    assert_int_equal(fm_handshake_new(&options, &f->sides[0]), FM_INVALID);
    assert_null(f->sides[0]);
}

/* Without a gossip key no psk pattern; the peer reads why. */
static void responder_without_gossip_key_refuses_psk(void **state)
{
    struct fixture *f = *state;

    f->options[RESPONDER].gossip_key = NULL;
    for (size_t p = 1; p < PATTERN_COUNT; p++) {
        begin(f, patterns[p]);
        assert_int_equal(deliver(f, 0), FM_UNSUPPORTED);
        assert_refused(f, &f->frames[1], FM_UNSUPPORTED);
        assert_non_null(strstr(f->err.text, "no gossip key"));
    }
}

static void other_gossip_key_is_refused(void **state)
{
    struct fixture *f = *state;

    fm_key_free(f->gossip_keys[RESPONDER]);
    f->gossip_keys[RESPONDER] = NULL;
    assert_int_equal(fm_key_generate(FM_KEY_GOSSIP, &f->gossip_keys[RESPONDER]), FM_OK);
    f->options[RESPONDER].gossip_key = f->gossip_keys[RESPONDER];
    begin(f, FM_NOISE_XXPSK0);
    assert_int_equal(deliver(f, 0), FM_FORGED);
    assert_refused(f, &f->frames[1], FM_FORGED);
    begin(f, FM_NOISE_IKPSK2);
    assert_int_equal(deliver(f, 0), FM_OK);
    assert_int_equal(deliver(f, 1), FM_FORGED);
    assert_false(fm_handshake_is_finished(f->sides[INITIATOR]));
}

static void other_responder_key_is_refused(void **state)
{
    struct fixture *f = *state;

    f->options[INITIATOR].peer = fm_key_public(f->keys[INITIATOR]);
    begin(f, FM_NOISE_IKPSK2);
    assert_int_equal(deliver(f, 0), FM_FORGED);
    assert_refused(f, &f->frames[1], FM_FORGED);
}

/* A peer of another time: its range is told and refused, for every pattern. */
static void disjoint_versions_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        begin(f, patterns[p]);
        fm_store16(f->frames[0].data + 2, FM_PROTOCOL_VERSION + 1);
        fm_store16(f->frames[0].data + 4, FM_PROTOCOL_VERSION + 8);
        assert_int_equal(deliver(f, 0), FM_UNSUPPORTED);
        assert_refused(f, &f->frames[1], FM_UNSUPPORTED);
        assert_non_null(strstr(f->err.text, "no common protocol version"));
    }
}

/* An unknown pattern, of a release to come, is answered. */
static void unknown_patterns_are_refused(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_NOISE_XX);
    f->frames[0].data[1] = 4;
    assert_int_equal(deliver(f, 0), FM_UNSUPPORTED);
    assert_refused(f, &f->frames[1], FM_UNSUPPORTED);
}

/* Somebody between cuts or widens the range offered: both sides must not end up with a session. */
static void changed_version_range_is_seen(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        begin(f, patterns[p]);
        fm_store16(f->frames[0].data + 4, FM_PROTOCOL_VERSION + 5);
        unsigned failed = fails_at(f, patterns[p], 0);
        assert_int_equal(failed, patterns[p] == FM_NOISE_XX ? 1 : 0);
    }
}

static bool is_any_finished(struct fixture *f, unsigned failed)
{
    /* The receiver of the frame that failed. */
    return fm_handshake_is_finished(f->sides[failed % 2 == 0 ? RESPONDER : INITIATOR]);
}

/* Any one byte of any frame of any pattern, headers included. */
static void tampered_frames_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++)
        for (unsigned i = 0; i < frame_count(patterns[p]); i++) {
            run_until(f, patterns[p], i);
            size_t len = f->frames[i].len;
            for (size_t at = 0; at < len; at++) {
                run_until(f, patterns[p], i);
                f->frames[i].data[at] ^= (uint8_t)(1u << (at % 8));
                unsigned failed = fails_at(f, patterns[p], i);
                assert_in_range(failed, i, patterns[p] == FM_NOISE_XX && i == 0 ? 1 : i);
                assert_false(is_any_finished(f, failed));
            }
        }
}

static void truncated_frames_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++)
        for (unsigned i = 0; i < frame_count(patterns[p]); i++) {
            run_until(f, patterns[p], i);
            size_t len = f->frames[i].len;
            for (size_t cut = 0; cut < len; cut++) {
                run_until(f, patterns[p], i);
                f->frames[i].len = cut;
                assert_int_equal(fails_at(f, patterns[p], i), i);
                assert_false(is_any_finished(f, i));
            }
        }
}

/* Every frame of the handshake, and others, into every state: an error each time but one, and never
 * an assertion; a failed handshake takes nothing more. */
static void order_of_frames_is_kept(void **state)
{
    struct fixture *f = *state;
    struct fm_buf copies[STEPS_MAX + 2] = {{0}};

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        run_all(f, patterns[p]);
        for (size_t i = 0; i < STEPS_MAX + 2; i++)
            fm_buf_clear(&copies[i]);
        for (size_t i = 0; i < frame_count(patterns[p]); i++)
            fm_buf_put_span(&copies[i], fm_buf_span(&f->frames[i]));
        fm_frame_encode(&copies[3], &(struct fm_frame){.kind = FM_FRAME_SEALED});
        fm_frame_refuse(&copies[4], (const uint8_t[16]){0}, FM_BUSY, "busy");

        for (unsigned done = 0; done <= frame_count(patterns[p]); done++)
            for (size_t side = 0; side < 2; side++)
                for (size_t i = 0; i < STEPS_MAX + 2; i++) {
                    run_until(f, patterns[p], done);
                    bool was_finished = fm_handshake_is_finished(f->sides[side]);
                    bool takes = side == RESPONDER && done == 0 && i == 0;
                    enum fm_status status = fm_handshake_step(
                        f->sides[side], fm_buf_span(&copies[i]), &f->answer, &f->err);
                    assert_int_equal(status == FM_OK, takes);
                    if (takes)
                        continue;
                    assert_int_equal(fm_handshake_is_finished(f->sides[side]), was_finished);
                    fm_buf_clear(&f->answer);
                    assert_int_equal(fm_handshake_step(f->sides[side], fm_buf_span(&copies[0]),
                                                       &f->answer, &f->err),
                                     FM_INVALID);
                    assert_int_equal(f->answer.len, 0);
                }
    }
    for (size_t i = 0; i < STEPS_MAX + 2; i++)
        fm_buf_free(&copies[i]);
}

/* A frame fed to the initiator before it said HELLO. */
static void nothing_is_due_before_hello(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[FM_FRAME_HEADER_BYTES] = {FM_FRAME_WELCOME, FM_NOISE_XX};

    f->options[INITIATOR].pattern = FM_NOISE_XX;
    assert_int_equal(fm_handshake_new(&f->options[INITIATOR], &f->sides[INITIATOR]), FM_OK);
    assert_int_equal(
        fm_handshake_step(f->sides[INITIATOR], fm_span(frame, sizeof frame), &f->out, NULL),
        FM_INVALID);
    assert_int_equal(f->out.len, 0);
}

/* FINISH of one connection, moved to another session of the same responder. */
static void finish_belongs_to_its_session(void **state)
{
    struct fixture *f = *state;

    run_until(f, FM_NOISE_XX, 2);
    f->frames[2].data[10] ^= 1;
    assert_int_equal(deliver(f, 2), FM_INVALID);
    assert_refused(f, &f->out, FM_INVALID);
}

/* A handshake replayed whole: the responder's ephemeral is new, so FINISH does not fit; and in
 * IKpsk2 the replayer cannot read the WELCOME. */
static void replayed_handshakes_fail(void **state)
{
    struct fixture *f = *state;
    struct fm_buf old[2] = {{0}};

    run_all(f, FM_NOISE_XXPSK0);
    fm_buf_put_span(&old[0], fm_buf_span(&f->frames[0]));
    fm_buf_put_span(&old[1], fm_buf_span(&f->frames[2]));
    begin(f, FM_NOISE_XXPSK0);
    assert_int_equal(fm_handshake_step(f->sides[RESPONDER], fm_buf_span(&old[0]), &f->out, &f->err),
                     FM_OK);
    fm_buf_clear(&f->out);
    assert_int_equal(fm_handshake_step(f->sides[RESPONDER], fm_buf_span(&old[1]), &f->out, &f->err),
                     FM_FORGED);
    fm_buf_free(&old[0]);
    fm_buf_free(&old[1]);
}

/* Only nodes may use the gossip key's patterns, and only nodes answer. */
static void principals_get_no_psk_session(void **state)
{
    struct fixture *f = *state;

    f->options[INITIATOR].cert_kind = FM_PAYLOAD_PRINCIPAL;
    begin(f, FM_NOISE_IKPSK2);
    assert_int_equal(deliver(f, 0), FM_REFUSED);
    assert_refused(f, &f->frames[1], FM_REFUSED);
    run_until(f, FM_NOISE_XXPSK0, 2);
    assert_int_equal(deliver(f, 2), FM_REFUSED);
    f->options[RESPONDER].cert_kind = FM_PAYLOAD_PRINCIPAL;
    run_until(f, FM_NOISE_XX, 1);
    assert_int_equal(deliver(f, 1), FM_REFUSED);
}

/* ---- Peers that hold keys and lie --------------------------------------------------------- */

/* An initiator by hand, for XX: HELLO with `hello_payload`, FINISH with `finish_payload`. */
static enum fm_status lie_as_initiator(struct fixture *f, struct fm_span hello_payload,
                                       struct fm_span finish_payload)
{
    struct fm_frame header = {
        .kind = FM_FRAME_HELLO, .pattern = FM_NOISE_XX, .version_min = 1, .version_max = 1};
    struct fm_noise_options options = {
        .pattern = FM_NOISE_XX, .initiator = true, .key = f->keys[INITIATOR]};
    struct fm_noise *noise = NULL;

    clear(f);
    assert_int_equal(fm_handshake_new(&f->options[RESPONDER], &f->sides[RESPONDER]), FM_OK);
    fm_frame_encode(&f->frames[0], &header);
    options.prologue = fm_buf_span(&f->frames[0]);
    assert_int_equal(fm_noise_new(&options, &noise), FM_OK);
    assert_int_equal(fm_noise_write(noise, hello_payload, &f->frames[0]), FM_OK);
    enum fm_status status = deliver(f, 0);
    if (status == FM_OK) {
        assert_int_equal(fm_noise_read(noise,
                                       fm_span(f->frames[1].data + 26, f->frames[1].len - 26),
                                       &f->answer),
                         FM_OK);
        header = (struct fm_frame){.kind = FM_FRAME_FINISH, .pattern = FM_NOISE_XX};
        memcpy(header.session, f->options[RESPONDER].session_id, 16);
        fm_frame_encode(&f->frames[2], &header);
        assert_int_equal(fm_noise_write(noise, finish_payload, &f->frames[2]), FM_OK);
        status = deliver(f, 2);
    }
    fm_noise_free(noise);
    return status;
}

static void odd_certificates_are_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_span none = fm_span(NULL, 0);
    size_t len = 1 + (60u << 10) + 1;
    uint8_t *large = calloc(1, len);

    assert_non_null(large);
    large[0] = FM_PAYLOAD_NODE;
    assert_int_equal(lie_as_initiator(f, none,
                                      fm_span("\x02"
                                              "cert",
                                              5)),
                     FM_OK);
    assert_true(fm_handshake_is_finished(f->sides[RESPONDER]));
    assert_int_equal(lie_as_initiator(f, none, none), FM_MALFORMED);
    assert_int_equal(lie_as_initiator(f, none, fm_span("\x02", 1)), FM_MALFORMED);
    assert_int_equal(lie_as_initiator(f, none,
                                      fm_span("\x00"
                                              "cert",
                                              5)),
                     FM_MALFORMED);
    assert_int_equal(lie_as_initiator(f, none,
                                      fm_span("\x03"
                                              "cert",
                                              5)),
                     FM_MALFORMED);
    assert_int_equal(lie_as_initiator(f, none, fm_span(large, len - 1)), FM_OK);
    assert_int_equal(lie_as_initiator(f, none, fm_span(large, len)), FM_MALFORMED);
    assert_int_equal(lie_as_initiator(f, fm_span_str("early"), none), FM_MALFORMED);
    free(large);
}

/* A responder by hand, for XX: a WELCOME whose clear header is `clear_header`, and whose sealed
 * payload repeats `sealed_header`. */
static enum fm_status lie_as_responder(struct fixture *f, const struct fm_frame *clear_header,
                                       const struct fm_frame *sealed_header)
{
    struct fm_noise_options options = {.pattern = FM_NOISE_XX, .key = f->keys[RESPONDER]};
    struct fm_noise *noise = NULL;
    struct fm_buf payload = FM_BUF_INIT(0);

    begin(f, FM_NOISE_XX);
    options.prologue = fm_span(f->frames[0].data, FM_FRAME_HEADER_BYTES);
    assert_int_equal(fm_noise_new(&options, &noise), FM_OK);
    assert_int_equal(
        fm_noise_read(noise, fm_span(f->frames[0].data + 26, f->frames[0].len - 26), &f->answer),
        FM_OK);
    if (sealed_header != NULL)
        fm_frame_encode(&payload, sealed_header);
    fm_buf_put_u8(&payload, FM_PAYLOAD_NODE);
    fm_buf_put_str(&payload, "cert");
    fm_frame_encode(&f->frames[1], clear_header);
    assert_int_equal(fm_noise_write(noise, fm_buf_span(&payload), &f->frames[1]), FM_OK);
    enum fm_status status = deliver(f, 1);
    fm_buf_free(&payload);
    fm_noise_free(noise);
    assert_int_equal(fm_handshake_is_finished(f->sides[INITIATOR]), status == FM_OK);
    return status;
}

/* The version chosen must be what the responder means, and the best that both know. */
static void downgrades_are_seen(void **state)
{
    struct fixture *f = *state;
    struct fm_frame good = {
        .kind = FM_FRAME_WELCOME, .pattern = FM_NOISE_XX, .version_min = 1, .version_max = 1};
    struct fm_frame other;

    assert_int_equal(lie_as_responder(f, &good, &good), FM_OK);
    assert_int_equal(lie_as_responder(f, &good, NULL), FM_MALFORMED);
    other = good;
    other.version_max = 2; /* Knows more, chooses what is best here. */
    assert_int_equal(lie_as_responder(f, &other, &other), FM_OK);
    assert_int_equal(lie_as_responder(f, &good, &other), FM_FORGED);
    other = good;
    other.features = 1;
    assert_int_equal(lie_as_responder(f, &other, &good), FM_FORGED);
    for (uint16_t version = 0; version <= 2; version += 2) {
        other = good;
        other.version_min = version;
        other.version_max = 2;
        assert_int_equal(lie_as_responder(f, &other, &other), FM_UNSUPPORTED);
    }
    other = good;
    other.version_max = 0; /* Says it does not know what it chose. */
    assert_int_equal(lie_as_responder(f, &other, &other), FM_UNSUPPORTED);
}

/* ---- Sealed frames ------------------------------------------------------------------------ */

static void sealed_frames_are_protected(void **state)
{
    struct fixture *f = *state;

    run_all(f, FM_NOISE_IKPSK2);
    make_sessions(f);
    seal(f, INITIATOR, "call");
    assert_int_equal(f->out.len, FM_FRAME_HEADER_BYTES + 8 + 4 + 16);
    for (size_t at = 0; at < f->out.len; at++) {
        f->out.data[at] ^= 1;
        assert_int_not_equal(open_sealed(f, RESPONDER, fm_buf_span(&f->out)), FM_OK);
        f->out.data[at] ^= 1;
    }
    for (size_t len = 0; len < f->out.len; len++)
        assert_int_not_equal(open_sealed(f, RESPONDER, fm_span(f->out.data, len)), FM_OK);
    assert_int_equal(open_sealed(f, INITIATOR, fm_buf_span(&f->out)), FM_FORGED);
    assert_int_equal(open_sealed(f, RESPONDER, fm_buf_span(&f->out)), FM_OK);
    assert_int_equal(open_sealed(f, RESPONDER, fm_buf_span(&f->out)), FM_FORGED);
}

/* Nothing is left behind by a message that cannot be sealed. */
static void sealing_fails_whole(void **state)
{
    struct fixture *f = *state;
    struct fm_buf small = FM_BUF_INIT(40);

    run_all(f, FM_NOISE_XX);
    make_sessions(f);
    fm_buf_put_u8(&small, 1);
    assert_int_equal(fm_frame_seal(f->sessions[0], f->options[1].session_id, NOW_MS,
                                   fm_span_str("call"), &small),
                     FM_LIMIT);
    assert_int_equal(small.len, 1);
    fm_buf_free(&small);
    fm_buf_clear(&f->out);
    assert_int_equal(fm_frame_seal(f->sessions[0], f->options[1].session_id,
                                   NOW_MS + FM_SESSION_ANSWER_MS, fm_span_str("call"), &f->out),
                     FM_LIMIT);
    assert_int_equal(f->out.len, 0);
}

/* Answers that find no room are errors and leave what was there. */
static void full_answer_buffers_are_reported(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++)
        for (unsigned i = 0; i + 1 < frame_count(patterns[p]); i++) {
            run_until(f, patterns[p], i);
            struct fm_buf small = FM_BUF_INIT(60);
            fm_buf_put_str(&small, "kept");
            assert_int_equal(fm_handshake_step(f->sides[i % 2 == 0 ? RESPONDER : INITIATOR],
                                               fm_buf_span(&f->frames[i]), &small, &f->err),
                             FM_LIMIT);
            assert_true(small.len >= 4);
            assert_memory_equal(small.data, "kept", 4);
            fm_buf_free(&small);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(patterns_round_trip),
        TEST(programs_use_xx),
        TEST(largest_certificates_fit),
        TEST(certificates_are_hidden),
        TEST(missing_keys_are_reported),
        TEST(responder_without_gossip_key_refuses_psk),
        TEST(other_gossip_key_is_refused),
        TEST(other_responder_key_is_refused),
        TEST(disjoint_versions_are_refused),
        TEST(unknown_patterns_are_refused),
        TEST(changed_version_range_is_seen),
        TEST(tampered_frames_are_refused),
        TEST(truncated_frames_are_refused),
        TEST(order_of_frames_is_kept),
        TEST(nothing_is_due_before_hello),
        TEST(finish_belongs_to_its_session),
        TEST(replayed_handshakes_fail),
        TEST(principals_get_no_psk_session),
        TEST(odd_certificates_are_refused),
        TEST(downgrades_are_seen),
        TEST(sealed_frames_are_protected),
        TEST(sealing_fails_whole),
        TEST(full_answer_buffers_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
