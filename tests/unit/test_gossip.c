/* One node of gossip/, told everything by hand: what it sends, asks for and concludes. */
#include "gossip/gossip.h"
#include "gossip/wire.h"
#include "tests/support/fake_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SELF 0
#define EFFECTS_MAX 512u
#define PROBE_MS 1000

struct fixture {
    struct fake_members members;
    struct gossip *gossip;
    fm_ms now;
    struct gossip_effect effects[EFFECTS_MAX]; /* Of the last input. */
    uint8_t packets[64][FM_PACKET_BYTES_MAX];
    uint32_t count;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;
};

/* ---- Helpers ---- */

static void drain(struct fixture *f)
{
    uint32_t packets = 0;

    f->count = 0;
    while (gossip_next_effect(f->gossip, &f->effects[f->count])) {
        struct gossip_effect *effect = &f->effects[f->count];
        if (effect->kind == GOSSIP_SEND) {
            struct wire_packet packet;
            assert_true(packets < 64);
            assert_int_equal(wire_open(effect->packet, &packet), FM_OK);
            memcpy(f->packets[packets], effect->packet.data, effect->packet.len);
            effect->packet.data = f->packets[packets++];
        }
        f->count++;
        assert_true(f->count < EFFECTS_MAX);
    }
}

static struct gossip_address address_of(uint8_t node)
{
    struct gossip_address address = {.family = 4, .bytes = {10, 0, 0, 0}, .port = 7000};
    address.bytes[3] = (uint8_t)(node + 1);
    return address;
}

static void set_self(struct fixture *f, uint64_t incarnation, enum fm_member_claim claim)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member self = {.node = SELF, .incarnation = incarnation, .claim = claim};

    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&self, bytes)), FM_OK);
    drain(f);
}

static void start(struct fixture *f, uint32_t member_max, uint32_t record_max)
{
    const struct gossip_options options = {.self = fake_member_id(SELF),
                                           .seed = 1,
                                           .member_max = member_max,
                                           .record_max = record_max,
                                           .check_member = fake_member_check,
                                           .context = &f->members};

    gossip_free(f->gossip);
    f->gossip = NULL;
    assert_int_equal(gossip_new(&options, f->now, &f->gossip), FM_OK);
    set_self(f, 1, FM_MEMBER_ALIVE);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->now = 5000;
    start(f, 16, 16);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gossip_free(f->gossip);
    free(f);
    return 0;
}

static void begin(struct fixture *f, enum wire_kind kind, uint32_t sequence)
{
    wire_begin(&f->writer, f->bytes, kind, sequence);
}

static enum fm_status give(struct fixture *f, uint8_t sender)
{
    struct fm_node_id id = fake_member_id(sender);
    struct gossip_address from = address_of(sender);
    enum fm_status status =
        gossip_receive(f->gossip, f->now, &id, &from, fm_span(f->bytes, f->writer.len));
    drain(f);
    return status;
}

static void put_member(struct fixture *f, const struct fake_member *member)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct wire_member item = {.claim = member->claim != 0 ? member->claim : FM_MEMBER_ALIVE,
                                     .node = fake_member_id(member->node),
                                     .incarnation = member->incarnation,
                                     .envelope = fake_member_seal(member, bytes)};
    assert_true(wire_put_member(&f->writer, &item));
}

/* Node `sender` announces a member, itself for example. */
static void announce(struct fixture *f, uint8_t sender, const struct fake_member *member)
{
    begin(f, WIRE_NEWS, 0);
    put_member(f, member);
    assert_int_equal(give(f, sender), FM_OK);
}

static void meet(struct fixture *f, uint8_t node)
{
    announce(f, node, &(struct fake_member){.node = node, .incarnation = 1});
}

static void accuse(struct fixture *f, uint8_t sender, enum gossip_state state, uint8_t accused,
                   uint64_t incarnation, uint8_t accuser)
{
    const struct wire_accuse item = {.state = state,
                                     .accused = fake_member_id(accused),
                                     .incarnation = incarnation,
                                     .accuser = fake_member_id(accuser)};
    begin(f, WIRE_NEWS, 0);
    assert_true(wire_put_accuse(&f->writer, &item));
    assert_int_equal(give(f, sender), FM_OK);
}

static uint32_t count_kind(const struct fixture *f, enum gossip_effect_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->count; i++)
        count += f->effects[i].kind == kind;
    return count;
}

static const struct gossip_effect *find_kind(const struct fixture *f, enum gossip_effect_kind kind)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->effects[i].kind == kind)
            return &f->effects[i];
    }
    return NULL;
}

/* The packet of this kind that the last input sent, to `node` or (-1) to anyone. */
static bool find_packet(const struct fixture *f, enum wire_kind kind, int node,
                        struct wire_packet *out)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct gossip_effect *effect = &f->effects[i];
        if (effect->kind != GOSSIP_SEND || wire_open(effect->packet, out) != FM_OK ||
            out->kind != kind)
            continue;
        if (node < 0 || effect->address.bytes[3] == node + 1)
            return true;
    }
    return false;
}

