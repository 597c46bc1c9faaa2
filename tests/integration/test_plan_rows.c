/* Plans keep the answer, and what its columns are called: each statement runs over slots as an
 * executor would set them up (only the planned columns, rows filtered by the planned predicates,
 * dictionaries where the plan allows an ENUM, one reading per slot, carved parts run by a worker of
 * their owner) and must give what DuckDB gives over plain tables; with the planner's rules and
 * without them, and with every slot reduced by the keys of every other that the plan's joins allow,
 * whether it pays or not. */
#include "query/key_set.h"
#include "query/plan.h"
#include "query/replay.h"
#include "tests/support/plan_catalog.h"
#include "tests/support/plan_statements.h"

#include <duckdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 120000

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_worker *owner; /* Runs what was carved. */
    struct fm_error err;
    duckdb_database database;
    duckdb_connection connection;
    bool reduces;                   /* Slots are reduced before they are read. */
    uint32_t reductions;            /* That were made. */
    const struct fm_plan *given_by; /* The pushed plan that runs. */
    bool pushes; /* The whole statement goes to an owner, whether it pays or not. */
    uint32_t pushed;
    uint64_t rows_saved;
};

/* ---- The oracle ---- */

static void oracle_do(struct fixture *f, const char *sql)
{
    duckdb_result result;

    if (duckdb_query(f->connection, sql, &result) != DuckDBSuccess)
        fail_msg("%s: %s", sql, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
}

static void put_rows(const struct catalog_table *table, struct fm_buf *sql)
{
    for (uint32_t r = 0; r < CATALOG_ROWS_MAX && table->rows[r][0] != NULL; r++) {
        fm_buf_printf(sql, "%s(", r > 0 ? ", " : " VALUES ");
        for (uint32_t c = 0; table->columns[c][0] != NULL; c++) {
            const char *value = table->rows[r][c];
            fm_buf_put_str(sql, c > 0 ? ", " : "");
            if (strcmp(value, "\\N") == 0)
                fm_buf_put_str(sql, "NULL");
            else
                fm_buf_printf(sql, "'%s'", value);
        }
        fm_buf_put_str(sql, ")");
    }
}

static void oracle_table(struct fixture *f, const struct catalog_table *table)
{
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_printf(&sql, "CREATE TABLE %s.%s(", table->domain, table->name);
    for (uint32_t c = 0; table->columns[c][0] != NULL; c++)
        fm_buf_printf(&sql, "%s%s %s", c > 0 ? ", " : "", table->columns[c][0],
                      strcmp(table->columns[c][1], "int16") == 0   ? "SMALLINT"
                      : strcmp(table->columns[c][1], "int32") == 0 ? "INTEGER"
                                                                   : table->columns[c][1]);
    fm_buf_printf(&sql, "); INSERT INTO %s.%s", table->domain, table->name);
    put_rows(table, &sql);
    fm_buf_put_u8(&sql, 0);
    oracle_do(f, (const char *)sql.data);
    fm_buf_free(&sql);
}

/* Lines of text, sorted: the rows of an answer as a multiset. */
struct lines {
    char **items;
    size_t count;
};

static void add_line(struct lines *lines, const struct fm_buf *line)
{
    char **items = realloc(lines->items, (lines->count + 1) * sizeof *items);

    assert_non_null(items);
    lines->items = items;
    lines->items[lines->count] = fm_strdup_span(fm_buf_span(line));
    assert_non_null(lines->items[lines->count]);
    lines->count++;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_lines(struct lines *lines)
{
    if (lines->count > 0)
        qsort(lines->items, lines->count, sizeof *lines->items, compare_lines);
}

static void free_lines(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
    *lines = (struct lines){0};
}

static void put_cell(struct fm_buf *line, const char *text, size_t len)
{
    fm_buf_put_str(line, "|");
    fm_buf_put(line, text, len);
}

static void oracle_run(struct fixture *f, const char *sql, struct lines *out)
{
    duckdb_result result;
    char text[2000];

    (void)snprintf(text, sizeof text, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (%s) q", sql);
    if (duckdb_query(f->connection, text, &result) != DuckDBSuccess)
        fail_msg("%s: %s", text, duckdb_result_error(&result));
    struct fm_buf names = FM_BUF_INIT(0);
    for (idx_t column = 0; column < duckdb_column_count(&result); column++) {
        const char *name = duckdb_column_name(&result, column);
        put_cell(&names, name, strlen(name));
    }
    add_line(out, &names);
    fm_buf_free(&names);
    for (idx_t row = 0; row < duckdb_row_count(&result); row++) {
        struct fm_buf line = FM_BUF_INIT(0);
        for (idx_t column = 0; column < duckdb_column_count(&result); column++) {
            char *value = duckdb_value_varchar(&result, column, row);
            put_cell(&line, value != NULL ? value : "NULL", strlen(value != NULL ? value : "NULL"));
            duckdb_free(value);
        }
        add_line(out, &line);
        fm_buf_free(&line);
    }
    duckdb_destroy_result(&result);
}

/* ---- Slots, as an executor fills them ---- */

struct source {
    struct fm_columns columns;
    struct fm_buf dictionaries[CATALOG_COLUMNS_MAX];
    struct fm_buf batch;
    bool given;
    struct fm_batch_source reader;
};

static enum fm_status next_batch(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct source *source = context;

    (void)err;
    if (source->given || source->batch.len == 0)
        return FM_NOTFOUND;
    source->given = true;
    fm_buf_put_span(batch, fm_buf_span(&source->batch));
    return fm_buf_status(batch);
}

/* The distinct values of a text column, sorted. */
static void make_dictionary(const struct catalog_table *table, uint32_t column,
                            struct source *source)
{
    const char *values[CATALOG_ROWS_MAX];
    uint32_t offsets[CATALOG_ROWS_MAX + 1] = {0};
    struct fm_buf text = FM_BUF_INIT(0);
    uint32_t count = 0;
    uint32_t kept = 0;

    for (uint32_t r = 0; r < CATALOG_ROWS_MAX && table->rows[r][0] != NULL; r++) {
        if (strcmp(table->rows[r][column], "\\N") != 0)
            values[count++] = table->rows[r][column];
    }
    qsort(values, count, sizeof values[0], compare_lines);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(values[i], values[i - 1]) == 0)
            continue;
        fm_buf_put_str(&text, values[i]);
        offsets[++kept] = (uint32_t)text.len;
    }
    struct fm_dictionary dictionary = {kept, offsets, text.data};
    fm_dictionary_encode(&source->dictionaries[column], &dictionary);
    assert_int_equal(fm_dictionary_view(fm_buf_span(&source->dictionaries[column]),
                                        &source->columns.items[column].dictionary),
                     FM_OK);
    fm_buf_free(&text);
}

static int32_t days_of(const char *date)
{
    static const int before[] = {0, 31, 59, 90};
    int month = atoi(date + 5);

    return 11323 + before[month - 1] + atoi(date + 8) - 1; /* All dates are early in 2001. */
}

static void put_value(struct fm_batch_builder *builder, uint32_t column, const struct fm_type *type,
                      const char *text)
{
    int32_t number = type->kind == FM_KIND_DATE ? 0 : atoi(text);
    int16_t small = (int16_t)number;
    double real = strtod(text, NULL);
    enum fm_status status = FM_OK;

    if (strcmp(text, "\\N") == 0)
        status = fm_batch_put_null(builder, column);
    else if (type->kind == FM_KIND_VARCHAR)
        status = fm_batch_put_bytes(builder, column, fm_span_str(text));
    else if (type->kind == FM_KIND_INT16)
        status = fm_batch_put_fixed(builder, column, &small);
    else if (type->kind == FM_KIND_DOUBLE)
        status = fm_batch_put_fixed(builder, column, &real);
    else {
        number = type->kind == FM_KIND_DATE ? days_of(text) : number;
        status = fm_batch_put_fixed(builder, column, &number);
    }
    assert_int_equal(status, FM_OK);
}

static struct fm_batch_builder *builder_of(const struct fm_columns *columns, const uint32_t *fields,
                                           uint32_t count, bool outside)
{
    const struct fm_type *types[CATALOG_COLUMNS_MAX];
    const struct fm_dictionary *dictionaries[CATALOG_COLUMNS_MAX] = {0};
    struct fm_batch_builder *builder = NULL;

    for (uint32_t i = 0; i < count; i++) {
        const struct fm_column *column = &columns->items[fields[i]];
        types[i] = &column->type;
        if (outside && column->dictionary.count > 0)
            dictionaries[i] = &column->dictionary;
    }
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = true, .dictionaries = dictionaries};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    return builder;
}

