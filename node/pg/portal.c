/* Portals: queries that run for a client, and the rows that it gets of them. */
#include "node/pg/session_internal.h"

#include "core/assert.h"

#include <inttypes.h>
#include <stdlib.h>

struct portal *portal_find(struct fm_pg_session *session, const char *name)
{
    for (uint32_t i = 0; i < session->portal_count; i++)
        if (strcmp(session->portals[i]->name, name) == 0)
            return session->portals[i];
    return NULL;
}

void portal_end(struct fm_pg_session *session, struct portal *portal)
{
    if (portal->query != NULL)
        session->backend->close(session->backend->context, FM_TAKE(portal->query));
    fm_buf_free(&portal->sql);
    free(portal->formats);
}

static void portal_free(struct fm_pg_session *session, struct portal *portal)
{
    portal_end(session, portal);
    free(portal);
}

void portal_close(struct fm_pg_session *session, struct portal *portal)
{
    for (uint32_t i = 0; i < session->portal_count; i++) {
        if (session->portals[i] != portal)
            continue;
        session->portals[i] = session->portals[--session->portal_count];
        portal_free(session, portal);
        return;
    }
}

void portals_close(struct fm_pg_session *session, bool all)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < session->portal_count; i++) {
        if (session->portals[i]->is_kept && !all)
            session->portals[kept++] = session->portals[i];
        else
            portal_free(session, session->portals[i]);
    }
    session->portal_count = kept;
}

enum fm_status portal_new(struct fm_pg_session *session, const char *name, struct fm_span sql,
                          struct portal **out, struct fm_error *err)
{
    struct portal *old = portal_find(session, name);

    if (strlen(name) > PG_NAME_MAX)
        return pg_error(session, err, "42622", "portal names have at most %u bytes", PG_NAME_MAX);
    if (old != NULL && name[0] != '\0')
        return pg_error(session, err, "42P03", "cursor \"%s\" already exists", name);
    if (old != NULL)
        portal_close(session, old);
    if (session->portal_count == FM_PG_PORTALS_MAX)
        return pg_error(session, err, "53400", "more than %u open cursors and portals: close some",
                        FM_PG_PORTALS_MAX);
    struct portal *portal = calloc(1, sizeof *portal);
    if (portal == NULL)
        return fm_fail(err, FM_NOMEM, "open a portal");
    memcpy(portal->name, name, strlen(name) + 1);
    fm_buf_put_span(&portal->sql, sql);
    session->portals[session->portal_count++] = portal;
    *out = portal;
    return fm_buf_status(&portal->sql);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool is_on(const char *value)
{
    return value != NULL && (strcasecmp(value, "on") == 0 || strcasecmp(value, "true") == 0 ||
                             strcmp(value, "1") == 0);
}

/* How it is to be answered, from the settings of the session. */
static enum fm_status fill_body(struct fm_pg_session *session, struct fm_span sql,
                                struct fm_query_body *body, struct fm_error *err)
{
    const struct fm_pg_settings *settings = &session->settings;
    const char *unavailable = fm_pg_setting_get(settings, "folkmoot.on_unavailable");
    const char *without = fm_pg_setting_get(settings, "folkmoot.rules_off");

    *body = (struct fm_query_body){.sql = sql};
    if (unavailable != NULL && strcasecmp(unavailable, "skip") == 0)
        body->on_unavailable = FM_UNAVAILABLE_SKIP;
    else if (unavailable != NULL && unavailable[0] != '\0' && strcasecmp(unavailable, "fail") != 0)
        return pg_error(session, err, "22023",
                        "folkmoot.on_unavailable is fail or skip, not \"%s\"", unavailable);
    body->allows_partial_aggregates =
        body->on_unavailable == FM_UNAVAILABLE_SKIP &&
        is_on(fm_pg_setting_get(settings, "folkmoot.allow_partial_aggregates"));
    if (without != NULL && without[0] != '\0')
        return fm_rules_parse(fm_span_str(without), &body->rules_off, err);
    return FM_OK;
}

static void set_running(struct fm_pg_session *session, const struct fm_request_id *id)
{
    fm_assert(pthread_mutex_lock(&session->lock) == 0);
    session->is_running = id != NULL;
    if (id != NULL)
        session->running = *id;
    fm_assert(pthread_mutex_unlock(&session->lock) == 0);
}

enum fm_status portal_open(struct fm_pg_session *session, struct portal *portal,
                           struct fm_error *err)
{
    const struct fm_pg_backend *backend = session->backend;
    struct fm_query_body body;
    struct fm_request_id id;

