/* Faults at any moment of a query: its owner killed, frozen, slowed or restarted with other data,
 * the asked node killed, workers killed, a node killed whose worker spills, its client gone or
 * hanging, also in the middle of a large answer. The answer is complete and right, or an error that
 * says who was waited for and for what, in time; and nothing stays behind on any node: descriptors,
 * threads, processes, memory, disk. Most faults once; with FM_LONG=1 a thousand. FM_SEED draws the
 * same ones. */
#include "tests/support/delay_proxy.h"
#include "tests/support/live_watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS_LONG 1000u
#define ROWS 20000u
#define TIMEOUT_S "3"
#define TIMEOUT_MS 3000
#define END_MS (TIMEOUT_MS + 17000) /* And a busy machine. */
#define RETURN_MS 10000             /* A lease is three times as long. */
#define SPILLED_BYTES (8u << 20)    /* Before its node is killed. */

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha; /* Owner, behind the proxy. */
    struct live_node *beta;  /* Owner, and asked. */
    struct live_node *gamma; /* Owner that no query needs. */
    char alpha_address[64];  /* Before the proxy. */
    struct delay_state *delays;
    struct delay_proxy *proxy;
    pthread_t proxy_thread;
    int proxy_stop[2];
    struct live_watch *watches[2]; /* Of alpha and beta. */
    uint64_t seed;
    uint32_t appended; /* Facts that alpha has beyond ROWS. */
    uint32_t spilling; /* Nodes that were killed while a worker had spilled. */
};

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void *run_proxy(void *argument)
{
    struct fixture *f = argument;

    delay_proxy_run(f->proxy, f->proxy_stop[0]);
    return NULL;
}

static void start(struct fixture *f, struct live_node *node)
{
    live_start(f->mesh, node);
    if (node == f->alpha) /* What it said was the proxy's. */
        (void)snprintf(node->address, sizeof node->address, "%s", f->alpha_address);
}

/* Alpha has a port once it ran; the proxy stands before that one. */
static void start_behind_proxy(struct fixture *f)
{
    char path[LIVE_PATH_MAX], address[32], line[64];

    live_start(f->mesh, f->alpha);
    live_kill(f->alpha);
    (void)snprintf(f->alpha_address, sizeof f->alpha_address, "%s", f->alpha->address);
    f->delays = delay_state_open(live_path(f->mesh, "delays", path));
    f->proxy = delay_proxy_new(f->delays);
    delay_proxy_add(f->proxy, f->alpha_address, address);
    assert_int_equal(pipe2(f->proxy_stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&f->proxy_thread, NULL, run_proxy, f), 0);
    (void)snprintf(line, sizeof line, "advertise: \"%s\"\n", address);
    live_configure(f->mesh, "alpha", line);
    start(f, f->alpha);
}

static struct live_node *make_node(struct fixture *f, const char *name)
{
    struct live_node *node = live_make_node(f->mesh, name);

    live_configure(f->mesh, name, "memory_mib: 128\n"); /* What is sorted does not fit. */
    return node;
}

static void wait_for_all(struct fixture *f)
{
    live_wait(f->mesh, "reader", f->beta, 3, 3);
    live_wait(f->mesh, "reader", f->alpha, 3, 3);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *seed = getenv("FM_SEED");

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)fm_now_us();
    print_message("FM_SEED=%llu\n", (unsigned long long)f->seed);
    f->mesh = live_mesh_new();
    f->alpha = make_node(f, "alpha");
    start_behind_proxy(f);
    f->beta = make_node(f, "beta");
    start(f, f->beta);
    f->gamma = make_node(f, "gamma");
    start(f, f->gamma);
    live_publish(f->mesh, f->alpha, ROWS);
    live_publish(f->mesh, f->beta, 100);
    live_publish(f->mesh, f->gamma, 10);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    wait_for_all(f);
    f->watches[0] = live_watch_new(f->alpha);
    f->watches[1] = live_watch_new(f->beta);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    live_watch_free(f->watches[0]);
    live_watch_free(f->watches[1]);
    live_mesh_free(f->mesh);
    (void)close(f->proxy_stop[1]); /* Which ends the proxy. */
    (void)pthread_join(f->proxy_thread, NULL);
    (void)close(f->proxy_stop[0]);
    delay_proxy_free(f->proxy);
    free(f);
    return 0;
}

