/* Announcing columns whose dictionaries do not fit a message. */
#include "node/recode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TEXT_BYTES 8u
#define LARGE 500u
#define SMALL 3u
#define ROWS 1000u

/* Two text columns with dictionaries of 500 and 3 values, and a number between them. */
struct fixture {
    char text[LARGE * TEXT_BYTES + 1];
    uint32_t offsets[LARGE + 1];
    struct fm_column items[3];
    struct fm_columns columns;
    struct fm_buf encoded;
    struct fm_buf batch;
    struct fm_recode *recode;
};

static struct fm_dictionary first_values(const struct fixture *f, uint32_t count)
{
    return (struct fm_dictionary){
        .count = count, .offsets = f->offsets, .text = (const uint8_t *)f->text};
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    for (uint32_t i = 0; i < LARGE; i++) {
        (void)snprintf(f->text + (size_t)i * TEXT_BYTES, TEXT_BYTES + 1, "text%04u", i);
        f->offsets[i + 1] = (i + 1) * TEXT_BYTES;
    }
    f->items[0] = (struct fm_column){.name = "large", .type = {.kind = FM_KIND_VARCHAR}};
    f->items[1] = (struct fm_column){.name = "number", .type = {.kind = FM_KIND_UINT32}};
    f->items[2] = (struct fm_column){.name = "small", .type = {.kind = FM_KIND_VARCHAR}};
    f->items[0].dictionary = first_values(f, LARGE);
    f->items[2].dictionary = first_values(f, SMALL);
    f->columns = (struct fm_columns){.count = 3, .items = f->items};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_recode_free(f->recode);
    fm_buf_free(&f->encoded);
    fm_buf_free(&f->batch);
    free(f);
    return 0;
}

/* The text of a row in one of the columns. */
static struct fm_span text_of(const struct fixture *f, uint32_t column, uint32_t row)
{
    return fm_dictionary_at(&f->items[column].dictionary, row % f->items[column].dictionary.count);
}

/* In the large column every seventh row is NULL. */
static void fill_batch(struct fixture *f)
{
    const struct fm_type *types[] = {&f->items[0].type, &f->items[1].type, &f->items[2].type};
    const struct fm_dictionary *outside[] = {&f->items[0].dictionary, NULL,
                                             &f->items[2].dictionary};
    const struct fm_batch_builder_options options = {
        .types = types, .column_count = 3, .encode = true, .dictionaries = outside};
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;

    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t row = 0; row < ROWS; row++) {
        if (row % 7 == 0)
            assert_int_equal(fm_batch_put_null(builder, 0), FM_OK);
        else
            assert_int_equal(fm_batch_put_bytes(builder, 0, text_of(f, 0, row)), FM_OK);
        assert_int_equal(fm_batch_put_fixed(builder, 1, &row), FM_OK);
        assert_int_equal(fm_batch_put_bytes(builder, 2, text_of(f, 2, row)), FM_OK);
    }
    assert_int_equal(fm_batch_builder_finish(builder, 77, &f->batch), FM_OK);
}

/* Every value of the batch, read with the columns as a receiver knows them. */
static void check_batch(const struct fixture *f, const struct fm_columns *columns)
{
    const struct fm_type *types[3];
    const struct fm_dictionary *known[3] = {NULL, NULL, NULL};
    struct fm_batch view;

    for (uint32_t i = 0; i < 3; i++) {
        types[i] = &columns->items[i].type;
        if (columns->items[i].dictionary.count != 0)
            known[i] = &columns->items[i].dictionary;
    }
    assert_int_equal(fm_batch_view(fm_buf_span(&f->batch), types, 3, known, &view), FM_OK);
    assert_int_equal(view.rows, ROWS);
    assert_int_equal(view.first_row, 77);
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t number = 0;
        assert_int_equal(fm_vector_is_null(&view, &view.vectors[0], row), row % 7 == 0);
        if (row % 7 != 0)
            assert_true(fm_span_equal(fm_vector_bytes(&view, &view.vectors[0], known[0], row),
                                      text_of(f, 0, row)));
        fm_vector_fixed(&view, &view.vectors[1], row, &number);
        assert_int_equal(number, row);
        assert_true(fm_span_equal(fm_vector_bytes(&view, &view.vectors[2], known[2], row),
                                  text_of(f, 2, row)));
    }
}

