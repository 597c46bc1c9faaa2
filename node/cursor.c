#include "node/cursor.h"

#include "core/assert.h"

#include <pthread.h>
#include <stdatomic.h>

#define CURSORS_MAX 256u     /* Finished ones that wait for their lease included. */
#define END_LEASE_MS 5000    /* After its end was fetched: only for a reply that was lost. */
#define FRAGMENT_FETCHERS 4u /* Those of a feed, and as many whose link was lost. */

struct fm_server_cursor {
    struct fm_cursor_options options; /* `opened` points into `opened`. */
    struct fm_buf opened;
    pthread_mutex_t lock; /* Guards what follows, up to the next comment. */
    struct fm_buf window[FM_FETCH_WINDOW];
    uint64_t produced;
    bool ended;
    enum fm_status failed; /* Sticky: a failed answer never goes on. */
    struct fm_error failure;
    struct fm_buf end;
    struct fm_tree tree;
    struct fm_cursor_totals totals;
    pthread_mutex_t life; /* Guards `released`: cancel must not meet a freed producer. */
    bool released;        /* The producer is gone. */
    /* Guarded by cursors->lock. */
    uint32_t references;
    uint32_t fetchers;
    uint8_t session[FM_HASH_BYTES]; /* The one that used it last. */
    fm_ms used;
    bool doomed;
    bool is_opening; /* The reply to its opening is not complete: who opens it holds `lock`. */
    bool finished;   /* As `released`. */
    bool end_taken;  /* Its end was fetched. */
    atomic_bool cancelled;
};

struct fm_cursors {
    pthread_mutex_t lock;
    bool stopping;
    struct fm_openings openings; /* With a lock of its own. */
    struct fm_server_cursor *slots[CURSORS_MAX];
};

