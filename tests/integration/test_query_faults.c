/* Faults at any moment of a query: its owner killed, frozen, stopped or restarted with other data,
 * the asked node killed, workers killed, its client gone. The answer is right or an error, in
 * time, and nothing stays behind on any node. A few rounds; with FM_LONG=1 a thousand. FM_SEED
 * replays. */
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

#define ROUNDS 7u
#define ROUNDS_LONG 1000u
#define ROWS 20000u
#define TIMEOUT_S "3"
#define END_MS (3000 + 17000) /* The deadline, and a busy machine. */
#define RETURN_MS 10000       /* A lease is three times as long. */

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha; /* Owner. */
    struct live_node *beta;  /* Owner, and asked. */
    struct live_node *gamma; /* Owner that no query needs. */
    uint64_t seed;
    uint32_t appended; /* Facts that alpha has beyond ROWS. */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *seed = getenv("FM_SEED");

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)fm_now_us();
    print_message("FM_SEED=%llu\n", (unsigned long long)f->seed);
    f->mesh = live_mesh_new();
    f->alpha = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_start(f->mesh, f->beta);
    f->gamma = live_make_node(f->mesh, "gamma");
    live_start(f->mesh, f->gamma);
    live_publish(f->mesh, f->alpha, ROWS);
    live_publish(f->mesh, f->beta, 100);
    live_publish(f->mesh, f->gamma, 10);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->beta, 3, 3);
    live_wait(f->mesh, "reader", f->alpha, 3, 3);
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

