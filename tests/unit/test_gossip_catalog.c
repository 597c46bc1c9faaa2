/* Joining, comparing lists, records and odd packets at one node of gossip/. */
#include "tests/support/node_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- Joining and comparing lists ---- */

static void seeds_are_asked_until_they_answer(void **state)
{
    struct node_fixture *f = *state;
    const struct gossip_address seeds[] = {node_address_of(SELF), node_address_of(1),
                                           node_address_of(2)};
    struct wire_packet packet;
    uint32_t joins = 0;

    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 3), FM_OK);
    node_drain(f);
    fm_ms end = f->now + 60000;
    while (f->now < end) {
        node_step(f, 0);
        assert_false(node_find_packet(f, WIRE_JOIN, SELF, &packet));
        joins += node_find_packet(f, WIRE_JOIN, 1, &packet);
    }
    assert_true(joins >= 8);
    assert_true(joins <= 16); /* 0.2 s, doubled up to 10 s. */
    while (!node_find_packet(f, WIRE_JOIN, 1, &packet))
        node_step(f, 0);
    node_packet(f, WIRE_ACK, packet.sequence);
    node_put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_non_null(node_find_effect(f, GOSSIP_SYNC));
    assert_int_equal(node_find_effect(f, GOSSIP_SYNC)->member.bytes[0], 2);
    assert_int_equal(node_state_of(f, 1), GOSSIP_ALIVE);
    bool other = false;
    end = f->now + 70000;
    while (f->now < end) {
        node_step(f, ~0u);
        assert_false(node_find_packet(f, WIRE_JOIN, 1, &packet));
        other |= node_find_packet(f, WIRE_JOIN, 2, &packet);
    }
    assert_true(other); /* It may be the way to another island. */
}

/* A seed that is not known yet, nor its certificate: lists can be compared by address. */
static void unknown_seeds_are_compared_with_too(void **state)
{
    struct node_fixture *f = *state;
    const struct gossip_address seed = node_address_of(1);
    struct wire_packet packet;

    f->members.unknown = 1u << 1;
    assert_int_equal(gossip_join(f->gossip, f->now, &seed, 1), FM_OK);
    node_drain(f);
    node_step(f, 0);
    assert_true(node_find_packet(f, WIRE_JOIN, 1, &packet));
    node_packet(f, WIRE_ACK, packet.sequence);
    node_put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_non_null(node_find_effect(f, GOSSIP_WANT));
    assert_non_null(node_find_effect(f, GOSSIP_SYNC));
    assert_int_equal(node_find_effect(f, GOSSIP_SYNC)->address.bytes[3], 2);
}

static void seeds_out_of_range_are_refused(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_address seeds[FM_SEEDS_MAX + 1];

    for (uint32_t i = 0; i <= FM_SEEDS_MAX; i++)
        seeds[i] = node_address_of((uint8_t)i);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, FM_SEEDS_MAX + 1), FM_LIMIT);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, FM_SEEDS_MAX), FM_OK);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds + 1, FM_SEEDS_MAX), FM_OK);
    seeds[3].port = 0;
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 4), FM_INVALID);
    seeds[3].port = 1;
    seeds[3].family = 0;
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 4), FM_INVALID);
    node_run(f, 60000, 0);
    assert_int_equal(node_counters(f).effects_dropped, 0);
}

