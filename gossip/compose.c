#include "gossip/state.h"

#include "core/assert.h"

#define ITEMS_MAX 32u   /* Rumours of one queue in one packet. */
#define SKIPS_MAX 16u   /* Members looked at that do not fit. */
#define VERDICTS_MAX 8u /* Told to a member whose verdicts differ. */
#define WELCOME_TRIES_MAX 64u

struct draft {
    struct gossip *gossip;
    const struct compose *compose;
    struct wire_writer writer;
    bool has_own; /* The own record is in. */
};

static bool put_record_of(struct draft *draft, uint32_t slot)
{
    const struct member *member = &draft->gossip->members[slot];

    fm_assert(slot < draft->gossip->member_count);
    fm_assert(member->envelope_bytes > 0);
    const struct wire_member item = {.claim = member->claim,
                                     .node = member->node,
                                     .incarnation = member->incarnation,
                                     .envelope = fm_span(member->envelope, member->envelope_bytes)};
    return wire_put_member(&draft->writer, &item);
}

static void put_own(struct draft *draft)
{
    if (draft->has_own || !draft->gossip->has_self)
        return;
    draft->has_own = put_record_of(draft, GOSSIP_SELF);
    fm_assert(draft->has_own); /* It comes before all that could take its room. */
}

/* Some of the members that are dead here, for one who thinks otherwise. */
static void put_verdicts(struct draft *draft)
{
    struct gossip *gossip = draft->gossip;
    struct wire_accuse accuse;

    fm_assert(draft->compose->slot != SLOTS_NONE);
    for (uint32_t i = 0; i < VERDICTS_MAX && i < gossip->dead_count; i++) {
        uint32_t at = gossip->dead_cursor % gossip->dead_count;
        uint32_t slot = gossip->dead[at];
        gossip->dead_cursor = at + 1;
        if (slot == draft->compose->slot)
            continue;
        swim_accusation(gossip, slot, i, &accuse);
        if (!wire_put_accuse(&draft->writer, &accuse))
            return;
    }
}

/* What the receiver itself has to know. */
static void put_personal(struct draft *draft)
{
    struct gossip *gossip = draft->gossip;
    const uint32_t slot = draft->compose->slot;

    if (slot == SLOTS_NONE) {
        put_own(draft);
        return;
    }
    fm_assert(slot != GOSSIP_SELF);
    struct member *member = &gossip->members[slot];
    struct wire_accuse accuse;
    bool accused = member->state == GOSSIP_SUSPECT || member->state == GOSSIP_DEAD;
    if (accused) {
        swim_accusation(gossip, slot, 0, &accuse);
        bool fits = wire_put_accuse(&draft->writer, &accuse);
        fm_assert(fits); /* It is among the first. */
    }
    if (member->tell || member->state == GOSSIP_LEFT) {
        if (put_record_of(draft, slot))
            member->tell = false;
    }
    if (gossip->has_self && member->told < gossip->members[GOSSIP_SELF].incarnation &&
        wire_room(&draft->writer) >= WIRE_MEMBER_BYTES(WIRE_ENVELOPE_BYTES_MAX))
        put_own(draft);
    if (member->tell_verdicts) {
        put_verdicts(draft);
        member->tell_verdicts = false;
    }
}

/* ---- Rumours. The three functions leave `keep` bytes free. ---- */

static void count_sent(struct draft *draft, struct rumours *rumours, const uint32_t *sent,
                       uint32_t count)
{
    uint32_t limit = gossip_send_limit(draft->gossip);

    fm_assert(count <= ITEMS_MAX);
    for (uint32_t i = 0; i < count; i++)
        rumours_sent(rumours, sent[i], limit);
}

static bool has_room(const struct draft *draft, size_t bytes, size_t keep)
{
    return wire_room(&draft->writer) >= bytes + keep;
}

static void put_accusations(struct draft *draft, size_t keep)
{
    struct rumours *rumours = &draft->gossip->accusations;
    uint32_t sent[ITEMS_MAX];
    uint32_t count = 0;

    for (uint32_t slot = rumours_first(rumours);
         slot != RUMOURS_NONE && count < ITEMS_MAX && has_room(draft, WIRE_ACCUSE_BYTES, keep);
         slot = rumours_next(rumours, slot)) {
        struct wire_accuse accuse;
        swim_accusation(draft->gossip, slot, rumours->links[slot].sends, &accuse);
        bool fits = wire_put_accuse(&draft->writer, &accuse);
        fm_assert(fits);
        sent[count++] = slot;
    }
    count_sent(draft, rumours, sent, count);
}

static void put_members(struct draft *draft, size_t keep)
{
    struct gossip *gossip = draft->gossip;
    struct rumours *rumours = &gossip->member_news;
    uint32_t sent[ITEMS_MAX];
    uint32_t count = 0;
    uint32_t skips = 0;

    for (uint32_t slot = rumours_first(rumours);
         slot != RUMOURS_NONE && count < ITEMS_MAX && skips < SKIPS_MAX;
         slot = rumours_next(rumours, slot)) {
        size_t bytes = WIRE_MEMBER_BYTES(gossip->members[slot].envelope_bytes);
        bool known = slot == GOSSIP_SELF && draft->has_own;
        if (slot == draft->compose->slot && gossip->live_count > 1) {
            skips++; /* It knows; others are there to hear it. */
        } else if (known || slot == draft->compose->slot) {
            sent[count++] = slot;
        } else if (has_room(draft, bytes, keep) && put_record_of(draft, slot)) {
            sent[count++] = slot;
        } else {
            skips++;
        }
    }
    count_sent(draft, rumours, sent, count);
}

