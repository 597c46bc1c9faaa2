/* Buffers, cursors, varints, hex, UTF-8. */
#include "core/bytes.h"

#include "core/limits.h"
#include "tests/support/fail_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void buffers_keep_what_is_put(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    fm_buf_put_u8(&buf, 1);
    fm_buf_put_u16(&buf, 0x0302);
    fm_buf_put_u32(&buf, 0x07060504);
    fm_buf_put_u64(&buf, UINT64_C(0x0f0e0d0c0b0a0908));
    fm_buf_put_str(&buf, "ab");
    fm_buf_put_span(&buf, fm_span("cd", 2));
    fm_buf_put(&buf, NULL, 0);
    fm_buf_printf(&buf, "%d-%s", 42, "x");
    assert_int_equal(fm_buf_status(&buf), FM_OK);
    assert_int_equal(buf.len, 15 + 4 + 4);
    for (uint8_t i = 0; i < 15; i++)
        assert_int_equal(buf.data[i], i + 1);
    assert_memory_equal(buf.data + 15, "abcd42-x", 8);
    fm_buf_free(&buf);
    assert_null(buf.data);
}

static void aligning_adds_zeros(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    fm_buf_align(&buf, 8);
    assert_int_equal(buf.len, 0);
    fm_buf_put_u8(&buf, 0xff);
    fm_buf_align(&buf, 8);
    assert_int_equal(buf.len, 8);
    for (size_t i = 1; i < 8; i++)
        assert_int_equal(buf.data[i], 0);
    fm_buf_align(&buf, 8);
    assert_int_equal(buf.len, 8);
    fm_buf_free(&buf);
}

/* The first failure stays, and nothing is written behind it that would leave a hole. */
static void a_full_buffer_stays_failed(void **state)
{
    struct fm_buf buf = FM_BUF_INIT(10);
    (void)state;
    fm_buf_put(&buf, "12345678", 8);
    fm_buf_put(&buf, "abc", 3);
    assert_int_equal(fm_buf_status(&buf), FM_LIMIT);
    assert_int_equal(buf.len, 8);
    fm_buf_put_u8(&buf, 1);
    assert_int_equal(buf.len, 8);
    assert_null(fm_buf_extend(&buf, 1));
    assert_null(fm_buf_extend(&buf, SIZE_MAX));
    fm_buf_clear(&buf);
    assert_int_equal(fm_buf_status(&buf), FM_OK);
    fm_buf_put(&buf, "0123456789", 10);
    assert_int_equal(fm_buf_status(&buf), FM_OK);
    assert_non_null(fm_buf_span(&buf).data);
    fm_buf_free(&buf);
    assert_int_equal(buf.max, 10);
}

static void no_memory_is_a_status(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    if (!fail_alloc_available())
        skip();
    fail_alloc_after(0);
    fm_buf_put_u8(&buf, 1);
    assert_true(fail_alloc_stop());
    assert_int_equal(fm_buf_status(&buf), FM_NOMEM);
    fm_buf_free(&buf);
}

static void cursors_stop_at_the_end(void **state)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct fm_cursor cursor = fm_cursor(fm_span(bytes, sizeof bytes));
    struct fm_span span;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    (void)state;
    assert_int_equal(fm_take_u64(&cursor, &u64), FM_MALFORMED);
    assert_int_equal(fm_take_bytes(&cursor, 8, &span), FM_MALFORMED);
    assert_int_equal(fm_take_bytes(&cursor, SIZE_MAX, &span), FM_MALFORMED);
    assert_int_equal(fm_cursor_left(&cursor), 7);
    assert_int_equal(fm_take_u32(&cursor, &u32), FM_OK);
    assert_int_equal(u32, 0x04030201);
    assert_int_equal(fm_take_u16(&cursor, &u16), FM_OK);
    assert_int_equal(u16, 0x0605);
    assert_int_equal(fm_take_u16(&cursor, &u16), FM_MALFORMED);
    assert_int_equal(fm_take_u8(&cursor, &u8), FM_OK);
    assert_int_equal(fm_take_u8(&cursor, &u8), FM_MALFORMED);
    assert_int_equal(fm_take_bytes(&cursor, 0, &span), FM_OK);
}

