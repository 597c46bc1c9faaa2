/* Opening the fragments of a plan: a ticket for each, all at once. */
#include "node/query.h"

#include <pthread.h>

static void table_ref(const struct fm_plan_table *table, struct fm_table_ref *out)
{
    memcpy(out->domain, table->domain, sizeof out->domain);
    memcpy(out->table, table->table, sizeof out->table);
    fm_schema_hash(table->schema, &out->schema.bytes[0]);
    out->at = table->at;
}

static enum fm_status open_feed(struct fm_query *query, uint32_t number,
                                const struct fm_fragment *fragment, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    bool is_alone = fm_query_passes_on(query) || query->plan.table_count == 1;
    struct fm_feed_options options = {
        .query = query->id,
        .number = number,
        .owner = table->owner,
        .domain = table->domain,
        .fragment = fragment,
        .request = fm_buf_span(&query->request),
        .principal_cert = fm_buf_span(&query->principal_cert),
        .principal = &query->principal,
        .sql_hash = query->sql_hash,
        .trace = query->trace,
        .deadline = query->deadline,
        .wait_ms = is_alone || number == query->waits_at ? FM_WAIT_MS_MAX : 0,
        .stop = &query->stop,
    };

    return fm_feed_open(query->server, &options, &query->feeds[number], err);
}

static enum fm_status open_scan(struct fm_query *query, uint32_t number, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    const struct fm_plan_lookup *lookup = &query->plan.lookup;
    bool is_lookup = query->plan.kind == FM_PLAN_LOOKUP;
    const uint32_t *fields = is_lookup ? lookup->fields : table->fields;
    uint32_t count = is_lookup ? lookup->field_count : table->field_count;
    FM_AUTO(fm_buf_free) struct fm_buf predicates = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_mem_freep) uint32_t *ids = calloc(count + 1, sizeof *ids);
    struct fm_table_ref ref;

    if (ids == NULL)
        return fm_fail(err, FM_NOMEM, "plan a scan");
    for (uint32_t i = 0; i < count; i++)
        ids[i] = table->schema->fields[fields[i]].id;
    if (table->predicates.count != 0)
        fm_predicate_list_encode(&predicates, &table->predicates);
    if (fm_buf_status(&predicates) != FM_OK)
        return fm_fail(err, FM_LIMIT, "the query's conditions are too large for a message");
    table_ref(table, &ref);
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SCAN,
        .table_count = 1,
        .tables = &ref,
        .field_count = count,
        .fields = ids,
        .predicates = fm_buf_span(&predicates),
        .row_limit = is_lookup ? lookup->row_limit : 0,
    };
    return open_feed(query, number, &fragment, err);
}

static enum fm_status open_sql(struct fm_query *query, uint32_t number, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);

    enum fm_status status = fm_plan_part_sql(table, &table->predicates, &sql);
    if (status != FM_OK)
        return fm_fail(err, status, "a part of the query is too long to send");
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SQL,
        .table_count = table->ref_count,
        .tables = table->refs,
        .sql = fm_buf_span(&sql),
    };
    return open_feed(query, number, &fragment, err);
}

struct opening {
    struct fm_query *query;
    uint32_t number;
    pthread_t thread;
    bool has_thread;
    bool is_done;
    enum fm_status status;
    struct fm_error err;
};

static void *open_thread(void *argument)
{
    struct opening *opening = argument;

    opening->status = opening->query->plan.tables[opening->number].sql.len != 0
                          ? open_sql(opening->query, opening->number, &opening->err)
                          : open_scan(opening->query, opening->number, &opening->err);
    return NULL;
}

static void open_all(struct opening *openings, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (!openings[i].is_done)
            openings[i].has_thread =
                pthread_create(&openings[i].thread, NULL, open_thread, &openings[i]) == 0;
    for (uint32_t i = 0; i < count; i++) {
        if (openings[i].has_thread)
            (void)pthread_join(openings[i].thread, NULL); /* A thread of our own that exists. */
        else if (!openings[i].is_done)
            (void)open_thread(&openings[i]);
    }
}

