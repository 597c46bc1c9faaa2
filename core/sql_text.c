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

/* Behind the comment at `at`; those in slashes and stars may hold others. False: not closed. */
static bool pass_comment(struct fm_span sql, size_t *at)
{
    size_t depth = 0;

    if (starts(sql, *at, "--")) {
        while (*at < sql.len && sql.data[*at] != '\n')
            ++*at;
        return true;
    }
    while (*at < sql.len) {
        if (starts(sql, *at, "/*")) {
            depth++;
            *at += 2;
        } else if (starts(sql, *at, "*/")) {
            *at += 2;
            if (--depth == 0)
                return true;
        } else {
            ++*at;
        }
    }
    return false;
}

bool fm_sql_pass_blanks(struct fm_span sql, size_t *at)
{
    for (;;) {
        while (*at < sql.len && is_blank(sql.data[*at]))
            ++*at;
        if (*at == sql.len || !(starts(sql, *at, "--") || starts(sql, *at, "/*")))
            return true;
        if (!pass_comment(sql, at))
            return false;
    }
}

size_t fm_sql_skip_blanks(struct fm_span sql, size_t at)
{
    (void)fm_sql_pass_blanks(sql, &at); /* To the text's end, where it is not closed. */
    return at;
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
static bool pass_quotes(struct fm_span sql, size_t *at, uint8_t quote, bool has_escapes)
{
    for (++*at; *at < sql.len; ++*at) {
        uint8_t c = sql.data[*at];
        bool is_escape = has_escapes && c == '\\';
        bool is_doubled = c == quote && *at + 1 < sql.len && sql.data[*at + 1] == quote;
        if (is_escape || is_doubled) {
            ++*at;
        } else if (c == quote) {
            ++*at;
            return true;
        }
    }
    *at = sql.len;
    return false;
}

/* $$..$$ or $tag$..$tag$; a parameter ($1) is none. */
static bool pass_dollars(struct fm_span sql, size_t *at)
{
    size_t begin = *at, end = begin + 1;

    if (end < sql.len && sql.data[end] >= '0' && sql.data[end] <= '9')
        return true;
    while (end < sql.len && sql.data[end] != '$' && fm_sql_is_word(sql.data[end]))
        end++;
    if (end == sql.len || sql.data[end] != '$')
        return true;
    size_t len = end + 1 - begin;
    for (*at = end + 1; *at + len <= sql.len; ++*at) {
        if (memcmp(sql.data + *at, sql.data + begin, len) == 0) {
            *at += len;
            return true;
        }
    }
    *at = sql.len;
    return false;
}

bool fm_sql_pass_quoted(struct fm_span sql, size_t *at)
{
    if (*at >= sql.len)
        return true;
    uint8_t c = sql.data[*at];
    if (c == '\'' || c == '"')
        return pass_quotes(sql, at, c, false);
    if ((c | 0x20) == 'e' && *at + 1 < sql.len && sql.data[*at + 1] == '\'') {
        ++*at;
        return pass_quotes(sql, at, '\'', true);
    }
    return c == '$' ? pass_dollars(sql, at) : true;
}

size_t fm_sql_skip_quoted(struct fm_span sql, size_t at)
{
    (void)fm_sql_pass_quoted(sql, &at); /* To the text's end, where it is not closed. */
    return at;
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
