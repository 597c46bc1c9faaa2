#include "node/http/request.h"

#include "core/limits.h"

#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* ---- Accept ---------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct fm_span trim(struct fm_span text)
{
    while (text.len != 0 && is_space((char)text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len != 0 && is_space((char)text.data[text.len - 1]))
        text.len--;
    return text;
}

/* What stands before `separator`; `rest` goes on behind it. */
static struct fm_span cut(struct fm_span *rest, char separator)
{
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    struct fm_span part = fm_span(rest->data, at == NULL ? rest->len : (size_t)(at - rest->data));

    if (at == NULL)
        *rest = fm_span(rest->data, 0);
    else
        *rest = fm_span(at + 1, rest->len - part.len - 1);
    return trim(part);
}

static bool is_text(struct fm_span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/* "q=0.5" in thousandths; -1: another parameter. RFC 9110, 12.4.2. */
static int quality(struct fm_span parameter)
{
    int value = 0, scale = 1000;

    if (parameter.len < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
        return -1;
    for (size_t i = 2; i < parameter.len && i < 7; i++) {
        uint8_t c = parameter.data[i];
        if (c == '.' && i == 3)
            continue;
        if (c < '0' || c > '9')
            return 0;
        value += (c - '0') * scale;
        scale /= 10;
    }
    return value > 1000 ? 1000 : value;
}

static const struct {
    enum fm_http_format format;
    const char *type;
} formats[] = {
    {FM_HTTP_JSON, "application/json"},
    {FM_HTTP_NDJSON, "application/x-ndjson"},
    {FM_HTTP_CSV, "text/csv"},
};
#define FORMATS (sizeof formats / sizeof formats[0])

/* How closely a range names a type: 0: not, 1: all, 2: all of its kind, 3: it. */
static int closeness(struct fm_span range, const char *type)
{
    size_t kind = strcspn(type, "/") + 1;

    if (is_text(range, type))
        return 3;
    if (range.len == kind + 1 && range.data[kind] == '*' &&
        strncasecmp((const char *)range.data, type, kind) == 0)
        return 2;
    return is_text(range, "*/*") ? 1 : 0;
}

enum fm_status fm_http_accept(const char *accept, enum fm_http_format *out, struct fm_error *err)
{
    struct fm_span rest = fm_span_str(accept == NULL || accept[0] == '\0' ? "*/*" : accept);
    int closest[FORMATS] = {0}, liked[FORMATS] = {0};
    size_t best = 0;

    while (rest.len != 0) {
        struct fm_span parameters = cut(&rest, ',');
        struct fm_span range = cut(&parameters, ';');
        int q = 1000;
        while (parameters.len != 0) {
            int value = quality(cut(&parameters, ';'));
            q = value >= 0 ? value : q;
        }
        for (size_t i = 0; i < FORMATS; i++) {
            int close = closeness(range, formats[i].type);
            if (close > closest[i]) {
                closest[i] = close;
                liked[i] = q;
            }
        }
    }
    for (size_t i = 1; i < FORMATS; i++)
        if (liked[i] > liked[best])
            best = i;
    if (liked[best] == 0)
        return fm_fail(err, FM_UNSUPPORTED,
                       "answers are application/json, application/x-ndjson or text/csv");
    *out = formats[best].format;
    return FM_OK;
}

/* ---- The query ------------------------------------------------------------------------------- */

void fm_http_query_deinit(struct fm_http_query *query)
{
    fm_buf_free(&query->sql);
}

static enum fm_status take_rules(const json_t *value, struct fm_http_query *out,
                                 struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf names = FM_BUF_INIT(FM_PG_SHORT_BYTES_MAX);

    if (!json_is_array(value))
        return fm_fail(err, FM_INVALID, "\"without\" is a list of the planner's rules");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *name = json_array_get(value, i);
        if (!json_is_string(name))
            return fm_fail(err, FM_INVALID, "\"without\" is a list of the planner's rules");
        fm_buf_put_str(&names, i == 0 ? "" : ",");
        fm_buf_put(&names, json_string_value(name), json_string_length(name));
    }
    if (fm_buf_status(&names) != FM_OK)
        return fm_fail(err, fm_buf_status(&names), "\"without\" is too long");
    if (names.len == 0)
        return FM_OK;
    return fm_rules_parse(fm_buf_span(&names), &out->body.rules_off, err);
}

static enum fm_status take_member(const char *key, const json_t *value, struct fm_http_query *out,
                                  struct fm_error *err)
{
    if (strcmp(key, "sql") == 0) {
        if (!json_is_string(value))
            return fm_fail(err, FM_INVALID, "\"sql\" is a text");
        fm_buf_put(&out->sql, json_string_value(value), json_string_length(value));
        return FM_OK;
    }
    if (strcmp(key, "on_unavailable") == 0) {
        const char *text = json_string_value(value);
        if (text == NULL || (strcmp(text, "fail") != 0 && strcmp(text, "skip") != 0))
            return fm_fail(err, FM_INVALID, "\"on_unavailable\" is \"fail\" or \"skip\"");
        out->body.on_unavailable = text[0] == 's' ? FM_UNAVAILABLE_SKIP : FM_UNAVAILABLE_FAIL;
        return FM_OK;
    }
    if (strcmp(key, "allow_partial_aggregates") == 0) {
        if (!json_is_boolean(value))
            return fm_fail(err, FM_INVALID, "\"allow_partial_aggregates\" is true or false");
        out->body.allows_partial_aggregates = json_is_true(value);
        return FM_OK;
    }
    if (strcmp(key, "time_limit_ms") == 0) {
        json_int_t ms = json_integer_value(value); /* 0 for all else. */
        if (ms < 1 || ms > FM_QUERY_MS_MAX)
            return fm_fail(err, FM_INVALID, "\"time_limit_ms\" is a number of 1 to %d",
                           FM_QUERY_MS_MAX);
        out->limit_ms = (uint32_t)ms;
        return FM_OK;
    }
    if (strcmp(key, "without") == 0)
        return take_rules(value, out, err);
    return fm_fail(err, FM_INVALID, "a query has no \"%.64s\"", key);
}

static enum fm_status read_json(struct fm_span body, struct fm_http_query *out,
                                struct fm_error *err)
{
    json_error_t why = {0};
    FM_AUTO(json_freep)
    json_t *document = json_loadb((const char *)body.data, body.len,
                                  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    const char *key;
    json_t *value;

    if (!json_is_object(document))
        return fm_fail(err, FM_INVALID, "the body is no JSON object%s%s",
                       document == NULL ? ": " : "", document == NULL ? why.text : "");
    json_object_foreach(document, key, value)
    {
        enum fm_status status = take_member(key, value, out, err);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

enum fm_status fm_http_query_read(const char *content_type, struct fm_span body,
                                  struct fm_http_query *out, struct fm_error *err)
{
    struct fm_span parameters = fm_span_str(content_type == NULL ? "" : content_type);
    struct fm_span type = cut(&parameters, ';');
    enum fm_status status = FM_OK;

    if (is_text(type, "application/json"))
        status = read_json(body, out, err);
    else if (is_text(type, "text/plain"))
        fm_buf_put_span(&out->sql, body);
    else
        status = fm_fail(err, FM_UNSUPPORTED, "a query comes as application/json or text/plain");
    if (status != FM_OK)
        return status;
    if (fm_buf_status(&out->sql) != FM_OK)
        return fm_fail(err, fm_buf_status(&out->sql), "read the query");
    if (out->sql.len == 0)
        return fm_fail(err, FM_INVALID, "there is no SQL in the body");
    if (out->sql.len > FM_SQL_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the SQL text is longer than %u bytes", FM_SQL_BYTES_MAX);
    if (!fm_utf8_valid(fm_buf_span(&out->sql)) || memchr(out->sql.data, 0, out->sql.len) != NULL)
        return fm_fail(err, FM_INVALID, "the SQL text is not UTF-8, or has a NUL");
    if (out->body.allows_partial_aggregates && out->body.on_unavailable != FM_UNAVAILABLE_SKIP)
        return fm_fail(err, FM_INVALID,
                       "\"allow_partial_aggregates\" needs \"on_unavailable\": \"skip\"");
    out->body.sql = fm_buf_span(&out->sql);
    return FM_OK;
}

/* ---- Headers --------------------------------------------------------------------------------- */

bool fm_http_bearer(const char *authorization, struct fm_span *token)
{
    static const char scheme[] = "Bearer ";

    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    *token = trim(fm_span_str(authorization + sizeof scheme - 1));
    return token->len != 0;
}

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

static bool is_zero(const char *text, size_t len)
{
    return strspn(text, "0") >= len;
}

bool fm_http_traceparent(const char *text, uint8_t trace[16])
{
    char hex[33];

    /* version "-" trace id "-" parent id "-" flags; later versions may have more behind it. */
    if (text == NULL || strlen(text) < 55 || !is_hex(text, 2) || text[2] != '-' ||
        !is_hex(text + 3, 32) || text[35] != '-' || !is_hex(text + 36, 16) || text[52] != '-' ||
        !is_hex(text + 53, 2))
        return false;
    if (memcmp(text, "ff", 2) == 0 || is_zero(text + 3, 32) || is_zero(text + 36, 16))
        return false;
    if (text[55] != '\0' && (memcmp(text, "00", 2) == 0 || text[55] != '-'))
        return false;
    memcpy(hex, text + 3, 32);
    hex[32] = '\0';
    return fm_unhex(hex, trace, 16) == FM_OK;
}
