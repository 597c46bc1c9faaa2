/* Fetches what gossip announced: records by key, and lists to compare, over sessions with other
 * nodes. Threads: one of its own; jobs may be pushed from any. Jobs are bounded and told apart: a
 * job that waits already is not added again; gossip asks anew for what was dropped. */
#ifndef FM_NODE_FETCHER_H
#define FM_NODE_FETCHER_H

#include "gossip/gossip.h"

struct fm_server;
struct fm_fetcher;

enum fm_fetch_kind { FM_FETCH_RECORD = 1, FM_FETCH_LISTS = 2, FM_FETCH_SEEDS = 3 };

struct fm_fetch_job {
    enum fm_fetch_kind kind;
    struct fm_node_id node;       /* Whom to ask. */
    char address[280];            /* Where; empty for FM_FETCH_SEEDS. */
    struct gossip_record_key key; /* FM_FETCH_RECORD. */
};

FM_MUST_USE enum fm_status fm_fetcher_open(struct fm_server *server, struct fm_fetcher **out,
                                           struct fm_error *err);
void fm_fetcher_close(struct fm_fetcher *fetcher);
void fm_fetcher_push(struct fm_fetcher *fetcher, const struct fm_fetch_job *job);

#endif
