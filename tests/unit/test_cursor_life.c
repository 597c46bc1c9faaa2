/* Cursors that several use at once, and their ends: cancelled, stopped, orphaned, too late. */
#include "core/batch.h"
#include "tests/support/cursor_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct opener {
    struct cursor_fixture *f;
    enum fm_status status;
    atomic_uint *busy;
};

static void *open_in_thread(void *context)
{
    struct opener *opener = context;
    struct fm_opened opened;

    opener->status = cursor_open_first(opener->f, 4096, &opened);
    return NULL;
}

static void *repeat_in_thread(void *context)
{
    static const struct fm_hash ticket = {{9}};
    struct opener *opener = context;
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);

    opener->status = fm_cursor_repeated(opener->f->cursors, FM_CURSOR_QUERY, &cursor_query, 0,
                                        &cursor_owner, &ticket, &again);
    if (opener->status == FM_BUSY)
        atomic_fetch_add(opener->busy, 1);
    return NULL;
}

/* An opening repeated while its first batch is made waits for the same reply; one does, and all the
 * others do not hold a thread. A cancel ends both. */
static void repeats_wait_for_an_opening(void **state)
{
    struct cursor_fixture *f = *state;
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
            cursor_wait_until(&f->producer.is_waiting);
    }
    fm_ms end = fm_now_ms() + 20000;
    while (atomic_load(&busy) < 4)
        assert_true(fm_now_ms() < end);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        waited += openers[i].status == FM_OK;
    }
    assert_int_equal(waited, 2);
    assert_int_equal(f->producer.freed, 1);
}

struct fetcher {
    struct cursor_fixture *f;
    enum fm_status status;
};

static void *fetch_in_thread(void *argument)
{
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(4096);
    struct fetcher *fetcher = argument;
    const struct fm_fetch wanted = {.query = cursor_query};
    struct fm_error err;

    fetcher->status = fm_cursor_fetch(fetcher->f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_owner,
                                      NULL, CURSOR_PART_MAX, &reply, &err);
    return NULL;
}

/* One thread waits in `next`, another one cancels: the first comes back with FM_CANCELLED, the
 * producer is freed once, and the cursor is gone. */
static void cancel_reaches_a_producer_at_work(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fetcher fetcher = {.f = f};
    struct fm_part part;
    pthread_t thread;

    f->producer.blocks = true;
    cursor_open(f, &options);
    assert_int_equal(pthread_create(&thread, NULL, fetch_in_thread, &fetcher), 0);
    cursor_wait_until(&f->producer.is_waiting);
    fm_cursors_reap(f->cursors, INT64_MAX / 2); /* Not under the thread that uses it. */
    assert_int_equal(f->producer.freed, 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fetcher.status, FM_CANCELLED);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_NOTFOUND);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    assert_int_equal(f->producer.freed, 1);
}

/* The node stops: whoever waits is let go, and nothing begins any more. */
static void stop_cancels_all(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fetcher fetcher = {.f = f};
    pthread_t thread;

    f->producer.blocks = true;
    cursor_open(f, &options);
    assert_int_equal(pthread_create(&thread, NULL, fetch_in_thread, &fetcher), 0);
    cursor_wait_until(&f->producer.is_waiting);
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
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fetcher fetchers[8];
    pthread_t threads[8];
    uint32_t busy = 0;

    f->producer.blocks = true;
    cursor_open(f, &options);
    for (uint32_t i = 0; i < 8; i++) {
        fetchers[i] = (struct fetcher){.f = f};
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_in_thread, &fetchers[i]), 0);
    }
    cursor_wait_until(&f->producer.is_waiting);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
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
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;
    fm_ms now = fm_now_ms();

    cursor_open(f, &options);
    fm_cursors_reap(f->cursors, now + FM_CURSOR_LEASE_MS);
    assert_int_equal(cursor_value(f, 0), 0);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_NOTFOUND);

    options.is_held = true;
    cursor_open(f, &options);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 1);
    fm_cursors_reap(f->cursors, options.deadline + FM_CURSOR_LEASE_MS + 1);
    assert_int_equal(f->producer.freed, 2);

    options.is_held = false;
    f->producer.made = f->producer.batches;
    cursor_open(f, &options);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_OK);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS / 2);
    assert_int_equal(cursor_fetch(f, 0, CURSOR_PART_MAX, &part), FM_OK);
    fm_cursors_reap(f->cursors, fm_now_ms() + FM_CURSOR_LEASE_MS / 2);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_NOTFOUND);
}

