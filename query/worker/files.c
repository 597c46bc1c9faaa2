#include "query/worker/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPILL_NAME_MAX 96u
#define SPILL_COPIES_FIRST (FILES_SPILL_FIRST + (int)FILES_SPILL_MAX)

/* The process has one file system and symbols cannot carry a handle: the one place of the worker
 * with variables of file scope. */
static bool files_closed = false;
static int files_input = -1;

static struct spill_file {
    int fd;
    char name[SPILL_NAME_MAX]; /* Empty: free. */
} spill_files[FILES_SPILL_MAX];
static bool files_spill = false;
static bool spill_used = false;
static pthread_mutex_t spill_lock =
    PTHREAD_MUTEX_INITIALIZER; /* Guards the names and `spill_used`. */

void files_close(int input)
{
    files_input = input;
    files_closed = true;
}

static bool is_input(const char *path)
{
    return files_input >= 0 && path != NULL && strcmp(path, FILES_INPUT) == 0;
}

static int refuse(void)
{
    errno = EPERM;
    return -1;
}

static int fail_with(int error)
{
    errno = error;
    return -1;
}

/* ---- Files without names --------------------------------------------------------------------- */

/* A file system that cannot make one without a name gives one whose name goes at once. */
static int open_nameless(const char *dir)
{
    char path[4096 + 32];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (snprintf(path, sizeof path, "%s/spill.XXXXXX", dir) >= (int)sizeof path)
        return fail_with(ENAMETOOLONG);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)syscall(SYS_unlinkat, AT_FDCWD, path, 0); /* Stays as an empty file at worst. */
    return fd;
}

bool files_have_spilled(void)
{
    (void)pthread_mutex_lock(&spill_lock);
    bool spilled = spill_used;
    (void)pthread_mutex_unlock(&spill_lock);
    return spilled;
}

bool files_open_spill(const char *dir)
{
    for (uint32_t i = 0; i < FILES_SPILL_MAX; i++) {
        int fd = open_nameless(dir);
        if (fd < 0)
            return false;
        spill_files[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, FILES_SPILL_FIRST + (int)i);
        (void)close(fd); /* There is a copy. */
        if (spill_files[i].fd != FILES_SPILL_FIRST + (int)i)
            return false;
    }
    files_spill = true;
    return true;
}

static bool is_spill_dir(const char *path)
{
    return files_spill && path != NULL &&
           (strcmp(path, FILES_SPILL) == 0 || strcmp(path, FILES_SPILL "/") == 0);
}

