/* The fact store of one node: append-only logs of facts in RocksDB, one per table, each with a
 * Merkle tree; columnar segments for large appends; snapshots and scans. docs/storage.md describes
 * every byte; storage/keys.h owns the layouts.
 *
 * Durability: an acknowledged append has been synced, unless it asked for FM_DURABLE_MEMORY, in the
 * store's log and in the outside slots (slots.h): two checksummed records beside the RocksDB folder
 * that say how far the store had come, so that a store which opens with less (a flipped bit, a lost
 * or cut log file, an old backup) is refused with FM_CORRUPT and what to do, instead of serving a
 * shorter history.
 *
 * Threads: a store may be used by several threads. Appends of one table are serialised, but their
 * commits share syncs, as those of several tables do; snapshots and scans run beside them. A
 * snapshot may be shared; a scan is used by one thread.
 * Errors: outputs are written only when FM_OK is returned. A failed sync means unknown: the store
 * then refuses all further appends with FM_IO until it is opened again. */
#ifndef FM_STORAGE_STORE_H
#define FM_STORAGE_STORE_H

#include "core/hash.h"
#include "core/history.h"
#include "core/leaf.h"
#include "core/predicate.h"
#include "core/proof.h"
#include "core/records.h"
#include "core/statistics.h"

#include <stdatomic.h>

struct fm_store;
struct fm_append;
struct fm_snapshot;
struct fm_scan;

struct fm_store_options {
    const char *dir;        /* Made (0700) if missing; its parent must exist. */
    struct fm_mesh_id mesh; /* A folder of another mesh or node is refused (FM_CONFLICT). */
    struct fm_node_id node;
    size_t cache_bytes;      /* RocksDB's block cache; 0: 64 MiB. */
    size_t arena_bytes;      /* Bound on memory files with decoded columns; 0: 320 MiB. */
    uint64_t free_bytes_min; /* Appends are refused below this much free space; 0: 256 MiB. */
    /* Look only: nothing is made, recovered or written, and every write is FM_REFUSED. */
    bool read_only;
    bool seal_in_background; /* A thread of the store seals and merges where there is much to. */
};

/* FM_BUSY: another process has it open. FM_CONFLICT: foreign folder. FM_CORRUPT: less than what the
 * slots promise, or unreadable. FM_UNSUPPORTED: a newer format version. FM_NOTFOUND: read-only, and
 * there is no store. FM_IO. */
FM_MUST_USE enum fm_status fm_store_open(const struct fm_store_options *options,
                                         struct fm_store **out, struct fm_error *err);
void fm_store_close(struct fm_store *store); /* Syncs. NULL is fine. */
FM_DEFINE_FREEP(fm_store_closep, struct fm_store, fm_store_close)

/* Make the table, or give it a new schema version (copied). The same version with other content is
 * FM_CONFLICT; a field id whose type changed is FM_INVALID. Synced. */
FM_MUST_USE enum fm_status fm_store_define(struct fm_store *store, const struct fm_schema *schema,
                                           uint32_t epoch, struct fm_error *err);

struct fm_table_info {
    struct fm_schema *schema; /* Owned copy: free with fm_schema_free(). */
    uint32_t epoch;
    uint64_t size; /* Facts in the log, synced. */
    struct fm_hash root;
    fm_us recorded_at; /* Of the last fact, 0 when empty. */
    uint64_t segment_count;
    uint64_t hot_rows;
    uint64_t rows_latest; /* Rows a plain scan gives (superseded ones left out). */
};
FM_MUST_USE enum fm_status fm_store_table(struct fm_store *store, const char *domain,
                                          const char *table, struct fm_table_info *out);
/* Names of all tables, for the node's start: calls `each` per table; its failure ends the walk. */
FM_MUST_USE enum fm_status fm_store_each_table(
    struct fm_store *store,
    enum fm_status (*each)(void *context, const char *domain, const char *table), void *context);

/* ---- Statistics: what is known without looking at a row ----------------------------------- */

struct fm_column_statistics {
    uint32_t field_id;
    uint64_t bytes; /* Of its values in segments, as stored. */
};

