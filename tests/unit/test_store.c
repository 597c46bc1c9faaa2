/* The store as its users see it: what was acknowledged is there, in order, once, with the right
 * root; what was refused left nothing. */
#include "tests/support/store_support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LARGE_ROWS 5000u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[LARGE_ROWS];
    struct row_list read;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(0);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    for (uint32_t i = 0; i < LARGE_ROWS; i++)
        f->rows[i] = row_make(i);
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

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* The table holds the first `count` rows of the fixture, and says so. */
static void assert_holds(struct fixture *f, size_t count, const struct fm_hash *root)
{
    struct fm_table_info info = rows_info(f->store);

    assert_int_equal(info.size, count);
    assert_int_equal(info.rows_latest, count);
    if (root != NULL)
        assert_true(fm_hash_equal(&info.root, root));
    fm_schema_free(info.schema);
    row_list_free(&f->read);
    rows_read(f->store, &f->read);
    assert_int_equal(f->read.count, count);
    rows_assert_equal(f->read.rows, f->rows, count);
}

static uint64_t size_of(struct fixture *f)
{
    struct fm_table_info info = rows_info(f->store);

    fm_schema_free(info.schema);
    return info.size;
}

/* ---- Appends --------------------------------------------------------------------------------- */

/* A new table is empty; its root is that of the empty tree, also after a reopening. */
static void test_new_table_is_empty(void **state)
{
    struct fixture *f = *state;
    struct fm_hash empty;

    fm_sha256_one(&empty, fm_span(NULL, 0));
    assert_holds(f, 0, &empty);
    reopen(f);
    assert_holds(f, 0, &empty);
}

/* Small, large and small again: after each, before and after a reopening, everything is there. */
static void test_appends_survive_reopening(void **state)
{
    static const size_t ends[] = {1, 10, 2058, 4700, 4701, 5000};
    struct fixture *f = *state;
    size_t at = 0;

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct fm_appended appended;

        rows_append(f->store, f->schema, f->rows + at, ends[i] - at, &appended);
        assert_int_equal(appended.first_sequence, at);
        assert_int_equal(appended.size, ends[i]);
        assert_int_equal(appended.durability, FM_DURABLE_FSYNC);
        at = ends[i];
        assert_holds(f, at, &appended.root);
        reopen(f);
        assert_holds(f, at, &appended.root);
    }
    struct fm_table_info info = rows_info(f->store);
    assert_int_equal(info.segment_count, 1);
    assert_int_equal(info.hot_rows, 5000 - (4700 - 2058));
    fm_schema_free(info.schema);
}

/* An append of no rows changes nothing. */
static void test_empty_append(void **state)
{
    struct fixture *f = *state;
    struct fm_appended before, after;

    rows_append(f->store, f->schema, f->rows, 5, &before);
    rows_append(f->store, f->schema, f->rows, 0, &after);
    assert_int_equal(after.size, 5);
    assert_true(fm_hash_equal(&before.root, &after.root));
    reopen(f);
    assert_holds(f, 5, &before.root);
}

/* RFC 6962 section 2.1, word for word. */
static void slow_root(const struct fm_hash *leaves, size_t count, struct fm_hash *out)
{
    struct fm_hash left, right;
    uint8_t bytes[65] = {0x01};
    size_t split = 1;

    if (count == 1) {
        *out = leaves[0];
        return;
    }
    while (split * 2 < count)
        split *= 2;
    slow_root(leaves, split, &left);
    slow_root(leaves + split, count - split, &right);
    memcpy(bytes + 1, left.bytes, 32);
    memcpy(bytes + 33, right.bytes, 32);
    fm_sha256_one(out, fm_span(bytes, sizeof bytes));
}

/* The leaf of one row, made from its values and what the acknowledgement says. */
static void slow_leaf(const struct fm_schema *schema, const struct row *row,
                      const struct fm_fact_header *header, struct fm_hash *out)
{
    struct fm_leaf_encoder_options options = {.schema = schema};
    struct fm_leaf_encoder *encoder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_buf leaf = FM_BUF_INIT(0);
    struct fm_batch batch;

    rows_batch(schema, row, 1, false, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_leaf_encoder_new(&options, &encoder), FM_OK);
    fm_buf_put_u8(&leaf, 0);
    assert_int_equal(fm_leaf_encode(encoder, header, &batch, NULL, 0, &leaf), FM_OK);
    fm_sha256_one(out, fm_buf_span(&leaf));
    fm_leaf_encoder_free(encoder);
    fm_buf_free(&bytes);
    fm_buf_free(&leaf);
}

