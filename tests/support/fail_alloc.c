#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REPLACES_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REPLACES_MALLOC 0
#endif
#endif
#ifndef REPLACES_MALLOC
#define REPLACES_MALLOC 1
#endif

static _Thread_local bool armed;
static _Thread_local bool only_ours;
static _Thread_local bool failed;
static _Thread_local size_t left;
static atomic_long live;

bool fail_alloc_available(void)
{
    return REPLACES_MALLOC;
}

void fail_alloc_after(size_t count)
{
    left = count;
    failed = false;
    only_ours = false;
    armed = true;
}

void fail_alloc_ours_after(size_t count)
{
    fail_alloc_after(count);
    only_ours = true;
}

bool fail_alloc_stop(void)
{
    armed = false;
    return failed;
}

long fail_alloc_live(void)
{
    return atomic_load(&live);
}

#if REPLACES_MALLOC
/* glibc's own, under the names that it keeps for this purpose. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *pointer);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
void free(void *pointer);

/* From the linker: where this program's code is. */
extern const char __executable_start, etext;

static bool is_ours(const void *caller)
{
    return (uintptr_t)caller >= (uintptr_t)&__executable_start &&
           (uintptr_t)caller < (uintptr_t)&etext;
}

static bool fails_now(const void *caller)
{
    if (!armed || failed || (only_ours && !is_ours(caller)))
        return false;
    if (left-- > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *count_new(void *pointer)
{
    atomic_fetch_add_explicit(&live, pointer != NULL, memory_order_relaxed);
    return pointer;
}

void *malloc(size_t size)
{
    return fails_now(__builtin_return_address(0)) ? NULL : count_new(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails_now(__builtin_return_address(0)) ? NULL : count_new(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (fails_now(__builtin_return_address(0)))
        return NULL;
    void *pointer = __libc_realloc(old, size);
    if (old == NULL)
        count_new(pointer);
    return pointer;
}

void free(void *pointer)
{
    atomic_fetch_sub_explicit(&live, pointer != NULL, memory_order_relaxed);
    __libc_free(pointer);
}
#endif
