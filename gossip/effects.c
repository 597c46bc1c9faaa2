#include "gossip/state.h"

#include "core/assert.h"

void effects_begin(struct gossip *gossip)
{
    struct effects *effects = &gossip->effects;

    fm_assert(effects->next <= effects->count);
    fm_assert(effects->send_count <= GOSSIP_SENDS_MAX);
    if (effects->next < effects->count)
        return; /* What waits is kept, in order; the room for it is bounded. */
    effects->count = 0;
    effects->next = 0;
    effects->send_count = 0;
}

/* The next effect to fill in; NULL when full, which is counted. One input's effects always fit. */
static struct gossip_effect *push(struct gossip *gossip, enum gossip_effect_kind kind)
{
    struct effects *effects = &gossip->effects;

    fm_assert(effects->count <= GOSSIP_EFFECTS_MAX);
    if (effects->count == GOSSIP_EFFECTS_MAX) {
        gossip->counters.effects_dropped++;
        return NULL;
    }
    struct gossip_effect *effect = &effects->queue[effects->count++];
    *effect = (struct gossip_effect){.kind = kind};
    return effect;
}

uint8_t *effects_packet(struct gossip *gossip)
{
    struct effects *effects = &gossip->effects;

    fm_assert(effects->send_count <= GOSSIP_SENDS_MAX);
    if (effects->send_count == GOSSIP_SENDS_MAX) {
        gossip->counters.effects_dropped++;
        return NULL;
    }
    return effects->packets[effects->send_count];
}

void effects_send(struct gossip *gossip, const struct gossip_address *address,
                  const struct fm_node_id *node, size_t bytes)
{
    struct effects *effects = &gossip->effects;

    fm_assert(gossip_address_known(address));
    fm_assert(bytes > 0 && bytes <= FM_PACKET_BYTES_MAX);
    fm_assert(effects->send_count < GOSSIP_SENDS_MAX);
    struct gossip_effect *effect = push(gossip, GOSSIP_SEND);
    if (effect == NULL)
        return;
    effect->address = *address;
    effect->member = *node;
    effect->packet = fm_span(effects->packets[effects->send_count], bytes);
    effects->send_count++;
    gossip->counters.packets_out++;
    gossip->counters.bytes_out += bytes;
}

void effects_member(struct gossip *gossip, const struct member *member)
{
    fm_assert(member->state >= GOSSIP_ALIVE && member->state <= GOSSIP_LEFT);
    struct gossip_effect *effect = push(gossip, GOSSIP_MEMBER);
    if (effect == NULL)
        return;
    effect->member = member->node;
    effect->state = member->state;
    effect->incarnation = member->incarnation;
    effect->address = member->address;
}

void effects_refute(struct gossip *gossip, uint64_t incarnation)
{
    fm_assert(gossip->has_self);
    struct gossip_effect *effect = push(gossip, GOSSIP_REFUTE);
    if (effect == NULL)
        return;
    effect->member = gossip->options.self;
    effect->incarnation = incarnation;
}

void effects_want(struct gossip *gossip, const struct want *want)
{
    fm_assert(want->used);
    struct gossip_effect *effect = push(gossip, GOSSIP_WANT);
    if (effect == NULL)
        return;
    effect->member = want->holder;
    effect->address = want->address;
    effect->record = want->record;
}

void effects_sync(struct gossip *gossip, const struct fm_node_id *node,
                  const struct gossip_address *address)
{
    fm_assert(!gossip_node_equal(node, &gossip->options.self));
    struct gossip_effect *effect = push(gossip, GOSSIP_SYNC);
    if (effect == NULL)
        return;
    effect->member = *node;
    effect->address = *address;
}

bool gossip_next_effect(struct gossip *gossip, struct gossip_effect *out)
{
    struct effects *effects = &gossip->effects;

    fm_assert(out != NULL);
    fm_assert(effects->next <= effects->count);
    if (effects->next == effects->count)
        return false;
    *out = effects->queue[effects->next++];
    return true;
}
