/* Memory files: what is pinned stays, what is not goes file by file, and nothing is given out
 * twice. */
#include "storage/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECE_BYTES (20u << 20) /* Three in a file. */

struct fixture {
    struct arena *arena;
    uint8_t *bytes; /* ARENA_FILE_BYTES of them. */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->bytes = calloc(1, ARENA_FILE_BYTES);
    assert_non_null(f->bytes);
    assert_int_equal(arena_new(2 * ARENA_FILE_BYTES, &f->arena), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_free(f->arena);
    free(f->bytes);
    free(f);
    return 0;
}

static struct arena_key key_of(uint64_t i)
{
    return (struct arena_key){.table = 1, .field_id = 2, .segment = i, .generation = 3};
}

static enum fm_status add(struct fixture *f, uint64_t i, size_t len, struct arena_pin *pin)
{
    struct arena_key key = key_of(i);

    f->bytes[0] = (uint8_t)i;
    return arena_add(f->arena, &key, fm_span(f->bytes, len), pin);
}

static enum fm_status find(struct fixture *f, uint64_t i, struct arena_pin *pin)
{
    struct arena_key key = key_of(i);

    return arena_find(f->arena, &key, pin);
}

static void test_find_what_was_added(void **state)
{
    struct fixture *f = *state;
    struct arena_pin pin;

    assert_int_equal(find(f, 0, &pin), FM_NOTFOUND);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(add(f, i, 100 + i % 7, &pin), FM_OK);
        assert_int_equal(pin.offset % 8, 0);
        arena_unpin(f->arena, &pin);
        arena_unpin(f->arena, &pin); /* Twice is fine. */
    }
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(find(f, i, &pin), FM_OK);
        assert_int_equal(pin.bytes.len, 100 + i % 7);
        assert_int_equal(pin.bytes.data[0], (uint8_t)i);
        arena_unpin(f->arena, &pin);
    }
    assert_int_equal(arena_bytes(f->arena), ARENA_FILE_BYTES);
    /* Under the same key the first one stays. */
    f->bytes[1] = 99;
    assert_int_equal(add(f, 5, 50, &pin), FM_OK);
    assert_int_equal(pin.bytes.len, 105);
    arena_unpin(f->arena, &pin);
}

/* The file used longest ago makes room; pinned ones never do. */
static void test_eviction(void **state)
{
    struct fixture *f = *state;
    struct arena_pin pins[8] = {0};
    struct arena_pin pin;

    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(add(f, i, PIECE_BYTES, &pins[i]), FM_OK);
        if (i != 0)
            arena_unpin(f->arena, &pins[i]);
    }
    assert_int_equal(arena_bytes(f->arena), 2 * ARENA_FILE_BYTES);
    assert_int_equal(add(f, 6, PIECE_BYTES, &pins[6]), FM_OK); /* In place of 3, 4, 5. */
    assert_int_equal(arena_bytes(f->arena), 2 * ARENA_FILE_BYTES);
    assert_int_equal(find(f, 0, &pin), FM_OK);
    arena_unpin(f->arena, &pin);
    assert_int_equal(find(f, 2, &pin), FM_OK);
    arena_unpin(f->arena, &pin);
    assert_int_equal(find(f, 3, &pin), FM_NOTFOUND);
    assert_int_equal(find(f, 5, &pin), FM_NOTFOUND);
    assert_int_equal(add(f, 7, 50u << 20, &pin), FM_LIMIT); /* Both files are pinned. */
    arena_unpin(f->arena, &pins[0]);
    assert_int_equal(add(f, 7, 50u << 20, &pins[7]), FM_OK); /* In place of 0, 1, 2. */
    assert_int_equal(find(f, 0, &pin), FM_NOTFOUND);
    assert_int_equal(find(f, 6, &pin), FM_OK);
    arena_unpin(f->arena, &pin);
    arena_unpin(f->arena, &pins[6]);
    arena_unpin(f->arena, &pins[7]);
}

static void test_too_large(void **state)
{
    struct fixture *f = *state;
    struct arena_key key = key_of(1);
    struct arena_pin pin;

    /* Refused before it is read. */
    assert_int_equal(arena_add(f->arena, &key, fm_span(f->bytes, (size_t)ARENA_FILE_BYTES), &pin),
                     FM_LIMIT);
}

/* Who is given the descriptor reads the bytes, but cannot write or resize. */
static void test_files_are_sealed(void **state)
{
    struct fixture *f = *state;
    struct arena_pin pin;
    uint8_t *memory;

    assert_int_equal(add(f, 77, 100, &pin), FM_OK);
    memory = mmap(NULL, pin.file_bytes, PROT_READ, MAP_SHARED, pin.fd, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(memory[pin.offset], 77);
    assert_int_equal(munmap(memory, pin.file_bytes), 0);
    assert_true(mmap(NULL, pin.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pin.fd, 0) ==
                MAP_FAILED);
    assert_int_equal(pwrite(pin.fd, f->bytes, 1, 0), -1);
    assert_int_equal(ftruncate(pin.fd, 10), -1);
    arena_unpin(f->arena, &pin);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_find_what_was_added),
        TEST(test_eviction),
        TEST(test_too_large),
        TEST(test_files_are_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
