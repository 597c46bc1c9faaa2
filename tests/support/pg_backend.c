#include "tests/support/pg_backend.h"

#include "core/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_ROWS 10u

struct query {
    uint64_t rows, given;
    struct fm_columns columns;
    struct fm_column items[2];
    struct fm_buf bytes;
    struct fm_batch batch;
};

static enum fm_status on_login(void *context, const char *user, struct fm_span password,
                               struct fm_error *err)
{
    (void)context;
    if (fm_span_equal(password, fm_span_str("secret")))
        return FM_OK;
    return fm_fail(err, FM_REFUSED, "password authentication failed for user \"%s\"", user);
}

static enum fm_status on_open(void *context, const struct fm_request_id *id,
                              const struct fm_query_body *body, uint32_t limit_ms, void **out,
                              const struct fm_columns **columns, struct fm_error *err)
{
    struct pg_test *test = context;
    char text[64];
    uint64_t rows = 0;

    (void)id;
    fm_buf_clear(&test->last_sql);
    fm_buf_put_span(&test->last_sql, body->sql);
    test->last_body = *body;
    test->last_limit_ms = limit_ms;
    (void)snprintf(text, sizeof text, "%.*s", (int)(body->sql.len < 60 ? body->sql.len : 60),
                   (const char *)body->sql.data);
    if (sscanf(text, "rows %" SCNu64, &rows) != 1 &&
        sscanf(text, "rows  CAST(%" SCNu64, &rows) != 1 && strncmp(text, "rows", 4) != 0)
        return fm_fail(err, FM_INVALID, "Parser Error: %s", text);
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL)
        return fm_fail(err, FM_NOMEM, "open");
    query->rows = rows < 1000 ? rows : 1000;
    query->columns = (struct fm_columns){.count = 2, .items = query->items};
    (void)snprintf(query->items[0].name, sizeof query->items[0].name, "n");
    (void)snprintf(query->items[1].name, sizeof query->items[1].name, "t");
    query->items[0].type.kind = FM_KIND_INT32;
    query->items[1].type.kind = FM_KIND_VARCHAR;
    test->open++;
    test->opened++;
    *out = query;
    *columns = &query->columns;
    return FM_OK;
}

static enum fm_status make_batch(struct query *query)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    const struct fm_type *types[] = {&query->items[0].type, &query->items[1].type};
    struct fm_batch_builder_options options = {.types = types, .column_count = 2};

    enum fm_status status = fm_batch_builder_new(&options, &builder);
    for (uint32_t i = 0; status == FM_OK && i < BATCH_ROWS && query->given < query->rows; i++) {
        int32_t number = (int32_t)++query->given;
        status = fm_batch_put_fixed(builder, 0, &number);
        if (status == FM_OK)
            status = number % 3 == 0 ? fm_batch_put_null(builder, 1)
                                     : fm_batch_put_bytes(builder, 1, fm_span_str("x"));
    }
    fm_buf_clear(&query->bytes);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, &query->bytes);
    return status == FM_OK
               ? fm_batch_view(fm_buf_span(&query->bytes), types, 2, NULL, &query->batch)
               : status;
}

static enum fm_status on_next(void *context, void *of, const struct fm_batch **batch,
                              struct fm_error *err)
{
    struct query *query = of;

    (void)context;
    if (query->given == query->rows)
        return FM_NOTFOUND;
    enum fm_status status = make_batch(query);
    if (status != FM_OK)
        return fm_fail(err, status, "rows");
    *batch = &query->batch;
    return FM_OK;
}

static enum fm_status on_missing(void *context, void *of, uint32_t *count, struct fm_buf *parts,
                                 struct fm_error *err)
{
    struct pg_test *test = context;

    (void)of;
    *count = test->missing;
    for (uint32_t i = 0; i < test->missing; i++) {
        fm_buf_printf(parts, "part %" PRIu32, i);
        fm_buf_put_u8(parts, 0);
    }
    return fm_buf_status(parts) == FM_OK ? FM_OK : fm_fail(err, FM_NOMEM, "missing");
}

static void on_close(void *context, void *of)
{
    struct pg_test *test = context;
    struct query *query = of;

    test->open--;
    fm_buf_free(&query->bytes);
    free(query);
}

static void on_cancel(void *context, const struct fm_request_id *id)
{
    (void)context;
    (void)id;
}

static enum fm_status on_send(void *context, struct fm_buf *out)
{
    struct pg_test *test = context;

    fm_buf_put_span(&test->sent, fm_buf_span(out));
    fm_buf_clear(out);
    return fm_buf_status(&test->sent) == FM_OK ? FM_OK : FM_IO;
}

static void on_random(void *context, void *out, size_t len)
{
    struct pg_test *test = context;

    memset(out, (int)++test->random, len);
}

struct pg_test *pg_test_new(void)
{
    struct pg_test *test = calloc(1, sizeof *test);

    if (test == NULL)
        return NULL;
    test->sent.max = 64u << 20;
    test->backend = (struct fm_pg_backend){
        .context = test,
        .login = on_login,
        .open = on_open,
        .next = on_next,
        .missing = on_missing,
        .close = on_close,
        .cancel = on_cancel,
        .send = on_send,
        .random = on_random,
    };
    if (fm_pg_session_new(&test->backend, 7, 77, &test->session) == FM_OK)
        return test;
    pg_test_free(test);
    return NULL;
}

