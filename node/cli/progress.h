/* How far a long append is, on stderr when that is a terminal, at most ten times a second; else
 * nothing. Threads: one. */
#ifndef FM_NODE_CLI_PROGRESS_H
#define FM_NODE_CLI_PROGRESS_H

#include "core/time.h"

#include <stdbool.h>

struct fm_progress {
    bool is_on;
    bool is_shown;
    const char *name;
    uint64_t total; /* 0: not known. */
    fm_ms started;
    fm_ms drawn;
};

void fm_progress_start(struct fm_progress *progress, const char *name);
void fm_progress_show(struct fm_progress *progress, uint64_t rows);
/* Wipe the line. */
void fm_progress_end(struct fm_progress *progress);

#endif
