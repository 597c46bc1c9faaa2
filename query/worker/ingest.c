#include "query/worker/ingest.h"

#include "query/worker/ducktypes.h"
#include "query/worker/ingest_plan.h"
#include "query/worker/stream.h"

#include <sys/stat.h>

#define VALUE_TEXT_MAX 100u /* Of a faulty value in an error. */
#define TYPE_TEXT_MAX 200u
/* What sorting holds of a row, about: */
#define SORT_ROW_BYTES 16u  /* its number and fault, */
#define SORT_TEXT_BYTES 24u /* a short text or blob, */
#define SORT_NEST_BYTES 64u /* a small list, struct or map. */

/* What the stream has seen of faults. */
struct inspection {
    struct ingest *ingest;
    uint64_t rows;      /* Before the chunk at hand. */
    uint64_t fault_row; /* 0: none yet. */
    uint32_t fault;
};

/* ---- Telling a fault ------------------------------------------------------------------------- */

/* Cut at a character's border and end with a NUL; true when there was a value. */
static bool fault_value(struct ingest *ingest, uint32_t fault, uint64_t row, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);
    struct fm_error ignored;

    ingest_put_value_sql(&sql, ingest, fault, row);
    fm_buf_put_u8(out, '\'');
    if (fm_buf_status(&sql) != FM_OK || worker_text(ingest->worker, (const char *)sql.data,
                                                    fm_span_str("x"), out, &ignored) != FM_OK)
        return false;
    bool is_value = out->len > 1; /* Where an empty text is at fault, it stood for none. */
    if (out->len > VALUE_TEXT_MAX) {
        out->len = VALUE_TEXT_MAX;
        while (out->len > 1 && (out->data[out->len] & 0xc0u) == 0x80u)
            out->len--;
        fm_buf_put_str(out, "...");
    }
    fm_buf_put_str(out, "'");
    fm_buf_put_u8(out, 0);
    return is_value && fm_buf_status(out) == FM_OK;
}

static enum fm_status tell_field(struct ingest *ingest, const struct fm_field *field, uint64_t row,
                                 const char *value, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(0);
    unsigned long long number = row;

    (void)ingest;
    if (value == NULL)
        return fm_fail(err, FM_INVALID,
                       "row %llu, column %s: the value is missing, but the column is required",
                       number, field->name);
    fm_type_print(&type, &field->type);
    if (type.len > TYPE_TEXT_MAX)
        type.len = TYPE_TEXT_MAX;
    fm_buf_put_u8(&type, 0);
    if (fm_buf_status(&type) != FM_OK)
        return FM_NOMEM;
    const char *name = (const char *)type.data;
    return fm_fail(err, FM_INVALID, "row %llu, column %s: %s is not %s %s", number, field->name,
                   value, strchr("aeiou", name[0]) != NULL ? "an" : "a", name);
}

static enum fm_status tell(struct inspection *inspection, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct ingest *ingest = inspection->ingest;
    uint32_t fault = inspection->fault;
    unsigned long long row = inspection->fault_row;

    bool is_value = fault_value(ingest, fault, inspection->fault_row, &value);
    const char *text = is_value ? (const char *)value.data : NULL;
    if (fault == INGEST_FAULT_KEYS)
        return fm_fail(err, FM_INVALID, "row %llu has unknown columns: %s", row,
                       text != NULL ? text : "?");
    if (fault == INGEST_FAULT_OBJECT)
        return fm_fail(err, FM_INVALID, "row %llu is no JSON object: %s", row,
                       text != NULL ? text : "?");
    if (fault == 0 || fault > ingest->schema->field_count)
        return fm_fail(err, FM_INTERNAL, "row %llu does not fit the contract", row);
    return tell_field(ingest, &ingest->schema->fields[fault - 1], inspection->fault_row, text, err);
}

/* ---- The stream ------------------------------------------------------------------------------ */

/* Sorted, faulty rows come first, in any order: the first of the file is found when a good row
 * or the end comes. In file order the first one is the first. Faulty rows are never delivered:
 * the run fails before its next batch. */
static enum fm_status inspect(void *context, duckdb_data_chunk chunk, struct fm_error *err)
{
    struct inspection *inspection = context;
    idx_t at = inspection->ingest->schema->field_count;
    idx_t size = duckdb_data_chunk_get_size(chunk);
    const uint16_t *faults = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, at));
    const int64_t *numbers = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, at + 1));
    uint16_t any = 0;

    for (idx_t i = 0; i < size; i++)
        any |= faults[i];
    for (idx_t i = 0; i < size && any != 0; i++) {
        if (faults[i] == 0)
            continue;
        uint64_t row = numbers[i] > 0 ? (uint64_t)numbers[i] : inspection->rows + i + 1;
        if (inspection->fault_row == 0 || row < inspection->fault_row) {
            inspection->fault_row = row;
            inspection->fault = faults[i];
        }
        if (!inspection->ingest->sorted)
            break;
    }
    inspection->rows += size;
    if (inspection->fault_row == 0)
        return FM_OK;
    bool all = inspection->ingest->sorted && size > 0 && faults[size - 1] != 0;
    return all ? FM_BUSY : fm_fail(err, FM_INVALID, "a row is at fault");
}

