#include "client/answer_file.h"
#include "client/client_internal.h"
#include "client/client_text.h"
#include "client/fragments.h"
#include "core/codec.h"

#include <stdio.h>

struct folkmoot_result {
    struct folkmoot *handle;
    struct fm_request_id id;
    struct fm_buf request; /* Envelope as sent: the bundle must be about it. */
    struct fm_buf reply;   /* Of the opening, which may bring the first batch and the end: */
    struct fm_opened opened;
    struct fm_buf columns_bytes;
    struct fm_columns columns;
    struct fm_column_view view;
    char **type_texts; /* One per column. */
    uint32_t timeout_ms;
    uint64_t rows_max;
    bool is_verified_at_end;
    bool with_fragments;
    bool is_open;      /* Running at the node: to be cancelled. */
    bool is_made_here; /* `bytes` are a batch that was not given yet. */
    struct fm_answer_writer *writer;
    struct fm_leaves leaves;
    struct fm_buf bytes; /* The batch at hand. */
    struct fm_batch batch;
    struct fm_buf text;
    struct fm_buf bundle;
    struct folkmoot_answer *answer;
};

/* Its rows (0), or FM_FETCH_FRAGMENTS. */
static void cancel_at(struct folkmoot_result *result, uint32_t number)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);
    struct folkmoot *handle = result->handle;
    struct fm_request_id call;

    if (handle->connection == NULL || fm_connection_is_broken(handle->connection))
        return;
    fm_random(call.bytes, sizeof call.bytes);
    fm_pack_map(&body, 2);
    fm_pack_key_bin(&body, 0, result->id.bytes, sizeof result->id.bytes);
    fm_pack_key_uint(&body, 1, number);
    /* A courtesy: without it the node drops the query when its lease ends. */
    enum fm_status ignored =
        fm_connection_call(handle->connection, FM_METHOD_QUERY_CANCEL, &call, fm_buf_span(&body),
                           fm_now_ms() + FM_GRACE_MS, NULL, NULL, NULL);
    (void)ignored;
}

static void cancel(struct folkmoot_result *result)
{
    if (result->handle->ahead_of == result)
        fm_client_drop_ahead(result->handle);
    if (!result->is_open || result->opened.end.len != 0)
        return;
    result->is_open = false;
    cancel_at(result, 0);
}

void folkmoot_result_free(struct folkmoot_result *result)
{
    if (result == NULL)
        return;
    cancel(result);
    for (uint32_t i = 0; result->type_texts != NULL && i < result->columns.count; i++)
        free(result->type_texts[i]);
    free(result->type_texts);
    fm_column_view_deinit(&result->view);
    fm_columns_deinit(&result->columns);
    fm_answer_writer_free(result->writer);
    fm_leaves_deinit(&result->leaves);
    fm_buf_free(&result->request);
    fm_buf_free(&result->reply);
    fm_buf_free(&result->columns_bytes);
    fm_buf_free(&result->bytes);
    fm_buf_free(&result->text);
    fm_buf_free(&result->bundle);
    folkmoot_answer_free(result->answer);
    free(result);
}

FM_DEFINE_FREEP(result_freep, struct folkmoot_result, folkmoot_result_free)

static enum fm_status read_columns(struct folkmoot_result *result)
{
    enum fm_status status = fm_opened_decode(fm_buf_span(&result->reply), &result->opened);

    if (status != FM_OK)
        return status;
    fm_buf_put_span(&result->columns_bytes, result->opened.columns);
    status = fm_buf_status(&result->columns_bytes);
    if (status == FM_OK)
        status = fm_columns_decode(fm_buf_span(&result->columns_bytes), &result->columns);
    if (status == FM_OK)
        status = fm_column_view_init(&result->view, &result->columns);
    return status;
}

static enum fm_status print_types(struct folkmoot_result *result)
{
    result->type_texts = calloc((size_t)result->columns.count + 1, sizeof(char *));
    if (result->type_texts == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < result->columns.count; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
        fm_type_print(&text, &result->columns.items[i].type);
        if (fm_buf_status(&text) == FM_OK)
            result->type_texts[i] = fm_strdup_span(fm_buf_span(&text));
        if (result->type_texts[i] == NULL)
            return FM_NOMEM;
    }
    return FM_OK;
}

