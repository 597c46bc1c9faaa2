#include "gossip/gossip.h"

#include "core/assert.h"
#include "gossip/state.h"

#define PROBE_MS_DEFAULT 1000
#define TIMEOUT_MS_DEFAULT 400
#define INDIRECT_DEFAULT 3u
#define SUSPICION_MULT_DEFAULT 4u
#define PROBE_MS_MAX 3600000
#define SUSPICION_MULT_MAX 1000u

/* ---- Beginning and end ---- */

static enum fm_status take_options(struct gossip *gossip, const struct gossip_options *options)
{
    struct gossip_options *own = &gossip->options;

    *own = *options;
    if (own->probe_ms == 0)
        own->probe_ms = PROBE_MS_DEFAULT;
    if (own->timeout_ms == 0)
        own->timeout_ms = gossip_min_ms(TIMEOUT_MS_DEFAULT, own->probe_ms * 2 / 5);
    if (own->indirect == 0)
        own->indirect = INDIRECT_DEFAULT;
    if (own->suspicion_mult == 0)
        own->suspicion_mult = SUSPICION_MULT_DEFAULT;
    if (own->check_member == NULL || own->member_max < 2 || own->member_max > FM_MEMBERS_MAX ||
        own->record_max < 1 || own->record_max > FM_RECORDS_MAX)
        return FM_INVALID;
    if (own->probe_ms < 2 || own->probe_ms > PROBE_MS_MAX || own->timeout_ms < 1 ||
        own->timeout_ms >= own->probe_ms || own->indirect > FM_FANOUT_MAX ||
        own->suspicion_mult > SUSPICION_MULT_MAX)
        return FM_INVALID;
    return FM_OK;
}

static enum fm_status reserve(struct gossip *gossip)
{
    const uint32_t members = gossip->options.member_max;
    const uint32_t records = gossip->options.record_max;

    fm_assert(members >= 2);
    fm_assert(records >= 1);
    gossip->members = calloc(members, sizeof *gossip->members);
    gossip->order = calloc(members, sizeof *gossip->order);
    gossip->suspects = calloc(members, sizeof *gossip->suspects);
    gossip->dead = calloc(members, sizeof *gossip->dead);
    gossip->records = calloc(records, sizeof *gossip->records);
    gossip->wants = calloc(GOSSIP_WANTS_MAX, sizeof *gossip->wants);
    if (gossip->members == NULL || gossip->order == NULL || gossip->suspects == NULL ||
        gossip->dead == NULL || gossip->records == NULL || gossip->wants == NULL)
        return FM_NOMEM;
    if (slots_init(&gossip->member_slots, members) != FM_OK ||
        slots_init(&gossip->envelope_slots, members) != FM_OK ||
        slots_init(&gossip->record_slots, records) != FM_OK)
        return FM_NOMEM;
    if (rumours_init(&gossip->member_news, members) != FM_OK ||
        rumours_init(&gossip->accusations, members) != FM_OK ||
        rumours_init(&gossip->record_news, records) != FM_OK)
        return FM_NOMEM;
    return FM_OK;
}

enum fm_status gossip_new(const struct gossip_options *options, fm_ms now, struct gossip **out)
{
    fm_assert(options != NULL);
    fm_assert(out != NULL);
    FM_AUTO(gossip_freep) struct gossip *gossip = calloc(1, sizeof *gossip);

    if (gossip == NULL)
        return FM_NOMEM;
    enum fm_status status = take_options(gossip, options);
    if (status == FM_OK)
        status = reserve(gossip);
    if (status != FM_OK)
        return status;
    gossip->random.state = gossip->options.seed;
    gossip->now = now;
    gossip->changed_at = now;
    gossip->refute_at = now;
    gossip->stranger_sync_at = now;
    gossip->catch_up_at = now;
    gossip->behind_since = -1;
    gossip->deadline = FM_MS_NEVER;
    gossip->news_at = FM_MS_NEVER;
    gossip->probe_at =
        now + (fm_ms)gossip_random_below(&gossip->random, (uint32_t)gossip->options.probe_ms);
    gossip->members[GOSSIP_SELF] = (struct member){.node = gossip->options.self,
                                                   .state = GOSSIP_ALIVE,
                                                   .since = now,
                                                   .round_trip_count = 1}; /* To itself: 0 ms. */
    gossip->member_count = 1;
    /* The own id is found like the others. */
    roster_add_self(gossip);
    *out = FM_TAKE(gossip);
    return FM_OK;
}

void gossip_free(struct gossip *gossip)
{
    if (gossip == NULL)
        return;
    free(gossip->members);
    free(gossip->order);
    free(gossip->suspects);
    free(gossip->dead);
    free(gossip->records);
    free(gossip->wants);
    slots_deinit(&gossip->member_slots);
    slots_deinit(&gossip->envelope_slots);
    slots_deinit(&gossip->record_slots);
    rumours_deinit(&gossip->member_news);
    rumours_deinit(&gossip->accusations);
    rumours_deinit(&gossip->record_news);
    free(gossip);
}

/* ---- Inputs ---- */

static fm_ms next_deadline(const struct gossip *gossip)
{
    fm_ms at = gossip_catalog_deadline(gossip);

    if (gossip->has_self) {
        at = gossip_min_ms(at, gossip->news_at);
        if (!gossip->leaving)
            at = gossip_min_ms(gossip_min_ms(at, swim_deadline(gossip)),
                               gossip_min_ms(probe_deadline(gossip), join_deadline(gossip)));
    }
    fm_assert(at >= 0);
    return at;
}

/* Who was not run in time cannot blame others for not answering in time: what this node was about
 * to conclude is void. */
