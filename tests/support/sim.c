#include "tests/support/sim_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- Trace and heap ---- */

static void trace(struct sim *sim, uint64_t value)
{
    sim->trace = (sim->trace ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    sim->trace ^= sim->trace >> 31;
}

static void trace_bytes(struct sim *sim, const uint8_t *bytes, size_t len)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    trace(sim, sum);
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_swap(struct sim *sim, size_t a, size_t b)
{
    struct event event = sim->heap[a];
    sim->heap[a] = sim->heap[b];
    sim->heap[b] = event;
}

static void heap_push(struct sim *sim, struct event event)
{
    if (sim->heap_count == sim->heap_cap) {
        sim->heap_cap = sim->heap_cap == 0 ? 1024 : 2 * sim->heap_cap;
        sim->heap = realloc(sim->heap, sim->heap_cap * sizeof *sim->heap);
        fm_assert(sim->heap != NULL);
    }
    event.order = sim->orders++;
    size_t at = sim->heap_count++;
    sim->heap[at] = event;
    while (at > 0 && is_before(&sim->heap[at], &sim->heap[(at - 1) / 2])) {
        heap_swap(sim, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct event heap_pop(struct sim *sim)
{
    struct event first = sim->heap[0];
    size_t at = 0;

    sim->heap[0] = sim->heap[--sim->heap_count];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < sim->heap_count && is_before(&sim->heap[child], &sim->heap[least]))
                least = child;
        }
        if (least == at)
            return first;
        heap_swap(sim, at, least);
        at = least;
    }
}

/* ---- Identities and envelopes ---- */

static void address_of(uint32_t node, struct gossip_address *out)
{
    *out = (struct gossip_address){.family = 4, .port = PORT};
    out->bytes[0] = 10;
    out->bytes[2] = (uint8_t)(node >> 8);
    out->bytes[3] = (uint8_t)(node + 1);
}

static uint32_t node_at(const struct gossip_address *address)
{
    return ((uint32_t)address->bytes[2] << 8 | address->bytes[3]) - 1;
}

static uint32_t node_of(const struct sim *sim, const struct fm_node_id *id)
{
    uint32_t node = fm_load32(id->bytes + 12);

    fm_assert(node < sim->options.node_count);
    fm_assert(memcmp(sim->nodes[node].id.bytes, id->bytes, 16) == 0);
    return node;
}

/* Body: node id, u64 incarnation, u8 claim, u64 time; zeros; then SHA-256 of all that. */
static void make_envelope(const struct sim *sim, const struct fm_node_id *id, uint64_t incarnation,
                          enum fm_member_claim claim, uint8_t *out)
{
    struct fm_hash hash;

    memset(out, 0, ENVELOPE_BYTES);
    memcpy(out, id->bytes, 16);
    fm_store64(out + 16, incarnation);
    out[24] = (uint8_t)claim;
    fm_store64(out + 25, (uint64_t)sim->now);
    fm_sha256_one(&hash, fm_span(out, ENVELOPE_BYTES - FM_HASH_BYTES));
    memcpy(out + ENVELOPE_BYTES - FM_HASH_BYTES, hash.bytes, FM_HASH_BYTES);
}

static enum fm_status check_member(void *context, struct fm_span envelope,
                                   struct fm_member_record *out)
{
    const struct sim_node *node = context;
    struct gossip_record_key key = {.kind = GOSSIP_RECORD_NODE_CERT};
    struct gossip_record ignored;
    struct gossip_address address;
    struct fm_hash hash;

    if (envelope.len != ENVELOPE_BYTES)
        return FM_MALFORMED;
    fm_sha256_one(&hash, fm_span(envelope.data, ENVELOPE_BYTES - FM_HASH_BYTES));
    if (memcmp(hash.bytes, envelope.data + ENVELOPE_BYTES - FM_HASH_BYTES, FM_HASH_BYTES) != 0)
        return FM_FORGED;
    memcpy(out->node.bytes, envelope.data, 16);
    out->incarnation = fm_load64(envelope.data + 16);
    out->claim = (enum fm_member_claim)envelope.data[24];
    address_of(node_of(node->sim, &out->node), &address);
    (void)snprintf(out->address, sizeof out->address, "10.0.%u.%u:%u", address.bytes[2],
                   address.bytes[3], PORT);
    key.writer = out->node;
    if (gossip_record_find(node->gossip, &key, &ignored) != FM_OK)
        return FM_NOTFOUND;
    return FM_OK;
}

/* ---- Network ---- */

static bool chance(struct sim *sim, uint32_t pct)
{
    return pct > 0 && gossip_random_below(&sim->random, 100) < pct;
}

static fm_ms delay(struct sim *sim)
{
    uint32_t range = (uint32_t)(sim->options.delay_ms_max - sim->options.delay_ms_min) + 1;
    return sim->options.delay_ms_min + (fm_ms)gossip_random_below(&sim->random, range);
}

static void deliver(struct sim *sim, uint32_t from, uint32_t to, struct fm_span packet)
{
    struct event event = {.at = sim->now + delay(sim),
                          .kind = EVENT_PACKET,
                          .node = to,
                          .peer = from,
                          .boot = sim->nodes[to].boots,
                          .len = packet.len};

    event.bytes = malloc(packet.len);
    fm_assert(event.bytes != NULL);
    memcpy(event.bytes, packet.data, packet.len);
    heap_push(sim, event);
}

static void send_packet(struct sim *sim, uint32_t from, const struct gossip_effect *effect)
{
    uint32_t to = node_at(&effect->address);

    fm_assert(to < sim->options.node_count);
    fm_assert(effect->packet.len <= FM_PACKET_BYTES_MAX);
    sim->counters.packets++;
    sim->counters.packet_bytes += effect->packet.len;
    trace_bytes(sim, effect->packet.data, effect->packet.len);
    uint32_t copies = chance(sim, sim->options.duplicate_pct) ? 2 : 1;
    for (uint32_t i = 0; i < copies; i++) {
        if (!chance(sim, sim->options.loss_pct) && !sim->cut[from][to])
            deliver(sim, from, to, effect->packet);
    }
}

/* ---- What a node does with effects ---- */

static bool is_reachable(const struct sim *sim, uint32_t a, uint32_t b)
{
    return sim->nodes[b].gossip != NULL && sim->nodes[b].paused_until <= sim->now &&
           !sim->cut[a][b] && !sim->cut[b][a];
}

static void check_change(struct sim *sim, struct sim_node *node, const struct gossip_effect *effect)
{
    uint32_t subject = node_of(sim, &effect->member);
    struct seen *seen = &node->seen[subject];
    const struct sim_node *other = &sim->nodes[subject];

    fm_assert(subject != node->index);
    fm_assert(effect->incarnation >= seen->incarnation);
    fm_assert(effect->incarnation <= other->incarnation);
    if ((seen->state == GOSSIP_DEAD || seen->state == GOSSIP_LEFT) && effect->state != GOSSIP_LEFT)
        fm_assert(effect->incarnation > seen->incarnation);
    if (effect->state == GOSSIP_DEAD)
        fm_assert(seen->state == GOSSIP_SUSPECT);
    *seen = (struct seen){.state = effect->state, .incarnation = effect->incarnation};
    sim->counters.suspicions += effect->state == GOSSIP_SUSPECT;
    sim->counters.deaths += effect->state == GOSSIP_DEAD;
    if (effect->state == GOSSIP_DEAD && !other->left && is_reachable(sim, node->index, subject))
        sim->counters.false_deaths++;
    trace(sim, (uint64_t)node->index << 40 | (uint64_t)subject << 8 | (uint64_t)effect->state);
    trace(sim, effect->incarnation);
}

static void schedule(struct sim *sim, enum event_kind kind, struct sim_node *node, uint32_t peer,
                     const struct gossip_record *record)
{
    struct event event = {.at = sim->now + 2 * delay(sim),
                          .kind = kind,
                          .node = node->index,
                          .peer = peer,
                          .boot = node->boots};

    if (record != NULL)
        event.record = *record;
    heap_push(sim, event);
}

static void drain(struct sim_node *node);

static void set_self(struct sim_node *node, enum fm_member_claim claim)
{
    uint8_t envelope[ENVELOPE_BYTES];

    make_envelope(node->sim, &node->id, node->incarnation, claim, envelope);
    enum fm_status status =
        gossip_set_self(node->gossip, node->sim->now, fm_span(envelope, sizeof envelope));
    assert_int_equal(status, FM_OK);
    drain(node);
}

static void drain(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct gossip_effect effect;
    uint64_t refute = 0;

    while (gossip_next_effect(node->gossip, &effect)) {
        switch (effect.kind) {
        case GOSSIP_SEND:
            send_packet(sim, node->index, &effect);
            break;
        case GOSSIP_REFUTE:
            refute = effect.incarnation + 1;
            break;
        case GOSSIP_MEMBER:
            check_change(sim, node, &effect);
            break;
        case GOSSIP_WANT:
            fm_assert(effect.address.family == 4);
            schedule(sim, EVENT_FETCH, node, node_at(&effect.address), &effect.record);
            break;
        case GOSSIP_SYNC:
            fm_assert(effect.address.family == 4);
            schedule(sim, EVENT_SYNC, node, node_at(&effect.address), NULL);
            break;
        }
    }
    if (refute > node->incarnation) {
        node->incarnation = refute;
        set_self(node, FM_MEMBER_ALIVE);
    }
}

static void arm(struct sim_node *node)
{
    struct sim *sim = node->sim;
    fm_ms at = gossip_deadline(node->gossip);

    node->timer++;
    if (at == FM_MS_NEVER)
        return;
    heap_push(sim, (struct event){.at = at > sim->now ? at : sim->now,
                                  .kind = EVENT_TIMER,
                                  .node = node->index,
                                  .boot = node->boots,
                                  .timer = node->timer});
}

static void put_record(struct sim_node *node, const struct gossip_record *record)
{
    enum fm_status status = gossip_put_record(node->gossip, node->sim->now, record);
    assert_int_equal(status, FM_OK);
    drain(node);
}

static void put_member(struct sim_node *node, struct fm_span envelope)
{
    enum fm_status status = gossip_put_member(node->gossip, node->sim->now, envelope);
    assert_true(status == FM_OK || status == FM_NOTFOUND || status == FM_LIMIT);
    drain(node);
}

/* One record from the peer. */
static void on_fetch(struct sim_node *node, const struct event *event)
{
    const struct sim_node *peer = &node->sim->nodes[event->peer];
    struct gossip_record record;

    node->sim->counters.fetches++;
    if (gossip_record_find(peer->gossip, &event->record.key, &record) == FM_OK)
        put_record(node, &record);
}

/* Pull all that the peer knows better. */
static void on_sync(struct sim_node *node, const struct event *event)
{
    const struct sim_node *peer = &node->sim->nodes[event->peer];
    struct gossip_record theirs, ours;
    struct gossip_member member, known;

    node->sim->counters.syncs++;
    for (uint32_t i = 0; i < gossip_record_count(peer->gossip); i++) {
        gossip_record_at(peer->gossip, i, &theirs);
        if (gossip_record_find(node->gossip, &theirs.key, &ours) != FM_OK ||
            ours.version < theirs.version)
            put_record(node, &theirs);
    }
    for (uint32_t i = 0; i < gossip_member_count(peer->gossip); i++) {
        gossip_member_at(peer->gossip, i, &member);
        if (gossip_member_find(node->gossip, &member.node, &known) != FM_OK ||
            known.incarnation < member.incarnation)
            put_member(node, member.envelope);
    }
}

/* ---- Lives ---- */

static struct gossip_record cert_of(const struct sim_node *node)
{
    struct gossip_record record = {
        .key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = node->id}, .version = 1, .bytes = 400};
    fm_sha256_one(&record.hash, fm_span(node->id.bytes, sizeof node->id.bytes));
    return record;
}

