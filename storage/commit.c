#include "storage/internal.h"

#include "core/assert.h"

#include <errno.h>
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

enum fm_status store_has_space(const struct fm_store *store, struct fm_error *err)
{
    struct statvfs fs;
    uint64_t free_bytes;

    if (fstatvfs(store->dir_fd, &fs) != 0)
        return fm_fail_errno(err, FM_IO, errno, "ask for the free space of %s", store->dir);
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < store->free_bytes_min)
        return fm_fail(err, FM_LIMIT,
                       "%s has %llu MiB of free space left, less than the %llu MiB that appends "
                       "leave; make room",
                       store->dir, (unsigned long long)(free_bytes >> 20),
                       (unsigned long long)(store->free_bytes_min >> 20));
    return FM_OK;
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

static enum fm_status commit_locked(struct fm_store *store, struct rocks_batch *batch,
                                    const struct commit_what *what, struct fm_error *err)
{
    struct tip_value tip = store->tip;
    struct slot_value slot = {
        .version = STORE_FORMAT_VERSION, .mesh = store->mesh, .node = store->node};
    enum fm_status status;

    tip.number++;
    fm_assert(tip.number > 0);
    commit_chain(&tip.digest, tip.number, what);
    status = put_chain(batch, &tip);
    if (status != FM_OK)
        return status;
    slot.number = tip.number;
    slot.digest = tip.digest;
    slot.time = fm_now_us();
    status = rocks_write(store->rocks, batch, true, err);
    if (status == FM_OK)
        status = slots_write(store->slots, &slot, err);
    if (status != FM_OK) {
        store_poison(store);
        return fm_wrap(err, FM_IO,
                       "commit %llu to %s failed, so it is unknown whether it is stored",
                       (unsigned long long)tip.number, store->dir);
    }
    store->tip = tip;
    return FM_OK;
}

enum fm_status store_commit(struct fm_store *store, struct rocks_batch *batch,
                            const struct commit_what *what, struct fm_error *err)
{
    enum fm_status status;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    status = store_usable(store, err);
    if (status == FM_OK)
        status = commit_locked(store, batch, what, err);
    (void)pthread_mutex_unlock(&store->commit_lock);
    return status;
}
