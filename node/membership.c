#include "node/membership.h"

#include "core/assert.h"
#include "core/codec.h"
#include "core/datagram.h"
#include "node/address.h"
#include "node/fetcher.h"
#include "node/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMBERS_MAX 4096u
#define RECORDS_MAX 65536u
#define PACKETS_PER_TURN 64u /* Then the timer gets its turn. */
#define SAVE_MS 5000
#define SEEDS_MS 5000
#define WAIT_MS_MAX 1000
#define MEMBERS_SAVED_BYTES_MAX (FM_DOC_BYTES_MAX / 2)

static const char incarnation_key[] = "self/incarnation";
static const char epoch_key[] = "self/boot-epoch";
static const char members_key[] = "self/members";

struct fm_membership {
    struct fm_server *server;
    int socket;
    uint8_t family; /* Of the socket: 4, or 6 for both. */
    int wake;       /* eventfd: there is something to drain or to stop for. */
    struct fm_datagrams *datagrams;
    char advertised[280];
    struct fm_fetcher *fetcher;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* Guards what follows. */
    struct gossip *gossip;
    uint64_t incarnation;
    bool stopping;
    bool changed; /* The member list is to be saved. */
};

static void lock(struct fm_membership *membership)
{
    fm_assert(pthread_mutex_lock(&membership->lock) == 0);
}

static void unlock(struct fm_membership *membership)
{
    fm_assert(pthread_mutex_unlock(&membership->lock) == 0);
}

static void wake(struct fm_membership *membership)
{
    uint64_t one = 1;
    ssize_t put = write(membership->wake, &one, sizeof one);
    (void)put; /* A full counter wakes as well. */
}

/* ---- Signed member records ------------------------------------------------------------------- */

static enum fm_status check_member(void *context, struct fm_span bytes,
                                   struct fm_member_record *out)
{
    struct fm_server *server = context;
    struct fm_envelope envelope;
    struct fm_node_cert cert;

    enum fm_status status = fm_envelope_open(bytes, &envelope);
    if (status != FM_OK)
        return status;
    status = fm_registry_cert_by_key(server->registry, &envelope.signatures[0].key, &cert);
    if (status != FM_OK) {
        /* Unverified: it only tells whose certificate to ask for. */
        if (envelope.type != FM_ENV_MEMBER || fm_member_record_decode(envelope.body, out) != FM_OK)
            return FM_MALFORMED;
        return FM_NOTFOUND;
    }
    status = fm_envelope_verify(&envelope, FM_ENV_MEMBER, &server->identity->charter.mesh,
                                &cert.sign_key);
    if (status == FM_OK)
        status = fm_member_record_decode(envelope.body, out);
    if (status == FM_OK && memcmp(&out->node, &cert.node, sizeof out->node) != 0)
        status = FM_FORGED;
    return status;
}

static enum fm_status seal_self(struct fm_membership *membership, enum fm_member_claim claim,
                                struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PACKET_BYTES_MAX);
    const struct fm_identity *identity = membership->server->identity;
    struct fm_key *key = identity->sign_key;
    struct fm_member_record record = {
        .node = identity->node.node,
        .incarnation = membership->incarnation,
        .claim = claim,
        .time = fm_now_us(),
    };

    memcpy(record.address, membership->advertised, sizeof membership->advertised);
    fm_sha256_one(&record.cert, fm_buf_span(&identity->cert_bytes));
    fm_member_record_encode(&body, &record);
    enum fm_status status = fm_buf_status(&body);
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_MEMBER, &identity->charter.mesh, fm_buf_span(&body), &key,
                                  1, out);
    return status;
}

/* A number that only rises, over restarts too: saved before it is used. */
static enum fm_status raise_saved(struct fm_server *server, const char *key, uint64_t least,
                                  uint64_t *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf saved = FM_BUF_INIT(64);
    uint64_t value = 0;
    uint8_t bytes[8];

    enum fm_status status = fm_store_get_record(server->store, fm_span_str(key), &saved);
    if (status != FM_OK && status != FM_NOTFOUND)
        return fm_fail(err, status, "read %s", key);
    if (saved.len == sizeof bytes)
        value = fm_load64(saved.data);
    value++;
    if (value < least)
        value = least;
    fm_store64(bytes, value);
    status =
        fm_store_put_record(server->store, fm_span_str(key), fm_span(bytes, sizeof bytes), err);
    if (status == FM_OK)
        *out = value;
    return status;
}

