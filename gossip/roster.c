#include "gossip/state.h"

#include "core/assert.h"

/* States of a member as one node sees it. Only a signed record of the member's own leads to ALIVE
 * (but for a suspicion that came to nothing) or LEFT; SUSPECT and DEAD hold for one incarnation.
 *
 *            record                  probe failed, accused            verdict
 *   (new) ------------> ALIVE -----------------------------> SUSPECT --------> DEAD
 *     |                 ^ | ^ <-- record, or it answered -------'               |
 *     | record          | | '------------------- record ------------------------'
 *     '------> LEFT <---+-'                (LEFT is reached from every state)
 */
#define STATE_COUNT 5
static const bool allowed[STATE_COUNT][STATE_COUNT] = {
    [0] = {[GOSSIP_ALIVE] = true, [GOSSIP_LEFT] = true},
    [GOSSIP_ALIVE] = {[GOSSIP_ALIVE] = true, [GOSSIP_SUSPECT] = true, [GOSSIP_LEFT] = true},
    [GOSSIP_SUSPECT] = {[GOSSIP_ALIVE] = true, [GOSSIP_DEAD] = true, [GOSSIP_LEFT] = true},
    [GOSSIP_DEAD] = {[GOSSIP_ALIVE] = true, [GOSSIP_LEFT] = true},
    [GOSSIP_LEFT] = {[GOSSIP_ALIVE] = true, [GOSSIP_LEFT] = true},
};

/* Node ids are random. */
static uint32_t node_hash(const struct fm_node_id *node)
{
    return (uint32_t)fm_load64(node->bytes) ^ (uint32_t)(fm_load64(node->bytes + 8) >> 32);
}

static uint32_t envelope_hash(const struct fm_hash *hash)
{
    return fm_load32(hash->bytes);
}

/* See struct wire_digest. */
static uint64_t member_term(const struct fm_node_id *node, uint64_t incarnation, uint8_t state)
{
    uint8_t bytes[25];
    struct fm_hash hash;

    memcpy(bytes, node->bytes, 16);
    fm_store64(bytes + 16, incarnation);
    bytes[24] = state;
    fm_sha256_one(&hash, fm_span(bytes, sizeof bytes));
    return fm_load64(hash.bytes);
}

uint32_t roster_find(const struct gossip *gossip, const struct fm_node_id *node)
{
    uint32_t hash = node_hash(node);
    uint32_t step = 0;
    uint32_t slot;

    while ((slot = slots_candidate(&gossip->member_slots, hash, &step)) != SLOTS_NONE) {
        fm_assert(slot < gossip->member_count);
        if (gossip_node_equal(&gossip->members[slot].node, node))
            return slot;
    }
    return SLOTS_NONE;
}

uint32_t roster_find_envelope(const struct gossip *gossip, const struct fm_hash *hash)
{
    uint32_t step = 0;
    uint32_t slot;

    while ((slot = slots_candidate(&gossip->envelope_slots, envelope_hash(hash), &step)) !=
           SLOTS_NONE) {
        fm_assert(slot < gossip->member_count);
        if (fm_hash_equal(&gossip->members[slot].hash, hash))
            return slot;
    }
    return SLOTS_NONE;
}

/* ---- Lists by state ---- */

static void list_add(uint32_t *list, uint32_t *count, struct gossip *gossip, uint32_t slot)
{
    fm_assert(*count < gossip->options.member_max);
    gossip->members[slot].list_at = *count;
    list[(*count)++] = slot;
}

static void list_remove(uint32_t *list, uint32_t *count, struct gossip *gossip, uint32_t slot)
{
    uint32_t at = gossip->members[slot].list_at;

    fm_assert(at < *count);
    fm_assert(list[at] == slot);
    list[at] = list[--(*count)];
    gossip->members[list[at]].list_at = at;
}

/* New members get a random place in what is left of the round, so that a joining crowd is not
 * probed in the same order everywhere (SWIM, section 4.3). */
static void order_insert(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot != GOSSIP_SELF);
    if (member->in_order)
        return;
    fm_assert(gossip->order_count < gossip->options.member_max);
    fm_assert(gossip->order_next <= gossip->order_count);
    uint32_t places = gossip->order_count - gossip->order_next + 1;
    uint32_t at = gossip->order_next + gossip_random_below(&gossip->random, places);
    gossip->order[gossip->order_count] = gossip->order[at];
    gossip->order[at] = slot;
    gossip->order_count++;
    member->in_order = true;
}

