/* Sessions of PostgreSQL clients, message by message, as PostgreSQL 15 would answer them. */
#include "node/pg/session.h"

#include "core/limits.h"
#include "tests/support/pg_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct pg_test *test;
    struct fm_buf trace;
    struct fm_buf message;
};

static void expect(struct fixture *f, const char *expected)
{
    pg_test_trace(f->test, &f->trace);
    assert_string_equal((const char *)f->trace.data, expected);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->test = pg_test_new();
    assert_non_null(f->test);
    assert_int_equal(pg_test_login(f->test), FM_OK);
    pg_test_trace(f->test, &f->trace);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pg_test_free(f->test);
    fm_buf_free(&f->trace);
    fm_buf_free(&f->message);
    free(f);
    return 0;
}

static void query(struct fixture *f, const char *sql, const char *expected)
{
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span(sql, strlen(sql) + 1)), FM_OK);
    expect(f, expected);
}

/* ---- Messages of the extended protocol ------------------------------------------------------- */

static void send_now(struct fixture *f, enum fm_pg_frontend type)
{
    assert_int_equal(fm_buf_status(&f->message), FM_OK);
    assert_int_equal(pg_test_message(f->test, type, fm_buf_span(&f->message)), FM_OK);
    fm_buf_clear(&f->message);
}

static void parse(struct fixture *f, const char *name, const char *sql, uint32_t oid)
{
    fm_pg_put_text(&f->message, name);
    fm_pg_put_text(&f->message, sql);
    fm_pg_put16(&f->message, oid != 0);
    if (oid != 0)
        fm_pg_put32(&f->message, oid);
    send_now(f, FM_PG_PARSE);
}

/* With one parameter in text, or none; results in `format`. */
static void bind(struct fixture *f, const char *portal, const char *name, const char *value,
                 uint16_t format)
{
    fm_pg_put_text(&f->message, portal);
    fm_pg_put_text(&f->message, name);
    fm_pg_put16(&f->message, 0);
    fm_pg_put16(&f->message, value != NULL);
    if (value != NULL) {
        fm_pg_put32(&f->message, (uint32_t)strlen(value));
        fm_buf_put_str(&f->message, value);
    }
    fm_pg_put16(&f->message, 1);
    fm_pg_put16(&f->message, format);
    send_now(f, FM_PG_BIND);
}

static void named(struct fixture *f, enum fm_pg_frontend type, char kind, const char *name)
{
    fm_buf_put_u8(&f->message, (uint8_t)kind);
    fm_pg_put_text(&f->message, name);
    send_now(f, type);
}

static void execute(struct fixture *f, const char *portal, uint32_t limit)
{
    fm_pg_put_text(&f->message, portal);
    fm_pg_put32(&f->message, limit);
    send_now(f, FM_PG_EXECUTE);
}

/* ---- Login ----------------------------------------------------------------------------------- */

static void login_tells_what_clients_rely_on(void **state)
{
    struct fixture *f = *state;

    pg_test_free(f->test);
    f->test = pg_test_new();
    assert_int_equal(pg_test_login(f->test), FM_OK);
    pg_test_trace(f->test, &f->trace);
    const char *text = (const char *)f->trace.data;
    assert_non_null(strstr(text, "R(3) R(0) S(application_name=test)"));
    assert_non_null(strstr(text, "S(client_encoding=UTF8)"));
    assert_non_null(strstr(text, "S(server_version=15"));
    assert_non_null(strstr(text, "S(session_authorization=ann)"));
    assert_non_null(strstr(text, "K() Z(I)"));
}

static void nothing_goes_before_a_login(void **state)
{
    static const char settings[] = "user\0ann\0";
    struct fm_pg_startup startup = {
        .kind = FM_PG_STARTUP, .major = 3, .settings = fm_span(settings, sizeof settings)};
    struct fixture *f = *state;

    pg_test_free(f->test);
    f->test = pg_test_new();
    assert_int_equal(pg_test_message(f->test, FM_PG_PASSWORD, fm_span("secret", 7)), FM_MALFORMED);
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("rows 1", 7)), FM_MALFORMED);
    assert_int_equal(fm_pg_session_start(f->test->session, &startup), FM_OK);
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("rows 1", 7)), FM_MALFORMED);
    assert_int_equal(pg_test_message(f->test, FM_PG_PASSWORD, fm_span("wrong", 6)), FM_REFUSED);
    pg_test_trace(f->test, &f->trace);
    assert_non_null(strstr((const char *)f->trace.data,
                           "E(28P01 password authentication failed for user \"ann\")"));
    assert_int_equal(f->test->opened, 0);
}

