/* All types through the engine and back: what SELECT gives is what the slot held, value by value in
 * canonical bytes, mapped and streamed, encoded and plain. */
#include "query/engine.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define ROWS 5000u

static const char *const type_texts[] = {
    "boolean",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "hugeint",
    "float",
    "double",
    "decimal(4,1)",
    "decimal(9,2)",
    "decimal(18,0)",
    "decimal(38,10)",
    "varchar",
    "blob",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "enum('b','a','c d')",
    "json",
    "list(int32)",
    "list(varchar)",
    "list(list(int16))",
    "struct(a int32, \"b c\" varchar)",
    "map(varchar, int64)",
    "struct(x list(struct(y varchar, z enum('q','p'))), m map(int32, list(double)))",
};
#define TYPES (sizeof type_texts / sizeof *type_texts)

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_columns columns;
    struct fm_buf batch; /* All columns. */
    bool given;
    uint64_t random;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = WORKER, .threads = 2};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    f->random = 20261120;
    f->columns.items = calloc(TYPES, sizeof *f->columns.items);
    assert_non_null(f->columns.items);
    for (uint32_t i = 0; i < TYPES; i++) {
        struct fm_column *column = &f->columns.items[i];
        (void)snprintf(column->name, sizeof column->name, "c%u", i);
        if (fm_type_parse(fm_span_str(type_texts[i]), &column->type, &f->err) != FM_OK)
            fail_msg("%s: %s", type_texts[i], f->err.text);
        f->columns.count = i + 1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    fm_columns_deinit(&f->columns);
    fm_buf_free(&f->batch);
    free(f);
    return 0;
}

/* ---- Random values --------------------------------------------------------------------------- */

