#include "core/statistics.h"

#include "core/assert.h"
#include "core/records_common.h"

#include <stdlib.h>

#define STALE_PART 10u /* More than a tenth of the rows came or went. */

static void encode_column(struct fm_buf *out, const struct fm_column_figures *column)
{
    fm_assert(column->min_len <= sizeof column->min && column->max_len <= sizeof column->max);
    fm_pack_array(out, 6);
    fm_pack_uint(out, column->field_id);
    fm_pack_uint(out, column->distinct);
    fm_pack_uint(out, column->nulls);
    fm_pack_uint(out, column->bytes);
    fm_pack_bin(out, column->min, column->min_len);
    fm_pack_bin(out, column->max, column->max_len);
}

void fm_statistics_encode(struct fm_buf *out, const struct fm_statistics *statistics)
{
    fm_assert(statistics->column_count <= FM_STATISTICS_COLUMNS_MAX);
    fm_pack_map(out, 9);
    fm_pack_key_str(out, 0, statistics->domain);
    fm_pack_key_str(out, 1, statistics->table);
    fm_pack_key_uint(out, 2, statistics->epoch);
    fm_pack_key_uint(out, 3, statistics->version);
    fm_pack_key_int(out, 4, statistics->time);
    fm_pack_key_uint(out, 5, statistics->schema_version);
    fm_pack_key_uint(out, 6, statistics->rows);
    fm_pack_key_uint(out, 7, statistics->bytes);
    fm_pack_uint(out, 8);
    fm_pack_array(out, statistics->column_count);
    for (uint32_t i = 0; i < statistics->column_count; i++)
        encode_column(out, &statistics->columns[i]);
}

static void read_bound(struct fm_reader *reader, const struct fm_value *value, uint8_t *len,
                       uint8_t *out)
{
    struct fm_span bytes = {0};

    fm_reader_note(reader, fm_value_bin(value, FM_STATISTICS_BOUND_BYTES_MAX, &bytes));
    if (reader->status != FM_OK)
        return;
    *len = (uint8_t)bytes.len;
    if (bytes.len > 0)
        memcpy(out, bytes.data, bytes.len);
}

static void read_column(struct fm_reader *reader, const struct fm_value *array, uint32_t i,
                        struct fm_column_figures *out)
{
    const struct fm_value *item = fm_read_tuple(reader, array, i, 6);

    if (item == NULL)
        return;
    fm_reader_note(reader, fm_value_u32(fm_value_at(item, 0), UINT32_MAX, &out->field_id));
    fm_reader_note(reader, fm_value_uint(fm_value_at(item, 1), UINT64_MAX, &out->distinct));
    fm_reader_note(reader, fm_value_uint(fm_value_at(item, 2), UINT64_MAX, &out->nulls));
    fm_reader_note(reader, fm_value_uint(fm_value_at(item, 3), UINT64_MAX, &out->bytes));
    read_bound(reader, fm_value_at(item, 4), &out->min_len, out->min);
    read_bound(reader, fm_value_at(item, 5), &out->max_len, out->max);
}

static void read_columns(struct fm_reader *reader, struct fm_statistics *out)
{
    uint32_t count = 0;
    const struct fm_value *array = fm_read_array(reader, 8, 0, FM_STATISTICS_COLUMNS_MAX, &count);

    if (array == NULL || count == 0)
        return;
    out->columns = calloc(count, sizeof *out->columns);
    if (out->columns == NULL) {
        fm_reader_note(reader, FM_NOMEM);
        return;
    }
    out->column_count = count;
    for (uint32_t i = 0; i < count && reader->status == FM_OK; i++) {
        read_column(reader, array, i, &out->columns[i]);
        fm_reader_demand(reader, i == 0 || out->columns[i].field_id > out->columns[i - 1].field_id);
    }
}

enum fm_status fm_statistics_decode(struct fm_span body, struct fm_statistics *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_statistics statistics = {0};

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(9));
    fm_read_domain(&reader, 0, statistics.domain);
    fm_read_table(&reader, 1, statistics.table);
    fm_read_choice(&reader, 2, 1, UINT32_MAX, &statistics.epoch);
    fm_read_u64(&reader, 3, UINT64_MAX, &statistics.version);
    fm_read_time(&reader, 4, &statistics.time);
    fm_read_choice(&reader, 5, 1, UINT32_MAX, &statistics.schema_version);
    fm_read_u64(&reader, 6, UINT64_MAX, &statistics.rows);
    fm_read_u64(&reader, 7, UINT64_MAX, &statistics.bytes);
    fm_reader_demand(&reader, reader.status != FM_OK || statistics.version >= 1);
    if (reader.status == FM_OK)
        read_columns(&reader, &statistics);
    if (reader.status != FM_OK) {
        fm_statistics_deinit(&statistics);
        return reader.status;
    }
    *out = statistics;
    return FM_OK;
}

enum fm_status fm_statistics_copy(const struct fm_statistics *statistics, struct fm_statistics *out)
{
    struct fm_statistics copy = *statistics;

    copy.columns = calloc(statistics->column_count + 1u, sizeof *copy.columns);
    if (copy.columns == NULL)
        return FM_NOMEM;
    if (statistics->column_count > 0)
        memcpy(copy.columns, statistics->columns, statistics->column_count * sizeof *copy.columns);
    *out = copy;
    return FM_OK;
}

void fm_statistics_deinit(struct fm_statistics *statistics)
{
    free(statistics->columns);
    *statistics = (struct fm_statistics){0};
}

const struct fm_column_figures *fm_statistics_column(const struct fm_statistics *statistics,
                                                     uint32_t field_id)
{
    for (uint32_t i = 0; i < statistics->column_count; i++) {
        if (statistics->columns[i].field_id == field_id)
            return &statistics->columns[i];
    }
    return NULL;
}

bool fm_statistics_is_stale(const struct fm_statistics *statistics, uint64_t rows,
                            uint32_t schema_version)
{
    uint64_t before = statistics->rows;
    uint64_t difference = rows > before ? rows - before : before - rows;

    return schema_version != statistics->schema_version || difference > before / STALE_PART;
}
