/* The syntax tree of one statement, from the engine's JSON: checked against a list of what is
 * allowed (tree_forms.c), its tables found, and rewritten to read slots. What is not on the list is
 * refused, also a key that a newer engine might add: nothing unseen passes.
 *
 * The walk also learns which field names are used in such a way that an ENUM in place of text could
 * be noticed (tree_uses.h).
 * Threads: one per tree. Ownership: tree_deinit(); nodes are borrowed from `root`. */
#ifndef FM_QUERY_TREE_H
#define FM_QUERY_TREE_H

#include "core/limits.h"
#include "core/records.h"
#include "query/tree_json.h"
#include "query/tree_uses.h"

#define TREE_CTES_MAX 1024u /* In scope at once. */
#define TREE_SLOT_PREFIX "fm_slot_"

struct tree_table { /* One occurrence of a base table; its number is its slot. */
    json_t *node;
    char domain[FM_NAME_MAX + 1]; /* Lower case. */
    char name[FM_NAME_MAX + 1];   /* Lower case. */
    const char *alias; /* What columns are qualified with: the alias or the name as written. */
    bool has_alias;
    struct fm_at at;
};

struct tree {
    json_t *root;       /* Owned: {"error": false, "statements": [..]}. */
    struct fm_span sql; /* Borrowed, for positions. */
    struct fm_error *err;
    uint32_t table_count;
    struct tree_table tables[FM_QUERY_TABLES_MAX];
    json_t *kept; /* Owned array: old nodes whose strings `tables` still uses. */
    json_t
        *shared_names; /* Owned object: what a table and something else are called, lower case. */
    bool qualifies;    /* Some column is written with three or more parts. */
    bool shortened;
    struct tree_uses uses;
    bool timed;      /* Asks what time it is: constants in a plan hold for that plan only. */
    bool clock_left; /* Some of that is asked in a way that tree_fix_clock() does not know. */
    bool is_merge;   /* It reads fm_scan(0) .. and no tables. */
    uint32_t slot_count;
    /* Of the walk. */
    const char *ctes[TREE_CTES_MAX];
    uint32_t cte_count;
    enum tree_use item_use; /* What the select list at hand is used for. */
};

/* Parse and check the engine's answer for `sql`. FM_INVALID: not exactly one SELECT, or something
 * in it is not allowed, with its position; FM_NOTFOUND: a table without a domain; FM_LIMIT. */
FM_MUST_USE enum fm_status tree_read(struct tree *tree, struct fm_span sql, struct fm_span json,
                                     struct fm_error *err);
/* The same for the statement of a merge, made by a planner: it reads slots, each once or by
 * tree_share()'s names, and no tables. */
FM_MUST_USE enum fm_status tree_read_merge(struct tree *tree, uint32_t slot_count,
                                           struct fm_span sql, struct fm_span json,
                                           struct fm_error *err);
void tree_deinit(struct tree *tree);

/* flights.delays.origin becomes delays.origin where flights.delays is read without an alias; where
 * anything else is called delays too, the table gets an alias of its own. Names are looked up as
 * the engine does: in the FROM at hand, then in those around. Once is enough. */
FM_MUST_USE enum fm_status tree_shorten(struct tree *tree);

/* SELECT DISTINCT of columns becomes SELECT .. GROUP BY ALL where that gives the same rows for
 * certain: the statement itself, not what stands within it. FM_NOMEM. */
FM_MUST_USE enum fm_status tree_group_distinct(struct tree *tree);

/* Let now(), current_date and their like mean `now_us`, microseconds since 1970 (0: leave them).
 * Where all of them are certain, the statement is no longer `timed`. FM_NOMEM. */
FM_MUST_USE enum fm_status tree_fix_clock(struct tree *tree, int64_t now_us);
/* Whether the expression is one that tree_fix_clock() knows. */
bool tree_is_clock(const json_t *node);
/* Whether a column of this name hides such a word. */
bool tree_is_clock_word(const char *name);

/* A reference to fm_scan(slot) as table `slot` is referred to; a new object, NULL: no memory. */
json_t *tree_scan_of(const struct tree *tree, uint32_t slot);

/* Let table n be fm_scan(n), or, where bit n of `shared` is set, the CTE fm_slot_<n>, which
 * tree_share() declares. May be called again with another mask. */
FM_MUST_USE enum fm_status tree_point(struct tree *tree, uint64_t shared);

/* Put "WITH fm_slot_<n> AS MATERIALIZED (SELECT * FROM fm_scan(<n>)), .." in front of a statement
 * that the engine printed. By text, because printing loses the word MATERIALIZED. */
FM_MUST_USE enum fm_status tree_share(struct fm_span sql, uint64_t shared, struct fm_buf *out);

/* Append to `items` the columns of select lists that have no alias and read a base table, which the
 * engine would name by what stands in the table's place. */
FM_MUST_USE enum fm_status tree_nameless(const struct tree *tree, json_t *items);
/* A whole statement: SELECT and this item, without FROM. NULL: no memory. */
json_t *tree_select_of(json_t *item);

/* Whether a table without an alias and something else in the statement are both called so. */
bool tree_is_shared_name(const struct tree *tree, const char *name);

/* ---- Between the files of the walk ----------------------------------------------------------- */

/* FM_INVALID with "line l, column c: " before the text when `node` knows its position. */
FM_MUST_USE enum fm_status tree_fail(struct tree *tree, const json_t *node, enum fm_status status,
                                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* After the walk: joins in a form that the engine prints unmistakably, divisions in one that it
 * always takes alike. FM_INVALID: a join has none. */
FM_MUST_USE enum fm_status tree_settle_joins(struct tree *tree);

/* After that: fill shared_names. FM_NOMEM. */
FM_MUST_USE enum fm_status tree_find_shared_names(struct tree *tree);

FM_MUST_USE enum fm_status tree_walk_node(struct tree *tree, json_t *node, enum tree_use item_use);
FM_MUST_USE enum fm_status tree_walk_query(struct tree *tree, json_t *query,
                                           enum tree_use item_use);
FM_MUST_USE enum fm_status tree_walk_from(struct tree *tree, json_t *node);
FM_MUST_USE enum fm_status tree_walk_expression(struct tree *tree, json_t *node, enum tree_use use);
FM_MUST_USE enum fm_status tree_walk_base_table(struct tree *tree, json_t *node);

/* AT (unit => constant) of a base table; `clause` may be null. */
FM_MUST_USE enum fm_status tree_read_at(struct tree *tree, const json_t *table,
                                        const json_t *clause, struct fm_at *out);

/* Why a function may not be called, NULL when it may. */
const char *tree_function_refused(const char *name);

#endif
