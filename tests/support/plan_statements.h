/* Statements over the catalog of plan_catalog.h, whose answers the planner must not change. */
#ifndef FM_TESTS_PLAN_STATEMENTS_H
#define FM_TESTS_PLAN_STATEMENTS_H

#include <stddef.h>

extern const char *const plan_statements[];
extern const size_t plan_statement_count;

#endif
