/* The batch builder: which encoding it takes, what it refuses, that a failed put leaves nothing
 * behind. That rows come out as they went in is in test_batch_rows.c. */
#include "core/batch.h"

#include "core/assert.h"
#include "core/bits.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/random_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- Fixture: one column of a type, built and viewed ---- */

struct fixture {
    struct fm_type type;
    const struct fm_type *types;
    const struct fm_dictionary *dictionary;
    struct fm_batch_builder *builder;
    struct fm_buf bytes;
    struct fm_batch batch;
};

static void close_column(struct fixture *f)
{
    fm_batch_builder_free(f->builder);
    f->builder = NULL;
    fm_type_deinit(&f->type);
    f->dictionary = NULL;
}

static void open_column(struct fixture *f, const char *type, bool encode)
{
    const struct fm_dictionary *dictionary = f->dictionary;
    close_column(f);
    f->dictionary = dictionary;
    assert_int_equal(fm_type_parse(fm_span_str(type), &f->type, NULL), FM_OK);
    f->types = &f->type;
    const struct fm_batch_builder_options options = {
        .types = &f->types,
        .column_count = 1,
        .encode = encode,
        .dictionaries = dictionary != NULL ? &f->dictionary : NULL,
    };
    assert_int_equal(fm_batch_builder_new(&options, &f->builder), FM_OK);
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_column(f);
    fm_buf_free(&f->bytes);
    free(f);
    return 0;
}

static const struct fm_vector_entry *finish(struct fixture *f)
{
    size_t bound = fm_batch_builder_bytes(f->builder);
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_batch_builder_finish(f->builder, 7, &f->bytes), FM_OK);
    assert_true(f->bytes.len <= bound);
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), &f->types, 1,
                                   f->dictionary != NULL ? &f->dictionary : NULL, &f->batch),
                     FM_OK);
    assert_int_equal(fm_batch_builder_rows(f->builder), 0);
    return &f->batch.vectors[0];
}

static void put_int64(struct fixture *f, int64_t value)
{
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &value), FM_OK);
}

static void put_text(struct fixture *f, const char *text)
{
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str(text)), FM_OK);
}

static int64_t int64_at(const struct fixture *f, uint32_t row)
{
    int64_t value;
    fm_vector_fixed(&f->batch, &f->batch.vectors[0], row, &value);
    return value;
}

/* ---- Encodings of integers ---- */

static void integers_take_the_narrowest_codes(void **state)
{
    static const struct {
        int64_t base, step;
        uint32_t count;
        int code_width; /* 0: plain. */
    } rows[] = {
        {100, 1, 256, 1},
        {100, 1, 257, 2},
        {-5, 1, 65536, 2},
        {-5, 1, 65537, 4},
        {INT64_C(1700000000000000), 60000000, 256, 1},
        {INT64_C(1700000000000000), 60000000, 1000, 2},
        {INT64_MIN, INT64_C(1) << 55, 256, 1},
        {INT64_MAX - 255, 1, 256, 1},
        {0, INT64_C(0x123456789), 2000, 2},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_column(f, "int64", true);
        for (uint32_t row = 0; row < rows[i].count; row++)
            put_int64(f, (int64_t)((uint64_t)rows[i].base + row * (uint64_t)rows[i].step));
        const struct fm_vector_entry *v = finish(f);
        assert_int_equal(v->encoding, FM_ENC_FOR);
        assert_int_equal(v->code_width, rows[i].code_width);
        assert_true(v->base == rows[i].base);
        assert_true(v->step == rows[i].step);
        for (uint32_t row = 0; row < rows[i].count; row += 13)
            assert_true(int64_at(f, row) ==
                        (int64_t)((uint64_t)rows[i].base + row * (uint64_t)rows[i].step));
    }
}

