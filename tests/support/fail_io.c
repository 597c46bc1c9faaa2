#include "tests/support/fail_io.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_bool armed;
static atomic_size_t calls;
static atomic_size_t allowed;
static atomic_int kind;
static atomic_bool failed;
static atomic_bool failed_here;
static atomic_long here;    /* The thread that armed. */
static atomic_bool ignored; /* Syncs. */

void fail_io_after(enum fail_io_kind wanted, size_t count)
{
    atomic_store(&kind, (int)wanted);
    atomic_store(&allowed, count);
    atomic_store(&calls, 0);
    atomic_store(&failed, false);
    atomic_store(&failed_here, false);
    atomic_store(&here, syscall(SYS_gettid));
    atomic_store(&armed, true);
}

bool fail_io_stop(void)
{
    atomic_store(&armed, false);
    return atomic_load(&failed);
}

bool fail_io_hit_here(void)
{
    return atomic_load(&failed_here);
}

void fail_io_ignore_syncs(void)
{
    atomic_store(&ignored, true);
}

static bool is_file(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

enum outcome { SUCCEEDS, FAILS, HALF };

/* What becomes of a call; `bytes` is 0 for a sync. */
static enum outcome next(int fd, size_t bytes)
{
    enum fail_io_kind now = (enum fail_io_kind)atomic_load(&kind);
    bool lasts = now == FAIL_IO_ERROR_ON || now == FAIL_IO_FULL_ON || now == FAIL_IO_FULL_SHORT;

    if (!atomic_load(&armed) || !is_file(fd) || (now == FAIL_IO_SHORT && bytes < 2))
        return SUCCEEDS;
    size_t call = atomic_fetch_add(&calls, 1), first = atomic_load(&allowed);
    if (call < first || (call > first && !lasts))
        return SUCCEEDS;
    atomic_store(&failed, true);
    if (syscall(SYS_gettid) == atomic_load(&here))
        atomic_store(&failed_here, true);
    if (now == FAIL_IO_SHORT || (now == FAIL_IO_FULL_SHORT && call == first && bytes >= 2))
        return HALF;
    errno = now == FAIL_IO_ERROR || now == FAIL_IO_ERROR_ON ? EIO : ENOSPC;
    return FAILS;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    enum outcome outcome = next(fd, count);

    return outcome == FAILS ? -1
                            : syscall(SYS_write, fd, bytes, outcome == HALF ? count / 2 : count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    enum outcome outcome = next(fd, count);

    return outcome == FAILS
               ? -1
               : syscall(SYS_pwrite64, fd, bytes, outcome == HALF ? count / 2 : count, offset);
}

int fsync(int fd)
{
    if (atomic_load(&ignored))
        return 0;
    return next(fd, 0) == FAILS ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    if (atomic_load(&ignored))
        return 0;
    return next(fd, 0) == FAILS ? -1 : (int)syscall(SYS_fdatasync, fd);
}
