#include "storage/order.h"

#include "core/assert.h"
#include "core/bits.h"

#include <stdlib.h>

static const struct fm_type order_type = {.kind = FM_KIND_UINT32};

/* ---- As stored ------------------------------------------------------------------------------- */

enum fm_status order_encode(struct column_encoder *encoder, const uint32_t *offsets, uint32_t rows,
                            struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    const struct fm_type *type = &order_type;
    struct fm_batch_builder_options options = {.types = &type, .column_count = 1, .encode = true};
    struct segment_field ignored;
    struct fm_batch batch;
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    if (status == FM_OK)
        status = fm_batch_put_fixed_many(builder, 0, offsets, NULL, rows);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, &bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
    return status == FM_OK ? column_encode(encoder, &batch, 0, type, out, &ignored) : status;
}

/* Every number below `rows` once. */
static enum fm_status check_permutation(const uint32_t *offsets, uint32_t rows)
{
    uint64_t seen[UNIT_WORDS_MAX] = {0};

    for (uint32_t row = 0; row < rows; row++) {
        uint32_t offset = offsets[row];

        if (offset >= rows || (seen[offset / 64] >> (offset % 64) & 1) != 0)
            return FM_CORRUPT;
        seen[offset / 64] |= UINT64_C(1) << (offset % 64);
    }
    return FM_OK;
}

static enum fm_status read_offsets(struct column *column, uint32_t *offsets)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_batch batch;
    enum fm_status status = column_decode(column, 0, column->block_count, NULL, &bytes);

    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
    for (uint32_t row = 0; status == FM_OK && row < column->rows; row++)
        fm_vector_fixed(&batch, &batch.vectors[0], row, &offsets[row]);
    return status;
}

enum fm_status order_decode(struct fm_span value, uint32_t rows, uint32_t *offsets)
{
    struct column column = {0};
    enum fm_status status = column_open(value, &order_type, &column);

    fm_assert(rows >= 1 && rows <= FM_SEGMENT_ROWS);
    if (status == FM_OK && (column.rows != rows || column.null_count != 0))
        status = FM_CORRUPT;
    if (status == FM_OK)
        status = read_offsets(&column, offsets);
    column_deinit(&column);
    if (status == FM_OK)
        status = check_permutation(offsets, rows);
    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT;
}

bool order_is_plain(const uint32_t *offsets, uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++) {
        if (offsets[row] != row)
            return false;
    }
    return true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Which way, as the arena tells them apart. */
enum { WAY_OFFSETS, WAY_ROWS };

static enum fm_status fail_order(const struct table_state *state,
                                 const struct segment_value *segment, struct fm_error *err)
{
    return fm_fail(err, FM_CORRUPT,
                   "%s.%s: the order of the rows of facts %llu to %llu is damaged or missing; "
                   "restore the folder from a backup",
                   state->table->domain, state->table->name,
                   (unsigned long long)segment->first_sequence,
                   (unsigned long long)(segment->first_sequence + segment->rows - 1));
}

static enum fm_status read_order(const struct table_state *state,
                                 const struct rocks_snapshot *snapshot,
                                 const struct segment_value *segment, uint32_t *offsets,
                                 struct fm_error *err)
{
    struct key key = key_column(state->table->id, segment->id, SEGMENT_ORDER_FIELD);
    struct rocks_pin pin = {0};
    enum fm_status status =
        rocks_pin(state->table->store->rocks, snapshot, ROCKS_SEGMENTS, key_span(&key), &pin, err);

    if (status == FM_OK)
        status = order_decode(pin.value, segment->rows, offsets);
    rocks_pin_release(&pin);
    if (status == FM_NOTFOUND || status == FM_CORRUPT)
        return fail_order(state, segment, err);
    return status;
}

static void turn_round(const uint32_t *offsets, uint32_t rows, uint32_t *out)
{
    for (uint32_t row = 0; row < rows; row++)
        out[offsets[row]] = row;
}

static enum fm_status make_way(const struct table_state *state,
                               const struct rocks_snapshot *snapshot,
                               const struct segment_value *segment, unsigned way,
                               struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) uint32_t *offsets = calloc(segment->rows, sizeof *offsets);
    uint32_t *to = (uint32_t *)(void *)fm_buf_extend(out, (size_t)segment->rows * sizeof *to);
    enum fm_status status;

    if (offsets == NULL || to == NULL)
        return FM_NOMEM;
    status = read_order(state, snapshot, segment, offsets, err);
    if (status != FM_OK)
        return status;
    if (way == WAY_ROWS)
        turn_round(offsets, segment->rows, to);
    else
        memcpy(to, offsets, (size_t)segment->rows * sizeof *to);
    return FM_OK;
}

