/* Tells the mesh about this node's tables: signs statistics (core/statistics.h) of each table that
 * it publishes, the first time there are rows and then whenever the table has changed notably, and
 * gives them to gossip. At most one statement about a table in FM_STATISTICS_MS_MIN.
 * Threads: one of its own; start and stop by the same thread. What fails is logged and tried again
 * a minute later; it never ends the node, and no query waits for it. */
#ifndef FM_NODE_ANNOUNCER_H
#define FM_NODE_ANNOUNCER_H

#include "core/status.h"

struct fm_server;
struct fm_announcer;

/* The server's store, registry, identity and membership are there until the stop. FM_NOMEM: no
 * thread, too. */
FM_MUST_USE enum fm_status fm_announcer_start(struct fm_server *server, struct fm_announcer **out,
                                              struct fm_error *err);
void fm_announcer_stop(struct fm_announcer *announcer); /* NULL is fine. */

#endif
