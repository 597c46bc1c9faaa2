/* Which occurrence of a table a column reference belongs to, for one SELECT node.
 *
 * The engine binds names; this reads a tree before that, for rewritings that must not change what a
 * name means. So doubt is an answer: NAMES_UNKNOWN, and who asks leaves the statement alone. Known
 * are the rules of DuckDB 1.5.6: names match without regard to ASCII case; a column goes before an
 * alias of the select list except in HAVING (where both is doubt) and as a whole item of ORDER BY
 * (where the alias goes first); a dotted name is table.column before it is a struct's member;
 * USING merges two columns into one.
 *
 * Threads: one per object. Ownership: everything is borrowed from tree and plan. */
#ifndef FM_QUERY_NAMES_H
#define FM_QUERY_NAMES_H

#include "query/plan.h"
#include "query/tree.h"

#define NAMES_LEAVES_MAX FM_QUERY_TABLES_MAX
#define NAMES_NO_TABLE UINT32_MAX

struct names_leaf {    /* What FROM reads: a table, a derived table, a WITH query, a function. */
    json_t *node;      /* Its place in the tree. */
    const char *alias; /* What its columns are qualified with; "" when nothing does. */
    uint32_t table;    /* Number of the base table, or NAMES_NO_TABLE. */
    /* What is known of its columns: the base table, or a derived one by names_describe(); NULL. */
    const struct fm_plan_table *relation;
    /* Every join above keeps this side as it is: its rows come out once per match, or, where the
     * join preserves them, once without. */
    bool kept;
    /* Leaves with the same number meet in nothing but inner and cross joins. */
    uint32_t region;
    /* Its columns' names are known: a base table without column aliases, or a derived table that
     * names all it selects. */
    bool closed;
};

struct names {
    const struct tree *tree;
    const struct fm_plan_table *tables; /* By the numbers of the tree's tables. */
    json_t *node;                       /* The SELECT node. */
    uint32_t region_count;
    uint32_t leaf_count;
    struct names_leaf leaves[NAMES_LEAVES_MAX];
};

enum names_clause {
    NAMES_IN_ROWS,   /* ON, WHERE, GROUP BY, select list: columns before aliases. */
    NAMES_IN_GROUPS, /* HAVING, and inside an item of ORDER BY. */
    NAMES_IN_ORDER,  /* A whole item of ORDER BY: aliases before columns. */
};

enum names_kind {
    NAMES_UNKNOWN,
    NAMES_COLUMN, /* Of leaves[leaf]; its `field` where that has a relation. */
    NAMES_ALIAS,  /* The alias of an item of the select list and nothing else. */
    NAMES_MERGED, /* A column that USING made of two. */
};

struct names_found {
    enum names_kind kind;
    uint32_t leaf;
    uint32_t field; /* Position in the relation's schema. */
};

/* False when FROM holds more than can be kept track of. */
FM_MUST_USE bool names_read(struct names *names, const struct tree *tree,
                            const struct fm_plan_table *tables, json_t *node);
/* Leaf `leaf`, a derived table, has the columns of `relation`, which is borrowed; where it has no
 * name, what refers to it may use `alias`. */
void names_describe(struct names *names, uint32_t leaf, const struct fm_plan_table *relation,
                    const char *alias);
struct names_found names_find(const struct names *names, const json_t *column_ref,
                              enum names_clause clause);
/* The schema's field of a found column, NULL when its leaf has no relation. */
const struct fm_field *names_field(const struct names *names, const struct names_found *found);

/* May anything in this part of a tree (a subquery, a derived table) refer to leaf `leaf`? */
bool names_may_reach(const struct names *names, uint32_t leaf, const json_t *part);

/* The item of the select list that this alias names, NULL when none or several do. */
json_t *names_item(const struct names *names, const char *alias);

#endif
