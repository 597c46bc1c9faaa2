/* folkmoot verify --replay: the merge of a saved answer done again, in a worker process, over what
 * its fragments brought, and the rows compared. The answer was verified before.
 * Threads: the main thread. */
#ifndef FM_NODE_CLI_REPLAY_H
#define FM_NODE_CLI_REPLAY_H

#include "client/client_internal.h"
#include "node/cli/compare.h"

struct fm_replayed {
    bool is_merge; /* Else its rows are its only fragment's own: their owner signed just these. */
    uint32_t fragments;
    struct fm_compared compared;
};

/* FM_FORGED: the merge gives other rows; FM_INVALID: the file has no fragments, or the plan is not
 * one that a node makes; FM_UNSUPPORTED: it cannot be told; FM_LIMIT: it needs more memory. */
FM_MUST_USE enum fm_status fm_cli_replay(const char *file, const struct folkmoot_answer *answer,
                                         struct fm_replayed *out, struct fm_error *err);

#endif