static void lock(pthread_mutex_t *mutex)
{
    fm_assert(pthread_mutex_lock(mutex) == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    fm_assert(pthread_mutex_unlock(mutex) == 0);
}

enum fm_status fm_cursors_new(struct fm_cursors **out)
{
    struct fm_cursors *cursors = calloc(1, sizeof *cursors);

    if (cursors == NULL)
        return FM_NOMEM;
    if (pthread_mutex_init(&cursors->lock, NULL) != 0) {
        free(cursors);
        return FM_NOMEM;
    }
    fm_openings_init(&cursors->openings);
    *out = cursors;
    return FM_OK;
}

struct fm_openings *fm_cursors_openings(struct fm_cursors *cursors)
{
    return &cursors->openings;
}

/* Frees the producer; the batches stay for repeats. */
static void release(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    lock(&cursor->life);
    bool first = !cursor->released;
    cursor->released = true;
    if (first)
        cursor->options.producer.free(cursor->options.producer.context);
    unlock(&cursor->life);
    if (!first)
        return;
    lock(&cursors->lock);
    cursor->finished = true;
    unlock(&cursors->lock);
}

static void cursor_end(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    if (cursor == NULL)
        return;
    release(cursors, cursor);
    for (uint32_t i = 0; i < FM_FETCH_WINDOW; i++)
        fm_buf_free(&cursor->window[i]);
    fm_buf_free(&cursor->end);
    fm_buf_free(&cursor->opened);
    (void)pthread_mutex_destroy(&cursor->lock);
    (void)pthread_mutex_destroy(&cursor->life);
    free(cursor);
}

void fm_cursors_free(struct fm_cursors *cursors)
{
    if (cursors == NULL)
        return;
    for (uint32_t i = 0; i < CURSORS_MAX; i++)
        cursor_end(cursors, FM_TAKE(cursors->slots[i]));
    fm_openings_deinit(&cursors->openings);
    (void)pthread_mutex_destroy(&cursors->lock);
    free(cursors);
}

/* The caller holds cursors->lock. */
static struct fm_server_cursor *find(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                     const struct fm_request_id *query, uint32_t number)
{
    for (uint32_t i = 0; i < CURSORS_MAX; i++) {
        struct fm_server_cursor *cursor = cursors->slots[i];
        if (cursor != NULL && !cursor->doomed && cursor->options.kind == kind &&
            cursor->options.number == number &&
            memcmp(&cursor->options.query, query, sizeof *query) == 0)
            return cursor;
    }
    return NULL;
}

static struct fm_server_cursor *get(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                    const struct fm_request_id *query, uint32_t number,
                                    const struct fm_public_key *caller, const uint8_t *session)
{
    lock(&cursors->lock);
    struct fm_server_cursor *cursor = find(cursors, kind, query, number);
    if (cursor != NULL && !fm_public_key_equal(&cursor->options.caller, caller))
        cursor = NULL;
    if (cursor != NULL) {
        cursor->references++;
        cursor->used = fm_now_ms();
        if (session != NULL)
            memcpy(cursor->session, session, sizeof cursor->session);
    }
    unlock(&cursors->lock);
    return cursor;
}

/* The caller holds cursors->lock and ends what it gets, without the lock. */
static struct fm_server_cursor *doom(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    cursor->doomed = true;
    if (cursor->references != 0)
        return NULL;
    for (uint32_t i = 0; i < CURSORS_MAX; i++)
        if (cursors->slots[i] == cursor)
            cursors->slots[i] = NULL;
    return cursor;
}

static void put(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    struct fm_server_cursor *ended = NULL;

    lock(&cursors->lock);
    fm_assert(cursor->references > 0);
    cursor->references--;
    cursor->used = fm_now_ms();
    if (cursor->doomed && cursor->references == 0)
        ended = doom(cursors, cursor);
    unlock(&cursors->lock);
    cursor_end(cursors, ended);
}

static struct fm_server_cursor *cursor_new(const struct fm_cursor_options *options)
{
    struct fm_server_cursor *cursor = calloc(1, sizeof *cursor);

    if (cursor == NULL)
        return NULL;
    cursor->options = *options;
    cursor->used = fm_now_ms();
    if (options->session != NULL)
        memcpy(cursor->session, options->session, sizeof cursor->session);
    for (uint32_t i = 0; i < FM_FETCH_WINDOW; i++)
        cursor->window[i] = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    fm_tree_init(&cursor->tree);
    fm_buf_put_span(&cursor->opened, options->opened);
    if (fm_buf_status(&cursor->opened) != FM_OK) {
        fm_buf_free(&cursor->opened);
        free(cursor);
        return NULL;
    }
    fm_assert(pthread_mutex_init(&cursor->lock, NULL) == 0);
    fm_assert(pthread_mutex_init(&cursor->life, NULL) == 0);
    return cursor;
}

/* A free slot, or that of the finished cursor that nobody used for the longest time, which the
 * caller then ends without the lock; CURSORS_MAX when all are at work. The caller holds
 * cursors->lock. */
static uint32_t free_slot(struct fm_cursors *cursors, struct fm_server_cursor **evicted)
{
    uint32_t oldest = CURSORS_MAX;

    for (uint32_t i = 0; i < CURSORS_MAX; i++) {
        const struct fm_server_cursor *cursor = cursors->slots[i];
        if (cursor == NULL)
            return i;
        if (cursor->finished && cursor->references == 0 &&
            (oldest == CURSORS_MAX || cursor->used < cursors->slots[oldest]->used))
            oldest = i;
    }
    if (oldest != CURSORS_MAX)
        *evicted = doom(cursors, cursors->slots[oldest]);
    return oldest;
}

/* ---- Producing; the caller holds cursor->lock ------------------------------------------------ */

static void fail(struct fm_cursors *cursors, struct fm_server_cursor *cursor, enum fm_status status)
{
    cursor->failed = atomic_load(&cursor->cancelled) ? FM_CANCELLED : status;
    release(cursors, cursor);
}

static enum fm_status past_deadline(struct fm_server_cursor *cursor)
{
    return fm_fail(&cursor->failure, FM_TIMEOUT, "the query's time limit has passed");
}

static void finish(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    fm_tree_root(&cursor->tree, &cursor->totals.root);
    enum fm_status status = cursor->options.producer.finish(
        cursor->options.producer.context, &cursor->totals, &cursor->end, &cursor->failure);
    if (status == FM_OK)
        status = fm_buf_status(&cursor->end);
    if (status != FM_OK) {
        fail(cursors, cursor, status);
        return;
    }
    cursor->ended = true;
    release(cursors, cursor);
}

/* What passes through unchanged was hashed when it was checked. */
static void hash_batch(struct fm_server_cursor *cursor, struct fm_span batch)
{
    const struct fm_producer *producer = &cursor->options.producer;
    const struct fm_hash *known = producer->leaf != NULL ? producer->leaf(producer->context) : NULL;
    struct fm_hash leaf;

    if (known == NULL)
        fm_leaf_hash(&leaf, batch);
    fm_tree_append(&cursor->tree, known != NULL ? known : &leaf);
}

static void produce(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    struct fm_buf *batch = &cursor->window[cursor->produced % FM_FETCH_WINDOW];
    struct fm_batch view;

    if (fm_now_ms() > cursor->options.deadline) {
        fail(cursors, cursor, past_deadline(cursor));
        return;
    }
    if (atomic_load(&cursor->cancelled)) {
        fail(cursors, cursor, fm_fail(&cursor->failure, FM_CANCELLED, "the query was cancelled"));
        return;
    }
    fm_buf_clear(batch);
    enum fm_status status =
        cursor->options.producer.next(cursor->options.producer.context, batch, &cursor->failure);
    if (status == FM_NOTFOUND) {
        finish(cursors, cursor);
        return;
    }
    if (status == FM_OK)
        status = fm_buf_status(batch);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(batch), &view);
    if (status != FM_OK) {
        fail(cursors, cursor, status);
        return;
    }
    hash_batch(cursor, fm_buf_span(batch));
    cursor->totals.rows += view.rows;
    cursor->totals.bytes += batch->len;
    cursor->totals.batches++;
    cursor->produced++;
}