/* The caller holds the lock. */
static void announce(struct fm_membership *membership, enum fm_member_claim claim)
{
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(FM_PACKET_BYTES_MAX);

    enum fm_status status = seal_self(membership, claim, &envelope);
    if (status == FM_OK)
        status = gossip_set_self(membership->gossip, fm_now_ms(), fm_buf_span(&envelope));
    if (status != FM_OK)
        fm_log(&membership->server->log, FM_LOG_ERROR, "own member record", "reason",
               fm_status_text(status), NULL);
}

/* ---- Effects; the caller holds the lock ------------------------------------------------------ */

static void send_packet(struct fm_membership *membership, const struct gossip_effect *effect)
{
    FM_AUTO(fm_buf_free) struct fm_buf sealed = FM_BUF_INIT(FM_DATAGRAM_BYTES_MAX);
    struct sockaddr_storage to;
    struct gossip_address address = effect->address;
    uint8_t nonce[24];

    if (membership->family == 6)
        fm_address_map(&address);
    socklen_t len = fm_address_to_socket(&address, &to);
    fm_random(nonce, sizeof nonce);
    if (fm_datagram_seal(membership->datagrams, nonce, effect->packet, &sealed) != FM_OK)
        return; /* Out of memory: the same as a lost packet. */
    ssize_t sent = sendto(membership->socket, sealed.data, sealed.len, MSG_DONTWAIT,
                          (const struct sockaddr *)&to, len);
    (void)sent; /* A datagram that was not sent is a lost one; the protocol lives with those. */
}

static const char *state_text(enum gossip_state state)
{
    return fm_member_view_text((enum fm_member_view)state);
}

static void on_member(struct fm_membership *membership, const struct gossip_effect *effect)
{
    struct fm_node_cert cert;
    char id[33];

    membership->changed = true;
    fm_hex(effect->member.bytes, sizeof effect->member.bytes, id);
    bool known =
        fm_registry_cert(membership->server->registry, &effect->member, &cert, NULL) == FM_OK;
    fm_log(&membership->server->log, FM_LOG_INFO, "member", "node", id, "name",
           known ? cert.name : "", "state", state_text(effect->state), NULL);
}

static void push_fetch(struct fm_membership *membership, enum fm_fetch_kind kind,
                       const struct gossip_effect *effect)
{
    struct fm_fetch_job job = {.kind = kind, .node = effect->member};
    struct gossip_member member;
    struct gossip_address address = effect->address;

    if (kind == FM_FETCH_RECORD)
        job.key = effect->record.key;
    if (gossip_member_find(membership->gossip, &effect->member, &member) == FM_OK)
        address = member.address;
    if (address.port == 0)
        return;
    fm_address_print(&address, job.address);
    fm_fetcher_push(membership->fetcher, &job);
}

static void refute(struct fm_membership *membership, uint64_t accused)
{
    struct fm_error err = {0};
    uint64_t incarnation;

    if (raise_saved(membership->server, incarnation_key, accused + 1, &incarnation, &err) !=
        FM_OK) {
        fm_log(&membership->server->log, FM_LOG_ERROR, "save incarnation", "reason", err.text,
               NULL);
        return;
    }
    membership->incarnation = incarnation;
    announce(membership, FM_MEMBER_ALIVE);
}

static void drain(struct fm_membership *membership)
{
    struct gossip_effect effect;

    while (gossip_next_effect(membership->gossip, &effect)) {
        switch (effect.kind) {
        case GOSSIP_SEND:
            send_packet(membership, &effect);
            break;
        case GOSSIP_REFUTE:
            refute(membership, effect.incarnation);
            break;
        case GOSSIP_MEMBER:
            on_member(membership, &effect);
            break;
        case GOSSIP_WANT:
            push_fetch(membership, FM_FETCH_RECORD, &effect);
            break;
        case GOSSIP_SYNC:
            push_fetch(membership, FM_FETCH_LISTS, &effect);
            break;
        }
    }
}

/* ---- The gossip thread ----------------------------------------------------------------------- */

