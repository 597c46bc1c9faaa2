/* Stored column values: every type in every shape back and forth, by column and by block; bounds
 * that hold; no flipped bit that goes unnoticed. */
#include "storage/segment.h"

#include "core/predicate.h"
#include "storage/extremes.h"
#include "tests/support/random_value.h"
#include "tests/support/storage_examples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ROWS_MAX 5000u

struct fixture {
    struct random random;
    struct column_encoder *encoder;
    struct fm_type type;
    struct fm_buf batch_bytes;
    struct fm_batch batch;
    struct fm_buf stored;
    struct segment_field field;
    struct column column;
    struct fm_buf decoded;
    struct fm_buf scratch[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->random.state = 7;
    assert_int_equal(column_encoder_new(&f->encoder), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    column_encoder_free(f->encoder);
    column_deinit(&f->column);
    fm_type_deinit(&f->type);
    fm_buf_free(&f->batch_bytes);
    fm_buf_free(&f->stored);
    fm_buf_free(&f->decoded);
    fm_buf_free(&f->scratch[0]);
    fm_buf_free(&f->scratch[1]);
    free(f);
    return 0;
}

enum nulls { NULLS_NONE, NULLS_SOME, NULLS_BLOCK, NULLS_ALL, NULLS_KINDS };

static bool is_null(enum nulls nulls, uint32_t row)
{
    switch (nulls) {
    case NULLS_SOME:
        return row % 7 == 3;
    case NULLS_BLOCK:
        return row < FM_BLOCK_ROWS;
    case NULLS_ALL:
        return true;
    default:
        return false;
    }
}

/* Make a batch of one column, store it and open it. */
static void store_column(struct fixture *f, const char *type, enum random_shape shape,
                         enum nulls nulls, uint32_t rows)
{
    const struct fm_type *types = &f->type;
    struct fm_batch_builder_options options = {.types = &types, .column_count = 1, .encode = true};
    struct fm_batch_builder *builder = NULL;

    column_deinit(&f->column);
    fm_type_deinit(&f->type);
    assert_int_equal(fm_type_parse(fm_span_str(type), &f->type, NULL), FM_OK);
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t row = 0; row < rows; row++) {
        struct fm_cursor cursor;

        fm_buf_clear(&f->scratch[0]);
        random_value(&f->random, &f->type, shape, &f->scratch[0]);
        if (f->type.kind == FM_KIND_BLOB && f->scratch[0].len > 1)
            f->scratch[0].data[1] = 0xff; /* No text. */
        cursor = fm_cursor(fm_buf_span(&f->scratch[0]));
        if (is_null(nulls, row))
            assert_int_equal(fm_batch_put_null(builder, 0), FM_OK);
        else
            assert_int_equal(fm_batch_put_canonical(builder, 0, &cursor), FM_OK);
    }
    fm_buf_clear(&f->batch_bytes);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &f->batch_bytes), FM_OK);
    fm_batch_builder_free(builder);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->batch_bytes), &f->batch), FM_OK);
    fm_buf_clear(&f->stored);
    assert_int_equal(column_encode(f->encoder, &f->batch, 0, &f->type, &f->stored, &f->field),
                     FM_OK);
    assert_int_equal(f->field.stored_bytes, f->stored.len);
    assert_int_equal(column_open(fm_buf_span(&f->stored), &f->type, &f->column), FM_OK);
    assert_int_equal(f->column.rows, rows);
    assert_int_equal(f->column.null_count, f->field.null_count);
}

/* Row `at` of `batch` is row `row` of the original. */
static void assert_same_row(struct fixture *f, const struct fm_batch *batch, uint32_t at,
                            uint32_t row, const struct fm_dictionary *dictionary)
{
    bool null = fm_vector_is_null(&f->batch, f->batch.vectors, row);

    assert_int_equal(fm_vector_is_null(batch, batch->vectors, at), null);
    if (null)
        return;
    fm_buf_clear(&f->scratch[0]);
    fm_buf_clear(&f->scratch[1]);
    assert_int_equal(
        fm_vector_canonical(&f->batch, f->batch.vectors, &f->type, NULL, row, &f->scratch[0]),
        FM_OK);
    assert_int_equal(
        fm_vector_canonical(batch, batch->vectors, &f->type, dictionary, at, &f->scratch[1]),
        FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&f->scratch[0]), fm_buf_span(&f->scratch[1])));
}

static void check_blocks(struct fixture *f, uint32_t first, uint32_t count)
{
    struct fm_batch batch;

    fm_buf_clear(&f->decoded);
    assert_int_equal(column_decode(&f->column, first, count, NULL, &f->decoded), FM_OK);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->decoded), &batch), FM_OK);
    for (uint32_t row = 0; row < batch.rows; row++)
        assert_same_row(f, &batch, row, first * FM_BLOCK_ROWS + row, NULL);
}

