/* Scans, mappings and the past against a model that keeps every row in an array. */
#include "core/bits.h"
#include "tests/support/store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#define MODEL_ROWS_MAX 60000u
#define IDS_MAX (1u << 16)

struct model {
    size_t count;
    struct row rows[MODEL_ROWS_MAX];
    fm_us recorded_at[MODEL_ROWS_MAX];
};

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct model model;
    struct random random;
    struct row_list read;
    struct fm_error err;
};

static int setup_with(void **state, unsigned flags)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(flags);
    f->store = store_open_good(f->dir);
    f->random.state = 42;
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_keyed(void **state)
{
    return setup_with(state, ROWS_KEYED);
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

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* ---- The model ------------------------------------------------------------------------------- */

static void append(struct fixture *f, size_t count, uint32_t id_bound)
{
    struct fm_appended appended;
    struct row *rows = f->model.rows + f->model.count;

    assert_true(count <= MODEL_ROWS_MAX - f->model.count);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_random(&f->random, id_bound);
    rows_append(f->store, f->schema, rows, count, &appended);
    for (size_t i = 0; i < count; i++)
        f->model.recorded_at[f->model.count + i] = appended.recorded_at;
    f->model.count += count;
}

/* One append of rows 0, 1, 2, ... of row_make(): compressible and in order. */
static void append_made(struct fixture *f, size_t count)
{
    struct fm_appended appended;
    struct row *rows = f->model.rows + f->model.count;

    for (size_t i = 0; i < count; i++)
        rows[i] = row_make(f->model.count + i);
    rows_append(f->store, f->schema, rows, count, &appended);
    for (size_t i = 0; i < count; i++)
        f->model.recorded_at[f->model.count + i] = appended.recorded_at;
    f->model.count += count;
}

/* What a scan of the first `size` facts must give. */
static void expect(const struct fixture *f, size_t size, const struct fm_predicate_list *predicates,
                   uint64_t limit, struct row_list *out)
{
    *out = (struct row_list){.rows = calloc(size + 1, sizeof *out->rows)};
    assert_non_null(out->rows);
    uint32_t *latest = NULL;

    if (f->schema->key_count > 0) {
        latest = calloc(IDS_MAX, sizeof *latest);
        assert_non_null(latest);
        for (size_t i = 0; i < size; i++)
            latest[f->model.rows[i].id] = (uint32_t)i;
    }
    for (size_t i = 0; i < size && (limit == 0 || out->count < limit); i++) {
        if (latest != NULL && latest[f->model.rows[i].id] != i)
            continue;
        if (row_matches(&f->model.rows[i], predicates))
            out->rows[out->count++] = f->model.rows[i];
    }
    free(latest);
}

static void check(struct fixture *f, struct fm_snapshot *snapshot, size_t size,
                  const struct fm_scan_options *options)
{
    struct row_list expected;

    expect(f, size, options->predicates, options->row_limit, &expected);
    if (rows_scan(snapshot, options, &f->read, &f->err) != FM_OK)
        fail_msg("scan: %s", f->err.text);
    assert_int_equal(f->read.count, expected.count);
    rows_assert_equal(f->read.rows, expected.rows, expected.count);
    row_list_free(&f->read);
    row_list_free(&expected);
}

/* ---- What a worker would read ---------------------------------------------------------------- */

/* Rows of all mapped segments, read through fresh mappings of the descriptors as a worker would. */
static void read_mapping(struct fm_snapshot *snapshot, const struct fm_store_mapping *mapping,
                         struct row_list *out)
{
    struct fm_columns columns = {0};
    const struct fm_dictionary *dictionaries[5];
    const uint8_t *memory[16];
    static const uint32_t zeros[5];

    *out = (struct row_list){.rows = calloc(MODEL_ROWS_MAX, sizeof *out->rows)};
    assert_non_null(out->rows);
    assert_int_equal(fm_snapshot_columns(snapshot, "tests", "rows", &columns), FM_OK);
    assert_true(mapping->arena_count <= 16);
    for (uint32_t i = 0; i < mapping->arena_count; i++) {
        assert_true(mmap(NULL, mapping->bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED,
                         mapping->fds[i], 0) == MAP_FAILED);
        memory[i] = mmap(NULL, mapping->bytes[i], PROT_READ, MAP_SHARED, mapping->fds[i], 0);
        assert_true(memory[i] != MAP_FAILED);
    }
    for (uint32_t i = 0; i < 5; i++)
        dictionaries[i] =
            columns.items[i].dictionary.count > 0 ? &columns.items[i].dictionary : NULL;
    for (uint32_t s = 0; s < mapping->segment_count; s++) {
        struct fm_batch batches[5];
        const struct fm_batch *views[5];

        for (uint32_t i = 0; i < 5; i++) {
            const struct fm_store_mapped_column *column = &mapping->segments[s].columns[i];
            const uint8_t *at = memory[column->arena] + column->offset;
            const struct fm_type *type = &columns.items[i].type;

            assert_int_equal(fm_batch_view(fm_span(at, fm_load32(at + 4)), &type, 1,
                                           &dictionaries[i], &batches[i]),
                             FM_OK);
            assert_int_equal(batches[i].rows, mapping->segments[s].rows);
            views[i] = &batches[i];
        }
        const struct fm_store_mapped_segment *segment = &mapping->segments[s];
        const uint8_t *shown = memory[segment->selection.arena] + segment->selection.offset;
        size_t before = out->count;

        for (uint32_t row = 0; row < segment->rows; row++)
            if ((segment->left_out >> (row / FM_BLOCK_ROWS) & 1) == 0 &&
                (!segment->has_selection || fm_bits_get(shown, row)))
                rows_decode(views, zeros, dictionaries, row, &out->rows[out->count++]);
        if (segment->left_out == 0)
            assert_true(out->count > before); /* Else there was no reason to map it. */
        if (segment->has_selection)
            assert_true(out->count - before < segment->rows);
    }
    for (uint32_t i = 0; i < mapping->arena_count; i++)
        assert_int_equal(munmap((void *)(uintptr_t)memory[i], mapping->bytes[i]), 0);
    fm_columns_deinit(&columns);
}

static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->value != b->value ? (a->value < b->value ? -1 : 1) : strcmp(a->name, b->name);
}

