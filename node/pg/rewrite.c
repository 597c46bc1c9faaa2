#include "node/pg/rewrite.h"

#include "core/assert.h"
#include "core/limits.h"
#include "node/pg/catalog.h"
#include "node/pg/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DEPTH_MAX 200u
#define ARGUMENTS_MAX 8u

#define LOOKED_UP(what, column, key)                                                               \
    "(SELECT " what " FROM pg_catalog.fm_text WHERE fm_kind = " column " AND " key ")"
#define TEXT_OF(kind) LOOKED_UP("fm_text", "'" kind "'", "fm_oid = ($1) AND fm_sub = 0")
#define NO_TEXT "CAST(NULL AS VARCHAR)"
#define IS_THERE "(($1) IS NOT NULL)"

struct function {
    const char *name;
    const char *text; /* $n: its arguments, NULL where there are fewer. */
};

static const struct function functions[] = {
    {"pg_table_is_visible", IS_THERE},
    {"pg_type_is_visible", IS_THERE},
    {"pg_function_is_visible", IS_THERE},
    {"pg_get_userbyid", TEXT_OF("role")},
    {"format_type", "CASE WHEN ($1) = 1700 AND ($2) > 0 THEN 'numeric(' || ((($2) - 4) >> 16) || "
                    "',' || ((($2) - 4) & 65535) || ')' ELSE " TEXT_OF("type") " END"},
    {"pg_get_expr", "CAST(($1) AS VARCHAR)"},
    {"pg_get_indexdef", TEXT_OF("index")},
    {"pg_get_constraintdef", TEXT_OF("constraint")},
    {"pg_get_viewdef", NO_TEXT},
    {"pg_get_ruledef", NO_TEXT},
    {"pg_get_triggerdef", NO_TEXT},
    {"pg_get_functiondef", NO_TEXT},
    {"pg_get_function_result", NO_TEXT},
    {"pg_get_function_arguments", NO_TEXT},
    {"pg_get_function_identity_arguments", NO_TEXT},
    {"pg_get_function_sqlbody", NO_TEXT},
    {"pg_get_partkeydef", NO_TEXT},
    {"pg_tablespace_location", NO_TEXT},
    {"shobj_description", NO_TEXT},
    {"obj_description", LOOKED_UP("fm_text", "'pg_class'", "fm_oid = ($1) AND fm_sub = 0")},
    {"col_description", LOOKED_UP("fm_text", "'pg_class'", "fm_oid = ($1) AND fm_sub = ($2)")},
    {"pg_encoding_to_char", "'UTF8'"},
    {"getdatabaseencoding", "'UTF8'"},
    {"has_table_privilege", "true"},
    {"has_column_privilege", "true"},
    {"has_schema_privilege", "true"},
    {"has_database_privilege", "true"},
    {"pg_table_size", "CAST(NULL AS BIGINT)"},
    {"pg_relation_size", "CAST(NULL AS BIGINT)"},
    {"pg_total_relation_size", "CAST(NULL AS BIGINT)"},
    {"pg_database_size", "CAST(NULL AS BIGINT)"},
    {"pg_size_pretty", "CAST(($1) AS VARCHAR)"},
    {"pg_is_in_recovery", "false"},
    {"pg_relation_is_publishable", "false"},
    {"pg_partition_ancestors", "(SELECT CAST(($1) AS BIGINT) AS relid)"},
    {"quote_ident", "CASE WHEN regexp_full_match($1, '[a-z_][a-z0-9_$]*') THEN ($1) ELSE '\"' || "
                    "replace($1, '\"', '\"\"') || '\"' END"},
    {"array_upper", "len($1)"},
    {"array_remove", "($1)"},
    {"_pg_expandarray", "unnest(CAST(list_zip($1, range(1, len($1) + 1)) AS "
                        "STRUCT(x BIGINT, n BIGINT)[]))"},
    {"current_schema", NO_TEXT},
    {"current_schemas", "['pg_catalog']"},
    {"version", "'PostgreSQL 15.0 (Folkmoot)'"},
    {"current_database", "$d"},
    {"pg_backend_pid", "$p"},
    {"current_setting", "$s"},
};

struct cast {
    const char *type;
    const char *text;    /* $1: what is cast. */
    const char *literal; /* The same where that is a string; NULL: as `text`. */
};

#define OID_OF(kind, name) LOOKED_UP("fm_oid", "'" kind "'", "fm_text = " name)

