#include "node/login.h"

#include "client/client_internal.h"
#include "node/server.h"

#include <inttypes.h>
#include <stdlib.h>

struct fm_login_query {
    struct fm_login *login;
    struct fm_request_id id;
    struct fm_buf reply; /* Of the opening, which may bring the first batch and the end: */
    struct fm_opened opened;
    struct fm_columns columns;
    struct fm_column_view view;
    uint64_t number; /* Of the next batch. */
    struct fm_buf bytes;
    struct fm_batch batch;
    struct fm_buf bundle;
    bool is_over;
};

/* ---- Logging in ------------------------------------------------------------------------------ */

enum fm_status fm_login_new(struct fm_server *server, struct fm_span token, struct fm_login **out,
                            struct fm_error *err)
{
    FM_AUTO(fm_login_freep) struct fm_login *login = calloc(1, sizeof *login);
    const struct fm_identity *identity = server->identity;

    if (login == NULL)
        return fm_fail(err, FM_NOMEM, "log in");
    login->server = server;
    fm_random(login->session.bytes, sizeof login->session.bytes);
    fm_buf_put_span(&login->text, token);
    enum fm_status status = fm_buf_status(&login->text);
    if (status == FM_OK)
        status = fm_token_open(&identity->charter, server->certs, fm_buf_span(&login->text),
                               &login->decoded, &login->token, err);
    if (status == FM_OK)
        status = fm_token_check(&login->token, &identity->node.node, fm_seconds(fm_now_us()), err);
    if (status == FM_OK)
        *out = FM_TAKE(login);
    return status;
}

void fm_login_free(struct fm_login *login)
{
    if (login == NULL)
        return;
    if (login->text.data != NULL)
        fm_wipe(login->text.data, login->text.len); /* Whoever has it may ask. */
    fm_buf_free(&login->text);
    fm_buf_free(&login->decoded);
    free(login);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static enum fm_status seal_request(struct fm_login *login, const struct fm_request_id *id,
                                   const struct fm_login_ask *ask, struct fm_request *request,
                                   struct fm_buf *body, struct fm_buf *envelope)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    const struct fm_identity *identity = login->server->identity;
    struct fm_key *key = identity->sign_key;

    fm_query_body_encode(body, &ask->body);
    *request = (struct fm_request){
        .kind = FM_METHOD_QUERY_OPEN,
        .id = *id,
        .audience = identity->node.node,
        .session = login->session,
        .time = fm_now_us(),
        .limit_ms = ask->limit_ms != 0 ? ask->limit_ms : login->server->config.query_timeout_ms,
        .body = fm_buf_span(body),
        .token = fm_buf_span(&login->text),
    };
    memcpy(request->trace, ask->trace, sizeof request->trace);
    fm_request_encode(&bytes, request);
    enum fm_status status = fm_buf_status(body);
    if (status == FM_OK)
        status = fm_buf_status(&bytes);
    return status == FM_OK ? fm_envelope_seal(FM_ENV_REQUEST, &identity->charter.mesh,
                                              fm_buf_span(&bytes), &key, 1, envelope)
                           : status;
}

static enum fm_status open_query(struct fm_login_query *query, const struct fm_login_ask *ask,
                                 struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    struct fm_login *login = query->login;
    struct fm_request request;
    struct fm_caller caller = {
        .kind = FM_PAYLOAD_PRINCIPAL,
        .principal = login->token.principal,
        .cert = login->token.cert,
        .session = login->session.bytes,
        .request = &request,
        .is_postgres = ask->is_postgres,
        .is_held = true,
    };

    enum fm_status status = seal_request(login, &query->id, ask, &request, &body, &envelope);
    if (status != FM_OK)
        return fm_fail(err, status, "the query is longer than one message");
    caller.envelope = fm_buf_span(&envelope);
    status = fm_rpc_query_open(login->server, &caller, request.body, &query->reply, err);
    if (status == FM_OK)
        status = fm_opened_decode(fm_buf_span(&query->reply), &query->opened);
    if (status == FM_OK)
        status = fm_columns_decode(query->opened.columns, &query->columns);
    return status == FM_OK ? fm_column_view_init(&query->view, &query->columns) : status;
}

enum fm_status fm_login_query(struct fm_login *login, const struct fm_request_id *id,
                              const struct fm_login_ask *ask, struct fm_login_query **out,
                              struct fm_error *err)
{
    enum fm_status status = fm_token_check(&login->token, &login->server->identity->node.node,
                                           fm_seconds(fm_now_us()), err);
    if (status != FM_OK)
        return status;
    FM_AUTO(fm_login_query_freep) struct fm_login_query *query = calloc(1, sizeof *query);
    if (query == NULL)
        return fm_fail(err, FM_NOMEM, "ask");
    query->login = login;
    query->id = *id;
    query->reply.max = FM_MESSAGE_BYTES_MAX;
    query->bytes.max = FM_BATCH_BYTES_MAX;
    query->bundle.max = FM_DOC_BYTES_MAX;
    status = open_query(query, ask, err);
    if (status == FM_OK)
        *out = FM_TAKE(query);
    return status;
}

