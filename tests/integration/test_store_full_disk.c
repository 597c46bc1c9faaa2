/* A small disk that is full at the moment of an append, before its rows or between rows and commit,
 * of sealing, or of a checkpoint, with 0, 4, 8, ... KiB left until it succeeds. While the disk is
 * still full the store opens and serves; once there is room everything acknowledged is there,
 * nothing is there by half, and appends go on. Needs to mount a tmpfs in a namespace of its own;
 * where that is not permitted it says so and is skipped. */
#include "storage/checkpoint.h"
#include "tests/support/store_history.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DISK_OPTIONS "size=96m,mode=0700"
#define LEFT_MAX (4u << 20)

enum stage { SMALL, LARGE, COMMIT, SEAL, MERGE, CHECKPOINT };

/* The last two append nothing. */
static const unsigned tried_appends[] = {
    1u << HISTORY_SMALL, 1u << HISTORY_LARGE, 1u << HISTORY_LARGE, 0, 0, 0};

struct fixture {
    char base[STORE_DIR_MAX]; /* On another disk. */
    char disk[STORE_DIR_MAX]; /* Where the tmpfs is. */
    char trial[STORE_DIR_MAX + 8];
    char ballast[STORE_DIR_MAX + 8];
    unsigned trials;
    unsigned aborts;
    unsigned refused;
};

/* Where the disk is mounted; empty: not permitted. Made once, before there is any other thread:
 * RocksDB's would stay in the old namespace. */
static char disk[STORE_DIR_MAX];

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        (void)fprintf(stderr, "%s is not written\n", path); /* The mount fails then. */
    if (fd >= 0)
        (void)close(fd);
}

static bool enter_namespace(void)
{
    char users[64], groups[64];

    if (unshare(CLONE_NEWNS) == 0)
        return true;
    (void)snprintf(users, sizeof users, "0 %u 1", (unsigned)getuid());
    (void)snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getgid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", users);
    write_file("/proc/self/gid_map", groups);
    return true;
}

static void mount_disk(void)
{
    (void)snprintf(disk, sizeof disk, "/tmp/fm-disk-XXXXXX"); /* Fits. */
    if (mkdtemp(disk) != NULL && enter_namespace() &&
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", disk, "tmpfs", 0, DISK_OPTIONS) == 0)
        return;
    (void)rmdir(disk); /* Empty, if there at all. */
    disk[0] = '\0';
}

static void unmount_disk(void)
{
    if (disk[0] == '\0')
        return;
    (void)umount2(disk, MNT_DETACH); /* Goes with the namespace anyway. */
    (void)rmdir(disk);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->base);
    history_make(f->base);
    (void)snprintf(f->trial, sizeof f->trial, "%s/data", disk);
    (void)snprintf(f->ballast, sizeof f->ballast, "%s/ballast", disk);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_dir_remove(f->base);
    free(f);
    return 0;
}

/* ---- The child ------------------------------------------------------------------------------- */

struct filling {
    const char *ballast;
    uint64_t left; /* Bytes. */
};

static void fill(void *context)
{
    const struct filling *filling = context;
    struct statvfs fs;
    int fd = open(filling->ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || fstatvfs(fd, &fs) != 0)
        _exit(2);
    uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes > filling->left && posix_fallocate(fd, 0, (off_t)(bytes - filling->left)) != 0)
        _exit(3);
    (void)close(fd);
}

static enum fm_status operate(struct fm_store *store, enum stage stage, struct filling *filling)
{
    struct fm_checkpoint checkpoint;
    struct fm_error err = {0};
    enum fm_status status;

    if (stage != COMMIT)
        fill(filling);
    switch (stage) {
    case SMALL:
        return history_append(store, HISTORY_SMALL, NULL, NULL, &err);
    case LARGE:
        return history_append(store, HISTORY_LARGE, NULL, NULL, &err);
    case COMMIT:
        return history_append(store, HISTORY_LARGE, fill, filling, &err);
    case SEAL:
        return fm_store_seal(store, "tests", "rows", NULL, &err);
    case MERGE: /* Of what was there and what is sealed now. */
        status = fm_store_seal(store, "tests", "rows", NULL, &err);
        return status == FM_OK ? fm_store_merge(store, "tests", "rows", NULL, &err) : status;
    default:
        return fm_store_checkpoint(store, &checkpoint, &err);
    }
}