static void extremes_are_kept(void **state)
{
    static const char *const types[] = {"int64", "uint64", "timestamp"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++)
        for (int with_zero = 0; with_zero < 3; with_zero++) {
            open_column(f, types[i], true);
            put_int64(f, INT64_MIN);
            put_int64(f, INT64_MAX);
            put_int64(f, -1);
            if (with_zero > 0)
                put_int64(f, 0);
            if (with_zero > 1)
                assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
            (void)finish(f);
            assert_true(int64_at(f, 0) == INT64_MIN);
            assert_true(int64_at(f, 1) == INT64_MAX);
            assert_true(int64_at(f, 2) == -1);
            if (with_zero > 0)
                assert_true(int64_at(f, 3) == 0);
        }
}

/* Two values that are further apart than a step can say. */
static void a_step_past_int64_is_plain(void **state)
{
    struct fixture *f = *state;
    open_column(f, "int64", true);
    put_int64(f, INT64_MIN);
    put_int64(f, INT64_MAX);
    assert_int_equal(finish(f)->encoding, FM_ENC_PLAIN);
    open_column(f, "int64", true);
    put_int64(f, INT64_MIN);
    put_int64(f, -1);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_FOR);
    assert_true(v->step == INT64_MAX);
    assert_true(int64_at(f, 1) == -1);
}

static void same_values_are_constant(void **state)
{
    static const char *const types[] = {"int64",     "uint64",        "double",
                                        "timestamp", "decimal(18,2)", "time"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        open_column(f, types[i], true);
        for (unsigned row = 0; row < 100; row++)
            if (row % 7 == 0)
                assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
            else
                put_int64(f, 42);
        const struct fm_vector_entry *v = finish(f);
        assert_int_equal(v->encoding, FM_ENC_CONSTANT);
        assert_int_equal(v->null_count, 15);
        assert_true(fm_vector_is_null(&f->batch, v, 7));
        assert_false(fm_vector_is_null(&f->batch, v, 8));
        assert_true(int64_at(f, 8) == 42);
    }
}

static void nulls_do_not_widen_codes(void **state)
{
    struct fixture *f = *state;
    open_column(f, "int64", true);
    for (int64_t row = 0; row < 200; row++)
        if (row % 3 == 0)
            assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
        else
            put_int64(f, INT64_C(1700000000000000) + row * 1000);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_FOR);
    assert_int_equal(v->code_width, 1);
    for (uint32_t row = 0; row < 200; row++) {
        if (row % 3 == 0) {
            assert_int_equal(f->bytes.data[v->data_at + row], 0);
            continue;
        }
        assert_true(int64_at(f, row) == INT64_C(1700000000000000) + row * 1000);
    }
}

static void without_encoding_all_is_plain(void **state)
{
    struct fixture *f = *state;
    open_column(f, "int64", false);
    for (unsigned row = 0; row < 10; row++)
        put_int64(f, 5);
    assert_int_equal(finish(f)->encoding, FM_ENC_PLAIN);
    open_column(f, "varchar", false);
    for (unsigned row = 0; row < 10; row++)
        put_text(f, "same");
    assert_int_equal(finish(f)->encoding, FM_ENC_PLAIN);
    open_column(f, "int64", false);
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_PLAIN);
    assert_int_equal(v->flags, 0);
}

/* ---- Texts ---- */

static void few_texts_make_a_dictionary(void **state)
{
    struct fixture *f = *state;
    char text[32];
    for (uint32_t distinct = 250; distinct <= 300; distinct += 50) {
        open_column(f, "varchar", true);
        for (uint32_t row = 0; row < 3000; row++) {
            (void)snprintf(text, sizeof text, "text %u", row * 7919 % distinct);
            put_text(f, text);
        }
        const struct fm_vector_entry *v = finish(f);
        assert_int_equal(v->encoding, FM_ENC_DICTIONARY);
        assert_int_equal(v->code_width, distinct <= 256 ? 1 : 2);
        for (uint32_t row = 0; row < 3000; row++) {
            (void)snprintf(text, sizeof text, "text %u", row * 7919 % distinct);
            assert_true(fm_span_equal(fm_vector_bytes(&f->batch, v, NULL, row), fm_span_str(text)));
        }
    }
}

