#include "query/worker/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The process has one file system and symbols cannot carry a handle: the one place of the worker
 * with variables of file scope. */
static bool files_closed = false;
static int files_input = -1;

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
    return is_input(path) && (mode & W_OK) == 0 ? 0 : refuse();
}

ssize_t readlink(const char *restrict path, char *restrict out, size_t size)
{
    if (!files_closed)
        return syscall(SYS_readlinkat, AT_FDCWD, path, out, size);
    errno = is_input(path) ? EINVAL : EPERM; /* EINVAL: is there and is no link. */
    return -1;
}

char *realpath(const char *restrict path, char *restrict out)
{
    if (files_closed && is_input(path))
        return out == NULL ? strdup(path) : strcpy(out, path);
    /* Without a library to ask (this is its function), no path is resolved: callers use the path
     * as it is given when this fails. */
    errno = EPERM;
    return NULL;
}
