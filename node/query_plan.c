/* Planning at the asked node: the registry is the catalog, and a plan that was made before for the
 * same text, asker and options serves again while the catalog is the same. */
#include "node/query.h"

#define ROUND_TRIP_US_MIN 500 /* Calls cost more than the way there and back. */
#define RTT_CHANGE_MAX 3u     /* Times; a plan that was made for another is made anew. */

struct catalog {
    struct fm_registry *registry;
    struct fm_membership *membership;
    struct fm_node_id self;
    bool is_postgres;
    bool used_statistics;
};

static enum fm_status resolve(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    struct catalog *catalog = context;

    *rows = 0;
    if (fm_domain_is_own(domain)) {
        if (!catalog->is_postgres && strcmp(domain, FM_VIEWS_DOMAIN) != 0)
            return FM_NOTFOUND;
        *owner = catalog->self;
        return fm_view_schema(domain, table, schema);
    }
    /* Statistics tell of rows, and the owners when the fragments are opened. */
    return fm_registry_table(catalog->registry, domain, table, schema, owner);
}

static enum fm_status statistics(void *context, const char *domain, const char *table,
                                 const struct fm_node_id *owner, struct fm_statistics *out)
{
    struct catalog *catalog = context;

    catalog->used_statistics = true;
    return fm_registry_statistics(catalog->registry, domain, table, owner, out);
}

/* As gossip's probes see it. */
static uint32_t round_trip(void *context, const struct fm_node_id *owner)
{
    struct catalog *catalog = context;
    fm_ms ms = fm_membership_round_trip(catalog->membership, owner);

    return ms < 0 ? FM_PLAN_RTT_US : (uint32_t)(ms < 60000 ? ms : 60000) * 1000 + ROUND_TRIP_US_MIN;
}

/* Whoever adds an option adds it to the key; but plans that depend on the moment are not kept. */
_Static_assert(sizeof(struct fm_plan_options) == sizeof(uint64_t) + sizeof(int64_t),
               "a plan depends on each option");

static void plan_key(const struct fm_query *query, struct fm_span sql, struct fm_hash *out)
{
    struct fm_hash principal;
    uint8_t rules[8];

    fm_sha256_one(&principal, fm_buf_span(&query->principal_cert));
    fm_store64(rules, query->plan_options.rules_off);
    struct fm_span parts[] = {fm_span_str(query->is_postgres ? "postgres" : "query"),
                              fm_span(principal.bytes, sizeof principal.bytes),
                              fm_span(rules, sizeof rules), sql};
    fm_sha256(out, parts, sizeof parts / sizeof parts[0]);
}

