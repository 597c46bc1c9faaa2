/* Files of rows through a worker: good ones come back as they are, each kind of bad one is refused
 * with the row and the column. */
#include "query/engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define FLIGHTS FM_DATA_DIR "/flights-3m.parquet"

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_schema *schema;
    struct fm_buf first; /* First batch of the last ingest. */
    uint64_t rows;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)1 << 30, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    fm_schema_free(f->schema);
    fm_buf_free(&f->first);
    free(f);
    return 0;
}

/* "name type, name! type, ...": `!` marks a required field, `^` one of the clustering key. */
static void use_schema(struct fixture *f, const char *const fields[][2], uint32_t count)
{
    struct fm_schema *schema = calloc(1, sizeof *schema);

    assert_non_null(schema);
    schema->fields = calloc(count, sizeof *schema->fields);
    assert_non_null(schema->fields);
    (void)snprintf(schema->domain, sizeof schema->domain, "flights");
    (void)snprintf(schema->table, sizeof schema->table, "delays");
    schema->version = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_field *field = &schema->fields[i];
        const char *name = fields[i][0];
        field->id = i + 1;
        for (; *name == '!' || *name == '^'; name++) {
            field->required |= *name == '!';
            if (*name == '^')
                schema->cluster[schema->cluster_count++] = (uint16_t)i;
        }
        (void)snprintf(field->name, sizeof field->name, "%s", name);
        if (fm_type_parse(fm_span_str(fields[i][1]), &field->type, &f->err) != FM_OK)
            fail_msg("%s", f->err.text);
        schema->field_count = i + 1;
    }
    fm_schema_free(f->schema);
    f->schema = schema;
}

#define USE(f, ...)                                                                                \
    do {                                                                                           \
        static const char *const fields_[][2] = {__VA_ARGS__};                                     \
        use_schema(f, fields_, sizeof fields_ / sizeof *fields_);                                  \
    } while (0)

static enum fm_status ingest_fd(struct fixture *f, enum fm_format format, int fd)
{
    struct fm_ingest_options options = {format, fd, f->schema};
    struct fm_buf batch = FM_BUF_INIT(0);

    fm_worker_free(f->worker);
    f->worker = NULL;
    f->rows = 0;
    fm_buf_free(&f->first);
    f->err.text[0] = '\0';
    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    enum fm_status status = fm_ingest_open(f->worker, &options, &f->err);
    while (status == FM_OK) {
        status = fm_ingest_next(f->worker, &batch, &f->err);
        if (status != FM_OK)
            break;
        f->rows += fm_load32(batch.data + 8);
        if (f->first.len == 0)
            fm_buf_put_span(&f->first, fm_buf_span(&batch));
        fm_buf_clear(&batch);
    }
    fm_buf_free(&batch);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status ingest_bytes(struct fixture *f, enum fm_format format, const void *bytes,
                                   size_t len)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    enum fm_status status = ingest_fd(f, format, fd);
    close(fd);
    return status;
}

static enum fm_status ingest_text(struct fixture *f, enum fm_format format, const char *text)
{
    return ingest_bytes(f, format, text, strlen(text));
}

static void expect_rows(struct fixture *f, enum fm_format format, const char *text, uint64_t rows)
{
    enum fm_status status = ingest_text(f, format, text);
    if (status != FM_OK)
        fail_msg("%s: %s", fm_status_text(status), f->err.text);
    assert_int_equal(f->rows, rows);
}

static void expect_fault(struct fixture *f, enum fm_format format, const char *text,
                         const char *part)
{
    enum fm_status status = ingest_text(f, format, text);
    if (status != FM_INVALID)
        fail_msg("%s: %s: %s", text, fm_status_text(status), f->err.text);
    if (strstr(f->err.text, part) == NULL)
        fail_msg("no '%s' in: %s", part, f->err.text);
    if (strstr(f->err.text, "/folkmoot") != NULL)
        fail_msg("a stand-in name in: %s", f->err.text);
}

