#include "core/cert_cache.h"

#include "core/assert.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    struct fm_hash hash; /* Of the envelope as it came, signatures included. */
    uint64_t used;
    bool is_node;
    union {
        struct fm_node_cert node;
        struct fm_principal_cert principal;
    } cert;
};

struct seen_head {
    struct fm_hash hash; /* Of key and note. */
    uint64_t used;       /* 0: a free place. */
};

struct fm_cert_cache {
    const struct fm_charter *charter;
    pthread_mutex_t lock;
    uint32_t entries_max;
    uint32_t count;
    uint64_t uses;
    uint64_t found;
    struct entry **entries; /* entries_max places, the first `count` taken. */
    struct seen_head heads[FM_HEADS_KEPT_MAX];
};

static void lock(struct fm_cert_cache *cache)
{
    fm_assert(pthread_mutex_lock(&cache->lock) == 0);
}

static void unlock(struct fm_cert_cache *cache)
{
    fm_assert(pthread_mutex_unlock(&cache->lock) == 0);
}

enum fm_status fm_cert_cache_new(const struct fm_charter *charter, uint32_t entries_max,
                                 struct fm_cert_cache **out)
{
    struct fm_cert_cache *cache = calloc(1, sizeof *cache);

    fm_assert(charter != NULL && entries_max > 0);
    if (cache == NULL)
        return FM_NOMEM;
    cache->charter = charter;
    cache->entries_max = entries_max;
    cache->entries = calloc(entries_max, sizeof *cache->entries);
    if (cache->entries == NULL || pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache->entries);
        free(cache);
        return FM_NOMEM;
    }
    *out = cache;
    return FM_OK;
}

void fm_cert_cache_free(struct fm_cert_cache *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t i = 0; i < cache->count; i++)
        free(cache->entries[i]);
    free(cache->entries);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* The caller holds the lock. */
static struct entry *find(struct fm_cert_cache *cache, const struct fm_hash *hash, bool is_node)
{
    for (uint32_t i = 0; i < cache->count; i++) {
        struct entry *entry = cache->entries[i];
        if (entry->is_node == is_node && fm_hash_equal(&entry->hash, hash))
            return entry;
    }
    return NULL;
}

/* Keep the entry, taken over; lack of room ends the one unused for the longest time. */
static void keep(struct fm_cert_cache *cache, struct entry *entry)
{
    struct entry *gone = NULL;

    lock(cache);
    if (find(cache, &entry->hash, entry->is_node) != NULL) {
        gone = entry; /* Another thread was faster. */
    } else {
        uint32_t at = cache->count;
        if (cache->count == cache->entries_max) {
            at = 0;
            for (uint32_t i = 1; i < cache->count; i++) {
                if (cache->entries[i]->used < cache->entries[at]->used)
                    at = i;
            }
            gone = cache->entries[at];
        } else {
            cache->count++;
        }
        entry->used = ++cache->uses;
        cache->entries[at] = entry;
    }
    unlock(cache);
    free(gone);
}

static bool take(struct fm_cert_cache *cache, const struct fm_hash *hash, bool is_node, void *out)
{
    lock(cache);
    struct entry *entry = find(cache, hash, is_node);
    if (entry != NULL) {
        entry->used = ++cache->uses;
        cache->found++;
        if (is_node)
            *(struct fm_node_cert *)out = entry->cert.node;
        else
            *(struct fm_principal_cert *)out = entry->cert.principal;
    }
    unlock(cache);
    return entry != NULL;
}

enum fm_status fm_cert_cache_node(struct fm_cert_cache *cache, struct fm_span bytes,
                                  struct fm_node_cert *out, struct fm_error *err)
{
    struct fm_hash hash;

    fm_sha256_one(&hash, bytes);
    if (take(cache, &hash, true, out))
        return FM_OK;
    enum fm_status status = fm_node_cert_open_undated(cache->charter, bytes, out, err);
    struct entry *entry = status == FM_OK ? calloc(1, sizeof *entry) : NULL;
    if (entry != NULL) {
        *entry = (struct entry){.hash = hash, .is_node = true, .cert.node = *out};
        keep(cache, entry);
    }
    return status;
}

enum fm_status fm_cert_cache_principal(struct fm_cert_cache *cache, struct fm_span bytes,
                                       struct fm_principal_cert *out, struct fm_error *err)
{
    struct fm_hash hash;

    fm_sha256_one(&hash, bytes);
    if (take(cache, &hash, false, out))
        return FM_OK;
    enum fm_status status = fm_principal_cert_open_undated(cache->charter, bytes, out, err);
    struct entry *entry = status == FM_OK ? calloc(1, sizeof *entry) : NULL;
    if (entry != NULL) {
        *entry = (struct entry){.hash = hash, .is_node = false, .cert.principal = *out};
        keep(cache, entry);
    }
    return status;
}

/* ---- Heads ----------------------------------------------------------------------------------- */

static void hash_head(struct fm_span note, const struct fm_public_key *key, struct fm_hash *out)
{
    const struct fm_span parts[] = {fm_span(key->bytes, sizeof key->bytes), note};

    fm_sha256(out, parts, sizeof parts / sizeof parts[0]);
}

static bool has_head(struct fm_cert_cache *cache, const struct fm_hash *hash)
{
    bool found = false;

    lock(cache);
    for (uint32_t i = 0; i < FM_HEADS_KEPT_MAX && !found; i++) {
        struct seen_head *head = &cache->heads[i];
        found = head->used != 0 && fm_hash_equal(&head->hash, hash);
        if (found)
            head->used = ++cache->uses;
    }
    cache->found += found ? 1 : 0;
    unlock(cache);
    return found;
}

/* In a free place, or that of the one unused for the longest time. */
static void keep_head(struct fm_cert_cache *cache, const struct fm_hash *hash)
{
    lock(cache);
    uint32_t at = 0;
    for (uint32_t i = 1; i < FM_HEADS_KEPT_MAX; i++) {
        if (cache->heads[i].used < cache->heads[at].used)
            at = i;
    }
    cache->heads[at] = (struct seen_head){.hash = *hash, .used = ++cache->uses};
    unlock(cache);
}

enum fm_status fm_cert_cache_head(struct fm_cert_cache *cache, struct fm_span note,
                                  const struct fm_public_key *log_key, struct fm_head *out)
{
    struct fm_hash hash;

    hash_head(note, log_key, &hash);
    if (has_head(cache, &hash))
        return fm_head_parse(note, out);
    enum fm_status status = fm_head_open(note, log_key, out);
    if (status == FM_OK)
        keep_head(cache, &hash);
    return status;
}

void fm_cert_cache_counts(struct fm_cert_cache *cache, uint32_t *entries, uint64_t *found)
{
    lock(cache);
    *entries = cache->count;
    *found = cache->found;
    unlock(cache);
}