static void leave_lists(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    if (member->state == GOSSIP_SUSPECT)
        list_remove(gossip->suspects, &gossip->suspect_count, gossip, slot);
    if (member->state == GOSSIP_DEAD) {
        list_remove(gossip->dead, &gossip->dead_count, gossip, slot);
        gossip->verdicts_sum -= member_term(&member->node, member->incarnation, GOSSIP_DEAD);
    }
    if (gossip_is_live(member)) {
        fm_assert(gossip->live_count > 0);
        gossip->live_count--;
    }
}

void roster_set_state(struct gossip *gossip, uint32_t slot, enum gossip_state state)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot < gossip->member_count);
    fm_assert(slot != GOSSIP_SELF);
    fm_assert(allowed[member->state][state]);
    leave_lists(gossip, slot);
    if (member->state != state)
        member->since = gossip->now;
    member->state = state;
    if (state == GOSSIP_SUSPECT)
        list_add(gossip->suspects, &gossip->suspect_count, gossip, slot);
    if (state == GOSSIP_DEAD) {
        list_add(gossip->dead, &gossip->dead_count, gossip, slot);
        gossip->verdicts_sum += member_term(&member->node, member->incarnation, GOSSIP_DEAD);
    }
    if (gossip_is_live(member)) {
        gossip->live_count++;
        order_insert(gossip, slot);
    } else if (gossip->live_count == 0) {
        join_alone(gossip);
    }
    effects_member(gossip, member);
}

/* ---- Whom to probe or tell ---- */

static void order_remove_at(struct gossip *gossip, uint32_t at)
{
    fm_assert(at < gossip->order_count);
    gossip->members[gossip->order[at]].in_order = false;
    gossip->order[at] = gossip->order[--gossip->order_count];
    if (gossip->order_next > gossip->order_count)
        gossip->order_next = gossip->order_count;
}

static void order_shuffle(struct gossip *gossip)
{
    fm_assert(gossip->order_next == gossip->order_count);
    for (uint32_t i = gossip->order_count; i > 1; i--) {
        uint32_t j = gossip_random_below(&gossip->random, i);
        uint32_t slot = gossip->order[i - 1];
        gossip->order[i - 1] = gossip->order[j];
        gossip->order[j] = slot;
    }
    gossip->order_next = 0;
}

uint32_t roster_next_to_probe(struct gossip *gossip)
{
    uint32_t passed = 0; /* Members without an address. */

    while (gossip->order_count > 0 && passed <= gossip->order_count) {
        fm_assert(gossip->order_next <= gossip->order_count);
        if (gossip->order_next == gossip->order_count)
            order_shuffle(gossip);
        uint32_t slot = gossip->order[gossip->order_next];
        const struct member *member = &gossip->members[slot];
        if (!gossip_is_live(member)) {
            order_remove_at(gossip, gossip->order_next);
            continue;
        }
        gossip->order_next++;
        if (gossip_address_known(&member->address))
            return slot;
        passed++;
    }
    return SLOTS_NONE;
}

uint32_t roster_pick(struct gossip *gossip, uint32_t except, uint32_t count, uint32_t *out)
{
    uint32_t picked = 0;

    fm_assert(count <= FM_FANOUT_MAX);
    if (gossip->order_count == 0)
        return 0;
    uint32_t start = gossip_random_below(&gossip->random, gossip->order_count);
    for (uint32_t i = 0; i < gossip->order_count && picked < count; i++) {
        uint32_t slot = gossip->order[(start + i) % gossip->order_count];
        const struct member *member = &gossip->members[slot];
        if (slot != except && gossip_is_live(member) && gossip_address_known(&member->address))
            out[picked++] = slot;
    }
    fm_assert(picked <= count);
    return picked;
}

void roster_saw_address(struct gossip *gossip, uint32_t slot, const struct gossip_address *from)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot < gossip->member_count);
    if (slot != GOSSIP_SELF && member->address_learnt && gossip_address_known(from))
        member->address = *from;
}

