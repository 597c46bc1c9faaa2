/* Rows of a chunk by the bits of a selection. DuckDB then reads the decoded rows through a list of
 * positions, which costs less than moving each column's values together.
 * Threads: none of its own. */
#ifndef FM_QUERY_WORKER_SELECT_H
#define FM_QUERY_WORKER_SELECT_H

#include "core/status.h"

#include <duckdb.h>

#define SELECT_ROOM 4u /* Entries behind the last one that select_positions() writes over. */

/* The positions, from 0 on, of the bits that are set among [first, first + count) of `words`;
 * `first` is a multiple of 64. `out` has room for count + SELECT_ROOM. Their number. */
uint32_t select_positions(const uint8_t *words, uint32_t first, uint32_t count, uint32_t *out);

/* Leave only those rows in all columns of the chunk, and set its size. FM_NOMEM. */
FM_MUST_USE enum fm_status select_rows(duckdb_data_chunk chunk, const uint8_t *words,
                                       uint32_t first, uint32_t count);

#endif
