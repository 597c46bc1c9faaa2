#include "storage/scan.h"

#include "core/assert.h"
#include "core/bits.h"
#include "storage/slice.h"

#include <stdlib.h>

/* ---- Opening --------------------------------------------------------------------------------- */

enum fm_status scan_add_column(struct fm_scan *scan, uint32_t position, uint32_t *out,
                               struct fm_error *err)
{
    struct scan_column *column;

    for (uint32_t i = 0; i < scan->column_count; i++) {
        if (scan->columns[i].position == position) {
            *out = i;
            return FM_OK;
        }
    }
    *out = scan->column_count;
    column = &scan->columns[scan->column_count++];
    column->position = position;
    column->field = &scan->view.schema->fields[position];
    column->is_header = scan->view.is_facts && position < FM_HISTORY_COLUMNS;
    column->is_sealed = subject_seals(scan->view.schema, position);
    return view_dictionary(scan->snapshot, &scan->view, position, &column->dictionary, err);
}

static enum fm_status add_columns(struct fm_scan *scan, const struct fm_scan_options *options,
                                  struct fm_error *err)
{
    const struct fm_schema *schema = scan->view.schema;
    enum fm_status status = FM_OK;
    uint32_t ignored;

    if (options->field_count == 0 || options->field_count > FM_COLUMNS_MAX)
        return fm_fail(err, FM_INVALID, "a scan has 1 to %u columns", FM_COLUMNS_MAX);
    scan->outputs = calloc(options->field_count, sizeof *scan->outputs);
    scan->columns = calloc((size_t)options->field_count + scan->predicates.count + 3,
                           sizeof *scan->columns); /* 3: to open sealed ones. */
    if (scan->outputs == NULL || scan->columns == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < options->field_count; i++) {
        if (options->fields[i] >= schema->field_count)
            return fm_fail(err, FM_INVALID, "the table has no column %u", options->fields[i]);
        status = scan_add_column(scan, options->fields[i], &scan->outputs[i], err);
        scan->output_count = i + 1;
    }
    for (uint32_t i = 0; status == FM_OK && i < scan->predicates.count; i++) {
        int64_t position = schema_position(schema, scan->predicates.terms[i].field_id);

        if (position < 0)
            return fm_fail(err, FM_INVALID, "a predicate names field %u, which the table has not",
                           scan->predicates.terms[i].field_id);
        status = scan_add_column(scan, (uint32_t)position, &ignored, err);
    }
    return status == FM_OK ? scan_sealed_add(scan, err) : status;
}

static enum fm_status make_builder(struct fm_scan *scan)
{
    uint32_t count = scan->output_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(count, sizeof(const struct fm_type *));
    FM_AUTO(fm_mem_freep)
    const struct fm_dictionary **dictionaries = calloc(count, sizeof(const struct fm_dictionary *));
    struct fm_batch_builder_options options = {.column_count = count, .encode = true};

    if (types == NULL || dictionaries == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct scan_column *column = &scan->columns[scan->outputs[i]];

        types[i] = &column->field->type;
        if (column->dictionary != NULL)
            dictionaries[i] = &column->dictionary->dictionary;
    }
    options.types = types;
    options.dictionaries = dictionaries;
    return fm_batch_builder_new(&options, &scan->builder);
}

