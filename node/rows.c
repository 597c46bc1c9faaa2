#include "node/rows.h"

#include "core/assert.h"

#include <stdio.h>

struct fm_rows {
    struct fm_columns columns;
    struct fm_batch_builder *builder;
    uint32_t next; /* Column of the next cell. */
    enum fm_status status;
};

enum fm_status fm_rows_new(const struct fm_rows_column *columns, uint32_t count,
                           struct fm_rows **out)
{
    FM_AUTO(fm_rows_freep) struct fm_rows *rows = calloc(1, sizeof *rows);
    FM_AUTO(fm_mem_freep) const struct fm_type **types = calloc(count, sizeof *types);

    fm_assert(count > 0);
    if (rows == NULL || types == NULL)
        return FM_NOMEM;
    rows->columns.items = calloc(count, sizeof *rows->columns.items);
    if (rows->columns.items == NULL)
        return FM_NOMEM;
    rows->columns.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct fm_column *column = &rows->columns.items[i];
        (void)snprintf(column->name, sizeof column->name, "%s", columns[i].name); /* Short. */
        column->type.kind = columns[i].kind;
        types[i] = &column->type;
    }
    struct fm_batch_builder_options options = {.types = types, .column_count = count};
    enum fm_status status = fm_batch_builder_new(&options, &rows->builder);
    if (status == FM_OK)
        *out = FM_TAKE(rows);
    return status;
}

void fm_rows_free(struct fm_rows *rows)
{
    if (rows == NULL)
        return;
    fm_batch_builder_free(rows->builder);
    fm_columns_deinit(&rows->columns);
    free(rows);
}

static void done(struct fm_rows *rows, enum fm_status status)
{
    if (rows->status == FM_OK)
        rows->status = status;
    rows->next = (rows->next + 1) % rows->columns.count;
}

static void put(struct fm_rows *rows, enum fm_kind kind, const void *value)
{
    fm_assert(rows->columns.items[rows->next].type.kind == kind);
    done(rows,
         rows->status != FM_OK ? FM_OK : fm_batch_put_fixed(rows->builder, rows->next, value));
}

void fm_rows_null(struct fm_rows *rows)
{
    done(rows, rows->status != FM_OK ? FM_OK : fm_batch_put_null(rows->builder, rows->next));
}

void fm_rows_span(struct fm_rows *rows, struct fm_span text)
{
    fm_assert(rows->columns.items[rows->next].type.kind == FM_KIND_VARCHAR);
    done(rows, rows->status != FM_OK ? FM_OK : fm_batch_put_bytes(rows->builder, rows->next, text));
}

void fm_rows_text(struct fm_rows *rows, const char *text)
{
    fm_rows_span(rows, fm_span_str(text));
}

void fm_rows_uint(struct fm_rows *rows, uint64_t value)
{
    put(rows, FM_KIND_UINT64, &value);
}

void fm_rows_int32(struct fm_rows *rows, int32_t value)
{
    put(rows, FM_KIND_INT32, &value);
}

void fm_rows_double(struct fm_rows *rows, double value)
{
    put(rows, FM_KIND_DOUBLE, &value);
}

void fm_rows_time(struct fm_rows *rows, fm_us value)
{
    put(rows, FM_KIND_TIMESTAMPTZ, &value);
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
