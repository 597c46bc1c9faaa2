#include "storage/selection.h"
#include "storage/order.h"

#include "core/assert.h"
#include "core/bits.h"

#define WINDOWS_MAX 3u /* That the sequences of one segment touch. */
_Static_assert(FM_SEGMENT_ROWS <= (WINDOWS_MAX - 1) << KEYS_WINDOW_BITS, "as many as that");

/* Rows of the segment that were there. */
static uint32_t rows_before(const struct segment_value *segment, uint64_t size)
{
    if (size <= segment->first_sequence)
        return 0;
    if (size - segment->first_sequence >= segment->rows)
        return segment->rows;
    return (uint32_t)(size - segment->first_sequence);
}

uint32_t selection_count(const struct segment_value *segment, const struct visible *visible)
{
    uint32_t rows = rows_before(segment, visible->size);

    return rows -
           (uint32_t)superseded_count_range(visible->superseded, segment->first_sequence, rows);
}

/* By the windows' stamps, so that queries share it until one of them changes. What is cut off
 * by the past's size is not looked for again. */
static struct arena_key key_of(const struct table_state *state, const struct segment_value *segment,
                               const struct visible *visible)
{
    struct arena *arena = state->table->store->arena;
    struct arena_key key = {
        .table = state->table->id, .field_id = ARENA_SELECTION, .segment = segment->id};
    uint64_t *stamps[WINDOWS_MAX] = {&key.generation, &key.more[0], &key.more[1]};
    uint64_t first = segment->first_sequence >> KEYS_WINDOW_BITS;
    uint64_t last = (segment->first_sequence + segment->rows - 1) >> KEYS_WINDOW_BITS;

    fm_assert(last - first < WINDOWS_MAX);
    if (rows_before(segment, visible->size) < segment->rows) {
        key.generation = arena_stamp(arena);
        return key;
    }
    for (uint32_t i = 0; i <= last - first; i++)
        *stamps[i] = superseded_stamp(visible->superseded, first + i, arena_stamp(arena));
    return key;
}

enum fm_status selection_load(const struct table_state *state,
                              const struct rocks_snapshot *snapshot,
                              const struct segment_value *segment, const struct visible *visible,
                              struct arena_pin *out, struct fm_error *err)
{
    FM_AUTO(unit_order_close) struct unit_order order = {0};
    struct unit unit = {
        .first_sequence = segment->first_sequence, .rows = segment->rows, .segment = segment};
    struct arena *arena = state->table->store->arena;
    struct arena_key key = key_of(state, segment, visible);
    FM_AUTO(fm_mem_freep) uint64_t *words = NULL;
    size_t count = fm_bits_words(segment->rows);
    enum fm_status status = arena_find(arena, &key, out);

    if (status != FM_NOTFOUND)
        return status;
    words = calloc(UNIT_WORDS_MAX, sizeof *words);
    if (words == NULL)
        return FM_NOMEM;
    status = unit_open_offsets(state, snapshot, &unit, &order, err);
    if (status != FM_OK)
        return status;
    unit_select(&unit, visible, words);
    return arena_add(arena, &key, fm_span((const uint8_t *)words, count * sizeof *words), out);
}
