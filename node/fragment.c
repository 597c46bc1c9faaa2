#include "node/fragment.h"

#include "core/asker.h"
#include "core/assert.h"
#include "core/codec.h"
#include "node/key_read.h"
#include "node/pins.h"
#include "node/recode.h"
#include "node/run.h"
#include "node/server.h"

#include <inttypes.h>

#define COLUMNS_BYTES_MAX (FM_PAYLOAD_BYTES_MAX / 2)

/* A fragment at work: what the receipt will say, and what makes the rows. */
struct fragment {
    struct fm_server *server;
    fm_ms deadline;
    struct fm_ticket ticket;
    struct fm_query_body asked; /* By the principal. */
    struct fm_buf ticket_bytes;
    struct fm_fragment plan;
    struct fm_hash ticket_hash;
    struct fm_hash fragment_hash;
    struct fm_hash principal_hash;
    struct fm_hash columns_hash;
    struct fm_buf heads; /* One after the other; `head_at` where each begins. */
    size_t head_at[FM_QUERY_TABLES_MAX + 1];
    struct fm_snapshot *snapshot;
    struct fm_scan *scan;     /* FM_FRAGMENT_SCAN, unless its predicates name one row by its key. */
    struct fm_buf ahead[2];   /* Batches of either that were made at the opening, */
    uint32_t ahead_count;     /* so many; */
    uint32_t ahead_next;      /* the one to give next. */
    bool is_whole;            /* There are no more. */
    struct fm_table_run *run; /* FM_FRAGMENT_SQL, */
    struct fm_given_tables given; /* and what came with it. */
    struct fm_columns columns;    /* Of the batches as they are made. */
    struct fm_recode *recode;
    int64_t work_us;     /* Spent so far. */
    struct fm_stop stop; /* Ends all waits. */
    struct fm_public_key principal;
    struct fm_place place;
};

static void fragment_free(void *context)
{
    struct fragment *fragment = context;

    if (fragment == NULL)
        return;
    fm_recode_free(fragment->recode);
    fm_columns_deinit(&fragment->columns);
    fm_table_run_free(fragment->run);
    fm_given_deinit(&fragment->given);
    fm_scan_free(fragment->scan);
    fm_snapshot_free(fragment->snapshot);
    fm_fragment_deinit(&fragment->plan);
    fm_buf_free(&fragment->ticket_bytes);
    fm_buf_free(&fragment->heads);
    fm_buf_free(&fragment->ahead[0]);
    fm_buf_free(&fragment->ahead[1]);
    fm_place_leave(&fragment->place);
    fm_stop_deinit(&fragment->stop);
    free(fragment);
}

static void fragment_freep(struct fragment **fragment)
{
    fragment_free(*fragment);
}

/* ---- The ticket ------------------------------------------------------------------------------ */

static enum fm_status check_ticket(struct fm_server *server, const struct fm_fragment_ask *ask,
                                   struct fragment *fragment, struct fm_error *err)
{
    struct fm_ticket *ticket = &fragment->ticket;
    struct fm_envelope envelope;

    fm_buf_put_span(&fragment->ticket_bytes, ask->ticket);
    enum fm_status status = fm_buf_status(&fragment->ticket_bytes);
    if (status == FM_OK)
        status = fm_envelope_open(fm_buf_span(&fragment->ticket_bytes), &envelope);
    if (status == FM_OK)
        status = fm_envelope_verify(&envelope, FM_ENV_TICKET, &server->identity->charter.mesh,
                                    &ask->asker->sign_key);
    if (status == FM_OK)
        status = fm_ticket_decode(envelope.body, ticket);
    if (status != FM_OK)
        return fm_fail(err, status, "the ticket is not signed by the asking node");
    if (memcmp(&ticket->owner, &server->identity->node.node, sizeof ticket->owner) != 0 ||
        memcmp(&ticket->asker, &ask->asker->node, sizeof ticket->asker) != 0)
        return fm_fail(err, FM_REFUSED, "the ticket is for another node");
    if (ask->session != NULL &&
        memcmp(ticket->session.bytes, ask->session, sizeof ticket->session.bytes) != 0)
        return fm_fail(err, FM_REFUSED, "the ticket is for another session");
    if (ticket->deadline < fm_now_us() - FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_TIMEOUT, "the ticket's deadline has passed");
    fm_sha256_one(&fragment->ticket_hash, fm_buf_span(&fragment->ticket_bytes));
    fm_sha256_one(&fragment->fragment_hash, ticket->fragment);
    return FM_OK;
}

