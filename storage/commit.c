#include "storage/turn.h"

#include "core/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#define GROUP_PATIENCE_US_MAX 10000u

enum fm_status store_usable(struct fm_store *store, struct fm_error *err)
{
    bool poisoned;

    if (store->read_only)
        return fm_fail(err, FM_REFUSED, "the store in %s is open for reading only", store->dir);
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail: a plain, initialised mutex. */
    poisoned = store->poisoned;
    (void)pthread_mutex_unlock(&store->lock);
    if (poisoned)
        return fm_fail(err, FM_IO,
                       "an earlier write to %s failed, so it is unknown what is stored; open the "
                       "store again",
                       store->dir);
    return FM_OK;
}

enum fm_status store_free_bytes(const struct fm_store *store, uint64_t *out, struct fm_error *err)
{
    struct statvfs fs;

    if (fstatvfs(store->dir_fd, &fs) != 0)
        return fm_fail_errno(err, FM_IO, errno, "ask for the free space of %s", store->dir);
    *out = (uint64_t)fs.f_bavail * fs.f_frsize;
    return FM_OK;
}

enum fm_status store_has_space(const struct fm_store *store, struct fm_error *err)
{
    uint64_t free_bytes = 0;
    enum fm_status status = store_free_bytes(store, &free_bytes, err);

    if (status == FM_OK && free_bytes < store->free_bytes_min)
        return fm_fail(err, FM_LIMIT,
                       "%s has %llu MiB of free space left, less than the %llu MiB that appends "
                       "leave; make room",
                       store->dir, (unsigned long long)(free_bytes >> 20),
                       (unsigned long long)(store->free_bytes_min >> 20));
    return status;
}

void store_poison(struct fm_store *store)
{
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    store->poisoned = true;
    (void)pthread_mutex_unlock(&store->lock);
}

static enum fm_status put_tip(struct rocks_batch *batch, const struct tip_value *tip)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_meta(KEYS_META_TIP);

    tip_encode(&value, tip);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    return FM_OK;
}

static enum fm_status put_digest(struct rocks_batch *batch, const struct tip_value *tip)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_commit(tip->number);

    commit_encode(&value, &tip->digest);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    if (tip->number >= KEYS_COMMITS_KEPT) {
        key = key_commit(tip->number - KEYS_COMMITS_KEPT);
        rocks_batch_delete(batch, ROCKS_META, key_span(&key));
    }
    return FM_OK;
}

/* ---- Views ----------------------------------------------------------------------------------- */

struct store_view *store_view(struct fm_store *store)
{
    struct store_view *view;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    view = store->view;
    atomic_fetch_add(&view->references, 1);
    (void)pthread_mutex_unlock(&store->lock);
    return view;
}

void view_release(struct store_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) != 1)
        return;
    (void)pthread_mutex_lock(&view->store->view_lock); /* Cannot fail. */
    if (view->link != NULL)
        *view->link = view->next;
    if (view->next != NULL)
        view->next->link = view->link;
    (void)pthread_mutex_unlock(&view->store->view_lock);
    rocks_snapshot_free(view->rocks);
    free(view);
}

uint64_t view_oldest(struct fm_store *store)
{
    uint64_t oldest = UINT64_MAX;

    (void)pthread_mutex_lock(&store->view_lock); /* Cannot fail. */
    for (const struct store_view *view = store->views; view != NULL; view = view->next)
        oldest = view->number < oldest ? view->number : oldest;
    (void)pthread_mutex_unlock(&store->view_lock);
    return oldest;
}

enum fm_status view_new(struct fm_store *store, struct store_view **out)
{
    FM_AUTO(view_releasep) struct store_view *view = calloc(1, sizeof *view);
    enum fm_status status;

    if (view == NULL)
        return FM_NOMEM;
    view->store = store;
    atomic_init(&view->references, 1);
    status = rocks_snapshot_new(store->rocks, &view->rocks);
    if (status != FM_OK)
        return status;
    view->number = store->tip.number;
    (void)pthread_mutex_lock(&store->view_lock); /* Cannot fail. */
    view->next = store->views;
    view->link = &store->views;
    if (view->next != NULL)
        view->next->link = &view->next;
    store->views = view;
    (void)pthread_mutex_unlock(&store->view_lock);
    *out = FM_TAKE(view);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Decide on a list of commits. Left in it are those whose threads sleep: they are to be told. Those
 * that nobody waits for end here. */
static struct pending_commit *decide(struct pending_commit *list, enum commit_fate fate)
{
    struct pending_commit *asleep = NULL;
    struct pending_commit **end = &asleep;

