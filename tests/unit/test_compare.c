/* Rows compared as an answer and what its merge gives: in order, as a set, where the statement says
 * an order, where a LIMIT cuts, and with floats that are a little different. */
#include "node/cli/compare.h"

#include "core/batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct row { /* (key bigint, value double, text varchar); text NULL: null. */
    int64_t key;
    double value;
    const char *text;
};

#define ROWS_MAX 16u

struct rows { /* Ends with a row without a key. */
    struct row items[ROWS_MAX];
    uint32_t count;
    uint32_t next;
};

static const struct fm_type types[] = {
    {.kind = FM_KIND_INT64}, {.kind = FM_KIND_DOUBLE}, {.kind = FM_KIND_VARCHAR}};
static const struct fm_type *const type_list[] = {&types[0], &types[1], &types[2]};

/* Batches of at most three rows, an empty one first. */
static enum fm_status next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct rows *rows = context;
    const struct fm_batch_builder_options options = {.types = type_list, .column_count = 3};
    struct fm_batch_builder *builder = NULL;
    uint32_t until = rows->next + 3 < rows->count ? rows->next + 3 : rows->count;

    (void)err;
    if (rows->next == UINT32_MAX || (rows->next == rows->count && rows->count != 0))
        return FM_NOTFOUND;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (; rows->next < until; rows->next++) {
        const struct row *row = &rows->items[rows->next];
        assert_int_equal(fm_batch_put_fixed(builder, 0, &row->key), FM_OK);
        assert_int_equal(fm_batch_put_fixed(builder, 1, &row->value), FM_OK);
        assert_int_equal(row->text == NULL ? fm_batch_put_null(builder, 2)
                                           : fm_batch_put_bytes(builder, 2, fm_span_str(row->text)),
                         FM_OK);
    }
    assert_int_equal(fm_batch_builder_finish(builder, 0, batch), FM_OK);
    fm_batch_builder_free(builder);
    if (rows->count == 0)
        rows->next = UINT32_MAX;
    return FM_OK;
}

static struct fm_error err;
static struct fm_compared compared;

static enum fm_status compare(const struct fm_replay_form *form, struct rows answer,
                              struct rows merge)
{
    struct fm_column items[3] = {{.name = "key"}, {.name = "value"}, {.name = "text"}};
    struct fm_columns columns = {.count = 3, .items = items};

    for (int i = 0; i < 3; i++)
        items[i].type = types[i];
    err = (struct fm_error){0};
    const struct fm_compare_side a = {.columns = &columns, .source = {&answer, next}};
    const struct fm_compare_side b = {.columns = &columns, .source = {&merge, next}};
    return fm_compare_rows(&a, &b, form, &compared, &err);
}

#define ROWS(...)                                                                                  \
    ((struct rows){.items = {__VA_ARGS__},                                                         \
                   .count = sizeof((struct row[]){__VA_ARGS__}) / sizeof(struct row)})

static const struct fm_replay_form any_order = {0};
static const struct fm_replay_form by_key = {.is_ordered = true, .key_count = 1};
static const struct fm_replay_form two_by_key = {
    .is_ordered = true, .key_count = 1, .has_limit = true, .limit = 2};
static const struct fm_replay_form open = {.is_open = true};

static void expect(enum fm_status is, enum fm_status wanted, const char *words)
{
    if (is != wanted || strstr(err.text, words) == NULL)
        fail_msg("status %d, not %d with '%s': %s", (int)is, (int)wanted, words, err.text);
}

static void equal_rows_are_equal(void **state)
{
    const struct rows rows = ROWS({1, 0.5, "a"}, {2, 1.5, NULL}, {3, 2, ""}, {3, NAN, "c"});

    (void)state;
    expect(compare(&any_order, rows, rows), FM_OK, "");
    assert_int_equal(compared.rows, 4);
    assert_true(compared.is_in_order);
    expect(compare(&any_order, (struct rows){.count = 0}, (struct rows){.count = 0}), FM_OK, "");
    assert_int_equal(compared.rows, 0);
}

