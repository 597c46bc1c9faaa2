#include "query/worker/stream.h"

#include "core/assert.h"
#include "query/worker/ducktypes.h"
#include "query/worker/scan.h"
#include "query/worker/vectors.h"

#define FIRST_ROWS 16u /* Of a result whose rows have no known size yet. */

struct stream {
    struct worker *worker;
    struct encoder *encoder;
    uint64_t first_row;
    size_t row_bytes; /* Of the rows so far, on average; 0: not known. */
    size_t empty_bytes;
};

static enum fm_status send_inline(struct stream *stream, size_t bytes)
{
    FM_AUTO(fm_mem_freep) uint8_t *batch = aligned_alloc(8, bytes);

    if (batch == NULL)
        return FM_NOMEM;
    encoder_finish(stream->encoder, stream->first_row, batch);
    worker_send(stream->worker, CHANNEL_INLINE, 0, fm_span(batch, bytes));
    return FM_OK;
}

static enum fm_status send_batch(struct stream *stream)
{
    struct worker *worker = stream->worker;
    uint32_t rows = encoder_rows(stream->encoder);
    size_t bytes = encoder_bytes(stream->encoder);
    enum fm_status status = FM_OK;

    if (rows == 0)
        return FM_OK;
    stream->row_bytes = (bytes - stream->empty_bytes) / rows + 1;
    if (bytes > CHANNEL_SLOT_BYTES) {
        status = send_inline(stream, bytes);
    } else {
        uint8_t length[4];
        status = worker_await_release(worker);
        if (status != FM_OK)
            return status;
        uint32_t slot = (uint32_t)__builtin_ctz(worker->results_free);
        worker->results_free &= ~(1u << slot);
        encoder_finish(stream->encoder, stream->first_row,
                       channel_result_slot(worker->memory, slot));
        fm_store32(length, (uint32_t)bytes);
        worker_send(worker, CHANNEL_BATCH, slot, fm_span(length, sizeof length));
    }
    stream->first_row += rows;
    return status;
}

/* Rows that still fit the batch at hand. */
static uint32_t room(const struct stream *stream)
{
    uint32_t rows = encoder_rows(stream->encoder);
    size_t bytes = encoder_bytes(stream->encoder);
    size_t row_bytes = rows > 0 ? (bytes - stream->empty_bytes) / rows + 1 : stream->row_bytes;

    if (rows >= FM_BATCH_ROWS_MAX || bytes >= FM_BATCH_WIRE_BYTES)
        return 0;
    if (row_bytes == 0)
        return FIRST_ROWS;
    size_t fit = (FM_BATCH_WIRE_BYTES - bytes) / row_bytes;
    if (fit > FM_BATCH_ROWS_MAX - rows)
        fit = FM_BATCH_ROWS_MAX - rows;
    if (fit < 64)
        return row_bytes < 1024 || (fit == 0 && rows > 0) ? 0 : (uint32_t)(fit == 0 ? 1 : fit);
    return (uint32_t)(fit & ~(size_t)63); /* Whole words of validity. */
}

static enum fm_status put_chunk(struct stream *stream, duckdb_data_chunk chunk)
{
    uint32_t size = (uint32_t)duckdb_data_chunk_get_size(chunk), at = 0;
    enum fm_status status = FM_OK;

    while (at < size && status == FM_OK) {
        uint32_t count = room(stream);
        if (count == 0) {
            fm_assert(encoder_rows(stream->encoder) > 0);
            status = send_batch(stream);
            continue;
        }
        if (count > size - at)
            count = size - at;
        status = encoder_put(stream->encoder, chunk, at, count);
        at += count;
    }
    return status;
}

/* Why a result ended: the scan's own word first. */
static enum fm_status result_failure(struct worker *worker, duckdb_result *result,
                                     struct fm_error *err)
{
    const char *text = duckdb_result_error(result);

    if (worker->scan_status != FM_OK) {
        *err = worker->scan_error;
        return worker->scan_status;
    }
    return text == NULL || text[0] == '\0' ? FM_OK : worker_duck_error(worker, text, err);
}

static enum fm_status fetch_all(struct stream *stream, duckdb_result *result,
                                const struct stream_check *check, struct fm_error *err)
{
    for (;;) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);
        if (chunk == NULL)
            return result_failure(stream->worker, result, err);
        enum fm_status status = FM_OK;
        if (check != NULL)
            status = check->chunk(check->context, chunk, err);
        bool skip = status == FM_BUSY;
        if (skip)
            status = FM_OK;
        if (status == FM_OK && !skip) {
            status = put_chunk(stream, chunk);
            if (status == FM_INVALID)
                status =
                    fm_fail(err, status, "Out of Range Error: a DECIMAL of more than 38 digits");
            else if (status != FM_OK)
                status = fm_fail(err, status, "a batch of the result: %s", fm_status_text(status));
        }
        duckdb_destroy_data_chunk(&chunk);
        if (status != FM_OK)
            return status;
    }
}

static void destroy_types(duckdb_logical_type *types, uint32_t count)
{
    for (uint32_t i = 0; types != NULL && i < count; i++)
        duckdb_destroy_logical_type(&types[i]);
    free(types);
}

static duckdb_logical_type *statement_types(duckdb_prepared_statement statement, uint32_t count)
{
    duckdb_logical_type *types = calloc(count + 1u, sizeof *types);

    for (uint32_t i = 0; types != NULL && i < count; i++)
        types[i] = duckdb_prepared_statement_column_logical_type(statement, i);
    return types;
}

