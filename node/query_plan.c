/* Planning at the asked node: the registry is the catalog. */
#include "node/query.h"

static enum fm_status resolve(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    struct fm_query *query = context;

    *rows = 0; /* Statistics tell, and the owners when the fragments are opened. */
    return fm_registry_table(query->server->registry, domain, table, schema, owner);
}

static enum fm_status statistics(void *context, const char *domain, const char *table,
                                 const struct fm_node_id *owner, struct fm_statistics *out)
{
    struct fm_query *query = context;

    return fm_registry_statistics(query->server->registry, domain, table, owner, out);
}

static void cancel_worker(void *context)
{
    fm_worker_cancel(context);
}

void fm_query_end_worker(struct fm_query *query)
{
    fm_stop_unhook(&query->stop, &query->worker_hook);
    fm_worker_free(FM_TAKE(query->worker));
}

enum fm_status fm_query_plan(struct fm_query *query, struct fm_span sql, struct fm_error *err)
{
    struct fm_catalog catalog = {.context = query, .resolve = resolve, .statistics = statistics};

    enum fm_status status =
        fm_worker_lend(query->server->engine, query->deadline, &query->worker, err);
    if (status == FM_OK) {
        fm_stop_hook(&query->stop, &query->worker_hook, cancel_worker, query->worker);
        status =
            fm_plan_make(query->worker, sql, &catalog, &query->plan_options, &query->plan, err);
    }
    if (status != FM_OK)
        return status;
    fm_plan_print(&query->plan, &query->plan_text);
    return fm_buf_status(&query->plan_text);
}
