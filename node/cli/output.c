#include "node/cli/output.h"

#include "client/client_text.h"
#include "core/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

struct column {
    char *name;
    bool is_number;
    uint32_t width;
};

struct fm_output {
    FILE *stream;
    enum fm_output_format format;
    bool has_color;
    struct column *columns;
    uint32_t column_count;
    uint32_t at;       /* The next cell's column. */
    uint64_t rows;     /* Complete ones. */
    struct fm_buf row; /* CSV and JSON: the row being built. */
    /* Tables: cells held back, each u32 length + 1 (0: null) and its escaped bytes. */
    struct fm_buf held;
    uint32_t held_rows;
    bool is_streaming; /* Widths are fixed, the header is out. */
    enum fm_status status;
};

enum fm_status fm_output_choose(const char *name, FILE *stream, enum fm_output_format *out,
                                struct fm_error *err)
{
    static const char *const names[] = {"table", "csv", "ndjson", "json"};

    if (name == NULL) {
        *out = isatty(fileno(stream)) == 1 ? FM_OUTPUT_TABLE : FM_OUTPUT_CSV;
        return FM_OK;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum fm_output_format)(FM_OUTPUT_TABLE + i);
            return FM_OK;
        }
    }
    return fm_fail(err, FM_USAGE, "--format takes table, csv, ndjson or json, not '%.40s'", name);
}

static void note(struct fm_output *output, enum fm_status status)
{
    if (output->status == FM_OK)
        output->status = status;
}

static void put(struct fm_output *output, const void *data, size_t len)
{
    if (output->status == FM_OK && fwrite(data, 1, len, output->stream) != len)
        note(output, FM_IO);
}

static void put_buf(struct fm_output *output, struct fm_buf *buf)
{
    note(output, fm_buf_status(buf));
    put(output, buf->data, buf->len);
    fm_buf_clear(buf);
}

/* ---- Text on terminals --------------------------------------------------------------------- */

/* One character of UTF-8; a byte that is none counts as itself. */
static uint32_t decode(struct fm_span text, size_t at, size_t *len)
{
    uint8_t c = text.data[at];
    size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

    *len = 1;
    if (want == 1 || text.len - at < want || !fm_utf8_valid(fm_span(text.data + at, want)))
        return c;
    uint32_t code = c & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++)
        code = code << 6 | (text.data[at + i] & 0x3fu);
    *len = want;
    return code;
}

static bool is_unsafe(uint32_t code, size_t len)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (len == 1 && code >= 0x80) ||
           code == 0x200e || code == 0x200f || code == 0x061c ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x2028 || code == 0x2029;
}

void fm_output_escape(struct fm_buf *out, struct fm_span text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i += len) {
        uint32_t code = decode(text, i, &len);
        if (!is_unsafe(code, len))
            fm_buf_put(out, text.data + i, len);
        else if (code == '\n')
            fm_buf_put_str(out, "\\n");
        else if (code == '\t')
            fm_buf_put_str(out, "\\t");
        else if (code == '\r')
            fm_buf_put_str(out, "\\r");
        else if (code < 0x100)
            fm_buf_printf(out, "\\x%02x", code);
        else
            fm_buf_printf(out, "\\u%04x", code);
    }
}

static unsigned char_width(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } wide[] = {{0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},  {0xf900, 0xfaff},
                {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}},
      none[] = {{0x300, 0x36f}, {0x200b, 0x200d}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (code >= none[i].first && code <= none[i].last)
            return 0;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        if (code >= wide[i].first && code <= wide[i].last)
            return 2;
    return 1;
}

uint32_t fm_output_width(struct fm_span text)
{
    uint32_t width = 0;
    size_t len = 0;

    for (size_t i = 0; i < text.len; i += len)
        width += char_width(decode(text, i, &len));
    return width;
}

/* ---- Tables -------------------------------------------------------------------------------- */

static void put_spaces(struct fm_output *output, uint32_t count)
{
    static const char spaces[] = "                                ";

    for (uint32_t left = count; left != 0;) {
        uint32_t some = left < 32 ? left : 32;
        put(output, spaces, some);
        left -= some;
    }
}