/* Value of a column of the first batch as canonical bytes in hex, "null" for none. */
static void assert_value(struct fixture *f, uint32_t column, uint32_t row, const char *hex)
{
    struct fm_batch view;
    struct fm_buf bytes = FM_BUF_INIT(0);
    char text[256] = "null";

    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->first), &view), FM_OK);
    const struct fm_vector_entry *vector = &view.vectors[column];
    if (!fm_vector_is_null(&view, vector, row)) {
        assert_int_equal(
            fm_vector_canonical(&view, vector, &f->schema->fields[column].type, NULL, row, &bytes),
            FM_OK);
        assert_true(bytes.len < 100);
        fm_hex(bytes.data, bytes.len, text);
    }
    fm_buf_free(&bytes);
    assert_string_equal(text, hex);
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_values(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int32"}, {"name", "varchar"}, {"day", "date"}, {"ok", "boolean"},
        {"price", "decimal(9,2)"}, {"kind", "enum('b','a')"});
    /* Columns in another order; quotes, line breaks in them, empty and quoted empty text. */
    expect_rows(f, FM_FORMAT_CSV,
                "day,id,name,ok,price,kind\n"
                "2001-01-02,7,\"a, \"\"b\"\"\nc\",true,1.50,a\n"
                ",8,,false,,\n"
                "1970-01-01,-1,\"\",,-0.01,b\n",
                3);
    assert_value(f, 0, 0, "07000000");
    assert_value(f, 1, 0, "08612c202262220a63");
    assert_value(f, 2, 0, "3c2c0000");
    assert_value(f, 5, 0, "0161");
    assert_value(f, 1, 1, "null");
    assert_value(f, 2, 1, "null");
    assert_value(f, 1, 2, "00");
    assert_value(f, 4, 2, "ffffffffffffffffffffffffffffffff");
    /* A byte order mark, Windows line ends, no line end at the end, names in other case. */
    expect_rows(f, FM_FORMAT_CSV, "\xef\xbb\xbfID,Name\r\n1,x\r\n2,y", 2);
    assert_value(f, 1, 1, "0179");
    expect_rows(f, FM_FORMAT_CSV, "id,name\n", 0);
    expect_rows(f, FM_FORMAT_CSV, "id\n3.0\n1e2\n", 2);
    assert_value(f, 0, 1, "64000000");
}

static void csv_headers(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int32"}, {"name", "varchar"});
    expect_fault(f, FM_FORMAT_CSV, "id,nmae\n1,x\n",
                 "unknown column 'nmae'; expected columns: id, "
                 "name; found: id, nmae");
    expect_fault(f, FM_FORMAT_CSV, "name\nx\n", "lacks the required column 'id'");
    expect_fault(f, FM_FORMAT_CSV, "id,ID\n1,2\n", "two columns 'ID'");
    expect_fault(f, FM_FORMAT_CSV, "1,x\n2,y\n", "unknown column '1'");
    expect_fault(f, FM_FORMAT_CSV, "id;name\n1;x\n", "unknown column 'id;name'");
    expect_fault(f, FM_FORMAT_CSV, "\"id\n1\n", "no CSV header");
    expect_fault(f, FM_FORMAT_CSV, "\x7f\x45LF\x02\xff\xfe\x01", "no CSV header");
    expect_fault(f, FM_FORMAT_CSV, "", "empty");
    expect_fault(f, FM_FORMAT_CSV, "id,name\r1,x\r", "end with");
}

static void csv_faults(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int32"}, {"delay", "int16"});
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,5\n2,abc\n3,7\n",
                 "row 2, column delay: 'abc' is not an int16");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,5\n2,40000\n", "row 2, column delay: '40000' is");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,1.5\n",
                 "row 1, column delay: '1.5' is not an int16");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,5\n,6\n",
                 "row 2, column id: the value is missing, but the column is required");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,5,6\n", "Line: 2");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,5\n2\n", "Line: 3");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n1,\"5\n2,3\n", "Line: 2");
    expect_fault(f, FM_FORMAT_CSV, "id,delay\r\n1,5\r\n2,6\n3,7\r\n", "");
    USE(f, {"^id", "int32"}, {"!delay", "int16"});
    /* Sorted: the first of the file is told, not the first in order. */
    expect_fault(f, FM_FORMAT_CSV, "id,delay\n9,1\n8,x\n7,1\n1,y\n", "row 2, column delay: 'x'");
}

