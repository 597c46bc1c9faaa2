/* Hot rows become segments.
 *
 * A run of hot values that lie side by side and have one schema version is read through a snapshot
 * and encoded while appends go on. Then, with the table's append lock, one commit puts the segment
 * in their place. Readers have the states and RocksDB's snapshot of one sync, so they see either
 * the hot values or the segment. */
#include "storage/internal.h"

#include "core/assert.h"
#include "storage/segment.h"
#include "storage/spans.h"
#include "storage/units.h"

#include <stdlib.h>
#include <time.h>

#define SEAL_ROWS (4u * FM_BLOCK_ROWS) /* Wanted from so many hot rows on, */
#define SEAL_VALUES 2048u              /* or values: each costs a scan about a block's time. */
#define SEAL_PIECE_BYTES (24u << 20)   /* A segment with larger values has fewer rows. */
#define SEAL_RETRY_S 2                 /* After a failure, in the background. */

struct seal {
    struct table *table;
    struct table_state *state; /* As it was at the beginning. */
    struct store_view *view;
    struct column_encoder *encoder;
    struct compressor *compressor;
    uint64_t sealed;

    /* The run at hand: none while `segment` is NULL. */
    const struct fm_schema *schema;
    const struct fm_type **types;
    struct fm_batch_builder *builder;
    struct segment_value *segment;
    uint32_t span_capacity;
    uint64_t hot_bytes; /* Of its hot values. */
};

static void run_deinit(struct seal *seal)
{
    if (seal->segment != NULL)
        segment_value_deinit(seal->segment);
    free(seal->segment);
    free(seal->types);
    fm_batch_builder_free(seal->builder);
    seal->segment = NULL;
    seal->types = NULL;
    seal->builder = NULL;
    seal->span_capacity = 0;
    seal->hot_bytes = 0;
}

static void seal_deinit(struct seal *seal)
{
    run_deinit(seal);
    column_encoder_free(seal->encoder);
    compressor_free(seal->compressor);
    state_release(seal->state);
    view_release(seal->view);
}

/* ---- What a segment's commit writes ---------------------------------------------------------- */

/* Values of all columns, by position. */
struct values {
    uint32_t count;
    struct fm_buf *items;
    struct fm_buf spans; /* Empty: in the record. */
};

static void values_deinit(struct values *values)
{
    for (uint32_t i = 0; i < values->count; i++)
        fm_buf_free(&values->items[i]);
    free(values->items);
    fm_buf_free(&values->spans);
}

static enum fm_status encode_columns(struct seal *seal, struct values *values)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct segment_value *segment = seal->segment;
    uint32_t count = seal->schema->field_count;
    struct fm_batch batch;
    enum fm_status status = fm_batch_builder_finish(seal->builder, 0, &bytes);

    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
    if (status != FM_OK)
        return status;
    fm_assert(batch.rows == segment->rows);
    values->items = calloc(count, sizeof *values->items);
    segment->fields = calloc(count, sizeof *segment->fields);
    if (values->items == NULL || segment->fields == NULL)
        return FM_NOMEM;
    values->count = segment->field_count = count;
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        values->items[i] = FM_BUF_INIT(0);
        status = column_encode(seal->encoder, &batch, i, seal->types[i], &values->items[i],
                               &segment->fields[i]);
        segment->fields[i].id = seal->schema->fields[i].id;
    }
    return status;
}

/* Many headers do not stay in memory; few take no more of it than they need. */
static enum fm_status encode_spans(struct seal *seal, struct values *values)
{
    struct segment_value *segment = seal->segment;
    uint32_t count = segment->span_count;
    struct segment_span *fewer;
    enum fm_status status;

    if (count <= SEGMENT_SPANS_INLINE_MAX) {
        fewer = realloc(segment->spans, count * sizeof *fewer);
        if (fewer != NULL)
            segment->spans = fewer;
        return FM_OK;
    }
    status = spans_encode(seal->compressor, segment->spans, count, &values->spans);
    segment->first_recorded_at = segment->spans[0].header.recorded_at;
    segment->last_recorded_at = segment->spans[count - 1].header.recorded_at;
    if (status == FM_OK)
        free(FM_TAKE(segment->spans));
    return status;
}

static void delete_hot(struct rocks_batch *batch, const struct table *table, const uint64_t *firsts,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct key key = key_hot(table->id, firsts[i]);

        rocks_batch_delete(batch, ROCKS_HOT, key_span(&key));
    }
}

static enum fm_status put_values(const struct seal *seal, const struct values *values,
                                 struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf record = FM_BUF_INIT(0);
    const struct segment_value *segment = seal->segment;
    uint32_t table = seal->table->id;
    struct key key;

    for (uint32_t i = 0; i < values->count; i++) {
        key = key_column(table, segment->id, segment->fields[i].id);
        rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&values->items[i]));
    }
    if (values->spans.len > 0) {
        key = key_spans(table, segment->id);
        rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&values->spans));
    }
    segment_value_encode(&record, segment);
    key = key_segment(table, segment->first_sequence);
    rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&record));
    return fm_buf_status(&record);
}

/* ---- The commit ------------------------------------------------------------------------------ */

