/* Queries: the asked node plans, hands out tickets, pulls fragments, merges, and signs the
 * answer. */
#include "core/assert.h"
#include "core/codec.h"
#include "node/feed.h"
#include "node/recode.h"
#include "node/server.h"
#include "query/plan.h"

#include <pthread.h>

#define COLUMNS_BYTES_MAX (FM_PAYLOAD_BYTES_MAX / 2)

struct query {
    struct fm_server *server;
    struct fm_request_id id;
    uint8_t trace[16];
    fm_ms deadline;
    struct fm_buf request;        /* The principal's envelope. */
    struct fm_buf principal_cert; /* Its certificate's. */
    struct fm_principal_cert principal;
    struct fm_hash sql_hash;
    struct fm_plan plan;
    struct fm_buf plan_text;
    struct fm_buf columns;    /* As announced. */
    struct fm_columns result; /* FM_PLAN_MERGE: as the worker makes them. */
    struct fm_recode *recode;
    struct fm_worker *worker; /* FM_PLAN_MERGE, while it runs. */
    uint32_t feed_count;
    struct fm_feed *feeds[FM_QUERY_TABLES_MAX];
    struct fm_batch_source sources[FM_QUERY_TABLES_MAX];
};

static void query_free(void *context)
{
    struct query *query = context;

    if (query == NULL)
        return;
    fm_recode_free(query->recode);
    fm_columns_deinit(&query->result);
    fm_worker_free(query->worker);
    for (uint32_t i = 0; i < query->feed_count; i++)
        fm_feed_free(query->feeds[i]);
    fm_plan_deinit(&query->plan);
    fm_buf_free(&query->plan_text);
    fm_buf_free(&query->columns);
    fm_buf_free(&query->request);
    fm_buf_free(&query->principal_cert);
    free(query);
}

static void query_freep(struct query **query)
{
    query_free(*query);
}

/* ---- Planning -------------------------------------------------------------------------------- */

static enum fm_status resolve(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    struct query *query = context;

    *rows = 0; /* The owners tell when the fragments are opened. */
    return fm_registry_table(query->server->registry, domain, table, schema, owner);
}

static enum fm_status make_plan(struct query *query, struct fm_span sql, struct fm_error *err)
{
    struct fm_catalog catalog = {.context = query, .resolve = resolve};

    enum fm_status status =
        fm_worker_lend(query->server->engine, query->deadline, &query->worker, err);
    if (status == FM_OK)
        status = fm_plan_make(query->worker, sql, &catalog, &query->plan, err);
    if (status != FM_OK)
        return status;
    fm_plan_print(&query->plan, &query->plan_text);
    return fm_buf_status(&query->plan_text);
}

/* ---- Fragments ------------------------------------------------------------------------------- */

static void table_ref(const struct fm_plan_table *table, struct fm_table_ref *out)
{
    memcpy(out->domain, table->domain, sizeof out->domain);
    memcpy(out->table, table->table, sizeof out->table);
    fm_schema_hash(table->schema, &out->schema.bytes[0]);
    out->at = table->at;
}

static enum fm_status open_feed(struct query *query, uint32_t number,
                                const struct fm_fragment *fragment, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    struct fm_feed_options options = {
        .query = query->id,
        .number = number,
        .owner = table->owner,
        .domain = table->domain,
        .fragment = fragment,
        .request = fm_buf_span(&query->request),
        .principal_cert = fm_buf_span(&query->principal_cert),
        .principal = &query->principal,
        .sql_hash = query->sql_hash,
        .trace = query->trace,
        .deadline = query->deadline,
    };

    return fm_feed_open(query->server, &options, &query->feeds[number], err);
}

static enum fm_status open_scan(struct query *query, uint32_t number, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    FM_AUTO(fm_buf_free) struct fm_buf predicates = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_mem_freep) uint32_t *ids = calloc(table->field_count + 1, sizeof *ids);
    struct fm_table_ref ref;

    if (ids == NULL)
        return fm_fail(err, FM_NOMEM, "plan a scan");
    for (uint32_t i = 0; i < table->field_count; i++)
        ids[i] = table->schema->fields[table->fields[i]].id;
    if (table->predicates.count != 0)
        fm_predicate_list_encode(&predicates, &table->predicates);
    if (fm_buf_status(&predicates) != FM_OK)
        return fm_fail(err, FM_LIMIT, "the query's conditions are too large for a message");
    table_ref(table, &ref);
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SCAN,
        .table_count = 1,
        .tables = &ref,
        .field_count = table->field_count,
        .fields = ids,
        .predicates = fm_buf_span(&predicates),
    };
    return open_feed(query, number, &fragment, err);
}

struct opening {
    struct query *query;
    uint32_t number;
    pthread_t thread;
    bool has_thread;
    enum fm_status status;
    struct fm_error err;
};

