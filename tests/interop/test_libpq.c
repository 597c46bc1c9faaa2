/* libpq, PostgreSQL's own C library, at a node that asks the owner of the rows for it: prepared
 * statements, parameters and results in text and binary, rows one by one, pipelines, cancels,
 * cursors, COPY. */
#include "tests/support/live_owners.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 100000u
#define ROWS_SUM "4999950000"

struct fixture {
    struct live_owners *owners;
    char *token;
    PGconn *connection;
};

static void listen_for_clients(struct live_mesh *mesh, struct live_node *node)
{
    (void)mesh;
    node->postgres = "127.0.0.1:0";
}

static int group_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->owners = live_owners_new(2, listen_for_clients);
    live_publish(f->owners->mesh, f->owners->alpha, ROWS);
    live_owners_ready(f->owners, 1);
    f->token = live_output(f->owners->mesh, "reader", f->owners->asked,
                           (const char *const[]){"token", NULL});
    f->token[strcspn(f->token, "\n")] = '\0';
    *state = f;
    return 0;
}

static int group_teardown(void **state)
{
    struct fixture *f = *state;
    void *owners = f->owners;

    free(f->token);
    free(f);
    return live_owners_teardown(&owners);
}

static int setup(void **state)
{
    struct fixture *f = *state;
    char port[8];

    (void)snprintf(port, sizeof port, "%u", f->owners->asked->postgres_port);
    const char *const names[] = {"host", "port", "user", "password", "dbname", "sslmode", NULL};
    const char *const values[] = {"127.0.0.1", port, "reader", f->token, "mesh", "require", NULL};
    f->connection = PQconnectdbParams(names, values, 0);
    if (PQstatus(f->connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(f->connection));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    PQfinish(f->connection);
    return 0;
}

static PGresult *expect(struct fixture *f, PGresult *result, ExecStatusType wanted)
{
    if (PQresultStatus(result) != wanted)
        fail_msg("%s: %s", PQresStatus(PQresultStatus(result)), PQerrorMessage(f->connection));
    return result;
}

static PGresult *run(struct fixture *f, const char *sql, ExecStatusType wanted)
{
    return expect(f, PQexec(f->connection, sql), wanted);
}

static void run_only(struct fixture *f, const char *sql, ExecStatusType wanted)
{
    PQclear(run(f, sql, wanted));
}

static void cell(struct fixture *f, const char *sql, const char *wanted)
{
    PGresult *result = run(f, sql, PGRES_TUPLES_OK);

    assert_int_equal(PQntuples(result), 1);
    assert_string_equal(PQgetvalue(result, 0, 0), wanted);
    PQclear(result);
}

/* ---- Prepared statements --------------------------------------------------------------------- */

static void statements_are_prepared_and_described(void **state)
{
    struct fixture *f = *state;
    const Oid types[] = {23, 25};
    const char *values[] = {"17", "item 17%"};
    static const char sql[] = "SELECT id, text FROM alpha.items WHERE id >= $1 AND text LIKE $2 "
                              "ORDER BY id LIMIT 3";

    PQclear(expect(f, PQprepare(f->connection, "s", sql, 2, types), PGRES_COMMAND_OK));
    PGresult *result = expect(f, PQdescribePrepared(f->connection, "s"), PGRES_COMMAND_OK);
    assert_int_equal(PQnparams(result), 2);
    assert_int_equal(PQparamtype(result, 0), 23);
    assert_int_equal(PQparamtype(result, 1), 25);
    assert_int_equal(PQnfields(result), 2);
    assert_string_equal(PQfname(result, 1), "text");
    assert_int_equal(PQftype(result, 1), 25);
    PQclear(result);
    for (int i = 0; i < 3; i++) {
        result = expect(f, PQexecPrepared(f->connection, "s", 2, values, NULL, NULL, 0),
                        PGRES_TUPLES_OK);
        assert_int_equal(PQntuples(result), 3);
        assert_string_equal(PQgetvalue(result, 0, 0), "17");
        assert_string_equal(PQgetvalue(result, 1, 0), "170");
        PQclear(result);
    }
    const uint8_t number[] = {0, 0, 0x43, 0};
    const char *binary[] = {(const char *)number, "item%"};
    result = expect(
        f,
        PQexecPrepared(f->connection, "s", 2, binary, (const int[]){4, 5}, (const int[]){1, 0}, 0),
        PGRES_TUPLES_OK);
    assert_string_equal(PQgetvalue(result, 0, 0), "17152");
    PQclear(result);
    PQclear(expect(f, PQprepare(f->connection, "s", "SELECT 1", 0, NULL), PGRES_FATAL_ERROR));
    run_only(f, "DEALLOCATE s", PGRES_COMMAND_OK);
    result =
        expect(f, PQexecPrepared(f->connection, "s", 0, NULL, NULL, NULL, 0), PGRES_FATAL_ERROR);
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
    PQclear(result);
}

/* What comes back in binary is sent as a parameter in binary, and is the same in text. */
static void parameters_of_each_type_go_both_ways(void **state)
{
    struct fixture *f = *state;
    static const struct {
        Oid oid;
        const char *in, *out;
    } cases[] = {
        {16, "t", "t"},
        {16, "false", "f"},
        {21, "-32768", "-32768"},
        {23, "-2147483648", "-2147483648"},
        {20, "9223372036854775807", "9223372036854775807"},
        {700, "1.5", "1.5"},
        {701, "-0.1", "-0.1"},
        {701, "Infinity", "Infinity"},
        {1700, "-12345678901234567890.000123", "-12345678901234567890.000123"},
        {1700, "0.00", "0.00"},
        {25, "it's \\ \"quoted\" $1 /* -- */ \xc3\xa9", "it's \\ \"quoted\" $1 /* -- */ \xc3\xa9"},
        {25, "", ""},
        {17, "\\x00ff27", "\\x00ff27"},
        {1082, "2024-02-29", "2024-02-29"},
        {1083, "23:59:59.999999", "23:59:59.999999"},
        {1114, "1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5"},
        {1184, "2024-02-29 12:00:00+02", "2024-02-29 10:00:00+00"},
        {1186, "1 mon 2 days 03:04:05", "1 mon 2 days 03:04:05"},
        {2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        PGresult *binary = expect(f,
                                  PQexecParams(f->connection, "SELECT $1 AS v", 1, &cases[i].oid,
                                               &cases[i].in, NULL, NULL, 1),
                                  PGRES_TUPLES_OK);
        assert_int_equal(PQftype(binary, 0), cases[i].oid);
        assert_int_equal(PQfformat(binary, 0), 1);
        const char *value = PQgetvalue(binary, 0, 0);
        int length = PQgetlength(binary, 0, 0), format = 1;
        PGresult *text = expect(f,
                                PQexecParams(f->connection, "SELECT $1 AS v", 1, &cases[i].oid,
                                             &value, &length, &format, 0),
                                PGRES_TUPLES_OK);
        assert_string_equal(PQgetvalue(text, 0, 0), cases[i].out);
        PQclear(text);
        PQclear(binary);
        const char *null = NULL;
        text = expect(f,
                      PQexecParams(f->connection, "SELECT $1 IS NULL", 1, &cases[i].oid, &null,
                                   NULL, NULL, 0),
                      PGRES_TUPLES_OK);
        assert_string_equal(PQgetvalue(text, 0, 0), "t");
        PQclear(text);
    }
}

/* ---- Many rows ------------------------------------------------------------------------------- */

static void rows_come_one_by_one(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0, sum = 0;
    PGresult *result = NULL;
    char text[24];

    assert_int_equal(PQsendQueryParams(f->connection, "SELECT id, text FROM alpha.items", 0, NULL,
                                       NULL, NULL, NULL, 1),
                     1);
    assert_int_equal(PQsetSingleRowMode(f->connection), 1);
    while ((result = PQgetResult(f->connection)) != NULL) {
        if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
            const uint8_t *at = (const uint8_t *)PQgetvalue(result, 0, 0);
            uint64_t id = 0;
            for (int i = 0; i < PQgetlength(result, 0, 0); i++)
                id = id << 8 | at[i];
            rows++;
            sum += id;
        } else {
            expect(f, result, PGRES_TUPLES_OK);
            assert_int_equal(PQntuples(result), 0);
        }
        PQclear(result);
    }
    assert_int_equal(rows, ROWS);
    (void)snprintf(text, sizeof text, "%" PRIu64, sum);
    assert_string_equal(text, ROWS_SUM);
}

static void cursors_give_rows_in_parts(void **state)
{
    struct fixture *f = *state;
    int rows = 0, got = 0;

    run_only(f, "BEGIN", PGRES_COMMAND_OK);
    run_only(f, "DECLARE c CURSOR FOR SELECT * FROM alpha.items", PGRES_COMMAND_OK);
    do {
        PGresult *result = run(f, "FETCH FORWARD 30000 FROM c", PGRES_TUPLES_OK);
        got = PQntuples(result);
        rows += got;
        PQclear(result);
    } while (got == 30000);
    assert_int_equal(got, 10000);
    assert_int_equal(rows, ROWS);
    run_only(f, "COMMIT", PGRES_COMMAND_OK);
    run_only(f, "FETCH c", PGRES_FATAL_ERROR);
}

/* ---- Pipelines and cancels ------------------------------------------------------------------- */

static void one_step(struct fixture *f, ExecStatusType wanted, bool has_end)
{
    PQclear(expect(f, PQgetResult(f->connection), wanted));
    if (has_end)
        assert_null(PQgetResult(f->connection));
}

static void pipelines_stop_at_an_error_until_their_sync(void **state)
{
    static const char *const statements[] = {"SELECT 1", "SELECT nothing FROM alpha.items",
                                             "SELECT 2"};
    struct fixture *f = *state;

    assert_int_equal(PQenterPipelineMode(f->connection), 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            PQsendQueryParams(f->connection, statements[i], 0, NULL, NULL, NULL, NULL, 0), 1);
    assert_int_equal(PQpipelineSync(f->connection), 1);
    assert_int_equal(PQsendQueryParams(f->connection, statements[2], 0, NULL, NULL, NULL, NULL, 0),
                     1);
    assert_int_equal(PQpipelineSync(f->connection), 1);
    one_step(f, PGRES_TUPLES_OK, true);
    one_step(f, PGRES_FATAL_ERROR, true);
    one_step(f, PGRES_PIPELINE_ABORTED, true);
    one_step(f, PGRES_PIPELINE_SYNC, false);
    one_step(f, PGRES_TUPLES_OK, true);
    one_step(f, PGRES_PIPELINE_SYNC, false);
    assert_int_equal(PQexitPipelineMode(f->connection), 1);
    cell(f, "SELECT 3", "3");
}

static void a_cancel_ends_what_runs(void **state)
{
    static const char slow[] = "SELECT count(*) FROM range(1000000) a(x), range(1000000) b(y) "
                               "WHERE (a.x * b.y) % 7 = 3";
    struct fixture *f = *state;
    char error[256];

    PGcancel *cancel = PQgetCancel(f->connection);
    assert_non_null(cancel);
    assert_int_equal(PQcancel(cancel, error, sizeof error), 1); /* Nothing runs: nothing happens. */
    assert_int_equal(PQsendQuery(f->connection, slow), 1);
    for (int i = 0; PQconsumeInput(f->connection) == 1 && PQisBusy(f->connection) == 1; i++) {
        (void)usleep(200000); /* A cancel that comes before the query is none. */
        assert_int_equal(PQcancel(cancel, error, sizeof error), 1);
        assert_in_range(i, 0, 100);
    }
    PQfreeCancel(cancel);
    PGresult *result = expect(f, PQgetResult(f->connection), PGRES_FATAL_ERROR);
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    assert_null(PQgetResult(f->connection));
    cell(f, "SELECT count(*) FROM alpha.items", "100000");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(statements_are_prepared_and_described),
        TEST(parameters_of_each_type_go_both_ways),
        TEST(rows_come_one_by_one),
        TEST(cursors_give_rows_in_parts),
        TEST(pipelines_stop_at_an_error_until_their_sync),
        TEST(a_cancel_ends_what_runs),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
