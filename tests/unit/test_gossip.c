/* Members and failure detection of one node of gossip/, told everything by hand. */
#include "tests/support/fail_alloc.h"
#include "tests/support/node_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- Members and their records ---- */

static void options_out_of_range_are_invalid(void **state)
{
    const struct gossip_options good = {.self = fake_member_id(SELF),
                                        .member_max = 2,
                                        .record_max = 1,
                                        .check_member = fake_member_check};
    struct gossip *gossip = NULL;
    (void)state;

    for (int i = 0; i < 8; i++) {
        struct gossip_options options = good;
        if (i == 0)
            options.member_max = 1;
        if (i == 1)
            options.member_max = FM_MEMBERS_MAX + 1;
        if (i == 2)
            options.record_max = 0;
        if (i == 3)
            options.record_max = FM_RECORDS_MAX + 1;
        if (i == 4)
            options.check_member = NULL;
        if (i == 5)
            options.timeout_ms = 1000;
        if (i == 6)
            options.indirect = FM_FANOUT_MAX + 1;
        if (i == 7)
            options.probe_ms = -1;
        assert_int_equal(gossip_new(&options, 0, &gossip), FM_INVALID);
        assert_null(gossip);
    }
    assert_int_equal(gossip_new(&good, 0, &gossip), FM_OK);
    assert_int_equal(gossip_member_count(gossip), 0);
    assert_int_equal(gossip_deadline(gossip), FM_MS_NEVER);
    gossip_free(gossip);
    gossip_free(NULL);
}

/* Each allocation fails once: nothing is left behind, and none is made after gossip_new(). */
static void memory_is_reserved_at_the_start(void **state)
{
    struct node_fixture *f = *state;
    const struct gossip_options options = {.self = fake_member_id(SELF),
                                           .member_max = 8,
                                           .record_max = 8,
                                           .check_member = fake_member_check};
    struct gossip *gossip = NULL;
    enum fm_status status = FM_NOMEM;

    if (!fail_alloc_available())
        skip();
    for (size_t n = 0; status != FM_OK; n++) {
        long before = fail_alloc_live();
        fail_alloc_after(n);
        status = gossip_new(&options, 0, &gossip);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? FM_NOMEM : FM_OK);
        if (failed)
            assert_int_equal(fail_alloc_live(), before);
    }
    gossip_free(gossip);
    long before = fail_alloc_live();
    for (uint8_t node = 1; node < 12; node++)
        node_meet(f, node);
    node_run(f, 60000, 0xff);
    assert_int_equal(fail_alloc_live(), before);
}

static void own_record_must_be_own_and_newer(void **state)
{
    struct node_fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct fake_member member = {.node = SELF, .incarnation = 1};

    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&member, bytes)), FM_OK);
    member.salt = 1;
    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&member, bytes)),
                     FM_CONFLICT);
    member = (struct fake_member){.node = 3, .incarnation = 9};
    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&member, bytes)),
                     FM_INVALID);
    member = (struct fake_member){.node = SELF, .incarnation = 9, .is_forged = true};
    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&member, bytes)),
                     FM_FORGED);
    assert_int_equal(gossip_member_count(f->gossip), 1);
    assert_int_equal(node_state_of(f, SELF), GOSSIP_ALIVE);
}

static void a_member_comes_with_its_record(void **state)
{
    struct node_fixture *f = *state;

    node_meet(f, 2);
    const struct gossip_effect *effect = node_find_effect(f, GOSSIP_MEMBER);
    assert_non_null(effect);
    assert_int_equal(effect->state, GOSSIP_ALIVE);
    assert_int_equal(effect->incarnation, 1);
    assert_int_equal(effect->address.bytes[3], 3);
    assert_int_equal(gossip_member_count(f->gossip), 2);
    struct gossip_member member;
    gossip_member_at(f->gossip, 1, &member);
    assert_int_equal(member.node.bytes[0], 3);
    assert_int_equal(member.since, f->now);
    assert_int_equal(member.round_trip, -1);
}

