#include "core/stop.h"

#include "core/assert.h"

#include <stddef.h>

static void lock(struct fm_stop *stop)
{
    fm_assert(pthread_mutex_lock(&stop->lock) == 0);
}

static void unlock(struct fm_stop *stop)
{
    fm_assert(pthread_mutex_unlock(&stop->lock) == 0);
}

void fm_stop_init(struct fm_stop *stop)
{
    *stop = (struct fm_stop){.hooks = NULL};
    fm_assert(pthread_mutex_init(&stop->lock, NULL) == 0);
}

void fm_stop_deinit(struct fm_stop *stop)
{
    fm_assert(stop->hooks == NULL);
    (void)pthread_mutex_destroy(&stop->lock); /* Unlocked: cannot fail. */
}

void fm_stop_fire(struct fm_stop *stop)
{
    lock(stop);
    bool first = !stop->fired;
    stop->fired = true;
    for (struct fm_stop_hook *hook = stop->hooks; hook != NULL && first; hook = hook->next)
        hook->call(hook->context);
    unlock(stop);
}

bool fm_stop_is_fired(struct fm_stop *stop)
{
    if (stop == NULL)
        return false;
    lock(stop);
    bool fired = stop->fired;
    unlock(stop);
    return fired;
}

void fm_stop_hook(struct fm_stop *stop, struct fm_stop_hook *hook, void (*call)(void *context),
                  void *context)
{
    if (stop == NULL)
        return;
    lock(stop);
    *hook = (struct fm_stop_hook){.call = call, .context = context, .next = stop->hooks};
    stop->hooks = hook;
    if (stop->fired)
        call(context);
    unlock(stop);
}

void fm_stop_unhook(struct fm_stop *stop, struct fm_stop_hook *hook)
{
    if (stop == NULL)
        return;
    lock(stop);
    for (struct fm_stop_hook **at = &stop->hooks; *at != NULL; at = &(*at)->next)
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    unlock(stop);
}
