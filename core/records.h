/* What is signed around a query: the principal's request, the asked node's ticket for an owner, the
 * owner's receipt, the asked node's answer; and the bundle that carries them to the client. Bodies
 * are strict msgpack maps inside envelopes (docs/wire.md gives each key, tests/vectors/records.txt
 * a vector each). `*_encode` writes a body; sealing it is envelope.h's; `*_decode` takes a body
 * whose envelope was verified.
 * Ownership: decoded structs borrow spans from the bytes they were decoded from. */
#ifndef FM_CORE_RECORDS_H
#define FM_CORE_RECORDS_H

#include "core/batch.h"
#include "core/cert.h"
#include "core/note.h"
#include "core/schema.h"

struct fm_request_id {
    uint8_t bytes[16];
};

/* Methods of the session protocol. X(NAME, number (never reused), first version, signed: the body
 * is a principal's REQUEST envelope whose kind is the method) */
#define FM_METHOD_MAP(X)                                                                           \
    X(PING, 1, 1, 0)                                                                               \
    X(QUERY_OPEN, 2, 1, 1)                                                                         \
    X(QUERY_FETCH, 3, 1, 0)                                                                        \
    X(QUERY_CANCEL, 4, 1, 0)                                                                       \
    X(FRAGMENT_OPEN, 5, 1, 0)                                                                      \
    X(FRAGMENT_FETCH, 6, 1, 0)                                                                     \
    X(FRAGMENT_CANCEL, 7, 1, 0)                                                                    \
    X(APPEND_BEGIN, 8, 1, 1)                                                                       \
    X(APPEND_ROWS, 9, 1, 0)                                                                        \
    X(APPEND_COMMIT, 10, 1, 1)                                                                     \
    X(APPEND_ABORT, 11, 1, 0)                                                                      \
    X(PRODUCT_APPLY, 12, 1, 1)                                                                     \
    X(PRODUCT_LIST, 13, 1, 1)                                                                      \
    X(PRODUCT_SHOW, 14, 1, 1)                                                                      \
    X(MEMBERS, 15, 1, 1)                                                                           \
    X(RECORD_GET, 16, 1, 0)                                                                        \
    X(RECORD_LIST, 17, 1, 0)                                                                       \
    X(PRODUCT_PLAN, 18, 1, 1)                                                                      \
    X(CHECKPOINT_MAKE, 19, 1, 1)                                                                   \
    X(CHECKPOINT_DROP, 20, 1, 1)                                                                   \
    X(PRODUCT_STATISTICS, 21, 1, 1)                                                                \
    X(ERASE_SUBJECT, 22, 1, 1)

enum fm_method {
#define X(name, number, version, is_signed) FM_METHOD_##name = number,
    FM_METHOD_MAP(X)
#undef X
};

const char *fm_method_text(enum fm_method method);

/* REQUEST body: 0 kind (a method), 1 request id, 2 audience (node id), 3 session hash, 4 time
 * (us), 5 time limit (ms), 6 trace id (bin 16), 7 body (bin), 8 the principal's token (str; only
 * where the audience signed it, core/asker.h). The session hash binds it to one connection: it
 * cannot be replayed in another. */
struct fm_request {
    enum fm_method kind;
    struct fm_request_id id;
    struct fm_node_id audience;
    struct fm_hash session;
    fm_us time;
    uint32_t limit_ms; /* 1..FM_QUERY_MS_MAX. */
    uint8_t trace[16];
    struct fm_span body;
    struct fm_span token; /* Empty: none. */
};

void fm_request_encode(struct fm_buf *out, const struct fm_request *request);
FM_MUST_USE enum fm_status fm_request_decode(struct fm_span body, struct fm_request *out);

/* The planner's rules, by which fragments get their place and form. X(NAME, bit (never reused),
 * word by which a user names it) */
#define FM_RULE_MAP(X)                                                                             \
    X(SHIP, 0, "ship")           /* All tables have one owner: the whole statement goes there. */  \
    X(SCAN, 1, "scan")           /* Columns and predicates of one table. Cannot be off. */         \
    X(SUBQUERY, 2, "subquery")   /* A part of the statement whose tables have one owner. */        \
    X(AGGREGATE, 3, "aggregate") /* Grouped at the owner, below a join. */                         \
    X(REDUCE, 4, "reduce")       /* Only rows with the keys that a smaller side has. */            \
    X(PUSH, 5, "push")           /* The statement, and other owners' small tables with it. */      \
    X(LOOKUP, 6, "lookup")       /* A scan is the answer: no engine runs. */

