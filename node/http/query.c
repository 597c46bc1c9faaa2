/* POST /v1/query: rows as they come, in the form that the client likes, and how it went behind
 * them. */
#include "client/client_text.h"
#include "core/envelope.h"
#include "node/http/call.h"
#include "node/http/request.h"
#include "node/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct answer {
    enum fm_http_format format;
    struct fm_login_query *query;
    const struct fm_columns *columns;
    struct fm_buf text; /* Of one value. */
    bool has_rows;      /* Some were written. */
    bool is_over;
};

static void answer_free(void *context)
{
    struct answer *answer = context;

    if (answer == NULL)
        return;
    fm_login_query_free(answer->query);
    fm_buf_free(&answer->text);
    free(answer);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* RFC 4180; NULL is empty, an empty text is "". */
static void put_csv(struct fm_buf *out, struct fm_span text)
{
    bool needs = text.len == 0;

    for (size_t i = 0; i < text.len && !needs; i++)
        needs = strchr("\",\r\n", text.data[i]) != NULL && text.data[i] != '\0';
    if (!needs) {
        fm_buf_put_span(out, text);
        return;
    }
    fm_buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            fm_buf_put_u8(out, '"');
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, '"');
}

static enum fm_status put_value(struct answer *answer, const struct fm_batch *batch, uint32_t row,
                                uint32_t column, struct fm_buf *out)
{
    const struct fm_vector_entry *vector = &batch->vectors[column];
    const struct fm_column *of = &answer->columns->items[column];
    const struct fm_dictionary *dictionary = of->dictionary.count != 0 ? &of->dictionary : NULL;
    bool is_csv = answer->format == FM_HTTP_CSV;

    if (fm_vector_is_null(batch, vector, row)) {
        fm_buf_put_str(out, is_csv ? "" : "null");
        return FM_OK;
    }
    if (!is_csv)
        return fm_text_value(out, FM_TEXT_JSON, batch, vector, &of->type, dictionary, row);
    fm_buf_clear(&answer->text);
    enum fm_status status =
        fm_text_value(&answer->text, FM_TEXT_PLAIN, batch, vector, &of->type, dictionary, row);
    if (status == FM_OK)
        put_csv(out, fm_buf_span(&answer->text));
    return status == FM_OK ? fm_buf_status(&answer->text) : status;
}

static void put_open(struct answer *answer, struct fm_buf *out)
{
    if (answer->format == FM_HTTP_JSON)
        fm_buf_put_str(out, answer->has_rows ? ",\n[" : "\n[");
    else if (answer->format == FM_HTTP_NDJSON)
        fm_buf_put_u8(out, '{');
    answer->has_rows = true;
}

static enum fm_status put_row(struct answer *answer, const struct fm_batch *batch, uint32_t row,
                              struct fm_buf *out)
{
    enum fm_status status = FM_OK;

    put_open(answer, out);
    for (uint32_t i = 0; status == FM_OK && i < answer->columns->count; i++) {
        if (i != 0)
            fm_buf_put_u8(out, ',');
        if (answer->format == FM_HTTP_NDJSON) {
            fm_json_string(out, fm_span_str(answer->columns->items[i].name));
            fm_buf_put_u8(out, ':');
        }
        status = put_value(answer, batch, row, i, out);
    }
    fm_buf_put_str(out, answer->format == FM_HTTP_JSON     ? "]"
                        : answer->format == FM_HTTP_NDJSON ? "}\n"
                                                           : "\n");
    return status;
}

