#include "node/announcer.h"

#include "core/assert.h"
#include "node/server.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define PAUSE_S 1
#define RETRY_MS 60000

/* What was said of a table last. */
struct said {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    bool is_known; /* Something was. */
    uint64_t rows;
    uint32_t schema_version;
    uint64_t version; /* Of the record. */
    fm_ms again_at;   /* Not before. */
};

struct fm_announcer {
    struct fm_server *server;
    uint32_t count; /* In the store's order, which only grows. */
    uint32_t seen;  /* Of them in this round. */
    struct said *said;
    pthread_t thread;
    pthread_mutex_t lock; /* Guards `stop`. */
    pthread_cond_t wake;  /* `stop` became true. */
    bool stop;
};

/* ---- One table ------------------------------------------------------------------------------- */

/* Published here: its contract is this node's. */
static bool is_published(struct fm_server *server, const struct said *said)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    struct fm_node_id owner;

    return fm_registry_table(server->registry, said->domain, said->table, &schema, &owner) ==
               FM_OK &&
           memcmp(&owner, &server->identity->node.node, sizeof owner) == 0;
}

static enum fm_status seal(struct fm_server *server, const struct fm_statistics *statistics,
                           struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fm_key *key = server->identity->sign_key;

    fm_statistics_encode(&body, statistics);
    enum fm_status status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_STATISTICS, &server->identity->charter.mesh,
                                  fm_buf_span(&body), &key, 1, out);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "sign statistics");
}

/* Clocks may go back, versions do not. */
static uint64_t next_version(const struct said *said)
{
    fm_us now = fm_now_us();

    return now > 0 && (uint64_t)now > said->version ? (uint64_t)now : said->version + 1;
}

static enum fm_status announce(struct fm_server *server, struct said *said, uint32_t epoch,
                               struct fm_error *err)
{
    FM_AUTO(fm_statistics_deinit) struct fm_statistics statistics = {0};
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct gossip_record record;
    bool is_new;

    enum fm_status status =
        fm_store_summary(server->store, said->domain, said->table, &statistics, err);
    if (status != FM_OK)
        return status;
    statistics.epoch = epoch;
    statistics.version = next_version(said);
    statistics.time = fm_now_us();
    status = seal(server, &statistics, &envelope, err);
    if (status == FM_OK)
        status = fm_registry_put(server->registry, GOSSIP_RECORD_STATISTICS, fm_buf_span(&envelope),
                                 &record, &is_new, err);
    if (status != FM_OK)
        return status;
    fm_membership_publish(server->membership, &record);
    said->is_known = true;
    said->rows = statistics.rows;
    said->schema_version = statistics.schema_version;
    said->version = statistics.version;
    return FM_OK;
}

static bool is_due(struct fm_server *server, const struct said *said, fm_ms now)
{
    struct fm_statistics before = {.rows = said->rows, .schema_version = said->schema_version};
    uint32_t schema_version = 0;
    uint64_t rows = 0;

    if (now < said->again_at ||
        fm_store_outline(server->store, said->domain, said->table, &rows, &schema_version) != FM_OK)
        return false;
    if (!said->is_known)
        return rows > 0;
    return fm_statistics_is_stale(&before, rows, schema_version);
}

static void look_at(struct fm_server *server, struct said *said)
{
    struct fm_error err = {0};
    fm_ms now = fm_now_ms();

    if (!is_due(server, said, now))
        return;
    const struct fm_domain_grant *grant =
        fm_node_cert_domain(&server->identity->node, said->domain);
    said->again_at = now + FM_STATISTICS_MS_MIN;
    if (grant == NULL || !is_published(server, said))
        return;
    enum fm_status status = announce(server, said, grant->epoch, &err);
    if (status == FM_OK)
        return;
    said->again_at = now + RETRY_MS;
    fm_log(&server->log, FM_LOG_WARN, "telling about a table failed", "domain", said->domain,
           "table", said->table, "error", err.text[0] != '\0' ? err.text : fm_status_text(status),
           NULL);
}

/* ---- All tables ------------------------------------------------------------------------------ */

