/* Columns of texts and blobs: codes into a table of distinct texts while that pays, codes into the
 * caller's dictionary, or offsets and text. */
#include "core/batch_build.h"

/* A text that is not among the first so many and a quarter of the rows makes the column TEXT. */
#define TABLE_FIRST 8192u
#define CHUNK_ROWS 1024u
_Static_assert(CHUNK_ROWS % 64 == 0, "chunks begin with a word of the selection");

static bool is_text(const struct fm_column *column)
{
    return column->kind != FM_KIND_BLOB;
}

/* May the column hold it? Looked at once for each distinct text where codes are kept. */
static enum fm_status check_value(const struct fm_column *column, struct fm_span value)
{
    uint32_t label;
    if (value.len > FM_VALUE_BYTES_MAX)
        return FM_LIMIT;
    if (is_text(column) && !fm_utf8_valid(value))
        return FM_INVALID;
    if (column->labels.sorted != NULL &&
        fm_enum_index_find(&column->labels, value, &label) != FM_OK)
        return FM_INVALID;
    return FM_OK;
}

/* ---- TEXT ---------------------------------------------------------------------------------- */

static enum fm_status append_text(struct fm_column *column, struct fm_span value)
{
    fm_buf_put_span(&column->text, value);
    enum fm_status status = fm_buf_status(&column->text);
    return status == FM_OK ? fm_column_put_offset(column, (uint32_t)column->text.len) : status;
}

/* The codes that were kept so far become text. */
static enum fm_status become_text(struct fm_column *column)
{
    fm_assert(column->store == FM_STORE_CODES);
    enum fm_status status = FM_OK;
    for (uint32_t row = 0; status == FM_OK && row < column->rows; row++) {
        bool valid = column->validity.len == 0 || fm_bits_get(column->validity.data, row);
        uint32_t code = fm_load16(column->data.data + (size_t)row * 2);
        status =
            append_text(column, valid ? fm_text_table_at(&column->table, code) : fm_span("", 0));
    }
    if (status != FM_OK) {
        fm_buf_clear(&column->text);
        fm_buf_clear(&column->offsets);
        return status;
    }
    column->store = FM_STORE_TEXT;
    fm_buf_clear(&column->data);
    fm_text_table_clear(&column->table);
    fm_buf_clear(&column->source_texts);
    return FM_OK;
}

/* ---- Codes --------------------------------------------------------------------------------- */

/* Code of a value in this column. FM_LIMIT: CODES has become too many. */
static enum fm_status code_of(struct fm_column *column, struct fm_span value, uint32_t *code)
{
    if (column->store == FM_STORE_OUTSIDE)
        return fm_dictionary_find(column->outside, value, code) == FM_OK ? FM_OK : FM_INVALID;
    *code = fm_text_table_find(&column->table, value);
    if (*code != FM_CODE_NONE)
        return FM_OK;
    enum fm_status status = check_value(column, value);
    if (status != FM_OK)
        return status;
    if (column->table.count >= TABLE_FIRST + column->rows / 4)
        return FM_LIMIT;
    return fm_text_table_add(&column->table, value, code);
}

static uint32_t stored_code_width(const struct fm_column *column)
{
    return column->store == FM_STORE_OUTSIDE ? column->code_width : 2;
}

static enum fm_status append_codes(struct fm_column *column, uint32_t code, uint32_t count)
{
    uint32_t width = stored_code_width(column);
    uint8_t *at = fm_buf_extend(&column->data, (size_t)count * width);
    if (at == NULL)
        return fm_buf_status(&column->data);
    for (uint32_t i = 0; i < count; i++) {
        if (width == 1)
            at[i] = (uint8_t)code;
        else
            fm_store16(at + (size_t)i * 2, (uint16_t)code);
    }
    return FM_OK;
}

enum fm_status fm_text_put_null(struct fm_column *column)
{
    enum fm_status status = column->store == FM_STORE_TEXT
                                ? fm_column_put_offset(column, (uint32_t)column->text.len)
                                : append_codes(column, 0, 1);
    return status == FM_OK ? fm_column_add_rows(column, &(uint64_t){0}, 1) : status;
}

