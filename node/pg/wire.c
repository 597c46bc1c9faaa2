#include "node/pg/wire.h"

#include "core/limits.h"

#define CODE_SSL 80877103u
#define CODE_GSS 80877104u
#define CODE_CANCEL 80877102u

/* ---- Reading --------------------------------------------------------------------------------- */

static bool take16(struct fm_cursor *cursor, uint16_t *out)
{
    struct fm_span bytes;

    if (fm_take_bytes(cursor, 2, &bytes) != FM_OK)
        return false;
    *out = fm_pg_get16(bytes.data);
    return true;
}

static bool take32(struct fm_cursor *cursor, uint32_t *out)
{
    struct fm_span bytes;

    if (fm_take_bytes(cursor, 4, &bytes) != FM_OK)
        return false;
    *out = fm_pg_get32(bytes.data);
    return true;
}

/* A text with a NUL behind it. */
static bool take_text(struct fm_cursor *cursor, const char **out)
{
    const uint8_t *end = memchr(cursor->at, 0, fm_cursor_left(cursor));

    if (end == NULL)
        return false;
    *out = (const char *)cursor->at;
    cursor->at = end + 1;
    return true;
}

/* A list of `count` numbers of `width` bytes. */
static bool take_list(struct fm_cursor *cursor, size_t width, uint16_t *count, const uint8_t **out)
{
    struct fm_span bytes;

    if (!take16(cursor, count) || fm_take_bytes(cursor, *count * width, &bytes) != FM_OK)
        return false;
    *out = bytes.data;
    return true;
}

static enum fm_status malformed(struct fm_error *err, const char *what)
{
    return fm_fail(err, FM_MALFORMED, "invalid %s message", what);
}

/* ---- Before a session ------------------------------------------------------------------------ */

enum fm_status fm_pg_startup_length(const uint8_t bytes[4], uint32_t *length, struct fm_error *err)
{
    *length = fm_pg_get32(bytes);
    if (*length < 8)
        return fm_fail(err, FM_MALFORMED, "this is no startup packet of PostgreSQL's protocol");
    if (*length > FM_PG_STARTUP_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "a startup packet of more than %u bytes",
                       FM_PG_STARTUP_BYTES_MAX);
    return FM_OK;
}

/* Pairs of texts, and an empty one behind the last. */
static bool settings_are_whole(struct fm_span settings)
{
    struct fm_cursor cursor = fm_cursor(settings);
    const char *name = NULL, *value = NULL;

    while (take_text(&cursor, &name) && name[0] != '\0')
        if (!take_text(&cursor, &value))
            return false;
    return name != NULL && name[0] == '\0' && fm_cursor_left(&cursor) == 0;
}

enum fm_status fm_pg_startup_read(struct fm_span packet, struct fm_pg_startup *out,
                                  struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(packet);
    uint32_t length = 0, code = 0;

    memset(out, 0, sizeof *out);
    if (!take32(&cursor, &length) || length != packet.len || !take32(&cursor, &code))
        return malformed(err, "startup");
    if (code == CODE_SSL || code == CODE_GSS) {
        out->kind = code == CODE_SSL ? FM_PG_SSL_REQUEST : FM_PG_GSS_REQUEST;
        return fm_cursor_left(&cursor) == 0 ? FM_OK : malformed(err, "startup");
    }
    if (code == CODE_CANCEL) {
        out->kind = FM_PG_CANCEL;
        bool is_whole = take32(&cursor, &out->process) && take32(&cursor, &out->secret) &&
                        fm_cursor_left(&cursor) == 0;
        return is_whole ? FM_OK : malformed(err, "cancel");
    }
    out->kind = FM_PG_STARTUP;
    out->major = (uint16_t)(code >> 16);
    out->minor = (uint16_t)code;
    if (out->major != FM_PG_VERSION)
        return fm_fail(err, FM_UNSUPPORTED,
                       "unsupported frontend protocol %u.%u: this node speaks 3.0", out->major,
                       out->minor);
    out->settings = fm_span(cursor.at, fm_cursor_left(&cursor));
    return settings_are_whole(out->settings) ? FM_OK : malformed(err, "startup");
}

