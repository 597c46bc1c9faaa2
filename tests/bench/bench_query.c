/* The eight queries of the query engine through a mesh of three nodes, signed and verified, beside
 * DuckDB with all tables: runs alternate, medians are printed, the last line is one JSON object.
 * Started by scripts/bench.
 *
 *   bench_query NODE IDENTITY DATA_DIR WORK_DIR COMMIT PART...
 *
 * PART: `table`, the queries; `clients`, queries per second with many clients; `files` writes for
 * other systems what they are to be loaded with and asked. In WORK_DIR there is
 * `delays`, the proxy's state, for the parts `latency` and `bytes`; `meter` for `crypto`. */
#include "tests/support/bench_answer.h"
#include "tests/support/bench_network.h"
#include "tests/support/crypto_meter.h"
#include "tests/support/delay_proxy.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUNS 11u
#define CLIENT_RUNS 3u
#define CLIENT_MS 1000.0
#define CLIENTS_MAX 64u
#define BUSY_WAIT_NS 1000000 /* Before a client that was told "busy" asks again. */

/* ---- table ----------------------------------------------------------------------------------- */

static double time_mesh(struct bench_run *run, const struct bench_named_query *query)
{
    struct bench_answer answer;
    double start = bench_now_ms();

    bench_answer_mesh(run->mesh, query->sql, NULL, false, &answer, NULL);
    return bench_now_ms() - start;
}

static double time_duck(struct bench_run *run, const struct bench_named_query *query,
                        uint32_t order)
{
    struct bench_answer answer;
    double start = bench_now_ms();

    bench_answer_duck(run->ducks[order].connection, query->sql, query->is_streamed, false, &answer);
    return bench_now_ms() - start;
}

/* Wrong answers can be had fast: the rows must be the same on all sides. */
static void compare(struct bench_run *run, const struct bench_named_query *query)
{
    struct bench_answer ours, theirs;

    bench_answer_mesh(run->mesh, query->sql, NULL, true, &ours, NULL);
    for (uint32_t order = 0; order < BENCH_ORDERS; order++) {
        bench_answer_duck(run->ducks[order].connection, query->sql, query->is_streamed, true,
                          &theirs);
        if (ours.rows != theirs.rows || ours.checksum != theirs.checksum)
            bench_die("%s: the mesh and DuckDB answer differently: %llu and %llu rows", query->name,
                      (unsigned long long)ours.rows, (unsigned long long)theirs.rows);
    }
}

static void measure_query(struct bench_run *run, const struct bench_named_query *query)
{
    double mesh[RUNS], duck[BENCH_ORDERS][RUNS], beside[BENCH_ORDERS];
    uint32_t order = BENCH_SORTED;

    compare(run, query);
    for (uint32_t i = 0; i < RUNS; i++) {
        mesh[i] = time_mesh(run, query);
        for (uint32_t j = 0; j < BENCH_ORDERS; j++)
            duck[j][i] = time_duck(run, query, j);
    }
    for (uint32_t j = 0; j < BENCH_ORDERS; j++)
        beside[j] = bench_median(duck[j], RUNS);
    if (!query->beside_sorted && beside[0] <= beside[BENCH_SORTED])
        order = 0;
    struct bench_result result = {.value = bench_median(mesh, RUNS),
                                  .unit = "ms",
                                  .beside = bench_order_text(order),
                                  .beside_value = beside[order],
                                  .aim = query->aim};
    bench_keep(run, &result, "%s", query->name);
}

static void part_table(struct bench_run *run)
{
    bench_open_ducks(run);
    for (uint32_t i = 0; i < BENCH_QUERIES; i++)
        measure_query(run, &bench_queries[i]);
}

/* ---- clients --------------------------------------------------------------------------------- */

struct crowd { /* Clients of one side, which ask one query again and again. */
    struct bench_run *run;
    const struct bench_named_query *query;
    uint32_t count;
    bool is_duck;
    pthread_barrier_t start;
    atomic_bool is_over;
    atomic_ullong answers;
    atomic_ullong busy; /* Times that the node had no room, and was asked again. */
    struct folkmoot *meshes[CLIENTS_MAX];
    duckdb_connection ducks[CLIENTS_MAX];
};

struct client {
    struct crowd *crowd;
    uint32_t number;
    pthread_t thread;
};

static void ask_mesh(struct crowd *crowd, struct folkmoot *mesh)
{
    const struct timespec wait = {.tv_nsec = BUSY_WAIT_NS};
    struct bench_answer answer;

    enum folkmoot_status status =
        bench_answer_try(mesh, crowd->query->sql, NULL, false, &answer, NULL);
    if (status == FOLKMOOT_OK) {
        atomic_fetch_add(&crowd->answers, 1);
    } else if (status == FOLKMOOT_BUSY || status == FOLKMOOT_LIMIT) {
        atomic_fetch_add(&crowd->busy, 1);
        (void)nanosleep(&wait, NULL); /* Shorter is as good. */
    } else {
        bench_die("%s", folkmoot_error(mesh));
    }
}

static void *be_client(void *argument)
{
    struct client *client = argument;
    struct crowd *crowd = client->crowd;
    struct bench_answer answer;

    (void)pthread_barrier_wait(&crowd->start); /* Each gets another number. */
    while (!atomic_load(&crowd->is_over)) {
        if (crowd->is_duck) {
            bench_answer_duck(crowd->ducks[client->number], crowd->query->sql, false, false,
                              &answer);
            atomic_fetch_add(&crowd->answers, 1);
        } else {
            ask_mesh(crowd, crowd->meshes[client->number]);
        }
    }
    return NULL;
}

