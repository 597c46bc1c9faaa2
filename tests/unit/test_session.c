/* Sealed sessions. The module is included, not linked, so that its counters can be set: nobody
 * waits for 2^32 messages. */
#include "core/session.c" /* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_MS 1000000

struct fixture {
    struct fm_key *keys[2];
    struct fm_noise *noise[2];
    struct fm_session *a; /* The initiator's. */
    struct fm_session *b;
    struct fm_buf wire;
    struct fm_buf got;
};

static const struct fm_span no_ad;

static int shake_hands(struct fixture *f)
{
    struct fm_buf message = FM_BUF_INIT(0);
    struct fm_buf payload = FM_BUF_INIT(0);
    enum fm_status status = FM_OK;

    for (size_t i = 0; i < 2; i++) {
        struct fm_noise_options options = {
            .pattern = FM_NOISE_XX, .initiator = i == 0, .key = f->keys[i]};
        if (fm_noise_new(&options, &f->noise[i]) != FM_OK)
            return -1;
    }
    for (size_t i = 0; i < 3 && status == FM_OK; i++) {
        fm_buf_clear(&message);
        status = fm_noise_write(f->noise[i % 2], fm_span(NULL, 0), &message);
        if (status == FM_OK)
            status = fm_noise_read(f->noise[1 - i % 2], fm_buf_span(&message), &payload);
    }
    fm_buf_free(&message);
    fm_buf_free(&payload);
    return status == FM_OK ? 0 : -1;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    for (size_t i = 0; i < 2; i++)
        if (fm_key_generate(FM_KEY_SESSION, &f->keys[i]) != FM_OK)
            return -1;
    if (shake_hands(f) != 0 || fm_session_new(f->noise[0], START_MS, &f->a) != FM_OK ||
        fm_session_new(f->noise[1], START_MS, &f->b) != FM_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        fm_noise_free(f->noise[i]);
        fm_key_free(f->keys[i]);
    }
    fm_session_free(f->a);
    fm_session_free(f->b);
    fm_buf_free(&f->wire);
    fm_buf_free(&f->got);
    free(f);
    return 0;
}

/* The n-th message that `a` seals, in `f->wire`. */
static void seal_at(struct fixture *f, uint64_t counter)
{
    atomic_store(&f->a->sent, counter);
    fm_buf_clear(&f->wire);
    assert_int_equal(fm_session_seal(f->a, START_MS, no_ad, fm_span_str("hello"), &f->wire), FM_OK);
    assert_int_equal(fm_load64(f->wire.data), counter);
}

static enum fm_status open_wire(struct fixture *f)
{
    fm_buf_clear(&f->got);
    enum fm_status status = fm_session_open(f->b, START_MS, no_ad, fm_buf_span(&f->wire), &f->got);
    if (status == FM_OK)
        assert_true(fm_span_equal(fm_buf_span(&f->got), fm_span_str("hello")));
    else
        assert_int_equal(f->got.len, 0);
    return status;
}

static enum fm_status pass(struct fixture *f, uint64_t counter)
{
    seal_at(f, counter);
    return open_wire(f);
}

/* Both directions, with associated data, appended behind what is there already. */
static void messages_round_trip(void **state)
{
    struct fixture *f = *state;
    struct fm_session *both[] = {f->a, f->b};

    assert_memory_equal(fm_session_hash(f->a), fm_session_hash(f->b), 32);
    for (unsigned i = 0; i < 6; i++) {
        struct fm_span plain = fm_span("payload", i);
        fm_buf_clear(&f->wire);
        fm_buf_clear(&f->got);
        fm_buf_put_str(&f->wire, "before");
        fm_buf_put_str(&f->got, "kept");
        assert_int_equal(fm_session_seal(both[i % 2], START_MS, fm_span_str("ad"), plain, &f->wire),
                         FM_OK);
        assert_int_equal(f->wire.len, 6 + 8 + i + 16);
        assert_int_equal(fm_session_open(both[1 - i % 2], START_MS, fm_span_str("ad"),
                                         fm_span(f->wire.data + 6, f->wire.len - 6), &f->got),
                         FM_OK);
        assert_int_equal(f->got.len, 4 + i);
        assert_memory_equal(f->got.data, "kept", 4);
        assert_memory_equal(f->got.data + 4, plain.data, i);
    }
}

