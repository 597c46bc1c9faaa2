#include "tests/support/bench_process.h"

#include "tests/support/bench_report.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 4096u
#define SAMPLE_MS 20

void bench_child_start(struct bench_child *child, char *const arguments[])
{
    int to[2], from[2];

    (void)fflush(NULL); /* So that the child does not print it once more. */
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        bench_die("no pipe");
    child->pid = fork();
    if (child->pid < 0)
        bench_die("no child");
    if (child->pid == 0) {
        if (dup2(to[0], 0) == 0 && dup2(from[1], 1) == 1)
            (void)execv(arguments[0], arguments); /* Comes back only when it failed. */
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    child->to = to[1];
    child->from = from[0];
}

void bench_child_read(const struct bench_child *child, char line[64])
{
    for (size_t i = 0; i < 64; i++) {
        if (read(child->from, &line[i], 1) != 1)
            bench_die("a child ended before it answered");
        if (line[i] == '\n') {
            line[i] = '\0';
            return;
        }
    }
    bench_die("a child said too much");
}

void bench_child_kill(struct bench_child *child)
{
    (void)kill(child->pid, SIGKILL); /* Gone is as good. */
    if (waitpid(child->pid, NULL, 0) != child->pid)
        bench_die("a child is lost");
    (void)close(child->to);
    (void)close(child->from);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

struct process {
    pid_t pid;
    pid_t parent;
};

/* The number after `name` in a file of /proc, in KiB; -1: cannot be read. */
static long read_kib(pid_t pid, const char *file, const char *name)
{
    char path[64], line[256];
    long kib = -1;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return -1;
    while (kib < 0 && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    (void)fclose(stream); /* Read only. */
    return kib;
}

static pid_t parent_of(pid_t pid)
{
    return (pid_t)read_kib(pid, "status", "PPid:");
}

static size_t list_processes(struct process *out)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    if (directory == NULL)
        bench_die("no /proc");
    while (count < PROCESSES_MAX && (entry = readdir(directory)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            out[count++] = (struct process){.pid = pid, .parent = parent_of(pid)};
    }
    (void)closedir(directory); /* Read only. */
    return count;
}

static long process_kib(pid_t pid)
{
    long kib = read_kib(pid, "smaps_rollup", "Pss:");

    if (kib < 0)
        kib = read_kib(pid, "status", "VmRSS:");
    return kib < 0 ? 0 : kib; /* It ended meanwhile. */
}

/* Parents are listed before or after their children: look until nothing is added. */
static long tree_kib(pid_t root, struct process *processes)
{
    size_t count = list_processes(processes), inside = 0;
    long kib = 0;
    bool added = true;

    for (size_t i = 0; i < count; i++)
        if (processes[i].pid == root) {
            struct process first = processes[0];
            processes[0] = processes[i];
            processes[i] = first;
            inside = 1;
        }
    while (added) {
        added = false;
        for (size_t i = inside; i < count; i++)
            for (size_t j = 0; j < inside; j++)
                if (processes[i].parent == processes[j].pid) {
                    struct process child = processes[i];
                    processes[i] = processes[inside];
                    processes[inside++] = child;
                    added = true;
                    break;
                }
    }
    for (size_t i = 0; i < inside; i++)
        kib += process_kib(processes[i].pid);
    return kib;
}

double bench_child_peak(const struct bench_child *child)
{
    struct process *processes = calloc(PROCESSES_MAX, sizeof *processes);
    struct pollfd polled = {.fd = child->from, .events = POLLIN};
    long peak = 0;

    if (processes == NULL)
        bench_die("out of memory");
    while (poll(&polled, 1, SAMPLE_MS) == 0) {
        long now = tree_kib(child->pid, processes);
        peak = now > peak ? now : peak;
    }
    free(processes);
    return (double)peak / 1024;
}

void bench_shell(const char *format, ...)
{
    char command[16384];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof command || system(command) != 0)
        bench_die("failed: %s", command);
}
