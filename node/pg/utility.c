/* Statements that the session answers itself: transactions, settings, cursors. */
#include "node/pg/session_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct statement {
    struct fm_pg_session *session;
    struct fm_cursor at; /* Behind what was read of it. */
    struct fm_pg_token token;
    struct fm_error *err;
};

static void advance(struct statement *s)
{
    s->token = fm_pg_token_next(&s->at);
}

/* Is it this word? Then go on to the next. */
static bool accept(struct statement *s, const char *word)
{
    bool is = fm_pg_token_is(&s->token, word);

    if (is)
        advance(s);
    return is;
}

static enum fm_status syntax(struct statement *s)
{
    if (s->token.kind == FM_PG_END)
        return pg_error(s->session, s->err, "42601", "syntax error at end of input");
    return pg_error(s->session, s->err, "42601", "syntax error at or near \"%.*s\"",
                    (int)(s->token.text.len < 64 ? s->token.text.len : 64),
                    (const char *)s->token.text.data);
}

static enum fm_status demand_end(struct statement *s)
{
    return s->token.kind == FM_PG_END ? FM_OK : syntax(s);
}

/* Append what a name, a word, a string or a number stands for. */
static enum fm_status take_text(struct statement *s, struct fm_buf *out)
{
    if (s->token.kind == FM_PG_END || s->token.kind == FM_PG_SIGN ||
        fm_pg_token_value(&s->token, out) != FM_OK)
        return syntax(s);
    advance(s);
    return FM_OK;
}

/* The same as a text of at most `size` - 1 bytes. */
static enum fm_status take_value(struct statement *s, char *out, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);

    enum fm_status status = take_text(s, &value);
    if (status != FM_OK)
        return status;
    if (value.len >= size)
        return pg_error(s->session, s->err, "42622", "a name or value of more than %zu bytes",
                        size - 1);
    memcpy(out, value.len != 0 ? (const char *)value.data : "", value.len);
    out[value.len] = '\0';
    return FM_OK;
}

/* ---- Transactions ---------------------------------------------------------------------------- */

static enum fm_status begin(struct statement *s)
{
    struct fm_pg_session *session = s->session;

    /* Isolation and access mode change nothing: all of them only read. */
    if (session->state == 'T')
        pg_warn(session, "25001", "there is already a transaction in progress");
    session->state = 'T';
    fm_pg_put_complete(&session->out, "BEGIN");
    return FM_OK;
}

static void end_transaction(struct fm_pg_session *session)
{
    session->state = 'I';
    session->savepoint_count = 0;
    portals_close(session, false);
}

static enum fm_status commit(struct statement *s, bool is_rollback)
{
    struct fm_pg_session *session = s->session;
    bool was_failed = session->state == 'E';

    if (session->state == 'I')
        pg_warn(session, "25P01", "there is no transaction in progress");
    end_transaction(session);
    fm_pg_put_complete(&session->out, is_rollback || was_failed ? "ROLLBACK" : "COMMIT");
    return FM_OK;
}

/* The last savepoint of that name; the count of them: none. */
static uint32_t find_savepoint(const struct fm_pg_session *session, const char *name)
{
    for (uint32_t i = session->savepoint_count; i > 0; i--)
        if (strcmp(session->savepoints[i - 1], name) == 0)
            return i - 1;
    return session->savepoint_count;
}

static enum fm_status savepoint(struct statement *s, enum fm_pg_statement_kind kind)
{
    struct fm_pg_session *session = s->session;
    static const char *const tags[] = {
        [FM_PG_SAVEPOINT] = "SAVEPOINT",
        [FM_PG_RELEASE] = "RELEASE",
        [FM_PG_ROLLBACK_TO] = "ROLLBACK",
    };
    char name[PG_NAME_MAX + 1];

