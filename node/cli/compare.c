#include "node/cli/compare.h"

#include "client/client_internal.h"
#include "client/client_text.h"
#include "core/assert.h"
#include "node/cli/output.h"

#include <inttypes.h>
#include <math.h>

struct side {
    const struct fm_compare_side *from;
    struct fm_column_view view;
    struct fm_buf bytes;
    struct fm_batch batch;
    uint32_t row;    /* At hand, in the batch; none when it is batch.rows. */
    uint64_t number; /* Of that row, from 0. */
    bool has_ended;
};

/* A row that is kept: its exact values, then its floats. */
struct kept {
    size_t offset;
    const uint8_t *bytes; /* Set when all are there. */
    uint32_t exact;
    uint32_t len;
    uint64_t number;
};

struct list {
    struct fm_buf bytes;
    struct kept *rows;
    size_t count;
    size_t capacity;
};

struct compare {
    const struct fm_replay_form *form;
    struct fm_error *err;
    struct side answer;
    struct side merge;
    struct list answer_rest; /* From the first difference on. */
    struct list merge_rest;
    bool differs;
    char first[256];   /* The first difference. */
    char order[256];   /* Where the rows leave the statement's order. */
    uint64_t tie_from; /* Row of the answer at which those begin that have its last row's keys, */
    struct fm_buf key; /* these. */
    bool is_cut;       /* The row behind the last one has them, too. */
};

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum fm_status side_init(struct side *side, const struct fm_compare_side *from)
{
    side->from = from;
    side->bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    return fm_column_view_init(&side->view, from->columns);
}

static void side_deinit(struct side *side)
{
    fm_column_view_deinit(&side->view);
    fm_buf_free(&side->bytes);
}

/* Let a row be at hand, if there is one more. */
static enum fm_status side_fill(struct side *side, struct fm_error *err)
{
    while (!side->has_ended && side->row == side->batch.rows) {
        fm_buf_clear(&side->bytes);
        side->batch = (struct fm_batch){0};
        side->row = 0;
        enum fm_status status =
            side->from->source.next(side->from->source.context, &side->bytes, err);
        side->has_ended = status == FM_NOTFOUND;
        if (status == FM_OK)
            status = fm_batch_view(fm_buf_span(&side->bytes), side->view.types, side->view.count,
                                   side->view.dictionaries, &side->batch);
        if (status != FM_OK && status != FM_NOTFOUND)
            return status;
    }
    return FM_OK;
}

static void side_step(struct side *side)
{
    side->row++;
    side->number++;
}

static bool is_float(const struct side *side, uint32_t column)
{
    return side->view.types[column]->kind == FM_KIND_DOUBLE ||
           side->view.types[column]->kind == FM_KIND_FLOAT;
}

static bool is_null(const struct side *side, uint32_t column)
{
    return fm_vector_is_null(&side->batch, &side->batch.vectors[column], side->row);
}

static double float_of(const struct side *side, uint32_t column)
{
    const struct fm_vector_entry *vector = &side->batch.vectors[column];
    double value = 0;
    float single = 0;

    if (side->view.types[column]->kind == FM_KIND_DOUBLE) {
        fm_vector_fixed(&side->batch, vector, side->row, &value);
        return value;
    }
    fm_vector_fixed(&side->batch, vector, side->row, &single);
    return (double)single;
}

static bool is_close(double a, double b, double share)
{
    double larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);

    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b))
        return isinf(a) && isinf(b) && signbit(a) == signbit(b);
    return fabs(a - b) <= share * larger || fabs(a - b) <= 1e-12;
}

static double share_of(const struct side *side, uint32_t column)
{
    return side->view.types[column]->kind == FM_KIND_DOUBLE ? 1e-9 : 1e-6;
}

static enum fm_status put_value(const struct side *side, uint32_t column, struct fm_buf *out)
{
    fm_buf_put_u8(out, is_null(side, column) ? 0 : 1);
    if (is_null(side, column))
        return fm_buf_status(out);
    return fm_vector_canonical(&side->batch, &side->batch.vectors[column], side->view.types[column],
                               side->view.dictionaries[column], side->row, out);
}