/* The schema's fields as the columns that the encoder writes. */
static enum fm_status make_columns(const struct fm_schema *schema, struct fm_columns *out)
{
    out->items = calloc(schema->field_count, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; i < schema->field_count && status == FM_OK; i++) {
        memcpy(out->items[i].name, schema->fields[i].name, sizeof schema->fields[i].name);
        status = fm_type_copy(&schema->fields[i].type, &out->items[i].type);
        if (status == FM_OK)
            out->count = i + 1;
    }
    return status;
}

/* The statement must give just the schema's types. */
static enum fm_status check_types(duckdb_prepared_statement statement,
                                  const struct fm_columns *columns, struct fm_error *err)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        FM_AUTO(fm_type_deinit) struct fm_type type = {0};
        duckdb_logical_type duck = duckdb_prepared_statement_column_logical_type(statement, i);
        enum fm_status status = ducktype_to(duck, &type, err);
        duckdb_destroy_logical_type(&duck);
        if (status != FM_OK)
            return status;
        if (!fm_type_equal(&type, &columns->items[i].type))
            return fm_fail(err, FM_INTERNAL, "column %s cannot be read as its type",
                           columns->items[i].name);
    }
    return FM_OK;
}

static void announce(struct ingest *ingest)
{
    uint8_t rows[8];
    fm_store64(rows, ingest->row_count);
    worker_send(ingest->worker, CHANNEL_DONE, ingest->extras, fm_span(rows, sizeof rows));
}

static enum fm_status run_statement(struct ingest *ingest, duckdb_prepared_statement statement,
                                    struct fm_error *err)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    struct inspection inspection = {.ingest = ingest};
    struct stream_check check = {&inspection, inspect};

    enum fm_status status = make_columns(ingest->schema, &columns);
    if (status == FM_OK)
        status = check_types(statement, &columns, err);
    if (status != FM_OK)
        return status;
    announce(ingest);
    status = stream_result(ingest->worker, statement, &columns, &check, err);
    if (inspection.fault_row != 0)
        return tell(&inspection, err);
    return status == FM_OK ? FM_OK : ingest_error(status, err);
}

/* DuckDB sorts in memory, since nothing may be spilled: half of what it has is for that. A larger
 * file comes in its own order; whoever stores the rows sorts them in parts. */
static bool can_sort(const struct ingest *ingest, int input)
{
    uint64_t row_bytes = SORT_ROW_BYTES;
    uint64_t bytes;
    struct stat file;

    if (ingest->schema->cluster_count == 0 || fstat(input, &file) != 0 || !S_ISREG(file.st_mode))
        return false;
    for (uint32_t i = 0; i < ingest->schema->field_count; i++) {
        const struct fm_type *type = &ingest->schema->fields[i].type;
        uint32_t width = fm_type_width(type);

        row_bytes += width > 0                 ? width
                     : fm_type_is_nested(type) ? SORT_NEST_BYTES
                                               : SORT_TEXT_BYTES;
    }
    bytes = (uint64_t)file.st_size * 2;
    if (ingest->row_count > 0 && ingest->row_count <= UINT64_MAX / row_bytes &&
        bytes < ingest->row_count * row_bytes)
        bytes = ingest->row_count * row_bytes;
    return bytes <= ingest->worker->options.memory_bytes / 2;
}

static enum fm_status run(struct ingest *ingest, int input, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX);
    duckdb_prepared_statement statement = NULL;

    enum fm_status status = ingest_look(ingest, input, err);
    if (status != FM_OK)
        return status;
    ingest->sorted = (ingest->extras & (FM_EXTRA_OP | FM_EXTRA_SUPERSEDES)) == 0 &&
                     can_sort(ingest, input); /* Operations take effect in the file's order. */
    ingest_put_sql(&sql, ingest);
    status = fm_buf_status(&sql);
    if (status == FM_OK)
        status = worker_prepare(ingest->worker, (const char *)sql.data, &statement, err);
    if (status != FM_OK)
        return ingest_error(status, err);
    status = run_statement(ingest, statement, err);
    duckdb_destroy_prepare(&statement);
    return status;
}

enum fm_status ingest_run(struct worker *worker, struct fm_error *err)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);

    if (ingest == NULL)
        return FM_NOMEM;
    ingest->worker = worker;
    ingest->format = (enum fm_format)worker->control.frame.number;
    enum fm_status status =
        fm_schema_decode(fm_buf_span(&worker->control.payload), &ingest->schema, err);
    if (status == FM_OK && ingest->format != FM_FORMAT_PARQUET && ingest->format != FM_FORMAT_CSV &&
        ingest->format != FM_FORMAT_NDJSON)
        status = fm_fail(err, FM_INVALID, "a file format that is not known here");
    if (status == FM_OK)
        status = run(ingest, worker->input, err);
    ingest_deinit(ingest);
    free(ingest);
    return status;
}
