#include "query/tree_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RAW_KEY "fm_raw"
#define NUMBER_BYTES_MAX 400u /* The longest double that is printed in full. */
#define DEPTH_MAX 2100u       /* What jansson reads, and a little that rewriting adds. */

static bool is_number_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

/* A plain integer that int64 holds: jansson keeps it exactly. */
static bool is_small_integer(const char *text, size_t len)
{
    size_t sign = text[0] == '-' ? 1u : 0u;

    if (len == sign || len > 18 + sign)
        return false;
    for (size_t i = sign; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return text[sign] != '0' || len == 1; /* "-0" may be a real. */
}

/* Copy one number, wrapped when jansson would not keep it as it is; gives its length. */
static size_t put_number(const uint8_t *at, const uint8_t *end, struct fm_buf *out)
{
    size_t len = 0;

    while (at + len < end && is_number_byte(at[len]))
        len++;
    if (is_small_integer((const char *)at, len)) {
        fm_buf_put(out, at, len);
        return len;
    }
    fm_buf_put_str(out, "{\"" RAW_KEY "\":\"");
    fm_buf_put(out, at, len);
    fm_buf_put_str(out, "\"}");
    return len;
}

static void wrap_numbers(struct fm_span text, struct fm_buf *out)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;
    const uint8_t *copied = at; /* All before it is in `out`. */
    bool in_string = false;

    for (; at < end; at++) {
        if (in_string) {
            if (*at == '\\' && at + 1 < end)
                at++;
            else if (*at == '"')
                in_string = false;
            continue;
        }
        if (*at == '"') {
            in_string = true;
        } else if ((*at >= '0' && *at <= '9') || *at == '-' || *at == 'N' || *at == 'I') {
            fm_buf_put(out, copied, (size_t)(at - copied));
            at += put_number(at, end, out) - 1;
            copied = at + 1;
        }
    }
    if (copied < end)
        fm_buf_put(out, copied, (size_t)(end - copied));
}

enum fm_status tree_json_load(struct fm_span text, json_t **out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf wrapped = FM_BUF_INIT(2 * TREE_JSON_BYTES_MAX);
    json_error_t error;

    if (text.len > TREE_JSON_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the statement is too large: its tree takes %zu bytes of %u",
                       text.len, TREE_JSON_BYTES_MAX);
    wrap_numbers(text, &wrapped);
    if (fm_buf_status(&wrapped) != FM_OK)
        return fm_fail(err, fm_buf_status(&wrapped), "the statement's tree is too large");
    json_t *json = json_loadb((const char *)wrapped.data, wrapped.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json == NULL) {
        if (json_error_code(&error) == json_error_stack_overflow)
            return fm_fail(err, FM_LIMIT, "the statement is nested too deeply");
        if (json_error_code(&error) == json_error_out_of_memory)
            return FM_NOMEM;
        return fm_fail(err, FM_MALFORMED, "the engine's answer is not JSON: %s", error.text);
    }
    *out = json;
    return FM_OK;
}

const char *tree_json_raw(const json_t *json)
{
    if (!json_is_object(json) || json_object_size(json) != 1)
        return NULL;
    const char *text = json_string_value(json_object_get(json, RAW_KEY));
    if (text == NULL || text[0] == '\0' || strlen(text) > NUMBER_BYTES_MAX)
        return NULL;
    for (const char *c = text; *c != '\0'; c++) {
        if (!is_number_byte((uint8_t)*c))
            return NULL;
    }
    return text;
}

static void print_scalar(const json_t *json, struct fm_buf *out)
{
    char small[256];
    size_t need = json_dumpb(json, small, sizeof small, JSON_ENCODE_ANY | JSON_COMPACT);

    if (need <= sizeof small) {
        fm_buf_put(out, small, need);
        return;
    }
    uint8_t *at = fm_buf_extend(out, need);
    if (at != NULL)
        (void)json_dumpb(json, (char *)at, need, JSON_ENCODE_ANY | JSON_COMPACT); /* Fits. */
}

static void print_value(const json_t *json, unsigned depth, struct fm_buf *out);

static void print_object(const json_t *json, unsigned depth, struct fm_buf *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    const char *before = "{\"";

    if (json_object_size(json) == 0)
        fm_buf_put_str(out, "{");
    /* Keys are the engine's own words, which the walk has checked: they need no escapes. */
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        fm_buf_put_str(out, before);
        fm_buf_put_str(out, key);
        fm_buf_put_str(out, "\":");
        print_value(value, depth + 1, out);
        before = ",\"";
    }
    fm_buf_put_str(out, "}");
}

static void print_value(const json_t *json, unsigned depth, struct fm_buf *out)
{
    const char *raw = tree_json_raw(json);

    if (depth > DEPTH_MAX) {
        out->status = out->status == FM_OK ? FM_LIMIT : out->status;
    } else if (raw != NULL) {
        fm_buf_put_str(out, raw);
    } else if (json_is_object(json)) {
        print_object(json, depth, out);
    } else if (json_is_array(json)) {
        fm_buf_put_str(out, "[");
        for (size_t i = 0; i < json_array_size(json); i++) {
            if (i > 0)
                fm_buf_put_str(out, ",");
            print_value(json_array_get(json, i), depth + 1, out);
        }
        fm_buf_put_str(out, "]");
    } else {
        print_scalar(json, out);
    }
}

enum fm_status tree_json_print(const json_t *json, struct fm_buf *out)
{
    print_value(json, 0, out);
    return fm_buf_status(out);
}

bool tree_json_int(const json_t *json, int64_t min, int64_t max, int64_t *out)
{
    const char *raw = tree_json_raw(json);
    int64_t value = 0;

    if (json_is_integer(json)) {
        value = json_integer_value(json);
    } else if (raw != NULL) {
        char *end = NULL;
        errno = 0;
        value = strtoll(raw, &end, 10);
        if (errno != 0 || end == raw || *end != '\0')
            return false;
    } else {
        return false;
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool tree_json_uint(const json_t *json, uint64_t *out)
{
    const char *raw = tree_json_raw(json);

    if (json_is_integer(json)) {
        if (json_integer_value(json) < 0)
            return false;
        *out = (uint64_t)json_integer_value(json);
        return true;
    }
    if (raw == NULL || raw[0] == '-')
        return false;
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(raw, &end, 10);
    if (errno != 0 || end == raw || *end != '\0')
        return false;
    *out = value;
    return true;
}

bool tree_json_real(const json_t *json, double *out)
{
    const char *raw = tree_json_raw(json);

    if (json_is_integer(json)) {
        *out = (double)json_integer_value(json);
        return true;
    }
    if (raw == NULL)
        return false;
    char *end = NULL;
    double value = strtod(raw, &end);
    if (end == raw || *end != '\0')
        return false;
    *out = value;
    return true;
}

const char *tree_json_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);

    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

bool tree_json_is(const json_t *object, const char *key, const char *text)
{
    const char *value = tree_json_text(object, key);

    return value != NULL && strcmp(value, text) == 0;
}

json_t *tree_json_array(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_array(value) ? value : NULL;
}
