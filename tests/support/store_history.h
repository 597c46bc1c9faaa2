/* A store whose history is known: numbered appends, each of which is there as a whole or not at
 * all, so that after a fault one look tells what survived. The table is keyed, and later appends
 * supersede rows of earlier ones. Everything fails the test at once. */
#ifndef FM_TESTS_SUPPORT_STORE_HISTORY_H
#define FM_TESTS_SUPPORT_STORE_HISTORY_H

#include "tests/support/store_support.h"

/* Appends 0 and 1 are the base; the others are what a test tries. */
enum { HISTORY_BASE = 2, HISTORY_SMALL = 2, HISTORY_LARGE = 3, HISTORY_LAST = 4, HISTORY_COUNT };

/* Rows of an append; free() them. */
struct row *history_rows(unsigned number, size_t *count);

/* Make a store in `dir` that holds the base and a record, and close it. Its reserve file is
 * removed, so that copies are small. */
void history_make(const char *dir);

/* Append number `number`; `before_commit`, if not NULL, is called between rows and commit. No
 * assertions: for children. */
enum fm_status history_append(struct fm_store *store, unsigned number,
                              void (*before_commit)(void *context), void *context,
                              struct fm_error *err);

/* Which appends are there, bit by bit; the rows, sequences and counts are those of exactly these
 * appends in their order, and the record is there. */
unsigned history_check(struct fm_store *store);

/* Run this program again with arguments (the last one NULL) and give what it printed, fewer than
 * `size` bytes, and its wait status. */
int history_run_child(const char *const arguments[], char *output, size_t size);

/* RocksDB as Debian builds it keeps its assertions, and some of them end the process when a file is
 * used again after a failed write. Nothing else may end it. */
bool history_rocksdb_aborted(int wait_status, const char *output);

#endif