/* Each direction has its own key: what a side sealed does not open at itself. */
/* Two libraries agree on the bytes: of any length, beside any associated data. */
static void bytes_are_those_of_libsodium(void **state)
{
    static const size_t lens[] = {0, 1, 63, 64, 65, 1000, FM_PAYLOAD_BYTES_MAX};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        FM_AUTO(fm_mem_freep) uint8_t *plain = calloc(1, lens[i] + 1);
        FM_AUTO(fm_mem_freep) uint8_t *sealed = calloc(1, lens[i] + TAG_BYTES);
        uint8_t nonce[12], ad[32];
        size_t ad_len = i * 3;

        memset(ad, (int)i, sizeof ad);
        memset(plain, (int)(i + 1), lens[i]);
        make_nonce(i, nonce);
        fm_buf_clear(&f->wire);
        assert_int_equal(
            fm_session_seal(f->a, START_MS, fm_span(ad, ad_len), fm_span(plain, lens[i]), &f->wire),
            FM_OK);
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, lens[i], ad, ad_len,
                                                        NULL, nonce, f->a->keys.send);
        assert_int_equal(f->wire.len, COUNTER_BYTES + lens[i] + TAG_BYTES);
        assert_memory_equal(f->wire.data + COUNTER_BYTES, sealed, lens[i] + TAG_BYTES);
    }
}

static void reflected_messages_are_refused(void **state)
{
    struct fixture *f = *state;

    seal_at(f, 0);
    assert_int_equal(fm_session_open(f->a, START_MS, no_ad, fm_buf_span(&f->wire), &f->got),
                     FM_FORGED);
}

static void replays_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(pass(f, 0), FM_OK);
    assert_int_equal(open_wire(f), FM_FORGED);
    assert_int_equal(pass(f, 1), FM_OK);
    assert_int_equal(open_wire(f), FM_FORGED);
    assert_int_equal(pass(f, 0), FM_FORGED);
}

/* A reply overtaken by all but the last place of the window still opens; one further does not. */
static void window_has_edges(void **state)
{
    struct fixture *f = *state;
    uint64_t top = 5000;

    assert_int_equal(pass(f, top), FM_OK);
    assert_int_equal(pass(f, top - FM_REPLAY_WINDOW), FM_FORGED);
    assert_int_equal(pass(f, top - FM_REPLAY_WINDOW + 1), FM_OK);
    assert_int_equal(pass(f, top - FM_REPLAY_WINDOW + 1), FM_FORGED);
    assert_int_equal(pass(f, top - 1), FM_OK);
    assert_int_equal(pass(f, top - 1), FM_FORGED);
    assert_int_equal(pass(f, 0), FM_FORGED);
}

/* Backwards, every counter of a window opens once. */
static void reordered_messages_open_once(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < FM_REPLAY_WINDOW; i++)
        assert_int_equal(pass(f, FM_REPLAY_WINDOW - 1 - i), FM_OK);
    for (uint64_t i = 0; i < FM_REPLAY_WINDOW; i++)
        assert_int_equal(pass(f, i), FM_FORGED);
    assert_int_equal(pass(f, FM_REPLAY_WINDOW), FM_OK);
}

/* Against a set of all counters ever seen: a walk that jumps, steps and goes back. */
static void window_is_like_a_set(void **state)
{
    struct fm_window window = {0};
    bool *seen = calloc(1 << 20, sizeof *seen);
    uint64_t top = 0, random = 1;
    bool any = false;

    (void)state;
    assert_non_null(seen);
    for (unsigned i = 0; i < 60000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t step = (random >> 33) % (i % 97 == 0 ? 3000 : 40);
        uint64_t back = (random >> 50) % 1500;
        uint64_t counter = i % 3 == 0 ? top + step : top - (back < top ? back : top);
        if (counter >= 1 << 20)
            break;
        bool old = any && counter + FM_REPLAY_WINDOW <= top;
        assert_int_equal(fm_window_is_fresh(&window, counter), !old && !seen[counter]);
        if (old || seen[counter])
            continue;
        fm_window_mark(&window, counter);
        seen[counter] = true;
        any = true;
        top = counter > top ? counter : top;
    }
    free(seen);
    assert_true(top > 100000);
}

