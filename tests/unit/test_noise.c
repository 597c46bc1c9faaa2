/* Noise handshakes: published vectors, then what must not work. */
#include "core/noise.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MESSAGES_MAX 3

static const enum fm_noise_pattern patterns[] = {FM_NOISE_XX, FM_NOISE_IKPSK2, FM_NOISE_XXPSK0};
#define PATTERN_COUNT (sizeof patterns / sizeof patterns[0])

struct side {
    struct fm_key *key;
    uint8_t ephemeral[32];
    uint8_t psk[32];
    struct fm_noise *noise;
    struct fm_buf got; /* Last payload. */
};

struct fixture {
    struct side sides[2];               /* Initiator, responder. */
    struct fm_public_key responder_key; /* What the initiator takes for it. */
    struct fm_buf message;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        if (fm_key_generate(FM_KEY_SESSION, &f->sides[i].key) != FM_OK)
            return -1;
        memset(f->sides[i].ephemeral, 11 + (int)i, 32);
        memset(f->sides[i].psk, 7, 32);
    }
    f->responder_key = *fm_key_public(f->sides[1].key);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        fm_noise_free(f->sides[i].noise);
        fm_key_free(f->sides[i].key);
        fm_buf_free(&f->sides[i].got);
    }
    fm_buf_free(&f->message);
    free(f);
    return 0;
}

/* Both sides at their beginning; prologues of one's own, to let them differ. */
static void begin(struct fixture *f, enum fm_noise_pattern pattern, const char *prologue_i,
                  const char *prologue_r)
{
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &f->sides[i];
        struct fm_noise_options options = {
            .pattern = pattern,
            .initiator = i == 0,
            .prologue = fm_span_str(i == 0 ? prologue_i : prologue_r),
            .key = side->key,
            .peer = i == 0 ? &f->responder_key : NULL,
            .psk = pattern == FM_NOISE_XX ? NULL : side->psk,
            .ephemeral = side->ephemeral,
        };
        fm_noise_free(side->noise);
        side->noise = NULL;
        assert_int_equal(fm_noise_new(&options, &side->noise), FM_OK);
    }
}

/* Message `index` is written, changed by `change` (may be NULL), and read. */
static enum fm_status pass(struct fixture *f, unsigned index,
                           void (*change)(struct fm_buf *message, size_t at), size_t at)
{
    struct side *from = &f->sides[index % 2];
    struct side *to = &f->sides[1 - index % 2];

    fm_buf_clear(&f->message);
    fm_buf_clear(&to->got);
    assert_true(fm_noise_my_turn(from->noise));
    assert_false(fm_noise_my_turn(to->noise));
    enum fm_status status = fm_noise_write(from->noise, fm_span_str("payload"), &f->message);
    if (status != FM_OK)
        return status;
    if (change != NULL)
        change(&f->message, at);
    return fm_noise_read(to->noise, fm_buf_span(&f->message), &to->got);
}

static unsigned message_count(enum fm_noise_pattern pattern)
{
    return pattern == FM_NOISE_IKPSK2 ? 2 : 3;
}

/* The first message at which a handshake fails, with message `changed` changed on its way;
 * MESSAGES_MAX when none does. */
static unsigned fails_at(struct fixture *f, enum fm_noise_pattern pattern, unsigned changed,
                         void (*change)(struct fm_buf *message, size_t at), size_t at)
{
    for (unsigned i = 0; i < message_count(pattern); i++)
        if (pass(f, i, i == changed ? change : NULL, at) != FM_OK)
            return i;
    return MESSAGES_MAX;
}

static void assert_sides_agree(struct fixture *f)
{
    struct fm_noise_keys keys[2];

    for (size_t i = 0; i < 2; i++) {
        assert_true(fm_noise_is_finished(f->sides[i].noise));
        assert_false(fm_noise_my_turn(f->sides[i].noise));
        const struct fm_public_key *peer = fm_noise_peer(f->sides[i].noise);
        assert_non_null(peer);
        assert_true(fm_public_key_equal(peer, fm_key_public(f->sides[1 - i].key)));
        fm_noise_split(f->sides[i].noise, &keys[i]);
    }
    assert_memory_equal(keys[0].send, keys[1].receive, 32);
    assert_memory_equal(keys[0].receive, keys[1].send, 32);
    assert_memory_equal(keys[0].hash, keys[1].hash, 64);
    assert_memory_not_equal(keys[0].send, keys[0].receive, 32);
}

