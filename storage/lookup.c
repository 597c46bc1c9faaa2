/* The latest row of one primary key, through the key index. */
#include "storage/key_index.h"
#include "storage/order.h"
#include "storage/row_cache.h"
#include "storage/subject.h"

#include "core/assert.h"

#include <stdlib.h>

struct lookup {
    struct fm_snapshot *snapshot;
    const struct table_state *state;
    struct fm_span key; /* Canonical. */
    uint64_t sequence;
    const struct segment_value *segment; /* That holds it; NULL: a hot value. */
    struct fm_error *err;
};

static enum fm_status fail_damaged(const struct lookup *lookup)
{
    return fm_fail(lookup->err, FM_CORRUPT,
                   "%s.%s: the stored row of fact %llu is damaged or missing; restore the folder "
                   "from a backup",
                   lookup->state->table->domain, lookup->state->table->name,
                   (unsigned long long)lookup->sequence);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static enum fm_status read_hot(struct lookup *lookup, const struct row_run_key *key,
                               const struct unit *unit, struct row_run **out)
{
    FM_AUTO(row_run_releasep) struct row_run *run = NULL;
    FM_AUTO(hot_rows_deinit) struct hot_rows hot = {0};
    enum fm_status status = hot_rows_open(lookup->state, unit, &hot, lookup->err);

    if (status == FM_OK)
        status = row_run_new(key, hot.schema->field_count, &run);
    if (status != FM_OK)
        return status;
    run->hot = hot;
    hot = (struct hot_rows){0}; /* The run's now. */
    for (uint32_t i = 0; i < run->column_count; i++)
        run->columns[i] = (struct row_column){
            .field_id = run->hot.schema->fields[i].id, .column = i, .batch = &run->hot.batch};
    *out = FM_TAKE(run);
    return FM_OK;
}

static enum fm_status read_column(struct lookup *lookup, const struct segment_value *segment,
                                  const struct fm_field *field, struct row_run *run, uint32_t index)
{
    FM_AUTO(stored_column_close) struct stored_column stored = {0};
    struct loaded *loaded = &run->loaded[index];
    enum fm_status status = stored_column_open(lookup->state, lookup->snapshot->rocks, segment,
                                               field, &stored, lookup->err);

    if (status == FM_OK)
        status = load_blocks(lookup->state, segment, field, &stored, NULL, run->key.block, 1,
                             loaded, lookup->err);
    if (status == FM_OK)
        run->columns[index] = (struct row_column){.field_id = field->id, .batch = &loaded->batch};
    return status == FM_NOTFOUND ? fail_damaged(lookup) : status;
}

static enum fm_status read_block(struct lookup *lookup, const struct row_run_key *key,
                                 const struct segment_value *segment, struct row_run **out)
{
    FM_AUTO(row_run_releasep) struct row_run *run = NULL;
    const struct fm_schema *schema = NULL;
    enum fm_status status = table_schema(lookup->state->table, segment->schema_version, &schema);

    if (status != FM_OK)
        return fail_damaged(lookup);
    status = row_run_new(key, schema->field_count, &run);
    if (status == FM_OK)
        run->first = key->block * FM_BLOCK_ROWS;
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++)
        status = read_column(lookup, segment, &schema->fields[i], run, i);
    if (status == FM_OK)
        *out = FM_TAKE(run);
    return status;
}

/* A hot value may end before the fact: then one is missing. */
static enum fm_status row_is_there(const struct lookup *lookup, const struct row_run *run,
                                   uint32_t row)
{
    fm_assert(row >= run->first);
    return row - run->first < run->columns[0].batch->rows ? FM_OK : fail_damaged(lookup);
}

static enum fm_status find_row(struct lookup *lookup, const struct unit_place *place, uint32_t *out)
{
    FM_AUTO(unit_order_close) struct unit_order order = {0};
    struct unit unit = {.first_sequence = place->first_sequence, .segment = place->segment};
    uint64_t offset = lookup->sequence - place->first_sequence;
    enum fm_status status;

    *out = offset < UINT32_MAX ? (uint32_t)offset : UINT32_MAX;
    if (place->segment == NULL) /* Perhaps beyond its rows: see above. */
        return FM_OK;
    unit.rows = place->segment->rows;
    status = unit_open_rows(lookup->state, lookup->snapshot->rocks, &unit, &order, lookup->err);
    if (status == FM_OK)
        *out = unit_row(&unit, lookup->sequence);
    return status;
}

