/* Nodes of gossip/ in virtual time: the simulator owns time, network, sessions and what a node has
 * saved. Earliest event first, ties in the order in which they arose; everything is drawn from one
 * seed, so one seed gives one trace hash. Signatures are stood in for by a hash; a node knows
 * another's certificate once it holds its NODE_CERT record, as in the real node.
 *
 * Checked at each change of a member that any node reports, aborting the test: incarnations never
 * go back, nobody comes back from dead or left without a higher one, nobody reports itself. Deaths
 * of nodes that ran, were not paused and could be reached are counted as false.
 * Threads: one. Ownership: sim_new() gives the caller a simulator, sim_free() ends it. */
#ifndef FM_TESTS_SUPPORT_SIM_H
#define FM_TESTS_SUPPORT_SIM_H

#include "gossip/gossip.h"

#define SIM_NODES_MAX 256u

struct sim;

struct sim_options {
    uint64_t seed;
    uint32_t node_count;
    uint32_t seed_nodes;    /* Each node joins through the first so many; 0: 1. */
    uint32_t loss_pct;      /* Of packets, each way. */
    uint32_t duplicate_pct; /* Of packets. */
    uint32_t session_loss_pct;
    fm_ms delay_ms_min; /* One way; 0, 0: 1..5. A wide range reorders. */
    fm_ms delay_ms_max;
    fm_ms probe_ms;      /* 0: the default of gossip.h. */
    uint32_t member_max; /* 0: 300. */
    uint32_t record_max; /* 0: 1024. */
};

struct sim *sim_new(void);
void sim_free(struct sim *sim);
/* Begin anew: no node runs. */
void sim_reset(struct sim *sim, const struct sim_options *options);

/* ---- What happens to nodes ---- */
void sim_start(struct sim *sim, uint32_t node); /* Also after a crash; nothing but its incarnation
                                                   and identity is kept. */
void sim_start_all(struct sim *sim);
void sim_restart_saved(struct sim *sim, uint32_t node);   /* With members and records, no seeds. */
void sim_start_forgetful(struct sim *sim, uint32_t node); /* Even its incarnation is lost. */
void sim_crash(struct sim *sim, uint32_t node);
void sim_leave(struct sim *sim, uint32_t node); /* Says goodbye, and stops a second later. */
void sim_pause(struct sim *sim, uint32_t node, fm_ms ms);
/* Nodes with a bit of `mask` set and the others no longer hear each other. */
void sim_split(struct sim *sim, uint64_t mask);
void sim_heal(struct sim *sim);
/* Packets between these two nodes are lost; sessions too. */
void sim_cut(struct sim *sim, uint32_t a, uint32_t b, bool cut);
void sim_set_loss(struct sim *sim, uint32_t loss_pct);
/* Node publishes version `version` of its contract number `name`. */
void sim_publish(struct sim *sim, uint32_t node, uint32_t name, uint64_t version);
/* Give `node` these bytes as a packet of `sender` (which need not run). */
void sim_inject(struct sim *sim, uint32_t node, uint32_t sender, struct fm_span packet);

/* ---- Time ---- */
void sim_run(struct sim *sim, fm_ms ms);
/* Until `agree` holds, asked every 10 ms of virtual time; false after `ms`. */
bool sim_run_until(struct sim *sim, bool (*agree)(const struct sim *sim), fm_ms ms);
fm_ms sim_now(const struct sim *sim);

/* ---- Looking ---- */
/* Each running node has all running ones alive at their latest incarnation, all crashed ones dead
 * or not at all, and those that left as left. */
bool sim_all_views_agree(const struct sim *sim);
/* Every running node has the latest version of all published records. */
bool sim_all_records_agree(const struct sim *sim);
bool sim_all_agree(const struct sim *sim);                       /* Both. */
struct gossip *sim_gossip(const struct sim *sim, uint32_t node); /* NULL: does not run. */
void sim_node_id(const struct sim *sim, uint32_t node, struct fm_node_id *out);
/* What `observer` thinks of `node`; 0: nothing. */
enum gossip_state sim_state(const struct sim *sim, uint32_t observer, uint32_t node);
uint64_t sim_incarnation(const struct sim *sim, uint32_t node);
uint64_t sim_trace_hash(const struct sim *sim);

struct sim_counters {
    uint64_t events, packets, packet_bytes, syncs, fetches, false_deaths, suspicions, deaths;
};
void sim_counters(const struct sim *sim, struct sim_counters *out);

/* Seeds to run: FM_SEED=s only s; otherwise 1 to `quick`, FM_LONG=1 twenty times as many. */
uint64_t sim_seed_first(void);
uint64_t sim_seed_end(uint64_t quick);

/* For cmocka. */
int sim_setup(void **state);
int sim_teardown(void **state);

/* Times of many runs, for a line of output. */
struct sim_times {
    fm_ms items[4096];
    uint32_t count;
};
void sim_times_add(struct sim_times *times, fm_ms ms);
void sim_times_print(struct sim_times *times, const char *what);

#endif
