#include "query/worker/select.h"

#include "core/assert.h"
#include "core/bits.h"

/* Positions of the bits set in four, the rest of the row unused. */
static const uint32_t quads[16][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0},
                                      {2, 0, 0, 0}, {0, 2, 0, 0}, {1, 2, 0, 0}, {0, 1, 2, 0},
                                      {3, 0, 0, 0}, {0, 3, 0, 0}, {1, 3, 0, 0}, {0, 1, 3, 0},
                                      {2, 3, 0, 0}, {0, 2, 3, 0}, {1, 2, 3, 0}, {0, 1, 2, 3}};
static const uint8_t quad_counts[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

uint32_t select_positions(const uint8_t *words, uint32_t first, uint32_t count, uint32_t *out)
{
    uint32_t found = 0;

    fm_assert(first % 64 == 0);
    for (uint32_t at = 0; at < count; at += 64) {
        uint64_t word = fm_load64(words + ((size_t)first + at) / 8);

        if (count - at < 64)
            word &= fm_bits_mask(count - at);
        for (uint32_t row = at; word != 0; row += 4, word >>= 4) { /* Four at a time, no branch. */
            const uint32_t *quad = quads[word & 15];

            for (uint32_t i = 0; i < 4; i++)
                out[found + i] = row + quad[i];
            found += quad_counts[word & 15];
        }
    }
    return found;
}

enum fm_status select_rows(duckdb_data_chunk chunk, const uint8_t *words, uint32_t first,
                           uint32_t count)
{
    /* A new one each time: vectors of an earlier chunk may still refer to theirs. */
    duckdb_selection_vector selection = duckdb_create_selection_vector(count + SELECT_ROOM);
    idx_t columns = duckdb_data_chunk_get_column_count(chunk);

    if (selection == NULL)
        return FM_NOMEM;
    uint32_t found =
        select_positions(words, first, count, duckdb_selection_vector_get_data_ptr(selection));
    if (found < count)
        for (idx_t i = 0; i < columns; i++)
            duckdb_slice_vector(duckdb_data_chunk_get_vector(chunk, i), selection, found);
    duckdb_destroy_selection_vector(selection); /* The vectors hold it now. */
    duckdb_data_chunk_set_size(chunk, found);
    return FM_OK;
}
