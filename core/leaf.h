/* A fact's leaf: the bytes that the Merkle log hashes (design.md section 3; docs/storage.md,
 * "Leaf"; vectors in tests/vectors/leaf.txt).
 *
 *   header     a strict msgpack map with integer keys:
 *              0 format version (1)   1 schema version   2 sequence   3 recorded time (us)
 *              4 event time (us; absent: none)   5 operation (1 assert, 2 retract, 3 correct)
 *              6 producer id (bin 16; absent: none)   7 producer sequence   8 trace id (bin 16;
 *              absent: none)   9 causation (bin <= 64: a fact's id; absent: none)
 *              10 superseded sequence (always with operation 3, never with 1; with 2 where the
 *              append named it, which a table without a primary key asks for)
 *              keys 11..63 are reserved
 *   fields     uvarint count, then by rising field id, nulls left out:
 *              uvarint field id, u8 kind, canonical value (types.h); personal and secret fields
 *              are not here
 *   commitment u8 0 when the schema classifies no field as personal or secret; else u8 32 and
 *              SHA-256("folkmoot/v1 commitment\0" || salt (32) || the classified fields in the form
 *              of `fields` above)
 *
 * Salt: HMAC-SHA-256(key, u64 sequence, little endian), with the 32-byte key of the table, or of
 * the row's subject where the schema names one (core/subject.h), known to the owner only.
 *
 * A *stored* schema has the fields FM_FIELD_SEALED and FM_FIELD_COMMITMENT in place of the
 * classified ones. Leaves made with it are the same: the first is not in them, the second is the
 * commitment. */
#ifndef FM_CORE_LEAF_H
#define FM_CORE_LEAF_H

#include "core/batch.h"
#include "core/schema.h"
#include "core/time.h"

#define FM_LEAF_VERSION 1u

enum fm_operation { FM_ASSERT = 1, FM_RETRACT = 2, FM_CORRECT = 3 };

struct fm_fact_header {
    uint32_t schema_version;
    uint64_t sequence;
    fm_us recorded_at;
    bool has_event_time;
    fm_us event_time;
    enum fm_operation operation;
    bool has_producer;
    uint8_t producer_id[16];
    uint64_t producer_sequence;
    bool has_trace;
    uint8_t trace_id[16];
    uint8_t causation_len; /* 0: none. */
    uint8_t causation[64];
    bool has_superseded;
    uint64_t superseded;
};

void fm_fact_header_encode(struct fm_buf *out, const struct fm_fact_header *header);
FM_MUST_USE enum fm_status fm_fact_header_decode(struct fm_cursor *cursor,
                                                 struct fm_fact_header *out);

/* True when the schema has a personal or secret field: then leaves carry a commitment. */
bool fm_schema_has_commitment(const struct fm_schema *schema);

/* Makes leaves of many rows of one batch without an allocation per row. One thread per encoder. */
struct fm_leaf_encoder;

struct fm_leaf_encoder_options {
    const struct fm_schema *schema; /* Borrowed while the encoder lives. */
    /* 32 bytes, or NULL when the schema needs none, or names a subject: then the encoder only gives
     * classified fields. Copied. */
    const uint8_t *commitment_key;
};

FM_MUST_USE enum fm_status fm_leaf_encoder_new(const struct fm_leaf_encoder_options *options,
                                               struct fm_leaf_encoder **out);
void fm_leaf_encoder_free(struct fm_leaf_encoder *encoder);
FM_DEFINE_FREEP(fm_leaf_encoder_freep, struct fm_leaf_encoder, fm_leaf_encoder_free)

/* Append the classified fields of rows [first, first + count), in the form of `fields`, one after
 * the other; ends[i] (count of them) is where those of row first + i end in `out`. */
FM_MUST_USE enum fm_status fm_leaf_classified(struct fm_leaf_encoder *encoder,
                                              const struct fm_batch *batch,
                                              const struct fm_dictionary *const *dictionaries,
                                              uint32_t first, uint32_t count, struct fm_buf *out,
                                              size_t *ends);

/* The batch's columns are the schema's fields in order; `dictionaries` as in fm_batch_view(). */
FM_MUST_USE enum fm_status fm_leaf_encode(struct fm_leaf_encoder *encoder,
                                          const struct fm_fact_header *header,
                                          const struct fm_batch *batch,
                                          const struct fm_dictionary *const *dictionaries,
                                          uint32_t row, struct fm_buf *out);

/* RFC 6962 leaf hashes SHA-256(0x00 || leaf) of rows [first, first + count): sequences rise by one
 * from header->sequence. `out` has 32 * count bytes. */
FM_MUST_USE enum fm_status fm_leaf_hash_rows(struct fm_leaf_encoder *encoder,
                                             const struct fm_fact_header *header,
                                             const struct fm_batch *batch,
                                             const struct fm_dictionary *const *dictionaries,
                                             uint32_t first, uint32_t count, uint8_t *out);

/* Bytes of all leaves that fm_leaf_hash_rows() hashed with this encoder. */
uint64_t fm_leaf_encoder_bytes(const struct fm_leaf_encoder *encoder);

#endif
