#include "node/admission.h"

#include "core/assert.h"
#include "core/limits.h"

#include <pthread.h>
#include <time.h>

#define HOLDERS_MAX                                                                                \
    (FM_PLANS_MAX + FM_QUERIES_MAX + FM_PASSES_MAX + FM_FRAGMENTS_MAX + FM_SCANS_MAX)

struct holder {
    uint32_t references; /* Fragments of one query; 0: free. */
    enum fm_place_kind kind;
    struct fm_public_key principal;
    struct fm_request_id query;
};

struct waiter {
    const struct fm_place_ask *ask;
    struct waiter *next;
    pthread_cond_t changed;
    struct fm_admission *admission;
    bool admitted;
    bool stopped;
    uint32_t holder;
};

struct fm_admission {
    uint32_t places[FM_PLACE_KINDS];
    fm_ms wait_ms;
    pthread_mutex_t lock; /* Guards what follows. */
    uint32_t used[FM_PLACE_KINDS];
    uint32_t waiting[FM_PLACE_KINDS];
    struct waiter *first; /* In the order in which they came. */
    struct holder holders[HOLDERS_MAX];
};

static const struct {
    uint32_t most;
    const char *text;
} kinds[FM_PLACE_KINDS] = {
    [FM_PLACE_PLAN] = {FM_PLANS_MAX, "queries being planned"},
    [FM_PLACE_MERGE] = {FM_QUERIES_MAX, "queries that merge"},
    [FM_PLACE_PASS] = {FM_PASSES_MAX, "queries whose rows other nodes make"},
    [FM_PLACE_SQL] = {FM_FRAGMENTS_MAX, "queries' fragments"},
    [FM_PLACE_SCAN] = {FM_SCANS_MAX, "queries' scans"},
};

static void lock(struct fm_admission *admission)
{
    fm_assert(pthread_mutex_lock(&admission->lock) == 0);
}

static void unlock(struct fm_admission *admission)
{
    fm_assert(pthread_mutex_unlock(&admission->lock) == 0);
}

enum fm_status fm_admission_new(const struct fm_admission_options *options,
                                struct fm_admission **out)
{
    struct fm_admission *admission = calloc(1, sizeof *admission);

    if (admission == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < FM_PLACE_KINDS; i++) {
        admission->places[i] = options->places[i] == 0 ? kinds[i].most : options->places[i];
        fm_assert(admission->places[i] <= kinds[i].most);
    }
    admission->wait_ms = options->wait_ms == 0 ? FM_WAIT_MS_MAX : options->wait_ms;
    fm_assert(pthread_mutex_init(&admission->lock, NULL) == 0);
    *out = admission;
    return FM_OK;
}

void fm_admission_free(struct fm_admission *admission)
{
    if (admission == NULL)
        return;
    fm_assert(admission->first == NULL);
    for (uint32_t i = 0; i < FM_PLACE_KINDS; i++)
        fm_assert(admission->used[i] == 0);
    (void)pthread_mutex_destroy(&admission->lock);
    free(admission);
}

/* ---- Who may; the caller holds the lock ------------------------------------------------------ */

static bool is_of_fragments(enum fm_place_kind kind)
{
    return kind == FM_PLACE_SQL || kind == FM_PLACE_SCAN;
}

static uint32_t share_of(uint32_t count)
{
    return count - count / 4;
}

/* Places that this principal has. */
static uint32_t count_held(const struct fm_admission *admission, enum fm_place_kind kind,
                           const struct fm_public_key *principal)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < HOLDERS_MAX; i++)
        count += admission->holders[i].references != 0 && admission->holders[i].kind == kind &&
                 fm_public_key_equal(&admission->holders[i].principal, principal);
    return count;
}

static uint32_t count_waiting(const struct fm_admission *admission, enum fm_place_kind kind,
                              const struct fm_public_key *principal)
{
    uint32_t count = 0;

    for (const struct waiter *at = admission->first; at != NULL; at = at->next)
        count += at->ask->kind == kind && fm_public_key_equal(at->ask->principal, principal);
    return count;
}

/* Each one that waits holds a thread: queries and fragments are counted as such. */
static bool may_wait(const struct fm_admission *admission, const struct fm_place_ask *ask)
{
    bool is_fragment = is_of_fragments(ask->kind);
    uint32_t max = is_fragment ? FM_FRAGMENTS_WAITING_MAX : FM_QUERIES_WAITING_MAX;
    uint32_t all = 0, own = 0;

    for (const struct waiter *at = admission->first; at != NULL; at = at->next) {
        if (is_of_fragments(at->ask->kind) != is_fragment)
            continue;
        all++;
        own += fm_public_key_equal(at->ask->principal, ask->principal);
    }
    return all < max && own < share_of(max);
}