/* Rows beyond one chunk, and a fault far down. */
static void csv_long(void **state)
{
    struct fixture *f = *state;
    struct fm_buf text = FM_BUF_INIT(0);

    USE(f, {"!^id", "int32"}, {"name", "varchar"});
    fm_buf_put_str(&text, "id,name\n");
    for (int i = 0; i < 200000; i++)
        fm_buf_printf(&text, "%d,row number %d of many\n", 200000 - i, i);
    assert_int_equal(ingest_bytes(f, FM_FORMAT_CSV, text.data, text.len), FM_OK);
    assert_int_equal(f->rows, 200000);
    assert_value(f, 0, 0, "01000000");
    assert_value(f, 0, 1, "02000000");
    fm_buf_put_str(&text, "oops,x\n1,2\nlater,x\n");
    assert_int_equal(ingest_bytes(f, FM_FORMAT_CSV, text.data, text.len), FM_INVALID);
    assert_non_null(strstr(f->err.text, "row 200001, column id: 'oops'"));
    assert_int_equal(f->rows, 0);
    USE(f, {"!id", "int32"}, {"name", "varchar"});
    assert_int_equal(ingest_bytes(f, FM_FORMAT_CSV, text.data, text.len), FM_INVALID);
    assert_non_null(strstr(f->err.text, "row 200001, column id: 'oops'"));
    fm_buf_free(&text);
}

/* ---- NDJSON ---------------------------------------------------------------------------------- */

static void ndjson_values(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int64"}, {"name", "varchar"}, {"at", "timestamp"}, {"tags", "list(varchar)"},
        {"doc", "json"}, {"big", "uint64"});
    expect_rows(f, FM_FORMAT_NDJSON,
                "{\"id\": 1, \"name\": \"a\\nb\", \"at\": \"1970-01-01 00:00:01\", "
                "\"tags\": [\"x\", null], \"doc\": {\"k\": [1]}, \"big\": 18446744073709551615}\n"
                "{\"name\": null, \"id\": \"2\"}\n\n"
                "{\"id\":3}",
                3);
    assert_value(f, 0, 0, "0100000000000000");
    assert_value(f, 1, 0, "03610a62");
    assert_value(f, 2, 0, "40420f0000000000");
    assert_value(f, 3, 0, "0201017800");
    assert_value(f, 5, 0, "ffffffffffffffff");
    assert_value(f, 0, 1, "0200000000000000");
    assert_value(f, 4, 2, "null");
}

static void ndjson_faults(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int32"}, {"name", "varchar"}, {"tags", "list(int32)"});
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1}\n{\"id\":\"x\"}\n",
                 "row 2, column id: 'x' is not an int32");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1}\n{\"name\":\"x\"}\n",
                 "row 2, column id: the value is missing");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1}\n{\"id\":2,\"nmae\":1,\"name\":2}\n",
                 "row 2 has unknown columns: 'nmae'");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1}\n[2]\n", "row 2 is no JSON object: '[2]'");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1}\n{\"id\":\n", "alformed JSON");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1,\"tags\":[1,\"x\"]}\n", "row 1, column tags");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1.5}\n", "row 1, column id: '1.5' is not an int32");
    expect_fault(f, FM_FORMAT_NDJSON, "PAR1\x01\xff\x02", "");
}

/* ---- Columns of a fact's header -------------------------------------------------------------- */

/* Columns of the first batch behind the schema's. */
static struct fm_batch with_extras(struct fixture *f, uint16_t columns)
{
    struct fm_batch view;

    assert_int_equal(fm_batch_view(fm_buf_span(&f->first), NULL, 0, NULL, &view), FM_OK);
    assert_int_equal(view.column_count, columns);
    return view;
}

static void assert_op(const struct fm_batch *view, uint32_t column, uint32_t row, const char *text)
{
    struct fm_span op = fm_vector_bytes(view, &view->vectors[column], NULL, row);

    assert_false(fm_vector_is_null(view, &view->vectors[column], row));
    assert_true(fm_span_equal(op, fm_span_str(text)));
}

