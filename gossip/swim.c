#include "gossip/state.h"

#include "core/assert.h"

static uint32_t log2_floor(uint32_t n)
{
    fm_assert(n > 0);
    return 31u - (uint32_t)__builtin_clz(n);
}

uint32_t gossip_send_limit(const struct gossip *gossip)
{
    uint32_t limit = 3 * (log2_floor(gossip->live_count + 1) + 1);

    fm_assert(limit > 0);
    fm_assert(limit < RUMOURS_SENDS_MAX);
    return limit;
}

static bool is_live(const struct member *member)
{
    return member->state == GOSSIP_ALIVE || member->state == GOSSIP_SUSPECT;
}

static uint32_t new_sequence(struct gossip *gossip)
{
    return (uint32_t)gossip_random_next(&gossip->random) | 1u; /* 0: none. */
}

/* ---- Suspicion ---- */

/* Lifeguard's dynamic timeout in integers: starts at mult * log2(n) periods and shrinks by as much
 * for each further accuser, down to a quarter of that. Where nobody else could confirm it begins
 * at the least. */
static fm_ms suspicion_ms(const struct gossip *gossip, uint32_t accusers)
{
    const fm_ms probe = gossip->options.probe_ms;
    uint32_t log = log2_floor(gossip->live_count + 1);

    fm_assert(accusers > 0);
    fm_ms most = (fm_ms)gossip->options.suspicion_mult * (log > 0 ? log : 1) * probe;
    fm_ms least = gossip_max_ms(most / 4, 2 * probe);
    most = gossip_max_ms(most, least);
    /* Others that are neither the suspect nor the first accuser. */
    uint32_t others = gossip->live_count > 1 ? gossip->live_count - 1 : 0;
    uint32_t needed = others < GOSSIP_ACCUSERS_MAX - 1 ? others : GOSSIP_ACCUSERS_MAX - 1;
    uint32_t confirmed = accusers - 1 < needed ? accusers - 1 : needed;
    return needed == 0 ? least : most - (most - least) * confirmed / needed;
}

static void prioritise(struct gossip *gossip, uint32_t slot)
{
    fm_assert(gossip->priority_count <= GOSSIP_PRIORITY_MAX);
    for (uint32_t i = 0; i < gossip->priority_count; i++) {
        if (gossip->priority[i] == slot)
            return;
    }
    if (gossip->priority_count < GOSSIP_PRIORITY_MAX) /* Else its turn comes anyway. */
        gossip->priority[gossip->priority_count++] = slot;
}

static bool add_accuser(struct gossip *gossip, uint32_t slot, const struct fm_node_id *accuser)
{
    struct member *member = &gossip->members[slot];

    fm_assert(member->accuser_count <= GOSSIP_ACCUSERS_MAX);
    for (uint32_t i = 0; i < member->accuser_count; i++) {
        if (gossip_node_equal(&member->accusers[i], accuser))
            return false;
    }
    if (member->accuser_count == GOSSIP_ACCUSERS_MAX)
        return false;
    member->accusers[member->accuser_count++] = *accuser;
    fm_ms until = member->since + suspicion_ms(gossip, member->accuser_count);
    member->suspect_until =
        member->accuser_count == 1 ? until : gossip_min_ms(member->suspect_until, until);
    rumours_push(&gossip->accusations, slot, 0);
    swim_news_soon(gossip);
    return true;
}

/* Tell the suspect first (Lifeguard's buddy system): a packet to a suspect begins with what it is
 * accused of. After hearsay only some do, and look for themselves, so that a large mesh does not
 * bury one node. */
static void start_suspicion(struct gossip *gossip, uint32_t slot, const struct fm_node_id *accuser)
{
    bool own = gossip_node_equal(accuser, &gossip->options.self);
    struct member *member = &gossip->members[slot];

    fm_assert(member->state == GOSSIP_ALIVE);
    fm_assert(member->accuser_count == 0);
    roster_set_state(gossip, slot, GOSSIP_SUSPECT);
    member->own_failed = own;
    member->contact = false;
    bool added = add_accuser(gossip, slot, accuser);
    fm_assert(added);
    gossip->counters.suspicions++;
    if (!own) {
        if (gossip_random_below(&gossip->random, gossip->live_count) >= GOSSIP_HEARSAY_PROBERS)
            return;
        prioritise(gossip, slot);
    }
    if (gossip_address_known(&member->address))
        (void)compose_send_member(gossip, WIRE_NEWS, 0, slot); /* Extra; pings say it too. */
}

