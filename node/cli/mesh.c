#include "node/cli/cli.h"

#include <stdio.h>

struct plan {
    const char *name;
    const char *dir;
    uint64_t keys;
    uint64_t threshold;
    uint64_t principal_days;
};

static enum fm_status save_key(const char *dir, const char *name, struct fm_key *key,
                               struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, dir, name, err);
    return status == FM_OK ? fm_keys_save(path, &key, 1, NULL, err) : status;
}

static enum fm_status save_authority(const struct plan *plan, const struct fm_cli_mesh *mesh,
                                     struct fm_error *err)
{
    enum fm_status status = FM_OK;
    char name[32] = FM_FILE_AUTHORITY;

    for (uint32_t i = 0; status == FM_OK && i < mesh->key_count; i++) {
        if (mesh->key_count > 1)
            (void)snprintf(name, sizeof name, FM_FILE_AUTHORITY "-%u", i + 1);
        status = save_key(plan->dir, name, mesh->keys[i], err);
    }
    return status;
}

static enum fm_status make_charter(const struct plan *plan, struct fm_cli_mesh *mesh,
                                   struct fm_error *err)
{
    struct fm_charter *charter = &mesh->charter;

    *charter = (struct fm_charter){
        .version = 1,
        .threshold = (uint32_t)plan->threshold,
        .node_cert_life_max = FM_NODE_CERT_DAYS_MAX * (uint64_t)FM_CLI_DAY_SECONDS,
        .principal_cert_life_max = plan->principal_days * (uint64_t)FM_CLI_DAY_SECONDS,
        .token_life_max = 90 * (uint64_t)FM_CLI_DAY_SECONDS,
        .created = fm_seconds(fm_now_us()),
    };
    if (plan->name[0] == '\0' || strlen(plan->name) > FM_NAME_MAX)
        return fm_fail(err, FM_INVALID, "a mesh needs a name of 1 to %u bytes", FM_NAME_MAX);
    memcpy(charter->name, plan->name, strlen(plan->name) + 1);
    for (uint64_t i = 0; i < plan->keys; i++) {
        enum fm_status status = fm_key_generate(FM_KEY_SIGN, &mesh->keys[mesh->key_count]);
        if (status != FM_OK)
            return fm_fail(err, status, "make an authority key");
        charter->authority[i] = *fm_key_public(mesh->keys[mesh->key_count++]);
        charter->authority_count++;
    }
    enum fm_status status =
        fm_charter_seal(charter, mesh->keys, mesh->key_count, &mesh->charter_bytes);
    if (status != FM_OK)
        return fm_fail(err, status, "the charter of '%s': %s", plan->name, fm_status_text(status));
    return FM_OK;
}

static enum fm_status save_all(const struct plan *plan, const struct fm_cli_mesh *mesh,
                               struct fm_error *err)
{
    FM_AUTO(fm_key_freep) struct fm_key *gossip = NULL;
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_make_dir(plan->dir, err);
    if (status == FM_OK)
        status = fm_cli_path(path, plan->dir, FM_FILE_CHARTER, err);
    if (status == FM_OK && fm_cli_exists(path))
        status =
            fm_fail(err, FM_CONFLICT,
                    "%s is there already: a mesh is created once; choose another folder", path);
    if (status == FM_OK)
        status = save_authority(plan, mesh, err);
    if (status == FM_OK && fm_key_generate(FM_KEY_GOSSIP, &gossip) != FM_OK)
        status = fm_fail(err, FM_NOMEM, "make the gossip key");
    if (status == FM_OK)
        status = save_key(plan->dir, FM_FILE_GOSSIP, gossip, err);
    if (status == FM_OK) /* Last: with it the folder is whole. */
        status = fm_file_write(path, fm_buf_span(&mesh->charter_bytes), 0644, err);
    return status;
}

static enum fm_status create(const struct plan *plan, struct fm_error *err)
{
    FM_AUTO(fm_cli_mesh_deinit) struct fm_cli_mesh mesh = {0};
    char id[65];

    if (plan->threshold > plan->keys)
        return fm_fail(err, FM_USAGE, "of %llu keys, %llu cannot have to sign",
                       (unsigned long long)plan->keys, (unsigned long long)plan->threshold);
    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = make_charter(plan, &mesh, err);
    if (status == FM_OK)
        status = save_all(plan, &mesh, err);
    if (status != FM_OK)
        return status;
    fm_hex(mesh.charter.mesh.bytes, sizeof mesh.charter.mesh.bytes, id);
    (void)printf("mesh %s\nid %s\nauthority: %u of %u keys must sign%s\n", mesh.charter.name, id,
                 mesh.charter.threshold, mesh.charter.authority_count,
                 mesh.charter.threshold == 1 ? " (a single key decides alone)" : "");
    (void)printf("Keep %s/" FM_FILE_AUTHORITY "* offline. Next, for each node:\n"
                 "  folkmoot node init --dir NODE --name NAME\n",
                 plan->dir);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct plan plan = {.keys = 1, .threshold = 1, .principal_days = 366};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &plan.dir, 0, 0},
        {"keys", FM_CLI_UINT, &plan.keys, 1, FM_AUTHORITY_KEYS_MAX},
        {"threshold", FM_CLI_UINT, &plan.threshold, 1, FM_AUTHORITY_KEYS_MAX},
        {"principal-days", FM_CLI_UINT, &plan.principal_days, 1, 3660},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 1, 1, &rest, err);
    if (status != FM_OK)
        return status;
    if (plan.dir == NULL)
        return fm_fail(err, FM_USAGE, "where to? Give --dir DIR");
    plan.name = rest.items[0];
    return create(&plan, err);
}

const struct fm_cli_verb fm_cli_mesh_create = {
    .group = "mesh",
    .name = "create",
    .summary = "found a mesh: its charter and authority keys",
    .help = "Usage: folkmoot mesh create NAME --dir DIR [--keys N --threshold K]\n"
            "\n"
            "Writes the charter of a new mesh, its authority keys and its gossip key to\n"
            "DIR. The charter's hash is the mesh's id for ever. The authority keys admit\n"
            "nodes and principals: keep them offline.\n"
            "\n"
            "  --dir DIR             where charter and keys go; made if missing\n"
            "  --keys N              authority keys, 1 to 16 (default 1); several are in\n"
            "                        files authority-1, authority-2, ...\n"
            "  --threshold K         how many of them must sign (default 1)\n"
            "  --principal-days N    longest life of a principal's certificate (default 366)\n"
            "\n"
            "Example:\n"
            "  folkmoot mesh create demo --dir mesh\n",
    .run = run,
};
