/* libfolkmoot: ask a data mesh, add to it, and check what it answered.
 *
 *     struct folkmoot *mesh;
 *     char error[FOLKMOOT_ERROR_MAX];
 *     struct folkmoot_options options = {.node = "127.0.0.1:7410", .identity = "me"};
 *     if (folkmoot_open(&options, &mesh, error) != FOLKMOOT_OK)
 *         errx(1, "%s", error);
 *     struct folkmoot_result *result;
 *     const char *sql = "select origin, count(*) from flights.delays group by origin";
 *     if (folkmoot_query(mesh, sql, strlen(sql), NULL, &result) != FOLKMOOT_OK)
 *         errx(1, "%s", folkmoot_error(mesh));
 *     while (folkmoot_result_next(result) == FOLKMOOT_OK && folkmoot_result_rows(result) != 0)
 *         for (uint32_t row = 0; row < folkmoot_result_rows(result); row++)
 *             ...folkmoot_result_text(result, row, column, &text, &len)...
 *     folkmoot_result_free(result);
 *     folkmoot_close(mesh);
 *
 * An identity is a folder made by `folkmoot principal create`. Answers are verified against its
 * charter as they end, unless that is switched off.
 * Threads:   one thread at a time per handle and what came from it, which may be another thread
 *            each time; handles share nothing. The library starts threads of its own: a child of
 *            fork() lets all that it inherited be, and asks only after exec().
 * Ownership: what a function gives through a `const` pointer belongs to the object it came from and
 *            goes with it, or sooner where it says so. Texts and options are copied. `out` belongs
 *            to the caller, who frees results and appends before the handle.
 * Errors:    every function that can fail returns a status; folkmoot_error() has the text of the
 *            last failure of a handle. Outputs are written only with FOLKMOOT_OK. */
#ifndef FOLKMOOT_H
#define FOLKMOOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOLKMOOT_ERROR_MAX 1024

/* Numbers never change. */
enum folkmoot_status {
    FOLKMOOT_OK = 0,
    FOLKMOOT_NOMEM = 1,
    FOLKMOOT_LIMIT = 2,
    FOLKMOOT_MALFORMED = 3,
    FOLKMOOT_CORRUPT = 4,
    FOLKMOOT_NOTFOUND = 5,
    FOLKMOOT_IO = 6,
    FOLKMOOT_INVALID = 7,
    FOLKMOOT_REFUSED = 8,
    FOLKMOOT_UNAVAILABLE = 9,
    FOLKMOOT_TIMEOUT = 10,
    FOLKMOOT_CONFLICT = 11,
    FOLKMOOT_BUSY = 12,
    FOLKMOOT_CANCELLED = 13,
    FOLKMOOT_UNSUPPORTED = 14,
    FOLKMOOT_FORGED = 15,
    FOLKMOOT_USAGE = 16,
    FOLKMOOT_INTERNAL = 17,
};

const char *folkmoot_status_text(enum folkmoot_status status);

/* ---- A connection to one node -------------------------------------------------------------- */

struct folkmoot;

struct folkmoot_options {
    const char *node;       /* "host:port", "[v6]:port". Borrowed for the call, as all texts. */
    const char *identity;   /* Folder with charter, certificate and keys of a principal. */
    const char *passphrase; /* Of the key file; NULL: it is not encrypted. */
    uint32_t timeout_ms;    /* For connecting and for each call; 0: 60,000. */
};

/* UNAVAILABLE: nobody answers there. FORGED: the node has no certificate of the identity's mesh.
 * REFUSED: the node or the key file's mode says no. `error` has FOLKMOOT_ERROR_MAX bytes or is
 * NULL. */
enum folkmoot_status folkmoot_open(const struct folkmoot_options *options, struct folkmoot **out,
                                   char *error);
/* Close and release; results and appends of the handle must have been freed. NULL is fine. */
void folkmoot_close(struct folkmoot *handle);
/* Text of the last failure, empty when there was none. */
const char *folkmoot_error(const struct folkmoot *handle);

/* ---- Answers that were shown to hold ------------------------------------------------------- */

struct folkmoot_answer;

struct folkmoot_answer_info {
    const char *principal; /* Who asked. */
    const char *sql;       /* What; NUL-terminated. */
    const char *mesh;      /* The charter's name. */
    const char *mesh_id;   /* 64 hex digits. */
    const char *query_id;  /* 32 hex digits. */
    const char *node_id;   /* The node asked; 32 hex digits. */
    const char *node_name;
    int64_t time_us; /* When it answered, since 1970. */
    uint64_t rows;
    uint64_t bytes;
    uint64_t batches;
    int is_complete; /* 0: the asker allowed parts to be missing, and some are. */
    uint32_t receipt_count;
    uint32_t missing_count; /* Parts that are not there, or not whole. */
    uint32_t own_count;     /* Parts that are the word of the node asked, and of nobody else. */
};

