/* Plans kept for statements that come again: what parsing and planning gave does not change while
 * the catalog does not. Bounded in entries and bytes; the one unused for the longest time goes.
 * Threads: any; the cache locks itself. Ownership: plans are copied in and out, so that who gets
 * one may change it. */
#ifndef FM_NODE_PLAN_CACHE_H
#define FM_NODE_PLAN_CACHE_H

#include "core/hash.h"
#include "node/registry.h"
#include "query/plan.h"

struct fm_plan_cache;

FM_MUST_USE enum fm_status fm_plan_cache_new(uint32_t entries_max, size_t bytes_max,
                                             struct fm_plan_cache **out);
void fm_plan_cache_free(struct fm_plan_cache *cache); /* NULL is fine. */

/* `key` hashes all that a plan depends on but the catalog: who asks, text, options. FM_NOTFOUND:
 * none, or one of another version of the catalog, which is dropped. */
FM_MUST_USE enum fm_status fm_plan_cache_get(struct fm_plan_cache *cache, const struct fm_hash *key,
                                             const struct fm_registry_version *version,
                                             struct fm_plan *out);
/* `version` is the one from before planning; `used_statistics`: the plan depends on them too. A
 * plan that holds for a moment only is not kept, nor what does not fit; lack of memory only
 * forgets. */
void fm_plan_cache_put(struct fm_plan_cache *cache, const struct fm_hash *key,
                       const struct fm_registry_version *version, bool used_statistics,
                       const struct fm_plan *plan);

/* What it holds, for tests. */
void fm_plan_cache_size(struct fm_plan_cache *cache, uint32_t *entries, size_t *bytes);

#endif
