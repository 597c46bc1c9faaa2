#include "storage/blocks.h"
#include "storage/subject.h"

#include "core/assert.h"

#include <stdlib.h>

_Static_assert(SEGMENT_BLOCKS_MAX <= 64, "one bit a block");

/* What a column keeps of one block, as it lies in the arena. */
struct block_bounds {
    struct bounds bounds;
    uint32_t null_count;
};

static uint32_t count_of(uint32_t rows)
{
    return (rows + FM_BLOCK_ROWS - 1) / FM_BLOCK_ROWS;
}

uint64_t blocks_all(uint32_t rows)
{
    uint32_t count = count_of(rows);

    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static enum fm_status read_bounds(const struct table_state *state,
                                  const struct rocks_snapshot *snapshot,
                                  const struct segment_value *segment, const struct fm_field *field,
                                  struct block_bounds *out, struct fm_error *err)
{
    FM_AUTO(stored_column_close) struct stored_column stored = {0};
    enum fm_status status = stored_column_open(state, snapshot, segment, field, &stored, err);

    for (uint32_t b = 0; status == FM_OK && b < stored.column.block_count; b++) {
        status = column_block_bounds(&stored.column, b, &out[b].bounds);
        out[b].null_count = stored.column.blocks[b].null_count;
    }
    return status;
}

/* FM_LIMIT: no room in the arena. */
static enum fm_status load_bounds(const struct table_state *state,
                                  const struct rocks_snapshot *snapshot,
                                  const struct segment_value *segment, const struct fm_field *field,
                                  struct arena_pin *out, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct block_bounds *bounds = NULL;
    struct arena *arena = state->table->store->arena;
    struct arena_key key = {.table = state->table->id,
                            .field_id = field->id,
                            .segment = segment->id,
                            .more = {ARENA_BOUNDS}};
    uint32_t count = count_of(segment->rows);
    enum fm_status status = arena_find(arena, &key, out);

    if (status != FM_NOTFOUND)
        return status;
    bounds = calloc(count, sizeof *bounds);
    if (bounds == NULL)
        return FM_NOMEM;
    status = read_bounds(state, snapshot, segment, field, bounds, err);
    if (status != FM_OK)
        return status;
    return arena_add(arena, &key, fm_span((const uint8_t *)bounds, count * sizeof *bounds), out);
}

static uint64_t ruled_out_by(const struct fm_predicate *term, const struct fm_type *type,
                             const struct block_bounds *bounds, uint32_t rows)
{
    uint64_t out = 0;

    for (uint32_t b = 0; b < count_of(rows); b++) {
        uint32_t left = rows - b * FM_BLOCK_ROWS;

        if (!bounds_may_match(term, type, &bounds[b].bounds,
                              left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS, bounds[b].null_count))
            out |= UINT64_C(1) << b;
    }
    return out;
}

enum fm_status blocks_ruled_out(const struct table_state *state,
                                const struct rocks_snapshot *snapshot,
                                const struct segment_value *segment, const struct fm_schema *schema,
                                const struct fm_predicate_list *predicates, uint64_t *out,
                                struct fm_error *err)
{
    *out = 0;
    if (predicates == NULL || segment->rows <= FM_BLOCK_ROWS) /* The record says as much. */
        return FM_OK;
    for (uint32_t i = 0; i < predicates->count; i++) {
        const struct fm_predicate *term = &predicates->terms[i];
        int64_t position = schema_position(schema, term->field_id);
        struct arena_pin pin = {0};
        enum fm_status status;

        if (position < 0 || subject_seals(schema, (uint32_t)position) ||
            fm_field_is_header(term->field_id) ||
            segment_find_field(segment, term->field_id) == NULL)
            continue;
        status = load_bounds(state, snapshot, segment, &schema->fields[position], &pin, err);
        if (status == FM_LIMIT) /* Then there is none for the columns either. */
            return FM_OK;
        if (status != FM_OK)
            return status;
        *out |=
            ruled_out_by(term, &schema->fields[position].type,
                         (const struct block_bounds *)(const void *)pin.bytes.data, segment->rows);
        arena_unpin(state->table->store->arena, &pin);
    }
    return FM_OK;
}