/* The word of a bit, NULL for unknown ones. */
const char *fm_rule_text(unsigned bit);
/* Words with commas between them ("subquery,reduce") as a mask. FM_INVALID: an unknown word, which
 * `err` names beside the known ones. */
FM_MUST_USE enum fm_status fm_rules_parse(struct fm_span words, uint64_t *mask,
                                          struct fm_error *err);

enum fm_on_unavailable { FM_UNAVAILABLE_FAIL = 0, FM_UNAVAILABLE_SKIP = 1 };

/* Body of a QUERY_OPEN request: 0 SQL (str), 1 rules left out (mask of FM_RULE_MAP's bits), 2 what
 * an owner that cannot be had means (1: go on without it), 3 also under aggregates (bool), 4 heads
 * that the tables are read at (array of signed notes), 5 what the fragments bring to a merge is
 * kept for the asker to fetch (bool). All but the first are optional; a default is not written. */
struct fm_query_body {
    struct fm_span sql;
    uint64_t rules_off;
    enum fm_on_unavailable on_unavailable;
    bool allows_partial_aggregates;            /* Only with FM_UNAVAILABLE_SKIP. */
    uint32_t head_count;                       /* 0: each table at its owner's last head. */
    struct fm_span heads[FM_QUERY_TABLES_MAX]; /* Borrowed. */
    bool with_fragments;
};

void fm_query_body_encode(struct fm_buf *out, const struct fm_query_body *body);
FM_MUST_USE enum fm_status fm_query_body_decode(struct fm_span bytes, struct fm_query_body *out);

/* The columns of a result or of a scan: array of [name (str), type (bin), dictionary (bin) or
 * nil]. */
struct fm_column {
    char name[FM_NAME_MAX * 4 + 1]; /* Result columns may have long names; cut at a character. */
    struct fm_type type;
    struct fm_dictionary dictionary; /* count 0: none. Views bytes that outlive the columns. */
    bool as_text; /* A slot of the engine only, not on the wire: codes of the dictionary are
                     carried, but the engine sees text and no ENUM. */
};

struct fm_columns {
    uint32_t count;
    struct fm_column *items;
    uint8_t *storage; /* Owned copy of the dictionaries' bytes. */
};

void fm_columns_encode(struct fm_buf *out, const struct fm_columns *columns);
FM_MUST_USE enum fm_status fm_columns_decode(struct fm_span bytes, struct fm_columns *out);
void fm_columns_deinit(struct fm_columns *columns);

/* Which past a table is read at. */
enum fm_at_kind { FM_AT_LATEST = 0, FM_AT_VERSION = 1, FM_AT_TIMESTAMP = 2 };
struct fm_at {
    enum fm_at_kind kind;
    int64_t value; /* Sequence number, or microseconds of recorded time. */
};

struct fm_table_ref {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    struct fm_hash schema; /* fm_schema_hash() of the schema that the plan was made with. */
    struct fm_at at;
};

enum fm_fragment_kind {
    FM_FRAGMENT_SCAN = 1, /* Columns and predicates of one table, no engine. */
    FM_FRAGMENT_SQL = 2,  /* A whole query over tables of one owner. */
};

/* Rows that an owner is given of a table that is not its own: the statement reads them under that
 * table's name. */
struct fm_given {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    struct fm_at at;
    struct fm_span columns; /* As fm_columns_encode() writes them, all of the table. Borrowed. */
    uint32_t field_count;   /* 1..FM_COLUMNS_MAX. */
    uint32_t *fields;       /* Owned; positions in `columns`, rising: those that the batch has. */
    struct fm_span batch;   /* Borrowed; empty: no row. */
};

/* Fragment: 0 kind, 1 tables (array of [domain, table, schema hash, at kind, at value]), 2 field
 * ids (array; scan), 3 predicates (bin; scan), 4 row limit (0: none), 5 SQL (str; sql), 6 tables
 * given along (array of [domain, table, at kind, at value, columns (bin), positions (array), batch
 * (bin)]; sql; absent: none), each once, of no domain of key 1. */
struct fm_fragment {
    enum fm_fragment_kind kind;
    uint32_t table_count;        /* 1..FM_QUERY_TABLES_MAX. */
    struct fm_table_ref *tables; /* Owned. */
    uint32_t field_count;
    uint32_t *fields;          /* Owned. */
    struct fm_span predicates; /* Borrowed; empty: none. */
    uint64_t row_limit;
    struct fm_span sql;     /* Borrowed. */
    uint32_t given_count;   /* <= FM_GIVEN_TABLES_MAX. */
    struct fm_given *given; /* Owned, with their fields. */
};