    while (list != NULL) {
        struct pending_commit *at = list;

        list = at->link;
        if (at->is_left) {
            state_release(at->next); /* Of a commit that is lost. */
            free(at);
            continue;
        }
        if (at->told != NULL) {
            at->link = NULL;
            *end = at;
            end = &at->link;
        }
        atomic_store(&at->fate, fate); /* The last that is touched of one that is awake. */
    }
    return asleep;
}

static void tell(struct pending_commit *asleep)
{
    while (asleep != NULL) {
        sem_t *told = asleep->told;

        asleep = asleep->link; /* Before its thread wakes and ends it. */
        (void)sem_post(told);  /* Once. */
    }
}

/* Under commit_lock. The first failure is told to all that wait; `group` is being synced. */
static void fail_all(struct fm_store *store, struct pending_commit *group,
                     const struct fm_error *failure)
{
    struct pending_commit *pending = store->pending;

    store->failure = *failure;
    store->pending = NULL; /* Each thread gives up its own. */
    store->pending_count = 0;
    store_poison(store);
    tell(decide(group, COMMIT_LOST));
    tell(decide(pending, COMMIT_LOST));
    (void)pthread_cond_broadcast(&store->commit_done); /* Cannot fail. */
}

/* After the failure, which is the last word. */
static enum fm_status fail_unknown(const struct fm_store *store, uint64_t number,
                                   struct fm_error *err)
{
    if (err != NULL)
        *err = store->failure;
    return fm_wrap(err, FM_IO, "commit %llu to %s failed, so it is unknown whether it is stored",
                   (unsigned long long)number, store->dir);
}

static void add_pending(struct fm_store *store, struct pending_commit *pending, uint64_t number)
{
    struct table_state *before = NULL;

    pending->number = number;
    pending->link = NULL;
    atomic_init(&pending->fate, COMMIT_WRITTEN);
    if (store->pending == NULL)
        store->pending_end = &store->pending;
    *store->pending_end = pending;
    store->pending_end = &pending->link;
    if (!pending->is_left && ++store->pending_count == store->group_wanted && store->is_gathering)
        (void)pthread_cond_signal(&store->group_full); /* Cannot fail. */
    if (pending->next == NULL)
        return;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    before = pending->next->table->written;
    pending->next->table->written = state_retain(pending->next);
    (void)pthread_mutex_unlock(&store->lock);
    state_release(before);
}

/* What is to be written: a commit for each table. */
struct writing {
    struct rocks_batch *batch;
    const struct commit_what *whats;
    uint32_t count;
    struct pending_commit *pending[FM_APPEND_TABLES_MAX];
};

static enum fm_status write_locked(struct fm_store *store, const struct writing *writing,
                                   struct fm_error *err)
{
    struct tip_value tip = store->tip;
    struct fm_error failure = {0};
    enum fm_status status = FM_OK;

    fm_assert(tip.number >= store->synced);
    for (uint32_t i = 0; status == FM_OK && i < writing->count; i++) {
        tip.number++;
        commit_chain(&tip.digest, tip.number, &writing->whats[i]);
        status = put_digest(writing->batch, &tip);
    }
    if (status == FM_OK)
        status = put_tip(writing->batch, &tip);
    if (status != FM_OK)
        return status;
    if (rocks_write(store->rocks, writing->batch, false, &failure) != FM_OK) {
        fail_all(store, NULL, &failure);
        return fail_unknown(store, tip.number, err);
    }
    for (uint32_t i = 0; i < writing->count; i++)
        add_pending(store, writing->pending[i], store->tip.number + 1 + i);
    store->tip = tip;
    return FM_OK;
}

/* ---- Syncing --------------------------------------------------------------------------------- */

/* Readers get the group's states and RocksDB's snapshot at one moment. */
static void publish_group(struct fm_store *store, struct pending_commit *group,
                          struct store_view *view)
{
    struct store_view *before;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    for (struct pending_commit *at = group; at != NULL; at = at->link) {
        struct table_state *next = at->next;

