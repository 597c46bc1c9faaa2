#include "node/cli/node_folder.h"

#include <stdlib.h>

enum fm_status fm_cli_node_data(const char *dir, char out[FM_CONFIG_PATH_MAX], struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_node_config *config = calloc(1, sizeof *config);
    char path[FM_CLI_PATH_MAX];

    if (config == NULL)
        return fm_fail(err, FM_NOMEM, "read the settings of %s", dir);
    if (!fm_cli_exists(dir))
        return fm_fail(err, FM_NOTFOUND, "there is no folder %s", dir);
    enum fm_status status = fm_node_config_init(config, dir, err);
    if (status == FM_OK)
        status = fm_cli_path(path, dir, FM_CONFIG_FILE, err);
    if (status == FM_OK)
        status = fm_node_config_read(config, path, err);
    if (status != FM_OK && status != FM_NOTFOUND)
        return status;
    memcpy(out, config->data, sizeof config->data);
    return FM_OK;
}

enum fm_status fm_cli_node_cert(const char *dir, struct fm_charter *charter,
                                struct fm_node_cert *cert, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf charter_bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_charter(dir, charter, &charter_bytes, err);
    if (status == FM_OK)
        status = fm_cli_path(path, dir, FM_FILE_CERT, err);
    if (status == FM_OK)
        status = fm_file_read(path, FM_ENVELOPE_BYTES_MAX, &bytes, err);
    if (status != FM_OK)
        return status;
    status = fm_node_cert_open_undated(charter, fm_buf_span(&bytes), cert, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "%s", path);
}

enum fm_status fm_cli_node_load(const char *dir, struct fm_cli_node *out, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN};
    char path[FM_CLI_PATH_MAX];

    *out = (struct fm_cli_node){0};
    enum fm_status status = fm_cli_node_data(dir, out->data, err);
    if (status != FM_OK)
        return status;
    status = fm_cli_node_cert(dir, &out->charter, &out->cert, err);
    out->has_identity = status == FM_OK;
    if (status == FM_NOTFOUND)
        status = FM_OK;
    if (status == FM_OK)
        status = fm_cli_path(path, dir, FM_FILE_LOG, err);
    if (status != FM_OK || !fm_cli_exists(path))
        return status;
    return fm_keys_load(path, NULL, kinds, 1, &out->log_key, err);
}

void fm_cli_node_deinit(struct fm_cli_node *node)
{
    fm_key_free(node->log_key);
    node->log_key = NULL;
}
