/* The eight queries that `scripts/bench query` is about, DuckDB's files to compare them with, and
 * what its parts share. A failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_QUERIES_H
#define FM_TESTS_SUPPORT_BENCH_QUERIES_H

#include "include/folkmoot.h"
#include "tests/support/bench_report.h"

#include <stdint.h>

#define BENCH_QUERIES 8u
#define BENCH_RESULTS_MAX 160u
#define BENCH_NAME_BYTES 40u
#define BENCH_ORDERS 2u /* Load order, clustering order. */
#define BENCH_SORTED 1u

struct bench_named_query {
    const char *name; /* "Q1" to "Q8". */
    const char *sql;
    double aim;         /* Time beside DuckDB's. */
    bool beside_sorted; /* Else beside the faster of both orders. */
    bool is_streamed;   /* All rows go to the client. */
};
extern const struct bench_named_query bench_queries[BENCH_QUERIES];

struct bench_run {
    const char *node;     /* Address of the node asked, which owns nothing of the queries. */
    const char *identity; /* Folder of a principal. */
    const char *data;     /* Folder of the data sets. */
    const char *work;     /* Folder for DuckDB's files. */
    const char *commit;
    struct folkmoot *mesh;
    struct bench_duck ducks[BENCH_ORDERS];
    bool has_ducks;
    struct delay_state *delays; /* Between the nodes; NULL: nothing is. */
    struct crypto_meter *meter; /* Of all processes; NULL: none. */
    uint32_t result_count;
    struct bench_result results[BENCH_RESULTS_MAX];
    char names[BENCH_RESULTS_MAX][BENCH_NAME_BYTES];
};

struct folkmoot *bench_connect(const struct bench_run *run);
/* Made once, checkpointed, opened again; in `work`. */
void bench_open_ducks(struct bench_run *run);
void bench_close_ducks(struct bench_run *run);
const char *bench_order_text(uint32_t order);
/* Keep a result and print its line; its name is made from the format. */
__attribute__((format(printf, 3, 4))) void bench_keep(struct bench_run *run,
                                                      const struct bench_result *result,
                                                      const char *format, ...);

#endif
