/* Large appends: pieces of rows become segments that nothing refers to yet. */
#include "storage/append.h"

#include "core/assert.h"
#include "storage/subtrees.h"

#include <stdlib.h>

/* ---- Order ----------------------------------------------------------------------------------- */

static enum fm_status finish_piece(struct fm_batch_builder *builder, struct piece *out)
{
    enum fm_status status;

    fm_buf_clear(&out->bytes);
    status = fm_batch_builder_finish(builder, 0, &out->bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&out->bytes), &out->batch);
    return status;
}

static enum fm_status put_row(struct fm_append *append, struct fm_batch_builder *builder,
                              const struct fm_batch *batch, uint32_t row)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < append->column_count; i++)
        status = fm_batch_put_rows(builder, i, batch, i, NULL, row, 1, NULL);
    return status;
}

enum fm_status append_sorted(struct fm_append *append, const struct fm_batch *batches,
                             uint32_t count,
                             enum fm_status (*each)(struct fm_append *append,
                                                    const struct fm_batch *batch,
                                                    struct fm_error *err),
                             struct fm_error *err)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(piece_deinit) struct piece piece = {0};
    FM_AUTO(fm_mem_freep) struct cluster_row *rows = NULL;
    struct fm_batch_builder_options options = {
        .types = append->types, .column_count = append->column_count, .encode = true};
    size_t row_count = 0;
    enum fm_status status = cluster_sort(append->schema, batches, count, &rows, &row_count);

    if (status == FM_OK)
        status = fm_batch_builder_new(&options, &builder);
    for (size_t i = 0; status == FM_OK && i < row_count; i++) {
        status = put_row(append, builder, &batches[rows[i].batch], rows[i].row);
        if (status != FM_OK ||
            (i + 1 < row_count && fm_batch_builder_rows(builder) < FM_SEGMENT_ROWS &&
             fm_batch_builder_bytes(builder) < APPEND_PIECE_BYTES))
            continue;
        status = finish_piece(builder, &piece);
        if (status == FM_OK)
            status = each(append, &piece.batch, err);
    }
    return status;
}

/* ---- One segment ----------------------------------------------------------------------------- */

struct hashing {
    struct fm_append *append;
    const struct fm_batch *batch;
    enum fm_status status;
};

static void *hash_thread(void *argument)
{
    struct hashing *hashing = argument;

    hashing->status = append_hash(hashing->append, hashing->batch);
    return NULL;
}

static enum fm_status stage_column(struct fm_append *append, const struct fm_batch *batch,
                                   uint32_t column, struct segment_value *segment,
                                   struct fm_buf *value, struct rocks_batch *writes,
                                   struct fm_error *err)
{
    struct segment_field *field = &segment->fields[column];
    const struct fm_field *described = &append->stored->fields[column];
    struct key key = key_column(append->table->id, segment->id, described->id);
    enum fm_status status;

    fm_buf_clear(value);
    status = column_encode(append->encoder, batch, column, &described->type, value, field);
    if (status != FM_OK)
        return status;
    field->id = described->id;
    rocks_batch_clear(writes);
    rocks_batch_put(writes, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(value));
    return rocks_write(append->store->rocks, writes, false, err);
}

static enum fm_status stage_columns(struct fm_append *append, const struct fm_batch *batch,
                                    struct segment_value *segment, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *writes = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = rocks_batch_new(append->store->rocks, &writes);

    for (uint32_t i = 0; status == FM_OK && i < segment->field_count; i++)
        status = stage_column(append, batch, i, segment, &value, writes, err);
    return status;
}

static enum fm_status stage_keys(struct fm_append *append, const struct fm_batch *batch,
                                 struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *writes = NULL;
    enum fm_status status;

    if (append->superseded == NULL)
        return FM_OK;
    status = rocks_batch_new(append->store->rocks, &writes);
    if (status == FM_OK)
        status = append_supersede(append, batch, writes, err);
    return status == FM_OK ? rocks_write(append->store->rocks, writes, false, err) : status;
}

static enum fm_status stage_subtrees(struct fm_append *append, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *writes = NULL;
    enum fm_status status = rocks_batch_new(append->store->rocks, &writes);

    if (status == FM_OK)
        status = subtrees_put(append->table, &append->subtrees, writes);
    return status == FM_OK ? rocks_write(append->store->rocks, writes, false, err) : status;
}

/* A span for each run of rows with equal headers. */
static enum fm_status make_spans(struct fm_append *append, const struct fm_batch *batch,
                                 struct segment_value *segment)
{
    struct row_headers headers = append_headers(append, batch);
    uint32_t count = row_headers_runs(&headers);
    uint32_t row = 0;

    segment->spans = calloc(count, sizeof *segment->spans);
    if (segment->spans == NULL)
        return FM_NOMEM;
    segment->span_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct segment_span *span = &segment->spans[i];

        span->rows = row_headers_run(&headers, row) - row;
        row_header(&headers, row, &span->header);
        row += span->rows;
    }
    fm_assert(row == batch->rows);
    return FM_OK;
}

/* An empty record among the append's segments, to be filled. */
static enum fm_status new_segment(struct fm_append *append, const struct fm_batch *batch,
                                  struct segment_value **out)
{
    struct segment_value *segment;

