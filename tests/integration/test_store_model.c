/* Random operations on a store beside a model that keeps every row in an array: appends small and
 * large, keyed and clustered, with retractions, corrections and event times, repeated, refused and
 * aborted; scans with predicates, limits and in the past; mappings; old snapshots; sealing and
 * merging; proofs; records; reopening. After each step both agree, and `doctor` finds nothing at
 * the end of a store. Several thousand steps; with FM_LONG=1 a million. FM_SEED replays: the seed
 * is printed. */
#include "storage/check.h"
#include "tests/support/store_model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS 3000u
#define STEPS_LONG 1000000u
#define ROWS_MAX 9000u /* Then a new store begins. */
#define APPEND_MAX 2600u
#define IDS_MAX (1u << 16)
#define RECORDS 8u
#define PROOFS 4u /* Checked at a time. */

struct model {
    size_t count;
    struct row rows[ROWS_MAX];
    struct row_event events[ROWS_MAX];
    fm_us recorded_at[ROWS_MAX];
    bool marks[ROWS_MAX]; /* Scratch of expect() and expect_facts(). */
    bool has_producer;
    uint64_t producer_sequence; /* Of the last append that named one. */
    struct fm_appended producer_answer;
    struct fm_hash root;
    uint64_t records[RECORDS]; /* 0: none. */
};

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct fm_snapshot *old;
    size_t old_count;
    unsigned flags;
    uint32_t id_bound;
    unsigned stores;
    struct random random;
    struct fm_error err;
    uint32_t latest[IDS_MAX];
    struct model model;
};

static uint32_t below(struct fixture *f, uint32_t bound)
{
    return random_below(&f->random, bound);
}

static void drop_old(struct fixture *f)
{
    fm_snapshot_free(f->old);
    f->old = NULL;
}

static void say_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    fail_msg("doctor: %s: %s", finding->part, finding->text);
}

static void end_store(struct fixture *f)
{
    struct fm_check_options check = {.dir = f->dir, .finding = say_finding};
    struct fm_check_result result;

    drop_old(f);
    if (f->schema == NULL)
        return;
    fm_store_close(f->store);
    assert_int_equal(fm_store_check(&check, &result, &f->err), FM_OK);
    assert_int_equal(result.damage_count, 0);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    f->store = NULL;
    f->schema = NULL;
}

static void begin_store(struct fixture *f)
{
    static const uint32_t bounds[] = {30, 700, 5000, IDS_MAX};

    end_store(f);
    memset(&f->model, 0, sizeof f->model);
    f->flags = below(f, 4); /* Keyed, clustered, both, neither. */
    f->id_bound = bounds[below(f, 4)];
    f->schema = rows_schema(f->flags);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    struct fm_table_info info = rows_info(f->store);
    f->model.root = info.root;
    fm_schema_free(info.schema);
    f->stores++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    end_store(*state);
    free(*state);
    return 0;
}

/* ---- Appends --------------------------------------------------------------------------------- */

