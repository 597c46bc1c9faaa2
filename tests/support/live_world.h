/* A mesh for attacks: node alpha runs and owns alpha.items (id, text; 100 rows), node mole is
 * admitted but does not run, so that a test can be it; principals reader and alpha-team.
 * Threads: one. Errors: what a test cannot go on without fails the test. */
#ifndef FM_TESTS_SUPPORT_LIVE_WORLD_H
#define FM_TESTS_SUPPORT_LIVE_WORLD_H

#include "tests/support/live_mesh.h"
#include "tests/support/raw_peer.h"

#define WORLD_ROWS 100u

struct live_world {
    struct live_mesh *mesh;
    struct live_node *node;
    struct fm_key *authority;
    struct fm_identity *alpha; /* The node's. */
    struct fm_identity *mole;
    struct fm_identity *reader;
    struct fm_identity *team;
};

/* cmocka's group setup and teardown. */
int live_world_setup(void **state);
int live_world_teardown(void **state);

/* Ways to connect to alpha; to be changed at will. */
struct raw_identity live_as_principal(const struct live_world *w,
                                      const struct fm_identity *principal);
struct raw_identity live_as_mole(const struct live_world *w, enum fm_noise_pattern pattern);
/* The node runs and answers a question. */
void live_assert_serves(struct live_world *w);
/* How many rows alpha.items has now. */
uint32_t live_count_rows(struct live_world *w);
/* The body of requests without content. */
struct fm_span live_empty_map(void);

#endif
