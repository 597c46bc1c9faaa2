#include "storage/internal.h"

#include "core/assert.h"
#include "storage/checkpoint.h"
#include "storage/folder.h"
#include "storage/row_cache.h"
#include "storage/subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CACHE_BYTES_DEFAULT (UINT64_C(64) << 20)
#define ARENA_BYTES_DEFAULT (UINT64_C(320) << 20)
#define FREE_BYTES_MIN_DEFAULT (UINT64_C(256) << 20)
#define STORE_PATH_MAX 4096u

/* ---- Is this the store that was promised? ---------------------------------------------------- */

static enum fm_status read_value(struct rocks *rocks, const struct key *key, struct fm_buf *out,
                                 struct fm_error *err)
{
    fm_buf_clear(out);
    return rocks_get(rocks, NULL, ROCKS_META, key_span(key), out, err);
}

enum fm_status store_read_tip(struct rocks *rocks, struct tip_value *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_meta(KEYS_META_TIP);
    enum fm_status status = read_value(rocks, &key, &value, err);

    if (status != FM_OK)
        return status;
    return tip_decode(fm_buf_span(&value), out) == FM_OK
               ? FM_OK
               : fm_fail(err, FM_CORRUPT, "the store's last commit fails its checksum");
}

static enum fm_status read_digest(struct rocks *rocks, uint64_t number, struct fm_hash *out,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_commit(number);
    enum fm_status status = read_value(rocks, &key, &value, err);

    return status == FM_OK ? commit_decode(fm_buf_span(&value), out) : status;
}

/* The store must have reached the slot's commit, by the same history. */
static enum fm_status check_promise(struct rocks *rocks, const char *dir,
                                    const struct slot_value *promised, struct fm_error *err)
{
    struct tip_value tip = {0};
    struct fm_hash digest = {0};
    enum fm_status status = store_read_tip(rocks, &tip, err);
    char time[32];

    if (status != FM_OK && status != FM_NOTFOUND)
        return status;
    (void)snprintf(time, sizeof time, "%lld", (long long)(promised->time / 1000000)); /* Fits. */
    if (tip.number < promised->number)
        return fm_fail(err, FM_CORRUPT,
                       "the store in %s ends at commit %llu, but commit %llu was acknowledged "
                       "(at %s s since 1970): facts are missing; restore the folder from a backup "
                       "(nothing was changed)",
                       dir, (unsigned long long)tip.number, (unsigned long long)promised->number,
                       time);
    status = promised->number == 0 ? FM_OK : read_digest(rocks, promised->number, &digest, err);
    if (status != FM_OK && status != FM_NOTFOUND && status != FM_CORRUPT)
        return status;
    if (status != FM_OK || !fm_hash_equal(&digest, &promised->digest))
        return fm_fail(err, FM_CORRUPT,
                       "the store in %s is at commit %llu with another history than the one "
                       "acknowledged at commit %llu: store and slots are not of one time; restore "
                       "the whole folder from one backup (nothing was changed)",
                       dir, (unsigned long long)tip.number, (unsigned long long)promised->number);
    return FM_OK;
}

