/* The host side of the engine: DuckDB runs in worker processes, never here (design.md section 4,
 * docs/architecture.md "Workers").
 *
 * fm_engine_open() execs `folkmoot-worker` once as a warm zygote; workers are forked from it ahead
 * of need. A worker has no keys, no sockets but its two ends to this process, no paths (ingest:
 * only the one descriptor it was given; spilling: nameless files that it opened before it was
 * locked in), bounded memory (RLIMIT_DATA) and time (interrupt
 * at the deadline, SIGKILL half a second later). Its death is a normal outcome: FM_LIMIT or
 * FM_TIMEOUT with a text that says which bound ended it. Everything a worker says is checked here
 * before it is used.
 *
 * Threads: an engine may be used by several threads; a worker by one at a time, except
 * fm_worker_cancel(). Ownership: workers are lent by the engine, ended by fm_worker_free(). */
#ifndef FM_QUERY_ENGINE_H
#define FM_QUERY_ENGINE_H

#include "core/batch.h"
#include "core/hash.h"
#include "core/records.h"
#include "core/schema.h"
#include "core/time.h"

struct fm_engine;
struct fm_worker;

struct fm_engine_options {
    const char *worker_path; /* Of folkmoot-worker; NULL: beside this executable, else where an
                                installation has it, ../lib/folkmoot/ from there. */
    uint32_t threads;    /* DuckDB threads of a worker, 1..64; 0: the number of processors, <= 4. */
    size_t memory_bytes; /* memory_limit of a worker; 0: 512 MiB. */
    uint32_t spare;      /* Workers kept ready, 0..8. */
    /* A folder for what does not fit a query's memory: each worker has files of at most that many
     * bytes in all there. They have no names, so nothing is left of them, however it ends. NULL or
     * 0: no spilling. */
    const char *spill_dir;
    uint64_t spill_bytes;
    fm_ms warm_ms; /* How long an idle worker is kept; 0: FM_WORKERS_WARM_MS, below 0: it is not. */
};

/* FM_NOTFOUND: no worker executable; FM_IO: it does not start (its stderr's last line is in the
 * text). */
FM_MUST_USE enum fm_status fm_engine_open(const struct fm_engine_options *options,
                                          struct fm_engine **out, struct fm_error *err);
void fm_engine_free(struct fm_engine *engine); /* Ends all its processes. */
FM_DEFINE_FREEP(fm_engine_freep, struct fm_engine, fm_engine_free)

/* A worker for whom `whom` names (a hash; copied): a warm one that served the same before, or a
 * fresh one. NULL: a fresh one that ends with the loan. `deadline` bounds everything done with it.
 * FM_TIMEOUT, FM_UNAVAILABLE (cannot fork), FM_BUSY. */
FM_MUST_USE enum fm_status fm_worker_lend(struct fm_engine *engine, const struct fm_hash *whom,
                                          fm_ms deadline, struct fm_worker **out,
                                          struct fm_error *err);
/* The end of a loan. The worker lets go of its tables and stays warm for the next loan to the same
 * `whom`, for `warm_ms`, when nothing went wrong: every statement was read to its end, no call
 * failed, nobody cancelled, nothing was ingested or spilled, and it holds not much more memory than
 * a fresh one. It is never passed on to another. At most FM_WORKERS_WARM_MAX are kept, and
 * FM_WORKERS_WARM_KEY_MAX of one `whom`; the least recently used ends first. Else it ends here. */
void fm_worker_free(struct fm_worker *worker);
FM_DEFINE_FREEP(fm_worker_freep, struct fm_worker, fm_worker_free)
/* From any thread: whatever the worker does ends with FM_CANCELLED. */
void fm_worker_cancel(struct fm_worker *worker);
/* Has it died, or not come to an end in time, by itself? Then its error says so, and not whose
 * worker it was. Not where it was cancelled, or a source failed. */
bool fm_worker_is_lost(const struct fm_worker *worker);
/* Process id, for tests that stop it. */
int fm_worker_pid(const struct fm_worker *worker);

/* SQL text to its syntax tree as JSON (json_serialize_sql), and an edited tree back to SQL.
 * FM_INVALID carries DuckDB's text with its position. Neither is a gate: query/plan.h checks the
 * tree. */
FM_MUST_USE enum fm_status fm_worker_parse(struct fm_worker *worker, struct fm_span sql,
                                           struct fm_buf *tree, struct fm_error *err);
FM_MUST_USE enum fm_status fm_worker_unparse(struct fm_worker *worker, struct fm_span tree,
                                             struct fm_buf *sql, struct fm_error *err);

/* ---- Slots: what the table function fm_scan(n) reads ----------------------------------------- */

/* One column of one mapped segment: a one-column batch (core/batch.h) at `offset` of arena
 * `arena`. */
struct fm_mapped_column {
    uint32_t arena;
    uint64_t offset;
};

