/* Hot rows become segments.
 *
 * A run of hot values that lie side by side and have one schema version is read through a snapshot
 * and encoded while appends go on. Then, with the table's append lock, one commit puts the segment
 * in their place (sealed.h). Readers have the states and RocksDB's snapshot of one sync, so they
 * see either the hot values or the segment. Rows of a clustered table are sorted. */
#include "storage/sealed.h"

#include "core/assert.h"
#include "storage/units.h"

#include <stdlib.h>

#define SEAL_ROWS (4u * FM_BLOCK_ROWS) /* Wanted from so many hot rows on, */
#define SEAL_VALUES 2048u              /* or values: each costs a scan about a block's time. */

struct seal {
    struct sealing sealing;
    uint64_t rows; /* Sealed so far. */

    /* The run at hand: none while `sealed` is NULL. */
    struct sealed *sealed;
    const struct fm_schema *schema;
    struct fm_batch_builder *builder;
    uint32_t value_count; /* Hot values in it; */
    uint32_t value_capacity;
    uint64_t *firsts;   /* the first sequence of each; */
    uint64_t hot_bytes; /* all that they take. */
};

static void run_deinit(struct seal *seal)
{
    sealed_free(FM_TAKE(seal->sealed));
    fm_batch_builder_free(FM_TAKE(seal->builder));
    free(FM_TAKE(seal->firsts));
    seal->value_count = 0;
    seal->value_capacity = 0;
    seal->hot_bytes = 0;
}

static void seal_deinit(struct seal *seal)
{
    run_deinit(seal);
    sealing_end(&seal->sealing);
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* The clustering key decides where a row stands, and the order tells where it came from. */
static enum fm_status set_sorted_columns(struct seal *seal, const struct fm_batch *batch)
{
    FM_AUTO(fm_mem_freep) struct cluster_row *rows = NULL;
    FM_AUTO(fm_mem_freep) uint32_t *offsets = calloc(batch->rows, sizeof *offsets);
    size_t count = 0;
    enum fm_status status =
        offsets == NULL ? FM_NOMEM : cluster_sort(seal->schema, batch, 1, &rows, &count);

    for (size_t i = 0; status == FM_OK && i < count; i++)
        offsets[i] = rows[i].row;
    if (status == FM_OK)
        status = sealed_set_order(seal->sealed, offsets);
    for (uint32_t i = 0; status == FM_OK && i < seal->schema->field_count; i++) {
        const struct sealed_source source = {batch, i};

        status = sealed_gather_column(seal->sealed, i, &source, rows);
    }
    return status;
}

static enum fm_status set_columns(struct seal *seal)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    enum fm_status status = fm_batch_builder_finish(seal->builder, 0, &bytes);

    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
    if (status != FM_OK)
        return status;
    if (!cluster_in_order(seal->schema, &batch, NULL, 0))
        return set_sorted_columns(seal, &batch);
    for (uint32_t i = 0; status == FM_OK && i < seal->schema->field_count; i++)
        status = sealed_set_column(seal->sealed, i, &batch, i);
    return status;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* The segment takes the place of its hot values. */
static enum fm_status replace_hot(void *context, struct segment_value *segment,
                                  struct table_state *next, struct rocks_batch *batch,
                                  struct fm_error *err)
{
    const struct seal *seal = context;

    (void)err; /* Only memory can be lacking. */
    fm_assert(next->hot_rows >= segment->rows);
    fm_assert(next->hot_values >= seal->value_count);
    fm_assert(next->hot_bytes >= seal->hot_bytes);
    fm_assert(next->tree.size >= segment->first_sequence + segment->rows);
    next->hot_rows -= segment->rows;
    next->hot_values -= seal->value_count;
    next->hot_bytes -= seal->hot_bytes;
    for (uint32_t i = 0; i < seal->value_count; i++) {
        struct key key = key_hot(seal->sealing.table->id, seal->firsts[i]);

        rocks_batch_delete(batch, ROCKS_HOT, key_span(&key));
    }
    return state_add_segment(next, segment);
}

static enum fm_status end_run(struct seal *seal, struct fm_error *err)
{
    struct sealed_commit commit = {.replace = replace_hot, .context = seal};
    enum fm_status status;
    uint32_t rows;

    if (seal->sealed == NULL)
        return FM_OK;
    rows = sealed_rows(seal->sealed);
    commit.what = commit_what_seal(seal->sealing.table->id, seal->firsts[0], rows);
    status = set_columns(seal);
    if (status == FM_OK)
        status = sealed_write(seal->sealed, &commit, err);
    if (status == FM_OK)
        seal->rows += rows;
    run_deinit(seal);
    return status;
}

static enum fm_status begin_run(struct seal *seal, const struct fm_schema *schema,
                                uint64_t first_sequence)
{
    uint32_t count = schema->field_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(count, sizeof(const struct fm_type *));
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = true};
    enum fm_status status;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        types[i] = &schema->fields[i].type;
    seal->schema = schema;
    status = fm_batch_builder_new(&options, &seal->builder);
    return status == FM_OK ? sealed_new(seal->sealing.table, schema, first_sequence, &seal->sealed)
                           : status;
}

