/* Four nodes as processes, of which three own a domain and one nothing, beside one DuckDB that
 * holds all their tables (random_schema.h); statements asked of both.
 * Threads: one. Errors: what a test cannot go on without fails the test. */
#ifndef FM_TESTS_SUPPORT_MESH_PAIR_H
#define FM_TESTS_SUPPORT_MESH_PAIR_H

#include "include/folkmoot.h"
#include "tests/support/live_mesh.h"
#include "tests/support/oracle.h"
#include "tests/support/random_schema.h"

#define PAIR_NODES 4u
#define PAIR_NOBODY 3u /* The node that owns nothing. */

struct pair {
    struct live_mesh *mesh;
    struct folkmoot *nodes[PAIR_NODES];
    struct folkmoot *teams[WORLD_DOMAINS];
    struct oracle *oracle;
    uint32_t counts[ANSWER_BROKEN + 1];
    uint32_t one_sided; /* Failed over rows that the other did not look at. */
};

struct pair *pair_new(void);
void pair_free(struct pair *pair);
/* Publish a world's contracts and append its rows; all nodes have seen them then. */
void pair_load(struct pair *pair, const struct world *world, uint64_t seed);

struct pair_question {
    const char *mesh;   /* SQL for the node, */
    const char *oracle; /* and the same for DuckDB. */
    bool ordered;
    uint32_t node;
    const char *without; /* Rules left out; NULL or empty: none. */
};

/* Whether both refuse, or have the same answer; else `report` (may be NULL) gets both answers. What
 * has too many rows, needs too much memory, or DuckDB cannot do, is not compared. */
bool pair_agrees(struct pair *pair, const struct pair_question *question, struct fm_buf *report);

#endif
