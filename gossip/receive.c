#include "gossip/state.h"

#include "core/assert.h"

struct parts { /* Items that a packet has at most one of; of several the last one counts. */
    bool has_digest;
    bool has_target;
    bool has_behalf;
    struct wire_digest digest;
    struct fm_node_id target;
    struct fm_node_id behalf;
};

static void find_parts(const struct wire_packet *packet, struct parts *parts)
{
    struct fm_cursor cursor = fm_cursor(packet->items);
    struct wire_item item;

    fm_assert(wire_kind_known(packet->kind));
    *parts = (struct parts){0};
    while (wire_next(&cursor, &item)) {
        if (item.kind == WIRE_ITEM_DIGEST) {
            parts->has_digest = true;
            parts->digest = item.value.digest;
        } else if (item.kind == WIRE_ITEM_TARGET) {
            parts->has_target = true;
            parts->target = item.value.node;
        } else if (item.kind == WIRE_ITEM_BEHALF) {
            parts->has_behalf = true;
            parts->behalf = item.value.node;
        }
    }
}

/* Members come first: accusations are about the incarnations that they bring. */
static void apply_items(struct gossip *gossip, const struct fm_node_id *sender,
                        const struct gossip_address *from, const struct wire_packet *packet)
{
    struct fm_cursor cursor = fm_cursor(packet->items);
    struct wire_item item;

    fm_assert(!gossip_node_equal(sender, &gossip->options.self));
    while (wire_next(&cursor, &item)) {
        if (item.kind == WIRE_ITEM_MEMBER)
            admit_receive(gossip, &item.value.member, sender, from);
    }
    fm_assert(fm_cursor_left(&cursor) == 0);
    cursor = fm_cursor(packet->items);
    while (wire_next(&cursor, &item)) {
        if (item.kind == WIRE_ITEM_ACCUSE)
            swim_receive_accuse(gossip, sender, &item.value.accuse);
        else if (item.kind == WIRE_ITEM_RECORD)
            gossip_catalog_announced(gossip, sender, from, &item.value.record);
    }
}

static void answer(struct gossip *gossip, const struct fm_node_id *sender,
                   const struct gossip_address *from, const struct wire_packet *packet)
{
    const struct compose compose = {.kind = WIRE_ACK,
                                    .sequence = packet->sequence,
                                    .address = *from,
                                    .node = *sender,
                                    .slot = roster_find(gossip, sender),
                                    .welcome = packet->kind == WIRE_JOIN};

    fm_assert(gossip->has_self);
    fm_assert(compose.slot != GOSSIP_SELF);
    (void)compose_send(gossip, &compose); /* Counted when dropped; the sender asks again. */
}

static void dispatch(struct gossip *gossip, const struct fm_node_id *sender,
                     const struct gossip_address *from, const struct wire_packet *packet,
                     const struct parts *parts)
{
    fm_assert(wire_kind_known(packet->kind));
    switch (packet->kind) {
    case WIRE_PING:
    case WIRE_JOIN:
        if (gossip->has_self)
            answer(gossip, sender, from, packet);
        return;
    case WIRE_ACK:
        probe_receive_ack(gossip, sender, packet->sequence,
                          parts->has_behalf ? &parts->behalf : NULL);
        if (!parts->has_behalf)
            join_receive_ack(gossip, sender, from, packet->sequence);
        return;
    case WIRE_PING_REQ:
        fm_assert(parts->has_target);
        if (gossip->has_self && !gossip->leaving)
            probe_receive_ping_req(gossip, sender, from, packet->sequence, &parts->target);
        return;
    default:
        fm_assert(packet->kind == WIRE_NEWS);
    }
}

enum fm_status receive_packet(struct gossip *gossip, const struct fm_node_id *sender,
                              const struct gossip_address *from, struct fm_span bytes)
{
    struct wire_packet packet;
    struct parts parts;

    fm_assert(sender != NULL);
    fm_assert(from->family == 4 || from->family == 6);
    gossip->counters.packets_in++;
    gossip->counters.bytes_in += bytes.len;
    enum fm_status status = wire_open(bytes, &packet);
    if (status == FM_OK && wire_kind_known(packet.kind)) {
        find_parts(&packet, &parts);
        if (packet.kind == WIRE_PING_REQ && !parts.has_target)
            status = FM_MALFORMED;
    }
    if (status != FM_OK) {
        gossip->counters.malformed++;
        return status;
    }
    gossip->counters.unknown += packet.unknown_items;
    if (!wire_kind_known(packet.kind)) {
        gossip->counters.unknown++;
        return FM_OK;
    }
    if (gossip_node_equal(sender, &gossip->options.self)) {
        join_heard_self(gossip, from);
        return FM_OK;
    }
    gossip->heard = true;
    apply_items(gossip, sender, from, &packet);
    uint32_t slot = roster_find(gossip, sender);
    if (slot != SLOTS_NONE) {
        roster_saw_address(gossip, slot, from);
        probe_heard_from(gossip, slot);
    }
    if (parts.has_digest) /* After the news that came with it. */
        join_receive_digest(gossip, sender, from, &parts.digest);
    dispatch(gossip, sender, from, &packet, &parts);
    return FM_OK;
}