    if (kind == FM_PG_ROLLBACK_TO)
        while (s->token.kind == FM_PG_WORD && !fm_pg_token_is(&s->token, "TO"))
            advance(s);
    if (kind == FM_PG_ROLLBACK_TO)
        advance(s);
    if (kind != FM_PG_SAVEPOINT)
        (void)accept(s, "SAVEPOINT");
    enum fm_status status = take_value(s, name, sizeof name);
    if (status != FM_OK)
        return status;
    if (session->state == 'I')
        return pg_error(session, s->err, "25P01", "%s can only be used in transaction blocks",
                        kind == FM_PG_ROLLBACK_TO ? "ROLLBACK TO SAVEPOINT" : tags[kind]);
    uint32_t i = find_savepoint(session, name);
    if (kind == FM_PG_SAVEPOINT) {
        if (session->savepoint_count == FM_PG_SAVEPOINTS_MAX)
            return pg_error(session, s->err, "53400", "more than %u savepoints",
                            FM_PG_SAVEPOINTS_MAX);
        memcpy(session->savepoints[session->savepoint_count++], name, sizeof name);
    } else if (i == session->savepoint_count) {
        return pg_error(session, s->err, "3B001", "savepoint \"%s\" does not exist", name);
    } else {
        session->savepoint_count = kind == FM_PG_RELEASE ? i : i + 1;
        session->state = kind == FM_PG_ROLLBACK_TO ? 'T' : session->state;
    }
    fm_pg_put_complete(&session->out, tags[kind]);
    return FM_OK;
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* The id of a query stands for the heads that it read. */
static enum fm_status set_heads(struct statement *s, struct fm_settings_statement *statement)
{
    enum fm_status status = pg_refuse_in_failed(s->session, s->err);

    if (status == FM_OK)
        status = pg_find_heads(s->session, statement, s->err);
    return status == FM_OK ? fm_settings_change(&s->session->settings.mesh, statement, s->err)
                           : status;
}

static enum fm_status set_value(struct statement *s, const char *name, const char *value)
{
    struct fm_pg_session *session = s->session;
    struct fm_settings_statement statement = {.verb = FM_SETTINGS_SET};
    bool is_of_mesh = value != NULL && fm_setting_find(fm_span_str(name), &statement.setting);

    fm_buf_put_str(&statement.value, is_of_mesh ? value : "");
    enum fm_status status = is_of_mesh && fm_settings_names_query(&statement)
                                ? set_heads(s, &statement)
                                : fm_pg_setting_set(&session->settings, name, value, s->err);
    fm_buf_free(&statement.value);
    if (status != FM_OK) {
        if (session->sqlstate[0] == '\0')
            memcpy(session->sqlstate, status == FM_NOTFOUND ? "42704" : "22023",
                   sizeof session->sqlstate);
        return status;
    }
    fm_pg_settings_tell(&session->settings, name, &session->out);
    return FM_OK;
}

/* "a.b" or a name; what stands for several words is turned into one setting's name. */
static enum fm_status take_setting(struct statement *s, char *out, size_t size)
{
    if (accept(s, "TIME")) {
        (void)snprintf(out, size, "TimeZone");
        return accept(s, "ZONE") ? FM_OK : syntax(s);
    }
    enum fm_status status = take_value(s, out, size);
    if (status == FM_OK && strcmp(out, "names") == 0)
        (void)snprintf(out, size, "client_encoding");
    if (status == FM_OK && strcmp(out, "transaction") == 0 && accept(s, "ISOLATION")) {
        (void)snprintf(out, size, "transaction_isolation");
        return accept(s, "LEVEL") ? FM_OK : syntax(s);
    }
    if (status != FM_OK || !fm_pg_token_is(&s->token, "."))
        return status;
    advance(s);
    size_t len = strlen(out);
    if (len + 2 >= size)
        return syntax(s);
    out[len] = '.';
    return take_value(s, out + len + 1, size - len - 1);
}

/* SET [SESSION | LOCAL] name {TO | =} {value [, ...] | DEFAULT}, and its older forms. */
static enum fm_status set(struct statement *s)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(FM_PG_SQL_BYTES_MAX);
    char name[2 * PG_NAME_MAX + 2];
    enum fm_setting of_mesh = FM_SETTING_ALL;

    advance(s);
    if (!accept(s, "SESSION"))
        (void)accept(s, "LOCAL");
    if (fm_pg_token_is(&s->token, "CHARACTERISTICS") || fm_pg_token_is(&s->token, "TRANSACTION") ||
        fm_pg_token_is(&s->token, "ROLE")) {
        fm_pg_put_complete(&s->session->out, "SET"); /* Without effect here. */
        return FM_OK;
    }
    enum fm_status status = take_setting(s, name, sizeof name);
    if (status == FM_OK && !accept(s, "TO"))
        (void)accept(s, "=");
    bool is_default = fm_pg_token_is(&s->token, "DEFAULT");
    if (status == FM_OK && s->token.kind == FM_PG_END)
        return syntax(s);
    const char *between = fm_setting_find(fm_span_str(name), &of_mesh) ? "," : ", ";
    for (bool is_first = true; status == FM_OK && s->token.kind != FM_PG_END; is_first = false) {
        fm_buf_put_str(&value, is_first ? "" : between);
        if (accept(s, "-"))
            fm_buf_put_u8(&value, '-');
        status = take_text(s, &value);
        if (status == FM_OK && !accept(s, ","))
            status = demand_end(s);
    }
    fm_buf_put_u8(&value, 0);
    if (status == FM_OK)
        status = fm_buf_status(&value);
    if (status == FM_OK)
        status = set_value(s, name, is_default ? NULL : (const char *)value.data);
    if (status == FM_OK)
        fm_pg_put_complete(&s->session->out, "SET");
    return status;
}