static void end_life(struct sim_node *node)
{
    gossip_free(node->gossip);
    node->gossip = NULL;
}

/* What a node would have on disk when it ends. */
static void save(struct sim_node *node)
{
    struct gossip_member member;
    uint32_t count = gossip_record_count(node->gossip);

    fm_buf_clear(&node->saved_members);
    for (uint32_t i = 0; i < gossip_member_count(node->gossip); i++) {
        gossip_member_at(node->gossip, i, &member);
        fm_buf_put_u16(&node->saved_members, (uint16_t)member.envelope.len);
        fm_buf_put_span(&node->saved_members, member.envelope);
    }
    free(node->saved_records);
    node->saved_records = calloc(count, sizeof *node->saved_records);
    fm_assert(node->saved_records != NULL);
    for (uint32_t i = 0; i < count; i++)
        gossip_record_at(node->gossip, i, &node->saved_records[i]);
    node->saved_record_count = count;
}

static void begin_life(struct sim_node *node, bool with_seeds)
{
    struct sim *sim = node->sim;
    struct gossip_address seeds[SIM_NODES_MAX];
    struct gossip_record cert = cert_of(node);

    fm_assert(node->gossip == NULL);
    node->boots++;
    node->ever = true;
    node->left = false;
    node->paused_until = 0;
    memset(node->seen, 0, sim->options.node_count * sizeof *node->seen);
    const struct gossip_options options = {.self = node->id,
                                           .seed = gossip_random_next(&sim->random),
                                           .member_max = sim->options.member_max,
                                           .record_max = sim->options.record_max,
                                           .probe_ms = sim->options.probe_ms,
                                           .check_member = check_member,
                                           .context = node};
    assert_int_equal(gossip_new(&options, sim->now, &node->gossip), FM_OK);
    put_record(node, &cert);
    node->incarnation++;
    set_self(node, FM_MEMBER_ALIVE);
    for (uint32_t i = 0; i < sim->options.seed_nodes; i++)
        address_of(i, &seeds[i]);
    if (with_seeds) {
        assert_int_equal(gossip_join(node->gossip, sim->now, seeds, sim->options.seed_nodes),
                         FM_OK);
        drain(node);
    }
    arm(node);
}

