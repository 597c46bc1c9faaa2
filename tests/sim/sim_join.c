/* Nodes that start together and know one address each find all the others. */
#include "tests/support/sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAIL(what, seed) fail_msg("%s: replay with FM_SEED=%" PRIu64, (what), (seed))

static void join(struct sim *sim, uint32_t nodes, uint32_t loss_pct, fm_ms within_ms,
                 uint64_t seeds, const char *what)
{
    struct sim_times times = {.count = 0};
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(seeds); seed++) {
        sim_reset(sim, &(struct sim_options){.seed = seed,
                                             .node_count = nodes,
                                             .loss_pct = loss_pct,
                                             .duplicate_pct = loss_pct,
                                             .session_loss_pct = loss_pct});
        sim_start_all(sim);
        if (!sim_run_until(sim, sim_all_views_agree, within_ms))
            FAIL("views differ", seed);
        sim_times_add(&times, sim_now(sim));
        sim_run(sim, 5000);
        sim_counters(sim, &counters);
        if (counters.false_deaths != 0 || !sim_all_views_agree(sim))
            FAIL("views do not stay", seed);
    }
    sim_times_print(&times, what);
}

/* Three nodes, the demo's size. */
static void sim_three_nodes_join_through_one(void **state)
{
    join(*state, 3, 0, 2000, 50, "join, 3 nodes");
}

static void sim_ten_nodes_join_with_loss(void **state)
{
    join(*state, 10, 5, 5000, 30, "join, 10 nodes, 5 % loss");
}

static void sim_fifty_nodes_join_through_one(void **state)
{
    join(*state, 50, 1, 6000, 3, "join, 50 nodes, 1 % loss");
}

/* The seed starts ten seconds after the others, which go on asking. */
static void sim_seed_may_start_last(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        sim_reset(sim, &(struct sim_options){.seed = seed, .node_count = 5});
        for (uint32_t i = 1; i < 5; i++)
            sim_start(sim, i);
        sim_run(sim, 10000);
        sim_start(sim, 0);
        if (!sim_run_until(sim, sim_all_views_agree, 15000))
            FAIL("views differ", seed);
    }
}

/* Two islands, each with its own seed running; node 5 knows both seeds. */
static void sim_one_node_with_both_seeds_joins_two_islands(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        sim_reset(sim, &(struct sim_options){.seed = seed, .node_count = 6, .seed_nodes = 2});
        sim_split(sim, 0x15);
        sim_start_all(sim);
        sim_run(sim, 5000);
        sim_heal(sim);
        if (!sim_run_until(sim, sim_all_views_agree, 90000))
            FAIL("views differ", seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sim_three_nodes_join_through_one, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(sim_ten_nodes_join_with_loss, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(sim_fifty_nodes_join_through_one, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(sim_seed_may_start_last, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(sim_one_node_with_both_seeds_joins_two_islands, sim_setup,
                                        sim_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
