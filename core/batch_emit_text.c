/* Texts kept as codes: a sorted dictionary, or plain text where that is smaller. */
#include "core/batch_build.h"

static bool is_valid(const struct fm_column *column, uint32_t row)
{
    return column->null_count == 0 || fm_bits_get(column->validity.data, row);
}

static uint32_t code_at(const struct fm_column *column, uint32_t row)
{
    return fm_load16(column->data.data + (size_t)row * 2);
}

static size_t text_bytes(const struct fm_column *column)
{
    size_t bytes = 0;
    const uint8_t *offsets = column->table.offsets.data;
    for (uint32_t row = 0; row < column->rows; row++) {
        if (!is_valid(column, row))
            continue;
        const uint8_t *at = offsets + (size_t)code_at(column, row) * 4;
        bytes += fm_load32(at + 4) - fm_load32(at);
    }
    return bytes;
}

/* ---- PLAIN --------------------------------------------------------------------------------- */

static enum fm_status emit_plain(const struct fm_column *column, size_t text_len,
                                 struct fm_buf *out, size_t start, struct fm_vector_entry *entry)
{
    size_t offsets_len = ((size_t)column->rows + 1) * 4;
    uint8_t *offsets = fm_emit_section(out, start, offsets_len, &entry->data_at);
    if (offsets == NULL)
        return fm_buf_status(out);
    entry->data_bytes = (uint32_t)offsets_len;
    uint32_t end = 0;
    fm_store32(offsets, 0);
    for (uint32_t row = 0; row < column->rows; row++) {
        if (is_valid(column, row))
            end += (uint32_t)fm_text_table_at(&column->table, code_at(column, row)).len;
        fm_store32(offsets + ((size_t)row + 1) * 4, end);
    }
    if (text_len == 0)
        return FM_OK;
    uint8_t *text = fm_emit_section(out, start, text_len, &entry->aux_at);
    if (text == NULL)
        return fm_buf_status(out);
    entry->aux_bytes = (uint32_t)text_len;
    for (uint32_t row = 0; row < column->rows; row++) {
        if (!is_valid(column, row))
            continue;
        struct fm_span value = fm_text_table_at(&column->table, code_at(column, row));
        if (value.len > 0)
            memcpy(text, value.data, value.len);
        text += value.len;
    }
    return FM_OK;
}

/* ---- CONSTANT ------------------------------------------------------------------------------ */

static enum fm_status emit_constant(const struct fm_column *column, struct fm_buf *out,
                                    size_t start, struct fm_vector_entry *entry)
{
    struct fm_span value = fm_text_table_at(&column->table, 0);
    entry->encoding = FM_ENC_CONSTANT;
    if (value.len == 0)
        return FM_OK;
    uint8_t *text = fm_emit_section(out, start, value.len, &entry->aux_at);
    if (text == NULL)
        return fm_buf_status(out);
    memcpy(text, value.data, value.len);
    entry->aux_bytes = (uint32_t)value.len;
    return FM_OK;
}

/* ---- DICTIONARY ---------------------------------------------------------------------------- */

/* The first bytes as a number settle most comparisons. */
struct sort_entry {
    uint64_t prefix;
    uint32_t code;
};

static uint64_t prefix_of(struct fm_span text)
{
    uint8_t bytes[8] = {0};
    if (text.len > 0)
        memcpy(bytes, text.data, text.len < 8 ? text.len : 8);
    return fm_load64_be(bytes);
}

static int compare_entries(const void *a, const void *b, void *table)
{
    const struct sort_entry *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    struct fm_span p = fm_text_table_at(table, x->code), q = fm_text_table_at(table, y->code);
    size_t len = p.len < q.len ? p.len : q.len;
    int order = len == 0 ? 0 : memcmp(p.data, q.data, len);
    return order != 0 ? order : (p.len > q.len) - (p.len < q.len);
}

static struct sort_entry *sort_table(struct fm_text_table *table)
{
    struct sort_entry *sorted = malloc(table->count * sizeof *sorted);
    if (sorted == NULL)
        return NULL;
    for (uint32_t i = 0; i < table->count; i++)
        sorted[i] = (struct sort_entry){prefix_of(fm_text_table_at(table, i)), i};
    qsort_r(sorted, table->count, sizeof *sorted, compare_entries, table);
    return sorted;
}

static enum fm_status emit_ranked_codes(const struct fm_column *column, const uint16_t *rank,
                                        struct fm_buf *out, size_t start,
                                        struct fm_vector_entry *entry)
{
    static const uint16_t zero = 0;
    uint32_t width = column->table.count <= 256 ? 1 : 2;
    size_t len = (size_t)column->rows * width;
    uint8_t *to = fm_emit_section(out, start, len, &entry->data_at);
    if (to == NULL)
        return fm_buf_status(out);
    for (uint32_t row = 0; row < column->rows; row++) {
        uint16_t code = rank[code_at(column, row)];
        if (width == 1)
            to[row] = (uint8_t)code;
        else
            fm_store16(to + (size_t)row * 2, code);
    }
    if (column->null_count > 0)
        fm_fill_nulls(to, width, column->validity.data, 0, column->rows, &zero);
    entry->encoding = FM_ENC_DICTIONARY;
    entry->code_width = (uint8_t)width;
    entry->data_bytes = (uint32_t)len;
    return FM_OK;
}

static size_t dictionary_bytes(const struct fm_text_table *table)
{
    return 8 + (size_t)table->count * 4 + table->text.len;
}

static enum fm_status emit_dictionary(struct fm_column *column, struct fm_buf *out, size_t start,
                                      struct fm_vector_entry *entry)
{
    struct fm_text_table *table = &column->table;
    FM_AUTO(fm_mem_freep) struct sort_entry *sorted = sort_table(table);
    FM_AUTO(fm_mem_freep) uint16_t *rank = malloc(table->count * sizeof *rank);
    if (sorted == NULL || rank == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < table->count; i++)
        rank[sorted[i].code] = (uint16_t)i;
    enum fm_status status = emit_ranked_codes(column, rank, out, start, entry);
    if (status != FM_OK)
        return status;
    size_t len = dictionary_bytes(table);
    uint8_t *aux = fm_emit_section(out, start, len, &entry->aux_at);
    if (aux == NULL)
        return fm_buf_status(out);
    entry->aux_bytes = (uint32_t)len;
    uint8_t *text = aux + 8 + (size_t)table->count * 4;
    uint32_t end = 0;
    fm_store32(aux, table->count);
    fm_store32(aux + 4, 0);
    for (uint32_t i = 0; i < table->count; i++) {
        struct fm_span value = fm_text_table_at(table, sorted[i].code);
        if (value.len > 0)
            memcpy(text + end, value.data, value.len);
        end += (uint32_t)value.len;
        fm_store32(aux + 8 + (size_t)i * 4, end);
    }
    fm_assert(text + end == aux + len);
    return FM_OK;
}

enum fm_status fm_emit_codes(struct fm_column *column, struct fm_buf *out, size_t start,
                             struct fm_vector_entry *entry)
{
    uint32_t count = column->table.count;
    if (count == 1 && !column->below_list && column->null_count < column->rows)
        return emit_constant(column, out, start, entry);
    size_t text_len = count == 0 ? 0 : text_bytes(column);
    size_t plain = ((size_t)column->rows + 1) * 4 + text_len;
    size_t coded = (size_t)column->rows * (count <= 256 ? 1 : 2) + dictionary_bytes(&column->table);
    if (count == 0 || column->rows == 0 || plain <= coded)
        return emit_plain(column, text_len, out, start, entry);
    return emit_dictionary(column, out, start, entry);
}
