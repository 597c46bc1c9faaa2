#include "core/sql_text.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool fm_sql_is_word(uint8_t c)
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

size_t fm_sql_skip_blanks(struct fm_span sql, size_t at)
{
    for (;;) {
        while (at < sql.len && is_blank(sql.data[at]))
            at++;
        if (at == sql.len || !(starts(sql, at, "--") || starts(sql, at, "/*")))
            return at;
        at = skip_comment(sql, at);
    }
}

size_t fm_sql_skip_word(struct fm_span sql, size_t at, const char *word)
{
    size_t len = strlen(word);

    if (sql.len - at < len || (sql.len - at > len && fm_sql_is_word(sql.data[at + len])))
        return at;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = sql.data[at + i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)word[i])
            return at;
    }
    return at + len;
}

/* Behind the closing `quote`, which stands for itself when doubled, or behind a backslash. */
static size_t skip_quotes(struct fm_span sql, size_t at, uint8_t quote, bool has_escapes)
{
    for (at++; at < sql.len; at++) {
        if (has_escapes && sql.data[at] == '\\')
            at++;
        else if (sql.data[at] == quote && (at + 1 == sql.len || sql.data[at + 1] != quote))
            return at + 1;
        else if (sql.data[at] == quote)
            at++;
    }
    return sql.len;
}

/* $$..$$ or $tag$..$tag$; a parameter ($1) is none. */
static size_t skip_dollars(struct fm_span sql, size_t at)
{
    size_t end = at + 1;

    if (end < sql.len && sql.data[end] >= '0' && sql.data[end] <= '9')
        return at;
    while (end < sql.len && sql.data[end] != '$' && fm_sql_is_word(sql.data[end]))
        end++;
    if (end == sql.len || sql.data[end] != '$')
        return at;
    size_t len = end + 1 - at;
    for (size_t i = end + 1; i + len <= sql.len; i++)
        if (memcmp(sql.data + i, sql.data + at, len) == 0)
            return i + len;
    return sql.len;
}

size_t fm_sql_skip_quoted(struct fm_span sql, size_t at)
{
    if (at >= sql.len)
        return at;
    uint8_t c = sql.data[at];
    if (c == '\'' || c == '"')
        return skip_quotes(sql, at, c, false);
    if ((c | 0x20) == 'e' && at + 1 < sql.len && sql.data[at + 1] == '\'')
        return skip_quotes(sql, at + 1, '\'', true);
    return c == '$' ? skip_dollars(sql, at) : at;
}

size_t fm_sql_statement_end(struct fm_span sql, size_t at)
{
    while (at < sql.len) {
        size_t next = fm_sql_skip_blanks(sql, at);
        if (next == at)
            next = fm_sql_skip_quoted(sql, at);
        if (next == at && sql.data[at] == ';')
            return at;
        /* A whole word: an e or a $ within it begins no quote. */
        if (next == at)
            while (next < sql.len && fm_sql_is_word(sql.data[next]))
                next++;
        at = next > at ? next : at + 1;
    }
    return sql.len;
}