/* By slot, but what waiting does not cure comes first. */
static enum fm_status first_failure(const struct opening *openings, uint32_t count,
                                    uint32_t *busy_at, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < count; i++) {
        if (openings[i].status == FM_OK || (status != FM_OK && status != FM_BUSY) ||
            (status == FM_BUSY && openings[i].status == FM_BUSY))
            continue;
        status = openings[i].status;
        *busy_at = status == FM_BUSY ? i : UINT32_MAX;
        *err = openings[i].err;
    }
    return status;
}

/* One fragment per slot, all at once: an opening waits for its owner most of the time. `busy_at`:
 * one whose owner had no place, of those that were not to wait. */
static enum fm_status open_slots(struct fm_query *query, uint32_t *busy_at, struct fm_error *err)
{
    uint32_t count = query->plan.table_count;
    FM_AUTO(fm_mem_freep) struct opening *openings = calloc(count + 1u, sizeof *openings);
    enum fm_status status = FM_OK;

    if (openings == NULL)
        return fm_fail(err, FM_NOMEM, "open fragments");
    for (uint32_t i = 0; i < count; i++)
        openings[i] = (struct opening){.query = query, .number = i};
    query->feed_count = count;     /* Those that failed are NULL. */
    if (query->waits_at < count) { /* Before anything else is held. */
        (void)open_thread(&openings[query->waits_at]);
        openings[query->waits_at].is_done = true;
        status = openings[query->waits_at].status;
        if (status != FM_OK)
            *err = openings[query->waits_at].err;
    }
    if (status != FM_OK)
        return status;
    open_all(openings, count);
    return first_failure(openings, count, busy_at, err);
}

static void close_slots(struct fm_query *query)
{
    for (uint32_t i = 0; i < query->feed_count; i++)
        fm_feed_free(FM_TAKE(query->feeds[i]));
    query->feed_count = 0;
}

/* Nodes that wait for each other's places while they hold some would wait in a ring. So all
 * fragments are asked for at once and without waiting; where one finds its owner busy all are given
 * back, and that one waits while nothing else is held. */
static enum fm_status open_when_free(struct fm_query *query, struct fm_error *err)
{
    enum fm_status status = FM_BUSY;

    for (uint32_t round = 0; status == FM_BUSY && round < FM_OPEN_ROUNDS_MAX; round++) {
        uint32_t busy_at = UINT32_MAX;
        status = open_slots(query, &busy_at, err);
        if (status != FM_BUSY || busy_at == UINT32_MAX || query->plan.table_count == 1)
            break;
        close_slots(query);
        query->waits_at = busy_at;
    }
    return status;
}

static enum fm_status open_shipped(struct fm_query *query, struct fm_error *err)
{
    struct fm_plan *plan = &query->plan;
    FM_AUTO(fm_mem_freep) struct fm_table_ref *refs = calloc(plan->table_count, sizeof *refs);
    uint32_t count = 0;

    if (refs == NULL)
        return fm_fail(err, FM_NOMEM, "plan a query");
    for (uint32_t i = 0; i < plan->table_count; i++) {
        bool is_known = false;
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(refs[k].domain, plan->tables[i].domain) == 0 &&
                strcmp(refs[k].table, plan->tables[i].table) == 0)
                is_known = true;
        if (!is_known)
            table_ref(&plan->tables[i], &refs[count++]);
    }
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SQL,
        .table_count = count,
        .tables = refs,
        .sql = fm_buf_span(&plan->shipped),
    };
    enum fm_status status = open_feed(query, 0, &fragment, err);
    if (status == FM_OK)
        query->feed_count = 1;
    return status;
}

enum fm_status fm_query_open_fragments(struct fm_query *query, struct fm_error *err)
{
    query->waits_at = UINT32_MAX;
    return query->plan.kind == FM_PLAN_SHIP ? open_shipped(query, err) : open_when_free(query, err);
}