static void one_text_is_constant(void **state)
{
    static const char *const texts[] = {"", "the same"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 2; i++) {
        open_column(f, "varchar", true);
        assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
        for (unsigned row = 0; row < 10; row++)
            put_text(f, texts[i]);
        const struct fm_vector_entry *v = finish(f);
        assert_int_equal(v->encoding, FM_ENC_CONSTANT);
        assert_true(fm_vector_is_null(&f->batch, v, 0));
        assert_true(fm_span_equal(fm_vector_bytes(&f->batch, v, NULL, 1), fm_span_str(texts[i])));
    }
}

/* More distinct texts than a table takes: the column changes over in the middle. */
static void many_texts_are_plain(void **state)
{
    struct fixture *f = *state;
    char text[32];
    open_column(f, "varchar", true);
    for (uint32_t row = 0; row < 40000; row++) {
        (void)snprintf(text, sizeof text, "%u", row);
        if (row % 100 == 0)
            assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
        else
            put_text(f, text);
    }
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_PLAIN);
    assert_int_equal(v->null_count, 400);
    for (uint32_t row = 0; row < 40000; row++) {
        (void)snprintf(text, sizeof text, "%u", row);
        assert_int_equal(fm_vector_is_null(&f->batch, v, row), row % 100 == 0);
        struct fm_span got = fm_vector_bytes(&f->batch, v, NULL, row);
        assert_true(fm_span_equal(got, row % 100 == 0 ? fm_span("", 0) : fm_span_str(text)));
    }
}

static void long_texts_are_kept(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(1u << 20);
    assert_non_null(text);
    memset(text, 'x', 1u << 20);
    open_column(f, "blob", true);
    for (unsigned row = 0; row < 5; row++) {
        text[0] = (char)row;
        assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span(text, 1u << 20)), FM_OK);
    }
    const struct fm_vector_entry *v = finish(f);
    for (uint32_t row = 0; row < 5; row++) {
        text[0] = (char)row;
        assert_true(
            fm_span_equal(fm_vector_bytes(&f->batch, v, NULL, row), fm_span(text, 1u << 20)));
    }
    free(text);
}

/* ---- Outside dictionaries ---- */

static const uint32_t outside_offsets[] = {0, 1, 2, 3};
static const struct fm_dictionary outside = {3, outside_offsets, (const uint8_t *)"abc"};
static const struct fm_dictionary outside_other = {2, outside_offsets, (const uint8_t *)"ab"};

static void outside_dictionaries_are_kept_to(void **state)
{
    struct fixture *f = *state;
    f->dictionary = &outside;
    open_column(f, "varchar", true);
    put_text(f, "c");
    put_text(f, "a");
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str("d")), FM_INVALID);
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
    assert_int_equal(fm_batch_builder_rows(f->builder), 3);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_DICTIONARY);
    assert_int_equal(v->flags, FM_VECTOR_DICT_OUTSIDE);
    assert_int_equal(v->aux_bytes, 0);
    assert_memory_equal(f->bytes.data + v->data_at, "\2\0\0", 3);
    assert_true(fm_span_equal(fm_vector_bytes(&f->batch, v, &outside, 0), fm_span_str("c")));

    struct fm_batch batch;
    const struct fm_dictionary *none = NULL, *small = &outside_other;
    struct fm_span bytes = fm_buf_span(&f->bytes);
    assert_int_equal(fm_batch_view(bytes, NULL, 0, NULL, &batch), FM_MALFORMED);
    assert_int_equal(fm_batch_view(bytes, NULL, 0, &none, &batch), FM_MALFORMED);
    assert_int_equal(fm_batch_view(bytes, NULL, 0, &small, &batch), FM_MALFORMED);
}

