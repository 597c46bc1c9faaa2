/* The wish that something ends, for all who wait on its behalf: fired once, for good. Who begins a
 * wait hooks in what cuts it short.
 * Threads: any. Hooks are called under the stop's lock: they are brief, and take no lock under
 * which somebody hooks or unhooks. Ownership: embedded; a hook belongs to who waits.
 * A stop that is NULL never fires. */
#ifndef FM_CORE_STOP_H
#define FM_CORE_STOP_H

#include <pthread.h>
#include <stdbool.h>

struct fm_stop_hook {
    void (*call)(void *context);
    void *context;
    struct fm_stop_hook *next;
};

struct fm_stop {
    pthread_mutex_t lock;
    bool fired;
    struct fm_stop_hook *hooks;
};

void fm_stop_init(struct fm_stop *stop);
void fm_stop_deinit(struct fm_stop *stop); /* Nobody is hooked any more. */
void fm_stop_fire(struct fm_stop *stop);   /* Again is fine. */
bool fm_stop_is_fired(struct fm_stop *stop);
/* Call `call` with `context` once when it fires; at once when it has. */
void fm_stop_hook(struct fm_stop *stop, struct fm_stop_hook *hook, void (*call)(void *context),
                  void *context);
/* Afterwards it is not called, nor being called. One that is not hooked is fine. */
void fm_stop_unhook(struct fm_stop *stop, struct fm_stop_hook *hook);

#endif
