/* Stands before nodes and delays what passes (tests/support/delay_proxy.h). Prints the addresses to
 * advertise, one line for each target, and runs until its standard input ends.
 *
 *   delay_proxy STATE_FILE HOST:PORT... */
#include "tests/support/delay_proxy.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    char address[32];

    if (argc < 3) {
        (void)fputs("usage: delay_proxy STATE_FILE 127.0.0.1:PORT...\n", stderr);
        return 64;
    }
    struct delay_proxy *proxy = delay_proxy_new(delay_state_open(argv[1]));
    for (int i = 2; i < argc; i++) {
        delay_proxy_add(proxy, argv[i], address);
        (void)puts(address);
    }
    (void)fflush(stdout); /* Who started it waits for these lines. */
    delay_proxy_run(proxy, 0);
    delay_proxy_free(proxy);
    return 0;
}