/* What may be missing. */
static enum fm_status fill_leave(const struct fm_settings *settings,
                                 const struct folkmoot_query_options *options,
                                 struct fm_query_body *out, struct fm_error *err)
{
    bool skips = options->skip_unavailable != 0 ? options->skip_unavailable > 0
                                                : settings->on_unavailable == FM_UNAVAILABLE_SKIP;
    int partial = options->allow_partial_aggregates;

    if (partial > 0 && !skips)
        return fm_fail(err, FM_INVALID, "partial aggregates need leave to go on without owners");
    if (skips && options->skip_verification != 0)
        return fm_fail(err, FM_INVALID, "only a verified answer tells what is missing");
    out->on_unavailable = skips ? FM_UNAVAILABLE_SKIP : FM_UNAVAILABLE_FAIL;
    out->allows_partial_aggregates =
        skips && (partial != 0 ? partial > 0 : settings->allows_partial_aggregates);
    return FM_OK;
}

/* What is asked for, as the body of the request. `saved` keeps the bytes of the heads. */
static enum fm_status fill_body(const struct folkmoot *handle, struct fm_span sql,
                                const struct folkmoot_query_options *options,
                                struct folkmoot_answer **saved, struct fm_query_body *out,
                                struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (sql.len == 0 || sql.len > FM_SQL_BYTES_MAX || !fm_utf8_valid(sql))
        return fm_fail(err, FM_INVALID, "the query must be 1 to %u bytes of UTF-8",
                       FM_SQL_BYTES_MAX);
    *out = (struct fm_query_body){
        .sql = sql,
        .rules_off = handle->settings.rules_off,
        .with_fragments = options->with_fragments != 0,
    };
    if (out->with_fragments && (options->save == NULL || options->skip_verification != 0))
        return fm_fail(err, FM_INVALID,
                       "fragments are kept with an answer that is verified and saved");
    status = fill_leave(&handle->settings, options, out, err);
    if (status == FM_OK && options->without != NULL)
        status = fm_rules_parse(fm_span_str(options->without), &out->rules_off, err);
    if (status == FM_OK && options->at_heads == NULL) {
        out->head_count = handle->settings.head_count;
        memcpy(out->heads, handle->settings.heads, sizeof out->heads);
    }
    if (status != FM_OK || options->at_heads == NULL)
        return status;
    status = fm_answer_load(options->at_heads, &handle->identity->charter, saved, err);
    if (status == FM_OK)
        status = fm_answer_heads(*saved, out->heads, &out->head_count, err);
    if (status == FM_OK && out->head_count == 0)
        status = fm_fail(err, FM_INVALID, "it read no table");
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "heads of %s", options->at_heads);
}

static enum fm_status send_query(struct folkmoot_result *result, struct fm_span sql,
                                 const struct folkmoot_query_options *options)
{
    FM_AUTO(fm_answer_freep) struct folkmoot_answer *saved = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    struct folkmoot *handle = result->handle;

    struct fm_query_body asked;

    enum fm_status status = fill_body(handle, sql, options, &saved, &asked, &handle->err);
    if (status != FM_OK)
        return status;
    fm_query_body_encode(&body, &asked);
    if (fm_buf_status(&body) != FM_OK)
        return fm_fail(&handle->err, FM_LIMIT, "the query is longer than one message");
    struct fm_request request =
        fm_client_request(FM_METHOD_QUERY_OPEN, fm_buf_span(&body), result->timeout_ms);
    result->id = request.id;
    status = fm_client_connect(handle);
    if (status != FM_OK)
        return status;
    status = fm_connection_request(handle->connection, &request,
                                   fm_now_ms() + result->timeout_ms + FM_GRACE_MS, &result->request,
                                   &result->reply, &handle->err);
    if (status != FM_OK)
        return status;
    result->is_open = true;
    status = read_columns(result);
    if (status == FM_OK)
        status = print_types(result);
    if (status != FM_OK)
        return fm_fail(&handle->err, status, "the node's reply about the query: %s",
                       fm_status_text(status));
    return FM_OK;
}

