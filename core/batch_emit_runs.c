/* Integers: the encoding that all runs of a column share. */
#include "core/batch_build.h"

#define CHUNK_ROWS 512u

/* Value = base + code * step, or values as they are when code_width is 0. */
struct target {
    uint64_t base;
    uint64_t step;
    uint32_t code_width;
};

/* ---- Choosing ------------------------------------------------------------------------------ */

/* Null rows of plain runs get the least value: code 0, and no burden on the step. */
static void fill_plain_nulls(struct fm_column *column, uint64_t min_value)
{
    uint32_t row = 0;
    if (column->null_count == 0)
        return;
    for (size_t i = 0; i < fm_column_run_count(column); i++) {
        const struct fm_run *run = fm_column_run(column, i);
        if (run->is_plain)
            fm_fill_nulls(column->data.data + run->at, column->width, column->validity.data, row,
                          run->rows, &min_value);
        row += run->rows;
    }
}

/* The greatest step that divides all codes' distances to the least value. */
static uint64_t step_of_codes(const struct fm_column *column)
{
    uint64_t step = 0;
    for (size_t i = 0; i < fm_column_run_count(column); i++) {
        const struct fm_run *run = fm_column_run(column, i);
        if (run->is_plain || run->is_null)
            continue;
        uint64_t base = fm_integer_key(run->base, column->is_unsigned);
        uint64_t apart = base > column->min_key ? base - column->min_key : column->min_key - base;
        step = fm_gcd(fm_gcd(step, run->step), apart);
    }
    return step;
}

/* `step` with a plain run's values; gives up, with 1, once codes would not be narrower for it. */
static uint64_t step_of_plain(const struct fm_column *column, const struct fm_run *run,
                              uint64_t step)
{
    uint64_t values[CHUNK_ROWS], range = column->max_key - column->min_key;
    uint32_t useless = fm_for_width(range, 1, column->width);
    struct fm_divider divider = fm_divider(step != 0 ? step : 1);
    for (uint32_t row = 0; row < run->rows; row += CHUNK_ROWS) {
        uint32_t here = run->rows - row < CHUNK_ROWS ? run->rows - row : CHUNK_ROWS;
        fm_widen(values, column->data.data + run->at + (size_t)row * column->width, column->width,
                 column->is_unsigned, here);
        for (uint32_t i = 0; i < here; i++) {
            uint64_t apart = fm_integer_key(values[i], column->is_unsigned) - column->min_key;
            if (apart == 0 || (step != 0 && fm_divides(&divider, apart)))
                continue;
            step = fm_gcd(step, apart);
            divider = fm_divider(step);
            uint32_t width = fm_for_width(range, step, column->width);
            if (step == 1 || (width == useless && step <= INT64_MAX))
                return 1;
        }
    }
    return step;
}

static struct target choose(struct fm_column *column)
{
    uint64_t range = column->max_key - column->min_key;
    uint64_t base = fm_integer_key(column->min_key, column->is_unsigned);
    if (fm_runs_agree(column)) {
        const struct fm_run *run = fm_column_run(column, 0);
        return (struct target){run->base, run->step, run->code_width};
    }
    if (range == 0)
        return (struct target){base, 1, column->width > 1 ? 1 : 0};
    uint64_t step = step_of_codes(column);
    for (size_t i = 0; i < fm_column_run_count(column) && step != 1; i++)
        if (fm_column_run(column, i)->is_plain && fm_for_width(range, 1, column->width) != 1)
            step = step_of_plain(column, fm_column_run(column, i), step);
        else if (fm_column_run(column, i)->is_plain)
            step = 1;
    return (struct target){base, step, fm_for_width(range, step, column->width)};
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* The values of rows [row, row + count) of a run. Those of null runs are the base. */
static void load_values(const struct fm_column *column, const struct fm_run *run, uint32_t row,
                        uint32_t count, uint64_t null_value, uint64_t *values)
{
    uint32_t width = fm_run_width(column, run);
    const uint8_t *from = column->data.data + run->at + (size_t)row * width;
    if (run->is_plain) {
        fm_widen(values, from, width, column->is_unsigned, count);
        return;
    }
    if (width == 0) {
        for (uint32_t i = 0; i < count; i++)
            values[i] = run->is_null ? null_value : run->base;
        return;
    }
    fm_widen(values, from, width, true, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = run->base + values[i] * run->step;
}

static void write_run(const struct fm_column *column, const struct fm_run *run,
                      const struct target *target, uint8_t *to)
{
    uint64_t values[CHUNK_ROWS];
    uint32_t width = target->code_width != 0 ? target->code_width : column->width;
    struct fm_divider divider = fm_divider(target->step != 0 ? target->step : 1);
    bool is_same = target->code_width != 0
                       ? !run->is_plain && run->code_width == target->code_width &&
                             run->base == target->base && run->step == target->step
                       : run->is_plain;
    if (is_same) {
        memcpy(to, column->data.data + run->at, (size_t)run->rows * width);
        return;
    }
    for (uint32_t row = 0; row < run->rows; row += CHUNK_ROWS) {
        uint32_t here = run->rows - row < CHUNK_ROWS ? run->rows - row : CHUNK_ROWS;
        load_values(column, run, row, here, target->base, values);
        for (uint32_t i = 0; target->code_width != 0 && i < here; i++)
            values[i] = fm_divide_exact(&divider, values[i] - target->base);
        fm_narrow(to + (size_t)row * width, width, values, here);
    }
}

static enum fm_status write_runs(const struct fm_column *column, const struct target *target,
                                 struct fm_buf *out, size_t start, struct fm_vector_entry *entry)
{
    static const uint64_t zero = 0;
    uint32_t width = target->code_width != 0 ? target->code_width : column->width;
    size_t len = (size_t)column->rows * width;
    uint8_t *to = fm_emit_section(out, start, len, &entry->data_at);
    if (to == NULL)
        return fm_buf_status(out);
    entry->data_bytes = (uint32_t)len;
    uint8_t *at = to;
    for (size_t i = 0; i < fm_column_run_count(column); i++) {
        const struct fm_run *run = fm_column_run(column, i);
        write_run(column, run, target, at);
        at += (size_t)run->rows * width;
    }
    fm_assert(at == to + len);
    if (column->null_count > 0)
        fm_fill_nulls(to, width, column->validity.data, 0, column->rows, &zero);
    return FM_OK;
}

enum fm_status fm_emit_runs(struct fm_column *column, struct fm_buf *out, size_t start,
                            struct fm_vector_entry *entry)
{
    if (column->rows == 0)
        return FM_OK;
    uint64_t min_value = fm_integer_key(column->min_key, column->is_unsigned);
    if (!column->has_value) { /* Below a list nulls are written out. */
        struct target plain = {0};
        return write_runs(column, &plain, out, start, entry);
    }
    if (column->min_key == column->max_key && !column->below_list) {
        uint8_t *value = fm_emit_section(out, start, column->width, &entry->data_at);
        if (value == NULL)
            return fm_buf_status(out);
        memcpy(value, &min_value, column->width);
        entry->encoding = FM_ENC_CONSTANT;
        entry->data_bytes = column->width;
        return FM_OK;
    }
    fill_plain_nulls(column, min_value);
    struct target target = choose(column);
    if (target.code_width != 0) {
        entry->encoding = FM_ENC_FOR;
        entry->code_width = (uint8_t)target.code_width;
        entry->base = (int64_t)target.base;
        entry->step = (int64_t)target.step;
    }
    return write_runs(column, &target, out, start, entry);
}