/* Answers per second of one run, which lasts until the last one that was asked for is there. */
static double let_ask(struct crowd *crowd, bool is_duck)
{
    const struct timespec tick = {.tv_nsec = 1000000};
    struct client clients[CLIENTS_MAX];

    crowd->is_duck = is_duck;
    atomic_store(&crowd->is_over, false);
    atomic_store(&crowd->answers, 0);
    if (pthread_barrier_init(&crowd->start, NULL, crowd->count + 1) != 0)
        bench_die("no barrier");
    for (uint32_t i = 0; i < crowd->count; i++) {
        clients[i] = (struct client){.crowd = crowd, .number = i};
        if (pthread_create(&clients[i].thread, NULL, be_client, &clients[i]) != 0)
            bench_die("no thread");
    }
    (void)pthread_barrier_wait(&crowd->start); /* Each gets another number. */
    double start = bench_now_ms();
    while (bench_now_ms() - start < CLIENT_MS)
        (void)nanosleep(&tick, NULL); /* The clock is looked at again. */
    atomic_store(&crowd->is_over, true);
    for (uint32_t i = 0; i < crowd->count; i++)
        if (pthread_join(clients[i].thread, NULL) != 0)
            bench_die("a thread is lost");
    double took = bench_now_ms() - start;
    (void)pthread_barrier_destroy(&crowd->start); /* Nobody waits there any more. */
    return (double)atomic_load(&crowd->answers) / took * 1e3;
}

static void measure_crowd(struct crowd *crowd)
{
    double mesh[CLIENT_RUNS], duck[CLIENT_RUNS];

    atomic_store(&crowd->busy, 0);
    for (uint32_t i = 0; i < CLIENT_RUNS; i++) {
        mesh[i] = let_ask(crowd, false);
        duck[i] = let_ask(crowd, true);
    }
    struct bench_result result = {.value = bench_median(mesh, CLIENT_RUNS),
                                  .unit = "1/s",
                                  .higher_is_better = true,
                                  .beside = "duckdb file, warm, 2 threads, as many connections",
                                  .beside_value = bench_median(duck, CLIENT_RUNS)};
    bench_keep(crowd->run, &result, "%s_clients_%u", crowd->query->name, crowd->count);
    if (atomic_load(&crowd->busy) != 0)
        printf("    of the mesh's clients, asked again because the node was busy: %llu times\n",
               atomic_load(&crowd->busy));
}

static void part_clients(struct bench_run *run)
{
    static const uint32_t counts[] = {1, 8, CLIENTS_MAX}, numbers[] = {3, 0}; /* Q4, Q1. */
    struct crowd *crowd = calloc(1, sizeof *crowd);

    if (crowd == NULL)
        bench_die("out of memory");
    bench_open_ducks(run);
    crowd->run = run;
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        crowd->meshes[i] = bench_connect(run);
        if (duckdb_connect(run->ducks[BENCH_SORTED].database, &crowd->ducks[i]) != DuckDBSuccess)
            bench_die("DuckDB: no further connection");
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        crowd->query = &bench_queries[numbers[i]];
        for (size_t j = 0; j < sizeof counts / sizeof counts[0]; j++) {
            crowd->count = counts[j];
            measure_crowd(crowd);
        }
    }
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        folkmoot_close(crowd->meshes[i]);
        duckdb_disconnect(&crowd->ducks[i]);
    }
    free(crowd);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* What other systems are asked and loaded with: Q1.sql.., flights.csv in load order. */
static void part_files(struct bench_run *run)
{
    char path[4096];

    bench_open_ducks(run);
    bench_duck_run(&run->ducks[0], NULL, "COPY flights.delays TO '%s/flights.csv' (HEADER false)",
                   run->work);
    for (uint32_t i = 0; i < BENCH_QUERIES; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.sql", run->work, bench_queries[i].name);
        FILE *file = fopen(path, "we"); /* A path that is too long is another one. */
        if (file == NULL || fputs(bench_queries[i].sql, file) < 0 || fclose(file) != 0)
            bench_die("%s: cannot be written", path);
    }
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static const struct part {
    const char *name;
    void (*measure)(struct bench_run *run);
    bool needs_network;
} parts[] = {{"table", part_table, false},      {"clients", part_clients, false},
             {"files", part_files, false},      {"latency", bench_part_latency, true},
             {"bytes", bench_part_bytes, true}, {"crypto", bench_part_crypto, true}};
#define PART_COUNT (sizeof parts / sizeof parts[0])

static const struct part *find_part(const char *name)
{
    for (size_t i = 0; i < PART_COUNT; i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    bench_die("there is no part %s", name);
}

static void *map_file(const struct bench_run *run, const char *name, size_t bytes)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/%s", run->work, name); /* Too long: not found. */
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *mapped =
        fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        bench_die("%s: cannot be mapped", path);
    (void)close(fd); /* The mapping stays. */
    return mapped;
}

static void measure_part(struct bench_run *run, const struct part *part)
{
    if (part->needs_network && run->delays == NULL) {
        run->delays = map_file(run, "delays", sizeof *run->delays);
        run->meter = map_file(run, "meter", sizeof *run->meter);
    }
    part->measure(run);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        (void)fputs("usage: bench_query NODE IDENTITY DATA_DIR WORK_DIR COMMIT PART...\n", stderr);
        return 64;
    }
    struct bench_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        bench_die("out of memory");
    run->node = argv[1];
    run->identity = argv[2];
    run->data = argv[3];
    run->work = argv[4];
    run->commit = argv[5];
    run->mesh = bench_connect(run);
    for (int i = 6; i < argc; i++)
        measure_part(run, find_part(argv[i]));
    folkmoot_close(run->mesh);
    bench_close_ducks(run);
    bench_print_json("query", run->commit, run->results, run->result_count);
    free(run);
    return 0;
}