/* Rows of the planned columns that pass the planned predicates. */
static void make_batch(const struct catalog_table *table, const struct fm_plan_table *plan,
                       struct source *source)
{
    struct fm_batch_builder *all =
        builder_of(&source->columns, plan->fields, plan->field_count, false);
    struct fm_batch_builder *some =
        builder_of(&source->columns, plan->fields, plan->field_count, true);
    uint32_t ids[CATALOG_COLUMNS_MAX];
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    uint64_t selection = UINT64_MAX;
    uint32_t rows = 0;

    for (; rows < CATALOG_ROWS_MAX && table->rows[rows][0] != NULL; rows++) {
        for (uint32_t i = 0; i < plan->field_count; i++)
            put_value(all, i, &source->columns.items[plan->fields[i]].type,
                      table->rows[rows][plan->fields[i]]);
    }
    for (uint32_t i = 0; i < plan->field_count; i++)
        ids[i] = plan->schema->fields[plan->fields[i]].id;
    assert_int_equal(fm_batch_builder_finish(all, 0, &bytes), FM_OK);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&bytes), &batch), FM_OK);
    assert_int_equal(fm_predicate_select(&plan->predicates, plan->schema, &batch, ids, NULL, 0,
                                         rows, false, &selection),
                     FM_OK);
    for (uint32_t i = 0; i < plan->field_count; i++)
        assert_int_equal(fm_batch_put_rows(some, i, &batch, i, NULL, 0, rows, &selection), FM_OK);
    if (fm_batch_builder_rows(some) > 0)
        assert_int_equal(fm_batch_builder_finish(some, 0, &source->batch), FM_OK);
    fm_batch_builder_free(all);
    fm_batch_builder_free(some);
    fm_buf_free(&bytes);
}