/* The digest is what docs/gossip.md says. */
static void digest_is_a_sum_of_hashes(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_record record = node_record(1, 1, 3);
    uint64_t members = 0;
    struct wire_packet packet;
    struct wire_item item;
    struct fm_hash hash;

    node_meet(f, 1);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    node_drain(f);
    f->now += 500;
    node_packet(f, WIRE_PING, 1);
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_true(node_find_packet(f, WIRE_ACK, 1, &packet));
    assert_true(node_find_item(&packet, WIRE_ITEM_DIGEST, &item));
    for (uint8_t node = 0; node < 2; node++) {
        uint8_t term[25] = {0};
        memset(term, node + 1, 16);
        term[16] = 1;
        term[24] = FM_MEMBER_ALIVE;
        fm_sha256_one(&hash, fm_span(term, sizeof term));
        members += fm_load64(hash.bytes);
    }
    uint8_t version[8] = {3};
    const struct fm_span spans[] = {fm_span(record.key.writer.bytes, 16),
                                    fm_span(record.key.name, 16), fm_span(version, 8),
                                    fm_span(record.hash.bytes, 32)};
    fm_sha256(&hash, spans, 4);
    assert_int_equal(item.value.digest.members, members);
    assert_int_equal(item.value.digest.count, 2);
    assert_int_equal(item.value.digest.verdicts, 0);
    assert_int_equal(item.value.digest.quiet, 50);
    assert_int_equal(item.value.digest.kind_count, 6);
    assert_int_equal(item.value.digest.kinds[GOSSIP_RECORD_CONTRACT - 1], fm_load32(hash.bytes));
    assert_int_equal(item.value.digest.kinds[GOSSIP_RECORD_HEAD - 1], 0);
}

static void give_digest(struct node_fixture *f, uint8_t sender, const struct wire_digest *digest)
{
    node_packet(f, WIRE_ACK, 12345);
    assert_true(wire_put_digest(&f->writer, digest));
    assert_int_equal(node_give(f, sender), FM_OK);
}

static void different_digests_lead_to_comparisons_at_a_falling_rate(void **state)
{
    struct node_fixture *f = *state;
    const struct wire_digest other = {.members = 1, .count = 2, .quiet = 500};
    uint32_t syncs = 0;

    node_meet(f, 1);
    give_digest(f, 1, &other);
    assert_null(node_find_effect(f, GOSSIP_SYNC)); /* News was here a moment ago. */
    node_run(f, 1500, ~0u);
    struct wire_digest fresh = other;
    fresh.quiet = 20;
    give_digest(f, 1, &fresh);
    assert_null(node_find_effect(f, GOSSIP_SYNC)); /* There, too. */
    fm_ms end = f->now + 120000;
    while (f->now < end) {
        node_run(f, 500, ~0u);
        give_digest(f, 1, &other);
        syncs += node_count_effects(f, GOSSIP_SYNC);
    }
    assert_true(syncs >= 6); /* 1, 2, 4 ... 60 s. */
    assert_true(syncs <= 9);
    /* Kinds of records that this release does not know are not compared. */
    struct wire_packet packet;
    struct wire_item item;
    node_packet(f, WIRE_PING, 1);
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_true(node_find_packet(f, WIRE_ACK, 1, &packet));
    assert_true(node_find_item(&packet, WIRE_ITEM_DIGEST, &item));
    struct wire_digest same = item.value.digest;
    same.kind_count = 8;
    same.kinds[7] = 99;
    node_run(f, 120000, ~0u);
    give_digest(f, 1, &same);
    assert_null(node_find_effect(f, GOSSIP_SYNC));
    same.kinds[2] = 1;
    give_digest(f, 1, &same);
    assert_non_null(node_find_effect(f, GOSSIP_SYNC));
}

/* ---- Records ---- */

static void wanted_records_are_asked_for_until_they_come(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_record record = node_record(1, 1, 3), found;
    uint32_t wants = 0;

    node_meet(f, 1);
    node_meet(f, 2);
    node_announce_record(f, 2, &record);
    const struct gossip_effect *want = node_find_effect(f, GOSSIP_WANT);
    assert_non_null(want);
    assert_int_equal(want->member.bytes[0], 3);
    assert_int_equal(want->record.version, 3);
    assert_memory_equal(&want->record.hash, &record.hash, sizeof record.hash);
    node_announce_record(f, 1, &record);
    assert_null(node_find_effect(f, GOSSIP_WANT)); /* Asked a moment ago. */
    fm_ms end = f->now + 120000;
    while (f->now < end) {
        node_step(f, ~0u);
        want = node_find_effect(f, GOSSIP_WANT);
        if (want != NULL)
            assert_int_equal(want->member.bytes[0], 2); /* Who said so last. */
        wants += node_count_effects(f, GOSSIP_WANT);
    }
    assert_true(wants >= 5);
    assert_true(wants <= 9);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    node_drain(f);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    node_announce_record(f, 2, &record);
    assert_null(node_find_effect(f, GOSSIP_WANT));
    end = f->now + 120000;
    while (f->now < end) {
        node_step(f, ~0u);
        assert_null(node_find_effect(f, GOSSIP_WANT));
    }
}