static void clear_suspicion(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot < gossip->member_count);
    fm_assert(slot != GOSSIP_SELF);
    member->own_failed = false;
    member->contact = false;
    member->accuser_count = 0;
    rumours_drop(&gossip->accusations, slot);
}

/* The time of a suspicion is over. Dead needs an own failed probe or two accusers, and no answer
 * since: one liar cannot remove a node that others reach. */
static void judge(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(member->state == GOSSIP_SUSPECT);
    fm_assert(member->accuser_count > 0);
    if (member->contact) {
        clear_suspicion(gossip, slot);
        roster_set_state(gossip, slot, GOSSIP_ALIVE);
    } else if (member->own_failed || member->accuser_count >= 2) {
        gossip->counters.deaths++;
        member->retry_ms = gossip->options.probe_ms;
        member->retry_at = gossip->now + member->retry_ms;
        roster_set_state(gossip, slot, GOSSIP_DEAD);
        rumours_push(&gossip->accusations, slot, 0);
        swim_news_soon(gossip);
    } else {
        member->suspect_until = gossip->now + gossip->options.probe_ms;
        prioritise(gossip, slot);
    }
}

static void tick_suspects(struct gossip *gossip)
{
    uint32_t verdicts = 0;

    fm_assert(gossip->suspect_count <= gossip->live_count);
    for (uint32_t i = gossip->suspect_count; i > 0 && verdicts < GOSSIP_VERDICTS_PER_TICK; i--) {
        uint32_t slot = gossip->suspects[i - 1]; /* Backwards: a verdict moves the last one here. */
        if (gossip->members[slot].suspect_until > gossip->now)
            continue;
        judge(gossip, slot);
        verdicts++;
    }
}

void swim_receive_accuse(struct gossip *gossip, const struct fm_node_id *sender,
                         const struct wire_accuse *accuse)
{
    uint32_t slot = roster_find(gossip, &accuse->accused);
    uint32_t accuser = roster_find(gossip, &accuse->accuser);

    fm_assert(accuse->state == GOSSIP_SUSPECT || accuse->state == GOSSIP_DEAD);
    if (slot == SLOTS_NONE || gossip_node_equal(&accuse->accused, &accuse->accuser))
        return;
    struct member *member = &gossip->members[slot];
    if (slot == GOSSIP_SELF) {
        uint32_t from = roster_find(gossip, sender);
        if (gossip->has_self && accuse->incarnation == member->incarnation)
            swim_refute(gossip, accuse->incarnation, sender);
        else if (accuse->incarnation < member->incarnation && from != SLOTS_NONE)
            gossip->members[from].told = 0; /* It does not know the present record. */
        return;
    }
    /* Accusers are members; what this node thinks it has said itself. */
    if (accuser == SLOTS_NONE || accuser == GOSSIP_SELF ||
        gossip->members[accuser].state == GOSSIP_LEFT)
        return;
    if (accuse->incarnation != member->incarnation || !is_live(member))
        return;
    if (member->state == GOSSIP_ALIVE)
        start_suspicion(gossip, slot, &accuse->accuser);
    else if (!add_accuser(gossip, slot, &accuse->accuser))
        rumours_heard(&gossip->accusations, slot, gossip_send_limit(gossip));
    if (accuse->state == GOSSIP_DEAD)
        member->suspect_until =
            gossip_min_ms(member->suspect_until, gossip->now + 2 * gossip->options.probe_ms);
}

void swim_accusation(const struct gossip *gossip, uint32_t slot, uint32_t turn,
                     struct wire_accuse *out)
{
    const struct member *member = &gossip->members[slot];

    fm_assert(member->state == GOSSIP_SUSPECT || member->state == GOSSIP_DEAD);
    fm_assert(member->accuser_count > 0);
    out->state = member->state;
    out->accused = member->node;
    out->incarnation = member->incarnation;
    out->accuser = member->accusers[turn % member->accuser_count];
    if (member->own_failed && turn % 2 == 0)
        out->accuser = gossip->options.self;
}

