#include "node/log.h"

#include "core/time.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 32768u
#define VALUE_BYTES_MAX 1024u /* More of a value is cut, so that no value can lose the line. */

static void put_time(struct fm_buf *line)
{
    fm_us now = fm_now_us();
    time_t seconds = (time_t)(now / 1000000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL)
        return;
    fm_buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                  (int)(now / 1000 % 1000));
}

/* One ASCII character. */
static void put_ascii(struct fm_buf *line, char c)
{
    if (c == '"' || c == '\\')
        fm_buf_printf(line, "\\%c", c);
    else if (c == '\n')
        fm_buf_put_str(line, "\\n");
    else if (c < 0x20 || c == 0x7f)
        fm_buf_printf(line, "\\u%04x", (unsigned)(unsigned char)c);
    else
        fm_buf_put_u8(line, (uint8_t)c);
}

/* The character that begins `text`, of more than one byte; how many were taken. Terminals obey the
 * controls U+0080 to U+009F too, and what is not UTF-8 would make the line no JSON. */
static size_t put_wide(struct fm_buf *line, struct fm_span text)
{
    size_t len = 2;

    while (len <= 4 && len <= text.len && !fm_utf8_valid(fm_span(text.data, len)))
        len++;
    if (len > 4 || len > text.len) {
        fm_buf_put_str(line, "\\ufffd");
        return 1;
    }
    if (text.data[0] == 0xc2 && text.data[1] < 0xa0)
        fm_buf_printf(line, "\\u%04x", (unsigned)text.data[1]);
    else
        fm_buf_put(line, text.data, len);
    return len;
}

/* Both forms quote alike: JSON's string form is also valid logfmt. */
static void put_quoted(struct fm_buf *line, const char *text)
{
    struct fm_span left = fm_span(text, strlen(text));
    size_t used = 0;

    fm_buf_put_u8(line, '"');
    while (used < left.len && used < VALUE_BYTES_MAX) {
        if (left.data[used] >= 0x80) {
            used += put_wide(line, fm_span(left.data + used, left.len - used));
            continue;
        }
        put_ascii(line, (char)left.data[used]);
        used++;
    }
    if (used < left.len)
        fm_buf_put_str(line, "...");
    fm_buf_put_u8(line, '"');
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' ||
            (unsigned char)*c >= 0x7f)
            return false;
    return text[0] != '\0' && strlen(text) <= VALUE_BYTES_MAX;
}

static void put_pair(struct fm_buf *line, enum fm_log_format format, const char *name,
                     const char *value)
{
    if (format == FM_LOG_JSON) {
        fm_buf_put_u8(line, ',');
        put_quoted(line, name);
        fm_buf_put_u8(line, ':');
        put_quoted(line, value);
        return;
    }
    fm_buf_printf(line, " %s=", name);
    if (is_plain(value))
        fm_buf_put_str(line, value);
    else
        put_quoted(line, value);
}

void fm_log(const struct fm_log *log, enum fm_log_level level, const char *event, ...)
{
    if (level < log->level)
        return;
    FM_AUTO(fm_buf_free) struct fm_buf line = FM_BUF_INIT(LINE_BYTES_MAX);
    if (log->format == FM_LOG_JSON) {
        fm_buf_put_str(&line, "{\"time\":\"");
        put_time(&line);
        fm_buf_put_str(&line, "\"");
    } else {
        fm_buf_put_str(&line, "time=");
        put_time(&line);
    }
    put_pair(&line, log->format, "level", fm_log_level_text(level));
    put_pair(&line, log->format, "event", event);
    va_list args;
    va_start(args, event);
    for (const char *name = va_arg(args, const char *); name != NULL;
         name = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        put_pair(&line, log->format, name, value != NULL ? value : "");
    }
    va_end(args);
    fm_buf_put_str(&line, log->format == FM_LOG_JSON ? "}\n" : "\n");
    if (fm_buf_status(&line) != FM_OK)
        return; /* Too long or no memory: a log line is not worth more. */
    ssize_t put = write(STDERR_FILENO, line.data, line.len);
    if (put < 0)
        return; /* Nobody reads; there is nowhere to say so. */
}