static uint64_t next_random(struct fixture *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static uint64_t below(struct fixture *f, uint64_t limit)
{
    return next_random(f) % limit;
}

static void put_text(struct fixture *f, struct fm_buf *out, uint64_t max)
{
    static const char *const pieces[] = {"a", "é", "\xf0\x9f\x90\xb4", "'", "\"", "\n", "xyz"};
    struct fm_buf text = FM_BUF_INIT(0);
    for (uint64_t i = below(f, max); i > 0; i--)
        fm_buf_put_str(&text, pieces[below(f, 7)]);
    fm_buf_put_uvarint(out, text.len);
    fm_buf_put_span(out, fm_buf_span(&text));
    fm_buf_free(&text);
}

static void put_bytes(struct fixture *f, struct fm_buf *out, size_t width)
{
    uint64_t bits[2] = {next_random(f), next_random(f)};
    if (below(f, 4) == 0)
        bits[0] = bits[1] = below(f, 2) * UINT64_MAX; /* 0 and -1. */
    fm_buf_put(out, bits, width);
}

static void put_integer(struct fm_buf *out, int64_t value, size_t width)
{
    int64_t words[2] = {value, value < 0 ? -1 : 0};
    fm_buf_put(out, words, width);
}

static void put_floating(struct fixture *f, struct fm_buf *out, enum fm_kind kind)
{
    static const double values[] = {0.0, -0.0, 1.5, -3e30, __builtin_inf()};
    double value = values[below(f, 5)];
    float narrow = (float)value;
    bool nan = below(f, 5) == 0;
    if (kind == FM_KIND_FLOAT)
        fm_buf_put_u32(out, nan ? 0x7fc00000u : 0);
    else
        fm_buf_put_u64(out, nan ? UINT64_C(0x7ff8000000000000) : 0);
    if (nan)
        return;
    if (kind == FM_KIND_FLOAT)
        memcpy(out->data + out->len - 4, &narrow, 4);
    else
        memcpy(out->data + out->len - 8, &value, 8);
}

static void put_value(struct fixture *f, struct fm_buf *out, const struct fm_type *type);

static void put_optional(struct fixture *f, struct fm_buf *out, const struct fm_type *type)
{
    bool present = below(f, 5) != 0;
    fm_buf_put_u8(out, present);
    if (present)
        put_value(f, out, type);
}

static void put_map(struct fixture *f, struct fm_buf *out, const struct fm_type *type)
{
    /* Two entries whose keys sort: "" and "k", 1 and 2. */
    uint64_t count = below(f, 3);
    fm_buf_put_uvarint(out, count);
    for (uint64_t i = 0; i < count; i++) {
        if (type->children[0].kind == FM_KIND_INT32) {
            fm_buf_put_u32(out, (uint32_t)i + 1);
        } else {
            fm_buf_put_uvarint(out, i);
            fm_buf_put(out, "k", i);
        }
        put_optional(f, out, &type->children[1]);
    }
}

static void put_nested(struct fixture *f, struct fm_buf *out, const struct fm_type *type)
{
    if (type->kind == FM_KIND_MAP) {
        put_map(f, out, type);
        return;
    }
    uint64_t count = type->kind == FM_KIND_LIST ? below(f, 4) : type->child_count;
    if (type->kind == FM_KIND_LIST)
        fm_buf_put_uvarint(out, count);
    for (uint64_t i = 0; i < count; i++)
        put_optional(f, out, &type->children[type->kind == FM_KIND_LIST ? 0 : i]);
}

static void put_value(struct fixture *f, struct fm_buf *out, const struct fm_type *type)
{
    static const char json[] = "\x0e{\"a\": [1, 2] }";
    struct fm_span label;

    switch (type->kind) {
    case FM_KIND_BOOLEAN:
        fm_buf_put_u8(out, (uint8_t)below(f, 2));
        break;
    case FM_KIND_FLOAT:
    case FM_KIND_DOUBLE:
        put_floating(f, out, type->kind);
        break;
    case FM_KIND_DECIMAL:
        put_integer(out, (int64_t)below(f, 19999) - 9999, 16);
        break;
    case FM_KIND_TIME:
        put_integer(out, (int64_t)below(f, UINT64_C(86400000000)), 8);
        break;
    case FM_KIND_VARCHAR:
    case FM_KIND_BLOB:
        put_text(f, out, 20);
        break;
    case FM_KIND_JSON:
        fm_buf_put(out, json, sizeof json - 1);
        break;
    case FM_KIND_ENUM:
        label = fm_span_str(type->labels[below(f, type->label_count)]);
        fm_buf_put_uvarint(out, label.len);
        fm_buf_put_span(out, label);
        break;
    case FM_KIND_LIST:
    case FM_KIND_STRUCT:
    case FM_KIND_MAP:
        put_nested(f, out, type);
        break;
    default:
        put_bytes(f, out, fm_type_width(type));
    }
}

static void fill_batch(struct fixture *f, uint32_t first, uint32_t count, bool encode)
{
    struct fm_batch_builder *builder = NULL;
    const struct fm_type *types[TYPES];
    struct fm_buf value = FM_BUF_INIT(0);

    for (uint32_t i = 0; i < count; i++)
        types[i] = &f->columns.items[first + i].type;
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = encode};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t row = 0; row < ROWS; row++) {
            fm_buf_clear(&value);
            put_value(f, &value, types[i]);
            struct fm_cursor cursor = fm_cursor(fm_buf_span(&value));
            bool null = below(f, 6) == 0 || row == 0;
            enum fm_status status =
                null ? fm_batch_put_null(builder, i) : fm_batch_put_canonical(builder, i, &cursor);
            if (status != FM_OK)
                fail_msg("%s: %s", type_texts[first + i], fm_status_text(status));
        }
    fm_buf_align(&f->batch, 8);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &f->batch), FM_OK);
    fm_batch_builder_free(builder);
    fm_buf_free(&value);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void value_of(const struct fm_batch *batch, uint32_t column, const struct fm_type *type,
                     uint32_t row, struct fm_buf *out)
{
    const struct fm_vector_entry *vector = &batch->vectors[column];
    fm_buf_clear(out);
    if (fm_vector_is_null(batch, vector, row))
        fm_buf_put_str(out, "null");
    else
        assert_int_equal(fm_vector_canonical(batch, vector, type, NULL, row, out), FM_OK);
}

static void compare(struct fixture *f, const struct fm_batch *sent, uint32_t sent_column,
                    uint32_t first_row, const struct fm_batch *got, uint32_t got_column,
                    uint32_t type)
{
    struct fm_buf a = FM_BUF_INIT(0), b = FM_BUF_INIT(0);

    for (uint32_t row = 0; row < got->rows; row++) {
        value_of(sent, sent_column, &f->columns.items[type].type, first_row + row, &a);
        value_of(got, got_column, &f->columns.items[type].type, row, &b);
        if (!fm_span_equal(fm_buf_span(&a), fm_buf_span(&b)))
            fail_msg("%s, row %u", type_texts[type], first_row + row);
    }
    fm_buf_free(&a);
    fm_buf_free(&b);
}

