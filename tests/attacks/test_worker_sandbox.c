/* What SQL, and code inside a worker, can reach: nothing. The SQL goes straight to the engine, past
 * the planner's whitelist; the filter is tried call by call in a child that enters it. */
#include "query/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The very source of the worker's sandbox: the worker is a program of its own, no library. */
#include "query/worker/sandbox.c"

#define WORKER FM_BIN_DIR "/folkmoot-worker"

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)256 << 20};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK ||
        fm_worker_lend(f->engine, NULL, fm_now_ms() + 60000, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

static enum fm_status run(struct fixture *f, const char *sql)
{
    struct fm_columns columns = {0};
    struct fm_buf batch = FM_BUF_INIT(0);

    enum fm_status status = fm_worker_run(f->worker, fm_span_str(sql), NULL, &columns, &f->err);
    while (status == FM_OK) {
        fm_buf_clear(&batch);
        status = fm_worker_next(f->worker, &batch, &f->err);
    }
    fm_buf_free(&batch);
    fm_columns_deinit(&columns);
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* Each of these is an error, and the same worker goes on. */
static void sql_reaches_no_file(void **state)
{
    struct fixture *f = *state;
    static const char *const attempts[] = {
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM read_parquet('/dev/fd/3')",
        "SELECT * FROM read_csv('/folkmoot/input')",
        "SELECT * FROM read_json('http://127.0.0.1/x')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM parquet_schema('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/folkmoot-attack.csv'",
        "COPY (SELECT 1) TO '/dev/stdout'",
        "EXPORT DATABASE '/tmp/folkmoot-attack'",
        "ATTACH '/tmp/folkmoot-attack.db'",
        "INSTALL httpfs",
        "LOAD '/tmp/folkmoot-attack.duckdb_extension'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '64GB'",
        "SET threads = 64",
        "SET temp_directory = '/tmp'",
        "SET allowed_paths = ['/etc/passwd']",
        "PRAGMA enable_profiling = 'json'",
        "PRAGMA log_query_path = '/tmp/folkmoot-attack.log'",
        "SELECT * FROM duckdb_secrets(); CREATE PERSISTENT SECRET s (TYPE http)",
        "CALL sqlite_attach('/etc/passwd')",
        "IMPORT DATABASE '/tmp'",
    };
    int pid = fm_worker_pid(f->worker);

    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        enum fm_status status = run(f, attempts[i]);
        if (status != FM_INVALID && status != FM_REFUSED)
            fail_msg("%s: %s: %s", attempts[i], fm_status_text(status), f->err.text);
    }
    if (run(f, "SELECT 1") != FM_OK)
        fail_msg("the worker has ended: %s", f->err.text);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_not_equal(access("/tmp/folkmoot-attack.csv", F_OK), 0);
    /* Answers, but only about the worker itself. */
    assert_int_equal(run(f, "SELECT getenv('HOME')"), FM_INVALID);
}

/* ---- The process ----------------------------------------------------------------------------- */

static void status_line(const char *path, const char *name, char *out, size_t size)
{
    char line[256];
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    out[0] = '\0';
    while (out[0] == '\0' && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            (void)snprintf(out, size, "%s", line + strlen(name));
    (void)fclose(file);
}

static void the_process_is_locked(void **state)
{
    struct fixture *f = *state;
    char path[320], text[256];
    int pid = fm_worker_pid(f->worker);
    uint32_t threads = 0;

    assert_int_equal(run(f, "SELECT 1"), FM_OK); /* The first command turns the filter on. */
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, entry->d_name);
        status_line(path, "Seccomp:", text, sizeof text);
        assert_string_equal(text, "\t2\n");
        status_line(path, "NoNewPrivs:", text, sizeof text);
        assert_string_equal(text, "\t1\n");
        threads++;
    }
    closedir(tasks);
    assert_in_range(threads, 2, 4);
    (void)snprintf(path, sizeof path, "/proc/%d/limits", pid);
    status_line(path, "Max processes", text, sizeof text);
    assert_int_equal(atoi(text), 0);
    status_line(path, "Max core file size", text, sizeof text);
    assert_int_equal(atoi(text), 0);
#ifndef __SANITIZE_ADDRESS__
    status_line(path, "Max data size", text, sizeof text);
    long long limit = atoll(text);
    assert_true(limit > 256ll << 20);
    assert_true(limit < 600ll << 20);
#endif
}

/* Two sockets to the host, /dev/null twice, and memory for its last words. */
static void no_descriptor_of_the_host(void **state)
{
    struct fixture *f = *state;
    char path[320], target[256];
    uint32_t count = 0;
    int pid = fm_worker_pid(f->worker);

    (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        skip(); /* Not dumpable: only root may look. */
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        assert_true(len > 0);
        target[len] = '\0';
        if (strcmp(target, "/dev/null") != 0 && strncmp(target, "socket:", 7) != 0 &&
            strncmp(target, "/memfd:folkmoot-worker-stderr", 29) != 0)
            fail_msg("descriptor %s is %s", entry->d_name, target);
        count++;
    }
    closedir(folder);
    assert_int_equal(count, 5);
}

/* ---- The filter, call by call ---------------------------------------------------------------- */