/* First without a batch. */
typedef void (*take_fn)(void *context, const struct fm_buf *batch,
                        const struct fm_columns *columns);

static void run_slots(struct fixture *f, struct fm_worker *worker, const struct fm_plan *plan,
                      struct fm_span sql, take_fn take, void *context);

struct part {
    const struct fm_plan_table *table;
    struct source *source;
};

static void take_part(void *context, const struct fm_buf *batch, const struct fm_columns *columns)
{
    struct part *part = context;

    if (batch == NULL)
        return;
    assert_int_equal(columns->count, part->table->field_count);
    for (uint32_t i = 0; i < columns->count; i++) {
        uint32_t field = part->table->fields[i];
        struct fm_column *item = &part->source->columns.items[field];
        assert_true(fm_type_equal(&columns->items[i].type, &item->type));
        if (columns->items[i].dictionary.count == 0)
            continue;
        fm_dictionary_encode(&part->source->dictionaries[field], &columns->items[i].dictionary);
        assert_int_equal(
            fm_dictionary_view(fm_buf_span(&part->source->dictionaries[field]), &item->dictionary),
            FM_OK);
        item->as_text = true;
    }
    assert_int_equal(part->source->batch.len, 0); /* All fits one batch. */
    fm_buf_put_span(&part->source->batch, fm_buf_span(batch));
}

/* What the owner of a carved part sends: it plans the statement for itself. */
static void run_part(struct fixture *f, const struct fm_plan_table *table, struct source *source)
{
    const struct fm_catalog *catalog = f->pushes ? &catalog_of_owner : &catalog_for_plans;
    struct part part = {table, source};
    struct fm_buf sql = FM_BUF_INIT(0);
    struct fm_plan plan = {0};

    assert_int_equal(fm_plan_part_sql(table, &table->predicates, &sql), FM_OK);
    if (fm_plan_make(f->owner, fm_buf_span(&sql), catalog, NULL, &plan, &f->err) != FM_OK)
        fail_msg("%.*s: %s", (int)sql.len, (const char *)sql.data, f->err.text);
    assert_int_not_equal(plan.kind, FM_PLAN_MERGE); /* Nothing is left for another. */
    run_slots(f, f->owner, &plan, fm_buf_span(&plan.sql), take_part, &part);
    fm_plan_deinit(&plan);
    fm_buf_free(&sql);
}

