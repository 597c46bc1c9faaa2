#include "core/assert.h"
#include "gossip/state.h"

/* A hash of what the next steps depend on, field by field: padding bytes have no value. */

static void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    *hash ^= *hash >> 29;
}

static void mix_bytes(uint64_t *hash, const uint8_t *bytes, size_t len)
{
    fm_assert(len % 8 == 0);
    for (size_t i = 0; i < len; i += 8)
        mix(hash, fm_load64(bytes + i));
}

static void mix_address(uint64_t *hash, const struct gossip_address *address)
{
    mix_bytes(hash, address->bytes, sizeof address->bytes);
    mix(hash, ((uint64_t)address->family << 16) | address->port);
}

static void mix_member(uint64_t *hash, const struct member *member)
{
    fm_assert(member->accuser_count <= GOSSIP_ACCUSERS_MAX);
    mix_bytes(hash, member->node.bytes, sizeof member->node.bytes);
    mix_bytes(hash, member->hash.bytes, sizeof member->hash.bytes);
    mix_address(hash, &member->address);
    mix(hash, ((uint64_t)member->state << 8) | (uint64_t)member->claim);
    mix(hash, member->incarnation);
    mix(hash, member->told);
    mix(hash, (uint64_t)member->since);
    mix(hash, member->round_trip_count);
    for (uint32_t i = 0; i < GOSSIP_ROUND_TRIPS; i++)
        mix(hash, member->round_trips[i]);
    mix(hash, (uint64_t)member->suspect_until);
    mix(hash, (uint64_t)member->retry_at);
    mix(hash, (uint64_t)member->sync_at);
    mix(hash, (uint64_t)member->differs_since);
    mix(hash, (uint64_t)(member->tell | member->tell_verdicts << 1 | member->in_order << 2 |
                         member->own_failed << 3 | member->contact << 4));
    for (uint32_t i = 0; i < member->accuser_count; i++)
        mix_bytes(hash, member->accusers[i].bytes, sizeof member->accusers[i].bytes);
}

static void mix_rumours(uint64_t *hash, const struct rumours *rumours)
{
    fm_assert(rumours->count <= rumours->capacity);
    mix(hash, rumours->count);
    for (uint32_t slot = rumours_first(rumours); slot != RUMOURS_NONE;
         slot = rumours_next(rumours, slot))
        mix(hash, ((uint64_t)rumours->links[slot].sends << 32) | slot);
}

static void mix_list(uint64_t *hash, const uint32_t *list, uint32_t count)
{
    fm_assert(list != NULL);
    mix(hash, count);
    for (uint32_t i = 0; i < count; i++)
        mix(hash, list[i]);
}

static void mix_catalog(uint64_t *hash, const struct gossip *gossip)
{
    uint32_t used = 0;

    fm_assert(gossip->record_count <= gossip->options.record_max);
    for (uint32_t i = 0; i < gossip->record_count; i++) {
        mix(hash, gossip->records[i].term);
        mix(hash, gossip->records[i].conflict);
    }
    for (uint32_t i = 0; i < GOSSIP_WANTS_MAX; i++) {
        const struct want *want = &gossip->wants[i];
        if (!want->used)
            continue;
        used++;
        mix_bytes(hash, want->record.hash.bytes, sizeof want->record.hash.bytes);
        mix_bytes(hash, want->holder.bytes, sizeof want->holder.bytes);
        mix(hash, (uint64_t)want->next_at);
    }
    fm_assert(used == gossip->want_count);
}

uint64_t gossip_state_hash(const struct gossip *gossip)
{
    uint64_t hash = 0;

    fm_assert(gossip != NULL);
    mix(&hash, gossip->random.state);
    mix(&hash, (uint64_t)gossip->now);
    mix(&hash, (uint64_t)gossip->deadline);
    mix(&hash, (uint64_t)(gossip->has_self | gossip->leaving << 1 | gossip->heard << 2 |
                          gossip->refuting << 3));
    for (uint32_t i = 0; i < gossip->member_count; i++)
        mix_member(&hash, &gossip->members[i]);
    mix_list(&hash, gossip->order, gossip->order_count);
    mix_list(&hash, gossip->suspects, gossip->suspect_count);
    mix_list(&hash, gossip->dead, gossip->dead_count);
    mix_list(&hash, gossip->priority, gossip->priority_count);
    mix(&hash, gossip->order_next);
    mix_rumours(&hash, &gossip->member_news);
    mix_rumours(&hash, &gossip->accusations);
    mix_rumours(&hash, &gossip->record_news);
    mix_catalog(&hash, gossip);
    for (uint32_t i = 0; i < gossip->seed_count; i++) {
        mix_address(&hash, &gossip->seeds[i].address);
        mix(&hash, (uint64_t)gossip->seeds[i].next_at);
        mix(&hash, (uint64_t)gossip->seeds[i].answered);
    }
    mix(&hash, gossip->aside_stamp);
    mix(&hash, (uint64_t)gossip->probe.active << 32 | gossip->probe.sequence);
    mix(&hash, (uint64_t)gossip->probe_at);
    mix(&hash, (uint64_t)gossip->news_at);
    return hash;
}
