/* What the rows of one append have in their headers that others of it have not: operation, event
 * time, superseded sequence (core/history.h). Reads the columns of `extras` of a batch.
 * Threads: plain data. */
#ifndef FM_STORAGE_ROW_HEADERS_H
#define FM_STORAGE_ROW_HEADERS_H

#include "core/batch.h"
#include "core/history.h"

struct row_headers {
    const struct fm_batch *batch;
    struct fm_fact_header first; /* Of row 0, but for what the columns say. */
    /* Columns of the batch, -1: there is none. */
    int32_t op;
    int32_t event_time;
    int32_t supersedes;
};

/* `fields`: columns of the schema. The columns behind them have the types of core/history.h. */
struct row_headers row_headers(const struct fm_batch *batch, uint32_t fields, uint32_t extras,
                               const struct fm_fact_header *first);
/* Row 0 is `row`'s of 0..rows - 1. Texts that are no operation count as assert: check them first
 * (append_check.c). */
enum fm_operation row_operation(const struct row_headers *headers, uint32_t row);
bool row_supersedes(const struct row_headers *headers, uint32_t row, uint64_t *out);
void row_header(const struct row_headers *headers, uint32_t row, struct fm_fact_header *out);
/* Where the run ends of rows from `row` on whose headers are equal but for the sequence. */
uint32_t row_headers_run(const struct row_headers *headers, uint32_t row);
/* Runs in the whole batch. */
uint32_t row_headers_runs(const struct row_headers *headers);

#endif
