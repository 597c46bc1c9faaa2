#include "tests/support/live_watch.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CHILDREN_MAX 64u
#define SPILL_FD 32 /* The first of a worker's files. */
#define SPILL_FILES 16
#define LINKS_MAX 4u /* Two to each other node, made when they are needed. */

struct holding {
    struct live_usage node;
    struct live_usage first; /* The engine's first process; its workers count as its processes. */
};

struct live_watch {
    const struct live_node *node;
    int starts; /* Of the node, at its rest; 0: none. */
    struct holding rest;
};

struct live_watch *live_watch_new(const struct live_node *node)
{
    struct live_watch *watch = calloc(1, sizeof *watch);

    assert_non_null(watch);
    watch->node = node;
    return watch;
}

void live_watch_free(struct live_watch *watch)
{
    free(watch);
}

/* Descriptors but those of files, which the store opens and closes. */
static uint32_t count_fds(pid_t pid)
{
    char path[64], target[256];
    uint32_t count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        count += len > 0 && (target[0] != '/' || strncmp(target, "/memfd:", 7) == 0) ? 1 : 0;
    }
    (void)closedir(folder);
    return count;
}

static struct holding look(const struct live_node *node)
{
    struct holding now = {.node = live_usage(node->pid)};
    pid_t pids[CHILDREN_MAX];
    uint32_t count = live_children(node->pid, pids, CHILDREN_MAX);

    now.node.fds = count_fds(node->pid);
    for (uint32_t i = 0; i < count && i < CHILDREN_MAX; i++)
        if (live_parent(pids[i]) == node->pid && !live_has_ended(pids[i]))
            now.first = live_usage(pids[i]);
    return now;
}

void live_watch_begin(struct live_watch *watch)
{
    assert_int_not_equal(watch->node->pid, 0);
    watch->rest = look(watch->node);
    watch->starts = watch->node->starts;
}

bool live_watch_is_on(const struct live_watch *watch)
{
    return watch->node->pid != 0 && watch->starts == watch->node->starts;
}

static bool is_more(const struct live_usage *now, const struct live_usage *rest)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    bool is_large = false;
#else
    bool is_large = now->rss_kib > rest->rss_kib + LIVE_WATCH_GROWTH_MIB * 1024u;
#endif
    return is_large || now->fds > rest->fds + LINKS_MAX || now->threads > rest->threads ||
           now->processes > rest->processes;
}

static void print_usage(const char *name, const char *what, const struct live_usage *rest,
                        const struct live_usage *now)
{
    print_message("%s, %s: %u -> %u descriptors, %u -> %u threads, %u -> %u processes, %" PRIu64
                  " -> %" PRIu64 " KiB\n",
                  name, what, rest->fds, now->fds, rest->threads, now->threads, rest->processes,
                  now->processes, rest->rss_kib, now->rss_kib);
}

static void print_holding(const struct live_watch *watch, const struct holding *now)
{
    print_usage(watch->node->name, "node", &watch->rest.node, &now->node);
    print_usage(watch->node->name, "engine", &watch->rest.first, &now->first);
}

void live_watch_print(const struct live_watch *watch)
{
    struct holding now = look(watch->node);

    print_holding(watch, &now);
}

void live_watch_assert_returns(const struct live_watch *watch, fm_ms ms)
{
    fm_ms end = fm_now_ms() + ms;

    assert_true(live_watch_is_on(watch));
    for (;;) {
        struct holding now = look(watch->node);
        if (!is_more(&now.node, &watch->rest.node) && !is_more(&now.first, &watch->rest.first))
            return;
        if (fm_now_ms() > end) {
            print_holding(watch, &now);
            fail_msg("something stays behind");
        }
        usleep(50000);
    }
}

bool live_has_ended(pid_t pid)
{
    char path[64], program[256];

    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return readlink(path, program, sizeof program) < 0;
}

uint64_t live_spilled_bytes(pid_t node)
{
    pid_t pids[CHILDREN_MAX];
    uint32_t count = live_children(node, pids, CHILDREN_MAX);
    uint64_t bytes = 0;
    char path[64];

    for (uint32_t i = 0; i < count && i < CHILDREN_MAX; i++)
        for (int fd = SPILL_FD; fd < SPILL_FD + SPILL_FILES; fd++) {
            struct stat info;
            (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pids[i], fd);
            if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
                bytes += (uint64_t)info.st_blocks * 512;
        }
    return bytes;
}

uint32_t live_count_entries(const char *folder)
{
    uint32_t count = 0;
    DIR *opened = opendir(folder);

    assert_non_null(opened);
    for (const struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened))
        count += entry->d_name[0] != '.';
    (void)closedir(opened);
    return count;
}
