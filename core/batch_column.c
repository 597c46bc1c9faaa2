/* What the stores of a builder's columns have in common: rows, nulls, cutting back, size. */
#include "core/batch_build.h"

enum fm_store fm_column_first_store(const struct fm_column *column)
{
    if (column->outside != NULL)
        return FM_STORE_OUTSIDE;
    if (column->width == 0) {
        bool nested = column->kind == FM_KIND_LIST || column->kind == FM_KIND_STRUCT ||
                      column->kind == FM_KIND_MAP;
        if (nested)
            return FM_STORE_NESTED;
        return column->encode ? FM_STORE_CODES : FM_STORE_TEXT;
    }
    bool runs = column->encode && column->type != NULL && fm_type_is_integer(column->type);
    return runs ? FM_STORE_RUNS : FM_STORE_FIXED;
}

void fm_column_clear(struct fm_column *column)
{
    column->store = fm_column_first_store(column);
    column->rows = 0;
    column->null_count = 0;
    fm_buf_clear(&column->validity);
    fm_buf_clear(&column->data);
    fm_buf_clear(&column->offsets);
    fm_buf_clear(&column->text);
    fm_buf_clear(&column->runs);
    column->has_value = false;
    column->has_plain = false;
    column->step = 0;
    fm_text_table_clear(&column->table);
    fm_buf_clear(&column->source_texts);
    fm_buf_clear(&column->source_codes);
    for (uint32_t i = 0; i < column->child_count; i++)
        fm_column_clear(&column->children[i]);
}

void fm_column_deinit(struct fm_column *column)
{
    fm_buf_free(&column->validity);
    fm_buf_free(&column->data);
    fm_buf_free(&column->offsets);
    fm_buf_free(&column->text);
    fm_buf_free(&column->runs);
    fm_text_table_deinit(&column->table);
    fm_buf_free(&column->source_texts);
    fm_buf_free(&column->source_codes);
    fm_enum_index_deinit(&column->labels);
    for (uint32_t i = 0; column->children != NULL && i < column->child_count; i++)
        fm_column_deinit(&column->children[i]);
    free(column->children);
    column->children = NULL;
}

/* ---- Rows and nulls ------------------------------------------------------------------------ */

/* Room for the bits of `rows` rows; those of rows before the first null are set. */
static enum fm_status reserve_validity(struct fm_column *column, uint32_t rows)
{
    struct fm_buf *words = &column->validity;
    size_t have = words->len, need = fm_bits_words(rows) * 8;
    if (need <= have)
        return FM_OK;
    uint8_t *at = fm_buf_extend(words, need - have);
    if (at == NULL)
        return fm_buf_status(words);
    memset(at, 0, need - have);
    if (have > 0)
        return FM_OK;
    for (uint32_t row = 0; row < column->rows; row += 64) {
        uint32_t here = column->rows - row < 64 ? column->rows - row : 64;
        fm_store64(words->data + (size_t)row / 8, fm_bits_mask(here));
    }
    return FM_OK;
}

static void set_bits(struct fm_column *column, uint64_t bits, uint32_t count)
{
    uint8_t *word = column->validity.data + (size_t)(column->rows / 64) * 8;
    uint32_t shift = column->rows % 64;
    fm_store64(word, fm_load64(word) | bits << shift);
    if (shift != 0 && shift + count > 64)
        fm_store64(word + 8, fm_load64(word + 8) | bits >> (64 - shift));
    column->null_count += count - (uint32_t)__builtin_popcountll(bits);
    column->rows += count;
}

static enum fm_status add_bits(struct fm_column *column, uint64_t bits, uint32_t count)
{
    bits &= fm_bits_mask(count);
    if (column->validity.len == 0 && bits == fm_bits_mask(count)) {
        column->rows += count;
        return FM_OK;
    }
    enum fm_status status = reserve_validity(column, column->rows + count);
    if (status == FM_OK)
        set_bits(column, bits, count);
    return status;
}