struct fm_mapped_segment {
    uint32_t rows;
    const struct fm_mapped_column *columns;   /* One per supplied column, in their order. */
    const struct fm_mapped_column *selection; /* u64 words, bit i of word w: row 64 w + i is one of
                                                 the table's. NULL: all are. */
    uint64_t
        left_out; /* Bit b: block b, of FM_BLOCK_ROWS rows, is not read: no row of it matters. */
};

/* Memory files that the worker maps read-only: nothing is copied. The descriptors are
 * duplicated. */
struct fm_arena {
    int fd;
    uint64_t bytes;
};

/* Rows that come as batches instead (remote fragments, hot rows, filtered segments). next() appends
 * one batch of the supplied columns in order, already checked with fm_batch_view() by its maker, to
 * an empty buffer; FM_NOTFOUND: no more. Called by the thread inside fm_worker_next(); it may block
 * up to the worker's deadline. */
struct fm_batch_source {
    void *context;
    enum fm_status (*next)(void *context, struct fm_buf *batch, struct fm_error *err);
};

struct fm_slot {
    const struct fm_columns *columns; /* All columns of the table, in order; a dictionary makes an
                                         ENUM of a varchar column, unless it says `as_text`. */
    uint64_t rows;                    /* Estimate for DuckDB's optimiser. */
    uint32_t supplied_count;
    const uint32_t *supplied; /* Positions in `columns` that the sources carry. A query that wants
                                 another one fails with FM_INTERNAL. */
    uint32_t arena_count;
    const struct fm_arena *arenas;
    uint32_t segment_count;
    const struct fm_mapped_segment *segments;
    const struct fm_batch_source *source; /* May be NULL. Read after, or beside, the segments. */
};

/* Declare slots 0..count-1 (replacing earlier ones). For planning no arenas, segments or sources
 * are needed. */
FM_MUST_USE enum fm_status fm_worker_set_slots(struct fm_worker *worker,
                                               const struct fm_slot *slots, uint32_t count,
                                               struct fm_error *err);

/* The optimised, bound logical plan of `sql` over the slots, as JSON (json_serialize_plan). */
FM_MUST_USE enum fm_status fm_worker_plan(struct fm_worker *worker, struct fm_span sql,
                                          struct fm_buf *plan, struct fm_error *err);

/* The result columns of `sql` over the slots, without running it. The caller frees them.
 * FM_UNSUPPORTED: also where a slot of these columns would not have just these types. */
FM_MUST_USE enum fm_status fm_worker_describe(struct fm_worker *worker, struct fm_span sql,
                                              struct fm_columns *columns, struct fm_error *err);

struct fm_run_options {
    bool single_thread; /* For plans that only stream (research: faster with one). */
    uint64_t rows_max;  /* Stop with FM_LIMIT past this; 0: none. */
};

/* Start `sql` and give its result columns; then fm_worker_next() appends one checked batch of at
 * most FM_BATCH_ROWS_MAX rows (aim FM_BATCH_WIRE_BYTES) to an empty buffer; FM_NOTFOUND at the
 * end. */
FM_MUST_USE enum fm_status fm_worker_run(struct fm_worker *worker, struct fm_span sql,
                                         const struct fm_run_options *options,
                                         struct fm_columns *columns, struct fm_error *err);
FM_MUST_USE enum fm_status fm_worker_next(struct fm_worker *worker, struct fm_buf *batch,
                                          struct fm_error *err);

/* ---- Ingest: a file of rows through a worker ------------------------------------------------- */

enum fm_format { FM_FORMAT_PARQUET = 1, FM_FORMAT_CSV = 2, FM_FORMAT_NDJSON = 3 };

struct fm_ingest_options {
    enum fm_format format;
    int fd;                         /* A regular file or memfd, read from its start; borrowed. */
    const struct fm_schema *schema; /* Borrowed for the call. */
};

/* Rows in clustering order when the schema has a clustering key and about half of the engine's
 * memory is enough to sort them, else in file order. Columns are matched by name; a missing
 * required column, an unknown column or a wrong CSV header is FM_INVALID and lists both. Every
 * later fault (a value that is not of its type, a NULL in a required column) is FM_INVALID with the
 * row number of the file (1 is the first row of data), the column and the value; nothing after it
 * is delivered. Batches have the schema's columns in order. A file may
 * also have `_op`, `_event_time` and `_supersedes` (core/history.h): they come behind the schema's
 * columns, in that order, those that it has. Rows with `_op` or `_supersedes` come in file order,
 * and one that retracts needs only what names its row. Uses `worker` for nothing else
 * afterwards. */
FM_MUST_USE enum fm_status fm_ingest_open(struct fm_worker *worker,
                                          const struct fm_ingest_options *options,
                                          struct fm_error *err);
FM_MUST_USE enum fm_status fm_ingest_next(struct fm_worker *worker, struct fm_buf *batch,
                                          struct fm_error *err);
/* Rows in the file when its format tells (Parquet), else 0. */
uint64_t fm_ingest_rows(const struct fm_worker *worker);

#endif
