#include "tests/support/oracle.h"

#include "client/client_text.h"
#include "core/assert.h"
#include "query/worker/ducktypes.h"
#include "query/worker/encode.h"

#include <math.h>
#include <stdio.h>

struct oracle {
    duckdb_database database;
    duckdb_connection connection;
};

/* ---- Answers ---- */

void answer_deinit(struct answer *answer)
{
    for (uint32_t i = 0; i < answer->column_count; i++) {
        free(answer->names[i]);
        free(answer->types[i]);
    }
    for (size_t i = 0; i < (size_t)answer->rows * answer->column_count; i++)
        free(answer->cells[i]);
    free(answer->names);
    free(answer->types);
    free(answer->cells);
    *answer = (struct answer){0};
}

static void set_columns(struct answer *answer, uint32_t count)
{
    answer->column_count = count;
    answer->names = calloc(count + 1u, sizeof *answer->names);
    answer->types = calloc(count + 1u, sizeof *answer->types);
    fm_assert(answer->names != NULL && answer->types != NULL);
}

static void add_rows(struct answer *answer, uint32_t rows)
{
    size_t columns = answer->column_count;

    if (answer->rows + rows > answer->rows_room) {
        answer->rows_room = 2 * answer->rows_room + rows;
        char **cells = realloc(answer->cells, answer->rows_room * columns * sizeof *cells);
        fm_assert(cells != NULL);
        answer->cells = cells;
    }
    memset(&answer->cells[answer->rows * columns], 0, rows * columns * sizeof *answer->cells);
    answer->rows += rows;
}

static bool is_float(const char *type)
{
    return strcmp(type, "float") == 0 || strcmp(type, "double") == 0;
}

static int compare_numbers(const char *a, const char *b)
{
    double x = strtod(a, NULL), y = strtod(b, NULL);

    if (isnan(x) || isnan(y))
        return (isnan(x) != 0) - (isnan(y) != 0);
    if (isinf(x) || isinf(y))
        return (x > y) - (x < y);
    if (x == y || fabs(x - y) <= 1e-9 * (1 + fabs(x)))
        return 0;
    return x < y ? -1 : 1;
}

static int compare_cells(const char *a, const char *b, bool as_number)
{
    if (a == NULL || b == NULL)
        return (a != NULL) - (b != NULL);
    return as_number ? compare_numbers(a, b) : strcmp(a, b);
}

/* Columns that are no floats first: these may only nearly agree. */
static int compare_rows(const struct answer *answer, char *const *a, char *const *b)
{
    for (int floats = 0; floats < 2; floats++) {
        for (uint32_t i = 0; i < answer->column_count; i++) {
            if (is_float(answer->types[i]) != (floats == 1))
                continue;
            int order = compare_cells(a[i], b[i], floats == 1);
            if (order != 0)
                return order;
        }
    }
    return 0;
}

static int compare_for_sort(const void *a, const void *b, void *context)
{
    return compare_rows(context, *(char *const *const *)a, *(char *const *const *)b);
}

static char ***row_pointers(struct answer *answer, bool ordered)
{
    char ***rows = calloc(answer->rows + 1u, sizeof *rows);

    fm_assert(rows != NULL);
    for (uint32_t i = 0; i < answer->rows; i++)
        rows[i] = &answer->cells[(size_t)i * answer->column_count];
    if (!ordered)
        qsort_r(rows, answer->rows, sizeof *rows, compare_for_sort, answer);
    return rows;
}

/* The engine's own text of one expression says DECIMAL(9,2) or DECIMAL(9, 2), by whether it was
 * bound when it was named. */
static bool names_are_same(const char *a, const char *b)
{
    for (; *a != '\0' || *b != '\0'; a++, b++) {
        a += strspn(a, " ");
        b += strspn(b, " ");
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
    }
    return true;
}

