#include "node/cli/cli.h"
#include "node/cli/invite.h"
#include "node/config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct join {
    const char *dir;
    struct fm_buf bytes;
    struct fm_invite invite; /* Borrows from `bytes`. */
    struct fm_charter charter;
    struct fm_node_cert cert;
    struct fm_key *sign;
    struct fm_key *session;
    struct fm_key *log;
    struct fm_key *gossip;
};

static void join_deinit(struct join *join)
{
    fm_buf_free(&join->bytes);
    fm_key_free(join->sign);
    fm_key_free(join->session);
    fm_key_free(join->log);
    fm_key_free(join->gossip);
}

static enum fm_status load_keys(struct join *join, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN, FM_KEY_SESSION};
    struct fm_key *keys[2] = {NULL, NULL};
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, join->dir, FM_FILE_KEYS, err);
    if (status == FM_OK)
        status = fm_keys_load(path, NULL, kinds, 2, keys, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "the node's keys (folkmoot node init makes them)");
    join->sign = keys[0];
    join->session = keys[1];
    status = fm_cli_path(path, join->dir, FM_FILE_LOG, err);
    return status == FM_OK ? fm_keys_load(path, NULL, kinds, 1, &join->log, err) : status;
}

static enum fm_status read_invite(struct join *join, const char *path, struct fm_error *err)
{
    enum fm_status status = fm_cli_read(path, FM_ENVELOPE_BYTES_MAX, &join->bytes, err);

    if (status != FM_OK)
        return status;
    status = fm_invite_decode(fm_buf_span(&join->bytes), &join->invite);
    if (status != FM_OK)
        return fm_fail(err, status, "%s is not an invite: %s", path, fm_status_text(status));
    status = fm_charter_open(join->invite.charter, &join->charter, err);
    if (status == FM_OK)
        status = fm_node_cert_open(&join->charter, join->invite.cert, fm_seconds(fm_now_us()),
                                   &join->cert, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "the invite %s", path);
}

static enum fm_status check_keys(struct join *join, const char *path, struct fm_error *err)
{
    bool is_ours = fm_public_key_equal(&join->cert.sign_key, fm_key_public(join->sign)) &&
                   fm_public_key_equal(&join->cert.session_key, fm_key_public(join->session));

    for (uint32_t i = 0; i < join->cert.domain_count; i++)
        is_ours = is_ours &&
                  fm_public_key_equal(&join->cert.domains[i].log_key, fm_key_public(join->log));
    if (is_ours)
        return FM_OK;
    return fm_fail(err, FM_REFUSED,
                   "the invite %s is for another node: its certificate names other keys than "
                   "those in %s",
                   path, join->dir);
}

static enum fm_status open_gossip(struct join *join, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf secret = FM_BUF_INIT(1024);

    enum fm_status status = fm_box_open(join->session, join->invite.gossip, &secret);
    if (status == FM_OK && secret.len != 32)
        status = FM_MALFORMED;
    if (status == FM_OK)
        status = fm_key_from_secret(FM_KEY_GOSSIP, secret.data, &join->gossip);
    if (secret.len != 0)
        fm_wipe(secret.data, secret.len);
    if (status != FM_OK)
        return fm_fail(err, status, "the invite's gossip key does not open: %s",
                       fm_status_text(status));
    return FM_OK;
}

/* A folder belongs to one mesh; a new certificate of the same one is a renewal. */
static enum fm_status check_folder(const struct join *join, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fm_charter charter;
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, join->dir, FM_FILE_CHARTER, err);
    if (status != FM_OK || !fm_cli_exists(path))
        return status;
    status = fm_cli_charter(join->dir, &charter, &bytes, err);
    if (status != FM_OK)
        return status;
    if (memcmp(charter.mesh.bytes, join->charter.mesh.bytes, sizeof charter.mesh.bytes) != 0)
        return fm_fail(err, FM_CONFLICT,
                       "%s belongs to another mesh, '%s'; make a new folder with node init",
                       join->dir, charter.name);
    if (charter.version > join->charter.version)
        return fm_fail(err, FM_CONFLICT, "%s has a newer charter than the invite", join->dir);
    return FM_OK;
}

