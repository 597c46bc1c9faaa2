/* The thread that seals and merges in the background. */
#include "storage/internal.h"

#include "core/assert.h"

#include <time.h>

#define SEALER_RETRY_S 2 /* After a failure. */

bool state_wants_merge(const struct table_state *state)
{
    return state->segment_count >= 2 && state->next_segment != state->table->merge_looked;
}

/* Under lock. Sealing comes first: hot rows cost scans most. */
static const struct table *find_wanting(const struct fm_store *store, bool *is_merge)
{
    *is_merge = false;
    for (uint32_t i = 0; i < store->table_count; i++) {
        if (state_wants_seal(store->tables[i]->state))
            return store->tables[i];
    }
    *is_merge = true;
    for (uint32_t i = 0; i < store->table_count; i++) {
        if (state_wants_merge(store->tables[i]->state))
            return store->tables[i];
    }
    return NULL;
}

/* Under lock. */
static void wait_a_while(struct fm_store *store)
{
    struct timespec until;
    int waited = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_sec += SEALER_RETRY_S;
    while (!store->stop_sealer && waited == 0)
        waited = pthread_cond_timedwait(&store->seal_wanted, &store->lock, &until);
}

static void *sealer_thread(void *argument)
{
    struct fm_store *store = argument;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    while (!store->stop_sealer) {
        bool is_merge = false;
        const struct table *table = find_wanting(store, &is_merge);
        enum fm_status status;

        if (table == NULL) {
            (void)pthread_cond_wait(&store->seal_wanted, &store->lock); /* Cannot fail. */
            continue;
        }
        (void)pthread_mutex_unlock(&store->lock);
        status = is_merge ? merge_table(store, table->domain, table->name, false, NULL, NULL)
                          : fm_store_seal(store, table->domain, table->name, NULL, NULL);
        (void)pthread_mutex_lock(&store->lock);
        if (status != FM_OK) /* Nothing is lost, and appends tell of bad disks. */
            wait_a_while(store);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return NULL;
}

enum fm_status sealer_start(struct fm_store *store)
{
    fm_assert(!store->has_sealer);
    store->has_sealer = pthread_create(&store->sealer, NULL, sealer_thread, store) == 0;
    return store->has_sealer ? FM_OK : FM_NOMEM;
}

void sealer_stop(struct fm_store *store)
{
    if (!store->has_sealer)
        return;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    store->stop_sealer = true;
    (void)pthread_cond_signal(&store->seal_wanted);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->sealer, NULL); /* A thread of our own that exists. */
    store->has_sealer = false;
}