static void *open_thread(void *argument)
{
    struct opening *opening = argument;

    opening->status = open_scan(opening->query, opening->number, &opening->err);
    return NULL;
}

/* One scan per slot, all at once: an opening waits for its owner most of the time. The first
 * failure by slot is told. */
static enum fm_status open_scans(struct query *query, struct fm_error *err)
{
    uint32_t count = query->plan.table_count;
    FM_AUTO(fm_mem_freep) struct opening *openings = calloc(count + 1u, sizeof *openings);
    enum fm_status status = FM_OK;

    if (openings == NULL)
        return fm_fail(err, FM_NOMEM, "open fragments");
    for (uint32_t i = 0; i < count; i++)
        openings[i] = (struct opening){.query = query, .number = i};
    for (uint32_t i = 1; i < count; i++)
        openings[i].has_thread =
            pthread_create(&openings[i].thread, NULL, open_thread, &openings[i]) == 0;
    for (uint32_t i = 0; i < count; i++) {
        if (openings[i].has_thread)
            (void)pthread_join(openings[i].thread, NULL); /* A thread of our own that exists. */
        else
            (void)open_thread(&openings[i]);
    }
    query->feed_count = count; /* Those that failed are NULL. */
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        status = openings[i].status;
        if (status != FM_OK)
            *err = openings[i].err;
    }
    return status;
}

static enum fm_status open_shipped(struct query *query, struct fm_error *err)
{
    struct fm_plan *plan = &query->plan;
    FM_AUTO(fm_mem_freep) struct fm_table_ref *refs = calloc(plan->table_count, sizeof *refs);
    uint32_t count = 0;

    if (refs == NULL)
        return fm_fail(err, FM_NOMEM, "plan a query");
    for (uint32_t i = 0; i < plan->table_count; i++) {
        bool is_known = false;
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(refs[k].domain, plan->tables[i].domain) == 0 &&
                strcmp(refs[k].table, plan->tables[i].table) == 0)
                is_known = true;
        if (!is_known)
            table_ref(&plan->tables[i], &refs[count++]);
    }
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SQL,
        .table_count = count,
        .tables = refs,
        .sql = fm_buf_span(&plan->shipped),
    };
    enum fm_status status = open_feed(query, 0, &fragment, err);
    if (status == FM_OK)
        query->feed_count = 1;
    return status;
}

/* ---- Merging --------------------------------------------------------------------------------- */

static enum fm_status source_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    return fm_feed_next(context, batch, err);
}

static bool is_enum(const struct fm_plan_table *plan, uint32_t field)
{
    for (uint32_t i = 0; i < plan->enum_count; i++)
        if (plan->enum_fields[i] == field)
            return true;
    return false;
}

/* The slot's columns: the table's, with the dictionaries that the feed brought for its own. The
 * items borrow types and dictionaries; only the array is the caller's. */
static enum fm_status slot_columns(const struct fm_plan_table *table, const struct fm_feed *feed,
                                   struct fm_columns *out, struct fm_error *err)
{
    const struct fm_columns *came = fm_feed_columns(feed);

    if (came->count != table->field_count)
        return fm_fail(err, FM_MALFORMED, "domain %s: the owner announces %u columns, not %u",
                       table->domain, came->count, table->field_count);
    out->count = table->schema->field_count;
    out->items = calloc(out->count, sizeof *out->items);
    if (out->items == NULL)
        return fm_fail(err, FM_NOMEM, "merge fragments");
    for (uint32_t c = 0; c < out->count; c++) {
        const struct fm_field *field = &table->schema->fields[c];
        memcpy(out->items[c].name, field->name, sizeof field->name);
        out->items[c].type = field->type;
    }
    for (uint32_t i = 0; i < came->count; i++) {
        struct fm_column *item = &out->items[table->fields[i]];
        if (!fm_type_equal(&item->type, &came->items[i].type))
            return fm_fail(err, FM_MALFORMED, "domain %s: column %s comes in another type",
                           table->domain, item->name);
        item->dictionary = came->items[i].dictionary;
        item->as_text = !is_enum(table, table->fields[i]);
    }
    return FM_OK;
}

static enum fm_status set_slots(struct query *query, struct fm_slot *slots,
                                struct fm_columns *columns, struct fm_error *err)
{
    for (uint32_t i = 0; i < query->plan.table_count; i++) {
        const struct fm_plan_table *table = &query->plan.tables[i];
        enum fm_status status = slot_columns(table, query->feeds[i], &columns[i], err);
        if (status != FM_OK)
            return status;
        query->sources[i] =
            (struct fm_batch_source){.context = query->feeds[i], .next = source_next};
        slots[i] = (struct fm_slot){
            .columns = &columns[i],
            .rows = fm_feed_rows_estimate(query->feeds[i]),
            .supplied_count = table->field_count,
            .supplied = table->fields,
            .source = &query->sources[i],
        };
    }
    return fm_worker_set_slots(query->worker, slots, query->plan.table_count, err);
}

