#include "query/explain.h"

#include "core/sql_text.h"

/* A statement may stand in parentheses; what else does is a list of options. */
static bool is_option_list(struct fm_span sql, size_t at)
{
    static const char *const words[] = {"select", "with",  "from",   "values",
                                        "table",  "pivot", "unpivot"};

    while (at < sql.len && sql.data[at] == '(')
        at = fm_sql_skip_blanks(sql, at + 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (fm_sql_skip_word(sql, at, words[i]) != at)
            return false;
    }
    return true;
}

enum fm_status fm_explain_read(struct fm_span sql, enum fm_explain *explain, struct fm_buf *rest,
                               struct fm_error *err)
{
    size_t start = fm_sql_skip_blanks(sql, 0);
    size_t end = fm_sql_skip_word(sql, start, "explain");

    *explain = FM_EXPLAIN_NONE;
    if (end == start)
        return FM_OK;
    size_t next = fm_sql_skip_blanks(sql, end);
    size_t analyze = fm_sql_skip_word(sql, next, "analyze");
    if (analyze == next)
        analyze = fm_sql_skip_word(sql, next, "analyse");
    bool runs = analyze != next;
    if (runs)
        next = fm_sql_skip_blanks(sql, analyze);
    if (next == sql.len)
        return fm_fail(err, FM_INVALID, "EXPLAIN needs a statement behind it");
    if (sql.data[next] == '(' && is_option_list(sql, next))
        return fm_fail(err, FM_INVALID,
                       "EXPLAIN takes no options in parentheses: write EXPLAIN or EXPLAIN ANALYZE");
    for (size_t i = 0; i < next; i++)
        fm_buf_put_u8(rest, sql.data[i] == '\n' ? '\n' : ' ');
    fm_buf_put(rest, sql.data + next, sql.len - next);
    *explain = runs ? FM_EXPLAIN_RUN : FM_EXPLAIN_PLAN;
    return fm_buf_status(rest);
}
