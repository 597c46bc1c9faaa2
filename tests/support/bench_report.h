/* What the benchmarks share: the clock, medians, tables, the JSON line that every benchmark ends
 * with, and DuckDB as the yardstick. A failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_REPORT_H
#define FM_TESTS_SUPPORT_BENCH_REPORT_H

#include <duckdb.h>
#include <stdbool.h>
#include <stddef.h>

#define BENCH_RUNS_MAX 31u

struct bench_result {
    const char *name;
    double value; /* Median. */
    const char *unit;
    bool higher_is_better;
    const char *beside;  /* NULL: stands alone. */
    double beside_value; /* Median. */
    double aim;          /* 0: none. A bound from below when higher is better. */
    bool aim_on_value;   /* Else on value / beside_value. */
    bool table_only;     /* Not in the JSON line. */
};

/* Say what failed and end the program. */
__attribute__((format(printf, 1, 2), noreturn)) void bench_die(const char *format, ...);

double bench_now_ms(void);                         /* Monotonic. */
double bench_median(double *values, size_t count); /* Sorts them; 1..BENCH_RUNS_MAX of them. */

/* One line of a table, and the last line of a benchmark. */
void bench_print_row(const struct bench_result *result);
void bench_print_json(const char *bench, const char *commit, const struct bench_result *results,
                      size_t count);

/* A database file with 2 threads. Ownership: bench_duck_close(). */
struct bench_duck {
    duckdb_database database;
    duckdb_connection connection;
};
void bench_duck_open(struct bench_duck *duck, const char *path);
void bench_duck_close(struct bench_duck *duck);
/* Run SQL made from a format; `rows`, if not NULL, is set to the count of the last result. */
__attribute__((format(printf, 3, 4))) void bench_duck_run(struct bench_duck *duck, size_t *rows,
                                                          const char *format, ...);

#endif
