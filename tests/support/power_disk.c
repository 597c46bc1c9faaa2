#include "tests/support/power_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTER_BYTES (UINT64_C(2) << 30)
#define INNER_MIB 512u
#define ROOM_BYTES (UINT64_C(1) << 30) /* What a test fills at most, and a bit. */
#define COMMAND_MAX 1024u

static const char *const names[] = {"live", "cut"};

/* Run a command quietly; its exit status is 0. */
static bool run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool run(const char *format, ...)
{
    char command[COMMAND_MAX];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return len > 0 && len < (int)sizeof command && system(command) == 0;
}

static void must(bool done, const char *what)
{
    if (!done)
        fail_msg("%s: %s", what, strerror(errno));
}

/* In memory where there is room: only what the inner disk was given counts, not where it is. */
static const char *parent(void)
{
    struct statvfs fs;

    if (statvfs("/dev/shm", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > 2 * ROOM_BYTES &&
        access("/dev/shm", W_OK | X_OK) == 0)
        return "/dev/shm";
    return getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
}

/* ---- Is it possible? ------------------------------------------------------------------------- */

/* Make the outer file system in `base` and mount it as `base`/outer; its file loses its name. */
static bool mount_outer(const char *base)
{
    char path[POWER_PATH_MAX + 16];
    int fd;
    bool done;

    (void)snprintf(path, sizeof path, "%s/image", base); /* Fits. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    done = ftruncate(fd, (off_t)OUTER_BYTES) == 0 &&
           run("mkfs.xfs -q -m reflink=1 '%s/image' >/dev/null 2>&1", base) &&
           run("mkdir '%s/outer' '%s/live' '%s/cut'", base, base, base) &&
           run("mount -o loop -t xfs '%s/image' '%s/outer' 2>/dev/null", base, base);
    (void)unlink(path);
    (void)close(fd);
    return done;
}

static bool make_base(char base[POWER_BASE_MAX])
{
    return snprintf(base, POWER_BASE_MAX, "%s/fm-power-XXXXXX", parent()) < (int)POWER_BASE_MAX &&
           mkdtemp(base) != NULL;
}

static void unmount(const char *base, const char *name)
{
    char path[POWER_PATH_MAX + 16];

    (void)snprintf(path, sizeof path, "%s/%s", base, name); /* Fits. */
    (void)umount2(path, MNT_DETACH);
}

static void remove_base(const char *base)
{
    unmount(base, "live");
    unmount(base, "cut");
    unmount(base, "outer");
    (void)run("rmdir '%s/outer' '%s/live' '%s/cut' '%s' 2>/dev/null", base, base, base, base);
}

bool power_disk_is_possible(char *reason, size_t size)
{
    char base[POWER_BASE_MAX];
    const char *missing = NULL;

    if (geteuid() != 0)
        missing = "it needs root";
    else if (!run("command -v mkfs.xfs >/dev/null") || !run("command -v mkfs.ext4 >/dev/null"))
        missing = "mkfs.xfs or mkfs.ext4 is missing (scripts/setup installs them)";
    else if (access("/dev/loop-control", R_OK | W_OK) != 0)
        missing = "there are no loop devices";
    else if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        missing = "mount namespaces are not permitted";
    else if (!make_base(base))
        missing = "no folder can be made";
    if (missing == NULL) {
        if (!mount_outer(base))
            missing = "an XFS over a loop device cannot be mounted";
        remove_base(base);
    }
    if (missing != NULL)
        (void)snprintf(reason, size, "%s", missing); /* A cut one will do. */
    return missing == NULL;
}

/* ---- Disks ----------------------------------------------------------------------------------- */

static void path_of(const struct power_disk *disk, enum power_disk_which which, char *out,
                    size_t size)
{
    (void)snprintf(out, size, "%s/outer/%s", disk->base, names[which]); /* Fits. */
}

void power_disk_begin(struct power_disk *disk)
{
    *disk = (struct power_disk){0};
    must(make_base(disk->base), "make a folder");
    must(mount_outer(disk->base), "mount the outer file system");
}

void power_disk_end(struct power_disk *disk)
{
    if (disk->base[0] != '\0')
        remove_base(disk->base);
}

void power_disk_make(struct power_disk *disk)
{
    assert_false(disk->is_mounted[POWER_LIVE] || disk->is_mounted[POWER_CUT]);
    must(run("rm -f '%s/outer/live' '%s/outer/cut' && truncate -s %uM '%s/outer/live' && "
             "mkfs.ext4 -q -F '%s/outer/live' >/dev/null 2>&1",
             disk->base, disk->base, INNER_MIB, disk->base, disk->base),
         "make a disk");
    disk->made++;
}

void power_disk_mount(struct power_disk *disk, enum power_disk_which which,
                      char dir[POWER_PATH_MAX])
{
    /* Every other disk keeps less order than ext4's default does. */
    const char *options = disk->made % 2 == 0 ? "loop,data=writeback" : "loop";

    assert_false(disk->is_mounted[which]);
    must(run("mount -o %s -t ext4 '%s/outer/%s' '%s/%s'", options, disk->base, names[which],
             disk->base, names[which]),
         "mount the disk");
    disk->is_mounted[which] = true;
    (void)snprintf(dir, POWER_PATH_MAX, "%s/%s/data", disk->base, names[which]); /* Fits. */
}

void power_disk_unmount(struct power_disk *disk, enum power_disk_which which)
{
    must(run("umount '%s/%s'", disk->base, names[which]), "unmount the disk");
    disk->is_mounted[which] = false;
}

void power_disk_cut(struct power_disk *disk)
{
    char from[POWER_PATH_MAX + 16], to[POWER_PATH_MAX + 16];
    int source, copy;

    path_of(disk, POWER_LIVE, from, sizeof from);
    path_of(disk, POWER_CUT, to, sizeof to);
    source = open(from, O_RDONLY | O_CLOEXEC);
    copy = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(source >= 0 && copy >= 0 && ioctl(copy, FICLONE, source) == 0, "copy the disk");
    (void)close(source);
    (void)close(copy);
}

void power_disk_adopt(struct power_disk *disk)
{
    char from[POWER_PATH_MAX + 16], to[POWER_PATH_MAX + 16];

    assert_false(disk->is_mounted[POWER_LIVE] || disk->is_mounted[POWER_CUT]);
    path_of(disk, POWER_CUT, from, sizeof from);
    path_of(disk, POWER_LIVE, to, sizeof to);
    must(rename(from, to) == 0, "adopt the disk");
}