/* The two clocks may differ: the ticket's deadline with the tolerance, but never longer than the
 * user allowed. */
static fm_ms deadline_of(const struct fm_ticket *ticket, const struct fm_request *request)
{
    fm_ms left = (ticket->deadline - fm_now_us() + FM_CLOCK_SKEW_US) / 1000;

    return fm_now_ms() + (left < request->limit_ms ? left : request->limit_ms);
}

/* The user behind the ticket: the right is the user's and the asking node's together; until
 * policies come, any valid principal may read. */
static enum fm_status check_principal(struct fm_server *server, const struct fm_fragment_ask *ask,
                                      struct fragment *fragment, struct fm_error *err)
{
    const struct fm_ticket *ticket = &fragment->ticket;
    struct fm_principal_cert principal;
    struct fm_request request;
    struct fm_query_body *query = &fragment->asked;
    struct fm_hash sql;

    enum fm_status status =
        fm_cert_cache_principal(server->certs, ask->principal_cert, &principal, err);
    if (status == FM_OK)
        status = fm_cert_check_time(principal.not_before, principal.not_after,
                                    fm_seconds(fm_now_us()), err);
    if (status != FM_OK)
        return fm_wrap(err, status, "certificate of the principal");
    struct fm_asker asker = {.charter = &server->identity->charter,
                             .certs = server->certs,
                             .principal = &principal,
                             .principal_cert = ask->principal_cert,
                             .node = ask->asker};
    status = fm_asker_open(&asker, ticket->request, &request, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "the ticket");
    if (fm_query_body_decode(request.body, query) != FM_OK)
        return fm_fail(err, FM_MALFORMED, "the query in the ticket does not decode");
    fm_sha256_one(&sql, query->sql);
    if (request.kind != FM_METHOD_QUERY_OPEN ||
        memcmp(&request.id, &ticket->query, sizeof request.id) != 0 ||
        memcmp(&request.audience, &ticket->asker, sizeof request.audience) != 0 ||
        !fm_hash_equal(&sql, &ticket->sql_hash))
        return fm_fail(err, FM_REFUSED, "the request in the ticket is for another query or node");
    if (request.time > fm_now_us() + FM_CLOCK_SKEW_US ||
        request.time + (fm_us)request.limit_ms * 1000 + FM_CLOCK_SKEW_US < fm_now_us())
        return fm_fail(err, FM_REFUSED, "the request in the ticket is too old or from the future");
    fragment->deadline = deadline_of(ticket, &request);
    fm_sha256_one(&fragment->principal_hash, ask->principal_cert);
    fragment->principal = principal.sign_key;
    return FM_OK;
}

/* ---- Heads and tables ------------------------------------------------------------------------ */

static enum fm_status add_head(struct fragment *fragment, uint32_t i, struct fm_error *err)
{
    const struct fm_table_ref *ref = &fragment->plan.tables[i];
    char base[FM_NAME_MAX + 1];
    struct fm_table_info info = {0};
    struct fm_hash schema;

    fm_table_base_name(ref->table, base); /* A log has one head, however it is read. */
    enum fm_status status = fm_snapshot_table(fragment->snapshot, ref->domain, ref->table, &info);
    if (status != FM_OK)
        return fm_fail(err, FM_NOTFOUND, "table %s.%s does not exist or is not visible to you",
                       ref->domain, ref->table);
    fm_schema_hash(info.schema, &schema.bytes[0]);
    if (!fm_hash_equal(&schema, &ref->schema))
        status = fm_fail(err, FM_CONFLICT, "the schema of %s.%s has changed meanwhile: ask again",
                         ref->domain, ref->table);
    fragment->head_at[i] = fragment->heads.len;
    if (status == FM_OK)
        status = fm_server_head(fragment->server, ref->domain, base, info.epoch, info.size,
                                &info.root, &fragment->heads);
    fragment->head_at[i + 1] = fragment->heads.len;
    fm_schema_free(info.schema);
    return status;
}

