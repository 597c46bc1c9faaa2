#include "tests/support/bench_answer.h"

#include "core/batch.h"

#include <stdio.h>
#include <string.h>

#define FNV_START UINT64_C(0xcbf29ce484222325)

/* ---- Checksums ------------------------------------------------------------------------------- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_null(uint64_t hash)
{
    return hash_bytes(hash, "n", 1);
}

static uint64_t hash_integer(uint64_t hash, int64_t value)
{
    return hash_bytes(hash_bytes(hash, "i", 1), &value, sizeof value);
}

static uint64_t hash_double(uint64_t hash, double value)
{
    char text[32];
    int len = snprintf(text, sizeof text, "d%.12g", value);

    return hash_bytes(hash, text, (size_t)len);
}

static uint64_t hash_text(uint64_t hash, const void *bytes, size_t len)
{
    return hash_bytes(hash_integer(hash, (int64_t)len), bytes, len);
}

/* ---- The mesh's batches ---------------------------------------------------------------------- */

static int64_t extend(const void *bytes, size_t width)
{
    int8_t one;
    int16_t two;
    int32_t four;
    int64_t eight;

    switch (width) {
    case 1:
        memcpy(&one, bytes, 1);
        return one;
    case 2:
        memcpy(&two, bytes, 2);
        return two;
    case 4:
        memcpy(&four, bytes, 4);
        return four;
    case 8:
        memcpy(&eight, bytes, 8);
        return eight;
    default:
        bench_die("a value of %zu bytes in a benchmark", width);
    }
}

static uint32_t width_of(const struct fm_vector_entry *vector)
{
    const struct fm_type type = {.kind = (enum fm_kind)vector->kind};

    return fm_type_width(&type);
}

static bool is_text(const struct fm_vector_entry *vector)
{
    return width_of(vector) == 0;
}

static uint64_t hash_cell(struct folkmoot_result *result, const struct fm_batch *batch,
                          uint32_t column, uint32_t row, uint64_t hash)
{
    const struct fm_vector_entry *vector = &batch->vectors[column];
    uint8_t value[16];
    const char *text;
    double number;
    size_t len;

    if (fm_vector_is_null(batch, vector, row))
        return hash_null(hash);
    if (is_text(vector)) {
        if (folkmoot_result_text(result, row, column, &text, &len) != FOLKMOOT_OK)
            bench_die("a value of column %u cannot be read", column);
        return hash_text(hash, text, len);
    }
    fm_vector_fixed(batch, vector, row, value);
    if (vector->kind != FM_KIND_DOUBLE)
        return hash_integer(hash, extend(value, width_of(vector)));
    memcpy(&number, value, sizeof number);
    return hash_double(hash, number);
}

static uint64_t hash_batch(struct folkmoot_result *result, const struct fm_batch *batch)
{
    uint64_t sum = 0;

    for (uint32_t row = 0; row < batch->rows; row++) {
        uint64_t hash = FNV_START;
        for (uint32_t column = 0; column < batch->column_count; column++)
            hash = hash_cell(result, batch, column, row, hash);
        sum += hash;
    }
    return sum;
}

/* The values of a run of bytes, each of `width`. */
static uint64_t add_values(const uint8_t *data, uint32_t width, uint32_t rows)
{
    uint64_t sum = 0;

    if (width == 1)
        for (uint32_t i = 0; i < rows; i++)
            sum += data[i];
    else if (width == 2)
        for (uint32_t i = 0; i < rows; i++)
            sum += ((const uint16_t *)(const void *)data)[i];
    else if (width == 4)
        for (uint32_t i = 0; i < rows; i++)
            sum += ((const uint32_t *)(const void *)data)[i];
    else
        for (uint32_t i = 0; i < rows; i++)
            sum += fm_load64(data + (size_t)i * 8);
    return sum;
}

static uint64_t touch_numbers(const struct fm_batch *batch, const struct fm_vector_entry *vector)
{
    const uint8_t *data = batch->bytes + vector->data_at;

    if (vector->encoding == FM_ENC_CONSTANT)
        return add_values(data, width_of(vector), 1) * vector->rows;
    if (vector->encoding == FM_ENC_FOR)
        return (uint64_t)vector->base * vector->rows +
               (uint64_t)vector->step * add_values(data, vector->code_width, vector->rows);
    return add_values(data, width_of(vector), vector->rows);
}

