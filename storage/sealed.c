#include "storage/sealed.h"

#include "core/assert.h"
#include "storage/order.h"
#include "storage/spans.h"

#include <stdlib.h>

struct sealed {
    struct table *table;
    const struct fm_schema *schema;
    struct column_encoder *encoder;
    struct segment_value *segment; /* NULL: a state has it. */
    uint32_t span_capacity;
    struct fm_buf *values; /* By position. */
    size_t value_bytes;    /* Of all columns so far, before they were encoded. */
    struct fm_buf order;   /* Empty: sequence order. */
    struct fm_buf spans;   /* Empty: in the record. */
};

/* ---- One thread a table ---------------------------------------------------------------------- */

enum fm_status sealing_begin(struct fm_store *store, const char *domain, const char *name,
                             struct sealing *out, struct fm_error *err)
{
    struct table *table;
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    table = table_find(store, domain, name);
    if (table == NULL) {
        status = fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, name);
    } else if (table->is_sealing) {
        status = fm_fail(err, FM_BUSY, "%s.%s is being sealed or merged", domain, name);
    } else {
        table->is_sealing = true;
        *out = (struct sealing){
            .table = table, .state = state_retain(table->state), .view = store->view};
        atomic_fetch_add(&out->view->references, 1);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

void sealing_end(struct sealing *sealing)
{
    struct table *table = sealing->table;

    if (table == NULL)
        return;
    (void)pthread_mutex_lock(&table->store->lock); /* Cannot fail. */
    table->is_sealing = false;
    if (sealing->nothing_to_merge)
        table->merge_looked = sealing->state->next_segment;
    (void)pthread_mutex_unlock(&table->store->lock);
    state_release(sealing->state);
    view_release(sealing->view);
    *sealing = (struct sealing){0};
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum fm_status sealed_new(struct table *table, const struct fm_schema *schema,
                          uint64_t first_sequence, struct sealed **out)
{
    FM_AUTO(sealed_freep) struct sealed *sealed = calloc(1, sizeof *sealed);
    uint32_t count = schema->field_count;
    struct segment_value *segment;

    if (sealed == NULL)
        return FM_NOMEM;
    sealed->table = table;
    sealed->schema = schema;
    sealed->order = FM_BUF_INIT(0);
    sealed->spans = FM_BUF_INIT(0);
    segment = sealed->segment = calloc(1, sizeof *sealed->segment);
    sealed->values = calloc(count, sizeof *sealed->values);
    if (segment == NULL || sealed->values == NULL)
        return FM_NOMEM;
    segment->fields = calloc(count, sizeof *segment->fields);
    if (segment->fields == NULL)
        return FM_NOMEM;
    segment->first_sequence = first_sequence;
    segment->schema_version = schema->version;
    segment->field_count = count;
    for (uint32_t i = 0; i < count; i++)
        sealed->values[i] = FM_BUF_INIT(0);
    if (column_encoder_new(&sealed->encoder) != FM_OK)
        return FM_NOMEM;
    *out = FM_TAKE(sealed);
    return FM_OK;
}

void sealed_free(struct sealed *sealed)
{
    if (sealed == NULL)
        return;
    for (uint32_t i = 0; sealed->values != NULL && i < sealed->schema->field_count; i++)
        fm_buf_free(&sealed->values[i]);
    free(sealed->values);
    if (sealed->segment != NULL)
        segment_value_deinit(sealed->segment);
    free(sealed->segment);
    fm_buf_free(&sealed->order);
    fm_buf_free(&sealed->spans);
    column_encoder_free(sealed->encoder);
    free(sealed);
}

/* ---- Content --------------------------------------------------------------------------------- */

enum fm_status sealed_add_spans(struct sealed *sealed, const struct segment_span *spans,
                                uint32_t count)
{
    struct segment_value *segment = sealed->segment;

    for (uint32_t i = 0; i < count; i++) {
        if (segment->span_count == sealed->span_capacity) {
            uint32_t capacity = sealed->span_capacity == 0 ? 64 : sealed->span_capacity * 2;
            struct segment_span *more = realloc(segment->spans, capacity * sizeof *more);

            if (more == NULL)
                return FM_NOMEM;
            segment->spans = more;
            sealed->span_capacity = capacity;
        }
        fm_assert(spans[i].header.sequence == segment->first_sequence + segment->rows);
        fm_assert(spans[i].rows <= FM_SEGMENT_ROWS - segment->rows);
        segment->spans[segment->span_count++] = spans[i];
        segment->rows += spans[i].rows;
    }
    return FM_OK;
}

uint32_t sealed_rows(const struct sealed *sealed)
{
    return sealed->segment->rows;
}

enum fm_status sealed_set_column(struct sealed *sealed, uint32_t position,
                                 const struct fm_batch *batch, uint32_t column)
{
    const struct fm_field *field = &sealed->schema->fields[position];
    struct segment_field *described = &sealed->segment->fields[position];
    enum fm_status status = column_encode(sealed->encoder, batch, column, &field->type,
                                          &sealed->values[position], described);

    fm_assert(batch->vectors[column].rows == sealed->segment->rows);
    described->id = field->id;
    return status;
}

/* Rows that follow each other in a source are put at once. */
static enum fm_status gather(struct fm_batch_builder *builder, const struct sealed_source *sources,
                             const struct cluster_row *rows, uint32_t count)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0, run; status == FM_OK && i < count; i += run) {
        const struct sealed_source *source = &sources[rows[i].batch];

        run = 1;
        while (i + run < count && rows[i + run].batch == rows[i].batch &&
               rows[i + run].row == rows[i].row + run)
            run++;
        status = fm_batch_put_rows(builder, 0, source->batch, source->column, NULL, rows[i].row,
                                   run, NULL);
    }
    return status;
}