static void put_cell(struct fm_output *output, uint32_t column, struct fm_span text, bool is_null,
                     bool is_right)
{
    uint32_t width = is_null ? 4 : fm_output_width(text);
    uint32_t gap =
        output->columns[column].width > width ? output->columns[column].width - width : 0;

    put(output, " ", 1);
    if (is_right)
        put_spaces(output, gap);
    if (is_null && output->has_color)
        put(output, "\033[2mNULL\033[0m", 12);
    else
        put(output, is_null ? (const uint8_t *)"NULL" : text.data, is_null ? 4 : text.len);
    bool is_last = column + 1 == output->column_count;
    if (!is_right && !is_last)
        put_spaces(output, gap);
    put(output, is_last ? "\n" : " |", is_last ? 1 : 2);
}

/* Write what is held, row by row. */
static void write_held(struct fm_output *output)
{
    size_t at = 0;

    if (fm_buf_status(&output->held) != FM_OK) {
        note(output, fm_buf_status(&output->held));
        return;
    }
    for (uint32_t row = 0; row < output->held_rows; row++) {
        for (uint32_t i = 0; i < output->column_count; i++) {
            uint32_t len = fm_load32(output->held.data + at);
            at += 4;
            struct fm_span text = fm_span(output->held.data + at, len == 0 ? 0 : len - 1);
            put_cell(output, i, text, len == 0, output->columns[i].is_number);
            at += text.len;
        }
    }
    fm_buf_clear(&output->held);
    output->held_rows = 0;
}

static void write_header(struct fm_output *output)
{
    for (uint32_t i = 0; i < output->column_count; i++)
        put_cell(output, i, fm_span_str(output->columns[i].name), false, false);
    for (uint32_t i = 0; i < output->column_count; i++) {
        for (uint32_t w = 0; w < output->columns[i].width + 2; w++)
            put(output, "-", 1);
        put(output, i + 1 == output->column_count ? "\n" : "+", 1);
    }
}

static void start_streaming(struct fm_output *output)
{
    output->is_streaming = true;
    write_header(output);
    write_held(output);
}

static void table_cell(struct fm_output *output, const char *text, size_t len)
{
    struct column *column = &output->columns[output->at];
    size_t start = output->held.len;
    uint32_t width = 4;

    fm_buf_put_u32(&output->held, 0);
    if (text != NULL) {
        fm_output_escape(&output->held, fm_span(text, len));
        if (fm_buf_status(&output->held) != FM_OK)
            return;
        size_t size = output->held.len - start - 4;
        fm_store32(output->held.data + start, (uint32_t)size + 1);
        width = fm_output_width(fm_span(output->held.data + start + 4, size));
    }
    if (!output->is_streaming && width > column->width)
        column->width = width;
}

static void table_row(struct fm_output *output)
{
    output->held_rows++;
    if (output->is_streaming)
        write_held(output);
    else if (output->held_rows == FM_OUTPUT_ROWS_HELD || output->held.len >= FM_OUTPUT_BYTES_HELD)
        start_streaming(output);
}

/* ---- CSV (RFC 4180; NULL is empty, an empty text is "") and JSON ---------------------------- */

static void csv_text(struct fm_buf *out, struct fm_span text)
{
    bool needs = text.len == 0;

    for (size_t i = 0; i < text.len && !needs; i++)
        needs = text.data[i] == '"' || text.data[i] == ',' || text.data[i] == '\n' ||
                text.data[i] == '\r';
    if (!needs) {
        fm_buf_put_span(out, text);
        return;
    }
    fm_buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            fm_buf_put_u8(out, '"');
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, '"');
}

static void csv_cell(struct fm_output *output, const char *text, size_t len)
{
    if (output->at != 0)
        fm_buf_put_u8(&output->row, ',');
    if (text != NULL)
        csv_text(&output->row, fm_span(text, len));
    if (output->at + 1 == output->column_count)
        fm_buf_put_u8(&output->row, '\n');
}

static void json_cell(struct fm_output *output, const char *text, size_t len, bool is_json)
{
    const struct column *column = &output->columns[output->at];
    struct fm_buf *row = &output->row;

    if (output->at == 0) {
        if (output->format == FM_OUTPUT_JSON)
            fm_buf_put_str(row, output->rows == 0 ? "[\n" : ",\n");
        fm_buf_put_u8(row, '{');
    }
    if (output->at != 0)
        fm_buf_put_u8(row, ',');
    fm_json_string(row, fm_span_str(column->name));
    fm_buf_put_u8(row, ':');
    if (text == NULL)
        fm_buf_put_str(row, "null");
    else if (is_json || column->is_number)
        fm_buf_put(row, text, len);
    else
        fm_json_string(row, fm_span(text, len));
    if (output->at + 1 == output->column_count) {
        fm_buf_put_u8(row, '}');
        if (output->format == FM_OUTPUT_NDJSON)
            fm_buf_put_u8(row, '\n');
    }
}

