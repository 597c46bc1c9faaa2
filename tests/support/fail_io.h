/* Makes the n-th write or sync of a file fail. write(), pwrite(), fsync() and fdatasync() of the
 * program and of the libraries that it loads (RocksDB) are replaced, as an LD_PRELOAD library would
 * do, but under sanitizers too. Only regular files count; reads never fail.
 * Threads: arm and stop in one; the calls may come from any. */
#ifndef FM_TESTS_SUPPORT_FAIL_IO_H
#define FM_TESTS_SUPPORT_FAIL_IO_H

#include <stdbool.h>
#include <stddef.h>

enum fail_io_kind {
    FAIL_IO_ERROR,      /* EIO, once. */
    FAIL_IO_ERROR_ON,   /* EIO, from then on. */
    FAIL_IO_FULL,       /* ENOSPC, once. */
    FAIL_IO_FULL_ON,    /* ENOSPC, from then on. */
    FAIL_IO_FULL_SHORT, /* Half of it is written, from then on ENOSPC. */
    FAIL_IO_SHORT,      /* Half of it is written, once: no fault at all. */
    FAIL_IO_KINDS
};

/* Let `count` calls succeed and the one after them fail. */
void fail_io_after(enum fail_io_kind kind, size_t count);
/* Let all succeed again; true when the failure had happened. */
bool fail_io_stop(void);
/* A call of the thread that armed has failed, not only one of RocksDB's own. */
bool fail_io_hit_here(void);

/* From now on every sync succeeds and does nothing: a disk that lies. */
void fail_io_ignore_syncs(void);

#endif