static void put_head(struct answer *answer, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(0);
    bool is_json = answer->format == FM_HTTP_JSON;

    if (answer->format == FM_HTTP_NDJSON)
        return;
    fm_buf_put_str(out, is_json ? "{\"columns\":[" : "");
    for (uint32_t i = 0; i < answer->columns->count; i++) {
        const struct fm_column *column = &answer->columns->items[i];
        fm_buf_put_str(out, i == 0 ? "" : ",");
        if (!is_json) {
            put_csv(out, fm_span_str(column->name));
            continue;
        }
        fm_buf_clear(&type);
        fm_type_print(&type, &column->type);
        fm_buf_put_str(out, "{\"name\":");
        fm_json_string(out, fm_span_str(column->name));
        fm_buf_put_str(out, ",\"type\":");
        fm_json_string(out, fm_buf_span(&type));
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_str(out, is_json ? "],\"rows\":[" : "\n");
}

/* ---- How it went ----------------------------------------------------------------------------- */

static void put_hex(struct fm_buf *out, const char *name, const uint8_t *bytes, size_t len)
{
    char hex[2 * FM_HASH_BYTES + 1];

    fm_hex(bytes, len, hex);
    fm_buf_printf(out, "\"%s\":\"%s\"", name, hex);
}

static enum fm_status open_envelope(struct fm_span bytes, struct fm_span *body)
{
    struct fm_envelope envelope;

    enum fm_status status = fm_envelope_open(bytes, &envelope);
    *body = envelope.body;
    return status;
}

/* The states that its tables were read at, as the owner signed them. */
static void put_heads(struct fm_buf *out, const struct fm_receipt *receipt)
{
    struct fm_head head;

    fm_buf_put_str(out, ",\"heads\":[");
    for (uint32_t i = 0; i < receipt->table_count; i++) {
        if (fm_head_parse(receipt->heads[i], &head) != FM_OK)
            continue;
        fm_buf_put_str(out, i == 0 ? "{\"origin\":" : ",{\"origin\":");
        fm_json_string(out, fm_span_str(head.origin));
        fm_buf_printf(out, ",\"size\":%" PRIu64 ",", head.size);
        put_hex(out, "root", head.root.bytes, sizeof head.root.bytes);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_u8(out, ']');
}

static enum fm_status put_receipt(struct fm_buf *out, const char *domain, struct fm_span envelope)
{
    FM_AUTO(fm_mem_freep) struct fm_receipt *receipt = calloc(1, sizeof *receipt);
    struct fm_span body;

    if (receipt == NULL)
        return FM_NOMEM;
    enum fm_status status = open_envelope(envelope, &body);
    if (status == FM_OK)
        status = fm_receipt_decode(body, receipt);
    if (status != FM_OK)
        return status;
    fm_buf_put_str(out, "{\"domain\":");
    fm_json_string(out, fm_span_str(domain));
    fm_buf_put_u8(out, ',');
    put_hex(out, "node", receipt->owner.bytes, sizeof receipt->owner.bytes);
    fm_buf_printf(out, ",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64 ",", receipt->rows,
                  receipt->bytes);
    put_hex(out, "root", receipt->root.bytes, sizeof receipt->root.bytes);
    put_heads(out, receipt);
    fm_buf_put_u8(out, '}');
    return FM_OK;
}

static void put_missing(struct fm_buf *out, const struct fm_answer_missing *missing)
{
    fm_buf_put_str(out, "{\"domain\":");
    fm_json_string(out, fm_span_str(missing->domain));
    fm_buf_put_u8(out, ',');
    put_hex(out, "node", missing->owner.bytes, sizeof missing->owner.bytes);
    fm_buf_put_str(out, ",\"state\":");
    fm_json_string(out, fm_span_str(fm_fragment_state_text(missing->state)));
    fm_buf_put_str(out, ",\"reason\":");
    fm_json_string(out, missing->reason);
    fm_buf_put_u8(out, '}');
}

static enum fm_status put_answer(struct fm_buf *out, const struct fm_bundle *bundle,
                                 const struct fm_answer *signed_answer)
{
    enum fm_status status = FM_OK;

    put_hex(out, "query", signed_answer->query.bytes, sizeof signed_answer->query.bytes);
    fm_buf_put_u8(out, ',');
    put_hex(out, "node", signed_answer->node.bytes, sizeof signed_answer->node.bytes);
    fm_buf_put_u8(out, ',');
    put_hex(out, "trace", signed_answer->trace, sizeof signed_answer->trace);
    fm_buf_printf(out, ",\"rows\":%" PRIu64 ",\"complete\":%s,\"receipts\":[", signed_answer->rows,
                  signed_answer->completeness == FM_COMPLETE ? "true" : "false");
    for (uint32_t i = 0;
         status == FM_OK && i < signed_answer->fragment_count && i < bundle->fragment_count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ",");
        status = put_receipt(out, signed_answer->fragments[i].domain, bundle->receipts[i]);
    }
    fm_buf_put_str(out, "],\"missing\":[");
    for (uint32_t i = 0; i < signed_answer->missing_count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ",");
        put_missing(out, &signed_answer->missing[i]);
    }
    fm_buf_put_u8(out, ']');
    return status;
}

/* This node made the bundle: it is read, not verified. */
static enum fm_status put_trailer(struct answer *answer, struct fm_buf *out)
{
    FM_AUTO(fm_mem_freep) struct fm_bundle *bundle = calloc(1, sizeof *bundle);
    FM_AUTO(fm_mem_freep) struct fm_answer *signed_answer = calloc(1, sizeof *signed_answer);
    struct fm_span body;