void fm_login_query_free(struct fm_login_query *query)
{
    if (query == NULL)
        return;
    fm_login_cancel(query->login, &query->id); /* Also at its end: it has no lease. */
    fm_column_view_deinit(&query->view);
    fm_columns_deinit(&query->columns);
    fm_buf_free(&query->reply);
    fm_buf_free(&query->bytes);
    fm_buf_free(&query->bundle);
    free(query);
}

void fm_login_cancel(struct fm_login *login, const struct fm_request_id *id)
{
    fm_cursor_cancel(login->server->cursors, FM_CURSOR_QUERY, id, 0,
                     &login->token.principal.sign_key);
}

const struct fm_columns *fm_login_query_columns(const struct fm_login_query *query)
{
    return &query->columns;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* What came with the opening. */
static bool take_opened(struct fm_login_query *query, enum fm_part_kind *kind)
{
    const struct fm_opened *opened = &query->opened;
    bool is_first = query->number == 0 && opened->first.len != 0;
    bool is_end =
        !is_first && opened->end.len != 0 && query->number == (opened->first.len != 0 ? 1 : 0);

    *kind = is_first ? FM_PART_BATCH : FM_PART_END;
    if (is_first || is_end)
        fm_buf_put_span(&query->bytes, is_first ? opened->first : opened->end);
    return (is_first || is_end) && fm_buf_status(&query->bytes) == FM_OK;
}

enum fm_status fm_login_query_next(struct fm_login_query *query, const struct fm_batch **out,
                                   struct fm_error *err)
{
    const struct fm_fetch wanted = {.query = query->id, .batch = query->number};
    struct fm_login *login = query->login;
    enum fm_part_kind kind = FM_PART_END;
    enum fm_status status = FM_OK;

    if (query->is_over)
        return FM_NOTFOUND;
    fm_buf_clear(&query->bytes);
    if (!take_opened(query, &kind))
        status = fm_cursor_take(login->server->cursors, FM_CURSOR_QUERY, &wanted,
                                &login->token.principal.sign_key, &kind, &query->bytes, err);
    if (status == FM_NOTFOUND) /* Of the cursor; to who reads it would mean the end. */
        return fm_fail(err, FM_CANCELLED, "the query was cancelled");
    if (status != FM_OK)
        return status;
    if (kind == FM_PART_END) {
        query->is_over = true;
        fm_buf_put_span(&query->bundle, fm_buf_span(&query->bytes));
        status = fm_buf_status(&query->bundle);
        return status == FM_OK ? FM_NOTFOUND : status;
    }
    query->number++;
    status = fm_batch_view_trusted(fm_buf_span(&query->bytes), &query->batch);
    if (status != FM_OK)
        return fm_fail(err, FM_INTERNAL, "a batch of the answer cannot be read");
    *out = &query->batch;
    return FM_OK;
}

struct fm_span fm_login_query_bundle(const struct fm_login_query *query)
{
    return fm_buf_span(&query->bundle);
}

static void put_missing(const struct fm_answer_missing *missing, struct fm_buf *out)
{
    char id[2 * sizeof missing->owner.bytes + 1];

    fm_hex(missing->owner.bytes, sizeof missing->owner.bytes, id);
    fm_buf_printf(out, "domain %s on node %s (%.8s): %s", missing->domain, missing->owner_name, id,
                  fm_fragment_state_text(missing->state));
    if (missing->rows != 0)
        fm_buf_printf(out, " after %" PRIu64 " rows", missing->rows);
    fm_buf_put_str(out, ": ");
    for (size_t i = 0; i < missing->reason.len; i++) /* Another node's words: one line. */
        fm_buf_put_u8(out, missing->reason.data[i] < ' ' ? ' ' : missing->reason.data[i]);
    fm_buf_put_u8(out, 0);
}

enum fm_status fm_login_query_missing(const struct fm_login_query *query, uint32_t *count,
                                      struct fm_buf *parts, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_bundle *bundle = calloc(1, sizeof *bundle);
    FM_AUTO(fm_mem_freep) struct fm_answer *answer = calloc(1, sizeof *answer);
    struct fm_envelope envelope;

    if (bundle == NULL || answer == NULL)
        return fm_fail(err, FM_NOMEM, "what is missing");
    enum fm_status status = fm_bundle_decode(fm_buf_span(&query->bundle), bundle);
    if (status == FM_OK)
        status = fm_envelope_open(bundle->answer, &envelope);
    if (status == FM_OK)
        status = fm_answer_decode(envelope.body, answer);
    if (status != FM_OK)
        return fm_fail(err, FM_INTERNAL, "the answer cannot be read");
    *count = answer->missing_count;
    for (uint32_t i = 0; i < answer->missing_count; i++)
        put_missing(&answer->missing[i], parts);
    return fm_buf_status(parts);
}