static int child(const char *dir, const char *ballast, enum stage stage, uint64_t left)
{
    struct fm_store_options options = store_options(dir);
    struct filling filling = {ballast, left};
    struct fm_store *store = NULL;
    struct fm_error err = {0};

    if (fm_core_init(&err) != FM_OK || fm_store_open(&options, &store, &err) != FM_OK)
        return 1;
    enum fm_status status = operate(store, stage, &filling);

    printf("%d\n", (int)status);
    (void)fflush(stdout); /* The parent notices when nothing comes. */
    fm_store_close(store);
    _exit(0);
}

/* ---- The parent ------------------------------------------------------------------------------ */

/* The append's status; FM_IO when the child did not live to say it. */
static enum fm_status run(struct fixture *f, enum stage stage, uint64_t left)
{
    char numbers[2][24], output[4096];
    const char *arguments[] = {"--child", f->trial, f->ballast, numbers[0], numbers[1], NULL};
    int said = FM_IO;

    (void)snprintf(numbers[0], sizeof numbers[0], "%d", (int)stage);
    (void)snprintf(numbers[1], sizeof numbers[1], "%llu", (unsigned long long)left);
    int status = history_run_child(arguments, output, sizeof output);
    bool has_said = sscanf(output, "%d", &said) == 1;
    if (history_rocksdb_aborted(status, output))
        f->aborts++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !has_said)
        fail_msg("stage %d, %llu bytes left: wait status %d: %s", (int)stage,
                 (unsigned long long)left, status, output);
    f->trials++;
    return has_said ? (enum fm_status)said : FM_IO;
}

/* One look at what is there: the base, and the append if it was acknowledged. */
static void look(struct fixture *f, struct fm_store *store, enum stage stage, enum fm_status status)
{
    unsigned base = (1u << HISTORY_BASE) - 1, tried = tried_appends[stage];
    unsigned present = history_check(store);

    assert_int_equal(present & base, base);
    assert_int_equal(present & ~(base | tried), 0);
    if (status == FM_OK)
        assert_int_equal(present & tried, tried);
    f->refused += status != FM_OK;
}

static void look_while_full(struct fixture *f, enum stage stage, enum fm_status status)
{
    struct fm_store_options options = store_options(f->trial);
    struct fm_store *store = NULL;
    struct fm_error err = {0};

    /* The reserve file is given up for this, and not made anew from what little there is. */
    options.free_bytes_min = 32u << 20;
    if (fm_store_open(&options, &store, &err) != FM_OK)
        fail_msg("the store does not open on a full disk: %s", err.text);
    look(f, store, stage, status);
    fm_store_close(store);
}

static enum fm_status try_with(struct fixture *f, enum stage stage, uint64_t left)
{
    struct fm_store *store;
    struct fm_error err = {0};

    store_copy(f->base, f->trial);
    enum fm_status status = run(f, stage, left);
    look_while_full(f, stage, status);
    assert_int_equal(unlink(f->ballast), 0);
    store = store_open_good(f->trial);
    look(f, store, stage, status);
    if (history_append(store, HISTORY_LAST, NULL, NULL, &err) != FM_OK)
        fail_msg("no append once there is room: %s", err.text);
    fm_store_close(store);
    store_remove(f->trial);
    return status;
}

static void sweep(struct fixture *f, enum stage stage)
{
    uint64_t left = 0;

    if (disk[0] == '\0') {
        print_message("skipped: mounting a tmpfs is not permitted here\n");
        skip();
    }
    while (try_with(f, stage, left) != FM_OK) {
        left += left < 16384 ? 4096 : left / 4 / 4096 * 4096;
        assert_true(left < LEFT_MAX);
    }
    print_message("%u full disks, of which %u ended the process\n", f->trials, f->aborts);
    assert_true(f->refused > 0);
}

static void test_small_append(void **state)
{
    sweep(*state, SMALL);
}

static void test_large_append(void **state)
{
    sweep(*state, LARGE);
}

static void test_commit_of_a_large_append(void **state)
{
    sweep(*state, COMMIT);
}

static void test_sealing(void **state)
{
    sweep(*state, SEAL);
}

static void test_merging(void **state)
{
    sweep(*state, MERGE);
}

static void test_checkpoint(void **state)
{
    sweep(*state, CHECKPOINT);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_of_a_large_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merging, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checkpoint, setup, teardown),
    };

    if (argc == 6 && strcmp(argv[1], "--child") == 0)
        return child(argv[2], argv[3], (enum stage)strtol(argv[4], NULL, 10),
                     strtoull(argv[5], NULL, 10));
    mount_disk();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unmount_disk();
    return failures;
}
