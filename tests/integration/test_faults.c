/* Processes that die, hang and vanish while queries run, and many queries at once: an error that
 * names who is missing within seconds, never a shorter answer; and nothing stays behind. */
#include "include/folkmoot.h"
#include "tests/support/live_mesh.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 60000u /* Of alpha.items; beta.items has a hundred. */
#define AT_ONCE 64u
#define LEASE_MS 30000

/* All rows come from alpha's own worker, and never end. */
#define STREAM_OF_OWNER "SELECT x.id, y.id, y.text FROM alpha.items x, alpha.items y"
/* Rows of both meet in a worker of beta. */
#define STREAM_MERGED "SELECT x.id, x.text, y.text FROM alpha.items x, beta.items y"
/* No row before the end, which is far away. */
#define LONG_COUNT                                                                                 \
    "SELECT count(*) FROM alpha.items x, alpha.items y WHERE (x.id * 7 + y.id * 3) % 11 = 5"

struct stream { /* A query that this process reads. */
    struct folkmoot *handle;
    struct folkmoot_result *result;
};

struct fixture {
    struct stream stream; /* Of the test at work. */
    struct live_mesh *mesh;
    struct live_node *alpha;
    struct live_node *beta;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->mesh = live_mesh_new();
    /* What is counted is what a query holds, without workers that wait for another. */
    f->alpha = live_make_node(f->mesh, "alpha");
    live_configure(f->mesh, "alpha", "workers_warm_ms: 0\n");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_configure(f->mesh, "beta", "workers_warm_ms: 0\n");
    live_start(f->mesh, f->beta);
    live_publish(f->mesh, f->alpha, ROWS);
    live_publish(f->mesh, f->beta, 100);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->alpha, 2, 2);
    live_wait(f->mesh, "reader", f->beta, 2, 2);
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

/* ---- Asking ---------------------------------------------------------------------------------- */

