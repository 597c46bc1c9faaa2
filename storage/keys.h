/* Every key and every value that the store keeps in RocksDB, and the records of the outside slots:
 * the tables of docs/storage.md, "Keys and values", in code. Vectors in tests/vectors/storage.txt.
 * Numbers in keys are big endian, so that keys sort by them; in values they are little endian.
 * Each value but those of the key index ends with the CRC-32C of the bytes before it.
 * Threads: plain data. Errors: decoders answer FM_CORRUPT for bytes that fail their checksum or do
 * not have the layout; nothing may trail. */
#ifndef FM_STORAGE_KEYS_H
#define FM_STORAGE_KEYS_H

#include "core/cert.h"
#include "core/hash.h"
#include "core/leaf.h"

#include <stdatomic.h>

#define STORE_FORMAT_VERSION 1u

/* First byte of keys in the families `meta` and `segments`. */
#define KEYS_META_FORMAT 1u    /* - */
#define KEYS_META_TIP 2u       /* - */
#define KEYS_META_COMMIT 3u    /* u64 commit number */
#define KEYS_META_TABLE 4u     /* u32 table */
#define KEYS_META_SCHEMA 5u    /* u32 table, u32 schema version */
#define KEYS_META_STATE 6u     /* u32 table */
#define KEYS_META_STAGED 7u    /* u32 table */
#define KEYS_SEGMENT_RECORD 1u /* u32 table, u64 first sequence */
#define KEYS_SEGMENT_COLUMN 2u /* u32 table, u64 segment, u32 field id */
#define KEYS_SEGMENT_WINDOW 3u /* u32 table, u64 window */
#define KEYS_SEGMENT_TREE 4u   /* u32 table, u8 level, u64 index */
#define KEYS_SEGMENT_SPANS 5u  /* u32 table, u64 segment */
#define KEYS_SEGMENT_TILES 6u  /* u32 table, u64 first sequence / TILES_LEAVES */
#define KEYS_SUBJECT_RECORD 1u /* In `subjects`: 32 id of the subject (core/subject.h) */
#define KEYS_SUBJECT_MARK 2u   /* - */

#define KEYS_INDEX_INLINE_MAX 256u /* Longer primary keys are stored by their hash. */
#define KEYS_COMMITS_KEPT 256u     /* How far back a slot may be behind the store. */
#define KEYS_RECORD_KEY_MAX 1024u
#define KEYS_WINDOW_BITS 16u /* A bitmap of superseded rows covers 2^16 sequences. */

struct key {
    size_t len;
    uint8_t bytes[5 + KEYS_INDEX_INLINE_MAX];
};

static inline struct fm_span key_span(const struct key *key)
{
    return fm_span(key->bytes, key->len);
}

struct key key_meta(uint8_t kind);
struct key key_commit(uint64_t number);
struct key key_table(uint8_t kind, uint32_t table); /* TABLE, STATE or STAGED. */
struct key key_schema(uint32_t table, uint32_t version);
struct key key_hot(uint32_t table, uint64_t first_sequence);
struct key key_segment(uint32_t table, uint64_t first_sequence);
struct key key_column(uint32_t table, uint64_t segment, uint32_t field_id);
struct key key_window(uint32_t table, uint64_t window);
struct key key_subtree(uint32_t table, uint8_t level, uint64_t index);
struct key key_spans(uint32_t table, uint64_t segment);
struct key key_tiles(uint32_t table, uint64_t block);
struct key key_producer(uint32_t table, const uint8_t producer_id[16]);
/* `canonical`: the canonical bytes of the key's fields, one after the other. */
struct key key_index(uint32_t table, struct fm_span canonical);
struct key key_subject(const struct fm_hash *id);
struct key key_subject_mark(void);
struct key key_table_end(uint8_t kind, uint32_t table); /* After all keys of (kind, table). */
struct key key_prefix(uint32_t table);                  /* First key of a table without a kind. */

FM_MUST_USE enum fm_status key_parse_number(struct fm_span key, size_t at, uint64_t *out);
FM_MUST_USE enum fm_status key_parse_table(struct fm_span key, size_t at, uint32_t *out);

/* ---- Values --------------------------------------------------------------------------------- */

/* Seal what was appended to `out` since it was `from` bytes long. */
void value_seal(struct fm_buf *out, size_t from);
/* Check the checksum; `out` is the content before it. */
FM_MUST_USE enum fm_status value_open(struct fm_span value, struct fm_span *out);

