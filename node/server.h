/* The parts of a running node, for the files of node/ that put them together.
 * Threads: `struct fm_server` is made before any thread starts and freed after the last one ended;
 * each part says what it locks. */
#ifndef FM_NODE_SERVER_H
#define FM_NODE_SERVER_H

#include "client/identity.h"
#include "core/cert_cache.h"
#include "core/records.h"
#include "node/admission.h"
#include "node/config.h"
#include "node/counters.h"
#include "node/cursor.h"
#include "node/log.h"
#include "node/membership.h"
#include "node/peers.h"
#include "node/plan_cache.h"
#include "node/receipts.h"
#include "node/registry.h"
#include "node/spool.h"
#include "node/transport.h"
#include "query/engine.h"
#include "storage/store.h"

struct fm_announcer;
struct fm_pg_server;
struct fm_http_server;
struct fm_tls;
struct fm_housekeeping;
struct fm_append_table; /* Appends between begin and commit: node/rpc/append.c. */

struct fm_server {
    struct fm_node_config config;
    struct fm_log log;
    struct fm_identity *identity;
    struct fm_key *log_key; /* Signs heads. */
    struct fm_store *store;
    struct fm_registry *registry;
    struct fm_engine *engine;
    struct fm_peers *peers;
    struct fm_membership *membership;
    struct fm_cursors *cursors;
    struct fm_spools spools;
    struct fm_plan_cache *plans;
    struct fm_receipts *receipts;
    struct fm_cert_cache *certs; /* Principals' for whom others ask. */
    struct fm_admission *admission;
    struct fm_append_table *appends;
    struct fm_transport *transport;
    struct fm_housekeeping *housekeeping;
    struct fm_announcer *announcer;
    struct fm_tls *tls;
    struct fm_pg_server *postgres; /* NULL: none. */
    struct fm_http_server *http;   /* The same. */
    struct fm_counters counters;
};

/* Of a reply's body: what a message holds, less what stands around it. */
#define FM_REPLY_BYTES_MAX (FM_PAYLOAD_BYTES_MAX - 1024u)

/* Who makes a call: what the session proved, and for signed methods the verified request. */
struct fm_caller {
    enum fm_payload_kind kind;
    struct fm_node_cert node;           /* kind FM_PAYLOAD_NODE. */
    struct fm_principal_cert principal; /* kind FM_PAYLOAD_PRINCIPAL. */
    struct fm_span cert;                /* Its envelope. */
    const uint8_t *session;             /* Session hash, 32 bytes. */
    const struct fm_request *request;   /* Signed methods only. */
    struct fm_span envelope;            /* The request's envelope as received. */
    bool is_postgres; /* Asked by a client of PostgreSQL: what it asks may read its catalog. */
    bool is_held;     /* It is in this process: what it opens has no lease (node/cursor.h). */
};

/* A method's work: `body` is the call's body (for signed methods the request's), the reply's body
 * is appended to `reply`. */
typedef enum fm_status (*fm_handler)(struct fm_server *server, const struct fm_caller *caller,
                                     struct fm_span body, struct fm_buf *reply,
                                     struct fm_error *err);

/* Check who calls and what was signed, then let the method's handler answer (node/methods.c).
 * FM_UNSUPPORTED: an unknown method; FM_REFUSED: not for this caller, or a request that is for
 * another node, session, method or time. */
FM_MUST_USE enum fm_status fm_methods_call(struct fm_server *server,
                                           const struct fm_caller *session,
                                           const struct fm_call *call, struct fm_buf *reply,
                                           struct fm_error *err);

enum fm_status fm_rpc_query_open(struct fm_server *server, const struct fm_caller *caller,
                                 struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_query_fetch(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_query_cancel(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_fragment_open(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply,
                                    struct fm_error *err);
enum fm_status fm_rpc_fragment_fetch(struct fm_server *server, const struct fm_caller *caller,
                                     struct fm_span body, struct fm_buf *reply,
                                     struct fm_error *err);
enum fm_status fm_rpc_fragment_cancel(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err);
enum fm_status fm_rpc_append_begin(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_append_rows(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_append_commit(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply,
                                    struct fm_error *err);
enum fm_status fm_rpc_append_abort(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_product_plan(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_product_apply(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply,
                                    struct fm_error *err);
enum fm_status fm_rpc_product_list(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_product_show(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_product_statistics(struct fm_server *server, const struct fm_caller *caller,
                                         struct fm_span body, struct fm_buf *reply,
                                         struct fm_error *err);
enum fm_status fm_rpc_members(struct fm_server *server, const struct fm_caller *caller,
                              struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_record_get(struct fm_server *server, const struct fm_caller *caller,
                                 struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_record_list(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err);
enum fm_status fm_rpc_checkpoint_make(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err);
enum fm_status fm_rpc_checkpoint_drop(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err);
enum fm_status fm_rpc_erase_subject(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply,
                                    struct fm_error *err);

/* FM_OK where this node owns the domain; else FM_INVALID, naming the node that does and what is to
 * be done there, or FM_NOTFOUND, with `what` not being there, when no node is known to. */
FM_MUST_USE enum fm_status fm_server_owns(struct fm_server *server, const char *domain,
                                          const char *verb, const char *what, struct fm_error *err);

/* Appends begun and not yet committed: bounded, dropped after FM_CURSOR_LEASE_MS without rows. */
FM_MUST_USE enum fm_status fm_append_table_new(struct fm_append_table **out);
void fm_append_table_free(struct fm_append_table *table);
void fm_append_table_reap(struct fm_append_table *table, fm_ms now);

/* The head of a table at a state of its log, signed by this node's log key, as a note. */
FM_MUST_USE enum fm_status fm_server_head(struct fm_server *server, const char *domain,
                                          const char *table, uint32_t epoch, uint64_t size,
                                          const struct fm_hash *root, struct fm_buf *note);

#endif