static uint64_t touch_texts(const struct fm_batch *batch, const struct fm_vector_entry *vector)
{
    const uint8_t *data = batch->bytes + vector->data_at, *aux = batch->bytes + vector->aux_at;
    uint64_t sum = 0;

    if (vector->encoding == FM_ENC_CONSTANT)
        return vector->aux_bytes * vector->rows;
    if (vector->encoding == FM_ENC_DICTIONARY && (vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0)
        return add_values(data, vector->code_width, vector->rows); /* Codes stand for the texts. */
    if (vector->encoding == FM_ENC_DICTIONARY) {
        const uint8_t *offsets = aux + 4, *text = offsets + ((size_t)fm_load32(aux) + 1) * 4;
        for (uint32_t i = 0; i < vector->rows; i++) {
            size_t code = vector->code_width == 1   ? data[i]
                          : vector->code_width == 2 ? ((const uint16_t *)(const void *)data)[i]
                                                    : fm_load32(data + (size_t)i * 4);
            uint32_t from = fm_load32(offsets + code * 4), to = fm_load32(offsets + code * 4 + 4);
            sum += to - from + (to > from ? text[from] : 0u);
        }
        return sum;
    }
    for (uint32_t i = 0; i < vector->rows; i++) {
        uint32_t from = fm_load32(data + (size_t)i * 4), to = fm_load32(data + (size_t)i * 4 + 4);
        sum += to - from + (to > from ? aux[from] : 0u);
    }
    return sum;
}

static uint64_t touch_batch(const struct fm_batch *batch)
{
    uint64_t sum = 0;

    for (uint32_t column = 0; column < batch->column_count; column++) {
        const struct fm_vector_entry *vector = &batch->vectors[column];
        if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
            continue;
        sum += is_text(vector) ? touch_texts(batch, vector) : touch_numbers(batch, vector);
    }
    return sum;
}

static void add_receipts(struct folkmoot_result *result, struct bench_moved *moved)
{
    const struct folkmoot_answer *answer = folkmoot_result_answer(result);
    struct folkmoot_receipt_info receipt;

    *moved = (struct bench_moved){0};
    for (uint32_t i = 0; answer != NULL; i++) {
        if (folkmoot_answer_receipt(answer, i, &receipt) != FOLKMOOT_OK)
            return;
        moved->fragments++;
        moved->rows += receipt.rows;
        moved->bytes += receipt.bytes;
    }
}

enum folkmoot_status bench_answer_try(struct folkmoot *mesh, const char *sql,
                                      const struct folkmoot_query_options *options,
                                      bool with_checksum, struct bench_answer *out,
                                      struct bench_moved *moved)
{
    struct folkmoot_result *result;
    struct fm_batch batch;
    size_t len;

    *out = (struct bench_answer){0};
    enum folkmoot_status status = folkmoot_query(mesh, sql, strlen(sql), options, &result);
    if (status != FOLKMOOT_OK)
        return status;
    status = folkmoot_result_next(result);
    while (status == FOLKMOOT_OK && folkmoot_result_rows(result) != 0) {
        const uint8_t *bytes = folkmoot_result_batch(result, &len);
        if (fm_batch_view_trusted(fm_span(bytes, len), &batch) != FM_OK)
            bench_die("a batch of the answer cannot be read");
        out->rows += batch.rows;
        out->touched += touch_batch(&batch);
        if (with_checksum)
            out->checksum += hash_batch(result, &batch);
        status = folkmoot_result_next(result);
    }
    if (status == FOLKMOOT_OK && moved != NULL)
        add_receipts(result, moved);
    folkmoot_result_free(result);
    return status;
}

void bench_answer_mesh(struct folkmoot *mesh, const char *sql,
                       const struct folkmoot_query_options *options, bool with_checksum,
                       struct bench_answer *out, struct bench_moved *moved)
{
    if (bench_answer_try(mesh, sql, options, with_checksum, out, moved) != FOLKMOOT_OK)
        bench_die("%s: %s", sql, folkmoot_error(mesh));
}

/* ---- DuckDB's chunks ------------------------------------------------------------------------- */

struct chunk_column {
    duckdb_type type;
    const uint8_t *data;
    uint64_t *validity; /* NULL: no nulls. */
};

static size_t duck_width(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_BOOLEAN:
        return 1;
    case DUCKDB_TYPE_SMALLINT:
        return 2;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_DATE:
        return 4;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_DOUBLE:
        return 8;
    default:
        bench_die("DuckDB answers a type %d, which no query of a benchmark has", (int)type);
    }
}