static void stream_open(struct fixture *f, const struct live_node *node, const char *sql,
                        uint32_t timeout_ms)
{
    struct stream *out = &f->stream;
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot_options options = {
        .node = node->address,
        .identity = live_path(f->mesh, "reader", path),
        .timeout_ms = timeout_ms,
    };

    *out = (struct stream){.result = NULL};
    if (folkmoot_open(&options, &out->handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
    if (folkmoot_query(out->handle, sql, strlen(sql), NULL, &out->result) != FOLKMOOT_OK ||
        folkmoot_result_next(out->result) != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(out->handle));
    assert_true(folkmoot_result_rows(out->result) > 0);
}

/* Read on until it fails, which it must within `ms`; its end must not come. */
static enum folkmoot_status stream_fail(struct stream *stream, fm_ms ms)
{
    fm_ms end = fm_now_ms() + ms;
    enum folkmoot_status status = FOLKMOOT_OK;

    while (status == FOLKMOOT_OK) {
        if (fm_now_ms() > end)
            fail_msg("no error within %lld ms", (long long)ms);
        status = folkmoot_result_next(stream->result);
        if (status == FOLKMOOT_OK && folkmoot_result_rows(stream->result) == 0)
            fail_msg("the answer ended");
    }
    return status;
}

/* Also each test's teardown. */
static int stream_close(void **state)
{
    struct fixture *f = *state;

    folkmoot_result_free(f->stream.result);
    folkmoot_close(f->stream.handle);
    f->stream = (struct stream){.result = NULL};
    return 0;
}

static void query(struct fixture *f, const struct live_node *node, const char *sql,
                  const char *timeout, struct live_result *result)
{
    live_cli(f->mesh, "reader", node,
             (const char *const[]){"query", sql, "--format", "csv", "--no-receipts", "--timeout",
                                   timeout, NULL},
             result);
}

static void assert_answers(struct fixture *f, const struct live_node *node, const char *table,
                           const char *count)
{
    struct live_result result;
    char sql[128];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) AS n FROM %s", table);
    query(f, node, sql, "20", &result);
    if (result.exit_code != 0 || strstr((const char *)result.out.data, count) == NULL)
        fail_msg("%s at %s: exit %d, %s%s", table, node->name, result.exit_code,
                 (const char *)result.out.data, (const char *)result.err.data);
    live_result_deinit(&result);
}

static void assert_all_works(struct fixture *f)
{
    assert_answers(f, f->alpha, "alpha.items", "60000");
    assert_answers(f, f->beta, "alpha.items", "60000");
    assert_answers(f, f->alpha, "beta.items", "100");
}

/* ---- What stays behind ----------------------------------------------------------------------- */

struct usages {
    struct live_usage alpha;
    struct live_usage beta;
};

static struct usages usages(const struct fixture *f)
{
    return (struct usages){.alpha = live_usage(f->alpha->pid), .beta = live_usage(f->beta->pid)};
}

static bool is_within(const struct live_usage *now, const struct live_usage *before)
{
    return now->fds <= before->fds && now->threads <= before->threads &&
           now->processes <= before->processes;
}

/* Descriptors, threads and processes are again what they were, within `ms`. */
static void assert_returns(const struct fixture *f, const struct usages *before, fm_ms ms)
{
    fm_ms start = fm_now_ms();
    struct usages now = usages(f);

    while (!is_within(&now.alpha, &before->alpha) || !is_within(&now.beta, &before->beta)) {
        if (fm_now_ms() - start > ms)
            fail_msg("after %lld ms: alpha %u -> %u descriptors, %u -> %u threads, %u -> %u "
                     "processes; beta %u -> %u, %u -> %u, %u -> %u",
                     (long long)ms, before->alpha.fds, now.alpha.fds, before->alpha.threads,
                     now.alpha.threads, before->alpha.processes, now.alpha.processes,
                     before->beta.fds, now.beta.fds, before->beta.threads, now.beta.threads,
                     before->beta.processes, now.beta.processes);
        usleep(100000);
        now = usages(f);
    }
    print_message("all given back after %lld ms\n", (long long)(fm_now_ms() - start));
}

/* A state to compare with: links between the nodes are there, spare workers are ready. */
static struct usages settled(struct fixture *f)
{
    for (uint32_t i = 0; i < 3; i++)
        assert_all_works(f);
    usleep(700000);
    return usages(f);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void a_dead_owner_ends_the_query_by_name(void **state)
{
    static const char *const texts[] = {STREAM_OF_OWNER, STREAM_MERGED};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        stream_open(f, f->beta, texts[i], 30000);
        live_kill(f->alpha);
        fm_ms start = fm_now_ms();
        enum folkmoot_status status = stream_fail(&f->stream, 10000);
        const char *text = folkmoot_error(f->stream.handle);
        print_message("dead owner, after %lld ms: %s\n", (long long)(fm_now_ms() - start), text);
        assert_int_equal(status, FOLKMOOT_UNAVAILABLE);
        assert_non_null(strstr(text, "domain alpha on node alpha"));
        (void)stream_close(state); /* Cannot fail. */
        live_start(f->mesh, f->alpha);
        live_wait(f->mesh, "reader", f->beta, 2, 2);
        live_wait(f->mesh, "reader", f->alpha, 2, 2);
        assert_all_works(f);
    }
}

static void a_hanging_owner_holds_nobody_for_long(void **state)
{
    struct fixture *f = *state;
    struct live_result result;

    stream_open(f, f->beta, STREAM_OF_OWNER, 4000);
    assert_int_equal(kill(f->alpha->pid, SIGSTOP), 0);
    fm_ms start = fm_now_ms();
    query(f, f->beta, "SELECT count(*) FROM alpha.items", "3", &result);
    fm_ms took = fm_now_ms() - start;
    enum folkmoot_status status = stream_fail(&f->stream, 5000);
    /* Before anything is asserted: it must not stay stopped. */
    assert_int_equal(kill(f->alpha->pid, SIGCONT), 0);
    print_message("hanging owner, after %lld ms: %s", (long long)took,
                  (const char *)result.err.data);
    assert_int_equal(result.exit_code, 69);
    assert_true(took < 5500);
    live_result_deinit(&result);
    print_message("mid-stream: %s\n", folkmoot_error(f->stream.handle));
    assert_true(status == FOLKMOOT_TIMEOUT || status == FOLKMOOT_UNAVAILABLE);
    (void)stream_close(state); /* Cannot fail. */
    live_wait(f->mesh, "reader", f->beta, 2, 2);
    live_wait(f->mesh, "reader", f->alpha, 2, 2);
    assert_all_works(f);
}

static void a_dead_asked_node_is_an_error(void **state)
{
    struct fixture *f = *state;

    stream_open(f, f->beta, STREAM_MERGED, 30000);
    live_kill(f->beta);
    fm_ms start = fm_now_ms();
    enum folkmoot_status status = stream_fail(&f->stream, 10000);
    print_message("dead asked node, after %lld ms: %s\n", (long long)(fm_now_ms() - start),
                  folkmoot_error(f->stream.handle));
    assert_int_equal(status, FOLKMOOT_UNAVAILABLE);
    (void)stream_close(state); /* Cannot fail. */
    live_start(f->mesh, f->beta);
    live_wait(f->mesh, "reader", f->beta, 2, 2);
    live_wait(f->mesh, "reader", f->alpha, 2, 2);
    assert_all_works(f);
}

/* ---- Workers --------------------------------------------------------------------------------- */

/* The processes that a node's first process made, or that one itself. */
static uint32_t kill_workers(const struct live_node *node, bool first)
{
    pid_t pids[64];
    uint32_t killed = 0, count = live_children(node->pid, pids, 64);

    for (uint32_t i = 0; i < count && i < 64; i++) {
        bool is_first = live_parent(pids[i]) == node->pid;
        if (is_first != first)
            continue;
        (void)kill(pids[i], SIGKILL); /* It may be gone. */
        killed++;
    }
    return killed;
}

static void a_dead_worker_is_an_error_of_its_query(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 4; i++) {
        const struct live_node *node = i % 2 == 0 ? f->alpha : f->beta;
        stream_open(f, f->beta, i % 2 == 0 ? STREAM_OF_OWNER : STREAM_MERGED, 30000);
        assert_true(kill_workers(node, i >= 2) > 0);
        enum folkmoot_status status = stream_fail(&f->stream, 10000);
        print_message("dead worker of %s: %s: %s\n", node->name, folkmoot_status_text(status),
                      folkmoot_error(f->stream.handle));
        assert_true(status != FOLKMOOT_FORGED && status != FOLKMOOT_INTERNAL);
        (void)stream_close(state); /* Cannot fail. */
        assert_all_works(f);
    }
}

