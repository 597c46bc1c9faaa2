/* Columns of fixed width: values as they are, and runs of integers. */
#include "core/batch_build.h"

/* Codes of 4 bytes are compared as a whole: ranges up to 2^32 - 1. */
uint32_t fm_for_width(uint64_t range, uint64_t step, uint32_t width)
{
    if (step == 0 || step > INT64_MAX)
        return 0;
    uint64_t last = range / step;
    uint32_t code = last <= UINT8_MAX ? 1 : last <= UINT16_MAX ? 2 : last <= UINT32_MAX ? 4 : 8;
    return code < width ? code : 0;
}

bool fm_runs_agree(const struct fm_column *column)
{
    /* Runs that agree were joined when they came. */
    if (fm_column_run_count(column) != 1)
        return false;
    const struct fm_run *run = fm_column_run(column, 0);
    return !run->is_plain && run->code_width != 0 && run->code_width < column->width;
}

/* ---- Runs ---------------------------------------------------------------------------------- */

static bool runs_join(const struct fm_run *a, const struct fm_run *b)
{
    if (a->is_plain || b->is_plain || a->is_null || b->is_null)
        return a->is_plain == b->is_plain && a->is_null == b->is_null;
    return a->base == b->base && a->step == b->step && a->code_width == b->code_width;
}

/* The run that rows of this form go to: the last one or a new one. */
static struct fm_run *open_run(struct fm_column *column, struct fm_run form)
{
    size_t count = fm_column_run_count(column);
    if (count > 0 && runs_join(fm_column_run(column, count - 1), &form))
        return fm_column_run(column, count - 1);
    form.rows = 0;
    form.at = (uint32_t)column->data.len;
    fm_buf_put(&column->runs, &form, sizeof form);
    return fm_buf_status(&column->runs) == FM_OK ? fm_column_run(column, count) : NULL;
}

static void include_keys(struct fm_column *column, uint64_t min_key, uint64_t max_key)
{
    if (!column->has_value || min_key < column->min_key)
        column->min_key = min_key;
    if (!column->has_value || max_key > column->max_key)
        column->max_key = max_key;
    column->has_value = true;
}

/* Codes of a run at `codes` (rows of them; none when every row is the base). */
static void include_codes(struct fm_column *column, const struct fm_run *run, const uint8_t *codes,
                          size_t rows)
{
    uint64_t base = fm_integer_key(run->base, column->is_unsigned);
    uint64_t min = 0, max = 0;
    if (run->code_width != 0) {
        min = fm_codes_min(codes, run->code_width, rows) * run->step;
        max = fm_codes_max(codes, run->code_width, rows) * run->step;
    }
    if (!column->has_value)
        column->origin = base;
    uint64_t apart = base > column->origin ? base - column->origin : column->origin - base;
    column->step = fm_gcd(fm_gcd(column->step, run->step), apart);
    include_keys(column, base + min, base + max);
}

/* ---- Nulls --------------------------------------------------------------------------------- */

/* First row at or behind `first` that has a value, `end` when there is none. */
static uint32_t first_valid(const struct fm_column *column, uint32_t first, uint32_t end)
{
    if (column->validity.len == 0)
        return first;
    for (uint32_t row = first; row < end; row += 64) {
        uint32_t here = end - row < 64 ? end - row : 64;
        uint64_t bits = fm_bits_load(column->validity.data, row, here);
        if (bits != 0)
            return row + (uint32_t)__builtin_ctzll(bits);
    }
    return end;
}

/* The values of the rows [first, column->rows), counted already, are at `values`. Null ones become
 * a value of their neighbours in runs, so that bounds need not look at validity; else zero. */
static enum fm_status settle_values(struct fm_column *column, uint8_t *values, uint32_t first,
                                    uint32_t nulls_before)
{
    static const uint8_t zero[16] = {0};
    uint32_t rows = column->rows - first, width = column->width;
    bool is_runs = column->store == FM_STORE_RUNS;
    if (rows == 0)
        return FM_OK;
    uint32_t valid = first_valid(column, first, column->rows);
    bool has_valid = valid < column->rows;
    if (column->null_count > nulls_before) {
        uint8_t filler[16] = {0};
        if (is_runs && has_valid)
            memcpy(filler, values + (size_t)(valid - first) * width, width);
        fm_fill_nulls(values, width, column->validity.data, first, rows, is_runs ? filler : zero);
    }
    if (is_runs && has_valid) {
        uint64_t min_key, max_key;
        fm_integer_bounds(values, width, column->is_unsigned, rows, &min_key, &max_key);
        include_keys(column, min_key, max_key);
        column->has_plain = true;
    }
    return FM_OK;
}

