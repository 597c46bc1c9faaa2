/* A finished column's sections: validity for all, and the stores whose encoding is simple. */
#include "core/batch_build.h"

uint8_t *fm_emit_section(struct fm_buf *out, size_t start, size_t len, uint32_t *at)
{
    fm_assert(len > 0 && (out->len - start) % 8 == 0);
    size_t offset = out->len - start;
    if (offset > FM_BATCH_BYTES_MAX || len > FM_BATCH_BYTES_MAX) {
        if (out->status == FM_OK)
            out->status = FM_LIMIT;
        return NULL;
    }
    uint8_t *section = fm_buf_extend(out, fm_align8(len));
    if (section == NULL)
        return NULL;
    memset(section + len, 0, fm_align8(len) - len);
    *at = (uint32_t)offset;
    return section;
}

static enum fm_status emit_bytes(struct fm_buf *out, size_t start, const void *bytes, size_t len,
                                 uint32_t *at, uint32_t *at_len)
{
    if (len == 0)
        return FM_OK;
    uint8_t *section = fm_emit_section(out, start, len, at);
    if (section == NULL)
        return fm_buf_status(out);
    memcpy(section, bytes, len);
    *at_len = (uint32_t)len;
    return FM_OK;
}

static enum fm_status emit_validity(const struct fm_column *column, struct fm_buf *out,
                                    size_t start, struct fm_vector_entry *entry)
{
    uint32_t ignored;
    if (column->null_count == 0)
        return FM_OK;
    return emit_bytes(out, start, column->validity.data, fm_bits_words(column->rows) * 8,
                      &entry->validity_at, &ignored);
}

/* ---- FIXED --------------------------------------------------------------------------------- */

/* All values are the same; those of null rows are made so to see it. */
static bool is_constant(struct fm_column *column)
{
    static const uint8_t zero[16] = {0};
    uint8_t *values = column->data.data;
    uint32_t width = column->width, valid = 0;
    if (!column->encode || column->below_list || column->rows < 2)
        return false;
    while (column->null_count > 0 && !fm_bits_get(column->validity.data, valid))
        valid++; /* One is valid: a column of nulls was seen to before. */
    if (column->null_count > 0)
        fm_fill_nulls(values, width, column->validity.data, 0, column->rows,
                      memcpy((uint8_t[16]){0}, values + (size_t)valid * width, width));
    bool same = memcmp(values, values + width, ((size_t)column->rows - 1) * width) == 0;
    if (!same && column->null_count > 0)
        fm_fill_nulls(values, width, column->validity.data, 0, column->rows, zero);
    return same;
}

static enum fm_status emit_fixed(struct fm_column *column, struct fm_buf *out, size_t start,
                                 struct fm_vector_entry *entry)
{
    if (is_constant(column)) {
        entry->encoding = FM_ENC_CONSTANT;
        return emit_bytes(out, start, column->data.data, column->width, &entry->data_at,
                          &entry->data_bytes);
    }
    return emit_bytes(out, start, column->data.data, column->data.len, &entry->data_at,
                      &entry->data_bytes);
}

/* ---- Offsets ------------------------------------------------------------------------------- */

static enum fm_status emit_offsets(const struct fm_column *column, struct fm_buf *out, size_t start,
                                   struct fm_vector_entry *entry)
{
    static const uint32_t none = 0;
    if (column->offsets.len == 0)
        return emit_bytes(out, start, &none, sizeof none, &entry->data_at, &entry->data_bytes);
    return emit_bytes(out, start, column->offsets.data, column->offsets.len, &entry->data_at,
                      &entry->data_bytes);
}

static enum fm_status emit_text(const struct fm_column *column, struct fm_buf *out, size_t start,
                                struct fm_vector_entry *entry)
{
    enum fm_status status = emit_offsets(column, out, start, entry);
    if (status != FM_OK)
        return status;
    return emit_bytes(out, start, column->text.data, column->text.len, &entry->aux_at,
                      &entry->aux_bytes);
}

static enum fm_status emit_outside(const struct fm_column *column, struct fm_buf *out, size_t start,
                                   struct fm_vector_entry *entry)
{
    entry->encoding = FM_ENC_DICTIONARY;
    entry->flags = FM_VECTOR_DICT_OUTSIDE;
    entry->code_width = (uint8_t)column->code_width;
    return emit_bytes(out, start, column->data.data, column->data.len, &entry->data_at,
                      &entry->data_bytes);
}

/* ---- All ----------------------------------------------------------------------------------- */

static bool is_all_null(const struct fm_column *column)
{
    return column->encode && !column->below_list && column->store != FM_STORE_NESTED &&
           column->rows > 0 && column->null_count == column->rows;
}

enum fm_status fm_column_emit(struct fm_column *column, struct fm_buf *out, size_t start,
                              struct fm_vector_entry *entry)
{
    if (is_all_null(column)) {
        entry->encoding = FM_ENC_CONSTANT;
        entry->flags = FM_VECTOR_ALL_NULL;
        return FM_OK;
    }
    enum fm_status status = emit_validity(column, out, start, entry);
    if (status != FM_OK)
        return status;
    switch (column->store) {
    case FM_STORE_FIXED:
        return emit_fixed(column, out, start, entry);
    case FM_STORE_RUNS:
        return fm_emit_runs(column, out, start, entry);
    case FM_STORE_CODES:
        return fm_emit_codes(column, out, start, entry);
    case FM_STORE_OUTSIDE:
        return emit_outside(column, out, start, entry);
    case FM_STORE_TEXT:
        return emit_text(column, out, start, entry);
    case FM_STORE_NESTED:
        return column->kind == FM_KIND_STRUCT ? FM_OK : emit_offsets(column, out, start, entry);
    }
    return FM_INTERNAL;
}