void pg_test_free(struct pg_test *test)
{
    fm_pg_session_free(test->session);
    fm_buf_free(&test->sent);
    fm_buf_free(&test->last_sql);
    free(test);
}

enum fm_status pg_test_message(struct pg_test *test, enum fm_pg_frontend type, struct fm_span body)
{
    enum fm_status status = fm_pg_session_message(test->session, type, body);
    enum fm_status sent = on_send(test, fm_pg_session_out(test->session));

    return status == FM_OK ? sent : status;
}

enum fm_status pg_test_login(struct pg_test *test)
{
    static const char settings[] = "user\0ann\0database\0mesh\0application_name\0test\0";
    struct fm_pg_startup startup = {
        .kind = FM_PG_STARTUP, .major = 3, .settings = fm_span(settings, sizeof settings)};

    enum fm_status status = fm_pg_session_start(test->session, &startup);
    return status == FM_OK ? pg_test_message(test, FM_PG_PASSWORD, fm_span("secret", 7)) : status;
}

/* ---- Reading what was sent ------------------------------------------------------------------- */

static void put_row(struct fm_buf *out, const uint8_t *at)
{
    unsigned count = fm_pg_get16(at);

    at += 2;
    for (unsigned i = 0; i < count; i++) {
        uint32_t len = fm_pg_get32(at);
        fm_buf_put_str(out, i == 0 ? "" : ",");
        at += 4;
        if (len == UINT32_MAX) {
            fm_buf_put_str(out, "NULL");
            continue;
        }
        for (uint32_t j = 0; j < len; j++)
            fm_buf_printf(out, at[j] < 0x20 || at[j] > 0x7e ? "\\%02x" : "%c", at[j]);
        at += len;
    }
}

static void put_columns(struct fm_buf *out, const uint8_t *at)
{
    unsigned count = fm_pg_get16(at);

    at += 2;
    for (unsigned i = 0; i < count; i++) {
        const char *name = (const char *)at;
        at += strlen(name) + 1;
        fm_buf_printf(out, "%s%s:%u", i == 0 ? "" : ",", name, fm_pg_get32(at + 6));
        at += 18;
    }
}

/* The fields of an error or notice that begin with one of these letters. */
static void put_fields(struct fm_buf *out, const uint8_t *at, const char *wanted)
{
    bool is_first = true;

    while (*at != 0) {
        const char *text = (const char *)at + 1;
        if (strchr(wanted, *at) != NULL) {
            fm_buf_printf(out, "%s%s", is_first ? "" : " ", text);
            is_first = false;
        }
        at += strlen(text) + 2;
    }
}

static void put_message(struct fm_buf *out, uint8_t type, const uint8_t *body)
{
    fm_buf_printf(out, "%s%c", out->len == 0 ? "" : " ", type);
    if (strchr("123nscI", type) != NULL)
        return;
    fm_buf_put_u8(out, '(');
    switch (type) {
    case 'C':
        fm_buf_put_str(out, (const char *)body);
        break;
    case 'Z':
        fm_buf_put_u8(out, body[0]);
        break;
    case 'E':
        put_fields(out, body, "CM");
        break;
    case 'N':
        put_fields(out, body, "C");
        break;
    case 'D':
        put_row(out, body);
        break;
    case 'd':
        for (uint32_t i = 0; i < fm_pg_get32(body - 4) - 4; i++)
            fm_buf_printf(out, body[i] < 0x20 || body[i] > 0x7e ? "\\%02x" : "%c", body[i]);
        break;
    case 'H':
        fm_buf_printf(out, "%u,%u", body[0], fm_pg_get16(body + 1));
        break;
    case 'T':
        put_columns(out, body);
        break;
    case 'S':
        fm_buf_printf(out, "%s=%s", (const char *)body,
                      (const char *)body + strlen((const char *)body) + 1);
        break;
    case 't':
        for (unsigned i = 0; i < fm_pg_get16(body); i++)
            fm_buf_printf(out, "%s%u", i == 0 ? "" : ",", fm_pg_get32(body + 2 + 4 * i));
        break;
    case 'R':
        fm_buf_printf(out, "%u", fm_pg_get32(body));
        break;
    default:
        break;
    }
    fm_buf_put_u8(out, ')');
}

bool pg_test_trace(struct pg_test *test, struct fm_buf *out)
{
    const uint8_t *at = test->sent.len != 0 ? test->sent.data : (const uint8_t *)"";
    const uint8_t *end = at + test->sent.len;

    fm_buf_clear(out);
    while (end - at >= 5 && end - at > (ptrdiff_t)fm_pg_get32(at + 1)) {
        put_message(out, at[0], at + 5);
        at += fm_pg_get32(at + 1) + 1;
    }
    bool is_whole = at == end;
    if (!is_whole)
        fm_buf_put_str(out, " CUT");
    fm_buf_put_u8(out, 0);
    fm_buf_clear(&test->sent);
    return is_whole;
}
