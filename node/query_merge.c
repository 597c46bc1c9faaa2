/* Making the rows: the only fragment's own, or merged by a worker over the fragments as slots. */
#include "node/query.h"

#include "core/codec.h"

void fm_query_free(struct fm_query *query)
{
    if (query == NULL)
        return;
    fm_query_record(query);
    if (!query->is_counted)
        fm_counters_end(&query->server->counters.queries,
                        query->failed != FM_OK ? query->failed : FM_CANCELLED, 0, 0);
    fm_stop_unhook(&query->stop, &query->worker_hook); /* One that is done may stay warm. */
    fm_stop_fire(&query->stop);                        /* Feeds that wait come back. */
    fm_recode_free(query->recode);
    fm_columns_deinit(&query->result);
    fm_query_end_worker(query);
    for (uint32_t i = 0; i < query->feed_count; i++) {
        fm_kept_deinit(&query->kept[i]);
        fm_feed_free(query->feeds[i]);
    }
    fm_spool_free(query->spool); /* No feed adds to it any more. */
    fm_rows_free(query->explained);
    fm_plan_deinit(&query->plan);
    fm_buf_free(&query->plan_text);
    fm_buf_free(&query->columns);
    fm_buf_free(&query->request);
    fm_buf_free(&query->principal_cert);
    fm_place_leave(&query->place);
    fm_stop_deinit(&query->stop);
    free(query);
}

/* The next batch of a fragment; its end also where the rest of it is missing and may be. */
static enum fm_status next_of(struct fm_query *query, uint32_t number, struct fm_buf *batch,
                              struct fm_error *err)
{
    if (query->failed != FM_OK) {
        *err = query->failure;
        return query->failed;
    }
    struct fm_kept *kept = &query->kept[number];
    if (!fm_query_has(query, number) && kept->next == kept->count)
        return FM_NOTFOUND; /* What came before it was lost has been read. */
    enum fm_status status = fm_query_passes_on(query)
                                ? fm_feed_next(query->feeds[number], batch, err)
                                : fm_kept_next(kept, batch, err);
    if (status == FM_OK || status == FM_NOTFOUND)
        return status;
    status = fm_query_lose(query, number, status, err);
    return status == FM_OK ? FM_NOTFOUND : status;
}

static enum fm_status source_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fm_query_source *slot = context;

    return next_of(slot->query, slot->number, batch, err);
}

static bool is_enum(const struct fm_plan_table *plan, uint32_t field)
{
    for (uint32_t i = 0; i < plan->enum_count; i++)
        if (plan->enum_fields[i] == field)
            return true;
    return false;
}

/* All columns of a slot's table; only the array is the caller's. */
static enum fm_status table_columns(const struct fm_plan_table *table, struct fm_columns *out,
                                    struct fm_error *err)
{
    out->count = table->schema->field_count;
    out->items = calloc(out->count, sizeof *out->items);
    if (out->items == NULL)
        return fm_fail(err, FM_NOMEM, "merge fragments");
    for (uint32_t c = 0; c < out->count; c++) {
        const struct fm_field *field = &table->schema->fields[c];
        memcpy(out->items[c].name, field->name, sizeof field->name);
        out->items[c].type = field->type;
    }
    return FM_OK;
}

/* The slot's columns: the table's, with the dictionaries that the feed brought for its own. The
 * items borrow types and dictionaries; only the array is the caller's. */
static enum fm_status slot_columns(const struct fm_plan_table *table, const struct fm_feed *feed,
                                   struct fm_columns *out, struct fm_error *err)
{
    const struct fm_columns *came = fm_feed_columns(feed);

    if (came->count != table->field_count)
        return fm_fail(err, FM_MALFORMED,
                       "domain %s on node %s: the owner announces %u columns, not %u",
                       table->domain, fm_feed_owner_name(feed), came->count, table->field_count);
    enum fm_status status = table_columns(table, out, err);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < came->count; i++) {
        struct fm_column *item = &out->items[table->fields[i]];
        if (!fm_type_equal(&item->type, &came->items[i].type))
            return fm_fail(err, FM_MALFORMED,
                           "domain %s on node %s: column %s comes in another type", table->domain,
                           fm_feed_owner_name(feed), item->name);
        item->dictionary = came->items[i].dictionary;
        item->as_text = !is_enum(table, table->fields[i]);
    }
    return FM_OK;
}

/* The owner's estimate knows nothing of conditions. */
static uint64_t rows_expected(const struct fm_query *query, uint32_t slot)
{
    if (query->kept[slot].is_whole)
        return query->kept[slot].rows;
    if (query->feeds[slot] == NULL)
        return 0;
    uint64_t told = fm_feed_rows_estimate(query->feeds[slot]);
    uint64_t expected = query->plan.tables[slot].expected_rows;

    return expected != 0 && expected < told ? expected : told;
}