enum fm_status fm_text_put(struct fm_column *column, struct fm_span value)
{
    uint32_t code;
    enum fm_status status = FM_OK;
    if (column->store != FM_STORE_TEXT) {
        status = code_of(column, value, &code);
        if (status == FM_OK)
            status = append_codes(column, code, 1);
        else if (status == FM_LIMIT && value.len <= FM_VALUE_BYTES_MAX)
            status = become_text(column);
        if (status != FM_OK || column->store != FM_STORE_TEXT)
            return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
    }
    status = check_value(column, value);
    if (status == FM_OK)
        status = append_text(column, value);
    return status == FM_OK ? fm_column_add_rows(column, NULL, 1) : status;
}

/* ---- Slices of dictionaries ---------------------------------------------------------------- */

static bool same_texts(const struct fm_dictionary *a, const struct fm_dictionary *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    size_t len = ((size_t)a->count + 1) * 4;
    return memcmp(a->offsets, b->offsets, len) == 0 &&
           memcmp(a->text, b->text, a->offsets[a->count]) == 0;
}

/* Make `source_codes` those of the dictionary at hand. Blocks of one segment repeat theirs, so the
 * last one is kept, by content. */
static enum fm_status prepare_translation(struct fm_column *column,
                                          const struct fm_dictionary *from)
{
    size_t offsets_len = ((size_t)from->count + 1) * 4, text_len = from->offsets[from->count];
    struct fm_buf *kept = &column->source_texts, *codes = &column->source_codes;
    if (kept->len == offsets_len + text_len &&
        memcmp(kept->data, from->offsets, offsets_len) == 0 &&
        (text_len == 0 || memcmp(kept->data + offsets_len, from->text, text_len) == 0))
        return FM_OK;
    fm_buf_clear(kept);
    fm_buf_clear(codes);
    uint8_t *at = fm_buf_extend(codes, (size_t)from->count * 4);
    if (at == NULL)
        return fm_buf_status(codes);
    memset(at, 0xff, (size_t)from->count * 4); /* FM_CODE_NONE */
    fm_buf_put(kept, from->offsets, offsets_len);
    fm_buf_put(kept, from->text, text_len);
    return fm_buf_status(kept);
}

/* A chunk's codes, gathered; 64 validity bits a word likewise. */
struct chunk {
    uint8_t codes[(CHUNK_ROWS + 1) * 4];
    uint32_t rows;
};

static enum fm_status translate_chunk(struct fm_column *column, const struct fm_slice *slice,
                                      const struct fm_dictionary *from, const struct chunk *chunk,
                                      uint8_t *to)
{
    uint32_t width = slice->vector->code_width, to_width = stored_code_width(column);
    uint8_t *map = column->source_codes.data;
    for (uint32_t i = 0; i < chunk->rows; i++) {
        uint32_t code = fm_load_code(chunk->codes, width, i);
        uint32_t mine = fm_load32(map + (size_t)code * 4);
        if (mine == FM_CODE_NONE) {
            enum fm_status status = code_of(column, fm_dictionary_at(from, code), &mine);
            if (status != FM_OK)
                return status;
            fm_store32(map + (size_t)code * 4, mine);
        }
        if (to_width == 1)
            to[i] = (uint8_t)mine;
        else
            fm_store16(to + (size_t)i * 2, (uint16_t)mine);
    }
    return FM_OK;
}

/* Rows of the chunk that are null hold code 0, whose text the column need not have: they borrow the
 * code of a row that is not null. */
static void mend_null_codes(const struct fm_column *column, uint32_t width, struct chunk *chunk,
                            uint32_t first_row)
{
    const uint8_t *validity = column->validity.data;
    if (column->validity.len == 0)
        return;
    uint32_t i = 0;
    while (i < chunk->rows && !fm_bits_get(validity, first_row + i))
        i++;
    if (i == chunk->rows) {
        chunk->rows = 0; /* Nothing to translate; the caller's codes are 0. */
        return;
    }
    uint8_t code[4];
    memcpy(code, chunk->codes + (size_t)i * width, width);
    fm_fill_nulls(chunk->codes, width, validity, first_row, chunk->rows, code);
}

