/* A catalog for tests of the planner: a few tables of three owners, with some rows each.
 *   flights.delays, flights.carrier (owner 1); airports.airport, airports.delays (owner 2);
 *   demo.types (owner 3: a column of each type, no rows), demo.clock (owner 3: a column
 *   current_date, no rows). */
#ifndef FM_TESTS_PLAN_CATALOG_H
#define FM_TESTS_PLAN_CATALOG_H

#include "query/plan.h"

#define CATALOG_ROWS_MAX 16u
#define CATALOG_COLUMNS_MAX 32u

struct catalog_table {
    const char *domain;
    const char *name;
    uint8_t owner;
    uint64_t estimate;
    const char *columns[CATALOG_COLUMNS_MAX][2];                 /* Name and type; NULL ends. */
    const char *rows[CATALOG_ROWS_MAX][CATALOG_COLUMNS_MAX / 4]; /* Text; first NULL ends. */
};

extern const struct catalog_table catalog_tables[];
extern const size_t catalog_table_count;

/* NULL when there is none. */
const struct catalog_table *catalog_find(const char *domain, const char *name);
/* The table's schema; aborts the test when it does not compile. */
struct fm_schema *catalog_schema(const struct catalog_table *table);
/* For fm_plan_make(). */
extern const struct fm_catalog catalog_for_plans;
/* The same with statistics: flights.delays has its estimate of rows and 200 values in each column,
 * other tables as many as rows. */
extern const struct fm_catalog catalog_with_statistics;
/* The same for an owner who is given what is not its own: it takes all for its own. */
extern const struct fm_catalog catalog_of_owner;

/* A plan in one line: kind, "streams", and per slot domain.table(columns)[predicates]{enums}; a
 * carved part has <rule: SQL> behind the table. */
void catalog_describe(const struct fm_plan *plan, struct fm_buf *out);

#endif
