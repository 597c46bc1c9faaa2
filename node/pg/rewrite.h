/* Statements that ask PostgreSQL's catalog, in words that the planner takes: before anybody parses
 * them, in sessions of PostgreSQL's clients only.
 *
 *   functions of PostgreSQL (pg_get_userbyid, format_type, ..): an expression over the tables of
 *   catalog.h; casts to regclass, regtype and their like: a look-up there; OPERATOR(pg_catalog.~):
 *   the operator; COLLATE "default", pg_catalog. before types and functions: left out; a bare
 *   pg_class behind FROM: pg_catalog.pg_class
 *
 * Threads: pure function. */
#ifndef FM_NODE_PG_REWRITE_H
#define FM_NODE_PG_REWRITE_H

#include "core/bytes.h"
#include "node/pg/setting.h"

struct pg_rewrite_facts {
    const char *user, *database;
    uint32_t process;
    const struct fm_pg_settings *settings;
};

/* To an empty buffer. A statement with none of it is copied as it is. FM_LIMIT: nested too deep, or
 * too long. */
FM_MUST_USE enum fm_status pg_rewrite(struct fm_span statement,
                                      const struct pg_rewrite_facts *facts, struct fm_buf *out);

#endif