/* ---- Values -------------------------------------------------------------------------------- */

/* Room for `rows` values (and one more, which gathering wants), as a run where there are runs. */
static uint8_t *reserve_values(struct fm_column *column, uint32_t rows)
{
    size_t len = (size_t)rows * column->width;
    if (column->store == FM_STORE_RUNS &&
        open_run(column, (struct fm_run){.is_plain = true}) == NULL)
        return NULL;
    uint8_t *at = fm_buf_extend(&column->data, len + column->width);
    if (at == NULL)
        return NULL;
    column->data.len -= column->width;
    return at;
}

static void count_in_run(struct fm_column *column, uint32_t rows)
{
    if (column->store == FM_STORE_RUNS)
        fm_column_run(column, fm_column_run_count(column) - 1)->rows += rows;
}

static enum fm_status failure_of(const struct fm_column *column)
{
    enum fm_status status = fm_buf_status(&column->runs);
    return status != FM_OK ? status : fm_buf_status(&column->data);
}

enum fm_status fm_fixed_put(struct fm_column *column, const void *values, const uint64_t *validity,
                            uint32_t count)
{
    uint32_t first = column->rows, nulls_before = column->null_count;
    if (count == 0)
        return FM_OK;
    uint8_t *at = reserve_values(column, count);
    if (at == NULL)
        return failure_of(column);
    memcpy(at, values, (size_t)count * column->width);
    count_in_run(column, count);
    enum fm_status status = fm_column_add_rows(column, validity, count);
    if (status == FM_OK)
        status = settle_values(column, at, first, nulls_before);
    if (status == FM_OK && !fm_fixed_values_valid(column->type, at, count))
        return FM_INVALID;
    return status;
}

enum fm_status fm_fixed_put_null(struct fm_column *column)
{
    uint32_t width = column->width;
    if (column->store == FM_STORE_RUNS) {
        size_t count = fm_column_run_count(column);
        struct fm_run *run = count > 0 ? fm_column_run(column, count - 1)
                                       : open_run(column, (struct fm_run){.is_null = true});
        if (run == NULL)
            return failure_of(column);
        width = fm_run_width(column, run);
        run->rows++;
    }
    if (width > 0) {
        uint8_t *at = fm_buf_extend(&column->data, width);
        if (at == NULL) {
            if (column->store == FM_STORE_RUNS)
                fm_column_run(column, fm_column_run_count(column) - 1)->rows--;
            return failure_of(column);
        }
        memset(at, 0, width);
    }
    return fm_column_add_rows(column, &(uint64_t){0}, 1);
}

/* ---- Slices -------------------------------------------------------------------------------- */

static enum fm_status put_plain_slice(struct fm_column *column, const struct fm_slice *slice)
{
    uint32_t width = column->width;
    const uint8_t *from =
        slice->batch->bytes + slice->vector->data_at + (size_t)slice->first * width;
    uint8_t *at = reserve_values(column, slice->selected);
    if (at == NULL)
        return failure_of(column);
    size_t got = fm_gather(at, from, width, slice->selection, slice->count);
    fm_assert(got == slice->selected);
    count_in_run(column, slice->selected);
    return FM_OK;
}

