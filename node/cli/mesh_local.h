/* A mesh on this machine: its folder, and the processes that run it. Made by `mesh up`, ended by
 * `mesh down`. Threads: one. */
#ifndef FM_NODE_CLI_MESH_LOCAL_H
#define FM_NODE_CLI_MESH_LOCAL_H

#include "core/status.h"

#include <sys/types.h>

#define FM_LOCAL_MESH "mesh"       /* Folder of the authority. */
#define FM_LOCAL_LOG "up.log"      /* What the verbs said that made it. */
#define FM_LOCAL_RUNNING "running" /* A line a node: name, process id, when that began. */

/* Make the folder. FM_CONFLICT: it is there. */
FM_MUST_USE enum fm_status fm_local_begin(const char *dir, struct fm_error *err);
/* Add a process to those that run the mesh. */
FM_MUST_USE enum fm_status fm_local_note(const char *dir, const char *name, pid_t pid,
                                         struct fm_error *err);
/* End them, and only them: a process of the same id that began at another time is another one.
 * FM_NOTFOUND: `dir` is not of `mesh up`. */
FM_MUST_USE enum fm_status fm_local_stop(const char *dir, struct fm_error *err);

#endif
