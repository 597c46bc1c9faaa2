#include "node/peers.h"

#include "core/assert.h"

#include <pthread.h>

#define PEERS_KEPT_MAX 1024u

struct fm_peer {
    struct fm_peers *peers;
    struct fm_connection *connection;
    struct fm_node_id node;
    char address[280];
    uint32_t references; /* Guarded by peers->lock; the table's own one included. */
    bool kept;
};

struct fm_peers {
    const struct fm_identity *identity;
    pthread_mutex_t lock;
    uint32_t count;
    struct fm_peer *kept[PEERS_KEPT_MAX];
};

enum fm_status fm_peers_new(const struct fm_identity *identity, struct fm_peers **out)
{
    struct fm_peers *peers = calloc(1, sizeof *peers);

    if (peers == NULL)
        return FM_NOMEM;
    peers->identity = identity;
    if (pthread_mutex_init(&peers->lock, NULL) != 0) {
        free(peers);
        return FM_NOMEM;
    }
    *out = peers;
    return FM_OK;
}

static void peer_end(struct fm_peer *peer)
{
    fm_connection_free(peer->connection);
    free(peer);
}

void fm_peer_release(struct fm_peer *peer)
{
    if (peer == NULL)
        return;
    struct fm_peers *peers = peer->peers;
    fm_assert(pthread_mutex_lock(&peers->lock) == 0);
    fm_assert(peer->references > 0);
    bool last = --peer->references == 0;
    fm_assert(pthread_mutex_unlock(&peers->lock) == 0);
    if (last)
        peer_end(peer);
}

/* Take `peer` out of the table; the caller holds the lock. */
static void forget(struct fm_peers *peers, uint32_t i, struct fm_peer **ended)
{
    struct fm_peer *peer = peers->kept[i];

    peers->kept[i] = peers->kept[--peers->count];
    peer->kept = false;
    *ended = --peer->references == 0 ? peer : NULL;
}

void fm_peers_free(struct fm_peers *peers)
{
    if (peers == NULL)
        return;
    while (peers->count != 0) {
        struct fm_peer *ended;
        forget(peers, 0, &ended);
        fm_assert(ended != NULL);
        peer_end(ended);
    }
    (void)pthread_mutex_destroy(&peers->lock);
    free(peers);
}

static struct fm_peer *find(struct fm_peers *peers, const struct fm_node_id *node,
                            const char *address)
{
    struct fm_peer *found = NULL, *ended = NULL;

    fm_assert(pthread_mutex_lock(&peers->lock) == 0);
    for (uint32_t i = 0; i < peers->count && found == NULL; i++) {
        struct fm_peer *peer = peers->kept[i];
        if (memcmp(&peer->node, node, sizeof *node) != 0)
            continue;
        if (fm_connection_is_broken(peer->connection) || strcmp(peer->address, address) != 0) {
            forget(peers, i, &ended);
            break;
        }
        peer->references++;
        found = peer;
    }
    fm_assert(pthread_mutex_unlock(&peers->lock) == 0);
    if (ended != NULL)
        peer_end(ended);
    return found;
}

void fm_peers_reap(struct fm_peers *peers)
{
    for (;;) { /* One at a time: closing takes a while, and needs no lock. */
        struct fm_peer *ended = NULL;
        fm_assert(pthread_mutex_lock(&peers->lock) == 0);
        for (uint32_t i = 0; i < peers->count && ended == NULL; i++)
            if (peers->kept[i]->references == 1 &&
                fm_connection_is_broken(peers->kept[i]->connection))
                forget(peers, i, &ended);
        fm_assert(pthread_mutex_unlock(&peers->lock) == 0);
        if (ended == NULL)
            return;
        peer_end(ended);
    }
}

static void keep(struct fm_peers *peers, struct fm_peer *peer)
{
    fm_assert(pthread_mutex_lock(&peers->lock) == 0);
    if (peers->count < PEERS_KEPT_MAX) {
        peers->kept[peers->count++] = peer;
        peer->kept = true;
        peer->references++;
    }
    fm_assert(pthread_mutex_unlock(&peers->lock) == 0);
}

static enum fm_status dial(struct fm_peers *peers, const struct fm_connect_options *options,
                           struct fm_peer **out, struct fm_error *err)
{
    struct fm_connect_options own = *options;
    struct fm_peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL)
        return fm_fail(err, FM_NOMEM, "connect to %s", own.address);
    if (strlen(own.address) >= sizeof peer->address) {
        free(peer);
        return fm_fail(err, FM_INVALID, "address %.100s... is too long", own.address);
    }
    peer->peers = peers;
    peer->references = 1;
    memcpy(peer->address, own.address, strlen(own.address) + 1);
    own.identity = peers->identity;
    enum fm_status status = fm_connection_open(&own, &peer->connection, err);
    if (status != FM_OK) {
        free(peer);
        return status;
    }
    peer->node = fm_connection_node(peer->connection)->node;
    *out = peer;
    return FM_OK;
}

enum fm_status fm_peer_get(struct fm_peers *peers, const struct fm_connect_options *options,
                           struct fm_peer **out, struct fm_error *err)
{
    struct fm_peer *peer = find(peers, &options->expected->node, options->address);

    if (peer == NULL) {
        enum fm_status status = dial(peers, options, &peer, err);
        if (status != FM_OK)
            return status;
        keep(peers, peer);
    }
    *out = peer;
    return FM_OK;
}

enum fm_status fm_peer_find(struct fm_peers *peers, const struct fm_node_cert *cert,
                            const char *address, struct fm_peer **out)
{
    *out = find(peers, &cert->node, address);
    return *out != NULL ? FM_OK : FM_NOTFOUND;
}

enum fm_status fm_peer_dial(struct fm_peers *peers, const char *address, fm_ms deadline,
                            struct fm_peer **out, struct fm_error *err)
{
    const struct fm_connect_options options = {.address = address, .deadline = deadline};

    return dial(peers, &options, out, err);
}

struct fm_connection *fm_peer_connection(const struct fm_peer *peer)
{
    return peer->connection;
}
