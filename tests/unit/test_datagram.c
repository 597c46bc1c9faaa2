/* Sealed datagrams: one mesh, a few nodes, and who records their packets. */
#include "core/datagram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OVERHEAD 74u
#define SENDERS_MAX 4u

struct fixture {
    struct fm_key *key;
    struct fm_key *other_key;
    struct fm_datagrams *a;
    struct fm_datagrams *b;
    struct fm_buf wire;
    struct fm_buf got;
    struct fm_node_id sender;
};

static const uint8_t nonce[24] = {1, 2, 3};

static struct fm_datagrams *new_node(const struct fm_key *key, uint32_t id, uint64_t epoch)
{
    struct fm_datagrams_options options = {
        .gossip_key = key, .boot_epoch = epoch, .sender_max = SENDERS_MAX};
    struct fm_datagrams *datagrams = NULL;

    fm_store32(options.self.bytes, id);
    if (fm_datagrams_new(&options, &datagrams) != FM_OK)
        return NULL;
    return datagrams;
}

static int setup(void **state)
{
    uint8_t secret[32] = {5};
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK ||
        fm_key_from_secret(FM_KEY_GOSSIP, secret, &f->key) != FM_OK)
        return -1;
    secret[0] = 6;
    if (fm_key_from_secret(FM_KEY_GOSSIP, secret, &f->other_key) != FM_OK)
        return -1;
    f->a = new_node(f->key, 'a', 7);
    f->b = new_node(f->key, 'b', 1);
    *state = f;
    return f->a != NULL && f->b != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_datagrams_free(f->a);
    fm_datagrams_free(f->b);
    fm_key_free(f->key);
    fm_key_free(f->other_key);
    fm_buf_free(&f->wire);
    fm_buf_free(&f->got);
    free(f);
    return 0;
}

static void seal(struct fixture *f, struct fm_datagrams *from)
{
    fm_buf_clear(&f->wire);
    assert_int_equal(fm_datagram_seal(from, nonce, fm_span_str("packet"), &f->wire), FM_OK);
    assert_int_equal(f->wire.len, OVERHEAD + 6);
}

static enum fm_status open_at(struct fixture *f, struct fm_datagrams *at, struct fm_span bytes)
{
    fm_buf_clear(&f->got);
    enum fm_status status = fm_datagram_open(at, bytes, &f->sender, &f->got);
    if (status != FM_OK)
        assert_int_equal(f->got.len, 0);
    else
        assert_true(fm_span_equal(fm_buf_span(&f->got), fm_span_str("packet")));
    return status;
}

static enum fm_status open_wire(struct fixture *f)
{
    return open_at(f, f->b, fm_buf_span(&f->wire));
}

/* A packet arrives with its sender; the header has the documented layout. */
static void packets_round_trip(void **state)
{
    struct fixture *f = *state;

    seal(f, f->a);
    assert_int_equal(open_wire(f), FM_OK);
    assert_int_equal(fm_load32(f->sender.bytes), 'a');
    seal(f, f->a);
    assert_int_equal(f->wire.data[0], 1);
    assert_int_equal(f->wire.data[1], fm_key_public(f->key)->bytes[0]);
    assert_memory_equal(f->wire.data + 2, f->sender.bytes, 16);
    assert_int_equal(fm_load64(f->wire.data + 18), 7);
    assert_int_equal(fm_load64(f->wire.data + 26), 1);
    assert_memory_equal(f->wire.data + 34, nonce, 24);
    assert_int_equal(open_wire(f), FM_OK);
}

/* Computed by another implementation (XChaCha20 over Python's cryptography): header, nonce, sealed
 * packet. */
static void golden_packet(void **state)
{
    static const char expected[] = "01e7"
                                   "61000000000000000000000000000000"
                                   "07000000000000000000000000000000"
                                   "010203000000000000000000000000000000000000000000"
                                   "1e0956b8759c5a1e747e68222f12824f4ff62f0ed468";
    struct fixture *f = *state;
    char hex[sizeof expected];

    seal(f, f->a);
    assert_int_equal(2 * f->wire.len + 1, sizeof hex);
    fm_hex(f->wire.data, f->wire.len, hex);
    assert_string_equal(hex, expected);
}

