/* Appends that are answered before their sync (FM_DURABLE_MEMORY): a thread of the store syncs soon
 * what nobody else did. It begins with the first of them. */
#include "storage/internal.h"

#include "core/assert.h"

#include <errno.h>
#include <time.h>

/* Under commit_lock: let others join the sync, or do it. */
static void wait_a_little(struct fm_store *store)
{
    struct late_sync *late = &store->late;
    struct timespec until;
    int waited = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_nsec += COMMIT_LATE_MS * 1000000L;
    _Static_assert(COMMIT_LATE_MS < 1000, "less than a second is added");
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    while (!late->stop && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&late->wanted, &store->commit_lock, &until);
}

static void *run(void *argument)
{
    struct fm_store *store = argument;
    struct late_sync *late = &store->late;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    for (;;) {
        enum fm_status status = FM_OK;

        if (late->number > store->synced) {
            wait_a_little(store);
            (void)pthread_mutex_unlock(&store->commit_lock);
            status = store_settle(store, NULL);
            (void)pthread_mutex_lock(&store->commit_lock);
        }
        if (status != FM_OK) /* The store is poisoned now, which the next append is told. */
            late->number = 0;
        if (late->number > store->synced)
            continue;
        if (late->stop)
            break;
        (void)pthread_cond_wait(&late->wanted, &store->commit_lock); /* Cannot fail. */
    }
    (void)pthread_mutex_unlock(&store->commit_lock);
    return NULL;
}

bool late_sync_start(struct fm_store *store)
{
    struct late_sync *late = &store->late;
    bool has_thread;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail: a plain, initialised mutex. */
    fm_assert(!late->stop);
    if (!late->has_thread)
        late->has_thread = pthread_create(&late->thread, NULL, run, store) == 0;
    has_thread = late->has_thread;
    (void)pthread_mutex_unlock(&store->commit_lock);
    return has_thread;
}

void late_sync_want(struct fm_store *store, uint64_t number)
{
    fm_assert(store->late.has_thread);
    fm_assert(number > store->synced);
    store->late.number = number;
    (void)pthread_cond_signal(&store->late.wanted); /* Cannot fail. */
}

void late_sync_stop(struct fm_store *store)
{
    struct late_sync *late = &store->late;

    if (!late->has_thread)
        return;
    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    late->stop = true;
    (void)pthread_cond_signal(&late->wanted); /* Cannot fail. */
    (void)pthread_mutex_unlock(&store->commit_lock);
    (void)pthread_join(late->thread, NULL); /* A thread of our own that exists. */
    late->has_thread = false;
}