static enum fm_status load_way(const struct table_state *state,
                               const struct rocks_snapshot *snapshot,
                               const struct segment_value *segment, unsigned way,
                               struct loaded *out, struct fm_error *err)
{
    FM_AUTO(loaded_release) struct loaded loaded = {.bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
    struct arena *arena = state->table->store->arena;
    struct arena_key key = {.table = state->table->id,
                            .field_id = ARENA_ORDER,
                            .segment = segment->id,
                            .generation = way};
    struct arena_pin pin;
    enum fm_status status = arena_find(arena, &key, &pin);

    if (status == FM_NOTFOUND) {
        status = make_way(state, snapshot, segment, way, &loaded.bytes, err);
        if (status == FM_OK)
            status = arena_add(arena, &key, fm_buf_span(&loaded.bytes), &pin);
        if (status == FM_LIMIT) { /* No room there: memory of its own does. */
            *out = loaded;
            loaded = (struct loaded){0};
            return FM_OK;
        }
    }
    if (status == FM_OK)
        *out = (struct loaded){.arena = arena, .pin = pin};
    return status;
}

static const uint32_t *numbers_of(const struct loaded *loaded)
{
    const uint8_t *bytes = loaded->pin.file != NULL ? loaded->pin.bytes.data : loaded->bytes.data;

    return (const uint32_t *)(const void *)bytes; /* Both are aligned to 8. */
}

enum fm_status unit_open_offsets(const struct table_state *state,
                                 const struct rocks_snapshot *snapshot, struct unit *unit,
                                 struct unit_order *order, struct fm_error *err)
{
    enum fm_status status;

    if (unit->segment == NULL || !unit->segment->has_order || unit->offsets != NULL)
        return FM_OK;
    status = load_way(state, snapshot, unit->segment, WAY_OFFSETS, &order->offsets, err);
    if (status == FM_OK)
        unit->offsets = numbers_of(&order->offsets);
    return status;
}

enum fm_status unit_open_rows(const struct table_state *state,
                              const struct rocks_snapshot *snapshot, struct unit *unit,
                              struct unit_order *order, struct fm_error *err)
{
    enum fm_status status;

    if (unit->segment == NULL || !unit->segment->has_order || unit->places != NULL)
        return FM_OK;
    status = load_way(state, snapshot, unit->segment, WAY_ROWS, &order->rows, err);
    if (status == FM_OK)
        unit->places = numbers_of(&order->rows);
    return status;
}

void unit_order_close(struct unit_order *order)
{
    loaded_release(&order->offsets);
    loaded_release(&order->rows);
}

/* ---- Which rows count ------------------------------------------------------------------------ */

/* Bits by offset. */
static void select_offsets(const struct unit *unit, const struct visible *visible,
                           uint64_t selection[UNIT_WORDS_MAX])
{
    uint64_t first = unit->first_sequence;
    uint64_t left = visible->size > first ? visible->size - first : 0;
    uint32_t count = left < unit->rows ? (uint32_t)left : unit->rows;

    memset(selection, 0, UNIT_WORDS_MAX * sizeof selection[0]);
    memset(selection, 0xff, count / 64 * sizeof selection[0]);
    if (count % 64 != 0)
        selection[count / 64] = fm_bits_mask(count % 64);
    superseded_clear(visible->superseded, first, count, selection);
}

void unit_select(const struct unit *unit, const struct visible *visible,
                 uint64_t selection[UNIT_WORDS_MAX])
{
    uint64_t by_offset[UNIT_WORDS_MAX];

    if (unit->segment == NULL || !unit->segment->has_order) {
        select_offsets(unit, visible, selection);
        return;
    }
    fm_assert(unit->offsets != NULL);
    select_offsets(unit, visible, by_offset);
    memset(selection, 0, UNIT_WORDS_MAX * sizeof selection[0]);
    for (uint32_t row = 0; row < unit->rows; row++) {
        uint32_t offset = unit->offsets[row];

        selection[row / 64] |= (by_offset[offset / 64] >> (offset % 64) & 1) << (row % 64);
    }
}
