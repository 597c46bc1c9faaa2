/* The asked node's end of one fragment: opens it at its owner (here or elsewhere), pulls batches
 * ahead of need, checks each one, and at the end checks the owner's receipt against what came.
 * Threads: one user; remote feeds fetch on FM_FEED_THREADS of their own. Once `stop` has fired
 * every call fails soon with FM_CANCELLED. */
#ifndef FM_NODE_FEED_H
#define FM_NODE_FEED_H

#include "core/records.h"
#include "core/time.h"

struct fm_server;
struct fm_feed;

#define FM_FEED_THREADS 2u
#define FM_FEED_AHEAD 6u /* Batches fetched and not yet read; below FM_FETCH_WINDOW. */

struct fm_feed_options {
    struct fm_request_id query;
    uint32_t number;
    struct fm_node_id owner;
    const char *domain; /* For messages. */
    const struct fm_fragment *fragment;
    struct fm_span request;        /* The principal's envelope. */
    struct fm_span principal_cert; /* Its certificate's envelope. */
    const struct fm_principal_cert *principal;
    struct fm_hash sql_hash;
    const uint8_t *trace; /* 16 bytes. */
    fm_ms deadline;
    fm_ms wait_ms;        /* That the owner may let it wait for a place; 0: not at all. */
    struct fm_stop *stop; /* Cuts every wait short; outlives the feed. */
    struct fm_spool
        *spool; /* Gets each batch that the receipt will be for; NULL: none. Borrowed. */
};

/* Errors name domain and node: FM_UNAVAILABLE when it cannot be reached, FM_BUSY when it has no
 * place. */
FM_MUST_USE enum fm_status fm_feed_open(struct fm_server *server,
                                        const struct fm_feed_options *options, struct fm_feed **out,
                                        struct fm_error *err);
/* Cancels at the owner what is not finished, without waiting for it. */
void fm_feed_free(struct fm_feed *feed);
FM_DEFINE_FREEP(fm_feed_freep, struct fm_feed, fm_feed_free)

const char *fm_feed_owner_name(const struct fm_feed *feed); /* Of the owner's node. */
const struct fm_columns *fm_feed_columns(const struct fm_feed *feed);
uint64_t fm_feed_rows_estimate(const struct fm_feed *feed);

/* Append the next checked batch to an empty buffer; FM_NOTFOUND: all came, and the receipt
 * holds. */
FM_MUST_USE enum fm_status fm_feed_next(struct fm_feed *feed, struct fm_buf *batch,
                                        struct fm_error *err);
const struct fm_hash *fm_feed_leaf(const struct fm_feed *feed); /* Of the batch given last. */
/* Stop reading: the owner is asked for a receipt over what it handed out. FM_OK also after the
 * end. */
FM_MUST_USE enum fm_status fm_feed_stop(struct fm_feed *feed, struct fm_error *err);

/* After the end. Spans live as long as the feed. */
struct fm_span fm_feed_ticket(const struct fm_feed *feed);
struct fm_span fm_feed_receipt(const struct fm_feed *feed);
struct fm_span fm_feed_columns_bytes(const struct fm_feed *feed); /* As the receipt is for them. */
struct fm_span fm_feed_owner_cert(const struct fm_feed *feed);
const struct fm_receipt *fm_feed_receipt_parsed(const struct fm_feed *feed);
uint64_t fm_feed_rows(const struct fm_feed *feed); /* That came so far. */
/* Time in calls to the owner, those at once counted once; and time in fm_feed_next(). */
int64_t fm_feed_call_us(const struct fm_feed *feed);
int64_t fm_feed_waited_us(const struct fm_feed *feed);

#endif