static enum fm_status check_identity(const struct fm_store *store, const struct fm_mesh_id *mesh,
                                     const struct fm_node_id *node, struct fm_error *err)
{
    char theirs[65], ours[65];

    if (memcmp(mesh->bytes, store->mesh.bytes, sizeof mesh->bytes) != 0) {
        fm_hex(mesh->bytes, sizeof mesh->bytes, theirs);
        fm_hex(store->mesh.bytes, sizeof mesh->bytes, ours);
        return fm_fail(err, FM_CONFLICT, "the folder %s belongs to mesh %s, not to mesh %s",
                       store->dir, theirs, ours);
    }
    if (memcmp(node->bytes, store->node.bytes, sizeof node->bytes) != 0) {
        fm_hex(node->bytes, sizeof node->bytes, theirs);
        fm_hex(store->node.bytes, sizeof node->bytes, ours);
        return fm_fail(err, FM_CONFLICT, "the folder %s belongs to node %s, not to node %s",
                       store->dir, theirs, ours);
    }
    return FM_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum fm_status rocks_path(const struct fm_store *store, char out[STORE_PATH_MAX],
                                 struct fm_error *err)
{
    int len = snprintf(out, STORE_PATH_MAX, "%s/store", store->dir);

    if (len < 0 || (size_t)len >= STORE_PATH_MAX)
        return fm_fail(err, FM_INVALID, "the path of the folder is too long");
    return FM_OK;
}

static enum fm_status wrap_open(const struct fm_store *store, enum fm_status status,
                                struct fm_error *err)
{
    if (status == FM_CORRUPT)
        return fm_wrap(err, status, "the store in %s is damaged; restore it from a backup",
                       store->dir);
    return fm_wrap(err, status, "open the store in %s", store->dir);
}

static enum fm_status missing_store(const struct fm_store *store, const struct slot_value *promised,
                                    struct fm_error *err)
{
    return fm_fail(err, promised->number == 0 ? FM_NOTFOUND : FM_CORRUPT,
                   "the folder %s has lost its `store`, in which commit %llu was acknowledged; "
                   "restore it from a backup (nothing was changed)",
                   store->dir, (unsigned long long)promised->number);
}

/* RocksDB's opening for writing drops what it could not recover, for good. So look first, in a way
 * that changes nothing. */
static enum fm_status look_first(const struct fm_store *store, const struct rocks_options *options,
                                 const struct slot_value *promised, struct fm_error *err)
{
    FM_AUTO(rocks_closep) struct rocks *rocks = NULL;
    struct rocks_options look = *options;
    enum fm_status status;

    if (promised->number == 0)
        return FM_OK;
    if (!folder_has_store(store->dir_fd))
        return missing_store(store, promised, err);
    look.read_only = true;
    status = rocks_open(&look, &rocks, err);
    if (status != FM_OK)
        return wrap_open(store, status, err);
    return check_promise(rocks, store->dir, promised, err);
}

static enum fm_status write_identity(struct fm_store *store, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct format_value format = {
        .version = STORE_FORMAT_VERSION, .mesh = store->mesh, .node = store->node};
    struct key key = key_meta(KEYS_META_FORMAT);
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    if (status != FM_OK)
        return status;
    format_encode(&value, &format);
    status = fm_buf_status(&value);
    if (status != FM_OK)
        return status;
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    return rocks_write(store->rocks, batch, true, err);
}

static enum fm_status check_format(struct fm_store *store, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_meta(KEYS_META_FORMAT);
    struct format_value format;
    enum fm_status status = read_value(store->rocks, &key, &value, err);

    if (status == FM_NOTFOUND && store->tip.number == 0)
        return store->read_only ? FM_OK : write_identity(store, err);
    if (status != FM_OK && status != FM_NOTFOUND)
        return status;
    if (status == FM_NOTFOUND || format_decode(fm_buf_span(&value), &format) != FM_OK)
        return fm_fail(err, FM_CORRUPT,
                       "the store in %s has lost its format record; restore it "
                       "from a backup",
                       store->dir);
    if (format.version > STORE_FORMAT_VERSION)
        return fm_fail(err, FM_UNSUPPORTED,
                       "the store in %s has format %u; this program knows up to %u", store->dir,
                       format.version, STORE_FORMAT_VERSION);
    return check_identity(store, &format.mesh, &format.node, err);
}

/* The slots, made in a new folder. */
static enum fm_status open_slots(struct fm_store *store, struct slot_value *promised,
                                 struct fm_error *err)
{
    struct format_value identity = {
        .version = STORE_FORMAT_VERSION, .mesh = store->mesh, .node = store->node};
    enum fm_status status = slots_open(store->dir_fd, &store->slots, promised, err);

    if (status != FM_NOTFOUND)
        return status;
    if (folder_has_store(store->dir_fd))
        return fm_fail(err, FM_CORRUPT,
                       "the folder %s has lost the file `slots`, which says how far its store had "
                       "come; restore the whole folder from a backup (nothing was changed)",
                       store->dir);
    if (store->read_only)
        return fm_fail(err, FM_NOTFOUND, "there is no store in %s", store->dir);
    status = slots_create(store->dir_fd, &identity, err);
    return status == FM_OK ? slots_open(store->dir_fd, &store->slots, promised, err) : status;
}

static enum fm_status open_rocks(struct fm_store *store, const struct fm_store_options *options,
                                 struct slot_value *promised, struct fm_error *err)
{
    char path[STORE_PATH_MAX];
    struct rocks_options rocks = {
        .path = path,
        .cache_bytes = options->cache_bytes != 0 ? options->cache_bytes : CACHE_BYTES_DEFAULT,
        .read_only = store->read_only,
    };
    enum fm_status status = rocks_path(store, path, err);

    if (status == FM_OK && !store->read_only)
        status = look_first(store, &rocks, promised, err);
    if (status == FM_OK && store->read_only && !folder_has_store(store->dir_fd))
        status = missing_store(store, promised, err);
    if (status != FM_OK)
        return status;
    status = rocks_open(&rocks, &store->rocks, err);
    if (status != FM_OK)
        return wrap_open(store, status, err);
    status = check_promise(store->rocks, store->dir, promised, err);
    if (status != FM_OK)
        return status;
    status = store_read_tip(store->rocks, &store->tip, err);
    if (status == FM_NOTFOUND) {
        store->tip = (struct tip_value){.next_table = 1};
        status = FM_OK;
    }
    return status == FM_OK ? check_format(store, err) : status;
}

/* A commit that was written but not acknowledged is there after all: promise it from now on. */
static enum fm_status renew_promise(struct fm_store *store, const struct slot_value *promised,
                                    struct fm_error *err)
{
    struct slot_value slot = {
        .version = STORE_FORMAT_VERSION,
        .mesh = store->mesh,
        .node = store->node,
        .number = store->tip.number,
        .digest = store->tip.digest,
        .time = fm_now_us(),
    };

    store->synced = slot.number; /* RocksDB has recovered from what is on the disk. */
    return slot.number > promised->number && !store->read_only
               ? slots_write(store->slots, &slot, err)
               : FM_OK;
}

static enum fm_status init_locks(struct fm_store *store)
{
    pthread_condattr_t attributes;

    if (pthread_condattr_init(&attributes) != 0)
        return FM_NOMEM;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* A clock that exists. */
    if (pthread_cond_init(&store->seal_wanted, &attributes) != 0 ||
        pthread_cond_init(&store->group_full, &attributes) != 0 ||
        pthread_cond_init(&store->late.wanted, &attributes) != 0 ||
        pthread_cond_init(&store->commit_done, NULL) != 0)
        return FM_NOMEM;
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_mutex_init(&store->lock, NULL) != 0 ||
        pthread_mutex_init(&store->commit_lock, NULL) != 0 ||
        pthread_mutex_init(&store->define_lock, NULL) != 0 ||
        pthread_mutex_init(&store->view_lock, NULL) != 0 ||
        pthread_mutex_init(&store->subject_lock, NULL) != 0)
        return FM_NOMEM;
    store->has_locks = true;
    return FM_OK;
}

