/* Inside of an append, for append*.c only.
 *
 *   rows --> builder --full--> piece --in order?--> segment (staged)     many rows
 *                                 \--else held, sorted with others--/
 *   rows --> builder --commit--> hot values                             <= FM_SMALL_APPEND_ROWS
 *
 * A batch inside has the schema's fields, then the columns of `extras` that say of each row what is
 * different in its header (row_headers.h). Runs of rows with equal headers become spans of a
 * segment, or hot values of their own.
 *
 * The table is locked, and first sequence and recorded time are fixed, when the first piece is
 * staged, or at the commit of a small append: a client that begins and dawdles keeps nobody
 * waiting. */
#ifndef FM_STORAGE_APPEND_H
#define FM_STORAGE_APPEND_H

#include "storage/cluster.h"
#include "storage/key_index.h"
#include "storage/row_headers.h"
#include "storage/segment.h"
#include "storage/spans.h"
#include "storage/staged.h"
#include "storage/subject.h"
#include "storage/turn.h"

#define APPEND_HELD_MAX 4u              /* Pieces sorted together. */
#define APPEND_PIECE_BYTES (24u << 20)  /* A piece with larger values has fewer rows. */
#define APPEND_SMALL_BYTES (4u << 20)   /* Beyond, even few rows become a segment. */
#define APPEND_SLICE_ROWS FM_BLOCK_ROWS /* Taken over at a time. */

struct piece {
    struct fm_buf bytes;
    struct fm_batch batch;
};

struct label_set; /* append_check.c: the values of an enum, to look texts up. */

struct fm_append {
    struct fm_store *store;
    struct table *table;
    struct fm_append_options options; /* Texts are not kept: domain and table are NULL. */
    const struct fm_schema *schema;
    const struct fm_schema *stored; /* What rows are stored with: differs for data subjects. */
    struct fm_schema *input;        /* With the columns of `extras`; NULL: there are none. */
    uint32_t column_count;          /* Of batches: the schema's fields and extras. */
    const struct fm_type **types;   /* Of the columns. */
    struct label_set *labels;       /* By field; NULL when the schema has no enum. */
    struct fm_batch_builder *builder;
    uint64_t rows;
    bool has_batch; /* Some were given: their columns stay the same. */
    bool failed;
    bool is_duplicate; /* The producer's sequence was committed meanwhile: `first`. */
    struct fm_appended first;

    /* From here on once the table is locked. */
    bool is_locked;
    struct table_state *base;        /* Perhaps not synced yet. */
    struct fm_fact_header header;    /* Sequence: of the next row. */
    struct subject_writer *subjects; /* NULL: rows are stored as they come. */
    struct fm_leaf_encoder *leaves;
    uint8_t *hashes;        /* Leaf hashes of one batch, */
    uint32_t hash_capacity; /* of so many rows at most. */
    struct fm_tree tree;
    struct fm_buf subtrees;             /* Completed since the last write (subtrees.h). */
    struct superseded_edit *superseded; /* NULL: neither a primary key nor operations. */

    /* The commit of a small append, which another thread may run. */
    struct table_turn turn;
    struct pending_commit pending;
    struct fm_appended appended;
    enum fm_status status; /* Unless it is written: what came of it. */
    struct fm_error error;
    atomic_bool is_written;

    /* From here on once something was staged. */
    bool is_staged;
    struct column_encoder *encoder;
    struct compressor *compressor; /* NULL until spans need it. */
    struct piece tail;             /* The last row that was numbered. */
    bool has_tail;
    uint32_t held_count;
    struct piece held[APPEND_HELD_MAX];
    uint64_t next_segment;
    uint32_t segment_count;
    uint32_t segment_capacity;
    struct segment_value **segments;
};

/* append_check.c. Rows are counted from 1 over the whole append. */
FM_MUST_USE enum fm_status append_labels_new(const struct fm_schema *schema,
                                             struct label_set **out);
void append_labels_free(struct label_set *labels, const struct fm_schema *schema);
/* The extra columns of a batch, by their types, which differ; 0: none, or others. */
uint32_t append_extras_of(const struct fm_schema *schema, const struct fm_batch *batch);
FM_MUST_USE enum fm_status append_check_rows(const struct fm_append *append,
                                             const struct fm_batch *batch, struct fm_error *err);

/* append.c. */
FM_MUST_USE enum fm_status append_find_producer(struct fm_append *append, bool *done,
                                                struct fm_appended *first, struct fm_error *err);
/* Lock the table, look once more whether the append may go on, fix sequence and time. */
FM_MUST_USE enum fm_status append_lock(struct fm_append *append, struct fm_error *err);
/* The same once the table is locked. */
FM_MUST_USE enum fm_status append_fix(struct fm_append *append, struct fm_error *err);
void append_unlock(struct fm_append *append);
/* Leaf hashes of a batch of rows with the next sequences, into the tree. */
FM_MUST_USE enum fm_status append_hash(struct fm_append *append, const struct fm_batch *batch);
/* These take rows as they came or as they are stored. */
/* The headers of a batch's rows, which have the next sequences. */
struct row_headers append_headers(const struct fm_append *append, const struct fm_batch *batch);
/* The batch without the columns of `extras`; it views the same memory. */
struct fm_batch append_fields(const struct fm_append *append, const struct fm_batch *batch);
/* Rows are numbered as they come, not in clustering order. */
bool append_keeps_order(const struct fm_append *append);
/* What a batch of rows with the next sequences supersedes; entries of the key index go to `out`. */
FM_MUST_USE enum fm_status append_supersede(struct fm_append *append, const struct fm_batch *batch,
                                            struct rocks_batch *out, struct fm_error *err);
/* Rows with the next sequences as they are stored, with the columns of `extras` behind the stored
 * schema's: `batch` itself, or in `*scratch`. */
FM_MUST_USE enum fm_status append_stored(struct fm_append *append, const struct fm_batch *batch,
                                         struct fm_batch *scratch, const struct fm_batch **out,
                                         struct fm_error *err);
void piece_deinit(struct piece *piece);

/* append_stage.c. */
FM_MUST_USE enum fm_status append_take_piece(struct fm_append *append, struct fm_error *err);
FM_MUST_USE enum fm_status append_stage_rest(struct fm_append *append, struct fm_error *err);
/* All rows of `pieces` in clustering order, through `each` in batches of a segment's size. */
FM_MUST_USE enum fm_status append_sorted(struct fm_append *append, const struct fm_batch *batches,
                                         uint32_t count,
                                         enum fm_status (*each)(struct fm_append *append,
                                                                const struct fm_batch *batch,
                                                                struct fm_error *err),
                                         struct fm_error *err);

/* append_commit.c. The append's part of a commit's write batch: what the chain covers, and the
 * state that follows, retained; the answer goes to `appended`. */
FM_MUST_USE enum fm_status append_put(struct fm_append *append, struct rocks_batch *batch,
                                      struct commit_what *what, struct table_state **next,
                                      struct fm_error *err);
struct fm_appended append_describe(const struct fm_append *append, const struct table_state *state);
bool append_is_small(const struct fm_append *append); /* Nothing of it was staged. */
void append_count(const struct fm_append *append);    /* Once it is committed, for statistics. */
FM_MUST_USE enum fm_status append_commit(struct fm_append *append, struct fm_appended *out,
                                         struct fm_error *err);

/* append_group.c. FM_CONFLICT unless the log is as long as expected. */
FM_MUST_USE enum fm_status append_check_expected(const struct fm_append *append,
                                                 const struct table_state *state,
                                                 struct fm_error *err);

#endif
