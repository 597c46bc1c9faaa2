/* What stands between libduckdb.so and the file system. The worker executable exports functions
 * with the names of libc's file calls, so that the library's calls are bound to them. Until
 * files_close() they do what libc does; after it no path reaches the kernel: the one name
 * FILES_INPUT stands for the descriptor that the host gave (if it gave one), every other path is
 * refused with EPERM. The system call filter refuses the same again (sandbox.h).
 * Threads: files_close() is called once, while no other thread makes file calls. */
#ifndef FM_QUERY_WORKER_FILES_H
#define FM_QUERY_WORKER_FILES_H

/* The name under which DuckDB sees the input of an ingest. */
#define FILES_INPUT "/folkmoot/input"

/* `input` is the descriptor behind FILES_INPUT, or -1: there is none. */
void files_close(int input);

#endif
