#include "node/pg/copy.h"

#include "node/pg/statement.h"

#include <stdio.h>
#include <strings.h>

/* ---- The statement --------------------------------------------------------------------------- */

struct reader {
    struct fm_cursor at;
    struct fm_pg_token token;
    struct fm_pg_copy *copy;
    bool has_null;
    struct fm_error *err;
};

static void advance(struct reader *r)
{
    r->token = fm_pg_token_next(&r->at);
}

static bool accept(struct reader *r, const char *word)
{
    bool is = fm_pg_token_is(&r->token, word);

    if (is)
        advance(r);
    return is;
}

static enum fm_status syntax(struct reader *r)
{
    if (r->token.kind == FM_PG_END)
        return fm_fail(r->err, FM_INVALID, "syntax error at end of input");
    return fm_fail(r->err, FM_INVALID, "syntax error at or near \"%.*s\"",
                   (int)(r->token.text.len < 64 ? r->token.text.len : 64),
                   (const char *)r->token.text.data);
}

/* What stands in the parentheses at hand, and on behind them. */
static enum fm_status take_parentheses(struct reader *r, struct fm_span *inside)
{
    const uint8_t *begin = r->token.text.data + 1, *end = begin;

    for (unsigned depth = 0; r->token.kind != FM_PG_END && r->token.kind != FM_PG_OPEN;) {
        depth += fm_pg_token_is(&r->token, "(");
        depth -= fm_pg_token_is(&r->token, ")");
        end = r->token.text.data;
        advance(r);
        if (depth == 0) {
            *inside = fm_span(begin, (size_t)(end - begin));
            return FM_OK;
        }
    }
    return syntax(r);
}

/* domain.table [(columns)] as a query. */
static enum fm_status take_table(struct reader *r)
{
    const uint8_t *begin = r->token.text.data, *end = begin;
    struct fm_span columns = fm_span("*", 1);
    enum fm_status status = FM_OK;

    do {
        if (r->token.kind != FM_PG_WORD && r->token.kind != FM_PG_NAME)
            return syntax(r);
        end = r->token.text.data + r->token.text.len;
        advance(r);
    } while (accept(r, "."));
    if (fm_pg_token_is(&r->token, "("))
        status = take_parentheses(r, &columns);
    fm_buf_put_str(&r->copy->query, "SELECT ");
    fm_buf_put_span(&r->copy->query, columns);
    fm_buf_put_str(&r->copy->query, " FROM ");
    fm_buf_put(&r->copy->query, begin, (size_t)(end - begin));
    return status;
}

static enum fm_status take_value(struct reader *r, char *out, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);

    if (r->token.kind == FM_PG_END || r->token.kind == FM_PG_SIGN ||
        fm_pg_token_value(&r->token, &value) != FM_OK || value.len >= size)
        return syntax(r);
    memcpy(out, value.len != 0 ? (const char *)value.data : "", value.len);
    out[value.len] = '\0';
    advance(r);
    return FM_OK;
}

static enum fm_status take_format(struct reader *r, const char *value)
{
    static const char *const names[] = {"text", "csv", "binary"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            r->copy->form = (enum fm_pg_copy_form)i;
            return FM_OK;
        }
    }
    return fm_fail(r->err, FM_INVALID, "COPY format \"%s\" not recognized", value);
}

/* One character that can stand between values or around them. */
static enum fm_status take_sign(struct reader *r, const char *name, const char *value, char *out)
{
    if (strlen(value) != 1 || strchr("\\.\r\n", value[0]) != NULL || (uint8_t)value[0] >= 0x80)
        return fm_fail(r->err, FM_INVALID, "COPY %s must be a single one-byte character", name);
    *out = value[0];
    return FM_OK;
}

static enum fm_status take_option(struct reader *r)
{
    char name[FM_NAME_MAX + 1], value[FM_NAME_MAX + 1] = "true";

    enum fm_status status = take_value(r, name, sizeof name);
    if (status == FM_OK && !fm_pg_token_is(&r->token, ",") && !fm_pg_token_is(&r->token, ")"))
        status = take_value(r, value, sizeof value);
    if (status != FM_OK)
        return status;
    if (strcmp(name, "format") == 0)
        return take_format(r, value);
    if (strcmp(name, "delimiter") == 0)
        return take_sign(r, name, value, &r->copy->delimiter);
    if (strcmp(name, "quote") == 0)
        return take_sign(r, name, value, &r->copy->quote);
    if (strcmp(name, "encoding") == 0 && strcasecmp(value, "utf8") == 0)
        return FM_OK;
    if (strcmp(name, "null") == 0) {
        memcpy(r->copy->null, value, sizeof value);
        r->has_null = true;
        return FM_OK;
    }
    if (strcmp(name, "header") != 0)
        return fm_fail(r->err, FM_UNSUPPORTED, "COPY option \"%s\" is not supported", name);
    r->copy->has_header =
        strcmp(value, "true") == 0 || strcmp(value, "on") == 0 || strcmp(value, "1") == 0;
    bool is_off =
        strcmp(value, "false") == 0 || strcmp(value, "off") == 0 || strcmp(value, "0") == 0;
    return r->copy->has_header || is_off
               ? FM_OK
               : fm_fail(r->err, FM_INVALID, "header requires a Boolean value");
}

