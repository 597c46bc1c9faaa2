/* Neighbouring small segments become one.
 *
 * They are read through a snapshot and put together while appends go on, one column after the
 * other; then one commit puts the new segment in their place and deletes their values (sealed.h).
 * Readers have the states and RocksDB's snapshot of one sync, so older ones keep the old values.
 * Rows stand by the clustering key, those with equal keys by sequence. */
#include "storage/merge_plan.h"
#include "storage/order.h"
#include "storage/sealed.h"

#include "core/assert.h"

#include <stdlib.h>

struct input {
    struct unit unit;
    struct unit_order order;
    struct loaded column; /* The one at hand. */
};

struct merge {
    struct sealing sealing;
    const struct fm_schema *schema;
    struct merge_run run;
    uint32_t rows;
    struct input inputs[MERGE_INPUTS_MAX];
    struct cluster_row *places; /* Of each row: in which input (`batch`), and where. */
    struct sealed *sealed;
};

static void merge_freep(struct merge **merge)
{
    if (*merge == NULL)
        return;
    for (uint32_t i = 0; i < (*merge)->run.count; i++) {
        unit_order_close(&(*merge)->inputs[i].order);
        loaded_release(&(*merge)->inputs[i].column);
    }
    free((*merge)->places);
    sealed_free((*merge)->sealed);
    free(*merge);
}

static enum fm_status fail_damaged(const struct merge *merge, struct fm_error *err)
{
    const struct table *table = merge->sealing.table;

    return fm_fail(err, FM_CORRUPT,
                   "%s.%s: the segments from fact %llu on are damaged; restore the folder from a "
                   "backup",
                   table->domain, table->name,
                   (unsigned long long)merge->inputs[0].unit.first_sequence);
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

static enum fm_status open_inputs(struct merge *merge, struct fm_error *err)
{
    const struct table_state *state = merge->sealing.state;
    const struct rocks_snapshot *rocks = merge->sealing.view->rocks;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++) {
        const struct segment_value *segment = state->segments->items[merge->run.first + i];
        struct input *input = &merge->inputs[i];

        input->unit = (struct unit){
            .first_sequence = segment->first_sequence, .rows = segment->rows, .segment = segment};
        merge->rows += segment->rows;
        status = unit_open_offsets(state, rocks, &input->unit, &input->order, err);
        if (status == FM_OK)
            status = unit_open_rows(state, rocks, &input->unit, &input->order, err);
    }
    if (status == FM_OK)
        status = table_schema(merge->sealing.table, merge->inputs[0].unit.segment->schema_version,
                              &merge->schema);
    return status == FM_CORRUPT && merge->schema == NULL ? fail_damaged(merge, err) : status;
}

/* The column of all inputs, in stored order. */
static enum fm_status load_inputs(struct merge *merge, const struct fm_field *field,
                                  struct sealed_source *sources, struct fm_error *err)
{
    const struct table_state *state = merge->sealing.state;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++) {
        FM_AUTO(stored_column_close) struct stored_column stored = {0};
        struct input *input = &merge->inputs[i];
        const struct segment_value *segment = input->unit.segment;

        loaded_release(&input->column);
        status =
            stored_column_open(state, merge->sealing.view->rocks, segment, field, &stored, err);
        if (status == FM_OK)
            status = load_blocks(state, segment, field, &stored, NULL, 0, stored.column.block_count,
                                 &input->column, err);
        sources[i] = (struct sealed_source){&input->column.batch, 0};
    }
    return status == FM_NOTFOUND ? fail_damaged(merge, err) : status;
}

static enum fm_status add_spans(struct merge *merge, struct fm_error *err)
{
    uint64_t next = merge->inputs[0].unit.first_sequence;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++) {
        FM_AUTO(fm_mem_freep) struct segment_span *loaded = NULL;
        const struct segment_value *segment = merge->inputs[i].unit.segment;
        const struct segment_span *spans = NULL;

        status = segment_spans(merge->sealing.state, merge->sealing.view->rocks, segment, &loaded,
                               &spans, err);
        for (uint32_t j = 0; status == FM_OK && j < segment->span_count; j++) {
            if (spans[j].header.sequence != next)
                return fail_damaged(merge, err);
            next += spans[j].rows;
        }
        if (status == FM_OK)
            status = sealed_add_spans(merge->sealed, spans, segment->span_count);
    }
    return status;
}

/* ---- Where rows come from -------------------------------------------------------------------- */

static enum fm_status order_by_sequence(struct merge *merge)
{
    uint32_t at = 0;

    merge->places = calloc(merge->rows, sizeof *merge->places);
    if (merge->places == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < merge->run.count; i++) {
        const struct unit *unit = &merge->inputs[i].unit;

        for (uint32_t offset = 0; offset < unit->rows; offset++)
            merge->places[at++] = (struct cluster_row){
                .batch = i, .row = unit_row(unit, unit->first_sequence + offset)};
    }
    return FM_OK;
}