/* Read `sql` with one thread, so in order, and compare column by column with `sent`. */
static void select_and_compare(struct fixture *f, const char *sql, const struct fm_batch *sent,
                               uint32_t first, uint32_t count)
{
    struct fm_columns columns = {0};
    struct fm_buf buf = FM_BUF_INIT(0);
    struct fm_run_options options = {.single_thread = true};
    struct fm_batch got;
    uint32_t rows = 0;
    enum fm_status status;

    if (fm_worker_run(f->worker, fm_span_str(sql), &options, &columns, &f->err) != FM_OK)
        fail_msg("%s: %s", type_texts[first], f->err.text);
    assert_int_equal(columns.count, count);
    for (uint32_t i = 0; i < count; i++)
        if (!fm_type_equal(&columns.items[i].type, &f->columns.items[first + i].type))
            fail_msg("%s has another type", type_texts[first + i]);
    while ((status = fm_worker_next(f->worker, &buf, &f->err)) == FM_OK) {
        assert_int_equal(fm_batch_view_trusted(fm_buf_span(&buf), &got), FM_OK);
        for (uint32_t i = 0; i < count; i++)
            compare(f, sent, i, rows, &got, i, first + i);
        rows += got.rows;
        fm_buf_clear(&buf);
    }
    if (status != FM_NOTFOUND)
        fail_msg("%s", f->err.text);
    assert_int_equal(rows, sent->rows);
    fm_buf_free(&buf);
    fm_columns_deinit(&columns);
}

static enum fm_status give_once(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fixture *f = context;
    (void)err;
    if (f->given)
        return FM_NOTFOUND;
    f->given = true;
    fm_buf_put_span(batch, fm_buf_span(&f->batch));
    return fm_buf_status(batch);
}

static void stream_all(struct fixture *f, bool encode)
{
    uint32_t supplied[TYPES];
    struct fm_batch sent;
    struct fm_batch_source source = {f, give_once};

    for (uint32_t i = 0; i < TYPES; i++)
        supplied[i] = i;
    struct fm_slot slot = {.columns = &f->columns,
                           .rows = ROWS,
                           .supplied_count = TYPES,
                           .supplied = supplied,
                           .source = &source};
    fm_buf_clear(&f->batch);
    f->given = false;
    fill_batch(f, 0, TYPES, encode);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->batch), &sent), FM_OK);
    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err),
                     FM_OK);
    if (fm_worker_set_slots(f->worker, &slot, 1, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    select_and_compare(f, "SELECT * FROM fm_scan(0)", &sent, 0, TYPES);
    fm_worker_free(f->worker);
    f->worker = NULL;
}

static void streamed(void **state)
{
    stream_all(*state, true);
    stream_all(*state, false);
}

/* Bits of rows that count, behind a batch in f->batch: few of them, many, or most; and the batch of
 * those rows alone. */
static struct fm_mapped_column choose_rows(struct fixture *f, const struct fm_batch *sent,
                                           uint32_t type, struct fm_buf *chosen)
{
    const struct fm_type *one = &f->columns.items[type].type;
    struct fm_batch_builder_options options = {.types = &one, .column_count = 1};
    struct fm_batch_builder *builder = NULL;
    uint64_t words[(ROWS + 63) / 64] = {0};
    uint32_t share = (uint32_t)(1 + below(f, 8) * (1 + below(f, 30)));
    bool few = below(f, 2) == 0;

    for (uint32_t row = 0; row < ROWS; row++)
        if ((below(f, share) == 0) == few)
            words[row / 64] |= UINT64_C(1) << (row % 64);
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_rows(builder, 0, sent, 0, NULL, 0, ROWS, words), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, chosen), FM_OK);
    fm_batch_builder_free(builder);
    fm_buf_align(&f->batch, 8);
    struct fm_mapped_column at = {0, f->batch.len};
    fm_buf_put(&f->batch, words, sizeof words);
    return at;
}

static void map_one(struct fixture *f, uint32_t type, bool encode, bool choose)
{
    static const uint32_t supplied[1] = {0};
    struct fm_columns one = {1, &f->columns.items[type], NULL};
    struct fm_batch sent;
    struct fm_mapped_column cell = {0, 0};
    struct fm_mapped_segment segment = {.rows = ROWS, .columns = &cell};
    struct fm_mapped_column selection;
    struct fm_buf chosen = FM_BUF_INIT(0);
    int fd = memfd_create("arena", MFD_CLOEXEC);

    fm_buf_clear(&f->batch);
    fill_batch(f, type, 1, encode);
    fm_buf_put_span(&chosen, fm_buf_span(&f->batch));
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&chosen), &sent), FM_OK);
    if (choose) {
        struct fm_buf all = chosen;
        chosen = FM_BUF_INIT(0);
        selection = choose_rows(f, &sent, type, &chosen);
        segment.selection = &selection;
        assert_int_equal(fm_batch_view_trusted(fm_buf_span(&chosen), &sent), FM_OK);
        fm_buf_free(&all);
    }
    assert_int_equal(write(fd, f->batch.data, f->batch.len), f->batch.len);
    struct fm_arena arena = {fd, f->batch.len};
    struct fm_slot slot = {.columns = &one,
                           .rows = ROWS,
                           .supplied_count = 1,
                           .supplied = supplied,
                           .arena_count = 1,
                           .arenas = &arena,
                           .segment_count = 1,
                           .segments = &segment};
    if (fm_worker_set_slots(f->worker, &slot, 1, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    select_and_compare(f, "SELECT * FROM fm_scan(0)", &sent, type, 1);
    /* Values that went through DuckDB's own memory. */
    select_and_compare(
        f,
        "SELECT v FROM (SELECT row_number() OVER () AS n, * FROM fm_scan(0)) t(n, v) "
        "ORDER BY n",
        &sent, type, 1);
    fm_buf_free(&chosen);
    close(fd);
}

static void mapped(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err),
                     FM_OK);
    for (uint32_t i = 0; i < TYPES; i++) {
        map_one(f, i, true, false);
        map_one(f, i, false, false);
    }
}

