/* Child processes of a benchmark: started, asked, counted, killed. A failure ends the program. */
#ifndef FM_TESTS_SUPPORT_BENCH_PROCESS_H
#define FM_TESTS_SUPPORT_BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct bench_child {
    pid_t pid;
    int to;   /* Its standard input. */
    int from; /* Its standard output. */
};

/* Start a program; `arguments` ends with NULL and begins with its path. */
void bench_child_start(struct bench_child *child, char *const arguments[]);
/* Read one line, at most 63 bytes, without its end. */
void bench_child_read(const struct bench_child *child, char line[64]);
/* SIGKILL, and reap. What it started ends by itself. */
void bench_child_kill(struct bench_child *child);

/* Samples the summed proportional set size of a process and all that it started, until a line can
 * be read from it. The peak in MiB. Where the kernel does not show the share (no permission for a
 * locked-down worker), the resident size counts whole: an upper bound. */
double bench_child_peak(const struct bench_child *child);

/* Run a shell command made from a format. */
__attribute__((format(printf, 1, 2))) void bench_shell(const char *format, ...);

#endif