struct fm_table_statistics {
    uint32_t column_count; /* By the current schema's positions. */
    struct fm_column_statistics *columns;
    uint64_t facts;            /* Ever appended: the size of the log. */
    uint64_t dropped_facts;    /* By retention. */
    uint64_t rows_latest;      /* That a plain scan gives. */
    uint64_t hot_rows;         /* Not in a segment yet, */
    uint64_t hot_bytes;        /* as stored. */
    uint64_t segment_count;    /* With rows. */
    uint64_t segment_bytes;    /* Of all columns, also of those that the schema has no more. */
    uint64_t superseded_bytes; /* Of the bitmaps of rows that are not the latest of their key. */
    uint64_t tree_bytes;       /* Of kept hashes. */
    uint64_t index_bytes;      /* Of the key index: an estimate, without what is in memory only. */
    /* Committed by this process since it opened the store: */
    uint64_t appended_facts;
    uint64_t appended_bytes; /* Of their leaves (core/leaf.h): the facts in canonical form. */
};

/* Free the result with fm_table_statistics_deinit(). FM_NOTFOUND: no such table. */
FM_MUST_USE enum fm_status fm_store_statistics(struct fm_store *store, const char *domain,
                                               const char *table, struct fm_table_statistics *out,
                                               struct fm_error *err);
void fm_table_statistics_deinit(struct fm_table_statistics *statistics); /* Zeroed is fine. */

/* The same for planners at other nodes (core/statistics.h; all but version and time): rows, and of
 * each column that is not classified values, NULLs, bytes and bounds. Exact for a table of at most
 * FM_STATISTICS_ROWS_READ_MAX facts, which is read; else what its segments' records, dictionaries
 * and key tell without a look at its rows: hot ones count only as rows. Free it with
 * fm_statistics_deinit(). FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_store_summary(struct fm_store *store, const char *domain,
                                            const char *table, struct fm_statistics *out,
                                            struct fm_error *err);
/* What tells whether a summary is still true. FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_store_outline(struct fm_store *store, const char *domain,
                                            const char *table, uint64_t *rows,
                                            uint32_t *schema_version);

/* Tables share RocksDB's files, so what is written is known of the whole store. Its write
 * amplification since it was opened is
 *   (log_bytes + flush_bytes + compaction_bytes) / appended_bytes:
 * what went to RocksDB's log, table and blob files for a byte of fact. The slots (512 bytes for
 * each group of commits), backups and what the file system adds are not in it. */
struct fm_store_usage {
    uint64_t free_bytes;     /* Of the disk, for others than root. */
    uint64_t free_bytes_min; /* Below, appends are refused and reads go on. */
    bool accepts_appends;    /* Enough free space, no failed write, not read-only. */
    uint64_t file_bytes;     /* Of RocksDB's table and blob files. */
    /* Since this process opened the store; all 0 when it is read-only: */
    uint64_t appended_bytes; /* Of all tables. */
    uint64_t log_bytes;
    uint64_t flush_bytes;
    uint64_t compaction_bytes;
};
FM_MUST_USE enum fm_status fm_store_usage(struct fm_store *store, struct fm_store_usage *out,
                                          struct fm_error *err);

/* ---- Small signed records that the node keeps (contracts, certificates, member list, boot epoch,
 * incarnation): key and value are opaque here. Synced before FM_OK.
 * -------------------------------- */
FM_MUST_USE enum fm_status fm_store_put_record(struct fm_store *store, struct fm_span key,
                                               struct fm_span value, struct fm_error *err);
FM_MUST_USE enum fm_status fm_store_get_record(struct fm_store *store, struct fm_span key,
                                               struct fm_buf *value);
FM_MUST_USE enum fm_status fm_store_each_record(
    struct fm_store *store, struct fm_span prefix,
    enum fm_status (*each)(void *context, struct fm_span key, struct fm_span value), void *context);

/* ---- Appends ------------------------------------------------------------------------------- */

