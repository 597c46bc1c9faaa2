#include "gossip/state.h"

#include "core/assert.h"

/* Order of the records of one member. A farewell at the same incarnation is the later one. */
static bool is_newer(const struct member *member, uint64_t incarnation, enum fm_member_claim claim)
{
    return incarnation > member->incarnation ||
           (incarnation == member->incarnation && claim > member->claim);
}

/* A verified record of another node. */
static enum fm_status apply(struct gossip *gossip, const struct fm_member_record *record,
                            struct fm_span envelope, const struct fm_hash *hash, uint32_t sends)
{
    uint32_t slot = roster_find(gossip, &record->node);

    fm_assert(slot != GOSSIP_SELF);
    if (slot == SLOTS_NONE) {
        enum fm_status status = roster_add(gossip, &record->node, &slot);
        if (status != FM_OK)
            return status;
    } else if (!is_newer(&gossip->members[slot], record->incarnation, record->claim)) {
        return FM_OK;
    } else {
        swim_forget(gossip, slot);
    }
    struct member *member = &gossip->members[slot];
    bool was_dead = member->state == GOSSIP_DEAD;
    roster_store(gossip, slot, record, envelope, hash);
    member->told = 0;
    member->tell = false;
    roster_set_state(gossip, slot, record->claim == FM_MEMBER_LEFT ? GOSSIP_LEFT : GOSSIP_ALIVE);
    rumours_push(&gossip->member_news, slot, sends);
    compose_news_soon(gossip);
    if (was_dead && member->state == GOSSIP_ALIVE)
        probe_hurry_retries(gossip);
    return FM_OK;
}

/* ---- Records kept aside ---- */

static void put_aside(struct gossip *gossip, const struct fm_node_id *node, struct fm_span envelope,
                      const struct admit_source *source)
{
    struct aside *aside = &gossip->asides[0];

    fm_assert(envelope.len <= WIRE_ENVELOPE_BYTES_MAX);
    for (uint32_t i = 0; i < GOSSIP_ASIDE_MAX; i++) {
        struct aside *other = &gossip->asides[i];
        if (other->stamp != 0 && gossip_node_equal(&other->node, node)) {
            aside = other;
            break;
        }
        if (other->stamp < aside->stamp)
            aside = other;
    }
    *aside = (struct aside){.node = *node, .stamp = ++gossip->aside_stamp};
    aside->via = source->via != NULL ? *source->via : *node;
    if (source->address != NULL)
        aside->address = *source->address;
    aside->envelope_bytes = (uint16_t)envelope.len;
    memcpy(aside->envelope, envelope.data, envelope.len);
    gossip_catalog_want_cert(gossip, node, &aside->via, &aside->address, source->again);
}

void admit_retry_aside(struct gossip *gossip, const struct fm_node_id *node)
{
    memset(gossip->rejected, 0, sizeof gossip->rejected);
    for (uint32_t i = 0; i < GOSSIP_ASIDE_MAX; i++) {
        if (gossip->asides[i].stamp == 0 || !gossip_node_equal(&gossip->asides[i].node, node))
            continue;
        struct aside aside = gossip->asides[i];
        fm_assert(aside.envelope_bytes > 0);
        gossip->asides[i] = (struct aside){0};
        struct admit_source source = {
            .subject = &aside.node, .via = &aside.via, .address = &aside.address, .again = true};
        /* Whatever is wrong with it is counted, and nobody waits for the answer. */
        (void)admit_put(gossip, fm_span(aside.envelope, aside.envelope_bytes), &source);
        return; /* There is one for each node, and it may be back in its place. */
    }
}

/* ---- Envelopes from outside ---- */

static uint64_t *rejected_cell(struct gossip *gossip, const struct fm_hash *hash)
{
    return &gossip->rejected[fm_load64(hash->bytes) % GOSSIP_REJECTED_MAX];
}

static enum fm_status check(struct gossip *gossip, struct fm_span envelope,
                            const struct fm_hash *hash, const struct admit_source *source,
                            struct fm_member_record *record)
{
    const struct gossip_options *options = &gossip->options;

    fm_assert(options->check_member != NULL);
    *record = (struct fm_member_record){0};
    if (*rejected_cell(gossip, hash) == fm_load64(hash->bytes))
        return FM_FORGED;
    enum fm_status status = options->check_member(options->context, envelope, record);
    if (status == FM_OK && record->claim != FM_MEMBER_ALIVE && record->claim != FM_MEMBER_LEFT)
        status = FM_MALFORMED;
    if (status != FM_OK && status != FM_NOTFOUND)
        *rejected_cell(gossip, hash) = fm_load64(hash->bytes);
    /* A true record under a wrong label: not remembered, or a liar could keep it out. */
    if (status == FM_OK && source->subject != NULL &&
        !gossip_node_equal(&record->node, source->subject))
        status = FM_FORGED;
    return status;
}

