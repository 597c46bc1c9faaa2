/* The charter and the certificates that it founds. Bodies are strict msgpack maps inside envelopes
 * (docs/wire.md gives keys and vectors). Every parse function takes bytes as received and verifies
 * before it parses. Times are seconds since 1970.
 * Threads: parsed objects are immutable. Ownership: plain structs without pointers, except where
 * said. */
#ifndef FM_CORE_CERT_H
#define FM_CORE_CERT_H

#include "core/envelope.h"
#include "core/time.h"

struct fm_node_id {
    uint8_t bytes[16];
};

/* Body: 0 version, 1 mesh name, 2 authority keys (array of bin 32), 3 threshold, 4 node certificate
 * life max (s), 5 principal certificate life max (s), 6 token life max (s), 7 heartbeat bound (s;
 * 0: none), 8 created (s), 9 mesh id (bin 32; only from version 2 on). The mesh id is SHA-256 of
 * the body of version 1. */
struct fm_charter {
    uint32_t version;
    char name[FM_NAME_MAX + 1];
    struct fm_mesh_id mesh;
    uint32_t authority_count;
    struct fm_public_key authority[FM_AUTHORITY_KEYS_MAX];
    uint32_t threshold;
    uint64_t node_cert_life_max;
    uint64_t principal_cert_life_max;
    uint64_t token_life_max;
    uint64_t heartbeat_bound;
    int64_t created;
};

FM_MUST_USE enum fm_status fm_charter_seal(struct fm_charter *charter, struct fm_key *const *keys,
                                           size_t key_count, struct fm_buf *out);
/* Verifies that `threshold` of its own authority keys signed it. FM_FORGED, FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_charter_open(struct fm_span bytes, struct fm_charter *out,
                                           struct fm_error *err);

struct fm_domain_grant {
    char domain[FM_NAME_MAX + 1];
    uint32_t epoch;
    struct fm_public_key log_key; /* Signs the heads of this domain's logs. */
};

/* Body: 0 serial (bin 16), 1 node id (bin 16), 2 signing key, 3 session key, 4 domains (array of
 * [name, epoch, log key]), 5 roles (array of str), 6 not before, 7 not after, 32 name (str). */
struct fm_node_cert {
    uint8_t serial[16];
    struct fm_node_id node;
    char name[FM_NAME_MAX + 1]; /* For humans. */
    struct fm_public_key sign_key;
    struct fm_public_key session_key;
    uint32_t domain_count;
    struct fm_domain_grant domains[FM_DOMAINS_PER_NODE_MAX];
    int64_t not_before;
    int64_t not_after;
};

/* `keys` are authority keys; FM_REFUSED when fewer than the charter's threshold, or the life is
 * longer than the charter allows. */
FM_MUST_USE enum fm_status fm_node_cert_seal(const struct fm_charter *charter,
                                             const struct fm_node_cert *cert,
                                             struct fm_key *const *keys, size_t key_count,
                                             struct fm_buf *out, struct fm_error *err);
/* `now` in seconds; FM_FORGED: not signed by the authority; FM_REFUSED: not valid at `now` (with
 * FM_CLOCK_SKEW_US of tolerance). */
FM_MUST_USE enum fm_status fm_node_cert_open(const struct fm_charter *charter, struct fm_span bytes,
                                             int64_t now, struct fm_node_cert *out,
                                             struct fm_error *err);
/* The same at no particular time, for records of the past: then ask fm_cert_check_time(). */
FM_MUST_USE enum fm_status fm_node_cert_open_undated(const struct fm_charter *charter,
                                                     struct fm_span bytes, struct fm_node_cert *out,
                                                     struct fm_error *err);
/* FM_REFUSED unless not_before <= now <= not_after, with FM_CLOCK_SKEW_US of tolerance. */
FM_MUST_USE enum fm_status fm_cert_check_time(int64_t not_before, int64_t not_after, int64_t now,
                                              struct fm_error *err);
/* The grant for a domain, NULL when there is none. */
const struct fm_domain_grant *fm_node_cert_domain(const struct fm_node_cert *cert,
                                                  const char *domain);

enum fm_role {
    FM_ROLE_READER = 1, /* May read what policies let it (until policies: everything). */
    FM_ROLE_OWNER = 2,  /* Publishes contracts of a domain and appends to its tables. */
    FM_ROLE_APPENDER = 3,
    FM_ROLE_OPERATOR = 4, /* Asks a node about itself. */
    FM_ROLE_SERVICE = 5,  /* A dashboard or pool: its tokens live as long as the charter lets. */
};

struct fm_role_grant {
    enum fm_role role;
    char domain[FM_NAME_MAX + 1]; /* Empty for roles without a domain. */
};

struct fm_attribute {
    char name[FM_NAME_MAX + 1];
    char value[FM_NAME_MAX + 1];
};

/* Body: 0 serial (bin 16), 1 name, 2 roles (array of [role, domain]), 3 attributes (array of [name,
 * value]), 4 signing key, 5 session key, 6 not before, 7 not after. */
struct fm_principal_cert {
    uint8_t serial[16];
    char name[FM_NAME_MAX + 1];
    uint32_t role_count;
    struct fm_role_grant roles[FM_ROLES_MAX];
    uint32_t attribute_count;
    struct fm_attribute attributes[FM_ATTRIBUTES_MAX];
    struct fm_public_key sign_key;
    struct fm_public_key session_key;
    int64_t not_before;
    int64_t not_after;
};

FM_MUST_USE enum fm_status fm_principal_cert_seal(const struct fm_charter *charter,
                                                  const struct fm_principal_cert *cert,
                                                  struct fm_key *const *keys, size_t key_count,
                                                  struct fm_buf *out, struct fm_error *err);
FM_MUST_USE enum fm_status fm_principal_cert_open(const struct fm_charter *charter,
                                                  struct fm_span bytes, int64_t now,
                                                  struct fm_principal_cert *out,
                                                  struct fm_error *err);
FM_MUST_USE enum fm_status fm_principal_cert_open_undated(const struct fm_charter *charter,
                                                          struct fm_span bytes,
                                                          struct fm_principal_cert *out,
                                                          struct fm_error *err);
/* Exactly this role. `domain` is NULL or empty for roles without one. */
bool fm_principal_has_role(const struct fm_principal_cert *cert, enum fm_role role,
                           const char *domain);
/* "reader", "owner:flights"; FM_INVALID with the accepted forms. */
FM_MUST_USE enum fm_status fm_role_parse(const char *text, struct fm_role_grant *out,
                                         struct fm_error *err);
void fm_role_print(const struct fm_role_grant *role, struct fm_buf *out);

/* Seconds of a wall clock time. */
static inline int64_t fm_seconds(fm_us time)
{
    return time / 1000000;
}

#endif
