#include "tests/support/store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void put_literal(struct fm_buf *out, const struct row *row, uint32_t field_id)
{
    if (field_id == 1) {
        fm_buf_put_u64(out, (uint64_t)row->id);
    } else if (field_id == 3) {
        fm_buf_put_u32(out, (uint32_t)(row->value == INT32_MIN ? 5 : row->value));
    } else {
        fm_buf_put_uvarint(out, strlen(row->name));
        fm_buf_put_str(out, row->name);
    }
}

void rows_random_predicates(struct random *random, struct fm_predicate_list *out)
{
    static const uint32_t field_ids[] = {1, 2, 3};

    out->count = random_below(random, 3);
    out->terms = calloc(out->count + 1, sizeof *out->terms);
    assert_non_null(out->terms);
    for (uint32_t i = 0; i < out->count; i++) {
        struct fm_predicate *term = &out->terms[i];
        struct row row = row_random(random, 3000);

        term->field_id = field_ids[random_below(random, 3)];
        switch (random_below(random, 6)) {
        case 0:
            term->op = FM_OP_IS_NULL;
            continue;
        case 1:
            term->op = FM_OP_IS_NOT_NULL;
            continue;
        default:
            break;
        }
        term->op = (enum fm_operator)(FM_OP_EQ + random_below(random, term->field_id == 2 ? 2 : 6));
        term->value_count = 1;
        term->values = calloc(1, sizeof *term->values);
        assert_non_null(term->values);
        put_literal(&term->values[0], &row, term->field_id);
    }
}

bool row_matches(const struct row *row, const struct fm_predicate_list *predicates)
{
    for (uint32_t i = 0; predicates != NULL && i < predicates->count; i++) {
        const struct fm_predicate *term = &predicates->terms[i];
        int64_t value = term->field_id == 1 ? row->id : row->value;
        bool is_null = term->field_id == 2   ? row->name[0] == '\0'
                       : term->field_id == 3 ? row->value == INT32_MIN
                                             : false;
        int64_t wanted = 0;
        bool holds;

        if (term->op == FM_OP_IS_NULL || term->op == FM_OP_IS_NOT_NULL) {
            if (is_null != (term->op == FM_OP_IS_NULL))
                return false;
            continue;
        }
        if (is_null)
            return false;
        if (term->field_id == 2) {
            struct fm_span text = fm_span_str(row->name);
            const struct fm_buf *literal = &term->values[0];

            holds = fm_span_equal(text, fm_span(literal->data + 1, literal->len - 1));
            if (holds != (term->op == FM_OP_EQ))
                return false;
            continue;
        }
        memcpy(&wanted, term->values[0].data, term->values[0].len);
        if (term->field_id == 3)
            wanted = (int32_t)wanted;
        holds = term->op == FM_OP_EQ   ? value == wanted
                : term->op == FM_OP_NE ? value != wanted
                : term->op == FM_OP_LT ? value < wanted
                : term->op == FM_OP_LE ? value <= wanted
                : term->op == FM_OP_GT ? value > wanted
                                       : value >= wanted;
        if (!holds)
            return false;
    }
    return true;
}

static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    int order = strcmp(a->name, b->name);

    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    if (order != 0)
        return order;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    if (a->mood != b->mood)
        return a->mood < b->mood ? -1 : 1;
    if (a->score < 0 || b->score < 0)
        return (a->score < 0) - (b->score < 0);
    return (a->score > b->score) - (a->score < b->score);
}

void rows_assert_among(struct row_list *read, struct row_list *expected)
{
    size_t at = 0;

    assert_true(read->count <= expected->count);
    if (read->count > 0) {
        qsort(read->rows, read->count, sizeof *read->rows, compare_rows);
        qsort(expected->rows, expected->count, sizeof *expected->rows, compare_rows);
    }
    for (size_t i = 0; i < read->count; i++, at++) {
        while (at < expected->count && compare_rows(&expected->rows[at], &read->rows[i]) < 0)
            at++;
        assert_true(at < expected->count);
        rows_assert_equal(&read->rows[i], &expected->rows[at], 1);
    }
}