static void order_counts_only_where_it_is_said(void **state)
{
    const struct rows a = ROWS({1, 0, "a"}, {2, 0, "b"}, {2, 0, "c"}, {5, 0, "d"});
    const struct rows tied = ROWS({1, 0, "a"}, {2, 0, "c"}, {2, 0, "b"}, {5, 0, "d"});
    const struct rows other = ROWS({1, 0, "a"}, {2, 0, "b"}, {5, 0, "d"}, {2, 0, "c"});

    (void)state;
    expect(compare(&any_order, a, other), FM_OK, "");
    assert_false(compared.is_in_order);
    expect(compare(&by_key, a, tied), FM_OK, "");
    assert_false(compared.is_in_order);
    expect(compare(&by_key, a, other), FM_FORGED,
           "their order is another one: row 3, column key: the answer has 2, the merge gives 5");
}

static void other_rows_are_told(void **state)
{
    const struct rows a = ROWS({1, 0, "a"}, {2, 0, "b"}, {3, 0, "c"}, {4, 0, NULL});
    const struct rows twice = ROWS({1, 0, "a"}, {1, 0, "a"}, {3, 0, "c"}, {4, 0, NULL});
    const struct rows null = ROWS({1, 0, "a"}, {2, 0, NULL}, {3, 0, "c"}, {4, 0, NULL});
    const struct rows fewer = ROWS({1, 0, "a"}, {2, 0, "b"}, {3, 0, "c"});

    (void)state;
    expect(compare(&any_order, twice, a), FM_FORGED, "row 2, column key: the answer has 1");
    expect(compare(&any_order, a, null), FM_FORGED, "column text: the answer has b, the merge");
    expect(compare(&any_order, a, fewer), FM_FORGED, "more rows than the merge gives, after 3");
    expect(compare(&any_order, fewer, a), FM_FORGED, "fewer rows than the merge gives, after 3");
    expect(compare(&open, a, null), FM_UNSUPPORTED, "leaves open which rows");
    expect(compare(&open, a, fewer), FM_UNSUPPORTED, "leaves open which rows");
}

static void floats_may_differ_a_little(void **state)
{
    const struct rows a = ROWS({1, 1e6, "a"}, {2, 0.1, "b"}, {3, INFINITY, "c"});
    const struct rows near = ROWS({2, 0.1 + 1e-17, "b"}, {1, 1e6 + 5e-4, "a"}, {3, INFINITY, "c"});
    const struct rows far = ROWS({1, 1e6 + 2e-3, "a"}, {2, 0.1, "b"}, {3, INFINITY, "c"});
    const struct rows other = ROWS({1, 1e6, "a"}, {2, 0.1, "b"}, {3, -INFINITY, "c"});

    (void)state;
    expect(compare(&any_order, a, near), FM_OK, "");
    expect(compare(&any_order, near, a), FM_OK, "");
    expect(compare(&any_order, a, far), FM_FORGED, "column value");
    expect(compare(&any_order, a, other), FM_FORGED, "column value");
}

/* The merge gives one row more than the LIMIT, which tells whether equal keys were cut. */
static void a_limit_may_cut_equal_keys(void **state)
{
    const struct rows a = ROWS({1, 0, "a"}, {2, 0, "b"});
    const struct rows tied = ROWS({1, 0, "a"}, {2, 0, "c"}, {2, 0, "b"});
    const struct rows apart = ROWS({1, 0, "a"}, {2, 0, "c"}, {3, 0, "b"});
    const struct rows whole = ROWS({1, 0, "a"}, {2, 0, "c"});
    const struct rows first = ROWS({1, 0, "x"}, {2, 0, "b"}, {2, 0, "c"});
    const struct rows same = ROWS({1, 0, "a"}, {2, 0, "b"}, {2, 0, "c"});

    (void)state;
    expect(compare(&two_by_key, a, same), FM_OK, "");
    assert_int_equal(compared.rows, 2);
    expect(compare(&two_by_key, a, tied), FM_UNSUPPORTED, "its last rows have equal keys");
    expect(compare(&two_by_key, a, apart), FM_FORGED, "column text: the answer has b");
    expect(compare(&two_by_key, a, whole), FM_FORGED, "column text: the answer has b");
    expect(compare(&two_by_key, a, first), FM_FORGED, "row 1 is none of them");
    expect(compare(&two_by_key, tied, same), FM_FORGED, "more rows than the merge gives, after 2");
    expect(compare(&two_by_key, ROWS({1, 0, "a"}), same), FM_FORGED, "fewer rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_rows_are_equal),
        cmocka_unit_test(order_counts_only_where_it_is_said),
        cmocka_unit_test(other_rows_are_told),
        cmocka_unit_test(floats_may_differ_a_little),
        cmocka_unit_test(a_limit_may_cut_equal_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