void fm_fragment_encode(struct fm_buf *out, const struct fm_fragment *fragment);
FM_MUST_USE enum fm_status fm_fragment_decode(struct fm_span bytes, struct fm_fragment *out);
void fm_fragment_deinit(struct fm_fragment *fragment);
/* A reference may name a table's whole history ("flights$facts"): the name of the table itself. */
void fm_table_base_name(const char *table, char out[FM_NAME_MAX + 1]);

/* TICKET body: 0 query id (= request id), 1 owner (node id), 2 asker (node id), 3 request envelope
 * (bin), 4 SHA-256 of the SQL, 5 fragment (bin), 6 fragment number, 7 row limit, 8 byte limit, 9
 * deadline (us, wall clock), 10 session hash, 11 trace id. */
struct fm_ticket {
    struct fm_request_id query;
    struct fm_node_id owner;
    struct fm_node_id asker;
    struct fm_span request; /* The principal's envelope, as received. */
    struct fm_hash sql_hash;
    struct fm_span fragment;
    uint32_t number; /* fm_ticket_slot(), and FM_QUERY_TABLES_MAX for each time that the query's
                        fragments were opened anew: a number is for one ticket. */
    uint64_t row_limit;
    uint64_t byte_limit;
    fm_us deadline;
    struct fm_hash session;
    uint8_t trace[16];
};

/* The fragment's place in the plan. */
static inline uint32_t fm_ticket_slot(const struct fm_ticket *ticket)
{
    return ticket->number % FM_QUERY_TABLES_MAX;
}

void fm_ticket_encode(struct fm_buf *out, const struct fm_ticket *ticket);
FM_MUST_USE enum fm_status fm_ticket_decode(struct fm_span body, struct fm_ticket *out);

/* RECEIPT body: 0 query id, 1 owner, 2 SHA-256 of the ticket's envelope, 3 SHA-256 of the
 * fragment, 4 SHA-256 of the principal's certificate envelope, 5 heads (array of bin, one per
 * table of the fragment), 6 schema hashes (array), 7 policy hash (bin 32; zeros: none), 8 rows, 9
 * bytes, 10 batches, 11 result root (tree over the batches' bytes, hash.h), 12 trace id, 13 time
 * (us), 14 SHA-256 of the encoded columns, 15 stopped (bool: the asker ended the fragment before
 * its last row; the receipt covers what was handed out), 32 time that the owner worked (us; absent:
 * not said). */
struct fm_receipt {
    struct fm_request_id query;
    struct fm_node_id owner;
    struct fm_hash ticket;
    struct fm_hash fragment;
    struct fm_hash principal;
    uint32_t table_count;
    struct fm_span heads[FM_QUERY_TABLES_MAX];
    struct fm_hash schemas[FM_QUERY_TABLES_MAX];
    struct fm_hash policy;
    uint64_t rows;
    uint64_t bytes;
    uint64_t batches;
    struct fm_hash root;
    uint8_t trace[16];
    fm_us time;
    struct fm_hash columns;
    bool stopped;
    int64_t work_us; /* 0: not said. */
};

void fm_receipt_encode(struct fm_buf *out, const struct fm_receipt *receipt);
FM_MUST_USE enum fm_status fm_receipt_decode(struct fm_span body, struct fm_receipt *out);

/* ANSWER body: 0 query id, 1 asked node, 2 SHA-256 of the request's envelope, 3 plan (str, JSON), 4
 * fragments (array of [domain, owner, SHA-256 of ticket, SHA-256 of receipt]), 5 columns (bin), 6
 * rows, 7 bytes, 8 batches, 9 result root, 10 completeness (1 complete, 2 partial), 11 time (us),
 * 12 trace id, 13 origin of the rows (1 merged here, 2 the only fragment's own batches), 14
 * fragments that are missing or not whole (array of [number, domain, owner, its name (str), state,
 * rows, why (str)]; only in a partial answer), 15 fragments that are the asked node's own word
 * (array of [number, table of the domain `mesh`, rows, tree root over its batches]; absent:
 * none). */
struct fm_answer_fragment {
    char domain[FM_NAME_MAX + 1];
    struct fm_node_id owner;
    struct fm_hash ticket;
    struct fm_hash receipt;
};

