/* Startup, login, errors, and simple queries. */
#include "node/pg/session_internal.h"

#include "core/assert.h"
#include "node/pg/sqlstate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Life ------------------------------------------------------------------------------------ */

enum fm_status fm_pg_session_new(const struct fm_pg_backend *backend, uint32_t process,
                                 uint32_t secret, struct fm_pg_session **out)
{
    struct fm_pg_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return FM_NOMEM;
    session->backend = backend;
    session->process = process;
    session->secret = secret;
    session->state = 'I';
    fm_assert(pthread_mutex_init(&session->lock, NULL) == 0);
    if (fm_pg_settings_init(&session->settings) != FM_OK) {
        fm_pg_session_free(session);
        return FM_NOMEM;
    }
    *out = session;
    return FM_OK;
}

void fm_pg_session_free(struct fm_pg_session *session)
{
    if (session == NULL)
        return;
    portals_close(session, true);
    (void)prepared_drop(session, NULL);
    fm_pg_settings_deinit(&session->settings);
    fm_buf_free(&session->out);
    fm_assert(pthread_mutex_destroy(&session->lock) == 0);
    free(session);
}

bool fm_pg_session_is_logged_in(const struct fm_pg_session *session)
{
    return session->is_logged_in;
}

bool fm_pg_session_is_idle(const struct fm_pg_session *session)
{
    return session->portal_count == 0;
}

struct fm_buf *fm_pg_session_out(struct fm_pg_session *session)
{
    return &session->out;
}

void fm_pg_session_cancel(struct fm_pg_session *session)
{
    const struct fm_pg_backend *backend = session->backend;

    fm_assert(pthread_mutex_lock(&session->lock) == 0);
    if (session->is_running)
        backend->cancel(backend->context, &session->running);
    fm_assert(pthread_mutex_unlock(&session->lock) == 0);
}

