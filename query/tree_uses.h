/* Which names of columns may stand for an ENUM instead of text without anybody noticing: those used
 * only bare in select lists, GROUP BY, ORDER BY, DISTINCT, comparisons with text or other bare
 * columns, count(), min() and max(). By name, over the whole statement, and doubt forbids: the
 * ENUM is only faster.
 *
 * DuckDB 1.5.6 casts an ENUM to text wherever it meets text or another ENUM, and orders it by its
 * codes, which follow the bytes of the text; what differs is, among others, hash(), lists, COLLATE,
 * JSON, and a recursive CTE whose first part gives the type.
 * jansson's objects are its sets of names.
 * Threads: one per object. Running out of memory forbids everything. */
#ifndef FM_QUERY_TREE_USES_H
#define FM_QUERY_TREE_USES_H

#include <jansson.h>
#include <stdbool.h>

enum tree_use {
    TREE_USE_OTHER,  /* May show the type. */
    TREE_USE_PLAIN,  /* Compared, grouped, ordered, counted. */
    TREE_USE_TOP,    /* Item of the statement's own select list. */
    TREE_USE_NESTED, /* Item of an inner select list: goes on under its alias. */
};

struct tree_uses {
    bool off;          /* No ENUM at all in this statement. */
    json_t *refused;   /* Owned object: names in lower case. */
    json_t *columns;   /* Owned object: names that columns are called by. */
    json_t *relations; /* Owned object: names of tables; used as a column it gives a whole row. */
    json_t *links;     /* Owned array of [name, alias]: what is refused for one is for the other. */
};

void tree_uses_refuse(struct tree_uses *uses, const char *name);
void tree_uses_link(struct tree_uses *uses, const char *name, const char *alias);
void tree_uses_column(struct tree_uses *uses, const char *name);
void tree_uses_relation(struct tree_uses *uses, const char *name);
/* Draw the conclusions; call once, before tree_uses_allows(). */
void tree_uses_settle(struct tree_uses *uses);
bool tree_uses_allows(const struct tree_uses *uses, const char *name);
void tree_uses_deinit(struct tree_uses *uses);

#endif
