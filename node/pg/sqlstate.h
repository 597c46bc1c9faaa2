/* SQLSTATEs (PostgreSQL 15 documentation, appendix A) of what goes wrong at a node.
 * Threads: pure functions. */
#ifndef FM_NODE_PG_SQLSTATE_H
#define FM_NODE_PG_SQLSTATE_H

#include "core/status.h"

/* Five characters. A status says little about a statement that does not hold: there the words of
 * the planner and of the engine tell, outside of quotes, since what is quoted is the asker's. */
const char *fm_pg_sqlstate(enum fm_status status, const char *text);

#endif