/* A record that was checked once is not checked again, from wherever it comes. */
static void repeated_envelopes_cost_no_check(void **state)
{
    struct node_fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member member = {.node = 2, .incarnation = 1};
    const struct fake_member forged = {.node = 3, .incarnation = 1, .is_forged = true};

    node_meet(f, 2);
    uint32_t checks = f->members.checks;
    node_meet(f, 2);
    assert_int_equal(gossip_put_member(f->gossip, f->now, fake_member_seal(&member, bytes)), FM_OK);
    node_announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 0});
    assert_int_equal(f->members.checks, checks);
    node_announce(f, 4, &forged);
    node_announce(f, 5, &forged);
    assert_int_equal(f->members.checks, checks + 1);
    assert_int_equal(node_counters(f).forged, 2);
    assert_int_equal(node_state_of(f, 3), 0);
}

/* A true record under the wrong name is refused, and still taken under its own. */
static void mislabelled_records_do_no_harm(void **state)
{
    struct node_fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member member = {.node = 2, .incarnation = 1};
    const struct wire_member item = {.claim = FM_MEMBER_ALIVE,
                                     .node = fake_member_id(6),
                                     .incarnation = 1,
                                     .envelope = fake_member_seal(&member, bytes)};

    node_packet(f, WIRE_NEWS, 0);
    assert_true(wire_put_member(&f->writer, &item));
    assert_int_equal(node_give(f, 5), FM_OK);
    assert_int_equal(gossip_member_count(f->gossip), 1);
    assert_int_equal(node_counters(f).forged, 1);
    node_meet(f, 2);
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE);
}

/* A newcomer whose certificate is not known: it is asked for where the packet came from, and then
 * the record counts. */
static void unknown_certificates_are_asked_for(void **state)
{
    struct node_fixture *f = *state;

    f->members.unknown = 1u << 2;
    node_packet(f, WIRE_JOIN, 8);
    node_put_member(f, &(struct fake_member){.node = 2, .incarnation = 1});
    assert_int_equal(node_give(f, 2), FM_OK);
    const struct gossip_effect *want = node_find_effect(f, GOSSIP_WANT);
    struct fm_node_id id = fake_member_id(2);
    assert_non_null(want);
    assert_int_equal(want->record.key.kind, GOSSIP_RECORD_NODE_CERT);
    assert_memory_equal(&want->record.key.writer, &id, sizeof id);
    assert_memory_equal(&want->member, &id, sizeof id);
    assert_int_equal(want->address.port, 7000);
    assert_int_equal(want->address.bytes[3], 3);
    assert_int_equal(node_state_of(f, 2), 0);
    struct wire_packet ack;
    assert_true(node_find_packet(f, WIRE_ACK, 2, &ack)); /* It is answered nevertheless. */

    f->members.unknown = 0;
    struct gossip_record cert = {.key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = id},
                                 .version = 1767225600};
    assert_int_equal(gossip_put_record(f->gossip, f->now, &cert), FM_OK);
    node_drain(f);
    assert_non_null(node_find_effect(f, GOSSIP_MEMBER));
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE);
    node_run(f, 30000, ~0u);
    assert_int_equal(node_count_effects(f, GOSSIP_WANT), 0);
}

/* Records kept aside are bounded: strangers push out the oldest, and nothing else. */
static void records_kept_aside_are_bounded(void **state)
{
    struct node_fixture *f = *state;

    f->members.unknown = ~UINT64_C(1);
    for (uint8_t node = 1; node < 64; node++)
        node_announce(f, node, &(struct fake_member){.node = node, .incarnation = 1});
    for (uint64_t incarnation = 2; incarnation < 300; incarnation++)
        node_announce(f, 3, &(struct fake_member){.node = 3, .incarnation = incarnation});
    assert_int_equal(gossip_member_count(f->gossip), 1);
    f->members.unknown = 0;
    struct gossip_record cert = {
        .key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = fake_member_id(3)}, .version = 1};
    assert_int_equal(gossip_put_record(f->gossip, f->now, &cert), FM_OK);
    node_drain(f);
    assert_int_equal(node_find_effect(f, GOSSIP_MEMBER)->incarnation, 299);
}

