/* A file of rows, through the one descriptor that came with the command (query/engine.h). */
#ifndef FM_QUERY_WORKER_INGEST_H
#define FM_QUERY_WORKER_INGEST_H

#include "query/worker/worker.h"

/* Serve an INGEST frame: answer DONE with the rows that the file tells of (0: it does not) once the
 * columns are known to fit, then batches and END. */
FM_MUST_USE enum fm_status ingest_run(struct worker *worker, struct fm_error *err);

#endif
