/* Rows of batches (core/batch.h) into DuckDB's vectors. The bytes were written or checked by the
 * host: nothing is checked again but what memory safety inside a dictionary needs.
 * Threads: a decoder is immutable after decoder_init(); any number may decode with it. */
#ifndef FM_QUERY_WORKER_DECODE_H
#define FM_QUERY_WORKER_DECODE_H

#include "core/batch.h"

#include <duckdb.h>

struct duck_string;

struct decoder {
    const struct fm_type *type;             /* Borrowed. */
    const struct fm_dictionary *dictionary; /* Borrowed, NULL: none. */
    uint32_t enum_width;       /* Bytes of a code when DuckDB's type is an ENUM, else 0. */
    struct duck_string *texts; /* A dictionary's texts where DuckDB's type is no ENUM. */
    uint32_t *labels;     /* FM_KIND_ENUM: positions of the labels in the order of their bytes. */
    uint32_t child_count; /* Of a map: 2, as in its type. */
    struct decoder *children;
};

FM_MUST_USE enum fm_status decoder_init(struct decoder *out, const struct fm_type *type,
                                        const struct fm_dictionary *dictionary,
                                        duckdb_logical_type duck);
void decoder_deinit(struct decoder *decoder);

/* Rows [first, first + count) of `entry` into `vector` from row `at` on. `borrow`: long texts may
 * point into the batch's bytes, which stay until the statement ends.
 * FM_MALFORMED: a text that is not in the dictionary that makes the ENUM. FM_NOMEM. */
FM_MUST_USE enum fm_status decode_rows(const struct decoder *decoder, const struct fm_batch *batch,
                                       const struct fm_vector_entry *entry, uint32_t first,
                                       uint32_t count, bool borrow, duckdb_vector vector, idx_t at);

#endif
