/* What a running node holds, with the processes that it made: taken at rest, and compared with
 * later. A node that was started anew is not watched until live_watch_begin().
 * Threads: one. Errors: what stays behind fails the test. Units: milliseconds, bytes. */
#ifndef FM_TESTS_SUPPORT_LIVE_WATCH_H
#define FM_TESTS_SUPPORT_LIVE_WATCH_H

#include "tests/support/live_mesh.h"

/* What a node, or the first process of its engine, may have grown by since its rest, whatever it
 * did since. The C library keeps freed blocks for each of a node's 215 threads, 50 MiB once all
 * have served calls of all sizes, and some MiB in each of its arenas; sessions take 10 MiB. */
#define LIVE_WATCH_GROWTH_MIB 128u

struct live_watch;

struct live_watch *live_watch_new(const struct live_node *node); /* Of the mesh; not yet on. */
void live_watch_free(struct live_watch *watch);
/* The node as it is now is at rest. */
void live_watch_begin(struct live_watch *watch);
/* Has the node run since live_watch_begin()? */
bool live_watch_is_on(const struct live_watch *watch);
/* It has again no more descriptors, threads, processes than at rest, nor much more memory, within
 * `ms`. Sanitizers keep memory: with them it is not looked at. */
void live_watch_assert_returns(const struct live_watch *watch, fm_ms ms);
void live_watch_print(const struct live_watch *watch);

/* Is the process gone, or only to be waited for by its parent? */
bool live_has_ended(pid_t pid);
/* Bytes that workers of the node have in files to spill to. */
uint64_t live_spilled_bytes(pid_t node);
uint32_t live_count_entries(const char *folder);

#endif
