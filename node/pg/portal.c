/* Portals: queries that run for a client, and the rows that it gets of them. */
#include "node/pg/rewrite.h"
#include "node/pg/session_internal.h"

#include "core/assert.h"

#include <inttypes.h>
#include <stdio.h>
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

static void set_running(struct fm_pg_session *session, const struct fm_request_id *id)
{
    fm_assert(pthread_mutex_lock(&session->lock) == 0);
    session->is_running = id != NULL;
    if (id != NULL)
        session->running = *id;
    fm_assert(pthread_mutex_unlock(&session->lock) == 0);
}

static enum fm_status ask(struct fm_pg_session *session, struct portal *portal,
                          const struct fm_query_body *body, struct fm_error *err)
{
    const struct fm_pg_backend *backend = session->backend;
    struct fm_request_id id;

    backend->random(backend->context, id.bytes, sizeof id.bytes);
    set_running(session, &id);
    enum fm_status status =
        backend->open(backend->context, &id, body, fm_pg_settings_timeout(&session->settings),
                      &portal->query, &portal->columns, err);
    if (status != FM_OK)
        set_running(session, NULL);
    return status;
}

enum fm_status portal_open(struct fm_pg_session *session, struct portal *portal,
                           struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_SQL_BYTES_MAX);
    const struct fm_settings *mesh = &session->settings.mesh;
    const struct pg_rewrite_facts facts = {.user = session->user,
                                           .database = session->database,
                                           .process = session->process,
                                           .settings = &session->settings};
    struct fm_query_body body = {
        .rules_off = mesh->rules_off,
        .on_unavailable = mesh->on_unavailable,
        .allows_partial_aggregates =
            mesh->on_unavailable == FM_UNAVAILABLE_SKIP && mesh->allows_partial_aggregates,
        .head_count = mesh->head_count,
    };

    if (portal->query != NULL || portal->is_over)
        return FM_OK;
    enum fm_status status = pg_rewrite(fm_buf_span(&portal->sql), &facts, &sql);
    if (status != FM_OK)
        return fm_fail(err, status, "the statement is too long");
    body.sql = fm_buf_span(&sql);
    memcpy(body.heads, mesh->heads, sizeof body.heads);
    portal->may_miss = body.on_unavailable == FM_UNAVAILABLE_SKIP;
    return ask(session, portal, &body, err);
}

/* Of one batch of what fm_settings_ask_heads() asked. */
static enum fm_status add_heads(const struct fm_batch *batch, const struct fm_columns *columns,
                                struct fm_buf *notes, struct fm_error *err)
{
    struct fm_span cells[2];

    for (uint32_t row = 0; row < batch->rows; row++) {
        for (uint32_t c = 0; c < 2; c++) {
            const struct fm_dictionary *dictionary = &columns->items[c].dictionary;
            cells[c] = fm_vector_is_null(batch, &batch->vectors[c], row)
                           ? (struct fm_span){0}
                           : fm_vector_bytes(batch, &batch->vectors[c],
                                             dictionary->count != 0 ? dictionary : NULL, row);
        }
        if (cells[1].data == NULL)
            return fm_fail(err, FM_INVALID, "a fragment of that query has no heads: it is %.*s",
                           (int)cells[0].len, (const char *)cells[0].data);
        fm_buf_put_span(notes, cells[1]);
    }
    return fm_buf_status(notes);
}

enum fm_status pg_find_heads(struct fm_pg_session *session, struct fm_settings_statement *statement,
                             struct fm_error *err)
{
    const struct fm_pg_backend *backend = session->backend;
    struct fm_buf notes = FM_BUF_INIT(FM_SQL_BYTES_MAX);
    struct portal probe = {0};

    fm_settings_ask_heads(statement, &probe.sql);
    const struct fm_query_body body = {.sql = fm_buf_span(&probe.sql)};
    enum fm_status status = fm_buf_status(&probe.sql);
    if (status == FM_OK)
        status = ask(session, &probe, &body, err);
    if (status == FM_OK && probe.columns->count != 2)
        status = fm_fail(err, FM_INTERNAL, "mesh.receipts has other columns");
    while (status == FM_OK) {
        status = backend->next(backend->context, probe.query, &probe.batch, err);
        if (status == FM_OK)
            status = add_heads(probe.batch, probe.columns, &notes, err);
    }
    if (status == FM_NOTFOUND)
        status = notes.len != 0
                     ? FM_OK
                     : fm_fail(err, FM_INVALID, "mesh.receipts has no query %.*s of yours",
                               (int)statement->value.len, (const char *)statement->value.data);
    set_running(session, NULL);
    portal_end(session, &probe);
    fm_buf_free(&statement->value);
    statement->value = notes;
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

static enum fm_status put_copied(struct fm_pg_session *session, const struct portal *portal)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    const struct fm_columns *columns = portal->columns;
    const struct fm_batch *batch = portal->batch;
    bool is_binary = portal->copy->form == FM_PG_COPY_BINARY;
    struct fm_buf *out = &session->out;
    size_t at = fm_pg_begin(out, 'd');

