/* The daemon. */
#ifndef FM_NODE_NODE_H
#define FM_NODE_NODE_H

#include "node/config.h"

/* Run the node of `config->dir` until SIGTERM or SIGINT. Blocks. */
FM_MUST_USE enum fm_status fm_node_run(const struct fm_node_config *config, struct fm_error *err);

#endif
