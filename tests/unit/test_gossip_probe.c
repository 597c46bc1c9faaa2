/* Probes of one node of gossip/, told everything by hand: their times, their helpers, what they
 * measure, and those of the dead. */
#include "tests/support/node_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Late by more than a period: the probe under way and suspicions that ran out are void. */
static void late_tick_voids_verdicts(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;

    node_meet(f, 1);
    node_meet(f, 2);
    while (!node_find_packet(f, WIRE_PING, -1, &packet))
        node_step(f, 0);
    f->now += 20000;
    gossip_tick(f->gossip, f->now);
    node_drain(f);
    assert_int_equal(node_counters(f).suspicions, 0);
    node_accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 2);
    assert_int_equal(node_state_of(f, 1), GOSSIP_SUSPECT);
    f->now += 60000;
    gossip_tick(f->gossip, f->now);
    node_drain(f);
    assert_int_equal(node_state_of(f, 1), GOSSIP_SUSPECT);
}

/* Probes of node 1 until one is answered after `ms`; what is then said of the way to it. */
static fm_ms round_trip_after(struct node_fixture *f, fm_ms ms)
{
    struct fm_node_id id = fake_member_id(1);
    struct gossip_member member;
    struct wire_packet ping;

    do
        node_step(f, 0);
    while (!node_find_packet(f, WIRE_PING, 1, &ping));
    f->now += ms;
    node_packet(f, WIRE_ACK, ping.sequence);
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_int_equal(gossip_member_find(f->gossip, &id, &member), FM_OK);
    return member.round_trip;
}

/* A busy machine answers the first probe late, and one of the later ones: the way is no longer for
 * that. Once it really is, the last eight answers all say so. */
static void round_trips_are_the_least_of_the_last_probes(void **state)
{
    struct node_fixture *f = *state;

    node_meet(f, 1);
    assert_int_equal(round_trip_after(f, 350), 350);
    assert_int_equal(round_trip_after(f, 7), 7);
    assert_int_equal(round_trip_after(f, 380), 7);
    assert_int_equal(round_trip_after(f, 5), 5);
    for (int i = 0; i < 7; i++)
        assert_int_equal(round_trip_after(f, 90), 5);
    assert_int_equal(round_trip_after(f, 80), 80);
    assert_int_equal(round_trip_after(f, 0), 0);
}

/* What is learnt of a fast way takes nothing from the time that a later probe has to be answered:
 * helpers are asked as late as of a member never measured. */
static void a_fast_member_is_not_given_up_sooner(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    fm_ms waited[2];

    for (int measured = 0; measured < 2; measured++) {
        node_start(f, 8, 8);
        node_meet(f, 1);
        for (int i = 0; measured && i < 8; i++)
            assert_int_equal(round_trip_after(f, 1), 1);
        node_meet(f, 2);
        do
            node_step(f, 0x4);
        while (!node_find_packet(f, WIRE_PING, 1, &packet));
        fm_ms sent_at = f->now;
        while (!node_find_packet(f, WIRE_PING_REQ, 2, &packet))
            node_step(f, 0x4);
        waited[measured] = f->now - sent_at;
    }
    assert_true(waited[0] > 0);
    assert_int_equal(waited[0], waited[1]);
}

static void helper_passes_acks_on(void **state)
{
    struct node_fixture *f = *state;
    struct fm_node_id target = fake_member_id(2);
    struct wire_packet packet;
    struct wire_item item;

    node_meet(f, 1);
    node_meet(f, 2);
    node_packet(f, WIRE_PING_REQ, 555);
    assert_true(wire_put_node(&f->writer, WIRE_ITEM_TARGET, &target));
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_true(node_find_packet(f, WIRE_PING, 2, &packet));
    node_packet(f, WIRE_ACK, packet.sequence);
    assert_int_equal(node_give(f, 1), FM_OK); /* Not the target's to say. */
    assert_false(node_find_packet(f, WIRE_ACK, 1, &packet));
    assert_int_equal(node_give(f, 2), FM_OK);
    assert_true(node_find_packet(f, WIRE_ACK, 1, &packet));
    assert_int_equal(packet.sequence, 555);
    assert_true(node_find_item(&packet, WIRE_ITEM_BEHALF, &item));
    assert_int_equal(item.value.node.bytes[0], 3);
    node_packet(f, WIRE_PING_REQ, 556); /* Without a target. */
    assert_int_equal(node_give(f, 1), FM_MALFORMED);
}

static void dead_are_retried_at_a_falling_rate(void **state)
{
    struct node_fixture *f = *state;
    fm_ms last = 0, gap = 0, widest = 0;
    uint32_t pings = 0;

    node_meet(f, 1);
    node_run(f, 20000, 0);
    assert_int_equal(node_state_of(f, 1), GOSSIP_DEAD);
    fm_ms end = f->now + 1800000;
    while (f->now < end) {
        struct wire_packet packet;
        node_step(f, 0);
        if (!node_find_packet(f, WIRE_PING, 1, &packet))
            continue;
        pings++;
        gap = f->now - last;
        if (last != 0 && gap > widest)
            widest = gap;
        last = f->now;
    }
    assert_true(widest > 30000);
    assert_true(widest <= 60000);
    assert_true(pings > 30);
    assert_true(pings < 150);
    node_announce(f, 1, &(struct fake_member){.node = 1, .incarnation = 2});
    assert_int_equal(node_state_of(f, 1), GOSSIP_ALIVE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(late_tick_voids_verdicts),
        TEST(round_trips_are_the_least_of_the_last_probes),
        TEST(a_fast_member_is_not_given_up_sooner),
        TEST(helper_passes_acks_on),
        TEST(dead_are_retried_at_a_falling_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