static void announce(struct fixture *f, size_t bytes_max, struct fm_columns *out)
{
    assert_int_equal(fm_recode_columns(&f->columns, UINT64_MAX, bytes_max, &f->encoded, &f->recode),
                     FM_OK);
    assert_true(f->encoded.len <= bytes_max);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->encoded), out), FM_OK);
}

/* What fits is announced as it is, and batches pass unchanged. */
static void small_columns_stay(void **state)
{
    struct fixture *f = *state;
    struct fm_columns announced = {0};
    FM_AUTO(fm_buf_free) struct fm_buf before = FM_BUF_INIT(1 << 20);

    announce(f, 1 << 16, &announced);
    assert_null(f->recode);
    assert_int_equal(announced.items[0].dictionary.count, LARGE);
    fill_batch(f);
    fm_buf_put_span(&before, fm_buf_span(&f->batch));
    assert_int_equal(fm_recode_batch(f->recode, &f->batch), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&before), fm_buf_span(&f->batch)));
    check_batch(f, &announced);
    fm_columns_deinit(&announced);
}

/* The largest dictionary goes, the small one stays; batches hold the same values. */
static void largest_dictionary_goes_first(void **state)
{
    struct fixture *f = *state;
    struct fm_columns announced = {0};

    announce(f, 1024, &announced);
    assert_non_null(f->recode);
    assert_int_equal(announced.items[0].dictionary.count, 0);
    assert_int_equal(announced.items[2].dictionary.count, SMALL);
    for (uint32_t i = 0; i < 3; i++) { /* One batch after the other. */
        fm_buf_clear(&f->batch);
        fill_batch(f);
        assert_int_equal(fm_recode_batch(f->recode, &f->batch), FM_OK);
        check_batch(f, &announced);
    }
    fm_columns_deinit(&announced);
}

/* A dictionary of more texts than there are rows says more than the rows can. */
static void dictionaries_beyond_the_rows_go(void **state)
{
    struct fixture *f = *state;

    for (uint64_t rows = SMALL - 1; rows <= LARGE; rows++) {
        struct fm_columns announced = {0};
        fm_buf_clear(&f->encoded);
        fm_buf_clear(&f->batch);
        assert_int_equal(fm_recode_columns(&f->columns, rows, 1 << 16, &f->encoded, &f->recode),
                         FM_OK);
        assert_int_equal(fm_columns_decode(fm_buf_span(&f->encoded), &announced), FM_OK);
        assert_int_equal(announced.items[0].dictionary.count, rows < LARGE ? 0 : LARGE);
        assert_int_equal(announced.items[2].dictionary.count, rows < SMALL ? 0 : SMALL);
        assert_true((f->recode == NULL) == (rows >= LARGE));
        fill_batch(f);
        assert_int_equal(fm_recode_batch(f->recode, &f->batch), FM_OK);
        check_batch(f, &announced);
        fm_columns_deinit(&announced);
        fm_recode_free(FM_TAKE(f->recode));
    }
}

/* Names and types alone may be too much: that is said, and nothing is announced. */
static void too_many_columns_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_recode_columns(&f->columns, UINT64_MAX, 16, &f->encoded, &f->recode),
                     FM_LIMIT);
    assert_null(f->recode);
    assert_int_equal(f->encoded.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_columns_stay),
        TEST(largest_dictionary_goes_first),
        TEST(dictionaries_beyond_the_rows_go),
        TEST(too_many_columns_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
