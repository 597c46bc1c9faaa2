#include "node/feed.h"

#include "core/assert.h"
#include "core/codec.h"
#include "node/fragment.h"
#include "node/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define CANCEL_MS 100 /* For room to send in; there is, where anybody reads. */

/* What is known of a batch's bytes. */
struct checked {
    struct fm_hash leaf;
    uint32_t rows;
};

struct slot {
    struct fm_buf bytes;
    struct checked checked; /* Of a batch that came. */
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
    struct slot slots[FM_FEED_AHEAD];
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

static void lock(struct fm_feed *feed)
{
    fm_assert(pthread_mutex_lock(&feed->lock) == 0);
}

static void unlock(struct fm_feed *feed)
{
    fm_assert(pthread_mutex_unlock(&feed->lock) == 0);
}

static void call_begins(struct fm_feed *feed)
{
    lock(feed);
    if (feed->calls++ == 0)
        feed->call_begun = fm_ticks_us();
    unlock(feed);
}

static void call_ends(struct fm_feed *feed)
{
    lock(feed);
    if (--feed->calls == 0)
        feed->call_us += fm_ticks_us() - feed->call_begun;
    unlock(feed);
}

static enum fm_status named(const struct fm_feed *feed, enum fm_status status, struct fm_error *err)
{
    return fm_wrap(err, status, "domain %s on node %s", feed->domain, feed->owner.name);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum fm_status seal_ticket(struct fm_feed *feed, const struct fm_feed_options *options,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf fragment = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    const struct fm_identity *identity = feed->server->identity;
    struct fm_key *key = identity->sign_key;
    struct fm_ticket ticket = {
        .query = options->query,
        .owner = options->owner,
        .asker = identity->node.node,
        .request = options->request,
        .sql_hash = options->sql_hash,
        .number = options->number,
        .deadline = fm_now_us() + (options->deadline - fm_now_ms()) * 1000,
    };

    fm_fragment_encode(&fragment, options->fragment);
    ticket.fragment = fm_buf_span(&fragment);
    fm_sha256_one(&feed->fragment_hash, ticket.fragment);
    memcpy(ticket.trace, options->trace, sizeof ticket.trace);
    if (!feed->is_local)
        memcpy(ticket.session.bytes, fm_connection_session_hash(fm_peer_connection(feed->peer)),
               FM_HASH_BYTES);
    fm_ticket_encode(&body, &ticket);
    enum fm_status status = fm_buf_status(&fragment);
    if (status == FM_OK)
        status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_TICKET, &identity->charter.mesh, fm_buf_span(&body), &key,
                                  1, &feed->ticket);
    if (status != FM_OK)
        return fm_fail(err, status, "make the ticket: %s",
                       status == FM_LIMIT ? "the query is too large" : fm_status_text(status));
    return FM_OK;
}

/* Any thread: looks at what never changes. */
static enum fm_status check_batch(const struct fm_feed *feed, uint64_t number, struct fm_span bytes,
                                  struct checked *out, struct fm_error *err)
{
    struct fm_batch batch;
    enum fm_status status =
        fm_batch_view(bytes, feed->types, feed->columns.count, feed->dictionaries, &batch);

    if (status != FM_OK)
        return fm_fail(err, status, "batch %llu is malformed or of other columns than announced",
                       (unsigned long long)number);
    fm_leaf_hash(&out->leaf, bytes);
    out->rows = batch.rows;
    return FM_OK;
}

static enum fm_status put_slot(struct fm_feed *feed, enum fm_part_kind kind, struct fm_span bytes,
                               struct fm_error *err)
{
    struct slot *slot = &feed->slots[feed->next_fetch % FM_FEED_AHEAD];

    fm_buf_put_span(&slot->bytes, bytes);
    slot->kind = kind;
    slot->full = true;
    if (kind == FM_PART_END)
        feed->end_at = feed->next_fetch;
    feed->next_fetch++;
    enum fm_status status = fm_buf_status(&slot->bytes);
    if (status != FM_OK)
        return fm_fail(err, status, "keep a batch");
    if (kind != FM_PART_BATCH)
        return FM_OK;
    return check_batch(feed, 0, fm_buf_span(&slot->bytes), &slot->checked, err); /* Aligned. */
}

/* What came with the opening is there as if it had been fetched; no thread runs yet. */
static enum fm_status take_first(struct fm_feed *feed, const struct fm_opened *opened,
                                 struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (opened->first.len != 0)
        status = put_slot(feed, FM_PART_BATCH, opened->first, err);
    feed->last_bytes = opened->first.len;
    if (status == FM_OK && opened->end.len != 0)
        status = put_slot(feed, FM_PART_END, opened->end, err);
    return status;
}

static enum fm_status take_opened(struct fm_feed *feed, struct fm_span reply, struct fm_error *err)
{
    struct fm_opened opened;