static bool same_columns(const struct answer *a, const struct answer *b, char why[256])
{
    if (a->column_count != b->column_count) {
        (void)snprintf(why, 256, "%u columns and %u", a->column_count, b->column_count);
        return false;
    }
    for (uint32_t i = 0; i < a->column_count; i++) {
        /* Of an unnamed subquery the name is its text, in which types are printed in two ways. */
        if (strstr(a->names[i], "SELECT") == NULL && !names_are_same(a->names[i], b->names[i])) {
            (void)snprintf(why, 256, "column %u is '%.100s' and '%.100s'", i, a->names[i],
                           b->names[i]);
            return false;
        }
        if (strcmp(a->types[i], b->types[i]) != 0) {
            (void)snprintf(why, 256, "type of column %u is '%.100s' and '%.100s'", i, a->types[i],
                           b->types[i]);
            return false;
        }
    }
    return true;
}

bool answer_equal(struct answer *a, struct answer *b, bool ordered, char why[256])
{
    if (!same_columns(a, b, why))
        return false;
    if (a->rows != b->rows) {
        (void)snprintf(why, 256, "%u rows and %u", a->rows, b->rows);
        return false;
    }
    char ***x = row_pointers(a, ordered), ***y = row_pointers(b, ordered);
    uint32_t at = 0;
    while (at < a->rows && compare_rows(a, x[at], y[at]) == 0)
        at++;
    if (at < a->rows)
        (void)snprintf(why, 256, "row %u of %s rows", at, ordered ? "ordered" : "sorted");
    free(x);
    free(y);
    return at == a->rows;
}

void answer_print(const struct answer *answer, uint32_t rows_max, struct fm_buf *out)
{
    if (answer->kind != ANSWER_ROWS) {
        fm_buf_printf(out, "  no rows (%d): %s\n", answer->kind, answer->error);
        return;
    }
    for (uint32_t i = 0; i < answer->column_count; i++)
        fm_buf_printf(out, "%s%s %s", i > 0 ? " | " : "  ", answer->names[i], answer->types[i]);
    fm_buf_printf(out, "\n");
    for (uint32_t row = 0; row < answer->rows && row < rows_max; row++) {
        for (uint32_t i = 0; i < answer->column_count; i++) {
            const char *cell = answer->cells[(size_t)row * answer->column_count + i];
            fm_buf_printf(out, "%s%s", i > 0 ? " | " : "  ", cell != NULL ? cell : "\\N");
        }
        fm_buf_printf(out, "\n");
    }
    fm_buf_printf(out, "  (%u rows)\n", answer->rows);
}

/* ---- DuckDB ---- */

struct oracle *oracle_new(void)
{
    struct oracle *oracle = calloc(1, sizeof *oracle);

    fm_assert(oracle != NULL);
    duckdb_state opened = duckdb_open(NULL, &oracle->database);
    fm_assert(opened == DuckDBSuccess);
    opened = duckdb_connect(oracle->database, &oracle->connection);
    fm_assert(opened == DuckDBSuccess);
    oracle_do(oracle, "SET integer_division = true;"
                      "SET default_null_order = 'nulls_last_on_asc_first_on_desc';"
                      "SET threads = 1; SET memory_limit = '2GB';"
                      "SET temp_directory = ''; CREATE SCHEMA hist");
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    if (oracle == NULL)
        return;
    duckdb_disconnect(&oracle->connection);
    duckdb_close(&oracle->database);
    free(oracle);
}

void oracle_do(struct oracle *oracle, const char *sql)
{
    duckdb_result result;

    if (duckdb_query(oracle->connection, sql, &result) != DuckDBSuccess) {
        (void)fprintf(stderr, "%.2000s\n%s\n", sql, duckdb_result_error(&result));
        fm_assert(false);
    }
    duckdb_destroy_result(&result);
}

static enum answer_kind kind_of_error(const char *text)
{
    static const char *const of_rows[] = {"Out of Range Error", "Conversion Error",
                                          "Invalid Input Error", NULL};

    /* A node says before it where it happened. */
    for (uint32_t i = 0; of_rows[i] != NULL; i++) {
        if (strstr(text, of_rows[i]) != NULL)
            return ANSWER_FAILED;
    }
    if (strstr(text, "Not implemented Error") != NULL)
        return ANSWER_UNABLE;
    if (strstr(text, "Out of Memory Error") != NULL)
        return ANSWER_HEAVY;
    return strstr(text, "INTERNAL Error") != NULL ? ANSWER_BROKEN : ANSWER_REFUSED;
}

/* A running result and what turns it into batches. */
struct reading {
    duckdb_result result;
    struct fm_columns columns;
    duckdb_logical_type *types;
    struct encoder *encoder;
    struct fm_buf batch;
    bool failed; /* A value is none of its type. */
};

