/* Keys of one column as conditions on another: whatever is equal to a key passes them. */
#include "query/key_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FIELD 7u

static const struct fm_type text = {.kind = FM_KIND_VARCHAR};
static const struct fm_type int16 = {.kind = FM_KIND_INT16};
static const struct fm_type int64 = {.kind = FM_KIND_INT64};
static const struct fm_type uint8 = {.kind = FM_KIND_UINT8};
static const struct fm_type uint64 = {.kind = FM_KIND_UINT64};

struct fixture {
    struct fm_batch_builder *builder;
    struct fm_buf bytes;
    struct fm_key_set *keys;
    struct fm_predicate_list terms;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    assert_non_null(*state);
    return 0;
}

static void reset(struct fixture *f)
{
    fm_batch_builder_free(f->builder);
    fm_buf_free(&f->bytes);
    fm_key_set_free(f->keys);
    fm_predicate_list_deinit(&f->terms);
    *f = (struct fixture){0};
}

static int teardown(void **state)
{
    reset(*state);
    free(*state);
    return 0;
}

static void begin(struct fixture *f, const struct fm_type *from, const struct fm_type *to)
{
    struct fm_batch_builder_options options = {.types = &from, .column_count = 1, .encode = true};

    reset(f);
    assert_int_equal(fm_batch_builder_new(&options, &f->builder), FM_OK);
    assert_int_equal(fm_key_set_new(from, to, &f->keys), FM_OK);
}

/* The batch so far to the keys. */
static void give(struct fixture *f)
{
    struct fm_batch batch;

    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_batch_builder_finish(f->builder, 0, &f->bytes), FM_OK);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->bytes), &batch), FM_OK);
    assert_int_equal(fm_key_set_add(f->keys, &batch, &batch.vectors[0], NULL), FM_OK);
}

static void put_text(struct fixture *f, const char *value)
{
    assert_int_equal(fm_batch_put_bytes(f->builder, 0, fm_span_str(value)), FM_OK);
}

static void conclude(struct fixture *f)
{
    assert_int_equal(fm_key_set_terms(f->keys, FIELD, &f->terms), FM_OK);
    for (uint32_t i = 0; i < f->terms.count; i++)
        assert_int_equal(f->terms.terms[i].field_id, FIELD);
}

static bool has_value(const struct fm_predicate *term, const void *bytes, size_t len)
{
    for (uint32_t i = 0; i < term->value_count; i++)
        if (fm_span_equal(fm_buf_span(&term->values[i]), fm_span(bytes, len)))
            return true;
    return false;
}

static void distinct_keys_become_a_list(void **state)
{
    struct fixture *f = *state;

    begin(f, &text, &text);
    put_text(f, "SEA");
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
    put_text(f, "JFK");
    put_text(f, "SEA");
    give(f);
    put_text(f, "");
    put_text(f, "JFK");
    give(f);
    assert_int_equal(fm_key_set_count(f->keys), 3);
    conclude(f);
    assert_int_equal(f->terms.count, 1);
    assert_int_equal(f->terms.terms[0].op, FM_OP_IN);
    assert_int_equal(f->terms.terms[0].value_count, 3);
    assert_true(has_value(&f->terms.terms[0], "\3SEA", 4));
    assert_true(has_value(&f->terms.terms[0], "\3JFK", 4));
    assert_true(has_value(&f->terms.terms[0], "\0", 1));
}

static void no_key_lets_nothing_pass(void **state)
{
    struct fixture *f = *state;

    begin(f, &text, &text);
    assert_int_equal(fm_batch_put_null(f->builder, 0), FM_OK);
    give(f);
    conclude(f);
    assert_int_equal(f->terms.count, 2);
    assert_int_equal(f->terms.terms[0].op, FM_OP_IS_NULL);
    assert_int_equal(f->terms.terms[1].op, FM_OP_IS_NOT_NULL);
}

static void many_keys_become_bounds(void **state)
{
    struct fixture *f = *state;

    begin(f, &int64, &int64);
    for (int64_t i = 0; i <= (int64_t)FM_PREDICATE_VALUES_MAX; i++) {
        int64_t value = i * 3 - 5000;
        assert_int_equal(fm_batch_put_fixed(f->builder, 0, &value), FM_OK);
    }
    give(f);
    conclude(f);
    int64_t low = -5000;
    int64_t high = (int64_t)FM_PREDICATE_VALUES_MAX * 3 - 5000;
    assert_int_equal(f->terms.count, 2);
    assert_int_equal(f->terms.terms[0].op, FM_OP_GE);
    assert_true(has_value(&f->terms.terms[0], &low, 8));
    assert_int_equal(f->terms.terms[1].op, FM_OP_LE);
    assert_true(has_value(&f->terms.terms[1], &high, 8));
}

