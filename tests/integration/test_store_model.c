/* Random operations on a store beside a model that keeps every row in an array: appends small and
 * large, keyed and clustered, with retractions, corrections and event times, repeated, refused and
 * aborted; scans with predicates, limits and in the past; mappings; old snapshots; sealing and
 * merging; proofs; records; reopening. After each step both agree, and `doctor` finds nothing at
 * the end of a store. Several thousand steps; with FM_LONG=1 a million. FM_SEED replays: the seed
 * is printed. */
#include "tests/support/model_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS 3000u
#define STEPS_LONG 1000000u
#define PROOFS 4u /* Checked at a time. */

static int setup(void **state)
{
    struct model_fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    model_end_store(*state);
    free(*state);
    return 0;
}

/* ---- Reads ----------------------------------------------------------------------------------- */

static void check_scan(struct model_fixture *f, struct fm_snapshot *snapshot, size_t size)
{
    struct fm_predicate_list predicates = {0};
    struct fm_scan_options options = {0};
    struct row_list expected, read;

    rows_random_predicates(&f->random, &predicates);
    options.predicates = &predicates;
    if (model_below(f, 3) == 0)
        options.row_limit = 1 + model_below(f, 3000);
    if (model_below(f, 3) == 0)
        options.batch_bytes = 2000 + model_below(f, 20000);
    if (model_below(f, 2) == 0)
        size = model_random_past(f, size, &options.at);
    model_expect(f, size, &options, &expected);
    if (rows_scan(snapshot, &options, &read, &f->err) != FM_OK)
        fail_msg("scan: %s", f->err.text);
    assert_int_equal(read.count, expected.count);
    if ((f->flags & ROWS_CLUSTERED) == 0) {
        rows_assert_equal(read.rows, expected.rows, read.count);
    } else {
        /* In any order, and a limit leaves out any of them. */
        row_list_free(&expected);
        options.row_limit = 0;
        model_expect(f, size, &options, &expected);
        rows_assert_among(&read, &expected);
    }
    row_list_free(&read);
    row_list_free(&expected);
    fm_predicate_list_deinit(&predicates);
}

static void step_scan(struct model_fixture *f)
{
    struct fm_snapshot *snapshot = model_snapshot(f);

    check_scan(f, snapshot, f->model.count);
    fm_snapshot_free(snapshot);
}

/* What an old snapshot showed it shows still. */
static void step_old(struct model_fixture *f)
{
    if (f->old != NULL)
        check_scan(f, f->old, f->old_count);
    model_drop_old(f);
    f->old = model_snapshot(f);
    f->old_count = f->model.count;
}

static void step_map(struct model_fixture *f)
{
    static const uint32_t fields[] = {1, 2};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 2, .fields = fields};
    struct fm_snapshot *snapshot = model_snapshot(f);
    struct fm_store_mapping mapping = {0};
    struct row_list expected;
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status = fm_snapshot_map(snapshot, &options, &mapping, &f->err);
    uint64_t rows = 0;

    assert_int_equal(status, FM_OK);
    rows = mapping_rows(&mapping);
    while (mapping.rest != NULL && status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_scan_next(mapping.rest, &bytes, &f->err);
        rows += status == FM_OK ? fm_load32(bytes.data + 8) : 0;
    }
    assert_true(status == FM_OK || status == FM_NOTFOUND);
    model_expect(f, f->model.count, &options, &expected);
    assert_int_equal(rows, expected.count);
    row_list_free(&expected);
    fm_buf_free(&bytes);
    fm_store_mapping_deinit(&mapping);
    fm_snapshot_free(snapshot);
}

/* Hot rows become a segment. */
static void step_seal(struct model_fixture *f)
{
    struct fm_table_info info = rows_info(f->store);
    uint64_t rows = 0;

    assert_int_equal(fm_store_seal(f->store, "tests", "rows", &rows, &f->err), FM_OK);
    assert_int_equal(rows, info.hot_rows);
    fm_schema_free(info.schema);
}

