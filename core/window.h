/* A window of FM_REPLAY_WINDOW counters: each is taken once, in any order as long as it is less
 * than the window behind the highest (RFC 6479's ring of bits, so nothing is ever shifted).
 * The caller marks a counter only after its message proved genuine.
 * Threads: none of its own. */
#ifndef FM_CORE_WINDOW_H
#define FM_CORE_WINDOW_H

#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>

_Static_assert((FM_REPLAY_WINDOW & (FM_REPLAY_WINDOW - 1)) == 0, "a ring needs a power of two");
_Static_assert(FM_REPLAY_WINDOW >= 64, "a ring of whole words");

struct fm_window {
    uint64_t next; /* Highest counter marked, plus one; 0: none yet. */
    uint64_t bits[FM_REPLAY_WINDOW / 64];
};

/* False for a counter that was marked, fell out of the window, or is the last of all (`next` could
 * not stand behind it). */
static inline bool fm_window_is_fresh(const struct fm_window *window, uint64_t counter)
{
    uint64_t at = counter % FM_REPLAY_WINDOW;

    if (counter >= window->next)
        return counter != UINT64_MAX;
    if (window->next - counter > FM_REPLAY_WINDOW)
        return false;
    return (window->bits[at / 64] >> (at % 64) & 1) == 0;
}

/* The counter must be fresh. */
static inline void fm_window_mark(struct fm_window *window, uint64_t counter)
{
    if (counter >= window->next) {
        uint64_t first = window->next;
        if (counter - first >= FM_REPLAY_WINDOW)
            first = counter - FM_REPLAY_WINDOW + 1;
        for (uint64_t c = first; c <= counter; c++)
            window->bits[c % FM_REPLAY_WINDOW / 64] &= ~(UINT64_C(1) << (c % 64));
        window->next = counter + 1;
    }
    window->bits[counter % FM_REPLAY_WINDOW / 64] |= UINT64_C(1) << (counter % 64);
}

#endif
