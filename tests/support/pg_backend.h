/* A session of a PostgreSQL client without a node: its queries are `rows N` (N rows of a number and
 * a text), `fail WORDS` and `slow`, and what it answers can be read as one line. For tests and
 * fuzzers. */
#ifndef FM_TESTS_SUPPORT_PG_BACKEND_H
#define FM_TESTS_SUPPORT_PG_BACKEND_H

#include "node/pg/session.h"

struct pg_test {
    struct fm_pg_backend backend;
    struct fm_pg_session *session;
    struct fm_buf sent; /* All that went to the client. */
    uint32_t open;      /* Queries now, */
    uint32_t opened;    /* and ever. */
    uint32_t missing;   /* Parts of each answer. */
    struct fm_buf last_sql;
    struct fm_query_body last_body;
    uint32_t last_limit_ms;
    uint64_t random;
};

/* Not yet logged in. The password is "secret", for any user. NULL: out of memory. */
struct pg_test *pg_test_new(void);
void pg_test_free(struct pg_test *test);

/* A message, as fm_pg_session_message(); what it left unsent is sent. */
enum fm_status pg_test_message(struct pg_test *test, enum fm_pg_frontend type, struct fm_span body);
/* Startup and password, as user ann. */
enum fm_status pg_test_login(struct pg_test *test);
/* What was sent since the last call, as a line to `out` with a NUL behind it: for each message its
 * type and, in parentheses, what matters of it: C(SELECT 2) E(42601 text) Z(I) D(1,one)
 * T(a:23,b:25) t(23) N(25001) S(name=value). False: the last one is cut off. */
bool pg_test_trace(struct pg_test *test, struct fm_buf *out);

#endif
