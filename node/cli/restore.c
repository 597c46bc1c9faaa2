#include "node/cli/node_folder.h"

#include "client/client_text.h"
#include "core/note.h"
#include "storage/backup.h"

#include <inttypes.h>
#include <stdio.h>

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    (void)fprintf(stderr, "folkmoot: %s: %s\n", finding->part, finding->text);
}

/* The head that the node signed when the backup was made speaks of these very facts. */
static enum fm_status verify_head(void *context, const struct fm_check_table *table,
                                  struct fm_span note, struct fm_error *err)
{
    const struct fm_cli_node *node = context;
    const struct fm_domain_grant *grant = fm_node_cert_domain(&node->cert, table->domain);
    char origin[FM_ORIGIN_MAX];
    struct fm_head head;

    if (grant == NULL)
        return fm_fail(err, FM_FORGED, "the certificate does not grant the domain %s",
                       table->domain);
    enum fm_status status = fm_head_open(note, &grant->log_key, &head);
    if (status != FM_OK)
        return fm_fail(err, status, "the head is not signed by the node's log key");
    fm_head_origin(&node->charter.mesh, table->domain, table->table, table->epoch, origin);
    if (strcmp(origin, head.origin) != 0 || head.size != table->size ||
        !fm_hash_equal(&head.root, &table->root))
        return fm_fail(err, FM_FORGED,
                       "the signed head is of other facts than those in the backup");
    return FM_OK;
}

static void print_result(const char *dir, const struct fm_cli_node *node,
                         const struct fm_restore_result *result)
{
    FM_AUTO(fm_buf_free) struct fm_buf time = FM_BUF_INIT(0);

    fm_text_timestamp(&time, result->time - result->time % 1000000, ' ');
    (void)printf("restored %s\n%" PRIu32 " tables, %" PRIu64 " facts, commit %" PRIu64
                 ", as of %.*s UTC\n",
                 node->data, result->table_count, result->facts, result->commit, (int)time.len,
                 (const char *)time.data);
    if (node->has_identity)
        (void)printf("%" PRIu32 " signed heads verified\n", result->head_count);
    else
        (void)printf("signed heads were not verified: %s has no certificate\n", dir);
    (void)printf("What was appended after the backup is gone. If there was anything, its signed\n"
                 "heads are contradicted: ask for an invite with a higher --epoch.\n");
}

static enum fm_status restore(const char *from, const char *dir, struct fm_error *err)
{
    FM_AUTO(fm_cli_node_deinit) struct fm_cli_node node = {0};
    struct fm_restore_result result = {0};
    struct fm_restore_options options = {.from = from, .context = &node, .finding = print_finding};

    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_cli_node_load(dir, &node, err);
    if (status != FM_OK)
        return status;
    options.dir = node.data;
    options.mesh = node.has_identity ? &node.charter.mesh : NULL;
    options.node = node.has_identity ? &node.cert.node : NULL;
    options.verify = node.has_identity ? verify_head : NULL;
    status = fm_store_restore(&options, &result, err);
    if (status == FM_OK)
        print_result(dir, &node, &result);
    return status;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *from = NULL, *dir = NULL;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"from", FM_CLI_TEXT, &from, 0, 0},
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (from == NULL || dir == NULL)
        return fm_fail(err, FM_USAGE, "--from FOLDER and --dir DIR are needed");
    return restore(from, dir, err);
}

const struct fm_cli_verb fm_cli_restore = {
    .name = "restore",
    .summary = "put a node's store back from a backup",
    .help = "Usage: folkmoot restore --from FOLDER --dir DIR\n"
            "\n"
            "Copies a backup to the data folder of a node that has none, checks every file\n"
            "against its checksum, examines the store as doctor does, and compares the\n"
            "root of each table, computed anew, with the backup's manifest and with the\n"
            "heads that the node signed. Refuses otherwise; the store is in place as a\n"
            "whole or not at all.\n"
            "\n"
            "  --from FOLDER    a backup (FOLDER/000003), or FOLDER: the latest in it\n"
            "  --dir DIR        the node's folder, with its keys and certificate\n"
            "\n"
            "Example:\n"
            "  mv flights/data flights/data.damaged\n"
            "  folkmoot restore --from /mnt/backups/flights --dir flights\n",
    .run = run,
};