    enum fm_status status = fm_opened_decode(reply, &opened);
    if (status != FM_OK || !opened.has_rows)
        return fm_fail(err, FM_MALFORMED, "the owner's opening does not decode");
    feed->rows_estimate = opened.rows;
    fm_buf_put_span(&feed->columns_bytes, opened.columns);
    status = fm_buf_status(&feed->columns_bytes);
    if (status == FM_OK)
        status = fm_columns_decode(fm_buf_span(&feed->columns_bytes), &feed->columns);
    if (status != FM_OK)
        return fm_fail(err, status, "the owner's columns do not decode");
    feed->types = calloc(feed->columns.count + 1, sizeof *feed->types);
    feed->dictionaries = calloc(feed->columns.count + 1, sizeof *feed->dictionaries);
    if (feed->types == NULL || feed->dictionaries == NULL)
        return fm_fail(err, FM_NOMEM, "read a fragment");
    for (uint32_t i = 0; i < feed->columns.count; i++) {
        feed->types[i] = &feed->columns.items[i].type;
        if (feed->columns.items[i].dictionary.count != 0)
            feed->dictionaries[i] = &feed->columns.items[i].dictionary;
    }
    return take_first(feed, &opened, err);
}

static enum fm_status open_remote(struct fm_feed *feed, const struct fm_feed_options *options,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);

    fm_pack_map(&body, 3);
    fm_pack_key_bin(&body, 0, feed->ticket.data, feed->ticket.len);
    fm_pack_key_bin(&body, 1, options->principal_cert.data, options->principal_cert.len);
    fm_pack_key_uint(&body, 32, (uint64_t)options->wait_ms);
    enum fm_status status = fm_buf_status(&body);
    if (status != FM_OK)
        return fm_fail(err, status, "the query is too large for a message");
    feed->asked = true;
    status =
        fm_connection_call(fm_peer_connection(feed->peer), FM_METHOD_FRAGMENT_OPEN, &options->query,
                           fm_buf_span(&body), feed->deadline, &feed->ending, &reply, err);
    if (status != FM_OK)
        return status;
    return take_opened(feed, fm_buf_span(&reply), err);
}

static enum fm_status open_local(struct fm_feed *feed, const struct fm_feed_options *options,
                                 struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_fragment_ask ask = {
        .principal_cert = options->principal_cert,
        .asker = &feed->server->identity->node,
        .session = NULL,
        .wait_ms = options->wait_ms,
        .stop = &feed->ending,
    };

    enum fm_status status = seal_ticket(feed, options, err);
    if (status != FM_OK)
        return status;
    ask.ticket = fm_buf_span(&feed->ticket);
    feed->asked = true;
    status = fm_fragment_open(feed->server, &ask, &reply, err);
    if (status != FM_OK)
        return status;
    return take_opened(feed, fm_buf_span(&reply), err);
}

static enum fm_status find_owner(struct fm_feed *feed, const struct fm_feed_options *options,
                                 struct fm_error *err)
{
    struct fm_server *server = feed->server;

    feed->is_local =
        memcmp(&options->owner, &server->identity->node.node, sizeof options->owner) == 0;
    if (feed->is_local) { /* The bundle has one certificate of this node: the one in use. */
        feed->owner = server->identity->node;
        fm_buf_put_span(&feed->owner_cert, fm_buf_span(&server->identity->cert_bytes));
        return fm_buf_status(&feed->owner_cert);
    }
    if (fm_registry_cert(server->registry, &options->owner, &feed->owner, &feed->owner_cert) !=
        FM_OK)
        return fm_fail(err, FM_UNAVAILABLE,
                       "domain %s: no valid certificate of the node that owns it is known here",
                       options->domain);
    if (fm_membership_address(server->membership, &options->owner, feed->address, NULL) != FM_OK)
        return fm_fail(err, FM_UNAVAILABLE, "domain %s on node %s: the node is not in the mesh now",
                       options->domain, feed->owner.name);
    return FM_OK;
}

/* Sessions end and links break while a query runs: each use asks for one that works. */
static enum fm_status get_peer(struct fm_feed *feed, struct fm_peer **out, struct fm_error *err)
{
    fm_ms deadline = fm_now_ms() + FM_CONNECT_MS_MAX;

    if (deadline > feed->deadline)
        deadline = feed->deadline;
    return fm_peer_get(feed->server->peers, &feed->owner, feed->address, deadline, &feed->ending,
                       out, err);
}

