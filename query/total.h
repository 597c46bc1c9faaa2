/* Expressions over the columns of some tables that are defined for each of their rows: they neither
 * fail nor depend on anything else. Such an expression may be computed on rows that a join would
 * have dropped; `a + b` of integers may not, it can overflow.
 * The list is short on purpose: what is not on it is not total. Threads: any. */
#ifndef FM_QUERY_TOTAL_H
#define FM_QUERY_TOTAL_H

#include "query/names.h"

enum total_shape {
    TOTAL_NOT,
    TOTAL_NULL, /* The constant. */
    TOTAL_BOOLEAN,
    TOTAL_INTEGER, /* At most 64 bits. */
    TOTAL_DECIMAL, /* At most 18 digits. */
    TOTAL_REAL,    /* Also what has other values that are equal to it: no key to group by. */
    TOTAL_TEXT,
    TOTAL_DATE,
    TOTAL_TIMESTAMP,
    TOTAL_NUMBER, /* A number wider than the above. */
    TOTAL_OTHER,  /* Equal values are the same, nothing else is known. */
    TOTAL_OPAQUE, /* A column that can be read, no more: nested ones, intervals. */
};

/* The shape of a column. */
enum total_shape total_shape_of_type(const struct fm_type *type);

/* The shape of `node` when it is total and reads nothing but columns of these leaves (bit i: leaf
 * i). */
enum total_shape total_shape(const struct names *names, uint64_t leaves, const json_t *node);

/* Rows may be grouped by it: equal values cannot be told apart. */
bool total_is_key(enum total_shape shape);
bool total_is_number(enum total_shape shape);

/* A scalar function (or operator) that is known to answer the same for the same arguments, and to
 * be no aggregate, whatever it does with a bad value. */
bool total_is_scalar(const char *function);

#endif