/* A purge that fails, for want of space or so, stays due. */
static void purge_if_due(struct fm_store *store)
{
    bool done = false;

    if (subjects_purge(store, &done, NULL) != FM_OK)
        fm_assert(!done);
}

enum fm_status fm_store_open(const struct fm_store_options *options, struct fm_store **out,
                             struct fm_error *err)
{
    FM_AUTO(fm_store_closep) struct fm_store *store = calloc(1, sizeof *store);
    uint64_t arena = options->arena_bytes != 0 ? options->arena_bytes : ARENA_BYTES_DEFAULT;
    struct slot_value promised = {0};
    enum fm_status status;

    if (store == NULL)
        return FM_NOMEM;
    store->dir_fd = -1;
    store->read_only = options->read_only;
    store->mesh = options->mesh;
    store->node = options->node;
    store->free_bytes_min =
        options->free_bytes_min != 0 ? options->free_bytes_min : FREE_BYTES_MIN_DEFAULT;
    store->dir = strdup(options->dir);
    if (store->dir == NULL)
        return FM_NOMEM;
    status = init_locks(store);
    if (status == FM_OK)
        status = arena_new(arena, &store->arena);
    if (status == FM_OK)
        status = row_cache_new(ROW_CACHE_BYTES, &store->row_cache);
    if (status == FM_OK)
        status = folder_open(store->dir, !store->read_only, &store->dir_fd, err);
    if (status == FM_OK)
        status = open_slots(store, &promised, err);
    if (status == FM_OK)
        status = check_identity(store, &promised.mesh, &promised.node, err);
    if (status != FM_OK)
        return status;
    fm_store_tidy_checkpoint(store);
    if (!store->read_only)
        folder_release_reserve(store->dir_fd, STORE_RESERVE_BYTES);
    status = open_rocks(store, options, &promised, err);
    if (status == FM_OK)
        status = store_load(store, err);
    if (status == FM_OK)
        status = renew_promise(store, &promised, err);
    if (status == FM_OK && !store->read_only)
        purge_if_due(store);
    if (status == FM_OK)
        status = view_new(store, &store->view);
    if (status == FM_OK && options->seal_in_background)
        status = sealer_start(store);
    if (status != FM_OK)
        return status;
    if (!store->read_only)
        folder_keep_reserve(store->dir_fd, STORE_RESERVE_BYTES, store->free_bytes_min);
    *out = FM_TAKE(store);
    return FM_OK;
}

