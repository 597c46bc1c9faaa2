#include "node/cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MS 100
#define BAR_CELLS 20u

void fm_progress_start(struct fm_progress *progress, const char *name)
{
    const char *term = getenv("TERM");

    *progress = (struct fm_progress){
        .is_on = isatty(STDERR_FILENO) == 1 && (term == NULL || strcmp(term, "dumb") != 0),
        .name = name,
        .started = fm_now_ms(),
        .drawn = -INTERVAL_MS,
    };
}

static void put_bar(uint64_t rows, uint64_t total, fm_ms left_ms)
{
    char bar[BAR_CELLS + 1];
    uint64_t done = rows >= total ? BAR_CELLS : rows * BAR_CELLS / total;

    for (uint64_t i = 0; i < BAR_CELLS; i++)
        bar[i] = i < done ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    (void)fprintf(stderr, " [%s] %3llu %%  %lld:%02lld left", bar,
                  (unsigned long long)(rows >= total ? 100 : rows * 100 / total),
                  (long long)(left_ms / 60000), (long long)(left_ms / 1000 % 60));
}

void fm_progress_show(struct fm_progress *progress, uint64_t rows)
{
    fm_ms now = fm_now_ms();
    fm_ms spent = now - progress->started;

    if (!progress->is_on || now - progress->drawn < INTERVAL_MS)
        return;
    progress->drawn = now;
    progress->is_shown = true;
    (void)fprintf(stderr, "\r\033[K%s: ", progress->name);
    if (rows == 0) {
        (void)fprintf(stderr, "reading ...");
    } else {
        (void)fprintf(
            stderr, "%llu rows  %llu rows/s", (unsigned long long)rows,
            (unsigned long long)(spent <= 0 ? rows : rows * 1000 / (unsigned long long)spent));
        if (progress->total != 0)
            put_bar(rows, progress->total,
                    rows >= progress->total
                        ? 0
                        : (fm_ms)((double)spent / (double)rows * (double)(progress->total - rows)));
    }
    (void)fflush(stderr);
}

void fm_progress_end(struct fm_progress *progress)
{
    if (progress->is_shown)
        (void)fprintf(stderr, "\r\033[K");
    progress->is_shown = false;
}
