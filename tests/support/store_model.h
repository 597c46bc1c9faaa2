/* What the tests' models of a store share: predicates over the table "tests.rows", and what they
 * select. */
#ifndef FM_TESTS_SUPPORT_STORE_MODEL_H
#define FM_TESTS_SUPPORT_STORE_MODEL_H

#include "tests/support/store_support.h"

/* Up to two terms over id, name and value; end them with fm_predicate_list_deinit(). */
void rows_random_predicates(struct random *random, struct fm_predicate_list *out);
/* Whether a row satisfies all terms, as SQL has it; `predicates` may be NULL. */
bool row_matches(const struct row *row, const struct fm_predicate_list *predicates);

/* All of `read` is among `expected`, as often as there at most; both are sorted for that. */
void rows_assert_among(struct row_list *read, struct row_list *expected);

#endif
