#include "storage/backup_list.h"

#include "core/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Lines ----------------------------------------------------------------------------------- */

/* The next line without its end; FM_MALFORMED when there is none. */
static enum fm_status take_line(struct fm_cursor *cursor, char *out, size_t size)
{
    const uint8_t *end = memchr(cursor->at, '\n', fm_cursor_left(cursor));
    size_t len = end == NULL ? size : (size_t)(end - cursor->at);

    if (len >= size || memchr(cursor->at, '\0', len) != NULL)
        return FM_MALFORMED;
    memcpy(out, cursor->at, len);
    out[len] = '\0';
    cursor->at = end + 1;
    return FM_OK;
}

/* ---- The list of files ----------------------------------------------------------------------- */

void backup_list_deinit(struct backup_list *list)
{
    free(list->items);
    *list = (struct backup_list){0};
}

enum fm_status backup_list_add(struct backup_list *list, const char *path,
                               const struct fm_hash *hash)
{
    if (list->count == FILES_MAX || strlen(path) >= FILES_NAME_MAX)
        return FM_LIMIT;
    if (list->count > 0 && strcmp(list->items[list->count - 1].path, path) >= 0)
        return FM_CORRUPT;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct backup_file *items = realloc(list->items, capacity * sizeof *items);

        if (items == NULL)
            return FM_NOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    memcpy(list->items[list->count].path, path, strlen(path) + 1);
    list->items[list->count++].hash = *hash;
    return FM_OK;
}

static int compare_file(const void *path, const void *file)
{
    return strcmp(path, ((const struct backup_file *)file)->path);
}

const struct backup_file *backup_list_find(const struct backup_list *list, const char *path)
{
    if (list->count == 0)
        return NULL;
    return bsearch(path, list->items, list->count, sizeof *list->items, compare_file);
}

void backup_list_encode(struct fm_buf *out, const struct backup_list *list)
{
    char hex[65];

    for (uint32_t i = 0; i < list->count; i++) {
        fm_hex(list->items[i].hash.bytes, FM_HASH_BYTES, hex);
        fm_buf_printf(out, "%s  %s\n", hex, list->items[i].path);
    }
}

static bool is_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '.')
        return false;
    for (; *name != '\0'; name++) {
        bool is_good = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                       (*name >= '0' && *name <= '9') || strchr("._-", *name) != NULL;

        if (!is_good)
            return false;
    }
    return true;
}

static bool is_path(const char *path)
{
    if (strcmp(path, BACKUP_MANIFEST) == 0 || strcmp(path, BACKUP_SLOTS) == 0)
        return true;
    if (strncmp(path, BACKUP_STORE "/", sizeof BACKUP_STORE) == 0)
        return is_name(path + sizeof BACKUP_STORE);
    return strncmp(path, BACKUP_HEADS "/", sizeof BACKUP_HEADS) == 0 &&
           is_name(path + sizeof BACKUP_HEADS);
}

static enum fm_status decode_file(struct backup_list *list, const char *line)
{
    struct fm_hash hash;
    char hex[65], again[65];

    if (strlen(line) < 67 || line[64] != ' ' || line[65] != ' ' || !is_path(line + 66))
        return FM_CORRUPT;
    memcpy(hex, line, 64);
    hex[64] = '\0';
    if (fm_unhex(hex, hash.bytes, FM_HASH_BYTES) != FM_OK)
        return FM_CORRUPT;
    fm_hex(hash.bytes, FM_HASH_BYTES, again);
    return strcmp(hex, again) == 0 ? backup_list_add(list, line + 66, &hash) : FM_CORRUPT;
}

enum fm_status backup_list_decode(struct fm_span bytes, struct backup_list *out)
{
    FM_AUTO(backup_list_deinit) struct backup_list list = {0};
    struct fm_cursor cursor = fm_cursor(bytes);
    enum fm_status status = FM_OK;
    char line[FILES_NAME_MAX + 70];

    while (status == FM_OK && fm_cursor_left(&cursor) > 0) {
        status = take_line(&cursor, line, sizeof line);
        if (status == FM_OK)
            status = decode_file(&list, line);
    }
    if (status == FM_OK && (backup_list_find(&list, BACKUP_MANIFEST) == NULL ||
                            backup_list_find(&list, BACKUP_SLOTS) == NULL))
        status = FM_CORRUPT;
    if (status != FM_OK)
        return status == FM_NOMEM ? status : FM_CORRUPT;
    *out = list;
    list = (struct backup_list){0};
    return FM_OK;
}