static void packets_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint8_t zeros[FM_DATAGRAM_BYTES_MAX + 1] = {0};

    assert_int_equal(
        fm_datagram_seal(f->a, nonce, fm_span(zeros, FM_PACKET_BYTES_MAX + 1), &f->wire), FM_LIMIT);
    assert_int_equal(f->wire.len, 0);
    assert_int_equal(fm_datagram_seal(f->a, nonce, fm_span(zeros, FM_PACKET_BYTES_MAX), &f->wire),
                     FM_OK);
    assert_true(f->wire.len <= FM_DATAGRAM_BYTES_MAX);
    assert_int_equal(fm_datagram_open(f->b, fm_buf_span(&f->wire), &f->sender, &f->got), FM_OK);
    assert_int_equal(f->got.len, FM_PACKET_BYTES_MAX);
    zeros[0] = 1;
    assert_int_equal(open_at(f, f->b, fm_span(zeros, sizeof zeros)), FM_MALFORMED);
    fm_buf_clear(&f->wire);
    assert_int_equal(fm_datagram_seal(f->a, nonce, fm_span(NULL, 0), &f->wire), FM_OK);
    fm_buf_clear(&f->got);
    assert_int_equal(fm_datagram_open(f->b, fm_buf_span(&f->wire), &f->sender, &f->got), FM_OK);
    assert_int_equal(f->got.len, 0);
}

static void replay_at_once_is_refused(void **state)
{
    struct fixture *f = *state;

    seal(f, f->a);
    assert_int_equal(open_wire(f), FM_OK);
    assert_int_equal(open_wire(f), FM_FORGED);
}

/* A packet kept back may be late by less than a window, once; one kept longer is refused though it
 * was never seen. */
static void replay_later_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_buf kept[3] = {{0}};

    for (size_t i = 0; i < 3; i++) {
        seal(f, f->a);
        fm_buf_put_span(&kept[i], fm_buf_span(&f->wire));
    }
    assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[0])), FM_OK);
    for (uint32_t i = 3; i <= FM_REPLAY_WINDOW + 1; i++) {
        seal(f, f->a);
        assert_int_equal(open_wire(f), FM_OK);
    }
    assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[0])), FM_FORGED);
    assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[1])), FM_FORGED);
    assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[2])), FM_OK);
    assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[2])), FM_FORGED);
    for (size_t i = 0; i < 3; i++)
        fm_buf_free(&kept[i]);
}

static void reordered_packets_open_once(void **state)
{
    struct fixture *f = *state;
    struct fm_buf kept[8] = {{0}};

    for (size_t i = 0; i < 8; i++) {
        seal(f, f->a);
        fm_buf_put_span(&kept[i], fm_buf_span(&f->wire));
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[i * 5 % 8])), FM_OK);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(open_at(f, f->b, fm_buf_span(&kept[i])), FM_FORGED);
        fm_buf_free(&kept[i]);
    }
}

/* A sender that starts again with a greater epoch is heard from its first packet on; what was
 * recorded before is not, seen or unseen. */
static void restart_with_new_epoch_is_heard(void **state)
{
    struct fixture *f = *state;
    struct fm_buf unseen = FM_BUF_INIT(0);

    seal(f, f->a);
    assert_int_equal(open_wire(f), FM_OK);
    seal(f, f->a);
    fm_buf_put_span(&unseen, fm_buf_span(&f->wire));
    fm_datagrams_free(f->a);
    f->a = new_node(f->key, 'a', 8);
    assert_non_null(f->a);
    seal(f, f->a);
    assert_int_equal(open_wire(f), FM_OK);
    assert_int_equal(open_wire(f), FM_FORGED);
    assert_int_equal(open_at(f, f->b, fm_buf_span(&unseen)), FM_FORGED);
    fm_buf_free(&unseen);
}

/* A sender that breaks its promise and takes an old epoch counts as a replay until its counters
 * are new again. */
static void restart_with_same_epoch_is_a_replay(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        seal(f, f->a);
        assert_int_equal(open_wire(f), FM_OK);
    }
    for (uint64_t epoch = 6; epoch <= 7; epoch++) {
        fm_datagrams_free(f->a);
        f->a = new_node(f->key, 'a', epoch);
        assert_non_null(f->a);
        for (unsigned i = 0; i < 3; i++) {
            seal(f, f->a);
            assert_int_equal(open_wire(f), FM_FORGED);
        }
        seal(f, f->a);
        assert_int_equal(open_wire(f), epoch == 7 ? FM_OK : FM_FORGED);
    }
}

static void own_packets_are_refused(void **state)
{
    struct fixture *f = *state;

    seal(f, f->b);
    assert_int_equal(open_wire(f), FM_FORGED);
    fm_store32(f->wire.data + 2, 'a');
    assert_int_equal(open_wire(f), FM_FORGED);
}

/* Another mesh's key: by its id, and by the seal when the id is made to fit. */
static void other_keys_are_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_datagrams *stranger = new_node(f->other_key, 'c', 1);

    assert_non_null(stranger);
    assert_int_not_equal(fm_key_public(f->key)->bytes[0], fm_key_public(f->other_key)->bytes[0]);
    seal(f, stranger);
    fm_datagrams_free(stranger);
    assert_int_equal(open_wire(f), FM_FORGED);
    f->wire.data[1] = fm_key_public(f->key)->bytes[0];
    assert_int_equal(open_wire(f), FM_FORGED);
}