static bool find_item(const struct wire_packet *packet, enum wire_item_kind kind,
                      struct wire_item *out)
{
    struct fm_cursor cursor = fm_cursor(packet->items);
    while (wire_next(&cursor, out)) {
        if (out->kind == kind)
            return true;
    }
    return false;
}

static enum gossip_state state_of(const struct fixture *f, uint8_t node)
{
    struct fm_node_id id = fake_member_id(node);
    struct gossip_member member;
    if (gossip_member_find(f->gossip, &id, &member) != FM_OK)
        return (enum gossip_state)0;
    return member.state;
}

static struct gossip_counters counters(const struct fixture *f)
{
    struct gossip_counters out;
    gossip_counters(f->gossip, &out);
    return out;
}

/* One tick at the deadline. Nodes with a bit in `answering` answer pings at once. */
static void step(struct fixture *f, uint32_t answering)
{
    struct gossip_effect sent[EFFECTS_MAX];
    uint8_t packets[64][FM_PACKET_BYTES_MAX];
    uint32_t count;

    f->now = gossip_deadline(f->gossip) > f->now ? gossip_deadline(f->gossip) : f->now;
    gossip_tick(f->gossip, f->now);
    drain(f);
    memcpy(sent, f->effects, sizeof sent);
    memcpy(packets, f->packets, sizeof packets);
    count = f->count;
    for (uint32_t i = 0; i < count; i++) {
        struct wire_packet packet;
        if (sent[i].kind != GOSSIP_SEND || wire_open(sent[i].packet, &packet) != FM_OK ||
            packet.kind != WIRE_PING)
            continue;
        uint8_t node = (uint8_t)(sent[i].address.bytes[3] - 1);
        if ((answering >> node & 1) == 0)
            continue;
        begin(f, WIRE_ACK, packet.sequence);
        assert_int_equal(give(f, node), FM_OK);
    }
    memcpy(f->effects, sent, sizeof sent);
    memcpy(f->packets, packets, sizeof packets);
    f->count = count;
}

static void run(struct fixture *f, fm_ms ms, uint32_t answering)
{
    fm_ms end = f->now + ms;
    while (gossip_deadline(f->gossip) < end)
        step(f, answering);
    f->now = end;
}

static struct gossip_record a_record(uint8_t writer, uint8_t name, uint64_t version)
{
    struct gossip_record record = {
        .key = {.kind = GOSSIP_RECORD_CONTRACT, .writer = fake_member_id(writer)},
        .version = version,
        .bytes = 1000};
    record.key.name[0] = name;
    record.hash.bytes[0] = (uint8_t)version;
    return record;
}

static void announce_record(struct fixture *f, uint8_t sender, const struct gossip_record *record)
{
    struct wire_record item = {.kind = (uint16_t)record->key.kind,
                               .writer = record->key.writer,
                               .version = record->version,
                               .hash = record->hash,
                               .bytes = record->bytes};
    memcpy(item.name, record->key.name, sizeof item.name);
    begin(f, WIRE_NEWS, 0);
    assert_true(wire_put_record(&f->writer, &item));
    assert_int_equal(give(f, sender), FM_OK);
}

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

static void own_record_must_be_own_and_newer(void **state)
{
    struct fixture *f = *state;
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
    assert_int_equal(state_of(f, SELF), GOSSIP_ALIVE);
}

static void a_member_comes_with_its_record(void **state)
{
    struct fixture *f = *state;

    meet(f, 2);
    const struct gossip_effect *effect = find_kind(f, GOSSIP_MEMBER);
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
    struct fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member member = {.node = 2, .incarnation = 1};
    const struct fake_member forged = {.node = 3, .incarnation = 1, .is_forged = true};

    meet(f, 2);
    uint32_t checks = f->members.checks;
    meet(f, 2);
    assert_int_equal(gossip_put_member(f->gossip, f->now, fake_member_seal(&member, bytes)), FM_OK);
    announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 0});
    assert_int_equal(f->members.checks, checks);
    announce(f, 4, &forged);
    announce(f, 5, &forged);
    assert_int_equal(f->members.checks, checks + 1);
    assert_int_equal(counters(f).forged, 2);
    assert_int_equal(state_of(f, 3), 0);
}

/* A true record under the wrong name is refused, and still taken under its own. */
static void mislabelled_records_do_no_harm(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member member = {.node = 2, .incarnation = 1};
    const struct wire_member item = {.claim = FM_MEMBER_ALIVE,
                                     .node = fake_member_id(6),
                                     .incarnation = 1,
                                     .envelope = fake_member_seal(&member, bytes)};

    begin(f, WIRE_NEWS, 0);
    assert_true(wire_put_member(&f->writer, &item));
    assert_int_equal(give(f, 5), FM_OK);
    assert_int_equal(gossip_member_count(f->gossip), 1);
    assert_int_equal(counters(f).forged, 1);
    meet(f, 2);
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE);
}

/* A newcomer whose certificate is not known: it is asked for where the packet came from, and then
 * the record counts. */
