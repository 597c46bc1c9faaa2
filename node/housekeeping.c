#include "node/housekeeping.h"

#include "core/assert.h"
#include "core/cleanup.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_S 60
#define ROUND_PAUSES 60 /* From one round to the next: an hour. */
#define DAY_US (INT64_C(86400) * 1000000)

struct fm_housekeeping {
    struct fm_store *store;
    const struct fm_log *log;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* `stop` became true. */
    atomic_bool stop;
};

/* ---- One round ------------------------------------------------------------------------------- */

struct table_name {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
};

static enum fm_status add_name(void *context, const char *domain, const char *table)
{
    struct fm_buf *names = context;
    struct table_name name = {0};

    (void)snprintf(name.domain, sizeof name.domain, "%s", domain);
    (void)snprintf(name.table, sizeof name.table, "%s", table);
    fm_buf_put(names, &name, sizeof name);
    return fm_buf_status(names);
}

static uint32_t retention_days(struct fm_store *store, const struct table_name *name)
{
    struct fm_table_info info = {0};
    uint32_t days;

    if (fm_store_table(store, name->domain, name->table, &info) != FM_OK)
        return 0;
    days = info.schema->retention_days;
    fm_schema_free(info.schema);
    return days;
}

static void log_failure(const struct fm_log *log, const char *domain, const char *table,
                        const char *text)
{
    fm_log(log, FM_LOG_WARN, "dropping old facts failed", "domain", domain, "table", table, "error",
           text, NULL);
}

static void keep_table(struct fm_store *store, const struct fm_log *log,
                       const struct table_name *name, fm_us before, const atomic_bool *stop,
                       struct fm_housekeeping_done *done)
{
    struct fm_error err = {0};
    uint64_t dropped = 0;
    char count[32];
    enum fm_status status =
        fm_store_retain(store, name->domain, name->table, before, stop, &dropped, &err);

    done->dropped += dropped;
    if (dropped > 0) {
        (void)snprintf(count, sizeof count, "%" PRIu64, dropped);
        fm_log(log, FM_LOG_INFO, "dropped old facts", "domain", name->domain, "table", name->table,
               "facts", count, NULL);
    }
    if (status == FM_OK)
        return;
    done->failed++;
    log_failure(log, name->domain, name->table,
                err.text[0] != '\0' ? err.text : fm_status_text(status));
}

void fm_housekeeping_round(struct fm_store *store, const struct fm_log *log, fm_us now,
                           const atomic_bool *stop, struct fm_housekeeping_done *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf names = FM_BUF_INIT(0);
    struct fm_housekeeping_done done = {0};
    char tables[16], failed[16], dropped[32];

    if (fm_store_each_table(store, add_name, &names) != FM_OK) {
        done.failed++;
        log_failure(log, "", "", "out of memory");
    }
    for (size_t at = 0; at < names.len && !(stop != NULL && atomic_load(stop));
         at += sizeof(struct table_name)) {
        struct table_name name;
        uint32_t days;

        memcpy(&name, names.data + at, sizeof name);
        days = retention_days(store, &name);
        if (days == 0)
            continue;
        done.tables++;
        keep_table(store, log, &name, now - (fm_us)days * DAY_US, stop, &done);
    }
    *out = done;
    if (done.tables == 0)
        return;
    (void)snprintf(tables, sizeof tables, "%" PRIu32, done.tables);
    (void)snprintf(failed, sizeof failed, "%" PRIu32, done.failed);
    (void)snprintf(dropped, sizeof dropped, "%" PRIu64, done.dropped);
    fm_log(log, FM_LOG_INFO, "looked for old facts", "tables", tables, "dropped", dropped, "failed",
           failed, NULL);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void wait_for(struct fm_housekeeping *housekeeping, time_t seconds)
{
    struct timespec until;
    int waited = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_sec += seconds;
    fm_assert(pthread_mutex_lock(&housekeeping->lock) == 0);
    while (!atomic_load(&housekeeping->stop) && waited == 0)
        waited = pthread_cond_timedwait(&housekeeping->wake, &housekeeping->lock, &until);
    fm_assert(pthread_mutex_unlock(&housekeeping->lock) == 0);
}

/* Destroyed keys that readers kept in the files when they were destroyed. */
static void purge_subjects(struct fm_store *store, const struct fm_log *log)
{
    struct fm_error err = {0};
    bool done;
    enum fm_status status = fm_store_purge_subjects(store, &done, &err);

    if (status != FM_OK)
        fm_log(log, FM_LOG_WARN, "removing destroyed keys from the files failed", "error",
               err.text[0] != '\0' ? err.text : fm_status_text(status), NULL);
}

static void *run(void *argument)
{
    struct fm_housekeeping *housekeeping = argument;
    uint32_t pauses = 0; /* Until the next round. */

    while (!atomic_load(&housekeeping->stop)) {
        if (pauses == 0) {
            struct fm_housekeeping_done done;

            fm_housekeeping_round(housekeeping->store, housekeeping->log, fm_now_us(),
                                  &housekeeping->stop, &done);
            pauses = done.failed != 0 ? 1 : ROUND_PAUSES;
        }
        purge_subjects(housekeeping->store, housekeeping->log);
        wait_for(housekeeping, PAUSE_S);
        pauses--;
    }
    return NULL;
}

enum fm_status fm_housekeeping_start(struct fm_store *store, const struct fm_log *log,
                                     struct fm_housekeeping **out, struct fm_error *err)
{
    struct fm_housekeeping *housekeeping = calloc(1, sizeof *housekeeping);
    pthread_condattr_t attributes;

    if (housekeeping == NULL)
        return fm_fail(err, FM_NOMEM, "start housekeeping");
    housekeeping->store = store;
    housekeeping->log = log;
    atomic_init(&housekeeping->stop, false);
    fm_assert(pthread_mutex_init(&housekeeping->lock, NULL) == 0);
    fm_assert(pthread_condattr_init(&attributes) == 0);
    fm_assert(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    fm_assert(pthread_cond_init(&housekeeping->wake, &attributes) == 0);
    fm_assert(pthread_condattr_destroy(&attributes) == 0);
    if (pthread_create(&housekeeping->thread, NULL, run, housekeeping) != 0) {
        (void)pthread_cond_destroy(&housekeeping->wake); /* Nobody waits. */
        (void)pthread_mutex_destroy(&housekeeping->lock);
        free(housekeeping);
        return fm_fail(err, FM_NOMEM, "start the thread for housekeeping");
    }
    *out = housekeeping;
    return FM_OK;
}

void fm_housekeeping_stop(struct fm_housekeeping *housekeeping)
{
    if (housekeeping == NULL)
        return;
    fm_assert(pthread_mutex_lock(&housekeeping->lock) == 0);
    atomic_store(&housekeeping->stop, true);
    fm_assert(pthread_cond_signal(&housekeeping->wake) == 0);
    fm_assert(pthread_mutex_unlock(&housekeeping->lock) == 0);
    (void)pthread_join(housekeeping->thread, NULL);  /* A thread of our own that exists. */
    (void)pthread_cond_destroy(&housekeeping->wake); /* Nobody waits. */
    (void)pthread_mutex_destroy(&housekeeping->lock);
    free(housekeeping);
}
