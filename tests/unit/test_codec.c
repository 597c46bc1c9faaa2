/* Strict msgpack: what is written, what is refused, what readers answer. */
#include "core/codec.h"

#include "core/limits.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- Helpers ---- */

static enum fm_status parse_hex(const char *hex)
{
    struct fm_doc *doc = NULL;
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    assert_int_equal(fm_unhex(hex, bytes, len), FM_OK);
    enum fm_status status = fm_doc_parse(fm_span(bytes, len), &doc);
    fm_doc_free(doc);
    free(bytes);
    return status;
}

static struct fm_doc *parse(const struct fm_buf *buf)
{
    struct fm_doc *doc = NULL;
    assert_int_equal(fm_buf_status(buf), FM_OK);
    assert_int_equal(fm_doc_parse(fm_buf_span(buf), &doc), FM_OK);
    return doc;
}

static void pack_example(struct fm_buf *buf)
{
    fm_pack_map(buf, 9);
    fm_pack_key_uint(buf, 0, 7);
    fm_pack_key_int(buf, 1, -7);
    fm_pack_key_bool(buf, 2, true);
    fm_pack_key_bin(buf, 3, "\x00\xff", 2);
    fm_pack_key_str(buf, 4, "text");
    fm_pack_uint(buf, 5);
    fm_pack_array(buf, 2);
    fm_pack_nil(buf);
    fm_pack_uint(buf, UINT64_MAX);
    fm_pack_key_int(buf, 6, INT64_MIN);
    fm_pack_key_bool(buf, 40, false);
    fm_pack_uint(buf, 300);
    fm_pack_map(buf, 0);
}

/* ---- Writing ---- */

static void bytes_are_those_of_the_vectors(void **state)
{
    static const int64_t numbers[] = {
        0,  127, 128, 255,  256,  65535,  65536,  UINT32_MAX, INT64_C(1) << 32,     INT64_MAX,
        -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  INT64_C(-2147483649), INT64_MIN};
    struct vector_file *file = vector_file_open("codec.txt");
    struct fm_buf buf = {0};
    char name[32];
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        fm_buf_clear(&buf);
        fm_pack_int(&buf, numbers[i]);
        (void)snprintf(name, sizeof name, "int-%zu", i);
        vector_check(file, name, fm_buf_span(&buf));
    }
    fm_buf_clear(&buf);
    pack_example(&buf);
    vector_check(file, "example", fm_buf_span(&buf));
    fm_buf_free(&buf);
    vector_file_free(file);
}

static void long_things_come_back(void **state)
{
    static const size_t lens[] = {0, 31, 32, 255, 256, 65535, 65536, 100000};
    char *text = malloc(100001);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', 100001);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct fm_buf buf = {0};
        struct fm_span got;
        fm_pack_array(&buf, 2);
        fm_pack_str_span(&buf, fm_span(text, lens[i]));
        fm_pack_bin_span(&buf, fm_span(text, lens[i]));
        struct fm_doc *doc = parse(&buf);
        const struct fm_value *root = fm_doc_root(doc);
        assert_int_equal(fm_value_str(fm_value_at(root, 0), lens[i], &got), FM_OK);
        assert_int_equal(got.len, lens[i]);
        assert_int_equal(fm_value_bin(fm_value_at(root, 1), lens[i], &got), FM_OK);
        assert_true(fm_span_equal(got, fm_span(text, lens[i])));
        if (lens[i] > 0) {
            assert_int_equal(fm_value_bin(fm_value_at(root, 1), lens[i] - 1, &got), FM_MALFORMED);
            assert_int_equal(fm_value_str(fm_value_at(root, 0), lens[i] - 1, &got), FM_MALFORMED);
        }
        fm_doc_free(doc);
        fm_buf_free(&buf);
    }
    free(text);
}

/* Counts on both sides of where the header grows. */
static void containers_of_all_sizes_come_back(void **state)
{
    static const uint32_t counts[] = {0, 15, 16, 65535, 65536};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct fm_buf buf = {0};
        uint32_t count;
        fm_pack_array(&buf, counts[i]);
        for (uint32_t j = 0; j < counts[i]; j++)
            fm_pack_nil(&buf);
        struct fm_doc *doc = parse(&buf);
        assert_int_equal(fm_value_array(fm_doc_root(doc), counts[i], &count), FM_OK);
        assert_int_equal(count, counts[i]);
        fm_doc_free(doc);
        fm_buf_clear(&buf);
        uint32_t pairs = counts[i] < 40000 ? counts[i] : 40000;
        fm_pack_map(&buf, pairs);
        for (uint32_t j = 0; j < pairs; j++)
            fm_pack_key_uint(&buf, j, j);
        doc = parse(&buf);
        for (uint32_t j = 0; j < pairs; j += 7) {
            uint64_t value;
            assert_int_equal(fm_value_uint(fm_map_get(fm_doc_root(doc), j), j, &value), FM_OK);
            assert_true(value == j);
        }
        assert_null(fm_map_get(fm_doc_root(doc), pairs));
        fm_doc_free(doc);
        fm_buf_free(&buf);
    }
}