/* ---- Scan ------------------------------------------------------------------------------------ */

static enum fm_status field_positions(const struct fm_fragment *plan,
                                      const struct fm_schema *schema, uint32_t *positions,
                                      struct fm_error *err)
{
    for (uint32_t i = 0; i < plan->field_count; i++) {
        positions[i] = UINT32_MAX;
        for (uint32_t f = 0; f < schema->field_count; f++)
            if (schema->fields[f].id == plan->fields[i])
                positions[i] = f;
        if (positions[i] == UINT32_MAX)
            return fm_fail(err, FM_INVALID, "the table has no field %" PRIu32, plan->fields[i]);
    }
    return FM_OK;
}

/* Keep the columns wanted of all; the dictionaries that they view stay with `out`. */
static enum fm_status take_wanted(struct fm_columns *all, const uint32_t *positions, uint32_t count,
                                  struct fm_columns *out)
{
    out->items = calloc(count + 1u, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        out->items[i] = all->items[positions[i]];
        out->items[i].type = (struct fm_type){0};
        out->count = i + 1;
        enum fm_status status = fm_type_copy(&all->items[positions[i]].type, &out->items[i].type);
        if (status != FM_OK)
            return status;
    }
    out->storage = FM_TAKE(all->storage);
    return FM_OK;
}

/* A scan of few rows is told from the others by its end. */
static enum fm_status read_ahead(struct fragment *fragment, struct fm_error *err)
{
    struct fm_batch view = {0};

    while (fragment->ahead_count < 2 && view.rows < FM_SMALL_SCAN_ROWS) {
        struct fm_buf *batch = &fragment->ahead[fragment->ahead_count];
        enum fm_status status = fm_scan_next(fragment->scan, batch, err);
        if (status == FM_NOTFOUND) {
            fragment->is_whole = true;
            return FM_OK;
        }
        if (status == FM_OK)
            status = fm_batch_view_trusted(fm_buf_span(batch), &view);
        if (status != FM_OK)
            return status;
        fragment->ahead_count++;
    }
    return FM_OK;
}

/* Rows that will be given at most. */
static uint64_t rows_of(const struct fragment *fragment)
{
    uint64_t rows = 0;

    for (uint32_t i = 0; i < fragment->ahead_count; i++) {
        struct fm_batch view;
        if (fm_batch_view_trusted(fm_buf_span(&fragment->ahead[i]), &view) == FM_OK)
            rows += view.rows;
    }
    return fragment->is_whole ? rows : UINT64_MAX;
}

static enum fm_status read_key(struct fragment *fragment, const struct fm_schema *schema,
                               const struct fm_scan_options *options, struct fm_span key,
                               struct fm_error *err)
{
    enum fm_status status = fm_key_read_columns(schema, options, &fragment->columns);

    if (status == FM_OK)
        status = fm_key_read(fragment->snapshot, schema, options, key, &fragment->ahead[0], err);
    fragment->ahead_count = fragment->ahead[0].len != 0 ? 1 : 0;
    fragment->is_whole = true;
    return status;
}

/* Columns of a whole table may take long to announce: not for one row. */
static enum fm_status open_scan(struct fragment *fragment, const struct fm_schema *schema,
                                const struct fm_scan_options *options, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf key = FM_BUF_INIT(0);
    struct fm_columns all = {0};

    if (fm_key_read_fits(schema, options, &key))
        return read_key(fragment, schema, options, fm_buf_span(&key), err);
    enum fm_status status =
        fm_snapshot_columns(fragment->snapshot, options->domain, options->table, &all);
    if (status == FM_OK)
        status = take_wanted(&all, options->fields, options->field_count, &fragment->columns);
    if (status == FM_OK)
        status = fm_scan_open(fragment->snapshot, options, &fragment->scan, err);
    if (status == FM_OK)
        status = read_ahead(fragment, err);
    fm_columns_deinit(&all);
    return status;
}