static enum fm_status cells_equal(const struct compare *c, uint32_t column, bool *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf a = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf b = FM_BUF_INIT(FM_BATCH_BYTES_MAX);

    if (is_null(&c->answer, column) || is_null(&c->merge, column)) {
        *out = is_null(&c->answer, column) && is_null(&c->merge, column);
        return FM_OK;
    }
    if (is_float(&c->answer, column)) {
        *out = is_close(float_of(&c->answer, column), float_of(&c->merge, column),
                        share_of(&c->answer, column));
        return FM_OK;
    }
    enum fm_status status = put_value(&c->answer, column, &a);
    if (status == FM_OK)
        status = put_value(&c->merge, column, &b);
    *out = fm_span_equal(fm_buf_span(&a), fm_buf_span(&b));
    return status;
}

/* ---- What differs ---------------------------------------------------------------------------- */

static enum fm_status put_text(const struct side *side, uint32_t column, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(FM_BATCH_BYTES_MAX);

    if (is_null(side, column)) {
        fm_buf_put_str(out, "NULL");
        return FM_OK;
    }
    enum fm_status status =
        fm_text_value(&text, FM_TEXT_PLAIN, &side->batch, &side->batch.vectors[column],
                      side->view.types[column], side->view.dictionaries[column], side->row);
    fm_output_escape(out, fm_span(text.data, text.len < 60 ? text.len : 60));
    return status;
}

static void say(const struct compare *c, uint32_t column, char out[256])
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(4096);

    fm_buf_printf(&text, "row %" PRIu64 ", column ", c->answer.number + 1);
    fm_output_escape(&text, fm_span_str(c->answer.from->columns->items[column].name));
    fm_buf_put_str(&text, ": the answer has ");
    enum fm_status status = put_text(&c->answer, column, &text);
    fm_buf_put_str(&text, ", the merge gives ");
    if (status == FM_OK)
        status = put_text(&c->merge, column, &text);
    (void)status; /* Then some of the text is missing. */
    (void)snprintf(out, 256, "%.*s", (int)text.len, (const char *)text.data); /* Cut. */
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static enum fm_status keep(struct list *list, const struct side *side, struct fm_error *err)
{
    size_t begin = list->bytes.len;
    enum fm_status status = FM_OK;

    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
        struct kept *rows = realloc(list->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return fm_fail(err, FM_NOMEM, "compare rows");
        list->rows = rows;
        list->capacity = capacity;
    }
    for (uint32_t i = 0; i < side->view.count && status == FM_OK; i++)
        if (!is_float(side, i))
            status = put_value(side, i, &list->bytes);
    size_t exact = list->bytes.len - begin;
    for (uint32_t i = 0; i < side->view.count && status == FM_OK; i++) {
        double value = is_float(side, i) && !is_null(side, i) ? float_of(side, i) : 0;
        if (!is_float(side, i))
            continue;
        fm_buf_put_u8(&list->bytes, is_null(side, i) ? 0 : 1);
        fm_buf_put_u8(&list->bytes, side->view.types[i]->kind == FM_KIND_DOUBLE);
        fm_buf_put(&list->bytes, &value, sizeof value);
    }
    if (status == FM_OK)
        status = fm_buf_status(&list->bytes);
    if (list->bytes.len + list->count * sizeof *list->rows > FM_COMPARE_BYTES_MAX)
        status = FM_LIMIT;
    if (status != FM_OK)
        return fm_fail(err, status,
                       "rows in another order than the merge gives them take more than %u MiB, "
                       "which is too much to compare",
                       FM_COMPARE_BYTES_MAX >> 20);
    list->rows[list->count++] = (struct kept){.offset = begin,
                                              .exact = (uint32_t)exact,
                                              .len = (uint32_t)(list->bytes.len - begin),
                                              .number = side->number};
    return FM_OK;
}

#define FLOAT_BYTES 10u

struct one_float {
    bool is_there;
    double share;
    double value;
};

static struct one_float float_at(const uint8_t *bytes)
{
    struct one_float out = {.is_there = bytes[0] != 0, .share = bytes[1] != 0 ? 1e-9 : 1e-6};

    memcpy(&out.value, bytes + 2, sizeof out.value);
    return out;
}

static int order_floats(struct one_float a, struct one_float b)
{
    if (a.is_there != b.is_there)
        return a.is_there ? 1 : -1;
    if (isnan(a.value) || isnan(b.value))
        return (isnan(a.value) ? 1 : 0) - (isnan(b.value) ? 1 : 0);
    return (a.value > b.value) - (a.value < b.value);
}

