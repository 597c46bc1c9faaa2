/* Runs of decoded rows, all columns of them, for lookups of single rows: a block of a segment or a
 * hot value. Facts never change, so a run is good for every snapshot that has it.
 * Threads: a cache may be shared; a run is immutable.
 * Ownership: runs are counted; the cache lets go of those that were used longest ago. */
#ifndef FM_STORAGE_ROW_CACHE_H
#define FM_STORAGE_ROW_CACHE_H

#include "storage/reading.h"

#define ROW_CACHE_BYTES (64u << 20) /* As they are counted, not what malloc() makes of it. */

struct row_cache;

struct row_run_key {
    uint32_t table;
    uint32_t block; /* ROW_RUN_HOT: a hot value. */
    uint64_t unit;  /* Segment id, or first sequence. */
};
#define ROW_RUN_HOT UINT32_MAX

struct row_column {
    uint32_t field_id;
    uint32_t column; /* Of the batch. */
    const struct fm_batch *batch;
};

struct row_run {
    atomic_uint references;
    struct row_run_key key;
    uint32_t first; /* Row of the unit that it begins with. */
    uint32_t column_count;
    struct row_column *columns;
    struct loaded *loaded; /* By column, of a segment. */
    struct hot_rows hot;
    size_t bytes;
    struct row_run *chain; /* Under the cache's lock, like these. */
    struct row_run *newer;
    struct row_run *older;
};

FM_MUST_USE enum fm_status row_cache_new(size_t bytes, struct row_cache **out);
void row_cache_free(struct row_cache *cache); /* NULL is fine. */

/* The run, retained; NULL: not there. */
struct row_run *row_cache_find(struct row_cache *cache, const struct row_run_key *key);
/* Keep the run too, unless another thread was faster or it is too large. */
void row_cache_add(struct row_cache *cache, struct row_run *run);
size_t row_cache_bytes(struct row_cache *cache);

/* A run of `column_count` empty columns, for the caller to fill. */
FM_MUST_USE enum fm_status row_run_new(const struct row_run_key *key, uint32_t column_count,
                                       struct row_run **out);
void row_run_release(struct row_run *run); /* NULL is fine. */
FM_DEFINE_FREEP(row_run_releasep, struct row_run, row_run_release)

#endif
