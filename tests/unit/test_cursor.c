/* Cursors: answers that are pulled batch by batch from a producer. */
#include "core/batch.h"
#include "tests/support/cursor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Known of every second batch only. */
static const struct fm_hash *fake_leaf(void *context)
{
    static const struct fm_hash known = {{7}};
    const struct cursor_producer *producer = context;

    return producer->made % 2 == 0 ? &known : NULL;
}

/* Hashes that the producer has are taken as they are, others are made. */
static void hashes_that_are_known_are_not_made_again(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_tree tree;
    struct fm_hash root;
    struct fm_part part;

    options.producer.leaf = fake_leaf;
    f->producer.batches = 6;
    cursor_open(f, &options);
    fm_tree_init(&tree);
    for (uint64_t i = 0; i < 6; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(4096);
        struct fm_hash leaf;

        assert_int_equal(cursor_value(f, i), i);
        assert_int_equal(cursor_put_batch(i, &bytes), FM_OK);
        fm_leaf_hash(&leaf, fm_buf_span(&bytes));
        fm_tree_append(&tree, i % 2 == 1 ? &(struct fm_hash){{7}} : &leaf);
    }
    assert_int_equal(cursor_fetch(f, 6, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    fm_tree_root(&tree, &root);
    assert_true(fm_hash_equal(&f->producer.totals.root, &root));
}

/* All batches in order, in parts, then the end; the totals are those of what was handed out, and
 * the producer is gone as soon as the end is known. */
static void batches_come_in_order_and_are_counted(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_tree tree;
    struct fm_hash root;
    struct fm_part part;
    uint64_t bytes = 0;

    cursor_open(f, &options);
    fm_tree_init(&tree);
    for (uint64_t i = 0; i < 20; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(4096);
        struct fm_hash leaf;
        assert_int_equal(cursor_value(f, i), i);
        assert_int_equal(cursor_put_batch(i, &batch), FM_OK);
        fm_leaf_hash(&leaf, fm_buf_span(&batch));
        fm_tree_append(&tree, &leaf);
        bytes += batch.len;
    }
    assert_int_equal(f->producer.freed, 0);
    assert_int_equal(cursor_fetch(f, 20, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(part.bytes.len, CURSOR_PART_MAX);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(cursor_fetch(f, 20, CURSOR_PART_MAX, &part), FM_OK);
    assert_int_equal(part.bytes.len, part.total - CURSOR_PART_MAX);

    fm_tree_root(&tree, &root);
    assert_int_equal(f->producer.totals.rows, 20);
    assert_int_equal(f->producer.totals.batches, 20);
    assert_int_equal(f->producer.totals.bytes, bytes);
    assert_true(fm_hash_equal(&f->producer.totals.root, &root));
    assert_false(f->producer.totals.stopped);
    assert_int_equal(f->producer.finished, 1);
    assert_int_equal(cursor_fetch(f, 20, 0, &part), FM_OK); /* Its reply was lost. */
    assert_int_equal(cursor_fetch(f, 20, part.total, &part), FM_INVALID);
    assert_int_equal(f->producer.finished, 1);
}

/* What lies in the window can be had again; what fell out of it, or is far ahead, cannot. */
static void window_bounds_what_can_be_repeated(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;

    cursor_open(f, &options);
    assert_int_equal(cursor_value(f, 8), 8); /* Those before it are made on the way. */
    assert_int_equal(cursor_value(f, 9), 9);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(cursor_value(f, 10 - FM_FETCH_WINDOW), 10 - FM_FETCH_WINDOW);
    assert_int_equal(cursor_value(f, 9), 9);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(cursor_fetch(f, 9 - FM_FETCH_WINDOW, 0, &part), FM_LIMIT);
    assert_int_equal(cursor_fetch(f, 10 + FM_FETCH_WINDOW + 1, 0, &part), FM_INVALID);
    assert_int_equal(cursor_fetch(f, UINT64_MAX - 1, 0, &part), FM_INVALID);
    assert_int_equal(f->producer.made, 10);
    assert_int_equal(cursor_value(f, 10 + FM_FETCH_WINDOW), 10 + FM_FETCH_WINDOW);
}

/* The asker has enough: the end covers what was handed out and says so. */
static void stop_ends_with_what_was_handed_out(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;

    cursor_open(f, &options);
    assert_int_equal(cursor_value(f, 0), 0);
    assert_int_equal(cursor_value(f, 1), 1);
    assert_int_equal(cursor_fetch(f, FM_FETCH_STOP, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_true(f->producer.totals.stopped);
    assert_int_equal(f->producer.totals.batches, 2);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(cursor_fetch(f, FM_FETCH_STOP, 0, &part), FM_OK); /* Its reply was lost. */
    assert_int_equal(cursor_value(f, 1), 1);
    assert_int_equal(cursor_fetch(f, 2, 0, &part), FM_OK); /* Nothing goes on after it. */
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(f->producer.made, 2);
    assert_int_equal(f->producer.finished, 1);
}

/* A failed answer stays failed with its first reason, and its producer is not asked again. */
static void failures_are_sticky(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;

    f->producer.fail_at = 2;
    cursor_open(f, &options);
    assert_int_equal(cursor_value(f, 1), 1);
    for (uint64_t i = 0; i < 3; i++) {
        f->err = (struct fm_error){0};
        assert_int_equal(cursor_fetch(f, i == 0 ? 2 : i, 0, &part), FM_CORRUPT);
        assert_string_equal(f->err.text, "block 7 is damaged");
    }
    assert_int_equal(cursor_fetch(f, FM_FETCH_STOP, 0, &part), FM_CORRUPT);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(f->producer.finished, 0);
}

/* Past its deadline an answer fails before anything more is made. */
static void deadline_ends_production(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    struct fm_part part;

    options.deadline = fm_now_ms() - 1;
    cursor_open(f, &options);
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_TIMEOUT);
    assert_int_equal(f->producer.made, 0);
    assert_int_equal(f->producer.freed, 1);
}

/* To all but who opened it a cursor does not exist; a cancel of theirs changes nothing. */
static void only_the_opener_reaches_a_cursor(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    const struct fm_fetch wanted = {.query = cursor_query};
    const struct fm_fetch other = {.query = cursor_query, .number = 1};
    enum fm_part_kind kind;

    cursor_open(f, &options);
    assert_int_equal(fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_stranger, NULL,
                                     CURSOR_PART_MAX, &f->reply, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_stranger, &kind,
                                    &f->reply, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(fm_cursor_take(f->cursors, FM_CURSOR_FRAGMENT, &wanted, &cursor_owner, &kind,
                                    &f->reply, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(fm_cursor_take(f->cursors, FM_CURSOR_QUERY, &other, &cursor_owner, &kind,
                                    &f->reply, &f->err),
                     FM_NOTFOUND);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_stranger);
    fm_cursor_cancel(f->cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0, &cursor_owner);
    assert_int_equal(cursor_value(f, 0), 0);
    assert_false(f->producer.was_cancelled);
}

/* An opening that comes again gets the first reply; with another ticket or caller, a conflict. */
static void repeated_opening_gets_the_first_reply(void **state)
{
    static const struct fm_hash ticket = {{9}}, forged = {{8}};
    struct cursor_fixture *f = *state;
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_FRAGMENT);
    struct fm_cursors *cursors = f->cursors;

    assert_int_equal(fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0,
                                        &cursor_owner, &ticket, &f->reply),
                     FM_NOTFOUND);
    cursor_open(f, &options);
    assert_int_equal(fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0,
                                        &cursor_owner, &ticket, &f->reply),
                     FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&f->reply), fm_span_str("opened")));
    assert_int_equal(fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0,
                                        &cursor_owner, &forged, &f->reply),
                     FM_CONFLICT);
    assert_int_equal(fm_cursor_repeated(cursors, FM_CURSOR_FRAGMENT, &cursor_query, 0,
                                        &cursor_stranger, &ticket, &f->reply),
                     FM_CONFLICT);
    assert_int_equal(fm_cursor_open(cursors, &options, &f->err), FM_CONFLICT);
    assert_int_equal(f->producer.freed, 1); /* It was taken over all the same. */
}

static void assert_repeats(struct cursor_fixture *f, const struct fm_opened *opened)
{
    static const struct fm_hash ticket = {{9}};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    struct fm_opened repeated;

    assert_int_equal(fm_cursor_repeated(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0,
                                        &cursor_owner, &ticket, &again),
                     FM_OK);
    assert_int_equal(fm_opened_decode(fm_buf_span(&again), &repeated), FM_OK);
    assert_true(fm_span_equal(repeated.columns, opened->columns));
    assert_true(fm_span_equal(repeated.first, opened->first));
    assert_true(fm_span_equal(repeated.end, opened->end));
}

/* What is small comes with the reply to the opening, whole, and can be fetched all the same. */
static void a_small_answer_comes_with_the_opening(void **state)
{
    struct cursor_fixture *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf expected = FM_BUF_INIT(4096);
    struct fm_opened opened;
    struct fm_part part;

    f->producer.batches = 1;
    assert_int_equal(cursor_open_first(f, 4096, &opened), FM_OK);
    assert_int_equal(f->producer.freed, 1);
    assert_int_equal(f->producer.totals.batches, 1);
    assert_int_equal(cursor_put_batch(0, &expected), FM_OK);
    assert_true(fm_span_equal(opened.columns, fm_span_str("columns")));
    assert_true(fm_span_equal(opened.first, fm_buf_span(&expected)));
    assert_true(opened.end.len != 0);
    FM_AUTO(fm_buf_free) struct fm_buf end = FM_BUF_INIT(4096);
    fm_buf_put_span(&end, opened.end);
    assert_repeats(f, &opened);
    assert_int_equal(cursor_value(f, 0), 0);
    assert_int_equal(cursor_fetch(f, 1, 0, &part), FM_OK);
    assert_int_equal(part.kind, FM_PART_END);
    assert_int_equal(part.total, end.len);
    assert_memory_equal(part.bytes.data, end.data, part.bytes.len);
}

/* Without a batch the end comes alone; of several the first one; of large ones none. */
static void what_does_not_fit_is_fetched(void **state)
{
    struct cursor_fixture *f = *state;
    struct fm_opened opened;

    f->producer.batches = 0;
    assert_int_equal(cursor_open_first(f, 4096, &opened), FM_OK);
    assert_true(opened.first.len == 0 && opened.end.len != 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    f->producer.batches = 2;
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    assert_int_equal(cursor_open_first(f, 4096, &opened), FM_OK);
    assert_true(opened.first.len != 0 && opened.end.len == 0);
    assert_repeats(f, &opened);
    assert_int_equal(cursor_value(f, 1), 1);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    f->producer.batches = 1;
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    assert_int_equal(cursor_open_first(f, 80, &opened), FM_OK);
    assert_true(opened.first.len == 0 && opened.end.len == 0);
    assert_int_equal(cursor_value(f, 0), 0);
    fm_cursor_cancel(f->cursors, FM_CURSOR_QUERY, &cursor_query, 0, &cursor_owner);
    f->producer.made = 0;
    atomic_store(&f->producer.was_cancelled, false);
    f->producer.fail_at = 0;
    assert_int_equal(cursor_open_first(f, 4096, &opened), FM_OK); /* Who fetches is told. */
    struct fm_part part;
    assert_int_equal(cursor_fetch(f, 0, 0, &part), FM_CORRUPT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cursor_setup, cursor_teardown)
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
