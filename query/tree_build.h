/* Pieces of a syntax tree, made as the engine writes them, and places in one.
 *
 * Ownership: what builds a node takes the references that it is given and answers a new one; NULL
 * when memory ran out, also when an argument is NULL, so that calls may be nested and looked at
 * once. "None" for an optional argument is json_null(). */
#ifndef FM_QUERY_TREE_BUILD_H
#define FM_QUERY_TREE_BUILD_H

#include "query/tree_json.h"

json_t *tree_build_column(const char *qualifier, const char *name);
json_t *tree_build_integer(int value);
/* name(argument) FILTER (WHERE filter), an aggregate; both may be none. */
json_t *tree_build_call(const char *name, json_t *argument, json_t *filter);
/* left `name` right, as "*" or "/". */
json_t *tree_build_arithmetic(const char *name, json_t *left, json_t *right);
json_t *tree_build_cast(json_t *child, const char *type);
json_t *tree_build_decimal_cast(json_t *child, int width);
/* COMPARE_GREATERTHAN and its like. */
json_t *tree_build_compare(const char *type, json_t *left, json_t *right);
/* OPERATOR_COALESCE, OPERATOR_IS_NOT_NULL: of one operand, or two when `second` is not none. */
json_t *tree_build_operator(const char *type, json_t *first, json_t *second);
/* Both; either may be none. */
json_t *tree_build_and(json_t *left, json_t *right);
/* The conjunction of an array, none when it is empty. */
json_t *tree_build_all(json_t *conditions);
/* SELECT items FROM from WHERE where GROUP BY groups HAVING having. */
json_t *tree_build_select(json_t *items, json_t *from, json_t *where, json_t *groups,
                          json_t *having);
json_t *tree_build_cross_join(json_t *left, json_t *right);
/* (node) AS alias. */
json_t *tree_build_derived(json_t *node, const char *alias);
/* `node` under another name; a copy of it, the node's reference is taken. */
json_t *tree_build_named(json_t *node, const char *alias);

/* Where an expression stands: a member of an object, or an item of an array. */
struct tree_place {
    json_t *parent;
    const char *key; /* NULL: item `index` of an array. */
    size_t index;
};

json_t *tree_place_get(const struct tree_place *place); /* Borrowed. */
/* Takes the reference; FM_NOMEM when that is NULL. */
FM_MUST_USE enum fm_status tree_place_put(const struct tree_place *place, json_t *node);

/* Call `visit` for each expression right below `node`, which passed the gate (tree.h), until one
 * fails: also the child of a subquery, but nothing inside the query itself. */
typedef enum fm_status (*tree_visit)(void *context, const struct tree_place *place);
FM_MUST_USE enum fm_status tree_each_child(json_t *node, tree_visit visit, void *context);

/* Equal but for positions in the text. */
bool tree_same(const json_t *a, const json_t *b);

#endif