/* Make batch `number` or the end available: `*kind` and `*bytes` point into the cursor. */
static enum fm_status reach(struct fm_cursors *cursors, struct fm_server_cursor *cursor,
                            uint64_t number, enum fm_part_kind *kind, struct fm_span *bytes,
                            struct fm_error *err)
{
    if (number != FM_FETCH_STOP && number > cursor->produced + FM_FETCH_WINDOW && !cursor->ended)
        return fm_fail(err, FM_INVALID, "batch %llu is far ahead of what was fetched",
                       (unsigned long long)number);
    if (number == FM_FETCH_STOP && !cursor->ended && cursor->failed == FM_OK) {
        cursor->totals.stopped = true;
        finish(cursors, cursor);
    }
    while (!cursor->ended && cursor->failed == FM_OK && cursor->produced <= number)
        produce(cursors, cursor);
    if (cursor->failed != FM_OK) {
        if (err != NULL)
            *err = cursor->failure;
        return cursor->failed;
    }
    if (number >= cursor->produced) {
        *kind = FM_PART_END;
        *bytes = fm_buf_span(&cursor->end);
        return FM_OK;
    }
    if (number + FM_FETCH_WINDOW < cursor->produced)
        return fm_fail(err, FM_LIMIT, "batch %llu is not kept any more",
                       (unsigned long long)number);
    *kind = FM_PART_BATCH;
    *bytes = fm_buf_span(&cursor->window[number % FM_FETCH_WINDOW]);
    return FM_OK;
}

static enum fm_status unknown(struct fm_error *err)
{
    return fm_fail(err, FM_NOTFOUND,
                   "no such query is open here: its lease or time limit may have passed");
}

static uint32_t fetchers_max(enum fm_cursor_kind kind)
{
    return kind == FM_CURSOR_QUERY ? FM_QUERY_FETCHERS : FRAGMENT_FETCHERS;
}

static bool begin_fetch(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    lock(&cursors->lock);
    bool begun = cursor->fetchers < fetchers_max(cursor->options.kind);
    if (begun)
        cursor->fetchers++;
    unlock(&cursors->lock);
    return begun;
}

static void end_fetch(struct fm_cursors *cursors, struct fm_server_cursor *cursor, bool end_taken)
{
    lock(&cursors->lock);
    cursor->fetchers--;
    if (end_taken)
        cursor->end_taken = true;
    unlock(&cursors->lock);
}

