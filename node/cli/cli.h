/* The command line: verbs, their options, and what they share. docs/cli.md is the manual.
 * Threads: the main thread only. Ownership: argv outlives everything here.
 * Errors:    a verb returns a status and a text; fm_cli_main() prints it once, as
 *            "folkmoot: <what, where, what to do>", and turns it into the exit code. */
#ifndef FM_NODE_CLI_CLI_H
#define FM_NODE_CLI_CLI_H

#include "client/client_internal.h"
#include "core/status.h"

#define FM_CLI_PATH_MAX 4096u
#define FM_CLI_LIST_MAX 64u
#define FM_CLI_STATEMENTS_BYTES_MAX (16u << 20) /* A file of them. */

/* Run the program. Gives the exit code. */
int fm_cli_main(int argc, char **argv);

struct fm_cli_verb {
    const char *group; /* "node" of "node start", NULL when the verb is one word. */
    const char *name;
    const char *summary; /* One line of `folkmoot --help`. */
    const char *help;    /* Fits 24 lines of 80 columns, with an example. */
    /* argv[0] is the verb's last word. */
    enum fm_status (*run)(int argc, char **argv, struct fm_error *err);
};

#define FM_CLI_VERB_MAP(X)                                                                         \
    X(mesh_create)                                                                                 \
    X(mesh_up)                                                                                     \
    X(mesh_down)                                                                                   \
    X(node_init)                                                                                   \
    X(node_invite)                                                                                 \
    X(node_join)                                                                                   \
    X(node_start)                                                                                  \
    X(token)                                                                                       \
    X(principal_create)                                                                            \
    X(product_plan)                                                                                \
    X(product_apply)                                                                               \
    X(product_list)                                                                                \
    X(product_show)                                                                                \
    X(append)                                                                                      \
    X(erase)                                                                                       \
    X(query)                                                                                       \
    X(verify)                                                                                      \
    X(members)                                                                                     \
    X(doctor)                                                                                      \
    X(backup)                                                                                      \
    X(restore)                                                                                     \
    X(version)

#define X(name) extern const struct fm_cli_verb fm_cli_##name;
FM_CLI_VERB_MAP(X)
#undef X

/* ---- Options ------------------------------------------------------------------------------- */

struct fm_cli_list {
    uint32_t count;
    const char *items[FM_CLI_LIST_MAX];
};

enum fm_cli_kind {
    FM_CLI_FLAG, /* bool: becomes true. */
    FM_CLI_TEXT, /* const char *: the last one counts. */
    FM_CLI_LIST, /* struct fm_cli_list: each adds one. */
    FM_CLI_UINT, /* uint64_t within min..max. */
};

struct fm_cli_option {
    const char *name; /* Without the dashes. */
    enum fm_cli_kind kind;
    void *out;
    uint64_t min;
    uint64_t max;
};

/* Read options and collect the rest into `rest` (at least `rest_min`, at most `rest_max`). FM_USAGE
 * for what is unknown, missing or too much. */
FM_MUST_USE enum fm_status fm_cli_options(int argc, char **argv,
                                          const struct fm_cli_option *options, size_t count,
                                          uint32_t rest_min, uint32_t rest_max,
                                          struct fm_cli_list *rest, struct fm_error *err);

/* ---- What verbs share ---------------------------------------------------------------------- */

/* Options of every verb that talks to a node. */
struct fm_cli_reach {
    const char *node; /* --node, else FOLKMOOT_NODE. */
    const char *as;   /* --as, else FOLKMOOT_IDENTITY. */
    uint64_t timeout; /* Seconds. */
};

#define FM_CLI_REACH_OPTIONS(reach)                                                                \
    {"node", FM_CLI_TEXT, &(reach)->node, 0, 0}, {"as", FM_CLI_TEXT, &(reach)->as, 0, 0},          \
    {                                                                                              \
        "timeout", FM_CLI_UINT, &(reach)->timeout, 1, FM_QUERY_MS_MAX / 1000                       \
    }

FM_MUST_USE enum fm_status fm_cli_connect(const struct fm_cli_reach *reach, struct folkmoot **out,
                                          struct fm_error *err);
FM_DEFINE_FREEP(fm_cli_closep, struct folkmoot, folkmoot_close)

/* The handle's last failure as an error of a verb. */
FM_MUST_USE enum fm_status fm_cli_failed(const struct folkmoot *handle, enum folkmoot_status status,
                                         struct fm_error *err);

/* "dir/name"; FM_LIMIT when too long. */
FM_MUST_USE enum fm_status fm_cli_path(char out[FM_CLI_PATH_MAX], const char *dir, const char *name,
                                       struct fm_error *err);
/* Make a folder (mode 0700) unless it is there. */
FM_MUST_USE enum fm_status fm_cli_make_dir(const char *dir, struct fm_error *err);
bool fm_cli_exists(const char *path);
/* A whole file, or standard input for "-". */
FM_MUST_USE enum fm_status fm_cli_read(const char *path, size_t max, struct fm_buf *out,
                                       struct fm_error *err);

/* The charter of `dir`, verified; `bytes` gets it as it is. */
FM_MUST_USE enum fm_status fm_cli_charter(const char *dir, struct fm_charter *out,
                                          struct fm_buf *bytes, struct fm_error *err);

/* A mesh folder of `mesh create`: charter and authority keys. */
struct fm_cli_mesh {
    struct fm_charter charter;
    struct fm_buf charter_bytes;
    uint32_t key_count;
    struct fm_key *keys[FM_AUTHORITY_KEYS_MAX];
};

FM_MUST_USE enum fm_status fm_cli_mesh_load(const char *dir, struct fm_cli_mesh *mesh,
                                            struct fm_error *err);
void fm_cli_mesh_deinit(struct fm_cli_mesh *mesh);

#define FM_FILE_AUTHORITY "authority" /* Several keys: authority-1, authority-2, ... */
#define FM_FILE_LOG "log"
#define FM_FILE_REQUEST "request"
#define FM_CLI_DAY_SECONDS INT64_C(86400)

#endif