static void unknown_certificates_are_asked_for(void **state)
{
    struct fixture *f = *state;

    f->members.unknown = 1u << 2;
    begin(f, WIRE_JOIN, 8);
    put_member(f, &(struct fake_member){.node = 2, .incarnation = 1});
    assert_int_equal(give(f, 2), FM_OK);
    const struct gossip_effect *want = find_kind(f, GOSSIP_WANT);
    struct fm_node_id id = fake_member_id(2);
    assert_non_null(want);
    assert_int_equal(want->record.key.kind, GOSSIP_RECORD_NODE_CERT);
    assert_memory_equal(&want->record.key.writer, &id, sizeof id);
    assert_memory_equal(&want->member, &id, sizeof id);
    assert_int_equal(want->address.port, 7000);
    assert_int_equal(want->address.bytes[3], 3);
    assert_int_equal(state_of(f, 2), 0);
    struct wire_packet ack;
    assert_true(find_packet(f, WIRE_ACK, 2, &ack)); /* It is answered nevertheless. */

    f->members.unknown = 0;
    struct gossip_record cert = {.key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = id},
                                 .version = 1767225600};
    assert_int_equal(gossip_put_record(f->gossip, f->now, &cert), FM_OK);
    drain(f);
    assert_non_null(find_kind(f, GOSSIP_MEMBER));
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE);
    run(f, 30000, ~0u);
    assert_int_equal(count_kind(f, GOSSIP_WANT), 0);
}

/* Records kept aside are bounded: strangers push out the oldest, and nothing else. */
static void records_kept_aside_are_bounded(void **state)
{
    struct fixture *f = *state;

    f->members.unknown = ~UINT64_C(1);
    for (uint8_t node = 1; node < 64; node++)
        announce(f, node, &(struct fake_member){.node = node, .incarnation = 1});
    for (uint64_t incarnation = 2; incarnation < 300; incarnation++)
        announce(f, 3, &(struct fake_member){.node = 3, .incarnation = incarnation});
    assert_int_equal(gossip_member_count(f->gossip), 1);
    f->members.unknown = 0;
    struct gossip_record cert = {
        .key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = fake_member_id(3)}, .version = 1};
    assert_int_equal(gossip_put_record(f->gossip, f->now, &cert), FM_OK);
    drain(f);
    assert_int_equal(find_kind(f, GOSSIP_MEMBER)->incarnation, 299);
}

static void only_newer_records_change_a_member(void **state)
{
    struct fixture *f = *state;

    announce(f, 2, &(struct fake_member){.node = 2, .incarnation = 5});
    announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 4, .claim = FM_MEMBER_LEFT});
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE);
    announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 5, .claim = FM_MEMBER_LEFT});
    assert_int_equal(state_of(f, 2), GOSSIP_LEFT);
    announce(f, 4, &(struct fake_member){.node = 2, .incarnation = 5, .salt = 1});
    assert_int_equal(state_of(f, 2), GOSSIP_LEFT);
    announce(f, 2, &(struct fake_member){.node = 2, .incarnation = 6, .address = "10.9.9.9:7001"});
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE);
    assert_int_equal(find_kind(f, GOSSIP_MEMBER)->address.port, 7001);
}

/* A record with a name: the machine resolves none, and learns the address from packets. */
static void named_members_are_reached_where_they_write_from(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;
    const struct fake_member named = {
        .node = 2, .incarnation = 1, .address = "node.example.org:7000"};

    announce(f, 4, &named);
    assert_int_equal(find_kind(f, GOSSIP_MEMBER)->address.family, 0);
    run(f, 10000, 0);
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE); /* Not probed, so not blamed. */
    begin(f, WIRE_PING, 77);
    assert_int_equal(give(f, 2), FM_OK);
    assert_true(find_packet(f, WIRE_ACK, 2, &packet));
    for (int i = 0; i < 20 && !find_packet(f, WIRE_PING, 2, &packet); i++)
        step(f, ~0u);
    assert_true(find_packet(f, WIRE_PING, 2, &packet));
}

/* With every place taken by the living a newcomer is refused; the longest dead gives way. */
static void full_table_drops_the_longest_dead(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member newcomer = {.node = 4, .incarnation = 1};

    start(f, 4, 4);
    meet(f, 1);
    meet(f, 2);
    meet(f, 3);
    assert_int_equal(gossip_put_member(f->gossip, f->now, fake_member_seal(&newcomer, bytes)),
                     FM_LIMIT);
    drain(f);
    run(f, 30000, 1u << 2 | 1u << 3);
    assert_int_equal(state_of(f, 1), GOSSIP_DEAD);
    run(f, 30000, 1u << 2);
    assert_int_equal(state_of(f, 3), GOSSIP_DEAD);
    meet(f, 4);
    assert_int_equal(state_of(f, 1), 0);
    assert_int_equal(state_of(f, 3), GOSSIP_DEAD);
    assert_int_equal(state_of(f, 4), GOSSIP_ALIVE);
    run(f, 60000, 1u << 2 | 1u << 4);
    assert_int_equal(state_of(f, 2), GOSSIP_ALIVE);
    assert_int_equal(state_of(f, 4), GOSSIP_ALIVE);
}