/* From a dictionary inside, from the same one outside, from another one, from plain text. */
static void codes_are_translated(void **state)
{
    struct fixture source = {0}, *f = *state;
    const struct fm_dictionary *same = &outside;
    for (int kind = 0; kind < 5; kind++) {
        source.dictionary = kind == 1 ? same : kind == 2 ? &outside_other : NULL;
        open_column(&source, "varchar", kind != 3);
        for (unsigned row = 0; row < 200; row++) {
            if (row % 10 == 0)
                assert_int_equal(fm_batch_put_null(source.builder, 0), FM_OK);
            else
                put_text(&source, kind == 4 || row % 3 == 0 ? "a" : "b");
        }
        (void)finish(&source);
        f->dictionary = &outside;
        open_column(f, "varchar", true);
        uint64_t selection[4] = {UINT64_C(0xf0f0f0f0f0f0f0f0), UINT64_MAX, 0, 0x3ff};
        assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, source.dictionary, 0,
                                           200, selection),
                         FM_OK);
        const struct fm_vector_entry *v = finish(f);
        uint32_t at = 0;
        for (uint32_t row = 0; row < 200; row++) {
            if (row >= 200 || !fm_bits_get(selection, row))
                continue;
            assert_int_equal(fm_vector_is_null(&f->batch, v, at), row % 10 == 0);
            const char *want = kind == 4 || row % 3 == 0 ? "a" : "b";
            if (row % 10 != 0)
                assert_true(
                    fm_span_equal(fm_vector_bytes(&f->batch, v, &outside, at), fm_span_str(want)));
            at++;
        }
        assert_int_equal(at, f->batch.rows);
    }
    /* The other way round one text is missing. */
    source.dictionary = &outside;
    open_column(&source, "varchar", true);
    put_text(&source, "a");
    put_text(&source, "c");
    (void)finish(&source);
    f->dictionary = &outside_other;
    open_column(f, "varchar", true);
    assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, &outside, 0, 1, NULL),
                     FM_OK);
    assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, &outside, 0, 2, NULL),
                     FM_INVALID);
    assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, NULL, 0, 1, NULL),
                     FM_INVALID);
    assert_int_equal(fm_batch_builder_rows(f->builder), 1);
    assert_int_equal(finish(f)->rows, 1);
    close_column(&source);
    fm_buf_free(&source.bytes);
}

/* ---- Runs ---- */

static void put_codes(struct fixture *f, int64_t base, int64_t step, uint32_t count)
{
    struct fixture source = {0};
    open_column(&source, "int64", true);
    for (uint32_t row = 0; row < count; row++)
        put_int64(&source, base + (int64_t)row * step);
    (void)finish(&source);
    assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, NULL, 0, count, NULL),
                     FM_OK);
    close_column(&source);
    fm_buf_free(&source.bytes);
}

static void equal_codes_pass_through(void **state)
{
    struct fixture *f = *state;
    open_column(f, "int64", true);
    put_codes(f, 1000, 3, 200);
    put_codes(f, 1000, 3, 100);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_FOR);
    assert_int_equal(v->code_width, 1);
    assert_int_equal(v->base, 1000);
    assert_int_equal(v->step, 3);
    for (uint32_t row = 0; row < 300; row++)
        assert_int_equal(int64_at(f, row), 1000 + 3 * (row % 200));
}

static void different_codes_meet(void **state)
{
    struct fixture *f = *state;
    open_column(f, "int64", true);
    put_codes(f, 1000000, 60, 100);
    put_codes(f, 1000030, 60, 100);
    put_int64(f, 999970);
    put_codes(f, 1000000, 1, 1); /* Constant. */
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
    const struct fm_vector_entry *v = finish(f);
    assert_int_equal(v->encoding, FM_ENC_FOR);
    assert_int_equal(v->code_width, 1);
    assert_int_equal(v->base, 999970);
    assert_int_equal(v->step, 30);
    for (uint32_t row = 0; row < 100; row++) {
        assert_int_equal(int64_at(f, row), 1000000 + 60 * row);
        assert_int_equal(int64_at(f, 100 + row), 1000030 + 60 * row);
    }
    assert_int_equal(int64_at(f, 200), 999970);
    assert_int_equal(int64_at(f, 201), 1000000);
    assert_true(fm_vector_is_null(&f->batch, v, 202));

    open_column(f, "int64", true);
    put_codes(f, INT64_MIN, 1, 10);
    put_codes(f, INT64_MAX - 9, 1, 10);
    assert_int_equal(finish(f)->encoding, FM_ENC_PLAIN);
    assert_true(int64_at(f, 9) == INT64_MIN + 9);
    assert_true(int64_at(f, 19) == INT64_MAX);
}