enum fm_completeness { FM_COMPLETE = 1, FM_PARTIAL = 2 };

/* How a fragment ended, in words: "complete", "unreachable", "refused", "cut off". */
enum fm_fragment_state {
    FM_FRAGMENT_COMPLETE = 1,
    FM_FRAGMENT_UNREACHABLE = 2, /* Its owner did not answer. */
    FM_FRAGMENT_REFUSED = 3,     /* It answered, but not with rows. */
    FM_FRAGMENT_CUT_OFF = 4,     /* Some rows came; no receipt covers them. */
};

const char *fm_fragment_state_text(enum fm_fragment_state state);

struct fm_answer_missing {
    uint32_t number; /* Of the fragment. */
    char domain[FM_NAME_MAX + 1];
    struct fm_node_id owner;
    char owner_name[FM_NAME_MAX + 1];
    enum fm_fragment_state state; /* Not complete. */
    uint64_t rows;                /* That came all the same; only of one that was cut off. */
    struct fm_span reason;        /* At most FM_REASON_BYTES_MAX. */
};
/* Rows that no receipt covers: the asked node made them, of what it knows and did. */
struct fm_answer_own {
    uint32_t number; /* Of the fragment. */
    char table[FM_NAME_MAX + 1];
    uint64_t rows;
    struct fm_hash root;
};
enum fm_rows_origin { FM_ROWS_MERGED = 1, FM_ROWS_OF_FRAGMENT = 2 };

struct fm_answer {
    struct fm_request_id query;
    struct fm_node_id node;
    struct fm_hash request;
    struct fm_span plan;
    uint32_t fragment_count;
    struct fm_answer_fragment fragments[FM_QUERY_TABLES_MAX];
    struct fm_span columns;
    uint64_t rows;
    uint64_t bytes;
    uint64_t batches;
    struct fm_hash root;
    enum fm_completeness completeness;
    fm_us time;
    uint8_t trace[16];
    enum fm_rows_origin origin;
    uint32_t missing_count; /* Not 0: it is partial. */
    struct fm_answer_missing missing[FM_QUERY_TABLES_MAX];
    uint32_t own_count; /* Not 0: the rows were merged. */
    struct fm_answer_own own[FM_QUERY_TABLES_MAX];
};

void fm_answer_encode(struct fm_buf *out, const struct fm_answer *answer);
FM_MUST_USE enum fm_status fm_answer_decode(struct fm_span body, struct fm_answer *out);

/* The bundle, not signed itself: 0 answer, 1 request, 2 principal certificate, 3 node certificates
 * (array), 4 tickets (array), 5 receipts (array), 6 the fragments' encoded columns (array; only
 * where what they brought is kept), in the answer's order; all envelopes as bin. */
struct fm_bundle {
    struct fm_span answer;
    struct fm_span request;
    struct fm_span principal_cert;
    uint32_t node_cert_count; /* <= FM_QUERY_TABLES_MAX + 1. */
    struct fm_span node_certs[FM_QUERY_TABLES_MAX + 1];
    uint32_t fragment_count;
    struct fm_span tickets[FM_QUERY_TABLES_MAX];
    struct fm_span receipts[FM_QUERY_TABLES_MAX];
    bool has_columns; /* Their batches can be had: they are those that the receipts are for. */
    struct fm_span columns[FM_QUERY_TABLES_MAX];
};

void fm_bundle_encode(struct fm_buf *out, const struct fm_bundle *bundle);
FM_MUST_USE enum fm_status fm_bundle_decode(struct fm_span bytes, struct fm_bundle *out);

/* Everything that can be checked about an answer without a network: the charter comes from the
 * user, never from the bundle. Checks certificates (valid at the receipts' and the answer's time),
 * the request's signature, each ticket (asked node's signature, same query, same request, same SQL
 * hash), each receipt (owner's signature, of that ticket, of that principal), each head (log key of
 * the owner's certificate, the table's own origin, not newer than the receipt beyond skew, the
 * owner really has the domain), the answer, and the result root over `batch_count` batches given by
 * their leaf hashes (fm_leaf_hash of each batch's bytes). FM_FORGED with what does not hold. */
struct fm_cert_cache;

struct fm_verify_input {
    const struct fm_charter *charter;
    struct fm_cert_cache *certs; /* Of that charter; NULL: each certificate is verified. */
    struct fm_span own_request;  /* Sealed by the caller itself; empty: another one asked. */
    struct fm_span bundle;
    const struct fm_hash *batches;
    uint64_t batch_count;
    uint64_t rows;  /* Counted over the batches. */
    uint64_t bytes; /* Summed over the batches. */
};

