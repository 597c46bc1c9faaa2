#include "query/worker/vectors.h"
#include "query/worker/worker.h"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

enum fm_status worker_duck_error(const struct worker *worker, const char *text,
                                 struct fm_error *err)
{
    if (text == NULL)
        return fm_fail(err, FM_INTERNAL, "DuckDB failed without saying why");
    unsigned long long mib = worker->options.memory_bytes >> 20;
    unsigned long long disk = worker->options.spill_bytes >> 20;
    if (begins(text, "Out of Memory") && strstr(text, "max_temp_directory_size") != NULL)
        return fm_fail(err, FM_LIMIT,
                       "the query needed more than the worker's %llu MiB of memory and the %llu "
                       "MiB of disk it may spill to",
                       mib, disk);
    if (begins(text, "Out of Memory") || strstr(text, "bad_alloc") != NULL ||
        strstr(text, "could not allocate") != NULL || strstr(text, "failed to allocate") != NULL)
        return fm_fail(err, FM_LIMIT, "the query needed more memory than the worker's %llu MiB%s",
                       mib,
                       disk != 0 ? ", and not all of it can be spilled"
                                 : "; this node has no space to spill to");
    if (begins(text, "IO Error") && disk != 0)
        return fm_fail(err, FM_LIMIT, "the query could not be spilled to disk: %s", text);
    if (begins(text, "INTERRUPT"))
        return fm_fail(err, FM_CANCELLED, "cancelled");
    if (begins(text, "Permission Error"))
        return fm_fail(err, FM_REFUSED, "%s", text);
    if (begins(text, "INTERNAL Error") || begins(text, "FATAL Error"))
        return fm_fail(err, FM_INTERNAL, "%s", text);
    return fm_fail(err, FM_INVALID, "%s", text);
}

enum fm_status worker_prepare(struct worker *worker, const char *sql,
                              duckdb_prepared_statement *out, struct fm_error *err)
{
    duckdb_prepared_statement statement = NULL;

    if (duckdb_prepare(worker->connection, sql, &statement) != DuckDBSuccess) {
        enum fm_status status = worker_duck_error(
            worker, statement == NULL ? NULL : duckdb_prepare_error(statement), err);
        duckdb_destroy_prepare(&statement);
        return status;
    }
    *out = statement;
    return FM_OK;
}

/* The first value of a result of one text column. */
static void first_text(duckdb_result *result, struct fm_buf *out)
{
    duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);

    if (chunk != NULL && duckdb_data_chunk_get_size(chunk) > 0) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
        const uint64_t *validity = duckdb_vector_get_validity(vector);
        const duckdb_string_t *text = duckdb_vector_get_data(vector);
        if (validity == NULL || bits_get(validity, 0))
            fm_buf_put_span(out, duck_string_span(text));
    }
    duckdb_destroy_data_chunk(&chunk);
}

enum fm_status worker_text(struct worker *worker, const char *sql, struct fm_span text,
                           struct fm_buf *out, struct fm_error *err)
{
    duckdb_prepared_statement statement = NULL;
    duckdb_result result = {0};

    enum fm_status status = worker_prepare(worker, sql, &statement, err);
    if (status != FM_OK)
        return status;
    if (duckdb_bind_varchar_length(statement, 1, text.len > 0 ? (const char *)text.data : "",
                                   text.len) != DuckDBSuccess)
        status = fm_fail(err, FM_INVALID, "the text is not UTF-8");
    else if (duckdb_execute_prepared(statement, &result) != DuckDBSuccess)
        status = worker_duck_error(worker, duckdb_result_error(&result), err);
    else
        first_text(&result, out);
    duckdb_destroy_result(&result);
    duckdb_destroy_prepare(&statement);
    return status == FM_OK ? fm_buf_status(out) : status;
}
