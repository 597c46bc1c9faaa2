#include "node/cli/mesh_local.h"

#include "node/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STOP_MS_MAX 20000
#define FOLDERS_OPEN_MAX 16

/* When a process began, in ticks since the machine did; 0: there is none. */
static uint64_t began_at(pid_t pid)
{
    char path[64];
    uint64_t began = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    char line[1024];
    const char *at = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    (void)fclose(file);                                      /* Only read from. */
    for (int field = 2; at != NULL && field < 22; field++) { /* The name, 2nd, may have spaces. */
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at != NULL && sscanf(at, "%" SCNu64, &began) == 1 ? began : 0;
}

enum fm_status fm_local_begin(const char *dir, struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    if (mkdir(dir, 0700) != 0 && errno == EEXIST)
        return fm_fail(err, FM_CONFLICT,
                       "%s is there already; folkmoot mesh down %s --remove, or "
                       "another folder",
                       dir, dir);
    if (!fm_cli_exists(dir))
        return fm_fail_errno(err, FM_IO, errno, "make the folder %s", dir);
    enum fm_status status = fm_cli_path(path, dir, FM_LOCAL_RUNNING, err);
    return status == FM_OK ? fm_file_write(path, fm_span_str(""), 0600, err) : status;
}

enum fm_status fm_local_note(const char *dir, const char *name, pid_t pid, struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, dir, FM_LOCAL_RUNNING, err);
    if (status != FM_OK)
        return status;
    FILE *file = fopen(path, "ae");
    if (file == NULL)
        return fm_fail_errno(err, FM_IO, errno, "open %s", path);
    int written = fprintf(file, "%s %d %" PRIu64 "\n", name, (int)pid, began_at(pid));
    if (fclose(file) != 0 || written < 0)
        return fm_fail_errno(err, FM_IO, errno, "write %s", path);
    return FM_OK;
}

/* The descriptor stands for the process itself: once it is open and the times agree, no other one
 * can take the id's place. */
static enum fm_status stop_process(const char *name, pid_t pid, uint64_t began,
                                   struct fm_error *err)
{
    struct pollfd fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    enum fm_status status = FM_OK;

    if (fd.fd < 0) {
        if (errno == ESRCH || errno == EINVAL)
            return FM_OK; /* Ended long ago. */
        return fm_fail_errno(err, FM_IO, errno, "reach process %d of node %s", (int)pid, name);
    }
    if (began_at(pid) == began) {
        if (syscall(SYS_pidfd_send_signal, fd.fd, SIGTERM, NULL, 0) != 0 && errno != ESRCH)
            status = fm_fail_errno(err, FM_REFUSED, errno, "end node %s", name);
        else if (poll(&fd, 1, STOP_MS_MAX) == 0) /* Its work is durable: nothing is lost. */
            (void)syscall(SYS_pidfd_send_signal, fd.fd, SIGKILL, NULL, 0);
        if (status == FM_OK && poll(&fd, 1, STOP_MS_MAX) == 0)
            status = fm_fail(err, FM_TIMEOUT, "node %s does not end", name);
    }
    (void)close(fd.fd); /* Nothing to lose. */
    return status;
}

enum fm_status fm_local_stop(const char *dir, struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX], line[256], name[FM_NAME_MAX + 1];
    enum fm_status status = fm_cli_path(path, dir, FM_LOCAL_RUNNING, err);

    if (status != FM_OK)
        return status;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fm_fail(err, FM_NOTFOUND, "%s is not a folder of folkmoot mesh up", dir);
    while (fgets(line, sizeof line, file) != NULL) {
        int pid = 0;
        uint64_t began = 0;
        if (sscanf(line, "%63s %d %" SCNu64, name, &pid, &began) != 3 || pid <= 1 || began == 0)
            continue;
        enum fm_status stopped = stop_process(name, pid, began, err);
        if (status == FM_OK)
            status = stopped;
    }
    (void)fclose(file); /* Only read from. */
    return status == FM_OK ? fm_file_write(path, fm_span_str(""), 0600, err) : status;
}

/* ---- mesh down ------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    bool removes = false;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {{"remove", FM_CLI_FLAG, &removes, 0, 0}};

    enum fm_status status = fm_cli_options(argc, argv, options, 1, 1, 1, &rest, err);
    if (status == FM_OK)
        status = fm_local_stop(rest.items[0], err);
    /* Links are removed, not followed. */
    if (status == FM_OK && removes &&
        nftw(rest.items[0], remove_entry, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS) != 0)
        status = fm_fail_errno(err, FM_IO, errno, "remove %s", rest.items[0]);
    return status;
}

const struct fm_cli_verb fm_cli_mesh_down = {
    .group = "mesh",
    .name = "down",
    .summary = "end a mesh of mesh up",
    .help = "Usage: folkmoot mesh down DIR [--remove]\n"
            "\n"
            "Ends the nodes that mesh up started for DIR, and no other process: DIR/running\n"
            "has their ids and when they began. Their data stays, and each can be run again\n"
            "with node start.\n"
            "\n"
            "  --remove   remove DIR with all that is in it\n"
            "\n"
            "Example:\n"
            "  folkmoot mesh down demo --remove\n",
    .run = run,
};
