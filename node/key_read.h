/* The one row of a primary key, for scan fragments whose predicates fix the whole key: found by the
 * key index instead of a scan, and given as a scan would, but without outside dictionaries.
 * Threads: one. */
#ifndef FM_NODE_KEY_READ_H
#define FM_NODE_KEY_READ_H

#include "storage/store.h"

/* Do the predicates fix the whole primary key of the latest state of a table of this schema? Then
 * the canonical key is appended to the empty `key`. Not of a table of data subjects. */
bool fm_key_read_fits(const struct fm_schema *schema, const struct fm_scan_options *options,
                      struct fm_buf *key);
/* The columns that options->fields names, without dictionaries. */
FM_MUST_USE enum fm_status fm_key_read_columns(const struct fm_schema *schema,
                                               const struct fm_scan_options *options,
                                               struct fm_columns *out);
/* Append a batch of these columns with the row to the empty `row`: nothing when there is no row of
 * this key, or another predicate removes it. */
FM_MUST_USE enum fm_status fm_key_read(struct fm_snapshot *snapshot, const struct fm_schema *schema,
                                       const struct fm_scan_options *options, struct fm_span key,
                                       struct fm_buf *row, struct fm_error *err);

#endif