/* ---- Records ---- */

static void forget_slot(struct gossip *gossip, uint32_t slot)
{
    struct member *member = &gossip->members[slot];

    fm_assert(slot != GOSSIP_SELF);
    fm_assert(!gossip_is_live(member));
    leave_lists(gossip, slot);
    for (uint32_t i = 0; member->in_order && i < gossip->order_count; i++) {
        if (gossip->order[i] == slot)
            order_remove_at(gossip, i);
    }
    fm_assert(!member->in_order);
    swim_forget(gossip, slot);
    rumours_drop(&gossip->member_news, slot);
    gossip->members_sum -= member->term;
    slots_remove(&gossip->member_slots, node_hash(&member->node), slot);
    slots_remove(&gossip->envelope_slots, envelope_hash(&member->hash), slot);
    *member = (struct member){0};
}

/* A slot for a newcomer; when all are taken that of the member that is dead, or else left, for the
 * longest time. SLOTS_NONE when all others are alive. */
static uint32_t take_slot(struct gossip *gossip)
{
    uint32_t oldest = SLOTS_NONE;

    fm_assert(gossip->member_count <= gossip->options.member_max);
    if (gossip->member_count < gossip->options.member_max)
        return gossip->member_count++;
    for (uint32_t i = 1; i < gossip->member_count; i++) {
        const struct member *member = &gossip->members[i];
        if (gossip_is_live(member))
            continue;
        const struct member *than = oldest == SLOTS_NONE ? NULL : &gossip->members[oldest];
        if (than == NULL || (member->state == GOSSIP_DEAD && than->state == GOSSIP_LEFT) ||
            (member->state == than->state && member->since < than->since))
            oldest = i;
    }
    if (oldest != SLOTS_NONE)
        forget_slot(gossip, oldest);
    return oldest;
}

void roster_store(struct gossip *gossip, uint32_t slot, const struct fm_member_record *record,
                  struct fm_span envelope, const struct fm_hash *hash)
{
    struct member *member = &gossip->members[slot];
    uint64_t before = member->incarnation;

    fm_assert(envelope.len > 0);
    fm_assert(envelope.len <= WIRE_ENVELOPE_BYTES_MAX);
    if (member->envelope_bytes > 0)
        slots_remove(&gossip->envelope_slots, envelope_hash(&member->hash), slot);
    slots_add(&gossip->envelope_slots, envelope_hash(hash), slot);
    member->hash = *hash;
    member->incarnation = record->incarnation;
    member->claim = record->claim;
    member->envelope_bytes = (uint16_t)envelope.len;
    memcpy(member->envelope, envelope.data, envelope.len);
    struct gossip_address address;
    bool numeric = gossip_address_parse(record->address, &address) == FM_OK;
    if (numeric)
        member->address = address;
    else if (!member->address_learnt)
        member->address = (struct gossip_address){0};
    member->address_learnt = !numeric;
    /* A verdict is about one incarnation; roster_set_state() is to take back the right one. */
    if (member->state == GOSSIP_DEAD) {
        gossip->verdicts_sum -= member_term(&member->node, before, GOSSIP_DEAD);
        gossip->verdicts_sum += member_term(&member->node, record->incarnation, GOSSIP_DEAD);
    }
    gossip->members_sum -= member->term;
    member->term = member_term(&member->node, member->incarnation, (uint8_t)record->claim);
    gossip->members_sum += member->term;
    gossip->changed_at = gossip->now;
}

enum fm_status roster_add(struct gossip *gossip, const struct fm_node_id *node, uint32_t *out)
{
    uint32_t slot = take_slot(gossip);

    if (slot == SLOTS_NONE)
        return FM_LIMIT;
    fm_assert(slot != GOSSIP_SELF);
    gossip->members[slot] = (struct member){.node = *node, .differs_since = -1};
    gossip->members[slot].since = gossip->now;
    slots_add(&gossip->member_slots, node_hash(node), slot);
    *out = slot;
    return FM_OK;
}

void roster_add_self(struct gossip *gossip)
{
    fm_assert(gossip->member_count == 1);
    fm_assert(gossip->member_slots.count == 0);
    slots_add(&gossip->member_slots, node_hash(&gossip->options.self), GOSSIP_SELF);
}
