/* Statuses: their numbers are on the wire, their texts are read by people. */
#include "core/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void numbers_are_those_on_the_wire(void **state)
{
    static const enum fm_status all[] = {
        FM_OK,   FM_NOMEM,     FM_LIMIT,       FM_MALFORMED,   FM_CORRUPT, FM_NOTFOUND,
        FM_IO,   FM_INVALID,   FM_REFUSED,     FM_UNAVAILABLE, FM_TIMEOUT, FM_CONFLICT,
        FM_BUSY, FM_CANCELLED, FM_UNSUPPORTED, FM_FORGED,      FM_USAGE,   FM_INTERNAL};
    (void)state;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(all[i], i);
        assert_int_equal(fm_status_from_wire(i), i);
        assert_string_not_equal(fm_status_text(all[i]), "unknown status");
    }
    assert_int_equal(fm_status_from_wire(18), FM_INTERNAL);
    assert_int_equal(fm_status_from_wire(UINT32_MAX), FM_INTERNAL);
    assert_string_equal(fm_status_text((enum fm_status)99), "unknown status");
}

static void exit_codes_are_of_sysexits(void **state)
{
    (void)state;
    assert_int_equal(fm_status_exit_code(FM_OK), 0);
    assert_int_equal(fm_status_exit_code(FM_USAGE), 64);
    assert_int_equal(fm_status_exit_code(FM_FORGED), 76);
    assert_int_equal(fm_status_exit_code((enum fm_status)99), 70);
}

static void failures_carry_text(void **state)
{
    struct fm_error err = {0};
    (void)state;
    assert_int_equal(fm_fail(&err, FM_IO, "open %s: %d", "x", 7), FM_IO);
    assert_string_equal(err.text, "open x: 7");
    assert_int_equal(err.os_errno, 0);
    assert_int_equal(fm_fail(NULL, FM_IO, "nobody listens"), FM_IO);
}

static void failures_of_the_system_say_why(void **state)
{
    struct fm_error err = {0};
    (void)state;
    assert_int_equal(fm_fail_errno(&err, FM_IO, ENOENT, "open %s", "x"), FM_IO);
    assert_string_equal(err.text, "open x: No such file or directory");
    assert_int_equal(err.os_errno, ENOENT);
    assert_int_equal(fm_fail_errno(NULL, FM_IO, ENOENT, "x"), FM_IO);
}

static void wrapping_puts_context_in_front(void **state)
{
    struct fm_error err = {0};
    (void)state;
    assert_int_equal(fm_fail_errno(&err, FM_IO, EACCES, "lock"), FM_IO);
    assert_int_equal(fm_wrap(&err, FM_IO, "open %s", "store"), FM_IO);
    assert_string_equal(err.text, "open store: lock: Permission denied");
    assert_int_equal(err.os_errno, EACCES);

    struct fm_error empty = {0};
    assert_int_equal(fm_wrap(&empty, FM_NOMEM, "open"), FM_NOMEM);
    assert_string_equal(empty.text, "open: out of memory");
    assert_int_equal(fm_wrap(NULL, FM_NOMEM, "open"), FM_NOMEM);
}

/* A name from outside must not end a log line and begin a false one, nor move a cursor. */
static void control_characters_do_not_pass(void **state)
{
    struct fm_error err = {0};
    (void)state;
    assert_int_equal(fm_fail(&err, FM_INVALID, "%s", "a\rb\x1b[31m\x7f\tc\nd"), FM_INVALID);
    assert_string_equal(err.text, "a?b?[31m??c\nd");
}

static void long_texts_are_cut(void **state)
{
    struct fm_error err = {0};
    char text[2 * FM_ERROR_TEXT_MAX];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(fm_fail(&err, FM_INVALID, "%s", text), FM_INVALID);
    assert_int_equal(strlen(err.text), FM_ERROR_TEXT_MAX - 1);
    assert_int_equal(fm_wrap(&err, FM_INVALID, "%s", "front"), FM_INVALID);
    assert_int_equal(strlen(err.text), FM_ERROR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "front: xxx", 10);
    assert_int_equal(fm_fail_errno(&err, FM_IO, EIO, "%s", text), FM_IO);
    assert_int_equal(strlen(err.text), FM_ERROR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_on_the_wire),
        cmocka_unit_test(exit_codes_are_of_sysexits),
        cmocka_unit_test(failures_carry_text),
        cmocka_unit_test(failures_of_the_system_say_why),
        cmocka_unit_test(wrapping_puts_context_in_front),
        cmocka_unit_test(control_characters_do_not_pass),
        cmocka_unit_test(long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
