#include "tests/support/live_mesh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAM FM_BIN_DIR "/folkmoot"
#define ARGUMENTS_MAX 32u
#define CLI_MS 60000
#define SANITIZER_MAX 1024
#define START_MS 30000

const char *live_path(const struct live_mesh *mesh, const char *name, char out[LIVE_PATH_MAX])
{
    assert_true(snprintf(out, LIVE_PATH_MAX, "%s/%s", mesh->dir, name) < (int)LIVE_PATH_MAX);
    return out;
}

/* ---- Processes ------------------------------------------------------------------------------- */

/* Adds what the thread sanitizer is to leave out: programs get nothing else of this process's
 * environment. */
static void add_sanitizer(char **environment, char text[SANITIZER_MAX])
{
    const char *options = getenv("TSAN_OPTIONS");

    if (options == NULL)
        return;
    assert_true(snprintf(text, SANITIZER_MAX, "TSAN_OPTIONS=%s", options) < SANITIZER_MAX);
    while (*environment != NULL)
        environment++;
    *environment = text;
}

/* Output goes to descriptors that are this process's; -1: nowhere. */
static pid_t start_program(const char *program, const char *const *arguments,
                           char *const *environment, int out, int err)
{
    const char *argv[ARGUMENTS_MAX + 2] = {program};
    pid_t parent = getpid();

    for (uint32_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < ARGUMENTS_MAX);
        argv[i + 1] = arguments[i];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || dup2(nothing, 0) < 0 ||
        dup2(out >= 0 ? out : nothing, 1) < 0 || dup2(err >= 0 ? err : nothing, 2) < 0)
        _exit(126);
    (void)execve(program, (char *const *)(uintptr_t)argv, environment);
    _exit(127);
}

/* Both pipes to their end, within CLI_MS. */
static void read_both(pid_t pid, int out, int err, struct live_result *result)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    fm_ms end = fm_now_ms() + CLI_MS;

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        fm_ms left = end - fm_now_ms();
        if (left <= 0 || poll(fds, 2, (int)left) == 0) {
            (void)kill(pid, SIGKILL); /* Waited for by the caller. */
            fail_msg("the program did not end");
        }
        for (uint32_t i = 0; i < 2; i++) {
            char bytes[4096];
            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            ssize_t got = read(fds[i].fd, bytes, sizeof bytes);
            if (got <= 0)
                fds[i].fd = -1;
            else
                fm_buf_put(i == 0 ? &result->out : &result->err, bytes, (size_t)got);
        }
    }
}

struct live_process live_cli_begin(const struct live_mesh *mesh, const char *principal,
                                   const struct live_node *node, const char *const *arguments)
{
    char path[LIVE_PATH_MAX], identity[LIVE_PATH_MAX + 32], address[96];
    char *environment[8] = {NULL}, sanitizer[SANITIZER_MAX];
    uint32_t count = 0;
    int out[2], err[2];

    if (principal != NULL) {
        (void)snprintf(identity, sizeof identity, "FOLKMOOT_IDENTITY=%s",
                       live_path(mesh, principal, path));
        environment[count++] = identity;
    }
    if (node != NULL) {
        (void)snprintf(address, sizeof address, "FOLKMOOT_NODE=%s", node->address);
        environment[count++] = address;
    }
    add_sanitizer(environment, sanitizer);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    struct live_process process = {.out = out[0], .err = err[0]};
    process.pid = start_program(PROGRAM, arguments, environment, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    return process;
}

void live_cli_end(struct live_process *process, struct live_result *result)
{
    int status = 0;

    *result = (struct live_result){.exit_code = -1};
    read_both(process->pid, process->out, process->err, result);
    (void)close(process->out);
    (void)close(process->err);
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    fm_buf_put_u8(&result->out, 0);
    fm_buf_put_u8(&result->err, 0);
    *process = (struct live_process){.pid = 0};
}

void live_cli(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
              const char *const *arguments, struct live_result *result)
{
    struct live_process process = live_cli_begin(mesh, principal, node, arguments);

    live_cli_end(&process, result);
}

void live_result_deinit(struct live_result *result)
{
    fm_buf_free(&result->out);
    fm_buf_free(&result->err);
}

char *live_output(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
                  const char *const *arguments)
{
    struct live_result result;

    live_cli(mesh, principal, node, arguments, &result);
    if (result.exit_code != 0)
        fail_msg("folkmoot %s %s ends with %d: %s", arguments[0], arguments[1], result.exit_code,
                 (const char *)result.err.data);
    char *text = strdup((const char *)result.out.data);
    live_result_deinit(&result);
    assert_non_null(text);
    return text;
}

void live_assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in: %.500s", part, text);
}