static void long_keys_become_bounds(void **state)
{
    struct fixture *f = *state;
    char value[600];

    begin(f, &text, &text);
    for (unsigned i = 0; i < FM_REDUCE_KEY_BYTES_MAX / sizeof value + 2; i++) {
        memset(value, 'x', sizeof value);
        (void)snprintf(value, sizeof value, "%03u", i);
        value[3] = 'x';
        value[sizeof value - 1] = '\0';
        put_text(f, value);
    }
    give(f);
    conclude(f);
    assert_int_equal(f->terms.count, 2);
    assert_int_equal(f->terms.terms[0].op, FM_OP_GE);
}

/* Values that the other type does not have are equal to nothing there. */
static void integers_are_converted(void **state)
{
    struct fixture *f = *state;
    static const int64_t values[] = {-1, 0, 5, 200, 255, 256, -300, 40000, INT64_MIN, INT64_MAX};
    const uint8_t small[] = {0, 5, 200, 255};
    const int16_t wide[] = {-1, 0, 5, 200, 255, 256, -300};

    begin(f, &int64, &uint8);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(fm_batch_put_fixed(f->builder, 0, &values[i]), FM_OK);
    give(f);
    conclude(f);
    assert_int_equal(f->terms.terms[0].value_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(has_value(&f->terms.terms[0], &small[i], 1));

    begin(f, &int64, &int16);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(fm_batch_put_fixed(f->builder, 0, &values[i]), FM_OK);
    give(f);
    conclude(f);
    assert_int_equal(f->terms.terms[0].value_count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_true(has_value(&f->terms.terms[0], &wide[i], 2));
}

static void widths_and_signs_meet(void **state)
{
    struct fixture *f = *state;
    const int16_t values[] = {-7, 7, INT16_MAX};
    const uint64_t positive[] = {7, INT16_MAX};
    const int64_t all[] = {-7, 7, INT16_MAX};
    const uint64_t large = UINT64_MAX;

    begin(f, &int16, &uint64);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fm_batch_put_fixed(f->builder, 0, &values[i]), FM_OK);
    give(f);
    conclude(f);
    assert_int_equal(f->terms.terms[0].value_count, 2);
    assert_true(has_value(&f->terms.terms[0], &positive[0], 8));
    assert_true(has_value(&f->terms.terms[0], &positive[1], 8));

    begin(f, &int16, &int64);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fm_batch_put_fixed(f->builder, 0, &values[i]), FM_OK);
    give(f);
    conclude(f);
    for (size_t i = 0; i < 3; i++)
        assert_true(has_value(&f->terms.terms[0], &all[i], 8));

    begin(f, &uint64, &int64);
    assert_int_equal(fm_batch_put_fixed(f->builder, 0, &large), FM_OK);
    give(f);
    conclude(f);
    assert_int_equal(f->terms.terms[0].op, FM_OP_IS_NULL); /* None is left. */
}

static void a_full_list_stays_as_it_was(void **state)
{
    struct fixture *f = *state;

    begin(f, &text, &text);
    for (uint32_t i = 0; i + 1 < FM_PREDICATES_MAX; i++) {
        put_text(f, "SEA");
        give(f);
        conclude(f);
    }
    assert_int_equal(f->terms.count, FM_PREDICATES_MAX - 1);
    fm_key_set_free(f->keys);
    assert_int_equal(fm_key_set_new(&text, &text, &f->keys), FM_OK);
    /* Two terms do not fit, and one is not added without the other. */
    assert_int_equal(fm_key_set_terms(f->keys, FIELD, &f->terms), FM_LIMIT);
    assert_int_equal(f->terms.count, FM_PREDICATES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(distinct_keys_become_a_list, setup, teardown),
        cmocka_unit_test_setup_teardown(no_key_lets_nothing_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(many_keys_become_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(long_keys_become_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(integers_are_converted, setup, teardown),
        cmocka_unit_test_setup_teardown(widths_and_signs_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_list_stays_as_it_was, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