struct folkmoot_own_info { /* One of them: a table of the domain `mesh`, as that node has it. */
    const char *table;
    uint64_t rows;
    const char *root; /* Over its batches; 64 hex digits. */
};

struct folkmoot_missing_info { /* One of them, as the node asked says. */
    const char *domain;
    const char *node_id;
    const char *node_name;
    const char *state;  /* "unreachable", "refused", "cut off". */
    const char *reason; /* For people. */
    uint64_t rows;      /* Of one that was cut off: that came and are in the answer; its owner has
                           not signed for them. */
};

struct folkmoot_receipt_info { /* One part of the answer, signed by the owner of the data. */
    const char *domain;
    const char *node_id;
    const char *node_name;
    uint64_t rows;
    uint64_t bytes;
    int64_t time_us;
    uint32_t head_count; /* One per table read. */
};

struct folkmoot_head_info { /* The state of a table's log that was read. */
    const char *origin;     /* "folkmoot/<mesh>/<domain>/<table>/<epoch>" */
    const char *root;       /* Merkle root; 64 hex digits. */
    uint64_t size;          /* Facts in the log. */
    int64_t time_us;
};

void folkmoot_answer_info(const struct folkmoot_answer *answer, struct folkmoot_answer_info *out);
/* INVALID: there is no such receipt or head. */
enum folkmoot_status folkmoot_answer_receipt(const struct folkmoot_answer *answer, uint32_t i,
                                             struct folkmoot_receipt_info *out);
enum folkmoot_status folkmoot_answer_head(const struct folkmoot_answer *answer, uint32_t i,
                                          uint32_t table, struct folkmoot_head_info *out);
enum folkmoot_status folkmoot_answer_missing(const struct folkmoot_answer *answer, uint32_t i,
                                             struct folkmoot_missing_info *out);
enum folkmoot_status folkmoot_answer_own(const struct folkmoot_answer *answer, uint32_t i,
                                         struct folkmoot_own_info *out);
void folkmoot_answer_free(struct folkmoot_answer *answer);

/* Check an answer saved by folkmoot_query() against the charter in the file `charter`. Opens no
 * socket. FORGED: `error` says what does not hold. MALFORMED: not a whole answer file. */
enum folkmoot_status folkmoot_verify(const char *path, const char *charter,
                                     struct folkmoot_answer **out, char *error);

/* ---- Asking -------------------------------------------------------------------------------- */

struct folkmoot_result;

struct folkmoot_query_options {
    uint32_t timeout_ms;   /* The query's; 0: the session's setting, else the handle's. */
    uint64_t rows_max;     /* Fail with LIMIT past this; 0: none. */
    const char *save;      /* Write the answer and its proofs to this file; NULL: do not. */
    int skip_verification; /* 1: take the rows as they come. */
    const char *without;   /* Rules that the planner leaves out, with commas between them ("push,
                              reduce" without the space); NULL: as the session is set, to none at
                              first. INVALID: an unknown one. */
    int skip_unavailable;  /* 1: go on without owners that cannot be had; the answer says which. -1:
                             fail without them. 0: as the session is set, which is to fail. */
    int allow_partial_aggregates; /* 1: also where rows that are missing change other rows. -1: not
                                     there. 0: as the session is set, which is not. */
    const char *at_heads; /* A saved answer: each table is read as it was there. NULL: as it is, or
                             as the session is set. */
    int with_fragments;   /* 1: save also what the owners sent to be merged, so that the merge can
                             be done again. LIMIT: more than the node keeps for that. */
};

/* A handle is a session: SET name = value, SHOW name or ALL and RESET name or ALL (docs/sql.md)
 * read and change its settings, which become part of each later request of this handle. These
 * statements are carried out here and no node is asked, so there is no answer to verify or save;
 * SET and RESET have no columns.
 * `options` may be NULL. INVALID: the text is not one SELECT, or the engine's complaint about it.
 * NOTFOUND: a table that is not there or may not be seen. UNAVAILABLE: an owner is not reachable;
 * the text names domain and node. */
