/* The packets of gossip: golden vectors, what is refused, what is skipped; and the small parts
 * below the state machine: addresses, rumours, the index of slots. */
#include "gossip/address.h"
#include "gossip/random.h"
#include "gossip/rumours.h"
#include "gossip/slots.h"
#include "gossip/wire.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct vector_file *vectors;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.vectors = vector_file_open("gossip.txt")};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vector_file_free(f->vectors);
    return 0;
}

static struct fm_node_id node(uint8_t byte)
{
    struct fm_node_id id;

    memset(id.bytes, byte, sizeof id.bytes);
    return id;
}

static const struct wire_digest digest = {.members = UINT64_C(0x1122334455667788),
                                          .count = 3,
                                          .verdicts = 0x99aabbcc,
                                          .quiet = 250,
                                          .kind_count = 6,
                                          .kinds = {1, 2, 3, 4, 5, 6}};

static struct wire_accuse an_accuse(enum gossip_state state)
{
    return (struct wire_accuse){
        .state = state, .accused = node(0xa1), .incarnation = 7, .accuser = node(0xa2)};
}

static struct wire_member a_member(void)
{
    return (struct wire_member){.claim = FM_MEMBER_ALIVE,
                                .node = node(0xb1),
                                .incarnation = 9,
                                .envelope = fm_span_str("signed envelope")};
}

static struct wire_record a_record(void)
{
    struct wire_record record = {
        .kind = GOSSIP_RECORD_CONTRACT, .writer = node(0xc1), .version = 12, .bytes = 4096};
    memset(record.name, 0xc2, sizeof record.name);
    memset(record.hash.bytes, 0xc3, sizeof record.hash.bytes);
    return record;
}

static void check(struct fixture *f, const char *name)
{
    struct wire_packet packet;

    vector_check(f->vectors, name, fm_span(f->bytes, f->writer.len));
    assert_int_equal(wire_open(fm_span(f->bytes, f->writer.len), &packet), FM_OK);
    assert_int_equal(packet.unknown_items, 0);
}

static void packets_have_the_committed_bytes(void **state)
{
    struct fixture *f = *state;
    struct wire_accuse suspect = an_accuse(GOSSIP_SUSPECT), dead = an_accuse(GOSSIP_DEAD);
    struct wire_member member = a_member(), left = a_member();
    struct wire_record record = a_record();
    struct fm_node_id target = node(0xd1), behalf = node(0xd2);

    wire_begin(&f->writer, f->bytes, WIRE_PING, 0x01020304);
    assert_true(wire_put_digest(&f->writer, &digest));
    assert_true(wire_put_accuse(&f->writer, &suspect));
    assert_true(wire_put_record(&f->writer, &record));
    check(f, "ping");
    wire_begin(&f->writer, f->bytes, WIRE_ACK, 0x01020304);
    assert_true(wire_put_node(&f->writer, WIRE_ITEM_BEHALF, &behalf));
    assert_true(wire_put_digest(&f->writer, &digest));
    assert_true(wire_put_accuse(&f->writer, &dead));
    check(f, "ack");
    wire_begin(&f->writer, f->bytes, WIRE_PING_REQ, 5);
    assert_true(wire_put_node(&f->writer, WIRE_ITEM_TARGET, &target));
    check(f, "ping-req");
    wire_begin(&f->writer, f->bytes, WIRE_JOIN, 6);
    assert_true(wire_put_member(&f->writer, &member));
    check(f, "join");
    left.claim = FM_MEMBER_LEFT;
    left.envelope = fm_span(NULL, 0);
    wire_begin(&f->writer, f->bytes, WIRE_NEWS, 0);
    assert_true(wire_put_member(&f->writer, &left));
    assert_true(wire_put_record(&f->writer, &record));
    check(f, "news");
}