static void make_source(struct fixture *f, const struct fm_plan_table *plan, struct source *source)
{
    const struct catalog_table *table = catalog_find(plan->domain, plan->table);

    source->columns.items = calloc(plan->schema->field_count, sizeof *source->columns.items);
    assert_non_null(source->columns.items);
    source->columns.count = plan->schema->field_count;
    for (uint32_t i = 0; i < plan->schema->field_count; i++) {
        struct fm_column *column = &source->columns.items[i];
        (void)snprintf(column->name, sizeof column->name, "%s", plan->schema->fields[i].name);
        assert_int_equal(fm_type_copy(&plan->schema->fields[i].type, &column->type), FM_OK);
    }
    for (uint32_t i = 0; i < plan->enum_count; i++)
        make_dictionary(table, plan->enum_fields[i], source);
    if (plan->sql.len != 0)
        run_part(f, plan, source);
    else
        make_batch(table, plan, source);
    source->reader = (struct fm_batch_source){source, next_batch};
}

static void free_source(struct source *source)
{
    fm_columns_deinit(&source->columns);
    for (uint32_t i = 0; i < CATALOG_COLUMNS_MAX; i++)
        fm_buf_free(&source->dictionaries[i]);
    fm_buf_free(&source->batch);
}

/* ---- Reductions ---- */

static uint32_t rows_of(const struct source *source)
{
    struct fm_batch batch;

    if (source->batch.len == 0)
        return 0;
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&source->batch), &batch), FM_OK);
    return batch.rows;
}

static void add_keys(const struct fm_plan_table *from, uint32_t field, const struct source *source,
                     struct fm_key_set *keys)
{
    const struct fm_dictionary *dictionary = &source->columns.items[field].dictionary;
    struct fm_batch batch;
    uint32_t column = 0;

    while (column < from->field_count && from->fields[column] != field)
        column++;
    assert_true(column < from->field_count); /* What is joined by is read. */
    if (source->batch.len == 0)
        return;
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&source->batch), &batch), FM_OK);
    assert_int_equal(fm_key_set_add(keys, &batch, &batch.vectors[column],
                                    dictionary->count > 0 ? dictionary : NULL),
                     FM_OK);
}

/* Ask again for slot `to` of the join, with the keys of the other one. */
static void reduce_slot(struct fixture *f, const struct fm_plan *plan,
                        const struct fm_plan_join *join, unsigned to, struct source *sources)
{
    const struct fm_plan_table *from = &plan->tables[join->slots[1 - to]];
    struct fm_plan_table *table = &plan->tables[join->slots[to]];
    const struct fm_field *field = &table->schema->fields[join->fields[to]];
    struct source *source = &sources[join->slots[to]];
    struct fm_key_set *keys = NULL;
    uint32_t before = rows_of(source);

    assert_int_equal(
        fm_key_set_new(&from->schema->fields[join->fields[1 - to]].type, &field->type, &keys),
        FM_OK);
    add_keys(from, join->fields[1 - to], &sources[join->slots[1 - to]], keys);
    assert_int_equal(fm_key_set_terms(keys, field->id, &table->predicates), FM_OK);
    fm_key_set_free(keys);
    free_source(source);
    *source = (struct source){0};
    make_source(f, table, source);
    f->reductions++;
    assert_true(rows_of(source) <= before);
    f->rows_saved += before - rows_of(source);
}

static void reduce_all(struct fixture *f, const struct fm_plan *plan, struct source *sources)
{
    for (uint32_t i = 0; i < plan->join_count; i++) {
        for (unsigned to = 0; to < 2; to++) {
            if (plan->joins[i].drops[to])
                reduce_slot(f, plan, &plan->joins[i], to, sources);
        }
    }
}