/* ---- Values that are refused ---- */

static void wrong_values_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t two = 2;
    int16_t large = 10000;
    open_column(f, "boolean", true);
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &two), FM_INVALID);
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str("x")), FM_INVALID);
    open_column(f, "decimal(4,1)", true);
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &large), FM_INVALID);
    large = -10000;
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &large), FM_INVALID);
    open_column(f, "varchar", true);
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str("\xff")), FM_INVALID);
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &two), FM_INVALID);
    open_column(f, "varchar", false);
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str("\xff")), FM_INVALID);
    open_column(f, "enum('a','b')", true);
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str("c")), FM_INVALID);
    assert_int_equal(fm_batch_builder_rows(f->builder), 0);
    put_text(f, "b");
    assert_int_equal(finish(f)->rows, 1);
}

/* Null rows of other memory may hold anything. */
static void garbage_below_nulls_goes(void **state)
{
    struct fixture *f = *state;
    uint8_t flags[3] = {1, 77, 0};
    int64_t numbers[3] = {5, -123456789012345, 6};
    uint64_t validity = 5;
    open_column(f, "boolean", false);
    assert_int_equal(fm_batch_put_fixed_many(f->builder, 0, flags, &validity, 3), FM_OK);
    const struct fm_vector_entry *v = finish(f);
    assert_memory_equal(f->bytes.data + v->data_at, "\1\0\0", 3);
    for (int encode = 0; encode < 2; encode++) {
        open_column(f, "int64", encode != 0);
        assert_int_equal(fm_batch_put_fixed_many(f->builder, 0, numbers, &validity, 3), FM_OK);
        v = finish(f);
        assert_int_equal(v->encoding, encode != 0 ? FM_ENC_FOR : FM_ENC_PLAIN);
        assert_true(fm_vector_is_null(&f->batch, v, 1));
        assert_true(int64_at(f, 1) == (encode != 0 ? 5 : 0)); /* Code 0. */
        assert_true(int64_at(f, 2) == 6);
    }
}

static void bad_canonical_values_leave_nothing(void **state)
{
    static const char *const rows[][2] = {
        {"list(varchar)", "03010161010162"
                          "0101ff"},
        {"struct(a int8, b list(boolean))", "01070101"
                                            "0102"},
        {"map(int8, varchar)", "0205010161"
                               "0300"},
        {"map(int8, enum('x'))", "02030101780501"
                                 "0179"},
        {"list(struct(a int32))", "02"
                                  "01"
                                  "0101000000"
                                  "01"
                                  "01010000"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[64];
        size_t len = strlen(rows[i][1]) / 2;
        assert_int_equal(fm_unhex(rows[i][1], bytes, len), FM_OK);
        open_column(f, rows[i][0], true);
        for (unsigned row = 0; row < 70; row++) {
            struct fm_cursor cursor = fm_cursor(fm_span(bytes, len));
            size_t before = fm_batch_builder_bytes(f->builder);
            if (fm_batch_put_canonical(f->builder, 0, &cursor) != FM_MALFORMED)
                fail_msg("%s was not refused", rows[i][0]);
            assert_int_equal(fm_cursor_left(&cursor), len);
            if (row > 0)
                assert_int_equal(fm_batch_builder_bytes(f->builder), before);
            assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
        }
        const struct fm_vector_entry *v = finish(f);
        assert_int_equal(v->null_count, 70);
        for (uint32_t child = 0; child < v->child_count; child++)
            assert_int_equal(f->batch.vectors[v->first_child + child].rows,
                             v->kind == FM_KIND_STRUCT ? 70 : 0);
    }
}

/* ---- Bounds ---- */

static void rows_are_bounded(void **state)
{
    struct fixture *f = *state;
    static uint8_t values[FM_BATCH_ROWS_MAX + 1];
    open_column(f, "uint8", true);
    assert_int_equal(fm_batch_put_fixed_many(f->builder, 0, values, NULL, FM_BATCH_ROWS_MAX + 1),
                     FM_LIMIT);
    assert_int_equal(fm_batch_put_fixed_many(f->builder, 0, values, NULL, FM_BATCH_ROWS_MAX),
                     FM_OK);
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, values), FM_LIMIT);
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_LIMIT);
    assert_int_equal(finish(f)->rows, FM_BATCH_ROWS_MAX);
    struct fixture again = {0};
    open_column(&again, "uint8", true);
    assert_int_equal(fm_batch_put_fixed(again.builder, 0, values), FM_OK);
    assert_int_equal(
        fm_batch_put_rows(again.builder, 0, &f->batch, 0, NULL, 0, FM_BATCH_ROWS_MAX, NULL),
        FM_LIMIT);
    assert_int_equal(
        fm_batch_put_rows(again.builder, 0, &f->batch, 0, NULL, 1, FM_BATCH_ROWS_MAX - 1, NULL),
        FM_OK);
    close_column(&again);
}

