#include "core/reader.h"

#include "core/schema.h"

struct fm_reader fm_reader(const struct fm_value *map, uint32_t known)
{
    return (struct fm_reader){.map = map, .status = fm_map_check(map, known)};
}

void fm_reader_note(struct fm_reader *reader, enum fm_status status)
{
    if (reader->status == FM_OK)
        reader->status = status;
}

void fm_reader_demand(struct fm_reader *reader, bool holds)
{
    if (!holds)
        fm_reader_note(reader, FM_MALFORMED);
}

bool fm_read_has(const struct fm_reader *reader, unsigned key)
{
    return reader->status == FM_OK && fm_map_get(reader->map, key) != NULL;
}

void fm_read_u64(struct fm_reader *reader, unsigned key, uint64_t max, uint64_t *out)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_uint(fm_map_get(reader->map, key), max, out);
}

void fm_read_u32(struct fm_reader *reader, unsigned key, uint32_t max, uint32_t *out)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_u32(fm_map_get(reader->map, key), max, out);
}

void fm_read_choice(struct fm_reader *reader, unsigned key, uint32_t min, uint32_t max,
                    uint32_t *out)
{
    fm_read_u32(reader, key, max, out);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, *out >= min);
}

void fm_read_time(struct fm_reader *reader, unsigned key, int64_t *out)
{
    if (reader->status != FM_OK)
        return;
    reader->status = fm_value_int(fm_map_get(reader->map, key), out);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, *out >= 0);
}

void fm_read_bool(struct fm_reader *reader, unsigned key, bool *out)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_bool(fm_map_get(reader->map, key), out);
}

void fm_read_exact(struct fm_reader *reader, unsigned key, void *out, size_t len)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_bin_exact(fm_map_get(reader->map, key), out, len);
}

void fm_read_bin(struct fm_reader *reader, unsigned key, size_t max, struct fm_span *out)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_bin(fm_map_get(reader->map, key), max, out);
}

void fm_read_str(struct fm_reader *reader, unsigned key, size_t max, struct fm_span *out)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_str(fm_map_get(reader->map, key), max, out);
}

void fm_read_text(struct fm_reader *reader, unsigned key, char *out, size_t size)
{
    if (reader->status == FM_OK)
        reader->status = fm_value_text(fm_map_get(reader->map, key), out, size);
}

void fm_read_domain(struct fm_reader *reader, unsigned key, char *out)
{
    fm_read_text(reader, key, out, FM_NAME_MAX + 1);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, fm_domain_name_valid(out));
}

void fm_read_table(struct fm_reader *reader, unsigned key, char *out)
{
    fm_read_text(reader, key, out, FM_NAME_MAX + 1);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, fm_table_name_valid(out));
}

const struct fm_value *fm_read_array(struct fm_reader *reader, unsigned key, uint32_t min,
                                     uint32_t max, uint32_t *count)
{
    const struct fm_value *array = NULL;

    *count = 0;
    if (reader->status != FM_OK)
        return NULL;
    array = fm_map_get(reader->map, key);
    reader->status = fm_value_array(array, max, count);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, *count >= min);
    if (reader->status == FM_OK)
        return array;
    *count = 0;
    return NULL;
}

const struct fm_value *fm_read_tuple(struct fm_reader *reader, const struct fm_value *array,
                                     uint32_t i, uint32_t items)
{
    const struct fm_value *item = NULL;
    uint32_t count = 0;

    if (reader->status != FM_OK)
        return NULL;
    item = fm_value_at(array, i);
    reader->status = fm_value_array(item, items, &count);
    if (reader->status == FM_OK)
        fm_reader_demand(reader, count == items);
    return reader->status == FM_OK ? item : NULL;
}