struct fm_append_options {
    const char *domain;
    const char *table;
    uint32_t schema_version; /* Of the batches; must be the table's current one. */
    bool has_producer;
    uint8_t producer_id[16];
    uint64_t producer_sequence; /* Rising per producer. The last one again: FM_CONFLICT is not
                                   given, but the first acknowledgement (see `done`). An older one
                                   is FM_CONFLICT. */
    bool has_expected;
    uint64_t expected_size; /* FM_CONFLICT when the log has another size, at begin or at commit. */
    /* FM_DURABLE_MEMORY: answered once it is written, before it is synced, which follows within
     * 100 ms. Until then no reader and no head has it, and a crash may lose it, as a whole. 0: as
     * FM_DURABLE_FSYNC. */
    enum fm_durability durability;
    bool has_trace;
    uint8_t trace_id[16];
    /* FM_EXTRA_* (core/history.h): columns that the batches have behind the schema's fields. 0: the
     * first batch tells by its columns, which all have different types.
     *
     * A keyed table: a retract row takes its key's latest row back and needs no more than the key;
     * a correct row names in `_supersedes` the latest fact of its key, and replaces it. Without a
     * key both name the fact that they take back or replace. A retract row is never shown in the
     * latest state. Rows of an append with operations take effect one after the other as they come:
     * they are not brought into clustering order. */
    uint32_t extras;
};

struct fm_appended {
    uint64_t first_sequence;
    uint64_t rows;
    uint64_t size;
    struct fm_hash root;
    fm_us recorded_at;
    enum fm_durability durability;
};

/* Begin a staged append. When the producer's sequence was committed before, `*done` is true,
 * `*first` its acknowledgement, and no append is made. Staged segments that nothing refers to are
 * dropped by abort, and at the next open after a crash. FM_NOTFOUND: no such table. */
FM_MUST_USE enum fm_status fm_append_begin(struct fm_store *store,
                                           const struct fm_append_options *options,
                                           struct fm_append **out, bool *done,
                                           struct fm_appended *first, struct fm_error *err);
/* Add rows: a batch whose columns are the schema's fields in order and those of `extras`, checked
 * with fm_batch_view(). FM_INVALID: a NULL in a required field, text that is no value of an enum or
 * no operation, `_supersedes` where it is missing or has no meaning: row (counted from 1 over the
 * whole append) and column. FM_CONFLICT, here or from the commit: a key that has no row to retract,
 * a fact that is not the latest of its key, or superseded already: row and key. After a failure
 * only abort is allowed. */
FM_MUST_USE enum fm_status fm_append_rows(struct fm_append *append, const struct fm_batch *batch,
                                          struct fm_error *err);
/* All or nothing, synced unless the options ask for less; the answer says which it was. Frees the
 * append whatever the outcome. */
FM_MUST_USE enum fm_status fm_append_commit(struct fm_append *append, struct fm_appended *out,
                                            struct fm_error *err);
/* Appends to several tables of one domain, 1 to FM_APPEND_TABLES_MAX (FM_LIMIT), each table once:
 * all of them or none, also after a crash, and no snapshot has one without the others. `out` has an
 * answer for each. If every one was stored before, these are the first answers; if only some were,
 * FM_CONFLICT. Of different durabilities the stronger holds. Frees all appends and sets them to
 * NULL whatever the outcome. */
FM_MUST_USE enum fm_status fm_append_commit_many(struct fm_append **appends, uint32_t count,
                                                 struct fm_appended *out, struct fm_error *err);
void fm_append_abort(struct fm_append *append);
FM_DEFINE_FREEP(fm_append_abortp, struct fm_append, fm_append_abort)

/* ---- Sealing -------------------------------------------------------------------------------- */

/* Make segments of all hot rows that the table has now; `*rows` (may be NULL) of them. Facts,
 * sequences and roots stay as they are; appends and readers go on meanwhile, and open snapshots
 * keep what they had. What was sealed before a failure stays sealed. FM_BUSY: another thread seals
 * the table, or a large append has it. FM_LIMIT: no free space. FM_NOTFOUND: no such table. */
FM_MUST_USE enum fm_status fm_store_seal(struct fm_store *store, const char *domain,
                                         const char *table, uint64_t *rows, struct fm_error *err);

/* Make one segment of neighbouring ones wherever they fit together, now; `*rows` (may be NULL) are
 * those that were rewritten. Everything stays as it is as with sealing; the errors are the same. In
 * the background only segments that became many are merged (merge_plan.h). */
FM_MUST_USE enum fm_status fm_store_merge(struct fm_store *store, const char *domain,
                                          const char *table, uint64_t *rows, struct fm_error *err);

/* ---- Retention ------------------------------------------------------------------------------ */