static void put_records(struct draft *draft)
{
    struct gossip *gossip = draft->gossip;
    struct rumours *rumours = &gossip->record_news;
    uint32_t sent[ITEMS_MAX];
    uint32_t count = 0;

    for (uint32_t slot = rumours_first(rumours);
         slot != RUMOURS_NONE && count < ITEMS_MAX && has_room(draft, WIRE_RECORD_BYTES, 0);
         slot = rumours_next(rumours, slot)) {
        const struct gossip_record *record = &gossip->records[slot].record;
        struct wire_record item = {.kind = (uint16_t)record->key.kind,
                                   .writer = record->key.writer,
                                   .version = record->version,
                                   .hash = record->hash,
                                   .bytes = record->bytes};
        memcpy(item.name, record->key.name, sizeof item.name);
        bool fits = wire_put_record(&draft->writer, &item);
        fm_assert(fits);
        sent[count++] = slot;
    }
    count_sent(draft, rumours, sent, count);
}

/* Separate shares, so that neither a join storm hides the records nor a busy writer the members: a
 * third is the records' as far as they need it; of the rest a quarter may be accusations while
 * members' records wait. What one does not need the next one takes. */
static void put_rumours(struct draft *draft)
{
    const struct gossip *gossip = draft->gossip;
    size_t room = wire_room(&draft->writer);
    size_t records = (size_t)gossip->record_news.count * WIRE_RECORD_BYTES;

    fm_assert(room < FM_PACKET_BYTES_MAX);
    if (records > room / 3)
        records = room / 3;
    size_t members = gossip->member_news.count > 0 ? (room - records) / 4 * 3 : 0;
    fm_assert(records + members <= room);
    put_accusations(draft, records + members);
    put_members(draft, records);
    put_records(draft);
}

/* A newcomer gets the live members that fit; comparing lists brings the others. */
static void put_welcome(struct draft *draft)
{
    struct gossip *gossip = draft->gossip;

    for (uint32_t i = 0; i < WELCOME_TRIES_MAX && i < gossip->member_count; i++) {
        uint32_t slot = gossip->member_cursor % gossip->member_count;
        fm_assert(slot < gossip->member_count);
        const struct member *member = &gossip->members[slot];
        bool fits = true;
        if (slot != GOSSIP_SELF && slot != draft->compose->slot && member->state == GOSSIP_ALIVE)
            fits = put_record_of(draft, slot);
        if (!fits)
            return;
        gossip->member_cursor = slot + 1;
    }
}

bool compose_send(struct gossip *gossip, const struct compose *compose)
{
    uint8_t *packet = effects_packet(gossip);
    struct draft draft = {.gossip = gossip, .compose = compose};

    fm_assert(gossip_address_known(&compose->address));
    if (packet == NULL)
        return false;
    wire_begin(&draft.writer, packet, compose->kind, compose->sequence);
    if (compose->target != NULL)
        (void)wire_put_node(&draft.writer, WIRE_ITEM_TARGET, compose->target); /* Room is there. */
    if (compose->behalf != NULL)
        (void)wire_put_node(&draft.writer, WIRE_ITEM_BEHALF, compose->behalf);
    if (compose->kind == WIRE_PING || compose->kind == WIRE_ACK) {
        struct wire_digest digest;
        join_digest(gossip, &digest);
        (void)wire_put_digest(&draft.writer, &digest);
    }
    if (compose->kind == WIRE_JOIN || compose->welcome)
        put_own(&draft);
    put_personal(&draft);
    if (compose->welcome)
        put_welcome(&draft);
    put_rumours(&draft);
    if (compose->kind == WIRE_NEWS && draft.writer.len == WIRE_HEADER_BYTES)
        return true; /* Nothing to say. */
    effects_send(gossip, &compose->address, &compose->node, draft.writer.len);
    return true;
}

bool compose_send_member(struct gossip *gossip, enum wire_kind kind, uint32_t sequence,
                         uint32_t slot)
{
    fm_assert(slot != GOSSIP_SELF);
    fm_assert(slot < gossip->member_count);
    const struct member *member = &gossip->members[slot];
    const struct compose compose = {.kind = kind,
                                    .sequence = sequence,
                                    .address = member->address,
                                    .node = member->node,
                                    .slot = slot};
    return compose_send(gossip, &compose);
}

/* ---- Rounds of news, only while there are any ---- */

static bool has_news(const struct gossip *gossip)
{
    return gossip->member_news.count + gossip->accusations.count + gossip->record_news.count > 0;
}

void compose_news_soon(struct gossip *gossip)
{
    uint32_t spread = (uint32_t)(gossip->options.probe_ms / 20) + 1;

    fm_assert(spread > 0);
    fm_assert(has_news(gossip));
    if (gossip->news_at > gossip->now + (fm_ms)spread)
        gossip->news_at = gossip->now + 1 + (fm_ms)gossip_random_below(&gossip->random, spread);
}

void compose_tick_news(struct gossip *gossip)
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
