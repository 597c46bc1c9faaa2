/* Tables that a query pins to the heads of an earlier answer. The owner reads the heads in the
 * request that the principal signed: no node between can leave them out. */
#ifndef FM_NODE_PINS_H
#define FM_NODE_PINS_H

#include "core/records.h"
#include "storage/store.h"

/* Let `at` be what `table` (perhaps "<table>$facts") is read at: where the request names heads, the
 * state of its log at the one for this table, or an earlier one that `at` asks for. Without heads
 * nothing changes.
 * FM_INVALID: no head for the table, or `at` is later. FM_CONFLICT: the head is not of this log's
 * history, or facts of it have been dropped since. */
FM_MUST_USE enum fm_status fm_pin_table(struct fm_snapshot *snapshot, const struct fm_mesh_id *mesh,
                                        const struct fm_query_body *asked, const char *domain,
                                        const char *table, struct fm_at *at, struct fm_error *err);

#endif