/* In any order of the file they come behind the schema's columns, and the rows stay in the file's
 * order though the table is clustered. */
static void header_columns_come_last(void **state)
{
    static const struct {
        enum fm_format format;
        const char *text;
    } files[] = {
        {FM_FORMAT_CSV, "_supersedes,id,_op,name,_event_time\n"
                        ",2,,b,2026-01-01T00:00:00Z\n7,1,retract,,\n8,1,correct,c,\n"},
        {FM_FORMAT_NDJSON, "{\"id\":2,\"name\":\"b\",\"_event_time\":\"2026-01-01T00:00:00Z\"}\n"
                           "{\"_op\":\"retract\",\"id\":1,\"_supersedes\":7}\n"
                           "{\"_op\":\"correct\",\"id\":1,\"name\":\"c\",\"_supersedes\":8}\n"},
    };
    struct fixture *f = *state;

    USE(f, {"!^id", "int32"}, {"!name", "varchar"});
    f->schema->key_count = 1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        uint64_t fact = 0;
        int64_t time = 0;

        expect_rows(f, files[i].format, files[i].text, 3);
        struct fm_batch view = with_extras(f, 5);
        assert_value(f, 0, 0, "02000000");
        assert_value(f, 0, 1, "01000000");
        assert_value(f, 1, 1, "null"); /* Required, but not of what takes back. */
        assert_true(fm_vector_is_null(&view, &view.vectors[2], 0));
        assert_op(&view, 2, 1, "retract");
        assert_op(&view, 2, 2, "correct");
        fm_vector_fixed(&view, &view.vectors[3], 0, &time);
        assert_int_equal(time, INT64_C(1767225600000000));
        assert_true(fm_vector_is_null(&view, &view.vectors[3], 1));
        fm_vector_fixed(&view, &view.vectors[4], 2, &fact);
        assert_int_equal(fact, 8);
    }
}

static void header_columns_are_checked(void **state)
{
    struct fixture *f = *state;

    USE(f, {"!id", "int32"}, {"!name", "varchar"});
    f->schema->key_count = 1;
    expect_fault(f, FM_FORMAT_CSV, "id,name,_op\n1,a,\n2,,assert\n",
                 "row 2, column name: the value is missing");
    expect_fault(f, FM_FORMAT_CSV, "id,name,_op\n,a,retract\n",
                 "row 1, column id: the value is missing");
    expect_fault(f, FM_FORMAT_CSV, "id,name,_event_time\n1,a,yesterday\n",
                 "row 1, column _event_time: 'yesterday' is not a timestamptz");
    expect_fault(f, FM_FORMAT_NDJSON, "{\"id\":1,\"name\":\"a\",\"_supersedes\":-1}\n",
                 "row 1, column _supersedes: '-1' is not an uint64");
    expect_fault(f, FM_FORMAT_CSV, "id,name,_seq\n1,a,3\n", "unknown column '_seq'");
    expect_rows(f, FM_FORMAT_CSV, "id,_op\n1,retract\n", 1); /* Nothing but retractions. */
    (void)with_extras(f, 3);
}

/* ---- Parquet --------------------------------------------------------------------------------- */

static void use_flights(struct fixture *f)
{
    USE(f, {"!date", "timestamp"}, {"delay", "int16"}, {"distance", "int16"},
        {"^!origin", "varchar"}, {"!destination", "varchar"});
}

static enum fm_status ingest_flights(struct fixture *f)
{
    int fd = open(FLIGHTS, O_RDONLY | O_CLOEXEC);
    struct timespec start, end;

    if (fd < 0)
        skip();
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    enum fm_status status = ingest_fd(f, FM_FORMAT_PARQUET, fd);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    close(fd);
    print_message("flights: %llu rows in %.0f ms\n", (unsigned long long)f->rows,
                  (double)(end.tv_sec - start.tv_sec) * 1e3 +
                      (double)(end.tv_nsec - start.tv_nsec) / 1e6);
    return status;
}

