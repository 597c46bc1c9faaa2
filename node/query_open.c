/* Opening the fragments of a plan: a ticket for each, all at once. */
#include "node/query.h"

#include "core/assert.h"

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
        .number = query->numbers_from + number,
        .owner = table->owner,
        .domain = table->domain,
        .fragment = fragment,
        .request = fm_buf_span(&query->request),
        .principal_cert = fm_buf_span(&query->principal_cert),
        .principal = &query->principal,
        .sql_hash = query->sql_hash,
        .trace = query->trace,
        .deadline = fm_query_feed_deadline(query),
        .wait_ms = is_alone || number == query->waits_at ? FM_WAIT_MS_MAX : 0,
        .stop = &query->stop,
        .spool = query->spool,
    };

    enum fm_status status = fm_feed_open(query->server, &options, &query->feeds[number], err);
    if (status == FM_OK)
        query->kept[number].feed = query->feeds[number];
    return status;
}

static enum fm_status open_scan(struct fm_query *query, uint32_t number,
                                const struct fm_predicate_list *conditions, struct fm_error *err)
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
    if (conditions->count != 0)
        fm_predicate_list_encode(&predicates, conditions);
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

/* The ticket fits no message, or an owner of another release does not know given rows, or wants
 * other columns of them. */
static bool is_no_push(enum fm_status status)
{
    return status == FM_LIMIT || status == FM_MALFORMED || status == FM_INVALID ||
           status == FM_UNSUPPORTED || status == FM_INTERNAL;
}

static enum fm_status open_sql(struct fm_query *query, uint32_t number,
                               const struct fm_predicate_list *conditions, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);
    FM_AUTO(fm_gifts_deinit) struct fm_gifts gifts = {.count = 0};

    enum fm_status status = fm_plan_part_sql(table, conditions, &sql);
    if (status != FM_OK)
        return fm_fail(err, status, "a part of the query is too long to send");
    status = fm_query_give(query, number, &gifts, err);
    if (status != FM_OK)
        return status;
    struct fm_fragment fragment = {
        .kind = FM_FRAGMENT_SQL,
        .table_count = table->ref_count,
        .tables = table->refs,
        .sql = fm_buf_span(&sql),
        .given_count = gifts.count,
        .given = gifts.given,
    };
    status = open_feed(query, number, &fragment, err);
    if (gifts.count > 0 && is_no_push(status))
        query->push_failed = true;
    return status;
}

/* ---- All slots ------------------------------------------------------------------------------- */

struct openings;

struct opening {
    struct openings *all;
    uint32_t number;
    pthread_t thread;
    bool has_thread;
    bool is_done;    /* Opened and, where others wait for its rows, read. */
    bool is_skipped; /* One that it waits for failed. */
    enum fm_status status;
    struct fm_error err;
};

struct openings {
    struct fm_query *query;
    pthread_mutex_t lock; /* Guards each is_done. */
    pthread_cond_t changed;
    struct opening slots[FM_QUERY_TABLES_MAX];
};

static bool is_source(const struct fm_plan *plan, uint32_t slot)
{
    for (uint32_t i = 0; i < plan->table_count; i++)
        if ((fm_plan_sources(plan, i) >> slot & 1u) != 0)
            return true;
    return false;
}

/* Wait for the rows of the slots that are read before this one. False: one of them failed, and the
 * query with it; one that may be missing reduces nothing. */
static bool wait_for_sources(struct openings *all, uint32_t slot)
{
    uint64_t sources = fm_plan_sources(&all->query->plan, slot);
    bool succeeded = true;

    fm_assert(pthread_mutex_lock(&all->lock) == 0);
    for (; sources != 0; sources &= sources - 1) {
        const struct opening *from = &all->slots[__builtin_ctzll(sources)];
        while (!from->is_done)
            (void)pthread_cond_wait(&all->changed, &all->lock); /* Only fails on misuse. */
        succeeded = succeeded && from->status == FM_OK;
    }
    fm_assert(pthread_mutex_unlock(&all->lock) == 0);
    return succeeded || all->query->on_unavailable == FM_UNAVAILABLE_SKIP;
}

