/* What fragments brought, kept: given back in the answer's order whatever the order it came in, and
 * never more of it than the bounds allow. */
#include "node/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct fm_spools spools;
    struct fm_spool *spool;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/folkmoot-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->spools = (struct fm_spools){.dir = f->dir, .bytes_max = 1000, .total_max = 1500};
    assert_int_equal(fm_spool_open(&f->spools, &f->spool, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_spool_free(f->spool);
    assert_int_equal(f->spools.total, 0);
    assert_int_equal(rmdir(f->dir), 0); /* Only possible when it is empty. */
    free(f);
    return 0;
}

static enum fm_status add(struct fixture *f, uint32_t fragment, const char *text)
{
    return fm_spool_add(f->spool, fragment, fm_span_str(text), &f->err);
}

static void expect_next(struct fixture *f, const char *text)
{
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);

    assert_int_equal(fm_spool_next(f->spool, &batch, &f->err), FM_OK);
    if (!fm_span_equal(fm_buf_span(&batch), fm_span_str(text)))
        fail_msg("not %s but %.*s", text, (int)batch.len, (const char *)batch.data);
}

static void batches_come_back_by_fragment(void **state)
{
    struct fixture *f = *state;
    struct fm_buf none = FM_BUF_INIT(0);

    assert_int_equal(add(f, 2, "c1"), FM_OK);
    assert_int_equal(add(f, 63, "last"), FM_OK);
    assert_int_equal(add(f, 0, "given up"), FM_OK);
    assert_int_equal(add(f, 1, "without a receipt"), FM_OK);
    fm_spool_forget(f->spool, 0);
    assert_int_equal(add(f, 0, "a1"), FM_OK);
    assert_int_equal(add(f, 2, "c2"), FM_OK);
    fm_spool_forget(f->spool, 1);
    static const char *const wanted[] = {"a1", "c1", "c2", "last"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        expect_next(f, wanted[i]);
    assert_int_equal(fm_spool_next(f->spool, &none, &f->err), FM_NOTFOUND);
}

/* More than one read of the file takes at a time, and more batches than places at first. */
static void large_and_many_batches_come_back(void **state)
{
    struct fixture *f = *state;
    static uint8_t large[200000];
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);

    f->spools.bytes_max = f->spools.total_max = 1u << 20;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7 + i / 65536);
    assert_int_equal(fm_spool_add(f->spool, 0, fm_span(large, sizeof large), &f->err), FM_OK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(add(f, 1, i % 2 == 0 ? "even" : "odd"), FM_OK);
    assert_int_equal(fm_spool_next(f->spool, &batch, &f->err), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&batch), fm_span(large, sizeof large)));
    for (unsigned i = 0; i < 100; i++)
        expect_next(f, i % 2 == 0 ? "even" : "odd");
}

static void one_query_keeps_only_so_much(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[1001];

    assert_int_equal(fm_spool_add(f->spool, 0, fm_span(bytes, 1001), &f->err), FM_LIMIT);
    assert_int_equal(fm_spool_add(f->spool, 0, fm_span(bytes, 999), &f->err), FM_OK);
    assert_int_equal(fm_spool_add(f->spool, 1, fm_span(bytes, 2), &f->err), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "the fragments of this query are larger than"));
    assert_int_equal(fm_spool_add(f->spool, 1, fm_span(bytes, 1), &f->err), FM_OK);
}

static void all_queries_keep_only_so_much(void **state)
{
    struct fixture *f = *state;
    struct fm_spool *other = NULL;
    static uint8_t bytes[1000];

    assert_int_equal(fm_spool_add(f->spool, 0, fm_span(bytes, 1000), &f->err), FM_OK);
    assert_int_equal(fm_spool_open(&f->spools, &other, &f->err), FM_OK);
    assert_int_equal(fm_spool_add(other, 0, fm_span(bytes, 501), &f->err), FM_LIMIT);
    assert_non_null(strstr(f->err.text, "of all queries are larger than"));
    assert_int_equal(fm_spool_add(other, 0, fm_span(bytes, 500), &f->err), FM_OK);
    fm_spool_free(FM_TAKE(f->spool)); /* Makes room. */
    assert_int_equal(fm_spool_add(other, 0, fm_span(bytes, 500), &f->err), FM_OK);
    fm_spool_free(other);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;
    struct fm_spools nowhere = {.dir = "/nonexistent/folder"};
    struct fm_spool *spool = NULL;

    assert_int_equal(fm_spool_open(&nowhere, &spool, &f->err), FM_IO);
    assert_non_null(strstr(f->err.text, "/nonexistent/folder"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_come_back_by_fragment),      TEST(large_and_many_batches_come_back),
        TEST(one_query_keeps_only_so_much),       TEST(all_queries_keep_only_so_much),
        TEST(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
