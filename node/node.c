#include "node/node.h"

#include "core/assert.h"
#include "node/announcer.h"
#include "node/housekeeping.h"
#include "node/http/server.h"
#include "node/notify.h"
#include "node/pg/server.h"
#include "node/server.h"
#include "node/tls.h"
#include "storage/checkpoint.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAP_MS 1000
#define LATE_MS 250 /* Between looks for queries past their deadline. */
#define DESCRIPTORS_WANTED 65536u
#define FILE_LOG_KEY "log"

enum fm_status fm_server_head(struct fm_server *server, const char *domain, const char *table,
                              uint32_t epoch, uint64_t size, const struct fm_hash *root,
                              struct fm_buf *note)
{
    struct fm_head head = {.size = size, .root = *root, .time = fm_now_us()};

    fm_head_origin(&server->identity->charter.mesh, domain, table, epoch, head.origin);
    return fm_head_seal(&head, server->log_key, note);
}

static enum fm_status load_identity(struct fm_server *server, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN};
    char path[FM_CONFIG_PATH_MAX + 16];

    enum fm_status status = fm_identity_load(server->config.dir, FM_PAYLOAD_NODE, NULL, fm_now_us(),
                                             &server->identity, err);
    if (status == FM_NOTFOUND)
        return fm_wrap(err, status,
                       "%s is not a node's folder that has joined a mesh (folkmoot node init, then "
                       "folkmoot node join)",
                       server->config.dir);
    if (status != FM_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/%s", server->config.dir, FILE_LOG_KEY);
    status = fm_keys_load(path, NULL, kinds, 1, &server->log_key, err);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < server->identity->node.domain_count; i++)
        if (!fm_public_key_equal(&server->identity->node.domains[i].log_key,
                                 fm_key_public(server->log_key)))
            return fm_fail(err, FM_FORGED, "the certificate names another log key than %s", path);
    return FM_OK;
}

static enum fm_status open_store(struct fm_server *server, struct fm_error *err)
{
    struct fm_store_options options = {
        .dir = server->config.data,
        .mesh = server->identity->charter.mesh,
        .node = server->identity->node.node,
        .cache_bytes = (size_t)server->config.cache_mib << 20,
        .free_bytes_min = (uint64_t)server->config.free_mib_min << 20,
        .seal_in_background = true,
    };

    return fm_store_open(&options, &server->store, err);
}

static enum fm_status open_engine(struct fm_server *server, struct fm_error *err)
{
    struct fm_engine_options options = {
        .worker_path = server->config.worker[0] != '\0' ? server->config.worker : NULL,
        .threads = server->config.worker_threads,
        .memory_bytes = (size_t)server->config.memory_mib << 20,
        .spare = server->config.workers_spare,
        .warm_ms = server->config.workers_warm_ms > 0 ? (fm_ms)server->config.workers_warm_ms : -1,
        .spill_dir = server->config.spill[0] != '\0' ? server->config.spill : server->config.dir,
        .spill_bytes = (uint64_t)server->config.spill_mib << 20,
    };

    server->spools = (struct fm_spools){
        .dir = options.spill_dir,
        .bytes_max = FM_SPOOL_BYTES_MAX,
        .total_max = FM_SPOOLS_BYTES_MAX,
    };
    return fm_engine_open(&options, &server->engine, err);
}

/* Workers of queries and those of fragments have half of the memory each: a query that waits for
 * fragments elsewhere never holds what those of other nodes need here. */
static uint32_t places_for(const struct fm_node_config *config, uint32_t wanted)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t mib = config->query_memory_mib;

    if (mib == 0 && pages > 0 && page > 0)
        mib = (uint64_t)pages / 4 * 3 * (uint64_t)page >> 20;
    uint64_t fit = mib / 2 / config->memory_mib;
    if (mib == 0 || fit >= wanted)
        return wanted;
    return fit == 0 ? 1 : (uint32_t)fit;
}

static enum fm_status open_admission(struct fm_server *server, struct fm_error *err)
{
    const struct fm_node_config *config = &server->config;
    struct fm_admission_options options = {
        .places = {[FM_PLACE_MERGE] = places_for(config, config->queries_max),
                   [FM_PLACE_SQL] = places_for(config, config->fragments_max)},
        .wait_ms = config->wait_ms,
    };

    enum fm_status status = fm_admission_new(&options, &server->admission);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "places for queries");
}

