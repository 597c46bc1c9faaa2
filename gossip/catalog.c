#include "gossip/state.h"

#include "core/assert.h"

#define WANTS_PER_KEY_MAX                                                                          \
    4u /* Versions wanted of one key: a made-up one must not hide the true one. */
#define WANT_TRIES_EVICT 3u /* A want tried so often may give way to a new one. */

static bool key_equal(const struct gossip_record_key *a, const struct gossip_record_key *b)
{
    return a->kind == b->kind && gossip_node_equal(&a->writer, &b->writer) &&
           memcmp(a->name, b->name, sizeof a->name) == 0;
}

static uint32_t key_hash(const struct gossip_record_key *key)
{
    uint64_t hash = fm_load64(key->writer.bytes) ^ fm_load64(key->name) ^
                    (fm_load64(key->writer.bytes + 8) << 1) ^ fm_load64(key->name + 8);

    fm_assert(key->kind >= 1 && key->kind <= GOSSIP_RECORD_KIND_COUNT);
    hash = (hash + (uint64_t)key->kind) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

/* See struct wire_digest. */
static uint64_t record_term(const struct gossip_record *record)
{
    uint8_t bytes[40];
    struct fm_hash hash;

    memcpy(bytes, record->key.writer.bytes, 16);
    memcpy(bytes + 16, record->key.name, 16);
    fm_store64(bytes + 32, record->version);
    const struct fm_span spans[] = {fm_span(bytes, sizeof bytes),
                                    fm_span(record->hash.bytes, FM_HASH_BYTES)};
    fm_sha256(&hash, spans, 2);
    return fm_load64(hash.bytes);
}

uint32_t gossip_catalog_find(const struct gossip *gossip, const struct gossip_record_key *key)
{
    uint32_t hash = key_hash(key);
    uint32_t step = 0;
    uint32_t slot;

    while ((slot = slots_candidate(&gossip->record_slots, hash, &step)) != SLOTS_NONE) {
        fm_assert(slot < gossip->record_count);
        if (key_equal(&gossip->records[slot].record.key, key))
            return slot;
    }
    return SLOTS_NONE;
}

/* ---- Wants ---- */

static void want_end(struct gossip *gossip, struct want *want)
{
    fm_assert(want->used);
    fm_assert(gossip->want_count > 0);
    want->used = false;
    gossip->want_count--;
}

/* This body is here. */
static void wants_satisfied(struct gossip *gossip, const struct gossip_record *record)
{
    for (uint32_t i = 0; i < GOSSIP_WANTS_MAX && gossip->want_count > 0; i++) {
        struct want *want = &gossip->wants[i];
        if (!want->used || !key_equal(&want->record.key, &record->key))
            continue;
        bool same = fm_hash_equal(&want->record.hash, &record->hash);
        if (want->any_version || want->record.version < record->version ||
            (want->record.version == record->version && same))
            want_end(gossip, want);
    }
}

/* The want for just this, or one to use for it: free, or the most tried one of the key when it has
 * enough, or the most tried of all. NULL: all are fresh. */
static struct want *want_slot(struct gossip *gossip, const struct gossip_record *record)
{
    struct want *unused = NULL;
    struct want *of_key = NULL;
    struct want *tried = NULL;
    uint32_t of_key_count = 0;

    for (uint32_t i = 0; i < GOSSIP_WANTS_MAX; i++) {
        struct want *want = &gossip->wants[i];
        if (!want->used) {
            unused = unused != NULL ? unused : want;
            continue;
        }
        if (want->tries >= WANT_TRIES_EVICT && (tried == NULL || want->tries > tried->tries))
            tried = want;
        if (!key_equal(&want->record.key, &record->key))
            continue;
        if (want->record.version == record->version &&
            fm_hash_equal(&want->record.hash, &record->hash))
            return want;
        of_key_count++;
        if (of_key == NULL || want->tries > of_key->tries)
            of_key = want;
    }
    fm_assert(of_key_count <= WANTS_PER_KEY_MAX);
    if (of_key_count == WANTS_PER_KEY_MAX)
        return of_key;
    return unused != NULL ? unused : tried;
}

static void want_emit(struct gossip *gossip, struct want *want)
{
    fm_assert(want->used);
    fm_assert(want->interval > 0);
    effects_want(gossip, want);
    want->tries++;
    want->next_at = gossip->now + want->interval;
    want->interval = gossip_min_ms(2 * want->interval, GOSSIP_RETRY_MS_MAX);
}

/* `wait_ms` 0: asked for at once. */
static void want_add(struct gossip *gossip, const struct gossip_record *record, bool any_version,
                     fm_ms wait_ms, const struct fm_node_id *holder,
                     const struct gossip_address *address)
{
    struct want *want = want_slot(gossip, record);

    if (want == NULL) {
        gossip->counters.effects_dropped++;
        return;
    }
    if (want->used && want->record.version == record->version &&
        fm_hash_equal(&want->record.hash, &record->hash)) {
        want->holder = *holder; /* The one that said so last is asked next. */
        want->address = *address;
        return;
    }
    if (!want->used)
        gossip->want_count++;
    fm_assert(gossip->want_count <= GOSSIP_WANTS_MAX);
    *want = (struct want){.used = true,
                          .any_version = any_version,
                          .record = *record,
                          .holder = *holder,
                          .address = *address,
                          .next_at = gossip->now + wait_ms,
                          .interval = GOSSIP_WANT_MS_MIN + wait_ms};
    if (wait_ms == 0)
        want_emit(gossip, want);
}

void gossip_catalog_want_cert(struct gossip *gossip, const struct fm_node_id *node,
                              const struct fm_node_id *via, const struct gossip_address *address,
                              bool again)
{
    struct gossip_record record = {.key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = *node}};

    fm_assert(!gossip_node_equal(node, &gossip->options.self));
    fm_assert(via != NULL);
    /* A certificate that came and was not the one must not be fetched in a circle. */
    want_add(gossip, &record, true, again ? GOSSIP_WANT_AGAIN_MS : 0, via, address);
}

