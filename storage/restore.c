#include "storage/backup.h"

#include "core/assert.h"
#include "core/note.h"
#include "storage/backup_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".restoring"
#define PATH_BYTES_MAX 4096u

struct restore {
    const struct fm_restore_options *options;
    struct fm_restore_result result;
    int from;
    int next; /* The store under its temporary name. */
    char temporary[PATH_BYTES_MAX];
    bool is_made; /* The folder of that name is ours. */
    struct backup_list list;
    struct backup_manifest manifest;
};

static void restore_deinit(struct restore *restore)
{
    files_closep(&restore->next);
    if (restore->is_made) /* It came to nothing; leftovers go with the next one. */
        (void)!files_remove_folder(AT_FDCWD, restore->temporary, NULL);
    files_closep(&restore->from);
    backup_list_deinit(&restore->list);
    backup_manifest_deinit(&restore->manifest);
}

/* ---- The backup ------------------------------------------------------------------------------ */

static enum fm_status open_backup(struct restore *restore, struct fm_error *err)
{
    const char *from = restore->options->from;
    char name[FILES_NAME_MAX];
    int folder = -1;
    enum fm_status status = files_open_folder(AT_FDCWD, from, &restore->from, err);

    if (status != FM_OK)
        return status;
    if (backup_latest(restore->from, name, NULL) == FM_OK) {
        folder = restore->from;
        restore->from = -1;
        status = files_open_folder(folder, name, &restore->from, err);
        files_closep(&folder);
    }
    if (status == FM_OK)
        status = backup_list_read(restore->from, &restore->list, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "it is no backup");
}

static enum fm_status read_manifest(struct restore *restore, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(BACKUP_LIST_BYTES_MAX);
    enum fm_status status = backup_list_compare(&restore->list, restore->from, err);
    struct fm_hash hash;

    if (status == FM_OK)
        status = files_read(restore->from, BACKUP_MANIFEST, BACKUP_LIST_BYTES_MAX, &bytes, err);
    if (status != FM_OK)
        return status;
    fm_sha256_one(&hash, fm_buf_span(&bytes));
    if (!fm_hash_equal(&hash, &backup_list_find(&restore->list, BACKUP_MANIFEST)->hash) ||
        backup_manifest_decode(fm_buf_span(&bytes), &restore->manifest) != FM_OK)
        return fm_fail(err, FM_CORRUPT, "%s fails its checksum", BACKUP_MANIFEST);
    return FM_OK;
}

/* ---- The new folder -------------------------------------------------------------------------- */

/* Missing, or empty. */
static enum fm_status check_target(const struct restore *restore, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    const char *dir = restore->options->dir;
    enum fm_status status = files_names(AT_FDCWD, dir, &names, err);

    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status == FM_OK && names.count > 0)
        return fm_fail(err, FM_CONFLICT,
                       "%s holds `%s`: a store is restored into an empty folder only; move the old "
                       "one away first",
                       dir, names.items[0]);
    return status;
}

static enum fm_status make_folder(struct restore *restore, struct fm_error *err)
{
    int len =
        snprintf(restore->temporary, sizeof restore->temporary, "%s" SUFFIX, restore->options->dir);
    enum fm_status status;

    if (len < 0 || (size_t)len >= sizeof restore->temporary)
        return fm_fail(err, FM_LIMIT, "the path is too long: %.100s...", restore->options->dir);
    status = files_remove_folder(AT_FDCWD, restore->temporary, err);
    if (status == FM_OK)
        status = files_make_folder(AT_FDCWD, restore->temporary, err);
    restore->is_made = status == FM_OK;
    if (status == FM_OK)
        status = files_open_folder(AT_FDCWD, restore->temporary, &restore->next, err);
    return status == FM_OK ? files_make_folder(restore->next, BACKUP_STORE, err) : status;
}

static bool is_of_store(const char *path)
{
    return strcmp(path, BACKUP_SLOTS) == 0 ||
           strncmp(path, BACKUP_STORE "/", sizeof BACKUP_STORE) == 0;
}

/* Copies, not links: the store must not depend on a backup that somebody may touch. */
static enum fm_status copy_files(struct restore *restore, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < restore->list.count; i++) {
        const struct backup_file *file = &restore->list.items[i];
        struct fm_hash hash = {0};
        uint64_t bytes = 0;

        if (is_of_store(file->path)) {
            status = files_copy(restore->from, file->path, restore->next, &hash, &bytes, err);
            restore->result.bytes += bytes;
        } else {
            status = files_hash(restore->from, file->path, &hash, &bytes, err);
        }
        if (status == FM_OK && !fm_hash_equal(&hash, &file->hash))
            status = fm_fail(err, FM_CORRUPT, "%s fails its checksum", file->path);
    }
    return status;
}

/* ---- Is it the store that was kept? ---------------------------------------------------------- */