static void receive_packets(struct fm_membership *membership)
{
    FM_AUTO(fm_buf_free) struct fm_buf packet = FM_BUF_INIT(FM_DATAGRAM_BYTES_MAX);

    for (uint32_t i = 0; i < PACKETS_PER_TURN; i++) {
        uint8_t bytes[FM_DATAGRAM_BYTES_MAX + 1];
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        struct gossip_address address;
        struct fm_node_id sender;
        ssize_t got = recvfrom(membership->socket, bytes, sizeof bytes, MSG_DONTWAIT,
                               (struct sockaddr *)&from, &from_len);
        if (got < 0)
            return;
        if ((size_t)got > FM_DATAGRAM_BYTES_MAX || !fm_address_from_socket(&from, &address))
            continue;
        fm_buf_clear(&packet);
        lock(membership);
        /* A stranger's, or a replay: no work, no answer. What does not decode is counted by the
         * core. */
        enum fm_status status =
            fm_datagram_open(membership->datagrams, fm_span(bytes, (size_t)got), &sender, &packet);
        if (status == FM_OK)
            status = gossip_receive(membership->gossip, fm_now_ms(), &sender, &address,
                                    fm_buf_span(&packet));
        drain(membership);
        unlock(membership);
        (void)status; /* Whatever it is: packets get lost. */
    }
}

static void save_members(struct fm_membership *membership)
{
    FM_AUTO(fm_buf_free) struct fm_buf list = FM_BUF_INIT(MEMBERS_SAVED_BYTES_MAX);
    struct fm_error err = {0};

    lock(membership);
    uint32_t count = gossip_member_count(membership->gossip);
    for (uint32_t i = 0; i < count; i++) {
        struct gossip_member member;
        gossip_member_at(membership->gossip, i, &member);
        fm_buf_put_u32(&list, (uint32_t)member.envelope.len);
        fm_buf_put_span(&list, member.envelope);
    }
    membership->changed = false;
    unlock(membership);
    enum fm_status status = fm_buf_status(&list);
    if (status == FM_OK)
        status = fm_store_put_record(membership->server->store, fm_span_str(members_key),
                                     fm_buf_span(&list), &err);
    if (status != FM_OK)
        fm_log(&membership->server->log, FM_LOG_WARN, "save members", "reason", err.text, NULL);
}

static bool is_alone(struct fm_membership *membership)
{
    bool alone = true;

    lock(membership);
    uint32_t count = gossip_member_count(membership->gossip);
    for (uint32_t i = 0; i < count; i++) {
        struct gossip_member member;
        gossip_member_at(membership->gossip, i, &member);
        if (member.state == GOSSIP_ALIVE &&
            memcmp(&member.node, &membership->server->identity->node.node, sizeof member.node) != 0)
            alone = false;
    }
    unlock(membership);
    return alone;
}

static int wait_ms(struct fm_membership *membership)
{
    lock(membership);
    fm_ms deadline = gossip_deadline(membership->gossip);
    unlock(membership);
    fm_ms left = deadline - fm_now_ms();
    if (left < 0)
        left = 0;
    return left > WAIT_MS_MAX ? WAIT_MS_MAX : (int)left;
}

