/* Values as PostgreSQL's clients take them: which of its types stands for which of ours, and each
 * value in text or binary format (the send and output functions of PostgreSQL 15).
 *
 *   boolean bool; int8, int16, uint8 int2; int32, uint16 int4; int64, uint32 int8; uint64, hugeint,
 *   decimal numeric; float float4; double float8; varchar, enum text; json json; blob bytea; uuid,
 *   date, time, timestamp, timestamptz, interval as they are called; a list of one of these the
 *   array of it; all other nested values json
 *
 * Threads: pure functions. Ownership: a column borrows its type. */
#ifndef FM_NODE_PG_VALUE_H
#define FM_NODE_PG_VALUE_H

#include "core/batch.h"
#include "node/pg/wire.h"

/* X(NAME, OID, OID of its array, bytes of a binary value; -1: varies, name in pg_catalog) */
#define FM_PG_TYPE_MAP(X)                                                                          \
    X(BOOL, 16, 1000, 1, "bool")                                                                   \
    X(BYTEA, 17, 1001, -1, "bytea")                                                                \
    X(INT8, 20, 1016, 8, "int8")                                                                   \
    X(INT2, 21, 1005, 2, "int2")                                                                   \
    X(INT4, 23, 1007, 4, "int4")                                                                   \
    X(TEXT, 25, 1009, -1, "text")                                                                  \
    X(JSON, 114, 199, -1, "json")                                                                  \
    X(FLOAT4, 700, 1021, 4, "float4")                                                              \
    X(FLOAT8, 701, 1022, 8, "float8")                                                              \
    X(DATE, 1082, 1182, 4, "date")                                                                 \
    X(TIME, 1083, 1183, 8, "time")                                                                 \
    X(TIMESTAMP, 1114, 1115, 8, "timestamp")                                                       \
    X(TIMESTAMPTZ, 1184, 1185, 8, "timestamptz")                                                   \
    X(INTERVAL, 1186, 1187, 16, "interval")                                                        \
    X(NUMERIC, 1700, 1231, -1, "numeric")                                                          \
    X(UUID, 2950, 2951, 16, "uuid")

enum fm_pg_oid {
#define X(name, oid, array, length, text) FM_PG_OID_##name = (oid),
    FM_PG_TYPE_MAP(X)
#undef X
};

struct fm_pg_type {
    uint32_t oid;
    uint32_t element; /* Of an array; else 0. */
    int16_t length;
    int32_t modifier; /* -1: none. */
};

struct fm_pg_type fm_pg_type_of(const struct fm_type *type);

/* Append a value of a column that is not null: its length (int32), then the value. FM_LIMIT,
 * FM_NOMEM, FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_pg_put_value(struct fm_buf *out, enum fm_pg_format format,
                                           const struct fm_batch *batch,
                                           const struct fm_vector_entry *vector,
                                           const struct fm_type *type,
                                           const struct fm_dictionary *dictionary, uint32_t row);

#endif
