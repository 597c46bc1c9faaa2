#include "core/codec.h"
#include "node/feed_internal.h"

#include <time.h>

/* ---- Fetching ahead -------------------------------------------------------------------------- */

static enum fm_status fetch_once(struct fm_feed *feed, uint64_t number, enum fm_part_kind *kind,
                                 struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_peer_releasep) struct fm_peer *peer = NULL;
    enum fm_status status = feed_get_peer(feed, &peer, err);

    fm_buf_clear(out);
    if (status == FM_OK)
        status = fm_connection_fetch(fm_peer_connection(peer), FM_METHOD_FRAGMENT_FETCH,
                                     &feed->query, feed->number, number, feed->deadline,
                                     &feed->ending, kind, out, err);
    return status;
}

/* One batch or the end. The owner keeps what it handed out for a while, so a fetch whose link broke
 * is repeated once. FM_NOTFOUND, which the owner says of a fragment that it does not know, never
 * gets out: to the reader it would mean that all rows came. */
static enum fm_status fetch(struct fm_feed *feed, uint64_t number, enum fm_part_kind *kind,
                            struct fm_buf *out, struct fm_error *err)
{
    feed_call_begins(feed);
    enum fm_status status = fetch_once(feed, number, kind, out, err);

    if (status == FM_UNAVAILABLE) {
        feed_lock(feed);
        bool stopping = feed->stopping;
        feed_unlock(feed);
        if (!stopping)
            status = fetch_once(feed, number, kind, out, err);
    }
    feed_call_ends(feed);
    return status == FM_NOTFOUND ? FM_UNAVAILABLE : status;
}

/* Wait until something changes, at most `ms`; the caller holds the lock. */
static void wait_a_while(struct fm_feed *feed, fm_ms ms)
{
    struct timespec until;
    fm_ms wake = fm_now_ms() + ms;

    until.tv_sec = wake / 1000;
    until.tv_nsec = (wake % 1000) * 1000000;
    (void)pthread_cond_timedwait(&feed->changed, &feed->lock, &until); /* The caller loops. */
}

/* The reader is busy elsewhere, and the owner would drop a fragment that nobody fetches from:
 * fetch the last byte of the last batch again. */
static void renew_lease(struct fm_feed *feed, uint64_t number, uint64_t bytes)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_peer_releasep) struct fm_peer *peer = NULL;
    struct fm_error ignored = {0};
    struct fm_fetch wanted = {
        .query = feed->query, .number = feed->number, .batch = number, .offset = bytes - 1};

    fm_fetch_encode(&body, &wanted);
    enum fm_status status = feed_get_peer(feed, &peer, &ignored);
    if (status == FM_OK)
        status = fm_connection_call(fm_peer_connection(peer), FM_METHOD_FRAGMENT_FETCH,
                                    &feed->query, fm_buf_span(&body),
                                    fm_now_ms() + FM_CONNECT_MS_MAX, &feed->ending, NULL, &ignored);
    (void)status; /* What is wrong shows at the next batch. */
}

/* Wait for room, while more is to come; the caller holds the lock. */
static void wait_for_room(struct fm_feed *feed)
{
    feed->renew_at = fm_now_ms() + FM_CURSOR_LEASE_MS / 3;
    while (!feed->stopping && feed->next_fetch <= feed->end_at &&
           feed->next_fetch >= feed->read + FM_FEED_AHEAD) {
        uint64_t number = feed->last_number, bytes = feed->last_bytes;
        wait_a_while(feed, FM_CURSOR_LEASE_MS / 3);
        if (fm_now_ms() < feed->renew_at || bytes == 0 || feed->stopping)
            continue;
        feed->renew_at = fm_now_ms() + FM_CURSOR_LEASE_MS / 3; /* One thread does it. */
        feed_unlock(feed);
        renew_lease(feed, number, bytes);
        feed_lock(feed);
    }
}

static void take_fetched(struct fm_feed *feed, uint64_t number, struct feed_slot *slot)
{
    slot->full = true;
    if (slot->status == FM_OK && slot->kind == FM_PART_BATCH) {
        if (number >= feed->last_number) {
            feed->last_number = number;
            feed->last_bytes = slot->bytes.len;
        }
    } else if (number < feed->end_at) {
        feed->end_at = number;
        feed->is_lost = slot->status == FM_UNAVAILABLE;
    }
    (void)pthread_cond_broadcast(&feed->changed);
}

