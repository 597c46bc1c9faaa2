/* Times. Protocol cores take them as inputs; only node/, client/ and storage/ read the clocks. */
#ifndef FM_CORE_TIME_H
#define FM_CORE_TIME_H

#include <stdint.h>

typedef int64_t fm_ms; /* Milliseconds on the monotonic clock. */
typedef int64_t fm_us; /* Microseconds since 1970-01-01T00:00:00Z, the wall clock. */

#define FM_MS_NEVER INT64_MAX

fm_ms fm_now_ms(void); /* CLOCK_MONOTONIC. */
fm_us fm_now_us(void); /* CLOCK_REALTIME. */

/* Microseconds of CLOCK_MONOTONIC: only for differences. */
int64_t fm_ticks_us(void);

/* Hybrid logical clock (Kulkarni et al. 2014, cut to its physical part, as design.md section 3
 * gives it): max(now, last + 1, seen + 1), so that recorded times of one log never go back and
 * never repeat. `last` is the state and is moved. */
fm_us fm_hlc_next(fm_us *last, fm_us now, fm_us seen);

#endif