enum fm_status pg_send(struct fm_pg_session *session, bool all)
{
    if (fm_buf_status(&session->out) != FM_OK)
        return fm_buf_status(&session->out);
    if (session->out.len == 0 || (!all && session->out.len < PG_SEND_BYTES))
        return FM_OK;
    return session->backend->send(session->backend->context, &session->out);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

enum fm_status pg_error(struct fm_pg_session *session, struct fm_error *err, const char *sqlstate,
                        const char *format, ...)
{
    char text[FM_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(session->sqlstate, sqlstate, sizeof session->sqlstate);
    return fm_fail(err, FM_INVALID, "%s", text);
}

/* Whether a message of this weight is wanted: 0 a notice, 1 a warning. */
static bool is_wanted(const struct fm_pg_session *session, unsigned weight)
{
    static const char *const least[] = {"warning", "error"};
    const char *level = fm_pg_setting_get(&session->settings, "client_min_messages");

    for (unsigned i = weight; i < sizeof least / sizeof least[0]; i++)
        if (strcasecmp(level, least[i]) == 0 && i >= weight)
            return false;
    return true;
}

void pg_warn(struct fm_pg_session *session, const char *sqlstate, const char *text)
{
    struct fm_pg_report report = {.severity = "WARNING", .sqlstate = sqlstate, .message = text};

    if (is_wanted(session, 1))
        fm_pg_put_report(&session->out, 'N', &report);
}

void pg_notice(struct fm_pg_session *session, const char *text)
{
    struct fm_pg_report report = {.severity = "NOTICE", .sqlstate = "00000", .message = text};

    if (is_wanted(session, 0))
        fm_pg_put_report(&session->out, 'N', &report);
}

/* PostgreSQL says the place in a field of its own, and not which part of it found the fault. */
static uint32_t take_place(char *text)
{
    static const char *const parts[] = {
        "Parser Error: ",       "Binder Error: ",       "Catalog Error: ",
        "Conversion Error: ",   "Out of Range Error: ", "Invalid Input Error: ",
        "Invalid input Error: "};
    static const char words[] = " (at character ";
    uint32_t place = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strncmp(text, parts[i], strlen(parts[i])) == 0)
            memmove(text, text + strlen(parts[i]), strlen(text + strlen(parts[i])) + 1);
    char *at = strstr(text, words);
    if (at != NULL && sscanf(at + sizeof words - 1, "%" SCNu32 ")", &place) == 1)
        *at = '\0';
    return place;
}

static void put_error(struct fm_pg_session *session, const char *severity, enum fm_status status,
                      const struct fm_error *err)
{
    char text[FM_ERROR_TEXT_MAX];
    const char *state = session->sqlstate;

    if (state[0] == '\0')
        state = fm_pg_sqlstate(status, err->text);
    memcpy(text, err->text, sizeof text);
    uint32_t place = take_place(text);
    struct fm_pg_report report = {.severity = severity,
                                  .sqlstate = state,
                                  .message = text[0] != '\0' ? text : fm_status_text(status),
                                  .position = place};
    fm_pg_put_report(&session->out, 'E', &report);
    session->sqlstate[0] = '\0';
}

void fm_pg_session_refuse(struct fm_pg_session *session, enum fm_status status,
                          const struct fm_error *err)
{
    put_error(session, "FATAL", status, err);
}

/* An error of a statement: whatever block it stands in has failed. */
void pg_fail_statement(struct fm_pg_session *session, enum fm_status status,
                       const struct fm_error *err)
{
    put_error(session, "ERROR", status, err);
    if (session->state == 'T')
        session->state = 'E';
}

/* ---- Startup --------------------------------------------------------------------------------- */

static enum fm_status take_startup_setting(struct fm_pg_session *session, const char *name,
                                           const char *value, struct fm_error *err)
{
    if (strcmp(name, "user") == 0 || strcmp(name, "database") == 0) {
        char *to = name[0] == 'u' ? session->user : session->database;
        if (strlen(value) > PG_NAME_MAX)
            return fm_fail(err, FM_INVALID, "the %s has more than %u bytes", name, PG_NAME_MAX);
        memcpy(to, value, strlen(value) + 1);
        return FM_OK;
    }
    if (strcmp(name, "replication") == 0 && strcasecmp(value, "false") != 0)
        return fm_fail(err, FM_UNSUPPORTED, "this node has no replication protocol");
    if (strcmp(name, "options") == 0 || strcmp(name, "replication") == 0 ||
        strncmp(name, "_pq_.", 5) == 0)
        return FM_OK;
    enum fm_status status = fm_pg_setting_set(&session->settings, name, value, err);
    if (status != FM_OK)
        memcpy(session->sqlstate, status == FM_NOTFOUND ? "42704" : "22023", 6);
    return status;
}

/* Newer clients ask for more than 3.0, or for options: they are told what there is. */
static void put_version(struct fm_pg_session *session, const struct fm_pg_startup *startup)
{
    struct fm_span settings = startup->settings;
    const char *name = NULL, *value = NULL;
    uint32_t unknown = 0;

    while (fm_pg_startup_next(&settings, &name, &value))
        unknown += strncmp(name, "_pq_.", 5) == 0;
    if (startup->minor == 0 && unknown == 0)
        return;
    size_t at = fm_pg_begin(&session->out, 'v');
    fm_pg_put32(&session->out, FM_PG_VERSION << 16);
    fm_pg_put32(&session->out, unknown);
    settings = startup->settings;
    while (fm_pg_startup_next(&settings, &name, &value))
        if (strncmp(name, "_pq_.", 5) == 0)
            fm_pg_put_text(&session->out, name);
    fm_pg_end(&session->out, at);
}

enum fm_status fm_pg_session_start(struct fm_pg_session *session,
                                   const struct fm_pg_startup *startup)
{
    struct fm_span settings = startup->settings;
    const char *name = NULL, *value = NULL;
    struct fm_error err = {0};
    enum fm_status status = FM_OK;

    while (status == FM_OK && fm_pg_startup_next(&settings, &name, &value))
        status = take_startup_setting(session, name, value, &err);
    if (status == FM_OK && session->user[0] == '\0')
        status = fm_fail(&err, FM_MALFORMED, "no user name in the startup packet");
    if (status != FM_OK) {
        put_error(session, "FATAL", status, &err);
        return status;
    }
    session->is_started = true;
    put_version(session, startup);
    fm_pg_put_authentication(&session->out, 3);
    return FM_OK;
}

static enum fm_status login(struct fm_pg_session *session, struct fm_span body)
{
    const struct fm_pg_backend *backend = session->backend;
    struct fm_error err = {0};
    struct fm_span password;