static void newer_protocols_are_told_what_there_is(void **state)
{
    static const char settings[] = "user\0ann\0_pq_.new\0on\0";
    struct fm_pg_startup startup = {.kind = FM_PG_STARTUP,
                                    .major = 3,
                                    .minor = 2,
                                    .settings = fm_span(settings, sizeof settings)};
    struct fixture *f = *state;

    pg_test_free(f->test);
    f->test = pg_test_new();
    assert_int_equal(fm_pg_session_start(f->test->session, &startup), FM_OK);
    assert_int_equal(pg_test_message(f->test, FM_PG_PASSWORD, fm_span("secret", 7)), FM_OK);
    pg_test_trace(f->test, &f->trace);
    assert_int_equal(strncmp((const char *)f->trace.data, "v() R(3) R(0)", 13), 0);
}

/* ---- Simple queries -------------------------------------------------------------------------- */

static void simple_queries(void **state)
{
    struct fixture *f = *state;

    query(f, "rows 3", "T(n:23,t:25) D(1,x) D(2,x) D(3,NULL) C(SELECT 3) Z(I)");
    query(f, "rows 0", "T(n:23,t:25) C(SELECT 0) Z(I)");
    query(f, "", "I Z(I)");
    query(f, " ; -- x", "I Z(I)");
    query(f, "rows 1; rows 2",
          "T(n:23,t:25) D(1,x) C(SELECT 1) T(n:23,t:25) D(1,x) D(2,x) C(SELECT 2) Z(I)");
    query(f, "rows 1; nonsense; rows 1", "T(n:23,t:25) D(1,x) C(SELECT 1) E(42601 nonsense) Z(I)");
    assert_int_equal(f->test->open, 0);
}