void sim_start(struct sim *sim, uint32_t node)
{
    begin_life(&sim->nodes[node], true);
}

void sim_start_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.node_count; i++)
        sim_start(sim, i);
}

void sim_start_forgetful(struct sim *sim, uint32_t node)
{
    uint64_t incarnation = sim->nodes[node].incarnation;

    sim->nodes[node].incarnation = 0;
    begin_life(&sim->nodes[node], true);
    /* check_change() compares with the highest that ever was. */
    fm_assert(incarnation >= sim->nodes[node].incarnation);
}

void sim_restart_saved(struct sim *sim, uint32_t index)
{
    struct sim_node *node = &sim->nodes[index];
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&node->saved_members));
    struct fm_span envelope;
    uint16_t len;

    begin_life(node, false);
    for (uint32_t i = 0; i < node->saved_record_count; i++)
        put_record(node, &node->saved_records[i]);
    while (fm_take_u16(&cursor, &len) == FM_OK && fm_take_bytes(&cursor, len, &envelope) == FM_OK)
        put_member(node, envelope);
    arm(node);
}

void sim_crash(struct sim *sim, uint32_t node)
{
    fm_assert(sim->nodes[node].gossip != NULL);
    save(&sim->nodes[node]);
    end_life(&sim->nodes[node]);
}

