#include "storage/units.h"

#include "core/assert.h"

#include <stdlib.h>

static enum fm_status fail_corrupt(const struct units *units, uint64_t sequence,
                                   struct fm_error *err)
{
    return fm_fail(err, FM_CORRUPT,
                   "%s.%s: the stored rows from fact %llu on are damaged or missing; restore the "
                   "folder from a backup",
                   units->state->table->domain, units->state->table->name,
                   (unsigned long long)sequence);
}

void units_init(struct units *units, const struct table_state *state,
                const struct rocks_snapshot *snapshot, uint64_t first)
{
    if (first < state->dropped)
        first = state->dropped;
    *units = (struct units){
        .state = state,
        .snapshot = snapshot,
        .next = first,
        .hot_ended = state->hot_rows == 0,
        .hot_bytes = FM_BUF_INIT(FM_BUF_BYTES_MAX),
    };
    while (units->segment < state->segment_count &&
           state->segments->items[units->segment]->first_sequence +
                   state->segments->items[units->segment]->rows <=
               first)
        units->segment++;
    /* Rows that were hot when `first` was taken down may be inside of a segment now. */
    if (units->segment < state->segment_count &&
        state->segments->items[units->segment]->first_sequence < first)
        units->next = state->segments->items[units->segment]->first_sequence;
}

void units_deinit(struct units *units)
{
    rocks_iterator_free(units->hot);
    fm_buf_free(&units->hot_bytes);
    units->hot = NULL;
}

/* Read the next hot value ahead. */
static enum fm_status fetch_hot(struct units *units, struct fm_error *err)
{
    const struct table *table = units->state->table;
    struct key first = key_hot(table->id, units->next);
    struct key end = key_hot(table->id, units->state->tree.size);
    struct fm_span key, value;
    enum fm_status status = FM_OK;

    if (units->hot == NULL)
        status = rocks_iterator_new(table->store->rocks, units->snapshot, ROCKS_HOT,
                                    key_span(&first), key_span(&end), &units->hot);
    if (status == FM_OK)
        status = rocks_iterator_next(units->hot, &key, &value, err);
    if (status == FM_NOTFOUND) {
        units->hot_ended = true;
        return FM_OK;
    }
    if (status != FM_OK)
        return status;
    fm_buf_clear(&units->hot_bytes);
    fm_buf_put_span(&units->hot_bytes, value);
    status = fm_buf_status(&units->hot_bytes);
    if (status == FM_OK)
        status = key_parse_number(key, 4, &units->hot_first);
    units->has_hot = status == FM_OK;
    return status == FM_CORRUPT ? fail_corrupt(units, units->next, err) : status;
}

/* Rows of a batch by its header; the rest is checked when it is opened. */
static uint32_t batch_rows(struct fm_span batch)
{
    return batch.len >= FM_BATCH_HEADER_BYTES ? fm_load32(batch.data + 8) : 0;
}

static enum fm_status take_hot(struct units *units, struct unit *out, struct fm_error *err)
{
    struct unit unit = {.first_sequence = units->hot_first,
                        .hot_bytes = (uint32_t)units->hot_bytes.len};
    enum fm_status status = hot_decode(fm_buf_span(&units->hot_bytes), &unit.hot);

    units->has_hot = false;
    if (status != FM_OK)
        return status == FM_NOMEM ? status : fail_corrupt(units, units->hot_first, err);
    unit.rows = batch_rows(unit.hot.batch);
    if (unit.rows == 0 || unit.rows > FM_SMALL_APPEND_ROWS ||
        unit.hot.header.sequence != unit.first_sequence)
        return fail_corrupt(units, units->hot_first, err);
    *out = unit;
    return FM_OK;
}

static void take_segment(struct units *units, struct unit *out)
{
    const struct segment_value *segment = units->state->segments->items[units->segment++];

    *out = (struct unit){
        .first_sequence = segment->first_sequence, .rows = segment->rows, .segment = segment};
}

enum fm_status units_next(struct units *units, struct unit *out, struct fm_error *err)
{
    const struct table_state *state = units->state;
    struct unit unit = {0};
    enum fm_status status = FM_OK;

