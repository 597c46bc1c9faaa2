/* Frames that a running node must refuse: garbage, pieces of handshakes, unknown versions, missing
 * keys, and whatever a stranger recorded of somebody's session. After each of them the node serves
 * as before. */
#include "core/limits.h"
#include "core/session.h"
#include "tests/support/live_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static enum fm_status ask_members(struct raw_session *session)
{
    struct fm_request request = raw_request(session, FM_METHOD_MEMBERS, live_empty_map());

    return raw_ask(session, &request, NULL);
}

/* One frame over a new connection, which must be refused in clear with a text. */
static enum fm_status refused(const struct live_world *w, struct fm_span frame, char *text)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct fm_error err = {0};
    enum fm_status why = FM_OK;
    struct fm_frame decoded;
    int fd = raw_open(w->node->port);

    assert_int_equal(raw_exchange(fd, frame, &answer), RAW_MESSAGE);
    (void)close(fd);
    assert_int_equal(fm_frame_decode(fm_buf_span(&answer), &decoded), FM_OK);
    assert_int_equal(decoded.kind, FM_FRAME_REFUSED);
    assert_int_equal(fm_frame_refusal(&decoded, &why, &err), FM_REFUSED);
    assert_int_not_equal(why, FM_OK);
    assert_true(strlen(err.text) > 8);
    if (text != NULL)
        (void)snprintf(text, FM_ERROR_TEXT_MAX, "%s", err.text);
    return why;
}

static void hello_of(const struct raw_identity *identity, struct fm_buf *out)
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

    assert_int_equal(fm_handshake_new(&options, &handshake), FM_OK);
    assert_int_equal(fm_handshake_start(handshake, out), FM_OK);
}

/* ---- Garbage --------------------------------------------------------------------------------- */

/* Bytes that are no SP header end the connection; nothing is answered but nng's own header. */
static void what_is_not_nng_is_hung_up_on(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03 a TLS hello",
        "\x00SP\x01\x00\x30\x00\x00", /* Another version of SP. */
        "\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    struct live_world *w = *state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int fd = raw_dial(w->node->port);
        assert_true(fd >= 0);
        raw_bytes(fd, texts[i], i == 2 ? 8 : strlen(texts[i]));
        assert_int_equal(raw_wait_closed(fd, 2000), RAW_CLOSED);
        (void)close(fd);
    }
    /* A REP socket on the other side, which a REP may not talk to. */
    int fd = raw_dial(w->node->port);
    raw_bytes(fd, "\x00SP\x00\x00\x31\x00\x00", 8);
    assert_int_equal(raw_wait_closed(fd, 2000), RAW_CLOSED);
    (void)close(fd);
    live_assert_serves(w);
}

/* Random frames of every kind and length are answered by a refusal each, never by anything else. */
static void random_frames_are_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct live_world *w = *state;
    int fd = raw_open(w->node->port);
    uint8_t bytes[600];

    for (unsigned i = 0; i < 400; i++) {
        fm_random(bytes, sizeof bytes);
        size_t len = fm_load16(bytes) % sizeof bytes;
        bytes[0] = (uint8_t)(i % 7);
        if (i % 2 == 0) {
            memset(bytes + 1, 0, FM_FRAME_HEADER_BYTES - 1);
            bytes[1] = (uint8_t)(bytes[0] <= 3 ? 1 + i % 3 : 0);
            bytes[2] = bytes[0] <= 2;
            bytes[4] = bytes[0] <= 2;
        }
        enum raw_result result = raw_exchange(fd, fm_span(bytes, len), &answer);
        if (result == RAW_CLOSED) { /* Silent for too long: nothing of it made us known. */
            (void)close(fd);
            fd = raw_open(w->node->port);
            continue;
        }
        assert_int_equal(result, RAW_MESSAGE);
        /* HELLO of XX is 32 bytes of anything: that is answered, and leads nowhere. */
        bool is_hello = bytes[0] == FM_FRAME_HELLO && bytes[1] == FM_NOISE_XX &&
                        answer.data[0] == FM_FRAME_WELCOME;
        if (!is_hello)
            assert_int_equal(answer.data[0], FM_FRAME_REFUSED);
    }
    (void)close(fd);
    live_assert_serves(w);
}

/* Every beginning of a HELLO that is not all of it. */
static void truncated_hellos_are_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf hello = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);

    hello_of(&identity, &hello);
    for (size_t len = 0; len < hello.len; len++) {
        enum fm_status why = refused(w, fm_span(hello.data, len), NULL);
        assert_true(why == FM_MALFORMED || why == FM_FORGED);
    }
    identity = live_as_mole(w, FM_NOISE_IKPSK2);
    fm_buf_clear(&hello);
    hello_of(&identity, &hello);
    for (size_t len = 0; len < hello.len; len += 23)
        (void)refused(w, fm_span(hello.data, len), NULL);
    live_assert_serves(w);
}

