#include "tests/support/bench_store.h"

#include "tests/support/bench_report.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LEND_MS 900000

static void must(enum fm_status status, const char *what, const struct fm_error *err)
{
    if (status != FM_OK)
        bench_die("%s: %s: %s", what, fm_status_text(status), err->text);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

struct fm_schema *bench_schema(const char *table, const struct bench_field *fields, uint32_t count)
{
    struct fm_schema *schema = calloc(1, sizeof *schema);
    struct fm_error err = {0};

    if (schema == NULL || (schema->fields = calloc(count, sizeof *schema->fields)) == NULL)
        bench_die("out of memory");
    (void)snprintf(schema->domain, sizeof schema->domain, "bench");
    (void)snprintf(schema->table, sizeof schema->table, "%s", table); /* Short names. */
    schema->version = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_field *field = &schema->fields[i];
        const char *name = fields[i].name;

        field->id = i + 1;
        for (; *name == '!' || *name == '^' || *name == '#'; name++) {
            field->required |= *name == '!';
            if (*name == '^')
                schema->cluster[schema->cluster_count++] = (uint16_t)i;
            if (*name == '#')
                schema->key[schema->key_count++] = (uint16_t)i;
        }
        (void)snprintf(field->name, sizeof field->name, "%s", name);
        must(fm_type_parse(fm_span_str(fields[i].type), &field->type, &err), "a type", &err);
        schema->field_count = i + 1;
    }
    must(fm_schema_check(schema, &err), "a schema", &err);
    return schema;
}

struct fm_engine *bench_engine(void)
{
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)512 << 20, .spare = 2};
    struct fm_engine *engine = NULL;
    struct fm_error err = {0};

    must(fm_engine_open(&options, &engine, &err), "engine", &err);
    return engine;
}

struct fm_store *bench_store_open(const char *dir)
{
    struct fm_store_options options = {.dir = dir, .cache_bytes = (size_t)256 << 20};
    struct fm_store *store = NULL;
    struct fm_error err = {0};

    memset(options.mesh.bytes, 1, sizeof options.mesh.bytes);
    memset(options.node.bytes, 2, sizeof options.node.bytes);
    must(fm_core_init(&err), "start", &err);
    must(fm_store_open(&options, &store, &err), dir, &err);
    return store;
}

void bench_define(struct fm_store *store, const struct fm_schema *schema)
{
    struct fm_error err = {0};

    must(fm_store_define(store, schema, 1, &err), "make a table", &err);
}

struct fm_store *bench_store_new(const char *dir, const struct fm_schema *schema)
{
    struct fm_store *store = bench_store_open(dir);

    bench_define(store, schema);
    return store;
}

struct fm_worker *bench_lend(struct fm_engine *engine)
{
    struct fm_worker *worker = NULL;
    struct fm_error err = {0};

    must(fm_worker_lend(engine, NULL, fm_now_ms() + LEND_MS, &worker, &err), "lend a worker", &err);
    return worker;
}

/* ---- Appends --------------------------------------------------------------------------------- */

static struct fm_append *begin(struct fm_store *store, const struct fm_schema *schema)
{
    struct fm_append_options options = {
        .domain = schema->domain, .table = schema->table, .schema_version = schema->version};
    struct fm_append *append = NULL;
    struct fm_appended first;
    struct fm_error err = {0};
    bool done = false;

    must(fm_append_begin(store, &options, &append, &done, &first, &err), "append", &err);
    return append;
}

static void put_batch(struct fm_append *append, const struct fm_buf *bytes)
{
    struct fm_error err = {0};
    struct fm_batch batch;

    /* The host side of the worker has checked the batch. */
    must(fm_batch_view_trusted(fm_buf_span(bytes), &batch), "a batch", &err);
    must(fm_append_rows(append, &batch, &err), "append rows", &err);
}

void bench_load(struct fm_store *store, struct fm_worker *worker, const struct fm_schema *schema,
                const char *path)
{
    struct fm_ingest_options options = {.format = FM_FORMAT_PARQUET, .schema = schema};
    struct fm_append *append = begin(store, schema);
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended appended;
    struct fm_error err = {0};
    enum fm_status status;

    options.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (options.fd < 0)
        bench_die("cannot read %s", path);
    must(fm_ingest_open(worker, &options, &err), "ingest", &err);
    while ((status = fm_ingest_next(worker, &bytes, &err)) == FM_OK) {
        put_batch(append, &bytes);
        fm_buf_clear(&bytes);
    }
    if (status != FM_NOTFOUND)
        must(status, "ingest", &err);
    must(fm_append_commit(append, &appended, &err), "commit", &err);
    fm_buf_free(&bytes);
    (void)close(options.fd); /* Read only. */
}

