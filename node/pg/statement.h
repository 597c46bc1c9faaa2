/* The text that a PostgreSQL client sends, before anybody plans it: where one statement ends and
 * the next begins, which of them the session answers itself, and where parameters stand. Only as
 * much is looked at as that takes: comments, quotes ('..', E'..', "..", $tag$..$tag$), words.
 *
 * Ownership: everything views the text. Threads: pure functions. */
#ifndef FM_NODE_PG_STATEMENT_H
#define FM_NODE_PG_STATEMENT_H

#include "core/bytes.h"

enum fm_pg_token_kind {
    FM_PG_END = 0,
    FM_PG_WORD,      /* A keyword or name that is not quoted. */
    FM_PG_NAME,      /* "..": with its quotes. */
    FM_PG_STRING,    /* '..', E'..', $$..$$: as it stands. */
    FM_PG_NUMBER,    /* */
    FM_PG_PARAMETER, /* $1 */
    FM_PG_SIGN,      /* One character of anything else. */
    FM_PG_OPEN,      /* A quote or comment without its end: to the end of the text. */
};

struct fm_pg_token {
    enum fm_pg_token_kind kind;
    struct fm_span text;
};

/* The next token behind spaces and comments; `at` moves behind it. */
struct fm_pg_token fm_pg_token_next(struct fm_cursor *at);
/* Is it this word (given in capitals), whatever its case? */
bool fm_pg_token_is(const struct fm_pg_token *token, const char *word);
/* What a name, word or string stands for: quotes taken off, doubled ones halved, words in lower
 * case; escapes of E'..' are not known: FM_UNSUPPORTED. */
FM_MUST_USE enum fm_status fm_pg_token_value(const struct fm_pg_token *token, struct fm_buf *out);

/* The next statement of a text of several, without its semicolon and what surrounds it; empty ones
 * are left out. False at the end. */
bool fm_pg_statement_next(struct fm_cursor *at, struct fm_span *out);

/* What a statement is, by its first words. */
enum fm_pg_statement_kind {
    FM_PG_QUERY_STATEMENT = 0, /* Everything else: the engine's. */
    FM_PG_EMPTY,
    FM_PG_BEGIN,
    FM_PG_COMMIT,
    FM_PG_ROLLBACK,
    FM_PG_ROLLBACK_TO,
    FM_PG_SAVEPOINT,
    FM_PG_RELEASE,
    FM_PG_SET,
    FM_PG_SHOW,
    FM_PG_RESET,
    FM_PG_DISCARD,
    FM_PG_DEALLOCATE,
    FM_PG_DECLARE,
    FM_PG_FETCH,
    FM_PG_MOVE,
    FM_PG_CLOSE_CURSOR,
    FM_PG_COPY,
    FM_PG_INSERT,
    FM_PG_LISTEN, /* Also UNLISTEN and NOTIFY. */
};

enum fm_pg_statement_kind fm_pg_statement_kind(struct fm_span statement);

/* How many parameters a statement has: the highest number n of a $n. FM_LIMIT: more than
 * FM_PG_PARAMETERS_MAX. */
FM_MUST_USE enum fm_status fm_pg_statement_parameters(struct fm_span statement, uint32_t *count,
                                                      struct fm_error *err);
/* Append the statement with `values[n - 1]` in place of each $n. */
void fm_pg_statement_fill(struct fm_span statement, const struct fm_span *values, uint32_t count,
                          struct fm_buf *out);

#endif