/* Drop the segments from the log's beginning on all of whose facts were recorded before that time;
 * `*dropped` facts, also where the call fails later. Hot rows are sealed first if any is as old. As
 * soon as `*stop` is true (NULL: never) no further segment goes; what a stopped call leaves to tidy
 * up, the next one that drops something does. A
 * segment goes as a whole, so younger facts keep older ones beside them for a while. The root,
 * sizes and sequences stay. What is kept is read as before, and has the same proofs; so have any
 * two sizes of the log at which an append ended. Open snapshots keep what they had. FM_BUSY:
 * another thread seals the table, or a large append has it. FM_LIMIT: the disk is too full even for
 * this. FM_NOTFOUND: no such table. FM_CORRUPT: the facts are not those of their hashes; they are
 * kept. */
FM_MUST_USE enum fm_status fm_store_retain(struct fm_store *store, const char *domain,
                                           const char *table, fm_us recorded_before,
                                           const atomic_bool *stop, uint64_t *dropped,
                                           struct fm_error *err);

/* ---- Data subjects --------------------------------------------------------------------------- */

struct fm_erased {
    bool was_erased;      /* By an earlier call. */
    uint32_t table_count; /* Tables of the domain that name subjects. */
    bool is_gone;         /* From the files too; else readers of the past keep them for now. */
};

/* Destroy the key of a data subject in a domain, named by its text (core/subject.h). From then on
 * its personal and secret values are NULL for every reader, also of a snapshot that was opened
 * before, and facts of it are refused; facts, roots and proofs stay. The key's bytes leave the
 * folder with the last snapshot from before: is_gone, or fm_store_purge_subjects() later, or the
 * next opening. FM_NOTFOUND: nobody of that name had a fact here. FM_BUSY: an append to a table of
 * the domain is under way. */
FM_MUST_USE enum fm_status fm_store_erase_subject(struct fm_store *store, const char *domain,
                                                  struct fm_span subject, struct fm_erased *out,
                                                  struct fm_error *err);
/* Remove destroyed keys from files where that is still due; `*done`: nothing is due any more. */
FM_MUST_USE enum fm_status fm_store_purge_subjects(struct fm_store *store, bool *done,
                                                   struct fm_error *err);

/* ---- Reading -------------------------------------------------------------------------------- */

/* One consistent state of all tables at their last durable size. */
FM_MUST_USE enum fm_status fm_snapshot_open(struct fm_store *store, struct fm_snapshot **out,
                                            struct fm_error *err);
void fm_snapshot_free(struct fm_snapshot *snapshot);
FM_DEFINE_FREEP(fm_snapshot_freep, struct fm_snapshot, fm_snapshot_free)
/* Like fm_store_table(), at the snapshot. */
FM_MUST_USE enum fm_status fm_snapshot_table(struct fm_snapshot *snapshot, const char *domain,
                                             const char *table, struct fm_table_info *out);

/* The whole latest row of one primary key, without a scan: `key` is the canonical bytes of the
 * key's fields, one after the other in the key's order. Appends a batch of one row with all the
 * schema's fields in order to an empty buffer; its first row number is the fact's sequence.
 * FM_NOTFOUND: a scan of the latest state shows no such row. FM_INVALID: no such table, no primary
 * key, or bytes that are no value of it. */
FM_MUST_USE enum fm_status fm_snapshot_get(struct fm_snapshot *snapshot, const char *domain,
                                           const char *table, struct fm_span key,
                                           struct fm_buf *batch, struct fm_error *err);

/* The table's columns with their dictionaries: a varchar or enum column whose distinct values over
 * the whole table are few (<= FM_DICTIONARY_VALUES_MAX) has one, sorted; scans and mappings of this
 * snapshot then carry codes of it (FM_VECTOR_DICT_OUTSIDE). */
FM_MUST_USE enum fm_status fm_snapshot_columns(struct fm_snapshot *snapshot, const char *domain,
                                               const char *table, struct fm_columns *out);

struct fm_scan_options {
    const char *domain;
    const char *table;
    uint32_t field_count;                       /* 1..; */
    const uint32_t *fields;                     /* Positions in the schema, in the order wanted. */
    const struct fm_predicate_list *predicates; /* NULL: none. */
    struct fm_at at;    /* FM_AT_LATEST: the latest row of each key; others: as of then. */
    uint64_t row_limit; /* 0: none. */
    size_t batch_bytes; /* Aim for a batch's size; 0: FM_BATCH_WIRE_BYTES. */
};

/* Rows that satisfy all predicates; zone maps skip blocks that cannot match. They come in sequence
 * order, but for a table with a clustering key: each of its segments is sorted by that. */
