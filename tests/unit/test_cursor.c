/* Cursors: answers that are pulled batch by batch from a producer. */
#include "node/cursor.h"

#include "core/batch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PART_MAX 64u

/* Makes batches of one row that holds the batch's number. */
struct producer {
    uint64_t batches;       /* Then the end. */
    uint64_t fail_at;       /* UINT64_MAX: never. */
    bool blocks;            /* `next` waits for cancel. */
    uint64_t made;          /* By the one thread inside. */
    atomic_bool is_waiting; /* Inside `next`. */
    atomic_bool was_cancelled;
    atomic_uint freed;
    uint32_t finished;
    struct fm_cursor_totals totals;
};

struct fixture {
    struct fm_cursors *cursors;
    struct producer producer;
    struct fm_buf reply;
    struct fm_error err;
};

static const struct fm_public_key owner = {{1}};
static const struct fm_public_key stranger = {{2}};
static const struct fm_request_id query = {{3}};

static enum fm_status put_batch(uint64_t number, struct fm_buf *out)
{
    static const struct fm_type type = {.kind = FM_KIND_UINT64};
    const struct fm_type *types[] = {&type};
    struct fm_batch_builder *builder = NULL;

    enum fm_status status = fm_batch_builder_new(
        &(struct fm_batch_builder_options){.types = types, .column_count = 1}, &builder);
    if (status == FM_OK)
        status = fm_batch_put_fixed(builder, 0, &number);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, number, out);
    fm_batch_builder_free(builder);
    return status;
}

static enum fm_status fake_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct producer *producer = context;

    while (producer->blocks && !atomic_load(&producer->was_cancelled))
        atomic_store(&producer->is_waiting, true);
    if (atomic_load(&producer->was_cancelled))
        return fm_fail(err, FM_IO, "something broke under the cancel");
    if (producer->made == producer->fail_at)
        return fm_fail(err, FM_CORRUPT, "block 7 is damaged");
    if (producer->made == producer->batches)
        return FM_NOTFOUND;
    return put_batch(producer->made++, batch);
}

static enum fm_status fake_finish(void *context, const struct fm_cursor_totals *totals,
                                  struct fm_buf *end, struct fm_error *err)
{
    struct producer *producer = context;

    (void)err; /* It does not fail. */
    producer->finished++;
    producer->totals = *totals;
    fm_buf_put_str(end, "the end of it, which is longer than one part may be: "
                        "it is therefore fetched in two");
    return fm_buf_status(end);
}

static void fake_cancel(void *context)
{
    struct producer *producer = context;
    atomic_store(&producer->was_cancelled, true);
}

static void fake_free(void *context)
{
    struct producer *producer = context;
    atomic_fetch_add(&producer->freed, 1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_cursors_new(&f->cursors) != FM_OK)
        return -1;
    f->producer = (struct producer){.batches = 20, .fail_at = UINT64_MAX};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_cursors_free(f->cursors);
    fm_buf_free(&f->reply);
    free(f);
    return 0;
}

static struct fm_cursor_options options_of(struct fixture *f, enum fm_cursor_kind kind)
{
    return (struct fm_cursor_options){
        .kind = kind,
        .query = query,
        .caller = owner,
        .deadline = fm_now_ms() + 60000,
        .opened = fm_span_str("opened"),
        .ticket = {{9}},
        .producer = {.context = &f->producer,
                     .next = fake_next,
                     .finish = fake_finish,
                     .cancel = fake_cancel,
                     .free = fake_free},
    };
}

static void open_cursor(struct fixture *f, const struct fm_cursor_options *options)
{
    assert_int_equal(fm_cursor_open(f->cursors, options, &f->err), FM_OK);
}

/* Fetch one part; what it holds is left in f->reply. */
static enum fm_status fetch(struct fixture *f, uint64_t batch, uint64_t offset,
                            struct fm_part *part)
{
    const struct fm_fetch wanted = {.query = query, .batch = batch, .offset = offset};