/* The clustering key's columns of all inputs, side by side. */
struct keys {
    struct fm_schema schema; /* Of them alone. */
    struct fm_field fields[FM_KEY_FIELDS_MAX];
    const struct fm_type *types[FM_KEY_FIELDS_MAX];
    struct fm_batch_builder *builders[MERGE_INPUTS_MAX];
    struct fm_buf bytes[MERGE_INPUTS_MAX];
    struct fm_batch batches[MERGE_INPUTS_MAX];
};

static void keys_freep(struct keys **keys)
{
    for (uint32_t i = 0; *keys != NULL && i < MERGE_INPUTS_MAX; i++) {
        fm_batch_builder_free((*keys)->builders[i]);
        fm_buf_free(&(*keys)->bytes[i]);
    }
    free(*keys);
}

static enum fm_status begin_keys(const struct merge *merge, struct keys *keys)
{
    const struct fm_schema *schema = merge->schema;
    struct fm_batch_builder_options options = {
        .types = keys->types, .column_count = schema->cluster_count, .encode = true};
    enum fm_status status = FM_OK;

    keys->schema = (struct fm_schema){.field_count = schema->cluster_count,
                                      .fields = keys->fields,
                                      .cluster_count = schema->cluster_count};
    for (uint32_t i = 0; i < schema->cluster_count; i++) {
        keys->fields[i] = schema->fields[schema->cluster[i]];
        keys->types[i] = &keys->fields[i].type;
        keys->schema.cluster[i] = (uint16_t)i;
    }
    for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++)
        status = fm_batch_builder_new(&options, &keys->builders[i]);
    return status;
}

static enum fm_status fill_keys(struct merge *merge, struct keys *keys, struct fm_error *err)
{
    struct sealed_source sources[MERGE_INPUTS_MAX];
    enum fm_status status = FM_OK;

    for (uint32_t c = 0; status == FM_OK && c < keys->schema.field_count; c++) {
        status = load_inputs(merge, &keys->fields[c], sources, err);
        for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++)
            status = fm_batch_put_rows(keys->builders[i], c, sources[i].batch, 0, NULL, 0,
                                       merge->inputs[i].unit.rows, NULL);
    }
    for (uint32_t i = 0; status == FM_OK && i < merge->run.count; i++) {
        keys->bytes[i] = FM_BUF_INIT(0);
        status = fm_batch_builder_finish(keys->builders[i], 0, &keys->bytes[i]);
        if (status == FM_OK)
            status = fm_batch_view_trusted(fm_buf_span(&keys->bytes[i]), &keys->batches[i]);
    }
    return status;
}

/* Inputs are sorted by key, then sequence, and follow each other: so equal keys stay in order. */
static enum fm_status order_by_key(struct merge *merge, struct fm_error *err)
{
    FM_AUTO(keys_freep) struct keys *keys = calloc(1, sizeof *keys);
    size_t count = 0;
    enum fm_status status = keys == NULL ? FM_NOMEM : begin_keys(merge, keys);

    if (status == FM_OK)
        status = fill_keys(merge, keys, err);
    if (status == FM_OK)
        status =
            cluster_sort(&keys->schema, keys->batches, merge->run.count, &merge->places, &count);
    if (status == FM_OK)
        fm_assert(count == merge->rows);
    return status;
}

static enum fm_status set_order(struct merge *merge)
{
    FM_AUTO(fm_mem_freep) uint32_t *offsets = calloc(merge->rows, sizeof *offsets);
    uint64_t first = merge->inputs[0].unit.first_sequence;

    if (offsets == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < merge->rows; i++) {
        const struct cluster_row *place = &merge->places[i];

        offsets[i] =
            (uint32_t)(unit_sequence(&merge->inputs[place->batch].unit, place->row) - first);
    }
    return sealed_set_order(merge->sealed, offsets);
}

/* ---- The new segment ------------------------------------------------------------------------- */

static enum fm_status build(struct merge *merge, struct fm_error *err)
{
    struct sealed_source sources[MERGE_INPUTS_MAX];
    enum fm_status status = open_inputs(merge, err);

    if (status == FM_OK)
        status = sealed_new(merge->sealing.table, merge->schema,
                            merge->inputs[0].unit.first_sequence, &merge->sealed);
    if (status == FM_OK)
        status = add_spans(merge, err);
    if (status == FM_OK)
        status =
            merge->schema->cluster_count > 0 ? order_by_key(merge, err) : order_by_sequence(merge);
    if (status == FM_OK)
        status = set_order(merge);
    for (uint32_t i = 0; status == FM_OK && i < merge->schema->field_count; i++) {
        status = load_inputs(merge, &merge->schema->fields[i], sources, err);
        if (status == FM_OK)
            status = sealed_gather_column(merge->sealed, i, sources, merge->places);
    }
    return status;
}

static void delete_key(struct rocks_batch *batch, struct key key)
{
    rocks_batch_delete(batch, ROCKS_SEGMENTS, key_span(&key));
}

static void delete_values(struct rocks_batch *batch, uint32_t table,
                          const struct segment_value *segment)
{
    for (uint32_t i = 0; i < segment->field_count; i++)
        delete_key(batch, key_column(table, segment->id, segment->fields[i].id));
    if (segment->has_order)
        delete_key(batch, key_column(table, segment->id, SEGMENT_ORDER_FIELD));
    if (segment->spans == NULL)
        delete_key(batch, key_spans(table, segment->id));
}