static const struct cast casts[] = {
    {"regclass", TEXT_OF("relation"), OID_OF("relation", "replace($1, 'pg_catalog.', '')")},
    {"regtype", TEXT_OF("type"), OID_OF("type", "replace($1, 'pg_catalog.', '')")},
    {"regnamespace", TEXT_OF("namespace"), OID_OF("namespace", "$1")},
    {"regrole", TEXT_OF("role"), OID_OF("role", "$1")},
    {"regproc", NO_TEXT, NULL},
    {"regprocedure", NO_TEXT, NULL},
    {"oid", "CAST(($1) AS BIGINT)", NULL},
    {"name", "CAST(($1) AS VARCHAR)", NULL},
    {"char", "CAST(($1) AS VARCHAR)", NULL},
    {"text", "CAST(($1) AS VARCHAR)", NULL},
};

/* Columns that are arrays in PostgreSQL: always NULL here, or the numbers of key columns. */
static const char *const null_arrays[] = {"reloptions", "relacl",        "attacl",   "attoptions",
                                          "nspacl",     "attfdwoptions", "datacl",   "spcacl",
                                          "proacl",     "typacl",        "rolconfig"};
static const char *const key_arrays[] = {"indkey", "conkey", "confkey"};

struct frame {
    size_t start; /* In `out`, of the call or parenthesis. */
    const struct function *function;
    bool is_cast;
    size_t as; /* CAST: behind AS; 0: not yet. */
    uint32_t count;
    size_t arguments[ARGUMENTS_MAX]; /* Where each begins. */
};

struct rewriting {
    const struct pg_rewrite_facts *facts;
    struct fm_cursor at;
    const uint8_t *done; /* Of the text, copied so far. */
    struct fm_buf *out;
    size_t primary; /* In `out`: where the expression begins that a cast behind it means. */
    struct fm_pg_token before;
    bool is_like; /* `before` is the second sign of ~~. */
    uint32_t depth;
    struct frame frames[DEPTH_MAX];
    uint32_t changes;
    bool reads_catalog; /* Else its casts and columns mean what they say. */
};

static bool is_sign(const struct fm_pg_token *token, char sign)
{
    return token->kind == FM_PG_SIGN && token->text.data[0] == (uint8_t)sign;
}

static bool is_name(const struct fm_pg_token *token, const char *name)
{
    size_t len = strlen(name);

    if (token->kind == FM_PG_WORD)
        return token->text.len == len &&
               strncasecmp((const char *)token->text.data, name, len) == 0;
    return token->kind == FM_PG_NAME && token->text.len == len + 2 &&
           memcmp(token->text.data + 1, name, len) == 0;
}

static struct fm_pg_token peek(const struct fm_cursor *at, unsigned n)
{
    struct fm_cursor copy = *at;
    struct fm_pg_token token = {0};

    for (unsigned i = 0; i <= n; i++)
        token = fm_pg_token_next(&copy);
    return token;
}

static void skip(struct rewriting *r, unsigned count)
{
    struct fm_pg_token token = {0};

    for (unsigned i = 0; i < count; i++) {
        token = fm_pg_token_next(&r->at);
        if (token.kind == FM_PG_END || token.kind == FM_PG_OPEN)
            return; /* The engine will say what is missing. */
        r->done = token.text.data + token.text.len;
    }
    r->changes++;
}

static void emit(struct rewriting *r, const struct fm_pg_token *token)
{
    const uint8_t *end = token->text.data + token->text.len;

    if (token->kind == FM_PG_END || token->kind == FM_PG_OPEN)
        return;
    fm_buf_put(r->out, r->done, (size_t)(end - r->done));
    r->done = end;
    r->before = *token;
}

/* ---- Templates ------------------------------------------------------------------------------- */

static void put_literal(struct fm_buf *out, const char *text)
{
    fm_buf_put_u8(out, '\'');
    for (; text != NULL && *text != '\0'; text++) {
        if (*text == '\'')
            fm_buf_put_u8(out, '\'');
        fm_buf_put_u8(out, (uint8_t)*text);
    }
    fm_buf_put_u8(out, '\'');
}

static void put_setting(const struct rewriting *r, struct fm_span name, struct fm_buf *out)
{
    char text[FM_NAME_MAX + 1] = "";
    const char *value = NULL;

    if (name.len > 2 && name.len - 2 < sizeof text && name.data[0] == '\'') {
        memcpy(text, name.data + 1, name.len - 2);
        value = fm_pg_setting_get(r->facts->settings, text);
    }
    if (value != NULL)
        put_literal(out, value);
    else
        fm_buf_put_str(out, NO_TEXT);
}

