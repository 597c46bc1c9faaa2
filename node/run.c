#include "node/run.h"

#include "core/assert.h"
#include "core/hash_stream.h"
#include "node/pins.h"
#include "node/server.h"
#include "query/plan.h"

/* What one slot reads. */
struct table {
    struct fm_columns columns; /* All of the table, as the slot declares them. */
    struct fm_store_mapping mapping;
    bool is_mapped;
    struct fm_batch_source source;
    struct fm_arena *arenas;
    struct fm_mapped_segment *segments;
    struct fm_mapped_column *cells; /* Of all segments: each one's columns, its selection last. */
    const struct fm_given_table *given; /* Instead of all that. */
    bool is_read;
};

struct fm_table_run {
    const struct fm_table_run_options *options;
    struct fm_worker *worker;
    struct fm_stop *stop;
    struct fm_stop_hook hook;
    struct fm_plan plan;
    struct table *tables; /* plan.table_count. */
};

static void table_deinit(struct table *table)
{
    if (table->is_mapped)
        fm_store_mapping_deinit(&table->mapping);
    fm_columns_deinit(&table->columns);
    free(table->arenas);
    free(table->segments);
    free(table->cells);
}

void fm_table_run_free(struct fm_table_run *run)
{
    if (run == NULL)
        return;
    fm_stop_unhook(run->stop, &run->hook);
    fm_worker_free(run->worker); /* First: it maps what the tables hold. */
    for (uint32_t i = 0; run->tables != NULL && i < run->plan.table_count; i++)
        table_deinit(&run->tables[i]);
    free(run->tables);
    fm_plan_deinit(&run->plan);
    free(run);
}
FM_DEFINE_FREEP(run_freep, struct fm_table_run, fm_table_run_free)

/* ---- The catalog for planning: the ticket's tables at this snapshot -------------------------- */

static const struct fm_table_ref *find_ref(const struct fm_table_run_options *options,
                                           const char *domain, const char *table)
{
    for (uint32_t i = 0; i < options->table_count; i++)
        if (strcmp(options->tables[i].domain, domain) == 0 &&
            strcmp(options->tables[i].table, table) == 0)
            return &options->tables[i];
    return NULL;
}

/* Rows that were given are this node's as far as the plan goes. */
static enum fm_status resolve(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    const struct fm_table_run_options *options = context;
    const struct fm_given_table *given = fm_given_find(options->given, domain, table, NULL);
    struct fm_table_info info = {0};

    *owner = options->server->identity->node.node;
    if (given != NULL) {
        *rows = given->rows;
        return fm_given_schema(given, schema);
    }
    if (find_ref(options, domain, table) == NULL)
        return FM_NOTFOUND;
    enum fm_status status = fm_snapshot_table(options->snapshot, domain, table, &info);
    if (status != FM_OK)
        return status;
    *schema = info.schema;
    *rows = info.rows_latest;
    return FM_OK;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static enum fm_status scan_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    return fm_scan_next(context, batch, err);
}

static bool is_enum(const struct fm_plan_table *plan, uint32_t field)
{
    for (uint32_t i = 0; i < plan->enum_count; i++)
        if (plan->enum_fields[i] == field)
            return true;
    return false;
}

static struct fm_mapped_column cell_of(const struct fm_store_mapped_column *column)
{
    return (struct fm_mapped_column){.arena = column->arena, .offset = column->offset};
}

static enum fm_status take_mapping(struct table *table, uint32_t field_count)
{
    const struct fm_store_mapping *mapping = &table->mapping;
    size_t cell_count = (size_t)mapping->segment_count * (field_count + 1);

    table->arenas = calloc(mapping->arena_count + 1, sizeof *table->arenas);
    table->segments = calloc(mapping->segment_count + 1, sizeof *table->segments);
    table->cells = calloc(cell_count + 1, sizeof *table->cells);
    if (table->arenas == NULL || table->segments == NULL || table->cells == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < mapping->arena_count; i++)
        table->arenas[i] = (struct fm_arena){.fd = mapping->fds[i], .bytes = mapping->bytes[i]};
    for (uint32_t s = 0; s < mapping->segment_count; s++) {
        const struct fm_store_mapped_segment *segment = &mapping->segments[s];
        struct fm_mapped_column *cells = table->cells + (size_t)s * (field_count + 1);
        for (uint32_t c = 0; c < field_count; c++)
            cells[c] = cell_of(&segment->columns[c]);
        cells[field_count] = cell_of(&segment->selection);
        table->segments[s] = (struct fm_mapped_segment){
            .rows = segment->rows,
            .columns = cells,
            .selection = segment->has_selection ? &cells[field_count] : NULL,
            .left_out = segment->left_out,
        };
    }
    return FM_OK;
}

