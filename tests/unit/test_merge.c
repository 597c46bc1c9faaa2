/* Merging segments: which ones, and that nothing else can be told from it: roots, leaves, proofs,
 * scans, the past and lookups are the same before and after, in older snapshots and after an
 * opening; the old values are gone; a failure leaves everything as it was. */
#include "storage/check.h"
#include "storage/internal.h"
#include "storage/merge_plan.h"
#include "storage/order.h"
#include "tests/support/proof_support.h"
#include "tests/support/store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ROWS 12000u
#define SIZES 6u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[ROWS];
    struct random random;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    f->random.state = 5;
    for (uint32_t i = 0; i < ROWS; i++)
        f->rows[i] = row_random(&f->random, 5000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

static struct fm_snapshot *snapshot_of(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    return snapshot;
}

static uint64_t merge(struct fixture *f)
{
    uint64_t rows = 0;

    if (fm_store_merge(f->store, "tests", "rows", &rows, &f->err) != FM_OK)
        fail_msg("merge: %s", f->err.text);
    return rows;
}

/* Twelve appends, some of them large, sealed after each third. */
static void make_segments(struct fixture *f, unsigned flags)
{
    static const size_t counts[12] = {40, 700, 1, 2500, 30, 30, 2048, 3, 900, 2100, 5, 8};
    size_t at = 0;

    f->schema = rows_schema(flags);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (unsigned i = 0; i < 12; i++) {
        rows_append(f->store, f->schema, f->rows + at, counts[i], NULL);
        at += counts[i];
        if (i % 3 == 2)
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    }
}

/* ---- What can be seen ------------------------------------------------------------------------ */

struct seen {
    struct head head;
    struct rfc_hash leaves[50];
    struct row_list at[SIZES]; /* Facts up to each sixth. */
};

static void look(struct fixture *f, struct fm_snapshot *snapshot, struct seen *out)
{
    struct fm_table_info info = {0};

    assert_int_equal(fm_snapshot_table(snapshot, "tests", "rows", &info), FM_OK);
    out->head = (struct head){info.size, info.root};
    for (uint64_t i = 0; i < 50; i++)
        proof_leaf(snapshot, i * (info.size - 1) / 49, &out->leaves[i]);
    for (uint64_t i = 0; i < SIZES; i++) {
        struct fm_scan_options options = {
            .at = {FM_AT_VERSION, (int64_t)(info.size * (i + 1) / SIZES)}};

        if (rows_scan(snapshot, &options, &out->at[i], &f->err) != FM_OK)
            fail_msg("scan: %s", f->err.text);
    }
    fm_schema_free(info.schema);
}

static void seen_free(struct seen *seen)
{
    for (unsigned i = 0; i < SIZES; i++)
        row_list_free(&seen->at[i]);
}

static void assert_same(struct fixture *f, struct fm_snapshot *snapshot, struct seen *before)
{
    struct seen after;

    look(f, snapshot, &after);
    assert_int_equal(after.head.size, before->head.size);
    assert_true(fm_hash_equal(&after.head.root, &before->head.root));
    assert_memory_equal(after.leaves, before->leaves, sizeof after.leaves);
    for (unsigned i = 0; i < SIZES; i++) {
        assert_int_equal(after.at[i].count, before->at[i].count);
        rows_assert_among(&after.at[i], &before->at[i]);
    }
    seen_free(&after);
}

static void check_lookups(struct fixture *f)
{
    struct fm_snapshot *snapshot = snapshot_of(f);
    struct row_list rows;
    struct row row;
    uint64_t sequence;

    assert_int_equal(rows_scan(snapshot, NULL, &rows, &f->err), FM_OK);
    for (size_t i = 0; i < rows.count; i += 7) {
        if (row_get(snapshot, rows.rows[i].id, &row, &sequence, &f->err) != FM_OK)
            fail_msg("lookup: %s", f->err.text);
        rows_assert_equal(&row, &rows.rows[i], 1);
    }
    row_list_free(&rows);
    fm_snapshot_free(snapshot);
}

static void take_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    fail_msg("%s: %s", finding->part, finding->text);
}

static void check_closed(struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir, .finding = take_finding};
    struct fm_check_result result;

    fm_store_close(FM_TAKE(f->store));
    if (fm_store_check(&options, &result, &f->err) != FM_OK)
        fail_msg("doctor: %s", f->err.text);
    f->store = store_open_good(f->dir);
}

static uint64_t count_keys(const struct fixture *f, uint8_t kind)
{
    struct key first = key_table(kind, 1), end = key_table_end(kind, 1);
    struct rocks_iterator *iterator = NULL;
    struct fm_span key, value;
    uint64_t count = 0;

    assert_int_equal(rocks_iterator_new(f->store->rocks, NULL, ROCKS_SEGMENTS, key_span(&first),
                                        key_span(&end), &iterator),
                     FM_OK);
    while (rocks_iterator_next(iterator, &key, &value, NULL) == FM_OK)
        count++;
    rocks_iterator_free(iterator);
    return count;
}

