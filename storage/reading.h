/* What scans, mappings and lookups share: a snapshot's insides and columns loaded for reading. */
#ifndef FM_STORAGE_READING_H
#define FM_STORAGE_READING_H

#include "storage/dictionary.h"
#include "storage/segment.h"
#include "storage/units.h"

struct snapshot_table {
    struct table_state *state;
    struct table_dictionary **dictionaries; /* By position; made on first use. */
    bool *has_asked;                        /* By position: a NULL above is an answer. */
    struct fm_schema *facts;                /* Of its history; made on first use. */
};

/* A table by one of its two names: its rows as of some time, or its whole history (core/history.h),
 * whose first columns are no stored ones. */
struct table_view {
    struct snapshot_table *table;
    const struct fm_schema *schema; /* Lives as long as the snapshot. */
    bool is_facts;
};

struct leaf_cache; /* prove.c */

struct fm_snapshot { /* Scans hold references too. */
    atomic_uint references;
    struct fm_store *store;
    struct store_view *view;
    const struct rocks_snapshot *rocks; /* The view's. */
    pthread_mutex_t lock;               /* Dictionaries and leaves. */
    uint32_t count;
    struct snapshot_table *tables;
    struct leaf_cache *leaves; /* Owned. NULL: not used yet. */
};

struct fm_snapshot *snapshot_retain(struct fm_snapshot *snapshot);
struct snapshot_table *snapshot_find(struct fm_snapshot *snapshot, const char *domain,
                                     const char *table);
/* FM_NOTFOUND: there is no such table, or its history has no name (fm_schema_facts()). */
FM_MUST_USE enum fm_status snapshot_view(struct fm_snapshot *snapshot, const char *domain,
                                         const char *name, struct table_view *out);
/* The dictionary of a stored column, the same for the snapshot's whole life; NULL in `*out`: none.
 * It lives as long as the snapshot. */
FM_MUST_USE enum fm_status snapshot_dictionary(struct fm_snapshot *snapshot,
                                               struct snapshot_table *table, uint32_t position,
                                               const struct table_dictionary **out,
                                               struct fm_error *err);
/* The same of a view's column; NULL for those of a fact's header. */
FM_MUST_USE enum fm_status view_dictionary(struct fm_snapshot *snapshot,
                                           const struct table_view *view, uint32_t position,
                                           const struct table_dictionary **out,
                                           struct fm_error *err);

/* ---- Columns of segments --------------------------------------------------------------------- */

/* A stored column value under inspection. */
struct stored_column {
    struct rocks_pin pin;
    struct column column;
};
/* `snapshot` is one of RocksDB that goes with the state, whose segments may be merged away since;
 * NULL only where nothing is written meanwhile.
 * FM_NOTFOUND: the segment has no such field (an older schema). */
FM_MUST_USE enum fm_status stored_column_open(const struct table_state *state,
                                              const struct rocks_snapshot *snapshot,
                                              const struct segment_value *segment,
                                              const struct fm_field *field,
                                              struct stored_column *out, struct fm_error *err);
void stored_column_close(struct stored_column *stored); /* Zeroed is fine. */

/* A decoded one-column batch: of a whole segment, or of some blocks. */
struct loaded {
    struct fm_batch batch;
    uint32_t first;       /* Row of the segment that the batch begins with. */
    struct arena *arena;  /* Of the pin. */
    struct arena_pin pin; /* Either in the arena */
    struct fm_buf bytes;  /* or here. */
};
void loaded_release(struct loaded *loaded); /* Zeroed is fine. */

/* The whole column, in codes of `dictionary` where that is not NULL; NULLs where the segment lacks
 * the field. From the arena, or decoded into it. `arena_only`: FM_LIMIT when the arena has no room;
 * else memory of its own serves. */
FM_MUST_USE enum fm_status load_column(const struct table_state *state,
                                       const struct rocks_snapshot *snapshot,
                                       const struct segment_value *segment,
                                       const struct fm_field *field,
                                       const struct table_dictionary *dictionary, bool arena_only,
                                       struct loaded *out, struct fm_error *err);
/* True when it is there without decoding. */
FM_MUST_USE enum fm_status find_column(const struct table_state *state,
                                       const struct segment_value *segment,
                                       const struct fm_field *field,
                                       const struct table_dictionary *dictionary,
                                       struct loaded *out);
/* Some blocks of an opened column. */
FM_MUST_USE enum fm_status load_blocks(const struct table_state *state,
                                       const struct segment_value *segment,
                                       const struct fm_field *field, struct stored_column *stored,
                                       const struct table_dictionary *dictionary, uint32_t first,
                                       uint32_t count, struct loaded *out, struct fm_error *err);

/* The spans of a segment, `segment->span_count` of them: those of its record, or read into
 * `*loaded`, to be freed with free() whatever the outcome. `snapshot` may be NULL. */
FM_MUST_USE enum fm_status segment_spans(const struct table_state *state,
                                         const struct rocks_snapshot *snapshot,
                                         const struct segment_value *segment,
                                         struct segment_span **loaded,
                                         const struct segment_span **out, struct fm_error *err);

/* ---- Leaves ---------------------------------------------------------------------------------- */

/* Leaf hashes of facts [first, first + count) of the state, computed from the stored rows: 32 bytes
 * each. `snapshot` may be NULL. */
FM_MUST_USE enum fm_status stored_leaf_hashes(const struct table_state *state,
                                              const struct rocks_snapshot *snapshot, uint64_t first,
                                              uint32_t count, uint8_t *out, struct fm_error *err);
/* Append the leaf of one fact. */
FM_MUST_USE enum fm_status stored_leaf(const struct table_state *state,
                                       const struct rocks_snapshot *snapshot, uint64_t sequence,
                                       struct fm_buf *out, struct fm_error *err);

/* ---- Which rows ------------------------------------------------------------------------------ */

/* How many facts there were: `*size` of the state's. FM_INVALID: no such version. */
FM_MUST_USE enum fm_status resolve_at(struct fm_snapshot *snapshot, const struct table_state *state,
                                      const struct fm_at *at, uint64_t *size, struct fm_error *err);
/* Which of the first `size` facts the latest state did not show then. */
FM_MUST_USE enum fm_status superseded_at(struct fm_snapshot *snapshot,
                                         const struct table_state *state, uint64_t size,
                                         struct superseded **out, struct fm_error *err);

/* The rows that are shown as of some time: the first `size` but those. */
struct visible {
    uint64_t size;
    struct superseded *superseded; /* Owned. NULL: none. */
};
FM_MUST_USE enum fm_status visible_at(struct fm_snapshot *snapshot, const struct table_view *view,
                                      const struct fm_at *at, struct visible *out,
                                      struct fm_error *err);
void visible_deinit(struct visible *visible); /* Zeroed is fine. */

/* May any of so many rows within the bounds satisfy the term? */
bool bounds_may_match(const struct fm_predicate *term, const struct fm_type *type,
                      const struct bounds *bounds, uint32_t rows, uint32_t null_count);
/* May any row of the segment satisfy all terms, by its record? */
bool segment_may_match(const struct segment_value *segment, const struct fm_schema *schema,
                       const struct fm_predicate_list *predicates);

const struct segment_field *segment_find_field(const struct segment_value *segment, uint32_t id);

#endif
