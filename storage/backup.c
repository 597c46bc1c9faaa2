#include "storage/backup.h"

#include "core/assert.h"
#include "storage/backup_list.h"
#include "storage/check_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct backup {
    const struct fm_backup_options *options;
    struct fm_backup_result result;
    struct check check;
    int folder;   /* Of backups; locked. */
    int previous; /* The backup before this one, or -1. */
    int next;     /* This one, under its temporary name. */
    char temporary[FM_BACKUP_NAME_MAX + 8];
    struct backup_list known; /* Of the backup before. */
    struct backup_list list;
    struct backup_manifest manifest;
    struct fm_buf note;
};

static void backup_deinit(struct backup *backup)
{
    check_close(&backup->check);
    files_closep(&backup->previous);
    files_closep(&backup->next);
    if (backup->temporary[0] != '\0') /* It came to nothing; leftovers go with the next one. */
        (void)!files_remove_folder(backup->folder, backup->temporary, NULL);
    files_closep(&backup->folder);
    backup_list_deinit(&backup->known);
    backup_list_deinit(&backup->list);
    backup_manifest_deinit(&backup->manifest);
    fm_buf_free(&backup->note);
}

/* ---- Where it goes --------------------------------------------------------------------------- */

static enum fm_status open_folder(struct backup *backup, struct fm_error *err)
{
    const char *path = backup->options->folder;
    enum fm_status status;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fm_fail_errno(err, FM_IO, errno, "make the folder %s", path);
    status = files_open_folder(AT_FDCWD, path, &backup->folder, err);
    if (status == FM_OK && flock(backup->folder, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? fm_fail(err, FM_BUSY, "another backup to %s is under way", path)
                     : fm_fail_errno(err, FM_IO, errno, "lock the folder %s", path);
    return status;
}

/* The backup before, as far as it can be read: what it lacks is copied. */
static enum fm_status open_previous(struct backup *backup, uint32_t *number, struct fm_error *err)
{
    char name[FILES_NAME_MAX];
    enum fm_status status = backup_latest(backup->folder, name, err);

    *number = 1;
    if (status != FM_OK)
        return status == FM_NOTFOUND ? FM_OK : status;
    *number = backup_number(name) + 1;
    status = files_open_folder(backup->folder, name, &backup->previous, NULL);
    if (status == FM_OK)
        status = backup_list_read(backup->previous, &backup->known, NULL);
    return status == FM_NOMEM ? status : FM_OK;
}

static enum fm_status begin(struct backup *backup, struct fm_error *err)
{
    uint32_t number = 0;
    enum fm_status status = open_folder(backup, err);

    if (status == FM_OK)
        status = open_previous(backup, &number, err);
    if (status != FM_OK)
        return status;
    if (number > 999999)
        return fm_fail(err, FM_LIMIT, "%s has no name left for a backup; begin a new folder",
                       backup->options->folder);
    (void)snprintf(backup->result.name, sizeof backup->result.name, "%06u", number); /* Fits. */
    (void)snprintf(backup->temporary, sizeof backup->temporary, "%06u.new", number);
    status = files_remove_folder(backup->folder, backup->temporary, err);
    if (status == FM_OK)
        status = files_make_folder(backup->folder, backup->temporary, err);
    if (status == FM_OK)
        status = files_open_folder(backup->folder, backup->temporary, &backup->next, err);
    if (status == FM_OK)
        status = files_make_folder(backup->next, BACKUP_STORE, err);
    if (status == FM_OK)
        status = files_make_folder(backup->next, BACKUP_HEADS, err);
    return status;
}

/* ---- What the store is ----------------------------------------------------------------------- */

static enum fm_status take_table(void *context, const struct fm_check_table *table,
                                 struct fm_error *err)
{
    struct backup *backup = context;
    char path[FILES_NAME_MAX];
    enum fm_status status = backup_manifest_add(&backup->manifest, table);

    if (status != FM_OK || backup->options->sign == NULL || !table->is_whole)
        return status;
    fm_buf_clear(&backup->note);
    status = backup->options->sign(backup->options->context, table, &backup->note, err);
    if (status == FM_OK)
        status = fm_buf_status(&backup->note);
    if (status != FM_OK || backup->note.len == 0)
        return status;
    (void)snprintf(path, sizeof path, BACKUP_HEADS "/%s.%s", table->domain,
                   table->table); /* Fits. */
    backup->result.head_count++;
    return files_write(backup->next, path, fm_buf_span(&backup->note), err);
}

static void take_finding(void *context, const struct fm_check_finding *finding)
{
    struct backup *backup = context;

    if (backup->options->finding != NULL)
        backup->options->finding(backup->options->context, finding);
}

/* The store stays open, and its folder locked, until the backup is there. */
static enum fm_status examine(struct backup *backup, struct fm_error *err)
{
    struct fm_check_options options = {
        .dir = backup->options->dir,
        .mesh = backup->options->mesh,
        .node = backup->options->node,
        .context = backup,
        .finding = take_finding,
        .table = take_table,
    };
    const struct fm_check_result *result = &backup->check.result;
    enum fm_status status = check_open(&backup->check, &options, err);

    if (status == FM_OK)
        status = check_content(&backup->check, err);
    if (status != FM_OK)
        return status;
    if (result->damage_count > 0)
        return fm_fail(err, FM_CORRUPT,
                       "the store in %s is damaged (%llu findings), so no backup was made of it; "
                       "folkmoot doctor says more",
                       options.dir, (unsigned long long)result->damage_count);
    backup->manifest.mesh = result->mesh;
    backup->manifest.node = result->node;
    backup->manifest.commit = result->commit;
    backup->manifest.digest = result->digest;
    backup->manifest.time = fm_now_us();
    backup->result.commit = result->commit;
    backup->result.table_count = result->table_count;
    return FM_OK;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* RocksDB never changes a table or blob file. */
static bool is_immutable(const char *name)
{
    size_t len = strlen(name);

    return (len > 4 && strcmp(name + len - 4, ".sst") == 0) ||
           (len > 5 && strcmp(name + len - 5, ".blob") == 0);
}

/* Diaries, settings for humans and locks. */
static bool is_left_out(const char *name)
{
    return strncmp(name, "LOG", 3) == 0 || strncmp(name, "OPTIONS", 7) == 0 ||
           strcmp(name, "LOCK") == 0;
}

/* The backup before has the same file, and what it has is still that. */
static bool is_known(const struct backup *backup, const char *path, const struct fm_hash *hash)
{
    const struct backup_file *known = backup_list_find(&backup->known, path);
    struct fm_hash is;
    uint64_t bytes;

    return known != NULL && fm_hash_equal(&known->hash, hash) &&
           files_hash(backup->previous, path, &is, &bytes, NULL) == FM_OK &&
           fm_hash_equal(&is, hash);
}

static enum fm_status keep_file(struct backup *backup, const char *path, bool may_link,
                                struct fm_error *err)
{
    int data = backup->check.store->dir_fd;
    struct fm_hash hash, copied;
    uint64_t bytes = 0;
    enum fm_status status = files_hash(data, path, &hash, &bytes, err);

    if (status != FM_OK)
        return status;
    backup->result.file_count++;
    backup->result.bytes += bytes;
    if ((may_link && linkat(data, path, backup->next, path, 0) == 0) ||
        (is_known(backup, path, &hash) &&
         linkat(backup->previous, path, backup->next, path, 0) == 0)) {
        backup->result.linked_count++;
        return backup_list_add(&backup->list, path, &hash);
    }
    status = files_copy(data, path, backup->next, &copied, &bytes, err);
    if (status == FM_OK && !fm_hash_equal(&copied, &hash))
        status = fm_fail(err, FM_IO, "%s reads differently each time", path);
    backup->result.copied_bytes += bytes;
    return status == FM_OK ? backup_list_add(&backup->list, path, &hash) : status;
}

static enum fm_status keep_store(struct backup *backup, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    enum fm_status status = keep_file(backup, BACKUP_SLOTS, false, err);

    if (status == FM_OK)
        status = files_names(backup->check.store->dir_fd, BACKUP_STORE, &names, err);
    for (uint32_t i = 0; status == FM_OK && i < names.count; i++) {
        char path[FILES_NAME_MAX + sizeof BACKUP_STORE];

        if (is_left_out(names.items[i]))
            continue;
        (void)snprintf(path, sizeof path, BACKUP_STORE "/%s", names.items[i]); /* Fits. */
        status = keep_file(backup, path, is_immutable(names.items[i]), err);
    }
    return status;
}

/* What was written here already, into the list. */
static enum fm_status list_own(struct backup *backup, const char *path, struct fm_error *err)
{
    struct fm_hash hash;
    uint64_t bytes;
    enum fm_status status = files_hash(backup->next, path, &hash, &bytes, err);

    return status == FM_OK ? backup_list_add(&backup->list, path, &hash) : status;
}

static enum fm_status list_heads(struct backup *backup, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    enum fm_status status = files_names(backup->next, BACKUP_HEADS, &names, err);

    for (uint32_t i = 0; status == FM_OK && i < names.count; i++) {
        char path[FILES_NAME_MAX + sizeof BACKUP_HEADS];

        (void)snprintf(path, sizeof path, BACKUP_HEADS "/%s", names.items[i]); /* Fits. */
        status = list_own(backup, path, err);
    }
    return status;
}

static enum fm_status write_manifest(struct backup *backup, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(BACKUP_LIST_BYTES_MAX);
    enum fm_status status;

    backup_manifest_encode(&bytes, &backup->manifest);
    status = fm_buf_status(&bytes);
    if (status == FM_OK)
        status = files_write(backup->next, BACKUP_MANIFEST, fm_buf_span(&bytes), err);
    return status == FM_OK ? list_own(backup, BACKUP_MANIFEST, err) : status;
}

static enum fm_status write_list(struct backup *backup, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(BACKUP_LIST_BYTES_MAX);
    enum fm_status status;

    backup_list_encode(&bytes, &backup->list);
    status = fm_buf_status(&bytes);
    return status == FM_OK ? files_write(backup->next, BACKUP_LIST, fm_buf_span(&bytes), err)
                           : status;
}

/* Durable under its temporary name, then under its own. */
static enum fm_status finish(struct backup *backup, struct fm_error *err)
{
    enum fm_status status = files_sync_folder(backup->next, BACKUP_STORE, err);

    if (status == FM_OK)
        status = files_sync_folder(backup->next, BACKUP_HEADS, err);
    if (status == FM_OK)
        status = files_sync_folder(backup->next, ".", err);
    if (status != FM_OK)
        return status;
    if (renameat(backup->folder, backup->temporary, backup->folder, backup->result.name) != 0)
        return fm_fail_errno(err, FM_IO, errno, "finish the backup %s/%s", backup->options->folder,
                             backup->result.name);
    backup->temporary[0] = '\0';
    return files_sync_folder(backup->folder, ".", err);
}

enum fm_status fm_store_backup(const struct fm_backup_options *options,
                               struct fm_backup_result *out, struct fm_error *err)
{
    FM_AUTO(backup_deinit)
    struct backup backup = {.options = options, .folder = -1, .previous = -1, .next = -1};
    enum fm_status status = begin(&backup, err);

    if (status == FM_OK)
        status = examine(&backup, err);
    if (status == FM_OK) /* The list goes by rising path, and so does this. */
        status = list_heads(&backup, err);
    if (status == FM_OK)
        status = write_manifest(&backup, err);
    if (status == FM_OK)
        status = keep_store(&backup, err);
    if (status == FM_OK)
        status = write_list(&backup, err);
    if (status == FM_OK)
        status = finish(&backup, err);
    if (status == FM_OK)
        *out = backup.result;
    return status;
}