/* ---- Clients --------------------------------------------------------------------------------- */

static void a_cancelled_query_gives_all_back(void **state)
{
    static const char *const texts[] = {STREAM_OF_OWNER, STREAM_MERGED};
    struct fixture *f = *state;
    struct usages before = settled(f);

    for (uint32_t i = 0; i < 6; i++) {
        stream_open(f, f->beta, texts[i % 2], 30000);
        (void)stream_close(state); /* Cannot fail. */
    }
    assert_returns(f, &before, 6000);
    assert_all_works(f);
}

static void a_hundred_queries_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct usages before = settled(f);

    for (uint32_t i = 0; i < 100; i++)
        assert_answers(f, i % 2 == 0 ? f->alpha : f->beta, i % 4 < 2 ? "alpha.items" : "beta.items",
                       i % 4 < 2 ? "60000" : "100");
    assert_returns(f, &before, 6000);
    struct usages after = usages(f);
    print_message("a hundred queries: alpha %llu -> %llu KiB, beta %llu -> %llu KiB\n",
                  (unsigned long long)before.alpha.rss_kib, (unsigned long long)after.alpha.rss_kib,
                  (unsigned long long)before.beta.rss_kib, (unsigned long long)after.beta.rss_kib);
    live_assert_growth(&before.alpha, &after.alpha, 32);
    live_assert_growth(&before.beta, &after.beta, 32);
}

/* More than a node runs at once: the others wait for their turn. */
static void many_at_once_are_all_answered(void **state)
{
    struct fixture *f = *state;
    struct usages before = settled(f);
    struct live_process processes[AT_ONCE];

    for (uint32_t i = 0; i < AT_ONCE; i++)
        processes[i] = live_cli_begin(
            f->mesh, "reader", i % 4 == 0 ? f->alpha : f->beta,
            (const char *const[]){"query",
                                  "SELECT count(*) AS n FROM alpha.items x JOIN beta.items y ON "
                                  "x.id % 100 = y.id",
                                  "--format", "csv", "--no-receipts", "--timeout", "60", NULL});
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        struct live_result result;
        live_cli_end(&processes[i], &result);
        if (result.exit_code != 0 || strstr((const char *)result.out.data, "60000") == NULL)
            fail_msg("exit %d: %s%s", result.exit_code, (const char *)result.out.data,
                     (const char *)result.err.data);
        live_result_deinit(&result);
    }
    assert_returns(f, &before, 6000);
    assert_all_works(f);
}

/* Clients that vanish: two in the middle of rows, one that waits for the only row. Their links go
 * with them, and what they had is given back at once, on both nodes: well before a lease ends. */
static void vanished_clients_give_all_back(void **state)
{
    struct fixture *f = *state;
    struct usages before = settled(f);
    struct live_process clients[] = {
        live_cli_begin(f->mesh, "reader", f->beta,
                       (const char *const[]){"query", STREAM_OF_OWNER, "--format", "csv", NULL}),
        live_cli_begin(f->mesh, "reader", f->beta,
                       (const char *const[]){"query", STREAM_MERGED, "--format", "csv", NULL}),
        live_cli_begin(f->mesh, "reader", f->beta,
                       (const char *const[]){"query", LONG_COUNT, "--timeout", "15", NULL}),
    };

    usleep(1500000);
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        (void)close(clients[i].out);
        (void)close(clients[i].err);
        assert_int_equal(waitpid(clients[i].pid, NULL, WNOHANG), 0);
        assert_int_equal(kill(clients[i].pid, SIGKILL), 0);
        assert_int_equal(waitpid(clients[i].pid, NULL, 0), clients[i].pid);
    }
    assert_returns(f, &before, LEASE_MS / 4);
    assert_all_works(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_dead_owner_ends_the_query_by_name, stream_close),
        cmocka_unit_test_teardown(a_hanging_owner_holds_nobody_for_long, stream_close),
        cmocka_unit_test_teardown(a_dead_asked_node_is_an_error, stream_close),
        cmocka_unit_test_teardown(a_dead_worker_is_an_error_of_its_query, stream_close),
        cmocka_unit_test_teardown(a_cancelled_query_gives_all_back, stream_close),
        cmocka_unit_test(a_hundred_queries_leave_nothing),
        cmocka_unit_test(many_at_once_are_all_answered),
        cmocka_unit_test(vanished_clients_give_all_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