struct format_value {
    uint32_t version;
    struct fm_mesh_id mesh;
    struct fm_node_id node;
};
void format_encode(struct fm_buf *out, const struct format_value *value);
FM_MUST_USE enum fm_status format_decode(struct fm_span bytes, struct format_value *out);

/* Where the chain of commits stands. */
struct tip_value {
    uint64_t number;
    struct fm_hash digest;
    uint32_t next_table;
};
void tip_encode(struct fm_buf *out, const struct tip_value *value);
FM_MUST_USE enum fm_status tip_decode(struct fm_span bytes, struct tip_value *out);
void commit_encode(struct fm_buf *out, const struct fm_hash *digest);
FM_MUST_USE enum fm_status commit_decode(struct fm_span bytes, struct fm_hash *out);

/* Hash of a perfect subtree of a table's Merkle tree. */
void subtree_encode(struct fm_buf *out, const struct fm_hash *hash);
FM_MUST_USE enum fm_status subtree_decode(struct fm_span bytes, struct fm_hash *out);

/* Of TILES_LEAVES facts that retention dropped, or the first of them: hashes of perfect subtrees
 * side by side from the first leaf on (dropped.h). */
#define TILES_LEVEL 8u
#define TILES_LEAVES (1u << TILES_LEVEL)
struct tiles {
    uint32_t count;
    uint32_t leaves; /* Under all of them. */
    uint8_t levels[TILES_LEAVES];
    struct fm_hash hashes[TILES_LEAVES];
};
void tiles_encode(struct fm_buf *out, const struct tiles *value);
FM_MUST_USE enum fm_status tiles_decode(struct fm_span bytes, struct tiles *out);

/* What a commit's digest covers: digest(n + 1) = SHA-256(digest(n) || u64 n + 1 || what). */
struct commit_what {
    size_t len;
    uint8_t bytes[96];
};
struct commit_what commit_what_append(uint32_t table, uint64_t size, const struct fm_hash *root);
struct commit_what commit_what_define(uint32_t table, uint32_t epoch, const struct fm_hash *schema);
struct commit_what commit_what_seal(uint32_t table, uint64_t first_sequence, uint32_t rows);
struct commit_what commit_what_merge(uint32_t table, uint64_t first_sequence, uint32_t rows);
/* From now on the facts before `kept` are dropped. */
struct commit_what commit_what_retain(uint32_t table, uint64_t kept);
struct commit_what commit_what_record(struct fm_span key, struct fm_span value);
struct commit_what commit_what_erase(const struct fm_hash *id);
void commit_chain(struct fm_hash *digest, uint64_t number, const struct commit_what *what);

struct table_value {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t epoch;
    uint32_t schema_version; /* The current one. */
    bool has_commitment_key;
    uint8_t commitment_key[32];
};
void table_encode(struct fm_buf *out, const struct table_value *value);
FM_MUST_USE enum fm_status table_decode(struct fm_span bytes, struct table_value *out);

struct state_value {
    fm_us recorded_at; /* Of the last fact. */
    uint64_t hot_rows;
    uint64_t segment_count;
    uint64_t next_segment; /* Ids from here on are staged only. */
    uint64_t superseded;   /* Rows that a plain scan leaves out. */
    struct fm_tree tree;   /* Its size is the table's. */
};
void state_encode(struct fm_buf *out, const struct state_value *value);
FM_MUST_USE enum fm_status state_decode(struct fm_span bytes, struct state_value *out);

/* keys_subject.c: the key of a data subject, or when it was destroyed. */
enum subject_state { SUBJECT_ACTIVE = 1, SUBJECT_ERASED = 2 };
struct subject_value {
    enum subject_state state;
    uint8_t key[32]; /* Active; a secret. */
    fm_us erased_at; /* Erased. */
};
void subject_encode(struct fm_buf *out, const struct subject_value *value);
FM_MUST_USE enum fm_status subject_decode(struct fm_span bytes, struct subject_value *out);
/* While there: files may still have keys that were destroyed. It has no content. */
void subject_mark_encode(struct fm_buf *out);
FM_MUST_USE enum fm_status subject_mark_decode(struct fm_span bytes);

/* An append that writes before it commits: what lies beyond is dropped at the next open. */
struct staged_value {
    uint64_t first_sequence;
    uint64_t first_segment;
};
void staged_encode(struct fm_buf *out, const struct staged_value *value);
FM_MUST_USE enum fm_status staged_decode(struct fm_span bytes, struct staged_value *out);

