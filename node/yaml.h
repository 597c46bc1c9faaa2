/* YAML files of users as a small bounded tree that remembers where each value stood, so that every
 * complaint can say "file:line:column". Over libfyaml's event stream: no aliases (one line of them
 * can stand for gigabytes), no repeated keys, one document, UTF-8 without NUL.
 * Ownership: a document owns everything in it. Threads: immutable once parsed. */
#ifndef FM_NODE_YAML_H
#define FM_NODE_YAML_H

#include "core/bytes.h"

#define FM_YAML_NODES_MAX 65536u
#define FM_YAML_DEPTH_MAX 32u
#define FM_YAML_KEYS_MAX 4096u /* Of one mapping; repeats are looked for pair by pair. */

enum fm_yaml_kind { FM_YAML_SCALAR = 1, FM_YAML_SEQUENCE = 2, FM_YAML_MAPPING = 3 };

struct fm_yaml_node {
    enum fm_yaml_kind kind;
    bool is_plain;     /* A scalar without quotes: may mean a number, boolean or null. */
    const char *key;   /* In a mapping; NUL-terminated; else NULL. */
    uint32_t key_line; /* Where the key stands; 1-based, as all places. */
    uint32_t key_column;
    const char *text; /* A scalar's, NUL-terminated and without a NUL inside. */
    size_t len;
    uint32_t line;
    uint32_t column;
    uint32_t count; /* Children. */
    const struct fm_yaml_node *first;
    const struct fm_yaml_node *next; /* Sibling. */
};

struct fm_yaml;

/* `name` stands in front of places in messages; copied. FM_INVALID: not YAML, or not of the form
 * above, as "name:line:column: why". FM_LIMIT, FM_NOMEM. */
FM_MUST_USE enum fm_status fm_yaml_parse(struct fm_span bytes, const char *name,
                                         struct fm_yaml **out, struct fm_error *err);
void fm_yaml_free(struct fm_yaml *yaml);
FM_DEFINE_FREEP(fm_yaml_freep, struct fm_yaml, fm_yaml_free)

/* The document's value, NULL when the file is empty. */
const struct fm_yaml_node *fm_yaml_root(const struct fm_yaml *yaml);

/* The value of a mapping's key, NULL when there is none or `map` is NULL or no mapping. */
const struct fm_yaml_node *fm_yaml_get(const struct fm_yaml_node *map, const char *key);
/* NULL, "~" or "null" without quotes, or nothing at all. */
bool fm_yaml_is_null(const struct fm_yaml_node *node);
/* "mapping", "list", "text", for messages. */
const char *fm_yaml_kind_text(const struct fm_yaml_node *node);

/* Numbers and booleans as YAML 1.2's core schema writes them; false when `node` is none. */
bool fm_yaml_bool(const struct fm_yaml_node *node, bool *out);
bool fm_yaml_uint(const struct fm_yaml_node *node, uint64_t max, uint64_t *out);

/* FM_INVALID with "name:line:column: ..." for the place of `node` (NULL: the whole file). */
FM_MUST_USE enum fm_status fm_yaml_fail(struct fm_error *err, const struct fm_yaml *yaml,
                                        const struct fm_yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for the place of the node's key. */
FM_MUST_USE enum fm_status fm_yaml_fail_key(struct fm_error *err, const struct fm_yaml *yaml,
                                            const struct fm_yaml_node *node, const char *format,
                                            ...) __attribute__((format(printf, 4, 5)));

#endif
