/* What the files that read, check and build batches share. Not for others. */
#ifndef FM_CORE_BATCH_INTERNAL_H
#define FM_CORE_BATCH_INTERNAL_H

#include "core/assert.h"
#include "core/batch.h"
#include "core/bits.h"

#define FM_VECTORS_MAX (FM_COLUMNS_MAX + 2u * FM_TYPE_NODES_MAX) /* A map adds its entries. */

/* -Wpedantic wants to hear that these are meant. */
__extension__ typedef __int128 fm_i128;
__extension__ typedef unsigned __int128 fm_u128;

static inline size_t fm_align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* A type as far as a directory entry tells it: enough for widths and classes of kinds. */
static inline struct fm_type fm_entry_type(const struct fm_vector_entry *entry)
{
    return (struct fm_type){
        .kind = (enum fm_kind)entry->kind, .precision = entry->precision, .scale = entry->scale};
}

static inline uint32_t fm_entry_width(const struct fm_vector_entry *entry)
{
    struct fm_type type = fm_entry_type(entry);
    return fm_type_width(&type);
}

static inline bool fm_kind_is_unsigned(enum fm_kind kind)
{
    return kind >= FM_KIND_UINT8 && kind <= FM_KIND_UINT64;
}

/* Kinds that FOR encodes: up to 8 bytes, ordered as integers. */
static inline bool fm_type_is_integer(const struct fm_type *type)
{
    switch (type->kind) {
    case FM_KIND_INT8:
    case FM_KIND_INT16:
    case FM_KIND_INT32:
    case FM_KIND_INT64:
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
    case FM_KIND_DATE:
    case FM_KIND_TIME:
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
        return true;
    case FM_KIND_DECIMAL:
        return type->precision <= 18;
    default:
        return false;
    }
}

/* The integer at `p`, sign- or zero-extended to 64 bits. */
static inline uint64_t fm_load_integer(const uint8_t *p, uint32_t width, bool is_unsigned)
{
    switch (width) {
    case 1:
        return is_unsigned ? *p : (uint64_t)(int8_t)*p;
    case 2:
        return is_unsigned ? fm_load16(p) : (uint64_t)(int16_t)fm_load16(p);
    case 4:
        return is_unsigned ? fm_load32(p) : (uint64_t)(int32_t)fm_load32(p);
    default:
        return fm_load64(p);
    }
}

static inline uint32_t fm_load_code(const uint8_t *codes, uint32_t code_width, size_t row)
{
    switch (code_width) {
    case 1:
        return codes[row];
    case 2:
        return fm_load16(codes + row * 2);
    default:
        return fm_load32(codes + row * 4);
    }
}

/* Largest of `rows` codes, 0 for none. */
uint32_t fm_codes_max(const uint8_t *codes, uint32_t code_width, size_t rows);
uint32_t fm_codes_min(const uint8_t *codes, uint32_t code_width, size_t rows);

/* Largest absolute value of a decimal, 10^precision - 1. */
fm_u128 fm_decimal_max(uint32_t precision);
static inline fm_i128 fm_load128(const void *p)
{
    fm_i128 v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Which values a kind's memory form may not hold: booleans other than 0 and 1, decimals past their
 * precision. True when all `rows` values pass. */
bool fm_fixed_values_valid(const struct fm_type *type, const uint8_t *values, size_t rows);

/* The dictionary of a checked vector, inside or outside. */
struct fm_dictionary fm_vector_dictionary(const struct fm_batch *batch,
                                          const struct fm_vector_entry *vector,
                                          const struct fm_dictionary *outside);

/* The values of an enum, sorted by their bytes, to look texts up. Zeroed: not an enum. */
struct fm_enum_index {
    const struct fm_type *type;
    uint32_t *sorted; /* Owned: positions in type->labels. */
};

FM_MUST_USE enum fm_status fm_enum_index_init(struct fm_enum_index *index,
                                              const struct fm_type *type);
void fm_enum_index_deinit(struct fm_enum_index *index);
/* Position of `text` among the declared values, FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_enum_index_find(const struct fm_enum_index *index,
                                              struct fm_span text, uint32_t *out);

#endif
