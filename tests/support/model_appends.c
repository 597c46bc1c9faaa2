#include "tests/support/model_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define APPEND_MAX 2600u

/* ---- Appends --------------------------------------------------------------------------------- */

static size_t random_count(struct model_fixture *f)
{
    return model_below(f, 25) == 0 ? 2049 + model_below(f, APPEND_MAX - 2049)
                                   : 1 + model_below(f, 40);
}

/* NULLs are last, texts by bytes. */
static int compare_cluster(const struct row *a, const struct row *b)
{
    if ((a->name[0] == '\0') != (b->name[0] == '\0'))
        return a->name[0] == '\0' ? 1 : -1;
    int order = strcmp(a->name, b->name);
    if (order != 0)
        return order;
    if ((a->value == INT32_MIN) != (b->value == INT32_MIN))
        return a->value == INT32_MIN ? 1 : -1;
    return (a->value > b->value) - (a->value < b->value);
}

/* Rows as the store numbers them: those with equal keys stay in their order. */
static void sort_rows(struct row *rows, struct row_event *events, size_t count)
{
    struct row *spare = calloc(count, sizeof *spare);
    struct row_event *spare_events = calloc(count, sizeof *spare_events);

    assert_non_null(spare);
    assert_non_null(spare_events);
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t at = 0; at < count; at += 2 * width) {
            size_t a = at, a_end = at + width < count ? at + width : count;
            size_t b = a_end, b_end = at + 2 * width < count ? at + 2 * width : count;

            for (size_t i = at; i < b_end; i++) {
                bool first = a < a_end && (b >= b_end || compare_cluster(&rows[a], &rows[b]) <= 0);
                spare_events[i] = events[first ? a : b];
                spare[i] = rows[first ? a++ : b++];
            }
        }
        memcpy(rows, spare, count * sizeof *rows);
        memcpy(events, spare_events, count * sizeof *events);
    }
    free(spare);
    free(spare_events);
}

static void take(struct model_fixture *f, size_t count, uint32_t extras,
                 const struct fm_appended *appended)
{
    struct model *model = &f->model;

    assert_int_equal(appended->first_sequence, model->count);
    assert_int_equal(appended->rows, count);
    assert_int_equal(appended->size, model->count + count);
    assert_true(appended->recorded_at > 0);
    assert_true(!fm_hash_equal(&appended->root, &model->root));
    if (model->count > 0)
        assert_true(appended->recorded_at > model->recorded_at[model->count - 1]);
    if ((f->flags & ROWS_CLUSTERED) != 0 && (extras & (FM_EXTRA_OP | FM_EXTRA_SUPERSEDES)) == 0)
        sort_rows(model->rows + model->count, model->events + model->count, count);
    for (size_t i = 0; i < count; i++)
        model->recorded_at[model->count + i] = appended->recorded_at;
    model->count += count;
    model->root = appended->root;
}

/* ---- Operations ------------------------------------------------------------------------------ */

#define NONE SIZE_MAX

/* The last of the first `size` rows with this id; NONE: there is none. */
static size_t latest_of(const struct model *model, size_t size, int64_t id)
{
    while (size > 0 && model->rows[size - 1].id != id)
        size--;
    return size > 0 ? size - 1 : NONE;
}

static bool is_named(const struct model *model, size_t size, size_t fact)
{
    for (size_t i = 0; i < size; i++) {
        if (model->events[i].has_superseded && model->events[i].superseded == fact)
            return true;
    }
    return false;
}

/* A fact of the first `size` that may be named without a key; NONE: found none in a few tries. */
static size_t random_visible(struct model_fixture *f, size_t size)
{
    const struct model *model = &f->model;

    for (unsigned i = 0; size > 0 && i < 8; i++) {
        size_t fact = model_below(f, (uint32_t)size);

        if (model->events[fact].operation != FM_RETRACT && !is_named(model, size, fact))
            return fact;
    }
    return NONE;
}

static struct row_event name_fact(enum fm_operation operation, size_t fact)
{
    return (struct row_event){
        .operation = operation, .has_superseded = true, .superseded = (uint64_t)fact};
}

/* Row `at` of the model takes a row back or corrects one, if any can be. */
static void make_operation(struct model_fixture *f, size_t at, uint32_t extras)
{
    struct model *model = &f->model;
    struct row *row = &model->rows[at];
    struct row_event *event = &model->events[at];
    bool may_name = (extras & FM_EXTRA_SUPERSEDES) != 0;
    bool retracts = model_below(f, 2) == 0;
    size_t fact;

    if ((f->flags & ROWS_KEYED) == 0) {
        fact = may_name ? random_visible(f, at) : NONE;
        if (fact == NONE)
            return;
        *event = name_fact(retracts ? FM_RETRACT : FM_CORRECT, fact);
        if (retracts)
            *row = row_retract(row->id);
        return;
    }
    fact = latest_of(model, at, row->id);
    if (fact == NONE || (!may_name && !retracts))
        return;
    if (retracts && model->events[fact].operation != FM_RETRACT) {
        *event = name_fact(FM_RETRACT, fact);
        event->has_superseded = may_name && model_below(f, 3) == 0;
        *row = row_retract(row->id);
    } else if (may_name) {
        *event = name_fact(FM_CORRECT, fact);
    }
}