static enum fm_status add_value(struct seal *seal, const struct unit *unit)
{
    const struct segment_span span = {.rows = unit->rows, .header = unit->hot.header};

    if (seal->value_count == seal->value_capacity) {
        uint32_t capacity = seal->value_capacity == 0 ? 64 : seal->value_capacity * 2;
        uint64_t *firsts = realloc(seal->firsts, capacity * sizeof *firsts);

        if (firsts == NULL)
            return FM_NOMEM;
        seal->firsts = firsts;
        seal->value_capacity = capacity;
    }
    seal->firsts[seal->value_count++] = unit->first_sequence;
    seal->hot_bytes += unit->hot_bytes;
    return sealed_add_spans(seal->sealed, &span, 1);
}

static bool fits_run(const struct seal *seal, const struct hot_rows *rows)
{
    return seal->schema == rows->schema &&
           sealed_rows(seal->sealed) + rows->batch.rows <= FM_SEGMENT_ROWS &&
           fm_batch_builder_bytes(seal->builder) < SEALED_BYTES_MAX;
}

static enum fm_status add_hot(struct seal *seal, const struct unit *unit, struct fm_error *err)
{
    FM_AUTO(hot_rows_deinit) struct hot_rows rows = {0};
    enum fm_status status = hot_rows_open(seal->sealing.state, unit, &rows, err);

    if (status == FM_OK && seal->sealed != NULL && !fits_run(seal, &rows))
        status = end_run(seal, err);
    if (status == FM_OK && seal->sealed == NULL)
        status = begin_run(seal, rows.schema, unit->first_sequence);
    for (uint32_t i = 0; status == FM_OK && i < rows.schema->field_count; i++)
        status =
            fm_batch_put_rows(seal->builder, i, &rows.batch, i, NULL, 0, rows.batch.rows, NULL);
    return status == FM_OK ? add_value(seal, unit) : status;
}

static enum fm_status seal_units(struct seal *seal, struct fm_error *err)
{
    struct units units;
    struct unit unit;
    enum fm_status status = FM_OK;

    units_init(&units, seal->sealing.state, seal->sealing.view->rocks, 0);
    while (status == FM_OK) {
        status = units_next(&units, &unit, err);
        if (status == FM_OK)
            status = unit.segment != NULL ? end_run(seal, err) : add_hot(seal, &unit, err);
    }
    units_deinit(&units);
    return status == FM_NOTFOUND ? end_run(seal, err) : status;
}

/* ---- One table ------------------------------------------------------------------------------- */

enum fm_status fm_store_seal(struct fm_store *store, const char *domain, const char *table,
                             uint64_t *rows, struct fm_error *err)
{
    FM_AUTO(seal_deinit) struct seal seal = {0};
    enum fm_status status = store_usable(store, err);

    if (status == FM_OK)
        status = sealing_begin(store, domain, table, &seal.sealing, err);
    if (status == FM_OK && seal.sealing.state->hot_rows > 0)
        status = seal_units(&seal, err);
    if (status == FM_OK && rows != NULL)
        *rows = seal.rows;
    return status;
}

bool state_wants_seal(const struct table_state *state)
{
    return state->hot_rows >= SEAL_ROWS || state->hot_values >= SEAL_VALUES;
}
