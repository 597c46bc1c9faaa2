#include "storage/row_headers.h"

#include "core/assert.h"

struct row_headers row_headers(const struct fm_batch *batch, uint32_t fields, uint32_t extras,
                               const struct fm_fact_header *first)
{
    struct row_headers headers = {
        .batch = batch, .first = *first, .op = -1, .event_time = -1, .supersedes = -1};
    int32_t at = (int32_t)fields;

    fm_assert(batch->column_count == fields + fm_extras_count(extras));
    if ((extras & FM_EXTRA_OP) != 0)
        headers.op = at++;
    if ((extras & FM_EXTRA_EVENT_TIME) != 0)
        headers.event_time = at++;
    if ((extras & FM_EXTRA_SUPERSEDES) != 0)
        headers.supersedes = at;
    return headers;
}

/* The column's vector when the row has a value in it. */
static const struct fm_vector_entry *value_in(const struct row_headers *headers, int32_t column,
                                              uint32_t row)
{
    const struct fm_vector_entry *vector;

    fm_assert(row < headers->batch->rows);
    if (column < 0)
        return NULL;
    vector = &headers->batch->vectors[column];
    return fm_vector_is_null(headers->batch, vector, row) ? NULL : vector;
}

enum fm_operation row_operation(const struct row_headers *headers, uint32_t row)
{
    const struct fm_vector_entry *vector = value_in(headers, headers->op, row);
    enum fm_operation operation = FM_ASSERT;

    if (vector == NULL ||
        fm_operation_parse(fm_vector_bytes(headers->batch, vector, NULL, row), &operation) != FM_OK)
        return FM_ASSERT;
    return operation;
}

bool row_supersedes(const struct row_headers *headers, uint32_t row, uint64_t *out)
{
    const struct fm_vector_entry *vector = value_in(headers, headers->supersedes, row);

    if (vector != NULL)
        fm_vector_fixed(headers->batch, vector, row, out);
    return vector != NULL;
}

void row_header(const struct row_headers *headers, uint32_t row, struct fm_fact_header *out)
{
    const struct fm_vector_entry *time = value_in(headers, headers->event_time, row);

    *out = headers->first;
    out->sequence += row;
    out->operation = row_operation(headers, row);
    out->has_event_time = time != NULL;
    if (time != NULL)
        fm_vector_fixed(headers->batch, time, row, &out->event_time);
    out->has_superseded = row_supersedes(headers, row, &out->superseded);
}

static bool same_header(const struct fm_fact_header *a, const struct fm_fact_header *b)
{
    return a->operation == b->operation && a->has_event_time == b->has_event_time &&
           (!a->has_event_time || a->event_time == b->event_time) &&
           a->has_superseded == b->has_superseded &&
           (!a->has_superseded || a->superseded == b->superseded);
}

uint32_t row_headers_run(const struct row_headers *headers, uint32_t row)
{
    struct fm_fact_header first, next;
    uint32_t end = row + 1;

    if (headers->op < 0 && headers->event_time < 0 && headers->supersedes < 0)
        return headers->batch->rows;
    row_header(headers, row, &first);
    for (; end < headers->batch->rows; end++) {
        row_header(headers, end, &next);
        if (!same_header(&first, &next))
            break;
    }
    return end;
}

uint32_t row_headers_runs(const struct row_headers *headers)
{
    uint32_t runs = 0;

    for (uint32_t row = 0; row < headers->batch->rows; row = row_headers_run(headers, row))
        runs++;
    return runs;
}