void gossip_catalog_announced(struct gossip *gossip, const struct fm_node_id *sender,
                              const struct gossip_address *from, const struct wire_record *item)
{
    fm_assert(item->kind != 0);
    if (item->kind > GOSSIP_RECORD_KIND_COUNT) {
        gossip->counters.unknown++; /* Of a later release. */
        return;
    }
    struct gossip_record record = {
        .key = {.kind = (enum gossip_record_kind)item->kind, .writer = item->writer},
        .version = item->version,
        .hash = item->hash,
        .bytes = item->bytes};
    memcpy(record.key.name, item->name, sizeof record.key.name);
    uint32_t slot = gossip_catalog_find(gossip, &record.key);
    if (slot != SLOTS_NONE) {
        const struct catalog_entry *entry = &gossip->records[slot];
        fm_assert(key_equal(&entry->record.key, &record.key));
        if (record.version < entry->record.version)
            return;
        if (record.version == entry->record.version) {
            bool same = fm_hash_equal(&record.hash, &entry->record.hash);
            if (same)
                rumours_heard(&gossip->record_news, slot, gossip_send_limit(gossip));
            if (same || entry->conflict == fm_load64(record.hash.bytes))
                return;
        }
    }
    want_add(gossip, &record, false, 0, sender, from);
}

/* ---- Records that are here ---- */

static uint64_t *kind_sum(struct gossip *gossip, enum gossip_record_kind kind)
{
    fm_assert(kind >= 1 && kind <= GOSSIP_RECORD_KIND_COUNT);
    return &gossip->kinds_sum[kind - 1];
}

static void store(struct gossip *gossip, uint32_t slot, const struct gossip_record *record)
{
    struct catalog_entry *entry = &gossip->records[slot];
    uint64_t term = record_term(record);

    fm_assert(slot < gossip->record_count);
    *kind_sum(gossip, record->key.kind) += term - entry->term;
    *entry = (struct catalog_entry){.record = *record, .term = term};
    gossip->changed_at = gossip->now;
    gossip->counters.records_new++;
    /* What is loaded at the start is news to nobody yet: digests show it where it is. */
    if (gossip->heard) {
        rumours_push(&gossip->record_news, slot, 0);
        compose_news_soon(gossip);
    }
}

static enum fm_status put(struct gossip *gossip, const struct gossip_record *record)
{
    uint32_t slot = gossip_catalog_find(gossip, &record->key);

    if (slot == SLOTS_NONE) {
        if (gossip->record_count == gossip->options.record_max)
            return FM_LIMIT;
        slot = gossip->record_count++;
        gossip->records[slot] = (struct catalog_entry){0};
        slots_add(&gossip->record_slots, key_hash(&record->key), slot);
        store(gossip, slot, record);
        return FM_OK;
    }
    struct catalog_entry *entry = &gossip->records[slot];
    fm_assert(slot < gossip->record_count);
    if (record->version > entry->record.version) {
        store(gossip, slot, record);
    } else if (record->version == entry->record.version &&
               !fm_hash_equal(&record->hash, &entry->record.hash)) {
        entry->conflict = fm_load64(record->hash.bytes);
        return FM_CONFLICT;
    }
    return FM_OK;
}

enum fm_status gossip_catalog_put(struct gossip *gossip, const struct gossip_record *record)
{
    fm_assert(record != NULL);
    if (record->key.kind < 1 || record->key.kind > GOSSIP_RECORD_KIND_COUNT)
        return FM_INVALID;
    enum fm_status status = put(gossip, record);
    if (status == FM_LIMIT)
        return status;
    wants_satisfied(gossip, record);
    if (record->key.kind == GOSSIP_RECORD_NODE_CERT)
        admit_retry_aside(gossip, &record->key.writer);
    fm_assert(gossip->record_count <= gossip->options.record_max);
    return status;
}

void gossip_catalog_tick(struct gossip *gossip)
{
    uint32_t emitted = 0;

    fm_assert(gossip->want_count <= GOSSIP_WANTS_MAX);
    for (uint32_t i = 0; i < GOSSIP_WANTS_MAX && emitted < GOSSIP_WANTS_PER_TICK; i++) {
        struct want *want = &gossip->wants[(gossip->want_cursor + i) % GOSSIP_WANTS_MAX];
        if (gossip->want_count == 0)
            return;
        if (!want->used || want->next_at > gossip->now)
            continue;
        want_emit(gossip, want);
        emitted++;
    }
    gossip->want_cursor = (gossip->want_cursor + 1) % GOSSIP_WANTS_MAX;
}

fm_ms gossip_catalog_deadline(const struct gossip *gossip)
{
    fm_ms at = FM_MS_NEVER;
    uint32_t left = gossip->want_count;

    fm_assert(left <= GOSSIP_WANTS_MAX);
    for (uint32_t i = 0; i < GOSSIP_WANTS_MAX && left > 0; i++) {
        if (!gossip->wants[i].used)
            continue;
        at = gossip_min_ms(at, gossip->wants[i].next_at);
        left--;
    }
    fm_assert(left == 0);
    return at;
}
