/* A query at the asked node, between the calls of node/rpc/query.c: planned, its fragments opened,
 * merged, its answer signed.
 * Threads: one at a time, except fm_query_cancel(). Ownership: fm_query_free() ends all of it. */
#ifndef FM_NODE_QUERY_H
#define FM_NODE_QUERY_H

#include "core/rows.h"
#include "node/cursor.h"
#include "node/feed.h"
#include "node/kept.h"
#include "node/recode.h"
#include "node/server.h"
#include "node/views.h"
#include "query/explain.h"
#include "query/plan.h"

#define FM_QUERY_COLUMNS_BYTES_MAX (FM_PAYLOAD_BYTES_MAX / 2)

/* A fragment that did not end whole. */
struct fm_query_loss {
    enum fm_fragment_state state; /* 0: none. */
    uint64_t rows;                /* That came all the same. */
    char reason[FM_REASON_BYTES_MAX + 1];
};

struct fm_query_source { /* What a slot reads. */
    struct fm_query *query;
    uint32_t number;
};

struct fm_query {
    struct fm_server *server;
    struct fm_request_id id;
    uint8_t trace[16];
    uint8_t session[FM_HASH_BYTES]; /* That it came over. */
    fm_ms deadline;
    struct fm_buf request;        /* The principal's envelope. */
    struct fm_buf principal_cert; /* Its certificate's. */
    struct fm_principal_cert principal;
    struct fm_hash sql_hash;
    struct fm_plan_options plan_options;
    struct fm_plan plan;
    struct fm_buf plan_text;
    struct fm_buf columns;    /* As announced. */
    struct fm_columns result; /* FM_PLAN_MERGE: as the worker makes them. */
    struct fm_recode *recode;
    struct fm_worker *worker; /* FM_PLAN_MERGE, while it runs. */
    struct fm_stop stop;      /* Ends all waits of the query. */
    struct fm_place place;    /* For what it does now. */
    uint32_t numbers_from;    /* Of the fragments: that of slot 0. */
    uint32_t waits_at;        /* Fragment that may wait for a place, as nothing else is held. */
    struct fm_stop_hook worker_hook;
    uint32_t feed_count;
    struct fm_feed *feeds[FM_QUERY_TABLES_MAX]; /* NULL: not opened, or missing. */
    struct fm_kept kept[FM_QUERY_TABLES_MAX];   /* What the merge reads of each feed. */
    struct fm_query_source slots[FM_QUERY_TABLES_MAX];
    struct fm_batch_source sources[FM_QUERY_TABLES_MAX];
    struct fm_view_rows views[FM_QUERY_TABLES_MAX]; /* Of slots that are the node's own. */
    bool is_postgres;                               /* Its client's catalog is there too. */
    bool is_pinned;                                 /* Its request names heads. */
    bool is_recorded;                               /* In mesh.receipts. */
    bool is_counted;                                /* In the node's counters. */
    enum fm_on_unavailable on_unavailable;
    bool allows_partial_aggregates;
    bool with_fragments;    /* What they bring to a merge is kept: */
    struct fm_spool *spool; /* until the answer is signed; then fetching has it. */
    uint32_t limit_ms;      /* For fetching it as for the answer. */
    struct fm_query_loss losses[FM_QUERY_TABLES_MAX];
    bool push_failed;      /* To be planned without FM_RULE_PUSH. */
    enum fm_status failed; /* By a fragment: no end of rows may follow. */
    struct fm_error failure;
    uint64_t rows; /* FM_PLAN_LOOKUP: passed on so far. */
    enum fm_explain explain;
    struct fm_rows *explained;
    bool is_explained;
    uint64_t rows_made; /* What nobody gets of an EXPLAIN ANALYZE. */
    uint64_t bytes_made;
    int64_t made_us; /* In calls to the worker that merges; some of it waiting for fragments. */
};

/* The only fragment's rows are the answer as they come: nothing is merged. */
static inline bool fm_query_passes_on(const struct fm_query *query)
{
    return query->plan.kind != FM_PLAN_MERGE;
}

/* The fragment came to its end, or will: its receipt is, or will be, there. */
static inline bool fm_query_has(const struct fm_query *query, uint32_t number)
{
    return query->feeds[number] != NULL && query->losses[number].state == 0;
}

void fm_query_free(struct fm_query *query);
FM_DEFINE_FREEP(fm_query_freep, struct fm_query, fm_query_free)

/* Lend a worker and plan with the node's registry (node/query_plan.c). Errors as fm_plan_make(). */
FM_MUST_USE enum fm_status fm_query_plan(struct fm_query *query, struct fm_span sql,
                                         struct fm_error *err);