/* The root is that of a tree made from the rows by other code, on the small and the large path. */
static void test_root_is_that_of_the_leaves(void **state)
{
    struct fixture *f = *state;
    struct fm_hash *leaves = calloc(LARGE_ROWS, sizeof *leaves);
    struct fm_append_options options = {
        .has_producer = true, .producer_id = "producer number", .has_trace = true};
    struct fm_appended appended;
    struct fm_hash root;

    memset(options.trace_id, 7, sizeof options.trace_id);
    for (size_t at = 0, count = 0; at < LARGE_ROWS; at += count) {
        count = at == 0 ? 3 : at == 3 ? 3000 : LARGE_ROWS - at;
        options.producer_sequence++;
        assert_int_equal(rows_append_with(f->store, f->schema, f->rows + at, count, &options,
                                          &appended, &f->err),
                         FM_OK);
        for (size_t i = at; i < at + count; i++) {
            struct fm_fact_header header = {
                .schema_version = 1,
                .sequence = i,
                .recorded_at = appended.recorded_at,
                .operation = FM_ASSERT,
                .has_producer = true,
                .producer_sequence = options.producer_sequence,
                .has_trace = true,
            };

            memcpy(header.producer_id, options.producer_id, 16);
            memcpy(header.trace_id, options.trace_id, 16);
            slow_leaf(f->schema, &f->rows[i], &header, &leaves[i]);
        }
        slow_root(leaves, at + count, &root);
        assert_true(fm_hash_equal(&root, &appended.root));
    }
    free(leaves);
}

/* Recorded times rise from append to append, whatever the clock does. */
static void test_recorded_times_rise(void **state)
{
    struct fixture *f = *state;
    struct fm_appended a, b;

    rows_append(f->store, f->schema, f->rows, 1, &a);
    for (size_t i = 1; i < 20; i++) {
        rows_append(f->store, f->schema, f->rows + i, 1, &b);
        assert_true(b.recorded_at > a.recorded_at);
        a = b;
        if (i == 10)
            reopen(f);
    }
}

/* Rows of an unsorted append are numbered in clustering order, small and large. */
static void test_rows_are_clustered(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *clustered = rows_schema(ROWS_CLUSTERED);
    struct fm_appended appended;

    (void)snprintf(clustered->table, sizeof clustered->table, "ordered");
    assert_int_equal(fm_store_define(f->store, clustered, 1, &f->err), FM_OK);
    for (size_t count = 100; count <= LARGE_ROWS; count += LARGE_ROWS - 100) {
        static const uint32_t fields[] = {1};
        struct fm_scan_options options = {
            .domain = "tests", .table = "ordered", .field_count = 1, .fields = fields};
        struct fm_snapshot *snapshot = NULL;
        struct fm_scan *scan = NULL;
        struct fm_buf bytes = FM_BUF_INIT(0);
        struct fm_columns columns = {0};
        const struct fm_dictionary *dictionary;
        struct fm_batch batch;
        struct fm_span before = {0};
        bool was_null = false;

        rows_append(f->store, clustered, f->rows, count, &appended);
        options.at = (struct fm_at){FM_AT_VERSION, (int64_t)appended.size};
        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        assert_int_equal(fm_snapshot_columns(snapshot, "tests", "ordered", &columns), FM_OK);
        dictionary = &columns.items[1].dictionary;
        assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_OK);
        for (uint64_t sequence = 0; fm_scan_next(scan, &bytes, &f->err) == FM_OK;
             fm_buf_clear(&bytes)) {
            assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, &dictionary, &batch),
                             FM_OK);
            for (uint32_t row = 0; row < batch.rows; row++, sequence++) {
                struct fm_span text = {0};
                bool is_null = fm_vector_is_null(&batch, batch.vectors, row);

                if (sequence == appended.first_sequence) {
                    was_null = false;
                    before = (struct fm_span){0};
                }
                if (sequence < appended.first_sequence)
                    continue;
                if (!is_null)
                    text = fm_vector_bytes(&batch, batch.vectors, dictionary, row);
                assert_true(!was_null || is_null);
                if (!is_null && before.len > 0)
                    assert_true(memcmp(before.data, text.data, text.len) <= 0);
                /* Texts of the dictionary outlive the batch. */
                before = text;
                was_null = is_null;
            }
        }
        fm_scan_free(scan);
        fm_columns_deinit(&columns);
        fm_snapshot_free(snapshot);
        fm_buf_free(&bytes);
    }
    fm_schema_free(clustered);
}

