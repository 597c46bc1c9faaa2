#include "node/cli/node_folder.h"

#include "core/note.h"
#include "storage/backup.h"

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

static enum fm_status back_up(const char *dir, const char *out, struct fm_error *err)
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
    if (status == FM_BUSY)
        return fm_wrap(err, status, "the node of %s runs, or is being backed up; stop it first",
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
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
        {"out", FM_CLI_TEXT, &out, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (dir == NULL || out == NULL)
        return fm_fail(err, FM_USAGE, "--dir DIR and --out FOLDER are needed");
    return back_up(dir, out, err);
}

const struct fm_cli_verb fm_cli_backup = {
    .name = "backup",
    .summary = "keep a copy of a stopped node's store",
    .help = "Usage: folkmoot backup --dir DIR --out FOLDER\n"
            "\n"
            "Examines the store of a node that does not run, as doctor does, and keeps it\n"
            "as FOLDER/000001, the next one as FOLDER/000002, and so on. Each is whole by\n"
            "itself; files that did not change are hard links and take no room. On the\n"
            "store's own file system they are links to the store's files, so keep FOLDER\n"
            "on another disk. Keys are not in it: keep DIR/keys and DIR/log elsewhere.\n"
            "\n"
            "  --dir DIR       the node's folder\n"
            "  --out FOLDER    where backups go; made if missing\n"
            "\n"
            "sha256sum -c files.sha256, in a backup, checks its files without folkmoot.\n"
            "\n"
            "Example:\n"
            "  folkmoot backup --dir flights --out /mnt/backups/flights\n",
    .run = run,
};
