/* The two files that say what a backup holds (docs/storage.md, "Backup"): `files.sha256`, in the
 * form of sha256sum, with every other file, and `manifest`, with what the store was.
 * Threads: plain data. Errors: what does not have its one form is FM_CORRUPT. */
#ifndef FM_STORAGE_BACKUP_LIST_H
#define FM_STORAGE_BACKUP_LIST_H

#include "storage/check.h"
#include "storage/files.h"

#include "core/limits.h"

#define BACKUP_LIST "files.sha256"
#define BACKUP_MANIFEST "manifest"
#define BACKUP_SLOTS "slots"
#define BACKUP_STORE "store"
#define BACKUP_HEADS "heads"
#define BACKUP_LIST_BYTES_MAX (64u << 20)
#define BACKUP_DIGITS 6 /* Of a backup's name. */

struct backup_file {
    char path[FILES_NAME_MAX];
    struct fm_hash hash;
};

struct backup_list {
    uint32_t count;
    uint32_t capacity;
    struct backup_file *items; /* By rising path. */
};

void backup_list_deinit(struct backup_list *list);
/* `path` comes behind all that are there. */
FM_MUST_USE enum fm_status backup_list_add(struct backup_list *list, const char *path,
                                           const struct fm_hash *hash);
const struct backup_file *backup_list_find(const struct backup_list *list, const char *path);
void backup_list_encode(struct fm_buf *out, const struct backup_list *list);
/* Only paths that a backup has are taken: nothing leads out of its folder. */
FM_MUST_USE enum fm_status backup_list_decode(struct fm_span bytes, struct backup_list *out);
/* Every file of the backup in `dir` is in the list and the other way round; hashes are not looked
 * at. FM_CORRUPT names one. */
FM_MUST_USE enum fm_status backup_list_compare(const struct backup_list *list, int dir,
                                               struct fm_error *err);
FM_MUST_USE enum fm_status backup_list_read(int dir, struct backup_list *out, struct fm_error *err);

struct backup_table {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t epoch;
    uint64_t size;
    struct fm_hash root;
};

struct backup_manifest {
    struct fm_mesh_id mesh;
    struct fm_node_id node;
    uint64_t commit;
    struct fm_hash digest;
    fm_us time; /* Of the backup, for humans. */
    uint32_t table_count;
    uint32_t table_capacity;
    struct backup_table *tables;
};

void backup_manifest_deinit(struct backup_manifest *manifest);
FM_MUST_USE enum fm_status backup_manifest_add(struct backup_manifest *manifest,
                                               const struct fm_check_table *table);
void backup_manifest_encode(struct fm_buf *out, const struct backup_manifest *manifest);
FM_MUST_USE enum fm_status backup_manifest_decode(struct fm_span bytes,
                                                  struct backup_manifest *out);

/* The number in a backup's name, 1 or more; 0 when it is none. */
uint32_t backup_number(const char *name);
/* The latest backup's name in a folder of backups; FM_NOTFOUND. */
FM_MUST_USE enum fm_status backup_latest(int folder, char out[FILES_NAME_MAX],
                                         struct fm_error *err);

#endif
