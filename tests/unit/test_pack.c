/* Packed numbers come back, whatever they are. Damage is noticed or gives other numbers. */
#include "storage/pack.h"

#include "core/limits.h"
#include "storage/compress.h"
#include "tests/support/random_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FRONT_MAX 64u

enum shape { ANY, SMALL, RISING, FALLING, RUNS, WRAPS, SAME, EXTREMES, SHAPE_COUNT };

struct fixture {
    struct random random;
    struct compressor *compressor;
    uint8_t raw[FRONT_MAX + FM_BLOCK_ROWS * 8];
    uint8_t again[FRONT_MAX + FM_BLOCK_ROWS * 8 + 1];
    struct fm_buf stored;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->random.state = 7;
    f->stored = FM_BUF_INIT(0);
    assert_int_equal(compressor_new(&f->compressor), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    compressor_free(f->compressor);
    fm_buf_free(&f->stored);
    free(f);
    return 0;
}

static uint64_t value_of(struct fixture *f, enum shape shape, uint64_t i)
{
    uint64_t noise = random_next(&f->random);

    switch (shape) {
    case ANY:
        return noise;
    case SMALL:
        return UINT64_MAX - 200 + noise % 100;
    case RISING:
        return 5000 + i * 1000 + noise % 10;
    case FALLING:
        return 100 - i * 3 - noise % 2;
    case RUNS:
        return i / 300 * 77;
    case WRAPS:
        return i * 321 % 1009;
    case SAME:
        return 42;
    default:
        return noise % 2 == 0 ? (uint64_t)INT64_MIN : INT64_MAX;
    }
}

static void fill(struct fixture *f, enum shape shape, size_t front, uint32_t count, uint8_t width)
{
    for (size_t i = 0; i < front; i++)
        f->raw[i] = (uint8_t)random_next(&f->random);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = value_of(f, shape, i);

        memcpy(f->raw + front + (size_t)i * width, &value, width); /* Its low bytes. */
    }
}

static void each_case(struct fixture *f,
                      void (*look)(struct fixture *f, size_t front, uint32_t count, uint8_t width))
{
    static const uint8_t widths[] = {1, 2, 4, 8};
    static const uint32_t counts[] = {1, 2, 3, 64, 65, 700, FM_BLOCK_ROWS};

    for (int shape = 0; shape < SHAPE_COUNT; shape++) {
        for (size_t w = 0; w < 4; w++) {
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                size_t front = (size_t)random_below(&f->random, 2) * FRONT_MAX;

                fill(f, (enum shape)shape, front, counts[c], widths[w]);
                look(f, front, counts[c], widths[w]);
            }
        }
    }
}

static void pack(struct fixture *f, size_t front, uint32_t count, uint8_t width)
{
    struct pack_plan plan;

    pack_plan(f->raw + front, count, width, &plan);
    fm_buf_clear(&f->stored);
    pack_write(&plan, fm_span(f->raw, front), f->raw + front, &f->stored);
    assert_int_equal(fm_buf_status(&f->stored), FM_OK);
    assert_int_equal(f->stored.len, plan.bytes + front);
}

static void pack_and_look(struct fixture *f, size_t front, uint32_t count, uint8_t width)
{
    size_t raw_bytes = front + (size_t)count * width;
    struct fm_span stored;

    pack(f, front, count, width);
    stored = fm_buf_span(&f->stored);
    assert_int_equal(pack_read(stored, f->again, raw_bytes), FM_OK);
    assert_memory_equal(f->again, f->raw, raw_bytes);
    /* Of another size it is refused. */
    assert_int_equal(pack_read(stored, f->again, raw_bytes + 1), FM_CORRUPT);
    assert_int_equal(pack_read(stored, f->again, raw_bytes - 1), FM_CORRUPT);
    assert_int_equal(pack_read(fm_span(stored.data, stored.len - 1), f->again, raw_bytes),
                     FM_CORRUPT);
}

static void numbers_come_back(void **state)
{
    each_case(*state, pack_and_look);
}

static void compress_and_look(struct fixture *f, size_t front, uint32_t count, uint8_t width)
{
    size_t raw_bytes = front + (size_t)count * width;
    struct decompressor decompressor = {0};
    enum compression method = COMPRESSION_NONE;

    fm_buf_clear(&f->stored);
    fm_buf_put_u8(&f->stored, 9); /* What is there before stays. */
    assert_int_equal(compress_numbers(f->compressor, fm_span(f->raw, raw_bytes), count, width,
                                      &f->stored, &method),
                     FM_OK);
    assert_int_equal(f->stored.data[0], 9);
    assert_in_range(f->stored.len - 1, 1, raw_bytes);
    assert_int_equal(decompress_block(&decompressor, (uint8_t)method,
                                      fm_span(f->stored.data + 1, f->stored.len - 1), f->again,
                                      raw_bytes),
                     FM_OK);
    assert_memory_equal(f->again, f->raw, raw_bytes);
    decompressor_deinit(&decompressor);
}

static void the_smallest_way_comes_back(void **state)
{
    each_case(*state, compress_and_look);
}

/* The sanitizers see what a decoder reads and writes outside its bounds. */
static void damage_and_look(struct fixture *f, size_t front, uint32_t count, uint8_t width)
{
    size_t raw_bytes = front + (size_t)count * width;

    pack(f, front, count, width);
    for (int round = 0; round < 40; round++) {
        size_t at = random_below(&f->random, f->stored.len < 40 ? (uint32_t)f->stored.len : 40);
        uint8_t before = f->stored.data[at];
        enum fm_status status;

        f->stored.data[at] = (uint8_t)random_next(&f->random);
        status = pack_read(fm_buf_span(&f->stored), f->again, raw_bytes);
        assert_true(status == FM_OK || status == FM_CORRUPT);
        f->stored.data[at] = before;
    }
}

static void damage_is_survived(void **state)
{
    each_case(*state, damage_and_look);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(numbers_come_back),
        TEST(the_smallest_way_comes_back),
        TEST(damage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