static enum fm_status open_query(struct folkmoot *handle, const char *sql, size_t sql_len,
                                 const struct folkmoot_query_options *options,
                                 struct folkmoot_result **out)
{
    FM_AUTO(result_freep) struct folkmoot_result *result = calloc(1, sizeof *result);

    if (result == NULL)
        return fm_fail(&handle->err, FM_NOMEM, "query");
    result->handle = handle;
    result->timeout_ms = options->timeout_ms;
    if (result->timeout_ms == 0)
        result->timeout_ms = handle->settings.time_limit_ms;
    if (result->timeout_ms == 0)
        result->timeout_ms = handle->timeout_ms;
    result->rows_max = options->rows_max;
    result->is_verified_at_end = options->skip_verification == 0;
    result->with_fragments = options->with_fragments != 0;
    result->reply.max = FM_MESSAGE_BYTES_MAX;
    result->bytes.max = FM_BATCH_BYTES_MAX;
    result->bundle.max = FM_DOC_BYTES_MAX;
    enum fm_status status = FM_OK;
    if (options->save != NULL) /* Before anything is asked: the folder may not be writable. */
        status = fm_answer_writer_open(options->save, &result->writer, &handle->err);
    if (status == FM_OK)
        status = send_query(result, fm_span(sql, sql_len), options);
    if (status == FM_OK)
        *out = FM_TAKE(result);
    return status;
}

/* Rows that were made here, as one batch. */
static enum fm_status take_rows(struct folkmoot_result *result, struct fm_rows *rows)
{
    FM_AUTO(fm_buf_free) struct fm_buf columns = FM_BUF_INIT(0);

    fm_columns_encode(&columns, fm_rows_columns(rows));
    enum fm_status status = fm_buf_status(&columns);
    if (status == FM_OK)
        status = fm_columns_decode(fm_buf_span(&columns), &result->columns);
    if (status == FM_OK)
        status = fm_column_view_init(&result->view, &result->columns);
    if (status == FM_OK)
        status = print_types(result);
    result->bytes.max = FM_BATCH_BYTES_MAX;
    if (status == FM_OK)
        status = fm_rows_finish(rows, &result->bytes);
    result->is_made_here = status == FM_OK;
    return status;
}

static enum fm_status open_settings(struct folkmoot *handle, struct fm_rows *rows,
                                    struct folkmoot_result **out)
{
    FM_AUTO(result_freep) struct folkmoot_result *result = calloc(1, sizeof *result);

    if (result == NULL)
        return fm_fail(&handle->err, FM_NOMEM, "settings");
    result->handle = handle;
    enum fm_status status = rows != NULL ? take_rows(result, rows) : FM_OK;
    if (status != FM_OK)
        return fm_fail(&handle->err, status, "settings: %s", fm_status_text(status));
    *out = FM_TAKE(result);
    return FM_OK;
}

static enum fm_status open_statement(struct folkmoot *handle, struct fm_span sql,
                                     const struct folkmoot_query_options *options,
                                     struct folkmoot_result **out)
{
    FM_AUTO(fm_rows_freep) struct fm_rows *rows = NULL;
    bool is_setting = false;

    enum fm_status status =
        fm_client_settings(handle, sql, options->save != NULL, &is_setting, &rows);
    if (status != FM_OK)
        return status;
    return is_setting ? open_settings(handle, rows, out)
                      : open_query(handle, (const char *)sql.data, sql.len, options, out);
}

enum folkmoot_status folkmoot_query(struct folkmoot *handle, const char *sql, size_t sql_len,
                                    const struct folkmoot_query_options *options,
                                    struct folkmoot_result **out)
{
    const struct folkmoot_query_options defaults = {0};

    return fm_public_status(
        open_statement(handle, fm_span(sql, sql_len), options == NULL ? &defaults : options, out));
}

/* ---- Batches ------------------------------------------------------------------------------- */

static enum fm_status take_batch(struct folkmoot_result *result)
{
    struct fm_error *err = &result->handle->err;
    struct fm_span bytes = fm_buf_span(&result->bytes);

