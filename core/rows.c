#include "core/rows.h"

#include "core/assert.h"

#include <stdio.h>

#define NOWHERE UINT32_MAX

struct fm_rows {
    struct fm_columns columns; /* Those wanted. */
    struct fm_batch_builder *builder;
    uint32_t cell_count; /* Of a row as it is put. */
    uint32_t *goes_to;   /* Owned; per cell: position in `columns`, or NOWHERE. */
    enum fm_kind *kinds; /* Owned; per cell. */
    uint32_t next;       /* Cell to come. */
    enum fm_status status;
};

static enum fm_status choose(struct fm_rows *rows, const struct fm_rows_column *columns,
                             const uint32_t *wanted, uint32_t wanted_count)
{
    uint32_t count = rows->cell_count;

    rows->goes_to = calloc(count, sizeof *rows->goes_to);
    rows->kinds = calloc(count, sizeof *rows->kinds);
    rows->columns.items = calloc(count, sizeof *rows->columns.items);
    if (rows->goes_to == NULL || rows->kinds == NULL || rows->columns.items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = rows->columns.count;
        bool is_wanted = wanted == NULL || (at < wanted_count && wanted[at] == i);
        rows->kinds[i] = columns[i].kind;
        rows->goes_to[i] = is_wanted ? at : NOWHERE;
        if (!is_wanted)
            continue;
        struct fm_column *column = &rows->columns.items[rows->columns.count++];
        (void)snprintf(column->name, sizeof column->name, "%s", columns[i].name); /* Short. */
        column->type.kind = columns[i].kind;
    }
    fm_assert(wanted == NULL || rows->columns.count == wanted_count);
    return FM_OK;
}

enum fm_status fm_rows_new_of(const struct fm_rows_column *columns, uint32_t count,
                              const uint32_t *wanted, uint32_t wanted_count, struct fm_rows **out)
{
    FM_AUTO(fm_rows_freep) struct fm_rows *rows = calloc(1, sizeof *rows);
    FM_AUTO(fm_mem_freep) const struct fm_type **types = calloc(count, sizeof *types);

    fm_assert(count > 0 && (wanted == NULL || wanted_count > 0));
    if (rows == NULL || types == NULL)
        return FM_NOMEM;
    rows->cell_count = count;
    enum fm_status status = choose(rows, columns, wanted, wanted_count);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < rows->columns.count; i++)
        types[i] = &rows->columns.items[i].type;
    struct fm_batch_builder_options options = {.types = types, .column_count = rows->columns.count};
    status = fm_batch_builder_new(&options, &rows->builder);
    if (status == FM_OK)
        *out = FM_TAKE(rows);
    return status;
}

enum fm_status fm_rows_new(const struct fm_rows_column *columns, uint32_t count,
                           struct fm_rows **out)
{
    return fm_rows_new_of(columns, count, NULL, 0, out);
}

void fm_rows_free(struct fm_rows *rows)
{
    if (rows == NULL)
        return;
    fm_batch_builder_free(rows->builder);
    fm_columns_deinit(&rows->columns);
    free(rows->goes_to);
    free(rows->kinds);
    free(rows);
}

/* The column that the next cell goes to, NOWHERE: none. */
static uint32_t next_column(struct fm_rows *rows)
{
    uint32_t column = rows->status == FM_OK ? rows->goes_to[rows->next] : NOWHERE;

    rows->next = (rows->next + 1) % rows->cell_count;
    return column;
}

static void put(struct fm_rows *rows, enum fm_kind kind, const void *value)
{
    fm_assert(rows->kinds[rows->next] == kind);
    uint32_t column = next_column(rows);
    if (column != NOWHERE)
        rows->status = fm_batch_put_fixed(rows->builder, column, value);
}

void fm_rows_null(struct fm_rows *rows)
{
    uint32_t column = next_column(rows);

    if (column != NOWHERE)
        rows->status = fm_batch_put_null(rows->builder, column);
}

void fm_rows_span(struct fm_rows *rows, struct fm_span text)
{
    fm_assert(rows->kinds[rows->next] == FM_KIND_VARCHAR);
    uint32_t column = next_column(rows);
    if (column != NOWHERE)
        rows->status = fm_batch_put_bytes(rows->builder, column, text);
}

void fm_rows_text(struct fm_rows *rows, const char *text)
{
    fm_rows_span(rows, fm_span_str(text));
}

void fm_rows_uint(struct fm_rows *rows, uint64_t value)
{
    put(rows, FM_KIND_UINT64, &value);
}

void fm_rows_bool(struct fm_rows *rows, bool value)
{
    uint8_t byte = value;

    put(rows, FM_KIND_BOOLEAN, &byte);
}

void fm_rows_int32(struct fm_rows *rows, int32_t value)
{
    put(rows, FM_KIND_INT32, &value);
}

void fm_rows_int64(struct fm_rows *rows, int64_t value)
{
    put(rows, FM_KIND_INT64, &value);
}

void fm_rows_double(struct fm_rows *rows, double value)
{
    put(rows, FM_KIND_DOUBLE, &value);
}

void fm_rows_time(struct fm_rows *rows, fm_us value)
{
    put(rows, FM_KIND_TIMESTAMPTZ, &value);
}

uint64_t fm_rows_count(const struct fm_rows *rows)
{
    return fm_batch_builder_rows(rows->builder);
}

const struct fm_columns *fm_rows_columns(const struct fm_rows *rows)
{
    return &rows->columns;
}

enum fm_status fm_rows_finish(struct fm_rows *rows, struct fm_buf *batch)
{
    fm_assert(rows->next == 0);
    if (rows->status != FM_OK)
        return rows->status;
    if (fm_batch_builder_rows(rows->builder) == 0)
        return FM_NOTFOUND;
    return fm_batch_builder_finish(rows->builder, 0, batch);
}
