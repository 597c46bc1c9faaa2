#include "node/cli/cli.h"
#include "node/cli/mesh_local.h"
#include "node/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOMAINS_DEFAULT "orders,customers,stock"
#define DOMAINS_MAX 16u
#define ARGS_MAX 24u
#define READY_MS_MAX 30000
#define LOOK_MS 50
#define LOG_BYTES_MAX (1u << 20)

extern char **environ;

struct domain {
    char name[FM_NAME_MAX + 1];
    char address[FM_CONFIG_ADDRESS_MAX];
    char postgres[8]; /* Ports. */
    char http[8];
};

struct plan {
    const char *dir;
    uint32_t count;
    struct domain domains[DOMAINS_MAX];
};

/* ---- This program again, with other words ---------------------------------------------------- */

/* Start it with standard output and error at the end of `log`. */
static enum fm_status start_self(const char *log, const char *const *args, pid_t *out,
                                 struct fm_error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char self[] = "/proc/self/exe", name[] = "folkmoot";
    char *argv[ARGS_MAX + 2] = {name};
    int failed = 0;

    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    if (posix_spawn_file_actions_init(&actions) != 0)
        return fm_fail(err, FM_NOMEM, "start a process");
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions); /* Cannot fail. */
        return fm_fail(err, FM_NOMEM, "start a process");
    }
    failed = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (failed == 0)
        failed =
            posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (failed == 0) /* A terminal that closes, or its Ctrl-C, does not end the mesh. */
        failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (failed == 0)
        failed = posix_spawn(out, self, &actions, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions); /* Cannot fail. */
    (void)posix_spawnattr_destroy(&attributes);
    return failed == 0 ? FM_OK : fm_fail_errno(err, FM_IO, failed, "start %s", args[0]);
}

/* Run a verb to its end. */
static enum fm_status run_self(const struct plan *plan, const char *const *args,
                               struct fm_error *err)
{
    char log[FM_CLI_PATH_MAX];
    pid_t pid = 0;
    int how = 0;

    enum fm_status status = fm_cli_path(log, plan->dir, FM_LOCAL_LOG, err);
    if (status == FM_OK)
        status = start_self(log, args, &pid, err);
    if (status != FM_OK)
        return status;
    while (waitpid(pid, &how, 0) < 0)
        if (errno != EINTR)
            return fm_fail_errno(err, FM_IO, errno, "wait for folkmoot %s", args[0]);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return FM_OK;
    return fm_fail(err, FM_IO, "folkmoot %s %s failed; %s says why", args[0], args[1], log);
}

#define RUN(plan, err, ...) run_self(plan, (const char *const[]){__VA_ARGS__, NULL}, err)

/* ---- A domain's node ------------------------------------------------------------------------- */