void swim_forget(struct gossip *gossip, uint32_t slot)
{
    clear_suspicion(gossip, slot);
    for (uint32_t i = 0; i < gossip->priority_count; i++) {
        if (gossip->priority[i] == slot)
            gossip->priority[i--] = gossip->priority[--gossip->priority_count];
    }
    fm_assert(gossip->priority_count <= GOSSIP_PRIORITY_MAX);
    if (gossip->probe.active && gossip->probe.target == slot)
        gossip->probe.active = false;
}

/* ---- Refutation ---- */

static void remember_doubter(struct gossip *gossip, const struct fm_node_id *sender)
{
    fm_assert(gossip->refute_to_count <= GOSSIP_ACCUSERS_MAX);
    for (uint32_t i = 0; i < gossip->refute_to_count; i++) {
        if (gossip_node_equal(&gossip->refute_to[i], sender))
            return;
    }
    if (gossip->refute_to_count < GOSSIP_ACCUSERS_MAX) /* Else rumours reach it. */
        gossip->refute_to[gossip->refute_to_count++] = *sender;
}

/* The doubter may be thought dead here, so that rumours do not go there: two sides of a healed
 * partition would wait for the next retry. */
void swim_refuted(struct gossip *gossip)
{
    fm_assert(gossip->has_self);
    if (gossip->members[GOSSIP_SELF].incarnation <= gossip->refute_above)
        return;
    gossip->refuting = false;
    for (uint32_t i = 0; i < gossip->refute_to_count; i++) {
        uint32_t slot = roster_find(gossip, &gossip->refute_to[i]);
        fm_assert(slot != GOSSIP_SELF);
        if (slot != SLOTS_NONE && gossip_address_known(&gossip->members[slot].address))
            (void)compose_send_member(gossip, WIRE_NEWS, 0, slot); /* Counted when dropped. */
    }
    gossip->refute_to_count = 0;
}

void swim_refute(struct gossip *gossip, uint64_t incarnation, const struct fm_node_id *sender)
{
    fm_assert(gossip->has_self);
    fm_assert(incarnation >= gossip->members[GOSSIP_SELF].incarnation);
    if (gossip->leaving || incarnation == UINT64_MAX)
        return;
    if (!gossip->refuting || incarnation > gossip->refute_above)
        gossip->refute_above = incarnation;
    gossip->refuting = true;
    if (sender != NULL)
        remember_doubter(gossip, sender);
    if (gossip->now < gossip->refute_at)
        return; /* The tick does it. */
    gossip->refute_at = gossip->now + gossip_max_ms(gossip->options.probe_ms / 4, 1);
    gossip->counters.refutations++;
    effects_refute(gossip, gossip->refute_above);
}

/* ---- Probes ---- */

static void probe_failed(struct gossip *gossip)
{
    const struct probe *probe = &gossip->probe;
    struct member *member = &gossip->members[probe->target];

    fm_assert(gossip_node_equal(&member->node, &probe->node));
    fm_assert(member->incarnation == probe->target_incarnation);
    gossip->counters.probe_failures++;
    if (member->state == GOSSIP_ALIVE) {
        start_suspicion(gossip, probe->target, &gossip->options.self);
    } else if (member->state == GOSSIP_SUSPECT) {
        member->own_failed = true;
        member->contact = false;
        (void)add_accuser(gossip, probe->target, &gossip->options.self); /* Perhaps known. */
    }
}

