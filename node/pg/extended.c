/* The extended protocol: statements that are prepared, bound to parameters, and run as portals. */
#include "node/pg/parameter.h"
#include "node/pg/session_internal.h"

#include <stdlib.h>

static struct prepared *find_prepared(struct fm_pg_session *session, const char *name)
{
    for (uint32_t i = 0; i < session->prepared_count; i++)
        if (strcmp(session->prepared[i]->name, name) == 0)
            return session->prepared[i];
    return NULL;
}

uint32_t prepared_drop(struct fm_pg_session *session, const char *name)
{
    uint32_t kept = 0, count = session->prepared_count;

    for (uint32_t i = 0; i < count; i++) {
        struct prepared *prepared = session->prepared[i];
        if (name != NULL && strcmp(prepared->name, name) != 0) {
            session->prepared[kept++] = prepared;
            continue;
        }
        fm_buf_free(&prepared->sql);
        free(prepared->oids);
        free(prepared);
    }
    session->prepared_count = kept;
    return count - kept;
}

static enum fm_status new_prepared(struct fm_pg_session *session, const struct fm_pg_parse *parse,
                                   struct prepared **out, struct fm_error *err)
{
    if (strlen(parse->statement) > PG_NAME_MAX)
        return pg_error(session, err, "42622", "names of statements have at most %u bytes",
                        PG_NAME_MAX);
    if (parse->statement[0] == '\0')
        (void)prepared_drop(session, "");
    else if (find_prepared(session, parse->statement) != NULL)
        return pg_error(session, err, "42P05", "prepared statement \"%s\" already exists",
                        parse->statement);
    if (session->prepared_count == FM_PG_STATEMENTS_MAX)
        return pg_error(session, err, "53400", "more than %u prepared statements: deallocate some",
                        FM_PG_STATEMENTS_MAX);
    struct prepared *prepared = calloc(1, sizeof *prepared);
    if (prepared == NULL)
        return fm_fail(err, FM_NOMEM, "prepare a statement");
    memcpy(prepared->name, parse->statement, strlen(parse->statement) + 1);
    session->prepared[session->prepared_count++] = prepared;
    *out = prepared;
    return FM_OK;
}

static enum fm_status parse(struct fm_pg_session *session, struct fm_span body,
                            struct fm_error *err)
{
    struct fm_pg_parse parse;
    struct prepared *prepared = NULL;
    struct fm_span sql = {0}, more;
    uint32_t count = 0;

    enum fm_status status = fm_pg_parse_read(body, &parse, err);
    if (status != FM_OK)
        return status;
    struct fm_cursor at = fm_cursor(parse.sql);
    (void)fm_pg_statement_next(&at, &sql);
    if (fm_pg_statement_next(&at, &more))
        return pg_error(session, err, "42601",
                        "cannot insert multiple commands into a prepared statement");
    status = fm_pg_statement_parameters(sql, &count, err);
    if (status == FM_OK)
        status = new_prepared(session, &parse, &prepared, err);
    if (status != FM_OK)
        return status;
    prepared->kind = fm_pg_statement_kind(sql);
    prepared->parameter_count = parse.type_count > count ? parse.type_count : count;
    prepared->oids = calloc((size_t)prepared->parameter_count + 1, sizeof *prepared->oids);
    fm_buf_put_span(&prepared->sql, sql);
    if (prepared->oids == NULL || fm_buf_status(&prepared->sql) != FM_OK) {
        (void)prepared_drop(session, parse.statement);
        return fm_fail(err, FM_NOMEM, "prepare a statement");
    }
    for (uint32_t i = 0; i < parse.type_count; i++)
        prepared->oids[i] = fm_pg_get32(parse.types + 4 * (size_t)i);
    fm_pg_put_empty(&session->out, '1');
    return FM_OK;
}