/* ---- Vectors ------------------------------------------------------------------------------ */

struct vectors {
    struct fixture *f;
    enum fm_noise_pattern pattern;
    uint8_t prologue[128];
    size_t prologue_len;
    uint8_t statics[2][32];
    bool begun;
    struct fm_noise_keys keys[2];
    uint64_t counters[2];
    unsigned messages;
    unsigned finished;
};

static size_t unhex(const char *text, uint8_t *out, size_t max)
{
    if (strcmp(text, "-") == 0)
        return 0;
    size_t len = strlen(text) / 2;
    assert_true(len <= max);
    assert_int_equal(fm_unhex(text, out, len), FM_OK);
    return len;
}

static void begin_vector(struct vectors *v)
{
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &v->f->sides[i];
        fm_key_free(side->key);
        side->key = NULL;
        assert_int_equal(fm_key_from_secret(FM_KEY_SESSION, v->statics[i], &side->key), FM_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &v->f->sides[i];
        struct fm_noise_options options = {
            .pattern = v->pattern,
            .initiator = i == 0,
            .prologue = fm_span(v->prologue, v->prologue_len),
            .key = side->key,
            .peer = fm_key_public(v->f->sides[1].key),
            .psk = v->f->sides[0].psk,
            .ephemeral = side->ephemeral,
        };
        fm_noise_free(side->noise);
        side->noise = NULL;
        assert_int_equal(fm_noise_new(&options, &side->noise), FM_OK);
        v->counters[i] = 0;
    }
    v->begun = true;
}

static void check_handshake(struct vectors *v, size_t from, struct fm_span plain,
                            struct fm_span wire)
{
    struct fm_buf *got = &v->f->sides[1 - from].got;

    if (!v->begun)
        begin_vector(v);
    fm_buf_clear(&v->f->message);
    fm_buf_clear(got);
    assert_int_equal(fm_noise_write(v->f->sides[from].noise, plain, &v->f->message), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&v->f->message), wire));
    assert_int_equal(fm_noise_read(v->f->sides[1 - from].noise, wire, got), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(got), plain));
    if (fm_noise_is_finished(v->f->sides[0].noise))
        for (size_t i = 0; i < 2; i++)
            fm_noise_split(v->f->sides[i].noise, &v->keys[i]);
}

static void check_transport(struct vectors *v, size_t from, struct fm_span plain,
                            struct fm_span wire)
{
    uint8_t nonce[12] = {0};
    uint8_t opened[512];

    assert_int_equal(wire.len, plain.len + 16);
    assert_true(plain.len <= sizeof opened);
    fm_store64(nonce + 4, v->counters[from]++);
    assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(opened, NULL, NULL, wire.data,
                                                               wire.len, NULL, 0, nonce,
                                                               v->keys[1 - from].receive),
                     0);
    assert_memory_equal(opened, plain.data, plain.len);
    assert_memory_equal(v->keys[from].send, v->keys[1 - from].receive, 32);
}

static void check_message(struct vectors *v, bool transport, char *rest)
{
    uint8_t bytes[2][512];
    char *plain = strchr(rest, ' ');
    assert_non_null(plain);
    char *wire = strchr(plain + 1, ' ');
    assert_non_null(wire);
    *wire++ = '\0';
    plain++;

    size_t from = rest[0] == 'i' ? 0 : 1;
    struct fm_span spans[2] = {
        fm_span(bytes[0], unhex(plain, bytes[0], sizeof bytes[0])),
        fm_span(bytes[1], unhex(wire, bytes[1], sizeof bytes[1])),
    };
    (transport ? check_transport : check_handshake)(v, from, spans[0], spans[1]);
    v->messages++;
}