static void *fetch_ahead(void *argument)
{
    struct fm_feed *feed = argument;

    feed_lock(feed);
    for (;;) {
        wait_for_room(feed);
        if (feed->stopping || feed->next_fetch > feed->end_at)
            break;
        uint64_t number = feed->next_fetch++;
        struct feed_slot *slot = &feed->slots[number % FM_FEED_AHEAD];
        fm_assert(!slot->full);
        feed_unlock(feed);
        slot->status = fetch(feed, number, &slot->kind, &slot->bytes, &slot->failure);
        if (slot->status == FM_OK && slot->kind == FM_PART_BATCH)
            slot->status = feed_check_batch(feed, number, fm_buf_span(&slot->bytes), &slot->checked,
                                            &slot->failure);
        feed_lock(feed);
        take_fetched(feed, number, slot);
    }
    feed_unlock(feed);
    return NULL;
}

/* Whether the owner can be told of it. */
static bool set_stopping(struct fm_feed *feed)
{
    feed_lock(feed);
    feed->stopping = true;
    bool is_lost = feed->is_lost;
    (void)pthread_cond_broadcast(&feed->changed);
    feed_unlock(feed);
    return !is_lost;
}

static void stop_threads(struct fm_feed *feed)
{
    (void)set_stopping(feed); /* Nobody is told here. */
    while (feed->thread_count > 0)
        (void)pthread_join(feed->threads[--feed->thread_count], NULL); /* Joined once. */
}

/* Wait for slot of batch `number`; it is then the caller's until it is given back. */
static enum fm_status wait_for(struct fm_feed *feed, uint64_t number, struct feed_slot **out,
                               struct fm_error *err)
{
    struct feed_slot *slot = &feed->slots[number % FM_FEED_AHEAD];
    enum fm_status status = FM_OK;

    feed_lock(feed);
    while (!slot->full && status == FM_OK) {
        wait_a_while(feed, 200);
        if (!slot->full && feed->stopping)
            status = fm_fail(err, FM_CANCELLED, "the query was cancelled");
        else if (!slot->full && fm_now_ms() > feed->deadline + 1000)
            status = fm_fail(err, FM_TIMEOUT, "no batch before the deadline");
    }
    feed_unlock(feed);
    *out = slot;
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* A fragment that is opened anew has another number, but the same place. */
static uint32_t spool_list(const struct fm_feed *feed)
{
    return feed->number % FM_QUERY_TABLES_MAX;
}

/* The batches are taken in order: just those that the receipt must be for. */
static enum fm_status take_batch(struct fm_feed *feed, const struct feed_checked *checked,
                                 struct fm_span bytes, struct fm_error *err)
{
    feed->leaf = checked->leaf;
    fm_tree_append(&feed->tree, &checked->leaf);
    feed->rows += checked->rows;
    feed->bytes += bytes.len;
    return feed->spool == NULL ? FM_OK : fm_spool_add(feed->spool, spool_list(feed), bytes, err);
}

static enum fm_status check_head(const struct fm_feed *feed, struct fm_span note,
                                 struct fm_error *err)
{
    char origin[FM_ORIGIN_MAX], domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
    struct fm_mesh_id mesh;
    struct fm_head head;
    uint32_t epoch;

    if (fm_head_peek_origin(note, origin) != FM_OK ||
        fm_head_origin_parse(origin, &mesh, domain, table, &epoch) != FM_OK)
        return fm_fail(err, FM_FORGED, "the receipt's head is not one of this mesh");
    const struct fm_domain_grant *grant = fm_node_cert_domain(&feed->owner, domain);
    if (grant == NULL || grant->epoch != epoch ||
        memcmp(&mesh, &feed->server->identity->charter.mesh, sizeof mesh) != 0 ||
        fm_cert_cache_head(feed->server->certs, note, &grant->log_key, &head) != FM_OK)
        return fm_fail(err, FM_FORGED, "the head of %s.%s is not signed by its owner", domain,
                       table);
    return FM_OK;
}

static enum fm_status check_receipt(struct fm_feed *feed, struct fm_error *err)
{
    struct fm_envelope envelope;
    struct fm_receipt *receipt = &feed->receipt;
    struct fm_hash ticket, columns, root;
    enum fm_status status = fm_envelope_open(fm_buf_span(&feed->receipt_bytes), &envelope);

