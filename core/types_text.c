/* The text form of types: printing, and a parser that also takes the names that PostgreSQL and
 * DuckDB use. Where a name means different widths (int8 is 8 bytes there), ours stands: what
 * fm_type_print() writes must read back. */
#include "core/types.h"

#include "core/assert.h"
#include "core/limits.h"

#include <stdio.h>
#include <strings.h>

/* ---- Printing ------------------------------------------------------------------------------ */

static bool is_word_byte(uint8_t c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool is_plain_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!is_word_byte((uint8_t)*c, c == name))
            return false;
    return name[0] != '\0';
}

static void print_quoted(struct fm_buf *out, const char *text, char quote)
{
    fm_buf_put_u8(out, (uint8_t)quote);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == quote)
            fm_buf_put_u8(out, (uint8_t)quote);
        fm_buf_put_u8(out, (uint8_t)*c);
    }
    fm_buf_put_u8(out, (uint8_t)quote);
}

static void print_parts(struct fm_buf *out, const struct fm_type *type)
{
    uint32_t count = type->kind == FM_KIND_ENUM ? type->label_count : type->child_count;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            fm_buf_put_str(out, type->kind == FM_KIND_ENUM ? "," : ", ");
        if (type->kind == FM_KIND_ENUM) {
            print_quoted(out, type->labels[i], '\'');
            continue;
        }
        if (type->kind == FM_KIND_STRUCT) {
            if (is_plain_name(type->labels[i]))
                fm_buf_put_str(out, type->labels[i]);
            else
                print_quoted(out, type->labels[i], '"');
            fm_buf_put_u8(out, ' ');
        }
        fm_type_print(out, &type->children[i]);
    }
}

void fm_type_print(struct fm_buf *out, const struct fm_type *type)
{
    fm_buf_put_str(out, fm_kind_text(type->kind));
    if (type->kind == FM_KIND_DECIMAL) {
        fm_buf_printf(out, "(%u,%u)", (unsigned)type->precision, (unsigned)type->scale);
    } else if (type->kind == FM_KIND_ENUM || fm_type_is_nested(type)) {
        fm_buf_put_u8(out, '(');
        print_parts(out, type);
        fm_buf_put_u8(out, ')');
    }
}

/* ---- Parsing ------------------------------------------------------------------------------- */

struct alias {
    const char *name;
    enum fm_kind kind;
};

static const struct alias aliases[] = {
    {"bool", FM_KIND_BOOLEAN},       {"logical", FM_KIND_BOOLEAN}, {"tinyint", FM_KIND_INT8},
    {"int1", FM_KIND_INT8},          {"smallint", FM_KIND_INT16},  {"int2", FM_KIND_INT16},
    {"short", FM_KIND_INT16},        {"integer", FM_KIND_INT32},   {"int", FM_KIND_INT32},
    {"int4", FM_KIND_INT32},         {"signed", FM_KIND_INT32},    {"bigint", FM_KIND_INT64},
    {"long", FM_KIND_INT64},         {"oid", FM_KIND_INT64},       {"utinyint", FM_KIND_UINT8},
    {"usmallint", FM_KIND_UINT16},   {"uinteger", FM_KIND_UINT32}, {"ubigint", FM_KIND_UINT64},
    {"int128", FM_KIND_HUGEINT},     {"real", FM_KIND_FLOAT},      {"float4", FM_KIND_FLOAT},
    {"float8", FM_KIND_DOUBLE},      {"numeric", FM_KIND_DECIMAL}, {"dec", FM_KIND_DECIMAL},
    {"text", FM_KIND_VARCHAR},       {"string", FM_KIND_VARCHAR},  {"char", FM_KIND_VARCHAR},
    {"character", FM_KIND_VARCHAR},  {"bpchar", FM_KIND_VARCHAR},  {"name", FM_KIND_VARCHAR},
    {"bytea", FM_KIND_BLOB},         {"binary", FM_KIND_BLOB},     {"varbinary", FM_KIND_BLOB},
    {"datetime", FM_KIND_TIMESTAMP}, {"guid", FM_KIND_UUID},       {"jsonb", FM_KIND_JSON},
    {"row", FM_KIND_STRUCT},         {"array", FM_KIND_LIST},
};

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_MARK };

