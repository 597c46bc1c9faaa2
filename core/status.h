/* The one list of outcomes. A function that can fail returns `enum fm_status` and nothing else;
 * results leave through out-params (order: object, inputs, out, err). Code branches on the status
 * only; `struct fm_error` is context for a human. */
#ifndef FM_CORE_STATUS_H
#define FM_CORE_STATUS_H

#include <stddef.h>

/* X(name, number on the wire and never reused, text, exit code of the CLI) */
#define FM_STATUS_MAP(X)                                                                           \
    X(OK, 0, "success", 0)                                                                         \
    X(NOMEM, 1, "out of memory", 70)                                                               \
    X(LIMIT, 2, "a limit was reached", 75)                                                         \
    X(MALFORMED, 3, "bytes do not decode", 65)                                                     \
    X(CORRUPT, 4, "stored data fails its check", 74)                                               \
    X(NOTFOUND, 5, "not found", 66)                                                                \
    X(IO, 6, "storage or network operation failed", 74)                                            \
    X(INVALID, 7, "input is not acceptable", 65)                                                   \
    X(REFUSED, 8, "not permitted", 77)                                                             \
    X(UNAVAILABLE, 9, "a node that is needed cannot be reached", 69)                               \
    X(TIMEOUT, 10, "the deadline passed", 69)                                                      \
    X(CONFLICT, 11, "conflicts with what exists", 73)                                              \
    X(BUSY, 12, "too much work at once, try again", 75)                                            \
    X(CANCELLED, 13, "cancelled", 75)                                                              \
    X(UNSUPPORTED, 14, "not supported", 65)                                                        \
    X(FORGED, 15, "a signature or proof does not hold", 76)                                        \
    X(USAGE, 16, "wrong use of the command", 64)                                                   \
    X(INTERNAL, 17, "internal error", 70)

enum fm_status {
#define X(name, number, text, exit_code) FM_##name = number,
    FM_STATUS_MAP(X)
#undef X
};

#define FM_ERROR_TEXT_MAX 1024

struct fm_error {
    int os_errno;                 /* 0 when no system call was involved. */
    char text[FM_ERROR_TEXT_MAX]; /* Outermost first: "open store: lock file: denied". */
};

#define FM_MUST_USE __attribute__((warn_unused_result))

/* Text of a status; "unknown status" for a number that is none. */
const char *fm_status_text(enum fm_status status);

/* Exit code of the CLI for a status (sysexits.h where one fits). */
int fm_status_exit_code(enum fm_status status);

/* The status with this wire number, FM_INTERNAL when there is none. */
enum fm_status fm_status_from_wire(unsigned number);

/* Fill `err` (may be NULL) and return `status`, so that `return fm_fail(...)` is one statement.
 * Control characters in the result are replaced by '?', so that text cannot forge log lines;
 * '\n' stays (SQL errors have several lines). */
FM_MUST_USE enum fm_status fm_fail(struct fm_error *err, enum fm_status status, const char *format,
                                   ...) __attribute__((format(printf, 3, 4)));

/* The same with the text of `os_errno` appended after ": ". */
FM_MUST_USE enum fm_status fm_fail_errno(struct fm_error *err, enum fm_status status, int os_errno,
                                         const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "format: " in front of the text already in `err` (may be NULL) and return `status`. */
FM_MUST_USE enum fm_status fm_wrap(struct fm_error *err, enum fm_status status, const char *format,
                                   ...) __attribute__((format(printf, 3, 4)));

#endif