static void end_reading(struct reading *reading)
{
    for (uint32_t i = 0; i < reading->columns.count; i++)
        duckdb_destroy_logical_type(&reading->types[i]);
    free(reading->types);
    encoder_free(reading->encoder);
    fm_columns_deinit(&reading->columns);
    fm_buf_free(&reading->batch);
    duckdb_destroy_result(&reading->result);
}

static void begin_reading(struct reading *reading)
{
    uint32_t count = (uint32_t)duckdb_column_count(&reading->result);
    struct fm_error err = {0};

    reading->columns.items = calloc(count + 1u, sizeof *reading->columns.items);
    reading->types = calloc(count + 1u, sizeof(duckdb_logical_type));
    fm_assert(reading->columns.items != NULL && reading->types != NULL);
    reading->columns.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_column *column = &reading->columns.items[i];
        (void)snprintf(column->name, sizeof column->name, "%s",
                       duckdb_column_name(&reading->result, i));
        reading->types[i] = duckdb_column_logical_type(&reading->result, i);
        enum fm_status status = ducktype_to(reading->types[i], &column->type, &err);
        if (status != FM_OK)
            (void)fprintf(stderr, "%s: %s\n", column->name, err.text);
        fm_assert(status == FM_OK);
    }
    enum fm_status status = encoder_new(&reading->columns, reading->types, &reading->encoder);
    fm_assert(status == FM_OK);
}

/* False at the end. */
static bool next_chunk(struct reading *reading)
{
    duckdb_data_chunk chunk = duckdb_fetch_chunk(reading->result);
    uint32_t rows = chunk == NULL ? 0 : (uint32_t)duckdb_data_chunk_get_size(chunk);

    if (rows > 0) {
        enum fm_status status = encoder_put(reading->encoder, chunk, 0, rows);
        fm_assert(status == FM_OK || status == FM_INVALID);
        reading->failed = status == FM_INVALID;
        fm_buf_clear(&reading->batch);
        uint8_t *bytes = fm_buf_extend(&reading->batch, encoder_bytes(reading->encoder));
        fm_assert(bytes != NULL);
        encoder_finish(reading->encoder, 0, bytes);
    }
    duckdb_destroy_data_chunk(&chunk);
    return rows > 0 && !reading->failed;
}

static void take_rows(struct answer *answer, const struct reading *reading)
{
    struct fm_buf text = FM_BUF_INIT(0);
    struct fm_batch batch;
    uint32_t first = answer->rows;

    enum fm_status status = fm_batch_view_trusted(fm_buf_span(&reading->batch), &batch);
    fm_assert(status == FM_OK);
    add_rows(answer, batch.rows);
    for (uint32_t row = 0; row < batch.rows; row++) {
        for (uint32_t i = 0; i < answer->column_count; i++) {
            if (fm_vector_is_null(&batch, &batch.vectors[i], row))
                continue;
            fm_buf_clear(&text);
            status = fm_text_value(&text, FM_TEXT_PLAIN, &batch, &batch.vectors[i],
                                   &reading->columns.items[i].type, NULL, row);
            fm_assert(status == FM_OK);
            char *cell = fm_strdup_span(fm_buf_span(&text));
            fm_assert(cell != NULL);
            answer->cells[(size_t)(first + row) * answer->column_count + i] = cell;
        }
    }
    fm_buf_free(&text);
}

static void read_answer(struct reading *reading, uint32_t rows_max, struct answer *out)
{
    begin_reading(reading);
    set_columns(out, reading->columns.count);
    for (uint32_t i = 0; i < out->column_count; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(0);
        fm_type_print(&type, &reading->columns.items[i].type);
        out->names[i] = strdup(reading->columns.items[i].name);
        out->types[i] = fm_strdup_span(fm_buf_span(&type));
        fm_assert(out->names[i] != NULL && out->types[i] != NULL);
    }
    while (out->rows <= rows_max && next_chunk(reading))
        take_rows(out, reading);
    if (out->rows > rows_max)
        out->kind = ANSWER_LONG;
    if (reading->failed)
        out->kind = ANSWER_FAILED;
}