static void put_template(const struct rewriting *r, const char *text, const struct fm_span *values,
                         uint32_t count, struct fm_buf *out)
{
    for (; *text != '\0'; text++) {
        uint32_t number = text[0] == '$' ? (uint32_t)(text[1] - '1') : UINT32_MAX;
        if (text[0] != '$' || text[1] == ']') {
            fm_buf_put_u8(out, (uint8_t)*text);
            continue;
        }
        text++;
        if (*text == 'd')
            put_literal(out, r->facts->database);
        else if (*text == 'p')
            fm_buf_printf(out, "%u", r->facts->process);
        else if (*text == 's')
            put_setting(r, count > 0 ? values[0] : fm_span(NULL, 0), out);
        else if (number < count)
            fm_buf_put_span(out, values[number]);
        else
            fm_buf_put_str(out, "NULL");
    }
}

/* What stands in `out` from `start` on becomes the template. */
static enum fm_status replace(struct rewriting *r, size_t start, const char *text,
                              const struct fm_span *values, uint32_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf made = FM_BUF_INIT(FM_SQL_BYTES_MAX);

    put_template(r, text, values, count, &made);
    if (fm_buf_status(&made) != FM_OK)
        return fm_buf_status(&made);
    fm_assert(start <= r->out->len);
    r->out->len = start;
    fm_buf_put_span(r->out, fm_buf_span(&made));
    r->primary = start;
    r->changes++;
    return FM_OK;
}

static struct fm_span trimmed(const struct rewriting *r, size_t from, size_t to)
{
    const uint8_t *data = r->out->data;

    to = to < r->out->len ? to : r->out->len;
    from = from < to ? from : to;
    while (from < to && (data[from] == ' ' || data[from] == '\n'))
        from++;
    while (to > from && (data[to - 1] == ' ' || data[to - 1] == '\n'))
        to--;
    return fm_span(data + from, to - from);
}

/* ---- Casts ----------------------------------------------------------------------------------- */

static const struct cast *find_cast(const struct fm_pg_token *type)
{
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++)
        if (is_name(type, casts[i].type))
            return &casts[i];
    return NULL;
}

static bool is_number(struct fm_span literal)
{
    bool digits = literal.len > 2;

    for (size_t i = 1; digits && i + 1 < literal.len; i++)
        digits = literal.data[i] >= '0' && literal.data[i] <= '9';
    return digits;
}

static enum fm_status cast_from(struct rewriting *r, size_t start, struct fm_span value,
                                const struct cast *cast)
{
    bool is_literal = value.len > 1 && value.data[0] == '\'' && cast->literal != NULL;

    if (is_literal && is_number(value))
        return replace(r, start, "CAST($1 AS BIGINT)", &value, 1);
    return replace(r, start, is_literal ? cast->literal : cast->text, &value, 1);
}

/* At the first colon of a cast. */
static enum fm_status take_cast(struct rewriting *r, const struct fm_pg_token *colon)
{
    struct fm_pg_token type = peek(&r->at, 1);
    unsigned tokens = 2;

    struct fm_pg_token point = peek(&r->at, 2);

    if (is_name(&type, "pg_catalog") && is_sign(&point, '.')) {
        type = peek(&r->at, 3);
        tokens = 4;
    }
    struct fm_pg_token behind = peek(&r->at, tokens);
    const struct cast *cast = r->reads_catalog && !is_sign(&behind, '[') ? find_cast(&type) : NULL;
    if (cast != NULL) {
        skip(r, tokens);
        r->before = type;
        return cast_from(r, r->primary, trimmed(r, r->primary, r->out->len), cast);
    }
    emit(r, colon);
    struct fm_pg_token second = fm_pg_token_next(&r->at);
    emit(r, &second);
    if (tokens == 4)
        skip(r, 2);
    if (r->reads_catalog &&
        is_name(&type, "char")) { /* Of a list: "char" is a type of PostgreSQL's own. */
        skip(r, 1);
        fm_buf_put_str(r->out, "VARCHAR");
    } else {
        type = fm_pg_token_next(&r->at);
        emit(r, &type);
    }
    return fm_buf_status(r->out);
}

/* ---- Parentheses ----------------------------------------------------------------------------- */

static bool is_word_of(const struct fm_pg_token *token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_name(token, words[i]))
            return true;
    return false;
}

