/* The mesh that most tests of queries want: nodes alpha and beta, which own what the test publishes
 * there, and gamma, where there are three, which owns nothing. The last one is asked, by principal
 * reader.
 * Threads: one. Errors: what a test cannot go on without fails the test. */
#ifndef FM_TESTS_SUPPORT_LIVE_OWNERS_H
#define FM_TESTS_SUPPORT_LIVE_OWNERS_H

#include "include/folkmoot.h"
#include "tests/support/live_mesh.h"

struct live_owners {
    struct live_mesh *mesh;
    struct live_node *alpha;
    struct live_node *beta;
    struct live_node *asked;   /* The last one. */
    struct folkmoot *handle;   /* The reader's at `asked`. */
    struct live_result result; /* Of the last live_owners_run(). */
};

/* Two or three running nodes. `prepare` (may be NULL) sees each one before it starts. */
struct live_owners *live_owners_new(uint32_t node_count, void (*prepare)(struct live_mesh *mesh,
                                                                         struct live_node *node));
/* What was published is there: make the reader, and wait until `asked` sees all members and that
 * many products. */
void live_owners_ready(struct live_owners *owners, uint32_t products);
/* cmocka's teardown of a group whose state is a live_owners. */
int live_owners_teardown(void **state);
/* The folkmoot program with these arguments, NULL at the end, as the reader at `asked`; its exit
 * code. What it printed is in `result` until the next run. */
int live_owners_run(struct live_owners *owners, const char *const *arguments);
/* The same as text. */
const char *live_owners_out(const struct live_owners *owners);
const char *live_owners_err(const struct live_owners *owners);

#endif
