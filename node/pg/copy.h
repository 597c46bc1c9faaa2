/* COPY .. TO STDOUT: what the statement asks for, and rows in PostgreSQL's copy formats
 * (PostgreSQL 15 documentation, COPY, "File Formats").
 * Ownership: fm_pg_copy_deinit(). Threads: plain data. */
#ifndef FM_NODE_PG_COPY_H
#define FM_NODE_PG_COPY_H

#include "core/limits.h"
#include "node/pg/wire.h"

enum fm_pg_copy_form { FM_PG_COPY_TEXT = 0, FM_PG_COPY_CSV = 1, FM_PG_COPY_BINARY = 2 };

struct fm_pg_copy {
    enum fm_pg_copy_form form;
    bool has_header;
    char delimiter, quote;
    char null[FM_NAME_MAX + 1]; /* What stands for NULL. */
    struct fm_buf query;        /* Whose rows they are. */
};

/* COPY {(query) | domain.table [(column, ..)]} TO STDOUT [[WITH] (option value, ..)], options
 * FORMAT, HEADER, DELIMITER, NULL, QUOTE and ENCODING 'UTF8', or the words BINARY, or CSV and
 * HEADER, as before PostgreSQL 9. FM_INVALID: not that; FM_UNSUPPORTED: a file, a program, FROM,
 * another option. */
FM_MUST_USE enum fm_status fm_pg_copy_read(struct fm_span sql, struct fm_pg_copy *out,
                                           struct fm_error *err);
void fm_pg_copy_deinit(struct fm_pg_copy *copy);

/* Append field `column` of a row, in text or CSV, with the delimiter before it; `value` without
 * data is NULL. */
void fm_pg_copy_put(const struct fm_pg_copy *copy, uint32_t column, bool is_null,
                    struct fm_span value, struct fm_buf *out);

#endif