/* What the reply of an opening will be, once it is complete; the caller holds a reference and a
 * place among the fetchers. */
static void wait_opened(struct fm_cursors *cursors, struct fm_server_cursor *cursor,
                        struct fm_buf *opened)
{
    lock(&cursor->lock);
    fm_buf_put_span(opened, fm_buf_span(&cursor->opened));
    unlock(&cursor->lock);
    end_fetch(cursors, cursor, false);
    put(cursors, cursor);
}

enum fm_status fm_cursor_repeated(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                                  const struct fm_request_id *query, uint32_t number,
                                  const struct fm_public_key *caller, const struct fm_hash *ticket,
                                  struct fm_buf *opened)
{
    enum fm_status status = FM_NOTFOUND;
    bool waits = false;

    lock(&cursors->lock);
    struct fm_server_cursor *cursor = find(cursors, kind, query, number);
    if (cursor != NULL && (!fm_public_key_equal(&cursor->options.caller, caller) ||
                           !fm_hash_equal(&cursor->options.ticket, ticket))) {
        status = FM_CONFLICT;
    } else if (cursor != NULL && !cursor->is_opening) {
        fm_buf_put_span(opened, fm_buf_span(&cursor->opened));
        status = fm_buf_status(opened);
    } else if (cursor != NULL) {
        status = cursor->fetchers < fetchers_max(kind) ? FM_OK : FM_BUSY;
        waits = status == FM_OK;
        cursor->fetchers += waits ? 1u : 0u;
        cursor->references += waits ? 1u : 0u;
    }
    unlock(&cursors->lock);
    if (!waits)
        return status;
    wait_opened(cursors, cursor, opened);
    return fm_buf_status(opened);
}

/* Put a cursor into a slot. `is_opening`: it is held for a fetch, with its lock, since the first
 * batch is made now. */
static enum fm_status insert(struct fm_cursors *cursors, const struct fm_cursor_options *options,
                             bool is_opening, struct fm_server_cursor **out, struct fm_error *err)
{
    struct fm_server_cursor *cursor = cursor_new(options), *evicted = NULL;
    enum fm_status status = FM_BUSY;

    if (cursor == NULL) {
        options->producer.free(options->producer.context);
        return fm_fail(err, FM_NOMEM, "open a cursor");
    }
    if (is_opening) {
        lock(&cursor->lock);
        cursor->references = cursor->fetchers = 1;
        cursor->is_opening = true;
    }
    lock(&cursors->lock);
    if (find(cursors, options->kind, &options->query, options->number) != NULL)
        status = FM_CONFLICT;
    uint32_t slot = CURSORS_MAX;
    if (cursors->stopping)
        status = FM_UNAVAILABLE;
    if (status == FM_BUSY)
        slot = free_slot(cursors, &evicted);
    if (slot != CURSORS_MAX) {
        cursors->slots[slot] = cursor;
        status = FM_OK;
    }
    unlock(&cursors->lock);
    cursor_end(cursors, evicted);
    *out = cursor;
    if (status == FM_OK)
        return FM_OK;
    if (is_opening)
        unlock(&cursor->lock);
    cursor_end(cursors, cursor);
    return fm_fail(err, status,
                   status == FM_CONFLICT      ? "this query id is in use"
                   : status == FM_UNAVAILABLE ? "this node is stopping"
                                              : "too many open cursors");
}

enum fm_status fm_cursor_open(struct fm_cursors *cursors, const struct fm_cursor_options *options,
                              struct fm_error *err)
{
    struct fm_server_cursor *ignored;

    return insert(cursors, options, false, &ignored, err);
}

/* The caller holds cursor->lock. */
static void take_first(struct fm_cursors *cursors, struct fm_server_cursor *cursor,
                       size_t bytes_max, struct fm_opened *out)
{
    produce(cursors, cursor);
    if (cursor->produced == 1) {
        out->first = fm_buf_span(&cursor->window[0]);
        if (out->first.len > bytes_max) {
            out->first = fm_span(NULL, 0);
            return;
        }
        bytes_max -= out->first.len;
        if (cursor->failed == FM_OK)
            produce(cursors, cursor);
    }
    if (cursor->ended && cursor->produced <= 1 && cursor->end.len <= bytes_max)
        out->end = fm_buf_span(&cursor->end);
}

