/* Bodies of PRODUCT_STATISTICS (docs/wire.md, "Catalog calls"): how much of a product is stored
 * where its domain is owned. Strict msgpack.
 *   request as PRODUCT_SHOW (catalog.h)
 *   reply   {0 domain, 1 of the store: array of numbers, 2 array of tables: [name, array of
 *     numbers, array of [column's name, bytes]]}
 * Numbers are in the order of the lists below; a reader takes the first ones of a longer array, so
 * that numbers may be added.
 * Ownership: decoded tables own their columns; names are borrowed from the bytes they were decoded
 * from. Errors: FM_MALFORMED, FM_LIMIT, FM_NOMEM. */
#ifndef FM_CLIENT_STATISTICS_H
#define FM_CLIENT_STATISTICS_H

#include "core/records.h"

/* X(name): bytes and counts of the whole store (storage/store.h, struct fm_store_usage). */
#define FM_STORE_NUMBER_MAP(X)                                                                     \
    X(free_bytes)                                                                                  \
    X(free_bytes_min)                                                                              \
    X(accepts_appends)                                                                             \
    X(file_bytes)                                                                                  \
    X(appended_bytes)                                                                              \
    X(log_bytes)                                                                                   \
    X(flush_bytes)                                                                                 \
    X(compaction_bytes)

/* X(name): of one table (struct fm_table_statistics). */
#define FM_TABLE_NUMBER_MAP(X)                                                                     \
    X(facts)                                                                                       \
    X(rows_latest)                                                                                 \
    X(hot_rows)                                                                                    \
    X(hot_bytes)                                                                                   \
    X(segment_count)                                                                               \
    X(segment_bytes)                                                                               \
    X(superseded_bytes)                                                                            \
    X(tree_bytes)                                                                                  \
    X(index_bytes)                                                                                 \
    X(appended_facts)                                                                              \
    X(appended_bytes)                                                                              \
    X(dropped_facts)

struct fm_store_numbers {
#define X(name) uint64_t name;
    FM_STORE_NUMBER_MAP(X)
#undef X
};

struct fm_table_numbers {
#define X(name) uint64_t name;
    FM_TABLE_NUMBER_MAP(X)
#undef X
};

struct fm_column_bytes {
    struct fm_span name;
    uint64_t bytes;
};

struct fm_table_report {
    char table[FM_NAME_MAX + 1];
    struct fm_table_numbers numbers;
    uint32_t column_count;
    struct fm_column_bytes *columns; /* Owned. */
};

struct fm_statistics_report {
    char domain[FM_NAME_MAX + 1];
    struct fm_store_numbers store;
    uint32_t table_count;
    struct fm_table_report tables[FM_TABLES_PER_PRODUCT_MAX];
};

void fm_statistics_report_encode(struct fm_buf *out, const struct fm_statistics_report *report);
/* `out` is to be ended with deinit whatever the outcome. */
FM_MUST_USE enum fm_status fm_statistics_report_decode(struct fm_span bytes,
                                                       struct fm_statistics_report *out);
void fm_statistics_report_deinit(struct fm_statistics_report *report); /* Zeroed is fine. */

#endif
