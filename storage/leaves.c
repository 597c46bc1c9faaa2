/* Leaves of stored facts, made again from their rows and stored headers. */
#include "storage/order.h"

#include "core/assert.h"

#include <stdlib.h>

#define GATHER_FEW 8u /* Of so many facts single blocks are decoded, else whole columns. */

struct leaf_reading {
    const struct table_state *state;
    const struct rocks_snapshot *snapshot; /* May be NULL. */
    uint64_t first;
    uint64_t end;
    const struct fm_schema *schema; /* Of `encoder`; NULL: none yet. */
    struct fm_leaf_encoder *encoder;
    uint8_t *hashes;     /* Where the next one goes; NULL: the leaf itself is wanted. */
    struct fm_buf *leaf; /* Then here. */
    struct fm_error *err;
};

static enum fm_status use_schema(struct leaf_reading *reading, const struct fm_schema *schema)
{
    struct table *table = reading->state->table;
    uint8_t commitment_key[32];
    struct fm_leaf_encoder_options options = {.schema = schema};
    enum fm_status status;

    if (reading->schema == schema)
        return FM_OK;
    fm_leaf_encoder_free(reading->encoder);
    reading->encoder = NULL;
    reading->schema = NULL;
    (void)pthread_mutex_lock(&table->store->lock); /* Cannot fail: a plain, initialised mutex. */
    if (table->value.has_commitment_key) {
        memcpy(commitment_key, table->value.commitment_key, sizeof commitment_key);
        options.commitment_key = commitment_key;
    }
    (void)pthread_mutex_unlock(&table->store->lock);
    status = fm_leaf_encoder_new(&options, &reading->encoder);
    explicit_bzero(commitment_key, sizeof commitment_key);
    if (status == FM_OK)
        reading->schema = schema;
    return status;
}

/* Rows of a batch, of which `header` but for its sequence is that of fact number `sequence`. */
static enum fm_status take_rows(struct leaf_reading *reading, const struct fm_fact_header *header,
                                uint64_t sequence, const struct fm_batch *batch, uint32_t row,
                                uint32_t count)
{
    struct fm_fact_header first = *header;
    enum fm_status status;

    first.sequence = sequence;
    if (reading->hashes == NULL)
        return fm_leaf_encode(reading->encoder, &first, batch, NULL, row, reading->leaf);
    status = fm_leaf_hash_rows(reading->encoder, &first, batch, NULL, row, count, reading->hashes);
    reading->hashes += (size_t)count * FM_HASH_BYTES;
    return status;
}

/* ---- Hot rows -------------------------------------------------------------------------------- */

static enum fm_status read_hot(struct leaf_reading *reading, const struct unit *unit, uint32_t row,
                               uint32_t count)
{
    FM_AUTO(hot_rows_deinit) struct hot_rows rows = {0};
    enum fm_status status = hot_rows_open(reading->state, unit, &rows, reading->err);

    if (status == FM_OK)
        status = use_schema(reading, rows.schema);
    if (status != FM_OK)
        return status;
    return take_rows(reading, &unit->hot.header, unit->first_sequence + row, &rows.batch, row,
                     count);
}

/* ---- Segments -------------------------------------------------------------------------------- */

/* Rows that are few: the block of each. */
static enum fm_status gather_few(struct leaf_reading *reading, const struct unit *unit,
                                 uint32_t column, struct fm_batch_builder *builder,
                                 uint64_t sequence, uint32_t count)
{
    FM_AUTO(stored_column_close) struct stored_column stored = {0};
    const struct fm_field *field = &reading->schema->fields[column];
    enum fm_status status = stored_column_open(reading->state, reading->snapshot, unit->segment,
                                               field, &stored, reading->err);

    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        FM_AUTO(loaded_release) struct loaded loaded = {0};
        uint32_t row = unit_row(unit, sequence + i);

        status = load_blocks(reading->state, unit->segment, field, &stored, NULL,
                             row / FM_BLOCK_ROWS, 1, &loaded, reading->err);
        if (status == FM_OK)
            status = fm_batch_put_rows(builder, column, &loaded.batch, 0, NULL, row - loaded.first,
                                       1, NULL);
    }
    return status;
}

/* Rows of a segment in another order are anywhere in it. */
static enum fm_status gather_places(struct leaf_reading *reading, const struct unit *unit,
                                    uint32_t column, struct fm_batch_builder *builder,
                                    uint64_t sequence, uint32_t count)
{
    FM_AUTO(loaded_release) struct loaded loaded = {0};
    enum fm_status status;

    if (count <= GATHER_FEW)
        return gather_few(reading, unit, column, builder, sequence, count);
    status = load_column(reading->state, reading->snapshot, unit->segment,
                         &reading->schema->fields[column], NULL, false, &loaded, reading->err);
    for (uint32_t i = 0, run; status == FM_OK && i < count; i += run) {
        uint32_t row = unit_row(unit, sequence + i);

        run = 1;
        while (i + run < count && unit_row(unit, sequence + i + run) == row + run)
            run++;
        status = fm_batch_put_rows(builder, column, &loaded.batch, 0, NULL, row, run, NULL);
    }
    return status;
}

static enum fm_status gather_column(struct leaf_reading *reading,
                                    const struct segment_value *segment, uint32_t column,
                                    struct fm_batch_builder *builder, uint32_t row, uint32_t count)
{
    FM_AUTO(stored_column_close) struct stored_column stored = {0};
    FM_AUTO(loaded_release) struct loaded loaded = {0};
    const struct fm_field *field = &reading->schema->fields[column];
    uint32_t block = row / FM_BLOCK_ROWS;
    uint32_t block_count = (row + count - 1) / FM_BLOCK_ROWS - block + 1;
    enum fm_status status = stored_column_open(reading->state, reading->snapshot, segment, field,
                                               &stored, reading->err);

