#include "storage/append.h"

#include "core/assert.h"
#include "storage/subtrees.h"

#include <stdlib.h>

void piece_deinit(struct piece *piece)
{
    fm_buf_free(&piece->bytes);
    piece->batch = (struct fm_batch){0};
}

/* ---- Producers ------------------------------------------------------------------------------- */

enum fm_status append_find_producer(struct fm_append *append, bool *done, struct fm_appended *first,
                                    struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct producer_value value;
    struct key key;
    enum fm_status status;

    *done = false;
    if (!append->options.has_producer)
        return FM_OK;
    key = key_producer(append->table->id, append->options.producer_id);
    status = rocks_get(append->store->rocks, NULL, ROCKS_PRODUCERS, key_span(&key), &bytes, err);
    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status == FM_OK)
        status = producer_decode(fm_buf_span(&bytes), &value);
    if (status != FM_OK)
        return fm_wrap(err, status, "read a producer's last append");
    if (append->options.producer_sequence > value.producer_sequence)
        return FM_OK;
    if (append->options.producer_sequence < value.producer_sequence)
        return fm_fail(err, FM_CONFLICT,
                       "the producer's append %llu came after its append %llu was stored",
                       (unsigned long long)append->options.producer_sequence,
                       (unsigned long long)value.producer_sequence);
    *first = (struct fm_appended){
        .first_sequence = value.first_sequence,
        .rows = value.rows,
        .size = value.size,
        .root = value.root,
        .recorded_at = value.recorded_at,
        .durability = FM_DURABLE_FSYNC,
    };
    *done = true;
    return store_settle(append->store, err);
}

/* ---- Begin --------------------------------------------------------------------------------- */

static enum fm_status find_table(struct fm_append *append, const char *domain, const char *name,
                                 struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *state = state_latest(append->store, domain, name);

    if (state == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, name);
    append->table = state->table;
    append->schema = state->schema; /* Lives as long as the table. */
    if (state->schema->version != append->options.schema_version)
        return fm_fail(err, FM_CONFLICT, "%s.%s has schema version %u, the rows have version %u",
                       domain, name, state->schema->version, append->options.schema_version);
    return table_schema(append->table, state->schema->version, &append->stored);
}

static enum fm_status add_extras(struct fm_append *append, struct fm_error *err)
{
    uint32_t extras = append->options.extras;

    append->column_count = append->schema->field_count;
    if (extras == 0)
        return FM_OK;
    if ((extras & ~FM_EXTRA_ALL) != 0)
        return fm_fail(err, FM_INVALID, "unknown columns of an append");
    append->column_count += fm_extras_count(extras);
    return fm_schema_with_extras(append->schema, extras, &append->input, err);
}

static enum fm_status make_builder(struct fm_append *append)
{
    const struct fm_schema *input = append->input != NULL ? append->input : append->schema;
    uint32_t count = append->column_count;
    struct fm_batch_builder_options options = {.column_count = count, .encode = true};

    append->types = calloc(count, sizeof(const struct fm_type *));
    if (append->types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        append->types[i] = &input->fields[i].type;
    options.types = append->types;
    return fm_batch_builder_new(&options, &append->builder);
}

/* A wrong version is told before the rows are sent; what counts is the size at the commit. */
static enum fm_status check_expected_early(const struct fm_append *append, struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *written = NULL;

    (void)pthread_mutex_lock(&append->store->lock); /* Cannot fail. */
    written = state_retain(append->table->written);
    (void)pthread_mutex_unlock(&append->store->lock);
    return append_check_expected(append, written, err);
}

enum fm_status fm_append_begin(struct fm_store *store, const struct fm_append_options *options,
                               struct fm_append **out, bool *done, struct fm_appended *first,
                               struct fm_error *err)
{
    FM_AUTO(fm_append_abortp) struct fm_append *append = calloc(1, sizeof *append);
    struct fm_appended found = {0};
    bool was_done = false;
    enum fm_status status;