enum fm_status scan_open(struct fm_snapshot *snapshot, const struct fm_scan_options *options,
                         const struct visible *visible, struct fm_scan **out, struct fm_error *err)
{
    FM_AUTO(fm_scan_freep) struct fm_scan *scan = calloc(1, sizeof *scan);
    struct table_view view = {0};
    enum fm_status status = snapshot_view(snapshot, options->domain, options->table, &view);

    if (scan == NULL)
        return FM_NOMEM;
    if (status == FM_NOTFOUND)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", options->domain,
                       options->table);
    if (status != FM_OK)
        return status;
    scan->snapshot = snapshot_retain(snapshot);
    scan->view = view;
    scan->state = state_retain(view.table->state);
    scan->batch_bytes = options->batch_bytes != 0 ? options->batch_bytes : FM_BATCH_WIRE_BYTES;
    scan->rows_left = options->row_limit != 0 ? options->row_limit : UINT64_MAX;
    if (options->predicates != NULL)
        status = fm_predicate_list_copy(options->predicates, &scan->predicates);
    if (status == FM_OK)
        status = add_columns(scan, options, err);
    if (status == FM_OK)
        status = make_builder(scan);
    if (status == FM_OK && visible == NULL)
        status = visible_at(snapshot, &scan->view, &options->at, &scan->visible, err);
    if (status != FM_OK)
        return status;
    if (visible != NULL)
        scan->visible = (struct visible){visible->size, superseded_retain(visible->superseded)};
    units_init(&scan->units, scan->state, snapshot->rocks, 0);
    *out = FM_TAKE(scan);
    return FM_OK;
}

enum fm_status fm_scan_open(struct fm_snapshot *snapshot, const struct fm_scan_options *options,
                            struct fm_scan **out, struct fm_error *err)
{
    return scan_open(snapshot, options, NULL, out, err);
}

void fm_scan_free(struct fm_scan *scan)
{
    if (scan == NULL)
        return;
    if (scan->columns != NULL)
        scan_leave_unit(scan);
    units_deinit(&scan->units);
    fm_batch_builder_free(scan->builder);
    scan_sealed_free(scan->sealed);
    visible_deinit(&scan->visible);
    fm_predicate_list_deinit(&scan->predicates);
    state_release(scan->state);
    fm_snapshot_free(scan->snapshot);
    free(scan->columns);
    free(scan->outputs);
    free(scan->own_skip);
    free(scan->selected);
    free(scan);
}

/* ---- Rows that are copied as they are -------------------------------------------------------- */

static bool is_whole(const uint64_t selection[SCAN_WORDS], uint32_t count)
{
    return fm_bits_count(selection, 0, count) == count;
}

/* Every row of a unit is wanted, without looking. */
static bool all_wanted(const struct fm_scan *scan)
{
    return scan->predicates.count == 0 && superseded_count(scan->visible.superseded) == 0 &&
           !scan->is_selected;
}

static bool can_slice(const struct fm_scan *scan)
{
    if (scan->unit.segment == NULL || !scan->load_whole || scan->row % 64 != 0)
        return false;
    for (uint32_t i = 0; i < scan->output_count; i++) {
        const struct scan_column *column = &scan->columns[scan->outputs[i]];

        if (column->is_absent || column->is_header || column->is_sealed || column->first != 0 ||
            !slice_possible(&column->batch->vectors[column->column]))
            return false;
    }
    return true;
}

static void describe_slice(const struct fm_scan *scan, struct slice_column *columns)
{
    for (uint32_t i = 0; i < scan->output_count; i++) {
        const struct scan_column *column = &scan->columns[scan->outputs[i]];

        columns[i] = (struct slice_column){column->batch, column->column, scan->row};
    }
}

/* Rows from scan->row on that are all wanted, as far as a batch goes; `known` of them are. */
static enum fm_status extend_run(struct fm_scan *scan, uint32_t known, uint32_t max, uint32_t *out,
                                 struct fm_error *err)
{
    uint32_t end = scan->row + known;
    enum fm_status status = FM_OK;

    while (status == FM_OK && end < scan->row_end && end - scan->row < max) {
        uint64_t selection[SCAN_WORDS];
        uint32_t count = scan->row_end - end < FM_BLOCK_ROWS ? scan->row_end - end : FM_BLOCK_ROWS;

        if (((scan->blocks >> (end / FM_BLOCK_ROWS)) & 1) == 0)
            break;
        if (!all_wanted(scan)) {
            status = scan_select(scan, end, count, selection, err);
            if (status != FM_OK || !is_whole(selection, count))
                break;
        }
        end += count;
    }
    *out = end - scan->row;
    return status;
}

