#include "node/config.h"

#include "client/identity.h"
#include "node/yaml.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum value_kind { VALUE_PATH, VALUE_ADDRESS, VALUE_SEEDS, VALUE_U32, VALUE_U64, VALUE_CHOICE };

struct choice {
    const char *text;
    unsigned value;
};

static const struct choice levels[] = {
    {"debug", FM_LOG_DEBUG},
    {"info", FM_LOG_INFO},
    {"warn", FM_LOG_WARN},
    {"error", FM_LOG_ERROR},
    {NULL, 0},
};

static const struct choice formats[] = {
    {"text", FM_LOG_TEXT},
    {"json", FM_LOG_JSON},
    {NULL, 0},
};

_Static_assert(sizeof(enum fm_log_level) == sizeof(unsigned), "choices are written as unsigned");
_Static_assert(sizeof(enum fm_log_format) == sizeof(unsigned), "choices are written as unsigned");

/* One row per key: the only place that names it. */
static const struct key {
    const char *name;
    enum value_kind kind;
    size_t at; /* In struct fm_node_config. */
    uint64_t min;
    uint64_t max; /* Addresses: `min` is the lowest port. */
    const struct choice *choices;
    const char *what; /* Comment in the printed form. */
} keys[] = {
#define AT(member) offsetof(struct fm_node_config, member)
    {"data", VALUE_PATH, AT(data), 0, 0, NULL, "folder of the store"},
    {"listen", VALUE_ADDRESS, AT(listen), 0, 0, NULL, "host:port for streams and datagrams"},
    {"advertise", VALUE_ADDRESS, AT(advertise), 1, 0, NULL,
     "host:port that others are told; empty: as listen"},
    {"postgres", VALUE_ADDRESS, AT(postgres), 0, 0, NULL,
     "host:port for PostgreSQL clients; empty: none"},
    {"http", VALUE_ADDRESS, AT(http), 0, 0, NULL, "host:port for HTTP clients; empty: none"},
    {"tls_certificate", VALUE_PATH, AT(tls_certificate), 0, 0, NULL,
     "PEM file with the chain; empty: the node makes its own"},
    {"tls_key", VALUE_PATH, AT(tls_key), 0, 0, NULL, "PEM file with the certificate's key"},
    {"seeds", VALUE_SEEDS, AT(seeds), 1, 0, NULL, "host:port of nodes to join"},
    {"worker", VALUE_PATH, AT(worker), 0, 0, NULL,
     "folkmoot-worker; empty: beside the executable, or as installed"},
    {"worker_threads", VALUE_U32, AT(worker_threads), 0, 64, NULL,
     "engine threads of a query; 0: by processors"},
    {"workers_spare", VALUE_U32, AT(workers_spare), 0, 8, NULL, "engine processes kept ready"},
    {"workers_warm_ms", VALUE_U32, AT(workers_warm_ms), 0, 600000, NULL,
     "how long an engine process waits for whom it served; 0: not at all"},
    {"memory_mib", VALUE_U32, AT(memory_mib), 64, 1048576, NULL, "memory of one query's engine"},
    {"spill", VALUE_PATH, AT(spill), 0, 0, NULL,
     "folder for what does not fit memory_mib; empty: the node's"},
    {"spill_mib", VALUE_U32, AT(spill_mib), 0, UINT32_MAX, NULL,
     "disk space that one query's engine may take there; 0: none"},
    {"free_mib_min", VALUE_U32, AT(free_mib_min), 1, UINT32_MAX, NULL,
     "free disk space that appends leave"},
    {"cache_mib", VALUE_U32, AT(cache_mib), 8, 1048576, NULL, "cache of the store"},
    {"query_timeout_ms", VALUE_U32, AT(query_timeout_ms), 1, FM_QUERY_MS_MAX, NULL,
     "longest query"},
    {"queries_max", VALUE_U32, AT(queries_max), 1, FM_QUERIES_MAX, NULL, "queries merged at once"},
    {"fragments_max", VALUE_U32, AT(fragments_max), 1, FM_FRAGMENTS_MAX, NULL,
     "queries of all nodes that this node runs parts of at once"},
    {"query_memory_mib", VALUE_U32, AT(query_memory_mib), 0, UINT32_MAX, NULL,
     "memory of all engine processes; 0: three quarters of the machine's"},
    {"wait_ms", VALUE_U32, AT(wait_ms), 1, FM_WAIT_MS_MAX, NULL,
     "longest wait of a query for its turn"},
    {"query_rows_max", VALUE_U64, AT(query_rows_max), 0, UINT64_MAX, NULL,
     "longest answer in rows; 0: any"},
    {"log_level", VALUE_CHOICE, AT(log_level), 0, 0, levels, "debug, info, warn, error"},
    {"log_format", VALUE_CHOICE, AT(log_format), 0, 0, formats, "text, json"},
#undef AT
};