    if (portal->query != NULL || portal->is_over)
        return FM_OK;
    enum fm_status status = fill_body(session, fm_buf_span(&portal->sql), &body, err);
    if (status != FM_OK)
        return status;
    backend->random(backend->context, id.bytes, sizeof id.bytes);
    set_running(session, &id);
    status = backend->open(backend->context, &id, &body, fm_pg_settings_timeout(&session->settings),
                           &portal->query, &portal->columns, err);
    if (status != FM_OK)
        set_running(session, NULL);
    return status;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum fm_pg_format format_of(const uint16_t *formats, uint32_t count, uint32_t column)
{
    if (count == 0)
        return FM_PG_TEXT;
    return (enum fm_pg_format)formats[count == 1 ? 0 : column];
}

void pg_put_columns(struct fm_buf *out, const struct fm_columns *columns, const uint16_t *formats,
                    uint32_t format_count)
{
    size_t at = fm_pg_begin(out, 'T');

    fm_pg_put16(out, (uint16_t)columns->count);
    for (uint32_t i = 0; i < columns->count; i++) {
        struct fm_pg_type type = fm_pg_type_of(&columns->items[i].type);
        fm_pg_put_text(out, columns->items[i].name);
        fm_pg_put32(out, 0); /* Of no table, */
        fm_pg_put16(out, 0); /* no column of it. */
        fm_pg_put32(out, type.oid);
        fm_pg_put16(out, (uint16_t)type.length);
        fm_pg_put32(out, (uint32_t)type.modifier);
        fm_pg_put16(out, (uint16_t)format_of(formats, format_count, i));
    }
    fm_pg_end(out, at);
}

void portal_describe(struct fm_pg_session *session, const struct portal *portal)
{
    if (portal->columns == NULL || portal->columns->count == 0)
        fm_pg_put_empty(&session->out, 'n');
    else
        pg_put_columns(&session->out, portal->columns, portal->formats, portal->format_count);
}

static enum fm_status put_row(struct fm_pg_session *session, const struct portal *portal)
{
    const struct fm_batch *batch = portal->batch;
    const struct fm_columns *columns = portal->columns;
    struct fm_buf *out = &session->out;
    size_t at = fm_pg_begin(out, 'D');

    fm_pg_put16(out, (uint16_t)columns->count);
    for (uint32_t c = 0; c < columns->count; c++) {
        const struct fm_vector_entry *vector = &batch->vectors[c];
        const struct fm_column *column = &columns->items[c];
        if (fm_vector_is_null(batch, vector, portal->row)) {
            fm_pg_put32(out, UINT32_MAX);
            continue;
        }
        enum fm_status status = fm_pg_put_value(
            out, format_of(portal->formats, portal->format_count, c), batch, vector, &column->type,
            column->dictionary.count != 0 ? &column->dictionary : NULL, portal->row);
        if (status != FM_OK)
            return status;
    }
    fm_pg_end(out, at);
    return fm_buf_status(out);
}

/* Rows of the batch at hand, until it or `limit` is used up. */
static enum fm_status give_rows(struct fm_pg_session *session, struct portal *portal,
                                uint64_t limit, bool shown, uint64_t *rows, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    while (status == FM_OK && portal->row < portal->batch->rows && (limit == 0 || *rows < limit)) {
        if (shown && put_row(session, portal) != FM_OK)
            return fm_fail(err, FM_LIMIT, "a row is too long to send");
        portal->row++;
        portal->rows++;
        ++*rows;
        if (session->out.len >= PG_SEND_BYTES)
            status = pg_send(session, true);
    }
    return status;
}

enum fm_status portal_run(struct fm_pg_session *session, struct portal *portal, uint64_t limit,
                          bool shown, uint64_t *rows, struct fm_error *err)
{
    const struct fm_pg_backend *backend = session->backend;
    enum fm_status status = portal_open(session, portal, err);

    *rows = 0;
    while (status == FM_OK && !portal->is_over && (limit == 0 || *rows < limit)) {
        if (portal->batch == NULL || portal->row == portal->batch->rows) {
            status = backend->next(backend->context, portal->query, &portal->batch, err);
            portal->row = 0;
            portal->is_over = status == FM_NOTFOUND;
        }
        if (status == FM_OK)
            status = give_rows(session, portal, limit, shown, rows, err);
    }
    if (status == FM_NOTFOUND)
        status = FM_OK;
    set_running(session, NULL);
    return status;
}