/* Mapped segments and the rest together, as of `at`, are what a scan gives, of the rows that match;
 * how many more there are depends on where segments and blocks end. */
static void check_mapped(struct fixture *f, struct fm_snapshot *snapshot, size_t size,
                         const struct fm_at *at, const struct fm_predicate_list *predicates)
{
    static const uint32_t fields[] = {0, 1, 2, 3, 4};
    struct fm_scan_options options = {.domain = "tests",
                                      .table = "rows",
                                      .field_count = 5,
                                      .fields = fields,
                                      .at = *at,
                                      .predicates = predicates};
    struct fm_store_mapping mapping;
    struct row_list mapped, expected;

    if (fm_snapshot_map(snapshot, &options, &mapping, &f->err) != FM_OK)
        fail_msg("map: %s", f->err.text);
    read_mapping(snapshot, &mapping, &mapped);
    if (mapping.rest != NULL) {
        assert_int_equal(rows_drain(snapshot, mapping.rest, &f->read, &f->err), FM_OK);
        for (size_t i = 0; i < f->read.count; i++)
            mapped.rows[mapped.count++] = f->read.rows[i];
        row_list_free(&f->read);
    }
    expect(f, size, predicates, 0, &expected);
    size_t matching = 0;
    for (size_t i = 0; i < mapped.count; i++)
        if (row_matches(&mapped.rows[i], predicates))
            mapped.rows[matching++] = mapped.rows[i];
    mapped.count = matching;
    assert_int_equal(mapped.count, expected.count);
    qsort(mapped.rows, expected.count, sizeof *mapped.rows, compare_rows);
    qsort(expected.rows, expected.count, sizeof *mapped.rows, compare_rows);
    rows_assert_equal(mapped.rows, expected.rows, expected.count);
    row_list_free(&mapped);
    row_list_free(&expected);
    fm_store_mapping_deinit(&mapping);
}

/* ---- Histories ------------------------------------------------------------------------------- */