static void make_event(struct model_fixture *f, size_t at, uint32_t extras, bool same_times)
{
    struct row_event *event = &f->model.events[at];

    *event = (struct row_event){0};
    if ((extras & FM_EXTRA_OP) != 0 && model_below(f, 3) == 0)
        make_operation(f, at, extras);
    if ((extras & FM_EXTRA_OP) != 0 && event->operation == 0 && model_below(f, 2) == 0)
        event->operation = FM_ASSERT;
    if ((extras & FM_EXTRA_EVENT_TIME) == 0 || model_below(f, 4) == 0)
        return;
    event->has_time = true;
    event->time = same_times ? 1000 : (fm_us)model_below(f, 2000) - 1000;
}

void model_step_append(struct model_fixture *f)
{
    struct model *model = &f->model;
    struct fm_append_options options = {.extras = model_below(f, 3) == 0 ? 0 : model_below(f, 8)};
    bool same_times = model_below(f, 2) == 0;
    struct fm_appended appended;
    size_t count = random_count(f);
    struct row *rows = model->rows + model->count;

    if (model->count + count > MODEL_ROWS_MAX) {
        model_begin_store(f);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_random(&f->random, f->id_bound);
        make_event(f, model->count + i, options.extras, same_times);
    }
    options.has_producer = model_below(f, 2) == 0;
    options.producer_sequence = model->producer_sequence + 1 + model_below(f, 3);
    options.has_expected = model_below(f, 3) == 0;
    options.expected_size = model->count;
    if (rows_append_events(f->store, f->schema, rows, model->events + model->count, count, &options,
                           &appended, &f->err) != FM_OK)
        fail_msg("append: %s", f->err.text);
    take(f, count, options.extras, &appended);
    if (options.has_producer) {
        model->has_producer = true;
        model->producer_sequence = options.producer_sequence;
        model->producer_answer = appended;
    }
}

void model_step_repeat(struct model_fixture *f)
{
    const struct model *model = &f->model;
    struct fm_append_options options = {.has_producer = true,
                                        .producer_sequence = model->producer_sequence};
    struct row row = row_random(&f->random, f->id_bound);
    struct fm_appended again;

    if (!model->has_producer)
        return;
    assert_int_equal(rows_append_with(f->store, f->schema, &row, 1, &options, &again, &f->err),
                     FM_OK);
    assert_int_equal(again.first_sequence, model->producer_answer.first_sequence);
    assert_int_equal(again.size, model->producer_answer.size);
    assert_int_equal(again.recorded_at, model->producer_answer.recorded_at);
    assert_true(fm_hash_equal(&again.root, &model->producer_answer.root));
    options.producer_sequence -= 1;
    if (options.producer_sequence > 0)
        assert_int_equal(rows_append_with(f->store, f->schema, &row, 1, &options, &again, &f->err),
                         FM_CONFLICT);
}

void model_step_conflict(struct model_fixture *f)
{
    struct model *model = &f->model;
    struct fm_append_options options = {.extras = FM_EXTRA_OP | FM_EXTRA_SUPERSEDES};
    size_t count = random_count(f);
    size_t last = model->count + count - 1;
    struct fm_appended appended;
    size_t fact;

    if (model->count + count > MODEL_ROWS_MAX || model->count == 0)
        return;
    for (size_t i = model->count; i <= last; i++) {
        model->rows[i] = row_random(&f->random, f->id_bound);
        make_event(f, i, options.extras, true);
    }
    fact = latest_of(model, last, model->rows[last].id);
    if ((f->flags & ROWS_KEYED) == 0) /* Not before it, or named already. */
        fact = model_below(f, 2) == 0 ? last + model_below(f, 3)
                                      : (size_t)model->events[last - 1].superseded;
    if ((f->flags & ROWS_KEYED) == 0 && fact < last && !is_named(model, last, fact))
        fact = last;
    if ((f->flags & ROWS_KEYED) != 0) /* No row, or another than the latest. */
        fact = fact == NONE ? 0 : fact + 1;
    model->events[last] = name_fact(model_below(f, 2) == 0 ? FM_RETRACT : FM_CORRECT, fact);
    assert_int_equal(rows_append_events(f->store, f->schema, model->rows + model->count,
                                        model->events + model->count, count, &options, &appended,
                                        &f->err),
                     FM_CONFLICT);
    assert_true(strncmp(f->err.text, "row ", 4) == 0);
    assert_int_equal(strtoull(f->err.text + 4, NULL, 10), count);
}

void model_step_refused(struct model_fixture *f)
{
    struct fm_append_options options = {.has_expected = true,
                                        .expected_size = f->model.count + 1 + model_below(f, 3)};
    size_t count = random_count(f);
    struct row *rows = calloc(count, sizeof *rows);
    struct fm_appended appended;

    assert_non_null(rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_random(&f->random, f->id_bound);
    assert_int_equal(
        rows_append_with(f->store, f->schema, rows, count, &options, &appended, &f->err),
        FM_CONFLICT);
    free(rows);
}

void model_step_abort(struct model_fixture *f)
{
    struct fm_append_options options = {.domain = "tests", .table = "rows", .schema_version = 1};
    struct fm_append *append = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_appended first;
    struct fm_batch batch;
    size_t count = random_count(f);
    struct row *rows = calloc(count, sizeof *rows);
    bool done;

    assert_non_null(rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_random(&f->random, f->id_bound);
    rows_batch(f->schema, rows, (uint32_t)count, model_below(f, 2) == 0, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &first, &f->err), FM_OK);
    assert_int_equal(fm_append_rows(append, &batch, &f->err), FM_OK);
    fm_append_abort(append);
    fm_buf_free(&bytes);
    free(rows);
}