/* Codes to values, 64 rows at a time, for columns that keep values. */
static enum fm_status put_decoded_slice(struct fm_column *column, const struct fm_slice *slice)
{
    const struct fm_vector_entry *v = slice->vector;
    const uint8_t *codes = slice->batch->bytes + v->data_at + (size_t)slice->first * v->code_width;
    uint8_t *at = reserve_values(column, slice->selected);
    uint8_t packed[65 * 4];
    uint64_t values[64];
    if (at == NULL)
        return failure_of(column);
    for (uint32_t row = 0; row < slice->count; row += 64) {
        uint32_t here = slice->count - row < 64 ? slice->count - row : 64;
        const uint64_t *selection = slice->selection == NULL ? NULL : slice->selection + row / 64;
        size_t got =
            fm_gather(packed, codes + (size_t)row * v->code_width, v->code_width, selection, here);
        fm_widen(values, packed, v->code_width, true, got);
        for (size_t i = 0; i < got; i++)
            values[i] = (uint64_t)v->base + values[i] * (uint64_t)v->step;
        fm_narrow(at, column->width, values, got);
        at += got * column->width;
    }
    count_in_run(column, slice->selected);
    return FM_OK;
}

/* One value for all rows: in runs as such, else repeated. */
static enum fm_status put_constant_slice(struct fm_column *column, const struct fm_slice *slice,
                                         const uint8_t *value)
{
    if (column->store == FM_STORE_RUNS) {
        struct fm_run form = {.base = fm_load_integer(value, column->width, column->is_unsigned)};
        struct fm_run *run = open_run(column, form);
        if (run == NULL)
            return failure_of(column);
        run->rows += slice->selected;
        include_codes(column, run, NULL, 0);
        return FM_OK;
    }
    uint8_t *at = reserve_values(column, slice->selected);
    if (at == NULL)
        return failure_of(column);
    for (uint32_t i = 0; i < slice->selected; i++)
        memcpy(at + (size_t)i * column->width, value, column->width);
    return FM_OK;
}

static enum fm_status put_null_slice(struct fm_column *column, const struct fm_slice *slice)
{
    if (column->store == FM_STORE_RUNS) {
        struct fm_run *run = open_run(column, (struct fm_run){.is_null = true});
        if (run == NULL)
            return failure_of(column);
        run->rows += slice->selected;
        return FM_OK;
    }
    uint8_t *at = reserve_values(column, slice->selected);
    if (at == NULL)
        return failure_of(column);
    memset(at, 0, (size_t)slice->selected * column->width);
    return FM_OK;
}

/* Codes pass through as they are, as a run of their own or behind codes of the same form. */
static enum fm_status put_code_slice(struct fm_column *column, const struct fm_slice *slice)
{
    const struct fm_vector_entry *v = slice->vector;
    uint32_t width = v->code_width;
    const uint8_t *from = slice->batch->bytes + v->data_at + (size_t)slice->first * width;
    struct fm_run form = {
        .base = (uint64_t)v->base, .step = (uint64_t)v->step, .code_width = v->code_width};
    struct fm_run *run = open_run(column, form);
    if (run == NULL)
        return failure_of(column);
    uint8_t *at = fm_buf_extend(&column->data, ((size_t)slice->selected + 1) * width);
    if (at == NULL)
        return failure_of(column);
    column->data.len -= width;
    size_t got = fm_gather(at, from, width, slice->selection, slice->count);
    fm_assert(got == slice->selected);
    run->rows += slice->selected;
    include_codes(column, run, at, got);
    return FM_OK;
}

enum fm_status fm_fixed_put_slice(struct fm_column *column, const struct fm_slice *slice)
{
    const struct fm_vector_entry *v = slice->vector;
    uint32_t first = column->rows, nulls_before = column->null_count;
    bool is_runs = column->store == FM_STORE_RUNS;
    enum fm_status status;

    if ((v->flags & FM_VECTOR_ALL_NULL) != 0)
        status = put_null_slice(column, slice);
    else if (v->encoding == FM_ENC_CONSTANT)
        status = put_constant_slice(column, slice, slice->batch->bytes + v->data_at);
    else if (v->encoding == FM_ENC_FOR && is_runs)
        status = put_code_slice(column, slice);
    else if (v->encoding == FM_ENC_FOR)
        status = put_decoded_slice(column, slice);
    else
        status = put_plain_slice(column, slice);
    if (status == FM_OK)
        status = fm_column_add_slice(column, slice);
    if (status != FM_OK)
        return status;
    bool has_values = !is_runs || v->encoding == FM_ENC_PLAIN;
    size_t len = (size_t)slice->selected * column->width;
    if (!has_values)
        return FM_OK;
    return settle_values(column, column->data.data + column->data.len - len, first, nulls_before);
}
