#include "tests/support/model_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { COLUMN_SEQ, COLUMN_RECORDED_AT, COLUMN_EVENT_TIME, COLUMN_OP, COLUMN_SUPERSEDES, COLUMN_ID };

static void random_term(struct model_fixture *f, size_t size, struct fm_predicate *out)
{
    static const uint32_t field_ids[] = {FM_FIELD_SEQ, FM_FIELD_RECORDED_AT, FM_FIELD_EVENT_TIME,
                                         FM_FIELD_OP, FM_FIELD_SUPERSEDES};
    uint32_t chosen = model_below(f, 5);
    uint64_t value = model_below(f, (uint32_t)size + 1);

    *out = (struct fm_predicate){.field_id = field_ids[chosen]};
    out->op = model_below(f, 2) == 0 ? FM_OP_IS_NULL : FM_OP_IS_NOT_NULL;
    if (model_below(f, 4) == 0)
        return;
    out->op = (enum fm_operator)(FM_OP_EQ + model_below(f, chosen == COLUMN_OP ? 2 : 6));
    out->value_count = 1;
    out->values = calloc(1, sizeof *out->values);
    assert_non_null(out->values);
    if (chosen == COLUMN_OP) {
        const char *text = fm_operation_text((enum fm_operation)(1 + model_below(f, 3)));

        fm_buf_put_uvarint(&out->values[0], strlen(text));
        fm_buf_put_str(&out->values[0], text);
        return;
    }
    if (chosen == COLUMN_EVENT_TIME)
        value = (uint64_t)((fm_us)model_below(f, 2000) - 1000);
    if (chosen == COLUMN_RECORDED_AT && size > 0)
        value = (uint64_t)f->model.recorded_at[model_below(f, (uint32_t)size)];
    fm_buf_put_u64(&out->values[0], value);
}

static bool holds(enum fm_operator op, int order)
{
    switch (op) {
    case FM_OP_EQ:
        return order == 0;
    case FM_OP_NE:
        return order != 0;
    case FM_OP_LT:
        return order < 0;
    case FM_OP_LE:
        return order <= 0;
    case FM_OP_GT:
        return order > 0;
    case FM_OP_GE:
        return order >= 0;
    default:
        fail_msg("no such operator");
        return false;
    }
}

static enum fm_operation operation_of(const struct row_event *event)
{
    return event->operation == 0 ? FM_ASSERT : event->operation;
}

static bool fact_matches(const struct model *model, size_t fact, const struct fm_predicate *term)
{
    const struct row_event *event = &model->events[fact];
    bool is_null = (term->field_id == FM_FIELD_EVENT_TIME && !event->has_time) ||
                   (term->field_id == FM_FIELD_SUPERSEDES && !event->has_superseded);
    int64_t wanted, value = (int64_t)fact;

    if (term->op == FM_OP_IS_NULL || term->op == FM_OP_IS_NOT_NULL)
        return is_null == (term->op == FM_OP_IS_NULL);
    if (is_null)
        return false;
    if (term->field_id == FM_FIELD_OP) {
        const char *text = fm_operation_text(operation_of(event));
        const struct fm_buf *literal = &term->values[0];

        return fm_span_equal(fm_span_str(text), fm_span(literal->data + 1, literal->len - 1)) ==
               (term->op == FM_OP_EQ);
    }
    wanted = (int64_t)fm_load64(term->values[0].data);
    if (term->field_id == FM_FIELD_RECORDED_AT)
        value = model->recorded_at[fact];
    else if (term->field_id == FM_FIELD_EVENT_TIME)
        value = event->time;
    else if (term->field_id == FM_FIELD_SUPERSEDES)
        value = (int64_t)event->superseded;
    return holds(term->op, (value > wanted) - (value < wanted));
}

static bool take_fixed(const struct fm_batch *batch, uint32_t column, uint32_t row, void *out)
{
    if (fm_vector_is_null(batch, &batch->vectors[column], row))
        return false;
    fm_vector_fixed(batch, &batch->vectors[column], row, out);
    return true;
}

/* One row of the history says what the model knows of that fact; its number. */
static size_t check_fact(const struct model_fixture *f, const struct fm_batch *batch, uint32_t row)
{
    const struct model *model = &f->model;
    uint64_t seq = 0, superseded = 0;
    int64_t recorded_at = 0, time = 0, id = 0;

    assert_true(take_fixed(batch, COLUMN_SEQ, row, &seq));
    assert_true(seq < model->count);
    const struct row_event *event = &model->events[seq];
    assert_true(take_fixed(batch, COLUMN_RECORDED_AT, row, &recorded_at));
    assert_int_equal(recorded_at, model->recorded_at[seq]);
    assert_int_equal(take_fixed(batch, COLUMN_EVENT_TIME, row, &time), event->has_time);
    if (event->has_time)
        assert_int_equal(time, event->time);
    assert_int_equal(take_fixed(batch, COLUMN_SUPERSEDES, row, &superseded), event->has_superseded);
    if (event->has_superseded)
        assert_int_equal(superseded, event->superseded);
    assert_true(fm_span_equal(fm_vector_bytes(batch, &batch->vectors[COLUMN_OP], NULL, row),
                              fm_span_str(fm_operation_text(operation_of(event)))));
    assert_true(take_fixed(batch, COLUMN_ID, row, &id));
    assert_int_equal(id, model->rows[seq].id);
    return (size_t)seq;
}

static size_t expect_facts(struct model_fixture *f, size_t size,
                           const struct fm_predicate_list *predicates)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        bool wanted = true;

        for (uint32_t t = 0; t < predicates->count; t++)
            wanted = wanted && fact_matches(&f->model, i, &predicates->terms[t]);
        f->model.marks[i] = wanted;
        count += wanted;
    }
    return count;
}

void model_step_facts(struct model_fixture *f)
{
    static const uint32_t fields[] = {0, 1, 2, 3, 4, 5};
    struct fm_predicate terms[2] = {{0}};
    struct fm_predicate_list predicates = {.count = model_below(f, 3), .terms = terms};
    struct fm_scan_options options = {.domain = "tests",
                                      .table = "rows$facts",
                                      .field_count = 6,
                                      .fields = fields,
                                      .predicates = &predicates};
    struct fm_snapshot *snapshot = model_snapshot(f);
    struct fm_scan *scan = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    size_t size = f->model.count, read = 0;
    enum fm_status status;

    if (model_below(f, 2) == 0)
        size = model_random_past(f, size, &options.at);
    for (uint32_t i = 0; i < predicates.count; i++)
        random_term(f, f->model.count, &terms[i]);
    size_t expected = expect_facts(f, size, &predicates);
    assert_int_equal(fm_scan_open(snapshot, &options, &scan, &f->err), FM_OK);
    while ((status = fm_scan_next(scan, &bytes, &f->err)) == FM_OK) {
        struct fm_batch batch;

        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        for (uint32_t row = 0; row < batch.rows; row++) {
            size_t fact = check_fact(f, &batch, row);

            assert_true(fact < size && f->model.marks[fact]); /* Wanted, and not seen yet. */
            f->model.marks[fact] = false;
            read++;
        }
        fm_buf_clear(&bytes);
    }
    assert_int_equal(status, FM_NOTFOUND);
    assert_int_equal(read, expected);
    for (uint32_t i = 0; i < predicates.count; i++) {
        if (terms[i].values != NULL)
            fm_buf_free(&terms[i].values[0]);
        free(terms[i].values);
    }
    fm_buf_free(&bytes);
    fm_scan_free(scan);
    fm_snapshot_free(snapshot);
}