enum fm_status sealed_gather_column(struct sealed *sealed, uint32_t position,
                                    const struct sealed_source *sources,
                                    const struct cluster_row *rows)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    const struct fm_type *type = &sealed->schema->fields[position].type;
    struct fm_batch_builder_options options = {.types = &type, .column_count = 1, .encode = true};
    struct fm_batch batch;
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    if (status == FM_OK)
        status = gather(builder, sources, rows, sealed->segment->rows);
    if (status != FM_OK)
        return status;
    sealed->value_bytes += fm_batch_builder_bytes(builder);
    if (sealed->value_bytes > 2u * SEALED_BYTES_MAX)
        return FM_LIMIT;
    status = fm_batch_builder_finish(builder, 0, &bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
    return status == FM_OK ? sealed_set_column(sealed, position, &batch, 0) : status;
}

enum fm_status sealed_set_order(struct sealed *sealed, const uint32_t *offsets)
{
    struct segment_value *segment = sealed->segment;

    if (order_is_plain(offsets, segment->rows))
        return FM_OK;
    segment->has_order = true;
    return order_encode(sealed->encoder, offsets, segment->rows, &sealed->order);
}

/* Many headers do not stay in memory; few take no more of it than they need. */
static enum fm_status encode_spans(struct sealed *sealed)
{
    FM_AUTO(compressor_freep) struct compressor *compressor = NULL;
    struct segment_value *segment = sealed->segment;
    uint32_t count = segment->span_count;
    struct segment_span *fewer;
    enum fm_status status;

    fm_assert(count > 0);
    if (count <= SEGMENT_SPANS_INLINE_MAX) {
        fewer = realloc(segment->spans, count * sizeof *fewer);
        if (fewer != NULL)
            segment->spans = fewer;
        return FM_OK;
    }
    status = compressor_new(&compressor);
    if (status == FM_OK)
        status = spans_encode(compressor, segment->spans, count, &sealed->spans);
    segment->first_recorded_at = segment->spans[0].header.recorded_at;
    segment->last_recorded_at = segment->spans[count - 1].header.recorded_at;
    if (status == FM_OK)
        free(FM_TAKE(segment->spans));
    return status;
}

/* ---- The commit ------------------------------------------------------------------------------ */

static void put_value(struct rocks_batch *batch, struct key key, const struct fm_buf *value)
{
    if (value->len > 0)
        rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(value));
}

static enum fm_status put_values(const struct sealed *sealed, struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf record = FM_BUF_INIT(0);
    const struct segment_value *segment = sealed->segment;
    uint32_t table = sealed->table->id;

    for (uint32_t i = 0; i < segment->field_count; i++)
        put_value(batch, key_column(table, segment->id, segment->fields[i].id), &sealed->values[i]);
    put_value(batch, key_column(table, segment->id, SEGMENT_ORDER_FIELD), &sealed->order);
    put_value(batch, key_spans(table, segment->id), &sealed->spans);
    segment_value_encode(&record, segment);
    if (fm_buf_status(&record) == FM_OK)
        put_value(batch, key_segment(table, segment->first_sequence), &record);
    return fm_buf_status(&record);
}

static enum fm_status put_state(const struct table_state *state, struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct key key = key_table(KEYS_META_STATE, state->table->id);
    struct state_value value;

    state_to_value(state, &value);
    state_encode(&bytes, &value);
    if (fm_buf_status(&bytes) == FM_OK)
        rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&bytes));
    return fm_buf_status(&bytes);
}

static enum fm_status copy_written(struct table *table, struct table_state **out)
{
    struct fm_store *store = table->store;
    struct table_state *base;
    enum fm_status status;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    base = state_retain(table->written);
    (void)pthread_mutex_unlock(&store->lock);
    status = state_copy(base, out);
    state_release(base);
    return status;
}

/* With the table's append lock: only the written state's numbers were not known before. */
static enum fm_status write_locked(struct sealed *sealed, const struct sealed_commit *commit,
                                   struct pending_commit *pending, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(state_releasep) struct table_state *next = NULL;
    struct fm_store *store = sealed->table->store;
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    if (status == FM_OK)
        status = copy_written(sealed->table, &next);
    if (status != FM_OK)
        return status;
    sealed->segment->id = next->next_segment++;
    status = put_values(sealed, batch);
    if (status == FM_OK)
        status = commit->replace(commit->context, sealed->segment, next, batch, err);
    if (status != FM_OK)
        return status;
    sealed->segment = NULL; /* The state's now. */
    status = put_state(next, batch);
    if (status == FM_OK)
        status = commit_write(store, batch, &commit->what, next, pending, err);
    if (status == FM_OK)
        next = NULL; /* The store's now. */
    return status;
}

enum fm_status sealed_write(struct sealed *sealed, const struct sealed_commit *commit,
                            struct fm_error *err)
{
    struct pending_commit pending = {0};
    enum fm_status status = store_has_space(sealed->table->store, err);

    if (status == FM_OK)
        status = encode_spans(sealed);
    if (status == FM_OK)
        status = table_lock_append(sealed->table, err);
    if (status != FM_OK)
        return status;
    status = write_locked(sealed, commit, &pending, err);
    table_unlock_append(sealed->table);
    return status == FM_OK ? commit_wait(sealed->table->store, &pending, err) : status;
}