static enum fm_status start_merge(struct query *query, struct fm_error *err)
{
    uint32_t count = query->plan.table_count;
    FM_AUTO(fm_mem_freep) struct fm_slot *slots = calloc(count + 1, sizeof *slots);
    FM_AUTO(fm_mem_freep) struct fm_columns *columns = calloc(count + 1, sizeof *columns);
    struct fm_run_options options = {
        .single_thread = query->plan.streams,
        .rows_max = query->server->config.query_rows_max,
    };

    if (slots == NULL || columns == NULL)
        return fm_fail(err, FM_NOMEM, "merge fragments");
    enum fm_status status = open_scans(query, err);
    if (status == FM_OK)
        status = set_slots(query, slots, columns, err);
    if (status == FM_OK)
        status = fm_worker_run(query->worker, fm_buf_span(&query->plan.sql), &options,
                               &query->result, err);
    for (uint32_t i = 0; i < count; i++)
        free(columns[i].items);
    if (status != FM_OK)
        return status;
    status = fm_recode_columns(&query->result, COLUMNS_BYTES_MAX, &query->columns, &query->recode);
    if (status != FM_OK)
        return fm_fail(err, status, "announce the columns: %s", fm_status_text(status));
    return FM_OK;
}

static enum fm_status start_shipped(struct query *query, struct fm_error *err)
{
    fm_worker_free(FM_TAKE(query->worker)); /* The owner's does the work. */
    enum fm_status status = open_shipped(query, err);
    if (status != FM_OK)
        return status;
    fm_columns_encode(&query->columns, fm_feed_columns(query->feeds[0]));
    return fm_buf_status(&query->columns);
}

/* ---- As a producer --------------------------------------------------------------------------- */

static enum fm_status query_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct query *query = context;

    if (query->plan.kind == FM_PLAN_SHIP)
        return fm_feed_next(query->feeds[0], batch, err);
    enum fm_status status = fm_worker_next(query->worker, batch, err);
    if (status != FM_OK)
        return status;
    status = fm_recode_batch(query->recode, batch);
    return status == FM_OK ? FM_OK : fm_fail(err, FM_INTERNAL, "rebuild a batch");
}

static void query_cancel(void *context)
{
    struct query *query = context;

    if (query->worker != NULL)
        fm_worker_cancel(query->worker);
    for (uint32_t i = 0; i < query->feed_count; i++)
        fm_feed_cancel(query->feeds[i]);
}

static enum fm_status seal_answer(struct query *query, const struct fm_cursor_totals *totals,
                                  struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    const struct fm_identity *identity = query->server->identity;
    struct fm_key *key = identity->sign_key;
    struct fm_answer answer = {
        .query = query->id,
        .node = identity->node.node,
        .plan = fm_buf_span(&query->plan_text),
        .fragment_count = query->feed_count,
        .columns = fm_buf_span(&query->columns),
        .rows = totals->rows,
        .bytes = totals->bytes,
        .batches = totals->batches,
        .root = totals->root,
        .completeness = FM_COMPLETE,
        .time = fm_now_us(),
        .origin = query->plan.kind == FM_PLAN_SHIP ? FM_ROWS_OF_FRAGMENT : FM_ROWS_MERGED,
    };

    memcpy(answer.trace, query->trace, sizeof answer.trace);
    fm_sha256_one(&answer.request, fm_buf_span(&query->request));
    for (uint32_t i = 0; i < query->feed_count; i++) {
        struct fm_answer_fragment *fragment = &answer.fragments[i];
        const struct fm_receipt *receipt = fm_feed_receipt_parsed(query->feeds[i]);
        memcpy(fragment->domain, query->plan.tables[i].domain, sizeof fragment->domain);
        fragment->owner = receipt->owner;
        fm_sha256_one(&fragment->ticket, fm_feed_ticket(query->feeds[i]));
        fm_sha256_one(&fragment->receipt, fm_feed_receipt(query->feeds[i]));
    }
    fm_answer_encode(&body, &answer);
    enum fm_status status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_ANSWER, &identity->charter.mesh, fm_buf_span(&body), &key,
                                  1, out);
    if (status != FM_OK)
        return fm_fail(err, status, "sign the answer");
    return FM_OK;
}

static void add_cert(struct fm_bundle *bundle, struct fm_span cert)
{
    for (uint32_t i = 0; i < bundle->node_cert_count; i++)
        if (fm_span_equal(bundle->node_certs[i], cert))
            return;
    fm_assert(bundle->node_cert_count < FM_QUERY_TABLES_MAX + 1);
    bundle->node_certs[bundle->node_cert_count++] = cert;
}