static void put_flight(struct fm_batch_builder *builder, uint64_t number)
{
    int64_t date = INT64_C(978307200000000) + (int64_t)number * 60000000;
    int32_t delay = (int32_t)(number % 200), distance = (int32_t)(number % 3000);
    enum fm_status status = fm_batch_put_fixed(builder, 0, &date);

    if (status == FM_OK)
        status = fm_batch_put_fixed(builder, 1, &delay);
    if (status == FM_OK)
        status = fm_batch_put_fixed(builder, 2, &distance);
    if (status == FM_OK)
        status = fm_batch_put_bytes(builder, 3, fm_span_str(number % 2 == 0 ? "SEA" : "SFO"));
    if (status == FM_OK)
        status = fm_batch_put_bytes(builder, 4, fm_span_str("LAX"));
    if (status != FM_OK)
        bench_die("cannot build a row");
}

void bench_make_row(const struct fm_schema *schema, uint64_t number, struct fm_buf *out)
{
    const struct fm_type *types[5];
    struct fm_batch_builder_options options = {.types = types, .column_count = 5};
    struct fm_batch_builder *builder = NULL;
    struct fm_error err = {0};

    for (uint32_t i = 0; i < 5; i++)
        types[i] = &schema->fields[i].type;
    must(fm_batch_builder_new(&options, &builder), "a row", &err);
    put_flight(builder, number);
    must(fm_batch_builder_finish(builder, 0, out), "a row", &err);
    fm_batch_builder_free(builder);
}

void bench_append_row(struct fm_store *store, const struct fm_schema *schema, uint64_t number)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended appended;
    struct fm_error err = {0};

    bench_make_row(schema, number, &bytes);
    struct fm_append *append = begin(store, schema);
    put_batch(append, &bytes);
    must(fm_append_commit(append, &appended, &err), "commit a row", &err);
    fm_buf_free(&bytes);
}

/* ---- Queries --------------------------------------------------------------------------------- */

static enum fm_status resolve(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    const struct bench_query *query = context;
    struct fm_table_info info = {0};

    if (strcmp(domain, query->schema->domain) != 0 || strcmp(table, query->schema->table) != 0)
        return FM_NOTFOUND;
    enum fm_status status = fm_store_table(query->store, domain, table, &info);
    if (status != FM_OK)
        return status;
    *schema = info.schema;
    *owner = (struct fm_node_id){0};
    *rows = info.rows_latest;
    return FM_OK;
}

void bench_query_open(struct bench_query *query, struct fm_store *store, struct fm_engine *engine,
                      const struct fm_schema *schema, const char *sql)
{
    struct fm_catalog catalog = {.context = query, .resolve = resolve};
    struct fm_error err = {0};

    *query = (struct bench_query){.store = store, .schema = schema, .worker = bench_lend(engine)};
    must(fm_plan_make(query->worker, fm_span_str(sql), &catalog, NULL, &query->plan, &err), sql,
         &err);
    if (query->plan.table_count != 1)
        bench_die("%s: not over one table", sql);
}

void bench_query_close(struct bench_query *query)
{
    fm_worker_free(query->worker);
    fm_plan_deinit(&query->plan);
}

static enum fm_status next_rest(void *context, struct fm_buf *batch, struct fm_error *err)
{
    return fm_scan_next(context, batch, err);
}

static void mark_enums(const struct fm_plan_table *plan, struct fm_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++)
        columns->items[i].as_text = true;
    for (uint32_t i = 0; i < plan->enum_count; i++)
        columns->items[plan->enum_fields[i]].as_text = false;
}

static const struct fm_mapped_column *select_rows(const struct fm_store_mapping *mapping,
                                                  uint32_t segment, struct fm_mapped_column *out)
{
    const struct fm_store_mapped_segment *from = &mapping->segments[segment];

    *out =
        (struct fm_mapped_column){.arena = from->selection.arena, .offset = from->selection.offset};
    return from->has_selection ? out : NULL;
}

