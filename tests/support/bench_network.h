/* Parts of `scripts/bench query` over nodes that reach each other through the delaying proxy
 * (delay_proxy.h) and run with the meter of cryptography (crypto_meter.h): run->delays and
 * run->meter must be set. A failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_NETWORK_H
#define FM_TESTS_SUPPORT_BENCH_NETWORK_H

#include "tests/support/bench_queries.h"

/* Each query with 1, 10 and 50 ms one way between the nodes (the client is at its node), beside the
 * same without delay: "Q1_1ms". The round trips that the delays tell of are printed. */
void bench_part_latency(struct bench_run *run);
/* Bytes and messages over the connections between the nodes: "Q1_bytes", "Q1_messages". */
void bench_part_bytes(struct bench_run *run);
/* Percent of a query's time spent on signing, checking signatures, sealing and hashing, of all
 * nodes and the client together: "Q1_signing", "Q1_verifying", "Q1_sealing", "Q1_hashing". What
 * runs at once on several nodes counts several times: an upper bound of what it adds. */
void bench_part_crypto(struct bench_run *run);

#endif