static void take_lines(void *context, const struct fm_buf *bytes, const struct fm_columns *columns)
{
    struct lines *out = context;
    struct fm_batch batch;

    if (bytes == NULL) {
        struct fm_buf names = FM_BUF_INIT(0);
        for (uint32_t c = 0; c < columns->count; c++)
            put_cell(&names, columns->items[c].name, strlen(columns->items[c].name));
        add_line(out, &names);
        fm_buf_free(&names);
        return;
    }
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(bytes), &batch), FM_OK);
    for (uint32_t row = 0; row < batch.rows; row++) {
        struct fm_buf line = FM_BUF_INIT(0);
        for (uint32_t c = 0; c < columns->count; c++) {
            const struct fm_vector_entry *vector = &batch.vectors[c];
            struct fm_span text = fm_span("NULL", 4);
            assert_int_equal(columns->items[c].type.kind, FM_KIND_VARCHAR);
            if (!fm_vector_is_null(&batch, vector, row))
                text = fm_vector_bytes(
                    &batch, vector,
                    columns->items[c].dictionary.count > 0 ? &columns->items[c].dictionary : NULL,
                    row);
            put_cell(&line, (const char *)text.data, text.len);
        }
        add_line(out, &line);
        fm_buf_free(&line);
    }
}

/* What slot `i` reads at an owner that was given it: what the asked node's slot brought, by the
 * asked node's plan. */
static struct fm_plan_table given_of(const struct fixture *f, const struct fm_plan *plan,
                                     uint32_t i)
{
    struct fm_plan_table found = plan->tables[i];

    for (uint32_t k = 0; f->given_by != NULL && f->given_by != plan && k < f->given_by->table_count;
         k++) {
        const struct fm_plan_table *given = &f->given_by->tables[k];
        if (given->sql.len != 0 || strcmp(given->domain, found.domain) != 0 ||
            strcmp(given->table, found.table) != 0)
            continue;
        found = *given;
        found.enum_count = 0; /* Its batch needs nothing beside it. */
    }
    return found;
}

static void run_slots(struct fixture *f, struct fm_worker *worker, const struct fm_plan *plan,
                      struct fm_span sql, take_fn take, void *context)
{
    struct fm_plan_table tables[FM_QUERY_TABLES_MAX];
    struct fm_slot slots[FM_QUERY_TABLES_MAX] = {{0}};
    struct source *sources = calloc(FM_QUERY_TABLES_MAX, sizeof *sources);
    struct fm_run_options options = {.single_thread = plan->streams};
    struct fm_columns columns = {0};
    struct fm_buf batch = FM_BUF_INIT(0);

    assert_non_null(sources);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        tables[i] = given_of(f, plan, i);
        make_source(f, &tables[i], &sources[i]);
    }
    if (f->reduces && worker == f->worker)
        reduce_all(f, plan, sources);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        slots[i] = (struct fm_slot){.columns = &sources[i].columns,
                                    .rows = plan->tables[i].rows,
                                    .supplied_count = tables[i].field_count,
                                    .supplied = tables[i].fields,
                                    .source = &sources[i].reader};
    }
    enum fm_status status = fm_worker_set_slots(worker, slots, plan->table_count, &f->err);
    if (status == FM_OK)
        status = fm_worker_run(worker, sql, &options, &columns, &f->err);
    if (status == FM_OK)
        take(context, NULL, &columns);
    while (status == FM_OK) {
        fm_buf_clear(&batch);
        status = fm_worker_next(worker, &batch, &f->err);
        if (status == FM_OK)
            take(context, &batch, &columns);
    }
    if (status != FM_NOTFOUND)
        fail_msg("%.*s: %s", (int)sql.len, (const char *)sql.data, f->err.text);
    fm_columns_deinit(&columns);
    for (uint32_t i = 0; i < plan->table_count; i++)
        free_source(&sources[i]);
    free(sources);
    fm_buf_free(&batch);
}

static void run_plan(struct fixture *f, const struct fm_plan *plan, struct lines *out)
{
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_printf(&sql, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (%.*s) q", (int)plan->sql.len,
                  (const char *)plan->sql.data);
    run_slots(f, f->worker, plan, fm_buf_span(&sql), take_lines, out);
    fm_buf_free(&sql);
}

