#include "gossip/state.h"

#include "core/assert.h"

/* ---- Probes ---- */

static void probe_failed(struct gossip *gossip)
{
    const struct probe *probe = &gossip->probe;
    const struct member *member = &gossip->members[probe->target];

    fm_assert(gossip_node_equal(&member->node, &probe->node));
    fm_assert(member->incarnation == probe->target_incarnation);
    gossip->counters.probe_failures++;
    swim_failed(gossip, probe->target);
}

static uint32_t choose_target(struct gossip *gossip)
{
    fm_assert(gossip->priority_count <= GOSSIP_PRIORITY_MAX);
    while (gossip->priority_count > 0) {
        uint32_t slot = gossip->priority[0];
        gossip->priority_count--;
        memmove(gossip->priority, gossip->priority + 1,
                gossip->priority_count * sizeof *gossip->priority);
        if (gossip_is_live(&gossip->members[slot]) &&
            gossip_address_known(&gossip->members[slot].address))
            return slot;
    }
    return roster_next_to_probe(gossip);
}

static void probe_start(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    uint32_t slot = choose_target(gossip);

    fm_assert(!probe->active);
    if (slot == SLOTS_NONE)
        return;
    *probe = (struct probe){.target = slot,
                            .node = gossip->members[slot].node,
                            .incarnation = gossip->members[GOSSIP_SELF].incarnation,
                            .target_incarnation = gossip->members[slot].incarnation,
                            .sequence = gossip_new_sequence(gossip),
                            .sent_at = gossip->now};
    if (!compose_send_member(gossip, WIRE_PING, probe->sequence, slot))
        return;
    probe->active = true;
    gossip->counters.probes++;
}

static void probe_indirectly(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    uint32_t helpers[FM_FANOUT_MAX];

    fm_assert(probe->active && !probe->acked);
    probe->indirect_sent = true;
    uint32_t count = roster_pick(gossip, probe->target, gossip->options.indirect, helpers);
    for (uint32_t i = 0; i < count; i++) {
        const struct member *helper = &gossip->members[helpers[i]];
        const struct compose compose = {.kind = WIRE_PING_REQ,
                                        .sequence = probe->sequence,
                                        .address = helper->address,
                                        .node = helper->node,
                                        .slot = helpers[i],
                                        .target = &probe->node};
        if (compose_send(gossip, &compose))
            probe->helpers[probe->helper_count++] = helper->node;
    }
    fm_assert(probe->helper_count <= FM_FANOUT_MAX);
}

static void tick_round(struct gossip *gossip)
{
    struct probe *probe = &gossip->probe;
    const fm_ms period = gossip->options.probe_ms;

    if (probe->active && !probe->acked && !probe->indirect_sent &&
        gossip->now >= probe->sent_at + gossip->options.timeout_ms &&
        gossip->now < gossip->probe_at)
        probe_indirectly(gossip);
    if (gossip->now < gossip->probe_at)
        return;
    if (probe->active && !probe->acked)
        probe_failed(gossip);
    probe->active = false;
    probe_start(gossip);
    gossip->probe_at += period;
    if (gossip->probe_at <= gossip->now)
        gossip->probe_at = gossip->now + period;
    fm_assert(gossip->probe_at > gossip->now);
}

void probe_receive_ping_req(struct gossip *gossip, const struct fm_node_id *sender,
                            const struct gossip_address *from, uint32_t sequence,
                            const struct fm_node_id *target)
{
    uint32_t slot = roster_find(gossip, target);

    fm_assert(gossip->relay_next < GOSSIP_RELAYS_MAX);
    if (slot == SLOTS_NONE || slot == GOSSIP_SELF || gossip->members[slot].state == GOSSIP_LEFT ||
        !gossip_address_known(&gossip->members[slot].address))
        return;
    struct relay *relay = &gossip->relays[gossip->relay_next];
    gossip->relay_next = (gossip->relay_next + 1) % GOSSIP_RELAYS_MAX;
    *relay = (struct relay){.used = true,
                            .sequence = gossip_new_sequence(gossip),
                            .origin_sequence = sequence,
                            .origin = *from,
                            .origin_node = *sender,
                            .target = *target,
                            .expires = gossip->now + gossip->options.probe_ms};
    (void)compose_send_member(gossip, WIRE_PING, relay->sequence, slot); /* Counted when dropped. */
}

static void pass_on_ack(struct gossip *gossip, const struct fm_node_id *sender, uint32_t sequence)
{
    for (uint32_t i = 0; i < GOSSIP_RELAYS_MAX; i++) {
        struct relay *relay = &gossip->relays[i];
        if (!relay->used || relay->sequence != sequence ||
            !gossip_node_equal(&relay->target, sender))
            continue;
        uint32_t target = roster_find(gossip, sender);
        if (target != SLOTS_NONE)
            swim_answered(gossip, target);
        fm_assert(gossip_address_known(&relay->origin));
        relay->used = false;
        const struct compose compose = {.kind = WIRE_ACK,
                                        .sequence = relay->origin_sequence,
                                        .address = relay->origin,
                                        .node = relay->origin_node,
                                        .slot = roster_find(gossip, &relay->origin_node),
                                        .behalf = &relay->target};
        if (gossip->now <= relay->expires)
            (void)compose_send(gossip, &compose); /* Counted when dropped. */
        return;
    }
}