static enum fm_status given_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct table *table = context;

    if (table->is_read || table->given->batch.len == 0)
        return FM_NOTFOUND;
    table->is_read = true;
    fm_buf_put_span(batch, fm_buf_span(&table->given->batch));
    return fm_buf_status(batch) == FM_OK ? FM_OK : fm_fail(err, FM_NOMEM, "read rows given");
}

static void open_given(struct table *table, struct fm_slot *slot)
{
    table->source = (struct fm_batch_source){.context = table, .next = given_next};
    *slot = (struct fm_slot){
        .columns = &table->given->columns,
        .rows = table->given->rows,
        .supplied_count = table->given->from->field_count,
        .supplied = table->given->from->fields,
        .source = &table->source,
    };
}

static enum fm_status open_table(struct fm_table_run *run, uint32_t i, struct fm_slot *slot,
                                 struct fm_error *err)
{
    const struct fm_plan_table *plan = &run->plan.tables[i];
    struct table *table = &run->tables[i];
    struct fm_snapshot *snapshot = run->options->snapshot;
    struct fm_scan_options options = {
        .domain = plan->domain,
        .table = plan->table,
        .field_count = plan->field_count,
        .fields = plan->fields,
        .predicates = &plan->predicates,
        .at = plan->at,
    };

    table->given = fm_given_find(run->options->given, plan->domain, plan->table, &plan->at);
    if (table->given != NULL) {
        open_given(table, slot);
        return FM_OK;
    }
    if (fm_given_find(run->options->given, plan->domain, plan->table, NULL) != NULL)
        return fm_fail(err, FM_NOTFOUND, "no rows are given of %s.%s as it was at that time",
                       plan->domain, plan->table);
    enum fm_status status =
        fm_pin_table(snapshot, &run->options->server->identity->charter.mesh, run->options->asked,
                     plan->domain, plan->table, &options.at, err);
    if (status == FM_OK)
        status = fm_snapshot_columns(snapshot, plan->domain, plan->table, &table->columns);
    for (uint32_t c = 0; c < table->columns.count && status == FM_OK; c++)
        table->columns.items[c].as_text = !is_enum(plan, c);
    if (status == FM_OK)
        status = fm_snapshot_map(snapshot, &options, &table->mapping, err);
    table->is_mapped = status == FM_OK;
    if (status == FM_OK)
        status = take_mapping(table, plan->field_count);
    struct fm_scan *rest = table->mapping.rest;
    table->source = (struct fm_batch_source){.context = rest, .next = scan_next};
    *slot = (struct fm_slot){
        .columns = &table->columns,
        .rows = plan->rows,
        .supplied_count = plan->field_count,
        .supplied = plan->fields,
        .arena_count = table->mapping.arena_count,
        .arenas = table->arenas,
        .segment_count = table->mapping.segment_count,
        .segments = table->segments,
        .source = rest != NULL ? &table->source : NULL,
    };
    return status;
}

static enum fm_status open_tables(struct fm_table_run *run, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_slot *slots = calloc(run->plan.table_count + 1, sizeof *slots);
    enum fm_status status = FM_OK;

    run->tables = calloc(run->plan.table_count + 1, sizeof *run->tables);
    if (slots == NULL || run->tables == NULL)
        return fm_fail(err, FM_NOMEM, "run a query");
    for (uint32_t i = 0; i < run->plan.table_count && status == FM_OK; i++)
        status = open_table(run, i, &slots[i], err);
    if (status != FM_OK)
        return status;
    return fm_worker_set_slots(run->worker, slots, run->plan.table_count, err);
}

