/* EXPLAIN and EXPLAIN ANALYZE stand before a statement and are read here, never by the engine. */
#ifndef FM_QUERY_EXPLAIN_H
#define FM_QUERY_EXPLAIN_H

#include "core/bytes.h"

enum fm_explain {
    FM_EXPLAIN_NONE = 0,
    FM_EXPLAIN_PLAN = 1, /* Say what would be done. */
    FM_EXPLAIN_RUN = 2,  /* Do it, and say how it went. */
};

/* Whether `sql` begins with these words, behind blanks and comments, in any case. Where it does,
 * `rest` gets the statement with blanks in their place, so that positions in messages stay right;
 * else it is left alone. FM_INVALID: options in parentheses, which are not known, or nothing
 * follows. FM_LIMIT, FM_NOMEM: of `rest`. */
FM_MUST_USE enum fm_status fm_explain_read(struct fm_span sql, enum fm_explain *explain,
                                           struct fm_buf *rest, struct fm_error *err);

#endif