/* ---- Producers and expectations -------------------------------------------------------------- */

/* The same append twice is stored once and acknowledged alike; an older one is refused. */
static void test_repeated_append_is_acknowledged_once(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.has_producer = true, .producer_sequence = 7};
    struct fm_appended first, again;

    for (size_t count = 10; count <= 3000; count += 2990) {
        size_t before = (size_t)size_of(f);

        options.producer_sequence++;
        assert_int_equal(rows_append_with(f->store, f->schema, f->rows + before, count, &options,
                                          &first, &f->err),
                         FM_OK);
        for (int round = 0; round < 2; round++) {
            memset(&again, 0, sizeof again);
            assert_int_equal(
                rows_append_with(f->store, f->schema, f->rows, count, &options, &again, &f->err),
                FM_OK);
            assert_int_equal(again.first_sequence, before);
            assert_int_equal(again.rows, count);
            assert_int_equal(again.size, first.size);
            assert_int_equal(again.recorded_at, first.recorded_at);
            assert_true(fm_hash_equal(&again.root, &first.root));
            assert_holds(f, before + count, &first.root);
            reopen(f);
        }
    }
    options.producer_sequence = 3;
    assert_int_equal(rows_append_with(f->store, f->schema, f->rows, 1, &options, &again, &f->err),
                     FM_CONFLICT);
    options.producer_id[0] = 1; /* Another producer counts for itself. */
    assert_int_equal(rows_append_with(f->store, f->schema, f->rows, 1, &options, &again, &f->err),
                     FM_OK);
}

static struct fm_append *begin(struct fixture *f, const struct fm_append_options *options)
{
    struct fm_append_options ours = *options;
    struct fm_append *append = NULL;
    struct fm_appended first;
    bool done = false;

    ours.domain = "tests";
    ours.table = "rows";
    ours.schema_version = 1;
    assert_int_equal(fm_append_begin(f->store, &ours, &append, &done, &first, &f->err), FM_OK);
    assert_false(done);
    return append;
}

static enum fm_status put(struct fixture *f, struct fm_append *append, size_t first, uint32_t count)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    enum fm_status status;

    rows_batch(f->schema, f->rows + first, count, false, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    status = fm_append_rows(append, &batch, &f->err);
    fm_buf_free(&bytes);
    return status;
}

/* A retry that overtakes the first try: one is stored, both get the same acknowledgement. */
static void test_overtaking_retry(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.has_producer = true, .producer_sequence = 1};

    for (uint32_t count = 10; count <= 3000; count += 2990) {
        struct fm_append *a = begin(f, &options);
        struct fm_append *b = begin(f, &options);
        struct fm_appended first, second;
        size_t before = (size_t)size_of(f);

        assert_int_equal(put(f, b, before, count), FM_OK);
        assert_int_equal(fm_append_commit(b, &first, &f->err), FM_OK);
        assert_int_equal(put(f, a, before, count), FM_OK);
        assert_int_equal(fm_append_commit(a, &second, &f->err), FM_OK);
        assert_int_equal(second.first_sequence, first.first_sequence);
        assert_true(fm_hash_equal(&second.root, &first.root));
        assert_holds(f, before + count, &first.root);
        options.producer_sequence++;
    }
}

static void test_expected_size(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.has_expected = true, .expected_size = 0};
    struct fm_appended appended;

    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows, 3, &options, &appended, &f->err), FM_OK);
    for (size_t count = 1; count <= 2500; count += 2499) {
        assert_int_equal(
            rows_append_with(f->store, f->schema, f->rows + 3, count, &options, &appended, &f->err),
            FM_CONFLICT);
        assert_holds(f, 3, NULL);
    }
    options.expected_size = 3;
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows + 3, 2500, &options, &appended, &f->err),
        FM_OK);
    reopen(f);
    assert_holds(f, 2503, NULL);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

/* A batch of two rows of which the second lacks its required id. */
static enum fm_status put_without_id(struct fixture *f, struct fm_append *append)
{
    const struct fm_type *types[5];
    struct fm_batch_builder_options options = {.types = types, .column_count = 5};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    int64_t id = 4;
    enum fm_status status;

