/* Erasure of data subjects: their key is overwritten in the chain of commits, then removed from the
 * files that still have it. */
#include "storage/subject.h"

#include "core/assert.h"

#include <stdlib.h>
#include <time.h>

#define PURGE_WAIT_MS 500 /* For readers whose snapshot still sees the key. */
#define PURGE_STEP_MS 10

struct erasing {
    struct fm_store *store;
    const char *domain;
    struct fm_span subject;
    struct fm_hash id;
    uint32_t count;
    struct table **tables; /* Of the domain, with a subject: their append locks are ours. */
};

static void erasing_deinit(struct erasing *erasing)
{
    for (uint32_t i = 0; i < erasing->count; i++)
        table_unlock_append(erasing->tables[i]);
    free(erasing->tables);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static bool names_subjects(const struct table *table, const char *domain)
{
    return strcmp(table->domain, domain) == 0 &&
           table->schemas[table->schema_count - 1]->has_subject;
}

/* With define_lock: no table comes or gets another schema meanwhile. */
static enum fm_status find_tables(struct erasing *erasing, struct table ***out, uint32_t *count,
                                  struct fm_error *err)
{
    struct fm_store *store = erasing->store;
    struct table **tables = NULL;
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    tables = calloc(store->table_count + 1u, sizeof(struct table *));
    if (tables == NULL)
        status = FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < store->table_count; i++) {
        if (names_subjects(store->tables[i], erasing->domain))
            tables[(*count)++] = store->tables[i];
    }
    (void)pthread_mutex_unlock(&store->lock);
    *out = tables;
    if (status == FM_OK && *count == 0)
        return fm_fail(err, FM_NOTFOUND, "the domain %s has no table that names data subjects",
                       erasing->domain);
    return status;
}

static enum fm_status lock_tables(struct erasing *erasing, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct table **tables = NULL;
    uint32_t count = 0;
    enum fm_status status = find_tables(erasing, &tables, &count, err);

    if (status != FM_OK)
        return status;
    erasing->tables = calloc(count, sizeof(struct table *));
    if (erasing->tables == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        status = table_lock_append(tables[i], err);
        if (status == FM_OK)
            erasing->tables[erasing->count++] = tables[i];
    }
    return status;
}

/* ---- The key --------------------------------------------------------------------------------- */

static enum fm_status look_at_key(const struct erasing *erasing, bool *is_erased,
                                  struct fm_error *err)
{
    struct fm_store *store = erasing->store;
    struct key key = key_subject(&erasing->id);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct subject_value value = {0};
    enum fm_status status =
        rocks_get(store->rocks, NULL, ROCKS_SUBJECTS, key_span(&key), &bytes, err);

    if (status == FM_OK)
        status = subject_decode(fm_buf_span(&bytes), &value);
    *is_erased = value.state == SUBJECT_ERASED;
    if (bytes.data != NULL)
        explicit_bzero(bytes.data, bytes.cap);
    explicit_bzero(&value, sizeof value);
    if (status == FM_NOTFOUND)
        return fm_fail(err, status, "the domain %s has no facts of this subject", erasing->domain);
    return status == FM_CORRUPT ? fm_fail(err, status, "the stored key of the subject is damaged")
                                : status;
}

static enum fm_status put_erasure(const struct erasing *erasing, struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct subject_value erased = {.state = SUBJECT_ERASED, .erased_at = fm_now_us()};
    struct key key = key_subject(&erasing->id);

    subject_encode(&value, &erased);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    rocks_batch_put(batch, ROCKS_SUBJECTS, key_span(&key), fm_buf_span(&value));
    fm_buf_clear(&value);
    subject_mark_encode(&value);
    key = key_subject_mark();
    rocks_batch_put(batch, ROCKS_SUBJECTS, key_span(&key), fm_buf_span(&value));
    return fm_buf_status(&value);
}

