/* Between the files of a feed: feed.c fetches, reads and ends it, feed_open.c opens it.
 * Threads: what a function may be called from is said in feed.h; `lock` guards what it names. */
#ifndef FM_NODE_FEED_INTERNAL_H
#define FM_NODE_FEED_INTERNAL_H

#include "core/assert.h"
#include "node/feed.h"
#include "node/server.h"

#include <pthread.h>

/* What is known of a batch's bytes. */
struct feed_checked {
    struct fm_hash leaf;
    uint32_t rows;
};

struct feed_slot {
    struct fm_buf bytes;
    struct feed_checked checked; /* Of a batch that came. */
    enum fm_part_kind kind;
    enum fm_status status;
    struct fm_error failure;
    bool full;
};

struct fm_feed {
    struct fm_server *server;
    struct fm_request_id query;
    uint32_t number;
    struct fm_node_cert owner;
    struct fm_buf owner_cert;
    char domain[FM_NAME_MAX + 1];
    char address[280]; /* Of the owner's node. */
    fm_ms deadline;
    struct fm_stop *stop; /* The query's. */
    struct fm_spool *spool;
    struct fm_stop_hook hook;
    struct fm_stop ending; /* Fires with `stop`, and when the feed is freed. */
    bool is_local;
    bool asked;           /* The owner may have opened it. */
    struct fm_peer *peer; /* Opened over it: the ticket is bound to its session. */
    struct fm_buf ticket;
    struct fm_hash fragment_hash;
    struct fm_hash principal_hash;
    uint32_t table_count;
    struct fm_buf columns_bytes;
    struct fm_columns columns;
    const struct fm_type **types;
    const struct fm_dictionary **dictionaries;
    uint64_t rows_estimate;
    /* What came. */
    struct fm_tree tree;
    struct fm_hash leaf; /* Of the last batch. */
    uint64_t rows;
    uint64_t bytes;
    uint64_t read; /* Batches given to the user. */
    bool ended;
    bool stop_asked;
    enum fm_status failed; /* Sticky, and why: several readers may each ask once more. */
    struct fm_error failure;
    struct fm_buf receipt_bytes;
    struct fm_receipt receipt;
    /* Fetching ahead; `lock` guards what follows. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct feed_slot slots[FM_FEED_AHEAD];
    uint64_t next_fetch;
    uint64_t end_at;      /* Number at which the end came, UINT64_MAX before. */
    uint64_t last_number; /* The highest batch that came, and its size. */
    uint64_t last_bytes;
    fm_ms renew_at; /* When the owner hears from us though there is no room. */
    bool is_lost;   /* The owner cannot be reached any more. */
    bool stopping;
    uint32_t calls;     /* To the owner, at work now. */
    int64_t call_begun; /* When there were none. */
    int64_t call_us;
    int64_t waited_us; /* The reader's. */
    pthread_t threads[FM_FEED_THREADS];
    uint32_t thread_count;
};

static inline void feed_lock(struct fm_feed *feed)
{
    fm_assert(pthread_mutex_lock(&feed->lock) == 0);
}

static inline void feed_unlock(struct fm_feed *feed)
{
    fm_assert(pthread_mutex_unlock(&feed->lock) == 0);
}

static inline void feed_call_begins(struct fm_feed *feed)
{
    feed_lock(feed);
    if (feed->calls++ == 0)
        feed->call_begun = fm_ticks_us();
    feed_unlock(feed);
}

static inline void feed_call_ends(struct fm_feed *feed)
{
    feed_lock(feed);
    if (--feed->calls == 0)
        feed->call_us += fm_ticks_us() - feed->call_begun;
    feed_unlock(feed);
}

static inline enum fm_status feed_named(const struct fm_feed *feed, enum fm_status status,
                                        struct fm_error *err)
{
    return fm_wrap(err, status, "domain %s on node %s", feed->domain, feed->owner.name);
}

/* ---- feed_open.c: errors of all of them are still to be named -------------------------------- */

/* The owner's certificate and, unless it is this node, its address. */
FM_MUST_USE enum fm_status feed_find_owner(struct fm_feed *feed,
                                           const struct fm_feed_options *options,
                                           struct fm_error *err);
/* Seal the ticket and open the fragment, in this process or over a connection; what came with the
 * opening is in the first slots. */
FM_MUST_USE enum fm_status feed_open_local(struct fm_feed *feed,
                                           const struct fm_feed_options *options,
                                           struct fm_error *err);
FM_MUST_USE enum fm_status feed_open_at_owner(struct fm_feed *feed,
                                              const struct fm_feed_options *options,
                                              struct fm_error *err);
/* A connection to the owner that works, for one use. */
FM_MUST_USE enum fm_status feed_get_peer(struct fm_feed *feed, struct fm_peer **out,
                                         struct fm_error *err);
/* Tell the owner that nobody reads on; waits for no answer. */
void feed_cancel_at_owner(struct fm_feed *feed);
/* Any thread: it looks at what never changes. */
FM_MUST_USE enum fm_status feed_check_batch(const struct fm_feed *feed, uint64_t number,
                                            struct fm_span bytes, struct feed_checked *out,
                                            struct fm_error *err);

#endif
