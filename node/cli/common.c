#include "node/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum fm_status fm_cli_path(char out[FM_CLI_PATH_MAX], const char *dir, const char *name,
                           struct fm_error *err)
{
    int len = snprintf(out, FM_CLI_PATH_MAX, "%s/%s", dir, name);

    if (len < 0 || (size_t)len >= FM_CLI_PATH_MAX)
        return fm_fail(err, FM_LIMIT, "the path is too long: %.100s...", dir);
    return FM_OK;
}

enum fm_status fm_cli_make_dir(const char *dir, struct fm_error *err)
{
    struct stat info;

    if (mkdir(dir, 0700) == 0)
        return FM_OK;
    if (errno != EEXIST)
        return fm_fail_errno(err, FM_IO, errno, "make the folder %s", dir);
    if (stat(dir, &info) != 0)
        return fm_fail_errno(err, FM_IO, errno, "stat %s", dir);
    if (!S_ISDIR(info.st_mode))
        return fm_fail(err, FM_CONFLICT, "%s is there and is no folder", dir);
    return FM_OK;
}

bool fm_cli_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

enum fm_status fm_cli_read(const char *path, size_t max, struct fm_buf *out, struct fm_error *err)
{
    char chunk[16384];

    if (strcmp(path, "-") != 0)
        return fm_file_read(path, max, out, err);
    for (;;) {
        size_t got = fread(chunk, 1, sizeof chunk, stdin);
        fm_buf_put(out, chunk, got);
        if (got < sizeof chunk)
            break;
        if (out->len > max)
            break;
    }
    if (ferror(stdin))
        return fm_fail_errno(err, FM_IO, errno, "read standard input");
    if (out->len > max || fm_buf_status(out) != FM_OK)
        return fm_fail(err, FM_LIMIT, "standard input has more than %zu bytes", max);
    return FM_OK;
}

enum fm_status fm_cli_connect(const struct fm_cli_reach *reach, struct folkmoot **out,
                              struct fm_error *err)
{
    struct folkmoot_options options = {
        .node = reach->node != NULL ? reach->node : getenv("FOLKMOOT_NODE"),
        .identity = reach->as != NULL ? reach->as : getenv("FOLKMOOT_IDENTITY"),
        .timeout_ms = (uint32_t)(reach->timeout * 1000), /* Bounded by its option. */
    };
    char text[FOLKMOOT_ERROR_MAX] = "";

    if (options.node == NULL || options.node[0] == '\0')
        return fm_fail(err, FM_USAGE, "which node? Give --node HOST:PORT or set FOLKMOOT_NODE");
    if (options.identity == NULL || options.identity[0] == '\0')
        return fm_fail(err, FM_USAGE,
                       "as whom? Give --as DIR or set FOLKMOOT_IDENTITY; folkmoot principal "
                       "create makes such a folder");
    enum folkmoot_status status = folkmoot_open(&options, out, text);
    if (status == FOLKMOOT_OK)
        return FM_OK;
    return fm_fail(err, (enum fm_status)status, "%s", text);
}

enum fm_status fm_cli_failed(const struct folkmoot *handle, enum folkmoot_status status,
                             struct fm_error *err)
{
    const char *text = folkmoot_error(handle);

    return fm_fail(err, (enum fm_status)status, "%s",
                   text[0] == '\0' ? folkmoot_status_text(status) : text);
}

enum fm_status fm_cli_charter(const char *dir, struct fm_charter *out, struct fm_buf *bytes,
                              struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    enum fm_status status = fm_cli_path(path, dir, FM_FILE_CHARTER, err);
    if (status == FM_OK)
        status = fm_file_read(path, FM_ENVELOPE_BYTES_MAX, bytes, err);
    if (status != FM_OK)
        return status;
    status = fm_charter_open(fm_buf_span(bytes), out, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "%s", path);
}

enum fm_status fm_cli_mesh_load(const char *dir, struct fm_cli_mesh *mesh, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN};
    char path[FM_CLI_PATH_MAX], name[32] = FM_FILE_AUTHORITY;

    *mesh = (struct fm_cli_mesh){0};
    enum fm_status status = fm_cli_charter(dir, &mesh->charter, &mesh->charter_bytes, err);
    /* "authority" is the only key; of several, those that are at hand. */
    for (unsigned i = 0; status == FM_OK && i <= FM_AUTHORITY_KEYS_MAX; i++) {
        if (i != 0)
            (void)snprintf(name, sizeof name, FM_FILE_AUTHORITY "-%u", i);
        status = fm_cli_path(path, dir, name, err);
        if (status == FM_OK && fm_cli_exists(path) && mesh->key_count < FM_AUTHORITY_KEYS_MAX) {
            status = fm_keys_load(path, NULL, kinds, 1, &mesh->keys[mesh->key_count], err);
            mesh->key_count += status == FM_OK;
        }
    }
    if (status == FM_OK && mesh->key_count < mesh->charter.threshold)
        status =
            fm_fail(err, FM_REFUSED, "%s holds %u authority keys; mesh '%s' demands %u signatures",
                    dir, mesh->key_count, mesh->charter.name, mesh->charter.threshold);
    if (status != FM_OK)
        fm_cli_mesh_deinit(mesh);
    return status;
}

void fm_cli_mesh_deinit(struct fm_cli_mesh *mesh)
{
    fm_buf_free(&mesh->charter_bytes);
    for (uint32_t i = 0; i < mesh->key_count; i++)
        fm_key_free(mesh->keys[i]);
    mesh->key_count = 0;
}