    for (uint32_t i = 0; i < 5; i++)
        types[i] = &f->schema->fields[i].type;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_fixed(builder, 0, &id), FM_OK);
    assert_int_equal(fm_batch_put_null(builder, 0), FM_OK);
    for (uint32_t i = 2; i < 10; i++)
        assert_int_equal(fm_batch_put_null(builder, i / 2), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &bytes), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    status = fm_append_rows(append, &batch, &f->err);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
    return status;
}

/* The refusal names row and column over the whole append; nothing is stored, not even of a large
 * append whose first segments were staged. */
static void test_missing_value_is_refused_as_a_whole(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {0};

    for (uint32_t count = 10; count <= 5000; count += 4990) {
        struct fm_append *append = begin(f, &options);
        struct fm_appended appended;
        char row[32];

        assert_int_equal(put(f, append, 0, count), FM_OK);
        assert_int_equal(put_without_id(f, append), FM_INVALID);
        (void)snprintf(row, sizeof row, "row %u:", count + 2);
        assert_non_null(strstr(f->err.text, row));
        assert_non_null(strstr(f->err.text, "`id`"));
        assert_int_equal(fm_append_commit(append, &appended, &f->err), FM_INVALID);
        assert_holds(f, 0, NULL);
        reopen(f);
        assert_holds(f, 0, NULL);
    }
    rows_append(f->store, f->schema, f->rows, LARGE_ROWS, NULL);
    assert_holds(f, LARGE_ROWS, NULL);
}

/* Text that is no value of the enum is refused with row and column. */
static void test_unknown_enum_value(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {0};
    struct fm_append *append = begin(f, &options);
    struct fm_type other = {0};
    const struct fm_type *types[5];
    struct fm_batch_builder_options building = {.types = types, .column_count = 5};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    int64_t id = 4;

    for (uint32_t i = 0; i < 5; i++)
        types[i] = &f->schema->fields[i].type;
    assert_int_equal(fm_type_parse(fm_span_str("enum('ugly')"), &other, &f->err), FM_OK);
    types[4] = &other;
    assert_int_equal(fm_batch_builder_new(&building, &builder), FM_OK);
    assert_int_equal(fm_batch_put_fixed(builder, 0, &id), FM_OK);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(fm_batch_put_null(builder, i), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 4, fm_span_str("ugly")), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &bytes), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_append_rows(append, &batch, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "row 1: `ugly`"));
    assert_non_null(strstr(f->err.text, "`mood`"));
    fm_append_abort(append);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
    fm_type_deinit(&other);
    assert_holds(f, 0, NULL);
}

static void test_wrong_columns_and_versions(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.domain = "tests", .table = "rows", .schema_version = 2};
    struct fm_schema *other = rows_schema(ROWS_V2);
    struct fm_append *append = NULL;
    struct fm_appended appended;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    bool done;

    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &appended, &f->err),
                     FM_CONFLICT);
    options.table = "nothing";
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &appended, &f->err),
                     FM_NOTFOUND);
    rows_batch(other, f->rows, 3, true, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    options = (struct fm_append_options){0};
    append = begin(f, &options);
    assert_int_equal(fm_append_rows(append, &batch, &f->err), FM_INVALID);
    fm_append_abort(append);
    fm_schema_free(other);
    fm_buf_free(&bytes);
    assert_holds(f, 0, NULL);
}

/* Aborted appends of any size leave nothing, and the next one gets their sequences. */
static void test_abort_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {0};

    for (uint32_t count = 1; count <= 5000; count = count * 70 + 1) {
        struct fm_append *append = begin(f, &options);

        assert_int_equal(put(f, append, 0, count), FM_OK);
        fm_append_abort(append);
        assert_holds(f, 0, NULL);
    }
    fm_append_abort(NULL);
    rows_append(f->store, f->schema, f->rows, 3000, NULL);
    reopen(f);
    assert_holds(f, 3000, NULL);
}

/* Below the free space that the store leaves, appends are refused and reading goes on. */
static void test_free_space_floor(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_append_options none = {0};
    struct fm_appended appended;

    rows_append(f->store, f->schema, f->rows, 4, NULL);
    fm_store_close(f->store);
    options.free_bytes_min = UINT64_MAX / 2;
    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows + 4, 1, &none, &appended, &f->err), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "free space"));
    assert_holds(f, 4, NULL);
}

