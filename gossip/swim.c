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
    compose_news_soon(gossip);
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
        compose_news_soon(gossip);
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

void swim_failed(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot != GOSSIP_SELF);
    fm_assert(slot < gossip->member_count);
    if (member->state == GOSSIP_ALIVE) {
        start_suspicion(gossip, slot, &gossip->options.self);
    } else if (member->state == GOSSIP_SUSPECT) {
        member->own_failed = true;
        member->contact = false;
        (void)add_accuser(gossip, slot, &gossip->options.self); /* Perhaps known. */
    }
}

void swim_answered(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot != GOSSIP_SELF);
    if (member->state == GOSSIP_SUSPECT) {
        member->contact = true;
        member->own_failed = false;
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
    if (accuse->incarnation != member->incarnation || !gossip_is_live(member))
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

/* ---- Time ---- */

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
}

fm_ms swim_deadline(const struct gossip *gossip)
{
    fm_ms at = FM_MS_NEVER;

    fm_assert(gossip->has_self);
    if (gossip->refuting)
        at = gossip->refute_at;
    for (uint32_t i = 0; i < gossip->suspect_count; i++)
        at = gossip_min_ms(at, gossip->members[gossip->suspects[i]].suspect_until);
    fm_assert(at >= 0);
    return at;
}
