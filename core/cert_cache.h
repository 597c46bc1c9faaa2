/* Certificates and heads whose signatures were verified before: the same bytes need not be verified
 * again, which takes a signature check per key. Times of validity are not looked at: that stays
 * with who uses a certificate. Bounded: the one unused for the longest time goes.
 * Threads: any; it locks itself. Ownership: copies in and out. */
#ifndef FM_CORE_CERT_CACHE_H
#define FM_CORE_CERT_CACHE_H

#include "core/cert.h"
#include "core/note.h"

struct fm_cert_cache;

/* Of one charter, which must outlive it: what others' authorities sign is never found in it. */
FM_MUST_USE enum fm_status fm_cert_cache_new(const struct fm_charter *charter, uint32_t entries_max,
                                             struct fm_cert_cache **out);
void fm_cert_cache_free(struct fm_cert_cache *cache); /* NULL is fine. */
FM_DEFINE_FREEP(fm_cert_cache_freep, struct fm_cert_cache, fm_cert_cache_free)

/* As fm_node_cert_open_undated() and fm_principal_cert_open_undated(). */
FM_MUST_USE enum fm_status fm_cert_cache_node(struct fm_cert_cache *cache, struct fm_span bytes,
                                              struct fm_node_cert *out, struct fm_error *err);
FM_MUST_USE enum fm_status fm_cert_cache_principal(struct fm_cert_cache *cache,
                                                   struct fm_span bytes,
                                                   struct fm_principal_cert *out,
                                                   struct fm_error *err);

/* As fm_head_open(): found are the same bytes under the same key. A table that does not change has
 * the same head in every receipt. */
FM_MUST_USE enum fm_status fm_cert_cache_head(struct fm_cert_cache *cache, struct fm_span note,
                                              const struct fm_public_key *log_key,
                                              struct fm_head *out);

/* How many certificates it holds, and how many of all were found, for tests. */
void fm_cert_cache_counts(struct fm_cert_cache *cache, uint32_t *entries, uint64_t *found);

#endif
