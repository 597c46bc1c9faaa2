/* Makes the n-th allocation of a test fail, and counts what is not freed. The program's malloc and
 * friends are replaced; under sanitizers, which bring their own, nothing is replaced and
 * fail_alloc_available() is false.
 * Threads: failures are of the thread that asked for them. */
#ifndef FM_TESTS_SUPPORT_FAIL_ALLOC_H
#define FM_TESTS_SUPPORT_FAIL_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

bool fail_alloc_available(void);
/* Let `count` allocations succeed and the one after them fail, once. */
void fail_alloc_after(size_t count);
/* The same, of the allocations that this program itself asks for: those of shared libraries, which
 * may not survive a failure, succeed and do not count. */
void fail_alloc_ours_after(size_t count);
/* Let all succeed again; true when the failure had happened. */
bool fail_alloc_stop(void);
/* Allocations that live now. */
long fail_alloc_live(void);

#endif