    if (answer->format == FM_HTTP_CSV)
        return FM_OK;
    if (bundle == NULL || signed_answer == NULL)
        return FM_NOMEM;
    enum fm_status status = fm_bundle_decode(fm_login_query_bundle(answer->query), bundle);
    if (status == FM_OK)
        status = open_envelope(bundle->answer, &body);
    if (status == FM_OK)
        status = fm_answer_decode(body, signed_answer);
    if (status != FM_OK)
        return status;
    fm_buf_put_str(out, answer->format == FM_HTTP_JSON ? "\n],\"answer\":{" : "{\"answer\":{");
    status = put_answer(out, bundle, signed_answer);
    fm_buf_put_str(out, "}}\n");
    return status;
}

static void put_error(struct answer *answer, struct fm_buf *out, enum fm_status status,
                      const struct fm_error *err)
{
    if (answer->format == FM_HTTP_CSV)
        return;
    fm_buf_put_str(out, answer->format == FM_HTTP_JSON ? "\n],\"error\":{\"code\":\""
                                                       : "{\"error\":{\"code\":\"");
    fm_http_status_name(status, out);
    fm_buf_put_str(out, "\",\"detail\":");
    fm_json_string(out, fm_span_str(err->text[0] != '\0' ? err->text : fm_status_text(status)));
    fm_buf_put_str(out, "}}\n");
}

/* ---- The stream ------------------------------------------------------------------------------ */

static enum fm_status next(struct fm_http_call *call, struct fm_error *err)
{
    struct answer *answer = call->stream.context;
    const struct fm_batch *batch = NULL;

    if (answer->is_over)
        return FM_NOTFOUND;
    enum fm_status status = fm_login_query_next(answer->query, &batch, err);
    answer->is_over = status == FM_NOTFOUND;
    if (status == FM_NOTFOUND) {
        status = put_trailer(answer, &call->out);
    } else if (status == FM_OK) {
        for (uint32_t row = 0; status == FM_OK && row < batch->rows; row++)
            status = put_row(answer, batch, row, &call->out);
    }
    if (status == FM_OK)
        status = fm_buf_status(&call->out);
    return status;
}

static enum fm_status next_part(struct fm_http_call *call)
{
    struct fm_error err = {0};

    enum fm_status status = next(call, &err);
    if (status != FM_OK && status != FM_NOTFOUND) {
        fm_buf_clear(&call->out); /* What it has may be half a row. */
        put_error(call->stream.context, &call->out, status, &err);
        return status;
    }
    return status;
}

static enum fm_status open_query(struct fm_http_call *call, struct answer *answer,
                                 struct fm_error *err)
{
    FM_AUTO(fm_http_query_deinit) struct fm_http_query asked = {0};
    struct fm_login_ask ask;
    struct fm_request_id id;
    char hex[33], parent[17];
    uint8_t parent_id[8];

    enum fm_status status =
        fm_http_query_read(call->content_type, fm_buf_span(&call->body), &asked, err);
    if (status != FM_OK)
        return status;
    ask = (struct fm_login_ask){.body = asked.body, .limit_ms = asked.limit_ms};
    if (!fm_http_traceparent(call->traceparent, ask.trace))
        fm_random(ask.trace, sizeof ask.trace);
    fm_random(id.bytes, sizeof id.bytes);
    fm_random(parent_id, sizeof parent_id);
    fm_hex(ask.trace, sizeof ask.trace, hex);
    fm_hex(parent_id, sizeof parent_id, parent);
    (void)snprintf(call->trace, sizeof call->trace, "00-%s-%s-01", hex, parent);
    fm_http_runs(call, &id);
    status = fm_login_query(call->login, &id, &ask, &answer->query, err);
    if (status == FM_OK)
        answer->columns = fm_login_query_columns(answer->query);
    return status;
}

static const char *type_of(enum fm_http_format format)
{
    return format == FM_HTTP_CSV      ? "text/csv; charset=utf-8; header=present"
           : format == FM_HTTP_NDJSON ? "application/x-ndjson"
                                      : "application/json";
}

void fm_http_post_query(struct fm_http_call *call)
{
    struct answer *answer = calloc(1, sizeof *answer);
    struct fm_error err = {0};

    if (answer == NULL) {
        fm_http_fail(call, FM_NOMEM, NULL);
        return;
    }
    call->stream = (struct fm_http_stream){answer, next_part, answer_free};
    enum fm_status status = fm_http_accept(call->accept, &answer->format, &err);
    if (status != FM_OK) {
        fm_http_problem(call, 406, "unsupported", err.text);
        return;
    }
    status = open_query(call, answer, &err);
    if (status == FM_OK) {
        put_head(answer, &call->out);
        status = next(call, &err); /* What fails up to here has a status of its own. */
    }
    if (status != FM_OK) {
        fm_http_fail(call, status, &err);
        if (status == FM_UNSUPPORTED && answer->query == NULL && call->trace[0] == '\0')
            fm_http_problem(call, 415, "unsupported", err.text);
        return;
    }
    call->type = type_of(answer->format);
}
