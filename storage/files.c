#include "storage/files.h"

#include "core/hash_stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (256u << 10)
#define DEPTH_MAX 2u /* Folders within a folder that is removed. */

void files_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* What was written through it was synced. */
    *fd = -1;
}

static enum fm_status fail(struct fm_error *err, const char *what, const char *path)
{
    return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "%s %s", what, path);
}

/* ---- Names ----------------------------------------------------------------------------------- */

void file_names_deinit(struct file_names *names)
{
    free(names->items);
    *names = (struct file_names){0};
}

static enum fm_status add_name(struct file_names *names, const char *name)
{
    if (strlen(name) >= FILES_NAME_MAX || names->count == FILES_MAX)
        return FM_LIMIT;
    if (names->count == names->capacity) {
        uint32_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        void *items = realloc(names->items, (size_t)capacity * FILES_NAME_MAX);

        if (items == NULL)
            return FM_NOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    memcpy(names->items[names->count++], name, strlen(name) + 1);
    return FM_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void close_listing(DIR **listing)
{
    if (*listing != NULL)
        (void)closedir(*listing); /* Read only. */
}

enum fm_status files_names(int dir, const char *path, struct file_names *out, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    FM_AUTO(files_closep) int fd = -1;
    FM_AUTO(close_listing) DIR *listing = NULL;
    enum fm_status status = files_open_folder(dir, path, &fd, err);
    struct dirent *entry;

    if (status != FM_OK)
        return status;
    listing = fdopendir(fd);
    if (listing == NULL)
        return fail(err, "list", path);
    fd = -1; /* The listing's now. */
    errno = 0;
    while (status == FM_OK && (entry = readdir(listing)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = add_name(&names, entry->d_name);
        if (status == FM_OK)
            errno = 0;
    }
    if (status != FM_OK)
        return fm_fail(err, status, "list %s: %s", path, fm_status_text(status));
    if (errno != 0)
        return fail(err, "list", path);
    if (names.count > 0)
        qsort(names.items, names.count, sizeof names.items[0], compare_names);
    *out = names;
    names = (struct file_names){0};
    return FM_OK;
}

/* ---- Content --------------------------------------------------------------------------------- */

static enum fm_status open_file(int dir, const char *path, int *out, struct fm_error *err)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;

    if (fd < 0)
        return fail(err, "open", path);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(fd); /* Nothing was done with it. */
        return fm_fail(err, FM_IO, "%s is no regular file", path);
    }
    *out = fd;
    return FM_OK;
}

static enum fm_status write_all(int fd, struct fm_span bytes, const char *path,
                                struct fm_error *err)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fm_fail_errno(err, FM_IO, put < 0 ? errno : EIO, "write %s", path);
        bytes.data += put;
        bytes.len -= (size_t)put;
    }
    return FM_OK;
}

/* Read all of `from`; what is read goes to `to` unless that is -1. */
static enum fm_status pass(int from, int to, const char *path, struct fm_hash *out, uint64_t *bytes,
                           struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) uint8_t *chunk = malloc(CHUNK_BYTES);
    struct fm_hash_stream stream;
    enum fm_status status = FM_OK;
    uint64_t sum = 0;

    if (chunk == NULL)
        return FM_NOMEM;
    fm_hash_begin(&stream);
    while (status == FM_OK) {
        ssize_t got = read(from, chunk, CHUNK_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail_errno(err, FM_IO, errno, "read %s", path);
        if (got == 0)
            break;
        fm_hash_put(&stream, fm_span(chunk, (size_t)got));
        sum += (uint64_t)got;
        if (to >= 0)
            status = write_all(to, fm_span(chunk, (size_t)got), path, err);
    }
    if (status != FM_OK)
        return status;
    fm_hash_end(&stream, out);
    *bytes = sum;
    return FM_OK;
}

static enum fm_status make_file(int dir, const char *path, int *out, struct fm_error *err)
{
    *out = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *out < 0 ? fm_fail_errno(err, FM_IO, errno, "make %s", path) : FM_OK;
}