/* Its certificate is not known. */
static enum fm_status wait_for_cert(struct gossip *gossip, struct fm_span envelope,
                                    const struct fm_member_record *record,
                                    const struct admit_source *source)
{
    static const struct fm_node_id nobody;

    /* check_member may say whom an unverified record names: good enough to ask for a
     * certificate, and to refuse what was sent as somebody else's. */
    bool is_named = !gossip_node_equal(&record->node, &nobody);
    const struct fm_node_id *node = source->subject != NULL ? source->subject : &record->node;
    if (is_named && !gossip_node_equal(node, &record->node)) {
        gossip->counters.forged++;
        return FM_FORGED;
    }
    struct gossip_address address = {0};
    struct admit_source from = *source;
    if (gossip_node_equal(node, &nobody) || gossip_node_equal(node, &gossip->options.self))
        return FM_NOTFOUND;
    if (source->via == NULL && gossip_address_parse(record->address, &address) == FM_OK)
        from.address = &address;
    put_aside(gossip, node, envelope, &from);
    return FM_NOTFOUND;
}

enum fm_status admit_put(struct gossip *gossip, struct fm_span envelope,
                         const struct admit_source *source)
{
    struct fm_member_record record;
    struct fm_hash hash;

    fm_assert(source != NULL);
    if (envelope.len == 0 || envelope.len > WIRE_ENVELOPE_BYTES_MAX)
        return FM_LIMIT;
    fm_sha256_one(&hash, envelope);
    if (roster_find_envelope(gossip, &hash) != SLOTS_NONE)
        return FM_OK;
    enum fm_status status = check(gossip, envelope, &hash, source, &record);
    if (status == FM_NOTFOUND)
        return wait_for_cert(gossip, envelope, &record, source);
    if (status != FM_OK) {
        gossip->counters.forged++;
        return status;
    }
    if (gossip_node_equal(&record.node, &gossip->options.self)) {
        if (gossip->has_self && record.incarnation >= gossip->members[GOSSIP_SELF].incarnation)
            swim_refute(gossip, record.incarnation, source->via);
        return FM_OK;
    }
    return apply(gossip, &record, envelope, &hash, source->sends);
}

void admit_receive(struct gossip *gossip, const struct wire_member *item,
                   const struct fm_node_id *sender, const struct gossip_address *from)
{
    uint32_t slot = roster_find(gossip, &item->node);
    const struct admit_source source = {.subject = &item->node, .via = sender, .address = from};

    fm_assert(item->envelope.len <= WIRE_ENVELOPE_BYTES_MAX);
    if (slot == GOSSIP_SELF && !gossip->has_self)
        return;
    if (slot != SLOTS_NONE) {
        struct member *member = &gossip->members[slot];
        bool same =
            fm_span_equal(item->envelope, fm_span(member->envelope, member->envelope_bytes));
        /* Equal but other bytes: the node came back without knowing its past. It has to hear of it,
         * from the record that all others go by. The own record is looked at in that case too. */
        bool doubtful = !same && item->envelope.len > 0 && slot == GOSSIP_SELF &&
                        item->incarnation == member->incarnation && item->claim == member->claim;
        if (!is_newer(member, item->incarnation, item->claim) && !doubtful) {
            if (same)
                rumours_heard(&gossip->member_news, slot, gossip_send_limit(gossip));
            else if (gossip_node_equal(sender, &item->node))
                member->tell = true;
            return;
        }
    }
    if (item->envelope.len == 0) {
        join_sync(gossip, sender, from); /* Announced only: its list has it. */
        return;
    }
    (void)admit_put(gossip, item->envelope, &source); /* Counted there. */
}

enum fm_status admit_self(struct gossip *gossip, struct fm_span envelope)
{
    struct member *self = &gossip->members[GOSSIP_SELF];
    struct fm_member_record record = {0};
    struct fm_hash hash;

    if (envelope.len == 0 || envelope.len > WIRE_ENVELOPE_BYTES_MAX)
        return FM_LIMIT;
    enum fm_status status =
        gossip->options.check_member(gossip->options.context, envelope, &record);
    if (status != FM_OK)
        return status;
    if (!gossip_node_equal(&record.node, &gossip->options.self))
        return FM_INVALID;
    fm_sha256_one(&hash, envelope);
    if (gossip->has_self && fm_hash_equal(&hash, &self->hash))
        return FM_OK;
    if (gossip->has_self && !is_newer(self, record.incarnation, record.claim))
        return FM_CONFLICT;
    fm_assert(gossip_node_equal(&self->node, &record.node));
    roster_store(gossip, GOSSIP_SELF, &record, envelope, &hash);
    enum gossip_state state = record.claim == FM_MEMBER_LEFT ? GOSSIP_LEFT : GOSSIP_ALIVE;
    if (!gossip->has_self || self->state != state)
        self->since = gossip->now;
    self->state = state;
    gossip->has_self = true;
    swim_refuted(gossip);
    rumours_push(&gossip->member_news, GOSSIP_SELF, 0);
    compose_news_soon(gossip);
    return FM_OK;
}
