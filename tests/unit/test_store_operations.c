/* Facts that take others back or correct them, and event times: each rule with its error, what is
 * shown afterwards, and what was shown before. Histories at random are in
 * integration/test_store_model.c. */
#include "storage/check.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MANY_ROWS 5000u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row_list read;
    struct fm_error err;
    struct row rows[MANY_ROWS];
    struct row_event events[MANY_ROWS];
};

static void open_table(struct fixture *f, unsigned flags)
{
    f->schema = rows_schema(flags);
    f->schema->fields[2].required = true; /* value */
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    row_list_free(&f->read);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* ---- Helpers --------------------------------------------------------------------------------- */

static struct row good_row(int64_t id, int32_t value)
{
    struct row row = row_retract(id);

    row.value = value;
    return row;
}

static struct row_event event_of(enum fm_operation operation)
{
    return (struct row_event){.operation = operation};
}

static struct row_event event_on(enum fm_operation operation, uint64_t fact)
{
    return (struct row_event){.operation = operation, .has_superseded = true, .superseded = fact};
}

static enum fm_status append_many(struct fixture *f, size_t count, uint32_t extras)
{
    struct fm_append_options options = {.extras = extras};
    struct fm_appended appended;

    f->err = (struct fm_error){0};
    return rows_append_events(f->store, f->schema, f->rows, f->events, count, &options, &appended,
                              &f->err);
}

static enum fm_status append_one(struct fixture *f, struct row row, struct row_event event)
{
    f->rows[0] = row;
    f->events[0] = event;
    return append_many(f, 1, FM_EXTRA_ALL);
}

static void append_good(struct fixture *f, struct row row, struct row_event event)
{
    if (append_one(f, row, event) != FM_OK)
        fail_msg("append: %s", f->err.text);
}

static void assert_refused(struct fixture *f, enum fm_status got, enum fm_status expected,
                           const char *text)
{
    assert_string_equal(f->err.text, text);
    assert_int_equal(got, expected);
}

/* `text` lists the ids and values of the rows as of then: "1=10 2=20". */
static void assert_shown(struct fixture *f, struct fm_at at, const char *text)
{
    struct fm_scan_options options = {.at = at};
    struct fm_snapshot *snapshot = NULL;
    char got[256] = "";
    size_t len = 0;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    row_list_free(&f->read);
    if (rows_scan(snapshot, &options, &f->read, &f->err) != FM_OK)
        fail_msg("scan: %s", f->err.text);
    fm_snapshot_free(snapshot);
    for (size_t i = 0; i < f->read.count; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%lld=%d", i == 0 ? "" : " ",
                                (long long)f->read.rows[i].id, f->read.rows[i].value);
    assert_string_equal(got, text);
}

static void assert_latest(struct fixture *f, const char *text)
{
    struct fm_table_info info = rows_info(f->store);

    assert_shown(f, (struct fm_at){FM_AT_LATEST, 0}, text);
    assert_int_equal(info.rows_latest, f->read.count);
    fm_schema_free(info.schema);
}

static void assert_version(struct fixture *f, int64_t version, const char *text)
{
    assert_shown(f, (struct fm_at){FM_AT_VERSION, version}, text);
}

static void seal(struct fixture *f)
{
    uint64_t rows = 0;

    assert_int_equal(fm_store_seal(f->store, "tests", "rows", &rows, &f->err), FM_OK);
    assert_true(rows > 0);
}

static void say_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    fail_msg("%s: %s", finding->part, finding->text);
}

/* The same after a new start, and nothing is found wrong. */
static void reopen(struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir, .finding = say_finding};
    struct fm_check_result result;

    fm_store_close(f->store);
    f->store = NULL;
    assert_int_equal(fm_store_check(&options, &result, &f->err), FM_OK);
    assert_int_equal(result.damage_count, 0);
    f->store = store_open_good(f->dir);
}

/* ---- With a key ------------------------------------------------------------------------------ */

