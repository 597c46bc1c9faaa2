/* Backups of a store that rests, and stores from backups. docs/storage.md, "Backup", has the form.
 *
 * A folder of backups holds 000001, 000002, ...: each is whole by itself. Files that do not change
 * are hard links: to the store's own where that is on the same file system, else to the backup
 * before. A store is examined (check.h) before it is backed up and after it was restored, so a
 * damaged one is never kept or put in place.
 *
 * Both are all or nothing: what is under way has another name.
 * Threads: one call at a time per folder. A backup locks the store and the folder of backups. */
#ifndef FM_STORAGE_BACKUP_H
#define FM_STORAGE_BACKUP_H

#include "storage/check.h"

#define FM_BACKUP_NAME_MAX 16u

struct fm_backup_options {
    const char *dir;               /* The data folder. */
    const char *folder;            /* Of backups; made (0700) if missing. */
    const struct fm_mesh_id *mesh; /* NULL: whatever the folder says. */
    const struct fm_node_id *node;
    void *context;
    void (*finding)(void *context, const struct fm_check_finding *finding); /* May be NULL. */
    /* Append a signed head of the table to `note`, to be kept beside it; NULL, or nothing appended:
     * none. A failure ends the backup. */
    enum fm_status (*sign)(void *context, const struct fm_check_table *table, struct fm_buf *note,
                           struct fm_error *err);
};

struct fm_backup_result {
    char name[FM_BACKUP_NAME_MAX]; /* Of the backup, in the folder. */
    uint64_t commit;
    uint32_t table_count;
    uint32_t head_count; /* Signed ones. */
    uint32_t file_count; /* Of the store. */
    uint32_t linked_count;
    uint64_t bytes; /* Of those. */
    uint64_t copied_bytes;
};

/* FM_CORRUPT: the store is damaged, which the findings say; nothing is kept. FM_BUSY: the node
 * runs, or another backup is under way. FM_NOTFOUND: no store. FM_CONFLICT: another's. FM_IO. */
FM_MUST_USE enum fm_status fm_store_backup(const struct fm_backup_options *options,
                                           struct fm_backup_result *out, struct fm_error *err);

struct fm_restore_options {
    const char *from;              /* A backup, or a folder of them: the latest. */
    const char *dir;               /* The data folder: missing or empty. */
    const struct fm_mesh_id *mesh; /* NULL: whatever the backup says. */
    const struct fm_node_id *node;
    void *context;
    void (*finding)(void *context, const struct fm_check_finding *finding); /* May be NULL. */
    /* Does this signed head speak of this table? NULL: not asked. A failure ends it. */
    enum fm_status (*verify)(void *context, const struct fm_check_table *table, struct fm_span note,
                             struct fm_error *err);
};

struct fm_restore_result {
    uint64_t commit;
    fm_us time; /* Of the backup. */
    uint32_t table_count;
    uint32_t head_count; /* Verified ones. */
    uint64_t facts;
    uint64_t bytes;
};

/* FM_CORRUPT: a file is not as it was kept, or the store in it is not that of the manifest.
 * FM_CONFLICT: the data folder holds something, or the backup is another node's. FM_NOTFOUND: there
 * is no backup. FM_FORGED and others: of `verify`. FM_IO. */
FM_MUST_USE enum fm_status fm_store_restore(const struct fm_restore_options *options,
                                            struct fm_restore_result *out, struct fm_error *err);

#endif