/* A jump of any size clears what it leaves behind; the last counter of all is never taken. */
static void window_survives_jumps(void **state)
{
    struct fm_window window = {0};

    (void)state;
    for (uint64_t i = 0; i < FM_REPLAY_WINDOW; i++)
        fm_window_mark(&window, i);
    uint64_t top = UINT64_MAX - 1;
    fm_window_mark(&window, top);
    assert_false(fm_window_is_fresh(&window, top));
    assert_false(fm_window_is_fresh(&window, UINT64_MAX));
    for (uint64_t i = 1; i < FM_REPLAY_WINDOW; i++)
        assert_true(fm_window_is_fresh(&window, top - i));
    assert_false(fm_window_is_fresh(&window, top - FM_REPLAY_WINDOW));
}

/* Any one byte; and the message must still open afterwards: a forgery uses nothing up. */
static void tampered_messages_are_refused(void **state)
{
    struct fixture *f = *state;

    seal_at(f, 3);
    for (size_t i = 0; i < f->wire.len; i++) {
        f->wire.data[i] ^= 1;
        assert_int_equal(open_wire(f), FM_FORGED);
        f->wire.data[i] ^= 1;
    }
    assert_int_equal(
        fm_session_open(f->b, START_MS, fm_span_str("x"), fm_buf_span(&f->wire), &f->got),
        FM_FORGED);
    assert_int_equal(open_wire(f), FM_OK);
}

static void truncated_messages_are_refused(void **state)
{
    struct fixture *f = *state;

    seal_at(f, 0);
    size_t len = f->wire.len;
    for (f->wire.len = 0; f->wire.len < len; f->wire.len++)
        assert_int_equal(open_wire(f), FM_FORGED);
    fm_buf_put_u8(&f->wire, 0);
    assert_int_equal(open_wire(f), FM_FORGED);
    f->wire.len = len;
    assert_int_equal(open_wire(f), FM_OK);
}

/* Asked to be replaced at FM_SESSION_REKEY_MS, useless from FM_SESSION_ANSWER_MS on. */
static void sessions_age(void **state)
{
    struct fixture *f = *state;
    fm_ms rekey = START_MS + FM_SESSION_REKEY_MS;
    fm_ms reject = START_MS + FM_SESSION_ANSWER_MS;

    assert_false(fm_session_is_old(f->a, START_MS));
    assert_false(fm_session_is_old(f->a, rekey - 1));
    assert_true(fm_session_is_old(f->a, rekey));
    assert_int_equal(fm_session_seal(f->a, reject - 1, no_ad, fm_span_str("x"), &f->wire), FM_OK);
    assert_int_equal(fm_session_open(f->b, reject, no_ad, fm_buf_span(&f->wire), &f->got),
                     FM_LIMIT);
    assert_int_equal(fm_session_open(f->b, reject - 1, no_ad, fm_buf_span(&f->wire), &f->got),
                     FM_OK);
    fm_buf_clear(&f->wire);
    assert_int_equal(fm_session_seal(f->a, reject, no_ad, fm_span_str("x"), &f->wire), FM_LIMIT);
    assert_int_equal(f->wire.len, 0);
}

/* A session ends with its counters, on both sides, and says so before. */
static void messages_are_counted(void **state)
{
    struct fixture *f = *state;

    atomic_store(&f->a->sent, MESSAGES_OLD - 1);
    assert_false(fm_session_is_old(f->a, START_MS));
    atomic_store(&f->a->sent, MESSAGES_OLD);
    assert_true(fm_session_is_old(f->a, START_MS));
    assert_int_equal(pass(f, FM_SESSION_MESSAGES_MAX - 1), FM_OK);
    fm_buf_clear(&f->wire);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fm_session_seal(f->a, START_MS, no_ad, fm_span_str("x"), &f->wire),
                         FM_LIMIT);
    assert_int_equal(f->wire.len, 0);
}

