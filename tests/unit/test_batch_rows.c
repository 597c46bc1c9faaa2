/* Rows come out of a builder as they went in, whatever the path: each kind, in shapes for each
 * encoding, put by value, cut into slices and put again. */
#include "core/batch.h"

#include "core/bits.h"
#include "tests/support/random_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MODEL_ROWS 1500u

struct model {
    struct random random;
    struct fm_type type;
    const struct fm_type *types;
    uint32_t rows;
    struct fm_buf values[MODEL_ROWS];
    bool null[MODEL_ROWS];
    bool kept[MODEL_ROWS]; /* Reaches the targets. */
    struct fm_batch_builder *source;
    struct fm_batch_builder *targets[2]; /* Without encoding, with. */
    struct fm_buf bytes;
    unsigned seen[4];
};

static struct fm_batch_builder *new_builder(const struct fm_type *const *types, bool encode)
{
    const struct fm_batch_builder_options options = {
        .types = types, .column_count = 1, .encode = encode};
    struct fm_batch_builder *builder = NULL;
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    return builder;
}

static void draw_values(struct model *m)
{
    enum random_shape shape = (enum random_shape)random_below(&m->random, SHAPES);
    uint32_t null_kind = random_below(&m->random, 4);
    m->rows = random_below(&m->random, random_below(&m->random, 3) == 0 ? 10 : MODEL_ROWS);
    for (uint32_t i = 0; i < m->rows; i++) {
        fm_buf_clear(&m->values[i]);
        m->null[i] = null_kind == 3 ||
                     (null_kind > 0 && random_below(&m->random, null_kind == 1 ? 10 : 2) == 0);
        if (!m->null[i])
            random_value(&m->random, &m->type, shape, &m->values[i]);
    }
}

static struct fm_batch finish_model(struct model *m, struct fm_batch_builder *builder)
{
    struct fm_batch batch;
    size_t bound = fm_batch_builder_bytes(builder);
    fm_buf_clear(&m->bytes);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &m->bytes), FM_OK);
    assert_true(m->bytes.len <= bound);
    assert_int_equal(fm_batch_view(fm_buf_span(&m->bytes), &m->types, 1, NULL, &batch), FM_OK);
    return batch;
}

/* A source batch of rows [at, at + count), of which a slice goes to the targets. */
static void pass_slice(struct model *m, uint32_t at, uint32_t count)
{
    uint64_t selection[MODEL_ROWS / 64 + 1];
    uint32_t kind = random_below(&m->random, 4);
    for (uint32_t i = at; i < at + count; i++) {
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&m->values[i]));
        if (m->null[i])
            assert_int_equal(fm_batch_put_null(m->source, 0), FM_OK);
        else
            assert_int_equal(fm_batch_put_canonical(m->source, 0, &cursor), FM_OK);
    }
    struct fm_batch batch = finish_model(m, m->source);
    assert_int_equal(batch.rows, count);
    uint32_t first = random_below(&m->random, count);
    uint32_t len = 1 + random_below(&m->random, count - first);
    for (size_t i = 0; i < sizeof selection / sizeof selection[0]; i++) {
        uint64_t few = random_next(&m->random) & random_next(&m->random);
        selection[i] = kind == 1   ? random_next(&m->random)
                       : kind == 2 ? few & random_next(&m->random) & random_next(&m->random)
                                   : (random_below(&m->random, 2) != 0 ? UINT64_MAX : 0);
    }
    for (uint32_t i = 0; i < count; i++)
        m->kept[at + i] =
            i >= first && i < first + len && (kind == 0 || fm_bits_get(selection, i - first));
    for (int i = 0; i < 2; i++)
        assert_int_equal(fm_batch_put_rows(m->targets[i], 0, &batch, 0, NULL, first, len,
                                           kind == 0 ? NULL : selection),
                         FM_OK);
}

static void compare_target(struct model *m, int target)
{
    struct fm_batch batch = finish_model(m, m->targets[target]);
    const struct fm_vector_entry *v = &batch.vectors[0];
    struct fm_buf got = {0};
    uint32_t row = 0;
    m->seen[v->encoding]++;
    for (uint32_t i = 0; i < m->rows; i++) {
        if (!m->kept[i])
            continue;
        assert_true(row < batch.rows);
        assert_int_equal(fm_vector_is_null(&batch, v, row), m->null[i]);
        if (!m->null[i]) {
            fm_buf_clear(&got);
            assert_int_equal(fm_vector_canonical(&batch, v, &m->type, NULL, row, &got), FM_OK);
            if (!fm_span_equal(fm_buf_span(&got), fm_buf_span(&m->values[i])))
                fail_msg("%s, row %u differs", fm_kind_text(m->type.kind), i);
        }
        row++;
    }
    assert_int_equal(row, batch.rows);
    fm_buf_free(&got);
}

static void run_model(struct model *m, const char *type)
{
    assert_int_equal(fm_type_parse(fm_span_str(type), &m->type, NULL), FM_OK);
    m->types = &m->type;
    m->source = new_builder(&m->types, random_below(&m->random, 2) != 0);
    for (int i = 0; i < 2; i++)
        m->targets[i] = new_builder(&m->types, i != 0);
    for (unsigned round = 0; round < 6; round++) { /* Builders are used again. */
        draw_values(m);
        for (uint32_t at = 0, count; at < m->rows; at += count) {
            count = 1 + random_below(&m->random, m->rows - at);
            pass_slice(m, at, count);
        }
        for (int i = 0; i < 2; i++)
            compare_target(m, i);
    }
    for (int i = 0; i < 2; i++)
        fm_batch_builder_free(m->targets[i]);
    fm_batch_builder_free(m->source);
    fm_type_deinit(&m->type);
}

static void rows_come_out_as_they_went_in(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    (void)state;
    assert_non_null(m);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        m->random.state = seed * UINT64_C(0x9e3779b97f4a7c15);
        for (size_t i = 0; i < RANDOM_TYPES; i++)
            run_model(m, random_types[i]);
    }
    for (int i = 0; i < 4; i++)
        assert_true(m->seen[i] > 10);
    for (uint32_t i = 0; i < MODEL_ROWS; i++)
        fm_buf_free(&m->values[i]);
    fm_buf_free(&m->bytes);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