FM_MUST_USE enum fm_status fm_scan_open(struct fm_snapshot *snapshot,
                                        const struct fm_scan_options *options, struct fm_scan **out,
                                        struct fm_error *err);
/* Append one batch to an empty buffer; FM_NOTFOUND: no more. FM_CORRUPT: a block's checksum fails;
 * never a shorter answer. */
FM_MUST_USE enum fm_status fm_scan_next(struct fm_scan *scan, struct fm_buf *batch,
                                        struct fm_error *err);
void fm_scan_free(struct fm_scan *scan);
FM_DEFINE_FREEP(fm_scan_freep, struct fm_scan, fm_scan_free)

/* ---- Proofs ---------------------------------------------------------------------------------- */

/* How many facts the log had then. FM_INVALID: a version that it has not reached. FM_NOTFOUND: no
 * such table. */
FM_MUST_USE enum fm_status fm_snapshot_size_at(struct fm_snapshot *snapshot, const char *domain,
                                               const char *table, const struct fm_at *at,
                                               uint64_t *size, struct fm_error *err);
/* Append the leaf of a fact: the bytes that the table's Merkle log hashes (core/leaf.h).
 * FM_INVALID: the snapshot has no such fact. FM_NOTFOUND: no such table, or the fact was dropped by
 * retention. */
FM_MUST_USE enum fm_status fm_snapshot_leaf(struct fm_snapshot *snapshot, const char *domain,
                                            const char *table, uint64_t sequence,
                                            struct fm_buf *out, struct fm_error *err);
/* That the fact is in the log of the first `size` facts. Every proof that is given out was checked
 * against the snapshot's root: FM_CORRUPT when what is stored does not give it. FM_INVALID unless
 * sequence < size <= the snapshot's size. FM_NOTFOUND: no such table, or the fact was dropped. */
FM_MUST_USE enum fm_status fm_snapshot_inclusion(struct fm_snapshot *snapshot, const char *domain,
                                                 const char *table, uint64_t sequence,
                                                 uint64_t size, struct fm_proof *out,
                                                 struct fm_error *err);
/* That the log of the first `new_size` facts begins with the log of the first `old_size`. The same
 * errors; FM_INVALID unless old_size <= new_size <= the snapshot's size. FM_NOTFOUND also where a
 * size lies within dropped facts and no append ended there. */
FM_MUST_USE enum fm_status fm_snapshot_consistency(struct fm_snapshot *snapshot, const char *domain,
                                                   const char *table, uint64_t old_size,
                                                   uint64_t new_size, struct fm_proof *out,
                                                   struct fm_error *err);

/* ---- Mapping: decoded columns in memory files, handed to a worker without a copy ------------- */

struct fm_store_mapped_column {
    uint32_t arena;  /* Index in `fds`. */
    uint64_t offset; /* Of a one-column batch whose types and codes are those of
                        fm_snapshot_columns(). */
};

struct fm_store_mapped_segment {
    uint32_t rows;                          /* As stored, shown or not. */
    struct fm_store_mapped_column *columns; /* field_count of them. */
    bool has_selection;                     /* Else all rows are shown. */
    struct fm_store_mapped_column
        selection; /* u64 words, bit i of word w: row 64 w + i is shown. */
    uint64_t
        left_out; /* Bit b: no row of block b (FM_BLOCK_ROWS each) can match. Not all of them. */
};

struct fm_store_mapping {
    uint32_t arena_count;
    int *fds;        /* Sealed read-only for the receiver; open while the mapping lives. */
    uint64_t *bytes; /* Of each. */
    uint32_t segment_count;
    struct fm_store_mapped_segment *segments;
    struct fm_scan *rest; /* Rows that are in no mapped segment (hot rows, or what the arena's bound
                             leaves out), NULL when there are none. Owned by the mapping. */
    void *pins;           /* Keeps arena space from being reused. */
};

/* Uses options->fields and options->predicates (segments and blocks are left out by zone maps; rows
 * are not filtered one by one). Errors as of fm_scan_open(). */
FM_MUST_USE enum fm_status fm_snapshot_map(struct fm_snapshot *snapshot,
                                           const struct fm_scan_options *options,
                                           struct fm_store_mapping *out, struct fm_error *err);
void fm_store_mapping_deinit(struct fm_store_mapping *mapping);

#endif
