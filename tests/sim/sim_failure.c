/* Crashes, false suspicions, pauses, farewells. */
#include "tests/support/sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/assert.h"
#include "gossip/wire.h"

#define FAIL(what, seed) fail_msg("%s: replay with FM_SEED=%" PRIu64, (what), (seed))

static void start(struct sim *sim, const struct sim_options *options)
{
    sim_reset(sim, options);
    sim_start_all(sim);
    if (!sim_run_until(sim, sim_all_views_agree, 10000))
        FAIL("views differ at the start", options->seed);
}

static void crash(struct sim *sim, uint32_t nodes, uint32_t loss_pct, fm_ms within_ms,
                  uint64_t seeds, const char *what)
{
    struct sim_times times = {.count = 0};
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(seeds); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = nodes, .loss_pct = loss_pct});
        sim_run(sim, 3000);
        sim_crash(sim, nodes - 1);
        fm_ms begin = sim_now(sim);
        if (!sim_run_until(sim, sim_all_views_agree, within_ms))
            FAIL("the crash is not seen by all", seed);
        sim_times_add(&times, sim_now(sim) - begin);
        sim_counters(sim, &counters);
        if (counters.false_deaths != 0)
            FAIL("a false death", seed);
    }
    sim_times_print(&times, what);
}

static void sim_crash_is_seen_by_two_others(void **state)
{
    crash(*state, 3, 0, 8000, 50, "crash, 3 nodes");
}

static void sim_crash_is_seen_by_nine_others_with_loss(void **state)
{
    crash(*state, 10, 5, 12000, 20, "crash, 10 nodes, 5 % loss");
}

static void sim_crash_is_seen_by_forty_nine_others(void **state)
{
    crash(*state, 50, 1, 15000, 3, "crash, 50 nodes, 1 % loss");
}

/* A crashed node starts again: others had it dead, and its record is newer. */
static void sim_restart_has_a_higher_incarnation(void **state)
{
    struct sim *sim = *state;
    struct sim_times times = {.count = 0};

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5, .loss_pct = 5});
        uint64_t before = sim_incarnation(sim, 3);
        sim_crash(sim, 3);
        sim_run(sim, 15000);
        assert_int_equal(sim_state(sim, 1, 3), GOSSIP_DEAD);
        fm_ms begin = sim_now(sim);
        sim_start(sim, 3);
        if (!sim_run_until(sim, sim_all_views_agree, 10000))
            FAIL("the restart is not seen by all", seed);
        sim_times_add(&times, sim_now(sim) - begin);
        assert_true(sim_incarnation(sim, 3) > before);
    }
    sim_times_print(&times, "restart, 5 nodes, 5 % loss");
}

/* The same at once, before anybody noticed, and without its incarnation: it is told. */
static void sim_restart_without_memory_learns_its_incarnation(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5});
        for (int i = 0; i < 3; i++) {
            sim_crash(sim, 3);
            sim_start(sim, 3);
            sim_run(sim, 2000);
        }
        uint64_t before = sim_incarnation(sim, 3);
        sim_crash(sim, 3);
        sim_start_forgetful(sim, 3);
        if (!sim_run_until(sim, sim_all_views_agree, 15000))
            FAIL("the restart is not seen by all", seed);
        assert_true(sim_incarnation(sim, 3) > before);
    }
}

/* Every node is lost and comes back with what it saved; no seed is given. */
static void sim_all_restart_from_their_saved_members(void **state)
{
    struct sim *sim = *state;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5, .loss_pct = 5});
        for (uint32_t i = 0; i < 5; i++)
            sim_crash(sim, i);
        sim_run(sim, 1000);
        for (uint32_t i = 0; i < 5; i++)
            sim_restart_saved(sim, i);
        if (!sim_run_until(sim, sim_all_views_agree, 15000))
            FAIL("views differ", seed);
    }
}

/* A member that is well is accused by one liar in the names of two others, again and again: it
 * refutes, and nobody that can reach it believes it dead. */