struct fm_verified { /* What was shown, for printing; fm_verified_deinit(). */
    struct fm_request request;
    struct fm_span sql;
    struct fm_query_body asked; /* The statement again, and how it was to be answered. */
    struct fm_principal_cert principal;
    struct fm_answer answer;
    struct fm_node_cert node;
    struct fm_receipt *receipts;           /* answer.fragment_count of them, owned, */
    uint32_t numbers[FM_QUERY_TABLES_MAX]; /* and their fragments' numbers. */
};

void fm_verified_deinit(struct fm_verified *verified);

FM_MUST_USE enum fm_status fm_verify_answer(const struct fm_verify_input *input,
                                            struct fm_verified *out, struct fm_error *err);

/* ---- The catalog's records that gossip carries --------------------------------------------- */

/* CONTRACT body: 0 domain, 1 product, 2 product version (str), 3 record version (uint), 4 schemas
 * (array of bin), 5 contract YAML as received (bin), 6 time (us), 7 epoch. Signed by the node's
 * signing key; the domain must be in its certificate with that epoch. */
struct fm_contract {
    char domain[FM_NAME_MAX + 1];
    char product[FM_NAME_MAX + 1];
    char product_version[FM_NAME_MAX + 1];
    uint64_t version;
    uint32_t table_count; /* 1..FM_TABLES_PER_PRODUCT_MAX. */
    struct fm_span schemas[FM_TABLES_PER_PRODUCT_MAX];
    struct fm_span yaml;
    fm_us time;
    uint32_t epoch;
};

void fm_contract_encode(struct fm_buf *out, const struct fm_contract *contract);
FM_MUST_USE enum fm_status fm_contract_decode(struct fm_span body, struct fm_contract *out);

/* MEMBER body: 0 node id, 1 incarnation, 2 address (str "host:port", IPv6 in brackets), 3 state (1
 * alive, 2 left), 4 SHA-256 of the node certificate's envelope, 5 time (us). Signed by the node
 * itself. */
enum fm_member_claim { FM_MEMBER_ALIVE = 1, FM_MEMBER_LEFT = 2 };

struct fm_member_record {
    struct fm_node_id node;
    uint64_t incarnation;
    char address[280];
    enum fm_member_claim claim;
    struct fm_hash cert;
    fm_us time;
};

void fm_member_record_encode(struct fm_buf *out, const struct fm_member_record *record);
FM_MUST_USE enum fm_status fm_member_record_decode(struct fm_span body,
                                                   struct fm_member_record *out);

/* ---- Messages inside a session ---------------------------------------------------------------
 * Call: 0 method, 1 request id, 2 body (bin). Reply: 0 status, 1 error text (only when status is
 * not 0), 2 body (bin, only when it is). */
struct fm_call {
    enum fm_method method;
    struct fm_request_id id;
    struct fm_span body;
};

struct fm_reply {
    enum fm_status status;
    struct fm_span error;
    struct fm_span body;
};

void fm_call_encode(struct fm_buf *out, const struct fm_call *call);
FM_MUST_USE enum fm_status fm_call_decode(struct fm_span bytes, struct fm_call *out);
void fm_reply_encode(struct fm_buf *out, const struct fm_reply *reply);
FM_MUST_USE enum fm_status fm_reply_decode(struct fm_span bytes, struct fm_reply *out);

/* Reply to QUERY_OPEN and FRAGMENT_OPEN: 0 columns (bin), 1 rows, estimated (fragments), 2 the
 * first batch (bin), 3 the end behind it or behind no batch at all (bin: for a query the bundle,
 * for a fragment the receipt's envelope). What was ready and small comes along so, and need not be
 * fetched; it can be, all the same. */
struct fm_opened {
    struct fm_span columns;
    bool has_rows;
    uint64_t rows;
    struct fm_span first; /* Empty: is fetched. */
    struct fm_span end;   /* Empty: is fetched. */
};

void fm_opened_encode(struct fm_buf *out, const struct fm_opened *opened);
FM_MUST_USE enum fm_status fm_opened_decode(struct fm_span bytes, struct fm_opened *out);