/* A parenthesis behind these is no call. */
static bool is_keyword(const struct fm_pg_token *token)
{
    static const char *const words[] = {
        "in", "and", "or",     "not", "on", "where", "select", "from",  "when", "then",   "else",
        "as", "any", "values", "all", "by", "join",  "having", "using", "is",   "lateral"};

    return token->kind != FM_PG_WORD || is_word_of(token, words, sizeof words / sizeof words[0]);
}

static enum fm_status open_frame(struct rewriting *r, const struct fm_pg_token *sign)
{
    bool is_call = is_sign(sign, '[') || !is_keyword(&r->before);

    if (r->depth == DEPTH_MAX)
        return FM_LIMIT;
    struct frame *frame = &r->frames[r->depth++];
    *frame = (struct frame){.start = is_call ? r->primary : SIZE_MAX};
    for (size_t i = 0; is_sign(sign, '(') && i < sizeof functions / sizeof functions[0]; i++)
        if (is_name(&r->before, functions[i].name))
            frame->function = &functions[i];
    frame->is_cast = is_sign(sign, '(') && is_name(&r->before, "cast");
    emit(r, sign);
    if (frame->start == SIZE_MAX)
        frame->start = r->out->len - 1;
    frame->count = 1;
    frame->arguments[0] = r->out->len;
    r->primary = r->out->len; /* Nothing inside begins before. */
    return FM_OK;
}

static enum fm_status expand(struct rewriting *r, const struct frame *frame)
{
    struct fm_span values[ARGUMENTS_MAX];
    uint32_t count = frame->count < ARGUMENTS_MAX ? frame->count : ARGUMENTS_MAX;

    for (uint32_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? frame->arguments[i + 1] - 1 : r->out->len - 1;
        values[i] = trimmed(r, frame->arguments[i], end);
    }
    if (count == 1 && values[0].len == 0)
        count = 0;
    return replace(r, frame->start, frame->function->text, values, count);
}

/* A whole item of the select list is called as the function. */
static void name_item(struct rewriting *r, const struct frame *frame)
{
    struct fm_span before = trimmed(r, 0, frame->start);
    struct fm_pg_token next = peek(&r->at, 0);
    bool begins = before.len >= 6 &&
                  strncasecmp((const char *)before.data + before.len - 6, "select", 6) == 0;

    if (r->depth == 0 && (begins || (before.len > 0 && before.data[before.len - 1] == ',')) &&
        (next.kind == FM_PG_END || is_sign(&next, ',') || fm_pg_token_is(&next, "FROM")))
        fm_buf_printf(r->out, " AS %s", frame->function->name);
}

static enum fm_status close_frame(struct rewriting *r, const struct fm_pg_token *sign)
{
    emit(r, sign);
    if (r->depth == 0)
        return FM_OK; /* The engine will say so. */
    const struct frame *frame = &r->frames[--r->depth];
    r->primary = frame->start;
    if (frame->function != NULL) {
        enum fm_status status = expand(r, frame);
        name_item(r, frame);
        return status;
    }
    if (!r->reads_catalog || !frame->is_cast || frame->as == 0)
        return FM_OK;
    struct fm_span type = trimmed(r, frame->as, r->out->len - 1);
    const struct cast *cast = find_cast(&(struct fm_pg_token){
        type.len != 0 && type.data[0] == '"' ? FM_PG_NAME : FM_PG_WORD, type});
    struct fm_span value = trimmed(r, frame->arguments[0], frame->as - 2);
    return cast != NULL ? cast_from(r, frame->start, value, cast) : FM_OK;
}

/* ---- Words ----------------------------------------------------------------------------------- */

static bool is_table_of_catalog(const struct rewriting *r, const struct fm_pg_token *token)
{
    static const char *const words[] = {"from", "join", "only"};
    struct fm_pg_token next = peek(&r->at, 0);
    char name[FM_NAME_MAX + 1];

    if (token->kind != FM_PG_WORD || token->text.len >= sizeof name || is_sign(&next, '(') ||
        is_sign(&next, '.') ||
        !(is_sign(&r->before, ',') ||
          is_word_of(&r->before, words, sizeof words / sizeof words[0])))
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)token->text.len, (const char *)token->text.data);
    return strncmp(name, "pg_", 3) == 0 && pg_catalog_find("pg_catalog", name) != NULL;
}

