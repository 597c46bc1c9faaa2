#include "storage/turn.h"

#include "core/assert.h"

#include <errno.h>
#include <time.h>

#define TURNS_RUN_MAX (2u * COMMITS_UNSYNCED_MAX) /* Then our own caller wants an answer. */

void turn_sleep(sem_t *told)
{
    int failed;

    do {
        failed = sem_wait(told);
    } while (failed != 0 && errno == EINTR);
    fm_assert(failed == 0);
}

/* False: nobody told until then. */
static bool sleep_until(sem_t *told, const struct timespec *until)
{
    int failed;

    do {
        failed = sem_clockwait(told, CLOCK_MONOTONIC, until);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
        fm_assert(errno == ETIMEDOUT);
    return failed == 0;
}

/* Under lock, like the next two. */
static void put_last(struct table *table, struct table_turn *turn)
{
    if (table->turns == NULL)
        table->turns_end = &table->turns;
    *table->turns_end = turn;
    table->turns_end = &turn->link;
}

static struct table_turn *take_first(struct table *table)
{
    struct table_turn *turn = table->turns;

    if (turn != NULL)
        table->turns = turn->link;
    return turn;
}

static bool take_out(struct table *table, const struct table_turn *turn)
{
    for (struct table_turn **at = &table->turns; *at != NULL; at = &(*at)->link) {
        if (*at != turn)
            continue;
        *at = turn->link;
        if (turn->link == NULL)
            table->turns_end = at;
        return true;
    }
    return false;
}

static enum fm_status wait_in_line(struct table *table, struct table_turn *turn,
                                   const struct timespec *until, struct fm_error *err)
{
    struct fm_store *store = table->store;
    bool is_out;

    if (sleep_until(&turn->told, until))
        return FM_OK;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail: a plain, initialised mutex. */
    is_out = take_out(table, turn);
    (void)pthread_mutex_unlock(&store->lock);
    if (is_out)
        return fm_fail(err, FM_BUSY, "another append to %s.%s is under way", table->domain,
                       table->name);
    turn_sleep(&turn->told); /* It was our turn just now. */
    return FM_OK;
}

enum fm_status turn_take(struct table *table, struct table_turn *turn,
                         void (*run)(struct table_turn *turn), struct fm_error *err)
{
    struct fm_store *store = table->store;
    struct timespec until;
    bool is_ours;

    *turn = (struct table_turn){.run = run};
    (void)sem_init(&turn->told, 0, 0);            /* Within its bounds. */
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* Cannot fail with this clock. */
    until.tv_sec += STORE_APPEND_WAIT_MS / 1000;
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    is_ours = !table->is_appending;
    table->is_appending = true;
    atomic_init(&turn->state, is_ours ? TURN_OURS : TURN_WAITS);
    if (!is_ours)
        put_last(table, turn);
    (void)pthread_mutex_unlock(&store->lock);
    return is_ours ? FM_OK : wait_in_line(table, turn, &until, err);
}

bool turn_is_ours(const struct table_turn *turn)
{
    return atomic_load(&turn->state) == TURN_OURS;
}

void turn_tell(struct table_turn *turn)
{
    fm_assert(atomic_load(&turn->state) == TURN_WAITS);
    atomic_store(&turn->state, TURN_RAN);
    (void)sem_post(&turn->told); /* Once. */
}

void turn_run_others(struct table *table)
{
    struct fm_store *store = table->store;

    for (uint32_t i = 0; i < TURNS_RUN_MAX; i++) {
        struct table_turn *turn = NULL;

        (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
        fm_assert(table->is_appending);
        if (table->turns != NULL && table->turns->run != NULL)
            turn = take_first(table);
        (void)pthread_mutex_unlock(&store->lock);
        if (turn == NULL)
            break;
        turn->run(turn);
    }
}

void turn_end(struct table *table)
{
    struct fm_store *store = table->store;
    struct table_turn *next;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    fm_assert(table->is_appending);
    next = take_first(table);
    table->is_appending = next != NULL;
    (void)pthread_mutex_unlock(&store->lock);
    if (next == NULL)
        return;
    atomic_store(&next->state, TURN_OURS);
    (void)sem_post(&next->told); /* Once. */
}

void turn_deinit(struct table_turn *turn)
{
    (void)sem_destroy(&turn->told); /* Nobody sleeps there. */
}

enum fm_status table_lock_append(struct table *table, struct fm_error *err)
{
    struct table_turn turn;
    enum fm_status status = turn_take(table, &turn, NULL, err);

    if (status == FM_OK)
        fm_assert(turn_is_ours(&turn));
    turn_deinit(&turn);
    return status;
}

void table_unlock_append(struct table *table)
{
    turn_end(table);
}
