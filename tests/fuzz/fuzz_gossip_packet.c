/* Packets given to a node of gossip/. The input is a list of steps: u8 sender (3 bits) and what is
 * done first (5 bits: time that passes), u16 length, packet. Whatever comes, the node's answers are
 * packets that open, effects are bounded, its own record and incarnation are its own, and nothing
 * asserts. Records are those of fake_member.h, so that many mutations are valid ones. */
#include "core/assert.h"
#include "gossip/gossip.h"
#include "gossip/wire.h"
#include "tests/support/fake_member.h"

#define SELF 0u
#define SENDERS 8u
#define EFFECTS_MAX 400u /* Of one input. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct fake_members members;
    struct gossip *gossip;
    fm_ms now;
    uint64_t incarnation;
};

static void drain(struct run *run);

static void set_self(struct run *run)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    const struct fake_member self = {.node = SELF, .incarnation = run->incarnation};

    fm_assert(gossip_set_self(run->gossip, run->now, fake_member_seal(&self, bytes)) == FM_OK);
    drain(run);
}

static void check_sent(const struct gossip_effect *effect)
{
    struct wire_packet packet;

    fm_assert(effect->packet.len <= FM_PACKET_BYTES_MAX);
    fm_assert(effect->address.family == 4 || effect->address.family == 6);
    fm_assert(wire_open(effect->packet, &packet) == FM_OK);
    fm_assert(wire_kind_known(packet.kind));
    fm_assert(packet.unknown_items == 0);
}

static void drain(struct run *run)
{
    struct gossip_effect effect;
    uint64_t refute = 0;
    uint32_t count = 0;

    while (gossip_next_effect(run->gossip, &effect)) {
        fm_assert(++count <= EFFECTS_MAX);
        if (effect.kind == GOSSIP_SEND)
            check_sent(&effect);
        if (effect.kind == GOSSIP_MEMBER)
            fm_assert(effect.member.bytes[0] != SELF + 1);
        if (effect.kind == GOSSIP_REFUTE)
            refute = effect.incarnation;
        /* Half of what is wanted comes: NODE_CERT records make known who was not. */
        if (effect.kind == GOSSIP_WANT && (effect.record.version & 1) == 0) {
            uint8_t writer = effect.record.key.writer.bytes[0];
            if (writer >= 1 && writer <= 64)
                run->members.unknown &= ~(UINT64_C(1) << (writer - 1));
            enum fm_status status = gossip_put_record(run->gossip, run->now, &effect.record);
            fm_assert(status == FM_OK || status == FM_CONFLICT || status == FM_LIMIT);
        }
    }
    if (refute >= run->incarnation && refute != 0) {
        fm_assert(refute < UINT64_MAX);
        run->incarnation = refute + 1;
        set_self(run);
    }
}

static void step(struct run *run, uint8_t head, struct fm_span packet)
{
    struct gossip_address from = {.family = 4, .bytes = {10, 0, 0, 0}, .port = 7000};
    uint8_t sender = head % SENDERS;
    struct fm_node_id id = fake_member_id(sender);
    fm_ms pass = (fm_ms)(head / SENDERS) * 100;

    from.bytes[3] = (uint8_t)(sender + 1);
    run->now += pass;
    if (pass > 0) {
        gossip_tick(run->gossip, run->now);
        drain(run);
    }
    enum fm_status status = gossip_receive(run->gossip, run->now, &id, &from, packet);
    fm_assert(status == FM_OK || status == FM_MALFORMED || status == FM_UNSUPPORTED);
    drain(run);
    struct gossip_member self;
    gossip_member_at(run->gossip, 0, &self);
    fm_assert(self.state == GOSSIP_ALIVE);
    fm_assert(self.incarnation == run->incarnation);
    fm_assert(gossip_member_count(run->gossip) <= 8);
    fm_assert(gossip_record_count(run->gossip) <= 8);
    fm_assert(gossip_deadline(run->gossip) != FM_MS_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = 1000, .incarnation = 1, .members = {.unknown = 0xf0}};
    const struct gossip_options options = {.self = fake_member_id(SELF),
                                           .seed = 1,
                                           .member_max = 8,
                                           .record_max = 8,
                                           .check_member = fake_member_check,
                                           .context = &run.members};
    struct fm_cursor input = fm_cursor(fm_span(data, size));
    struct fm_span packet;
    uint16_t len;
    uint8_t head;

    fm_assert(gossip_new(&options, run.now, &run.gossip) == FM_OK);
    set_self(&run);
    while (fm_take_u8(&input, &head) == FM_OK && fm_take_u16(&input, &len) == FM_OK) {
        if (len > fm_cursor_left(&input))
            len = (uint16_t)fm_cursor_left(&input);
        if (fm_take_bytes(&input, len, &packet) != FM_OK)
            break;
        step(&run, head, packet);
    }
    for (int i = 0; i < 20; i++) { /* And on, with nobody answering. */
        if (gossip_deadline(run.gossip) > run.now)
            run.now = gossip_deadline(run.gossip);
        gossip_tick(run.gossip, run.now);
        drain(&run);
    }
    gossip_free(run.gossip);
    return 0;
}