/* A full batch refuses one value more and can still be finished. */
static void bytes_are_bounded(void **state)
{
    struct fixture *f = *state;
    size_t len = FM_VALUE_BYTES_MAX;
    char *text = calloc(len + 1, 1);
    assert_non_null(text);
    for (int encode = 0; encode < 2; encode++) {
        enum fm_status status = FM_OK;
        uint32_t rows = 0;
        open_column(f, "blob", encode != 0);
        assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span(text, len + 1)), FM_LIMIT);
        for (; status == FM_OK && rows < 10; rows += status == FM_OK) {
            text[0] = (char)rows;
            status = fm_batch_put_bytes(f->builder, 0, fm_span(text, len));
        }
        assert_int_equal(status, FM_LIMIT);
        assert_int_equal(rows, 3);
        assert_int_equal(finish(f)->rows, 3);
    }
    free(text);
}

static void columns_have_equal_rows(void **state)
{
    struct fm_type types[2] = {{.kind = FM_KIND_INT8}, {.kind = FM_KIND_INT8}};
    const struct fm_type *list[2] = {&types[0], &types[1]};
    struct fm_batch_builder_options options = {.types = list, .column_count = 2};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf out = {0};
    struct fm_batch batch;
    uint8_t value = 1;
    (void)state;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_fixed(builder, 0, &value), FM_OK);
    fm_buf_put_u8(&out, 9);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &out), FM_INVALID);
    assert_int_equal(out.len, 1);
    assert_int_equal(fm_batch_put_fixed(builder, 1, &value), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &out), FM_OK);
    assert_int_equal(out.data[0], 9); /* Behind what was there, aligned. */
    assert_int_equal(fm_batch_view(fm_span(out.data + 8, out.len - 8), NULL, 0, NULL, &batch),
                     FM_OK);
    assert_int_equal(batch.rows, 1);
    fm_batch_builder_free(builder);
    builder = NULL;
    options.column_count = 0;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_INVALID);
    options.column_count = FM_COLUMNS_MAX + 1;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_LIMIT);
    fm_batch_builder_free(NULL);
    fm_buf_free(&out);
}

static void rows_of_other_types_are_refused(void **state)
{
    struct fixture source = {0}, *f = *state;
    static const char *const pairs[][2] = {{"int32", "uint32"},
                                           {"decimal(4,1)", "decimal(4,2)"},
                                           {"list(int8)", "list(int16)"},
                                           {"varchar", "blob"}};
    for (size_t i = 0; i < 4; i++) {
        open_column(&source, pairs[i][0], true);
        assert_int_equal(fm_batch_put_null(source.builder, 0), FM_OK);
        (void)finish(&source);
        open_column(f, pairs[i][1], true);
        assert_int_equal(fm_batch_put_rows(f->builder, 0, &source.batch, 0, NULL, 0, 1, NULL),
                         FM_INVALID);
    }
    close_column(&source);
    fm_buf_free(&source.bytes);
}