static void check_bounds(struct fixture *f, const struct bounds *bounds, uint32_t first,
                         uint32_t count)
{
    bool min_met = false;
    bool max_met = false;
    bool any = false;

    for (uint32_t row = first; row < first + count; row++) {
        struct fm_span value;
        int low, high;

        if (fm_vector_is_null(&f->batch, f->batch.vectors, row))
            continue;
        any = true;
        if (bounds->min_len == 0)
            continue;
        fm_buf_clear(&f->scratch[0]);
        assert_int_equal(
            fm_vector_canonical(&f->batch, f->batch.vectors, &f->type, NULL, row, &f->scratch[0]),
            FM_OK);
        value = fm_buf_span(&f->scratch[0]);
        low = fm_canonical_compare(&f->type, fm_span(bounds->min, bounds->min_len), value);
        high = fm_canonical_compare(&f->type, value, fm_span(bounds->max, bounds->max_len));
        if (f->type.kind != FM_KIND_ENUM) { /* Those are by text. */
            assert_true(low <= 0);
            assert_true(high <= 0);
        }
        min_met = min_met || low == 0;
        max_met = max_met || high == 0;
    }
    if (any && bounds->min_len > 0) {
        assert_true(min_met || (bounds->flags & BOUNDS_MIN_CUT) != 0);
        assert_true(max_met || (bounds->flags & BOUNDS_MAX_CUT) != 0);
    }
}

static void check_column(struct fixture *f)
{
    uint32_t blocks = f->column.block_count;

    check_blocks(f, 0, blocks);
    check_bounds(f, &f->field.bounds, 0, f->column.rows);
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t rows = column_block_rows(&f->column, i);
        struct bounds bounds;

        if (blocks > 1)
            check_blocks(f, i, 1);
        assert_int_equal(column_block_bounds(&f->column, i, &bounds), FM_OK);
        check_bounds(f, &bounds, i * FM_BLOCK_ROWS, rows);
        assert_int_equal(f->column.blocks[i].null_count,
                         nulls_count(&f->batch, f->batch.vectors, i * FM_BLOCK_ROWS, rows));
    }
}

/* ---- Back and forth -------------------------------------------------------------------------- */

static void test_all_types_and_shapes(void **state)
{
    static const uint32_t row_counts[] = {1, 63, 2049};
    struct fixture *f = *state;

    for (uint32_t t = 0; t < RANDOM_TYPES; t++) {
        for (int shape = 0; shape < SHAPES; shape++) {
            for (int nulls = 0; nulls < NULLS_KINDS; nulls++) {
                uint32_t rows = row_counts[random_below(&f->random, 3)];

                store_column(f, random_types[t], (enum random_shape)shape, (enum nulls)nulls, rows);
                check_column(f);
            }
        }
    }
}

/* Numbers that follow a rule take few bytes, each kind by its own way. */
static void test_numbers_are_packed(void **state)
{
    static const struct {
        const char *name;
        uint8_t compression;
        uint32_t bytes_max; /* Of the first block. */
    } expected[] = {{"column-delta", COMPRESSION_PACKED, 3200},
                    {"column-runs", COMPRESSION_PACKED, 40},
                    {"column-differences", COMPRESSION_DIFFERENCES, 200}};
    struct fixture *f = *state;

    for (unsigned i = 0; i < COLUMN_EXAMPLES; i++) {
        for (unsigned j = 0; j < 3; j++) {
            struct fm_type type = {0};
            struct fm_buf stored = FM_BUF_INIT(0);
            struct column column = {0};

            if (strcmp(column_examples[i].name, expected[j].name) != 0)
                continue;
            column_example_make(&column_examples[i], &type, &stored);
            assert_int_equal(column_open(fm_buf_span(&stored), &type, &column), FM_OK);
            assert_int_equal(column.blocks[0].compression, expected[j].compression);
            assert_in_range(column.blocks[0].stored.len, 1, expected[j].bytes_max);
            column_deinit(&column);
            fm_buf_free(&stored);
            fm_type_deinit(&type);
        }
    }
    (void)f;
}

static void test_many_blocks(void **state)
{
    static const char *const types[] = {"int64", "varchar", "timestamp", "list(int32)", "boolean"};
    struct fixture *f = *state;

    for (uint32_t t = 0; t < 5; t++) {
        for (int nulls = 0; nulls < NULLS_KINDS; nulls++) {
            store_column(f, types[t], t % 2 == 0 ? SHAPE_STEPS : SHAPE_FEW, (enum nulls)nulls,
                         ROWS_MAX);
            check_column(f);
            check_blocks(f, 1, 2);
        }
    }
}