/* ---- Handshakes ------------------------------------------------------------------------------ */

static void unknown_versions_are_refused_by_name(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf hello = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    char text[FM_ERROR_TEXT_MAX];

    hello_of(&identity, &hello);
    fm_store16(hello.data + 2, FM_PROTOCOL_VERSION + 1);
    fm_store16(hello.data + 4, UINT16_MAX);
    assert_int_equal(refused(w, fm_buf_span(&hello), text), FM_UNSUPPORTED);
    assert_non_null(strstr(text, "version"));
    fm_store16(hello.data + 2, 0);
    fm_store16(hello.data + 4, 0);
    assert_int_equal(refused(w, fm_buf_span(&hello), text), FM_UNSUPPORTED);
    /* A range that is none. */
    fm_store16(hello.data + 2, 2);
    fm_store16(hello.data + 4, 1);
    (void)refused(w, fm_buf_span(&hello), NULL);
    live_assert_serves(w);
}

/* The version range is under the handshake's hash: changed on the way, nobody gets in. */
static void a_changed_range_is_noticed(void **state)
{
    FM_AUTO(fm_handshake_freep) struct fm_handshake *handshake = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf hello = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf finish = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct fm_handshake_options options = {
        .pattern = FM_NOISE_XX,
        .initiator = true,
        .session_key = w->reader->session_key,
        .cert_kind = FM_PAYLOAD_PRINCIPAL,
        .cert = fm_buf_span(&w->reader->cert_bytes),
    };
    int fd = raw_open(w->node->port);

    assert_int_equal(fm_handshake_new(&options, &handshake), FM_OK);
    assert_int_equal(fm_handshake_start(handshake, &hello), FM_OK);
    fm_store16(hello.data + 4, FM_PROTOCOL_VERSION + 5);
    assert_int_equal(raw_exchange(fd, fm_buf_span(&hello), &answer), RAW_MESSAGE);
    assert_int_equal(answer.data[0], FM_FRAME_WELCOME);
    assert_int_not_equal(fm_handshake_step(handshake, fm_buf_span(&answer), &finish, NULL), FM_OK);
    (void)close(fd);
}

/* Between nodes the gossip key is part of the handshake: without it nobody gets an answer of use,
 * whatever certificate he has. */
static void psk_patterns_need_the_key(void **state)
{
    FM_AUTO(fm_key_freep) struct fm_key *wrong = NULL;
    struct live_world *w = *state;
    struct raw_session session;
    struct raw_identity identity = live_as_mole(w, FM_NOISE_IKPSK2);

    assert_int_equal(fm_key_generate(FM_KEY_GOSSIP, &wrong), FM_OK);
    identity.gossip_key = wrong;
    assert_int_not_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    raw_end(&session);
    identity.pattern = FM_NOISE_XXPSK0;
    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_FORGED);
    raw_end(&session);
    /* The same with the key, so that it was the key. */
    identity.gossip_key = w->mole->gossip_key;
    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    raw_end(&session);
    identity.pattern = FM_NOISE_IKPSK2;
    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    assert_int_equal(raw_call(&session, FM_METHOD_PING, fm_span_str("")), FM_OK);
    raw_end(&session);
}

/* ---- Replays --------------------------------------------------------------------------------- */

/* Everything that a principal sent, sent again by somebody who recorded it. */
static void recorded_frames_are_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;
    char text[FM_ERROR_TEXT_MAX];

    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    assert_int_equal(ask_members(&session), FM_OK);
    /* HELLO: another session, of which the stranger has no keys. */
    int fd = raw_open(w->node->port);
    assert_int_equal(raw_exchange(fd, fm_buf_span(&session.hello), &answer), RAW_MESSAGE);
    assert_int_equal(answer.data[0], FM_FRAME_WELCOME);
    assert_memory_not_equal(answer.data + 10, session.id, sizeof session.id);
    /* FINISH as it was, and for the new session. */
    assert_int_equal(refused(w, fm_buf_span(&session.finish), text), FM_MALFORMED);
    assert_non_null(strstr(text, "no handshake"));
    memcpy(session.finish.data + 10, answer.data + 10, sizeof session.id);
    assert_int_equal(refused(w, fm_buf_span(&session.finish), NULL), FM_FORGED);
    (void)close(fd);
    /* The call, over another connection and over its own. */
    assert_int_equal(refused(w, fm_buf_span(&session.sealed), text), FM_FORGED);
    assert_int_equal(raw_frame(&session, fm_buf_span(&session.sealed)), FM_FORGED);
    /* The session itself goes on. */
    assert_int_equal(ask_members(&session), FM_OK);
    raw_end(&session);
    live_assert_serves(w);
}