static enum fm_status make_next(struct seal *seal, uint32_t values, struct rocks_batch *batch,
                                struct table_state **out)
{
    FM_AUTO(state_releasep) struct table_state *next = *out;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct key key = key_table(KEYS_META_STATE, seal->table->id);
    struct segment_value *segment = seal->segment;
    struct state_value value;
    enum fm_status status;

    *out = NULL;
    fm_assert(next->hot_rows >= segment->rows);
    fm_assert(next->hot_values >= values);
    fm_assert(next->hot_bytes >= seal->hot_bytes);
    fm_assert(next->tree.size >= segment->first_sequence + segment->rows);
    next->hot_rows -= segment->rows;
    next->hot_values -= values;
    next->hot_bytes -= seal->hot_bytes;
    next->next_segment++;
    status = state_add_segment(next, segment);
    if (status != FM_OK)
        return status;
    seal->segment = NULL; /* The table's now. */
    state_to_value(next, &value);
    state_encode(&bytes, &value);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&bytes));
    if (fm_buf_status(&bytes) == FM_OK)
        *out = FM_TAKE(next);
    return fm_buf_status(&bytes);
}

/* With the table's append lock: only the written state's numbers were not known before. */
static enum fm_status write_segment(struct seal *seal, const struct values *values,
                                    const uint64_t *firsts, uint32_t count,
                                    struct pending_commit *pending, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(state_releasep) struct table_state *next = NULL;
    struct fm_store *store = seal->table->store;
    struct table_state *base;
    struct commit_what what =
        commit_what_seal(seal->table->id, seal->segment->first_sequence, seal->segment->rows);
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    if (status != FM_OK)
        return status;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    base = state_retain(seal->table->written);
    (void)pthread_mutex_unlock(&store->lock);
    status = state_copy(base, &next);
    state_release(base);
    if (status != FM_OK)
        return status;
    seal->segment->id = next->next_segment;
    delete_hot(batch, seal->table, firsts, count);
    status = put_values(seal, values, batch);
    if (status == FM_OK)
        status = make_next(seal, count, batch, &next);
    if (status == FM_OK)
        status = commit_write(store, batch, &what, next, pending, err);
    if (status == FM_OK)
        next = NULL; /* The store's now. */
    return status;
}

