/* Assertions that stay on in release builds: a node that knows it is wrong must stop.
 * Never used on input from outside; those are statuses. */
#ifndef FM_CORE_ASSERT_H
#define FM_CORE_ASSERT_H

#define fm_assert(condition)                                                                       \
    ((condition) ? (void)0 : fm_assert_failed(#condition, __FILE__, __LINE__, __func__))

/* Write one line to stderr and abort. */
__attribute__((noreturn)) void fm_assert_failed(const char *condition, const char *file, int line,
                                                const char *function);

#endif