enum fm_status fm_cursor_open_first(struct fm_cursors *cursors,
                                    const struct fm_cursor_options *options,
                                    const struct fm_opened *opened, size_t reply_max,
                                    struct fm_buf *reply, struct fm_error *err)
{
    struct fm_cursor_options without = *options;
    struct fm_opened full = *opened;
    struct fm_server_cursor *cursor;

    /* Beside columns and lengths. */
    size_t taken = opened->columns.len + 64;
    size_t bytes_max = reply_max > taken ? reply_max - taken : 0;
    if (bytes_max > FM_OPENED_BYTES_MAX)
        bytes_max = FM_OPENED_BYTES_MAX;
    without.opened = opened->columns; /* A copy: the producer may own them, and end. */
    enum fm_status status = insert(cursors, &without, true, &cursor, err);
    if (status != FM_OK)
        return status;
    full.columns = fm_buf_span(&cursor->opened);
    take_first(cursors, cursor, bytes_max, &full);
    fm_opened_encode(reply, &full);
    fm_buf_clear(&cursor->opened);
    fm_buf_put_span(&cursor->opened, fm_buf_span(reply));
    status = fm_buf_status(reply);
    if (status == FM_OK)
        status = fm_buf_status(&cursor->opened);
    unlock(&cursor->lock);
    lock(&cursors->lock);
    cursor->is_opening = false;
    unlock(&cursors->lock);
    end_fetch(cursors, cursor, full.end.len != 0);
    put(cursors, cursor);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "answer an opening");
}

enum fm_status fm_cursor_fetch(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                               const struct fm_fetch *fetch, const struct fm_public_key *caller,
                               const uint8_t *session, size_t part_max, struct fm_buf *reply,
                               struct fm_error *err)
{
    struct fm_server_cursor *cursor =
        get(cursors, kind, &fetch->query, fetch->number, caller, session);
    struct fm_part part = {0};
    struct fm_span bytes;

    if (cursor == NULL)
        return unknown(err);
    if (!begin_fetch(cursors, cursor)) {
        put(cursors, cursor);
        return fm_fail(err, FM_BUSY, "several calls fetch from this query already");
    }
    lock(&cursor->lock);
    enum fm_status status = reach(cursors, cursor, fetch->batch, &part.kind, &bytes, err);
    if (status == FM_OK && fetch->offset >= bytes.len)
        status = fm_fail(err, FM_INVALID, "offset %llu is past the end",
                         (unsigned long long)fetch->offset);
    if (status == FM_OK) {
        part.total = bytes.len;
        part.bytes = fm_span(bytes.data + fetch->offset, bytes.len - fetch->offset);
        if (part.bytes.len > part_max)
            part.bytes.len = part_max;
        fm_part_encode(reply, &part);
        status = fm_buf_status(reply);
    }
    unlock(&cursor->lock);
    end_fetch(cursors, cursor,
              status == FM_OK && part.kind == FM_PART_END &&
                  fetch->offset + part.bytes.len == part.total);
    put(cursors, cursor);
    return status;
}

enum fm_status fm_cursor_take(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                              const struct fm_fetch *fetch, const struct fm_public_key *caller,
                              enum fm_part_kind *part, struct fm_buf *out, struct fm_error *err)
{
    struct fm_server_cursor *cursor =
        get(cursors, kind, &fetch->query, fetch->number, caller, NULL);
    struct fm_span bytes;

    if (cursor == NULL)
        return unknown(err);
    lock(&cursor->lock);
    enum fm_status status = reach(cursors, cursor, fetch->batch, part, &bytes, err);
    if (status == FM_OK) {
        fm_buf_put_span(out, bytes);
        status = fm_buf_status(out);
    }
    unlock(&cursor->lock);
    put(cursors, cursor);
    return status;
}

static void cancel(struct fm_server_cursor *cursor)
{
    atomic_store(&cursor->cancelled, true);
    lock(&cursor->life);
    if (!cursor->released && cursor->options.producer.cancel != NULL)
        cursor->options.producer.cancel(cursor->options.producer.context);
    unlock(&cursor->life);
}