    if (append == NULL)
        return FM_NOMEM;
    append->store = store;
    append->options = *options;
    append->options.domain = NULL;
    append->options.table = NULL;
    status = store_usable(store, err);
    if (status == FM_OK)
        status = find_table(append, options->domain, options->table, err);
    if (status == FM_OK)
        status = append_find_producer(append, &was_done, &found, err);
    if (status != FM_OK)
        return status;
    if (was_done) {
        *done = true;
        *first = found;
        return FM_OK;
    }
    status = check_expected_early(append, err);
    if (status == FM_OK)
        status = store_has_space(store, err);
    if (status == FM_OK)
        status = add_extras(append, err);
    if (status == FM_OK)
        status = make_builder(append);
    if (status == FM_OK)
        status = append_labels_new(append->schema, &append->labels);
    if (status != FM_OK)
        return status;
    *done = false;
    *out = FM_TAKE(append);
    return FM_OK;
}

/* ---- The table to ourselves ------------------------------------------------------------------ */

static void fill_header(struct fm_append *append)
{
    const struct fm_append_options *options = &append->options;
    fm_us last = append->base->recorded_at;

    append->header = (struct fm_fact_header){
        .schema_version = append->schema->version,
        .sequence = append->base->tree.size,
        .recorded_at = fm_hlc_next(&last, fm_now_us(), 0),
        .operation = FM_ASSERT,
        .has_producer = options->has_producer,
        .producer_sequence = options->has_producer ? options->producer_sequence : 0,
        .has_trace = options->has_trace,
    };
    if (options->has_producer)
        memcpy(append->header.producer_id, options->producer_id, 16);
    if (options->has_trace)
        memcpy(append->header.trace_id, options->trace_id, 16);
    fm_assert(append->header.recorded_at > append->base->recorded_at);
}

static enum fm_status make_leaves(struct fm_append *append)
{
    const struct table_value *value = &append->table->value;
    struct fm_leaf_encoder_options options = {
        .schema = append->stored,
        .commitment_key = value->has_commitment_key ? value->commitment_key : NULL,
    };

    return fm_leaf_encoder_new(&options, &append->leaves);
}

enum fm_status append_lock(struct fm_append *append, struct fm_error *err)
{
    enum fm_status status = table_lock_append(append->table, err);

    return status == FM_OK ? append_fix(append, err) : status;
}

enum fm_status append_fix(struct fm_append *append, struct fm_error *err)
{
    struct table *table = append->table;
    enum fm_status status;

    fm_assert(!append->is_locked);
    append->is_locked = true;
    (void)pthread_mutex_lock(&append->store->lock); /* Cannot fail. */
    append->base = state_retain(table->written);
    (void)pthread_mutex_unlock(&append->store->lock);
    if (append->base->schema != append->schema)
        return fm_fail(err, FM_CONFLICT, "%s.%s got schema version %u meanwhile", table->domain,
                       table->name, append->base->schema->version);
    status = append_find_producer(append, &append->is_duplicate, &append->first, err);
    if (status != FM_OK || append->is_duplicate)
        return status;
    fill_header(append);
    append->tree = append->base->tree;
    append->next_segment = append->base->next_segment;
    status = make_leaves(append);
    if (status == FM_OK && append->schema->has_subject)
        status = subject_writer_new(
            table, append->schema, append->types + append->schema->field_count,
            append->column_count - append->schema->field_count, &append->subjects);
    if (status == FM_OK &&
        (schema_is_keyed(append->schema) || (append->options.extras & FM_EXTRA_OP) != 0))
        status = superseded_edit_new(append->base->superseded, &append->superseded);
    return status;
}

void append_unlock(struct fm_append *append)
{
    if (append->is_locked)
        table_unlock_append(append->table);
    append->is_locked = false;
}

/* Most appends are small: no room for a segment's hashes where one row's are wanted. */
static enum fm_status reserve_hashes(struct fm_append *append, uint32_t rows)
{
    if (rows <= append->hash_capacity)
        return FM_OK;
    free(append->hashes);
    append->hash_capacity = 0;
    append->hashes = malloc((size_t)rows * FM_HASH_BYTES);
    if (append->hashes == NULL)
        return FM_NOMEM;
    append->hash_capacity = rows;
    return FM_OK;
}

/* ---- Headers --------------------------------------------------------------------------------- */

struct row_headers append_headers(const struct fm_append *append, const struct fm_batch *batch)
{
    uint32_t extras = append->column_count - append->schema->field_count;

    return row_headers(batch, batch->column_count - extras, append->options.extras,
                       &append->header);
}

struct fm_batch append_fields(const struct fm_append *append, const struct fm_batch *batch)
{
    struct fm_batch fields = *batch; /* Columns come first among the vectors, in order. */

    fields.column_count =
        (uint16_t)(batch->column_count - (append->column_count - append->schema->field_count));
    return fields;
}

bool append_keeps_order(const struct fm_append *append)
{
    return append->schema->cluster_count == 0 ||
           (append->options.extras & (FM_EXTRA_OP | FM_EXTRA_SUPERSEDES)) != 0;
}

enum fm_status append_stored(struct fm_append *append, const struct fm_batch *batch,
                             struct fm_batch *scratch, const struct fm_batch **out,
                             struct fm_error *err)
{
    enum fm_status status = FM_OK;