    fm_buf_clear(&f->reply);
    enum fm_status status = fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &owner, NULL,
                                            PART_MAX, &f->reply, &f->err);
    if (status == FM_OK)
        assert_int_equal(fm_part_decode(fm_buf_span(&f->reply), part), FM_OK);
    return status;
}

/* A whole batch in parts; its one value. */
static uint64_t value_of(struct fixture *f, uint64_t batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(4096);
    struct fm_part part = {.total = 1};
    struct fm_batch view;
    uint64_t value = UINT64_MAX;

    while (bytes.len < part.total) {
        assert_int_equal(fetch(f, batch, bytes.len, &part), FM_OK);
        assert_int_equal(part.kind, FM_PART_BATCH);
        assert_true(part.bytes.len <= PART_MAX);
        fm_buf_put_span(&bytes, part.bytes);
    }
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &view), FM_OK);
    fm_vector_fixed(&view, &view.vectors[0], 0, &value);
    return value;
}

/* Known of every second batch only. */
static const struct fm_hash *fake_leaf(void *context)
{
    static const struct fm_hash known = {{7}};
    const struct producer *producer = context;

    return producer->made % 2 == 0 ? &known : NULL;
}

/* Hashes that the producer has are taken as they are, others are made. */
static void hashes_that_are_known_are_not_made_again(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_tree tree;
    struct fm_hash root;
    struct fm_part part;

    options.producer.leaf = fake_leaf;
    f->producer.batches = 6;
    open_cursor(f, &options);
    fm_tree_init(&tree);
    for (uint64_t i = 0; i < 6; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(4096);
        struct fm_hash leaf;

        assert_int_equal(value_of(f, i), i);
        assert_int_equal(put_batch(i, &bytes), FM_OK);
        fm_leaf_hash(&leaf, fm_buf_span(&bytes));
        fm_tree_append(&tree, i % 2 == 1 ? &(struct fm_hash){{7}} : &leaf);
    }
    assert_int_equal(fetch(f, 6, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    fm_tree_root(&tree, &root);
    assert_true(fm_hash_equal(&f->producer.totals.root, &root));
}

/* All batches in order, in parts, then the end; the totals are those of what was handed out, and
 * the producer is gone as soon as the end is known. */
static void batches_come_in_order_and_are_counted(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_tree tree;
    struct fm_hash root;
    struct fm_part part;
    uint64_t bytes = 0;

    open_cursor(f, &options);
    fm_tree_init(&tree);
    for (uint64_t i = 0; i < 20; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(4096);
        struct fm_hash leaf;
        assert_int_equal(value_of(f, i), i);
        assert_int_equal(put_batch(i, &batch), FM_OK);
        fm_leaf_hash(&leaf, fm_buf_span(&batch));
        fm_tree_append(&tree, &leaf);
        bytes += batch.len;
    }
    assert_int_equal(f->producer.freed, 0);
    assert_int_equal(fetch(f, 20, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(part.bytes.len, PART_MAX);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(fetch(f, 20, PART_MAX, &part), FM_OK);
    assert_int_equal(part.bytes.len, part.total - PART_MAX);

    fm_tree_root(&tree, &root);
    assert_int_equal(f->producer.totals.rows, 20);
    assert_int_equal(f->producer.totals.batches, 20);
    assert_int_equal(f->producer.totals.bytes, bytes);
    assert_true(fm_hash_equal(&f->producer.totals.root, &root));
    assert_false(f->producer.totals.stopped);
    assert_int_equal(f->producer.finished, 1);
    assert_int_equal(fetch(f, 20, 0, &part), FM_OK); /* Its reply was lost. */
    assert_int_equal(fetch(f, 20, part.total, &part), FM_INVALID);
    assert_int_equal(f->producer.finished, 1);
}

/* What lies in the window can be had again; what fell out of it, or is far ahead, cannot. */
static void window_bounds_what_can_be_repeated(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;

    open_cursor(f, &options);
    assert_int_equal(value_of(f, 8), 8); /* Those before it are made on the way. */
    assert_int_equal(value_of(f, 9), 9);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(value_of(f, 10 - FM_FETCH_WINDOW), 10 - FM_FETCH_WINDOW);
    assert_int_equal(value_of(f, 9), 9);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(fetch(f, 9 - FM_FETCH_WINDOW, 0, &part), FM_LIMIT);
    assert_int_equal(fetch(f, 10 + FM_FETCH_WINDOW + 1, 0, &part), FM_INVALID);
    assert_int_equal(fetch(f, UINT64_MAX - 1, 0, &part), FM_INVALID);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(value_of(f, 10 + FM_FETCH_WINDOW), 10 + FM_FETCH_WINDOW);
}

/* The asker has enough: the end covers what was handed out and says so. */
static void stop_ends_with_what_was_handed_out(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;

    open_cursor(f, &options);
    assert_int_equal(value_of(f, 0), 0);
    assert_int_equal(value_of(f, 1), 1);
    assert_int_equal(fetch(f, FM_FETCH_STOP, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_true(f->producer.totals.stopped);
    assert_int_equal(f->producer.totals.batches, 2);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(fetch(f, FM_FETCH_STOP, 0, &part), FM_OK); /* Its reply was lost. */
    assert_int_equal(value_of(f, 1), 1);
    assert_int_equal(fetch(f, 2, 0, &part), FM_OK); /* Nothing goes on after it. */
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(f->producer.made, 2);
    assert_int_equal(f->producer.finished, 1);
}

/* A failed answer stays failed with its first reason, and its producer is not asked again. */
static void failures_are_sticky(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;

    f->producer.fail_at = 2;
    open_cursor(f, &options);
    assert_int_equal(value_of(f, 1), 1);
    for (uint64_t i = 0; i < 3; i++) {
        f->err = (struct fm_error){0};
        assert_int_equal(fetch(f, i == 0 ? 2 : i, 0, &part), FM_CORRUPT);
        assert_string_equal(f->err.text, "block 7 is damaged");
    }
    assert_int_equal(fetch(f, FM_FETCH_STOP, 0, &part), FM_CORRUPT);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(f->producer.finished, 0);
}

/* Past its deadline an answer fails before anything more is made. */
static void deadline_ends_production(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;

    options.deadline = fm_now_ms() - 1;
    open_cursor(f, &options);
    assert_int_equal(fetch(f, 0, 0, &part), FM_TIMEOUT);
    assert_int_equal(f->producer.made, 0);
    assert_int_equal(f->producer.freed, 1);
}

/* To all but who opened it a cursor does not exist; a cancel of theirs changes nothing. */
static void only_the_opener_reaches_a_cursor(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    const struct fm_fetch wanted = {.query = query};
    const struct fm_fetch other = {.query = query, .number = 1};
    enum fm_part_kind kind;

    open_cursor(f, &options);
    assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &stranger, NULL,
                                     PART_MAX, &f->reply, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(
        fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &stranger, &kind, &f->reply, &f->err),
        FM_NOTFOUND);
    assert_int_equal(
        fm_cursor_take(f->cursors, FM_CURSOR_FRAGMENT, &wanted, &owner, &kind, &f->reply, &f->err),
        FM_NOTFOUND);
    assert_int_equal(
        fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &other, &owner, &kind, &f->reply, &f->err),
        FM_NOTFOUND);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &stranger);
    fm_cursor_cancel(f->cursors, FM_CURSOR_FRAGMENT, &query, 0, &owner);
    assert_int_equal(value_of(f, 0), 0);
    assert_false(f->producer.was_cancelled);
}

/* An opening that comes again gets the first reply; with another ticket or caller, a conflict. */
static void repeated_opening_gets_the_first_reply(void **state)
{
    static const struct fm_hash ticket = {{9}}, forged = {{8}};
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_FRAGMENT);
    struct fm_cursors *cursors = f->cursors;

    assert_int_equal(
        fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &query, 0, &owner, &ticket, &f->reply),
        FM_NOTFOUND);
    open_cursor(f, &options);
    assert_int_equal(
        fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &query, 0, &owner, &ticket, &f->reply),
        FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&f->reply), fm_span_str("opened")));
    assert_int_equal(
        fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &query, 0, &owner, &forged, &f->reply),
        FM_CONFLICT);
    assert_int_equal(
        fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &query, 0, &stranger, &ticket, &f->reply),
        FM_CONFLICT);
    assert_int_equal(fm_cursor_open(cursors, &options, &f->err), FM_CONFLICT);
    assert_int_equal(f->producer.freed, 1); /* It was taken over all the same. */
}

