/* The configuration of a node: defaults, then <dir>/node.yaml, then flags; each later one wins.
 * docs/cli.md lists the keys. Ownership: a plain struct without pointers. Threads: immutable once
 * the node runs. */
#ifndef FM_NODE_CONFIG_H
#define FM_NODE_CONFIG_H

#include "core/bytes.h"
#include "core/limits.h"

#include <stdint.h>

#define FM_CONFIG_ADDRESS_MAX 280u /* "host:port" with its NUL; a host has at most 253 bytes. */
#define FM_CONFIG_PATH_MAX 4096u
#define FM_CONFIG_BYTES_MAX (64u << 10)
#define FM_CONFIG_FILE "node.yaml"
#define FM_NODE_PORT_DEFAULT 7410u
#define FM_POSTGRES_DEFAULT "127.0.0.1:7432" /* Done without when it is in use, */
#define FM_HTTP_DEFAULT "127.0.0.1:7480"     /* and so is this one. */

enum fm_log_level { FM_LOG_DEBUG = 0, FM_LOG_INFO = 1, FM_LOG_WARN = 2, FM_LOG_ERROR = 3 };
enum fm_log_format { FM_LOG_TEXT = 0, FM_LOG_JSON = 1 };

struct fm_node_config {
    char dir[FM_CONFIG_PATH_MAX];          /* Identity: charter, certificate, keys, log, gossip. */
    char data[FM_CONFIG_PATH_MAX];         /* The store. Default: <dir>/data. */
    char listen[FM_CONFIG_ADDRESS_MAX];    /* "host:port"; port 0: any free one. */
    char advertise[FM_CONFIG_ADDRESS_MAX]; /* What others are told; empty: as `listen`. */
    char postgres[FM_CONFIG_ADDRESS_MAX];  /* For PostgreSQL clients; empty: none. */
    char http[FM_CONFIG_ADDRESS_MAX];      /* For HTTP clients; empty: none. */
    char tls_certificate[FM_CONFIG_PATH_MAX]; /* PEM; empty: the node makes its own. */
    char tls_key[FM_CONFIG_PATH_MAX];
    uint32_t seed_count;
    char seeds[FM_SEEDS_MAX][FM_CONFIG_ADDRESS_MAX];
    char worker[FM_CONFIG_PATH_MAX]; /* folkmoot-worker; empty: beside this executable. */
    uint32_t worker_threads;         /* DuckDB threads of a worker, 0: by processors. */
    uint32_t workers_spare;          /* Workers kept warm, 0..8. */
    uint32_t workers_warm_ms;        /* Wait of one for whom it served, 0..600000; 0: none. */
    uint32_t memory_mib;             /* memory_limit of one worker, 64..1048576. */
    char spill[FM_CONFIG_PATH_MAX];  /* Folder for nameless files; empty: `dir`. */
    uint32_t spill_mib;              /* Most that one worker writes there; 0: nothing. */
    uint32_t cache_mib;              /* RocksDB's block cache, 8..1048576. */
    uint32_t free_mib_min;           /* Free space that appends leave, 1..4294967295. */
    uint32_t query_timeout_ms;       /* Longest query, 1..FM_QUERY_MS_MAX. */
    uint64_t query_rows_max;         /* Longest answer in rows, 0: no bound. */
    uint32_t queries_max;            /* Merged at once, 1..FM_QUERIES_MAX. */
    uint32_t fragments_max;          /* Queries whose fragments run, 1..FM_FRAGMENTS_MAX. */
    uint32_t query_memory_mib;       /* Of all workers; 0: three quarters of the machine's. */
    uint32_t wait_ms;                /* For a place, 1..FM_WAIT_MS_MAX. */
    enum fm_log_level log_level;
    enum fm_log_format log_format;
};

/* Defaults for the node in `dir`. FM_LIMIT: the path is too long. */
FM_MUST_USE enum fm_status fm_node_config_init(struct fm_node_config *config, const char *dir,
                                               struct fm_error *err);

/* Apply a YAML document. `name` stands in messages. An unknown key, a wrong type or value, a
 * repeated key: FM_INVALID as "name:line:column: what was expected". `config` may be half changed
 * then. A `seeds` list replaces the one before. */
FM_MUST_USE enum fm_status fm_node_config_parse(struct fm_node_config *config, struct fm_span yaml,
                                                const char *name, struct fm_error *err);
/* The same from a file; a missing file is FM_NOTFOUND. Relative paths in it count from its folder.
 */
FM_MUST_USE enum fm_status fm_node_config_read(struct fm_node_config *config, const char *path,
                                               struct fm_error *err);

/* Set one value by its key in YAML ("listen", "memory_mib"), as a flag does. `seeds` adds one. */
FM_MUST_USE enum fm_status fm_node_config_set(struct fm_node_config *config, const char *key,
                                              const char *value, struct fm_error *err);

/* The effective configuration as YAML that fm_node_config_parse() takes back. */
void fm_node_config_print(const struct fm_node_config *config, struct fm_buf *out);

/* "host:port" with a host of 1..253 bytes, an IPv6 address in brackets, a port of 0..65535 (at
 * least `port_min`). FM_INVALID says what is wrong. */
FM_MUST_USE enum fm_status fm_address_check(const char *address, uint32_t port_min,
                                            struct fm_error *err);

const char *fm_log_level_text(enum fm_log_level level);

#endif