/* Room for the codes of the slice, all 0. */
static uint8_t *reserve_codes(struct fm_column *column, const struct fm_slice *slice)
{
    size_t width = stored_code_width(column), len = slice->selected * width;
    uint8_t *at = fm_buf_extend(&column->data, len + width);
    if (at == NULL)
        return NULL;
    memset(at, 0, len + width);
    column->data.len -= width;
    return at;
}

static enum fm_status put_translated(struct fm_column *column, const struct fm_slice *slice,
                                     const struct fm_dictionary *from)
{
    const struct fm_vector_entry *v = slice->vector;
    const uint8_t *codes = slice->batch->bytes + v->data_at + (size_t)slice->first * v->code_width;
    struct chunk chunk;
    uint32_t first_row = column->rows;
    enum fm_status status = prepare_translation(column, from);
    if (status != FM_OK)
        return status;
    uint8_t *to = reserve_codes(column, slice);
    if (to == NULL)
        return fm_buf_status(&column->data);
    status = fm_column_add_slice(column, slice);
    for (uint32_t row = 0; status == FM_OK && row < slice->count; row += CHUNK_ROWS) {
        uint32_t here = slice->count - row < CHUNK_ROWS ? slice->count - row : CHUNK_ROWS;
        const uint64_t *selection = slice->selection == NULL ? NULL : slice->selection + row / 64;
        uint32_t got = (uint32_t)fm_gather(chunk.codes, codes + (size_t)row * v->code_width,
                                           v->code_width, selection, here);
        chunk.rows = got;
        if (v->null_count > 0)
            mend_null_codes(column, v->code_width, &chunk, first_row);
        status = translate_chunk(column, slice, from, &chunk, to);
        to += (size_t)got * stored_code_width(column);
        first_row += got;
    }
    return status;
}

/* The same outside dictionary on both sides: codes pass through. */
static enum fm_status put_same_codes(struct fm_column *column, const struct fm_slice *slice)
{
    const struct fm_vector_entry *v = slice->vector;
    const uint8_t *codes = slice->batch->bytes + v->data_at + (size_t)slice->first * v->code_width;
    uint8_t *to = reserve_codes(column, slice);
    if (to == NULL)
        return fm_buf_status(&column->data);
    size_t got = fm_gather(to, codes, v->code_width, slice->selection, slice->count);
    fm_assert(got == slice->selected);
    uint32_t first = column->rows;
    enum fm_status status = fm_column_add_slice(column, slice);
    if (status == FM_OK && column->null_count > 0)
        fm_fill_nulls(to, v->code_width, column->validity.data, first, got, &(uint32_t){0});
    return status;
}

/* ---- Slices of texts ----------------------------------------------------------------------- */

/* The next run of selected rows at or behind *row; false when there is none. */
static bool next_stretch(const struct fm_slice *slice, uint32_t *row, uint32_t *end)
{
    uint32_t at = *row, stop;
    if (slice->selection == NULL) {
        *end = slice->count;
        return at < slice->count;
    }
    while (at < slice->count && !fm_bits_get(slice->selection, at))
        at += at % 64 == 0 && slice->selection[at / 64] == 0 ? 64 : 1;
    if (at >= slice->count)
        return false;
    for (stop = at + 1; stop < slice->count && fm_bits_get(slice->selection, stop);)
        stop++;
    *row = at;
    *end = stop;
    return true;
}

/* Copy the texts of rows [from, to) of a PLAIN vector without nulls in one go. */
static enum fm_status copy_stretch(struct fm_column *column, const struct fm_slice *slice,
                                   uint32_t from, uint32_t to)
{
    const uint8_t *bytes = slice->batch->bytes;
    const uint8_t *offsets = bytes + slice->vector->data_at + ((size_t)slice->first + from) * 4;
    uint32_t begin = fm_load32(offsets), base = (uint32_t)column->text.len;
    uint32_t len = fm_load32(offsets + (size_t)(to - from) * 4) - begin;
    if (column->offsets.len == 0)
        fm_buf_put_u32(&column->offsets, 0);
    fm_buf_put(&column->text, bytes + slice->vector->aux_at + begin, len);
    uint8_t *at = fm_buf_extend(&column->offsets, (size_t)(to - from) * 4);
    if (at == NULL)
        return fm_buf_status(&column->offsets);
    for (uint32_t i = 1; i <= to - from; i++)
        fm_store32(at + (size_t)(i - 1) * 4, base + fm_load32(offsets + (size_t)i * 4) - begin);
    return fm_buf_status(&column->text);
}