    if (append->segment_count == append->segment_capacity) {
        uint32_t capacity = append->segment_capacity == 0 ? 16 : append->segment_capacity * 2;
        struct segment_value **segments =
            realloc(append->segments, capacity * sizeof(struct segment_value *));

        if (segments == NULL)
            return FM_NOMEM;
        append->segments = segments;
        append->segment_capacity = capacity;
    }
    segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return FM_NOMEM;
    append->segments[append->segment_count++] = segment;
    segment->fields = calloc(append->stored->field_count, sizeof *segment->fields);
    if (segment->fields == NULL)
        return FM_NOMEM;
    segment->id = append->next_segment++;
    segment->first_sequence = append->header.sequence;
    segment->rows = batch->rows;
    segment->schema_version = append->schema->version;
    segment->field_count = append->stored->field_count;
    *out = segment;
    return make_spans(append, batch, segment);
}

/* Many headers have a value of their own (spans.h). */
static enum fm_status stage_spans(struct fm_append *append, struct segment_value *segment,
                                  struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *writes = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_spans(append->table->id, segment->id);
    enum fm_status status = FM_OK;

    if (segment->span_count <= SEGMENT_SPANS_INLINE_MAX)
        return FM_OK;
    if (append->compressor == NULL)
        status = compressor_new(&append->compressor);
    if (status == FM_OK)
        status = spans_encode(append->compressor, segment->spans, segment->span_count, &value);
    if (status == FM_OK)
        status = rocks_batch_new(append->store->rocks, &writes);
    if (status != FM_OK)
        return status;
    segment->first_recorded_at = segment->last_recorded_at = append->header.recorded_at;
    free(FM_TAKE(segment->spans));
    rocks_batch_put(writes, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    return rocks_write(append->store->rocks, writes, false, err);
}

/* Hashing takes about as long as encoding and writing: do both at once. */
static enum fm_status stage_segment(struct fm_append *append, const struct fm_batch *batch,
                                    struct fm_error *err)
{
    struct hashing hashing = {.append = append};
    struct fm_batch scratch;
    struct segment_value *segment = NULL;
    enum fm_status status = store_has_space(append->store, err);
    pthread_t thread;
    bool has_thread;

    if (status == FM_OK)
        status = append_stored(append, batch, &scratch, &hashing.batch, err);
    if (status == FM_OK)
        status = new_segment(append, batch, &segment);
    if (status != FM_OK)
        return status;
    has_thread = pthread_create(&thread, NULL, hash_thread, &hashing) == 0;
    status = stage_columns(append, hashing.batch, segment, err);
    if (status == FM_OK)
        status = stage_spans(append, segment, err);
    if (status == FM_OK)
        status = stage_keys(append, batch, err);
    if (has_thread)
        (void)pthread_join(thread, NULL); /* A thread of our own that exists. */
    else
        (void)hash_thread(&hashing); /* No thread to be had: one after the other. */
    if (status == FM_OK)
        status = hashing.status;
    if (status == FM_OK)
        status = stage_subtrees(append, err);
    append->header.sequence += batch->rows;
    return status;
}

static enum fm_status keep_tail(struct fm_append *append, const struct fm_batch *batch)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    struct fm_batch_builder_options options = {.types = append->types,
                                               .column_count = append->column_count};
    enum fm_status status;

    if (append_keeps_order(append))
        return FM_OK;
    status = fm_batch_builder_new(&options, &builder);
    if (status == FM_OK)
        status = put_row(append, builder, batch, batch->rows - 1);
    if (status == FM_OK)
        status = finish_piece(builder, &append->tail);
    append->has_tail = status == FM_OK;
    return status;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

static enum fm_status begin_staging(struct fm_append *append, struct fm_error *err)
{
    enum fm_status status;

    if (append->is_staged || append->is_duplicate)
        return FM_OK;
    status = append_lock(append, err);
    if (status == FM_OK && !append->is_duplicate)
        status = column_encoder_new(&append->encoder);
    if (status != FM_OK || append->is_duplicate)
        return status;
    status = staged_begin(append->table, append->base, err);
    append->is_staged = status == FM_OK;
    return status;
}

static enum fm_status stage_held(struct fm_append *append, struct fm_error *err)
{
    struct fm_batch batches[APPEND_HELD_MAX];
    enum fm_status status;

    if (append->held_count == 0)
        return FM_OK;
    for (uint32_t i = 0; i < append->held_count; i++)
        batches[i] = append->held[i].batch;
    status = append_sorted(append, batches, append->held_count, stage_segment, err);
    while (append->held_count > 0)
        piece_deinit(&append->held[--append->held_count]);
    /* What comes later is sorted by itself: overlapping runs are allowed, just slower to read. */
    append->has_tail = false;
    return status;
}

enum fm_status append_take_piece(struct fm_append *append, struct fm_error *err)
{
    FM_AUTO(piece_deinit) struct piece piece = {0};
    enum fm_status status = begin_staging(append, err);

    if (status == FM_OK)
        status = finish_piece(append->builder, &piece);
    if (status != FM_OK || append->is_duplicate)
        return status;
    if (append->held_count == 0 &&
        (append_keeps_order(append) ||
         cluster_in_order(append->schema, &piece.batch,
                          append->has_tail ? &append->tail.batch : NULL, 0))) {
        status = stage_segment(append, &piece.batch, err);
        return status == FM_OK ? keep_tail(append, &piece.batch) : status;
    }
    append->held[append->held_count++] = piece;
    piece = (struct piece){0}; /* Held now. */
    return append->held_count == APPEND_HELD_MAX ? stage_held(append, err) : FM_OK;
}

enum fm_status append_stage_rest(struct fm_append *append, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (fm_batch_builder_rows(append->builder) > 0)
        status = append_take_piece(append, err);
    if (status == FM_OK && !append->is_duplicate)
        status = stage_held(append, err);
    /* What was staged is no more in the log then, so the next opening has not to replay it. */
    if (status == FM_OK && append->is_staged)
        status = rocks_shorten_log(append->store->rocks, err);
    return status;
}
