/* A proxy on loopback that stands before nodes: what is sent to its port of a node, TCP and UDP,
 * reaches the node so much later, and what comes back too. It counts what passes. A node that
 * advertises the proxy's address (`--advertise`) is reached through it by all others. A kernel's
 * netem does the same, and is often missing.
 *
 * A connection is accepted at once: its own round trip is not delayed. Bytes are counted as read;
 * messages by nng's framing (an 8-byte greeting, then 8 bytes of length before each message).
 * State is a file that both sides map: the delay may be changed and counters read at any time.
 * Threads: one runs the proxy; the state's fields are atomic. Units: microseconds, bytes.
 * Errors: a failure ends the program. */
#ifndef FM_TESTS_SUPPORT_DELAY_PROXY_H
#define FM_TESTS_SUPPORT_DELAY_PROXY_H

#include <stdatomic.h>
#include <stdint.h>

#define DELAY_TARGETS_MAX 8u

struct delay_counters {
    atomic_ullong bytes; /* Over TCP, both ways. */
    atomic_ullong messages;
    atomic_ullong connections;
    atomic_ullong datagrams;
    atomic_ullong datagram_bytes;
};

struct delay_state {
    atomic_uint delay_us; /* One way. */
    struct delay_counters targets[DELAY_TARGETS_MAX];
};

/* Map the file, which is made when missing, with zeros. */
struct delay_state *delay_state_open(const char *path);

struct delay_proxy;

struct delay_proxy *delay_proxy_new(struct delay_state *state);
/* Stand before "127.0.0.1:PORT"; `out` is the address to advertise instead. */
void delay_proxy_add(struct delay_proxy *proxy, const char *target, char out[32]);
/* Until `stop_fd` can be read. */
void delay_proxy_run(struct delay_proxy *proxy, int stop_fd);
void delay_proxy_free(struct delay_proxy *proxy);

#endif
