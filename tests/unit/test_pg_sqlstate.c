/* SQLSTATEs, by the words that planner and engine say what is wrong with. */
#include "node/pg/sqlstate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The texts are those of a node; tests/interop/test_psql.sh sees that it still says them. */
static const struct {
    enum fm_status status;
    const char *text, *state;
} cases[] = {
    {FM_INVALID, "Parser Error: syntax error at or near \"FROM\"", "42601"},
    {FM_INVALID, "only SELECT statements are supported", "0A000"},
    {FM_INVALID, "parameters ($1, ?) are not supported here", "42P02"},
    {FM_NOTFOUND, "table north.nothing does not exist or is not visible to you", "42P01"},
    {FM_INVALID,
     "Binder Error: Referenced column \"No function matches\" not found in FROM clause!", "42703"},
    {FM_INVALID, "Binder Error: Referenced column \"function\" not found in FROM clause!", "42703"},
    {FM_INVALID, "Binder Error: Referenced table \"Ambiguous reference\" not found!", "42P01"},
    {FM_INVALID, "Binder Error: Table \"t\" does not have a column named \"nothing\"", "42703"},
    {FM_INVALID, "Binder Error: Ambiguous reference to column name \"id\" (use: \"a.id\")",
     "42702"},
    {FM_INVALID, "Binder Error: column \"id\" must appear in the GROUP BY clause", "42803"},
    {FM_INVALID, "Binder Error: WHERE clause cannot contain aggregates!", "42803"},
    {FM_INVALID, "Catalog Error: Scalar Function with name nofunction does not exist!", "42883"},
    {FM_INVALID, "Binder Error: No function matches the given name 'sum(VARCHAR)'", "42883"},
    {FM_INVALID, "Catalog Error: Type with name nosuchtype does not exist!", "42704"},
    {FM_INVALID, "Binder Error: ORDER term out of range - should be between 1 and 1", "42P10"},
    {FM_INVALID, "Conversion Error: Could not convert string 'syntax error' to INT32", "22P02"},
    {FM_INVALID,
     "domain north on node north: Conversion Error: Could not convert string 'north' to INT32",
     "22P02"},
    {FM_INVALID,
     "Conversion Error: Type INT64 with value 3000000000 can't be cast because the value is out of "
     "range for the destination type INT32",
     "22003"},
    {FM_INVALID, "Conversion Error: date field value out of range: \"2024-13-45\"", "22008"},
    {FM_INVALID, "Out of Range Error: Overflow in addition of INT64 (1 + 2)!", "22003"},
    {FM_INVALID, "Out of Range Error: cannot take square root of a negative number", "2201F"},
    {FM_INVALID, "Invalid Input Error: More than one row returned by a subquery used as an",
     "21000"},
    {FM_INVALID, "Invalid Input Error: something else", "22023"},
    {FM_INVALID, "Binder Error: LIMIT/OFFSET cannot be negative", "2201W"},
    {FM_INVALID, "Binder Error: something else", "42000"},
    {FM_INVALID, "table function read_csv is not supported; tables are written domain.table",
     "0A000"},
    {FM_INVALID, "", "42601"},
    {FM_NOTFOUND, "", "42P01"},
    {FM_REFUSED, "Conversion Error: of no meaning here", "42501"},
    {FM_UNAVAILABLE, "node south does not answer", "HV00N"},
    {FM_TIMEOUT, "", "57014"},
    {FM_CANCELLED, "", "57014"},
    {FM_LIMIT, "the query needed more memory", "54000"},
    {FM_NOMEM, "", "53200"},
    {FM_BUSY, "", "53300"},
    {FM_MALFORMED, "", "08P01"},
    {FM_IO, "", "58030"},
    {FM_FORGED, "", "XX001"},
    {FM_CORRUPT, "", "XX001"},
    {FM_CONFLICT, "", "40001"},
    {FM_UNSUPPORTED, "", "0A000"},
    {FM_INTERNAL, "", "XX000"},
};

static void each_cause_has_its_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(fm_pg_sqlstate(cases[i].status, cases[i].text), cases[i].state) != 0)
            fail_msg("%s: %s, not %s", cases[i].text,
                     fm_pg_sqlstate(cases[i].status, cases[i].text), cases[i].state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_cause_has_its_state)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
