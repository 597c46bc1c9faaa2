/* A columnar batch: one contiguous run of bytes, the same on the wire, in shared memory and (by
 * column) in segments, so that nothing is converted on the way from a segment to the engine.
 *
 * Layout, little endian, version 1 (docs/wire.md, "Batch"; vectors in tests/vectors/batch.txt):
 *   header, 32 bytes:  u32 magic "FMB1" (0x31424d46), u32 total bytes, u32 rows, u16 columns at the
 *                      top level, u16 vectors in all (children counted), u64 first row number
 *                      (0 if it has no meaning), u64 reserved 0
 *   directory:         one 64-byte `struct fm_vector_entry` per vector: the top-level columns
 *                      first, in order, then children (breadth first; entries name their first
 *                      child)
 *   sections:          each at an offset that is a multiple of 8, in any order, zero padded,
 *                      without overlap; offsets count from the batch's first byte
 *
 * Every entry has its own row count (children of lists differ from their parent's). Rows whose
 * validity bit is 0 are null; their data is present and zero (empty for offsets).
 *
 * Encodings:
 *   PLAIN      fixed width: rows * width bytes. Bytes types: (rows + 1) u32 offsets into the aux
 *              section, first 0, never falling. list and map: (rows + 1) u32 offsets into the child
 *              vector's rows (a map's child is a struct of key and value). struct: no data; its
 *              children have the same rows.
 *   CONSTANT   fixed width types and bytes types: the same value in every row. data: one plain
 *              value (fixed), or the bytes themselves in aux. A column of nulls only: CONSTANT, no
 *              data, validity all 0 -- written as FM_VECTOR_ALL_NULL without a validity section.
 *   DICTIONARY bytes types: rows codes of `code_width` (1, 2 or 4) bytes. The dictionary is in aux
 *              (u32 count, (count + 1) u32 offsets, bytes), or outside the batch when the flag
 *              FM_VECTOR_DICT_OUTSIDE is set: then both sides hold a `struct fm_dictionary`.
 *   FOR        integers, date, time, timestamps, decimal up to 18 digits: value = base + code *
 *              step, codes unsigned of `code_width` (1, 2, 4) bytes; arithmetic wraps never:
 *              encoders choose base and step so that it cannot, decoders reject what would.
 *   5 RUN_LENGTH and 6 DELTA are reserved: decoders of version 1 refuse them.
 * Nested types are PLAIN. Below a list or map nothing is CONSTANT, so that each row there takes a
 * byte at least and the bytes bound the rows. The base of uint64 is its two's complement. Bytes in
 * no section are zero, a section of no bytes has offset 0, and the total is a multiple of 8.
 *
 * Threads: read-only views; the bytes must not change meanwhile (copy first what a worker can
 * write). Errors: FM_MALFORMED from every check; a batch that fm_batch_view() accepted can be read
 * through the accessors without further checks. */
#ifndef FM_CORE_BATCH_H
#define FM_CORE_BATCH_H

#include "core/limits.h"
#include "core/types.h"

#define FM_BATCH_MAGIC 0x31424d46u
#define FM_BATCH_HEADER_BYTES 32u

enum fm_encoding {
    FM_ENC_PLAIN = 0,
    FM_ENC_CONSTANT = 1,
    FM_ENC_DICTIONARY = 2,
    FM_ENC_FOR = 3,
};

#define FM_VECTOR_ALL_NULL 0x01u     /* No data, no validity. */
#define FM_VECTOR_DICT_OUTSIDE 0x02u /* Codes refer to a dictionary agreed beside the batch. */

struct fm_vector_entry {
    uint8_t kind;     /* enum fm_kind. */
    uint8_t encoding; /* enum fm_encoding. */
    uint8_t code_width;
    uint8_t flags;
    uint8_t precision; /* Decimal. */
    uint8_t scale;
    uint16_t first_child; /* Index in the directory, 0 when there is none. */
    uint16_t child_count;
    uint16_t reserved;
    uint32_t rows;
    uint32_t validity_at; /* 0: no nulls. ceil(rows / 64) u64 words, bit 1 = valid, LSB first. */
    uint32_t data_at;     /* 0: none. */
    uint32_t data_bytes;
    uint32_t aux_at; /* Text and dictionaries; 0: none. */
    uint32_t aux_bytes;
    uint32_t null_count;
    int64_t base; /* FOR. */
    int64_t step; /* FOR, >= 1. */
    uint64_t reserved2;
};
_Static_assert(sizeof(struct fm_vector_entry) == 64, "a directory entry is 64 bytes");