static enum fm_status open_tls(struct fm_server *server, struct fm_tls_files *files,
                               struct fm_error *err)
{
    const struct fm_node_config *config = &server->config;
    const char *reached = fm_membership_advertised(server->membership);
    char host[FM_CONFIG_ADDRESS_MAX];
    struct fm_tls_options options = {
        .dir = config->dir,
        .certificate = config->tls_certificate,
        .key = config->tls_key,
        .name = server->identity->node.name,
        .host = host,
    };

    size_t len = strcspn(reached, "]") != strlen(reached) ? 0 : strcspn(reached, ":");
    (void)snprintf(host, sizeof host, "%.*s", (int)len, reached);
    fm_tls_files(&options, files);
    return fm_tls_open(&options, &server->tls, err);
}

/* A listener for clients: at its default address only where that is free, as several nodes may
 * share a machine. */
static enum fm_status say_listens(struct fm_server *server, const char *what, const char *address,
                                  const char *free_one, enum fm_status status, uint16_t port,
                                  struct fm_error *err)
{
    char text[8];

    if (status == FM_CONFLICT && strcmp(address, free_one) == 0) {
        fm_log(&server->log, FM_LOG_WARN, "no listener", "for", what, "reason", err->text, NULL);
        return FM_OK;
    }
    if (status != FM_OK)
        return status;
    (void)snprintf(text, sizeof text, "%u", port);
    fm_log(&server->log, FM_LOG_INFO, what, "port", text, NULL);
    return FM_OK;
}

static enum fm_status open_postgres(struct fm_server *server, struct fm_error *err)
{
    const char *address = server->config.postgres;

    if (address[0] == '\0')
        return FM_OK;
    enum fm_status status = fm_pg_server_open(server, server->tls, address, &server->postgres, err);
    return say_listens(server, "postgres", address, FM_POSTGRES_DEFAULT, status,
                       status == FM_OK ? fm_pg_server_port(server->postgres) : 0, err);
}

static enum fm_status open_http(struct fm_server *server, const struct fm_tls_files *files,
                                struct fm_error *err)
{
    const char *address = server->config.http;

    if (address[0] == '\0')
        return FM_OK;
    enum fm_status status =
        fm_http_server_open(server, address, files->certificate, files->key, &server->http, err);
    return say_listens(server, "http", address, FM_HTTP_DEFAULT, status,
                       status == FM_OK ? fm_http_server_port(server->http) : 0, err);
}

static enum fm_status open_listeners(struct fm_server *server, struct fm_error *err)
{
    struct fm_tls_files files;

    if (server->config.postgres[0] == '\0' && server->config.http[0] == '\0')
        return FM_OK;
    enum fm_status status = open_tls(server, &files, err);
    if (status == FM_OK)
        status = open_postgres(server, err);
    return status == FM_OK ? open_http(server, &files, err) : status;
}

static enum fm_status open_parts(struct fm_server *server, struct fm_error *err)
{
    enum fm_status status = load_identity(server, err);

    if (status == FM_OK)
        status = open_engine(server, err); /* Forks before any thread of ours exists. */
    if (status == FM_OK)
        status = open_store(server, err);
    if (status == FM_OK)
        status = fm_registry_new(server->identity, server->store, &server->registry, err);
    if (status == FM_OK)
        status = fm_cursors_new(&server->cursors);
    if (status == FM_OK)
        status = fm_plan_cache_new(FM_PLANS_KEPT_MAX, FM_PLANS_KEPT_BYTES_MAX, &server->plans);
    if (status == FM_OK)
        status = fm_receipts_new(&server->receipts);
    if (status == FM_OK)
        status = fm_cert_cache_new(&server->identity->charter, FM_CERTS_KEPT_MAX, &server->certs);
    if (status == FM_OK)
        status = open_admission(server, err);
    if (status == FM_OK)
        status = fm_append_table_new(&server->appends);
    if (status == FM_OK)
        status = fm_peers_new(server->identity, &server->peers);
    if (status == FM_OK)
        status = fm_transport_open(server, &server->transport, err);
    if (status == FM_OK)
        status = fm_membership_open(server, fm_transport_port(server->transport),
                                    &server->membership, err);
    if (status == FM_OK)
        status = fm_transport_start(server->transport, err);
    if (status == FM_OK)
        status = fm_housekeeping_start(server->store, &server->log, &server->housekeeping, err);
    if (status == FM_OK)
        status = fm_announcer_start(server, &server->announcer, err);
    if (status == FM_OK)
        status = open_listeners(server, err);
    return status;
}

/* Calls end first, as they use all else; then last opened, first closed. What was never opened is
 * NULL. */