static void higher_versions_win(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_record record = node_record(1, 1, 3), found;

    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    record = node_record(1, 1, 2);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_int_equal(found.version, 3);
    record = node_record(1, 1, 4);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_int_equal(found.version, 4);
    assert_int_equal(gossip_record_count(f->gossip), 1);
    record.key.kind = (enum gossip_record_kind)99;
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_INVALID);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_NOTFOUND);
}

/* One version with two contents: fetched once, as evidence, and the first one stays. */
static void conflicting_records_are_fetched_once(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_record record = node_record(1, 1, 3), other = node_record(1, 1, 3), found;

    other.hash.bytes[0] = 0xee;
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    node_announce_record(f, 2, &other);
    assert_non_null(node_find_effect(f, GOSSIP_WANT));
    assert_int_equal(gossip_put_record(f->gossip, f->now, &other), FM_CONFLICT);
    node_drain(f);
    node_announce_record(f, 2, &other);
    assert_null(node_find_effect(f, GOSSIP_WANT));
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_memory_equal(&found.hash, &record.hash, sizeof found.hash);
}

/* Made-up versions do not hide the true one, nor fill all places for ever. */
static void made_up_versions_do_not_hide_the_true_one(void **state)
{
    struct node_fixture *f = *state;

    node_meet(f, 1);
    for (uint64_t version = 100; version < 150; version++) {
        struct gossip_record record = node_record(1, 1, version);
        node_announce_record(f, 2, &record);
    }
    struct gossip_record record = node_record(1, 1, 3);
    node_announce_record(f, 1, &record);
    assert_non_null(node_find_effect(f, GOSSIP_WANT));
    assert_int_equal(node_find_effect(f, GOSSIP_WANT)->record.version, 3);
    for (uint32_t i = 0; i < 2000; i++) {
        record = node_record((uint8_t)(i % 50), (uint8_t)(i / 50), i);
        node_announce_record(f, 2, &record);
    }
    assert_true(node_counters(f).effects_dropped > 0);
    node_run(f, 20000, ~0u);
    record = node_record(1, 200, 1);
    node_announce_record(f, 1, &record);
    assert_non_null(node_find_effect(f, GOSSIP_WANT));
}

static void full_catalog_is_a_limit(void **state)
{
    struct node_fixture *f = *state;

    for (uint8_t name = 0; name < 16; name++) {
        struct gossip_record record = node_record(1, name, 1);
        assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    }
    struct gossip_record record = node_record(1, 16, 1);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_LIMIT);
    record = node_record(1, 3, 2);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_count(f->gossip), 16);
    gossip_record_at(f->gossip, 3, &record);
    assert_int_equal(record.version, 2);
}

static void rumours_are_told_a_bounded_number_of_times(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_record record = node_record(1, 1, 3);
    struct wire_packet packet;
    struct wire_item item;
    uint32_t told = 0;

    for (uint8_t node = 1; node < 8; node++)
        node_meet(f, node);
    node_run(f, 60000, ~0u);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    node_drain(f);
    fm_ms end = f->now + 60000;
    while (f->now < end) {
        node_step(f, ~0u);
        for (uint32_t i = 0; i < f->count; i++) {
            if (f->effects[i].kind == GOSSIP_SEND &&
                wire_open(f->effects[i].packet, &packet) == FM_OK)
                told += node_find_item(&packet, WIRE_ITEM_RECORD, &item);
        }
    }
    assert_int_equal(told, 12); /* 3 * ceil(log2(8 + 1)). */
}

