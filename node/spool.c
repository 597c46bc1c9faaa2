#include "node/spool.h"

#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

struct place { /* Of a batch in the file. */
    uint64_t offset;
    uint32_t bytes;
};

struct list {
    struct place *items;
    uint32_t count;
    uint32_t capacity;
};

struct fm_spool {
    struct fm_spools *spools;
    int fd;
    pthread_mutex_t lock; /* Guards `bytes`. */
    uint64_t bytes;
    struct list lists[FM_QUERY_TABLES_MAX];
    uint32_t fragment; /* Where fm_spool_next() is. */
    uint32_t next;
};

enum fm_status fm_spool_open(struct fm_spools *spools, struct fm_spool **out, struct fm_error *err)
{
    struct fm_spool *spool = calloc(1, sizeof *spool);

    if (spool == NULL)
        return fm_fail(err, FM_NOMEM, "keep fragments");
    spool->spools = spools;
    spool->fd = open(spools->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (spool->fd < 0) {
        int reason = errno;
        free(spool);
        return fm_fail_errno(err, FM_IO, reason, "keep fragments in %s", spools->dir);
    }
    fm_assert(pthread_mutex_init(&spool->lock, NULL) == 0);
    *out = spool;
    return FM_OK;
}

void fm_spool_free(struct fm_spool *spool)
{
    if (spool == NULL)
        return;
    (void)close(spool->fd); /* Nothing of it is wanted any more. */
    atomic_fetch_sub(&spool->spools->total, spool->bytes);
    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++)
        free(spool->lists[i].items);
    (void)pthread_mutex_destroy(&spool->lock);
    free(spool);
}

void fm_spool_forget(struct fm_spool *spool, uint32_t fragment)
{
    fm_assert(fragment < FM_QUERY_TABLES_MAX);
    spool->lists[fragment].count = 0;
}

/* A place in the file, counted against both bounds. */
static enum fm_status reserve(struct fm_spool *spool, size_t bytes, uint64_t *offset,
                              struct fm_error *err)
{
    struct fm_spools *spools = spool->spools;

    fm_assert(pthread_mutex_lock(&spool->lock) == 0);
    bool fits = bytes <= spools->bytes_max && spool->bytes <= spools->bytes_max - bytes;
    bool has_room = fits;
    if (fits && atomic_fetch_add(&spools->total, bytes) + bytes > spools->total_max) {
        atomic_fetch_sub(&spools->total, bytes);
        has_room = false;
    }
    *offset = spool->bytes;
    if (has_room)
        spool->bytes += bytes;
    fm_assert(pthread_mutex_unlock(&spool->lock) == 0);
    if (!fits)
        return fm_fail(err, FM_LIMIT,
                       "the fragments of this query are larger than %llu MiB, which is what a node "
                       "keeps of one; ask for less, or without fragments",
                       (unsigned long long)(spools->bytes_max >> 20));
    if (!has_room)
        return fm_fail(err, FM_LIMIT,
                       "the fragments kept of all queries are larger than %llu MiB; ask later, or "
                       "without fragments",
                       (unsigned long long)(spools->total_max >> 20));
    return FM_OK;
}

static enum fm_status add_place(struct list *list, uint64_t offset, uint32_t bytes)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        struct place *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return FM_NOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct place){.offset = offset, .bytes = bytes};
    return FM_OK;
}

static enum fm_status write_at(const struct fm_spool *spool, struct fm_span bytes, uint64_t offset,
                               struct fm_error *err)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t wrote =
            pwrite(spool->fd, bytes.data + done, bytes.len - done, (off_t)(offset + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        /* FM_IO would mean that an owner failed. */
        if (wrote <= 0)
            return fm_fail_errno(err, FM_LIMIT, errno, "keep fragments: write to %s",
                                 spool->spools->dir);
        done += (size_t)wrote;
    }
    return FM_OK;
}

enum fm_status fm_spool_add(struct fm_spool *spool, uint32_t fragment, struct fm_span batch,
                            struct fm_error *err)
{
    uint64_t offset = 0;

    fm_assert(fragment < FM_QUERY_TABLES_MAX);
    fm_assert(batch.len != 0 && batch.len <= FM_BATCH_BYTES_MAX);
    enum fm_status status = reserve(spool, batch.len, &offset, err);
    if (status == FM_OK)
        status = write_at(spool, batch, offset, err);
    if (status != FM_OK)
        return status;
    status = add_place(&spool->lists[fragment], offset, (uint32_t)batch.len);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "keep fragments");
}

static enum fm_status read_at(const struct fm_spool *spool, const struct place *place,
                              struct fm_buf *out, struct fm_error *err)
{
    uint8_t chunk[65536];

    for (uint32_t done = 0; done < place->bytes;) {
        size_t want = place->bytes - done < sizeof chunk ? place->bytes - done : sizeof chunk;
        ssize_t got = pread(spool->fd, chunk, want, (off_t)(place->offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fm_fail_errno(err, FM_IO, got < 0 ? errno : EIO,
                                 "read a fragment that was kept");
        fm_buf_put(out, chunk, (size_t)got);
        done += (uint32_t)got;
    }
    return fm_buf_status(out) == FM_OK ? FM_OK
                                       : fm_fail(err, fm_buf_status(out), "read a fragment");
}

enum fm_status fm_spool_next(struct fm_spool *spool, struct fm_buf *batch, struct fm_error *err)
{
    while (spool->fragment < FM_QUERY_TABLES_MAX &&
           spool->next == spool->lists[spool->fragment].count) {
        spool->fragment++;
        spool->next = 0;
    }
    if (spool->fragment == FM_QUERY_TABLES_MAX)
        return FM_NOTFOUND;
    return read_at(spool, &spool->lists[spool->fragment].items[spool->next++], batch, err);
}