    enum fm_status status = fm_pg_text_read(body, &password, &err);
    if (status == FM_OK)
        status = backend->login(backend->context, session->user, password, &err);
    if (status != FM_OK) {
        memcpy(session->sqlstate, "28P01", 6);
        put_error(session, "FATAL", status, &err);
        return status;
    }
    session->is_logged_in = true;
    status = fm_pg_settings_own(&session->settings, "session_authorization", session->user);
    fm_pg_put_authentication(&session->out, 0);
    fm_pg_settings_tell(&session->settings, NULL, &session->out);
    fm_pg_put_key(&session->out, session->process, session->secret);
    fm_pg_put_ready(&session->out, session->state);
    return status;
}

/* ---- Simple queries -------------------------------------------------------------------------- */

enum fm_status pg_refuse_in_failed(struct fm_pg_session *session, struct fm_error *err)
{
    if (session->state != 'E')
        return FM_OK;
    return pg_error(session, err, "25P02",
                    "current transaction is aborted, commands ignored until end of transaction "
                    "block");
}

void pg_put_select_complete(struct fm_pg_session *session, uint64_t rows)
{
    char tag[32];

    (void)snprintf(tag, sizeof tag, "SELECT %" PRIu64, rows);
    fm_pg_put_complete(&session->out, tag);
}

static enum fm_status run_query(struct fm_pg_session *session, struct fm_span sql,
                                struct fm_error *err)
{
    struct portal *portal = NULL;
    uint64_t rows = 0;

    enum fm_status status = pg_refuse_in_failed(session, err);
    if (status == FM_OK)
        status = portal_new(session, "", sql, &portal, err);
    if (status == FM_OK)
        status = portal_open(session, portal, err);
    if (status == FM_OK && portal->columns->count != 0)
        portal_describe(session, portal);
    if (status == FM_OK)
        status = portal_run(session, portal, 0, true, &rows, err);
    if (status == FM_OK)
        pg_put_select_complete(session, rows);
    if (portal != NULL)
        portal_close(session, portal);
    return status;
}

static enum fm_status simple_query(struct fm_pg_session *session, struct fm_span body)
{
    struct fm_error err = {0};
    struct fm_span text = {0}, sql;
    bool is_empty = true;

    enum fm_status status = fm_pg_text_read(body, &text, &err);
    struct fm_cursor at = fm_cursor(text);
    while (status == FM_OK && fm_pg_statement_next(&at, &sql)) {
        enum fm_pg_statement_kind kind = fm_pg_statement_kind(sql);
        is_empty = false;
        status = kind == FM_PG_QUERY_STATEMENT
                     ? run_query(session, sql, &err)
                     : utility_run(session, kind, sql, UTILITY_SIMPLE, &err);
    }
    if (status == FM_OK && is_empty)
        fm_pg_put_empty(&session->out, 'I');
    if (status != FM_OK)
        pg_fail_statement(session, status, &err);
    fm_pg_put_ready(&session->out, session->state);
    return FM_OK;
}

/* The end of what belongs together; outside a block also of its portals. */
static enum fm_status sync_all(struct fm_pg_session *session)
{
    session->is_failed = false;
    if (session->state == 'I')
        portals_close(session, false);
    fm_pg_put_ready(&session->out, session->state);
    return pg_send(session, true);
}

enum fm_status fm_pg_session_message(struct fm_pg_session *session, enum fm_pg_frontend type,
                                     struct fm_span body)
{
    struct fm_error err = {0};

    if (type == FM_PG_TERMINATE)
        return FM_CANCELLED;
    if (!session->is_logged_in) {
        if (type == FM_PG_PASSWORD && session->is_started)
            return login(session, body);
        enum fm_status status =
            fm_fail(&err, FM_MALFORMED, "expected password response, got message type %u", type);
        put_error(session, "FATAL", status, &err);
        return status;
    }
    switch (type) {
    case FM_PG_QUERY:
        session->is_failed = false;
        return simple_query(session, body) == FM_OK ? pg_send(session, true) : FM_IO;
    case FM_PG_SYNC:
        return sync_all(session);
    case FM_PG_FLUSH:
        return pg_send(session, true);
    case FM_PG_COPY_DATA: /* Of a COPY that failed meanwhile: passed over, as PostgreSQL does. */
    case FM_PG_COPY_DONE:
    case FM_PG_COPY_FAIL:
    case FM_PG_PASSWORD:
        return FM_OK;
    default:
        return extended_message(session, type, body);
    }
}
