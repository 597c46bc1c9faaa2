/* Queries: the asked node plans, hands out tickets, pulls fragments, merges, and signs the
 * answer. */
#include "node/query.h"
#include "core/codec.h"

static struct fm_query *query_new(struct fm_server *server, const struct fm_caller *caller)
{
    struct fm_query *query = calloc(1, sizeof *query);
    uint32_t limit = caller->request->limit_ms;

    if (query == NULL)
        return NULL;
    if (limit > server->config.query_timeout_ms)
        limit = server->config.query_timeout_ms;
    fm_stop_init(&query->stop);
    query->server = server;
    query->id = caller->request->id;
    query->deadline = fm_now_ms() + limit;
    query->limit_ms = limit;
    query->principal = caller->principal;
    query->is_postgres = caller->is_postgres;
    memcpy(query->trace, caller->request->trace, sizeof query->trace);
    memcpy(query->session, caller->session, sizeof query->session);
    fm_buf_put_span(&query->request, caller->envelope);
    fm_buf_put_span(&query->principal_cert, caller->cert);
    return query;
}

/* The statement, less what stands before it to have it explained. */
static enum fm_status plan_query(struct fm_query *query, struct fm_span sql, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf rest = FM_BUF_INIT(FM_SQL_BYTES_MAX);

    enum fm_status status = fm_explain_read(sql, &query->explain, &rest, err);
    if (status != FM_OK)
        return status;
    if (query->explain != FM_EXPLAIN_NONE)
        sql = fm_buf_span(&rest);
    return fm_query_plan(query, sql, err);
}

/* They can be kept, and the answer be made again from them. */
static enum fm_status check_fragments(const struct fm_query *query, struct fm_error *err)
{
    if (query->explain != FM_EXPLAIN_NONE)
        return fm_fail(err, FM_INVALID, "an explanation has no fragments to keep");
    for (uint32_t i = 0; i < query->plan.table_count; i++)
        if (query->plan.tables[i].is_own)
            return fm_fail(err, FM_INVALID,
                           "%s.%s is this node's own word: no receipt is for it, and its rows "
                           "cannot be kept as a fragment",
                           query->plan.tables[i].domain, query->plan.tables[i].table);
    return FM_OK;
}

static enum fm_status plan_and_start(struct fm_query *query, struct fm_span sql,
                                     struct fm_error *err)
{
    enum fm_status status = plan_query(query, sql, err);

    if (status == FM_OK && query->with_fragments)
        status = check_fragments(query, err);
    if (status != FM_OK)
        return status;
    return query->explain == FM_EXPLAIN_NONE ? fm_query_start(query, err)
                                             : fm_query_explain(query, err);
}

static enum fm_status start_query(struct fm_query *query, struct fm_span body, struct fm_error *err)
{
    struct fm_query_body asked;

    enum fm_status status = fm_query_body_decode(body, &asked);
    if (status != FM_OK)
        return fm_fail(err, status, "the query does not decode");
    if (asked.sql.len > FM_SQL_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the SQL text is longer than %u bytes", FM_SQL_BYTES_MAX);
    if (fm_buf_status(&query->request) != FM_OK || fm_buf_status(&query->principal_cert) != FM_OK)
        return fm_fail(err, FM_NOMEM, "start a query");
    query->plan_options.rules_off = asked.rules_off;
    query->plan_options.now_us = fm_now_us();
    query->is_pinned = asked.head_count != 0;
    query->on_unavailable = asked.on_unavailable;
    query->allows_partial_aggregates = asked.allows_partial_aggregates;
    query->with_fragments = asked.with_fragments;
    fm_sha256_one(&query->sql_hash, asked.sql);
    status = plan_and_start(query, asked.sql, err);
    if (status == FM_OK || !query->push_failed)
        return status;
    fm_query_forget_plan(query);
    return plan_and_start(query, asked.sql, err);
}

/* Whoever cancels meanwhile, or goes, finds it among the openings. */
static enum fm_status open_query(struct fm_query *query, const struct fm_caller *caller,
                                 struct fm_span body, struct fm_error *err)
{
    struct fm_openings *openings = fm_cursors_openings(query->server->cursors);
    struct fm_opening opening = {
        .kind = FM_CURSOR_QUERY,
        .query = query->id,
        .caller = caller->principal.sign_key,
        .session = caller->session,
        .stop = &query->stop,
    };

