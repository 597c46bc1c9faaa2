/* Figures about a table for planners at other nodes. A small table is read, for exact ones; of a
 * large one only what segments' records, dictionaries and the key say is taken. */
#include "storage/reading.h"
#include "storage/superseded.h"

#include "core/assert.h"
#include "core/statistics.h"

#include <stdlib.h>

/* ---- A small table: every value -------------------------------------------------------------- */

struct gathered {
    uint32_t position; /* Of the field in the schema. */
    struct fm_column_figures *figures;
    uint32_t hash_count;
    uint64_t *hashes; /* Of the values met. */
    struct fm_buf min;
    struct fm_buf max;
};

static void gathered_deinit(struct gathered *gathered, uint32_t count)
{
    for (uint32_t i = 0; gathered != NULL && i < count; i++) {
        free(gathered[i].hashes);
        fm_buf_free(&gathered[i].min);
        fm_buf_free(&gathered[i].max);
    }
    free(gathered);
}

static int compare_hashes(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static void set_bound(const struct fm_buf *value, uint8_t *len, uint8_t *out)
{
    if (value->len > FM_STATISTICS_BOUND_BYTES_MAX || value->len == 0)
        return;
    *len = (uint8_t)value->len;
    memcpy(out, value->data, value->len);
}

static void keep(struct fm_buf *bound, const struct fm_buf *value)
{
    fm_buf_clear(bound);
    fm_buf_put_span(bound, fm_buf_span(value));
}

/* FNV-1a: two values that meet in it make an estimate smaller by one. */
static uint64_t hash_of(struct fm_span bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static enum fm_status gather_value(struct gathered *column, const struct fm_type *type,
                                   const struct fm_buf *value)
{
    struct fm_span bytes = fm_buf_span(value);

    column->figures->bytes += value->len;
    column->hashes[column->hash_count++] = hash_of(bytes);
    if (fm_type_is_nested(type))
        return FM_OK;
    if (column->min.len == 0 || fm_canonical_compare(type, bytes, fm_buf_span(&column->min)) < 0)
        keep(&column->min, value);
    if (column->max.len == 0 || fm_canonical_compare(type, bytes, fm_buf_span(&column->max)) > 0)
        keep(&column->max, value);
    return fm_buf_status(&column->min) != FM_OK ? fm_buf_status(&column->min)
                                                : fm_buf_status(&column->max);
}

static enum fm_status gather_batch(struct gathered *gathered, uint32_t count,
                                   const struct fm_schema *schema, const struct fm_columns *columns,
                                   const struct fm_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = FM_OK;

    for (uint32_t c = 0; c < count; c++) {
        struct gathered *column = &gathered[c];
        const struct fm_type *type = &schema->fields[column->position].type;
        const struct fm_dictionary *dictionary = &columns->items[column->position].dictionary;

        for (uint32_t row = 0; status == FM_OK && row < batch->rows; row++) {
            if (fm_vector_is_null(batch, &batch->vectors[c], row)) {
                column->figures->nulls++;
                continue;
            }
            if (column->hash_count == FM_STATISTICS_ROWS_READ_MAX)
                return FM_LIMIT;
            fm_buf_clear(&value);
            status = fm_vector_canonical(batch, &batch->vectors[c], type,
                                         dictionary->count > 0 ? dictionary : NULL, row, &value);
            if (status == FM_OK)
                status = gather_value(column, type, &value);
        }
    }
    return status;
}

static enum fm_status read_rows(struct fm_snapshot *snapshot, const struct fm_schema *schema,
                                struct gathered *gathered, uint32_t count, struct fm_error *err)
{
    FM_AUTO(fm_scan_freep) struct fm_scan *scan = NULL;
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    uint32_t fields[FM_STATISTICS_COLUMNS_MAX];
    struct fm_batch batch;

    for (uint32_t i = 0; i < count; i++)
        fields[i] = gathered[i].position;
    struct fm_scan_options options = {
        .domain = schema->domain, .table = schema->table, .field_count = count, .fields = fields};
    enum fm_status status = fm_snapshot_columns(snapshot, schema->domain, schema->table, &columns);
    if (status == FM_OK)
        status = fm_scan_open(snapshot, &options, &scan, err);
    while (status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_scan_next(scan, &bytes, err);
        if (status == FM_OK)
            status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
        if (status == FM_OK)
            status = gather_batch(gathered, count, schema, &columns, &batch);
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

static void conclude(struct gathered *column)
{
    struct fm_column_figures *figures = column->figures;

    qsort(column->hashes, column->hash_count, sizeof *column->hashes, compare_hashes);
    for (uint32_t i = 0; i < column->hash_count; i++)
        figures->distinct += i == 0 || column->hashes[i] != column->hashes[i - 1] ? 1u : 0u;
    set_bound(&column->min, &figures->min_len, figures->min);
    set_bound(&column->max, &figures->max_len, figures->max);
}

static enum fm_status read_small(struct fm_snapshot *snapshot, const struct fm_schema *schema,
                                 struct fm_statistics *out, struct fm_error *err)
{
    struct gathered *gathered = calloc(out->column_count + 1u, sizeof *gathered);
    enum fm_status status = gathered == NULL ? FM_NOMEM : FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < out->column_count; i++) {
        gathered[i].figures = &out->columns[i];
        gathered[i].position = (uint32_t)schema_position(schema, out->columns[i].field_id);
        gathered[i].hashes = calloc(FM_STATISTICS_ROWS_READ_MAX, sizeof *gathered[i].hashes);
        if (gathered[i].hashes == NULL)
            status = FM_NOMEM;
    }
    if (status == FM_OK && out->column_count > 0)
        status = read_rows(snapshot, schema, gathered, out->column_count, err);
    for (uint32_t i = 0; status == FM_OK && i < out->column_count; i++)
        conclude(&gathered[i]);
    gathered_deinit(gathered, out->column_count);
    return status;
}

/* ---- A large table: what is known without its rows ------------------------------------------- */

static bool is_integral(enum fm_kind kind)
{
    return (kind >= FM_KIND_INT8 && kind <= FM_KIND_UINT64) || kind == FM_KIND_DATE;
}

static uint64_t load_integral(enum fm_kind kind, const uint8_t *bytes, uint8_t len)
{
    uint64_t value = 0;
    bool is_signed = kind <= FM_KIND_INT64 || kind == FM_KIND_DATE;

    memcpy(&value, bytes, len);
    if (is_signed && len < 8 && (bytes[len - 1] & 0x80u) != 0)
        value |= UINT64_MAX << (8 * len);
    return value;
}

/* Integers cannot have more values than lie between their bounds. */
static uint64_t span_of(enum fm_kind kind, const struct fm_column_figures *figures)
{
    if (!is_integral(kind) || figures->min_len == 0 || figures->min_len > 8 ||
        figures->max_len != figures->min_len)
        return 0;
    uint64_t span = load_integral(kind, figures->max, figures->max_len) -
                    load_integral(kind, figures->min, figures->min_len);
    return span == UINT64_MAX ? 0 : span + 1;
}

static void take_bounds(const struct bounds *bounds, struct fm_column_figures *out)
{
    if ((bounds->flags & BOUNDS_MIN_CUT) == 0 && bounds->min_len <= sizeof out->min) {
        out->min_len = bounds->min_len;
        memcpy(out->min, bounds->min, bounds->min_len);
    }
    if ((bounds->flags & BOUNDS_MAX_CUT) == 0 && bounds->max_len <= sizeof out->max) {
        out->max_len = bounds->max_len;
        memcpy(out->max, bounds->max, bounds->max_len);
    }
}

static const struct segment_field *field_of(const struct segment_value *segment, uint32_t id)
{
    for (uint32_t i = 0; i < segment->field_count; i++) {
        if (segment->fields[i].id == id)
            return &segment->fields[i];
    }
    return NULL;
}

static void add_segments(const struct table_state *state, const struct fm_type *type,
                         struct fm_column_figures *out)
{
    struct bounds bounds = {0};
    bool has_bounds = false;

    for (uint32_t i = 0; i < state->segment_count; i++) {
        const struct segment_value *segment = state->segments->items[i];
        const struct segment_field *field = field_of(segment, out->field_id);

        if (segment->is_dropped)
            continue;
        if (field == NULL) {
            out->nulls += segment->rows;
            continue;
        }
        out->nulls += field->null_count;
        out->bytes += field->stored_bytes;
        if (field->null_count == segment->rows)
            continue;
        if (has_bounds)
            bounds_merge(&bounds, &field->bounds, type);
        else
            bounds = field->bounds;
        has_bounds = true;
    }
    take_bounds(&bounds, out);
}

static bool is_sole_key(const struct fm_schema *schema, uint32_t position)
{
    return schema->key_count == 1 && schema->key[0] == position;
}

static enum fm_status look_at_column(struct fm_snapshot *snapshot, struct snapshot_table *table,
                                     uint64_t rows, struct fm_column_figures *out,
                                     struct fm_error *err)
{
    const struct fm_schema *schema = table->state->schema;
    uint32_t position = (uint32_t)schema_position(schema, out->field_id);
    enum fm_kind kind = schema->fields[position].type.kind;
    const struct table_dictionary *dictionary = NULL;

    add_segments(table->state, &schema->fields[position].type, out);
    enum fm_status status = snapshot_dictionary(snapshot, table, position, &dictionary, err);
    if (status != FM_OK)
        return status;
    uint64_t span = span_of(kind, out);
    if (is_sole_key(schema, position))
        out->distinct = rows;
    else if (kind == FM_KIND_BOOLEAN)
        out->distinct = 2;
    else if (dictionary != NULL)
        out->distinct = dictionary->dictionary.count;
    else if (span != 0)
        out->distinct = span;
    if (out->distinct > rows)
        out->distinct = rows;
    return FM_OK;
}

/* ---- Both ------------------------------------------------------------------------------------ */

static int compare_ids(const void *left, const void *right)
{
    const struct fm_column_figures *a = left;
    const struct fm_column_figures *b = right;

    return (a->field_id > b->field_id) - (a->field_id < b->field_id);
}

/* Columns by rising id; those that are classified stay out. */
static enum fm_status choose_columns(const struct fm_schema *schema, struct fm_statistics *out)
{
    out->columns = calloc(schema->field_count, sizeof *out->columns);
    if (out->columns == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (!fm_field_is_classified(&schema->fields[i]))
            out->columns[out->column_count++].field_id = schema->fields[i].id;
    }
    if (out->column_count > 0)
        qsort(out->columns, out->column_count, sizeof *out->columns, compare_ids);
    if (out->column_count > FM_STATISTICS_COLUMNS_MAX)
        out->column_count = FM_STATISTICS_COLUMNS_MAX;
    return FM_OK;
}

static enum fm_status summarise(struct fm_snapshot *snapshot, struct snapshot_table *table,
                                struct fm_statistics *out, struct fm_error *err)
{
    const struct table_state *state = table->state;
    enum fm_status status = choose_columns(state->schema, out);

    memcpy(out->domain, state->table->domain, sizeof out->domain);
    memcpy(out->table, state->table->name, sizeof out->table);
    out->epoch = state->epoch;
    out->schema_version = state->schema->version;
    out->rows = state_rows_latest(state);
    if (status != FM_OK)
        return status;
    /* A scan passes over superseded rows too, so those count. */
    if (state->tree.size - state->dropped <= FM_STATISTICS_ROWS_READ_MAX)
        status = read_small(snapshot, state->schema, out, err);
    else
        for (uint32_t i = 0; i < out->column_count && status == FM_OK; i++)
            status = look_at_column(snapshot, table, out->rows, &out->columns[i], err);
    for (uint32_t i = 0; i < out->column_count; i++)
        out->bytes += out->columns[i].bytes;
    return status;
}

enum fm_status fm_store_summary(struct fm_store *store, const char *domain, const char *table,
                                struct fm_statistics *out, struct fm_error *err)
{
    FM_AUTO(fm_snapshot_freep) struct fm_snapshot *snapshot = NULL;
    struct fm_statistics summary = {0};

    enum fm_status status = fm_snapshot_open(store, &snapshot, err);
    if (status != FM_OK)
        return status;
    struct snapshot_table *found = snapshot_find(snapshot, domain, table);
    if (found == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, table);
    status = summarise(snapshot, found, &summary, err);
    if (status == FM_OK)
        *out = summary;
    else
        fm_statistics_deinit(&summary);
    return status;
}

enum fm_status fm_store_outline(struct fm_store *store, const char *domain, const char *table,
                                uint64_t *rows, uint32_t *schema_version)
{
    FM_AUTO(state_releasep) struct table_state *state = state_latest(store, domain, table);

    if (state == NULL)
        return FM_NOTFOUND;
    *rows = state_rows_latest(state);
    *schema_version = state->schema->version;
    return FM_OK;
}
