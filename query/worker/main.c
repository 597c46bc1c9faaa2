/* folkmoot-worker: DuckDB in a process of its own. Started by the host (query/engine.c) only; its
 * socket is descriptor 3. */
#include "query/worker/worker.h"

#include <stdio.h>

#ifdef __SANITIZE_THREAD__
/* The thread sanitizer sees DuckDB's memory, but not its locks: what it says here is not true. The
 * host is checked. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_bugs=0";
}
#endif

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--zygote") != 0) {
        (void)fputs("folkmoot-worker is started by folkmoot and has no use of its own.\n", stderr);
        return 64;
    }
    return zygote_main(WORKER_CONTROL_FD);
}