static void *run(void *argument)
{
    struct fm_membership *membership = argument;
    fm_ms saved = fm_now_ms(), seeds = fm_now_ms();

    for (;;) {
        struct pollfd fds[2] = {{.fd = membership->socket, .events = POLLIN},
                                {.fd = membership->wake, .events = POLLIN}};
        uint64_t ignored;
        (void)poll(fds, 2, wait_ms(membership)); /* Whatever woke it, all is looked at. */
        if (fds[1].revents != 0 && read(membership->wake, &ignored, sizeof ignored) < 0)
            continue;
        receive_packets(membership);
        lock(membership);
        bool stopping = membership->stopping, changed = membership->changed;
        gossip_tick(membership->gossip, fm_now_ms());
        drain(membership);
        unlock(membership);
        if (stopping)
            return NULL;
        if (changed && fm_now_ms() - saved > SAVE_MS) {
            save_members(membership);
            saved = fm_now_ms();
        }
        if (fm_now_ms() - seeds > SEEDS_MS) {
            seeds = fm_now_ms();
            if (is_alone(membership))
                fm_fetcher_push(membership->fetcher,
                                &(struct fm_fetch_job){.kind = FM_FETCH_SEEDS});
        }
    }
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Names are resolved here, on the fetcher's thread or at start: that may take long. */
void fm_membership_join_seeds(struct fm_membership *membership)
{
    const struct fm_node_config *config = &membership->server->config;
    struct gossip_address found[FM_SEEDS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->seed_count; i++) {
        struct fm_error err = {0};
        if (strcmp(config->seeds[i], membership->advertised) == 0)
            continue;
        if (fm_address_resolve(config->seeds[i], membership->family, &found[count], &err) == FM_OK)
            count++;
        else
            fm_log(&membership->server->log, FM_LOG_WARN, "seed", "address", config->seeds[i],
                   "reason", err.text, NULL);
    }
    if (count == 0)
        return;
    lock(membership);
    enum fm_status status = gossip_join(membership->gossip, fm_now_ms(), found, count);
    drain(membership);
    unlock(membership);
    if (status != FM_OK)
        fm_log(&membership->server->log, FM_LOG_WARN, "seeds", "reason", fm_status_text(status),
               NULL);
    wake(membership);
}

/* Who was there before the restart: the mesh is found again with every seed gone. */
static void join_saved(struct fm_membership *membership)
{
    FM_AUTO(fm_buf_free) struct fm_buf list = FM_BUF_INIT(MEMBERS_SAVED_BYTES_MAX);
    struct gossip_address known[FM_SEEDS_MAX];
    uint32_t count = 0, len;
    struct fm_span envelope;

    if (fm_store_get_record(membership->server->store, fm_span_str(members_key), &list) != FM_OK)
        return;
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&list));
    lock(membership);
    while (fm_take_u32(&cursor, &len) == FM_OK && fm_take_bytes(&cursor, len, &envelope) == FM_OK) {
        /* Its certificate may have expired, say. */
        enum fm_status ignored = gossip_put_member(membership->gossip, fm_now_ms(), envelope);
        (void)ignored;
        drain(membership);
    }
    uint32_t members = gossip_member_count(membership->gossip);
    for (uint32_t i = 0; i < members && count < FM_SEEDS_MAX; i++) {
        struct gossip_member member;
        gossip_member_at(membership->gossip, i, &member);
        if (memcmp(&member.node, &membership->server->identity->node.node, sizeof member.node) != 0)
            known[count++] = member.address;
    }
    if (count != 0) {
        enum fm_status ignored = gossip_join(membership->gossip, fm_now_ms(), known, count);
        (void)ignored; /* The seeds are still there. */
        drain(membership);
    }
    unlock(membership);
}

static enum fm_status put_record(void *context, const struct gossip_record *record)
{
    struct fm_membership *membership = context;
    return gossip_put_record(membership->gossip, fm_now_ms(), record);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum fm_status open_socket(struct fm_membership *membership, uint16_t port,
                                  struct fm_error *err)
{
    const char *listen = membership->server->config.listen;
    struct gossip_address address;
    struct sockaddr_storage bound;

    enum fm_status status = fm_address_resolve(listen, 0, &address, err);
    if (status != FM_OK)
        return status;
    address.port = port;
    membership->family = address.family;
    socklen_t len = fm_address_to_socket(&address, &bound);
    membership->socket = socket(bound.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (membership->socket < 0)
        return fm_fail_errno(err, FM_IO, errno, "open a UDP socket");
    if (bind(membership->socket, (const struct sockaddr *)&bound, len) != 0)
        return fm_fail_errno(err, errno == EADDRINUSE ? FM_CONFLICT : FM_IO, errno,
                             "gossip on UDP port %u of %s", port, listen);
    return FM_OK;
}

static enum fm_status choose_advertised(struct fm_membership *membership, uint16_t port,
                                        struct fm_error *err)
{
    const struct fm_node_config *config = &membership->server->config;
    bool given = config->advertise[0] != '\0';
    struct gossip_address address;

    enum fm_status status =
        fm_address_resolve(given ? config->advertise : config->listen, 0, &address, err);
    if (status != FM_OK)
        return status;
    if (!given || address.port == 0)
        address.port = port;
    if (fm_address_is_any(&address))
        return fm_fail(err, FM_INVALID,
                       "listening on every address (%s): say with --advertise HOST:PORT under "
                       "which one other nodes reach this one",
                       config->listen);
    fm_address_print(&address, membership->advertised);
    return FM_OK;
}

static enum fm_status open_gossip(struct fm_membership *membership, struct fm_error *err)
{
    struct fm_server *server = membership->server;
    struct fm_datagrams_options sealing = {
        .gossip_key = server->identity->gossip_key,
        .self = server->identity->node.node,
        .sender_max = MEMBERS_MAX,
    };
    struct gossip_options options = {
        .self = server->identity->node.node,
        .member_max = MEMBERS_MAX,
        .record_max = RECORDS_MAX,
        .check_member = check_member,
        .context = server,
    };