static void items_come_back_as_they_were_put(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct wire_packet packet;
    struct wire_item item;
    const struct wire_record record = a_record();

    vector_bytes(f->vectors, "ping", &bytes);
    assert_int_equal(wire_open(fm_buf_span(&bytes), &packet), FM_OK);
    assert_int_equal(packet.kind, WIRE_PING);
    assert_int_equal(packet.sequence, 0x01020304);
    struct fm_cursor cursor = fm_cursor(packet.items);
    assert_true(wire_next(&cursor, &item));
    assert_int_equal(item.kind, WIRE_ITEM_DIGEST);
    assert_int_equal(item.value.digest.members, digest.members);
    assert_int_equal(item.value.digest.count, digest.count);
    assert_int_equal(item.value.digest.verdicts, digest.verdicts);
    assert_int_equal(item.value.digest.quiet, digest.quiet);
    assert_int_equal(item.value.digest.kind_count, 6);
    assert_int_equal(item.value.digest.kinds[5], 6);
    assert_true(wire_next(&cursor, &item));
    assert_int_equal(item.kind, WIRE_ITEM_ACCUSE);
    assert_int_equal(item.value.accuse.state, GOSSIP_SUSPECT);
    assert_int_equal(item.value.accuse.incarnation, 7);
    assert_int_equal(item.value.accuse.accuser.bytes[0], 0xa2);
    assert_true(wire_next(&cursor, &item));
    assert_int_equal(item.kind, WIRE_ITEM_RECORD);
    assert_int_equal(item.value.record.version, 12);
    assert_int_equal(item.value.record.bytes, 4096);
    assert_memory_equal(item.value.record.hash.bytes, record.hash.bytes, FM_HASH_BYTES);
    assert_false(wire_next(&cursor, &item));
    fm_buf_free(&bytes);
}

/* Each packet cut at each length: an item that is not whole makes all of it malformed. */
static void cut_packets_are_malformed(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"ping", "ack", "ping-req", "join", "news"};
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct wire_packet packet;
    uint32_t whole = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vector_bytes(f->vectors, names[i], &bytes);
        for (size_t len = 0; len < bytes.len; len++) {
            enum fm_status status = wire_open(fm_span(bytes.data, len), &packet);
            assert_true(status == FM_OK || status == FM_MALFORMED);
            whole += status == FM_OK; /* Cut between two items. */
        }
    }
    assert_int_equal(whole, 3 + 3 + 1 + 1 + 2);
    fm_buf_free(&bytes);
}

static enum fm_status open_item(struct fixture *f, uint8_t kind, const void *body, size_t len,
                                struct wire_packet *packet)
{
    wire_begin(&f->writer, f->bytes, WIRE_NEWS, 0);
    f->bytes[f->writer.len] = kind;
    fm_store16(f->bytes + f->writer.len + 1, (uint16_t)len);
    if (len > 0)
        memcpy(f->bytes + f->writer.len + 3, body, len);
    return wire_open(fm_span(f->bytes, f->writer.len + 3 + len), packet);
}

static void wrong_values_are_malformed(void **state)
{
    struct fixture *f = *state;
    uint8_t body[900] = {0};
    struct wire_packet packet;

    assert_int_equal(open_item(f, 0, body, 0, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_ACCUSE, body, 41, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_MEMBER, body, 25, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_RECORD, body, 78, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_DIGEST, body, 19, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_TARGET, body, 15, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_BEHALF, body, 17, &packet), FM_MALFORMED);
    body[0] = GOSSIP_SUSPECT;
    assert_int_equal(open_item(f, WIRE_ITEM_ACCUSE, body, 41, &packet), FM_OK);
    assert_int_equal(open_item(f, WIRE_ITEM_ACCUSE, body, 42, &packet), FM_MALFORMED);
    body[0] = FM_MEMBER_ALIVE;
    assert_int_equal(open_item(f, WIRE_ITEM_MEMBER, body, 25 + 700, &packet), FM_OK);
    assert_int_equal(open_item(f, WIRE_ITEM_MEMBER, body, 25 + 701, &packet), FM_MALFORMED);
    assert_int_equal(open_item(f, WIRE_ITEM_RECORD, body, 78, &packet), FM_OK);
    assert_int_equal(open_item(f, WIRE_ITEM_DIGEST, body, 18, &packet), FM_OK);
}