    fm_assert(units->next <= state->tree.size);
    if (units->next == state->tree.size)
        return FM_NOTFOUND;
    if (units->segment < state->segment_count &&
        state->segments->items[units->segment]->first_sequence == units->next) {
        take_segment(units, &unit);
    } else {
        if (!units->has_hot && !units->hot_ended)
            status = fetch_hot(units, err);
        if (status == FM_OK && !units->has_hot)
            status = fail_corrupt(units, units->next, err);
        if (status == FM_OK)
            status = take_hot(units, &unit, err);
    }
    if (status != FM_OK)
        return status;
    if (unit.first_sequence != units->next || unit.rows > state->tree.size - units->next)
        return fail_corrupt(units, units->next, err);
    units->next += unit.rows;
    *out = unit;
    return FM_OK;
}

uint64_t unit_sequence(const struct unit *unit, uint32_t row)
{
    fm_assert(row < unit->rows);
    if (unit->segment == NULL || !unit->segment->has_order)
        return unit->first_sequence + row;
    fm_assert(unit->offsets != NULL);
    return unit->first_sequence + unit->offsets[row];
}

uint32_t unit_row(const struct unit *unit, uint64_t sequence)
{
    fm_assert(sequence >= unit->first_sequence);
    fm_assert(sequence - unit->first_sequence < unit->rows);
    if (unit->segment == NULL || !unit->segment->has_order)
        return (uint32_t)(sequence - unit->first_sequence);
    fm_assert(unit->places != NULL);
    return unit->places[sequence - unit->first_sequence];
}

/* ---- Where a fact is ------------------------------------------------------------------------- */

enum fm_status unit_place_of(const struct table_state *state, const struct rocks_snapshot *snapshot,
                             uint64_t sequence, struct unit_place *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf found = FM_BUF_INIT(0);
    struct key begin = key_hot(state->table->id, 0);
    struct key last = key_hot(state->table->id, sequence);
    struct unit_place place = {0};
    uint32_t low = 0;
    uint32_t high = state->segment_count; /* The first that begins beyond the fact. */
    enum fm_status status;

    fm_assert(sequence < state->tree.size);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (state->segments->items[middle]->first_sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        const struct segment_value *segment = state->segments->items[low - 1];

        if (sequence - segment->first_sequence < segment->rows) {
            *out = (struct unit_place){segment->first_sequence, segment};
            return FM_OK;
        }
        begin = key_hot(state->table->id, segment->first_sequence + segment->rows);
    }
    status = rocks_last_key(state->table->store->rocks, snapshot, ROCKS_HOT, key_span(&begin),
                            key_span(&last), &found, err);
    if (status == FM_OK)
        status = key_parse_number(fm_buf_span(&found), 4, &place.first_sequence);
    if (status == FM_OK)
        *out = place;
    return status;
}

/* ---- Hot rows -------------------------------------------------------------------------------- */

static enum fm_status view_hot(struct hot_rows *rows)
{
    uint32_t count = rows->schema->field_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(count, sizeof(const struct fm_type *));
    enum fm_status status;

    rows->field_ids = calloc(count, sizeof *rows->field_ids);
    if (types == NULL || rows->field_ids == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        types[i] = &rows->schema->fields[i].type;
        rows->field_ids[i] = rows->schema->fields[i].id;
    }
    status = fm_batch_view(fm_buf_span(&rows->bytes), types, count, NULL, &rows->batch);
    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT;
}

enum fm_status hot_rows_open(const struct table_state *state, const struct unit *unit,
                             struct hot_rows *out, struct fm_error *err)
{
    struct hot_rows rows = {.bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
    enum fm_status status =
        table_schema(state->table, unit->hot.header.schema_version, &rows.schema);

    fm_buf_put_span(&rows.bytes, unit->hot.batch);
    if (status == FM_OK)
        status = fm_buf_status(&rows.bytes);
    if (status == FM_OK)
        status = view_hot(&rows);
    if (status != FM_OK) {
        hot_rows_deinit(&rows);
        if (status == FM_NOMEM)
            return status;
        return fm_fail(err, FM_CORRUPT,
                       "%s.%s: the stored rows of fact %llu are damaged; restore "
                       "the folder from a backup",
                       state->table->domain, state->table->name,
                       (unsigned long long)unit->first_sequence);
    }
    *out = rows;
    return FM_OK;
}

void hot_rows_deinit(struct hot_rows *rows)
{
    fm_buf_free(&rows->bytes);
    free(rows->field_ids);
    *rows = (struct hot_rows){0};
}
