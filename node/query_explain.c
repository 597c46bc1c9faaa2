/* EXPLAIN and EXPLAIN ANALYZE: the plan, and how it went, as a table. */
#include "node/query.h"

#include "core/assert.h"

static const struct fm_rows_column columns[] = {
    {"fragment", FM_KIND_INT32},         {"domain", FM_KIND_VARCHAR},
    {"node", FM_KIND_VARCHAR},           {"rule", FM_KIND_VARCHAR},
    {"work", FM_KIND_VARCHAR},           {"predicted_rows", FM_KIND_UINT64},
    {"predicted_bytes", FM_KIND_UINT64}, {"rows", FM_KIND_UINT64},
    {"bytes", FM_KIND_UINT64},           {"owner_ms", FM_KIND_DOUBLE},
    {"wire_ms", FM_KIND_DOUBLE},         {"merge_ms", FM_KIND_DOUBLE},
};

#define COLUMNS_PLAN 7u /* The others are of a run. */
#define COLUMNS_RUN ((uint32_t)(sizeof columns / sizeof columns[0]))

enum fm_status fm_query_explain(struct fm_query *query, struct fm_error *err)
{
    bool runs = query->explain == FM_EXPLAIN_RUN;
    enum fm_status status = runs ? fm_query_start(query, err) : FM_OK;

    if (!runs)
        fm_query_end_worker(query);
    if (status != FM_OK)
        return status;
    status = fm_rows_new(columns, runs ? COLUMNS_RUN : COLUMNS_PLAN, &query->explained);
    if (status != FM_OK)
        return fm_fail(err, status, "explain: %s", fm_status_text(status));
    fm_buf_clear(&query->columns); /* Of the rows that nobody gets. */
    fm_columns_encode(&query->columns, fm_rows_columns(query->explained));
    return fm_buf_status(&query->columns);
}

/* To the end, and all receipts; what is made is counted and forgotten. */
static enum fm_status run_all(struct fm_query *query, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_batch view;
    enum fm_status status = FM_OK;

    while (status == FM_OK) {
        fm_buf_clear(&batch);
        if (fm_now_ms() > query->deadline)
            return fm_fail(err, FM_TIMEOUT, "the query's time limit has passed");
        status = fm_query_next(query, &batch, err);
        if (status == FM_OK && fm_batch_view_trusted(fm_buf_span(&batch), &view) != FM_OK)
            return fm_fail(err, FM_INTERNAL, "a batch of the result is none");
        if (status != FM_OK)
            break;
        query->rows_made += view.rows;
        query->bytes_made += batch.len;
    }
    return status == FM_NOTFOUND ? fm_query_stop(query, err) : status;
}

/* 0: not known. */
static void put_count(struct fm_rows *rows, uint64_t value)
{
    if (value == 0)
        fm_rows_null(rows);
    else
        fm_rows_uint(rows, value);
}

static void put_ms(struct fm_rows *rows, int64_t us)
{
    fm_rows_double(rows, us < 0 ? 0.0 : (double)us / 1000.0);
}

static void put_node(const struct fm_query *query, const struct fm_node_id *node)
{
    char name[FM_NAME_MAX + 1];

    fm_query_owner_name(query, node, name);
    if (name[0] == '\0')
        fm_rows_null(query->explained);
    else
        fm_rows_text(query->explained, name);
}

static void put_run(const struct fm_query *query, const struct fm_feed *feed)
{
    struct fm_rows *rows = query->explained;

    if (feed == NULL) {
        for (uint32_t i = COLUMNS_PLAN; i < COLUMNS_RUN; i++)
            fm_rows_null(rows);
        return;
    }
    const struct fm_receipt *receipt = fm_feed_receipt_parsed(feed);
    int64_t calls = fm_feed_call_us(feed);
    fm_rows_uint(rows, receipt->rows);
    fm_rows_uint(rows, receipt->bytes);
    put_ms(rows, receipt->work_us);
    put_ms(rows, calls - receipt->work_us);
    fm_rows_null(rows);
}

/* A view's rows were there. */
static void put_own(struct fm_rows *rows, const struct fm_view_rows *view)
{
    fm_rows_uint(rows, view->rows);
    for (uint32_t i = COLUMNS_PLAN + 1; i < COLUMNS_RUN; i++)
        fm_rows_null(rows);
}

static void put_fragment(struct fm_query *query, uint32_t i)
{
    FM_AUTO(fm_buf_free) struct fm_buf work = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);
    const struct fm_plan_table *table = &query->plan.tables[i];
    struct fm_rows *rows = query->explained;

    fm_plan_print_work(&query->plan, i, &work);
    fm_rows_int32(rows, (int32_t)i);
    fm_rows_text(rows, table->domain);
    put_node(query, &table->owner);
    fm_rows_text(rows, fm_plan_rule_text(&query->plan, i));
    fm_rows_span(rows, fm_buf_span(&work));
    bool is_estimated = table->expected_rows != 0;
    bool is_ship = query->plan.kind == FM_PLAN_SHIP;
    put_count(rows, is_ship ? 0 : is_estimated ? table->expected_rows : table->rows);
    put_count(rows, is_ship ? 0 : is_estimated ? table->expected_bytes : fm_plan_bytes(table));
    if (query->explain == FM_EXPLAIN_RUN && table->is_own)
        put_own(rows, &query->views[i]);
    else if (query->explain == FM_EXPLAIN_RUN)
        put_run(query, i < query->feed_count && fm_query_has(query, i) ? query->feeds[i] : NULL);
}

static void put_merge(struct fm_query *query)
{
    struct fm_rows *rows = query->explained;

    fm_rows_null(rows);
    fm_rows_null(rows);
    put_node(query, &query->server->identity->node.node);
    fm_rows_text(rows, "merge");
    fm_rows_span(rows, fm_buf_span(&query->plan.sql));
    fm_rows_null(rows);
    fm_rows_null(rows);
    if (query->explain != FM_EXPLAIN_RUN)
        return;
    fm_rows_uint(rows, query->rows_made);
    fm_rows_uint(rows, query->bytes_made);
    fm_rows_null(rows);
    fm_rows_null(rows);
    int64_t merge_us = query->made_us;
    for (uint32_t i = 0; i < query->feed_count; i++)
        if (query->feeds[i] != NULL)
            merge_us -= fm_feed_waited_us(query->feeds[i]);
    put_ms(rows, merge_us);
}

enum fm_status fm_query_explain_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fm_query *query = context;
    bool merges = !fm_query_passes_on(query);

    if (query->is_explained)
        return FM_NOTFOUND;
    query->is_explained = true;
    if (query->explain == FM_EXPLAIN_RUN) {
        enum fm_status status = run_all(query, err);
        if (status != FM_OK)
            return status;
    }
    for (uint32_t i = 0; i < (merges ? query->plan.table_count : 1); i++)
        put_fragment(query, i);
    if (merges)
        put_merge(query);
    enum fm_status status = fm_rows_finish(query->explained, batch);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "explain: %s", fm_status_text(status));
}