bool fm_pg_startup_next(struct fm_span *settings, const char **name, const char **value)
{
    struct fm_cursor cursor = fm_cursor(*settings);

    if (!take_text(&cursor, name) || (*name)[0] == '\0' || !take_text(&cursor, value))
        return false;
    *settings = fm_span(cursor.at, fm_cursor_left(&cursor));
    return true;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static uint32_t body_max(enum fm_pg_frontend type)
{
    switch (type) {
    case FM_PG_QUERY:
    case FM_PG_PARSE:
        return FM_PG_SQL_BYTES_MAX;
    case FM_PG_BIND:
        return FM_PG_BIND_BYTES_MAX;
    case FM_PG_COPY_DATA:
        return FM_PG_COPY_BYTES_MAX;
    case FM_PG_PASSWORD:
        return FM_TOKEN_BYTES_MAX + 1;
    default:
        return FM_PG_SHORT_BYTES_MAX;
    }
}

enum fm_status fm_pg_message_length(const uint8_t header[FM_PG_HEADER_BYTES],
                                    enum fm_pg_frontend *type, uint32_t *length,
                                    struct fm_error *err)
{
    uint32_t told = fm_pg_get32(header + 1);

    switch (header[0]) {
#define X(name, byte) case byte:
        FM_PG_FRONTEND_MAP(X)
#undef X
        break;
    default:
        return fm_fail(err, FM_MALFORMED, "invalid frontend message type %u", header[0]);
    }
    *type = (enum fm_pg_frontend)header[0];
    if (told < 4)
        return fm_fail(err, FM_MALFORMED, "invalid message length");
    *length = told - 4;
    if (*length > body_max(*type))
        return fm_fail(err, FM_LIMIT, "a message of type %c with %u bytes: at most %u", header[0],
                       *length, body_max(*type));
    return FM_OK;
}

enum fm_status fm_pg_text_read(struct fm_span body, struct fm_span *text, struct fm_error *err)
{
    if (body.len == 0 || memchr(body.data, 0, body.len) != body.data + body.len - 1)
        return malformed(err, "text");
    *text = fm_span(body.data, body.len - 1);
    return FM_OK;
}

enum fm_status fm_pg_parse_read(struct fm_span body, struct fm_pg_parse *out, struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(body);
    const char *sql = NULL;

    if (!take_text(&cursor, &out->statement) || !take_text(&cursor, &sql) ||
        !take_list(&cursor, 4, &out->type_count, &out->types) || fm_cursor_left(&cursor) != 0)
        return malformed(err, "Parse");
    out->sql = fm_span_str(sql);
    return FM_OK;
}

static bool formats_fit(const uint8_t *formats, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        if (fm_pg_get16(formats + 2 * i) > FM_PG_BINARY)
            return false;
    return true;
}

static bool take_parameters(struct fm_cursor *cursor, struct fm_pg_bind *out)
{
    const uint8_t *begin = cursor->at;
    uint32_t length = 0;
    struct fm_span value;

    for (uint16_t i = 0; i < out->parameter_count; i++)
        if (!take32(cursor, &length) ||
            (length != UINT32_MAX && fm_take_bytes(cursor, length, &value) != FM_OK))
            return false;
    out->parameters = fm_span(begin, (size_t)(cursor->at - begin));
    return true;
}

enum fm_status fm_pg_bind_read(struct fm_span body, struct fm_pg_bind *out, struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(body);

    if (!take_text(&cursor, &out->portal) || !take_text(&cursor, &out->statement) ||
        !take_list(&cursor, 2, &out->format_count, &out->formats) ||
        !take16(&cursor, &out->parameter_count) || !take_parameters(&cursor, out) ||
        !take_list(&cursor, 2, &out->result_format_count, &out->result_formats) ||
        fm_cursor_left(&cursor) != 0)
        return malformed(err, "Bind");
    if (!formats_fit(out->formats, out->format_count) ||
        !formats_fit(out->result_formats, out->result_format_count))
        return fm_fail(err, FM_MALFORMED, "unsupported format code: 0 is text, 1 binary");
    if (out->format_count > 1 && out->format_count != out->parameter_count)
        return fm_fail(err, FM_MALFORMED, "bind message has %u parameter formats but %u parameters",
                       out->format_count, out->parameter_count);
    return FM_OK;
}

void fm_pg_bind_next(struct fm_span *parameters, bool *is_null, struct fm_span *value)
{
    struct fm_cursor cursor = fm_cursor(*parameters);
    uint32_t length = UINT32_MAX;

    *value = fm_span(NULL, 0);
    *is_null = !take32(&cursor, &length) || length == UINT32_MAX ||
               fm_take_bytes(&cursor, length, value) != FM_OK;
    *parameters = fm_span(cursor.at, fm_cursor_left(&cursor));
}

enum fm_pg_format fm_pg_format_at(const uint8_t *formats, uint16_t count, uint16_t i)
{
    if (count == 0)
        return FM_PG_TEXT;
    return (enum fm_pg_format)fm_pg_get16(formats + 2 * (count == 1 ? 0 : i));
}

enum fm_status fm_pg_named_read(struct fm_span body, struct fm_pg_named *out, struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(body);
    uint8_t kind = 0;

    if (fm_take_u8(&cursor, &kind) != FM_OK || (kind != 'S' && kind != 'P') ||
        !take_text(&cursor, &out->name) || fm_cursor_left(&cursor) != 0)
        return malformed(err, "Describe or Close");
    out->is_portal = kind == 'P';
    return FM_OK;
}

enum fm_status fm_pg_execute_read(struct fm_span body, struct fm_pg_execute *out,
                                  struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(body);

    if (!take_text(&cursor, &out->portal) || !take32(&cursor, &out->row_limit) ||
        fm_cursor_left(&cursor) != 0)
        return malformed(err, "Execute");
    if (out->row_limit > INT32_MAX) /* PostgreSQL takes what is below 1 as "all". */
        out->row_limit = 0;
    return FM_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

void fm_pg_put16(struct fm_buf *out, uint16_t value)
{
    uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

    fm_buf_put(out, bytes, sizeof bytes);
}

void fm_pg_put32(struct fm_buf *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    fm_buf_put(out, &value, sizeof value);
}

void fm_pg_put64(struct fm_buf *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    fm_buf_put(out, &value, sizeof value);
}

void fm_pg_put_text(struct fm_buf *out, const char *text)
{
    fm_buf_put(out, text, strlen(text) + 1);
}

size_t fm_pg_begin(struct fm_buf *out, char type)
{
    fm_buf_put_u8(out, (uint8_t)type);
    fm_pg_put32(out, 0);
    return out->len;
}

void fm_pg_end(struct fm_buf *out, size_t at)
{
    if (fm_buf_status(out) != FM_OK)
        return;
    uint32_t length = __builtin_bswap32((uint32_t)(out->len - at + 4));
    memcpy(out->data + at - 4, &length, sizeof length);
}

void fm_pg_put_authentication(struct fm_buf *out, uint32_t kind)
{
    size_t at = fm_pg_begin(out, 'R');

    fm_pg_put32(out, kind);
    fm_pg_end(out, at);
}

void fm_pg_put_parameter(struct fm_buf *out, const char *name, const char *value)
{
    size_t at = fm_pg_begin(out, 'S');

    fm_pg_put_text(out, name);
    fm_pg_put_text(out, value);
    fm_pg_end(out, at);
}

void fm_pg_put_key(struct fm_buf *out, uint32_t process, uint32_t secret)
{
    size_t at = fm_pg_begin(out, 'K');

    fm_pg_put32(out, process);
    fm_pg_put32(out, secret);
    fm_pg_end(out, at);
}

void fm_pg_put_ready(struct fm_buf *out, char state)
{
    size_t at = fm_pg_begin(out, 'Z');

    fm_buf_put_u8(out, (uint8_t)state);
    fm_pg_end(out, at);
}

void fm_pg_put_complete(struct fm_buf *out, const char *tag)
{
    size_t at = fm_pg_begin(out, 'C');

    fm_pg_put_text(out, tag);
    fm_pg_end(out, at);
}

void fm_pg_put_empty(struct fm_buf *out, char type)
{
    fm_pg_end(out, fm_pg_begin(out, type));
}

static void put_field(struct fm_buf *out, char field, const char *text)
{
    if (text == NULL)
        return;
    fm_buf_put_u8(out, (uint8_t)field);
    fm_pg_put_text(out, text);
}

void fm_pg_put_report(struct fm_buf *out, char type, const struct fm_pg_report *report)
{
    size_t at = fm_pg_begin(out, type);

    put_field(out, 'S', report->severity);
    put_field(out, 'V', report->severity); /* Not translated. */
    put_field(out, 'C', report->sqlstate);
    put_field(out, 'M', report->message);
    put_field(out, 'D', report->detail);
    put_field(out, 'H', report->hint);
    if (report->position != 0) {
        fm_buf_put_u8(out, 'P');
        fm_buf_printf(out, "%u", report->position);
        fm_buf_put_u8(out, 0);
    }
    fm_buf_put_u8(out, 0);
    fm_pg_end(out, at);
}