/* What a later release adds: kinds of packets and items, kinds of records and digests of them. */
static void unknown_kinds_are_skipped(void **state)
{
    struct fixture *f = *state;
    uint8_t body[200] = {1};
    struct wire_packet packet;
    struct wire_item item;

    assert_int_equal(open_item(f, 99, body, sizeof body, &packet), FM_OK);
    assert_int_equal(packet.unknown_items, 1);
    struct fm_cursor cursor = fm_cursor(packet.items);
    assert_true(wire_next(&cursor, &item));
    assert_int_equal(item.kind, 99);
    assert_false(wire_next(&cursor, &item));
    assert_int_equal(open_item(f, WIRE_ITEM_DIGEST, body, 18 + 4 * 32, &packet), FM_OK);
    f->bytes[1] = 77;
    assert_int_equal(wire_open(fm_span(f->bytes, 20), &packet), FM_OK);
    assert_int_equal(packet.kind, 77);
    assert_false(wire_kind_known(packet.kind));
    f->bytes[1] = 0;
    assert_int_equal(wire_open(fm_span(f->bytes, 20), &packet), FM_MALFORMED);
    f->bytes[0] = 2;
    assert_int_equal(wire_open(fm_span(f->bytes, 20), &packet), FM_UNSUPPORTED);
}

static void a_packet_never_grows_too_large(void **state)
{
    struct fixture *f = *state;
    struct wire_record record = a_record();
    struct wire_packet packet;
    uint32_t count = 0;

    wire_begin(&f->writer, f->bytes, WIRE_NEWS, 0);
    while (wire_put_record(&f->writer, &record))
        count++;
    assert_int_equal(count, (FM_PACKET_BYTES_MAX - WIRE_HEADER_BYTES) / WIRE_RECORD_BYTES);
    assert_true(f->writer.len <= FM_PACKET_BYTES_MAX);
    assert_int_equal(wire_open(fm_span(f->bytes, f->writer.len), &packet), FM_OK);
    uint8_t large[FM_PACKET_BYTES_MAX + 1] = {WIRE_VERSION, 77};
    assert_int_equal(wire_open(fm_span(large, sizeof large), &packet), FM_MALFORMED);
}

/* ---- Addresses ---- */

static void addresses_parse(void **state)
{
    static const struct {
        const char *text;
        uint8_t family;
        const char *hex;
        uint16_t port;
    } cases[] = {
        {"192.0.2.1:7000", 4, "c0000201000000000000000000000000", 7000},
        {"127.0.0.1:1", 4, "7f000001000000000000000000000000", 1},
        {"[::1]:65535", 6, "00000000000000000000000000000001", 65535},
        {"[2001:db8::8:800:200C:417A]:80", 6, "20010db80000000000080800200c417a", 80},
        {"[2001:db8:1:2:3:4:5:6]:80", 6, "20010db8000100020003000400050006", 80},
        {"[fe80::]:80", 6, "fe800000000000000000000000000000", 80},
        {"[::ffff:192.0.2.128]:80", 6, "00000000000000000000ffffc0000280", 80},
        {"[1:2:3:4:5:6:192.0.2.128]:80", 6, "000100020003000400050006c0000280", 80},
        {"[1:2:3:4:5:6:7::]:80", 6, "00010002000300040005000600070000", 80},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gossip_address address;
        char hex[33];
        assert_int_equal(gossip_address_parse(cases[i].text, &address), FM_OK);
        fm_hex(address.bytes, sizeof address.bytes, hex);
        assert_string_equal(hex, cases[i].hex);
        assert_int_equal(address.family, cases[i].family);
        assert_int_equal(address.port, cases[i].port);
    }
}