/* The run that holds the fact, from the cache or read. `*row` of the unit. */
static enum fm_status find_run(struct lookup *lookup, struct row_run **out, uint32_t *row)
{
    struct row_cache *cache = lookup->snapshot->store->row_cache;
    struct unit_place place;
    struct row_run_key key = {.table = lookup->state->table->id};
    enum fm_status status = unit_place_of(lookup->state, lookup->snapshot->rocks, lookup->sequence,
                                          &place, lookup->err);

    if (status == FM_OK)
        status = find_row(lookup, &place, row);
    if (status != FM_OK)
        return status == FM_NOTFOUND ? fail_damaged(lookup) : status;
    lookup->segment = place.segment;
    key.unit = place.segment != NULL ? place.segment->id : place.first_sequence;
    key.block = place.segment != NULL ? *row / FM_BLOCK_ROWS : ROW_RUN_HOT;
    *out = row_cache_find(cache, &key);
    if (*out != NULL)
        return row_is_there(lookup, *out, *row);
    if (place.segment != NULL) {
        status = read_block(lookup, &key, place.segment, out);
    } else {
        struct units units;
        struct unit unit;

        units_init(&units, lookup->state, lookup->snapshot->rocks, place.first_sequence);
        status = units_next(&units, &unit, lookup->err);
        if (status == FM_OK)
            status = read_hot(lookup, &key, &unit, out);
        units_deinit(&units);
    }
    if (status != FM_OK)
        return status;
    row_cache_add(cache, *out);
    return row_is_there(lookup, *out, *row);
}

/* ---- The row --------------------------------------------------------------------------------- */

static const struct row_column *column_of(const struct row_run *run, uint32_t field_id,
                                          uint32_t expected)
{
    /* Most often the schema is the one that the run was written with. */
    if (expected < run->column_count && run->columns[expected].field_id == field_id)
        return &run->columns[expected];
    for (uint32_t i = 0; i < run->column_count; i++) {
        if (run->columns[i].field_id == field_id)
            return &run->columns[i];
    }
    return NULL;
}

/* The row's own key is the one asked for, or the index is wrong. */
static enum fm_status check_key(const struct lookup *lookup, const struct row_run *run,
                                uint32_t row)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    const struct fm_schema *schema = lookup->state->schema;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < schema->key_count; i++) {
        const struct fm_field *field = &schema->fields[schema->key[i]];
        const struct row_column *column = column_of(run, field->id, schema->key[i]);

        if (column == NULL)
            return fail_damaged(lookup);
        if (fm_vector_is_null(column->batch, &column->batch->vectors[column->column], row))
            return fail_damaged(lookup);
        status = fm_vector_canonical(column->batch, &column->batch->vectors[column->column],
                                     &field->type, NULL, row, &bytes);
    }
    if (status == FM_OK && !fm_span_equal(fm_buf_span(&bytes), lookup->key))
        return fail_damaged(lookup);
    return status;
}

static enum fm_status place_column(const struct lookup *lookup, const struct row_run *run,
                                   uint32_t row, uint32_t field_id, struct subject_column *out)
{
    const struct row_column *column = column_of(run, field_id, UINT32_MAX);

    if (column == NULL)
        return fail_damaged(lookup);
    *out = (struct subject_column){.batch = column->batch, .column = column->column, .first = row};
    return FM_OK;
}

/* The classified fields of a row of a data subject. */
static enum fm_status open_sealed(const struct lookup *lookup, const struct row_run *run,
                                  uint32_t row, struct fm_buf *bytes, struct fm_batch *out,
                                  const struct fm_schema **version)
{
    FM_AUTO(subject_reader_freep) struct subject_reader *reader = NULL;
    const struct fm_schema *schema = lookup->state->schema;
    struct subject_rows rows = {.count = 1, .sequences = &lookup->sequence};
    uint32_t number =
        lookup->segment != NULL ? lookup->segment->schema_version : run->hot.schema->version;
    enum fm_status status = table_contract_schema(lookup->state->table, number, &rows.schema);

    if (status == FM_OK)
        status = place_column(lookup, run, row, schema->fields[schema->subject].id, &rows.subject);
    if (status == FM_OK)
        status = place_column(lookup, run, row, FM_FIELD_SEALED, &rows.sealed);
    if (status == FM_OK)
        status = place_column(lookup, run, row, FM_FIELD_COMMITMENT, &rows.commitment);
    if (status == FM_OK)
        status = subject_reader_new(lookup->state->table, 1, &reader);
    if (status == FM_OK)
        status = subject_reader_open(reader, &rows, bytes, out, lookup->err);
    *version = rows.schema;
    return status;
}