static enum fm_status query_finish(void *context, const struct fm_cursor_totals *totals,
                                   struct fm_buf *end, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct query *query = context;
    struct fm_bundle bundle = {
        .request = fm_buf_span(&query->request),
        .principal_cert = fm_buf_span(&query->principal_cert),
        .fragment_count = query->feed_count,
    };
    enum fm_status status = FM_OK;

    if (totals->stopped)
        return fm_fail(err, FM_INVALID, "a query is not stopped but cancelled");
    for (uint32_t i = 0; i < query->feed_count && status == FM_OK; i++)
        status = fm_feed_stop(query->feeds[i], err);
    if (status == FM_OK)
        status = seal_answer(query, totals, &answer, err);
    if (status != FM_OK)
        return status;
    bundle.answer = fm_buf_span(&answer);
    add_cert(&bundle, fm_buf_span(&query->server->identity->cert_bytes));
    for (uint32_t i = 0; i < query->feed_count; i++) {
        add_cert(&bundle, fm_feed_owner_cert(query->feeds[i]));
        bundle.tickets[i] = fm_feed_ticket(query->feeds[i]);
        bundle.receipts[i] = fm_feed_receipt(query->feeds[i]);
    }
    fm_bundle_encode(end, &bundle);
    return fm_buf_status(end);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static struct query *query_new(struct fm_server *server, const struct fm_caller *caller)
{
    struct query *query = calloc(1, sizeof *query);
    uint32_t limit = caller->request->limit_ms;

    if (query == NULL)
        return NULL;
    if (limit > server->config.query_timeout_ms)
        limit = server->config.query_timeout_ms;
    query->server = server;
    query->id = caller->request->id;
    query->deadline = fm_now_ms() + limit;
    query->principal = caller->principal;
    memcpy(query->trace, caller->request->trace, sizeof query->trace);
    fm_buf_put_span(&query->request, caller->envelope);
    fm_buf_put_span(&query->principal_cert, caller->cert);
    return query;
}

static enum fm_status start_query(struct query *query, struct fm_span body, struct fm_error *err)
{
    struct fm_query_body asked;

    enum fm_status status = fm_query_body_decode(body, &asked);
    if (status != FM_OK)
        return fm_fail(err, status, "the query does not decode");
    if (asked.sql.len > FM_SQL_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the SQL text is longer than %u bytes", FM_SQL_BYTES_MAX);
    if (fm_buf_status(&query->request) != FM_OK || fm_buf_status(&query->principal_cert) != FM_OK)
        return fm_fail(err, FM_NOMEM, "start a query");
    fm_sha256_one(&query->sql_hash, asked.sql);
    status = make_plan(query, asked.sql, err);
    if (status != FM_OK)
        return status;
    return query->plan.kind == FM_PLAN_SHIP ? start_shipped(query, err) : start_merge(query, err);
}

static void log_query(const struct query *query, enum fm_status status, const struct fm_error *err)
{
    char id[33];

    fm_hex(query->id.bytes, sizeof query->id.bytes, id);
    fm_log(&query->server->log, FM_LOG_INFO, "query", "id", id, "principal", query->principal.name,
           "status", fm_status_text(status), "reason", status == FM_OK ? "" : err->text, NULL);
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
    status = fm_cursors_enter(server->cursors, FM_CURSOR_QUERY, err);
    if (status != FM_OK)
        return status;
    FM_AUTO(query_freep) struct query *query = query_new(server, caller);
    status =
        query == NULL ? fm_fail(err, FM_NOMEM, "start a query") : start_query(query, body, err);
    if (query != NULL)
        log_query(query, status, err);
    if (status == FM_OK) {
        fm_pack_map(reply, 1);
        fm_pack_key_bin(reply, 0, query->columns.data, query->columns.len);
        status = fm_buf_status(reply);
    }
    if (status != FM_OK) {
        fm_cursors_leave(server->cursors, FM_CURSOR_QUERY);
        return status;
    }
    struct fm_cursor_options options = {
        .kind = FM_CURSOR_QUERY,
        .query = query->id,
        .caller = caller->principal.sign_key,
        .deadline = query->deadline,
        .opened = fm_buf_span(reply),
        .ticket = request,
    };
    options.producer = (struct fm_producer){
        .context = FM_TAKE(query),
        .next = query_next,
        .finish = query_finish,
        .cancel = query_cancel,
        .free = query_free,
    };
    return fm_cursor_open(server->cursors, &options, err);
}

/* A part leaves room for the reply around it. */
#define PART_BYTES_MAX (FM_PAYLOAD_BYTES_MAX - 1024u)

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
    return fm_cursor_fetch(server->cursors, kind, &wanted, key_of(caller), PART_BYTES_MAX, reply,
                           err);
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
