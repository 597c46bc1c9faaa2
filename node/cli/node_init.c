#include "node/cli/cli.h"
#include "node/cli/invite.h"

#include <stdio.h>

static enum fm_status save_keys(const char *dir, struct fm_key *const *keys, struct fm_key *log,
                                struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, dir, FM_FILE_KEYS, err);
    if (status == FM_OK)
        status = fm_keys_save(path, keys, 2, NULL, err);
    if (status == FM_OK)
        status = fm_cli_path(path, dir, FM_FILE_LOG, err);
    if (status == FM_OK)
        status = fm_keys_save(path, &log, 1, NULL, err);
    return status;
}

static enum fm_status init(const char *dir, const char *name, struct fm_error *err)
{
    FM_AUTO(fm_key_freep) struct fm_key *sign = NULL;
    FM_AUTO(fm_key_freep) struct fm_key *session = NULL;
    FM_AUTO(fm_key_freep) struct fm_key *log = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_node_request request = {0};
    char path[FM_CLI_PATH_MAX], id[33];

    if (name[0] == '\0' || strlen(name) > FM_NAME_MAX || !fm_utf8_valid(fm_span_str(name)))
        return fm_fail(err, FM_INVALID, "a node needs a name of 1 to %u bytes", FM_NAME_MAX);
    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_cli_make_dir(dir, err);
    if (status != FM_OK)
        return status;
    if (fm_key_generate(FM_KEY_SIGN, &sign) != FM_OK ||
        fm_key_generate(FM_KEY_SESSION, &session) != FM_OK ||
        fm_key_generate(FM_KEY_SIGN, &log) != FM_OK)
        return fm_fail(err, FM_NOMEM, "make keys");
    fm_random(request.node.bytes, sizeof request.node.bytes);
    request.sign_key = *fm_key_public(sign);
    request.session_key = *fm_key_public(session);
    request.log_key = *fm_key_public(log);
    memcpy(request.name, name, strlen(name) + 1);
    status = fm_node_request_seal(&request, sign, &bytes);
    if (status != FM_OK)
        return fm_fail(err, status, "sign the request");
    struct fm_key *const keys[] = {sign, session};
    status = save_keys(dir, keys, log, err);
    if (status == FM_OK)
        status = fm_cli_path(path, dir, FM_FILE_REQUEST, err);
    if (status == FM_OK)
        status = fm_file_write(path, fm_buf_span(&bytes), 0644, err);
    if (status != FM_OK)
        return status;
    fm_hex(request.node.bytes, sizeof request.node.bytes, id);
    (void)printf("node %s\nid %s\nNext, where the mesh's authority keys are:\n"
                 "  folkmoot node invite --mesh MESH --request %s --domain DOMAIN --out INVITE\n",
                 name, id, path);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *dir = NULL, *name = NULL;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
        {"name", FM_CLI_TEXT, &name, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (dir == NULL || name == NULL)
        return fm_fail(err, FM_USAGE, "--dir DIR and --name NAME are needed");
    return init(dir, name, err);
}

const struct fm_cli_verb fm_cli_node_init = {
    .group = "node",
    .name = "init",
    .summary = "make a node's keys and its request to be admitted",
    .help = "Usage: folkmoot node init --dir DIR --name NAME\n"
            "\n"
            "Makes the keys of a new node in DIR and writes DIR/request, which holds their\n"
            "public halves and no secret. Take the request to the mesh's authority.\n"
            "\n"
            "  --dir DIR      the node's folder; made if missing\n"
            "  --name NAME    what people call the node\n"
            "\n"
            "Example:\n"
            "  folkmoot node init --dir flights --name flights-1\n",
    .run = run,
};