static void sim_false_accusations_are_refuted(void **state)
{
    struct sim *sim = *state;
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 6});
        uint64_t before = sim_incarnation(sim, 2);
        for (uint32_t round = 0; round < 20; round++) {
            uint8_t bytes[FM_PACKET_BYTES_MAX];
            struct wire_writer writer;
            wire_begin(&writer, bytes, WIRE_NEWS, 0);
            for (uint32_t accuser = 3; accuser < 5; accuser++) {
                struct wire_accuse accuse = {.state = GOSSIP_DEAD,
                                             .incarnation = sim_incarnation(sim, 2)};
                sim_node_id(sim, 2, &accuse.accused);
                sim_node_id(sim, accuser, &accuse.accuser);
                assert_true(wire_put_accuse(&writer, &accuse));
            }
            sim_inject(sim, round % 2, 5, fm_span(bytes, writer.len));
            sim_run(sim, 500);
        }
        if (!sim_run_until(sim, sim_all_views_agree, 5000))
            FAIL("views differ", seed);
        sim_counters(sim, &counters);
        if (counters.false_deaths != 0)
            FAIL("a lie was believed", seed);
        assert_true(counters.suspicions > 0);
        assert_true(sim_incarnation(sim, 2) > before);
    }
}

/* Two nodes that cannot hear each other, but all others: indirect probes keep them alive. */
static void sim_indirect_probes_bridge_a_broken_link(void **state)
{
    struct sim *sim = *state;
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5});
        sim_cut(sim, 1, 2, true);
        sim_run(sim, 60000);
        sim_counters(sim, &counters);
        if (counters.suspicions != 0 || !sim_all_views_agree(sim))
            FAIL("the broken link is blamed on a node", seed);
    }
}

/* A quarter of all packets is lost for a minute: nobody may be declared dead. */
static void sim_heavy_loss_kills_nobody(void **state)
{
    struct sim *sim = *state;
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(10); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 10});
        sim_set_loss(sim, 25);
        sim_run(sim, 60000);
        sim_set_loss(sim, 0);
        if (!sim_run_until(sim, sim_all_views_agree, 10000))
            FAIL("views differ", seed);
        sim_counters(sim, &counters);
        if (counters.false_deaths != 0)
            FAIL("a false death", seed);
    }
}

/* A node that stands still for ten seconds wakes up with a probe unanswered and suspicions overdue:
 * it must not blame the others, and comes back from being thought dead itself. */
static void sim_paused_node_blames_nobody(void **state)
{
    struct sim *sim = *state;
    struct sim_counters before, after;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 5});
        sim_run(sim, 1500);
        sim_pause(sim, 4, 10000);
        sim_run(sim, 9900);
        sim_counters(sim, &before);
        if (!sim_run_until(sim, sim_all_views_agree, 5000))
            FAIL("views differ", seed);
        sim_counters(sim, &after);
        if (after.suspicions != before.suspicions)
            FAIL("the paused node suspects others", seed);
    }
}

static void sim_farewell_reaches_all(void **state)
{
    struct sim *sim = *state;
    struct sim_times times = {.count = 0};
    struct sim_counters counters;

    for (uint64_t seed = sim_seed_first(); seed < sim_seed_end(20); seed++) {
        start(sim, &(struct sim_options){.seed = seed, .node_count = 8, .loss_pct = 5});
        fm_ms begin = sim_now(sim);
        sim_leave(sim, 5);
        if (!sim_run_until(sim, sim_all_views_agree, 5000))
            FAIL("the farewell is not known to all", seed);
        sim_times_add(&times, sim_now(sim) - begin);
        sim_run(sim, 30000);
        sim_counters(sim, &counters);
        if (counters.deaths != 0 || !sim_all_views_agree(sim))
            FAIL("who left is not forgotten nor blamed", seed);
        sim_start(sim, 5);
        if (!sim_run_until(sim, sim_all_views_agree, 10000))
            FAIL("who left may come back", seed);
    }
    sim_times_print(&times, "leave, 8 nodes, 5 % loss");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sim_crash_is_seen_by_two_others),
        TEST(sim_crash_is_seen_by_nine_others_with_loss),
        TEST(sim_crash_is_seen_by_forty_nine_others),
        TEST(sim_restart_has_a_higher_incarnation),
        TEST(sim_restart_without_memory_learns_its_incarnation),
        TEST(sim_all_restart_from_their_saved_members),
        TEST(sim_false_accusations_are_refuted),
        TEST(sim_indirect_probes_bridge_a_broken_link),
        TEST(sim_heavy_loss_kills_nobody),
        TEST(sim_paused_node_blames_nobody),
        TEST(sim_farewell_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
