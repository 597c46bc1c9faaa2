/* From SQL text to fragments: gate, resolve, plan (design.md section 4). The engine parses and
 * optimises in a worker; everything it answers is checked here.
 *
 *   text -> syntax tree (worker) -> exactly one SELECT of whitelisted nodes -> each base table
 *   looked up in the catalog -> tree with fm_scan(n) in their place -> optimised plan (worker) ->
 *   per slot the columns and predicates wanted -> where to work
 *
 * Where a scan of one table is the answer as it comes, no engine runs (FM_PLAN_LOOKUP). A query
 * whose tables all have one owner goes there whole (FM_PLAN_SHIP); a query without tables
 * and all others are merged here (FM_PLAN_MERGE), over one fragment per slot: scans, and parts of
 * the statement that an owner can run by itself (query/carve.h).
 *
 * Threads: one per plan. Ownership: fm_plan_deinit(). */
#ifndef FM_QUERY_PLAN_H
#define FM_QUERY_PLAN_H

#include "core/predicate.h"
#include "core/records.h"
#include "core/statistics.h"
#include "query/engine.h"

#include <string.h>

/* What decides where a fragment's work is done (core/records.h); shown by EXPLAIN. */
enum fm_plan_rule {
#define X(name, number, word) FM_RULE_##name = number,
    FM_RULE_MAP(X)
#undef X
};

struct fm_plan_options {
    uint64_t rules_off; /* Bit n: rule n is not used for this query. Unknown bits do nothing. */
    int64_t now_us;     /* What now() means, microseconds since 1970; 0: each owner's own clock. */
};

/* A slot of the merge: what one fragment brings. Either a scan of one table, or (`sql` not empty)
 * the rows of a statement that the owner runs. */
struct fm_plan_table {
    char domain[FM_NAME_MAX + 1]; /* SQL: of its first table, for messages. */
    char table[FM_NAME_MAX + 1];
    struct fm_at at;
    struct fm_node_id owner;
    struct fm_schema *schema;         /* Owned. SQL: of the statement's columns */
    uint64_t rows;                    /* Estimate, 0: unknown. */
    struct fm_statistics *statistics; /* Owned; of the table, or of the only one that `sql` reads.
                                         NULL: the owner told nothing. */
    uint64_t expected_rows;           /* That the fragment brings, 0: unknown, */
    uint64_t expected_bytes;          /* of so many bytes. */
    enum fm_plan_rule rule;
    const char *needed_by; /* Static words: what would give other rows if some of this slot's were
                              missing, and not only fewer. NULL: nothing would. */
    struct fm_buf sql;     /* Over domain.table names, as the owner's planner takes it. */
    bool is_own;           /* fm_domain_is_own(): its rows are the asked node's own, and nobody else
                    is asked for them. `owner` is that node. */
    bool names_made;       /* SQL: the columns are called c0, c1, .. here, not as they are. */
    uint32_t ref_count;    /* SQL: the tables it reads, each once. */
    struct fm_table_ref *refs; /* Owned. */
    uint64_t given; /* SQL: bit n: its owner is given all rows of slot n, a scan that nothing else
                       reads, with the statement. */
    uint32_t field_count; /* Fields wanted, rising positions in the schema; at least one. */
    uint32_t *fields;     /* Owned. */
    struct fm_predicate_list predicates;
    uint32_t
        enum_count; /* Fields whose dictionary may become an ENUM without changing the answer. */
    uint32_t *enum_fields; /* Owned; positions in the schema, rising. */
};

/* What a lookup gives: fields in the order of the answer, and how many rows. */
struct fm_plan_lookup {
    uint32_t field_count; /* 0: the statement is more than a scan. */
    uint32_t *fields;     /* Owned; positions in the schema, each once. */
    uint64_t row_limit;   /* 0: none. */
};

/* Columns of two slots that the engine's plan joins by being equal. A side that drops may bring
 * fewer rows: those without a partner on the other side are without effect on the answer. */
struct fm_plan_join {
    uint32_t slots[2];
    uint32_t fields[2]; /* Positions in the slots' schemas. */
    bool drops[2];
};

/* Slot `from` is read first; only rows with its keys are asked for in slot `to`. */
struct fm_plan_reduction {
    uint32_t from;
    uint32_t from_field;
    uint32_t to;
    uint32_t to_field;
};

/* Two tables that one owner can join, or group, or read for itself. */
static inline bool fm_plan_one_owner(const struct fm_plan_table *a, const struct fm_plan_table *b)
{
    return !a->is_own && !b->is_own && memcmp(&a->owner, &b->owner, sizeof a->owner) == 0;
}

enum fm_plan_kind { FM_PLAN_SHIP = 1, FM_PLAN_MERGE = 2, FM_PLAN_LOOKUP = 3 };