static void other_text_is_no_address(void **state)
{
    static const char *const texts[] = {
        "",
        "example.org:7000",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:123456",
        "192.0.2.256:7000",
        "192.0.2:7000",
        "192.0.2.1.5:7000",
        "192.0.2.0001:7000",
        "0.0.0.0:7000",
        "192.0.2.1:7000 ",
        "[::]:7000",
        "[::1]",
        "[::1:7000",
        "[:::1]:7000",
        "[1::2::3]:7000",
        "[1:2:3:4:5:6:7]:7000",
        "[1:2:3:4:5:6:7:8:9]:7000",
        "[1:2:3:4:5:6:7:8::]:7000",
        "[12345::]:7000",
        "[g::]:7000",
        "[1:]:7000",
        "[]:7000",
        "[::1.2.3]:7000",
        "[::1.2.3.4:5]:7000",
        "[1:2:3:4:5:6:7:1.2.3.4]:7000",
    };
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gossip_address address;
        if (gossip_address_parse(texts[i], &address) != FM_NOTFOUND)
            fail_msg("'%s' was taken for an address", texts[i]);
    }
}

/* ---- Rumours and slots against simple models ---- */

static void rumours_go_least_sent_first(void **state)
{
    struct rumours rumours;
    (void)state;

    assert_int_equal(rumours_init(&rumours, 8), FM_OK);
    assert_int_equal(rumours_first(&rumours), RUMOURS_NONE);
    rumours_push(&rumours, 3, 0);
    rumours_push(&rumours, 5, 0);
    rumours_push(&rumours, 1, 2);
    rumours_sent(&rumours, 3, 4);
    assert_int_equal(rumours_first(&rumours), 5);
    assert_int_equal(rumours_next(&rumours, 5), 3);
    assert_int_equal(rumours_next(&rumours, 3), 1);
    assert_int_equal(rumours_next(&rumours, 1), RUMOURS_NONE);
    rumours_push(&rumours, 1, 0); /* New again. */
    assert_int_equal(rumours_next(&rumours, 5), 1);
    rumours_drop(&rumours, 5);
    rumours_heard(&rumours, 5, 4);
    assert_false(rumours_has(&rumours, 5));
    for (int i = 0; i < 3; i++)
        rumours_sent(&rumours, 3, 4);
    assert_false(rumours_has(&rumours, 3)); /* Sent four times. */
    rumours_heard_all(&rumours, 8, 1);
    assert_int_equal(rumours.count, 0);
    rumours_deinit(&rumours);
}

static void slots_find_what_was_added(void **state)
{
    enum { CAPACITY = 64 };
    struct gossip_random random = {.state = 4};
    uint32_t hashes[CAPACITY];
    bool used[CAPACITY] = {false};
    struct slots slots;
    (void)state;

    assert_int_equal(slots_init(&slots, CAPACITY), FM_OK);
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t slot = gossip_random_below(&random, CAPACITY);
        if (used[slot]) {
            slots_remove(&slots, hashes[slot], slot);
        } else {
            hashes[slot] = gossip_random_below(&random, 40); /* Many collide. */
            slots_add(&slots, hashes[slot], slot);
        }
        used[slot] = !used[slot];
        for (uint32_t i = 0; i < CAPACITY; i++) {
            uint32_t step = 0, found = 0, candidate;
            while ((candidate = slots_candidate(&slots, hashes[i], &step)) != SLOTS_NONE)
                found += candidate == i;
            assert_int_equal(found, used[i] ? 1 : 0);
        }
    }
    slots_deinit(&slots);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(packets_have_the_committed_bytes),
        TEST(items_come_back_as_they_were_put),
        TEST(cut_packets_are_malformed),
        TEST(wrong_values_are_malformed),
        TEST(unknown_kinds_are_skipped),
        TEST(a_packet_never_grows_too_large),
        cmocka_unit_test(addresses_parse),
        cmocka_unit_test(other_text_is_no_address),
        cmocka_unit_test(rumours_go_least_sent_first),
        cmocka_unit_test(slots_find_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
