#include "node/opening.h"

#include "core/assert.h"

static void lock(struct fm_openings *openings)
{
    fm_assert(pthread_mutex_lock(&openings->lock) == 0);
}

static void unlock(struct fm_openings *openings)
{
    fm_assert(pthread_mutex_unlock(&openings->lock) == 0);
}

void fm_openings_init(struct fm_openings *openings)
{
    *openings = (struct fm_openings){.first = NULL};
    fm_assert(pthread_mutex_init(&openings->lock, NULL) == 0);
    fm_assert(pthread_cond_init(&openings->fired, NULL) == 0);
}

void fm_openings_deinit(struct fm_openings *openings)
{
    fm_assert(openings->first == NULL);
    (void)pthread_cond_destroy(&openings->fired); /* Nobody waits. */
    (void)pthread_mutex_destroy(&openings->lock);
}

void fm_openings_add(struct fm_openings *openings, struct fm_opening *opening)
{
    lock(openings);
    opening->firing = 0;
    opening->next = openings->first;
    openings->first = opening;
    bool stopping = openings->stopping;
    unlock(openings);
    if (stopping)
        fm_stop_fire(opening->stop);
}

void fm_openings_remove(struct fm_openings *openings, struct fm_opening *opening)
{
    lock(openings);
    while (opening->firing != 0)
        fm_assert(pthread_cond_wait(&openings->fired, &openings->lock) == 0);
    struct fm_opening **at = &openings->first;
    while (*at != opening)
        at = &(*at)->next;
    *at = opening->next;
    unlock(openings);
}

static bool matches(const struct fm_openings_match *match, const struct fm_opening *opening)
{
    if (match->session != NULL &&
        (opening->session == NULL || memcmp(opening->session, match->session, FM_HASH_BYTES) != 0))
        return false;
    return match->caller == NULL ||
           (opening->kind == match->kind && opening->number == match->number &&
            memcmp(&opening->query, match->query, sizeof opening->query) == 0 &&
            fm_public_key_equal(&opening->caller, match->caller));
}

/* Stops are fired without the lock: those who stop may look for other openings. One whose stop is
 * being fired stays in the list. */
void fm_openings_end(struct fm_openings *openings, const struct fm_openings_match *match)
{
    lock(openings);
    for (struct fm_opening *at = openings->first; at != NULL; at = at->next) {
        if (!matches(match, at))
            continue;
        at->firing++;
        unlock(openings);
        fm_stop_fire(at->stop);
        lock(openings);
        at->firing--;
        (void)pthread_cond_broadcast(&openings->fired);
    }
    unlock(openings);
}

void fm_openings_stop(struct fm_openings *openings)
{
    lock(openings);
    openings->stopping = true;
    unlock(openings);
    fm_openings_end(openings, &(struct fm_openings_match){.session = NULL});
}
