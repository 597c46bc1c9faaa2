/* Stores and engines as a node has them, for the benchmarks of storage: load a file, run a query
 * over one table at its owner. A failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_STORE_H
#define FM_TESTS_SUPPORT_BENCH_STORE_H

#include "query/plan.h"
#include "storage/store.h"

/* A field: "!" before the name marks a required one, "^" one of the clustering key, "#" one of the
 * primary key. */
struct bench_field {
    const char *name;
    const char *type;
};
/* The table "bench.<table>". Free with fm_schema_free(). */
struct fm_schema *bench_schema(const char *table, const struct bench_field *fields, uint32_t count);

struct fm_engine *bench_engine(void); /* 2 threads, a node's memory bound. */
/* With a node's defaults; the folder is made if missing. */
struct fm_store *bench_store_open(const char *dir);
void bench_define(struct fm_store *store, const struct fm_schema *schema);
/* Opened, with the table. */
struct fm_store *bench_store_new(const char *dir, const struct fm_schema *schema);
struct fm_worker *bench_lend(struct fm_engine *engine);

/* One durable append of a Parquet file through the worker. */
void bench_load(struct fm_store *store, struct fm_worker *worker, const struct fm_schema *schema,
                const char *path);
/* One row of the table of flights as a batch, appended to an empty buffer; one durable append of
 * it. */
void bench_make_row(const struct fm_schema *schema, uint64_t number, struct fm_buf *out);
void bench_append_row(struct fm_store *store, const struct fm_schema *schema, uint64_t number);

/* A planned query over one table of the store and a warm worker that runs it. */
struct bench_query {
    struct fm_store *store;
    const struct fm_schema *schema;
    struct fm_worker *worker;
    struct fm_plan plan;
    struct fm_batch_source rest;  /* Rows that are in no mapped segment. */
    struct fm_snapshot *snapshot; /* These three while the table is mapped. */
    struct fm_columns columns;
    struct fm_store_mapping mapping;
};
void bench_query_open(struct bench_query *query, struct fm_store *store, struct fm_engine *engine,
                      const struct fm_schema *schema, const char *sql);
void bench_query_close(struct bench_query *query);
/* Snapshot, mapping, run, all rows; the time it took in ms. */
double bench_query_run(struct bench_query *query, uint64_t *rows);

/* The steps of it. The worker of a hand over may be another one than the query's. */
void bench_query_map(struct bench_query *query);
void bench_query_unmap(struct bench_query *query);
void bench_query_hand_over(struct bench_query *query, struct fm_worker *worker);
uint64_t bench_query_drain(struct bench_query *query); /* Rows. */

/* Bytes that a folder or a file takes on disk, without the store's reserve file. */
uint64_t bench_disk_bytes(const char *path);

#endif