static enum fm_status start_scan(struct fragment *fragment, uint64_t *rows, struct fm_error *err)
{
    const struct fm_table_ref *ref = &fragment->plan.tables[0];
    struct fm_predicate_list predicates = {0};
    struct fm_table_info info = {0};
    FM_AUTO(fm_mem_freep)
    uint32_t *positions = calloc(fragment->plan.field_count + 1, sizeof *positions);

    enum fm_status status = fm_snapshot_table(fragment->snapshot, ref->domain, ref->table, &info);
    if (status == FM_OK &&
        (positions == NULL || fragment->plan.table_count != 1 || fragment->plan.field_count == 0))
        status = positions == NULL ? FM_NOMEM
                                   : fm_fail(err, FM_INVALID,
                                             "a scan has one table "
                                             "and some fields");
    if (status == FM_OK)
        status = field_positions(&fragment->plan, info.schema, positions, err);
    if (status == FM_OK && fragment->plan.predicates.len != 0)
        status = fm_predicate_list_decode(fragment->plan.predicates, info.schema, &predicates, err);
    struct fm_scan_options options = {
        .domain = ref->domain,
        .table = ref->table,
        .field_count = fragment->plan.field_count,
        .fields = positions,
        .predicates = &predicates,
        .at = ref->at,
        .row_limit = fragment->plan.row_limit,
    };
    if (status == FM_OK)
        status = fm_pin_table(fragment->snapshot, &fragment->server->identity->charter.mesh,
                              &fragment->asked, ref->domain, ref->table, &options.at, err);
    if (status == FM_OK)
        status = open_scan(fragment, info.schema, &options, err);
    *rows = fragment->is_whole ? rows_of(fragment) : info.rows_latest;
    fm_predicate_list_deinit(&predicates);
    fm_schema_free(info.schema);
    return status;
}

/* ---- SQL ------------------------------------------------------------------------------------- */

/* A worker serves one principal through one asking node: text that one node sends in somebody's
 * name never meets the rows that another sends or gets. */
static void name_served(const struct fragment *fragment, struct fm_hash *out)
{
    const struct fm_node_id *asker = &fragment->ticket.asker;
    struct fm_span parts[] = {
        fm_span_str("fragment"),
        fm_span(fragment->principal_hash.bytes, sizeof fragment->principal_hash.bytes),
        fm_span(asker->bytes, sizeof asker->bytes),
    };

    fm_sha256(out, parts, sizeof parts / sizeof parts[0]);
}

/* The owner plans for itself; every table of its plan must be one that the ticket names. */
static enum fm_status start_sql(struct fragment *fragment, uint64_t *rows, struct fm_error *err)
{
    struct fm_hash whom;

    enum fm_status status =
        fm_given_open(&fragment->plan, fragment->snapshot, &fragment->given, err);
    if (status != FM_OK)
        return status;
    name_served(fragment, &whom);
    struct fm_table_run_options options = {
        .server = fragment->server,
        .snapshot = fragment->snapshot,
        .sql = fragment->plan.sql,
        .tables = fragment->plan.tables,
        .table_count = fragment->plan.table_count,
        .given = &fragment->given,
        .asked = &fragment->asked,
        .whom = &whom,
        .deadline = fragment->deadline,
        .stop = &fragment->stop,
    };

    *rows = 0;
    return fm_table_run_open(&options, &fragment->run, &fragment->columns, err);
}

/* ---- As a producer --------------------------------------------------------------------------- */

static enum fm_status make_batch(struct fragment *fragment, struct fm_buf *batch,
                                 struct fm_error *err)
{
    if (fragment->ahead_next < fragment->ahead_count) {
        struct fm_buf *ahead = &fragment->ahead[fragment->ahead_next++];
        fm_buf_put_span(batch, fm_buf_span(ahead));
        fm_buf_free(ahead);
        return fm_buf_status(batch);
    }
    if (fragment->is_whole)
        return FM_NOTFOUND;
    return fragment->scan != NULL ? fm_scan_next(fragment->scan, batch, err)
                                  : fm_table_run_next(fragment->run, batch, err);
}