void fm_store_close(struct fm_store *store)
{
    if (store == NULL)
        return;
    sealer_stop(store);
    late_sync_stop(store);
    commit_forget(store);
    for (uint32_t i = 0; i < store->table_count; i++)
        table_free(store->tables[i]);
    free(store->tables);
    row_cache_free(store->row_cache);
    arena_free(store->arena);
    view_release(store->view);
    rocks_close(store->rocks);
    slots_close(store->slots);
    if (store->dir_fd >= 0)
        (void)close(store->dir_fd); /* Also gives up the lock. */
    if (store->has_locks) {
        (void)pthread_mutex_destroy(&store->lock); /* Nobody holds them any more. */
        (void)pthread_mutex_destroy(&store->commit_lock);
        (void)pthread_mutex_destroy(&store->define_lock);
        (void)pthread_mutex_destroy(&store->view_lock);
        (void)pthread_mutex_destroy(&store->subject_lock);
        (void)pthread_cond_destroy(&store->commit_done);
        (void)pthread_cond_destroy(&store->group_full);
        (void)pthread_cond_destroy(&store->seal_wanted);
        (void)pthread_cond_destroy(&store->late.wanted);
    }
    free(store->dir);
    free(store);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

enum fm_status fm_store_table(struct fm_store *store, const char *domain, const char *table,
                              struct fm_table_info *out)
{
    FM_AUTO(state_releasep) struct table_state *state = state_latest(store, domain, table);

    return state == NULL ? FM_NOTFOUND : state_info(state, out);
}

enum fm_status fm_store_each_table(struct fm_store *store,
                                   enum fm_status (*each)(void *context, const char *domain,
                                                          const char *table),
                                   void *context)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK; i++) {
        const struct table *table = NULL;

        (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
        if (i < store->table_count)
            table = store->tables[i];
        (void)pthread_mutex_unlock(&store->lock);
        if (table == NULL)
            break;
        status = each(context, table->domain, table->name); /* Tables stay until the end. */
    }
    return status;
}