/* Fetch (QUERY_FETCH, FRAGMENT_FETCH): call body 0 query id, 1 fragment number (of a query: 0 its
 * rows, 1 what its fragments brought), 2 batch number, 3 offset. Reply body: 0 kind (1 part of a
 * batch, 2 part of the end: for a query the bundle, for a fragment the receipt's envelope), 1 total
 * bytes, 2 part (bin). A batch larger than a message is fetched in parts by offset. The batch after
 * the last one answers with kind 2. */
#define FM_FETCH_FRAGMENTS 1u

struct fm_fetch {
    struct fm_request_id query;
    uint32_t number;
    uint64_t batch;
    uint64_t offset;
};

enum fm_part_kind { FM_PART_BATCH = 1, FM_PART_END = 2 };

struct fm_part {
    enum fm_part_kind kind;
    uint64_t total;
    struct fm_span bytes;
};

void fm_fetch_encode(struct fm_buf *out, const struct fm_fetch *fetch);
FM_MUST_USE enum fm_status fm_fetch_decode(struct fm_span bytes, struct fm_fetch *out);
void fm_part_encode(struct fm_buf *out, const struct fm_part *part);
FM_MUST_USE enum fm_status fm_part_decode(struct fm_span bytes, struct fm_part *out);

/* Bodies of append calls (all node-checked again):
 * APPEND_BEGIN request body: 0 domain, 1 table, 2 schema hash, 3 producer id (bin 16), 4 producer
 *   sequence, 5 expected version (uint; absent: any), 6 durability asked for (2; absent: fsync).
 *   Reply: 0 append id (bin 16), 1 already done (bool: a repeated (producer, sequence)), 2
 *   acknowledgement (bin; when done).
 * APPEND_ROWS body: 0 append id, 1 number (from 0), 2 part offset, 3 total bytes, 4 part (bin).
 * APPEND_COMMIT request body: 0 append id, 1 batches, 2 rows, 3 tree root over the batches' bytes,
 *   4 array of bodies (bin, without a key 4) of other appends to the same domain, committed with it
 *   (absent: none). Reply: with key 4 {0 array of acknowledgements (bin), its own first}, else one
 *   acknowledgement: 0 first sequence, 1 rows, 2 log size, 3 root, 4 recorded at, 5
 *   durability (1 fsync, 2 memory), 6 head (bin). */
enum fm_durability { FM_DURABLE_FSYNC = 1, FM_DURABLE_MEMORY = 2 };

struct fm_append_begin {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    struct fm_hash schema;
    uint8_t producer[16];
    uint64_t producer_sequence;
    bool has_expected;
    uint64_t expected_version;
    enum fm_durability durability; /* Encoding: 0 is FM_DURABLE_FSYNC. */
};

struct fm_append_rows {
    uint8_t append[16];
    uint64_t number;
    uint64_t offset;
    uint64_t total;
    struct fm_span part;
};

struct fm_append_commit {
    uint8_t append[16];
    uint64_t batches;
    uint64_t rows;
    struct fm_hash root;
    uint32_t other_count;
    struct fm_span others[FM_APPEND_TABLES_MAX - 1]; /* Such bodies; they view the bytes decoded. */
};

struct fm_append_ack {
    uint64_t first_sequence;
    uint64_t rows;
    uint64_t size;
    struct fm_hash root;
    fm_us recorded_at;
    enum fm_durability durability;
    struct fm_span head;
};

void fm_append_begin_encode(struct fm_buf *out, const struct fm_append_begin *begin);
FM_MUST_USE enum fm_status fm_append_begin_decode(struct fm_span bytes,
                                                  struct fm_append_begin *out);
void fm_append_rows_encode(struct fm_buf *out, const struct fm_append_rows *rows);
FM_MUST_USE enum fm_status fm_append_rows_decode(struct fm_span bytes, struct fm_append_rows *out);
void fm_append_commit_encode(struct fm_buf *out, const struct fm_append_commit *commit);
FM_MUST_USE enum fm_status fm_append_commit_decode(struct fm_span bytes,
                                                   struct fm_append_commit *out);
void fm_append_ack_encode(struct fm_buf *out, const struct fm_append_ack *ack);
FM_MUST_USE enum fm_status fm_append_ack_decode(struct fm_span bytes, struct fm_append_ack *out);
/* 1 to FM_APPEND_TABLES_MAX encoded acknowledgements. FM_MALFORMED unless there are `count`. */
void fm_append_acks_encode(struct fm_buf *out, const struct fm_span *acks, uint32_t count);
FM_MUST_USE enum fm_status fm_append_acks_decode(struct fm_span bytes, uint32_t count,
                                                 struct fm_span *out);

#endif
