/* One unit of a scan: which blocks, which columns, which rows. */
#include "storage/scan.h"
#include "storage/selection.h"

#include "core/assert.h"

#include <stdlib.h>

static struct scan_column *column_of(struct fm_scan *scan, uint32_t field_id)
{
    for (uint32_t i = 0; i < scan->column_count; i++) {
        if (scan->columns[i].field->id == field_id)
            return &scan->columns[i];
    }
    return NULL;
}

void scan_leave_unit(struct fm_scan *scan)
{
    for (uint32_t i = 0; i < scan->column_count; i++) {
        struct scan_column *column = &scan->columns[i];

        stored_column_close(&column->stored);
        loaded_release(&column->loaded);
        column->is_absent = column->is_opened = column->is_loaded = false;
        column->batch = NULL;
    }
    if (scan->sealed != NULL)
        scan->sealed->rows = 0;
    hot_rows_deinit(&scan->hot);
    unit_headers_close(&scan->headers);
    unit_order_close(&scan->order);
    scan->has_headers = false;
    scan->is_selected = false;
    scan->has_unit = false;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static enum fm_status open_stored(struct fm_scan *scan, struct scan_column *column,
                                  struct fm_error *err)
{
    enum fm_status status;

    if (column->is_opened)
        return FM_OK;
    status = stored_column_open(scan->state, scan->snapshot->rocks, scan->unit.segment,
                                column->field, &column->stored, err);
    column->is_opened = status == FM_OK;
    return status;
}

static enum fm_status rule_out_blocks(struct fm_scan *scan, const struct fm_predicate *term,
                                      struct fm_error *err)
{
    struct scan_column *column = column_of(scan, term->field_id);
    enum fm_status status;

    fm_assert(column != NULL);
    if (column->is_absent || column->is_header || column->is_sealed)
        return FM_OK; /* The whole segment was looked at already, or nothing is known. */
    status = open_stored(scan, column, err);
    for (uint32_t b = 0; status == FM_OK && b < column->stored.column.block_count; b++) {
        struct bounds bounds;

        if (((scan->blocks >> b) & 1) == 0)
            continue;
        status = column_block_bounds(&column->stored.column, b, &bounds);
        if (status == FM_OK && !bounds_may_match(term, &column->field->type, &bounds,
                                                 column_block_rows(&column->stored.column, b),
                                                 column->stored.column.blocks[b].null_count))
            scan->blocks &= ~(UINT64_C(1) << b);
    }
    return status;
}

static enum fm_status open_segment(struct fm_scan *scan, struct fm_error *err)
{
    const struct segment_value *segment = scan->unit.segment;
    uint32_t blocks = (scan->row_end + FM_BLOCK_ROWS - 1) / FM_BLOCK_ROWS;
    enum fm_status status = FM_OK;

    scan->blocks = blocks == 64 ? UINT64_MAX : (UINT64_C(1) << blocks) - 1;
    if (!segment_may_match(segment, scan->view.schema, &scan->predicates))
        scan->blocks = 0;
    for (uint32_t i = 0; i < scan->column_count; i++)
        scan->columns[i].is_absent =
            !scan->columns[i].is_header &&
            segment_find_field(segment, scan->columns[i].field->id) == NULL;
    if (scan->sealed != NULL)
        status = scan_sealed_unit(scan);
    for (uint32_t i = 0; status == FM_OK && scan->blocks != 0 && i < scan->predicates.count; i++)
        status = rule_out_blocks(scan, &scan->predicates.terms[i], err);
    scan->load_whole = 2 * (uint32_t)__builtin_popcountll(scan->blocks) >= blocks;
    return status;
}

static enum fm_status open_hot(struct fm_scan *scan, struct fm_error *err)
{
    enum fm_status status = hot_rows_open(scan->state, &scan->unit, &scan->hot, err);

    scan->blocks = 1;
    for (uint32_t i = 0; status == FM_OK && i < scan->column_count; i++) {
        struct scan_column *column = &scan->columns[i];
        int64_t position = schema_position(scan->hot.schema, column->field->id);

        if (column->is_header)
            continue;
        column->is_absent = position < 0;
        column->batch = position < 0 ? NULL : &scan->hot.batch;
        column->column = position < 0 ? 0 : (uint32_t)position;
        column->first = 0;
    }
    if (status == FM_OK && scan->sealed != NULL)
        status = scan_sealed_unit(scan);
    return status;
}

/* Rows in another order are looked up all at once. The order itself is not needed any more then. */
static enum fm_status select_rows(struct fm_scan *scan, struct fm_error *err)
{
    FM_AUTO(unit_order_close) struct unit_order order = {0};
    struct unit *unit = &scan->unit;
    enum fm_status status;

    if (scan->blocks == 0 || !unit->segment->has_order)
        return FM_OK;
    if (selection_count(unit->segment, &scan->visible) == unit->rows)
        return FM_OK;
    if (scan->selected == NULL)
        scan->selected = calloc(UNIT_WORDS_MAX, sizeof *scan->selected);
    if (scan->selected == NULL)
        return FM_NOMEM;
    status = unit_open_offsets(scan->state, scan->snapshot->rocks, unit, &order, err);
    if (status != FM_OK)
        return status;
    unit_select(unit, &scan->visible, scan->selected);
    unit->offsets = NULL;
    scan->is_selected = true;
    return FM_OK;
}

/* Those up to `scan->visible.size`; in another order they may be anywhere. */
static uint32_t end_of_rows(const struct fm_scan *scan)
{
    const struct unit *unit = &scan->unit;
    uint64_t left = scan->visible.size - unit->first_sequence;

    if (unit->segment != NULL && unit->segment->has_order)
        return unit->rows;
    return left < unit->rows ? (uint32_t)left : unit->rows;
}

enum fm_status scan_next_unit(struct fm_scan *scan, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    scan_leave_unit(scan);
    while (status == FM_OK && !scan->has_unit) {
        uint32_t segment = scan->units.segment;

        if (scan->units.next >= scan->visible.size)
            return FM_NOTFOUND;
        status = units_next(&scan->units, &scan->unit, err);
        if (status != FM_OK)
            break;
        if (scan->unit.segment != NULL && scan->skip != NULL && scan->skip[segment])
            continue;
        scan->row = 0;
        scan->row_end = end_of_rows(scan);
        status = scan->unit.segment != NULL ? open_segment(scan, err) : open_hot(scan, err);
        if (status == FM_OK && scan->unit.segment != NULL)
            status = select_rows(scan, err);
        scan->has_unit = scan->blocks != 0;
        if (status == FM_OK && !scan->has_unit)
            scan_leave_unit(scan);
    }
    return status;
}

/* ---- Columns --------------------------------------------------------------------------------- */

static enum fm_status load_one(struct fm_scan *scan, struct scan_column *column, uint32_t block,
                               struct fm_error *err)
{
    const struct segment_value *segment = scan->unit.segment;
    enum fm_status status = FM_NOTFOUND;

    if (column->is_loaded)
        loaded_release(&column->loaded);
    column->is_loaded = false;
    if (scan->load_whole) {
        status = load_column(scan->state, scan->snapshot->rocks, segment, column->field,
                             column->dictionary, false, &column->loaded, err);
    } else {
        status =
            find_column(scan->state, segment, column->field, column->dictionary, &column->loaded);
        if (status == FM_NOTFOUND)
            status = open_stored(scan, column, err);
        if (status == FM_OK && column->loaded.batch.bytes == NULL)
            status = load_blocks(scan->state, segment, column->field, &column->stored,
                                 column->dictionary, block, 1, &column->loaded, err);
    }
    if (status != FM_OK)
        return status;
    column->is_loaded = true;
    column->batch = &column->loaded.batch;
    column->column = 0;
    column->first = column->loaded.first;
    return FM_OK;
}

enum fm_status scan_load(struct fm_scan *scan, uint32_t row, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < scan->column_count; i++) {
        struct scan_column *column = &scan->columns[i];

        if ((scan->unit.segment == NULL && !column->is_header) || column->is_absent ||
            column->is_sealed)
            continue;
        if (column->is_loaded && row >= column->first &&
            row - column->first < column->loaded.batch.rows)
            continue;
        status = column->is_header ? scan_load_header(scan, column, row / FM_BLOCK_ROWS, err)
                                   : load_one(scan, column, row / FM_BLOCK_ROWS, err);
    }
    if (status == FM_OK && scan->sealed != NULL)
        status = scan_sealed_load(scan, row, err);
    return status;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void select_none(uint64_t selection[SCAN_WORDS])
{
    memset(selection, 0, SCAN_WORDS * sizeof selection[0]);
}

/* Terms over one field, which several may share. */
static enum fm_status select_by(struct fm_scan *scan, const struct scan_column *column,
                                uint32_t row, uint32_t count, uint64_t selection[SCAN_WORDS])
{
    const struct fm_dictionary *dictionary =
        column->dictionary != NULL ? &column->dictionary->dictionary : NULL;

    return fm_predicate_select(&scan->predicates, scan->view.schema, column->batch,
                               &column->field->id, &dictionary, row - column->first, count, true,
                               selection);
}

static bool has_term(const struct fm_scan *scan, uint32_t field_id, bool *absent_fails)
{
    bool found = false;

    *absent_fails = false;
    for (uint32_t i = 0; i < scan->predicates.count; i++) {
        if (scan->predicates.terms[i].field_id != field_id)
            continue;
        found = true;
        if (scan->predicates.terms[i].op != FM_OP_IS_NULL)
            *absent_fails = true;
    }
    return found;
}

/* Bits [row, row + count) of the unit's, to the front. */
static void take_selected(const struct fm_scan *scan, uint32_t row, uint32_t count,
                          uint64_t selection[SCAN_WORDS])
{
    const uint64_t *from = scan->selected + row / 64;
    uint32_t shift = row % 64;

    for (uint32_t i = 0; i * 64 < count; i++) {
        uint64_t word = from[i] >> shift;

        if (shift != 0 && row / 64 + i + 1 < UNIT_WORDS_MAX)
            word |= from[i + 1] << (64 - shift);
        selection[i] &= word;
    }
}

enum fm_status scan_select(struct fm_scan *scan, uint32_t row, uint32_t count,
                           uint64_t selection[SCAN_WORDS], struct fm_error *err)
{
    enum fm_status status = FM_OK;

    fm_assert(count >= 1 && count <= FM_BLOCK_ROWS);
    select_none(selection);
    for (uint32_t i = 0; i < count / 64; i++)
        selection[i] = UINT64_MAX;
    if (count % 64 != 0)
        selection[count / 64] = (UINT64_C(1) << (count % 64)) - 1;
    if (scan->is_selected)
        take_selected(scan, row, count, selection);
    else if (scan->unit.segment == NULL || !scan->unit.segment->has_order)
        superseded_clear(scan->visible.superseded, scan->unit.first_sequence + row, count,
                         selection);
    for (uint32_t i = 0; status == FM_OK && i < scan->column_count; i++) {
        const struct scan_column *column = &scan->columns[i];
        bool absent_fails;

        if (!has_term(scan, column->field->id, &absent_fails))
            continue;
        if (column->is_absent && absent_fails)
            select_none(selection);
        else if (!column->is_absent &&
                 (scan->unit.segment != NULL || column->is_header || column->is_sealed))
            status = select_by(scan, column, row, count, selection);
    }
    if (status == FM_OK && scan->unit.segment == NULL && scan->predicates.count > 0)
        status = fm_predicate_select(&scan->predicates, scan->view.schema, &scan->hot.batch,
                                     scan->hot.field_ids, NULL, row, count, true, selection);
    if (status != FM_OK)
        return fm_wrap(err, status, "evaluate the predicates of a scan");
    return FM_OK;
}