    if (status == FM_OK)
        status = fm_envelope_verify(&envelope, FM_ENV_RECEIPT,
                                    &feed->server->identity->charter.mesh, &feed->owner.sign_key);
    if (status == FM_OK)
        status = fm_receipt_decode(envelope.body, receipt);
    if (status != FM_OK)
        return fm_fail(err, status, "the receipt is not signed by the owner");
    fm_sha256_one(&ticket, fm_buf_span(&feed->ticket));
    fm_sha256_one(&columns, fm_buf_span(&feed->columns_bytes));
    fm_tree_root(&feed->tree, &root);
    if (memcmp(&receipt->query, &feed->query, sizeof receipt->query) != 0 ||
        memcmp(&receipt->owner, &feed->owner.node, sizeof receipt->owner) != 0 ||
        !fm_hash_equal(&receipt->ticket, &ticket) ||
        !fm_hash_equal(&receipt->fragment, &feed->fragment_hash) ||
        !fm_hash_equal(&receipt->principal, &feed->principal_hash) ||
        !fm_hash_equal(&receipt->columns, &columns) || receipt->table_count != feed->table_count)
        return fm_fail(err, FM_FORGED, "the receipt is for another ticket, fragment or principal");
    if (!fm_hash_equal(&receipt->root, &root) || receipt->rows != feed->rows ||
        receipt->bytes != feed->bytes || receipt->batches != feed->tree.size)
        return fm_fail(err, FM_FORGED,
                       "the receipt does not match the batches that came (%llu rows, %llu signed)",
                       (unsigned long long)feed->rows, (unsigned long long)receipt->rows);
    if (receipt->stopped && !feed->stop_asked)
        return fm_fail(err, FM_FORGED, "the owner ended before its last row, which nobody asked");
    for (uint32_t i = 0; i < receipt->table_count && status == FM_OK; i++)
        status = check_head(feed, receipt->heads[i], err);
    return status;
}

static enum fm_status take_end(struct fm_feed *feed, struct fm_span bytes, struct fm_error *err)
{
    fm_buf_put_span(&feed->receipt_bytes, bytes);
    enum fm_status status = fm_buf_status(&feed->receipt_bytes);
    if (status == FM_OK)
        status = check_receipt(feed, err);
    if (status != FM_OK)
        return feed_named(feed, status, err);
    feed->ended = true;
    return FM_NOTFOUND;
}

static enum fm_status next_local(struct fm_feed *feed, uint64_t number, struct fm_buf *out,
                                 struct fm_error *err)
{
    struct fm_fetch fetch = {.query = feed->query, .number = feed->number, .batch = number};
    enum fm_part_kind kind;
    if (fm_stop_is_fired(&feed->ending))
        return feed_named(feed, fm_fail(err, FM_CANCELLED, "the query was cancelled"), err);
    enum fm_status status = fm_cursor_take(feed->server->cursors, FM_CURSOR_FRAGMENT, &fetch,
                                           &feed->server->identity->node.sign_key, &kind, out, err);

    if (status == FM_NOTFOUND)
        status = FM_UNAVAILABLE; /* Cancelled or past its deadline; no end of the rows. */
    if (status != FM_OK)
        return feed_named(feed, status, err);
    if (kind == FM_PART_BATCH) {
        struct feed_checked checked;
        status = feed_check_batch(feed, feed->tree.size, fm_buf_span(out), &checked, err);
        return status == FM_OK ? take_batch(feed, &checked, fm_buf_span(out), err) : status;
    }
    status = take_end(feed, fm_buf_span(out), err);
    fm_buf_clear(out);
    return status;
}

static enum fm_status next_remote(struct fm_feed *feed, struct fm_buf *out, struct fm_error *err)
{
    struct feed_slot *slot;
    enum fm_status status = wait_for(feed, feed->read, &slot, err);

