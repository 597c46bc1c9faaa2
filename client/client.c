#include "client/client_internal.h"

#include <stdio.h>

const char *folkmoot_status_text(enum folkmoot_status status)
{
    return fm_status_text((enum fm_status)status);
}

const char *folkmoot_error(const struct folkmoot *handle)
{
    return handle->err.text;
}

void fm_client_drop_ahead(struct folkmoot *handle)
{
    fm_fetching_free(handle->ahead);
    handle->ahead = NULL;
    handle->ahead_of = NULL;
}

void folkmoot_close(struct folkmoot *handle)
{
    if (handle == NULL)
        return;
    fm_client_drop_ahead(handle);
    fm_connection_free(handle->connection);
    fm_cert_cache_free(handle->certs);
    fm_identity_free(handle->identity);
    fm_settings_deinit(&handle->settings);
    free(handle->node);
    free(handle);
}

FM_DEFINE_FREEP(folkmoot_closep, struct folkmoot, folkmoot_close)

enum fm_status fm_client_connect(struct folkmoot *handle)
{
    const struct fm_connect_options options = {
        .address = handle->node,
        .identity = handle->identity,
        .deadline = fm_now_ms() + handle->timeout_ms,
    };

    if (handle->connection != NULL && !fm_connection_is_broken(handle->connection))
        return FM_OK;
    fm_client_drop_ahead(handle);
    struct fm_connection *old = FM_TAKE(handle->connection);
    enum fm_status status = fm_connection_open(&options, &handle->connection, &handle->err);
    fm_connection_free(old); /* Afterwards: the node ends what a closed connection asked for. */
    if (status == FM_OK)
        return FM_OK;
    return fm_wrap(&handle->err, status, "node %s", handle->node);
}

static enum fm_status open_handle(const struct folkmoot_options *options, struct folkmoot **out,
                                  struct fm_error *err)
{
    FM_AUTO(folkmoot_closep) struct folkmoot *handle = calloc(1, sizeof *handle);

    if (handle == NULL)
        return fm_fail(err, FM_NOMEM, "open");
    handle->timeout_ms = options->timeout_ms == 0 ? FM_CALL_MS_DEFAULT : options->timeout_ms;
    handle->node = fm_strdup_span(fm_span_str(options->node));
    if (handle->node == NULL)
        return fm_fail(err, FM_NOMEM, "open");
    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_identity_load(options->identity, FM_PAYLOAD_PRINCIPAL, options->passphrase,
                                  fm_now_us(), &handle->identity, err);
    if (status != FM_OK)
        return status;
    if (fm_cert_cache_new(&handle->identity->charter, FM_CERTS_KEPT_MAX, &handle->certs) != FM_OK)
        return fm_fail(err, FM_NOMEM, "open");
    status = fm_client_connect(handle);
    if (status != FM_OK && err != NULL)
        *err = handle->err;
    if (status == FM_OK)
        *out = FM_TAKE(handle);
    return status;
}

enum folkmoot_status folkmoot_open(const struct folkmoot_options *options, struct folkmoot **out,
                                   char *error)
{
    struct fm_error err = {0};

    enum fm_status status = open_handle(options, out, &err);
    if (status != FM_OK && error != NULL)
        memcpy(error, err.text, FOLKMOOT_ERROR_MAX);
    return fm_public_status(status);
}

struct fm_request fm_client_request(enum fm_method method, struct fm_span body, uint32_t limit_ms)
{
    struct fm_request request = {
        .kind = method,
        .limit_ms = limit_ms > FM_QUERY_MS_MAX ? FM_QUERY_MS_MAX : limit_ms,
        .body = body,
    };

    fm_random(request.id.bytes, sizeof request.id.bytes);
    fm_random(request.trace, sizeof request.trace);
    return request;
}

enum fm_status fm_client_call(struct folkmoot *handle, enum fm_method method, struct fm_span body,
                              struct fm_buf *reply)
{
    struct fm_request request = fm_client_request(method, body, handle->timeout_ms);

    enum fm_status status = fm_client_connect(handle);
    if (status != FM_OK)
        return status;
    return fm_connection_request(handle->connection, &request,
                                 fm_now_ms() + handle->timeout_ms + FM_GRACE_MS, NULL, reply,
                                 &handle->err);
}

enum fm_status fm_column_view_init(struct fm_column_view *view, const struct fm_columns *columns)
{
    view->count = columns->count;
    view->types = calloc((size_t)columns->count + 1, sizeof(const struct fm_type *));
    view->dictionaries = calloc((size_t)columns->count + 1, sizeof(const struct fm_dictionary *));
    if (view->types == NULL || view->dictionaries == NULL)
        return FM_NOMEM; /* The caller deinits. */
    for (uint32_t i = 0; i < columns->count; i++) {
        view->types[i] = &columns->items[i].type;
        if (columns->items[i].dictionary.count != 0)
            view->dictionaries[i] = &columns->items[i].dictionary;
    }
    return FM_OK;
}

void fm_column_view_deinit(struct fm_column_view *view)
{
    free(view->types);
    free(view->dictionaries);
    *view = (struct fm_column_view){0};
}
