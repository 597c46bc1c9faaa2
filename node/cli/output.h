/* Rows of cells as a table, CSV, NDJSON or JSON, in bounded memory: a table's widths come from its
 * first FM_OUTPUT_ROWS_HELD rows. docs/cli.md, "Output", describes each form.
 * Ownership: fm_output_free(); the stream is borrowed. Threads: one. */
#ifndef FM_NODE_CLI_OUTPUT_H
#define FM_NODE_CLI_OUTPUT_H

#include "core/bytes.h"

#include <stdio.h>

#define FM_OUTPUT_ROWS_HELD 1000u
#define FM_OUTPUT_BYTES_HELD (8u << 20)

enum fm_output_format {
    FM_OUTPUT_TABLE = 1,
    FM_OUTPUT_CSV = 2,
    FM_OUTPUT_NDJSON = 3,
    FM_OUTPUT_JSON = 4,
};

/* By name; NULL: a table when `stream` is a terminal, else CSV. FM_USAGE. */
FM_MUST_USE enum fm_status fm_output_choose(const char *name, FILE *stream,
                                            enum fm_output_format *out, struct fm_error *err);

struct fm_output_column {
    const char *name; /* Copied. */
    bool is_number;   /* Tables align it to the right; JSON shows it without quotes. */
};

struct fm_output;

FM_MUST_USE enum fm_status fm_output_new(FILE *stream, enum fm_output_format format,
                                         const struct fm_output_column *columns, uint32_t count,
                                         struct fm_output **out);
void fm_output_free(struct fm_output *output);
FM_DEFINE_FREEP(fm_output_freep, struct fm_output, fm_output_free)

/* The next cell of the row, NULL text for NULL; a row is written with its last cell. In the JSON
 * forms `is_json` says that the text is a JSON value already; it must not be set in the others. */
void fm_output_cell(struct fm_output *output, const char *text, size_t len, bool is_json);
void fm_output_text(struct fm_output *output, const char *text);
void fm_output_printf(struct fm_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The end. FM_NOMEM, FM_IO: something could not be written. */
FM_MUST_USE enum fm_status fm_output_finish(struct fm_output *output);

/* Text for a terminal: control characters, also those that turn the direction of text, are shown
 * as escapes, so that data cannot drive the terminal. */
void fm_output_escape(struct fm_buf *out, struct fm_span text);
/* Columns that escaped text takes. */
uint32_t fm_output_width(struct fm_span text);

#endif
