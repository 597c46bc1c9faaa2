/* Types of core/types.h and DuckDB's, both ways.
 * Ownership: the caller destroys logical types and deinits fm_types. */
#ifndef FM_QUERY_WORKER_DUCKTYPES_H
#define FM_QUERY_WORKER_DUCKTYPES_H

#include "core/batch.h"

#include <duckdb.h>

/* `dictionary` (count 0 or NULL: none) makes an ENUM of a varchar whose values DuckDB can hold in
 * one. FM_NOMEM, FM_INTERNAL: DuckDB refuses the type. */
FM_MUST_USE enum fm_status ducktype_from(const struct fm_type *type,
                                         const struct fm_dictionary *dictionary,
                                         duckdb_logical_type *out);

/* An ENUM becomes FM_KIND_ENUM with its values in their order. SQLNULL: int32. TIMESTAMP_S, _MS
 * and _NS: timestamp. FM_UNSUPPORTED names the type and the cast to write. */
FM_MUST_USE enum fm_status ducktype_to(duckdb_logical_type type, struct fm_type *out,
                                       struct fm_error *err);

/* Whether ducktype_from() makes the same type of what ducktype_to() made of this one: neither a
 * NULL without a type nor a timestamp in another unit is in it. */
bool ducktype_is_kept(duckdb_logical_type type);

/* DuckDB's name of a type, for errors and for casts in SQL; fm_type to DuckDB's SQL. */
const char *ducktype_name(duckdb_type id);
void ducktype_sql(struct fm_buf *out, const struct fm_type *type);

/* Append text as an SQL literal ('it''s') or a quoted name ("a ""b"""). */
void ducktype_quote(struct fm_buf *out, struct fm_span text, char quote);

#endif
