#include "query/worker/sandbox.h"

#include "query/worker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DATA_SPARE_BYTES (UINT64_C(64) << 20)
#define FILTER_STEPS_MAX 4096u

/* Sanitizers map terabytes, and need calls that DuckDB does not make. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* A program begins with a few steps of our own, for what is known in the worker only. */
#define OWN_STEPS 8u

struct filter {
    unsigned short steps;
    struct sock_filter program[OWN_STEPS + FILTER_STEPS_MAX];
};

struct sandbox {
    struct filter filters[SANDBOX_KINDS];
};

/* What DuckDB's threads and libc's allocator need, and the sockets. set_robust_list and rseq: a
 * thread may have been created but not yet begun when the filter comes. */
static const int allowed[] = {
    SCMP_SYS(futex),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(madvise),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(sched_yield),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getcpu),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(close),
    SCMP_SYS(sysinfo),
};

/* Plain SQL can provoke these (read_csv('/etc/passwd') looks at the path before it refuses): they
 * fail, instead of ending the worker. */
static const int refused[] = {
    SCMP_SYS(open),       SCMP_SYS(openat),
    SCMP_SYS(openat2),    SCMP_SYS(creat),
    SCMP_SYS(stat),       SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(access),     SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
    SCMP_SYS(chdir),      SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),    SCMP_SYS(rmdir),
    SCMP_SYS(unlink),     SCMP_SYS(unlinkat),
    SCMP_SYS(rename),     SCMP_SYS(renameat),
    SCMP_SYS(renameat2),  SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),    SCMP_SYS(getdents64),
    SCMP_SYS(ioctl),      SCMP_SYS(fcntl),
    SCMP_SYS(prlimit64),  SCMP_SYS(getrlimit),
    SCMP_SYS(uname),      SCMP_SYS(getuid),
    SCMP_SYS(geteuid),    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(write),      SCMP_SYS(writev),
    SCMP_SYS(prctl),
};

/* On files, refused to all but those who spill. */
static const int spilling[] = {
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(pwrite64),
};

/* What reading the one descriptor of an ingest takes. A query's worker is refused them. */
static const int reading[] = {
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(fadvise64),
};

#if SANITIZED
static const int sanitizer[] = {SCMP_SYS(readv), SCMP_SYS(getppid), SCMP_SYS(rt_sigaction)};
#endif

static int add_all(scmp_filter_ctx context, uint32_t action, const int *calls, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++)
        failed = seccomp_rule_add(context, action, calls[i], 0);
    return failed;
}

/* Only on the descriptors of files that are spilled to. */
static int add_spilling(scmp_filter_ctx context, const int *calls, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++) {
        failed = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i], 1,
                                  SCMP_A0(SCMP_CMP_GE, FILES_SPILL_FIRST));
        if (failed == 0)
            failed = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), calls[i], 1,
                                      SCMP_A0(SCMP_CMP_LT, FILES_SPILL_FIRST));
    }
    return failed;
}

/* Calls that depend on their arguments. Memory: never executable. */
static int add_conditional(scmp_filter_ctx context, enum sandbox_kind kind)
{
    static const int mapping[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    static const int copying[] = {F_DUPFD_CLOEXEC, F_DUPFD, F_GETFL, F_GETFD};
    int failed = 0;

    for (size_t i = 0; i < 2 && failed == 0; i++)
        failed = seccomp_rule_add(context, SCMP_ACT_ALLOW, mapping[i], 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    for (size_t i = 0; i < sizeof copying / sizeof *copying && failed == 0 && kind == SANDBOX_READS;
         i++)
        failed = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)copying[i]));
    return failed;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int add_rules(scmp_filter_ctx context, enum sandbox_kind kind)
{
    bool reads = kind == SANDBOX_READS, spills = kind == SANDBOX_SPILLS;
    int failed = add_all(context, SCMP_ACT_ALLOW, allowed, COUNT(allowed));

    for (size_t i = 0; i < COUNT(refused) && failed == 0; i++) {
        if (refused[i] == SCMP_SYS(fcntl) && (reads || spills))
            continue; /* Decided by its argument. */
        if ((refused[i] == SCMP_SYS(write) || refused[i] == SCMP_SYS(writev)) && SANITIZED)
            continue; /* Reports go to stderr. */
        failed = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    }
    if (failed == 0 && spills) {
        static const int copying[] = {SCMP_SYS(fcntl)};
        failed = add_spilling(context, reading, COUNT(reading));
        if (failed == 0)
            failed = add_spilling(context, spilling, COUNT(spilling));
        if (failed == 0)
            failed = add_spilling(context, copying, COUNT(copying));
    } else if (failed == 0) {
        failed = add_all(context, reads ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), reading,
                         COUNT(reading));
        if (failed == 0)
            failed = add_all(context, SCMP_ACT_ERRNO(EPERM), spilling, COUNT(spilling));
    }
