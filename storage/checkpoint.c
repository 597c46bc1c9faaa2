#include "storage/checkpoint.h"

#include "core/assert.h"
#include "storage/files.h"
#include "storage/folder.h"
#include "storage/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>

#define LOOK_CACHE_BYTES (1u << 20)
#define FORGOTTEN_MS 60000
#define PATH_BYTES_MAX 4096u

/* ---- One at a time --------------------------------------------------------------------------- */

static enum fm_status begin_work(struct fm_store *store, struct fm_error *err)
{
    bool is_busy;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    is_busy = store->is_checkpointing;
    store->is_checkpointing = true;
    (void)pthread_mutex_unlock(&store->lock);
    return is_busy ? fm_fail(err, FM_BUSY, "a checkpoint is being made or removed") : FM_OK;
}

static void end_work(struct fm_store *store)
{
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    store->is_checkpointing = false;
    (void)pthread_mutex_unlock(&store->lock);
}

/* Whoever made it gets a minute to lock it. `checkpoint_at` is of this process: 0 for what another
 * one left. */
static bool is_fresh(const struct fm_store *store)
{
    return store->checkpoint_at != 0 && fm_now_ms() - store->checkpoint_at < FORGOTTEN_MS;
}

static enum fm_status remove_unlocked(struct fm_store *store, struct fm_error *err)
{
    FM_AUTO(files_closep) int folder = -1;
    enum fm_status status = files_open_folder(store->dir_fd, FM_CHECKPOINT_FOLDER, &folder, err);

    if (status != FM_OK)
        return status == FM_NOTFOUND ? FM_OK : status;
    if (flock(folder, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? fm_fail(err, FM_BUSY, "a backup is being made of the checkpoint")
                   : fm_fail_errno(err, FM_IO, errno, "lock the checkpoint");
    status = files_remove_folder(store->dir_fd, FM_CHECKPOINT_FOLDER, err);
    if (status == FM_OK)
        store->checkpoint_at = 0;
    return status;
}

/* ---- Making it ------------------------------------------------------------------------------- */

static enum fm_status path_of(const struct fm_store *store, char out[PATH_BYTES_MAX],
                              struct fm_error *err)
{
    int len = snprintf(out, PATH_BYTES_MAX, "%s/" FM_CHECKPOINT_FOLDER "/store", store->dir);

    if (len < 0 || (size_t)len >= PATH_BYTES_MAX)
        return fm_fail(err, FM_INVALID, "the path of the folder is too long");
    return FM_OK;
}

/* How far RocksDB's copy has come: at least as far as the store was when it was begun. */
static enum fm_status read_copy(const char *path, struct tip_value *out, struct fm_error *err)
{
    FM_AUTO(rocks_closep) struct rocks *rocks = NULL;
    struct rocks_options options = {
        .path = path, .cache_bytes = LOOK_CACHE_BYTES, .read_only = true};
    enum fm_status status = rocks_open(&options, &rocks, err);

    *out = (struct tip_value){0};
    if (status == FM_OK)
        status = store_read_tip(rocks, out, err);
    return status == FM_NOTFOUND ? FM_OK : status; /* Nothing was ever committed. */
}

static enum fm_status write_slots(const struct fm_store *store, const struct tip_value *tip,
                                  struct fm_error *err)
{
    struct format_value identity = {
        .version = STORE_FORMAT_VERSION, .mesh = store->mesh, .node = store->node};
    struct slot_value value = {
        .version = identity.version,
        .mesh = store->mesh,
        .node = store->node,
        .number = tip->number,
        .digest = tip->digest,
        .time = fm_now_us(),
    };
    FM_AUTO(slots_closep) struct slots *slots = NULL;
    FM_AUTO(files_closep) int folder = -1;
    struct slot_value ignored;
    enum fm_status status = files_open_folder(store->dir_fd, FM_CHECKPOINT_FOLDER, &folder, err);

    if (status == FM_OK)
        status = slots_create(folder, &identity, err);
    if (status == FM_OK)
        status = slots_open(folder, &slots, &ignored, err);
    return status == FM_OK ? slots_write(slots, &value, err) : status;
}

static enum fm_status make(struct fm_store *store, struct fm_checkpoint *out, struct fm_error *err)
{
    struct tip_value tip;
    char path[PATH_BYTES_MAX];
    enum fm_status status = path_of(store, path, err);

    if (status == FM_OK)
        status = files_make_folder(store->dir_fd, FM_CHECKPOINT_FOLDER, err);
    if (status == FM_OK)
        status = rocks_checkpoint(store->rocks, path, err);
    if (status == FM_OK)
        status = read_copy(path, &tip, err);
    /* What was written and not synced may be in it, and must not be lost by the store while a
     * backup with a signed head has it. */
    if (status == FM_OK)
        status = store_settle(store, err);
    if (status == FM_OK)
        status = write_slots(store, &tip, err);
    if (status == FM_OK)
        *out = (struct fm_checkpoint){.commit = tip.number, .digest = tip.digest};
    return status;
}

enum fm_status fm_store_checkpoint(struct fm_store *store, struct fm_checkpoint *out,
                                   struct fm_error *err)
{
    enum fm_status status = begin_work(store, err);

    if (status != FM_OK)
        return status;
    if (store->read_only)
        status = fm_fail(err, FM_REFUSED, "%s is open for reading only", store->dir);
    if (status == FM_OK && is_fresh(store))
        status = fm_fail(err, FM_BUSY, "a backup is about to be made of a checkpoint");
    if (status == FM_OK)
        status = store_usable(store, err);
    if (status == FM_OK)
        status = store_has_space(store, err);
    if (status == FM_OK)
        status = remove_unlocked(store, err);
    if (status == FM_OK) {
        status = make(store, out, err);
        if (status != FM_OK) /* What cannot be removed now goes with the next one. */
            (void)!remove_unlocked(store, NULL);
        else
            store->checkpoint_at = fm_now_ms();
    }
    end_work(store);
    return status;
}

/* ---- Removing it ----------------------------------------------------------------------------- */

enum fm_status fm_store_drop_checkpoint(struct fm_store *store, struct fm_error *err)
{
    enum fm_status status = begin_work(store, err);

    if (status != FM_OK)
        return status;
    status = remove_unlocked(store, err);
    end_work(store);
    return status;
}

void fm_store_tidy_checkpoint(struct fm_store *store)
{
    if (store->read_only || begin_work(store, NULL) != FM_OK)
        return;
    if (!is_fresh(store))
        (void)!remove_unlocked(store, NULL); /* In use, or tried again. */
    end_work(store);
}
