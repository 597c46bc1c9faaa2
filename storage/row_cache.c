#include "storage/row_cache.h"

#include "core/assert.h"

#include <stdlib.h>

#define CHAINS 4096u /* Runs of five narrow columns are some 20 KiB: chains stay short. */

struct row_cache {
    pthread_mutex_t lock;
    size_t bytes_max;
    size_t bytes;
    struct row_run *newest;
    struct row_run *oldest;
    struct row_run *chains[CHAINS];
};

/* ---- Runs ------------------------------------------------------------------------------------ */

enum fm_status row_run_new(const struct row_run_key *key, uint32_t column_count,
                           struct row_run **out)
{
    FM_AUTO(row_run_releasep) struct row_run *run = calloc(1, sizeof *run);

    fm_assert(column_count > 0);
    if (run == NULL)
        return FM_NOMEM;
    atomic_init(&run->references, 1);
    run->key = *key;
    run->column_count = column_count;
    run->columns = calloc(column_count, sizeof *run->columns);
    run->loaded = calloc(column_count, sizeof *run->loaded);
    if (run->columns == NULL || run->loaded == NULL)
        return FM_NOMEM;
    *out = FM_TAKE(run);
    return FM_OK;
}

void row_run_release(struct row_run *run)
{
    if (run == NULL || atomic_fetch_sub(&run->references, 1) != 1)
        return;
    for (uint32_t i = 0; run->loaded != NULL && i < run->column_count; i++)
        loaded_release(&run->loaded[i]);
    hot_rows_deinit(&run->hot);
    free(run->loaded);
    free(run->columns);
    free(run);
}

static size_t run_bytes(const struct row_run *run)
{
    size_t bytes = sizeof *run + run->hot.bytes.cap;

    for (uint32_t i = 0; i < run->column_count; i++)
        bytes += sizeof run->columns[i] + sizeof run->loaded[i] + run->loaded[i].bytes.cap;
    return bytes;
}

/* ---- The cache ------------------------------------------------------------------------------- */

enum fm_status row_cache_new(size_t bytes, struct row_cache **out)
{
    struct row_cache *cache = calloc(1, sizeof *cache);

    if (cache == NULL)
        return FM_NOMEM;
    if (pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache);
        return FM_NOMEM;
    }
    cache->bytes_max = bytes;
    *out = cache;
    return FM_OK;
}

static bool keys_equal(const struct row_run_key *a, const struct row_run_key *b)
{
    return a->table == b->table && a->block == b->block && a->unit == b->unit;
}

/* The place that points at the run, or at the end of its chain. */
static struct row_run **place_of(struct row_cache *cache, const struct row_run_key *key)
{
    uint64_t hash = (key->unit ^ (uint64_t)key->block << 40 ^ (uint64_t)key->table << 20) *
                    UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing (Knuth, 6.4). */
    struct row_run **place = &cache->chains[hash >> 52];

    _Static_assert(CHAINS == 1u << 12, "the upper 12 bits name a chain");
    while (*place != NULL && !keys_equal(&(*place)->key, key))
        place = &(*place)->chain;
    return place;
}

static void take_out(struct row_cache *cache, struct row_run *run)
{
    *(run->newer != NULL ? &run->newer->older : &cache->newest) = run->older;
    *(run->older != NULL ? &run->older->newer : &cache->oldest) = run->newer;
}

static void put_first(struct row_cache *cache, struct row_run *run)
{
    run->newer = NULL;
    run->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = run;
    cache->newest = run;
}

static void drop_oldest(struct row_cache *cache)
{
    struct row_run *run = cache->oldest;
    struct row_run **place = place_of(cache, &run->key);

    fm_assert(*place == run);
    *place = run->chain;
    take_out(cache, run);
    cache->bytes -= run->bytes;
    row_run_release(run);
}

void row_cache_free(struct row_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->oldest != NULL)
        drop_oldest(cache);
    fm_assert(cache->bytes == 0);
    (void)pthread_mutex_destroy(&cache->lock); /* Nobody holds it. */
    free(cache);
}

struct row_run *row_cache_find(struct row_cache *cache, const struct row_run_key *key)
{
    struct row_run *run;

    (void)pthread_mutex_lock(&cache->lock); /* Cannot fail: a plain, initialised mutex. */
    run = *place_of(cache, key);
    if (run != NULL) {
        take_out(cache, run);
        put_first(cache, run);
        atomic_fetch_add(&run->references, 1);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return run;
}

void row_cache_add(struct row_cache *cache, struct row_run *run)
{
    struct row_run **place;

    run->bytes = run_bytes(run);
    if (run->bytes > cache->bytes_max / 4)
        return;
    (void)pthread_mutex_lock(&cache->lock); /* Cannot fail. */
    place = place_of(cache, &run->key);
    if (*place == NULL) {
        *place = run;
        put_first(cache, run);
        atomic_fetch_add(&run->references, 1);
        cache->bytes += run->bytes;
        while (cache->bytes > cache->bytes_max)
            drop_oldest(cache);
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

size_t row_cache_bytes(struct row_cache *cache)
{
    size_t bytes;

    (void)pthread_mutex_lock(&cache->lock); /* Cannot fail. */
    bytes = cache->bytes;
    (void)pthread_mutex_unlock(&cache->lock);
    return bytes;
}