static enum fm_status take_options(struct reader *r)
{
    enum fm_status status = FM_OK;

    (void)accept(r, "WITH");
    if (!accept(r, "(")) { /* As before PostgreSQL 9. */
        if (accept(r, "BINARY"))
            r->copy->form = FM_PG_COPY_BINARY;
        else if (accept(r, "CSV"))
            r->copy->form = FM_PG_COPY_CSV;
        r->copy->has_header = accept(r, "HEADER");
        return FM_OK;
    }
    do
        status = take_option(r);
    while (status == FM_OK && accept(r, ","));
    return status != FM_OK || accept(r, ")") ? status : syntax(r);
}

/* What was not said, and what does not go together. */
static enum fm_status complete(struct reader *r)
{
    struct fm_pg_copy *copy = r->copy;
    bool is_csv = copy->form == FM_PG_COPY_CSV;

    if (copy->form == FM_PG_COPY_BINARY &&
        (copy->has_header || copy->delimiter != '\0' || r->has_null))
        return fm_fail(r->err, FM_INVALID,
                       "cannot specify HEADER, DELIMITER or NULL in BINARY mode");
    if (!is_csv && copy->quote != '\0')
        return fm_fail(r->err, FM_INVALID, "COPY quote available only in CSV mode");
    if (copy->delimiter == '\0')
        copy->delimiter = is_csv ? ',' : '\t';
    if (copy->quote == '\0')
        copy->quote = '"';
    if (is_csv && copy->quote == copy->delimiter)
        return fm_fail(r->err, FM_INVALID, "COPY delimiter and quote must be different");
    if (!r->has_null)
        (void)snprintf(copy->null, sizeof copy->null, "%s", is_csv ? "" : "\\N");
    return fm_buf_status(&copy->query);
}

enum fm_status fm_pg_copy_read(struct fm_span sql, struct fm_pg_copy *out, struct fm_error *err)
{
    struct reader r = {.at = fm_cursor(sql), .copy = out, .err = err};
    enum fm_status status = FM_OK;
    struct fm_span query;

    *out = (struct fm_pg_copy){.query = FM_BUF_INIT(FM_PG_SQL_BYTES_MAX)};
    advance(&r); /* COPY, */
    advance(&r); /* and what it begins with. */
    if (!fm_pg_token_is(&r.token, "(")) {
        status = take_table(&r);
    } else if ((status = take_parentheses(&r, &query)) == FM_OK) {
        fm_buf_put_span(&out->query, query);
    }
    if (status != FM_OK)
        return status;
    if (fm_pg_token_is(&r.token, "FROM"))
        return fm_fail(err, FM_UNSUPPORTED, "COPY FROM is not supported yet");
    if (!accept(&r, "TO"))
        return syntax(&r);
    if (!accept(&r, "STDOUT"))
        return fm_fail(err, FM_UNSUPPORTED, "a node writes no files: COPY goes TO STDOUT");
    status = take_options(&r);
    if (status == FM_OK && r.token.kind != FM_PG_END)
        status = syntax(&r);
    return status == FM_OK ? complete(&r) : status;
}

void fm_pg_copy_deinit(struct fm_pg_copy *copy)
{
    fm_buf_free(&copy->query);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void put_text(const struct fm_pg_copy *copy, struct fm_span value, struct fm_buf *out)
{
    static const char from[] = "\b\f\n\r\t\v\\", to[] = "bfnrtv\\";

    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        const char *at = c != 0 ? strchr(from, c) : NULL;
        if (at != NULL || c == (uint8_t)copy->delimiter)
            fm_buf_put_u8(out, '\\');
        fm_buf_put_u8(out, at != NULL ? (uint8_t)to[at - from] : c);
    }
}

static void put_csv(const struct fm_pg_copy *copy, uint32_t column, struct fm_span value,
                    struct fm_buf *out)
{
    bool is_quoted = fm_span_equal(value, fm_span_str(copy->null)) ||
                     (column == 0 && fm_span_equal(value, fm_span_str("\\.")));

    for (size_t i = 0; i < value.len && !is_quoted; i++)
        is_quoted = value.data[i] == (uint8_t)copy->delimiter ||
                    value.data[i] == (uint8_t)copy->quote || value.data[i] == '\n' ||
                    value.data[i] == '\r';
    if (!is_quoted) {
        fm_buf_put_span(out, value);
        return;
    }
    fm_buf_put_u8(out, (uint8_t)copy->quote);
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == (uint8_t)copy->quote)
            fm_buf_put_u8(out, (uint8_t)copy->quote);
        fm_buf_put_u8(out, value.data[i]);
    }
    fm_buf_put_u8(out, (uint8_t)copy->quote);
}

void fm_pg_copy_put(const struct fm_pg_copy *copy, uint32_t column, bool is_null,
                    struct fm_span value, struct fm_buf *out)
{
    if (column != 0)
        fm_buf_put_u8(out, (uint8_t)copy->delimiter);
    if (is_null)
        fm_buf_put_str(out, copy->null);
    else if (copy->form == FM_PG_COPY_CSV)
        put_csv(copy, column, value, out);
    else
        put_text(copy, value, out);
}
