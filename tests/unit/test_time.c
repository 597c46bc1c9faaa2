/* The hybrid logical clock of a log. */
#include "core/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The wall clock leads while it moves on. */
static void hlc_follows_the_clock(void **state)
{
    (void)state;
    fm_us last = 0;

    assert_int_equal(fm_hlc_next(&last, 1000, 0), 1000);
    assert_int_equal(fm_hlc_next(&last, 2000, 0), 2000);
    assert_int_equal(last, 2000);
}

/* The clock stands still, then is set back by an hour: times still rise, by one each. */
static void hlc_never_repeats_or_goes_back(void **state)
{
    (void)state;
    fm_us last = 5000000000;

    assert_int_equal(fm_hlc_next(&last, 5000000000, 0), 5000000001);
    assert_int_equal(fm_hlc_next(&last, 5000000000, 0), 5000000002);
    assert_int_equal(fm_hlc_next(&last, 1400000000, 0), 5000000003);
    assert_int_equal(fm_hlc_next(&last, 5000000100, 0), 5000000100);
}

/* What was seen of others came before what is recorded now. */
static void hlc_passes_what_it_has_seen(void **state)
{
    (void)state;
    fm_us last = 10;

    assert_int_equal(fm_hlc_next(&last, 100, 900), 901);
    assert_int_equal(fm_hlc_next(&last, 100, 900), 902);
    assert_int_equal(fm_hlc_next(&last, 2000, 900), 2000);
}

static void hlc_rises_over_any_inputs(void **state)
{
    (void)state;
    fm_us last = 0;
    uint64_t random = 1;

    for (int i = 0; i < 10000; i++) {
        fm_us before = last;
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        fm_us now = (fm_us)(random >> 44);
        fm_us seen = (fm_us)(random & 0xfffff);
        fm_us next = fm_hlc_next(&last, now, seen);
        assert_true(next > before && next >= now && next > seen && next == last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hlc_follows_the_clock),
        cmocka_unit_test(hlc_never_repeats_or_goes_back),
        cmocka_unit_test(hlc_passes_what_it_has_seen),
        cmocka_unit_test(hlc_rises_over_any_inputs),
    };
    return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
