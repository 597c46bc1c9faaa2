#include "node/pg/statement.h"

#include "core/limits.h"
#include "core/sql_text.h"

#include <ctype.h>
#include <strings.h>

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* Behind what begins at `at`, which is no blank and not quoted. */
static enum fm_pg_token_kind take_plain(struct fm_span sql, size_t *at)
{
    uint8_t c = sql.data[*at];
    enum fm_pg_token_kind kind = FM_PG_WORD;

    if (c == '$' && *at + 1 < sql.len && isdigit(sql.data[*at + 1])) {
        for (++*at; *at < sql.len && isdigit(sql.data[*at]);)
            ++*at;
        return FM_PG_PARAMETER;
    }
    if (isdigit(c)) {
        while (*at < sql.len &&
               (isalnum(sql.data[*at]) || sql.data[*at] == '.' || sql.data[*at] == '_'))
            ++*at;
        return FM_PG_NUMBER;
    }
    if (c == '$' || !fm_sql_is_word(c)) {
        kind = FM_PG_SIGN;
        ++*at;
    }
    while (kind == FM_PG_WORD && *at < sql.len && fm_sql_is_word(sql.data[*at]))
        ++*at;
    return kind;
}

struct fm_pg_token fm_pg_token_next(struct fm_cursor *at)
{
    struct fm_span sql = fm_span(at->at, fm_cursor_left(at));
    struct fm_pg_token token = {.kind = FM_PG_OPEN};
    size_t begin = 0;

    bool is_closed = fm_sql_pass_blanks(sql, &begin);
    size_t end = begin;
    if (is_closed && begin == sql.len) {
        token.kind = FM_PG_END;
    } else if (is_closed) {
        is_closed = fm_sql_pass_quoted(sql, &end);
        if (end == begin)
            token.kind = take_plain(sql, &end);
        else if (is_closed)
            token.kind = sql.data[begin] == '"' ? FM_PG_NAME : FM_PG_STRING;
        token.text = fm_span(sql.data + begin, end - begin);
    }
    if (end != 0) /* Nothing is added to NULL, not even 0. */
        at->at += end;
    return token;
}

bool fm_pg_token_is(const struct fm_pg_token *token, const char *word)
{
    return (token->kind == FM_PG_WORD || token->kind == FM_PG_SIGN) &&
           token->text.len == strlen(word) &&
           strncasecmp((const char *)token->text.data, word, token->text.len) == 0;
}

enum fm_status fm_pg_token_value(const struct fm_pg_token *token, struct fm_buf *out)
{
    struct fm_span text = token->text;

    if (token->kind == FM_PG_WORD) {
        for (size_t i = 0; i < text.len; i++)
            fm_buf_put_u8(out,
                          (uint8_t)(text.data[i] < 0x80 ? tolower(text.data[i]) : text.data[i]));
        return fm_buf_status(out);
    }
    if (token->kind == FM_PG_NUMBER) {
        fm_buf_put_span(out, text);
        return fm_buf_status(out);
    }
    if ((token->kind != FM_PG_STRING && token->kind != FM_PG_NAME) ||
        (text.data[0] != '\'' && text.data[0] != '"'))
        return FM_UNSUPPORTED;
    for (size_t i = 1; i + 1 < text.len; i++) {
        fm_buf_put_u8(out, text.data[i]);
        if (text.data[i] == text.data[0])
            i++;
    }
    return fm_buf_status(out);
}

/* ---- Statements ------------------------------------------------------------------------------ */

bool fm_pg_statement_next(struct fm_cursor *at, struct fm_span *out)
{
    const uint8_t *begin = NULL, *end = NULL;

    for (;;) {
        struct fm_pg_token token = fm_pg_token_next(at);
        bool is_end = token.kind == FM_PG_END;
        if (is_end || (token.kind == FM_PG_SIGN && token.text.data[0] == ';')) {
            if (begin == NULL && !is_end)
                continue;
            if (begin != NULL)
                *out = fm_span(begin, (size_t)(end - begin));
            return begin != NULL;
        }
        if (token.kind == FM_PG_OPEN) { /* The engine says what is wrong with it. */
            const uint8_t *from = begin != NULL ? begin : token.text.data;
            *out = from != NULL ? fm_span(from, (size_t)(at->end - from)) : fm_span("/*", 2);
            at->at = at->end;
            return true;
        }
        if (begin == NULL)
            begin = token.text.data;
        end = token.text.data + token.text.len;
    }
}

