/* Predicates that travel with a scan: a conjunction of simple terms over columns of one table. They
 * only ever remove rows that the query's own SQL would remove again, so a term that cannot be
 * expressed is left out. NULL compares as in SQL: a term that is not true removes the row.
 * Threads: immutable once built. Ownership: fm_predicate_list_deinit(). */
#ifndef FM_CORE_PREDICATE_H
#define FM_CORE_PREDICATE_H

#include "core/batch.h"
#include "core/schema.h"

enum fm_operator {
    FM_OP_EQ = 1,
    FM_OP_NE = 2,
    FM_OP_LT = 3,
    FM_OP_LE = 4,
    FM_OP_GT = 5,
    FM_OP_GE = 6,
    FM_OP_IN = 7,
    FM_OP_IS_NULL = 8,
    FM_OP_IS_NOT_NULL = 9,
    FM_OP_PREFIX = 10, /* LIKE 'abc%'. */
};

struct fm_predicate {
    uint32_t field_id;
    enum fm_operator op;
    uint32_t value_count;  /* EQ..GE, PREFIX: 1; IN: >= 1; IS_*: 0. */
    struct fm_buf *values; /* Owned: canonical bytes of the field's type each. Not for nested. */
};

struct fm_predicate_list {
    uint32_t count; /* <= FM_PREDICATES_MAX. */
    struct fm_predicate *terms;
};

void fm_predicate_list_deinit(struct fm_predicate_list *list);
FM_MUST_USE enum fm_status fm_predicate_list_copy(const struct fm_predicate_list *list,
                                                  struct fm_predicate_list *out);

/* One strict msgpack document. Decoding checks values against the schema's types. */
void fm_predicate_list_encode(struct fm_buf *out, const struct fm_predicate_list *list);
FM_MUST_USE enum fm_status fm_predicate_list_decode(struct fm_span bytes,
                                                    const struct fm_schema *schema,
                                                    struct fm_predicate_list *out,
                                                    struct fm_error *err);

/* Three-way compare of two canonical values of one scalar type, in SQL order (text by bytes, NaN
 * greatest, -0 equal to 0). */
int fm_canonical_compare(const struct fm_type *type, struct fm_span a, struct fm_span b);

/* Evaluate all terms over rows [first, first + count) of a batch whose top-level column c holds the
 * field field_ids[c]: clears bits in `selection` (bit i is row first + i) of rows that fail. Terms
 * over fields the batch does not hold are skipped when `skip_absent`, else FM_INVALID. Dictionary
 * and FOR columns are compared on their codes. */
FM_MUST_USE enum fm_status fm_predicate_select(const struct fm_predicate_list *list,
                                               const struct fm_schema *schema,
                                               const struct fm_batch *batch,
                                               const uint32_t *field_ids,
                                               const struct fm_dictionary *const *dictionaries,
                                               uint32_t first, uint32_t count, bool skip_absent,
                                               uint64_t *selection);

/* May any row of a run with these bounds (canonical bytes; min.len == 0: unknown) satisfy
 * `term`? */
bool fm_predicate_may_match(const struct fm_predicate *term, const struct fm_type *type,
                            struct fm_span min, struct fm_span max, uint32_t rows,
                            uint32_t null_count);

#endif