    enum fm_status status = fm_batch_view(bytes, result->view.types, result->view.count,
                                          result->view.dictionaries, &result->batch);
    if (status != FM_OK)
        return fm_fail(err, status, "batch %llu of the answer does not fit its columns",
                       (unsigned long long)result->leaves.count + 1);
    status = fm_leaves_add(&result->leaves, bytes, result->batch.rows);
    if (status != FM_OK)
        return fm_fail(err, status, "the answer has too many batches");
    if (result->rows_max != 0 && result->leaves.rows > result->rows_max)
        return fm_fail(err, FM_LIMIT,
                       "the answer has more than %llu rows; allow more or add a LIMIT",
                       (unsigned long long)result->rows_max);
    if (result->writer != NULL)
        return fm_answer_writer_batch(result->writer, bytes, err);
    return FM_OK;
}

/* The bundle may hold for another question, or for other columns: compare with ours. */
static enum fm_status compare(const struct folkmoot_result *result, struct fm_error *err)
{
    const struct fm_verified *verified = fm_answer_verified(result->answer);

    if (!fm_span_equal(fm_answer_request(result->answer), fm_buf_span(&result->request)))
        return fm_fail(err, FM_FORGED, "the answer is to another request than ours");
    if (!fm_span_equal(verified->answer.columns, fm_buf_span(&result->columns_bytes)))
        return fm_fail(err, FM_FORGED, "the columns signed are not the columns shown");
    return FM_OK;
}

/* One batch of what the fragments brought; once more when the link is lost on the way. */
static enum fm_status fetch_fragment(struct folkmoot_result *result, uint64_t number)
{
    struct folkmoot *handle = result->handle;
    enum fm_part_kind kind = FM_PART_END;
    enum fm_status status = FM_UNAVAILABLE;

    for (unsigned attempt = 0; attempt < 2 && status == FM_UNAVAILABLE; attempt++) {
        fm_buf_clear(&result->bytes);
        status = fm_client_connect(handle);
        if (status == FM_OK)
            status = fm_connection_fetch(handle->connection, FM_METHOD_QUERY_FETCH, &result->id,
                                         FM_FETCH_FRAGMENTS, number,
                                         fm_now_ms() + result->timeout_ms + FM_GRACE_MS, NULL,
                                         &kind, &result->bytes, &handle->err);
    }
    if (status == FM_OK && kind != FM_PART_BATCH)
        return fm_fail(&handle->err, FM_FORGED, "fewer batches than the receipts have");
    return status;
}

/* What is merged here needs them; rows that were passed on are their fragment's own. */
static enum fm_status save_fragments(struct folkmoot_result *result)
{
    FM_AUTO(fm_fragments_deinit) struct fm_fragments fragments = {0};
    struct fm_error *err = &result->handle->err;
    const struct fm_answer *answer = &fm_answer_verified(result->answer)->answer;
    uint64_t count = 0;
    uint32_t ignored;

    if (answer->origin == FM_ROWS_OF_FRAGMENT || answer->fragment_count == 0)
        return FM_OK;
    if (!fm_answer_has_fragments(result->answer))
        return fm_fail(err, FM_MALFORMED, "the node kept no fragments, which it was asked to");
    enum fm_status status = fm_fragments_count(result->answer, &count, err);
    fm_fragments_init(&fragments, result->answer);
    for (uint64_t i = 0; i < count && status == FM_OK; i++) {
        status = fetch_fragment(result, i);
        if (status == FM_OK)
            status = fm_fragments_take(&fragments, fm_buf_span(&result->bytes), &ignored, err);
        if (status == FM_OK)
            status = fm_answer_writer_fragment(result->writer, fm_buf_span(&result->bytes), err);
    }
    fm_buf_clear(&result->bytes);
    cancel_at(result, FM_FETCH_FRAGMENTS); /* So that the node need not keep them longer. */
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "fetch the fragments");
}

static enum fm_status save(struct folkmoot_result *result)
{
    struct fm_error *err = &result->handle->err;