/* Rows of this node's own: no ticket, no feed, no receipt. */
static enum fm_status open_view(struct fm_query *query, uint32_t slot, struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[slot];
    const struct fm_view_asker asker = {
        .principal = query->principal.sign_key,
        .name = query->principal.name,
        .session = query->session,
    };

    return fm_view_read(query->server, &asker, table->domain, table->table, table->fields,
                        table->field_count, &query->kept[slot], &query->views[slot], err);
}

static enum fm_status open_slot(struct fm_query *query, uint32_t slot, struct fm_error *err)
{
    FM_AUTO(fm_predicate_list_deinit) struct fm_predicate_list conditions = {0};

    if (query->plan.tables[slot].is_own)
        return open_view(query, slot, err);
    enum fm_status status = fm_query_reduce(query, slot, &conditions, err);
    if (status == FM_OK)
        status = query->plan.tables[slot].sql.len != 0 ? open_sql(query, slot, &conditions, err)
                                                       : open_scan(query, slot, &conditions, err);
    if (status == FM_OK && is_source(&query->plan, slot))
        status = fm_kept_read_ahead(&query->kept[slot], err);
    return status;
}

static void *open_thread(void *argument)
{
    struct opening *opening = argument;
    struct openings *all = opening->all;

    opening->is_skipped = !wait_for_sources(all, opening->number);
    opening->status =
        opening->is_skipped ? FM_CANCELLED : open_slot(all->query, opening->number, &opening->err);
    fm_assert(pthread_mutex_lock(&all->lock) == 0);
    opening->is_done = true;
    (void)pthread_cond_broadcast(&all->changed); /* Cannot fail. */
    fm_assert(pthread_mutex_unlock(&all->lock) == 0);
    return NULL;
}

/* Slots such that none waits for one behind it. */
static void order_slots(const struct fm_plan *plan, uint32_t *order)
{
    uint64_t placed = 0;
    uint32_t count = 0;

    while (count < plan->table_count) {
        uint32_t before = count;
        for (uint32_t slot = 0; slot < plan->table_count; slot++) {
            if ((placed >> slot & 1u) != 0 || (fm_plan_sources(plan, slot) & ~placed) != 0)
                continue;
            placed |= UINT64_C(1) << slot;
            order[count++] = slot;
        }
        fm_assert(count > before); /* The plan has no ring. */
    }
}

/* The first one, and those for which there is no thread, are opened here. */
static void open_all(struct openings *all, uint32_t count)
{
    uint32_t order[FM_QUERY_TABLES_MAX] = {0};

    order_slots(&all->query->plan, order);
    for (uint32_t i = 1; i < count; i++) {
        struct opening *opening = &all->slots[order[i]];
        if (!opening->is_done)
            opening->has_thread = pthread_create(&opening->thread, NULL, open_thread, opening) == 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct opening *opening = &all->slots[order[i]];
        if (!opening->has_thread && !opening->is_done)
            (void)open_thread(opening);
    }
    for (uint32_t i = 0; i < count; i++)
        if (all->slots[i].has_thread)
            (void)pthread_join(all->slots[i].thread, NULL); /* A thread of our own that exists. */
}

/* The query may go on without it; an owner that has no room now is asked again. */
static void settle(struct fm_query *query, struct opening *opening, bool has_waited)
{
    if (opening->status != FM_OK && !opening->is_skipped &&
        (has_waited || opening->status != FM_BUSY))
        opening->status = fm_query_lose(query, opening->number, opening->status, &opening->err);
}

