/* What the parts of the host side share: engine.c (pool), warm.c (workers between loans), zygote.c
 * (its process), worker_host.c (one loan), slots_host.c (declaring slots, serving sources),
 * ingest.c. */
#ifndef FM_QUERY_ENGINE_INTERNAL_H
#define FM_QUERY_ENGINE_INTERNAL_H

#include "query/channel.h"
#include "query/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* ---- The zygote ------------------------------------------------------------------------------ */

struct zygote {
    pid_t pid;           /* 0: none. */
    uint64_t generation; /* Counts starts: a worker of an earlier one has nobody to wait for it. */
    int fd;              /* Its socket. */
    int errors;          /* Memory file that is its and its workers' stderr. */
    struct channel_reader reader;
};

/* Start `path` and greet it. On failure there is none. FM_NOTFOUND, FM_IO with its last words. */
FM_MUST_USE enum fm_status zygote_start(struct zygote *zygote, const char *path,
                                        const struct channel_hello *hello, struct fm_error *err);
void zygote_stop(struct zygote *zygote); /* Ends its workers too. */
/* Fork a worker onto three descriptors. A failure other than FM_UNAVAILABLE means that the zygote
 * is of no more use. */
FM_MUST_USE enum fm_status zygote_fork(struct zygote *zygote, const int descriptors[3], pid_t *out,
                                       struct fm_error *err);
/* Reap a worker that has ended; its wait status. */
FM_MUST_USE enum fm_status zygote_wait(struct zygote *zygote, pid_t pid, int *out);

/* ---- The pool -------------------------------------------------------------------------------- */

struct fm_engine {
    char *path;
    uint32_t spare_wanted;
    struct channel_hello hello;
    pthread_mutex_t zygote_lock; /* Held while talking to the zygote. Taken before `lock`. */
    struct zygote zygote;
    pthread_mutex_t lock; /* The rest. */
    pthread_cond_t changed;
    pthread_t keeper; /* Keeps spares, ends warm ones that nobody wants. */
    bool has_keeper;
    bool closing;
    uint32_t loan_count;
    uint32_t spare_count;
    struct fm_worker *spares; /* List by `next`. */
    fm_ms warm_ms;
    uint32_t warm_count;
    struct fm_worker *warm; /* Idle ones by `next`, the most recently used first. */
};

/* Reap worker `pid`; its wait status, or -1 when nobody knows. */
int engine_reap(struct fm_engine *engine, uint64_t generation, pid_t pid);
/* The last line that the zygote or a worker wrote to stderr, for errors; may be empty. */
void engine_last_words(struct fm_engine *engine, char *out, size_t size);

/* ---- One worker ------------------------------------------------------------------------------ */

enum worker_state { WORKER_IDLE, WORKER_STREAMING, WORKER_FINISHED };

struct host_source {
    struct fm_batch_source source; /* `next` NULL: none. */
    bool done;
};

struct fm_worker {
    struct fm_engine *engine;
    struct fm_worker *next;
    uint64_t generation; /* Of the zygote. */
    pid_t pid;
    int pidfd;
    int wake; /* Eventfd: fm_worker_cancel() was called. */
    uint8_t *memory;
    struct channel_reader control;
    struct channel_reader scan;
    atomic_bool cancelled;
    fm_ms deadline;
    fm_ms kill_at;        /* FM_MS_NEVER until interrupted. */
    enum fm_status ended; /* Not FM_OK: what every call answers from now on. */
    bool is_lost;         /* It died, or its time passed, and no source was the reason. */
    enum worker_state state;
    uint32_t source_count;
    struct host_source *sources;  /* One per slot. */
    uint32_t scans_free;          /* Mask of SCAN slots. */
    struct fm_buf scan_batch;     /* What a source gave last. */
    enum fm_status source_status; /* A source's own failure, and its text. */
    struct fm_error source_error;
    struct fm_columns columns; /* Of the result, to check batches with. */
    const struct fm_type **types;
    const struct fm_dictionary **dictionaries;
    uint64_t rows;
    uint64_t rows_max;  /* 0: none. */
    uint64_t file_rows; /* Of an ingest. */
    bool is_keyed;      /* `key` says whom it serves, from its first loan to its end. */
    bool is_spoiled;    /* Something went wrong, or it ingested: it ends with the loan. */
    struct fm_hash key;
    uint64_t data_bytes; /* When it was fresh. */
    fm_ms idle_until;
};

/* Make a worker on a fresh fork and wait until it is ready. */
FM_MUST_USE enum fm_status worker_new(struct fm_engine *engine, fm_ms deadline,
                                      struct fm_worker **out, struct fm_error *err);
/* Fork through the engine's zygote, starting one when there is none. (engine.c) */
FM_MUST_USE enum fm_status engine_fork(struct fm_engine *engine, const int descriptors[3],
                                       struct fm_worker *worker, struct fm_error *err);
void worker_end(struct fm_worker *worker); /* Kill, reap, release. */
bool worker_is_alive(const struct fm_worker *worker);

/* Send a command; worker_answer() then waits for the next frame on the control socket, serving
 * sources meanwhile. An ERROR frame is turned into its status; when the worker cannot be used any
 * more, `ended` says why. */
FM_MUST_USE enum fm_status worker_command(struct fm_worker *worker, enum channel_kind kind,
                                          uint32_t number, struct fm_span payload, int passed,
                                          struct fm_error *err);
FM_MUST_USE enum fm_status worker_answer(struct fm_worker *worker, struct fm_error *err);
/* The worker broke the protocol: it is killed. */
FM_MUST_USE enum fm_status worker_broken(struct fm_worker *worker, const char *what,
                                         struct fm_error *err);
/* Before a command: FM_OK when the worker waits for one. */
FM_MUST_USE enum fm_status worker_check_idle(struct fm_worker *worker, struct fm_error *err);
/* Remember what batches must look like; takes over `columns`. */
FM_MUST_USE enum fm_status worker_expect(struct fm_worker *worker, struct fm_columns *columns);
/* The next batch of a run or an ingest, checked. */
FM_MUST_USE enum fm_status worker_take_batch(struct fm_worker *worker, struct fm_buf *batch,
                                             struct fm_error *err);

/* Forget what a result must look like, and what a source gave. */
void worker_forget(struct fm_worker *worker);
/* Memory that RLIMIT_DATA counts; 0: unknown. */
uint64_t worker_data_bytes(const struct fm_worker *worker);

/* warm.c. Take the most recently used worker of `key` out of the warm ones, or NULL. Under `lock`.
 */
struct fm_worker *warm_take(struct fm_engine *engine, const struct fm_hash *key);
/* Keep a worker whose loan ends; false: it is of no more use. */
bool warm_keep(struct fm_worker *worker);
/* Take one out whose time is over at `now`, or NULL; `next` is when to look again. Under `lock`. */
struct fm_worker *warm_pop_idle(struct fm_engine *engine, fm_ms now, fm_ms *next);

/* slots_host.c: answer one PULL frame. */
FM_MUST_USE enum fm_status worker_serve_pull(struct fm_worker *worker);
/* A descriptor of its own for reading only, whatever `fd` may do. FM_IO. */
FM_MUST_USE enum fm_status reopen_read_only(int fd, int *out, struct fm_error *err);

/* For FM_AUTO. */
void close_fd(int *fd); /* -1: nothing. */

#endif