static void uvarints_come_back(void **state)
{
    static const uint64_t values[] = {0,          1,
                                      127,        128,
                                      16383,      16384,
                                      UINT32_MAX, UINT64_C(1) << 56,
                                      INT64_MAX,  UINT64_MAX - 1,
                                      UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct fm_buf buf = {0};
        uint64_t got;
        fm_buf_put_uvarint(&buf, values[i]);
        for (size_t len = 0; len < buf.len; len++) {
            struct fm_cursor cut = fm_cursor(fm_span(buf.data, len));
            assert_int_equal(fm_take_uvarint(&cut, &got), FM_MALFORMED);
            assert_int_equal(fm_cursor_left(&cut), len);
        }
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&buf));
        assert_int_equal(fm_take_uvarint(&cursor, &got), FM_OK);
        assert_true(got == values[i]);
        assert_int_equal(fm_cursor_left(&cursor), 0);
        fm_buf_free(&buf);
    }
}

static void long_uvarints_are_refused(void **state)
{
    static const char *const wrong[] = {
        "8000",                   /* 0 in two bytes. */
        "ff00",                   /* 127 in two. */
        "80808080808080808000",   /* 0 in ten. */
        "ffffffffffffffffff02",   /* 65 bits. */
        "ffffffffffffffffff8001", /* Eleven bytes. */
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t bytes[16];
        uint64_t got;
        size_t len = strlen(wrong[i]) / 2;
        assert_int_equal(fm_unhex(wrong[i], bytes, len), FM_OK);
        struct fm_cursor cursor = fm_cursor(fm_span(bytes, len));
        assert_int_equal(fm_take_uvarint(&cursor, &got), FM_MALFORMED);
        assert_int_equal(fm_cursor_left(&cursor), len);
    }
}

static void hex_goes_both_ways(void **state)
{
    uint8_t bytes[4];
    char text[9];
    (void)state;
    assert_int_equal(fm_unhex("00fFa17e", bytes, 4), FM_OK);
    fm_hex(bytes, 4, text);
    assert_string_equal(text, "00ffa17e");
    assert_int_equal(fm_unhex("00ffa17", bytes, 4), FM_MALFORMED);
    assert_int_equal(fm_unhex("00ffa17e0", bytes, 4), FM_MALFORMED);
    assert_int_equal(fm_unhex("00ffa17g", bytes, 4), FM_MALFORMED);
    assert_int_equal(fm_unhex("00 ffa17", bytes, 4), FM_MALFORMED);
    assert_int_equal(fm_unhex("", bytes, 0), FM_OK);
}

static void utf8_is_that_of_rfc_3629(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a long ascii text, then \xc3\xa4"};
    static const char *const bad[] = {
        "\x80",     /* A continuation alone. */
        "\xc2",     /* Cut. */
        "\xc2x",    /* No continuation. */
        "\xc0\x80", /* Overlong. */
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80", /* A surrogate. */
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80", /* Past U+10FFFF. */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "a long ascii text, then \xc3",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(fm_utf8_valid(fm_span_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(fm_utf8_valid(fm_span_str(bad[i])));
}

static void spans_compare_by_content(void **state)
{
    (void)state;
    assert_true(fm_span_equal(fm_span("ab", 2), fm_span_str("ab")));
    assert_false(fm_span_equal(fm_span("ab", 2), fm_span_str("abc")));
    assert_true(fm_span_equal(fm_span(NULL, 0), fm_span("x", 0)));
    char *copy = fm_strdup_span(fm_span("abc", 2));
    assert_string_equal(copy, "ab");
    free(copy);
}

static void big_endian_sorts(void **state)
{
    uint8_t a[8], b[8];
    (void)state;
    fm_store64_be(a, 255);
    fm_store64_be(b, 256);
    assert_true(memcmp(a, b, 8) < 0);
    assert_true(fm_load64_be(b) == 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_keep_what_is_put),   cmocka_unit_test(aligning_adds_zeros),
        cmocka_unit_test(a_full_buffer_stays_failed), cmocka_unit_test(no_memory_is_a_status),
        cmocka_unit_test(cursors_stop_at_the_end),    cmocka_unit_test(uvarints_come_back),
        cmocka_unit_test(long_uvarints_are_refused),  cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(utf8_is_that_of_rfc_3629),   cmocka_unit_test(spans_compare_by_content),
        cmocka_unit_test(big_endian_sorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