static uint32_t draw(struct fixture *f, uint32_t below)
{
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(f->seed >> 33) % below;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

enum text {
    /* Counts and rows of alpha; what passes through beta, and what is merged there. */
    TEXT_COUNT,
    TEXT_COUNT_MERGED,
    TEXT_ROWS,
    TEXT_ROWS_MERGED,
    TEXTS_CHECKED,
    /* Answers of millions of rows, which nobody reads to their end. */
    TEXT_LARGE = TEXTS_CHECKED,
    TEXT_LARGE_MERGED,
    /* Sorts that do not fit the memory of a worker of alpha, and of beta. */
    TEXT_SORT,
    TEXT_SORT_MERGED,
};

#define SORT(other)                                                                                \
    "SELECT count(*) AS n, sum(length(t)) AS t FROM (SELECT x.text || y.text || x.text AS t FROM " \
    "alpha.items x, " other " y WHERE y.id < 100 ORDER BY (x.id * 7919 + y.id * 104729) % "        \
    "1000003, t OFFSET 1)"

static const char *const texts[] = {
    [TEXT_COUNT] = "SELECT count(*) AS n, count(DISTINCT text) AS t FROM alpha.items",
    [TEXT_COUNT_MERGED] =
        "SELECT count(*) AS n, count(DISTINCT x.text) AS t FROM alpha.items x JOIN beta.items y ON "
        "x.id % 100 = y.id",
    [TEXT_ROWS] = "SELECT id, text FROM alpha.items",
    [TEXT_ROWS_MERGED] =
        "SELECT x.id, y.text FROM alpha.items x JOIN beta.items y ON x.id % 100 = y.id",
    [TEXT_LARGE] = "SELECT x.id, x.text, y.text FROM alpha.items x, alpha.items y",
    [TEXT_LARGE_MERGED] = "SELECT x.id, x.text, y.text FROM alpha.items x, beta.items y",
    [TEXT_SORT] = SORT("alpha.items"),
    [TEXT_SORT_MERGED] = SORT("beta.items"),
};

static struct live_process begin(struct fixture *f, enum text text, const char *timeout)
{
    return live_cli_begin(f->mesh, "reader", f->beta,
                          (const char *const[]){"query", texts[text], "--format", "csv",
                                                "--no-receipts", "--timeout", timeout, NULL});
}

/* Both counts, or how many rows there are and how many different ids below that they have. */
static bool read_counts(enum text text, const char *answer, uint32_t *n, uint32_t *t)
{
    uint64_t sum = 0;

    if (text == TEXT_COUNT || text == TEXT_COUNT_MERGED)
        return sscanf(answer, "n,t\n%u,%u", n, t) == 2;
    if (strncmp(answer, "id,text\n", 8) != 0)
        return false;
    *n = 0;
    for (const char *line = strchr(answer, '\n') + 1; *line != '\0'; (*n)++) {
        const char *end = strchr(line, '\n');
        if (end == NULL)
            return false;
        sum += strtoul(line, NULL, 10);
        line = end + 1;
    }
    *t = sum == (uint64_t)*n * (*n - 1) / 2 ? *n : 0;
    return true;
}

/* Right: alpha's rows as they were before or after what was appended meanwhile. */
static bool is_right(enum text text, const struct live_result *result, uint32_t least,
                     uint32_t most)
{
    uint32_t n = 0, t = 0;

    if (!read_counts(text, (const char *)result->out.data, &n, &t))
        return false;
    return n == t && n >= least && n <= most;
}

static void assert_answers(struct fixture *f)
{
    uint32_t rows = ROWS + f->appended;

    for (uint32_t i = 0; i < 2; i++) {
        enum text text = i == 0 ? TEXT_COUNT : TEXT_COUNT_MERGED;
        struct live_process process = begin(f, text, "30");
        struct live_result result;
        live_cli_end(&process, &result);
        if (result.exit_code != 0 || !is_right(text, &result, rows, rows))
            fail_msg("%s: exit %d: %s%s", texts[text], result.exit_code,
                     (const char *)result.out.data, (const char *)result.err.data);
        live_result_deinit(&result);
    }
}

/* ---- Faults ---------------------------------------------------------------------------------- */

enum fault {
    FAULT_ASKED_KILLED,
    FAULT_ASKED_KILLED_SPILLING,
    FAULT_OWNER_KILLED, /* From here on the asked node lives, */
    FAULT_OWNER_KILLED_SPILLING,
    FAULT_OTHER_DATA,
    FAULT_OWNER_FROZEN, /* from here on both do. */
    FAULT_OWNER_SLOWED,
    FAULT_OWNER_WORKERS,
    FAULT_ASKED_WORKERS,
    FAULT_CLIENT,
    FAULT_CLIENT_LARGE,
    FAULT_CLIENT_FROZEN,
    FAULT_CLIENT_FROZEN_OWNER,
    FAULTS
};

static bool is_sort(enum text text)
{
    return text == TEXT_SORT || text == TEXT_SORT_MERGED;
}

/* `says`: what is in the error of a query that fails. */
static const struct {
    const char *text;
    const char *says;
} faults[FAULTS] = {
    [FAULT_ASKED_KILLED] = {"asked node killed", "node 127.0.0.1:"},
    [FAULT_ASKED_KILLED_SPILLING] = {"asked node killed, spilling", "node 127.0.0.1:"},
    [FAULT_OWNER_KILLED] = {"owner killed", "domain alpha on node alpha: "},
    [FAULT_OWNER_KILLED_SPILLING] = {"owner killed, spilling", "domain alpha on node alpha: "},
    [FAULT_OTHER_DATA] = {"owner with other data", "domain alpha on node alpha: "},
    [FAULT_OWNER_FROZEN] = {"owner frozen", "domain alpha on node alpha: "},
    [FAULT_OWNER_SLOWED] = {"owner slowed", "domain alpha on node alpha: "},
    [FAULT_OWNER_WORKERS] = {"workers of owner killed", "domain alpha on node alpha: "},
    [FAULT_ASKED_WORKERS] = {"workers of asked killed", "node beta: "},
    [FAULT_CLIENT] = {"client gone", NULL},
    [FAULT_CLIENT_LARGE] = {"client gone, large answer", NULL},
    [FAULT_CLIENT_FROZEN] = {"client hangs, large answer", NULL},
    [FAULT_CLIENT_FROZEN_OWNER] = {"client gone, owner frozen", NULL},
};

static enum text draw_text(struct fixture *f, enum fault fault)
{
    switch ((int)fault) {
    case FAULT_ASKED_KILLED_SPILLING:
        return TEXT_SORT_MERGED;
    case FAULT_OWNER_KILLED_SPILLING:
        return TEXT_SORT;
    case FAULT_CLIENT_LARGE:
    case FAULT_CLIENT_FROZEN:
        return draw(f, 2) == 0 ? TEXT_LARGE : TEXT_LARGE_MERGED;
    default:
        return (enum text)draw(f, TEXTS_CHECKED);
    }
}

static void kill_workers(struct fixture *f, const struct live_node *node)
{
    pid_t pids[64];
    uint32_t count = live_children(node->pid, pids, 64);

    for (uint32_t i = 0; i < count && i < 64; i++) {
        bool is_first = live_parent(pids[i]) == node->pid;
        if (draw(f, is_first ? 8 : 2) == 0)
            (void)kill(pids[i], SIGKILL); /* It may be gone. */
    }
}

/* Its processes end with it, and what they had spilled: files without names. */
static void kill_node(struct live_node *node)
{
    pid_t pids[64];
    uint32_t count = live_children(node->pid, pids, 64);
    fm_ms end = fm_now_ms() + RETURN_MS;

    live_kill(node);
    for (uint32_t i = 0; i < count && i < 64; i++)
        while (live_has_ended(pids[i]) == false) {
            if (fm_now_ms() > end)
                fail_msg("process %d of node %s lives on", (int)pids[i], node->name);
            usleep(5000);
        }
}

/* A sort may end before, since not all of it can be spilled: the node is killed all the same. */
static void kill_spilling(struct fixture *f, struct live_node *node, pid_t client)
{
    fm_ms end = fm_now_ms() + END_MS;
    uint64_t spilled = 0;
    char path[LIVE_PATH_MAX];

    live_path(f->mesh, node->name, path);
    uint32_t entries = live_count_entries(path);
    while ((spilled = live_spilled_bytes(node->pid)) < SPILLED_BYTES && !live_has_ended(client) &&
           fm_now_ms() < end)
        usleep(2000);
    if (spilled < SPILLED_BYTES && !live_has_ended(client))
        fail_msg("a worker of %s spilled only %llu bytes", node->name, (unsigned long long)spilled);
    f->spilling += spilled >= SPILLED_BYTES ? 1 : 0;
    kill_node(node);
    assert_int_equal(live_count_entries(path), entries);
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

static void assert_nothing_stays(const struct fixture *f, fm_ms ms)
{
    for (uint32_t i = 0; i < 2; i++)
        if (live_watch_is_on(f->watches[i]))
            live_watch_assert_returns(f->watches[i], ms);
}

static void begin_fault(struct fixture *f, enum fault fault, pid_t client)
{
    switch (fault) {
    case FAULT_ASKED_KILLED:
        kill_node(f->beta);
        break;
    case FAULT_ASKED_KILLED_SPILLING:
        kill_spilling(f, f->beta, client);
        break;
    case FAULT_OWNER_KILLED:
        kill_node(f->alpha);
        break;
    case FAULT_OWNER_KILLED_SPILLING:
        kill_spilling(f, f->alpha, client);
        break;
    case FAULT_OTHER_DATA:
        kill_node(f->alpha);
        start(f, f->alpha);
        append_one(f);
        break;
    case FAULT_OWNER_FROZEN:
        assert_int_equal(kill(f->alpha->pid, SIGSTOP), 0);
        break;
    case FAULT_OWNER_SLOWED:
        atomic_store(&f->delays->delay_us, 1000 * (1u << draw(f, 12)));
        break;
    case FAULT_OWNER_WORKERS:
        kill_workers(f, f->alpha);
        break;
    case FAULT_ASKED_WORKERS:
        kill_workers(f, f->beta);
        break;
    case FAULT_CLIENT_FROZEN_OWNER:
        assert_int_equal(kill(f->alpha->pid, SIGSTOP), 0);
        usleep(50000);
        (void)kill(client, SIGKILL); /* It may have ended. */
        break;
    case FAULT_CLIENT_FROZEN: /* Its deadline frees what it had, not its end. */
        (void)kill(client, SIGSTOP);
        usleep((TIMEOUT_MS + 500) * 1000);
        assert_nothing_stays(f, RETURN_MS);
        (void)kill(client, SIGKILL);
        break;
    case FAULT_CLIENT:
    case FAULT_CLIENT_LARGE:
    case FAULTS:
        (void)kill(client, SIGKILL);
        break;
    }
}

/* All nodes run again and know of each other. */
static void end_fault(struct fixture *f, enum fault fault)
{
    if (fault == FAULT_OWNER_FROZEN || fault == FAULT_CLIENT_FROZEN_OWNER)
        assert_int_equal(kill(f->alpha->pid, SIGCONT), 0);
    atomic_store(&f->delays->delay_us, 0);
    if (f->alpha->pid == 0)
        start(f, f->alpha);
    if (f->beta->pid == 0)
        start(f, f->beta);
    if (fault <= FAULT_OWNER_SLOWED || fault == FAULT_CLIENT_FROZEN_OWNER)
        wait_for_all(f);
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

/* What a node that was started anew needs at rest is known after some queries. */
static void settle(struct fixture *f)
{
    if (live_watch_is_on(f->watches[0]) && live_watch_is_on(f->watches[1]))
        return;
    for (uint32_t i = 0; i < 2; i++)
        assert_answers(f);
    usleep(500000);
    for (uint32_t i = 0; i < 2; i++)
        if (!live_watch_is_on(f->watches[i]))
            live_watch_begin(f->watches[i]);
}

static void assert_outcome(enum fault fault, enum text text, const struct live_result *result,
                           uint32_t least, uint32_t most)
{
    const char *error = (const char *)result->err.data;

    if (result->exit_code == 0 && text < TEXTS_CHECKED && !is_right(text, result, least, most))
        fail_msg("a wrong answer to %s: %.500s", texts[text], (const char *)result->out.data);
    if (strstr(error, "not all of it can be spilled") != NULL ||
        strstr(error, "node beta: merge: the query took longer than its deadline") != NULL ||
        strstr(error, "the query's time limit has passed") != NULL)
        return; /* Not for the fault: a busy machine. */
    if (result->exit_code != 0 && faults[fault].says != NULL &&
        strstr(error, faults[fault].says) == NULL)
        fail_msg("does not name \"%s\": %s", faults[fault].says, error);
}

static void run_round(struct fixture *f, uint32_t number, enum fault fault)
{
    enum text text = draw_text(f, fault);
    uint32_t delay_ms = draw(f, 80), least = ROWS + f->appended;
    struct live_result result;

    settle(f);
    struct live_process process = begin(f, text, is_sort(text) ? "30" : TIMEOUT_S);
    fm_ms began = fm_now_ms();
    usleep(delay_ms * 1000);
    begin_fault(f, fault, process.pid);
    live_cli_end(&process, &result);
    fm_ms took = fm_now_ms() - began;
    end_fault(f, fault);
    print_message("%4u %-27s after %3u ms: exit %3d in %5lld ms %.150s\n", number,
                  faults[fault].text, delay_ms, result.exit_code, (long long)took,
                  result.err.len > 1 ? (const char *)result.err.data : "\n");
    assert_outcome(fault, text, &result, least, ROWS + f->appended);
    if (took > END_MS && fault != FAULT_OTHER_DATA)
        fail_msg("%lld ms", (long long)took);
    live_result_deinit(&result);
    assert_answers(f);
    assert_nothing_stays(f, RETURN_MS);
}

/* The nodes live through more of them as time goes on, and what each leaves would add up. */
static enum fault draw_fault(struct fixture *f, uint32_t round)
{
    uint32_t first = 0;

    if (round >= ROUNDS_LONG / 10)
        first = FAULT_OWNER_KILLED;
    if (round >= ROUNDS_LONG / 10 * 3)
        first = FAULT_OWNER_FROZEN;
    return (enum fault)(first + draw(f, FAULTS - first));
}

static void run_long(struct fixture *f)
{
    fm_ms began = fm_now_ms();

    for (uint32_t i = 0; i < ROUNDS_LONG; i++) {
        run_round(f, i, draw_fault(f, i));
        for (uint32_t j = 0; j < 2 && i % 20 == 19; j++)
            live_watch_print(f->watches[j]);
    }
    print_message("%u faults in %lld s\n", ROUNDS_LONG, (long long)(fm_now_ms() - began) / 1000);
}

static void answers_are_right_or_errors(void **state)
{
    struct fixture *f = *state;

    if (getenv("FM_LONG") != NULL)
        run_long(f);
    else
        for (uint32_t i = 0; i < FAULTS; i++) /* Nodes are killed once each, that is slow. */
            if (i != FAULT_ASKED_KILLED && i != FAULT_OWNER_KILLED)
                run_round(f, i, (enum fault)i);
    assert_int_not_equal(f->spilling, 0);
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