static enum fm_status execute(struct stream *stream, duckdb_prepared_statement statement,
                              const struct stream_check *check, struct fm_error *err)
{
    duckdb_pending_result pending = NULL;
    duckdb_result result = {0};
    enum fm_status status = FM_OK;

    if (duckdb_pending_prepared_streaming(statement, &pending) != DuckDBSuccess)
        status = worker_duck_error(stream->worker, duckdb_pending_error(pending), err);
    else if (duckdb_execute_pending(pending, &result) != DuckDBSuccess) {
        status = result_failure(stream->worker, &result, err);
        if (status == FM_OK)
            status = fm_fail(err, FM_INTERNAL, "the statement did not start");
    } else {
        status = fetch_all(stream, &result, check, err);
    }
    duckdb_destroy_result(&result);
    duckdb_destroy_pending(&pending);
    return status;
}

enum fm_status stream_result(struct worker *worker, duckdb_prepared_statement statement,
                             const struct fm_columns *columns, const struct stream_check *check,
                             struct fm_error *err)
{
    struct stream stream = {.worker = worker};
    duckdb_logical_type *types = statement_types(statement, columns->count);

    enum fm_status status = types == NULL ? FM_NOMEM : encoder_new(columns, types, &stream.encoder);
    if (status == FM_OK) {
        stream.empty_bytes = encoder_bytes(stream.encoder);
        status = execute(&stream, statement, check, err);
    }
    if (status == FM_OK)
        status = send_batch(&stream);
    if (status == FM_OK)
        worker_send(worker, CHANNEL_END, 0, fm_span(NULL, 0));
    encoder_free(stream.encoder);
    destroy_types(types, columns->count);
    return status;
}

/* ---- Columns --------------------------------------------------------------------------------- */

static bool labels_are(const struct fm_type *type, const struct fm_dictionary *dictionary)
{
    if (type->label_count != dictionary->count)
        return false;
    for (uint32_t i = 0; i < dictionary->count; i++)
        if (!fm_span_equal(fm_span_str(type->labels[i]), fm_dictionary_at(dictionary, i)))
            return false;
    return true;
}

/* An ENUM that a slot's dictionary made is text to everybody but DuckDB. */
static void restore_text(const struct worker *worker, struct fm_column *column)
{
    if (column->type.kind != FM_KIND_ENUM)
        return;
    for (uint32_t i = 0; i < worker->slot_count; i++) {
        const struct fm_columns *columns = &worker->slots[i].def.columns;
        for (uint32_t j = 0; j < columns->count; j++) {
            if (columns->items[j].type.kind != FM_KIND_VARCHAR ||
                columns->items[j].dictionary.count == 0 ||
                !labels_are(&column->type, &columns->items[j].dictionary))
                continue;
            fm_type_deinit(&column->type);
            column->type = (struct fm_type){.kind = FM_KIND_VARCHAR};
            column->dictionary = columns->items[j].dictionary; /* Borrowed from the slot. */
            return;
        }
    }
}

/* Nested ENUMs of a dictionary have no codes in a batch: they stay enums. */
static enum fm_status describe(struct worker *worker, duckdb_prepared_statement statement,
                               uint32_t i, bool exactly, struct fm_column *out,
                               struct fm_error *err)
{
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(statement, i);
    const char *name = duckdb_prepared_statement_column_name(statement, i);
    size_t len = name == NULL ? 0 : strlen(name);

    if (len >= sizeof out->name) {
        len = sizeof out->name - 1;
        while (len > 0 && ((uint8_t)name[len] & 0xc0u) == 0x80u)
            len--; /* At a character. */
    }
    if (len > 0)
        memcpy(out->name, name, len);
    duckdb_free((void *)(uintptr_t)name);
    enum fm_status status = ducktype_to(type, &out->type, err);
    if (status == FM_OK && exactly && !ducktype_is_kept(type))
        status = fm_fail(err, FM_UNSUPPORTED, "a type that becomes another");
    duckdb_destroy_logical_type(&type);
    if (status != FM_OK)
        return fm_wrap(err, status, "column %u, %s", i + 1, out->name);
    restore_text(worker, out);
    return FM_OK;
}

static enum fm_status describe_all(struct worker *worker, duckdb_prepared_statement statement,
                                   bool exactly, struct fm_columns *out, struct fm_error *err)
{
    idx_t count = duckdb_prepared_statement_column_count(statement);
    enum fm_status status = FM_OK;

    if (count == 0 || count > FM_COLUMNS_MAX)
        return fm_fail(err, count == 0 ? FM_INVALID : FM_LIMIT,
                       "the statement gives %llu columns; 1 to %u are possible",
                       (unsigned long long)count, FM_COLUMNS_MAX);
    out->items = calloc((size_t)count, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        out->count = i + 1;
        status = describe(worker, statement, i, exactly, &out->items[i], err);
    }
    return status;
}

static enum fm_status run_prepared(struct worker *worker, duckdb_prepared_statement statement,
                                   bool describe_only, struct fm_error *err)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    FM_AUTO(fm_buf_free) struct fm_buf payload = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX);

    if (duckdb_nparams(statement) != 0)
        return fm_fail(err, FM_INVALID, "the statement has parameters");
    enum fm_status status = describe_all(worker, statement, describe_only, &columns, err);
    if (status == FM_OK)
        status = channel_columns_encode(&payload, &columns);
    if (status != FM_OK)
        return status;
    worker_send(worker, CHANNEL_COLUMNS, 0, fm_buf_span(&payload));
    return describe_only ? FM_OK : stream_result(worker, statement, &columns, NULL, err);
}

enum fm_status stream_run(struct worker *worker, const char *sql, bool describe_only,
                          struct fm_error *err)
{
    duckdb_prepared_statement statement = NULL;

    enum fm_status status = worker_prepare(worker, sql, &statement, err);
    if (status != FM_OK)
        return status;
    status = run_prepared(worker, statement, describe_only, err);
    duckdb_destroy_prepare(&statement);
    return status;
}