/* All segments fit into one here: rows that are not hot but beside others of them. */
static void step_merge(struct model_fixture *f)
{
    struct fm_table_info before = rows_info(f->store), after;
    uint64_t rows = 0;

    if (fm_store_merge(f->store, "tests", "rows", &rows, &f->err) != FM_OK)
        fail_msg("merge: %s", f->err.text);
    after = rows_info(f->store);
    assert_int_equal(after.hot_rows, before.hot_rows);
    assert_true(rows <= before.size - before.hot_rows);
    if (before.hot_rows == 0 && before.size > 0)
        assert_int_equal(after.segment_count, 1);
    else
        assert_true(after.segment_count <= before.segment_count);
    assert_true((rows > 0) == (after.segment_count < before.segment_count));
    fm_schema_free(before.schema);
    fm_schema_free(after.schema);
}

/* The proof of a fact is made from its rows and neighbours, and checked against the root. */
static void step_prove(struct model_fixture *f)
{
    struct fm_snapshot *snapshot = model_snapshot(f);

    for (unsigned i = 0; i < PROOFS && f->model.count > 0; i++) {
        uint64_t sequence = model_below(f, (uint32_t)f->model.count);
        uint64_t size = sequence + 1 + model_below(f, (uint32_t)(f->model.count - sequence));
        struct fm_proof proof;

        if (fm_snapshot_inclusion(snapshot, "tests", "rows", sequence, size, &proof, &f->err) !=
            FM_OK)
            fail_msg("proof of fact %" PRIu64 " in %" PRIu64 ": %s", sequence, size, f->err.text);
    }
    fm_snapshot_free(snapshot);
}

static void step_record(struct model_fixture *f)
{
    uint32_t number = model_below(f, MODEL_RECORDS);
    uint8_t key = (uint8_t)number;
    struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = fm_store_get_record(f->store, fm_span(&key, 1), &value);

    if (f->model.records[number] == 0) {
        assert_int_equal(status, FM_NOTFOUND);
    } else {
        assert_int_equal(status, FM_OK);
        assert_int_equal(value.len, 8);
        assert_int_equal(fm_load64(value.data), f->model.records[number]);
    }
    fm_buf_free(&value);
    f->model.records[number] = random_next(&f->random) | 1;
    fm_buf_put_u64(&value, f->model.records[number]);
    assert_int_equal(fm_store_put_record(f->store, fm_span(&key, 1), fm_buf_span(&value), &f->err),
                     FM_OK);
    fm_buf_free(&value);
}

static void step_reopen(struct model_fixture *f)
{
    model_drop_old(f);
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void check_info(struct model_fixture *f)
{
    struct fm_table_info info = rows_info(f->store);
    struct fm_scan_options all = {0};
    struct row_list expected;

    assert_int_equal(info.size, f->model.count);
    assert_true(fm_hash_equal(&info.root, &f->model.root));
    model_expect(f, f->model.count, &all, &expected);
    assert_int_equal(info.rows_latest, expected.count);
    if (f->model.count > 0)
        assert_int_equal(info.recorded_at, f->model.recorded_at[f->model.count - 1]);
    row_list_free(&expected);
    fm_schema_free(info.schema);
}

static void step(struct model_fixture *f)
{
    static const struct {
        unsigned until; /* Of a hundred. */
        void (*run)(struct model_fixture *f);
    } steps[] = {
        {40, model_step_append},   {45, model_step_repeat}, {47, model_step_refused},
        {50, model_step_conflict}, {52, model_step_abort},  {69, step_scan},
        {74, model_step_facts},    {80, step_old},          {83, step_map},
        {87, step_prove},          {92, step_seal},         {95, step_merge},
        {98, step_record},         {100, step_reopen},
    };
    uint32_t chosen = model_below(f, 100);
    size_t i = 0;

    while (chosen >= steps[i].until)
        i++;
    steps[i].run(f);
    check_info(f);
}

static void test_random_operations(void **state)
{
    struct model_fixture *f = *state;
    const char *seed = getenv("FM_SEED");
    unsigned steps = getenv("FM_LONG") != NULL ? STEPS_LONG : STEPS;

    f->random.state = seed != NULL ? strtoull(seed, NULL, 10) : 11;
    print_message("FM_SEED=%" PRIu64 "\n", f->random.state);
    model_begin_store(f);
    for (unsigned i = 0; i < steps; i++) {
        if (i % (steps / 4) == 0)
            print_message("step %u\n", i);
        step(f);
    }
    print_message("%u steps on %u stores\n", steps, f->stores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_operations, setup, teardown),
    };

    /* Nothing is cut off here: memory does for a disk. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* Else on the disk. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
