#include "client/statistics.h"

#include "core/reader.h"

#include <stdlib.h>

#define NUMBERS_MAX 64u
#define NUMBER_COUNT(type) ((uint32_t)(sizeof(type) / sizeof(uint64_t)))

/* ---- Encoding -------------------------------------------------------------------------------- */

static void encode_store(struct fm_buf *out, const struct fm_store_numbers *numbers)
{
    fm_pack_array(out, NUMBER_COUNT(struct fm_store_numbers));
#define X(name) fm_pack_uint(out, numbers->name);
    FM_STORE_NUMBER_MAP(X)
#undef X
}

static void encode_table(struct fm_buf *out, const struct fm_table_report *table)
{
    fm_pack_array(out, 3);
    fm_pack_str(out, table->table);
    fm_pack_array(out, NUMBER_COUNT(struct fm_table_numbers));
#define X(name) fm_pack_uint(out, table->numbers.name);
    FM_TABLE_NUMBER_MAP(X)
#undef X
    fm_pack_array(out, table->column_count);
    for (uint32_t i = 0; i < table->column_count; i++) {
        fm_pack_array(out, 2);
        fm_pack_str_span(out, table->columns[i].name);
        fm_pack_uint(out, table->columns[i].bytes);
    }
}

void fm_statistics_report_encode(struct fm_buf *out, const struct fm_statistics_report *report)
{
    fm_pack_map(out, 3);
    fm_pack_key_str(out, 0, report->domain);
    fm_pack_uint(out, 1);
    encode_store(out, &report->store);
    fm_pack_uint(out, 2);
    fm_pack_array(out, report->table_count);
    for (uint32_t i = 0; i < report->table_count; i++)
        encode_table(out, &report->tables[i]);
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static enum fm_status decode_store(const struct fm_value *array, struct fm_store_numbers *out)
{
    uint32_t count = 0, at = 0;
    enum fm_status status = fm_value_array(array, NUMBERS_MAX, &count);

    if (status == FM_OK && count < NUMBER_COUNT(struct fm_store_numbers))
        return FM_MALFORMED;
#define X(name)                                                                                    \
    if (status == FM_OK)                                                                           \
        status = fm_value_uint(fm_value_at(array, at++), UINT64_MAX, &out->name);
    FM_STORE_NUMBER_MAP(X)
#undef X
    return status;
}

static enum fm_status decode_numbers(const struct fm_value *array, struct fm_table_numbers *out)
{
    uint32_t count = 0, at = 0;
    enum fm_status status = fm_value_array(array, NUMBERS_MAX, &count);

    if (status == FM_OK && count < NUMBER_COUNT(struct fm_table_numbers))
        return FM_MALFORMED;
#define X(name)                                                                                    \
    if (status == FM_OK)                                                                           \
        status = fm_value_uint(fm_value_at(array, at++), UINT64_MAX, &out->name);
    FM_TABLE_NUMBER_MAP(X)
#undef X
    return status;
}

static enum fm_status decode_column(const struct fm_value *pair, struct fm_column_bytes *out)
{
    uint32_t count = 0;
    enum fm_status status = fm_value_array(pair, 2, &count);

    if (status == FM_OK && count != 2)
        return FM_MALFORMED;
    if (status == FM_OK)
        status = fm_value_str(fm_value_at(pair, 0), FM_NAME_MAX, &out->name);
    if (status == FM_OK)
        status = fm_value_uint(fm_value_at(pair, 1), UINT64_MAX, &out->bytes);
    return status;
}

static enum fm_status decode_columns(const struct fm_value *array, struct fm_table_report *out)
{
    uint32_t count = 0;
    enum fm_status status = fm_value_array(array, FM_COLUMNS_MAX, &count);

    if (status != FM_OK || count == 0)
        return status;
    out->columns = calloc(count, sizeof *out->columns);
    if (out->columns == NULL)
        return FM_NOMEM;
    out->column_count = count;
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = decode_column(fm_value_at(array, i), &out->columns[i]);
    return status;
}

enum fm_status fm_statistics_report_decode(struct fm_span bytes, struct fm_statistics_report *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    uint32_t count = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_domain(&reader, 0, out->domain);
    if (reader.status == FM_OK)
        fm_reader_note(&reader, decode_store(fm_map_get(reader.map, 1), &out->store));
    const struct fm_value *tables = fm_read_array(&reader, 2, 0, FM_TABLES_PER_PRODUCT_MAX, &count);
    for (uint32_t i = 0; i < count && reader.status == FM_OK; i++) {
        const struct fm_value *tuple = fm_read_tuple(&reader, tables, i, 3);
        if (tuple == NULL)
            break;
        struct fm_table_report *table = &out->tables[out->table_count++];
        fm_reader_note(&reader,
                       fm_value_text(fm_value_at(tuple, 0), table->table, sizeof table->table));
        fm_reader_note(&reader, decode_numbers(fm_value_at(tuple, 1), &table->numbers));
        fm_reader_note(&reader, decode_columns(fm_value_at(tuple, 2), table));
    }
    return reader.status;
}

void fm_statistics_report_deinit(struct fm_statistics_report *report)
{
    for (uint32_t i = 0; i < report->table_count; i++)
        free(report->tables[i].columns);
    *report = (struct fm_statistics_report){0};
}