static void check_history(struct fixture *f, unsigned flags)
{
    struct seen before;
    struct fm_snapshot *old;
    struct fm_snapshot *now;
    bool is_sorted = (flags & ROWS_CLUSTERED) != 0;

    make_segments(f, flags);
    old = snapshot_of(f);
    look(f, old, &before);
    assert_true(count_keys(f, KEYS_SEGMENT_RECORD) > 4);
    assert_int_equal(merge(f), before.head.size);
    assert_int_equal(merge(f), 0); /* There is nothing left. */
    now = snapshot_of(f);
    assert_same(f, now, &before);
    assert_same(f, old, &before); /* Its values are read at its time. */
    proof_check_all(now, &before.head);
    fm_snapshot_free(now);
    fm_snapshot_free(old);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_RECORD), 1);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_COLUMN), is_sorted ? 6 : 5);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_SPANS), 1);
    reopen(f);
    now = snapshot_of(f);
    assert_same(f, now, &before);
    fm_snapshot_free(now);
    check_closed(f);
    if ((flags & ROWS_KEYED) != 0)
        check_lookups(f);
    seen_free(&before);
}

static void test_plain(void **state)
{
    check_history(*state, 0);
}

static void test_keyed(void **state)
{
    check_history(*state, ROWS_KEYED);
}

static void test_clustered(void **state)
{
    check_history(*state, ROWS_CLUSTERED | ROWS_SECRET);
}

static void test_keyed_and_clustered(void **state)
{
    check_history(*state, ROWS_KEYED | ROWS_CLUSTERED);
}

/* Rows of a sorted segment stand in the order of the clustering key: name, NULLs last. */
static void test_rows_are_sorted(void **state)
{
    struct fixture *f = *state;
    struct row_list rows;

    make_segments(f, ROWS_CLUSTERED);
    (void)merge(f);
    rows_read(f->store, &rows);
    for (size_t i = 1; i < rows.count; i++) {
        if (rows.rows[i].name[0] == '\0')
            continue;
        assert_true(rows.rows[i - 1].name[0] != '\0');
        assert_true(strcmp(rows.rows[i - 1].name, rows.rows[i].name) <= 0);
    }
    row_list_free(&rows);
}

/* Segments of another schema version stay by themselves. */
static void test_schema_versions_are_not_mixed(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *next = rows_schema(ROWS_V2);

    make_segments(f, 0);
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_OK);
    for (int i = 0; i < 2; i++)
        rows_append(f->store, next, f->rows, 2100, NULL);
    assert_int_equal(merge(f), 8365 + 4200);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_RECORD), 2);
    fm_schema_free(next);
    check_closed(f);
}

/* Without room, and with a value that is damaged, all stays as it was. */
static void test_failures_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct rocks_batch *batch = NULL;
    struct key key = key_column(1, 2, 3);
    uint64_t columns, records;

    make_segments(f, ROWS_CLUSTERED);
    columns = count_keys(f, KEYS_SEGMENT_COLUMN);
    records = count_keys(f, KEYS_SEGMENT_RECORD);
    fm_store_close(f->store);
    options.free_bytes_min = UINT64_MAX / 2;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    assert_int_equal(fm_store_merge(f->store, "tests", "rows", NULL, &f->err), FM_LIMIT);
    reopen(f);
    assert_int_equal(rocks_batch_new(f->store->rocks, &batch), FM_OK);
    rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_span_str("damage"));
    assert_int_equal(rocks_write(f->store->rocks, batch, true, &f->err), FM_OK);
    rocks_batch_free(batch);
    reopen(f); /* Else it reads what was synced before. */
    assert_int_equal(fm_store_merge(f->store, "tests", "rows", NULL, &f->err), FM_CORRUPT);
    assert_int_equal(fm_store_merge(f->store, "tests", "none", NULL, &f->err), FM_NOTFOUND);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_COLUMN), columns);
    assert_int_equal(count_keys(f, KEYS_SEGMENT_RECORD), records);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static void test_orders_are_permutations(void **state)
{
    static const uint32_t good[5] = {3, 0, 4, 1, 2};
    static const uint32_t twice[5] = {3, 0, 4, 0, 2};
    static const uint32_t beyond[5] = {3, 0, 5, 1, 2};
    struct column_encoder *encoder = NULL;
    struct fm_buf value = FM_BUF_INIT(0);
    uint32_t read[5];

    (void)state;
    assert_int_equal(column_encoder_new(&encoder), FM_OK);
    assert_int_equal(order_encode(encoder, good, 5, &value), FM_OK);
    assert_int_equal(order_decode(fm_buf_span(&value), 5, read), FM_OK);
    assert_memory_equal(read, good, sizeof good);
    assert_int_equal(order_decode(fm_buf_span(&value), 4, read), FM_CORRUPT);
    fm_buf_clear(&value);
    assert_int_equal(order_encode(encoder, twice, 5, &value), FM_OK);
    assert_int_equal(order_decode(fm_buf_span(&value), 5, read), FM_CORRUPT);
    fm_buf_clear(&value);
    assert_int_equal(order_encode(encoder, beyond, 5, &value), FM_OK);
    assert_int_equal(order_decode(fm_buf_span(&value), 5, read), FM_CORRUPT);
    fm_buf_free(&value);
    column_encoder_free(encoder);
}