/* Who asks has gone: what its session opened or used last ends, and nothing else. */
static void an_orphaned_session_ends_its_cursors(void **state)
{
    static const uint8_t first[FM_HASH_BYTES] = {1}, second[FM_HASH_BYTES] = {2};
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    const struct fm_fetch wanted = {.query = cursor_query};

    options.session = first;
    cursor_open(f, &options);
    fm_cursors_orphan(f->cursors, second);
    assert_int_equal(f->producer.freed, 0);
    fm_buf_clear(&f->reply); /* It goes on in another session, which outlives the first. */
    assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_owner, second,
                                     CURSOR_PART_MAX, &f->reply, &f->err),
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
    struct cursor_fixture *f = *state;
    struct fm_openings *openings = fm_cursors_openings(f->cursors);

    for (uint32_t round = 0; round < 3; round++) {
        struct fm_stop stop;
        struct fm_opening opening = {.kind = FM_CURSOR_QUERY,
                                     .query = cursor_query,
                                     .caller = cursor_owner,
                                     .session = session,
                                     .stop = &stop};
        fm_stop_init(&stop);
        fm_openings_add(openings, &opening);
        fm_cursors_orphan(f->cursors, another);
        fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_stranger);
        fm_cursor_cancel(f->cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0, &cursor_owner);
        fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 7, &cursor_owner);
        assert_false(fm_stop_is_fired(&stop));
        if (round == 0)
            fm_cursors_orphan(f->cursors, session);
        else if (round == 1)
            fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
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
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;

    options.deadline = fm_now_ms() + FM_CURSOR_LEASE_MS / 2;
    cursor_open(f, &options);
    fm_cursors_reap(f->cursors, options.deadline);
    assert_int_equal(f->producer.freed, 0);
    fm_cursors_reap(f->cursors, options.deadline + 1);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_TIMEOUT);
}

/* Small queries follow each other faster than leases end: finished cursors make room, oldest
 * first. */
static void finished_cursors_make_room(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    const uint32_t many = 1000;

    for (uint32_t i = 0; i < many; i++) {
        const struct fm_fetch stop = {.query = {{0, (uint8_t)i, (uint8_t)(i >> 8)}},
                                      .batch = FM_FETCH_STOP};
        options.query = stop.query;
        cursor_open(f, &options);
        fm_buf_clear(&f->reply);
        assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &stop, &cursor_owner, NULL,
                                         4096, &f->reply, &f->err),
                         FM_OK);
    }
    assert_int_equal(f->producer.freed, many);
    fm_buf_clear(&f->reply);
    assert_int_equal(fm_cursor_repeated(f->cursors, FM_CURSOR_QUERY, &options.query, 0,
                                        &cursor_owner, &options.ticket, &f->reply),
                     FM_OK);
}

/* A feed in the same process gets batches whole. */
static void take_gives_whole_batches(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    FM_AUTO(fm_buf_free) struct fm_buf expected = FM_BUF_INIT(4096);
    struct fm_fetch wanted = {.query = cursor_query};
    enum fm_part_kind kind = FM_PART_END;

    cursor_open(f, &options);
    assert_int_equal(cursor_put_batch(0, &expected), FM_OK);
    assert_int_equal(fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_owner, &kind,
                                    &f->reply, &f->err),
                     FM_OK);
    assert_int_equal(kind, FM_PART_BATCH);
    assert_true(fm_span_equal(fm_buf_span(&f->reply), fm_buf_span(&expected)));
    wanted.batch = FM_FETCH_STOP;
    fm_buf_clear(&f->reply);
    assert_int_equal(fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_owner, &kind,
                                    &f->reply, &f->err),
                     FM_OK);
    assert_int_equal(kind, FM_PART_END);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cursor_setup, cursor_teardown)
    const struct CMUnitTest tests[] = {
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