static enum fm_status emit_slice(struct fm_scan *scan, uint32_t known, struct fm_buf *batch,
                                 struct fm_error *err)
{
    FM_AUTO(fm_mem_freep)
    struct slice_column *columns = calloc(scan->output_count, sizeof *columns);
    uint64_t known_bytes;
    uint32_t rows = 0;
    uint64_t max;
    enum fm_status status;

    if (columns == NULL)
        return FM_NOMEM;
    describe_slice(scan, columns);
    known_bytes = slice_bytes(columns, scan->output_count, known);
    max = (uint64_t)known * scan->batch_bytes / known_bytes;
    status = extend_run(scan, known, max < FM_SEGMENT_ROWS ? (uint32_t)max : FM_SEGMENT_ROWS, &rows,
                        err);
    if (status != FM_OK)
        return status;
    if (rows > scan->rows_left)
        rows = (uint32_t)scan->rows_left;
    while (rows > 64 && slice_bytes(columns, scan->output_count, rows) > scan->batch_bytes) {
        uint32_t fewer = (uint32_t)(((uint64_t)rows * 15 / 16) & ~UINT64_C(63));

        rows = fewer < 64 ? 64 : fewer;
    }
    status = slice_write(columns, scan->output_count, rows, batch);
    if (status != FM_OK)
        return status;
    scan->row += rows;
    scan->rows_left -= rows;
    return FM_OK;
}

/* ---- Rows that are picked -------------------------------------------------------------------- */

/* Upper bound of the bytes that rows [first, first + count) of the unit take in a builder. */
static uint64_t rows_bytes(const struct fm_scan *scan, uint32_t first, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < scan->output_count; i++) {
        const struct scan_column *column = &scan->columns[scan->outputs[i]];
        const struct fm_vector_entry *vector;
        uint32_t row = first - column->first;

        sum += 16 * (uint64_t)count; /* Any fixed value or offset. */
        if (column->is_absent || column->dictionary != NULL)
            continue;
        vector = &column->batch->vectors[column->column];
        if (fm_type_is_nested(&column->field->type)) {
            /* Its share of the whole column. */
            sum += (uint64_t)column->batch->total_bytes * count / column->batch->rows;
        } else if (fm_type_is_bytes(&column->field->type)) {
            for (uint32_t j = 0; j < count; j++)
                sum += fm_vector_bytes(column->batch, vector, NULL, row + j).len;
        }
    }
    return sum;
}

static enum fm_status pick_column(struct fm_scan *scan, uint32_t output, uint32_t first,
                                  uint32_t count, const uint64_t *selection, uint32_t selected)
{
    const struct scan_column *column = &scan->columns[scan->outputs[output]];
    enum fm_status status = FM_OK;

    if (!column->is_absent)
        return fm_batch_put_rows(scan->builder, output, column->batch, column->column,
                                 column->dictionary != NULL && scan->unit.segment != NULL
                                     ? &column->dictionary->dictionary
                                     : NULL,
                                 first - column->first, count, selection);
    for (uint32_t i = 0; status == FM_OK && i < selected; i++)
        status = fm_batch_put_null(scan->builder, output);
    return status;
}

/* Clear all selected bits behind the first `max`. */
static void cut_selection(uint64_t selection[SCAN_WORDS], uint64_t max)
{
    for (uint32_t i = 0; i < SCAN_WORDS; i++) {
        uint64_t kept = 0;

        for (uint64_t word = selection[i]; word != 0 && max > 0; max--) {
            kept |= word & -word;
            word &= word - 1;
        }
        selection[i] = kept;
    }
}