static enum fm_status open_first(struct fixture *f, size_t reply_max, struct fm_opened *out)
{
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    const struct fm_opened opened = {.columns = fm_span_str("columns")};

    fm_buf_clear(&f->reply);
    enum fm_status status =
        fm_cursor_open_first(f->cursors, &options, &opened, reply_max, &f->reply, &f->err);
    if (status == FM_OK)
        assert_int_equal(fm_opened_decode(fm_buf_span(&f->reply), out), FM_OK);
    return status;
}

static void assert_repeats(struct fixture *f, const struct fm_opened *opened)
{
    static const struct fm_hash ticket = {{9}};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    struct fm_opened repeated;

    assert_int_equal(
        fm_cursor_repeated(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner, &ticket, &again), FM_OK);
    assert_int_equal(fm_opened_decode(fm_buf_span(&again), &repeated), FM_OK);
    assert_true(fm_span_equal(repeated.columns, opened->columns));
    assert_true(fm_span_equal(repeated.first, opened->first));
    assert_true(fm_span_equal(repeated.end, opened->end));
}

/* What is small comes with the reply to the opening, whole, and can be fetched all the same. */
static void a_small_answer_comes_with_the_opening(void **state)
{
    struct fixture *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf expected = FM_BUF_INIT(4096);
    struct fm_opened opened;
    struct fm_part part;

    f->producer.batches = 1;
    assert_int_equal(open_first(f, 4096, &opened), FM_OK);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(f->producer.totals.batches, 1);
    assert_int_equal(put_batch(0, &expected), FM_OK);
    assert_true(fm_span_equal(opened.columns, fm_span_str("columns")));
    assert_true(fm_span_equal(opened.first, fm_buf_span(&expected)));
    assert_true(opened.end.len != 0);
    FM_AUTO(fm_buf_free) struct fm_buf end = FM_BUF_INIT(4096);
    fm_buf_put_span(&end, opened.end);
    assert_repeats(f, &opened);
    assert_int_equal(value_of(f, 0), 0);
    assert_int_equal(fetch(f, 1, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(part.total, end.len);
    assert_memory_equal(part.bytes.data, end.data, part.bytes.len);
}

/* Without a batch the end comes alone; of several the first one; of large ones none. */
static void what_does_not_fit_is_fetched(void **state)
{
    struct fixture *f = *state;
    struct fm_opened opened;

    f->producer.batches = 0;
    assert_int_equal(open_first(f, 4096, &opened), FM_OK);
    assert_true(opened.first.len == 0 && opened.end.len != 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    f->producer.batches = 2;
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    assert_int_equal(open_first(f, 4096, &opened), FM_OK);
    assert_true(opened.first.len != 0 && opened.end.len == 0);
    assert_repeats(f, &opened);
    assert_int_equal(value_of(f, 1), 1);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    f->producer.batches = 1;
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    assert_int_equal(open_first(f, 80, &opened), FM_OK);
    assert_true(opened.first.len == 0 && opened.end.len == 0);
    assert_int_equal(value_of(f, 0), 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    f->producer.fail_at = 0;
    assert_int_equal(open_first(f, 4096, &opened), FM_OK); /* Who fetches is told. */
    struct fm_part part;
    assert_int_equal(fetch(f, 0, 0, &part), FM_CORRUPT);
}

static void wait_until(const atomic_bool *flag)
{
    while (!atomic_load(flag))
        continue;
}

struct opener {
    struct fixture *f;
    enum fm_status status;
    atomic_uint *busy;
};

static void *open_in_thread(void *context)
{
    struct opener *opener = context;
    struct fm_opened opened;

    opener->status = open_first(opener->f, 4096, &opened);
    return NULL;
}

static void *repeat_in_thread(void *context)
{
    static const struct fm_hash ticket = {{9}};
    struct opener *opener = context;
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);

    opener->status =
        fm_cursor_repeated(opener->f->cursors, FM_CURSOR_QUERY, &query, 0, &owner, &ticket, &again);
    if (opener->status == FM_BUSY)
        atomic_fetch_add(opener->busy, 1);
    return NULL;
}

/* An opening repeated while its first batch is made waits for the same reply; one does, and all the
 * others do not hold a thread. A cancel ends both. */
static void repeats_wait_for_an_opening(void **state)
{
    struct fixture *f = *state;
    atomic_uint busy = 0;
    struct opener openers[6];
    pthread_t threads[6];
    uint32_t waited = 0;

    f->producer.blocks = true;
    for (uint32_t i = 0; i < 6; i++) {
        openers[i] = (struct opener){.f = f, .status = FM_INTERNAL, .busy = &busy};
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i == 0 ? open_in_thread : repeat_in_thread, &openers[i]),
                         0);
        if (i == 0)
            wait_until(&f->producer.is_waiting);
    }
    fm_ms end = fm_now_ms() + 20000;
    while (atomic_load(&busy) < 4)
        assert_true(fm_now_ms() < end);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        waited += openers[i].status == FM_OK;
    }
    assert_int_equal(waited, 2);
    assert_int_equal(f->producer.freed, 1);
}