/* A peer that counts on is not followed. */
static void counters_past_the_limit_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t nonce[12];

    seal_at(f, 0);
    fm_store64(f->wire.data, FM_SESSION_MESSAGES_MAX);
    make_nonce(FM_SESSION_MESSAGES_MAX, nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(
        f->wire.data + 8, NULL, (const uint8_t *)"hello", 5, NULL, 0, NULL, nonce, f->a->keys.send);
    assert_int_equal(open_wire(f), FM_FORGED);
}

static void payloads_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint8_t *zeros = calloc(1, FM_PAYLOAD_BYTES_MAX + 1);

    assert_non_null(zeros);
    assert_int_equal(
        fm_session_seal(f->a, START_MS, no_ad, fm_span(zeros, FM_PAYLOAD_BYTES_MAX + 1), &f->wire),
        FM_LIMIT);
    assert_int_equal(
        fm_session_seal(f->a, START_MS, no_ad, fm_span(zeros, FM_PAYLOAD_BYTES_MAX), &f->wire),
        FM_OK);
    assert_int_equal(fm_session_open(f->b, START_MS, no_ad, fm_buf_span(&f->wire), &f->got), FM_OK);
    assert_int_equal(f->got.len, FM_PAYLOAD_BYTES_MAX);
    free(zeros);
}

/* No room for the plain text: the message can be opened again later. */
static void full_buffer_uses_nothing_up(void **state)
{
    struct fixture *f = *state;
    struct fm_buf small = FM_BUF_INIT(4);

    seal_at(f, 0);
    assert_int_equal(fm_session_open(f->b, START_MS, no_ad, fm_buf_span(&f->wire), &small),
                     FM_LIMIT);
    assert_int_equal(small.len, 0);
    assert_int_equal(open_wire(f), FM_OK);
    fm_buf_free(&small);
}

struct thief {
    struct fixture *f;
    unsigned sealed;
    unsigned opened;
};

#define THREAD_MESSAGES 500u

/* Seals own messages, and opens the one that all threads fight over. */
static void *seal_and_open(void *argument)
{
    struct thief *thief = argument;
    struct fixture *f = thief->f;
    struct fm_buf wire = FM_BUF_INIT(0), got = FM_BUF_INIT(0);

    for (unsigned i = 0; i < THREAD_MESSAGES; i++) {
        fm_buf_clear(&wire);
        if (fm_session_seal(f->a, START_MS, no_ad, fm_span_str("mine"), &wire) == FM_OK &&
            fm_session_open(f->b, START_MS, no_ad, fm_buf_span(&wire), &got) == FM_OK)
            thief->sealed++;
        if (fm_session_open(f->b, START_MS, no_ad, fm_buf_span(&f->wire), &got) == FM_OK)
            thief->opened++;
    }
    fm_buf_free(&wire);
    fm_buf_free(&got);
    return NULL;
}

/* Threads share both ends: no counter twice, and one message opens for one of them only. A thread
 * that sleeps through a whole window would find its message too old, which is no failure. */
static void threads_share_a_session(void **state)
{
    struct fixture *f = *state;
    struct thief thieves[3] = {{.f = f}, {.f = f}, {.f = f}};
    pthread_t threads[3];
    unsigned sealed = 0, opened = 0;

    seal_at(f, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, &thieves[i]), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sealed += thieves[i].sealed;
        opened += thieves[i].opened;
    }
    assert_true(opened <= 1);
    assert_true(sealed > THREAD_MESSAGES);
    assert_int_equal(atomic_load(&f->a->sent), 3 * THREAD_MESSAGES + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_round_trip),
        TEST(bytes_are_those_of_libsodium),
        TEST(reflected_messages_are_refused),
        TEST(replays_are_refused),
        TEST(window_has_edges),
        TEST(reordered_messages_open_once),
        cmocka_unit_test(window_is_like_a_set),
        cmocka_unit_test(window_survives_jumps),
        TEST(tampered_messages_are_refused),
        TEST(truncated_messages_are_refused),
        TEST(sessions_age),
        TEST(messages_are_counted),
        TEST(counters_past_the_limit_are_refused),
        TEST(payloads_are_bounded),
        TEST(full_buffer_uses_nothing_up),
        TEST(threads_share_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