void sim_leave(struct sim *sim, uint32_t index)
{
    struct sim_node *node = &sim->nodes[index];

    node->incarnation++;
    node->left = true;
    set_self(node, FM_MEMBER_LEFT);
    gossip_leave(node->gossip, sim->now);
    drain(node);
    arm(node);
    heap_push(sim, (struct event){.at = sim->now + LEAVE_MS,
                                  .kind = EVENT_STOP,
                                  .node = index,
                                  .boot = node->boots});
}

void sim_pause(struct sim *sim, uint32_t node, fm_ms ms)
{
    sim->nodes[node].paused_until = sim->now + ms;
}

void sim_split(struct sim *sim, uint64_t mask)
{
    for (uint32_t a = 0; a < sim->options.node_count; a++) {
        for (uint32_t b = 0; b < sim->options.node_count; b++)
            sim->cut[a][b] = (a < 64 && (mask >> a & 1) != 0) != (b < 64 && (mask >> b & 1) != 0);
    }
}

void sim_heal(struct sim *sim)
{
    memset(sim->cut, 0, sizeof sim->cut);
}

void sim_cut(struct sim *sim, uint32_t a, uint32_t b, bool cut)
{
    sim->cut[a][b] = cut;
    sim->cut[b][a] = cut;
}

void sim_set_loss(struct sim *sim, uint32_t loss_pct)
{
    sim->options.loss_pct = loss_pct;
}

void sim_publish(struct sim *sim, uint32_t index, uint32_t name, uint64_t version)
{
    struct sim_node *node = &sim->nodes[index];
    struct gossip_record record = {.key = {.kind = GOSSIP_RECORD_CONTRACT, .writer = node->id},
                                   .version = version};
    uint32_t at = 0;

    fm_store32(record.key.name, name);
    record.bytes = 1000;
    fm_sha256_one(&record.hash, fm_span(&record.version, sizeof record.version));
    while (at < sim->published_count &&
           memcmp(&sim->published[at].key, &record.key, sizeof record.key) != 0)
        at++;
    fm_assert(at < PUBLISHED_MAX);
    if (at == sim->published_count)
        sim->published_count++;
    sim->published[at] = record;
    put_record(node, &record);
    arm(node);
}