static void a_failed_buffer_stays_so(void **state)
{
    struct fm_buf buf = FM_BUF_INIT(4);
    (void)state;
    pack_example(&buf);
    assert_int_equal(fm_buf_status(&buf), FM_LIMIT);
    fm_buf_free(&buf);
}

/* ---- Reading ---- */

static void readers_give_what_was_packed(void **state)
{
    struct fm_buf buf = {0};
    uint64_t u;
    uint32_t u32, count;
    int64_t i;
    bool b;
    struct fm_span span;
    char text[5];
    uint8_t two[2];
    (void)state;
    pack_example(&buf);
    struct fm_doc *doc = parse(&buf);
    const struct fm_value *root = fm_doc_root(doc);
    assert_int_equal(fm_value_uint(fm_map_get(root, 0), 7, &u), FM_OK);
    assert_true(u == 7);
    assert_int_equal(fm_value_u32(fm_map_get(root, 0), 7, &u32), FM_OK);
    assert_int_equal(fm_value_int(fm_map_get(root, 0), &i), FM_OK);
    assert_int_equal(fm_value_int(fm_map_get(root, 1), &i), FM_OK);
    assert_int_equal(i, -7);
    assert_int_equal(fm_value_int(fm_map_get(root, 6), &i), FM_OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(fm_value_bool(fm_map_get(root, 2), &b), FM_OK);
    assert_true(b);
    assert_int_equal(fm_value_bin(fm_map_get(root, 3), 2, &span), FM_OK);
    assert_int_equal(fm_value_bin_exact(fm_map_get(root, 3), two, 2), FM_OK);
    assert_memory_equal(two, "\x00\xff", 2);
    assert_int_equal(fm_value_text(fm_map_get(root, 4), text, sizeof text), FM_OK);
    assert_string_equal(text, "text");
    assert_int_equal(fm_value_array(fm_map_get(root, 5), 2, &count), FM_OK);
    assert_true(fm_value_is_nil(fm_value_at(fm_map_get(root, 5), 0)));
    assert_int_equal(fm_value_uint(fm_value_at(fm_map_get(root, 5), 1), UINT64_MAX, &u), FM_OK);
    assert_true(u == UINT64_MAX);
    fm_doc_free(doc);
    fm_buf_free(&buf);
}

static void readers_refuse_other_kinds(void **state)
{
    struct fm_buf buf = {0};
    uint64_t u;
    uint32_t count;
    int64_t i;
    bool b;
    struct fm_span span;
    char text[4];
    uint8_t three[3];
    (void)state;
    pack_example(&buf);
    struct fm_doc *doc = parse(&buf);
    const struct fm_value *root = fm_doc_root(doc);
    const struct fm_value *absent = fm_map_get(root, 7);
    assert_null(absent);
    assert_null(fm_map_get(absent, 0));
    assert_null(fm_map_get(fm_map_get(root, 0), 0));
    assert_int_equal(fm_value_uint(absent, UINT64_MAX, &u), FM_MALFORMED);
    assert_int_equal(fm_value_uint(fm_map_get(root, 0), 6, &u), FM_MALFORMED);
    assert_int_equal(fm_value_uint(fm_map_get(root, 1), UINT64_MAX, &u), FM_MALFORMED);
    assert_int_equal(fm_value_int(fm_value_at(fm_map_get(root, 5), 1), &i), FM_MALFORMED);
    assert_int_equal(fm_value_int(fm_map_get(root, 2), &i), FM_MALFORMED);
    assert_int_equal(fm_value_bool(fm_map_get(root, 0), &b), FM_MALFORMED);
    assert_int_equal(fm_value_str(fm_map_get(root, 3), 100, &span), FM_MALFORMED);
    assert_int_equal(fm_value_bin(fm_map_get(root, 4), 100, &span), FM_MALFORMED);
    assert_int_equal(fm_value_bin_exact(fm_map_get(root, 3), three, 3), FM_MALFORMED);
    assert_int_equal(fm_value_bin_exact(fm_map_get(root, 3), three, 1), FM_MALFORMED);
    assert_int_equal(fm_value_text(fm_map_get(root, 4), text, sizeof text), FM_MALFORMED);
    assert_int_equal(fm_value_array(fm_map_get(root, 5), 1, &count), FM_MALFORMED);
    assert_int_equal(fm_value_array(root, 100, &count), FM_MALFORMED);
    assert_false(fm_value_is_nil(absent));
    assert_false(fm_value_is_nil(fm_map_get(root, 0)));
    fm_doc_free(doc);
    fm_buf_free(&buf);
}

static void text_with_a_zero_is_no_c_string(void **state)
{
    struct fm_buf buf = {0};
    char text[8];
    (void)state;
    fm_pack_str_span(&buf, fm_span("a\0b", 3));
    struct fm_doc *doc = parse(&buf);
    assert_int_equal(fm_value_text(fm_doc_root(doc), text, sizeof text), FM_MALFORMED);
    fm_doc_free(doc);
    fm_buf_free(&buf);
}

/* Below 32 every key counts; from there on who does not know it may pass over it. */
static void unknown_critical_keys_are_refused(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    pack_example(&buf);
    struct fm_doc *doc = parse(&buf);
    const struct fm_value *root = fm_doc_root(doc);
    assert_int_equal(fm_map_check(root, 0x7f), FM_OK);
    assert_int_equal(fm_map_check(root, UINT32_MAX), FM_OK);
    for (unsigned key = 0; key < 7; key++)
        assert_int_equal(fm_map_check(root, 0x7fu & ~(1u << key)), FM_MALFORMED);
    assert_int_equal(fm_map_check(NULL, UINT32_MAX), FM_MALFORMED);
    assert_int_equal(fm_map_check(fm_map_get(root, 5), UINT32_MAX), FM_MALFORMED);
    fm_doc_free(doc);
    fm_buf_free(&buf);
}

/* ---- The profile ---- */

static void other_msgpack_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",           /* Nothing. */
        "c1",         /* Never used. */
        "ca3f800000", /* Floats. */
        "cb3ff0000000000000",
        "d4007f", /* Ext. */
        "c7010000",
        "cc7f", /* Integers that fit less. */
        "cd00ff",
        "ce0000ffff",
        "cf00000000ffffffff",
        "d0ff",
        "d0e0",
        "d07f",
        "d000",
        "d1ff80",
        "d10080",
        "d2ffff8000",
        "d200010000",
        "d3ffffffff80000000",
        "d30000000100000000",
        "d901ff", /* Lengths that fit less. */
        "d90161",
        "da000161",
        "db0000000161",
        "c5000161",
        "c60000000161",
        "dc0001c0",
        "dd00000001c0",
        "de000100c0",
        "df0000000100c0",
        "a1ff", /* No UTF-8. */
        "a2eda0",
        "0000", /* Trailing. */
        "9000",
        "82010002", /* Cut. */
        "a261",
        "c402ff",
        "cd01",
        "92c0",
        "d9",
        "c4",
        "8100",
        "8201000000", /* Keys that do not rise. */
        "8201000100",
        "81a16100", /* Keys that are no unsigned integers. */
        "81ff00",
        "81c000",
        "81900000",
        "81c40000",
        "9182010002", /* Inside something else. */
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (parse_hex(wrong[i]) != FM_MALFORMED)
            fail_msg("%s was not refused", wrong[i]);
}