static enum fm_status set_slots(struct fm_query *query, struct fm_slot *slots,
                                struct fm_columns *columns, struct fm_error *err)
{
    for (uint32_t i = 0; i < query->plan.table_count; i++) {
        const struct fm_plan_table *table = &query->plan.tables[i];
        const struct fm_feed *feed = query->feeds[i];
        enum fm_status status = feed != NULL ? slot_columns(table, feed, &columns[i], err)
                                             : table_columns(table, &columns[i], err);
        if (status != FM_OK)
            return status;
        query->slots[i] = (struct fm_query_source){.query = query, .number = i};
        query->sources[i] =
            (struct fm_batch_source){.context = &query->slots[i], .next = source_next};
        slots[i] = (struct fm_slot){
            .columns = &columns[i],
            .rows = rows_expected(query, i),
            .supplied_count = table->field_count,
            .supplied = table->fields,
            .source = &query->sources[i],
        };
    }
    return fm_worker_set_slots(query->worker, slots, query->plan.table_count, err);
}

static enum fm_status start_merge(struct fm_query *query, struct fm_error *err)
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
    enum fm_status status =
        query->with_fragments ? fm_spool_open(&query->server->spools, &query->spool, err) : FM_OK;
    if (status == FM_OK)
        status = fm_query_open_fragments(query, err);
    if (status == FM_OK)
        status = set_slots(query, slots, columns, err);
    int64_t begun = fm_ticks_us();
    if (status == FM_OK)
        status = fm_worker_run(query->worker, fm_buf_span(&query->plan.sql), &options,
                               &query->result, err);
    query->made_us += fm_ticks_us() - begun;
    for (uint32_t i = 0; i < count; i++)
        free(columns[i].items);
    if (status != FM_OK)
        return fm_query_tell_lost(query, status, "merge", err);
    status = fm_recode_columns(&query->result, UINT64_MAX, FM_QUERY_COLUMNS_BYTES_MAX,
                               &query->columns, &query->recode);
    if (status != FM_OK)
        return fm_fail(err, status, "announce the columns: %s", fm_status_text(status));
    return FM_OK;
}

/* The columns of a scan are known beforehand, those of a statement the owner tells. */
static enum fm_status check_lookup(const struct fm_query *query, const struct fm_columns *came,
                                   struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[0];
    const struct fm_plan_lookup *lookup = &query->plan.lookup;

    if (came->count != lookup->field_count)
        return fm_fail(
            err, FM_MALFORMED, "domain %s on node %s: the owner announces %u columns, not %u",
            table->domain, fm_feed_owner_name(query->feeds[0]), came->count, lookup->field_count);
    for (uint32_t i = 0; i < came->count; i++) {
        const struct fm_field *field = &table->schema->fields[lookup->fields[i]];
        if (strcmp(came->items[i].name, field->name) != 0 ||
            !fm_type_equal(&came->items[i].type, &field->type))
            return fm_fail(err, FM_MALFORMED,
                           "domain %s on node %s: column %s comes as another one", table->domain,
                           fm_feed_owner_name(query->feeds[0]), field->name);
    }
    return FM_OK;
}

static enum fm_status start_passing(struct fm_query *query, struct fm_error *err)
{
    enum fm_status status = fm_query_open_fragments(query, err);
    if (status == FM_OK && query->plan.kind == FM_PLAN_LOOKUP)
        status = check_lookup(query, fm_feed_columns(query->feeds[0]), err);
    if (status != FM_OK)
        return status;
    fm_columns_encode(&query->columns, fm_feed_columns(query->feeds[0]));
    return fm_buf_status(&query->columns);
}

enum fm_status fm_query_start(struct fm_query *query, struct fm_error *err)
{
    enum fm_status status = fm_query_admit(query, err);

    if (status != FM_OK)
        return status;
    return fm_query_passes_on(query) ? start_passing(query, err) : start_merge(query, err);
}

/* ---- As a producer --------------------------------------------------------------------------- */

/* For a shipped statement the owner's worker counts. */
static enum fm_status count_rows(struct fm_query *query, const struct fm_buf *batch,
                                 struct fm_error *err)
{
    uint64_t max = query->server->config.query_rows_max;
    struct fm_batch view;
    enum fm_status status = fm_batch_view_trusted(fm_buf_span(batch), &view);

    if (status != FM_OK)
        return status;
    query->rows += view.rows;
    if (max == 0 || query->rows <= max)
        return FM_OK;
    return fm_fail(err, FM_LIMIT, "the result has more than %llu rows", (unsigned long long)max);
}

enum fm_status fm_query_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fm_query *query = context;

    if (fm_query_passes_on(query)) {
        enum fm_status came = next_of(query, 0, batch, err);
        return came == FM_OK && query->plan.kind == FM_PLAN_LOOKUP ? count_rows(query, batch, err)
                                                                   : came;
    }
    int64_t begun = fm_ticks_us();
    enum fm_status status = fm_worker_next(query->worker, batch, err);
    query->made_us += fm_ticks_us() - begun;
    if (status == FM_NOTFOUND) /* A stop that comes now finds nothing to end. */
        fm_stop_unhook(&query->stop, &query->worker_hook);
    if (status != FM_OK)
        return fm_query_tell_lost(query, status, "merge", err);
    status = fm_recode_batch(query->recode, batch);
    return status == FM_OK ? FM_OK : fm_fail(err, FM_INTERNAL, "rebuild a batch");
}

const struct fm_hash *fm_query_leaf(void *context)
{
    const struct fm_query *query = context;

    return fm_query_passes_on(query) ? fm_feed_leaf(query->feeds[0]) : NULL;
}

void fm_query_cancel(void *context)
{
    struct fm_query *query = context;

    fm_stop_fire(&query->stop);
}