/* pg_catalog. before a function or, in a CAST, a type. */
static bool take_qualifier(struct rewriting *r, const struct fm_pg_token *token)
{
    struct fm_pg_token point = peek(&r->at, 0);
    struct fm_pg_token behind = peek(&r->at, 1);
    const struct frame *frame = r->depth > 0 ? &r->frames[r->depth - 1] : NULL;

    if (!is_sign(&point, '.') ||
        (!is_name(token, "pg_catalog") && !is_name(&behind, "_pg_expandarray")))
        return false;
    behind = peek(&r->at, 2);
    if (!is_sign(&behind, '(') && !(frame != NULL && frame->is_cast && frame->as != 0))
        return false;
    fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
    skip(r, 1);
    return true;
}

static bool take_user(struct rewriting *r, const struct fm_pg_token *token)
{
    bool is_user = is_name(token, "current_user") || is_name(token, "session_user");
    struct fm_pg_token next = peek(&r->at, 0);

    if (token->kind != FM_PG_WORD || is_sign(&r->before, '.') || is_sign(&next, '.') ||
        fm_pg_token_is(&r->before, "AS") || (!is_user && !is_name(token, "current_catalog")))
        return false;
    fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
    r->done = token->text.data + token->text.len;
    r->primary = r->out->len;
    put_literal(r->out, is_user ? r->facts->user : r->facts->database);
    r->before = *token;
    r->changes++;
    return true;
}

static enum fm_status take_column(struct rewriting *r, bool is_qualified)
{
    struct fm_span column = trimmed(r, r->primary, r->out->len);

    if (is_name(&r->before, "polroles"))
        return replace(r, r->primary, "CAST(NULL AS BIGINT[])", &column, 1);
    if (is_word_of(&r->before, null_arrays, sizeof null_arrays / sizeof null_arrays[0]))
        return replace(r, r->primary, "CAST(NULL AS VARCHAR[])", &column, 1);
    if (is_qualified &&
        is_word_of(&r->before, key_arrays, sizeof key_arrays / sizeof key_arrays[0]))
        return replace(r, r->primary, "CAST(string_split($1, ' ') AS BIGINT[])", &column, 1);
    return FM_OK;
}

static enum fm_status take_word(struct rewriting *r, const struct fm_pg_token *token)
{
    bool continues = is_sign(&r->before, '.');
    bool is_alias = fm_pg_token_is(&r->before, "AS");

    if (fm_pg_token_is(token, "COLLATE")) {
        struct fm_pg_token name = peek(&r->at, 0);
        struct fm_pg_token last = peek(&r->at, 2);
        bool is_long = is_name(&name, "pg_catalog");
        if (is_name(is_long ? &last : &name, "default") || is_name(is_long ? &last : &name, "C")) {
            fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
            skip(r, is_long ? 3 : 1);
            return FM_OK;
        }
    }
    if (take_qualifier(r, token) || take_user(r, token))
        return FM_OK;
    fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
    r->done = token->text.data;
    if (!continues)
        r->primary = r->out->len;
    if (is_table_of_catalog(r, token)) {
        fm_buf_put_str(r->out, "pg_catalog.");
        r->changes++;
    }
    emit(r, token);
    if (r->depth > 0 && fm_pg_token_is(token, "AS") && r->frames[r->depth - 1].is_cast)
        r->frames[r->depth - 1].as = r->primary = r->out->len;
    return r->reads_catalog && !is_alias ? take_column(r, continues) : FM_OK;
}

/* OPERATOR(pg_catalog.~) */
static bool take_operator(struct rewriting *r, const struct fm_pg_token *token)
{
    struct fm_pg_token schema = peek(&r->at, 1);

    if (!fm_pg_token_is(token, "OPERATOR") || !is_name(&schema, "pg_catalog"))
        return false;
    fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
    skip(r, 3);
    for (struct fm_pg_token sign = fm_pg_token_next(&r->at); sign.kind == FM_PG_SIGN;
         sign = fm_pg_token_next(&r->at)) {
        r->done = sign.text.data + sign.text.len;
        if (is_sign(&sign, ')'))
            break;
        r->is_like = is_sign(&sign, '~') && is_sign(&r->before, '~');
        fm_buf_put_span(r->out, sign.text);
        r->before = sign;
    }
    return true;
}

/* Psql compares polroles, an array, with this text. */
static bool take_array(struct rewriting *r, const struct fm_pg_token *token)
{
    if (!r->reads_catalog || token->kind != FM_PG_STRING ||
        !(is_sign(&r->before, '=') || is_sign(&r->before, '>')) || token->text.len != 5 ||
        memcmp(token->text.data, "'{0}'", 5) != 0)
        return false;
    fm_buf_put_str(r->out, "[0]");
    r->done = token->text.data + token->text.len;
    r->before = *token;
    r->changes++;
    return true;
}