static void begin(struct gossip *gossip, fm_ms now)
{
    fm_assert(now >= gossip->now);
    effects_begin(gossip);
    if (gossip->deadline != FM_MS_NEVER && now - gossip->deadline > gossip->options.probe_ms)
        swim_void_verdicts(gossip, now - gossip->deadline);
    gossip->now = now;
    gossip->deadline = now; /* Until end(). */
}

static void end(struct gossip *gossip)
{
    fm_assert(gossip->suspect_count <= gossip->live_count);
    fm_assert(gossip->live_count + gossip->dead_count < gossip->member_count);
    gossip->deadline = next_deadline(gossip);
}

enum fm_status gossip_set_self(struct gossip *gossip, fm_ms now, struct fm_span envelope)
{
    begin(gossip, now);
    enum fm_status status = admit_self(gossip, envelope);
    end(gossip);
    return status;
}

enum fm_status gossip_join(struct gossip *gossip, fm_ms now, const struct gossip_address *seeds,
                           uint32_t count)
{
    begin(gossip, now);
    enum fm_status status = gossip_join_seeds(gossip, seeds, count);
    end(gossip);
    return status;
}

enum fm_status gossip_receive(struct gossip *gossip, fm_ms now, const struct fm_node_id *sender,
                              const struct gossip_address *from, struct fm_span packet)
{
    begin(gossip, now);
    enum fm_status status = receive_packet(gossip, sender, from, packet);
    end(gossip);
    return status;
}

void gossip_tick(struct gossip *gossip, fm_ms now)
{
    begin(gossip, now);
    if (gossip->has_self && !gossip->leaving) {
        swim_tick(gossip);
        probe_tick(gossip);
        join_tick(gossip);
    }
    gossip_catalog_tick(gossip);
    if (gossip->has_self)
        compose_tick_news(gossip);
    end(gossip);
}

fm_ms gossip_deadline(const struct gossip *gossip)
{
    fm_assert(gossip != NULL);
    return gossip->deadline;
}

enum fm_status gossip_put_record(struct gossip *gossip, fm_ms now,
                                 const struct gossip_record *record)
{
    begin(gossip, now);
    enum fm_status status = gossip_catalog_put(gossip, record);
    end(gossip);
    return status;
}

enum fm_status gossip_put_member(struct gossip *gossip, fm_ms now, struct fm_span envelope)
{
    begin(gossip, now);
    /* What a session brought others have: fewer sends are enough. */
    const struct admit_source source = {.sends = gossip_send_limit(gossip) / 3 * 2};
    enum fm_status status = admit_put(gossip, envelope, &source);
    end(gossip);
    return status;
}

void gossip_leave(struct gossip *gossip, fm_ms now)
{
    uint32_t slots[FM_FANOUT_MAX];

    begin(gossip, now);
    if (gossip->has_self && gossip->members[GOSSIP_SELF].claim == FM_MEMBER_LEFT) {
        gossip->leaving = true;
        gossip->refuting = false;
        uint32_t count = roster_pick(gossip, SLOTS_NONE, GOSSIP_LEAVE_FANOUT, slots);
        for (uint32_t i = 0; i < count; i++) {
            gossip->members[slots[i]].told = 0;
            (void)compose_send_member(gossip, WIRE_NEWS, 0, slots[i]); /* Counted. */
        }
    }
    end(gossip);
}

/* ---- Looking ---- */

/* Before gossip_set_self() the own slot is not shown. */
static uint32_t hidden(const struct gossip *gossip)
{
    return gossip->has_self ? 0 : 1;
}

static void show(const struct member *member, struct gossip_member *out)
{
    fm_assert(member->envelope_bytes > 0);
    fm_assert(member->state >= GOSSIP_ALIVE && member->state <= GOSSIP_LEFT);
    *out = (struct gossip_member){.node = member->node,
                                  .state = member->state,
                                  .incarnation = member->incarnation,
                                  .address = member->address,
                                  .since = member->since,
                                  .round_trip = probe_round_trip(member),
                                  .envelope = fm_span(member->envelope, member->envelope_bytes)};
}

uint32_t gossip_member_count(const struct gossip *gossip)
{
    fm_assert(gossip->member_count > 0);
    return gossip->member_count - hidden(gossip);
}

void gossip_member_at(const struct gossip *gossip, uint32_t i, struct gossip_member *out)
{
    fm_assert(i < gossip_member_count(gossip));
    show(&gossip->members[i + hidden(gossip)], out);
}

enum fm_status gossip_member_find(const struct gossip *gossip, const struct fm_node_id *node,
                                  struct gossip_member *out)
{
    fm_assert(node != NULL);
    uint32_t slot = roster_find(gossip, node);
    if (slot == SLOTS_NONE || slot < hidden(gossip))
        return FM_NOTFOUND;
    show(&gossip->members[slot], out);
    return FM_OK;
}

uint32_t gossip_record_count(const struct gossip *gossip)
{
    fm_assert(gossip->record_count <= gossip->options.record_max);
    return gossip->record_count;
}

void gossip_record_at(const struct gossip *gossip, uint32_t i, struct gossip_record *out)
{
    fm_assert(i < gossip->record_count);
    *out = gossip->records[i].record;
}

enum fm_status gossip_record_find(const struct gossip *gossip, const struct gossip_record_key *key,
                                  struct gossip_record *out)
{
    fm_assert(key != NULL);
    if (key->kind < 1 || key->kind > GOSSIP_RECORD_KIND_COUNT)
        return FM_NOTFOUND;
    uint32_t slot = gossip_catalog_find(gossip, key);
    if (slot == SLOTS_NONE)
        return FM_NOTFOUND;
    *out = gossip->records[slot].record;
    return FM_OK;
}

void gossip_counters(const struct gossip *gossip, struct gossip_counters *out)
{
    fm_assert(out != NULL);
    *out = gossip->counters;
}
