/* What the owner of a table says of it to those who plan: how much there is and of what. The body
 * of a STATISTICS envelope, spread by gossip like contracts (docs/wire.md, "Records of the
 * catalog"). Estimates: they choose between ways to the same rows, and nothing else may rest on
 * them. Columns that the contract classifies as personal or secret are never among them.
 * Ownership: fm_statistics_deinit() ends what decode and copy made. Threads: plain data. */
#ifndef FM_CORE_STATISTICS_H
#define FM_CORE_STATISTICS_H

#include "core/schema.h"
#include "core/time.h"

struct fm_column_figures {
    uint32_t field_id;
    uint64_t distinct; /* Values that are not NULL; 0: unknown. */
    uint64_t nulls;
    uint64_t bytes; /* Of all values, about as they travel. */
    /* Least and greatest value in canonical bytes; lengths 0: unknown, or too long. */
    uint8_t min_len;
    uint8_t max_len;
    uint8_t min[FM_STATISTICS_BOUND_BYTES_MAX];
    uint8_t max[FM_STATISTICS_BOUND_BYTES_MAX];
};

/* STATISTICS body: 0 domain, 1 table, 2 epoch, 3 version of the record (uint), 4 time (us), 5
 * schema version, 6 rows of the table as it is now, 7 their bytes, 8 array of columns: [field id,
 * distinct values, NULLs, bytes, least (bin), greatest (bin)], rising by field id. */
struct fm_statistics {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t epoch;
    uint64_t version; /* >= 1. */
    fm_us time;
    uint32_t schema_version; /* >= 1. */
    uint64_t rows;
    uint64_t bytes;
    uint32_t column_count; /* <= FM_STATISTICS_COLUMNS_MAX. */
    struct fm_column_figures *columns;
};

void fm_statistics_encode(struct fm_buf *out, const struct fm_statistics *statistics);
FM_MUST_USE enum fm_status fm_statistics_decode(struct fm_span body, struct fm_statistics *out);
FM_MUST_USE enum fm_status fm_statistics_copy(const struct fm_statistics *statistics,
                                              struct fm_statistics *out);
void fm_statistics_deinit(struct fm_statistics *statistics); /* Zeroed is fine. */

/* The figures of a field, NULL when there are none. */
const struct fm_column_figures *fm_statistics_column(const struct fm_statistics *statistics,
                                                     uint32_t field_id);

/* Whether a table of `rows` rows under `schema_version` is notably another than these say: by more
 * than a tenth, or under another schema version. */
bool fm_statistics_is_stale(const struct fm_statistics *statistics, uint64_t rows,
                            uint32_t schema_version);

#endif
