/* Nodes as processes on loopback, made by the programs of the build: a node owns the domain of its
 * name. Everything lives in a folder of its own that live_mesh_free() removes; the processes end
 * with it, also when the test dies.
 * Threads: one. Errors: what a test cannot go on without fails the test. */
#ifndef FM_TESTS_SUPPORT_LIVE_MESH_H
#define FM_TESTS_SUPPORT_LIVE_MESH_H

#include "client/connection.h"

#include <sys/types.h>

#define LIVE_NODES_MAX 4u
#define LIVE_PATH_MAX 256u

struct live_node {
    char name[32];
    char address[64]; /* Empty until it runs. */
    uint16_t port;
    pid_t pid; /* 0: not running. */
    int starts;
    const char *postgres; /* Where it listens for PostgreSQL clients; NULL: not at all. */
    uint16_t postgres_port;
    const char *program; /* Run instead of folkmoot by live_start(); NULL: folkmoot. */
};

struct live_mesh {
    char dir[64];
    uint32_t count;
    struct live_node nodes[LIVE_NODES_MAX];
};

struct live_result {
    int exit_code; /* 128 + signal. */
    struct fm_buf out;
    struct fm_buf err;
};

/* The authority of a mesh, no nodes yet. */
struct live_mesh *live_mesh_new(void);
void live_mesh_free(struct live_mesh *mesh);
/* "<dir>/<name>". */
const char *live_path(const struct live_mesh *mesh, const char *name, char out[LIVE_PATH_MAX]);

/* Init, invite, join; it does not run yet. */
struct live_node *live_make_node(struct live_mesh *mesh, const char *name);
/* Add lines to node.yaml of a node that was made and not started. */
void live_configure(const struct live_mesh *mesh, const char *name, const char *lines);
/* Start and wait until it serves; the first time on any free port, later on the same one. */
void live_start(struct live_mesh *mesh, struct live_node *node);
/* SIGKILL and wait. */
void live_kill(struct live_node *node);
/* Is the process there? A node that ended by itself is not. */
bool live_runs(struct live_node *node);
/* A principal's identity in "<dir>/<name>"; roles end with NULL. */
void live_make_principal(struct live_mesh *mesh, const char *name, const char *const *roles);
/* The folkmoot program with these arguments, NULL at the end, as `principal` (NULL: nobody) at
 * `node` (NULL: none). At most 60 s. */
void live_cli(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
              const char *const *arguments, struct live_result *result);
/* The same in two steps: what it prints meanwhile must fit a pipe. */
struct live_process {
    pid_t pid;
    int out;
    int err;
};
struct live_process live_cli_begin(const struct live_mesh *mesh, const char *principal,
                                   const struct live_node *node, const char *const *arguments);
void live_cli_end(struct live_process *process, struct live_result *result);
/* The same, which must end with 0; its output as text, to be freed. */
char *live_output(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
                  const char *const *arguments);
void live_result_deinit(struct live_result *result);
/* `text` has `part` in it; how often. */
void live_assert_says(const char *text, const char *part);
uint32_t live_count(const char *text, const char *part);
/* Until `node` sees that many living members and products. */
void live_wait(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
               uint32_t members, uint32_t products);
/* Publish a product "<domain>" with a table "items" (id integer, primary key; text string) and
 * append `rows` rows. Principal "<domain>-team" is made. */
void live_publish(struct live_mesh *mesh, const struct live_node *node, uint32_t rows);
/* Append rows, as CSV with a header, to a table of the node as "<domain>-team". */
void live_append(const struct live_mesh *mesh, const struct live_node *node, const char *table,
                 struct fm_span csv);

/* What the folder's files hold. Freed by the caller. */
struct fm_identity *live_identity(const struct live_mesh *mesh, const char *name,
                                  enum fm_payload_kind kind);
struct fm_key *live_authority(const struct live_mesh *mesh);

/* From /proc. */
struct live_usage {
    uint64_t rss_kib;
    uint32_t fds;
    uint32_t threads;
    uint32_t processes; /* Children and theirs. */
};
struct live_usage live_usage(pid_t pid);
/* At most that much more memory; sanitizers keep more, with them it is not looked at. */
void live_assert_growth(const struct live_usage *before, const struct live_usage *after,
                        uint32_t mib);
pid_t live_parent(pid_t pid); /* 0: it has gone. */
/* Processes below `pid`: how many; the first `max` of them into `out`. */
uint32_t live_children(pid_t pid, pid_t *out, uint32_t max);

#endif