struct fetcher {
    struct fixture *f;
    enum fm_status status;
};

static void *fetch_in_thread(void *argument)
{
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(4096);
    struct fetcher *fetcher = argument;
    const struct fm_fetch wanted = {.query = query};
    struct fm_error err;

    fetcher->status = fm_cursor_fetch(fetcher->f->cursors, FM_CURSOR_QUERY, &wanted, &owner, NULL,
                                      PART_MAX, &reply, &err);
    return NULL;
}

/* One thread waits in `next`, another one cancels: the first comes back with FM_CANCELLED, the
 * producer is freed once, and the cursor is gone. */
static void cancel_reaches_a_producer_at_work(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fetcher fetcher = {.f = f};
    struct fm_part part;
    pthread_t thread;

    f->producer.blocks = true;
    open_cursor(f, &options);
    assert_int_equal(pthread_create(&thread, NULL, fetch_in_thread, &fetcher), 0);
    wait_until(&f->producer.is_waiting);
    fm_cursors_reap(f->cursors, INT64_MAX / 2); /* Not under the thread that uses it. */
    assert_int_equal(f->producer.freed, 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fetcher.status, FM_CANCELLED);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(fetch(f, 0, 0, &part), FM_NOTFOUND);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    assert_int_equal(f->producer.freed, 1);
}

