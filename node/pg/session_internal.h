/* Between session.c, extended.c, portal.c and utility.c. Not for others. */
#ifndef FM_NODE_PG_SESSION_INTERNAL_H
#define FM_NODE_PG_SESSION_INTERNAL_H

#include "node/pg/copy.h"
#include "node/pg/session.h"
#include "node/pg/setting.h"
#include "node/pg/statement.h"
#include "node/pg/value.h"

#include <pthread.h>

#define PG_SEND_BYTES (64u << 10) /* Rows are sent when so much is there. */
#define PG_NAME_MAX FM_NAME_MAX

struct prepared {
    char name[PG_NAME_MAX + 1];
    struct fm_buf sql; /* One statement. */
    enum fm_pg_statement_kind kind;
    uint32_t parameter_count;
    uint32_t *oids; /* Owned; one per parameter, 0: open. */
};

/* A statement bound, or a cursor that DECLARE opened. */
struct portal {
    char name[PG_NAME_MAX + 1];
    bool is_cursor;
    bool is_kept; /* WITH HOLD: outlives its transaction. */
    enum fm_pg_statement_kind kind;
    struct fm_buf sql;
    uint32_t format_count;
    uint16_t *formats; /* Owned; of the result's columns. */
    void *query;       /* NULL: not begun, or over. */
    const struct fm_columns *columns;
    const struct fm_batch *batch;  /* The rows at hand, from */
    uint32_t row;                  /* this one on. */
    uint64_t rows;                 /* Given so far. */
    const struct fm_pg_copy *copy; /* NULL: its rows go as rows. Borrowed. */
    bool is_over;
    bool may_miss; /* Parts of the answer, by leave of the session's settings. */
};

struct fm_pg_session {
    const struct fm_pg_backend *backend;
    uint32_t process, secret;
    bool is_started, is_logged_in;
    char user[PG_NAME_MAX + 1];
    char database[PG_NAME_MAX + 1];
    struct fm_pg_settings settings;
    struct fm_buf out;
    char state;       /* 'I', 'T', 'E' */
    bool is_failed;   /* Messages up to the next Sync are passed over. */
    char sqlstate[6]; /* Of the error at hand; empty: by its status. */
    uint32_t savepoint_count;
    char savepoints[FM_PG_SAVEPOINTS_MAX][PG_NAME_MAX + 1];
    uint32_t prepared_count;
    struct prepared *prepared[FM_PG_STATEMENTS_MAX];
    uint32_t portal_count;
    struct portal *portals[FM_PG_PORTALS_MAX];
    pthread_mutex_t lock; /* Guards what another thread may cancel: */
    bool is_running;
    struct fm_request_id running;
};

/* Unless client_min_messages says that the client wants none of it. */
void pg_warn(struct fm_pg_session *session, const char *sqlstate, const char *text);
void pg_notice(struct fm_pg_session *session, const char *text);
/* ERROR with a state of its own; gives FM_INVALID. `format` as printf. */
enum fm_status pg_error(struct fm_pg_session *session, struct fm_error *err, const char *sqlstate,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Send what is out when it is much, or anyhow. FM_IO: the client has gone. */
enum fm_status pg_send(struct fm_pg_session *session, bool all);

/* An error of a statement: whatever block it stands in has failed. */
void pg_fail_statement(struct fm_pg_session *session, enum fm_status status,
                       const struct fm_error *err);
/* In a block that has failed nothing is run until it ends. */
enum fm_status pg_refuse_in_failed(struct fm_pg_session *session, struct fm_error *err);
void pg_put_select_complete(struct fm_pg_session *session, uint64_t rows);

/* ---- extended.c ------------------------------------------------------------------------------ */

/* Parse, Bind, Describe, Execute, Close, FunctionCall. */
enum fm_status extended_message(struct fm_pg_session *session, enum fm_pg_frontend type,
                                struct fm_span body);
/* Forget the statement of that name, all for NULL. Gives how many there were. */
uint32_t prepared_drop(struct fm_pg_session *session, const char *name);

/* ---- portal.c -------------------------------------------------------------------------------- */

struct portal *portal_find(struct fm_pg_session *session, const char *name);
/* A new one; an unnamed one in place of the one before. */
enum fm_status portal_new(struct fm_pg_session *session, const char *name, struct fm_span sql,
                          struct portal **out, struct fm_error *err);
void portal_close(struct fm_pg_session *session, struct portal *portal);
/* End its query and free what it holds, but not itself. */
void portal_end(struct fm_pg_session *session, struct portal *portal);
/* At the end of a transaction: all but cursors WITH HOLD; `all`: those too. */
void portals_close(struct fm_pg_session *session, bool all);
/* Begin its query, unless that has been done. */
enum fm_status portal_open(struct fm_pg_session *session, struct portal *portal,
                           struct fm_error *err);
/* RowDescription of an open portal. */
void portal_describe(struct fm_pg_session *session, const struct portal *portal);
/* Give at most `limit` rows (0: all); `shown`: to the client. */
enum fm_status portal_run(struct fm_pg_session *session, struct portal *portal, uint64_t limit,
                          bool shown, uint64_t *rows, struct fm_error *err);
/* In place of the id of a query in `statement` the heads that it read, of mesh.receipts. */
enum fm_status pg_find_heads(struct fm_pg_session *session, struct fm_settings_statement *statement,
                             struct fm_error *err);
/* COPY .. TO STDOUT. */
enum fm_status portal_copy(struct fm_pg_session *session, struct fm_span sql, struct fm_error *err);
/* RowDescription of columns. */
void pg_put_columns(struct fm_buf *out, const struct fm_columns *columns, const uint16_t *formats,
                    uint32_t format_count);

/* ---- utility.c ------------------------------------------------------------------------------- */

enum utility_mode {
    UTILITY_SIMPLE,   /* Columns, rows, tag. */
    UTILITY_DESCRIBE, /* Only what columns it gives. */
    UTILITY_EXECUTE,  /* Rows and tag. */
};

/* Answer a statement of a kind that is not the engine's. */
enum fm_status utility_run(struct fm_pg_session *session, enum fm_pg_statement_kind kind,
                           struct fm_span sql, enum utility_mode mode, struct fm_error *err);

#endif