static enum fm_status commit_erasure(const struct erasing *erasing, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    struct fm_store *store = erasing->store;
    struct commit_what what = commit_what_erase(&erasing->id);
    struct pending_commit pending = {0};
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    if (status == FM_OK)
        status = put_erasure(erasing, batch);
    if (status == FM_OK)
        status = commit_write(store, batch, &what, NULL, &pending, err);
    if (status != FM_OK)
        return status;
    atomic_store(&store->purge_after, pending.number);
    atomic_fetch_add(&store->erasures, 1); /* Readers ask for their keys anew. */
    return commit_wait(store, &pending, err);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&time, NULL); /* Woken early is as good. */
}

static enum fm_status drop_mark(struct fm_store *store, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    struct key key = key_subject_mark();
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    if (status != FM_OK)
        return status;
    rocks_batch_delete(batch, ROCKS_SUBJECTS, key_span(&key));
    return rocks_write(store->rocks, batch, false, err); /* Lost, it is done once more. */
}

static enum fm_status has_mark(struct fm_store *store, bool *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_subject_mark();
    enum fm_status status =
        rocks_get(store->rocks, NULL, ROCKS_SUBJECTS, key_span(&key), &value, err);

    if (status == FM_OK)
        status = subject_mark_decode(fm_buf_span(&value));
    *out = status == FM_OK;
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* With define_lock, or before anybody else sees the store. */
enum fm_status subjects_purge(struct fm_store *store, bool *done, struct fm_error *err)
{
    uint64_t after = atomic_load(&store->purge_after);
    bool is_due = false;
    enum fm_status status = has_mark(store, &is_due, err);

    *done = status == FM_OK && !is_due;
    if (status != FM_OK || !is_due)
        return status;
    /* RocksDB keeps what a snapshot sees. */
    for (int waited = 0; view_oldest(store) < after; waited += PURGE_STEP_MS) {
        if (waited >= PURGE_WAIT_MS)
            return FM_OK;
        sleep_ms(PURGE_STEP_MS);
    }
    status = rocks_purge(store->rocks, ROCKS_SUBJECTS, err);
    if (status == FM_OK)
        status = drop_mark(store, err);
    *done = status == FM_OK;
    return status;
}

/* ---- From outside ---------------------------------------------------------------------------- */

static enum fm_status erase(struct erasing *erasing, struct fm_erased *out, struct fm_error *err)
{
    enum fm_status status = lock_tables(erasing, err);

    if (status == FM_OK)
        status = look_at_key(erasing, &out->was_erased, err);
    if (status == FM_OK && !out->was_erased)
        status = commit_erasure(erasing, err);
    else if (status == FM_OK)
        status = store_settle(erasing->store, err); /* Perhaps by somebody who still waits. */
    out->table_count = erasing->count;
    erasing_deinit(erasing);
    return status;
}

enum fm_status fm_store_erase_subject(struct fm_store *store, const char *domain,
                                      struct fm_span subject, struct fm_erased *out,
                                      struct fm_error *err)
{
    struct erasing erasing = {.store = store, .domain = domain, .subject = subject};
    struct fm_erased erased = {0};
    enum fm_status status = store_usable(store, err);

    if (status != FM_OK)
        return status;
    fm_subject_id(&erasing.id, domain, subject);
    (void)pthread_mutex_lock(&store->define_lock); /* Cannot fail. */
    status = erase(&erasing, &erased, err);
    if (status == FM_OK)
        status = subjects_purge(store, &erased.is_gone, err);
    (void)pthread_mutex_unlock(&store->define_lock);
    if (status == FM_OK)
        *out = erased;
    return status;
}

enum fm_status fm_store_purge_subjects(struct fm_store *store, bool *done, struct fm_error *err)
{
    enum fm_status status = store_usable(store, err);

    if (status != FM_OK)
        return status;
    (void)pthread_mutex_lock(&store->define_lock); /* Cannot fail. */
    status = subjects_purge(store, done, err);
    (void)pthread_mutex_unlock(&store->define_lock);
    return status;
}