static enum fm_status remember(struct fm_announcer *announcer, const char *domain,
                               const char *table)
{
    struct said *said = realloc(announcer->said, (announcer->count + 1u) * sizeof *said);
    struct fm_statistics last = {0};

    if (said == NULL)
        return FM_NOMEM;
    announcer->said = said;
    said += announcer->count++;
    *said = (struct said){0};
    (void)snprintf(said->domain, sizeof said->domain, "%s", domain);
    (void)snprintf(said->table, sizeof said->table, "%s", table);
    if (fm_registry_statistics(announcer->server->registry, domain, table,
                               &announcer->server->identity->node.node, &last) != FM_OK)
        return FM_OK;
    said->is_known = true;
    said->rows = last.rows;
    said->schema_version = last.schema_version;
    said->version = last.version;
    fm_statistics_deinit(&last);
    return FM_OK;
}

static enum fm_status see(void *context, const char *domain, const char *table)
{
    struct fm_announcer *announcer = context;

    if (announcer->seen++ < announcer->count)
        return FM_OK;
    return remember(announcer, domain, table);
}

static bool wait_a_while(struct fm_announcer *announcer)
{
    struct timespec until;
    int waited = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_sec += PAUSE_S;
    fm_assert(pthread_mutex_lock(&announcer->lock) == 0);
    while (!announcer->stop && waited == 0)
        waited = pthread_cond_timedwait(&announcer->wake, &announcer->lock, &until);
    bool stop = announcer->stop;
    fm_assert(pthread_mutex_unlock(&announcer->lock) == 0);
    return !stop;
}

static bool is_stopped(struct fm_announcer *announcer)
{
    fm_assert(pthread_mutex_lock(&announcer->lock) == 0);
    bool stop = announcer->stop;
    fm_assert(pthread_mutex_unlock(&announcer->lock) == 0);
    return stop;
}

static void *run(void *argument)
{
    struct fm_announcer *announcer = argument;

    do {
        announcer->seen = 0;
        if (fm_store_each_table(announcer->server->store, see, announcer) != FM_OK)
            fm_log(&announcer->server->log, FM_LOG_WARN, "telling about tables", "error",
                   "out of memory", NULL);
        for (uint32_t i = 0; i < announcer->count && !is_stopped(announcer); i++)
            look_at(announcer->server, &announcer->said[i]);
    } while (wait_a_while(announcer));
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum fm_status fm_announcer_start(struct fm_server *server, struct fm_announcer **out,
                                  struct fm_error *err)
{
    struct fm_announcer *announcer = calloc(1, sizeof *announcer);
    pthread_condattr_t attributes;

    if (announcer == NULL)
        return fm_fail(err, FM_NOMEM, "start telling about tables");
    announcer->server = server;
    fm_assert(pthread_mutex_init(&announcer->lock, NULL) == 0);
    fm_assert(pthread_condattr_init(&attributes) == 0);
    fm_assert(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    fm_assert(pthread_cond_init(&announcer->wake, &attributes) == 0);
    fm_assert(pthread_condattr_destroy(&attributes) == 0);
    if (pthread_create(&announcer->thread, NULL, run, announcer) != 0) {
        (void)pthread_cond_destroy(&announcer->wake); /* Nobody waits. */
        (void)pthread_mutex_destroy(&announcer->lock);
        free(announcer);
        return fm_fail(err, FM_NOMEM, "start the thread that tells about tables");
    }
    *out = announcer;
    return FM_OK;
}

void fm_announcer_stop(struct fm_announcer *announcer)
{
    if (announcer == NULL)
        return;
    fm_assert(pthread_mutex_lock(&announcer->lock) == 0);
    announcer->stop = true;
    fm_assert(pthread_cond_signal(&announcer->wake) == 0);
    fm_assert(pthread_mutex_unlock(&announcer->lock) == 0);
    (void)pthread_join(announcer->thread, NULL);  /* A thread of our own that exists. */
    (void)pthread_cond_destroy(&announcer->wake); /* Nobody waits. */
    (void)pthread_mutex_destroy(&announcer->lock);
    free(announcer->said);
    free(announcer);
}
