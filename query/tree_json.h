/* JSON between the engine and jansson. The engine writes numbers that jansson cannot hold (2^64 - 1
 * for "no position", halves of hugeints, Infinity); they are kept as an object {"fm_raw": "text"},
 * which no tree of the engine contains, and printed back as they were.
 * jansson's types are shown here, against the rule, because several files walk the same tree.
 * Threads: one per tree. Errors: FM_MALFORMED, FM_LIMIT past bytes or depth, FM_NOMEM. */
#ifndef FM_QUERY_TREE_JSON_H
#define FM_QUERY_TREE_JSON_H

#include "core/bytes.h"

#include <jansson.h>

#define TREE_JSON_BYTES_MAX (16u << 20) /* Of a tree or plan: some 60,000 literals. */

static inline void tree_json_freep(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

FM_MUST_USE enum fm_status tree_json_load(struct fm_span text, json_t **out, struct fm_error *err);
FM_MUST_USE enum fm_status tree_json_print(const json_t *json, struct fm_buf *out);

/* The text of a raw number, NULL when `json` is something else. */
const char *tree_json_raw(const json_t *json);
/* An integer in [min, max] from a number of any form; false when it is none or outside. */
bool tree_json_int(const json_t *json, int64_t min, int64_t max, int64_t *out);
bool tree_json_uint(const json_t *json, uint64_t *out);
/* A real from a number of any form ("NaN", "Infinity" too). */
bool tree_json_real(const json_t *json, double *out);

/* Member `key` when it is a string without NUL characters, else NULL. */
const char *tree_json_text(const json_t *object, const char *key);
/* True when member `key` is this string. */
bool tree_json_is(const json_t *object, const char *key, const char *text);
/* Member `key` when it is an array, else NULL. */
json_t *tree_json_array(const json_t *object, const char *key);

#endif