    fm_assert(append->is_locked);
    *out = batch;
    if (append->subjects == NULL)
        return FM_OK;
    status = subject_writer_rows(append->subjects, batch, append->header.sequence, scratch, err);
    *out = scratch;
    return status;
}

enum fm_status append_hash(struct fm_append *append, const struct fm_batch *batch)
{
    struct row_headers headers = append_headers(append, batch);
    struct fm_batch fields = append_fields(append, batch);
    enum fm_status status = FM_OK;
    uint32_t end;

    fm_assert(append->header.sequence == append->tree.size);
    status = reserve_hashes(append, batch->rows);
    for (uint32_t row = 0; status == FM_OK && row < batch->rows; row = end) {
        struct fm_fact_header header;

        end = row_headers_run(&headers, row);
        row_header(&headers, row, &header);
        status = fm_leaf_hash_rows(append->leaves, &header, &fields, NULL, row, end - row,
                                   append->hashes + (size_t)row * FM_HASH_BYTES);
    }
    if (status != FM_OK)
        return status;
    fm_tree_append_each(&append->tree, append->hashes, batch->rows, subtrees_collect,
                        &append->subtrees);
    return fm_buf_status(&append->subtrees);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum fm_status take_rows(struct fm_append *append, const struct fm_batch *batch,
                                uint32_t first, uint32_t count)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < append->column_count; i++)
        status = fm_batch_put_rows(append->builder, i, batch, i, NULL, first, count, NULL);
    return status;
}

/* The first batch tells, where the options do not. */
static enum fm_status find_extras(struct fm_append *append, const struct fm_batch *batch,
                                  struct fm_error *err)
{
    uint32_t extras = append_extras_of(append->schema, batch);
    enum fm_status status;

    if (append->has_batch || append->options.extras != 0 || extras == 0)
        return FM_OK;
    append->options.extras = extras;
    fm_batch_builder_free(append->builder);
    append->builder = NULL;
    free(append->types);
    append->types = NULL;
    status = add_extras(append, err);
    return status == FM_OK ? make_builder(append) : status;
}

static enum fm_status add_rows(struct fm_append *append, const struct fm_batch *batch,
                               struct fm_error *err)
{
    enum fm_status status = find_extras(append, batch, err);
    uint32_t done = 0;

    append->has_batch = true;
    if (status == FM_OK)
        status = append_check_rows(append, batch, err);

    while (status == FM_OK && !append->is_duplicate && done < batch->rows) {
        uint32_t have = fm_batch_builder_rows(append->builder);
        uint32_t count = batch->rows - done;

        if (have == FM_SEGMENT_ROWS ||
            fm_batch_builder_bytes(append->builder) >= APPEND_PIECE_BYTES) {
            status = append_take_piece(append, err);
            continue;
        }
        if (count > APPEND_SLICE_ROWS)
            count = APPEND_SLICE_ROWS;
        if (count > FM_SEGMENT_ROWS - have)
            count = FM_SEGMENT_ROWS - have;
        status = take_rows(append, batch, done, count);
        done += count;
    }
    append->rows += batch->rows;
    return status;
}

enum fm_status fm_append_rows(struct fm_append *append, const struct fm_batch *batch,
                              struct fm_error *err)
{
    enum fm_status status;

    if (append->failed)
        return fm_fail(err, FM_INVALID, "the append failed before; only abort is possible");
    if (append->is_duplicate)
        return FM_OK; /* The commit answers with the first acknowledgement. */
    status = add_rows(append, batch, err);
    append->failed = status != FM_OK;
    return status;
}

/* ---- End ------------------------------------------------------------------------------------- */

void fm_append_abort(struct fm_append *append)
{
    if (append == NULL)
        return;
    /* Left-overs of an append must be gone before the next one numbers its rows. */
    if (append->is_staged && store_usable(append->store, NULL) == FM_OK &&
        staged_undo(append->table, append->base, NULL) != FM_OK)
        store_poison(append->store);
    append_unlock(append);
    state_release(append->base);
    fm_buf_free(&append->subtrees);
    subject_writer_free(append->subjects);
    fm_leaf_encoder_free(append->leaves);
    free(append->hashes);
    superseded_edit_free(append->superseded);
    column_encoder_free(append->encoder);
    compressor_free(append->compressor);
    piece_deinit(&append->tail);
    for (uint32_t i = 0; i < append->held_count; i++)
        piece_deinit(&append->held[i]);
    for (uint32_t i = 0; i < append->segment_count; i++) {
        if (append->segments[i] != NULL)
            segment_value_deinit(append->segments[i]);
        free(append->segments[i]);
    }
    free(append->segments);
    fm_batch_builder_free(append->builder);
    append_labels_free(append->labels, append->schema);
    free(append->types);
    fm_schema_free(append->input);
    free(append);
}