/* The node stops: whoever waits is let go, and nothing begins any more. */
static void stop_cancels_all(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fetcher fetcher = {.f = f};
    pthread_t thread;

    f->producer.blocks = true;
    open_cursor(f, &options);
    assert_int_equal(pthread_create(&thread, NULL, fetch_in_thread, &fetcher), 0);
    wait_until(&f->producer.is_waiting);
    fm_cursors_stop(f->cursors);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fetcher.status, FM_CANCELLED);
    options.query.bytes[0] = 77; /* It was being opened. */
    assert_int_equal(fm_cursor_open(f->cursors, &options, &f->err), FM_UNAVAILABLE);
    assert_int_equal(f->producer.freed, 2);
}

/* Each call that waits holds a thread of the node: of one query only a few may. */
static void waiting_calls_of_a_query_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fetcher fetchers[8];
    pthread_t threads[8];
    uint32_t busy = 0;

    f->producer.blocks = true;
    open_cursor(f, &options);
    for (uint32_t i = 0; i < 8; i++) {
        fetchers[i] = (struct fetcher){.f = f};
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_in_thread, &fetchers[i]), 0);
    }
    wait_until(&f->producer.is_waiting);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(fetchers[i].status == FM_CANCELLED || fetchers[i].status == FM_BUSY ||
                    fetchers[i].status == FM_NOTFOUND);
        busy += fetchers[i].status == FM_CANCELLED;
    }
    assert_in_range(busy, 1, 2);
}