static void close_parts(struct fm_server *server)
{
    if (server->cursors != NULL)
        fm_cursors_stop(server->cursors);
    fm_http_server_close(server->http);
    fm_pg_server_close(server->postgres);
    fm_tls_free(server->tls);
    fm_transport_close(server->transport);
    fm_announcer_stop(server->announcer);
    fm_housekeeping_stop(server->housekeeping);
    fm_membership_close(server->membership);
    fm_append_table_free(server->appends);
    fm_cursors_free(server->cursors);
    fm_plan_cache_free(server->plans);
    fm_receipts_free(server->receipts);
    fm_cert_cache_free(server->certs);
    fm_admission_free(server->admission);
    fm_peers_free(server->peers);
    fm_registry_free(server->registry);
    fm_engine_free(server->engine);
    fm_store_close(server->store);
    fm_key_free(server->log_key);
    fm_identity_free(server->identity);
}

static void reap(struct fm_server *server, fm_ms now)
{
    fm_append_table_reap(server->appends, now);
    fm_transport_reap(server->transport, now);
    fm_store_tidy_checkpoint(server->store);
    fm_peers_reap(server->peers);
}

static void serve_until_signal(struct fm_server *server, int signals, struct fm_notify *notify)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                            {.fd = fm_transport_wake(server->transport), .events = POLLIN}};
    fm_ms reaped = 0, orphan = FM_MS_NEVER;

    for (;;) {
        fm_ms now = fm_now_ms(), wake = now + LATE_MS;
        uint64_t count;
        if (orphan < wake)
            wake = orphan > now ? orphan : now;
        (void)poll(fds, 2, (int)(wake - now)); /* Errors show in what is read. */
        ssize_t woken = fds[1].revents != 0 ? read(fds[1].fd, &count, sizeof count) : 0;
        (void)woken; /* Only empties it. */
        now = fm_now_ms();
        fm_notify_beat(notify, now);
        orphan = fm_transport_end_orphans(server->transport, now);
        fm_cursors_reap(server->cursors, now);
        fm_pg_server_reap(server->postgres, now);
        fm_http_server_reap(server->http, now);
        if (now - reaped >= REAP_MS) {
            reap(server, now);
            reaped = now;
        }
        struct signalfd_siginfo info;
        if (fds[0].revents != 0 && read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
            fm_log(&server->log, FM_LOG_INFO, "stopping", "signal",
                   info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
            return;
        }
    }
}

static enum fm_status block_signals(int *out, struct fm_error *err)
{
    sigset_t set;

    (void)sigemptyset(&set); /* Cannot fail with these arguments. */
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return fm_fail(err, FM_INTERNAL, "block signals");
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return fm_fail_errno(err, FM_INTERNAL, errno, "ignore SIGPIPE");
    *out = signalfd(-1, &set, SFD_CLOEXEC);
    if (*out < 0)
        return fm_fail_errno(err, FM_IO, errno, "open a signal descriptor");
    return FM_OK;
}

/* Connections that never greet hold a descriptor for ten seconds each before the transport sees
 * them; with the usual 1,024, a thousand of them would keep the store from opening its files. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* The node runs with less, too. */
}

enum fm_status fm_node_run(const struct fm_node_config *config, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_server *server = calloc(1, sizeof *server);
    FM_AUTO(fm_notify_close) struct fm_notify notify = {.fd = -1};
    int signals = -1;

    if (server == NULL)
        return fm_fail(err, FM_NOMEM, "start the node");
    server->config = *config;
    server->log = (struct fm_log){.level = config->log_level, .format = config->log_format};
    raise_limits();
    enum fm_status status = block_signals(&signals, err);
    if (status == FM_OK)
        status = fm_notify_open(&notify, err);
    if (status == FM_OK)
        status = open_parts(server, err);
    if (status == FM_OK) {
        char id[33];
        fm_hex(server->identity->node.node.bytes, 16, id);
        fm_log(&server->log, FM_LOG_INFO, "ready", "node", id, "name", server->identity->node.name,
               "mesh", server->identity->charter.name, "address",
               fm_membership_advertised(server->membership), NULL);
        fm_notify_tell(&notify, "READY=1");
        serve_until_signal(server, signals, &notify);
        fm_notify_tell(&notify, "STOPPING=1");
    }
    close_parts(server);
    if (signals >= 0)
        (void)close(signals); /* Nothing to lose. */
    if (status == FM_OK)
        fm_log(&server->log, FM_LOG_INFO, "stopped", NULL);
    return status;
}
