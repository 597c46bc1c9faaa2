/* Rows that a program makes itself, as one batch: what EXPLAIN and SHOW answer, and the tables of
 * the domain `mesh`.
 * Errors: sticky; fm_rows_finish() tells. Threads: one at a time. */
#ifndef FM_CORE_ROWS_H
#define FM_CORE_ROWS_H

#include "core/batch.h"
#include "core/records.h"

struct fm_rows_column {
    const char *name;
    enum fm_kind kind; /* Not a nested one. */
};

struct fm_rows;

FM_MUST_USE enum fm_status fm_rows_new(const struct fm_rows_column *columns, uint32_t count,
                                       struct fm_rows **out);
/* The same, but of these columns (rising positions) only; cells of the others are put and go
 * nowhere. */
FM_MUST_USE enum fm_status fm_rows_new_of(const struct fm_rows_column *columns, uint32_t count,
                                          const uint32_t *wanted, uint32_t wanted_count,
                                          struct fm_rows **out);
void fm_rows_free(struct fm_rows *rows);
FM_DEFINE_FREEP(fm_rows_freep, struct fm_rows, fm_rows_free)

/* The next cell; the one behind the last begins a row. Each must be of its column's kind. */
void fm_rows_null(struct fm_rows *rows);
void fm_rows_text(struct fm_rows *rows, const char *text);
void fm_rows_span(struct fm_rows *rows, struct fm_span text);
void fm_rows_uint(struct fm_rows *rows, uint64_t value);
void fm_rows_bool(struct fm_rows *rows, bool value);
void fm_rows_int32(struct fm_rows *rows, int32_t value);
void fm_rows_int64(struct fm_rows *rows, int64_t value);
void fm_rows_double(struct fm_rows *rows, double value);
void fm_rows_time(struct fm_rows *rows, fm_us value); /* timestamptz. */

/* Rows put so far. */
uint64_t fm_rows_count(const struct fm_rows *rows);
/* As announced to a client, those wanted. Borrowed. */
const struct fm_columns *fm_rows_columns(const struct fm_rows *rows);
/* Append the batch to an empty buffer. FM_NOTFOUND: there is no row. */
FM_MUST_USE enum fm_status fm_rows_finish(struct fm_rows *rows, struct fm_buf *batch);

#endif
