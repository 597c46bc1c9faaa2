/* What makes an append visible: its table's part of a write batch, and the commit of one table. */
#include "storage/append.h"

#include "core/assert.h"
#include "storage/subtrees.h"

struct commit {
    struct fm_append *append;
    struct rocks_batch *batch; /* Borrowed. */
    struct table_state *next;
    struct fm_buf value; /* Scratch. */
};

static void commit_deinit(struct commit *commit)
{
    state_release(commit->next);
    fm_buf_free(&commit->value);
}

static enum fm_status put_value(struct commit *commit, enum rocks_family family,
                                const struct key *key)
{
    enum fm_status status = fm_buf_status(&commit->value);

    if (status == FM_OK)
        rocks_batch_put(commit->batch, family, key_span(key), fm_buf_span(&commit->value));
    fm_buf_clear(&commit->value);
    return status;
}

static enum fm_status put_window(void *context, uint64_t window, struct fm_span value)
{
    struct commit *commit = context;
    struct key key = key_window(commit->append->table->id, window);

    rocks_batch_put(commit->batch, ROCKS_SEGMENTS, key_span(&key), value);
    return FM_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* Rows with one header but for the sequence. */
static enum fm_status put_run(struct fm_append *append, struct fm_span batch,
                              const struct fm_fact_header *header, struct commit *commit)
{
    struct hot_value hot = {.header = *header, .batch = batch};
    struct key key = key_hot(append->table->id, header->sequence);

    hot_encode(&commit->value, &hot);
    commit->next->hot_values++;
    commit->next->hot_bytes += commit->value.len;
    return put_value(commit, ROCKS_HOT, &key);
}

/* Without the columns that went into the headers. */
static enum fm_status put_runs(struct fm_append *append, const struct fm_batch *rows,
                               struct commit *commit)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct row_headers headers = append_headers(append, rows);
    uint32_t count = append->stored->field_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(count, sizeof(const struct fm_type *));
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = true};
    enum fm_status status;
    uint32_t end;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        types[i] = &append->stored->fields[i].type;
    status = fm_batch_builder_new(&options, &builder);

    for (uint32_t row = 0; status == FM_OK && row < rows->rows; row = end) {
        struct fm_fact_header header;

        end = row_headers_run(&headers, row);
        row_header(&headers, row, &header);
        for (uint32_t i = 0; status == FM_OK && i < count; i++)
            status = fm_batch_put_rows(builder, i, rows, i, NULL, row, end - row, NULL);
        fm_buf_clear(&bytes);
        if (status == FM_OK)
            status = fm_batch_builder_finish(builder, 0, &bytes);
        if (status == FM_OK)
            status = put_run(append, fm_buf_span(&bytes), &header, commit);
    }
    return status;
}

static enum fm_status put_hot(struct fm_append *append, const struct fm_batch *rows,
                              struct commit *commit, struct fm_error *err)
{
    const struct fm_batch *stored = NULL;
    struct fm_batch scratch;
    enum fm_status status = append_stored(append, rows, &scratch, &stored, err);

    if (status == FM_OK)
        status = append_hash(append, stored);
    if (status == FM_OK)
        status = subtrees_put(append->table, &append->subtrees, commit->batch);
    if (status == FM_OK && append->superseded != NULL)
        status = append_supersede(append, rows, commit->batch, err);
    if (status == FM_OK && append->options.extras == 0)
        status =
            put_run(append, fm_span(stored->bytes, stored->total_bytes), &append->header, commit);
    else if (status == FM_OK)
        status = put_runs(append, stored, commit);
    append->header.sequence += rows->rows;
    commit->next->hot_rows += rows->rows;
    return status;
}

/* Rows of a small append, in their final order. */
struct small {
    struct fm_buf bytes;
    struct fm_batch batch;
};

static void small_deinit(struct small *small)
{
    fm_buf_free(&small->bytes);
}

static enum fm_status order_small(struct fm_append *append, struct small *small)
{
    FM_AUTO(fm_mem_freep) struct cluster_row *order = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf sorted = FM_BUF_INIT(0);
    size_t count = 0;
    enum fm_status status;

    if (append_keeps_order(append) || cluster_in_order(append->schema, &small->batch, NULL, 0))
        return FM_OK;
    status = cluster_sort(append->schema, &small->batch, 1, &order, &count);
    for (size_t i = 0; status == FM_OK && i < count; i++) {
        for (uint32_t c = 0; status == FM_OK && c < append->column_count; c++)
            status = fm_batch_put_rows(append->builder, c, &small->batch, c, NULL, order[i].row, 1,
                                       NULL);
    }
    if (status == FM_OK)
        status = fm_batch_builder_finish(append->builder, 0, &sorted);
    if (status != FM_OK)
        return status;
    fm_buf_free(&small->bytes);
    small->bytes = sorted;
    sorted = FM_BUF_INIT(0);
    return fm_batch_view_trusted(fm_buf_span(&small->bytes), &small->batch);
}

