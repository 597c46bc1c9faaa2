/* Answers as a benchmark reads them, the same work on both sides: rows are counted and every value
 * is touched. Numbers and times are added up as integers, doubles by their bits, texts by their
 * length and first byte.
 * Threads: an answer belongs to one. Errors: a failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_ANSWER_H
#define FM_TESTS_SUPPORT_BENCH_ANSWER_H

#include "include/folkmoot.h"
#include "tests/support/bench_report.h"

#include <stdint.h>

struct bench_answer {
    uint64_t rows;
    uint64_t touched; /* What the values added up to. */
    /* Of whole rows, added up, so that order does not matter; 0 unless asked for. Doubles count to
     * twelve digits, integers and times by their value, whatever their width. */
    uint64_t checksum;
};

struct bench_moved { /* What owners sent to the asked node, by the receipts of a verified answer. */
    uint64_t fragments;
    uint64_t rows;
    uint64_t bytes;
};

/* Ask the mesh and read the whole answer. BUSY and what else fails comes back; folkmoot_error()
 * says why. `moved` may be NULL. */
enum folkmoot_status bench_answer_try(struct folkmoot *mesh, const char *sql,
                                      const struct folkmoot_query_options *options,
                                      bool with_checksum, struct bench_answer *out,
                                      struct bench_moved *moved);
/* The same; a failure ends the program. */
void bench_answer_mesh(struct folkmoot *mesh, const char *sql,
                       const struct folkmoot_query_options *options, bool with_checksum,
                       struct bench_answer *out, struct bench_moved *moved);
/* DuckDB's; `is_streamed`: chunks are read while the query runs, nothing is kept. */
void bench_answer_duck(duckdb_connection connection, const char *sql, bool is_streamed,
                       bool with_checksum, struct bench_answer *out);

#endif