enum fm_status fm_column_add_rows(struct fm_column *column, const uint64_t *valid, uint32_t rows)
{
    if (valid == NULL && column->validity.len == 0) {
        column->rows += rows;
        return FM_OK;
    }
    for (uint32_t row = 0; row < rows; row += 64) {
        uint32_t here = rows - row < 64 ? rows - row : 64;
        uint64_t bits = valid == NULL ? UINT64_MAX : fm_load64(valid + row / 64);
        enum fm_status status = add_bits(column, bits, here);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* Validity of 64 source rows from `row` of the slice on. */
static uint64_t slice_bits(const struct fm_slice *slice, uint32_t row, uint32_t count)
{
    if ((slice->vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return 0;
    if (slice->vector->validity_at == 0)
        return fm_bits_mask(count);
    return fm_bits_load(slice->batch->bytes + slice->vector->validity_at, slice->first + row,
                        count);
}

enum fm_status fm_column_add_slice(struct fm_column *column, const struct fm_slice *slice)
{
    if (slice->vector->null_count == 0)
        return fm_column_add_rows(column, NULL, slice->selected);
    for (uint32_t row = 0; row < slice->count; row += 64) {
        uint32_t here = slice->count - row < 64 ? slice->count - row : 64;
        uint64_t selected = fm_bits_mask(here);
        if (slice->selection != NULL)
            selected &= slice->selection[row / 64];
        uint64_t bits = fm_bits_compress(slice_bits(slice, row, here), selected);
        uint32_t count = (uint32_t)__builtin_popcountll(selected);
        if (count == 0)
            continue;
        enum fm_status status = add_bits(column, bits, count);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

enum fm_status fm_column_put_offset(struct fm_column *column, uint32_t end)
{
    if (column->offsets.len == 0)
        fm_buf_put_u32(&column->offsets, 0);
    fm_buf_put_u32(&column->offsets, end);
    return fm_buf_status(&column->offsets);
}

/* ---- Cutting back -------------------------------------------------------------------------- */

static void cut(struct fm_buf *buf, size_t len)
{
    fm_assert(buf->len >= len);
    buf->len = len;
    buf->status = FM_OK;
}

static void cut_validity(struct fm_column *column, uint32_t rows)
{
    if (column->validity.len == 0) {
        cut(&column->validity, 0);
        return;
    }
    if (column->rows > rows) {
        uint32_t gone = column->rows - rows;
        column->null_count -= gone - (uint32_t)fm_bits_count(column->validity.data, rows, gone);
    }
    size_t words = fm_bits_words(rows) * 8;
    cut(&column->validity, words);
    if (rows % 64 != 0) {
        uint8_t *last = column->validity.data + words - 8;
        fm_store64(last, fm_load64(last) & fm_bits_mask(rows % 64));
    }
}

static void cut_runs(struct fm_column *column, uint32_t rows)
{
    size_t count = 0, len = 0;
    uint32_t left = rows;
    for (; left > 0; count++) {
        struct fm_run *run = fm_column_run(column, count);
        if (run->rows > left)
            run->rows = left;
        left -= run->rows;
        len = run->at + (size_t)run->rows * fm_run_width(column, run);
    }
    cut(&column->runs, count * sizeof(struct fm_run));
    cut(&column->data, len);
}

static void cut_offsets(struct fm_column *column, uint32_t rows)
{
    cut(&column->offsets, rows == 0 ? 0 : ((size_t)rows + 1) * 4);
}

static void cut_nested(struct fm_column *column, uint32_t rows)
{
    if (column->kind != FM_KIND_STRUCT)
        cut_offsets(column, rows);
    uint32_t child_rows = column->kind == FM_KIND_STRUCT ? rows : fm_column_offset(column, rows);
    for (uint32_t i = 0; i < column->child_count; i++)
        fm_column_truncate(&column->children[i], child_rows);
}

void fm_column_truncate(struct fm_column *column, uint32_t rows)
{
    switch (column->store) {
    case FM_STORE_FIXED:
        cut(&column->data, (size_t)rows * column->width);
        break;
    case FM_STORE_RUNS:
        cut_runs(column, rows);
        break;
    case FM_STORE_CODES:
        cut(&column->data, (size_t)rows * 2);
        break;
    case FM_STORE_OUTSIDE:
        cut(&column->data, (size_t)rows * column->code_width);
        break;
    case FM_STORE_TEXT:
        cut_offsets(column, rows);
        cut(&column->text, fm_column_offset(column, rows));
        break;
    case FM_STORE_NESTED:
        cut_nested(column, rows);
        break;
    }
    cut_validity(column, rows);
    column->rows = rows;
}

/* ---- Size ---------------------------------------------------------------------------------- */

static size_t runs_bound(const struct fm_column *column)
{
    if (!column->has_value)
        return column->below_list ? (size_t)column->rows * column->width : 0;
    if (fm_runs_agree(column))
        return (size_t)column->rows * fm_column_run(column, 0)->code_width;
    uint64_t step = column->has_plain || column->step == 0 ? 1 : column->step;
    uint32_t code = fm_for_width(column->max_key - column->min_key, step, column->width);
    return (size_t)column->rows * (code != 0 ? code : column->width);
}

static size_t codes_bound(const struct fm_column *column)
{
    size_t width = column->table.count <= 256 ? 1 : 2;
    return (size_t)column->rows * width + 8 + (size_t)column->table.count * 4 +
           column->table.text.len;
}

size_t fm_column_bound(const struct fm_column *column)
{
    size_t bytes = 3 * 8; /* Three sections are padded. */
    if (column->null_count > 0)
        bytes += fm_bits_words(column->rows) * 8;
    switch (column->store) {
    case FM_STORE_FIXED:
        bytes += (size_t)column->rows * column->width;
        break;
    case FM_STORE_RUNS:
        bytes += runs_bound(column);
        break;
    case FM_STORE_CODES:
        bytes += codes_bound(column);
        break;
    case FM_STORE_OUTSIDE:
        bytes += (size_t)column->rows * column->code_width;
        break;
    case FM_STORE_TEXT:
        bytes += ((size_t)column->rows + 1) * 4 + column->text.len;
        break;
    case FM_STORE_NESTED:
        if (column->kind != FM_KIND_STRUCT)
            bytes += ((size_t)column->rows + 1) * 4;
        break;
    }
    for (uint32_t i = 0; i < column->child_count; i++)
        bytes += fm_column_bound(&column->children[i]);
    return bytes;
}

/* ---- Dispatch ------------------------------------------------------------------------------ */

enum fm_status fm_column_put_null(struct fm_column *column)
{
    switch (column->store) {
    case FM_STORE_FIXED:
    case FM_STORE_RUNS:
        return fm_fixed_put_null(column);
    case FM_STORE_NESTED:
        return fm_nested_put_null(column);
    default:
        return fm_text_put_null(column);
    }
}

enum fm_status fm_column_put_slice(struct fm_column *column, const struct fm_slice *slice)
{
    if (slice->selected == 0)
        return FM_OK;
    switch (column->store) {
    case FM_STORE_FIXED:
    case FM_STORE_RUNS:
        return fm_fixed_put_slice(column, slice);
    case FM_STORE_NESTED:
        return fm_nested_put_slice(column, slice);
    default:
        return fm_text_put_slice(column, slice);
    }
}
