#include "tests/support/fail_alloc.h"

#include <errno.h>

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

static bool armed;
static bool failed;
static size_t left;
static long live;

bool fail_alloc_available(void)
{
    return REPLACES_MALLOC;
}

void fail_alloc_after(size_t count)
{
    left = count;
    failed = false;
    armed = true;
}

bool fail_alloc_stop(void)
{
    armed = false;
    return failed;
}

long fail_alloc_live(void)
{
    return live;
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

static bool fails_now(void)
{
    if (!armed || failed)
        return false;
    if (left-- > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *count_new(void *pointer)
{
    live += pointer != NULL;
    return pointer;
}

void *malloc(size_t size)
{
    return fails_now() ? NULL : count_new(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : count_new(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (fails_now())
        return NULL;
    void *pointer = __libc_realloc(old, size);
    if (old == NULL)
        count_new(pointer);
    return pointer;
}

void free(void *pointer)
{
    live -= pointer != NULL;
    __libc_free(pointer);
}
#endif