static enum fm_status make(struct fm_query *query, struct fm_span sql, const struct fm_hash *key,
                           const struct fm_registry_version *version, struct fm_error *err)
{
    struct catalog known = {.registry = query->server->registry,
                            .membership = query->server->membership,
                            .self = query->server->identity->node.node,
                            .is_postgres = query->is_postgres};
    struct fm_catalog catalog = {
        .context = &known, .resolve = resolve, .statistics = statistics, .round_trip = round_trip};

    enum fm_status status =
        fm_plan_make(query->worker, sql, &catalog, &query->plan_options, &query->plan, err);
    /* What one owner does alone is the same whatever it tells of its tables. */
    bool depends = known.used_statistics && query->plan.kind == FM_PLAN_MERGE;
    if (status == FM_OK)
        fm_plan_cache_put(query->server->plans, key, version, depends, &query->plan);
    return status;
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

static enum fm_status enter(struct fm_query *query, enum fm_place_kind kind, struct fm_error *err)
{
    struct fm_place_ask ask = {
        .kind = kind,
        .principal = &query->principal.sign_key,
        .query = &query->id,
        .wait_ms = FM_WAIT_MS_MAX,
        .deadline = query->deadline,
        .stop = &query->stop,
    };

    return fm_place_enter(query->server->admission, &ask, &query->place, err);
}

static enum fm_status lend_worker(struct fm_query *query, struct fm_error *err)
{
    struct fm_hash whom;

    fm_sha256_one(&whom, fm_buf_span(&query->principal_cert));
    enum fm_status status =
        fm_worker_lend(query->server->engine, &whom, query->deadline, &query->worker, err);

    if (status == FM_OK)
        fm_stop_hook(&query->stop, &query->worker_hook, cancel_worker, query->worker);
    return status;
}

enum fm_status fm_query_tell_lost(const struct fm_query *query, enum fm_status status,
                                  const char *what, struct fm_error *err)
{
    if (query->worker == NULL || !fm_worker_is_lost(query->worker))
        return status;
    return fm_wrap(err, status, "node %s: %s", query->server->identity->node.name, what);
}

enum fm_status fm_query_admit(struct fm_query *query, struct fm_error *err)
{
    bool passes = fm_query_passes_on(query);
    enum fm_place_kind kind = passes ? FM_PLACE_PASS : FM_PLACE_MERGE;
    enum fm_status status = FM_OK;

    if (passes)
        fm_query_end_worker(query); /* The owner does the work. */
    if (query->place.admission == NULL || !fm_place_move(&query->place, kind)) {
        fm_query_end_worker(query);
        fm_place_leave(&query->place);
        status = enter(query, kind, err);
    }
    if (status == FM_OK && !passes && query->worker == NULL)
        status = lend_worker(query, err);
    return status;
}

void fm_query_forget_plan(struct fm_query *query)
{
    fm_query_close_fragments(query);
    fm_spool_free(FM_TAKE(query->spool));
    fm_query_end_worker(query);
    fm_place_leave(&query->place);
    fm_plan_deinit(&query->plan);
    fm_buf_clear(&query->plan_text);
    query->push_failed = false;
    query->plan_options.rules_off |= UINT64_C(1) << FM_RULE_PUSH;
}

/* A kept plan may rest on a round trip that is no longer what it was: one slow probe must not
 * decide for good. */
static bool is_outdated(const struct fm_query *query)
{
    const struct fm_plan *plan = &query->plan;
    struct catalog known = {.registry = query->server->registry,
                            .membership = query->server->membership};
    uint32_t rtt_us = 0;

    if (plan->kind != FM_PLAN_MERGE || plan->rtt_us == 0)
        return false;
    for (uint32_t i = 0; i < plan->table_count; i++) {
        uint32_t one = plan->tables[i].is_own ? 0 : round_trip(&known, &plan->tables[i].owner);
        if (one > rtt_us)
            rtt_us = one;
    }
    return rtt_us != 0 &&
           (rtt_us > plan->rtt_us * RTT_CHANGE_MAX || plan->rtt_us > rtt_us * RTT_CHANGE_MAX);
}

enum fm_status fm_query_plan(struct fm_query *query, struct fm_span sql, struct fm_error *err)
{
    struct fm_server *server = query->server;
    struct fm_registry_version version = fm_registry_version(server->registry);
    struct fm_hash key;

    /* What is left without an owner must be known for its own rows. */
    if (query->on_unavailable == FM_UNAVAILABLE_SKIP)
        query->plan_options.rules_off |= UINT64_C(1) << FM_RULE_PUSH;
    plan_key(query, sql, &key);
    enum fm_status status = fm_plan_cache_get(server->plans, &key, &version, &query->plan);
    bool is_kept = status == FM_OK && !is_outdated(query);
    if (status == FM_OK && !is_kept)
        fm_plan_deinit(&query->plan);
    if (!is_kept) /* Else fm_query_admit() lends a worker, where one is needed. */
        status = enter(query, FM_PLACE_PLAN, err);
    if (status == FM_OK && !is_kept)
        status = lend_worker(query, err);
    if (status == FM_OK && !is_kept)
        status = make(query, sql, &key, &version, err);
    if (status != FM_OK)
        return fm_query_tell_lost(query, status, "plan", err);
    fm_plan_print(&query->plan, query->with_fragments, &query->plan_text);
    return fm_buf_status(&query->plan_text);
}
