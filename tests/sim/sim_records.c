/* Records reach every node, however many packets are lost, and one seed gives one run. */
#include "tests/support/sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAIL(what, seed) fail_msg("%s: replay with FM_SEED=%" PRIu64, (what), (seed))

static void start(struct sim *sim, const struct sim_options *options)
{
    sim_reset(sim, options);
    sim_start_all(sim);
    if (!sim_run_until(sim, sim_all_views_agree, 20000))
        FAIL("views differ at the start", options->seed);
}

static void spread(struct sim *sim, const struct sim_options *shape, fm_ms within_ms,
                   uint64_t seeds, const char *what)
{
    struct sim_times times = {.count = 0};

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(seeds); seed++) {
        struct sim_options options = *shape;
        options.seed = seed;
        options.loss_pct = 0; /* With loss some node is suspected somewhere at almost any time. */
        start(sim, &options);
        sim_run(sim, 20000);
        sim_set_loss(sim, shape->loss_pct);
        sim_publish(sim, 0, 7, 1);
        fm_ms begin = sim_now(sim);
        if (!sim_run_until(sim, sim_all_records_agree, within_ms))
            FAIL("a record is missing", seed);
        sim_times_add(&times, sim_now(sim) - begin);
    }
    sim_times_print(&times, what);
}

static void sim_record_reaches_three_nodes(void **state)
{
    const struct sim_options shape = {.node_count = 3};
    spread(*state, &shape, 1000, 50, "record, 3 nodes");
}

static void sim_record_reaches_twenty_five_nodes(void **state)
{
    const struct sim_options shape = {.node_count = 25};
    spread(*state, &shape, 2000, 10, "record, 25 nodes");
}

static void sim_record_reaches_all_with_heavy_loss(void **state)
{
    const struct sim_options shape = {
        .node_count = 25, .loss_pct = 25, .session_loss_pct = 25, .duplicate_pct = 5};
    spread(*state, &shape, 15000, 10, "record, 25 nodes, 25 % loss");
}

/* One node publishes a thousand records while others join: members are not starved, nor records. */
static void sim_storm_of_records_hides_nothing(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(3); seed++) {
        sim_reset(sim, &(struct sim_options){
                           .seed = seed, .node_count = 10, .loss_pct = 2, .record_max = 2048});
        for (uint32_t i = 0; i < 6; i++)
            sim_start(sim, i);
        sim_run(sim, 5000);
        for (uint32_t name = 0; name < 1000; name++)
            sim_publish(sim, 1, name, 1);
        for (uint32_t i = 6; i < 10; i++)
            sim_start(sim, i);
        sim_publish(sim, 2, 1, 1);
        if (!sim_run_until(sim, sim_all_views_agree, 5000))
            FAIL("records hide members", seed);
        if (!sim_run_until(sim, sim_all_records_agree, 60000))
            FAIL("records are missing", seed);
    }
}

/* A node that was away gets what it missed, also new versions of what it had. */
static void sim_newcomer_catches_up(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5, .loss_pct = 5});
        for (uint32_t name = 0; name < 20; name++)
            sim_publish(sim, name % 4, name, 1);
        if (!sim_run_until(sim, sim_all_records_agree, 20000))
            FAIL("records are missing at the start", seed);
        sim_crash(sim, 4);
        for (uint32_t name = 0; name < 20; name += 3)
            sim_publish(sim, name % 4, name, 2);
        sim_run(sim, 30000);
        sim_restart_saved(sim, 4);
        if (!sim_run_until(sim, sim_all_agree, 20000))
            FAIL("the newcomer lacks something", seed);
    }
}

/* Everything at once, twice from one seed and once from another. */
static uint64_t eventful_run(struct sim *sim, uint64_t seed)
{
    sim_reset(sim, &(struct sim_options){.seed = seed,
                                         .node_count = 12,
                                         .seed_nodes = 2,
                                         .loss_pct = 10,
                                         .duplicate_pct = 10,
                                         .session_loss_pct = 10,
                                         .delay_ms_min = 1,
                                         .delay_ms_max = 300});
    sim_start_all(sim);
    sim_run(sim, 5000);
    sim_publish(sim, 3, 1, 1);
    sim_split(sim, 0x0f0);
    sim_publish(sim, 5, 1, 1);
    sim_run(sim, 20000);
    sim_crash(sim, 7);
    sim_pause(sim, 8, 5000);
    sim_heal(sim);
    sim_leave(sim, 9);
    sim_run(sim, 10000);
    sim_restart_saved(sim, 7);
    sim_run(sim, 20000);
    return sim_trace_hash(sim);
}

static void sim_one_seed_gives_one_trace(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(5); seed++) {
        uint64_t first = eventful_run(sim, seed);
        uint64_t second = eventful_run(sim, seed);
        uint64_t other = eventful_run(sim, seed + 1000);
        if (first != second)
            FAIL("two runs of one seed differ", seed);
        assert_true(first != other);
    }
}

/* The same, and then everything heals and everybody has to agree. */
static void sim_all_agree_after_an_eventful_run(void **state)
{
    struct sim *sim = *state;
    struct sim_times times = {.count = 0};

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(30); seed++) {
        (void)eventful_run(sim, seed);
        sim_set_loss(sim, 0);
        fm_ms begin = sim_now(sim);
        if (!sim_run_until(sim, sim_all_agree, 60000))
            FAIL("views or records differ", seed);
        sim_times_add(&times, sim_now(sim) - begin);
    }
    sim_times_print(&times, "agreement after an eventful run, 12 nodes");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sim_record_reaches_three_nodes),
        TEST(sim_record_reaches_twenty_five_nodes),
        TEST(sim_record_reaches_all_with_heavy_loss),
        TEST(sim_storm_of_records_hides_nothing),
        TEST(sim_newcomer_catches_up),
        TEST(sim_one_seed_gives_one_trace),
        TEST(sim_all_agree_after_an_eventful_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