/* As if it had never been planned: the next plan is without FM_RULE_PUSH, and has to be made. */
void fm_query_forget_plan(struct fm_query *query);

/* Go on as what it turned out to be: its place for planning becomes one for merging, with a worker,
 * or one for passing on, without. May wait, and holds nothing meanwhile. */
FM_MUST_USE enum fm_status fm_query_admit(struct fm_query *query, struct fm_error *err);
/* Where its worker was lost, say whose that was: "node NAME: WHAT: ...". Returns `status`. */
enum fm_status fm_query_tell_lost(const struct fm_query *query, enum fm_status status,
                                  const char *what, struct fm_error *err);
/* Give the worker back, if there is one. */
void fm_query_end_worker(struct fm_query *query);

/* Open every fragment of the plan at its owner, all at once but for those that wait for the rows of
 * others; the first failure by slot is told (node/query_open.c). */
FM_MUST_USE enum fm_status fm_query_open_fragments(struct fm_query *query, struct fm_error *err);

/* Cancel and forget all fragments; they may be opened anew. */
void fm_query_close_fragments(struct fm_query *query);

/* Rows of other slots for the owner of one; fm_gifts_deinit(). */
struct fm_gifts {
    uint32_t count;
    struct fm_given given[FM_GIVEN_TABLES_MAX]; /* As a fragment has them, without owning them. */
    struct fm_buf columns[FM_GIVEN_TABLES_MAX];
    struct fm_buf batches[FM_GIVEN_TABLES_MAX];
};

/* What slot `slot` is given, of slots that were read ahead; to zeroed gifts. FM_LIMIT: it is too
 * much, and query->push_failed says so (node/query_give.c). */
FM_MUST_USE enum fm_status fm_query_give(struct fm_query *query, uint32_t slot,
                                         struct fm_gifts *out, struct fm_error *err);
void fm_gifts_deinit(struct fm_gifts *gifts);

/* The slot's conditions and, where it is reduced, those that its rows need to have partners among
 * the rows that other slots brought; these must have been read ahead. To a zeroed list
 * (node/query_reduce.c). */
FM_MUST_USE enum fm_status fm_query_reduce(const struct fm_query *query, uint32_t slot,
                                           struct fm_predicate_list *out, struct fm_error *err);

/* Fragment `number` failed with `status`, `err` says why. FM_OK: the query goes on without the rest
 * of it, which is noted; else what it fails with (node/query_loss.c). */
FM_MUST_USE enum fm_status fm_query_lose(struct fm_query *query, uint32_t number,
                                         enum fm_status status, struct fm_error *err);
/* FM_UNAVAILABLE: nothing of any fragment came, or will. */
FM_MUST_USE enum fm_status fm_query_check_losses(const struct fm_query *query,
                                                 struct fm_error *err);
void fm_query_list_losses(const struct fm_query *query, struct fm_answer *answer);
/* Sooner than the query's where it may go on without an owner. */
fm_ms fm_query_feed_deadline(const struct fm_query *query);
/* The name of a node, empty if it is not known. */
void fm_query_owner_name(const struct fm_query *query, const struct fm_node_id *node,
                         char out[FM_NAME_MAX + 1]);

/* Keep for mesh.receipts how the fragments went, unless that was done (node/query_record.c). */
void fm_query_record(struct fm_query *query);

/* Open the fragments and begin to make rows; `columns` are then announced
 * (node/query_merge.c). */
FM_MUST_USE enum fm_status fm_query_start(struct fm_query *query, struct fm_error *err);

/* The same for a query that is to be explained, and what comes in place of its rows
 * (node/query_explain.c). */
FM_MUST_USE enum fm_status fm_query_explain(struct fm_query *query, struct fm_error *err);
enum fm_status fm_query_explain_next(void *context, struct fm_buf *batch, struct fm_error *err);

/* Receipts of all fragments, also of those that were not read to their end. */
FM_MUST_USE enum fm_status fm_query_stop(struct fm_query *query, struct fm_error *err);

/* The producer's calls, for struct fm_producer; `context` is the query. */
enum fm_status fm_query_next(void *context, struct fm_buf *batch, struct fm_error *err);
const struct fm_hash *fm_query_leaf(void *context); /* NULL: the batch was made here. */
void fm_query_cancel(void *context);
/* Sign the answer and append the bundle (node/query_answer.c). */
enum fm_status fm_query_finish(void *context, const struct fm_cursor_totals *totals,
                               struct fm_buf *end, struct fm_error *err);

#endif
