#include "storage/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool is_ours(const char *name)
{
    static const char *const ours[] = {".",     "..",      "slots",     "slots.new",
                                       "store", "reserve", "checkpoint"};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    return false;
}

static enum fm_status check_content(const char *dir, int fd, struct fm_error *err)
{
    enum fm_status status = FM_OK;
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (listing == NULL) {
        int os_errno = errno;

        if (copy >= 0)
            (void)close(copy);
        return fm_fail_errno(err, FM_IO, os_errno, "list the folder %s", dir);
    }
    errno = 0;
    while (status == FM_OK && (entry = readdir(listing)) != NULL) {
        if (!is_ours(entry->d_name))
            status = fm_fail(err, FM_CONFLICT,
                             "the folder %s holds `%s`, which is no part of a store; name an "
                             "empty folder or one that does not exist",
                             dir, entry->d_name);
        errno = 0;
    }
    if (status == FM_OK && errno != 0)
        status = fm_fail_errno(err, FM_IO, errno, "list the folder %s", dir);
    (void)closedir(listing); /* Read only. */
    return status;
}

enum fm_status folder_open(const char *dir, bool make, int *out, struct fm_error *err)
{
    enum fm_status status;
    int fd;

    if (make && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fm_fail_errno(err, FM_IO, errno, "make the folder %s", dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fm_fail(err, FM_NOTFOUND, "there is no folder %s", dir);
    if (fd < 0 && errno == ENOTDIR)
        return fm_fail(err, FM_CONFLICT, "%s is not a folder", dir);
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "open the folder %s", dir);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK
                     ? fm_fail(err, FM_BUSY, "the folder %s is in use by another process", dir)
                     : fm_fail_errno(err, FM_IO, errno, "lock the folder %s", dir);
    } else {
        status = check_content(dir, fd, err);
    }
    if (status != FM_OK) {
        (void)close(fd);
        return status;
    }
    *out = fd;
    return FM_OK;
}

bool folder_has_store(int dir)
{
    return faccessat(dir, "store", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static uint64_t free_space(int dir)
{
    struct statvfs fs;

    return fstatvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

void folder_keep_reserve(int dir, uint64_t bytes, uint64_t free_bytes_min)
{
    struct stat status;
    int fd;

    if (fstatat(dir, "reserve", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (uint64_t)status.st_size == bytes)
        return;
    if (free_space(dir) < bytes + free_bytes_min)
        return;
    fd = openat(dir, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, (off_t)bytes) != 0)
        (void)unlinkat(dir, "reserve", 0); /* Half a reserve is none. */
    (void)close(fd);
}

void folder_release_reserve(int dir, uint64_t bytes)
{
    if (free_space(dir) < bytes)
        (void)unlinkat(dir, "reserve", 0); /* Where it is missing there is nothing to give. */
}
