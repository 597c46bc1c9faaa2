/* A disk whose power can be cut: an ext4 in a file, on an XFS with reflink in a file. A copy of the
 * inner file that shares its blocks is taken at once, whatever is being written meanwhile.
 * Everything is mounted in a mount namespace of this process's own, over loop devices that end with
 * their mounts: nothing is left behind, however the process ends, but an empty folder.
 * Everything but power_disk_is_possible() fails the test at once. */
#ifndef FM_TESTS_SUPPORT_POWER_DISK_H
#define FM_TESTS_SUPPORT_POWER_DISK_H

#include <stdbool.h>
#include <stddef.h>

#define POWER_BASE_MAX 120u
#define POWER_PATH_MAX 160u

enum power_disk_which { POWER_LIVE, POWER_CUT };

struct power_disk {
    char base[POWER_BASE_MAX];
    bool is_mounted[2];
    unsigned made;
};

/* Whether this machine permits it; else `reason` says what is missing. Moves the process into a
 * mount namespace of its own. */
bool power_disk_is_possible(char *reason, size_t size);

/* The outer file system. */
void power_disk_begin(struct power_disk *disk);
void power_disk_end(struct power_disk *disk);

/* An empty disk in place of what there was. */
void power_disk_make(struct power_disk *disk);
/* Mount one of the two; `dir` is a folder's path in it, the same each time, that a store may make.
 */
void power_disk_mount(struct power_disk *disk, enum power_disk_which which,
                      char dir[POWER_PATH_MAX]);
void power_disk_unmount(struct power_disk *disk, enum power_disk_which which);
/* The live disk as it is now, though it is in use, becomes the cut one. */
void power_disk_cut(struct power_disk *disk);
/* The cut disk, as it is after its use, becomes the live one. */
void power_disk_adopt(struct power_disk *disk);

#endif