/* Nobody fetched for the lease: the cursor goes and frees its place; a held one stays until its
 * deadline, and one whose end was fetched goes sooner. */
static void leases_end(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;
    fm_ms now = fm_now_ms();

    open_cursor(f, &options);
    fm_cursors_reap(f->cursors, now + FM_CURSOR_LEASE_MS);
    assert_int_equal(value_of(f, 0), 0);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(fetch(f, 0, 0, &part), FM_NOTFOUND);

    options.is_held = true;
    open_cursor(f, &options);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 1);
    fm_cursors_reap(f->cursors, options.deadline + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 2);

    options.is_held = false;
    f->producer.made = f->producer.batches;
    open_cursor(f, &options);
    assert_int_equal(fetch(f, 0, 0, &part), FM_OK);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS / 2);
    assert_int_equal(fetch(f, 0, PART_MAX, &part), FM_OK);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS / 2);
    assert_int_equal(fetch(f, 0, 0, &part), FM_NOTFOUND);
}

/* Who asks has gone: what its session opened or used last ends, and nothing else. */
static void an_orphaned_session_ends_its_cursors(void **state)
{
    static const uint8_t first[FM_HASH_BYTES] = {1}, second[FM_HASH_BYTES] = {2};
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    const struct fm_fetch wanted = {.query = query};

    options.session = first;
    open_cursor(f, &options);
    fm_cursors_orphan(f->cursors, second);
    assert_int_equal(f->producer.freed, 0);
    fm_buf_clear(&f->reply); /* It goes on in another session, which outlives the first. */
    assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &owner, second, PART_MAX,
                                     &f->reply, &f->err),
                     FM_OK);
    fm_cursors_orphan(f->cursors, first);
    assert_int_equal(f->producer.freed, 0);
    fm_cursors_orphan(f->cursors, second);
    assert_int_equal(f->producer.freed, 1);
    assert_true(atomic_load(&f->producer.was_cancelled));
}

/* Those that are being opened have no cursor yet: their stop fires. */
static void openings_are_found(void **state)
{
    static const uint8_t session[FM_HASH_BYTES] = {1}, another[FM_HASH_BYTES] = {2};
    struct fixture *f = *state;
    struct fm_openings *openings = fm_cursors_openings(f->cursors);

    for (uint32_t round = 0; round < 3; round++) {
        struct fm_stop stop;
        struct fm_opening opening = {.kind = FM_CURSOR_QUERY,
                                     .query = query,
                                     .caller = owner,
                                     .session = session,
                                     .stop = &stop};
        fm_stop_init(&stop);
        fm_openings_add(openings, &opening);
        fm_cursors_orphan(f->cursors, another);
        fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &stranger);
        fm_cursor_cancel(f->cursors, FM_CURSOR_FRAGMENT, &query, 0, &owner);
        fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 7, &owner);
        assert_false(fm_stop_is_fired(&stop));
        if (round == 0)
            fm_cursors_orphan(f->cursors, session);
        else if (round == 1)
            fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &query, 0, &owner);
        else
            fm_cursors_stop(f->cursors);
        assert_true(fm_stop_is_fired(&stop));
        fm_openings_remove(openings, &opening);
        fm_stop_deinit(&stop);
    }
}