void sim_inject(struct sim *sim, uint32_t node, uint32_t sender, struct fm_span packet)
{
    deliver(sim, sender, node, packet);
}

/* ---- Time ---- */

static void run_event(struct sim *sim, const struct event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    struct gossip_address from;

    sim->counters.events++;
    trace(sim, (uint64_t)sim->now);
    trace(sim, (uint64_t)event->kind << 32 | event->node);
    address_of(event->peer, &from);
    switch (event->kind) {
    case EVENT_PACKET: {
        enum fm_status status = gossip_receive(node->gossip, sim->now, &sim->nodes[event->peer].id,
                                               &from, fm_span(event->bytes, event->len));
        assert_int_equal(status, FM_OK);
        break;
    }
    case EVENT_TIMER:
        gossip_tick(node->gossip, sim->now);
        break;
    case EVENT_FETCH:
    case EVENT_SYNC:
        if (!is_reachable(sim, event->node, event->peer) || event->peer == event->node ||
            chance(sim, sim->options.session_loss_pct))
            return;
        if (event->kind == EVENT_FETCH)
            on_fetch(node, event);
        else
            on_sync(node, event);
        break;
    case EVENT_STOP:
        save(node);
        end_life(node);
        return;
    }
    drain(node);
    arm(node);
}

static void step(struct sim *sim)
{
    struct event event = heap_pop(sim);
    struct sim_node *node = &sim->nodes[event.node];

    fm_assert(event.at >= sim->now);
    sim->now = event.at;
    bool stale = node->gossip == NULL || event.boot != node->boots ||
                 (event.kind == EVENT_TIMER && event.timer != node->timer);
    if (!stale && node->paused_until > sim->now) {
        event.at = node->paused_until;
        heap_push(sim, event);
        return;
    }
    if (!stale)
        run_event(sim, &event);
    free(event.bytes);
}

bool sim_run_until(struct sim *sim, bool (*agree)(const struct sim *sim), fm_ms ms)
{
    fm_ms end = sim->now + ms;

    for (;;) {
        fm_ms check_at = sim->now + CHECK_EVERY_MS;
        if (agree != NULL && agree(sim))
            return true;
        if (sim->now >= end)
            return false;
        while (sim->heap_count > 0 && sim->heap[0].at <= check_at)
            step(sim);
        sim->now = check_at;
    }
}

void sim_run(struct sim *sim, fm_ms ms)
{
    (void)sim_run_until(sim, NULL, ms);
}

fm_ms sim_now(const struct sim *sim)
{
    return sim->now;
}

/* ---- Beginning and end ---- */

static void clear(struct sim *sim)
{
    for (size_t i = 0; i < sim->heap_count; i++)
        free(sim->heap[i].bytes);
    free(sim->heap);
    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        struct sim_node *node = &sim->nodes[i];
        gossip_free(node->gossip);
        free(node->seen);
        free(node->saved_records);
        fm_buf_free(&node->saved_members);
    }
    memset(sim, 0, sizeof *sim);
}

void sim_reset(struct sim *sim, const struct sim_options *options)
{
    clear(sim);
    sim->options = *options;
    fm_assert(options->node_count > 0);
    fm_assert(options->node_count <= SIM_NODES_MAX);
    if (sim->options.seed_nodes == 0)
        sim->options.seed_nodes = 1;
    if (sim->options.delay_ms_max == 0) {
        sim->options.delay_ms_min = 1;
        sim->options.delay_ms_max = 5;
    }
    if (sim->options.member_max == 0)
        sim->options.member_max = 300;
    if (sim->options.record_max == 0)
        sim->options.record_max = 1024;
    sim->random.state = options->seed;
    for (uint32_t i = 0; i < options->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        *node = (struct sim_node){.sim = sim, .index = i, .saved_members = FM_BUF_INIT(0)};
        fm_store64(node->id.bytes, gossip_random_next(&sim->random));
        fm_store32(node->id.bytes + 8, (uint32_t)gossip_random_next(&sim->random));
        fm_store32(node->id.bytes + 12, i);
        node->seen = calloc(options->node_count, sizeof *node->seen);
        fm_assert(node->seen != NULL);
    }
}

struct sim *sim_new(void)
{
    struct sim *sim = calloc(1, sizeof *sim);

    fm_assert(sim != NULL);
    return sim;
}

void sim_free(struct sim *sim)
{
    if (sim == NULL)
        return;
    clear(sim);
    free(sim);
}