static void view_column(duckdb_data_chunk chunk, idx_t column, struct chunk_column *out)
{
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, column);
    duckdb_logical_type type = duckdb_vector_get_column_type(vector);

    out->type = duckdb_get_type_id(type);
    out->data = duckdb_vector_get_data(vector);
    out->validity = duckdb_vector_get_validity(vector);
    duckdb_destroy_logical_type(&type);
}

static const uint8_t *duck_text(const struct chunk_column *column, idx_t row, uint32_t *len)
{
    duckdb_string_t *text = &((duckdb_string_t *)(void *)(uintptr_t)column->data)[row];

    *len = duckdb_string_t_length(*text);
    return (const uint8_t *)duckdb_string_t_data(text);
}

static bool duck_is_valid(const struct chunk_column *column, idx_t row)
{
    return column->validity == NULL || duckdb_validity_row_is_valid(column->validity, row);
}

static uint64_t touch_column(const struct chunk_column *column, idx_t rows)
{
    uint64_t sum = 0;
    uint32_t len;

    if (column->type != DUCKDB_TYPE_VARCHAR)
        return add_values(column->data, (uint32_t)duck_width(column->type), (uint32_t)rows);
    for (idx_t row = 0; row < rows; row++) {
        if (!duck_is_valid(column, row))
            continue;
        const uint8_t *text = duck_text(column, row, &len);
        sum += len + (len > 0 ? text[0] : 0u);
    }
    return sum;
}

static uint64_t hash_duck_cell(const struct chunk_column *column, idx_t row, uint64_t hash)
{
    uint32_t len;
    double number;

    if (!duck_is_valid(column, row))
        return hash_null(hash);
    if (column->type == DUCKDB_TYPE_VARCHAR) {
        const uint8_t *text = duck_text(column, row, &len);
        return hash_text(hash, text, len);
    }
    size_t width = duck_width(column->type);
    if (column->type != DUCKDB_TYPE_DOUBLE)
        return hash_integer(hash, extend(column->data + row * width, width));
    memcpy(&number, column->data + row * width, sizeof number);
    return hash_double(hash, number);
}

static void add_chunk(duckdb_data_chunk chunk, bool with_checksum, struct bench_answer *out)
{
    struct chunk_column columns[16];
    idx_t rows = duckdb_data_chunk_get_size(chunk),
          count = duckdb_data_chunk_get_column_count(chunk);

    if (count > sizeof columns / sizeof columns[0])
        bench_die("too many columns");
    for (idx_t i = 0; i < count; i++) {
        view_column(chunk, i, &columns[i]);
        out->touched += touch_column(&columns[i], rows);
    }
    out->rows += rows;
    for (idx_t row = 0; with_checksum && row < rows; row++) {
        uint64_t hash = FNV_START;
        for (idx_t i = 0; i < count; i++)
            hash = hash_duck_cell(&columns[i], row, hash);
        out->checksum += hash;
    }
}

static void open_stream(duckdb_connection connection, const char *sql, duckdb_result *result)
{
    duckdb_prepared_statement statement;
    duckdb_pending_result pending;

    if (duckdb_prepare(connection, sql, &statement) != DuckDBSuccess ||
        duckdb_pending_prepared_streaming(statement, &pending) != DuckDBSuccess ||
        duckdb_execute_pending(pending, result) != DuckDBSuccess)
        bench_die("%s: DuckDB does not stream it", sql);
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
}

void bench_answer_duck(duckdb_connection connection, const char *sql, bool is_streamed,
                       bool with_checksum, struct bench_answer *out)
{
    duckdb_data_chunk chunk;
    duckdb_result result;

    *out = (struct bench_answer){0};
    if (is_streamed)
        open_stream(connection, sql, &result);
    else if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        bench_die("%s: %s", sql, duckdb_result_error(&result));
    while ((chunk = duckdb_fetch_chunk(result)) != NULL) {
        add_chunk(chunk, with_checksum, out);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
}