/* A pattern matches a part in PostgreSQL, all of the text in the engine. */
static bool take_pattern(struct rewriting *r, const struct fm_pg_token *token)
{
    const struct fm_pg_token *sign = &r->before;

    if (token->kind != FM_PG_STRING || !is_sign(sign, '~') || r->is_like)
        return false;
    fm_buf_put(r->out, r->done, (size_t)(token->text.data - r->done));
    r->primary = r->out->len;
    fm_buf_put_str(r->out, "('(?s:.*)(?:' || ");
    r->done = token->text.data;
    emit(r, token);
    fm_buf_put_str(r->out, " || ')(?s:.*)')");
    r->changes++;
    return true;
}

static enum fm_status take(struct rewriting *r, const struct fm_pg_token *token)
{
    struct fm_pg_token next = peek(&r->at, 0);

    if (take_operator(r, token) || take_pattern(r, token) || take_array(r, token))
        return FM_OK;
    if (is_sign(token, ':') && is_sign(&next, ':'))
        return take_cast(r, token);
    if (is_sign(token, '(') || is_sign(token, '['))
        return open_frame(r, token);
    if (is_sign(token, ')') || is_sign(token, ']'))
        return close_frame(r, token);
    if (token->kind == FM_PG_SIGN) {
        r->is_like = is_sign(token, '~') && is_sign(&r->before, '~');
        emit(r, token);
        if (!is_sign(token, '.'))
            r->primary = r->out->len;
        struct frame *frame = r->depth > 0 ? &r->frames[r->depth - 1] : NULL;
        if (frame != NULL && is_sign(token, ',') && frame->count < ARGUMENTS_MAX)
            frame->arguments[frame->count++] = r->out->len;
        return FM_OK;
    }
    return take_word(r, token);
}

/* Psql asks of each table what a mesh never has, in words that are PostgreSQL's alone. */
static bool is_of_nothing(struct fm_span statement)
{
    static const char *const tables[] = {"pg_publication", "pg_policy", "pg_statistic_ext"};
    struct fm_cursor at = fm_cursor(statement);
    struct fm_pg_token token;
    uint32_t depth = 0;

    while ((token = fm_pg_token_next(&at)).kind != FM_PG_END && token.kind != FM_PG_OPEN) {
        depth += is_sign(&token, '(') ? 1u : is_sign(&token, ')') && depth > 0 ? UINT32_MAX : 0u;
        if (depth != 0 || !fm_pg_token_is(&token, "FROM"))
            continue;
        struct fm_pg_token table = peek(&at, 2);
        token = peek(&at, 0);
        if (is_name(&token, "pg_catalog") &&
            is_word_of(&table, tables, sizeof tables / sizeof tables[0]))
            return true;
    }
    return false;
}

static bool reads_catalog(struct fm_span statement)
{
    struct fm_cursor at = fm_cursor(statement);
    struct fm_pg_token token;

    while ((token = fm_pg_token_next(&at)).kind != FM_PG_END && token.kind != FM_PG_OPEN)
        if (token.kind == FM_PG_WORD && token.text.len > 3 &&
            (strncasecmp((const char *)token.text.data, "pg_", 3) == 0 ||
             is_name(&token, "information_schema") || is_name(&token, "regclass")))
            return true;
    return false;
}

enum fm_status pg_rewrite(struct fm_span statement, const struct pg_rewrite_facts *facts,
                          struct fm_buf *out)
{
    struct rewriting r = {.facts = facts,
                          .at = fm_cursor(statement),
                          .done = statement.data,
                          .out = out,
                          .reads_catalog = reads_catalog(statement)};
    struct fm_pg_token token;
    enum fm_status status = FM_OK;

    if (is_of_nothing(statement)) {
        fm_buf_put_str(out, "SELECT " NO_TEXT " AS name, NULL, NULL LIMIT 0");
        return fm_buf_status(out);
    }
    while (status == FM_OK && (token = fm_pg_token_next(&r.at)).kind != FM_PG_END &&
           token.kind != FM_PG_OPEN) {
        status = take(&r, &token);
        if (status == FM_OK)
            status = fm_buf_status(out);
    }
    fm_buf_put(out, r.done, (size_t)(statement.data + statement.len - r.done));
    if (status == FM_OK && r.changes != 0)
        return fm_buf_status(out);
    fm_buf_clear(out);
    fm_buf_put_span(out, statement);
    return status == FM_LIMIT || status == FM_OK ? fm_buf_status(out) : status;
}
