/* What a node tells the service manager that started it, as sd_notify(3) does: datagrams to the
 * socket that the environment names. Without one nothing is told.
 * Ownership: fm_notify_close() ends what fm_notify_open() gave. Threads: the main thread. */
#ifndef FM_NODE_NOTIFY_H
#define FM_NODE_NOTIFY_H

#include "core/status.h"
#include "core/time.h"

struct fm_notify {
    int fd;       /* -1: nobody to tell. */
    fm_ms every;  /* Signs of life come at least so often; FM_MS_NEVER: none are wanted. */
    fm_ms beaten; /* When the last one was sent. */
};

/* Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no process of
 * this one speaks for it. Before any thread exists. FM_IO, FM_INVALID: the socket that is named
 * cannot be reached. */
FM_MUST_USE enum fm_status fm_notify_open(struct fm_notify *notify, struct fm_error *err);
/* "READY=1", "STOPPING=1". Never waits: a manager that does not read is not told. */
void fm_notify_tell(const struct fm_notify *notify, const char *text);
/* A sign of life, when half of what the manager waits for one has gone by. */
void fm_notify_beat(struct fm_notify *notify, fm_ms now);
void fm_notify_close(struct fm_notify *notify);

#endif