/* ---- Failure detection ---- */

static void unanswered_probes_lead_to_suspicion_then_death(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    meet(f, 1);
    meet(f, 2);
    meet(f, 3);
    fm_ms begun = f->now;
    while (state_of(f, 3) == GOSSIP_ALIVE) {
        step(f, 1u << 1 | 1u << 2);
        if (find_packet(f, WIRE_PING_REQ, -1, &packet)) { /* Others are asked first. */
            assert_true(find_item(&packet, WIRE_ITEM_TARGET, &item));
            assert_int_equal(item.value.node.bytes[0], 4);
            assert_int_equal(state_of(f, 3), GOSSIP_ALIVE);
        }
    }
    assert_true(f->now - begun <= 7 * PROBE_MS); /* Twice round all three, and the period. */
    assert_int_equal(state_of(f, 3), GOSSIP_SUSPECT);
    assert_true(find_packet(f, WIRE_NEWS, 3, &packet)); /* The suspect hears of it first. */
    assert_true(find_item(&packet, WIRE_ITEM_ACCUSE, &item));
    assert_int_equal(item.value.accuse.accuser.bytes[0], SELF + 1);
    fm_ms suspected = f->now;
    while (state_of(f, 3) == GOSSIP_SUSPECT)
        step(f, 1u << 1 | 1u << 2);
    assert_int_equal(state_of(f, 3), GOSSIP_DEAD);
    assert_true(f->now - suspected >= 2 * PROBE_MS);
    assert_true(f->now - suspected <= 8 * PROBE_MS);
    assert_int_equal(counters(f).deaths, 1);
    assert_int_equal(state_of(f, 1), GOSSIP_ALIVE);
}

/* Accusers that agree shorten the wait. */
static void confirmations_shorten_suspicion(void **state)
{
    struct fixture *f = *state;
    fm_ms took[2];

    for (int i = 0; i < 2; i++) {
        start(f, 16, 16);
        for (uint8_t node = 1; node < 9; node++)
            meet(f, node);
        accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 2);
        if (i == 1) {
            accuse(f, 3, GOSSIP_SUSPECT, 1, 1, 3);
            accuse(f, 4, GOSSIP_SUSPECT, 1, 1, 4);
            accuse(f, 4, GOSSIP_SUSPECT, 1, 1, 5);
        }
        fm_ms begun = f->now;
        while (state_of(f, 1) == GOSSIP_SUSPECT)
            step(f, ~2u);
        assert_int_equal(state_of(f, 1), GOSSIP_DEAD);
        took[i] = f->now - begun;
    }
    assert_true(took[1] < took[0]);
    assert_true(took[1] >= 2 * PROBE_MS);
}

/* Dead, says one, and says so for two others: who answers probes from here stays alive. */
static void hearsay_does_not_kill_who_answers(void **state)
{
    struct fixture *f = *state;

    for (uint8_t node = 1; node < 6; node++)
        meet(f, node);
    for (int i = 0; i < 10; i++) {
        accuse(f, 5, GOSSIP_DEAD, 1, 1, 2);
        accuse(f, 5, GOSSIP_DEAD, 1, 1, 3);
        assert_int_equal(state_of(f, 1), GOSSIP_SUSPECT);
        run(f, 4000, ~0u);
        assert_int_equal(state_of(f, 1), GOSSIP_ALIVE);
    }
    assert_int_equal(counters(f).deaths, 0);
}

/* Accusations that cannot be: by strangers, by the accused, by this node, about other incarnations. */
static void impossible_accusations_are_ignored(void **state)
{
    struct fixture *f = *state;

    meet(f, 1);
    meet(f, 2);
    accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 9);
    accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 1);
    accuse(f, 2, GOSSIP_SUSPECT, 1, 1, SELF);
    accuse(f, 2, GOSSIP_SUSPECT, 1, 0, 2);
    accuse(f, 2, GOSSIP_DEAD, 1, 2, 2);
    accuse(f, 2, GOSSIP_DEAD, 1, UINT64_MAX, 2);
    accuse(f, 2, GOSSIP_DEAD, 9, 1, 2);
    assert_int_equal(state_of(f, 1), GOSSIP_ALIVE);
    assert_int_equal(counters(f).suspicions, 0);
}