static void check_randomly(struct fixture *f, struct fm_snapshot *snapshot, size_t size)
{
    struct fm_scan_options options = {0};
    struct fm_predicate_list predicates = {0};

    check(f, snapshot, size, &options);
    for (int i = 0; i < 6; i++) {
        size_t then = size;

        rows_random_predicates(&f->random, &predicates);
        options = (struct fm_scan_options){.predicates = &predicates};
        if (random_below(&f->random, 2) == 0)
            options.row_limit = 1 + random_below(&f->random, 3000);
        if (random_below(&f->random, 2) == 0)
            options.batch_bytes = 2000 + random_below(&f->random, 20000);
        if (size > 0 && random_below(&f->random, 2) == 0) {
            then = random_below(&f->random, (uint32_t)size + 1);
            options.at = (struct fm_at){FM_AT_VERSION, (int64_t)then};
        } else if (size > 0 && random_below(&f->random, 2) == 0) {
            uint32_t at = random_below(&f->random, (uint32_t)size);
            int64_t less = random_below(&f->random, 2);

            options.at = (struct fm_at){FM_AT_TIMESTAMP, f->model.recorded_at[at] - less};
            for (then = 0; then < size && f->model.recorded_at[then] <= options.at.value; then++)
                ;
        }
        check(f, snapshot, then, &options);
        if (i % 2 == 0)
            check_mapped(f, snapshot, then, &options.at, i % 4 == 0 ? &predicates : NULL);
        fm_predicate_list_deinit(&predicates);
    }
}

/* Sealing changes nothing that can be asked for. */
static void seal_and_look(struct fixture *f, struct fm_snapshot *old, uint32_t id_bound)
{
    struct fm_snapshot *snapshot = NULL;
    struct fm_table_info before = rows_info(f->store);
    struct fm_table_info after;
    uint64_t rows = 0;

    assert_int_equal(fm_store_seal(f->store, "tests", "rows", &rows, &f->err), FM_OK);
    after = rows_info(f->store);
    assert_int_equal(rows, before.hot_rows);
    assert_int_equal(after.hot_rows, 0);
    assert_int_equal(after.size, before.size);
    assert_int_equal(after.rows_latest, before.rows_latest);
    assert_int_equal(after.recorded_at, before.recorded_at);
    assert_true(fm_hash_equal(&after.root, &before.root));
    check_randomly(f, old, f->model.count);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    check_randomly(f, snapshot, f->model.count);
    fm_snapshot_free(snapshot);
    if (random_below(&f->random, 2) == 0)
        append(f, 1 + random_below(&f->random, 60), id_bound);
    fm_schema_free(before.schema);
    fm_schema_free(after.schema);
}

static void run_history(struct fixture *f, uint32_t id_bound)
{
    struct fm_snapshot *old = NULL;
    size_t old_size = 0;

    for (int step = 0; step < 21; step++) {
        struct fm_snapshot *snapshot = NULL;
        struct fm_table_info info;
        struct row_list expected;
        size_t count = random_below(&f->random, 3) == 0 ? 2049 + random_below(&f->random, 2500)
                                                        : 1 + random_below(&f->random, 60);

        append(f, count, id_bound);
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        check_randomly(f, snapshot, f->model.count);
        assert_int_equal(fm_snapshot_table(snapshot, "tests", "rows", &info), FM_OK);
        expect(f, f->model.count, NULL, 0, &expected);
        assert_int_equal(info.rows_latest, expected.count);
        row_list_free(&expected);
        fm_schema_free(info.schema);
        if (old != NULL) { /* What it showed before it shows still. */
            check_randomly(f, old, old_size);
            fm_snapshot_free(old);
        }
        old = snapshot;
        old_size = f->model.count;
        if (step % 4 == 3)
            seal_and_look(f, old, id_bound);
        if (step % 7 == 6) {
            fm_snapshot_free(old);
            old = NULL;
            reopen(f);
        }
    }
    fm_snapshot_free(old);
}

static void test_random_history(void **state)
{
    run_history(*state, IDS_MAX);
}

/* Keys come again often: within an append, over small and large ones. */
static void test_random_history_of_few_keys(void **state)
{
    run_history(*state, 700);
}

static void test_random_history_of_many_keys(void **state)
{
    run_history(*state, 30000);
}

/* ---- Sealed rows ----------------------------------------------------------------------------- */

static void check_every_time(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (size_t i = 0; i < f->model.count; i += 1 + i / 30) {
        for (int less = 0; less < 2; less++) {
            struct fm_scan_options options = {
                .at = {FM_AT_TIMESTAMP, f->model.recorded_at[i] - less}};
            size_t then = 0;

            while (then < f->model.count && f->model.recorded_at[then] <= options.at.value)
                then++;
            check(f, snapshot, then, &options);
        }
    }
    fm_snapshot_free(snapshot);
}

/* Many appends become one segment and stay as they were recorded; segments lie between others in
 * the order of sequences. */