    enum fm_status status =
        fm_answer_writer_bundle(result->writer, fm_buf_span(&result->bundle), err);
    if (status == FM_OK && result->with_fragments)
        status = save_fragments(result);
    return status == FM_OK ? fm_answer_writer_finish(result->writer, err) : status;
}

static enum fm_status finish(struct folkmoot_result *result)
{
    struct folkmoot *handle = result->handle;
    enum fm_status status = FM_OK;

    result->is_open = false;
    if (result->is_verified_at_end) {
        status = fm_answer_check(&handle->identity->charter, handle->certs,
                                 fm_buf_span(&result->request), fm_buf_span(&result->bundle),
                                 &result->leaves, &result->answer, &handle->err);
        if (status == FM_OK)
            status = compare(result, &handle->err);
        if (status != FM_OK)
            return fm_wrap(&handle->err, status, "the answer does not hold");
    }
    return result->writer != NULL ? save(result) : status;
}

/* Ask for batch `number` of the result: it is made and sent while the one before it is read. Not
 * while another result of this handle waits for one. */
static void fetch_ahead(struct folkmoot_result *result, uint64_t number)
{
    struct folkmoot *handle = result->handle;
    const struct fm_fetch wanted = {.query = result->id, .batch = number};
    struct fm_error ignored = {0};

    if (handle->ahead != NULL || fm_connection_is_broken(handle->connection))
        return;
    /* On failure it is asked for once more when it is needed, and then the failure told. */
    enum fm_status status = fm_connection_fetch_begin(
        handle->connection, FM_METHOD_QUERY_FETCH, &wanted,
        fm_now_ms() + result->timeout_ms + FM_GRACE_MS, NULL, &handle->ahead, &ignored);
    if (status == FM_OK)
        handle->ahead_of = result;
}

/* A query belongs to its principal, not to a session: a long answer outlives several. */
static enum fm_status fetch(struct folkmoot_result *result, enum fm_part_kind *kind)
{
    struct folkmoot *handle = result->handle;
    uint64_t number = result->leaves.count;
    enum fm_status status = FM_OK;

    fm_buf_clear(&result->bytes);
    if (handle->ahead_of == result) {
        handle->ahead_of = NULL;
        status =
            fm_connection_fetch_end(FM_TAKE(handle->ahead), kind, &result->bytes, &handle->err);
    } else {
        status = fm_client_connect(handle);
        if (status == FM_OK)
            status = fm_connection_fetch(handle->connection, FM_METHOD_QUERY_FETCH, &result->id, 0,
                                         number, fm_now_ms() + result->timeout_ms + FM_GRACE_MS,
                                         NULL, kind, &result->bytes, &handle->err);
    }
    if (status == FM_OK && *kind == FM_PART_BATCH)
        fetch_ahead(result, number + 1);
    return status;
}

/* What came with the opening. */
static bool take_opened(struct folkmoot_result *result, enum fm_part_kind *kind)
{
    const struct fm_opened *opened = &result->opened;
    bool is_first = result->leaves.count == 0 && opened->first.len != 0;
    bool is_end = !is_first && opened->end.len != 0 &&
                  result->leaves.count == (opened->first.len != 0 ? 1 : 0);

    *kind = is_first ? FM_PART_BATCH : FM_PART_END;
    if (is_first || is_end)
        fm_buf_put_span(&result->bytes, is_first ? opened->first : opened->end);
    if (is_first && opened->end.len == 0 && result->handle->connection != NULL)
        fetch_ahead(result, 1);
    return (is_first || is_end) && fm_buf_status(&result->bytes) == FM_OK;
}

static enum fm_status next_batch(struct folkmoot_result *result)
{
    struct folkmoot *handle = result->handle;
    enum fm_part_kind kind = FM_PART_END;