    enum fm_status status = raise_saved(server, epoch_key, 1, &sealing.boot_epoch, err);
    if (status == FM_OK)
        status = raise_saved(server, incarnation_key, 1, &membership->incarnation, err);
    if (status != FM_OK)
        return status;
    fm_random(&options.seed, sizeof options.seed);
    status = fm_datagrams_new(&sealing, &membership->datagrams);
    if (status == FM_OK)
        status = gossip_new(&options, fm_now_ms(), &membership->gossip);
    if (status == FM_OK) {
        announce(membership, FM_MEMBER_ALIVE);
        status = fm_registry_each(server->registry, put_record, membership);
    }
    if (status != FM_OK)
        return fm_fail(err, status, "start gossip: %s", fm_status_text(status));
    return FM_OK;
}

static enum fm_status start(struct fm_membership *membership, struct fm_error *err)
{
    enum fm_status status = fm_fetcher_open(membership->server, &membership->fetcher, err);
    if (status != FM_OK)
        return status;
    lock(membership);
    drain(membership);
    unlock(membership);
    join_saved(membership);
    if (pthread_create(&membership->thread, NULL, run, membership) != 0)
        return fm_fail(err, FM_NOMEM, "start the gossip thread");
    membership->started = true;
    return FM_OK;
}

enum fm_status fm_membership_open(struct fm_server *server, uint16_t port,
                                  struct fm_membership **out, struct fm_error *err)
{
    struct fm_membership *membership = calloc(1, sizeof *membership);

    if (membership == NULL)
        return fm_fail(err, FM_NOMEM, "start gossip");
    membership->server = server;
    membership->socket = -1;
    fm_assert(pthread_mutex_init(&membership->lock, NULL) == 0);
    *out = membership; /* Before threads start: they look for it in the server. */
    membership->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum fm_status status = membership->wake < 0
                                ? fm_fail_errno(err, FM_IO, errno, "open an event descriptor")
                                : open_socket(membership, port, err);
    if (status == FM_OK)
        status = choose_advertised(membership, port, err);
    if (status == FM_OK)
        status = open_gossip(membership, err);
    if (status == FM_OK)
        status = start(membership, err);
    if (status == FM_OK)
        fm_fetcher_push(membership->fetcher, &(struct fm_fetch_job){.kind = FM_FETCH_SEEDS});
    return status; /* On failure the caller closes it. */
}

/* The incarnation is saved before it is used: the next start must not come below it. */
static void say_goodbye(struct fm_membership *membership)
{
    struct fm_error err = {0};
    uint64_t incarnation;

    lock(membership);
    if (raise_saved(membership->server, incarnation_key, membership->incarnation + 1, &incarnation,
                    &err) == FM_OK) {
        membership->incarnation = incarnation;
        announce(membership, FM_MEMBER_LEFT);
        gossip_leave(membership->gossip, fm_now_ms());
        drain(membership);
    } else {
        fm_log(&membership->server->log, FM_LOG_WARN, "leave", "reason", err.text, NULL);
    }
    membership->stopping = true;
    unlock(membership);
    wake(membership);
}

void fm_membership_close(struct fm_membership *membership)
{
    if (membership == NULL)
        return;
    if (membership->started)
        say_goodbye(membership);
    if (membership->started)
        (void)pthread_join(membership->thread, NULL); /* Joined once, by its maker. */
    fm_fetcher_close(membership->fetcher);            /* After the thread that pushes to it. */
    gossip_free(membership->gossip);
    fm_datagrams_free(membership->datagrams);
    if (membership->socket >= 0)
        (void)close(membership->socket); /* Nothing to lose. */
    if (membership->wake >= 0)
        (void)close(membership->wake); /* The same. */
    (void)pthread_mutex_destroy(&membership->lock);
    free(membership);
}

/* ---- For others ------------------------------------------------------------------------------ */

const char *fm_membership_advertised(const struct fm_membership *membership)
{
    return membership->advertised;
}

void fm_membership_publish(struct fm_membership *membership, const struct gossip_record *record)
{
    lock(membership);
    enum fm_status status = gossip_put_record(membership->gossip, fm_now_ms(), record);
    drain(membership);
    unlock(membership);
    if (status != FM_OK)
        fm_log(&membership->server->log, FM_LOG_WARN, "publish", "reason", fm_status_text(status),
               NULL);
    wake(membership);
}

void fm_membership_learn(struct fm_membership *membership, struct fm_span envelope)
{
    lock(membership);
    enum fm_status ignored = gossip_put_member(membership->gossip, fm_now_ms(), envelope);
    (void)ignored; /* What does not verify is left. */
    drain(membership);
    unlock(membership);
    wake(membership);
}

bool fm_membership_has(struct fm_membership *membership, const struct gossip_record *record)
{
    struct gossip_record known;

    lock(membership);
    bool has = gossip_record_find(membership->gossip, &record->key, &known) == FM_OK &&
               known.version >= record->version;
    unlock(membership);
    return has;
}

enum fm_status fm_membership_address(struct fm_membership *membership,
                                     const struct fm_node_id *node, char out[280])
{
    struct gossip_member member;

    lock(membership);
    enum fm_status status = gossip_member_find(membership->gossip, node, &member);
    unlock(membership);
    if (status != FM_OK)
        return status;
    if (member.state == GOSSIP_LEFT)
        return FM_UNAVAILABLE;
    fm_address_print(&member.address, out);
    return FM_OK;
}

bool fm_membership_is_dead(struct fm_membership *membership, const struct fm_node_id *node)
{
    struct gossip_member member;

    lock(membership);
    enum fm_status status = gossip_member_find(membership->gossip, node, &member);
    unlock(membership);
    return status == FM_OK && member.state == GOSSIP_DEAD;
}

fm_ms fm_membership_round_trip(struct fm_membership *membership, const struct fm_node_id *node)
{
    struct gossip_member member;

    lock(membership);
    enum fm_status status = gossip_member_find(membership->gossip, node, &member);
    unlock(membership);
    return status == FM_OK ? member.round_trip : -1;
}

static void describe(struct fm_membership *membership, const struct gossip_member *member,
                     struct fm_node_cert *cert, struct fm_member_info *out)
{
    out->node = member->node;
    out->state = (enum fm_member_view)member->state;
    out->incarnation = member->incarnation;
    out->since_ms = (uint64_t)(fm_now_ms() - member->since);
    out->round_trip_ms = member->round_trip;
    fm_address_print(&member->address, out->address);
    if (fm_registry_cert(membership->server->registry, &member->node, cert, NULL) != FM_OK)
        return;
    memcpy(out->name, cert->name, sizeof out->name);
    out->domain_count = cert->domain_count;
    for (uint32_t d = 0; d < cert->domain_count; d++)
        out->domains[d] = fm_span_str(cert->domains[d].domain);
}

enum fm_status fm_membership_list(struct fm_membership *membership, struct fm_buf *out)
{
    struct fm_member_list list = {0};