/* The statement with its parameters filled in. `bind` NULL: with NULLs, to see what it gives. */
static enum fm_status fill(const struct prepared *prepared, const struct fm_pg_bind *bind,
                           struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf texts = FM_BUF_INIT(FM_PG_BIND_BYTES_MAX);
    FM_AUTO(fm_mem_freep)
    struct fm_span *values = calloc((size_t)prepared->parameter_count + 1, sizeof *values);
    struct fm_span rest = bind != NULL ? bind->parameters : (struct fm_span){0};
    enum fm_status status = values != NULL ? FM_OK : FM_NOMEM;

    for (uint16_t i = 0; status == FM_OK && i < prepared->parameter_count; i++) {
        struct fm_pg_parameter parameter = {.oid = prepared->oids[i], .is_null = true};
        size_t at = texts.len;
        if (bind != NULL) {
            parameter.format = fm_pg_format_at(bind->formats, bind->format_count, i);
            fm_pg_bind_next(&rest, &parameter.is_null, &parameter.value);
        }
        status = fm_pg_parameter_put(&parameter, &texts, err);
        values[i].len = texts.len - at;
    }
    const uint8_t *at = texts.data; /* It does not move any more. */
    for (uint32_t i = 0; status == FM_OK && i < prepared->parameter_count; i++) {
        values[i].data = at;
        at += values[i].len;
    }
    if (status != FM_OK)
        return status == FM_NOMEM ? fm_fail(err, status, "bind a statement") : status;
    fm_pg_statement_fill(fm_buf_span(&prepared->sql), values, prepared->parameter_count, out);
    status = fm_buf_status(out);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "the statement with its parameters");
}

static enum fm_status bind(struct fm_pg_session *session, struct fm_span body, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_PG_BIND_BYTES_MAX);
    struct fm_pg_bind bind;
    struct portal *portal = NULL;

    enum fm_status status = fm_pg_bind_read(body, &bind, err);
    if (status != FM_OK)
        return status;
    struct prepared *prepared = find_prepared(session, bind.statement);
    if (prepared == NULL)
        return pg_error(session, err, "26000", "prepared statement \"%s\" does not exist",
                        bind.statement);
    if (bind.parameter_count != prepared->parameter_count)
        return pg_error(session, err, "08P01",
                        "bind message supplies %u parameters, but prepared statement \"%s\" "
                        "requires %u",
                        bind.parameter_count, prepared->name, prepared->parameter_count);
    status = fill(prepared, &bind, &sql, err);
    if (status == FM_OK)
        status = portal_new(session, bind.portal, fm_buf_span(&sql), &portal, err);
    if (status != FM_OK)
        return status;
    portal->kind = prepared->kind;
    portal->formats = calloc((size_t)bind.result_format_count + 1, sizeof *portal->formats);
    if (portal->formats == NULL)
        return fm_fail(err, FM_NOMEM, "bind a statement");
    portal->format_count = bind.result_format_count;
    for (uint16_t i = 0; i < bind.result_format_count; i++)
        portal->formats[i] = fm_pg_get16(bind.result_formats + 2 * (size_t)i);
    fm_pg_put_empty(&session->out, '2');
    return FM_OK;
}

static enum fm_status check_formats(struct fm_pg_session *session, const struct portal *portal,
                                    struct fm_error *err)
{
    if (portal->format_count <= 1 || portal->columns == NULL ||
        portal->format_count == portal->columns->count)
        return FM_OK;
    return pg_error(session, err, "08P01",
                    "bind message has %u result formats but query has %u columns",
                    portal->format_count, portal->columns->count);
}

static enum fm_status describe_portal(struct fm_pg_session *session, const char *name,
                                      struct fm_error *err)
{
    struct portal *portal = portal_find(session, name);

    if (portal == NULL)
        return pg_error(session, err, "34000", "portal \"%s\" does not exist", name);
    if (portal->kind != FM_PG_QUERY_STATEMENT)
        return utility_run(session, portal->kind, fm_buf_span(&portal->sql), UTILITY_DESCRIBE, err);
    enum fm_status status = pg_refuse_in_failed(session, err);
    if (status == FM_OK)
        status = portal_open(session, portal, err);
    if (status == FM_OK)
        status = check_formats(session, portal, err);
    if (status == FM_OK)
        portal_describe(session, portal);
    return status;
}

/* The columns are those that it gives with NULLs for parameters. */
static enum fm_status describe_columns(struct fm_pg_session *session,
                                       const struct prepared *prepared, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_PG_BIND_BYTES_MAX);
    struct portal probe = {0};

    enum fm_status status = pg_refuse_in_failed(session, err);
    if (status == FM_OK)
        status = fill(prepared, NULL, &sql, err);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(&probe.sql, fm_buf_span(&sql));
    status = portal_open(session, &probe, err);
    if (status == FM_OK)
        portal_describe(session, &probe);
    portal_end(session, &probe);
    return status;
}

