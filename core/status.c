#include "core/status.h"

#include "core/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fm_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "folkmoot: assertion failed: %s (%s:%d, %s)\n", condition, file, line,
                  function);
    abort();
}

const char *fm_status_text(enum fm_status status)
{
    switch (status) {
#define X(name, number, text, exit_code)                                                           \
    case FM_##name:                                                                                \
        return text;
        FM_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int fm_status_exit_code(enum fm_status status)
{
    switch (status) {
#define X(name, number, text, exit_code)                                                           \
    case FM_##name:                                                                                \
        return exit_code;
        FM_STATUS_MAP(X)
#undef X
    }
    return 70;
}

enum fm_status fm_status_from_wire(unsigned number)
{
    switch (number) {
#define X(name, code, text, exit_code)                                                             \
    case code:                                                                                     \
        return FM_##name;
        FM_STATUS_MAP(X)
#undef X
    default:
        return FM_INTERNAL;
    }
}

static void replace_controls(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f)
            *c = '?';
}

static void fill(struct fm_error *err, int os_errno, const char *format, va_list args)
{
    char text[FM_ERROR_TEXT_MAX];

    (void)vsnprintf(text, sizeof text, format, args); /* A cut text is still a text. */
    replace_controls(text);
    err->os_errno = os_errno;
    memcpy(err->text, text, sizeof text);
}

enum fm_status fm_fail(struct fm_error *err, enum fm_status status, const char *format, ...)
{
    fm_assert(status != FM_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, 0, format, args);
        va_end(args);
    }
    return status;
}

enum fm_status fm_fail_errno(struct fm_error *err, enum fm_status status, int os_errno,
                             const char *format, ...)
{
    fm_assert(status != FM_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, os_errno, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char reason[128];
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s",
                       strerror_r(os_errno, reason, sizeof reason));
    }
    return status;
}

enum fm_status fm_wrap(struct fm_error *err, enum fm_status status, const char *format, ...)
{
    fm_assert(status != FM_OK);
    if (err != NULL) {
        char inner[FM_ERROR_TEXT_MAX];
        memcpy(inner, err->text, sizeof inner);
        va_list args;
        va_start(args, format);
        fill(err, err->os_errno, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s",
                       inner[0] != '\0' ? inner : fm_status_text(status));
    }
    return status;
}