static enum fm_status next_batch(struct fragment *fragment, struct fm_buf *batch,
                                 struct fm_error *err)
{
    enum fm_status status = make_batch(fragment, batch, err);

    if (status != FM_OK)
        return status;
    status = fm_recode_batch(fragment->recode, batch);
    return status == FM_OK ? FM_OK : fm_fail(err, FM_INTERNAL, "rebuild a batch");
}

static enum fm_status fragment_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fragment *fragment = context;
    int64_t begun = fm_ticks_us();
    enum fm_status status = next_batch(fragment, batch, err);

    fragment->work_us += fm_ticks_us() - begun;
    return status;
}

static void fragment_cancel(void *context)
{
    struct fragment *fragment = context;

    fm_stop_fire(&fragment->stop);
}

static enum fm_status fragment_finish(void *context, const struct fm_cursor_totals *totals,
                                      struct fm_buf *end, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fragment *fragment = context;
    struct fm_key *key = fragment->server->identity->sign_key;
    struct fm_receipt receipt = {
        .query = fragment->ticket.query,
        .owner = fragment->ticket.owner,
        .ticket = fragment->ticket_hash,
        .fragment = fragment->fragment_hash,
        .principal = fragment->principal_hash,
        .table_count = fragment->plan.table_count,
        .rows = totals->rows,
        .bytes = totals->bytes,
        .batches = totals->batches,
        .root = totals->root,
        .time = fm_now_us(),
        .columns = fragment->columns_hash,
        .stopped = totals->stopped,
        .work_us = fragment->work_us,
    };

    memcpy(receipt.trace, fragment->ticket.trace, sizeof receipt.trace);
    for (uint32_t i = 0; i < receipt.table_count; i++) {
        receipt.heads[i] = fm_span(fragment->heads.data + fragment->head_at[i],
                                   fragment->head_at[i + 1] - fragment->head_at[i]);
        receipt.schemas[i] = fragment->plan.tables[i].schema;
    }
    fm_receipt_encode(&body, &receipt);
    enum fm_status status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_RECEIPT, &fragment->server->identity->charter.mesh,
                                  fm_buf_span(&body), &key, 1, end);
    if (status != FM_OK)
        return fm_fail(err, status, "sign the receipt");
    fm_counters_end(&fragment->server->counters.fragments, FM_OK, totals->rows, totals->bytes);
    return FM_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum fm_status enter(struct fragment *fragment, fm_ms wait_ms, struct fm_error *err)
{
    struct fm_place_ask ask = {
        .kind = fragment->plan.kind == FM_FRAGMENT_SCAN ? FM_PLACE_SCAN : FM_PLACE_SQL,
        .principal = &fragment->principal,
        .query = &fragment->ticket.query,
        .wait_ms = wait_ms,
        .deadline = fragment->deadline,
        .stop = &fragment->stop,
    };

    return fm_place_enter(fragment->server->admission, &ask, &fragment->place, err);
}

static enum fm_status start(struct fragment *fragment, fm_ms wait_ms, struct fm_buf *columns,
                            uint64_t *rows, struct fm_error *err)
{
    enum fm_status status = fm_fragment_decode(fragment->ticket.fragment, &fragment->plan);
    if (status != FM_OK)
        return fm_fail(err, status, "the fragment does not decode");
    status = enter(fragment, wait_ms, err);
    if (status == FM_OK)
        status = fm_snapshot_open(fragment->server->store, &fragment->snapshot, err);
    for (uint32_t i = 0; i < fragment->plan.table_count && status == FM_OK; i++)
        status = add_head(fragment, i, err);
    if (status != FM_OK)
        return status;
    status = fragment->plan.kind == FM_FRAGMENT_SCAN ? start_scan(fragment, rows, err)
                                                     : start_sql(fragment, rows, err);
    if (status != FM_OK)
        return status;
    status = fm_recode_columns(&fragment->columns, rows_of(fragment), COLUMNS_BYTES_MAX, columns,
                               &fragment->recode);
    if (status != FM_OK)
        return fm_fail(err, status, "announce the columns: %s", fm_status_text(status));
    fm_sha256_one(&fragment->columns_hash, fm_buf_span(columns));
    return FM_OK;
}

