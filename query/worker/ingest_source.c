#include "query/worker/ducktypes.h"
#include "query/worker/files.h"
#include "query/worker/ingest_plan.h"
#include "query/worker/vectors.h"

#include <errno.h>
#include <unistd.h>

#define HEADER_BYTES_MAX (1u << 20)
#define LIST_TEXT_MAX 300u /* Of names in an error. */

void ingest_deinit(struct ingest *ingest)
{
    for (uint32_t i = 0; i < ingest->column_count; i++)
        free(ingest->columns[i].name);
    free(ingest->columns);
    fm_schema_free(ingest->schema);
    *ingest = (struct ingest){0};
}

static enum fm_status add_column(struct ingest *ingest, struct fm_span name, duckdb_type type)
{
    struct ingest_column *grown =
        realloc(ingest->columns, (ingest->column_count + 1u) * sizeof *grown);

    if (grown == NULL)
        return FM_NOMEM;
    ingest->columns = grown;
    grown[ingest->column_count] =
        (struct ingest_column){.name = fm_strdup_span(name), .type = type};
    if (grown[ingest->column_count].name == NULL)
        return FM_NOMEM;
    ingest->column_count++;
    return FM_OK;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static enum fm_status read_start(int input, struct fm_buf *out)
{
    while (out->len < HEADER_BYTES_MAX) {
        uint8_t *room = fm_buf_extend(out, 65536);
        if (room == NULL)
            return fm_buf_status(out);
        ssize_t n = pread(input, room, 65536, (off_t)(out->len - 65536));
        out->len -= 65536 - (n > 0 ? (size_t)n : 0);
        if (n < 0 && errno != EINTR)
            return FM_IO;
        if (n == 0 || (n > 0 && memchr(room, '\n', (size_t)n) != NULL))
            break;
    }
    return FM_OK;
}

/* One name of the header at `*at`, unquoted into `name`; false when a quote is not closed. */
static bool take_name(struct fm_span text, size_t *at, struct fm_buf *name)
{
    size_t i = *at;

    if (i < text.len && text.data[i] == '"') {
        for (i++; i < text.len; i++) {
            if (text.data[i] != '"')
                fm_buf_put_u8(name, text.data[i]);
            else if (i + 1 < text.len && text.data[i + 1] == '"')
                fm_buf_put_u8(name, text.data[i++]);
            else
                break;
        }
        if (i == text.len)
            return false;
        i++;
    } else {
        while (i < text.len && strchr(",\r\n", text.data[i]) == NULL)
            fm_buf_put_u8(name, text.data[i++]);
    }
    *at = i;
    return i == text.len || strchr(",\r\n", text.data[i]) != NULL;
}

static enum fm_status look_at_csv(struct ingest *ingest, int input, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf start = FM_BUF_INIT(2 * HEADER_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf name = FM_BUF_INIT(HEADER_BYTES_MAX);
    size_t at = 0;

    enum fm_status status = read_start(input, &start);
    if (status != FM_OK)
        return fm_fail(err, status, "read the file's first line");
    struct fm_span text = fm_buf_span(&start);
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        at = 3; /* A byte order mark. */
    for (;;) {
        fm_buf_clear(&name);
        bool good = take_name(text, &at, &name);
        struct fm_span span = fm_buf_span(&name);
        bool is_text =
            fm_utf8_valid(span) && (span.len == 0 || memchr(span.data, 0, span.len) == NULL);
        if (!good || !is_text || fm_buf_status(&name) != FM_OK ||
            ingest->column_count >= FM_COLUMNS_MAX)
            return fm_fail(
                err, FM_INVALID,
                "the file's first line is no CSV header: names with commas between them");
        status = add_column(ingest, span, DUCKDB_TYPE_VARCHAR);
        if (status != FM_OK)
            return status;
        if (at == text.len || text.data[at] != ',')
            break;
        at++;
    }
    if (at < text.len && text.data[at] == '\r' && (at + 1 == text.len || text.data[at + 1] != '\n'))
        return fm_fail(err, FM_INVALID,
                       "the file's lines end with \\r alone; \\n or \\r\\n are read");
    return FM_OK;
}

/* ---- Parquet --------------------------------------------------------------------------------- */

static enum fm_status count_rows(struct ingest *ingest, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(64);

    enum fm_status status =
        worker_text(ingest->worker, "SELECT num_rows::VARCHAR FROM parquet_file_metadata($1)",
                    fm_span_str(FILES_INPUT), &text, err);
    if (status != FM_OK)
        return status;
    fm_buf_put_u8(&text, 0);
    if (fm_buf_status(&text) == FM_OK)
        ingest->row_count = strtoull((const char *)text.data, NULL, 10);
    return fm_buf_status(&text);
}

static enum fm_status look_at_parquet(struct ingest *ingest, struct fm_error *err)
{
    duckdb_prepared_statement statement = NULL;

    enum fm_status status = worker_prepare(
        ingest->worker, "SELECT * FROM read_parquet('" FILES_INPUT "')", &statement, err);
    if (status != FM_OK)
        return ingest_error(status, err);
    idx_t count = duckdb_prepared_statement_column_count(statement);
    if (count > FM_COLUMNS_MAX)
        status = fm_fail(err, FM_LIMIT, "the file has more than %u columns", FM_COLUMNS_MAX);
    for (idx_t i = 0; i < count && status == FM_OK; i++) {
        const char *name = duckdb_prepared_statement_column_name(statement, i);
        status = add_column(ingest, fm_span_str(name != NULL ? name : ""),
                            duckdb_prepared_statement_column_type(statement, i));
        duckdb_free((void *)(uintptr_t)name);
    }
    duckdb_destroy_prepare(&statement);
    return status == FM_OK ? count_rows(ingest, err) : status;
}

/* ---- What does not fit ----------------------------------------------------------------------- */

/* "a, b, c", cut when it gets long. */
static void put_item(struct fm_buf *out, const char *name, uint32_t *count)
{
    if (out->len > LIST_TEXT_MAX) {
        if (*count != UINT32_MAX)
            fm_buf_put_str(out, ", ...");
        *count = UINT32_MAX;
        return;
    }
    fm_buf_put_str(out, *count > 0 ? ", " : "");
    fm_buf_put_str(out, name);
    (*count)++;
}

static void put_expected(struct fm_buf *out, const struct ingest *ingest)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ingest->schema->field_count; i++)
        put_item(out, ingest->schema->fields[i].name, &count);
    fm_buf_put_u8(out, 0);
}