static uint32_t choose_target(struct gossip *gossip)
{
    fm_assert(gossip->priority_count <= GOSSIP_PRIORITY_MAX);
    while (gossip->priority_count > 0) {
        uint32_t slot = gossip->priority[0];
        gossip->priority_count--;
        memmove(gossip->priority, gossip->priority + 1,
                gossip->priority_count * sizeof *gossip->priority);
        if (is_live(&gossip->members[slot]) && gossip_address_known(&gossip->members[slot].address))
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
                            .sequence = new_sequence(gossip),
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

static void tick_probe(struct gossip *gossip)
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

void swim_void_verdicts(struct gossip *gossip, fm_ms late_ms)
{
    fm_assert(late_ms > 0);
    gossip->probe.active = false;
    for (uint32_t i = 0; i < gossip->suspect_count; i++) {
        struct member *member = &gossip->members[gossip->suspects[i]];
        fm_assert(member->state == GOSSIP_SUSPECT);
        member->suspect_until += late_ms;
    }
}

void swim_receive_ping_req(struct gossip *gossip, const struct fm_node_id *sender,
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
                            .sequence = new_sequence(gossip),
                            .origin_sequence = sequence,
                            .origin = *from,
                            .origin_node = *sender,
                            .target = *target,
                            .expires = gossip->now + gossip->options.probe_ms};
    (void)compose_send_member(gossip, WIRE_PING, relay->sequence, slot); /* Counted when dropped. */
}

static void answered(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot != GOSSIP_SELF);
    if (member->state == GOSSIP_SUSPECT) {
        member->contact = true;
        member->own_failed = false;
    }
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
            answered(gossip, target);
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

void swim_receive_ack(struct gossip *gossip, const struct fm_node_id *sender, uint32_t sequence,
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
    answered(gossip, probe->target);
    if (direct && member->told < probe->incarnation)
        member->told = probe->incarnation;
    if (direct && !probe->acked) {
        fm_ms sample = gossip->now - probe->sent_at;
        fm_assert(sample >= 0);
        member->round_trip =
            member->round_trip < 0 ? sample : (7 * member->round_trip + sample + 4) / 8;
    }
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
            (void)compose_send_member(gossip, WIRE_PING, new_sequence(gossip), slot);
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

void swim_heard_from(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];
    const fm_ms probe = gossip->options.probe_ms;

    fm_assert(slot != GOSSIP_SELF);
    if (member->state != GOSSIP_DEAD)
        return;
    member->retry_ms = probe;
    member->retry_at = gossip_min_ms(member->retry_at, gossip->now + probe / 2);
}

void swim_hurry_retries(struct gossip *gossip)
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

/* ---- Rounds of news, only while there are any ---- */

static bool has_news(const struct gossip *gossip)
{
    return gossip->member_news.count + gossip->accusations.count + gossip->record_news.count > 0;
}

void swim_news_soon(struct gossip *gossip)
{
    uint32_t spread = (uint32_t)(gossip->options.probe_ms / 20) + 1;

    fm_assert(spread > 0);
    fm_assert(has_news(gossip));
    if (gossip->news_at > gossip->now + (fm_ms)spread)
        gossip->news_at = gossip->now + 1 + (fm_ms)gossip_random_below(&gossip->random, spread);
}

void swim_tick_news(struct gossip *gossip)
{
    uint32_t slots[FM_FANOUT_MAX];

    fm_assert(gossip->has_self);
    if (gossip->now < gossip->news_at)
        return;
    uint32_t count = roster_pick(gossip, SLOTS_NONE, GOSSIP_NEWS_FANOUT, slots);
    for (uint32_t i = 0; i < count && has_news(gossip); i++)
        (void)compose_send_member(gossip, WIRE_NEWS, 0, slots[i]); /* Counted when dropped. */
    bool more = has_news(gossip) && count > 0;
    gossip->news_at =
        more ? gossip->now + gossip_max_ms(gossip->options.probe_ms / 5, 1) : FM_MS_NEVER;
}

/* ---- Time ---- */

void swim_tick(struct gossip *gossip)
{
    fm_assert(gossip->has_self);
    fm_assert(!gossip->leaving);
    if (gossip->refuting && gossip->now >= gossip->refute_at) {
        fm_ms again = gossip->now + gossip->options.probe_ms;
        swim_refute(gossip, gossip->refute_above, NULL);
        gossip->refute_at = gossip_max_ms(gossip->refute_at, again);
    }
    tick_suspects(gossip);
    tick_probe(gossip);
    tick_retries(gossip);
}

fm_ms swim_deadline(const struct gossip *gossip)
{
    const struct probe *probe = &gossip->probe;
    fm_ms at = gossip->probe_at;

    fm_assert(gossip->has_self);
    if (probe->active && !probe->acked && !probe->indirect_sent)
        at = gossip_min_ms(at, probe->sent_at + gossip->options.timeout_ms);
    if (gossip->refuting)
        at = gossip_min_ms(at, gossip->refute_at);
    for (uint32_t i = 0; i < gossip->suspect_count; i++)
        at = gossip_min_ms(at, gossip->members[gossip->suspects[i]].suspect_until);
    for (uint32_t i = 0; i < gossip->dead_count; i++)
        at = gossip_min_ms(at, gossip->members[gossip->dead[i]].retry_at);
    fm_assert(at < FM_MS_NEVER);
    return at;
}
