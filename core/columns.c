#include "core/assert.h"
#include "core/records.h"
#include "core/records_common.h"

void fm_columns_encode(struct fm_buf *out, const struct fm_columns *columns)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);

    fm_assert(columns->count <= FM_COLUMNS_MAX);
    fm_pack_array(out, columns->count);
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct fm_column *column = &columns->items[i];
        fm_pack_array(out, 3);
        fm_pack_str(out, column->name);
        fm_buf_clear(&bytes);
        fm_type_encode(&bytes, &column->type);
        fm_pack_bin_span(out, fm_buf_span(&bytes));
        fm_buf_clear(&bytes);
        if (column->dictionary.count == 0) {
            fm_pack_nil(out);
        } else {
            fm_dictionary_encode(&bytes, &column->dictionary);
            fm_pack_bin_span(out, fm_buf_span(&bytes));
        }
        if (fm_buf_status(&bytes) != FM_OK && out->status == FM_OK)
            out->status = fm_buf_status(&bytes);
    }
}

void fm_columns_deinit(struct fm_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++)
        fm_type_deinit(&columns->items[i].type);
    free(columns->items);
    free(columns->storage);
    *columns = (struct fm_columns){0};
}

/* Recursion: fm_type_decode() has bounded the depth. */
static uint32_t count_nodes(const struct fm_type *type)
{
    uint32_t nodes = 1;

    for (uint32_t i = 0; i < type->child_count; i++)
        nodes += count_nodes(&type->children[i]);
    return nodes;
}

static enum fm_status decode_type(const struct fm_value *value, uint32_t *nodes,
                                  struct fm_type *out)
{
    struct fm_span bytes = {0};

    enum fm_status status = fm_value_bin(value, FM_DOC_BYTES_MAX, &bytes);
    if (status != FM_OK)
        return status;
    struct fm_cursor cursor = fm_cursor(bytes);
    status = fm_type_decode(&cursor, out);
    if (status != FM_OK)
        return status;
    *nodes += count_nodes(out);
    if (fm_cursor_left(&cursor) != 0)
        return FM_MALFORMED;
    return *nodes <= FM_TYPE_NODES_MAX ? FM_OK : FM_LIMIT;
}

static size_t round_up(size_t len)
{
    return (len + 3) & ~(size_t)3; /* A dictionary is viewed at multiples of 4. */
}

/* The bytes of a column's dictionary; empty when it has none. */
static enum fm_status dictionary_bytes(const struct fm_value *array, uint32_t i,
                                       struct fm_span *out)
{
    const struct fm_value *value = fm_value_at(fm_value_at(array, i), 2);

    *out = (struct fm_span){0};
    if (fm_value_is_nil(value))
        return FM_OK;
    enum fm_status status = fm_value_bin(value, FM_DOC_BYTES_MAX, out);
    return status == FM_OK && out->len == 0 ? FM_MALFORMED : status;
}

/* Copy the dictionaries to where they can be viewed. */
static enum fm_status decode_dictionaries(const struct fm_value *array, struct fm_columns *columns)
{
    struct fm_span bytes = {0};
    size_t total = 0;

    for (uint32_t i = 0; i < columns->count; i++) {
        enum fm_status status = dictionary_bytes(array, i, &bytes);
        if (status != FM_OK)
            return status;
        total += round_up(bytes.len); /* The document's own bound keeps this small. */
    }
    if (total == 0)
        return FM_OK;
    columns->storage = calloc(1, total);
    if (columns->storage == NULL)
        return FM_NOMEM;
    size_t at = 0;
    for (uint32_t i = 0; i < columns->count; i++) {
        struct fm_column *column = &columns->items[i];
        enum fm_status status = dictionary_bytes(array, i, &bytes);
        if (status == FM_OK && bytes.len > 0) {
            if (!fm_type_is_bytes(&column->type) || column->type.kind == FM_KIND_BLOB)
                return FM_MALFORMED; /* Only text has dictionaries. */
            memcpy(columns->storage + at, bytes.data, bytes.len);
            status =
                fm_dictionary_view(fm_span(columns->storage + at, bytes.len), &column->dictionary);
            at += round_up(bytes.len);
        }
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status decode_columns(const struct fm_value *array, uint32_t count,
                                     struct fm_columns *out)
{
    uint32_t nodes = 0;

    if (count == 0)
        return FM_OK;
    out->items = calloc(count, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_value *item = fm_value_at(array, i);
        struct fm_column *column = &out->items[i];
        uint32_t fields = 0;

        enum fm_status status = fm_value_array(item, 3, &fields);
        if (status != FM_OK || fields != 3)
            return FM_MALFORMED;
        status = fm_value_text(fm_value_at(item, 0), column->name, sizeof column->name);
        if (status != FM_OK)
            return status;
        out->count = i + 1; /* From here on the type is released with the columns. */
        status = decode_type(fm_value_at(item, 1), &nodes, &column->type);
        if (status != FM_OK)
            return status;
    }
    return decode_dictionaries(array, out);
}

enum fm_status fm_columns_decode(struct fm_span bytes, struct fm_columns *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    uint32_t count = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    status = fm_value_array(fm_doc_root(doc), FM_COLUMNS_MAX, &count);
    if (status != FM_OK)
        return status;
    status = decode_columns(fm_doc_root(doc), count, &columns);
    if (status != FM_OK)
        return status;
    *out = columns;
    columns = (struct fm_columns){0};
    return FM_OK;
}