static enum fm_status describe_prepared(struct fm_pg_session *session, const char *name,
                                        struct fm_error *err)
{
    struct prepared *prepared = find_prepared(session, name);

    if (prepared == NULL)
        return pg_error(session, err, "26000", "prepared statement \"%s\" does not exist", name);
    size_t at = fm_pg_begin(&session->out, 't');
    fm_pg_put16(&session->out, (uint16_t)prepared->parameter_count);
    for (uint32_t i = 0; i < prepared->parameter_count; i++)
        fm_pg_put32(&session->out, prepared->oids[i] != 0 ? prepared->oids[i] : FM_PG_OID_TEXT);
    fm_pg_end(&session->out, at);
    if (prepared->kind != FM_PG_QUERY_STATEMENT)
        return utility_run(session, prepared->kind, fm_buf_span(&prepared->sql), UTILITY_DESCRIBE,
                           err);
    return describe_columns(session, prepared, err);
}

static enum fm_status describe(struct fm_pg_session *session, struct fm_span body,
                               struct fm_error *err)
{
    struct fm_pg_named named;

    enum fm_status status = fm_pg_named_read(body, &named, err);
    if (status != FM_OK)
        return status;
    return named.is_portal ? describe_portal(session, named.name, err)
                           : describe_prepared(session, named.name, err);
}

static enum fm_status execute(struct fm_pg_session *session, struct fm_span body,
                              struct fm_error *err)
{
    struct fm_pg_execute execute;
    uint64_t rows = 0;

    enum fm_status status = fm_pg_execute_read(body, &execute, err);
    if (status != FM_OK)
        return status;
    struct portal *portal = portal_find(session, execute.portal);
    if (portal == NULL)
        return pg_error(session, err, "34000", "portal \"%s\" does not exist", execute.portal);
    if (portal->kind != FM_PG_QUERY_STATEMENT) {
        FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_PG_BIND_BYTES_MAX);
        fm_buf_put_span(&sql, fm_buf_span(&portal->sql)); /* It may close the portal. */
        status = fm_buf_status(&sql);
        return status == FM_OK
                   ? utility_run(session, portal->kind, fm_buf_span(&sql), UTILITY_EXECUTE, err)
                   : status;
    }
    status = pg_refuse_in_failed(session, err);
    if (status == FM_OK)
        status = portal_open(session, portal, err);
    if (status == FM_OK)
        status = check_formats(session, portal, err);
    if (status == FM_OK)
        status = portal_run(session, portal, execute.row_limit, true, &rows, err);
    if (status != FM_OK)
        return status;
    if (portal->is_over)
        pg_put_select_complete(session, rows);
    else
        fm_pg_put_empty(&session->out, 's');
    return FM_OK;
}

static enum fm_status close_named(struct fm_pg_session *session, struct fm_span body,
                                  struct fm_error *err)
{
    struct fm_pg_named named;

    enum fm_status status = fm_pg_named_read(body, &named, err);
    if (status != FM_OK)
        return status;
    struct portal *portal = named.is_portal ? portal_find(session, named.name) : NULL;
    if (portal != NULL)
        portal_close(session, portal);
    if (!named.is_portal)
        (void)prepared_drop(session, named.name);
    fm_pg_put_empty(&session->out, '3');
    return FM_OK;
}

enum fm_status extended_message(struct fm_pg_session *session, enum fm_pg_frontend type,
                                struct fm_span body)
{
    struct fm_error err = {0};
    enum fm_status status = FM_OK;

    if (session->is_failed)
        return FM_OK;
    switch (type) {
    case FM_PG_PARSE:
        status = parse(session, body, &err);
        break;
    case FM_PG_BIND:
        status = bind(session, body, &err);
        break;
    case FM_PG_DESCRIBE:
        status = describe(session, body, &err);
        break;
    case FM_PG_EXECUTE:
        status = execute(session, body, &err);
        break;
    case FM_PG_CLOSE:
        status = close_named(session, body, &err);
        break;
    default:
        status = pg_error(session, &err, "0A000", "fast-path function calls are not supported");
    }
    if (status != FM_OK) {
        pg_fail_statement(session, status, &err);
        session->is_failed = true;
    }
    return pg_send(session, false);
}