/* When the slots cannot be written nobody knows what is stored: every later write is refused until
 * the store is opened again, and then it holds together. */
static void test_failed_sync_poisons(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options none = {0};
    struct fm_appended appended;
    char path[STORE_DIR_MAX + 16], link[64], target[STORE_DIR_MAX + 16];
    int found = -1, kept, null;

    rows_append(f->store, f->schema, f->rows, 4, NULL);
    (void)snprintf(path, sizeof path, "%s/slots", f->dir);
    for (int fd = 3; fd < 256 && found < 0; fd++) {
        ssize_t len;

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        len = readlink(link, target, sizeof target - 1);
        if (len > 0 && (size_t)len == strlen(path) && memcmp(target, path, (size_t)len) == 0)
            found = fd;
    }
    assert_true(found >= 0);
    kept = dup(found);
    null = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_true(kept >= 0 && null >= 0);
    assert_int_equal(dup2(null, found), found);
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows + 4, 1, &none, &appended, &f->err), FM_IO);
    assert_int_equal(dup2(kept, found), found);
    assert_int_equal(
        rows_append_with(f->store, f->schema, f->rows + 4, 1, &none, &appended, &f->err), FM_IO);
    assert_int_equal(fm_store_put_record(f->store, fm_span_str("k"), fm_span_str("v"), &f->err),
                     FM_IO);
    assert_holds(f, 4, NULL);
    (void)close(kept);
    (void)close(null);
    reopen(f);
    assert_true(size_of(f) == 4 || size_of(f) == 5);
    assert_holds(f, (size_t)size_of(f), NULL);
    rows_append(f->store, f->schema, f->rows + size_of(f), 10, NULL);
}

/* ---- Definitions ----------------------------------------------------------------------------- */

static void test_definitions(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *again = rows_schema(0);
    struct fm_schema *keyed = rows_schema(ROWS_KEYED);
    struct fm_schema *next = rows_schema(ROWS_V2);
    struct fm_table_info info;

    assert_int_equal(fm_store_define(f->store, again, 1, &f->err), FM_OK);
    assert_int_equal(fm_store_define(f->store, keyed, 1, &f->err), FM_CONFLICT);
    again->version = 2;
    again->fields[2].type.kind = FM_KIND_INT64;
    assert_int_equal(fm_store_define(f->store, again, 1, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "`value`"));
    rows_append(f->store, f->schema, f->rows, 1, NULL);
    keyed->version = 2;
    assert_int_equal(fm_store_define(f->store, keyed, 1, &f->err), FM_INVALID);
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_OK);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    assert_int_equal(fm_store_define(f->store, next, 3, &f->err), FM_OK);
    assert_int_equal(fm_store_define(f->store, next, 2, &f->err), FM_CONFLICT);
    for (int round = 0; round < 2; round++) {
        info = rows_info(f->store);
        assert_int_equal(info.schema->version, 2);
        assert_int_equal(info.epoch, 3);
        fm_schema_free(info.schema);
        reopen(f);
    }
    fm_schema_free(again);
    fm_schema_free(keyed);
    fm_schema_free(next);
}

/* Rows of an older version read with NULL where they lack a field, from segments and hot values. */
static void test_older_rows_lack_new_fields(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *next = rows_schema(ROWS_V2);
    static const uint32_t fields[] = {0, 1};

    rows_append(f->store, f->schema, f->rows, 10, NULL);
    rows_append(f->store, f->schema, f->rows + 10, 3000, NULL);
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_OK);
    rows_append(f->store, next, f->rows + 3010, 5, NULL);
    for (int round = 0; round < 3; round++) { /* Hot, sealed, opened again. */
        struct fm_scan_options options = {
            .domain = "tests", .table = "rows", .field_count = 2, .fields = fields};
        struct fm_snapshot *snapshot = NULL;
        struct fm_scan *scan = NULL;
        struct fm_buf bytes = FM_BUF_INIT(0);
        struct fm_columns columns = {0};
        const struct fm_dictionary *dictionaries[2] = {0};
        uint64_t sequence = 0;

        assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
        assert_int_equal(fm_snapshot_columns(snapshot, "tests", "rows", &columns), FM_OK);
        assert_string_equal(columns.items[0].name, "extra");
        assert_int_equal(columns.items[0].dictionary.count, 1);
        dictionaries[0] = &columns.items[0].dictionary;
        assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_OK);
        while (fm_scan_next(scan, &bytes, &f->err) == FM_OK) {
            struct fm_batch batch;

            assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, dictionaries, &batch),
                             FM_OK);
            for (uint32_t row = 0; row < batch.rows; row++, sequence++) {
                int64_t id = -1;

                assert_int_equal(fm_vector_is_null(&batch, &batch.vectors[0], row),
                                 sequence < 3010);
                fm_vector_fixed(&batch, &batch.vectors[1], row, &id);
                assert_int_equal(id, sequence);
            }
            fm_buf_clear(&bytes);
        }
        assert_int_equal(sequence, 3015);
        fm_scan_free(scan);
        fm_columns_deinit(&columns);
        fm_snapshot_free(snapshot);
        fm_buf_free(&bytes);
        assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        if (round == 1)
            reopen(f);
    }
    fm_schema_free(next);
}

