/* Power cuts. The store is on an ext4 whose disk is a file on an XFS that shares blocks between
 * files (reflink); a copy of that file, taken at once while threads append and hot rows are sealed,
 * is the disk as a cut leaves it. Mounted, it must hold every fact that had been acknowledged as
 * synced, once, and no append in part; of those that were answered before their sync it has the
 * first ones. Roots match, doctor is content, and the store goes on: the next writers begin on that
 * disk, and are cut while they recover, too.
 *
 * Needs root, loop devices and both mkfs; is skipped with a notice where it has not. Mounts are in
 * a mount namespace of the test's own and loop devices end with them, however it ends. */
#include "storage/check.h"
#include "tests/support/fail_io.h"
#include "tests/support/power_disk.h"
#include "tests/support/store_support.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITERS 3u /* The last one has a table of its own, with a key. */
#define APPENDS_MAX 100000u
#define APPEND_ROWS_MAX 4096u
#define CUTS 4
#define CUTS_LONG 400
#define CUTS_A_DISK 20 /* Then a new one. */
#define CUT_MS_MAX 400u

/* An append `number` of writer `writer` was acknowledged. */
struct ack {
    uint32_t writer;
    uint32_t number;
    enum fm_durability durability;
    uint64_t size;
    struct fm_hash root;
};

struct fixture {
    struct power_disk disk;
    struct random random;
    pid_t child;
    int acks;                /* Its pipe. */
    uint32_t next[WRITERS];  /* The first append that is not there. */
    uint32_t heard[WRITERS]; /* The first that was not acknowledged. */
    uint32_t acked[WRITERS]; /* The same of those that wait for their sync. */
    struct ack last[2];      /* Of each table, the largest acknowledged log. */
    uint32_t there[WRITERS][APPENDS_MAX];
};

static size_t append_count(uint32_t writer, uint32_t number)
{
    return number % 25 == 10 ? 3000 : 1 + (number * 7 + writer) % 40;
}

static const char *table_of(uint32_t writer)
{
    return writer + 1 == WRITERS ? "keyed" : "rows";
}

/* ---- The child ------------------------------------------------------------------------------- */

struct writer {
    struct fm_store *store;
    uint32_t number;
    uint32_t next;
};

static struct fm_schema *schema_of(uint32_t writer)
{
    struct fm_schema *schema = rows_schema(writer + 1 == WRITERS ? ROWS_KEYED : 0);

    (void)snprintf(schema->table, sizeof schema->table, "%s", table_of(writer)); /* Fits. */
    return schema;
}

static void *write_rows(void *argument)
{
    const struct writer *w = argument;
    struct fm_schema *schema = schema_of(w->number);
    struct row *rows = calloc(APPEND_ROWS_MAX, sizeof *rows);

    for (uint32_t number = w->next; rows != NULL && number < APPENDS_MAX; number++) {
        struct fm_append_options options = {
            .has_producer = true, .producer_id = {(uint8_t)w->number}, .producer_sequence = number};
        struct ack ack = {.writer = w->number, .number = number};
        size_t count = append_count(w->number, number);
        struct fm_appended out;
        struct fm_error err = {0};

        if (w->number == 1 && number % 4 != 0)
            options.durability = FM_DURABLE_MEMORY;
        for (size_t i = 0; i < count; i++) {
            rows[i] = row_make(i);
            rows[i].id = ((int64_t)w->number * APPENDS_MAX + number) * APPEND_ROWS_MAX + (int64_t)i;
            if (w->number + 1 == WRITERS)
                rows[i].id %= 3000; /* Supersedes. */
        }
        if (rows_append_with(w->store, schema, rows, count, &options, &out, &err) != FM_OK) {
            (void)fprintf(stderr, "append: %s\n", err.text);
            _exit(1);
        }
        ack.durability = out.durability;
        ack.size = out.size;
        ack.root = out.root;
        if (write(STDOUT_FILENO, &ack, sizeof ack) != sizeof ack) /* Below PIPE_BUF: whole. */
            _exit(1);
    }
    _exit(2);
}

static int child(const char *dir, char **next, bool syncs)
{
    struct fm_store_options options = store_options(dir);
    struct writer writers[WRITERS];
    struct fm_store *store = NULL;
    struct fm_error err = {0};
    pthread_t thread;

    if (!syncs)
        fail_io_ignore_syncs();
    options.seal_in_background = true;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || fm_core_init(&err) != FM_OK)
        return 1;
    if (fm_store_open(&options, &store, &err) != FM_OK) {
        (void)fprintf(stderr, "open: %s\n", err.text);
        return 1;
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .store = store, .number = i, .next = (uint32_t)strtoul(next[i], NULL, 10)};
        if (pthread_create(&thread, NULL, write_rows, &writers[i]) != 0)
            return 1;
    }
    for (;;)
        (void)pause(); /* Until it is killed. */
}