/* What a node hands to its worker for a mapped table (node/run.c). */
void bench_query_hand_over(struct bench_query *query, struct fm_worker *worker)
{
    const struct fm_store_mapping *mapping = &query->mapping;
    const struct fm_plan_table *plan = &query->plan.tables[0];
    struct fm_arena *arenas = calloc(mapping->arena_count + 1, sizeof *arenas);
    struct fm_mapped_segment *segments = calloc(mapping->segment_count + 1, sizeof *segments);
    size_t cell_count = (size_t)mapping->segment_count * plan->field_count;
    struct fm_mapped_column *cells = calloc(cell_count + 1, sizeof *cells);
    struct fm_mapped_column *selections = calloc(mapping->segment_count + 1, sizeof *selections);
    struct fm_error err = {0};

    if (arenas == NULL || segments == NULL || cells == NULL || selections == NULL)
        bench_die("out of memory");
    query->rest = (struct fm_batch_source){.context = mapping->rest, .next = next_rest};
    for (uint32_t i = 0; i < mapping->arena_count; i++)
        arenas[i] = (struct fm_arena){.fd = mapping->fds[i], .bytes = mapping->bytes[i]};
    for (size_t i = 0; i < cell_count; i++) {
        const struct fm_store_mapped_column *from =
            &mapping->segments[i / plan->field_count].columns[i % plan->field_count];
        cells[i] = (struct fm_mapped_column){.arena = from->arena, .offset = from->offset};
    }
    for (uint32_t i = 0; i < mapping->segment_count; i++)
        segments[i] =
            (struct fm_mapped_segment){.rows = mapping->segments[i].rows,
                                       .columns = cells + (size_t)i * plan->field_count,
                                       .selection = select_rows(mapping, i, &selections[i]),
                                       .left_out = mapping->segments[i].left_out};
    struct fm_slot slot = {.columns = &query->columns,
                           .rows = plan->rows,
                           .supplied_count = plan->field_count,
                           .supplied = plan->fields,
                           .arena_count = mapping->arena_count,
                           .arenas = arenas,
                           .segment_count = mapping->segment_count,
                           .segments = segments,
                           .source = mapping->rest != NULL ? &query->rest : NULL};
    must(fm_worker_set_slots(worker, &slot, 1, &err), "hand over a table", &err);
    free(arenas);
    free(segments);
    free(cells);
    free(selections);
}

uint64_t bench_query_drain(struct bench_query *query)
{
    struct fm_run_options how = {.single_thread = query->plan.streams};
    struct fm_columns columns = {0};
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_error err = {0};
    struct fm_batch batch;
    uint64_t rows = 0;
    enum fm_status status;

    must(fm_worker_run(query->worker, fm_buf_span(&query->plan.sql), &how, &columns, &err), "run",
         &err);
    while ((status = fm_worker_next(query->worker, &bytes, &err)) == FM_OK) {
        must(fm_batch_view_trusted(fm_buf_span(&bytes), &batch), "a batch", &err);
        rows += batch.rows;
        fm_buf_clear(&bytes);
    }
    if (status != FM_NOTFOUND)
        must(status, "run", &err);
    fm_buf_free(&bytes);
    fm_columns_deinit(&columns);
    return rows;
}

void bench_query_map(struct bench_query *query)
{
    const struct fm_plan_table *plan = &query->plan.tables[0];
    struct fm_scan_options options = {.domain = plan->domain,
                                      .table = plan->table,
                                      .field_count = plan->field_count,
                                      .fields = plan->fields,
                                      .predicates = &plan->predicates};
    struct fm_error err = {0};

    must(fm_snapshot_open(query->store, &query->snapshot, &err), "snapshot", &err);
    must(fm_snapshot_columns(query->snapshot, plan->domain, plan->table, &query->columns),
         "columns", &err);
    mark_enums(plan, &query->columns);
    must(fm_snapshot_map(query->snapshot, &options, &query->mapping, &err), "mapping", &err);
}

void bench_query_unmap(struct bench_query *query)
{
    fm_store_mapping_deinit(&query->mapping);
    fm_columns_deinit(&query->columns);
    fm_snapshot_free(query->snapshot);
    query->snapshot = NULL;
}

double bench_query_run(struct bench_query *query, uint64_t *rows)
{
    double start = bench_now_ms();

    bench_query_map(query);
    bench_query_hand_over(query, query->worker);
    *rows = bench_query_drain(query);
    double took = bench_now_ms() - start;
    bench_query_unmap(query);
    return took;
}

/* ---- Disk ------------------------------------------------------------------------------------ */

static _Thread_local uint64_t disk_bytes; /* nftw() carries no context. */

static int add_bytes(const char *path, const struct stat *status, int type, struct FTW *at)
{
    if (type == FTW_F && strcmp(path + at->base, "reserve") != 0)
        disk_bytes += (uint64_t)status->st_blocks * 512;
    return 0;
}

uint64_t bench_disk_bytes(const char *path)
{
    disk_bytes = 0;
    if (nftw(path, add_bytes, 16, FTW_PHYS) != 0)
        bench_die("cannot look into %s", path);
    return disk_bytes;
}
