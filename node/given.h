/* Rows of other owners' tables that an asker sends along with a statement (core/records.h), checked
 * and ready for a worker's slots.
 * Ownership: fm_given_deinit(). Threads: one at a time. */
#ifndef FM_NODE_GIVEN_H
#define FM_NODE_GIVEN_H

#include "query/engine.h"
#include "storage/store.h"

struct fm_given_table {
    const struct fm_given *from; /* Borrowed. */
    struct fm_columns columns;   /* All of the table's. */
    struct fm_buf batch;         /* Empty: no row. */
    uint32_t rows;
};

struct fm_given_tables {
    uint32_t count;
    struct fm_given_table *items; /* Owned. */
};

/* A strange node made them, so everything is looked at. `own` has the tables that nobody may give.
 * FM_REFUSED, FM_MALFORMED with the table's name, FM_NOMEM. To a zeroed `out`. */
FM_MUST_USE enum fm_status fm_given_open(const struct fm_fragment *fragment,
                                         struct fm_snapshot *own, struct fm_given_tables *out,
                                         struct fm_error *err);
void fm_given_deinit(struct fm_given_tables *tables);

/* NULL: not given. `at` may be NULL: of any time; its columns are the same. */
const struct fm_given_table *fm_given_find(const struct fm_given_tables *tables, const char *domain,
                                           const char *table, const struct fm_at *at);
/* A schema of the columns, for planning; the caller frees it. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_given_schema(const struct fm_given_table *given,
                                           struct fm_schema **out);
/* What a plan depends on: all but the rows. */
void fm_given_hash(const struct fm_given_tables *tables, struct fm_hash *out);

#endif