struct parser {
    struct fm_span text;
    size_t at;    /* Behind the current token. */
    size_t start; /* Of the current token. */
    enum token_kind token;
    struct fm_span word; /* The token without quotes; doubled quotes are still doubled. */
    uint32_t nodes_left;
    struct fm_error *err;
};

static enum fm_status expected(const struct parser *p, const char *what)
{
    return fm_fail(p->err, FM_MALFORMED, "type, position %zu: expected %s", p->start + 1, what);
}

static bool at_quote(const struct parser *p, size_t at, uint8_t quote)
{
    return at < p->text.len && p->text.data[at] == quote;
}

static enum fm_status next_quoted(struct parser *p, uint8_t quote)
{
    size_t from = ++p->at;
    for (;; p->at++) {
        if (p->at == p->text.len)
            return expected(p, "a closing quote");
        if (p->text.data[p->at] == 0)
            return expected(p, "text without a zero byte");
        if (p->text.data[p->at] != quote)
            continue;
        if (!at_quote(p, p->at + 1, quote))
            break;
        p->at++;
    }
    p->token = quote == '"' ? TOKEN_NAME : TOKEN_STRING;
    p->word = fm_span(p->text.data + from, p->at - from);
    p->at++;
    return FM_OK;
}

static enum fm_status next(struct parser *p)
{
    while (p->at < p->text.len && memchr(" \t\r\n", p->text.data[p->at], 4) != NULL)
        p->at++;
    p->start = p->at;
    if (p->at == p->text.len) {
        p->token = TOKEN_END;
        p->word = fm_span("", 0);
        return FM_OK;
    }
    uint8_t c = p->text.data[p->at];
    if (c == '"' || c == '\'')
        return next_quoted(p, c);
    if (is_word_byte(c, true)) {
        while (p->at < p->text.len && is_word_byte(p->text.data[p->at], false))
            p->at++;
        p->token = TOKEN_WORD;
    } else if (c >= '0' && c <= '9') {
        while (p->at < p->text.len && p->text.data[p->at] >= '0' && p->text.data[p->at] <= '9')
            p->at++;
        p->token = TOKEN_NUMBER;
    } else {
        p->at++;
        p->token = TOKEN_MARK;
    }
    p->word = fm_span(p->text.data + p->start, p->at - p->start);
    return FM_OK;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token == TOKEN_WORD && p->word.len == strlen(word) &&
           strncasecmp((const char *)p->word.data, word, p->word.len) == 0;
}

static bool is_mark(const struct parser *p, char mark)
{
    return p->token == TOKEN_MARK && p->word.data[0] == (uint8_t)mark;
}

static enum fm_status take_mark(struct parser *p, char mark)
{
    char what[4] = {'\'', mark, '\'', '\0'};
    return is_mark(p, mark) ? next(p) : expected(p, what);
}