static void accused_node_refutes(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    meet(f, 1);
    run(f, 5000, ~0u);
    accuse(f, 1, GOSSIP_SUSPECT, SELF, 0, 1);
    accuse(f, 1, GOSSIP_SUSPECT, SELF, 2, 1); /* An incarnation that was never. */
    assert_null(find_kind(f, GOSSIP_REFUTE));
    accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_non_null(find_kind(f, GOSSIP_REFUTE));
    assert_int_equal(find_kind(f, GOSSIP_REFUTE)->incarnation, 1);
    accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_null(find_kind(f, GOSSIP_REFUTE)); /* Not at once again. */
    uint32_t repeated = 0;
    for (int i = 0; i < 20; i++) {
        step(f, ~0u);
        repeated += count_kind(f, GOSSIP_REFUTE);
    }
    assert_true(repeated > 0); /* Until it is answered. */
    set_self(f, 2, FM_MEMBER_ALIVE);
    assert_true(find_packet(f, WIRE_NEWS, 1, &packet)); /* The accuser hears it directly. */
    assert_true(find_item(&packet, WIRE_ITEM_MEMBER, &item));
    assert_int_equal(item.value.member.incarnation, 2);
    for (int i = 0; i < 20; i++) {
        step(f, ~0u);
        assert_null(find_kind(f, GOSSIP_REFUTE));
    }
}

/* A node that lost its memory hears of its own earlier record, and passes it. */
static void own_record_of_an_earlier_life_is_passed(void **state)
{
    struct fixture *f = *state;

    meet(f, 1);
    announce(f, 1, &(struct fake_member){.node = SELF, .incarnation = 41});
    assert_int_equal(find_kind(f, GOSSIP_REFUTE)->incarnation, 41);
    set_self(f, 42, FM_MEMBER_ALIVE);
    f->now += PROBE_MS;
    announce(f, 1, &(struct fake_member){.node = SELF, .incarnation = 42, .salt = 7});
    assert_int_equal(find_kind(f, GOSSIP_REFUTE)->incarnation, 42);
}

/* The other side of that: who announces an old record of its own is told the newer one. */
static void who_forgot_its_record_is_told(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    announce(f, 1, &(struct fake_member){.node = 1, .incarnation = 9});
    begin(f, WIRE_JOIN, 3);
    put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(give(f, 1), FM_OK);
    assert_true(find_packet(f, WIRE_ACK, 1, &packet));
    bool told = false;
    struct fm_cursor cursor = fm_cursor(packet.items);
    while (wire_next(&cursor, &item))
        told |= item.kind == WIRE_ITEM_MEMBER && item.value.member.node.bytes[0] == 2 &&
                item.value.member.incarnation == 9;
    assert_true(told);
}

/* Late by more than a period: the probe under way and suspicions that ran out meanwhile are void. */
static void late_tick_voids_verdicts(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;

    meet(f, 1);
    meet(f, 2);
    while (!find_packet(f, WIRE_PING, -1, &packet))
        step(f, 0);
    f->now += 20000;
    gossip_tick(f->gossip, f->now);
    drain(f);
    assert_int_equal(counters(f).suspicions, 0);
    accuse(f, 2, GOSSIP_SUSPECT, 1, 1, 2);
    assert_int_equal(state_of(f, 1), GOSSIP_SUSPECT);
    f->now += 60000;
    gossip_tick(f->gossip, f->now);
    drain(f);
    assert_int_equal(state_of(f, 1), GOSSIP_SUSPECT);
}

static void helper_passes_acks_on(void **state)
{
    struct fixture *f = *state;
    struct fm_node_id target = fake_member_id(2);
    struct wire_packet packet;
    struct wire_item item;

    meet(f, 1);
    meet(f, 2);
    begin(f, WIRE_PING_REQ, 555);
    assert_true(wire_put_node(&f->writer, WIRE_ITEM_TARGET, &target));
    assert_int_equal(give(f, 1), FM_OK);
    assert_true(find_packet(f, WIRE_PING, 2, &packet));
    begin(f, WIRE_ACK, packet.sequence);
    assert_int_equal(give(f, 1), FM_OK); /* Not the target's to say. */
    assert_false(find_packet(f, WIRE_ACK, 1, &packet));
    assert_int_equal(give(f, 2), FM_OK);
    assert_true(find_packet(f, WIRE_ACK, 1, &packet));
    assert_int_equal(packet.sequence, 555);
    assert_true(find_item(&packet, WIRE_ITEM_BEHALF, &item));
    assert_int_equal(item.value.node.bytes[0], 3);
    begin(f, WIRE_PING_REQ, 556); /* Without a target. */
    assert_int_equal(give(f, 1), FM_MALFORMED);
}