/* ---- All forms ----------------------------------------------------------------------------- */

/* JSON objects need names that differ; a repeated one gets "_2", "_3", ... */
static void make_unique(struct fm_output *output)
{
    for (uint32_t i = 1; i < output->column_count; i++) {
        unsigned number = 2;
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(output->columns[i].name, output->columns[j].name) != 0)
                continue;
            char *name = NULL;
            if (asprintf(&name, "%s_%u", output->columns[j].name, number++) < 0) {
                note(output, FM_NOMEM);
                return;
            }
            free(output->columns[i].name);
            output->columns[i].name = name;
            j = UINT32_MAX; /* Compare anew, from the first. */
            if (number > 4096)
                return;
        }
    }
}

static enum fm_status init_columns(struct fm_output *output, const struct fm_output_column *columns,
                                   uint32_t count)
{
    output->columns = calloc((size_t)count + 1, sizeof *output->columns);
    if (output->columns == NULL)
        return FM_NOMEM;
    output->column_count = count;
    for (uint32_t i = 0; i < count; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf name = FM_BUF_INIT(0);
        if (output->format == FM_OUTPUT_TABLE)
            fm_output_escape(&name, fm_span_str(columns[i].name));
        else
            fm_buf_put_str(&name, columns[i].name);
        if (fm_buf_status(&name) == FM_OK)
            output->columns[i].name = fm_strdup_span(fm_buf_span(&name));
        if (output->columns[i].name == NULL)
            return FM_NOMEM;
        output->columns[i].is_number = columns[i].is_number;
        output->columns[i].width = fm_output_width(fm_span_str(output->columns[i].name));
    }
    return FM_OK;
}

enum fm_status fm_output_new(FILE *stream, enum fm_output_format format,
                             const struct fm_output_column *columns, uint32_t count,
                             struct fm_output **out)
{
    FM_AUTO(fm_output_freep) struct fm_output *output = calloc(1, sizeof *output);

    if (output == NULL)
        return FM_NOMEM;
    output->stream = stream;
    output->format = format;
    output->has_color = isatty(fileno(stream)) == 1 && getenv("NO_COLOR") == NULL;
    enum fm_status status = init_columns(output, columns, count);
    if (status != FM_OK)
        return status;
    if (format == FM_OUTPUT_JSON || format == FM_OUTPUT_NDJSON)
        make_unique(output);
    if (format == FM_OUTPUT_CSV) {
        for (output->at = 0; output->at < count; output->at++)
            csv_cell(output, output->columns[output->at].name,
                     strlen(output->columns[output->at].name));
        output->at = 0;
        put_buf(output, &output->row);
    }
    *out = FM_TAKE(output);
    return FM_OK;
}

void fm_output_free(struct fm_output *output)
{
    if (output == NULL)
        return;
    for (uint32_t i = 0; output->columns != NULL && i < output->column_count; i++)
        free(output->columns[i].name);
    free(output->columns);
    fm_buf_free(&output->row);
    fm_buf_free(&output->held);
    free(output);
}

void fm_output_cell(struct fm_output *output, const char *text, size_t len, bool is_json)
{
    fm_assert(output->column_count != 0);
    if (output->format == FM_OUTPUT_TABLE)
        table_cell(output, text, len);
    else if (output->format == FM_OUTPUT_CSV)
        csv_cell(output, text, len);
    else
        json_cell(output, text, len, is_json);
    if (++output->at < output->column_count)
        return;
    output->at = 0;
    output->rows++;
    if (output->format == FM_OUTPUT_TABLE)
        table_row(output);
    else
        put_buf(output, &output->row);
}

void fm_output_text(struct fm_output *output, const char *text)
{
    fm_output_cell(output, text, text == NULL ? 0 : strlen(text), false);
}

void fm_output_printf(struct fm_output *output, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fm_output_cell(output, text,
                   len < 0                     ? 0
                   : (size_t)len < sizeof text ? (size_t)len
                                               : sizeof text - 1,
                   false);
}

enum fm_status fm_output_finish(struct fm_output *output)
{
    fm_assert(output->at == 0);
    if (output->format == FM_OUTPUT_TABLE && !output->is_streaming)
        start_streaming(output);
    if (output->format == FM_OUTPUT_JSON)
        put(output, output->rows == 0 ? "[]\n" : "\n]\n", 3);
    if (output->status == FM_OK && fflush(output->stream) != 0)
        note(output, FM_IO);
    return output->status;
}