/* ---- The statements ---- */

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = WORKER, .threads = 1, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK ||
        fm_worker_lend(f->engine, NULL, fm_now_ms() + LONG_MS, &f->worker, &f->err) != FM_OK ||
        fm_worker_lend(f->engine, NULL, fm_now_ms() + LONG_MS, &f->owner, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(duckdb_open(NULL, &f->database), DuckDBSuccess);
    assert_int_equal(duckdb_connect(f->database, &f->connection), DuckDBSuccess);
    oracle_do(f, "SET integer_division = true");
    oracle_do(f, "SET default_null_order = 'nulls_last_on_asc_first_on_desc'");
    oracle_do(f, "SET threads = 1");
    oracle_do(f, "CREATE SCHEMA flights");
    oracle_do(f, "CREATE SCHEMA airports");
    oracle_do(f, "CREATE SCHEMA mesh");
    for (size_t i = 0; i < catalog_table_count; i++) {
        if (catalog_tables[i].rows[0][0] != NULL)
            oracle_table(f, &catalog_tables[i]);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    duckdb_disconnect(&f->connection);
    duckdb_close(&f->database);
    fm_worker_free(f->worker);
    fm_worker_free(f->owner);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

/* Whoever does the merge again reads it from the plan's print, as a stranger's. */
static void check_replay(struct fixture *f, const char *sql, const struct fm_plan *plan)
{
    struct fm_columns none = {0};
    struct fm_replay replay = {0};
    struct fm_replay_form form;
    struct fm_buf text = FM_BUF_INIT(0);

    fm_plan_print(plan, true, &text);
    if (fm_replay_read(fm_buf_span(&text), &replay, &f->err) != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    assert_int_equal(replay.is_merge, plan->kind == FM_PLAN_MERGE);
    enum fm_status status =
        replay.is_merge ? fm_replay_check(f->worker, &replay, &none, &form, &f->err) : FM_OK;
    if (status != FM_OK && status != FM_UNSUPPORTED)
        fail_msg("%s: %.*s: %s", sql, (int)replay.sql.len, (const char *)replay.sql.data,
                 f->err.text);
    fm_replay_deinit(&replay);
    fm_buf_free(&text);
}

static void check_with(struct fixture *f, const char *sql, const struct lines *expected,
                       uint64_t rules_off)
{
    struct fm_plan_options options = {.rules_off = rules_off};
    struct fm_plan plan = {0};
    struct lines actual = {0};

    enum fm_status status =
        f->pushes ? fm_plan_make_pushed(f->worker, fm_span_str(sql), &catalog_with_statistics,
                                        &options, &plan, &f->err)
                  : fm_plan_make(f->worker, fm_span_str(sql), &catalog_for_plans, &options, &plan,
                                 &f->err);
    if (f->pushes && status == FM_NOTFOUND)
        return;
    if (status != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    f->pushed += f->pushes ? 1 : 0;
    f->given_by = f->pushes ? &plan : NULL;
    if (rules_off == UINT64_MAX)
        assert_false(plan.is_carved);
    check_replay(f, sql, &plan);
    run_plan(f, &plan, &actual);
    sort_lines(&actual);
    for (size_t i = 0; i < expected->count || i < actual.count; i++) {
        const char *a = i < expected->count ? expected->items[i] : "(none)";
        const char *b = i < actual.count ? actual.items[i] : "(none)";
        if (strcmp(a, b) != 0)
            fail_msg("%s\n%.*s: row %zu: wanted %s, is %s", sql, (int)plan.sql.len,
                     (const char *)plan.sql.data, i, a, b);
    }
    free_lines(&actual);
    fm_plan_deinit(&plan);
}

static void check(struct fixture *f, const char *sql)
{
    struct lines expected = {0};

    oracle_run(f, sql, &expected);
    sort_lines(&expected);
    check_with(f, sql, &expected, 0);
    check_with(f, sql, &expected, UINT64_MAX);
    f->reduces = true;
    check_with(f, sql, &expected, 0);
    check_with(f, sql, &expected, UINT64_MAX);
    f->reduces = false;
    f->pushes = true;
    check_with(f, sql, &expected, 0);
    f->pushes = false;
    free_lines(&expected);
}

static void answers_stay_the_same(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < plan_statement_count; i++)
        check(f, plan_statements[i]);
    print_message("%u reductions, %llu rows less\n", f->reductions,
                  (unsigned long long)f->rows_saved);
    assert_true(f->reductions > 50 && f->rows_saved > 100);
    print_message("%u statements pushed\n", f->pushed);
    assert_true(f->pushed > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_stay_the_same, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