        if (next == NULL)
            continue;
        fm_assert(next->table->state->tree.size <= next->tree.size);
        at->next = next->table->state;
        next->table->state = next;
        if (state_wants_seal(next) || state_wants_merge(next))
            (void)pthread_cond_signal(&store->seal_wanted); /* Cannot fail. */
    }
    before = store->view;
    store->view = view;
    (void)pthread_mutex_unlock(&store->lock);
    for (struct pending_commit *at = group; at != NULL; at = at->link) {
        state_release(at->next);
        at->next = NULL;
    }
    view_release(before);
}

static enum fm_status sync_and_promise(struct fm_store *store, const struct tip_value *tip,
                                       struct fm_error *err)
{
    struct slot_value slot = {
        .version = STORE_FORMAT_VERSION,
        .mesh = store->mesh,
        .node = store->node,
        .number = tip->number,
        .digest = tip->digest,
        .time = fm_now_us(),
    };
    enum fm_status status = rocks_sync(store->rocks, err);

    return status == FM_OK ? slots_write(store->slots, &slot, err) : status;
}

/* Under commit_lock: what the next group is to wait for. */
static void learn(struct fm_store *store, uint32_t count, uint64_t took_us)
{
    uint32_t wanted = count + store->pending_count;

    store->group_wanted = wanted < COMMITS_UNSYNCED_MAX ? wanted : COMMITS_UNSYNCED_MAX;
    store->group_patience_us =
        took_us < GROUP_PATIENCE_US_MAX ? (uint32_t)took_us : GROUP_PATIENCE_US_MAX;
}

/* Under commit_lock: the first that sleeps and whose commit is not synced is to see to that. One
 * that is awake does so anyway. */
static sem_t *next_leader(struct fm_store *store)
{
    for (struct pending_commit *at = store->pending; at != NULL; at = at->link) {
        if (at->told != NULL)
            return FM_TAKE(at->told);
    }
    return NULL;
}

static uint64_t monotonic_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* Cannot fail with this clock. */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Under commit_lock, which is given up meanwhile. Threads that were answered together come back
 * together. Wait for them, at most as long as the last syncs took: without that, two groups take
 * turns, each with half of them. One writer alone never waits. */
static void gather(struct fm_store *store)
{
    uint64_t until_us = monotonic_us() + store->group_patience_us;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    int waited = 0;

    if (store->pending_count >= store->group_wanted || store->group_patience_us == 0)
        return;
    store->is_gathering = true;
    while (store->pending_count < store->group_wanted && waited == 0)
        waited = pthread_cond_timedwait(&store->group_full, &store->commit_lock, &until);
    store->is_gathering = false;
}

/* Under commit_lock, which is given up meanwhile: sync all that was written. */
static void lead(struct fm_store *store)
{
    FM_AUTO(view_releasep) struct store_view *view = NULL;
    struct pending_commit *group;
    struct tip_value tip;
    struct fm_error failure = {0};
    sem_t *leader;
    enum fm_status status;
    uint32_t count;
    uint64_t start;

    fm_assert(!store->is_syncing && store->pending != NULL);
    store->is_syncing = true;
    gather(store);
    if (store->pending == NULL) { /* A write failed meanwhile. */
        store->is_syncing = false;
        return;
    }
    group = store->pending;
    count = store->pending_count;
    tip = store->tip;
    store->pending = NULL;
    store->pending_count = 0;
    start = monotonic_us();
    status = view_new(store, &view);                 /* Before anything else is written. */
    (void)pthread_mutex_unlock(&store->commit_lock); /* Cannot fail. */
    if (status == FM_OK)
        status = sync_and_promise(store, &tip, &failure);
    if (status == FM_OK)
        publish_group(store, group, FM_TAKE(view));
    (void)pthread_mutex_lock(&store->commit_lock);
    store->is_syncing = false;
    if (status != FM_OK) { /* No memory for a view is no better: it cannot be taken back. */
        fail_all(store, group, &failure);
        return;
    }
    store->synced = tip.number;
    learn(store, count, monotonic_us() - start);
    group = decide(group, COMMIT_KEPT);
    leader = next_leader(store);
    (void)pthread_cond_broadcast(&store->commit_done); /* Cannot fail. */
    (void)pthread_mutex_unlock(&store->commit_lock);
    if (leader != NULL)
        (void)sem_post(leader); /* First: the disk is idle. */
    tell(group);
    (void)pthread_mutex_lock(&store->commit_lock);
}

/* ---- In two steps ---------------------------------------------------------------------------- */

/* Under commit_lock: room for `count` more that are not synced. */
static enum fm_status make_room(struct fm_store *store, uint32_t count, struct fm_error *err)
{
    enum fm_status status = store_usable(store, err);