static size_t random_count(struct fixture *f)
{
    return below(f, 25) == 0 ? 2049 + below(f, APPEND_MAX - 2049) : 1 + below(f, 40);
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

static void take(struct fixture *f, size_t count, uint32_t extras,
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
static size_t random_visible(struct fixture *f, size_t size)
{
    const struct model *model = &f->model;

    for (unsigned i = 0; size > 0 && i < 8; i++) {
        size_t fact = below(f, (uint32_t)size);

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
static void make_operation(struct fixture *f, size_t at, uint32_t extras)
{
    struct model *model = &f->model;
    struct row *row = &model->rows[at];
    struct row_event *event = &model->events[at];
    bool may_name = (extras & FM_EXTRA_SUPERSEDES) != 0;
    bool retracts = below(f, 2) == 0;
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
        event->has_superseded = may_name && below(f, 3) == 0;
        *row = row_retract(row->id);
    } else if (may_name) {
        *event = name_fact(FM_CORRECT, fact);
    }
}

static void make_event(struct fixture *f, size_t at, uint32_t extras, bool same_times)
{
    struct row_event *event = &f->model.events[at];

    *event = (struct row_event){0};
    if ((extras & FM_EXTRA_OP) != 0 && below(f, 3) == 0)
        make_operation(f, at, extras);
    if ((extras & FM_EXTRA_OP) != 0 && event->operation == 0 && below(f, 2) == 0)
        event->operation = FM_ASSERT;
    if ((extras & FM_EXTRA_EVENT_TIME) == 0 || below(f, 4) == 0)
        return;
    event->has_time = true;
    event->time = same_times ? 1000 : (fm_us)below(f, 2000) - 1000;
}

static void step_append(struct fixture *f)
{
    struct model *model = &f->model;
    struct fm_append_options options = {.extras = below(f, 3) == 0 ? 0 : below(f, 8)};
    bool same_times = below(f, 2) == 0;
    struct fm_appended appended;
    size_t count = random_count(f);
    struct row *rows = model->rows + model->count;

    if (model->count + count > ROWS_MAX) {
        begin_store(f);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_random(&f->random, f->id_bound);
        make_event(f, model->count + i, options.extras, same_times);
    }
    options.has_producer = below(f, 2) == 0;
    options.producer_sequence = model->producer_sequence + 1 + below(f, 3);
    options.has_expected = below(f, 3) == 0;
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

/* The last append of the producer again, or an earlier one. */
static void step_repeat(struct fixture *f)
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

/* Operations that are not allowed, behind some that are: all or nothing. */
static void step_conflict(struct fixture *f)
{
    struct model *model = &f->model;
    struct fm_append_options options = {.extras = FM_EXTRA_OP | FM_EXTRA_SUPERSEDES};
    size_t count = random_count(f);
    size_t last = model->count + count - 1;
    struct fm_appended appended;
    size_t fact;

    if (model->count + count > ROWS_MAX || model->count == 0)
        return;
    for (size_t i = model->count; i <= last; i++) {
        model->rows[i] = row_random(&f->random, f->id_bound);
        make_event(f, i, options.extras, true);
    }
    fact = latest_of(model, last, model->rows[last].id);
    if ((f->flags & ROWS_KEYED) == 0) /* Not before it, or named already. */
        fact = below(f, 2) == 0 ? last + below(f, 3) : (size_t)model->events[last - 1].superseded;
    if ((f->flags & ROWS_KEYED) == 0 && fact < last && !is_named(model, last, fact))
        fact = last;
    if ((f->flags & ROWS_KEYED) != 0) /* No row, or another than the latest. */
        fact = fact == NONE ? 0 : fact + 1;
    model->events[last] = name_fact(below(f, 2) == 0 ? FM_RETRACT : FM_CORRECT, fact);
    assert_int_equal(rows_append_events(f->store, f->schema, model->rows + model->count,
                                        model->events + model->count, count, &options, &appended,
                                        &f->err),
                     FM_CONFLICT);
    assert_true(strncmp(f->err.text, "row ", 4) == 0);
    assert_int_equal(strtoull(f->err.text + 4, NULL, 10), count);
}

/* Wrong expectation: refused, at the latest at the commit. */
static void step_refused(struct fixture *f)
{
    struct fm_append_options options = {.has_expected = true,
                                        .expected_size = f->model.count + 1 + below(f, 3)};
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

/* Begun, fed and given up. */
static void step_abort(struct fixture *f)
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
    rows_batch(f->schema, rows, (uint32_t)count, below(f, 2) == 0, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_append_begin(f->store, &options, &append, &done, &first, &f->err), FM_OK);
    assert_int_equal(fm_append_rows(append, &batch, &f->err), FM_OK);
    fm_append_abort(append);
    fm_buf_free(&bytes);
    free(rows);
}

/* ---- Reads ----------------------------------------------------------------------------------- */

/* What a scan of the first `size` facts must give. */
static void expect(struct fixture *f, size_t size, const struct fm_scan_options *options,
                   struct row_list *out)
{
    const struct row *rows = f->model.rows;
    const struct row_event *events = f->model.events;
    bool *hidden = f->model.marks;

    *out = (struct row_list){.rows = calloc(size + 1, sizeof *out->rows)};
    assert_non_null(out->rows);
    for (size_t i = 0; i < size; i++) {
        f->latest[rows[i].id] = (uint32_t)i;
        hidden[i] = events[i].operation == FM_RETRACT;
        if (events[i].has_superseded)
            hidden[events[i].superseded] = true;
    }
    for (size_t i = 0; i < size; i++) {
        if (options->row_limit > 0 && out->count == options->row_limit)
            break;
        if (hidden[i] || ((f->flags & ROWS_KEYED) != 0 && f->latest[rows[i].id] != i))
            continue;
        if (row_matches(&rows[i], options->predicates))
            out->rows[out->count++] = rows[i];
    }
}

/* A moment of the past; its size. */
static size_t random_past(struct fixture *f, size_t size, struct fm_at *at)
{
    const fm_us *recorded_at = f->model.recorded_at;
    size_t then = below(f, (uint32_t)size + 1);

    if (below(f, 2) == 0 || size == 0) {
        *at = (struct fm_at){FM_AT_VERSION, (int64_t)then};
        return then;
    }
    *at = (struct fm_at){FM_AT_TIMESTAMP,
                         recorded_at[below(f, (uint32_t)size)] - (int64_t)below(f, 2)};
    for (then = 0; then < size && recorded_at[then] <= at->value;)
        then++;
    return then;
}

static void check_scan(struct fixture *f, struct fm_snapshot *snapshot, size_t size)
{
    struct fm_predicate_list predicates = {0};
    struct fm_scan_options options = {0};
    struct row_list expected, read;

    rows_random_predicates(&f->random, &predicates);
    options.predicates = &predicates;
    if (below(f, 3) == 0)
        options.row_limit = 1 + below(f, 3000);
    if (below(f, 3) == 0)
        options.batch_bytes = 2000 + below(f, 20000);
    if (below(f, 2) == 0)
        size = random_past(f, size, &options.at);
    expect(f, size, &options, &expected);
    if (rows_scan(snapshot, &options, &read, &f->err) != FM_OK)
        fail_msg("scan: %s", f->err.text);
    assert_int_equal(read.count, expected.count);
    if ((f->flags & ROWS_CLUSTERED) == 0) {
        rows_assert_equal(read.rows, expected.rows, read.count);
    } else {
        /* In any order, and a limit leaves out any of them. */
        row_list_free(&expected);
        options.row_limit = 0;
        expect(f, size, &options, &expected);
        rows_assert_among(&read, &expected);
    }
    row_list_free(&read);
    row_list_free(&expected);
    fm_predicate_list_deinit(&predicates);
}

static struct fm_snapshot *snapshot_of(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    return snapshot;
}

static void step_scan(struct fixture *f)
{
    struct fm_snapshot *snapshot = snapshot_of(f);

    check_scan(f, snapshot, f->model.count);
    fm_snapshot_free(snapshot);
}

/* ---- The whole history ----------------------------------------------------------------------- */

enum { COLUMN_SEQ, COLUMN_RECORDED_AT, COLUMN_EVENT_TIME, COLUMN_OP, COLUMN_SUPERSEDES, COLUMN_ID };

static void random_term(struct fixture *f, size_t size, struct fm_predicate *out)
{
    static const uint32_t field_ids[] = {FM_FIELD_SEQ, FM_FIELD_RECORDED_AT, FM_FIELD_EVENT_TIME,
                                         FM_FIELD_OP, FM_FIELD_SUPERSEDES};
    uint32_t chosen = below(f, 5);
    uint64_t value = below(f, (uint32_t)size + 1);

    *out = (struct fm_predicate){.field_id = field_ids[chosen]};
    out->op = below(f, 2) == 0 ? FM_OP_IS_NULL : FM_OP_IS_NOT_NULL;
    if (below(f, 4) == 0)
        return;
    out->op = (enum fm_operator)(FM_OP_EQ + below(f, chosen == COLUMN_OP ? 2 : 6));
    out->value_count = 1;
    out->values = calloc(1, sizeof *out->values);
    assert_non_null(out->values);
    if (chosen == COLUMN_OP) {
        const char *text = fm_operation_text((enum fm_operation)(1 + below(f, 3)));

        fm_buf_put_uvarint(&out->values[0], strlen(text));
        fm_buf_put_str(&out->values[0], text);
        return;
    }
    if (chosen == COLUMN_EVENT_TIME)
        value = (uint64_t)((fm_us)below(f, 2000) - 1000);
    if (chosen == COLUMN_RECORDED_AT && size > 0)
        value = (uint64_t)f->model.recorded_at[below(f, (uint32_t)size)];
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
static size_t check_fact(const struct fixture *f, const struct fm_batch *batch, uint32_t row)
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

static size_t expect_facts(struct fixture *f, size_t size,
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

static void step_facts(struct fixture *f)
{
    static const uint32_t fields[] = {0, 1, 2, 3, 4, 5};
    struct fm_predicate terms[2] = {{0}};
    struct fm_predicate_list predicates = {.count = below(f, 3), .terms = terms};
    struct fm_scan_options options = {.domain = "tests",
                                      .table = "rows$facts",
                                      .field_count = 6,
                                      .fields = fields,
                                      .predicates = &predicates};
    struct fm_snapshot *snapshot = snapshot_of(f);
    struct fm_scan *scan = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    size_t size = f->model.count, read = 0;
    enum fm_status status;

    if (below(f, 2) == 0)
        size = random_past(f, size, &options.at);
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

/* What an old snapshot showed it shows still. */
static void step_old(struct fixture *f)
{
    if (f->old != NULL)
        check_scan(f, f->old, f->old_count);
    drop_old(f);
    f->old = snapshot_of(f);
    f->old_count = f->model.count;
}

static void step_map(struct fixture *f)
{
    static const uint32_t fields[] = {1, 2};
    struct fm_scan_options options = {
        .domain = "tests", .table = "rows", .field_count = 2, .fields = fields};
    struct fm_snapshot *snapshot = snapshot_of(f);
    struct fm_store_mapping mapping = {0};
    struct row_list expected;
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status = fm_snapshot_map(snapshot, &options, &mapping, &f->err);
    uint64_t rows = 0;

    assert_int_equal(status, FM_OK);
    rows = mapping_rows(&mapping);
    while (mapping.rest != NULL && status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_scan_next(mapping.rest, &bytes, &f->err);
        rows += status == FM_OK ? fm_load32(bytes.data + 8) : 0;
    }
    assert_true(status == FM_OK || status == FM_NOTFOUND);
    expect(f, f->model.count, &options, &expected);
    assert_int_equal(rows, expected.count);
    row_list_free(&expected);
    fm_buf_free(&bytes);
    fm_store_mapping_deinit(&mapping);
    fm_snapshot_free(snapshot);
}

/* Hot rows become a segment. */
static void step_seal(struct fixture *f)
{
    struct fm_table_info info = rows_info(f->store);
    uint64_t rows = 0;

    assert_int_equal(fm_store_seal(f->store, "tests", "rows", &rows, &f->err), FM_OK);
    assert_int_equal(rows, info.hot_rows);
    fm_schema_free(info.schema);
}

/* All segments fit into one here: rows that are not hot but beside others of them. */
static void step_merge(struct fixture *f)
{
    struct fm_table_info before = rows_info(f->store), after;
    uint64_t rows = 0;

    if (fm_store_merge(f->store, "tests", "rows", &rows, &f->err) != FM_OK)
        fail_msg("merge: %s", f->err.text);
    after = rows_info(f->store);
    assert_int_equal(after.hot_rows, before.hot_rows);
    assert_true(rows <= before.size - before.hot_rows);
    if (before.hot_rows == 0 && before.size > 0)
        assert_int_equal(after.segment_count, 1);
    else
        assert_true(after.segment_count <= before.segment_count);
    assert_true((rows > 0) == (after.segment_count < before.segment_count));
    fm_schema_free(before.schema);
    fm_schema_free(after.schema);
}

/* The proof of a fact is made from its rows and neighbours, and checked against the root. */
static void step_prove(struct fixture *f)
{
    struct fm_snapshot *snapshot = snapshot_of(f);

    for (unsigned i = 0; i < PROOFS && f->model.count > 0; i++) {
        uint64_t sequence = below(f, (uint32_t)f->model.count);
        uint64_t size = sequence + 1 + below(f, (uint32_t)(f->model.count - sequence));
        struct fm_proof proof;

        if (fm_snapshot_inclusion(snapshot, "tests", "rows", sequence, size, &proof, &f->err) !=
            FM_OK)
            fail_msg("proof of fact %" PRIu64 " in %" PRIu64 ": %s", sequence, size, f->err.text);
    }
    fm_snapshot_free(snapshot);
}

static void step_record(struct fixture *f)
{
    uint32_t number = below(f, RECORDS);
    uint8_t key = (uint8_t)number;
    struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = fm_store_get_record(f->store, fm_span(&key, 1), &value);

    if (f->model.records[number] == 0) {
        assert_int_equal(status, FM_NOTFOUND);
    } else {
        assert_int_equal(status, FM_OK);
        assert_int_equal(value.len, 8);
        assert_int_equal(fm_load64(value.data), f->model.records[number]);
    }
    fm_buf_free(&value);
    f->model.records[number] = random_next(&f->random) | 1;
    fm_buf_put_u64(&value, f->model.records[number]);
    assert_int_equal(fm_store_put_record(f->store, fm_span(&key, 1), fm_buf_span(&value), &f->err),
                     FM_OK);
    fm_buf_free(&value);
}

static void step_reopen(struct fixture *f)
{
    drop_old(f);
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void check_info(struct fixture *f)
{
    struct fm_table_info info = rows_info(f->store);
    struct fm_scan_options all = {0};
    struct row_list expected;

    assert_int_equal(info.size, f->model.count);
    assert_true(fm_hash_equal(&info.root, &f->model.root));
    expect(f, f->model.count, &all, &expected);
    assert_int_equal(info.rows_latest, expected.count);
    if (f->model.count > 0)
        assert_int_equal(info.recorded_at, f->model.recorded_at[f->model.count - 1]);
    row_list_free(&expected);
    fm_schema_free(info.schema);
}

static void step(struct fixture *f)
{
    static const struct {
        unsigned until; /* Of a hundred. */
        void (*run)(struct fixture *f);
    } steps[] = {
        {40, step_append}, {45, step_repeat},  {47, step_refused}, {50, step_conflict},
        {52, step_abort},  {69, step_scan},    {74, step_facts},   {80, step_old},
        {83, step_map},    {87, step_prove},   {92, step_seal},    {95, step_merge},
        {98, step_record}, {100, step_reopen},
    };
    uint32_t chosen = below(f, 100);
    size_t i = 0;

    while (chosen >= steps[i].until)
        i++;
    steps[i].run(f);
    check_info(f);
}

static void test_random_operations(void **state)
{
    struct fixture *f = *state;
    const char *seed = getenv("FM_SEED");
    unsigned steps = getenv("FM_LONG") != NULL ? STEPS_LONG : STEPS;

    f->random.state = seed != NULL ? strtoull(seed, NULL, 10) : 11;
    print_message("FM_SEED=%" PRIu64 "\n", f->random.state);
    begin_store(f);
    for (unsigned i = 0; i < steps; i++) {
        if (i % (steps / 4) == 0)
            print_message("step %u\n", i);
        step(f);
    }
    print_message("%u steps on %u stores\n", steps, f->stores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_operations, setup, teardown),
    };

    /* Nothing is cut off here: memory does for a disk. */
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* Else on the disk. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
