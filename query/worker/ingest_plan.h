/* The parts of an ingest: what is in the file (ingest_source.c), the SQL that reads and casts it
 * (ingest_sql.c), the run (ingest.c). */
#ifndef FM_QUERY_WORKER_INGEST_PLAN_H
#define FM_QUERY_WORKER_INGEST_PLAN_H

#include "core/history.h"
#include "query/engine.h"
#include "query/worker/worker.h"

/* Column `fault` of the SQL: 0, or what is wrong with a row: position of the field plus one, or: */
#define INGEST_FAULT_KEYS 65535u   /* NDJSON: a key that the schema does not have. */
#define INGEST_FAULT_OBJECT 65534u /* NDJSON: a line that is no object. */

struct ingest_column { /* Of the file. */
    char *name;        /* Owned. */
    duckdb_type type;  /* Parquet; else DUCKDB_TYPE_VARCHAR. */
    bool used;
};

struct ingest {
    struct worker *worker;
    struct fm_schema *schema; /* With the columns of `extras` behind the table's. */
    uint32_t extras;          /* FM_EXTRA_*: those that the file has. */
    enum fm_format format;
    bool sorted;
    uint64_t row_count; /* 0: not known beforehand. */
    uint32_t column_count;
    struct ingest_column *columns;
    int32_t from[FM_COLUMNS_MAX]; /* Per field: its column, -1: none. */
};

void ingest_deinit(struct ingest *ingest);

/* Look at the file: its columns, compared with the schema's, and its rows where it tells.
 * FM_INVALID lists what does not fit. */
FM_MUST_USE enum fm_status ingest_look(struct ingest *ingest, int input, struct fm_error *err);
/* Append a call that reads the file, for FROM. */
void ingest_put_source(struct fm_buf *out, const struct ingest *ingest);

/* Append the statement: the schema's fields in order, `fault`, and when sorted the row's number in
 * the file. */
void ingest_put_sql(struct fm_buf *out, const struct ingest *ingest);
/* Append the statement that gives the text of what `fault` complains of in row `row` (from 1). */
void ingest_put_value_sql(struct fm_buf *out, const struct ingest *ingest, uint32_t fault,
                          uint64_t row);

/* DuckDB's text about the file, without its stand-in name and advice about options. */
FM_MUST_USE enum fm_status ingest_error(enum fm_status status, struct fm_error *err);

#endif