void oracle_ask(struct oracle *oracle, const char *sql, uint32_t rows_max, struct answer *out)
{
    struct reading reading = {.batch = FM_BUF_INIT(0)};

    *out = (struct answer){.kind = ANSWER_ROWS};
    duckdb_prepared_statement statement = NULL;
    const char *error = NULL;
    if (duckdb_prepare(oracle->connection, sql, &statement) != DuckDBSuccess)
        error = duckdb_prepare_error(statement);
    else if (duckdb_execute_prepared_streaming(statement, &reading.result) != DuckDBSuccess)
        error = duckdb_result_error(&reading.result);
    else
        read_answer(&reading, rows_max, out);
    /* A result that streams may fail late. */
    if (error == NULL)
        error = duckdb_result_error(&reading.result);
    if (error != NULL) {
        answer_deinit(out);
        out->kind = kind_of_error(error);
        (void)snprintf(out->error, sizeof out->error, "%s", error);
    }
    end_reading(&reading);
    duckdb_destroy_prepare(&statement);
}

void oracle_batches(struct oracle *oracle, const char *sql,
                    void (*take)(void *context, struct fm_span batch), void *context)
{
    struct reading reading = {.batch = FM_BUF_INIT(0)};

    if (duckdb_query(oracle->connection, sql, &reading.result) != DuckDBSuccess) {
        (void)fprintf(stderr, "%s: %s\n", sql, duckdb_result_error(&reading.result));
        fm_assert(false);
    }
    begin_reading(&reading);
    while (next_chunk(&reading))
        take(context, fm_buf_span(&reading.batch));
    end_reading(&reading);
}

/* ---- A mesh ---- */

static void take_mesh_rows(struct answer *answer, struct folkmoot_result *result, uint32_t rows)
{
    uint32_t first = answer->rows;

    add_rows(answer, rows);
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < answer->column_count; i++) {
            const char *text = NULL;
            size_t len = 0;
            enum folkmoot_status status = folkmoot_result_text(result, row, i, &text, &len);
            fm_assert(status == FOLKMOOT_OK);
            if (text == NULL)
                continue;
            char *cell = fm_strdup_span(fm_span(text, len));
            fm_assert(cell != NULL);
            answer->cells[(size_t)(first + row) * answer->column_count + i] = cell;
        }
    }
}

static enum folkmoot_status read_mesh(struct folkmoot_result *result, uint32_t rows_max,
                                      struct answer *out)
{
    set_columns(out, folkmoot_result_column_count(result));
    for (uint32_t i = 0; i < out->column_count; i++) {
        out->names[i] = strdup(folkmoot_result_column_name(result, i));
        out->types[i] = strdup(folkmoot_result_column_type(result, i));
        fm_assert(out->names[i] != NULL && out->types[i] != NULL);
    }
    for (;;) {
        enum folkmoot_status status = folkmoot_result_next(result);
        uint32_t rows = folkmoot_result_rows(result);
        if (status != FOLKMOOT_OK || rows == 0)
            return status;
        take_mesh_rows(out, result, rows);
        if (out->rows > rows_max) {
            out->kind = ANSWER_LONG;
            return status;
        }
    }
}

void mesh_ask(struct folkmoot *node, const char *sql, const char *without, uint32_t rows_max,
              struct answer *out)
{
    struct folkmoot_query_options options = {.without = without};
    struct folkmoot_result *result = NULL;

    *out = (struct answer){.kind = ANSWER_ROWS};
    enum folkmoot_status status = folkmoot_query(node, sql, strlen(sql), &options, &result);
    if (status == FOLKMOOT_OK)
        status = read_mesh(result, rows_max, out);
    folkmoot_result_free(result);
    if (status == FOLKMOOT_OK)
        return;
    answer_deinit(out);
    const char *text = folkmoot_error(node);
    (void)snprintf(out->error, sizeof out->error, "%s", text);
    out->kind = ANSWER_BROKEN;
    if (status == FOLKMOOT_INVALID || status == FOLKMOOT_NOTFOUND ||
        status == FOLKMOOT_UNSUPPORTED || status == FOLKMOOT_REFUSED)
        out->kind = kind_of_error(text);
    else if (status == FOLKMOOT_LIMIT && strstr(text, "the query needed more") != NULL)
        out->kind = ANSWER_HEAVY;
}
