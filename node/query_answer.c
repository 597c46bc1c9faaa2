/* The answer: signed by this node, with what the owners signed, as a bundle. */
#include "node/query.h"

#include "core/assert.h"
#include "core/codec.h"

/* Rows of this node's own. */
static void list_views(const struct fm_query *query, struct fm_answer *answer)
{
    for (uint32_t i = 0; i < query->plan.table_count; i++) {
        const struct fm_plan_table *table = &query->plan.tables[i];
        if (!table->is_own || query->explain == FM_EXPLAIN_PLAN)
            continue;
        struct fm_answer_own *own = &answer->own[answer->own_count++];
        own->number = i;
        memcpy(own->table, table->table, sizeof own->table);
        own->rows = query->views[i].rows;
        own->root = query->views[i].root;
    }
}

static enum fm_status seal_answer(struct fm_query *query, const struct fm_cursor_totals *totals,
                                  struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    const struct fm_identity *identity = query->server->identity;
    struct fm_key *key = identity->sign_key;
    struct fm_answer answer = {
        .query = query->id,
        .node = identity->node.node,
        .plan = fm_buf_span(&query->plan_text),
        .columns = fm_buf_span(&query->columns),
        .rows = totals->rows,
        .bytes = totals->bytes,
        .batches = totals->batches,
        .root = totals->root,
        .completeness = FM_COMPLETE,
        .time = fm_now_us(),
        .origin = fm_query_passes_on(query) && query->explain == FM_EXPLAIN_NONE
                      ? FM_ROWS_OF_FRAGMENT
                      : FM_ROWS_MERGED,
    };

    memcpy(answer.trace, query->trace, sizeof answer.trace);
    fm_sha256_one(&answer.request, fm_buf_span(&query->request));
    for (uint32_t i = 0; i < query->feed_count; i++) {
        struct fm_answer_fragment *fragment = &answer.fragments[answer.fragment_count];
        if (!fm_query_has(query, i))
            continue;
        answer.fragment_count++;
        const struct fm_receipt *receipt = fm_feed_receipt_parsed(query->feeds[i]);
        memcpy(fragment->domain, query->plan.tables[i].domain, sizeof fragment->domain);
        fragment->owner = receipt->owner;
        fm_sha256_one(&fragment->ticket, fm_feed_ticket(query->feeds[i]));
        fm_sha256_one(&fragment->receipt, fm_feed_receipt(query->feeds[i]));
    }
    list_views(query, &answer);
    fm_query_list_losses(query, &answer);
    if (answer.missing_count != 0)
        answer.origin = FM_ROWS_MERGED; /* No receipt is for just these rows. */
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

enum fm_status fm_query_stop(struct fm_query *query, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < query->feed_count && status == FM_OK; i++) {
        if (!fm_query_has(query, i))
            continue;
        status = fm_feed_stop(query->feeds[i], err);
        if (status != FM_OK)
            status = fm_query_lose(query, i, status, err);
    }
    return status == FM_OK ? fm_query_check_losses(query, err) : status;
}

/* ---- What the fragments brought ------------------------------------------------------------- */

static enum fm_status spool_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    return fm_spool_next(context, batch, err);
}

/* Who fetches knows from the receipts how many batches there are. */
static enum fm_status spool_finish(void *context, const struct fm_cursor_totals *totals,
                                   struct fm_buf *end, struct fm_error *err)
{
    (void)context;
    (void)totals;
    (void)err;
    fm_pack_nil(end);
    return fm_buf_status(end);
}

static void spool_free(void *context)
{
    fm_spool_free(context);
}

/* Fetched as FM_FETCH_FRAGMENTS of the same query, with its time limit once more. */
static enum fm_status open_spool(struct fm_query *query, struct fm_error *err)
{
    struct fm_cursor_options options = {
        .kind = FM_CURSOR_QUERY,
        .query = query->id,
        .number = FM_FETCH_FRAGMENTS,
        .caller = query->principal.sign_key,
        .session = query->session,
        .deadline = fm_now_ms() + query->limit_ms,
        .producer = {.next = spool_next, .finish = spool_finish, .free = spool_free},
    };

    options.producer.context = FM_TAKE(query->spool);
    return fm_cursor_open(query->server->cursors, &options, err);
}

static void add_columns(struct fm_query *query, struct fm_bundle *bundle)
{
    uint32_t count = 0;

    bundle->has_columns = true;
    for (uint32_t i = 0; i < query->feed_count; i++) {
        if (fm_query_has(query, i))
            bundle->columns[count++] = fm_feed_columns_bytes(query->feeds[i]);
        else
            fm_spool_forget(query->spool, i); /* No receipt is for it. */
    }
}

enum fm_status fm_query_finish(void *context, const struct fm_cursor_totals *totals,
                               struct fm_buf *end, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fm_query *query = context;
    struct fm_bundle bundle = {
        .request = fm_buf_span(&query->request),
        .principal_cert = fm_buf_span(&query->principal_cert),
    };

    if (totals->stopped)
        return fm_fail(err, FM_INVALID, "a query is not stopped but cancelled");
    enum fm_status status = fm_query_stop(query, err);
    if (status == FM_OK)
        status = seal_answer(query, totals, &answer, err);
    if (status != FM_OK)
        return status;
    query->is_counted = true;
    fm_counters_end(&query->server->counters.queries, FM_OK, totals->rows, totals->bytes);
    fm_query_record(query); /* Before the asker has the end, and asks how it went. */
    bundle.answer = fm_buf_span(&answer);
    add_cert(&bundle, fm_buf_span(&query->server->identity->cert_bytes));
    for (uint32_t i = 0; i < query->feed_count; i++) {
        if (!fm_query_has(query, i))
            continue;
        add_cert(&bundle, fm_feed_owner_cert(query->feeds[i]));
        bundle.tickets[bundle.fragment_count] = fm_feed_ticket(query->feeds[i]);
        bundle.receipts[bundle.fragment_count++] = fm_feed_receipt(query->feeds[i]);
    }
    if (query->spool != NULL)
        add_columns(query, &bundle);
    fm_bundle_encode(end, &bundle);
    status = fm_buf_status(end);
    if (status == FM_OK && end->len > FM_DOC_BYTES_MAX)
        status = fm_fail(err, FM_LIMIT, "the proofs of this query are larger than %u bytes",
                         FM_DOC_BYTES_MAX);
    return status == FM_OK && query->spool != NULL ? open_spool(query, err) : status;
}