/* ---- Records --------------------------------------------------------------------------------- */

static enum fm_status count_record(void *context, struct fm_span key, struct fm_span value)
{
    size_t *count = context;

    assert_true(key.len == 4);
    assert_true(fm_span_equal(value, fm_span_str("value")) || value.len == 0);
    (*count)++;
    return FM_OK;
}

static enum fm_status stop_at_once(void *context, struct fm_span key, struct fm_span value)
{
    (void)context;
    (void)key;
    (void)value;
    return FM_CANCELLED;
}

static void test_records(void **state)
{
    struct fixture *f = *state;
    struct fm_buf value = FM_BUF_INIT(0);

    for (int round = 0; round < 3; round++) {
        size_t count = 0;

        assert_int_equal(
            fm_store_put_record(f->store, fm_span_str("ab/1"), fm_span_str("value"), &f->err),
            FM_OK);
        assert_int_equal(
            fm_store_put_record(f->store, fm_span_str("ab/2"), fm_span(NULL, 0), &f->err), FM_OK);
        assert_int_equal(
            fm_store_put_record(f->store, fm_span_str("ac/2"), fm_span_str("value"), &f->err),
            FM_OK);
        reopen(f);
        fm_buf_clear(&value);
        assert_int_equal(fm_store_get_record(f->store, fm_span_str("ab/1"), &value), FM_OK);
        assert_true(fm_span_equal(fm_buf_span(&value), fm_span_str("value")));
        assert_int_equal(fm_store_get_record(f->store, fm_span_str("ab"), &value), FM_NOTFOUND);
        assert_int_equal(fm_store_each_record(f->store, fm_span_str("ab/"), count_record, &count),
                         FM_OK);
        assert_int_equal(count, 2);
        assert_int_equal(fm_store_each_record(f->store, fm_span(NULL, 0), count_record, &count),
                         FM_OK);
        assert_int_equal(count, 5);
        assert_int_equal(fm_store_each_record(f->store, fm_span(NULL, 0), stop_at_once, NULL),
                         FM_CANCELLED);
    }
    assert_int_equal(fm_store_put_record(f->store, fm_span(NULL, 0), fm_span_str("value"), &f->err),
                     FM_LIMIT);
    fm_buf_free(&value);
}

/* Facts with personal fields: the root needs the table's key, which survives a reopening. */
static void test_commitments(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *secret = rows_schema(ROWS_SECRET);

    (void)snprintf(secret->table, sizeof secret->table, "secret");
    assert_int_equal(fm_store_define(f->store, secret, 1, &f->err), FM_OK);
    rows_append(f->store, secret, f->rows, 10, NULL);
    reopen(f);
    rows_append(f->store, secret, f->rows, 3000, NULL);
    fm_schema_free(secret);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_new_table_is_empty),
        TEST(test_appends_survive_reopening),
        TEST(test_empty_append),
        TEST(test_root_is_that_of_the_leaves),
        TEST(test_recorded_times_rise),
        TEST(test_rows_are_clustered),
        TEST(test_repeated_append_is_acknowledged_once),
        TEST(test_overtaking_retry),
        TEST(test_expected_size),
        TEST(test_missing_value_is_refused_as_a_whole),
        TEST(test_unknown_enum_value),
        TEST(test_wrong_columns_and_versions),
        TEST(test_abort_leaves_nothing),
        TEST(test_free_space_floor),
        TEST(test_failed_sync_poisons),
        TEST(test_definitions),
        TEST(test_older_rows_lack_new_fields),
        TEST(test_records),
        TEST(test_commitments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