static void dead_are_retried_at_a_falling_rate(void **state)
{
    struct fixture *f = *state;
    fm_ms last = 0, gap = 0, widest = 0;
    uint32_t pings = 0;

    meet(f, 1);
    run(f, 20000, 0);
    assert_int_equal(state_of(f, 1), GOSSIP_DEAD);
    fm_ms end = f->now + 1800000;
    while (f->now < end) {
        struct wire_packet packet;
        step(f, 0);
        if (!find_packet(f, WIRE_PING, 1, &packet))
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
    announce(f, 1, &(struct fake_member){.node = 1, .incarnation = 2});
    assert_int_equal(state_of(f, 1), GOSSIP_ALIVE);
}

static void farewell_is_sent_and_nothing_after_it(void **state)
{
    struct fixture *f = *state;
    struct wire_packet packet;
    struct wire_item item;

    meet(f, 1);
    meet(f, 2);
    run(f, 5000, ~0u);
    gossip_leave(f->gossip, f->now); /* Without a LEFT record it does nothing. */
    drain(f);
    assert_int_equal(f->count, 0);
    set_self(f, 1, FM_MEMBER_LEFT);
    gossip_leave(f->gossip, f->now);
    drain(f);
    for (uint8_t node = 1; node < 3; node++) {
        assert_true(find_packet(f, WIRE_NEWS, node, &packet));
        assert_true(find_item(&packet, WIRE_ITEM_MEMBER, &item));
        assert_int_equal(item.value.member.claim, FM_MEMBER_LEFT);
    }
    accuse(f, 1, GOSSIP_SUSPECT, SELF, 1, 1);
    assert_null(find_kind(f, GOSSIP_REFUTE));
    for (int i = 0; i < 50 && gossip_deadline(f->gossip) != FM_MS_NEVER; i++) {
        step(f, ~0u);
        assert_false(find_packet(f, WIRE_PING, -1, &packet));
    }
    assert_int_equal(gossip_deadline(f->gossip), FM_MS_NEVER);
}

/* ---- Joining and comparing lists ---- */

static void seeds_are_asked_until_they_answer(void **state)
{
    struct fixture *f = *state;
    const struct gossip_address seeds[] = {address_of(SELF), address_of(1), address_of(2)};
    struct wire_packet packet;
    uint32_t joins = 0;

    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 3), FM_OK);
    drain(f);
    fm_ms end = f->now + 60000;
    while (f->now < end) {
        step(f, 0);
        assert_false(find_packet(f, WIRE_JOIN, SELF, &packet));
        joins += find_packet(f, WIRE_JOIN, 1, &packet);
    }
    assert_true(joins >= 8);
    assert_true(joins <= 16); /* 0.2 s, doubled up to 10 s. */
    while (!find_packet(f, WIRE_JOIN, 1, &packet))
        step(f, 0);
    begin(f, WIRE_ACK, packet.sequence);
    put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(give(f, 1), FM_OK);
    assert_non_null(find_kind(f, GOSSIP_SYNC));
    assert_int_equal(find_kind(f, GOSSIP_SYNC)->member.bytes[0], 2);
    assert_int_equal(state_of(f, 1), GOSSIP_ALIVE);
    bool other = false;
    end = f->now + 70000;
    while (f->now < end) {
        step(f, ~0u);
        assert_false(find_packet(f, WIRE_JOIN, 1, &packet));
        other |= find_packet(f, WIRE_JOIN, 2, &packet);
    }
    assert_true(other); /* It may be the way to another island. */
}

/* A seed that is not known yet, nor its certificate: lists can be compared by address. */
static void unknown_seeds_are_compared_with_too(void **state)
{
    struct fixture *f = *state;
    const struct gossip_address seed = address_of(1);
    struct wire_packet packet;

    f->members.unknown = 1u << 1;
    assert_int_equal(gossip_join(f->gossip, f->now, &seed, 1), FM_OK);
    drain(f);
    step(f, 0);
    assert_true(find_packet(f, WIRE_JOIN, 1, &packet));
    begin(f, WIRE_ACK, packet.sequence);
    put_member(f, &(struct fake_member){.node = 1, .incarnation = 1});
    assert_int_equal(give(f, 1), FM_OK);
    assert_non_null(find_kind(f, GOSSIP_WANT));
    assert_non_null(find_kind(f, GOSSIP_SYNC));
    assert_int_equal(find_kind(f, GOSSIP_SYNC)->address.bytes[3], 2);
}

static void seeds_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;
    struct gossip_address seeds[FM_SEEDS_MAX + 1];

    for (uint32_t i = 0; i <= FM_SEEDS_MAX; i++)
        seeds[i] = address_of((uint8_t)i);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, FM_SEEDS_MAX + 1), FM_LIMIT);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, FM_SEEDS_MAX), FM_OK);
    assert_int_equal(gossip_join(f->gossip, f->now, seeds + 1, FM_SEEDS_MAX), FM_OK);
    seeds[3].port = 0;
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 4), FM_INVALID);
    seeds[3].port = 1;
    seeds[3].family = 0;
    assert_int_equal(gossip_join(f->gossip, f->now, seeds, 4), FM_INVALID);
    run(f, 60000, 0);
    assert_int_equal(counters(f).effects_dropped, 0);
}

