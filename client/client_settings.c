/* SET, SHOW and RESET of a session, which the handle is: requests are signed here, so what is set
 * is part of what the principal signs. */
#include "client/client_internal.h"

/* The heads of one fragment, as the node shows them; a fragment without did not end whole. */
static enum fm_status add_heads(struct folkmoot *handle, struct folkmoot_result *result,
                                uint32_t row, struct fm_buf *notes)
{
    const char *state = NULL, *heads = NULL;
    size_t len = 0;

    if (folkmoot_result_text(result, row, 1, &heads, &len) != FOLKMOOT_OK)
        return FM_NOMEM;
    if (heads != NULL) {
        fm_buf_put(notes, heads, len);
        return fm_buf_status(notes);
    }
    if (folkmoot_result_text(result, row, 0, &state, &len) != FOLKMOOT_OK || state == NULL)
        return FM_NOMEM;
    return fm_fail(&handle->err, FM_INVALID, "a fragment of that query has no heads: it is %.40s",
                   state);
}

static enum fm_status read_heads(struct folkmoot *handle, struct folkmoot_result *result,
                                 struct fm_buf *notes)
{
    for (;;) {
        enum fm_status status = (enum fm_status)folkmoot_result_next(result);
        uint32_t rows = folkmoot_result_rows(result);
        for (uint32_t row = 0; status == FM_OK && row < rows; row++)
            status = add_heads(handle, result, row, notes);
        if (status != FM_OK || rows == 0)
            return status;
    }
}

/* In place of the id of a query the heads that it read, as the node that was asked keeps them. */
static enum fm_status find_heads(struct folkmoot *handle, struct fm_settings_statement *statement)
{
    struct fm_buf notes = FM_BUF_INIT(FM_SQL_BYTES_MAX);
    struct folkmoot_result *result = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(0);

    fm_settings_ask_heads(statement, &sql);
    enum fm_status status = fm_buf_status(&sql);
    if (status == FM_OK)
        status =
            (enum fm_status)folkmoot_query(handle, (const char *)sql.data, sql.len, NULL, &result);
    if (status == FM_OK)
        status = read_heads(handle, result, &notes);
    folkmoot_result_free(result);
    if (status == FM_OK && notes.len == 0)
        status = fm_fail(&handle->err, FM_NOTFOUND,
                         "mesh.receipts of node %s has no query %.*s of yours", handle->node,
                         (int)statement->value.len, (const char *)statement->value.data);
    fm_buf_free(&statement->value);
    statement->value = notes;
    return status;
}

enum fm_status fm_client_settings(struct folkmoot *handle, struct fm_span sql, bool is_saved,
                                  bool *is_one, struct fm_rows **rows)
{
    struct fm_settings_statement statement;

    *is_one = false;
    if (sql.len == 0 || sql.len > FM_SQL_BYTES_MAX || !fm_utf8_valid(sql))
        return FM_OK; /* A query's checks say so. */
    enum fm_status status = fm_settings_read(sql, &statement, &handle->err);
    *is_one = statement.verb != FM_SETTINGS_NONE;
    if (status == FM_OK && *is_one && is_saved)
        status = fm_fail(&handle->err, FM_INVALID,
                         "settings are the session's own: there is no answer to save");
    if (status == FM_OK && fm_settings_names_query(&statement))
        status = find_heads(handle, &statement);
    if (status == FM_OK && statement.verb == FM_SETTINGS_SHOW) {
        status = fm_settings_show(&handle->settings, statement.setting, rows);
        if (status != FM_OK)
            status = fm_fail(&handle->err, status, "SHOW: %s", fm_status_text(status));
    } else if (status == FM_OK && *is_one) {
        status = fm_settings_change(&handle->settings, &statement, &handle->err);
    }
    fm_buf_free(&statement.value);
    return status;
}
