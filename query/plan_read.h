/* What the optimised plan says about each slot: the columns wanted, and the terms of the filters
 * right above its scan. What is not understood is left out: predicates only save work.
 * Threads: one per call. */
#ifndef FM_QUERY_PLAN_READ_H
#define FM_QUERY_PLAN_READ_H

#include "query/plan.h"
#include "query/tree_json.h"

/* One fm_scan() in the plan, seen from an operator above it. */
struct plan_scan {
    uint32_t slot;
    const json_t *get;
};

struct plan_reader {
    struct fm_plan *plan; /* tables[] with their schemas; fields and predicates are filled. */
    struct fm_error *err;
    uint32_t scan_counts[FM_QUERY_TABLES_MAX];
    uint64_t shared; /* Slots read twice: by two scans, or in a recursion. */
    uint32_t steps;  /* Operators that were looked at for joins. */
    bool streams;
    bool is_partial;                   /* A term of a filter is in no predicate. */
    bool *wanted[FM_QUERY_TABLES_MAX]; /* Owned: per slot, per field. */
};

/* Read {"error": false, "plans": [one]} into plan->tables[].fields and .predicates and
 * plan->joins, and say in `shared` which slots the plan would read more than once. FM_INVALID: a
 * scan of something else than slots and generated rows. */
FM_MUST_USE enum fm_status plan_read(struct fm_plan *plan, struct fm_span json, uint64_t *shared,
                                     struct fm_error *err);

/* ---- Between the files ----------------------------------------------------------------------- */

/* Terms of a LOGICAL_FILTER whose input leads to one scan, to that slot's predicates. */
FM_MUST_USE enum fm_status plan_read_filter(struct plan_reader *reader, const json_t *filter);

/* Set plan->lookup when the plan is that of a scan by itself, read before with all its filters. */
FM_MUST_USE enum fm_status plan_read_lookup(const struct plan_reader *reader, const json_t *root);

/* Equalities of columns of two slots, of a LOGICAL_COMPARISON_JOIN, to plan->joins. */
FM_MUST_USE enum fm_status plan_read_join(struct plan_reader *reader, const json_t *join);

/* A BOUND_CAST to a type that holds all values of what is cast. */
bool plan_cast_is_exact(const json_t *cast);

/* A column under an expression: a field of a scan, or the mark of an IN list. */
struct plan_column {
    struct plan_scan scan;
    uint32_t field;
    bool widened;         /* Cast to a wider type that holds all its values. */
    const json_t *values; /* Of a mark: the rows of the list. */
};

/* Which slots' missing rows would change other rows: their `needed_by`. The operators' types were
 * seen to be there. */
void plan_read_losses(const struct plan_reader *reader, const json_t *root);

/* The column that an expression over the operator `input` stands for, bare or cast without loss.
 * Only operators are passed that neither add nor repeat rows: then a filter above them may as well
 * stand on the scan. */
bool plan_column_of(const struct plan_reader *reader, const json_t *input, const json_t *expression,
                    struct plan_column *out);

/* A MARK join with a list of constants: it adds and repeats no row. */
bool plan_is_list_join(const json_t *op);

/* Position in the schema of what the scan's output column `index` carries. */
bool plan_scan_field(const struct plan_reader *reader, const struct plan_scan *scan, uint64_t index,
                     uint32_t *field);
/* The slot of a LOGICAL_GET of fm_scan(). */
bool plan_scan_slot(const struct plan_reader *reader, const json_t *get, uint32_t *slot);

/* Canonical bytes of a constant for a field of `type`; false when it is null, of another type or
 * not exactly a value of the type. `widened`: the column was cast to what the constant is. */
bool plan_value(const json_t *value, const struct fm_type *type, bool widened, struct fm_buf *out);

/* One value that plan_value() wrote, as SQL has it, without the words DATE, TIMESTAMP and quotes
 * that go with them. */
void plan_print_value(const struct fm_type *type, struct fm_span value, struct fm_buf *out);

/* A term in words ("delay > 120") for people. */
void plan_print_term(const struct fm_schema *schema, const struct fm_predicate *term,
                     struct fm_buf *out);

#endif