struct producer_value {
    uint64_t producer_sequence;
    uint64_t first_sequence;
    uint64_t rows;
    uint64_t size;
    struct fm_hash root;
    fm_us recorded_at;
};
void producer_encode(struct fm_buf *out, const struct producer_value *value);
FM_MUST_USE enum fm_status producer_decode(struct fm_span bytes, struct producer_value *out);

/* The key index: where a key's latest row is, and the one before the append that put it there, so
 * that an append that never committed can be undone. */
#define INDEX_NONE UINT64_MAX
struct index_value {
    uint64_t sequence;
    uint64_t previous; /* INDEX_NONE: the key was new. */
};
void index_encode(uint8_t out[16], const struct index_value *value);
FM_MUST_USE enum fm_status index_decode(struct fm_span bytes, struct index_value *out);

/* A run of rows of one append: a hot value, or a span of a segment. The header is that of the first
 * row; sequences rise by one. */
struct hot_value {
    struct fm_fact_header header;
    struct fm_span batch; /* A batch of all the schema's fields, in order; not aligned. */
};
void hot_encode(struct fm_buf *out, const struct hot_value *value);
FM_MUST_USE enum fm_status hot_decode(struct fm_span bytes, struct hot_value *out);

/* Bounds of a run of values in canonical bytes; a cut bound is wider than the values. */
#define BOUNDS_MIN_CUT 0x01u
#define BOUNDS_MAX_CUT 0x02u
#define BOUNDS_BYTES_MAX 64u
struct bounds {
    uint8_t flags;
    uint8_t min_len; /* Both 0: unknown. */
    uint8_t max_len;
    uint8_t min[BOUNDS_BYTES_MAX];
    uint8_t max[BOUNDS_BYTES_MAX];
};
void bounds_encode(struct fm_buf *out, const struct bounds *bounds);
FM_MUST_USE enum fm_status bounds_decode(struct fm_cursor *cursor, struct bounds *out);

struct segment_field {
    uint32_t id;
    uint8_t kind;
    uint8_t encoding; /* Of the column value (segment.h). */
    uint8_t code_width;
    uint32_t null_count;
    uint64_t stored_bytes;
    struct bounds bounds;
};

struct segment_span {
    uint32_t rows;
    struct fm_fact_header header;
};

/* spans.c: spans as they are in a segment's record; their rows sum up to `rows`. */
void spans_put(struct fm_buf *out, const struct segment_span *spans, uint32_t count);
FM_MUST_USE enum fm_status spans_take(struct fm_cursor *cursor, uint32_t rows,
                                      struct segment_span **out, uint32_t *out_count);

/* Instead of a field's id in the key of a column value: the order of the rows (order.h). */
#define SEGMENT_ORDER_FIELD UINT32_MAX
#define SEGMENT_SPANS_INLINE_MAX 4u /* More have a value of their own (spans.h). */

struct segment_value {
    atomic_uint references; /* By lists of segments (state.c). */
    atomic_bool is_large;   /* Did not fit together with its neighbours (merge.c). */
    uint64_t id;
    uint64_t first_sequence; /* Also in the key. */
    uint32_t rows;
    uint32_t schema_version;
    bool is_dropped;            /* By retention: neither spans nor fields, only the times. */
    bool has_order;             /* Rows are not in sequence order, but as order.h tells. */
    uint32_t span_count;        /* >= 1; their rows sum up to `rows`. In sequence order. */
    struct segment_span *spans; /* NULL: they are in a value of their own, and here is only */
    fm_us first_recorded_at;    /* when the first */
    fm_us last_recorded_at;     /* and the last was recorded. */
    uint32_t field_count;
    struct segment_field *fields; /* In the schema's order. */
};
void segment_value_encode(struct fm_buf *out, const struct segment_value *value);
FM_MUST_USE enum fm_status segment_value_decode(struct fm_span bytes, struct segment_value *out);
void segment_value_deinit(struct segment_value *value);

/* ---- Outside slots --------------------------------------------------------------------------- */

#define SLOT_BYTES 512u
struct slot_value {
    uint32_t version;
    struct fm_mesh_id mesh;
    struct fm_node_id node;
    uint64_t number;       /* Of the last commit that was made durable. */
    struct fm_hash digest; /* Of the chain there. */
    fm_us time;            /* When it was written, for humans. */
};
void slot_encode(uint8_t out[SLOT_BYTES], const struct slot_value *value);
/* FM_NOTFOUND: 512 zero bytes, a slot never written. */
FM_MUST_USE enum fm_status slot_decode(const uint8_t bytes[SLOT_BYTES], struct slot_value *out);

#endif