static bool has_room(const struct fm_admission *admission, enum fm_place_kind kind,
                     const struct fm_public_key *principal)
{
    return admission->used[kind] < admission->places[kind] &&
           count_held(admission, kind, principal) < share_of(admission->places[kind]);
}

/* The place that this query's fragments have, UINT32_MAX when there is none. */
static uint32_t find_holder(const struct fm_admission *admission, const struct fm_place_ask *ask)
{
    if (!is_of_fragments(ask->kind))
        return UINT32_MAX;
    for (uint32_t i = 0; i < HOLDERS_MAX; i++) {
        const struct holder *holder = &admission->holders[i];
        if (holder->references != 0 && holder->references < FM_QUERY_TABLES_MAX &&
            holder->kind == ask->kind &&
            memcmp(&holder->query, ask->query, sizeof holder->query) == 0 &&
            fm_public_key_equal(&holder->principal, ask->principal))
            return i;
    }
    return UINT32_MAX;
}

static uint32_t take_place(struct fm_admission *admission, const struct fm_place_ask *ask)
{
    uint32_t i = 0;

    while (admission->holders[i].references != 0)
        i++;
    fm_assert(i < HOLDERS_MAX);
    admission->holders[i] = (struct holder){
        .references = 1, .kind = ask->kind, .principal = *ask->principal, .query = *ask->query};
    admission->used[ask->kind]++;
    fm_assert(admission->used[ask->kind] <= admission->places[ask->kind]);
    return i;
}

/* Of those who wait for this kind and may have a place: whose principal has the fewest. */
static struct waiter *next_waiter(const struct fm_admission *admission, enum fm_place_kind kind)
{
    struct waiter *best = NULL;
    uint32_t fewest = UINT32_MAX;

    for (struct waiter *at = admission->first; at != NULL; at = at->next) {
        if (at->ask->kind != kind || at->admitted || at->stopped ||
            !has_room(admission, kind, at->ask->principal))
            continue;
        uint32_t held = count_held(admission, kind, at->ask->principal);
        if (held >= fewest)
            continue;
        best = at;
        fewest = held;
    }
    return best;
}

static void admit_waiting(struct fm_admission *admission, enum fm_place_kind kind)
{
    for (;;) {
        struct waiter *waiter = next_waiter(admission, kind);
        if (waiter == NULL)
            return;
        waiter->holder = take_place(admission, waiter->ask);
        waiter->admitted = true;
        fm_assert(pthread_cond_signal(&waiter->changed) == 0);
    }
}

static void leave(struct fm_admission *admission, uint32_t holder)
{
    enum fm_place_kind kind = admission->holders[holder].kind;

    fm_assert(admission->holders[holder].references > 0);
    if (--admission->holders[holder].references != 0)
        return;
    fm_assert(admission->used[kind] > 0);
    admission->used[kind]--;
    admit_waiting(admission, kind);
}

/* ---- Waiting; the caller holds the lock ------------------------------------------------------ */

static enum fm_status busy(const struct fm_admission *admission, const struct fm_place_ask *ask,
                           fm_ms waited, struct fm_error *err)
{
    uint32_t held = count_held(admission, ask->kind, ask->principal);
    bool is_share = held >= share_of(admission->places[ask->kind]);

    return fm_fail(err, FM_BUSY,
                   "this node is busy: %u of %u places for %s are taken%s, %u wait, and %s in "
                   "%lld ms; try again in a few seconds",
                   admission->used[ask->kind], admission->places[ask->kind], kinds[ask->kind].text,
                   is_share ? ", as many of them by you as one may have" : "",
                   admission->waiting[ask->kind], "none became free", (long long)waited);
}

static void append(struct fm_admission *admission, struct waiter *waiter)
{
    struct waiter **at = &admission->first;

    while (*at != NULL)
        at = &(*at)->next;
    *at = waiter;
    admission->waiting[waiter->ask->kind]++;
}

static void take_out(struct fm_admission *admission, struct waiter *waiter)
{
    struct waiter **at = &admission->first;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    admission->waiting[waiter->ask->kind]--;
}

static void stop_waiter(void *context)
{
    struct waiter *waiter = context;

    lock(waiter->admission);
    waiter->stopped = true;
    fm_assert(pthread_cond_signal(&waiter->changed) == 0);
    unlock(waiter->admission);
}