static void test_sealed_runs(void **state)
{
    struct fixture *f = *state;
    struct fm_table_info info;

    for (int i = 0; i < 40; i++)
        append(f, 1 + random_below(&f->random, 3), 50);
    append(f, 2500, 50);
    for (int i = 0; i < 3; i++)
        append(f, 2, 50);
    append(f, 2100, 50);
    append(f, 7, 50);
    check_every_time(f);
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    info = rows_info(f->store);
    assert_int_equal(info.segment_count, 5);
    assert_int_equal(info.hot_rows, 0);
    fm_schema_free(info.schema);
    check_every_time(f);
    append(f, 5, 50);
    check_every_time(f);
    reopen(f);
    check_every_time(f);
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    check_every_time(f);
}

/* A dictionary made while rows were hot serves when they are a segment without one. */
static void test_sealed_texts_keep_their_codes(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 6; i++) {
        struct row *rows = f->model.rows + f->model.count;
        struct fm_snapshot *snapshot = NULL;
        struct fm_scan_options options = {0};

        for (size_t j = 0; j < 1900; j++) {
            rows[j] = row_make(f->model.count + j);
            (void)snprintf(rows[j].name, sizeof rows[j].name, "text-%zu", f->model.count + j);
        }
        rows_append(f->store, f->schema, rows, 1900, NULL);
        f->model.count += 1900;
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        check(f, snapshot, f->model.count, &options);
        if (i >= 4)
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        check(f, snapshot, f->model.count, &options);
        fm_snapshot_free(snapshot);
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        check(f, snapshot, f->model.count, &options);
        fm_snapshot_free(snapshot);
    }
    assert_int_equal(fm_store_seal(f->store, "tests", "nobody", NULL, &f->err), FM_NOTFOUND);
}

/* ---- Details --------------------------------------------------------------------------------- */

/* A limit that falls anywhere in a slice or a batch of picked rows. */
static void test_row_limits(void **state)
{
    static const uint64_t limits[] = {1, 63, 64, 65, 2047, 2048, 2049, 6000, 6001, 7000};
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;

    append_made(f, 6000);
    append_made(f, 10);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct fm_scan_options options = {.row_limit = limits[i]};

        check(f, snapshot, f->model.count, &options);
    }
    fm_snapshot_free(snapshot);
}

/* Batches keep to the size asked for, as far as one row allows. */
static void test_batch_sizes(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;
    static const uint32_t fields[] = {0, 1, 2, 3, 4};

    append_made(f, 10000);
    append(f, 2000, 1000);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (size_t bytes = 3000; bytes <= 300000; bytes *= 10) {
        struct fm_scan_options options = {.domain = "tests",
                                          .table = "rows",
                                          .field_count = 5,
                                          .fields = fields,
                                          .batch_bytes = bytes};
        struct fm_scan *scan = NULL;
        struct fm_buf batch = FM_BUF_INIT(0);

        assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_OK);
        while (fm_scan_next(scan, &batch, &f->err) == FM_OK) {
            assert_true(batch.len <= bytes);
            fm_buf_clear(&batch);
        }
        fm_buf_free(&batch);
        fm_scan_free(scan);
        check(f, snapshot, f->model.count, &(struct fm_scan_options){.batch_bytes = bytes});
    }
    fm_snapshot_free(snapshot);
}

static void test_bad_options(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;
    struct fm_scan *scan = NULL;
    struct fm_store_mapping mapping;
    uint32_t fields[] = {5};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 1, .fields = fields};
    struct fm_predicate term = {.field_id = 99, .op = FM_OP_IS_NULL};
    struct fm_predicate_list predicates = {.count = 1, .terms = &term};

    append(f, 10, 10);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_INVALID);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_INVALID);
    fields[0] = 0;
    options.predicates = &predicates;
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_INVALID);
    options.predicates = NULL;
    options.field_count = 0;
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_INVALID);
    options.field_count = 1;
    options.at = (struct fm_at){FM_AT_VERSION, 11};
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_INVALID);
    options.at = (struct fm_at){FM_AT_VERSION, -1};
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_INVALID);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_INVALID);
    options.at = (struct fm_at){0};
    options.table = "nothing";
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_NOTFOUND);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_NOTFOUND);
    fm_snapshot_free(snapshot);
}

