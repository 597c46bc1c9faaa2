#include "client/client_text.h"

#define JSON_DEPTH_MAX 64u

void fm_json_string(struct fm_buf *out, struct fm_span text)
{
    bool is_utf8 = fm_utf8_valid(text);

    fm_buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            fm_buf_put_u8(out, '\\');
            fm_buf_put_u8(out, c);
        } else if (c == '\n') {
            fm_buf_put_str(out, "\\n");
        } else if (c == '\r') {
            fm_buf_put_str(out, "\\r");
        } else if (c == '\t') {
            fm_buf_put_str(out, "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            fm_buf_printf(out, "\\u%04x", c);
        } else if (c >= 0x80 && !is_utf8) {
            fm_buf_put_str(out, "\xef\xbf\xbd");
        } else {
            fm_buf_put_u8(out, c);
        }
    }
    fm_buf_put_u8(out, '"');
}

static void skip_space(struct fm_cursor *at)
{
    while (at->at != at->end && (*at->at == ' ' || *at->at == '\t'))
        at->at++;
}

static bool take(struct fm_cursor *at, uint8_t c)
{
    if (at->at == at->end || *at->at != c)
        return false;
    at->at++;
    return true;
}

static bool take_word(struct fm_cursor *at, const char *word)
{
    size_t len = strlen(word);

    if (fm_cursor_left(at) < len || memcmp(at->at, word, len) != 0)
        return false;
    at->at += len;
    return true;
}

static bool take_string(struct fm_cursor *at)
{
    if (!take(at, '"'))
        return false;
    while (at->at != at->end) {
        uint8_t c = *at->at++;
        if (c == '"')
            return true;
        if (c < 0x20)
            return false;
        if (c != '\\')
            continue;
        if (at->at == at->end)
            return false;
        c = *at->at++;
        if (c != 'u') {
            if (strchr("\"\\/bfnrt", c) == NULL || c == '\0')
                return false;
            continue;
        }
        for (int i = 0; i < 4; i++) {
            if (at->at == at->end || strchr("0123456789abcdefABCDEF", *at->at) == NULL ||
                *at->at == '\0')
                return false;
            at->at++;
        }
    }
    return false;
}

static bool take_digits(struct fm_cursor *at)
{
    const uint8_t *start = at->at;

    while (at->at != at->end && *at->at >= '0' && *at->at <= '9')
        at->at++;
    return at->at != start;
}

static bool take_number(struct fm_cursor *at)
{
    (void)take(at, '-'); /* A sign may stand there. */
    if (!take(at, '0') && !take_digits(at))
        return false;
    if (take(at, '.') && !take_digits(at))
        return false;
    if (take(at, 'e') || take(at, 'E')) {
        if (!take(at, '+'))
            (void)take(at, '-'); /* The same for an exponent. */
        return take_digits(at);
    }
    return true;
}

static bool take_scalar(struct fm_cursor *at)
{
    if (at->at == at->end)
        return false;
    switch (*at->at) {
    case '"':
        return take_string(at);
    case 't':
        return take_word(at, "true");
    case 'f':
        return take_word(at, "false");
    case 'n':
        return take_word(at, "null");
    default:
        return take_number(at);
    }
}

/* "key": in front of an object's value. */
static bool take_key(struct fm_cursor *at)
{
    skip_space(at);
    if (!take_string(at))
        return false;
    skip_space(at);
    return take(at, ':');
}

/* After a value: close what is complete, or go on behind a comma. False: malformed. `*done` is set
 * when nothing is open any more. */
static bool close_values(struct fm_cursor *at, uint8_t *closers, uint32_t *depth, bool *done)
{
    for (;;) {
        skip_space(at);
        if (*depth == 0) {
            *done = true;
            return at->at == at->end;
        }
        if (take(at, closers[*depth - 1])) {
            (*depth)--;
            continue;
        }
        return take(at, ',') && (closers[*depth - 1] == ']' || take_key(at));
    }
}

bool fm_json_valid(struct fm_span text)
{
    struct fm_cursor at = fm_cursor(text);
    uint8_t closers[JSON_DEPTH_MAX];
    uint32_t depth = 0;
    bool done = false;

    if (!fm_utf8_valid(text))
        return false;
    while (!done) {
        skip_space(&at);
        bool is_object = take(&at, '{');
        if (is_object || take(&at, '[')) {
            if (depth == JSON_DEPTH_MAX)
                return false;
            closers[depth++] = is_object ? '}' : ']';
            skip_space(&at);
            if (at.at != at.end && *at.at == closers[depth - 1]) {
                if (!close_values(&at, closers, &depth, &done))
                    return false;
            } else if (is_object && !take_key(&at)) {
                return false;
            }
            continue;
        }
        if (!take_scalar(&at) || !close_values(&at, closers, &depth, &done))
            return false;
    }
    return true;
}
