#include "tests/support/sim_state.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LONG_FACTOR 20u

/* ---- Looking ---- */

static bool agrees_about(const struct sim *sim, const struct sim_node *observer,
                         const struct sim_node *node)
{
    struct gossip_member member;
    enum fm_status status = gossip_member_find(observer->gossip, &node->id, &member);

    (void)sim;
    if (node->left)
        return status == FM_OK && member.state == GOSSIP_LEFT;
    if (node->gossip == NULL)
        return status != FM_OK || member.state == GOSSIP_DEAD;
    return status == FM_OK && member.state == GOSSIP_ALIVE &&
           member.incarnation == node->incarnation;
}

bool sim_all_views_agree(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.node_count; i++) {
        const struct sim_node *observer = &sim->nodes[i];
        if (observer->gossip == NULL || observer->left)
            continue;
        for (uint32_t j = 0; j < sim->options.node_count; j++) {
            if (sim->nodes[j].ever && !agrees_about(sim, observer, &sim->nodes[j]))
                return false;
        }
    }
    return true;
}

bool sim_all_records_agree(const struct sim *sim)
{
    struct gossip_record record;

    for (uint32_t i = 0; i < sim->options.node_count; i++) {
        const struct sim_node *node = &sim->nodes[i];
        for (uint32_t j = 0; j < sim->published_count && node->gossip != NULL && !node->left; j++) {
            const struct gossip_record *want = &sim->published[j];
            if (gossip_record_find(node->gossip, &want->key, &record) != FM_OK ||
                record.version != want->version || !fm_hash_equal(&record.hash, &want->hash))
                return false;
        }
    }
    return true;
}

bool sim_all_agree(const struct sim *sim)
{
    return sim_all_views_agree(sim) && sim_all_records_agree(sim);
}

struct gossip *sim_gossip(const struct sim *sim, uint32_t node)
{
    fm_assert(node < sim->options.node_count);
    return sim->nodes[node].gossip;
}

void sim_node_id(const struct sim *sim, uint32_t node, struct fm_node_id *out)
{
    fm_assert(node < sim->options.node_count);
    *out = sim->nodes[node].id;
}

enum gossip_state sim_state(const struct sim *sim, uint32_t observer, uint32_t node)
{
    struct gossip_member member;

    if (gossip_member_find(sim->nodes[observer].gossip, &sim->nodes[node].id, &member) != FM_OK)
        return (enum gossip_state)0;
    return member.state;
}

uint64_t sim_incarnation(const struct sim *sim, uint32_t node)
{
    return sim->nodes[node].incarnation;
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    uint64_t hash = sim->trace;

    for (uint32_t i = 0; i < sim->options.node_count; i++) {
        if (sim->nodes[i].gossip != NULL)
            hash = (hash ^ gossip_state_hash(sim->nodes[i].gossip)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

void sim_counters(const struct sim *sim, struct sim_counters *out)
{
    *out = sim->counters;
}

/* ---- For tests ---- */

int sim_setup(void **state)
{
    *state = sim_new();
    return 0;
}

int sim_teardown(void **state)
{
    sim_free(*state);
    return 0;
}

uint64_t sim_seed_first(void)
{
    const char *seed = getenv("FM_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

uint64_t sim_seed_end(uint64_t quick)
{
    if (getenv("FM_SEED") != NULL)
        return sim_seed_first() + 1;
    return 1 + (getenv("FM_LONG") != NULL ? LONG_FACTOR * quick : quick);
}

void sim_times_add(struct sim_times *times, fm_ms ms)
{
    if (times->count < sizeof times->items / sizeof *times->items)
        times->items[times->count++] = ms;
}

static int compare_ms(const void *a, const void *b)
{
    fm_ms x = *(const fm_ms *)a;
    fm_ms y = *(const fm_ms *)b;
    return x < y ? -1 : x > y;
}

void sim_times_print(struct sim_times *times, const char *what)
{
    if (times->count == 0)
        return;
    qsort(times->items, times->count, sizeof *times->items, compare_ms);
    print_message("%s: %" PRIu32 " runs, median %" PRId64 " ms, worst %" PRId64 " ms\n", what,
                  times->count, times->items[times->count / 2], times->items[times->count - 1]);
}