/* Texts in codes of a dictionary outside, which has more texts than the column. */
static void test_remapped_codes(void **state)
{
    struct fixture *f = *state;
    static const enum random_shape shapes[] = {SHAPE_FEW, SHAPE_SAME};

    for (int i = 0; i < 8; i++) {
        struct column_remap remap = {0};
        struct fm_dictionary outside = {0};
        uint32_t offsets[512] = {0};
        uint8_t text[64 * 512];
        uint32_t codes[512];
        uint32_t count;
        struct fm_batch batch;
        struct fm_span constant;

        store_column(f, "varchar", shapes[i % 2], (enum nulls)(i / 2 % 3), 3000);
        if (f->column.encoding == FM_ENC_PLAIN)
            continue;
        constant = fm_span(f->column.aux, f->column.aux_bytes);
        count = f->column.encoding == FM_ENC_CONSTANT ? 1 : f->column.dictionary.count;
        assert_true(count < 500);
        /* The empty text first, then the column's: each code moves by one, unless it is empty. */
        outside = (struct fm_dictionary){.count = 1, .offsets = offsets, .text = text};
        for (uint32_t c = 0; c < count; c++) {
            struct fm_span value = f->column.encoding == FM_ENC_CONSTANT
                                       ? constant
                                       : fm_dictionary_at(&f->column.dictionary, c);

            if (value.len == 0) {
                codes[c] = 0;
                continue;
            }
            assert_true(value.len < 64);
            memcpy(text + offsets[outside.count], value.data, value.len);
            offsets[outside.count + 1] = offsets[outside.count] + (uint32_t)value.len;
            codes[c] = outside.count++;
        }
        remap = (struct column_remap){
            .dictionary = &outside, .code_width = (uint8_t)(1 + i % 2), .codes = codes};
        fm_buf_clear(&f->decoded);
        assert_int_equal(column_decode(&f->column, 0, f->column.block_count, &remap, &f->decoded),
                         FM_OK);
        assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->decoded), &batch), FM_OK);
        assert_int_equal(batch.vectors[0].flags, FM_VECTOR_DICT_OUTSIDE);
        for (uint32_t row = 0; row < batch.rows; row++)
            assert_same_row(f, &batch, row, row, &outside);
    }
}

/* Long texts have cut bounds that still hold; a blob of 0xff bytes has no upper one. */
static void test_cut_bounds(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 50; i++) {
        store_column(f, i % 2 == 0 ? "varchar" : "blob", SHAPE_ANY, NULLS_NONE,
                     1 + random_below(&f->random, 40));
        check_column(f);
    }
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static bool opens_and_decodes(struct fm_span value, const struct fm_type *type)
{
    struct fm_buf out = FM_BUF_INIT(0);
    struct column column;
    bool good = false;

    if (column_open(value, type, &column) == FM_OK) {
        good = column_decode(&column, 0, column.block_count, NULL, &out) == FM_OK;
        column_deinit(&column);
    }
    fm_buf_free(&out);
    return good;
}

/* Any flipped bit and any missing end of a value is noticed, by the opening or by the decoding. */
static void test_damage_is_noticed(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < COLUMN_EXAMPLES; i++) {
        size_t step;

        fm_buf_clear(&f->stored);
        fm_type_deinit(&f->type);
        column_example_make(&column_examples[i], &f->type, &f->stored);
        assert_true(opens_and_decodes(fm_buf_span(&f->stored), &f->type));
        step = f->stored.len > 1000 ? 13 : 1;
        for (size_t bit = 0; bit < 8 * f->stored.len; bit += step) {
            f->stored.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_false(opens_and_decodes(fm_buf_span(&f->stored), &f->type));
            f->stored.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        for (size_t len = 0; len < f->stored.len; len += step)
            assert_false(opens_and_decodes(fm_span(f->stored.data, len), &f->type));
    }
}

/* A value of another type is not taken for one's own. */
static void test_other_type(void **state)
{
    struct fixture *f = *state;
    struct fm_type other = {.kind = FM_KIND_DATE};

    store_column(f, "int32", SHAPE_FEW, NULLS_NONE, 100);
    assert_false(opens_and_decodes(fm_buf_span(&f->stored), &other));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_types_and_shapes), TEST(test_numbers_are_packed),
        TEST(test_many_blocks),          TEST(test_remapped_codes),
        TEST(test_cut_bounds),           TEST(test_damage_is_noticed),
        TEST(test_other_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