    while (status == FM_OK && store->tip.number + count - store->synced > COMMITS_UNSYNCED_MAX) {
        if (store->is_syncing)
            (void)pthread_cond_wait(&store->commit_done, &store->commit_lock); /* Cannot fail. */
        else
            lead(store); /* All their threads may be asleep. */
        status = store_usable(store, err);
    }
    return status;
}

static void writing_forget(struct writing *writing)
{
    for (uint32_t i = 0; i < writing->count; i++) {
        if (writing->pending[i] != NULL && writing->pending[i]->is_left)
            free(writing->pending[i]);
    }
}

/* All but the last need nobody who waits: they are of its group. */
static enum fm_status make_pending(struct writing *writing, struct table_state *const *nexts,
                                   struct pending_commit *last)
{
    for (uint32_t i = 0; i < writing->count; i++) {
        struct pending_commit *pending = last;

        if (last == NULL || i + 1 < writing->count) {
            pending = calloc(1, sizeof *pending);
            if (pending == NULL)
                return FM_NOMEM;
            pending->is_left = true;
        }
        pending->next = nexts[i];
        writing->pending[i] = pending;
    }
    return FM_OK;
}

enum fm_status commit_write_group(struct fm_store *store, struct rocks_batch *batch,
                                  const struct commit_what *whats, struct table_state *const *nexts,
                                  uint32_t count, struct pending_commit *pending,
                                  struct fm_error *err)
{
    struct writing writing = {.batch = batch, .whats = whats, .count = count};
    enum fm_status status;

    fm_assert(count >= 1 && count <= FM_APPEND_TABLES_MAX);
    status = make_pending(&writing, nexts, pending);
    if (status != FM_OK) {
        writing_forget(&writing);
        return status;
    }
    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    status = make_room(store, count, err);
    if (status == FM_OK)
        status = write_locked(store, &writing, err);
    if (status == FM_OK && pending == NULL)
        late_sync_want(store, store->tip.number);
    (void)pthread_mutex_unlock(&store->commit_lock);
    if (status != FM_OK)
        writing_forget(&writing);
    return status;
}

enum fm_status commit_write(struct fm_store *store, struct rocks_batch *batch,
                            const struct commit_what *what, struct table_state *next,
                            struct pending_commit *pending, struct fm_error *err)
{
    return commit_write_group(store, batch, what, &next, 1, pending, err);
}

/* Sync, or sleep until told that it is done or who is to do it. */
static void advance(struct fm_store *store, struct pending_commit *pending)
{
    bool is_asleep;
    sem_t told;

    (void)sem_init(&told, 0, 0);                   /* Within its bounds. */
    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    is_asleep = atomic_load(&pending->fate) == COMMIT_WRITTEN && store->is_syncing;
    if (is_asleep)
        pending->told = &told;
    else if (atomic_load(&pending->fate) == COMMIT_WRITTEN)
        lead(store);
    (void)pthread_mutex_unlock(&store->commit_lock);
    if (is_asleep)
        turn_sleep(&told);
    (void)sem_destroy(&told); /* Whoever told has forgotten it. */
}

enum fm_status commit_wait(struct fm_store *store, struct pending_commit *pending,
                           struct fm_error *err)
{
    enum fm_status status = FM_OK;

    while (atomic_load(&pending->fate) == COMMIT_WRITTEN)
        advance(store, pending);
    if (atomic_load(&pending->fate) == COMMIT_LOST)
        status = fail_unknown(store, pending->number, err);
    state_release(FM_TAKE(pending->next)); /* After a failure; else published. */
    return status;
}

enum fm_status store_commit(struct fm_store *store, struct rocks_batch *batch,
                            const struct commit_what *what, struct fm_error *err)
{
    struct pending_commit pending = {0};
    enum fm_status status = commit_write(store, batch, what, NULL, &pending, err);

    return status == FM_OK ? commit_wait(store, &pending, err) : status;
}

enum fm_status store_settle(struct fm_store *store, struct fm_error *err)
{
    struct pending_commit nothing = {.fate = COMMIT_KEPT};
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    if (store->synced < store->tip.number) {
        status = store_usable(store, err);
        if (status == FM_OK)
            add_pending(store, &nothing, store->tip.number); /* Behind all that was written. */
    }
    (void)pthread_mutex_unlock(&store->commit_lock);
    return status == FM_OK ? commit_wait(store, &nothing, err) : status;
}

void commit_forget(struct fm_store *store)
{
    struct pending_commit *waiting = decide(FM_TAKE(store->pending), COMMIT_LOST);

    fm_assert(waiting == NULL); /* Nobody uses the store any more. */
}
