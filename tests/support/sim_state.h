/* What sim.c and sim_look.c share. */
#ifndef FM_TESTS_SUPPORT_SIM_STATE_H
#define FM_TESTS_SUPPORT_SIM_STATE_H

#include "core/assert.h"
#include "gossip/random.h"
#include "tests/support/sim.h"

#define PORT 7000u
#define ENVELOPE_BYTES 320u /* As large as real ones. */
#define CHECK_EVERY_MS 10
#define LEAVE_MS 1000
#define PUBLISHED_MAX 4096u

enum event_kind { EVENT_PACKET, EVENT_TIMER, EVENT_FETCH, EVENT_SYNC, EVENT_STOP };

struct event {
    fm_ms at;
    uint64_t order; /* Of creation. */
    enum event_kind kind;
    uint32_t node;
    uint32_t peer;
    uint64_t boot; /* Of `node`: what was meant for an earlier life is dropped. */
    uint64_t timer;
    struct gossip_record record;
    uint8_t *bytes;
    size_t len;
};

struct seen { /* Last report of an observer about a member. */
    enum gossip_state state;
    uint64_t incarnation;
};

struct sim_node {
    struct sim *sim;
    uint32_t index;
    struct fm_node_id id;
    struct gossip *gossip; /* NULL: does not run. */
    bool left;
    bool ever;
    uint64_t boots;
    uint64_t timer; /* The one timer that counts. */
    uint64_t incarnation;
    fm_ms paused_until;
    struct seen *seen; /* By node. */
    /* On disk. */
    struct fm_buf saved_members; /* u16 length, envelope. */
    struct gossip_record *saved_records;
    uint32_t saved_record_count;
};

struct sim {
    struct sim_options options;
    struct gossip_random random;
    fm_ms now;
    uint64_t orders;
    uint64_t trace;
    struct event *heap;
    size_t heap_count;
    size_t heap_cap;
    struct sim_node nodes[SIM_NODES_MAX];
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];
    struct gossip_record published[PUBLISHED_MAX];
    uint32_t published_count;
    struct sim_counters counters;
};

#endif