static uint32_t draw(struct fixture *f, uint32_t below)
{
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(f->seed >> 33) % below;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Both count alpha's rows: one passes through beta, one is merged there. */
static const char *const texts[] = {
    "SELECT count(*) AS n, count(DISTINCT text) AS t FROM alpha.items",
    "SELECT count(*) AS n, count(DISTINCT x.text) AS t FROM alpha.items x JOIN beta.items y ON "
    "x.id % 100 = y.id",
};

static struct live_process begin(struct fixture *f, uint32_t text)
{
    return live_cli_begin(f->mesh, "reader", f->beta,
                          (const char *const[]){"query", texts[text], "--format", "csv",
                                                "--no-receipts", "--timeout", TIMEOUT_S, NULL});
}

/* Right: alpha's rows as they were before or after what was appended meanwhile. */
static bool is_right(const struct live_result *result, uint32_t least, uint32_t most)
{
    uint32_t n = 0, t = 0;

    if (sscanf((const char *)result->out.data, "n,t\n%u,%u", &n, &t) != 2)
        return false;
    return n == t && n >= least && n <= most;
}

static void assert_answers(struct fixture *f)
{
    uint32_t rows = ROWS + f->appended;

    for (uint32_t i = 0; i < 2; i++) {
        struct live_process process = begin(f, i);
        struct live_result result;
        live_cli_end(&process, &result);
        if (result.exit_code != 0 || !is_right(&result, rows, rows))
            fail_msg("%s: exit %d: %s%s", texts[i], result.exit_code, (const char *)result.out.data,
                     (const char *)result.err.data);
        live_result_deinit(&result);
    }
}

/* ---- What stays behind ----------------------------------------------------------------------- */

struct usages {
    struct live_usage nodes[2];
};

static struct usages usages(const struct fixture *f)
{
    return (struct usages){{live_usage(f->alpha->pid), live_usage(f->beta->pid)}};
}

static bool is_within(const struct live_usage *now, const struct live_usage *before)
{
    return now->fds <= before->fds && now->threads <= before->threads &&
           now->processes <= before->processes;
}

static void assert_returns(const struct fixture *f, const struct usages *before, const char *fault)
{
    fm_ms end = fm_now_ms() + RETURN_MS;
    struct usages now = usages(f);

    while (!is_within(&now.nodes[0], &before->nodes[0]) ||
           !is_within(&now.nodes[1], &before->nodes[1])) {
        for (uint32_t i = 0; i < 2 && fm_now_ms() > end; i++)
            print_error("%s: node %u: %u -> %u descriptors, %u -> %u threads, %u -> %u processes\n",
                        fault, i, before->nodes[i].fds, now.nodes[i].fds, before->nodes[i].threads,
                        now.nodes[i].threads, before->nodes[i].processes, now.nodes[i].processes);
        if (fm_now_ms() > end)
            fail_msg("something stays behind");
        usleep(50000);
        now = usages(f);
    }
}

/* ---- Faults ---------------------------------------------------------------------------------- */

enum fault {
    FAULT_OWNER_KILLED,
    FAULT_OWNER_FROZEN,
    FAULT_OTHER_DATA,
    FAULT_ASKED_KILLED,
    FAULT_WORKERS,
    FAULT_CLIENT,
    FAULT_CLIENT_FROZEN_OWNER,
    FAULTS
};

static const char *const fault_texts[FAULTS] = {
    "owner killed",   "owner frozen", "owner with other data",    "asked killed",
    "workers killed", "client gone",  "client gone, owner frozen"};

static void kill_workers(struct fixture *f, const struct live_node *node)
{
    pid_t pids[64];
    uint32_t count = live_children(node->pid, pids, 64);

    for (uint32_t i = 0; i < count && i < 64; i++)
        if (live_parent(pids[i]) != node->pid && draw(f, 2) == 0)
            (void)kill(pids[i], SIGKILL); /* It may be gone. */
}

static void stop_node(struct live_node *node)
{
    int status = 0;

    assert_int_equal(kill(node->pid, SIGTERM), 0);
    assert_int_equal(waitpid(node->pid, &status, 0), node->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("node %s ends with %d", node->name, status);
    node->pid = 0;
}

static void append_one(struct fixture *f)
{
    FM_AUTO(fm_buf_free) struct fm_buf row = FM_BUF_INIT(0);
    char path[LIVE_PATH_MAX];

    fm_buf_printf(&row, "id,text\n%u,one more %u\n", ROWS + f->appended, f->appended);
    assert_int_equal(
        fm_file_write(live_path(f->mesh, "row.csv", path), fm_buf_span(&row), 0600, NULL), FM_OK);
    free(live_output(f->mesh, "alpha-team", f->alpha,
                     (const char *const[]){"append", "alpha.items", path, NULL}));
    f->appended++;
}

static void begin_fault(struct fixture *f, enum fault fault, pid_t client)
{
    switch (fault) {
    case FAULT_OWNER_KILLED:
        live_kill(f->alpha);
        break;
    case FAULT_OWNER_FROZEN:
        assert_int_equal(kill(f->alpha->pid, SIGSTOP), 0);
        break;
    case FAULT_OTHER_DATA:
        live_kill(f->alpha);
        live_start(f->mesh, f->alpha);
        append_one(f);
        break;
    case FAULT_ASKED_KILLED:
        live_kill(f->beta);
        break;
    case FAULT_WORKERS:
        kill_workers(f, f->alpha);
        kill_workers(f, f->beta);
        break;
    case FAULT_CLIENT_FROZEN_OWNER:
        assert_int_equal(kill(f->alpha->pid, SIGSTOP), 0);
        usleep(50000);
        (void)kill(client, SIGKILL);
        break;
    case FAULT_CLIENT:
    case FAULTS:
        (void)kill(client, SIGKILL); /* It may have ended. */
        break;
    }
}

/* All nodes run again and know of each other. True: some were started anew. */
static bool end_fault(struct fixture *f, enum fault fault)
{
    bool again = f->alpha->pid == 0 || f->beta->pid == 0 || fault == FAULT_OTHER_DATA;

    if (fault == FAULT_OWNER_FROZEN || fault == FAULT_CLIENT_FROZEN_OWNER)
        assert_int_equal(kill(f->alpha->pid, SIGCONT), 0);
    if (f->alpha->pid == 0)
        live_start(f->mesh, f->alpha);
    if (f->beta->pid == 0)
        live_start(f->mesh, f->beta);
    live_wait(f->mesh, "reader", f->beta, 3, 3);
    live_wait(f->mesh, "reader", f->alpha, 3, 3);
    return again;
}

static struct usages settled(struct fixture *f)
{
    for (uint32_t i = 0; i < 2; i++)
        assert_answers(f);
    usleep(500000);
    return usages(f);
}

static void run_round(struct fixture *f, enum fault fault, struct usages *before)
{
    uint32_t text = draw(f, 2), delay_ms = draw(f, 120), least = ROWS + f->appended;
    struct live_process process = begin(f, text);
    struct live_result result;
    fm_ms start = fm_now_ms();

    usleep(delay_ms * 1000);
    begin_fault(f, fault, process.pid);
    live_cli_end(&process, &result);
    fm_ms took = fm_now_ms() - start;
    bool again = end_fault(f, fault);
    print_message("%-26s after %3u ms: exit %3d in %5lld ms %.150s\n", fault_texts[fault], delay_ms,
                  result.exit_code, (long long)took,
                  result.err.len > 1 ? (const char *)result.err.data : "\n");
    if (result.exit_code == 0 && !is_right(&result, least, ROWS + f->appended))
        fail_msg("a wrong answer: %s", (const char *)result.out.data);
    if (took > END_MS && fault != FAULT_OTHER_DATA)
        fail_msg("%lld ms", (long long)took);
    live_result_deinit(&result);
    assert_answers(f);
    if (again)
        *before = settled(f);
    else
        assert_returns(f, before, fault_texts[fault]);
}

static void answers_are_right_or_errors(void **state)
{
    struct fixture *f = *state;
    uint32_t rounds = getenv("FM_LONG") != NULL ? ROUNDS_LONG : ROUNDS;
    struct usages before = settled(f);

    for (uint32_t i = 0; i < rounds; i++)
        run_round(f, (enum fault)(i % FAULTS), &before);
}

/* Planning and the catalog need no owner, and a query only those it reads. */
static void a_frozen_owner_disturbs_nobody_else(void **state)
{
    static const char *const lines[][8] = {
        {"product", "list", "--format", "ndjson", NULL},
        {"product", "show", "gamma.items", NULL},
        {"members", "--format", "ndjson", NULL},
        {"query", "EXPLAIN SELECT count(*) FROM gamma.items x JOIN beta.items y ON x.id = y.id",
         "--format", "csv", "--no-receipts", NULL},
        {"query", "SELECT count(*) FROM alpha.items x JOIN beta.items y ON x.id = y.id", "--format",
         "csv", "--no-receipts", NULL},
    };
    struct fixture *f = *state;

    assert_int_equal(kill(f->gamma->pid, SIGSTOP), 0);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct live_result result;
        fm_ms start = fm_now_ms();
        live_cli(f->mesh, "reader", f->beta, lines[i], &result);
        fm_ms took = fm_now_ms() - start;
        print_message("%s %s: %lld ms\n", lines[i][0], lines[i][1], (long long)took);
        if (result.exit_code != 0 || took > 10000) {
            (void)kill(f->gamma->pid, SIGCONT);
            fail_msg("exit %d after %lld ms: %s", result.exit_code, (long long)took,
                     (const char *)result.err.data);
        }
        live_result_deinit(&result);
    }
    assert_int_equal(kill(f->gamma->pid, SIGCONT), 0);
}

/* It says goodbye: what it was asked for ends at once, by name, and it ends itself. */
static void a_stopped_owner_ends_its_queries(void **state)
{
    struct fixture *f = *state;
    struct live_result result;
    struct live_process process = live_cli_begin(
        f->mesh, "reader", f->beta,
        (const char *const[]){"query",
                              "SELECT count(*) FROM alpha.items x, alpha.items y, alpha.items z "
                              "WHERE (x.id * 7 + y.id * 3 + z.id) % 11 = 5",
                              "--format", "csv", "--timeout", "60", NULL});

    usleep(1500000);
    fm_ms start = fm_now_ms();
    stop_node(f->alpha);
    fm_ms stopped = fm_now_ms() - start;
    live_cli_end(&process, &result);
    fm_ms took = fm_now_ms() - start;
    print_message("stopped after %lld ms, query after %lld ms: %s", (long long)stopped,
                  (long long)took, (const char *)result.err.data);
    assert_int_not_equal(result.exit_code, 0);
    assert_non_null(strstr((const char *)result.err.data, "domain alpha on node alpha"));
    assert_true(took < 20000);
    live_result_deinit(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_owner_disturbs_nobody_else),
        cmocka_unit_test(answers_are_right_or_errors),
        cmocka_unit_test(a_stopped_owner_ends_its_queries),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