static void start_child(struct fixture *f, const char *dir, bool syncs)
{
    char next[WRITERS][16];
    int ends[2];

    for (uint32_t i = 0; i < WRITERS; i++)
        (void)snprintf(next[i], sizeof next[i], "%u", f->next[i]);
    assert_int_equal(pipe(ends), 0);
    f->child = fork();
    assert_true(f->child >= 0);
    if (f->child == 0) {
        (void)close(ends[0]);
        if (dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO)
            (void)execl("/proc/self/exe", "test_store_power", syncs ? "--child" : "--careless", dir,
                        next[0], next[1], next[2], (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    f->acks = ends[0];
}

static void end_child(struct fixture *f)
{
    int status;

    assert_int_equal(kill(f->child, SIGKILL), 0);
    assert_int_equal(waitpid(f->child, &status, 0), f->child);
    f->child = 0;
    (void)close(f->acks);
    if (!WIFSIGNALED(status))
        fail_msg("the writers ended with wait status %d", status);
}

/* Take acknowledgements for so long. */
static void listen_for(struct fixture *f, unsigned ms)
{
    fm_ms end = fm_now_ms() + ms;

    for (;;) {
        struct pollfd fd = {.fd = f->acks, .events = POLLIN};
        fm_ms left = end - fm_now_ms();
        struct ack ack;

        if (poll(&fd, 1, left > 0 ? (int)left : 0) <= 0)
            return;
        if (read(f->acks, &ack, sizeof ack) != sizeof ack)
            fail_msg("the writers ended");
        assert_true(ack.writer < WRITERS && ack.number == f->heard[ack.writer]);
        f->heard[ack.writer]++;
        if (ack.durability != FM_DURABLE_FSYNC)
            continue;
        f->acked[ack.writer] = ack.number + 1;
        struct ack *last = &f->last[ack.writer + 1 == WRITERS];
        if (ack.size > last->size)
            *last = ack;
    }
}

static void wait_for_ack(struct fixture *f)
{
    uint64_t size = f->last[0].size;

    for (int i = 0; i < 300 && f->last[0].size == size; i++)
        listen_for(f, 100);
    assert_true(f->last[0].size > size);
}

/* ---- What a disk holds ----------------------------------------------------------------------- */

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    (void)fprintf(stderr, "%s: %s\n", finding->part, finding->text);
}

static void examine(const char *dir)
{
    struct fm_check_options options = {.dir = dir, .finding = print_finding};
    struct fm_check_result result = {0};
    struct fm_error err = {0};

    if (fm_store_check(&options, &result, &err) != FM_OK)
        fail_msg("doctor: %s", err.text);
    assert_int_equal(result.damage_count, 0);
}

static void expect_head(struct fm_snapshot *snapshot, const char *table, const struct ack *ack)
{
    struct fm_table_info info;
    struct fm_error err = {0};
    struct fm_proof proof;

    if (ack->size == 0)
        return;
    assert_int_equal(fm_snapshot_table(snapshot, "tests", table, &info), FM_OK);
    assert_true(info.size >= ack->size);
    assert_int_equal(
        fm_snapshot_consistency(snapshot, "tests", table, ack->size, info.size, &proof, &err),
        FM_OK);
    assert_int_equal(
        fm_proof_check_consistency(&proof, ack->size, &ack->root, info.size, &info.root), FM_OK);
    fm_schema_free(info.schema);
}

/* Every append of the table without a key is there once and whole, or not at all; those of a writer
 * one behind the other. */
static void take_rows(struct fixture *f, struct fm_snapshot *snapshot)
{
    struct row_list rows;
    struct fm_error err = {0};

    memset(f->there, 0, sizeof f->there);
    if (rows_scan(snapshot, NULL, &rows, &err) != FM_OK)
        fail_msg("scan: %s", err.text);
    for (size_t i = 0; i < rows.count; i++) {
        uint64_t append = (uint64_t)rows.rows[i].id / APPEND_ROWS_MAX;

        assert_true(append < (uint64_t)(WRITERS - 1) * APPENDS_MAX);
        /* The rows of an append are side by side, so one that comes twice breaks the count. */
        assert_int_equal(f->there[append / APPENDS_MAX][append % APPENDS_MAX]++,
                         rows.rows[i].id % APPEND_ROWS_MAX);
    }
    row_list_free(&rows);
    for (uint32_t writer = 0; writer + 1 < WRITERS; writer++) {
        uint32_t number = 0;

        while (f->there[writer][number] > 0) {
            assert_int_equal(f->there[writer][number], append_count(writer, number));
            number++;
        }
        f->next[writer] = number;
        for (; number < APPENDS_MAX; number++)
            assert_int_equal(f->there[writer][number], 0);
    }
}

/* The log with a key has one writer. */
static void take_keyed(struct fixture *f, struct fm_snapshot *snapshot)
{
    struct fm_table_info info;
    uint64_t size = 0;
    uint32_t number = 0;

    assert_int_equal(fm_snapshot_table(snapshot, "tests", table_of(WRITERS - 1), &info), FM_OK);
    while (size < info.size)
        size += append_count(WRITERS - 1, number++);
    assert_int_equal(size, info.size);
    f->next[WRITERS - 1] = number;
    fm_schema_free(info.schema);
}

static void check_disk(struct fixture *f, const char *dir)
{
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err = {0};
    struct fm_store *store;

    examine(dir);
    store = store_open_good(dir);
    assert_int_equal(fm_snapshot_open(store, &snapshot, &err), FM_OK);
    take_rows(f, snapshot);
    take_keyed(f, snapshot);
    for (uint32_t writer = 0; writer < WRITERS; writer++) {
        if (f->next[writer] < f->acked[writer])
            fail_msg("writer %u: %u appends acknowledged, %u there", writer, f->acked[writer],
                     f->next[writer]);
    }
    expect_head(snapshot, "rows", &f->last[0]);
    expect_head(snapshot, "keyed", &f->last[1]);
    fm_snapshot_free(snapshot);
    fm_store_close(store);
}

/* ---- Cuts ------------------------------------------------------------------------------------ */

static void make_store(struct fixture *f)
{
    char dir[POWER_PATH_MAX];
    struct fm_error err = {0};
    struct fm_store *store;

    power_disk_make(&f->disk);
    power_disk_mount(&f->disk, POWER_LIVE, dir);
    store = store_open_good(dir);
    for (uint32_t writer = 1; writer < WRITERS; writer++) {
        struct fm_schema *schema = schema_of(writer);

        assert_int_equal(fm_store_define(store, schema, 1, &err), FM_OK);
        fm_schema_free(schema);
    }
    fm_store_close(store);
    power_disk_unmount(&f->disk, POWER_LIVE);
    memset(f->next, 0, sizeof f->next);
    memset(f->heard, 0, sizeof f->heard);
    memset(f->acked, 0, sizeof f->acked);
    memset(f->last, 0, sizeof f->last);
}

static void cut_once(struct fixture *f)
{
    char dir[POWER_PATH_MAX];
    uint32_t before = f->acked[0] + f->acked[1] + f->acked[2];

    power_disk_mount(&f->disk, POWER_LIVE, dir);
    memcpy(f->heard, f->next, sizeof f->heard);
    memcpy(f->acked, f->next, sizeof f->acked); /* What a check saw there stays. */
    start_child(f, dir, true);
    /* Some cuts come while the store opens, most while it is appended to. */
    if (before == 0 || random_below(&f->random, 4) != 0)
        wait_for_ack(f);
    listen_for(f, random_below(&f->random, CUT_MS_MAX));
    power_disk_cut(&f->disk);
    end_child(f);
    power_disk_unmount(&f->disk, POWER_LIVE);
    power_disk_mount(&f->disk, POWER_CUT, dir);
    check_disk(f, dir);
    power_disk_unmount(&f->disk, POWER_CUT);
    power_disk_adopt(&f->disk);
    assert_true(f->acked[0] + f->acked[1] + f->acked[2] >= before);
}

static void nothing_acknowledged_is_lost(void **state)
{
    struct fixture *f = *state;
    int cuts = getenv("FM_LONG") != NULL ? CUTS_LONG : CUTS;
    uint64_t facts = 0;

    for (int i = 0; i < cuts; i++) {
        if (i % CUTS_A_DISK == 0)
            make_store(f);
        cut_once(f);
        facts = f->last[0].size + f->last[1].size;
    }
    print_message("%d cuts; %llu facts acknowledged on the last disk\n", cuts,
                  (unsigned long long)facts);
    assert_true(facts > 0);
}

/* What this test is worth: where syncs do nothing, a cut takes what was acknowledged. */
static void a_cut_takes_what_was_not_synced(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options;
    struct fm_table_info info;
    struct fm_store *store = NULL;
    struct fm_error err = {0};
    char dir[POWER_PATH_MAX];

    make_store(f);
    power_disk_mount(&f->disk, POWER_LIVE, dir);
    start_child(f, dir, false);
    wait_for_ack(f);
    power_disk_cut(&f->disk);
    end_child(f);
    power_disk_unmount(&f->disk, POWER_LIVE);
    power_disk_mount(&f->disk, POWER_CUT, dir);
    options = store_options(dir);
    if (fm_store_open(&options, &store, &err) == FM_OK) { /* Else its loss was noticed. */
        info = rows_info(store);
        assert_true(info.size < f->last[0].size);
        fm_schema_free(info.schema);
    }
    fm_store_close(store);
    power_disk_unmount(&f->disk, POWER_CUT);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->random.state = (uint64_t)fm_now_us() | 1;
    power_disk_begin(&f->disk);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->child > 0) { /* The test failed. */
        (void)kill(f->child, SIGKILL);
        (void)waitpid(f->child, NULL, 0);
    }
    power_disk_end(&f->disk);
    free(f);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_takes_what_was_not_synced, setup, teardown),
    };
    char reason[256];

    if (argc == 3 + (int)WRITERS)
        return child(argv[2], argv + 3, strcmp(argv[1], "--child") == 0);
    if (!power_disk_is_possible(reason, sizeof reason)) {
        (void)printf("SKIPPED: no power cuts here: %s\n", reason);
        return 77; /* tests/CMakeLists.txt: counts as skipped. */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