/* The words in order, all or (when the first is another) none. */
static enum fm_status take_words(struct parser *p, const char *const *words, bool *taken)
{
    *taken = is_word(p, words[0]);
    for (uint32_t i = 0; *taken && words[i] != NULL; i++) {
        if (!is_word(p, words[i]))
            return expected(p, words[i]);
        enum fm_status status = next(p);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status take_number(struct parser *p, uint32_t max, uint32_t *out)
{
    uint32_t value = 0;
    if (p->token != TOKEN_NUMBER)
        return expected(p, "a number");
    for (size_t i = 0; i < p->word.len; i++) {
        value = value * 10 + (uint32_t)(p->word.data[i] - '0');
        if (value > max)
            return expected(p, "a smaller number");
    }
    *out = value;
    return next(p);
}

static bool find_kind(const struct parser *p, enum fm_kind *out)
{
    for (enum fm_kind kind = FM_KIND_BOOLEAN; kind <= FM_KIND_MAP; kind++) {
        if (is_word(p, fm_kind_text(kind))) {
            *out = kind;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (is_word(p, aliases[i].name)) {
            *out = aliases[i].kind;
            return true;
        }
    }
    return false;
}

/* A copy of the current token with its doubled quotes made single. */
static enum fm_status take_label(struct parser *p, char **out)
{
    uint8_t quote = p->token == TOKEN_NAME ? '"' : '\'';
    bool quoted = p->token != TOKEN_WORD;
    char *label = malloc(p->word.len + 1);
    if (label == NULL)
        return FM_NOMEM;
    size_t len = 0;
    for (size_t i = 0; i < p->word.len; i++) {
        label[len++] = (char)p->word.data[i];
        if (quoted && p->word.data[i] == quote)
            i++;
    }
    label[len] = '\0';
    enum fm_status status = next(p);
    if (status != FM_OK) {
        free(label);
        return status;
    }
    *out = label;
    return FM_OK;
}

/* Room for one more child and label, doubled as they come: nothing counts them beforehand. */
static enum fm_status grow_parts(struct fm_type *type, uint32_t count, bool children)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return FM_OK;
    size_t room = count == 0 ? 1 : (size_t)count * 2;
    char **labels = realloc(type->labels, room * sizeof *labels);
    if (labels == NULL)
        return FM_NOMEM;
    type->labels = labels;
    if (!children)
        return FM_OK;
    struct fm_type *grown = realloc(type->children, room * sizeof *grown);
    if (grown == NULL)
        return FM_NOMEM;
    type->children = grown;
    return FM_OK;
}

static enum fm_status parse_enum(struct parser *p, struct fm_type *out)
{
    enum fm_status status = take_mark(p, '(');
    while (status == FM_OK) {
        if (p->token != TOKEN_STRING)
            return expected(p, "a value in single quotes");
        if (out->label_count == FM_ENUM_VALUES_MAX)
            return fm_fail(p->err, FM_LIMIT, "an enum has %u values at most", FM_ENUM_VALUES_MAX);
        status = grow_parts(out, out->label_count, false);
        if (status == FM_OK)
            status = take_label(p, &out->labels[out->label_count]);
        if (status != FM_OK)
            return status;
        out->label_count++;
        if (!is_mark(p, ','))
            break;
        status = next(p);
    }
    return status == FM_OK ? take_mark(p, ')') : status;
}

static enum fm_status parse_type(struct parser *p, uint32_t depth, struct fm_type *out);

static enum fm_status parse_struct(struct parser *p, uint32_t depth, struct fm_type *out)
{
    enum fm_status status = take_mark(p, '(');
    while (status == FM_OK) {
        if (p->token != TOKEN_WORD && p->token != TOKEN_NAME)
            return expected(p, "a field's name");
        status = grow_parts(out, out->child_count, true);
        if (status == FM_OK)
            status = take_label(p, &out->labels[out->label_count]);
        if (status != FM_OK)
            return status;
        out->label_count++;
        out->children[out->child_count] = (struct fm_type){0};
        status = parse_type(p, depth, &out->children[out->child_count++]);
        if (status != FM_OK || !is_mark(p, ','))
            break;
        status = next(p);
    }
    return status == FM_OK ? take_mark(p, ')') : status;
}

/* list(x), map(k, v). */
static enum fm_status parse_children(struct parser *p, uint32_t depth, struct fm_type *out)
{
    enum fm_status status = take_mark(p, '(');
    if (status == FM_OK)
        status = fm_type_reserve(out, out->kind == FM_KIND_MAP ? 2 : 1, 0);
    for (uint32_t i = 0; status == FM_OK && i < out->child_count; i++) {
        if (i > 0)
            status = take_mark(p, ',');
        if (status == FM_OK)
            status = parse_type(p, depth, &out->children[i]);
    }
    return status == FM_OK ? take_mark(p, ')') : status;
}

static enum fm_status parse_decimal(struct parser *p, struct fm_type *out)
{
    uint32_t precision = 18, scale = 3; /* DuckDB's, when none are given. */
    if (is_mark(p, '(')) {
        enum fm_status status = next(p);
        if (status == FM_OK)
            status = take_number(p, 38, &precision);
        scale = 0;
        if (status == FM_OK && is_mark(p, ',')) {
            status = next(p);
            if (status == FM_OK)
                status = take_number(p, precision, &scale);
        }
        if (status == FM_OK)
            status = precision >= 1 ? take_mark(p, ')') : expected(p, "a precision of 1 or more");
        if (status != FM_OK)
            return status;
    }
    out->precision = (uint8_t)precision;
    out->scale = (uint8_t)scale;
    return FM_OK;
}

/* "(6)" behind times, "(20)" behind texts: taken, and of no effect, as in DuckDB. */
static enum fm_status skip_modifier(struct parser *p)
{
    uint32_t ignored;
    if (!is_mark(p, '('))
        return FM_OK;
    enum fm_status status = next(p);
    if (status == FM_OK)
        status = take_number(p, 1u << 30, &ignored);
    return status == FM_OK ? take_mark(p, ')') : status;
}

/* The words that may follow a kind's first one. */
static enum fm_status parse_suffix(struct parser *p, bool is_character, struct fm_type *out)
{
    static const char *const precision[] = {"precision", NULL};
    static const char *const varying[] = {"varying", NULL};
    static const char *const with[] = {"with", "time", "zone", NULL};
    static const char *const without[] = {"without", "time", "zone", NULL};
    bool taken = false;
    enum fm_status status = FM_OK;

    if (out->kind == FM_KIND_DOUBLE)
        return take_words(p, precision, &taken);
    if (is_character)
        status = take_words(p, varying, &taken);
    bool is_time = out->kind == FM_KIND_TIME || out->kind == FM_KIND_TIMESTAMP;
    if (status == FM_OK && (is_time || out->kind == FM_KIND_TIMESTAMPTZ || fm_type_is_bytes(out)))
        status = skip_modifier(p);
    if (status == FM_OK && is_time)
        status = take_words(p, without, &taken);
    if (status == FM_OK && !taken && out->kind == FM_KIND_TIMESTAMP) {
        status = take_words(p, with, &taken);
        if (taken)
            out->kind = FM_KIND_TIMESTAMPTZ;
    }
    return status;
}

static enum fm_status parse_parts(struct parser *p, uint32_t depth, bool is_character,
                                  struct fm_type *out)
{
    switch (out->kind) {
    case FM_KIND_DECIMAL:
        return parse_decimal(p, out);
    case FM_KIND_ENUM:
        return parse_enum(p, out);
    case FM_KIND_STRUCT:
        return parse_struct(p, depth + 1, out);
    case FM_KIND_LIST:
    case FM_KIND_MAP:
        return parse_children(p, depth + 1, out);
    default:
        return parse_suffix(p, is_character, out);
    }
}

/* "x[]": a list around what was read. */
static enum fm_status wrap_in_list(struct parser *p, struct fm_type *out)
{
    enum fm_status status = next(p);
    if (status == FM_OK)
        status = is_mark(p, ']') ? next(p) : expected(p, "']': arrays have no fixed size");
    struct fm_type list = {.kind = FM_KIND_LIST};
    if (status == FM_OK)
        status = fm_type_reserve(&list, 1, 0);
    if (status != FM_OK)
        return status;
    list.children[0] = *out;
    *out = list;
    return FM_OK;
}

static enum fm_status parse_type(struct parser *p, uint32_t depth, struct fm_type *out)
{
    uint32_t wraps = 0;
    if (p->token != TOKEN_WORD || !find_kind(p, &out->kind))
        return expected(p, "the name of a type");
    if (p->nodes_left-- == 0) {
        p->nodes_left = 0;
        return fm_fail(p->err, FM_LIMIT, "more than %u types", FM_TYPE_NODES_MAX);
    }
    if (fm_type_is_nested(out) && depth == FM_TYPE_DEPTH_MAX)
        return fm_fail(p->err, FM_LIMIT, "types are nested deeper than %u", FM_TYPE_DEPTH_MAX);
    bool is_character = is_word(p, "character") || is_word(p, "char");
    enum fm_status status = next(p);
    if (status == FM_OK)
        status = parse_parts(p, depth, is_character, out);
    while (status == FM_OK && is_mark(p, '[')) {
        if (wraps++ == FM_TYPE_DEPTH_MAX)
            return fm_fail(p->err, FM_LIMIT, "types are nested deeper than %u", FM_TYPE_DEPTH_MAX);
        status = wrap_in_list(p, out);
    }
    return status;
}

enum fm_status fm_type_parse(struct fm_span text, struct fm_type *out, struct fm_error *err)
{
    FM_AUTO(fm_type_deinit) struct fm_type type = {0};
    struct parser p = {.text = text, .nodes_left = FM_TYPE_NODES_MAX, .err = err};
    enum fm_status status = next(&p);
    if (status == FM_OK)
        status = parse_type(&p, 0, &type);
    if (status == FM_OK && p.token != TOKEN_END)
        status = expected(&p, "the end");
    if (status == FM_OK)
        status = fm_type_check(&type, NULL, err);
    if (status == FM_NOMEM)
        return fm_fail(err, status, "out of memory");
    if (status != FM_OK)
        return status;
    *out = type;
    type = (struct fm_type){0};
    return FM_OK;
}