/* The digest is what docs/gossip.md says. */
static void digest_is_a_sum_of_hashes(void **state)
{
    struct fixture *f = *state;
    struct gossip_record record = a_record(1, 1, 3);
    uint64_t members = 0;
    struct wire_packet packet;
    struct wire_item item;
    struct fm_hash hash;

    meet(f, 1);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    drain(f);
    f->now += 500;
    begin(f, WIRE_PING, 1);
    assert_int_equal(give(f, 1), FM_OK);
    assert_true(find_packet(f, WIRE_ACK, 1, &packet));
    assert_true(find_item(&packet, WIRE_ITEM_DIGEST, &item));
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

static void give_digest(struct fixture *f, uint8_t sender, const struct wire_digest *digest)
{
    begin(f, WIRE_ACK, 12345);
    assert_true(wire_put_digest(&f->writer, digest));
    assert_int_equal(give(f, sender), FM_OK);
}

static void different_digests_lead_to_comparisons_at_a_falling_rate(void **state)
{
    struct fixture *f = *state;
    const struct wire_digest other = {.members = 1, .count = 2, .quiet = 500};
    uint32_t syncs = 0;

    meet(f, 1);
    give_digest(f, 1, &other);
    assert_null(find_kind(f, GOSSIP_SYNC)); /* News was here a moment ago. */
    run(f, 1500, ~0u);
    struct wire_digest fresh = other;
    fresh.quiet = 20;
    give_digest(f, 1, &fresh);
    assert_null(find_kind(f, GOSSIP_SYNC)); /* There, too. */
    fm_ms end = f->now + 120000;
    while (f->now < end) {
        run(f, 500, ~0u);
        give_digest(f, 1, &other);
        syncs += count_kind(f, GOSSIP_SYNC);
    }
    assert_true(syncs >= 6); /* 1, 2, 4 ... 60 s. */
    assert_true(syncs <= 9);
    /* Kinds of records that this release does not know are not compared. */
    struct wire_packet packet;
    struct wire_item item;
    begin(f, WIRE_PING, 1);
    assert_int_equal(give(f, 1), FM_OK);
    assert_true(find_packet(f, WIRE_ACK, 1, &packet));
    assert_true(find_item(&packet, WIRE_ITEM_DIGEST, &item));
    struct wire_digest same = item.value.digest;
    same.kind_count = 8;
    same.kinds[7] = 99;
    run(f, 120000, ~0u);
    give_digest(f, 1, &same);
    assert_null(find_kind(f, GOSSIP_SYNC));
    same.kinds[2] = 1;
    give_digest(f, 1, &same);
    assert_non_null(find_kind(f, GOSSIP_SYNC));
}

/* ---- Records ---- */

static void wanted_records_are_asked_for_until_they_come(void **state)
{
    struct fixture *f = *state;
    struct gossip_record record = a_record(1, 1, 3), found;
    uint32_t wants = 0;

    meet(f, 1);
    meet(f, 2);
    announce_record(f, 2, &record);
    const struct gossip_effect *want = find_kind(f, GOSSIP_WANT);
    assert_non_null(want);
    assert_int_equal(want->member.bytes[0], 3);
    assert_int_equal(want->record.version, 3);
    assert_memory_equal(&want->record.hash, &record.hash, sizeof record.hash);
    announce_record(f, 1, &record);
    assert_null(find_kind(f, GOSSIP_WANT)); /* Asked a moment ago. */
    fm_ms end = f->now + 120000;
    while (f->now < end) {
        step(f, ~0u);
        want = find_kind(f, GOSSIP_WANT);
        if (want != NULL)
            assert_int_equal(want->member.bytes[0], 2); /* Who said so last. */
        wants += count_kind(f, GOSSIP_WANT);
    }
    assert_true(wants >= 5);
    assert_true(wants <= 9);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    drain(f);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    announce_record(f, 2, &record);
    assert_null(find_kind(f, GOSSIP_WANT));
    end = f->now + 120000;
    while (f->now < end) {
        step(f, ~0u);
        assert_null(find_kind(f, GOSSIP_WANT));
    }
}

static void higher_versions_win(void **state)
{
    struct fixture *f = *state;
    struct gossip_record record = a_record(1, 1, 3), found;

    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    record = a_record(1, 1, 2);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_int_equal(found.version, 3);
    record = a_record(1, 1, 4);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_int_equal(found.version, 4);
    assert_int_equal(gossip_record_count(f->gossip), 1);
    record.key.kind = (enum gossip_record_kind)99;
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_INVALID);
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_NOTFOUND);
}

/* One version with two contents: it is fetched once, as evidence, and does not replace the first. */
static void conflicting_records_are_fetched_once(void **state)
{
    struct fixture *f = *state;
    struct gossip_record record = a_record(1, 1, 3), other = a_record(1, 1, 3), found;

    other.hash.bytes[0] = 0xee;
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    announce_record(f, 2, &other);
    assert_non_null(find_kind(f, GOSSIP_WANT));
    assert_int_equal(gossip_put_record(f->gossip, f->now, &other), FM_CONFLICT);
    drain(f);
    announce_record(f, 2, &other);
    assert_null(find_kind(f, GOSSIP_WANT));
    assert_int_equal(gossip_record_find(f->gossip, &record.key, &found), FM_OK);
    assert_memory_equal(&found.hash, &record.hash, sizeof found.hash);
}

