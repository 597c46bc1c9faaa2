/* Frames over a real socket pair: whole, in pieces, with descriptors, against a side that does not
 * read. */
#include "query/channel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    int pair[2];
    struct channel_reader reader;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->pair), 0);
    channel_reader_init(&f->reader, f->pair[1]);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    channel_reader_deinit(&f->reader);
    if (f->pair[0] >= 0)
        close(f->pair[0]);
    close(f->pair[1]);
    free(f);
    return 0;
}

static void frames_arrive_whole(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(channel_reader_step(&f->reader), FM_BUSY);
    assert_int_equal(
        channel_send(f->pair[0], CHANNEL_PARSE, 7, fm_span_str("SELECT 1"), -1, FM_MS_NEVER),
        FM_OK);
    assert_int_equal(channel_send(f->pair[0], CHANNEL_END, 0, fm_span(NULL, 0), -1, FM_MS_NEVER),
                     FM_OK);
    assert_int_equal(channel_reader_step(&f->reader), FM_OK);
    assert_int_equal(f->reader.frame.kind, CHANNEL_PARSE);
    assert_int_equal(f->reader.frame.number, 7);
    assert_true(fm_span_equal(fm_buf_span(&f->reader.payload), fm_span_str("SELECT 1")));
    assert_int_equal(channel_reader_step(&f->reader), FM_OK);
    assert_int_equal(f->reader.frame.kind, CHANNEL_END);
    assert_int_equal(f->reader.payload.len, 0);
    assert_int_equal(channel_reader_step(&f->reader), FM_BUSY);
    close(f->pair[0]);
    f->pair[0] = -1;
    assert_int_equal(channel_reader_step(&f->reader), FM_NOTFOUND);
}

static void frames_arrive_in_pieces(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[CHANNEL_HEADER_BYTES + 5];
    struct channel_frame frame = {CHANNEL_TEXT, 5, 1};

    channel_header_encode(&frame, bytes);
    memcpy(bytes + CHANNEL_HEADER_BYTES, "hello", 5);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(write(f->pair[0], bytes + i, 1), 1);
        assert_int_equal(channel_reader_step(&f->reader), i + 1 < sizeof bytes ? FM_BUSY : FM_OK);
    }
    assert_memory_equal(f->reader.payload.data, "hello", 5);
}

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Descriptors travel with their frame; those that nobody takes are closed. */
static void descriptors_travel(void **state)
{
    struct fixture *f = *state;
    int fd = memfd_create("passed", MFD_CLOEXEC);
    char text[3];

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    uint32_t before = open_descriptors();
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            channel_send(f->pair[0], CHANNEL_ARENA, 0, fm_span_str("x"), fd, FM_MS_NEVER), FM_OK);
    assert_int_equal(channel_reader_step(&f->reader), FM_OK);
    int taken = f->reader.passed;
    f->reader.passed = -1;
    assert_int_equal(pread(taken, text, 3, 0), 3);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
    assert_int_equal(channel_reader_step(&f->reader), FM_OK);
    assert_int_equal(channel_reader_step(&f->reader), FM_OK);
    close(taken);
    channel_reader_deinit(&f->reader);
    channel_reader_init(&f->reader, f->pair[1]);
    assert_int_equal(open_descriptors(), before);
    close(fd);
}

/* A side that does not read makes the other one wait until its deadline, no longer. */
static void sending_has_a_deadline(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = calloc(1, 4u << 20);

    assert_non_null(bytes);
    assert_int_equal(channel_send(f->pair[0], CHANNEL_RUN, 0, fm_span(bytes, 4u << 20), -1, 0),
                     FM_TIMEOUT);
    free(bytes);
    close(f->pair[1]);
    assert_int_equal(channel_send(f->pair[0], CHANNEL_RUN, 0, fm_span(NULL, 0), -1, FM_MS_NEVER),
                     FM_NOTFOUND);
    f->pair[1] = dup(f->pair[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(frames_arrive_whole),
        TEST(frames_arrive_in_pieces),
        TEST(descriptors_travel),
        TEST(sending_has_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