void fm_cursor_interrupt(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                         const struct fm_request_id *query, uint32_t number,
                         const struct fm_public_key *caller)
{
    struct fm_server_cursor *cursor = get(cursors, kind, query, number, caller, NULL);

    if (cursor == NULL)
        return;
    cancel(cursor);
    put(cursors, cursor);
}

void fm_cursor_cancel(struct fm_cursors *cursors, enum fm_cursor_kind kind,
                      const struct fm_request_id *query, uint32_t number,
                      const struct fm_public_key *caller)
{
    struct fm_openings_match match = {
        .caller = caller, .kind = kind, .query = query, .number = number};
    struct fm_server_cursor *cursor = get(cursors, kind, query, number, caller, NULL);

    if (cursor == NULL) {
        fm_openings_end(&cursors->openings, &match);
        return;
    }
    cancel(cursor);
    lock(&cursors->lock);
    cursor->doomed = true;
    unlock(&cursors->lock);
    put(cursors, cursor);
}

void fm_cursors_orphan(struct fm_cursors *cursors, const uint8_t *session)
{
    fm_openings_end(&cursors->openings, &(struct fm_openings_match){.session = session});
    for (uint32_t i = 0; i < CURSORS_MAX; i++) {
        lock(&cursors->lock);
        struct fm_server_cursor *cursor = cursors->slots[i];
        if (cursor != NULL && (cursor->options.is_held || cursor->finished || cursor->doomed ||
                               memcmp(cursor->session, session, sizeof cursor->session) != 0))
            cursor = NULL;
        if (cursor != NULL) {
            cursor->references++;
            cursor->doomed = true;
        }
        unlock(&cursors->lock);
        if (cursor == NULL)
            continue;
        cancel(cursor);
        put(cursors, cursor);
    }
}

/* The caller holds cursors->lock. */
static bool is_over(const struct fm_server_cursor *cursor, fm_ms now)
{
    fm_ms lease = cursor->end_taken ? END_LEASE_MS : FM_CURSOR_LEASE_MS;

    if (cursor->references != 0)
        return false;
    if (cursor->doomed || now > cursor->options.deadline + FM_CURSOR_LEASE_MS)
        return true;
    return !cursor->options.is_held && now - cursor->used > lease;
}

/* Nobody uses it, and what makes its batches may not go on: whoever comes is told. */
static bool is_late(const struct fm_server_cursor *cursor, fm_ms now)
{
    return cursor->references == 0 && !cursor->finished && now > cursor->options.deadline;
}

static void end_late(struct fm_cursors *cursors, struct fm_server_cursor *cursor)
{
    lock(&cursor->lock);
    if (!cursor->ended && cursor->failed == FM_OK)
        fail(cursors, cursor, past_deadline(cursor));
    unlock(&cursor->lock);
    put(cursors, cursor);
}

void fm_cursors_reap(struct fm_cursors *cursors, fm_ms now)
{
    for (uint32_t i = 0; i < CURSORS_MAX; i++) {
        struct fm_server_cursor *ended = NULL, *late = NULL;
        lock(&cursors->lock);
        struct fm_server_cursor *cursor = cursors->slots[i];
        if (cursor != NULL && is_over(cursor, now)) {
            ended = doom(cursors, cursor);
        } else if (cursor != NULL && is_late(cursor, now)) {
            late = cursor;
            late->references++;
        }
        unlock(&cursors->lock);
        cursor_end(cursors, ended);
        if (late != NULL)
            end_late(cursors, late);
    }
}

void fm_cursors_stop(struct fm_cursors *cursors)
{
    lock(&cursors->lock);
    cursors->stopping = true;
    unlock(&cursors->lock);
    fm_openings_stop(&cursors->openings);
    for (uint32_t i = 0; i < CURSORS_MAX; i++) {
        lock(&cursors->lock);
        struct fm_server_cursor *cursor = cursors->slots[i];
        if (cursor != NULL)
            cursor->references++;
        unlock(&cursors->lock);
        if (cursor == NULL)
            continue;
        cancel(cursor);
        put(cursors, cursor);
    }
}
