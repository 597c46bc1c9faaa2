#include "query/engine_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LET_GO_MS 500 /* For an idle worker to drop its tables. */

uint64_t worker_data_bytes(const struct fm_worker *worker)
{
    unsigned long long pages = 0;
    char path[64], text[128];

    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)worker->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    (void)close(fd); /* Read only. */
    text[bytes > 0 ? bytes : 0] = '\0';
    if (sscanf(text, "%*u %*u %*u %*u %*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Nothing went wrong in its loan, and it waits for a command. */
static bool is_clean(const struct fm_worker *worker)
{
    return worker->is_keyed && !worker->is_spoiled && worker->ended == FM_OK &&
           worker->state == WORKER_IDLE && worker->kill_at == FM_MS_NEVER &&
           !atomic_load(&worker->cancelled) && fm_now_ms() < worker->deadline;
}

/* What it keeps of its memory is missing in the next loan's limit, and to the machine meanwhile. */
static bool has_grown(const struct fm_worker *worker)
{
    uint64_t bytes = worker_data_bytes(worker);
    return bytes == 0 || worker->data_bytes == 0 ||
           bytes > worker->data_bytes + FM_WORKER_WARM_BYTES_MAX;
}

/* Its mappings, and here what was kept of its results. */
static bool let_go(struct fm_worker *worker)
{
    worker->deadline = fm_now_ms() + LET_GO_MS;
    enum fm_status status = fm_worker_set_slots(worker, NULL, 0, NULL);
    bool spilled = worker->control.frame.number != 0;
    worker_forget(worker);
    return status == FM_OK && !spilled && worker->kill_at == FM_MS_NEVER;
}

/* The least recently used of `key`, or of all; the list begins with the most recently used. */
static struct fm_worker *pop_oldest(struct fm_engine *engine, const struct fm_hash *key)
{
    struct fm_worker **oldest = NULL;

    for (struct fm_worker **at = &engine->warm; *at != NULL; at = &(*at)->next)
        if (key == NULL || fm_hash_equal(&(*at)->key, key))
            oldest = at;
    if (oldest == NULL)
        return NULL;
    struct fm_worker *worker = *oldest;
    *oldest = worker->next;
    worker->next = NULL;
    engine->warm_count--;
    return worker;
}

static uint32_t count_of(const struct fm_engine *engine, const struct fm_hash *key)
{
    uint32_t count = 0;

    for (const struct fm_worker *at = engine->warm; at != NULL; at = at->next)
        count += fm_hash_equal(&at->key, key) ? 1 : 0;
    return count;
}

struct fm_worker *warm_take(struct fm_engine *engine, const struct fm_hash *key)
{
    for (struct fm_worker **at = &engine->warm; *at != NULL; at = &(*at)->next) {
        struct fm_worker *worker = *at;
        if (!fm_hash_equal(&worker->key, key))
            continue;
        *at = worker->next;
        worker->next = NULL;
        engine->warm_count--;
        return worker;
    }
    return NULL;
}

bool warm_keep(struct fm_worker *worker)
{
    struct fm_engine *engine = worker->engine;
    struct fm_worker *oldest = NULL;

    if (engine->warm_ms < 0 || !is_clean(worker) || !let_go(worker) || has_grown(worker))
        return false;
    (void)pthread_mutex_lock(&engine->lock);
    if (count_of(engine, &worker->key) >= FM_WORKERS_WARM_KEY_MAX)
        oldest = pop_oldest(engine, &worker->key);
    else if (engine->warm_count >= FM_WORKERS_WARM_MAX)
        oldest = pop_oldest(engine, NULL);
    if (engine->warm == NULL)
        (void)pthread_cond_broadcast(&engine->changed); /* The keeper has a time to look at. */
    worker->idle_until = fm_now_ms() + engine->warm_ms;
    worker->next = engine->warm;
    engine->warm = worker;
    engine->warm_count++;
    (void)pthread_mutex_unlock(&engine->lock);
    if (oldest != NULL)
        worker_end(oldest);
    return true;
}

struct fm_worker *warm_pop_idle(struct fm_engine *engine, fm_ms now, fm_ms *next)
{
    const struct fm_worker *last = engine->warm;

    *next = FM_MS_NEVER;
    while (last != NULL && last->next != NULL)
        last = last->next;
    if (last == NULL)
        return NULL;
    *next = last->idle_until;
    return last->idle_until <= now ? pop_oldest(engine, NULL) : NULL;
}