    result->batch = (struct fm_batch){0};
    if (result->is_made_here) {
        result->is_made_here = false;
        return fm_batch_view(fm_buf_span(&result->bytes), result->view.types, result->view.count,
                             result->view.dictionaries, &result->batch);
    }
    fm_buf_clear(&result->bytes);
    if (!result->is_open)
        return FM_OK;
    enum fm_status status = take_opened(result, &kind) ? FM_OK : fetch(result, &kind);
    if (status == FM_UNAVAILABLE) /* The link was lost on the way: the node still has the query. */
        status = fetch(result, &kind);
    if (status != FM_OK)
        return status;
    if (kind == FM_PART_BATCH)
        return take_batch(result);
    fm_buf_put_span(&result->bundle, fm_buf_span(&result->bytes));
    fm_buf_clear(&result->bytes);
    if (fm_buf_status(&result->bundle) != FM_OK)
        return fm_fail(&handle->err, fm_buf_status(&result->bundle), "the answer's bundle: %s",
                       fm_status_text(fm_buf_status(&result->bundle)));
    return finish(result);
}

enum folkmoot_status folkmoot_result_next(struct folkmoot_result *result)
{
    /* An empty batch is none to a caller who waits for the end. */
    for (;;) {
        enum fm_status status = next_batch(result);
        if (status != FM_OK)
            result->batch.rows = 0;
        if (status != FM_OK || result->batch.rows != 0 || !result->is_open)
            return fm_public_status(status);
    }
}

/* ---- Access -------------------------------------------------------------------------------- */

uint32_t folkmoot_result_column_count(const struct folkmoot_result *result)
{
    return result->columns.count;
}

const char *folkmoot_result_column_name(const struct folkmoot_result *result, uint32_t column)
{
    return column < result->columns.count ? result->columns.items[column].name : NULL;
}

const char *folkmoot_result_column_type(const struct folkmoot_result *result, uint32_t column)
{
    return column < result->columns.count ? result->type_texts[column] : NULL;
}

int folkmoot_result_column_is_number(const struct folkmoot_result *result, uint32_t column)
{
    return column < result->columns.count && fm_type_is_number(&result->columns.items[column].type);
}

uint32_t folkmoot_result_rows(const struct folkmoot_result *result)
{
    return result->batch.rows;
}

const uint8_t *folkmoot_result_batch(const struct folkmoot_result *result, size_t *len)
{
    *len = result->bytes.len;
    return result->bytes.data;
}

static enum fm_status value_text(struct folkmoot_result *result, enum fm_text_style style,
                                 uint32_t row, uint32_t column, const char **text, size_t *len)
{
    if (row >= result->batch.rows || column >= result->columns.count)
        return fm_fail(&result->handle->err, FM_INVALID, "there is no row %u, column %u", row,
                       column);
    const struct fm_vector_entry *vector = &result->batch.vectors[column];
    if (fm_vector_is_null(&result->batch, vector, row)) {
        *text = NULL;
        *len = 0;
        return FM_OK;
    }
    fm_buf_clear(&result->text);
    enum fm_status status =
        fm_text_value(&result->text, style, &result->batch, vector, result->view.types[column],
                      result->view.dictionaries[column], row);
    size_t size = result->text.len;
    fm_buf_put_u8(&result->text, 0);
    if (status == FM_OK)
        status = fm_buf_status(&result->text);
    if (status != FM_OK)
        return fm_fail(&result->handle->err, status, "print a value: %s", fm_status_text(status));
    *text = (const char *)result->text.data;
    *len = size;
    return FM_OK;
}

enum folkmoot_status folkmoot_result_text(struct folkmoot_result *result, uint32_t row,
                                          uint32_t column, const char **text, size_t *len)
{
    return fm_public_status(value_text(result, FM_TEXT_PLAIN, row, column, text, len));
}

enum folkmoot_status folkmoot_result_json(struct folkmoot_result *result, uint32_t row,
                                          uint32_t column, const char **text, size_t *len)
{
    enum fm_status status = value_text(result, FM_TEXT_JSON, row, column, text, len);

    if (status == FM_OK && *text == NULL) {
        *text = "null";
        *len = 4;
    }
    return fm_public_status(status);
}

const struct folkmoot_answer *folkmoot_result_answer(const struct folkmoot_result *result)
{
    return result->answer;
}

const uint8_t *folkmoot_result_bundle(const struct folkmoot_result *result, size_t *len)
{
    *len = result->bundle.len;
    return result->bundle.data;
}
