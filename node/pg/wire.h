/* Messages of PostgreSQL's frontend/backend protocol, version 3 (PostgreSQL 15 documentation,
 * chapter 55, "Message Formats"): read what a client sends, write what it gets. No I/O, no state.
 *
 * Ownership: what was read borrows the bytes it was read from. Errors: FM_MALFORMED, with what is
 * wrong; FM_LIMIT past a bound of limits.h. Writers append to a buffer, which is sticky. */
#ifndef FM_NODE_PG_WIRE_H
#define FM_NODE_PG_WIRE_H

#include "core/bytes.h"

#define FM_PG_VERSION 3u /* Of the protocol; its minor version is 0. */
#define FM_PG_HEADER_BYTES 5u

/* ---- Before a session: packets without a type ------------------------------------------------ */

enum fm_pg_startup_kind {
    FM_PG_STARTUP = 1,
    FM_PG_SSL_REQUEST = 2, /* Answered with one byte: 'S', then TLS begins, or 'N'. */
    FM_PG_GSS_REQUEST = 3, /* Answered with 'N'. */
    FM_PG_CANCEL = 4,      /* Answered by closing. */
};

struct fm_pg_startup {
    enum fm_pg_startup_kind kind;
    uint16_t major, minor;   /* FM_PG_STARTUP */
    struct fm_span settings; /* FM_PG_STARTUP: for fm_pg_startup_next() */
    uint32_t process;        /* FM_PG_CANCEL: what BackendKeyData told */
    uint32_t secret;
};

/* How long the packet is that begins with these 4 bytes; itself among them. */
FM_MUST_USE enum fm_status fm_pg_startup_length(const uint8_t bytes[4], uint32_t *length,
                                                struct fm_error *err);
FM_MUST_USE enum fm_status fm_pg_startup_read(struct fm_span packet, struct fm_pg_startup *out,
                                              struct fm_error *err);
/* The next "name", "value" of the settings, both with a NUL behind; false at the end. */
bool fm_pg_startup_next(struct fm_span *settings, const char **name, const char **value);

/* ---- What a client sends --------------------------------------------------------------------- */

/* X(NAME, type byte) */
#define FM_PG_FRONTEND_MAP(X)                                                                      \
    X(BIND, 'B')                                                                                   \
    X(CLOSE, 'C')                                                                                  \
    X(COPY_DATA, 'd')                                                                              \
    X(COPY_DONE, 'c')                                                                              \
    X(COPY_FAIL, 'f')                                                                              \
    X(DESCRIBE, 'D')                                                                               \
    X(EXECUTE, 'E')                                                                                \
    X(FLUSH, 'H')                                                                                  \
    X(FUNCTION_CALL, 'F')                                                                          \
    X(PARSE, 'P')                                                                                  \
    X(PASSWORD, 'p')                                                                               \
    X(QUERY, 'Q')                                                                                  \
    X(SYNC, 'S')                                                                                   \
    X(TERMINATE, 'X')

enum fm_pg_frontend {
#define X(name, type) FM_PG_##name = (type),
    FM_PG_FRONTEND_MAP(X)
#undef X
};

/* The message that begins with these bytes: its type, and the length of the body behind them.
 * FM_MALFORMED: no such type, a length below 4; FM_LIMIT: longer than its type may be. */
FM_MUST_USE enum fm_status fm_pg_message_length(const uint8_t header[FM_PG_HEADER_BYTES],
                                                enum fm_pg_frontend *type, uint32_t *length,
                                                struct fm_error *err);

/* Query, Password, CopyFail: one text, with its NUL in the body. */
FM_MUST_USE enum fm_status fm_pg_text_read(struct fm_span body, struct fm_span *text,
                                           struct fm_error *err);

struct fm_pg_parse {
    const char *statement; /* Its name, empty: the unnamed one. */
    struct fm_span sql;
    uint16_t type_count;
    const uint8_t *types; /* fm_pg_get32() each: OIDs, 0: not said. */
};

FM_MUST_USE enum fm_status fm_pg_parse_read(struct fm_span body, struct fm_pg_parse *out,
                                            struct fm_error *err);

enum fm_pg_format { FM_PG_TEXT = 0, FM_PG_BINARY = 1 };

struct fm_pg_bind {
    const char *portal;
    const char *statement;
    uint16_t format_count; /* Of parameters: 0: all text; 1: for all; else one each. */
    const uint8_t *formats;
    uint16_t parameter_count;
    struct fm_span parameters; /* For fm_pg_bind_next(). */
    uint16_t result_format_count;
    const uint8_t *result_formats;
};

FM_MUST_USE enum fm_status fm_pg_bind_read(struct fm_span body, struct fm_pg_bind *out,
                                           struct fm_error *err);
/* The next parameter; `is_null` when there is no value. Call parameter_count times. */
void fm_pg_bind_next(struct fm_span *parameters, bool *is_null, struct fm_span *value);
/* Format `i` of such a list. */
enum fm_pg_format fm_pg_format_at(const uint8_t *formats, uint16_t count, uint16_t i);

struct fm_pg_named { /* Describe, Close */
    bool is_portal;  /* Else a prepared statement. */
    const char *name;
};

FM_MUST_USE enum fm_status fm_pg_named_read(struct fm_span body, struct fm_pg_named *out,
                                            struct fm_error *err);

struct fm_pg_execute {
    const char *portal;
    uint32_t row_limit; /* 0: none. */
};

FM_MUST_USE enum fm_status fm_pg_execute_read(struct fm_span body, struct fm_pg_execute *out,
                                              struct fm_error *err);

/* ---- What a client gets ---------------------------------------------------------------------- */

static inline uint16_t fm_pg_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t fm_pg_get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void fm_pg_put16(struct fm_buf *out, uint16_t value); /* Big endian, as all here. */
void fm_pg_put32(struct fm_buf *out, uint32_t value);
void fm_pg_put64(struct fm_buf *out, uint64_t value);
void fm_pg_put_text(struct fm_buf *out, const char *text); /* With its NUL. */

/* Any message: begin it, put what belongs in, end it with what begin gave. */
size_t fm_pg_begin(struct fm_buf *out, char type);
void fm_pg_end(struct fm_buf *out, size_t at);

void fm_pg_put_authentication(struct fm_buf *out, uint32_t kind); /* 0 ok, 3 cleartext password. */
void fm_pg_put_parameter(struct fm_buf *out, const char *name, const char *value);
void fm_pg_put_key(struct fm_buf *out, uint32_t process, uint32_t secret);
/* `state`: 'I' idle, 'T' in a transaction, 'E' in a failed one. */
void fm_pg_put_ready(struct fm_buf *out, char state);
void fm_pg_put_complete(struct fm_buf *out, const char *tag);
/* Those without a body: 'Z' is not one. "ParseComplete" is '1', "BindComplete" '2', "CloseComplete"
 * '3', "NoData" 'n', "PortalSuspended" 's', "EmptyQueryResponse" 'I', "CopyDone" 'c'. */
void fm_pg_put_empty(struct fm_buf *out, char type);

/* ErrorResponse ('E') or NoticeResponse ('N'). */
struct fm_pg_report {
    const char *severity; /* "ERROR", "FATAL", "NOTICE", "WARNING" */
    const char *sqlstate; /* Five characters. */
    const char *message;
    const char *detail; /* NULL: none. */
    const char *hint;   /* NULL: none. */
    uint32_t position;  /* In characters from 1 in the statement; 0: none. */
};

void fm_pg_put_report(struct fm_buf *out, char type, const struct fm_pg_report *report);

#endif
