#include "node/fetcher.h"

#include "core/assert.h"
#include "core/codec.h"
#include "node/rpc/records.h"
#include "node/server.h"

#include <pthread.h>

#define JOBS_MAX 256u
#define FETCH_MS 3000
#define VISIT_MS                                                                                   \
    30000 /* However many records a peer lists: gossip asks again for what is missing. */

struct fm_fetcher {
    struct fm_server *server;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    struct fm_fetch_job jobs[JOBS_MAX];
    uint32_t first;
    uint32_t count;
    bool stopping;
};

static void lock(struct fm_fetcher *fetcher)
{
    fm_assert(pthread_mutex_lock(&fetcher->lock) == 0);
}

static void unlock(struct fm_fetcher *fetcher)
{
    fm_assert(pthread_mutex_unlock(&fetcher->lock) == 0);
}

static bool is_same(const struct fm_fetch_job *a, const struct fm_fetch_job *b)
{
    return a->kind == b->kind && memcmp(&a->node, &b->node, sizeof a->node) == 0 &&
           a->key.kind == b->key.kind &&
           memcmp(&a->key.writer, &b->key.writer, sizeof a->key.writer) == 0 &&
           memcmp(a->key.name, b->key.name, sizeof a->key.name) == 0;
}

void fm_fetcher_push(struct fm_fetcher *fetcher, const struct fm_fetch_job *job)
{
    bool waits = false;

    lock(fetcher);
    for (uint32_t i = 0; i < fetcher->count && !waits; i++)
        waits = is_same(&fetcher->jobs[(fetcher->first + i) % JOBS_MAX], job);
    if (!waits && fetcher->count < JOBS_MAX) {
        fetcher->jobs[(fetcher->first + fetcher->count++) % JOBS_MAX] = *job;
        (void)pthread_cond_signal(&fetcher->changed);
    }
    unlock(fetcher);
}

/* ---- One job --------------------------------------------------------------------------------- */

struct visit { /* To one peer; it may answer each call as slowly as it can, but not for ever. */
    struct fm_server *server;
    struct fm_peer *peer;
    fm_ms deadline;
};

static enum fm_status dial(struct fm_server *server, const struct fm_fetch_job *job,
                           struct fm_peer **peer, struct fm_error *err)
{
    struct fm_node_cert cert;
    const struct fm_connect_options options = {
        .address = job->address, .expected = &cert, .deadline = fm_now_ms() + FETCH_MS};

    if (fm_registry_cert(server->registry, &job->node, &cert, NULL) == FM_OK)
        return fm_peer_get(server->peers, &options, peer, err);
    return fm_peer_dial(server->peers, options.address, options.deadline, peer, err);
}

static enum fm_status call(const struct visit *visit, enum fm_method method,
                           const struct fm_buf *body, struct fm_buf *reply, struct fm_error *err)
{
    struct fm_request_id id;
    fm_ms deadline = fm_now_ms() + FETCH_MS;

    if (fm_now_ms() >= visit->deadline)
        return fm_fail(err, FM_TIMEOUT, "the visit took too long");
    fm_random(id.bytes, sizeof id.bytes);
    if (fm_buf_status(body) != FM_OK)
        return fm_buf_status(body);
    return fm_connection_call(fm_peer_connection(visit->peer), method, &id, fm_buf_span(body),
                              deadline, NULL, reply, err);
}

static enum fm_status get_record(const struct visit *visit, const struct gossip_record_key *key,
                                 struct fm_error *err)
{
    struct fm_server *server = visit->server;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct gossip_record record;
    struct fm_span bytes;
    bool is_new;

    fm_record_key_encode(&body, key);
    enum fm_status status = call(visit, FM_METHOD_RECORD_GET, &body, &reply, err);
    if (status == FM_OK)
        status = fm_doc_parse(fm_buf_span(&reply), &doc);
    if (status == FM_OK)
        status = fm_value_bin(fm_map_get(fm_doc_root(doc), 0), FM_PAYLOAD_BYTES_MAX, &bytes);
    if (status == FM_OK)
        status = fm_registry_put(server->registry, key->kind, bytes, &record, &is_new, err);
    if (status != FM_OK)
        return status;
    fm_membership_publish(server->membership, &record);
    if (is_new)
        fm_log(&server->log, key->kind == GOSSIP_RECORD_STATISTICS ? FM_LOG_DEBUG : FM_LOG_INFO,
               "record", "kind", fm_registry_kind_text(record.key.kind), NULL);
    return FM_OK;
}

static bool is_known(struct fm_server *server, const struct gossip_record *record)
{
    return fm_membership_has(server->membership, record);
}

static enum fm_status record_decode(const struct fm_value *item, struct gossip_record *out)
{
    uint32_t kind, count;

    enum fm_status status = fm_value_array(item, 6, &count);
    if (status == FM_OK && count != 6)
        status = FM_MALFORMED;
    if (status == FM_OK)
        status = fm_value_u32(fm_value_at(item, 0), 255, &kind);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_value_at(item, 1), out->key.writer.bytes,
                                    sizeof out->key.writer.bytes);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_value_at(item, 2), out->key.name, sizeof out->key.name);
    if (status == FM_OK)
        status = fm_value_uint(fm_value_at(item, 3), UINT64_MAX, &out->version);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_value_at(item, 4), out->hash.bytes, FM_HASH_BYTES);
    if (status == FM_OK)
        status = fm_value_u32(fm_value_at(item, 5), FM_RECORD_BYTES_MAX, &out->bytes);
    if (status == FM_OK)
        out->key.kind = (enum gossip_record_kind)kind;
    return status;
}

