/* Files below a folder, by descriptor and relative path, for backups.
 * Threads: no state. Errors: FM_NOTFOUND: no such file or folder; FM_IO with the path in the text.
 * Nothing follows a symbolic link at the path's end. */
#ifndef FM_STORAGE_FILES_H
#define FM_STORAGE_FILES_H

#include "core/hash.h"

#define FILES_NAME_MAX 160u
#define FILES_MAX 1048576u /* In one folder. */

struct file_names {
    uint32_t count;
    uint32_t capacity;
    char (*items)[FILES_NAME_MAX];
};

void file_names_deinit(struct file_names *names);
/* Names in a folder, sorted; without . and .. FM_LIMIT: too many or too long. */
FM_MUST_USE enum fm_status files_names(int dir, const char *path, struct file_names *out,
                                       struct fm_error *err);

FM_MUST_USE enum fm_status files_hash(int dir, const char *path, struct fm_hash *out,
                                      uint64_t *bytes, struct fm_error *err);
/* Copy to a new file (0600), synced; `out` is the hash of what was read and written. */
FM_MUST_USE enum fm_status files_copy(int from, const char *path, int to, struct fm_hash *out,
                                      uint64_t *bytes, struct fm_error *err);
FM_MUST_USE enum fm_status files_write(int dir, const char *path, struct fm_span bytes,
                                       struct fm_error *err);
FM_MUST_USE enum fm_status files_read(int dir, const char *path, size_t max, struct fm_buf *out,
                                      struct fm_error *err);

/* A folder below `dir` ("." is itself), opened. */
FM_MUST_USE enum fm_status files_open_folder(int dir, const char *path, int *out,
                                             struct fm_error *err);
FM_MUST_USE enum fm_status files_make_folder(int dir, const char *path, struct fm_error *err);
FM_MUST_USE enum fm_status files_sync_folder(int dir, const char *path, struct fm_error *err);
/* Remove a folder with files and folders of files in it; fine if it is missing. */
FM_MUST_USE enum fm_status files_remove_folder(int dir, const char *path, struct fm_error *err);

void files_closep(int *fd);

#endif
