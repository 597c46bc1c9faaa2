#include "tests/support/bench_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SQL_BYTES_MAX 32768

void bench_die(const char *format, ...)
{
    va_list arguments;

    (void)fputs("bench: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

double bench_now_ms(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        bench_die("no clock");
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
    if (count == 0 || count > BENCH_RUNS_MAX)
        bench_die("%zu runs", count);
    qsort(values, count, sizeof values[0], compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- Output ---------------------------------------------------------------------------------- */

static double bounded(const struct bench_result *result)
{
    return result->aim_on_value ? result->value : result->value / result->beside_value;
}

static bool is_met(const struct bench_result *result)
{
    return result->higher_is_better ? bounded(result) >= result->aim
                                    : bounded(result) <= result->aim;
}

void bench_print_row(const struct bench_result *result)
{
    printf("%-26s %12.2f %-6s", result->name, result->value, result->unit);
    if (result->beside != NULL)
        printf(" %12.2f %8.2f", result->beside_value, result->value / result->beside_value);
    else
        printf(" %12s %8s", "", "");
    if (result->aim > 0)
        printf("  %s %g %s", result->higher_is_better ? ">=" : "<=", result->aim,
               is_met(result) ? "met" : "MISSED");
    printf("%s%s\n", result->beside != NULL ? "  beside " : "",
           result->beside != NULL ? result->beside : "");
    (void)fflush(stdout); /* Only so that a reader sees progress. */
}

static void print_result(const struct bench_result *result)
{
    printf("{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\", \"better\": \"%s\"", result->name,
           result->value, result->unit, result->higher_is_better ? "higher" : "lower");
    if (result->beside != NULL)
        printf(", \"beside\": \"%s\", \"beside_value\": %.3f, \"ratio\": %.3f", result->beside,
               result->beside_value, result->value / result->beside_value);
    if (result->aim > 0)
        printf(", \"aim\": \"%s %g\", \"aim_on\": \"%s\", \"met\": %s",
               result->higher_is_better ? ">=" : "<=", result->aim,
               result->aim_on_value ? "value" : "ratio", is_met(result) ? "true" : "false");
    printf("}");
}

void bench_print_json(const char *bench, const char *commit, const struct bench_result *results,
                      size_t count)
{
    const char *separator = "";

    printf("{\"bench\": \"%s\", \"commit\": \"%s\", \"results\": [", bench, commit);
    for (size_t i = 0; i < count; i++) {
        if (results[i].table_only)
            continue;
        printf("%s", separator);
        print_result(&results[i]);
        separator = ", ";
    }
    printf("]}\n");
}

/* ---- DuckDB ---------------------------------------------------------------------------------- */

void bench_duck_open(struct bench_duck *duck, const char *path)
{
    char *error = NULL;

    if (duckdb_open_ext(path, &duck->database, NULL, &error) != DuckDBSuccess ||
        duckdb_connect(duck->database, &duck->connection) != DuckDBSuccess)
        bench_die("%s", error != NULL ? error : path);
    bench_duck_run(duck, NULL, "SET threads = 2");
}

void bench_duck_close(struct bench_duck *duck)
{
    duckdb_disconnect(&duck->connection);
    duckdb_close(&duck->database);
}

void bench_duck_run(struct bench_duck *duck, size_t *rows, const char *format, ...)
{
    static const char too_long[] = "a statement is too long";
    char *sql = malloc(SQL_BYTES_MAX);
    duckdb_result result;
    va_list arguments;

    if (sql == NULL)
        bench_die("out of memory");
    va_start(arguments, format);
    int length = vsnprintf(sql, SQL_BYTES_MAX, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= SQL_BYTES_MAX)
        bench_die("%s", too_long);
    if (duckdb_query(duck->connection, sql, &result) != DuckDBSuccess)
        bench_die("%s", duckdb_result_error(&result));
    if (rows != NULL)
        *rows = (size_t)duckdb_row_count(&result);
    duckdb_destroy_result(&result);
    free(sql);
}