static void only_newer_records_change_a_member(void **state)
{
    struct node_fixture *f = *state;

    node_announce(f, 2, &(struct fake_member){.node = 2, .incarnation = 5});
    node_announce(f, 4,
                  &(struct fake_member){.node = 2, .incarnation = 4, .claim = FM_MEMBER_LEFT});
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE);
    node_announce(f, 4,
                  &(struct fake_member){.node = 2, .incarnation = 5, .claim = FM_MEMBER_LEFT});
    assert_int_equal(node_state_of(f, 2), GOSSIP_LEFT);
    node_announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 5, .salt = 1});
    assert_int_equal(node_state_of(f, 2), GOSSIP_LEFT);
    node_announce(f, 2,
                  &(struct fake_member){.node = 2, .incarnation = 6, .address = "10.9.9.9:7001"});
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE);
    assert_int_equal(node_find_effect(f, GOSSIP_MEMBER)->address.port, 7001);
}

/* A record with a name: the machine resolves none, and learns the address from packets. */
static void named_members_are_reached_where_they_write_from(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    const struct fake_member named = {
        .node = 2, .incarnation = 1, .address = "node.example.org:7000"};

    node_announce(f, 4, &named);
    assert_int_equal(node_find_effect(f, GOSSIP_MEMBER)->address.family, 0);
    node_run(f, 10000, 0);
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE); /* Not probed, so not blamed. */
    node_packet(f, WIRE_PING, 77);
    assert_int_equal(node_give(f, 2), FM_OK);
    assert_true(node_find_packet(f, WIRE_ACK, 2, &packet));
    for (int i = 0; i < 20 && !node_find_packet(f, WIRE_PING, 2, &packet); i++)
        node_step(f, ~0u);
    assert_true(node_find_packet(f, WIRE_PING, 2, &packet));
}

/* With every place taken by the living a newcomer is refused; the longest dead gives way. */
static void full_table_drops_the_longest_dead(void **state)
{
    struct node_fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member newcomer = {.node = 4, .incarnation = 1};

    node_start(f, 4, 4);
    node_meet(f, 1);
    node_meet(f, 2);
    node_meet(f, 3);
    assert_int_equal(gossip_put_member(f->gossip, f->now, fake_member_seal(&newcomer, bytes)),
                     FM_LIMIT);
    node_drain(f);
    node_run(f, 30000, 1u << 2 | 1u << 3);
    assert_int_equal(node_state_of(f, 1), GOSSIP_DEAD);
    node_run(f, 30000, 1u << 2);
    assert_int_equal(node_state_of(f, 3), GOSSIP_DEAD);
    node_meet(f, 4);
    assert_int_equal(node_state_of(f, 1), 0);
    assert_int_equal(node_state_of(f, 3), GOSSIP_DEAD);
    assert_int_equal(node_state_of(f, 4), GOSSIP_ALIVE);
    node_run(f, 60000, 1u << 2 | 1u << 4);
    assert_int_equal(node_state_of(f, 2), GOSSIP_ALIVE);
    assert_int_equal(node_state_of(f, 4), GOSSIP_ALIVE);
}

/* ---- Failure detection ---- */

static void unanswered_probes_lead_to_suspicion_then_death(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    node_meet(f, 1);
    node_meet(f, 2);
    node_meet(f, 3);
    fm_ms begun = f->now;
    while (node_state_of(f, 3) == GOSSIP_ALIVE) {
        node_step(f, 1u << 1 | 1u << 2);
        if (node_find_packet(f, WIRE_PING_REQ, -1, &packet)) { /* Others are asked first. */
            assert_true(node_find_item(&packet, WIRE_ITEM_TARGET, &item));
            assert_int_equal(item.value.node.bytes[0], 4);
            assert_int_equal(node_state_of(f, 3), GOSSIP_ALIVE);
        }
    }
    assert_true(f->now - begun <= 7 * PROBE_MS); /* Twice round all three, and the period. */
    assert_int_equal(node_state_of(f, 3), GOSSIP_SUSPECT);
    assert_true(node_find_packet(f, WIRE_NEWS, 3, &packet)); /* The suspect hears of it first. */
    assert_true(node_find_item(&packet, WIRE_ITEM_ACCUSE, &item));
    assert_int_equal(item.value.accuse.accuser.bytes[0], SELF + 1);
    fm_ms suspected = f->now;
    while (node_state_of(f, 3) == GOSSIP_SUSPECT)
        node_step(f, 1u << 1 | 1u << 2);
    assert_int_equal(node_state_of(f, 3), GOSSIP_DEAD);
    assert_true(f->now - suspected >= 2 * PROBE_MS);
    assert_true(f->now - suspected <= 8 * PROBE_MS);
    assert_int_equal(node_counters(f).deaths, 1);
    assert_int_equal(node_state_of(f, 1), GOSSIP_ALIVE);
}