/* ---- Which segments -------------------------------------------------------------------------- */

#define LIST_MAX 4096u

struct list {
    uint32_t count;
    uint64_t rewritten; /* Rows, */
    uint64_t rows;      /* of so many. */
    struct segment_value *items[LIST_MAX];
    uint32_t writes[LIST_MAX]; /* At most, of any row in it. */
};

static void list_add(struct list *list, uint32_t rows)
{
    struct segment_value *segment = calloc(1, sizeof *segment);

    assert_non_null(segment);
    assert_true(list->count < LIST_MAX);
    segment->first_sequence = list->rows;
    segment->rows = rows;
    list->rows += rows;
    list->writes[list->count] = 1;
    list->items[list->count++] = segment;
}

/* What the background does. */
static void list_merge(struct list *list)
{
    struct merge_run run;

    while (merge_plan(list->items, list->count, 0, false, &run)) {
        struct segment_value *first = list->items[run.first];

        assert_true(run.count >= 2 && run.first + run.count <= list->count);
        for (uint32_t i = 1; i < run.count; i++) {
            uint32_t at = run.first + i;

            first->rows += list->items[at]->rows;
            if (list->writes[at] > list->writes[run.first])
                list->writes[run.first] = list->writes[at];
            free(list->items[at]);
        }
        assert_true(first->rows <= FM_SEGMENT_ROWS);
        list->rewritten += first->rows;
        list->writes[run.first]++;
        for (uint32_t at = run.first + 1; at + run.count - 1 < list->count; at++) {
            list->items[at] = list->items[at + run.count - 1];
            list->writes[at] = list->writes[at + run.count - 1];
        }
        list->count -= run.count - 1;
    }
}

static uint32_t list_end(struct list *list)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        most = list->writes[i] > most ? list->writes[i] : most;
        free(list->items[i]);
    }
    free(list);
    return most;
}

/* Seals of 2,048 rows and more, thousands of them: few segments stay, and no row is written more
 * than 1 + 5 times. */
static void test_rewriting_is_bounded(void **state)
{
    struct fixture *f = *state;

    for (uint32_t spread = 1; spread <= 30000; spread = spread * 5 + 1) {
        struct list *list = calloc(1, sizeof *list);

        assert_non_null(list);
        for (unsigned i = 0; i < 2000; i++) {
            list_add(list, 2048 + random_below(&f->random, spread));
            list_merge(list);
        }
        /* Twice as many as needed, and those that are not enough yet. */
        assert_true(list->count <= 2 * list->rows / FM_SEGMENT_ROWS + 16);
        assert_true(list->rewritten <= 3 * list->rows);
        assert_true(list_end(list) <= 1 + 5);
    }
}

static void test_what_does_not_fit_stays(void **state)
{
    struct list *list = calloc(1, sizeof *list);
    struct merge_run run;

    (void)state;
    assert_non_null(list);
    list_add(list, FM_SEGMENT_ROWS);
    list_add(list, 1);
    list_add(list, FM_SEGMENT_ROWS);
    assert_false(merge_plan(list->items, 3, 0, true, &run));
    list_add(list, 10);
    list_add(list, 10);
    list->items[4]->first_sequence++; /* Hot rows between. */
    assert_false(merge_plan(list->items, 5, 0, true, &run));
    list->items[4]->first_sequence--;
    assert_true(merge_plan(list->items, 5, 0, true, &run));
    assert_int_equal(run.first, 3);
    assert_int_equal(run.count, 2);
    assert_false(merge_plan(list->items, 5, 0, false, &run)); /* More may come. */
    atomic_store(&list->items[3]->is_large, true);
    assert_false(merge_plan(list->items, 5, 0, true, &run));
    (void)list_end(list);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_plain),
        TEST(test_keyed),
        TEST(test_clustered),
        TEST(test_keyed_and_clustered),
        TEST(test_rows_are_sorted),
        TEST(test_schema_versions_are_not_mixed),
        TEST(test_failures_change_nothing),
        cmocka_unit_test(test_orders_are_permutations),
        TEST(test_rewriting_is_bounded),
        cmocka_unit_test(test_what_does_not_fit_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