/* At the deadline what makes the rows ends, whoever may still come; it is told why. */
static void the_deadline_ends_the_producer(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    struct fm_part part;

    options.deadline = fm_now_ms() + FM_CURSOR_LEASE_MS / 2;
    open_cursor(f, &options);
    fm_cursors_reap(f->cursors, options.deadline);
    assert_int_equal(f->producer.freed, 0);
    fm_cursors_reap(f->cursors, options.deadline + 1);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(fetch(f, 0, 0, &part), FM_TIMEOUT);
}

/* Small queries follow each other faster than leases end: finished cursors make room, oldest
 * first. */
static void finished_cursors_make_room(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    const uint32_t many = 1000;

    for (uint32_t i = 0; i < many; i++) {
        const struct fm_fetch stop = {.query = {{0, (uint8_t)i, (uint8_t)(i >> 8)}},
                                      .batch = FM_FETCH_STOP};
        options.query = stop.query;
        open_cursor(f, &options);
        fm_buf_clear(&f->reply);
        assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &stop, &owner, NULL, 4096,
                                         &f->reply, &f->err),
                         FM_OK);
    }
    assert_int_equal(f->producer.freed, many);
    fm_buf_clear(&f->reply);
    assert_int_equal(fm_cursor_repeated(f->cursors, FM_CURSOR_QUERY, &options.query, 0, &owner,
                                        &options.ticket, &f->reply),
                     FM_OK);
}

/* A feed in the same process gets batches whole. */
static void take_gives_whole_batches(void **state)
{
    struct fixture *f = *state;
    struct fm_cursor_options options = options_of(f, FM_CURSOR_QUERY);
    FM_AUTO(fm_buf_free) struct fm_buf expected = FM_BUF_INIT(4096);
    struct fm_fetch wanted = {.query = query};
    enum fm_part_kind kind = FM_PART_END;

    open_cursor(f, &options);
    assert_int_equal(put_batch(0, &expected), FM_OK);
    assert_int_equal(
        fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &owner, &kind, &f->reply, &f->err),
        FM_OK);
    assert_int_equal(kind, FM_PART_BATCH);
    assert_true(fm_span_equal(fm_buf_span(&f->reply), fm_buf_span(&expected)));
    wanted.batch = FM_FETCH_STOP;
    fm_buf_clear(&f->reply);
    assert_int_equal(
        fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &owner, &kind, &f->reply, &f->err),
        FM_OK);
    assert_int_equal(kind, FM_PART_END);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_come_in_order_and_are_counted),
        TEST(hashes_that_are_known_are_not_made_again),
        TEST(window_bounds_what_can_be_repeated),
        TEST(stop_ends_with_what_was_handed_out),
        TEST(failures_are_sticky),
        TEST(deadline_ends_production),
        TEST(only_the_opener_reaches_a_cursor),
        TEST(repeated_opening_gets_the_first_reply),
        TEST(a_small_answer_comes_with_the_opening),
        TEST(what_does_not_fit_is_fetched),
        TEST(repeats_wait_for_an_opening),
        TEST(cancel_reaches_a_producer_at_work),
        TEST(stop_cancels_all),
        TEST(waiting_calls_of_a_query_are_bounded),
        TEST(leases_end),
        TEST(an_orphaned_session_ends_its_cursors),
        TEST(openings_are_found),
        TEST(the_deadline_ends_the_producer),
        TEST(finished_cursors_make_room),
        TEST(take_gives_whole_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