/* Accusers that agree shorten the wait. */
static void confirmations_shorten_suspicion(void **state)
{
    struct node_fixture *f = *state;
    fm_ms took[2];

    for (int i = 0; i < 2; i++) {
        node_start(f, 16, 16);
        for (uint8_t node = 1; node < 9; node++)
            node_meet(f, node);
        node_accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 2);
        if (i == 1) {
            node_accuse(f, 3, GOSSIP_SUSPECT, 1, 1, 3);
            node_accuse(f, 4, GOSSIP_SUSPECT, 1, 1, 4);
            node_accuse(f, 4, GOSSIP_SUSPECT, 1, 1, 5);
        }
        fm_ms begun = f->now;
        while (node_state_of(f, 1) == GOSSIP_SUSPECT)
            node_step(f, ~2u);
        assert_int_equal(node_state_of(f, 1), GOSSIP_DEAD);
        took[i] = f->now - begun;
    }
    assert_true(took[1] < took[0]);
    assert_true(took[1] >= 2 * PROBE_MS);
}

/* Dead, says one, and says so for two others: who answers probes from here stays alive. */
static void hearsay_does_not_kill_who_answers(void **state)
{
    struct node_fixture *f = *state;

    for (uint8_t node = 1; node < 6; node++)
        node_meet(f, node);
    for (int i = 0; i < 10; i++) {
        node_accuse(f, 5, GOSSIP_DEAD, 1, 1, 2);
        node_accuse(f, 5, GOSSIP_DEAD, 1, 1, 3);
        assert_int_equal(node_state_of(f, 1), GOSSIP_SUSPECT);
        node_run(f, 4000, ~0u);
        assert_int_equal(node_state_of(f, 1), GOSSIP_ALIVE);
    }
    assert_int_equal(node_counters(f).deaths, 0);
}

/* Accusations that cannot be: by strangers, the accused, this node, about other incarnations. */
static void impossible_accusations_are_ignored(void **state)
{
    struct node_fixture *f = *state;

    node_meet(f, 1);
    node_meet(f, 2);
    node_accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 9);
    node_accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 1);
    node_accuse(f, 2, GOSSIP_SUSPECT, 1, 1, SELF);
    node_accuse(f, 2, GOSSIP_SUSPECT, 1, 0, 2);
    node_accuse(f, 2, GOSSIP_DEAD, 1, 2, 2);
    node_accuse(f, 2, GOSSIP_DEAD, 1, UINT64_MAX, 2);
    node_accuse(f, 2, GOSSIP_DEAD, 9, 1, 2);
    assert_int_equal(node_state_of(f, 1), GOSSIP_ALIVE);
    assert_int_equal(node_counters(f).suspicions, 0);
}

static void accused_node_refutes(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    node_meet(f, 1);
    node_run(f, 5000, ~0u);
    node_accuse(f, 1, GOSSIP_SUSPECT, SELF, 0, 1);
    node_accuse(f, 1, GOSSIP_SUSPECT, SELF, 2, 1); /* An incarnation that was never. */
    assert_null(node_find_effect(f, GOSSIP_REFUTE));
    node_accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_non_null(node_find_effect(f, GOSSIP_REFUTE));
    assert_int_equal(node_find_effect(f, GOSSIP_REFUTE)->incarnation, 1);
    node_accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_null(node_find_effect(f, GOSSIP_REFUTE)); /* Not at once again. */
    uint32_t repeated = 0;
    for (int i = 0; i < 20; i++) {
        node_step(f, ~0u);
        repeated += node_count_effects(f, GOSSIP_REFUTE);
    }
    assert_true(repeated > 0); /* Until it is answered. */
    node_set_self(f, 2, FM_MEMBER_ALIVE);
    assert_true(node_find_packet(f, WIRE_NEWS, 1, &packet)); /* The accuser hears it directly. */
    assert_true(node_find_item(&packet, WIRE_ITEM_MEMBER, &item));
    assert_int_equal(item.value.member.incarnation, 2);
    for (int i = 0; i < 20; i++) {
        node_step(f, ~0u);
        assert_null(node_find_effect(f, GOSSIP_REFUTE));
    }
}

