/* One process of the engine: the zygote, or a worker forked from it.
 * Threads: a worker's main thread owns the control socket and DuckDB's connection; DuckDB's threads
 * share the scan socket under `scan_lock` (pull.c); a watcher thread only interrupts. */
#ifndef FM_QUERY_WORKER_WORKER_H
#define FM_QUERY_WORKER_WORKER_H

#include "query/channel.h"

#include <duckdb.h>
#include <pthread.h>

/* The descriptors that a worker keeps, besides 0 to 2. */
#define WORKER_CONTROL_FD 3
#define WORKER_SCAN_FD 4

struct scan_slot;
struct sandbox;

struct worker {
    struct channel_hello options;
    duckdb_database database;
    duckdb_connection connection;
    struct channel_reader control;
    uint8_t *memory; /* CHANNEL_MEMORY_BYTES, shared with the host. */
    struct sandbox *sandbox;
    bool locked;         /* The filter is on. */
    int input;           /* An ingest's descriptor. */
    uint32_t slot_count; /* What fm_scan() reads. */
    struct scan_slot *slots;
    bool single_thread;        /* Of the run at hand. */
    uint32_t results_free;     /* Mask of RESULT slots. */
    pthread_mutex_t scan_lock; /* The next four. */
    struct channel_reader scan;
    uint32_t scans_free;        /* Mask of SCAN slots to give back with the next PULL. */
    enum fm_status scan_status; /* First failure of a scan, told when the run fails. */
    struct fm_error scan_error;
};

/* zygote.c: serve FORK and WAIT on `fd` until the host is gone; returns an exit status. A child
 * returns from within with worker_main(). */
int zygote_main(int fd);

/* session.c: settings, threads, limits, then commands until the host is gone. */
int worker_main(struct worker *worker);

/* Run statements whose results are of no interest. */
FM_MUST_USE enum fm_status worker_sql(struct worker *worker, const char *sql, struct fm_error *err);

/* Status of one of DuckDB's errors by its text, which begins with its kind. */
FM_MUST_USE enum fm_status worker_duck_error(const struct worker *worker, const char *text,
                                             struct fm_error *err);

/* Prepare `sql`, which has a NUL at its end. The caller destroys the statement. */
FM_MUST_USE enum fm_status worker_prepare(struct worker *worker, const char *sql,
                                          duckdb_prepared_statement *out, struct fm_error *err);

/* The first value of the first row of `sql`, whose parameter is `text`, appended to `out`. Nothing
 * is appended for a NULL. */
FM_MUST_USE enum fm_status worker_text(struct worker *worker, const char *sql, struct fm_span text,
                                       struct fm_buf *out, struct fm_error *err);

/* Send a frame on the control socket; on failure the host is gone and the process ends. */
void worker_send(struct worker *worker, enum channel_kind kind, uint32_t number,
                 struct fm_span payload);
void worker_send_error(struct worker *worker, enum fm_status status, const struct fm_error *err);

/* The next frame that is no RELEASE (those are booked); ends the process when the host is gone. */
void worker_next_frame(struct worker *worker);
/* Block until a RESULT slot is free. */
FM_MUST_USE enum fm_status worker_await_release(struct worker *worker);

#endif
