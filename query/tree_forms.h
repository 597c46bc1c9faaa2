/* The list of what a statement may hold: per node its keys, and per key what is behind it. */
#ifndef FM_QUERY_TREE_FORMS_H
#define FM_QUERY_TREE_FORMS_H

#include "query/tree.h"

enum tree_key_kind {
    TREE_PLAIN,    /* Text, number or boolean. */
    TREE_NAMES,    /* Array of text. */
    TREE_ALIASES,  /* The same; renames columns by position. */
    TREE_OPAQUE,   /* Data without expressions: types, constants, sets of positions. */
    TREE_TYPE,     /* Target of a cast. */
    TREE_ABSENT,   /* Must be null or empty. */
    TREE_EXPR,     /* Expression or null. */
    TREE_EXPRS,    /* Array of them. */
    TREE_OPERAND,  /* Expression that may be bare where its owner says so. */
    TREE_OPERANDS, /* Array of them. */
    TREE_PLAINS,   /* Array of expressions that group or select distinct rows. */
    TREE_ITEMS,    /* Select list. */
    TREE_ROWS,     /* Array of arrays of expressions. */
    TREE_CASES,    /* Array of {when_expr, then_expr}. */
    TREE_PAIRS,    /* Array of {key, value: expression}. */
    TREE_ORDER,    /* {type, orders}, or null. */
    TREE_ORDERS,   /* Array of {type, null_order, expression}. */
    TREE_WINDOW_ORDERS,
    TREE_MODIFIERS,
    TREE_CTES,
    TREE_NODE,       /* Query node with the use of its owner. */
    TREE_NODE_RIGHT, /* The right side of a set operation: named by its left. */
    TREE_QUERY,      /* {node, named_param_map} with the use of its owner. */
    TREE_FROM,
    TREE_CALL,  /* Function of a table function. */
    TREE_LATER, /* Seen by who walks the form. */
    TREE_PIVOTS,
};

#define TREE_KEYS_MAX 24u

struct tree_key {
    const char *name; /* NULL ends. */
    enum tree_key_kind kind;
};

struct tree_form {
    const char *name; /* Of the class or type. */
    struct tree_key keys[TREE_KEYS_MAX];
};

/* NULL when there is none. */
const struct tree_form *tree_form_of_expression(const char *name);
const struct tree_form *tree_form_of_node(const char *name);
const struct tree_form *tree_form_of_from(const char *name);
const struct tree_form *tree_form_of_modifier(const char *name);
/* A user's word for a node that is not on the list. */
const char *tree_form_words(const char *name);

/* Walk an object by its form. `use` is that of operands, of subqueries and of nodes. */
FM_MUST_USE enum fm_status tree_walk_form(struct tree *tree, json_t *object,
                                          const struct tree_form *form, enum tree_use use);

#endif