static void transactions(void **state)
{
    struct fixture *f = *state;

    query(f, "BEGIN", "C(BEGIN) Z(T)");
    query(f, "begin", "N(25001) C(BEGIN) Z(T)");
    query(f, "nonsense", "E(42601 nonsense) Z(E)");
    query(f, "rows 1",
          "E(25P02 current transaction is aborted, commands ignored until end of transaction "
          "block) Z(E)");
    query(f, "SET x.y = 1",
          "E(25P02 current transaction is aborted, commands ignored until end of transaction "
          "block) Z(E)");
    query(f, "COMMIT", "C(ROLLBACK) Z(I)");
    query(f, "COMMIT", "N(25P01) C(COMMIT) Z(I)");
    query(f, "ROLLBACK", "N(25P01) C(ROLLBACK) Z(I)");
    query(f, "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "C(BEGIN) Z(T)");
    query(f, "END", "C(COMMIT) Z(I)");
}

static void savepoints(void **state)
{
    struct fixture *f = *state;

    query(f, "SAVEPOINT a", "E(25P01 SAVEPOINT can only be used in transaction blocks) Z(I)");
    query(f, "BEGIN; SAVEPOINT a; SAVEPOINT b", "C(BEGIN) C(SAVEPOINT) C(SAVEPOINT) Z(T)");
    query(f, "nonsense", "E(42601 nonsense) Z(E)");
    query(f, "ROLLBACK TO SAVEPOINT c", "E(3B001 savepoint \"c\" does not exist) Z(E)");
    query(f, "ROLLBACK TO a", "C(ROLLBACK) Z(T)");
    query(f, "ROLLBACK WORK TO SAVEPOINT a", "C(ROLLBACK) Z(T)");
    query(f, "RELEASE SAVEPOINT a", "C(RELEASE) Z(T)");
    query(f, "RELEASE a", "E(3B001 savepoint \"a\" does not exist) Z(E)");
    query(f, "ROLLBACK", "C(ROLLBACK) Z(I)");
}

static void settings(void **state)
{
    struct fixture *f = *state;

    query(f, "SET statement_timeout = '2s'", "C(SET) Z(I)");
    query(f, "rows 0", "T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(f->test->last_limit_ms, 2000);
    query(f, "SHOW statement_timeout", "T(statement_timeout:25) D(2s) C(SHOW) Z(I)");
    query(f, "SET statement_timeout TO 'soon'",
          "E(22023 invalid value for parameter \"statement_timeout\": \"soon\") Z(I)");
    query(f, "RESET statement_timeout", "C(RESET) Z(I)");
    query(f, "SHOW statement_timeout", "T(statement_timeout:25) D(0) C(SHOW) Z(I)");
    query(f, "SET nothing = 1", "E(42704 unrecognized configuration parameter \"nothing\") Z(I)");
    query(f, "SET application_name TO \"my App\"", "S(application_name=my App) C(SET) Z(I)");
    query(f, "SET SESSION search_path = a, 'B'", "C(SET) Z(I)");
    query(f, "SHOW search_path", "T(search_path:25) D(a, B) C(SHOW) Z(I)");
    query(f, "SET extra_float_digits = -3", "C(SET) Z(I)");
    query(f, "SHOW extra_float_digits", "T(extra_float_digits:25) D(-3) C(SHOW) Z(I)");
    query(f, "SET TIME ZONE 'UTC'", "S(TimeZone=UTC) C(SET) Z(I)");
    query(f, "SET TIME ZONE 'Europe/Rome'",
          "E(22023 invalid value for parameter \"TimeZone\": \"Europe/Rome\") Z(I)");
    query(f, "SHOW TRANSACTION ISOLATION LEVEL",
          "T(transaction_isolation:25) D(read committed) C(SHOW) Z(I)");
    query(f, "SET client_encoding TO LATIN1",
          "E(22023 invalid value for parameter \"client_encoding\": \"latin1\") Z(I)");
    query(f, "SET NAMES 'UTF8'", "S(client_encoding=UTF8) C(SET) Z(I)");
    query(f, "SET server_version = '9'",
          "E(22023 parameter \"server_version\" cannot be changed to \"9\": it is \"15.0 "
          "(Folkmoot)\") Z(I)");
    query(f, "SET a.b = 'c'; SHOW a.b", "C(SET) T(a.b:25) D(c) C(SHOW) Z(I)");
    query(f, "SET", "E(42601 syntax error at end of input) Z(I)");
    query(f, "SET a.b =", "E(42601 syntax error at end of input) Z(I)");
    query(f, "SET folkmoot.on_unavailable = skip; rows 0", "C(SET) T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(f->test->last_body.on_unavailable, FM_UNAVAILABLE_SKIP);
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("DISCARD ALL", 12)), FM_OK);
    pg_test_trace(f->test, &f->trace);
    assert_non_null(strstr((const char *)f->trace.data, "C(DISCARD ALL) Z(I)"));
    query(f, "rows 0", "T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(f->test->last_body.on_unavailable, FM_UNAVAILABLE_FAIL);
    query(f, "SHOW session_authorization", "T(session_authorization:25) D(ann) C(SHOW) Z(I)");
    query(f, "SHOW a.b", "E(42704 unrecognized configuration parameter \"a.b\") Z(I)");
}

/* Those that libfolkmoot's sessions have too: one thing, with or without the prefix. */
static void settings_of_the_mesh(void **state)
{
    struct fixture *f = *state;
    const struct fm_query_body *body = &f->test->last_body;

    query(f, "SET on_unavailable TO 'SKIP'; SHOW folkmoot.on_unavailable",
          "C(SET) T(folkmoot.on_unavailable:25) D(skip) C(SHOW) Z(I)");
    query(f, "SET folkmoot.allow_partial_aggregates = on; SET rules_off = scan, push",
          "C(SET) C(SET) Z(I)");
    query(f, "SET folkmoot.time_limit = 700; SET statement_timeout = 900; rows 0",
          "C(SET) C(SET) T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(body->on_unavailable, FM_UNAVAILABLE_SKIP);
    assert_true(body->allows_partial_aggregates);
    assert_int_equal(__builtin_popcountll(body->rules_off), 2);
    assert_int_equal(f->test->last_limit_ms, 700);
    query(f, "SET statement_timeout = 600; rows 0", "C(SET) T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(f->test->last_limit_ms, 600);
    query(f, "SET Folkmoot.On_Unavailable = maybe",
          "E(22023 on_unavailable takes fail or skip, not 'maybe') Z(I)");
    query(f, "SET at_heads = 'no note'",
          "E(22023 at_heads takes signed notes, as mesh.receipts shows them, or the id of a query "
          "there; note 1 is none) Z(I)");
    query(f, "RESET on_unavailable; rows 0", "C(RESET) T(n:23,t:25) C(SELECT 0) Z(I)");
    assert_int_equal(body->on_unavailable, FM_UNAVAILABLE_FAIL);
    assert_false(body->allows_partial_aggregates); /* It means nothing without leave to skip. */
    query(f, "SET rules_off = DEFAULT; SHOW rules_off", "C(SET) T(rules_off:25) D() C(SHOW) Z(I)");
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("SHOW ALL", sizeof "SHOW ALL")),
                     FM_OK);
    pg_test_trace(f->test, &f->trace);
    assert_non_null(strstr((const char *)f->trace.data, "D(folkmoot.time_limit,700,"));
    query(f, "SET folkmoot.other = 1; SHOW folkmoot.other",
          "C(SET) T(folkmoot.other:25) D(1) C(SHOW) Z(I)");
    assert_int_equal(
        pg_test_message(f->test, FM_PG_QUERY, fm_span("DISCARD ALL", sizeof "DISCARD ALL")), FM_OK);
    pg_test_trace(f->test, &f->trace);
    query(f, "SHOW folkmoot.time_limit", "T(folkmoot.time_limit:25) D(0) C(SHOW) Z(I)");
}

/* What is left out of an answer by leave is said, before it is complete. */
static void missing_parts_are_told(void **state)
{
    struct fixture *f = *state;

    f->test->missing = 2;
    query(f, "rows 1", "T(n:23,t:25) D(1,x) C(SELECT 1) Z(I)");
    query(f, "SET folkmoot.on_unavailable = skip; rows 1",
          "C(SET) T(n:23,t:25) D(1,x) N(01000) N(00000) N(00000) C(SELECT 1) Z(I)");
    query(f, "SET client_min_messages = warning; rows 0",
          "C(SET) T(n:23,t:25) N(01000) C(SELECT 0) Z(I)");
    query(f, "SET client_min_messages = error; rows 0", "C(SET) T(n:23,t:25) C(SELECT 0) Z(I)");
    query(f, "RESET client_min_messages; BEGIN; DECLARE c CURSOR FOR rows 2",
          "C(RESET) C(BEGIN) C(DECLARE CURSOR) Z(T)");
    query(f, "FETCH 1 c", "T(n:23,t:25) D(1,x) C(FETCH 1) Z(T)");
    query(f, "FETCH 9 c", "T(n:23,t:25) D(2,x) N(01000) N(00000) N(00000) C(FETCH 1) Z(T)");
    query(f, "FETCH 9 c; COMMIT", "T(n:23,t:25) C(FETCH 0) C(COMMIT) Z(I)");
}

static void settings_are_bounded(void **state)
{
    struct fixture *f = *state;
    char sql[64];

    for (unsigned i = 0; i < FM_PG_SETTINGS_MAX; i++) {
        (void)snprintf(sql, sizeof sql, "SET my.s%u = 1", i);
        query(f, sql, "C(SET) Z(I)");
    }
    query(f, "SET my.one_more = 1", "E(22023 a session has at most 64 settings of its own) Z(I)");
    query(f, "SET my.s3 = 2", "C(SET) Z(I)");
}

/* ---- COPY ------------------------------------------------------------------------------------ */

static void copies(void **state)
{
    struct fixture *f = *state;

    query(f, "COPY (rows 3) TO STDOUT",
          "H(0,2) d(1\\09x\\0a) d(2\\09x\\0a) d(3\\09\\N\\0a) c C(COPY 3) Z(I)");
    query(f, "copy (rows 3) to stdout with (format csv, header, null 'x', delimiter ';')",
          "H(0,2) d(n;t\\0a) d(1;\"x\"\\0a) d(2;\"x\"\\0a) d(3;x\\0a) c C(COPY 3) Z(I)");
    query(f, "COPY (rows 0) TO STDOUT CSV HEADER", "H(0,2) d(n,t\\0a) c C(COPY 0) Z(I)");
    query(f, "COPY (rows 1) TO STDOUT (FORMAT binary)",
          "H(1,2) d(PGCOPY\\0a\\ff\\0d\\0a\\00\\00\\00\\00\\00\\00\\00\\00\\00) "
          "d(\\00\\02\\00\\00\\00\\04\\00\\00\\00\\01\\00\\00\\00\\01x) d(\\ff\\ff) c "
          "C(COPY 1) Z(I)");
    query(f, "COPY a.\"B\" (x, y) TO STDOUT", "E(42601 SELECT x, y FROM a.\"B\") Z(I)");
    query(f, "COPY a.b TO '/tmp/x'", "E(0A000 a node writes no files: COPY goes TO STDOUT) Z(I)");
    query(f, "COPY (rows 1 TO STDOUT", "E(42601 syntax error at end of input) Z(I)");
    query(f, "COPY (rows 1) TO STDOUT (FORMAT csv, DELIMITER 'ab')",
          "E(42601 COPY delimiter must be a single one-byte character) Z(I)");
    query(f, "COPY (rows 1) TO STDOUT (FORMAT xml)",
          "E(42601 COPY format \"xml\" not recognized) Z(I)");
    query(f, "COPY (rows 1) TO STDOUT (FREEZE)",
          "E(0A000 COPY option \"freeze\" is not supported) Z(I)");
    query(f, "COPY (rows 1) TO STDOUT x", "E(42601 syntax error at or near \"x\") Z(I)");
    assert_int_equal(f->test->open, 0);
    parse(f, "", "COPY (rows 1) TO STDOUT", 0);
    bind(f, "", "", NULL, 0);
    named(f, FM_PG_DESCRIBE, 'P', "");
    execute(f, "", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 2 n H(0,2) d(1\\09x\\0a) c C(COPY 1) Z(I)");
}

/* ---- Cursors --------------------------------------------------------------------------------- */

static void cursors(void **state)
{
    struct fixture *f = *state;

    query(f, "DECLARE c CURSOR FOR rows 3",
          "E(25P01 DECLARE CURSOR can only be used in transaction blocks) Z(I)");
    query(f, "BEGIN; DECLARE c NO SCROLL CURSOR FOR rows 5", "C(BEGIN) C(DECLARE CURSOR) Z(T)");
    query(f, "FETCH 2 FROM c", "T(n:23,t:25) D(1,x) D(2,x) C(FETCH 2) Z(T)");
    query(f, "FETCH c", "T(n:23,t:25) D(3,NULL) C(FETCH 1) Z(T)");
    query(f, "FETCH 0 FROM c", "T(n:23,t:25) C(FETCH 0) Z(T)");
    query(f, "MOVE FORWARD 1 IN c", "C(MOVE 1) Z(T)");
    query(f, "FETCH ALL IN c", "T(n:23,t:25) D(5,x) C(FETCH 1) Z(T)");
    query(f, "FETCH NEXT c", "T(n:23,t:25) C(FETCH 0) Z(T)");
    query(f, "CLOSE c; FETCH c", "C(CLOSE CURSOR) E(34000 cursor \"c\" does not exist) Z(E)");
    assert_int_equal(f->test->open, 0);
    query(f, "ROLLBACK; BEGIN; DECLARE c CURSOR FOR rows 5; DECLARE c CURSOR FOR rows 5",
          "C(ROLLBACK) C(BEGIN) C(DECLARE CURSOR) E(42P03 cursor \"c\" already exists) Z(E)");
    query(f, "ROLLBACK", "C(ROLLBACK) Z(I)");
    assert_int_equal(f->test->open, 0);
    query(f, "DECLARE h BINARY CURSOR WITH HOLD FOR rows 1", "C(DECLARE CURSOR) Z(I)");
    query(f, "FETCH h", "T(n:23,t:25) D(\\00\\00\\00\\01,x) C(FETCH 1) Z(I)");
    query(f, "BEGIN; FETCH BACKWARD 1 FROM h",
          "C(BEGIN) E(55000 cursor can only scan forward) Z(E)");
    query(f, "ROLLBACK; CLOSE ALL", "C(ROLLBACK) C(CLOSE CURSOR ALL) Z(I)");
    assert_int_equal(f->test->open, 0);
}

static void cursors_are_bounded(void **state)
{
    struct fixture *f = *state;
    char sql[64];

    query(f, "BEGIN", "C(BEGIN) Z(T)");
    for (unsigned i = 0; i < FM_PG_PORTALS_MAX; i++) {
        (void)snprintf(sql, sizeof sql, "DECLARE c%u CURSOR FOR rows 1", i);
        query(f, sql, "C(DECLARE CURSOR) Z(T)");
    }
    query(f, "DECLARE more CURSOR FOR rows 1",
          "E(53400 more than 32 open cursors and portals: close some) Z(E)");
}

/* ---- Extended queries ------------------------------------------------------------------------ */

static void extended_queries(void **state)
{
    struct fixture *f = *state;

    parse(f, "", "rows $1", 23);
    bind(f, "", "", "2", FM_PG_TEXT);
    named(f, FM_PG_DESCRIBE, 'P', "");
    execute(f, "", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 2 T(n:23,t:25) D(1,x) D(2,x) C(SELECT 2) Z(I)");
    assert_int_equal(f->test->open, 0);
}

static void portals_are_suspended_and_go_on(void **state)
{
    struct fixture *f = *state;

    query(f, "BEGIN", "C(BEGIN) Z(T)");
    parse(f, "s", "rows 4", 0);
    bind(f, "p", "s", NULL, FM_PG_BINARY);
    execute(f, "p", 3);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 2 D(\\00\\00\\00\\01,x) D(\\00\\00\\00\\02,x) D(\\00\\00\\00\\03,NULL) s Z(T)");
    execute(f, "p", 3);
    execute(f, "p", 3);
    send_now(f, FM_PG_SYNC);
    expect(f, "D(\\00\\00\\00\\04,x) C(SELECT 1) C(SELECT 0) Z(T)");
    named(f, FM_PG_CLOSE, 'P', "p");
    execute(f, "p", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "3 E(34000 portal \"p\" does not exist) Z(E)");
    query(f, "ROLLBACK", "C(ROLLBACK) Z(I)");
}

static void statements_are_described(void **state)
{
    struct fixture *f = *state;

    parse(f, "s", "rows $1", 0);
    named(f, FM_PG_DESCRIBE, 'S', "s");
    send_now(f, FM_PG_SYNC);
    expect(f, "1 t(25) T(n:23,t:25) Z(I)");
    assert_true(fm_span_equal(fm_buf_span(&f->test->last_sql), fm_span_str("rows  NULL ")));
    assert_int_equal(f->test->open, 0);
    parse(f, "b", "BEGIN", 0);
    named(f, FM_PG_DESCRIBE, 'S', "b");
    bind(f, "", "b", NULL, FM_PG_TEXT);
    named(f, FM_PG_DESCRIBE, 'P', "");
    execute(f, "", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 t() n 2 n C(BEGIN) Z(T)");
    parse(f, "h", "SHOW jit", 0);
    bind(f, "", "h", NULL, FM_PG_TEXT);
    named(f, FM_PG_DESCRIBE, 'P', "");
    execute(f, "", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 2 T(jit:25) D(off) C(SHOW) Z(T)");
}

static void after_an_error_nothing_is_done_until_sync(void **state)
{
    struct fixture *f = *state;

    parse(f, "", "nonsense", 0);
    bind(f, "", "", NULL, FM_PG_TEXT);
    named(f, FM_PG_DESCRIBE, 'P', "");
    execute(f, "", 0);
    parse(f, "later", "rows 1", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 2 E(42601 nonsense) Z(I)");
    bind(f, "", "later", NULL, FM_PG_TEXT);
    send_now(f, FM_PG_SYNC);
    expect(f, "E(26000 prepared statement \"later\" does not exist) Z(I)");
}

static void prepared_statements(void **state)
{
    struct fixture *f = *state;

    parse(f, "s", "rows 1", 0);
    parse(f, "s", "rows 2", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 E(42P05 prepared statement \"s\" already exists) Z(I)");
    query(f, "DEALLOCATE s", "C(DEALLOCATE) Z(I)");
    query(f, "DEALLOCATE PREPARE s", "E(26000 prepared statement \"s\" does not exist) Z(I)");
    parse(f, "", "rows 1; rows 2", 0);
    send_now(f, FM_PG_SYNC);
    expect(f, "E(42601 cannot insert multiple commands into a prepared statement) Z(I)");
    parse(f, "p", "rows $1", 0);
    bind(f, "", "p", NULL, FM_PG_TEXT);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 E(08P01 bind message supplies 0 parameters, but prepared statement \"p\" "
              "requires 1) Z(I)");
    named(f, FM_PG_CLOSE, 'S', "never");
    send_now(f, FM_PG_SYNC);
    expect(f, "3 Z(I)");
    query(f, "DEALLOCATE ALL", "C(DEALLOCATE ALL) Z(I)");
    parse(f, "", "rows $1", 23);
    bind(f, "", "", "1; x", FM_PG_TEXT);
    send_now(f, FM_PG_SYNC);
    expect(f, "1 E(22P02 invalid input syntax for type integer: \"1; x\") Z(I)");
}

static void prepared_statements_are_bounded(void **state)
{
    struct fixture *f = *state;
    char name[16];

    for (unsigned i = 0; i <= FM_PG_STATEMENTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%u", i);
        parse(f, name, "rows 1", 0);
    }
    send_now(f, FM_PG_SYNC);
    pg_test_trace(f->test, &f->trace);
    assert_non_null(strstr((const char *)f->trace.data,
                           "E(53400 more than 256 prepared statements: deallocate some) Z(I)"));
}

static void malformed_messages_are_errors(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("rows 1", 6)), FM_OK);
    expect(f, "E(08P01 invalid text message) Z(I)");
    fm_buf_put_str(&f->message, "x");
    send_now(f, FM_PG_BIND);
    send_now(f, FM_PG_SYNC);
    expect(f, "E(08P01 invalid Bind message) Z(I)");
    send_now(f, FM_PG_FUNCTION_CALL);
    send_now(f, FM_PG_SYNC);
    expect(f, "E(0A000 fast-path function calls are not supported) Z(I)");
    send_now(f, FM_PG_COPY_DATA);
    expect(f, "");
    assert_int_equal(pg_test_message(f->test, FM_PG_TERMINATE, fm_span(NULL, 0)), FM_CANCELLED);
}

static void long_results_are_sent_in_pieces(void **state)
{
    struct fixture *f = *state;

    query(f, "BEGIN", "C(BEGIN) Z(T)");
    assert_int_equal(pg_test_message(f->test, FM_PG_QUERY, fm_span("rows 1000", 10)), FM_OK);
    pg_test_trace(f->test, &f->trace);
    assert_non_null(strstr((const char *)f->trace.data, "D(1000,x) C(SELECT 1000) Z(T)"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(login_tells_what_clients_rely_on),
        TEST(nothing_goes_before_a_login),
        TEST(newer_protocols_are_told_what_there_is),
        TEST(simple_queries),
        TEST(transactions),
        TEST(savepoints),
        TEST(settings),
        TEST(settings_of_the_mesh),
        TEST(missing_parts_are_told),
        TEST(settings_are_bounded),
        TEST(copies),
        TEST(cursors),
        TEST(cursors_are_bounded),
        TEST(extended_queries),
        TEST(portals_are_suspended_and_go_on),
        TEST(statements_are_described),
        TEST(after_an_error_nothing_is_done_until_sync),
        TEST(prepared_statements),
        TEST(prepared_statements_are_bounded),
        TEST(malformed_messages_are_errors),
        TEST(long_results_are_sent_in_pieces),
    };

    return cmocka_run_group_tests_name("pg_session", tests, NULL, NULL);
}