/* Distinct texts, sorted by their bytes (memcmp, then length) and without repeats: code order is
 * text order. Bytes of value i: text[offsets[i] .. offsets[i + 1]). */
struct fm_dictionary {
    uint32_t count;          /* 1..FM_DICTIONARY_VALUES_MAX. */
    const uint32_t *offsets; /* count + 1. */
    const uint8_t *text;
};

void fm_dictionary_encode(struct fm_buf *out, const struct fm_dictionary *dictionary);
/* Views `bytes`, which must stay and be 4-byte aligned. Checks order, offsets and UTF-8. */
FM_MUST_USE enum fm_status fm_dictionary_view(struct fm_span bytes, struct fm_dictionary *out);
/* The same; values that are no text (of a blob) need not be UTF-8. */
FM_MUST_USE enum fm_status fm_dictionary_check(struct fm_span bytes, bool is_text,
                                               struct fm_dictionary *out);
static inline struct fm_span fm_dictionary_at(const struct fm_dictionary *dictionary, uint32_t code)
{
    return fm_span(dictionary->text + dictionary->offsets[code],
                   dictionary->offsets[code + 1] - dictionary->offsets[code]);
}
/* Code of `text`, FM_NOTFOUND. Binary search. */
FM_MUST_USE enum fm_status fm_dictionary_find(const struct fm_dictionary *dictionary,
                                              struct fm_span text, uint32_t *out);

struct fm_batch { /* A checked view. */
    const uint8_t *bytes;
    uint32_t total_bytes;
    uint32_t rows;
    uint16_t column_count;
    uint16_t vector_count;
    uint64_t first_row;
    const struct fm_vector_entry *vectors;
};

/* Check everything: directory, sections inside the bytes, offsets that never fall, codes below the
 * dictionary's count (for outside dictionaries: below dictionaries[column]->count), UTF-8 of text
 * and valid boolean bytes. `types` (column_count of them) must equal the batch's, or be NULL when
 * any will do; `dictionaries` holds one pointer per top-level column (NULL entries allowed) or is
 * NULL. `bytes` must be 8-byte aligned (else FM_INVALID) and stay while the view is used. Texts
 * of an enum are looked up in its type, but for those of an outside dictionary. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_batch_view(struct fm_span bytes, const struct fm_type *const *types,
                                         uint32_t type_count,
                                         const struct fm_dictionary *const *dictionaries,
                                         struct fm_batch *out);

/* The same without reading sections (no UTF-8, code or offset checks): for bytes that this process
 * wrote itself or has checked already. */
FM_MUST_USE enum fm_status fm_batch_view_trusted(struct fm_span bytes, struct fm_batch *out);

static inline bool fm_vector_is_null(const struct fm_batch *batch,
                                     const struct fm_vector_entry *vector, uint32_t row)
{
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return true;
    if (vector->validity_at == 0)
        return false;
    uint64_t word = fm_load64(batch->bytes + vector->validity_at + (size_t)(row / 64) * 8);
    return ((word >> (row % 64)) & 1u) == 0;
}

/* Value of a non-null row. `fm_vector_fixed` writes fm_type_width() bytes in memory form whatever
 * the encoding is (FOR, CONSTANT, PLAIN); `fm_vector_bytes` gives text or blob (dictionary may be
 * NULL unless the vector's dictionary is outside). */
void fm_vector_fixed(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     uint32_t row, void *out);
struct fm_span fm_vector_bytes(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               const struct fm_dictionary *dictionary, uint32_t row);