enum folkmoot_status folkmoot_query(struct folkmoot *handle, const char *sql, size_t sql_len,
                                    const struct folkmoot_query_options *options,
                                    struct folkmoot_result **out);
void folkmoot_result_free(struct folkmoot_result *result); /* Cancels what still runs. */

uint32_t folkmoot_result_column_count(const struct folkmoot_result *result);
const char *folkmoot_result_column_name(const struct folkmoot_result *result, uint32_t column);
const char *folkmoot_result_column_type(const struct folkmoot_result *result, uint32_t column);
/* 1 for numbers, which tables align to the right. */
int folkmoot_result_column_is_number(const struct folkmoot_result *result, uint32_t column);

/* The next batch of rows; folkmoot_result_rows() is 0 at the end. Then, and only then, the answer
 * has been verified and saved: FORGED here means that rows seen before must not be used. */
enum folkmoot_status folkmoot_result_next(struct folkmoot_result *result);
uint32_t folkmoot_result_rows(const struct folkmoot_result *result);
/* The batch as it came (docs/wire.md, "Batch"), valid until the next one. */
const uint8_t *folkmoot_result_batch(const struct folkmoot_result *result, size_t *len);

/* One value of the batch as text, valid until the next call for this result; `*text` is NULL for
 * NULL, else NUL-terminated (it may have a NUL inside: use `len`). Forms as PostgreSQL's. */
enum folkmoot_status folkmoot_result_text(struct folkmoot_result *result, uint32_t row,
                                          uint32_t column, const char **text, size_t *len);
/* The same as a JSON value. Integers beyond 2^53, decimals of more than 15 digits, NaN and
 * infinities are JSON strings. */
enum folkmoot_status folkmoot_result_json(struct folkmoot_result *result, uint32_t row,
                                          uint32_t column, const char **text, size_t *len);

/* After the end: what was shown (NULL without verification), and the bundle that shows it. */
const struct folkmoot_answer *folkmoot_result_answer(const struct folkmoot_result *result);
const uint8_t *folkmoot_result_bundle(const struct folkmoot_result *result, size_t *len);

/* ---- Adding rows --------------------------------------------------------------------------- */

struct folkmoot_append;

struct folkmoot_append_options {
    uint8_t producer[16];  /* Whose `sequence` it is; zeros: a random one. */
    uint64_t sequence;     /* Of this append, from 1. A repeated one is not done again. */
    int has_expected_size; /* 1: only if the log has exactly `expected_size` facts. */
    uint64_t expected_size;
    int in_memory; /* 1: answered before it is synced to disk, which follows within 100 ms. Until
                      then no query has the rows, and a crash may lose them, as a whole. */
};

struct folkmoot_ack {
    uint64_t first_sequence;
    uint64_t rows;
    uint64_t size;       /* Of the log, afterwards. */
    char root[65];       /* Its Merkle root. */
    int64_t recorded_us; /* Recorded time of the first row. */
    int is_durable;      /* 1: synced to disk; 0: in memory. */
};

/* `table` is "domain.table". `options` may be NULL. CONFLICT: another size than expected, which is
 * looked at again by the commit. */
enum folkmoot_status folkmoot_append_begin(struct folkmoot *handle, const char *table,
                                           const struct folkmoot_append_options *options,
                                           struct folkmoot_append **out);
/* The table's schema (docs/wire.md, "Schema"). */
const uint8_t *folkmoot_append_schema(const struct folkmoot_append *append, size_t *len);
/* 1: this (producer, sequence) was appended before; nothing is to be sent, commit tells of it. */
int folkmoot_append_is_done(const struct folkmoot_append *append);
/* Send a batch of the schema's columns in order. `bytes` must be aligned to 8. */
enum folkmoot_status folkmoot_append_batch(struct folkmoot_append *append, const uint8_t *bytes,
                                           size_t len);
/* Everything sent becomes visible at once, or nothing. When the reply is lost, asks whether it was
 * done. */
enum folkmoot_status folkmoot_append_commit(struct folkmoot_append *append,
                                            struct folkmoot_ack *out);
/* The same for several appends of one handle to tables of one domain, at most 16: all become
 * visible at once, or none. `out` has an acknowledgement for each. CONFLICT: some of them were done
 * before, but not all. */
enum folkmoot_status folkmoot_append_commit_all(struct folkmoot_append *const *appends,
                                                uint32_t count, struct folkmoot_ack *out);
/* Ends an append; what was not committed is dropped at the node. NULL is fine. */
void folkmoot_append_free(struct folkmoot_append *append);

#ifdef __cplusplus
}
#endif

#endif
