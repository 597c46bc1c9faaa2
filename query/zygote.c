#include "query/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FD 3         /* Where folkmoot-worker expects its socket. */
#define START_MS_MAX 60000 /* DuckDB loads in a tenth of a second; sanitizers take longer. */
#define REQUEST_MS_MAX 10000
#define ENVIRONMENT_MAX 8

void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Sockets and memory: nothing is lost. */
    *fd = -1;
}

/* What the worker may know of the host's environment. */
static void choose_environment(char *out[ENVIRONMENT_MAX])
{
    static const char *const passed[] = {"LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                         "TSAN_OPTIONS"};
    static const char *const fixed[] = {"TZ=UTC", "LC_ALL=C.UTF-8", "HOME=/nonexistent"};
    size_t count = 0;

    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && count + 1 < ENVIRONMENT_MAX; i++)
        out[count++] = (char *)(uintptr_t)fixed[i]; /* posix_spawn() does not write to it. */
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        for (char **at = environ; *at != NULL && count + 1 < ENVIRONMENT_MAX; at++) {
            size_t len = strlen(passed[i]);
            if (strncmp(*at, passed[i], len) == 0 && (*at)[len] == '=')
                out[count++] = *at;
        }
    out[count] = NULL;
}

static int add_descriptors(posix_spawn_file_actions_t *actions, int socket_fd, int errors)
{
    int failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (failed == 0)
        failed = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, errors, 2);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, socket_fd, CHILD_FD);
    return failed;
}

/* Signals as a program expects them, whatever the host blocks or ignores. */
static int add_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (failed == 0)
        failed =
            posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return failed;
}

static int spawn(const char *path, int socket_fd, int errors, pid_t *out)
{
    char name[] = "folkmoot-worker", mode[] = "--zygote";
    char *arguments[] = {name, mode, NULL};
    char *environment[ENVIRONMENT_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    choose_environment(environment);
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        failed = add_descriptors(&actions, socket_fd, errors);
        if (failed == 0)
            failed = add_signals(&attributes);
        if (failed == 0)
            failed = posix_spawn(out, path, &actions, &attributes, arguments, environment);
        (void)posix_spawnattr_destroy(&attributes); /* Cannot fail on Linux. */
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* Put the last line of its stderr behind what is in `err`. */
static enum fm_status fail_with_words(const struct zygote *zygote, enum fm_status status,
                                      const char *what, struct fm_error *err)
{
    char words[512];
    ssize_t bytes = pread(zygote->errors, words, sizeof words - 1, 0);
    if (bytes < 0)
        bytes = 0;
    while (bytes > 0 && words[bytes - 1] == '\n')
        bytes--;
    words[bytes] = '\0';
    char *line = strrchr(words, '\n');
    return fm_fail(err, status, "%s%s%s", what, bytes > 0 ? ": " : "",
                   line != NULL ? line + 1 : words);
}

static enum fm_status greet(struct zygote *zygote, const struct channel_hello *hello,
                            struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf payload = FM_BUF_INIT(0);
    fm_ms deadline = fm_now_ms() + START_MS_MAX;

    channel_hello_encode(&payload, hello);
    enum fm_status status = fm_buf_status(&payload);
    if (status == FM_OK)
        status = channel_send(zygote->fd, CHANNEL_HELLO, 0, fm_buf_span(&payload), -1, deadline);
    if (status == FM_OK)
        status = channel_reader_wait(&zygote->reader, deadline);
    if (status == FM_OK && zygote->reader.frame.kind != CHANNEL_AWAKE)
        status = FM_MALFORMED;
    if (status != FM_OK)
        return fail_with_words(zygote, FM_IO, "the worker program does not start", err);
    return FM_OK;
}

enum fm_status zygote_start(struct zygote *zygote, const char *path,
                            const struct channel_hello *hello, struct fm_error *err)
{
    FM_AUTO(close_fd) int theirs = -1;
    int pair[2];

    if (access(path, X_OK) != 0)
        return fm_fail_errno(err, FM_NOTFOUND, errno, "worker program %s", path);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fm_fail_errno(err, FM_IO, errno, "start the worker program: socket");
    theirs = pair[1];
    zygote->fd = pair[0];
    channel_reader_init(&zygote->reader, zygote->fd);
    zygote->errors = memfd_create("folkmoot-worker-stderr", MFD_CLOEXEC);
    int failed = zygote->errors < 0 ? errno : 0;
    if (failed == 0)
        failed = spawn(path, theirs, zygote->errors, &zygote->pid);
    close_fd(&theirs); /* Or its end would never be seen. */
    zygote->generation++;
    enum fm_status status = FM_OK;
    if (failed != 0) {
        zygote->pid = 0;
        status = fm_fail_errno(err, FM_IO, failed, "start %s", path);
    }
    if (status == FM_OK)
        status = greet(zygote, hello, err);
    if (status != FM_OK)
        zygote_stop(zygote);
    return status;
}

void zygote_stop(struct zygote *zygote)
{
    channel_reader_deinit(&zygote->reader);
    channel_reader_init(&zygote->reader, -1);
    close_fd(&zygote->fd);
    close_fd(&zygote->errors);
    if (zygote->pid > 0) {
        (void)kill(zygote->pid, SIGKILL); /* Its workers follow by PR_SET_PDEATHSIG. */
        while (waitpid(zygote->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    zygote->pid = 0;
}

enum fm_status zygote_fork(struct zygote *zygote, const int descriptors[3], pid_t *out,
                           struct fm_error *err)
{
    static const enum channel_kind kinds[3] = {CHANNEL_CONTROL, CHANNEL_SCAN, CHANNEL_MEMORY};
    fm_ms deadline = fm_now_ms() + REQUEST_MS_MAX;
    struct fm_span none = {NULL, 0};

    enum fm_status status = channel_send(zygote->fd, CHANNEL_FORK, 0, none, -1, deadline);
    for (int i = 0; i < 3 && status == FM_OK; i++)
        status = channel_send(zygote->fd, kinds[i], 0, none, descriptors[i], deadline);
    if (status == FM_OK)
        status = channel_reader_wait(&zygote->reader, deadline);
    if (status == FM_OK && zygote->reader.frame.kind != CHANNEL_FORKED)
        status = FM_MALFORMED;
    if (status != FM_OK)
        return fail_with_words(zygote, FM_IO, "the engine's first process is gone", err);
    if (zygote->reader.frame.number == 0)
        return fm_fail(err, FM_UNAVAILABLE, "the system has no room for another worker process");
    *out = (pid_t)zygote->reader.frame.number;
    return FM_OK;
}

enum fm_status zygote_wait(struct zygote *zygote, pid_t pid, int *out)
{
    fm_ms deadline = fm_now_ms() + REQUEST_MS_MAX;

    enum fm_status status =
        channel_send(zygote->fd, CHANNEL_WAIT, (uint32_t)pid, fm_span(NULL, 0), -1, deadline);
    if (status == FM_OK)
        status = channel_reader_wait(&zygote->reader, deadline);
    if (status == FM_OK && zygote->reader.frame.kind != CHANNEL_EXITED)
        status = FM_MALFORMED;
    if (status == FM_OK)
        *out = (int)zygote->reader.frame.number;
    return status;
}