static void put_found(struct fm_buf *out, const struct ingest *ingest)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ingest->column_count; i++)
        put_item(out, ingest->columns[i].name, &count);
    fm_buf_put_u8(out, 0);
}

static enum fm_status misfit(const struct ingest *ingest, const char *what, const char *name,
                             struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf expected = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf found = FM_BUF_INIT(0);

    put_expected(&expected, ingest);
    put_found(&found, ingest);
    if (fm_buf_status(&expected) != FM_OK || fm_buf_status(&found) != FM_OK)
        return FM_NOMEM;
    return fm_fail(err, FM_INVALID, "%s '%.*s'; expected columns: %s; found: %s", what,
                   (int)FM_NAME_MAX, name, (const char *)expected.data, (const char *)found.data);
}

static enum fm_status match_columns(struct ingest *ingest, struct fm_error *err)
{
    const struct fm_schema *schema = ingest->schema;

    for (uint32_t i = 0; i < schema->field_count; i++)
        ingest->from[i] = -1;
    for (uint32_t i = 0; i < ingest->column_count; i++) {
        const char *name = ingest->columns[i].name;
        uint32_t field = 0;
        if (fm_schema_find(schema, fm_span_str(name), &field) != FM_OK)
            return misfit(ingest, "the file has an unknown column", name, err);
        if (ingest->from[field] >= 0)
            return misfit(ingest, "the file has two columns", name, err);
        ingest->from[field] = (int32_t)i;
    }
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (ingest->from[i] < 0 && schema->fields[i].required &&
            ((ingest->extras & FM_EXTRA_OP) == 0 || fm_schema_names_row(schema, i)))
            return misfit(ingest, "the file lacks the required column", schema->fields[i].name,
                          err);
    return FM_OK;
}

/* Take the columns of a fact's header among the fields. A table's own column of that name wins. */
static enum fm_status take_extras(struct ingest *ingest, uint32_t extras, struct fm_error *err)
{
    struct fm_schema *with = NULL;

    if (extras == 0)
        return FM_OK;
    enum fm_status status = fm_schema_with_extras(ingest->schema, extras, &with, err);
    if (status != FM_OK)
        return status;
    fm_schema_free(ingest->schema);
    ingest->schema = with;
    ingest->extras = extras;
    return FM_OK;
}

static uint32_t extra_of(const struct ingest *ingest, const char *name)
{
    uint32_t ignored;

    if (fm_schema_find(ingest->schema, fm_span_str(name), &ignored) == FM_OK)
        return 0;
    return fm_extra_of_name(fm_span_str(name));
}

/* The same for a quoted key. */
static uint32_t extra_of_key(const struct ingest *ingest, const char *key)
{
    char name[FM_NAME_MAX + 1] = {0};

    memcpy(name, key + 1, strlen(key) - 2);
    return extra_of(ingest, name);
}

static uint32_t extras_of_columns(const struct ingest *ingest)
{
    uint32_t extras = 0;

    for (uint32_t i = 0; i < ingest->column_count; i++)
        extras |= extra_of(ingest, ingest->columns[i].name);
    return extras;
}