static void put_text_columns(struct fm_buf *out, const char *const *names, uint16_t count)
{
    size_t at = fm_pg_begin(out, 'T');

    fm_pg_put16(out, count);
    for (uint16_t i = 0; i < count; i++) {
        fm_pg_put_text(out, names[i]);
        fm_pg_put32(out, 0);
        fm_pg_put16(out, 0);
        fm_pg_put32(out, FM_PG_OID_TEXT);
        fm_pg_put16(out, (uint16_t)-1);
        fm_pg_put32(out, UINT32_MAX);
        fm_pg_put16(out, FM_PG_TEXT);
    }
    fm_pg_end(out, at);
}

static void put_text_row(struct fm_buf *out, const char *const *values, uint16_t count)
{
    size_t at = fm_pg_begin(out, 'D');

    fm_pg_put16(out, count);
    for (uint16_t i = 0; i < count; i++) {
        fm_pg_put32(out, (uint32_t)strlen(values[i]));
        fm_buf_put_str(out, values[i]);
    }
    fm_pg_end(out, at);
}

/* In the extended protocol the columns are told by Describe alone. */
static enum fm_status show(struct statement *s, enum utility_mode mode)
{
    static const char *const all[] = {"name", "setting", "description"};
    struct fm_pg_session *session = s->session;
    char name[2 * PG_NAME_MAX + 2];
    const char *row[3] = {NULL, NULL, NULL};
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(FM_PG_SQL_BYTES_MAX);

    advance(s);
    if (accept(s, "ALL")) {
        if (mode != UTILITY_EXECUTE)
            put_text_columns(&session->out, all, 3);
        for (uint32_t i = 0; mode != UTILITY_DESCRIBE &&
                             fm_pg_settings_at(&session->settings, i, &row[0], &value, &row[2]);
             i++) {
            fm_buf_put_u8(&value, 0);
            row[1] = (const char *)value.data;
            put_text_row(&session->out, row, 3);
            fm_buf_clear(&value);
        }
    } else {
        enum fm_status status = take_setting(s, name, sizeof name);
        if (status != FM_OK)
            return status;
        status = fm_pg_setting_print(&session->settings, name, &value);
        if (status == FM_NOTFOUND)
            return pg_error(session, s->err, "42704", "unrecognized configuration parameter \"%s\"",
                            name);
        fm_buf_put_u8(&value, 0);
        if (fm_buf_status(&value) != FM_OK)
            return fm_fail(s->err, FM_NOMEM, "show a setting");
        row[0] = (const char *)value.data;
        const char *column = name;
        if (mode != UTILITY_EXECUTE)
            put_text_columns(&session->out, &column, 1);
        if (mode != UTILITY_DESCRIBE)
            put_text_row(&session->out, row, 1);
    }
    if (mode != UTILITY_DESCRIBE)
        fm_pg_put_complete(&session->out, "SHOW");
    return FM_OK;
}

static enum fm_status reset(struct statement *s)
{
    struct fm_pg_session *session = s->session;
    char name[2 * PG_NAME_MAX + 2];

    advance(s);
    if (accept(s, "ALL")) {
        fm_pg_settings_reset(&session->settings);
        fm_pg_settings_tell(&session->settings, NULL, &session->out);
    } else {
        enum fm_status status = take_setting(s, name, sizeof name);
        if (status == FM_OK)
            status = set_value(s, name, NULL);
        if (status != FM_OK)
            return status;
    }
    fm_pg_put_complete(&session->out, "RESET");
    return FM_OK;
}

/* ---- Prepared statements --------------------------------------------------------------------- */

static enum fm_status deallocate(struct statement *s)
{
    struct fm_pg_session *session = s->session;
    char name[PG_NAME_MAX + 1];

    advance(s);
    (void)accept(s, "PREPARE");
    if (accept(s, "ALL")) {
        (void)prepared_drop(session, NULL);
        fm_pg_put_complete(&session->out, "DEALLOCATE ALL");
        return FM_OK;
    }
    enum fm_status status = take_value(s, name, sizeof name);
    if (status != FM_OK)
        return status;
    if (prepared_drop(session, name) == 0)
        return pg_error(session, s->err, "26000", "prepared statement \"%s\" does not exist", name);
    fm_pg_put_complete(&session->out, "DEALLOCATE");
    return FM_OK;
}