#if SANITIZED
    static const int writing[] = {SCMP_SYS(write), SCMP_SYS(writev)};
    if (failed == 0)
        failed = add_all(context, SCMP_ACT_ALLOW, writing, COUNT(writing));
    if (failed == 0)
        failed = add_all(context, SCMP_ACT_ALLOW, sanitizer, COUNT(sanitizer));
#endif
    return failed == 0 ? add_conditional(context, kind) : failed;
}

/* libseccomp writes a program to a descriptor only. */
static int export_program(scmp_filter_ctx context, struct filter *out)
{
    struct sock_filter *to = out->program + OWN_STEPS;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failed = seccomp_export_bpf(context, fd);
    ssize_t bytes = failed == 0 ? pread(fd, to, FILTER_STEPS_MAX * sizeof *to, 0) : 0;
    (void)close(fd); /* Memory only. */
    if (failed != 0)
        return failed;
    if (bytes <= 0 || (size_t)bytes >= FILTER_STEPS_MAX * sizeof *to ||
        (size_t)bytes % sizeof *to != 0)
        return -EINVAL;
    out->steps = (unsigned short)((size_t)bytes / sizeof *to + OWN_STEPS);
    return 0;
}

/* tgkill: of this process only, which is how abort() ends it. The filter was made before the
 * process had its number. */
static void put_own_steps(struct filter *filter)
{
    uint32_t pid = (uint32_t)getpid(), arch = seccomp_arch_native();
    uint32_t at_arch = offsetof(struct seccomp_data, arch);
    uint32_t at_number = offsetof(struct seccomp_data, nr);
    uint32_t at_pid = offsetof(struct seccomp_data, args); /* Little endian: its low half. */
    const struct sock_filter steps[OWN_STEPS] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at_arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at_number),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at_pid),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, pid, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    memcpy(filter->program, steps, sizeof steps);
}

static int build(struct filter *out, enum sandbox_kind kind)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (context == NULL)
        return -ENOMEM;
    (void)seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* A tree; else a list serves. */
    int failed = add_rules(context, kind);
    if (failed == 0)
        failed = export_program(context, out);
    seccomp_release(context);
    return failed;
}

enum fm_status sandbox_new(struct sandbox **out, struct fm_error *err)
{
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);

    if (sandbox == NULL)
        return fm_fail(err, FM_NOMEM, "system call filter: out of memory");
    int failed = 0;
    for (int kind = 0; kind < SANDBOX_KINDS && failed == 0; kind++)
        failed = build(&sandbox->filters[kind], (enum sandbox_kind)kind);
    if (failed != 0) {
        free(sandbox);
        return fm_fail_errno(err, FM_IO, -failed, "system call filter");
    }
    *out = sandbox;
    return FM_OK;
}

/* Bytes that RLIMIT_DATA counts, as they are now: the sixth number of statm, in pages. */
static uint64_t data_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) != 1)
        pages = 0;
    (void)fclose(file); /* Read only. */
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_limit(int what, uint64_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    return setrlimit((__rlimit_resource_t)what, &limit);
}

enum fm_status sandbox_limit(uint64_t memory_bytes, uint64_t spill_bytes, struct fm_error *err)
{
    uint64_t file_bytes = SANITIZED && spill_bytes == 0 ? 1 << 20 : spill_bytes;

    /* Descriptors: 0 to 4, one being handed over, DuckDB's handles of an ingest's input, and of
     * files that are spilled to. */
    if (set_limit(RLIMIT_CORE, 0) != 0 || set_limit(RLIMIT_FSIZE, file_bytes) != 0 ||
        set_limit(RLIMIT_NPROC, 0) != 0 || set_limit(RLIMIT_NOFILE, 128) != 0)
        return fm_fail_errno(err, FM_IO, errno, "limit the worker");
    uint64_t idle = data_bytes();
    if (!SANITIZED && idle == 0)
        return fm_fail(err, FM_IO, "limit the worker: /proc/self/statm cannot be read");
    if (!SANITIZED && set_limit(RLIMIT_DATA, idle + memory_bytes + DATA_SPARE_BYTES) != 0)
        return fm_fail_errno(err, FM_IO, errno, "limit the worker's memory");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fm_fail_errno(err, FM_IO, errno, "lock the worker");
    return FM_OK;
}

enum fm_status sandbox_enter(struct sandbox *sandbox, enum sandbox_kind kind, struct fm_error *err)
{
    struct filter *filter = &sandbox->filters[kind];

    put_own_steps(filter);
    struct sock_fprog program = {.len = filter->steps, .filter = filter->program};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return fm_fail_errno(err, FM_IO, errno, "system call filter");
    return FM_OK;
}