    if (is_binary)
        fm_pg_put16(out, (uint16_t)columns->count);
    for (uint32_t c = 0; c < columns->count; c++) {
        const struct fm_column *column = &columns->items[c];
        bool is_null = fm_vector_is_null(batch, &batch->vectors[c], portal->row);
        enum fm_status status = FM_OK;
        fm_buf_clear(&value);
        if (is_null)
            fm_pg_put32(&value, UINT32_MAX);
        else
            status = fm_pg_put_value(&value, is_binary ? FM_PG_BINARY : FM_PG_TEXT, batch,
                                     &batch->vectors[c], &column->type,
                                     column->dictionary.count != 0 ? &column->dictionary : NULL,
                                     portal->row);
        if (status != FM_OK || fm_buf_status(&value) != FM_OK)
            return status != FM_OK ? status : fm_buf_status(&value);
        if (is_binary)
            fm_buf_put_span(out, fm_buf_span(&value));
        else /* Behind its length. */
            fm_pg_copy_put(portal->copy, c, is_null, fm_span(value.data + 4, value.len - 4), out);
    }
    if (!is_binary)
        fm_buf_put_u8(out, '\n');
    fm_pg_end(out, at);
    return fm_buf_status(out);
}

/* Rows of the batch at hand, until it or `limit` is used up. */
static enum fm_status give_rows(struct fm_pg_session *session, struct portal *portal,
                                uint64_t limit, bool shown, uint64_t *rows, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    while (status == FM_OK && portal->row < portal->batch->rows && (limit == 0 || *rows < limit)) {
        enum fm_status put = FM_OK;
        if (shown)
            put = portal->copy != NULL ? put_copied(session, portal) : put_row(session, portal);
        if (put != FM_OK)
            return fm_fail(err, FM_LIMIT, "a row is too long to send");
        portal->row++;
        portal->rows++;
        ++*rows;
        if (session->out.len >= PG_SEND_BYTES)
            status = pg_send(session, true);
    }
    return status;
}

/* What was left out of an answer is never left unsaid: one warning, and a notice for each part. */
static enum fm_status tell_missing(struct fm_pg_session *session, const struct portal *portal,
                                   struct fm_error *err)
{
    const struct fm_pg_backend *backend = session->backend;
    FM_AUTO(fm_buf_free) struct fm_buf parts = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    char text[96];
    uint32_t count = 0;

    enum fm_status status = backend->missing(backend->context, portal->query, &count, &parts, err);
    if (status != FM_OK || count == 0)
        return status;
    (void)snprintf(text, sizeof text,
                   "the answer is incomplete: %" PRIu32 " of its parts %s missing", count,
                   count == 1 ? "is" : "are");
    pg_warn(session, "01000", text);
    const char *part = (const char *)parts.data;
    for (uint32_t i = 0; i < count; i++, part += strlen(part) + 1)
        pg_notice(session, part);
    return FM_OK;
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
        status = portal->may_miss ? tell_missing(session, portal, err) : FM_OK;
    set_running(session, NULL);
    return status;
}

/* ---- COPY ------------------------------------------------------------------------------------ */

/* CopyOutResponse, and what stands before the first row. */
static void begin_copy(struct fm_pg_session *session, const struct portal *portal)
{
    static const char signature[] =
        "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"; /* No flags, no extension. */
    const struct fm_columns *columns = portal->columns;
    bool is_binary = portal->copy->form == FM_PG_COPY_BINARY;
    struct fm_buf *out = &session->out;

    size_t at = fm_pg_begin(out, 'H');
    fm_buf_put_u8(out, is_binary);
    fm_pg_put16(out, (uint16_t)columns->count);
    for (uint32_t c = 0; c < columns->count; c++)
        fm_pg_put16(out, is_binary);
    fm_pg_end(out, at);
    if (!is_binary && !portal->copy->has_header)
        return;
    at = fm_pg_begin(out, 'd');
    if (is_binary)
        fm_buf_put(out, signature, sizeof signature - 1);
    for (uint32_t c = 0; c < columns->count && !is_binary; c++)
        fm_pg_copy_put(portal->copy, c, false, fm_span_str(columns->items[c].name), out);
    if (!is_binary)
        fm_buf_put_u8(out, '\n');
    fm_pg_end(out, at);
}

static void end_copy(struct fm_pg_session *session, const struct portal *portal)
{
    char tag[32];

    if (portal->copy->form == FM_PG_COPY_BINARY) {
        size_t at = fm_pg_begin(&session->out, 'd');
        fm_pg_put16(&session->out, UINT16_MAX);
        fm_pg_end(&session->out, at);
    }
    fm_pg_put_empty(&session->out, 'c');
    (void)snprintf(tag, sizeof tag, "COPY %" PRIu64, portal->rows);
    fm_pg_put_complete(&session->out, tag);
}

enum fm_status portal_copy(struct fm_pg_session *session, struct fm_span sql, struct fm_error *err)
{
    struct fm_pg_copy copy;
    struct portal portal = {.copy = &copy};
    uint64_t rows = 0;

    enum fm_status status = fm_pg_copy_read(sql, &copy, err);
    if (status == FM_OK) {
        fm_buf_put_span(&portal.sql, fm_buf_span(&copy.query));
        status = fm_buf_status(&portal.sql);
    }
    if (status == FM_OK)
        status = portal_open(session, &portal, err);
    if (status == FM_OK) {
        begin_copy(session, &portal);
        status = portal_run(session, &portal, 0, true, &rows, err);
    }
    if (status == FM_OK)
        end_copy(session, &portal);
    portal_end(session, &portal);
    fm_pg_copy_deinit(&copy);
    return status;
}
