/* Rows of a chunk by the bits of a selection: values are moved together where they were decoded to,
 * column by column. (DuckDB could read them through a list of positions instead, but then each of
 * its operators pays for the detour, more than the move costs.)
 * Threads: none of its own. */
#ifndef FM_QUERY_WORKER_SELECT_H
#define FM_QUERY_WORKER_SELECT_H

#include "query/worker/decode.h"

#include "core/limits.h"

/* Positions of the rows of a block that stay, rising. */
struct row_choice {
    uint32_t rows;
    uint32_t count;
    uint64_t words[FM_BLOCK_ROWS / 64];
    uint16_t at[FM_BLOCK_ROWS + 4]; /* The last four entries are only written over. */
};

/* The bits [first, first + rows) of `bits`; `first` is a multiple of 64, rows <= FM_BLOCK_ROWS. */
void row_choice_init(struct row_choice *out, const uint8_t *bits, uint32_t first, uint32_t rows);

/* Keep those among the first `rows` values of a vector that `decoder` filled. */
void row_choice_apply(const struct row_choice *choice, const struct decoder *decoder,
                      duckdb_vector vector);

#endif