/* NDJSON: which of the keys are anywhere in the text, as a key or else. */
static enum fm_status extras_of_text(const struct ingest *ingest, int input, uint32_t *out)
{
    static const char *const keys[] = {"\"_op\"", "\"_event_time\"", "\"_supersedes\""};
    enum { OVERLAP = 16 }; /* More than a key. */
    FM_AUTO(fm_buf_free) struct fm_buf part = FM_BUF_INIT(0);
    uint8_t *room = fm_buf_extend(&part, OVERLAP + 65536);
    size_t kept = 0;
    off_t at = 0;

    if (room == NULL)
        return fm_buf_status(&part);
    *out = 0;
    for (;;) {
        ssize_t n = pread(input, room + kept, 65536, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (memmem(room, kept + (size_t)n, keys[i], strlen(keys[i])) != NULL)
                *out |= extra_of_key(ingest, keys[i]);
        at += n;
        size_t have = kept + (size_t)n;
        kept = have < OVERLAP ? have : OVERLAP;
        memmove(room, room + have - kept, kept);
    }
    return FM_OK;
}

/* NDJSON has no header: every field may be there, keys are looked at row by row. */
static enum fm_status assume_all(struct ingest *ingest)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < ingest->schema->field_count && status == FM_OK; i++) {
        status =
            add_column(ingest, fm_span_str(ingest->schema->fields[i].name), DUCKDB_TYPE_VARCHAR);
        ingest->from[i] = (int32_t)i;
    }
    return status;
}

enum fm_status ingest_look(struct ingest *ingest, int input, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    uint32_t extras = 0;
    if (ingest->format == FM_FORMAT_NDJSON) {
        status = extras_of_text(ingest, input, &extras);
        if (status == FM_OK)
            status = take_extras(ingest, extras, err);
        return status == FM_OK ? assume_all(ingest) : status;
    }
    if (ingest->format == FM_FORMAT_CSV)
        status = look_at_csv(ingest, input, err);
    else
        status = look_at_parquet(ingest, err);
    if (status == FM_OK)
        status = take_extras(ingest, extras_of_columns(ingest), err);
    return status == FM_OK ? match_columns(ingest, err) : status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void put_csv(struct fm_buf *out, const struct ingest *ingest)
{
    /* An empty field is NULL, a quoted empty one is empty text: as PostgreSQL's COPY has it. */
    fm_buf_put_str(out, "read_csv('" FILES_INPUT "', auto_detect = false, header = true, "
                        "delim = ',', quote = '\"', escape = '\"', nullstr = '', "
                        "allow_quoted_nulls = false, strict_mode = true, "
                        "max_line_size = 16777216, columns = {");
    for (uint32_t i = 0; i < ingest->column_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        ducktype_quote(out, fm_span_str(ingest->columns[i].name), '\'');
        fm_buf_put_str(out, ": 'VARCHAR'");
    }
    /* Without `new_line`: DuckDB 1.5.6 finds both forms by itself, and with it reads no row at
     * all. */
    fm_buf_put_str(out, "})");
}

void ingest_put_source(struct fm_buf *out, const struct ingest *ingest)
{
    if (ingest->format == FM_FORMAT_CSV)
        put_csv(out, ingest);
    else if (ingest->format == FM_FORMAT_PARQUET)
        fm_buf_put_str(out, "read_parquet('" FILES_INPUT "', file_row_number = true)");
    else
        fm_buf_put_str(out,
                       "read_ndjson_objects('" FILES_INPUT "', maximum_object_size = 16777216)");
}

/* Cut `text` at the first of the phrases with which DuckDB begins to explain its options. */
static void cut_advice(char *text)
{
    static const char *const phrases[] = {
        "\nPossible fixes", "\nPossible Solution", "\n\nPossible",    "\nfile =",
        "\n  file =",       "\n\nLINE 1:",         " Try increasing", "\n * "};
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++) {
        char *at = strstr(text, phrases[i]);
        if (at != NULL)
            *at = '\0';
    }
}

enum fm_status ingest_error(enum fm_status status, struct fm_error *err)
{
    static const char *const quoted[] = {"file '" FILES_INPUT "'", "file \"" FILES_INPUT "\"",
                                         "'" FILES_INPUT "'", "\"" FILES_INPUT "\"", FILES_INPUT};

    if (err == NULL || (status != FM_INVALID && status != FM_IO))
        return status;
    cut_advice(err->text);
    for (size_t i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        char *at = strstr(err->text, quoted[i]);
        if (at == NULL)
            continue;
        size_t len = strlen(quoted[i]);
        memcpy(at, "the file", 8); /* Shorter than each of them. */
        memmove(at + 8, at + len, strlen(at + len) + 1);
        i--; /* There may be another. */
    }
    return FM_INVALID;
}
