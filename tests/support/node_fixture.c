#include "tests/support/node_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void node_drain(struct node_fixture *f)
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

struct gossip_address node_address_of(uint8_t node)
{
    struct gossip_address address = {.family = 4, .bytes = {10, 0, 0, 0}, .port = 7000};
    address.bytes[3] = (uint8_t)(node + 1);
    return address;
}

void node_set_self(struct node_fixture *f, uint64_t incarnation, enum fm_member_claim claim)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member self = {.node = SELF, .incarnation = incarnation, .claim = claim};

    assert_int_equal(gossip_set_self(f->gossip, f->now, fake_member_seal(&self, bytes)), FM_OK);
    node_drain(f);
}

void node_start(struct node_fixture *f, uint32_t member_max, uint32_t record_max)
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
    node_set_self(f, 1, FM_MEMBER_ALIVE);
}

int node_setup(void **state)
{
    struct node_fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->now = 5000;
    node_start(f, 16, 16);
    *state = f;
    return 0;
}

int node_teardown(void **state)
{
    struct node_fixture *f = *state;
    gossip_free(f->gossip);
    free(f);
    return 0;
}

void node_packet(struct node_fixture *f, enum wire_kind kind, uint32_t sequence)
{
    wire_begin(&f->writer, f->bytes, kind, sequence);
}

enum fm_status node_give(struct node_fixture *f, uint8_t sender)
{
    struct fm_node_id id = fake_member_id(sender);
    struct gossip_address from = node_address_of(sender);
    enum fm_status status =
        gossip_receive(f->gossip, f->now, &id, &from, fm_span(f->bytes, f->writer.len));
    node_drain(f);
    return status;
}

void node_put_member(struct node_fixture *f, const struct fake_member *member)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct wire_member item = {.claim = member->claim != 0 ? member->claim : FM_MEMBER_ALIVE,
                                     .node = fake_member_id(member->node),
                                     .incarnation = member->incarnation,
                                     .envelope = fake_member_seal(member, bytes)};
    assert_true(wire_put_member(&f->writer, &item));
}

void node_announce(struct node_fixture *f, uint8_t sender, const struct fake_member *member)
{
    node_packet(f, WIRE_NEWS, 0);
    node_put_member(f, member);
    assert_int_equal(node_give(f, sender), FM_OK);
}

void node_meet(struct node_fixture *f, uint8_t node)
{
    node_announce(f, node, &(struct fake_member){.node = node, .incarnation = 1});
}

void node_accuse(struct node_fixture *f, uint8_t sender, enum gossip_state state, uint8_t accused,
                 uint64_t incarnation, uint8_t accuser)
{
    const struct wire_accuse item = {.state = state,
                                     .accused = fake_member_id(accused),
                                     .incarnation = incarnation,
                                     .accuser = fake_member_id(accuser)};
    node_packet(f, WIRE_NEWS, 0);
    assert_true(wire_put_accuse(&f->writer, &item));
    assert_int_equal(node_give(f, sender), FM_OK);
}

uint32_t node_count_effects(const struct node_fixture *f, enum gossip_effect_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->count; i++)
        count += f->effects[i].kind == kind;
    return count;
}

const struct gossip_effect *node_find_effect(const struct node_fixture *f,
                                             enum gossip_effect_kind kind)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->effects[i].kind == kind)
            return &f->effects[i];
    }
    return NULL;
}

bool node_find_packet(const struct node_fixture *f, enum wire_kind kind, int node,
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

bool node_find_item(const struct wire_packet *packet, enum wire_item_kind kind,
                    struct wire_item *out)
{
    struct fm_cursor cursor = fm_cursor(packet->items);
    while (wire_next(&cursor, out)) {
        if (out->kind == kind)
            return true;
    }
    return false;
}

enum gossip_state node_state_of(const struct node_fixture *f, uint8_t node)
{
    struct fm_node_id id = fake_member_id(node);
    struct gossip_member member;
    if (gossip_member_find(f->gossip, &id, &member) != FM_OK)
        return (enum gossip_state)0;
    return member.state;
}

struct gossip_counters node_counters(const struct node_fixture *f)
{
    struct gossip_counters out;
    gossip_counters(f->gossip, &out);
    return out;
}

void node_step(struct node_fixture *f, uint32_t answering)
{
    struct gossip_effect sent[EFFECTS_MAX];
    uint8_t packets[64][FM_PACKET_BYTES_MAX];
    uint32_t count;

    f->now = gossip_deadline(f->gossip) > f->now ? gossip_deadline(f->gossip) : f->now;
    gossip_tick(f->gossip, f->now);
    node_drain(f);
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
        node_packet(f, WIRE_ACK, packet.sequence);
        assert_int_equal(node_give(f, node), FM_OK);
    }
    memcpy(f->effects, sent, sizeof sent);
    memcpy(f->packets, packets, sizeof packets);
    f->count = count;
}

void node_run(struct node_fixture *f, fm_ms ms, uint32_t answering)
{
    fm_ms end = f->now + ms;
    while (gossip_deadline(f->gossip) < end)
        node_step(f, answering);
    f->now = end;
}

struct gossip_record node_record(uint8_t writer, uint8_t name, uint64_t version)
{
    struct gossip_record record = {
        .key = {.kind = GOSSIP_RECORD_CONTRACT, .writer = fake_member_id(writer)},
        .version = version,
        .bytes = 1000};
    record.key.name[0] = name;
    record.hash.bytes[0] = (uint8_t)version;
    return record;
}

void node_announce_record(struct node_fixture *f, uint8_t sender,
                          const struct gossip_record *record)
{
    struct wire_record item = {.kind = (uint16_t)record->key.kind,
                               .writer = record->key.writer,
                               .version = record->version,
                               .hash = record->hash,
                               .bytes = record->bytes};
    memcpy(item.name, record->key.name, sizeof item.name);
    node_packet(f, WIRE_NEWS, 0);
    assert_true(wire_put_record(&f->writer, &item));
    assert_int_equal(node_give(f, sender), FM_OK);
}