/* A node that lost its memory hears of its own earlier record, and passes it. */
static void own_record_of_an_earlier_life_is_passed(void **state)
{
    struct node_fixture *f = *state;

    node_meet(f, 1);
    node_announce(f, 1, &(struct fake_member){.node = SELF, .incarnation = 41});
    assert_int_equal(node_find_effect(f, GOSSIP_REFUTE)->incarnation, 41);
    node_set_self(f, 42, FM_MEMBER_ALIVE);
    f->now += PROBE_MS;
    node_announce(f, 1, &(struct fake_member){.node = SELF, .incarnation = 42, .salt = 7});
    assert_int_equal(node_find_effect(f, GOSSIP_REFUTE)->incarnation, 42);
}

/* The other side of that: who announces an old record of its own is told the newer one. */
static void who_forgot_its_record_is_told(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    node_announce(f, 1, &(struct fake_member){.node = 1, .incarnation = 9});
    node_packet(f, WIRE_JOIN, 3);
    node_put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(node_give(f, 1), FM_OK);
    assert_true(node_find_packet(f, WIRE_ACK, 1, &packet));
    bool told = false;
    struct fm_cursor cursor = fm_cursor(packet.items);
    while (wire_next(&cursor, &item))
        told |= item.kind == WIRE_ITEM_MEMBER && item.value.member.node.bytes[0] == 2 &&
                item.value.member.incarnation == 9;
    assert_true(told);
}

static void farewell_is_sent_and_nothing_after_it(void **state)
{
    struct node_fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    node_meet(f, 1);
    node_meet(f, 2);
    node_run(f, 5000, ~0u);
    gossip_leave(f->gossip, f->now); /* Without a LEFT record it does nothing. */
    node_drain(f);
    assert_int_equal(f->count, 0);
    node_set_self(f, 1, FM_MEMBER_LEFT);
    gossip_leave(f->gossip, f->now);
    node_drain(f);
    for (uint8_t node = 1; node < 3; node++) {
        assert_true(node_find_packet(f, WIRE_NEWS, node, &packet));
        assert_true(node_find_item(&packet, WIRE_ITEM_MEMBER, &item));
        assert_int_equal(item.value.member.claim, FM_MEMBER_LEFT);
    }
    node_accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_null(node_find_effect(f, GOSSIP_REFUTE));
    for (int i = 0; i < 50 && gossip_deadline(f->gossip) != FM_MS_NEVER; i++) {
        node_step(f, ~0u);
        assert_false(node_find_packet(f, WIRE_PING, -1, &packet));
    }
    assert_int_equal(gossip_deadline(f->gossip), FM_MS_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(options_out_of_range_are_invalid),
        TEST(memory_is_reserved_at_the_start),
        TEST(own_record_must_be_own_and_newer),
        TEST(a_member_comes_with_its_record),
        TEST(repeated_envelopes_cost_no_check),
        TEST(mislabelled_records_do_no_harm),
        TEST(unknown_certificates_are_asked_for),
        TEST(records_kept_aside_are_bounded),
        TEST(only_newer_records_change_a_member),
        TEST(named_members_are_reached_where_they_write_from),
        TEST(full_table_drops_the_longest_dead),
        TEST(unanswered_probes_lead_to_suspicion_then_death),
        TEST(confirmations_shorten_suspicion),
        TEST(hearsay_does_not_kill_who_answers),
        TEST(impossible_accusations_are_ignored),
        TEST(accused_node_refutes),
        TEST(own_record_of_an_earlier_life_is_passed),
        TEST(who_forgot_its_record_is_told),
        TEST(farewell_is_sent_and_nothing_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
