#include "query/worker/select.h"

#include "query/worker/vectors.h"

#include "core/assert.h"
#include "core/bits.h"

#define EACH UINT64_C(0x0001000100010001) /* 1 in each of four numbers of 16 bits. */

/* Positions of the bits set in four, as numbers of 16 bits, and how many there are. */
static const uint64_t quads[16] = {
    0, 0,       1,       0x10000,     2,       0x20000,     0x20001,     0x200010000,
    3, 0x30000, 0x30001, 0x300010000, 0x30002, 0x300020000, 0x300020001, 0x3000200010000};
static const uint8_t quad_counts[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

void row_choice_init(struct row_choice *out, const uint8_t *bits, uint32_t first, uint32_t rows)
{
    uint32_t count = 0;

    fm_assert(first % 64 == 0);
    fm_assert(rows <= FM_BLOCK_ROWS);
    for (uint32_t at = 0; at < rows; at += 64) {
        uint64_t word = fm_load64(bits + ((size_t)first + at) / 8);

        if (rows - at < 64)
            word &= fm_bits_mask(rows - at);
        out->words[at / 64] = word;
        for (uint64_t four = at * EACH; word != 0; four += 4 * EACH, word >>= 4) {
            uint64_t rows_of_four = quads[word & 15] + four;

            memcpy(&out->at[count], &rows_of_four, sizeof rows_of_four);
            count += quad_counts[word & 15];
        }
    }
    out->rows = rows;
    out->count = count;
}

/* No value is overwritten before it was read: at[i] >= i. */
#define DEFINE_MOVE(name, value_type)                                                              \
    static void name(value_type *values, const struct row_choice *choice)                          \
    {                                                                                              \
        for (uint32_t i = 0; i < choice->count; i++)                                               \
            values[i] = values[choice->at[i]];                                                     \
    }
struct value16 {
    uint64_t words[2];
};
DEFINE_MOVE(move1, uint8_t)
DEFINE_MOVE(move2, uint16_t)
DEFINE_MOVE(move4, uint32_t)
DEFINE_MOVE(move8, uint64_t)
DEFINE_MOVE(move16, struct value16)

static void move_values(void *values, uint32_t width, const struct row_choice *choice)
{
    switch (width) {
    case 1:
        move1(values, choice);
        break;
    case 2:
        move2(values, choice);
        break;
    case 4:
        move4(values, choice);
        break;
    case 8:
        move8(values, choice);
        break;
    default:
        fm_assert(width == 16);
        move16(values, choice);
        break;
    }
}

static void move_validity(uint64_t *words, const struct row_choice *choice)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < fm_bits_words(choice->rows); i++) {
        uint64_t kept = choice->words[i];
        uint32_t count = (uint32_t)__builtin_popcountll(kept);
        uint64_t bits = fm_bits_compress(words[i], kept);
        uint32_t shift = at % 64;

        if (count == 0)
            continue;
        words[at / 64] = (words[at / 64] & fm_bits_mask(shift)) | bits << shift;
        if (shift + count > 64) /* Of a word that was read before: at < i * 64. */
            words[at / 64 + 1] = bits >> (64 - shift);
        at += count;
    }
}

static uint32_t width_of(const struct decoder *decoder)
{
    if (decoder->enum_width != 0)
        return decoder->enum_width;
    if (fm_type_is_bytes(decoder->type))
        return sizeof(struct duck_string);
    if (decoder->type->kind == FM_KIND_LIST || decoder->type->kind == FM_KIND_MAP)
        return sizeof(duckdb_list_entry);
    return fm_type_width(decoder->type);
}

void row_choice_apply(const struct row_choice *choice, const struct decoder *decoder,
                      duckdb_vector vector)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);

    if (choice->count == choice->rows)
        return;
    if (validity != NULL)
        move_validity(validity, choice);
    if (decoder->type->kind != FM_KIND_STRUCT) {
        move_values(duckdb_vector_get_data(vector), width_of(decoder), choice);
        return;
    }
    for (uint32_t i = 0; i < decoder->child_count; i++)
        row_choice_apply(choice, &decoder->children[i], duckdb_struct_vector_get_child(vector, i));
}