static enum fm_status discard(struct statement *s)
{
    struct fm_pg_session *session = s->session;

    advance(s);
    if (!accept(s, "ALL")) { /* Plans, sequences, temporary tables: there are none. */
        fm_pg_put_complete(&session->out, "DISCARD");
        return FM_OK;
    }
    if (session->state != 'I')
        return pg_error(session, s->err, "25001",
                        "DISCARD ALL cannot run inside a transaction block");
    (void)prepared_drop(session, NULL);
    portals_close(session, true);
    fm_pg_settings_reset(&session->settings);
    fm_pg_settings_tell(&session->settings, NULL, &session->out);
    fm_pg_put_complete(&session->out, "DISCARD ALL");
    return FM_OK;
}

/* ---- Cursors --------------------------------------------------------------------------------- */

/* DECLARE name [BINARY] [INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH | WITHOUT} HOLD] FOR query */
static enum fm_status declare(struct statement *s)
{
    struct fm_pg_session *session = s->session;
    char name[PG_NAME_MAX + 1];
    struct portal *portal = NULL;
    bool is_binary = false, is_kept = false;

    advance(s);
    enum fm_status status = take_value(s, name, sizeof name);
    while (status == FM_OK && !fm_pg_token_is(&s->token, "CURSOR")) {
        is_binary |= fm_pg_token_is(&s->token, "BINARY");
        if (s->token.kind != FM_PG_WORD)
            status = syntax(s);
        advance(s);
    }
    advance(s);
    if (accept(s, "WITH"))
        is_kept = true;
    else
        (void)accept(s, "WITHOUT");
    (void)accept(s, "HOLD");
    if (status == FM_OK && !fm_pg_token_is(&s->token, "FOR"))
        status = syntax(s);
    if (status != FM_OK)
        return status;
    if (session->state != 'T' && !is_kept)
        return pg_error(session, s->err, "25P01",
                        "DECLARE CURSOR can only be used in transaction blocks");
    const uint8_t *end = s->at.end;
    advance(s);
    if (s->token.kind == FM_PG_END)
        return syntax(s);
    struct fm_span query = fm_span(s->token.text.data, (size_t)(end - s->token.text.data));
    status = portal_new(session, name, query, &portal, s->err);
    if (status != FM_OK)
        return status;
    portal->is_cursor = true;
    portal->is_kept = is_kept;
    portal->formats = calloc(1, sizeof *portal->formats);
    portal->format_count = portal->formats != NULL ? 1 : 0;
    if (is_binary && portal->formats != NULL)
        portal->formats[0] = FM_PG_BINARY;
    status = portal_open(session, portal, s->err);
    if (status != FM_OK) {
        portal_close(session, portal);
        return status;
    }
    fm_pg_put_complete(&session->out, "DECLARE CURSOR");
    return FM_OK;
}

/* How many rows FETCH or MOVE wants, 0: all. */
static enum fm_status take_count(struct statement *s, uint64_t *count, bool *is_nothing)
{
    char text[24];

    *count = 1;
    if (accept(s, "NEXT") || fm_pg_token_is(&s->token, "FROM") || fm_pg_token_is(&s->token, "IN"))
        return FM_OK;
    (void)accept(s, "FORWARD");
    if (accept(s, "ALL")) {
        *count = 0;
        return FM_OK;
    }
    if (s->token.kind == FM_PG_NUMBER) {
        enum fm_status status = take_value(s, text, sizeof text);
        *count = strtoull(text, NULL, 10);
        *is_nothing = *count == 0;
        return status;
    }
    static const char *const backward[] = {"PRIOR",    "FIRST",    "LAST", "ABSOLUTE",
                                           "RELATIVE", "BACKWARD", "-"};
    for (size_t i = 0; i < sizeof backward / sizeof backward[0]; i++)
        if (fm_pg_token_is(&s->token, backward[i]))
            return pg_error(s->session, s->err, "55000", "cursor can only scan forward");
    return FM_OK; /* The cursor's name. */
}

static enum fm_status fetch(struct statement *s, bool is_move, enum utility_mode mode)
{
    struct fm_pg_session *session = s->session;
    char name[PG_NAME_MAX + 1], tag[48];
    uint64_t count = 0, rows = 0;
    bool is_nothing = false;