/* Append the canonical bytes of one non-null value (types.h) to `out`; works for nested types. */
FM_MUST_USE enum fm_status fm_vector_canonical(const struct fm_batch *batch,
                                               const struct fm_vector_entry *vector,
                                               const struct fm_type *type,
                                               const struct fm_dictionary *dictionary, uint32_t row,
                                               struct fm_buf *out);

/* ---- Building -------------------------------------------------------------------------------
 * A builder takes values row by row or slice by slice and encodes each column as is cheapest.
 * Ownership: fm_batch_builder_new() copies types; the result is appended to a caller's buffer. */
struct fm_batch_builder;

struct fm_batch_builder_options {
    const struct fm_type *const *types; /* Copied. */
    uint32_t column_count;
    bool encode; /* true: choose CONSTANT, DICTIONARY, FOR where smaller; false: PLAIN only. */
    /* One per column or NULL: columns whose codes refer to this outside dictionary. Texts that
     * are not in it are FM_INVALID. Borrowed until the builder is freed. */
    const struct fm_dictionary *const *dictionaries;
};

FM_MUST_USE enum fm_status fm_batch_builder_new(const struct fm_batch_builder_options *options,
                                                struct fm_batch_builder **out);
void fm_batch_builder_free(struct fm_batch_builder *builder);
FM_DEFINE_FREEP(fm_batch_builder_freep, struct fm_batch_builder, fm_batch_builder_free)

/* Each column is filled by itself; fm_batch_builder_finish() demands equal rows in all (else
 * FM_INVALID). Fixed values are in memory form; bytes types and enum by text. A put is all or
 * nothing: on failure the column has the rows it had. FM_INVALID: the column's type is another, or
 * the value is none of it (text that is not UTF-8 or not of the enum or the outside dictionary, a
 * decimal past its precision). FM_LIMIT: past FM_BATCH_ROWS_MAX or FM_BATCH_BYTES_MAX; what is
 * there can be finished. */
FM_MUST_USE enum fm_status fm_batch_put_null(struct fm_batch_builder *builder, uint32_t column);
FM_MUST_USE enum fm_status fm_batch_put_fixed(struct fm_batch_builder *builder, uint32_t column,
                                              const void *value);
FM_MUST_USE enum fm_status fm_batch_put_bytes(struct fm_batch_builder *builder, uint32_t column,
                                              struct fm_span value);
/* A value of any type from its canonical bytes; FM_MALFORMED when they are not its one form. The
 * cursor moves past it. */
FM_MUST_USE enum fm_status fm_batch_put_canonical(struct fm_batch_builder *builder, uint32_t column,
                                                  struct fm_cursor *value);
/* Rows of a column in bulk: `count` fixed values in memory form, validity as in the layout or
 * NULL. */
FM_MUST_USE enum fm_status fm_batch_put_fixed_many(struct fm_batch_builder *builder,
                                                   uint32_t column, const void *values,
                                                   const uint64_t *validity, uint32_t count);
/* Copy rows of a vector of the same type: all of [first, first + count) whose bit in `selection`
 * (bit i is row first + i; NULL: all) is 1. Dictionaries are translated where they differ. */
FM_MUST_USE enum fm_status fm_batch_put_rows(struct fm_batch_builder *builder, uint32_t column,
                                             const struct fm_batch *from, uint32_t from_column,
                                             const struct fm_dictionary *from_dictionary,
                                             uint32_t first, uint32_t count,
                                             const uint64_t *selection);
uint32_t fm_batch_builder_rows(const struct fm_batch_builder *builder); /* Of column 0. */
/* At most so many bytes would finish() append now (but for aligning `out`). Encodings that are sure
 * are counted, so that batches for the wire fill up. */
size_t fm_batch_builder_bytes(const struct fm_batch_builder *builder);
/* Append the batch to `out` (aligned to 8 there) and start anew. On failure `out` has the length it
 * had and the builder its rows. Null rows hold zeros in the result whatever was put. */
FM_MUST_USE enum fm_status fm_batch_builder_finish(struct fm_batch_builder *builder,
                                                   uint64_t first_row, struct fm_buf *out);

#endif