static void wait_until(struct waiter *waiter, fm_ms until)
{
    struct timespec time = {.tv_sec = until / 1000, .tv_nsec = (until % 1000) * 1000000};

    while (!waiter->admitted && !waiter->stopped && fm_now_ms() < until)
        (void)pthread_cond_timedwait(&waiter->changed, &waiter->admission->lock, &time);
}

static void waiter_init(struct waiter *waiter, struct fm_admission *admission,
                        const struct fm_place_ask *ask)
{
    pthread_condattr_t monotonic;

    *waiter = (struct waiter){.ask = ask, .admission = admission};
    fm_assert(pthread_condattr_init(&monotonic) == 0);
    fm_assert(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    fm_assert(pthread_cond_init(&waiter->changed, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
}

/* The caller does not hold the lock. */
static enum fm_status wait_for_place(struct fm_admission *admission, const struct fm_place_ask *ask,
                                     fm_ms wait_ms, uint32_t *holder, struct fm_error *err)
{
    struct fm_stop_hook hook;
    struct waiter waiter;
    enum fm_status status = FM_OK;
    fm_ms start = fm_now_ms(), until = start + wait_ms;

    if (until > ask->deadline)
        until = ask->deadline;
    waiter_init(&waiter, admission, ask);
    fm_stop_hook(ask->stop, &hook, stop_waiter, &waiter);
    lock(admission);
    if (!may_wait(admission, ask)) {
        status = busy(admission, ask, 0, err);
    } else {
        append(admission, &waiter);
        admit_waiting(admission, ask->kind); /* One may have become free meanwhile. */
        wait_until(&waiter, until);
        take_out(admission, &waiter);
    }
    if (waiter.admitted)
        *holder = waiter.holder;
    else if (waiter.stopped)
        status = fm_fail(err, FM_CANCELLED, "the query was cancelled");
    else if (status == FM_OK)
        status = busy(admission, ask, fm_now_ms() - start, err);
    if (status == FM_BUSY && fm_now_ms() >= ask->deadline)
        status = FM_TIMEOUT;
    unlock(admission);
    fm_stop_unhook(ask->stop, &hook);
    (void)pthread_cond_destroy(&waiter.changed); /* Nobody waits. */
    return status;
}

/* ---- Places ---------------------------------------------------------------------------------- */

enum fm_status fm_place_enter(struct fm_admission *admission, const struct fm_place_ask *ask,
                              struct fm_place *out, struct fm_error *err)
{
    fm_ms wait_ms = ask->wait_ms < admission->wait_ms ? ask->wait_ms : admission->wait_ms;
    enum fm_status status = FM_OK;

    lock(admission);
    uint32_t holder = find_holder(admission, ask);
    if (holder != UINT32_MAX)
        admission->holders[holder].references++;
    else if (has_room(admission, ask->kind, ask->principal) &&
             count_waiting(admission, ask->kind, ask->principal) == 0)
        holder = take_place(admission, ask);
    else if (wait_ms <= 0)
        status = busy(admission, ask, 0, err);
    unlock(admission);
    if (status == FM_OK && holder == UINT32_MAX)
        status = wait_for_place(admission, ask, wait_ms, &holder, err);
    if (status == FM_OK)
        *out = (struct fm_place){.admission = admission, .holder = holder};
    return status;
}

bool fm_place_move(struct fm_place *place, enum fm_place_kind kind)
{
    struct fm_admission *admission = place->admission;
    struct holder *holder = &admission->holders[place->holder];

    lock(admission);
    bool moved = has_room(admission, kind, &holder->principal) &&
                 count_waiting(admission, kind, &holder->principal) == 0;
    if (moved) {
        enum fm_place_kind left = holder->kind;
        fm_assert(holder->references == 1);
        holder->kind = kind;
        admission->used[kind]++;
        admission->used[left]--;
        admit_waiting(admission, left);
    }
    unlock(admission);
    return moved;
}

void fm_place_leave(struct fm_place *place)
{
    if (place->admission == NULL)
        return;
    lock(place->admission);
    leave(place->admission, place->holder);
    unlock(place->admission);
    *place = (struct fm_place){.admission = NULL};
}

void fm_admission_counts(struct fm_admission *admission, struct fm_admission_counts *out)
{
    lock(admission);
    memcpy(out->used, admission->used, sizeof out->used);
    memcpy(out->waiting, admission->waiting, sizeof out->waiting);
    unlock(admission);
}
