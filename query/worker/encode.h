/* DuckDB's vectors into batches (core/batch.h), columns as they come: PLAIN, and codes for columns
 * with a dictionary. One pass, nothing is looked at twice.
 * Threads: one per encoder. Errors: FM_NOMEM; FM_LIMIT: a batch or a value past its bound;
 * FM_INVALID: a decimal past its digits. */
#ifndef FM_QUERY_WORKER_ENCODE_H
#define FM_QUERY_WORKER_ENCODE_H

#include "core/records.h"

#include <duckdb.h>

struct encoder;

/* `columns` are borrowed; types[i] is DuckDB's type of column i. A column with a dictionary is an
 * ENUM of just that dictionary. */
FM_MUST_USE enum fm_status encoder_new(const struct fm_columns *columns,
                                       const duckdb_logical_type *types, struct encoder **out);
void encoder_free(struct encoder *encoder);
FM_DEFINE_FREEP(encoder_freep, struct encoder, encoder_free)

/* Rows [first, first + count) of the first columns of `chunk`. */
FM_MUST_USE enum fm_status encoder_put(struct encoder *encoder, duckdb_data_chunk chunk,
                                       uint32_t first, uint32_t count);
uint32_t encoder_rows(const struct encoder *encoder);
size_t encoder_bytes(const struct encoder *encoder); /* Of the batch, once finished. */
/* Write the batch to `out`, which has encoder_bytes(), 8-byte aligned, and start anew. */
void encoder_finish(struct encoder *encoder, uint64_t first_row, uint8_t *out);

#endif