    if (status == FM_OK && slot->status != FM_OK) {
        if (err != NULL)
            *err = slot->failure;
        status = slot->status;
    }
    if (status != FM_OK)
        return feed_named(feed, status, err);
    if (slot->kind == FM_PART_END)
        return take_end(feed, fm_buf_span(&slot->bytes), err);
    status = take_batch(feed, &slot->checked, fm_buf_span(&slot->bytes), err);
    if (status != FM_OK)
        return status;
    struct fm_buf emptied = *out; /* Hand the bytes over without a copy. */
    *out = slot->bytes;
    out->max = emptied.max;
    slot->bytes = emptied;
    slot->bytes.max = FM_BATCH_BYTES_MAX;
    feed_lock(feed);
    slot->full = false;
    feed->read++;
    (void)pthread_cond_broadcast(&feed->changed);
    feed_unlock(feed);
    return FM_OK;
}

enum fm_status fm_feed_next(struct fm_feed *feed, struct fm_buf *batch, struct fm_error *err)
{
    if (feed->ended)
        return FM_NOTFOUND;
    if (feed->failed == FM_OK) {
        enum fm_status status = feed->is_local ? next_local(feed, feed->read, batch, &feed->failure)
                                               : next_remote(feed, batch, &feed->failure);
        if (status == FM_OK && feed->is_local)
            feed->read++;
        if (status == FM_OK || status == FM_NOTFOUND)
            return status;
        feed->failed = status;
    }
    if (err != NULL)
        *err = feed->failure;
    return feed->failed;
}

/* What was fetched but not read is hashed all the same: the owner's receipt covers it. */
static enum fm_status drain_fetched(struct fm_feed *feed, struct fm_error *err)
{
    for (uint64_t number = feed->read; number < feed->next_fetch; number++) {
        struct feed_slot *slot = &feed->slots[number % FM_FEED_AHEAD];
        fm_assert(slot->full); /* The threads have ended, each with what it began. */
        if (slot->status != FM_OK && err != NULL)
            *err = slot->failure;
        if (slot->status != FM_OK)
            return feed_named(feed, slot->status, err);
        if (slot->kind == FM_PART_END)
            return take_end(feed, fm_buf_span(&slot->bytes), err);
        enum fm_status status = take_batch(feed, &slot->checked, fm_buf_span(&slot->bytes), err);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

enum fm_status fm_feed_stop(struct fm_feed *feed, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf end = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    enum fm_part_kind kind = FM_PART_END;
    enum fm_status status;

    if (feed->ended)
        return FM_OK;
    if (feed->failed != FM_OK) {
        if (err != NULL)
            *err = feed->failure;
        return feed->failed;
    }
    if (feed->is_local) {
        feed->stop_asked = true;
        status = next_local(feed, FM_FETCH_STOP, &end, err);
        return status == FM_NOTFOUND ? FM_OK : status;
    }
    stop_threads(feed);
    status = drain_fetched(feed, err);
    if (status == FM_OK) {
        feed->stop_asked = true;
        status = fetch(feed, FM_FETCH_STOP, &kind, &end, err);
        if (status == FM_OK && kind != FM_PART_END)
            status = fm_fail(err, FM_MALFORMED, "the owner does not stop");
        status = status == FM_OK ? take_end(feed, fm_buf_span(&end), err)
                                 : feed_named(feed, status, err);
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static enum fm_status start_threads(struct fm_feed *feed, struct fm_error *err)
{
    if (feed->is_local || feed->end_at != UINT64_MAX) /* Asked before a thread may change it. */
        return FM_OK;
    while (feed->thread_count < FM_FEED_THREADS) {
        if (pthread_create(&feed->threads[feed->thread_count], NULL, fetch_ahead, feed) != 0)
            return fm_fail(err, FM_NOMEM, "start a thread");
        feed->thread_count++;
    }
    return FM_OK;
}

/* The query is to stop: its waits end. */
static void on_stop(void *context)
{
    struct fm_feed *feed = context;

    (void)set_stopping(feed); /* The owner is told by fm_feed_free(). */
    fm_stop_fire(&feed->ending);
    if (feed->is_local)
        fm_cursor_interrupt(feed->server->cursors, FM_CURSOR_FRAGMENT, &feed->query, feed->number,
                            &feed->server->identity->node.sign_key);
}

static struct fm_feed *feed_new(struct fm_server *server, const struct fm_feed_options *options)
{
    struct fm_feed *feed = calloc(1, sizeof *feed);
    pthread_condattr_t monotonic;

    if (feed == NULL)
        return NULL;
    fm_assert(pthread_mutex_init(&feed->lock, NULL) == 0);
    fm_assert(pthread_condattr_init(&monotonic) == 0);
    fm_assert(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    fm_assert(pthread_cond_init(&feed->changed, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    for (uint32_t i = 0; i < FM_FEED_AHEAD; i++)
        feed->slots[i].bytes.max = FM_BATCH_BYTES_MAX;
    feed->end_at = UINT64_MAX;
    feed->server = server;
    feed->query = options->query;
    feed->number = options->number;
    feed->deadline = options->deadline;
    feed->stop = options->stop;
    feed->spool = options->spool;
    if (feed->spool != NULL) /* An opening that found its owner busy may have left some. */
        fm_spool_forget(feed->spool, spool_list(feed));
    fm_stop_init(&feed->ending);
    fm_stop_hook(feed->stop, &feed->hook, on_stop, feed);
    feed->table_count = options->fragment->table_count;
    memcpy(feed->domain, options->domain, strlen(options->domain) + 1);
    fm_sha256_one(&feed->principal_hash, options->principal_cert);
    fm_tree_init(&feed->tree);
    return feed;
}

enum fm_status fm_feed_open(struct fm_server *server, const struct fm_feed_options *options,
                            struct fm_feed **out, struct fm_error *err)
{
    FM_AUTO(fm_feed_freep) struct fm_feed *feed = feed_new(server, options);

    if (feed == NULL)
        return fm_fail(err, FM_NOMEM, "ask domain %s", options->domain);
    enum fm_status status = feed_find_owner(feed, options, err);
    if (status != FM_OK)
        return status;
    feed_call_begins(feed);
    status = feed->is_local ? feed_open_local(feed, options, err)
                            : feed_open_at_owner(feed, options, err);
    feed_call_ends(feed);
    if (status == FM_OK)
        status = start_threads(feed, err);
    if (status != FM_OK)
        return feed_named(feed, status, err);
    *out = FM_TAKE(feed);
    return FM_OK;
}

void fm_feed_free(struct fm_feed *feed)
{
    if (feed == NULL)
        return;
    bool can_tell = set_stopping(feed);
    fm_stop_unhook(feed->stop, &feed->hook);
    fm_stop_fire(&feed->ending);
    /* A local cursor has no lease, it goes now. */
    if (feed->asked && (feed->is_local || (can_tell && !feed->ended)))
        feed_cancel_at_owner(feed);
    stop_threads(feed);
    for (uint32_t i = 0; i < FM_FEED_AHEAD; i++)
        fm_buf_free(&feed->slots[i].bytes);
    fm_peer_release(feed->peer);
    fm_columns_deinit(&feed->columns);
    free(feed->types);
    free(feed->dictionaries);
    fm_buf_free(&feed->owner_cert);
    fm_buf_free(&feed->ticket);
    fm_buf_free(&feed->columns_bytes);
    fm_buf_free(&feed->receipt_bytes);
    (void)pthread_cond_destroy(&feed->changed);
    (void)pthread_mutex_destroy(&feed->lock);
    fm_stop_deinit(&feed->ending);
    free(feed);
}

const struct fm_hash *fm_feed_leaf(const struct fm_feed *feed)
{
    return &feed->leaf;
}

const char *fm_feed_owner_name(const struct fm_feed *feed)
{
    return feed->owner.name;
}

const struct fm_columns *fm_feed_columns(const struct fm_feed *feed)
{
    return &feed->columns;
}

uint64_t fm_feed_rows_estimate(const struct fm_feed *feed)
{
    return feed->rows_estimate;
}

struct fm_span fm_feed_ticket(const struct fm_feed *feed)
{
    return fm_buf_span(&feed->ticket);
}

struct fm_span fm_feed_receipt(const struct fm_feed *feed)
{
    return fm_buf_span(&feed->receipt_bytes);
}

struct fm_span fm_feed_columns_bytes(const struct fm_feed *feed)
{
    return fm_buf_span(&feed->columns_bytes);
}

struct fm_span fm_feed_owner_cert(const struct fm_feed *feed)
{
    return fm_buf_span(&feed->owner_cert);
}

const struct fm_receipt *fm_feed_receipt_parsed(const struct fm_feed *feed)
{
    return &feed->receipt;
}

uint64_t fm_feed_rows(const struct fm_feed *feed)
{
    return feed->rows;
}

int64_t fm_feed_call_us(const struct fm_feed *feed)
{
    return feed->call_us;
}

int64_t fm_feed_waited_us(const struct fm_feed *feed)
{
    return feed->waited_us;
}