static void keyed_rows_come_and_go(void **state)
{
    struct fixture *f = *state;

    open_table(f, ROWS_KEYED);
    append_good(f, good_row(1, 10), event_of(0));
    append_good(f, good_row(2, 20), event_of(FM_ASSERT));
    append_good(f, row_retract(1), event_of(FM_RETRACT)); /* `value` is required, but not here. */
    assert_latest(f, "2=20");
    append_good(f, good_row(2, 21), event_on(FM_CORRECT, 1));
    append_good(f, good_row(1, 11), event_of(0));
    append_good(f, row_retract(2), event_on(FM_RETRACT, 3));
    for (unsigned i = 0; i < 3; i++) {
        assert_latest(f, "1=11");
        assert_version(f, 5, "2=21 1=11");
        assert_version(f, 4, "2=21");
        assert_version(f, 3, "2=20");
        assert_version(f, 2, "1=10 2=20");
        assert_version(f, 1, "1=10");
        if (i == 0)
            reopen(f);
        if (i == 1)
            seal(f);
    }
    reopen(f);
}

static void keyed_rules_hold(void **state)
{
    struct fixture *f = *state;

    open_table(f, ROWS_KEYED);
    append_good(f, good_row(7, 10), event_of(0));
    assert_refused(f, append_one(f, row_retract(8), event_of(FM_RETRACT)), FM_CONFLICT,
                   "row 1: the key (8) has no row");
    assert_refused(f, append_one(f, good_row(8, 1), event_on(FM_CORRECT, 0)), FM_CONFLICT,
                   "row 1: the key (8) has no row");
    assert_refused(f, append_one(f, good_row(7, 1), event_of(FM_CORRECT)), FM_INVALID,
                   "row 1: `_op` is correct; then `_supersedes` says which fact (its `_seq` in "
                   "rows$facts)");
    assert_refused(f, append_one(f, good_row(7, 1), event_on(FM_CORRECT, 5)), FM_CONFLICT,
                   "row 1: `_supersedes` names fact 5, the latest of the key (7) is fact 0");
    assert_refused(f, append_one(f, good_row(7, 1), event_on(FM_ASSERT, 0)), FM_INVALID,
                   "row 1: `_supersedes` has a value, but the row asserts; set `_op` to correct or "
                   "retract");
    assert_refused(f, append_one(f, row_retract(7), event_of(FM_CORRECT)), FM_INVALID,
                   "row 1: `_op` is correct; then `_supersedes` says which fact (its `_seq` in "
                   "rows$facts)");
    assert_refused(f, append_one(f, row_retract(7), event_on(FM_CORRECT, 0)), FM_INVALID,
                   "row 1: column `value` is required and has no value");
    assert_refused(f, append_one(f, row_retract(7), event_of(0)), FM_INVALID,
                   "row 1: column `value` is required and has no value");
    append_good(f, row_retract(7), event_of(FM_RETRACT));
    assert_refused(f, append_one(f, row_retract(7), event_of(FM_RETRACT)), FM_CONFLICT,
                   "row 1: the key (7) has been retracted already");
    append_good(f, good_row(7, 12), event_on(FM_CORRECT, 1)); /* The retraction was wrong. */
    assert_latest(f, "7=12");
    assert_version(f, 2, "");
    reopen(f);
}

/* Rows of one append take effect one after the other, in a clustered table too; one that is not
 * allowed undoes them all. */
static void an_append_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;

    open_table(f, ROWS_KEYED | ROWS_CLUSTERED);
    f->rows[0] = good_row(1, 30);
    f->rows[1] = row_retract(1);
    f->rows[2] = good_row(1, 10);
    f->rows[3] = good_row(2, 5);
    f->rows[4] = row_retract(3);
    f->events[1] = f->events[4] = event_of(FM_RETRACT);
    assert_refused(f, append_many(f, 5, FM_EXTRA_OP), FM_CONFLICT, "row 5: the key (3) has no row");
    assert_latest(f, "");
    assert_int_equal(append_many(f, 4, FM_EXTRA_OP), FM_OK);
    assert_latest(f, "1=10 2=5");
    assert_version(f, 2, "");
    assert_version(f, 1, "1=30");
    reopen(f);
}

