#include "storage/internal.h"

#include "core/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

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

/* Add the chain's own keys to the batch. */
static enum fm_status put_chain(struct rocks_batch *batch, const struct tip_value *tip)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_meta(KEYS_META_TIP);

    tip_encode(&value, tip);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    fm_buf_clear(&value);
    commit_encode(&value, &tip->digest);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    key = key_commit(tip->number);
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
    rocks_snapshot_free(view->rocks);
    free(view);
}

enum fm_status view_new(struct fm_store *store, struct store_view **out)
{
    FM_AUTO(view_releasep) struct store_view *view = calloc(1, sizeof *view);
    enum fm_status status;

    if (view == NULL)
        return FM_NOMEM;
    atomic_init(&view->references, 1);
    status = rocks_snapshot_new(store->rocks, &view->rocks);
    if (status == FM_OK)
        *out = FM_TAKE(view);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Under commit_lock. The first failure is told to all that wait. */
static void fail_all(struct fm_store *store, const struct fm_error *failure)
{
    store->failure = *failure;
    store->pending = NULL; /* Each thread gives up its own. */
    store_poison(store);
    (void)pthread_cond_broadcast(&store->commit_done); /* Cannot fail. */
}

static enum fm_status fail_unknown(const struct fm_store *store, uint64_t number,
                                   struct fm_error *err)
{
    if (err != NULL)
        *err = store->failure;
    return fm_wrap(err, FM_IO, "commit %llu to %s failed, so it is unknown whether it is stored",
                   (unsigned long long)number, store->dir);
}

static void add_pending(struct fm_store *store, struct pending_commit *pending)
{
    struct table_state *before = NULL;

    if (store->pending == NULL)
        store->pending_end = &store->pending;
    *store->pending_end = pending;
    store->pending_end = &pending->link;
    if (pending->next == NULL)
        return;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    before = pending->next->table->written;
    pending->next->table->written = state_retain(pending->next);
    (void)pthread_mutex_unlock(&store->lock);
    state_release(before);
}

static enum fm_status write_locked(struct fm_store *store, struct rocks_batch *batch,
                                   const struct commit_what *what, struct table_state *next,
                                   struct pending_commit *pending, struct fm_error *err)
{
    struct tip_value tip = store->tip;
    struct fm_error failure = {0};
    enum fm_status status;

    tip.number++;
    fm_assert(tip.number > store->synced);
    commit_chain(&tip.digest, tip.number, what);
    status = put_chain(batch, &tip);
    if (status != FM_OK)
        return status;
    *pending = (struct pending_commit){.number = tip.number};
    if (rocks_write(store->rocks, batch, false, &failure) != FM_OK) {
        fail_all(store, &failure);
        return fail_unknown(store, tip.number, err);
    }
    store->tip = tip;
    pending->next = next;
    add_pending(store, pending);
    return FM_OK;
}

enum fm_status commit_write(struct fm_store *store, struct rocks_batch *batch,
                            const struct commit_what *what, struct table_state *next,
                            struct pending_commit *pending, struct fm_error *err)
{
    enum fm_status status;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    status = store_usable(store, err);
    /* Each of those that are written has a thread that syncs, or waits for one that does. */
    while (status == FM_OK && store->tip.number - store->synced >= COMMITS_UNSYNCED_MAX) {
        (void)pthread_cond_wait(&store->commit_done, &store->commit_lock); /* Cannot fail. */
        status = store_usable(store, err);
    }
    if (status == FM_OK)
        status = write_locked(store, batch, what, next, pending, err);
    (void)pthread_mutex_unlock(&store->commit_lock);
    return status;
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
        if (state_wants_seal(next))
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

/* Under commit_lock, which is given up meanwhile: sync all that was written. */
static void lead(struct fm_store *store)
{
    FM_AUTO(view_releasep) struct store_view *view = NULL;
    struct pending_commit *group = store->pending;
    struct tip_value tip = store->tip;
    struct fm_error failure = {0};
    enum fm_status status;

    fm_assert(!store->is_syncing && group != NULL);
    store->is_syncing = true;
    store->pending = NULL;
    status = view_new(store, &view);                 /* Before anything else is written. */
    (void)pthread_mutex_unlock(&store->commit_lock); /* Cannot fail. */
    if (status == FM_OK)
        status = sync_and_promise(store, &tip, &failure);
    if (status == FM_OK)
        publish_group(store, group, FM_TAKE(view));
    (void)pthread_mutex_lock(&store->commit_lock);
    store->is_syncing = false;
    if (status == FM_OK) {
        store->synced = tip.number;
        (void)pthread_cond_broadcast(&store->commit_done); /* Cannot fail. */
        return;
    }
    /* No memory for a view is no better: what was written cannot be taken back. */
    fail_all(store, &failure);
}

/* Under commit_lock. */
static enum fm_status wait_for(struct fm_store *store, uint64_t number, struct fm_error *err)
{
    while (store->synced < number) {
        if (store->is_syncing)
            (void)pthread_cond_wait(&store->commit_done, &store->commit_lock); /* Cannot fail. */
        else if (store_usable(store, NULL) != FM_OK)
            return fail_unknown(store, number, err);
        else
            lead(store);
    }
    return FM_OK;
}

enum fm_status commit_wait(struct fm_store *store, struct pending_commit *pending,
                           struct fm_error *err)
{
    enum fm_status status;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    status = wait_for(store, pending->number, err);
    (void)pthread_mutex_unlock(&store->commit_lock);
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
    enum fm_status status;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    status = wait_for(store, store->tip.number, err);
    (void)pthread_mutex_unlock(&store->commit_lock);
    return status;
}