/* Noise only adds to a round trip: a probe that waited for a busy processor or in a queue tells
 * nothing of the way. So the least of the recent ones counts, as in the windowed minimum filter of
 * BBR's RTprop (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016,
 * section "Characterizing the Bottleneck"): one slow probe is forgotten at the next, and a way that
 * has grown longer is believed once all of them say so. It is advice to planners: what a probe
 * waits for an answer is the options' timeout, whatever was measured. */
static void note_round_trip(struct member *member, fm_ms sample)
{
    fm_assert(sample >= 0);
    member->round_trips[member->round_trip_count++ % GOSSIP_ROUND_TRIPS] =
        sample < UINT32_MAX ? (uint32_t)sample : UINT32_MAX;
}

fm_ms probe_round_trip(const struct member *member)
{
    fm_ms least = -1;

    for (uint32_t i = 0; i < GOSSIP_ROUND_TRIPS && i < member->round_trip_count; i++)
        if (least < 0 || member->round_trips[i] < least)
            least = member->round_trips[i];
    return least;
}

void probe_receive_ack(struct gossip *gossip, const struct fm_node_id *sender, uint32_t sequence,
                       const struct fm_node_id *behalf)
{
    struct probe *probe = &gossip->probe;

    if (!probe->active || probe->sequence != sequence) {
        if (behalf == NULL)
            pass_on_ack(gossip, sender, sequence);
        return;
    }
    bool direct = behalf == NULL && gossip_node_equal(sender, &probe->node);
    bool helped = false;
    for (uint32_t i = 0; behalf != NULL && i < probe->helper_count; i++)
        helped |= gossip_node_equal(&probe->helpers[i], sender) &&
                  gossip_node_equal(behalf, &probe->node);
    if (!direct && !helped)
        return;
    struct member *member = &gossip->members[probe->target];
    fm_assert(gossip_node_equal(&member->node, &probe->node));
    swim_answered(gossip, probe->target);
    if (direct && member->told < probe->incarnation)
        member->told = probe->incarnation;
    if (direct && !probe->acked)
        note_round_trip(member, gossip->now - probe->sent_at);
    probe->acked = true;
}

/* ---- The dead are asked again, at a falling rate: a partition heals by itself ---- */

static void tick_retries(struct gossip *gossip)
{
    uint32_t sent = 0;

    for (uint32_t i = 0; i < gossip->dead_count && sent < GOSSIP_RETRIES_PER_TICK; i++) {
        uint32_t slot = gossip->dead[(gossip->dead_cursor + i) % gossip->dead_count];
        struct member *member = &gossip->members[slot];
        fm_assert(member->state == GOSSIP_DEAD);
        if (member->retry_at > gossip->now)
            continue;
        if (gossip_address_known(&member->address)) {
            (void)compose_send_member(gossip, WIRE_PING, gossip_new_sequence(gossip), slot);
            sent++;
        }
        member->retry_ms = gossip_min_ms(2 * member->retry_ms, GOSSIP_RETRY_MS_MAX);
        /* Spread widely: after a cut all died at once, and some should be asked at any time. */
        uint32_t spread =
            gossip_random_below(&gossip->random, (uint32_t)member->retry_ms / 4 * 3 + 1);
        member->retry_at = gossip->now + member->retry_ms - (fm_ms)spread;
    }
    if (gossip->dead_count > 0)
        gossip->dead_cursor = (gossip->dead_cursor + sent) % gossip->dead_count;
}

void probe_heard_from(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];
    const fm_ms probe = gossip->options.probe_ms;

    fm_assert(slot != GOSSIP_SELF);
    if (member->state != GOSSIP_DEAD)
        return;
    member->retry_ms = probe;
    member->retry_at = gossip_min_ms(member->retry_at, gossip->now + probe / 2);
}

void probe_hurry_retries(struct gossip *gossip)
{
    const fm_ms probe = gossip->options.probe_ms;
    uint32_t spread = (uint32_t)probe * (1 + gossip->dead_count / 8);

    fm_assert(spread > 0);
    for (uint32_t i = 0; i < gossip->dead_count; i++) {
        struct member *member = &gossip->members[gossip->dead[i]];
        fm_assert(member->state == GOSSIP_DEAD);
        fm_ms at = gossip->now + (fm_ms)gossip_random_below(&gossip->random, spread);
        member->retry_ms = probe;
        member->retry_at = gossip_min_ms(member->retry_at, at);
    }
}

/* ---- Time ---- */

void probe_tick(struct gossip *gossip)
{
    fm_assert(gossip->has_self);
    fm_assert(!gossip->leaving);
    tick_round(gossip);
    tick_retries(gossip);
}

fm_ms probe_deadline(const struct gossip *gossip)
{
    const struct probe *probe = &gossip->probe;
    fm_ms at = gossip->probe_at;

    fm_assert(gossip->has_self);
    if (probe->active && !probe->acked && !probe->indirect_sent)
        at = gossip_min_ms(at, probe->sent_at + gossip->options.timeout_ms);
    for (uint32_t i = 0; i < gossip->dead_count; i++)
        at = gossip_min_ms(at, gossip->members[gossip->dead[i]].retry_at);
    fm_assert(at < FM_MS_NEVER);
    return at;
}