static const struct {
    const char *words[2];
    enum fm_pg_statement_kind kind;
} kinds[] = {
    {{"BEGIN", NULL}, FM_PG_BEGIN},
    {{"START", "TRANSACTION"}, FM_PG_BEGIN},
    {{"COMMIT", NULL}, FM_PG_COMMIT},
    {{"END", NULL}, FM_PG_COMMIT},
    {{"ROLLBACK", NULL}, FM_PG_ROLLBACK},
    {{"ABORT", NULL}, FM_PG_ROLLBACK},
    {{"SAVEPOINT", NULL}, FM_PG_SAVEPOINT},
    {{"RELEASE", NULL}, FM_PG_RELEASE},
    {{"SET", NULL}, FM_PG_SET},
    {{"SHOW", NULL}, FM_PG_SHOW},
    {{"RESET", NULL}, FM_PG_RESET},
    {{"DISCARD", NULL}, FM_PG_DISCARD},
    {{"DEALLOCATE", NULL}, FM_PG_DEALLOCATE},
    {{"DECLARE", NULL}, FM_PG_DECLARE},
    {{"FETCH", NULL}, FM_PG_FETCH},
    {{"MOVE", NULL}, FM_PG_MOVE},
    {{"CLOSE", NULL}, FM_PG_CLOSE_CURSOR},
    {{"COPY", NULL}, FM_PG_COPY},
    {{"INSERT", NULL}, FM_PG_INSERT},
    {{"LISTEN", NULL}, FM_PG_LISTEN},
    {{"UNLISTEN", NULL}, FM_PG_LISTEN},
    {{"NOTIFY", NULL}, FM_PG_LISTEN},
};

enum fm_pg_statement_kind fm_pg_statement_kind(struct fm_span statement)
{
    struct fm_cursor at = fm_cursor(statement);
    struct fm_pg_token first = fm_pg_token_next(&at);
    struct fm_pg_token second = fm_pg_token_next(&at);

    if (first.kind == FM_PG_END)
        return FM_PG_EMPTY;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!fm_pg_token_is(&first, kinds[i].words[0]) ||
            (kinds[i].words[1] != NULL && !fm_pg_token_is(&second, kinds[i].words[1])))
            continue;
        if (kinds[i].kind != FM_PG_ROLLBACK)
            return kinds[i].kind;
        if (fm_pg_token_is(&second, "WORK") || fm_pg_token_is(&second, "TRANSACTION"))
            second = fm_pg_token_next(&at);
        return fm_pg_token_is(&second, "TO") ? FM_PG_ROLLBACK_TO : FM_PG_ROLLBACK;
    }
    return FM_PG_QUERY_STATEMENT;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

/* n of $n; past every bound where it has more digits than that. */
static uint32_t number_of(const struct fm_pg_token *token)
{
    uint32_t number = 0;

    for (size_t i = 1; i < token->text.len && number <= FM_PG_PARAMETERS_MAX; i++)
        number = number * 10 + (uint32_t)(token->text.data[i] - '0');
    return number;
}

enum fm_status fm_pg_statement_parameters(struct fm_span statement, uint32_t *count,
                                          struct fm_error *err)
{
    struct fm_cursor at = fm_cursor(statement);
    struct fm_pg_token token;

    *count = 0;
    while ((token = fm_pg_token_next(&at)).kind != FM_PG_END && token.kind != FM_PG_OPEN) {
        if (token.kind != FM_PG_PARAMETER)
            continue;
        uint32_t number = number_of(&token);
        if (number == 0 || number > FM_PG_PARAMETERS_MAX)
            return fm_fail(err, number == 0 ? FM_INVALID : FM_LIMIT,
                           "there is no parameter $%.*s: they are numbered 1 to %u",
                           (int)(token.text.len > 12 ? 12 : token.text.len - 1),
                           (const char *)token.text.data + 1, FM_PG_PARAMETERS_MAX);
        if (number > *count)
            *count = number;
    }
    return FM_OK;
}

void fm_pg_statement_fill(struct fm_span statement, const struct fm_span *values, uint32_t count,
                          struct fm_buf *out)
{
    struct fm_cursor at = fm_cursor(statement);
    const uint8_t *done = statement.data;
    struct fm_pg_token token;

    while ((token = fm_pg_token_next(&at)).kind != FM_PG_END && token.kind != FM_PG_OPEN) {
        uint32_t number = token.kind == FM_PG_PARAMETER ? number_of(&token) : 0;
        if (number == 0 || number > count)
            continue;
        fm_buf_put(out, done, (size_t)(token.text.data - done));
        fm_buf_put_span(out, values[number - 1]);
        done = token.text.data + token.text.len;
    }
    if (statement.len != 0) /* Nothing is added to NULL, not even 0. */
        fm_buf_put(out, done, (size_t)(statement.data + statement.len - done));
}