static enum fm_status pick_rows(struct fm_scan *scan, uint32_t count,
                                uint64_t selection[SCAN_WORDS])
{
    uint32_t selected = (uint32_t)fm_bits_count(selection, 0, count);
    enum fm_status status = FM_OK;

    if (selected > scan->rows_left) {
        cut_selection(selection, scan->rows_left);
        selected = (uint32_t)scan->rows_left;
    }
    for (uint32_t i = 0; status == FM_OK && selected > 0 && i < scan->output_count; i++)
        status = pick_column(scan, i, scan->row, count, selection, selected);
    scan->row += count;
    scan->rows_left -= selected;
    return status;
}

static enum fm_status emit_picked(struct fm_scan *scan, struct fm_buf *batch)
{
    return fm_batch_builder_finish(scan->builder, 0, batch);
}

/* ---- One step -------------------------------------------------------------------------------- */

/* As many rows as surely fit a batch, halving from the rest of the block. */
static uint32_t rows_fitting(const struct fm_scan *scan, uint32_t count, uint64_t *bytes)
{
    *bytes = rows_bytes(scan, scan->row, count);
    while (*bytes > scan->batch_bytes && count > 1) {
        count = count > 64 ? (count / 2 + 63) & ~63u : count / 2;
        *bytes = rows_bytes(scan, scan->row, count);
    }
    return count;
}

/* Look at the rows up to the end of a block; a batch may be complete then (batch->len > 0). */
static enum fm_status step(struct fm_scan *scan, struct fm_buf *batch, struct fm_error *err)
{
    uint32_t block = scan->row / FM_BLOCK_ROWS;
    uint32_t end = (block + 1) * FM_BLOCK_ROWS;
    uint32_t count = (end < scan->row_end ? end : scan->row_end) - scan->row;
    uint64_t selection[SCAN_WORDS];
    uint64_t bytes = 0;
    enum fm_status status;

    if (((scan->blocks >> block) & 1) == 0) {
        scan->row += count;
        return FM_OK;
    }
    status = scan_load(scan, scan->row, err);
    if (status == FM_OK)
        status = scan_select(scan, scan->row, count, selection, err);
    if (status != FM_OK)
        return status;
    if (fm_bits_count(selection, 0, count) == 0) {
        scan->row += count;
        return FM_OK;
    }
    if (is_whole(selection, count) && can_slice(scan)) {
        if (fm_batch_builder_rows(scan->builder) > 0)
            return emit_picked(scan, batch); /* Order is kept: what was picked comes first. */
        return emit_slice(scan, count, batch, err);
    }
    count = rows_fitting(scan, count, &bytes);
    if (fm_batch_builder_rows(scan->builder) > 0 &&
        fm_batch_builder_bytes(scan->builder) + bytes > scan->batch_bytes)
        return emit_picked(scan, batch);
    return pick_rows(scan, count, selection);
}

static enum fm_status advance(struct fm_scan *scan, struct fm_buf *batch, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    while (status == FM_OK && batch->len == 0 && scan->rows_left > 0) {
        if (!scan->has_unit || scan->row >= scan->row_end)
            status = scan_next_unit(scan, err);
        if (status == FM_OK)
            status = step(scan, batch, err);
    }
    if (batch->len > 0 || (status != FM_OK && status != FM_NOTFOUND))
        return status;
    scan->ended = true;
    scan_leave_unit(scan);
    return fm_batch_builder_rows(scan->builder) > 0 ? emit_picked(scan, batch) : FM_NOTFOUND;
}

enum fm_status fm_scan_next(struct fm_scan *scan, struct fm_buf *batch, struct fm_error *err)
{
    enum fm_status status;

    fm_assert(batch->len == 0);
    if (scan->failure != FM_OK) /* No shorter answer after a failure. */
        return fm_fail(err, scan->failure, "the scan failed before");
    if (scan->ended)
        return FM_NOTFOUND;
    status = advance(scan, batch, err);
    if (status != FM_OK && status != FM_NOTFOUND)
        scan->failure = status;
    return status;
}