/* Any one byte; and a forgery uses no counter up, nor moves the epoch. */
static void tampered_packets_are_refused(void **state)
{
    struct fixture *f = *state;

    for (unsigned known = 0; known < 2; known++) {
        seal(f, f->a);
        for (size_t at = 0; at < f->wire.len; at++)
            for (unsigned bit = 0; bit < 8; bit += 7) {
                f->wire.data[at] ^= (uint8_t)(1u << bit);
                assert_int_equal(open_wire(f), at == 0 ? FM_MALFORMED : FM_FORGED);
                f->wire.data[at] ^= (uint8_t)(1u << bit);
            }
        assert_int_equal(open_wire(f), FM_OK);
    }
}

static void truncated_packets_are_refused(void **state)
{
    struct fixture *f = *state;

    seal(f, f->a);
    for (size_t len = 0; len < f->wire.len; len++)
        assert_int_equal(open_at(f, f->b, fm_span(f->wire.data, len)),
                         len < OVERHEAD ? FM_MALFORMED : FM_FORGED);
    assert_int_equal(open_wire(f), FM_OK);
}

/* The table takes `sender_max` nodes and then no more; those it knows go on. Strangers' packets
 * take no place. */
static void senders_are_bounded(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 3 * SENDERS_MAX; i++) {
        struct fm_datagrams *stranger = new_node(f->other_key, 500 + i, 1);
        assert_non_null(stranger);
        seal(f, stranger);
        f->wire.data[1] = fm_key_public(f->key)->bytes[0];
        assert_int_equal(open_wire(f), FM_FORGED);
        fm_datagrams_free(stranger);
    }
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < SENDERS_MAX + 3; i++) {
            struct fm_datagrams *node = new_node(f->key, 900 + i, 1 + round);
            assert_non_null(node);
            seal(f, node);
            assert_int_equal(open_wire(f), i < SENDERS_MAX ? FM_OK : FM_LIMIT);
            assert_int_equal(open_wire(f), i < SENDERS_MAX ? FM_FORGED : FM_LIMIT);
            if (i < SENDERS_MAX)
                assert_int_equal(fm_load32(f->sender.bytes), 900 + i);
            fm_datagrams_free(node);
        }
}

/* Many senders, all kept apart. */
static void senders_are_kept_apart(void **state)
{
    struct fixture *f = *state;
    struct fm_datagrams_options options = {.gossip_key = f->key, .sender_max = 300};
    struct fm_datagrams *hub = NULL;

    assert_int_equal(fm_datagrams_new(&options, &hub), FM_OK);
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 1; i <= 300; i++) {
            struct fm_datagrams *node = new_node(f->key, i, 1 + round);
            assert_non_null(node);
            seal(f, node);
            assert_int_equal(open_at(f, hub, fm_buf_span(&f->wire)), FM_OK);
            assert_int_equal(fm_load32(f->sender.bytes), i);
            assert_int_equal(open_at(f, hub, fm_buf_span(&f->wire)), FM_FORGED);
            fm_datagrams_free(node);
        }
    fm_datagrams_free(hub);
}

/* No room for the packet: nothing is used up. */
static void full_buffer_uses_nothing_up(void **state)
{
    struct fixture *f = *state;
    struct fm_buf small = FM_BUF_INIT(3);

    seal(f, f->a);
    assert_int_equal(fm_datagram_open(f->b, fm_buf_span(&f->wire), &f->sender, &small), FM_LIMIT);
    assert_int_equal(small.len, 0);
    fm_buf_clear(&small);
    assert_int_equal(fm_datagram_seal(f->a, nonce, fm_span_str("packet"), &small), FM_LIMIT);
    assert_int_equal(small.len, 0);
    assert_int_equal(open_wire(f), FM_OK);
    fm_buf_free(&small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(packets_round_trip),
        TEST(golden_packet),
        TEST(packets_are_bounded),
        TEST(replay_at_once_is_refused),
        TEST(replay_later_is_refused),
        TEST(reordered_packets_open_once),
        TEST(restart_with_new_epoch_is_heard),
        TEST(restart_with_same_epoch_is_a_replay),
        TEST(own_packets_are_refused),
        TEST(other_keys_are_refused),
        TEST(tampered_packets_are_refused),
        TEST(truncated_packets_are_refused),
        TEST(senders_are_bounded),
        TEST(senders_are_kept_apart),
        TEST(full_buffer_uses_nothing_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