static void start_vector(struct vectors *v, const char *rest)
{
    const char *name = strchr(rest, ' ');
    assert_non_null(name);
    v->begun = false;
    v->prologue_len = 0;
    if (strcmp(name + 1, "XX") == 0)
        v->pattern = FM_NOISE_XX;
    else if (strcmp(name + 1, "IKpsk2") == 0)
        v->pattern = FM_NOISE_IKPSK2;
    else if (strcmp(name + 1, "XXpsk0") == 0)
        v->pattern = FM_NOISE_XXPSK0;
    else
        fail_msg("a vector for %s", name + 1);
}

static void check_line(struct vectors *v, const char *word, char *rest)
{
    uint8_t hash[64];
    struct side *sides = v->f->sides;

    if (strcmp(word, "vector") == 0)
        start_vector(v, rest);
    else if (strcmp(word, "prologue") == 0)
        v->prologue_len = unhex(rest, v->prologue, sizeof v->prologue);
    else if (strcmp(word, "init_static") == 0)
        assert_int_equal(unhex(rest, v->statics[0], 32), 32);
    else if (strcmp(word, "resp_static") == 0)
        assert_int_equal(unhex(rest, v->statics[1], 32), 32);
    else if (strcmp(word, "init_ephemeral") == 0)
        assert_int_equal(unhex(rest, sides[0].ephemeral, 32), 32);
    else if (strcmp(word, "resp_ephemeral") == 0)
        assert_int_equal(unhex(rest, sides[1].ephemeral, 32), 32);
    else if (strcmp(word, "psk") == 0)
        assert_int_equal(unhex(rest, sides[0].psk, 32), 32);
    else if (strcmp(word, "handshake") == 0 || strcmp(word, "transport") == 0)
        check_message(v, word[0] == 't', rest);
    else if (strcmp(word, "hash") == 0)
        assert_int_equal(unhex(rest, hash, 64), 64);
    else if (strcmp(word, "end") == 0)
        v->finished++;
    else
        fail_msg("a line begins with %s", word);
    if (strcmp(word, "hash") == 0)
        assert_memory_equal(hash, v->keys[0].hash, 64);
}

/* What other implementations published comes out byte for byte, on both sides. */
static void published_vectors_hold(void **state)
{
    struct vectors v = {.f = *state};
    char line[2048];
    FILE *file = fopen(FM_SOURCE_DIR "/tests/vectors/noise.txt", "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        char *rest = strchr(line, ' ');
        if (rest != NULL)
            *rest++ = '\0';
        check_line(&v, line, rest);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(v.finished, 9);
    assert_true(v.messages > 40);
}

/* ---- Behaviour ---------------------------------------------------------------------------- */

/* Both sides end with each other's key, crossed keys and one hash; payloads arrive. */
static void patterns_round_trip(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        begin(f, patterns[p], "same", "same");
        for (unsigned i = 0; i < message_count(patterns[p]); i++) {
            assert_false(fm_noise_is_finished(f->sides[0].noise));
            assert_int_equal(pass(f, i, NULL, 0), FM_OK);
            struct fm_span got = fm_buf_span(&f->sides[1 - i % 2].got);
            assert_true(fm_span_equal(got, fm_span_str("payload")));
        }
        assert_sides_agree(f);
    }
}

/* Fresh ephemerals each time: the same two sides never get the same keys twice. */
static void ephemerals_are_random(void **state)
{
    struct fixture *f = *state;
    struct fm_buf hellos[2] = {FM_BUF_INIT(0), FM_BUF_INIT(0)};

    for (size_t i = 0; i < 2; i++) {
        struct fm_noise_options options = {
            .pattern = FM_NOISE_XX, .initiator = true, .key = f->sides[0].key};
        struct fm_noise *noise = NULL;
        assert_int_equal(fm_noise_new(&options, &noise), FM_OK);
        assert_int_equal(fm_noise_write(noise, fm_span(NULL, 0), &hellos[i]), FM_OK);
        fm_noise_free(noise);
    }
    assert_false(fm_span_equal(fm_buf_span(&hellos[0]), fm_buf_span(&hellos[1])));
    fm_buf_free(&hellos[0]);
    fm_buf_free(&hellos[1]);
}

