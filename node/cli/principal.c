#include "node/cli/cli.h"

#include <stdio.h>

struct plan {
    const char *name;
    const char *mesh;
    const char *out;
    struct fm_cli_list roles;
    uint64_t days;
};

static enum fm_status fill_cert(const struct plan *plan, struct fm_key *const *keys,
                                struct fm_principal_cert *cert, struct fm_error *err)
{
    if (plan->name[0] == '\0' || strlen(plan->name) > FM_NAME_MAX)
        return fm_fail(err, FM_INVALID, "a principal needs a name of 1 to %u bytes", FM_NAME_MAX);
    fm_random(cert->serial, sizeof cert->serial);
    memcpy(cert->name, plan->name, strlen(plan->name) + 1);
    for (uint32_t i = 0; i < plan->roles.count; i++) {
        enum fm_status status =
            fm_role_parse(plan->roles.items[i], &cert->roles[cert->role_count++], err);
        if (status != FM_OK)
            return fm_wrap(err, status, "--role");
    }
    cert->sign_key = *fm_key_public(keys[0]);
    cert->session_key = *fm_key_public(keys[1]);
    cert->not_before = fm_seconds(fm_now_us());
    cert->not_after = cert->not_before + (int64_t)plan->days * FM_CLI_DAY_SECONDS;
    return FM_OK;
}

static enum fm_status save(const struct plan *plan, const struct fm_cli_mesh *mesh,
                           struct fm_key *const *keys, struct fm_span cert, struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_make_dir(plan->out, err);
    if (status == FM_OK)
        status = fm_cli_path(path, plan->out, FM_FILE_KEYS, err);
    if (status == FM_OK)
        status = fm_keys_save(path, keys, 2, NULL, err);
    if (status == FM_OK)
        status = fm_cli_path(path, plan->out, FM_FILE_CHARTER, err);
    if (status == FM_OK)
        status = fm_file_write(path, fm_buf_span(&mesh->charter_bytes), 0644, err);
    if (status == FM_OK)
        status = fm_cli_path(path, plan->out, FM_FILE_CERT, err);
    if (status == FM_OK)
        status = fm_file_write(path, cert, 0644, err);
    return status;
}

static enum fm_status issue(const struct plan *plan, const struct fm_cli_mesh *mesh,
                            struct fm_key *const *keys, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_principal_cert *cert = calloc(1, sizeof *cert);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);

    if (cert == NULL)
        return fm_fail(err, FM_NOMEM, "issue a certificate");
    enum fm_status status = fill_cert(plan, keys, cert, err);
    if (status == FM_OK)
        status = fm_principal_cert_seal(&mesh->charter, cert, mesh->keys, mesh->charter.threshold,
                                        &bytes, err);
    if (status == FM_OK)
        status = save(plan, mesh, keys, fm_buf_span(&bytes), err);
    if (status != FM_OK)
        return status;
    (void)printf("principal %s of mesh %s, for %llu days\nNext:\n"
                 "  export FOLKMOOT_IDENTITY=%s FOLKMOOT_NODE=HOST:PORT\n",
                 plan->name, mesh->charter.name, (unsigned long long)plan->days, plan->out);
    return FM_OK;
}

static enum fm_status create(const struct plan *plan, struct fm_error *err)
{
    FM_AUTO(fm_cli_mesh_deinit) struct fm_cli_mesh mesh = {0};
    FM_AUTO(fm_key_freep) struct fm_key *sign = NULL;
    FM_AUTO(fm_key_freep) struct fm_key *session = NULL;

    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_cli_mesh_load(plan->mesh, &mesh, err);
    if (status != FM_OK)
        return status;
    if (fm_key_generate(FM_KEY_SIGN, &sign) != FM_OK ||
        fm_key_generate(FM_KEY_SESSION, &session) != FM_OK)
        return fm_fail(err, FM_NOMEM, "make keys");
    struct fm_key *const keys[] = {sign, session};
    return issue(plan, &mesh, keys, err);
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct plan plan = {.days = 90};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"mesh", FM_CLI_TEXT, &plan.mesh, 0, 0},
        {"out", FM_CLI_TEXT, &plan.out, 0, 0},
        {"role", FM_CLI_LIST, &plan.roles, 0, 0},
        {"days", FM_CLI_UINT, &plan.days, 1, 3660},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 1, 1, &rest, err);
    if (status != FM_OK)
        return status;
    if (plan.mesh == NULL || plan.out == NULL || plan.roles.count == 0)
        return fm_fail(err, FM_USAGE, "--mesh DIR, --out DIR and a --role are needed");
    plan.name = rest.items[0];
    return create(&plan, err);
}

_Static_assert(FM_CLI_LIST_MAX <= FM_ROLES_MAX, "roles fit a certificate");

const struct fm_cli_verb fm_cli_principal_create = {
    .group = "principal",
    .name = "create",
    .summary = "make keys and certificate of a person or program",
    .help = "Usage: folkmoot principal create NAME --mesh DIR --role ROLE... --out DIR\n"
            "\n"
            "Makes the keys of a principal, has the authority certify them, and writes\n"
            "both with the charter to a folder: the identity for --as.\n"
            "\n"
            "  --mesh DIR     folder of mesh create, with the authority keys\n"
            "  --out DIR      the identity's folder; made if missing\n"
            "  --role ROLE    may be repeated:\n"
            "                   reader            may query\n"
            "                   owner:DOMAIN      publishes contracts, appends\n"
            "                   appender:DOMAIN   appends\n"
            "                   operator          asks a node about itself, backs it up\n"
            "                   service           its tokens may live long (folkmoot token)\n"
            "  --days N       life of the certificate (default 90)\n"
            "\n"
            "Example:\n"
            "  folkmoot principal create ann --mesh mesh --role reader --out ann\n",
    .run = run,
};
