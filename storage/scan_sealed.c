/* Sealed columns of a scan: the classified fields of a table with data subjects. */
#include "storage/scan.h"

#include "core/assert.h"
#include "core/keys.h"

#include <stdlib.h>

void scan_sealed_free(struct scan_sealed *sealed)
{
    if (sealed == NULL)
        return;
    subject_reader_free(sealed->reader);
    if (sealed->bytes.data != NULL)
        fm_wipe(sealed->bytes.data, sealed->bytes.cap);
    fm_buf_free(&sealed->bytes);
    free(sealed);
}

static uint32_t add_stored(struct fm_scan *scan, const struct fm_schema *stored, uint32_t field_id)
{
    struct scan_column *column = &scan->columns[scan->column_count];
    int64_t position = schema_position(stored, field_id);

    fm_assert(position >= 0);
    column->position = SCAN_STORED;
    column->field = &stored->fields[position];
    return scan->column_count++;
}

enum fm_status scan_sealed_add(struct fm_scan *scan, struct fm_error *err)
{
    const struct fm_schema *stored = NULL;
    struct scan_sealed *sealed;
    bool is_needed = false;
    enum fm_status status;

    for (uint32_t i = 0; i < scan->column_count; i++)
        is_needed = is_needed || scan->columns[i].is_sealed;
    if (!is_needed)
        return FM_OK;
    sealed = scan->sealed = calloc(1, sizeof *sealed);
    if (sealed == NULL)
        return FM_NOMEM;
    sealed->bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    status = subject_reader_new(scan->state->table, SUBJECT_KEYS_MANY, &sealed->reader);
    if (status == FM_OK)
        status = table_schema(scan->state->table, scan->state->schema->version, &stored);
    if (status == FM_OK)
        status = scan_add_column(scan, scan->view.schema->subject, &sealed->subject, err);
    if (status != FM_OK)
        return status;
    sealed->sealed = add_stored(scan, stored, FM_FIELD_SEALED);
    sealed->commitment = add_stored(scan, stored, FM_FIELD_COMMITMENT);
    return FM_OK;
}

enum fm_status scan_sealed_unit(struct fm_scan *scan)
{
    struct scan_sealed *sealed = scan->sealed;
    uint32_t version = scan->unit.segment != NULL ? scan->unit.segment->schema_version
                                                  : scan->unit.hot.header.schema_version;
    enum fm_status status = table_contract_schema(scan->state->table, version, &sealed->schema);

    sealed->rows = 0;
    for (uint32_t i = 0; status == FM_OK && i < scan->column_count; i++) {
        struct scan_column *column = &scan->columns[i];
        int64_t opened;

        if (!column->is_sealed)
            continue;
        opened = subject_opened_column(sealed->schema, column->field->id);
        column->is_absent = opened < 0;
        column->column = opened < 0 ? 0 : (uint32_t)opened;
        column->batch = NULL;
    }
    return status;
}

static enum fm_status place(const struct fm_scan *scan, uint32_t index, uint32_t row,
                            struct subject_column *out)
{
    const struct scan_column *column = &scan->columns[index];

    if (column->is_absent) /* They are in every unit of such a table. */
        return FM_CORRUPT;
    fm_assert(column->batch != NULL && column->first <= row);
    *out = (struct subject_column){
        .batch = column->batch,
        .dictionary = column->dictionary != NULL && scan->unit.segment != NULL
                          ? &column->dictionary->dictionary
                          : NULL,
        .column = column->column,
        .first = row - column->first,
    };
    return FM_OK;
}

static enum fm_status number_rows(struct fm_scan *scan, uint32_t first, uint32_t count,
                                  struct fm_error *err)
{
    enum fm_status status =
        unit_open_offsets(scan->state, scan->snapshot->rocks, &scan->unit, &scan->order, err);

    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        scan->sealed->sequences[i] = unit_sequence(&scan->unit, first + i);
    return status;
}

static enum fm_status open_block(struct fm_scan *scan, uint32_t first, uint32_t count,
                                 struct fm_error *err)
{
    struct scan_sealed *sealed = scan->sealed;
    struct subject_rows rows = {
        .schema = sealed->schema, .count = count, .sequences = sealed->sequences};
    enum fm_status status = number_rows(scan, first, count, err);

    if (status != FM_OK)
        return status;
    status = place(scan, sealed->subject, first, &rows.subject);

    if (status == FM_OK)
        status = place(scan, sealed->sealed, first, &rows.sealed);
    if (status == FM_OK)
        status = place(scan, sealed->commitment, first, &rows.commitment);
    if (status != FM_OK)
        return fm_fail(err, status,
                       "%s.%s: the sealed columns of fact %llu are missing; restore the folder "
                       "from a backup",
                       scan->state->table->domain, scan->state->table->name,
                       (unsigned long long)sealed->sequences[0]);
    fm_buf_clear(&sealed->bytes);
    return subject_reader_open(sealed->reader, &rows, &sealed->bytes, &sealed->batch, err);
}

enum fm_status scan_sealed_load(struct fm_scan *scan, uint32_t row, struct fm_error *err)
{
    struct scan_sealed *sealed = scan->sealed;
    uint32_t first = row - row % FM_BLOCK_ROWS;
    uint32_t left = scan->unit.rows - first;
    uint32_t count = left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS;
    enum fm_status status;

    if (sealed->rows > 0 && row >= sealed->first && row - sealed->first < sealed->rows)
        return FM_OK;
    sealed->rows = 0;
    status = open_block(scan, first, count, err);
    if (status != FM_OK)
        return status;
    sealed->first = first;
    sealed->rows = count;
    for (uint32_t i = 0; i < scan->column_count; i++) {
        struct scan_column *column = &scan->columns[i];

        if (!column->is_sealed || column->is_absent)
            continue;
        column->batch = &sealed->batch;
        column->first = first;
    }
    return FM_OK;
}