/* XXpsk0 mixes the key in at once, IKpsk2 at the end of the last message. */
static void wrong_psk_is_refused(void **state)
{
    struct fixture *f = *state;

    f->sides[1].psk[31] ^= 1;
    begin(f, FM_NOISE_XXPSK0, "", "");
    assert_int_equal(fails_at(f, FM_NOISE_XXPSK0, MESSAGES_MAX, NULL, 0), 0);
    begin(f, FM_NOISE_IKPSK2, "", "");
    assert_int_equal(fails_at(f, FM_NOISE_IKPSK2, MESSAGES_MAX, NULL, 0), 1);
}

/* The initiator means another node: the responder cannot even read the first message. */
static void wrong_responder_key_is_refused(void **state)
{
    struct fixture *f = *state;

    f->responder_key = *fm_key_public(f->sides[0].key);
    begin(f, FM_NOISE_IKPSK2, "", "");
    assert_int_equal(pass(f, 0, NULL, 0), FM_FORGED);
    assert_null(fm_noise_peer(f->sides[1].noise));
}

/* What went before in clear (the versions offered) must be the same on both sides. */
static void other_prologue_is_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        begin(f, patterns[p], "versions 1 to 2", "versions 1 to 1");
        unsigned expected = patterns[p] == FM_NOISE_XX ? 1 : 0;
        assert_int_equal(fails_at(f, patterns[p], MESSAGES_MAX, NULL, 0), expected);
    }
}

/* Each pattern has its own name under the hash: sides that differ in it do not meet. */
static void other_pattern_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_noise *responder;

    begin(f, FM_NOISE_XXPSK0, "", "");
    responder = f->sides[1].noise;
    f->sides[1].noise = NULL;
    begin(f, FM_NOISE_XX, "", "");
    fm_noise_free(f->sides[1].noise);
    f->sides[1].noise = responder;
    assert_int_equal(pass(f, 0, NULL, 0), FM_FORGED);
}

static void flip(struct fm_buf *message, size_t at)
{
    message->data[at % message->len] ^= (uint8_t)(1u << (at % 8));
}

static void flip_top_bit(struct fm_buf *message, size_t at)
{
    message->data[at % message->len] ^= 0x80;
}

static void cut(struct fm_buf *message, size_t len)
{
    message->len = len;
}

static void lengthen(struct fm_buf *message, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fm_buf_put_u8(message, 0);
}

static size_t length_of(struct fixture *f, enum fm_noise_pattern pattern, unsigned index)
{
    begin(f, pattern, "", "");
    for (unsigned i = 0; i < index; i++)
        assert_int_equal(pass(f, i, NULL, 0), FM_OK);
    assert_int_equal(pass(f, index, NULL, 0), FM_OK);
    return f->message.len;
}

/* Where a change of message `index` must show: XX sends the first message in clear. */
static unsigned seen_at(enum fm_noise_pattern pattern, unsigned index)
{
    return pattern == FM_NOISE_XX && index == 0 ? 1 : index;
}

/* Any one byte of any message, with any of two bits: the top bit of a point is one that X25519
 * itself would not look at. */
static void tampered_bytes_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++)
        for (unsigned i = 0; i < message_count(patterns[p]); i++) {
            size_t len = length_of(f, patterns[p], i);
            for (size_t at = 0; at < 2 * len; at++) {
                begin(f, patterns[p], "", "");
                unsigned failed = fails_at(f, patterns[p], i, at < len ? flip : flip_top_bit, at);
                assert_int_equal(failed, seen_at(patterns[p], i));
                assert_false(fm_noise_is_finished(f->sides[1 - failed % 2].noise));
            }
        }
}