/* Where the first input is in the latest state; all must follow it still. */
static enum fm_status find_inputs(const struct merge *merge, const struct table_state *next,
                                  uint32_t *place, struct fm_error *err)
{
    uint32_t count = next->segment_count;
    uint32_t at = 0;

    while (at < count && next->segments->items[at] != merge->inputs[0].unit.segment)
        at++;
    for (uint32_t i = 0; i < merge->run.count; i++) {
        if (at + i >= count || next->segments->items[at + i] != merge->inputs[i].unit.segment)
            return fm_fail(err, FM_BUSY, "%s.%s: segments changed while they were merged",
                           next->table->domain, next->table->name);
    }
    *place = at;
    return FM_OK;
}

static enum fm_status replace_inputs(void *context, struct segment_value *segment,
                                     struct table_state *next, struct rocks_batch *batch,
                                     struct fm_error *err)
{
    const struct merge *merge = context;
    uint32_t table = merge->sealing.table->id;
    uint32_t place = 0;
    enum fm_status status = find_inputs(merge, next, &place, err);

    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < merge->run.count; i++) {
        const struct segment_value *old = merge->inputs[i].unit.segment;

        if (i > 0) /* The first one's record is overwritten. */
            delete_key(batch, key_segment(table, old->first_sequence));
        delete_values(batch, table, old);
    }
    return state_replace_segments(next, place, merge->run.count, segment);
}

/* Too large together: the largest is left alone from now on. */
static void mark_large(const struct merge *merge)
{
    struct segment_value *const *items = merge->sealing.state->segments->items + merge->run.first;
    struct segment_value *largest = items[0];
    uint64_t most = 0;

    for (uint32_t i = 0; i < merge->run.count; i++) {
        uint64_t bytes = 0;

        for (uint32_t c = 0; c < items[i]->field_count; c++)
            bytes += items[i]->fields[c].stored_bytes;
        if (bytes > most)
            largest = items[i];
        most = bytes > most ? bytes : most;
    }
    atomic_store(&largest->is_large, true);
}

static enum fm_status merge_run(const struct sealing *sealing, const struct merge_run *run,
                                uint64_t *rows, struct fm_error *err)
{
    FM_AUTO(merge_freep) struct merge *merge = calloc(1, sizeof *merge);
    struct sealed_commit commit = {.replace = replace_inputs, .context = merge};
    enum fm_status status = store_has_space(sealing->table->store, err);

    if (merge == NULL)
        return FM_NOMEM;
    if (status != FM_OK)
        return status;
    merge->sealing = *sealing;
    merge->run = *run;
    status = build(merge, err);
    if (status == FM_LIMIT) {
        mark_large(merge);
        return FM_OK;
    }
    if (status != FM_OK)
        return status;
    commit.what =
        commit_what_merge(sealing->table->id, merge->inputs[0].unit.first_sequence, merge->rows);
    status = sealed_write(merge->sealed, &commit, err);
    if (status == FM_OK)
        *rows += merge->rows;
    return status;
}

/* ---- One table ------------------------------------------------------------------------------- */

/* The index of the first segment that begins at `sequence` or later. */
static uint32_t first_from(const struct table_state *state, uint64_t sequence)
{
    uint32_t i = 0;

    while (i < state->segment_count && state->segments->items[i]->first_sequence < sequence)
        i++;
    return i;
}

/* The next run from sequence `*from` on, which moves behind it. */
static enum fm_status merge_next(struct sealing *sealing, bool eager, uint64_t *from,
                                 uint64_t *rows, bool *is_done, struct fm_error *err)
{
    const struct table_state *state = sealing->state;
    struct merge_run run;

    if (state->segment_count < 2 || !merge_plan(state->segments->items, state->segment_count,
                                                first_from(state, *from), eager, &run)) {
        sealing->nothing_to_merge = !eager;
        *is_done = true;
        return FM_OK;
    }
    *from = state->segments->items[run.first + run.count - 1]->first_sequence;
    return merge_run(sealing, &run, rows, err);
}

enum fm_status merge_table(struct fm_store *store, const char *domain, const char *table,
                           bool eager, uint64_t *rows, struct fm_error *err)
{
    uint64_t from = 0, sum = 0;
    bool is_done = false;
    enum fm_status status = store_usable(store, err);

    while (status == FM_OK && !is_done) {
        FM_AUTO(sealing_end) struct sealing sealing = {0};

        status = sealing_begin(store, domain, table, &sealing, err);
        if (status == FM_OK)
            status = merge_next(&sealing, eager, &from, &sum, &is_done, err);
        is_done = is_done || !eager;
    }
    if (rows != NULL && status == FM_OK)
        *rows = sum;
    return status;
}

enum fm_status fm_store_merge(struct fm_store *store, const char *domain, const char *table,
                              uint64_t *rows, struct fm_error *err)
{
    return merge_table(store, domain, table, true, rows, err);
}
