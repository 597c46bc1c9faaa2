#include "node/plan_cache.h"

#include "core/assert.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    struct fm_hash key;
    struct fm_registry_version version;
    bool used_statistics;
    uint64_t used; /* By the cache's clock of uses. */
    size_t bytes;
    struct fm_plan plan;
};

struct fm_plan_cache {
    pthread_mutex_t lock;
    uint32_t entries_max;
    size_t bytes_max;
    uint32_t count;
    size_t bytes;
    uint64_t uses;
    struct entry **entries; /* entries_max places, the first `count` taken. */
};

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    fm_plan_deinit(&entry->plan);
    free(entry);
}

static void lock(struct fm_plan_cache *cache)
{
    fm_assert(pthread_mutex_lock(&cache->lock) == 0);
}

static void unlock(struct fm_plan_cache *cache)
{
    fm_assert(pthread_mutex_unlock(&cache->lock) == 0);
}

enum fm_status fm_plan_cache_new(uint32_t entries_max, size_t bytes_max, struct fm_plan_cache **out)
{
    struct fm_plan_cache *cache = calloc(1, sizeof *cache);

    fm_assert(entries_max > 0);
    if (cache == NULL)
        return FM_NOMEM;
    cache->entries_max = entries_max;
    cache->bytes_max = bytes_max;
    cache->entries = calloc(entries_max, sizeof *cache->entries);
    if (cache->entries == NULL || pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache->entries);
        free(cache);
        return FM_NOMEM;
    }
    *out = cache;
    return FM_OK;
}

void fm_plan_cache_free(struct fm_plan_cache *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t i = 0; i < cache->count; i++)
        entry_free(cache->entries[i]);
    free(cache->entries);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* ---- Under the lock -------------------------------------------------------------------------- */

static uint32_t find(const struct fm_plan_cache *cache, const struct fm_hash *key)
{
    uint32_t i = 0;

    while (i < cache->count && !fm_hash_equal(&cache->entries[i]->key, key))
        i++;
    return i;
}

/* The caller frees it, without the lock. */
static struct entry *take_out(struct fm_plan_cache *cache, uint32_t i)
{
    struct entry *entry = cache->entries[i];

    fm_assert(i < cache->count && cache->bytes >= entry->bytes);
    cache->bytes -= entry->bytes;
    cache->entries[i] = cache->entries[--cache->count];
    return entry;
}

static uint32_t oldest(const struct fm_plan_cache *cache)
{
    uint32_t at = 0;

    for (uint32_t i = 1; i < cache->count; i++) {
        if (cache->entries[i]->used < cache->entries[at]->used)
            at = i;
    }
    return at;
}

static bool is_current(const struct entry *entry, const struct fm_registry_version *version)
{
    return entry->version.catalog == version->catalog &&
           (!entry->used_statistics || entry->version.statistics == version->statistics);
}

static void insert(struct fm_plan_cache *cache, struct entry *entry)
{
    uint32_t same = find(cache, &entry->key);

    if (same < cache->count)
        entry_free(take_out(cache, same));
    while (cache->count == cache->entries_max || cache->bytes_max - cache->bytes < entry->bytes)
        entry_free(take_out(cache, oldest(cache)));
    entry->used = ++cache->uses;
    cache->bytes += entry->bytes;
    cache->entries[cache->count++] = entry;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

enum fm_status fm_plan_cache_get(struct fm_plan_cache *cache, const struct fm_hash *key,
                                 const struct fm_registry_version *version, struct fm_plan *out)
{
    struct entry *stale = NULL;
    enum fm_status status = FM_NOTFOUND;

    lock(cache);
    uint32_t i = find(cache, key);
    if (i < cache->count && is_current(cache->entries[i], version)) {
        cache->entries[i]->used = ++cache->uses;
        status = fm_plan_copy(&cache->entries[i]->plan, out);
    } else if (i < cache->count) {
        stale = take_out(cache, i);
    }
    unlock(cache);
    entry_free(stale);
    return status;
}

void fm_plan_cache_put(struct fm_plan_cache *cache, const struct fm_hash *key,
                       const struct fm_registry_version *version, bool used_statistics,
                       const struct fm_plan *plan)
{
    size_t bytes = sizeof(struct entry) + fm_plan_memory(plan);

    if (plan->is_timed || bytes > cache->bytes_max)
        return;
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return;
    *entry = (struct entry){
        .key = *key,
        .version = *version,
        .used_statistics = used_statistics,
        .bytes = bytes,
    };
    if (fm_plan_copy(plan, &entry->plan) != FM_OK) {
        entry->plan = (struct fm_plan){0};
        entry_free(entry);
        return;
    }
    lock(cache);
    insert(cache, entry);
    unlock(cache);
}

void fm_plan_cache_size(struct fm_plan_cache *cache, uint32_t *entries, size_t *bytes)
{
    lock(cache);
    *entries = cache->count;
    *bytes = cache->bytes;
    unlock(cache);
}
