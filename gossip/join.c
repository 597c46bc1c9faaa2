#include "gossip/state.h"

#include "core/assert.h"

#define QUIET_UNIT_MS 10

/* ---- Seeds: asked until each has answered once, and all of them again while nobody else is
 * alive, for ever: how a mesh comes together, and comes together again, must not depend on the
 * order in which its nodes start. ---- */

static bool is_alone(const struct gossip *gossip)
{
    return gossip->live_count == 0;
}

static bool is_asked(const struct gossip *gossip, const struct seed *seed)
{
    if (seed->is_self)
        return false;
    return !seed->answered || is_alone(gossip);
}

/* Addresses given before stay: names may have been resolved anew, and saved members may have been
 * given first. When there is no room one that has answered goes, or else the one asked most. */
static void put_seed(struct gossip *gossip, const struct gossip_address *address)
{
    struct seed *place = &gossip->seeds[0];

    fm_assert(gossip->seed_count <= FM_SEEDS_MAX);
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        struct seed *seed = &gossip->seeds[i];
        if (gossip_address_equal(&seed->address, address)) {
            seed->next_at = gossip->now;
            seed->interval = GOSSIP_JOIN_MS_MIN;
            return;
        }
        if (seed->answered > place->answered ||
            (seed->answered == place->answered && seed->interval > place->interval))
            place = seed;
    }
    if (gossip->seed_count < FM_SEEDS_MAX)
        place = &gossip->seeds[gossip->seed_count++];
    *place =
        (struct seed){.address = *address, .next_at = gossip->now, .interval = GOSSIP_JOIN_MS_MIN};
    fm_assert(gossip_address_known(&place->address));
}

enum fm_status gossip_join_seeds(struct gossip *gossip, const struct gossip_address *seeds,
                                 uint32_t count)
{
    fm_assert(count == 0 || seeds != NULL);
    if (count > FM_SEEDS_MAX)
        return FM_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        if ((seeds[i].family != 4 && seeds[i].family != 6) || seeds[i].port == 0)
            return FM_INVALID;
    }
    for (uint32_t i = 0; i < count; i++)
        put_seed(gossip, &seeds[i]);
    return FM_OK;
}

void join_alone(struct gossip *gossip)
{
    fm_assert(is_alone(gossip));
    fm_assert(gossip->seed_count <= FM_SEEDS_MAX);
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        struct seed *seed = &gossip->seeds[i];
        if (!seed->answered)
            continue;
        seed->interval = GOSSIP_JOIN_MS_MIN;
        seed->next_at = gossip->now + GOSSIP_JOIN_MS_MIN;
    }
}

static void ask(struct gossip *gossip, struct seed *seed)
{
    seed->sequence = gossip_new_sequence(gossip);
    const struct compose compose = {.kind = WIRE_JOIN,
                                    .sequence = seed->sequence,
                                    .address = seed->address,
                                    .slot = SLOTS_NONE};
    (void)compose_send(gossip, &compose); /* Counted when dropped; asked again anyway. */
    fm_assert(seed->interval > 0);
    seed->next_at = gossip->now + seed->interval;
    fm_ms most = is_alone(gossip) ? GOSSIP_JOIN_MS_MAX : GOSSIP_RETRY_MS_MAX;
    seed->interval = gossip_min_ms(2 * seed->interval, most);
}

void join_tick(struct gossip *gossip)
{
    uint32_t asked = 0;

    fm_assert(gossip->has_self);
    fm_assert(gossip->seed_count <= FM_SEEDS_MAX);
    for (uint32_t i = 0; i < gossip->seed_count && asked < GOSSIP_JOINS_PER_TICK; i++) {
        struct seed *seed = &gossip->seeds[(gossip->seed_cursor + i) % gossip->seed_count];
        if (gossip_address_equal(&seed->address, &gossip->members[GOSSIP_SELF].address))
            seed->is_self = true;
        if (!is_asked(gossip, seed) || seed->next_at > gossip->now)
            continue;
        ask(gossip, seed);
        asked++;
    }
    if (gossip->seed_count > 0)
        gossip->seed_cursor = (gossip->seed_cursor + asked) % gossip->seed_count;
}

fm_ms join_deadline(const struct gossip *gossip)
{
    fm_ms at = FM_MS_NEVER;

    fm_assert(gossip->seed_count <= FM_SEEDS_MAX);
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        if (is_asked(gossip, &gossip->seeds[i]))
            at = gossip_min_ms(at, gossip->seeds[i].next_at);
    }
    return at;
}

void join_receive_ack(struct gossip *gossip, const struct fm_node_id *sender,
                      const struct gossip_address *from, uint32_t sequence)
{
    fm_assert(gossip->seed_count <= FM_SEEDS_MAX);
    if (sequence == 0)
        return;
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        struct seed *seed = &gossip->seeds[i];
        if (seed->sequence != sequence)
            continue;
        seed->answered = true;
        seed->sequence = 0;
        join_sync(gossip, sender, from);
        return;
    }
}

void join_heard_self(struct gossip *gossip, const struct gossip_address *from)
{
    fm_assert(from != NULL);
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        if (gossip_address_equal(&gossip->seeds[i].address, from))
            gossip->seeds[i].is_self = true;
    }
}

