/* What stands between libduckdb.so and the file system. The worker executable exports functions
 * with the names of libc's file calls, so that the library's calls are bound to them. Until
 * files_close() they do what libc does; after it no path reaches the kernel: the one name
 * FILES_INPUT stands for the descriptor that the host gave (if it gave one), every other path is
 * refused with EPERM. The system call filter refuses the same again (sandbox.h).
 *
 * A worker that spills opens some files without names beforehand. Names under FILES_SPILL then
 * stand for them, for this process alone: the kernel never sees such a name, and the files are gone
 * when the process is.
 * Threads: files_close() and files_open_spill() are called once, while no other thread makes file
 * calls. */
#ifndef FM_QUERY_WORKER_FILES_H
#define FM_QUERY_WORKER_FILES_H

#include <stdbool.h>

/* The name under which DuckDB sees the input of an ingest. */
#define FILES_INPUT "/folkmoot/input"

/* `input` is the descriptor behind FILES_INPUT, or -1: there is none. */
void files_close(int input);

#define FILES_SPILL "/folkmoot/spill"
#define FILES_SPILL_MAX 16u  /* Files; DuckDB uses one per size of block, and some for huge ones. */
#define FILES_SPILL_FIRST 32 /* Their descriptors, and copies of them, are from here up. */

/* Open them in the folder `dir`; false with errno set when that cannot be done. */
bool files_open_spill(const char *dir);
/* Whether one of them was ever used. */
bool files_have_spilled(void);

#endif