/* A snapshot's dictionary is sorted, holds what occurs, and is none for a column of many values. */
static void test_dictionaries(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;
    struct fm_columns columns = {0};

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_snapshot_columns(snapshot, "tests", "rows", &columns), FM_OK);
    assert_int_equal(columns.items[1].dictionary.count, 0);
    fm_columns_deinit(&columns);
    fm_snapshot_free(snapshot);
    append_made(f, 5);
    append_made(f, 3000);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_snapshot_columns(snapshot, "tests", "rows", &columns), FM_OK);
    assert_int_equal(columns.count, 5);
    assert_int_equal(columns.items[0].dictionary.count, 0);
    assert_int_equal(columns.items[1].dictionary.count, 97);
    assert_int_equal(columns.items[4].dictionary.count, 3);
    assert_true(
        fm_span_equal(fm_dictionary_at(&columns.items[4].dictionary, 0), fm_span_str("bad")));
    fm_columns_deinit(&columns);
    fm_snapshot_free(snapshot);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

/* Mapped segments and the rest together are the table; the second mapping gives the same places. */
static void test_mapping_and_rest(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fields[] = {0, 1, 2, 3, 4};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 5, .fields = fields};
    struct fm_snapshot *snapshot = NULL;
    uint64_t offset = 0, selection = 0;

    append_made(f, 3000);
    append_made(f, 7);
    append_made(f, 4000);
    f->model.rows[f->model.count] = f->model.rows[1]; /* Supersedes in the first segment. */
    rows_append(f->store, f->schema, &f->model.rows[f->model.count], 1, NULL);
    f->model.count++;
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (int round = 0; round < 2; round++) {
        struct fm_store_mapping mapping;

        assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
        assert_non_null(mapping.rest);
        assert_true(mapping.segment_count >= 1);
        assert_true(mapping.segments[0].has_selection);
        assert_false(mapping.segments[1].has_selection);
        if (round == 1)
            assert_int_equal(mapping.segments[0].columns[0].offset, offset);
        if (round == 1)
            assert_int_equal(mapping.segments[0].selection.offset, selection);
        offset = mapping.segments[0].columns[0].offset;
        selection = mapping.segments[0].selection.offset;
        fm_store_mapping_deinit(&mapping);
        check_mapped(f, snapshot, f->model.count, &options.at, NULL);
    }
    fm_snapshot_free(snapshot);
}

/* A selection is shared until a row that it speaks of is superseded. */
static void test_selection_follows_the_table(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fields[] = {0};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 1, .fields = fields};
    uint64_t offsets[4];

    append_made(f, 3000);
    append_made(f, 3000);
    for (size_t step = 0; step < 4; step++) {
        static const size_t again[4] = {1, 3500, 7, 10}; /* Of which segment: 0, 1, 0, 0. */
        struct fm_store_mapping mapping;
        struct fm_snapshot *snapshot = NULL;

        f->model.rows[f->model.count] = f->model.rows[again[step]];
        rows_append(f->store, f->schema, &f->model.rows[f->model.count], 1, NULL);
        f->model.count++;
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
        assert_int_equal(mapping.segments[1].has_selection, step >= 1);
        offsets[step] = mapping.segments[0].selection.offset;
        for (size_t before = 0; before < step; before++) /* All rows are in one window. */
            assert_int_not_equal(offsets[step], offsets[before]);
        fm_store_mapping_deinit(&mapping);
        check_mapped(f, snapshot, f->model.count, &options.at, NULL);
        fm_snapshot_free(snapshot);
    }
}

/* Without hot rows and superseded ones there is no rest; zone maps leave whole segments out. */
static void test_mapping_without_rest(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fields[] = {0};
    struct fm_buf value = FM_BUF_INIT(0);
    struct fm_predicate term = {.field_id = 1, .op = FM_OP_LT, .value_count = 1, .values = &value};
    struct fm_predicate_list predicates = {.count = 1, .terms = &term};
    struct fm_scan_options options = {.domain = "tests",
                                      .table = "rows",
                                      .field_count = 1,
                                      .fields = fields,
                                      .predicates = &predicates};
    struct fm_store_mapping mapping;
    struct fm_snapshot *snapshot = NULL;

    append_made(f, 3000);
    append_made(f, 3000);
    fm_buf_put_u64(&value, 3000);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
    assert_null(mapping.rest);
    assert_int_equal(mapping.segment_count, 1);
    assert_int_equal(mapping.segments[0].rows, 3000);
    fm_store_mapping_deinit(&mapping);
    fm_buf_clear(&value);
    fm_buf_put_u64(&value, 0);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
    assert_null(mapping.rest);
    assert_int_equal(mapping.segment_count, 0);
    fm_store_mapping_deinit(&mapping);
    fm_snapshot_free(snapshot);
    fm_buf_free(&value);
}

