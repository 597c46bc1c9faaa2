#include "query/explain.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c >= 0x80;
}

static bool starts(struct fm_span sql, size_t at, const char *text)
{
    size_t len = strlen(text);

    return sql.len - at >= len && memcmp(sql.data + at, text, len) == 0;
}

/* The end of the comment at `at`; those in slashes and stars may hold others. */
static size_t skip_comment(struct fm_span sql, size_t at)
{
    size_t depth = 0;

    if (starts(sql, at, "--")) {
        while (at < sql.len && sql.data[at] != '\n')
            at++;
        return at;
    }
    while (at < sql.len) {
        if (starts(sql, at, "/*")) {
            depth++;
            at += 2;
        } else if (starts(sql, at, "*/")) {
            at += 2;
            if (--depth == 0)
                break;
        } else {
            at++;
        }
    }
    return at;
}

static size_t skip_blanks(struct fm_span sql, size_t at)
{
    for (;;) {
        while (at < sql.len && is_blank(sql.data[at]))
            at++;
        if (at == sql.len || !(starts(sql, at, "--") || starts(sql, at, "/*")))
            return at;
        at = skip_comment(sql, at);
    }
}

/* The end of this word at `at`, in any case; `at` itself where another one stands there. */
static size_t skip_word(struct fm_span sql, size_t at, const char *word)
{
    size_t len = strlen(word);

    if (sql.len - at < len || (sql.len - at > len && is_word(sql.data[at + len])))
        return at;
    for (size_t i = 0; i < len; i++) {
        if ((sql.data[at + i] | 0x20) != (uint8_t)word[i])
            return at;
    }
    return at + len;
}

/* A statement may stand in parentheses; what else does is a list of options. */
static bool is_option_list(struct fm_span sql, size_t at)
{
    static const char *const words[] = {"select", "with",  "from",   "values",
                                        "table",  "pivot", "unpivot"};

    while (at < sql.len && sql.data[at] == '(')
        at = skip_blanks(sql, at + 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (skip_word(sql, at, words[i]) != at)
            return false;
    }
    return true;
}

enum fm_status fm_explain_read(struct fm_span sql, enum fm_explain *explain, struct fm_buf *rest,
                               struct fm_error *err)
{
    size_t start = skip_blanks(sql, 0);
    size_t end = skip_word(sql, start, "explain");

    *explain = FM_EXPLAIN_NONE;
    if (end == start)
        return FM_OK;
    size_t next = skip_blanks(sql, end);
    size_t analyze = skip_word(sql, next, "analyze");
    if (analyze == next)
        analyze = skip_word(sql, next, "analyse");
    bool runs = analyze != next;
    if (runs)
        next = skip_blanks(sql, analyze);
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