static void cancel_worker(void *context)
{
    fm_worker_cancel(context);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* All that the owner's plan depends on: the text, and each table's schema, or its columns. How many
 * rows there are when it runs, the worker is told then. */
static void plan_key(const struct fm_table_run_options *options, struct fm_hash *out)
{
    struct fm_hash_stream stream;
    struct fm_hash given;
    uint8_t at[16];

    fm_hash_begin(&stream);
    fm_hash_put(&stream, fm_span_str("fragment"));
    for (uint32_t i = 0; i < options->table_count; i++) {
        const struct fm_table_ref *ref = &options->tables[i];
        fm_hash_put(&stream, fm_span(ref->domain, strlen(ref->domain) + 1));
        fm_hash_put(&stream, fm_span(ref->table, strlen(ref->table) + 1));
        fm_hash_put(&stream, fm_span(ref->schema.bytes, sizeof ref->schema.bytes));
        fm_store64(at, (uint64_t)ref->at.kind);
        fm_store64(at + 8, (uint64_t)ref->at.value);
        fm_hash_put(&stream, fm_span(at, sizeof at));
    }
    fm_given_hash(options->given, &given);
    fm_hash_put(&stream, fm_span(given.bytes, sizeof given.bytes));
    fm_hash_put(&stream, options->sql);
    fm_hash_end(&stream, out);
}

/* A kept plan has the figures of its time. */
static enum fm_status count_rows(struct fm_table_run *run)
{
    for (uint32_t i = 0; i < run->plan.table_count; i++) {
        struct fm_plan_table *table = &run->plan.tables[i];
        const struct fm_given_table *given =
            fm_given_find(run->options->given, table->domain, table->table, NULL);
        struct fm_table_info info = {0};
        if (given != NULL) {
            table->rows = given->rows;
            continue;
        }
        enum fm_status status =
            fm_snapshot_table(run->options->snapshot, table->domain, table->table, &info);
        if (status != FM_OK)
            return status;
        table->rows = info.rows_latest;
        fm_schema_free(info.schema);
    }
    return FM_OK;
}

static enum fm_status make_plan(struct fm_table_run *run, struct fm_error *err)
{
    static const struct fm_registry_version any = {0}; /* The key says all. */
    const struct fm_table_run_options *options = run->options;
    struct fm_catalog catalog = {.context = (void *)(uintptr_t)options, .resolve = resolve};
    struct fm_hash key;

    plan_key(options, &key);
    if (fm_plan_cache_get(options->server->plans, &key, &any, &run->plan) == FM_OK)
        return count_rows(run);
    enum fm_status status =
        fm_plan_make(run->worker, options->sql, &catalog, NULL, &run->plan, err);
    if (status == FM_OK)
        fm_plan_cache_put(options->server->plans, &key, &any, false, &run->plan);
    return status;
}

enum fm_status fm_table_run_open(const struct fm_table_run_options *options,
                                 struct fm_table_run **out, struct fm_columns *columns,
                                 struct fm_error *err)
{
    FM_AUTO(run_freep) struct fm_table_run *run = calloc(1, sizeof *run);
    struct fm_table_run_options copy = *options;

    if (run == NULL)
        return fm_fail(err, FM_NOMEM, "run a query");
    run->options = &copy;
    enum fm_status status = fm_worker_lend(options->server->engine, options->whom,
                                           options->deadline, &run->worker, err);
    if (status != FM_OK)
        return status;
    run->stop = options->stop;
    fm_stop_hook(run->stop, &run->hook, cancel_worker, run->worker);
    status = make_plan(run, err);
    if (status == FM_OK)
        status = open_tables(run, err);
    if (status != FM_OK)
        return status;
    struct fm_run_options how = {
        .single_thread = run->plan.streams,
        .rows_max = options->server->config.query_rows_max,
    };
    status = fm_worker_run(run->worker, fm_buf_span(&run->plan.sql), &how, columns, err);
    if (status != FM_OK)
        return status;
    run->options = NULL; /* Only needed until here. */
    *out = FM_TAKE(run);
    return FM_OK;
}

enum fm_status fm_table_run_next(struct fm_table_run *run, struct fm_buf *batch,
                                 struct fm_error *err)
{
    enum fm_status status = fm_worker_next(run->worker, batch, err);

    if (status == FM_NOTFOUND) /* A stop that comes now finds nothing to end. */
        fm_stop_unhook(run->stop, &run->hook);
    return status;
}