/* Every file of one folder of the backup is in the list. */
static enum fm_status compare_folder(const struct backup_list *list, int dir, const char *folder,
                                     uint32_t *count, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    bool is_top = strcmp(folder, ".") == 0;
    enum fm_status status = files_names(dir, folder, &names, err);

    if (status == FM_NOTFOUND) { /* Then the count tells. */
        *err = (struct fm_error){0};
        return FM_OK;
    }
    for (uint32_t i = 0; status == FM_OK && i < names.count; i++) {
        const char *name = names.items[i];
        char path[2 * FILES_NAME_MAX];

        if (is_top && (strcmp(name, BACKUP_LIST) == 0 || strcmp(name, BACKUP_STORE) == 0 ||
                       strcmp(name, BACKUP_HEADS) == 0))
            continue;
        (void)snprintf(path, sizeof path, "%s%s%s", is_top ? "" : folder, is_top ? "" : "/",
                       name); /* Fits. */
        if (backup_list_find(list, path) == NULL)
            status = fm_fail(err, FM_CORRUPT, "%s is not in the backup's list of files", path);
        *count += 1;
    }
    return status;
}

enum fm_status backup_list_compare(const struct backup_list *list, int dir, struct fm_error *err)
{
    uint32_t count = 0;
    struct fm_error ours = {0};
    enum fm_status status = compare_folder(list, dir, ".", &count, &ours);

    if (status == FM_OK)
        status = compare_folder(list, dir, BACKUP_STORE, &count, &ours);
    if (status == FM_OK)
        status = compare_folder(list, dir, BACKUP_HEADS, &count, &ours);
    if (status != FM_OK)
        return fm_fail(err, status, "%s", ours.text);
    if (count != list->count)
        return fm_fail(err, FM_CORRUPT, "%u of %u files are missing", list->count - count,
                       list->count);
    return FM_OK;
}

enum fm_status backup_list_read(int dir, struct backup_list *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(BACKUP_LIST_BYTES_MAX);
    enum fm_status status = files_read(dir, BACKUP_LIST, BACKUP_LIST_BYTES_MAX, &bytes, err);

    if (status != FM_OK)
        return status;
    status = backup_list_decode(fm_buf_span(&bytes), out);
    if (status == FM_CORRUPT)
        return fm_fail(err, status, "the backup's list of files, %s, is damaged", BACKUP_LIST);
    return status;
}

/* ---- The manifest ---------------------------------------------------------------------------- */

void backup_manifest_deinit(struct backup_manifest *manifest)
{
    free(manifest->tables);
    manifest->tables = NULL;
    manifest->table_count = manifest->table_capacity = 0;
}

static enum fm_status new_table(struct backup_manifest *manifest, struct backup_table **out)
{
    if (manifest->table_count == manifest->table_capacity) {
        uint32_t capacity = manifest->table_capacity == 0 ? 16 : manifest->table_capacity * 2;
        struct backup_table *tables = realloc(manifest->tables, capacity * sizeof *tables);

        if (tables == NULL)
            return FM_NOMEM;
        manifest->tables = tables;
        manifest->table_capacity = capacity;
    }
    *out = &manifest->tables[manifest->table_count++];
    **out = (struct backup_table){0};
    return FM_OK;
}

enum fm_status backup_manifest_add(struct backup_manifest *manifest,
                                   const struct fm_check_table *table)
{
    struct backup_table *to = NULL;
    enum fm_status status = new_table(manifest, &to);

    if (status != FM_OK)
        return status;
    (void)snprintf(to->domain, sizeof to->domain, "%s", table->domain); /* Names fit. */
    (void)snprintf(to->table, sizeof to->table, "%s", table->table);
    to->epoch = table->epoch;
    to->size = table->size;
    to->root = table->root;
    return FM_OK;
}

void backup_manifest_encode(struct fm_buf *out, const struct backup_manifest *manifest)
{
    char hex[65];

    fm_hex(manifest->mesh.bytes, sizeof manifest->mesh.bytes, hex);
    fm_buf_printf(out, "folkmoot backup 1\nmesh %s\n", hex);
    fm_hex(manifest->node.bytes, sizeof manifest->node.bytes, hex);
    fm_buf_printf(out, "node %s\n", hex);
    fm_hex(manifest->digest.bytes, sizeof manifest->digest.bytes, hex);
    fm_buf_printf(out, "commit %" PRIu64 " %s\ntime %" PRId64 "\n", manifest->commit, hex,
                  manifest->time);
    for (uint32_t i = 0; i < manifest->table_count; i++) {
        const struct backup_table *table = &manifest->tables[i];

        fm_hex(table->root.bytes, sizeof table->root.bytes, hex);
        fm_buf_printf(out, "table %s %s %" PRIu32 " %" PRIu64 " %s\n", table->domain, table->table,
                      table->epoch, table->size, hex);
    }
}