/* Made-up versions do not hide the true one, nor fill all places for ever. */
static void made_up_versions_do_not_hide_the_true_one(void **state)
{
    struct fixture *f = *state;

    meet(f, 1);
    for (uint64_t version = 100; version < 150; version++) {
        struct gossip_record record = a_record(1, 1, version);
        announce_record(f, 2, &record);
    }
    struct gossip_record record = a_record(1, 1, 3);
    announce_record(f, 1, &record);
    assert_non_null(find_kind(f, GOSSIP_WANT));
    assert_int_equal(find_kind(f, GOSSIP_WANT)->record.version, 3);
    for (uint32_t i = 0; i < 2000; i++) {
        record = a_record((uint8_t)(i % 50), (uint8_t)(i / 50), i);
        announce_record(f, 2, &record);
    }
    assert_true(counters(f).effects_dropped > 0);
    run(f, 20000, ~0u);
    record = a_record(1, 200, 1);
    announce_record(f, 1, &record);
    assert_non_null(find_kind(f, GOSSIP_WANT));
}

static void full_catalog_is_a_limit(void **state)
{
    struct fixture *f = *state;

    for (uint8_t name = 0; name < 16; name++) {
        struct gossip_record record = a_record(1, name, 1);
        assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    }
    struct gossip_record record = a_record(1, 16, 1);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_LIMIT);
    record = a_record(1, 3, 2);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    assert_int_equal(gossip_record_count(f->gossip), 16);
    gossip_record_at(f->gossip, 3, &record);
    assert_int_equal(record.version, 2);
}

static void rumours_are_told_a_bounded_number_of_times(void **state)
{
    struct fixture *f = *state;
    struct gossip_record record = a_record(1, 1, 3);
    struct wire_packet packet;
    struct wire_item item;
    uint32_t told = 0;

    for (uint8_t node = 1; node < 8; node++)
        meet(f, node);
    run(f, 60000, ~0u);
    assert_int_equal(gossip_put_record(f->gossip, f->now, &record), FM_OK);
    drain(f);
    fm_ms end = f->now + 60000;
    while (f->now < end) {
        step(f, ~0u);
        for (uint32_t i = 0; i < f->count; i++) {
            if (f->effects[i].kind == GOSSIP_SEND &&
                wire_open(f->effects[i].packet, &packet) == FM_OK)
                told += find_item(&packet, WIRE_ITEM_RECORD, &item);
        }
    }
    assert_int_equal(told, 12); /* 3 * ceil(log2(8 + 1)). */
}

/* ---- Whatever comes ---- */

static void odd_packets_are_counted(void **state)
{
    struct fixture *f = *state;

    begin(f, WIRE_NEWS, 0);
    f->bytes[f->writer.len++] = WIRE_ITEM_ACCUSE;
    assert_int_equal(give(f, 1), FM_MALFORMED);
    begin(f, WIRE_NEWS, 0);
    f->bytes[0] = 9;
    assert_int_equal(give(f, 1), FM_UNSUPPORTED);
    assert_int_equal(counters(f).malformed, 2);
    begin(f, WIRE_NEWS, 0);
    f->bytes[1] = 99;
    assert_int_equal(give(f, 1), FM_OK);
    struct gossip_record record = a_record(1, 1, 1);
    record.key.kind = (enum gossip_record_kind)77;
    announce_record(f, 1, &record);
    assert_int_equal(counters(f).unknown, 2);
    begin(f, WIRE_PING, 1);
    assert_int_equal(give(f, SELF), FM_OK); /* Its own packet. */
    assert_int_equal(f->count, 0);
    assert_int_equal(counters(f).packets_in, 5);
    assert_int_equal(gossip_member_count(f->gossip), 1);
}

/* Inputs may come before all effects are drained: none is lost, and too many sends are dropped. */
static void effects_wait_in_order(void **state)
{
    struct fixture *f = *state;
    struct gossip_effect effect;
    uint32_t sends = 0;

    meet(f, 1);
    f->now += 300;
    struct fm_node_id sender = fake_member_id(1);
    struct gossip_address from = address_of(1);
    for (uint32_t i = 1; i <= 100; i++) {
        begin(f, WIRE_PING, i);
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
    assert_int_equal(counters(f).effects_dropped, 100 - sends);
}

/* Equal inputs give equal states, and another seed another one. */
static void state_hash_follows_seed_and_inputs(void **state)
{
    struct fixture *f = *state;
    uint64_t hashes[3];

    for (int i = 0; i < 3; i++) {
        f->now = 5000;
        start(f, 16, 16);
        for (uint8_t node = 1; node < 7; node++)
            meet(f, node);
        struct gossip_record record = a_record(1, 1, 3);
        announce_record(f, 2, &record);
        run(f, 30000, i == 2 ? 0x3e : 0x7e);
        hashes[i] = gossip_state_hash(f->gossip);
    }
    assert_int_equal(hashes[0], hashes[1]);
    assert_int_not_equal(hashes[0], hashes[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(options_out_of_range_are_invalid),
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
        TEST(late_tick_voids_verdicts),
        TEST(helper_passes_acks_on),
        TEST(dead_are_retried_at_a_falling_rate),
        TEST(farewell_is_sent_and_nothing_after_it),
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
