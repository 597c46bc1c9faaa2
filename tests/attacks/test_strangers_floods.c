/* Many connections and large announcements from nobody: the node's memory stays bounded, who means
 * well is served meanwhile, and what is silent is hung up on. */
#include "core/limits.h"
#include "tests/support/live_mesh.h"
#include "tests/support/raw_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SILENT 600u
#define HELD_BACK 500u
#define GOOD_MS 2500 /* A whole run of the program, also on a busy machine. */

struct fixture {
    struct live_mesh *mesh;
    struct live_node *node;
    int fds[2 * SILENT];
    uint32_t count;
};

/* The node gets the limit that most shells give, this program what it needs. */
static void allow_fds(rlim_t soft)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    allow_fds(1024);
    f->mesh = live_mesh_new();
    f->node = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->node);
    live_publish(f->mesh, f->node, 100);
    allow_fds(4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

static int hang_up(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < f->count; i++)
        (void)close(f->fds[i]);
    f->count = 0;
    return 0;
}

/* A whole query by the program; how long it took. */
static fm_ms query(struct fixture *f)
{
    fm_ms start = fm_now_ms();
    char *rows = live_output(f->mesh, "alpha-team", f->node,
                             (const char *const[]){"query", "SELECT count(*) FROM alpha.items",
                                                   "--format", "csv", "--no-receipts", NULL});
    assert_non_null(strstr(rows, "\n100\n"));
    free(rows);
    return fm_now_ms() - start;
}

static void assert_good_client(struct fixture *f, const char *when)
{
    fm_ms took = query(f);

    print_message("%s: answered in %lld ms\n", when, (long long)took);
    if (took > GOOD_MS)
        fail_msg("a good client waits %lld ms %s", (long long)took, when);
}

static uint32_t count_closed(struct fixture *f, fm_ms ms)
{
    fm_ms end = fm_now_ms() + ms;
    uint32_t closed = 0;

    for (uint32_t i = 0; i < f->count; i++)
        closed +=
            raw_wait_closed(f->fds[i], end > fm_now_ms() ? end - fm_now_ms() : 1) == RAW_CLOSED;
    return closed;
}

/* Lengths beyond the limit end the connection before a byte is kept for them. */
static void long_announcements_reserve_nothing(void **state)
{
    static const uint64_t lengths[] = {
        (uint64_t)FM_MESSAGE_BYTES_MAX + 1,
        UINT64_C(1) << 33,
        UINT64_C(1) << 40,
        UINT64_C(1) << 63,
        UINT64_MAX,
    };
    struct fixture *f = *state;
    struct live_usage before = live_usage(f->node->pid);

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (uint32_t k = 0; k < 20; k++) {
            int fd = raw_open(f->node->port);
            raw_length(fd, lengths[i]);
            raw_bytes(fd, "\x80\0\0\1", 4);
            assert_int_equal(raw_wait_closed(fd, 3000), RAW_CLOSED);
            (void)close(fd);
        }
    struct live_usage after = live_usage(f->node->pid);
    print_message("long announcements: memory %llu KiB before, %llu KiB after\n",
                  (unsigned long long)before.rss_kib, (unsigned long long)after.rss_kib);
    live_assert_growth(&before, &after, 16);
    assert_good_client(f, "after long announcements");
}

/* Connections that say nng's greeting and nothing more. */
static void silent_connections_are_closed(void **state)
{
    struct fixture *f = *state;
    fm_ms start = fm_now_ms();

    for (uint32_t i = 0; i < SILENT; i++) {
        int fd = raw_dial(f->node->port);
        assert_true(fd >= 0);
        (void)raw_greet(fd); /* Refused ones are closed at once. */
        f->fds[f->count++] = fd;
    }
    assert_good_client(f, "beside 600 silent connections");
    assert_good_client(f, "beside 600 silent connections, again");
    assert_int_equal(count_closed(f, start + FM_HANDSHAKE_MS_MAX + 5000 - fm_now_ms()), SILENT);
    (void)hang_up(state); /* Cannot fail. */
    assert_good_client(f, "after 600 silent connections");
}

/* Connections that do not even greet: more of them than the node could open files by default. */
static void mute_connections_shut_nobody_out(void **state)
{
    struct fixture *f = *state;
    fm_ms start = fm_now_ms();

    for (uint32_t i = 0; i < 2 * SILENT; i++) {
        int fd = raw_dial(f->node->port);
        assert_true(fd >= 0);
        f->fds[f->count++] = fd;
    }
    assert_good_client(f, "beside 1200 mute connections");
    /* nng waits ten seconds for a greeting, once it has accepted. */
    assert_int_equal(count_closed(f, start + 25000 - fm_now_ms()), 2 * SILENT);
    (void)hang_up(state); /* Cannot fail. */
    assert_good_client(f, "after 1200 mute connections");
}

static void hold_back(struct fixture *f, const uint8_t *bytes)
{
    for (uint32_t i = 0; i < HELD_BACK; i++) {
        int fd = raw_dial(f->node->port);
        assert_true(fd >= 0);
        f->fds[f->count++] = fd;
        if (!raw_greet(fd))
            continue;
        raw_length(fd, FM_MESSAGE_BYTES_MAX);
        raw_bytes(fd, bytes, FM_MESSAGE_BYTES_MAX - 1);
    }
}

/* The largest messages, all but their last byte: trust.md allows 170 MiB in all for strangers. */
static void messages_held_back_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = calloc(1, FM_MESSAGE_BYTES_MAX);
    struct live_usage peak[2];

    assert_non_null(bytes);
    bytes[0] = 0x80;
    struct live_usage before = live_usage(f->node->pid);
    for (uint32_t round = 0; round < 2; round++) {
        hold_back(f, bytes);
        peak[round] = live_usage(f->node->pid);
        assert_good_client(f, "beside 500 messages held back");
        assert_int_equal(count_closed(f, FM_HANDSHAKE_MS_MAX + 5000), HELD_BACK);
        (void)hang_up(state); /* Cannot fail. */
    }
    free(bytes);
    usleep(2200000); /* The node tidies up once a second. */
    struct live_usage after = live_usage(f->node->pid);
    print_message("held back: memory %llu KiB before, %llu and %llu during, %llu after\n",
                  (unsigned long long)before.rss_kib, (unsigned long long)peak[0].rss_kib,
                  (unsigned long long)peak[1].rss_kib, (unsigned long long)after.rss_kib);
    live_assert_growth(&before, &peak[0], 170);
    live_assert_growth(&before, &peak[1], 170);
    live_assert_growth(&before, &after, 24);
}

/* Nothing of all this stays behind. */
static void descriptors_are_given_back(void **state)
{
    struct fixture *f = *state;
    struct live_usage usage = live_usage(f->node->pid);
    fm_ms end = fm_now_ms() + 5000;

    while (usage.fds > 200 && fm_now_ms() < end) {
        usleep(100000);
        usage = live_usage(f->node->pid);
    }
    print_message("at last: %u descriptors, %u threads, %llu KiB\n", usage.fds, usage.threads,
                  (unsigned long long)usage.rss_kib);
    assert_true(usage.fds <= 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_announcements_reserve_nothing),
        cmocka_unit_test_teardown(silent_connections_are_closed, hang_up),
        cmocka_unit_test_teardown(mute_connections_shut_nobody_out, hang_up),
        cmocka_unit_test_teardown(messages_held_back_are_bounded, hang_up),
        cmocka_unit_test(descriptors_are_given_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
