#include "node/cli/node_folder.h"

#include "client/catalog.h"
#include "core/note.h"
#include "storage/backup.h"
#include "storage/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    (void)fprintf(stderr, "folkmoot: %s: %s\n", finding->part, finding->text);
}

/* A head of each table whose domain the node may sign for. */
static enum fm_status sign_head(void *context, const struct fm_check_table *table,
                                struct fm_buf *note, struct fm_error *err)
{
    const struct fm_cli_node *node = context;
    const struct fm_domain_grant *grant = NULL;
    struct fm_head head = {.size = table->size, .root = table->root, .time = fm_now_us()};

    if (node->has_identity && node->log_key != NULL)
        grant = fm_node_cert_domain(&node->cert, table->domain);
    if (grant == NULL || !fm_public_key_equal(&grant->log_key, fm_key_public(node->log_key)))
        return FM_OK;
    fm_head_origin(&node->charter.mesh, table->domain, table->table, table->epoch, head.origin);
    enum fm_status status = fm_head_seal(&head, node->log_key, note);
    return status == FM_OK
               ? FM_OK
               : fm_fail(err, status, "sign the head of %s.%s", table->domain, table->table);
}

/* ---- Of a running node ----------------------------------------------------------------------- */

static enum fm_status call(struct folkmoot *handle, enum fm_method method, struct fm_buf *reply,
                           struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);

    fm_empty_body_encode(&body);
    enum fm_status status = fm_client_call(handle, method, fm_buf_span(&body), reply);
    return status == FM_OK ? FM_OK : fm_cli_failed(handle, fm_public_status(status), err);
}

static enum fm_status back_up_checkpoint(struct fm_backup_options *options, struct fm_span reply,
                                         struct fm_backup_result *out, struct fm_error *err)
{
    struct fm_checkpoint_info info;
    char dir[FM_CLI_PATH_MAX];

    enum fm_status status = fm_checkpoint_info_decode(reply, &info);
    if (status != FM_OK)
        return fm_fail(err, status, "the node's checkpoint: %s", fm_status_text(status));
    status = fm_cli_path(dir, options->dir, FM_CHECKPOINT_FOLDER, err);
    if (status != FM_OK)
        return status;
    options->dir = dir;
    status = fm_store_backup(options, out, err);
    if (status == FM_NOTFOUND)
        return fm_wrap(err, status, "the node asked is another, or keeps its store elsewhere");
    if (status == FM_OK && out->commit != info.commit)
        return fm_fail(err, FM_CONFLICT,
                       "%s/%s was made of commit %" PRIu64
                       ", but the node asked made commit %" PRIu64
                       " ready: back up the node whose address was given",
                       options->folder, out->name, out->commit, info.commit);
    return status;
}

/* The node copies itself to where it stays whole while it is backed up. */
static enum fm_status back_up_running(const struct fm_cli_reach *reach,
                                      struct fm_backup_options *options,
                                      struct fm_backup_result *out, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(4096);
    FM_AUTO(fm_buf_free) struct fm_buf empty = FM_BUF_INIT(64);

    enum fm_status status = fm_cli_connect(reach, &handle, err);
    if (status == FM_OK)
        status = call(handle, FM_METHOD_CHECKPOINT_MAKE, &reply, err);
    if (status != FM_OK)
        return status;
    status = back_up_checkpoint(options, fm_buf_span(&reply), out, err);
    if (call(handle, FM_METHOD_CHECKPOINT_DROP, &empty, NULL) != FM_OK)
        (void)fprintf(stderr, "folkmoot: the node drops its checkpoint by itself in a minute\n");
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool is_reachable(const struct fm_cli_reach *reach)
{
    return (reach->as != NULL || getenv("FOLKMOOT_IDENTITY") != NULL) &&
           (reach->node != NULL || getenv("FOLKMOOT_NODE") != NULL);
}

static enum fm_status back_up(const char *dir, const char *out, const struct fm_cli_reach *reach,
                              struct fm_error *err)
{
    FM_AUTO(fm_cli_node_deinit) struct fm_cli_node node = {0};
    struct fm_backup_result result = {0};
    struct fm_backup_options options = {
        .folder = out, .context = &node, .finding = print_finding, .sign = sign_head};

    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_cli_node_load(dir, &node, err);
    if (status != FM_OK)
        return status;
    options.dir = node.data;
    options.mesh = node.has_identity ? &node.charter.mesh : NULL;
    options.node = node.has_identity ? &node.cert.node : NULL;
    status = fm_store_backup(&options, &result, err);
    if (status == FM_BUSY && is_reachable(reach))
        status = back_up_running(reach, &options, &result, err);
    else if (status == FM_BUSY)
        return fm_wrap(err, status,
                       "the node of %s runs, or is being backed up; stop it first, or give its "
                       "address and an operator's identity (--node, --as)",
                       dir);
    if (status != FM_OK)
        return status;
    (void)printf("backup %s/%s\n%" PRIu32 " tables (%" PRIu32 " signed heads), commit %" PRIu64
                 "\n%" PRIu32 " files, %" PRIu64 " bytes; copied %" PRIu64 " bytes, linked %" PRIu32
                 " files\n",
                 out, result.name, result.table_count, result.head_count, result.commit,
                 result.file_count, result.bytes, result.copied_bytes, result.linked_count);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *dir = NULL, *out = NULL;
    struct fm_cli_reach reach = {.timeout = 60};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&reach),
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
        {"out", FM_CLI_TEXT, &out, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (dir == NULL || out == NULL)
        return fm_fail(err, FM_USAGE, "--dir DIR and --out FOLDER are needed");
    return back_up(dir, out, &reach, err);
}

const struct fm_cli_verb fm_cli_backup = {
    .name = "backup",
    .summary = "keep a copy of a node's store",
    .help = "Usage: folkmoot backup --dir DIR --out FOLDER [--node HOST:PORT --as DIR]\n"
            "\n"
            "Examines a node's store, as doctor does, and keeps it as FOLDER/000001, the\n"
            "next one as FOLDER/000002, and so on. Each is whole by itself; files that did\n"
            "not change are hard links and take no room. On the store's own file system\n"
            "they are links to the store's files, so keep FOLDER on another disk. Keys are\n"
            "not in it: keep DIR/keys and DIR/log elsewhere. A node that runs is asked to\n"
            "hold still a copy of its store meanwhile; it must be on this machine.\n"
            "\n"
            "  --dir DIR          the node's folder\n"
            "  --out FOLDER       where backups go; made if missing\n"
            "  --node HOST:PORT   the node, if it runs (default: FOLKMOOT_NODE)\n"
            "  --as DIR           somebody with the role operator (FOLKMOOT_IDENTITY)\n"
            "  --timeout SECONDS  how long the node may take for its copy (default 60)\n"
            "\n"
            "sha256sum -c files.sha256, in a backup, checks its files without folkmoot.\n"
            "\n"
            "Example:\n"
            "  folkmoot backup --dir flights --out /mnt/backups/flights\n",
    .run = run,
};
