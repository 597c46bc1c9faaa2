/* RocksDB behind a small door: the only file that knows it is rocks.c.
 * Column families hold one kind of thing each; keys.h says which keys and values. A read verifies
 * RocksDB's checksums; an iteration tells its end from a failure, always.
 * Threads: one handle may be used by several threads; batches, iterators and pins by one each.
 * Errors:  FM_CORRUPT: a checksum fails or files are missing or not as they were; FM_BUSY: another
 *          process has it open; FM_IO: everything else. Texts are RocksDB's own. */
#ifndef FM_STORAGE_ROCKS_H
#define FM_STORAGE_ROCKS_H

#include "core/bytes.h"

/* X(NAME, name in RocksDB). Never renamed: the name is part of the format. A family that an earlier
 * version did not know is made by an opening for writing, and empty when read only. */
#define ROCKS_FAMILY_MAP(X)                                                                        \
    X(META, "meta")                                                                                \
    X(HOT, "hot")                                                                                  \
    X(SEGMENTS, "segments")                                                                        \
    X(KEYS, "keys")                                                                                \
    X(PRODUCERS, "producers")                                                                      \
    X(RECORDS, "records")                                                                          \
    X(SUBJECTS, "subjects")

enum rocks_family {
#define X(name, text) ROCKS_##name,
    ROCKS_FAMILY_MAP(X)
#undef X
        ROCKS_FAMILIES
};

struct rocks;
struct rocks_batch;
struct rocks_iterator;
struct rocks_snapshot;

struct rocks_options {
    const char *path;   /* RocksDB's folder. */
    size_t cache_bytes; /* Block cache. */
    bool read_only;     /* Replays the log in memory and changes nothing. Must exist. */
};

FM_MUST_USE enum fm_status rocks_open(const struct rocks_options *options, struct rocks **out,
                                      struct fm_error *err);
void rocks_close(struct rocks *rocks); /* NULL is fine. */
FM_DEFINE_FREEP(rocks_closep, struct rocks, rocks_close)

/* Append the value to `value`. FM_NOTFOUND: no such key. `snapshot` may be NULL. */
FM_MUST_USE enum fm_status rocks_get(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                                     enum rocks_family family, struct fm_span key,
                                     struct fm_buf *value, struct fm_error *err);

/* The same without a copy: `value` stays until the pin is released, which is before the
 * snapshot's end. */
struct rocks_pin {
    void *handle;
    struct fm_span value;
};
FM_MUST_USE enum fm_status rocks_pin(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                                     enum rocks_family family, struct fm_span key,
                                     struct rocks_pin *out, struct fm_error *err);
void rocks_pin_release(struct rocks_pin *pin); /* A zeroed or released pin is fine. */

/* Writes that happen together or not at all. */
FM_MUST_USE enum fm_status rocks_batch_new(struct rocks *rocks, struct rocks_batch **out);
void rocks_batch_free(struct rocks_batch *batch);
FM_DEFINE_FREEP(rocks_batch_freep, struct rocks_batch, rocks_batch_free)
void rocks_batch_put(struct rocks_batch *batch, enum rocks_family family, struct fm_span key,
                     struct fm_span value);
void rocks_batch_delete(struct rocks_batch *batch, enum rocks_family family, struct fm_span key);
/* All keys in [first, end). */
void rocks_batch_delete_range(struct rocks_batch *batch, enum rocks_family family,
                              struct fm_span first, struct fm_span end);
uint32_t rocks_batch_count(const struct rocks_batch *batch);
void rocks_batch_clear(struct rocks_batch *batch);
/* With `sync`, everything written before is durable too when FM_OK is returned. */
FM_MUST_USE enum fm_status rocks_write(struct rocks *rocks, struct rocks_batch *batch, bool sync,
                                       struct fm_error *err);

/* Everything written before is durable when FM_OK is returned. Other writes go on beside it. */
FM_MUST_USE enum fm_status rocks_sync(struct rocks *rocks, struct fm_error *err);

FM_MUST_USE enum fm_status rocks_snapshot_new(struct rocks *rocks, struct rocks_snapshot **out);
void rocks_snapshot_free(struct rocks_snapshot *snapshot);
FM_DEFINE_FREEP(rocks_snapshot_freep, struct rocks_snapshot, rocks_snapshot_free)

/* Keys in [first, end), rising; an empty `end` means to the family's end. Both are copied. */
FM_MUST_USE enum fm_status rocks_iterator_new(struct rocks *rocks,
                                              const struct rocks_snapshot *snapshot,
                                              enum rocks_family family, struct fm_span first,
                                              struct fm_span end, struct rocks_iterator **out);
/* The next pair, borrowed until the next call. FM_NOTFOUND only after the iterator's status said
 * that nothing was skipped. */
FM_MUST_USE enum fm_status rocks_iterator_next(struct rocks_iterator *iterator, struct fm_span *key,
                                               struct fm_span *value, struct fm_error *err);
void rocks_iterator_free(struct rocks_iterator *iterator);
FM_DEFINE_FREEP(rocks_iterator_freep, struct rocks_iterator, rocks_iterator_free)

/* The last key in [first, last], appended to `key`. FM_NOTFOUND: none. */
FM_MUST_USE enum fm_status rocks_last_key(struct rocks *rocks,
                                          const struct rocks_snapshot *snapshot,
                                          enum rocks_family family, struct fm_span first,
                                          struct fm_span last, struct fm_buf *key,
                                          struct fm_error *err);

/* What was written since the opening; all 0 when it was opened read-only. */
struct rocks_written {
    uint64_t log_bytes;        /* To the log. */
    uint64_t flush_bytes;      /* To table and blob files, from memory, */
    uint64_t compaction_bytes; /* and from other such files. */
};
FM_MUST_USE enum fm_status rocks_written(struct rocks *rocks, struct rocks_written *out);
/* Of all table and blob files that the latest version needs. */
uint64_t rocks_file_bytes(struct rocks *rocks);
/* About how much of the table files the keys in [first, end) take; what is in memory only is not
 * counted. */
FM_MUST_USE enum fm_status rocks_range_bytes(struct rocks *rocks, enum rocks_family family,
                                             struct fm_span first, struct fm_span end,
                                             uint64_t *out, struct fm_error *err);

/* A copy of everything written before, to be opened by itself, in the folder `path`, which must not
 * exist while its parent does: links to table and blob files, a copy of the log. Writes go on
 * beside it. */
FM_MUST_USE enum fm_status rocks_checkpoint(struct rocks *rocks, const char *path,
                                            struct fm_error *err);

/* Rewrite the files with keys in [first, end), so that what was deleted there takes no room. */
void rocks_compact(struct rocks *rocks, enum rocks_family family, struct fm_span first,
                   struct fm_span end);

/* Rewrite the family's files without values that were overwritten or deleted, and drop the logs
 * that had them. What a snapshot still sees stays. */
FM_MUST_USE enum fm_status rocks_purge(struct rocks *rocks, enum rocks_family family,
                                       struct fm_error *err);

/* Write all memtables to table files, synced. */
FM_MUST_USE enum fm_status rocks_flush(struct rocks *rocks, struct fm_error *err);
/* The same where the log has grown: an opening has to replay it. */
FM_MUST_USE enum fm_status rocks_shorten_log(struct rocks *rocks, struct fm_error *err);

#endif