    advance(s);
    enum fm_status status = take_count(s, &count, &is_nothing);
    if (status == FM_OK && !accept(s, "FROM"))
        (void)accept(s, "IN");
    if (status == FM_OK)
        status = take_value(s, name, sizeof name);
    if (status == FM_OK)
        status = demand_end(s);
    if (status != FM_OK)
        return status;
    struct portal *portal = portal_find(session, name);
    if (portal == NULL || !portal->is_cursor)
        return pg_error(session, s->err, "34000", "cursor \"%s\" does not exist", name);
    if (!is_move && mode != UTILITY_EXECUTE)
        portal_describe(session, portal);
    if (mode == UTILITY_DESCRIBE)
        return FM_OK;
    if (!is_nothing)
        status = portal_run(session, portal, count, !is_move, &rows, s->err);
    if (status != FM_OK)
        return status;
    (void)snprintf(tag, sizeof tag, "%s %" PRIu64, is_move ? "MOVE" : "FETCH", rows);
    fm_pg_put_complete(&session->out, tag);
    return FM_OK;
}

static enum fm_status close_cursor(struct statement *s)
{
    struct fm_pg_session *session = s->session;
    char name[PG_NAME_MAX + 1];

    advance(s);
    if (accept(s, "ALL")) {
        portals_close(session, true);
        fm_pg_put_complete(&session->out, "CLOSE CURSOR ALL");
        return FM_OK;
    }
    enum fm_status status = take_value(s, name, sizeof name);
    struct portal *portal = status == FM_OK ? portal_find(session, name) : NULL;
    if (status != FM_OK)
        return status;
    if (portal == NULL)
        return pg_error(session, s->err, "34000", "cursor \"%s\" does not exist", name);
    portal_close(session, portal);
    fm_pg_put_complete(&session->out, "CLOSE CURSOR");
    return FM_OK;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum fm_status listen(struct statement *s)
{
    bool is_unlisten = fm_pg_token_is(&s->token, "UNLISTEN");

    if (!is_unlisten && !fm_pg_token_is(&s->token, "LISTEN"))
        return pg_error(s->session, s->err, "0A000",
                        "this node has no NOTIFY: follow a table's "
                        "facts instead");
    fm_pg_put_complete(&s->session->out, is_unlisten ? "UNLISTEN" : "LISTEN");
    return FM_OK;
}

static enum fm_status run(struct statement *s, enum fm_pg_statement_kind kind, struct fm_span sql,
                          enum utility_mode mode)
{
    switch (kind) {
    case FM_PG_BEGIN:
        return begin(s);
    case FM_PG_COMMIT:
    case FM_PG_ROLLBACK:
        return commit(s, kind == FM_PG_ROLLBACK);
    case FM_PG_SAVEPOINT:
    case FM_PG_RELEASE:
        advance(s);
        return savepoint(s, kind);
    case FM_PG_ROLLBACK_TO:
        return savepoint(s, kind);
    case FM_PG_SET:
        return set(s);
    case FM_PG_SHOW:
        return show(s, mode);
    case FM_PG_RESET:
        return reset(s);
    case FM_PG_DISCARD:
        return discard(s);
    case FM_PG_DEALLOCATE:
        return deallocate(s);
    case FM_PG_DECLARE:
        return declare(s);
    case FM_PG_FETCH:
    case FM_PG_MOVE:
        return fetch(s, kind == FM_PG_MOVE, mode);
    case FM_PG_CLOSE_CURSOR:
        return close_cursor(s);
    case FM_PG_LISTEN:
        return listen(s);
    case FM_PG_COPY:
        return portal_copy(s->session, sql, s->err);
    case FM_PG_EMPTY:
        fm_pg_put_empty(&s->session->out, 'I');
        return FM_OK;
    default:
        return pg_error(s->session, s->err, "0A000", "this statement is not supported yet");
    }
}

enum fm_status utility_run(struct fm_pg_session *session, enum fm_pg_statement_kind kind,
                           struct fm_span sql, enum utility_mode mode, struct fm_error *err)
{
    struct statement s = {.session = session, .at = fm_cursor(sql), .err = err};
    bool gives_rows = kind == FM_PG_SHOW || kind == FM_PG_FETCH;
    bool ends = kind == FM_PG_COMMIT || kind == FM_PG_ROLLBACK || kind == FM_PG_ROLLBACK_TO;

    advance(&s);
    if (mode == UTILITY_DESCRIBE && !gives_rows) {
        fm_pg_put_empty(&session->out, 'n');
        return FM_OK;
    }
    enum fm_status status = ends || kind == FM_PG_EMPTY ? FM_OK : pg_refuse_in_failed(session, err);
    return status == FM_OK ? run(&s, kind, sql, mode) : status;
}
