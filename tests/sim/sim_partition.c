/* A mesh falls in two and comes together again, with nobody's help. */
#include "tests/support/sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAIL(what, seed) fail_msg("%s: replay with FM_SEED=%" PRIu64, (what), (seed))

static void split(struct sim *sim, const struct sim_options *shape, uint64_t mask, fm_ms split_ms,
                  fm_ms within_ms, uint64_t seeds, const char *what)
{
    struct sim_times times = {.count = 0};

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(seeds); seed++) {
        struct sim_options options = *shape;
        options.seed = seed;
        sim_reset(sim, &options);
        sim_start_all(sim);
        if (!sim_run_until(sim, sim_all_views_agree, 10000))
            FAIL("views differ at the start", seed);
        sim_split(sim, mask);
        sim_run(sim, split_ms);
        sim_heal(sim);
        fm_ms begin = sim_now(sim);
        if (!sim_run_until(sim, sim_all_views_agree, within_ms))
            FAIL("views differ after healing", seed);
        sim_times_add(&times, sim_now(sim) - begin);
    }
    sim_times_print(&times, what);
}

/* Two of five nodes are cut off for 30 s. */
static void sim_views_agree_after_partition(void **state)
{
    const struct sim_options shape = {.node_count = 5, .loss_pct = 5};
    split(*state, &shape, 0x03, 30000, 60000, 20, "heal, 2 of 5, 30 s, 5 % loss");
}

/* One of three is cut off for ten minutes: retries have become rare by then. */
static void sim_views_agree_after_a_long_partition(void **state)
{
    const struct sim_options shape = {.node_count = 3};
    split(*state, &shape, 0x02, 600000, 70000, 20, "heal, 1 of 3, 600 s");
}

static void sim_halves_of_twenty_agree(void **state)
{
    const struct sim_options shape = {.node_count = 20, .loss_pct = 2};
    split(*state, &shape, 0x3ff, 90000, 30000, 10, "heal, 10 of 20, 90 s, 2 % loss");
}

/* Each side publishes while it is cut off; a table is full of nodes that are alive. */
static void sim_records_of_both_sides_meet(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        sim_reset(sim, &(struct sim_options){.seed = seed, .node_count = 6, .member_max = 6});
        sim_start_all(sim);
        if (!sim_run_until(sim, sim_all_views_agree, 10000))
            FAIL("views differ at the start", seed);
        sim_split(sim, 0x07);
        sim_publish(sim, 1, 1, 1);
        sim_publish(sim, 4, 1, 1);
        sim_run(sim, 40000);
        sim_publish(sim, 1, 1, 2);
        sim_heal(sim);
        if (!sim_run_until(sim, sim_all_agree, 70000))
            FAIL("records or views differ", seed);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sim_views_agree_after_partition),
        TEST(sim_views_agree_after_a_long_partition),
        TEST(sim_halves_of_twenty_agree),
        TEST(sim_records_of_both_sides_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