    fm_openings_add(openings, &opening);
    enum fm_status status = start_query(query, body, err);
    fm_openings_remove(openings, &opening);
    if (status == FM_OK && fm_stop_is_fired(&query->stop))
        status = fm_fail(err, FM_CANCELLED, "the query was cancelled");
    return status;
}

static void log_query(const struct fm_query *query, enum fm_status status,
                      const struct fm_error *err)
{
    char id[33];

    fm_hex(query->id.bytes, sizeof query->id.bytes, id);
    fm_log(&query->server->log, FM_LOG_INFO, "query", "id", id, "principal", query->principal.name,
           "status", fm_status_text(status), "reason", status == FM_OK ? "" : err->text, NULL);
}

static void query_free(void *context)
{
    fm_query_free(context);
}

enum fm_status fm_rpc_query_open(struct fm_server *server, const struct fm_caller *caller,
                                 struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    struct fm_hash request;

    fm_sha256_one(&request, caller->envelope);
    enum fm_status status =
        fm_cursor_repeated(server->cursors, FM_CURSOR_QUERY, &caller->request->id, 0,
                           &caller->principal.sign_key, &request, reply);
    if (status == FM_CONFLICT)
        return fm_fail(err, status, "another query has this id");
    if (status != FM_NOTFOUND)
        return status;
    FM_AUTO(fm_query_freep) struct fm_query *query = query_new(server, caller);
    status = query == NULL ? fm_fail(err, FM_NOMEM, "start a query")
                           : open_query(query, caller, body, err);
    if (query != NULL && status != FM_OK && query->failed == FM_OK) {
        query->failed = status;
        query->failure = *err;
    }
    if (query != NULL)
        log_query(query, status, err);
    if (status != FM_OK)
        return status;
    struct fm_cursor_options options = {
        .kind = FM_CURSOR_QUERY,
        .query = query->id,
        .caller = caller->principal.sign_key,
        .session = caller->session,
        .deadline = query->deadline,
        .ticket = request,
        .is_held = caller->is_held,
    };
    struct fm_opened opened = {.columns = fm_buf_span(&query->columns)};
    bool is_explained = query->explain != FM_EXPLAIN_NONE;
    options.producer = (struct fm_producer){
        .context = FM_TAKE(query),
        .next = is_explained ? fm_query_explain_next : fm_query_next,
        .leaf = is_explained ? NULL : fm_query_leaf,
        .finish = fm_query_finish,
        .cancel = fm_query_cancel,
        .free = query_free,
    };
    return fm_cursor_open_first(server->cursors, &options, &opened, FM_REPLY_BYTES_MAX, reply, err);
}

static const struct fm_public_key *key_of(const struct fm_caller *caller)
{
    return caller->kind == FM_PAYLOAD_NODE ? &caller->node.sign_key : &caller->principal.sign_key;
}

static enum fm_status fetch(struct fm_server *server, enum fm_cursor_kind kind,
                            const struct fm_caller *caller, struct fm_span body,
                            struct fm_buf *reply, struct fm_error *err)
{
    struct fm_fetch wanted;
    enum fm_status status = fm_fetch_decode(body, &wanted);

    if (status != FM_OK)
        return fm_fail(err, status, "the fetch does not decode");
    if (kind == FM_CURSOR_QUERY && wanted.batch == FM_FETCH_STOP)
        return fm_fail(err, FM_INVALID, "a query is not stopped but cancelled");
    return fm_cursor_fetch(server->cursors, kind, &wanted, key_of(caller), caller->session,
                           FM_REPLY_BYTES_MAX, reply, err);
}

/* Body: map {0 query id, 1 fragment number (absent: 0)}. */
static enum fm_status cancel(struct fm_server *server, enum fm_cursor_kind kind,
                             const struct fm_caller *caller, struct fm_span body,
                             struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_request_id query;
    uint32_t number = 0;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status == FM_OK)
        status = fm_map_check(fm_doc_root(doc), 0x3);
    if (status == FM_OK)
        status =
            fm_value_bin_exact(fm_map_get(fm_doc_root(doc), 0), query.bytes, sizeof query.bytes);
    if (status == FM_OK && fm_map_get(fm_doc_root(doc), 1) != NULL)
        status = fm_value_u32(fm_map_get(fm_doc_root(doc), 1), UINT32_MAX, &number);
    if (status != FM_OK)
        return fm_fail(err, status, "the cancel does not decode");
    fm_cursor_cancel(server->cursors, kind, &query, number, key_of(caller));
    return FM_OK;
}

enum fm_status fm_rpc_query_fetch(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    return fetch(server, FM_CURSOR_QUERY, caller, body, reply, err);
}

enum fm_status fm_rpc_query_cancel(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    (void)reply; /* Empty. */
    return cancel(server, FM_CURSOR_QUERY, caller, body, err);
}

enum fm_status fm_rpc_fragment_fetch(struct fm_server *server, const struct fm_caller *caller,
                                     struct fm_span body, struct fm_buf *reply,
                                     struct fm_error *err)
{
    return fetch(server, FM_CURSOR_FRAGMENT, caller, body, reply, err);
}

enum fm_status fm_rpc_fragment_cancel(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err)
{
    (void)reply; /* Empty. */
    return cancel(server, FM_CURSOR_FRAGMENT, caller, body, err);
}
