#include "core/time.h"

#include "core/assert.h"

#include <stddef.h>
#include <time.h>

fm_ms fm_now_ms(void)
{
    struct timespec now;
    fm_assert(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (fm_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

fm_us fm_now_us(void)
{
    struct timespec now;
    fm_assert(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (fm_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t fm_ticks_us(void)
{
    struct timespec now;
    fm_assert(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

fm_us fm_hlc_next(fm_us *last, fm_us now, fm_us seen)
{
    fm_assert(last != NULL);
    fm_us next = now;
    if (*last < INT64_MAX && next < *last + 1)
        next = *last + 1;
    if (seen < INT64_MAX && next < seen + 1)
        next = seen + 1;
    *last = next;
    return next;
}