/* Exact values first, then floats; those that are close count as equal where `is_near`. */
static int order_rows(const struct kept *a, const struct kept *b, bool is_near)
{
    uint32_t shorter = a->exact < b->exact ? a->exact : b->exact;
    int order = shorter == 0 ? 0 : memcmp(a->bytes, b->bytes, shorter);

    if (order == 0)
        order = (a->exact > b->exact) - (a->exact < b->exact);
    for (uint32_t at = 0; order == 0 && a->exact + at < a->len; at += FLOAT_BYTES) {
        struct one_float x = float_at(a->bytes + a->exact + at);
        struct one_float y = float_at(b->bytes + b->exact + at);
        if (!is_near || x.is_there != y.is_there || !is_close(x.value, y.value, x.share))
            order = order_floats(x, y);
    }
    return order;
}

static int compare_kept(const void *a, const void *b)
{
    return order_rows(a, b, false);
}

static void list_sort(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        list->rows[i].bytes = list->bytes.data + list->rows[i].offset;
    if (list->count > 1)
        qsort(list->rows, list->count, sizeof *list->rows, compare_kept);
}

static void list_deinit(struct list *list)
{
    fm_buf_free(&list->bytes);
    free(list->rows);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Both have a row at hand. */
static enum fm_status look(struct compare *c)
{
    for (uint32_t i = 0; i < c->answer.view.count && !c->differs; i++) {
        bool equal = false;
        enum fm_status status = cells_equal(c, i, &equal);
        if (status != FM_OK)
            return fm_fail(c->err, status, "compare rows");
        c->differs = !equal;
        if (!equal)
            say(c, i, c->first);
    }
    for (uint32_t k = 0; k < c->form->key_count && c->differs && c->order[0] == '\0'; k++) {
        bool equal = false;
        enum fm_status status = cells_equal(c, c->form->keys[k], &equal);
        if (status != FM_OK)
            return fm_fail(c->err, status, "compare rows");
        if (!equal)
            say(c, c->form->keys[k], c->order);
    }
    return FM_OK;
}

static enum fm_status key_of(const struct compare *c, const struct side *side, struct fm_buf *out)
{
    enum fm_status status = FM_OK;

    for (uint32_t k = 0; k < c->form->key_count && status == FM_OK; k++)
        status = put_value(side, c->form->keys[k], out);
    return status == FM_OK ? fm_buf_status(out) : status;
}

/* Where a LIMIT cuts, rows with the same keys may have been left out. By the merge's rows. */
static enum fm_status follow_ties(struct compare *c)
{
    FM_AUTO(fm_buf_free) struct fm_buf key = FM_BUF_INIT(FM_BATCH_BYTES_MAX);

    if (!c->form->has_limit)
        return FM_OK;
    enum fm_status status = key_of(c, &c->merge, &key);
    if (status != FM_OK)
        return fm_fail(c->err, status, "compare rows");
    bool is_same = c->merge.number > 0 && fm_span_equal(fm_buf_span(&key), fm_buf_span(&c->key));
    if (c->merge.number == c->form->limit) {
        c->is_cut = is_same;
    } else if (!is_same) {
        c->tie_from = c->merge.number;
        fm_buf_clear(&c->key);
        fm_buf_put_span(&c->key, fm_buf_span(&key));
    }
    return fm_buf_status(&c->key);
}

static bool has_row(const struct compare *c, const struct side *side)
{
    bool is_behind = c->form->has_limit && side == &c->merge && side->number >= c->form->limit;

    return !side->has_ended && !is_behind;
}

static enum fm_status step(struct compare *c)
{
    enum fm_status status = look(c);

    if (status == FM_OK)
        status = follow_ties(c);
    if (status == FM_OK && c->differs)
        status = keep(&c->answer_rest, &c->answer, c->err);
    if (status == FM_OK && c->differs)
        status = keep(&c->merge_rest, &c->merge, c->err);
    side_step(&c->answer);
    side_step(&c->merge);
    return status;
}

static enum fm_status walk(struct compare *c)
{
    for (;;) {
        enum fm_status status = side_fill(&c->answer, c->err);
        if (status == FM_OK)
            status = side_fill(&c->merge, c->err);
        if (status != FM_OK)
            return status;
        if (!has_row(c, &c->answer) || !has_row(c, &c->merge))
            break;
        status = step(c);
        if (status != FM_OK)
            return status;
    }
    if (!c->merge.has_ended && c->form->has_limit && c->merge.number == c->form->limit &&
        c->merge.number > 0)
        return follow_ties(c);
    return FM_OK;
}

static enum fm_status differ(const struct compare *c, const char *text)
{
    if (c->form->is_open)
        return fm_fail(
            c->err, FM_UNSUPPORTED,
            "the statement leaves open which rows it gives (by a LIMIT, a window or an "
            "aggregate without a full order), and the merge gives others now; this shows "
            "nothing about the answer. %s",
            text);
    return fm_fail(c->err, FM_FORGED, "the rows are not those that the fragments give: %s", text);
}

/* Row counts follow from what is read, whatever its order. */
static enum fm_status check_counts(struct compare *c)
{
    char text[256];

    if (!has_row(c, &c->answer) && !has_row(c, &c->merge))
        return FM_OK;
    (void)snprintf(text, sizeof text,
                   "the answer has %s rows than the merge gives, after %" PRIu64 " of them",
                   has_row(c, &c->answer) ? "more" : "fewer", c->merge.number); /* Fits. */
    return differ(c, text);
}

/* The first row of the answer that the merge does not give. Among rows with the keys of the last
 * one, where a LIMIT cut between them, others may be as right: `*open` then. */
static const struct kept *find_odd(struct compare *c, bool *open)
{
    const struct list *a = &c->answer_rest, *b = &c->merge_rest;
    const struct kept *odd = NULL;

    list_sort(&c->answer_rest);
    list_sort(&c->merge_rest);
    for (size_t i = 0, k = 0; i < a->count;) {
        const struct kept *row = &a->rows[i];
        int order = k == b->count ? -1 : order_rows(row, &b->rows[k], true);
        bool is_tied = c->is_cut && row->number >= c->tie_from;
        if (order < 0 && is_tied)
            *open = true;
        else if (order < 0 && (odd == NULL || row->number < odd->number))
            odd = row;
        i += order <= 0;
        k += order >= 0;
    }
    return odd;
}

static enum fm_status check_rest(struct compare *c)
{
    char text[400];
    bool open = false;
    const struct kept *odd = find_odd(c, &open);

    if (odd != NULL) {
        (void)snprintf(text, sizeof text, "row %" PRIu64 " is none of them; at first %s",
                       odd->number + 1, c->first); /* Cut. */
        return differ(c, text);
    }
    if (c->order[0] != '\0') {
        (void)snprintf(text, sizeof text, "their order is another one: %s", c->order); /* Cut. */
        return differ(c, text);
    }
    if (open)
        return fm_fail(
            c->err, FM_UNSUPPORTED,
            "its last rows have equal keys, and LIMIT leaves open which of such rows come: "
            "the merge gives others now, which shows nothing about them. %s",
            c->first);
    return FM_OK;
}

static enum fm_status compare(struct compare *c)
{
    enum fm_status status = walk(c);

    if (status == FM_OK)
        status = check_counts(c);
    return status == FM_OK ? check_rest(c) : status;
}

enum fm_status fm_compare_rows(const struct fm_compare_side *answer,
                               const struct fm_compare_side *merge,
                               const struct fm_replay_form *form, struct fm_compared *out,
                               struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct compare *c = calloc(1, sizeof *c);

    fm_assert(answer->columns->count == merge->columns->count);
    if (c == NULL)
        return fm_fail(err, FM_NOMEM, "compare rows");
    c->form = form;
    c->err = err;
    c->key = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    c->answer_rest.bytes = c->merge_rest.bytes = FM_BUF_INIT(2u * FM_COMPARE_BYTES_MAX);
    enum fm_status status = side_init(&c->answer, answer);
    if (status == FM_OK)
        status = side_init(&c->merge, merge);
    status = status == FM_OK ? compare(c) : fm_fail(err, status, "compare rows");
    if (status == FM_OK)
        *out = (struct fm_compared){.rows = c->answer.number, .is_in_order = !c->differs};
    side_deinit(&c->answer);
    side_deinit(&c->merge);
    list_deinit(&c->answer_rest);
    list_deinit(&c->merge_rest);
    fm_buf_free(&c->key);
    return status;
}
