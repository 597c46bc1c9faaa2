/* A whole query over tables of this node, run by a worker over the node's own store: column blocks
 * are mapped into the worker, what cannot be mapped is scanned. */
#ifndef FM_NODE_RUN_H
#define FM_NODE_RUN_H

#include "core/records.h"
#include "core/stop.h"
#include "core/time.h"
#include "node/given.h"
#include "storage/store.h"

struct fm_server;
struct fm_table_run;

struct fm_table_run_options {
    struct fm_server *server;
    struct fm_snapshot *snapshot;      /* Borrowed while the run lives. */
    struct fm_span sql;                /* Names as in the catalog; planned again here. */
    const struct fm_table_ref *tables; /* The only tables it may touch, with their schemas. */
    uint32_t table_count;
    const struct fm_given_tables
        *given;                        /* Others that it may read. Borrowed while the run lives. */
    const struct fm_query_body *asked; /* What its tables are pinned to. Borrowed for the call. */
    const struct fm_hash *whom;        /* Whom its worker serves. Borrowed for the call. */
    fm_ms deadline;
    struct fm_stop *stop; /* Cuts it short at any time; outlives the run. */
};

FM_MUST_USE enum fm_status fm_table_run_open(const struct fm_table_run_options *options,
                                             struct fm_table_run **out, struct fm_columns *columns,
                                             struct fm_error *err);
/* Appends one batch to an empty buffer; FM_NOTFOUND at the end. */
FM_MUST_USE enum fm_status fm_table_run_next(struct fm_table_run *run, struct fm_buf *batch,
                                             struct fm_error *err);
void fm_table_run_free(struct fm_table_run *run);

#endif