static void truncated_and_longer_messages_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t p = 0; p < PATTERN_COUNT; p++)
        for (unsigned i = 0; i < message_count(patterns[p]); i++) {
            size_t len = length_of(f, patterns[p], i);
            for (size_t cut_to = 0; cut_to < len; cut_to++) {
                begin(f, patterns[p], "", "");
                unsigned seen = cut_to < 32 && i == 0 ? 0 : seen_at(patterns[p], i);
                assert_int_equal(fails_at(f, patterns[p], i, cut, cut_to), seen);
            }
            begin(f, patterns[p], "", "");
            assert_int_equal(fails_at(f, patterns[p], i, lengthen, 1), seen_at(patterns[p], i));
        }
}

/* A failed handshake stays failed, even for the message that was due. */
static void failure_is_final(void **state)
{
    struct fixture *f = *state;
    struct fm_noise *responder;

    begin(f, FM_NOISE_IKPSK2, "", "");
    responder = f->sides[1].noise;
    assert_int_equal(pass(f, 0, flip, 40), FM_FORGED);
    flip(&f->message, 40);
    assert_int_equal(fm_noise_read(responder, fm_buf_span(&f->message), &f->sides[1].got),
                     FM_FORGED);
    assert_int_equal(fm_noise_write(responder, fm_span(NULL, 0), &f->message), FM_FORGED);
    assert_false(fm_noise_my_turn(responder));
    assert_false(fm_noise_is_finished(responder));
    assert_null(fm_noise_peer(responder));
    assert_int_equal(f->sides[1].got.len, 0);
}

static void make_small_order(struct fm_buf *message, size_t at)
{
    memset(message->data + at, 0, 32);
}

/* A point of small order would make the shared secret known to all. */
static void small_order_points_are_refused(void **state)
{
    struct fixture *f = *state;

    begin(f, FM_NOISE_XX, "", "");
    assert_int_equal(pass(f, 0, make_small_order, 0), FM_OK); /* No agreement yet. */
    assert_int_equal(pass(f, 1, NULL, 0), FM_FORGED);
    begin(f, FM_NOISE_IKPSK2, "", "");
    assert_int_equal(pass(f, 0, make_small_order, 0), FM_FORGED);
}

/* Section 3: no message above 65,535 bytes is written or read. */
static void long_messages_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t fits = 65535 - 32;
    uint8_t *zeros = calloc(1, 65536);

    assert_non_null(zeros);
    for (size_t extra = 0; extra < 2; extra++) {
        begin(f, FM_NOISE_XX, "", "");
        fm_buf_clear(&f->message);
        assert_int_equal(
            fm_noise_write(f->sides[0].noise, fm_span(zeros, fits + extra), &f->message),
            extra == 0 ? FM_OK : FM_LIMIT);
        assert_int_equal(f->message.len, extra == 0 ? 65535 : 0);
    }
    assert_int_equal(fm_noise_read(f->sides[1].noise, fm_span(zeros, 65536), &f->sides[1].got),
                     FM_FORGED);
    free(zeros);
}

/* A buffer without room is an error like any other, and ends the handshake. */
static void full_buffers_are_reported(void **state)
{
    struct fixture *f = *state;

    for (size_t max = 1; max < 96 + 7; max++) {
        struct fm_buf small = FM_BUF_INIT(max);
        begin(f, FM_NOISE_IKPSK2, "", "");
        assert_int_equal(fm_noise_write(f->sides[0].noise, fm_span_str("payload"), &small),
                         FM_LIMIT);
        assert_int_equal(small.len, 0);
        assert_false(fm_noise_my_turn(f->sides[0].noise));
        fm_buf_free(&small);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(published_vectors_hold),
        TEST(patterns_round_trip),
        TEST(ephemerals_are_random),
        TEST(wrong_psk_is_refused),
        TEST(wrong_responder_key_is_refused),
        TEST(other_prologue_is_refused),
        TEST(other_pattern_is_refused),
        TEST(tampered_bytes_are_refused),
        TEST(truncated_and_longer_messages_are_refused),
        TEST(failure_is_final),
        TEST(small_order_points_are_refused),
        TEST(long_messages_are_refused),
        TEST(full_buffers_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
