/* What a node did since it started, for /metrics (docs/http.md).
 * Threads: any. */
#ifndef FM_NODE_COUNTERS_H
#define FM_NODE_COUNTERS_H

#include "core/status.h"

#include <stdatomic.h>
#include <stdint.h>

#define FM_STATUS_COUNT (FM_INTERNAL + 1)

struct fm_counters_of {                          /* Of queries asked here, or of fragments. */
    atomic_uint_fast64_t ended[FM_STATUS_COUNT]; /* By how. */
    atomic_uint_fast64_t rows;                   /* Of those that ended well. */
    atomic_uint_fast64_t bytes;
};

struct fm_counters {
    struct fm_counters_of queries;
    struct fm_counters_of fragments;
};

static inline void fm_counters_end(struct fm_counters_of *of, enum fm_status status, uint64_t rows,
                                   uint64_t bytes)
{
    atomic_fetch_add_explicit(&of->ended[status], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&of->rows, rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&of->bytes, bytes, memory_order_relaxed);
}

#endif
