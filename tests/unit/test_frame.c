/* Frames on a stream: their layout, and refusals. */
#include "core/frame.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct fm_buf out;
    struct fm_error err;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_buf_free(&f->out);
    free(f);
    return 0;
}

/* The header of each kind, byte by byte. */
static void headers_have_their_layout(void **state)
{
    static const struct {
        struct fm_frame frame;
        const char *hex;
    } rows[] = {
        {{.kind = FM_FRAME_HELLO,
          .pattern = FM_NOISE_IKPSK2,
          .version_min = 1,
          .version_max = 0x0203,
          .features = 0x04050607},
         "01020100030207060504"
         "00000000000000000000000000000000"},
        {{.kind = FM_FRAME_WELCOME,
          .pattern = FM_NOISE_XX,
          .version_min = 2,
          .version_max = 3,
          .features = 1,
          .session = {9, 8, [15] = 7}},
         "02010200030001000000"
         "09080000000000000000000000000007"},
        {{.kind = FM_FRAME_FINISH, .pattern = FM_NOISE_XXPSK0, .session = {1}},
         "03030000000000000000"
         "01000000000000000000000000000000"},
        {{.kind = FM_FRAME_SEALED, .session = {2}},
         "04000000000000000000"
         "02000000000000000000000000000000"},
        {{.kind = FM_FRAME_REFUSED, .session = {3}},
         "05000000000000000000"
         "03000000000000000000000000000000"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fm_frame got;
        char hex[2 * FM_FRAME_HEADER_BYTES + 1];
        fm_buf_clear(&f->out);
        fm_frame_encode(&f->out, &rows[i].frame);
        assert_int_equal(f->out.len, FM_FRAME_HEADER_BYTES);
        fm_hex(f->out.data, f->out.len, hex);
        assert_string_equal(hex, rows[i].hex);
        fm_buf_put_str(&f->out, "rest");
        assert_int_equal(fm_frame_decode(fm_buf_span(&f->out), &got), FM_OK);
        assert_true(fm_span_equal(got.rest, fm_span_str("rest")));
        got.rest = rows[i].frame.rest;
        assert_int_equal(got.kind, rows[i].frame.kind);
        assert_int_equal(got.pattern, rows[i].frame.pattern);
        assert_int_equal(got.version_min, rows[i].frame.version_min);
        assert_int_equal(got.version_max, rows[i].frame.version_max);
        assert_int_equal(got.features, rows[i].frame.features);
        assert_memory_equal(got.session, rows[i].frame.session, 16);
    }
}

/* Exactly the bytes that a kind uses may be other than zero. */
static void unused_header_bytes_are_zero(void **state)
{
    (void)state;
    for (uint8_t kind = 1; kind <= 5; kind++)
        for (size_t at = 1; at < FM_FRAME_HEADER_BYTES; at++) {
            uint8_t header[FM_FRAME_HEADER_BYTES] = {kind, kind <= 3 ? 1 : 0};
            struct fm_frame frame;
            bool used = (at == 1 && kind <= 3) || (at >= 2 && at < 10 && kind <= 2) ||
                        (at >= 10 && kind != FM_FRAME_HELLO);
            header[at] = 2;
            assert_int_equal(fm_frame_decode(fm_span(header, sizeof header), &frame),
                             used ? FM_OK : FM_MALFORMED);
        }
}

static void odd_frames_are_refused(void **state)
{
    uint8_t header[FM_FRAME_HEADER_BYTES] = {FM_FRAME_SEALED};
    struct fm_frame frame;

    (void)state;
    for (size_t len = 0; len < sizeof header; len++)
        assert_int_equal(fm_frame_decode(fm_span(header, len), &frame), FM_MALFORMED);
    assert_int_equal(fm_frame_decode(fm_span(header, FM_MESSAGE_BYTES_MAX + 1u), &frame),
                     FM_MALFORMED);
    for (unsigned kind = 0; kind < 256; kind++)
        for (unsigned pattern = 0; pattern < 256; pattern++) {
            enum fm_status expected = FM_OK;
            if (kind < 1 || kind > 5 || (kind > 3 && pattern != 0))
                expected = FM_MALFORMED;
            else if (kind <= 3 && (pattern < 1 || pattern > 3))
                expected = FM_UNSUPPORTED;
            header[0] = (uint8_t)kind;
            header[1] = (uint8_t)pattern;
            assert_int_equal(fm_frame_decode(fm_span(header, sizeof header), &frame), expected);
        }
}

static void highest_common_version_is_chosen(void **state)
{
    uint16_t chosen = 77;

    (void)state;
    assert_int_equal(fm_version_choose(1, 1, &chosen), FM_OK);
    assert_int_equal(chosen, 1);
    assert_int_equal(fm_version_choose(0, UINT16_MAX, &chosen), FM_OK);
    assert_int_equal(chosen, FM_PROTOCOL_VERSION);
    chosen = 77;
    assert_int_equal(fm_version_choose(FM_PROTOCOL_VERSION + 1, UINT16_MAX, &chosen),
                     FM_UNSUPPORTED);
    assert_int_equal(fm_version_choose(0, FM_PROTOCOL_VERSION_MIN - 1, &chosen), FM_UNSUPPORTED);
    assert_int_equal(fm_version_choose(2, 1, &chosen), FM_UNSUPPORTED);
    assert_int_equal(chosen, 77);
}

static void refusals_tell_why(void **state)
{
    struct fixture *f = *state;
    uint8_t session[16] = {1, 2, 3};
    struct fm_frame frame;
    enum fm_status why;

    fm_frame_refuse(&f->out, session, FM_NOTFOUND, "no such session\x1b[2J");
    assert_int_equal(fm_frame_decode(fm_buf_span(&f->out), &frame), FM_OK);
    assert_memory_equal(frame.session, session, 16);
    assert_int_equal(fm_frame_refusal(&frame, &why, &f->err), FM_REFUSED);
    assert_int_equal(why, FM_NOTFOUND);
    assert_string_equal(f->err.text, "the peer refuses: not found: no such session?[2J");
}

/* A long text is cut between characters; what is no text is not shown. */
static void refusal_texts_are_bounded(void **state)
{
    struct fixture *f = *state;
    char text[2 * FM_REFUSAL_TEXT_MAX] = "x";
    struct fm_frame frame;
    enum fm_status why;

    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    fm_frame_refuse(&f->out, (const uint8_t[16]){0}, FM_BUSY, text);
    assert_int_equal(f->out.len, FM_FRAME_HEADER_BYTES + 1 + FM_REFUSAL_TEXT_MAX - 1);
    assert_int_equal(fm_frame_decode(fm_buf_span(&f->out), &frame), FM_OK);
    assert_int_equal(fm_frame_refusal(&frame, NULL, &f->err), FM_REFUSED);
    assert_non_null(strstr(f->err.text, "x\xc3\xa9"));

    fm_buf_put_u8(&f->out, 0xff);
    assert_int_equal(fm_frame_decode(fm_buf_span(&f->out), &frame), FM_OK);
    assert_int_equal(fm_frame_refusal(&frame, &why, &f->err), FM_REFUSED);
    assert_int_equal(why, FM_BUSY);
    assert_null(strstr(f->err.text, "x\xc3\xa9"));
    for (unsigned odd = 0; odd < 3; odd++) {
        uint8_t rest[] = {odd == 0 ? 0 : 200};
        frame.rest = fm_span(rest, odd == 2 ? 0 : 1);
        assert_int_equal(fm_frame_refusal(&frame, &why, NULL), FM_REFUSED);
        assert_int_equal(why, FM_INTERNAL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(headers_have_their_layout), TEST(unused_header_bytes_are_zero),
        TEST(odd_frames_are_refused),    TEST(highest_common_version_is_chosen),
        TEST(refusals_tell_why),         TEST(refusal_texts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
