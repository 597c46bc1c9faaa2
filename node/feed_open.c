/* Opening a fragment at its owner: the ticket, the call, what came with the answer. */
#include "core/codec.h"
#include "node/feed_internal.h"
#include "node/fragment.h"

#define CANCEL_MS 100 /* For room to send in; there is, where anybody reads. */

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
enum fm_status feed_check_batch(const struct fm_feed *feed, uint64_t number, struct fm_span bytes,
                                struct feed_checked *out, struct fm_error *err)
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
    struct feed_slot *slot = &feed->slots[feed->next_fetch % FM_FEED_AHEAD];

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
    return feed_check_batch(feed, 0, fm_buf_span(&slot->bytes), &slot->checked, err); /* Aligned. */
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

enum fm_status feed_open_local(struct fm_feed *feed, const struct fm_feed_options *options,
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

enum fm_status feed_find_owner(struct fm_feed *feed, const struct fm_feed_options *options,
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
    if (fm_membership_address(server->membership, &options->owner, feed->address) != FM_OK)
        return fm_fail(err, FM_UNAVAILABLE, "domain %s on node %s: the node is not in the mesh now",
                       options->domain, feed->owner.name);
    return FM_OK;
}

/* Sessions end and links break while a query runs: each use asks for one that works. */
enum fm_status feed_get_peer(struct fm_feed *feed, struct fm_peer **out, struct fm_error *err)
{
    struct fm_server *server = feed->server;
    fm_ms deadline = fm_now_ms() + FM_CONNECT_MS_MAX;
    const struct fm_connect_options options = {
        .address = feed->address,
        .expected = &feed->owner,
        .deadline = deadline < feed->deadline ? deadline : feed->deadline,
        .stop = &feed->ending,
        .is_held_dead = fm_membership_is_dead(server->membership, &feed->owner.node),
    };

    return fm_peer_get(server->peers, &options, out, err);
}

static enum fm_status connect_and_open(struct fm_feed *feed, const struct fm_feed_options *options,
                                       struct fm_error *err)
{
    enum fm_status status = feed_get_peer(feed, &feed->peer, err);

    if (status == FM_OK)
        status = seal_ticket(feed, options, err);
    return status == FM_OK ? open_remote(feed, options, err) : status;
}

void feed_cancel_at_owner(struct fm_feed *feed)
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
enum fm_status feed_open_at_owner(struct fm_feed *feed, const struct fm_feed_options *options,
                                  struct fm_error *err)
{
    enum fm_status status = connect_and_open(feed, options, err);

    if (status != FM_UNAVAILABLE || feed->peer == NULL)
        return status;
    fm_peer_release(FM_TAKE(feed->peer));
    fm_buf_clear(&feed->ticket);
    feed_cancel_at_owner(feed);
    return connect_and_open(feed, options, err);
}