static enum fm_status verify_head(struct restore *restore, const struct fm_check_table *table,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf note = FM_BUF_INIT(FM_NOTE_BYTES_MAX);
    char path[FILES_NAME_MAX];
    enum fm_status status;

    (void)snprintf(path, sizeof path, BACKUP_HEADS "/%s.%s", table->domain,
                   table->table); /* Fits. */
    if (restore->options->verify == NULL || backup_list_find(&restore->list, path) == NULL)
        return FM_OK;
    status = files_read(restore->from, path, FM_NOTE_BYTES_MAX, &note, err);
    if (status == FM_OK)
        status =
            restore->options->verify(restore->options->context, table, fm_buf_span(&note), err);
    restore->result.head_count += status == FM_OK;
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "%s", path);
}

static enum fm_status take_table(void *context, const struct fm_check_table *table,
                                 struct fm_error *err)
{
    struct restore *restore = context;
    uint32_t index = restore->result.table_count++;
    const struct backup_table *kept =
        index < restore->manifest.table_count ? &restore->manifest.tables[index] : NULL;

    if (!table->is_whole)
        return FM_OK; /* Its findings end it. */
    restore->result.facts += table->size;
    if (kept == NULL || strcmp(kept->domain, table->domain) != 0 ||
        strcmp(kept->table, table->table) != 0 || kept->epoch != table->epoch ||
        kept->size != table->size || !fm_hash_equal(&kept->root, &table->root))
        return fm_fail(err, FM_CORRUPT, "%s.%s is not as the manifest says", table->domain,
                       table->table);
    return verify_head(restore, table, err);
}

static void take_finding(void *context, const struct fm_check_finding *finding)
{
    struct restore *restore = context;

    if (restore->options->finding != NULL)
        restore->options->finding(restore->options->context, finding);
}

static enum fm_status examine(struct restore *restore, struct fm_error *err)
{
    const struct backup_manifest *manifest = &restore->manifest;
    struct fm_check_options options = {
        .dir = restore->temporary,
        .mesh = restore->options->mesh,
        .node = restore->options->node,
        .context = restore,
        .finding = take_finding,
        .table = take_table,
    };
    struct fm_check_result result = {0};
    enum fm_status status = fm_store_check(&options, &result, err);

    if (status != FM_OK)
        return status;
    if (result.damage_count > 0)
        return fm_fail(err, FM_CORRUPT, "the store in it is damaged (%llu findings)",
                       (unsigned long long)result.damage_count);
    if (memcmp(&result.mesh, &manifest->mesh, sizeof result.mesh) != 0 ||
        memcmp(&result.node, &manifest->node, sizeof result.node) != 0 ||
        result.commit != manifest->commit || !fm_hash_equal(&result.digest, &manifest->digest) ||
        restore->result.table_count != manifest->table_count)
        return fm_fail(err, FM_CORRUPT, "the store in it is not the one of its manifest");
    restore->result.commit = result.commit;
    restore->result.time = manifest->time;
    return FM_OK;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static enum fm_status sync_parent(const char *dir, struct fm_error *err)
{
    char parent[PATH_BYTES_MAX];
    char *slash;

    (void)snprintf(parent, sizeof parent, "%s", dir); /* It fitted with a suffix. */
    slash = strrchr(parent, '/');
    if (slash == NULL)
        return files_sync_folder(AT_FDCWD, ".", err);
    slash[slash == parent ? 1 : 0] = '\0';
    return files_sync_folder(AT_FDCWD, parent, err);
}

static enum fm_status finish(struct restore *restore, struct fm_error *err)
{
    enum fm_status status = files_sync_folder(restore->next, BACKUP_STORE, err);

    if (status == FM_OK)
        status = files_sync_folder(restore->next, ".", err);
    if (status != FM_OK)
        return status;
    if (rename(restore->temporary, restore->options->dir) != 0) /* Over an empty one, too. */
        return fm_fail_errno(err, FM_IO, errno, "put %s in place", restore->options->dir);
    restore->is_made = false;
    return sync_parent(restore->options->dir, err);
}

enum fm_status fm_store_restore(const struct fm_restore_options *options,
                                struct fm_restore_result *out, struct fm_error *err)
{
    FM_AUTO(restore_deinit) struct restore restore = {.options = options, .from = -1, .next = -1};
    enum fm_status status = check_target(&restore, err);

    if (status != FM_OK)
        return status;
    status = open_backup(&restore, err);
    if (status == FM_OK)
        status = read_manifest(&restore, err);
    if (status == FM_OK)
        status = make_folder(&restore, err);
    if (status == FM_OK)
        status = copy_files(&restore, err);
    if (status == FM_OK)
        status = examine(&restore, err);
    if (status == FM_OK)
        status = finish(&restore, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "%s was not restored (nothing was changed)", options->from);
    *out = restore.result;
    return FM_OK;
}