static enum fm_status commit_segment(struct seal *seal, const struct values *values,
                                     const uint64_t *firsts, uint32_t count, struct fm_error *err)
{
    struct pending_commit pending = {0};
    enum fm_status status = table_lock_append(seal->table, err);

    if (status != FM_OK)
        return status;
    status = write_segment(seal, values, firsts, count, &pending, err);
    table_unlock_append(seal->table);
    return status == FM_OK ? commit_wait(seal->table->store, &pending, err) : status;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static enum fm_status end_run(struct seal *seal, struct fm_error *err)
{
    FM_AUTO(values_deinit) struct values values = {0};
    FM_AUTO(fm_mem_freep) uint64_t *firsts = NULL;
    struct segment_value *segment = seal->segment;
    enum fm_status status;
    uint32_t rows, count;

    if (segment == NULL)
        return FM_OK;
    rows = segment->rows;
    count = segment->span_count;
    firsts = calloc(count, sizeof *firsts);
    if (firsts == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        firsts[i] = segment->spans[i].header.sequence;
    values.spans = FM_BUF_INIT(0);
    status = store_has_space(seal->table->store, err);
    if (status == FM_OK)
        status = encode_columns(seal, &values);
    if (status == FM_OK)
        status = encode_spans(seal, &values);
    if (status == FM_OK)
        status = commit_segment(seal, &values, firsts, count, err);
    if (status == FM_OK)
        seal->sealed += rows;
    run_deinit(seal);
    return status;
}

static enum fm_status begin_run(struct seal *seal, const struct fm_schema *schema,
                                uint64_t first_sequence)
{
    uint32_t count = schema->field_count;
    struct fm_batch_builder_options options = {.column_count = count, .encode = true};

    seal->schema = schema;
    seal->segment = calloc(1, sizeof *seal->segment);
    seal->types = calloc(count, sizeof(const struct fm_type *));
    if (seal->segment == NULL || seal->types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        seal->types[i] = &schema->fields[i].type;
    seal->segment->first_sequence = first_sequence;
    seal->segment->schema_version = schema->version;
    options.types = seal->types;
    return fm_batch_builder_new(&options, &seal->builder);
}

static enum fm_status add_span(struct seal *seal, const struct unit *unit)
{
    struct segment_value *segment = seal->segment;

    if (segment->span_count == seal->span_capacity) {
        uint32_t capacity = seal->span_capacity == 0 ? 64 : seal->span_capacity * 2;
        struct segment_span *spans = realloc(segment->spans, capacity * sizeof *spans);

        if (spans == NULL)
            return FM_NOMEM;
        segment->spans = spans;
        seal->span_capacity = capacity;
    }
    segment->spans[segment->span_count++] =
        (struct segment_span){.rows = unit->rows, .header = unit->hot.header};
    segment->rows += unit->rows;
    seal->hot_bytes += unit->hot_bytes;
    return FM_OK;
}

static bool fits_run(const struct seal *seal, const struct hot_rows *rows)
{
    return seal->schema == rows->schema &&
           seal->segment->rows + rows->batch.rows <= FM_SEGMENT_ROWS &&
           fm_batch_builder_bytes(seal->builder) < SEAL_PIECE_BYTES;
}

static enum fm_status add_hot(struct seal *seal, const struct unit *unit, struct fm_error *err)
{
    FM_AUTO(hot_rows_deinit) struct hot_rows rows = {0};
    enum fm_status status = hot_rows_open(seal->state, unit, &rows, err);

    if (status == FM_OK && seal->segment != NULL && !fits_run(seal, &rows))
        status = end_run(seal, err);
    if (status == FM_OK && seal->segment == NULL)
        status = begin_run(seal, rows.schema, unit->first_sequence);
    for (uint32_t i = 0; status == FM_OK && i < rows.schema->field_count; i++)
        status =
            fm_batch_put_rows(seal->builder, i, &rows.batch, i, NULL, 0, rows.batch.rows, NULL);
    return status == FM_OK ? add_span(seal, unit) : status;
}

static enum fm_status seal_units(struct seal *seal, struct fm_error *err)
{
    struct units units;
    struct unit unit;
    enum fm_status status = column_encoder_new(&seal->encoder);

    if (status == FM_OK)
        status = compressor_new(&seal->compressor);
    units_init(&units, seal->state, seal->view->rocks, 0);
    while (status == FM_OK) {
        status = units_next(&units, &unit, err);
        if (status == FM_OK)
            status = unit.segment != NULL ? end_run(seal, err) : add_hot(seal, &unit, err);
    }
    units_deinit(&units);
    return status == FM_NOTFOUND ? end_run(seal, err) : status;
}

/* ---- One table ------------------------------------------------------------------------------- */

/* FM_BUSY: another thread is at it. */
static enum fm_status begin(struct fm_store *store, const char *domain, const char *name,
                            struct seal *seal, struct fm_error *err)
{
    struct table *table;
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    table = table_find(store, domain, name);
    if (table == NULL) {
        status = fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, name);
    } else if (table->is_sealing) {
        status = fm_fail(err, FM_BUSY, "%s.%s is being sealed", domain, name);
    } else {
        table->is_sealing = true;
        seal->table = table;
        seal->state = state_retain(table->state);
        seal->view = store->view;
        atomic_fetch_add(&seal->view->references, 1);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum fm_status fm_store_seal(struct fm_store *store, const char *domain, const char *table,
                             uint64_t *rows, struct fm_error *err)
{
    FM_AUTO(seal_deinit) struct seal seal = {0};
    enum fm_status status = store_usable(store, err);

    if (status == FM_OK)
        status = begin(store, domain, table, &seal, err);
    if (status != FM_OK)
        return status;
    if (seal.state->hot_rows > 0)
        status = seal_units(&seal, err);
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    seal.table->is_sealing = false;
    (void)pthread_mutex_unlock(&store->lock);
    if (status == FM_OK && rows != NULL)
        *rows = seal.sealed;
    return status;
}

/* ---- In the background ----------------------------------------------------------------------- */

bool state_wants_seal(const struct table_state *state)
{
    return state->hot_rows >= SEAL_ROWS || state->hot_values >= SEAL_VALUES;
}

/* Under lock. */
static struct table *find_wanting(const struct fm_store *store)
{
    for (uint32_t i = 0; i < store->table_count; i++) {
        if (state_wants_seal(store->tables[i]->state))
            return store->tables[i];
    }
    return NULL;
}

/* Under lock. */
static void wait_a_while(struct fm_store *store)
{
    struct timespec until;
    int waited = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_sec += SEAL_RETRY_S;
    while (!store->stop_sealer && waited == 0)
        waited = pthread_cond_timedwait(&store->seal_wanted, &store->lock, &until);
}

static void *seal_thread(void *argument)
{
    struct fm_store *store = argument;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    while (!store->stop_sealer) {
        const struct table *table = find_wanting(store);
        enum fm_status status;

        if (table == NULL) {
            (void)pthread_cond_wait(&store->seal_wanted, &store->lock); /* Cannot fail. */
            continue;
        }
        (void)pthread_mutex_unlock(&store->lock);
        status = fm_store_seal(store, table->domain, table->name, NULL, NULL);
        (void)pthread_mutex_lock(&store->lock);
        if (status != FM_OK) /* Nothing is lost: rows stay hot, and appends tell of bad disks. */
            wait_a_while(store);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return NULL;
}

enum fm_status sealer_start(struct fm_store *store)
{
    fm_assert(!store->has_sealer);
    store->has_sealer = pthread_create(&store->sealer, NULL, seal_thread, store) == 0;
    return store->has_sealer ? FM_OK : FM_NOMEM;
}

void sealer_stop(struct fm_store *store)
{
    if (!store->has_sealer)
        return;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    store->stop_sealer = true;
    (void)pthread_cond_signal(&store->seal_wanted);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->sealer, NULL); /* A thread of our own that exists. */
    store->has_sealer = false;
}