/* ---- Without --------------------------------------------------------------------------------- */

static void facts_without_a_key_are_named(void **state)
{
    struct fixture *f = *state;

    open_table(f, 0);
    append_good(f, good_row(1, 10), event_of(0));
    append_good(f, good_row(2, 20), event_of(0));
    append_good(f, good_row(3, 30), event_of(0));
    assert_refused(f, append_one(f, row_retract(1), event_of(FM_RETRACT)), FM_INVALID,
                   "row 1: `_op` is retract; then `_supersedes` says which fact (its `_seq` in "
                   "rows$facts)");
    assert_refused(f, append_one(f, row_retract(1), event_on(FM_RETRACT, 3)), FM_CONFLICT,
                   "row 1: `_supersedes` names fact 3, which is not before this row's, 3");
    append_good(f, row_retract(1), event_on(FM_RETRACT, 0));
    append_good(f, good_row(2, 21), event_on(FM_CORRECT, 1));
    assert_refused(f, append_one(f, row_retract(1), event_on(FM_RETRACT, 1)), FM_CONFLICT,
                   "row 1: `_supersedes` names fact 1, which has been taken back or corrected "
                   "already, or takes back itself");
    assert_refused(f, append_one(f, good_row(1, 1), event_on(FM_CORRECT, 3)), FM_CONFLICT,
                   "row 1: `_supersedes` names fact 3, which has been taken back or corrected "
                   "already, or takes back itself");
    f->rows[0] = f->rows[1] = row_retract(9);
    f->events[0] = f->events[1] = event_on(FM_RETRACT, 2); /* Twice in one append. */
    assert_int_equal(append_many(f, 2, FM_EXTRA_ALL), FM_CONFLICT);
    for (unsigned i = 0; i < 3; i++) {
        assert_latest(f, "3=30 2=21");
        assert_version(f, 4, "2=20 3=30");
        assert_version(f, 3, "1=10 2=20 3=30");
        if (i == 0)
            reopen(f);
        if (i == 1)
            seal(f);
    }
    reopen(f);
}

static void words_and_columns_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {
        .domain = "tests", .table = "rows", .schema_version = 1, .extras = FM_EXTRA_OP};
    struct fm_type varchar = {.kind = FM_KIND_VARCHAR};
    const struct fm_type *types[6];
    struct fm_batch_builder_options build = {.types = types, .column_count = 6};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_append *append = NULL;
    struct fm_appended first;
    struct fm_batch batch;
    bool done;

    open_table(f, 0);
    for (uint32_t i = 0; i < 5; i++)
        types[i] = &f->schema->fields[i].type;
    types[5] = &varchar;
    assert_int_equal(fm_batch_builder_new(&build, &builder), FM_OK);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(fm_batch_put_null(builder, i), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 5, fm_span_str("delete")), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &bytes), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &first, &f->err), FM_OK);
    assert_refused(f, fm_append_rows(append, &batch, &f->err), FM_INVALID,
                   "row 1: `delete` in column `_op`; expected assert, retract or correct");
    fm_append_abort(append);
    options.extras = 0; /* The columns tell. */
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &first, &f->err), FM_OK);
    assert_refused(f, fm_append_rows(append, &batch, &f->err), FM_INVALID,
                   "row 1: `delete` in column `_op`; expected assert, retract or correct");
    fm_append_abort(append);
    options.extras = FM_EXTRA_EVENT_TIME;
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &first, &f->err), FM_OK);
    assert_refused(f, fm_append_rows(append, &batch, &f->err), FM_INVALID,
                   "column `_event_time` of a batch has another type than the table's");
    fm_append_abort(append);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
}