/* A sealed frame belongs to its session: with the id of another one it does not open, with one that
 * nobody has it is not looked at. */
static void sealed_frames_keep_to_their_session(void **state)
{
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session one, two;

    assert_int_equal(raw_begin(&one, w->node->port, &identity), FM_OK);
    assert_int_equal(raw_begin(&two, w->node->port, &identity), FM_OK);
    assert_int_equal(ask_members(&one), FM_OK);
    memcpy(one.sealed.data + 10, two.id, sizeof two.id);
    assert_int_equal(refused(w, fm_buf_span(&one.sealed), NULL), FM_FORGED);
    memset(one.sealed.data + 10, 0x5a, sizeof two.id);
    assert_int_equal(refused(w, fm_buf_span(&one.sealed), NULL), FM_NOTFOUND);
    assert_int_equal(ask_members(&two), FM_OK);
    for (size_t i = 0; i < two.sealed.len; i += 7) { /* Any bit of a fresh frame. */
        FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(0);
        FM_AUTO(fm_buf_free) struct fm_buf frame = FM_BUF_INIT(0);
        fm_call_encode(&plain, &(struct fm_call){.method = FM_METHOD_PING});
        assert_int_equal(
            fm_frame_seal(two.session, two.id, fm_now_ms(), fm_buf_span(&plain), &frame), FM_OK);
        frame.data[i % frame.len] ^= (uint8_t)(1u << (i & 7));
        (void)refused(w, fm_buf_span(&frame), NULL);
    }
    assert_int_equal(ask_members(&two), FM_OK);
    raw_end(&one);
    raw_end(&two);
}

/* The first message between nodes carries all that a handshake needs, so a recorded one begins a
 * session each time. A thousand of them cost others nothing: what is in use stays, who comes gets
 * in. */
static void replayed_hellos_push_nobody_out(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader),
                        node = live_as_mole(w, FM_NOISE_IKPSK2);
    struct raw_session session, recorded;

    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    assert_int_equal(raw_begin(&recorded, w->node->port, &node), FM_OK);
    struct live_usage before = live_usage(w->node->pid);
    int fd = raw_open(w->node->port);
    for (unsigned i = 0; i < 2 * FM_SESSIONS_MAX; i++) {
        enum raw_result result = raw_exchange(fd, fm_buf_span(&recorded.hello), &answer);
        if (result == RAW_MESSAGE)
            continue;
        (void)close(fd); /* Five seconds have passed. */
        fd = raw_open(w->node->port);
    }
    (void)close(fd);
    struct live_usage after = live_usage(w->node->pid);
    print_message("replayed HELLO: memory %llu KiB before, %llu KiB after\n",
                  (unsigned long long)before.rss_kib, (unsigned long long)after.rss_kib);
    live_assert_growth(&before, &after, 64);
    assert_int_equal(ask_members(&session), FM_OK);
    live_assert_serves(w);
    raw_end(&session);
    raw_end(&recorded);
}

/* Handshakes that nobody ends: newcomers still get in. */
static void half_way_handshakes_block_nobody(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf hello = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    int fd = raw_open(w->node->port);

    hello_of(&identity, &hello);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 200; i++)
            if (raw_exchange(fd, fm_buf_span(&hello), &answer) != RAW_MESSAGE) {
                (void)close(fd);
                fd = raw_open(w->node->port);
            }
        fm_ms start = fm_now_ms();
        live_assert_serves(w);
        assert_true(fm_now_ms() - start < 2000);
    }
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_nng_is_hung_up_on),
        cmocka_unit_test(random_frames_are_refused),
        cmocka_unit_test(truncated_hellos_are_refused),
        cmocka_unit_test(unknown_versions_are_refused_by_name),
        cmocka_unit_test(a_changed_range_is_noticed),
        cmocka_unit_test(psk_patterns_need_the_key),
        cmocka_unit_test(recorded_frames_are_refused),
        cmocka_unit_test(sealed_frames_keep_to_their_session),
        cmocka_unit_test(replayed_hellos_push_nobody_out),
        cmocka_unit_test(half_way_handshakes_block_nobody),
    };
    return cmocka_run_group_tests(tests, live_world_setup, live_world_teardown);
}