/* The name below FILES_SPILL, NULL when it is none. */
static const char *spill_name(const char *path)
{
    static const char prefix[] = FILES_SPILL "/";

    if (!files_spill || path == NULL || strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    const char *name = path + sizeof prefix - 1;
    bool is_name = *name != '\0' && strlen(name) < SPILL_NAME_MAX && strchr(name, '/') == NULL;
    return is_name ? name : NULL;
}

/* The caller holds the lock. "" finds a free one. */
static struct spill_file *spill_find(const char *name)
{
    for (uint32_t i = 0; i < FILES_SPILL_MAX; i++)
        if (strcmp(spill_files[i].name, name) == 0)
            return &spill_files[i];
    return NULL;
}

static int open_spill(const char *name, int flags)
{
    int fd = -1;

    (void)pthread_mutex_lock(&spill_lock);
    struct spill_file *file = spill_find(name);
    if (file == NULL && (flags & O_CREAT) != 0) {
        file = spill_find("");
        if (file != NULL)
            memcpy(file->name, name, strlen(name) + 1);
        else
            errno = EMFILE;
    } else if (file == NULL) {
        errno = ENOENT;
    }
    spill_used = spill_used || file != NULL;
    if (file != NULL && ((flags & O_TRUNC) == 0 || ftruncate(file->fd, 0) == 0))
        fd = fcntl(file->fd, F_DUPFD_CLOEXEC, SPILL_COPIES_FIRST);
    (void)pthread_mutex_unlock(&spill_lock);
    return fd;
}

static int stat_spill(const char *name, struct stat *out)
{
    (void)pthread_mutex_lock(&spill_lock);
    const struct spill_file *file = spill_find(name);
    int result = file != NULL ? (int)syscall(SYS_fstat, file->fd, out) : fail_with(ENOENT);
    (void)pthread_mutex_unlock(&spill_lock);
    return result;
}

static int unlink_path(const char *path)
{
    const char *name = files_closed ? spill_name(path) : NULL;
    int result = -1;

    if (!files_closed)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (name == NULL)
        return refuse();
    (void)pthread_mutex_lock(&spill_lock);
    struct spill_file *file = spill_find(name);
    if (file == NULL) {
        errno = ENOENT;
    } else {
        result = ftruncate(file->fd, 0);
        file->name[0] = '\0';
    }
    (void)pthread_mutex_unlock(&spill_lock);
    return result;
}

int unlink(const char *path)
{
    return unlink_path(path);
}

int remove(const char *path)
{
    return unlink_path(path);
}

/* ---- Paths ----------------------------------------------------------------------------------- */

/* Functions that libc declares with attributes or under several names; declared here once more so
 * that each definition has a prototype whatever the headers hide behind macros. */
int __xstat(int version, const char *path, struct stat *out);
int __lxstat(int version, const char *path, struct stat *out);
int __fxstat(int version, int fd, struct stat *out);
int __xstat64(int version, const char *path, struct stat64 *out);
int __lxstat64(int version, const char *path, struct stat64 *out);

static int open_path(int dir, const char *path, int flags, mode_t mode)
{
    if (!files_closed)
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    if (spill_name(path) != NULL)
        return open_spill(spill_name(path), flags);
    if (!is_input(path) || (flags & O_ACCMODE) != O_RDONLY)
        return refuse();
    return fcntl(files_input, F_DUPFD_CLOEXEC, 0);
}

static mode_t mode_argument(int flags, va_list *arguments)
{
    bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return creates ? (mode_t)va_arg(*arguments, unsigned) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_argument(flags, &arguments);                                            \
        va_end(arguments);                                                                         \
        return open_path(AT_FDCWD, path, flags, mode);                                             \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                        \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_argument(flags, &arguments);                                            \
        va_end(arguments);                                                                         \
        return open_path(dir, path, flags, mode);                                                  \
    }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

static int stat_path(const char *path, struct stat *out, int flags)
{
    if (!files_closed)
        return (int)syscall(SYS_newfstatat, AT_FDCWD, path, out, flags);
    if (is_spill_dir(path)) {
        *out = (struct stat){.st_mode = S_IFDIR | 0700};
        return 0;
    }
    if (spill_name(path) != NULL)
        return stat_spill(spill_name(path), out);
    if (!is_input(path))
        return refuse();
    return (int)syscall(SYS_fstat, files_input, out);
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "64-bit hosts only");

int stat(const char *restrict path, struct stat *restrict out)
{
    return stat_path(path, out, 0);
}

int lstat(const char *restrict path, struct stat *restrict out)
{
    return stat_path(path, out, AT_SYMLINK_NOFOLLOW);
}

int stat64(const char *restrict path, struct stat64 *restrict out)
{
    return stat_path(path, (struct stat *)(void *)out, 0);
}

int lstat64(const char *restrict path, struct stat64 *restrict out)
{
    return stat_path(path, (struct stat *)(void *)out, AT_SYMLINK_NOFOLLOW);
}

int __xstat(int version, const char *path, struct stat *out)
{
    (void)version; /* glibc has one layout on 64-bit hosts. */
    return stat_path(path, out, 0);
}

int __lxstat(int version, const char *path, struct stat *out)
{
    (void)version;
    return stat_path(path, out, AT_SYMLINK_NOFOLLOW);
}

int __xstat64(int version, const char *path, struct stat64 *out)
{
    (void)version;
    return stat_path(path, (struct stat *)(void *)out, 0);
}

int __lxstat64(int version, const char *path, struct stat64 *out)
{
    (void)version;
    return stat_path(path, (struct stat *)(void *)out, AT_SYMLINK_NOFOLLOW);
}

/* libc's own would call newfstatat, which the filter refuses because it can also take a path. */
int __fxstat(int version, int fd, struct stat *out)
{
    (void)version;
    return (int)syscall(SYS_fstat, fd, out);
}

int fstat(int fd, struct stat *out)
{
    return (int)syscall(SYS_fstat, fd, out);
}

int fstat64(int fd, struct stat64 *out)
{
    return (int)syscall(SYS_fstat, fd, out);
}

int access(const char *path, int mode)
{
    if (!files_closed)
        return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
    if (is_spill_dir(path))
        return 0;
    if (spill_name(path) != NULL) {
        struct stat ignored;
        return stat_spill(spill_name(path), &ignored);
    }
    return is_input(path) && (mode & W_OK) == 0 ? 0 : refuse();
}

ssize_t readlink(const char *restrict path, char *restrict out, size_t size)
{
    if (!files_closed)
        return syscall(SYS_readlinkat, AT_FDCWD, path, out, size);
    errno = is_input(path) || is_spill_dir(path) || spill_name(path) != NULL
                ? EINVAL
                : EPERM; /* EINVAL: is there and is no link. */
    return -1;
}

char *realpath(const char *restrict path, char *restrict out)
{
    if (files_closed && (is_input(path) || is_spill_dir(path) || spill_name(path) != NULL))
        return out == NULL ? strdup(path) : strcpy(out, path);
    /* Without a library to ask (this is its function), no path is resolved: callers use the path
     * as it is given when this fails. */
    errno = EPERM;
    return NULL;
}
