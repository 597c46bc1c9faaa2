#include "tests/support/bench_network.h"

#include "tests/support/bench_answer.h"
#include "tests/support/crypto_meter.h"
#include "tests/support/delay_proxy.h"

#include <stdio.h>
#include <time.h>

#define LATENCY_RUNS 5u
#define LATENCY_RUNS_FAR 3u /* From FAR_MS on. */
#define FAR_MS 50u
#define BYTES_RUNS 5u
#define CRYPTO_RUNS 7u
#define DELAYS 4u

static const uint32_t delays_ms[DELAYS] = {0, 1, 10, FAR_MS};

static double ask(struct bench_run *run, const struct bench_named_query *query,
                  struct bench_moved *moved)
{
    struct bench_answer answer;
    double start = bench_now_ms();

    bench_answer_mesh(run->mesh, query->sql, NULL, false, &answer, moved);
    return bench_now_ms() - start;
}

/* ---- latency --------------------------------------------------------------------------------- */

static double median_at(struct bench_run *run, const struct bench_named_query *query,
                        uint32_t delay_ms)
{
    uint32_t runs = delay_ms >= FAR_MS ? LATENCY_RUNS_FAR : LATENCY_RUNS;
    double times[LATENCY_RUNS];

    atomic_store(&run->delays->delay_us, delay_ms * 1000);
    if (delay_ms == 0)
        (void)ask(run, query, NULL); /* Warms up: connections stay. */
    for (uint32_t i = 0; i < runs; i++)
        times[i] = ask(run, query, NULL);
    atomic_store(&run->delays->delay_us, 0);
    return bench_median(times, runs);
}

void bench_part_latency(struct bench_run *run)
{
    for (uint32_t i = 0; i < BENCH_QUERIES; i++) {
        const struct bench_named_query *query = &bench_queries[i];
        double medians[DELAYS];
        for (uint32_t j = 0; j < DELAYS; j++) {
            medians[j] = median_at(run, query, delays_ms[j]);
            struct bench_result result = {.value = medians[j],
                                          .unit = "ms",
                                          .beside = "the same without delay",
                                          .beside_value = medians[0]};
            if (j > 0)
                bench_keep(run, &result, "%s_%ums", query->name, delays_ms[j]);
        }
        printf("    round trips: %.1f\n", (medians[DELAYS - 1] - medians[0]) / (2.0 * FAR_MS));
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void read_counters(const struct bench_run *run, double *bytes, double *messages)
{
    *bytes = *messages = 0;
    for (uint32_t i = 0; i < DELAY_TARGETS_MAX; i++) {
        *bytes += (double)atomic_load(&run->delays->targets[i].bytes);
        *messages += (double)atomic_load(&run->delays->targets[i].messages);
    }
}

static void measure_bytes(struct bench_run *run, const struct bench_named_query *query)
{
    double bytes[BYTES_RUNS], messages[BYTES_RUNS], bytes_before, messages_before;
    struct bench_moved moved;

    (void)ask(run, query, NULL); /* Connections are made. */
    for (uint32_t i = 0; i < BYTES_RUNS; i++) {
        read_counters(run, &bytes_before, &messages_before);
        (void)ask(run, query, &moved);
        read_counters(run, &bytes[i], &messages[i]);
        bytes[i] -= bytes_before;
        messages[i] -= messages_before;
    }
    struct bench_result result = {.value = bench_median(bytes, BYTES_RUNS), .unit = "bytes"};
    bench_keep(run, &result, "%s_bytes", query->name);
    result = (struct bench_result){.value = bench_median(messages, BYTES_RUNS), .unit = "count"};
    bench_keep(run, &result, "%s_messages", query->name);
    printf("    by its receipts: %llu fragments, %llu rows, %llu bytes\n",
           (unsigned long long)moved.fragments, (unsigned long long)moved.rows,
           (unsigned long long)moved.bytes);
}

void bench_part_bytes(struct bench_run *run)
{
    for (uint32_t i = 0; i < BENCH_QUERIES; i++)
        measure_bytes(run, &bench_queries[i]);
}

/* ---- crypto ---------------------------------------------------------------------------------- */

static const char *const kind_names[CRYPTO_KINDS] = {
    [CRYPTO_SIGN] = "signing",
    [CRYPTO_VERIFY] = "verifying",
    [CRYPTO_SEAL] = "sealing",
    [CRYPTO_HASH] = "hashing",
};

static void measure_crypto(struct bench_run *run, const struct bench_named_query *query)
{
    double shares[CRYPTO_KINDS][CRYPTO_RUNS], calls[CRYPTO_KINDS][CRYPTO_RUNS];

    (void)ask(run, query, NULL); /* Connections are made. */
    for (uint32_t i = 0; i < CRYPTO_RUNS; i++) {
        unsigned long long ns[CRYPTO_KINDS], count[CRYPTO_KINDS];
        for (uint32_t kind = 0; kind < CRYPTO_KINDS; kind++) {
            ns[kind] = atomic_load(&run->meter->kinds[kind].ns);
            count[kind] = atomic_load(&run->meter->kinds[kind].calls);
        }
        double took = ask(run, query, NULL);
        for (uint32_t kind = 0; kind < CRYPTO_KINDS; kind++) {
            double spent = (double)(atomic_load(&run->meter->kinds[kind].ns) - ns[kind]) / 1e6;
            shares[kind][i] = 100 * spent / took;
            calls[kind][i] = (double)(atomic_load(&run->meter->kinds[kind].calls) - count[kind]);
        }
    }
    for (uint32_t kind = 0; kind < CRYPTO_KINDS; kind++) {
        struct bench_result result = {.value = bench_median(shares[kind], CRYPTO_RUNS),
                                      .unit = "percent"};
        bench_keep(run, &result, "%s_%s", query->name, kind_names[kind]);
        printf("    operations: %.0f\n", bench_median(calls[kind], CRYPTO_RUNS));
    }
}

void bench_part_crypto(struct bench_run *run)
{
    for (uint32_t i = 0; i < BENCH_QUERIES; i++)
        measure_crypto(run, &bench_queries[i]);
}
