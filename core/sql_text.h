/* SQL text as far as it must be read before an engine does: blanks, comments, words, quotes.
 * Threads: plain data. */
#ifndef FM_CORE_SQL_TEXT_H
#define FM_CORE_SQL_TEXT_H

#include "core/bytes.h"

/* A byte of a name or a number. */
bool fm_sql_is_word(uint8_t c);
/* Behind blanks and comments (-- to the line's end, and nested ones). */
size_t fm_sql_skip_blanks(struct fm_span sql, size_t at);
/* The same, moving `at`; false: a comment is not closed. */
bool fm_sql_pass_blanks(struct fm_span sql, size_t *at);
/* The end of this word at `at`, in any case, for a word in small letters; `at` itself where another
 * one stands there. */
size_t fm_sql_skip_word(struct fm_span sql, size_t at, const char *word);
/* The end of what is quoted at `at`: '..', e'..', "..", $tag$..$tag$; the text's where it is not
 * closed; `at` itself where nothing is quoted. */
size_t fm_sql_skip_quoted(struct fm_span sql, size_t at);
/* The same, moving `at`; false: it is not closed. */
bool fm_sql_pass_quoted(struct fm_span sql, size_t *at);
/* The end of the statement that stands at `at`: its semicolon, or the text's end. */
size_t fm_sql_statement_end(struct fm_span sql, size_t at);

#endif
