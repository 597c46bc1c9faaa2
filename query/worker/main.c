/* folkmoot-worker: DuckDB in a process of its own. Started by the host (query/engine.c) only; its
 * socket is descriptor 3. */
#include "query/worker/worker.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--zygote") != 0) {
        (void)fputs("folkmoot-worker is started by folkmoot and has no use of its own.\n", stderr);
        return 64;
    }
    return zygote_main(WORKER_CONTROL_FD);
}