/* One row of any encoding to any store, null or not. */
static enum fm_status put_row(struct fm_column *column, const struct fm_slice *slice, uint32_t row)
{
    uint32_t at = slice->first + row;
    if (fm_vector_is_null(slice->batch, slice->vector, at))
        return fm_text_put_null(column);
    struct fm_span value = fm_vector_bytes(slice->batch, slice->vector, slice->dictionary, at);
    return fm_text_put(column, value);
}

static enum fm_status put_texts(struct fm_column *column, const struct fm_slice *slice)
{
    bool whole = column->store == FM_STORE_TEXT && slice->vector->encoding == FM_ENC_PLAIN &&
                 slice->vector->null_count == 0 && column->labels.sorted == NULL;
    enum fm_status status = FM_OK;
    for (uint32_t row = 0, end = 0; status == FM_OK && next_stretch(slice, &row, &end); row = end) {
        if (whole) {
            status = copy_stretch(column, slice, row, end);
            if (status == FM_OK)
                status = fm_column_add_rows(column, NULL, end - row);
        }
        for (uint32_t i = row; !whole && status == FM_OK && i < end; i++)
            status = put_row(column, slice, i);
    }
    return status;
}

/* The value of a constant vector is looked up once. */
static enum fm_status put_constant(struct fm_column *column, const struct fm_slice *slice)
{
    uint32_t code = 0;
    bool all_null = (slice->vector->flags & FM_VECTOR_ALL_NULL) != 0;
    if (column->store == FM_STORE_TEXT)
        return put_texts(column, slice);
    enum fm_status status = FM_OK;
    uint32_t first = column->rows;
    if (slice->vector->null_count < slice->vector->rows && !all_null) {
        struct fm_span value = fm_vector_bytes(slice->batch, slice->vector, slice->dictionary, 0);
        status = code_of(column, value, &code);
    }
    if (status == FM_OK)
        status = append_codes(column, code, slice->selected);
    if (status == FM_OK)
        status = fm_column_add_slice(column, slice);
    if (status == FM_OK && column->null_count > 0) {
        uint32_t width = stored_code_width(column);
        fm_fill_nulls(column->data.data + (size_t)first * width, width, column->validity.data,
                      first, slice->selected, &(uint32_t){0});
    }
    return status;
}

static enum fm_status put_coded(struct fm_column *column, const struct fm_slice *slice)
{
    struct fm_dictionary from =
        fm_vector_dictionary(slice->batch, slice->vector, slice->dictionary);
    if (column->store == FM_STORE_TEXT)
        return put_texts(column, slice);
    if (column->store == FM_STORE_OUTSIDE && slice->vector->code_width == column->code_width &&
        same_texts(&from, column->outside))
        return put_same_codes(column, slice);
    return put_translated(column, slice, &from);
}

static enum fm_status put_slice(struct fm_column *column, const struct fm_slice *slice)
{
    switch (slice->vector->encoding) {
    case FM_ENC_CONSTANT:
        return put_constant(column, slice);
    case FM_ENC_DICTIONARY:
        return put_coded(column, slice);
    default:
        return put_texts(column, slice);
    }
}

enum fm_status fm_text_put_slice(struct fm_column *column, const struct fm_slice *slice)
{
    uint32_t rows = column->rows;
    bool coded = column->store == FM_STORE_CODES;
    enum fm_status status = put_slice(column, slice);
    if (status != FM_LIMIT || !coded || column->store != FM_STORE_CODES)
        return status;
    /* Too many distinct texts: once more, as text. */
    fm_column_truncate(column, rows);
    status = become_text(column);
    return status == FM_OK ? put_slice(column, slice) : status;
}