    lock(membership);
    uint32_t count = gossip_member_count(membership->gossip);
    if (count > FM_MEMBERS_LISTED_MAX)
        count = FM_MEMBERS_LISTED_MAX;
    list.items = calloc(count + 1, sizeof *list.items);
    struct fm_node_cert *certs = calloc(count + 1, sizeof *certs); /* Domain names borrow. */
    for (uint32_t i = 0; list.items != NULL && certs != NULL && i < count; i++) {
        struct gossip_member member;
        gossip_member_at(membership->gossip, i, &member);
        describe(membership, &member, &certs[i], &list.items[list.count++]);
    }
    unlock(membership);
    bool made = list.items != NULL && certs != NULL;
    if (made)
        fm_member_list_encode(out, &list);
    fm_member_list_deinit(&list);
    free(certs);
    return made ? fm_buf_status(out) : FM_NOMEM;
}

enum fm_status fm_membership_envelopes(struct fm_membership *membership, uint32_t from,
                                       uint32_t max, struct fm_buf *out, uint32_t *put,
                                       uint32_t *all)
{
    lock(membership);
    *all = gossip_member_count(membership->gossip);
    *put = 0;
    for (uint32_t i = from; i < *all && *put < max; i++) {
        struct gossip_member member;
        gossip_member_at(membership->gossip, i, &member);
        fm_pack_bin_span(out, member.envelope);
        (*put)++;
    }
    unlock(membership);
    return fm_buf_status(out);
}

void fm_membership_counters(struct fm_membership *membership, struct gossip_counters *out)
{
    lock(membership);
    gossip_counters(membership->gossip, out);
    unlock(membership);
}

bool fm_membership_has_joined(struct fm_membership *membership)
{
    struct gossip_counters counters;

    fm_membership_counters(membership, &counters);
    return membership->server->config.seed_count == 0 ||
           counters.packets_in > counters.malformed + counters.forged;
}
