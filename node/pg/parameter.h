/* Values that a client binds to the parameters of a statement, as SQL text: the planner sees one
 * statement without parameters. What is not of the type that the client says is refused, so that
 * nothing but a literal can come of it.
 * Threads: pure functions. */
#ifndef FM_NODE_PG_PARAMETER_H
#define FM_NODE_PG_PARAMETER_H

#include "node/pg/wire.h"

struct fm_pg_parameter {
    uint32_t oid; /* 0: the client leaves it open. */
    enum fm_pg_format format;
    bool is_null;
    struct fm_span value;
};

/* Append the literal, with a space on both sides. FM_INVALID: no such value, or not UTF-8;
 * FM_UNSUPPORTED: a type that this node does not take in that format. */
FM_MUST_USE enum fm_status fm_pg_parameter_put(const struct fm_pg_parameter *parameter,
                                               struct fm_buf *out, struct fm_error *err);

#endif
