/* The closed list of types: their numbers, their place in memory, their canonical bytes.
 *
 * Canonical bytes (docs/storage.md, "Canonical values"; vectors in tests/vectors/canonical.txt):
 * each value has exactly one form, little endian.
 *   boolean            one byte, 0 or 1
 *   int8..int64, uint8..uint64, hugeint   two's complement in the type's width (hugeint: 16 bytes)
 *   float, double      IEEE 754 bits; every NaN is 0x7fc00000 / 0x7ff8000000000000; -0 is kept
 *   decimal(p,s)       the unscaled value as a 16-byte two's complement integer
 *   date               int32, days since 1970-01-01
 *   time               int64, microseconds since midnight
 *   timestamp, timestamptz   int64, microseconds since 1970-01-01T00:00:00(Z)
 *   interval           int32 months, int32 days, int64 microseconds
 *   uuid               16 bytes in the order of its text form
 *   varchar, json, enum      uvarint length, UTF-8 bytes (json: as given; enum: the value's text)
 *   blob               uvarint length, bytes
 *   list               uvarint count, then per element: 0 for null, or 1 and its value
 *   struct             per field in schema order: 0 for null, or 1 and its value
 *   map                uvarint count, then per entry: key value, then 0, or 1 and the value;
 *                      entries sorted by the key's canonical bytes, keys unique and never null
 *
 * Memory form (batch.h, and what DuckDB's vectors use): boolean 1 byte; integers, float, double,
 * date, time, timestamps in their width; hugeint 16 bytes; decimal in int16/int32/int64/int128 by
 * precision (<= 4, <= 9, <= 18, <= 38); interval int32, int32, int64; uuid 16 bytes in the order of
 * its text form (the worker converts to DuckDB's flipped hugeint); text and blob by offsets.
 *
 * Threads: types are immutable once built. Ownership: a type tree is owned by the schema or by
 * whoever called fm_type_init/copy and ends with fm_type_deinit(). */
#ifndef FM_CORE_TYPES_H
#define FM_CORE_TYPES_H

#include "core/bytes.h"

/* X(NAME, number on disk and wire (never reused), text, width in memory; 0 by decimal or
 * offsets) */
#define FM_KIND_MAP(X)                                                                             \
    X(BOOLEAN, 1, "boolean", 1)                                                                    \
    X(INT8, 2, "int8", 1)                                                                          \
    X(INT16, 3, "int16", 2)                                                                        \
    X(INT32, 4, "int32", 4)                                                                        \
    X(INT64, 5, "int64", 8)                                                                        \
    X(UINT8, 6, "uint8", 1)                                                                        \
    X(UINT16, 7, "uint16", 2)                                                                      \
    X(UINT32, 8, "uint32", 4)                                                                      \
    X(UINT64, 9, "uint64", 8)                                                                      \
    X(HUGEINT, 10, "hugeint", 16)                                                                  \
    X(FLOAT, 11, "float", 4)                                                                       \
    X(DOUBLE, 12, "double", 8)                                                                     \
    X(DECIMAL, 13, "decimal", 0)                                                                   \
    X(VARCHAR, 14, "varchar", 0)                                                                   \
    X(BLOB, 15, "blob", 0)                                                                         \
    X(DATE, 16, "date", 4)                                                                         \
    X(TIME, 17, "time", 8)                                                                         \
    X(TIMESTAMP, 18, "timestamp", 8)                                                               \
    X(TIMESTAMPTZ, 19, "timestamptz", 8)                                                           \
    X(INTERVAL, 20, "interval", 16)                                                                \
    X(UUID, 21, "uuid", 16)                                                                        \
    X(ENUM, 22, "enum", 0)                                                                         \
    X(JSON, 23, "json", 0)                                                                         \
    X(LIST, 24, "list", 0)                                                                         \
    X(STRUCT, 25, "struct", 0)                                                                     \
    X(MAP, 26, "map", 0)

enum fm_kind {
#define X(name, number, text, width) FM_KIND_##name = number,
    FM_KIND_MAP(X)
#undef X
};

struct fm_type {
    enum fm_kind kind;
    uint8_t precision;        /* Decimal: 1..38. */
    uint8_t scale;            /* Decimal: 0..precision. */
    uint32_t child_count;     /* List 1; struct its fields, >= 1; map 2 (key, value); else 0. */
    struct fm_type *children; /* Owned. */
    uint32_t label_count;     /* Struct: = child_count; enum: its values, 1..65536; else 0. */
    char **labels;            /* Owned: struct field names, or enum values in declared order. */
};

/* Text of a kind ("int32"). */
const char *fm_kind_text(enum fm_kind kind);
/* Width of one value in memory, 0 for varchar, blob, json, enum, list, struct, map. */
uint32_t fm_type_width(const struct fm_type *type);
/* A decimal in memory form, widened to its canonical 16 bytes in place. */
void fm_decimal_widen(const struct fm_type *type, uint8_t value[16]);
/* varchar, json, enum or blob: stored by offsets (an enum in memory is text or dictionary). */
bool fm_type_is_bytes(const struct fm_type *type);
bool fm_type_is_nested(const struct fm_type *type);
bool fm_type_equal(const struct fm_type *a, const struct fm_type *b);

/* Text form, parsed back by fm_type_parse: "int32", "decimal(10,2)", "list(varchar)",
 * "struct(a int32, \"b c\" varchar)", "map(varchar, int64)", "enum('a','b')". */
void fm_type_print(struct fm_buf *out, const struct fm_type *type);
/* FM_MALFORMED with the position and what was expected; FM_LIMIT past depth or node bounds. The
 * names that PostgreSQL and DuckDB use for these types are accepted too (bigint, integer, text,
 * "timestamp with time zone", ...). */
FM_MUST_USE enum fm_status fm_type_parse(struct fm_span text, struct fm_type *out,
                                         struct fm_error *err);
FM_MUST_USE enum fm_status fm_type_copy(const struct fm_type *type, struct fm_type *out);
void fm_type_deinit(struct fm_type *type); /* A zeroed type is fine. */
/* For who builds a type by hand: zeroed children and labels, owned by `type`, which has none
 * yet. */
FM_MUST_USE enum fm_status fm_type_reserve(struct fm_type *type, uint32_t children,
                                           uint32_t labels);
/* Check all rules of the struct above, and that names are UTF-8 and differ (a struct's fields also
 * when case is ignored). `node_count` (may be NULL) is raised by the types seen, so that a schema
 * bounds the types of all its fields. FM_MALFORMED, FM_LIMIT. */
FM_MUST_USE enum fm_status fm_type_check(const struct fm_type *type, uint32_t *node_count,
                                         struct fm_error *err);

/* Compact binary form for schemas and batches; checked when decoded (kinds, bounds, depth). */
void fm_type_encode(struct fm_buf *out, const struct fm_type *type);
FM_MUST_USE enum fm_status fm_type_decode(struct fm_cursor *cursor, struct fm_type *out);

/* Take one canonical value of any type: FM_MALFORMED, the cursor unmoved, when the bytes do not
 * begin with one or it is not in its one form (also: an enum's text that is no value of it). */
FM_MUST_USE enum fm_status fm_canonical_take(const struct fm_type *type, struct fm_cursor *cursor,
                                             struct fm_span *out);

#endif