static void stop_fragment(void *context)
{
    struct fragment *fragment = context;

    fm_stop_fire(&fragment->stop);
}

/* Whoever cancels meanwhile, or goes, finds it among the openings. */
static enum fm_status start_stoppable(struct fragment *fragment, const struct fm_fragment_ask *ask,
                                      struct fm_buf *columns, uint64_t *rows, struct fm_error *err)
{
    struct fm_openings *openings = fm_cursors_openings(fragment->server->cursors);
    struct fm_stop_hook hook;
    struct fm_opening opening = {
        .kind = FM_CURSOR_FRAGMENT,
        .query = fragment->ticket.query,
        .number = fragment->ticket.number,
        .caller = ask->asker->sign_key,
        .session = ask->session,
        .stop = &fragment->stop,
    };

    fm_openings_add(openings, &opening);
    fm_stop_hook(ask->stop, &hook, stop_fragment, fragment);
    enum fm_status status = start(fragment, ask->wait_ms, columns, rows, err);
    fm_stop_unhook(ask->stop, &hook);
    fm_openings_remove(openings, &opening);
    if (status == FM_OK && fm_stop_is_fired(&fragment->stop))
        status = fm_fail(err, FM_CANCELLED, "the query was cancelled");
    return status;
}

/* A feed in this process takes batches as they are made; to others the first one goes along. */
static enum fm_status open_cursor(struct fm_server *server, struct fm_cursor_options *options,
                                  const struct fm_opened *opened, struct fm_buf *reply,
                                  struct fm_error *err)
{
    if (!options->is_held)
        return fm_cursor_open_first(server->cursors, options, opened, FM_REPLY_BYTES_MAX, reply,
                                    err);
    fm_opened_encode(reply, opened);
    options->opened = fm_buf_span(reply);
    return fm_cursor_open(server->cursors, options, err);
}

enum fm_status fm_fragment_open(struct fm_server *server, const struct fm_fragment_ask *ask,
                                struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fragment_freep) struct fragment *fragment = calloc(1, sizeof *fragment);
    FM_AUTO(fm_buf_free) struct fm_buf columns = FM_BUF_INIT(COLUMNS_BYTES_MAX);
    struct fm_opened opened = {.has_rows = true};

    if (fragment == NULL)
        return fm_fail(err, FM_NOMEM, "run a fragment");
    fm_stop_init(&fragment->stop);
    fragment->server = server;
    int64_t begun = fm_ticks_us();
    enum fm_status status = check_ticket(server, ask, fragment, err);
    if (status == FM_OK)
        status = check_principal(server, ask, fragment, err);
    if (status != FM_OK)
        return status;
    status = fm_cursor_repeated(server->cursors, FM_CURSOR_FRAGMENT, &fragment->ticket.query,
                                fragment->ticket.number, &ask->asker->sign_key,
                                &fragment->ticket_hash, reply);
    if (status == FM_CONFLICT)
        return fm_fail(err, status, "another fragment has this query's id and number");
    if (status != FM_NOTFOUND)
        return status;
    status = start_stoppable(fragment, ask, &columns, &opened.rows, err);
    fragment->work_us = fm_ticks_us() - begun;
    if (status != FM_OK)
        return status;
    struct fm_cursor_options options = {
        .kind = FM_CURSOR_FRAGMENT,
        .query = fragment->ticket.query,
        .number = fragment->ticket.number,
        .caller = ask->asker->sign_key,
        .session = ask->session,
        .deadline = fragment->deadline,
        .ticket = fragment->ticket_hash,
        .is_held = ask->session == NULL,
    };
    opened.columns = fm_buf_span(&columns);
    options.producer = (struct fm_producer){
        .context = FM_TAKE(fragment),
        .next = fragment_next,
        .finish = fragment_finish,
        .cancel = fragment_cancel,
        .free = fragment_free,
    };
    return open_cursor(server, &options, &opened, reply, err);
}
