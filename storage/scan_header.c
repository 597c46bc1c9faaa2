/* Columns of a table's history that no segment has: what the facts' headers say. */
#include "storage/scan.h"

#include "core/assert.h"

static enum fm_status open_headers(struct fm_scan *scan, struct fm_error *err)
{
    const struct rocks_snapshot *rocks = scan->snapshot->rocks;
    enum fm_status status;

    if (scan->has_headers)
        return FM_OK;
    status = unit_headers_open(scan->state, rocks, &scan->unit, &scan->headers, err);
    if (status == FM_OK)
        status = unit_open_offsets(scan->state, rocks, &scan->unit, &scan->order, err);
    scan->has_headers = status == FM_OK;
    return status;
}

static enum fm_status put_value(struct fm_batch_builder *builder, uint32_t field_id,
                                const struct fm_fact_header *header, uint64_t sequence)
{
    switch (field_id) {
    case FM_FIELD_SEQ:
        return fm_batch_put_fixed(builder, 0, &sequence);
    case FM_FIELD_RECORDED_AT:
        return fm_batch_put_fixed(builder, 0, &header->recorded_at);
    case FM_FIELD_EVENT_TIME:
        return header->has_event_time ? fm_batch_put_fixed(builder, 0, &header->event_time)
                                      : fm_batch_put_null(builder, 0);
    case FM_FIELD_OP:
        return fm_batch_put_bytes(builder, 0, fm_span_str(fm_operation_text(header->operation)));
    default:
        fm_assert(field_id == FM_FIELD_SUPERSEDES);
        return header->has_superseded ? fm_batch_put_fixed(builder, 0, &header->superseded)
                                      : fm_batch_put_null(builder, 0);
    }
}

enum fm_status scan_load_header(struct fm_scan *scan, struct scan_column *column, uint32_t block,
                                struct fm_error *err)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    const struct fm_type *type = &column->field->type;
    struct fm_batch_builder_options options = {.types = &type, .column_count = 1, .encode = true};
    uint32_t first = block * FM_BLOCK_ROWS;
    uint32_t end = first + FM_BLOCK_ROWS;
    enum fm_status status = open_headers(scan, err);

    loaded_release(&column->loaded);
    column->is_loaded = false;
    fm_assert(first < scan->unit.rows);
    if (end > scan->unit.rows)
        end = scan->unit.rows;
    if (status == FM_OK)
        status = fm_batch_builder_new(&options, &builder);
    for (uint32_t row = first; status == FM_OK && row < end; row++) {
        uint64_t sequence = unit_sequence(&scan->unit, row);

        status =
            put_value(builder, column->field->id, unit_header(&scan->headers, sequence), sequence);
    }
    column->loaded = (struct loaded){.first = first, .bytes = FM_BUF_INIT(0)};
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, &column->loaded.bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&column->loaded.bytes), &column->loaded.batch);
    if (status != FM_OK)
        return status;
    column->is_loaded = true;
    column->batch = &column->loaded.batch;
    column->column = 0;
    column->first = first;
    return FM_OK;
}