/* Certificates come before contracts, whose signers they prove: two passes. */
static enum fm_status take_records(const struct visit *visit, const struct fm_value *records,
                                   struct fm_error *err)
{
    struct fm_server *server = visit->server;
    uint32_t count;
    enum fm_status status = fm_value_array(records, FM_RECORDS_LISTED_MAX, &count);

    for (uint32_t pass = 0; pass < 2 && status == FM_OK; pass++) {
        for (uint32_t i = 0; i < count && status == FM_OK; i++) {
            struct gossip_record record;
            status = record_decode(fm_value_at(records, i), &record);
            if (status != FM_OK)
                break;
            bool is_cert = record.key.kind == GOSSIP_RECORD_NODE_CERT;
            if (is_cert != (pass == 0) || is_known(server, &record))
                continue;
            /* One bad record must not keep the others away. */
            enum fm_status got = get_record(visit, &record.key, err);
            if (got == FM_TIMEOUT || got == FM_UNAVAILABLE)
                status = got;
            else if (got != FM_OK)
                fm_log(&server->log, FM_LOG_WARN, "record refused", "reason", err->text, NULL);
        }
    }
    return status;
}

static enum fm_status take_members(struct fm_server *server, const struct fm_value *members)
{
    uint32_t count;
    struct fm_span envelope;
    enum fm_status status = fm_value_array(members, FM_MEMBERS_PER_LIST_MAX, &count);

    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        status = fm_value_bin(fm_value_at(members, i), FM_PACKET_BYTES_MAX, &envelope);
        if (status == FM_OK)
            fm_membership_learn(server->membership, envelope);
    }
    return status;
}

/* One page of both lists; `*more` while there is another one. */
static enum fm_status compare_page(const struct visit *visit, uint32_t *records, uint32_t *members,
                                   bool *more, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    uint32_t record_all, member_all;

    fm_pack_map(&body, 2);
    fm_pack_key_uint(&body, 0, *records);
    fm_pack_key_uint(&body, 1, *members);
    enum fm_status status = call(visit, FM_METHOD_RECORD_LIST, &body, &reply, err);
    if (status == FM_OK)
        status = fm_doc_parse(fm_buf_span(&reply), &doc);
    if (status != FM_OK)
        return status;
    const struct fm_value *root = fm_doc_root(doc);
    status = fm_map_check(root, 0xf);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(root, 2), FM_RECORDS_MAX, &record_all);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(root, 3), FM_MEMBERS_MAX, &member_all);
    if (status == FM_OK)
        status = take_records(visit, fm_map_get(root, 0), err);
    if (status == FM_OK)
        status = take_members(visit->server, fm_map_get(root, 1));
    if (status != FM_OK)
        return status;
    *records += FM_RECORDS_LISTED_MAX;
    *members += FM_MEMBERS_PER_LIST_MAX;
    *more = *records < record_all || *members < member_all;
    return FM_OK;
}

static enum fm_status compare(const struct visit *visit, struct fm_error *err)
{
    uint32_t records = 0, members = 0;
    enum fm_status status = FM_OK;
    bool more = true;

    while (more && status == FM_OK)
        status = compare_page(visit, &records, &members, &more, err);
    return status;
}

static void work(struct fm_server *server, const struct fm_fetch_job *job)
{
    FM_AUTO(fm_peer_releasep) struct fm_peer *peer = NULL;
    struct fm_error err = {0};

    if (job->kind == FM_FETCH_SEEDS) {
        fm_membership_join_seeds(server->membership);
        return;
    }
    enum fm_status status = dial(server, job, &peer, &err);
    struct visit visit = {.server = server, .peer = peer, .deadline = fm_now_ms() + VISIT_MS};
    if (status == FM_OK)
        status = job->kind == FM_FETCH_RECORD ? get_record(&visit, &job->key, &err)
                                              : compare(&visit, &err);
    if (status != FM_OK)
        fm_log(&server->log, FM_LOG_DEBUG, "fetch failed", "address", job->address, "reason",
               err.text, NULL);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void *run(void *argument)
{
    struct fm_fetcher *fetcher = argument;

    lock(fetcher);
    while (!fetcher->stopping) {
        if (fetcher->count == 0) {
            (void)pthread_cond_wait(&fetcher->changed, &fetcher->lock); /* Only fails on misuse. */
            continue;
        }
        struct fm_fetch_job job = fetcher->jobs[fetcher->first];
        fetcher->first = (fetcher->first + 1) % JOBS_MAX;
        fetcher->count--;
        unlock(fetcher);
        work(fetcher->server, &job);
        lock(fetcher);
    }
    unlock(fetcher);
    return NULL;
}

enum fm_status fm_fetcher_open(struct fm_server *server, struct fm_fetcher **out,
                               struct fm_error *err)
{
    struct fm_fetcher *fetcher = calloc(1, sizeof *fetcher);

    if (fetcher == NULL)
        return fm_fail(err, FM_NOMEM, "start the fetcher");
    fetcher->server = server;
    fm_assert(pthread_mutex_init(&fetcher->lock, NULL) == 0);
    fm_assert(pthread_cond_init(&fetcher->changed, NULL) == 0);
    if (pthread_create(&fetcher->thread, NULL, run, fetcher) != 0) {
        fm_fetcher_close(fetcher);
        return fm_fail(err, FM_NOMEM, "start the fetcher");
    }
    fetcher->started = true;
    *out = fetcher;
    return FM_OK;
}

void fm_fetcher_close(struct fm_fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    lock(fetcher);
    fetcher->stopping = true;
    (void)pthread_cond_signal(&fetcher->changed);
    unlock(fetcher);
    if (fetcher->started)
        (void)pthread_join(fetcher->thread, NULL); /* Joined once, by its maker. */
    (void)pthread_cond_destroy(&fetcher->changed);
    (void)pthread_mutex_destroy(&fetcher->lock);
    free(fetcher);
}
