/* A node's folder while the node rests: where its store is and who it is, for doctor, backup and
 * restore.
 * Ownership: fm_cli_node_deinit() releases the key. Threads: one. */
#ifndef FM_NODE_CLI_NODE_FOLDER_H
#define FM_NODE_CLI_NODE_FOLDER_H

#include "node/cli/cli.h"
#include "node/config.h"

struct fm_cli_node {
    char data[FM_CONFIG_PATH_MAX]; /* The store's folder, as node.yaml says. */
    bool has_identity;             /* Charter and certificate are there and hold. */
    struct fm_charter charter;
    struct fm_node_cert cert; /* Perhaps expired. */
    struct fm_key *log_key;   /* NULL without it. */
};

/* Where the store of the node in `dir` is. FM_NOTFOUND: there is no such folder; FM_INVALID: its
 * node.yaml is wrong. */
FM_MUST_USE enum fm_status fm_cli_node_data(const char *dir, char out[FM_CONFIG_PATH_MAX],
                                            struct fm_error *err);
/* Charter and certificate, at whatever time. FM_NOTFOUND: no mesh was joined; FM_FORGED,
 * FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_cli_node_cert(const char *dir, struct fm_charter *charter,
                                            struct fm_node_cert *cert, struct fm_error *err);
/* All of it. What of the identity is missing is left out; what does not hold is a failure. */
FM_MUST_USE enum fm_status fm_cli_node_load(const char *dir, struct fm_cli_node *out,
                                            struct fm_error *err);
void fm_cli_node_deinit(struct fm_cli_node *node);

#endif