static enum fm_status decode_table(struct backup_manifest *manifest, const char *line)
{
    struct backup_table *table = NULL;
    char hex[65] = "";
    enum fm_status status = new_table(manifest, &table);

    if (status != FM_OK)
        return status;
    _Static_assert(FM_NAME_MAX == 63, "the widths below");
    if (sscanf(line, "table %63s %63s %" SCNu32 " %" SCNu64 " %64s", table->domain, table->table,
               &table->epoch, &table->size, hex) != 5 ||
        fm_unhex(hex, table->root.bytes, FM_HASH_BYTES) != FM_OK ||
        !fm_domain_name_valid(table->domain) || !fm_table_name_valid(table->table))
        return FM_CORRUPT;
    return FM_OK;
}

static enum fm_status decode_head(struct fm_cursor *cursor, struct backup_manifest *manifest)
{
    char line[256], mesh[65] = "", node[33] = "", digest[65] = "";
    enum fm_status status = take_line(cursor, line, sizeof line);

    if (status != FM_OK || strcmp(line, "folkmoot backup 1") != 0)
        return FM_CORRUPT;
    if (take_line(cursor, line, sizeof line) != FM_OK || sscanf(line, "mesh %64s", mesh) != 1 ||
        fm_unhex(mesh, manifest->mesh.bytes, sizeof manifest->mesh.bytes) != FM_OK)
        return FM_CORRUPT;
    if (take_line(cursor, line, sizeof line) != FM_OK || sscanf(line, "node %32s", node) != 1 ||
        fm_unhex(node, manifest->node.bytes, sizeof manifest->node.bytes) != FM_OK)
        return FM_CORRUPT;
    if (take_line(cursor, line, sizeof line) != FM_OK ||
        sscanf(line, "commit %" SCNu64 " %64s", &manifest->commit, digest) != 2 ||
        fm_unhex(digest, manifest->digest.bytes, FM_HASH_BYTES) != FM_OK)
        return FM_CORRUPT;
    if (take_line(cursor, line, sizeof line) != FM_OK ||
        sscanf(line, "time %" SCNd64, &manifest->time) != 1)
        return FM_CORRUPT;
    return FM_OK;
}

enum fm_status backup_manifest_decode(struct fm_span bytes, struct backup_manifest *out)
{
    FM_AUTO(backup_manifest_deinit) struct backup_manifest manifest = {0};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(BACKUP_LIST_BYTES_MAX);
    struct fm_cursor cursor = fm_cursor(bytes);
    enum fm_status status = decode_head(&cursor, &manifest);
    char line[256];

    while (status == FM_OK && fm_cursor_left(&cursor) > 0) {
        status = take_line(&cursor, line, sizeof line);
        if (status == FM_OK)
            status = decode_table(&manifest, line);
    }
    if (status != FM_OK)
        return status == FM_NOMEM ? status : FM_CORRUPT;
    backup_manifest_encode(&again, &manifest); /* There is one form only. */
    if (fm_buf_status(&again) != FM_OK || !fm_span_equal(fm_buf_span(&again), bytes))
        return fm_buf_status(&again) == FM_NOMEM ? FM_NOMEM : FM_CORRUPT;
    *out = manifest;
    manifest = (struct backup_manifest){0};
    return FM_OK;
}

/* ---- Folders of backups ---------------------------------------------------------------------- */

uint32_t backup_number(const char *name)
{
    uint32_t number = 0;

    for (size_t i = 0; i < BACKUP_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        number = number * 10 + (uint32_t)(name[i] - '0');
    }
    return name[BACKUP_DIGITS] == '\0' ? number : 0;
}

enum fm_status backup_latest(int folder, char out[FILES_NAME_MAX], struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    enum fm_status status = files_names(folder, ".", &names, err);

    if (status != FM_OK)
        return status;
    for (uint32_t i = names.count; i-- > 0;) { /* Digits: the order of names is theirs. */
        if (backup_number(names.items[i]) == 0)
            continue;
        memcpy(out, names.items[i], FILES_NAME_MAX);
        return FM_OK;
    }
    return FM_NOTFOUND;
}