/* Of wanted segments only blocks that may match are read; the second time by kept bounds. */
static void test_mapping_of_blocks(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fields[] = {0};
    static const struct {
        enum fm_operator op;
        int64_t value;
        uint64_t left_out;
    } cases[] = {{FM_OP_LT, 2048, 0xe}, {FM_OP_LT, 2049, 0xc}, {FM_OP_GE, 2048, 0x1},
                 {FM_OP_EQ, 5000, 0xb}, {FM_OP_GE, 6144, 0x7}, {FM_OP_GE, 0, 0}};
    struct fm_snapshot *snapshot = NULL;

    append_made(f, 7000);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        size_t c = i % (sizeof cases / sizeof cases[0]);
        struct fm_buf value = FM_BUF_INIT(0);
        struct fm_predicate term = {
            .field_id = 1, .op = cases[c].op, .value_count = 1, .values = &value};
        struct fm_predicate_list predicates = {.count = 1, .terms = &term};
        struct fm_scan_options options = {.domain = "tests",
                                          .table = "rows",
                                          .field_count = 1,
                                          .fields = fields,
                                          .predicates = &predicates};
        struct fm_store_mapping mapping;

        fm_buf_put_u64(&value, (uint64_t)cases[c].value);
        assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
        assert_null(mapping.rest);
        assert_int_equal(mapping.segment_count, 1);
        assert_int_equal(mapping.segments[0].left_out, cases[c].left_out);
        check_mapped(f, snapshot, f->model.count, &options.at, &predicates);
        fm_store_mapping_deinit(&mapping);
        fm_buf_free(&value);
    }
    fm_snapshot_free(snapshot);
}

/* Two terms that no block satisfies together, though the segment might: it is not mapped. */
static void test_mapping_of_no_block(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fields[] = {0};
    struct fm_buf low = FM_BUF_INIT(0), high = FM_BUF_INIT(0);
    struct fm_predicate terms[] = {
        {.field_id = 1, .op = FM_OP_LT, .value_count = 1, .values = &low},
        {.field_id = 1, .op = FM_OP_GE, .value_count = 1, .values = &high}};
    struct fm_predicate_list predicates = {.count = 2, .terms = terms};
    struct fm_scan_options options = {.domain = "tests",
                                      .table = "rows",
                                      .field_count = 1,
                                      .fields = fields,
                                      .predicates = &predicates};
    struct fm_store_mapping mapping;
    struct fm_snapshot *snapshot = NULL;

    append_made(f, 7000);
    fm_buf_put_u64(&low, 2000);
    fm_buf_put_u64(&high, 5000);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(fm_snapshot_map(snapshot, &options, &mapping, &f->err), FM_OK);
    assert_null(mapping.rest);
    assert_int_equal(mapping.segment_count, 0);
    fm_store_mapping_deinit(&mapping);
    fm_snapshot_free(snapshot);
    fm_buf_free(&low);
    fm_buf_free(&high);
}

/* Keys within one append, in one of several pieces, and over appends: the last one counts. */
static void test_latest_of_each_key(void **state)
{
    struct fixture *f = *state;
    struct fm_table_info info;

    for (int round = 0; round < 4; round++) {
        append(f, round % 2 == 0 ? 40 : 3000, 20);
        reopen(f);
        info = rows_info(f->store);
        assert_int_equal(info.rows_latest, round == 0 ? info.rows_latest : 20);
        fm_schema_free(info.schema);
    }
    rows_read(f->store, &f->read);
    assert_int_equal(f->read.count, 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_KEYED(name) cmocka_unit_test_setup_teardown(name, setup_keyed, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_random_history),
        TEST_KEYED(test_random_history_of_few_keys),
        TEST_KEYED(test_random_history_of_many_keys),
        TEST(test_sealed_runs),
        TEST_KEYED(test_sealed_runs),
        TEST(test_sealed_texts_keep_their_codes),
        TEST(test_row_limits),
        TEST(test_batch_sizes),
        TEST(test_bad_options),
        TEST(test_dictionaries),
        TEST_KEYED(test_mapping_and_rest),
        TEST(test_mapping_without_rest),
        TEST(test_mapping_of_blocks),
        TEST(test_mapping_of_no_block),
        TEST_KEYED(test_selection_follows_the_table),
        TEST_KEYED(test_latest_of_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