static void empty_batches_are_batches(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < RANDOM_TYPES; i++)
        for (int encode = 0; encode < 2; encode++) {
            open_column(f, random_types[i], encode != 0);
            assert_int_equal(finish(f)->rows, 0);
        }
}

/* ---- Memory ---- */

/* Fail the n-th allocation for every n: a status, nothing lost, and the builder goes on. */
static void each_failed_allocation_is_a_status(void **state)
{
    static const char *const types[] = {"int64", "double", "varchar", "map(varchar, list(int32))",
                                        "enum('a','bb','','ccc')"};
    struct random random = {77};
    (void)state;
    if (!fail_alloc_available())
        skip();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct fixture source = {0};
        open_column(&source, types[i], true);
        for (unsigned row = 0; row < 200; row++) {
            struct fm_buf value = {0};
            random_value(&random, &source.type, SHAPE_FEW, &value);
            struct fm_cursor cursor = fm_cursor(fm_buf_span(&value));
            assert_int_equal(fm_batch_put_canonical(source.builder, 0, &cursor), FM_OK);
            if (row % 9 == 0)
                assert_int_equal(fm_batch_put_null(source.builder, 0), FM_OK);
            fm_buf_free(&value);
        }
        (void)finish(&source);
        for (size_t n = 0, hit = 1; hit != 0; n++) {
            long before = fail_alloc_live();
            struct fm_batch_builder *builder = NULL;
            struct fm_buf out = {0};
            struct fm_batch batch;
            const struct fm_batch_builder_options options = {
                .types = &source.types, .column_count = 1, .encode = true};
            fail_alloc_after(n);
            enum fm_status status = fm_batch_builder_new(&options, &builder);
            for (uint32_t at = 0; status == FM_OK && at + 50 <= source.batch.rows; at += 50) {
                uint32_t rows = fm_batch_builder_rows(builder);
                status = fm_batch_put_rows(builder, 0, &source.batch, 0, NULL, at, 50, NULL);
                assert_int_equal(fm_batch_builder_rows(builder), rows + (status == FM_OK ? 50 : 0));
            }
            if (status == FM_OK)
                status = fm_batch_builder_finish(builder, 0, &out);
            if (status == FM_OK)
                status = fm_batch_view(fm_buf_span(&out), &source.types, 1, NULL, &batch);
            hit = fail_alloc_stop();
            /* FM_OK in spite of it: qsort_r() asks for memory and can do without. */
            assert_true(status == FM_OK || (hit != 0 && status == FM_NOMEM));
            if (hit != 0 && builder != NULL) {
                fm_buf_clear(&out);
                assert_int_equal(fm_batch_builder_finish(builder, 0, &out), FM_OK);
                assert_int_equal(fm_batch_view(fm_buf_span(&out), &source.types, 1, NULL, &batch),
                                 FM_OK);
            }
            fm_batch_builder_free(builder);
            fm_buf_free(&out);
            assert_int_equal(fail_alloc_live(), before);
        }
        close_column(&source);
        fm_buf_free(&source.bytes);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(integers_take_the_narrowest_codes),
        TEST(extremes_are_kept),
        TEST(a_step_past_int64_is_plain),
        TEST(same_values_are_constant),
        TEST(nulls_do_not_widen_codes),
        TEST(without_encoding_all_is_plain),
        TEST(few_texts_make_a_dictionary),
        TEST(one_text_is_constant),
        TEST(many_texts_are_plain),
        TEST(long_texts_are_kept),
        TEST(outside_dictionaries_are_kept_to),
        TEST(codes_are_translated),
        TEST(equal_codes_pass_through),
        TEST(different_codes_meet),
        TEST(wrong_values_are_refused),
        TEST(garbage_below_nulls_goes),
        TEST(bad_canonical_values_leave_nothing),
        TEST(rows_are_bounded),
        TEST(bytes_are_bounded),
        cmocka_unit_test(columns_have_equal_rows),
        TEST(rows_of_other_types_are_refused),
        TEST(empty_batches_are_batches),
        cmocka_unit_test(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