enum outcome { ALLOWED = 10, EPERM_ANSWERED = 11, OTHER_ERROR = 12 };

static long call_open(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}
static long call_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}
static long call_socketpair(void)
{
    int pair[2];
    return syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
}
static long call_connect(void)
{
    return syscall(SYS_connect, 0, NULL, 0);
}
static long call_execve(void)
{
    char *none[] = {NULL};
    return syscall(SYS_execve, "/bin/true", none, none);
}
static long call_fork(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long call_ptrace(void)
{
    return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}
static long call_kill_parent(void)
{
    return syscall(SYS_kill, 1, 0);
}
static long call_process_vm(void)
{
    return syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}
static long call_memfd(void)
{
    return syscall(SYS_memfd_create, "x", 0);
}
static long call_uring(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}
static long call_unshare(void)
{
    return syscall(SYS_unshare, 0);
}
static long call_setrlimit(void)
{
    return syscall(SYS_setrlimit, 2, NULL);
}
static long call_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}
static long call_pidfd_getfd(void)
{
    return syscall(SYS_pidfd_getfd, 0, 0, 0);
}
static long call_mmap_exec(void)
{
    long at =
        syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at;
}
static long call_mprotect_exec(void)
{
    return syscall(SYS_mprotect, (void *)0x10000, 4096, PROT_READ | PROT_EXEC);
}
static long call_fcntl_dup(void)
{
    return syscall(SYS_fcntl, 0, F_DUPFD_CLOEXEC, 0);
}
static long call_pread(void)
{
    char byte;
    return syscall(SYS_pread64, 1000, &byte, 1, 0);
}
static long call_mmap(void)
{
    long at = syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == -1 ? -1 : 0;
}
static long call_stat(void)
{
    struct stat out;
    return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &out, 0);
}
static long call_prctl(void)
{
    return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static long call_tgkill_own(void)
{
    return syscall(SYS_tgkill, getpid(), getpid(), 0);
}
static long call_tgkill_other(void)
{
    return syscall(SYS_tgkill, 1, 1, 0);
}

/* What a call gives inside the filter: an outcome, or minus the signal that ended the child. */
static int try_call(long (*call)(void), bool reads)
{
    struct sandbox *sandbox = NULL;
    struct fm_error err;

    assert_int_equal(sandbox_new(&sandbox, &err), FM_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            sandbox_enter(sandbox, reads, &err) != FM_OK)
            _exit(1);
        long got = call();
        _exit(got >= 0 ? ALLOWED : errno == EPERM ? EPERM_ANSWERED : OTHER_ERROR);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    free(sandbox);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void the_filter_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        long (*call)(void);
        int outcome;
        int outcome_reads;
    } calls[] = {
        {"open", call_open, EPERM_ANSWERED, EPERM_ANSWERED},
        {"stat", call_stat, EPERM_ANSWERED, EPERM_ANSWERED},
        {"prctl", call_prctl, EPERM_ANSWERED, EPERM_ANSWERED},
        {"socket", call_socket, -SIGSYS, -SIGSYS},
        {"socketpair", call_socketpair, -SIGSYS, -SIGSYS},
        {"connect", call_connect, -SIGSYS, -SIGSYS},
        {"execve", call_execve, -SIGSYS, -SIGSYS},
        {"clone", call_fork, -SIGSYS, -SIGSYS},
        {"ptrace", call_ptrace, -SIGSYS, -SIGSYS},
        {"kill", call_kill_parent, -SIGSYS, -SIGSYS},
        {"tgkill of another", call_tgkill_other, -SIGSYS, -SIGSYS},
        {"tgkill of itself", call_tgkill_own, ALLOWED, ALLOWED},
        {"process_vm_readv", call_process_vm, -SIGSYS, -SIGSYS},
        {"memfd_create", call_memfd, -SIGSYS, -SIGSYS},
        {"io_uring_setup", call_uring, -SIGSYS, -SIGSYS},
        {"unshare", call_unshare, -SIGSYS, -SIGSYS},
        {"setrlimit", call_setrlimit, -SIGSYS, -SIGSYS},
        {"bpf", call_bpf, -SIGSYS, -SIGSYS},
        {"pidfd_getfd", call_pidfd_getfd, -SIGSYS, -SIGSYS},
        {"mmap executable", call_mmap_exec, -SIGSYS, -SIGSYS},
        {"mprotect executable", call_mprotect_exec, -SIGSYS, -SIGSYS},
        {"fcntl dup", call_fcntl_dup, EPERM_ANSWERED, ALLOWED},
        {"pread", call_pread, EPERM_ANSWERED, OTHER_ERROR /* No such descriptor. */},
        {"mmap", call_mmap, ALLOWED, ALLOWED},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int got = try_call(calls[i].call, false), got_reads = try_call(calls[i].call, true);
        if (got != calls[i].outcome || got_reads != calls[i].outcome_reads)
            fail_msg("%s: %d and %d", calls[i].name, got, got_reads);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sql_reaches_no_file),
        TEST(the_process_is_locked),
        TEST(no_descriptor_of_the_host),
        cmocka_unit_test(the_filter_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