static void parquet_flights(void **state)
{
    struct fixture *f = *state;

    use_flights(f);
    if (ingest_flights(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(f->rows, 3000000);
    assert_int_equal(fm_ingest_rows(f->worker), 3000000);
    assert_value(f, 3, 0, "03414245"); /* ABE, the first of the origins. */
    f->schema->cluster_count = 0;
    if (ingest_flights(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(f->rows, 3000000);
    assert_value(f, 3, 0, "034c4153"); /* LAS, as in the file. */
}

/* More rows than the engine may sort in its memory come in the file's order, none is lost. */
static void parquet_larger_than_memory(void **state)
{
    struct fixture *f = *state;
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)128 << 20, .spare = 1};

    fm_engine_free(FM_TAKE(f->engine));
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    use_flights(f);
    if (ingest_flights(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(f->rows, 3000000);
    assert_value(f, 3, 0, "034c4153"); /* LAS, as in the file. */
}

static void parquet_faults(void **state)
{
    struct fixture *f = *state;
    static uint8_t start[300000];
    int fd = open(FLIGHTS, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        skip();
    assert_int_equal(read(fd, start, sizeof start), sizeof start);
    close(fd);
    use_flights(f);
    assert_int_equal(ingest_bytes(f, FM_FORMAT_PARQUET, start, sizeof start), FM_INVALID);
    print_message("cut: %s\n", f->err.text);
    assert_null(strstr(f->err.text, "/folkmoot"));
    expect_fault(f, FM_FORMAT_PARQUET, "id,name\n1,2\n", "the file");
    expect_fault(f, FM_FORMAT_PARQUET, "PAR1", "the file");
    expect_fault(f, FM_FORMAT_PARQUET, "PAR1\x01\x01\x01\x01\xff\xff\xff\x7fPAR1", "");
    /* The type of a column in the contract is too narrow for row 1. */
    USE(f, {"!date", "timestamp"}, {"delay", "int16"}, {"distance", "int8"}, {"origin", "varchar"},
        {"destination", "varchar"});
    assert_int_equal(ingest_flights(f), FM_INVALID);
    assert_non_null(strstr(f->err.text, "row 1, column distance: '2176' is not an int8"));
    /* The time of day would be lost. */
    USE(f, {"!date", "date"}, {"delay", "int16"}, {"distance", "int16"}, {"origin", "varchar"},
        {"destination", "varchar"});
    assert_int_equal(ingest_flights(f), FM_INVALID);
    assert_non_null(strstr(f->err.text, "row 1, column date: '2001-01-01 00:01:00' is not a date"));
    USE(f, {"!date", "timestamp"}, {"delay", "int16"}, {"origin", "varchar"});
    assert_int_equal(ingest_flights(f), FM_INVALID);
    assert_non_null(strstr(f->err.text, "unknown column 'distance'"));
}

/* A worker that has run SQL is not lent a file, nor the other way round. */
static void one_use_only(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};
    int fd = memfd_create("input", MFD_CLOEXEC);

    assert_int_equal(write(fd, "id\n1\n", 5), 5);
    USE(f, {"!id", "int32"});
    struct fm_ingest_options options = {FM_FORMAT_CSV, fd, f->schema};
    assert_int_equal(fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err),
                     FM_OK);
    struct fm_buf tree = FM_BUF_INIT(0);
    assert_int_equal(fm_worker_parse(f->worker, fm_span_str("SELECT 1"), &tree, &f->err), FM_OK);
    fm_buf_free(&tree);
    assert_int_equal(fm_ingest_open(f->worker, &options, &f->err), FM_INVALID);
    fm_columns_deinit(&columns);
    /* A directory is no file. */
    int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ingest_fd(f, FM_FORMAT_CSV, folder), FM_INVALID);
    close(folder);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(csv_values),
        TEST(csv_headers),
        TEST(csv_faults),
        TEST(csv_long),
        TEST(ndjson_values),
        TEST(ndjson_faults),
        TEST(parquet_flights),
        TEST(parquet_faults),
        TEST(parquet_larger_than_memory),
        TEST(one_use_only),
        TEST(header_columns_come_last),
        TEST(header_columns_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
