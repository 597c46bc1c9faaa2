/* How queries went: each principal's own, the latest first, and never more than is allowed. */
#include "node/receipts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct fm_receipts *receipts;
    uint32_t numbers[FM_RECEIPTS_MAX + 1]; /* Of the entries seen, */
    uint32_t count;
    size_t bytes; /* and their texts. */
    uint32_t stop_after;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_receipts_new(&f->receipts), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_receipts_free(f->receipts);
    free(f);
    return 0;
}

static struct fm_public_key principal(uint32_t number)
{
    struct fm_public_key key = {0};

    fm_store32(key.bytes, number + 1);
    return key;
}

/* A query of `number`, whose only fragment has a text of `bytes`. */
static void add(struct fixture *f, uint32_t who, uint32_t number, size_t bytes)
{
    struct fm_receipts_fragment fragment = {.number = 0, .rule = "scan", .state = "complete"};
    struct fm_receipts_entry entry = {
        .principal = principal(who), .count = 1, .fragments = &fragment};

    fm_store32(entry.query.bytes, number);
    for (size_t i = 0; i + 1 < bytes; i++)
        fm_buf_put_u8(&entry.text, 'x');
    fm_buf_put_u8(&entry.text, 0);
    fm_receipts_add(f->receipts, &entry);
    fm_buf_free(&entry.text);
}

static enum fm_status see(void *context, const struct fm_receipts_entry *entry)
{
    struct fixture *f = context;

    assert_int_equal(entry->count, 1);
    assert_string_equal(entry->fragments[0].state, "complete");
    assert_int_equal(strlen((const char *)entry->text.data) + 1, entry->text.len);
    f->numbers[f->count++] = fm_load32(entry->query.bytes);
    f->bytes += entry->text.len;
    return f->count == f->stop_after ? FM_LIMIT : FM_OK;
}

static uint32_t look(struct fixture *f, uint32_t who)
{
    struct fm_public_key key = principal(who);

    f->count = 0;
    f->bytes = 0;
    assert_int_equal(fm_receipts_each(f->receipts, &key, see, f), FM_OK);
    return f->count;
}

static void the_latest_comes_first_and_only_to_its_principal(void **state)
{
    struct fixture *f = *state;
    struct fm_public_key key = principal(1);

    for (uint32_t i = 0; i < 10; i++)
        add(f, i % 2, i, 20);
    assert_int_equal(look(f, 1), 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(f->numbers[i], 9 - 2 * i);
    assert_int_equal(look(f, 2), 0);
    f->count = 0;
    f->stop_after = 2;
    assert_int_equal(fm_receipts_each(f->receipts, &key, see, f), FM_LIMIT);
    assert_int_equal(f->count, 2);
}

static void the_oldest_of_one_goes_for_its_latest(void **state)
{
    struct fixture *f = *state;

    add(f, 7, 1000, 20);
    for (uint32_t i = 0; i < FM_RECEIPTS_OF_ONE_MAX + 5; i++)
        add(f, 1, i, 20);
    assert_int_equal(look(f, 1), FM_RECEIPTS_OF_ONE_MAX);
    assert_int_equal(f->numbers[0], FM_RECEIPTS_OF_ONE_MAX + 4);
    assert_int_equal(f->numbers[FM_RECEIPTS_OF_ONE_MAX - 1], 5);
    assert_int_equal(look(f, 7), 1); /* Another's are not touched. */
}

static void one_has_so_many_bytes(void **state)
{
    struct fixture *f = *state;
    size_t third = FM_RECEIPTS_OF_ONE_BYTES_MAX / 3;

    for (uint32_t i = 0; i < 10; i++)
        add(f, 1, i, third);
    assert_int_equal(look(f, 1), 2); /* There is more than text. */
    assert_int_equal(f->numbers[0], 9);
    add(f, 1, 10, FM_RECEIPTS_OF_ONE_BYTES_MAX); /* Fits never, and pushes nothing out. */
    assert_int_equal(look(f, 1), 2);
}

static void all_have_so_many(void **state)
{
    struct fixture *f = *state;
    uint32_t principals = FM_RECEIPTS_MAX / 8 + 2, all = 0;

    for (uint32_t i = 0; i < principals * 8; i++)
        add(f, i / 8, i, 20);
    for (uint32_t i = 0; i < principals; i++)
        all += look(f, i);
    assert_int_equal(all, FM_RECEIPTS_MAX);
    assert_int_equal(look(f, 0), 0);
    assert_int_equal(look(f, 1), 0);
    assert_int_equal(look(f, 2), 8);
}

static void all_have_so_many_bytes(void **state)
{
    struct fixture *f = *state;
    size_t each = FM_RECEIPTS_OF_ONE_BYTES_MAX / 2 - 1024, bytes = 0;

    for (uint32_t i = 0; i < 3 * (FM_RECEIPTS_BYTES_MAX / FM_RECEIPTS_OF_ONE_BYTES_MAX); i++)
        add(f, i, i, each);
    for (uint32_t i = 0; i < 3 * (FM_RECEIPTS_BYTES_MAX / FM_RECEIPTS_OF_ONE_BYTES_MAX); i++) {
        look(f, i);
        bytes += f->bytes;
    }
    assert_true(bytes <= FM_RECEIPTS_BYTES_MAX);
    assert_true(bytes > FM_RECEIPTS_BYTES_MAX - 2 * each);
}

#define EMPTY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(the_latest_comes_first_and_only_to_its_principal),
        EMPTY(the_oldest_of_one_goes_for_its_latest),
        EMPTY(one_has_so_many_bytes),
        EMPTY(all_have_so_many),
        EMPTY(all_have_so_many_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