/* Of each type, only rows that a selection shows. */
static void mapped_and_selected(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err),
                     FM_OK);
    for (uint32_t i = 0; i < TYPES; i++) {
        for (int round = 0; round < 4; round++)
            map_one(f, i, round % 2 == 0, true);
    }
}

/* ---- Types that only results have ------------------------------------------------------------ */

static void expect_column(struct fixture *f, const char *sql, const char *type, const char *hex)
{
    struct fm_columns columns = {0};
    struct fm_buf buf = FM_BUF_INIT(0), text = FM_BUF_INIT(0), value = FM_BUF_INIT(0);
    struct fm_batch got;
    char digits[200] = {0};

    if (fm_worker_run(f->worker, fm_span_str(sql), NULL, &columns, &f->err) != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    fm_type_print(&text, &columns.items[0].type);
    fm_buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data, type);
    if (fm_worker_next(f->worker, &buf, &f->err) != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&buf), &got), FM_OK);
    value_of(&got, 0, &columns.items[0].type, 0, &value);
    fm_hex(value.data, value.len, digits);
    assert_string_equal(digits, hex);
    fm_buf_clear(&buf);
    assert_int_equal(fm_worker_next(f->worker, &buf, &f->err), FM_NOTFOUND);
    fm_buf_free(&buf);
    fm_buf_free(&text);
    fm_buf_free(&value);
    fm_columns_deinit(&columns);
}

static void expect_unsupported(struct fixture *f, const char *sql, const char *name)
{
    struct fm_columns columns = {0};
    assert_int_equal(fm_worker_run(f->worker, fm_span_str(sql), NULL, &columns, &f->err),
                     FM_UNSUPPORTED);
    if (strstr(f->err.text, name) == NULL || strstr(f->err.text, "cast") == NULL ||
        strstr(f->err.text, "column 1, v") == NULL)
        fail_msg("%s", f->err.text);
}

static void types_of_results(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err),
                     FM_OK);
    expect_column(f, "SELECT NULL AS v", "int32", "6e756c6c");
    expect_column(f, "SELECT TIMESTAMP_S '1970-01-01 00:00:02' AS v", "timestamp",
                  "80841e0000000000");
    expect_column(f, "SELECT TIMESTAMP_MS '1970-01-01 00:00:00.003' AS v", "timestamp",
                  "b80b000000000000");
    expect_column(f, "SELECT TIMESTAMP_NS '1969-12-31 23:59:59.999999999' AS v", "timestamp",
                  "ffffffffffffffff");
    expect_column(f, "SELECT '{\"a\": 1}'::JSON AS v", "json", "087b2261223a20317d");
    expect_column(f, "SELECT 'b'::ENUM ('c', 'b') AS v", "enum('c','b')", "0162");
    expect_column(f, "SELECT uuid '00112233-4455-6677-8899-aabbccddeeff' AS v", "uuid",
                  "00112233445566778899aabbccddeeff");
    expect_column(f, "SELECT {'a': [1, NULL], 'b': NULL} AS v", "struct(a list(int32), b int32)",
                  "01020101000000000"
                  "0");
    expect_column(f, "SELECT sum(i) AS v FROM range(3) t(i)", "hugeint",
                  "03000000000000000000000000000000");
    expect_column(f, "SELECT 7 / 2 AS v", "int32", "03000000"); /* As PostgreSQL divides. */
    expect_unsupported(f, "SELECT 1::UHUGEINT AS v", "UHUGEINT");
    expect_unsupported(f, "SELECT '101'::BIT AS v", "BIT");
    expect_unsupported(f, "SELECT '10:00:00+01'::TIMETZ AS v", "TIMETZ");
    expect_unsupported(f, "SELECT [1, 2]::INTEGER[2] AS v", "ARRAY");
    expect_unsupported(f, "SELECT union_value(a := 1) AS v", "UNION");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(streamed), TEST(mapped), TEST(mapped_and_selected),
                                       TEST(types_of_results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