static enum fm_status put_small(struct fm_append *append, struct commit *commit,
                                struct fm_error *err)
{
    FM_AUTO(small_deinit) struct small small = {0};
    enum fm_status status;

    if (fm_batch_builder_rows(append->builder) == 0)
        return FM_OK;
    status = fm_batch_builder_finish(append->builder, 0, &small.bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&small.bytes), &small.batch);
    if (status == FM_OK)
        status = order_small(append, &small);
    return status == FM_OK ? put_hot(append, &small.batch, commit, err) : status;
}

static enum fm_status put_segments(struct fm_append *append, struct commit *commit)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < append->segment_count; i++) {
        struct segment_value *segment = append->segments[i];
        struct key key = key_segment(append->table->id, segment->first_sequence);

        segment_value_encode(&commit->value, segment);
        status = put_value(commit, ROCKS_SEGMENTS, &key);
        if (status == FM_OK)
            status = state_add_segment(commit->next, segment);
        if (status == FM_OK)
            append->segments[i] = NULL; /* The table's now. */
    }
    staged_end(append->table, commit->batch);
    commit->next->next_segment = append->next_segment;
    return status;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static enum fm_status put_producer(struct fm_append *append, const struct fm_appended *appended,
                                   struct commit *commit)
{
    struct producer_value value = {
        .producer_sequence = append->options.producer_sequence,
        .first_sequence = appended->first_sequence,
        .rows = appended->rows,
        .size = appended->size,
        .root = appended->root,
        .recorded_at = appended->recorded_at,
    };
    struct key key = key_producer(append->table->id, append->options.producer_id);

    if (!append->options.has_producer)
        return FM_OK;
    producer_encode(&commit->value, &value);
    return put_value(commit, ROCKS_PRODUCERS, &key);
}

static enum fm_status put_state(struct fm_append *append, struct commit *commit)
{
    struct table_state *next = commit->next;
    struct key key = key_table(KEYS_META_STATE, append->table->id);
    struct state_value value;
    enum fm_status status = FM_OK;

    next->tree = append->tree;
    fm_tree_root(&next->tree, &next->root);
    if (append->rows > 0)
        next->recorded_at = append->header.recorded_at;
    if (append->superseded != NULL) {
        status = superseded_edit_each(append->superseded, put_window, commit);
        superseded_release(next->superseded);
        next->superseded = superseded_edit_take(append->superseded);
    }
    state_to_value(next, &value);
    state_encode(&commit->value, &value);
    return status == FM_OK ? put_value(commit, ROCKS_META, &key) : status;
}

struct fm_appended append_describe(const struct fm_append *append, const struct table_state *state)
{
    return (struct fm_appended){
        .first_sequence = append->base->tree.size,
        .rows = append->rows,
        .size = state->tree.size,
        .root = state->root,
        .recorded_at = state->recorded_at,
        .durability = FM_DURABLE_FSYNC,
    };
}

enum fm_status append_put(struct fm_append *append, struct rocks_batch *batch,
                          struct commit_what *what, struct table_state **next, struct fm_error *err)
{
    FM_AUTO(commit_deinit) struct commit commit = {.append = append, .batch = batch};
    enum fm_status status = state_copy(append->base, &commit.next);

    fm_assert(append->is_locked);
    if (status == FM_OK)
        status =
            append->is_staged ? put_segments(append, &commit) : put_small(append, &commit, err);
    if (status == FM_OK)
        status = put_state(append, &commit);
    if (status != FM_OK)
        return status;
    fm_assert(commit.next->tree.size == append->base->tree.size + append->rows);
    append->appended = append_describe(append, commit.next);
    status = put_producer(append, &append->appended, &commit);
    if (status != FM_OK)
        return status;
    *what = commit_what_append(append->table->id, commit.next->tree.size, &commit.next->root);
    *next = FM_TAKE(commit.next);
    return FM_OK;
}

/* ---- One table ------------------------------------------------------------------------------- */

void append_count(const struct fm_append *append)
{
    atomic_fetch_add(&append->table->appended_facts, append->rows);
    atomic_fetch_add(&append->table->appended_bytes, fm_leaf_encoder_bytes(append->leaves));
}

