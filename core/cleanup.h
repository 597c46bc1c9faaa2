/* Scope attributes: a resource is released beside where it was acquired. */
#ifndef FM_CORE_CLEANUP_H
#define FM_CORE_CLEANUP_H

#include <stdlib.h>

#define FM_AUTO(destroy) __attribute__((cleanup(destroy)))

/* Yields `p` and sets the variable to NULL: ownership moves to the reader of the value. */
#define FM_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) fm_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        fm_taken_;                                                                                 \
    })

/* Defines `name(type **)` for FM_AUTO from a `free` function that accepts NULL. */
#define FM_DEFINE_FREEP(name, type, release)                                                       \
    static inline void name(type **object)                                                         \
    {                                                                                              \
        release(*object);                                                                          \
        *object = NULL;                                                                            \
    }

static inline void fm_mem_freep(void *pointer)
{
    void **p = pointer;
    free(*p);
    *p = NULL;
}

#endif
