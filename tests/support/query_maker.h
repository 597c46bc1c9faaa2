/* Inside of random_query.c and random_expression.c: a statement in the making. */
#ifndef FM_TESTS_SUPPORT_QUERY_MAKER_H
#define FM_TESTS_SUPPORT_QUERY_MAKER_H

#include "tests/support/random_query.h"

#define SCOPE_MAX 48u
#define OUTPUT_MAX 10u
#define CTES_MAX 4u

struct scope_column {
    char ref[64]; /* "alias"."column". */
    char name[32];
    uint32_t family;
    uint32_t type; /* Of FAMILY_COMPARED. */
};

struct scope {
    uint32_t count;
    struct scope_column columns[SCOPE_MAX];
    const struct scope *outer; /* For correlated subqueries. */
};

struct output { /* Columns of a subquery. */
    uint32_t count;
    struct scope_column columns[OUTPUT_MAX]; /* Names. */
};

struct cte {
    char name[16];
    struct output output;
};

struct maker {
    struct choices *choices;
    const struct world *world;
    struct random_query *out;
    uint32_t depth; /* Of subqueries. */
    uint32_t aliases;
    uint32_t last_table;
    bool has_facts; /* A history is read, of which DuckDB does not have all columns. */
    uint32_t cte_count;
    struct cte ctes[CTES_MAX];
};

void put(struct maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A column of the family, NULL when there is none. With the outer scopes now and then. */
const struct scope_column *pick_column(struct maker *m, const struct scope *scope, uint32_t family);
/* Any column of the scope itself, which has one. */
const struct scope_column *pick_any(struct maker *m, const struct scope *scope);
void put_expression(struct maker *m, const struct scope *scope, uint32_t family, uint32_t depth);
void put_condition(struct maker *m, const struct scope *scope, uint32_t depth);
/* Writes an aggregate call and says its family. */
uint32_t put_aggregate(struct maker *m, const struct scope *scope);

/* A whole query of columns of these families; `wanted` NULL: any. */
void put_query(struct maker *m, const struct scope *outer, const uint32_t *wanted,
               uint32_t wanted_count, struct output *output);
/* "domain.table AS alias", with its columns in scope. */
void put_table(struct maker *m, struct scope *scope);

#endif