static enum fm_status connect_and_open(struct fm_feed *feed, const struct fm_feed_options *options,
                                       struct fm_error *err)
{
    enum fm_status status = get_peer(feed, &feed->peer, err);

    if (status == FM_OK)
        status = seal_ticket(feed, options, err);
    return status == FM_OK ? open_remote(feed, options, err) : status;
}

static void cancel_at_owner(struct fm_feed *feed)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);
    FM_AUTO(fm_peer_releasep) struct fm_peer *peer = NULL;
    struct fm_error ignored = {0};

    if (feed->is_local) {
        fm_cursor_cancel(feed->server->cursors, FM_CURSOR_FRAGMENT, &feed->query, feed->number,
                         &feed->server->identity->node.sign_key);
        return;
    }
    fm_pack_map(&body, 2);
    fm_pack_key_bin(&body, 0, feed->query.bytes, sizeof feed->query.bytes);
    fm_pack_key_uint(&body, 1, feed->number);
    /* Best effort, and nobody waits for an owner that may be frozen. Where the connection is gone
     * the owner sees that, and where it sees nothing the fragment's lease ends. */
    enum fm_status status = fm_peer_find(feed->server->peers, &feed->owner, feed->address, &peer);
    if (status == FM_OK)
        status =
            fm_connection_tell(fm_peer_connection(peer), FM_METHOD_FRAGMENT_CANCEL, &feed->query,
                               fm_buf_span(&body), fm_now_ms() + CANCEL_MS, &ignored);
    if (status != FM_OK)
        fm_log(&feed->server->log, FM_LOG_DEBUG, "cancel failed", "domain", feed->domain, "reason",
               ignored.text, NULL);
}

/* A kept connection may be one to a node that has restarted since: once more over a new one. The
 * first opening may have got through, so it is cancelled. */
static enum fm_status open_at_owner(struct fm_feed *feed, const struct fm_feed_options *options,
                                    struct fm_error *err)
{
    enum fm_status status = connect_and_open(feed, options, err);

    if (status != FM_UNAVAILABLE || feed->peer == NULL)
        return status;
    fm_peer_release(FM_TAKE(feed->peer));
    fm_buf_clear(&feed->ticket);
    cancel_at_owner(feed);
    return connect_and_open(feed, options, err);
}

/* ---- Fetching ahead -------------------------------------------------------------------------- */

static enum fm_status fetch_once(struct fm_feed *feed, uint64_t number, enum fm_part_kind *kind,
                                 struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_peer_releasep) struct fm_peer *peer = NULL;
    enum fm_status status = get_peer(feed, &peer, err);

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
    call_begins(feed);
    enum fm_status status = fetch_once(feed, number, kind, out, err);

    if (status == FM_UNAVAILABLE) {
        lock(feed);
        bool stopping = feed->stopping;
        unlock(feed);
        if (!stopping)
            status = fetch_once(feed, number, kind, out, err);
    }
    call_ends(feed);
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
    enum fm_status status = get_peer(feed, &peer, &ignored);
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
        unlock(feed);
        renew_lease(feed, number, bytes);
        lock(feed);
    }
}

static void take_fetched(struct fm_feed *feed, uint64_t number, struct slot *slot)
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

    lock(feed);
    for (;;) {
        wait_for_room(feed);
        if (feed->stopping || feed->next_fetch > feed->end_at)
            break;
        uint64_t number = feed->next_fetch++;
        struct slot *slot = &feed->slots[number % FM_FEED_AHEAD];
        fm_assert(!slot->full);
        unlock(feed);
        slot->status = fetch(feed, number, &slot->kind, &slot->bytes, &slot->failure);
        if (slot->status == FM_OK && slot->kind == FM_PART_BATCH)
            slot->status = check_batch(feed, number, fm_buf_span(&slot->bytes), &slot->checked,
                                       &slot->failure);
        lock(feed);
        take_fetched(feed, number, slot);
    }
    unlock(feed);
    return NULL;
}

/* Whether the owner can be told of it. */
static bool set_stopping(struct fm_feed *feed)
{
    lock(feed);
    feed->stopping = true;
    bool is_lost = feed->is_lost;
    (void)pthread_cond_broadcast(&feed->changed);
    unlock(feed);
    return !is_lost;
}

static void stop_threads(struct fm_feed *feed)
{
    (void)set_stopping(feed); /* Nobody is told here. */
    while (feed->thread_count > 0)
        (void)pthread_join(feed->threads[--feed->thread_count], NULL); /* Joined once. */
}