static void the_profile_is_accepted(void **state)
{
    static const char *const good[] = {
        "00",
        "7f",
        "cc80",
        "ccff",
        "cd0100",
        "ce00010000",
        "e0",
        "ff",
        "d0df",
        "d080",
        "d1ff7f",
        "d2ffff7fff",
        "c0",
        "c2",
        "c3",
        "80",
        "90",
        "a0",
        "c400",
        "a2c3a4",
        "8200c001c0",
        "810081008100c0",
        "cfffffffffffffffff",
        "d38000000000000000",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (parse_hex(good[i]) != FM_OK)
            fail_msg("%s was refused", good[i]);
}

/* Headers that promise more than there is must not make anybody reserve memory for it. */
static void bombs_do_not_allocate(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    for (unsigned i = 0; i < 15; i++)
        fm_buf_put(&buf, "\xdd\xff\xff\xff\xff", 5);
    struct fm_doc *doc = NULL;
    long before = fail_alloc_live();
    fail_alloc_after(0);
    assert_int_equal(fm_doc_parse(fm_buf_span(&buf), &doc), FM_MALFORMED);
    assert_false(fail_alloc_stop());
    assert_int_equal(fail_alloc_live(), before);
    assert_int_equal(parse_hex("dfffffffff"), FM_MALFORMED);
    assert_int_equal(parse_hex("dbffffffff61"), FM_MALFORMED);
    assert_int_equal(parse_hex("c6ffffffff61"), FM_MALFORMED);
    fm_buf_free(&buf);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    for (uint32_t depth = 1; depth <= FM_DOC_DEPTH_MAX + 1; depth++) {
        struct fm_buf buf = {0};
        struct fm_doc *doc = NULL;
        for (uint32_t i = 1; i < depth; i++)
            fm_pack_array(&buf, 1);
        fm_pack_map(&buf, 0);
        enum fm_status want = depth <= FM_DOC_DEPTH_MAX ? FM_OK : FM_LIMIT;
        assert_int_equal(fm_doc_parse(fm_buf_span(&buf), &doc), want);
        fm_doc_free(doc);
        fm_buf_free(&buf);
    }
}

static void objects_are_bounded(void **state)
{
    (void)state;
    for (uint32_t extra = 0; extra < 2; extra++) {
        struct fm_buf buf = {0};
        struct fm_doc *doc = NULL;
        uint32_t count = FM_DOC_OBJECTS_MAX - 1 + extra;
        fm_pack_array(&buf, count);
        for (uint32_t i = 0; i < count; i++)
            fm_pack_nil(&buf);
        assert_int_equal(fm_doc_parse(fm_buf_span(&buf), &doc), extra == 0 ? FM_OK : FM_LIMIT);
        fm_doc_free(doc);
        fm_buf_free(&buf);
    }
}

static void bytes_are_bounded(void **state)
{
    struct fm_buf buf = {0};
    struct fm_doc *doc = NULL;
    uint8_t *zeros = calloc(FM_DOC_BYTES_MAX, 1);
    (void)state;
    assert_non_null(zeros);
    fm_pack_bin(&buf, zeros, FM_DOC_BYTES_MAX - 5);
    assert_int_equal(fm_doc_parse(fm_buf_span(&buf), &doc), FM_OK);
    fm_doc_free(doc);
    fm_buf_clear(&buf);
    fm_pack_bin(&buf, zeros, FM_DOC_BYTES_MAX - 4);
    assert_int_equal(fm_doc_parse(fm_buf_span(&buf), &doc), FM_LIMIT);
    fm_buf_free(&buf);
    free(zeros);
}

static void measuring_finds_the_end(void **state)
{
    struct fm_buf buf = {0};
    size_t len;
    (void)state;
    pack_example(&buf);
    size_t whole = buf.len;
    fm_buf_put(&buf, "trailing", 8);
    assert_int_equal(fm_doc_measure(fm_buf_span(&buf), &len), FM_OK);
    assert_int_equal(len, whole);
    for (size_t cut = 0; cut < whole; cut++)
        assert_int_equal(fm_doc_measure(fm_span(buf.data, cut), &len), FM_MALFORMED);
    fm_buf_free(&buf);
}

static void each_failed_allocation_is_a_status(void **state)
{
    struct fm_buf buf = {0};
    (void)state;
    if (!fail_alloc_available())
        skip();
    fm_pack_array(&buf, 2000);
    for (unsigned i = 0; i < 1000; i++) {
        fm_pack_map(&buf, 1);
        fm_pack_key_bin(&buf, 1, "x", 1);
        fm_pack_str(&buf, "some text that is longer than a few bytes");
    }
    for (size_t n = 0;; n++) {
        struct fm_doc *doc = NULL;
        long before = fail_alloc_live();
        fail_alloc_after(n);
        enum fm_status status = fm_doc_parse(fm_buf_span(&buf), &doc);
        bool hit = fail_alloc_stop();
        assert_int_equal(status, hit ? FM_NOMEM : FM_OK);
        fm_doc_free(doc);
        assert_int_equal(fail_alloc_live(), before);
        if (!hit)
            break;
    }
    fm_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_the_vectors),
        cmocka_unit_test(long_things_come_back),
        cmocka_unit_test(containers_of_all_sizes_come_back),
        cmocka_unit_test(a_failed_buffer_stays_so),
        cmocka_unit_test(readers_give_what_was_packed),
        cmocka_unit_test(readers_refuse_other_kinds),
        cmocka_unit_test(text_with_a_zero_is_no_c_string),
        cmocka_unit_test(unknown_critical_keys_are_refused),
        cmocka_unit_test(other_msgpack_is_refused),
        cmocka_unit_test(the_profile_is_accepted),
        cmocka_unit_test(bombs_do_not_allocate),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(objects_are_bounded),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(measuring_finds_the_end),
        cmocka_unit_test(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
