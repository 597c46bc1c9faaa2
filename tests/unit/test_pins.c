/* A table is read at a head only where its log of today begins with that head's, whole: whatever
 * is otherwise is refused, by name. */
#include "node/pins.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FACTS 3000u /* In so many appends of which each becomes a segment: */
#define APPENDS 3u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct fm_key *key;
    struct fm_mesh_id mesh;
    struct fm_head heads[APPENDS]; /* After each append. */
    fm_us times[APPENDS];
    struct fm_buf note;
    struct fm_at at;
    struct fm_error err;
};

static void append(struct fixture *f, uint32_t i)
{
    struct row *rows = calloc(FACTS, sizeof *rows);
    struct fm_appended appended;

    assert_non_null(rows);
    for (uint32_t r = 0; r < FACTS; r++)
        rows[r] = row_make(i * FACTS + r);
    rows_append(f->store, f->schema, rows, FACTS, &appended);
    f->heads[i] = (struct fm_head){.size = appended.size, .root = appended.root, .time = 1};
    f->times[i] = appended.recorded_at;
    fm_head_origin(&f->mesh, "tests", "rows", 1, f->heads[i].origin);
    free(rows);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    assert_int_equal(fm_key_generate(FM_KEY_SIGN, &f->key), FM_OK);
    store_dir_make(f->dir);
    f->mesh = store_options(f->dir).mesh;
    f->schema = rows_schema(0);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (uint32_t i = 0; i < APPENDS; i++)
        append(f, i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    fm_key_free(f->key);
    fm_buf_free(&f->note);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

/* Read "tests.<table>" at f->at, by a query that names this head. */
static enum fm_status pin_table(struct fixture *f, const struct fm_head *head, const char *table)
{
    struct fm_query_body asked = {.head_count = 1};
    struct fm_snapshot *snapshot = NULL;

    fm_buf_clear(&f->note);
    assert_int_equal(fm_head_seal(head, f->key, &f->note), FM_OK);
    asked.heads[0] = fm_buf_span(&f->note);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    enum fm_status status =
        fm_pin_table(snapshot, &f->mesh, &asked, "tests", table, &f->at, &f->err);
    fm_snapshot_free(snapshot);
    return status;
}

static void refused(struct fixture *f, const struct fm_head *head, enum fm_status wanted,
                    const char *words)
{
    static const char *const tables[] = {"rows", "rows$facts"};

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        f->at = (struct fm_at){.kind = FM_AT_LATEST};
        assert_int_equal(pin_table(f, head, tables[i]), wanted);
        if (strstr(f->err.text, words) == NULL)
            fail_msg("not '%s': %s", words, f->err.text);
        assert_int_equal(f->at.kind, FM_AT_LATEST);
    }
}

static void a_head_of_the_log_is_read(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < APPENDS; i++) {
        f->at = (struct fm_at){.kind = FM_AT_LATEST};
        assert_int_equal(pin_table(f, &f->heads[i], "rows"), FM_OK);
        /* At the last one nothing was appended since. */
        assert_int_equal(f->at.kind, i + 1 < APPENDS ? FM_AT_VERSION : FM_AT_LATEST);
        assert_int_equal(f->at.value, i + 1 < APPENDS ? (i + 1) * FACTS : 0);
    }
    f->at = (struct fm_at){.kind = FM_AT_VERSION, .value = 10};
    assert_int_equal(pin_table(f, &f->heads[1], "rows"), FM_OK);
    assert_int_equal(f->at.value, 10);
    f->at = (struct fm_at){.kind = FM_AT_VERSION, .value = FACTS + 1};
    assert_int_equal(pin_table(f, &f->heads[0], "rows"), FM_INVALID);
    assert_non_null(strstr(f->err.text, "later than the head"));
}

/* As a fork would have it, at the log's beginning, in the middle and at its end. */
static void a_head_of_another_history_is_refused(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < APPENDS; i++) {
        struct fm_head forked = f->heads[i];
        forked.root.bytes[31] ^= 1;
        refused(f, &forked, FM_CONFLICT, "is not of its log's history: its root is another");
        forked = f->heads[i];
        forked.size -= 1;
        refused(f, &forked, FM_CONFLICT, "is not of its log's history: its root is another");
    }
    struct fm_head longer = f->heads[APPENDS - 1];
    longer.size += 1;
    refused(f, &longer, FM_CONFLICT, "is of 9001 facts, and its log has 9000");
    struct fm_head none = f->heads[0];
    none.size = 0;
    refused(f, &none, FM_CONFLICT, "its root is another");
}

static void a_head_of_another_epoch_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_head head = f->heads[0];

    fm_head_origin(&f->mesh, "tests", "rows", 7, head.origin);
    refused(f, &head, FM_CONFLICT, "began anew since that head: its epoch was 7 and is 1");
}

static void a_head_of_something_else_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_mesh_id other = f->mesh;
    struct fm_head head = f->heads[0];

    other.bytes[0] ^= 1;
    fm_head_origin(&other, "tests", "rows", 1, head.origin);
    refused(f, &head, FM_INVALID, "none of them is of table tests.rows");
    fm_head_origin(&f->mesh, "tests", "row", 1, head.origin);
    refused(f, &head, FM_INVALID, "none of them is of table tests.rows");
    fm_head_origin(&f->mesh, "test", "rows", 1, head.origin);
    refused(f, &head, FM_INVALID, "none of them is of table tests.rows");
}

/* Of what is gone nobody can tell that it is the same. */
static void facts_that_were_dropped_are_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t dropped = 0;

    assert_int_equal(
        fm_store_retain(f->store, "tests", "rows", f->times[0] + 1, NULL, &dropped, &f->err),
        FM_OK);
    assert_int_equal(dropped, FACTS);
    refused(f, &f->heads[0], FM_CONFLICT, "have been dropped when their time was over");
    refused(f, &f->heads[1], FM_CONFLICT, "have been dropped when their time was over");
}

#define STORED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORED(a_head_of_the_log_is_read),           STORED(a_head_of_another_history_is_refused),
        STORED(a_head_of_another_epoch_is_refused),  STORED(a_head_of_something_else_is_refused),
        STORED(facts_that_were_dropped_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