static enum fm_status put_field(const struct lookup *lookup, const struct row_run *run,
                                uint32_t row, uint32_t position, struct fm_batch_builder *builder)
{
    const struct row_column *column =
        column_of(run, lookup->state->schema->fields[position].id, position);

    if (column == NULL)
        return fm_batch_put_null(builder, position);
    return fm_batch_put_rows(builder, position, column->batch, column->column, NULL, row, 1, NULL);
}

static enum fm_status put_opened(const struct lookup *lookup, const struct fm_schema *version,
                                 const struct fm_batch *opened, uint32_t position,
                                 struct fm_batch_builder *builder)
{
    int64_t column = subject_opened_column(version, lookup->state->schema->fields[position].id);

    if (column < 0)
        return fm_batch_put_null(builder, position);
    return fm_batch_put_rows(builder, position, opened, (uint32_t)column, NULL, 0, 1, NULL);
}

static void wipe_opened(struct fm_buf *bytes)
{
    if (bytes->data != NULL)
        explicit_bzero(bytes->data, bytes->cap);
    fm_buf_free(bytes);
}

static enum fm_status put_row(const struct lookup *lookup, const struct row_run *run, uint32_t row,
                              struct fm_buf *out)
{
    FM_AUTO(wipe_opened) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    const struct fm_schema *version = NULL;
    struct fm_batch opened;
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    const struct fm_schema *schema = lookup->state->schema;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(schema->field_count, sizeof(const struct fm_type *));
    struct fm_batch_builder_options options = {.types = types, .column_count = schema->field_count};
    enum fm_status status;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++)
        types[i] = &schema->fields[i].type;
    status = fm_batch_builder_new(&options, &builder);
    if (status == FM_OK && schema->has_subject)
        status = open_sealed(lookup, run, row, &bytes, &opened, &version);
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++)
        status = subject_seals(schema, i) ? put_opened(lookup, version, &opened, i, builder)
                                          : put_field(lookup, run, row, i, builder);
    return status == FM_OK ? fm_batch_builder_finish(builder, lookup->sequence, out) : status;
}

static enum fm_status check_asked(const struct lookup *lookup)
{
    const struct table *table = lookup->state->table;
    const struct fm_schema *schema = lookup->state->schema;
    struct fm_cursor cursor = fm_cursor(lookup->key);
    struct fm_span value;

    if (!schema_is_keyed(schema))
        return fm_fail(lookup->err, FM_INVALID, "%s.%s has no primary key to look rows up by",
                       table->domain, table->name);
    for (uint32_t i = 0; i < schema->key_count; i++) {
        const struct fm_field *field = &schema->fields[schema->key[i]];

        if (fm_canonical_take(&field->type, &cursor, &value) != FM_OK)
            return fm_fail(lookup->err, FM_INVALID,
                           "the key of %s.%s that is looked up has no value for `%s`",
                           table->domain, table->name, field->name);
    }
    if (fm_cursor_left(&cursor) > 0)
        return fm_fail(lookup->err, FM_INVALID,
                       "the key of %s.%s that is looked up has %zu bytes too many", table->domain,
                       table->name, fm_cursor_left(&cursor));
    return FM_OK;
}

enum fm_status fm_snapshot_get(struct fm_snapshot *snapshot, const char *domain, const char *table,
                               struct fm_span key, struct fm_buf *batch, struct fm_error *err)
{
    FM_AUTO(row_run_releasep) struct row_run *run = NULL;
    const struct snapshot_table *found = snapshot_find(snapshot, domain, table);
    struct lookup lookup = {.snapshot = snapshot, .key = key, .err = err};
    enum fm_status status;
    uint32_t row = 0;

    fm_assert(batch->len == 0);
    if (found == NULL)
        return fm_fail(err, FM_INVALID, "there is no table %s.%s", domain, table);
    lookup.state = found->state;
    status = check_asked(&lookup);
    if (status == FM_OK)
        status = key_index_find(found->state->table, snapshot->rocks, found->state->tree.size, key,
                                &lookup.sequence, err);
    if (status != FM_OK)
        return status;
    if (lookup.sequence < found->state->dropped ||
        superseded_has(found->state->superseded, lookup.sequence))
        return FM_NOTFOUND; /* What the index names is not shown by a scan either. */
    status = find_run(&lookup, &run, &row);
    if (status == FM_OK)
        status = check_key(&lookup, run, row - run->first);
    if (status == FM_OK)
        status = put_row(&lookup, run, row - run->first, batch);
    return status;
}
