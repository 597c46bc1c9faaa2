/* The keys of one slot as a condition on another: distinct values of a column, collected from
 * batches, become an IN term over a column of the other table, or, when they are many, two terms
 * that bound it. Either keeps every row that is equal to some key, and more rows are no harm.
 * Ownership: fm_key_set_free(). Threads: one at a time. */
#ifndef FM_QUERY_KEY_SET_H
#define FM_QUERY_KEY_SET_H

#include "core/predicate.h"

struct fm_key_set;

/* `from` and `to` are types that plan_read_join() takes for comparable: the same, or integers. Both
 * are borrowed while the keys live. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_key_set_new(const struct fm_type *from, const struct fm_type *to,
                                          struct fm_key_set **out);
void fm_key_set_free(struct fm_key_set *keys);
FM_DEFINE_FREEP(fm_key_set_freep, struct fm_key_set, fm_key_set_free)

/* Add a batch's values of one vector; NULLs are nobody's partner. `dictionary`: as for
 * fm_vector_canonical(). */
FM_MUST_USE enum fm_status fm_key_set_add(struct fm_key_set *keys, const struct fm_batch *batch,
                                          const struct fm_vector_entry *vector,
                                          const struct fm_dictionary *dictionary);
/* Distinct values so far; past FM_PREDICATE_VALUES_MAX or FM_REDUCE_KEY_BYTES_MAX they are no more
 * counted. */
uint32_t fm_key_set_count(const struct fm_key_set *keys);

/* Append the terms over the field `field_id` of type `to`. Without any key they are such that no
 * row satisfies them. FM_LIMIT: no room in the list; it is as it was. */
FM_MUST_USE enum fm_status fm_key_set_terms(const struct fm_key_set *keys, uint32_t field_id,
                                            struct fm_predicate_list *list);

#endif