struct fm_plan {
    enum fm_plan_kind kind;
    uint32_t table_count; /* Slot n is tables[n]: one per occurrence of a base table, or a part. */
    struct fm_plan_table *tables;
    struct fm_buf sql; /* The statement over fm_scan(0).. for the merge (or for the owner's own
                             engine when it runs a shipped query). */
    struct fm_plan_lookup lookup;
    struct fm_buf shipped; /* SHIP: the statement as the owner gets it, names and AT kept. */
    bool is_timed;   /* It holds for its moment only: options->now_us, or when it was planned. */
    bool is_carved;  /* Some slot reads a statement. */
    bool streams;    /* Nothing but scans, filters, projections, limits: one thread is faster. */
    uint32_t rtt_us; /* Expected of a question and its answer, of the farthest owner. */
    uint32_t join_count;        /* <= FM_PLAN_JOINS_MAX. */
    struct fm_plan_join *joins; /* Owned. */
    uint32_t reduction_count;   /* <= FM_REDUCTIONS_MAX; no slot waits for itself, however far. */
    struct fm_plan_reduction *reductions; /* Owned. */
};

/* What the planner must know of the mesh; the node implements it from its registry. */
struct fm_catalog {
    void *context;
    /* The table's compiled schema (the caller frees it with fm_schema_free), its owner, and an
     * estimate of its rows. FM_NOTFOUND for absent and for not visible alike. */
    enum fm_status (*resolve)(void *context, const char *domain, const char *table,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows);
    /* What the owner says of the table (core/statistics.h), for the choice between ways to the same
     * rows: FM_NOTFOUND when it said nothing, which is as good as any answer. NULL: never. */
    enum fm_status (*statistics)(void *context, const char *domain, const char *table,
                                 const struct fm_node_id *owner, struct fm_statistics *out);
    /* Of a question to this node and its answer, in us. NULL: FM_PLAN_RTT_US. */
    uint32_t (*round_trip)(void *context, const struct fm_node_id *owner);
};

/* FM_INVALID: not one SELECT, a node or function that is not allowed, a parse or bind error (with
 * the engine's text and position); FM_NOTFOUND: "table flights.x does not exist or is not visible
 * to you"; FM_LIMIT: too long, too many tables. `sql` may say domain.table, a quoted form of it,
 * and AT. `options` may be NULL. */
FM_MUST_USE enum fm_status fm_plan_make(struct fm_worker *worker, struct fm_span sql,
                                        const struct fm_catalog *catalog,
                                        const struct fm_plan_options *options, struct fm_plan *out,
                                        struct fm_error *err);
/* For tests: the whole statement pushed (FM_RULE_PUSH) whether it pays or not. FM_NOTFOUND: it may
 * not be. */
FM_MUST_USE enum fm_status fm_plan_make_pushed(struct fm_worker *worker, struct fm_span sql,
                                               const struct fm_catalog *catalog,
                                               const struct fm_plan_options *options,
                                               struct fm_plan *out, struct fm_error *err);
/* Slots that are read before slot `n` is opened: bit k for slot k. */
uint64_t fm_plan_sources(const struct fm_plan *plan, uint32_t n);

void fm_plan_table_deinit(struct fm_plan_table *table);
void fm_plan_deinit(struct fm_plan *plan); /* A zeroed plan is fine. */
/* A plan of its own. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_plan_copy(const struct fm_plan *plan, struct fm_plan *out);
/* About the memory that it takes. */
size_t fm_plan_memory(const struct fm_plan *plan);

/* The statement that the owner of a carved slot gets, to an empty buffer: the columns wanted, and
 * the rows that pass those of `predicates` (may be NULL) that SQL text says exactly. FM_LIMIT: too
 * long to send. */
FM_MUST_USE enum fm_status fm_plan_part_sql(const struct fm_plan_table *table,
                                            const struct fm_predicate_list *predicates,
                                            struct fm_buf *out);

/* The plan as JSON, for the answer bundle and EXPLAIN: kind, and per fragment owner (hex), domain,
 * table, columns, predicates in words, SQL. `with_slots`: of a merge also what its statement reads,
 * for fm_replay_read(): per fragment "slot", an array of [name, type] of all columns of the slot,
 * and "supplied", the positions in it that the fragment brings, in its order. */
void fm_plan_print(const struct fm_plan *plan, bool with_slots, struct fm_buf *out);
/* What fragment `n` does, as SQL for people: a scan's columns and predicates, or its statement. */
void fm_plan_print_work(const struct fm_plan *plan, uint32_t n, struct fm_buf *out);
/* The word of what placed fragment `n`: that of its rule, or "own". */
const char *fm_plan_rule_text(const struct fm_plan *plan, uint32_t n);
/* About how many bytes of memory form a fragment brings; 0: not known. */
uint64_t fm_plan_bytes(const struct fm_plan_table *table);

#endif