enum fm_status files_hash(int dir, const char *path, struct fm_hash *out, uint64_t *bytes,
                          struct fm_error *err)
{
    FM_AUTO(files_closep) int fd = -1;
    enum fm_status status = open_file(dir, path, &fd, err);

    return status == FM_OK ? pass(fd, -1, path, out, bytes, err) : status;
}

enum fm_status files_copy(int from, const char *path, int to, struct fm_hash *out, uint64_t *bytes,
                          struct fm_error *err)
{
    FM_AUTO(files_closep) int source = -1;
    FM_AUTO(files_closep) int copy = -1;
    enum fm_status status = open_file(from, path, &source, err);

    if (status == FM_OK)
        status = make_file(to, path, &copy, err);
    if (status == FM_OK)
        status = pass(source, copy, path, out, bytes, err);
    if (status == FM_OK && fsync(copy) != 0)
        status = fm_fail_errno(err, FM_IO, errno, "sync %s", path);
    return status;
}

enum fm_status files_write(int dir, const char *path, struct fm_span bytes, struct fm_error *err)
{
    FM_AUTO(files_closep) int fd = -1;
    enum fm_status status = make_file(dir, path, &fd, err);

    if (status == FM_OK)
        status = write_all(fd, bytes, path, err);
    if (status == FM_OK && fsync(fd) != 0)
        status = fm_fail_errno(err, FM_IO, errno, "sync %s", path);
    return status;
}

enum fm_status files_read(int dir, const char *path, size_t max, struct fm_buf *out,
                          struct fm_error *err)
{
    FM_AUTO(files_closep) int fd = -1;
    enum fm_status status = open_file(dir, path, &fd, err);
    uint8_t chunk[4096];

    while (status == FM_OK) {
        ssize_t got = read(fd, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail_errno(err, FM_IO, errno, "read %s", path);
        if (got == 0)
            break;
        if ((size_t)got > max - out->len)
            return fm_fail(err, FM_LIMIT, "%s has more than %zu bytes", path, max);
        fm_buf_put(out, chunk, (size_t)got);
        status = fm_buf_status(out);
    }
    return status;
}

/* ---- Folders --------------------------------------------------------------------------------- */

enum fm_status files_open_folder(int dir, const char *path, int *out, struct fm_error *err)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return fail(err, "open the folder", path);
    *out = fd;
    return FM_OK;
}

enum fm_status files_make_folder(int dir, const char *path, struct fm_error *err)
{
    return mkdirat(dir, path, 0700) == 0
               ? FM_OK
               : fm_fail_errno(err, FM_IO, errno, "make the folder %s", path);
}

enum fm_status files_sync_folder(int dir, const char *path, struct fm_error *err)
{
    FM_AUTO(files_closep) int fd = -1;
    enum fm_status status = files_open_folder(dir, path, &fd, err);

    if (status == FM_OK && fsync(fd) != 0)
        status = fm_fail_errno(err, FM_IO, errno, "sync the folder %s", path);
    return status;
}

static enum fm_status remove_folder(int dir, const char *path, unsigned depth, struct fm_error *err)
{
    FM_AUTO(file_names_deinit) struct file_names names = {0};
    FM_AUTO(files_closep) int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    enum fm_status status = FM_OK;

    if (fd < 0)
        return errno == ENOENT ? FM_OK : fail(err, "open the folder", path);
    status = files_names(fd, ".", &names, err);
    for (uint32_t i = 0; status == FM_OK && i < names.count; i++) {
        if (unlinkat(fd, names.items[i], 0) == 0)
            continue;
        if (errno != EISDIR || depth == DEPTH_MAX)
            status = fail(err, "remove", names.items[i]);
        else
            status = remove_folder(fd, names.items[i], depth + 1, err);
    }
    if (status == FM_OK && unlinkat(dir, path, AT_REMOVEDIR) != 0)
        status = fail(err, "remove the folder", path);
    return status;
}

enum fm_status files_remove_folder(int dir, const char *path, struct fm_error *err)
{
    return remove_folder(dir, path, 1, err);
}