/* ---- Comparing what two nodes know ---- */

void join_sync(struct gossip *gossip, const struct fm_node_id *node,
               const struct gossip_address *address)
{
    uint32_t slot = roster_find(gossip, node);
    const fm_ms probe = gossip->options.probe_ms;

    fm_assert(slot != GOSSIP_SELF);
    if (slot == SLOTS_NONE) {
        if (gossip->now < gossip->stranger_sync_at)
            return;
        gossip->stranger_sync_at = gossip->now + probe;
        effects_sync(gossip, node, address);
        return;
    }
    struct member *member = &gossip->members[slot];
    if (gossip->now < member->sync_at)
        return;
    member->sync_ms =
        member->sync_ms == 0 ? probe : gossip_min_ms(2 * member->sync_ms, GOSSIP_RETRY_MS_MAX);
    member->sync_at = gossip->now + member->sync_ms;
    const struct gossip_address *known =
        gossip_address_known(&member->address) ? &member->address : address;
    effects_sync(gossip, node, known);
    fm_assert(member->sync_at > gossip->now);
}

void join_digest(const struct gossip *gossip, struct wire_digest *out)
{
    fm_ms quiet = (gossip->now - gossip->changed_at) / QUIET_UNIT_MS;

    fm_assert(quiet >= 0);
    *out = (struct wire_digest){.members = gossip->members_sum,
                                .count = gossip->member_count - (gossip->has_self ? 0 : 1),
                                .verdicts = (uint32_t)gossip->verdicts_sum,
                                .quiet = quiet < UINT16_MAX ? (uint16_t)quiet : UINT16_MAX,
                                .kind_count = GOSSIP_RECORD_KIND_COUNT};
    for (uint32_t i = 0; i < GOSSIP_RECORD_KIND_COUNT; i++)
        out->kinds[i] = (uint32_t)gossip->kinds_sum[i];
}

/* Kinds that only one of the two knows are not compared. */
static bool kinds_differ(const struct gossip *gossip, const struct wire_digest *digest)
{
    fm_assert(digest->kind_count <= WIRE_RECORD_KINDS_MAX);
    for (uint32_t i = 0; i < digest->kind_count && i < GOSSIP_RECORD_KIND_COUNT; i++) {
        if (digest->kinds[i] != (uint32_t)gossip->kinds_sum[i])
            return true;
    }
    return false;
}

/* Lists are not equal. It means that something was missed once both sides had no news for a probe
 * period, which rumours need to arrive; where there is always news, once it lasted for four. */
static bool is_missed(const struct gossip *gossip, const struct member *member,
                      const struct wire_digest *digest)
{
    const fm_ms grace = gossip->options.probe_ms;

    fm_assert(member->differs_since <= gossip->now);
    fm_assert(gossip->changed_at <= gossip->now);
    if (gossip->now - gossip->changed_at >= grace && (fm_ms)digest->quiet * QUIET_UNIT_MS >= grace)
        return true;
    return gossip->now - member->differs_since >= 4 * grace;
}

/* Who lacks many members, or some for a while, as after a crowd joined, does not wait for rumours
 * to bring them one by one. */
static bool is_behind(struct gossip *gossip, const struct wire_digest *digest)
{
    const fm_ms grace = gossip->options.probe_ms / 2;
    uint32_t count = gossip->member_count;

    fm_assert(count > 0);
    if (digest->count <= count) {
        gossip->behind_since = -1;
        return false;
    }
    if (gossip->behind_since < 0)
        gossip->behind_since = gossip->now;
    fm_assert(gossip->behind_since <= gossip->now);
    if (gossip->now < gossip->catch_up_at)
        return false;
    if (digest->count - count <= count / 8 + 1 && gossip->now - gossip->behind_since < grace)
        return false;
    gossip->catch_up_at = gossip->now + grace;
    return true;
}

void join_receive_digest(struct gossip *gossip, const struct fm_node_id *sender,
                         const struct gossip_address *from, const struct wire_digest *digest)
{
    uint32_t slot = roster_find(gossip, sender);
    const uint32_t limit = gossip_send_limit(gossip);

    fm_assert(slot != GOSSIP_SELF);
    if (slot == SLOTS_NONE || !gossip->has_self)
        return;
    struct member *member = &gossip->members[slot];
    bool members_differ = digest->members != gossip->members_sum;
    bool records_differ = kinds_differ(gossip, digest);
    member->tell_verdicts = digest->verdicts != (uint32_t)gossip->verdicts_sum;
    if (!members_differ) {
        member->told = gossip->members[GOSSIP_SELF].incarnation;
        rumours_heard_all(&gossip->member_news, RUMOURS_HEARD_MAX, limit);
    }
    if (!records_differ)
        rumours_heard_all(&gossip->record_news, RUMOURS_HEARD_MAX, limit);
    bool behind = is_behind(gossip, digest);
    if (!members_differ && !records_differ) {
        member->differs_since = -1;
        member->sync_ms = 0;
        return;
    }
    if (member->differs_since < 0)
        member->differs_since = gossip->now;
    if (behind || is_missed(gossip, member, digest))
        join_sync(gossip, sender, from);
}
