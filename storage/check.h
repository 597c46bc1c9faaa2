/* Looking at everything in a store that rests: does it hold together, and does it still say what
 * its Merkle roots say? Nothing is changed (but that RocksDB starts a new file LOG).
 *
 * What is looked at: both slots; the promise they make; every value that RocksDB gives, with its
 * checksums and those of keys.h; the chain of commits; and per table every block of every segment,
 * every hot value, the key index in both directions, the superseded rows, and the root that all the
 * facts, encoded anew, have.
 *
 * Threads: one call at a time per folder; the folder is locked meanwhile.
 * Memory:  bounded by a segment, whatever the size of the store. */
#ifndef FM_STORAGE_CHECK_H
#define FM_STORAGE_CHECK_H

#include "core/cert.h"
#include "core/hash.h"

enum fm_check_severity {
    FM_CHECK_NOTE = 1,   /* Worth knowing; nothing is lost. */
    FM_CHECK_DAMAGE = 2, /* Something is not as it was written. */
};

struct fm_check_finding { /* Texts are borrowed for the call. */
    enum fm_check_severity severity;
    const char *part; /* "slots", "store", "commits" or "domain.table". */
    const char *text; /* What is wrong. */
    const char *advice;
};

struct fm_check_table { /* Texts are borrowed for the call. */
    const char *domain;
    const char *table;
    uint32_t epoch;
    uint64_t size; /* Facts. */
    struct fm_hash root;
    uint64_t dropped; /* Facts, by retention; of them there are hashes only. */
    uint64_t segment_count;
    uint64_t hot_rows;
    uint64_t rows_latest;
    uint64_t stored_bytes; /* Of column values and hot values. */
    bool is_whole;         /* No damage was found: `root` is that of the facts. */
};

struct fm_check_options {
    const char *dir;               /* The data folder. */
    const struct fm_mesh_id *mesh; /* NULL: whatever the folder says. */
    const struct fm_node_id *node;
    void *context;
    void (*finding)(void *context, const struct fm_check_finding *finding);
    /* Once per table, after its findings. A failure ends the check and is its outcome. */
    enum fm_status (*table)(void *context, const struct fm_check_table *table,
                            struct fm_error *err);
};

struct fm_check_result {
    struct fm_mesh_id mesh;
    struct fm_node_id node;
    uint64_t commit;
    struct fm_hash digest; /* Of the chain there. */
    uint32_t table_count;
    uint64_t note_count;
    uint64_t damage_count;
};

/* FM_OK: it was looked at, and `out->damage_count` says with what outcome. FM_NOTFOUND: no store is
 * there. FM_BUSY: it is open in another process. FM_CONFLICT: it is another mesh's or node's, or no
 * store. FM_UNSUPPORTED: a newer format. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_store_check(const struct fm_check_options *options,
                                          struct fm_check_result *out, struct fm_error *err);

#endif