#define KEY_COUNT (sizeof keys / sizeof keys[0])

static void *member(struct fm_node_config *config, const struct key *key)
{
    return (char *)config + key->at;
}

static const void *member_of(const struct fm_node_config *config, const struct key *key)
{
    return (const char *)config + key->at;
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static bool host_is_valid(const char *host, size_t len)
{
    bool has_brackets = len >= 4 && host[0] == '[' && host[len - 1] == ']';
    const char *allowed = has_brackets ? "0123456789abcdefABCDEF:.%" : ".-_";

    if (len == 0 || len > 253)
        return false;
    for (size_t i = has_brackets; i < len - has_brackets; i++) {
        char c = host[i];
        bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (strchr(allowed, c) == NULL && (has_brackets || !is_word))
            return false;
    }
    return true;
}

enum fm_status fm_address_check(const char *address, uint32_t port_min, struct fm_error *err)
{
    const char *colon = strrchr(address, ':');
    unsigned long port = 0;

    if (colon != NULL && host_is_valid(address, (size_t)(colon - address)) &&
        strlen(address) < FM_CONFIG_ADDRESS_MAX) {
        size_t digits = strspn(colon + 1, "0123456789");
        port = strtoul(colon + 1, NULL, 10);
        if (digits >= 1 && digits <= 5 && colon[1 + digits] == '\0' && port >= port_min &&
            port <= 65535)
            return FM_OK;
    }
    return fm_fail(err, FM_INVALID,
                   "'%.100s' is no address; expected host:port (port %u to 65535), IPv6 as "
                   "[::1]:%u",
                   address, port_min, FM_NODE_PORT_DEFAULT);
}

static enum fm_status set_number(struct fm_node_config *config, const struct key *key,
                                 const char *value, struct fm_error *err)
{
    uint64_t number = 0;
    const struct fm_yaml_node node = {
        .kind = FM_YAML_SCALAR, .is_plain = true, .text = value, .len = strlen(value)};

    if (!fm_yaml_uint(&node, key->max, &number) || number < key->min)
        return fm_fail(err, FM_INVALID, "'%s' must be a number from %llu to %llu", key->name,
                       (unsigned long long)key->min, (unsigned long long)key->max);
    if (key->kind == VALUE_U64) {
        memcpy(member(config, key), &number, sizeof number);
    } else {
        uint32_t narrow = (uint32_t)number; /* key->max fits. */
        memcpy(member(config, key), &narrow, sizeof narrow);
    }
    return FM_OK;
}

static enum fm_status set_choice(struct fm_node_config *config, const struct key *key,
                                 const char *value, struct fm_error *err)
{
    for (const struct choice *choice = key->choices; choice->text != NULL; choice++) {
        if (strcmp(choice->text, value) == 0) {
            memcpy(member(config, key), &choice->value, sizeof choice->value);
            return FM_OK;
        }
    }
    return fm_fail(err, FM_INVALID, "'%s' must be one of %s", key->name, key->what);
}

static enum fm_status set_text(struct fm_node_config *config, const struct key *key,
                               const char *value, struct fm_error *err)
{
    size_t size = key->kind == VALUE_PATH ? FM_CONFIG_PATH_MAX : FM_CONFIG_ADDRESS_MAX;

    if (strlen(value) >= size)
        return fm_fail(err, FM_INVALID, "'%s' is longer than %zu bytes", key->name, size - 1);
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return fm_fail(err, FM_INVALID, "'%s' has a control character", key->name);
    if (key->kind == VALUE_ADDRESS && (value[0] != '\0' || strcmp(key->name, "listen") == 0)) {
        enum fm_status status = fm_address_check(value, (uint32_t)key->min, err);
        if (status != FM_OK)
            return fm_wrap(err, status, "'%s'", key->name);
    }
    memcpy(member(config, key), value, strlen(value) + 1);
    return FM_OK;
}

static enum fm_status add_seed(struct fm_node_config *config, const char *value,
                               struct fm_error *err)
{
    if (config->seed_count == FM_SEEDS_MAX)
        return fm_fail(err, FM_INVALID, "more than %u seeds", FM_SEEDS_MAX);
    enum fm_status status = fm_address_check(value, 1, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "'seeds'");
    memcpy(config->seeds[config->seed_count++], value, strlen(value) + 1);
    return FM_OK;
}

static enum fm_status set_value(struct fm_node_config *config, const struct key *key,
                                const char *value, struct fm_error *err)
{
    switch (key->kind) {
    case VALUE_PATH:
    case VALUE_ADDRESS:
        return set_text(config, key, value, err);
    case VALUE_SEEDS:
        return add_seed(config, value, err);
    case VALUE_U32:
    case VALUE_U64:
        return set_number(config, key, value, err);
    case VALUE_CHOICE:
        return set_choice(config, key, value, err);
    }
    return FM_INTERNAL;
}

enum fm_status fm_node_config_set(struct fm_node_config *config, const char *key, const char *value,
                                  struct fm_error *err)
{
    const struct key *found = find_key(key);

    if (found == NULL)
        return fm_fail(err, FM_INVALID, "there is no setting '%.64s'", key);
    return set_value(config, found, value, err);
}

enum fm_status fm_node_config_init(struct fm_node_config *config, const char *dir,
                                   struct fm_error *err)
{
    *config = (struct fm_node_config){
        .workers_spare = 2,
        .workers_warm_ms = FM_WORKERS_WARM_MS,
        .memory_mib = 512,
        .spill_mib = 2048,
        .cache_mib = 256,
        .free_mib_min = 256,
        .query_timeout_ms = FM_QUERY_MS_DEFAULT,
        .queries_max = FM_QUERIES_MAX,
        .fragments_max = FM_FRAGMENTS_MAX,
        .wait_ms = FM_WAIT_MS_MAX,
        .log_level = FM_LOG_INFO,
    };
    int data = snprintf(config->data, sizeof config->data, "%s/data", dir);
    if (data < 0 || (size_t)data >= sizeof config->data)
        return fm_fail(err, FM_LIMIT, "the path is too long: %s", dir);
    (void)snprintf(config->dir, sizeof config->dir, "%s", dir); /* Shorter than `data`. */
    (void)snprintf(config->listen, sizeof config->listen, "127.0.0.1:%u", FM_NODE_PORT_DEFAULT);
    (void)snprintf(config->postgres, sizeof config->postgres, "%s", FM_POSTGRES_DEFAULT);
    (void)snprintf(config->http, sizeof config->http, "%s", FM_HTTP_DEFAULT);
    return FM_OK;
}

static enum fm_status parse_seeds(struct fm_node_config *config, const struct fm_yaml *yaml,
                                  const struct fm_yaml_node *node, struct fm_error *err)
{
    struct fm_error inner = {0};

    config->seed_count = 0;
    if (fm_yaml_is_null(node))
        return FM_OK;
    if (node->kind != FM_YAML_SEQUENCE)
        return fm_yaml_fail(err, yaml, node, "'seeds' is %s; a list of host:port is expected",
                            fm_yaml_kind_text(node));
    for (const struct fm_yaml_node *item = node->first; item != NULL; item = item->next) {
        if (item->kind != FM_YAML_SCALAR)
            return fm_yaml_fail(err, yaml, item, "a seed is %s; host:port is expected",
                                fm_yaml_kind_text(item));
        if (add_seed(config, item->text, &inner) != FM_OK)
            return fm_yaml_fail(err, yaml, item, "%s", inner.text);
    }
    return FM_OK;
}

static enum fm_status parse_key(struct fm_node_config *config, const struct fm_yaml *yaml,
                                const struct fm_yaml_node *node, struct fm_error *err)
{
    const struct key *key = find_key(node->key);
    struct fm_error inner = {0};

    if (key == NULL)
        return fm_yaml_fail_key(err, yaml, node,
                                "there is no setting '%.64s'; folkmoot node start --print-config "
                                "shows all",
                                node->key);
    if (key->kind == VALUE_SEEDS)
        return parse_seeds(config, yaml, node, err);
    bool is_text = key->kind == VALUE_PATH || key->kind == VALUE_ADDRESS;
    if (node->kind != FM_YAML_SCALAR || (fm_yaml_is_null(node) && !is_text))
        return fm_yaml_fail(err, yaml, node, "'%s' is %s; %s is expected", key->name,
                            fm_yaml_kind_text(node), is_text ? "a text" : "a value");
    if (set_value(config, key, fm_yaml_is_null(node) ? "" : node->text, &inner) != FM_OK)
        return fm_yaml_fail(err, yaml, node, "%s", inner.text);
    return FM_OK;
}

enum fm_status fm_node_config_parse(struct fm_node_config *config, struct fm_span yaml,
                                    const char *name, struct fm_error *err)
{
    FM_AUTO(fm_yaml_freep) struct fm_yaml *tree = NULL;

    if (yaml.len > FM_CONFIG_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "%s has %zu bytes; a configuration may have %u", name,
                       yaml.len, FM_CONFIG_BYTES_MAX);
    enum fm_status status = fm_yaml_parse(yaml, name, &tree, err);
    if (status != FM_OK)
        return status;
    const struct fm_yaml_node *root = fm_yaml_root(tree);
    if (fm_yaml_is_null(root))
        return FM_OK;
    if (root->kind != FM_YAML_MAPPING)
        return fm_yaml_fail(err, tree, root, "this is %s; a mapping of settings is expected",
                            fm_yaml_kind_text(root));
    for (const struct fm_yaml_node *node = root->first; node != NULL; node = node->next) {
        status = parse_key(config, tree, node, err);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* A relative path in a file means: from the file's folder. */
static enum fm_status resolve(char *path, const char *file, struct fm_error *err)
{
    char joined[FM_CONFIG_PATH_MAX];
    const char *slash = strrchr(file, '/');

    if (path[0] == '\0' || path[0] == '/' || slash == NULL)
        return FM_OK;
    int len = snprintf(joined, sizeof joined, "%.*s/%s", (int)(slash - file), file, path);
    if (len < 0 || (size_t)len >= sizeof joined)
        return fm_fail(err, FM_LIMIT, "%s: the path is too long: %s", file, path);
    memcpy(path, joined, (size_t)len + 1);
    return FM_OK;
}

enum fm_status fm_node_config_read(struct fm_node_config *config, const char *path,
                                   struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_CONFIG_BYTES_MAX);
    char data[FM_CONFIG_PATH_MAX], worker[FM_CONFIG_PATH_MAX], spill[FM_CONFIG_PATH_MAX];

    memcpy(data, config->data, sizeof data);
    memcpy(spill, config->spill, sizeof spill);
    memcpy(worker, config->worker, sizeof worker);
    enum fm_status status = fm_file_read(path, FM_CONFIG_BYTES_MAX, &bytes, err);
    if (status == FM_OK)
        status = fm_node_config_parse(config, fm_buf_span(&bytes), path, err);
    if (status == FM_OK && strcmp(data, config->data) != 0)
        status = resolve(config->data, path, err);
    if (status == FM_OK && strcmp(worker, config->worker) != 0)
        status = resolve(config->worker, path, err);
    if (status == FM_OK && strcmp(spill, config->spill) != 0)
        status = resolve(config->spill, path, err);
    return status;
}

/* A double-quoted YAML scalar. */
static void print_text(struct fm_buf *out, const char *text)
{
    fm_buf_put_u8(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fm_buf_put_u8(out, '\\');
        fm_buf_put_u8(out, (uint8_t)*text);
    }
    fm_buf_put_u8(out, '"');
}

static void print_seeds(struct fm_buf *out, const struct fm_node_config *config)
{
    fm_buf_put_str(out, "[");
    for (uint32_t i = 0; i < config->seed_count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ", ");
        print_text(out, config->seeds[i]);
    }
    fm_buf_put_str(out, "]");
}

static void print_number(struct fm_buf *out, const struct fm_node_config *config,
                         const struct key *key)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;

    if (key->kind == VALUE_U64) {
        memcpy(&wide, member_of(config, key), sizeof wide);
    } else {
        memcpy(&narrow, member_of(config, key), sizeof narrow);
        wide = narrow;
    }
    fm_buf_printf(out, "%llu", (unsigned long long)wide);
}

static void print_choice(struct fm_buf *out, const struct fm_node_config *config,
                         const struct key *key)
{
    unsigned value = 0;

    memcpy(&value, member_of(config, key), sizeof value);
    for (const struct choice *choice = key->choices; choice->text != NULL; choice++)
        if (choice->value == value)
            fm_buf_put_str(out, choice->text);
}

void fm_node_config_print(const struct fm_node_config *config, struct fm_buf *out)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &keys[i];
        fm_buf_printf(out, "# %s\n%s: ", key->what, key->name);
        switch (key->kind) {
        case VALUE_PATH:
        case VALUE_ADDRESS:
            print_text(out, member_of(config, key));
            break;
        case VALUE_SEEDS:
            print_seeds(out, config);
            break;
        case VALUE_U32:
        case VALUE_U64:
            print_number(out, config, key);
            break;
        case VALUE_CHOICE:
            print_choice(out, config, key);
            break;
        }
        fm_buf_put_str(out, "\n");
    }
}

const char *fm_log_level_text(enum fm_log_level level)
{
    for (const struct choice *choice = levels; choice->text != NULL; choice++)
        if (choice->value == (unsigned)level)
            return choice->text;
    return "unknown";
}
