/* Results of statements as batches into the shared memory. */
#ifndef FM_QUERY_WORKER_STREAM_H
#define FM_QUERY_WORKER_STREAM_H

#include "query/worker/encode.h"
#include "query/worker/worker.h"

/* Looks at each chunk before it is encoded. FM_BUSY: the chunk is dropped; another failure ends the
 * stream. */
struct stream_check {
    void *context;
    enum fm_status (*chunk)(void *context, duckdb_data_chunk chunk, struct fm_error *err);
};

/* Prepare `sql`, answer COLUMNS, execute, answer BATCH or INLINE frames and END. With
 * `describe_only` COLUMNS is all. */
FM_MUST_USE enum fm_status stream_run(struct worker *worker, const char *sql, bool describe_only,
                                      struct fm_error *err);

/* Execute a prepared statement whose first columns are `columns` and answer as above from the
 * batches on. `check` may be NULL. */
FM_MUST_USE enum fm_status stream_result(struct worker *worker, duckdb_prepared_statement statement,
                                         const struct fm_columns *columns,
                                         const struct stream_check *check, struct fm_error *err);

#endif