    if (status == FM_OK)
        status = load_blocks(reading->state, segment, field, &stored, NULL, block, block_count,
                             &loaded, reading->err);
    if (status != FM_OK)
        return status;
    return fm_batch_put_rows(builder, column, &loaded.batch, 0, NULL, row - loaded.first, count,
                             NULL);
}

/* All columns of some facts, the first `offset` behind the unit's first, as one batch. */
static enum fm_status gather(struct leaf_reading *reading, const struct unit *unit, uint32_t offset,
                             uint32_t count, struct fm_buf *bytes, struct fm_batch *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    uint32_t column_count = reading->schema->field_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(column_count, sizeof(const struct fm_type *));
    struct fm_batch_builder_options options = {.types = types, .column_count = column_count};
    enum fm_status status;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < column_count; i++)
        types[i] = &reading->schema->fields[i].type;
    status = fm_batch_builder_new(&options, &builder);
    for (uint32_t i = 0; status == FM_OK && i < column_count; i++)
        status =
            unit->segment->has_order
                ? gather_places(reading, unit, i, builder, unit->first_sequence + offset, count)
                : gather_column(reading, unit->segment, i, builder, offset, count);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(bytes), out);
    return status;
}

/* `count` facts of the unit, the first `row` behind its first. */
static enum fm_status read_segment(struct leaf_reading *reading, struct unit *unit, uint32_t row,
                                   uint32_t count)
{
    FM_AUTO(unit_order_close) struct unit_order order = {0};
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    const struct segment_value *segment = unit->segment;
    FM_AUTO(fm_mem_freep) struct segment_span *loaded = NULL;
    const struct segment_span *spans = NULL;
    const struct fm_schema *schema = NULL;
    struct fm_batch batch;
    uint32_t span_first = 0;
    enum fm_status status = table_schema(reading->state->table, segment->schema_version, &schema);

    if (status == FM_OK)
        status = use_schema(reading, schema);
    if (status == FM_OK)
        status = unit_open_rows(reading->state, reading->snapshot, unit, &order, reading->err);
    if (status == FM_OK)
        status = gather(reading, unit, row, count, &bytes, &batch);
    if (status == FM_OK)
        status = segment_spans(reading->state, reading->snapshot, segment, &loaded, &spans,
                               reading->err);
    for (uint32_t i = 0; status == FM_OK && i < segment->span_count; i++) {
        const struct segment_span *span = &spans[i];
        uint32_t from = span_first > row ? span_first : row;
        uint32_t to = span_first + span->rows;

        if (to > row + count)
            to = row + count;
        if (from < to)
            status = take_rows(reading, &span->header, segment->first_sequence + from, &batch,
                               from - row, to - from);
        span_first += span->rows;
    }
    return status;
}

/* ---- Any ------------------------------------------------------------------------------------- */

static enum fm_status read_units(struct leaf_reading *reading, uint64_t at)
{
    struct units units;
    struct unit unit;
    enum fm_status status = FM_OK;

    units_init(&units, reading->state, reading->snapshot, at);
    while (status == FM_OK && units.next < reading->end) {
        uint64_t from, to;

        status = units_next(&units, &unit, reading->err);
        if (status != FM_OK)
            break;
        from = unit.first_sequence > reading->first ? unit.first_sequence : reading->first;
        to = units.next < reading->end ? units.next : reading->end;
        if (from >= to) /* A hot value that ends before the fact: one is missing. */
            continue;
        if (unit.segment != NULL)
            status = read_segment(reading, &unit, (uint32_t)(from - unit.first_sequence),
                                  (uint32_t)(to - from));
        else
            status = read_hot(reading, &unit, (uint32_t)(from - unit.first_sequence),
                              (uint32_t)(to - from));
    }
    units_deinit(&units);
    return status;
}

static enum fm_status read_leaves(struct leaf_reading *reading)
{
    const struct table *table = reading->state->table;
    struct unit_place place = {0};
    enum fm_status status =
        unit_place_of(reading->state, reading->snapshot, reading->first, &place, reading->err);

    fm_assert(reading->first < reading->end);
    fm_assert(reading->end <= reading->state->tree.size);
    if (status == FM_OK)
        status = read_units(reading, place.first_sequence);
    fm_leaf_encoder_free(reading->encoder);
    if (status == FM_NOTFOUND || status == FM_MALFORMED)
        return fm_fail(reading->err, FM_CORRUPT,
                       "%s.%s: the stored rows from fact %llu on are damaged or missing; restore "
                       "the folder from a backup",
                       table->domain, table->name, (unsigned long long)reading->first);
    return status;
}

enum fm_status stored_leaf_hashes(const struct table_state *state,
                                  const struct rocks_snapshot *snapshot, uint64_t first,
                                  uint32_t count, uint8_t *out, struct fm_error *err)
{
    struct leaf_reading reading = {.state = state,
                                   .snapshot = snapshot,
                                   .first = first,
                                   .end = first + count,
                                   .hashes = out,
                                   .err = err};
    enum fm_status status = read_leaves(&reading);

    if (status == FM_OK)
        fm_assert(reading.hashes == out + (size_t)count * FM_HASH_BYTES);
    return status;
}

enum fm_status stored_leaf(const struct table_state *state, const struct rocks_snapshot *snapshot,
                           uint64_t sequence, struct fm_buf *out, struct fm_error *err)
{
    struct leaf_reading reading = {.state = state,
                                   .snapshot = snapshot,
                                   .first = sequence,
                                   .end = sequence + 1,
                                   .leaf = out,
                                   .err = err};

    return read_leaves(&reading);
}