/* By slot, but what waiting does not cure comes first; not what only follows from another one. */
static enum fm_status first_failure(const struct openings *all, uint32_t count, uint32_t *busy_at,
                                    struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < count; i++) {
        const struct opening *opening = &all->slots[i];
        if (opening->status == FM_OK || opening->is_skipped ||
            (status != FM_OK && status != FM_BUSY) ||
            (status == FM_BUSY && opening->status == FM_BUSY))
            continue;
        status = opening->status;
        *busy_at = status == FM_BUSY ? i : UINT32_MAX;
        *err = opening->err;
    }
    return status;
}

static enum fm_status open_now(struct openings *all, uint32_t slot, bool waits,
                               struct fm_error *err)
{
    struct opening *opening = &all->slots[slot];

    opening->status = open_slot(all->query, slot, &opening->err);
    opening->is_done = true; /* No thread yet. */
    settle(all->query, opening, waits);
    if (opening->status != FM_OK)
        *err = opening->err;
    return opening->status;
}

/* The slot that waits for a place at its owner, before anything else is held: not even the keys
 * that would reduce it. What it is given is read first, to the end, and holds nothing then. */
static enum fm_status open_waiting(struct openings *all, uint32_t *busy_at, struct fm_error *err)
{
    uint32_t slot = all->query->waits_at;
    uint64_t given = all->query->plan.tables[slot].given;

    for (; given != 0; given &= given - 1) {
        uint32_t source = (uint32_t)__builtin_ctzll(given);
        enum fm_status status = open_now(all, source, false, err);
        if (status == FM_BUSY)
            *busy_at = source;
        if (status != FM_OK)
            return status;
    }
    return open_now(all, slot, true, err);
}

/* One fragment per slot, all at once: an opening waits for its owner most of the time. `busy_at`:
 * one whose owner had no place, of those that were not to wait. */
static enum fm_status open_slots(struct fm_query *query, uint32_t *busy_at, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct openings *all = calloc(1, sizeof *all);
    uint32_t count = query->plan.table_count;
    enum fm_status status = FM_OK;

    if (all == NULL)
        return fm_fail(err, FM_NOMEM, "open fragments");
    all->query = query;
    fm_assert(pthread_mutex_init(&all->lock, NULL) == 0);
    fm_assert(pthread_cond_init(&all->changed, NULL) == 0);
    for (uint32_t i = 0; i < count; i++)
        all->slots[i] = (struct opening){.all = all, .number = i};
    query->feed_count = count; /* Those that failed are NULL. */
    if (query->waits_at < count)
        status = open_waiting(all, busy_at, err);
    if (status == FM_OK) {
        open_all(all, count);
        for (uint32_t i = 0; i < count; i++)
            if (all->slots[i].status != FM_OK && i != query->waits_at)
                settle(query, &all->slots[i], false);
        status = first_failure(all, count, busy_at, err);
    }
    (void)pthread_cond_destroy(&all->changed); /* Nobody waits. */
    (void)pthread_mutex_destroy(&all->lock);
    return status;
}

void fm_query_close_fragments(struct fm_query *query)
{
    for (uint32_t i = 0; i < query->feed_count; i++) {
        fm_kept_deinit(&query->kept[i]);
        fm_feed_free(FM_TAKE(query->feeds[i]));
    }
    query->feed_count = 0;
    query->numbers_from += FM_QUERY_TABLES_MAX;     /* Their owners may still know the old ones. */
    memset(query->losses, 0, sizeof query->losses); /* They are asked once more. */
    query->failed = FM_OK;
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
        fm_query_close_fragments(query);
        query->waits_at = busy_at;
    }
    return status == FM_OK ? fm_query_check_losses(query, err) : status;
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
    return status == FM_OK ? FM_OK : fm_query_lose(query, 0, status, err);
}

enum fm_status fm_query_open_fragments(struct fm_query *query, struct fm_error *err)
{
    query->waits_at = UINT32_MAX;
    return query->plan.kind == FM_PLAN_SHIP ? open_shipped(query, err) : open_when_free(query, err);
}