uint32_t live_count(const char *text, const char *part)
{
    uint32_t count = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

static void run(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
                const char *const *arguments)
{
    free(live_output(mesh, principal, node, arguments));
}

/* ---- Making ---------------------------------------------------------------------------------- */

struct live_mesh *live_mesh_new(void)
{
    struct live_mesh *mesh = calloc(1, sizeof *mesh);
    char path[LIVE_PATH_MAX];

    assert_non_null(mesh);
    (void)snprintf(mesh->dir, sizeof mesh->dir, "/tmp/folkmoot-test.XXXXXX");
    assert_non_null(mkdtemp(mesh->dir));
    run(mesh, NULL, NULL,
        (const char *const[]){"mesh", "create", "test", "--dir", live_path(mesh, "mesh", path),
                              NULL});
    return mesh;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void live_mesh_free(struct live_mesh *mesh)
{
    if (mesh == NULL)
        return;
    for (uint32_t i = 0; i < mesh->count; i++)
        live_kill(&mesh->nodes[i]);
    if (getenv("FOLKMOOT_KEEP") == NULL)
        (void)nftw(mesh->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* /tmp is cleaned anyway. */
    else
        (void)fprintf(stderr, "kept: %s\n", mesh->dir);
    free(mesh);
}

struct live_node *live_make_node(struct live_mesh *mesh, const char *name)
{
    char dir[LIVE_PATH_MAX], authority[LIVE_PATH_MAX], request[LIVE_PATH_MAX + 16];
    char invite[LIVE_PATH_MAX + 16];

    assert_true(mesh->count < LIVE_NODES_MAX);
    struct live_node *node = &mesh->nodes[mesh->count++];
    (void)snprintf(node->name, sizeof node->name, "%s", name);
    live_path(mesh, name, dir);
    live_path(mesh, "mesh", authority);
    (void)snprintf(request, sizeof request, "%s/request", dir);
    (void)snprintf(invite, sizeof invite, "%s.invite", dir);
    run(mesh, NULL, NULL,
        (const char *const[]){"node", "init", "--dir", dir, "--name", name, NULL});
    const char *seed = mesh->nodes[0].address;
    run(mesh, NULL, NULL,
        (const char *const[]){"node", "invite", "--mesh", authority, "--request", request,
                              "--domain", name, "--out", invite, seed[0] != '\0' ? "--seed" : NULL,
                              seed, NULL});
    run(mesh, NULL, NULL,
        (const char *const[]){"node", "join", "--dir", dir, "--invite", invite, NULL});
    return node;
}

void live_configure(const struct live_mesh *mesh, const char *name, const char *lines)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    char path[LIVE_PATH_MAX], file[64];

    (void)snprintf(file, sizeof file, "%s/node.yaml", name);
    if (fm_file_read(live_path(mesh, file, path), 1 << 16, &text, NULL) != FM_OK)
        fail_msg("%s cannot be read", path);
    fm_buf_put_str(&text, lines);
    if (fm_file_write(path, fm_buf_span(&text), 0600, NULL) != FM_OK)
        fail_msg("%s cannot be written", path);
}

/* The last "address=" of a log since its byte `from`; false while the node is not ready. */
static bool find_ready(const char *path, off_t from, struct live_node *node)
{
    FM_AUTO(fm_buf_free) struct fm_buf log = FM_BUF_INIT(0);

    if (fm_file_read(path, 1 << 20, &log, NULL) != FM_OK || log.len < (size_t)from)
        return false;
    fm_buf_put_u8(&log, 0);
    const char *ready = strstr((const char *)log.data + from, "event=ready");
    const char *address = ready != NULL ? strstr(ready, "address=") : NULL;
    if (address == NULL || sscanf(address, "address=%63s", node->address) != 1)
        return false;
    const char *colon = strrchr(node->address, ':');
    assert_non_null(colon);
    node->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    const char *postgres = strstr((const char *)log.data + from, "event=postgres port=");
    if (postgres != NULL)
        node->postgres_port = (uint16_t)strtoul(strchr(postgres, ' ') + sizeof "port=", NULL, 10);
    return strchr(ready, '\n') != NULL;
}

void live_start(struct live_mesh *mesh, struct live_node *node)
{
    char dir[LIVE_PATH_MAX], path[LIVE_PATH_MAX + 8];
    struct stat info;
    fm_ms end = fm_now_ms() + START_MS;

    assert_int_equal(node->pid, 0);
    live_path(mesh, node->name, dir);
    (void)snprintf(path, sizeof path, "%s.log", dir);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    assert_int_equal(fstat(log, &info), 0);
    const char *listen = node->address[0] != '\0' ? node->address : "127.0.0.1:0";
    const char *postgres = node->postgres != NULL ? node->postgres : "";
    const char *const arguments[] = {"node",        "start",      "--dir",  dir,      "--listen",
                                     listen,        "--postgres", postgres, "--http", "",
                                     "--log-level", "debug",      NULL};
    char *environment[2] = {NULL}, sanitizer[SANITIZER_MAX];
    add_sanitizer(environment, sanitizer);
    node->pid = start_program(node->program != NULL ? node->program : PROGRAM, arguments,
                              environment, log, log);
    (void)close(log);
    while (!find_ready(path, info.st_size, node)) {
        if (fm_now_ms() > end || !live_runs(node))
            fail_msg("node %s does not start: see %s", node->name, path);
        usleep(20000);
    }
    node->starts++;
}

void live_kill(struct live_node *node)
{
    if (node->pid == 0)
        return;
    (void)kill(node->pid, SIGKILL); /* It may have ended by itself. */
    (void)waitpid(node->pid, NULL, 0);
    node->pid = 0;
}

bool live_runs(struct live_node *node)
{
    if (node->pid == 0)
        return false;
    if (waitpid(node->pid, NULL, WNOHANG) == 0)
        return true;
    node->pid = 0;
    return false;
}

void live_make_principal(struct live_mesh *mesh, const char *name, const char *const *roles)
{
    char authority[LIVE_PATH_MAX], out[LIVE_PATH_MAX];
    const char *arguments[ARGUMENTS_MAX] = {"principal", "create", name, "--mesh",
                                            authority,   "--out",  out};
    uint32_t count = 7;

    live_path(mesh, "mesh", authority);
    live_path(mesh, name, out);
    for (uint32_t i = 0; roles[i] != NULL; i++) {
        arguments[count++] = "--role";
        arguments[count++] = roles[i];
    }
    arguments[count] = NULL;
    run(mesh, NULL, NULL, arguments);
}

void live_wait(const struct live_mesh *mesh, const char *principal, const struct live_node *node,
               uint32_t members, uint32_t products)
{
    fm_ms end = fm_now_ms() + START_MS;

    for (;;) {
        FM_AUTO(fm_mem_freep)
        char *seen = live_output(mesh, principal, node,
                                 (const char *const[]){"members", "--format", "ndjson", NULL});
        FM_AUTO(fm_mem_freep)
        char *listed =
            live_output(mesh, principal, node,
                        (const char *const[]){"product", "list", "--format", "ndjson", NULL});
        if (live_count(seen, "\"state\":\"alive\"") >= members &&
            live_count(listed, "\n") >= products)
            return;
        if (fm_now_ms() > end)
            fail_msg("node %s sees:\n%s%s", node->name, seen, listed);
        usleep(100000);
    }
}

static void write_contract(const char *path, const char *domain)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    uint8_t id[16];
    char hex[33];

    fm_random(id, sizeof id);
    fm_hex(id, sizeof id, hex);
    fm_buf_printf(&text,
                  "apiVersion: v3.1.0\nkind: DataContract\n"
                  "id: %.8s-%.4s-4000-8000-%.12s\nname: Items\nversion: 1.0.0\nstatus: active\n"
                  "domain: %s\ndataProduct: items\nschema:\n"
                  "  - name: items\n    logicalType: object\n    physicalType: table\n"
                  "    properties:\n"
                  "      - name: id\n        logicalType: integer\n        primaryKey: true\n"
                  "        required: true\n"
                  "      - name: text\n        logicalType: string\n",
                  hex, hex + 8, hex + 12, domain);
    assert_int_equal(fm_file_write(path, fm_buf_span(&text), 0600, NULL), FM_OK);
}

void live_append(const struct live_mesh *mesh, const struct live_node *node, const char *table,
                 struct fm_span csv)
{
    char team[64], path[LIVE_PATH_MAX];

    (void)snprintf(team, sizeof team, "%s-team", node->name);
    assert_int_equal(fm_file_write(live_path(mesh, "rows.csv", path), csv, 0600, NULL), FM_OK);
    run(mesh, team, node, (const char *const[]){"append", table, path, NULL});
}

void live_publish(struct live_mesh *mesh, const struct live_node *node, uint32_t rows)
{
    FM_AUTO(fm_buf_free) struct fm_buf data = FM_BUF_INIT(0);
    char owner[64], team[64], table[64], contract[LIVE_PATH_MAX];

    (void)snprintf(owner, sizeof owner, "owner:%s", node->name);
    (void)snprintf(team, sizeof team, "%s-team", node->name);
    (void)snprintf(table, sizeof table, "%s.items", node->name);
    live_make_principal(mesh, team, (const char *const[]){"reader", owner, NULL});
    write_contract(live_path(mesh, "contract.yaml", contract), node->name);
    run(mesh, team, node, (const char *const[]){"product", "apply", contract, NULL});
    if (rows == 0)
        return;
    fm_buf_put_str(&data, "id,text\n");
    for (uint32_t i = 0; i < rows; i++)
        fm_buf_printf(&data, "%u,item %u of many %u\n", i, i, i * 2654435761u);
    live_append(mesh, node, table, fm_buf_span(&data));
}

struct fm_identity *live_identity(const struct live_mesh *mesh, const char *name,
                                  enum fm_payload_kind kind)
{
    struct fm_identity *identity = NULL;
    struct fm_error err = {0};
    char path[LIVE_PATH_MAX];

    if (fm_identity_load(live_path(mesh, name, path), kind, NULL, fm_now_us(), &identity, &err) !=
        FM_OK)
        fail_msg("%s", err.text);
    return identity;
}

struct fm_key *live_authority(const struct live_mesh *mesh)
{
    const enum fm_key_kind kind = FM_KEY_SIGN;
    struct fm_key *key = NULL;
    char path[LIVE_PATH_MAX];

    assert_int_equal(
        fm_keys_load(live_path(mesh, "mesh/authority", path), NULL, &kind, 1, &key, NULL), FM_OK);
    return key;
}

/* ---- /proc ----------------------------------------------------------------------------------- */

static uint32_t count_entries(pid_t pid, const char *what)
{
    char path[64];
    uint32_t count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

pid_t live_parent(pid_t pid)
{
    char path[64], line[256];
    int parent = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0; /* It has gone. */
    while (parent == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "PPid: %d", &parent);
    (void)fclose(file);
    return parent;
}

static bool is_below(pid_t pid, pid_t ancestor)
{
    for (uint32_t i = 0; i < 16 && pid > 1; i++) {
        pid = live_parent(pid);
        if (pid == ancestor)
            return true;
    }
    return false;
}

uint32_t live_children(pid_t pid, pid_t *out, uint32_t max)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc");

    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        pid_t candidate = (pid_t)strtol(entry->d_name, NULL, 10);
        if (candidate <= 0 || !is_below(candidate, pid))
            continue;
        if (out != NULL && count < max)
            out[count] = candidate;
        count++;
    }
    (void)closedir(folder);
    return count;
}

struct live_usage live_usage(pid_t pid)
{
    struct live_usage usage = {.fds = count_entries(pid, "fd"),
                               .threads = count_entries(pid, "task"),
                               .processes = live_children(pid, NULL, 0)};
    char path[64], line[256];
    unsigned long kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "VmRSS: %lu", &kib);
    (void)fclose(file);
    usage.rss_kib = kib;
    return usage;
}

void live_assert_growth(const struct live_usage *before, const struct live_usage *after,
                        uint32_t mib)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    bool is_exact = false;
#else
    bool is_exact = true;
#endif
    if (is_exact && after->rss_kib > before->rss_kib + (uint64_t)mib * 1024)
        fail_msg("memory grew from %llu KiB to %llu KiB, by more than %u MiB",
                 (unsigned long long)before->rss_kib, (unsigned long long)after->rss_kib, mib);
}