/* Seeds of the invite; what a person wrote there stays. */
static enum fm_status write_config(const struct join *join, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf yaml = FM_BUF_INIT(FM_CONFIG_BYTES_MAX);
    char path[FM_CLI_PATH_MAX], seed[FM_CONFIG_ADDRESS_MAX];

    enum fm_status status = fm_cli_path(path, join->dir, FM_CONFIG_FILE, err);
    if (status != FM_OK || fm_cli_exists(path))
        return status;
    fm_buf_put_str(&yaml, "# folkmoot node start --print-config shows all settings.\nseeds:");
    fm_buf_put_str(&yaml, join->invite.seed_count == 0 ? " []\n" : "\n");
    for (uint32_t i = 0; i < join->invite.seed_count; i++) {
        struct fm_span text = join->invite.seeds[i];
        if (text.len >= sizeof seed)
            return fm_fail(err, FM_MALFORMED, "the invite has a seed that is too long");
        memcpy(seed, text.data, text.len);
        seed[text.len] = '\0';
        status = fm_address_check(seed, 1, err);
        if (status != FM_OK)
            return fm_wrap(err, status, "a seed of the invite");
        fm_buf_printf(&yaml, "  - \"%s\"\n", seed);
    }
    if (fm_buf_status(&yaml) != FM_OK)
        return fm_fail(err, FM_NOMEM, "write %s", path);
    return fm_file_write(path, fm_buf_span(&yaml), 0644, err);
}

static enum fm_status write_gossip(const struct join *join, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_GOSSIP};
    FM_AUTO(fm_key_freep) struct fm_key *there = NULL;
    struct fm_key *key = join->gossip;
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, join->dir, FM_FILE_GOSSIP, err);
    if (status != FM_OK)
        return status;
    if (fm_cli_exists(path)) {
        if (fm_keys_load(path, NULL, kinds, 1, &there, NULL) == FM_OK &&
            fm_public_key_equal(fm_key_public(there), fm_key_public(key)))
            return FM_OK;
        if (unlink(path) != 0)
            return fm_fail_errno(err, FM_IO, errno, "replace %s", path);
    }
    return fm_keys_save(path, &key, 1, NULL, err);
}

static enum fm_status install(const struct join *join, struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = write_config(join, err);
    if (status == FM_OK)
        status = write_gossip(join, err);
    if (status == FM_OK)
        status = fm_cli_path(path, join->dir, FM_FILE_CHARTER, err);
    if (status == FM_OK)
        status = fm_file_write(path, join->invite.charter, 0644, err);
    if (status == FM_OK)
        status = fm_cli_path(path, join->dir, FM_FILE_CERT, err);
    if (status == FM_OK) /* Last: with it the folder is whole. */
        status = fm_file_write(path, join->invite.cert, 0644, err);
    return status;
}

static enum fm_status join_mesh(const char *dir, const char *path, struct fm_error *err)
{
    FM_AUTO(join_deinit) struct join join = {.dir = dir};
    char id[65];

    join.bytes.max = FM_ENVELOPE_BYTES_MAX;
    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = load_keys(&join, err);
    if (status == FM_OK)
        status = read_invite(&join, path, err);
    if (status == FM_OK)
        status = check_keys(&join, path, err);
    if (status == FM_OK)
        status = check_folder(&join, err);
    if (status == FM_OK)
        status = open_gossip(&join, err);
    if (status == FM_OK)
        status = install(&join, err);
    if (status != FM_OK)
        return status;
    fm_hex(join.charter.mesh.bytes, sizeof join.charter.mesh.bytes, id);
    (void)printf(
        "node %s belongs to mesh %s\nmesh id %s (compare it with the authority's)\ndomains",
        join.cert.name, join.charter.name, id);
    for (uint32_t i = 0; i < join.cert.domain_count; i++)
        (void)printf(" %s", join.cert.domains[i].domain);
    (void)printf("%s\nNext:\n  folkmoot node start --dir %s\n",
                 join.cert.domain_count == 0 ? " none" : "", dir);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *dir = NULL, *invite = NULL;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
        {"invite", FM_CLI_TEXT, &invite, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (dir == NULL || invite == NULL)
        return fm_fail(err, FM_USAGE, "--dir DIR and --invite FILE are needed");
    return join_mesh(dir, invite, err);
}

const struct fm_cli_verb fm_cli_node_join = {
    .group = "node",
    .name = "join",
    .summary = "install the certificate that the mesh issued",
    .help = "Usage: folkmoot node join --dir DIR --invite FILE\n"
            "\n"
            "Checks an invite against the keys in DIR and installs charter, certificate and\n"
            "gossip key there. Writes DIR/node.yaml with the invite's seeds if there is\n"
            "none. A later invite of the same mesh renews the certificate.\n"
            "\n"
            "  --dir DIR        the node's folder, made by node init\n"
            "  --invite FILE    what node invite wrote\n"
            "\n"
            "Example:\n"
            "  folkmoot node join --dir flights --invite flights.invite\n",
    .run = run,
};