/* The word behind the last `key` in a log, up to white space. */
static bool find_word(const struct fm_buf *log, const char *key, char *out, size_t size)
{
    const char *text = (const char *)log->data, *at = NULL;

    for (const char *p = text; (p = strstr(p, key)) != NULL; p++)
        at = p + strlen(key);
    size_t len = at == NULL ? 0 : strcspn(at, " \n");
    if (len == 0 || len >= size)
        return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

static enum fm_status read_log(const char *path, struct fm_buf *out, struct fm_error *err)
{
    enum fm_status status = fm_file_read(path, LOG_BYTES_MAX, out, err);

    fm_buf_put_u8(out, '\0');
    return status == FM_OK && fm_buf_status(out) != FM_OK ? fm_fail(err, FM_NOMEM, "%s", path)
                                                          : status;
}

/* Wait until the log says that the node serves, and where. */
static enum fm_status wait_ready(struct domain *domain, const char *log, pid_t pid,
                                 struct fm_error *err)
{
    fm_ms deadline = fm_now_ms() + READY_MS_MAX;

    for (;;) {
        FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(LOG_BYTES_MAX + 1);
        enum fm_status status = read_log(log, &text, err);
        if (status != FM_OK)
            return status;
        if (strstr((const char *)text.data, "event=ready") != NULL &&
            find_word(&text, " address=", domain->address, sizeof domain->address) &&
            find_word(&text, "event=postgres port=", domain->postgres, sizeof domain->postgres) &&
            find_word(&text, "event=http port=", domain->http, sizeof domain->http))
            return FM_OK;
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return fm_fail(err, FM_UNAVAILABLE, "node %s ended; %s says why", domain->name, log);
        if (fm_now_ms() > deadline)
            return fm_fail(err, FM_TIMEOUT, "node %s does not get ready; look at %s", domain->name,
                           log);
        (void)usleep(LOOK_MS * 1000);
    }
}

static enum fm_status start_node(const struct plan *plan, struct domain *domain, const char *folder,
                                 struct fm_error *err)
{
    char log[FM_CLI_PATH_MAX], name[FM_NAME_MAX + 8];
    pid_t pid = 0;

    (void)snprintf(name, sizeof name, "%s.log", domain->name);
    enum fm_status status = fm_cli_path(log, plan->dir, name, err);
    if (status != FM_OK)
        return status;
    const char *const args[] = {"node",     "start",       "--dir",      folder,
                                "--listen", "127.0.0.1:0", "--postgres", "127.0.0.1:0",
                                "--http",   "127.0.0.1:0", NULL};
    status = start_self(log, args, &pid, err);
    if (status == FM_OK) /* From now on `mesh down` finds it, whatever happens here. */
        status = fm_local_note(plan->dir, domain->name, pid, err);
    return status == FM_OK ? wait_ready(domain, log, pid, err) : status;
}

static enum fm_status make_node(struct plan *plan, struct domain *domain, struct fm_error *err)
{
    char folder[FM_CLI_PATH_MAX], mesh[FM_CLI_PATH_MAX], request[FM_CLI_PATH_MAX];
    char invite[FM_CLI_PATH_MAX], file[FM_NAME_MAX + 16];
    const char *seed = plan->domains[0].address;

    enum fm_status status = fm_cli_path(folder, plan->dir, domain->name, err);
    if (status == FM_OK)
        status = fm_cli_path(mesh, plan->dir, FM_LOCAL_MESH, err);
    if (status == FM_OK)
        status = fm_cli_path(request, folder, FM_FILE_REQUEST, err);
    (void)snprintf(file, sizeof file, "%s.invite", domain->name);
    if (status == FM_OK)
        status = fm_cli_path(invite, plan->dir, file, err);
    if (status == FM_OK)
        status = RUN(plan, err, "node", "init", "--dir", folder, "--name", domain->name);
    if (status == FM_OK) /* The first one has nobody to join: the list of words ends before. */
        status = RUN(plan, err, "node", "invite", "--mesh", mesh, "--request", request, "--domain",
                     domain->name, "--out", invite, seed[0] != '\0' ? "--seed" : NULL, seed);
    if (status == FM_OK)
        status = RUN(plan, err, "node", "join", "--dir", folder, "--invite", invite);
    return status == FM_OK ? start_node(plan, domain, folder, err) : status;
}

/* ---- What it publishes ----------------------------------------------------------------------- */

static void put_contract(struct fm_buf *out, const struct plan *plan, const struct domain *domain)
{
    fm_buf_printf(out,
                  "apiVersion: v3.1.0\nkind: DataContract\n"
                  "id: 00000000-0000-4000-8000-%012u\nname: Items of %s\nversion: 1.0.0\n"
                  "status: active\ndomain: %s\ndataProduct: items\nschema:\n"
                  "  - name: items\n    logicalType: object\n    physicalType: table\n"
                  "    properties:\n"
                  "      - name: id\n        logicalType: integer\n        primaryKey: true\n"
                  "        required: true\n"
                  "      - name: name\n        logicalType: string\n"
                  "      - name: amount\n        logicalType: integer\n",
                  (unsigned)(domain - plan->domains) + 1, domain->name, domain->name);
}

static void put_rows(struct fm_buf *out, const struct domain *domain)
{
    fm_buf_put_str(out, "id,name,amount\n");
    for (unsigned i = 1; i <= 100; i++)
        fm_buf_printf(out, "%u,%s %u,%u\n", i, domain->name, i, i * i % 97);
}

static enum fm_status save(const struct plan *plan, const char *name, const char *ending,
                           struct fm_buf *bytes, char path[FM_CLI_PATH_MAX], struct fm_error *err)
{
    char file[FM_NAME_MAX + 16];

    (void)snprintf(file, sizeof file, "%s%s", name, ending);
    enum fm_status status = fm_cli_path(path, plan->dir, file, err);
    if (status == FM_OK && fm_buf_status(bytes) != FM_OK)
        status = fm_fail(err, FM_NOMEM, "write %s", path);
    return status == FM_OK ? fm_file_write(path, fm_buf_span(bytes), 0644, err) : status;
}

static enum fm_status publish(const struct plan *plan, const struct domain *domain,
                              struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf contract = FM_BUF_INIT(4096);
    FM_AUTO(fm_buf_free) struct fm_buf rows = FM_BUF_INIT(65536);
    char yaml[FM_CLI_PATH_MAX], csv[FM_CLI_PATH_MAX], mesh[FM_CLI_PATH_MAX], team[FM_CLI_PATH_MAX];
    char name[FM_NAME_MAX + 8], role[FM_NAME_MAX + 8], table[FM_NAME_MAX + 8];

    (void)snprintf(name, sizeof name, "%s-team", domain->name);
    (void)snprintf(role, sizeof role, "owner:%s", domain->name);
    (void)snprintf(table, sizeof table, "%s.items", domain->name);
    put_contract(&contract, plan, domain);
    put_rows(&rows, domain);
    enum fm_status status = save(plan, domain->name, ".odcs.yaml", &contract, yaml, err);
    if (status == FM_OK)
        status = save(plan, domain->name, ".csv", &rows, csv, err);
    if (status == FM_OK)
        status = fm_cli_path(mesh, plan->dir, FM_LOCAL_MESH, err);
    if (status == FM_OK)
        status = fm_cli_path(team, plan->dir, name, err);
    if (status == FM_OK)
        status = RUN(plan, err, "principal", "create", name, "--mesh", mesh, "--role", "reader",
                     "--role", role, "--out", team);
    if (status == FM_OK)
        status = RUN(plan, err, "product", "apply", yaml, "--as", team, "--node", domain->address);
    if (status == FM_OK)
        status = RUN(plan, err, "append", table, csv, "--as", team, "--node", domain->address);
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void put_question(struct fm_buf *out, const struct plan *plan)
{
    fm_buf_printf(out, "SELECT count(*) AS items, sum(a.amount) AS amount FROM %s.items a",
                  plan->domains[0].name);
    for (uint32_t i = 1; i < plan->count; i++)
        fm_buf_printf(out, " JOIN %s.items %c USING (id)", plan->domains[i].name, 'a' + (int)i);
}

/* Until each node knows all products: what is printed then works. */
static enum fm_status wait_products(const struct plan *plan, const char *analyst, const char *sql,
                                    struct fm_error *err)
{
    fm_ms deadline = fm_now_ms() + READY_MS_MAX;

    for (uint32_t i = 0; i < plan->count;) {
        enum fm_status status = RUN(plan, err, "query", sql, "--no-receipts", "--as", analyst,
                                    "--node", plan->domains[i].address);
        if (status == FM_OK)
            i++;
        else if (fm_now_ms() > deadline)
            return status;
        else
            (void)usleep(LOOK_MS * 1000);
    }
    return FM_OK;
}

static void tell(const struct plan *plan, const char *analyst, const char *sql)
{
    const struct domain *first = &plan->domains[0];

    (void)printf("A mesh of %u nodes runs; its files and logs are in %s.\n\n"
                 "  export FOLKMOOT_NODE=%s FOLKMOOT_IDENTITY=%s\n",
                 plan->count, plan->dir, first->address, analyst);
    for (uint32_t i = 1; i < plan->count; i++)
        (void)printf("  # or FOLKMOOT_NODE=%s, the node of %s\n", plan->domains[i].address,
                     plan->domains[i].name);
    (void)printf("\n  folkmoot product list\n"
                 "  folkmoot query \"%s\"\n"
                 "  PGPASSWORD=$(folkmoot token) psql -h 127.0.0.1 -p %s -U analyst mesh\n"
                 "  curl -H \"Authorization: Bearer $(folkmoot token)\" \\\n"
                 "      -H \"Content-Type: text/plain\" \\\n"
                 "      --data '%s' http://127.0.0.1:%s/v1/query\n"
                 "\n  folkmoot mesh down %s --remove\n",
                 sql, first->postgres, sql, first->http, plan->dir);
}

static enum fm_status build(struct plan *plan, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(4096);
    char mesh[FM_CLI_PATH_MAX], analyst[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(mesh, plan->dir, FM_LOCAL_MESH, err);
    if (status == FM_OK)
        status = fm_cli_path(analyst, plan->dir, "analyst", err);
    if (status == FM_OK)
        status = RUN(plan, err, "mesh", "create", "local", "--dir", mesh);
    for (uint32_t i = 0; i < plan->count && status == FM_OK; i++)
        status = make_node(plan, &plan->domains[i], err);
    for (uint32_t i = 0; i < plan->count && status == FM_OK; i++)
        status = publish(plan, &plan->domains[i], err);
    if (status == FM_OK)
        status = RUN(plan, err, "principal", "create", "analyst", "--mesh", mesh, "--role",
                     "reader", "--out", analyst);
    put_question(&sql, plan);
    fm_buf_put_u8(&sql, '\0');
    if (status == FM_OK && fm_buf_status(&sql) != FM_OK)
        status = fm_fail(err, FM_NOMEM, "mesh up");
    if (status == FM_OK)
        status = wait_products(plan, analyst, (const char *)sql.data, err);
    if (status == FM_OK)
        tell(plan, analyst, (const char *)sql.data);
    return status;
}

static enum fm_status up(struct plan *plan, struct fm_error *err)
{
    char absolute[PATH_MAX];

    enum fm_status status = fm_local_begin(plan->dir, err);
    if (status != FM_OK)
        return status;
    if (realpath(plan->dir, absolute) == NULL)
        return fm_fail_errno(err, FM_IO, errno, "%s", plan->dir);
    plan->dir = absolute; /* So that what is printed works in any folder. */
    status = build(plan, err);
    if (status == FM_OK || fm_local_stop(plan->dir, NULL) == FM_OK)
        return status; /* Of what went wrong first. */
    return fm_wrap(err, status, "some nodes still run (folkmoot mesh down)");
}

static enum fm_status read_domains(struct plan *plan, const char *text, struct fm_error *err)
{
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        struct domain *domain = &plan->domains[plan->count];
        if (plan->count == DOMAINS_MAX)
            return fm_fail(err, FM_USAGE, "a mesh of at most %u domains", DOMAINS_MAX);
        if (len <= FM_NAME_MAX)
            memcpy(domain->name, at, len);
        if (!fm_domain_name_valid(domain->name) || strcmp(domain->name, "analyst") == 0)
            return fm_fail(err, FM_USAGE, "'%.64s' cannot be a domain's name here", domain->name);
        for (uint32_t i = 0; i < plan->count; i++)
            if (strcmp(plan->domains[i].name, domain->name) == 0)
                return fm_fail(err, FM_USAGE, "the domain %s is given twice", domain->name);
        plan->count++;
        at += len;
        if (*at == '\0')
            return FM_OK;
    }
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct plan *plan = calloc(1, sizeof *plan);
    const char *domains = DOMAINS_DEFAULT;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {{"domains", FM_CLI_TEXT, &domains, 0, 0}};

    if (plan == NULL)
        return fm_fail(err, FM_NOMEM, "mesh up");
    enum fm_status status = fm_cli_options(argc, argv, options, 1, 1, 1, &rest, err);
    if (status == FM_OK)
        status = read_domains(plan, domains, err);
    if (status != FM_OK)
        return status;
    plan->dir = rest.items[0];
    return up(plan, err);
}

const struct fm_cli_verb fm_cli_mesh_up = {
    .group = "mesh",
    .name = "up",
    .summary = "run a whole mesh on this machine, to try it",
    .help = "Usage: folkmoot mesh up DIR [--domains NAME,NAME...]\n"
            "\n"
            "Makes a mesh in DIR, a folder that is not there yet: authority, a node for\n"
            "each domain on free ports of 127.0.0.1, a product with 100 rows each, and an\n"
            "analyst who may ask. The nodes run until mesh down. Prints what to paste for\n"
            "folkmoot, psql and curl. The authority's keys lie beside all else: this is a\n"
            "mesh to try things, not one to keep.\n"
            "\n"
            "  --domains NAME,...   at most 16 (default " DOMAINS_DEFAULT ")\n"
            "\n"
            "Example:\n"
            "  folkmoot mesh up demo && folkmoot mesh down demo --remove\n",
    .run = run,
};