/* Wait for slot of batch `number`; it is then the caller's until it is given back. */
static enum fm_status wait_for(struct fm_feed *feed, uint64_t number, struct slot **out,
                               struct fm_error *err)
{
    struct slot *slot = &feed->slots[number % FM_FEED_AHEAD];
    enum fm_status status = FM_OK;

    lock(feed);
    while (!slot->full && status == FM_OK) {
        wait_a_while(feed, 200);
        if (!slot->full && feed->stopping)
            status = fm_fail(err, FM_CANCELLED, "the query was cancelled");
        else if (!slot->full && fm_now_ms() > feed->deadline + 1000)
            status = fm_fail(err, FM_TIMEOUT, "no batch before the deadline");
    }
    unlock(feed);
    *out = slot;
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The batches are taken in order. */
static void take_batch(struct fm_feed *feed, const struct checked *checked, size_t bytes)
{
    feed->leaf = checked->leaf;
    fm_tree_append(&feed->tree, &checked->leaf);
    feed->rows += checked->rows;
    feed->bytes += bytes;
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
        fm_head_open(note, &grant->log_key, &head) != FM_OK)
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
        return named(feed, status, err);
    feed->ended = true;
    return FM_NOTFOUND;
}

static enum fm_status next_local(struct fm_feed *feed, uint64_t number, struct fm_buf *out,
                                 struct fm_error *err)
{
    struct fm_fetch fetch = {.query = feed->query, .number = feed->number, .batch = number};
    enum fm_part_kind kind;
    if (fm_stop_is_fired(&feed->ending))
        return named(feed, fm_fail(err, FM_CANCELLED, "the query was cancelled"), err);
    enum fm_status status = fm_cursor_take(feed->server->cursors, FM_CURSOR_FRAGMENT, &fetch,
                                           &feed->server->identity->node.sign_key, &kind, out, err);

    if (status == FM_NOTFOUND)
        status = FM_UNAVAILABLE; /* Cancelled or past its deadline; no end of the rows. */
    if (status != FM_OK)
        return named(feed, status, err);
    if (kind == FM_PART_BATCH) {
        struct checked checked;
        status = check_batch(feed, feed->tree.size, fm_buf_span(out), &checked, err);
        if (status == FM_OK)
            take_batch(feed, &checked, out->len);
        return status;
    }
    status = take_end(feed, fm_buf_span(out), err);
    fm_buf_clear(out);
    return status;
}

static enum fm_status next_remote(struct fm_feed *feed, struct fm_buf *out, struct fm_error *err)
{
    struct slot *slot;
    enum fm_status status = wait_for(feed, feed->read, &slot, err);

    if (status == FM_OK && slot->status != FM_OK) {
        if (err != NULL)
            *err = slot->failure;
        status = slot->status;
    }
    if (status != FM_OK)
        return named(feed, status, err);
    if (slot->kind == FM_PART_END)
        return take_end(feed, fm_buf_span(&slot->bytes), err);
    take_batch(feed, &slot->checked, slot->bytes.len);
    struct fm_buf emptied = *out; /* Hand the bytes over without a copy. */
    *out = slot->bytes;
    out->max = emptied.max;
    slot->bytes = emptied;
    slot->bytes.max = FM_BATCH_BYTES_MAX;
    lock(feed);
    slot->full = false;
    feed->read++;
    (void)pthread_cond_broadcast(&feed->changed);
    unlock(feed);
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
        struct slot *slot = &feed->slots[number % FM_FEED_AHEAD];
        fm_assert(slot->full); /* The threads have ended, each with what it began. */
        if (slot->status != FM_OK && err != NULL)
            *err = slot->failure;
        if (slot->status != FM_OK)
            return named(feed, slot->status, err);
        if (slot->kind == FM_PART_END)
            return take_end(feed, fm_buf_span(&slot->bytes), err);
        take_batch(feed, &slot->checked, slot->bytes.len);
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
        status =
            status == FM_OK ? take_end(feed, fm_buf_span(&end), err) : named(feed, status, err);
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static enum fm_status start_threads(struct fm_feed *feed, struct fm_error *err)
{
    while (!feed->is_local && feed->end_at == UINT64_MAX && feed->thread_count < FM_FEED_THREADS) {
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
    enum fm_status status = find_owner(feed, options, err);
    if (status != FM_OK)
        return status;
    call_begins(feed);
    status = feed->is_local ? open_local(feed, options, err) : open_at_owner(feed, options, err);
    call_ends(feed);
    if (status == FM_OK)
        status = start_threads(feed, err);
    if (status != FM_OK)
        return named(feed, status, err);
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
        cancel_at_owner(feed);
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
