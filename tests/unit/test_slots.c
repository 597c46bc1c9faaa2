/* The file `slots`: written in turn, read with one of the two damaged. */
#include "storage/slots.h"

#include "tests/support/store_support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[STORE_DIR_MAX];
    int fd;
    struct slots *slots;
    struct slot_value value;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct format_value identity = {.version = STORE_FORMAT_VERSION};

    assert_non_null(f);
    store_dir_make(f->dir);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    memset(identity.mesh.bytes, 1, 32);
    memset(identity.node.bytes, 2, 16);
    assert_int_equal(slots_create(f->fd, &identity, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    slots_close(f->slots);
    (void)close(f->fd);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static enum fm_status reopen(struct fixture *f)
{
    slots_close(f->slots);
    f->slots = NULL;
    return slots_open(f->fd, &f->slots, &f->value, &f->err);
}

static void write_number(struct fixture *f, uint64_t number)
{
    f->value.number = number;
    memset(f->value.digest.bytes, (int)number, 32);
    assert_int_equal(slots_write(f->slots, &f->value, &f->err), FM_OK);
}

static void damage(struct fixture *f, off_t at, size_t len)
{
    int fd = openat(f->fd, "slots", O_RDWR | O_CLOEXEC);
    uint8_t bytes[512];

    assert_true(fd >= 0);
    memset(bytes, 0xee, sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    (void)close(fd);
}

static void test_new_slots_promise_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reopen(f), FM_OK);
    assert_int_equal(f->value.number, 0);
    assert_int_equal(f->value.mesh.bytes[31], 1);
    assert_int_equal(f->value.node.bytes[15], 2);
    assert_int_equal(unlinkat(f->fd, "slots", 0), 0);
    assert_int_equal(reopen(f), FM_NOTFOUND);
}

static void test_latest_is_read_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reopen(f), FM_OK);
    for (uint64_t number = 1; number < 20; number++) {
        write_number(f, number);
        if (number % 3 != 0)
            continue;
        assert_int_equal(reopen(f), FM_OK);
        assert_int_equal(f->value.number, number);
        assert_int_equal(f->value.digest.bytes[0], number);
    }
}

/* A torn write of the newer slot leaves the older; the next write repairs the torn one. */
static void test_torn_slot(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reopen(f), FM_OK);
    write_number(f, 1); /* Into the second slot: the first was chosen when equal. */
    write_number(f, 2);
    damage(f, 100, 300);
    assert_int_equal(reopen(f), FM_OK);
    assert_int_equal(f->value.number, 1);
    write_number(f, 3);
    damage(f, 512, 512);
    assert_int_equal(reopen(f), FM_OK);
    assert_int_equal(f->value.number, 3);
    damage(f, 511, 1);
    assert_int_equal(reopen(f), FM_CORRUPT);
}

static void test_newer_format(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[2 * SLOT_BYTES];
    int fd;

    assert_int_equal(reopen(f), FM_OK);
    f->value.version = STORE_FORMAT_VERSION + 1;
    slot_encode(bytes, &f->value);
    slot_encode(bytes + SLOT_BYTES, &f->value);
    fd = openat(f->fd, "slots", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    (void)close(fd);
    assert_int_equal(reopen(f), FM_UNSUPPORTED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_new_slots_promise_nothing),
        TEST(test_latest_is_read_back),
        TEST(test_torn_slot),
        TEST(test_newer_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