/* ---- Whatever comes ---- */

static void odd_packets_are_counted(void **state)
{
    struct node_fixture *f = *state;

    node_packet(f, WIRE_NEWS, 0);
    f->bytes[f->writer.len++] = WIRE_ITEM_ACCUSE;
    assert_int_equal(node_give(f, 1), FM_MALFORMED);
    node_packet(f, WIRE_NEWS, 0);
    f->bytes[0] = 9;
    assert_int_equal(node_give(f, 1), FM_UNSUPPORTED);
    assert_int_equal(node_counters(f).malformed, 2);
    node_packet(f, WIRE_NEWS, 0);
    f->bytes[1] = 99;
    assert_int_equal(node_give(f, 1), FM_OK);
    struct gossip_record record = node_record(1, 1, 1);
    record.key.kind = (enum gossip_record_kind)77;
    node_announce_record(f, 1, &record);
    assert_int_equal(node_counters(f).unknown, 2);
    node_packet(f, WIRE_PING, 1);
    assert_int_equal(node_give(f, SELF), FM_OK); /* Its own packet. */
    assert_int_equal(f->count, 0);
    assert_int_equal(node_counters(f).packets_in, 5);
    assert_int_equal(gossip_member_count(f->gossip), 1);
}

/* Inputs may come before all effects are drained: none is lost, and too many sends are dropped. */
static void effects_wait_in_order(void **state)
{
    struct node_fixture *f = *state;
    struct gossip_effect effect;
    uint32_t sends = 0;

    node_meet(f, 1);
    f->now += 300;
    struct fm_node_id sender = fake_member_id(1);
    struct gossip_address from = node_address_of(1);
    for (uint32_t i = 1; i <= 100; i++) {
        node_packet(f, WIRE_PING, i);
        assert_int_equal(
            gossip_receive(f->gossip, f->now, &sender, &from, fm_span(f->bytes, f->writer.len)),
            FM_OK);
    }
    while (gossip_next_effect(f->gossip, &effect)) {
        struct wire_packet packet;
        if (effect.kind != GOSSIP_SEND)
            continue;
        sends++;
        assert_int_equal(wire_open(effect.packet, &packet), FM_OK);
        assert_int_equal(packet.sequence, sends);
    }
    assert_true(sends >= 30);
    assert_int_equal(node_counters(f).effects_dropped, 100 - sends);
}

/* Equal inputs give equal states, and another seed another one. */
static void state_hash_follows_seed_and_inputs(void **state)
{
    struct node_fixture *f = *state;
    uint64_t hashes[3];

    for (int i = 0; i < 3; i++) {
        f->now = 5000;
        node_start(f, 16, 16);
        for (uint8_t node = 1; node < 7; node++)
            node_meet(f, node);
        struct gossip_record record = node_record(1, 1, 3);
        node_announce_record(f, 2, &record);
        node_run(f, 30000, i == 2 ? 0x3e : 0x7e);
        hashes[i] = gossip_state_hash(f->gossip);
    }
    assert_int_equal(hashes[0], hashes[1]);
    assert_int_not_equal(hashes[0], hashes[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(seeds_are_asked_until_they_answer),
        TEST(unknown_seeds_are_compared_with_too),
        TEST(seeds_out_of_range_are_refused),
        TEST(digest_is_a_sum_of_hashes),
        TEST(different_digests_lead_to_comparisons_at_a_falling_rate),
        TEST(wanted_records_are_asked_for_until_they_come),
        TEST(higher_versions_win),
        TEST(conflicting_records_are_fetched_once),
        TEST(made_up_versions_do_not_hide_the_true_one),
        TEST(full_catalog_is_a_limit),
        TEST(rumours_are_told_a_bounded_number_of_times),
        TEST(odd_packets_are_counted),
        TEST(effects_wait_in_order),
        TEST(state_hash_follows_seed_and_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