/* Answered at once: its thread need not wait. */
static enum fm_status write_late(struct fm_append *append, struct rocks_batch *batch,
                                 const struct commit_what *what, struct table_state *next,
                                 struct fm_error *err)
{
    enum fm_status status = commit_write_group(append->store, batch, what, &next, 1, NULL, err);

    if (status != FM_OK)
        return status;
    append->is_staged = false; /* Nothing to undo. */
    append->appended.durability = FM_DURABLE_MEMORY;
    append_count(append);
    return FM_OK;
}

/* All but the sync. Once `written` is set, an append whose thread sleeps may be gone. */
static enum fm_status write_commit(struct fm_append *append, bool *written, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(state_releasep) struct table_state *next = NULL;
    struct commit_what what;
    enum fm_status status = rocks_batch_new(append->store->rocks, &batch);

    if (status == FM_OK)
        status = append_put(append, batch, &what, &next, err);
    if (status != FM_OK)
        return status;
    if (append->options.durability == FM_DURABLE_MEMORY && late_sync_start(append->store)) {
        status = write_late(append, batch, &what, next, err);
        if (status == FM_OK)
            next = NULL; /* The store's now. */
        return status;
    }
    append->is_written = true;
    if (!append->is_staged)
        append->is_locked = false; /* The table belongs to whose turn it is. */
    status = commit_write(append->store, batch, &what, next, &append->pending, err);
    if (status == FM_OK) {
        next = NULL; /* The store's now. */
        *written = true;
        return FM_OK;
    }
    append->is_written = false;
    return status;
}

bool append_is_small(const struct fm_append *append)
{
    return !append->is_staged && append->rows <= FM_SMALL_APPEND_ROWS &&
           fm_batch_builder_bytes(append->builder) <= APPEND_SMALL_BYTES;
}

/* With the table locked and sequence and time fixed. */
static enum fm_status write_if_wanted(struct fm_append *append, bool *written, struct fm_error *err)
{
    enum fm_status status;

    if (append->is_duplicate) {
        append->appended = append->first;
        return FM_OK;
    }
    status = append_check_expected(append, append->base, err);
    if (status != FM_OK)
        return status;
    if (append->rows == 0 && !append->options.has_producer) {
        append->appended = append_describe(append, append->base);
        return store_settle(append->store, err);
    }
    return write_commit(append, written, err);
}

static enum fm_status commit_staged(struct fm_append *append, struct fm_error *err)
{
    bool written = false;
    enum fm_status status = append->is_duplicate ? FM_OK : append_stage_rest(append, err);

    if (status == FM_OK)
        status = write_if_wanted(append, &written, err);
    if (written) {
        append->is_staged = false; /* Nothing to undo. */
        append_unlock(append);     /* The table's next append shares the sync. */
    }
    return status;
}

/* The table is locked by whoever calls, and stays so. */
static enum fm_status run_small(struct fm_append *append, bool *written, struct fm_error *err)
{
    enum fm_status status = append_fix(append, err);

    if (status == FM_OK)
        status = write_if_wanted(append, written, err);
    if (!*written)
        append->is_locked = false;
    return status;
}

/* By a thread that has the table, while the append's own sleeps. */
static void run_for_other(struct table_turn *turn)
{
    struct fm_append *append =
        (struct fm_append *)(void *)((char *)turn - offsetof(struct fm_append, turn));
    bool written = false;
    enum fm_status status;

    append->pending.told = &turn->told;
    status = run_small(append, &written, &append->error);
    if (written)
        return; /* Its thread is told when that is synced. */
    append->status = status;
    turn_tell(turn);
}

static enum fm_status commit_small(struct fm_append *append, struct fm_error *err)
{
    struct table *table = append->table;
    bool written = false;
    enum fm_status status = turn_take(table, &append->turn, run_for_other, err);

    if (status == FM_OK && turn_is_ours(&append->turn)) {
        status = run_small(append, &written, err);
        turn_run_others(table);
        turn_end(table);
    } else if (status == FM_OK && !append->is_written) {
        status = append->status;
        if (status != FM_OK && err != NULL)
            *err = append->error;
    }
    turn_deinit(&append->turn);
    return status;
}

enum fm_status append_commit(struct fm_append *append, struct fm_appended *out,
                             struct fm_error *err)
{
    enum fm_status status = store_has_space(append->store, err);

    if (status == FM_OK && !append->is_locked && append_is_small(append))
        status = commit_small(append, err);
    else if (status == FM_OK)
        status = commit_staged(append, err);
    if (status == FM_OK && append->is_written)
        status = commit_wait(append->store, &append->pending, err);
    if (status == FM_OK && append->is_written)
        append_count(append);
    if (status == FM_OK)
        *out = append->appended;
    return status;
}