/* ---- Many rows ------------------------------------------------------------------------------- */

/* A large append whose rows each have a header of their own: spans beside the segment, which an
 * append that fails takes with it. */
static void headers_of_many_rows_are_kept(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;

    open_table(f, ROWS_KEYED);
    for (uint32_t i = 0; i < MANY_ROWS; i++) {
        f->rows[i] = good_row(i % 1000, (int32_t)i);
        f->events[i] = (struct row_event){.has_time = true, .time = 5000 + i};
        if (i >= 4500) {
            f->rows[i] = row_retract(i % 1000);
            f->events[i].operation = FM_RETRACT;
        }
    }
    f->events[MANY_ROWS - 1].operation = FM_CORRECT; /* Without the fact. */
    assert_int_equal(append_many(f, MANY_ROWS, FM_EXTRA_OP | FM_EXTRA_EVENT_TIME), FM_INVALID);
    assert_latest(f, "");
    f->events[MANY_ROWS - 1].operation = FM_RETRACT;
    assert_int_equal(append_many(f, MANY_ROWS, FM_EXTRA_OP | FM_EXTRA_EVENT_TIME), FM_OK);
    for (unsigned i = 0; i < 2; i++) {
        struct fm_scan_options options = {.at = {FM_AT_VERSION, 4600}};
        struct fm_fact_header header;
        struct fm_buf leaf = FM_BUF_INIT(0);
        struct fm_cursor cursor;

        struct fm_table_info info = rows_info(f->store);

        assert_int_equal(info.rows_latest, 500);
        fm_schema_free(info.schema);
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        row_list_free(&f->read);
        assert_int_equal(rows_scan(snapshot, &options, &f->read, &f->err), FM_OK);
        assert_int_equal(f->read.count, 900);
        assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "rows", 4777, &leaf, &f->err), FM_OK);
        cursor = fm_cursor(fm_buf_span(&leaf));
        assert_int_equal(fm_fact_header_decode(&cursor, &header), FM_OK);
        assert_int_equal(header.sequence, 4777);
        assert_int_equal(header.event_time, 9777);
        assert_int_equal(header.operation, FM_RETRACT);
        fm_buf_free(&leaf);
        fm_snapshot_free(snapshot);
        reopen(f);
    }
}

/* Rows sorted into clustering order take their event times along. */
static void event_times_follow_their_rows(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;

    open_table(f, ROWS_CLUSTERED);
    for (uint32_t i = 0; i < 2 * 2500; i++) {
        f->rows[i] = good_row(i, (int32_t)(5000 - i)); /* Clustered by name (NULL), value. */
        f->events[i] = (struct row_event){.has_time = true, .time = (fm_us)i};
    }
    assert_int_equal(append_many(f, 1000, FM_EXTRA_EVENT_TIME), FM_OK);
    assert_int_equal(append_many(f, 5000, FM_EXTRA_EVENT_TIME), FM_OK);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (uint64_t fact = 0; fact < 6000; fact += 123) {
        struct fm_fact_header header;
        struct fm_buf leaf = FM_BUF_INIT(0);
        struct fm_cursor cursor;

        assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "rows", fact, &leaf, &f->err), FM_OK);
        cursor = fm_cursor(fm_buf_span(&leaf));
        assert_int_equal(fm_fact_header_decode(&cursor, &header), FM_OK);
        assert_int_equal(header.event_time, fact < 1000 ? 999 - fact : 5999 - fact);
        fm_buf_free(&leaf);
    }
    fm_snapshot_free(snapshot);
    reopen(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(keyed_rows_come_and_go),        TEST(keyed_rules_hold),
        TEST(an_append_is_all_or_nothing),   TEST(facts_without_a_key_are_named),
        TEST(words_and_columns_are_checked), TEST(headers_of_many_rows_are_kept),
        TEST(event_times_follow_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
